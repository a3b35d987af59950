/* SPDX-License-Identifier: MIT */
/*
 * control/test_show.c - "show": one map, its references, and who holds its window
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/control/rig.h"

static const char *text_at(json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static json_t *show(uint64_t fh, long long index)
{
	char line[128];
	int n = snprintf(line, sizeof(line), "{\"v\":1,\"do\":\"show\",\"open\":\"%llx\"",
			 (unsigned long long)fh);

	if (index >= 0)
		n += snprintf(line + n, sizeof(line) - (size_t)n, ",\"index\":%lld", index);
	snprintf(line + n, sizeof(line) - (size_t)n, "}\n");
	return control_once(line);
}

START_TEST(show_tells_refs_and_holders)
{
	uint32_t refs[3] = { rig_grant(false), rig_grant(false), rig_grant(false) };
	uint64_t index, other;
	json_t *all, *map, *holders;
	int status, go[2];
	void *p, *q;
	pid_t child;

	ck_assert_int_eq(rig_map_refs(rig.fh, refs, 3, &index), 0);
	rig_map(rig.fh, 77);
	p = rig_mmap(rig.fh, index, 3 * 4096, PROT_READ, MAP_SHARED);
	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_int_eq(pipe(go), 0);
	child = fork();
	if (!child) {
		close(go[1]);
		_exit(read(go[0], &status, 1) != 0);
	}
	/* One that the child does not have. */
	other = rig_map(rig.fh, refs[0]);
	q = rig_mmap(rig.fh, other, 4096, PROT_READ, MAP_SHARED);
	ck_assert_ptr_ne(q, MAP_FAILED);
	all = show(rig.fh, -1);
	ck_assert_uint_eq(control_count(all, "open"), 1);
	ck_assert_uint_eq(control_count(all, "map"), 3);
	map = control_record(all, "map", 2);
	ck_assert_int_eq(json_array_size(json_object_get(map, "holders")), 1);
	map = control_record(all, "map", 0);
	ck_assert_int_eq(json_array_size(json_object_get(map, "refs")), 3);
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(
			json_integer_value(json_array_get(json_object_get(map, "refs"), i)),
			refs[i]);
	holders = json_object_get(map, "holders");
	ck_assert_int_eq(json_array_size(holders), 2);
	for (size_t i = 0; i < 2; i++) {
		json_int_t pid = control_number_at(json_array_get(holders, i), "pid");

		ck_assert(pid == getpid() || pid == child);
		ck_assert_str_eq(text_at(json_array_get(holders, i), "command"), "test_show");
	}
	map = control_record(all, "map", 1);
	ck_assert_ptr_null(json_object_get(map, "holders"));
	json_decref(all);
	close(go[1]);
	waitpid(child, &status, 0);
	munmap(q, 4096);
	munmap(p, 3 * 4096);
}
END_TEST

START_TEST(show_tells_one_map_also_when_it_is_detached)
{
	uint32_t refs[3] = { rig_grant(false), rig_grant(false), rig_grant(false) };
	uint64_t index, fresh = rig_map(rig.fh, 77);
	json_t *all, *map;
	void *p;

	ck_assert_int_eq(rig_map_refs(rig.fh, refs, 3, &index), 0);
	p = rig_mmap(rig.fh, index, 3 * 4096, PROT_READ, MAP_SHARED);
	ck_assert_ptr_ne(p, MAP_FAILED);
	all = show(rig.fh, (long long)index);
	ck_assert_uint_eq(control_count(all, "map"), 1);
	ck_assert_int_eq(json_array_size(json_object_get(control_record(all, "map", 0), "holders")),
			 1);
	json_decref(all);
	all = show(rig.fh, (long long)fresh);
	ck_assert_int_eq(control_number_at(control_record(all, "map", 0), "index"), fresh);
	json_decref(all);
	/* With its open, and without. */
	ck_assert_int_eq(rig_unmap(rig.fh, index, 3), 0);
	all = show(rig.fh, (long long)index);
	map = control_record(all, "map", 0);
	ck_assert_str_eq(text_at(map, "state"), "detached");
	ck_assert_int_eq(json_array_size(json_object_get(map, "holders")), 1);
	json_decref(all);
	rig_close(rig.fh);
	all = show(rig.fh, -1);
	ck_assert_uint_eq(control_count(all, "open"), 0);
	ck_assert_uint_eq(control_count(all, "map"), 1);
	json_decref(all);
	munmap(p, 3 * 4096);
	ck_assert_int_ge(rig_wait_handles(0), 0);
	all = show(rig.fh, -1);
	control_error(all, "ENOENT");
	json_decref(all);
}
END_TEST

START_TEST(show_tells_many_refs)
{
	enum { REFS = 3000 };
	uint32_t refs[REFS];
	uint64_t index;
	json_t *all;

	for (uint32_t i = 0; i < REFS; i++)
		refs[i] = UINT32_MAX - i;
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(rig_map_refs(rig.fh, refs, REFS, &index), 0);
	all = show(rig.fh, -1);
	ck_assert_uint_eq(control_count(all, "map"), 40);
	for (size_t i = 0; i < 40; i++) {
		json_t *map = control_record(all, "map", i);

		ck_assert_int_eq(control_number_at(map, "pages"), REFS);
		ck_assert_int_eq(json_array_size(json_object_get(map, "refs")), 1024);
	}
	json_decref(all);
}
END_TEST

static const struct {
	const char *args;
	const char *code;
} show_refused[] = {
	{ "", "EINVAL" },
	{ ",\"open\":\"\"", "EINVAL" },
	{ ",\"open\":\"-1\"", "EINVAL" },
	{ ",\"open\":\"0x1\"", "EINVAL" },
	{ ",\"open\":\"12345678901234567\"", "EINVAL" },
	{ ",\"open\":5", "EINVAL" },
	{ ",\"open\":\"0\"", "ENOENT" },
	{ ",\"open\":\"ffffffffffffffff\"", "ENOENT" },
	{ ",\"open\":\"1\",\"index\":-1", "EINVAL" },
	{ ",\"open\":\"1\",\"index\":0", "ENOENT" },
	{ ",\"open\":\"1\",\"index\":9223372036854775807", "ENOENT" },
	{ ",\"open\":\"1\",\"map\":0", "EINVAL" },
};

START_TEST(show_refuses)
{
	char line[128];
	json_t *all;

	snprintf(line, sizeof(line), "{\"v\":1,\"do\":\"show\"%s}\n", show_refused[_i].args);
	all = control_once(line);
	control_error(all, show_refused[_i].code);
	json_decref(all);
}
END_TEST

Suite *show_suite(void);

Suite *show_suite(void)
{
	Suite *s = suite_create("control_show");
	TCase *tc = tcase_create("show");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, control_setup, control_teardown);
	tcase_add_test(tc, show_tells_refs_and_holders);
	tcase_add_test(tc, show_tells_one_map_also_when_it_is_detached);
	tcase_add_test(tc, show_tells_many_refs);
	tcase_add_loop_test(tc, show_refuses, 0, sizeof(show_refused) / sizeof(show_refused[0]));
	suite_add_tcase(s, tc);
	return s;
}
