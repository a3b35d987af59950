/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor_system.c - gntdevctl doctor: modules, nodes, file systems, the service
 */
#include "gntdevctl/doctor_system.h"

#include <limits.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "policy/policy.h"

/* A path below the root. Return: whether it is there. */
static bool below(const struct doctor *d, char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static bool below(const struct doctor *d, char *path, const char *fmt, ...)
{
	int n = snprintf(path, PATH_MAX, "%s", d->root);
	va_list ap;

	if (n < 0 || n >= PATH_MAX)
		return false;
	va_start(ap, fmt);
	vsnprintf(path + n, (size_t)(PATH_MAX - n), fmt, ap);
	va_end(ap);
	return !access(path, F_OK);
}

static bool is_device(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISCHR(st.st_mode);
}

/* --- CUSE ------------------------------------------------------------------------------------- */

/* Whether a list of modules of the running kernel ("modules.dep", ...) has one of this name. */
static bool kernel_has(const struct doctor *d, const char *list, const char *module)
{
	char path[PATH_MAX], line[4096];
	struct utsname u;
	bool found = false;
	FILE *f;

	if (uname(&u) || !below(d, path, "/lib/modules/%s/%s", u.release, list))
		return false;
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, module) != NULL;
	if (f)
		fclose(f);
	return found;
}

static void no_cuse(const struct doctor *d)
{
	char path[PATH_MAX];

	if (below(d, path, "/sys/class/misc/cuse"))
		doctor_tell(d, FINDING_FAULT, "cuse/no-node", "mknod -m 600 /dev/cuse c 10 203",
			    "the daemon makes its device through it",
			    "CUSE is loaded, and /dev/cuse is not there");
	else if (kernel_has(d, "modules.dep", "/cuse.ko"))
		doctor_tell(d, FINDING_FAULT, "cuse/not-loaded", "modprobe cuse",
			    "the daemon makes its device through it",
			    "the module cuse is not loaded");
	else
		doctor_tell(d, FINDING_FAULT, "cuse/not-built",
			    "apt-get install linux-image-$(dpkg --print-architecture)",
			    "it was built without CONFIG_CUSE, or its modules are not installed: "
			    "boot a "
			    "kernel that has it (Debian's do)",
			    "this kernel has no CUSE");
}

void doctor_cuse(const struct doctor *d)
{
	char path[PATH_MAX];

	if (!below(d, path, "/dev/cuse"))
		no_cuse(d);
	else if (!is_device(path))
		doctor_tell(d, FINDING_FAULT, "cuse/no-device",
			    "rm /dev/cuse && modprobe -r cuse && modprobe cuse",
			    "something has made a file of that name", "/dev/cuse is no device");
	else
		doctor_tell(d, FINDING_OK, "cuse/ok", "", "", "/dev/cuse is there");
}

/* --- the kernel's own driver -------------------------------------------------------------------- */

void doctor_kernel_driver(const struct doctor *d)
{
	char path[PATH_MAX];

	if (!below(d, path, "/sys/class/misc/xen!gntdev"))
		doctor_tell(d, FINDING_OK, "kernel-driver/ok", "", "",
			    "the kernel's xen-gntdev is not loaded");
	else if (strcmp(d->ctl->name, CTL_DEVICE) != 0)
		doctor_tell(d, FINDING_INFO, "kernel-driver/other-name", "", "",
			    "the kernel's xen-gntdev serves /dev/" CTL_DEVICE
			    "; this is about /dev/%s",
			    d->ctl->name);
	else if (below(d, path, "/sys/module/xen_gntdev/initstate"))
		doctor_tell(d, FINDING_FAULT, "kernel-driver/loaded",
			    "rmmod xen-gntdev && systemctl restart " CTL_UNIT,
			    "it has the name /dev/" CTL_DEVICE
			    ": clients reach the kernel, not the daemon; "
			    "end what has the device open first (fuser -v /dev/xen/gntdev)",
			    "the kernel's own xen-gntdev is loaded");
	else
		doctor_tell(d, FINDING_FAULT, "kernel-driver/built-in",
			    "cuse_gntdev --name=xen/gntdev-cuse",
			    "it cannot be unloaded: boot a kernel with CONFIG_XEN_GNTDEV=m or n, "
			    "or have "
			    "the daemon serve another name",
			    "the kernel's own xen-gntdev is built in");
}

/* --- Xen -------------------------------------------------------------------------------------- */

/* The first word of a small file; "" if it cannot be read. */
static void first_word(const char *path, char *word, size_t size)
{
	FILE *f = fopen(path, "re");

	word[0] = '\0';
	if (!f)
		return;
	if (!fgets(word, (int)size, f))
		word[0] = '\0';
	word[strcspn(word, " \t\n")] = '\0';
	fclose(f);
}

void doctor_hypervisor(struct doctor *d)
{
	char path[PATH_MAX], type[32] = "";

	if (below(d, path, "/sys/hypervisor/type"))
		first_word(path, type, sizeof(type));
	d->xen = !strcmp(type, "xen");
	if (d->xen)
		doctor_tell(d, FINDING_OK, "hypervisor/xen", "", "", "this is a Xen domain");
	else
		doctor_tell(d, FINDING_INFO, "hypervisor/none", "",
			    "with --sim the daemon simulates one: domains of its own, no guests",
			    "this is no Xen domain");
}

/* A device of dom0 that a module makes. @ok, @missing: ids of findings */
static void xen_device(const struct doctor *d, const char *ok, const char *missing,
		       const char *node, const char *mend, const char *why)
{
	char path[PATH_MAX];

	if (!d->xen)
		return;
	if (below(d, path, "%s", node) && is_device(path))
		doctor_tell(d, FINDING_OK, ok, "", "", "%s is there", node);
	else
		doctor_tell(d, FINDING_FAULT, missing, mend, why, "%s is not there", node);
}

void doctor_privcmd(const struct doctor *d)
{
	xen_device(d, "privcmd/ok", "privcmd/missing", "/dev/xen/privcmd", "modprobe xen-privcmd",
		   "the daemon makes hypercalls through it");
}

void doctor_gntalloc(const struct doctor *d)
{
	xen_device(d, "gntalloc/ok", "gntalloc/missing", "/dev/xen/gntalloc",
		   "modprobe xen-gntalloc",
		   "the daemon grants itself pages through it, to find out what this Xen does");
}

static bool mounted(const char *mounts, const char *type)
{
	FILE *f = setmntent(mounts, "re");
	bool found = false;
	struct mntent *m;

	while (f && !found && (m = getmntent(f)))
		found = !strcmp(m->mnt_type, type);
	if (f)
		endmntent(f);
	return found;
}

void doctor_xenfs(const struct doctor *d)
{
	char path[PATH_MAX], word[64] = "";

	if (!d->xen)
		return;
	if (!below(d, path, "/proc/mounts") || !mounted(path, "xenfs")) {
		doctor_tell(d, FINDING_FAULT, "xenfs/not-mounted",
			    "modprobe xenfs; mount -t xenfs xenfs /proc/xen",
			    "there the daemon sees whether this is dom0", "xenfs is not mounted");
		return;
	}
	if (below(d, path, "/proc/xen/capabilities"))
		first_word(path, word, sizeof(word));
	if (!strcmp(word, "control_d"))
		doctor_tell(d, FINDING_OK, "xenfs/ok", "", "",
			    "xenfs is mounted, and this is dom0");
	else
		doctor_tell(d, FINDING_FAULT, "xenfs/not-dom0", "",
			    "the daemon maps grants of Xen in dom0 only (/proc/xen/capabilities "
			    "says who "
			    "is); elsewhere start it with --sim",
			    "this is not dom0");
}

/* --- the device's node ------------------------------------------------------------------------ */

/* The device as sysfs has it, or a file of its there. *@path: where. */
static bool in_class(const struct doctor *d, const char *class, const char *file, char *path)
{
	char name[256];

	snprintf(name, sizeof(name), "%s", d->ctl->name);
	for (char *c = name; *c; c++)
		if (*c == '/')
			*c = '!';
	return below(d, path, "/sys/class/%s/%s%s", class, name, file);
}

static void node_without_daemon(const struct doctor *d, const char *path)
{
	char mend[PATH_MAX], class[PATH_MAX];

	if (in_class(d, "misc", "", class))
		return; /* told by doctor_kernel_driver() */
	if (in_class(d, "cuse", "", class)) {
		doctor_tell(d, FINDING_FAULT, "node/foreign", "fuser -v /dev/cuse",
			    "another CUSE daemon serves it, or cuse_gntdev with another --run-dir "
			    "(then "
			    "say --run-dir here, too), or one that hangs; fuser shows who",
			    "/dev/%s is served by CUSE, and no daemon of ours answers",
			    d->ctl->name);
		return;
	}
	snprintf(mend, sizeof(mend), "rm %s && systemctl restart " CTL_UNIT,
		 path + strlen(d->root));
	doctor_tell(d, FINDING_FAULT, "node/left-over", mend,
		    "nothing serves it: opening it gives ENXIO, or makes a file",
		    "/dev/%s is left over", d->ctl->name);
}

/*
 * udev makes no nodes, and the kernel makes one once. One made by hand serves as well, but the kernel does not
 * remove it, and it would be in the way of the next daemon.
 */
static void daemon_without_node(const struct doctor *d)
{
	char path[PATH_MAX], why[1024], dev[32] = "";
	unsigned int major, minor;

	if (in_class(d, "cuse", "/dev", path))
		first_word(path, dev, sizeof(dev));
	if (sscanf(dev, "%u:%u", &major, &minor) != 2)
		snprintf(why, sizeof(why),
			 "the daemon serves the device, and its node was removed");
	else
		snprintf(
			why, sizeof(why),
			"its node was removed, or devtmpfs is not mounted on /dev here. A restart "
			"ends what clients have mapped; without one: mknod -m 660 /dev/%s c %u %u, "
			"and rm it before the next start",
			d->ctl->name, major, minor);
	doctor_tell(d, FINDING_FAULT, "node/removed", "systemctl restart " CTL_UNIT, why,
		    "/dev/%s is not there", d->ctl->name);
}

void doctor_node(const struct doctor *d)
{
	bool alive = d->hello || d->denied;
	char path[PATH_MAX];
	bool there = below(d, path, "/dev/%s", d->ctl->name);

	if (there && !alive)
		node_without_daemon(d, path);
	else if (there && !is_device(path))
		doctor_tell(d, FINDING_FAULT, "node/no-device", "systemctl restart " CTL_UNIT,
			    "something has replaced the device", "/dev/%s is no device",
			    d->ctl->name);
	else if (there)
		doctor_tell(d, FINDING_OK, "node/ok", "", "", "/dev/%s is there", d->ctl->name);
	else if (alive)
		daemon_without_node(d);
	else
		doctor_tell(d, FINDING_INFO, "node/none", "", "the daemon makes it",
			    "/dev/%s is not there", d->ctl->name);
}

/* --- the service ------------------------------------------------------------------------------ */

/* It cannot start, whatever systemctl is told. */
static bool wants_xen_in_vain(const struct doctor *d, const struct service *s)
{
	if (d->xen || !service_has_option(s, "--xen"))
		return false;
	doctor_tell(d, FINDING_FAULT, "daemon/wants-xen",
		    "echo 'OPTIONS=\"--sim\"' >>" SERVICE_DEFAULTS "; systemctl restart " CTL_UNIT,
		    "it does not start here. For the real one boot this machine under Xen; the "
		    "command has it "
		    "simulate one, for tests",
		    "the service is for the real Xen (--xen), and this is no Xen domain");
	return true;
}

/* There is no unit to start. */
static bool is_not_installed(const struct doctor *d, const struct service *s)
{
	if (!*s->state)
		doctor_tell(d, FINDING_FAULT, "daemon/none", "cuse_gntdev &",
			    "nobody serves the device", "the daemon does not run");
	else if (!strcmp(s->load, "not-found"))
		doctor_tell(d, FINDING_FAULT, "daemon/no-unit", "cuse_gntdev &",
			    "nobody serves the device; the package, or make install, brings a "
			    "service",
			    "the daemon does not run, and there is no " CTL_UNIT);
	else
		return false;
	return true;
}

/* It did not end as it should. While it is started again it is "activating", with the result from before. */
static bool did_fail(const struct service *s)
{
	return !strcmp(s->state, "failed") ||
	       (!strcmp(s->state, "activating") && *s->result && strcmp(s->result, "success") != 0);
}

static void has_failed(const struct doctor *d, const struct service *s)
{
	char why[sizeof(s->status) + 32];

	snprintf(why, sizeof(why), "the daemon said: %s", s->status);
	doctor_tell(d, FINDING_FAULT, "daemon/failed",
		    "journalctl -u " CTL_UNIT " -n 20; systemctl restart " CTL_UNIT,
		    *s->status ? why : "its last lines in the journal say why",
		    "the service has failed (%s)", *s->result ? s->result : "?");
}

/* It waits for who mends what it was started with: see daemon_unit.h, unit_wait(). */
static void is_held_up(const struct doctor *d, const struct service *s)
{
	char why[sizeof(s->status) + 32];

	snprintf(why, sizeof(why), "the daemon says: %s", s->status);
	doctor_tell(d, FINDING_FAULT, "daemon/waits", "systemctl status " CTL_UNIT, why,
		    "the service does not start, and waits");
}

static void is_stopped(const struct doctor *d, const struct service *s)
{
	bool masked = !strcmp(s->load, "masked");

	doctor_tell(d, FINDING_FAULT, "daemon/stopped",
		    masked ? "systemctl unmask " CTL_UNIT "; systemctl enable --now " CTL_UNIT
			   : "systemctl enable --now " CTL_UNIT,
		    "nobody serves the device", "the daemon does not run (the service is %s)",
		    masked ? s->load : s->state);
}

static void no_daemon(const struct doctor *d, const struct service *s)
{
	if (!strcmp(s->state, "active"))
		doctor_tell(d, FINDING_FAULT, "daemon/silent", "systemctl restart " CTL_UNIT,
			    "it hangs, or has another --run-dir or --name (then say so here, too)",
			    "the service is active, and no daemon answers");
	else if (!strcmp(s->state, "activating") && *s->status && !did_fail(s))
		is_held_up(d, s);
	else if (is_not_installed(d, s) || wants_xen_in_vain(d, s))
		return;
	else if (did_fail(s))
		has_failed(d, s);
	else if (!strcmp(s->state, "activating"))
		doctor_tell(d, FINDING_WARNING, "daemon/starting", "systemctl status " CTL_UNIT,
			    "nobody serves the device yet", "the service is being started");
	else
		is_stopped(d, s);
}

void doctor_service(const struct doctor *d, const struct service *s)
{
	const char *version = json_string_value(json_object_get(d->hello, "version"));

	if (d->denied)
		doctor_tell(d, FINDING_WARNING, "daemon/denied", "sudo gntdevctl doctor",
			    "so what it knows was not looked at: root and members of group xen-gnt "
			    "may ask",
			    "a daemon answers, but not to this user");
	else if (!d->hello)
		no_daemon(d, s);
	else
		doctor_tell(d, FINDING_OK, "daemon/ok", "", "",
			    "version %s answers, process %lld, hypervisor \"%s\"",
			    version ? version : "?",
			    (long long)json_integer_value(json_object_get(d->hello, "pid")),
			    json_is_string(json_object_get(d->hello, "hypervisor"))
				    ? json_string_value(json_object_get(d->hello, "hypervisor"))
				    : "?");
}

void doctor_run_dir(const struct doctor *d)
{
	const char *dir = d->ctl->run_dir;
	char path[PATH_MAX], mend[PATH_MAX];
	struct stat st;

	if (d->ctl->socket)
		return;
	if (*dir != '/') {
		doctor_tell(d, FINDING_FAULT, "run-dir/relative", "",
			    "a client looks for the socket from its own directory, and gets "
			    "ENODEV: start the daemon "
			    "with the whole path",
			    "the run directory \"%s\" is no absolute path", dir);
		return;
	}
	if (!below(d, path, "%s", dir) || stat(path, &st))
		return;
	snprintf(mend, sizeof(mend), "chmod 755 %s", dir);
	if (!S_ISDIR(st.st_mode))
		doctor_tell(d, FINDING_FAULT, "run-dir/no-directory", "",
			    "the daemon's sockets lie in it", "%s is no directory", dir);
	else if ((st.st_mode & 0511) != 0511)
		doctor_tell(d, FINDING_FAULT, "run-dir/mode", mend,
			    "clients of other users than root do not reach the daemon's socket, "
			    "and get ENODEV from "
			    "mmap",
			    "%s has mode %04o", dir, st.st_mode & 07777);
	else
		doctor_tell(d, FINDING_OK, "run-dir/ok", "", "", "%s can be passed by all", dir);
}

void doctor_policy(const struct doctor *d, const char *file)
{
	char path[PATH_MAX], text[POLICY_WHY_ALL_SIZE];
	struct policy_why why;
	struct policy *p = NULL;

	below(d, path, "%s", file);
	if (policy_load(path, false, &p, &why)) {
		policy_why_all(&why, text, sizeof(text));
		doctor_tell(
			d, FINDING_FAULT, "policy/broken", "gntdevctl policy check",
			"the daemon does not start with it, nor take it at a reload: mend the file",
			"%s", text);
		return;
	}
	policy_free(p);
	if (access(path, F_OK))
		doctor_tell(d, FINDING_INFO, "policy/none", "",
			    "whoever may open the device may map, within the default limits",
			    "%s is not there", file);
	else
		doctor_tell(d, FINDING_OK, "policy/ok", "", "", "%s has no mistakes", file);
}
