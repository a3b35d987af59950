/* SPDX-License-Identifier: MIT */
/*
 * device/channel.c - requests from the kernel, and answers to it, such that none is lost if the daemon is killed
 *
 * What a successor finds, by where the predecessor was killed:
 *
 *     SLOT_RECEIVING, the pipe empty, and no length in the slot: nothing had come, and it still waits in the kernel.
 *     SLOT_RECEIVING else: the slot has the first bytes, the pipe the rest. (A pipe gives up what was read only after it
 *     has been copied, so what is in both is the same.) A length is the first word of each request.
 *     SLOT_TAKEN: it is to be carried out again.
 *     SLOT_DONE: the answer is sent again. If it had been sent before the kernel says ENOENT.
 *
 * Only a successor looks into a pipe: the end of a pipe that somebody splices to cannot be asked how much is in it, but waits for
 * that, and cannot be killed.
 */
#include "device/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/step.h"
#include "state/lent.h"
#include "state/state.h"

/* The longest request, each page of it in a buffer of its own, and more. */
#define PIPE_BYTES 262144

/* For long answers. */
#define ANSWERS 0

static_assert(STATE_SESSIONS * CHANNEL_PIPES * 2 <= LENT_PIPES, "the keeper has a place for each");

/* How often it is told that memory is short. */
#define TELL_MS 10000

void channel_wait_for_memory(struct channel *ch)
{
	uint64_t now = clock_ms(), told = __atomic_load_n(&ch->told, __ATOMIC_RELAXED);

	__atomic_add_fetch(&ch->waits, 1, __ATOMIC_RELAXED);
	if ((!told || now - told >= TELL_MS) &&
	    __atomic_compare_exchange_n(&ch->told, &told, now, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		log_err("/dev/%s: no memory for a request or an answer: clients wait for some",
			ch->name);
	nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* --- what is lent ------------------------------------------------------------------------------- */

static void name_of(const struct channel *ch, const char *what, char name[KEEP_NAME])
{
	snprintf(name, KEEP_NAME, "%s.%u", what, ch->number);
}

static void pipe_name(const struct channel *ch, unsigned int pipe, char end, char name[KEEP_NAME])
{
	snprintf(name, KEEP_NAME, "pipe.%u.%u.%c", ch->number, pipe, end);
}

static int take(struct channel *ch, const char *what)
{
	char name[KEEP_NAME];

	name_of(ch, what, name);
	return lent_take(ch->lent, name);
}

static int give(struct channel *ch, const char *what, int fd)
{
	char name[KEEP_NAME];

	name_of(ch, what, name);
	return lent_give(ch->lent, name, fd);
}

/* --- pipes -------------------------------------------------------------------------------------- */

static int give_pipe(struct channel *ch, unsigned int pipe)
{
	const struct channel_pipe *p = &ch->pipe[pipe];
	char name[KEEP_NAME];
	int err;

	pipe_name(ch, pipe, 'r', name);
	err = lent_give(ch->lent, name, p->r);
	pipe_name(ch, pipe, 'w', name);
	return err ? err : lent_give(ch->lent, name, p->w);
}

static void close_pipe(struct channel_pipe *p)
{
	close(p->r);
	close(p->w);
}

/* Locked. */
static int add_pipe(struct channel *ch)
{
	struct channel_pipe *p = &ch->pipe[ch->n];
	int fd[2], err = 0;

	if (ch->n == CHANNEL_PIPES)
		return -ENFILE;
	if (pipe2(fd, O_CLOEXEC))
		return -errno;
	*p = (struct channel_pipe){ .r = fd[0], .w = fd[1], .used = true };
	if (fcntl(fd[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
		err = -errno;
	if (!err)
		err = give_pipe(ch, ch->n);
	if (err)
		close_pipe(p);
	else
		ch->n++;
	return err;
}

int channel_pipe_take(struct channel *ch)
{
	unsigned int i;
	int err = 0;

	pthread_mutex_lock(&ch->lock);
	for (i = 0; i < ch->n && ch->pipe[i].used; i++)
		;
	if (i < ch->n)
		ch->pipe[i].used = true;
	else
		err = add_pipe(ch);
	pthread_mutex_unlock(&ch->lock);
	return err ? err : (int)i;
}

void channel_pipe_give(struct channel *ch, int pipe)
{
	pthread_mutex_lock(&ch->lock);
	ch->pipe[pipe].used = false;
	pthread_mutex_unlock(&ch->lock);
}

static int read_all(int fd, void *to, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, (char *)to + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static size_t in_pipe(const struct channel_pipe *p)
{
	int n = 0;

	return ioctl(p->r, FIONREAD, &n) || n < 0 ? 0 : (size_t)n;
}

static void empty_pipe(const struct channel_pipe *p)
{
	char bytes[SLOT_PAGE];
	size_t left;

	while ((left = in_pipe(p)))
		if (read_all(p->r, bytes, left < sizeof(bytes) ? left : sizeof(bytes)))
			return;
}

/* --- requests ----------------------------------------------------------------------------------- */

/* What has left the kernel's queue is not given up for want of memory. */
static void *room_for_request(struct channel *ch, struct slot *slot, size_t len)
{
	void *to;

	while (!(to = slot_request(ch->slots, slot, len)))
		channel_wait_for_memory(ch);
	return to;
}

ssize_t channel_receive(struct channel *ch, int pipe, struct slot *slot)
{
	const struct channel_pipe *p = &ch->pipe[pipe];
	ssize_t n;
	int err;

	slot_expect(slot, (uint32_t)pipe);
	n = splice(ch->fd, NULL, p->w, NULL, SLOT_AREA_BYTES, 0);
	if (n <= 0)
		return n ? -errno : -ENODEV;
	step(recv_spliced);
	err = read_all(p->r, room_for_request(ch, slot, (size_t)n), (size_t)n);
	if (err)
		return err;
	step(recv_read);
	slot_received(slot, (size_t)n);
	return n;
}

/* --- answers ------------------------------------------------------------------------------------ */

/* By the pipe for them. Return: as splice(2); -1 also if not all of it went. */
static ssize_t by_pipe(struct channel *ch, const struct iovec *answer)
{
	const struct channel_pipe *p = &ch->pipe[ANSWERS];
	ssize_t n = vmsplice(p->w, answer, 1, 0);

	if (n == (ssize_t)answer->iov_len)
		n = splice(p->r, NULL, ch->fd, NULL, answer->iov_len, 0);
	if (n >= 0 && n < (ssize_t)answer->iov_len) {
		errno = EIO;
		n = -1;
	}
	return n;
}

static ssize_t send_long(struct channel *ch, void *answer, size_t len)
{
	ssize_t n;

	pthread_mutex_lock(&ch->lock);
	n = by_pipe(ch, &(struct iovec){ answer, len });
	if (n < 0) {
		n = -errno;
		/* What was not taken will not be. */
		empty_pipe(&ch->pipe[ANSWERS]);
	}
	pthread_mutex_unlock(&ch->lock);
	return n;
}

static size_t gather(char *to, const struct iovec *iov, int n)
{
	size_t len = 0;

	for (int i = 0; i < n; i++) {
		if (to)
			memcpy(to + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}

void channel_done(struct channel *ch, struct slot *slot, const struct iovec *iov, int n)
{
	size_t len = gather(NULL, iov, n);
	void *to;

	while (!(to = slot_answer(ch->slots, slot, len)))
		channel_wait_for_memory(ch);
	gather(to, iov, n);
	step(answer_stored);
	slot_done(slot, len);
	step(answer_done);
}

ssize_t channel_send(struct channel *ch, struct slot *slot)
{
	void *answer = slot_answer(ch->slots, slot, 0);
	size_t len = slot->answer_len;
	ssize_t n;

	if (len > SLOT_PAGE)
		return send_long(ch, answer, len);
	n = write(ch->fd, answer, len);
	return n < 0 ? -errno : n;
}

/* --- the whole ---------------------------------------------------------------------------------- */

int channel_new(struct channel *ch)
{
	int err;

	pthread_mutex_init(&ch->lock, NULL);
	err = slots_new(&ch->slots);
	if (!err)
		err = give(ch, "slots", slots_fd(ch->slots));
	if (!err)
		err = channel_pipe_take(ch);
	return err ? err : give(ch, "cuse", ch->fd);
}

/* Return: 0; -ENOENT: it is not there, or was not given whole; -errno. */
static int adopt_pipe(struct channel *ch, struct channel_pipe *p)
{
	char name[KEEP_NAME];

	pipe_name(ch, ch->n, 'r', name);
	p->r = lent_take(ch->lent, name);
	if (p->r < 0)
		return p->r;
	pipe_name(ch, ch->n, 'w', name);
	p->w = lent_take(ch->lent, name);
	if (p->w < 0)
		close(p->r);
	return p->w < 0 ? p->w : 0;
}

static int adopt_pipes(struct channel *ch)
{
	int err = 0;

	while (!err && ch->n < CHANNEL_PIPES) {
		err = adopt_pipe(ch, &ch->pipe[ch->n]);
		if (!err)
			ch->n++;
	}
	ch->pipe[ANSWERS].used = true;
	if (err == -ENOENT)
		err = 0;
	return err || ch->n > ANSWERS ? err : -EINVAL;
}

/* The rest of what a predecessor has begun to receive. Return: 0, with an empty slot if it was nothing; -errno. */
static int receive_rest(struct channel *ch, struct slot *slot)
{
	const struct channel_pipe *p;
	uint32_t whole;
	size_t left, have = 0;
	int err;

	if (slot->pipe >= ch->n)
		return -EINVAL;
	p = &ch->pipe[slot->pipe];
	left = in_pipe(p);
	memcpy(&whole, slot_request(ch->slots, slot, 0), sizeof(whole));
	if (!whole && !left) {
		slot_free(ch->slots, slot);
		return 0;
	}
	if (whole > left)
		have = whole - left;
	else
		whole = (uint32_t)left;
	if (whole < sizeof(struct fuse_in_header) || whole > SLOT_AREA_BYTES)
		return -EINVAL;
	err = read_all(p->r, (char *)room_for_request(ch, slot, whole) + have, left);
	if (!err)
		slot_received(slot, whole);
	step(left_received);
	return err;
}

/* An open whose answer the kernel does not know lives: it had been told. */
static int settle(struct channel *ch, struct slot *slot)
{
	if (slot->state == SLOT_RECEIVING)
		return receive_rest(ch, slot);
	if (slot->state == SLOT_DONE) {
		channel_send(ch, slot);
		step(left_answered);
		slot_free(ch->slots, slot);
	}
	return 0;
}

static int settle_all(struct channel *ch)
{
	struct slot *slot;
	uint32_t cursor = 0;
	int err = 0;

	/* A long answer that was not sent is in its slot, too, and is sent from there. */
	empty_pipe(&ch->pipe[ANSWERS]);
	while (!err && (slot = slots_next(ch->slots, &cursor)))
		err = settle(ch, slot);
	return err;
}

/* The end of a predecessor makes its descriptor, which is ours, too, not wait. */
static int make_wait(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? -errno : 0;
}

int channel_adopt(struct channel *ch)
{
	int err, fd;

	ch->fd = take(ch, "cuse");
	if (ch->fd < 0)
		return ch->fd;
	pthread_mutex_init(&ch->lock, NULL);
	fd = take(ch, "slots");
	/* Whoever gave the one gave the other before. */
	fd = fd == -ENOENT ? -EINVAL : fd;
	err = fd < 0 ? fd : slots_adopt(fd, &ch->slots);
	if (!err)
		err = adopt_pipes(ch);
	if (!err)
		err = make_wait(ch->fd);
	return err ? err : settle_all(ch);
}

void channel_close(struct channel *ch)
{
	if (ch->fd >= 0)
		close(ch->fd);
	for (unsigned int i = 0; i < ch->n; i++)
		close_pipe(&ch->pipe[i]);
	slots_close(ch->slots);
	pthread_mutex_destroy(&ch->lock);
}
