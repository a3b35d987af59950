/* SPDX-License-Identifier: MIT */
/*
 * xen/test_adopt.c - a successor goes on with what a killed daemon has mapped
 *
 * The daemon is a child that is killed at each of the fake's steps in turn, and notes what it has mapped as device/ does:
 * when map() has returned, and before unmap() is called. This process is its successor. All that was noted is mapped
 * still, and nothing else; no page that has no frame, or shows a grant, has been let go of.
 */
#include "tests/unit/suite.h"
#include "tests/unit/xen/rig.h"

#define NOTES	 8
#define NOTE_MAX 600
#define LAYERS	 1000

/* --- the keeper, as far as it is asked ---------------------------------------------------------- */

static struct lent_double {
	bool adopting;
	int journal;
	unsigned int n;
	const char *port[4];
} lends;

bool lent_adopting(const struct lent *l)
{
	return ((const struct lent_double *)l)->adopting;
}

int lent_take(struct lent *l, const char *name)
{
	const struct lent_double *d = (const struct lent_double *)l;

	if (!strcmp(name, "journal"))
		return fcntl(d->journal, F_DUPFD_CLOEXEC, 0);
	return strncmp(name, "ring.", 5) ? -ENOENT : open("/dev/null", O_RDWR | O_CLOEXEC);
}

int lent_give(struct lent *l, const char *name, int fd)
{
	(void)l;
	(void)name;
	(void)fd;
	return 0;
}

/* Return: the place of a name, @n if it is not there. */
static unsigned int place_of(const struct lent_double *d, const char *name)
{
	unsigned int i;

	for (i = 0; i < d->n && strcmp(d->port[i], name) != 0; i++)
		;
	return i;
}

/* As the keeper's: the last takes the place of what is dropped. */
int lent_drop(struct lent *l, const char *name)
{
	struct lent_double *d = (struct lent_double *)l;
	unsigned int i = place_of(d, name);

	if (i == d->n)
		return -ENOENT;
	d->port[i] = d->port[--d->n];
	return 0;
}

int lent_next(struct lent *l, char name[KEEP_NAME])
{
	const struct lent_double *d = (const struct lent_double *)l;
	unsigned int i = *name ? place_of(d, name) + 1 : 0;

	if (i >= d->n)
		return -ENOENT;
	strcpy(name, d->port[i]);
	return 0;
}

static int try_adopting(const struct xen_mode *mode, const struct xen *from,
			struct hypervisor **out, const char **why)
{
	lends = (struct lent_double){ .adopting = true, .journal = from->journal_fd };
	/* Mappings of a process end with it. */
	fake->tables = 0;
	return xen_start(mode, dirfd_, (struct lent *)&lends, out, why);
}

static void start_adopting(const struct xen_mode *mode, const struct xen *from)
{
	const char *why = NULL;

	ck_assert_msg(try_adopting(mode, from, &hv, &why) == 0, "%s", why);
	x = (struct xen *)hv;
}

/* What is known of a map. @n: grants, stored last. */
struct note {
	uint32_t n;
	bool leaving;
	struct hv_place at;
	struct hv_grant g[NOTE_MAX];
};

static struct note *note;
/* Layers of killed daemons: what they had on the heap nobody frees. */
static struct xen *dead[LAYERS];
static unsigned int n_dead;

static void make_notes(void)
{
	note = mmap(NULL, NOTES * sizeof(*note), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		    -1, 0);
	ck_assert_ptr_ne(note, MAP_FAILED);
}

/* --- what the daemon does ----------------------------------------------------------------------- */

static void note_map(unsigned int i, uint32_t first, uint32_t n, uint64_t open_id)
{
	const struct hv_place at = { .open_id = open_id };
	struct hv_grant *g = grants(FAKE_FIRST, first, n);

	if (hv->ops->map(hv, g, n, &at) == 0) {
		memcpy(note[i].g, g, n * sizeof(*g));
		note[i].at = at;
		note[i].leaving = false;
		__atomic_store_n(&note[i].n, n, __ATOMIC_RELEASE);
	}
	free(g);
}

static void note_unmap(unsigned int i)
{
	struct hv_grant *g = calloc(note[i].n, sizeof(*g));

	memcpy(g, note[i].g, note[i].n * sizeof(*g));
	note[i].leaving = true;
	hv->ops->unmap(hv, g, note[i].n);
	__atomic_store_n(&note[i].n, 0, __ATOMIC_RELEASE);
	free(g);
}

/* Windows come and go, and are used again. */
static void come_and_go(void)
{
	note_map(0, 0, 5, 1);
	note_map(1, 10, 2, 2);
	note_unmap(0);
	note_map(2, 20, 5, 1);
	note_unmap(1);
	hv->ops->open_gone(hv, 2);
	note_map(3, 40, 3, 3);
	note_unmap(2);
	note_map(4, 20, 5, 1);
}

/* More than a hypercall takes, so that it is killed between two of them, too. */
static void large(void)
{
	note_map(0, 0, 515, 1);
	note_unmap(0);
	note_map(1, 0, 515, 1);
}

/* Things go wrong. */
static void with_faults(void)
{
	fake_end_grant(FAKE_FIRST, 2);
	note_map(0, 0, 5, 1);
	fake_break(FAKE_MAP, 2, -EFAULT);
	note_map(1, 10, 4, 1);
	fake_refuse(FAKE_UNMAP, 1, 2, GNTST_general_error);
	note_unmap(0);
	hv->ops->tend(hv);
	note_map(2, 20, 3, 2);
}

static void (*const scenario[])(void) = { come_and_go, with_faults };

/* Return: whether the daemon was killed at step @k; otherwise it came to its end, and was killed there. */
static bool killed_at(void (*what)(void), uint64_t k)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		fake->victim = getpid();
		fake->die_at = fake->steps + k;
		what();
		fake->victim = 0;
		kill(getpid(), SIGKILL);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	fake_heal();
	return fake->victim != 0;
}

/* --- and its successor -------------------------------------------------------------------------- */

static size_t name(bool leaving, uint64_t k)
{
	size_t mapped = 0;
	int missing;

	for (unsigned int i = 0; i < NOTES; i++) {
		struct note *one = &note[i];

		if (!one->n || one->leaving != leaving)
			continue;
		missing = hv->ops->adopt(hv, one->g, one->n, &one->at, leaving);
		assert_each(leaving ? missing >= 0 : missing == 0,
			    "killed at step %llu: %d grants of map %u are not there",
			    (unsigned long long)k, missing, i);
		mapped += count_status(one->g, one->n, GNTST_okay);
	}
	return mapped;
}

static void let_go(void)
{
	for (unsigned int i = 0; i < NOTES; i++) {
		if (note[i].n)
			hv->ops->unmap(hv, note[i].g, note[i].n);
		note[i].n = 0;
	}
	for (uint64_t id = 1; id <= 8; id++)
		hv->ops->open_gone(hv, id);
}

static void succeed(const struct xen_mode *mode, uint64_t k)
{
	size_t mapped;

	dead[n_dead++ % LAYERS] = x;
	start_adopting(mode, x);
	mapped = name(false, k);
	mapped += name(true, k);
	ck_assert_int_eq(hv->ops->adopted(hv), 0);
	assert_each(!fake->wrong[0], "killed at step %llu: %s", (unsigned long long)k, fake->wrong);
	assert_each(!fake->bad_handles, "killed at step %llu: a handle was unmapped twice",
		    (unsigned long long)k);
	assert_each(fake->handles == mapped, "killed at step %llu: %u handles, %zu are noted",
		    (unsigned long long)k, fake->handles, mapped);
	check_all();
	/* It works as any other. */
	unmap_ok(map_ok(60, 4, &writable), 4);
	let_go();
	ck_assert_ptr_null(hv->ops->tend(hv));
	check_all();
	ck_assert_uint_eq(fake->handles, 0);
	ck_assert_uint_eq(counts().away, 0);
	check_slots();
}

static void killed_everywhere(const struct xen_mode *mode, void (*what)(void), uint64_t step)
{
	bool killed = true;

	make_notes();
	for (uint64_t k = 0; killed; k += step) {
		killed = killed_at(what, k);
		succeed(mode, k);
		grant_all(fake_guest(FAKE_FIRST));
	}
	hv->ops->destroy(hv);
	end_machine();
	munmap(note, NOTES * sizeof(*note));
}

START_TEST(adopted_pvh)
{
	setup();
	killed_everywhere(&xen_pvh, scenario[_i], 1);
}
END_TEST

START_TEST(adopted_pv)
{
	setup_pv(1);
	killed_everywhere(&xen_pv, scenario[_i], 1);
}
END_TEST

START_TEST(adopted_large)
{
	if (_i)
		setup_pv(1);
	else
		setup();
	killed_everywhere(_i ? &xen_pv : &xen_pvh, large, 37);
}
END_TEST

/* --- what a predecessor left may be anything ---------------------------------------------------- */

static void damage(struct journal *j, uint32_t first, int how)
{
	switch (how) {
	case 0:
		j->window[first].n = UINT32_MAX;
		break;
	case 1:
		j->window[first].n++;
		break;
	case 2:
		j->next[first] = first;
		break;
	case 3:
		j->next[first] = JOURNAL_SLOTS;
		break;
	case 4:
		/* Something is to be undone, and nobody knows for whom. */
		j->window[first].n = 0;
		break;
	case 5:
		j->window[j->next[first]].n = 1;
		break;
	}
}

START_TEST(damage_is_refused)
{
	struct hypervisor *successor;
	struct hv_grant *g;
	const char *why;

	setup();
	g = map_ok(0, 4, &writable);
	damage(x->journal, g[0].slot, _i);
	ck_assert_int_eq(try_adopting(&xen_pvh, x, &successor, &why), -EINVAL);
	/* And nothing was touched. */
	ck_assert_uint_eq(fake->handles, 4);
	ck_assert(!fake->wrong[0]);
	free(g);
}
END_TEST

/* A map of which somebody else has the window, and one that never was. */
START_TEST(others_windows_are_not_named)
{
	struct hv_grant *g, old[3],
		none[3] = { { .status = GNTST_okay, .slot = 4000 },
			    { .status = GNTST_okay, .slot = 4001 },
			    { .status = GNTST_okay, .slot = UINT32_MAX } };
	const struct hv_place other = { .open_id = 2 };

	if (_i)
		setup_pv(1);
	else
		setup();
	g = map_ok(0, 3, &writable);
	memcpy(old, g, sizeof(old));
	/* No list has it in a PV dom0. */
	if (_i)
		free(xen_window_of(x, g));
	dead[n_dead++] = x;
	start_adopting(_i ? &xen_pv : &xen_pvh, x);
	ck_assert_int_eq(hv->ops->adopt(hv, none, 3, &writable, false), 3);
	ck_assert_int_eq(hv->ops->adopt(hv, old, 3, &other, false), 3);
	memcpy(old, g, sizeof(old));
	ck_assert_int_eq(hv->ops->adopt(hv, old, 2, &writable, false), 2);
	ck_assert_int_eq(hv->ops->adopt(hv, g, 3, &writable, false), 0);
	memcpy(old, g, sizeof(old));
	ck_assert_int_eq(hv->ops->adopt(hv, old, 3, &writable, true), 3);
	ck_assert_int_eq(hv->ops->unmap(hv, old, 3), 0);
	ck_assert_int_eq(hv->ops->adopted(hv), 0);
	ck_assert_uint_eq(fake->handles, 3);
	unmap_ok(g, 3);
	teardown();
}
END_TEST

/* A daemon was killed between two of a port's files: they would keep it bound for ever. */
START_TEST(ports_of_nobody_are_let_go)
{
	setup();
	dead[n_dead++] = x;
	start_adopting(&xen_pvh, x);
	lends.n = 4;
	memcpy(lends.port, (const char *[]){ "port.5.1", "journal", "port.7.0", "port.5.0" },
	       sizeof(lends.port));
	ck_assert_int_eq(hv->ops->adopted(hv), 0);
	ck_assert_uint_eq(lends.n, 1);
	ck_assert_str_eq(lends.port[0], "journal");
	teardown();
}
END_TEST

Suite *adopt_suite(void)
{
	Suite *s = suite_create("adopt");
	TCase *killed = tcase_create("killed");
	TCase *named = tcase_create("named");

	tcase_set_timeout(killed, 120);
	tcase_add_loop_test(killed, adopted_pvh, 0, 2);
	tcase_add_loop_test(killed, adopted_pv, 0, 2);
	tcase_add_loop_test(killed, adopted_large, 0, 2);
	tcase_add_loop_test(named, damage_is_refused, 0, 6);
	tcase_add_loop_test(named, others_windows_are_not_named, 0, 2);
	tcase_add_test(named, ports_of_nobody_are_let_go);
	suite_add_tcase(s, killed);
	suite_add_tcase(s, named);
	return s;
}
