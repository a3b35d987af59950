/* SPDX-License-Identifier: MIT */
/*
 * evtchn/evtchn.c - the device xen/evtchn: opens, their ports, the ioctls
 *
 * Ports are the domain's, and each is of one open. A port that is closed while somebody else refers to it (an unmap notification of
 * xen/gntdev or xen/gntalloc) stays bound until that is over, as in the driver; its open has nothing more to do with it.
 *
 * What lasts: an open has a record, and so has each port. A port is bound in the machine first, then its record is made, with
 * the number of the request; a port without a record is nobody's, and closed at adoption. It ends the other way round. So a bind
 * that is executed again either finds its port, or there is nothing of it; what is at the other end is unbound again then. An
 * unbind stores whose port it found (its progress) before that goes. A notification that is executed again sends once more.
 *
 * One mutex guards a device: also while an answer is written, but not while an event is sent, which may take the mutex of another
 * device, or of this one. The machine's locks come after it, those of xen/gntalloc before it.
 */
#include "evtchn/evtchn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "abi/xen.h"
#include "base/log.h"
#include "base/rcu.h"
#include "base/step.h"
#include "device/dispatch.h"
#include "evtchn/impl.h"

/* Needs domid_t of abi/xen.h. */
#include <xen/sys/evtchn.h>

/* Cells of records that do not outlast us. */
#define RECORDS_OWN (1U << 18)

/* More than is taken of a write: what follows the first part would come as a write of its own. */
#define WRITE_MAX 8192U

static struct evtchn *to_evtchn(struct device *dev)
{
	return (struct evtchn *)dev;
}

/* --- opens -------------------------------------------------------------------------------------- */

struct evtchn_open *evtchn_get(struct evtchn *ev, uint64_t fh)
{
	struct evtchn_open *o;

	rcu_read_enter();
	o = ids_get(ev->opens, fh);
	rcu_read_leave();
	return o;
}

static void free_open(struct evtchn *ev, struct evtchn_open *o)
{
	if (o->record)
		record_end(ev->records, o->record);
	if (o->user)
		quota_close(ev->quota, o->user);
	free(o);
}

/* Return: 0; -ENOSPC: the user has as many as one may, and is told; -ENOMEM. */
static int make_open(struct evtchn *ev, struct evtchn_open *o, const struct opener *by)
{
	struct failure f = failure_of(WHY_OPENS, TRACE_OPEN, by->tid, ENOSPC);
	const char *limit;

	CDS_INIT_LIST_HEAD(&o->ports);
	CDS_INIT_LIST_HEAD(&o->sleepers);
	o->user = quota_open(ev->quota, by->uid, QUOTA_NO_OWNER, &ev->limits, &limit);
	if (!o->user && limit) {
		f.uid = by->uid;
		failure_report(&f, "open of %s: %s (ENOSPC)", ev->dev.name,
			       failure_reason_cause(f.why));
		return -ENOSPC;
	}
	o->record = o->user ? record_new(ev->records, sizeof(*o->last)) : 0;
	if (!o->record)
		return -ENOMEM;
	o->last = record_head(ev->records, o->record);
	return 0;
}

static int open_anew(struct evtchn *ev, const struct opener *by, uint64_t *fh)
{
	struct evtchn_open *o = calloc(1, sizeof(*o));
	int err = o ? make_open(ev, o, by) : -ENOMEM;

	*fh = err ? 0 : ids_reserve(ev->opens);
	if (!*fh) {
		if (o)
			free_open(ev, o);
		return err ? err : -ENOMEM;
	}
	*o->last = (struct evtchn_open_lasting){
		.fh = *fh, .maker = by->unique, .user = by->uid, .number = ev->number
	};
	record_commit(ev->records, o->record, RECORD_EVTCHN_OPEN);
	ids_publish(ev->opens, *fh, o);
	step(evtchn_open_recorded);
	log_debug("client %d opened %s as %016" PRIx64, (int)by->tid, ev->dev.name, *fh);
	return 0;
}

static void match_maker(uint64_t id, void *obj, void *arg)
{
	const struct evtchn_open *o = obj;
	struct evtchn_open_lasting *wanted = arg;

	if (o->last->maker == wanted->maker)
		wanted->fh = id;
}

/* Return: what the request has opened before; 0: nothing. */
static uint64_t opened_before(struct evtchn *ev, uint64_t unique)
{
	struct evtchn_open_lasting wanted = { .maker = unique };

	rcu_read_enter();
	pthread_mutex_lock(&ev->lock);
	ids_for_each(ev->opens, match_maker, &wanted);
	pthread_mutex_unlock(&ev->lock);
	rcu_read_leave();
	return wanted.fh;
}

static int evtchn_open(struct device *dev, const struct opener *by, int flags, uint64_t *fh)
{
	struct evtchn *ev = to_evtchn(dev);

	(void)flags;
	*fh = by->again ? opened_before(ev, by->unique) : 0;
	return *fh ? 0 : open_anew(ev, by, fh);
}

void evtchn_unlist(struct evtchn *ev, struct evtchn_port *p)
{
	ev->port[p->last->port] = NULL;
	cds_list_del(&p->node);
	p->open->n_ports--;
	record_end(ev->records, p->record);
	free(p);
}

static void end_port(struct evtchn *ev, struct evtchn_port *p)
{
	uint32_t port = p->last->port;

	evtchn_unlist(ev, p);
	step(evtchn_port_ended);
	sim_port_unbind(ev->sim, ev->domid, port);
}

/* Its ports end after its record: a port whose open has gone is closed at adoption. */
static void end_open(struct evtchn *ev, struct evtchn_open *o, uint64_t fh)
{
	uint32_t ring = o->last->ring;
	struct evtchn_port *p, *next;

	record_end(ev->records, o->record);
	/* In this order: no two records have one slot. */
	ids_free(ev->opens, fh);
	step(evtchn_open_ended);
	record_end(ev->records, ring);
	cds_list_for_each_entry_safe(p, next, &o->ports, node)
	{
		end_port(ev, p);
	}
}

static void evtchn_release(struct device *dev, uint64_t fh)
{
	struct evtchn *ev = to_evtchn(dev);
	struct evtchn_open *o;

	pthread_mutex_lock(&ev->lock);
	o = ids_retire(ev->opens, fh);
	if (o) {
		ring_end_sleepers(o, -ECONNABORTED);
		end_open(ev, o, fh);
	}
	pthread_mutex_unlock(&ev->lock);
	/* Whoever looks it up looks under the lock, after it was removed: nobody has it. */
	if (o)
		quota_close(ev->quota, o->user);
	free(o);
}

/* --- binding ------------------------------------------------------------------------------------ */

/**
 * struct wish - what a port is to be bound to
 * @bind: how, as told by the machine. Return: the port or -errno
 */
struct wish {
	int (*bind)(const struct evtchn *ev, const struct wish *w);
	uint32_t remote;
	uint32_t port;
	uint32_t virq;
};

static int bind_virq(const struct evtchn *ev, const struct wish *w)
{
	return sim_channel_virq(ev->sim, ev->domid, w->virq);
}

/* Xen's domids have 16 bits. */
static int bind_interdomain(const struct evtchn *ev, const struct wish *w)
{
	return sim_channel_interdomain(ev->sim, ev->domid, (uint16_t)w->remote, w->port);
}

static int bind_unbound(const struct evtchn *ev, const struct wish *w)
{
	return sim_channel_unbound(ev->sim, ev->domid, (uint16_t)w->remote);
}

/* Executed again: what it has bound before. */
static struct evtchn_port *bound_before(const struct evtchn_open *o, const struct request *rq)
{
	struct evtchn_port *p;

	if (!rq->again)
		return NULL;
	cds_list_for_each_entry(p, &o->ports, node)
		if (p->last->maker == rq->unique)
			return p;
	return NULL;
}

static void list_port(struct evtchn *ev, struct evtchn_open *o, struct evtchn_port *p,
		      uint32_t port)
{
	/* One that the machine has closed with its domain, which is there again. */
	if (ev->port[port])
		evtchn_unlist(ev, ev->port[port]);
	p->last->port = port;
	record_commit(ev->records, p->record, RECORD_EVTCHN_PORT);
	step(evtchn_port_recorded);
	p->open = o;
	ev->port[port] = p;
	cds_list_add_tail(&p->node, &o->ports);
	o->n_ports++;
	/* Whoever is at the other end may have sent at once. */
	ring_deliver(ev, p, false);
}

/* Return: the port or -errno. */
static int bind_anew(struct evtchn *ev, struct evtchn_open *o, const struct request *rq,
		     const struct wish *w)
{
	struct evtchn_port *p = calloc(1, sizeof(*p));
	int port = -ENOMEM;

	if (!p)
		return -ENOMEM;
	p->record = record_new(ev->records, sizeof(*p->last));
	if (p->record && !ring_fit(ev, o, o->n_ports + 1))
		port = w->bind(ev, w);
	if (port < 0) {
		record_end(ev->records, p->record);
		free(p);
		return port == -ENOENT ? -ESRCH : port;
	}
	step(evtchn_port_bound);
	p->last = record_head(ev->records, p->record);
	*p->last = (struct evtchn_port_lasting){
		.fh = o->last->fh, .maker = rq->unique, .number = ev->number, .enabled = 1
	};
	list_port(ev, o, p, (uint32_t)port);
	return port;
}

static enum failure_reason why_not(int err)
{
	switch (err) {
	case -ESRCH:
		return WHY_PORT_NO_DOMAIN;
	case -EINVAL:
		return WHY_PORT_NOT_UNBOUND;
	case -ENOSPC:
		return WHY_PORT_NONE_FREE;
	case -EEXIST:
		return WHY_VIRQ_BOUND;
	default:
		return WHY_NO_MEMORY;
	}
}

static int bind_port(struct device *dev, struct ioctl_call *call, const struct wish *w)
{
	struct evtchn *ev = to_evtchn(dev);
	const struct request *rq = call->c.rq;
	const struct evtchn_port *p;
	struct evtchn_open *o;
	int port;

	pthread_mutex_lock(&ev->lock);
	o = evtchn_get(ev, rq->fh);
	p = o ? bound_before(o, rq) : NULL;
	if (p)
		port = (int)p->last->port;
	else
		port = o ? bind_anew(ev, o, rq, w) : -EBADF;
	pthread_mutex_unlock(&ev->lock);
	if (port > 0)
		call->result = port;
	return port < 0 ? port : 0;
}

/* Return: the only domain that it may bind to; 0: any. */
static uint16_t restricted(struct evtchn *ev, uint64_t fh)
{
	const struct evtchn_open *o;
	uint16_t domid;

	pthread_mutex_lock(&ev->lock);
	o = evtchn_get(ev, fh);
	domid = o ? o->last->restricted : 0;
	pthread_mutex_unlock(&ev->lock);
	return domid;
}

static int refuse_restricted(struct device *dev, struct ioctl_call *call)
{
	uint16_t domid = restricted(to_evtchn(dev), call->c.rq->fh);

	return domid ? caller_why(&call->c, -EACCES, WHY_PORT_RESTRICTED,
				  "this open may bind to domain %u only", domid)
		     : 0;
}

static int ioctl_virq(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_evtchn_bind_virq *op = arg;
	int err = bind_port(dev, call, &(struct wish){ .bind = bind_virq, .virq = op->virq });

	if (err == -EINVAL)
		return caller_why(&call->c, err, WHY_VIRQ, "VIRQ %u: there are %u", op->virq,
				  SIM_VIRQS);
	return err ? caller_why(&call->c, err, why_not(err), "VIRQ %u", op->virq) : 0;
}

static int ioctl_interdomain(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_evtchn_bind_interdomain *op = arg;
	uint16_t only = restricted(to_evtchn(dev), call->c.rq->fh);
	int err;

	if (only && only != op->remote_domain)
		return caller_why(&call->c, -EACCES, WHY_PORT_RESTRICTED,
				  "domain %u: this open may bind to domain %u only",
				  op->remote_domain, only);
	err = bind_port(dev, call,
			&(struct wish){ .bind = bind_interdomain,
					.remote = op->remote_domain,
					.port = op->remote_port });
	return err ? caller_why(&call->c, err, why_not(err), "port %u of domain %u",
				op->remote_port, op->remote_domain)
		   : 0;
}

static int ioctl_unbound(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_evtchn_bind_unbound_port *op = arg;
	int err = bind_port(dev, call,
			    &(struct wish){ .bind = bind_unbound, .remote = op->remote_domain });

	return err ? caller_why(&call->c, err, why_not(err), "for domain %u", op->remote_domain)
		   : 0;
}

/* --- other ioctls ------------------------------------------------------------------------------- */

/* Under the lock. */
static struct evtchn_port *own_port(struct evtchn *ev, uint64_t fh, uint32_t port)
{
	struct evtchn_port *p = port <= SIM_PORT_MAX ? ev->port[port] : NULL;

	return p && p->last->fh == fh ? p : NULL;
}

static int not_ours(struct ioctl_call *call, uint32_t port)
{
	return caller_why(&call->c, -ENOTCONN, WHY_PORT_NOT_OURS, "event channel %u", port);
}

/* Its progress is who had bound the port: that one is to go, and no other that has its number later. */
static bool unbind(struct evtchn *ev, const struct request *rq, uint32_t port)
{
	struct evtchn_port *p = own_port(ev, rq->fh, port);

	if (rq->again && *rq->progress && (!p || p->last->maker != *rq->progress))
		return true;
	if (!p)
		return false;
	LAST(*rq->progress, p->last->maker);
	step(evtchn_unbind_begun);
	end_port(ev, p);
	return true;
}

static int ioctl_unbind(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_evtchn_unbind *op = arg;
	struct evtchn *ev = to_evtchn(dev);
	bool found;

	if (op->port > SIM_PORT_MAX)
		return caller_why(&call->c, -EINVAL, WHY_PORT_NOT_OURS,
				  "event channel %u: the last one that can be is %u", op->port,
				  SIM_PORT_MAX);
	pthread_mutex_lock(&ev->lock);
	found = unbind(ev, call->c.rq, op->port);
	pthread_mutex_unlock(&ev->lock);
	return found ? 0 : not_ours(call, op->port);
}

/* What Xen says of it is nobody's business, as in the driver. */
static int ioctl_notify(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_evtchn_notify *op = arg;
	struct evtchn *ev = to_evtchn(dev);
	bool found;

	pthread_mutex_lock(&ev->lock);
	found = own_port(ev, call->c.rq->fh, op->port);
	pthread_mutex_unlock(&ev->lock);
	if (!found)
		return not_ours(call, op->port);
	sim_port_send(ev->sim, ev->domid, op->port);
	return 0;
}

static int ioctl_reset(struct device *dev, struct ioctl_call *call, void *arg)
{
	struct evtchn *ev = to_evtchn(dev);
	struct evtchn_open *o;

	(void)arg;
	pthread_mutex_lock(&ev->lock);
	o = evtchn_get(ev, call->c.rq->fh);
	if (o)
		ring_reset(o);
	pthread_mutex_unlock(&ev->lock);
	return o ? 0 : caller_reason(&call->c, -EBADF, WHY_CLOSED);
}

/* Executed again it may meet itself. */
static bool meets_itself(const struct request *rq)
{
	return rq->again && *rq->progress;
}

static int refuse_again(struct device *dev, struct ioctl_call *call)
{
	return meets_itself(call->c.rq) ? 0 : refuse_restricted(dev, call);
}

static int ioctl_restrict(struct device *dev, struct ioctl_call *call, void *arg)
{
	const struct ioctl_evtchn_restrict_domid *op = arg;
	struct evtchn *ev = to_evtchn(dev);
	struct evtchn_open *o;
	bool late;

	if (!op->domid || op->domid >= DOMID_FIRST_RESERVED)
		return caller_why(&call->c, -EINVAL, WHY_PORT_NO_DOMAIN, "domain %u", op->domid);
	pthread_mutex_lock(&ev->lock);
	o = evtchn_get(ev, call->c.rq->fh);
	/* Another of the same open may have been quicker since that was looked at. */
	late = o && o->last->restricted && !meets_itself(call->c.rq);
	if (o && !o->last->restricted) {
		LAST(*call->c.rq->progress, 1);
		LAST(o->last->restricted, op->domid);
	}
	pthread_mutex_unlock(&ev->lock);
	if (late)
		return refuse_restricted(dev, call);
	return o ? 0 : caller_reason(&call->c, -EBADF, WHY_CLOSED);
}

/* Numbers are of no size class that would differ for 32-bit callers, but the driver has no ioctls for them. */
static const struct ioctl_row rows[] = {
	{ IOCTL_CMD(IOCTL_EVTCHN_BIND_VIRQ), TRACE_OTHER_IOCTL, "BIND_VIRQ", .fn = ioctl_virq,
	  .first = refuse_restricted },
	{ IOCTL_CMD(IOCTL_EVTCHN_BIND_INTERDOMAIN), TRACE_OTHER_IOCTL, "BIND_INTERDOMAIN",
	  .fn = ioctl_interdomain },
	{ IOCTL_CMD(IOCTL_EVTCHN_BIND_UNBOUND_PORT), TRACE_OTHER_IOCTL, "BIND_UNBOUND_PORT",
	  .fn = ioctl_unbound, .first = refuse_restricted },
	{ IOCTL_CMD(IOCTL_EVTCHN_UNBIND), TRACE_OTHER_IOCTL, "UNBIND", .fn = ioctl_unbind },
	{ IOCTL_CMD(IOCTL_EVTCHN_NOTIFY), TRACE_OTHER_IOCTL, "NOTIFY", .fn = ioctl_notify },
	{ IOCTL_CMD(IOCTL_EVTCHN_RESET), TRACE_OTHER_IOCTL, "RESET", .fn = ioctl_reset },
	{ IOCTL_CMD(IOCTL_EVTCHN_RESTRICT_DOMID), TRACE_OTHER_IOCTL, "RESTRICT_DOMID",
	  .fn = ioctl_restrict, .first = refuse_again },
};

static const struct ioctl_table ioctls = { .row = rows,
					   .n = sizeof(rows) / sizeof(rows[0]),
					   .named = true };

static void evtchn_ioctl(struct device *dev, struct request *rq)
{
	ioctl_dispatch(&ioctls, dev, rq);
}

/* --- the device --------------------------------------------------------------------------------- */

/* The machine tells that an event waits at a port. */
static void on_pending(uint32_t port, void *arg)
{
	struct evtchn *ev = arg;

	pthread_mutex_lock(&ev->lock);
	if (ev->port[port])
		ring_deliver(ev, ev->port[port], false);
	pthread_mutex_unlock(&ev->lock);
}

/* What lasts of the device itself; a predecessor may have been killed before it had made one. Return: 0 or -ENOMEM. */
static int find_record(struct evtchn *ev)
{
	uint32_t cursor = 0, record;

	while ((record = record_next(ev->records, RECORD_EVTCHN, &cursor))) {
		ev->last = record_head(ev->records, record);
		if (ev->last->number == ev->number)
			return 0;
	}
	record = record_new(ev->records, sizeof(*ev->last));
	if (!record)
		return -ENOMEM;
	ev->last = record_head(ev->records, record);
	ev->last->number = ev->number;
	record_commit(ev->records, record, RECORD_EVTCHN);
	return 0;
}

static int init(struct evtchn *ev, const struct evtchn_config *config)
{
	int err = config->records ? 0 : records_new(RECORDS_OWN, &ev->own_records);

	ev->sim = config->sim;
	ev->domid = config->domid;
	ev->number = config->number;
	ev->records = config->records ? config->records : ev->own_records;
	if (!err)
		err = find_record(ev);
	ev->opens = ids_new();
	ev->quota = quota_new();
	policy_limits_default(&ev->limits);
	if (!err && (!ev->opens || !ev->quota))
		err = -ENOMEM;
	if (!err)
		ids_last(ev->opens, &ev->last->generations);
	return err;
}

int evtchn_new(const struct evtchn_config *config, struct evtchn **out)
{
	struct evtchn *ev;
	int err = sim_domain_add(config->sim, config->domid);

	/* One that is dying has no ports any more, but is not in the way of an adoption. */
	if (err && err != -EEXIST && err != -EBUSY)
		return err;
	ev = calloc(1, sizeof(*ev));
	if (!ev)
		return -ENOMEM;
	pthread_mutex_init(&ev->lock, NULL);
	ev->dev = (struct device){
		.name = config->name,
		.open = evtchn_open,
		.ioctl = evtchn_ioctl,
		.read = evtchn_read,
		.write = evtchn_write,
		.poll = evtchn_poll,
		.write_max = WRITE_MAX,
		.interrupted = evtchn_interrupted,
		.release = evtchn_release,
	};
	err = init(ev, config);
	if (err) {
		evtchn_destroy(ev);
		return err;
	}
	sim_channel_handler(ev->sim, ev->domid, on_pending, ev);
	*out = ev;
	return 0;
}

struct device *evtchn_device(struct evtchn *ev)
{
	return &ev->dev;
}

static void take_id(uint64_t id, void *obj, void *arg)
{
	uint64_t *found = arg;

	(void)obj;
	*found = id;
}

void evtchn_close_all(struct evtchn *ev)
{
	uint64_t id;

	do {
		id = 0;
		rcu_read_enter();
		ids_for_each(ev->opens, take_id, &id);
		rcu_read_leave();
		if (id)
			evtchn_release(&ev->dev, id);
	} while (id);
}

void evtchn_destroy(struct evtchn *ev)
{
	if (ev->sim)
		sim_channel_handler(ev->sim, ev->domid, NULL, NULL);
	ids_destroy(ev->opens);
	quota_destroy(ev->quota);
	records_close(ev->own_records);
	pthread_mutex_destroy(&ev->lock);
	free(ev);
}
