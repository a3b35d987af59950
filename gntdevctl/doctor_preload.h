/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor_preload.h - gntdevctl doctor: the preload object
 */
#ifndef GNTDEVCTL_DOCTOR_PRELOAD_H
#define GNTDEVCTL_DOCTOR_PRELOAD_H

#include "gntdevctl/finding.h"

/** doctor_preload() - @bin: directories to look for gntdev-run in, below the root; the last is NULL */
void doctor_preload(const struct doctor *d, const char *const *bin);

#endif /* GNTDEVCTL_DOCTOR_PRELOAD_H */
