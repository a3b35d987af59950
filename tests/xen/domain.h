/* SPDX-License-Identifier: MIT */
/*
 * domain.h - a granter that needs no guest: a paused PV domain, made and kept by a program in dom0
 *
 * It never runs. The program that made it plays its part: writes its grant table, and sees its
 * memory, its event channels and the flags by which Xen says that a grant is held.
 *
 * Only for the Xen it was compiled for: the layouts are those of the headers, and Xen compares
 * their version.
 */
#ifndef TESTS_XEN_DOMAIN_H
#define TESTS_XEN_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <xencall.h>
#include <xenforeignmemory.h>
#include <xen/xen.h>
#include <xen/memory.h>
#include <xen/grant_table.h>

#define DOMAIN_PAGE 4096UL
/* Version 1 grant entries in one frame of the table. */
#define DOMAIN_FRAME_GRANTS 512U
/* Xen keeps the first ones for the console and the store. */
#define DOMAIN_FIRST_REF 8U

/**
 * struct domain - a granter
 * @domid: its number
 * @n: pages of memory
 * @mem: its memory, as itself sees it: @n pages in a row, not inherited by a fork
 * @frame: the frame of each page, as it stands in a grant entry
 * @grants: entries of its grant table
 * @entry: its grant table, to be read and written; entries are as the guest leaves them
 *
 * The rest is domain.c's.
 */
struct domain {
	domid_t domid;
	uint32_t n;
	char *mem;
	xen_pfn_t *frame;
	uint32_t grants;
	volatile grant_entry_v1_t *entry;

	xencall_handle *call;
	xenforeignmemory_handle *fmem;
	xenforeignmemory_resource_handle *table;
	volatile struct shared_info *shared;
};

/**
 * domain_new() - make a domain, with zeroed memory and an empty grant table
 * @pages: of memory
 * @grant_frames: of its grant table, at most what Xen allows (64); 512 grants fit into one
 *
 * Return: the domain, or NULL after a line on standard error
 */
struct domain *domain_new(uint32_t pages, uint32_t grant_frames);

/**
 * domain_destroy() - end a domain: its memory is unmapped here, and goes when nobody else maps it
 *
 * Return: 0, or -1 with errno
 */
int domain_destroy(struct domain *d);

/**
 * domain_unmap() - give up what is mapped of a domain here: its memory and its grant table
 */
void domain_unmap(struct domain *d);

/**
 * domain_kill() - end a domain, but keep what is mapped of it here: it stays as a dying one
 *
 * domain_destroy() is to follow.
 */
int domain_kill(struct domain *d);

/**
 * domain_exists() - is the domain still known to Xen, be it dying?
 */
bool domain_exists(struct domain *d);

/**
 * domain_grant() - grant a page to dom0
 * @flags: 0, or GTF_readonly
 */
void domain_grant(struct domain *d, uint32_t ref, uint32_t page, uint16_t flags);

/**
 * domain_revoke() - clear a grant entry, whoever holds it
 *
 * Return: the flags it had
 */
uint16_t domain_revoke(struct domain *d, uint32_t ref);

/**
 * domain_pinned() - who holds a grant, as the guest is told
 *
 * Return: GTF_reading and GTF_writing, or 0 if nobody holds it
 */
uint16_t domain_pinned(const struct domain *d, uint32_t ref);

/**
 * domain_page() - a page of the domain's memory, as itself sees it
 */
static inline char *domain_page(const struct domain *d, uint32_t page)
{
	return d->mem + page * DOMAIN_PAGE;
}

/**
 * domain_port() - a port of the domain that dom0 may bind to (xenevtchn_bind_interdomain())
 *
 * Return: the port, or -1 with errno
 */
int domain_port(struct domain *d);

/**
 * dom0_is_pv() - of which kind is the domain that this runs in?
 */
bool dom0_is_pv(void);

/**
 * domain_event() - has an event come in at a port since this was asked last?
 */
bool domain_event(struct domain *d, uint32_t port);

#endif
