/* SPDX-License-Identifier: MIT */
/*
 * load.c - clients that do all that clients do, and never expect an error: load FILE DOMID REF N [GNTALLOC]
 *
 * REF to REF + N - 1 are grants of DOMID to be mapped writable, a page of its own for each thread. What was written
 * through a mapping is read back by GRANT_COPY, and the other way round, so that it is seen whether a mapping still
 * shows the granter's page. FILE is a struct load_shared (load.h). GNTALLOC is a device by which DOMID grants: pages are
 * granted, copied from, and given back. A quarter of the threads are another user's, and
 * reach the daemon through its socket; all of them get signals; children are forked that hold windows, and killed.
 * To be started by gntdev-run.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/sys/gntalloc.h>
#include <xen/sys/gntdev.h>

#include "tests/uml/load.h"

#define PAGE	 4096UL
#define MAPS_MAX 40
/*
 * The byte of notifications. Until the grant is unmapped a successor may clear it once more, after it was seen cleared and
 * written again (docs/differences.md).
 */
#define CLEARED	  77
#define PER_GROUP 4
#define NOBODY	  65534

static struct load_shared *shared;
static uint32_t domid, first_ref, n_refs;
static const char *gntalloc;

/**
 * struct thread - one of them
 * @index: of maps that it has and has not mapped
 * @kept:  a mapping that outlives many kills, with its map's index; @salt: what is in it
 */
struct thread {
	unsigned int id;
	unsigned int seed;
	uint32_t ref;
	int fd;
	unsigned int n;
	uint64_t index[MAPS_MAX];
	unsigned char *kept;
	uint64_t kept_index;
	unsigned int salt;
};

/* --- what is told ------------------------------------------------------------------------------- */

static void failed(const struct thread *t, const char *what)
{
	int err = errno;

	if (__atomic_add_fetch(&shared->errors, 1, __ATOMIC_RELAXED) < 20)
		fprintf(stderr, "thread %u of %d: %s: %s\n", t->id, (int)getpid(), what,
			strerror(err));
}

static void wrong(const struct thread *t, const char *what)
{
	if (__atomic_add_fetch(&shared->wrong, 1, __ATOMIC_RELAXED) < 20)
		fprintf(stderr, "thread %u of %d: %s\n", t->id, (int)getpid(), what);
}

static uint64_t begin(void)
{
	return now_us();
}

static bool end(const struct thread *t, uint64_t start, const char *what, bool good)
{
	uint64_t us, worst = __atomic_load_n(&shared->worst, __ATOMIC_RELAXED);

	if (!good)
		failed(t, what);
	us = now_us() - start;
	while (us > worst && !__atomic_compare_exchange_n(&shared->worst, &worst, us, false,
							  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	__atomic_add_fetch(&shared->calls, 1, __ATOMIC_RELAXED);
	return good;
}

/* --- calls -------------------------------------------------------------------------------------- */

static bool map(struct thread *t, uint64_t *index)
{
	struct ioctl_gntdev_map_grant_ref op = { .count = 1, .refs = { { domid, t->ref } } };
	uint64_t start = begin();

	if (!end(t, start, "MAP_GRANT_REF", !ioctl(t->fd, IOCTL_GNTDEV_MAP_GRANT_REF, &op)))
		return false;
	*index = op.index;
	for (unsigned int i = 0; i < t->n; i++)
		if (t->index[i] == op.index)
			wrong(t, "an index was given twice");
	if (t->kept && op.index == t->kept_index)
		wrong(t, "the index of a map that is in use was given again");
	return true;
}

static void unmap(struct thread *t, uint64_t index)
{
	struct ioctl_gntdev_unmap_grant_ref op = { .index = index, .count = 1 };
	uint64_t start = begin();

	end(t, start, "UNMAP_GRANT_REF", !ioctl(t->fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &op));
}

static unsigned char *show(struct thread *t, uint64_t index)
{
	uint64_t start = begin();
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, (off_t)index);

	return end(t, start, "mmap", p != MAP_FAILED) ? p : NULL;
}

static void hide(struct thread *t, void *p)
{
	uint64_t start = begin();

	end(t, start, "munmap", !munmap(p, PAGE));
}

static bool copy(struct thread *t, void *buf, bool to_grant)
{
	struct ioctl_gntdev_grant_copy_segment seg = { .len = PAGE };
	struct ioctl_gntdev_grant_copy op = { .count = 1, .segments = &seg };
	uint64_t start = begin();
	bool good;

	if (to_grant) {
		seg.flags = GNTCOPY_dest_gref;
		seg.source.virt = buf;
		seg.dest.foreign.ref = t->ref;
		seg.dest.foreign.domid = (domid_t)domid;
	} else {
		seg.flags = GNTCOPY_source_gref;
		seg.dest.virt = buf;
		seg.source.foreign.ref = t->ref;
		seg.source.foreign.domid = (domid_t)domid;
	}
	errno = EPROTO;
	good = !ioctl(t->fd, IOCTL_GNTDEV_GRANT_COPY, &op) && !seg.status;
	return end(t, start, "GRANT_COPY", good);
}

static void look(struct thread *t, void *p, uint64_t index)
{
	struct ioctl_gntdev_get_offset_for_vaddr op = { .vaddr = (uintptr_t)p };
	uint64_t start = begin();

	if (!end(t, start, "GET_OFFSET_FOR_VADDR",
		 !ioctl(t->fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &op)))
		return;
	if (op.offset != index || op.count != 1)
		wrong(t, "GET_OFFSET_FOR_VADDR tells of another map");
}

static void notify(struct thread *t, uint64_t byte)
{
	struct ioctl_gntdev_unmap_notify op = { .index = byte, .action = UNMAP_NOTIFY_CLEAR_BYTE };
	uint64_t start = begin();

	end(t, start, "SET_UNMAP_NOTIFY", !ioctl(t->fd, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &op));
}

/* --- what is in memory -------------------------------------------------------------------------- */

static void fill(unsigned char *p, unsigned int salt)
{
	for (unsigned int i = 0; i < PAGE; i++)
		p[i] = (unsigned char)((i * 13 + salt) | 1);
}

static bool is_full(const unsigned char *p, unsigned int salt)
{
	for (unsigned int i = 0; i < PAGE; i++) {
		if (i == CLEARED || p[i] == (unsigned char)((i * 13 + salt) | 1))
			continue;
		fprintf(stderr, "byte %u is %u\n", i, p[i]);
		return false;
	}
	return true;
}

/* The window that was kept shows the page still, in both directions. */
static void check_kept(struct thread *t)
{
	static __thread unsigned char buf[PAGE];

	if (!t->kept)
		return;
	if (!is_full(t->kept, t->salt))
		wrong(t, "a window that was kept has changed");
	fill(t->kept, ++t->salt);
	if (copy(t, buf, false) && !is_full(buf, t->salt))
		wrong(t, "what was written through a window has not come to the granter");
	fill(buf, ++t->salt);
	if (copy(t, buf, true) && !is_full(t->kept, t->salt))
		wrong(t, "what is in the granter's page is not seen through a window");
}

/* --- steps of the load -------------------------------------------------------------------------- */

static void add_map(struct thread *t)
{
	if (t->n < MAPS_MAX && map(t, &t->index[t->n]))
		t->n++;
}

static void drop_map(struct thread *t)
{
	if (t->n)
		unmap(t, t->index[--t->n]);
}

/* Whether the byte that a notification clears is cleared, soon. */
static void expect_cleared(struct thread *t, unsigned int byte)
{
	static __thread unsigned char buf[PAGE];

	for (int tries = 0; tries < 3000; tries++) {
		if (!copy(t, buf, false) || !buf[byte])
			return;
		usleep(10000);
	}
	wrong(t, "a byte was not cleared at the end of a window");
}

/* A window from its beginning to its end, with a child that holds it or a notification now and then. */
static void window(struct thread *t)
{
	unsigned int how = (unsigned int)rand_r(&t->seed) % 8;
	unsigned char *p;
	uint64_t index;
	pid_t child = -1;

	if (t->kept || !map(t, &index))
		return;
	p = show(t, index);
	if (p) {
		fill(p, 1);
		look(t, p, index);
		if (how == 0)
			notify(t, index + CLEARED);
		if (how == 1)
			child = fork();
		if (!child) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			usleep(2000);
			_exit(0);
		}
		hide(t, p);
		if (how == 0)
			expect_cleared(t, CLEARED);
	}
	unmap(t, index);
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

static void keep(struct thread *t)
{
	if (!map(t, &t->kept_index))
		return;
	t->kept = show(t, t->kept_index);
	if (t->kept)
		fill(t->kept, t->salt);
	else
		unmap(t, t->kept_index);
}

static void let_go(struct thread *t)
{
	if (!t->kept)
		return;
	check_kept(t);
	hide(t, t->kept);
	t->kept = NULL;
	unmap(t, t->kept_index);
}

/* What is written into a page that we grant is there for whoever has its reference. */
static void see_granted(struct thread *t, int fd, const struct ioctl_gntalloc_alloc_gref *op)
{
	static __thread unsigned char buf[PAGE];
	struct ioctl_gntalloc_unmap_notify notify = { .index = op->index + 77,
						      .action = UNMAP_NOTIFY_CLEAR_BYTE };
	uint32_t ref = t->ref;
	uint64_t start = begin();
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)op->index);

	if (!end(t, start, "mmap of gntalloc", p != MAP_FAILED))
		return;
	fill(p, t->seed);
	t->ref = op->gref_ids[0];
	if (copy(t, buf, false) && memcmp(buf, p, PAGE))
		wrong(t, "a page that was granted is another");
	t->ref = ref;
	start = begin();
	end(t, start, "SET_UNMAP_NOTIFY of gntalloc",
	    !ioctl(fd, IOCTL_GNTALLOC_SET_UNMAP_NOTIFY, &notify));
	hide(t, p);
}

/* Given back by DEALLOC_GREF, or by the close. */
static void grant(struct thread *t)
{
	struct ioctl_gntalloc_alloc_gref op = { .flags = GNTALLOC_FLAG_WRITABLE, .count = 1 };
	struct ioctl_gntalloc_dealloc_gref back = { .count = 1 };
	uint64_t start = begin();
	int fd = open(gntalloc, O_RDWR | O_CLOEXEC);

	if (!end(t, start, "open of gntalloc", fd >= 0))
		return;
	start = begin();
	if (end(t, start, "ALLOC_GREF", !ioctl(fd, IOCTL_GNTALLOC_ALLOC_GREF, &op))) {
		see_granted(t, fd, &op);
		back.index = op.index;
		start = begin();
		if (rand_r(&t->seed) % 2)
			end(t, start, "DEALLOC_GREF",
			    !ioctl(fd, IOCTL_GNTALLOC_DEALLOC_GREF, &back));
	}
	start = begin();
	end(t, start, "close of gntalloc", !close(fd));
}

static void open_again(struct thread *t)
{
	uint64_t start;

	if (t->fd >= 0) {
		if (t->kept)
			hide(t, t->kept);
		t->kept = NULL;
		t->n = 0;
		start = begin();
		end(t, start, "close", !close(t->fd));
	}
	do {
		start = begin();
		t->fd = open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC);
		if (!end(t, start, "open", t->fd >= 0))
			usleep(10000);
	} while (t->fd < 0 && !__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE));
}

static void any_step(struct thread *t)
{
	int op = rand_r(&t->seed) % 100;

	if (op < 36)
		add_map(t);
	else if (op < 66)
		drop_map(t);
	else if (op < 84)
		window(t);
	else if (op < 92)
		check_kept(t);
	else if (op < 95)
		t->kept ? let_go(t) : keep(t);
	else if (op < 98 && !t->kept)
		keep(t);
	else if (op >= 98)
		open_again(t);
	else if (gntalloc)
		grant(t);
}

/* Hold a known number of things, say so, and let go of them when all others have been counted. */
static void come_to_an_end(struct thread *t)
{
	if (!t->kept)
		keep(t);
	check_kept(t);
	__atomic_add_fetch(&shared->opens, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&shared->maps, t->n + (t->kept ? 1 : 0), __ATOMIC_RELAXED);
	__atomic_add_fetch(&shared->windows, t->kept ? 1 : 0, __ATOMIC_RELAXED);
	__atomic_add_fetch(&shared->done, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE) < 2)
		usleep(10000);
	while (t->n)
		drop_map(t);
	let_go(t);
	close(t->fd);
}

static void *run(void *arg)
{
	struct thread *t = arg;

	open_again(t);
	__atomic_add_fetch(&shared->started, 1, __ATOMIC_RELAXED);
	while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
		any_step(t);
		shared->progress[t->id]++;
	}
	come_to_an_end(t);
	return NULL;
}

/* --- processes ---------------------------------------------------------------------------------- */

static void on_signal(int sig)
{
	(void)sig;
}

static void group(unsigned int first, unsigned int n, bool other_user)
{
	struct itimerval timer = { { 0, 7000 }, { 0, 7000 } };
	struct sigaction action = { .sa_handler = on_signal };
	static struct thread thread[LOAD_THREADS];
	pthread_t id[LOAD_THREADS];

	if (other_user && (setgid(NOBODY) || setuid(NOBODY)))
		_exit(3);
	prctl(PR_SET_DUMPABLE, 1);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	for (unsigned int i = 0; i < n; i++) {
		thread[i] = (struct thread){ .id = first + i,
					     .seed = first + i + 1,
					     .ref = first_ref + first + i,
					     .fd = -1 };
		if (pthread_create(&id[i], NULL, run, &thread[i]))
			_exit(4);
	}
	for (unsigned int i = 0; i < n; i++)
		pthread_join(id[i], NULL);
}

/* Others that map, and are killed while they do. */
static void churn(void)
{
	struct thread t = { .id = LOAD_THREADS - 1, .seed = 99, .ref = first_ref, .fd = -1 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		open_again(&t);
		for (int i = 0; i < 20; i++)
			add_map(&t);
	}
}

static void churn_until_stop(void)
{
	unsigned int seed = 7;
	pid_t pid = fork();

	for (;;) {
		if (!pid)
			churn();
		if (__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE))
			break;
		usleep((useconds_t)(20000 + rand_r(&seed) % 100000));
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		pid = fork();
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	unsigned int first = 0, n;
	int status, bad = 0;

	if (argc < 5 || !(shared = map_file(argv[1], sizeof(*shared)))) {
		fprintf(stderr, "usage: load FILE DOMID REF N [GNTALLOC]\n");
		return 2;
	}
	domid = (uint32_t)atoi(argv[2]);
	first_ref = (uint32_t)atoi(argv[3]);
	n_refs = (uint32_t)atoi(argv[4]);
	gntalloc = argv[5];
	for (unsigned int g = 0; first < n_refs && first < LOAD_THREADS - 1; g++, first += n) {
		n = n_refs - first < PER_GROUP ? n_refs - first : PER_GROUP;
		if (!fork()) {
			group(first, n, g % 4 == 3);
			exit(0);
		}
	}
	churn_until_stop();
	while (wait(&status) > 0)
		bad |= status;
	return bad || shared->errors || shared->wrong;
}
