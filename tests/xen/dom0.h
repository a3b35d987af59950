/* SPDX-License-Identifier: MIT */
/*
 * dom0.h - what tests of windows have in common: a device's maps without libxengnttab, dom0's own
 * memory as Xen and the kernel see it, and results
 */
#ifndef TESTS_XEN_DOM0_H
#define TESTS_XEN_DOM0_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "domain.h"

/* What a client has of some grants. */
struct client_map {
	int device;
	uint64_t index;
	uint32_t n;
	char *at;
};

/**
 * device_open() - open the device, or end the process
 */
int device_open(void);

/**
 * device_map() - MAP_GRANT_REF of references in a row
 *
 * Return: the index; or end the process
 */
uint64_t device_map(int device, domid_t domid, uint32_t ref, uint32_t n);

/**
 * device_unmap() - UNMAP_GRANT_REF
 *
 * Return: 0, or -1 with errno
 */
int device_unmap(int device, uint64_t index, uint32_t n);

/**
 * device_notify() - SET_UNMAP_NOTIFY
 *
 * Return: 0, or -1 with errno
 */
int device_notify(int device, uint64_t byte, uint32_t action, uint32_t port);

/**
 * client_map() - open, MAP_GRANT_REF, mmap: by the preload object; or end the process
 */
struct client_map client_map(domid_t domid, uint32_t ref, uint32_t n, int prot);

/**
 * client_unmap() - munmap and UNMAP_GRANT_REF; the device stays open
 */
void client_unmap(const struct client_map *m);

/**
 * window_ask() - speak the window protocol: a client that keeps what the preload object closes
 * @window: out: the descriptor of the window
 *
 * Return: the daemon's errno, or 0
 */
int window_ask(int device, uint64_t index, uint32_t n, int prot, int *window);

/**
 * dom0_frames() - how many frames dom0 has, as Xen counts them
 */
long dom0_frames(void);

/**
 * pattern_fill() - fill a page with a pattern that is nowhere else
 * @key: of many patterns this one
 */
void pattern_fill(char *page, uint64_t key);

/**
 * pattern_is() - does a page hold the pattern, and nothing else?
 */
bool pattern_is(const char *page, uint64_t key);

/**
 * pattern_in_memory() - look for the pattern in all of dom0's memory, used or free
 *
 * Return: how many pages have it, or -1 if the memory cannot be read
 */
long pattern_in_memory(uint64_t key);

/**
 * memory_available() - pages that can be had without swapping
 */
unsigned long memory_available(void);

/**
 * memory_is_sound() - take memory, write to it, and see whether it is what was written
 */
bool memory_is_sound(unsigned long pages);

/**
 * daemon_held() - ask the daemon by SIGUSR1 what it holds
 * @what: such as "handles", as its report names it; the log is $CASE_DIR/daemon.log
 *
 * Return: how many, or -1
 */
long daemon_held(pid_t daemon, const char *what);

/**
 * hog_new() - a domain that takes all memory that Xen has, until domain_destroy()
 *
 * Return: the domain, or NULL after a line on standard error
 */
struct domain *hog_new(void);

/**
 * report() - a line of TAP
 *
 * Return: @good
 */
bool report(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));

/**
 * reported_bad() - how many have been bad in this process
 */
unsigned int reported_bad(void);

/**
 * die() - end the process: what, and errno
 */
_Noreturn void die(const char *what);

/**
 * now_ms() - a clock
 */
uint64_t now_ms(void);

/**
 * released() - wait until nobody holds some grants
 *
 * Return: whether that came within 5 s
 */
bool released(const struct domain *d, uint32_t ref, uint32_t n);

#endif
