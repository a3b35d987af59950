/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor_system.h - gntdevctl doctor: modules, nodes, file systems, the service
 *
 * They look at files below a root, so that a test, or who repairs a system that is not running, can say where.
 */
#ifndef GNTDEVCTL_DOCTOR_SYSTEM_H
#define GNTDEVCTL_DOCTOR_SYSTEM_H

#include "gntdevctl/finding.h"
#include "gntdevctl/service.h"

void doctor_cuse(const struct doctor *d);
void doctor_hypervisor(struct doctor *d);
void doctor_kernel_driver(const struct doctor *d);
/* Nothing to say where there is no Xen. */
void doctor_privcmd(const struct doctor *d);
void doctor_xenfs(const struct doctor *d);
void doctor_gntalloc(const struct doctor *d);
void doctor_node(const struct doctor *d);

/** doctor_service() - @s: what systemd knows of it. After doctor_hypervisor() */
void doctor_service(const struct doctor *d, const struct service *s);

/** doctor_run_dir() - whether clients reach what lies in the run directory */
void doctor_run_dir(const struct doctor *d);

/** doctor_policy() - @file: below the root */
void doctor_policy(const struct doctor *d, const char *file);

#endif /* GNTDEVCTL_DOCTOR_SYSTEM_H */
