/* SPDX-License-Identifier: MIT */
/*
 * window/test_window.c - the end of windows, with real processes as clients
 *
 * Where events are to be lost the watcher starts late, with the kernel's queue already full.
 */
#include "tests/unit/window/rig.h"

/* --- ends ------------------------------------------------------------------------------------ */

START_TEST(gone_after_munmap)
{
	static struct user u;
	struct client c = mapped_client(&u);

	assert_held(&u);
	tell(&c, 'p');
	assert_held(&u);
	ck_assert_uint_eq(windows_count(windows), 1);
	tell(&c, 'u');
	assert_gone_promptly(&u);
	ck_assert_uint_eq(windows_count(windows), 0);
	end_client(&c, 'x');
}
END_TEST

START_TEST(gone_after_end)
{
	static struct user u;
	struct client c = mapped_client(&u);

	assert_held(&u);
	end_client(&c, _i ? 'k' : 'x');
	assert_gone_promptly(&u);
}
END_TEST

START_TEST(gone_after_last_child)
{
	static struct user u;
	struct client c = mapped_client(&u);
	int tell_child = dup(c.tell);

	tell(&c, 'f');
	end_client(&c, 'k');
	assert_held(&u);
	ck_assert_int_eq(write(tell_child, "q", 1), 1);
	close(tell_child);
	assert_gone_promptly(&u);
}
END_TEST

START_TEST(descriptor_holds)
{
	static struct user u;
	struct client c = client_new(make(&u));

	window_delivered(windows, u.id, getpid());
	tell(&c, 'm');
	tell(&c, 'u');
	assert_held(&u);
	tell(&c, 'c');
	assert_gone_promptly(&u);
	end_client(&c, 'x');
}
END_TEST

START_TEST(readonly_window_ends)
{
	static struct user u;
	int fd = make_at(&u, 1, true, WINDOW_OF_GNTALLOC);
	char *p = map_window(fd, PROT_READ);

	ck_assert_ptr_nonnull(p);
	close(fd);
	assert_held(&u);
	munmap(p, PAGES * PAGE);
	assert_gone_promptly(&u);
}
END_TEST

START_TEST(failed_opening_is_not_reported)
{
	static struct user u;
	int expected[] = {
		[FAULT_BEFORE] = -ENOSPC, [FAULT_LATE] = -EIO, [FAULT_ELSEWHERE] = -EXDEV
	};

	fake.fault = (enum fault)_i;
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(make_at(&u, 0, false, WINDOW_OF_GNTDEV), expected[_i]);
	sleep_ms(50);
	ck_assert_int_eq(gone(&u), 0);
	ck_assert_uint_eq(windows_count(windows), 0);
}
END_TEST

/* Root opens the file once more, which is no end: a debugger, or grep -r. */
static int open_again(const struct client *c, int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)c->pid, fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

START_TEST(opened_again_does_not_end)
{
	static struct user u;
	int fd = make(&u);
	struct client c = client_new(fd);
	int again;

	tell(&c, 'm');
	window_delivered(windows, u.id, getpid());
	for (int i = 0; i < 5; i++) {
		again = open_again(&c, fd);
		ck_assert_int_ge(again, 0);
		close(again);
		assert_held(&u);
	}
	tell(&c, 'c');
	assert_held(&u);
	end_client(&c, 'k');
	wait_gone(&u);
}
END_TEST

START_TEST(opened_again_holds)
{
	static struct user u;
	int fd = make(&u);
	struct client c = client_new(fd);
	int again = open_again(&c, fd);

	ck_assert_int_ge(again, 0);
	window_delivered(windows, u.id, getpid());
	end_client(&c, 'k');
	assert_held(&u);
	close(again);
	wait_gone(&u);
}
END_TEST

START_TEST(destroy_reports_held)
{
	static struct user u[3];
	struct client c = client_new(make(&u[0]));
	char path[96];

	tell(&c, 'm');
	ck_assert_int_ge(make(&u[1]), 0);
	ck_assert_int_ge(make(&u[2]), 0);
	windows_destroy(windows);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(gone(&u[i]), 1);
	snprintf(path, sizeof(path), "%s/" MACHINE, dir);
	ck_assert_int_eq(access(path, F_OK), -1);
	end_client(&c, 'k');
	new_windows();
}
END_TEST

union fd_control {
	struct cmsghdr h;
	char buf[CMSG_SPACE(sizeof(int))];
};

/* Send or receive a descriptor with an id. */
static void send_fd(int sock, int fd, uint64_t id)
{
	union fd_control control = { .h = { .cmsg_len = CMSG_LEN(sizeof(int)),
					    .cmsg_level = SOL_SOCKET,
					    .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { &id, sizeof(id) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	ck_assert_int_eq(sendmsg(sock, &msg, 0), sizeof(id));
}

static int receive_fd(int sock, uint64_t *id)
{
	union fd_control control;
	struct iovec iov = { id, sizeof(*id) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int fd;

	ck_assert_int_eq(recvmsg(sock, &msg, 0), sizeof(*id));
	memcpy(&fd, CMSG_DATA(&control.h), sizeof(fd));
	return fd;
}

/* A daemon that makes a window, sends it to us, and is killed. */
static int window_of_the_dead(uint64_t *id)
{
	static struct user u;
	int sock[2], fd;
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock), 0);
	pid = fork();
	if (!pid) {
		new_windows();
		fd = make(&u);
		send_fd(sock[1], fd, u.id);
		_exit(0);
	}
	fd = receive_fd(sock[0], id);
	waitpid(pid, NULL, 0);
	close(sock[0]);
	close(sock[1]);
	return fd;
}

/* The windows of a daemon that was killed have the ids, indexes and counts that ours have. */
START_TEST(windows_of_a_former_life)
{
	static struct user u;
	uint64_t old_id;
	int old, now;

	windows_destroy(windows);
	old = window_of_the_dead(&old_id);
	new_windows();
	ck_assert_int_eq(windows_start(windows), 0);
	now = make(&u);
	ck_assert_uint_eq(u.id, old_id);
	close(old);
	assert_held(&u);
	close(now);
	assert_gone_promptly(&u);
}
END_TEST

/* --- lost events ----------------------------------------------------------------------------- */

#define MANY 9000

static struct user many[MANY];

/* Fill the queue of a watcher that does not run: two events come with each window. */
static void overflow(void)
{
	for (int i = 0; i < MANY; i++) {
		int fd = make(&many[i]);

		close(fd);
		window_delivered(windows, many[i].id, getpid());
	}
}

static void wait_all_gone(void)
{
	for (int i = 0; i < MANY; i++)
		wait_gone(&many[i]);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(gone(&many[i]), 1);
}

START_TEST(overflow_finds_the_gone)
{
	static struct user by_map, by_fd;
	struct client c1 = mapped_client(&by_map);
	struct client c2 = client_new(make(&by_fd));

	window_delivered(windows, by_fd.id, getpid());
	overflow();
	ck_assert_int_eq(windows_start(windows), 0);
	wait_all_gone();
	assert_held(&by_map);
	assert_held(&by_fd);
	ck_assert_uint_eq(windows_count(windows), 2);
	end_client(&c1, 'k');
	wait_gone(&by_map);
	tell(&c2, 'c');
	wait_gone(&by_fd);
	end_client(&c2, 'x');
}
END_TEST

/* It costs looks at processes for the windows that there were: for those that are made afterwards none. */
START_TEST(overflow_is_over)
{
	static struct user before, after[50];
	struct client c = mapped_client(&before);
	int until_now;

	overflow();
	ck_assert_int_eq(windows_start(windows), 0);
	wait_all_gone();
	assert_held(&before);
	until_now = __atomic_load_n(&looks, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 50; i++) {
		struct client next = mapped_client(&after[i]);

		end_client(&next, 'k');
		wait_gone(&after[i]);
	}
	/* A last one may have been under way. */
	ck_assert_int_lt(__atomic_load_n(&looks, __ATOMIC_SEQ_CST) - until_now, 10);
	end_client(&c, 'k');
	wait_gone(&before);
}
END_TEST

/* The event of a window's end was lost; it is in a socket, then with nobody. */
START_TEST(overflow_spares_the_undelivered)
{
	static struct user sent, lost;
	int sock[2];
	int fd = make(&sent);

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock), 0);
	send_fd(sock[0], fd, 0);
	close(fd);
	overflow();
	close(make(&lost));
	ck_assert_int_eq(windows_start(windows), 0);
	wait_all_gone();
	assert_held(&sent);
	assert_held(&lost);
	/* Only now may it be looked for. */
	window_delivered(windows, lost.id, getpid());
	wait_gone(&lost);
	assert_held(&sent);
	close(sock[0]);
	close(sock[1]);
	window_delivered(windows, sent.id, getpid());
	wait_gone(&sent);
}
END_TEST

/* A client of another pid namespace: no pass can see whether it holds the window. */
START_TEST(overflow_spares_the_invisible)
{
	static struct user seen, unseen;
	int fd = make(&seen), other = make(&unseen);

	window_delivered(windows, seen.id, getpid());
	window_delivered(windows, unseen.id, 0);
	overflow();
	close(fd);
	close(other);
	ck_assert_int_eq(windows_start(windows), 0);
	wait_gone(&seen);
	sleep_ms(300);
	assert_held(&unseen);
}
END_TEST

static void assert_found_in_hiding(const char *commands)
{
	static struct user u;
	struct client c = client_new(make(&u));

	for (const char *s = commands; *s; s++)
		tell(&c, *s);
	window_delivered(windows, u.id, getpid());
	overflow();
	ck_assert_int_eq(windows_start(windows), 0);
	wait_all_gone();
	assert_held(&u);
	kill(c.pid, SIGKILL);
	waitpid(c.pid, NULL, 0);
	close(c.tell);
	wait_gone(&u);
}

/* Descriptors in a thread's own table; mappings and descriptors behind a first thread that ended. */
START_TEST(overflow_looks_into_threads)
{
	static const char *const hiding[] = { "h", "mcl", "l" };

	assert_found_in_hiding(hiding[_i]);
}
END_TEST

START_TEST(overflow_does_not_miss_forks)
{
	static struct user u;
	struct client c;

	forks = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(forks, MAP_FAILED);
	c = mapped_client(&u);
	overflow();
	ck_assert_int_eq(write(c.tell, "s", 1), 1);
	ck_assert_int_eq(windows_start(windows), 0);
	wait_all_gone();
	sleep_ms(100);
	ck_assert_int_gt(__atomic_load_n(forks, __ATOMIC_SEQ_CST), 10);
	ck_assert_int_eq(gone(&u), 0);
	__atomic_store_n(forks, -1000000, __ATOMIC_SEQ_CST);
	waitpid(c.pid, NULL, 0);
	close(c.tell);
	wait_gone(&u);
}
END_TEST

/* One client, more windows than the queue has room for, killed. */
START_TEST(mass_death)
{
	static struct user u[20000];
	static char *at[20000];
	const int n = sizeof(u) / sizeof(u[0]);
	uint64_t start;
	pid_t pid;

	for (int i = 0; i < n; i++) {
		int fd = make(&u[i]);

		at[i] = map_window(fd, PROT_READ);
		ck_assert_ptr_nonnull(at[i]);
		close(fd);
		window_delivered(windows, u[i].id, getpid());
	}
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
	}
	for (int i = 0; i < n; i++)
		munmap(at[i], PAGES * PAGE);
	sleep_ms(100);
	ck_assert_uint_eq(windows_count(windows), n);
	start = now_ms();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	while (windows_count(windows))
		sleep_ms(1);
	if (getenv("VERBOSE"))
		fprintf(stderr, "# %d windows ended in %d ms\n", n, (int)(now_ms() - start));
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(gone(&u[i]), 1);
}
END_TEST

/* --- turns ------------------------------------------------------------------------------------- */

static struct user patient;
static int before_patient;

/* Another open's window: how many of them have ended before the one that is waited for. */
static void count_before(struct window_user *wu)
{
	user_gone(wu);
	before_patient += !gone(&patient);
}

static void end_many(int from, int to, uint64_t open_id)
{
	struct hv_grant g[PAGES] = { { .status = 0 } };
	struct hv_place at = { .open_id = open_id };

	for (int i = from; i < to; i++) {
		many[i].wu.gone = count_before;
		close(window_make(windows, &fake.hv, WINDOW_OF_GNTDEV, g, PAGES, &at, &many[i].wu,
				  &many[i].id));
	}
}

/* Thousands of windows of one open end, and one of another in their middle: it does not wait for them. */
START_TEST(opens_take_turns)
{
	end_many(0, 2000, 1);
	close(make(&patient));
	end_many(2000, 4000, 1);
	ck_assert_int_eq(windows_start(windows), 0);
	wait_gone(&patient);
	for (int i = 0; i < 4000; i++)
		wait_gone(&many[i]);
	ck_assert_int_le(before_patient, 64);
}
END_TEST

/* --- suite ----------------------------------------------------------------------------------- */

Suite *window_suite(void);
Suite *window_suite(void)
{
	Suite *s = suite_create("window");
	TCase *tc = add_case(s, "end", setup);

	tcase_add_test(tc, gone_after_munmap);
	tcase_add_loop_test(tc, gone_after_end, 0, 2);
	tcase_add_test(tc, gone_after_last_child);
	tcase_add_test(tc, descriptor_holds);
	tcase_add_test(tc, readonly_window_ends);
	tcase_add_loop_test(tc, failed_opening_is_not_reported, FAULT_BEFORE, FAULT_ELSEWHERE + 1);
	tcase_add_test(tc, opened_again_does_not_end);
	tcase_add_test(tc, opened_again_holds);
	tcase_add_test(tc, destroy_reports_held);
	tcase_add_test(tc, windows_of_a_former_life);
	tcase_add_test(tc, mass_death);

	tc = add_case(s, "overflow", setup_late);
	tcase_add_test(tc, overflow_finds_the_gone);
	tcase_add_test(tc, overflow_is_over);
	tcase_add_test(tc, overflow_spares_the_undelivered);
	tcase_add_test(tc, overflow_spares_the_invisible);
	tcase_add_loop_test(tc, overflow_looks_into_threads, 0, 3);
	tcase_add_test(tc, overflow_does_not_miss_forks);
	tcase_add_test(tc, opens_take_turns);
	return s;
}
