/* SPDX-License-Identifier: MIT */
/*
 * device/test_session.c - who answers a request, and who may still have it then
 *
 * device/session.c is compiled in here with a kernel and a libfuse of ours: a request is a message in a pair of
 * sockets, and its answers are counted. The device does what the ioctl's number says.
 */
#define FUSE_USE_VERSION 314

#include <check.h>
#include <cuse_lowlevel.h>
#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device/node.h"
#include "device/session.h"

#define MANY 32

enum command {
	AT_ONCE, /* answer */
	HANG,	 /* until the open is let go */
	PUT_OFF, /* go on later, and come to an end after that has answered */
};

struct message {
	struct fuse_in_header h;
	uint64_t fh;
	int command;
};

struct fuse_req {
	struct fuse_ctx ctx;
	uint64_t unique;
};

struct fuse_session {
	const struct cuse_lowlevel_ops *ops;
	int fd;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int sock[2];
	struct session *session;
	struct fuse_session se;
	uint64_t sent;		    /* numbers of requests, from 1 on */
	uint64_t fh;		    /* of the last open */
	unsigned int answers[MANY]; /* to each */
	int result[MANY];
	unsigned int hanging;
	unsigned int let_go[3]; /* of each open, as the device knows it */
	unsigned int opens;
} f;

static void answer(fuse_req_t req, int result)
{
	pthread_mutex_lock(&f.lock);
	f.answers[req->unique]++;
	f.result[req->unique] = result;
	pthread_cond_broadcast(&f.changed);
	pthread_mutex_unlock(&f.lock);
	free(req);
}

/* --- libfuse ------------------------------------------------------------------------------------ */

static const struct fuse_ctx *made_up_ctx(fuse_req_t req)
{
	return &req->ctx;
}

static int made_up_ioctl_answer(fuse_req_t req, int result, const void *buf, size_t size)
{
	(void)buf;
	(void)size;
	answer(req, result);
	return 0;
}

static int made_up_retry(fuse_req_t req, const struct iovec *in, size_t n_in,
			 const struct iovec *out, size_t n_out)
{
	(void)in;
	(void)n_in;
	(void)out;
	(void)n_out;
	answer(req, -1);
	return 0;
}

static int made_up_error(fuse_req_t req, int err)
{
	answer(req, -err);
	return 0;
}

static int made_up_open_answer(fuse_req_t req, const struct fuse_file_info *fi)
{
	f.fh = fi->fh;
	answer(req, 0);
	return 0;
}

static struct fuse_session *made_up_session(struct fuse_args *args, const struct cuse_info *ci,
					    const struct cuse_lowlevel_ops *ops, void *userdata)
{
	(void)args;
	(void)ci;
	(void)userdata;
	f.se.ops = ops;
	return &f.se;
}

static int made_up_io(struct fuse_session *se, const struct fuse_custom_io *io, int fd)
{
	(void)io;
	se->fd = fd;
	return 0;
}

static int made_up_fd(struct fuse_session *se)
{
	return se->fd;
}

static void made_up_destroy(struct fuse_session *se)
{
	close(se->fd);
}

static int made_up_receive(struct fuse_session *se, struct fuse_buf *buf)
{
	ssize_t n;

	if (!buf->mem)
		buf->mem = malloc(sizeof(struct message));
	n = read(se->fd, buf->mem, sizeof(struct message));
	buf->size = n > 0 ? (size_t)n : 0;
	return n < 0 ? -errno : (int)n;
}

static void made_up_process(struct fuse_session *se, const struct fuse_buf *buf)
{
	const struct message *m = buf->mem;
	struct fuse_file_info fi = { .fh = m->fh };
	fuse_req_t req;

	if (m->h.opcode == CUSE_INIT)
		return;
	req = calloc(1, sizeof(*req));
	req->unique = m->h.unique;
	if (m->h.opcode == FUSE_OPEN)
		se->ops->open(req, &fi);
	else if (m->h.opcode == FUSE_RELEASE)
		se->ops->release(req, &fi);
	else
		se->ops->ioctl(req, m->command, NULL, &fi, 0, NULL, 0, 0);
}

static int made_up_cuse(char *why, size_t size)
{
	(void)why;
	(void)size;
	return f.sock[0];
}

static long made_up_waiting(const char *name)
{
	(void)name;
	return -1;
}

#define fuse_req_ctx		 made_up_ctx
#define fuse_reply_ioctl	 made_up_ioctl_answer
#define fuse_reply_ioctl_retry	 made_up_retry
#define fuse_reply_err		 made_up_error
#define fuse_reply_open		 made_up_open_answer
#define cuse_lowlevel_new	 made_up_session
#define fuse_session_custom_io	 made_up_io
#define fuse_session_fd		 made_up_fd
#define fuse_session_destroy	 made_up_destroy
#define fuse_session_receive_buf made_up_receive
#define fuse_session_process_buf made_up_process
#define node_open_cuse		 made_up_cuse
#define node_waiting		 made_up_waiting
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "device/session.c"

/* --- the device --------------------------------------------------------------------------------- */

/* Locked. Generous: it is for hangs. */
static bool wait_for(const unsigned int *what)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30;
	while (!*what && !err)
		err = pthread_cond_timedwait(&f.changed, &f.lock, &until);
	return *what != 0;
}

static bool wait_for_answer(uint64_t unique)
{
	bool answered;

	pthread_mutex_lock(&f.lock);
	answered = wait_for(&f.answers[unique]);
	pthread_mutex_unlock(&f.lock);
	return answered;
}

static int device_open(struct device *dev, const struct opener *by, int flags, uint64_t *fh)
{
	(void)dev;
	(void)by;
	(void)flags;
	*fh = ++f.opens;
	return 0;
}

static void device_release(struct device *dev, uint64_t fh)
{
	(void)dev;
	(void)fh;
}

static void hang(uint64_t fh)
{
	pthread_mutex_lock(&f.lock);
	f.hanging++;
	pthread_cond_broadcast(&f.changed);
	while (!f.let_go[fh])
		pthread_cond_wait(&f.changed, &f.lock);
	f.let_go[fh]--;
	f.hanging--;
	pthread_mutex_unlock(&f.lock);
}

static void go_on(void *arg, bool stopping)
{
	request_done(arg, stopping ? -EIO : 7, NULL, 0);
}

static void device_ioctl(struct device *dev, struct request *rq)
{
	uint64_t unique = ((struct session_request *)rq)->turn.unique;

	(void)dev;
	if (rq->cmd == PUT_OFF) {
		rq = rq->ops->keep(rq);
		ck_assert(request_again(rq, go_on, rq));
		ck_assert(wait_for_answer(unique));
		/* And whoever has answered is through with it. */
		usleep(100000);
		return;
	}
	if (rq->cmd == HANG)
		hang(rq->fh);
	request_done(rq, 0, NULL, 0);
}

static struct device device = {
	.name = "made/up",
	.open = device_open,
	.ioctl = device_ioctl,
	.release = device_release,
};

/* --- tests -------------------------------------------------------------------------------------- */

static uint64_t send_request(uint32_t opcode, uint64_t fh, enum command command)
{
	struct message m = { .h = { .opcode = opcode, .unique = f.sent++ },
			     .fh = fh,
			     .command = (int)command };

	ck_assert_uint_lt(m.h.unique, MANY);
	ck_assert_int_eq(write(f.sock[1], &m, sizeof(m)), sizeof(m));
	return m.h.unique;
}

static void start(unsigned int workers)
{
	const struct session_config c = { .dev = &device, .workers = workers };
	char why[200];

	pthread_mutex_init(&f.lock, NULL);
	pthread_cond_init(&f.changed, NULL);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, f.sock), 0);
	send_request(CUSE_INIT, 0, AT_ONCE);
	ck_assert_int_eq(session_new(&c, &f.session, why, sizeof(why)), 0);
	ck_assert_int_eq(session_start(f.session), 0);
}

static uint64_t open_device(void)
{
	ck_assert(wait_for_answer(send_request(FUSE_OPEN, 0, AT_ONCE)));
	return f.fh;
}

static void stop(void)
{
	ck_assert_int_eq(session_stop(f.session, 10000), SESSION_ENDED);
	for (uint64_t i = 1; i < f.sent; i++)
		ck_assert_uint_eq(f.answers[i], 1);
	session_destroy(f.session);
	close(f.sock[1]);
}

static void hanging(unsigned int n)
{
	for (unsigned int ms = 0; ms < 30000 && __atomic_load_n(&f.hanging, __ATOMIC_RELAXED) != n;
	     ms++)
		usleep(1000);
	ck_assert_uint_eq(__atomic_load_n(&f.hanging, __ATOMIC_RELAXED), n);
}

static void let_go_of(uint64_t open, unsigned int n)
{
	pthread_mutex_lock(&f.lock);
	f.let_go[open] += n;
	pthread_cond_broadcast(&f.changed);
	pthread_mutex_unlock(&f.lock);
}

START_TEST(it_outlives_the_run_that_was_put_off)
{
	uint64_t fh, unique;

	start(2);
	fh = open_device();
	unique = send_request(FUSE_IOCTL, fh, PUT_OFF);
	ck_assert(wait_for_answer(unique));
	ck_assert_int_eq(f.result[unique], 7);
	ck_assert(wait_for_answer(send_request(FUSE_IOCTL, fh, AT_ONCE)));
	ck_assert(wait_for_answer(send_request(FUSE_RELEASE, fh, AT_ONCE)));
	stop();
}
END_TEST

/*
 * One open has 6 threads, the other 4 of what is left, and of each one more waits. When the first one has given
 * back 3 both may have one. By then nobody has looked for a second.
 */
START_TEST(two_get_what_one_gives_back)
{
	uint64_t a, b;

	start(16);
	a = open_device();
	b = open_device();
	for (unsigned int i = 0; i < 10; i++) {
		send_request(FUSE_IOCTL, i < 6 ? a : b, HANG);
		hanging(i + 1);
	}
	/* Nobody looks any more. */
	usleep(1500000);
	send_request(FUSE_IOCTL, b, HANG);
	usleep(100000);
	send_request(FUSE_IOCTL, a, HANG);
	usleep(100000);
	let_go_of(1, 1);
	hanging(9);
	let_go_of(1, 1);
	hanging(8);
	let_go_of(1, 1);
	hanging(9);
	let_go_of(1, 4);
	let_go_of(2, 5);
	stop();
}
END_TEST

Suite *session_suite(void);

Suite *session_suite(void)
{
	Suite *s = suite_create("session");
	TCase *tc = tcase_create("session");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, it_outlives_the_run_that_was_put_off);
	tcase_add_test(tc, two_get_what_one_gives_back);
	suite_add_tcase(s, tc);
	return s;
}
