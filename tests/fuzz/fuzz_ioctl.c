/* SPDX-License-Identifier: MIT */
/*
 * fuzz_ioctl.c - clients of xen/gntdev that ask for anything, with any memory
 *
 * An input is a list of steps of three opens: open, close, each ioctl (and numbers that are none), mmap, munmap.
 * An ioctl's argument is a good one of which some bytes are the input's, at an address that is the input's, in
 * an arena of pages that can be written, read only, or not reached at all; it comes with the caller's memory
 * within the daemon's reach, or out of it, or by the kernel's copying. Between two round trips of the latter
 * other steps are taken.
 *
 * The device is the unit tests' (tests/unit/rig.h): the real one on the simulator, with the doubles of kernel
 * and window socket, which see to it that each request is answered once. What is held against it besides:
 *
 *  - a model of what each open has mapped: indexes of two maps never overlap; UNMAP and SET_UNMAP_NOTIFY
 *    find what is there, and nothing else;
 *  - an ioctl changes no memory but its own structure (GRANT_COPY its destinations);
 *  - when all opens are closed and all mappings gone nothing is left: no handle, no port, no page counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/rig.h"

#define OPENS	 3
#define REFS	 12
#define MAPS	 256 /* more than one step, with those within it, can make */
#define MAPPINGS 8
#define DEPTH	 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool ok)
{
	if (!ok)
		abort();
}

/* The rig's assertions, without Check: nobody runs a suite here. NOLINTBEGIN(bugprone-reserved-identifier) */

void _mark_point(const char *file, int line)
{
	(void)file;
	(void)line;
}

void _ck_assert_failed(const char *file, int line, const char *expr, const char *msg, ...)
{
	fprintf(stderr, "%s:%d: %s %s\n", file, line, expr, msg ? msg : "");
	abort();
}

/* NOLINTEND(bugprone-reserved-identifier) */

/* --- the input, eaten from the front; 0 when there is no more ----------------------------------- */

static const uint8_t *input;
static size_t input_left;

static uint8_t next(void)
{
	if (!input_left)
		return 0;
	input_left--;
	return *input++;
}

/* --- the client's memory ------------------------------------------------------------------------ */

#define ARENA_PAGES 6
#define ARENA_SIZE  (ARENA_PAGES * ABI_PAGE_SIZE)

/*
 * The third page can only be read, the fourth not even that. Nothing else is near, nor at an address that
 * differs in a byte or two: the device does write where a client tells it.
 */
#define ARENA ((void *)0x200000000000)
static uint8_t *arena;

static void make_arena(void)
{
	arena = mmap(ARENA, ARENA_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	demand(arena == ARENA);
	demand(!mprotect(arena + 2 * ABI_PAGE_SIZE, ABI_PAGE_SIZE, PROT_READ));
	demand(!mprotect(arena + 3 * ABI_PAGE_SIZE, ABI_PAGE_SIZE, PROT_NONE));
}

static bool can_write(size_t page)
{
	return page != 2 && page != 3;
}

/* As far as it can be written. */
static void put(size_t at, const void *from, size_t len)
{
	for (size_t i = 0; i < len && at + i < ARENA_SIZE; i++)
		if (can_write((at + i) / ABI_PAGE_SIZE))
			arena[at + i] = ((const uint8_t *)from)[i];
}

static void peek(size_t at, void *to, size_t len)
{
	memset(to, 0, len);
	for (size_t i = 0; i < len && at + i < ARENA_SIZE; i++)
		if ((at + i) / ABI_PAGE_SIZE != 3)
			((uint8_t *)to)[i] = arena[at + i];
}

/* --- the model ---------------------------------------------------------------------------------- */

/**
 * struct model - an open, as it should be
 * @busy: steps that are in hand for it
 * @map:  where its maps are, in pages; a count of 0 is none
 */
static struct model {
	uint64_t fh;
	unsigned int busy;
	struct {
		uint64_t first;
		uint32_t count;
	} map[MAPS];
} model[OPENS];

static bool model_has_page(const struct model *o, uint64_t page)
{
	for (size_t i = 0; i < MAPS; i++)
		if (page - o->map[i].first < o->map[i].count)
			return true;
	return false;
}

static void model_map(struct model *o, uint64_t index, uint32_t count)
{
	size_t place = MAPS;

	demand(index % ABI_PAGE_SIZE == 0);
	for (size_t i = 0; i < MAPS; i++) {
		demand(!o->map[i].count ||
		       index / ABI_PAGE_SIZE >= o->map[i].first + o->map[i].count ||
		       o->map[i].first >= index / ABI_PAGE_SIZE + count);
		if (!o->map[i].count)
			place = i;
	}
	demand(place < MAPS);
	o->map[place].first = index / ABI_PAGE_SIZE;
	o->map[place].count = count;
}

/* Return: whether there was one. */
static bool model_unmap(struct model *o, uint64_t index, uint32_t count)
{
	for (size_t i = 0; i < MAPS; i++) {
		if (o->map[i].count && o->map[i].first == index / ABI_PAGE_SIZE &&
		    (!count || o->map[i].count == count)) {
			o->map[i].count = 0;
			return true;
		}
	}
	return false;
}

static unsigned int model_count(const struct model *o)
{
	unsigned int n = 0;

	for (size_t i = 0; i < MAPS; i++)
		n += o->map[i].count != 0;
	return n;
}

/* The input's choice among the maps of @o. *@count: 0 if there is none. */
static uint64_t model_pick(const struct model *o, uint32_t *count)
{
	unsigned int n = model_count(o);
	unsigned int k = n ? next() % n : 0;

	*count = 0;
	for (size_t i = 0; n && i < MAPS; i++) {
		if (o->map[i].count && !k--) {
			*count = o->map[i].count;
			return o->map[i].first * ABI_PAGE_SIZE;
		}
	}
	return 0;
}

/* --- the device --------------------------------------------------------------------------------- */

static uint32_t refs[REFS];

/* Once. */
static void set_up(void)
{
	if (arena)
		return;
	make_arena();
	rig_setup();
	rig_close(rig.fh);
	for (size_t i = 0; i < REFS; i++)
		refs[i] = rig_grant(i % 4 == 3);
}

static bool nothing_is_left(void)
{
	struct quota_held held;
	struct hv_counts n;

	rig.gd.hv->ops->counts(rig.gd.hv, &n);
	quota_totals(rig.gd.quota, &held);
	return !n.handles && !n.ports && !held.maps && !held.pages;
}

/* The last mapping's end is noticed, and its grant given back, a moment later. */
static void check_nothing_is_left(void)
{
	for (int ms = 0; !nothing_is_left(); ms++) {
		demand(ms < 5000);
		usleep(1000);
	}
	demand(double_requests == double_answers);
}

/* --- ioctls ------------------------------------------------------------------------------------- */

/* Whether other steps were taken while one was under way. */
static bool interleaved;

union argument {
	struct ioctl_gntdev_map_grant_ref map;
	struct ioctl_gntdev_unmap_grant_ref unmap;
	struct ioctl_gntdev_get_offset_for_vaddr offset;
	struct ioctl_gntdev_unmap_notify notify;
	struct ioctl_gntdev_grant_copy copy;
	struct window_token token;
	uint8_t bytes[sizeof(struct ioctl_gntdev_map_grant_ref) +
		      REFS * sizeof(struct ioctl_gntdev_grant_ref)];
};

static void make_refs(union argument *a)
{
	uint8_t how = next();

	a->map.count = 1 + how % 4;
	for (uint32_t i = 0; i < a->map.count; i++)
		a->map.refs[i] =
			(struct ioctl_gntdev_grant_ref){ RIG_GRANTER, refs[(how + i) % REFS] };
}

/* Two segments, in the arena: one of each direction, or the same twice. */
static void make_segments(union argument *a)
{
	struct ioctl_gntdev_grant_copy_segment segment[2];
	size_t at = (next() * 97U) % ARENA_SIZE;
	uint8_t how = next();

	memset(segment, 0, sizeof(segment));
	for (size_t i = 0; i < 2; i++) {
		struct ioctl_gntdev_grant_copy_segment *s = &segment[i];
		uint64_t local = (uint64_t)(uintptr_t)(arena + (how * 61U + i * 300) % ARENA_SIZE);

		s->flags = (how >> i) & 1 ? GNTCOPY_source_gref : GNTCOPY_dest_gref;
		s->len = next();
		if (s->flags == GNTCOPY_source_gref) {
			s->source.foreign.ref = refs[how % REFS];
			s->source.foreign.domid = RIG_GRANTER;
			s->dest.virt = (void *)(uintptr_t)local;
		} else {
			s->dest.foreign.ref = refs[how % REFS];
			s->dest.foreign.domid = RIG_GRANTER;
			s->source.virt = (void *)(uintptr_t)local;
		}
	}
	for (uint8_t changes = next() % 4; changes; changes--)
		((uint8_t *)segment)[next() % sizeof(segment)] = next();
	put(at, segment, sizeof(segment));
	a->copy.count = 1 + how % 2;
	a->copy.segments = (void *)(arena + at);
}

/* Or not at all. */
static void make_slightly_wrong(struct ioctl_gntdev_unmap_grant_ref *op)
{
	uint8_t how = next();

	if (how % 4 == 1)
		op->count = 0;
	if (how % 4 == 2)
		op->count += how & 4 ? 1 : -1U;
	if (how & 8)
		op->index += how & 16 ? ABI_PAGE_SIZE : -ABI_PAGE_SIZE;
}

static const uint32_t commands[] = {
	IOCTL_GNTDEV_MAP_GRANT_REF,	   IOCTL_GNTDEV_UNMAP_GRANT_REF,
	IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, IOCTL_GNTDEV_SET_UNMAP_NOTIFY,
	IOCTL_GNTDEV_GRANT_COPY,	   WINDOW_TOKEN,
	IOCTL_GNTDEV_SET_MAX_GRANTS,
};

static void make_argument(uint32_t cmd, const struct model *o, union argument *a)
{
	uint32_t count;
	uint64_t index = model_pick(o, &count);

	memset(a, 0, sizeof(*a));
	if (cmd == IOCTL_GNTDEV_MAP_GRANT_REF) {
		make_refs(a);
	} else if (cmd == IOCTL_GNTDEV_UNMAP_GRANT_REF) {
		a->unmap.index = index;
		a->unmap.count = count;
		make_slightly_wrong(&a->unmap);
	} else if (cmd == IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR) {
		a->offset.vaddr = (uintptr_t)arena;
	} else if (cmd == IOCTL_GNTDEV_SET_UNMAP_NOTIFY) {
		a->notify.index = index + 64U * next();
		a->notify.action = UNMAP_NOTIFY_CLEAR_BYTE;
	} else if (cmd == IOCTL_GNTDEV_GRANT_COPY) {
		make_segments(a);
	} else {
		a->token.magic = WINDOW_MAGIC;
		a->token.version = WINDOW_VERSION;
	}
	for (uint8_t changes = next() % 4; changes; changes--)
		a->bytes[next() % 64] = next();
}

/* What a client may hope to find as it was. */
static void check_memory(const uint8_t *before, size_t at, size_t len)
{
	for (size_t i = 0; i < ARENA_SIZE; i++)
		if (can_write(i / ABI_PAGE_SIZE) && (i < at || i >= at + len))
			demand(arena[i] == before[i]);
}

static void check_result(uint32_t cmd, struct model *o, const union argument *a, int result)
{
	demand(result <= 0 && result > -4096);
	if (cmd == IOCTL_GNTDEV_MAP_GRANT_REF && !result)
		model_map(o, a->map.index, a->map.count);
	else if (cmd == IOCTL_GNTDEV_UNMAP_GRANT_REF && (!result || result == -ENOENT))
		demand(model_unmap(o, a->unmap.index, a->unmap.count) == !result);
	else if (cmd == IOCTL_GNTDEV_SET_UNMAP_NOTIFY && (!result || result == -ENOENT))
		demand(model_has_page(o, a->notify.index / ABI_PAGE_SIZE) == !result);
}

/*
 * Where the kernel copies, a MAP_GRANT_REF that cannot be written back is EFAULT, but its map stays: nobody
 * knows its index, and the model does not either. So such an argument can be written.
 */
static size_t place_argument(uint32_t cmd, enum double_mode mode)
{
	size_t at = next() << 8 | next();

	at %= ARENA_SIZE;
	if (cmd == IOCTL_GNTDEV_MAP_GRANT_REF && mode == DOUBLE_RETRY)
		at %= ABI_PAGE_SIZE;
	return at;
}

static void do_ioctl(struct model *o, uint32_t cmd)
{
	uint8_t how = next();
	enum double_mode mode = how & 1 ? DOUBLE_RETRY : DOUBLE_DIRECT;
	size_t at = place_argument(cmd, mode);
	static uint8_t before[DEPTH + 1][ARENA_SIZE];
	static unsigned int depth;
	struct double_result r;
	union argument a;

	if (!o->fh || (cmd == IOCTL_GNTDEV_MAP_GRANT_REF && model_count(o) > MAPS / 2))
		return;
	make_argument(cmd, o, &a);
	put(at, &a, sizeof(a));
	peek(0, before[depth], ARENA_SIZE);
	interleaved = false;
	o->busy++;
	double_no_access = how & 2;
	depth++;
	r = double_ioctl_full(&rig.gd.dev, o->fh, cmd, (uintptr_t)(arena + at), mode,
			      how % 32 == 4);
	depth--;
	o->busy--;
	double_no_access = false;
	peek(at, &a, sizeof(a));
	check_result(cmd, o, &a, r.result);
	if (cmd != IOCTL_GNTDEV_GRANT_COPY && !interleaved)
		check_memory(before[depth], at, _IOC_SIZE(cmd) ? _IOC_SIZE(cmd) : sizeof(a));
}

/* --- mmap --------------------------------------------------------------------------------------- */

static struct {
	void *addr;
	size_t length;
} mapping[MAPPINGS];

static void do_munmap(size_t i)
{
	if (mapping[i].addr)
		munmap(mapping[i].addr, mapping[i].length);
	mapping[i].addr = NULL;
}

static void do_mmap(const struct model *o)
{
	size_t place = next() % MAPPINGS;
	uint8_t how = next();
	uint32_t count;
	uint64_t index = model_pick(o, &count) + (how >> 7) * ABI_PAGE_SIZE;
	size_t length = (count + (how >> 6 & 1)) * ABI_PAGE_SIZE;
	void *at;

	if (!o->fh || !length)
		return;
	do_munmap(place);
	at = rig_mmap(o->fh, index, length, how & 1 ? PROT_READ : PROT_READ | PROT_WRITE,
		      how & 2 ? MAP_PRIVATE : MAP_SHARED);
	if (at == MAP_FAILED)
		return;
	mapping[place].addr = at;
	mapping[place].length = length;
}

/* --- steps -------------------------------------------------------------------------------------- */

static void do_close(struct model *o)
{
	if (o->fh && !o->busy) {
		rig_close(o->fh);
		memset(o, 0, sizeof(*o));
	}
}

static void do_open(struct model *o, uint8_t how)
{
	if (!o->fh)
		o->fh = rig_open_as(how & 128 ? O_RDONLY : O_RDWR);
}

static void step(void)
{
	uint8_t what = next();
	struct model *o = &model[what / 16 % OPENS];
	size_t n_commands = sizeof(commands) / sizeof(commands[0]);

	switch (what % 16) {
	case 0:
		do_close(o);
		break;
	case 1:
		do_open(o, what);
		break;
	case 2:
	case 3:
		do_mmap(o);
		break;
	case 4:
		do_munmap(next() % MAPPINGS);
		break;
	case 5:
		do_ioctl(o, (uint32_t)next() << 24 | (uint32_t)next() << 16 |
				    (uint32_t)next() << 8 | next());
		break;
	default:
		do_ioctl(o, commands[what % n_commands]);
		break;
	}
}

/* Between two round trips of one ioctl: what others, or other threads, do meanwhile. */
static void meanwhile(void)
{
	static unsigned int depth;

	if (depth == DEPTH || !input_left || next() & 1)
		return;
	depth++;
	step();
	depth--;
	interleaved = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	set_up();
	double_between_trips = meanwhile;
	input = data;
	input_left = size;
	do_open(&model[0], 0);
	while (input_left)
		step();
	for (size_t i = 0; i < MAPPINGS; i++)
		do_munmap(i);
	for (size_t i = 0; i < OPENS; i++)
		do_close(&model[i]);
	check_nothing_is_left();
	return 0;
}
