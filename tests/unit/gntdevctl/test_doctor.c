/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/test_doctor.c - gntdevctl doctor: each fault, on a made-up system
 */
#include <check.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "gntdevctl/doctor_clients.h"
#include "gntdevctl/doctor_daemon.h"
#include "gntdevctl/doctor_preload.h"
#include "gntdevctl/doctor_system.h"
#include "tests/unit/gntdevctl/rig.h"
#include "tests/unit/suite.h"

/* What was told last, and how often. */
static struct {
	enum finding_level level;
	char id[32];
	char check[32];
	char what[1024];
	char why[1024];
	char mend[1024];
	int n;
} told;

static void take(const struct finding *f, void *arg)
{
	(void)arg;
	told.level = f->level;
	snprintf(told.id, sizeof(told.id), "%s", f->id);
	snprintf(told.check, sizeof(told.check), "%s", f->check);
	snprintf(told.what, sizeof(told.what), "%s", f->what);
	snprintf(told.why, sizeof(told.why), "%s", f->why);
	snprintf(told.mend, sizeof(told.mend), "%s", f->mend);
	told.n++;
}

static char root[64];
static const struct ctl ctl = { .run_dir = CTL_RUN_DIR, .name = CTL_DEVICE };
static struct doctor doctor;

static void setup(void)
{
	strcpy(root, "/tmp/test-doctor-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(root));
	doctor = (struct doctor){ .root = root, .ctl = &ctl, .tell = take };
	memset(&told, 0, sizeof(told));
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	ck_assert_int_eq(system(command), 0);
}

/* A path below the root, with its directories. */
static const char *at(const char *path)
{
	static char full[512];

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(full, 0755);
		*p = '/';
	}
	return full;
}

static void file(const char *path, const char *text)
{
	FILE *f = fopen(at(path), "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* A device without being allowed to make one. */
static void device(const char *path)
{
	ck_assert_int_eq(symlink("/dev/null", at(path)), 0);
}

static void has_text(const char *path, const char *text)
{
	char read[1024] = "";
	FILE *f = fopen(path, "r");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_gt(fread(read, 1, sizeof(read) - 1, f), 0);
	fclose(f);
	has(read, text);
}

/* The last finding, of one check. */
static void is(enum finding_level level, const char *check, const char *what, const char *mend)
{
	ck_assert_int_eq(told.n, 1);
	ck_assert_str_eq(told.check, check);
	ck_assert_msg(strstr(told.what, what) != NULL, "what: %s", told.what);
	ck_assert_msg(strstr(told.mend, mend) != NULL, "mend: %s", told.mend);
	ck_assert_int_eq(told.level, level);
	/* Who is told of a fault is told what it means. */
	ck_assert(level < FINDING_WARNING || *told.why);
	told.n = 0;
}

static void is_ok(const char *check)
{
	is(FINDING_OK, check, "", "");
}

/* --- the system ------------------------------------------------------------------------------- */

START_TEST(no_cuse)
{
	char path[256];
	struct utsname u;

	doctor_cuse(&doctor);
	is(FINDING_FAULT, "cuse", "this kernel has no CUSE", "linux-image");
	ck_assert_int_eq(uname(&u), 0);
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", u.release);
	file(path,
	     "kernel/fs/fuse/fuse.ko:\nkernel/fs/fuse/cuse.ko.xz: kernel/fs/fuse/fuse.ko.xz\n");
	doctor_cuse(&doctor);
	is(FINDING_FAULT, "cuse", "not loaded", "modprobe cuse");
	file("/sys/class/misc/cuse", "");
	doctor_cuse(&doctor);
	is(FINDING_FAULT, "cuse", "/dev/cuse is not there", "mknod");
	file("/dev/cuse", "");
	doctor_cuse(&doctor);
	is(FINDING_FAULT, "cuse", "no device", "rm /dev/cuse");
	unlink(at("/dev/cuse"));
	device("/dev/cuse");
	doctor_cuse(&doctor);
	is_ok("cuse");
}
END_TEST

START_TEST(the_kernels_driver)
{
	struct ctl other = { .name = "xen/other" };

	doctor_kernel_driver(&doctor);
	is_ok("kernel-driver");
	file("/sys/class/misc/xen!gntdev", "");
	doctor_kernel_driver(&doctor);
	is(FINDING_FAULT, "kernel-driver", "built in", "--name=");
	file("/sys/module/xen_gntdev/initstate", "live\n");
	doctor_kernel_driver(&doctor);
	is(FINDING_FAULT, "kernel-driver", "loaded", "rmmod xen-gntdev");
	doctor.ctl = &other;
	doctor_kernel_driver(&doctor);
	is(FINDING_INFO, "kernel-driver", "/dev/xen/other", "");
}
END_TEST

START_TEST(not_on_xen)
{
	doctor_hypervisor(&doctor);
	is(FINDING_INFO, "hypervisor", "no Xen domain", "");
	doctor_privcmd(&doctor);
	doctor_xenfs(&doctor);
	doctor_gntalloc(&doctor);
	ck_assert_int_eq(told.n, 0);
	file("/sys/hypervisor/type", "kvm\n");
	doctor_hypervisor(&doctor);
	is(FINDING_INFO, "hypervisor", "no Xen domain", "");
}
END_TEST

START_TEST(a_dom0_that_lacks_things)
{
	file("/sys/hypervisor/type", "xen\n");
	doctor_hypervisor(&doctor);
	is_ok("hypervisor");
	doctor_privcmd(&doctor);
	is(FINDING_FAULT, "privcmd", "/dev/xen/privcmd", "modprobe xen-privcmd");
	doctor_gntalloc(&doctor);
	is(FINDING_FAULT, "gntalloc", "/dev/xen/gntalloc", "modprobe xen-gntalloc");
	doctor_xenfs(&doctor);
	is(FINDING_FAULT, "xenfs", "not mounted", "mount -t xenfs");
	file("/proc/mounts", "proc /proc proc rw 0 0\nxenfs /proc/xen xenfs rw 0 0\n");
	doctor_xenfs(&doctor);
	is(FINDING_FAULT, "xenfs", "not dom0", "");
	file("/proc/xen/capabilities", "control_d\n");
	doctor_xenfs(&doctor);
	is_ok("xenfs");
	device("/dev/xen/privcmd");
	device("/dev/xen/gntalloc");
	doctor_privcmd(&doctor);
	is_ok("privcmd");
	doctor_gntalloc(&doctor);
	is_ok("gntalloc");
}
END_TEST

START_TEST(the_node)
{
	json_t *hello = json_pack("{s:s, s:i, s:s}", "version", "1", "pid", 7, "hypervisor", "sim");

	doctor_node(&doctor);
	is(FINDING_INFO, "node", "not there", "");
	doctor.hello = hello;
	doctor_node(&doctor);
	is(FINDING_FAULT, "node", "not there", "systemctl restart");
	file("/sys/class/cuse/xen!gntdev/dev", "252:7\n");
	doctor_node(&doctor);
	is(FINDING_FAULT, "node", "not there", "systemctl restart");
	ck_assert_ptr_nonnull(strstr(told.why, "mknod -m 660 /dev/xen/gntdev c 252 7,"));
	unlink(at("/sys/class/cuse/xen!gntdev/dev"));
	rmdir(at("/sys/class/cuse/xen!gntdev"));
	file("/dev/xen/gntdev", "");
	doctor_node(&doctor);
	is(FINDING_FAULT, "node", "no device", "restart");
	unlink(at("/dev/xen/gntdev"));
	device("/dev/xen/gntdev");
	doctor_node(&doctor);
	is_ok("node");
	doctor.hello = NULL;
	doctor_node(&doctor);
	is(FINDING_FAULT, "node", "left over", "rm /dev/xen/gntdev && ");
	file("/sys/class/cuse/xen!gntdev/dev", "252:7\n");
	doctor_node(&doctor);
	is(FINDING_FAULT, "node", "no daemon of ours", "fuser -v /dev/cuse");
	doctor.denied = true;
	doctor_node(&doctor);
	is_ok("node");
	json_decref(hello);
}
END_TEST

static void service(const char *shown)
{
	struct service s;

	service_read(&s, shown, root);
	doctor_service(&doctor, &s);
}

/* As the package installs it, on a machine without Xen: "enable --now" would fail. */
START_TEST(a_service_for_xen_where_there_is_none)
{
	static const char *const shown[] = {
		"ActiveState=inactive\nEnvironment=OPTIONS=--xen\n",
		"ActiveState=failed\nResult=exit-code\nEnvironment=A=1 OPTIONS=--xen\n",
		"ActiveState=failed\nEnvironment=\"OPTIONS=--workers=4 --xen\" A=--sim\n",
	};
	char command[sizeof(told.mend) + 128], *name;

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		service(shown[i]);
		is(FINDING_FAULT, "daemon", "this is no Xen domain", "--sim");
	}
	/* The command's first half, on this root. */
	file("/etc/default/cuse-gntdev", "# options\nOPTIONS=\"--xen\"\n");
	*strchr(told.mend, ';') = '\0';
	name = strstr(told.mend, "/etc/");
	snprintf(command, sizeof(command), "%.*s%s%s", (int)(name - told.mend), told.mend, root,
		 name);
	ck_assert_int_eq(system(command), 0);
	service(shown[0]);
	is(FINDING_FAULT, "daemon", "does not run (the service is inactive)", "systemctl enable");
	doctor.xen = true;
	file("/etc/default/cuse-gntdev", "OPTIONS=--xen\n");
	service(shown[0]);
	is(FINDING_FAULT, "daemon", "does not run", "systemctl enable");
}
END_TEST

START_TEST(the_run_directory)
{
	struct ctl relative = { .run_dir = "run", .name = CTL_DEVICE };
	char command[sizeof(told.mend) + 128], *dir;

	doctor_run_dir(&doctor);
	ck_assert_int_eq(told.n, 0);
	file("/run/cuse-gntdev/xen-gntdev.sock", "");
	snprintf(command, sizeof(command), "chmod 700 %s" CTL_RUN_DIR, root);
	ck_assert_int_eq(system(command), 0);
	doctor_run_dir(&doctor);
	is(FINDING_FAULT, "run-dir", "has mode 0700", "chmod 755 /run/cuse-gntdev");
	dir = strstr(told.mend, "/run");
	snprintf(command, sizeof(command), "chmod 755 %s%s", root, dir);
	ck_assert_int_eq(system(command), 0);
	doctor_run_dir(&doctor);
	is_ok("run-dir");
	doctor.ctl = &relative;
	doctor_run_dir(&doctor);
	is(FINDING_FAULT, "run-dir", "no absolute path", "");
}
END_TEST

START_TEST(the_service)
{
	json_t *hello = json_pack("{s:s, s:i, s:s}", "version", "1", "pid", 7, "hypervisor", "sim");

	service("");
	is(FINDING_FAULT, "daemon", "does not run", "cuse_gntdev &");
	service("ActiveState=inactive\nEnvironment=OPTIONS=--sim\n");
	is(FINDING_FAULT, "daemon", "does not run (the service is inactive)",
	   "systemctl enable --now");
	/* No unit, or a masked one: "enable" alone would fail. */
	service("LoadState=not-found\nActiveState=inactive\n");
	is(FINDING_FAULT, "daemon", "there is no cuse-gntdev.service", "cuse_gntdev &");
	service("LoadState=masked\nActiveState=inactive\n");
	is(FINDING_FAULT, "daemon", "(the service is masked)",
	   "systemctl unmask cuse-gntdev.service; systemctl enable --now");
	/* It fails, and is started again. */
	service("ActiveState=activating\nResult=exit-code\nStatusText=it broke\n");
	is(FINDING_FAULT, "daemon", "has failed (exit-code)", "journalctl");
	service("ActiveState=activating\nResult=success\n");
	is(FINDING_WARNING, "daemon", "is being started", "systemctl status");
	service("ActiveState=activating\nResult=success\nStatusText=mend it\n");
	is(FINDING_FAULT, "daemon", "does not start, and waits", "systemctl status");
	ck_assert_str_eq(told.why, "the daemon says: mend it");
	service("Result=exit-code\nStatusText=it broke\nActiveState=failed\n");
	is(FINDING_FAULT, "daemon", "has failed (exit-code)", "journalctl");
	ck_assert_str_eq(told.why, "the daemon said: it broke");
	service("ActiveState=active\n");
	is(FINDING_FAULT, "daemon", "no daemon answers", "restart");
	doctor.denied = true;
	service("ActiveState=active\n");
	is(FINDING_WARNING, "daemon", "not to this user", "sudo");
	doctor.denied = false;
	doctor.hello = hello;
	service("");
	is(FINDING_OK, "daemon", "version 1 answers, process 7, hypervisor \"sim\"", "");
	json_decref(hello);
}
END_TEST

START_TEST(the_policy)
{
	doctor_policy(&doctor, "/etc/x.conf");
	is(FINDING_INFO, "policy", "not there", "");
	file("/etc/x.conf", "# nothing\n");
	doctor_policy(&doctor, "/etc/x.conf");
	is_ok("policy");
	file("/etc/x.conf", "nonsense = {\n");
	doctor_policy(&doctor, "/etc/x.conf");
	is(FINDING_FAULT, "policy", "x.conf", "gntdevctl policy check");
}
END_TEST

/* --- the preload object ------------------------------------------------------------------------- */

/* The head of an ELF file for some machine. */
static void object(const char *path, unsigned char class, unsigned short machine)
{
	Elf32_Ehdr head = { .e_machine = machine };
	FILE *f = fopen(at(path), "w");

	memcpy(head.e_ident, ELFMAG, SELFMAG);
	head.e_ident[EI_CLASS] = class;
	head.e_ident[EI_DATA] = ELFDATA2LSB;
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(&head, sizeof(head), 1, f), 1);
	fclose(f);
}

static void copy_self(const char *path)
{
	char head[64];
	int from = open("/proc/self/exe", O_RDONLY), to = open(at(path), O_WRONLY | O_CREAT, 0644);

	ck_assert_int_eq(read(from, head, sizeof(head)), sizeof(head));
	ck_assert_int_eq(write(to, head, sizeof(head)), sizeof(head));
	close(from);
	close(to);
}

START_TEST(the_preload_object)
{
	static const char installed[] = "/usr/lib/cuse-gntdev/libgntdev-mmap.so";

	doctor_preload(&doctor);
	is(FINDING_FAULT, "preload", "gntdev-run is not there", "install");
	file("/usr/local/bin/gntdev-run", "#!/bin/sh\n");
	doctor_preload(&doctor);
	is(FINDING_FAULT, "preload", "not ours", "install");
	file("/usr/local/bin/gntdev-run", "#!/bin/sh\ninstalled=/usr/lib/cuse-gntdev\n");
	doctor_preload(&doctor);
	is(FINDING_FAULT, "preload", "No such file", "install");
	file(installed, "text");
	doctor_preload(&doctor);
	is(FINDING_FAULT, "preload", "no shared object", "install");
	object(installed, ELFCLASS32, EM_68K);
	doctor_preload(&doctor);
	is(FINDING_FAULT, "preload", "for another machine (32 bit", "install");
	unlink(at(installed));
	copy_self(installed);
	doctor_preload(&doctor);
	is_ok("preload");
	/* The one beside gntdev-run is taken before the one that is installed. */
	file("/usr/local/bin/libgntdev-mmap.so", "text");
	doctor_preload(&doctor);
	is(FINDING_FAULT, "preload", "/usr/local/bin/libgntdev-mmap.so", "install");
}
END_TEST

/* --- clients ------------------------------------------------------------------------------------ */

/* What is run is what doctor says. Return: the exit status */
static int cure(const char *options)
{
	char line[256];

	snprintf(line, sizeof(line), "--root=%s %s", root, options);
	return ctl_rig_run(ctl_wrap, line);
}

START_TEST(a_unit_without_the_object_is_given_it)
{
	static const char drop_in[] = "/etc/systemd/system/xenstored.service.d/50-gntdev-mmap.conf";

	doctor.xen = true;
	doctor_units(&doctor);
	ck_assert_int_eq(told.n, 0);
	file("/lib/systemd/system/xenstored.service", "[Service]\n# libgntdev-mmap.so\n");
	doctor_units(&doctor);
	is(FINDING_WARNING, "units", "xenstored.service is not given",
	   "gntdevctl wrap xenstored.service");
	ck_assert_str_eq(told.id, "units/no-object");
	/* There is nothing yet that could be preloaded. */
	file("/etc/systemd/system/x", "");
	ck_assert_int_eq(cure("xenstored.service"), CTL_BAD);
	has(ctl_rig_err, "libgntdev-mmap.so is not there");
	file("/usr/bin/gntdev-run", "#!/bin/sh\ninstalled=/usr/lib/cuse-gntdev\n");
	file("/usr/lib/cuse-gntdev/libgntdev-mmap.so", "");
	ck_assert_int_eq(cure("xenstored.service"), CTL_DONE);
	has(ctl_rig_out, "systemctl restart xenstored.service\n");
	has_text(at(drop_in),
		 "\nEnvironment=\"LD_PRELOAD=/usr/lib/cuse-gntdev/libgntdev-mmap.so\"\n");
	doctor_units(&doctor);
	is_ok("units");
	ck_assert_int_eq(cure("--remove xenstored -j"), CTL_DONE);
	has(ctl_rig_out, "\"wrapped\":false}");
	doctor_units(&doctor);
	is(FINDING_WARNING, "units", "xenstored.service is not given", "");
	ck_assert_int_eq(access(at("/etc/systemd/system/xenstored.service.d"), F_OK), -1);
	ck_assert_int_eq(cure("--remove xenstored"), CTL_BAD);
	doctor.xen = false;
	doctor_units(&doctor);
	ck_assert_int_eq(told.n, 0);
}
END_TEST

START_TEST(only_names_of_services_are_wrapped)
{
	static const char *const names[] = { "",   "../x", "/etc/x",	 "x.socket",
					     ".x", "a b",  "x.service y" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_each(cure(names[i]) == CTL_USAGE, "\"%s\"", names[i]);
}
END_TEST

START_TEST(processes_without_the_object)
{
	json_t *opens = json_loads("[{\"pid\":7,\"command\":\"with\",\"windows\":false},"
				   "{\"pid\":8,\"command\":\"asked\",\"windows\":true},"
				   "{\"pid\":9,\"command\":\"gone\",\"windows\":false},"
				   "{\"pid\":0,\"command\":\"hidden\",\"windows\":false}]",
				   0, NULL);

	file("/proc/7/maps", "7f00-7f01 r-xp 00000000 fe:00 1 /usr/lib/libgntdev-mmap.so\n");
	file("/proc/8/maps", "7f00-7f01 r-xp 00000000 fe:00 1 /usr/lib/libc.so.6\n");
	file("/proc/0/maps", "");
	/* 9 cannot be looked into. */
	doctor_objects(&doctor, opens);
	is(FINDING_INFO, "objects", "of 1 processes", "sudo gntdevctl doctor");
	json_array_remove(opens, 2);
	doctor_objects(&doctor, opens);
	is_ok("objects");
	file("/proc/7/maps", "7f00-7f01 r-xp 00000000 fe:00 1 /usr/lib/libc.so.6\n");
	doctor_objects(&doctor, opens);
	is(FINDING_WARNING, "objects", "process 7, with, has the device open", "gntdev-run with");
	json_array_append_new(opens, json_copy(json_array_get(opens, 0)));
	json_object_set_new(json_array_get(opens, 0), "unit", json_string("a.service"));
	doctor_objects(&doctor, opens);
	is(FINDING_WARNING, "objects", "process 7, with of a.service,",
	   "gntdevctl wrap a.service; systemctl restart a.service");
	/* Whatever the names are, what is run is one word. */
	json_object_set_new(json_array_get(opens, 0), "unit", json_string("a\\x2d'b.service"));
	doctor_objects(&doctor, opens);
	is(FINDING_WARNING, "objects", "process 7, with of a\\x2d'b.service,",
	   "gntdevctl wrap 'a\\x2d'\\''b.service'; systemctl restart 'a\\x2d'\\''b.service'");
	/* To restart that would end all that the user has. */
	json_object_set_new(json_array_get(opens, 0), "unit", json_string("user@7.service"));
	doctor_objects(&doctor, opens);
	is(FINDING_WARNING, "objects", "process 7, with of user@7.service,", "gntdev-run with ...");
	json_object_set_new(json_array_get(opens, 0), "unit", json_string("session-1.scope"));
	json_object_set_new(json_array_get(opens, 0), "command", json_string("$(reboot) #'"));
	doctor_objects(&doctor, opens);
	is(FINDING_WARNING, "objects", "process 7, $(reboot) #'",
	   "gntdev-run '$(reboot) #'\\''' ... (end it");
	json_decref(opens);
}
END_TEST

/* --- the daemon's answers ----------------------------------------------------------------------- */

static json_t *parse(const char *text)
{
	json_t *o = json_loads(text, 0, NULL);

	ck_assert_ptr_nonnull(o);
	return o;
}

static void with(void (*check)(const struct doctor *d, const json_t *stats), const char *stats)
{
	json_t *s = parse(stats);

	check(&doctor, s);
	json_decref(s);
}

START_TEST(a_reload_that_was_refused)
{
	with(doctor_reload, "{\"policy\":{\"error\":\"/etc/x:3: no such thing\"}}");
	is(FINDING_FAULT, "reload", "/etc/x:3: no such thing", "systemctl reload");
	with(doctor_reload, "{\"policy\":{}}");
	is_ok("reload");
}
END_TEST

START_TEST(limits_that_are_near)
{
	with(doctor_lease, "{\"state\":{\"lease\":\"refused\"}}");
	is(FINDING_WARNING, "lease", "keeps no descriptor", "FileDescriptorStoreMax=4");
	with(doctor_lease, "{\"state\":{\"lease\":\"kept\"}}");
	is_ok("lease");
	with(doctor_limits, "{\"handles\":115,\"handle_limit\":128,\"window_slots\":100,"
			    "\"window_slots_used\":89,\"maps\":5,\"limits\":{\"maps\":0}}");
	is_ok("limits");
	with(doctor_limits, "{\"handles\":116,\"handle_limit\":128}");
	is(FINDING_WARNING, "limits", "maptrack table takes: 116 of 128",
	   "gnttab_max_maptrack_frames");
	with(doctor_limits, "{\"handles\":128,\"handle_limit\":128}");
	is(FINDING_FAULT, "limits", "maptrack", "");
	with(doctor_limits, "{\"handles\":128,\"handle_limit\":null}");
	is_ok("limits");
	with(doctor_limits, "{\"window_slots\":100,\"window_slots_used\":90}");
	is(FINDING_WARNING, "limits", "window socket: 90 of 100", "gntdevctl list");
	with(doctor_limits, "{\"maps\":10,\"limits\":{\"maps\":10}}");
	is(FINDING_FAULT, "limits", "maps, of the policy's limit maps: 10 of 10",
	   "raise the limit");
	with(doctor_limits, "{\"pages\":95,\"limits\":{\"pages\":100}}");
	is(FINDING_WARNING, "limits", "pages, of the policy's limit", "");
	with(doctor_limits, "{\"users\":[{\"uid\":1,\"maps\":1,\"pages\":1},"
			    "{\"uid\":0,\"maps\":9,\"pages\":1}],\"limits\":{\"maps_per_user\":10,"
			    "\"pages_per_user\":10}}");
	is(FINDING_WARNING, "limits",
	   "maps of user root, of the policy's limit maps_per_user: 9 of 10", "");
	with(doctor_limits,
	     "{\"users\":[{\"uid\":0,\"pages\":99}],\"limits\":{\"pages_per_user\":99}}");
	is(FINDING_FAULT, "limits", "pages of user root", "");
	with(doctor_limits, "{\"quarantined\":3}");
	is(FINDING_WARNING, "limits", "3 pages are quarantined", "xl mem-set");
	with(doctor_limits, "{\"limits_met\":{\"maps\":0,\"pages\":2,\"maps_per_open\":1}}");
	is(FINDING_INFO, "limits", "refused: maps_per_open (1 times), pages (2 times)", "");
	with(doctor_limits, "{\"limits_met\":{\"maps\":0}}");
	is_ok("limits");
}
END_TEST

static void clients(int n, long long last, long long now)
{
	json_t *stats = json_pack("{s:{s:i}}", "failures", "preload", n);

	doctor_clients(&doctor, stats, last, now);
	json_decref(stats);
}

START_TEST(clients_without_the_object)
{
	const long long s = 1000000000;

	clients(2, 1000 * s, 1060 * s);
	is(FINDING_WARNING, "clients", "2 times, the last time 1m 0s ago", "gntdevctl errors");
	clients(1, 1000 * s, 1060 * s);
	is(FINDING_WARNING, "clients", "mmap once, the last", "gntdevctl errors");
	/* It is over some time. */
	clients(1, 1000 * s, 1601 * s);
	is(FINDING_INFO, "clients", "none in the last 10 minutes", "");
	clients(1, 0, 1601 * s);
	is(FINDING_INFO, "clients", "none in the last 10 minutes", "");
	clients(0, 0, 1601 * s);
	is_ok("clients");
}
END_TEST

static void workers(const char *then, const char *now)
{
	json_t *a = parse(then), *b = parse(now);

	doctor_workers(&doctor, a, b);
	json_decref(a);
	json_decref(b);
}

START_TEST(workers_that_hang)
{
	static const char idle[] = "{\"workers\":2,\"workers_busy\":1,\"waiting\":1}";
	static const char stuck[] = "{\"workers\":2,\"workers_busy\":2,\"waiting\":3,"
				    "\"operations\":{\"mmap\":{\"events\":5}}}";
	static const char moved[] = "{\"workers\":2,\"workers_busy\":2,\"waiting\":3,"
				    "\"operations\":{\"mmap\":{\"events\":6}}}";

	workers(idle, stuck);
	is_ok("workers");
	workers(stuck, idle);
	is_ok("workers");
	workers(stuck, stuck);
	is(FINDING_FAULT, "workers", "all 2 workers are busy, 3 requests wait, and none has ended",
	   "restart");
	workers(stuck, moved);
	is(FINDING_WARNING, "workers", "all 2 workers are busy", "--workers=N");
}
END_TEST

static void waiting(const char *then, const char *now)
{
	json_t *a = parse(then), *b = parse(now);

	doctor_waiting(&doctor, a, b);
	json_decref(a);
	json_decref(b);
}

START_TEST(an_mmap_that_goes_on)
{
	static const char young[] =
		"[{\"id\":\"1:0\",\"state\":\"mapping\",\"age_ms\":4000,\"domid\":3}]";
	static const char old[] =
		"[{\"id\":\"1:0\",\"state\":\"mapping\",\"age_ms\":6000,\"domid\":3}]";
	static const char other[] =
		"[{\"id\":\"2:0\",\"state\":\"mapping\",\"age_ms\":6000,\"domid\":3}]";

	waiting(young, young);
	is_ok("waiting");
	waiting(young, old);
	is_ok("waiting");
	waiting(other, old);
	is_ok("waiting");
	waiting(old, old);
	is(FINDING_WARNING, "waiting", "the mmap of 1:0, pages of domain 3", "gntdevctl show 1:0");
}
END_TEST

Suite *doctor_suite(void)
{
	Suite *s = suite_create("ctl_doctor");
	TCase *tc = tcase_create("doctor");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, no_cuse);
	tcase_add_test(tc, the_kernels_driver);
	tcase_add_test(tc, not_on_xen);
	tcase_add_test(tc, a_dom0_that_lacks_things);
	tcase_add_test(tc, the_node);
	tcase_add_test(tc, the_service);
	tcase_add_test(tc, a_service_for_xen_where_there_is_none);
	tcase_add_test(tc, the_run_directory);
	tcase_add_test(tc, the_policy);
	tcase_add_test(tc, the_preload_object);
	tcase_add_test(tc, a_unit_without_the_object_is_given_it);
	tcase_add_test(tc, only_names_of_services_are_wrapped);
	tcase_add_test(tc, processes_without_the_object);
	tcase_add_test(tc, a_reload_that_was_refused);
	tcase_add_test(tc, limits_that_are_near);
	tcase_add_test(tc, clients_without_the_object);
	tcase_add_test(tc, workers_that_hang);
	tcase_add_test(tc, an_mmap_that_goes_on);
	suite_add_tcase(s, tc);
	return s;
}
