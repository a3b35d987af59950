/* SPDX-License-Identifier: MIT */
/*
 * state/test_record.c - records: what was committed is there for a successor, what was not is forgotten, and damage is
 * refused
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state/record.h"
#include "tests/unit/suite.h"

static struct records *s;

static void setup(void)
{
	ck_assert_int_eq(records_new(65536, &s), 0);
}

static void teardown(void)
{
	records_close(s);
	s = NULL;
}

/* As if the daemon had been killed here. Return: of records_adopt(). */
static int succeed(void)
{
	int fd = fcntl(records_fd(s), F_DUPFD_CLOEXEC, 0);

	records_close(s);
	return records_adopt(fd, &s);
}

static void fill(uint32_t r, size_t bytes, unsigned char salt)
{
	for (size_t i = 0; i < bytes; i++) {
		unsigned char byte = (unsigned char)(i * 7 + salt);

		record_write(s, r, i, &byte, 1);
	}
}

static void expect(uint32_t r, size_t bytes, unsigned char salt)
{
	unsigned char buf[1000];

	record_read(s, r, 0, buf, bytes);
	for (size_t i = 0; i < bytes; i++)
		assert_each(buf[i] == (unsigned char)(i * 7 + salt), "byte %zu is %u", i, buf[i]);
}

START_TEST(what_is_committed_lasts)
{
	uint32_t a = record_new(s, 10), b = record_new(s, 1000), c = record_new(s, 300), cursor = 0;
	uint64_t used, made;

	fill(a, 10, 1);
	fill(b, 1000, 2);
	fill(c, 300, 3);
	record_commit(s, a, RECORD_OPEN);
	record_commit(s, b, RECORD_MAP);
	ck_assert_int_eq(succeed(), 0);
	ck_assert_uint_eq(record_next(s, RECORD_OPEN, &cursor), a);
	ck_assert_uint_eq(record_next(s, RECORD_OPEN, &cursor), 0);
	expect(a, 10, 1);
	expect(b, 1000, 2);
	ck_assert_uint_ge(record_bytes(s, b), 1000);
	ck_assert_int_eq(record_kind(s, c), RECORD_NONE);
	records_count(s, &used, &made);
	ck_assert_uint_eq(used, 1 + 18);
}
END_TEST

START_TEST(what_has_ended_is_free)
{
	uint64_t used, made;

	for (int i = 0; i < 100000; i++) {
		uint32_t r = record_new(s, 500);

		assert_each(r, "record %d", i);
		record_commit(s, r, RECORD_MAP);
		record_end(s, r);
	}
	records_count(s, &used, &made);
	ck_assert_uint_eq(used, 0);
	ck_assert_uint_le(made, 4096);
	ck_assert_int_eq(succeed(), 0);
	records_count(s, &used, &made);
	ck_assert_uint_eq(used, 0);
}
END_TEST

START_TEST(it_can_be_full)
{
	uint32_t n = 0, last = 0, r;

	while ((r = record_new(s, 56))) {
		record_commit(s, r, RECORD_WINDOW);
		last = r;
		n++;
	}
	ck_assert_uint_eq(n, 65535);
	ck_assert_uint_eq(record_new(s, 200), 0);
	record_end(s, last);
	/* One cell is not enough for it, and is still there afterwards. */
	ck_assert_uint_eq(record_new(s, 200), 0);
	ck_assert_uint_eq(record_new(s, 56), last);
	ck_assert_int_eq(succeed(), 0);
}
END_TEST

START_TEST(a_new_record_is_zero)
{
	uint32_t r = record_new(s, 200);
	unsigned char zero[200] = { 0 }, buf[200];

	fill(r, 200, 9);
	record_commit(s, r, RECORD_MAP);
	record_end(s, r);
	r = record_new(s, 200);
	record_read(s, r, 0, buf, 200);
	ck_assert_mem_eq(buf, zero, 200);
}
END_TEST

static void damage(struct record_cell *cells, uint32_t a, uint32_t b, int how)
{
	switch (how) {
	case 0:
		cells[a].more = cells[b].more;
		break;
	case 1:
		cells[a].more = UINT32_MAX;
		break;
	case 2:
		cells[a].kind = RECORD_KINDS;
		break;
	case 3:
		cells[cells[a].more].more = a;
		break;
	case 4:
		memset(&cells[0], 0xff, sizeof(cells[0]));
		break;
	case 5:
		cells[a].more = b;
		break;
	}
}

/* Records that lead to one another's cells, out of range or are nothing known. */
START_TEST(damage_is_refused)
{
	for (int how = 0; how <= 5; how++) {
		uint32_t a = record_new(s, 100), b = record_new(s, 100);
		struct record_cell *cells;

		record_commit(s, a, RECORD_MAP);
		record_commit(s, b, RECORD_MAP);
		cells = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, records_fd(s), 0);
		ck_assert_ptr_ne(cells, MAP_FAILED);
		damage(cells, a, b, how);
		munmap(cells, 4096);
		assert_each(succeed() == -EINVAL && !s, "damage %d", how);
		setup();
	}
}
END_TEST

/* More than are there, or fewer than were in use: nothing is made by looking, and nothing is lost. */
START_TEST(a_wrong_number_of_cells_is_refused)
{
	static const int by[] = { 1, 4096, 50000, -4096 };

	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
		struct stat before, after;
		uint32_t *made;
		int fd;

		for (int n = 0; n < 5000; n++)
			record_commit(s, record_new(s, 56), RECORD_WINDOW);
		fd = fcntl(records_fd(s), F_DUPFD_CLOEXEC, 0);
		made = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		ck_assert_ptr_ne(made, MAP_FAILED);
		ck_assert_uint_eq(made[3], 8192);
		made[3] += (uint32_t)by[i];
		ck_assert_int_eq(fstat(fd, &before), 0);
		assert_each(succeed() == -EINVAL && !s, "%d more", by[i]);
		ck_assert_int_eq(fstat(fd, &after), 0);
		ck_assert_int_eq(after.st_blocks, before.st_blocks);
		munmap(made, 4096);
		close(fd);
		setup();
	}
}
END_TEST

START_TEST(other_files_are_refused)
{
	int fd = memfd_create("other", MFD_CLOEXEC);

	records_close(s);
	ck_assert_int_eq(ftruncate(fd, 65536), 0);
	ck_assert_int_eq(records_adopt(fd, &s), -EINVAL);
	ck_assert_int_eq(records_adopt(open("/dev/null", O_RDWR), &s), -EINVAL);
}
END_TEST

Suite *record_suite(void)
{
	const TTest *const tests[] = {
		what_is_committed_lasts,
		what_has_ended_is_free,
		it_can_be_full,
		a_new_record_is_zero,
		damage_is_refused,
		other_files_are_refused,
		a_wrong_number_of_cells_is_refused,
	};

	return suite_of("record", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
