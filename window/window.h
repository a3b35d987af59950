/* SPDX-License-Identifier: MIT */
/*
 * window/window.h - the window directory: which windows clients hold, and when the last user has gone
 *
 * A window is one opening of a file (or device node) made for one mmap of one client. Its entry
 * in the window directory exists only while it is made; afterwards its name lives on in the
 * client's mapping (as /proc/PID/maps shows it) and in the event that tells of its end.
 *
 * window/window.c's essay tells who may see what, and how the end of a window is noticed.
 *
 * The room window/ promises to the devices that a window's end is reported exactly once, and not before nobody
 * can reach its memory any more; and that no client holds up another one's mmap. It may include abi/, base/,
 * client/, report/, table.h and hypercall.h.
 *
 * This header is the face of the window directory: the files behind it include it for its types.
 */
#ifndef WINDOW_WINDOW_H
#define WINDOW_WINDOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "hypercall.h"

struct procmaps_file;
struct records;
struct windows;

/* Whose windows they are: the two devices share one directory. */
enum window_kind {
	WINDOW_OF_GNTDEV,
	WINDOW_OF_GNTALLOC,
};

/**
 * struct window_user - what a window is made for; embedded in it
 * @gone: called exactly once when nobody holds the window any more, on the watcher thread (by
 *        windows_destroy(): on its caller's), registered with RCU, not under RCU. The window is not
 *        found any more. It must not wait for the watcher: other ends wait behind it. If the daemon is
 *        killed before this has returned the successor calls it once more
 */
struct window_user {
	void (*gone)(struct window_user *wu);
};

/**
 * struct window_name - what a window shows, in its name
 * @id:    the window's id
 * @index: the map's index as the client knows it, bytes
 * @count: the map's pages
 * @life:  a random number of this directory's life: a client of a killed daemon may still hold
 *         windows whose ids, and the names made of them, would be ours again
 */
struct window_name {
	uint64_t id;
	uint64_t index;
	uint32_t count;
	uint64_t life;
};

/* Bytes of a window's name as a file name, with its NUL. */
#define WINDOW_NAME_SIZE 60

/**
 * window_name_format() - a window's name as a file name
 * @buf: WINDOW_NAME_SIZE bytes
 */
void window_name_format(const struct window_name *name, char *buf);

/**
 * window_name_parse() - the reverse of window_name_format()
 * @s: any string
 *
 * Return: whether @s is exactly what window_name_format() makes of *@name.
 */
bool window_name_parse(const char *s, struct window_name *name);

/**
 * struct windows_keep - what outlives the daemon of a window directory
 * @records: where windows have their records
 * @life:    struct window_name's, in lasting memory; 0: it is still to be drawn
 * @dir, @closes, @opens, @hand: what a predecessor left, to be ours: the directory with its lock ("windows"), the watches
 *           on it ("inotify.closes", "inotify.opens") and the events that it had in hand ("inotify.hand"). All of them,
 *           or all -1: there was none
 */
struct windows_keep {
	struct records *records;
	uint64_t *life;
	int dir;
	int closes;
	int opens;
	int hand;
};

/**
 * windows_new() - take possession of a window directory
 * @dir:  path; made if it does not exist (its parent must); mode 0700; left-overs of a daemon that nobody adopts
 *        (plain files and device nodes) are removed. If one is adopted, only its descriptor counts
 * @keep: what lasts; NULL: nothing, as for tests. Its descriptors are taken over, also on failure
 * @why:  set to a message for the user on failure (a string that stays valid)
 *
 * Of a predecessor all windows are there that a client may hold: windows_left(), window_join(), windows_adopted(). What has
 * happened to them meanwhile is known.
 *
 * Return: 0 and *@out; -EBUSY if another daemon has it; -ENOTDIR if it is something else or a
 * symbolic link; -EPERM if it is somebody else's; -ENOTSUP if /proc does not tell the
 * inodes of its files; -EINVAL if what a predecessor left is damaged; -errno.
 */
int windows_new(const char *dir, const struct windows_keep *keep, struct windows **out,
		const char **why);

/** windows_kept() - what is to be kept for a successor: fills in @keep's descriptors, which stay ours */
void windows_kept(const struct windows *w, struct windows_keep *keep);

/**
 * struct window_left - a window that a predecessor left
 * @sent: the whole reply has been sent to the client; else it is not known how much of it
 */
struct window_left {
	uint64_t id;
	uint64_t open_id;
	uint64_t index;
	uint32_t count;
	bool readonly;
	bool sent;
};

/**
 * windows_left() - walk what a predecessor left
 * @cursor: 0 at first
 *
 * At adoption, before windows_adopted(); not under RCU. Return: false at the end.
 */
bool windows_left(struct windows *w, enum window_kind kind, uint64_t *cursor,
		  struct window_left *left);

/**
 * window_join() - give a window that was adopted its user
 * @id:   as window_make() gave it to the predecessor
 * @user: as for window_make()
 * @sent: out, or NULL: false: it is not known whether the predecessor's answer, with all its pieces, has gone to the client
 *
 * After windows_new(), before windows_adopted(). One whose end was noticed meanwhile, or was noticed and not reported (its
 * user's gone() has not returned), is still there, and so is one that never got as far as to be sent, which has ended with
 * the predecessor: gone() is called by the watcher. Return: 0; -ENOENT: its end has been reported, or it never was.
 */
int window_join(struct windows *w, uint64_t id, struct window_user *user, bool *sent);

/**
 * window_forget() - a window that was adopted turns out not to have been sent: nobody is to be told of its end
 *
 * Any thread registered with RCU. Return: whether that was in time: gone() has not been called, and will not be.
 */
bool window_forget(struct windows *w, uint64_t id);

/**
 * window_is_over() - whether a window that was adopted is known to be held by nobody
 *
 * What a client says about that is not asked. Any thread registered with RCU. Return: also true if there is none of this id.
 */
bool window_is_over(struct windows *w, uint64_t id);

/** windows_adopted() - the end of an adoption: windows that nobody has joined are forgotten. Before windows_start() */
void windows_adopted(struct windows *w);

/**
 * windows_start() - start the watcher thread (after any privilege or signal-mask set-up)
 *
 * Before the first window_make(). Return: 0 or -errno.
 */
int windows_start(struct windows *w);

/**
 * windows_leave() - stop watching, free everything of ours, and leave all for a successor
 *
 * While no other call is going on. No window is reported, nothing is removed.
 */
void windows_leave(struct windows *w);

/**
 * windows_end() - stop watching, report the windows still held as gone, remove the directory
 *
 * Their grants are to be unmapped now. By a thread registered with RCU, not under RCU; nothing can make
 * a window any more, though windows may still be looked for.
 */
void windows_end(struct windows *w);

/**
 * windows_destroy() - windows_end(), and free everything
 *
 * While no other call is going on.
 */
void windows_destroy(struct windows *w);

/* The directory, for hypervisors that keep files of their own there. */
int windows_dirfd(const struct windows *w);

/**
 * window_make() - make a window
 * @w:     the directory
 * @hv:    who opens it
 * @kind:  whose it is, for window_find()
 * @grants, @n, @at: as for hv->ops->window_open(); it opens the entry once, and removes it before
 *         it returns
 * @user:  its gone() is called once when the last descriptor and mapping have gone; from this
 *         call's success on, also before it returns
 * @id:    out: the window's id; written before gone() can be called
 *
 * Any thread registered with RCU, not under RCU. Return: a descriptor for the client, to be closed
 * by the caller after it was sent (or failed to be sent: gone() follows by itself); -EINVAL if @n
 * is 0 or does not fit 32 bits; -ENOMEM; -EXDEV if it is not a file of the directory's file
 * system; -errno of hv->ops->window_open(). On failure gone() is not called.
 */
int window_make(struct windows *w, struct hypervisor *hv, enum window_kind kind,
		const struct hv_grant *grants, size_t n, const struct hv_place *at,
		struct window_user *user, uint64_t *id);

/**
 * window_sending() - the window's descriptor is about to be sent
 * @client: who is to receive it, 0 if that is not visible to us
 *
 * From now on a successor takes it that the client may have it. Any thread registered with RCU; nothing happens if the
 * window has gone. window_sent() - all of the reply is in the client's queue: the same.
 */
void window_sending(struct windows *w, uint64_t id, pid_t client);
void window_sent(struct windows *w, uint64_t id);

/**
 * window_shown() - a client has done something that only who has the window does
 *
 * It may be quicker than window_sent(). Of a window whose reply is of several messages it says nothing. Under RCU; nothing
 * happens if the window has gone.
 */
void window_shown(struct windows *w, uint64_t id);

/**
 * window_delivered() - the window's descriptor is in the client's hands, or nowhere any more
 * @client: the process that received it, 0 if it is not visible to us
 *
 * Until then a rescan cannot see it (a descriptor inside a socket belongs to nobody) and takes it
 * for held. Any thread registered with RCU; nothing happens if the window has gone.
 */
void window_delivered(struct windows *w, uint64_t id, pid_t client);

/**
 * window_find() - which of our windows is mapped at an address of a process
 * @tid:   thread of the process, in our pid namespace
 * @vaddr: address
 * @kind:  whose windows are looked for
 * @name:  out
 *
 * As the driver does it: looks at the first mapping that ends above @vaddr (it may begin above it,
 * too). What is found is a live window of this directory; whether it is of the open in question is
 * for the caller to check. Any thread registered with RCU, not under RCU.
 *
 * Return: 0; -EINVAL if that is none of our windows or there is none; -EPERM if the process's
 * mappings cannot be read (also: @tid is not in our pid namespace, or has gone).
 */
int window_find(struct windows *w, pid_t tid, uint64_t vaddr, enum window_kind kind,
		struct window_name *name);

/**
 * window_find_exact() - which of our windows is mapped just there
 * @vaddr: where a mapping may begin
 * @count: its pages, if it is that of a whole window
 *
 * As window_find(), but finds nothing else than a mapping of exactly these pages. It goes by the
 * window's name alone: a client that maps another file of such a name deceives nobody but itself.
 *
 * Return: 0, or -EINVAL.
 */
int window_find_exact(struct windows *w, pid_t tid, uint64_t vaddr, uint32_t count,
		      enum window_kind kind, struct window_name *name);

/**
 * struct window_info - a window of gntdev that a client holds
 * @id:        0: none
 * @index:     the map's index as the client knows it, bytes
 * @open_id:   the open of its map, which may be gone
 * @made:      trace_now()
 * @count:     pages
 * @domid:     of the first grant
 * @delivered: a client has it; @client: which, 0 if that is not visible to us
 */
struct window_info {
	uint64_t id;
	uint64_t index;
	uint64_t open_id;
	uint64_t made;
	uint32_t count;
	uint16_t domid;
	bool readonly;
	bool delivered;
	pid_t client;
};

/**
 * windows_next() - walk the windows of gntdev that clients hold
 * @cursor, @work: as for ids_next()
 * @info: out: the next one; info->id is 0 if there is none, or if @work has come to 0
 *
 * Under RCU, any thread, before windows_destroy(). Return: false at the end of the walk.
 */
bool windows_next(const struct windows *w, uint64_t *cursor, uint64_t *work,
		  struct window_info *info);

/**
 * windows_of_file() - which window of gntdev a file is
 *
 * Under RCU. Return: its id; 0 if it is none that is held.
 */
uint64_t windows_of_file(const struct windows *w, const struct procmaps_file *file);

/**
 * windows_ended() - how many ends of windows have been reported so far
 *
 * Any thread, as windows_end_since().
 */
uint64_t windows_ended(const struct windows *w);

/**
 * windows_end_since() - whether an end has been reported since then, or is on its way
 * @ended: from windows_ended()
 *
 * For who could do with what a window holds. If not, waiting for one brings nothing.
 */
bool windows_end_since(const struct windows *w, uint64_t ended);

/* Live windows, for tests and statistics. A window counts until its gone() has returned. */
uint64_t windows_count(const struct windows *w);

#endif /* WINDOW_WINDOW_H */
