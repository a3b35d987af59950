/* SPDX-License-Identifier: MIT */
/*
 * report/hvwatch.c - a hypervisor that tells what is asked of another one
 */
#include "report/hvwatch.h"

#include <stdlib.h>

#include "abi/ioctl.h"
#include "report/failure.h"
#include "report/trace.h"

/* @hv: first, so that a struct hypervisor leads back here */
struct watch {
	struct hypervisor hv;
	struct hypervisor *below;
};

static struct hypervisor *below(struct hypervisor *hv)
{
	return ((struct watch *)hv)->below;
}

/* An operation's outcome: the first that failed stands for all of them. */
static void took(struct trace_event *ev, int status, uint16_t domid, uint32_t ref)
{
	if (status == GNTST_okay || status == HV_PENDING)
		return;
	failure_saw_status(status);
	if (ev->result++ > 0)
		return;
	ev->status = status;
	ev->domid = domid;
	ev->ref = ref;
}

/* @result: what the call returned. The event is that of a failed call, or counts its failed operations. */
static void told(struct trace_event *ev, int result)
{
	if (result < 0)
		ev->result = result;
	trace_end(ev);
}

/* @status: of those that are to be mapped or unmapped; the others are none of the call's. */
static struct trace_event begin_grants(enum trace_op op, const struct hv_grant *g, size_t n,
				       int status)
{
	struct trace_event ev = trace_begin(op);

	for (size_t i = n; i--;) {
		if (g[i].status != status)
			continue;
		ev.count++;
		ev.domid = g[i].domid;
		ev.ref = g[i].ref;
	}
	return ev;
}

static int watch_map(struct hypervisor *hv, struct hv_grant *g, size_t n, const struct hv_place *at)
{
	struct trace_event ev = begin_grants(TRACE_HV_MAP, g, n, HV_PENDING);
	int result = below(hv)->ops->map(below(hv), g, n, at);

	ev.open_id = at->open_id;
	ev.index = at->first << ABI_PAGE_SHIFT;
	for (size_t i = 0; !result && i < n; i++)
		took(&ev, g[i].status, g[i].domid, g[i].ref);
	told(&ev, result);
	return result;
}

static int watch_unmap(struct hypervisor *hv, struct hv_grant *g, size_t n)
{
	struct trace_event ev = begin_grants(TRACE_HV_UNMAP, g, n, GNTST_okay);
	int result = below(hv)->ops->unmap(below(hv), g, n);

	/* Nothing is asked of Xen where nothing is mapped. */
	if (!ev.count)
		return result;
	/* Unmapped is pending again; what is still okay was not reached. */
	for (size_t i = 0; result > 0 && i < n; i++)
		took(&ev, g[i].status, g[i].domid, g[i].ref);
	told(&ev, result);
	return result;
}

static int watch_copy(struct hypervisor *hv, struct hv_copy *c, size_t n)
{
	struct trace_event ev = trace_begin(TRACE_HV_COPY);
	const struct hv_copy_ref *r = c->src_local ? &c->dst : &c->src;
	int result;

	for (size_t i = 0; i < n; i++)
		ev.count += c[i].status == HV_PENDING;
	ev.domid = r->domid;
	ev.ref = r->ref;
	result = below(hv)->ops->copy(below(hv), c, n);
	for (size_t i = 0; i < n; i++) {
		r = c[i].src_local ? &c[i].dst : &c[i].src;
		took(&ev, c[i].status, r->domid, r->ref);
	}
	told(&ev, result);
	return result;
}

static void *watch_pages_get(struct hypervisor *hv)
{
	return below(hv)->ops->pages_get ? below(hv)->ops->pages_get(below(hv)) : NULL;
}

static void watch_pages_put(struct hypervisor *hv, void *pages)
{
	below(hv)->ops->pages_put(below(hv), pages);
}

static void watch_clear_byte(struct hypervisor *hv, const struct hv_grant *g, unsigned int offset)
{
	below(hv)->ops->clear_byte(below(hv), g, offset);
}

static int watch_window_open(struct hypervisor *hv, int dirfd, const char *name,
			     const struct hv_grant *g, size_t n, const struct hv_place *at)
{
	return below(hv)->ops->window_open(below(hv), dirfd, name, g, n, at);
}

static int watch_port_get(struct hypervisor *hv, uint32_t port, pid_t tid)
{
	return below(hv)->ops->port_get(below(hv), port, tid);
}

static void watch_port_put(struct hypervisor *hv, uint32_t port)
{
	below(hv)->ops->port_put(below(hv), port);
}

static int watch_port_send(struct hypervisor *hv, uint32_t port)
{
	struct trace_event ev = trace_begin(TRACE_HV_SEND);
	int result = below(hv)->ops->port_send(below(hv), port);

	ev.index = port;
	ev.count = 1;
	told(&ev, result);
	return result;
}

static void watch_counts(struct hypervisor *hv, struct hv_counts *c)
{
	below(hv)->ops->counts(below(hv), c);
}

static void watch_limit_away(struct hypervisor *hv, uint64_t pages)
{
	if (below(hv)->ops->limit_away)
		below(hv)->ops->limit_away(below(hv), pages);
}

static void watch_open_gone(struct hypervisor *hv, uint64_t open_id)
{
	below(hv)->ops->open_gone(below(hv), open_id);
}

static const char *watch_tend(struct hypervisor *hv)
{
	return below(hv)->ops->tend(below(hv));
}

/* What a predecessor has mapped was told of then. */
static int watch_adopt(struct hypervisor *hv, struct hv_grant *g, size_t n,
		       const struct hv_place *at, bool leaving)
{
	return below(hv)->ops->adopt(below(hv), g, n, at, leaving);
}

static int watch_adopted(struct hypervisor *hv)
{
	return below(hv)->ops->adopted(below(hv));
}

static void watch_destroy(struct hypervisor *hv)
{
	below(hv)->ops->destroy(below(hv));
	free(hv);
}

static const struct hypervisor_ops watch_ops = {
	.map = watch_map,
	.unmap = watch_unmap,
	.copy = watch_copy,
	.pages_get = watch_pages_get,
	.pages_put = watch_pages_put,
	.clear_byte = watch_clear_byte,
	.window_open = watch_window_open,
	.port_get = watch_port_get,
	.port_put = watch_port_put,
	.port_send = watch_port_send,
	.counts = watch_counts,
	.limit_away = watch_limit_away,
	.open_gone = watch_open_gone,
	.tend = watch_tend,
	.adopt = watch_adopt,
	.adopted = watch_adopted,
	.destroy = watch_destroy,
};

struct hypervisor *hvwatch_new(struct hypervisor *of)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->hv = (struct hypervisor){ .ops = &watch_ops, .name = of->name, .pages = of->pages };
	w->below = of;
	return &w->hv;
}
