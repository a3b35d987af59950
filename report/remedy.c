/* SPDX-License-Identifier: MIT */
/*
 * report/remedy.c - what is likely behind a failure, and what to do about it
 *
 * The most special answer first: by what Xen said of the grant, then by operation and errno, then by
 * kind. Whoever adds a failure that is none of these adds its line here.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "report/failure.h"
#include "hypercall.h"

/* What a status means, is likely due to, and asks for: of grants that a client wants mapped or copied. */
struct advice {
	int status;
	const char *words;
	const char *cause;
	const char *remedy;
};

static const struct advice by_status[] = {
	{ GNTST_okay, "done", "nothing is wrong with this grant", "look at the other grants" },
	{ GNTST_general_error, "an error without a name of its own",
	  "the granter's domain is ending, or Xen met something it did not expect",
	  "see \"xl list\" for the domain and \"xl dmesg\" for what Xen says" },
	{ GNTST_bad_domain, "there is no such domain",
	  "the granter has ended, or the domain number is wrong",
	  "check the domid with \"xl list\"; end the back end of a domain that has gone" },
	{ GNTST_bad_gntref, "the reference is not granted to this domain",
	  "the front end has ended its grant, granted it to another domain, or never granted it",
	  "check that the front end grants to this domain before it passes the reference on, and "
	  "that both use the same xenstore entries; restart the front end" },
	{ GNTST_bad_handle, "no mapping has this handle",
	  "the mapping was unmapped by somebody else, or Xen was restarted",
	  "this should not happen: restart cuse-gntdev.service, report it with \"xl dmesg\"" },
	{ GNTST_bad_virt_addr, "the address is not one to map at",
	  "page tables of this domain are not as Xen expects them",
	  "this should not happen: report it with \"xl dmesg\"" },
	{ GNTST_bad_dev_addr, "the device address is not that of the mapping",
	  "the mapping is not the one that the daemon made",
	  "this should not happen: report it with \"xl dmesg\"" },
	{ GNTST_no_device_space, "the I/O MMU has no space left",
	  "very many pages are mapped for devices",
	  "map fewer pages at once, or give this domain fewer devices" },
	{ GNTST_permission_denied, "this domain may not do that with the grant",
	  "the front end granted the page read-only and the client wants to write, or a security "
	  "module of Xen (XSM) refuses",
	  "map it read-only (PROT_READ), have the front end grant it writable, or see \"xl "
	  "dmesg\" for XSM's denials" },
	{ GNTST_bad_page, "the granted page is not one that can be mapped",
	  "the front end granted a page that it does not own, or that is shared or paged out for "
	  "good",
	  "check what memory the front end grants: it must be plain memory of its own" },
	{ GNTST_bad_copy_arg, "the copy crosses a page's end",
	  "offset and length of a segment go beyond 4096 bytes",
	  "have the client split the segment at the page's end" },
	{ GNTST_address_too_big, "the page's address is too big",
	  "the page lies beyond what this domain can address",
	  "this should not happen: report it with \"xl dmesg\"" },
	{ GNTST_eagain, "the page is paged out, and did not come back in time",
	  "the granter's memory is paged (xenpaging), and the pager is slow or has ended",
	  "see that the domain's pager runs; the client may try again" },
	{ GNTST_no_space, "Xen has no handles left (maptrack)",
	  "this domain maps as many grants as Xen allows it",
	  "see \"gntdevctl stats\" and \"gntdevctl list\" for who maps them; raise "
	  "gnttab_max_maptrack_frames on Xen's command line" },
};

static const struct advice lost = {
	.cause = "Xen did not unmap the grant, so the granter's page stays in use",
	.remedy = "the granter cannot use that page again until the daemon ends: restart "
		  "cuse-gntdev.service when its clients have ended, and see \"xl dmesg\"",
};

/* No rule's word, but that of the policy as a whole. */
static const struct advice pv_descriptor = {
	.cause = "in a PV dom0 a window gives its holder all of the granter's memory: by default "
		 "only root "
		 "gets one, and nobody who has been passed another user's descriptor",
	.remedy = "trust the client by a rule with pv_descriptor = yes in /etc/cuse-gntdev.conf, "
		  "or run "
		  "it as root; have it open the device itself",
};

static const struct advice *advice_of(int status)
{
	for (size_t i = 0; i < sizeof(by_status) / sizeof(by_status[0]); i++)
		if (by_status[i].status == status)
			return &by_status[i];
	return NULL;
}

const char *failure_status_words(int status)
{
	const struct advice *a = advice_of(status);

	return a ? a->words : "not a status of Xen's";
}

/* Failures of requests: what a client did, by operation and errno. 0: any. */
static const struct {
	enum trace_op op;
	int error;
	const char *cause;
	const char *remedy;
} by_request[] = {
	{ TRACE_MAP_GRANT_REF, EINVAL, "the client asks for no page, or for more than --limit",
	  "have the client map less at once, or start the daemon with a higher --limit" },
	{ TRACE_UNMAP_GRANT_REF, ENOENT,
	  "the client unmaps twice, or with another count than it mapped",
	  "check the client's index and count against its MAP_GRANT_REF (gntdevctl trace --pid)" },
	{ TRACE_GET_OFFSET_FOR_VADDR, EINVAL,
	  "there is no mapping of this device at or above that address in the client",
	  "check the address; it must be one that mmap of this device returned" },
	{ TRACE_SET_UNMAP_NOTIFY, EINVAL,
	  "the event channel is not bound in this domain, the action is unknown, or the byte lies "
	  "in a read-only mapping",
	  "bind the event channel before, clear bytes in writable mappings only" },
	{ TRACE_SET_UNMAP_NOTIFY, ENOENT, "no map of the client has that byte",
	  "set the notification after MAP_GRANT_REF, with an index inside the map" },
	{ TRACE_GRANT_COPY, EINVAL, "a segment has no grant at all, or crosses the end of a page",
	  "give each segment a grant on one side, and split it at page ends" },
	{ TRACE_MMAP, EINVAL,
	  "no map of that index and length, or it was mmapped before: that works once only",
	  "use the index of MAP_GRANT_REF and the whole length; map the grants anew for a second "
	  "mmap" },
	{ TRACE_MMAP, EACCES, "the descriptor was not opened for writing",
	  "have the client open the device O_RDWR" },
	{ TRACE_MMAP, ENODEV,
	  "who asked does not hold the device open, or its preload object is "
	  "of another version",
	  "restart the client, so that it loads the preload object that is installed now" },
	{ TRACE_OTHER_IOCTL, ENOTTY, "the client uses an ioctl that the device does not have",
	  "dma-buf and 32-bit calls are not there, nor in Debian's driver: build the client "
	  "without them" },
	{ 0, EFAULT, "an argument is not in the client's memory, or cannot be written there",
	  "this is a fault of the client's: see its own log" },
	{ 0, ENOMEM,
	  "memory is short, or the caller's memory cannot be reached, and the call is too large "
	  "for the kernel to copy (128 KiB)",
	  "see the memory that is free; do not run the client in a pid namespace of its own" },
	{ 0, ENOTTY, "the client uses an ioctl that the device does not have",
	  "check which device the client has opened" },
	{ 0, EBADF, "the descriptor was closed while the call was going on",
	  "this is a race in the client between close and ioctl" },
};

static const struct {
	const char *cause;
	const char *remedy;
} by_kind[FAILURE_KINDS] = {
	[FAILURE_REQUEST] = { "the client asks for what the device does not do",
			      "see what it does: gntdevctl trace --pid" },
	[FAILURE_GRANT] = { "Xen refused the grant", "see \"xl dmesg\"" },
	[FAILURE_SYSTEM] = { "a hypercall or a system call failed, as the text says",
			     "see memory, limits and \"dmesg\"; gntdevctl doctor looks at the "
			     "usual causes" },
	[FAILURE_RULE] = { "a rule of the policy forbids it",
			   "see which: gntdevctl policy explain --pid P --domid D; change the rule "
			   "and systemctl reload cuse-gntdev.service, if the client is to be "
			   "allowed" },
	[FAILURE_LIMIT] = { "a limit of the policy is reached",
			    "see gntdevctl stats for who uses how much; raise the limit in "
			    "/etc/cuse-gntdev.conf and systemctl reload cuse-gntdev.service" },
	[FAILURE_PRELOAD] = { "the client runs without libgntdev-mmap.so, and the kernel has no "
			      "mmap for CUSE devices",
			      "start it as \"gntdev-run PROGRAM ARGS\", or set LD_PRELOAD in its "
			      "unit" },
};

static bool was_lost(const struct failure_entry *e)
{
	return e->kind == FAILURE_GRANT && e->op == TRACE_HV_UNMAP;
}

/* Return: its place in by_request, or -1. */
static int find_request(const struct failure_entry *e)
{
	for (size_t i = 0; i < sizeof(by_request) / sizeof(by_request[0]); i++)
		if (by_request[i].error == e->error &&
		    (!by_request[i].op || by_request[i].op == e->op))
			return (int)i;
	return -1;
}

/* Return: NULL if there is nothing special about it. */
static const struct advice *find_advice(const struct failure_entry *e)
{
	if (was_lost(e))
		return &lost;
	if (e->kind == FAILURE_RULE && !strcmp(e->rule, "pv_descriptor"))
		return &pv_descriptor;
	return e->kind == FAILURE_GRANT ? advice_of(e->status) : NULL;
}

const char *failure_cause(const struct failure_entry *e)
{
	const struct advice *a = find_advice(e);
	int i = e->kind == FAILURE_REQUEST ? find_request(e) : -1;

	if (a)
		return a->cause;
	return i >= 0 ? by_request[i].cause : by_kind[e->kind].cause;
}

const char *failure_remedy(const struct failure_entry *e)
{
	const struct advice *a = find_advice(e);
	int i = e->kind == FAILURE_REQUEST ? find_request(e) : -1;

	if (a)
		return a->remedy;
	return i >= 0 ? by_request[i].remedy : by_kind[e->kind].remedy;
}
