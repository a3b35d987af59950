/* SPDX-License-Identifier: MIT */
/*
 * fuzz_window.c - clients of the window socket that do and say anything
 *
 * An input is a list of steps: connect, send a request of which some bytes are the input's, with descriptors
 * or without, cut, doubled or overlong; half-close, close, read; and what the device does with the calls that
 * come of it: refuse, grant so many pages, keep and answer later. The server and its threads are the real ones
 * (window/socket.c), the sockets too.
 *
 * What is held against the server: each message it sends is one of abi/winproto.h, the first of an answer alone
 * brings a descriptor, pieces add up to what was granted; a request that it hands to the device is what
 * window/socket.h promises; when all clients have gone no place is taken and no descriptor is left.
 *
 * What is not the real thing: the device, and the window directory, which only counts.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "abi/ioctl.h"
#include "base/rcu.h"
#include "window/socket.h"
#include "window/window.h"

#define CLIENTS	 4
#define KEPT	 8
#define MANY	 400 /* pages, scattered: an answer of several messages */
#define PATIENCE 50000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool ok)
{
	if (!ok)
		abort();
}

/* --- what is not the real thing ----------------------------------------------------------------- */

void window_sending(struct windows *w, uint64_t id, pid_t client)
{
	demand(!w && id == 5 && client == getpid());
}

void window_sent(struct windows *w, uint64_t id)
{
	demand(!w && id == 5);
}

void window_delivered(struct windows *w, uint64_t id, pid_t client)
{
	demand(!w && id == 5 && client == getpid());
}

/**
 * struct device - what becomes of calls
 * @lock:  protects the rest; calls come on the server's threads
 * @what:  refuse, grant, or keep the next ones
 * @pages: that a grant has
 */
static struct {
	pthread_mutex_t lock;
	enum { REFUSE, GRANT, KEEP } what;
	enum hv_pages kind;
	size_t pages;
	struct mmap_call *kept[KEPT];
	size_t n_kept;
} device = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void grant(struct mmap_call *mc, size_t pages, enum hv_pages kind)
{
	struct hv_grant *g = calloc(pages, sizeof(*g));
	int fd = memfd_create("window", MFD_CLOEXEC);

	demand(g && fd >= 0);
	/* Each second page: no two can be one piece. */
	for (size_t i = 0; i < pages; i++)
		g[i] = (struct hv_grant){ .page = 2 * i, .domid = 7 };
	mmap_call_grant(mc, fd, 5, g, pages, kind);
	free(g);
}

static void check_call(const struct mmap_call *mc)
{
	demand(mc->pid == getpid() && mc->uid == geteuid());
	demand(mc->rq.magic == WINDOW_MAGIC && mc->rq.version == WINDOW_VERSION);
	demand(mc->rq.length && mc->rq.length % ABI_PAGE_SIZE == 0);
	demand(mc->rq.offset % ABI_PAGE_SIZE == 0);
	demand(mc->rq.offset + mc->rq.length > mc->rq.offset);
}

static void device_mmap(struct mmap_call *mc, void *arg)
{
	bool keep, refuse;
	enum hv_pages kind;
	size_t pages;

	(void)arg;
	check_call(mc);
	pthread_mutex_lock(&device.lock);
	keep = device.what == KEEP && device.n_kept < KEPT;
	if (keep)
		device.kept[device.n_kept++] = mc;
	refuse = device.what == REFUSE;
	kind = device.kind;
	pages = device.pages;
	pthread_mutex_unlock(&device.lock);
	if (keep)
		return;
	if (refuse)
		mmap_call_refuse(mc, EINVAL);
	else
		grant(mc, pages, kind);
}

static void answer_kept(void)
{
	struct mmap_call *mc = NULL;

	pthread_mutex_lock(&device.lock);
	if (device.n_kept)
		mc = device.kept[--device.n_kept];
	pthread_mutex_unlock(&device.lock);
	if (mc && device.pages & 1)
		mmap_call_refuse(mc, ENXIO);
	else if (mc)
		grant(mc, device.pages, device.kind);
}

/* --- the server --------------------------------------------------------------------------------- */

static struct winsock *ws;
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static unsigned int descriptors; /* with no client */

/* Of the log's there may be more later. */
#define LOG_DESCRIPTORS 4

/**
 * struct census - our open descriptors
 * @all:     how many there are
 * @windows: how many of them are windows
 */
struct census {
	unsigned int all;
	unsigned int windows;
};

static struct census take_census(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct census n = { 0 };
	struct dirent *e;
	char target[64];

	demand(dir != NULL);
	while ((e = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), e->d_name, target, sizeof(target));

		n.all++;
		n.windows += len > 13 && !memcmp(target, "/memfd:window", 13);
	}
	closedir(dir);
	return n;
}

/* Once. Clients find the server through a descriptor, so that no name of it is left in a file system. */
static void set_up(void)
{
	char path[64];
	const char *why;

	if (ws)
		return;
	rcu_thread_enter();
	snprintf(path, sizeof(path), "/tmp/gntdev-fuzz-%d.sock", (int)getpid());
	demand(!winsock_new(path, -1, NULL, device_mmap, NULL, &ws, &why));
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d",
		 open(path, O_PATH | O_CLOEXEC));
	unlink(path);
	demand(!winsock_start(ws));
	descriptors = take_census().all;
}

/* Whether no client has left anything behind. */
static bool all_is_quiet(void)
{
	struct census n = take_census();
	unsigned int slots, used;

	winsock_slots(ws, &slots, &used);
	return !used && !n.windows && n.all <= descriptors + LOG_DESCRIPTORS;
}

/* --- the clients -------------------------------------------------------------------------------- */

/**
 * struct client - one end of a connection
 * @pieces, @seen: of the answer that is being received: how many it has, and how many have come
 */
static struct client {
	int fd;
	uint32_t pieces;
	uint32_t seen;
} clients[CLIENTS];

/* The input, eaten from the front; 0 when there is no more. */
struct input {
	const uint8_t *at;
	size_t left;
};

static uint8_t next(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static void hang_up(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	*c = (struct client){ .fd = -1 };
}

static void call(struct client *c)
{
	hang_up(c);
	c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	demand(c->fd >= 0);
	if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)))
		hang_up(c);
}

/* A good request, so many bytes of which are the input's, at places that are the input's. */
static void make_request(struct input *in, struct window_request *rq)
{
	uint8_t changes = next(in) % 16;

	*rq = (struct window_request){
		.magic = WINDOW_MAGIC,
		.version = WINDOW_VERSION,
		.prot = PROT_READ,
		.flags = MAP_SHARED,
		.length = ABI_PAGE_SIZE,
	};
	while (changes--) {
		size_t place = next(in) % sizeof(*rq);

		((uint8_t *)rq)[place] = next(in);
	}
}

static void ask(struct client *c, struct input *in)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(16 * sizeof(int))];
	} control = { 0 };
	struct window_request rq[4];
	struct iovec iov = { rq, sizeof(rq[0]) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	uint8_t how = next(in);
	size_t n = how >> 4;

	memset(rq, how, sizeof(rq));
	make_request(in, &rq[0]);
	if (how & 1)
		iov.iov_len = next(in) % sizeof(rq);
	if (how & 2 && n) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
		for (size_t i = 0; i < n; i++)
			((int *)CMSG_DATA(&control.header))[i] = c->fd;
	}
	sendmsg(c->fd, &m, MSG_NOSIGNAL);
}

/* Return: descriptors that came along; they are closed. */
static size_t take_descriptors(struct msghdr *m)
{
	struct cmsghdr *h = CMSG_FIRSTHDR(m);
	size_t n;

	if (!h)
		return 0;
	demand(h->cmsg_type == SCM_RIGHTS && !CMSG_NXTHDR(m, h));
	n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (size_t i = 0; i < n; i++)
		close(((int *)CMSG_DATA(h))[i]);
	return n;
}

static void check_pieces(struct client *c, const struct window_reply *r, size_t len)
{
	demand(len == sizeof(*r) + r->here * sizeof(r->piece[0]));
	demand(r->here && r->here <= WINDOW_PIECES_PER_MESSAGE && c->seen + r->here <= r->pieces);
	demand(r->kind == WINDOW_FRAMES ? r->domid == 7 : r->kind == WINDOW_FILE && !r->domid);
	for (uint32_t i = 0; i < r->here; i++) {
		demand(r->piece[i].offset == 2 * (c->seen + i) * ABI_PAGE_SIZE);
		demand(r->piece[i].length == ABI_PAGE_SIZE);
	}
	c->seen += r->here;
}

static void check_reply(struct client *c, const struct window_reply *r, size_t len, size_t fds)
{
	demand(len >= sizeof(*r) && r->magic == WINDOW_MAGIC);
	if (r->error) {
		demand(r->error > 0 && r->error < 4096 && len == sizeof(*r) && !fds && !c->seen);
		demand(!r->pieces && !r->here && !r->kind && !r->domid);
		return;
	}
	demand(fds == !c->seen);
	demand(!c->seen || r->pieces == c->pieces);
	c->pieces = r->pieces;
	check_pieces(c, r, len);
}

static bool receive(struct client *c)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(16 * sizeof(int))];
	} control;
	union {
		struct window_reply reply;
		char room[WINDOW_REPLY_MAX + 1];
	} buf;
	struct iovec iov = { &buf, sizeof(buf) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(c->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return false;
	demand(!(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)));
	check_reply(c, &buf.reply, (size_t)n, take_descriptors(&m));
	return true;
}

/* --- an input ----------------------------------------------------------------------------------- */

static void instruct(struct input *in)
{
	uint8_t how = next(in);

	pthread_mutex_lock(&device.lock);
	device.what = how % 3;
	device.kind = how & 4 ? HV_PAGES_FRAMES : HV_PAGES_FILE;
	device.pages = how & 8 ? MANY + how : 1 + how / 16;
	pthread_mutex_unlock(&device.lock);
}

static void step(struct input *in)
{
	uint8_t what = next(in);
	struct client *c = &clients[what / 8 % CLIENTS];

	switch (what % 8) {
	case 0:
		call(c);
		break;
	case 1:
	case 2:
		ask(c, in);
		break;
	case 3:
		shutdown(c->fd, what & 64 ? SHUT_WR : SHUT_RD);
		break;
	case 4:
		hang_up(c);
		break;
	case 5:
		instruct(in);
		break;
	case 6:
		answer_kept();
		break;
	default:
		receive(c);
		break;
	}
}

/* Everybody goes. Calls that are on their way may still be kept meanwhile. */
static void finish(void)
{
	int patience = PATIENCE;

	for (struct client *c = clients; c < clients + CLIENTS; c++) {
		while (c->fd >= 0 && receive(c))
			;
		hang_up(c);
	}
	for (; !all_is_quiet(); patience--) {
		demand(patience > 0);
		answer_kept();
		usleep(100);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	set_up();
	device.what = GRANT;
	device.pages = 1;
	device.kind = HV_PAGES_FILE;
	for (size_t i = 0; i < CLIENTS; i++)
		clients[i] = (struct client){ .fd = -1 };
	while (in.left)
		step(&in);
	finish();
	return 0;
}
