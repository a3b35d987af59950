/* SPDX-License-Identifier: MIT */
/*
 * random_model.c - what must hold after each step of a random sequence
 *
 * It follows what succeeded, and says when a slot is released: it is no longer listed (UNMAP, or
 * the end of its file, which any mapping of the file puts off) and has no mapping in any process.
 * Where the driver's two modes and the daemon release at different times, nothing is expected
 * until the last of them must have.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "random.h"

#define SETTLE_MS   1500
#define MARK_STRIDE 8

uint32_t ref_page(uint32_t ref)
{
	return ref % PAGES;
}

bool ref_granted(uint32_t ref)
{
	return ref >= FIRST_REF && ref < FIRST_REF + REFS && ref % 16 != 7;
}

bool ref_read_only(uint32_t ref)
{
	return ref % 6 == 5;
}

uint32_t mark_offset(int mark)
{
	return DATA_BYTES + (uint32_t)mark / PAGES * MARK_STRIDE;
}

volatile char *mark_byte(const struct model *m, int mark)
{
	return domain_page(m->granter, (uint32_t)mark % PAGES) + mark_offset(mark);
}

static int open_ports(struct model *m)
{
	m->evtchn = xenevtchn_open(NULL, 0);
	for (uint32_t i = 0; m->evtchn && i < PORTS; i++) {
		int guest = domain_port(m->granter), local;

		if (guest < 0)
			return -1;
		local = xenevtchn_bind_interdomain(m->evtchn, m->granter->domid, (uint32_t)guest);
		if (local < 0)
			return -1;
		m->guest[i] = (uint32_t)guest;
		m->local[i] = (uint32_t)local;
	}
	return m->evtchn ? 0 : -1;
}

int model_init(struct model *m, struct domain *granter)
{
	memset(m, 0, sizeof(*m));
	m->granter = granter;
	m->pv = dom0_is_pv();
	for (uint32_t i = 0; i < PAGES; i++)
		memset(domain_page(granter, i), (int)i, PAGE);
	for (uint32_t ref = FIRST_REF; ref < FIRST_REF + REFS; ref++)
		if (ref_granted(ref))
			domain_grant(granter, ref, ref_page(ref),
				     ref_read_only(ref) ? GTF_readonly : 0);
	for (uint32_t w = 0; w < WORKERS; w++)
		for (uint32_t f = 0; f < FDS; f++)
			m->fd[w][f] = -1;
	return open_ports(m);
}

bool slot_index_good(const struct model *m, uint32_t open, uint32_t count, uint64_t index)
{
	bool first = true;

	for (uint32_t i = 0; i < MAX_SLOTS; i++) {
		const struct slot *s = &m->slot[i];

		if (!s->used || !s->listed || s->open != open)
			continue;
		first = false;
		if (index < s->index + s->count * PAGE && s->index < index + count * PAGE)
			return false;
	}
	return index % PAGE == 0 && (!first || index == 0);
}

struct slot *slot_new(struct model *m, uint32_t open, uint32_t count, uint64_t index,
		      const struct gntdev_ref *ref)
{
	struct slot *s = m->slot;

	while (s->used)
		s++;
	*s = (struct slot){ .used = true,
			    .listed = true,
			    .number = m->numbers++,
			    .open = open,
			    .count = count,
			    .index = index,
			    .mark = -1,
			    .port = -1 };
	for (uint32_t i = 0; i < count; i++) {
		s->ref[i] = ref[i].ref;
		s->mixed |= !ref_granted(ref[i].ref) || ref_read_only(ref[i].ref);
	}
	m->slots++;
	return s;
}

/* Whether the driver and the daemon agree that nothing has happened to a slot's byte yet. */
static bool mark_is_safe(const struct slot *s)
{
	return !s->tried || (s->mapped && !s->torn && s->vmas);
}

/* The byte that goes out of use: what is it to be? */
static void disarm(struct model *m, struct slot *s, enum expect mark, enum expect port)
{
	if (s->mark >= 0)
		m->mark[s->mark] = mark;
	if (s->port >= 0)
		m->port[s->port] = port;
	s->mark = s->port = -1;
}

static void release(struct model *m, struct slot *s)
{
	disarm(m, s, s->mapped ? FIRES : STAYS, FIRES);
	s->used = false;
	m->slots--;
}

static bool file_held(const struct model *m, uint32_t open)
{
	if (m->open[open].holders)
		return true;
	for (uint32_t i = 0; i < MAX_SLOTS; i++)
		if (m->slot[i].used && m->slot[i].open == open && m->slot[i].vmas)
			return true;
	return false;
}

/* After anything that lets go of something. */
static void sweep(struct model *m)
{
	for (uint32_t i = 0; i < MAX_SLOTS; i++) {
		struct slot *s = &m->slot[i];

		if (s->used && s->listed && !file_held(m, s->open))
			s->listed = false;
		if (s->used && !s->listed && !s->vmas)
			release(m, s);
	}
}

void slot_unmap(struct model *m, struct slot *s)
{
	s->listed = false;
	sweep(m);
}

void slot_notify(struct model *m, struct slot *s, int mark, int port)
{
	disarm(m, s, mark_is_safe(s) ? STAYS : FREE, STAYS);
	s->mark = mark;
	s->port = port;
	if (mark >= 0) {
		m->mark[mark] = ARMED;
		*mark_byte(m, mark) = 'n';
	}
	if (port >= 0) {
		m->port[port] = ARMED;
		m->seen[port] = false;
	}
}

void vma_map(struct model *m, uint32_t worker, uint32_t place, struct slot *s, int prot)
{
	m->vma[worker][place] = (struct vma){ .slot = s,
					      .pages = (1U << s->count) - 1,
					      .readable = true,
					      .writable = prot & PROT_WRITE };
	s->vmas++;
}

void vma_unmap(struct model *m, uint32_t worker, uint32_t place, uint32_t pages)
{
	struct vma *v = &m->vma[worker][place];

	v->slot->torn = true;
	v->pages &= ~pages;
	if (v->pages)
		return;
	v->slot->vmas--;
	v->slot = NULL;
	sweep(m);
}

void fd_open(struct model *m, uint32_t worker, uint32_t fd, int mode)
{
	uint32_t open = 0;

	while (file_held(m, open))
		open++;
	m->open[open] = (struct open){ .holders = 1, .mode = mode };
	m->fd[worker][fd] = (int)open;
}

void fd_close(struct model *m, uint32_t worker, uint32_t fd)
{
	m->open[m->fd[worker][fd]].holders--;
	m->fd[worker][fd] = -1;
	sweep(m);
}

void worker_forks(struct model *m, uint32_t parent, uint32_t child, pid_t pid)
{
	m->pid[child] = pid;
	for (uint32_t f = 0; f < FDS; f++) {
		m->fd[child][f] = m->fd[parent][f];
		if (m->fd[child][f] >= 0)
			m->open[m->fd[child][f]].holders++;
	}
	for (uint32_t p = 0; p < PLACES && !m->pv; p++) {
		m->vma[child][p] = m->vma[parent][p];
		if (m->vma[child][p].slot)
			m->vma[child][p].slot->vmas++;
	}
}

void worker_execs(struct model *m, uint32_t worker)
{
	for (uint32_t p = 0; p < PLACES; p++)
		if (m->vma[worker][p].slot)
			vma_unmap(m, worker, p, ~0U);
}

void worker_ends(struct model *m, uint32_t worker)
{
	worker_execs(m, worker);
	for (uint32_t f = 0; f < FDS; f++)
		if (m->fd[worker][f] >= 0)
			fd_close(m, worker, f);
	m->pid[worker] = 0;
}

/* --- looking ------------------------------------------------------------------------------------ */

/* What every reference must show: bits of what is needed, and whether it may show anything. */
static void expected_pins(const struct model *m, uint16_t *must, bool *may)
{
	for (uint32_t i = 0; i < MAX_SLOTS; i++) {
		const struct slot *s = &m->slot[i];

		for (uint32_t k = 0; s->used && k < s->count; k++) {
			uint32_t ref = s->ref[k];

			if (ref < FIRST_REF || ref >= FIRST_REF + REFS)
				continue;
			may[ref - FIRST_REF] |= s->tried;
			if (s->mapped && !s->torn && s->vmas)
				must[ref - FIRST_REF] |=
					s->writable ? GTF_reading | GTF_writing : GTF_reading;
		}
	}
}

static uint32_t wrong_pins(const struct model *m)
{
	uint16_t must[REFS] = { 0 }, is;
	bool may[REFS] = { false };
	uint32_t wrong = 0;

	expected_pins(m, must, may);
	for (uint32_t i = 0; i < REFS; i++) {
		is = domain_pinned(m->granter, FIRST_REF + i);
		wrong += (is & must[i]) != must[i] || (is && !may[i]);
	}
	return wrong;
}

static uint32_t wrong_marks(const struct model *m)
{
	bool unknown[MARKS] = { false };
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < MAX_SLOTS; i++)
		if (m->slot[i].used && m->slot[i].mark >= 0 && !mark_is_safe(&m->slot[i]))
			unknown[m->slot[i].mark] = true;
	for (int i = 0; i < MARKS; i++) {
		char is = *mark_byte(m, i);

		if (m->mark[i] == FIRES)
			wrong += is != 0;
		else if (m->mark[i] != FREE && !unknown[i])
			wrong += is != 'n';
	}
	return wrong;
}

/* A port whose slot's file is closed, but held open by a mapping of another slot, may have fired. */
static bool port_unknown(const struct model *m, uint32_t port)
{
	for (uint32_t i = 0; i < MAX_SLOTS; i++) {
		const struct slot *s = &m->slot[i];

		if (s->used && s->port == (int)port)
			return s->listed && !m->open[s->open].holders && !s->vmas;
	}
	return false;
}

static uint32_t wrong_ports(struct model *m)
{
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < PORTS; i++) {
		bool seen = m->seen[i] |= domain_event(m->granter, m->guest[i]);

		if (m->port[i] == FIRES)
			wrong += !seen;
		else if (!port_unknown(m, i))
			wrong += seen;
	}
	return wrong;
}

static void forget(struct model *m)
{
	for (int i = 0; i < MARKS; i++)
		if (m->mark[i] != ARMED)
			m->mark[i] = FREE;
	for (uint32_t i = 0; i < PORTS; i++) {
		if (m->port[i] != ARMED) {
			m->port[i] = FREE;
			m->seen[i] = false;
		}
	}
}

void model_settle(struct model *m, char *out, size_t size)
{
	uint32_t pins, marks, ports;

	for (unsigned int ms = 0;; ms += 5) {
		pins = wrong_pins(m);
		marks = wrong_marks(m);
		ports = wrong_ports(m);
		if ((!pins && !marks && !ports) || ms >= SETTLE_MS)
			break;
		usleep(5000);
	}
	if (pins || marks || ports)
		snprintf(out, size, "wrong: %u pins, %u bytes, %u events", pins, marks, ports);
	else
		snprintf(out, size, "ok");
	forget(m);
}
