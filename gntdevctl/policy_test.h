/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/policy_test.h - gntdevctl policy test: does a policy say what it is meant to say?
 */
#ifndef GNTDEVCTL_POLICY_TEST_H
#define GNTDEVCTL_POLICY_TEST_H

#include "gntdevctl/ctl.h"

/**
 * ctl_policy_test() - ask a policy what a table asks, and tell where it says something else than expected
 * @table: path of a file of lines "KEY=VALUE... DOMID ACTION [RULE]", see gntdevctl(1)
 * @file:  the policy's main file. @must: it has to be there
 *
 * No daemon is asked. Return: CTL_DONE; CTL_BAD if an answer is another one, or the table or the policy has mistakes;
 * CTL_FAILED if the table cannot be read.
 */
int ctl_policy_test(const struct ctl *ctl, const char *table, const char *file, bool must);

#endif /* GNTDEVCTL_POLICY_TEST_H */
