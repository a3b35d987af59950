/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/unit.h - names of systemd's units, as people write them
 */
#ifndef GNTDEVCTL_UNIT_H
#define GNTDEVCTL_UNIT_H

/** ctl_unit_suffix() - what a name lacks: as systemctl has it, what has no suffix of a unit is a service. "" or ".service" */
const char *ctl_unit_suffix(const char *name);

#endif /* GNTDEVCTL_UNIT_H */
