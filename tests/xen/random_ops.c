/* SPDX-License-Identifier: MIT */
/*
 * random_ops.c - the steps of a random sequence: choose arguments, have a worker do it, write down
 * what the client saw
 *
 * What is left out, or written down otherwise than it was seen, as the driver and the daemon differ
 * there on purpose (docs/differences.md), and the walk (conform.c) has it:
 *
 * - An index is written as the number of its slot: a hole is not reused alike. That the first index
 *   of an empty file is 0, and that no two slots overlap, is checked with each one. For the same
 *   reason no step uses an index that was unmapped before, or one just behind a slot.
 * - In a PV dom0 a forked child gives up the mappings that it would have inherited: the driver has
 *   it without them.
 * - In a PV dom0 no part of a mapping is unmapped: windows cannot be split there.
 * - No mprotect, madvise or mremap; no PROT_NONE, PROT_EXEC.
 * - Grants are seen as pinned and bytes as uncleared only while their mapping is whole, and the
 *   reverse only when nobody has a use for the slot any more (random_model.c).
 * - No byte to be cleared in a slot with a reference that cannot be mapped for writing, and no
 *   read-only mapping of a slot with one: the driver may write to the page, lose it, or oops.
 * - The statuses of a GRANT_COPY that failed as a whole are not looked at, and such a call has one
 *   segment: how many of them were carried out is the driver's accident.
 * - GRANT_COPY has no mapping of a grant for a local buffer.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "random_ops.h"

#define EMPTY_REF 9000U
#define NO_REF	  100000000U
#define MAX_LEN	  800U

uint32_t pick(struct run *r, uint32_t n)
{
	r->random ^= r->random << 13;
	r->random ^= r->random >> 7;
	r->random ^= r->random << 17;
	return (uint32_t)((r->random >> 32) * n >> 32);
}

static bool chance(struct run *r, uint32_t percent)
{
	return pick(r, 100) < percent;
}

const char *outcome(const struct answer *a)
{
	static char number[24];

	if (a->error)
		return strerrorname_np(a->error) ? strerrorname_np(a->error) : "E?";
	snprintf(number, sizeof(number), "%lld", (long long)a->ret);
	return number;
}

static uint32_t random_fd(struct run *r, uint32_t w)
{
	uint32_t fd = pick(r, FDS);

	for (uint32_t i = 0; i < FDS && r->m.fd[w][fd] < 0; i++)
		fd = (fd + 1) % FDS;
	return fd;
}

/* A listed slot of one of the worker's files, and a descriptor of that. */
static struct slot *random_slot(struct run *r, uint32_t w, uint32_t *fd)
{
	struct model *m = &r->m;
	uint32_t first = pick(r, MAX_SLOTS);

	*fd = random_fd(r, w);
	for (uint32_t i = 0; i < MAX_SLOTS && m->fd[w][*fd] >= 0; i++) {
		struct slot *s = &m->slot[(first + i) % MAX_SLOTS];

		if (s->used && s->listed && (int)s->open == m->fd[w][*fd])
			return s;
	}
	return NULL;
}

static bool random_place(struct run *r, uint32_t w, bool with_slot, uint32_t *place)
{
	uint32_t first = pick(r, PLACES);

	for (uint32_t i = 0; i < PLACES; i++) {
		*place = (first + i) % PLACES;
		if (!r->m.vma[w][*place].slot == !with_slot)
			return true;
	}
	return false;
}

static uint32_t random_page(struct run *r, const struct vma *v)
{
	uint32_t page = pick(r, v->slot->count);

	while (!(v->pages & 1U << page))
		page = (page + 1) % v->slot->count;
	return page;
}

static uint32_t step_open(struct run *r, uint32_t w)
{
	struct order o = { .kind = DO_OPEN, .fd = pick(r, FDS) };
	struct answer a;

	if (r->m.fd[w][o.fd] >= 0)
		return 0;
	o.value = chance(r, 10) ? O_RDONLY : O_RDWR;
	ask(r, w, &o, &a);
	fprintf(r->trace, "open fd%u mode %llu: %s\n", o.fd, (unsigned long long)o.value,
		outcome(&a));
	if (!a.ret)
		fd_open(&r->m, w, o.fd, (int)o.value);
	return 1;
}

static uint32_t step_close(struct run *r, uint32_t w)
{
	struct order o = { .kind = DO_CLOSE, .fd = random_fd(r, w) };
	struct answer a;

	if (r->m.fd[w][o.fd] < 0)
		return 0;
	ask(r, w, &o, &a);
	fprintf(r->trace, "close fd%u: %s\n", o.fd, outcome(&a));
	if (!a.ret)
		fd_close(&r->m, w, o.fd);
	return 1;
}

static void random_refs(struct run *r, struct order *o)
{
	bool good = chance(r, 80);

	for (uint32_t i = 0; i < MAX_COUNT; i++) {
		struct gntdev_ref *ref = &o->ref[i];

		ref->domid = r->m.granter->domid;
		do {
			ref->ref = FIRST_REF + pick(r, REFS);
		} while (good && (!ref_granted(ref->ref) || ref_read_only(ref->ref)));
		if (!good && chance(r, 4))
			ref->ref = NO_REF;
	}
}

static uint32_t step_map(struct run *r, uint32_t w)
{
	struct order o = { .kind = DO_MAP,
			   .fd = random_fd(r, w),
			   .count = 1 + pick(r, chance(r, 60) ? 2 : MAX_COUNT) };
	uint32_t open = (uint32_t)r->m.fd[w][o.fd];
	struct answer a;

	if (r->m.fd[w][o.fd] < 0 || r->m.slots >= MAX_SLOTS)
		return 0;
	random_refs(r, &o);
	if (chance(r, 15))
		o.argument = NO_POINTER + pick(r, 3);
	else if (chance(r, 5))
		o.count = chance(r, 50) ? 0 : 65537;
	ask(r, w, &o, &a);
	fprintf(r->trace, "MAP fd%u %u refs from %u, argument %d: %s", o.fd, o.count, o.ref[0].ref,
		o.argument, outcome(&a));
	if (!a.ret) {
		fprintf(r->trace, " slot %u", r->m.numbers);
		if (!slot_index_good(&r->m, open, o.count, a.value))
			fprintf(r->trace, " has a bad index: %#llx", (unsigned long long)a.value);
		slot_new(&r->m, open, o.count, a.value, o.ref);
	}
	fputc('\n', r->trace);
	return 1;
}

static uint32_t step_unmap(struct run *r, uint32_t w)
{
	struct order o = { .kind = DO_UNMAP };
	struct slot *s = random_slot(r, w, &o.fd);
	const char *how = "it";
	struct answer a;

	if (!s)
		return 0;
	o.index = s->index;
	o.count = s->count;
	switch (pick(r, 20)) {
	case 0:
		how = "more";
		o.count++;
		break;
	case 1:
		how = "inner page";
		o.index = s->count > 1 ? s->index + PAGE : NO_INDEX;
		break;
	case 2:
		how = "nothing";
		o.index = NO_INDEX;
		break;
	case 3:
		o.argument = chance(r, 50) ? NO_POINTER : CUT;
		break;
	case 4:
		o.argument = READ_ONLY;
		break;
	case 5:
	case 6:
		how = "any count";
		o.count = 0;
		break;
	case 7:
		how = "low bits";
		o.index += 1 + pick(r, PAGE - 1);
		break;
	}
	ask(r, w, &o, &a);
	fprintf(r->trace, "UNMAP fd%u slot %u, %s, argument %d: %s\n", o.fd, s->number, how,
		o.argument, outcome(&a));
	if (!a.ret)
		slot_unmap(&r->m, s);
	return 1;
}

static uint32_t step_offset(struct run *r, uint32_t w)
{
	struct order o = { .kind = DO_OFFSET, .fd = random_fd(r, w), .offset = pick(r, PAGE) };
	const struct vma *v;
	struct answer a;

	if (r->m.fd[w][o.fd] < 0 || !random_place(r, w, chance(r, 85), &o.place))
		return 0;
	v = &r->m.vma[w][o.place];
	o.page = pick(r, v->slot ? v->slot->count : MAX_COUNT);
	if (chance(r, 5))
		o.argument = NO_POINTER + pick(r, 3);
	ask(r, w, &o, &a);
	fprintf(r->trace, "GET_OFFSET fd%u place %u page %u, argument %d: %s", o.fd, o.place,
		o.page, o.argument, outcome(&a));
	if (!a.ret && v->slot && a.value == v->slot->index)
		fprintf(r->trace, " slot %u, %u pages", v->slot->number, a.count);
	else if (!a.ret)
		fprintf(r->trace, " %#llx, %u pages", (unsigned long long)a.value, a.count);
	fputc('\n', r->trace);
	return 1;
}

static int free_port(struct run *r)
{
	for (int i = 0; i < PORTS; i++)
		if (r->m.port[i] == FREE)
			return i;
	return -1;
}

/* A byte in the reserve of one of the slot's pages, its place in the slot to *offset. */
static int free_mark(struct run *r, const struct slot *s, uint32_t *offset)
{
	uint32_t page = pick(r, s->count);

	for (int i = (int)ref_page(s->ref[page]); i < MARKS; i += PAGES) {
		if (r->m.mark[i] != FREE)
			continue;
		*offset = page * PAGE + mark_offset(i);
		return i;
	}
	return -1;
}

/* Whether a byte of it can be cleared with the same effect everywhere, or is refused everywhere. */
static bool may_have_byte(const struct slot *s)
{
	if (s->mapped && !s->writable)
		return true;
	return !s->mixed && (!s->tried || (s->mapped && !s->torn && s->vmas));
}

static uint32_t step_notify(struct run *r, uint32_t w)
{
	struct order o = { .kind = DO_NOTIFY, .port = ~0U };
	struct slot *s = random_slot(r, w, &o.fd);
	int mark = -1, port = -1;
	uint32_t offset = 0;
	struct answer a;

	if (!s)
		return 0;
	o.action = pick(r, 4);
	if (o.action & NOTIFY_BYTE && may_have_byte(s))
		mark = free_mark(r, s, &offset);
	if (mark < 0)
		o.action &= ~NOTIFY_BYTE;
	if (o.action & NOTIFY_EVENT && !chance(r, 5))
		port = free_port(r);
	if (port >= 0)
		o.port = r->m.local[port];
	o.index = chance(r, 5) ? NO_INDEX : s->index + offset;
	if (chance(r, 5))
		o.action |= 4U << pick(r, 30);
	if (chance(r, 5))
		o.argument = NO_POINTER + pick(r, 3);
	ask(r, w, &o, &a);
	fprintf(r->trace, "NOTIFY fd%u slot %u%s +%u action %#x port %d, argument %d: %s\n", o.fd,
		s->number, o.index == NO_INDEX ? " not" : "", offset, o.action, port, o.argument,
		outcome(&a));
	if (!a.ret)
		slot_notify(&r->m, s, mark, port);
	return 1;
}

static void random_foreign(struct run *r, struct gntdev_ref *g)
{
	g->domid = r->m.granter->domid;
	g->ref = chance(r, 96) ? FIRST_REF + pick(r, REFS) : chance(r, 50) ? NO_REF : EMPTY_REF;
	if (chance(r, 2))
		g->domid += 100;
}

/* Never two segments that touch the same bytes: what comes first is nobody's business. */
static void random_segment(struct run *r, uint32_t i, struct segment_order *g)
{
	uint32_t direction = pick(r, 5);

	g->len = (uint16_t)pick(r, MAX_LEN);
	g->source_offset = (uint16_t)(pick(r, 2) * MAX_LEN);
	g->dest_offset = (uint16_t)(1700 + i * 300);
	if (g->len > 300)
		g->len = 300;
	/* In, out, across: the worker's bytes of a segment are its own. */
	if (direction < 4)
		random_foreign(r, direction < 2 ? &g->source : &g->dest);
	if (direction < 2)
		g->dest.ref = i * (LOCAL_BYTES / MAX_SEGMENTS) + pick(r, 1500);
	else if (direction < 4)
		g->source.ref = i * (LOCAL_BYTES / MAX_SEGMENTS) + pick(r, 1500);
	if (direction < 4)
		return;
	random_foreign(r, &g->source);
	random_foreign(r, &g->dest);
}

/* Over the pages that it may have written to. */
static uint64_t granter_sum(const struct run *r, const struct order *o)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < o->count; i++) {
		const struct gntdev_ref *g = &o->segment[i].dest;

		for (uint32_t at = 0; g->domid && at < DATA_BYTES; at += 8)
			sum = sum * 31 +
			      *(uint64_t *)(domain_page(r->m.granter, ref_page(g->ref)) + at);
	}
	return sum;
}

static void one_bad_segment(struct run *r, struct order *o)
{
	struct segment_order *g = &o->segment[0];

	o->count = 1;
	if (chance(r, 50)) {
		/* Local to local. */
		g->source.domid = g->dest.domid = 0;
		g->source.ref = g->dest.ref = 0;
		return;
	}
	random_foreign(r, &g->source);
	g->source_offset = (uint16_t)(PAGE - 1);
	g->len = 2;
}

static uint32_t step_copy(struct run *r, uint32_t w)
{
	struct order o = { .kind = DO_COPY, .fd = random_fd(r, w), .value = pick(r, 256) };
	struct answer a;

	if (r->m.fd[w][o.fd] < 0)
		return 0;
	o.count = pick(r, MAX_SEGMENTS + 1);
	for (uint32_t i = 0; i < o.count; i++)
		random_segment(r, i, &o.segment[i]);
	if (chance(r, 10))
		one_bad_segment(r, &o);
	else if (chance(r, 5))
		o.argument = chance(r, 50) ? NO_POINTER : CUT;
	ask(r, w, &o, &a);
	fprintf(r->trace, "COPY fd%u %u segments, argument %d: %s, status", o.fd, o.count,
		o.argument, outcome(&a));
	for (uint32_t i = 0; i < o.count && !a.ret; i++)
		fprintf(r->trace, " %d", a.status[i]);
	fprintf(r->trace, ", sums %llx %llx\n", (unsigned long long)a.value,
		(unsigned long long)granter_sum(r, &o));
	return 1;
}

/* One of the ways to be refused before the slot is touched. */
static void refused_mmap(struct run *r, const struct slot *s, struct order *o)
{
	switch (pick(r, 6)) {
	case 0:
		/* Not over the next place. */
		if (s->count < MAX_COUNT)
			o->value += PAGE;
		else
			o->value -= PAGE;
		break;
	case 1:
		o->index += PAGE;
		o->value = s->count > 1 ? (s->count - 1) * PAGE : PAGE;
		if (s->count == 1)
			o->index = NO_INDEX;
		break;
	case 2:
		o->flags = MAP_PRIVATE;
		o->action = RW;
		break;
	case 3:
		o->index = NO_INDEX;
		break;
	case 4:
		o->index++;
		break;
	case 5:
		o->value = 0;
		break;
	}
}

static uint32_t step_mmap(struct run *r, uint32_t w)
{
	static const uint32_t prots[] = { RW, RW, RW, PROT_READ, PROT_WRITE };
	struct order o = { .kind = DO_MMAP, .flags = MAP_SHARED };
	struct slot *s = random_slot(r, w, &o.fd);
	struct answer a;
	bool sound;

	/* Some again, most once. */
	if (!s || (s->tried && !chance(r, 20)) || !random_place(r, w, false, &o.place))
		return 0;
	o.index = s->index;
	o.value = s->count * PAGE - pick(r, chance(r, 80) ? 1 : PAGE);
	o.action = s->mark >= 0 ? RW : prots[pick(r, 5)];
	if (o.action == PROT_READ && chance(r, 30))
		o.flags = MAP_PRIVATE;
	sound = !chance(r, 20);
	if (!sound)
		refused_mmap(r, s, &o);
	ask(r, w, &o, &a);
	fprintf(r->trace, "mmap fd%u slot %u place %u bytes %llu%s prot %u flags %d: %s\n", o.fd,
		s->number, o.place, (unsigned long long)o.value,
		o.index == s->index ? "" : " elsewhere", o.action, o.flags, outcome(&a));
	if (sound && a.error != EACCES)
		s->tried = true;
	if (a.ret)
		return 1;
	s->mapped = true;
	s->writable = o.action & PROT_WRITE;
	vma_map(&r->m, w, o.place, s, (int)o.action);
	return 1;
}

static uint32_t step_munmap(struct run *r, uint32_t w)
{
	struct order o = { .kind = DO_MUNMAP };
	struct vma *v;
	struct answer a;

	if (!random_place(r, w, true, &o.place))
		return 0;
	v = &r->m.vma[w][o.place];
	o.count = v->slot->count;
	if (!r->m.pv && chance(r, 20)) {
		o.page = pick(r, v->slot->count);
		o.count = 1 + pick(r, v->slot->count - o.page);
	}
	ask(r, w, &o, &a);
	fprintf(r->trace, "munmap place %u page %u, %u pages: %s\n", o.place, o.page, o.count,
		outcome(&a));
	if (!a.ret)
		vma_unmap(&r->m, w, o.place, ((1U << o.count) - 1) << o.page);
	return 1;
}

static volatile uint8_t *granters_byte(struct run *r, uint32_t w, const struct access *c)
{
	const struct slot *s = r->m.vma[w][c->place].slot;

	return (uint8_t *)domain_page(r->m.granter, ref_page(s->ref[c->page])) + c->offset;
}

static void random_access(struct run *r, uint32_t w, struct access *c)
{
	random_place(r, w, true, &c->place);
	c->page = random_page(r, &r->m.vma[w][c->place]);
	c->offset = pick(r, DATA_BYTES);
	c->value = (uint8_t)pick(r, 256);
	c->write = chance(r, 50);
	if (!c->write)
		*granters_byte(r, w, c) = c->value;
}

static void note_access(struct run *r, uint32_t w, const struct access *c, int seen)
{
	fprintf(r->trace, "; %s place %u page %u +%u %#x: ", c->write ? "write" : "read", c->place,
		c->page, c->offset, c->value);
	if (seen < 0)
		fprintf(r->trace, "%s ", seen == -SIGBUS ? "SIGBUS" : "SIGSEGV");
	else if (!c->write)
		fprintf(r->trace, "%#x ", (unsigned int)seen);
	fprintf(r->trace, "granter has %#x", *granters_byte(r, w, c));
}

static uint32_t step_access(struct run *r, uint32_t w)
{
	struct order o = { .kind = DO_ACCESS, .count = 1 + pick(r, MAX_BURST) };
	struct answer a;
	uint32_t any;

	if (!random_place(r, w, true, &any))
		return 0;
	for (uint32_t i = 0; i < o.count; i++)
		random_access(r, w, &o.access[i]);
	ask(r, w, &o, &a);
	for (uint32_t i = 0; i < o.count; i++)
		note_access(r, w, &o.access[i], a.seen[i]);
	fputc('\n', r->trace);
	return o.count;
}

static uint32_t step_fork(struct run *r, uint32_t w)
{
	struct order o = { .kind = DO_FORK, .flags = r->m.pv };
	struct answer a;

	while (o.value < WORKERS && r->m.pid[o.value])
		o.value++;
	if (o.value == WORKERS)
		return 0;
	ask(r, w, &o, &a);
	hear(r, (uint32_t)o.value);
	fprintf(r->trace, "fork worker %llu: %s\n", (unsigned long long)o.value,
		a.ret > 0 ? "ok" : outcome(&a));
	worker_forks(&r->m, w, (uint32_t)o.value, (pid_t)a.ret);
	return 1;
}

static uint32_t step_exec(struct run *r, uint32_t w)
{
	struct order o = { .kind = DO_EXEC };
	struct answer a;

	ask(r, w, &o, &a);
	fprintf(r->trace, "execve: %s\n", outcome(&a));
	worker_execs(&r->m, w);
	return 1;
}

static void end_worker(struct run *r, uint32_t w, bool killed)
{
	struct order o = { .kind = DO_EXIT };

	if (killed)
		kill(r->m.pid[w], SIGKILL);
	else if (send(r->socket[w], &o, sizeof(o), 0) != sizeof(o))
		abort();
	waitpid(r->m.pid[w], NULL, 0);
	worker_ends(&r->m, w);
}

static uint32_t step_end(struct run *r, uint32_t w)
{
	uint32_t alive = 0;
	bool killed = chance(r, 50);

	for (uint32_t i = 0; i < WORKERS; i++)
		alive += r->m.pid[i] != 0;
	if (alive == 1)
		return 0;
	end_worker(r, w, killed);
	fprintf(r->trace, "w%u %s\n", w, killed ? "killed" : "exit");
	return 1;
}

void finish(struct run *r)
{
	for (uint32_t w = 0; w < WORKERS; w++)
		if (r->m.pid[w])
			end_worker(r, w, w & 1);
}

uint32_t step(struct run *r)
{
	/* In emulation an mmap takes as long as ten ioctls, and execve as a hundred. */
	static const struct {
		uint32_t weight;
		uint32_t (*step)(struct run *r, uint32_t w);
	} steps[] = { { 150, step_access }, { 130, step_map },	 { 100, step_unmap },
		      { 40, step_offset },  { 80, step_notify }, { 70, step_copy },
		      { 80, step_mmap },    { 60, step_munmap }, { 14, step_open },
		      { 8, step_close },    { 6, step_fork },	 { 5, step_end },
		      { 1, step_exec } };
	uint32_t w, at, i, n;

	do {
		do {
			w = pick(r, WORKERS);
		} while (!r->m.pid[w]);
		at = pick(r, 744);
		for (i = 0; at >= steps[i].weight; i++)
			at -= steps[i].weight;
		n = steps[i].step(r, w);
	} while (!n);
	return n;
}
