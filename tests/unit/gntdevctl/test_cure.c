/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/test_cure.c - what gntdevctl doctor says mends a finding is run, and the finding is gone
 *
 * On a made-up system: paths in a command are below its root, and programs that change a kernel are stubs, which leave what these
 * leave.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "gntdevctl/doctor_clients.h"
#include "gntdevctl/doctor_system.h"
#include "gntdevctl/service.h"
#include "gntdevctl/unit.h"
#include "tests/unit/suite.h"

static char root[64];
static const struct ctl ctl = { .run_dir = CTL_RUN_DIR, .name = CTL_DEVICE };
static struct doctor doctor;

/* What was told last. */
static char id[64], mend[1024];
static enum finding_level level;

static void take(const struct finding *f, void *arg)
{
	(void)arg;
	level = f->level;
	snprintf(id, sizeof(id), "%s", f->id);
	snprintf(mend, sizeof(mend), "%s", f->mend);
}

/* A shell, in the root. Its programs are those of bin, then this machine's. */
static void shell(const char *command)
{
	char line[2048];

	snprintf(line, sizeof(line), "cd %s && PATH=$PWD/bin:$PATH && %s", root, command);
	ck_assert_msg(!system(line), "%s", line);
}

static void stub(const char *name, const char *does)
{
	char line[512];

	snprintf(line, sizeof(line),
		 "mkdir -p bin && printf '#!/bin/sh\\n%%s\\n' '%s' >bin/%s && chmod 755 bin/%s",
		 does, name, name);
	shell(line);
}

static void setup(void)
{
	strcpy(root, "/tmp/test-cure-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	doctor = (struct doctor){ .root = root, .ctl = &ctl, .tell = take };
	stub("systemctl", "exit 0");
	stub("modprobe", "case $*:$1 in *:cuse) ln -sf /dev/null dev/cuse ;; "
			 "*:xen-privcmd) ln -sf /dev/null dev/xen/privcmd ;; "
			 "*:xen-gntalloc) ln -sf /dev/null dev/xen/gntalloc ;; esac");
	stub("rmmod", "rm -r \"sys/class/misc/xen!gntdev\" sys/module/xen_gntdev");
	stub("mknod", "ln -sf /dev/null \"$3\"");
	stub("mount",
	     "echo \"xenfs $4 xenfs rw 0 0\" >proc/mounts; mkdir -p proc/xen; echo control_d "
	     ">proc/xen/capabilities");
	shell("mkdir -p dev/xen proc etc/default run sys/class/misc");
}

static void teardown(void)
{
	shell("rm -rf \"$PWD\"");
}

/* The command that was told, with its paths below the root: those behind a blank or ">>". */
static void cure(void)
{
	char line[2048] = "", *at = line;

	ck_assert_msg(*mend, "%s has no cure", id);
	for (const char *p = mend; *p; p++) {
		if (*p == '/' && p > mend && (p[-1] == ' ' || p[-1] == '>'))
			at += sprintf(at, "%s", root);
		*at++ = *p;
	}
	shell(line);
}

static void is(const char *wanted)
{
	ck_assert_str_eq(id, wanted);
}

static void look_at_service(void)
{
	struct service s;

	service_read(&s,
		     "LoadState=loaded\nActiveState=failed\nResult=exit-code\n"
		     "Environment=OPTIONS=--xen\n",
		     root);
	doctor_service(&doctor, &s);
}

static void look_at_hypervisor(void)
{
	doctor_hypervisor(&doctor);
}

static void look_at_cuse(void)
{
	doctor_cuse(&doctor);
}

static void look_at_driver(void)
{
	doctor_kernel_driver(&doctor);
}

static void look_at_privcmd(void)
{
	look_at_hypervisor();
	doctor_privcmd(&doctor);
}

static void look_at_gntalloc(void)
{
	look_at_hypervisor();
	doctor_gntalloc(&doctor);
}

static void look_at_xenfs(void)
{
	look_at_hypervisor();
	doctor_xenfs(&doctor);
}

static void look_at_node(void)
{
	doctor_node(&doctor);
}

static void look_at_run_dir(void)
{
	doctor_run_dir(&doctor);
}

/*
 * What is done to a system, what is found then, and what after the cure. Of a service that was for Xen it is left that it has
 * failed: the stub of systemctl starts nothing.
 */
static const struct {
	const char *make;
	void (*look)(void);
	const char *found;
	const char *after;
} cases[] = {
	{ "mkdir -p sys/class/misc/cuse", look_at_cuse, "cuse/no-node", "cuse/ok" },
	{ "mkdir -p lib/modules/$(uname -r); echo kernel/fs/fuse/cuse.ko: "
	  ">lib/modules/$(uname -r)/modules.dep",
	  look_at_cuse, "cuse/not-loaded", "cuse/ok" },
	{ "touch dev/cuse", look_at_cuse, "cuse/no-device", "cuse/ok" },
	{ "mkdir -p 'sys/class/misc/xen!gntdev' sys/module/xen_gntdev; echo live "
	  ">sys/module/xen_gntdev/initstate",
	  look_at_driver, "kernel-driver/loaded", "kernel-driver/ok" },
	{ "mkdir -p sys/hypervisor; echo xen >sys/hypervisor/type", look_at_privcmd,
	  "privcmd/missing", "privcmd/ok" },
	{ "mkdir -p sys/hypervisor; echo xen >sys/hypervisor/type", look_at_gntalloc,
	  "gntalloc/missing", "gntalloc/ok" },
	{ "mkdir -p sys/hypervisor; echo xen >sys/hypervisor/type", look_at_xenfs,
	  "xenfs/not-mounted", "xenfs/ok" },
	{ "touch dev/xen/gntdev", look_at_node, "node/left-over", "node/none" },
	{ "mkdir -m 700 run/cuse-gntdev", look_at_run_dir, "run-dir/mode", "run-dir/ok" },
	{ ":", look_at_service, "daemon/wants-xen", "daemon/failed" },
};

START_TEST(a_cure_cures)
{
	shell(cases[_i].make);
	cases[_i].look();
	is(cases[_i].found);
	ck_assert_int_eq(level, FINDING_FAULT);
	cure();
	cases[_i].look();
	is(cases[_i].after);
}
END_TEST

Suite *cure_suite(void);

/* Once and again: what else is preloaded stays. */
START_TEST(what_a_unit_preloads_stays)
{
	static const char *const shown[][2] = {
		{ "", "" },
		{ "A=1 LD_PRELOAD=/x.so B=2\n", "/x.so:" },
		{ "A=1 \"LD_PRELOAD=/x.so /y.so\" B=2\n", "/x.so:/y.so:" },
		{ "LD_PRELOAD=/x.so:/y.so:/usr/lib/libgntdev-mmap.so\n", "/x.so:/y.so:" },
		{ "LD_PRELOAD=/usr/lib/libgntdev-mmap.so\n", "" },
		{ "OLD_LD_PRELOAD=/x.so LD_PRELOAD=/y.so\n", "/y.so:" },
		{ "OLD_LD_PRELOAD=/x.so\n", "" },
	};

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		char environment[128], others[sizeof(environment) + 1];

		snprintf(environment, sizeof(environment), "%s", shown[i][0]);
		ctl_unit_preloads(environment, others, sizeof(others));
		ck_assert_str_eq(others, shown[i][1]);
	}
}
END_TEST

/* Where looking at a process's memory does not come to an end, as its owner can have it; however many there are. */
START_TEST(few_processes_are_waited_for)
{
	json_t *opens = json_array();
	uint64_t begun = clock_ns();

	shell("for pid in $(seq 10 29); do mkdir -p proc/$pid && mkfifo proc/$pid/maps; done");
	for (int i = 0; i < 40; i++)
		json_array_append_new(
			opens, json_pack("{s:i, s:s}", "pid", 10 + i % 20, "command", "late"));
	doctor_objects(&doctor, opens);
	is("objects/not-seen");
	ck_assert_uint_lt(clock_ns() - begun, 20 * 1000000000ULL);
	/* Which is nobody else's harm. */
	shell("mkdir -p proc/30 && : >proc/30/maps");
	json_array_append_new(opens,
			      json_pack("{s:i, s:i, s:s}", "pid", 30, "uid", 7, "command", "x"));
	doctor_objects(&doctor, opens);
	is("objects/missing");
	json_decref(opens);
}
END_TEST

Suite *cure_suite(void)
{
	Suite *s = suite_create("ctl_cure");
	TCase *tc = tcase_create("cures");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, a_cure_cures, 0, (int)(sizeof(cases) / sizeof(cases[0])));
	tcase_add_test(tc, what_a_unit_preloads_stays);
	tcase_add_test(tc, few_processes_are_waited_for);
	suite_add_tcase(s, tc);
	return s;
}
