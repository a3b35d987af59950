/* SPDX-License-Identifier: MIT */
/*
 * device/mapping.c - the life of a mapping, from when a client has it to its end
 *
 * The window directory reports the end of a window with its mapping. Whoever brings the map from MAPPED to RELEASING has it
 * alone; whoever is told that the map is dead sends its event and frees it.
 */
#include "device/mapping.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/rcu.h"
#include "base/step.h"
#include "device/enforce.h"
#include "device/lasting.h"
#include "report/failure.h"

/*
 * A map's notification in its one word: bits 0-1 action, 2-33 port, 34-62 byte; 63: the map has
 * ended and takes none any more; that bit does not last.
 */
#define NOTIFY_PORT_SHIFT 2
#define NOTIFY_BYTE_SHIFT 34
#define NOTIFY_BYTE_BITS  29
#define NOTIFY_ENDED	  (1ULL << 63)

static_assert(((uint64_t)GNTDEV_LIMIT_MAX << ABI_PAGE_SHIFT) <= 1ULL << NOTIFY_BYTE_BITS,
	      "any byte of the largest map fits the notification word");
static_assert(NOTIFY_BYTE_SHIFT + NOTIFY_BYTE_BITS == 63, "the word is full");

static uint64_t notify_pack(uint32_t byte, uint32_t action, uint32_t port)
{
	return (uint64_t)byte << NOTIFY_BYTE_SHIFT | (uint64_t)port << NOTIFY_PORT_SHIFT | action;
}

static uint32_t notify_action(uint64_t word)
{
	return word & (UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT);
}

static uint32_t notify_port(uint64_t word)
{
	return (uint32_t)(word >> NOTIFY_PORT_SHIFT);
}

static uint32_t notify_byte(uint64_t word)
{
	return (uint32_t)((word & ~NOTIFY_ENDED) >> NOTIFY_BYTE_SHIFT);
}

static void drop_port(struct gntdev *gd, uint64_t word)
{
	if (notify_action(word) & UNMAP_NOTIFY_SEND_EVENT)
		gd->hv->ops->port_put(gd->hv, notify_port(word));
}

int grant_notify_set(struct gntdev *gd, struct map *m, uint32_t byte, uint32_t action,
		     uint32_t port)
{
	uint64_t new = notify_pack(byte, action, action & UNMAP_NOTIFY_SEND_EVENT ? port : 0);
	uint64_t old = __atomic_load_n(&m->notify, __ATOMIC_RELAXED);
	int err = 0;

	if (action & UNMAP_NOTIFY_CLEAR_BYTE && __atomic_load_n(&m->readonly, __ATOMIC_RELAXED))
		err = -EINVAL;
	while (!err) {
		if (old & NOTIFY_ENDED)
			err = -ENOENT;
		else if (__atomic_compare_exchange_n(&m->notify, &old, new, false, __ATOMIC_ACQ_REL,
						     __ATOMIC_RELAXED))
			break;
	}
	/* Else its end would be that of an mmap that has not come through, and the notification lost. */
	if (!err && map_phase(m) == MAP_MAPPED)
		window_shown(gd->windows, m->window);
	if (!err)
		lasting_map_notify(m);
	/* The reference of the notification replaced, or of the one refused. */
	drop_port(gd, err ? new : old);
	return err;
}

void grant_finish(struct gntdev *gd, struct map *m)
{
	uint64_t word = __atomic_fetch_or(&m->notify, NOTIFY_ENDED, __ATOMIC_ACQ_REL);
	int err;

	if (notify_action(word) & UNMAP_NOTIFY_SEND_EVENT) {
		err = gd->hv->ops->port_send(gd->hv, notify_port(word));
		if (err)
			log_warn("unmap notification on event channel %u was not sent: %s",
				 notify_port(word), strerror(-err));
		step(event_sent);
		drop_port(gd, word);
	}
	lasting_map_finished(m);
	enforce_release(gd, m);
	map_free_after(m, lasting_map_freed);
}

bool grant_notify_restore(struct gntdev *gd, struct map *m, pid_t tid)
{
	uint64_t word = m->notify;
	uint32_t action = notify_action(word);

	if (word & NOTIFY_ENDED ||
	    (action & UNMAP_NOTIFY_CLEAR_BYTE && notify_byte(word) >> ABI_PAGE_SHIFT >= m->count))
		return false;
	if (!(action & UNMAP_NOTIFY_SEND_EVENT) ||
	    !gd->hv->ops->port_get(gd->hv, notify_port(word), tid))
		return true;
	log_warn("event channel %u, which an unmap notification was to be sent on, is not bound "
		 "any more",
		 notify_port(word));
	m->notify = notify_pack(notify_byte(word), action & ~(uint32_t)UNMAP_NOTIFY_SEND_EVENT, 0);
	return true;
}

struct hv_place mapping_place(const struct map *m)
{
	return (struct hv_place){ .open_id = m->open_id,
				  .first = m->first,
				  .readonly = m->readonly };
}

struct trace_event mapping_event(enum trace_op op, const struct map *m)
{
	struct trace_event ev = trace_begin(op);

	ev.open_id = m->open_id;
	ev.index = m->first << ABI_PAGE_SHIFT;
	ev.count = m->count;
	ev.domid = (uint16_t)m->refs[0].domid;
	ev.ref = m->refs[0].ref;
	return ev;
}

static void clear_byte(struct gntdev *gd, const struct mapping *mp)
{
	uint64_t word = __atomic_load_n(&mp->map->notify, __ATOMIC_ACQUIRE);
	uint32_t byte = notify_byte(word);

	/*
	 * Set before a read-only mmap, the action is accepted and lost: there is nothing that could
	 * be written through (docs/gntdev-abi.md, section 8, where the driver crashes). What a predecessor has unmapped it
	 * had cleared before.
	 */
	if (!(notify_action(word) & UNMAP_NOTIFY_CLEAR_BYTE) || mp->map->readonly ||
	    mp->g[byte >> ABI_PAGE_SHIFT].status != GNTST_okay)
		return;
	gd->hv->ops->clear_byte(gd->hv, &mp->g[byte >> ABI_PAGE_SHIFT], byte & (ABI_PAGE_SIZE - 1));
	/* Once, as the driver: a successor leaves alone what the granter has written there since. */
	if (__atomic_compare_exchange_n(&mp->map->notify, &word,
					word & ~(uint64_t)UNMAP_NOTIFY_CLEAR_BYTE, false,
					__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		lasting_map_notify(mp->map);
}

static void tell_lost(const struct mapping *mp, const struct hv_grant *g)
{
	struct failure f = failure_of(WHY_NOT_UNMAPPED, TRACE_HV_UNMAP, mp->ev.tid, 0);

	f.uid = mp->ev.uid;
	f.domid = g->domid;
	f.ref = g->ref;
	f.status = g->status;
	failure_report(&f,
		       "grant %u of domain %u (handle %u) cannot be unmapped: %s: it stays mapped "
		       "until the daemon ends",
		       g->ref, g->domid, g->handle, hv_status_name(g->status));
}

void mapping_unmap(struct mapping *mp)
{
	struct gntdev *gd = mp->gd;
	int failed;

	/* Those never mapped are none of unmap's, nor of the report below. */
	for (uint32_t i = 0; i < mp->map->count; i++)
		if (mp->g[i].status != GNTST_okay)
			mp->g[i].status = HV_PENDING;
	failed = gd->hv->ops->unmap(gd->hv, mp->g, mp->map->count);
	if (failed < 0)
		log_err("unmapping %u grants failed: %s: they stay mapped until the daemon ends",
			mp->map->count, strerror(-failed));
	for (uint32_t i = 0; failed > 0 && i < mp->map->count; i++) {
		if (mp->g[i].status == HV_PENDING || mp->g[i].status == GNTST_okay)
			continue;
		tell_lost(mp, &mp->g[i]);
		failed--;
	}
}

void mapping_show(struct mapping *mp)
{
	const struct map *m = mp->map;

	if (!m->vaddr)
		return;
	mp->at = (struct told_window){ .open_id = m->open_id,
				       .vaddr = m->vaddr,
				       .index = m->first << ABI_PAGE_SHIFT,
				       .order = m->told,
				       .count = m->count };
	mp->shown = true;
	told_put(&mp->gd->told_at, &mp->at);
}

static void free_mapping(struct rcu_head *head)
{
	free(caa_container_of(head, struct mapping, rcu));
}

static void hide(struct mapping *mp)
{
	if (mp->shown)
		told_drop(&mp->gd->told_at, &mp->at);
}

void mapping_free(struct mapping *mp)
{
	if (mp->shown)
		rcu_call(&mp->rcu, free_mapping);
	else
		free(mp);
}

void mapping_end(struct mapping *mp, bool notify)
{
	struct gntdev *gd = mp->gd;
	struct map *m = mp->map;

	hide(mp);
	if (notify)
		clear_byte(gd, mp);
	step(byte_cleared);
	mapping_unmap(mp);
	step(release_called);
	lasting_map_phase(m, LASTING_RELEASED);
	step(map_released);
	mapping_free(mp);
	if (map_release_end(m) == MAP_DEAD)
		grant_finish(gd, m);
}

void mapping_release(struct mapping *mp, bool notify)
{
	if (!map_release_begin(mp->map))
		return;
	/* Else nothing lasts of it but that it cannot be mapped again. */
	if (notify)
		lasting_map_phase(mp->map, LASTING_RELEASING);
	step(release_begun);
	mapping_end(mp, notify);
}

/* --- adopted, and not known whether its client has got it ---------------------------------------- */

void mapping_unsure(struct mapping *mp)
{
	pthread_mutex_lock(&mp->gd->unsure_lock);
	mp->next_unsure = mp->gd->unsure;
	mp->gd->unsure = mp;
	pthread_mutex_unlock(&mp->gd->unsure_lock);
}

/* With the lock. Return: where the pointer to it is; to NULL: it is not unsure. */
static struct mapping **find_unsure(struct gntdev *gd, uint32_t record)
{
	struct mapping **at = &gd->unsure;

	while (*at && (*at)->map->record != record)
		at = &(*at)->next_unsure;
	return at;
}

static bool is_unsure(const struct mapping *mp)
{
	struct gntdev *gd = mp->gd;
	bool found;

	pthread_mutex_lock(&gd->unsure_lock);
	found = *find_unsure(gd, mp->map->record) != NULL;
	pthread_mutex_unlock(&gd->unsure_lock);
	return found;
}

static void forget_unsure(struct gntdev *gd, struct mapping *mp)
{
	struct mapping **at;

	pthread_mutex_lock(&gd->unsure_lock);
	at = find_unsure(gd, mp->map->record);
	if (*at)
		*at = mp->next_unsure;
	pthread_mutex_unlock(&gd->unsure_lock);
}

/*
 * As if there had been no mmap. What lasts says so first: who is killed behind that leaves grants that nobody has noted. Who waits
 * for this in mapping_settle() finds the map fresh.
 */
static void undo(struct mapping *mp)
{
	struct gntdev *gd = mp->gd;
	struct map *m = mp->map;
	enum map_end end;

	if (!map_release_begin(m))
		return;
	lasting_map_phase(m, LASTING_FRESH);
	step(mmap_undone);
	hide(mp);
	mapping_unmap(mp);
	m->readonly = false;
	m->vaddr = 0;
	m->holder = 0;
	/* Fresh, it can be ended and freed by others: not while those who look for what is unsure can come by it. */
	rcu_read_enter();
	end = map_renew(m);
	forget_unsure(gd, mp);
	rcu_read_leave();
	mapping_free(mp);
	if (end == MAP_DEAD)
		grant_finish(gd, m);
}

enum settled {
	SETTLED,	 /* it was not unsure, or is not any more */
	SETTLED_TO_UNDO, /* the same, and it is the caller's to undo */
	SETTLED_BUSY,	 /* the end of its window is being reported */
	SETTLED_HELD,	 /* its window has not ended */
};

static enum settled settle(struct gntdev *gd, uint32_t record, bool sent, struct mapping **out)
{
	enum settled how = SETTLED;
	struct mapping **at;

	pthread_mutex_lock(&gd->unsure_lock);
	at = find_unsure(gd, record);
	*out = *at;
	if (*at && sent) {
		window_sent(gd->windows, (*at)->map->window);
		*at = (*at)->next_unsure;
	} else if (*at && !window_is_over(gd->windows, (*at)->map->window)) {
		how = SETTLED_HELD;
	} else if (*at) {
		how = window_forget(gd->windows, (*at)->map->window) ? SETTLED_TO_UNDO
								     : SETTLED_BUSY;
	}
	pthread_mutex_unlock(&gd->unsure_lock);
	return how;
}

bool mapping_settle(struct gntdev *gd, uint32_t record, bool sent)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct mapping *mp;
	enum settled how;

	while ((how = settle(gd, record, sent, &mp)) == SETTLED_BUSY)
		nanosleep(&pause, NULL);
	if (how == SETTLED_TO_UNDO)
		undo(mp);
	return how != SETTLED_HELD;
}

/* --- the end of a window ------------------------------------------------------------------------- */

static void window_gone(struct window_user *user)
{
	struct mapping *mp = (struct mapping *)user;
	struct trace_event ev;

	trace_client(mp->ev.tid, mp->ev.uid);
	ev = mapping_event(TRACE_MUNMAP, mp->map);
	if (is_unsure(mp))
		undo(mp);
	else
		mapping_release(mp, true);
	trace_end(&ev);
}

struct mapping *mapping_new(struct gntdev *gd, struct map *m)
{
	struct mapping *mp = calloc(1, sizeof(*mp) + m->count * sizeof(mp->g[0]));

	if (!mp)
		return NULL;
	mp->user.gone = window_gone;
	mp->gd = gd;
	mp->map = m;
	for (uint32_t i = 0; i < m->count; i++) {
		/* The driver keeps 16 bits of the domid when it maps, no more. */
		mp->g[i].domid = (uint16_t)m->refs[i].domid;
		mp->g[i].ref = m->refs[i].ref;
		mp->g[i].status = HV_PENDING;
	}
	return mp;
}
