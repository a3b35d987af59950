/* SPDX-License-Identifier: MIT */
/*
 * client/test_who.c - who has opened the device: /proc as it may look, and as it is
 *
 * client/who.c is compiled in here with an open() that finds made-up files first, so that there can be any.
 */
#include <check.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* What /proc/4711/... says; NULL: there is no such file. */
static const char *proc_status, *proc_cgroup, *proc_comm, *proc_stat;

static int open_text(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	if (!text) {
		close(fd);
		return -1;
	}
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int made_up(const char *path, int flags)
{
	if (!strcmp(path, "/proc/4711/status"))
		return open_text(proc_status);
	if (!strcmp(path, "/proc/4711/task/4711/stat"))
		return open_text(proc_stat);
	if (!strcmp(path, "/proc/4711/cgroup") || !strcmp(path, "/proc/4700/cgroup"))
		return open_text(proc_cgroup);
	if (!strcmp(path, "/proc/4700/comm"))
		return open_text(proc_comm);
	return open(path, flags);
}

#define open made_up
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "client/who.c"
#undef open

/* Whose user namespace 4711 is in. */
static enum owner_ns made_up_ns;
static uid_t made_up_owner;

enum owner_ns owner_read(pid_t tid, uid_t *uid)
{
	if (tid != 4711)
		return OWNER_OURS;
	*uid = made_up_owner;
	return made_up_ns;
}

static const struct opener by = { .tid = 4711, .uid = 1000, .gid = 100 };
static struct who w;

static void setup(void)
{
	made_up_ns = OWNER_OURS;
	proc_status = "Name:\tx\nTgid:\t4700\nPid:\t4711\nGroups:\t5 7 100 \nVmPeak:\t1 kB\n";
	proc_cgroup = "0::/system.slice/qemu-3.service\n";
	proc_comm = "qemu-system\n";
}

START_TEST(all_of_it)
{
	who_read(&w, &by);
	ck_assert_int_eq(w.pid, 4700);
	ck_assert_uint_eq(w.uid, 1000);
	ck_assert_uint_eq(w.gid, 100);
	ck_assert(w.visible);
	ck_assert(w.all_groups);
	ck_assert_uint_eq(w.n_groups, 3);
	ck_assert_uint_eq(w.groups[1], 7);
	ck_assert_str_eq(w.comm, "qemu-system");
	ck_assert_str_eq(w.cgroup, "/system.slice/qemu-3.service");
	ck_assert_str_eq(w.unit, "qemu-3.service");
	ck_assert_int_eq(who_in_group(&w, 7), 1);
	ck_assert_int_eq(who_in_group(&w, 100), 1);
	ck_assert_int_eq(who_in_group(&w, 8), 0);
}
END_TEST

/* What somebody may have left behind on the way into a user namespace of its own. */
START_TEST(groups_in_a_user_namespace)
{
	made_up_ns = OWNER_OTHER;
	made_up_owner = 1001;
	who_read(&w, &by);
	ck_assert_int_eq(w.ns, OWNER_OTHER);
	ck_assert_uint_eq(w.owner, 1001);
	ck_assert_int_eq(who_in_group(&w, 7), 1);
	ck_assert_int_eq(who_in_group(&w, 8), -1);
	made_up_owner = 0;
	who_read(&w, &by);
	ck_assert_int_eq(who_in_group(&w, 8), 0);
	made_up_ns = OWNER_UNKNOWN;
	who_read(&w, &by);
	ck_assert_int_eq(who_in_group(&w, 7), 1);
	ck_assert_int_eq(who_in_group(&w, 8), -1);
}
END_TEST

static const struct {
	const char *cgroup, *path, *unit;
} paths[] = {
	{ "0::/\n", "/", "" },
	{ "0::/init.scope\n", "/init.scope", "init.scope" },
	{ "0::/system.slice/a.service", "/system.slice/a.service", "a.service" },
	{ "0::/a.slice/b.slice\n", "/a.slice/b.slice", "" },
	{ "0::/.service/.scope\n", "/.service/.scope", "" },
	/* What users name themselves is inside of what they are given. */
	{ "0::/user.slice/user-1000.slice/user@1000.service/app.slice/qemu-1.service\n",
	  "/user.slice/user-1000.slice/user@1000.service/app.slice/qemu-1.service",
	  "user@1000.service" },
	{ "0::/machine.slice/box.scope/init.scope\n", "/machine.slice/box.scope/init.scope",
	  "box.scope" },
	/* Nor is what is inside of something that is no unit, as a container's payload. */
	{ "0::/lxc.payload.box/system.slice/y.service\n", "/lxc.payload.box/system.slice/y.service",
	  "" },
	/* As seen from a control group namespace of our own. */
	{ "0::/../../system.slice/y.service\n", "/../../system.slice/y.service", "y.service" },
	{ "0::/system.slice/_memory.service\n", "/system.slice/_memory.service", "memory.service" },
	/* Other hierarchies, and both kinds of them. */
	{ "12:memory:/x.service\n1:name=systemd:/system.slice/y.service\n",
	  "/system.slice/y.service", "y.service" },
	{ "1:name=systemd:/system.slice/y.service\n0::/\n", "/system.slice/y.service",
	  "y.service" },
	{ "0::/\n1:name=systemd:/system.slice/y.service\n", "/system.slice/y.service",
	  "y.service" },
	{ "12:memory:/x.service\n", "", "" },
	/* A path may have colons: users name what is below their own. */
	{ "1:name=systemd:/user.slice/user@7.service/a::/system.slice/y.service\n0::/\n",
	  "/user.slice/user@7.service/a::/system.slice/y.service", "user@7.service" },
	{ "12:memory:/a::/y.service\n11:cpu:/a:name=systemd:/y.service\n0::/z.scope\n", "/z.scope",
	  "z.scope" },
	{ "nonsense\n::\n0::relative\n", "", "" },
	{ "", "", "" },
};

START_TEST(control_groups)
{
	proc_cgroup = paths[_i].cgroup;
	who_read(&w, &by);
	ck_assert_str_eq(w.cgroup, paths[_i].path);
	ck_assert_str_eq(w.unit, paths[_i].unit);
}
END_TEST

/* Of a long path the end is kept, and the unit is found all the same. */
START_TEST(a_long_control_group)
{
	char text[1024] = "0::/system.slice/";
	size_t at = strlen(text);

	memset(text + at, 'u', 247);
	strcpy(text + at + 247, ".service/");
	memset(text + strlen(text), 'x', 300);
	proc_cgroup = text;
	who_read(&w, &by);
	ck_assert_uint_eq(strlen(w.unit), 255);
	ck_assert_str_eq(w.unit + 247, ".service");
	ck_assert_uint_eq(strlen(w.cgroup), WHO_CGROUP_SIZE - 1);
	ck_assert_int_eq(strncmp(w.cgroup, "...", 3), 0);
	ck_assert_str_eq(w.cgroup + 3, text + strlen(text) - (WHO_CGROUP_SIZE - 4));
	/* A name that systemd does not give is none, and none further in takes its place. */
	memset(text + at, 'u', 248);
	strcpy(text + at + 248, ".service/a.service");
	who_read(&w, &by);
	ck_assert_str_eq(w.unit, "");
}
END_TEST

START_TEST(many_groups)
{
	char text[2048] = "Tgid:\t4700\nGroups:\t";

	for (int i = 1000; i < 1000 + WHO_GROUPS_MAX; i++)
		sprintf(text + strlen(text), "%d ", i);
	strcat(text, "\n");
	proc_status = text;
	who_read(&w, &by);
	ck_assert(w.all_groups);
	ck_assert_uint_eq(w.n_groups, WHO_GROUPS_MAX);
	ck_assert_int_eq(who_in_group(&w, 1000 + WHO_GROUPS_MAX - 1), 1);
	ck_assert_int_eq(who_in_group(&w, 999), 0);
	/* One more than there is room for: whether it is in others is not known. */
	strcpy(text + strlen(text) - 1, "999 \n");
	who_read(&w, &by);
	ck_assert(!w.all_groups);
	ck_assert_int_eq(who_in_group(&w, 1001), 1);
	ck_assert_int_eq(who_in_group(&w, 999), -1);
}
END_TEST

START_TEST(a_list_that_is_cut_off)
{
	char *text = malloc(PROC_FILE_MAX + 100);

	memset(text, ' ', PROC_FILE_MAX + 99);
	text[PROC_FILE_MAX + 99] = '\0';
	memcpy(text, "Tgid:\t4700\nGroups:\t17", 21);
	memcpy(text + PROC_FILE_MAX - 3, "4242", 4);
	proc_status = text;
	who_read(&w, &by);
	ck_assert(!w.all_groups);
	/* Not half of a number. */
	ck_assert_int_eq(who_in_group(&w, 42), -1);
	ck_assert_int_eq(who_in_group(&w, 17), 1);
	free(text);
}
END_TEST

START_TEST(no_groups)
{
	proc_status = "Tgid:\t4700\nGroups:\t \n";
	who_read(&w, &by);
	ck_assert(w.all_groups);
	ck_assert_uint_eq(w.n_groups, 0);
	proc_status = "Tgid:\t4700\n";
	who_read(&w, &by);
	ck_assert(w.visible);
	ck_assert_int_eq(who_in_group(&w, 5), -1);
}
END_TEST

/* Of a process that cannot be seen there is what the kernel said with the request. */
START_TEST(not_visible)
{
	const struct opener none = { .tid = 0, .uid = 5, .gid = 6 };

	if (_i == 0) {
		who_read(&w, &none);
	} else {
		proc_status = NULL;
		who_read(&w, &by);
	}
	ck_assert(!w.visible);
	ck_assert_int_eq(w.pid, 0);
	ck_assert_str_eq(w.comm, "");
	ck_assert_str_eq(w.cgroup, "");
	ck_assert_str_eq(w.unit, "");
	ck_assert_int_eq(who_in_group(&w, w.gid), 1);
	ck_assert_int_eq(who_in_group(&w, 77), -1);
	ck_assert_uint_eq(w.uid, _i ? 1000 : 5);
}
END_TEST

#define STAT(signals)                                                                             \
	"4711 (a) 9 (b) D 1 2 2 0 -1 4 5 6 7 8 9 1 2 3 20 0 1 0 99 100 5 18446744073709551615 1 " \
	"1 1 1 1 " signals " 0 4096 256 1 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"

START_TEST(is_killed)
{
	static const struct {
		const char *stat;
		bool killed;
	} cases[] = {
		{ STAT("256"), true },	{ STAT("33024"), true },    { STAT("0"), false },
		{ STAT("512"), false }, { "4711 (cut off", false }, { "4711 (cut) D 1 2 3", false },
		{ NULL, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		proc_stat = cases[i].stat;
		ck_assert_int_eq(who_killed(4711), cases[i].killed);
	}
	ck_assert(!who_killed(0));
	ck_assert(!who_killed(gettid()));
}
END_TEST

START_TEST(a_real_process)
{
	struct opener self = { .uid = geteuid(), .gid = getegid() };
	gid_t groups[256];
	int n, p[2];
	char c;

	ck_assert_int_eq(pipe(p), 0);
	self.tid = fork();
	if (self.tid == 0) {
		close(p[1]);
		ck_assert_int_eq(read(p[0], &c, 1), 0);
		_exit(0);
	}
	who_read(&w, &self);
	n = getgroups(256, groups);
	ck_assert_int_eq(w.pid, self.tid);
	ck_assert(w.visible);
	ck_assert_str_eq(w.comm, "test_who");
	for (int i = 0; i < n && i < WHO_GROUPS_MAX; i++)
		ck_assert_int_eq(who_in_group(&w, groups[i]), 1);
	close(p[1]);
	waitpid(self.tid, NULL, 0);
}
END_TEST

Suite *who_suite(void);

Suite *who_suite(void)
{
	Suite *s = suite_create("who");
	TCase *t = tcase_create("who");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, all_of_it);
	tcase_add_test(t, groups_in_a_user_namespace);
	tcase_add_loop_test(t, control_groups, 0, (int)(sizeof(paths) / sizeof(paths[0])));
	tcase_add_test(t, a_long_control_group);
	tcase_add_test(t, many_groups);
	tcase_add_test(t, a_list_that_is_cut_off);
	tcase_add_test(t, no_groups);
	tcase_add_test(t, is_killed);
	tcase_add_loop_test(t, not_visible, 0, 2);
	tcase_add_test(t, a_real_process);
	suite_add_tcase(s, t);
	return s;
}
