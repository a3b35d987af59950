/* SPDX-License-Identifier: MIT */
/*
 * xen/fake_xen.c - a small Xen in memory
 */
#include "tests/unit/xen/fake_xen.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES 4096

struct fake *fake;
void (*fake_at_call)(enum fake_call call);
int fake_pins_pipe[2] = { -1, -1 };

/* Of this process. */
pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
unsigned char *fake_bounce;

void fake_wrong(const char *format, ...)
{
	va_list ap;

	if (fake->wrong[0])
		return;
	va_start(ap, format);
	vsnprintf(fake->wrong, sizeof(fake->wrong), format, ap);
	va_end(ap);
}

/* --- the machine ---------------------------------------------------------------------------------- */

static void grant_all(struct fake_guest *g)
{
	for (uint32_t ref = 0; ref < FAKE_REFS; ref++) {
		if (g->version == 1)
			g->table.v1[ref] = (struct grant_entry_v1){
				.flags = GTF_permit_access,
				.frame = (uint32_t)FAKE_FRAME(ref),
			};
		else
			g->table.v2[ref].full_page = (__typeof__(g->table.v2[ref].full_page)){
				.hdr.flags = GTF_permit_access,
				.frame = FAKE_FRAME(ref),
			};
	}
}

void fake_new(bool translated, uint32_t version)
{
	fake = mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(fake, MAP_FAILED);
	fake->tester = getpid();
	fake->translated = translated;
	fake->reservation = FAKE_FRAMES;
	for (uint32_t i = 0; i < FAKE_HANDLES; i++)
		fake->free_handle[i] = FAKE_HANDLES - 1 - i;
	fake->n_free_handles = FAKE_HANDLES;
	for (int i = 0; i < FAKE_GUESTS; i++) {
		fake->guest[i].version = version;
		grant_all(&fake->guest[i]);
		memset(fake->guest[i].memory, 'a' + i, sizeof(fake->guest[i].memory));
	}
	fake_heal();
	ck_assert_int_eq(pipe2(fake_pins_pipe, O_CLOEXEC), 0);
}

void fake_free(void)
{
	for (int i = 0; i < 2; i++)
		if (fake_pins_pipe[i] >= 0)
			close(fake_pins_pipe[i]);
	fake_pins_pipe[0] = fake_pins_pipe[1] = -1;
	munmap(fake, sizeof(*fake));
	fake = NULL;
}

struct fake_guest *fake_guest(uint16_t domid)
{
	return domid >= FAKE_FIRST && domid < FAKE_FIRST + FAKE_GUESTS
		       ? &fake->guest[domid - FAKE_FIRST]
		       : NULL;
}

static uint16_t *flags_of(struct fake_guest *g, uint32_t ref)
{
	return g->version == 1 ? &g->table.v1[ref].flags : &g->table.v2[ref].hdr.flags;
}

void fake_end_grant(uint16_t domid, uint32_t ref)
{
	*flags_of(fake_guest(domid), ref) = 0;
}

void fake_readonly(uint16_t domid, uint32_t ref)
{
	*flags_of(fake_guest(domid), ref) |= GTF_readonly;
}

/* --- faults ------------------------------------------------------------------------------------- */

void fake_refuse(enum fake_call call, uint32_t skip, uint32_t times, int status)
{
	fake->refuse[call].skip = skip;
	fake->refuse[call].times = times;
	fake->refuse[call].status = status;
}

void fake_break(enum fake_call call, uint32_t after, long err)
{
	fake->broken[call].after = after;
	fake->broken[call].err = err;
}

void fake_heal(void)
{
	memset(fake->refuse, 0, sizeof(fake->refuse));
	memset(fake->broken, 0, sizeof(fake->broken));
	fake->frames = fake->take = fake->handle_max = FAKE_FRAMES;
	fake->pin_error = fake->node_error = fake->share_error = 0;
	fake->table_fail = UINT32_MAX;
	fake->die_at = UINT64_MAX;
}

/* The status that the next operation is to get, or 0. */
static int refused(enum fake_call call)
{
	if (!fake->refuse[call].times)
		return 0;
	if (fake->refuse[call].skip) {
		fake->refuse[call].skip--;
		return 0;
	}
	fake->refuse[call].times--;
	return fake->refuse[call].status;
}

static void die_here(void)
{
	if (fake->steps++ != fake->die_at || getpid() != fake->victim)
		return;
	/* The keeper finds a Xen in good health. */
	fake_heal();
	pthread_mutex_unlock(&fake_lock);
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* Before each operation. Return: 0, or -errno with which the call ends. */
static long step(enum fake_call call)
{
	die_here();
	if (!fake->broken[call].err)
		return 0;
	if (fake->broken[call].after) {
		fake->broken[call].after--;
		return 0;
	}
	long err = fake->broken[call].err;

	fake->broken[call].err = 0;
	return err;
}

/*
 * run() - a hypercall
 * @one: does operation @i; false ends the call there
 *
 * Return: how many were done; -errno.
 */
static long run(enum fake_call call, size_t n, bool (*one)(void *ops, size_t i), void *ops)
{
	long err = 0;
	size_t i;

	/* A keeper does not outlive a test that has failed. */
	if (kill(fake->tester, 0))
		_exit(1);
	if (fake_at_call)
		fake_at_call(call);
	pthread_mutex_lock(&fake_lock);
	fake->calls[call]++;
	for (i = 0; i < n && !(err = step(call)); i++) {
		fake->ops[call]++;
		if (!one(ops, i))
			break;
	}
	die_here();
	pthread_mutex_unlock(&fake_lock);
	return err ? err : (long)i;
}

/* --- grants ------------------------------------------------------------------------------------- */

static struct fake_pfn *pfn_of(uint64_t number)
{
	return number >= FAKE_PFN_0 && number < FAKE_PFN_0 + FAKE_PFNS
		       ? &fake->pfn[number - FAKE_PFN_0]
		       : NULL;
}

/* What Xen checks, in its order. */
static int may_map(const struct gnttab_map_grant_ref *op)
{
	struct fake_guest *g = fake_guest(op->dom);

	if (!g)
		return GNTST_bad_domain;
	if (!fake->n_free_handles || fake->handles >= fake->handle_max)
		return GNTST_no_space;
	if (op->ref >= FAKE_REFS)
		return GNTST_bad_gntref;
	if (!(*flags_of(g, op->ref) & GTF_permit_access))
		return GNTST_general_error;
	if (*flags_of(g, op->ref) & GTF_readonly && !(op->flags & GNTMAP_readonly))
		return GNTST_general_error;
	return GNTST_okay;
}

static void enter(struct gnttab_map_grant_ref *op)
{
	uint32_t i = fake->free_handle[--fake->n_free_handles];

	op->handle = FAKE_HANDLE_0 + i;
	op->dev_bus_addr = FAKE_MACHINE(FAKE_FRAME(op->ref)) * PAGE_BYTES;
	fake->handle[i] = (struct fake_handle){
		.used = true,
		.readonly = op->flags & GNTMAP_readonly,
		.domid = op->dom,
		.ref = op->ref,
		.addr = fake->translated ? op->host_addr : op->dev_bus_addr,
	};
	fake->handles++;
	fake_guest(op->dom)->mapped[op->ref]++;
}

/* The grant appears at a page of dom0's, which should have no frame then. */
static void show(const struct gnttab_map_grant_ref *op)
{
	struct fake_pfn *p = pfn_of(op->host_addr / PAGE_BYTES);

	if (!p || op->host_addr % PAGE_BYTES) {
		fake_wrong("mapped a grant at 0x%llx", (unsigned long long)op->host_addr);
		return;
	}
	if (p->state != FAKE_HOLE || !p->pin)
		fake_wrong("mapped a grant over a page in state %d, pin %u", (int)p->state, p->pin);
	p->state = FAKE_GRANT;
	p->handle = op->handle;
}

static bool map_one(void *ops, size_t i)
{
	struct gnttab_map_grant_ref *op = (struct gnttab_map_grant_ref *)ops + i;
	const uint32_t kind = fake->translated ? GNTMAP_host_map : GNTMAP_device_map;

	if ((op->flags & ~(uint32_t)GNTMAP_readonly) != kind || op->status != JOURNAL_PENDING ||
	    (!fake->translated && op->host_addr))
		fake_wrong("map with flags 0x%x, status %d", op->flags, op->status);
	op->status = (int16_t)refused(FAKE_MAP);
	if (op->status == GNTST_okay)
		op->status = (int16_t)may_map(op);
	if (op->status != GNTST_okay)
		return true;
	enter(op);
	if (fake->translated)
		show(op);
	return true;
}

static int unmap(const struct gnttab_unmap_grant_ref *op)
{
	uint64_t addr = fake->translated ? op->host_addr : op->dev_bus_addr;
	uint32_t i = op->handle - FAKE_HANDLE_0;

	if (i >= FAKE_HANDLES || !fake->handle[i].used) {
		fake->bad_handles++;
		return GNTST_bad_handle;
	}
	if (addr != fake->handle[i].addr)
		return GNTST_general_error;
	if (fake->translated)
		pfn_of(addr / PAGE_BYTES)->state = FAKE_HOLE;
	fake->handle[i].used = false;
	fake->free_handle[fake->n_free_handles++] = i;
	fake->handles--;
	fake_guest(fake->handle[i].domid)->mapped[fake->handle[i].ref]--;
	return GNTST_okay;
}

static bool unmap_one(void *ops, size_t i)
{
	struct gnttab_unmap_grant_ref *op = (struct gnttab_unmap_grant_ref *)ops + i;

	if (fake->translated ? op->dev_bus_addr || !op->host_addr
			     : op->host_addr || !op->dev_bus_addr)
		fake_wrong("unmap of host address 0x%llx, bus address 0x%llx",
			   (unsigned long long)op->host_addr, (unsigned long long)op->dev_bus_addr);
	op->status = (int16_t)refused(FAKE_UNMAP);
	if (op->status == GNTST_okay)
		op->status = (int16_t)unmap(op);
	return true;
}

static bool version_one(void *ops, size_t i)
{
	struct gnttab_get_version *op = (struct gnttab_get_version *)ops + i;

	op->version = fake_guest(op->dom)->version;
	return true;
}

/* --- copies ------------------------------------------------------------------------------------- */

uint32_t fake_bounce_ref(uint32_t page)
{
	return 8 + page * 37 % FAKE_BOUNCE;
}

static unsigned char *own_page(uint32_t ref)
{
	for (uint32_t page = 0; fake_bounce && page < FAKE_BOUNCE; page++)
		if (fake_bounce_ref(page) == ref)
			return fake_bounce + (size_t)page * PAGE_BYTES;
	return NULL;
}

static int copy_side(const struct gnttab_copy_ptr *p, uint16_t len, bool write, unsigned char **at)
{
	struct fake_guest *g = fake_guest(p->domid);

	if (p->domid == DOMID_SELF || p->domid == 0)
		*at = own_page(p->u.ref);
	else if (!g)
		return GNTST_bad_domain;
	else
		*at = p->u.ref < FAKE_REFS ? g->memory[p->u.ref % FAKE_PAGES] : NULL;
	if (!*at)
		return GNTST_bad_gntref;
	if (g && !(*flags_of(g, p->u.ref) & GTF_permit_access) && !g->mapped[p->u.ref])
		return GNTST_general_error;
	if (g && write && *flags_of(g, p->u.ref) & GTF_readonly)
		return GNTST_general_error;
	*at += p->offset;
	return p->offset + len > PAGE_BYTES ? GNTST_bad_copy_arg : GNTST_okay;
}

static bool copy_one(void *ops, size_t i)
{
	struct gnttab_copy *op = (struct gnttab_copy *)ops + i;
	unsigned char *from, *to;

	if (op->flags != (GNTCOPY_source_gref | GNTCOPY_dest_gref) || op->status != JOURNAL_PENDING)
		fake_wrong("copy with flags 0x%x, status %d", op->flags, op->status);
	op->status = (int16_t)refused(FAKE_COPY);
	if (op->status == GNTST_okay)
		op->status = (int16_t)copy_side(&op->source, op->len, false, &from);
	if (op->status == GNTST_okay)
		op->status = (int16_t)copy_side(&op->dest, op->len, true, &to);
	if (op->status == GNTST_okay)
		memmove(to, from, op->len);
	return true;
}

/* --- frames ------------------------------------------------------------------------------------- */

static bool give_back_one(void *ops, size_t i)
{
	uint64_t number = ((const xen_pfn_t *)ops)[i];
	struct fake_pfn *p = pfn_of(number);

	if (!p || p->state == FAKE_UNUSED || !p->pin) {
		fake_wrong("gave back the frame of page 0x%llx, which is not pinned",
			   (unsigned long long)number);
		return false;
	}
	/* Of a page without a frame of its own Xen takes nothing, and says so by ending there. */
	if (p->state != FAKE_RAM || !fake->take)
		return false;
	fake->take--;
	fake->reservation--;
	p->state = FAKE_HOLE;
	return true;
}

static bool populate_one(void *ops, size_t i)
{
	uint64_t number = ((const xen_pfn_t *)ops)[i];
	struct fake_pfn *p = pfn_of(number);

	if (!fake->frames)
		return false;
	fake->frames--;
	fake->reservation++;
	if (!p || p->state != FAKE_HOLE)
		fake_wrong("a frame for page 0x%llx, which is in state %d: %s",
			   (unsigned long long)number, p ? (int)p->state : -1,
			   p && p->state == FAKE_GRANT ? "dom0 crashes" : "its old frame is lost");
	else
		p->state = FAKE_RAM;
	return true;
}

static long memory_op(unsigned long cmd, struct xen_memory_reservation *r)
{
	if (r->domid != DOMID_SELF || r->extent_order || r->mem_flags ||
	    r->nr_extents > JOURNAL_OPS || !fake->translated)
		fake_wrong("memory operation %lu of domain %u, order %u, %lu extents", cmd,
			   r->domid, r->extent_order, (unsigned long)r->nr_extents);
	switch (cmd) {
	case XENMEM_decrease_reservation:
		return run(FAKE_GIVE_BACK, r->nr_extents, give_back_one, r->extent_start.p);
	case XENMEM_populate_physmap:
		return run(FAKE_POPULATE, r->nr_extents, populate_one, r->extent_start.p);
	default:
		return -ENOSYS;
	}
}

/* --- event channels ----------------------------------------------------------------------------- */

static bool event_status(void *ops, size_t i)
{
	struct evtchn_status *op = (struct evtchn_status *)ops + i;

	if (op->dom != DOMID_SELF || op->port >= FAKE_PORTS)
		return false;
	op->status = fake->port[op->port];
	return true;
}

static bool event_send(void *ops, size_t i)
{
	const struct evtchn_send *op = (struct evtchn_send *)ops + i;

	if (op->port >= FAKE_PORTS || (fake->port[op->port] != EVTCHNSTAT_interdomain &&
				       fake->port[op->port] != EVTCHNSTAT_unbound))
		return false;
	fake->sent[op->port]++;
	return true;
}

/* --- calls --------------------------------------------------------------------------------------- */

static long grant_op(unsigned long cmd, void *ops, size_t n)
{
	struct gnttab_get_version *version = ops;
	long ret;

	if (n > JOURNAL_OPS)
		fake_wrong("%zu operations in one hypercall", n);
	switch (cmd) {
	case GNTTABOP_map_grant_ref:
		ret = run(FAKE_MAP, n, map_one, ops);
		break;
	case GNTTABOP_unmap_grant_ref:
		ret = run(FAKE_UNMAP, n, unmap_one, ops);
		break;
	case GNTTABOP_copy:
		ret = run(FAKE_COPY, n, copy_one, ops);
		break;
	case GNTTABOP_get_version:
		if (!fake_guest(version->dom))
			return -ESRCH;
		ret = run(FAKE_VERSION, n, version_one, ops);
		break;
	default:
		ret = -ENOSYS;
	}
	return ret < 0 ? ret : 0;
}

static long event_op(unsigned long cmd, void *op)
{
	long ret = run(FAKE_EVENT, 1, cmd == EVTCHNOP_send ? event_send : event_status, op);

	if (cmd != EVTCHNOP_send && cmd != EVTCHNOP_status)
		fake_wrong("event channel operation %lu", cmd);
	return ret == 0 ? -EINVAL : ret < 0 ? ret : 0;
}

long fake_hypercall(unsigned long op, unsigned long a, unsigned long b, unsigned long c)
{
	switch (op) {
	case __HYPERVISOR_grant_table_op:
		return grant_op(a, (void *)b, c);
	case __HYPERVISOR_memory_op:
		return memory_op(a, (void *)b);
	case __HYPERVISOR_event_channel_op:
		return event_op(a, (void *)b);
	default:
		return -ENOSYS;
	}
}

/* --- what must hold ------------------------------------------------------------------------------- */

uint32_t fake_pages(enum fake_page state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < FAKE_PFNS; i++)
		n += fake->pfn[i].state == state;
	return n;
}

void fake_check(void)
{
	uint32_t away = fake_pages(FAKE_HOLE) + fake_pages(FAKE_GRANT);

	ck_assert_msg(!fake->wrong[0], "%s", fake->wrong);
	/* Assertions are slow, so: one when it is needed. */
	for (uint32_t i = 0; i < FAKE_PFNS; i++)
		if (fake->pfn[i].state != FAKE_UNUSED && !fake->pfn[i].pin)
			ck_abort_msg("page 0x%x is not pinned", i + FAKE_PFN_0);
	ck_assert_uint_eq(fake->reservation, FAKE_FRAMES - away);
	ck_assert_uint_eq(fake->batches, (1U << JOURNAL_BATCHES) - 1);
}

/* Return: what is wrong with a slot, or NULL. */
static const char *check_mapped(const struct journal_slot *slot, uint8_t *seen)
{
	uint32_t i = slot->handle - FAKE_HANDLE_0;

	if (i >= FAKE_HANDLES || !fake->handle[i].used)
		return "its handle is not Xen's";
	if (seen[i])
		return "its handle is in another slot, too";
	seen[i] = 1;
	return slot->addr == fake->handle[i].addr ? NULL : "its address is not the handle's";
}

static const char *check_slot(const struct journal_slot *slot, uint8_t *seen)
{
	const struct fake_pfn *p = pfn_of(slot->addr / PAGE_BYTES);
	const char *bad = slot->state == SLOT_MAPPED ? check_mapped(slot, seen) : NULL;

	if (bad)
		return bad;
	if (!fake->translated)
		return slot->state == SLOT_MAPPED ? NULL : "it is away";
	if (!p || p->state != (slot->state == SLOT_AWAY ? FAKE_HOLE : FAKE_GRANT))
		return "its page is in another state";
	return NULL;
}

void fake_check_journal(const struct journal *j)
{
	uint8_t seen[FAKE_HANDLES] = { 0 };
	uint32_t held = 0;

	for (uint32_t s = 1; s < j->slots; s++) {
		const struct journal_slot *slot = &j->slot[s];
		const char *bad = slot->state ? check_slot(slot, seen) : NULL;

		held += slot->state != SLOT_NONE;
		if (bad)
			ck_abort_msg("slot %u (state %u, handle %u, address 0x%llx): %s", s,
				     slot->state, slot->handle, (unsigned long long)slot->addr,
				     bad);
	}
	for (uint32_t i = 0; i < FAKE_HANDLES; i++)
		if (fake->handle[i].used && !seen[i])
			ck_abort_msg("handle %u is lost", i + FAKE_HANDLE_0);
	if (fake->translated)
		ck_assert_uint_eq(fake_pages(FAKE_HOLE) + fake_pages(FAKE_GRANT), held);
}

void fake_check_clean(void)
{
	fake_check();
	ck_assert_uint_eq(fake->tables, 0);
	ck_assert_uint_eq(fake->handles, 0);
	ck_assert_uint_eq(fake->reservation, FAKE_FRAMES);
	ck_assert_uint_eq(fake->pinned_pages, 0);
	ck_assert_uint_eq(fake->pins, 0);
	for (int i = 0; i < FAKE_GUESTS; i++)
		for (uint32_t ref = 0; ref < FAKE_REFS; ref++)
			if (fake->guest[i].mapped[ref])
				ck_abort_msg("grant %u of guest %d is mapped", ref, i);
}
