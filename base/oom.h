/* SPDX-License-Identifier: MIT */
/*
 * base/oom.h - whom the kernel chooses when memory is short: not the keeper, rather the daemon
 */
#ifndef BASE_OOM_H
#define BASE_OOM_H

/**
 * oom_score_set() - from the lowest score (-1000) to another, or to it
 *
 * A score that an operator has chosen otherwise is left alone, unless to be the lowest. It needs CAP_SYS_RESOURCE to go down,
 * and says so in the log, as far as that is verbose.
 */
void oom_score_set(int score);

#endif /* BASE_OOM_H */
