/* SPDX-License-Identifier: MIT */
/*
 * device/areas.c - several areas of a caller's memory, at one go
 */
#include "device/areas.h"

#include "abi/ioctl.h"

void areas_add(struct areas *a, void *local, uint64_t remote, size_t len)
{
	struct iovec *l = &a->local[a->n], *r = &a->remote[a->n];

	if (a->n && (char *)l[-1].iov_base + l[-1].iov_len == (char *)local &&
	    (uintptr_t)r[-1].iov_base + r[-1].iov_len == remote) {
		l[-1].iov_len += len;
		r[-1].iov_len += len;
		return;
	}
	*l = (struct iovec){ local, len };
	*r = (struct iovec){ (void *)(uintptr_t)remote, len };
	a->n++;
}

bool areas_fetch(const struct areas *a, struct caller *c)
{
	size_t done;

	return caller_fetch_some(c, a->local, a->remote, a->n, &done) == 0 && done == a->n;
}

bool areas_store(const struct areas *a, struct caller *c)
{
	return !a->n || caller_store_some(c, a->local, a->remote, a->n) == a->n;
}

static void add_page(struct probes *p, uint32_t which, uint64_t addr)
{
	if (p->n && addr >> ABI_PAGE_SHIFT == p->page)
		return;
	p->page = addr >> ABI_PAGE_SHIFT;
	p->remote[p->n] = (struct iovec){ (void *)(uintptr_t)addr, 1 };
	p->which[p->n++] = which;
}

void probes_add(struct probes *p, uint32_t which, uint64_t addr, size_t len)
{
	add_page(p, which, addr);
	add_page(p, which, addr + len - 1);
}

uint32_t probes_try(const struct probes *p, struct caller *c, uint32_t none)
{
	unsigned char byte[2 * AREAS_MAX];
	struct iovec local[2 * AREAS_MAX];
	size_t done = 0;

	for (size_t i = 0; i < p->n; i++)
		local[i] = (struct iovec){ &byte[i], 1 };
	if (caller_fetch_some(c, local, p->remote, p->n, &done))
		done = 0;
	if (done)
		done = caller_store_some(c, local, p->remote, done);
	return done < p->n ? p->which[done] : none;
}
