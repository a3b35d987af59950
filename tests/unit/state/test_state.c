/* SPDX-License-Identifier: MIT */
/*
 * state/test_state.c - a header is adopted by who can, and by nobody else
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/why.h"
#include "state/region.h"
#include "state/state.h"
#include "tests/unit/suite.h"

#define OPTIONS "name=xen/gntdev\ngranter=1:xen/gntalloc\n"

static char text[512];
static const struct why why = { text, sizeof(text) };
static struct state *s;

static void setup(void)
{
	ck_assert_int_eq(state_new(OPTIONS, 2, &s), 0);
}

static void teardown(void)
{
	state_close(s);
	s = NULL;
}

/* As if the daemon had been killed here. */
static int succeed(const char *options, unsigned int sessions)
{
	int fd = fcntl(state_fd(s), F_DUPFD_CLOEXEC, 0);

	state_close(s);
	return state_adopt(fd, options, sessions, &s, &why);
}

START_TEST(goes_on)
{
	struct state_header *h = state_header(s);

	h->life = 7;
	h->init[1].len = 3;
	memcpy(h->init[1].bytes, "abc", 3);
	ck_assert_int_eq(succeed(OPTIONS, 2), 0);
	h = state_header(s);
	ck_assert_uint_eq(h->life, 7);
	ck_assert_uint_eq(h->survived, 0);
	ck_assert_mem_eq(h->init[1].bytes, "abc", 3);
	state_served(s, clock_read_ns(CLOCK_BOOTTIME) - 5000000);
	ck_assert_uint_eq(h->survived, 1);
	ck_assert_uint_ge(h->outage_ns, 5000000);
	ck_assert_int_eq(succeed(OPTIONS, 2), 0);
	ck_assert_uint_eq(state_header(s)->survived, 1);
}
END_TEST

START_TEST(other_options)
{
	static const char *const other[] = { "name=xen/gntdev\n", (OPTIONS "granter=2:x\n"),
					     "name=xen/gntdev\ngranter=1:xen/gntallo\n",
					     "name=xen/gntdev\ngranter=1:xen/gntalloc2\n", "" };
	static const char *const says[] = {
		"granter=1:xen/gntalloc, and this one with nothing",
		"with other options: nothing, and this one with granter=2:x",
		"and this one with granter=1:xen/gntallo:",
		"and this one with granter=1:xen/gntalloc2:",
		"name=xen/gntdev, and this one with nothing"
	};

	ck_assert_int_eq(succeed(other[_i], 2), -EEXIST);
	ck_assert_ptr_null(s);
	ck_assert_msg(strstr(text, says[_i]) != NULL, "%s", text);
}
END_TEST

enum damage { MAGIC, LATER, NOUGHT, BYTES, CELL, SESSIONS, INIT, ENDLESS, DAMAGE_N };

START_TEST(damage_is_refused)
{
	struct state_header *h = state_header(s);
	int err = -EINVAL;

	switch (_i) {
	case MAGIC:
		h->magic++;
		break;
	case LATER:
		h->version = STATE_VERSION + 1;
		err = -EPROTONOSUPPORT;
		break;
	case NOUGHT:
		h->version = 0;
		err = -EPROTONOSUPPORT;
		break;
	case BYTES:
		h->header_bytes -= 8;
		break;
	case CELL:
		h->cell_bytes = 128;
		break;
	case SESSIONS:
		h->sessions = 3;
		break;
	case INIT:
		h->init[1].len = STATE_INIT_BYTES + 1;
		break;
	default:
		memset(h->options, '\n', sizeof(h->options));
		break;
	}
	ck_assert_int_eq(succeed(OPTIONS, 2), err);
	ck_assert_ptr_null(s);
	ck_assert_msg(strstr(text, _i == LATER || _i == NOUGHT ? "version" : "damaged") != NULL,
		      "%s", text);
}
END_TEST

/* The program before this one has room for 17 sessions. */
START_TEST(of_version_1)
{
	const size_t bytes = 2200 + 17 * 256;
	struct state *first;
	struct region r;

	state_header(s)->version = 1;
	state_header(s)->header_bytes = (uint32_t)bytes;
	ck_assert_int_eq(region_new("first", bytes, &r), 0);
	ck_assert_int_eq(region_grow(&r, bytes), 0);
	memcpy(r.base, state_header(s), bytes);
	for (int damaged = 0; damaged < 2; damaged++) {
		((struct state_header *)r.base)->header_bytes += (uint32_t)damaged;
		ck_assert_int_eq(
			state_adopt(fcntl(r.fd, F_DUPFD_CLOEXEC, 0), OPTIONS, 2, &first, &why),
			damaged ? -EINVAL : 0);
		if (damaged)
			break;
		ck_assert_uint_eq(state_header(first)->version, 1);
		state_close(first);
	}
	region_close(&r);
}
END_TEST

START_TEST(other_files)
{
	struct region r;

	state_close(s);
	ck_assert_int_eq(state_adopt(open("/dev/null", O_RDWR | O_CLOEXEC), OPTIONS, 2, &s, &why),
			 -EINVAL);
	ck_assert_int_eq(region_new("short", 4096, &r), 0);
	ck_assert_int_eq(state_adopt(fcntl(r.fd, F_DUPFD_CLOEXEC, 0), OPTIONS, 2, &s, &why),
			 -EINVAL);
	region_close(&r);
}
END_TEST

START_TEST(too_much)
{
	char options[STATE_OPTIONS_BYTES + 1];
	struct state *other;

	memset(options, 'x', sizeof(options) - 1);
	options[sizeof(options) - 1] = '\0';
	ck_assert_int_eq(state_new(options, 2, &other), -E2BIG);
	ck_assert_int_eq(state_new(options + 1, STATE_SESSIONS + 1, &other), -E2BIG);
	ck_assert_int_eq(state_new(options + 1, STATE_SESSIONS, &other), 0);
	state_close(other);
}
END_TEST

Suite *state_suite(void)
{
	Suite *suite = suite_create("state");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, goes_on);
	tcase_add_test(tc, of_version_1);
	tcase_add_loop_test(tc, other_options, 0, 5);
	tcase_add_loop_test(tc, damage_is_refused, 0, DAMAGE_N);
	tcase_add_test(tc, other_files);
	tcase_add_test(tc, too_much);
	suite_add_tcase(suite, tc);
	return suite;
}
