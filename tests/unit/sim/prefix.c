/* SPDX-License-Identifier: MIT */
/*
 * sim/prefix.c - what a kill can leave: every prefix of an operation's stores
 */
#include "tests/unit/sim/prefix.h"

#include <check.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* Stops before the operation and after it, so that nothing else is stepped. */
static pid_t begin(void (*op)(void *arg), void *arg)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid)
		return pid;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(1);
	raise(SIGSTOP);
	op(arg);
	raise(SIGSTOP);
	_exit(0);
}

/* Return: whether it stands where @signal stopped it. */
static bool stopped(pid_t pid, int signal)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFSTOPPED(status), "the stepped process has ended: status 0x%x%s", status,
		      WIFEXITED(status) && WEXITSTATUS(status) == 1 ? ": no ptrace(2) here" : "");
	return WSTOPSIG(status) == signal;
}

/* Return: whether something has changed since the last call. */
static bool changed(const struct prefix_part *parts, size_t n, unsigned char *copy)
{
	bool any = false;

	for (size_t i = 0; i < n; copy += parts[i++].bytes) {
		if (!memcmp(copy, parts[i].at, parts[i].bytes))
			continue;
		memcpy(copy, parts[i].at, parts[i].bytes);
		any = true;
	}
	return any;
}

unsigned int prefix_each(void (*op)(void *arg), void *op_arg, const struct prefix_part *parts,
			 size_t n, void (*fn)(void *arg), void *fn_arg)
{
	size_t bytes = 0;
	unsigned char *copy;
	unsigned int stores = 0;
	pid_t pid;

	for (size_t i = 0; i < n; i++)
		bytes += parts[i].bytes;
	copy = calloc(1, bytes);
	ck_assert_ptr_nonnull(copy);
	changed(parts, n, copy);
	pid = begin(op, op_arg);
	if (!stopped(pid, SIGSTOP))
		ck_abort_msg("the stepped process did not begin");
	do {
		ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		if (stopped(pid, SIGSTOP))
			break;
		if (changed(parts, n, copy)) {
			stores++;
			fn(fn_arg);
		}
	} while (true);
	ck_assert_int_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	free(copy);
	return stores;
}
