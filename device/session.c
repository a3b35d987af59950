/* SPDX-License-Identifier: MIT */
/*
 * device/session.c - a CUSE device and the threads that serve it
 *
 * libfuse's low level parses requests and forms answers; reading, writing and threads are ours:
 *
 * - Custom io, so that the descriptor of /dev/cuse is ours to keep.
 * - A pool of equal workers, each in a blocking read(2) on the one descriptor that CUSE has (its
 *   channel cannot be cloned). libfuse's own pool ends its threads by pthread_cancel(), which can
 *   take a request along, and gives no place to register with RCU.
 * - A worker is stopped by a flag and a signal that makes its read(2) return. The signal is sent
 *   again until the thread has gone, since one that comes just before the read is lost.
 *
 * A file handle is the device's open id, never a pointer.
 */
#define FUSE_USE_VERSION 314

#include "device/session.h"

#include <cuse_lowlevel.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rcu.h"
#include "base/wake.h"

/* As long as the name of a device can be in sysfs. */
#define NAME_MAX_BYTES 255

/*
 * struct worker - one thread
 * @turn: odd while it has a request, changed by each
 * @seen: what session_relieve() saw last
 */
struct worker {
	struct session *s;
	pthread_t thread;
	unsigned int turn;
	unsigned int seen;
	bool ended;
};

struct session {
	struct device *dev;
	struct fuse_session *se;
	int fd;
	bool stopping;
	bool draining;
	bool hands_off; /* some worker is held up by its caller's memory */
	unsigned int n_workers;
	unsigned int n_started;
	struct worker worker[SESSION_WORKERS_MAX];
};

/* A request as the device sees it, and libfuse's handle for its answer. */
struct session_request {
	struct request rq;
	fuse_req_t req;
	const struct session *s;
	bool heap;
};

static struct session_request *to_session_request(struct request *rq)
{
	return (struct session_request *)rq;
}

static void forget(struct session_request *sr)
{
	if (sr->heap)
		free(sr);
}

/*
 * A failed answer means that the kernel no longer knows the request (aborted): there is nobody to
 * tell, and libfuse has freed the handle.
 */
static void session_done(struct request *rq, int result, const void *out, size_t len)
{
	struct session_request *sr = to_session_request(rq);

	/* An error travels as a result too, so that output can go with it. */
	fuse_reply_ioctl(sr->req, result, out, len);
	forget(sr);
}

static void session_retry(struct request *rq, const struct iovec *in, size_t n_in,
			  const struct iovec *out, size_t n_out)
{
	struct session_request *sr = to_session_request(rq);

	fuse_reply_ioctl_retry(sr->req, in, n_in, out, n_out);
	forget(sr);
}

static bool session_waiting(struct request *rq)
{
	return session_alive(to_session_request(rq)->s);
}

static struct request *session_keep(struct request *rq)
{
	struct session_request *sr = to_session_request(rq), *copy;

	if (sr->heap)
		return rq;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return NULL;
	*copy = *sr;
	copy->heap = true;
	/* The read buffer it points into is about to be used again. */
	copy->rq.in = NULL;
	copy->rq.in_len = 0;
	return &copy->rq;
}

static const struct request_ops session_request_ops = {
	.done = session_done,
	.retry = session_retry,
	.waiting = session_waiting,
	.keep = session_keep,
};

static void on_ioctl(fuse_req_t req, int cmd, void *arg, struct fuse_file_info *fi,
		     unsigned int flags, const void *in, size_t in_len, size_t out_len)
{
	struct session *s = fuse_req_userdata(req);
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct session_request sr = {
		.rq = {
			.ops = &session_request_ops,
			.fh = fi->fh,
			.arg = (uintptr_t)arg,
			.in = in,
			.in_len = in_len,
			.out_len = out_len,
			.cmd = (uint32_t)cmd,
			.tid = ctx->pid,
			.uid = ctx->uid,
			.hands_off = __atomic_load_n(&s->hands_off, __ATOMIC_RELAXED),
			.compat = flags & FUSE_IOCTL_COMPAT,
		},
		.req = req,
		.s = s,
	};

	if (s->draining)
		request_done(&sr.rq, -ECONNABORTED, NULL, 0);
	else
		s->dev->ioctl(s->dev, &sr.rq);
}

static void on_open(fuse_req_t req, struct fuse_file_info *fi)
{
	struct session *s = fuse_req_userdata(req);
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	const struct opener by = { .tid = ctx->pid, .uid = ctx->uid, .gid = ctx->gid };
	int err = -ECONNABORTED;

	if (!s->draining)
		err = s->dev->open(s->dev, &by, fi->flags, &fi->fh);
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	/* The client was interrupted and has no descriptor: no release will come. */
	if (fuse_reply_open(req, fi) == -ENOENT)
		s->dev->release(s->dev, fi->fh);
}

static void on_release(fuse_req_t req, struct fuse_file_info *fi)
{
	struct session *s = fuse_req_userdata(req);

	s->dev->release(s->dev, fi->fh);
	fuse_reply_err(req, 0);
}

/* gntdev-abi.md, section 1: read and write are EINVAL (CUSE would say ENOSYS without a handler). */
static void on_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)size;
	(void)off;
	(void)fi;
	fuse_reply_err(req, EINVAL);
}

static void on_write(fuse_req_t req, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	(void)buf;
	on_read(req, size, off, fi);
}

/* No poll: the kernel then answers poll(2) itself as it does for the driver, which has none. */
static const struct cuse_lowlevel_ops session_ops = {
	.open = on_open,
	.release = on_release,
	.read = on_read,
	.write = on_write,
	.ioctl = on_ioctl,
};

static ssize_t io_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, buf, len);
}

static ssize_t io_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	(void)userdata;
	return writev(fd, iov, count);
}

static const struct fuse_custom_io session_io = {
	.read = io_read,
	.writev = io_writev,
};

#define CLASS_PATH_BYTES (NAME_MAX_BYTES + 64)

/* A device's entry below /sys/class/@cls, where '/' in its name is '!', and a file @file in it. */
static void class_path(char *path, const char *cls, const char *name, const char *file)
{
	int n = snprintf(path, CLASS_PATH_BYTES, "/sys/class/%s/", cls);
	char *at = path + n;

	n += snprintf(at, CLASS_PATH_BYTES - (size_t)n, "%s", name);
	while ((at = strchr(at, '/')) != NULL)
		*at = '!';
	snprintf(path + n, CLASS_PATH_BYTES - (size_t)n, "%s", file);
}

static bool class_has(const char *cls, const char *name)
{
	char path[CLASS_PATH_BYTES];
	struct stat st;

	class_path(path, cls, name, "");
	return stat(path, &st) == 0;
}

static bool name_is_valid(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > NAME_MAX_BYTES || name[0] == '/' || name[len - 1] == '/')
		return false;
	for (const char *c = name; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '!' || *c == '=')
			return false;
	return !strstr(name, "//") && !strstr(name, "..");
}

int session_check_name(const char *name, char *why, size_t size)
{
	char path[NAME_MAX_BYTES + 8];
	struct stat st;

	if (!name_is_valid(name)) {
		snprintf(why, size,
			 "\"%s\" is no device name: it is the path below /dev, such as xen/gntdev",
			 name);
		return -EINVAL;
	}
	if (class_has("cuse", name)) {
		snprintf(why, size,
			 "/dev/%s is already served by another CUSE daemon: stop that one, or give "
			 "this one another --name",
			 name);
		return -EEXIST;
	}
	if (class_has("misc", name)) {
		snprintf(why, size,
			 "/dev/%s belongs to a kernel driver: unload it (for xen/gntdev: rmmod "
			 "xen-gntdev) and keep it from being loaded again (the modprobe.d file of "
			 "this package does), or give this daemon another --name",
			 name);
		return -EEXIST;
	}
	snprintf(path, sizeof(path), "/dev/%s", name);
	if (lstat(path, &st) == 0) {
		snprintf(why, size,
			 "%s exists and no driver is known to own it: remove it if it is a "
			 "left-over, "
			 "or give this daemon another --name",
			 path);
		return -EEXIST;
	}
	return 0;
}

static int open_cuse(char *why, size_t size)
{
	int fd = open("/dev/cuse", O_RDWR | O_CLOEXEC);
	int err = errno;

	if (fd >= 0)
		return fd;
	if (err == ENOENT || err == ENODEV || err == ENXIO)
		snprintf(why, size,
			 "/dev/cuse does not work (%s): load the module with \"modprobe cuse\"; if "
			 "there is none, the kernel was built without CONFIG_CUSE",
			 strerror(err));
	else if (err == EACCES || err == EPERM)
		snprintf(why, size,
			 "no permission to open /dev/cuse (%s): run as root, or under the systemd "
			 "unit of this package",
			 strerror(err));
	else
		snprintf(why, size, "cannot open /dev/cuse: %s", strerror(err));
	return -err;
}

bool session_alive(const struct session *s)
{
	struct pollfd p = { .fd = s->fd };

	/* fuse_dev_poll(): POLLERR once the connection is dead. */
	return poll(&p, 1, 0) >= 0 && !(p.revents & (POLLERR | POLLNVAL));
}

int session_fd(const struct session *s)
{
	return s->fd;
}

static struct fuse_session *new_fuse_session(struct session *s)
{
	char devname[NAME_MAX_BYTES + 16];
	const char *info[] = { devname };
	struct cuse_info ci = {
		.dev_info_argc = 1,
		.dev_info_argv = info,
		.flags = CUSE_UNRESTRICTED_IOCTL,
	};
	char arg0[] = "cuse_gntdev";
	char *argv[] = { arg0, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	struct fuse_session *se;

	snprintf(devname, sizeof(devname), "DEVNAME=%s", s->dev->name);
	se = cuse_lowlevel_new(&args, &ci, &session_ops, s);
	fuse_opt_free_args(&args);
	return se;
}

/* The one CUSE_INIT request: answering it makes the node. */
static int init_device(struct session *s)
{
	struct fuse_buf buf = { .mem = NULL };
	int n = fuse_session_receive_buf(s->se, &buf);

	if (n > 0)
		fuse_session_process_buf(s->se, &buf);
	free(buf.mem);
	if (n <= 0)
		return n ? n : -ENODEV;
	return session_alive(s) ? 0 : -EEXIST;
}

/* Not to standard error, where a worker would wait for whoever reads that. */
static void log_of_fuse(enum fuse_log_level level, const char *fmt, va_list ap)
{
	log_by((int)level, fmt, ap);
}

int session_new(struct device *dev, unsigned int workers, struct session **out, char *why,
		size_t size)
{
	struct session *s;
	int err;

	s = calloc(1, sizeof(*s));
	if (!s) {
		snprintf(why, size, "out of memory");
		return -ENOMEM;
	}
	s->dev = dev;
	s->n_workers = workers;
	s->fd = open_cuse(why, size);
	if (s->fd < 0) {
		err = s->fd;
		free(s);
		return err;
	}
	fuse_set_log_func(log_of_fuse);
	s->se = new_fuse_session(s);
	err = s->se ? fuse_session_custom_io(s->se, &session_io, s->fd) : -ENOMEM;
	if (!err)
		err = init_device(s);
	if (err) {
		snprintf(why, size,
			 "the kernel refused to make /dev/%s: %s (its log, dmesg, may say more)",
			 dev->name, strerror(-err));
		session_destroy(s);
		return err;
	}
	*out = s;
	return 0;
}

static void *worker_thread(void *arg)
{
	struct worker *w = arg;
	struct session *s = w->s;
	struct fuse_buf buf = { .mem = NULL };
	int n;

	rcu_thread_enter();
	while (!__atomic_load_n(&s->stopping, __ATOMIC_RELAXED)) {
		n = fuse_session_receive_buf(s->se, &buf);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		__atomic_store_n(&w->turn, w->turn + 1, __ATOMIC_RELAXED);
		fuse_session_process_buf(s->se, &buf);
		__atomic_store_n(&w->turn, w->turn + 1, __ATOMIC_RELAXED);
	}
	free(buf.mem);
	rcu_thread_leave();
	__atomic_store_n(&w->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

static int start_worker(struct session *s)
{
	struct worker *w = &s->worker[s->n_started];
	int err;

	w->s = s;
	err = pthread_create(&w->thread, NULL, worker_thread, w);
	if (err)
		return -err;
	__atomic_store_n(&s->n_started, s->n_started + 1, __ATOMIC_RELEASE);
	return 0;
}

int session_start(struct session *s)
{
	int err = 0;

	wake_init();
	while (!err && s->n_started < s->n_workers)
		err = start_worker(s);
	return err;
}

/* A number that the kernel keeps for each CUSE device. Return: -1 if it cannot be read. */
static long read_waiting(const char *name)
{
	char path[CLASS_PATH_BYTES], text[24], *end;
	long waiting;
	ssize_t n;
	int fd;

	class_path(path, "cuse", name, "/waiting");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	waiting = strtol(text, &end, 10);
	return end != text && waiting >= 0 ? waiting : -1;
}

void session_counts(const struct session *s, struct session_counts *c)
{
	*c = (struct session_counts){ .waiting = read_waiting(s->dev->name) };
	c->workers = __atomic_load_n(&s->n_started, __ATOMIC_ACQUIRE);
	for (unsigned int i = 0; i < c->workers; i++)
		c->busy += __atomic_load_n(&s->worker[i].turn, __ATOMIC_RELAXED) & 1;
}

/* How many workers have been in one request since the last call, or have ended. */
static unsigned int count_stuck(struct session *s)
{
	unsigned int stuck = 0;

	for (unsigned int i = 0; i < s->n_started; i++) {
		struct worker *w = &s->worker[i];
		unsigned int turn = __atomic_load_n(&w->turn, __ATOMIC_RELAXED);

		stuck += __atomic_load_n(&w->ended, __ATOMIC_RELAXED) ||
			 ((turn & 1) && turn == w->seen);
		w->seen = turn;
	}
	return stuck;
}

bool session_relieve(struct session *s)
{
	unsigned int stuck = count_stuck(s);

	__atomic_store_n(&s->hands_off, stuck > 0, __ATOMIC_RELAXED);
	if (stuck < s->n_started)
		return true;
	if (s->n_started == SESSION_WORKERS_MAX || start_worker(s))
		return false;
	log_warn("/dev/%s: all %u workers are held up by their clients; now there is one more",
		 s->dev->name, stuck);
	return true;
}

/* Return: whether it has ended within about @ms milliseconds. */
static bool join_worker(struct worker *w, unsigned int ms)
{
	const struct timespec pause = { .tv_nsec = 2000000 };

	for (unsigned int waited = 0; waited <= ms; waited += 2) {
		if (__atomic_load_n(&w->ended, __ATOMIC_ACQUIRE)) {
			pthread_join(w->thread, NULL);
			return true;
		}
		wake_thread(w->thread);
		nanosleep(&pause, NULL);
	}
	return false;
}

/* What clients have asked and no worker has read: refuse it, so that nobody is left waiting. */
static void drain(struct session *s)
{
	struct fuse_buf buf = { .mem = NULL };
	int flags = fcntl(s->fd, F_GETFL);
	int n;

	s->draining = true;
	if (flags < 0 || fcntl(s->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return;
	do {
		n = fuse_session_receive_buf(s->se, &buf);
		if (n > 0)
			fuse_session_process_buf(s->se, &buf);
	} while (n > 0 || n == -EINTR);
	free(buf.mem);
}

bool session_stop(struct session *s, unsigned int ms)
{
	bool all = true;

	__atomic_store_n(&s->stopping, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < s->n_started; i++) {
		if (join_worker(&s->worker[i], ms))
			continue;
		all = false;
		/* The others have had their time too. */
		ms = 0;
	}
	drain(s);
	return all;
}

void session_destroy(struct session *s)
{
	/* fuse_session_destroy() closes the descriptor it was given. */
	if (s->se && fuse_session_fd(s->se) == s->fd)
		s->fd = -1;
	if (s->se)
		fuse_session_destroy(s->se);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}
