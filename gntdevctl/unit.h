/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/unit.h - names of systemd's units, as people write them
 */
#ifndef GNTDEVCTL_UNIT_H
#define GNTDEVCTL_UNIT_H

#include <stddef.h>

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

/**
 * ctl_unit_preloads() - what a unit's processes preload besides our object
 * @environment: of the unit, as systemctl shows it; is cut up
 * @others:      @size bytes, more than @environment has: each with a colon behind it; "" if there is nothing
 */
void ctl_unit_preloads(char *environment, char *others, size_t size);

#endif /* GNTDEVCTL_UNIT_H */
