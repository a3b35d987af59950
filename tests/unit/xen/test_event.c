/* SPDX-License-Identifier: MIT */
/*
 * xen/test_event.c - event channel ports of notifications: which are taken, and what an event is sent by
 *
 * By hypercalls: there is no /dev/xen/evtchn here, so no file of a caller's has a port; but for those that have a node of the
 * null device's as their file.
 */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "state/lent.h"
#include "tests/unit/place.h"
#include "tests/unit/suite.h"
#include "tests/unit/xen/rig.h"

/* --- the keeper, as far as it is asked, and what is asked of the node --------------------------- */

static unsigned int n_lent, most_lent = UINT32_MAX;
static bool has_node;

bool lent_adopting(const struct lent *l)
{
	(void)l;
	return false;
}

int lent_take(struct lent *l, const char *name)
{
	(void)l;
	(void)name;
	return -ENOENT;
}

int lent_next(struct lent *l, char name[KEEP_NAME])
{
	(void)l;
	(void)name;
	return -ENOENT;
}

int lent_give(struct lent *l, const char *name, int fd)
{
	(void)l;
	(void)fd;
	if (strncmp(name, "port.", 5) != 0)
		return 0;
	if (n_lent == most_lent)
		return -ENFILE;
	n_lent++;
	return 0;
}

int lent_drop(struct lent *l, const char *name)
{
	(void)l;
	(void)name;
	n_lent--;
	return 0;
}

int stat(const char *path, struct stat *st)
{
	return fstatat(AT_FDCWD, has_node ? "/dev/null" : path, st, 0);
}

static void setup_any(void)
{
	setup_pv(1);
}

/* Only those that another domain can be at the other end of, now or later. */
START_TEST(states_of_ports)
{
	static const struct {
		uint8_t state;
		int taken;
	} port[] = {
		{ EVTCHNSTAT_closed, -EINVAL }, { EVTCHNSTAT_unbound, 0 },
		{ EVTCHNSTAT_interdomain, 0 },	{ EVTCHNSTAT_pirq, -EINVAL },
		{ EVTCHNSTAT_virq, -EINVAL },	{ EVTCHNSTAT_ipi, -EINVAL },
	};
	const uint32_t n = sizeof(port) / sizeof(port[0]);

	for (uint32_t i = 0; i < n; i++)
		fake->port[i] = port[i].state;
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_int_eq(hv->ops->port_get(hv, i, getpid()), port[i].taken);
		ck_assert_uint_eq(counts().ports, !port[i].taken);
		if (!port[i].taken)
			hv->ops->port_put(hv, i);
		ck_assert_uint_eq(counts().ports, 0);
	}
}
END_TEST

START_TEST(no_such_port)
{
	const uint32_t port[] = { FAKE_PORTS, INT32_MAX, UINT32_MAX };

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(hv->ops->port_get(hv, port[i], 0), -EINVAL);
	fake->port[1] = EVTCHNSTAT_interdomain;
	fake_break(FAKE_EVENT, 0, -EPERM);
	ck_assert_int_eq(hv->ops->port_get(hv, 1, 0), -EINVAL);
	ck_assert_uint_eq(counts().ports, 0);
}
END_TEST

START_TEST(events_are_sent)
{
	fake->port[3] = EVTCHNSTAT_interdomain;
	ck_assert_int_eq(hv->ops->port_get(hv, 3, 0), 0);
	ck_assert_int_eq(hv->ops->port_get(hv, 3, 0), 0);
	ck_assert_uint_eq(counts().ports, 2);
	ck_assert_int_eq(hv->ops->port_send(hv, 3), 0);
	hv->ops->port_put(hv, 3);
	ck_assert_int_eq(hv->ops->port_send(hv, 3), 0);
	ck_assert_uint_eq(fake->sent[3], 2);
	/* Whoever had bound it has closed it, and the number is nobody's. */
	fake->port[3] = EVTCHNSTAT_closed;
	ck_assert_int_eq(hv->ops->port_send(hv, 3), -EINVAL);
	ck_assert_uint_eq(fake->sent[3], 2);
	hv->ops->port_put(hv, 3);
	ck_assert_uint_eq(counts().ports, 0);
}
END_TEST

/* As many as are taken of one caller. */
#define FILES 16

static char top[96], sub[128], node[160];
static int file[FILES];

/* A node that has the name and the number of the device, if it can be made here. */
static void setup_files(void)
{
	struct rlimit limit;

	snprintf(top, sizeof(top), "%s/test_event.XXXXXX", test_place());
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(sub, sizeof(sub), "%s/xen", top);
	snprintf(node, sizeof(node), "%s/evtchn", sub);
	ck_assert_int_eq(mkdir(sub, 0700), 0);
	has_node = !mknod(node, S_IFCHR | 0600, makedev(1, 3));
	for (int i = 0; i < FILES; i++)
		file[i] = has_node ? open(node, O_RDWR | O_CLOEXEC) : -1;
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	setup_any();
	for (int i = 0; i < FAKE_PORTS; i++)
		fake->port[i] = EVTCHNSTAT_interdomain;
	n_lent = 0;
	most_lent = UINT32_MAX;
}

static void teardown_files(void)
{
	teardown();
	for (int i = 0; i < FILES; i++)
		close(file[i]);
	unlink(node);
	rmdir(sub);
	rmdir(top);
	has_node = false;
}

/* Whether all these files can be open in one process. */
static bool may_have(unsigned int files)
{
	struct rlimit limit;

	return file[0] >= 0 && !getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur > files + 512;
}

/* Only so many files are kept. What finds no place is refused, and leaves nothing; what is let go of makes place. */
START_TEST(files_that_find_no_place)
{
	uint32_t last = _i ? 3 : LENT_PORTS / FILES;

	if (!may_have(FILES * last))
		return; /* nor can it be filled */
	most_lent = _i ? 3 * FILES + 5 : UINT32_MAX;
	for (uint32_t i = 0; i < last; i++)
		assert_each(hv->ops->port_get(hv, i, getpid()) == 0, "port %u", i);
	ck_assert_uint_eq(n_lent, FILES * last);
	ck_assert_int_eq(hv->ops->port_get(hv, last, getpid()), -ENOSPC);
	ck_assert_uint_eq(n_lent, FILES * last);
	ck_assert_uint_eq(counts().ports, last);
	/* One that is known needs none, nor does one without files. */
	ck_assert_int_eq(hv->ops->port_get(hv, 0, getpid()), 0);
	hv->ops->port_put(hv, 0);
	ck_assert_int_eq(hv->ops->port_get(hv, last, 0), 0);
	hv->ops->port_put(hv, last);
	hv->ops->port_put(hv, 1);
	ck_assert_int_eq(hv->ops->port_get(hv, last, getpid()), 0);
	for (uint32_t i = 0; i <= last; i++)
		if (i != 1)
			hv->ops->port_put(hv, i);
	ck_assert_uint_eq(n_lent, 0);
}
END_TEST

Suite *event_suite(void)
{
	Suite *s = suite_create("xen_event");
	TCase *tc = tcase_create("ports"), *files = tcase_create("files");

	tcase_add_checked_fixture(tc, setup_any, teardown);
	tcase_add_test(tc, states_of_ports);
	tcase_add_test(tc, no_such_port);
	tcase_add_test(tc, events_are_sent);
	suite_add_tcase(s, tc);
	tcase_set_timeout(files, 60);
	tcase_add_checked_fixture(files, setup_files, teardown_files);
	tcase_add_loop_test(files, files_that_find_no_place, 0, 2);
	suite_add_tcase(s, files);
	return s;
}
