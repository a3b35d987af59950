/* SPDX-License-Identifier: MIT */
/*
 * sim/rig.h - a simulated machine with one granter, for tests of the simulator itself
 */
#ifndef TEST_SIM_RIG_H
#define TEST_SIM_RIG_H

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/sim.h"
#include "tests/unit/place.h"

#define PAGES	 256
#define GRANTER	 5
#define OTHER	 6
#define NOBODY	 77
#define HANDLES	 64
#define N_FRAMES 8

static const struct hv_place writable __attribute__((unused)) = { .open_id = 1 };
static const struct hv_place readonly __attribute__((unused)) = { .open_id = 1, .readonly = true };

static struct sim *sim;
static struct hypervisor *hv;
static char dir[64];
static int dirfd_;
static uint32_t frame[N_FRAMES]; /* of GRANTER */

static inline void make_dir(void)
{
	snprintf(dir, sizeof(dir), "%s/test_sim.XXXXXX", test_place());
	ck_assert_ptr_nonnull(mkdtemp(dir));
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dirfd_, 0);
}

static inline void make_sim(const struct sim_config *config)
{
	const char *why = NULL;

	make_dir();
	struct sim_config c = *config;
	c.dirfd = dirfd_;
	ck_assert_msg(!sim_new(&c, &sim, &why), "%s", why);
	hv = sim_hypervisor(sim);
	ck_assert_int_eq(sim_domain_add(sim, GRANTER), 0);
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, N_FRAMES, frame), 0);
}

static inline void setup(void)
{
	make_sim(&(struct sim_config){ .memory_pages = PAGES, .maptrack_max = HANDLES });
}

static inline void teardown(void)
{
	hv->ops->destroy(hv);
	/* The machine left nothing behind. */
	ck_assert_int_eq(rmdir(dir), 0);
	close(dirfd_);
}

static inline uint32_t grant(uint32_t f, bool ro)
{
	uint32_t ref;

	ck_assert_int_eq(sim_grant(sim, GRANTER, 0, f, ro, &ref), 0);
	return ref;
}

static inline struct hv_grant op(uint16_t domid, uint32_t ref)
{
	return (struct hv_grant){ .domid = domid, .ref = ref, .status = HV_PENDING };
}

static inline int16_t map1(struct hv_grant *g, const struct hv_place *at)
{
	ck_assert_int_eq(hv->ops->map(hv, g, 1, at), 0);
	return g->status;
}

static inline int16_t map_ref(uint16_t domid, uint32_t ref, const struct hv_place *at)
{
	struct hv_grant g = op(domid, ref);

	return map1(&g, at);
}

static inline void unmap1(struct hv_grant *g)
{
	ck_assert_int_eq(hv->ops->unmap(hv, g, 1), 0);
	ck_assert_int_eq(g->status, HV_PENDING);
}

static inline uint16_t flags(uint32_t ref)
{
	return __atomic_load_n(&sim_grant_entry(sim, GRANTER, ref)->flags, __ATOMIC_ACQUIRE);
}

/* A string into a frame. */
static inline void put(char *memory, const char *text)
{
	memcpy(memory, text, strlen(text) + 1);
}

static inline struct sim_counts counts(void)
{
	struct sim_counts c;

	sim_counts(sim, &c);
	return c;
}

#endif /* TEST_SIM_RIG_H */
