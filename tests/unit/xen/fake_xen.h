/* SPDX-License-Identifier: MIT */
/*
 * xen/fake_xen.h - a small Xen in memory: stands in for xen/privcmd.c, xen/pin.c and libxengnttab's granting side
 *
 * What it knows of dom0 is what the Xen layer can get wrong: which of its pages has a frame of its own,
 * which has none, and which shows a grant (the p2m); which handles are in use; how many frames
 * dom0 has; which pages are pinned. What would crash a real dom0, lose a frame or let somebody else
 * have a page is not carried out quietly: it is noted in fake->wrong, and every test looks there.
 *
 * All of it lies in shared memory, so that a child process can play the daemon and be killed in the
 * middle of a hypercall, and another one can be the keeper.
 *
 * xen/fake_xen.c is the machine, xen/fake_dom0.c what dom0's kernel puts before it. Tests include both
 * (xen/rig.h): the modules that they stand for are in an archive that is linked first.
 */
#ifndef TEST_XEN_FAKE_XEN_H
#define TEST_XEN_FAKE_XEN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hypercall.h"
#include "xen/journal.h"

/* The guests are FAKE_FIRST and those after it. */
#define FAKE_GUESTS 5
#define FAKE_FIRST  5
#define FAKE_OTHER  (FAKE_FIRST + 1)
#define FAKE_NOBODY 77

/* What each of them grants, and how much memory it has: ref r is page r % FAKE_PAGES of it. */
#define FAKE_REFS  4096
#define FAKE_PAGES 16

/* Of dom0. */
#define FAKE_PFNS   16384
#define FAKE_PFN_0  0x8000
#define FAKE_FRAMES 100000

/* Handles begin here, so that one that was never set is noticed. */
#define FAKE_HANDLES  8192
#define FAKE_HANDLE_0 70000

#define FAKE_PORTS  512
#define FAKE_BOUNCE 256

/* A machine frame is never the number that is in a guest's grant entry. */
#define FAKE_FRAME(ref)	 (0x1000ULL + (ref) % FAKE_PAGES)
#define FAKE_MACHINE(fr) ((fr) + 0x100000ULL)

enum fake_call {
	FAKE_MAP,
	FAKE_UNMAP,
	FAKE_COPY,
	FAKE_GIVE_BACK,
	FAKE_POPULATE,
	FAKE_VERSION,
	FAKE_EVENT,
	FAKE_CALLS,
};

/* A page of dom0. */
enum fake_page {
	FAKE_UNUSED, /* not ours, or given back to the kernel */
	FAKE_RAM,
	FAKE_HOLE,
	FAKE_GRANT,
};

struct fake_pfn {
	enum fake_page state;
	uint32_t pin; /* id + 1 */
	uint32_t handle;
};

struct fake_handle {
	bool used;
	bool readonly;
	uint16_t domid;
	uint32_t ref;
	uint64_t addr; /* where it is mapped; its bus address */
};

struct fake_guest {
	union {
		struct grant_entry_v1 v1[FAKE_REFS];
		union grant_entry_v2 v2[FAKE_REFS];
	} table __attribute__((aligned(4096)));
	unsigned char memory[FAKE_PAGES][4096];
	uint32_t version;
	uint32_t mapped[FAKE_REFS];
};

/**
 * struct fake - the machine
 * @refuse:     operations of a call that get a status: after @skip others, @times of them
 * @broken:     a call that ends with an error before operation @after (counted over several calls)
 * @frames:     that Xen has to give
 * @take:       pages that Xen still takes back
 * @handle_max: handles that it still gives
 * @pin_error, @node_error, @share_error: -errno of pins_add(), of privcmd_node(), of gntalloc
 * @table_fail: frames of grant tables that can be mapped before one cannot (errno ENOMEM)
 * @die_at:     the step at which process @victim is killed; @steps: so far
 * @tester:     the process that made it: the fake ends with it
 * @wrong:      the first thing that must never be
 */
struct fake {
	struct fake_guest guest[FAKE_GUESTS];
	struct {
		uint32_t skip, times;
		int status;
	} refuse[FAKE_CALLS];
	struct {
		uint32_t after;
		long err;
	} broken[FAKE_CALLS];
	uint32_t frames, take, handle_max;
	int pin_error, node_error, share_error;
	uint32_t table_fail;
	uint64_t die_at, steps;

	pid_t tester, victim;

	struct fake_pfn pfn[FAKE_PFNS];
	struct fake_handle handle[FAKE_HANDLES];
	uint32_t free_handle[FAKE_HANDLES], n_free_handles;
	uint64_t reservation;
	uint32_t handles, pins, pinned_pages, tables;
	uint32_t bad_handles; /* to be unmapped, and not there */
	uint32_t batches;     /* a bit for each that is not out */
	uint64_t calls[FAKE_CALLS], ops[FAKE_CALLS];
	uint8_t port[FAKE_PORTS];
	uint32_t sent[FAKE_PORTS];
	struct {
		uint16_t domid;
		bool readonly;
		uint32_t number;
	} node; /* the last one made */
	bool translated;
	char wrong[160];
};

extern struct fake *fake;

/* What Xen's file system says the parameter gnttab_max_maptrack_frames is. */
extern struct fake_param {
	int error; /* of the hypercall, negative */
	uint8_t type;
	uint8_t encoding;
	uint32_t len; /* said to be so long */
	const char *content;
} fake_maptrack_frames;

/* Called at the beginning of each hypercall, if set: what happens at the same time. */
extern void (*fake_at_call)(enum fake_call call);

/* Whoever has it open keeps the pins; end of file when nobody does any more. */
extern int fake_pins_pipe[2];

/** fake_new() - a machine whose guests grant everything to dom0, in a table of @version */
void fake_new(bool translated, uint32_t version);

void fake_free(void);

/** fake_guest() - a guest by its number, NULL if there is none */
struct fake_guest *fake_guest(uint16_t domid);

/** fake_end_grant() - a guest takes a grant back, or makes it read-only */
void fake_end_grant(uint16_t domid, uint32_t ref);
void fake_readonly(uint16_t domid, uint32_t ref);

/** fake_refuse() - have @times operations refused, after @skip others */
void fake_refuse(enum fake_call call, uint32_t skip, uint32_t times, int status);

/** fake_break() - have a call end with an error, after @after more operations */
void fake_break(enum fake_call call, uint32_t after, long err);

/** fake_heal() - no faults any more */
void fake_heal(void);

/** fake_pages() - how many pages of dom0 are in this state */
uint32_t fake_pages(enum fake_page state);

/** fake_check() - fails the test if anything is wrong with the machine itself */
void fake_check(void);

/** fake_check_journal() - fails the test unless journal and machine say the same */
void fake_check_journal(const struct journal *j);

/** fake_check_clean() - fails the test if anything is left of what was mapped, pinned or borrowed */
void fake_check_clean(void);

/** fake_pins_held() - whether some process holds the pins */
bool fake_pins_held(void);

/* --- between xen/fake_xen.c and xen/fake_dom0.c ----------------------------------------------- */

extern pthread_mutex_t fake_lock;
extern unsigned char *fake_bounce;

uint32_t fake_bounce_ref(uint32_t page);

long fake_hypercall(unsigned long op, unsigned long a, unsigned long b, unsigned long c);

/** fake_wrong() - note what must never be; the first counts */
void fake_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif /* TEST_XEN_FAKE_XEN_H */
