/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/top.h - one picture of gntdevctl top
 */
#ifndef GNTDEVCTL_TOP_H
#define GNTDEVCTL_TOP_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

enum ctl_top_sort {
	CTL_TOP_PAGES,
	CTL_TOP_MAPS,
	CTL_TOP_AGE,
	CTL_TOP_SORTS,
};

/**
 * struct ctl_top_frame - what a picture is made of
 * @hello: "end" of hello
 * @stats, @before: "end" of stats, now and last time; @before NULL: there is no last time
 * @seconds: between those
 * @opens: array of the objects of "open"; sorted when it is drawn
 * @width, @height: of the picture, columns and lines
 */
struct ctl_top_frame {
	const json_t *hello;
	const json_t *stats;
	const json_t *before;
	double seconds;
	json_t *opens;
	enum ctl_top_sort sort;
	int width;
	int height;
};

/** ctl_top_draw() - write a picture: at most @height lines, of at most @width columns each */
void ctl_top_draw(struct ctl_top_frame *f, FILE *out);

/** ctl_top_rate() - how often an operation of this name ended a second, between two objects of "stats" */
double ctl_top_rate(const struct ctl_top_frame *f, const char *op);

/** ctl_top_within() - time within which 99 of 100 of them ended, us; 0 if there was none, INFINITY if unknown */
double ctl_top_within(const struct ctl_top_frame *f, const char *op);

#endif /* GNTDEVCTL_TOP_H */
