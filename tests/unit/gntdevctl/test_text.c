/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/test_text.c - nothing that clients have chosen reaches a terminal as it is
 */
#include <check.h>
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gntdevctl/graph.h"
#include "gntdevctl/text.h"

static char printed[4096];

static FILE *begin(void)
{
	memset(printed, 0, sizeof(printed));
	return fmemopen(printed, sizeof(printed), "w");
}

static void is_clean(const char *in, const char *out, size_t columns)
{
	char buf[256];
	FILE *f;

	ck_assert_uint_eq(ctl_clean(buf, sizeof(buf), in), columns);
	ck_assert_str_eq(buf, out);
	f = begin();
	ctl_print_clean(f, in);
	fclose(f);
	ck_assert_str_eq(printed, out);
}

START_TEST(what_controls_a_terminal_is_taken_out)
{
	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C.UTF-8"));
	is_clean("", "", 0);
	is_clean("qemu-system-i386", "qemu-system-i386", 16);
	is_clean("a\033[31mb\nc\td\177e\r", "a?[31mb?c?d?e?", 14);
	is_clean("\xc2\x85x\xc2\x9b"
		 "31m",
		 "?x?31m", 6);
	/* Right-to-left override, zero width space, line separator, a combining accent. */
	is_clean("a\u202eb\u200bc\u2028d\u0301", "a?b?c?d?", 8);
	is_clean("\u00fc\u6f22", "\u00fc\u6f22", 3);
	/* No UTF-8: a lone byte, a cut character, an overlong one. */
	is_clean("a\xff"
		 "b\xe6\xbc",
		 "a?b??", 5);
	is_clean("\xc0\x9b", "??", 2);
}
END_TEST

START_TEST(without_utf8_only_ascii_is_printed)
{
	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C"));
	is_clean("a\xc2\x9b"
		 "b\u00fc",
		 "a??b??", 6);
}
END_TEST

START_TEST(a_text_that_does_not_fit_is_cut_at_a_character)
{
	char buf[5];

	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C.UTF-8"));
	ctl_clean(buf, sizeof(buf), "\u6f22\u6f22");
	ck_assert_str_eq(buf, "\u6f22");
	ctl_clean(buf, sizeof(buf), "abcdefgh");
	ck_assert_str_eq(buf, "abcd");
	ctl_clean(buf, 1, "a");
	ck_assert_str_eq(buf, "");
}
END_TEST

static void column_is(const char *in, size_t width, const char *out)
{
	FILE *f = begin();

	ctl_column(f, in, width);
	fclose(f);
	ck_assert_str_eq(printed, out);
}

static void cut_is(const char *in, size_t width, const char *out)
{
	FILE *f = begin();

	ctl_print_cut(f, in, width);
	fclose(f);
	ck_assert_str_eq(printed, out);
}

START_TEST(columns_count_places_not_bytes)
{
	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C.UTF-8"));
	column_is("ab", 4, "ab   ");
	column_is("\u6f22", 4, "\u6f22   ");
	column_is("abcdef", 4, "abcdef ");
	cut_is("abcd", 4, "abcd");
	cut_is("abcde", 4, "abc+");
	cut_is("a\u6f22\u6f22", 4, "a\u6f22+");
	cut_is("abc", 0, "");
}
END_TEST

START_TEST(ages_and_times)
{
	ck_assert_str_eq(ctl_age(0).s, "0ms");
	ck_assert_str_eq(ctl_age(999).s, "999ms");
	ck_assert_str_eq(ctl_age(1000).s, "1s");
	ck_assert_str_eq(ctl_age(59999).s, "59s");
	ck_assert_str_eq(ctl_age(60000).s, "1m 0s");
	ck_assert_str_eq(ctl_age(3600000).s, "1h 0m");
	ck_assert_str_eq(ctl_age(86399999).s, "23h 59m");
	ck_assert_str_eq(ctl_age(90000000).s, "1d 1h");
	ck_assert_uint_lt(strlen(ctl_age(UINT64_MAX).s), 47);
	ck_assert_str_eq(ctl_us(0.44).s, "0.4 us");
	ck_assert_str_eq(ctl_us(12).s, "12 us");
	ck_assert_str_eq(ctl_us(999.6).s, "1.0 ms");
	ck_assert_str_eq(ctl_us(1500000).s, "1.5 s");
	setenv("TZ", "UTC", 1);
	ck_assert_str_eq(ctl_time(1500000000123456789, 1).s, "2017-07-14 02:40:00.123456");
	ck_assert_str_eq(ctl_time(1500000000123456789, 0).s, "02:40:00.123456");
	ck_assert_uint_gt(strlen(ctl_time(UINT64_MAX, 1).s), 0);
}
END_TEST

START_TEST(shares_and_bars)
{
	ck_assert_str_eq(ctl_share(12, 0).s, "12");
	ck_assert_str_eq(ctl_share(12, 96).s, "12 of 96 (12.5 %)");
	ck_assert_uint_lt(strlen(ctl_share(UINT64_MAX, 1).s), 48);
	ck_assert_str_eq(ctl_bar(0, 10, 10).s, "");
	ck_assert_str_eq(ctl_bar(1, 1000, 10).s, "#");
	ck_assert_str_eq(ctl_bar(5, 10, 10).s, "#####");
	ck_assert_str_eq(ctl_bar(11, 10, 4).s, "####");
	ck_assert_str_eq(ctl_bar(1, 0, 4).s, "");
	ck_assert_uint_eq(strlen(ctl_bar(UINT64_MAX, UINT64_MAX, 1000).s), 40);
	ck_assert_str_eq(ctl_user(0).s, "root");
	ck_assert_str_eq(ctl_user(0).s, "root");
	/* Its place in the memory of names is that of 0. */
	ck_assert_str_eq(ctl_user(4000000000).s, "4000000000");
	ck_assert_str_eq(ctl_user(0).s, "root");
}
END_TEST

/* --- Graphviz ----------------------------------------------------------------------------------- */

static void quoted_is(const char *in, const char *out)
{
	FILE *f = begin();

	ctl_graph_quote(f, in);
	fclose(f);
	ck_assert_str_eq(printed, out);
}

START_TEST(graphviz_text_is_quoted)
{
	quoted_is("plain", "plain");
	quoted_is("\"];evil [label=\"", "\\\"];evil [label=\\\"");
	quoted_is("\\N\\", "\\\\N\\\\");
	quoted_is("&lt;<b>", "&amp;lt;<b>");
}
END_TEST

static void add(struct ctl_graph_sums *g, const char *name, const char *text)
{
	struct ctl_record r = { .name = name, .value = json_loads(text, JSON_DECODE_ANY, NULL) };

	ck_assert_ptr_nonnull(r.value);
	ck_assert(ctl_graph_add(&r, g));
	json_decref(r.value);
}

static void drawn(const struct ctl_graph_sums *g)
{
	FILE *f = begin();

	ctl_graph_write(g, f);
	fclose(f);
}

static void shows(const char *text)
{
	ck_assert_msg(strstr(printed, text) != NULL, "no \"%s\" in:\n%s", text, printed);
}

START_TEST(maps_add_up_to_edges)
{
	struct ctl_graph_sums g = { 0 };

	ck_assert_ptr_nonnull(setlocale(LC_ALL, "C.UTF-8"));
	drawn(&g);
	shows("none [shape=plaintext, label=\"nobody maps anything\"];");
	add(&g, "open", "{\"pid\":7,\"command\":\"q\\\"\\nx\",\"unit\":\"u.service\"}");
	add(&g, "map", "{\"pages\":2,\"domid\":3,\"readonly\":false,\"holder\":7}");
	add(&g, "map", "{\"pages\":1,\"domid\":3,\"readonly\":false,\"holder\":7}");
	add(&g, "map", "{\"pages\":1,\"domid\":3,\"readonly\":true,\"holder\":9}");
	add(&g, "map", "{\"pages\":4096,\"domid\":4,\"readonly\":true,\"holder\":9}");
	add(&g, "map", "{\"pages\":1,\"domid\":4,\"readonly\":false,\"holder\":9}");
	add(&g, "map", "{\"pages\":4,\"domid\":1,\"domids\":[1,2],\"readonly\":true,\"holder\":0}");
	/* Reserved only: nobody's pages. */
	add(&g, "map", "{\"pages\":50,\"domid\":5,\"readonly\":null}");
	add(&g, "future", "[]");
	add(&g, "map", "17");
	drawn(&g);
	shows("label=\"Who maps whose pages: 3 processes, 4 domains, 4109 pages\\n");
	shows("p7 [shape=box, label=\"q\\\"?x\\npid 7\\nu.service\"];");
	shows("p7 -> d3 [label=\"  3 pages rw, 2 maps  \", penwidth=1];");
	shows("p9 [shape=box, label=\"pid 9\"];");
	shows("p9 -> d3 [label=\"  1 page ro, 1 map  \", penwidth=1, style=dashed];");
	/* One edge for both modes, as wide as its pages. */
	shows("p9 -> d4 [label=\"  4097 pages (1 rw, 4096 ro), 2 maps  \", penwidth=7];");
	shows("p0 -> d2 [label=\"  up to 4 pages ro, 1 map  \"");
	shows("d3 [shape=ellipse, label=\"domain 3\"];");
	ck_assert_ptr_null(strstr(printed, "d5"));
	ck_assert_ptr_null(strstr(printed, "nobody"));
	ctl_graph_free(&g);
}
END_TEST

/* Of the limits of a user the one that is nearest is told, and seen. */
START_TEST(a_graph_tells_of_limits)
{
	struct ctl_graph_sums g = {
		.stats = json_loads("{\"limits\":{\"maps_per_user\":100,\"pages_per_user\":50},"
				    "\"users\":[{\"uid\":0,\"maps\":2,\"pages\":45},"
				    "{\"uid\":1,\"maps\":100,\"pages\":1},"
				    "{\"uid\":2,\"maps\":1,\"pages\":1}]}",
				    0, NULL),
	};

	add(&g, "open", "{\"pid\":7,\"uid\":0,\"command\":\"a\"}");
	add(&g, "open", "{\"pid\":8,\"uid\":1,\"command\":\"b\"}");
	add(&g, "open", "{\"pid\":9,\"uid\":2,\"command\":\"c\"}");
	drawn(&g);
	shows("user root: pages 45 of 50 (90.0 %)\", color=darkorange, penwidth=2];");
	shows(": maps 100 of 100 (100.0 %)\", color=red, penwidth=2];");
	shows(": pages 1 of 50 (2.0 %)\"];");
	ctl_graph_free(&g);
}
END_TEST

Suite *text_suite(void)
{
	Suite *s = suite_create("ctl_text");
	TCase *tc = tcase_create("text");

	tcase_add_test(tc, what_controls_a_terminal_is_taken_out);
	tcase_add_test(tc, without_utf8_only_ascii_is_printed);
	tcase_add_test(tc, a_text_that_does_not_fit_is_cut_at_a_character);
	tcase_add_test(tc, columns_count_places_not_bytes);
	tcase_add_test(tc, ages_and_times);
	tcase_add_test(tc, shares_and_bars);
	tcase_add_test(tc, graphviz_text_is_quoted);
	tcase_add_test(tc, maps_add_up_to_edges);
	tcase_add_test(tc, a_graph_tells_of_limits);
	suite_add_tcase(s, tc);
	return s;
}
