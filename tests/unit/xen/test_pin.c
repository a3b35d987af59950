/* SPDX-License-Identifier: MIT */
/*
 * xen/test_pin.c - pages that stay where they are, on this machine's real io_uring
 *
 * Whether a page is still the one that was pinned is told by its physical number, and by its content as
 * seen through other mappings; that its file or its process has let go of it must not matter. Without
 * io_uring, or without the right to page numbers, there is nothing to test: that is said.
 */
#include "xen/pin.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 4096
#define MAX_PAGES  1024

static struct pins *pins;
static bool numbers;

static void setup(void)
{
	const char *why = NULL;

	ck_assert_msg(pins_new(&pins, &why) == 0, "%s", why);
}

static void teardown(void)
{
	pins_free(pins);
}

/* A file on tmpfs, as windows are. */
static int file(size_t pages)
{
	int fd = memfd_create("pages", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)(pages * PAGE_BYTES)), 0);
	return fd;
}

static unsigned char *view(int fd, size_t pages)
{
	unsigned char *at =
		mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	ck_assert_ptr_ne(at, MAP_FAILED);
	return at;
}

/* In kB; of what is pinned for long, with Linux 6.0 and later: what a user's processes account for. */
static long unevictable(void)
{
	char line[128];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "r");

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "VmPin: %ld", &kb);
	fclose(f);
	return kb;
}

/* --- pages and their numbers -------------------------------------------------------------------- */

START_TEST(numbers_of_pages)
{
	const size_t pages = 100;
	uint64_t pfn[100], again[100];
	int fd = file(pages);
	unsigned char *at = view(fd, pages);
	uint32_t id, id2;

	/* Nothing has touched them yet: pinning makes them. */
	ck_assert_int_eq(pins_add(pins, at, pages, &id, pfn), 0);
	for (size_t i = 0; i < pages; i++) {
		ck_assert_uint_ne(pfn[i], 0);
		for (size_t k = 0; k < i; k++)
			ck_assert_uint_ne(pfn[i], pfn[k]);
	}
	/* Through another mapping they are the same, and pinned twice. */
	munmap(at, pages * PAGE_BYTES);
	at = view(fd, pages);
	ck_assert_int_eq(pins_add(pins, at, pages, &id2, again), 0);
	ck_assert_uint_ne(id, id2);
	ck_assert_mem_eq(pfn, again, sizeof(pfn));
	pins_remove(pins, id);
	pins_remove(pins, id2);
	munmap(at, pages * PAGE_BYTES);
	close(fd);
}
END_TEST

/* Whatever presses: same page, same content. */
START_TEST(stays)
{
	uint64_t pfn[MAX_PAGES], again[MAX_PAGES];
	int fd = file(MAX_PAGES), compact;
	unsigned char *at = view(fd, MAX_PAGES);
	uint32_t id, id2;

	ck_assert_int_eq(pins_add(pins, at, MAX_PAGES, &id, pfn), 0);
	for (size_t i = 0; i < MAX_PAGES; i++)
		memcpy(at + i * PAGE_BYTES, &pfn[i], sizeof(pfn[i]));
	madvise(at, MAX_PAGES * PAGE_BYTES, MADV_PAGEOUT);
	compact = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);
	if (compact >= 0) {
		if (write(compact, "1", 1) != 1)
			fprintf(stderr, "compact_memory: %s\n", strerror(errno));
		close(compact);
	}
	munmap(at, MAX_PAGES * PAGE_BYTES);
	at = view(fd, MAX_PAGES);
	ck_assert_int_eq(pins_add(pins, at, MAX_PAGES, &id2, again), 0);
	ck_assert_mem_eq(pfn, again, sizeof(pfn));
	for (size_t i = 0; i < MAX_PAGES; i++)
		ck_assert_mem_eq(at + i * PAGE_BYTES, &pfn[i], sizeof(pfn[i]));
	pins_remove(pins, id);
	pins_remove(pins, id2);
	munmap(at, MAX_PAGES * PAGE_BYTES);
	close(fd);
}
END_TEST

/* Who takes over the rings has the pins, and does not use their ids for others. */
START_TEST(adopted_by_another)
{
	uint64_t pfn[4], again[4];
	int file_fd = file(4), fds[PINS_FDS];
	unsigned char *at = view(file_fd, 4);
	uint32_t id[3], id2;
	struct pins *other;
	const char *why;

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pins_add(pins, at, 4, &id[i], pfn), 0);
	pins_fds(pins, fds);
	for (int i = 0; i < PINS_FDS; i++)
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
	pins_free(pins);
	ck_assert_int_eq(pins_adopt(fds, (uint32_t[]){ id[2], id[0] }, 2, &other, &why), 0);
	pins = other;
	munmap(at, 4 * PAGE_BYTES);
	madvise(at, 4 * PAGE_BYTES, MADV_PAGEOUT);
	at = view(file_fd, 4);
	ck_assert_int_eq(pins_add(pins, at, 4, &id2, again), 0);
	ck_assert_uint_eq(id2, id[1]);
	ck_assert_mem_eq(pfn, again, sizeof(pfn));
	for (int i = 0; i < 3; i++)
		pins_remove(pins, id[i]);
	munmap(at, 4 * PAGE_BYTES);
	close(file_fd);
}
END_TEST

START_TEST(no_id_is_adopted_twice)
{
	int fds[PINS_FDS];
	struct pins *other;
	const char *why;

	for (int how = 0; how < 2; how++) {
		pins_fds(pins, fds);
		for (int i = 0; i < PINS_FDS; i++)
			fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		ck_assert_int_eq(
			pins_adopt(fds, how ? (uint32_t[]){ 1, 1 } : (uint32_t[]){ 1, UINT32_MAX },
				   2, &other, &why),
			-EINVAL);
	}
}
END_TEST

static bool is_among(uint64_t pfn, const uint64_t *old, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pfn == old[i])
			return true;
	return false;
}

/* How many new pages are among these. They are made until @fd holds @pages of them. */
static size_t made_again(const uint64_t *old, size_t n)
{
	static uint64_t pfn[MAX_PAGES];
	int fd = file(MAX_PAGES);
	unsigned char *at = view(fd, MAX_PAGES);
	size_t found = 0;
	uint32_t id;

	ck_assert_int_eq(pins_add(pins, at, MAX_PAGES, &id, pfn), 0);
	for (size_t i = 0; i < MAX_PAGES; i++)
		found += is_among(pfn[i], old, n);
	pins_remove(pins, id);
	munmap(at, MAX_PAGES * PAGE_BYTES);
	close(fd);
	return found;
}

/*
 * The client cuts or punches its file, and it is deleted: the pages are out of it, and still nobody
 * else's. The unpinned ones of the same fate come back soon, so the test can tell.
 */
START_TEST(not_freed_with_the_file)
{
	uint64_t pfn[64];
	int fd = file(64);
	unsigned char *at = view(fd, 64);
	uint32_t id;

	ck_assert_int_eq(pins_add(pins, at, 64, &id, pfn), 0);
	munmap(at, 64 * PAGE_BYTES);
	if (_i == 0)
		ck_assert_int_eq(ftruncate(fd, 0), 0);
	else if (_i == 1)
		ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
					   64 * PAGE_BYTES),
				 0);
	close(fd);
	for (int round = 0; round < 10; round++)
		ck_assert_uint_eq(made_again(pfn, 64), 0);
	pins_remove(pins, id);
}
END_TEST

/* The daemon: pins pages, and is killed. Its child is the keeper, which waits for a byte. */
static void short_life(uint64_t *pfn, int tell)
{
	int fd = file(64);
	unsigned char *at = view(fd, 64);
	const char *why;
	uint32_t id;
	char byte;

	if (pins_new(&pins, &why) || pins_add(pins, at, 64, &id, pfn))
		_exit(1);
	munmap(at, 64 * PAGE_BYTES);
	close(fd);
	if (!fork()) {
		if (read(tell, &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	kill(getpid(), SIGKILL);
}

/* Who has the rings has the pins, although the process that made them is dead. */
START_TEST(held_by_another_process)
{
	uint64_t *pfn =
		mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status, tell[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(tell, O_CLOEXEC), 0);
	pid = fork();
	if (!pid)
		short_life(pfn, tell[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_uint_ne(pfn[0], 0);
	for (int round = 0; round < 10; round++)
		ck_assert_uint_eq(made_again(pfn, 64), 0);
	ck_assert_int_eq(write(tell[1], "x", 1), 1);
	munmap(pfn, PAGE_BYTES);
	close(tell[0]);
	close(tell[1]);
}
END_TEST

/* --- ids ---------------------------------------------------------------------------------------- */

START_TEST(ids)
{
	uint32_t id[500];
	static uint8_t seen[500];
	unsigned char *at;
	int fd = file(1);

	at = view(fd, 1);
	for (int i = 0; i < 500; i++) {
		ck_assert_int_eq(pins_add(pins, at, 1, &id[i], NULL), 0);
		ck_assert_uint_lt(id[i], 500);
		ck_assert_uint_eq(seen[id[i]]++, 0);
	}
	for (int i = 0; i < 500; i++)
		pins_remove(pins, id[i]);
	/* Used again. */
	for (int i = 0; i < 500; i++) {
		ck_assert_int_eq(pins_add(pins, at, 1, &id[i], NULL), 0);
		ck_assert_uint_lt(id[i], 500);
	}
	munmap(at, PAGE_BYTES);
	close(fd);
}
END_TEST

/* More than one ring has room for, and then no more at all. */
START_TEST(many_ids)
{
	const uint32_t max = PINS_FDS * 16384U;
	int fd = file(1), err = 0;
	unsigned char *at = view(fd, 1);
	uint32_t n, id = 0;

	for (n = 0; n <= max && !err; n++)
		err = pins_add(pins, at, 1, &id, NULL);
	ck_assert_int_eq(err, -ENOMEM);
	ck_assert_uint_eq(n, max + 1);
	pins_remove(pins, 20000);
	pins_remove(pins, 7);
	ck_assert_int_eq(pins_add(pins, at, 1, &id, NULL), 0);
	ck_assert_uint_eq(id, 7);
	ck_assert_int_eq(pins_add(pins, at, 1, &id, NULL), 0);
	ck_assert_uint_eq(id, 20000);
	ck_assert_int_eq(pins_add(pins, at, 1, &id, NULL), -ENOMEM);
	munmap(at, PAGE_BYTES);
	close(fd);
}
END_TEST

START_TEST(refused)
{
	uint32_t id;
	uint64_t pfn[2];
	int fd = file(1);
	unsigned char *at = view(fd, 2), *ro;

	/* Beyond the end of the file; nothing mapped there; not to be written. */
	ck_assert_int_lt(pins_add(pins, at, 2, &id, pfn), 0);
	ck_assert_int_lt(pins_add(pins, at + PAGE_BYTES, 1, &id, pfn), 0);
	munmap(at, 2 * PAGE_BYTES);
	ck_assert_int_lt(pins_add(pins, at, 1, &id, pfn), 0);
	ro = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_int_lt(pins_add(pins, ro, 1, &id, pfn), 0);
	munmap(ro, PAGE_BYTES);
	/* None of the failures has cost an id. */
	at = view(fd, 1);
	ck_assert_int_eq(pins_add(pins, at, 1, &id, NULL), 0);
	ck_assert_uint_eq(id, 0);
	munmap(at, PAGE_BYTES);
	close(fd);
}
END_TEST

/* What is removed is let go of, within a second or so. */
START_TEST(removed)
{
	int fd = file(256);
	unsigned char *at = view(fd, 256);
	long before = unevictable();
	uint32_t id;
	int ms = 0;

	ck_assert_int_eq(pins_add(pins, at, 256, &id, NULL), 0);
	ck_assert_int_ge(unevictable(), before + 1024);
	pins_remove(pins, id);
	for (; unevictable() > before; ms += 10) {
		ck_assert_int_lt(ms, 5000);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	munmap(at, 256 * PAGE_BYTES);
	close(fd);
}
END_TEST

START_TEST(descriptors)
{
	int fds[PINS_FDS];

	pins_fds(pins, fds);
	for (int i = 0; i < PINS_FDS; i++) {
		ck_assert_int_ge(fds[i], 0);
		ck_assert_int_eq(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		for (int k = 0; k < i; k++)
			ck_assert_int_ne(fds[i], fds[k]);
	}
}
END_TEST

#define THREADS 4

static void *pinner(void *arg)
{
	int fd = file(8);
	unsigned char *at = view(fd, 8);
	uint64_t pfn[8], first[8];
	uint32_t id, keep;
	void *bad = NULL;

	if (pins_add(pins, at, 8, &keep, numbers ? first : NULL))
		bad = arg;
	for (int round = 0; round < 100 && !bad; round++) {
		if (pins_add(pins, at, 8, &id, numbers ? pfn : NULL) ||
		    (numbers && memcmp(pfn, first, sizeof(pfn)) != 0))
			bad = arg;
		else
			pins_remove(pins, id);
	}
	pins_remove(pins, keep);
	munmap(at, 8 * PAGE_BYTES);
	close(fd);
	return bad;
}

START_TEST(threads)
{
	pthread_t t[THREADS];
	void *bad;

	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, pinner, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &bad);
		ck_assert_ptr_null(bad);
	}
}
END_TEST

/* --- whether this machine can ------------------------------------------------------------------- */

static bool has_io_uring(void)
{
	struct io_uring ring;
	int err = io_uring_queue_init(1, &ring, 0);

	if (err) {
		printf("ok test_pin # SKIP no io_uring here: %s\n", strerror(-err));
		return false;
	}
	io_uring_queue_exit(&ring);
	return true;
}

static bool has_numbers(void)
{
	unsigned char *at = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;
	ssize_t n = pread(fd, &entry, sizeof(entry),
			  (off_t)((uintptr_t)at / PAGE_BYTES * sizeof(entry)));

	close(fd);
	munmap(at, PAGE_BYTES);
	if (n == sizeof(entry) && entry & ((1ULL << 55) - 1))
		return true;
	printf("ok test_pin: numbers # SKIP the kernel tells no page numbers (CAP_SYS_ADMIN)\n");
	return false;
}

Suite *pin_suite(void)
{
	Suite *s = suite_create("pin");
	TCase *tc = tcase_create("ids");

	if (!has_io_uring())
		return s;
	numbers = has_numbers();
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, ids);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, removed);
	tcase_add_test(tc, no_id_is_adopted_twice);
	tcase_add_test(tc, descriptors);
	tcase_add_test(tc, threads);
	suite_add_tcase(s, tc);
	if (!numbers)
		return s;
	tc = tcase_create("pages");
	tcase_add_checked_fixture(tc, setup, teardown);
	/* More than a user without privilege may pin. */
	tcase_add_test(tc, many_ids);
	tcase_add_test(tc, numbers_of_pages);
	tcase_add_test(tc, adopted_by_another);
	tcase_add_test(tc, stays);
	tcase_add_loop_test(tc, not_freed_with_the_file, 0, 3);
	tcase_add_test(tc, held_by_another_process);
	suite_add_tcase(s, tc);
	return s;
}
