/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/commands.h - gntdevctl: its subcommands
 *
 * One file each. What they have in common is in gntdevctl/ctl.h; which there are by which names, in
 * gntdevctl/gntdevctl.c.
 */
#ifndef GNTDEVCTL_COMMANDS_H
#define GNTDEVCTL_COMMANDS_H

#include "gntdevctl/ctl.h"

/*
 * The subcommands. argv[0] is "gntdevctl NAME". They return an enum ctl_status, and have told why if it is
 * not CTL_DONE.
 */
int ctl_list(struct ctl *ctl, int argc, char **argv);
int ctl_show(struct ctl *ctl, int argc, char **argv);
int ctl_stats(struct ctl *ctl, int argc, char **argv);
int ctl_metrics(struct ctl *ctl, int argc, char **argv);
int ctl_top(struct ctl *ctl, int argc, char **argv);
int ctl_trace(struct ctl *ctl, int argc, char **argv);
int ctl_errors(struct ctl *ctl, int argc, char **argv);
int ctl_graph(struct ctl *ctl, int argc, char **argv);
int ctl_policy(struct ctl *ctl, int argc, char **argv);
int ctl_fault(struct ctl *ctl, int argc, char **argv);
int ctl_upgrade(struct ctl *ctl, int argc, char **argv);
int ctl_wrap(struct ctl *ctl, int argc, char **argv);
int ctl_doctor(struct ctl *ctl, int argc, char **argv);

#endif /* GNTDEVCTL_COMMANDS_H */
