/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/test_top.c - pictures of gntdevctl top: rates, order, size
 */
#include <check.h>
#include <locale.h>
#include <math.h>
#include <string.h>

#include "gntdevctl/top.h"

static char printed[16384];
static struct ctl_top_frame frame;

static json_t *parse(const char *text)
{
	json_t *o = json_loads(text, JSON_DECODE_ANY, NULL);

	ck_assert_ptr_nonnull(o);
	return o;
}

static void setup(void)
{
	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C.UTF-8"));
	frame = (struct ctl_top_frame){
		.hello = parse("{\"device\":\"xen/gntdev\"}"),
		.before =
			parse("{\"operations\":{\"mmap\":{\"events\":100,\"failed\":1,\"us\":1000,"
			      "\"histogram\":[[16,90],[null,10]]}}}"),
		.stats = parse(
			"{\"operations\":{\"mmap\":{\"events\":300,\"failed\":5,\"us\":2000,"
			"\"histogram\":[[8,1],[16,290],[null,10]]},\"open\":{\"events\":0}}}"),
		.seconds = 2,
		.opens = parse("[{\"id\":\"1\",\"pid\":1,\"pages\":5,\"maps\":9,\"age_ms\":10},"
			       "{\"id\":\"2\",\"pid\":2,\"pages\":7,\"maps\":1,\"age_ms\":5},"
			       "{\"id\":\"3\",\"pid\":3,\"pages\":6,\"maps\":2,\"age_ms\":99,"
			       "\"command\":\"\\u001b[H\\n\\u6f22\\u6f22\\u6f22\\u6f22\"}]"),
		.width = 80,
		.height = 24,
	};
}

static void teardown(void)
{
	json_decref((json_t *)frame.hello);
	json_decref((json_t *)frame.before);
	json_decref((json_t *)frame.stats);
	json_decref(frame.opens);
}

static void draw(void)
{
	FILE *f;

	memset(printed, 0, sizeof(printed));
	f = fmemopen(printed, sizeof(printed) - 1, "w");
	ck_assert_ptr_nonnull(f);
	ctl_top_draw(&frame, f);
	fclose(f);
}

START_TEST(rates_are_of_the_time_between)
{
	ck_assert_double_eq(ctl_top_rate(&frame, "mmap"), 100);
	ck_assert_double_eq(ctl_top_rate(&frame, "nothing"), 0);
	/* 199 of 200 took less than 16 us. */
	ck_assert_double_eq(ctl_top_within(&frame, "mmap"), 16);
	draw();
	ck_assert_ptr_nonnull(strstr(
		printed, "mmap                        100          2     5.0 us      16 us\n"));
	ck_assert_ptr_null(strstr(printed, "\nopen  "));
}
END_TEST

START_TEST(a_slow_tail_is_seen)
{
	json_decref((json_t *)frame.stats);
	frame.stats = parse("{\"operations\":{\"mmap\":{\"events\":200,\"us\":2000,"
			    "\"histogram\":[[16,185],[null,15]]}}}");
	ck_assert_double_eq(ctl_top_within(&frame, "mmap"), INFINITY);
	draw();
	ck_assert_ptr_nonnull(strstr(printed, " longer\n"));
}
END_TEST

START_TEST(the_first_picture_has_no_rates)
{
	json_decref((json_t *)frame.before);
	frame.before = NULL;
	ck_assert_double_eq(ctl_top_rate(&frame, "mmap"), 0);
	ck_assert_double_eq(ctl_top_within(&frame, "mmap"), 0);
	draw();
	ck_assert_ptr_nonnull(strstr(
		printed, "mmap                          0          0          -          -\n"));
}
END_TEST

/* In which order the processes 1, 2 and 3 are listed. */
static void order_is(enum ctl_top_sort sort, const char *order, const char *head)
{
	char got[4] = "";
	const char *p;

	frame.sort = sort;
	draw();
	ck_assert_ptr_nonnull(strstr(printed, head));
	p = strstr(printed, "    PID ");
	ck_assert_ptr_nonnull(p);
	for (int i = 0; i < 3; i++) {
		p = strchr(p, '\n') + 1;
		got[i] = p[6];
	}
	ck_assert_str_eq(got, order);
}

START_TEST(opens_are_sorted)
{
	order_is(CTL_TOP_PAGES, "231", " *PAGES ");
	order_is(CTL_TOP_MAPS, "132", " *MAPS ");
	order_is(CTL_TOP_AGE, "312", " *AGE ");
}
END_TEST

/* Characters of two columns and three bytes count as what they take. */
static int columns(const char *line, size_t len)
{
	int n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];

		ck_assert_uint_ge(c, ' ');
		n += c == 0xe6 ? 2 : c < 0x80 ? 1 : 0;
	}
	return n;
}

START_TEST(a_picture_fits)
{
	static const int sizes[][2] = { { 80, 24 }, { 79, 12 }, { 61, 9 },
					{ 40, 5 },  { 1, 1 },	{ 0, 0 } };
	int lines = 0;

	frame.width = sizes[_i][0];
	frame.height = sizes[_i][1];
	draw();
	for (const char *p = printed, *end; (end = strchr(p, '\n')); p = end + 1) {
		lines++;
		ck_assert_int_le(columns(p, (size_t)(end - p)), frame.width);
	}
	ck_assert_int_le(lines, frame.height);
	ck_assert_int_eq(lines > 0, frame.height > 0);
}
END_TEST

Suite *top_suite(void)
{
	Suite *s = suite_create("ctl_top");
	TCase *tc = tcase_create("pictures");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, rates_are_of_the_time_between);
	tcase_add_test(tc, a_slow_tail_is_seen);
	tcase_add_test(tc, the_first_picture_has_no_rates);
	tcase_add_test(tc, opens_are_sorted);
	tcase_add_loop_test(tc, a_picture_fits, 0, 6);
	suite_add_tcase(s, tc);
	return s;
}
