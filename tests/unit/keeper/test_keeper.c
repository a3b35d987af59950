/* SPDX-License-Identifier: MIT */
/*
 * keeper/test_keeper.c - the keeper holds what it was given for one daemon after another, whatever it is told
 *
 * A child is the keeper; this process plays daemons, by messages.
 */
#include <liburing.h>

#include "keeper/hold.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/suite.h"

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
	ck_assert_int_eq(hold_get(&h, "16383"), 1000000 + 16383);
	hold_keep_only(&h, not_c);
	ck_assert_uint_eq(h.n, KEEP_THINGS - 1);
	ck_assert_int_eq(hold_get(&h, "c"), -ENOENT);
	close(null);
}
END_TEST

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
	ck_assert_str_eq(m.name, "7");
	for (enum keep_op op = KEEP_NEXT; op <= KEEP_END; op++)
		ck_assert_int_eq(say_name(other, op, KEEP_STATE, -1), -EPERM);
	close(other);
	/* It is no other one. */
	first_hello();
	ck_assert(!has_ended(held));
	close(held);
}
END_TEST

static int say_only(int sock, enum keep_op op, struct keep_msg *m)
{
	int none = -1;

	*m = (struct keep_msg){ .op = op };
	return say(sock, m, NULL, 0, &none);
}

static void nobody_serves(int sock)
{
	struct keep_msg m;

	do
		ck_assert_int_eq(say_only(sock, KEEP_LOOK, &m), 0);
	while (m.value);
}

/* What it still has open, such as an answer that no client has read yet, would mislead the successor. */
START_TEST(no_successor_before_the_process_is_gone)
{
	int held = start_other(true, -1, 3600, "/bin/false", sizeof("/bin/false")), sock;
	struct keep_msg m;

	sock = connect_keeper();
	other_lingers();
	nobody_serves(sock);
	ck_assert_int_eq(say_only(sock, KEEP_HELLO, &m), -EBUSY);
	other_dies();
	ck_assert_int_eq(say_only(sock, KEEP_HELLO, &m), 0);
	ck_assert_uint_eq(m.count, 1);
	ck_assert_int_eq(say_only(sock, KEEP_END, &m), 0);
	keeper_ends();
	close(sock);
	close(held);
}
END_TEST

/* Nor would what ends all be misled less. Neither for want of time, nor of the service. */
START_TEST(no_end_before_the_process_is_gone)
{
	char text[KEEP_TEXT_MAX];
	int lease[2], held, sock;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lease), 0);
	held = start_other(true, lease[0], _i ? 3600 : 0, text, mark_command(text));
	if (_i)
		shutdown(lease[1], SHUT_RDWR);
	sock = connect_keeper();
	other_lingers();
	nobody_serves(sock);
	for (int i = 0; i < 20; i++) {
		poll(NULL, 0, 10);
		ck_assert_int_eq(say_name(sock, KEEP_LOOK, "", -1), 0);
		ck_assert_int_ne(access(mark, F_OK), 0);
	}
	other_dies();
	keeper_ends();
	ck_assert_int_eq(access(mark, F_OK), 0);
	close(lease[0]);
	close(lease[1]);
	close(sock);
	close(held);
}
END_TEST

/* One that was lent the header and refuses it may wait, and be waited for by nobody. */
START_TEST(who_refuses_is_in_nobodys_way)
{
	int held = start_other(true, -1, 3600, "/bin/false", sizeof("/bin/false")), sock, next;
	struct keep_msg m;
	int status;
	pid_t pid;

	other_dies();
	sock = connect_keeper();
	ck_assert_int_eq(say_only(sock, KEEP_HELLO, &m), 0);
	close(say_name(sock, KEEP_TAKE, KEEP_STATE, -1));
	if (_i)
		ck_assert_int_eq(say_name(sock, KEEP_TAKE, "records", -1), -ENOENT);
	close(sock);
	pid = fork();
	if (!pid) {
		next = connect_keeper();
		nobody_serves(next);
		_exit(say_only(next, KEEP_HELLO, &m) == (_i ? -EBUSY : 0) ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	close(held);
}
END_TEST

/* A successor that has said HELLO and no more has so long as the last daemon said, and is killed then. */
START_TEST(who_does_not_come_to_serve)
{
	char text[KEEP_TEXT_MAX];
	int held = start_other(true, -1, 1, text, mark_command(text)), status;
	struct keep_msg m;
	pid_t pid;

	other_dies();
	pid = fork();
	if (!pid) {
		hello(&m);
		for (;;)
			pause();
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	keeper_ends();
	ck_assert_int_eq(access(mark, F_OK), 0);
	close(held);
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

START_TEST(nobody_comes)
{
	char text[KEEP_TEXT_MAX];
	int held = start_other(true, -1, (uint64_t)_i, text, mark_command(text));

	other_dies();
	keeper_ends();
	ck_assert_int_eq(access(mark, F_OK), 0);
	ck_assert(has_ended(held));
	close(held);
}
END_TEST

START_TEST(the_service_is_over)
{
	char text[KEEP_TEXT_MAX];
	int lease[2], held;

	/* The lease itself, which whoever is started has, too, but for the keeper. */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lease), 0);
	held = start_other(true, lease[0], 3600, text, mark_command(text));
	close(lease[0]);
	/* As long as a daemon serves that is its business. */
	if (_i)
		shutdown(lease[1], SHUT_RDWR);
	ck_assert_int_ne(access(mark, F_OK), 0);
	other_dies();
	if (!_i) {
		poll(NULL, 0, 50);
		ck_assert(!has_ended(held));
		shutdown(lease[1], SHUT_RDWR);
	}
	close(lease[1]);
	keeper_ends();
	ck_assert_int_eq(access(mark, F_OK), 0);
	close(held);
}
END_TEST

/* There is a program, and nothing that it could adopt. */
START_TEST(nothing_to_be_adopted)
{
	char text[KEEP_TEXT_MAX];

	close(start_other(false, -1, 3600, text, mark_command(text)));
	other_dies();
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
	held = start_other(true, -1, 0, command, sizeof(script) + strlen(path) + 1);
	other_dies();
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
	tcase_add_loop_test(tc, no_end_before_the_process_is_gone, 0, 2);
	tcase_add_loop_test(tc, who_refuses_is_in_nobodys_way, 0, 2);
	tcase_add_test(tc, who_does_not_come_to_serve);
	tcase_add_loop_test(tc, a_successor_takes_all, 0, 2);
	tcase_add_loop_test(tc, nobody_comes, 0, 2);
	tcase_add_loop_test(tc, the_service_is_over, 0, 2);
	tcase_add_test(tc, nothing_to_be_adopted);
	tcase_add_test(tc, while_all_is_ended);
	tcase_add_loop_test(tc, hostile_strangers, 0, HOSTILE_N);
	tcase_add_loop_test(tc, hostile_daemon, 0, HOSTILE_N);
	tcase_add_test(tc, many_who_say_nothing);
	tcase_add_test(tc, other_users);
	suite_add_tcase(s, tc);
	return s;
}
