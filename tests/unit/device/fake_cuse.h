/* SPDX-License-Identifier: MIT */
/*
 * fake_cuse.h - a kernel with a CUSE device, and what a keeper holds of it
 *
 * /dev/cuse is a pair of sockets: a message is a request or an answer. device/session.c has it instead of the kernel's, by
 * doubles of device/node.h, of splice(2) and of state/lent.h. All of it lies in shared memory, and so a daemon can be a
 * process that shares our descriptors (fake_cuse_daemon()), and be killed.
 */
#ifndef FAKE_CUSE_H
#define FAKE_CUSE_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "device/node.h"
#include "state/lent.h"

#define FAKE_REQUESTS 256

/**
 * struct fake_answer - what a request was answered
 * @times:  that is, how often: all the same
 * @error:  0 or -errno
 * @result: of an ioctl
 * @fh:     of an open
 * @bytes:  of the whole answer; @sum of them
 */
struct fake_answer {
	unsigned int times;
	int error;
	int result;
	uint64_t fh;
	size_t bytes;
	uint64_t sum;
};

#define MESSAGE_MAX 150000
#define HELD_MAX    64

/* @fd: 0: not there yet, or its giver was killed before */
struct held {
	char name[KEEP_NAME];
	int fd;
};

static struct {
	int ours, theirs;
	uint64_t sent;
	pthread_mutex_t lock;
	struct fake_answer answer[FAKE_REQUESTS];
	unsigned int wakes; /* of who polls; the last was @woken */
	uint64_t woken;
	struct {
		unsigned int n;
		struct held held[HELD_MAX];
		int splice_error;
	} * keeper;
} cuse = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* --- the keeper --------------------------------------------------------------------------------- */

/* Without a lock: whoever held it might be killed. */
static struct held *find(const char *name)
{
	for (unsigned int i = 0; i < HELD_MAX; i++) {
		struct held *h = &cuse.keeper->held[i];

		if (__atomic_load_n(&h->fd, __ATOMIC_ACQUIRE) && !strcmp(h->name, name))
			return h;
	}
	return NULL;
}

int lent_take(struct lent *l, const char *name)
{
	const struct held *h = find(name);

	(void)l;
	return h ? fcntl(h->fd, F_DUPFD_CLOEXEC, 0) : -ENOENT;
}

int lent_give(struct lent *l, const char *name, int fd)
{
	struct held *h;

	if (!l)
		return 0;
	h = find(name);
	if (!h) {
		unsigned int i = __atomic_fetch_add(&cuse.keeper->n, 1, __ATOMIC_RELAXED);

		ck_assert_uint_lt(i, HELD_MAX);
		h = &cuse.keeper->held[i];
		strcpy(h->name, name);
	}
	__atomic_store_n(&h->fd, fcntl(fd, F_DUPFD_CLOEXEC, 1), __ATOMIC_RELEASE);
	return 0;
}

/* --- /dev/cuse ---------------------------------------------------------------------------------- */

int node_open_cuse(char *why, size_t size)
{
	(void)why;
	(void)size;
	return cuse.theirs;
}

long node_waiting(const char *name)
{
	(void)name;
	return -1;
}

/* The next thread that goes to receive a request gets this errno. */
static inline void fake_splice_error(int error)
{
	__atomic_store_n(&cuse.keeper->splice_error, error, __ATOMIC_RELEASE);
}

/* From the sockets to a pipe, and back. */
ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t len, unsigned int flags)
{
	static __thread char buf[MESSAGE_MAX];
	struct stat st;
	ssize_t n;

	ck_assert(!from_at && !to_at && !flags && !fstat(from, &st));
	if (S_ISSOCK(st.st_mode)) {
		errno = __atomic_exchange_n(&cuse.keeper->splice_error, 0, __ATOMIC_ACQ_REL);
		if (errno)
			return -1;
		n = recv(from, buf, sizeof(buf), 0);
		ck_assert_int_le(n, (ssize_t)len);
		return n > 0 ? write(to, buf, (size_t)n) : n;
	}
	ck_assert_uint_le(len, sizeof(buf));
	ck_assert_int_eq(read(from, buf, len), (ssize_t)len);
	return send(to, buf, len, 0);
}

/* --- requests ----------------------------------------------------------------------------------- */

static uint64_t request(uint32_t opcode, const void *in, size_t in_len, size_t more)
{
	static char buf[MESSAGE_MAX];
	struct fuse_in_header h = {
		.len = (uint32_t)(sizeof(h) + in_len + more),
		.opcode = opcode,
		.unique = 2 * ++cuse.sent,
		.pid = (uint32_t)getpid(),
	};

	ck_assert_uint_lt(cuse.sent, FAKE_REQUESTS);
	ck_assert_uint_le(h.len, sizeof(buf));
	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), in, in_len);
	memset(buf + sizeof(h) + in_len, 0x5a, more);
	ck_assert_int_eq(send(cuse.ours, buf, h.len, 0), h.len);
	return h.unique;
}

static inline uint64_t fake_open(void)
{
	const struct fuse_open_in in = { .flags = O_RDWR };

	return request(FUSE_OPEN, &in, sizeof(in), 0);
}

static inline uint64_t fake_release(uint64_t fh)
{
	const struct fuse_release_in in = { .fh = fh };

	return request(FUSE_RELEASE, &in, sizeof(in), 0);
}

/* @len: bytes of 0x5a that the kernel has copied in. */
static inline uint64_t fake_ioctl(uint64_t fh, uint32_t cmd, size_t len, size_t out_len)
{
	const struct fuse_ioctl_in in = {
		.fh = fh,
		.flags = FUSE_IOCTL_UNRESTRICTED,
		.cmd = cmd,
		.in_size = (uint32_t)len,
		.out_size = (uint32_t)out_len,
	};

	return request(FUSE_IOCTL, &in, sizeof(in), len);
}

static inline uint64_t fake_read(uint64_t fh, uint32_t size, uint32_t flags)
{
	const struct fuse_read_in in = { .fh = fh, .size = size, .flags = flags };

	return request(FUSE_READ, &in, sizeof(in), 0);
}

/* @len: bytes of 0x5a. */
static inline uint64_t fake_write(uint64_t fh, uint32_t len)
{
	const struct fuse_write_in in = { .fh = fh, .size = len };

	return request(FUSE_WRITE, &in, sizeof(in), len);
}

/* @kh: whom to wake; 0: nobody waits. */
static inline uint64_t fake_poll(uint64_t fh, uint64_t kh)
{
	const struct fuse_poll_in in = { .fh = fh,
					 .kh = kh,
					 .flags = kh ? FUSE_POLL_SCHEDULE_NOTIFY : 0 };

	return request(FUSE_POLL, &in, sizeof(in), 0);
}

/* A caller was sent a signal. There is no answer to that. */
static inline uint64_t fake_interrupt(uint64_t of)
{
	const struct fuse_interrupt_in in = { .unique = of };
	uint64_t unique = request(FUSE_INTERRUPT, &in, sizeof(in), 0);

	cuse.answer[unique / 2].times = 1;
	return unique;
}

/* --- answers ------------------------------------------------------------------------------------ */

/* Locked. Return: whether it was no answer. */
static bool note_wake(const struct fuse_out_header *h)
{
	const struct fuse_notify_poll_wakeup_out *out = (const void *)(h + 1);

	if (h->unique || h->error != FUSE_NOTIFY_POLL)
		return false;
	ck_assert_uint_eq(h->len, sizeof(*h) + sizeof(*out));
	cuse.wakes++;
	cuse.woken = out->kh;
	return true;
}

static void note(struct fake_answer *a, const struct fuse_out_header *h, size_t n)
{
	const unsigned char *byte = (const unsigned char *)h;
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + byte[i];
	/* What is answered twice is the same answer. */
	ck_assert(!a->times || (a->sum == sum && a->bytes == n));
	a->times++;
	a->bytes = n;
	a->sum = sum;
	a->error = h->error;
	if (n >= sizeof(*h) + sizeof(a->fh))
		memcpy(&a->fh, h + 1, sizeof(a->fh));
	memcpy(&a->result, &a->fh, sizeof(a->result));
}

/* Locked. */
static void receive_answers(void)
{
	static union {
		struct fuse_out_header h;
		char bytes[MESSAGE_MAX];
	} m;
	ssize_t n;

	while ((n = recv(cuse.ours, &m, sizeof(m), MSG_DONTWAIT)) > 0) {
		ck_assert_uint_ge((size_t)n, sizeof(m.h));
		ck_assert_uint_eq((size_t)n, m.h.len);
		if (note_wake(&m.h))
			continue;
		ck_assert(m.h.unique && m.h.unique <= 2 * cuse.sent);
		note(&cuse.answer[m.h.unique / 2], &m.h, (size_t)n);
	}
}

/* Wait for an answer. Return: NULL if there is none within @ms. */
static inline const struct fake_answer *fake_answer(uint64_t unique, unsigned int ms)
{
	const struct fake_answer *a = &cuse.answer[unique / 2];
	unsigned int times = 0;

	for (unsigned int waited = 0; !times && waited <= ms; waited++) {
		struct pollfd p = { .fd = cuse.ours, .events = POLLIN };

		poll(&p, 1, waited ? 1 : 0);
		pthread_mutex_lock(&cuse.lock);
		receive_answers();
		times = a->times;
		pthread_mutex_unlock(&cuse.lock);
	}
	return times ? a : NULL;
}

/* --- the whole ---------------------------------------------------------------------------------- */

/* Run @fn as a process that has our descriptors, also those that it makes itself. */
static inline pid_t fake_cuse_daemon(void (*fn)(void))
{
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

	ck_assert_int_ge(pid, 0);
	if (!pid) {
		fn();
		_exit(0);
	}
	return pid;
}

static inline void fake_cuse_begin(void)
{
	const struct cuse_init_in in = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.flags = CUSE_UNRESTRICTED_IOCTL,
	};
	int sock[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
	cuse.ours = sock[0];
	cuse.theirs = sock[1];
	cuse.keeper = mmap(NULL, sizeof(*cuse.keeper), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(cuse.keeper, MAP_FAILED);
	request(CUSE_INIT, &in, sizeof(in), 0);
}

/* Every request has been answered. */
static inline void fake_cuse_end(void)
{
	receive_answers();
	for (uint64_t i = 1; i <= cuse.sent; i++)
		ck_assert_msg(cuse.answer[i].times > 0, "request %d was not answered", (int)i);
	close(cuse.ours);
}

#endif /* FAKE_CUSE_H */
