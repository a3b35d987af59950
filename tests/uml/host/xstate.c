/* SPDX-License-Identifier: MIT */
/*
 * xstate.c - put in front of the C library of User-Mode Linux, on the host
 *
 * User-Mode Linux saves and restores its processes' registers by ptrace(2), in a buffer that ends
 * with AVX-512. On processors with more state (AMX) the host refuses to take back less than all of it
 * (EFAULT), and no process of the guest lives. So give the host what it has itself, with the guest's
 * part over it: no program there uses the rest.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define XSTATE_MAX 65536

typedef long ptrace_fn(enum __ptrace_request request, pid_t pid, void *addr, void *data);

static long set_all(ptrace_fn *next, pid_t pid, const struct iovec *part)
{
	static unsigned char state[XSTATE_MAX];
	struct iovec all = { state, sizeof(state) };

	if (next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all))
		return -1;
	memcpy(state, part->iov_base, part->iov_len < all.iov_len ? part->iov_len : all.iov_len);
	return next(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
	static ptrace_fn *next;
	void *addr, *data;
	va_list ap;
	pid_t pid;
	long ret;

	if (!next)
		next = (ptrace_fn *)dlsym(RTLD_NEXT, "ptrace");
	va_start(ap, request);
	pid = va_arg(ap, pid_t);
	addr = va_arg(ap, void *);
	data = va_arg(ap, void *);
	va_end(ap);
	ret = next(request, pid, addr, data);
	if (ret == -1 && errno == EFAULT && request == PTRACE_SETREGSET &&
	    addr == (void *)NT_X86_XSTATE)
		ret = set_all(next, pid, data);
	return ret;
}
