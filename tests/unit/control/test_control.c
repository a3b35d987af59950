/* SPDX-License-Identifier: MIT */
/*
 * control/test_control.c - what the control socket answers, by real sockets
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/control/rig.h"
#include "abi/version.h"
#include "window/window.h"

static const char *text_at(json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

/* --- lines -------------------------------------------------------------------------------------- */

START_TEST(hello_says_who_answers)
{
	json_t *all = control_once("{\"v\":1,\"id\":-7,\"do\":\"hello\"}\n");
	json_t *end = control_end_of(all);

	ck_assert_int_eq(control_number_at(all, "id"), -7);
	ck_assert_int_eq(control_number_at(end, "protocol"), 1);
	ck_assert_str_eq(text_at(end, "version"), VERSION);
	ck_assert_int_eq(control_number_at(end, "pid"), getpid());
	ck_assert_str_eq(text_at(end, "device"), "xen/gntdev");
	ck_assert_str_eq(text_at(end, "hypervisor"), "sim");
	ck_assert_int_eq(control_number_at(end, "since"), 1234567890);
	ck_assert_str_eq(text_at(end, "run_dir"), control_cfg.view.run_dir);
	ck_assert_str_eq(text_at(end, "window_socket"), RIG_SOCKET);
	json_decref(all);
}
END_TEST

/* Requests that are refused, and how; those with EPROTO end the connection. */
static const struct {
	const char *request;
	const char *code;
	const char *text;
} refused[] = {
	{ "", "EPROTO", "no JSON" },
	{ "garbage", "EPROTO", "no JSON" },
	{ "\xff\xfe", "EPROTO", "no JSON" },
	{ "[1]", "EPROTO", "no object" },
	{ "{\"v\":1", "EPROTO", "no JSON" },
	{ "{\"v\":1,\"do\":\"hello\"} x", "EPROTO", "no JSON" },
	{ "{\"v\":1,\"v\":1,\"do\":\"hello\"}", "EPROTO", "no JSON" },
	{ "{\"do\":\"hello\"}", "EPROTO", "version" },
	{ "{\"v\":2,\"do\":\"hello\"}", "EPROTO", "version" },
	{ "{\"v\":\"1\",\"do\":\"hello\"}", "EPROTO", "version" },
	{ "{\"v\":1}", "EINVAL", "\"do\" is missing" },
	{ "{\"v\":1,\"do\":1}", "EINVAL", "no request" },
	{ "{\"v\":1,\"do\":\"reboot\"}", "EINVAL", "no request" },
	{ "{\"v\":1,\"do\":\"a-name-that-is-much-too-long-for-a-request\"}", "EINVAL",
	  "no request" },
	{ "{\"v\":1,\"id\":\"x\",\"do\":\"hello\"}", "EINVAL", "\"id\"" },
	{ "{\"v\":1,\"do\":\"hello\",\"domid\":3}", "EINVAL", "hello has no argument \"domid\"" },
	{ "{\"v\":1,\"do\":\"list\",\"domid\":65536}", "EINVAL",
	  "list: \"domid\" is not a number from 0 to 65535" },
	{ "{\"v\":1,\"do\":\"list\",\"domid\":-1}", "EINVAL", "domid" },
	{ "{\"v\":1,\"do\":\"list\",\"domid\":1.5}", "EINVAL", "domid" },
	{ "{\"v\":1,\"do\":\"list\",\"pid\":\"1\"}", "EINVAL", "pid" },
	{ "{\"v\":1,\"do\":\"list\",\"uid\":null}", "EINVAL", "uid" },
	{ "{\"v\":1,\"do\":\"list\",\"unit\":7}", "EINVAL", "list: \"unit\" is not a string" },
	{ "{\"v\":1,\"do\":\"list\",\"unit\":\"a\\u0000b\"}", "EPROTO", "no JSON" },
	{ "{\"v\":1,\"do\":\"list\",\"maps\":1}", "EINVAL", "list: \"maps\" is neither" },
	{ "{\"v\":1,\"do\":\"list\",\"dom\":1}", "EINVAL", "list has no argument \"dom\"" },
	{ "{\"v\":1,\"do\":\"stats\",\"x\":1}", "EINVAL", "stats has no argument" },
	{ "{\"v\":1,\"do\":\"metrics\",\"x\":1}", "EINVAL", "metrics has no argument" },
	{ "{\"v\":1,\"do\":\"errors\",\"after\":-1}", "EINVAL", "errors: \"after\"" },
	{ "{\"v\":1,\"do\":\"errors\",\"max\":513}", "EINVAL", "errors: \"max\"" },
	{ "{\"v\":1,\"do\":\"trace\",\"failed\":0}", "EINVAL", "trace: \"failed\"" },
	{ "{\"v\":1,\"do\":\"trace\",\"x\":0}", "EINVAL", "trace has no argument" },
};

START_TEST(what_is_wrong_is_said)
{
	int fd = control_connect();
	json_t *all;
	const char *text;
	char line[256];

	snprintf(line, sizeof(line), "%s\n", refused[_i].request);
	all = control_ask_all(fd, line);
	text = control_error(all, refused[_i].code);
	ck_assert_msg(strstr(text, refused[_i].text), "%s", text);
	json_decref(all);
	if (!strcmp(refused[_i].code, "EPROTO")) {
		control_wait_closed(fd);
	} else {
		all = control_ask_all(fd, "{\"v\":1,\"do\":\"hello\"}\n");
		control_end_of(all);
		json_decref(all);
	}
	close(fd);
}
END_TEST

START_TEST(an_error_has_the_requests_id)
{
	json_t *all = control_once("{\"v\":1,\"id\":9007199254740993,\"do\":\"no\"}\n");

	control_error(all, "EINVAL");
	ck_assert_int_eq(control_number_at(all, "id"), 9007199254740993);
	json_decref(all);
	/* One that is refused before has none of the request before. */
	all = control_once("{\"v\":1,\"do\":\"no\"}\n");
	ck_assert_ptr_null(json_object_get(all, "id"));
	json_decref(all);
}
END_TEST

START_TEST(a_nul_byte_is_no_json)
{
	int fd = control_connect();
	json_t *o;

	control_say_bytes(fd, "{\"v\":1,\"do\":\"hello\"}\0\n", 22);
	o = control_json(fd);
	control_error(o, "EPROTO");
	json_decref(o);
	control_wait_closed(fd);
	close(fd);
}
END_TEST

START_TEST(lines_may_come_in_pieces_or_together)
{
	const char *request = "{\"v\":1,\"id\":1,\"do\":\"hello\"}\n";
	int fd = control_connect();
	json_t *o;

	for (const char *c = request; *c; c++) {
		control_say_bytes(fd, c, 1);
		if (c - request < 4)
			usleep(2000);
	}
	o = control_json(fd);
	ck_assert_int_eq(control_number_at(o, "id"), 1);
	json_decref(o);
	control_say(fd, "{\"v\":1,\"id\":2,\"do\":\"hello\"}\n{\"v\":1,\"id\":3,\"do\":\"list\"}\n"
			"{\"v\":1,\"id\":4,\"do\":\"hello\"}\n");
	for (int id = 2; id <= 4; id++) {
		do {
			o = control_json(fd);
			ck_assert_ptr_nonnull(o);
			ck_assert_int_eq(control_number_at(o, "id"), id);
			json_decref(json_object_get(o, "end") ? json_incref(o) : NULL);
			if (json_object_get(o, "end"))
				break;
			json_decref(o);
		} while (true);
		json_decref(o);
	}
	close(fd);
}
END_TEST

START_TEST(the_longest_line_is_taken_and_a_longer_one_is_not)
{
	int fd = control_connect();
	char line[CONTROL_LINE_MAX + 1];
	json_t *all;
	int n = snprintf(line, sizeof(line), "{\"v\":1,\"do\":\"hello\"}");

	memset(line + n, ' ', sizeof(line) - (size_t)n);
	line[CONTROL_LINE_MAX - 1] = '\n';
	line[CONTROL_LINE_MAX] = '\0';
	all = control_ask_all(fd, line);
	control_end_of(all);
	json_decref(all);
	line[CONTROL_LINE_MAX - 1] = ' ';
	all = control_ask_all(fd, line);
	ck_assert_ptr_nonnull(strstr(control_error(all, "EPROTO"), "longer than 4096"));
	json_decref(all);
	control_wait_closed(fd);
	close(fd);
}
END_TEST

START_TEST(who_says_no_more_gets_its_answer)
{
	int fd = control_connect();
	json_t *o;

	control_say(fd, "{\"v\":1,\"do\":\"hello\"}\n{\"v\":1,");
	shutdown(fd, SHUT_WR);
	o = control_json(fd);
	control_end_of(o);
	json_decref(o);
	ck_assert_ptr_null(control_line(fd));
	close(fd);
}
END_TEST

/* --- list --------------------------------------------------------------------------------------- */

START_TEST(list_shows_opens_and_their_maps)
{
	uint32_t ref = rig_grant(false);
	uint64_t index = rig_map(rig.fh, ref);
	json_t *all = control_once("{\"v\":1,\"do\":\"list\"}\n");
	json_t *open = control_record(all, "open", 0), *map = control_record(all, "map", 0);
	char id[40];

	ck_assert_uint_eq(control_count(all, "open"), 1);
	ck_assert_uint_eq(control_count(all, "map"), 1);
	snprintf(id, sizeof(id), "%llx", (unsigned long long)rig.fh);
	ck_assert_str_eq(text_at(open, "id"), id);
	ck_assert_int_eq(control_number_at(open, "pid"), getpid());
	ck_assert_int_eq(control_number_at(open, "uid"), geteuid());
	ck_assert_int_eq(control_number_at(open, "maps"), 1);
	ck_assert_int_eq(control_number_at(open, "pages"), 1);
	ck_assert(json_is_false(json_object_get(open, "windows")));
	ck_assert_str_eq(text_at(open, "command"), "test_control");
	ck_assert_str_eq(text_at(map, "open"), id);
	snprintf(id, sizeof(id), "%llx:%llx", (unsigned long long)rig.fh,
		 (unsigned long long)index);
	ck_assert_str_eq(text_at(map, "id"), id);
	ck_assert_int_eq(control_number_at(map, "index"), index);
	ck_assert_int_eq(control_number_at(map, "pages"), 1);
	ck_assert_int_eq(control_number_at(map, "domid"), RIG_GRANTER);
	ck_assert_str_eq(text_at(map, "state"), "fresh");
	ck_assert(json_is_null(json_object_get(map, "readonly")));
	ck_assert_ptr_null(json_object_get(map, "holder"));
	ck_assert_int_lt(control_number_at(map, "age_ms"), 10000);
	ck_assert_int_eq(control_number_at(all, "end.opens"), 1);
	ck_assert_int_eq(control_number_at(all, "end.maps"), 1);
	ck_assert_int_eq(control_number_at(all, "end.pages"), 1);
	json_decref(all);
}
END_TEST

START_TEST(list_shows_what_is_mapped_and_then_detached)
{
	uint64_t index = rig_map(rig.fh, rig_grant(false));
	void *p = rig_mmap(rig.fh, index, 4096, PROT_READ, MAP_SHARED);
	json_t *all, *map;

	ck_assert_ptr_ne(p, MAP_FAILED);
	for (int round = 0; round < 2; round++) {
		all = control_once("{\"v\":1,\"do\":\"list\"}\n");
		ck_assert_uint_eq(control_count(all, "map"), 1);
		map = control_record(all, "map", 0);
		ck_assert_str_eq(text_at(map, "state"), round ? "detached" : "mapped");
		ck_assert(json_is_true(json_object_get(map, "readonly")));
		ck_assert_int_eq(control_number_at(map, "holder"), getpid());
		ck_assert_int_eq(control_number_at(map, "domid"), RIG_GRANTER);
		ck_assert_int_eq(control_number_at(map, "index"), index);
		json_decref(all);
		if (!round)
			ck_assert_int_eq(rig_unmap(rig.fh, index, 1), 0);
	}
	/* Another map at the same index is not taken for it. */
	ck_assert_uint_eq(rig_map(rig.fh, rig_grant(false)), index);
	all = control_once("{\"v\":1,\"do\":\"list\"}\n");
	ck_assert_uint_eq(control_count(all, "map"), 2);
	ck_assert_str_eq(text_at(control_record(all, "map", 0), "state"), "fresh");
	ck_assert_str_eq(text_at(control_record(all, "map", 1), "state"), "detached");
	json_decref(all);
	/* Also after the end of its open. */
	rig_close(rig.fh);
	all = control_once("{\"v\":1,\"do\":\"list\"}\n");
	ck_assert_uint_eq(control_count(all, "open"), 0);
	ck_assert_uint_eq(control_count(all, "map"), 1);
	json_decref(all);
	all = control_once("{\"v\":1,\"do\":\"list\",\"uid\":0}\n");
	ck_assert_uint_eq(control_count(all, "map"), 0);
	json_decref(all);
	munmap(p, 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
	all = control_once("{\"v\":1,\"do\":\"list\"}\n");
	ck_assert_uint_eq(control_count(all, "map"), 0);
	json_decref(all);
}
END_TEST

static void check_list(const char *filter, size_t opens, size_t maps)
{
	char line[128];
	json_t *all;

	snprintf(line, sizeof(line), "{\"v\":1,\"do\":\"list\"%s}\n", filter);
	all = control_once(line);
	ck_assert_msg(control_count(all, "open") == opens && control_count(all, "map") == maps,
		      "%s: %s", filter, json_dumps(all, 0));
	ck_assert_int_eq(control_number_at(all, "end.opens"), opens);
	ck_assert_int_eq(control_number_at(all, "end.maps"), maps);
	json_decref(all);
}

START_TEST(names_may_be_any_bytes)
{
	json_t *all;
	uint64_t fh;

	/* Bytes that are no UTF-8, one cut off at the end, and what JSON has to escape. */
	ck_assert_int_eq(prctl(PR_SET_NAME, "\xff\"\xc3\xa4\t\x80\xe2\x82"), 0);
	fh = rig_open();
	rig_close(rig.fh);
	all = control_once("{\"v\":1,\"do\":\"list\"}\n");
	ck_assert_str_eq(text_at(control_record(all, "open", 0), "command"),
			 "\xef\xbf\xbd\"\xc3\xa4\t\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	json_decref(all);
	rig_close(fh);
}
END_TEST

START_TEST(list_can_be_filtered)
{
	char filter[64];
	uint64_t other = rig_open();

	rig_map(rig.fh, rig_grant(false));
	rig_map(rig.fh, rig_grant(false));
	check_list("", 2, 2);
	check_list(",\"maps\":false", 2, 0);
	check_list(",\"maps\":true", 2, 2);
	snprintf(filter, sizeof(filter), ",\"pid\":%d", (int)getpid());
	check_list(filter, 2, 2);
	check_list(",\"pid\":1", 0, 0);
	snprintf(filter, sizeof(filter), ",\"uid\":%d", (int)geteuid());
	check_list(filter, 2, 2);
	check_list(",\"uid\":4294967295", 0, 0);
	check_list(",\"domid\":7", 1, 2);
	check_list(",\"domid\":7,\"maps\":false", 1, 0);
	check_list(",\"domid\":8", 0, 0);
	check_list(",\"unit\":\"no.such.service\"", 0, 0);
	rig_close(other);
	check_list("", 1, 2);
}
END_TEST

START_TEST(a_map_of_several_domains_shows_them)
{
	struct table_ref refs[64];
	struct ioctl_gntdev_map_grant_ref *op = malloc(sizeof(*op) + sizeof(refs));
	json_t *all, *map;

	for (unsigned int i = 0; i < 64; i++)
		refs[i] = (struct table_ref){ .domid = 100 + i / 16, .ref = i };
	*op = (struct ioctl_gntdev_map_grant_ref){ .count = 64 };
	memcpy(op->refs, refs, sizeof(refs));
	ck_assert_int_eq(
		double_ioctl(&rig.gd.dev, rig.fh, IOCTL_GNTDEV_MAP_GRANT_REF, op, DOUBLE_DIRECT),
		0);
	free(op);
	all = control_once("{\"v\":1,\"do\":\"list\",\"domid\":103}\n");
	map = control_record(all, "map", 0);
	ck_assert_int_eq(control_number_at(map, "domid"), 100);
	ck_assert_int_eq(json_array_size(json_object_get(map, "domids")), 4);
	ck_assert_int_eq(json_integer_value(json_array_get(json_object_get(map, "domids"), 3)),
			 103);
	json_decref(all);
	check_list(",\"domid\":104", 0, 0);
}
END_TEST

START_TEST(thousands_of_maps_are_listed_once_each)
{
	enum { MAPS = 5000 };
	bool seen[MAPS] = { false };
	json_t *all;

	for (int i = 0; i < MAPS; i++)
		rig_map(rig.fh, (uint32_t)i);
	all = control_once("{\"v\":1,\"do\":\"list\"}\n");
	ck_assert_uint_eq(control_count(all, "open"), 1);
	ck_assert_uint_eq(control_count(all, "map"), MAPS);
	for (size_t i = 1; i <= MAPS; i++) {
		json_t *record = json_array_get(json_object_get(all, "records"), i);
		json_int_t at = control_number_at(record, "map.index") >> 12;

		ck_assert_int_lt(at, MAPS);
		ck_assert(!seen[at]);
		seen[at] = true;
	}
	json_decref(all);
}
END_TEST

Suite *control_suite(void);
Suite *control_suite(void)
{
	Suite *s = suite_create("control");
	TCase *tc = tcase_create("lines");

	tcase_add_checked_fixture(tc, control_setup, control_teardown);
	tcase_add_test(tc, hello_says_who_answers);
	tcase_add_loop_test(tc, what_is_wrong_is_said, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tc, an_error_has_the_requests_id);
	tcase_add_test(tc, a_nul_byte_is_no_json);
	tcase_add_test(tc, lines_may_come_in_pieces_or_together);
	tcase_add_test(tc, the_longest_line_is_taken_and_a_longer_one_is_not);
	tcase_add_test(tc, who_says_no_more_gets_its_answer);
	suite_add_tcase(s, tc);

	tc = tcase_create("list");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, control_setup, control_teardown);
	tcase_add_test(tc, list_shows_opens_and_their_maps);
	tcase_add_test(tc, list_shows_what_is_mapped_and_then_detached);
	tcase_add_test(tc, names_may_be_any_bytes);
	tcase_add_test(tc, list_can_be_filtered);
	tcase_add_test(tc, a_map_of_several_domains_shows_them);
	tcase_add_test(tc, thousands_of_maps_are_listed_once_each);
	suite_add_tcase(s, tc);
	return s;
}
