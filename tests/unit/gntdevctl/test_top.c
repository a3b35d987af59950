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

static void put(void *arg, enum ctl_paint paint, const char *text)
{
	(void)arg;
	(void)paint;
	ck_assert_uint_lt(strlen(printed) + strlen(text) + 1, sizeof(printed));
	strcat(strcat(printed, text), "\n");
}

static void draw(void)
{
	printed[0] = '\0';
	ctl_top_draw(&frame, put, NULL);
}

static void shows(const char *text)
{
	ck_assert_msg(strstr(printed, text) != NULL, "no \"%s\" in:\n%s", text, printed);
}

static void hides(const char *text)
{
	ck_assert_msg(strstr(printed, text) == NULL, "\"%s\" in:\n%s", text, printed);
}

START_TEST(rates_are_of_the_time_between)
{
	ck_assert_double_eq(ctl_top_rate(&frame, "mmap"), 100);
	ck_assert_double_eq(ctl_top_rate(&frame, "nothing"), 0);
	/* 199 of 200 took less than 16 us. */
	ck_assert_double_eq(ctl_top_within(&frame, "mmap", 0.99), 16);
	ck_assert_double_eq(ctl_top_within(&frame, "mmap", 0.001), 8);
	draw();
	ck_assert_ptr_nonnull(strstr(
		printed,
		"mmap                        100          2     5.0 us      16 us      16 us\n"));
	ck_assert_ptr_null(strstr(printed, "\nopen  "));
}
END_TEST

START_TEST(a_slow_tail_is_seen)
{
	json_decref((json_t *)frame.stats);
	frame.stats = parse("{\"operations\":{\"mmap\":{\"events\":200,\"us\":2000,"
			    "\"histogram\":[[16,185],[null,15]]}}}");
	ck_assert_double_eq(ctl_top_within(&frame, "mmap", 0.99), INFINITY);
	ck_assert_double_eq(ctl_top_within(&frame, "mmap", 0.5), 16);
	draw();
	ck_assert_ptr_nonnull(strstr(printed, " longer\n"));
}
END_TEST

START_TEST(the_first_picture_has_no_rates)
{
	json_decref((json_t *)frame.before);
	frame.before = NULL;
	ck_assert_double_eq(ctl_top_rate(&frame, "mmap"), 0);
	ck_assert_double_eq(ctl_top_within(&frame, "mmap", 0.99), 0);
	draw();
	ck_assert_ptr_nonnull(strstr(
		printed,
		"mmap                          0          0          -          -          -\n"));
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
	static const int sizes[][2] = { { 200, 50 }, { 80, 24 }, { 60, 10 }, { 61, 9 },
					{ 40, 5 },   { 1, 1 },	 { 0, 0 } };
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

/* 40 opens, of which the one with most pages is the last. */
static void many_opens(void)
{
	json_decref(frame.opens);
	frame.opens = json_array();
	for (int i = 1; i <= 40; i++)
		json_array_append_new(
			frame.opens,
			json_pack("{s:s, s:i, s:i, s:s, s:s}", "id", "1", "pid", i, "pages", i,
				  "command", i == 7 ? "seventh" : "ring", "unit",
				  "a-back-end-with-a-long-name-for-the-disk-of-a-guest@7.service"));
}

START_TEST(what_has_no_room_is_counted)
{
	many_opens();
	draw();
	shows("\n     40 ");
	shows("\n26 more\n");
	hides("\n     26 ");
	frame.first = 25;
	draw();
	ck_assert_uint_eq(frame.first, 25);
	shows("\n     15 ");
	shows("\n      1 ");
	hides(" more\n");
	/* Beyond the end is at the end. */
	frame.first = 1000;
	draw();
	ck_assert_uint_eq(frame.first, 25);
	frame.first = 0;
	strcpy(frame.filter, "seventh");
	draw();
	shows("\n      7 ");
	hides("\n     40 ");
	strcpy(frame.filter, "nobody's");
	draw();
	shows("\nnothing is as the filter wants it\n");
}
END_TEST

/* Names of units differ at both ends. */
/* Where there is little room shares are told shorter, and none is cut off. */
START_TEST(shares_fit)
{
	json_decref((json_t *)frame.stats);
	frame.stats = parse("{\"opens\":16000,\"maps\":500000,\"pages\":1100000,\"windows\":9,"
			    "\"limits\":{\"maps\":589824,\"pages\":1179648}}");
	frame.width = 100;
	draw();
	shows("  maps 500000 of 589824 (84.8 %)  pages 1100000 of 1179648 (93.2 %)  windows 9\n");
	frame.width = 59;
	draw();
	shows("\nopens 16000  maps 500000 (85 %)  pages 1100000 (93 %)  win+\n");
}
END_TEST

START_TEST(units_are_shortened_in_the_middle)
{
	many_opens();
	draw();
	shows(" a-back..uest@7\n");
	frame.width = 60;
	draw();
	shows(" a-bac..est@7\n");
	frame.width = 200;
	draw();
	shows(" a-back-end-with-a-long-name-for-the-disk-of-a-guest@7.service\n");
}
END_TEST

START_TEST(only_what_is_active_is_listed)
{
	json_t *ops = json_object();

	for (int i = 0; i < 30; i++) {
		char name[16];

		snprintf(name, sizeof(name), "op%d", i);
		json_object_set_new(ops, name, json_pack("{s:i, s:i}", "events", 5, "us", 10));
	}
	json_decref((json_t *)frame.before);
	frame.before = json_pack("{s:O}", "operations", ops);
	json_decref((json_t *)frame.stats);
	frame.stats = json_pack("{s:o}", "operations", json_deep_copy(ops));
	draw();
	shows("OPERATION (NONE) ");
	hides("op1");
	json_object_set_new(json_object_get(json_object_get(frame.stats, "operations"), "op12"),
			    "events", json_integer(6));
	draw();
	shows("\nop12 ");
	hides("op11");
	json_decref((json_t *)frame.before);
	frame.before = NULL;
	draw();
	shows("\nOPERATION (24 MORE) ");
	shows("\nop5 ");
	hides("\nop6 ");
	json_decref(ops);
}
END_TEST

START_TEST(domains_are_counted)
{
	static struct ctl_top_domain domain[CTL_TOP_DOMAINS];
	json_t *maps = parse("[{\"open\":\"1\",\"domid\":7,\"pages\":2},"
			     "{\"open\":\"1\",\"domid\":7,\"pages\":3},"
			     "{\"open\":\"2\",\"domid\":7,\"pages\":1,\"domids\":[7,9,70000,-1]},"
			     "{\"open\":\"2\",\"domid\":65536,\"pages\":1}]"),
	       *map;
	size_t i;

	json_array_foreach(maps, i, map)
		ctl_top_count(domain, map);
	json_decref(maps);
	frame.domain = domain;
	draw();
	shows("\n DOMAIN    *PAGES    MAPS   OPENS\n"
	      "      7         6       3       2\n"
	      "      9         0       1       1\n");
	strcpy(frame.filter, "9");
	draw();
	hides("\n      7 ");
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
	tcase_add_test(tc, what_has_no_room_is_counted);
	tcase_add_test(tc, shares_fit);
	tcase_add_test(tc, units_are_shortened_in_the_middle);
	tcase_add_test(tc, only_what_is_active_is_listed);
	tcase_add_test(tc, domains_are_counted);
	tcase_add_loop_test(tc, a_picture_fits, 0, 7);
	suite_add_tcase(s, tc);
	return s;
}
