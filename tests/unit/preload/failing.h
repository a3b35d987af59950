/* SPDX-License-Identifier: MIT */
/*
 * preload/failing.h - an mmap in which each system call of the object fails in its turn
 */
#ifndef TEST_PRELOAD_FAILING_H
#define TEST_PRELOAD_FAILING_H

#include "tests/unit/preload/daemon.h"

static inline int expected_error(long nr, int error)
{
	switch (nr) {
	case SYS_mmap:
	case SYS_fcntl:
	case PRIVCMD_FILL:
		return error;
	case SYS_close:
	case SYS_munmap:
	case SYS_madvise:
		return 0;
	case SYS_connect:
	case SYS_sendto:
	case SYS_recvmsg:
		return error == EINTR ? 0 : ENODEV;
	case SYS_socket:
		return error == EMFILE || error == ENFILE || error == ENOMEM ? error : ENODEV;
	/* There is another way. */
	case SYS_readlinkat:
	case SYS_geteuid:
		return 0;
	case SYS_socketpair:
		return error == EMFILE || error == ENFILE || error == ENOMEM ? error : 0;
	case SYS_getpid:
	case ASK_BY_IOCTL:
		return 0;
	default:
		return ENODEV;
	}
}

/* Every system call in its turn fails with every one of these. */
static inline void fail_each_call(size_t length, int flags, void *addr)
{
	static const int errors[] = { EINTR, ENOMEM, EMFILE, ENFILE, EPERM };
	const int fds = descriptors();
	char *p = try_map(addr, length, RW, flags);
	const int n = calls.n;

	ck_assert_ptr_ne(p, MAP_FAILED);
	munmap(p, length);
	/* The last one puts the signal mask back: that has no way to fail. */
	for (int at = 2; at < n; at++) {
		for (int e = 0; e < 5; e++) {
			int expected, got;

			calls.fail_at = at;
			calls.error = errors[e];
			p = try_map(addr, length, RW, flags);
			got = p == MAP_FAILED ? errno : 0;
			expected = expected_error(calls.nr[at - 1], errors[e]);
			/* A limit: it is tried again without what was reserved. */
			if (calls.of_window[at - 1] && errors[e] == ENOMEM && calls.n == n + 2)
				expected = 0;
			ck_assert_msg(got == expected, "call %d, number %ld: %s, not %s", at,
				      calls.nr[at - 1], strerror(got), strerror(expected));
			if (!got)
				munmap(p, length);
			ck_assert_int_eq(windows(), 0);
			ck_assert_int_eq(descriptors(), fds);
			ck_assert(signal_mask() == 0);
			assert_none_held(0);
		}
	}
	calls.fail_at = 0;
}

#endif /* TEST_PRELOAD_FAILING_H */
