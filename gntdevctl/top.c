/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/top.c - gntdevctl top: what is held and done, live
 *
 * Each picture is made of fresh answers (gntdevctl/top_draw.c); here are asking, waiting, and the terminal. Whatever
 * ends the program, but SIGKILL, passes the one place where the terminal is given back.
 */
#include <ncurses.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "gntdevctl/top.h"
#include "base/clock.h"
#include "base/option.h"

#define BATCH_WIDTH  160
#define BATCH_HEIGHT 50

enum {
	OPT_DELAY = 'i',
	OPT_SORT = 's',
	OPT_BATCH = 'b',
	OPT_COUNT = 'n',
};

static const struct argp_option options[] = {
	{ "delay", OPT_DELAY, "SECONDS", 0, "Between pictures (default 1)", 1 },
	{ "sort", OPT_SORT, "KEY", 0, "Sort opens by pages (default), maps or age", 1 },
	{ "batch", OPT_BATCH, NULL, 0, "Print pictures one below the other; needs no terminal", 1 },
	{ "count", OPT_COUNT, "N", 0, "End after N pictures", 1 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

/**
 * struct top - the command line, and what is shown
 * @count: pictures to show, 0: no end
 * @path:  of the control socket
 * @asked: CLOCK_MONOTONIC, ns, of @f.stats
 */
struct top {
	struct ctl *ctl;
	unsigned long delay;
	unsigned long count;
	bool batch;
	char path[512];
	struct ctl_client c;
	struct ctl_top_frame f;
	json_t *hello, *stats, *before, *opens;
	int64_t asked;
};

static enum ctl_top_sort parse_sort(const struct argp_state *state, const char *arg)
{
	if (!strcmp(arg, "pages"))
		return CTL_TOP_PAGES;
	if (!strcmp(arg, "maps"))
		return CTL_TOP_MAPS;
	if (strcmp(arg, "age") != 0)
		argp_error(state, "--sort=%s: \"pages\", \"maps\" or \"age\" is wanted", arg);
	return CTL_TOP_AGE;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct top *t = state->input;

	switch (key) {
	case OPT_DELAY:
		t->delay = option_number(state, "delay", arg, 1, 86400);
		return 0;
	case OPT_SORT:
		t->f.sort = parse_sort(state, arg);
		return 0;
	case OPT_BATCH:
		t->batch = true;
		return 0;
	case OPT_COUNT:
		t->count = option_number(state, "count", arg, 1, ULONG_MAX);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --- asking ----------------------------------------------------------------------------------- */

static bool take_open(const struct ctl_record *r, void *arg)
{
	if (!strcmp(r->name, "open"))
		json_array_append(arg, r->value);
	return true;
}

/*
 * Between pictures the daemon may have closed the connection, since nothing was said for long, or may have been
 * replaced. A connection of which nothing is to be read is there. Return: 0, or t->c.status.
 */
static int connect_again(struct top *t)
{
	struct pollfd p = { .fd = t->c.fd, .events = POLLIN };
	int status;

	if (poll(&p, 1, 0) <= 0)
		return 0;
	ctl_close(&t->c);
	status = ctl_open(&t->c, t->path);
	if (status)
		return status;
	json_decref(t->hello);
	return ctl_each(&t->c, ctl_request("hello"), NULL, NULL, &t->hello);
}

/* The figures for the next picture. Return: 0, or t->c.status. */
static int ask(struct top *t)
{
	json_t *list = ctl_request("list");
	int64_t asked = clock_ns();
	int status = connect_again(t);

	json_decref(t->before);
	t->before = t->stats;
	t->f.seconds = (double)(asked - t->asked) / 1e9;
	t->asked = asked;
	t->stats = NULL;
	if (!status)
		status = ctl_each(&t->c, ctl_request("stats"), NULL, NULL, &t->stats);
	json_decref(t->opens);
	t->opens = json_array();
	if (json_object_set_new(list, "maps", json_false()) || !t->opens)
		exit(ctl_error(CTL_FAILED, "no memory"));
	if (!status)
		status = ctl_each(&t->c, list, take_open, t->opens, NULL);
	else
		json_decref(list);
	t->f.hello = t->hello;
	t->f.stats = t->stats;
	t->f.before = t->before;
	t->f.opens = t->opens;
	return status;
}

/* --- a picture -------------------------------------------------------------------------------- */

static void draw_json(const struct top *t)
{
	json_t *o = json_pack("{s:O, s:O}", "stats", t->stats, "opens", t->opens);

	if (!o)
		exit(ctl_error(CTL_FAILED, "no memory"));
	json_dumpf(o, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(o);
}

static void draw_batch(struct top *t)
{
	t->f.width = BATCH_WIDTH;
	t->f.height = BATCH_HEIGHT;
	if (t->ctl->json) {
		draw_json(t);
	} else {
		ctl_top_draw(&t->f, stdout);
		putchar('\n');
	}
	fflush(stdout);
}

static void draw_screen(struct top *t)
{
	char *text = NULL, *line, *rest;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return;
	getmaxyx(stdscr, t->f.height, t->f.width);
	/* The last line is for the keys; the last column of a terminal may wrap. */
	t->f.height--;
	t->f.width--;
	ctl_top_draw(&t->f, f);
	fclose(f);
	erase();
	rest = text;
	for (int y = 0; (line = strsep(&rest, "\n")) && y < t->f.height; y++)
		mvaddstr(y, 0, line);
	mvaddnstr(t->f.height, 0, "q: quit   s: sort by pages, maps, age", t->f.width);
	refresh();
	free(text);
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* Until the next picture is due, redrawing what keys and the terminal's size change. Return: go on. */
static bool wait_with_keys(struct top *t)
{
	int64_t due = t->asked + (int64_t)t->delay * 1000000000, now;

	while (!ctl_stop && (now = clock_ns()) < due) {
		int key;

		timeout((int)((due - now) / 1000000 < 200 ? (due - now) / 1000000 : 200));
		key = wgetch(stdscr);
		if (key == 'q' || key == 'Q')
			return false;
		if (key == 's')
			t->f.sort = (t->f.sort + 1) % CTL_TOP_SORTS;
		if (key == 's' || key == KEY_RESIZE)
			draw_screen(t);
	}
	return !ctl_stop;
}

static bool wait_for_time(const struct top *t)
{
	struct timespec left = { .tv_sec = (time_t)t->delay };

	return !nanosleep(&left, NULL) && !ctl_stop;
}

/* Return: 0, or t->c.status. */
static int show(struct top *t)
{
	unsigned long shown = 0;
	bool go_on = true;
	int status;

	while (go_on) {
		status = ask(t);
		if (status || ctl_stop || !t->stats)
			return status;
		if (t->batch)
			draw_batch(t);
		else
			draw_screen(t);
		if (++shown == t->count || ferror(stdout))
			return 0;
		go_on = t->batch ? wait_for_time(t) : wait_with_keys(t);
	}
	return 0;
}

/* Also when memory is out in the middle of it. */
static void give_terminal_back(void)
{
	if (!isendwin())
		endwin();
}

/* Return: NULL if there is no terminal of a type that is known. */
static SCREEN *begin_screen(void)
{
	SCREEN *s;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return NULL;
	s = newterm(NULL, stdout, stdin);
	if (!s)
		return NULL;
	atexit(give_terminal_back);
	/* After newterm(), which has its own handler for SIGINT and SIGTERM: ours let everything end well. */
	ctl_catch_signals();
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	return s;
}

static int run(struct top *t)
{
	SCREEN *screen = NULL;
	int status;

	if (t->batch) {
		ctl_catch_signals();
	} else {
		screen = begin_screen();
		if (!screen)
			return ctl_error(CTL_FAILED,
					 "top needs a terminal; without one: top --batch");
	}
	status = ctl_each(&t->c, ctl_request("hello"), NULL, NULL, &t->hello);
	if (!status)
		status = show(t);
	if (screen) {
		give_terminal_back();
		delscreen(screen);
	}
	return status ? ctl_error(status, "%s", t->c.why) : 0;
}

int ctl_top(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.doc = "Show live what is held, how often and how fast each operation is done, and "
		       "the opens that hold most. Keys: q ends, s sorts by something else. With "
		       "--batch and --json: one object a line.",
		.examples = "  gntdevctl top --sort=maps\n"
			    "  gntdevctl top -b -n 1      one picture, without a terminal\n",
		.options = options,
		.parse = parse,
	};
	struct top t = { .ctl = ctl, .delay = 1 };
	int status;

	ctl_parse(ctl, &command, argc, argv, &t);
	if (ctl->json && !t.batch)
		return ctl_error(CTL_USAGE, "top --json is for --batch");
	status = ctl_connect(ctl, &t.c);
	if (!status)
		status = ctl_socket_path(ctl, t.path, sizeof(t.path));
	if (!status)
		status = run(&t);
	ctl_close(&t.c);
	json_decref(t.hello);
	json_decref(t.stats);
	json_decref(t.before);
	json_decref(t.opens);
	return status;
}
