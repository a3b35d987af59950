/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor_preload.h - gntdevctl doctor: the preload object
 */
#ifndef GNTDEVCTL_DOCTOR_PRELOAD_H
#define GNTDEVCTL_DOCTOR_PRELOAD_H

#include "gntdevctl/finding.h"

/** doctor_preload() - is it where object_find() says? */
void doctor_preload(const struct doctor *d);

#endif /* GNTDEVCTL_DOCTOR_PRELOAD_H */
