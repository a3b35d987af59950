/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/unit.h - names of systemd's units, as people write them
 */
#ifndef GNTDEVCTL_UNIT_H
#define GNTDEVCTL_UNIT_H

/** ctl_unit_suffix() - what a name lacks: as systemctl has it, what has no suffix of a unit is a service. "" or ".service" */
const char *ctl_unit_suffix(const char *name);

/**
 * ctl_unit_has() - whether a unit's files have a text, drop-ins included
 * @root: "" or a directory: of the system that is meant
 * @unit: with its suffix
 *
 * Return: 1, 0; -1 if there is no such unit.
 */
int ctl_unit_has(const char *root, const char *unit, const char *text);

#endif /* GNTDEVCTL_UNIT_H */
