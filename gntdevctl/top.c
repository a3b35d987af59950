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
 * @domain: CTL_TOP_DOMAINS of them, once they are wanted; @domains: they are shown
 * @domains_due: CLOCK_MONOTONIC, ns: not to be asked for before
 * @page:  rows that keys turn over
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
	uint64_t asked;
	struct ctl_top_domain *domain;
	bool domains;
	uint64_t domains_due;
	size_t page;
};

/* Of its time at most one part in so many is spent on asking for all maps. */
#define DOMAINS_SHARE 20

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

static bool take_map(const struct ctl_record *r, void *arg)
{
	if (!strcmp(r->name, "map"))
		ctl_top_count(arg, r->value);
	return true;
}

/* All maps, which may be many: the more there are the rarer they are asked for. Return: 0, or t->c.status. */
static int ask_domains(struct top *t)
{
	uint64_t begun = clock_ns();
	int status;

	if (!t->domains || begun < t->domains_due)
		return 0;
	if (!t->domain)
		t->domain = calloc(CTL_TOP_DOMAINS, sizeof(*t->domain));
	if (!t->domain)
		exit(ctl_error(CTL_FAILED, "no memory"));
	memset(t->domain, 0, CTL_TOP_DOMAINS * sizeof(*t->domain));
	status = ctl_each(&t->c, ctl_request("list"), take_map, t->domain, NULL);
	t->domains_due = clock_ns() + DOMAINS_SHARE * (clock_ns() - begun);
	return status;
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
	uint64_t asked = clock_ns();
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
	if (!status)
		status = ask_domains(t);
	t->f.domain = t->domains ? t->domain : NULL;
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

static void put_line(void *arg, enum ctl_paint paint, const char *text)
{
	(void)arg;
	printf("%s%s%s\n", paint == CTL_PLAIN ? "" : ctl_paint(paint), text,
	       paint == CTL_PLAIN ? "" : ctl_paint(CTL_PLAIN));
}

static void draw_batch(struct top *t)
{
	t->f.width = BATCH_WIDTH;
	t->f.height = BATCH_HEIGHT;
	if (t->ctl->json) {
		draw_json(t);
	} else {
		ctl_top_draw(&t->f, put_line, NULL);
		putchar('\n');
	}
	fflush(stdout);
}

/* What a line looks like where it is not to be in colour, too. */
static attr_t attribute(enum ctl_paint paint)
{
	attr_t color = *ctl_paint(paint) ? (attr_t)COLOR_PAIR(paint) : 0;

	switch (paint) {
	case CTL_STRONG:
		return A_REVERSE;
	case CTL_POOR:
	case CTL_WRONG:
		return A_BOLD | color;
	default:
		return A_NORMAL;
	}
}

static void add_line(void *arg, enum ctl_paint paint, const char *text)
{
	int *y = arg;

	attrset(attribute(paint));
	mvaddstr(*y, 0, text);
	/* A heading goes from one side to the other. */
	if (paint == CTL_STRONG)
		for (int x = getcurx(stdscr); x < COLS - 1; x++)
			addch(' ');
	attrset(A_NORMAL);
	++*y;
}

static void draw_screen(struct top *t)
{
	int y = 0;

	getmaxyx(stdscr, t->f.height, t->f.width);
	t->page = t->f.height > 10 ? (size_t)t->f.height / 2 : 3;
	/* The last line is for the keys; the last column of a terminal may wrap. */
	t->f.height--;
	t->f.width--;
	erase();
	ctl_top_draw(&t->f, add_line, &y);
	if (*t->f.filter)
		mvprintw(t->f.height, 0, "%.*s", t->f.width, "q quit  h help  / filter: ");
	else
		mvaddnstr(t->f.height, 0,
			  "q quit  h help  s sort  d domains  / filter  arrows scroll", t->f.width);
	if (*t->f.filter)
		addnstr(t->f.filter, t->f.width - getcurx(stdscr));
	refresh();
}

/* --- keys ------------------------------------------------------------------------------------- */

/* Until any key. */
static void show_help(void)
{
	static const char *const lines[] = {
		"q             quit",
		"h ?           this text",
		"s             sort by the next column",
		"p m a         sort by pages, by maps, by age (domains: number)",
		"d             domains, or opens again",
		"/             filter: rows with this text; Enter ends, Esc takes it away",
		"up down j k   scroll by a row",
		"PgUp PgDn     scroll by half a screen; Home: to the top",
		"Any key goes back.",
	};

	erase();
	for (int i = 0; i < (int)(sizeof(lines) / sizeof(lines[0])); i++)
		mvaddnstr(i, 0, lines[i], COLS - 1);
	refresh();
	timeout(200);
	while (!ctl_stop && wgetch(stdscr) == ERR)
		;
}

/* What is typed narrows the rows at once. ASCII only: it is looked for in names. */
static void edit_filter(struct top *t)
{
	size_t n;
	int key = 0;

	t->f.filter[0] = '\0';
	while (!ctl_stop && key != '\n' && key != KEY_ENTER) {
		draw_screen(t);
		mvprintw(t->f.height, 0, "%-*.*s", t->f.width, t->f.width, "filter: ");
		mvaddnstr(t->f.height, 8, t->f.filter, t->f.width - 8);
		refresh();
		timeout(200);
		key = wgetch(stdscr);
		n = strlen(t->f.filter);
		if (key == 27) {
			t->f.filter[0] = '\0';
			return;
		}
		if ((key == KEY_BACKSPACE || key == 127 || key == '\b') && n)
			t->f.filter[n - 1] = '\0';
		else if (key >= ' ' && key <= '~' && n + 1 < sizeof(t->f.filter))
			snprintf(t->f.filter + n, sizeof(t->f.filter) - n, "%c", key);
	}
}

static void scroll_up(struct top *t, size_t rows)
{
	t->f.first = t->f.first > rows ? t->f.first - rows : 0;
}

/* Return: whether it is a key that scrolls. */
static bool scroll_by_key(struct top *t, int key)
{
	if (key == KEY_DOWN || key == 'j')
		t->f.first++;
	else if (key == KEY_NPAGE || key == ' ')
		t->f.first += t->page;
	else if (key == KEY_UP || key == 'k')
		scroll_up(t, 1);
	else if (key == KEY_PPAGE)
		scroll_up(t, t->page);
	else if (key == KEY_HOME || key == 'g')
		t->f.first = 0;
	else
		return false;
	return true;
}

/* Return: whether it is a key that sorts. */
static bool sort_by_key(struct top *t, int key)
{
	static const char keys[] = { 'p', 'm', 'a' };

	for (int i = 0; i < CTL_TOP_SORTS; i++)
		if (key == keys[i]) {
			t->f.sort = (enum ctl_top_sort)i;
			return true;
		}
	if (key != 's')
		return false;
	t->f.sort = (t->f.sort + 1) % CTL_TOP_SORTS;
	return true;
}

/* Return: whether to ask anew at once. */
static bool take_key(struct top *t, int key)
{
	if (key == 'd') {
		t->domains = !t->domains;
		t->f.first = 0;
		return true;
	}
	if (key == 'h' || key == '?')
		show_help();
	else if (key == '/')
		edit_filter(t);
	else if (!scroll_by_key(t, key) && !sort_by_key(t, key) && key != KEY_RESIZE)
		return false;
	draw_screen(t);
	return false;
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* Until the next picture is due, redrawing what keys and the terminal's size change. Return: go on. */
static bool wait_with_keys(struct top *t)
{
	uint64_t due = t->asked + (uint64_t)t->delay * 1000000000, now;

	while (!ctl_stop && (now = clock_ns()) < due) {
		int key;

		timeout((int)((due - now) / 1000000 < 200 ? (due - now) / 1000000 : 200));
		key = wgetch(stdscr);
		if (key == 'q' || key == 'Q')
			return false;
		if (key != ERR && take_key(t, key))
			break;
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
	set_escdelay(50);
	if (*ctl_paint(CTL_PLAIN) && start_color() == OK) {
		use_default_colors();
		init_pair(CTL_POOR, COLOR_YELLOW, -1);
		init_pair(CTL_WRONG, COLOR_RED, -1);
	}
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
		       "the opens that hold most, or the domains. Key h tells the keys. With "
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
	free(t.domain);
	return status;
}
