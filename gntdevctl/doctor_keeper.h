/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor_keeper.h - gntdevctl doctor: a keeper without a daemon
 */
#ifndef GNTDEVCTL_DOCTOR_KEEPER_H
#define GNTDEVCTL_DOCTOR_KEEPER_H

#include "gntdevctl/finding.h"

/** doctor_keeper() - where no daemon answers: whether clients wait for one. Nothing to say where there is no keeper */
void doctor_keeper(const struct doctor *d);

#endif /* GNTDEVCTL_DOCTOR_KEEPER_H */
