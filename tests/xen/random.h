/* SPDX-License-Identifier: MIT */
/*
 * random.h - what the parts of the random sequences share
 *
 * random.c writes the sequence, random_model.c knows what must hold after each step of it, and
 * random_worker.c is the client: one of several processes that do as they are told.
 *
 * This header is their face: random_ops.h includes it for its types.
 */
#ifndef TESTS_XEN_RANDOM_H
#define TESTS_XEN_RANDOM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <xenevtchn.h>
#include "conform_abi.h"
#include "domain.h"

#define PAGE	 DOMAIN_PAGE
#define RW	 (PROT_READ | PROT_WRITE)
#define NO_INDEX (1ULL << 40)

#define WORKERS	     4
#define FDS	     4
#define PLACES	     24
#define MAX_COUNT    8
#define MAX_SEGMENTS 6
#define MAX_BURST    8
#define MAX_OPENS    128
#define MAX_SLOTS    48

#define PAGES	  64
#define FIRST_REF DOMAIN_FIRST_REF
#define REFS	  192
/* Bytes of a page for data; behind them are those that notifications clear. */
#define DATA_BYTES 3968U
#define MARKS	   (4 * PAGES)
#define PORTS	   8

/* Bytes of a worker's own memory that GRANT_COPY reads and writes. */
#define LOCAL_BYTES 16384U

/* Sockets and devices have these numbers in every worker, also after execve. */
#define SOCKET_FD(worker) (200 + (int)(worker))
#define DEVICE_FD(fd)	  (100 + (int)(fd))

enum order_kind {
	DO_OPEN,
	DO_CLOSE,
	DO_MAP,
	DO_UNMAP,
	DO_OFFSET,
	DO_NOTIFY,
	DO_COPY,
	DO_MMAP,
	DO_MUNMAP,
	DO_ACCESS,
	DO_FORK,
	DO_EXEC,
	DO_EXIT,
};

/* What the argument of an ioctl is. */
enum argument { GOOD, NO_POINTER, CUT, READ_ONLY };

struct segment_order {
	struct gntdev_ref source, dest; /* domid 0: the worker's memory, at ref */
	uint16_t source_offset, dest_offset, len;
};

/* Reads and writes come several at a time: going to a worker and back takes longer than they do. */
struct access {
	uint32_t place, page, offset;
	bool write;
	uint8_t value;
};

/**
 * struct order - what a worker is told to do
 * @value: open flags; bytes to map; number of the worker to fork
 * @action: protection; notify action
 * @flags: of mmap; for DO_FORK, whether the child is to give up the mappings it inherits
 */
struct order {
	enum order_kind kind;
	enum argument argument;
	uint32_t fd, place, page, count;
	uint32_t action, port, offset;
	int32_t flags;
	uint64_t index, value;
	struct gntdev_ref ref[MAX_COUNT];
	union {
		struct segment_order segment[MAX_SEGMENTS];
		struct access access[MAX_BURST];
	};
};

/**
 * struct answer - what came of it
 * @ret: of the system call
 * @error: errno, if that is -1
 * @value: index, offset, or a sum over the worker's memory
 * @seen: of each access: the byte, or the signal, negative
 */
struct answer {
	int64_t ret;
	int32_t error;
	uint32_t count;
	uint64_t value;
	union {
		int16_t status[MAX_SEGMENTS];
		int16_t seen[MAX_BURST];
	};
};

/**
 * worker() - obey orders until told to exit
 * @device: path of the device
 */
__attribute__((noreturn)) void worker(uint32_t number, const char *device);

/* --- the model --------------------------------------------------------------------------------- */

struct slot {
	bool used;
	bool listed;	 /* until UNMAP, or the end of the file */
	bool tried;	 /* passed to mmap */
	bool mapped;	 /* and that was well */
	bool torn;	 /* some page of it is unmapped somewhere */
	bool writable;	 /* if mapped */
	bool mixed;	 /* some reference cannot be mapped for writing, or not at all */
	uint32_t number; /* in the trace */
	uint32_t open, count, vmas;
	uint64_t index;
	uint32_t ref[MAX_COUNT];
	int mark, port; /* armed notifications, or -1 */
};

struct vma {
	struct slot *slot; /* or NULL */
	uint32_t pages;	   /* a bit for each one that is still there */
	bool readable, writable;
};

struct open {
	uint32_t holders; /* descriptors in workers */
	int mode;
};

/* A byte in the reserve of a page, or a port: what is expected of it at the next look. */
enum expect { FREE, ARMED, FIRES, STAYS };

struct model {
	bool pv;
	struct domain *granter;
	pid_t pid[WORKERS];   /* or 0 */
	int fd[WORKERS][FDS]; /* index of an open, or -1 */
	struct vma vma[WORKERS][PLACES];
	struct open open[MAX_OPENS];
	struct slot slot[MAX_SLOTS];
	uint32_t slots, numbers;
	enum expect mark[MARKS], port[PORTS];
	bool seen[PORTS]; /* an event has come in */
	uint32_t local[PORTS], guest[PORTS];
	xenevtchn_handle *evtchn;
};

/**
 * model_init() - a granter with its grants and ports, and nobody else
 *
 * Return: 0, or -1
 */
int model_init(struct model *m, struct domain *granter);

uint32_t ref_page(uint32_t ref);
bool ref_granted(uint32_t ref);
bool ref_read_only(uint32_t ref);

/**
 * mark_byte() - the granter's view of the byte of a mark
 */
volatile char *mark_byte(const struct model *m, int mark);

/**
 * mark_offset() - where in its page the byte of a mark is
 */
uint32_t mark_offset(int mark);

/**
 * slot_new() - a map has been made
 */
struct slot *slot_new(struct model *m, uint32_t open, uint32_t count, uint64_t index,
		      const struct gntdev_ref *ref);

/**
 * slot_index_good() - may a new map have this index? The first one is 0, none lies over another
 */
bool slot_index_good(const struct model *m, uint32_t open, uint32_t count, uint64_t index);

void slot_unmap(struct model *m, struct slot *s);

/**
 * slot_notify() - SET_UNMAP_NOTIFY has succeeded
 * @mark, @port: or -1
 */
void slot_notify(struct model *m, struct slot *s, int mark, int port);

void vma_map(struct model *m, uint32_t worker, uint32_t place, struct slot *s, int prot);
void vma_unmap(struct model *m, uint32_t worker, uint32_t place, uint32_t pages);

void fd_open(struct model *m, uint32_t worker, uint32_t fd, int mode);
void fd_close(struct model *m, uint32_t worker, uint32_t fd);

/**
 * worker_forks() - a new worker has all that its parent has
 */
void worker_forks(struct model *m, uint32_t parent, uint32_t child, pid_t pid);

/**
 * worker_execs() - it keeps its descriptors, and loses its mappings
 */
void worker_execs(struct model *m, uint32_t worker);
void worker_ends(struct model *m, uint32_t worker);

/**
 * model_settle() - wait until all that was to be released is, and see that nothing else is
 * @out: gets what is not as it should be, or "ok"
 */
void model_settle(struct model *m, char *out, size_t size);

#endif
