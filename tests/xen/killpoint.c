/* SPDX-License-Identifier: MIT */
/*
 * killpoint.c - kills a process at one of its hypercalls
 *
 *     killpoint PID N   before its hypercall number N / 2 from now on (N even), or after it (odd)
 *
 * Says "ready" when it watches. A hypercall that it kills the process before is not made.
 * Prints what the hypercall was. Ends with the process.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/sys/privcmd.h>

#define OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE)

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch_all(pid_t pid)
{
	char path[64];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		die(path);
	while ((e = readdir(dir))) {
		pid_t tid = atoi(e->d_name);

		if (tid &&
		    (ptrace(PTRACE_SEIZE, tid, 0, OPTIONS) || ptrace(PTRACE_INTERRUPT, tid, 0, 0)))
			die("ptrace");
	}
	closedir(dir);
}

static bool at_hypercall(pid_t tid, pid_t pid, struct privcmd_hypercall *call)
{
	struct user_regs_struct regs;
	struct iovec here = { call, sizeof(*call) }, there = { NULL, sizeof(*call) };

	if (ptrace(PTRACE_GETREGS, tid, 0, &regs) || regs.orig_rax != SYS_ioctl ||
	    regs.rsi != IOCTL_PRIVCMD_HYPERCALL)
		return false;
	there.iov_base = (void *)regs.rdx;
	return process_vm_readv(pid, &here, 1, &there, 1, 0) == sizeof(*call);
}

int main(int argc, char **argv)
{
	pid_t pid = argc > 2 ? atoi(argv[1]) : 0, tid;
	int n = argc > 2 ? atoi(argv[2]) : 0, status, deliver;
	struct privcmd_hypercall call;

	if (!pid)
		return 2;
	watch_all(pid);
	puts("ready");
	fflush(stdout);
	while ((tid = waitpid(-1, &status, __WALL)) > 0) {
		if (!WIFSTOPPED(status))
			continue;
		deliver = 0;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			if (at_hypercall(tid, pid, &call) && n-- == 0) {
				printf("killed: hypercall %llu, command %llu\n",
				       (unsigned long long)call.op,
				       (unsigned long long)call.arg[0]);
				fflush(stdout);
				kill(pid, SIGKILL);
			}
		} else if (status >> 16 == 0) {
			deliver = WSTOPSIG(status);
		}
		if (ptrace(PTRACE_SYSCALL, tid, 0, deliver) && errno != ESRCH)
			die("ptrace");
	}
	return 0;
}
