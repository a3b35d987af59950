/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/graph.c - gntdevctl graph: who maps whose pages
 *
 * Maps are added up as they come: one edge for each process and domain.
 */
#include "gntdevctl/graph.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "gntdevctl/list.h"
#include "gntdevctl/page.h"
#include "gntdevctl/share.h"
#include "gntdevctl/text.h"

/* --- collecting ------------------------------------------------------------------------------- */

struct process {
	long long pid;
	long long uid;
	char *command;
	char *unit;
};

/**
 * struct edge - what a process has mapped of a domain
 * @shared: some of its maps have other domains' pages, too
 * @pages:  [0] to read and write, [1] to read
 */
struct edge {
	long long pid;
	long long domid;
	bool shared;
	unsigned long long pages[2];
	unsigned long long maps;
};

static int compare(long long a, long long b)
{
	return a < b ? -1 : a > b;
}

static int compare_processes(const void *a, const void *b)
{
	return compare(((const struct process *)a)->pid, ((const struct process *)b)->pid);
}

static int compare_domains(const void *a, const void *b)
{
	return compare(*(const long long *)a, *(const long long *)b);
}

static int compare_edges(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;
	int c = compare(x->pid, y->pid);

	return c ? c : compare(x->domid, y->domid);
}

/* The object of a tree that is like this one; a copy of it is put there if there is none. */
static void *intern(void **root, const void *like, size_t size,
		    int (*order)(const void *a, const void *b))
{
	void **found = tfind(like, root, order), *copy;

	if (found)
		return *found;
	copy = malloc(size);
	if (!copy || !tsearch(memcpy(copy, like, size), root, order))
		exit(ctl_error(CTL_FAILED, "no memory"));
	return copy;
}

static char *clean_copy(const char *text)
{
	char clean[256];
	char *copy;

	ctl_clean(clean, sizeof(clean), text);
	copy = strdup(clean);
	if (!copy)
		exit(ctl_error(CTL_FAILED, "no memory"));
	return copy;
}

static struct process *process(struct ctl_graph_sums *g, long long pid)
{
	struct process p = { .pid = pid, .uid = -1 };

	return intern(&g->processes, &p, sizeof(p), compare_processes);
}

static void add_open(struct ctl_graph_sums *g, const json_t *o)
{
	const char *unit = ctl_string(o, "unit");
	struct process *p = process(g, ctl_integer(o, "pid", 0));

	if (p->command)
		return;
	p->uid = ctl_integer(o, "uid", -1);
	p->command = clean_copy(ctl_string(o, "command"));
	p->unit = clean_copy(*unit ? unit : ctl_string(o, "cgroup"));
}

static void add_edge(struct ctl_graph_sums *g, const json_t *m, long long pid, long long domid,
		     bool shared)
{
	struct edge like = {
		.pid = pid,
		.domid = domid,
	};
	unsigned long long pages = (unsigned long long)ctl_integer(m, "pages", 0);
	struct edge *e = intern(&g->edges, &like, sizeof(like), compare_edges);

	e->shared |= shared;
	e->pages[json_is_true(json_object_get(m, "readonly"))] += pages;
	e->maps++;
	g->pages += pages;
	process(g, pid);
	intern(&g->domains, &domid, sizeof(domid), compare_domains);
}

/* Only what is mapped: a reservation shows nobody's pages. Holders that are hidden are all one, 0. */
static void add_map(struct ctl_graph_sums *g, const json_t *m)
{
	const json_t *domids = json_object_get(m, "domids");
	long long pid = ctl_integer(m, "holder", -1);
	json_t *d;
	size_t i;

	if (!json_is_boolean(json_object_get(m, "readonly")) || pid < 0)
		return;
	if (json_array_size(domids) < 2) {
		add_edge(g, m, pid, ctl_integer(m, "domid", 0), false);
		return;
	}
	json_array_foreach(domids, i, d)
		add_edge(g, m, pid, (long long)json_integer_value(d), true);
}

bool ctl_graph_add(const struct ctl_record *r, void *arg)
{
	struct ctl_graph_sums *g = arg;

	if (!strcmp(r->name, "open"))
		add_open(g, r->value);
	else if (!strcmp(r->name, "map"))
		add_map(g, r->value);
	return true;
}

static void free_process(void *p)
{
	struct process *q = p;

	free(q->command);
	free(q->unit);
	free(q);
}

void ctl_graph_free(struct ctl_graph_sums *g)
{
	tdestroy(g->processes, free_process);
	tdestroy(g->domains, free);
	tdestroy(g->edges, free);
	json_decref(g->stats);
	*g = (struct ctl_graph_sums){ 0 };
}

/* --- Graphviz' language ------------------------------------------------------------------------- */

/* Inside "": a backslash begins an escape, and "&" an entity as in HTML. */
void ctl_graph_quote(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (*text == '&') {
			fputs("&amp;", f);
			continue;
		}
		if (*text == '"' || *text == '\\')
			fputc('\\', f);
		fputc(*text, f);
	}
}

/* How much of the fullest of its limits a user holds; NULL: none is known. */
static const json_t *user_of(const struct ctl_graph_sums *g, long long uid)
{
	json_t *u;
	size_t i;

	json_array_foreach(json_object_get(g->stats, "users"), i, u)
		if (uid >= 0 && ctl_integer(u, "uid", -1) == uid && !json_object_get(u, "owner"))
			return u;
	return NULL;
}

/* "pages 17 of 20 (85.0 %)" of the limit that is nearest, on a line of its own. Return: how near. */
static enum ctl_paint write_share(const struct ctl_graph_sums *g, long long uid, FILE *f)
{
	const json_t *u = user_of(g, uid);
	struct ctl_use fullest = { 0 };
	enum policy_thing what = 0;

	for (int i = 0; u && i < POLICY_N_THINGS; i++) {
		const struct ctl_use use = ctl_use(u, ctl_limits_of(g->stats, u), POLICY_SCOPE_USER,
						   (enum policy_thing)i);

		if (!use.limit ||
		    (fullest.limit && (double)use.held / (double)use.limit <=
					      (double)fullest.held / (double)fullest.limit))
			continue;
		fullest = use;
		what = (enum policy_thing)i;
	}
	if (!fullest.limit)
		return CTL_PLAIN;
	fprintf(f, ": %s %s", policy_thing_name(what),
		ctl_share((uint64_t)fullest.held, (uint64_t)fullest.limit).s);
	return ctl_share_paint((uint64_t)fullest.held, (uint64_t)fullest.limit);
}

/* What twalk_r() hands on. */
struct writer {
	const struct ctl_graph_sums *g;
	FILE *f;
};

static void write_process(const void *node, VISIT order, void *arg)
{
	static const char *const frames[] = { [CTL_POOR] = ", color=darkorange, penwidth=2",
					      [CTL_WRONG] = ", color=red, penwidth=2" };
	const struct process *p = *(const struct process *const *)node;
	const struct writer *w = arg;
	enum ctl_paint paint = CTL_PLAIN;
	FILE *f = w->f;

	if (order != postorder && order != leaf)
		return;
	fprintf(f, "\tp%lld [shape=box, label=\"", p->pid);
	if (p->command && *p->command) {
		ctl_graph_quote(f, p->command);
		fputs("\\n", f);
	}
	if (p->pid > 0)
		fprintf(f, "pid %lld", p->pid);
	else
		fputs("hidden", f);
	if (p->unit && *p->unit) {
		fputs("\\n", f);
		ctl_graph_quote(f, p->unit);
	}
	if (p->uid >= 0) {
		fputs("\\nuser ", f);
		ctl_graph_quote(f, ctl_user((uid_t)p->uid).s);
		paint = write_share(w->g, p->uid, f);
	}
	fprintf(f, "\"%s];\n", paint < CTL_POOR ? "" : frames[paint]);
}

static void write_domain(const void *node, VISIT order, void *arg)
{
	long long domid = **(const long long *const *)node;
	const struct writer *w = arg;

	if (order == postorder || order == leaf)
		fprintf(w->f, "\td%lld [shape=ellipse, label=\"domain %lld\"];\n", domid, domid);
}

/* One wider for each factor of four: a page 1, 4096 pages 7. */
static unsigned int width_of(unsigned long long pages)
{
	unsigned int width = 1;

	for (; pages >= 4 && width < 12; pages /= 4)
		width++;
	return width;
}

static void write_edge(const void *node, VISIT order, void *arg)
{
	const struct edge *e = *(const struct edge *const *)node;
	unsigned long long all = e->pages[0] + e->pages[1];
	const struct writer *w = arg;

	if (order != postorder && order != leaf)
		return;
	/* Blanks keep it off the line. */
	fprintf(w->f, "\tp%lld -> d%lld [label=\"  %s%llu page%s", e->pid, e->domid,
		e->shared ? "up to " : "", all, all == 1 ? "" : "s");
	if (e->pages[0] && e->pages[1])
		fprintf(w->f, " (%llu rw, %llu ro)", e->pages[0], e->pages[1]);
	else
		fputs(e->pages[1] ? " ro" : " rw", w->f);
	fprintf(w->f, ", %llu map%s  \", penwidth=%u%s];\n", e->maps, e->maps == 1 ? "" : "s",
		width_of(all), e->pages[0] ? "" : ", style=dashed");
}

static void count_node(const void *node, VISIT order, void *n)
{
	(void)node;
	*(size_t *)n += order == postorder || order == leaf;
}

static size_t n_nodes(const void *tree)
{
	size_t n = 0;

	twalk_r(tree, count_node, &n);
	return n;
}

/* What it shows, and by what. */
static void write_legend(const struct ctl_graph_sums *g, FILE *f)
{
	fprintf(f,
		"\tlabelloc=t;\n"
		"\tlabel=\"Who maps whose pages: %zu processes, %zu domains, %llu pages\\n"
		"solid: to read and write; dashed: to read only; the wider the more pages\\n"
		"orange, red: of a user who holds more than 80 %%, or all, of a limit\\n \";\n",
		n_nodes(g->processes), n_nodes(g->domains), g->pages);
	if (!g->edges)
		fputs("\tnone [shape=plaintext, label=\"nobody maps anything\"];\n", f);
}

void ctl_graph_write(const struct ctl_graph_sums *g, FILE *f)
{
	struct writer w = { g, f };

	fputs("digraph gntdev {\n"
	      "\trankdir=LR;\n"
	      "\tranksep=1.5;\n"
	      "\tfontname=\"sans-serif\";\n"
	      "\tnode [fontname=\"sans-serif\"];\n"
	      "\tedge [fontname=\"sans-serif\", fontsize=10];\n",
	      f);
	write_legend(g, f);
	twalk_r(g->processes, write_process, &w);
	twalk_r(g->domains, write_domain, &w);
	twalk_r(g->edges, write_edge, &w);
	fputs("}\n", f);
}

/* --- the command ------------------------------------------------------------------------------ */

enum {
	OPT_SVG = 'g',
	OPT_HTML = 0x200,
};

static const struct argp_option options[] = {
	{ "svg", OPT_SVG, "FILE", OPTION_ARG_OPTIONAL,
	  "Draw it (by Graphviz' dot): an SVG image to FILE, or to standard output", 1 },
	{ "html", OPT_HTML, "FILE", OPTION_ARG_OPTIONAL,
	  "A page to open in a browser, with tables of all that is known: to FILE, or to standard "
	  "output",
	  1 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

/**
 * struct graph_args - the command line
 * @format: OPT_SVG, OPT_HTML, or 0: text
 * @file:   NULL: standard output
 */
struct graph_args {
	struct ctl_filter filter;
	int format;
	const char *file;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct graph_args *a = state->input;

	switch (key) {
	case OPT_SVG:
	case OPT_HTML:
		if (a->format && a->format != key)
			argp_error(state, "--svg and --html: one of them");
		a->format = key;
		a->file = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state,
			   "\"%s\": there are no arguments besides options (--svg=FILE and "
			   "--html=FILE are one word)",
			   arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Return: the exit status, and a message if it is not 0. */
static int run_dot(int in, int out)
{
	static const char *const dot[] = { "dot", "-Tsvg", NULL };
	int status = ctl_spawn(dot, in, out);

	if (status == -ENOENT)
		return ctl_error(CTL_FAILED, "dot is not there: apt-get install graphviz (without "
					     "--svg its input is printed; --html needs none)");
	if (status < 0)
		return ctl_error(CTL_FAILED, "cannot run dot: %s", strerror(-status));
	return status ? ctl_error(CTL_FAILED, "dot has failed, with status %d", status) : 0;
}

/* What was drawn, to the file that was asked for. @from: at its end. */
static int copy_to(int from, FILE *out)
{
	char buf[65536];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(from, buf, sizeof(buf), at)) > 0) {
		if (fwrite(buf, 1, (size_t)n, out) != (size_t)n)
			break;
		at += n;
	}
	return n ? ctl_error(CTL_FAILED, "cannot write: %s", strerror(errno)) : 0;
}

static int draw(const struct ctl_graph_sums *g, FILE *out)
{
	int in = memfd_create("graph", MFD_CLOEXEC), svg = memfd_create("svg", MFD_CLOEXEC), status;
	FILE *f = in < 0 ? NULL : fdopen(in, "w");

	if (!f || svg < 0)
		return ctl_error(CTL_FAILED, "memfd_create: %s", strerror(errno));
	ctl_graph_write(g, f);
	if (fflush(f) || lseek(in, 0, SEEK_SET))
		status = ctl_error(CTL_FAILED, "cannot write: %s", strerror(errno));
	else
		status = run_dot(in, svg);
	if (!status)
		status = copy_to(svg, out);
	fclose(f);
	close(svg);
	return status;
}

/* --json: the same text as an object, or the drawing. */
static int write_json(const struct ctl_graph_sums *g)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	json_t *o;

	if (!f)
		return ctl_error(CTL_FAILED, "no memory");
	ctl_graph_write(g, f);
	fclose(f);
	o = json_pack("{s:s}", "dot", text);
	free(text);
	if (!o)
		return ctl_error(CTL_FAILED, "no memory");
	ctl_print_object(o);
	json_decref(o);
	return 0;
}

/* Return: the exit status. */
static int write_as(const struct ctl *ctl, int format, const struct ctl_graph_sums *g,
		    const json_t *list, FILE *out)
{
	if (format == OPT_SVG)
		return draw(g, out);
	if (format == OPT_HTML)
		return ctl_page_write(ctl, g->stats, list, out);
	if (ctl->json)
		return write_json(g);
	ctl_graph_write(g, out);
	return 0;
}

/* A file is made when there is something to write: one that was there stays if nothing is. */
static int write_to(const struct ctl *ctl, const struct graph_args *a,
		    const struct ctl_graph_sums *g, const json_t *list)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f;
	int status;

	if (!a->file)
		return write_as(ctl, a->format, g, list, stdout);
	f = open_memstream(&text, &size);
	if (!f)
		return ctl_error(CTL_FAILED, "no memory");
	status = write_as(ctl, a->format, g, list, f);
	fclose(f);
	f = status ? NULL : fopen(a->file, "we");
	if (!status && (!f || fwrite(text, 1, size, f) != size))
		status = ctl_error(CTL_FAILED, "%s: %s", a->file, strerror(errno));
	if (f && fclose(f) && !status)
		status = ctl_error(CTL_FAILED, "%s: %s", a->file, strerror(errno));
	free(text);
	return status;
}

/* What is added up, and for a page kept as well. */
struct collector {
	struct ctl_graph_sums *g;
	json_t *list;
};

static bool take(const struct ctl_record *r, void *arg)
{
	struct collector *c = arg;

	if (c->list && json_array_size(c->list) < CTL_PAGE_ROWS)
		json_array_append_new(c->list, json_pack("{s:O}", r->name, r->value));
	return ctl_graph_add(r, c->g);
}

int ctl_graph(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.doc = "Draw which processes map which domains' pages: Graphviz' text (with "
		       "--json: as the member \"dot\" of an object), an image, or a page.",
		.examples = "  gntdevctl graph --svg=dom0.svg\n"
			    "  gntdevctl graph --html=dom0.html\n"
			    "  gntdevctl graph --domid 7 | dot -Tpng >who.png\n",
		.options = options,
		.parse = parse,
		.more = &ctl_filters,
	};
	struct graph_args a = { .filter = ctl_filter_init() };
	struct ctl_graph_sums g = { 0 };
	struct collector c = { .g = &g };
	json_t *end;
	int status;

	ctl_parse(ctl, &command, argc, argv, &a);
	c.list = a.format == OPT_HTML ? json_array() : NULL;
	status = ctl_query(ctl, a.filter.request, take, &c, &end);
	json_decref(end);
	if (!status)
		status = ctl_query(ctl, ctl_request("stats"), NULL, NULL, &g.stats);
	if (!status)
		status = write_to(ctl, &a, &g, c.list);
	json_decref(c.list);
	ctl_graph_free(&g);
	return status;
}
