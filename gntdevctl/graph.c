/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/graph.c - gntdevctl graph: who maps whose pages
 *
 * Maps are added up as they come: one edge for each process, domain and mode.
 */
#include "gntdevctl/graph.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "gntdevctl/list.h"
#include "gntdevctl/text.h"

/* --- collecting ------------------------------------------------------------------------------- */

struct process {
	long long pid;
	char *command;
	char *unit;
};

struct edge {
	long long pid;
	long long domid;
	bool readonly;
	bool shared; /* some of its maps have other domains' pages, too */
	unsigned long long pages;
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

	if (!c)
		c = compare(x->domid, y->domid);
	return c ? c : compare(x->readonly, y->readonly);
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
	struct process p = { .pid = pid };

	return intern(&g->processes, &p, sizeof(p), compare_processes);
}

static void add_open(struct ctl_graph_sums *g, const json_t *o)
{
	const char *unit = ctl_string(o, "unit");
	struct process *p = process(g, ctl_integer(o, "pid", 0));

	if (p->command)
		return;
	p->command = clean_copy(ctl_string(o, "command"));
	p->unit = clean_copy(*unit ? unit : ctl_string(o, "cgroup"));
}

static void add_edge(struct ctl_graph_sums *g, const json_t *m, long long pid, long long domid,
		     bool shared)
{
	struct edge like = {
		.pid = pid,
		.domid = domid,
		.readonly = json_is_true(json_object_get(m, "readonly")),
	};
	struct edge *e = intern(&g->edges, &like, sizeof(like), compare_edges);

	e->shared |= shared;
	e->pages += (unsigned long long)ctl_integer(m, "pages", 0);
	e->maps++;
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

static void write_process(const void *node, VISIT order, void *out)
{
	const struct process *p = *(const struct process *const *)node;
	FILE *f = out;

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
	fputs("\"];\n", f);
}

static void write_domain(const void *node, VISIT order, void *out)
{
	long long domid = **(const long long *const *)node;

	if (order == postorder || order == leaf)
		fprintf(out, "\td%lld [shape=ellipse, label=\"domain %lld\"];\n", domid, domid);
}

static void write_edge(const void *node, VISIT order, void *out)
{
	const struct edge *e = *(const struct edge *const *)node;

	if (order != postorder && order != leaf)
		return;
	fprintf(out, "\tp%lld -> d%lld [label=\"%s%llu page%s %s, %llu map%s\"%s];\n", e->pid,
		e->domid, e->shared ? "up to " : "", e->pages, e->pages == 1 ? "" : "s",
		e->readonly ? "ro" : "rw", e->maps, e->maps == 1 ? "" : "s",
		e->readonly ? ", style=dashed" : "");
}

void ctl_graph_write(const struct ctl_graph_sums *g, FILE *f)
{
	fputs("digraph gntdev {\n"
	      "\trankdir=LR;\n"
	      "\tnode [fontname=\"sans-serif\"];\n"
	      "\tedge [fontname=\"sans-serif\", fontsize=10];\n",
	      f);
	twalk_r(g->processes, write_process, f);
	twalk_r(g->domains, write_domain, f);
	twalk_r(g->edges, write_edge, f);
	fputs("}\n", f);
}

/* --- the command ------------------------------------------------------------------------------ */

enum {
	OPT_SVG = 'g',
};

static const struct argp_option options[] = {
	{ "svg", OPT_SVG, "FILE", OPTION_ARG_OPTIONAL,
	  "Draw it (by Graphviz' dot): an SVG image to FILE, or to standard output", 1 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

struct graph_args {
	struct ctl_filter filter;
	bool svg;
	const char *file;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct graph_args *a = state->input;

	switch (key) {
	case OPT_SVG:
		a->svg = true;
		a->file = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(
			state,
			"\"%s\": there are no arguments besides options (--svg=FILE is one word)",
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
					     "--svg its input is printed)");
	if (status < 0)
		return ctl_error(CTL_FAILED, "cannot run dot: %s", strerror(-status));
	return status ? ctl_error(CTL_FAILED, "dot has failed, with status %d", status) : 0;
}

static int draw(const struct ctl_graph_sums *g, const char *file)
{
	int in = memfd_create("graph", MFD_CLOEXEC), out = STDOUT_FILENO, status;
	FILE *f = in < 0 ? NULL : fdopen(in, "w");

	if (!f)
		return ctl_error(CTL_FAILED, "memfd_create: %s", strerror(errno));
	ctl_graph_write(g, f);
	if (fflush(f) || lseek(in, 0, SEEK_SET)) {
		fclose(f);
		return ctl_error(CTL_FAILED, "cannot write: %s", strerror(errno));
	}
	if (file)
		out = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	status =
		out < 0 ? ctl_error(CTL_FAILED, "%s: %s", file, strerror(errno)) : run_dot(in, out);
	fclose(f);
	if (file && out >= 0 && close(out) && !status)
		status = ctl_error(CTL_FAILED, "%s: %s", file, strerror(errno));
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

int ctl_graph(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.doc = "Draw which processes map which domains' pages: Graphviz' text (with "
		       "--json: as the member \"dot\" of an object), or an image.",
		.examples = "  gntdevctl graph --svg=dom0.svg\n"
			    "  gntdevctl graph --domid 7 | dot -Tpng >who.png\n",
		.options = options,
		.parse = parse,
		.more = &ctl_filters,
	};
	struct graph_args a = { .filter = ctl_filter_init() };
	struct ctl_graph_sums g = { 0 };
	json_t *end;
	int status;

	ctl_parse(ctl, &command, argc, argv, &a);
	status = ctl_query(ctl, a.filter.request, ctl_graph_add, &g, &end);
	json_decref(end);
	if (!status && a.svg)
		status = draw(&g, a.file);
	else if (!status && ctl->json)
		status = write_json(&g);
	else if (!status)
		ctl_graph_write(&g, stdout);
	ctl_graph_free(&g);
	return status;
}
