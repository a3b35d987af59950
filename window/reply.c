/* SPDX-License-Identifier: MIT */
/*
 * window/reply.c - the daemon's half of abi/winproto.h: what a client may ask, and what is sent to it
 */
#include "window/reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "report/failure.h"

#define PAGE_BYTES 4096ULL

int winreply_check(const struct window_request *rq, size_t len, enum failure_reason *why)
{
	*why = WHY_PROTOCOL;
	if (len != sizeof(*rq) || rq->magic != WINDOW_MAGIC || rq->version != WINDOW_VERSION)
		return ENODEV;
	*why = WHY_WINDOW_REQUEST;
	if (rq->again > 1 || rq->offset % PAGE_BYTES || rq->length % PAGE_BYTES || !rq->length ||
	    rq->offset + rq->length < rq->offset)
		return EINVAL;
	return 0;
}

/* Return: 0 or -errno. */
static int send_message(int sock, const struct window_reply *reply,
			const struct window_piece *piece, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov[] = {
		{ .iov_base = (void *)(uintptr_t)reply, .iov_len = sizeof(*reply) },
		{ .iov_base = (void *)(uintptr_t)piece, .iov_len = reply->here * sizeof(*piece) },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof(fd));
	}
	do
		n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* One message. */
static int send_pieces(struct winreply *r, int sock)
{
	struct window_reply reply = { .magic = WINDOW_MAGIC,
				      .pieces = r->n_pieces,
				      .here = r->n_pieces - r->sent,
				      .kind = r->kind,
				      .domid = r->domid };
	int err;

	if (reply.here > WINDOW_PIECES_PER_MESSAGE)
		reply.here = WINDOW_PIECES_PER_MESSAGE;
	err = send_message(sock, &reply, r->piece + r->sent, r->fd);
	if (err)
		return err;
	r->sent += reply.here;
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	return 0;
}

int winreply_send(struct winreply *r, int sock)
{
	int err;

	do
		err = send_pieces(r, sock);
	while (!err && r->sent < r->n_pieces);
	return err;
}

void winreply_refuse(int sock, int error)
{
	struct window_reply reply = { .magic = WINDOW_MAGIC, .error = error };

	send_message(sock, &reply, NULL, -1);
}

/* Runs of consecutive pages. Return: an array to be freed, or NULL. */
static struct window_piece *pieces_of(const struct hv_grant *g, size_t n, uint32_t *n_pieces)
{
	struct window_piece *piece;
	uint32_t runs = 0;

	for (size_t i = 0; i < n; i++)
		runs += i == 0 || g[i].page != g[i - 1].page + 1;
	piece = calloc(runs ? runs : 1, sizeof(*piece));
	if (!piece)
		return NULL;
	*n_pieces = runs;
	runs = 0;
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || g[i].page != g[i - 1].page + 1)
			piece[runs++].offset = g[i].page * PAGE_BYTES;
		piece[runs - 1].length += PAGE_BYTES;
	}
	return piece;
}

int winreply_new(struct winreply *r, int fd, const struct hv_grant *g, size_t n, enum hv_pages kind)
{
	*r = (struct winreply){ .fd = fd, .kind = WINDOW_FILE };
	if (kind == HV_PAGES_FRAMES) {
		r->kind = WINDOW_FRAMES;
		r->domid = g[0].domid;
	}
	r->piece = pieces_of(g, n, &r->n_pieces);
	return r->piece ? 0 : -ENOMEM;
}

void winreply_free(struct winreply *r)
{
	free(r->piece);
	r->piece = NULL;
}

void winreply_tell(pid_t pid, uid_t uid, int error, enum failure_reason why)
{
	struct failure f = failure_of(why, TRACE_MMAP, pid, error);

	f.uid = uid;
	f.stranger = true;
	failure_report(&f, "window request refused (%s): %s", strerror(error),
		       failure_reason_cause(why));
}
