/* SPDX-License-Identifier: MIT */
/*
 * evtchn/rig.h - devices xen/evtchn of two domains on the simulator, for the tests of them
 *
 * A request is sent by ask(), and may be answered later: its answer is in the struct asked that this returns.
 */
#ifndef TEST_EVTCHN_RIG_H
#define TEST_EVTCHN_RIG_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/xen.h"
#include "base/rcu.h"
#include "evtchn/evtchn.h"
#include "sim/sim.h"
#include "state/record.h"
#include "client/request.h"
#include "tests/unit/place.h"

#include <xen/sys/evtchn.h>

/* Domain of @us, unless a suite has another. */
#ifndef US
#define US 0
#endif

/* Of domain @domid. */
struct side {
	struct evtchn *ev;
	struct device *dev;
	uint16_t domid;
	unsigned int wakes;
	uint64_t woken;
};

static struct sim *sim;
static struct side us = { .domid = US };
static int dirfd_;
static char dir[64];

/* --- requests ------------------------------------------------------------------------------------- */

struct asked {
	struct request rq;
	unsigned int answers;
	bool sleeps;
	int result;
	size_t len;
	uint64_t progress;
	uint64_t ends;
	uint32_t out[1200];
};

static void on_done(struct request *rq, int result, const void *out, size_t len)
{
	struct asked *a = (struct asked *)rq;

	a->result = result;
	a->len = len;
	if (len)
		memcpy(a->out, out, len);
	/* Last: whoever sees that there is one may see it in memory of a child that was killed. */
	__atomic_store_n(&a->answers, a->answers + 1, __ATOMIC_RELEASE);
}

static bool on_waiting(struct request *rq)
{
	(void)rq;
	return true;
}

static struct request *on_sleep(struct request *rq)
{
	((struct asked *)rq)->sleeps = true;
	return rq;
}

static const struct request_ops asked_ops = { .done = on_done,
					      .waiting = on_waiting,
					      .sleep = on_sleep };

static uint64_t next_unique;

static inline void carry_out(const struct side *s, struct asked *a)
{
	a->rq.ops = &asked_ops;
	a->rq.progress = &a->progress;
	a->rq.ends = &a->ends;
	a->rq.tid = gettid();
	a->rq.uid = geteuid();
	a->rq.answered = false;
	switch (a->rq.kind) {
	case REQUEST_IOCTL:
		s->dev->ioctl(s->dev, &a->rq);
		break;
	case REQUEST_READ:
		s->dev->read(s->dev, &a->rq);
		break;
	case REQUEST_WRITE:
		s->dev->write(s->dev, &a->rq);
		break;
	case REQUEST_POLL:
		s->dev->poll(s->dev, &a->rq);
		break;
	}
}

/* Send what is filled in. */
static inline void ask(const struct side *s, struct asked *a)
{
	a->rq.unique = __atomic_add_fetch(&next_unique, 2, __ATOMIC_RELAXED);
	carry_out(s, a);
}

static inline int answer_of(const struct asked *a)
{
	ck_assert_uint_eq(a->answers, 1);
	return a->result;
}

static inline int ioctl_of(const struct side *s, uint64_t fh, uint32_t cmd, const void *arg)
{
	struct asked a = { .rq = { .fh = fh, .cmd = cmd, .arg = (uintptr_t)arg } };

	ask(s, &a);
	return answer_of(&a);
}

static inline int bind_unbound(const struct side *s, uint64_t fh, uint32_t remote)
{
	const struct ioctl_evtchn_bind_unbound_port op = { remote };

	return ioctl_of(s, fh, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &op);
}

static inline int bind_to(const struct side *s, uint64_t fh, uint32_t remote, uint32_t port)
{
	const struct ioctl_evtchn_bind_interdomain op = { remote, port };

	return ioctl_of(s, fh, IOCTL_EVTCHN_BIND_INTERDOMAIN, &op);
}

static inline int bind_virq(const struct side *s, uint64_t fh, uint32_t virq)
{
	const struct ioctl_evtchn_bind_virq op = { virq };

	return ioctl_of(s, fh, IOCTL_EVTCHN_BIND_VIRQ, &op);
}

static inline int unbind(const struct side *s, uint64_t fh, uint32_t port)
{
	const struct ioctl_evtchn_unbind op = { port };

	return ioctl_of(s, fh, IOCTL_EVTCHN_UNBIND, &op);
}

static inline int notify(const struct side *s, uint64_t fh, uint32_t port)
{
	const struct ioctl_evtchn_notify op = { port };

	return ioctl_of(s, fh, IOCTL_EVTCHN_NOTIFY, &op);
}

static inline int restrict_to(const struct side *s, uint64_t fh, uint16_t domid)
{
	const struct ioctl_evtchn_restrict_domid op = { domid };

	return ioctl_of(s, fh, IOCTL_EVTCHN_RESTRICT_DOMID, &op);
}

static inline int reset(const struct side *s, uint64_t fh)
{
	return ioctl_of(s, fh, IOCTL_EVTCHN_RESET, NULL);
}

/* Ask for @size bytes. Return: how many ports were read, or -errno */
static inline int read_ports(const struct side *s, uint64_t fh, size_t size, uint32_t *port)
{
	struct asked a = {
		.rq = { .kind = REQUEST_READ, .fh = fh, .out_len = size, .nonblock = true }
	};

	ask(s, &a);
	if (answer_of(&a))
		return a.result;
	if (port)
		memcpy(port, a.out, a.len);
	return (int)(a.len / sizeof(a.out[0]));
}

/* Nothing but @port is there to be read. */
static inline bool reads(const struct side *s, uint64_t fh, int port)
{
	uint32_t got[8] = { 0 };

	return read_ports(s, fh, sizeof(got), got) == 1 && got[0] == (uint32_t)port;
}

static inline bool reads_nothing(const struct side *s, uint64_t fh)
{
	return read_ports(s, fh, 64, NULL) == -EAGAIN;
}

static inline int write_bytes(const struct side *s, uint64_t fh, const void *buf, size_t size)
{
	struct asked a = { .rq = { .kind = REQUEST_WRITE, .fh = fh, .in = buf, .in_len = size } };

	ask(s, &a);
	return answer_of(&a);
}

static inline int unmask(const struct side *s, uint64_t fh, int port)
{
	const uint32_t p = (uint32_t)port;

	return write_bytes(s, fh, &p, sizeof(p));
}

static inline int poll_of(const struct side *s, uint64_t fh, uint64_t wake)
{
	struct asked a = { .rq = { .kind = REQUEST_POLL, .fh = fh, .wake = wake } };

	ask(s, &a);
	return answer_of(&a);
}

static inline uint64_t open_of(const struct side *s)
{
	const struct opener by = { .tid = gettid(),
				   .uid = geteuid(),
				   .unique =
					   __atomic_add_fetch(&next_unique, 2, __ATOMIC_RELAXED) };
	uint64_t fh = 0;

	ck_assert_int_eq(s->dev->open(s->dev, &by, O_RDWR, &fh), 0);
	ck_assert_uint_ne(fh, 0);
	return fh;
}

/* --- the rig -------------------------------------------------------------------------------------- */

static void on_wake(void *session, uint64_t whom)
{
	struct side *s = session;

	s->wakes++;
	s->woken = whom;
}

static inline void start_side(struct side *s, struct records *records, uint16_t number)
{
	const struct evtchn_config ec = { .name = "xen/evtchn",
					  .sim = sim,
					  .records = records,
					  .number = number,
					  .domid = s->domid };

	ck_assert_int_eq(evtchn_new(&ec, &s->ev), 0);
	s->dev = evtchn_device(s->ev);
	s->dev->wake = on_wake;
	s->dev->session = s;
}

static inline void start_machine(const struct sim_kept *left)
{
	const struct sim_config sc = { .dirfd = dirfd_, .memory_pages = 16, .left = left };
	const char *why;

	ck_assert_msg(!sim_new(&sc, &sim, &why), "%s", why);
}

static inline void make_dir(void)
{
	rcu_thread_enter();
	snprintf(dir, sizeof(dir), "%s/evtchn-test-%d-%x", test_place(), (int)getpid(),
		 test_moment());
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	dirfd_ = open(dir, O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(dirfd_, 0);
}

static inline void remove_dir(void)
{
	close(dirfd_);
	ck_assert_int_eq(rmdir(dir), 0);
	rcu_thread_leave();
}

/* Nothing is bound any more. */
static inline void end_side(struct side *s)
{
	uint32_t port = 0;

	evtchn_close_all(s->ev);
	evtchn_destroy(s->ev);
	ck_assert(!sim_channel_next(sim, s->domid, &port));
}

#endif /* TEST_EVTCHN_RIG_H */
