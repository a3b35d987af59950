/* SPDX-License-Identifier: MIT */
/*
 * device/lasting.c - what outlives the daemon of opens and maps: a record for each
 *
 * The daemon may be killed at any instruction, on all threads at once. What its successor finds is what was stored before, in
 * the order in which it was stored. The table (table.c) and all that is counted are on the heap, and made anew from the records;
 * requests that were in hand are executed again (client/request.h). For each thing that is done there is one store that makes it
 * lasting, and it is marked with the number of the request that did it: executed again, the request finds its mark and answers
 * as it would have. Killed before that store, it finds nothing, and does it anew.
 *
 *     open     the record is committed, with maker. Before that nobody knows the id.
 *     close    the record ends, last of all. Killed before that, the release is executed again and finds less to do: maps that are
 *              over are over. After it, it finds no open, and answers as then.
 *     MAP      the record is committed, with maker, when the index is known and before it can be found there. So whoever finds
 *              a map finds one that lasts. Killed before the answer, the map is there again, at its index; and if it has been
 *              unmapped by a thread that guessed the index, there is none of this maker and another one is made.
 *     UNMAP    ender is swapped in; who wins that unlists the map. The record stays until the request will not be executed again,
 *              although the map may be gone long before: LASTING_ANSWERED.
 *     SET_UNMAP_NOTIFY
 *              the notify word. It may be set twice. m->notify decides between threads; each then stores what it finds
 *              there until that is what it has stored.
 *     mmap     LASTING_MAPPED, after the hypercall and when the window is there, before its descriptor is sent. Killed
 *              before that, the grants are mapped for nobody: no record names them, and the hypervisor layer unmaps them
 *              (hypercall.h, adopted()); the map is fresh, and the request executed again. Killed after it, the client may have
 *              the window or not. The window's own record tells (window_join()), but for the instant around the sending; then the
 *              client's socket tells, unless the answer is of several messages, or that it asks again and nobody holds the window. The map
 *              is fresh then, too.
 *     failed   LASTING_UNUSABLE, before the client is told. Executed again, the WINDOW_MMAP that failed fails once more, maybe
 *              for another reason.
 *     munmap   LASTING_RELEASING, then the byte is cleared and the grants are unmapped, then LASTING_RELEASED. Killed in
 *              between, that is done again: of each grant the hypervisor layer knows whether it is still mapped. (A byte
 *              whose grant is not was cleared; one that was cleared is out of the notify word.)
 *     its end  a map that is not listed and fresh, unusable or released is dead, whatever made it so. Its event is sent,
 *              LASTING_FINISHED. Killed in between, the event is sent again: at least once.
 *
 * A record's cells are used again when nobody can look at them: a grace period after the map is finished (readers find the
 * record through the map: LASTING_FREED), and when its ender is answered. What is not finished at adoption goes on as a
 * map; what is finished is kept only for an ender that is in hand.
 *
 * A request that is given up, as daemons have died of it (device/left.h), is not executed again. An open that it made, or was to
 * close, ends at adoption; a map that it made is unlisted, with the request as its ender; of an UNMAP what was done stays done, and
 * its map needs no record any more.
 *
 * What a map needs no mark for: which request has released it. Whoever sees the end of its window does it, once or again.
 */
#include "device/lasting.h"

#include <errno.h>
#include <string.h>

#include "base/step.h"

/* --- opens -------------------------------------------------------------------------------------- */

static size_t open_bytes(const struct lasting_open *head)
{
	return sizeof(*head) + sizeof(struct lasting_who) + head->n_groups * sizeof(gid_t) +
	       head->n_cgroup + head->n_unit;
}

static struct lasting_open open_head(uint64_t id, uint64_t maker, const struct who *w,
				     const struct token *t)
{
	struct lasting_open head = {
		.id = id,
		.maker = maker,
		.pid = w->pid,
		.uid = w->uid,
		.gid = w->gid,
		.owner = w->owner,
		.flags = (t->may_read ? LASTING_MAY_READ : 0) |
			 (t->may_write ? LASTING_MAY_WRITE : 0) |
			 (w->visible ? LASTING_VISIBLE : 0) |
			 (w->all_groups ? LASTING_ALL_GROUPS : 0),
		.ns = (uint8_t)w->ns,
		.n_groups = (uint8_t)w->n_groups,
		.n_cgroup = (uint8_t)strnlen(w->cgroup, sizeof(w->cgroup) - 1),
		.n_unit = (uint8_t)strnlen(w->unit, sizeof(w->unit) - 1),
	};

	memcpy(head.secret, t->secret, sizeof(head.secret));
	return head;
}

uint32_t lasting_open_new(struct records *s, uint64_t id, uint64_t maker, uint64_t opened,
			  const struct who *w, const struct token *t)
{
	const struct lasting_open head = open_head(id, maker, w, t);
	uint32_t record = record_new(s, open_bytes(&head));
	struct lasting_who more = { .opened = opened };
	struct record_spot at;

	if (!record)
		return 0;
	memcpy(more.comm, w->comm, sizeof(more.comm));
	at = record_spot(s, record, 0);
	record_put(s, &at, &head, sizeof(head));
	record_put(s, &at, &more, sizeof(more));
	record_put(s, &at, w->groups, head.n_groups * sizeof(gid_t));
	record_put(s, &at, w->cgroup, head.n_cgroup);
	record_put(s, &at, w->unit, head.n_unit);
	record_commit(s, record, RECORD_OPEN);
	step(open_recorded);
	return record;
}

void lasting_open_flag(struct records *s, uint32_t record, uint32_t flag)
{
	struct lasting_open *head = record_head(s, record);

	if (!(__atomic_load_n(&head->flags, __ATOMIC_RELAXED) & flag))
		__atomic_fetch_or(&head->flags, flag, __ATOMIC_RELAXED);
}

static bool open_can_be(struct records *s, uint32_t record, const struct lasting_open *head)
{
	return head->ns <= OWNER_OTHER && head->n_groups <= WHO_GROUPS_MAX &&
	       !(head->flags & ~LASTING_FLAGS) && record_bytes(s, record) >= open_bytes(head);
}

const struct lasting_open *lasting_open_read(struct records *s, uint32_t record, struct who *w,
					     struct token *t, uint64_t *opened)
{
	const struct lasting_open *head = record_head(s, record);
	struct lasting_who more;
	struct record_spot at;

	if (!open_can_be(s, record, head))
		return NULL;
	*w = (struct who){ .pid = head->pid,
			   .uid = head->uid,
			   .gid = head->gid,
			   .ns = (enum owner_ns)head->ns,
			   .owner = head->owner,
			   .visible = head->flags & LASTING_VISIBLE,
			   .all_groups = head->flags & LASTING_ALL_GROUPS,
			   .n_groups = head->n_groups };
	*t = (struct token){ .may_read = head->flags & LASTING_MAY_READ,
			     .may_write = head->flags & LASTING_MAY_WRITE };
	memcpy(t->secret, head->secret, sizeof(t->secret));
	at = record_spot(s, record, sizeof(*head));
	record_get(s, &at, &more, sizeof(more));
	record_get(s, &at, w->groups, head->n_groups * sizeof(gid_t));
	record_get(s, &at, w->cgroup, head->n_cgroup);
	record_get(s, &at, w->unit, head->n_unit);
	memcpy(w->comm, more.comm, sizeof(w->comm) - 1);
	*opened = more.opened;
	return head;
}

/* --- maps --------------------------------------------------------------------------------------- */

static size_t refs_at(void)
{
	return sizeof(struct lasting_map) + sizeof(struct lasting_shown);
}

static size_t grants_at(uint32_t count)
{
	return refs_at() + count * sizeof(struct table_ref);
}

static size_t map_bytes(uint32_t count)
{
	return grants_at(count) + count * sizeof(struct lasting_grant);
}

static struct lasting_map *head_of(const struct map *m)
{
	return record_head(m->records, m->record);
}

int lasting_map_new(struct records *s, struct map *m, uint64_t maker, uid_t uid, uid_t owner)
{
	const struct lasting_shown shown = {
		.told = m->told, .born = m->born, .uid = uid, .owner = owner
	};
	const struct lasting_map head = { .maker = maker,
					  .open_id = m->open_id,
					  .count = m->count };
	struct record_spot at;

	m->record = record_new(s, map_bytes(m->count));
	if (!m->record)
		return -ENOMEM;
	m->records = s;
	at = record_spot(s, m->record, 0);
	record_put(s, &at, &head, sizeof(head));
	record_put(s, &at, &shown, sizeof(shown));
	record_put(s, &at, m->refs, m->count * sizeof(m->refs[0]));
	return 0;
}

void lasting_map_placed(struct map *m)
{
	head_of(m)->first = (uint32_t)m->first;
	step(map_prepared);
	record_commit(m->records, m->record, RECORD_MAP);
	step(map_recorded);
}

void lasting_map_drop(struct map *m)
{
	if (m->record)
		record_end(m->records, m->record);
	m->record = 0;
}

bool lasting_map_end(struct map *m, uint64_t unique)
{
	uint64_t none = 0;

	if (!__atomic_compare_exchange_n(&head_of(m)->ender, &none, unique, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return false;
	step(map_ended);
	return true;
}

void lasting_map_phase(struct map *m, enum lasting_phase phase)
{
	__atomic_store_n(&head_of(m)->phase, phase, __ATOMIC_RELEASE);
}

void lasting_map_mapped(struct map *m, const struct hv_grant *g, uint64_t claim)
{
	struct lasting_shown shown;
	struct record_spot at;

	record_read(m->records, m->record, sizeof(struct lasting_map), &shown, sizeof(shown));
	shown.window = m->window;
	shown.vaddr = m->vaddr;
	shown.told = m->told;
	shown.holder = m->holder;
	shown.readonly = m->readonly;
	record_write(m->records, m->record, sizeof(struct lasting_map), &shown, sizeof(shown));
	at = record_spot(m->records, m->record, grants_at(m->count));
	for (uint32_t i = 0; i < m->count; i++) {
		const struct lasting_grant lg = { .slot = g[i].slot,
						  .handle = g[i].handle,
						  .status = g[i].status };

		record_put(m->records, &at, &lg, sizeof(lg));
	}
	head_of(m)->claim = claim;
	step(map_noted);
	lasting_map_phase(m, LASTING_MAPPED);
	step(map_mapped);
}

void lasting_map_unusable(struct map *m, uint64_t claim)
{
	head_of(m)->claim = claim;
	lasting_map_phase(m, LASTING_UNUSABLE);
	step(map_unusable);
}

/* Who stores what is not true any more finds that out, and stores again. */
void lasting_map_notify(struct map *m)
{
	struct lasting_map *head = head_of(m);
	uint64_t word;

	do {
		word = __atomic_load_n(&m->notify, __ATOMIC_SEQ_CST);
		__atomic_store_n(&head->notify, word, __ATOMIC_SEQ_CST);
	} while (word != __atomic_load_n(&m->notify, __ATOMIC_SEQ_CST));
	step(notify_noted);
}

void lasting_map_over(struct records *s, uint32_t record, uint32_t bits)
{
	struct lasting_map *head = record_head(s, record);
	uint32_t old = __atomic_fetch_or(&head->over, bits, __ATOMIC_ACQ_REL), over = old | bits;
	bool answered = over & LASTING_ANSWERED || !__atomic_load_n(&head->ender, __ATOMIC_RELAXED);

	/* Whoever sets the last bit that was missing. */
	if (over != old && over & LASTING_FREED && answered)
		record_end(s, record);
}

void lasting_map_finished(struct map *m)
{
	lasting_map_over(m->records, m->record, LASTING_FINISHED);
	step(map_finished);
}

void lasting_map_freed(struct map *m)
{
	lasting_map_over(m->records, m->record, LASTING_FREED);
}

uint64_t lasting_what(uint32_t record, uint64_t unique)
{
	return unique << 32 | record;
}

void lasting_answered(struct records *s, uint64_t what)
{
	uint32_t record = (uint32_t)what;
	const struct lasting_map *head;

	if (record_kind(s, record) != RECORD_MAP)
		return;
	head = record_head(s, record);
	if (lasting_what(record, __atomic_load_n(&head->ender, __ATOMIC_RELAXED)) == what)
		lasting_map_over(s, record, LASTING_ANSWERED);
}

/* --- at adoption -------------------------------------------------------------------------------- */

struct lasting_map *lasting_map_head(struct records *s, uint32_t record)
{
	struct lasting_map *head = record_head(s, record);

	return head->count && head->phase < LASTING_PHASES && !(head->over & ~LASTING_OVER) &&
			       record_bytes(s, record) >= map_bytes(head->count)
		       ? head
		       : NULL;
}

void lasting_map_read(struct records *s, uint32_t record, struct map *m,
		      struct lasting_shown *shown)
{
	const struct lasting_map *head = record_head(s, record);
	struct record_spot at = record_spot(s, record, sizeof(*head));

	record_get(s, &at, shown, sizeof(*shown));
	record_get(s, &at, m->refs, m->count * sizeof(m->refs[0]));
	m->first = head->first;
	m->open_id = head->open_id;
	m->notify = head->notify;
	m->readonly = shown->readonly;
	m->window = shown->window;
	m->vaddr = shown->vaddr;
	m->told = shown->told;
	m->born = shown->born;
	m->holder = shown->holder;
	m->records = s;
	m->record = record;
}

void lasting_map_grants(const struct map *m, struct hv_grant *g)
{
	struct record_spot at = record_spot(m->records, m->record, grants_at(m->count));

	for (uint32_t i = 0; i < m->count; i++) {
		struct lasting_grant lg;

		record_get(m->records, &at, &lg, sizeof(lg));
		g[i].slot = lg.slot;
		g[i].handle = lg.handle;
		g[i].status = lg.status;
	}
}
