/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/top.h - one picture of gntdevctl top
 */
#ifndef GNTDEVCTL_TOP_H
#define GNTDEVCTL_TOP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "gntdevctl/text.h"

enum ctl_top_sort {
	CTL_TOP_PAGES,
	CTL_TOP_MAPS,
	CTL_TOP_AGE, /* of domains: their number */
	CTL_TOP_SORTS,
};

#define CTL_TOP_DOMAINS 65536

/**
 * struct ctl_top_domain - what is mapped of a domain
 * @opens: that have maps of it
 * @last:  the open that was counted last, 0: none
 */
struct ctl_top_domain {
	uint64_t pages;
	uint64_t maps;
	uint64_t opens;
	uint64_t last;
};

/**
 * struct ctl_top_frame - what a picture is made of
 * @hello: "end" of hello
 * @stats, @before: "end" of stats, now and last time; @before NULL: there is no last time
 * @seconds: between those
 * @opens: array of the objects of "open"
 * @domain: CTL_TOP_DOMAINS of them; NULL: opens are listed, and not domains
 * @filter: only rows with this in them; "": all
 * @first:  the row to begin with; less if there are not so many
 * @width, @height: of the picture, columns and lines
 */
struct ctl_top_frame {
	const json_t *hello;
	const json_t *stats;
	const json_t *before;
	double seconds;
	json_t *opens;
	const struct ctl_top_domain *domain;
	char filter[32];
	size_t first;
	enum ctl_top_sort sort;
	int width;
	int height;
};

/** ctl_top_count() - count a map for its domains. @map: the object of "map"; @domain: CTL_TOP_DOMAINS of them */
void ctl_top_count(struct ctl_top_domain *domain, const json_t *map);

/* Takes a line of a picture. */
typedef void (*ctl_top_line_fn)(void *arg, enum ctl_paint paint, const char *text);

/** ctl_top_draw() - make a picture: at most @height lines, of at most @width columns each. Sets @first to what it was */
void ctl_top_draw(struct ctl_top_frame *f, ctl_top_line_fn put, void *arg);

/** ctl_top_rate() - how often an operation of this name ended a second, between two objects of "stats" */
double ctl_top_rate(const struct ctl_top_frame *f, const char *op);

/**
 * ctl_top_within() - time within which a share of them ended, us
 * @share: 0 to 1
 *
 * Return: the upper bound of a bucket; 0 if there was none, INFINITY if it is the bucket without one.
 */
double ctl_top_within(const struct ctl_top_frame *f, const char *op, double share);

#endif /* GNTDEVCTL_TOP_H */
