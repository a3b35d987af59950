/* SPDX-License-Identifier: MIT */
/*
 * preload/test_preload.c - the preload object against a device and a daemon of the test's own
 *
 * The device is /dev/null: a character device that has no mmap either, so ENODEV and all checks
 * before it are the kernel's own. Only the token ioctl is answered here, and any system call of the
 * object can be made to fail. The daemon is a thread that says what the test tells it to say, right
 * or wrong; everything between the two is real.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/preload/daemon.h"
#include "tests/unit/preload/failing.h"

/* --- calls that are none of our business --------------------------------------------------- */

START_TEST(other_mappings_pass_through)
{
	char *p;

	calls.n = 0;
	p = preload_mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	munmap(p, PAGE);
	p = preload_mmap64(NULL, PAGE, PROT_READ, MAP_SHARED, daemon_.file, 3 * PAGE);
	ck_assert_ptr_ne(p, MAP_FAILED);
	assert_pages(p, (uint32_t[]){ 3 }, 1);
	munmap(p, PAGE);
	/* Anonymous memory takes any descriptor. */
	p = preload_mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, device, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	munmap(p, PAGE);
	ck_assert_int_eq(calls.n, 3);
	/* Whatever the kernel says of it. */
	calls.n = 0;
	calls.fail_at = 1;
	calls.error = ENODEV;
	p = preload_mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, device, 0);
	ck_assert_ptr_eq(p, MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	ck_assert_int_eq(calls.n, 1);
	ck_assert_int_eq(daemon_.asked, 0);
}
END_TEST

START_TEST(the_kernels_errors_pass_through)
{
	void *there = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const int read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_refused(EINVAL, NULL, 0, RW, MAP_SHARED);
	assert_refused(EINVAL, (char *)there + 1, PAGE, RW, MAP_SHARED | MAP_FIXED);
	assert_refused(EEXIST, there, PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE);
	assert_refused(EINVAL, NULL, PAGE, RW, 0);
	assert_refused(ENOMEM, NULL, SIZE_MAX, RW, MAP_SHARED);
	ck_assert_int_eq(calls.n, 1);
	ck_assert_ptr_eq(preload_mmap(NULL, PAGE, RW, MAP_SHARED, -1, 0), MAP_FAILED);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_ptr_eq(preload_mmap(NULL, PAGE, RW, MAP_SHARED, read_only, 0), MAP_FAILED);
	ck_assert_int_eq(errno, EACCES);
	ck_assert_ptr_eq(preload_mmap(NULL, PAGE, RW, MAP_SHARED, device, 1), MAP_FAILED);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(daemon_.asked, 0);
	close(read_only);
	munmap(there, PAGE);
}
END_TEST

START_TEST(what_is_no_device_is_not_asked)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	calls.n = 0;
	ck_assert_ptr_eq(preload_mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ends[0], 0), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	ck_assert_int_eq(calls.n, 2);
	ck_assert_int_eq(calls.nr[1], SYS_fstat);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

/* --- devices that are not ours ------------------------------------------------------------- */

START_TEST(other_devices_keep_their_enodev)
{
	token_error = ENOTTY;
	assert_refused(ENODEV, NULL, PAGE, RW, MAP_SHARED);
	assert_refused(ENODEV, NULL, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN);
	token_error = EFAULT;
	assert_refused(ENODEV, NULL, PAGE, RW, MAP_SHARED);
	token_error = 0;
	token_silent = true;
	assert_refused(ENODEV, NULL, PAGE, RW, MAP_SHARED);
	ck_assert_int_eq(daemon_.asked, 0);
}
END_TEST

/*
 * Before anything but the window and the token is asked for: mmap, fstat, readlink, mask; mmap, geteuid,
 * socketpair, getpid, ioctl, two closes; ioctl, munmap, mask.
 */
static void assert_token_refused(void)
{
	assert_refused(ENODEV, NULL, PAGE, RW, MAP_SHARED);
	ck_assert_int_eq(calls.n, 14);
}

START_TEST(wrong_tokens_are_refused)
{
	const struct window_token good = token;

	token.magic++;
	assert_token_refused();
	token = good;
	token.version++;
	assert_token_refused();
	token = good;
	token.flags = ~WINDOW_TELL_VADDR;
	assert_token_refused();
	token = good;
	token.padding = 1;
	assert_token_refused();
	token = good;
	token.socket[0] = 'x';
	assert_token_refused();
	memset(token.socket, '/', sizeof(token.socket));
	assert_token_refused();
	token = good;
	munmap(map(3 * PAGE, RW, MAP_SHARED), 3 * PAGE);
}
END_TEST

static void assert_enodev_without_descriptor(void)
{
	limit_descriptors(3);
	ck_assert_ptr_eq(try_map(NULL, PAGE, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, ENODEV);
	limit_descriptors(1024);
}

/* A program under a filter, or without a descriptor: it may not see that anything was asked. */
START_TEST(files_of_others_cost_little)
{
	/* /dev/null, as anybody opens it. */
	device_major = 1;
	assert_refused(ENODEV, NULL, PAGE, RW, MAP_SHARED);
	ck_assert_int_eq(calls.n, 2);
	ck_assert_int_eq(calls.nr[1], SYS_fstat);
	/* A device with a number like ours. */
	device_major = 511;
	device_link = "../../devices/virtual/xen/xen!gntdev";
	assert_enodev_without_descriptor();
	ck_assert_int_eq(calls.n, 3);
	ck_assert_int_eq(calls.nr[2], SYS_readlinkat);
	ck_assert_int_eq(daemon_.asked, 0);
}
END_TEST

/* Only the device can tell, and it is asked before anything else is done. _i: there is no sysfs. */
START_TEST(other_cuse_devices_are_only_asked)
{
	token_error = ENOTTY;
	device_link = _i ? NULL : "../../devices/virtual/cuse/dsp";
	assert_enodev_without_descriptor();
	/* mmap, fstat, readlink, mask; ioctl; mask. */
	ck_assert_int_eq(calls.n, 6);
	ck_assert_int_eq(calls.nr[4], SYS_ioctl);
	token_error = 0;
	munmap(map(3 * PAGE, RW, MAP_SHARED), 3 * PAGE);
}
END_TEST

/* Those that the kernel gives to drivers without a number of their own, and their neighbours. */
START_TEST(numbers_of_devices)
{
	static const unsigned int numbers[] = { 234, 254, 384, 511, 233, 255, 383, 512 };

	for (int i = 0; i < 8; i++) {
		device_major = numbers[i];
		ck_assert_int_eq(try_map(NULL, 3 * PAGE, RW, MAP_SHARED) != MAP_FAILED, i < 4);
		ck_assert_int_eq(count_calls(SYS_readlinkat), i < 4);
	}
}
END_TEST

START_TEST(names_of_devices)
{
	static const char *const link[] = {
		"../../devices/virtual/cuse/xen!gntalloc",
		"../../devices/virtual/cuse/xen!gntdev2",
		"../../devices/virtual/cuse/xxen!gntdev",
	};

	for (int i = 0; i < 3; i++) {
		device_link = link[i];
		munmap(map(3 * PAGE, RW, MAP_SHARED), 3 * PAGE);
		/* Whether the device was asked who it is before it was asked for a window. */
		ck_assert_int_eq(calls.nr[4], i ? SYS_ioctl : SYS_mmap);
	}
}
END_TEST

START_TEST(an_absent_daemon_is_enodev)
{
	/* A socket that nobody listens on any more. */
	shutdown(daemon_.listener, SHUT_RDWR);
	assert_refused(ENODEV, NULL, PAGE, RW, MAP_SHARED);
}
END_TEST

/* What keeps this process from the socket has an errno of its own. */
START_TEST(a_socket_out_of_reach)
{
	user = 65534;
	token.socket[strlen(token.socket) - 1] ^= 1;
	assert_refused(ENOENT, NULL, PAGE, RW, MAP_SHARED);
	token.socket[strlen(token.socket) - 1] ^= 1;
	map(3 * PAGE, RW, MAP_SHARED);
	for (calls.fail_at = 1; calls.nr[calls.fail_at - 1] != SYS_connect; calls.fail_at++)
		;
	munmap(privcmd.at, 3 * PAGE);
	calls.error = EACCES;
	assert_refused(EACCES, NULL, 3 * PAGE, RW, MAP_SHARED);
	calls.fail_at--;
	ck_assert_int_eq(calls.nr[calls.fail_at - 1], SYS_socket);
	calls.error = EAFNOSUPPORT;
	assert_refused(EAFNOSUPPORT, NULL, 3 * PAGE, RW, MAP_SHARED);
	ck_assert_int_eq(daemon_.asked, 1);
}
END_TEST

/* --- windows ------------------------------------------------------------------------------- */

START_TEST(a_window_of_one_piece)
{
	const int fds = descriptors();
	const uint64_t mask = signal_mask();
	const struct window_token none = { .magic = 0 };
	const struct window_token *told = mmap_error ? &token : &none;
	char *p;

	p = map(3 * PAGE - 100, RW, MAP_SHARED);
	ck_assert_int_eq(errno, 0);
	assert_pages(p, one_piece_pages, 3);
	assert_written_through(p + PAGE, 6);
	ck_assert_uint_eq(daemon_.rq.magic, WINDOW_MAGIC);
	ck_assert_uint_eq(daemon_.rq.version, WINDOW_VERSION);
	ck_assert_uint_eq(daemon_.rq.prot, RW);
	ck_assert_uint_eq(daemon_.rq.flags, MAP_SHARED);
	ck_assert_uint_eq(daemon_.rq.again, 0);
	ck_assert_uint_eq(daemon_.rq.open_id, told->open_id);
	ck_assert_mem_eq(daemon_.rq.secret, told->secret, sizeof(told->secret));
	ck_assert_uint_eq(daemon_.rq.offset, 0);
	ck_assert_uint_eq(daemon_.rq.length, 3 * PAGE);
	ck_assert_uint_eq(daemon_.rq.vaddr, (uintptr_t)p);
	ck_assert_int_eq(descriptors(), fds);
	ck_assert(signal_mask() == mask);
	ck_assert_int_eq(munmap(p, 3 * PAGE), 0);
	ck_assert_int_eq(windows(), 0);
}
END_TEST

START_TEST(offsets_are_passed_on)
{
	char *p = preload_mmap64(NULL, 3 * PAGE, RW, MAP_SHARED, device, 0x7ffffffff000);

	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_uint_eq(daemon_.rq.offset, 0x7ffffffff000);
	munmap(p, 3 * PAGE);
}
END_TEST

START_TEST(a_window_of_pieces_out_of_order)
{
	const int fds = descriptors();
	char *p;

	daemon_.said[0] = three_pieces;
	p = map(3 * PAGE, RW, MAP_SHARED);
	assert_pages(p, three_pieces_pages, 3);
	ck_assert_uint_eq(daemon_.rq.vaddr, (uintptr_t)p);
	ck_assert_int_eq(descriptors(), fds);
	munmap(p, 3 * PAGE);
	ck_assert_int_eq(windows(), 0);
}
END_TEST

static size_t first_more; /* bytes more in the first message than there should be */

/* A thousand pieces, the file from its end to its beginning. */
static void talk_many(int conn)
{
	union {
		struct window_reply reply;
		unsigned char bytes[2 * WINDOW_REPLY_MAX];
	} msg = { .reply = { .magic = WINDOW_MAGIC, .pieces = 1000 } };
	uint32_t next = 0;

	while (next < 1000) {
		uint32_t n = 0;

		for (; n < WINDOW_PIECES_PER_MESSAGE && next < 1000; n++, next++)
			msg.reply.piece[n] =
				(struct window_piece){ (FILE_PAGES - 1 - next) * PAGE, PAGE };
		msg.reply.here = n;
		send_message(conn, &msg,
			     sizeof(msg.reply) + n * sizeof(msg.reply.piece[0]) +
				     (next == n ? first_more : 0),
			     next == n ? 1 : 0);
	}
}

START_TEST(more_pieces_than_a_message_holds)
{
	const int fds = descriptors();
	uint32_t number;
	char *p;

	daemon_.talk = talk_many;
	p = map(1000 * PAGE, PROT_READ, MAP_SHARED);
	for (int i = 0; i < 1000; i++) {
		memcpy(&number, p + i * PAGE, sizeof(number));
		ck_assert_uint_eq(number, FILE_PAGES - 1 - i);
	}
	ck_assert_int_eq(descriptors(), fds);
	munmap(p, 1000 * PAGE);
	/* The first message is as long as can be; what is cut off would be missed. */
	first_more = sizeof(struct window_piece);
	assert_refused(ENODEV, NULL, 1000 * PAGE, PROT_READ, MAP_SHARED);
}
END_TEST

/* _i: a window of one piece, or of three. */
START_TEST(fixed_addresses)
{
	char *old = mmap(NULL, 5 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at = old + PAGE;

	memset(old, 'o', 5 * PAGE);
	daemon_.said[0] = REFUSES(ENOSPC);
	assert_refused(ENOSPC, at, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED);
	token.flags = WINDOW_TELL_VADDR;
	assert_refused(ENOSPC, at, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED);
	ck_assert_int_eq(at[0], 'o');
	daemon_.said[0] = _i ? three_pieces : one_piece;
	ck_assert_ptr_eq(try_map(at, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED), at);
	ck_assert_uint_eq(daemon_.rq.vaddr, (uintptr_t)at);
	assert_pages(at, _i ? three_pieces_pages : one_piece_pages, 3);
	ck_assert_int_eq(at[-1], 'o');
	ck_assert_int_eq(at[3 * PAGE], 'o');
	munmap(at, 3 * PAGE);
	ck_assert_ptr_eq(try_map(at, 3 * PAGE, RW, MAP_SHARED | MAP_FIXED_NOREPLACE), at);
	ck_assert_uint_eq(daemon_.rq.vaddr, (uintptr_t)at);
	assert_pages(at, _i ? three_pieces_pages : one_piece_pages, 3);
	munmap(old, 5 * PAGE);
}
END_TEST

START_TEST(wishes_for_an_address)
{
	daemon_.said[0] = _i ? three_pieces : one_piece;
	assert_wishes_count();
}
END_TEST

START_TEST(the_address_is_told)
{
	char *p;

	daemon_.said[0] = _i ? three_pieces : one_piece;
	p = map(3 * PAGE, RW, MAP_SHARED);
	ck_assert_uint_eq(daemon_.rq.vaddr, (uintptr_t)p);
	assert_pages(p, _i ? three_pieces_pages : one_piece_pages, 3);
	munmap(p, 3 * PAGE);
	daemon_.said[0] = REFUSES(EINVAL);
	assert_refused(EINVAL, NULL, 3 * PAGE, RW, MAP_SHARED);
	ck_assert_uint_eq(daemon_.rq.vaddr, (uintptr_t)calls.reserved);
}
END_TEST

START_TEST(private_mappings_that_only_read_are_live)
{
	char *p;

	send_read_only();
	daemon_.said[0] = _i ? three_pieces : one_piece;
	p = map(3 * PAGE, PROT_READ, MAP_PRIVATE);
	ck_assert_uint_eq(daemon_.rq.flags, MAP_PRIVATE);
	assert_live(p + 2 * PAGE, 7);
	munmap(p, 3 * PAGE);
}
END_TEST

START_TEST(private_mappings_that_write_are_never_shared)
{
	uint32_t number = 42;
	char *p;

	p = map(3 * PAGE, RW, MAP_PRIVATE);
	memcpy(p, &number, sizeof(number));
	ck_assert_int_eq(pread(daemon_.file, &number, sizeof(number), 5 * PAGE), sizeof(number));
	ck_assert_uint_eq(number, 5);
	munmap(p, 3 * PAGE);
}
END_TEST

START_TEST(a_window_is_not_dumped)
{
	char flags[256];
	char *p;

	daemon_.said[0] = _i ? three_pieces : one_piece;
	p = map(3 * PAGE, RW, MAP_SHARED);
	for (int i = 0; i < 3; i++) {
		smaps_line(p + i * PAGE, "VmFlags:", flags);
		ck_assert_ptr_nonnull(strstr(flags, " sh "));
		ck_assert_ptr_nonnull(strstr(flags, " dd "));
	}
	munmap(p, 3 * PAGE);
}
END_TEST

/* Nothing has touched it yet, and its pages are there. */
START_TEST(a_window_is_populated)
{
	char resident[256];
	char *p;

	daemon_.said[0] = _i ? three_pieces : one_piece;
	p = map(3 * PAGE, RW, MAP_SHARED);
	for (int i = 0; i < 3; i++) {
		smaps_line(p + i * PAGE, "Rss:", resident);
		ck_assert_int_eq(strtol(resident, NULL, 10), _i ? 4 : 12);
	}
	munmap(p, 3 * PAGE);
}
END_TEST

START_TEST(a_forked_child_shares_it)
{
	char *p = map(3 * PAGE, RW, MAP_SHARED);
	pid_t child = fork();

	if (!child) {
		p[8] = 'c';
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, NULL, 0), child);
	ck_assert_int_eq(p[8], 'c');
	munmap(p, 3 * PAGE);
}
END_TEST

/* --- what the daemon may say --------------------------------------------------------------- */

START_TEST(errors_of_the_daemon_reach_the_caller)
{
	static const int errors[] = { EINVAL, ENOMEM, ENOENT, EFAULT, EAGAIN, EINTR, MAX_ERRNO };

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		daemon_.said[0] = REFUSES(errors[i]);
		assert_refused(errors[i], NULL, PAGE, RW, MAP_SHARED);
	}
	assert_refused(EINVAL, NULL, PAGE, RW, MAP_SHARED | MAP_GROWSDOWN);
}
END_TEST

/* Nor does SIGPIPE come. */
START_TEST(a_daemon_that_hangs_up_is_enodev)
{
	daemon_hangs_up = true;
	assert_refused(ENODEV, NULL, PAGE, RW, MAP_SHARED);
}
END_TEST

#define PIECES		     .piece = { { 9 * PAGE, PAGE }, { 2 * PAGE, PAGE }, { 7 * PAGE, PAGE } }
#define ONE(at, len)	     SAYS(1, 1, 1, .piece = { { at, len } })
#define TWO(len1, at2, len2) SAYS(2, 2, 1, .piece = { { 0, len1 }, { at2, len2 } })
#define TWO_OF_THREE	     SAYS(3, 2, 1, PIECES)

/* For a request of three pages; each line is wrong in one point. */
static const struct said wrong[][MAX_SAID] = {
	{ { .magic = 1, .fds = 1, .pieces = 3, .here = 3, PIECES } },
	{ SAYS(0, 0, 0, .error = -EINVAL) },
	{ SAYS(0, 0, 0, .error = MAX_ERRNO + 1) },
	{ SAYS(0, 0, 1, .error = EINVAL) },
	{ SAYS(3, 3, 0, .error = EINVAL, PIECES) },
	{ SAYS(0, 0, 0, .error = EINVAL, .more = -1) },
	{ SAYS(0, 0, 0, .error = EINVAL, .kind = WINDOW_FRAMES) },
	{ SAYS(0, 0, 0, .error = EINVAL, .domid = 1) },
	{ SAYS(0, 0, 1) },
	{ SAYS(3, 3, 0, PIECES) },
	{ SAYS(3, 3, 2, PIECES) },
	{ SAYS(3, 3, 8, PIECES) },
	{ SAYS(3, 3, 1, .kind = WINDOW_FRAMES + 1, PIECES) },
	{ SAYS(3, 3, 1, .domid = 1, PIECES) },
	{ SAYS(3, 3, 1, .more = 1, PIECES) },
	{ SAYS(3, 3, 1, .more = -1, PIECES) },
	{ SAYS(3, 3, 1, .more = -48 - 1, PIECES) },
	{ SAYS(4, 4, 1, PIECES) },
	{ SAYS(UINT32_MAX, 3, 1, PIECES) },
	{ SAYS(UINT32_MAX, 1, 1, .piece = { { 0, 4 * PAGE } }) },
	{ SAYS(3, WINDOW_PIECES_PER_MESSAGE + 1, 1, PIECES) },
	{ SAYS(2, 3, 1, PIECES) },
	{ SAYS(1, 3, 1, PIECES) },
	{ SAYS(3, 0, 1) },
	/* pieces */
	{ ONE(0, 2 * PAGE) },
	{ ONE(0, 4 * PAGE) },
	{ ONE(1, 3 * PAGE) },
	{ ONE(-PAGE, 3 * PAGE) },
	{ ONE(INT64_MAX - 4095, 3 * PAGE) },
	{ TWO(2 * PAGE, 0, 0) },
	{ TWO(PAGE, 0, PAGE) },
	{ TWO(PAGE, 0, -PAGE) },
	{ TWO(3 * PAGE, 0, PAGE) },
	{ TWO(4 * PAGE, 0, PAGE) },
	{ TWO(PAGE + 1, 0, 2 * PAGE - 1) },
	{ TWO(PAGE, 8, 2 * PAGE) },
	/* further messages */
	{ TWO_OF_THREE, SAYS(3, 1, 1, PIECES) },
	{ TWO_OF_THREE, SAYS(4, 1, 0, PIECES) },
	{ TWO_OF_THREE, SAYS(3, 2, 0, PIECES) },
	{ TWO_OF_THREE, SAYS(3, 1, 0, .kind = WINDOW_FRAMES, PIECES) },
	{ TWO_OF_THREE, SAYS(3, 1, 0, .domid = 1, PIECES) },
	{ TWO_OF_THREE, SAYS(3, 0, 0), SAYS(3, 1, 0, PIECES) },
	{ TWO_OF_THREE, SAYS(3, 1, 0, .error = EINVAL, PIECES) },
	{ TWO_OF_THREE, { .magic = 1, .pieces = 3, .here = 1, PIECES } },
};
#define N_WRONG ((int)(sizeof(wrong) / sizeof(wrong[0])))

START_TEST(nonsense_is_enodev)
{
	memcpy(daemon_.said, wrong[_i], sizeof(daemon_.said));
	assert_refused(ENODEV, NULL, 3 * PAGE, RW, MAP_SHARED);
	token.flags = WINDOW_TELL_VADDR;
	assert_refused(ENODEV, NULL, 3 * PAGE, RW, MAP_SHARED);
	ck_assert_int_eq(daemon_.asked, 2);
}
END_TEST

/* --- what may fail on our side ------------------------------------------------------------- */

START_TEST(each_call_may_fail)
{
	daemon_.said[0] = _i ? three_pieces : one_piece;
	fail_each_call(3 * PAGE, MAP_SHARED, NULL);
	fail_each_call(3 * PAGE, MAP_SHARED | MAP_FIXED, (void *)0x123456789000);
	token.flags = WINDOW_TELL_VADDR;
	fail_each_call(3 * PAGE, MAP_SHARED, NULL);
}
END_TEST

/* The limit falls when it is too late: the descriptor that follows cannot be received. */
static void no_more_descriptors(void)
{
	limit_descriptors(3);
}

/* But for that the daemon is not asked before all of them are there: the map stays as it was. */
START_TEST(no_descriptor_is_left)
{
	const int fds = descriptors();

	munmap(map(3 * PAGE, RW, MAP_SHARED), 3 * PAGE);
	for (calls.fail_at = 1; calls.nr[calls.fail_at - 1] != SYS_fcntl; calls.fail_at++)
		;
	calls.error = EMFILE;
	assert_no_descriptor();
	calls.fail_at = 0;
	limit_descriptors(3);
	assert_no_descriptor();
	ck_assert_int_eq(daemon_.asked, 1);
	limit_descriptors(1024);
	daemon_.before = no_more_descriptors;
	assert_no_descriptor();
	ck_assert_int_eq(daemon_.asked, 2);
	limit_descriptors(1024);
	ck_assert_int_eq(descriptors(), fds);
	ck_assert_int_eq(windows(), 0);
}
END_TEST

/* Nor is it asked before there is a place: _i is whether the caller names one. */
START_TEST(no_address_space_is_left)
{
	const int flags = MAP_SHARED | (_i ? MAP_FIXED : 0);
	void *at = _i ? (void *)0x123456789000 : NULL;
	char *p;

	descriptors();
	calls.no_addresses = true;
	p = try_map(at, 3 * PAGE, RW, flags);
	calls.no_addresses = false;
	ck_assert_ptr_eq(p, MAP_FAILED);
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_int_eq(daemon_.asked, 0);
	p = try_map(at, 3 * PAGE, RW, flags);
	assert_pages(p, one_piece_pages, 3);
	munmap(p, 3 * PAGE);
}
END_TEST

/* --- the suite -------------------------------------------------------------------------- */

static TCase *add_case(Suite *s, const char *name, void (*before)(void))
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, before, tear_down);
	suite_add_tcase(s, tc);
	return tc;
}

static void add_windows(TCase *tc)
{
	tcase_add_test(tc, a_window_of_one_piece);
	tcase_add_test(tc, offsets_are_passed_on);
	tcase_add_test(tc, a_window_of_pieces_out_of_order);
	tcase_add_test(tc, more_pieces_than_a_message_holds);
	tcase_add_loop_test(tc, fixed_addresses, 0, 2);
	tcase_add_loop_test(tc, wishes_for_an_address, 0, 2);
	tcase_add_loop_test(tc, private_mappings_that_only_read_are_live, 0, 2);
	tcase_add_test(tc, private_mappings_that_write_are_never_shared);
	tcase_add_loop_test(tc, a_window_is_not_dumped, 0, 2);
	tcase_add_loop_test(tc, a_window_is_populated, 0, 2);
	tcase_add_test(tc, a_forked_child_shares_it);
}

static void add_troubles(TCase *tc)
{
	tcase_add_test(tc, errors_of_the_daemon_reach_the_caller);
	tcase_add_test(tc, a_daemon_that_hangs_up_is_enodev);
	tcase_add_loop_test(tc, nonsense_is_enodev, 0, N_WRONG);
	tcase_add_loop_test(tc, each_call_may_fail, 0, 2);
}

Suite *preload_suite(void);

Suite *preload_suite(void)
{
	Suite *s = suite_create("preload");
	TCase *tc;

	tc = add_case(s, "pass", set_up);
	tcase_add_test(tc, other_mappings_pass_through);
	tcase_add_test(tc, the_kernels_errors_pass_through);
	tcase_add_test(tc, what_is_no_device_is_not_asked);
	tcase_add_test(tc, other_devices_keep_their_enodev);
	tcase_add_test(tc, wrong_tokens_are_refused);
	tcase_add_test(tc, files_of_others_cost_little);
	tcase_add_loop_test(tc, other_cuse_devices_are_only_asked, 0, 2);
	tcase_add_test(tc, numbers_of_devices);
	tcase_add_test(tc, names_of_devices);
	tcase_add_test(tc, an_absent_daemon_is_enodev);
	tcase_add_test(tc, a_socket_out_of_reach);
	tcase_add_test(tc, no_descriptor_is_left);
	tcase_add_loop_test(tc, no_address_space_is_left, 0, 2);
	tcase_add_loop_test(tc, the_address_is_told, 0, 2);

	add_windows(add_case(s, "window", set_up));
	add_windows(add_case(s, "window by ioctl", set_up_by_ioctl));
	add_troubles(add_case(s, "failure", set_up));
	add_troubles(add_case(s, "failure by ioctl", set_up_by_ioctl));
	return s;
}
