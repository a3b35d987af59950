/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/graph.h - who maps whose pages: what a list of maps adds up to
 */
#ifndef GNTDEVCTL_GRAPH_H
#define GNTDEVCTL_GRAPH_H

#include <stdbool.h>
#include <stdio.h>

#include "gntdevctl/client.h"

/**
 * struct ctl_graph_sums - processes, domains, and edges between them: trees of search.h
 * @pages: of all edges
 * @stats: "end" of stats: what users hold, and their limits; may be NULL. Owned by it
 *
 * All zeroes: nothing yet.
 */
struct ctl_graph_sums {
	void *processes;
	void *domains;
	void *edges;
	unsigned long long pages;
	json_t *stats;
};

/** ctl_graph_add() - add a record of "list". @arg: the sums. A ctl_record_fn; returns true */
bool ctl_graph_add(const struct ctl_record *r, void *arg);

/** ctl_graph_write() - the graph in Graphviz' language, the same for the same maps in any order */
void ctl_graph_write(const struct ctl_graph_sums *g, FILE *f);

/** ctl_graph_quote() - what a text is between quotes in that language; it was cleaned before */
void ctl_graph_quote(FILE *f, const char *text);

void ctl_graph_free(struct ctl_graph_sums *g);

#endif /* GNTDEVCTL_GRAPH_H */
