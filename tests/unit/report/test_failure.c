/* SPDX-License-Identifier: MIT */
/*
 * report/test_failure.c - whatever goes wrong for a client is in the list of failures and in the journal
 *
 * Each test here provokes a failure at a whole device on the simulator, then reads the entry and the
 * journal's fields that came of it. libsystemd's sd_journal_sendv() is ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "report/failure.h"
#include "base/log.h"
#include "tests/unit/rig.h"
#include "window/reply.h"

#define RW (PROT_READ | PROT_WRITE)

typedef struct ioctl_gntdev_grant_copy_segment segment_t;

/* The last entry of the journal, its fields one a line; and how many there have been. */
static char journal[4096];
static unsigned int n_journal;

int sd_journal_sendv(const struct iovec *iov, int n);

int sd_journal_sendv(const struct iovec *iov, int n)
{
	size_t at = 0;

	for (int i = 0; i < n; i++)
		at += (size_t)snprintf(journal + at, sizeof(journal) - at, "%.*s\n",
				       (int)iov[i].iov_len, (const char *)iov[i].iov_base);
	n_journal++;
	return 0;
}

/* Whether the journal's last entry has exactly this field. */
static void field(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void field(const char *fmt, ...)
{
	char want[512], lines[sizeof(journal) + 2];
	va_list ap;
	int n;

	want[0] = '\n';
	va_start(ap, fmt);
	n = vsnprintf(want + 1, sizeof(want) - 2, fmt, ap);
	va_end(ap);
	strcpy(want + 1 + n, "\n");
	snprintf(lines, sizeof(lines), "\n%s", journal);
	ck_assert_msg(strstr(lines, want), "no field %s in:%s", want + 1, lines);
}

static void setup(void)
{
	char stream[64];
	struct stat st;

	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_init(false);
	rig_setup();
	n_journal = 0;
}

/* The one failure that there has been, in the list and in the journal. */
static void the_failure(struct failure_entry *e)
{
	ck_assert_uint_eq(failure_read(0, e, 1), 1);
	ck_assert_uint_eq(e->seq, 1);
	ck_assert_uint_eq(failure_count(failure_reason_kind(e->why)), 1);
	ck_assert_uint_eq(n_journal, 1);
	ck_assert_int_eq(e->pid, gettid());
	/* double.c: whoever calls is root; the opener is who runs this. */
	ck_assert_msg(e->uid == 0 || e->uid == geteuid(), "uid %u", e->uid);
	ck_assert_str_ne(e->comm, "");
	field("MESSAGE=client %d: %s", e->pid, e->text);
	field("GNTDEV_PID=%d", e->pid);
	field("GNTDEV_UID=%u", e->uid);
	field("GNTDEV_COMMAND=%s", e->comm);
	field("GNTDEV_KIND=%s", failure_kind_name(failure_reason_kind(e->why)));
	field("GNTDEV_REASON=%s", failure_reason_name(e->why));
	field("GNTDEV_OPERATION=%s", trace_op_name(e->op));
	field("SYSLOG_IDENTIFIER=cuse_gntdev");
	ck_assert_ptr_nonnull(strstr(journal, "MESSAGE_ID="));
	if (e->error)
		field("ERRNO=%d", e->error);
}

/* --- refusals -------------------------------------------------------------------------------- */

static int ioctl_of(uint32_t cmd, const void *arg)
{
	return double_ioctl(&rig.gd.dev, rig.fh, cmd, arg, DOUBLE_DIRECT);
}

static void map_nothing(void)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 0 };

	ck_assert_int_eq(ioctl_of(IOCTL_GNTDEV_MAP_GRANT_REF, &op), -EINVAL);
}

static void map_too_much(void)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = GNTDEV_LIMIT_DEFAULT + 1 };

	ck_assert_int_eq(ioctl_of(IOCTL_GNTDEV_MAP_GRANT_REF, &op), -EINVAL);
}

static void map_from_nowhere(void)
{
	ck_assert_int_eq(ioctl_of(IOCTL_GNTDEV_MAP_GRANT_REF, rig_no_page()), -EFAULT);
}

static void unmap_what_is_not_there(void)
{
	ck_assert_int_eq(rig_unmap(rig.fh, 0x5000, 3), -ENOENT);
}

static void find_what_is_not_there(void)
{
	struct ioctl_gntdev_get_offset_for_vaddr op = { .vaddr = 4096 };

	ck_assert_int_eq(ioctl_of(IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &op), -EINVAL);
}

static void notify_how(void)
{
	ck_assert_int_eq(rig_notify(rig.fh, 0, 8, 0), -EINVAL);
}

static void notify_nobody(void)
{
	ck_assert_int_eq(rig_notify(rig.fh, 0, UNMAP_NOTIFY_SEND_EVENT, 77), -EINVAL);
}

static void notify_of_nothing(void)
{
	ck_assert_int_eq(rig_notify(rig.fh, 0x9000, UNMAP_NOTIFY_CLEAR_BYTE, 0), -ENOENT);
}

static void copy_nothing_granted(void)
{
	segment_t s = { .len = 8 };
	struct ioctl_gntdev_grant_copy op = { .count = 1, .segments = &s };

	ck_assert_int_eq(ioctl_of(IOCTL_GNTDEV_GRANT_COPY, &op), -EINVAL);
}

static void copy_from_nowhere(void)
{
	ck_assert_int_eq(ioctl_of(IOCTL_GNTDEV_GRANT_COPY, rig_no_page()), -EFAULT);
}

static void ask_for_what_is_not_there(void)
{
	ck_assert_int_eq(ioctl_of(0x4711, NULL), -ENOTTY);
}

static void ask_as_32_bit_program(void)
{
	ck_assert_int_eq(double_ioctl_full(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_UNMAP_GRANT_REF, 0,
					   DOUBLE_DIRECT, true)
				 .result,
			 -ENOTTY);
}

static void must_not_mmap(uint64_t fh, uint64_t index, int prot, int flags, int error)
{
	ck_assert_ptr_eq(rig_mmap(fh, index, 4096, prot, flags), MAP_FAILED);
	ck_assert_int_eq(errno, error);
}

static void mmap_with_a_guess(void)
{
	static const uint8_t guess[16];

	ck_assert_ptr_eq(rig_mmap_with(rig.fh, guess, 0, 4096, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
}

static void mmap_for_more_than_opened(void)
{
	uint64_t fh = rig_open_as(O_RDONLY);

	must_not_mmap(fh, rig_map(fh, rig_grant(false)), RW, MAP_SHARED, EACCES);
}

static void mmap_private(void)
{
	must_not_mmap(rig.fh, rig_map(rig.fh, rig_grant(false)), RW, MAP_PRIVATE, EINVAL);
}

static void mmap_nothing(void)
{
	must_not_mmap(rig.fh, 0x7000, RW, MAP_SHARED, EINVAL);
}

static void give_up_without_preload(void)
{
	ck_assert_int_eq(rig_unmap(rig.fh, rig_map(rig.fh, 9), 1), 0);
}

/* As rust-vmm's vm-memory does. */
static void end_without_unmap(void)
{
	uint64_t fh = rig_open();

	rig_map(fh, 9);
	rig.gd.dev.release(&rig.gd.dev, fh);
}

static void ask_for_a_token(uint64_t fh)
{
	struct window_token token = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };

	ck_assert_int_eq(double_ioctl(&rig.gd.dev, fh, WINDOW_TOKEN, &token, DOUBLE_DIRECT), 0);
}

/* It had no descriptor for a connection, or saw another /run. */
static void give_up_with_preload(void)
{
	uint64_t index = rig_map(rig.fh, 9);

	ask_for_a_token(rig.fh);
	ck_assert_int_eq(rig_unmap(rig.fh, index, 1), 0);
}

static void no_memory_for_the_hypercall(void)
{
	const char *why;

	ck_assert_int_eq(sim_fault_add(rig.sim, "map:errno=ENOMEM", &why), 0);
	must_not_mmap(rig.fh, rig_map(rig.fh, rig_grant(false)), RW, MAP_SHARED, ENOMEM);
}

static void no_window(void)
{
	const char *why;

	ck_assert_int_eq(sim_fault_add(rig.sim, "window:errno=ENFILE", &why), 0);
	must_not_mmap(rig.fh, rig_map(rig.fh, rig_grant(false)), RW, MAP_SHARED, ENFILE);
}

static void failing_copy_hypercall(void)
{
	char local[8];
	segment_t s = { .len = 8, .flags = GNTCOPY_source_gref };
	struct ioctl_gntdev_grant_copy op = { .count = 1, .segments = &s };
	const char *why;

	s.source.foreign.ref = rig_grant(false);
	s.source.foreign.domid = RIG_GRANTER;
	s.dest.virt = local;
	ck_assert_int_eq(sim_fault_add(rig.sim, "copy:errno=EFAULT", &why), 0);
	ck_assert_int_eq(ioctl_of(IOCTL_GNTDEV_GRANT_COPY, &op), -EFAULT);
}

static const struct refusal {
	void (*provoke)(void);
	enum failure_reason why;
	enum trace_op op;
	int error;
	const char *text;
} refusals[] = {
	{ map_nothing, WHY_MAP_COUNT, TRACE_MAP_GRANT_REF, EINVAL, "count 0 is not" },
	{ map_too_much, WHY_MAP_COUNT, TRACE_MAP_GRANT_REF, EINVAL, "count 65537 is not" },
	{ map_from_nowhere, WHY_CALLER_MEMORY, TRACE_MAP_GRANT_REF, EFAULT,
	  "not in the client's memory" },
	{ unmap_what_is_not_there, WHY_UNMAP_NO_MAP, TRACE_UNMAP_GRANT_REF, ENOENT,
	  "no map of 3 pages at index 0x5000" },
	{ find_what_is_not_there, WHY_NO_MAPPING_THERE, TRACE_GET_OFFSET_FOR_VADDR, EINVAL,
	  "no mapping of this device" },
	{ notify_how, WHY_NOTIFY_ACTION, TRACE_SET_UNMAP_NOTIFY, EINVAL, "action 0x8" },
	{ notify_nobody, WHY_NOTIFY_PORT, TRACE_SET_UNMAP_NOTIFY, EINVAL, "event channel 77" },
	{ notify_of_nothing, WHY_NOTIFY_NO_MAP, TRACE_SET_UNMAP_NOTIFY, ENOENT, "index 0x9000" },
	{ copy_nothing_granted, WHY_COPY_NO_GRANT, TRACE_GRANT_COPY, EINVAL, "segment 0 of 1" },
	{ copy_from_nowhere, WHY_CALLER_MEMORY, TRACE_GRANT_COPY, EFAULT,
	  "not in the client's memory" },
	{ ask_for_what_is_not_there, WHY_NO_SUCH_IOCTL, TRACE_OTHER_IOCTL, ENOTTY, "0x00004711" },
	{ ask_as_32_bit_program, WHY_32_BIT, TRACE_OTHER_IOCTL, ENOTTY, "32-bit" },
	{ mmap_with_a_guess, WHY_WRONG_TOKEN, TRACE_MMAP, ENODEV, "does not hold" },
	{ mmap_for_more_than_opened, WHY_ACCESS, TRACE_MMAP, EACCES, "was not opened" },
	{ mmap_private, WHY_PRIVATE, TRACE_MMAP, EINVAL, "cannot be private" },
	{ mmap_nothing, WHY_MMAP_NO_MAP, TRACE_MMAP, EINVAL, "no map of this open" },
	{ give_up_without_preload, WHY_NO_PRELOAD, TRACE_MMAP, ENODEV, "without mmap" },
	{ end_without_unmap, WHY_NO_PRELOAD, TRACE_MMAP, ENODEV, "without mmap" },
	{ give_up_with_preload, WHY_PRELOAD_FAILED, TRACE_MMAP, ENODEV, "and then for none" },
	{ no_memory_for_the_hypercall, WHY_HYPERCALL, TRACE_MMAP, ENOMEM, "hypercall failed" },
	{ no_window, WHY_NO_DESCRIPTORS, TRACE_MMAP, ENFILE, "no window" },
	{ failing_copy_hypercall, WHY_HYPERCALL, TRACE_GRANT_COPY, EFAULT, "ends the call" },
};

START_TEST(each_refusal_is_told)
{
	const struct refusal *r = &refusals[_i];
	struct failure_entry e;

	r->provoke();
	the_failure(&e);
	ck_assert_str_eq(failure_reason_name(e.why), failure_reason_name(r->why));
	ck_assert_int_eq(e.op, r->op);
	ck_assert_int_eq(e.error, r->error);
	ck_assert_msg(strstr(e.text, r->text), "no \"%s\" in \"%s\"", r->text, e.text);
}
END_TEST

START_TEST(a_map_is_mmapped_once)
{
	uint64_t index = rig_map(rig.fh, rig_grant(false));
	struct failure_entry e;

	ck_assert_ptr_ne(rig_mmap(rig.fh, index, 4096, RW, MAP_SHARED), MAP_FAILED);
	must_not_mmap(rig.fh, index, RW, MAP_SHARED, EINVAL);
	the_failure(&e);
	ck_assert_ptr_nonnull(strstr(e.text, "mmapped before"));
}
END_TEST

START_TEST(a_read_only_byte_is_not_cleared)
{
	uint64_t index = rig_map(rig.fh, rig_grant(true));
	struct failure_entry e;

	ck_assert_ptr_ne(rig_mmap(rig.fh, index, 4096, PROT_READ, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(rig_notify(rig.fh, index, UNMAP_NOTIFY_CLEAR_BYTE, 0), -EINVAL);
	the_failure(&e);
	ck_assert_int_eq(e.op, TRACE_SET_UNMAP_NOTIFY);
	ck_assert_ptr_nonnull(strstr(e.text, "read-only"));
}
END_TEST

/* --- what Xen says of a grant -------------------------------------------------------------------- */

/* GNTST_general_error to GNTST_no_space. */
#define STATUS_FIRST 1
#define STATUS_LAST  13

static void add_fault(const char *op, int status, const char *more)
{
	char spec[64];
	const char *why;

	snprintf(spec, sizeof(spec), "%s:status=%s%s", op, hv_status_name(status), more);
	ck_assert_int_eq(sim_fault_add(rig.sim, spec, &why), 0);
}

/* Entry and fields of a grant that failed. */
static void the_grant(uint32_t ref, int status, struct failure_entry *e)
{
	the_failure(e);
	ck_assert_int_eq(e->why, WHY_GRANT);
	ck_assert_int_eq(e->domid, RIG_GRANTER);
	ck_assert_int_eq(e->ref, ref);
	ck_assert_int_eq(e->status, status);
	ck_assert_uint_gt(failure_status_count(status), 0);
	ck_assert_str_ne(failure_status_words(status), failure_status_words(1));
	ck_assert_ptr_nonnull(strstr(e->text, hv_status_name(status)));
	field("GNTDEV_DOMID=%d", RIG_GRANTER);
	field("GNTDEV_REF=%u", ref);
	field("GNTDEV_GNTST=%s", hv_status_name(status));
}

START_TEST(each_status_of_a_map)
{
	uint32_t ref = rig_grant(false);
	uint64_t index = rig_map(rig.fh, ref);
	struct trace_reader *trace = trace_open();
	struct trace_event ev[4];
	struct failure_entry e;
	uint64_t lost;
	void *addr;

	/* It is tried again while it is paged out: until the defer thread is stopped, here. */
	add_fault("map", -_i, ",count=1000");
	if (-_i == GNTST_eagain) {
		rig_stop_defer();
		rig_mmap_begin(rig.fh, index, 4096, RW, MAP_SHARED);
		ck_assert_int_eq(rig_mmap_answer(&addr), EINVAL);
		ck_assert_uint_eq(failure_status_count(GNTST_eagain), 1);
		trace_close(trace);
		return;
	}
	must_not_mmap(rig.fh, index, RW, MAP_SHARED, EINVAL);
	the_grant(ref, -_i, &e);
	ck_assert_int_eq(e.op, TRACE_MMAP);
	ck_assert_int_eq(e.error, EINVAL);
	/* After asking for a token the hypercall, and the mmap, which says it too. Nothing is unmapped. */
	ck_assert_uint_eq(trace_read(trace, ev, 4, &lost), 3);
	ck_assert_uint_eq(ev[1].op, TRACE_HV_MAP);
	ck_assert_int_eq(ev[1].result, 1);
	ck_assert_uint_eq(ev[2].op, TRACE_MMAP);
	ck_assert_int_eq(ev[2].status, -_i);
	ck_assert_uint_eq(ev[2].ref, ref);
	trace_close(trace);
}
END_TEST

START_TEST(each_status_of_a_copy)
{
	uint32_t ref = rig_grant(false);
	char local[8];
	segment_t s = { .len = 8, .flags = GNTCOPY_source_gref };
	struct ioctl_gntdev_grant_copy op = { .count = 1, .segments = &s };
	struct trace_reader *trace = trace_open();
	struct trace_event ev[3];
	struct failure_entry e;
	uint64_t lost;

	/* Paged out for as long as the client waits is a bad page, as the driver says. */
	if (-_i == GNTST_eagain) {
		trace_close(trace);
		return;
	}
	s.source.foreign.ref = ref;
	s.source.foreign.domid = RIG_GRANTER;
	s.dest.virt = local;
	add_fault("copy", -_i, "");
	ck_assert_int_eq(ioctl_of(IOCTL_GNTDEV_GRANT_COPY, &op), 0);
	ck_assert_int_eq(s.status, -_i);
	the_grant(ref, -_i, &e);
	ck_assert_int_eq(e.op, TRACE_GRANT_COPY);
	/* The hypercall and the ioctl: both say which grant. */
	ck_assert_uint_eq(trace_read(trace, ev, 3, &lost), 2);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(ev[i].op, i ? TRACE_GRANT_COPY : TRACE_HV_COPY);
		ck_assert_int_eq(ev[i].domid, RIG_GRANTER);
		ck_assert_uint_eq(ev[i].ref, ref);
	}
	trace_close(trace);
}
END_TEST

START_TEST(each_status_of_an_unmap)
{
	uint32_t ref = rig_grant(false);
	void *p = rig_mmap(rig.fh, rig_map(rig.fh, ref), 4096, RW, MAP_SHARED);
	struct failure_entry e;

	ck_assert_ptr_ne(p, MAP_FAILED);
	add_fault("unmap", -_i, "");
	rig_expect_left(1);
	munmap(p, 4096);
	for (int i = 0; i < 400 && !n_journal; i++)
		usleep(5000);
	the_failure(&e);
	ck_assert_int_eq(e.op, TRACE_HV_UNMAP);
	ck_assert_int_eq(e.ref, ref);
	ck_assert_int_eq(e.status, -_i);
	ck_assert_int_eq(e.why, WHY_NOT_UNMAPPED);
	field("GNTDEV_GNTST=%s", hv_status_name(-_i));
	field("PRIORITY=3");
}
END_TEST

/* --- how often ------------------------------------------------------------------------------------ */

START_TEST(a_flood_is_counted_and_told_in_part)
{
	static struct failure_entry e[FAILURE_KEPT];
	struct failure f = failure_of(WHY_MMAP_NO_MAP, TRACE_MMAP, 4711, EINVAL);

	for (int i = 0; i < 1000; i++)
		failure_report(&f, "flood %d", i);
	ck_assert_uint_eq(failure_count(FAILURE_REQUEST), 1000);
	/* The interval may have ended in between. */
	ck_assert_uint_le(failure_read(0, e, FAILURE_KEPT), 2 * FAILURE_BURST);
	ck_assert_uint_le(n_journal, 2 * FAILURE_BURST);
	ck_assert_str_eq(e[0].text, "flood 0");
	/* Another client is told of all the same. */
	f.pid = 4712;
	failure_report(&f, "and me");
	ck_assert_uint_eq(failure_read(0, e, 1), 1);
	ck_assert_str_eq(e[0].text, "and me");
}
END_TEST

/* Of clients that cannot be seen each is told. */
START_TEST(invisible_without_preload)
{
	struct ioctl_gntdev_unmap_grant_ref op = { .count = 1 };
	struct failure_entry e;

	for (uint64_t i = 1; i <= 2; i++) {
		op.index = rig_map(rig.fh, 9);
		ck_assert_int_eq(double_ioctl(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_UNMAP_GRANT_REF,
					      &op, DOUBLE_RETRY),
				 0);
		ck_assert_uint_eq(failure_read(0, &e, 1), 1);
		ck_assert_uint_eq(e.seq, i);
		ck_assert_int_eq(e.why, WHY_NO_PRELOAD);
		ck_assert_int_eq(e.pid, 0);
	}
}
END_TEST

/* Anybody may connect to the window socket, with as many processes as it likes. */
START_TEST(strangers_share_what_is_told_of_them)
{
	static struct failure_entry e[FAILURE_KEPT];
	const int n = 100;

	for (int i = 0; i < n; i++)
		winreply_tell(100000 + i, 1000, EINVAL, WHY_WINDOW_REQUEST);
	for (int i = 0; i < n; i++)
		mmap_with_a_guess();
	ck_assert_uint_eq(failure_count(FAILURE_REQUEST), 2 * n);
	/* The interval may have ended in between. */
	ck_assert_uint_le(failure_read(0, e, FAILURE_KEPT), 2 * FAILURE_BURST);
	ck_assert_uint_le(n_journal, 2 * FAILURE_BURST);
	/* What this process has said as a stranger costs it nothing as a client. */
	map_nothing();
	ck_assert_uint_eq(failure_read(0, e, 1), 1);
	ck_assert_int_eq(e[0].op, TRACE_MAP_GRANT_REF);
}
END_TEST

START_TEST(only_the_last_are_kept)
{
	static struct failure_entry e[2 * FAILURE_KEPT];
	struct failure f = failure_of(WHY_HYPERCALL, TRACE_MMAP, 0, EINVAL);
	int n = FAILURE_KEPT + 50;

	for (int i = 0; i < n; i++) {
		f.pid = 100000 + i / 5;
		failure_report(&f, "%d", i);
	}
	ck_assert_uint_ge(failure_read(0, e, 2 * FAILURE_KEPT), FAILURE_KEPT - 64);
	ck_assert_uint_eq(failure_read(e[0].seq + 9, e, 3), 3);
	for (int i = 1; i < 3; i++)
		ck_assert_uint_eq(e[i].seq, e[i - 1].seq + 1);
	ck_assert_uint_eq(failure_read(e[2].seq, e, 3), 0);
}
END_TEST

START_TEST(silence_is_counted)
{
	struct failure f = failure_of(WHY_RULE, TRACE_MMAP, 1, EPERM);
	struct failure_entry e;

	failure_silent(&f);
	ck_assert_uint_eq(failure_count(FAILURE_RULE), 1);
	ck_assert_uint_eq(failure_read(0, &e, 1), 0);
	ck_assert_uint_eq(n_journal, 0);
}
END_TEST

START_TEST(a_rule_is_named)
{
	struct failure f = failure_of(WHY_RULE, TRACE_MAP_GRANT_REF, 1, -EPERM);
	struct failure_entry e;

	f.rule = "no guests for strangers";
	failure_report(&f, "denied");
	ck_assert_uint_eq(failure_read(0, &e, 1), 1);
	ck_assert_str_eq(e.rule, f.rule);
	ck_assert_int_eq(e.error, EPERM);
	field("GNTDEV_RULE=%s", f.rule);
}
END_TEST

/* What is known of the failure stands in the command. */
START_TEST(a_remedy_can_be_pasted)
{
	struct failure_entry e = { .why = WHY_RULE, .pid = 4711, .domid = 7 };
	char text[FAILURE_REMEDY_SIZE], cut[12];

	failure_remedy(&e, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "gntdevctl policy explain --pid 4711 --domid 7;"));
	e.pid = 0;
	e.domid = -1;
	failure_remedy(&e, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "gntdevctl policy explain --pid PID --domid DOMID;"));
	failure_remedy(&e, cut, sizeof(cut));
	ck_assert_uint_eq(strlen(cut), sizeof(cut) - 1);
}
END_TEST

/* Each has its row, with texts that nobody else has said, and room. */
START_TEST(each_reason_has_a_cause_and_a_cure)
{
	char text[FAILURE_REMEDY_SIZE];

	for (int i = 0; i < FAILURE_REASONS; i++) {
		struct failure_entry e = { .why = (enum failure_reason)i, .domid = 32752 };

		e.pid = 4194304;
		e.status = GNTST_general_error;
		ck_assert_msg(failure_reason_name(e.why) != NULL, "reason %d has no row", i);
		ck_assert_uint_gt(strlen(failure_cause(&e)), 15);
		failure_remedy(&e, text, sizeof(text));
		ck_assert_uint_gt(strlen(text), 15);
		ck_assert_uint_lt(strlen(text), sizeof(text) - 1);
		for (int k = 0; k < i; k++) {
			ck_assert_str_ne(failure_reason_name((enum failure_reason)k),
					 failure_reason_name(e.why));
			ck_assert_str_ne(failure_reason_cause((enum failure_reason)k),
					 failure_reason_cause(e.why));
		}
	}
}
END_TEST

/* A client that is killed inside its mmap, or closes: its open has gone before its request is looked at. */
START_TEST(an_mmap_of_what_was_closed)
{
	static const uint8_t secret[16];
	uint64_t fh = rig_open();
	struct failure_entry e;

	rig.gd.dev.release(&rig.gd.dev, fh);
	ck_assert_ptr_eq(rig_mmap_with(fh, secret, 0, 4096, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	ck_assert_uint_eq(failure_read(0, &e, 1), 1);
	ck_assert_str_eq(failure_reason_name(e.why), "not_open");
	ck_assert_ptr_nonnull(strstr(failure_cause(&e), "ended"));
}
END_TEST

Suite *failure_suite(void)
{
	Suite *s = suite_create("failure");
	TCase *tc = tcase_create("failure");

	tcase_add_checked_fixture(tc, setup, rig_teardown);
	tcase_add_loop_test(tc, each_refusal_is_told, 0,
			    (int)(sizeof(refusals) / sizeof(refusals[0])));
	tcase_add_test(tc, a_map_is_mmapped_once);
	tcase_add_test(tc, a_read_only_byte_is_not_cleared);
	tcase_add_loop_test(tc, each_status_of_a_map, STATUS_FIRST, STATUS_LAST + 1);
	tcase_add_loop_test(tc, each_status_of_a_copy, STATUS_FIRST, STATUS_LAST + 1);
	tcase_add_loop_test(tc, each_status_of_an_unmap, STATUS_FIRST, STATUS_LAST + 1);
	tcase_add_test(tc, a_flood_is_counted_and_told_in_part);
	tcase_add_test(tc, invisible_without_preload);
	tcase_add_test(tc, strangers_share_what_is_told_of_them);
	tcase_add_test(tc, only_the_last_are_kept);
	tcase_add_test(tc, silence_is_counted);
	tcase_add_test(tc, a_rule_is_named);
	tcase_add_test(tc, a_remedy_can_be_pasted);
	tcase_add_test(tc, each_reason_has_a_cause_and_a_cure);
	tcase_add_test(tc, an_mmap_of_what_was_closed);
	suite_add_tcase(s, tc);
	return s;
}
