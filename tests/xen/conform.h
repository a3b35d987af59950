/* SPDX-License-Identifier: MIT */
/*
 * conform.h - what the rows of the conformance walk are written with
 *
 * The program is an ordinary client of the device, and has no header of the daemon's.
 */
#ifndef TESTS_XEN_CONFORM_H
#define TESTS_XEN_CONFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <xenevtchn.h>
#include "conform_abi.h"
#include "domain.h"

#define PAGE	  DOMAIN_PAGE
#define RW	  (PROT_READ | PROT_WRITE)
#define FIRST_REF DOMAIN_FIRST_REF
#define MAX_REFS  256U
/* Nobody grants these: inside the table, and beyond it. */
#define EMPTY_REF 4095U
#define NO_REF	  100000000U
/* A page-aligned index that no map has. */
#define NO_INDEX (1ULL << 40)

/* One row of the table that is printed. */
struct row {
	const char *name;
	void (*run)(void);
	/* Where the driver does not survive it. */
	enum { NEVER, IN_PV, BEFORE_6_12 } crashes;
};

extern const struct row device_rows[], map_rows[], mmap_rows[], life_rows[], share_rows[],
	index_rows[], notify_rows[], copy_rows[];

/* An event channel: dom0's end, and the granter's. */
struct port {
	xenevtchn_handle *evtchn;
	uint32_t local, guest;
};

extern struct domain *granter;
extern const char *device;
extern bool pv, kernel_driver;
extern struct port port;

/**
 * say() - add to what the row has observed
 */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/**
 * result() - what a system call has returned, as the name of its errno or a number
 */
const char *result(long ret);

/* SAY(what, call): "what ENOENT" */
#define SAY(what, call) say("%s %s", what, result(call))

/**
 * settle() - give a release that is under way the time it may take
 */
void settle(void);

/**
 * say_pins() - for each grant of the row: who holds it: w writing, r reading, - nobody
 */
void say_pins(void);

/**
 * say_event() - whether an event has come in for the granter since this was last said
 */
void say_event(void);

/**
 * open_device() - one more open, closed with the row
 */
int open_device(int flags);

/**
 * close_device() - close it earlier
 */
int close_device(int fd);

/**
 * grant() - grant a fresh page, the first one of the row is full of 'A', the next of 'B'...
 * @flags: 0 or GTF_readonly
 *
 * Return: the reference; they follow each other
 */
uint32_t grant(uint16_t flags);

/**
 * grant_more() - grant() @n pages, return the first reference
 */
uint32_t grant_more(unsigned int n);

/**
 * page_of() - the granter's view of a page that the row granted
 */
char *page_of(uint32_t ref);

/**
 * map_refs() - MAP_GRANT_REF of references of any domain; index becomes ~0 if it fails
 */
int map_refs(int fd, uint32_t n, const struct gntdev_ref *refs, uint64_t *index);

/**
 * map_run() - MAP_GRANT_REF of @n of the granter's references that follow each other
 *
 * Return: the index, or ~0
 */
uint64_t map_run(int fd, uint32_t ref, uint32_t n);

int unmap(int fd, uint64_t index, uint32_t count);
int notify(int fd, uint64_t index, uint32_t action, uint32_t event_port);

/**
 * say_offset() - say what GET_OFFSET_FOR_VADDR answers
 */
void say_offset(int fd, const void *vaddr);

/**
 * place() - mmap, remembered to be unmapped with the row
 *
 * Return: the address or MAP_FAILED
 */
void *place(int fd, uint64_t index, size_t bytes, int prot, int flags);

/**
 * remember() - a mapping made otherwise is to be unmapped with the row
 *
 * Return: @p
 */
void *remember(void *p, size_t bytes);

/**
 * mapped() - map_run() and place() all of it, MAP_SHARED
 */
char *mapped(int fd, uint32_t ref, uint32_t n, int prot, uint64_t *index);

/**
 * say_mmap() - say how mmap ends; what it made is unmapped at once
 */
void say_mmap(const char *what, int fd, uint64_t index, size_t bytes, int prot, int flags);

/**
 * look() - what stands at an address: a character, or the signal that a look brings
 */
const char *look(const volatile char *addr);

/**
 * store() - write a character: "ok", or the signal
 */
const char *store(volatile char *addr, char c);

/**
 * in_child() - run a function in a forked process, which may say(), and wait for its end
 */
void in_child(void (*run)(void));

/**
 * start_child() - the same without waiting: it says "ready" by returning to us
 *
 * The child runs @run, which calls child_ready() where we go on, and waits there for go_on().
 */
pid_t start_child(void (*run)(void));
void child_ready(void);
void go_on(pid_t child);
void kill_child(pid_t child);

/**
 * exec_self() - in a child: become a program that has an open device, and child_ready() there
 * @fd: the device
 * @ref: what it then maps, writes an 'X' to, and leaves
 */
void exec_self(int fd, uint32_t ref);

/**
 * edge() - a page of memory with nothing usable behind it: its end
 */
char *edge(void);

/**
 * port_open() - a new event channel to the granter, through a /dev/xen/evtchn file of its own
 */
bool port_open(struct port *p);

#endif
