/* SPDX-License-Identifier: MIT */
/*
 * device/test_winioctl.c - mmaps that come by ioctl: whose descriptor is taken, and when none is
 *
 * Clients are forked and have an argument and a pair of sockets of their own; the ioctl is made here
 * in the name of one of their threads. The window socket is a double: it says hello to whoever is at
 * the other end of what it is given.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/descriptors.h"
#include "tests/unit/double.h"
#include "device/dispatch.h"
#include "device/winioctl.h"

#define FH 0x1122334455667788ULL

static const struct token token = { .secret = "fifteen letters", .may_read = true };

/* --- doubles --------------------------------------------------------------------------------- */

static struct {
	int n;
	int error;
	pid_t pid;
	uid_t uid;
	uint64_t unique;
	struct window_request rq;
} adopted;

int winsock_adopt(struct winsock *ws, int fd, pid_t pid, uid_t uid, const struct window_request *rq,
		  uint64_t unique)
{
	ck_assert_ptr_eq(ws, (void *)&adopted);
	adopted.n++;
	adopted.pid = pid;
	adopted.uid = uid;
	adopted.rq = *rq;
	adopted.unique = unique;
	if (!adopted.error)
		ck_assert_int_eq(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
	close(fd);
	return adopted.error;
}

/* What it said when a request was executed again. */
static bool replied;

static int ioctl_window(struct device *dev, struct ioctl_call *call, void *wm)
{
	ck_assert_str_eq(dev->name, "double");
	if (call->c.rq->again)
		replied = winioctl_replied(call->c.rq, wm);
	return winioctl_mmap(call->c.rq, wm, &token, (struct winsock *)&adopted);
}

static const struct ioctl_row row = { IOCTL_CMD(WINDOW_MMAP), TRACE_PRELOAD, "WINDOW_MMAP",
				      .flags = IOCTL_DIRECT | IOCTL_UNTOLD, .fn = ioctl_window };
static const struct ioctl_table table = { .row = &row, .n = 1 };

static void device_ioctl(struct device *dev, struct request *rq)
{
	ioctl_dispatch(&table, dev, rq);
}

static struct device device = { .name = "double", .ioctl = device_ioctl };

/* --- clients --------------------------------------------------------------------------------- */

/* In each client its own, at the address that it has here. */
static struct window_mmap arg;

/* What a client tells when it is ready. */
struct client {
	pid_t pid;
	pid_t tid; /* of the thread that is to ask */
	int sock;  /* the daemon's end */
	int ours;  /* its end of a pair that we have made */
	int tell;
};

static int end[2];

/* Whether the second thread has descriptors of its own. */
static bool apart;

static void *other_thread(void *told)
{
	if (apart && unshare(CLONE_FILES))
		_exit(1);
	__atomic_store_n((pid_t *)told, gettid(), __ATOMIC_RELEASE);
	for (;;)
		pause();
	return NULL;
}

static void client_main(int tell, bool thread)
{
	struct client self = { .pid = getpid(), .tid = thread ? 0 : gettid(), .ours = tell };
	char buf[8] = "", c;
	pthread_t t;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (thread)
		pthread_create(&t, NULL, other_thread, &self.tid);
	while (!__atomic_load_n(&self.tid, __ATOMIC_ACQUIRE))
		usleep(100);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end))
		_exit(1);
	self.sock = end[1];
	arg = (struct window_mmap){
		.rq = { .magic = WINDOW_MAGIC,
			.version = WINDOW_VERSION,
			.open_id = 4711,
			.secret = "no secret",
			.offset = 0x7000,
			.length = 0x5000 },
		.sock = end[1],
		.pid = (uint32_t)getpid(),
	};
	if (write(tell, &self, sizeof(self)) != sizeof(self))
		_exit(1);
	/* Changes of the argument, until it is to receive: what there is, to the end of the file. */
	while (read(tell, &c, 1) == 1 && c == 'a')
		if (recv(tell, &arg, sizeof(arg), 0) != sizeof(arg) || write(tell, &c, 1) != 1)
			_exit(1);
	close(end[1]);
	(void)!read(end[0], buf, 7);
	if (write(tell, buf, 8) != 8 || read(end[0], buf, 1) != 0)
		_exit(1);
	_exit(0);
}

/* What the next client's number is to be, if not 0. */
static pid_t wanted_pid;

static pid_t fork_as_wanted(void)
{
	struct clone_args ca = { .exit_signal = SIGCHLD,
				 .set_tid = (uintptr_t)&wanted_pid,
				 .set_tid_size = 1 };

	return wanted_pid ? (pid_t)syscall(SYS_clone3, &ca, sizeof(ca)) : fork();
}

static struct client fork_client(bool thread)
{
	struct client c;
	int pair[2];
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork_as_wanted();
	ck_assert_int_ge(pid, 0);
	if (!pid)
		client_main(pair[1], thread);
	close(pair[1]);
	ck_assert_int_eq(read(pair[0], &c, sizeof(c)), sizeof(c));
	ck_assert_int_eq(c.pid, pid);
	c.tell = pair[0];
	return c;
}

/* Its argument is to be this one. */
static void change(const struct client *c, const struct window_mmap *wm)
{
	char done;

	ck_assert_int_eq(write(c->tell, "a", 1), 1);
	ck_assert_int_eq(send(c->tell, wm, sizeof(*wm), 0), sizeof(*wm));
	ck_assert_int_eq(read(c->tell, &done, 1), 1);
}

static struct window_mmap good(const struct client *c)
{
	return (struct window_mmap){
		.rq = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION, .length = 0x1000 },
		.sock = c->sock,
		.pid = (uint32_t)c->pid,
	};
}

/* It ends, and has received no more than this. */
static void end_client(const struct client *c, const char *received)
{
	char buf[8];
	int status;

	ck_assert_int_eq(write(c->tell, "r", 1), 1);
	ck_assert_int_eq(read(c->tell, buf, 8), 8);
	ck_assert_str_eq(buf, received);
	ck_assert_int_eq(waitpid(c->pid, &status, 0), c->pid);
	ck_assert_int_eq(status, 0);
	close(c->tell);
}

static int ask_at(const struct client *c, const void *at)
{
	double_tid = c->tid;
	return double_ioctl(&device, FH, WINDOW_MMAP, at, DOUBLE_DIRECT);
}

static int ask(const struct client *c)
{
	return ask_at(c, &arg);
}

static int ask_with(const struct client *c, const struct window_mmap *wm)
{
	change(c, wm);
	return ask(c);
}

/* --- tests ----------------------------------------------------------------------------------- */

/* _i: its second thread asks. */
START_TEST(takes_the_right_one)
{
	struct client c = fork_client(_i);

	ck_assert(_i == (c.tid != c.pid));
	ck_assert_int_eq(ask(&c), 0);
	ck_assert_int_eq(adopted.n, 1);
	ck_assert_int_eq(adopted.pid, c.pid);
	ck_assert_uint_eq(adopted.uid, 0);
	ck_assert_uint_eq(adopted.rq.offset, 0x7000);
	ck_assert_uint_eq(adopted.rq.length, 0x5000);
	/* What it says of a token is not what counts. */
	ck_assert_uint_eq(adopted.rq.open_id, FH);
	ck_assert_mem_eq(adopted.rq.secret, token.secret, sizeof(token.secret));
	end_client(&c, "hello");
}
END_TEST

/* Each asks for its own, and in any order; nothing is held for more than the last of them. */
START_TEST(many_clients)
{
	struct client c[5];
	int before = open_descriptors();

	for (int i = 0; i < 5; i++)
		c[i] = fork_client(i % 2);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(ask(&c[i * 3 % 5]), 0);
		ck_assert_int_eq(adopted.pid, c[i * 3 % 5].pid);
	}
	ck_assert_int_eq(adopted.n, 10);
	for (int i = 0; i < 5; i++) {
		kill(c[i].pid, SIGKILL);
		waitpid(c[i].pid, NULL, 0);
		close(c[i].tell);
	}
	ck_assert_int_le(open_descriptors(), before + 1);
}
END_TEST

/* A process that has the number of one that was a client: which only root can bring about. */
START_TEST(numbers_come_back)
{
	struct client c = fork_client(false), d;

	ck_assert_int_eq(ask(&c), 0);
	end_client(&c, "hello");
	/* Gone, and nobody there. */
	ck_assert_int_eq(ask(&c), -EOPNOTSUPP);
	if (geteuid())
		return;
	wanted_pid = c.pid;
	d = fork_client(false);
	ck_assert_int_eq(d.pid, c.pid);
	ck_assert_int_eq(ask(&d), 0);
	ck_assert_int_eq(adopted.n, 2);
	end_client(&d, "hello");
}
END_TEST

/* The predecessor had sent the answer, or had not. */
START_TEST(executed_again)
{
	struct client c = fork_client(_i);

	ck_assert_int_eq(ask(&c), 0);
	ck_assert_uint_eq(adopted.unique, double_unique);
	ck_assert_uint_eq(adopted.rq.again, 0);
	double_again = double_unique;
	ck_assert_int_eq(ask(&c), 0);
	ck_assert_int_eq(adopted.n, 1);
	ck_assert(replied);
	end_client(&c, "hello");
	double_again = 0;
	adopted.error = -EBUSY;
	c = fork_client(_i);
	ck_assert_int_eq(ask(&c), -EOPNOTSUPP);
	adopted.error = 0;
	double_again = double_unique;
	ck_assert_int_eq(ask(&c), 0);
	ck_assert_int_eq(adopted.n, 3);
	ck_assert(!replied);
	ck_assert_uint_eq(adopted.unique, double_again);
	ck_assert_uint_eq(adopted.rq.again, 1);
	end_client(&c, "hello");
}
END_TEST

/* Nobody is believed to be another: neither us, nor a process of its own, nor none at all. */
START_TEST(not_its_process)
{
	struct client c = fork_client(_i), other = fork_client(false);
	const pid_t pids[] = { getpid(), other.pid, 1, 0, -c.pid, INT32_MAX };
	struct window_mmap wm = good(&c);

	for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
		wm.pid = (uint32_t)pids[i];
		ck_assert_int_eq(ask_with(&c, &wm), -EOPNOTSUPP);
	}
	/* The number of its thread is not that of its process. */
	wm.pid = (uint32_t)c.tid;
	ck_assert_int_eq(ask_with(&c, &wm), _i ? -EOPNOTSUPP : 0);
	ck_assert_int_eq(adopted.n, !_i);
	end_client(&c, _i ? "" : "hello");
	end_client(&other, "");
}
END_TEST

START_TEST(not_its_descriptor)
{
	struct client c = fork_client(false);
	struct window_mmap wm = good(&c);
	const int bad[] = { -1, 1000, INT32_MAX, INT32_MIN };
	int before;

	ck_assert_int_eq(ask(&c), 0);
	before = open_descriptors();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		wm.sock = bad[i];
		ck_assert_int_eq(ask_with(&c, &wm), -EOPNOTSUPP);
	}
	ck_assert_int_eq(adopted.n, 1);
	ck_assert_int_eq(open_descriptors(), before);
	end_client(&c, "hello");
}
END_TEST

/* What it names is a socket, but the other end is not its own: we would speak to somebody else there. */
START_TEST(not_its_socket)
{
	struct client c = fork_client(false);
	struct window_mmap wm = good(&c);
	int before;

	ck_assert_int_eq(ask(&c), 0);
	before = open_descriptors();
	wm.sock = c.ours;
	ck_assert_int_eq(ask_with(&c, &wm), -EOPNOTSUPP);
	/* Nor a file of another kind. */
	wm.sock = 0;
	ck_assert_int_eq(ask_with(&c, &wm), -EOPNOTSUPP);
	ck_assert_int_eq(adopted.n, 1);
	ck_assert_int_eq(open_descriptors(), before);
	end_client(&c, "hello");
}
END_TEST

/* Whether somebody has a lock on the file, by fcntl(2). */
static bool is_locked(const char *path)
{
	struct flock all = { .l_type = F_WRLCK };
	int fd = open(path, O_RDWR | O_CLOEXEC);

	ck_assert_int_eq(fcntl(fd, F_OFD_GETLK, &all), 0);
	close(fd);
	return all.l_type != F_UNLCK;
}

/*
 * Other files are not taken, and so not closed here: their owners can have that take as long as they like.
 * What shows a close is a lock of ours: the first close of the file, by whichever descriptor, ends it.
 */
START_TEST(no_socket_is_not_taken)
{
	struct flock all = { .l_type = F_WRLCK };
	char path[] = "/tmp/test-winioctl-XXXXXX";
	int fd = mkstemp(path);
	struct client c = fork_client(false);
	struct window_mmap wm = good(&c);

	ck_assert_int_eq(fcntl(fd, F_SETLK, &all), 0);
	wm.sock = fd;
	ck_assert_int_eq(ask_with(&c, &wm), -EOPNOTSUPP);
	ck_assert(is_locked(path));
	/* That was a close here. */
	ck_assert(!is_locked(path));
	unlink(path);
	close(fd);
	ck_assert_int_eq(adopted.n, 0);
	end_client(&c, "");
}
END_TEST

/* A thread whose descriptors are not those of its process: the number means another file there. */
START_TEST(not_its_threads_descriptors)
{
	struct client c;

	apart = true;
	c = fork_client(true);
	ck_assert_int_eq(ask(&c), -EOPNOTSUPP);
	ck_assert_int_eq(adopted.n, 0);
	end_client(&c, "");
}
END_TEST

/* The caller is in another pid namespace, or was killed while we read: it is not touched. */
START_TEST(out_of_reach)
{
	struct client c = fork_client(false);
	struct double_result r;

	double_killed_at = 1;
	ck_assert_int_eq(ask(&c), -EINTR);
	double_tid = c.tid;
	r = double_ioctl_full(&device, FH, WINDOW_MMAP, (uintptr_t)&arg, DOUBLE_RETRY, false);
	ck_assert_int_eq(r.result, -EOPNOTSUPP);
	ck_assert_uint_eq(r.trips, 1);
	double_no_access = true;
	ck_assert_int_eq(ask(&c), -EOPNOTSUPP);
	double_no_access = false;
	ck_assert_int_eq(adopted.n, 0);
	end_client(&c, "");
}
END_TEST

/* Whose descriptor was it? Nothing is done with it, and it does not stay. */
START_TEST(does_not_wait_any_more)
{
	struct client c = fork_client(false);
	int before;

	ck_assert_int_eq(ask(&c), 0);
	before = open_descriptors();
	double_aborted = true;
	ck_assert_int_lt(ask(&c), 0);
	ck_assert_int_eq(adopted.n, 1);
	ck_assert_int_eq(open_descriptors(), before);
	end_client(&c, "hello");
}
END_TEST

START_TEST(unreadable)
{
	char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct window_mmap *edge = (struct window_mmap *)(two + 4096) - 1;
	struct client c;

	ck_assert_int_eq(mprotect(two + 4096, 4096, PROT_NONE), 0);
	c = fork_client(false);
	ck_assert_int_eq(ask_at(&c, NULL), -EOPNOTSUPP);
	ck_assert_int_eq(ask_at(&c, (void *)~0xfffUL), -EOPNOTSUPP);
	ck_assert_int_eq(ask_at(&c, two + 4096), -EOPNOTSUPP);
	/* One byte short; and all there, but of no meaning. */
	ck_assert_int_eq(ask_at(&c, (char *)edge + 1), -EOPNOTSUPP);
	ck_assert_int_eq(ask_at(&c, edge), -ENOTTY);
	ck_assert_int_eq(adopted.n, 0);
	end_client(&c, "");
}
END_TEST

/* As the kernel's driver answers a number that it does not know. */
START_TEST(not_a_preload_object)
{
	struct client c = fork_client(false);
	struct window_mmap wm = good(&c);

	wm.rq.magic++;
	ck_assert_int_eq(ask_with(&c, &wm), -ENOTTY);
	wm.rq.magic--;
	wm.rq.version++;
	ck_assert_int_eq(ask_with(&c, &wm), -ENOTTY);
	ck_assert_int_eq(adopted.n, 0);
	wm.rq.version--;
	ck_assert_int_eq(ask_with(&c, &wm), 0);
	end_client(&c, "hello");
}
END_TEST

/* The window socket has no place: the client connects, and waits for one there. */
START_TEST(no_place)
{
	struct client c = fork_client(false);

	adopted.error = -EBUSY;
	ck_assert_int_eq(ask(&c), -EOPNOTSUPP);
	ck_assert_int_eq(adopted.n, 1);
	end_client(&c, "");
}
END_TEST

Suite *winioctl_suite(void);

Suite *winioctl_suite(void)
{
	Suite *s = suite_create("winioctl");
	TCase *tc = tcase_create("winioctl");

	tcase_add_loop_test(tc, takes_the_right_one, 0, 2);
	tcase_add_test(tc, many_clients);
	tcase_add_test(tc, numbers_come_back);
	tcase_add_loop_test(tc, executed_again, 0, 2);
	tcase_add_loop_test(tc, not_its_process, 0, 2);
	tcase_add_test(tc, not_its_descriptor);
	tcase_add_test(tc, not_its_socket);
	tcase_add_test(tc, no_socket_is_not_taken);
	tcase_add_test(tc, not_its_threads_descriptors);
	tcase_add_test(tc, out_of_reach);
	tcase_add_test(tc, does_not_wait_any_more);
	tcase_add_test(tc, unreadable);
	tcase_add_test(tc, not_a_preload_object);
	tcase_add_test(tc, no_place);
	suite_add_tcase(s, tc);
	return s;
}
