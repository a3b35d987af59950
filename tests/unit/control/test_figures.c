/* SPDX-License-Identifier: MIT */
/*
 * control/test_figures.c - stats, errors, trace, metrics and the policy, by real sockets
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/rcu.h"
#include "tests/unit/control/rig.h"
#include "device/enforce.h"
#include "report/failure.h"
#include "policy/policy.h"

static const char *text_at(json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

/* --- stats, errors, metrics --------------------------------------------------------------------- */

START_TEST(stats_tell_what_is_held)
{
	uint64_t index = rig_map(rig.fh, rig_grant(false));
	void *p = rig_mmap(rig.fh, index, 4096, PROT_READ, MAP_SHARED);
	json_t *all, *end;

	rig_map(rig.fh, rig_grant(false));
	all = control_once("{\"v\":1,\"do\":\"stats\"}\n");
	end = control_end_of(all);
	ck_assert_int_eq(control_number_at(end, "opens"), 1);
	ck_assert_int_eq(control_number_at(end, "maps"), 2);
	ck_assert_int_eq(control_number_at(end, "pages"), 2);
	ck_assert_int_eq(control_number_at(end, "windows"), 1);
	ck_assert_int_eq(control_number_at(end, "handles"), 1);
	ck_assert_int_gt(control_number_at(end, "handle_limit"), 1000);
	ck_assert_int_eq(control_number_at(end, "memory_waits"), 0);
	ck_assert_int_eq(control_number_at(end, "window_slots"), RIG_SLOTS);
	ck_assert_int_eq(control_number_at(end, "window_slots_used"), 1);
	ck_assert_int_eq(control_number_at(end, "tracers"), 0);
	ck_assert_int_eq(control_number_at(end, "operations.MAP_GRANT_REF.events"), 2);
	ck_assert_int_eq(control_number_at(end, "operations.MAP_GRANT_REF.failed"), 0);
	ck_assert_int_eq(control_number_at(end, "operations.mmap.events"), 1);
	ck_assert(json_is_null(json_object_get(end, "waiting")));
	ck_assert_int_eq(control_number_at(end, "state.version"), 7);
	ck_assert_int_eq(control_number_at(end, "state.survived"), 3);
	ck_assert_double_eq(
		json_real_value(json_object_get(json_object_get(end, "state"), "outage_ms")), 12.5);
	ck_assert_int_eq(control_number_at(end, "state.again"), 4);
	ck_assert_int_eq(control_number_at(end, "state.poison"), 5);
	ck_assert_int_eq(json_array_size(json_object_get(end, "users")), 1);
	ck_assert_int_eq(control_number_at(json_array_get(json_object_get(end, "users"), 0), "uid"),
			 geteuid());
	ck_assert_int_eq(
		control_number_at(json_array_get(json_object_get(end, "users"), 0), "pages"), 2);
	json_decref(all);
	munmap(p, 4096);
}
END_TEST

START_TEST(errors_tell_what_went_wrong)
{
	uint64_t index = rig_map(rig.fh, 40000);
	json_t *all, *f;
	char line[64];
	json_int_t seq;

	ck_assert_ptr_eq(rig_mmap(rig.fh, index, 4096, PROT_READ, MAP_SHARED), MAP_FAILED);
	ck_assert_int_lt(rig_unmap(rig.fh, 77 << 12, 1), 0);
	all = control_once("{\"v\":1,\"do\":\"errors\"}\n");
	ck_assert_uint_eq(control_count(all, "failure"), 2);
	f = control_record(all, "failure", 0);
	seq = control_number_at(f, "seq");
	ck_assert_str_eq(text_at(f, "kind"), "grant");
	ck_assert_str_eq(text_at(f, "op"), "mmap");
	ck_assert_str_eq(text_at(f, "errno"), "EINVAL");
	ck_assert_str_eq(text_at(f, "status"), "bad_gntref");
	ck_assert_int_eq(control_number_at(f, "domid"), RIG_GRANTER);
	ck_assert_int_eq(control_number_at(f, "ref"), 40000);
	ck_assert_int_eq(control_number_at(f, "pid"), getpid());
	ck_assert_ptr_nonnull(strstr(text_at(f, "text"), "grant 40000"));
	ck_assert_ptr_nonnull(text_at(f, "cause"));
	ck_assert_ptr_nonnull(text_at(f, "remedy"));
	f = control_record(all, "failure", 1);
	ck_assert_str_eq(text_at(f, "kind"), "request");
	ck_assert_str_eq(text_at(f, "errno"), "ENOENT");
	ck_assert_ptr_null(json_object_get(f, "status"));
	ck_assert_int_eq(control_number_at(all, "end.last"), seq + 1);
	json_decref(all);
	snprintf(line, sizeof(line), "{\"v\":1,\"do\":\"errors\",\"after\":%d}\n", (int)seq);
	all = control_once(line);
	ck_assert_uint_eq(control_count(all, "failure"), 1);
	json_decref(all);
	all = control_once("{\"v\":1,\"do\":\"errors\",\"max\":1}\n");
	ck_assert_int_eq(control_number_at(control_record(all, "failure", 0), "seq"), seq + 1);
	ck_assert_uint_eq(control_count(all, "failure"), 1);
	json_decref(all);
	all = control_once("{\"v\":1,\"do\":\"errors\",\"max\":0}\n");
	ck_assert_uint_eq(control_count(all, "failure"), 0);
	ck_assert_int_eq(control_number_at(all, "end.last"), seq + 1);
	json_decref(all);
	all = control_once("{\"v\":1,\"do\":\"stats\"}\n");
	ck_assert_int_eq(control_number_at(all, "end.failures.grant"), 1);
	ck_assert_int_eq(control_number_at(all, "end.failures.request"), 1);
	ck_assert_int_eq(control_number_at(all, "end.statuses.bad_gntref"), 1);
	json_decref(all);
}
END_TEST

START_TEST(all_failures_that_are_kept_are_told)
{
	struct failure f = failure_of(WHY_MMAP_NO_MAP, TRACE_MMAP, 0, EINVAL);
	char text[FAILURE_TEXT_SIZE];
	json_t *all;

	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	memset(text, '"', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < FAILURE_KEPT; i++) {
		f.pid = 1000000 + i;
		failure_report(&f, "%s", text);
	}
	all = control_once("{\"v\":1,\"do\":\"errors\"}\n");
	ck_assert_uint_gt(control_count(all, "failure"), FAILURE_KEPT / 2);
	ck_assert_int_eq(control_number_at(all, "end.last"), FAILURE_KEPT);
	json_decref(all);
}
END_TEST

/* --- policy ------------------------------------------------------------------------------------- */

/* Have the device obey this policy. */
static void obey(const char *text)
{
	char file[128];
	struct policy_why why;
	struct policy *p;
	FILE *f;

	snprintf(file, sizeof(file), "%s/policy", control_cfg.view.run_dir);
	f = fopen(file, "w");
	ck_assert_ptr_nonnull(f);
	fchmod(fileno(f), 0644);
	fputs(text, f);
	fclose(f);
	ck_assert_msg(policy_load(file, true, &p, &why) == 0, "%s", why.text[0]);
	unlink(file);
	enforce_new_policy(&rig.gd, p);
}

START_TEST(stats_tell_the_policy)
{
	json_t *all = control_once("{\"v\":1,\"do\":\"stats\"}\n"), *files;

	ck_assert_int_eq(control_number_at(all, "end.limits.pages"), 1179648);
	ck_assert_int_eq(control_number_at(all, "end.policy.rules"), 0);
	json_decref(all);
	obey("limit {\n pages = 77\n maps_per_user = 5\n}\nrule \"one\" { user = root action = "
	     "allow }\n");
	all = control_once("{\"v\":1,\"do\":\"stats\"}\n");
	ck_assert_int_eq(control_number_at(all, "end.limits.pages"), 77);
	ck_assert_int_eq(control_number_at(all, "end.limits.maps_per_user"), 5);
	ck_assert_int_eq(control_number_at(all, "end.limits.maps"), 589824);
	ck_assert_int_eq(control_number_at(all, "end.limits_root.opens_per_user"), 8 * 16384);
	ck_assert_int_eq(control_number_at(all, "end.limits_met.maps_per_user"), 0);
	ck_assert_int_eq(control_number_at(all, "end.policy.rules"), 1);
	ck_assert_int_lt(
		llabs(control_number_at(all, "end.policy.loaded") / 1000000000 - time(NULL)), 20);
	files = json_object_get(json_object_get(json_object_get(all, "end"), "policy"), "files");
	ck_assert_int_eq(json_array_size(files), 1);
	ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(files, 0)), "/policy"));
	ck_assert_ptr_null(
		json_object_get(json_object_get(control_end_of(all), "policy"), "error"));
	json_decref(all);
	enforce_refused_policy(&rig.gd, "file:3: no such word");
	all = control_once("{\"v\":1,\"do\":\"stats\"}\n");
	ck_assert_str_eq(text_at(json_object_get(control_end_of(all), "policy"), "error"),
			 "file:3: no such word");
	json_decref(all);
}
END_TEST

START_TEST(users_with_most_pages_are_told)
{
	enum { USERS = 1000 };
	struct quota_user *u[USERS];
	struct quota_held held[USERS] = { { 0 } };
	const struct policy_limits none = { 0 };
	json_t *all, *users;

	for (uint64_t i = 0; i < USERS; i++) {
		u[i] = quota_open(rig.gd.quota, (uid_t)(5000 + i), QUOTA_NO_OWNER, NULL, NULL);
		rcu_read_enter();
		ck_assert_ptr_null(
			quota_charge(rig.gd.quota, u[i], &held[i], 1 + i * 7 % USERS, &none));
		rcu_read_leave();
	}
	all = control_once("{\"v\":1,\"do\":\"stats\"}\n");
	ck_assert_int_eq(control_number_at(all, "end.opens"), USERS + 1);
	ck_assert_int_eq(control_number_at(all, "end.maps"), USERS);
	users = json_object_get(control_end_of(all), "users");
	ck_assert_int_eq(json_array_size(users), 256);
	for (size_t i = 0; i < 256; i++)
		ck_assert_int_eq(control_number_at(json_array_get(users, i), "pages"), USERS - i);
	json_decref(all);
	for (uint64_t i = 0; i < USERS; i++) {
		quota_release(rig.gd.quota, u[i], &held[i], 1 + i * 7 % USERS);
		quota_close(rig.gd.quota, u[i]);
	}
}
END_TEST

/* As it is in force: what was read, in its order. */
START_TEST(the_policy_is_told)
{
	json_t *all = control_once("{\"v\":1,\"do\":\"policy\"}\n"), *rule;
	char text[2048] =
		"rule \"a\" { unit = 'x-*.service' cgroup = {'/a/*', '/b'} domid = {1, 5-9} "
		"action = read-only pv_descriptor = no }\n"
		"rule \"b\" { action = deny user = {";

	ck_assert_int_eq(control_count(all, "rule"), 0);
	ck_assert_int_eq(control_number_at(all, "end.limits.pages"), 1179648);
	ck_assert_str_eq(text_at(control_end_of(all), "pv_descriptor"), "root");
	json_decref(all);
	for (int i = 0; i < 70; i++)
		sprintf(text + strlen(text), "%d,", 1000 + i);
	strcpy(text + strlen(text) - 1, "} }\nlimit { pages = 9 }\npv_descriptor = none\n");
	obey(text);
	all = control_once("{\"v\":1,\"do\":\"policy\"}\n");
	ck_assert_int_eq(control_count(all, "rule"), 2);
	rule = control_record(all, "rule", 0);
	ck_assert_str_eq(text_at(rule, "name"), "a");
	ck_assert_int_eq(control_number_at(rule, "line"), 1);
	ck_assert_str_eq(text_at(rule, "action"), "read-only");
	ck_assert(json_is_false(json_object_get(rule, "pv_descriptor")));
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(rule, "cgroup"), 1)),
			 "/b");
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(rule, "domid"), 0)), "1");
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(rule, "domid"), 1)),
			 "5-9");
	ck_assert_ptr_null(json_object_get(rule, "user"));
	ck_assert_ptr_null(json_object_get(rule, "left_out"));
	rule = control_record(all, "rule", 1);
	ck_assert_ptr_nonnull(strstr(text_at(rule, "file"), "/policy"));
	ck_assert_int_eq(json_array_size(json_object_get(rule, "user")), 64);
	ck_assert(json_is_true(json_object_get(rule, "left_out")));
	ck_assert_ptr_null(json_object_get(rule, "pv_descriptor"));
	ck_assert_int_eq(control_number_at(all, "end.limits.pages"), 9);
	ck_assert_int_eq(control_number_at(all, "end.rules"), 2);
	ck_assert_str_eq(text_at(control_end_of(all), "pv_descriptor"), "none");
	json_decref(all);
}
END_TEST

/* More than one step's worth: whole, and each rule once. */
START_TEST(a_long_policy_is_told)
{
	char *text = malloc(1U << 20), *at = text;
	json_t *all;

	for (int i = 0; i < 250; i++) {
		at += sprintf(at, "rule \"r%d\" { action = allow cgroup = {", i);
		for (int k = 0; k < 10; k++)
			at += sprintf(at, "%s'/%0200d'", k ? ", " : "", i * 10 + k);
		at += sprintf(at, "} }\n");
	}
	obey(text);
	free(text);
	all = control_once("{\"v\":1,\"do\":\"policy\"}\n");
	ck_assert_int_eq(control_count(all, "rule"), 250);
	ck_assert_str_eq(text_at(control_record(all, "rule", 249), "name"), "r249");
	json_decref(all);
}
END_TEST

static json_t *explain(long long pid, long long domid)
{
	char line[96];

	snprintf(line, sizeof(line), "{\"v\":1,\"do\":\"explain\",\"pid\":%lld,\"domid\":%lld}\n",
		 pid, domid);
	return control_once(line);
}

START_TEST(explain_tells_which_rule_decides)
{
	json_t *all = explain(getpid(), 3), *end = control_end_of(all), *value;
	const char *name;

	ck_assert_str_eq(text_at(end, "action"), "allow");
	ck_assert(json_is_true(json_object_get(end, "default")));
	ck_assert_ptr_null(json_object_get(end, "rule"));
	ck_assert_int_eq(control_number_at(end, "who.uid"), geteuid());
	ck_assert_str_eq(text_at(json_object_get(end, "who"), "command"), "test_figures");
	/* What is not known is left out. */
	json_object_foreach(json_object_get(end, "who"), name, value)
		ck_assert(!json_is_string(value) || json_string_length(value));
	json_decref(all);
	obey("rule \"three\" {\n domid = 3\n action = deny }\n"
	     "rule \"look\" { domid = 4 action = read-only }\n");
	all = explain(getpid(), 3);
	end = control_end_of(all);
	ck_assert_str_eq(text_at(end, "action"), "deny");
	ck_assert(json_is_false(json_object_get(end, "default")));
	ck_assert_str_eq(text_at(end, "rule"), "three");
	ck_assert_ptr_nonnull(strstr(text_at(end, "file"), "/policy"));
	ck_assert_int_ge(control_number_at(end, "line"), 1);
	json_decref(all);
	all = explain(getpid(), 4);
	ck_assert_str_eq(text_at(control_end_of(all), "action"), "read-only");
	json_decref(all);
	all = explain(INT32_MAX, 4);
	control_error(all, "ENOENT");
	json_decref(all);
	all = explain(getpid(), 65536);
	control_error(all, "EINVAL");
	json_decref(all);
	all = control_once("{\"v\":1,\"do\":\"explain\",\"pid\":1}\n");
	control_error(all, "EINVAL");
	json_decref(all);
}
END_TEST

/* --- faults ------------------------------------------------------------------------------------- */

START_TEST(faults_while_it_runs)
{
	static const char ask[] = "{\"v\":1,\"do\":\"fault\"}\n";
	json_t *all = control_once(ask);

	ck_assert_int_eq(control_count(all, "fault"), 0);
	ck_assert_int_eq(control_number_at(all, "end.waiting"), 0);
	json_decref(all);
	all = control_once("{\"v\":1,\"do\":\"fault\",\"add\":\"map:nth=2,status=eagain\"}\n");
	ck_assert_int_eq(control_count(all, "fault"), 1);
	ck_assert_str_eq(text_at(control_record(all, "fault", 0), "spec"),
			 "map:nth=2,status=eagain");
	json_decref(all);
	ck_assert_uint_eq(sim_fault_pending(rig.sim), 1);
	all = control_once("{\"v\":1,\"do\":\"fault\",\"release\":true}\n");
	ck_assert_int_eq(control_number_at(all, "end.released"), 0);
	ck_assert_int_eq(control_count(all, "fault"), 1);
	json_decref(all);
	all = control_once("{\"v\":1,\"do\":\"fault\",\"clear\":true}\n");
	ck_assert_int_eq(control_count(all, "fault"), 0);
	json_decref(all);
	ck_assert_uint_eq(sim_fault_pending(rig.sim), 0);
}
END_TEST

START_TEST(faults_that_are_refused)
{
	json_t *all = control_once("{\"v\":1,\"do\":\"fault\",\"add\":\"map:nth=x\"}\n");

	ck_assert_ptr_nonnull(strstr(control_error(all, "EINVAL"),
				     "fault \"map:nth=x\", character 9: not a number"));
	json_decref(all);
	all = control_once("{\"v\":1,\"do\":\"fault\",\"clear\":true,\"release\":true}\n");
	control_error(all, "EINVAL");
	json_decref(all);
	for (int i = 0; i < 256; i++)
		ck_assert_int_eq(
			sim_fault_add(rig.sim, "map:nth=9,status=eagain", &(const char *){ NULL }),
			0);
	all = control_once("{\"v\":1,\"do\":\"fault\",\"add\":\"map:status=eagain\"}\n");
	control_error(all, "ENOSPC");
	json_decref(all);
	sim_fault_clear(rig.sim);
}
END_TEST

/* A view without a simulator is one of a real Xen. */
START_TEST(a_real_xen_has_no_faults)
{
	json_t *all;

	control_cfg.view.sim = NULL;
	control_up();
	all = control_once("{\"v\":1,\"do\":\"fault\",\"clear\":true}\n");
	control_error(all, "EOPNOTSUPP");
	json_decref(all);
}
END_TEST

/* --- trace -------------------------------------------------------------------------------------- */

/* The stats of another connection tell when the subscription has begun. */
static void wait_tracers(json_int_t n)
{
	json_int_t now;

	do {
		json_t *all = control_once("{\"v\":1,\"do\":\"stats\"}\n");

		now = control_number_at(all, "end.tracers");
		json_decref(all);
	} while (now != n);
}

static json_t *next_event(int fd, const char *op)
{
	json_t *o, *event;

	do {
		o = control_json(fd);
		event = json_incref(json_object_get(o, "event"));
		ck_assert_ptr_nonnull(event);
		json_decref(o);
		if (!strcmp(text_at(event, "op"), op))
			return event;
		json_decref(event);
	} while (true);
}

START_TEST(trace_tells_what_happens)
{
	int fd = control_connect();
	uint64_t index;
	json_t *e, *o;

	control_say(fd, "{\"v\":1,\"id\":5,\"do\":\"trace\"}\n");
	wait_tracers(1);
	index = rig_map(rig.fh, 40000);
	ck_assert_ptr_eq(rig_mmap(rig.fh, index, 4096, PROT_READ, MAP_SHARED), MAP_FAILED);
	e = next_event(fd, "MAP_GRANT_REF");
	ck_assert_str_eq(text_at(e, "kind"), "ioctl");
	ck_assert_int_eq(control_number_at(e, "index"), index);
	ck_assert_int_eq(control_number_at(e, "pages"), 1);
	ck_assert_int_eq(control_number_at(e, "domid"), RIG_GRANTER);
	ck_assert_int_eq(control_number_at(e, "ref"), 40000);
	ck_assert_int_eq(control_number_at(e, "result"), 0);
	ck_assert_int_eq(control_number_at(e, "pid"), gettid());
	ck_assert(json_is_real(json_object_get(e, "us")));
	ck_assert_int_lt(llabs(control_number_at(e, "time") / 1000000000 - time(NULL)), 20);
	json_decref(e);
	e = next_event(fd, "hypercall_map");
	ck_assert_str_eq(text_at(e, "kind"), "hypercall");
	ck_assert_str_eq(text_at(e, "status"), "bad_gntref");
	ck_assert_int_eq(control_number_at(e, "result"), 1);
	json_decref(e);
	e = next_event(fd, "mmap");
	ck_assert_str_eq(text_at(e, "errno"), "EINVAL");
	ck_assert_ptr_null(json_object_get(e, "result"));
	json_decref(e);
	/* The next request ends it. */
	control_say(fd, "{\"v\":1,\"id\":6,\"do\":\"hello\"}\n");
	o = control_json(fd);
	ck_assert_int_eq(control_number_at(o, "id"), 5);
	control_end_of(o);
	json_decref(o);
	o = control_json(fd);
	ck_assert_int_eq(control_number_at(o, "id"), 6);
	ck_assert_int_eq(control_number_at(o, "end.protocol"), 1);
	json_decref(o);
	wait_tracers(0);
	close(fd);
}
END_TEST

START_TEST(trace_can_be_filtered)
{
	int failed = control_connect(), other = control_connect(), domid = control_connect();
	json_t *o;

	control_say(failed, "{\"v\":1,\"do\":\"trace\",\"failed\":true}\n");
	control_say(other, "{\"v\":1,\"do\":\"trace\",\"pid\":1}\n");
	control_say(domid, "{\"v\":1,\"do\":\"trace\",\"domid\":8}\n");
	wait_tracers(3);
	rig_map(rig.fh, rig_grant(false));
	ck_assert_int_lt(rig_unmap(rig.fh, 77 << 12, 1), 0);
	o = control_json(failed);
	ck_assert_str_eq(text_at(json_object_get(o, "event"), "op"), "UNMAP_GRANT_REF");
	json_decref(o);
	control_say(other, "{\"v\":1,\"do\":\"hello\"}\n");
	o = control_json(other);
	control_end_of(o);
	json_decref(o);
	control_say(domid, "{\"v\":1,\"do\":\"hello\"}\n");
	o = control_json(domid);
	control_end_of(o);
	json_decref(o);
	close(failed);
	wait_tracers(0);
	close(other);
	close(domid);
}
END_TEST

/* --- metrics ------------------------------------------------------------------------------------ */

static char *http(const char *request, size_t *len)
{
	int fd = control_connect_metrics();
	char *text = malloc(1 << 20);
	ssize_t n;

	*len = 0;
	control_say(fd, request);
	while ((n = read(fd, text + *len, (1 << 20) - 1 - *len)) > 0)
		*len += (size_t)n;
	text[*len] = '\0';
	close(fd);
	return text;
}

START_TEST(metrics_are_served_over_http)
{
	size_t len;
	char *text = http("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", &len), *body;
	json_t *all = control_once("{\"v\":1,\"do\":\"metrics\"}\n");
	const char *same = text_at(control_end_of(all), "text");

	ck_assert(!strncmp(text, "HTTP/1.0 200 OK\r\n", 17));
	body = strstr(text, "\r\n\r\n") + 4;
	ck_assert_int_eq(atoi(strstr(text, "Content-Length: ") + 16), len - (size_t)(body - text));
	ck_assert_ptr_nonnull(strstr(body, "\ncuse_gntdev_opens 1\n"));
	ck_assert_ptr_nonnull(strstr(body, "# TYPE cuse_gntdev_operation_seconds histogram\n"));
	ck_assert_ptr_nonnull(strstr(body, "_bucket{op=\"MAP_GRANT_REF\",le=\"0.000001\"} 0\n"));
	ck_assert_ptr_nonnull(strstr(body, "_bucket{op=\"open\",le=\"+Inf\"} 1\n"));
	ck_assert_ptr_nonnull(strstr(body, "_seconds_count{op=\"open\"} 1\n"));
	ck_assert_str_eq(body, same);
	json_decref(all);
	free(text);
}
END_TEST

static const struct {
	const char *request;
	const char *status;
} http_refused[] = {
	{ "POST /metrics HTTP/1.1\r\n\r\n", "405" },
	{ "HEAD / HTTP/1.0\n\n", "405" },
	{ "GET /\r\n\r\n", "400" },
	{ "get / HTTP/1.0\r\n\r\n", "400" },
	{ "\r\n", "400" },
	{ "{\"v\":1,\"do\":\"hello\"}\n\n", "400" },
};

START_TEST(what_is_no_get_is_refused)
{
	size_t len;
	char *text = http(http_refused[_i].request, &len);

	ck_assert_msg(!strncmp(text, "HTTP/1.0 ", 9) &&
			      !strncmp(text + 9, http_refused[_i].status, 3),
		      "%s", text);
	free(text);
}
END_TEST

START_TEST(an_endless_http_request_is_refused)
{
	char *request = malloc(CONTROL_HTTP_MAX + 2);
	size_t len;
	char *text;

	memset(request, 'x', CONTROL_HTTP_MAX + 1);
	request[CONTROL_HTTP_MAX + 1] = '\0';
	memcpy(request, "GET / HTTP/1.0\r\n", 16);
	text = http(request, &len);
	ck_assert(!strncmp(text, "HTTP/1.0 400", 12));
	free(text);
	free(request);
}
END_TEST

Suite *figures_suite(void);
Suite *figures_suite(void)
{
	Suite *s = suite_create("control_figures");
	TCase *tc = tcase_create("figures");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, control_setup, control_teardown);
	tcase_add_test(tc, stats_tell_what_is_held);
	tcase_add_test(tc, errors_tell_what_went_wrong);
	tcase_add_test(tc, all_failures_that_are_kept_are_told);
	tcase_add_test(tc, stats_tell_the_policy);
	tcase_add_test(tc, users_with_most_pages_are_told);
	tcase_add_test(tc, the_policy_is_told);
	tcase_add_test(tc, a_long_policy_is_told);
	tcase_add_test(tc, explain_tells_which_rule_decides);
	tcase_add_test(tc, trace_tells_what_happens);
	tcase_add_test(tc, trace_can_be_filtered);
	tcase_add_test(tc, metrics_are_served_over_http);
	tcase_add_loop_test(tc, what_is_no_get_is_refused, 0,
			    sizeof(http_refused) / sizeof(http_refused[0]));
	tcase_add_test(tc, an_endless_http_request_is_refused);
	tcase_add_test(tc, faults_while_it_runs);
	tcase_add_test(tc, faults_that_are_refused);
	suite_add_tcase(s, tc);
	tc = tcase_create("real xen");
	tcase_add_checked_fixture(tc, control_prepare, control_teardown);
	tcase_add_test(tc, a_real_xen_has_no_faults);
	suite_add_tcase(s, tc);
	return s;
}
