/* SPDX-License-Identifier: MIT */
/*
 * xen/fake_dom0.c - what dom0's kernel has between the Xen layer and the fake: privcmd, pins, gntalloc
 */
#include "tests/unit/xen/fake_xen.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xengnttab.h>

#include "xen/pin.h"
#include "xen/privcmd.h"

#define PAGE_BYTES 4096

/* One after the other would hide mistakes. */
#define SCATTER 5701

/* --- xen/privcmd.c ---------------------------------------------------------------------------- */

struct privcmd {
	int fd;
	struct journal *j;
	pthread_mutex_t lock;
	pthread_cond_t freed;
};

static struct privcmd device;

long privcmd_call(int fd, unsigned long op, unsigned long a, unsigned long b, unsigned long c)
{
	if (fd != device.fd)
		fake_wrong("a hypercall through descriptor %d", fd);
	return fake_hypercall(op, a, b, c);
}

int privcmd_open(struct journal *j, struct privcmd **out, const char **why)
{
	*why = "cannot open the fake";
	device.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (device.fd < 0)
		return -errno;
	device.j = j;
	pthread_mutex_init(&device.lock, NULL);
	pthread_cond_init(&device.freed, NULL);
	fake->batches = (1U << JOURNAL_BATCHES) - 1;
	*out = &device;
	return 0;
}

void privcmd_close(struct privcmd *pc)
{
	if (pc)
		close(pc->fd);
}

int privcmd_fd(const struct privcmd *pc)
{
	return pc->fd;
}

struct journal_batch *privcmd_batch_get(struct privcmd *pc)
{
	struct journal_batch *b;
	unsigned int i;

	pthread_mutex_lock(&pc->lock);
	while (!fake->batches)
		pthread_cond_wait(&pc->freed, &pc->lock);
	i = (unsigned int)__builtin_ctz(fake->batches);
	fake->batches &= ~(1U << i);
	pthread_mutex_unlock(&pc->lock);
	b = &pc->j->batch[i];
	/* Whatever was there before: nobody may rely on it. */
	memset(b->map, 0xa5, sizeof(b->map));
	return b;
}

void privcmd_batch_put(struct privcmd *pc, struct journal_batch *b)
{
	uint32_t bit = 1U << (b - pc->j->batch);

	if (b->mapping)
		fake_wrong("a batch was given back with %u operations not harvested", b->mapping);
	pthread_mutex_lock(&pc->lock);
	if (fake->batches & bit)
		fake_wrong("a batch was given back twice");
	fake->batches |= bit;
	pthread_cond_signal(&pc->freed);
	pthread_mutex_unlock(&pc->lock);
}

int privcmd_grant(struct privcmd *pc, unsigned int cmd, struct journal_batch *b, size_t n)
{
	if (cmd == GNTTABOP_map_grant_ref && b->mapping != n)
		fake_wrong("%zu operations, and %u in the journal", n, b->mapping);
	return (int)privcmd_call(pc->fd, __HYPERVISOR_grant_table_op, cmd, (uintptr_t)b->map, n);
}

long privcmd_give_back(struct privcmd *pc, struct journal_batch *b, size_t n)
{
	struct xen_memory_reservation *r = &b->memory.reservation;

	memset(r, 0, sizeof(*r));
	set_xen_guest_handle(r->extent_start, b->memory.pfn);
	r->nr_extents = n;
	r->domid = DOMID_SELF;
	return privcmd_call(pc->fd, __HYPERVISOR_memory_op, XENMEM_decrease_reservation,
			    (uintptr_t)r, 0);
}

int privcmd_event(struct privcmd *pc, unsigned int cmd, struct journal_batch *b)
{
	return (int)privcmd_call(pc->fd, __HYPERVISOR_event_channel_op, cmd, (uintptr_t)&b->send,
				 0);
}

struct fake_param fake_maptrack_frames = { .type = XEN_HYPFS_TYPE_STRING,
					   .len = 5,
					   .content = "1024" };

int privcmd_hypfs(struct privcmd *pc, struct journal_batch *b, const char *path)
{
	(void)pc;
	if (strcmp(path, "/params/gnttab_max_maptrack_frames") != 0)
		return -ENOENT;
	b->hypfs.entry = (struct xen_hypfs_direntry){ .type = fake_maptrack_frames.type,
						      .encoding = fake_maptrack_frames.encoding,
						      .content_len = fake_maptrack_frames.len };
	memcpy(b->hypfs.content, fake_maptrack_frames.content,
	       strlen(fake_maptrack_frames.content) + 1);
	return fake_maptrack_frames.error;
}

const volatile void *privcmd_table(struct privcmd *pc, uint16_t domid, uint32_t frame)
{
	struct fake_guest *g = fake_guest(domid);
	size_t entry =
		g && g->version == 1 ? sizeof(struct grant_entry_v1) : sizeof(union grant_entry_v2);

	(void)pc;
	errno = !g || frame >= FAKE_REFS * entry / PAGE_BYTES ? EINVAL : 0;
	if (!errno && !fake->table_fail--)
		errno = ENOMEM;
	if (errno)
		return NULL;
	fake->tables++;
	return (const char *)&g->table + (size_t)frame * PAGE_BYTES;
}

void privcmd_table_put(const volatile void *table)
{
	(void)table;
	fake->tables--;
}

int privcmd_node(struct privcmd *pc, int dirfd, const char *name, bool readonly, uint16_t domid)
{
	int fd;

	(void)pc;
	if (fake->node_error)
		return fake->node_error;
	fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	unlinkat(dirfd, name, 0);
	fake->node.domid = domid;
	fake->node.readonly = readonly;
	fake->node.number++;
	return fd;
}

/* --- xen/pin.c -------------------------------------------------------------------------------- */

struct pins {
	pthread_mutex_t lock;
	uint32_t next_id;
	uint32_t next_pfn;
};

static struct pins pins;

int pins_new(struct pins **out, const char **why)
{
	*why = "no pins";
	memset(&pins, 0, sizeof(pins));
	pthread_mutex_init(&pins.lock, NULL);
	*out = &pins;
	return 0;
}

static bool is_among(uint32_t id, const uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* Pins that nobody wants any more end here. */
int pins_adopt(const int fds[PINS_FDS], const uint32_t *ids, size_t n, struct pins **out,
	       const char **why)
{
	(void)fds;
	*why = "no pins";
	pins.next_id = 0;
	fake->pins = fake->pinned_pages = 0;
	for (size_t i = 0; i < n; i++)
		pins.next_id = ids[i] >= pins.next_id ? ids[i] + 1 : pins.next_id;
	for (struct fake_pfn *page = fake->pfn; page < fake->pfn + FAKE_PFNS; page++) {
		if (page->state == FAKE_UNUSED)
			continue;
		if (is_among(page->pin - 1, ids, n)) {
			fake->pinned_pages++;
			continue;
		}
		if (page->state != FAKE_RAM)
			fake_wrong("page 0x%zx is pinned by nobody in state %d",
				   (size_t)(page - fake->pfn) + FAKE_PFN_0, (int)page->state);
		*page = (struct fake_pfn){ .state = FAKE_UNUSED };
	}
	/* One of them is the batches'. */
	fake->pins = (uint32_t)n - 1;
	*out = &pins;
	return 0;
}

/* Another process may have them, too: whether the pages are let go of is up to the last one. */
void pins_free(struct pins *p)
{
	if (!p)
		return;
	close(fake_pins_pipe[1]);
	fake_pins_pipe[1] = -1;
}

void pins_fds(const struct pins *p, int fds[PINS_FDS])
{
	(void)p;
	for (int i = 0; i < PINS_FDS; i++)
		fds[i] = fake_pins_pipe[1];
}

/* A page with a frame, pinned. */
static uint64_t new_page(struct pins *p, uint32_t pin)
{
	for (uint32_t i = 0; i < FAKE_PFNS; i++) {
		struct fake_pfn *page = &fake->pfn[p->next_pfn++ * SCATTER % FAKE_PFNS];

		if (page->state != FAKE_UNUSED)
			continue;
		page->state = FAKE_RAM;
		page->pin = pin;
		fake->pinned_pages++;
		return FAKE_PFN_0 + (uint64_t)(page - fake->pfn);
	}
	ck_abort_msg("the fake has no more pages");
	return 0;
}

int pins_add(struct pins *p, void *addr, size_t pages, uint32_t *id, uint64_t *pfn)
{
	/* Pinning makes all pages of a file. */
	for (size_t i = 0; i < pages; i++)
		__atomic_fetch_add((unsigned char *)addr + i * PAGE_BYTES, 0, __ATOMIC_RELAXED);
	if (fake->pin_error)
		return fake->pin_error;
	pthread_mutex_lock(&fake_lock);
	if (pfn && pages > FAKE_PFNS - fake->pinned_pages) {
		pthread_mutex_unlock(&fake_lock);
		return -ENOMEM;
	}
	*id = p->next_id++;
	for (size_t i = 0; pfn && i < pages; i++)
		pfn[i] = new_page(p, *id + 1);
	fake->pins += pfn != NULL;
	pthread_mutex_unlock(&fake_lock);
	return 0;
}

void pins_remove(struct pins *p, uint32_t id)
{
	uint32_t n = 0;

	(void)p;
	pthread_mutex_lock(&fake_lock);
	for (struct fake_pfn *page = fake->pfn; page < fake->pfn + FAKE_PFNS; page++) {
		if (page->pin != id + 1)
			continue;
		if (page->state != FAKE_RAM)
			fake_wrong("page 0x%zx was let go of in state %d",
				   (size_t)(page - fake->pfn) + FAKE_PFN_0, (int)page->state);
		*page = (struct fake_pfn){ .state = FAKE_UNUSED };
		fake->pinned_pages--;
		n++;
	}
	if (!n)
		fake_wrong("pin %u was removed, and there is none", id);
	fake->pins--;
	pthread_mutex_unlock(&fake_lock);
}

bool fake_pins_held(void)
{
	struct pollfd p = { .fd = fake_pins_pipe[0], .events = POLLIN };

	return !(poll(&p, 1, 0) == 1 && p.revents & POLLHUP);
}

/* --- libxengnttab ------------------------------------------------------------------------------- */

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned int open_flags)
{
	(void)logger;
	(void)open_flags;
	errno = -fake->share_error;
	return errno ? NULL : (xengntshr_handle *)&device;
}

int xengntshr_close(xengntshr_handle *xgs)
{
	(void)xgs;
	return 0;
}

void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs,
			    int writable)
{
	(void)xgs;
	if (domid != 0 || count != FAKE_BOUNCE || !writable)
		fake_wrong("%d pages granted to domain %u", count, domid);
	fake_bounce = mmap(NULL, (size_t)count * PAGE_BYTES, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(fake_bounce, MAP_FAILED);
	for (uint32_t i = 0; i < FAKE_BOUNCE; i++)
		refs[i] = fake_bounce_ref(i);
	return fake_bounce;
}

int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count)
{
	(void)xgs;
	if (start_address != fake_bounce || count != FAKE_BOUNCE)
		fake_wrong("%u pages unshared that were not shared", count);
	munmap(fake_bounce, FAKE_BOUNCE * PAGE_BYTES);
	fake_bounce = NULL;
	return 0;
}
