/* SPDX-License-Identifier: MIT */
/*
 * sim/left.h - what a killed daemon has left of the simulated machine, and its successors
 *
 * What is left is told by a description of all that lasts, in the terms of sim/sim.h, made from the memory itself.
 */
#ifndef TEST_SIM_LEFT_H
#define TEST_SIM_LEFT_H

#include "sim/port.h"
#include "sim/kept.h"
#include "sim/machine.h"
#include "tests/unit/sim/rig.h"

#define MAPPER	  0
#define DOMAINS	  8
#define N_PORTS	  8
#define TABLE_MAX 2

/* --- what there is --------------------------------------------------------------------------------- */

/* The memory of the machine, as we map it ourselves. */
static struct kept kept;

static inline void look_at(const struct sim_kept *left)
{
	const char *why;

	kept_close(&kept);
	ck_assert_msg(!kept_adopt(dup(left->state), &kept, &why), "%s", why);
}

#define TRACK_LIVE (1ULL << 63)

static struct maptrack_handle {
	uint32_t ref;
	uint32_t handle;
	uint16_t domid;
	bool readonly;
} handles[HANDLES];

/* As sim/maptrack.c has it. */
static inline unsigned int live_handles(const struct kept *k)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < HANDLES; i++)
		if (k->track[i] & TRACK_LIVE)
			handles[n++] = (struct maptrack_handle){
				.ref = k->track[i] & 0xffffff,
				.domid = (uint16_t)(k->track[i] >> 24),
				.handle = (uint32_t)(k->track[i] >> 40 & 0x7ff) << 20 | i,
				.readonly = k->track[i] >> 62 & 1,
			};
	return n;
}

static inline unsigned int pins(unsigned int n, uint16_t domid, uint32_t ref, bool ro)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < n; i++)
		count += handles[i].domid == domid && handles[i].ref == ref &&
			 handles[i].readonly == ro;
	return count;
}

static inline void describe_grants(FILE *f, const struct kept *k, uint16_t domid, unsigned int n)
{
	const struct kept_table *t = kept_tables(k, domid);

	for (uint32_t ref = 0; ref < k->domain[domid].table_frames * SIM_GRANTS_PER_FRAME; ref++) {
		const struct kept_grant *g =
			&t[ref / SIM_GRANTS_PER_FRAME].grant[ref % SIM_GRANTS_PER_FRAME];
		const struct grant_entry_v1 *e =
			&t[ref / SIM_GRANTS_PER_FRAME].entry[ref % SIM_GRANTS_PER_FRAME].v1;
		unsigned int r = pins(n, domid, ref, true), w = pins(n, domid, ref, false);

		if (g->state)
			fprintf(f, "grant %u:%u state %u frame %u\n", domid, ref, g->state,
				g->granted);
		if (e->flags)
			fprintf(f, "entry %u:%u flags %x domid %u frame %u\n", domid, ref, e->flags,
				e->domid, e->frame);
		if (r || w)
			fprintf(f, "pinned %u:%u %u %u frame %u\n", domid, ref, r, w, g->frame);
	}
}

static inline void describe_ports(FILE *f, const struct kept *k, uint16_t domid)
{
	const struct kept_port *p = kept_ports(k, domid);

	for (uint32_t i = 0; k->domain[domid].ports && i < N_PORTS; i++)
		if (p[i].word)
			fprintf(f, "port %u:%u %llx sent %llu\n", domid, i,
				(unsigned long long)p[i].word,
				/* Of one with another end it counts before the event waits there. */
				(p[i].word & PORT_KIND) ? 0 : (unsigned long long)p[i].sent);
}

/* All that lasts and means something. */
static inline char *describe(const struct kept *k)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	unsigned int n = live_handles(k);

	for (uint32_t i = 0; i < HANDLES; i++)
		if (k->track[i])
			fprintf(f, "handle %u %llx\n", i, (unsigned long long)k->track[i]);
	for (uint32_t i = 0; i < k->head->frames_made; i++)
		if (k->frame[i])
			fprintf(f, "frame %u %llx\n", i, (unsigned long long)k->frame[i]);
	for (uint16_t i = 0; i < DOMAINS; i++) {
		fprintf(f, "domain %u state %u\n", i, k->domain[i].state);
		describe_grants(f, k, i, n);
		describe_ports(f, k, i);
	}
	for (unsigned int i = 0; i < FAULT_MAX; i++)
		if (k->fault[i].order)
			fprintf(f, "fault %s: %u %u\n", k->fault[i].spec, k->fault[i].skip,
				k->fault[i].left);
	fclose(f);
	return text;
}

/* --- adopting ---------------------------------------------------------------------------------------- */

static inline bool name_handle(struct hypervisor *of, const struct maptrack_handle *h)
{
	struct hv_grant g = { .domid = h->domid, .ref = h->ref, .handle = h->handle };
	const struct hv_place at = { .readonly = h->readonly };

	return !of->ops->adopt(of, &g, 1, &at, false);
}

static inline struct sim *adopt(const struct sim_kept *left, int dirfd, bool name_all)
{
	const struct sim_kept mine = { dup(left->state), dup(left->memory) };
	struct sim *s;
	const char *why = NULL;
	int err = sim_new(&(struct sim_config){ .dirfd = dirfd, .left = &mine }, &s, &why);

	ck_assert_msg(!err, "%s (%s)", why, strerror(-err));
	for (unsigned int i = 0, n = name_all ? live_handles(&kept) : 0; i < n; i++)
		ck_assert(name_handle(sim_hypervisor(s), &handles[i]));
	return s;
}

static inline void adopted(struct sim *s)
{
	ck_assert_int_eq(sim_hypervisor(s)->ops->adopted(sim_hypervisor(s)), 0);
}

/* The rig's machine goes to a successor, all handles are known. */
static inline void succeed(void)
{
	struct sim_kept left = sim_kept(sim), copy = { dup(left.state), dup(left.memory) };

	sim_leave(sim);
	sim = adopt(&copy, dirfd_, true);
	hv = sim_hypervisor(sim);
	adopted(sim);
	close(copy.state);
	close(copy.memory);
}

/* --- machines, and what is done to them -------------------------------------------------------------- */

static inline void make_machine(void)
{
	struct sim_kept left;

	make_sim(&(struct sim_config){
		.memory_pages = PAGES, .maptrack_max = HANDLES, .grant_frames_max = TABLE_MAX });
	left = sim_kept(sim);
	look_at(&left);
	ck_assert_int_eq(sim_domain_add(sim, OTHER), 0);
}

static inline void end_machine(void)
{
	kept_close(&kept);
	teardown();
}

static unsigned int seed;

static inline uint32_t draw(uint32_t n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % n;
}

#endif /* TEST_SIM_LEFT_H */
