/* SPDX-License-Identifier: MIT */
/*
 * window/durable.c - windows that outlive the daemon
 *
 * The daemon may be killed between any two instructions, and its windows are in the hands of clients who do not notice. What its
 * successor has of them:
 *
 *  - the directory's descriptor, which holds the lock, and by which the directory is reached also if it was mounted in
 *    another mount namespace;
 *  - both watches, whose queues fill while nobody reads them, and the events in hand (window/watch.c);
 *  - a record for each window, and the directory's `life`, so that names mean the same windows as before.
 *
 * What is durable when
 * --------------------
 *
 * window_make() commits the record before the window is opened: a window that exists has one. Its id is that of the name, so
 * that events find it. WINDOW_LIVE follows with the inode.
 *
 * Until WINDOW_SENDING, which is set right before the reply is sent, the daemon has the only descriptor. The kernel closes it with
 * the daemon: such a window has ended for the successor, whatever events say.
 *
 * From WINDOW_SENDING on the client may have it. Whether it has is not asked of the record but of the kernel: if the reply had
 * not been sent, the window ended with the daemon, and the event of that is in the queue, which window_new() drains; if it had, there is
 * no event until the client is through with it. What is not known is whether the client has got all of the reply, of more
 * than one message: that says WINDOW_SENT, set after the last of them. If it is missing the client may ask again, after it
 * has let go of what it got. (A client that is quick may have done more with a window before that is noted: window_shown().) So window_join() tells, and the device makes the end of such a window undo its mmap.
 *
 * An event leaves the memory of those in hand after what it says is in the record: WINDOW_UNLINKED, WINDOW_SHARED,
 * WINDOW_DOUBT or WINDOW_ENDED. To handle it once more is harmless. Doubt lasts, too, as the events that it comes from are
 * gone; that all windows fall into doubt if events were lost is one event.
 *
 * From WINDOW_ENDED on the end is reported: gone(), and by the successor once more if the record is still there, as it is until gone()
 * has returned. Each user takes a second report for what it is.
 *
 * WINDOW_DELIVERED is for passes (window/scan.c). If the predecessor was killed before it could see the reply arrive, nobody will
 * ever see that: the window is judged then when its client has gone or is seen, after some seconds, to be in no exchange any more.
 *
 * What else struct window has is the watcher's way of working, and begins anew.
 */
#include "window/lasting.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "abi/winproto.h"
#include "base/rcu.h"
#include "base/step.h"
#include "client/procwalk.h"
#include "report/trace.h"
#include "window/impl.h"

/* --- from its making to its end ------------------------------------------------------------------- */

static void window_free(struct rcu_head *head)
{
	struct window *win = caa_container_of(head, struct window, rcu);

	rcu_grace_period_over();
	record_end(win->w->records, win->record);
	/* In this order: no two records have one slot. */
	ids_free(win->w->ids, win->name.id);
	free(win);
}

/* Whoever found it under RCU may still write into its record. */
void window_drop(struct window *win)
{
	rcu_call(&win->rcu, window_free);
}

/* With a record of its own, which does not last yet. */
static struct window *window_alloc(struct windows *w, struct window_user *user)
{
	struct window *win = calloc(1, sizeof(*win));

	if (!win)
		return NULL;
	win->record = record_new(w->records, sizeof(*win->last));
	if (!win->record) {
		free(win);
		return NULL;
	}
	win->last = record_head(w->records, win->record);
	win->w = w;
	win->user = user;
	win->made = trace_now();
	return win;
}

static void set_name(struct window *win)
{
	win->name = (struct window_name){ .id = win->last->id,
					  .index = win->last->first << 12,
					  .count = win->last->count,
					  .life = win->w->life };
}

struct window *window_new(struct windows *w, enum window_kind kind, const struct hv_grant *grants,
			  size_t n, const struct hv_place *at, struct window_user *user)
{
	struct window *win = window_alloc(w, user);

	if (!win)
		return NULL;
	*win->last = (struct window_lasting){
		.open_id = at->open_id,
		.born = procwalk_now(),
		.first = at->first,
		.count = (uint32_t)n,
		.state = (kind == WINDOW_OF_GNTALLOC ? WINDOW_GNTALLOC : 0) |
			 (at->readonly ? WINDOW_READONLY : 0),
		.domid = grants[0].domid,
	};
	win->last->id = ids_reserve(w->ids);
	if (!win->last->id) {
		record_end(w->records, win->record);
		free(win);
		return NULL;
	}
	set_name(win);
	ids_publish(w->ids, win->name.id, win);
	record_commit(w->records, win->record, RECORD_WINDOW);
	step(window_recorded);
	return win;
}

/* Note what has become of a window, if it is still there. */
static struct window *note(struct windows *w, uint64_t id, uint32_t what, pid_t client)
{
	struct window *win = ids_get(w->ids, id);

	if (!win)
		return NULL;
	if (client >= 0)
		__atomic_store_n(&win->last->client, client, __ATOMIC_RELAXED);
	window_set(win, what);
	return win;
}

void window_sending(struct windows *w, uint64_t id, pid_t client)
{
	rcu_read_enter();
	note(w, id, WINDOW_SENDING, client);
	rcu_read_leave();
	step(window_sending);
}

void window_sent(struct windows *w, uint64_t id)
{
	step(window_replied);
	rcu_read_enter();
	note(w, id, WINDOW_SENT, -1);
	rcu_read_leave();
	step(window_sent);
}

void window_shown(struct windows *w, uint64_t id)
{
	struct window *win = ids_get(w->ids, id);

	if (win && window_is(win, WINDOW_SENDING) && !window_is(win, WINDOW_SENT) &&
	    win->name.count <= WINDOW_PIECES_PER_MESSAGE)
		window_set(win, WINDOW_SENT);
}

void window_delivered(struct windows *w, uint64_t id, pid_t client)
{
	rcu_read_enter();
	note(w, id, WINDOW_SENDING | WINDOW_SENT | WINDOW_DELIVERED, client);
	rcu_read_leave();
	step(window_delivered);
}

/* --- adoption --------------------------------------------------------------------------------------- */

static bool is_sound(const struct window_lasting *l)
{
	return l->count && l->first <= UINT64_MAX >> 12 && !(l->state & ~WINDOW_STATES) &&
	       l->client >= 0 && !l->zero;
}

/* In ns. */
static uint64_t age(const struct window_lasting *l)
{
	uint64_t now = procwalk_now();

	return now > l->born ? (now - l->born) * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK)) : 0;
}

/* Return: 0; -EINVAL: it cannot be; -ENOMEM. */
static int restore(struct windows *w, uint32_t record)
{
	struct window *win = calloc(1, sizeof(*win));
	int err;

	if (!win)
		return -ENOMEM;
	win->w = w;
	win->record = record;
	win->last = record_head(w->records, record);
	win->adopted = true;
	win->made = trace_now() - age(win->last);
	set_name(win);
	err = is_sound(win->last) ? ids_restore(w->ids, win->name.id, win) : -EINVAL;
	if (err) {
		free(win);
		return err == -ENOMEM ? err : -EINVAL;
	}
	/* What was not sent has ended with who had it. */
	if (!window_is(win, WINDOW_SENDING))
		window_set(win, WINDOW_ENDED);
	w->live++;
	return 0;
}

int windows_restore(struct windows *w)
{
	uint32_t record, cursor = 0;
	int err = 0;

	ids_restoring(w->ids, records_most(w->records));
	while (!err && (record = record_next(w->records, RECORD_WINDOW, &cursor)))
		err = restore(w, record);
	ids_restored(w->ids);
	return err;
}

bool windows_left(struct windows *w, enum window_kind kind, uint64_t *cursor,
		  struct window_left *left)
{
	uint64_t work = UINT64_MAX, id;
	const struct window *win;
	void *obj;

	do {
		ids_next(w->ids, cursor, &work, &id, &obj);
		win = obj;
	} while (win && window_kind(win) != kind);
	if (!win)
		return false;
	*left = (struct window_left){ .id = id,
				      .open_id = win->last->open_id,
				      .index = win->name.index,
				      .count = win->last->count,
				      .readonly = window_is(win, WINDOW_READONLY),
				      .sent = window_is(win, WINDOW_SENT) };
	return true;
}

/*
 * Whether the client is known to have got all of the reply, or to find it in its socket. What is still held is held by it, as
 * the daemon that had it too has gone: then it has got the first message, and mostly there is no other.
 */
static bool was_sent(const struct window *win)
{
	return window_is(win, WINDOW_SENT) ||
	       (window_is(win, WINDOW_SENDING) && !window_is(win, WINDOW_ENDED) &&
		!window_is(win, WINDOW_DOUBT) && win->name.count <= WINDOW_PIECES_PER_MESSAGE);
}

int window_join(struct windows *w, uint64_t id, struct window_user *user, bool *sent)
{
	struct window *win = ids_get(w->ids, id);

	if (!win)
		return -ENOENT;
	win->user = user;
	if (sent) {
		*sent = was_sent(win);
		/* Known now: when it has ended the next successor could not tell. */
		if (*sent)
			window_set(win, WINDOW_SENT);
	}
	return 0;
}

bool window_is_over(struct windows *w, uint64_t id)
{
	const struct window *win;
	bool over;

	rcu_read_enter();
	win = ids_get(w->ids, id);
	over = !win || window_is(win, WINDOW_ENDED);
	rcu_read_leave();
	return over;
}

bool window_forget(struct windows *w, uint64_t id)
{
	struct window *win;
	bool mine;

	rcu_read_enter();
	win = ids_get(w->ids, id);
	mine = win && ids_retire(w->ids, id);
	rcu_read_leave();
	if (mine) {
		__atomic_fetch_sub(&w->live, 1, __ATOMIC_RELEASE);
		window_drop(win);
	}
	return mine;
}

/* One that is there when all users have been found. */
static void settle(uint64_t id, void *obj, void *arg)
{
	struct windows *w = arg;
	struct window *win = obj;

	if (!win->user)
		window_forget(w, id);
	else if (window_is(win, WINDOW_ENDED))
		window_end(w, win, id);
	else if (window_is(win, WINDOW_DOUBT))
		window_scan_in(w, 0);
}

void windows_adopted(struct windows *w)
{
	w->adopting = false;
	w->adopted = clock_coarse_ms();
	rcu_read_enter();
	ids_for_each(w->ids, settle, w);
	rcu_read_leave();
}
