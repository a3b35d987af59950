/* SPDX-License-Identifier: MIT */
/*
 * report/reason.h - why something failed for a client, as it is known where it fails
 *
 * An errno stands for many things; a reason stands for one. Whoever reports a failure names it, and
 * report/remedy.c has its cause and its cure: nothing is guessed from an errno afterwards. A new reason is a line
 * here and a row there.
 */
#ifndef REPORT_REASON_H
#define REPORT_REASON_H

enum failure_reason {
	WHY_UNNAMED, /* nobody has said: a fault of the daemon's */

	/* Of any request */
	WHY_CALLER_MEMORY,     /* EFAULT */
	WHY_TOO_MUCH_TO_COPY,  /* ENOMEM: more than the kernel copies for a caller */
	WHY_NO_MEMORY,	       /* ENOMEM: the daemon has none */
	WHY_TOO_MANY_REQUESTS, /* ENOMEM: the client's user has too many in hand */
	WHY_CLOSED,	       /* EBADF: the open was closed meanwhile */
	WHY_ENDING,	       /* ECONNABORTED: the daemon ends */
	WHY_NO_SUCH_IOCTL,
	WHY_32_BIT,

	/* Of one ioctl each */
	WHY_MAP_COUNT,
	WHY_UNMAP_NO_MAP,
	WHY_NO_MAPPING_THERE,
	WHY_NOTIFY_ACTION,
	WHY_NOTIFY_PORT,
	WHY_NOTIFY_PLACE,
	WHY_NOTIFY_NO_MAP,
	WHY_NOTIFY_READ_ONLY,
	WHY_COPY_NO_GRANT,
	WHY_COPY_CROSSES,

	/* Of mmap */
	WHY_NOT_OPEN,	 /* the open that the request names has gone */
	WHY_WRONG_TOKEN, /* it is there, and this is not its token */
	WHY_PROTOCOL,	 /* a window request of another version */
	WHY_WINDOW_REQUEST,
	WHY_ACCESS,
	WHY_PRIVATE,
	WHY_MMAP_NO_MAP,
	WHY_MMAPPED_BEFORE,
	WHY_SEVERAL_DOMAINS,
	WHY_NO_WINDOW,
	WHY_NO_DESCRIPTORS,
	WHY_NO_ACCEPT,
	WHY_NO_PLACE,
	WHY_NO_PRELOAD,
	WHY_PRELOAD_FAILED, /* a token was asked for, and then no window */

	/* Of Xen: which, says the status */
	WHY_GRANT,
	WHY_NOT_UNMAPPED,
	WHY_HYPERCALL,

	/* Of the policy */
	WHY_RULE,
	WHY_PV_DESCRIPTOR,
	WHY_LIMIT,

	/* Of the simulator's evtchn */
	WHY_PORT_NOT_OURS,
	WHY_PORT_NO_DOMAIN,
	WHY_PORT_NOT_UNBOUND,
	WHY_PORT_NONE_FREE,
	WHY_PORT_RESTRICTED,
	WHY_VIRQ,
	WHY_VIRQ_BOUND,

	/* Of the simulator's gntalloc */
	WHY_ALLOC_LIMIT,
	WHY_OPENS,
	WHY_ALLOC_NO_REFS,
	WHY_ALLOC_NO_PAGE,
	WHY_ALLOC_FIELD,
	WHY_SIM_MEMORY,

	FAILURE_REASONS,
};

#endif /* REPORT_REASON_H */
