/* SPDX-License-Identifier: MIT */
/*
 * plain.c - device/channel.h and device/lasting.h for a daemon that nobody survives
 *
 * Linked into a daemon in the place of channel.c and lasting.c, to measure what surviving costs: a request comes by read(2), an answer
 * goes by writev(2), as libfuse does it, and there are no records. (A slot is only where the request lies.)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/channel.h"
#include "device/lasting.h"

/* --- requests ----------------------------------------------------------------------------------- */

int channel_new(struct channel *ch)
{
	pthread_mutex_init(&ch->lock, NULL);
	return slots_new(&ch->slots);
}

int channel_adopt(struct channel *ch)
{
	(void)ch;
	return -ENOENT;
}

void channel_close(struct channel *ch)
{
	if (ch->fd >= 0)
		close(ch->fd);
	slots_close(ch->slots);
	pthread_mutex_destroy(&ch->lock);
}

void channel_wait_for_memory(struct channel *ch)
{
	(void)ch;
	usleep(1000);
}

int channel_pipe_take(struct channel *ch)
{
	(void)ch;
	return 0;
}

void channel_pipe_give(struct channel *ch, int pipe)
{
	(void)ch;
	(void)pipe;
}

ssize_t channel_receive(struct channel *ch, int pipe, struct slot *slot)
{
	static __thread char bytes[SLOT_AREA_BYTES];
	ssize_t n = read(ch->fd, bytes, sizeof(bytes));
	void *to;

	(void)pipe;
	if (n <= 0)
		return n ? -errno : -ENODEV;
	to = slot_request(ch->slots, slot, (size_t)n);
	if (!to)
		abort();
	memcpy(to, bytes, (size_t)n);
	slot->request_len = (uint32_t)n;
	return n;
}

/* It is sent at once. */
void channel_done(struct channel *ch, struct slot *slot, const struct iovec *iov, int n)
{
	ssize_t sent = writev(ch->fd, iov, n);

	slot->answer_len = (uint32_t)(sent < 0 ? -errno : sent);
}

ssize_t channel_send(struct channel *ch, struct slot *slot)
{
	(void)ch;
	return (int32_t)slot->answer_len;
}

/* --- opens and maps ----------------------------------------------------------------------------- */

uint32_t lasting_open_new(struct records *s, uint64_t id, uint64_t maker, uint64_t opened,
			  const struct who *w, const struct token *t)
{
	(void)s, (void)id, (void)maker, (void)opened, (void)w, (void)t;
	/* A number of cells that nobody has. */
	return record_new(s, 1);
}

void lasting_open_flag(struct records *s, uint32_t record, uint32_t flag)
{
	(void)s, (void)record, (void)flag;
}

int lasting_map_new(struct records *s, struct map *m, uint64_t maker, uid_t uid, uid_t owner)
{
	(void)s, (void)m, (void)maker, (void)uid, (void)owner;
	return 0;
}

void lasting_map_placed(struct map *m)
{
	(void)m;
}

void lasting_map_drop(struct map *m)
{
	(void)m;
}

bool lasting_map_end(struct map *m, uint64_t unique)
{
	(void)m, (void)unique;
	return true;
}

void lasting_map_mapped(struct map *m, const struct hv_grant *g, uint64_t claim)
{
	(void)m, (void)g, (void)claim;
}

void lasting_map_phase(struct map *m, enum lasting_phase phase)
{
	(void)m, (void)phase;
}

void lasting_map_unusable(struct map *m, uint64_t claim)
{
	(void)m, (void)claim;
}

void lasting_map_notify(struct map *m)
{
	(void)m;
}

void lasting_map_finished(struct map *m)
{
	(void)m;
}

void lasting_map_freed(struct map *m)
{
	(void)m;
}

uint64_t lasting_what(uint32_t record, uint64_t unique)
{
	(void)record, (void)unique;
	return 0;
}

void lasting_answered(struct records *s, uint64_t what)
{
	(void)s, (void)what;
}

/* --- there is nothing to adopt ------------------------------------------------------------------ */

const struct lasting_open *lasting_open_read(struct records *s, uint32_t record, struct who *w,
					     struct token *t, uint64_t *opened)
{
	(void)s, (void)record, (void)w, (void)t, (void)opened;
	return NULL;
}

struct lasting_map *lasting_map_head(struct records *s, uint32_t record)
{
	(void)s, (void)record;
	return NULL;
}

void lasting_map_read(struct records *s, uint32_t record, struct map *m,
		      struct lasting_shown *shown)
{
	(void)s, (void)record, (void)m, (void)shown;
}

void lasting_map_grants(const struct map *m, struct hv_grant *g)
{
	(void)m, (void)g;
}

void lasting_map_over(struct records *s, uint32_t record, uint32_t bits)
{
	(void)s, (void)record, (void)bits;
}
