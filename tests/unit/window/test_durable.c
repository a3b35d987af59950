/* SPDX-License-Identifier: MIT */
/*
 * window/test_durable.c - windows outlive the daemon: it is killed at each step, and its successor goes on
 *
 * The test holds what the keeper would, and is the client: windows come to it through a socket. Daemons are children. What
 * they tell of their windows is in memory that all share.
 */
#include "tests/unit/window/rig.h"

#include <sys/inotify.h>

#include "base/step.h"
#include "state/record.h"
#include "tests/unit/window/fds.h"
#include "window/lasting.h"

#define USERS	  24000
#define CELLS	  (1U << 16)
#define ASK_MAKE  'm' /* a window */
#define ASK_LEAVE 'l'
#define ASK_END	  'e' /* for good */

/**
 * struct shared - what the daemons tell
 * @life:   of the windows
 * @n:	    users so far: @id, and how often the end of its window was told
 * @joined: the last daemon has found its window, and thinks that it was @sent
 * @asked:  for how many windows it looked
 * @quick:  clients have done more with a window before it is noted that it was sent
 * @forget: the next daemon joins so many windows and forgets them again; @left: what it found in all
 * @used:   cells in use when the last daemon ended for good
 */
struct shared {
	uint64_t life;
	unsigned int n;
	uint64_t id[USERS];
	int gone[USERS];
	bool joined[USERS];
	bool quick;
	bool sent[USERS];
	unsigned int asked;
	unsigned int forget;
	unsigned int left;
	uint64_t used;
};
static struct shared *shared;

static struct step_orders *steps;

/* What the keeper holds. */
static struct windows_keep kept;
static struct records *first_records;
static int records_kept;

static pid_t daemon_pid;
static int to_daemon;

/* What the client has: descriptors by user; -1 has been closed, 0 never came. */
static int held[USERS];
static char *mapped[USERS];

static void let_go(unsigned int n)
{
	if (mapped[n])
		munmap(mapped[n], PAGES * PAGE);
	if (held[n] > 0)
		close(held[n]);
	mapped[n] = NULL;
	held[n] = -1;
}

/* --- the daemon --------------------------------------------------------------------------------- */

static struct window_user users[USERS];

static void durable_gone(struct window_user *wu)
{
	__atomic_fetch_add(&shared->gone[wu - users], 1, __ATOMIC_SEQ_CST);
}

/* As window/conn.c does it. */
static void make_window(int sock)
{
	struct hv_grant g[PAGES] = { { .status = 0 } };
	struct hv_place at = { .first = 0, .open_id = 1 };
	unsigned int n = __atomic_fetch_add(&shared->n, 1, __ATOMIC_SEQ_CST);
	int fd;

	users[n].gone = durable_gone;
	fd = window_make(windows, &fake.hv, WINDOW_OF_GNTDEV, g, PAGES, &at, &users[n],
			 &shared->id[n]);
	if (fd < 0)
		_exit(2);
	window_sending(windows, shared->id[n], getppid());
	send_fds(sock, n, &fd, 1);
	if (shared->quick) {
		rcu_read_enter();
		window_shown(windows, shared->id[n]);
		rcu_read_leave();
	}
	window_sent(windows, shared->id[n]);
	window_delivered(windows, shared->id[n], getppid());
	close(fd);
}

static void look_at_all(void)
{
	struct window_left left;
	uint64_t cursor = 0;

	shared->left = 0;
	while (windows_left(windows, WINDOW_OF_GNTDEV, &cursor, &left)) {
		if (left.open_id != 1 || left.count != PAGES || left.index || left.readonly)
			_exit(6);
		shared->left++;
	}
	cursor = 0;
	if (windows_left(windows, WINDOW_OF_GNTALLOC, &cursor, &left))
		_exit(7);
}

static void join_all(void)
{
	for (unsigned int n = 0; n < shared->n; n++) {
		users[n].gone = durable_gone;
		shared->joined[n] =
			!window_join(windows, shared->id[n], &users[n], &shared->sent[n]);
	}
	for (unsigned int n = 0; n < shared->forget; n++)
		if (!window_forget(windows, shared->id[n]) || window_forget(windows, shared->id[n]))
			_exit(8);
	shared->asked = shared->n;
	windows_adopted(windows);
}

static void end_for_good(struct records *records)
{
	uint64_t made;

	windows_destroy(windows);
	records_count(records, &shared->used, &made);
}

static void daemon_main(int sock, bool first)
{
	struct windows_keep keep = kept;
	const char *why;
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* What the client has is not the daemon's. */
	for (unsigned int n = 0; n < shared->n; n++)
		let_go(n);
	rcu_thread_enter();
	keep.life = &shared->life;
	keep.records = first_records;
	if (!first && records_adopt(records_kept, &keep.records))
		_exit(3);
	if (windows_new(dir, &keep, &windows, &why))
		_exit(4);
	if (first) {
		int fd = openat(windows_dirfd(windows), MACHINE, O_RDWR | O_CREAT | O_EXCL, 0600);

		if (fd < 0 || ftruncate(fd, 64 * PAGE))
			_exit(5);
		close(fd);
	} else {
		look_at_all();
		join_all();
	}
	windows_kept(windows, &keep);
	send_fds(sock, 0, (int[]){ keep.dir, keep.closes, keep.opens, keep.hand }, 4);
	windows_start(windows);
	while (read(sock, &c, 1) == 1 && c == ASK_MAKE)
		make_window(sock);
	if (c == ASK_LEAVE)
		windows_leave(windows);
	if (c == ASK_END)
		end_for_good(keep.records);
	_exit(0);
}

/* --- the keeper and the client ---------------------------------------------------------------------- */

static void take_kept(const int fd[4])
{
	kept.dir = fd[0];
	kept.closes = fd[1];
	kept.opens = fd[2];
	kept.hand = fd[3];
}

static void close_kept(void)
{
	close(kept.dir);
	close(kept.closes);
	close(kept.opens);
	close(kept.hand);
}

/* Return: whether it serves; it may have been killed before. */
static bool start_daemon(bool first)
{
	unsigned int n;
	int sock[2], fd[4], got;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock), 0);
	daemon_pid = fork();
	ck_assert_int_ge(daemon_pid, 0);
	if (!daemon_pid) {
		close(sock[0]);
		daemon_main(sock[1], first);
	}
	close(sock[1]);
	to_daemon = sock[0];
	got = receive_fds(to_daemon, &n, fd);
	if (got != 4)
		return false;
	if (!first)
		close_kept();
	take_kept(fd);
	return true;
}

/* All of it is over, with what it had open. @status: as it is to have ended; -1: killed */
static void end_daemon(int status)
{
	int how;

	ck_assert_int_eq(waitpid(daemon_pid, &how, 0), daemon_pid);
	if (status < 0)
		ck_assert_msg(WIFSIGNALED(how), "the daemon ended by itself: %x", how);
	else
		ck_assert_msg(WIFEXITED(how) && WEXITSTATUS(how) == status,
			      "the daemon ended otherwise: %x", how);
	close(to_daemon);
}

static void kill_daemon(void)
{
	kill(daemon_pid, SIGKILL);
	end_daemon(-1);
}

static void tell_daemon(char what, int status)
{
	ck_assert_int_eq(send(to_daemon, &what, 1, MSG_NOSIGNAL), 1);
	end_daemon(status);
}

/* What has come of windows. Return: whether the daemon is there. */
static bool receive_window(void)
{
	unsigned int n;
	int fd;

	if (receive_fds(to_daemon, &n, &fd) != 1)
		return false;
	held[n] = fd;
	return true;
}

static bool ask_window(void)
{
	char c = ASK_MAKE;

	return send(to_daemon, &c, 1, MSG_NOSIGNAL) == 1 && receive_window();
}

static void map_held(unsigned int n)
{
	mapped[n] = map_window(held[n], PROT_READ);
	ck_assert_ptr_nonnull(mapped[n]);
	close(held[n]);
	held[n] = 0;
}

static bool is_held(unsigned int n)
{
	return mapped[n] || held[n] > 0;
}

static int times_gone(unsigned int n)
{
	return __atomic_load_n(&shared->gone[n], __ATOMIC_SEQ_CST);
}

/* Each window that nobody has is known to be gone, sooner or later. */
static void wait_for_ends(void)
{
	uint64_t start = now_ms();

	for (unsigned int n = 0; n < shared->n; n++)
		while (!is_held(n) && !times_gone(n) && shared->id[n] &&
		       (held[n] || shared->joined[n])) {
			ck_assert_msg(now_ms() - start < 30000, "the end of window %u is lost", n);
			sleep_ms(1);
		}
}

static void assert_gone(unsigned int n)
{
	for (int ms = 0; !times_gone(n) && ms < 10000; ms++)
		sleep_ms(1);
	ck_assert_int_eq(times_gone(n), 1);
}

static void assert_held_are_there(void)
{
	for (unsigned int n = 0; n < shared->n; n++)
		if (is_held(n))
			ck_assert_msg(!times_gone(n), "window %u is held, and was told to be gone",
				      n);
}

static void set_up(void)
{
	static char name[40];
	int memory;

	fake.hv.ops = &fake_ops;
	fake.fault = FAULT_NONE;
	snprintf(dir, sizeof(dir), "%s/test-durable-%d-%x", test_place(), (int)getpid(),
		 test_moment());
	shared = share("shared", sizeof(*shared), &memory);
	close(memory);
	steps = share("steps", sizeof(*steps), &memory);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", memory);
	setenv("GNTDEV_STEPS", name, 1);
	kept = (struct windows_keep){ .dir = -1, .closes = -1, .opens = -1, .hand = -1 };
	ck_assert_int_eq(records_new(CELLS, &first_records), 0);
	records_kept = records_fd(first_records);
	ck_assert(start_daemon(true));
}

static void tear_down(void)
{
	for (unsigned int n = 0; n < shared->n; n++)
		if (is_held(n))
			let_go(n);
	wait_for_ends();
	tell_daemon(ASK_END, 0);
	ck_assert_uint_eq(shared->used, 0);
	ck_assert_int_eq(access(dir, F_OK), -1);
	close_kept();
}

/* --- tests -------------------------------------------------------------------------------------- */

static void assert_all_as_it_is(int deaths)
{
	assert_held_are_there();
	wait_for_ends();
	for (unsigned int n = 0; n < shared->n; n++) {
		bool came = held[n] || mapped[n];

		ck_assert_int_le(times_gone(n), 1 + deaths);
		ck_assert_msg(came || !shared->joined[n] || !shared->sent[n],
			      "window %u was never sent", n);
		ck_assert_msg(!is_held(n) || !deaths || shared->joined[n] || n >= shared->asked,
			      "window %u is held, and was forgotten", n);
	}
}

/* One comes, one goes. Return: whether the daemon is there. */
static bool one_more(void)
{
	unsigned int n = shared->n;

	if (!ask_window())
		return false;
	if (n % 3 == 0)
		map_held(n);
	if (n >= 4 && n % 4)
		let_go(n - 4);
	return true;
}

/* It has been killed, and so may its successors be. Return: how many of them. */
static int start_successors(void)
{
	int deaths = 1;

	/* What had been sent is there. */
	while (receive_window())
		;
	end_daemon(-1);
	for (; !start_daemon(false); deaths++)
		end_daemon(-1);
	return deaths;
}

static const enum step window_steps[] = {
	STEP_window_recorded, STEP_window_live,	     STEP_window_sending, STEP_window_replied,
	STEP_window_sent,     STEP_window_delivered, STEP_events_read,	  STEP_event_handled,
	STEP_events_done,     STEP_window_ended,     STEP_window_gone,
};
#define N_WINDOW_STEPS (sizeof(window_steps) / sizeof(window_steps[0]))

static void die_at(enum step s, unsigned int times)
{
	steps->die_in = times;
	__atomic_store_n(&steps->die_at, s + 1, __ATOMIC_RELEASE);
}

START_TEST(a_kill_at_each_step_loses_nothing)
{
	enum step s = window_steps[_i];
	int deaths = 0;

	for (unsigned int times = 1; times < 12; times += 5) {
		die_at(s, times);
		for (int i = 0; i < 30 || steps->die_at; i++) {
			ck_assert_int_lt(i, 20000);
			/* The watcher may need its time. */
			if (i >= 30)
				sleep_ms(1);
			if (one_more())
				continue;
			/* Also while it adopts, where it comes by. */
			if (i % 2)
				die_at(s, 1);
			deaths += start_successors();
			steps->die_at = 0;
		}
		/* It may just have died, of what it did by itself. */
		sleep_ms(20);
		if (!one_more())
			deaths += start_successors();
		assert_all_as_it_is(deaths);
	}
	ck_assert_int_ge(deaths, 3);
}
END_TEST

START_TEST(a_kill_at_any_time_loses_nothing)
{
	int deaths = 0;

	for (int i = 0; i < 40; i++) {
		pid_t killer = fork();

		if (!killer) {
			usleep((unsigned int)i * 137 % 3000);
			kill(daemon_pid, SIGKILL);
			_exit(0);
		}
		for (int k = 0; k < 200 && one_more(); k++)
			;
		ck_assert_int_eq(waitpid(killer, NULL, 0), killer);
		deaths += start_successors();
	}
	assert_all_as_it_is(deaths);
}
END_TEST

START_TEST(what_leaves_leaves_all)
{
	for (int i = 0; i < 40; i++)
		ck_assert(one_more());
	tell_daemon(ASK_LEAVE, 0);
	let_go(39);
	ck_assert(start_daemon(false));
	assert_all_as_it_is(1);
	for (int i = 0; i < 40; i++)
		ck_assert(one_more());
	assert_all_as_it_is(1);
}
END_TEST

/* An mmap that did not get through, as its device finds out. */
START_TEST(what_is_forgotten_is_not_told)
{
	for (int i = 0; i < 10; i++)
		ck_assert(ask_window());
	kill_daemon();
	let_go(0);
	shared->forget = 4;
	ck_assert(start_daemon(false));
	ck_assert_uint_eq(shared->left, 10);
	shared->forget = 0;
	for (unsigned int n = 1; n < 6; n++)
		let_go(n);
	assert_gone(4);
	assert_gone(5);
	assert_held_are_there();
	for (unsigned int n = 0; n < 4; n++) {
		ck_assert_int_eq(times_gone(n), 0);
		held[n] = 0;
		shared->joined[n] = false;
	}
}
END_TEST

/* What one successor has found out the next one knows, who could not see it any more. */
START_TEST(what_was_sent_stays_sent)
{
	die_at(STEP_window_replied, 1);
	ck_assert(ask_window());
	end_daemon(-1);
	ck_assert(start_daemon(false));
	ck_assert(shared->sent[0]);
	kill_daemon();
	let_go(0);
	ck_assert(start_daemon(false));
	ck_assert(shared->sent[0]);
	assert_all_as_it_is(2);
}
END_TEST

/* It has ended, too, when the first successor looks. */
START_TEST(what_was_shown_was_sent)
{
	shared->quick = true;
	die_at(STEP_window_replied, 1);
	ck_assert(ask_window());
	end_daemon(-1);
	let_go(0);
	ck_assert(start_daemon(false));
	ck_assert(shared->sent[0]);
	assert_all_as_it_is(1);
}
END_TEST

/* A debugger, or grep -r, so often that the kernel does not tell of all of it. */
START_TEST(opened_again_while_nobody_watches)
{
	char path[2][40];

	for (int i = 0; i < 4; i++)
		ck_assert(ask_window());
	kill_daemon();
	for (int i = 0; i < 2; i++)
		snprintf(path[i], sizeof(path[i]), "/proc/self/fd/%d", held[i]);
	for (int i = 0; i < 20000; i++)
		close(open(path[i % 2], O_RDONLY | O_CLOEXEC));
	let_go(3);
	ck_assert(start_daemon(false));
	assert_all_as_it_is(1);
	let_go(0);
	assert_all_as_it_is(1);
}
END_TEST

/* More than the kernel's queue holds: who has what is looked for. */
START_TEST(ends_while_nobody_watches_are_found)
{
	unsigned int many = 20000, few = 50;

	while (shared->n < many) {
		unsigned int n = shared->n;

		ck_assert(ask_window());
		map_held(n);
	}
	/* That what was sent last has arrived nobody has seen. */
	die_at(STEP_window_sent, 1);
	while (ask_window())
		map_held(shared->n - 1);
	end_daemon(-1);
	for (unsigned int n = few; n < shared->n; n++)
		let_go(n);
	ck_assert(start_daemon(false));
	wait_for_ends();
	assert_held_are_there();
}
END_TEST

START_TEST(the_path_is_not_needed)
{
	char moved[sizeof(dir) + 8];
	uint64_t id;

	ck_assert(ask_window());
	ck_assert(ask_window());
	kill_daemon();
	snprintf(moved, sizeof(moved), "%s.moved", dir);
	ck_assert_int_eq(rename(dir, moved), 0);
	ck_assert(start_daemon(false));
	ck_assert_int_eq(access(dir, F_OK), -1);
	ck_assert(ask_window());
	id = shared->id[2];
	ck_assert_uint_ne(id, shared->id[0]);
	ck_assert_uint_ne(id, shared->id[1]);
	let_go(0);
	let_go(2);
	assert_all_as_it_is(1);
	ck_assert_int_eq(rename(moved, dir), 0);
}
END_TEST

/* A window that the predecessor was making, of which an entry is left. */
START_TEST(entries_that_are_left_are_removed)
{
	struct window_name name = { .id = 77, .count = 1, .life = shared->life };
	char file[WINDOW_NAME_SIZE];

	window_name_format(&name, file);
	ck_assert(ask_window());
	kill_daemon();
	ck_assert_int_eq(linkat(kept.dir, MACHINE, kept.dir, file, 0), 0);
	ck_assert(start_daemon(false));
	ck_assert_int_eq(faccessat(kept.dir, file, F_OK, 0), -1);
	ck_assert_int_eq(faccessat(kept.dir, MACHINE, F_OK, 0), 0);
}
END_TEST

/* --- what cannot be ------------------------------------------------------------------------------ */

static struct window_hand *hand(void)
{
	struct window_hand *h =
		mmap(NULL, sizeof(*h), PROT_READ | PROT_WRITE, MAP_SHARED, kept.hand, 0);

	ck_assert_ptr_ne(h, MAP_FAILED);
	return h;
}

static struct window_lasting *some_record(void)
{
	uint32_t cursor = 0;
	uint32_t record = record_next(first_records, RECORD_WINDOW, &cursor);

	ck_assert_uint_ne(record, 0);
	return record_head(first_records, record);
}

static void refuse_successor(const char *what)
{
	ck_assert_msg(!start_daemon(false), "adopted: %s", what);
	end_daemon(4);
}

START_TEST(damage_is_refused)
{
	struct window_lasting *l;
	struct window_hand *h;
	struct inotify_event *ev;

	ck_assert(ask_window());
	kill_daemon();
	l = some_record();
	h = hand();
	ev = (struct inotify_event *)h->closes.bytes;
#define REFUSED(what, bad)                          \
	do {                                        \
		typeof(what) was_ = (what);         \
		(what) = (bad);                     \
		refuse_successor(#what " = " #bad); \
		(what) = was_;                      \
	} while (0)
	REFUSED(l->id, 0);
	REFUSED(l->id, UINT64_MAX);
	REFUSED(l->count, 0);
	REFUSED(l->first, UINT64_MAX);
	REFUSED(l->state, WINDOW_STATES + 1);
	REFUSED(l->client, -1);
	REFUSED(l->zero, 1);
	REFUSED(shared->life, 0);
	REFUSED(h->magic, 1);
	REFUSED(h->closes.at, 3);
	REFUSED(h->opens.at, WINDOW_EVENTS_BYTES + 4);
	ev->mask = IN_CLOSE_WRITE;
	REFUSED(ev->len, UINT32_MAX - 16);
	REFUSED(ev->len, WINDOW_EVENTS_BYTES - 16);
	REFUSED(ev->len, 3);
	memset(ev->name, 'x', 16);
	REFUSED(ev->len, 16);
	memset(ev, 0, 32);
	munmap(h, sizeof(*h));
	ck_assert(start_daemon(false));
	assert_all_as_it_is(1);
}
END_TEST

Suite *durable_suite(void);
Suite *durable_suite(void)
{
	Suite *s = suite_create("durable");
	TCase *tc = tcase_create("durable");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, a_kill_at_each_step_loses_nothing, 0, N_WINDOW_STEPS);
	tcase_add_test(tc, a_kill_at_any_time_loses_nothing);
	tcase_add_test(tc, what_leaves_leaves_all);
	tcase_add_test(tc, what_is_forgotten_is_not_told);
	tcase_add_test(tc, what_was_sent_stays_sent);
	tcase_add_test(tc, what_was_shown_was_sent);
	tcase_add_test(tc, opened_again_while_nobody_watches);
	tcase_add_test(tc, ends_while_nobody_watches_are_found);
	tcase_add_test(tc, the_path_is_not_needed);
	tcase_add_test(tc, entries_that_are_left_are_removed);
	tcase_add_test(tc, damage_is_refused);
	suite_add_tcase(s, tc);
	return s;
}
