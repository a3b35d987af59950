/* SPDX-License-Identifier: MIT */
/*
 * sim/test_survive.c - the daemon is killed, and a successor adopts the simulated machine
 *
 * Operations drawn at random are stopped after each of their stores (sim/prefix.h). What was left then is adopted: it
 * must be as if the operation had been carried out, or as if it had not begun.
 */
#include <errno.h>
#include <sys/stat.h>

#include "tests/unit/sim/left.h"
#include "tests/unit/sim/prefix.h"
#include "tests/unit/suite.h"

/* --- a copy of what was left ---------------------------------------------------------------------------- */

static struct {
	char dir[80];
	int dirfd;
	struct sim_kept left;
} image;

static void make_image(void)
{
	struct kept k;

	snprintf(image.dir, sizeof(image.dir), "%s.image", dir);
	ck_assert_int_eq(mkdir(image.dir, 0700), 0);
	image.dirfd = open(image.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	image.left.memory = openat(image.dirfd, MACHINE_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(image.left.memory, 0);
	ck_assert_int_eq(kept_new(&kept.head->sizes, &k), 0);
	image.left.state = dup(k.mem.fd);
	kept_close(&k);
}

static void drop_image(void)
{
	close(image.left.state);
	close(image.left.memory);
	unlinkat(image.dirfd, MACHINE_FILE, 0);
	close(image.dirfd);
	rmdir(image.dir);
}

/* Pages that are the same are not touched. */
static void copy_part(const struct kept *to, const void *at, size_t bytes)
{
	unsigned char *there = to->mem.base + ((const unsigned char *)at - kept.mem.base);

	if (memcmp(there, at, bytes) != 0)
		memcpy(there, at, bytes);
}

static size_t watch(struct prefix_part *part)
{
	size_t n = 0;

	part[n++] = (struct prefix_part){ kept.head, sizeof(*kept.head) };
	part[n++] = (struct prefix_part){ kept.fault, 16 * sizeof(*kept.fault) };
	part[n++] = (struct prefix_part){ kept.domain, DOMAINS * sizeof(*kept.domain) };
	part[n++] = (struct prefix_part){ kept.track, HANDLES * sizeof(*kept.track) };
	part[n++] = (struct prefix_part){ kept.frame, PAGES * sizeof(*kept.frame) };
	for (uint16_t d = MAPPER; d <= OTHER; d += d ? 1 : GRANTER) {
		part[n++] = (struct prefix_part){ kept_ports(&kept, d),
						  N_PORTS * sizeof(struct kept_port) };
		part[n++] =
			(struct prefix_part){ kept_tables(&kept, d), sizeof(struct kept_table) };
	}
	return n;
}

#define PARTS_MAX 16

static void take_image(struct kept *k)
{
	struct prefix_part part[PARTS_MAX];
	size_t n = watch(part);
	const char *why;

	ck_assert_int_eq(kept_adopt(dup(image.left.state), k, &why), 0);
	for (size_t i = 0; i < n; i++)
		copy_part(k, part[i].at, part[i].bytes);
}

/* --- operations ------------------------------------------------------------------------------------- */

enum op {
	OP_MAP,
	OP_MAP_RO,
	OP_UNMAP,
	OP_GRANT,
	OP_GRANT_RO,
	OP_REVOKE,
	OP_LATER,
	OP_LATER_WITH_FRAME,
	OP_ALLOC,
	OP_FREE,
	OP_ADD,
	OP_REMOVE,
	OP_BIND,
	OP_UNBIND,
	OP_SEND,
	OP_OPEN_PORT,
	OP_CONNECT,
	OP_FAULT,
	OPS,
};

static const char *const op_names[OPS] = {
	"map",
	"map readonly",
	"unmap",
	"grant",
	"grant readonly",
	"revoke",
	"end later",
	"end later with its frame",
	"give frames",
	"take a frame",
	"add a domain",
	"remove a domain",
	"bind",
	"unbind",
	"send",
	"open a port",
	"connect to it",
	"add a fault",
};

/* One, of which only what it needs is looked at. */
struct order {
	enum op op;
	uint16_t domid;
	uint32_t ref;
	uint32_t frame;
	uint32_t port;
	uint32_t n;
	struct maptrack_handle handle;
};

/* Mostly a frame of the domain's, so that what is drawn can be done. */
static uint32_t draw_frame(uint16_t domid)
{
	uint32_t f = 0, n = draw(6);

	while (n--)
		f = sim_frame_next(sim, domid, f + 1);
	return f ? f : 1 + draw(12);
}

/* Mostly a reference in use. */
static uint32_t draw_ref(uint16_t domid)
{
	struct sim_granted g;
	uint32_t ref = UINT32_MAX, n = 1 + draw(4);

	while (n-- && sim_grant_next(sim, domid, &ref, &g))
		;
	return n == UINT32_MAX ? ref : GNTTAB_NR_RESERVED_ENTRIES + draw(6);
}

static void draw_order(struct order *o)
{
	unsigned int n = live_handles(&kept);

	*o = (struct order){
		.op = draw(OPS),
		.domid = (uint16_t)(draw(4) ? GRANTER : OTHER),
		.port = 1 + draw(3),
		.n = 1 + draw(3),
	};
	o->ref = draw_ref(o->domid);
	o->frame = draw_frame(o->domid);
	if (n)
		o->handle = handles[draw(n)];
	/* These take many instructions, so few will do. The granter stays. */
	if ((o->op == OP_ADD || o->op == OP_REMOVE || o->op == OP_BIND || o->op == OP_OPEN_PORT) &&
	    draw(2))
		o->op = OP_GRANT;
	if (o->op == OP_ADD || o->op == OP_REMOVE)
		o->domid = OTHER;
	if (o->op == OP_UNMAP && !n)
		o->op = OP_GRANT;
}

static void do_map(const struct order *o, bool ro)
{
	struct hv_grant g = op(o->domid, o->ref);

	hv->ops->map(hv, &g, 1, ro ? &readonly : &writable);
}

static void do_unmap(const struct order *o)
{
	struct hv_grant g = op(o->handle.domid, o->handle.ref);

	g.handle = o->handle.handle;
	g.status = GNTST_okay;
	hv->ops->unmap(hv, &g, 1);
}

static void do_other(const struct order *o)
{
	uint32_t frames[3], ref;
	const char *why;

	switch (o->op) {
	case OP_ALLOC:
		sim_frames_alloc(sim, o->domid, o->n, frames);
		break;
	case OP_FREE:
		sim_frames_free(sim, o->domid, &o->frame, 1);
		break;
	case OP_ADD:
		sim_domain_add(sim, o->domid);
		break;
	case OP_REMOVE:
		sim_domain_remove(sim, o->domid);
		break;
	case OP_BIND:
		sim_port_bind(sim, o->domid, o->port, MAPPER, NULL, NULL);
		break;
	case OP_UNBIND:
		sim_port_unbind(sim, o->domid, o->port);
		break;
	case OP_SEND:
		sim_port_send(sim, o->domid, o->port);
		break;
	case OP_OPEN_PORT:
		sim_channel_unbound(sim, o->domid, MAPPER);
		break;
	case OP_CONNECT:
		sim_channel_interdomain(sim, MAPPER, o->domid, o->port);
		break;
	case OP_FAULT:
		sim_fault_add(sim, "window:nth=7,errno=EIO", &why);
		break;
	default:
		sim_grant(sim, o->domid, MAPPER, o->frame, o->op == OP_GRANT_RO, &ref);
	}
}

static void carry_out(void *arg)
{
	const struct order *o = arg;

	if (o->op == OP_MAP || o->op == OP_MAP_RO)
		do_map(o, o->op == OP_MAP_RO);
	else if (o->op == OP_UNMAP)
		do_unmap(o);
	else if (o->op == OP_REVOKE)
		sim_revoke(sim, o->domid, o->ref);
	else if (o->op == OP_LATER || o->op == OP_LATER_WITH_FRAME)
		sim_revoke_later(sim, o->domid, o->ref, o->op == OP_LATER_WITH_FRAME);
	else
		do_other(o);
}

/* --- each prefix ------------------------------------------------------------------------------------ */

/**
 * struct trial - an operation on its way
 * @before: what there was
 * @left:   what was left of it so far, other than that
 */
struct trial {
	char *before;
	char *left[64];
	unsigned int n;
};

/* What was left is as before, or as some prefix was already: those are looked at when it is known what came after. */
static void note(struct trial *t, char *found)
{
	if (!strcmp(found, t->before) || (t->n && !strcmp(found, t->left[t->n - 1])))
		free(found);
	else if (t->n < sizeof(t->left) / sizeof(t->left[0]))
		t->left[t->n++] = found;
}

/* Adopt it twice: the first time all handles are known; the second time none, and nothing is mapped any more. */
static void adopt_image(void *arg)
{
	struct kept k;
	struct sim_counts c;
	struct sim *s;

	take_image(&k);
	s = adopt(&image.left, image.dirfd, false);
	for (unsigned int i = 0, n = live_handles(&k); i < n; i++)
		ck_assert(name_handle(sim_hypervisor(s), &handles[i]));
	adopted(s);
	note(arg, describe(&k));
	sim_leave(s);
	s = adopt(&image.left, image.dirfd, false);
	adopted(s);
	sim_counts(s, &c);
	ck_assert_uint_eq(c.handles, 0);
	ck_assert_uint_eq(c.pins, 0);
	sim_leave(s);
	kept_close(&k);
}

static void try(struct order *o)
{
	struct prefix_part part[PARTS_MAX];
	struct trial t = { .before = describe(&kept) };
	size_t n = watch(part);
	char *after;

	prefix_each(carry_out, o, part, n, adopt_image, &t);
	succeed();
	after = describe(&kept);
	for (unsigned int i = 0; i < t.n; i++) {
		assert_each(!strcmp(t.left[i], after),
			    "%s %u:%u left what was neither before nor after\n--- before\n%s--- "
			    "left\n%s--- after\n%s",
			    op_names[o->op], o->domid, o->ref, t.before, t.left[i], after);
		free(t.left[i]);
	}
	free(t.before);
	free(after);
}

/* Each operation where it does what it is for. */
static const enum op script[] = {
	OP_ALLOC,
	OP_GRANT,
	OP_MAP,
	OP_GRANT,
	OP_REVOKE,
	OP_GRANT,
	OP_LATER,
	OP_GRANT,
	OP_LATER_WITH_FRAME, /* of the one that is not mapped */
	OP_LATER_WITH_FRAME, /* of the one that is */
	OP_UNMAP,
	OP_ALLOC,
	OP_FREE,
	OP_GRANT_RO,
	OP_MAP_RO,
	OP_MAP_RO,
	OP_FREE,
	OP_OPEN_PORT,
	OP_OPEN_PORT, /* the one that is connected to, and unbound */
	OP_CONNECT,
	OP_UNBIND,
	OP_BIND,
	OP_SEND,
	OP_UNBIND,
	OP_OPEN_PORT,
	OP_CONNECT, /* until the domain is removed */
	OP_GRANT,
	OP_REMOVE,
	OP_UNMAP,
	OP_UNMAP, /* the last one ends the domain */
	OP_ADD,
	OP_ALLOC,
	OP_GRANT,
	OP_REMOVE,
	OP_FAULT,
};

/* What is done to a grant is done to the last one, but the first one is mapped. */
static uint32_t script_ref(enum op what)
{
	struct sim_granted g;
	uint32_t ref = UINT32_MAX, found = 0;

	while (sim_grant_next(sim, OTHER, &ref, &g))
		if (!g.ending && (!found || (what != OP_MAP && what != OP_MAP_RO)))
			found = ref;
	return found;
}

START_TEST(every_operation)
{
	for (size_t i = 0; i < sizeof(script) / sizeof(script[0]); i++) {
		struct order o = { .op = script[i], .domid = OTHER, .port = 2, .n = 3 };
		char *before = describe(&kept), *after;

		o.ref = script_ref(o.op);
		o.frame = sim_frame_next(sim, OTHER, 1);
		if (live_handles(&kept))
			o.handle = handles[0];
		try(&o);
		after = describe(&kept);
		assert_each(strcmp(before, after), "%zu: %s did nothing", i, op_names[o.op]);
		free(before);
		free(after);
	}
}
END_TEST

#define ROUNDS	   2
#define OPERATIONS 40

/* A successor is used for the next operation, each time. */
START_TEST(every_prefix)
{
	struct order o;

	seed = 77 + (unsigned int)_i;
	for (int i = 0; i < OPERATIONS; i++) {
		draw_order(&o);
		try(&o);
	}
}
END_TEST

/* --- what cannot be ----------------------------------------------------------------------------------- */

/* Return: what adopting the image gives. */
static int try_image(void)
{
	const struct sim_kept mine = { dup(image.left.state), dup(image.left.memory) };
	struct sim *s;
	const char *why = NULL;
	int err = sim_new(&(struct sim_config){ .dirfd = image.dirfd, .left = &mine }, &s, &why);

	if (!err)
		sim_leave(s);
	else
		ck_assert_ptr_nonnull(why);
	return err;
}

/* Each is refused, and the memory is as it was. */
START_TEST(damaged)
{
	struct hv_grant g = op(GRANTER, grant(frame[0], false));
	char *before, *after;
	struct kept k;

	ck_assert_int_eq(map1(&g, &writable), GNTST_okay);
	ck_assert_int_eq(sim_port_bind(sim, GRANTER, 2, MAPPER, NULL, NULL), 0);
	take_image(&k);
	before = describe(&k);
#define WRONG(what, value)                                                 \
	do {                                                               \
		__typeof__(what) was = (what);                             \
		(what) = (value);                                          \
		ck_assert_msg(try_image() == -EINVAL, #what " = " #value); \
		(what) = was;                                              \
	} while (0)
	WRONG(k.head->magic, 1);
	WRONG(k.head->bytes, 63);
	WRONG(k.head->handed, 2);
	WRONG(k.head->frames_made, PAGES + 1UL);
	WRONG(k.head->sizes.pages, 1ULL << 40);
	WRONG(k.head->sizes.self, DOMID_FIRST_RESERVED);
	WRONG(k.domain[MAPPER].state, SIM_DOMAIN_ABSENT);
	WRONG(k.domain[GRANTER].state, 3);
	WRONG(k.domain[GRANTER].table_frames, 0);
	WRONG(k.domain[GRANTER].table_frames, TABLE_MAX + 1);
	WRONG(k.domain[GRANTER].state, SIM_DOMAIN_ABSENT);
	WRONG(k.frame[0], 1ULL << 63);
	WRONG(k.frame[frame[1]], k.frame[frame[1]] & ~(1ULL << 63));
	WRONG(k.frame[frame[1]], k.frame[frame[1]] | 1ULL << 48);
	WRONG(k.frame[frame[0]], 0);
	WRONG(k.track[0], k.track[0] | 0xffffff);
	WRONG(k.track[0], k.track[0] | 0x7fffULL << 24);
	WRONG(k.track[0], k.track[0] & ~TRACK_LIVE);
	WRONG(k.track[1], 1);
	WRONG(kept_tables(&k, GRANTER)->grant[g.ref].state, 5);
	WRONG(kept_tables(&k, GRANTER)->grant[g.ref].granted, PAGES);
	WRONG(kept_tables(&k, GRANTER)->grant[g.ref].frame, PAGES - 1);
	WRONG(kept_ports(&k, GRANTER)[2].word, 1);
	WRONG(kept_ports(&k, GRANTER)[0].word, 1ULL << 63);
	WRONG(k.fault[0].order, 1);
#undef WRONG
	after = describe(&k);
	ck_assert_str_eq(before, after);
	ck_assert_int_eq(try_image(), 0);
	free(before);
	free(after);
	kept_close(&k);
	unmap1(&g);
}
END_TEST

static void survive_setup(void)
{
	make_machine();
	make_image();
}

static void survive_teardown(void)
{
	drop_image();
	end_machine();
}

Suite *survive_suite(void);

Suite *survive_suite(void)
{
	Suite *s = suite_create("sim_survive");
	TCase *tc = tcase_create("sim_survive");

	tcase_add_checked_fixture(tc, survive_setup, survive_teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, every_operation);
	tcase_add_loop_test(tc, every_prefix, 0, ROUNDS);
	tcase_add_test(tc, damaged);
	suite_add_tcase(s, tc);
	return s;
}
