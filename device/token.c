/* SPDX-License-Identifier: MIT */
/*
 * device/token.c - the authority to mmap an open
 */
#include "device/token.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "device/caller.h"
#include "window/socket.h"

int token_new(struct token *t, int flags)
{
	const int mode = flags & O_ACCMODE;
	ssize_t n;

	t->may_read = mode != O_WRONLY;
	t->may_write = mode != O_RDONLY;
	do
		n = getrandom(t->secret, sizeof(t->secret), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == sizeof(t->secret) ? 0 : -EIO;
}

int token_answer(const struct caller *c, struct window_token *w, const struct token *t,
		 struct winsock *ws)
{
	if (w->magic != WINDOW_MAGIC || w->version != WINDOW_VERSION)
		return -ENOTTY;
	memset(w, 0, sizeof(*w));
	w->magic = WINDOW_MAGIC;
	w->version = WINDOW_VERSION;
	w->flags = c->direct ? 0 : WINDOW_TELL_VADDR;
	w->open_id = c->rq->fh;
	memcpy(w->secret, t->secret, sizeof(w->secret));
	winsock_path_for(ws, c->rq->uid, c->rq->tid, w->socket);
	return 0;
}

bool token_check(const struct token *t, const struct window_request *rq)
{
	unsigned int diff = 0;

	for (size_t i = 0; i < sizeof(t->secret); i++)
		diff |= t->secret[i] ^ rq->secret[i];
	return !diff;
}

int token_access(const struct token *t, const struct window_request *rq)
{
	if (!t->may_read)
		return -EACCES;
	return rq->prot & PROT_WRITE && mmap_is_shared(rq->flags) && !t->may_write ? -EACCES : 0;
}
