/* SPDX-License-Identifier: MIT */
/*
 * xen/event.c - event channels: unmap notifications of a real Xen
 *
 * The kernel's driver keeps a reference on the port of a notification, so that the event is sent also
 * when the client that bound the port has closed it, or has died: just then the other side wants to
 * be told. Xen has no such references, but Linux has: a port that a process has bound through
 * /dev/xen/evtchn lives as long as that open file. So when a notification is set, the caller's open
 * files of that device are taken along (pidfd_getfd(2)), and the event is sent through the one
 * that has the port; Linux says ENOTCONN for the others. (They cannot be tried before: the only thing
 * to be done with a port is to send an event.) The other ports of that file stay bound for as long,
 * too: until the map is released, which soon follows the end of its client. They are lent by the keeper as "port.N.I", so that
 * a successor has them although the client has gone. It has a place for LENT_PORTS of them: a notification whose files
 * find none is refused (ENOSPC), as its client relies on the event.
 *
 * Where that does not work (a client that is not root, whose descriptors we do not touch; a port
 * of a process that has passed on its number only) the event is sent by a hypercall, if the port is
 * still there. Xen knows what a port is bound to, but not who in this domain bound it: a port of
 * the kernel's own interdomain channels passes, and a client can send an event on it. The other domain
 * sees a spurious one, for which event channels have to be prepared anyway.
 */
#include "xen/layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <xen/sys/evtchn.h>

#include "base/log.h"
#include "state/lent.h"

/* Open files of one caller that are taken along. */
#define FILES_MAX 16

/**
 * struct port - a port that notifications refer to
 * @refs:  how many
 * @files: open files of /dev/xen/evtchn, one of which may have it
 */
struct port {
	struct cds_list_head node;
	uint32_t number;
	uint32_t refs;
	unsigned int n;
	int file[FILES_MAX];
};

/**
 * struct ports - those that are referred to
 * @change: for who adds or removes one, and tells the keeper; then @lock, for the list
 * @kept:   files that the keeper has, with @change
 * @device: number of /dev/xen/evtchn, 0 if it is not there
 */
struct ports {
	pthread_mutex_t change;
	pthread_mutex_t lock;
	struct cds_list_head all;
	unsigned int kept;
	dev_t device;
};

struct ports *ports_new(void)
{
	struct ports *ps = calloc(1, sizeof(*ps));
	struct stat st;

	if (!ps)
		return NULL;
	pthread_mutex_init(&ps->change, NULL);
	pthread_mutex_init(&ps->lock, NULL);
	CDS_INIT_LIST_HEAD(&ps->all);
	if (stat("/dev/xen/evtchn", &st) == 0 && S_ISCHR(st.st_mode))
		ps->device = st.st_rdev;
	return ps;
}

static void port_free(struct port *p)
{
	while (p->n)
		close(p->file[--p->n]);
	free(p);
}

void ports_free(struct ports *ps)
{
	struct port *p, *next;

	if (!ps)
		return;
	cds_list_for_each_entry_safe(p, next, &ps->all, node) port_free(p);
	pthread_mutex_destroy(&ps->lock);
	pthread_mutex_destroy(&ps->change);
	free(ps);
}

/* --- the caller's files ------------------------------------------------------------------------- */

/* The process of a thread, 0 if it has gone. */
static pid_t process_of(pid_t tid)
{
	char path[40], line[128];
	int pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (!pid && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %d", &pid) != 1)
			pid = 0;
	fclose(f);
	return pid;
}

/* Going by its name first: looking into any other file may take as long as the client likes. */
static bool is_named_evtchn(int dirfd, const char *name)
{
	static const char evtchn[] = "/xen/evtchn";
	char path[64];
	ssize_t n = readlinkat(dirfd, name, path, sizeof(path));

	return n >= (ssize_t)sizeof(evtchn) - 1 && n < (ssize_t)sizeof(path) &&
	       !memcmp(path + n - (sizeof(evtchn) - 1), evtchn, sizeof(evtchn) - 1);
}

static void take_file(const struct ports *ps, struct port *p, int pidfd, int fd)
{
	int taken = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	struct stat st;

	if (taken < 0)
		return;
	if (fstat(taken, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == ps->device)
		p->file[p->n++] = taken;
	else
		close(taken);
}

static void take_files(const struct ports *ps, struct port *p, pid_t tid)
{
	pid_t pid = process_of(tid);
	int pidfd = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	const struct dirent *e;
	char path[40];
	DIR *dir;

	if (pidfd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && p->n < FILES_MAX && (e = readdir(dir)))
		if (e->d_name[0] != '.' && is_named_evtchn(dirfd(dir), e->d_name))
			take_file(ps, p, pidfd, atoi(e->d_name));
	if (dir)
		closedir(dir);
	close(pidfd);
}

/* With the lock. */
static struct port *find(struct ports *ps, uint32_t number)
{
	struct port *p;

	cds_list_for_each_entry(p, &ps->all, node)
		if (p->number == number)
			return p;
	return NULL;
}

/* --- what the keeper has of them ---------------------------------------------------------------- */

static void file_name(const struct port *p, unsigned int i, char name[KEEP_NAME])
{
	snprintf(name, KEEP_NAME, "port.%u.%u", p->number, i);
}

/* The first @n of them. */
static void drop_files(struct ports *ps, struct lent *lent, const struct port *p, unsigned int n)
{
	char name[KEEP_NAME];

	for (unsigned int i = 0; i < n; i++) {
		file_name(p, i, name);
		lent_drop(lent, name);
	}
	ps->kept -= n;
}

/* All or none. Return: 0; -ENOSPC: there is no place for them; -errno. */
static int give_files(struct ports *ps, struct lent *lent, const struct port *p)
{
	char name[KEEP_NAME];
	int err;

	if (ps->kept + p->n > LENT_PORTS)
		return -ENOSPC;
	for (unsigned int i = 0; i < p->n; i++) {
		file_name(p, i, name);
		err = lent_give(lent, name, p->file[i]);
		if (err) {
			drop_files(ps, lent, p, i);
			return err == -ENFILE ? -ENOSPC : err;
		}
		ps->kept++;
	}
	return 0;
}

/* At adoption: those that a predecessor had. */
static void take_kept(struct lent *lent, struct port *p)
{
	char name[KEEP_NAME];
	int fd;

	for (; p->n < FILES_MAX; p->n++) {
		file_name(p, p->n, name);
		fd = lent_take(lent, name);
		if (fd < 0)
			return;
		p->file[p->n] = fd;
	}
}

/* Whether it is a file of a port that no map refers to: who was killed while it gave or dropped them left it. */
static bool is_left_over(struct ports *ps, const char *name)
{
	unsigned int number, i;
	const struct port *p;
	bool left;

	if (sscanf(name, "port.%u.%u", &number, &i) != 2)
		return false;
	pthread_mutex_lock(&ps->lock);
	p = find(ps, number);
	left = !p || i >= p->n;
	pthread_mutex_unlock(&ps->lock);
	return left;
}

void xen_ports_adopted(struct ports *ps, struct lent *lent)
{
	char name[KEEP_NAME] = "", before[KEEP_NAME] = "";

	while (!lent_next(lent, name)) {
		if (!is_left_over(ps, name)) {
			memcpy(before, name, sizeof(before));
			continue;
		}
		if (lent_drop(lent, name))
			return;
		memcpy(name, before, sizeof(name));
	}
}

/* --- the interface of hypercall.h --------------------------------------------------------------- */

static int check_port(struct xen *x, uint32_t number)
{
	struct journal_batch *b = privcmd_batch_get(x->pc);
	int err;

	b->port = (struct evtchn_status){ .dom = DOMID_SELF, .port = number };
	err = privcmd_event(x->pc, EVTCHNOP_status, b);
	if (err ||
	    (b->port.status != EVTCHNSTAT_interdomain && b->port.status != EVTCHNSTAT_unbound))
		err = -EINVAL;
	privcmd_batch_put(x->pc, b);
	return err;
}

/* Another reference on a port that is known. Return: whether it is. */
static bool refer(struct ports *ps, uint32_t number)
{
	struct port *p;

	pthread_mutex_lock(&ps->lock);
	p = find(ps, number);
	if (p)
		p->refs++;
	pthread_mutex_unlock(&ps->lock);
	return p != NULL;
}

/* With @change, for a port that nobody has added. Return: as give_files(). */
static int add_new(struct xen *x, struct port *p)
{
	struct ports *ps = x->ports;
	int err = 0;

	if (x->adopting)
		ps->kept += p->n;
	else
		err = give_files(ps, x->lent, p);
	if (err)
		return err;
	pthread_mutex_lock(&ps->lock);
	cds_list_add(&p->node, &ps->all);
	pthread_mutex_unlock(&ps->lock);
	return 0;
}

/* Unless somebody else has come first. @p: the ports' from now on, also on failure. Return: as give_files(). */
static int add_port(struct xen *x, struct port *p)
{
	bool known;
	int err = 0;

	pthread_mutex_lock(&x->ports->change);
	known = refer(x->ports, p->number);
	if (!known)
		err = add_new(x, p);
	pthread_mutex_unlock(&x->ports->change);
	if (known || err)
		port_free(p);
	return err;
}

int xen_port_get(struct hypervisor *hv, uint32_t number, pid_t tid)
{
	struct xen *x = (struct xen *)hv;
	struct port *p;
	int err = check_port(x, number);

	if (err)
		return err;
	if (!refer(x->ports, number)) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->number = number;
		p->refs = 1;
		if (x->adopting)
			take_kept(x->lent, p);
		else if (tid && x->ports->device)
			take_files(x->ports, p, tid);
		err = add_port(x, p);
		if (err)
			return err;
	}
	__atomic_fetch_add(&x->port_refs, 1, __ATOMIC_RELAXED);
	return 0;
}

void xen_port_put(struct hypervisor *hv, uint32_t number)
{
	struct xen *x = (struct xen *)hv;
	struct port *p;

	pthread_mutex_lock(&x->ports->change);
	pthread_mutex_lock(&x->ports->lock);
	p = find(x->ports, number);
	if (p && --p->refs == 0)
		cds_list_del(&p->node);
	else
		p = NULL;
	pthread_mutex_unlock(&x->ports->lock);
	if (p)
		drop_files(x->ports, x->lent, p, p->n);
	pthread_mutex_unlock(&x->ports->change);
	if (p)
		port_free(p);
	__atomic_fetch_sub(&x->port_refs, 1, __ATOMIC_RELAXED);
}

/* Return: whether one of the files had the port; then *@err is how it went. */
static bool send_by_file(struct ports *ps, uint32_t number, int *err)
{
	struct ioctl_evtchn_notify notify = { .port = number };
	bool sent = false;
	struct port *p;

	pthread_mutex_lock(&ps->lock);
	cds_list_for_each_entry(p, &ps->all, node) {
		for (unsigned int i = 0; p->number == number && i < p->n && !sent; i++) {
			*err = ioctl(p->file[i], IOCTL_EVTCHN_NOTIFY, &notify) ? -errno : 0;
			sent = *err != -ENOTCONN;
		}
	}
	pthread_mutex_unlock(&ps->lock);
	return sent;
}

int xen_port_send(struct hypervisor *hv, uint32_t number)
{
	struct xen *x = (struct xen *)hv;
	struct journal_batch *b;
	int err;

	if (send_by_file(x->ports, number, &err))
		return err;
	b = privcmd_batch_get(x->pc);
	b->send = (struct evtchn_send){ .port = number };
	err = privcmd_event(x->pc, EVTCHNOP_send, b);
	privcmd_batch_put(x->pc, b);
	return err;
}
