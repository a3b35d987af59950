/* SPDX-License-Identifier: MIT */
/*
 * xen/test_random.c - random sequences on the Xen layer, with faults; and threads
 *
 * Nothing is foretold of each operation but what the interface promises. After each of them the
 * layer, its journal and the machine have to agree (check_all()), and in the end nothing may be left.
 */
#include <pthread.h>

#include "tests/unit/xen/rig.h"

#define STEPS 500
#define MAPS  16
#define OPENS 3

struct random_map {
	struct hv_grant *g;
	size_t n;
	struct hv_place at;
	int fd;
};

static struct random_map maps[MAPS];
static uint64_t opens[OPENS], last_open;
static uint64_t state;

/* The same on every machine. */
static uint32_t any(uint32_t below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(state >> 33) % below;
}

static bool one_in(uint32_t n)
{
	return any(n) == 0;
}

/* --- what happens --------------------------------------------------------------------------------- */

static void arm_fault(void)
{
	const int statuses[] = { GNTST_eagain, GNTST_eagain,	 GNTST_general_error,
				 GNTST_eagain, GNTST_bad_handle, 77 };
	enum fake_call call = (enum fake_call)any(FAKE_COPY + 1);

	switch (any(8)) {
	case 0:
	case 1:
		fake_refuse(FAKE_MAP, any(5), 1 + any(600), statuses[any(6)]);
		break;
	case 2:
		/* Not "bad handle", which means that it has been unmapped. */
		fake_refuse(FAKE_UNMAP, any(5), 1 + any(2000), statuses[any(4)]);
		break;
	case 3:
		fake_break(call, any(600), -EFAULT);
		break;
	case 4:
		fake_break(one_in(2) ? FAKE_POPULATE : FAKE_VERSION, 0, -EPERM);
		break;
	case 5:
		fake->frames = any(800);
		break;
	case 6:
		fake->take = any(800);
		break;
	default:
		fake->pin_error = one_in(2) ? -ENOMEM : 0;
		fake->table_fail = any(3);
		fake->handle_max = any(2000);
	}
}

static struct hv_grant *random_grants(size_t n)
{
	struct hv_grant *g = grants((uint16_t)(FAKE_FIRST + one_in(4)), any(FAKE_REFS), n);

	if (one_in(6))
		g[any((uint32_t)n)].ref = FAKE_REFS + any(2);
	if (one_in(12))
		g[any((uint32_t)n)].domid = FAKE_FIRST;
	if (one_in(12))
		g[any((uint32_t)n)].domid = FAKE_NOBODY;
	return g;
}

static void drop(struct random_map *m)
{
	free(m->g);
	if (m->fd >= 0)
		close(m->fd);
	m->g = NULL;
}

static void random_new(struct random_map *m)
{
	const size_t sizes[] = { 1, 1, 1, 1, 3, 3, 3, 16, 512, 600 };

	m->n = sizes[any(sizeof(sizes) / sizeof(sizes[0]))];
	m->g = random_grants(m->n);
	m->at = (struct hv_place){ .open_id = opens[any(OPENS)], .readonly = one_in(3) };
	m->fd = -1;
	if (map(m->g, m->n, &m->at))
		drop(m);
}

static void random_again(struct random_map *m)
{
	bool some = false;

	for (size_t i = 0; i < m->n; i++) {
		if (m->g[i].status == GNTST_eagain || m->g[i].status == GNTST_no_space) {
			m->g[i].status = HV_PENDING;
			some = true;
		}
	}
	if (some && map(m->g, m->n, &m->at))
		drop(m);
}

static void random_unmap(struct random_map *m)
{
	size_t okay = count_status(m->g, m->n, GNTST_okay);
	size_t bad = m->n - okay - count_status(m->g, m->n, HV_PENDING);
	int failed = unmap_all(m->g, m->n);

	ck_assert_int_ge(failed, 0);
	ck_assert_uint_eq(count_status(m->g, m->n, HV_PENDING), m->n - bad - (size_t)failed);
	drop(m);
}

/* A client opens its window, and does to it what it likes. */
static void random_client(struct random_map *m)
{
	off_t size = (off_t)(m->n * 4096), at = (off_t)any((uint32_t)m->n) * 4096;

	if (count_status(m->g, m->n, GNTST_okay) != m->n)
		return;
	if (m->fd < 0)
		m->fd = hv->ops->window_open(hv, dirfd_, "window", m->g, m->n, &m->at);
	ck_assert_int_ge(m->fd, 0);
	if (m->at.readonly || !fake->translated)
		return;
	switch (any(4)) {
	case 0:
		ck_assert_int_eq(ftruncate(m->fd, at), 0);
		break;
	case 1:
		ck_assert_int_eq(ftruncate(m->fd, size + at), 0);
		break;
	case 2:
		ck_assert_int_eq(
			fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, 4096), 0);
		break;
	default:
		hv->ops->clear_byte(hv, &m->g[any((uint32_t)m->n)], any(4096));
	}
}

static void random_open_gone(void)
{
	uint32_t i = any(OPENS);

	hv->ops->open_gone(hv, opens[i]);
	opens[i] = ++last_open;
}

static void random_step(void)
{
	struct random_map *m = &maps[any(MAPS)];

	if (one_in(3))
		fake_heal();
	if (one_in(3))
		arm_fault();
	if (one_in(20))
		random_open_gone();
	else if (one_in(15))
		ck_assert_ptr_null(hv->ops->tend(hv));
	else if (!m->g)
		random_new(m);
	else if (one_in(3))
		random_again(m);
	else if (one_in(3))
		random_client(m);
	else
		random_unmap(m);
	check_all();
}

static void random_sequence(uint64_t seed)
{
	state = seed * 7919;
	last_open = 100;
	for (int i = 0; i < OPENS; i++)
		opens[i] = ++last_open;
	for (int i = 0; i < STEPS; i++)
		random_step();
	for (int i = 0; i < MAPS; i++)
		if (maps[i].g)
			random_unmap(&maps[i]);
	fake_heal();
	for (int i = 0; i < OPENS; i++)
		hv->ops->open_gone(hv, opens[i]);
	check_all();
	/* It was no idle sequence. */
	ck_assert_uint_gt(fake->calls[FAKE_MAP], STEPS / 8);
	ck_assert_uint_gt(fake->ops[FAKE_MAP], 1000);
}

START_TEST(random_pvh)
{
	random_sequence((uint64_t)_i + 1);
}
END_TEST

START_TEST(random_pv)
{
	setup_pv(1 + _i % 2);
	random_sequence((uint64_t)_i + 1);
	ck_assert_uint_eq(counts().quarantined, fake->handles);
	ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 0);
	hv->ops->destroy(hv);
	end_machine();
}
END_TEST

/* The daemon dies at a random moment of it, and the keeper's work is done. */
START_TEST(random_and_killed)
{
	pid_t pid;
	int status;

	setup();
	state = (uint64_t)_i + 1;
	pid = fork();
	if (!pid) {
		fake->victim = getpid();
		fake->die_at = fake->steps + any(90000);
		random_sequence((uint64_t)_i + 1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
	fake_heal();
	ck_assert_uint_eq(undo_journal(privcmd_fd(x->pc), x->journal), 0);
	ck_assert_msg(!fake->wrong[0], "%s", fake->wrong);
	ck_assert_uint_eq(fake->handles, 0);
	ck_assert_uint_eq(fake_pages(FAKE_HOLE) + fake_pages(FAKE_GRANT), 0);
	ck_assert_uint_eq(fake->reservation, FAKE_FRAMES);
	hv->ops->destroy(hv);
	fake_free();
	ck_assert_int_eq(execlp("rm", "rm", "-r", dir, NULL), 0);
}
END_TEST

/* --- threads ------------------------------------------------------------------------------------ */

#define THREADS 4

static void *mapper(void *arg)
{
	struct hv_place at = { .open_id = (uintptr_t)arg / 2 };
	const size_t sizes[] = { 1, 3, 600, 40, 1, 520 };
	char *bad = NULL;

	for (size_t round = 0; round < 60 && !bad; round++) {
		size_t n = sizes[round % 6];
		struct hv_grant *g = calloc(n, sizeof(*g));

		for (size_t i = 0; i < n; i++)
			g[i] = (struct hv_grant){ .domid = FAKE_FIRST,
						  .ref = (uint32_t)(round * 100 + i) % FAKE_REFS,
						  .status = HV_PENDING };
		if (hv->ops->map(hv, g, n, &at) || count_status(g, n, GNTST_okay) != n)
			bad = "map";
		else if (hv->ops->unmap(hv, g, n))
			bad = "unmap";
		if (round % 20 == 19)
			hv->ops->open_gone(hv, at.open_id);
		if (round % 7 == 3)
			hv->ops->tend(hv);
		free(g);
	}
	return bad;
}

static void run_threads(void)
{
	pthread_t t[THREADS];
	void *bad;

	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, mapper, (void *)(i + 2)), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &bad);
		ck_assert_msg(!bad, "%s", (char *)bad);
	}
	check_all();
	ck_assert_uint_eq(counts().handles, 0);
}

START_TEST(threads_pvh)
{
	run_threads();
}
END_TEST

START_TEST(threads_pv)
{
	run_threads();
}
END_TEST

static void setup_v1(void)
{
	setup_pv(1);
}

Suite *random_suite(void)
{
	Suite *s = suite_create("xen_random");
	TCase *tc = tcase_create("pvh");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, random_pvh, 0, 10);
	tcase_add_test(tc, threads_pvh);
	suite_add_tcase(s, tc);
	tc = tcase_create("pv");
	tcase_add_loop_test(tc, random_pv, 0, 6);
	suite_add_tcase(s, tc);
	tc = tcase_create("killed");
	tcase_add_loop_test(tc, random_and_killed, 0, 12);
	suite_add_tcase(s, tc);
	tc = tcase_create("threads");
	tcase_add_checked_fixture(tc, setup_v1, teardown);
	tcase_add_test(tc, threads_pv);
	suite_add_tcase(s, tc);
	return s;
}
