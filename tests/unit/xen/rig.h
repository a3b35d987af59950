/* SPDX-License-Identifier: MIT */
/*
 * xen/rig.h - the real Xen layer on the fake, for tests of all its parts
 *
 * check_all() holds the layer, its journal and the machine against each other; teardown() sees that
 * nothing at all is left.
 */
#ifndef TEST_XEN_RIG_H
#define TEST_XEN_RIG_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* NOLINTBEGIN(bugprone-suspicious-include): see xen/fake_xen.h */
#include "tests/unit/place.h"
#include "tests/unit/xen/fake_dom0.c"
#include "tests/unit/xen/fake_xen.c"
/* NOLINTEND(bugprone-suspicious-include) */
#include "keeper/hold.h"
#include "keeper/raw.h"
#include "xen/layer.h"
#include "xen/pin.h"
#include "xen/privcmd.h"
#include "xen/undo.h"
#include "xen/xen.h"

static struct hypervisor *hv __attribute__((unused));
static struct xen *x __attribute__((unused));
static char dir[64];
static int dirfd_;

static const struct hv_place writable __attribute__((unused)) = { .open_id = 1 };
static const struct hv_place readonly __attribute__((unused)) = { .open_id = 1, .readonly = true };

static inline void make_dir(void)
{
	snprintf(dir, sizeof(dir), "%s/test_xen.XXXXXX", test_place());
	ck_assert_ptr_nonnull(mkdtemp(dir));
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dirfd_, 0);
}

/* --- the keeper ----------------------------------------------------------------------------------- */

/* What undoes all when this end of a connection is closed, by whatever: of the process that has started the layer. */
static struct {
	pid_t pid;
	int sock;
} keeper __attribute__((unused));

static inline void keep(const int *fds, int sock)
{
	static struct hold h;
	char byte, name[KEEP_NAME];

	hold_put(&h, "journal", dup(x->journal_fd));
	hold_put(&h, "privcmd", privcmd_fd(x->pc));
	for (unsigned int i = 0; i < PINS_FDS; i++) {
		snprintf(name, sizeof(name), "ring.%u", i);
		hold_put(&h, name, fds[i]);
	}
	while (recv(sock, &byte, 1, 0) < 0 && errno == EINTR)
		;
	raw_undo(&h);
}

static inline void start_keeper(void)
{
	int pair[2], rings[PINS_FDS];

	pins_fds(x->pins, rings);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	keeper.pid = fork();
	ck_assert_int_ge(keeper.pid, 0);
	if (!keeper.pid) {
		close(pair[0]);
		keep(rings, pair[1]);
		_exit(0);
	}
	close(pair[1]);
	keeper.sock = pair[0];
}

/* The daemon's end, as far as the keeper sees it. */
static inline void release_keeper(void)
{
	if (keeper.pid)
		close(keeper.sock);
	keeper.sock = -1;
}

static inline void end_keeper(void)
{
	if (!keeper.pid)
		return;
	release_keeper();
	ck_assert_int_eq(waitpid(keeper.pid, NULL, 0), keeper.pid);
	keeper.pid = 0;
}

/* Nothing was left in it. */
static inline void remove_dir(void)
{
	unlinkat(dirfd_, "pages", AT_REMOVEDIR);
	ck_assert_int_eq(rmdir(dir), 0);
	close(dirfd_);
}

/* The layer has ended, and left nothing. */
static inline void end_machine(void)
{
	end_keeper();
	fake_check_clean();
	fake_free();
	remove_dir();
}

static inline void start(const struct xen_mode *mode)
{
	const char *why = NULL;

	ck_assert_msg(xen_start(mode, dirfd_, NULL, &hv, &why) == 0, "%s", why);
	x = (struct xen *)hv;
	start_keeper();
}

static inline void setup(void)
{
	fake_new(true, 1);
	make_dir();
	start(&xen_pvh);
}

static inline void setup_pv(uint32_t table_version)
{
	fake_new(false, table_version);
	make_dir();
	start(&xen_pv);
}

static inline struct hv_counts counts(void)
{
	struct hv_counts c;

	hv->ops->counts(hv, &c);
	return c;
}

/* Whatever has happened, this holds. */
static inline void check_all(void)
{
	struct hv_counts c = counts();

	fake_check();
	fake_check_journal(x->journal);
	ck_assert_uint_eq(c.handles, fake->handles);
	ck_assert_uint_eq(c.away, fake_pages(FAKE_HOLE) + fake_pages(FAKE_GRANT));
	if (fake->translated)
		ck_assert_uint_le(c.quarantined, c.away);
}

/* No slot was lost: the journal does not grow when all that it has are taken. */
static inline void check_slots(void)
{
	uint32_t n = x->journal->slots - 1, *slot;

	if (!x->journal->slots)
		return;
	for (uint32_t s = 0; s <= n; s++)
		if (x->journal->slot[s].state != SLOT_NONE)
			ck_abort_msg("slot %u is in state %u", s, x->journal->slot[s].state);
	slot = malloc(n * sizeof(*slot));
	ck_assert_int_eq(journal_slots_get(x->slots, n, slot), 0);
	ck_assert_uint_eq(x->journal->slots, n + 1);
	journal_slots_put(x->slots, n, slot);
	free(slot);
}

/* All grants have been unmapped: the opens go, and the layer. */
static inline void teardown(void)
{
	for (uint64_t id = 1; id <= 8; id++)
		hv->ops->open_gone(hv, id);
	fake_heal();
	ck_assert_ptr_null(hv->ops->tend(hv));
	check_all();
	ck_assert_uint_eq(counts().quarantined, 0);
	ck_assert_uint_eq(counts().away, 0);
	check_slots();
	hv->ops->destroy(hv);
	end_keeper();
	ck_assert(!fake_pins_held());
	end_machine();
}

/* --- grants ------------------------------------------------------------------------------------- */

/* References from @first on, in reverse: nothing may depend on their order. */
static inline struct hv_grant *grants(uint16_t domid, uint32_t first, size_t n)
{
	struct hv_grant *g = calloc(n, sizeof(*g));

	ck_assert_ptr_nonnull(g);
	for (size_t i = 0; i < n; i++)
		g[i] = (struct hv_grant){
			.domid = domid,
			.ref = (first + (uint32_t)(n - 1 - i)) % FAKE_REFS,
			.status = HV_PENDING,
			.page = UINT64_MAX,
		};
	return g;
}

static inline size_t count_status(const struct hv_grant *g, size_t n, int16_t status)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += g[i].status == status;
	return found;
}

/* Return: of map(); it keeps its promises. */
static inline int map(struct hv_grant *g, size_t n, const struct hv_place *at)
{
	int err = hv->ops->map(hv, g, n, at);

	check_all();
	for (size_t i = 0; i < n; i++)
		if ((g[i].status == HV_PENDING) != (err != 0) || (g[i].slot == 0) != (err != 0))
			ck_abort_msg("map: %d; grant %zu: status %d, slot %u", err, i, g[i].status,
				     g[i].slot);
	return err;
}

static inline int unmap_all(struct hv_grant *g, size_t n)
{
	int failed = hv->ops->unmap(hv, g, n);

	check_all();
	for (size_t i = 0; i < n; i++)
		if (g[i].slot)
			ck_abort_msg("grant %zu has slot %u after unmap", i, g[i].slot);
	return failed;
}

static inline struct hv_grant *map_ok(uint32_t first, size_t n, const struct hv_place *at)
{
	struct hv_grant *g = grants(FAKE_FIRST, first, n);

	ck_assert_int_eq(map(g, n, at), 0);
	ck_assert_uint_eq(count_status(g, n, GNTST_okay), n);
	return g;
}

static inline void unmap_ok(struct hv_grant *g, size_t n)
{
	ck_assert_int_eq(unmap_all(g, n), 0);
	ck_assert_uint_eq(count_status(g, n, HV_PENDING), n);
	free(g);
}

/* What is granted to be read cannot be mapped to be written, and is mapped as it is asked for. */
static inline void assert_readonly_grants(void)
{
	struct hv_grant *g = grants(FAKE_FIRST, 100, 3);

	fake_readonly(FAKE_FIRST, 101);
	ck_assert_int_eq(map(g, 3, &writable), 0);
	ck_assert_int_eq(g[1].status, GNTST_general_error);
	ck_assert_int_eq(unmap_all(g, 3), 0);
	free(g);
	g = map_ok(100, 3, &readonly);
	for (int i = 0; i < 3; i++)
		ck_assert(fake->handle[g[i].handle - FAKE_HANDLE_0].readonly);
	unmap_ok(g, 3);
}

/* Five grants do not fit in, four do. @again: what comes of one more, when those have been unmapped. */
static inline void map_with_four_slots(struct hv_grant *g, int again)
{
	uint32_t n = JOURNAL_SLOTS - 1 - 4, *slot = malloc(n * sizeof(*slot));

	ck_assert_int_eq(journal_slots_get(x->slots, n, slot), 0);
	ck_assert_int_eq(map(g, 5, &writable), -ENOMEM);
	ck_assert_int_eq(map(g, 4, &writable), 0);
	ck_assert_int_eq(unmap_all(g, 4), 0);
	ck_assert_int_eq(map(g, 1, &writable), again);
	ck_assert_int_eq(unmap_all(g, 1), 0);
	journal_slots_put(x->slots, n, slot);
	free(slot);
}

#endif /* TEST_XEN_RIG_H */
