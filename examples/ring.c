/* SPDX-License-Identifier: MIT */
/*
 * ring.c - a ring buffer between two processes in granted pages
 *
 * As a Xen device does it: one page is the ring's head, whose reference is told to the other side;
 * it names the references of the data pages. One producer, one consumer, no lock: each counts the
 * bytes it has moved, and only ever writes its own counter. The data goes before the counter
 * (release), so who sees the counter (acquire) sees the data. What the other domain wrote is
 * checked before it is believed.
 */
#include <err.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <xengnttab.h>

#define PAGE	   4096
#define DATA_PAGES 16
#define CAPACITY   ((uint64_t)DATA_PAGES * PAGE)
#define BLOCK	   8192 /* bytes made and checked at a time */
#define PATIENCE_S 10
#define SPINS	   1000

struct head {
	_Alignas(64) _Atomic uint64_t produced; /* bytes; written by the producer */
	uint64_t total;
	uint64_t sum;
	uint32_t refs[DATA_PAGES];
	_Alignas(64) _Atomic uint64_t consumed; /* bytes; written by the consumer */
	_Atomic uint64_t verdict;		/* 1: the sums agree, 2: they do not */
};
_Static_assert(sizeof(struct head) <= PAGE, "one page");

static void usage(void)
{
	fprintf(stderr,
		"usage: ring produce DOMID [MIB]   grants a ring to domain DOMID, prints its\n"
		"                                  reference, and sends MIB (16) through it\n"
		"       ring consume DOMID REF     takes what domain DOMID sends\n");
	exit(2);
}

static uint32_t number(const char *arg, unsigned long max)
{
	char *end;
	unsigned long v = strtoul(arg, &end, 0);

	if (end == arg || *end || *arg == '-' || v > max)
		errx(2, "\"%s\" is not a number from 0 to %lu", arg, max);
	return (uint32_t)v;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/*
 * Wait until a counter of the other side differs from @seen: spin a little, in case it runs on
 * another processor, then sleep, in case it waits for this one. Return: its value.
 */
static uint64_t await_change(_Atomic uint64_t *counter, uint64_t seen)
{
	const time_t since = time(NULL);
	uint64_t v;

	for (int i = 0; (v = atomic_load_explicit(counter, memory_order_acquire)) == seen; i++) {
		if (i < SPINS)
			continue;
		usleep(20);
		if (time(NULL) - since > PATIENCE_S)
			errx(1, "the other side has not moved for %d s: is it gone?", PATIENCE_S);
	}
	return v;
}

/* Numbers that look random, the same in every run. */
static void make_block(uint64_t *block, uint64_t *state)
{
	for (size_t i = 0; i < BLOCK / sizeof(*block); i++) {
		*state ^= *state << 13;
		*state ^= *state >> 7;
		*state ^= *state << 17;
		block[i] = *state;
	}
}

static uint64_t add_to_sum(uint64_t sum, const uint64_t *block)
{
	for (size_t i = 0; i < BLOCK / sizeof(*block); i++)
		sum = (sum << 7 | sum >> 57) + block[i];
	return sum;
}

static void send_all(struct head *head, char *data)
{
	uint64_t block[BLOCK / sizeof(uint64_t)], state = 0x9e3779b97f4a7c15, done = 0,
						  consumed = 0;

	while (done < head->total) {
		make_block(block, &state);
		head->sum = add_to_sum(head->sum, block);
		while (done - consumed > CAPACITY - BLOCK)
			consumed = await_change(&head->consumed, consumed);
		if (consumed > done)
			errx(1, "the consumer says it has more than was sent");
		/* BLOCK divides CAPACITY: a block never wraps. */
		memcpy(data + done % CAPACITY, block, BLOCK);
		done += BLOCK;
		atomic_store_explicit(&head->produced, done, memory_order_release);
	}
}

static uint64_t receive_all(struct head *head, const char *data, uint64_t total)
{
	uint64_t block[BLOCK / sizeof(uint64_t)], done = 0, produced = 0, sum = 0;

	while (done < total) {
		while (produced - done < BLOCK)
			produced = await_change(&head->produced, produced);
		if (produced < done || produced - done > CAPACITY)
			errx(1, "the producer says it has sent what cannot have been sent");
		memcpy(block, data + done % CAPACITY, BLOCK);
		sum = add_to_sum(sum, block);
		done += BLOCK;
		atomic_store_explicit(&head->consumed, done, memory_order_release);
	}
	return sum;
}

static int produce(uint32_t domid, uint64_t mib)
{
	xengntshr_handle *xgs = xengntshr_open(NULL, 0);
	struct head *head;
	uint32_t ref;
	char *data;

	if (!xgs)
		err(1, "/dev/xen/gntalloc (is cuse_gntdev running, and may you open the device?)");
	head = xengntshr_share_pages(xgs, domid, 1, &ref, 1);
	if (!head)
		err(1, "cannot share (ENODEV: start me with gntdev-run)");
	/* The consumer only reads these. */
	data = xengntshr_share_pages(xgs, domid, DATA_PAGES, head->refs, 0);
	if (!data)
		err(1, "cannot share %d pages", DATA_PAGES);
	head->total = mib << 20;
	printf("ref: %u\n", ref);
	fflush(stdout);
	send_all(head, data);
	if (await_change(&head->verdict, 0) != 1)
		errx(1, "the consumer got something else than was sent");
	printf("sent %lu MiB, the consumer's checksum agrees\n", (unsigned long)mib);
	xengntshr_unshare(xgs, data, DATA_PAGES);
	xengntshr_unshare(xgs, head, 1);
	xengntshr_close(xgs);
	return 0;
}

static int consume(uint32_t domid, uint32_t ref)
{
	xengnttab_handle *xgt = xengnttab_open(NULL, 0);
	uint32_t refs[DATA_PAGES];
	struct head *head;
	uint64_t total, sum;
	double start, seconds;
	bool agree;
	char *data;

	if (!xgt)
		err(1, "/dev/xen/gntdev (is cuse_gntdev running, and may you open the device?)");
	head = xengnttab_map_grant_ref(xgt, domid, ref, PROT_READ | PROT_WRITE);
	if (!head)
		err(1, "cannot map ref %u (ENODEV: start me with gntdev-run)", ref);
	/* Taken once: the producer could change them under our hands. */
	memcpy(refs, head->refs, sizeof(refs));
	total = head->total;
	data = xengnttab_map_domain_grant_refs(xgt, DATA_PAGES, domid, refs, PROT_READ);
	if (!data)
		err(1, "cannot map the data pages: is ref %u the head of a ring?", ref);
	start = now();
	sum = receive_all(head, data, total);
	agree = sum == head->sum;
	seconds = now() - start;
	printf("received %lu MiB in %.3f s: %.0f MiB/s, checksum %016lx %s\n",
	       (unsigned long)(total >> 20), seconds, (double)(total >> 20) / seconds, sum,
	       agree ? "agrees" : "DIFFERS");
	atomic_store(&head->verdict, agree ? 1 : 2);
	if (xengnttab_unmap(xgt, data, DATA_PAGES) || xengnttab_unmap(xgt, head, 1))
		err(1, "cannot unmap");
	xengnttab_close(xgt);
	return agree ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && argc <= 4 && !strcmp(argv[1], "produce"))
		return produce(number(argv[2], 0x7fef), argc == 4 ? number(argv[3], 1 << 20) : 16);
	if (argc == 4 && !strcmp(argv[1], "consume"))
		return consume(number(argv[2], 0x7fef), number(argv[3], UINT32_MAX));
	usage();
}
