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

	/* No ck_assert(): it is a system call, and this is for each instruction. */
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		ck_abort_msg("the stepped process has ended: status 0x%x%s", status,
			     WIFEXITED(status) && WEXITSTATUS(status) == 1 ? ": no ptrace(2) here"
									   : "");
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

/**
 * struct stepped - a child on its way
 * @copy: of the parts, as they were after the last store
 */
struct stepped {
	pid_t pid;
	const struct prefix_part *parts;
	size_t n;
	unsigned char *copy;
};

static void step_begin(struct stepped *s, void (*op)(void *arg), void *op_arg,
		       const struct prefix_part *parts, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += parts[i].bytes;
	*s = (struct stepped){ .parts = parts, .n = n, .copy = calloc(1, bytes) };
	ck_assert_ptr_nonnull(s->copy);
	changed(parts, n, s->copy);
	s->pid = begin(op, op_arg);
	if (!stopped(s->pid, SIGSTOP))
		ck_abort_msg("the stepped process did not begin");
}

/* Up to its next store. Return: false: it has come to its end. */
static bool step_store(struct stepped *s)
{
	do {
		if (ptrace(PTRACE_SINGLESTEP, s->pid, NULL, NULL))
			ck_abort_msg("cannot step the process");
		if (stopped(s->pid, SIGSTOP))
			return false;
	} while (!changed(s->parts, s->n, s->copy));
	return true;
}

static void step_end(struct stepped *s)
{
	kill(s->pid, SIGKILL);
	ck_assert_int_eq(waitpid(s->pid, NULL, 0), s->pid);
	free(s->copy);
}

unsigned int prefix_each(void (*op)(void *arg), void *op_arg, const struct prefix_part *parts,
			 size_t n, void (*fn)(void *arg), void *fn_arg)
{
	unsigned int stores = 0;
	struct stepped s;

	step_begin(&s, op, op_arg, parts, n);
	for (; step_store(&s); stores++)
		fn(fn_arg);
	step_end(&s);
	return stores;
}

bool prefix_kill(void (*op)(void *arg), void *op_arg, const struct prefix_part *parts, size_t n,
		 unsigned int nth)
{
	struct stepped s;
	bool more = true;

	step_begin(&s, op, op_arg, parts, n);
	while (more && nth--)
		more = step_store(&s);
	step_end(&s);
	return more;
}
