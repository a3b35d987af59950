/* SPDX-License-Identifier: MIT */
/*
 * test_unit.c - the daemon as a service, daemon_unit.h: this process is what it says to systemd
 */
#include <pthread.h>
#include <sys/signalfd.h>

#include "daemon_unit.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/suite.h"

static struct sockaddr_un notify = { .sun_family = AF_UNIX };
static int systemd;

static void setup_systemd(void)
{
	setup();
	snprintf(notify.sun_path, sizeof(notify.sun_path), "%s/notify", dir);
	systemd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(systemd, (struct sockaddr *)&notify, sizeof(notify)), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", notify.sun_path, 1), 0);
}

static void teardown_systemd(void)
{
	unsetenv("NOTIFY_SOCKET");
	close(systemd);
	unlink(notify.sun_path);
	teardown();
}

/* One message. @fd: out: what came along, or -1 */
static void hear_message(char *text, size_t size, int *fd)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { text, size - 1 };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(systemd, &mh, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&mh);

	text[n < 0 ? 0 : n] = '\0';
	*fd = -1;
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
}

/* --- the lease ------------------------------------------------------------------------------------ */

/* With FileDescriptorStoreMax=, or without; until it is asked whether it has seen all. @arg: out: what it keeps; in: -1: it wants nothing */
static void *keep_what_comes(void *arg)
{
	int *kept = arg, fd;
	bool wants = *kept != -1;
	char text[1024];

	do {
		hear_message(text, sizeof(text), &fd);
		if (wants && strstr(text, "FDSTORE=1") && strstr(text, "FDPOLL=0") &&
		    strstr(text, "FDNAME=lease"))
			*kept = fd;
		else if (fd >= 0)
			close(fd);
	} while (!strstr(text, "BARRIER=1"));
	return NULL;
}

static struct lent *open_lent(void)
{
	struct lent_config c = { .path = path };
	char text[256];
	const struct why why = { text, sizeof(text) };
	struct lent *l;

	close(daemon_sock);
	ck_assert_int_eq(lent_open(&c, &l, &why), 0);
	return l;
}

START_TEST(the_lease)
{
	int held = leave_state(3600, "/bin/false", sizeof("/bin/false")), kept = _i ? -1 : -2;
	struct lent *l = open_lent();
	int old[2], fd;
	pthread_t thread;

	/* One of a predecessor, which nobody keeps any more. */
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, old), 0);
	ck_assert_int_eq(lent_give(l, KEEP_LEASE, old[0]), 0);
	close(old[0]);
	close(old[1]);
	ck_assert_int_eq(pthread_create(&thread, NULL, keep_what_comes, &kept), 0);
	close(held);
	ck_assert_int_eq(unit_lease(l), 0);
	pthread_join(thread, NULL);
	fd = lent_take(l, KEEP_LEASE);
	if (_i) {
		ck_assert_int_eq(fd, -ENOENT);
		ck_assert_str_eq(unit_lease_kept(), "refused");
	} else {
		ck_assert_int_ge(kept, 0);
		ck_assert_int_eq(poll(&(struct pollfd){ fd, POLLRDHUP, 0 }, 1, 0), 0);
		close(kept);
		ck_assert_int_eq(poll(&(struct pollfd){ fd, POLLRDHUP, 0 }, 1, LONG_MS), 1);
		close(fd);
		ck_assert_str_eq(unit_lease_kept(), "kept");
	}
	lent_close(l);
}
END_TEST

START_TEST(no_systemd)
{
	int held = leave_state(3600, "/bin/false", sizeof("/bin/false"));
	struct lent *l = open_lent();

	unsetenv("NOTIFY_SOCKET");
	ck_assert_int_eq(lent_give(l, KEEP_LEASE, held), 0);
	ck_assert_int_eq(unit_lease(l), 0);
	ck_assert_int_eq(lent_take(l, KEEP_LEASE), -ENOENT);
	ck_assert_int_eq(unit_lease(l), 0);
	ck_assert_str_eq(unit_lease_kept(), "none");
	lent_close(l);
	close(held);
}
END_TEST

/* --- what is not right ---------------------------------------------------------------------------- */

static bool mark_is_there(const void *arg)
{
	return !access(arg, F_OK);
}

/* The daemon, a process of its own: it is handed a lease, or none, and waits. Its exit status is how that went. */
static pid_t start_waiting(int lease, bool looks)
{
	pid_t pid = fork();
	char number[16];
	sigset_t set;
	int got;

	if (pid)
		return pid;
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	setenv("LISTEN_FDS", lease < 0 ? "0" : "1", 1);
	setenv("LISTEN_FDNAMES", KEEP_LEASE, 1);
	if (lease >= 0 && dup2(lease, 3) != 3)
		_exit(100);
	if (lease > 3)
		close(lease);
	unit_begin();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	got = unit_wait(signalfd(-1, &set, SFD_CLOEXEC), "this is wrong",
			looks ? mark_is_there : NULL, mark);
	/* It goes along if it begins anew. */
	if (got == UNIT_MENDED && fcntl(3, F_GETFD) != 0)
		_exit(101);
	_exit(got);
}

static int how_it_went(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* What "systemctl status" shows, and that more time is asked for. */
static void has_told(const char *cure)
{
	char text[1024];
	int none;

	hear_message(text, sizeof(text), &none);
	ck_assert_ptr_nonnull(strstr(text, "STATUS=Not started"));
	ck_assert_ptr_nonnull(strstr(text, "Wrong: this is wrong."));
	ck_assert_ptr_nonnull(strstr(text, cure));
	hear_message(text, sizeof(text), &none);
	ck_assert_ptr_nonnull(strstr(text, "EXTEND_TIMEOUT_USEC="));
}

enum end { KEEPER_ENDS, IS_STOPPED, IS_MENDED, END_N };

START_TEST(it_waits_for_who_mends)
{
	static const int want[] = { UNIT_OVER, UNIT_STOPPED, UNIT_MENDED };
	int lease[2];
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lease), 0);
	pid = start_waiting(lease[0], _i == IS_MENDED);
	has_told(_i == IS_MENDED ? "looked at each second" : "restart");
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	if (_i == KEEPER_ENDS)
		shutdown(lease[1], SHUT_RDWR);
	if (_i == IS_STOPPED)
		kill(pid, SIGTERM);
	if (_i == IS_MENDED)
		close(open(mark, O_CREAT | O_WRONLY, 0600));
	ck_assert_int_eq(how_it_went(pid), want[_i]);
	close(lease[0]);
	close(lease[1]);
}
END_TEST

START_TEST(nobody_waits_without_a_predecessor)
{
	int lease[2];

	ck_assert_int_eq(how_it_went(start_waiting(-1, true)), UNIT_OVER);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lease), 0);
	shutdown(lease[1], SHUT_RDWR);
	ck_assert_int_eq(how_it_went(start_waiting(lease[0], true)), UNIT_OVER);
	close(lease[0]);
	close(lease[1]);
}
END_TEST

Suite *unit_suite(void);

Suite *unit_suite(void)
{
	Suite *s = suite_create("unit");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup_systemd, teardown_systemd);
	tcase_add_loop_test(tc, the_lease, 0, 2);
	tcase_add_test(tc, no_systemd);
	tcase_add_loop_test(tc, it_waits_for_who_mends, 0, END_N);
	tcase_add_test(tc, nobody_waits_without_a_predecessor);
	suite_add_tcase(s, tc);
	return s;
}
