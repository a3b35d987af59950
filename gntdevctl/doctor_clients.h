/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor_clients.h - gntdevctl doctor: do clients have the preload object?
 */
#ifndef GNTDEVCTL_DOCTOR_CLIENTS_H
#define GNTDEVCTL_DOCTOR_CLIENTS_H

#include "gntdevctl/finding.h"

/**
 * doctor_objects() - of processes that have the device open and never asked for a window, those that cannot
 * @opens: array of the objects of "open"
 */
void doctor_objects(const struct doctor *d, const json_t *opens);

/** doctor_units() - of Xen's own services that map grants, those that are not given the object. Nothing, but in a Xen domain */
void doctor_units(const struct doctor *d);

#endif /* GNTDEVCTL_DOCTOR_CLIENTS_H */
