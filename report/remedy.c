/* SPDX-License-Identifier: MIT */
/*
 * report/remedy.c - what is behind a failure, and what to do about it
 *
 * One row for each reason (report/reason.h), which was recorded where the failure happened; where Xen refused a grant,
 * one row for each of its statuses. Of a remedy {pid} and {domid} are the failure's own. Commands in it can be
 * pasted.
 */
#include <stdbool.h>
#include <stdio.h>
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
	  "the granter's domain is ending, or this grant is mapped as often as Xen allows (255 "
	  "times), or Xen met "
	  "something it did not expect",
	  "see whether domain {domid} is there (xl list), who maps it how often (gntdevctl list "
	  "--domid {domid}), and "
	  "what Xen says (xl dmesg)" },
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

static const struct {
	enum failure_kind kind;
	const char *name;
	const char *cause;
	const char *remedy;
} by_reason[FAILURE_REASONS] = {
	[WHY_UNNAMED] = { FAILURE_REQUEST, "unnamed", "the daemon does not say why it refuses this",
			  "this is a fault of the daemon's: report it with what the client does "
			  "(gntdevctl trace "
			  "--pid {pid})" },

	[WHY_CALLER_MEMORY] = { FAILURE_REQUEST, "caller_memory",
				"an argument is not in the client's memory, or cannot be written "
				"there",
				"this is a fault of the client's: see its own log, or gntdevctl "
				"trace --pid {pid}" },
	[WHY_TOO_MUCH_TO_COPY] = { FAILURE_REQUEST, "too_much_to_copy",
				   "the daemon does not reach this client's memory by itself (it "
				   "is in another pid "
				   "namespace, say), and the kernel copies no more than 128 KiB "
				   "and 256 areas",
				   "have the client ask for less at once, or run it in the "
				   "daemon's pid namespace" },
	[WHY_NO_MEMORY] = { FAILURE_SYSTEM, "no_memory", "the daemon got no memory",
			    "see what it has and may have: systemctl show cuse-gntdev.service -p "
			    "MemoryCurrent,MemoryMax; and what is free" },
	[WHY_TOO_MANY_REQUESTS] = { FAILURE_LIMIT, "too_many_requests",
				    "this user has more calls under way at a time than one user "
				    "may",
				    "see what they wait for: gntdevctl trace --pid {pid}; have "
				    "fewer "
				    "threads call at a time" },
	[WHY_CLOSED] = { FAILURE_REQUEST, "closed",
			 "the descriptor was closed while the call was going on",
			 "this is a race in the client between close and ioctl" },
	[WHY_ENDING] = { FAILURE_SYSTEM, "ending",
			 "the daemon was told to end while the call was going on",
			 "end clients before the daemon; have them open the device again when it "
			 "is back" },
	[WHY_NO_SUCH_IOCTL] = { FAILURE_REQUEST, "no_such_ioctl",
				"the client uses an ioctl that the device does not have",
				"check which device it has opened; dma-buf is not there, nor in "
				"Debian's driver: build "
				"the client without" },
	[WHY_32_BIT] = { FAILURE_REQUEST, "32_bit",
			 "the client is a 32-bit program, and the driver serves none",
			 "run a client of the machine's own architecture" },

	[WHY_MAP_COUNT] = { FAILURE_REQUEST, "map_count",
			    "the client asks for no page, or for more than the daemon's --limit",
			    "have the client map less at once, or start the daemon with a higher "
			    "--limit" },
	[WHY_UNMAP_NO_MAP] = { FAILURE_REQUEST, "unmap_no_map",
			       "the client unmaps twice, or with another count than it mapped",
			       "check the client's index and count against its MAP_GRANT_REF "
			       "(gntdevctl trace --pid "
			       "{pid})" },
	[WHY_NO_MAPPING_THERE] = { FAILURE_REQUEST, "no_mapping_there",
				   "there is no mapping of this device at or above that address in "
				   "the client",
				   "check the address: it must be one that mmap of this device "
				   "returned" },
	[WHY_NOTIFY_ACTION] = { FAILURE_REQUEST, "notify_action",
				"the action has bits that mean nothing",
				"have the client ask for UNMAP_NOTIFY_CLEAR_BYTE, "
				"UNMAP_NOTIFY_SEND_EVENT or both" },
	[WHY_NOTIFY_PORT] = { FAILURE_REQUEST, "notify_port",
			      "the event channel is not bound in this domain",
			      "have the client bind it before; on the simulator: "
			      "--sim-port=PORT:DOMID" },
	[WHY_NOTIFY_PLACE] = { FAILURE_SYSTEM, "notify_place",
			       "the keeper holds as many open files of /dev/xen/evtchn as it may",
			       "end notifications that are not needed (gntdevctl list shows who "
			       "has "
			       "most maps), or bind several event channels by one open file" },
	[WHY_NOTIFY_NO_MAP] = { FAILURE_REQUEST, "notify_no_map",
				"no map of this open has that byte",
				"set the notification after MAP_GRANT_REF, with an index inside "
				"the map" },
	[WHY_NOTIFY_READ_ONLY] = { FAILURE_REQUEST, "notify_read_only",
				   "the byte lies in a mapping that is read-only",
				   "clear bytes in writable mappings only" },
	[WHY_COPY_NO_GRANT] = { FAILURE_REQUEST, "copy_no_grant",
				"both sides of a segment are local: it has no grant",
				"give each segment a grant on one side at least; to copy memory, "
				"memcpy" },
	[WHY_COPY_CROSSES] = { FAILURE_REQUEST, "copy_crosses",
			       "a segment goes beyond the end of a granted page",
			       "have the client split the segment at the page's end" },

	[WHY_NOT_OPEN] = { FAILURE_REQUEST, "not_open",
			   "the client ended, or closed its descriptor, while its mmap was going "
			   "on",
			   "nothing, if it was ended; else this is a race in the client between "
			   "close and mmap" },
	[WHY_WRONG_TOKEN] = { FAILURE_REQUEST, "wrong_token",
			      "who asked does not hold this descriptor",
			      "see what process {pid} is: it asks for another's window" },
	[WHY_PROTOCOL] = { FAILURE_REQUEST, "protocol",
			   "what asked is no preload object of the daemon's version",
			   "restart the client, so that it loads the object that is installed "
			   "now" },
	[WHY_WINDOW_REQUEST] = { FAILURE_REQUEST, "window_request",
				 "the request for a window makes no sense",
				 "see what process {pid} is: a preload object does not ask so" },
	[WHY_ACCESS] = { FAILURE_REQUEST, "access", "the descriptor was not opened for that",
			 "have the client open the device O_RDWR" },
	[WHY_PRIVATE] = { FAILURE_REQUEST, "private",
			  "a writable mapping of grants cannot be private",
			  "have the client use MAP_SHARED" },
	[WHY_MMAP_NO_MAP] = { FAILURE_REQUEST, "mmap_no_map",
			      "no map of this open has that index and length",
			      "use the index of MAP_GRANT_REF and the whole length" },
	[WHY_MMAPPED_BEFORE] = { FAILURE_REQUEST, "mmapped_before",
				 "this map was mmapped before, and that works once only",
				 "map the grants anew for a second mmap" },
	[WHY_SEVERAL_DOMAINS] = { FAILURE_REQUEST, "several_domains",
				  "in a PV dom0 one mmap shows grants of one domain only",
				  "have the client map each domain's grants by a call of their "
				  "own" },
	[WHY_NO_WINDOW] = { FAILURE_SYSTEM, "no_window",
			    "the file that shows the grants could not be made",
			    "the text says why not: of memory, see what is free and the tmpfs of "
			    "the daemon "
			    "(gntdevctl stats: frames away)" },
	[WHY_NO_DESCRIPTORS] = { FAILURE_SYSTEM, "no_descriptors",
				 "the daemon has no descriptor left",
				 "raise LimitNOFILE= (systemctl edit cuse-gntdev.service); "
				 "gntdevctl list --opens says "
				 "who maps so much" },
	[WHY_NO_ACCEPT] = { FAILURE_SYSTEM, "no_accept",
			    "the kernel gives the daemon no connection",
			    "the text says why not; of EMFILE: raise LimitNOFILE= (systemctl edit "
			    "cuse-gntdev.service)" },
	[WHY_NO_PLACE] = { FAILURE_SYSTEM, "no_place",
			   "all places of the window socket are taken, most of them by this user, "
			   "and others want one",
			   "see in gntdevctl top who makes so many mmaps at once; 1,000 at a time "
			   "are served" },
	[WHY_NO_PRELOAD] = { FAILURE_PRELOAD, "no_preload",
			     "no preload object has asked for a window: it is not in this client, "
			     "or the client wanted "
			     "no mmap",
			     "if its mmap failed with ENODEV: start it as \"gntdev-run PROGRAM "
			     "ARGS\", or set LD_PRELOAD "
			     "in its unit. If it was: a static or Go program does not take the "
			     "object; see "
			     "gntdev-mmap(7)" },
	[WHY_PRELOAD_FAILED] = { FAILURE_PRELOAD, "preload_failed",
				 "the preload object is in this client, and could not ask for a "
				 "window: the client has no free descriptor or no memory for it, "
				 "or does not reach the daemon's socket",
				 "raise the client's LimitNOFILE= or LimitAS=; give it the "
				 "daemon's run "
				 "directory if its unit has a "
				 "/run of its own: BindReadOnlyPaths=/run/cuse-gntdev" },

	[WHY_GRANT] = { FAILURE_GRANT, "grant", "Xen refused the grant", "see \"xl dmesg\"" },
	[WHY_NOT_UNMAPPED] = { FAILURE_GRANT, "not_unmapped",
			       "Xen did not unmap the grant, so the granter's page stays in use",
			       "the granter cannot use that page again until the daemon ends: "
			       "restart "
			       "cuse-gntdev.service when its clients have ended, and see \"xl "
			       "dmesg\"" },
	[WHY_HYPERCALL] = { FAILURE_SYSTEM, "hypercall",
			    "the hypercall itself failed, as the text says",
			    "see \"dmesg\" and \"xl dmesg\"; gntdevctl doctor looks at the usual "
			    "causes" },

	[WHY_RULE] = { FAILURE_RULE, "rule", "a rule of the policy forbids it",
		       "see which: gntdevctl policy explain --pid {pid} --domid {domid}; change "
		       "the rule and systemctl "
		       "reload cuse-gntdev.service, if the client is to be allowed" },
	[WHY_PV_DESCRIPTOR] = { FAILURE_RULE, "pv_descriptor",
				"in a PV dom0 a window gives its holder all of the granter's "
				"memory: by default only root "
				"gets one, and nobody who has been passed another user's "
				"descriptor",
				"trust the client by a rule with pv_descriptor = yes in "
				"/etc/cuse-gntdev.conf, or run it "
				"as root; have it open the device itself" },
	[WHY_LIMIT] = { FAILURE_LIMIT, "limit", "a limit of the policy is reached",
			"see gntdevctl stats for who uses how much; raise the limit in "
			"/etc/cuse-gntdev.conf and "
			"systemctl reload cuse-gntdev.service" },

	[WHY_PORT_NOT_OURS] = { FAILURE_REQUEST, "port_not_ours",
				"no such event channel is bound through this descriptor",
				"use the port that the bind returned, through the same open, "
				"before "
				"it is unbound" },
	[WHY_PORT_NO_DOMAIN] = { FAILURE_REQUEST, "port_no_domain",
				 "there is no such domain, or there can be none",
				 "check the domid; a simulated domain is there if the daemon was "
				 "started with a device for it" },
	[WHY_PORT_NOT_UNBOUND] = { FAILURE_REQUEST, "port_not_unbound",
				   "the remote port is not one that waits for this domain",
				   "have the other domain bind an unbound port for this one first, "
				   "and pass its number on; a port can be bound to once" },
	[WHY_PORT_NONE_FREE] = { FAILURE_SYSTEM, "port_none_free",
				 "all event channels of the domain are in use",
				 "end programs of that domain, or have them unbind what they do "
				 "not "
				 "need" },
	[WHY_PORT_RESTRICTED] = { FAILURE_REQUEST, "port_restricted",
				  "the client has restricted its descriptor to one domain",
				  "open the device once more for other domains" },
	[WHY_VIRQ] = { FAILURE_REQUEST, "virq", "there is no such VIRQ",
		       "check the number; the simulator raises VIRQ_DOM_EXC (3)" },
	[WHY_VIRQ_BOUND] = { FAILURE_REQUEST, "virq_bound",
			     "a VIRQ is bound once in a domain, and this one is",
			     "find the program that has it: fuser -v on the device" },
	[WHY_ALLOC_LIMIT] = { FAILURE_LIMIT, "alloc_limit",
			      "as many pages are granted as --gntalloc-limit allows",
			      "see who has them: fuser -v on the device; start the daemon with a "
			      "higher --gntalloc-limit" },
	[WHY_OPENS] = { FAILURE_LIMIT, "opens",
			"this user has the device open as often as one user may",
			"see who has it open: fuser -v on the device; end clients that do "
			"not "
			"close it" },
	[WHY_ALLOC_NO_REFS] = { FAILURE_SYSTEM, "alloc_no_refs",
				"the simulated domain's grant table is full",
				"end clients that grant, or have them free what they granted" },
	[WHY_ALLOC_NO_PAGE] = { FAILURE_REQUEST, "alloc_no_page",
				"no page of this descriptor is there",
				"use the index of ALLOC_GREF, and no more pages than it gave" },
	[WHY_ALLOC_FIELD] = { FAILURE_REQUEST, "alloc_field", "a field is out of range",
			      "check the client's flags, index and count" },
	[WHY_SIM_MEMORY] = { FAILURE_SYSTEM, "sim_memory",
			     "the simulated machine has no memory left",
			     "end clients that grant, or start the daemon with a higher "
			     "--sim-memory" },
};

enum failure_kind failure_reason_kind(enum failure_reason why)
{
	return by_reason[why].kind;
}

const char *failure_reason_name(enum failure_reason why)
{
	return by_reason[why].name;
}

const char *failure_reason_cause(enum failure_reason why)
{
	return by_reason[why].cause;
}

/* Return: NULL if it is not a grant's status that says most. */
static const struct advice *find_advice(const struct failure_entry *e)
{
	return e->why == WHY_GRANT ? advice_of(e->status) : NULL;
}

const char *failure_cause(const struct failure_entry *e)
{
	const struct advice *a = find_advice(e);

	return a ? a->cause : by_reason[e->why].cause;
}

/* Return: the length of a placeholder at @text, 0 if there is none; *@value is what stands in for it, -1 unknown. */
static size_t placeholder(const char *text, const struct failure_entry *e, long *value,
			  const char **unknown)
{
	if (!strncmp(text, "{pid}", 5)) {
		*value = e->pid > 0 ? e->pid : -1;
		*unknown = "PID";
		return 5;
	}
	if (!strncmp(text, "{domid}", 7)) {
		*value = e->domid;
		*unknown = "DOMID";
		return 7;
	}
	return 0;
}

void failure_remedy(const struct failure_entry *e, char *out, size_t size)
{
	const struct advice *a = find_advice(e);
	const char *text = a ? a->remedy : by_reason[e->why].remedy, *unknown;
	size_t at = 0, n;
	long value;

	while (*text && at + 1 < size) {
		n = placeholder(text, e, &value, &unknown);
		if (!n)
			out[at++] = *text++;
		else if (value < 0)
			at += (size_t)snprintf(out + at, size - at, "%s", unknown);
		else
			at += (size_t)snprintf(out + at, size - at, "%ld", value);
		text += n;
	}
	out[at < size ? at : size - 1] = '\0';
}
