/* SPDX-License-Identifier: MIT */
/*
 * keeper/test_keeper.c - the keeper holds what it was given for one daemon after another, whatever it is told
 *
 * A child is the keeper; this process plays daemons, by messages or through state/lent.h.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/why.h"
#include "keeper/hold.h"
#include "keeper/keeper.h"
#include "state/keep.h"
#include "state/lent.h"
#include "tests/unit/place.h"
#include "tests/unit/suite.h"

/* Longer than anything takes that is not hung. */
#define LONG_MS 20000

static char dir[64], path[80], mark[80];
static pid_t keeper;
static int daemon_sock;

static void start_keeper(void)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	keeper = fork();
	ck_assert_int_ge(keeper, 0);
	if (!keeper) {
		close(pair[0]);
		_exit(keeper_run(path, pair[1]) ? 1 : 0);
	}
	close(pair[1]);
	daemon_sock = pair[0];
}

static void setup(void)
{
	snprintf(dir, sizeof(dir), "%s/test_keeper.XXXXXX", test_place());
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/keeper", dir);
	snprintf(mark, sizeof(mark), "%s/mark", dir);
	start_keeper();
}

static void teardown(void)
{
	kill(keeper, SIGKILL);
	waitpid(keeper, NULL, 0);
	unlink(path);
	unlink(mark);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* --- what daemons say ----------------------------------------------------------------------------- */

/* Return: the answer's error. @fd: in: to go along; out: what came */
static int say(int sock, struct keep_msg *m, const char *text, size_t len, int *fd)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int err = keep_send(sock, m, text, len, *fd);

	*fd = -1;
	if (err)
		return err;
	ck_assert_int_eq(poll(&p, 1, LONG_MS), 1);
	err = keep_recv(sock, keeper, m, NULL, NULL, fd);
	return err ? err : m->error;
}

static int say_name(int sock, enum keep_op op, const char *name, int fd)
{
	struct keep_msg m = { .op = op };
	int err;

	strcpy(m.name, name);
	err = say(sock, &m, NULL, 0, &fd);
	if (fd >= 0 && op != KEEP_TAKE)
		close(fd);
	return err ? err : op == KEEP_TAKE ? fd : 0;
}

static int say_serve(int sock, uint64_t seconds, const char *text, size_t len)
{
	struct keep_msg m = { .op = KEEP_SERVE, .value = seconds };
	int fd = -1;

	return say(sock, &m, text, len, &fd);
}

static int try_connect(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	if (!connect(sock, (struct sockaddr *)&addr, sizeof(addr)))
		return sock;
	close(sock);
	return -1;
}

static int connect_keeper(void)
{
	int sock = try_connect();

	ck_assert_int_ge(sock, 0);
	return sock;
}

/* Another daemon; the former may not be seen to have ended yet. */
static int hello(struct keep_msg *m)
{
	uint64_t begin = clock_ms();
	int sock = connect_keeper(), fd, err;

	do {
		*m = (struct keep_msg){ .op = KEEP_HELLO };
		fd = -1;
		err = say(sock, m, NULL, 0, &fd);
	} while (err == -EBUSY && clock_ms() - begin < LONG_MS);
	ck_assert_int_eq(err, 0);
	return sock;
}

static void first_hello(void)
{
	ck_assert_int_eq(say_name(daemon_sock, KEEP_HELLO, "", -1), 0);
}

static void keeper_ends(void)
{
	uint64_t begin = clock_ms();
	int status;
	pid_t pid;

	while (!(pid = waitpid(keeper, &status, WNOHANG))) {
		ck_assert_uint_lt(clock_ms() - begin, LONG_MS);
		poll(NULL, 0, 5);
	}
	ck_assert_int_eq(pid, keeper);
	ck_assert(WIFEXITED(status) && !WEXITSTATUS(status));
	ck_assert_int_ne(access(path, F_OK), 0);
}

/* The first daemon holds a pipe's writing end as "state", serves and is gone. Return: the reading end. */
static int leave_state(uint64_t seconds, const char *command, size_t len)
{
	int pipes[2];

	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	first_hello();
	ck_assert_int_eq(say_name(daemon_sock, KEEP_PUT, KEEP_STATE, pipes[1]), 0);
	close(pipes[1]);
	ck_assert_int_eq(say_serve(daemon_sock, seconds, command, len), 0);
	return pipes[0];
}

static bool has_ended(int pipe_end)
{
	return poll(&(struct pollfd){ .fd = pipe_end, .events = POLLIN }, 1, 0) == 1;
}

/* --- things --------------------------------------------------------------------------------------- */

START_TEST(what_is_put_can_be_taken)
{
	struct keep_msg m = { .op = KEEP_NEXT };
	int pipes[2], fd, none = -1;
	char byte;

	first_hello();
	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	ck_assert_int_eq(say_name(daemon_sock, KEEP_TAKE, "a", -1), -ENOENT);
	ck_assert_int_eq(say_name(daemon_sock, KEEP_PUT, "a", pipes[1]), 0);
	ck_assert_int_eq(say_name(daemon_sock, KEEP_PUT, "b", pipes[0]), 0);
	close(pipes[1]);
	for (int i = 0; i < 2; i++) {
		fd = say_name(daemon_sock, KEEP_TAKE, "a", -1);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
		ck_assert_int_eq(write(fd, "x", 1), 1);
		ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
		close(fd);
	}
	ck_assert_int_eq(say(daemon_sock, &m, NULL, 0, &none), 0);
	ck_assert_str_eq(m.name, "a");
	ck_assert_int_eq(say(daemon_sock, &m, NULL, 0, &none), 0);
	ck_assert_str_eq(m.name, "b");
	ck_assert_int_eq(say(daemon_sock, &m, NULL, 0, &none), -ENOENT);
	/* Another one of the name takes its place. */
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(say_name(daemon_sock, KEEP_PUT, "a", fd), 0);
	ck_assert(has_ended(pipes[0]));
	ck_assert_int_eq(say_name(daemon_sock, KEEP_DROP, "a", -1), 0);
	ck_assert_int_eq(say_name(daemon_sock, KEEP_DROP, "a", -1), -ENOENT);
	close(fd);
	close(pipes[0]);
}
END_TEST

/* What sockets do not pass on. */
START_TEST(rings)
{
	char link[64], name[64] = "";
	struct io_uring ring;
	int fd;

	if (io_uring_queue_init(1, &ring, 0))
		return; /* not to be had here */
	first_hello();
	ck_assert_int_eq(say_name(daemon_sock, KEEP_PUT, "ring.0", ring.ring_fd), 0);
	io_uring_queue_exit(&ring);
	fd = say_name(daemon_sock, KEEP_TAKE, "ring.0", -1);
	ck_assert_int_ge(fd, 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ck_assert_int_gt(readlink(link, name, sizeof(name) - 1), 0);
	ck_assert_str_eq(name, "anon_inode:[io_uring]");
	close(fd);
}
END_TEST

static bool not_c(const char *name)
{
	return strcmp(name, "c") != 0;
}

START_TEST(holds_no_more_than_it_may)
{
	static struct hold h;
	char name[KEEP_NAME];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	h.n = 0;
	ck_assert_int_eq(hold_put(&h, "", dup(null)), -EINVAL);
	ck_assert_int_eq(hold_put(&h, "a", -1), -EBADF);
	for (int i = 0; i < KEEP_THINGS; i++) {
		snprintf(name, sizeof(name), "%d", i);
		/* Nobody's numbers: they are only held here. */
		assert_each(hold_put(&h, name, 1000000 + i) == 0, "thing %d", i);
	}
	ck_assert_int_eq(hold_put(&h, "one more", dup(null)), -ENFILE);
	ck_assert_int_eq(hold_drop(&h, "7"), 0);
	ck_assert_int_eq(hold_put(&h, "c", dup(null)), 0);
	ck_assert_int_eq(hold_put(&h, "one more", dup(null)), -ENFILE);
	ck_assert_int_eq(hold_get(&h, "4095"), 1000000 + 4095);
	hold_keep_only(&h, not_c);
	ck_assert_uint_eq(h.n, KEEP_THINGS - 1);
	ck_assert_int_eq(hold_get(&h, "c"), -ENOENT);
	close(null);
}
END_TEST

/* --- daemons -------------------------------------------------------------------------------------- */

START_TEST(first_daemon_dies_early)
{
	int pipes[2];

	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	first_hello();
	ck_assert_int_eq(say_name(daemon_sock, KEEP_PUT, "a", pipes[1]), 0);
	close(pipes[1]);
	close(daemon_sock);
	keeper_ends();
	ck_assert(has_ended(pipes[0]));
	close(pipes[0]);
}
END_TEST

START_TEST(end_lets_go)
{
	int held = leave_state(3600, "/bin/false", sizeof("/bin/false"));

	ck_assert(!has_ended(held));
	ck_assert_int_eq(say_name(daemon_sock, KEEP_END, "", -1), 0);
	keeper_ends();
	ck_assert(has_ended(held));
	close(held);
}
END_TEST

START_TEST(one_daemon_at_a_time)
{
	int held = leave_state(3600, "/bin/false", sizeof("/bin/false")), other = connect_keeper();
	struct keep_msg m = { .op = KEEP_LOOK };
	int none = -1;

	ck_assert_int_eq(say_name(other, KEEP_HELLO, "", -1), -EBUSY);
	ck_assert_int_eq(say(other, &m, NULL, 0, &none), 0);
	ck_assert_uint_eq(m.value, (uint64_t)getpid());
	ck_assert_uint_eq(m.count, 1);
	for (enum keep_op op = KEEP_NEXT; op <= KEEP_END; op++)
		ck_assert_int_eq(say_name(other, op, KEEP_STATE, -1), -EPERM);
	close(other);
	/* It is no other one. */
	first_hello();
	ck_assert(!has_ended(held));
	close(held);
}
END_TEST

/* With a keeper of its own: one that serves, whose connection ends, and which stays until it is killed. */
static _Noreturn void linger(int told)
{
	start_keeper();
	leave_state(3600, "/bin/false", sizeof("/bin/false"));
	close(daemon_sock);
	if (write(told, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static int say_only(int sock, enum keep_op op, struct keep_msg *m)
{
	int none = -1;

	*m = (struct keep_msg){ .op = op };
	return say(sock, m, NULL, 0, &none);
}

/* What it still has open, such as an answer that no client has read yet, would mislead the successor. */
START_TEST(no_successor_before_the_process_is_gone)
{
	int told[2], other;
	struct keep_msg m;
	pid_t pid;
	char byte;

	first_hello();
	ck_assert_int_eq(pipe2(told, O_CLOEXEC), 0);
	snprintf(path, sizeof(path), "%s/second", dir);
	pid = fork();
	if (!pid)
		linger(told[1]);
	ck_assert_int_eq(read(told[0], &byte, 1), 1);
	other = connect_keeper();
	do
		ck_assert_int_eq(say_only(other, KEEP_LOOK, &m), 0);
	while (m.value);
	ck_assert_int_eq(say_only(other, KEEP_HELLO, &m), -EBUSY);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ck_assert_int_eq(say_only(other, KEEP_HELLO, &m), 0);
	ck_assert_uint_eq(m.count, 1);
	ck_assert_int_eq(say_only(other, KEEP_END, &m), 0);
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = other, .events = POLLRDHUP }, 1, LONG_MS), 1);
	close(other);
	close(told[0]);
	close(told[1]);
	unlink(path);
	snprintf(path, sizeof(path), "%s/keeper", dir);
}
END_TEST

START_TEST(a_successor_takes_all)
{
	int held = leave_state(3600, "/bin/false", sizeof("/bin/false")), sock, fd;
	struct keep_msg m;
	uint64_t ended;

	if (_i)
		ck_assert_int_eq(say_name(daemon_sock, KEEP_LEAVE, "", -1), 0);
	close(daemon_sock);
	sock = hello(&m);
	ck_assert_uint_eq(m.count, 1);
	ck_assert_uint_eq(m.left, (unsigned int)_i);
	ck_assert_uint_gt(m.value, 0);
	ck_assert_uint_le(m.value, clock_read_ns(CLOCK_BOOTTIME));
	ended = m.value;
	/* One that does not come to serve does not count. */
	close(sock);
	sock = hello(&m);
	ck_assert_uint_eq(m.value, ended);
	fd = say_name(sock, KEEP_TAKE, KEEP_STATE, -1);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert(!has_ended(held));
	ck_assert_int_eq(say_serve(sock, 3600, "/bin/true", sizeof("/bin/true")), 0);
	close(sock);
	sock = hello(&m);
	ck_assert_uint_gt(m.value, ended);
	ck_assert_uint_eq(m.left, 0);
	close(sock);
	close(held);
}
END_TEST

/* --- the end -------------------------------------------------------------------------------------- */

/* A command that leaves a mark: it sees that it was told to end all. */
static size_t mark_command(char *text)
{
	static const char script[] =
		"test \"$1\" = --end && test -z \"$NOTIFY_SOCKET\" && touch \"$0\"";
	size_t n = 0;

	memcpy(text, "/bin/sh", 8);
	n = 8;
	memcpy(text + n, "-c", 3);
	n += 3;
	memcpy(text + n, script, sizeof(script));
	n += sizeof(script);
	memcpy(text + n, mark, strlen(mark) + 1);
	return n + strlen(mark) + 1;
}

START_TEST(nobody_comes)
{
	char text[KEEP_TEXT_MAX];
	int held = leave_state((uint64_t)_i, text, mark_command(text));

	close(daemon_sock);
	keeper_ends();
	ck_assert_int_eq(access(mark, F_OK), 0);
	ck_assert(has_ended(held));
	close(held);
}
END_TEST

START_TEST(the_service_is_over)
{
	char text[KEEP_TEXT_MAX];
	int held = leave_state(3600, text, mark_command(text)), lease[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lease), 0);
	ck_assert_int_eq(say_name(daemon_sock, KEEP_PUT, KEEP_LEASE, lease[0]), 0);
	close(lease[0]);
	/* As long as a daemon serves that is its business. */
	if (_i)
		close(lease[1]);
	first_hello();
	ck_assert_int_ne(access(mark, F_OK), 0);
	close(daemon_sock);
	if (!_i) {
		poll(NULL, 0, 50);
		ck_assert(!has_ended(held));
		close(lease[1]);
	}
	keeper_ends();
	ck_assert_int_eq(access(mark, F_OK), 0);
	close(held);
}
END_TEST

/* There is a program, and nothing that it could adopt. */
START_TEST(nothing_to_be_adopted)
{
	char text[KEEP_TEXT_MAX];
	size_t len = mark_command(text);

	first_hello();
	ck_assert_int_eq(say_serve(daemon_sock, 3600, text, len), 0);
	close(daemon_sock);
	keeper_ends();
	ck_assert_int_ne(access(mark, F_OK), 0);
}
END_TEST

/* The program that ends all is the one that is let in meanwhile; it is hung up on here when it has been. */
START_TEST(while_all_is_ended)
{
	/* Until the socket is gone. */
	static const char script[] = "/bin/sh\0-c\0while test -e \"$0\"; do sleep 0.1; done";
	char command[sizeof(script) + sizeof(path)];
	int held, sock, err, fd = -1;
	struct keep_msg m;
	uint64_t begin = clock_ms();

	memcpy(command, script, sizeof(script));
	strcpy(command + sizeof(script), path);
	held = leave_state(0, command, sizeof(script) + strlen(path) + 1);
	close(daemon_sock);
	do {
		m = (struct keep_msg){ .op = KEEP_LOOK };
		sock = connect_keeper();
		ck_assert_int_eq(say(sock, &m, NULL, 0, &fd), 0);
		err = m.value ? -EBUSY : say_name(sock, KEEP_HELLO, "", -1);
		close(sock);
	} while (err != -ESHUTDOWN && clock_ms() - begin < LONG_MS);
	ck_assert_int_eq(err, -ESHUTDOWN);
	ck_assert(!has_ended(held));
	close(held);
}
END_TEST

/* --- what is not understood ----------------------------------------------------------------------- */

static void send_raw(int sock, const void *buf, size_t len, const int *fds, size_t n)
{
	char control[CMSG_SPACE(3 * sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)buf, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n) {
		struct cmsghdr *c = (struct cmsghdr *)control;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	ck_assert_int_gt(sendmsg(sock, &mh, MSG_NOSIGNAL), 0);
}

enum hostile { SHORT, MAGIC, OTHER_VERSION, NAME, MANY, LONG, NUMBER, HOSTILE_N };

static void send_hostile(int sock, enum hostile how)
{
	char buf[sizeof(struct keep_msg) + KEEP_TEXT_MAX + 1] = { 0 };
	struct keep_msg m = { KEEP_MAGIC, KEEP_VERSION, KEEP_PUT, 0, -1, 0, 0, 0, 0, "x" };
	int pipes[2], fds[3];
	size_t len = sizeof(m);

	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	fds[0] = fds[1] = fds[2] = pipes[1];
	m.magic += how == MAGIC;
	m.version += how == OTHER_VERSION;
	if (how == NAME)
		memset(m.name, 'n', sizeof(m.name));
	if (how == SHORT)
		len--;
	if (how == LONG)
		len = sizeof(buf);
	if (how == NUMBER)
		m.fd = 1000000;
	memcpy(buf, &m, sizeof(m));
	send_raw(sock, buf, len, fds, how == NUMBER ? 0 : how == MANY ? 3 : 1);
	close(pipes[1]);
	/* Nothing of it stays open over there. */
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = pipes[0], .events = POLLIN }, 1, LONG_MS), 1);
	close(pipes[0]);
}

START_TEST(hostile_strangers)
{
	int held = leave_state(3600, "/bin/false", sizeof("/bin/false")), sock = connect_keeper();
	char byte;

	send_hostile(sock, (enum hostile)_i);
	ck_assert_int_eq(recv(sock, &byte, 1, 0), 0);
	close(sock);
	first_hello();
	ck_assert(!has_ended(held));
	close(held);
}
END_TEST

/* It is told, and is the daemon still. */
START_TEST(hostile_daemon)
{
	int held = leave_state(3600, "/bin/false", sizeof("/bin/false")), none = -1;
	struct keep_msg m;

	send_hostile(daemon_sock, (enum hostile)_i);
	ck_assert_int_eq(keep_recv(daemon_sock, keeper, &m, NULL, NULL, &none), 0);
	ck_assert_int_lt(m.error, 0);
	ck_assert_int_eq(say_name(daemon_sock, KEEP_PUT, "x", -1), -EBADF);
	ck_assert_int_eq(say_name(daemon_sock, KEEP_TAKE, "x", -1), -ENOENT);
	ck_assert_int_eq(say_name(daemon_sock, 77, "x", -1), -EOPNOTSUPP);
	ck_assert_int_eq(say_serve(daemon_sock, KEEP_SECONDS_MAX + 1, NULL, 0), -EINVAL);
	ck_assert_int_eq(say_serve(daemon_sock, 1, "no NUL", 6), -EINVAL);
	ck_assert(!has_ended(held));
	close(held);
}
END_TEST

START_TEST(many_who_say_nothing)
{
	int held = leave_state(3600, "/bin/false", sizeof("/bin/false")), sock[20];

	for (int i = 0; i < 20; i++)
		sock[i] = connect_keeper();
	ck_assert_int_eq(say_name(sock[19], KEEP_LOOK, "", -1), 0);
	first_hello();
	for (int i = 0; i < 20; i++)
		close(sock[i]);
	close(held);
}
END_TEST

START_TEST(other_users)
{
	int held, sock, status;
	struct stat st;
	pid_t pid;

	held = leave_state(3600, "/bin/false", sizeof("/bin/false"));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	if (geteuid())
		return; /* cannot be another */
	/* Whatever the file says. */
	ck_assert_int_eq(chmod(path, 0666) | chmod(dir, 0755), 0);
	pid = fork();
	if (!pid) {
		char byte;

		if (seteuid(65534))
			_exit(2);
		sock = try_connect();
		_exit(sock < 0 ? 3 : recv(sock, &byte, 1, 0) == 0 ? 0 : 4);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	first_hello();
	close(held);
}
END_TEST

/* --- the daemon's side ---------------------------------------------------------------------------- */

START_TEST(lent)
{
	static char *const command[] = { (char *)"/bin/false", NULL };
	int held = leave_state(3600, "/bin/false", sizeof("/bin/false")), pipes[2], fd;
	struct lent_config c = { .path = path };
	char text[256] = "", name[KEEP_NAME] = "";
	const struct why why = { text, sizeof(text) };
	struct lent *l, *other;
	bool left;

	ck_assert_int_eq(lent_open(&c, &l, &why), -EBUSY);
	ck_assert_ptr_nonnull(strstr(text, "another CUSE daemon"));
	close(daemon_sock);
	ck_assert_int_eq(lent_open(&c, &l, &why), 0);
	ck_assert(lent_adopting(l) && lent_alive(l) && lent_ended_ns(l, &left) && !left);
	ck_assert_int_eq(lent_next(l, name), 0);
	ck_assert_str_eq(name, KEEP_STATE);
	ck_assert_int_eq(lent_next(l, name), -ENOENT);
	fd = lent_take(l, KEEP_STATE);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	ck_assert_int_eq(lent_give(l, "more", pipes[1]), 0);
	close(pipes[1]);
	ck_assert_int_eq(lent_give(l, "a name that is longer than it may be", pipes[0]), -EINVAL);
	ck_assert_int_eq(lent_serve(l, command, 3600), 0);
	lent_leave(l);
	lent_close(l);
	ck_assert_int_eq(lent_open(&c, &other, &why), 0);
	ck_assert(lent_ended_ns(other, &left) && left);
	ck_assert_int_eq(lent_drop(other, "more"), 0);
	ck_assert(has_ended(pipes[0]));
	ck_assert_int_eq(lent_end(other), 0);
	lent_close(other);
	keeper_ends();
	ck_assert(has_ended(held));
	/* Now there is none: neither to end something, nor its program. */
	c.end = true;
	ck_assert_int_eq(lent_open(&c, &l, &why), -ENOENT);
	c.end = false;
	ck_assert_int_eq(lent_open(&c, &l, &why), -ENOEXEC);
	ck_assert_ptr_nonnull(strstr(text, LENT_PROGRAM));
	close(pipes[0]);
	close(held);
}
END_TEST

START_TEST(keeper_is_killed)
{
	int held = leave_state(3600, "/bin/false", sizeof("/bin/false"));
	struct lent_config c = { .path = path };
	char text[256];
	const struct why why = { text, sizeof(text) };
	struct lent *l;

	close(daemon_sock);
	ck_assert_int_eq(lent_open(&c, &l, &why), 0);
	kill(keeper, SIGKILL);
	while (lent_alive(l))
		poll(NULL, 0, 5);
	ck_assert_int_lt(lent_give(l, "x", held), 0);
	ck_assert_int_eq(lent_end(l), 0);
	lent_close(l);
	close(held);
}
END_TEST

Suite *keeper_suite(void)
{
	Suite *s = suite_create("keeper");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_is_put_can_be_taken);
	tcase_add_test(tc, rings);
	tcase_add_test(tc, holds_no_more_than_it_may);
	tcase_add_test(tc, first_daemon_dies_early);
	tcase_add_test(tc, end_lets_go);
	tcase_add_test(tc, one_daemon_at_a_time);
	tcase_add_test(tc, no_successor_before_the_process_is_gone);
	tcase_add_loop_test(tc, a_successor_takes_all, 0, 2);
	tcase_add_loop_test(tc, nobody_comes, 0, 2);
	tcase_add_loop_test(tc, the_service_is_over, 0, 2);
	tcase_add_test(tc, nothing_to_be_adopted);
	tcase_add_test(tc, while_all_is_ended);
	tcase_add_loop_test(tc, hostile_strangers, 0, HOSTILE_N);
	tcase_add_loop_test(tc, hostile_daemon, 0, HOSTILE_N);
	tcase_add_test(tc, many_who_say_nothing);
	tcase_add_test(tc, other_users);
	tcase_add_test(tc, lent);
	tcase_add_test(tc, keeper_is_killed);
	suite_add_tcase(s, tc);
	return s;
}
