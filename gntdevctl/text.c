/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/text.c - how gntdevctl writes things for people
 */
#include "gntdevctl/text.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

/*
 * One character. What is not of the locale's encoding, controls a terminal (C0, DEL, C1), or takes no
 * place (it joins, hides, or turns the direction of what follows) is shown as "?".
 */
struct glyph {
	const char *bytes;
	size_t n;    /* bytes to print */
	size_t skip; /* bytes read */
	size_t columns;
};

static struct glyph next_glyph(const char *in)
{
	struct glyph bad = { "?", 1, 1, 1 };
	mbstate_t state = { 0 };
	wchar_t wc;
	size_t n;
	int columns;

	if (*in >= ' ' && *in <= '~')
		return (struct glyph){ in, 1, 1, 1 };
	n = mbrtowc(&wc, in, MB_CUR_MAX, &state);
	if (n == 0 || n > MB_CUR_MAX)
		return bad;
	bad.skip = n;
	columns = iswprint((wint_t)wc) ? wcwidth(wc) : 0;
	return columns > 0 ? (struct glyph){ in, n, n, (size_t)columns } : bad;
}

static bool in_color;

static bool may_color(void)
{
	const char *term = getenv("TERM"), *none = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0 && !(none && *none);
}

void ctl_color(const char *when)
{
	if (!when || !strcmp(when, "auto"))
		in_color = may_color();
	else
		in_color = !strcmp(when, "always");
}

const char *ctl_paint(enum ctl_paint paint)
{
	static const char *const codes[] = {
		[CTL_PLAIN] = "\033[0m", [CTL_STRONG] = "\033[1m", [CTL_GOOD] = "\033[32m",
		[CTL_POOR] = "\033[33m", [CTL_WRONG] = "\033[31m",
	};

	return in_color ? codes[paint] : "";
}

size_t ctl_clean(char *out, size_t size, const char *in)
{
	size_t at = 0, columns = 0;

	while (*in) {
		struct glyph g = next_glyph(in);

		if (at + g.n >= size)
			break;
		memcpy(out + at, g.bytes, g.n);
		at += g.n;
		in += g.skip;
		columns += g.columns;
	}
	out[at] = '\0';
	return columns;
}

/* As much of a text as fits into @width columns. Return: the columns it took. *@in: the rest. */
static size_t print_columns(FILE *f, const char **in, size_t width)
{
	size_t columns = 0;

	while (**in) {
		struct glyph g = next_glyph(*in);

		if (columns + g.columns > width)
			break;
		fwrite(g.bytes, 1, g.n, f);
		columns += g.columns;
		*in += g.skip;
	}
	return columns;
}

static void blanks(FILE *f, size_t n)
{
	fprintf(f, "%*s", (int)n, "");
}

void ctl_print_clean(FILE *f, const char *in)
{
	print_columns(f, &in, SIZE_MAX / 2);
}

void ctl_column(FILE *f, const char *in, size_t width)
{
	size_t columns = print_columns(f, &in, SIZE_MAX / 2);

	blanks(f, columns < width ? width - columns + 1 : 1);
}

void ctl_print_word(FILE *f, const char *in)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "@%+:,./_-";

	if (*in && !in[strspn(in, plain)]) {
		fputs(in, f);
		return;
	}
	fputc('\'', f);
	for (; *in; in++)
		if (*in == '\'')
			fputs("'\\''", f);
		else
			fputc(*in, f);
	fputc('\'', f);
}

static size_t columns_of(const char *in)
{
	size_t columns = 0;

	while (*in) {
		struct glyph g = next_glyph(in);

		columns += g.columns;
		in += g.skip;
	}
	return columns;
}

void ctl_print_cut(FILE *f, const char *in, size_t width)
{
	bool fits = columns_of(in) <= width;

	print_columns(f, &in, fits || !width ? width : width - 1);
	if (!fits && width)
		fputc('+', f);
}

void ctl_shorten(char *out, size_t size, const char *in, size_t width)
{
	size_t all = columns_of(in), head = width > 2 ? (width - 2) / 2 : 0, left;
	FILE *f = fmemopen(out, size, "w");

	*out = '\0';
	if (!f)
		return;
	if (all <= width || width <= 2) {
		print_columns(f, &in, width);
	} else {
		print_columns(f, &in, head);
		fputs("..", f);
		/* What takes two columns may not fit: then it is one less. */
		left = columns_of(in);
		while (left > width - 2 - head) {
			struct glyph g = next_glyph(in);

			in += g.skip;
			left -= g.columns;
		}
		print_columns(f, &in, left);
	}
	fclose(f);
}

struct ctl_text ctl_age(uint64_t ms)
{
	uint64_t s = ms / 1000;
	struct ctl_text t;

	if (ms < 1000)
		snprintf(t.s, sizeof(t.s), "%" PRIu64 "ms", ms);
	else if (s < 60)
		snprintf(t.s, sizeof(t.s), "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(t.s, sizeof(t.s), "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(t.s, sizeof(t.s), "%" PRIu64 "h %" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(t.s, sizeof(t.s), "%" PRIu64 "d %" PRIu64 "h", s / 86400, s / 3600 % 24);
	return t;
}

struct ctl_text ctl_us(double us)
{
	struct ctl_text t;

	if (us < 9.95)
		snprintf(t.s, sizeof(t.s), "%.1f us", us);
	else if (us < 999.5)
		snprintf(t.s, sizeof(t.s), "%.0f us", us);
	else if (us < 999950)
		snprintf(t.s, sizeof(t.s), "%.1f ms", us / 1000);
	else
		snprintf(t.s, sizeof(t.s), "%.1f s", us / 1000000);
	return t;
}

struct ctl_text ctl_time(uint64_t ns, int date)
{
	time_t s = (time_t)(ns / 1000000000);
	struct ctl_text t;
	struct tm tm;
	size_t at;

	if (!localtime_r(&s, &tm)) {
		snprintf(t.s, sizeof(t.s), "?");
		return t;
	}
	at = strftime(t.s, sizeof(t.s), date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm);
	snprintf(t.s + at, sizeof(t.s) - at, ".%06u", (unsigned int)(ns / 1000 % 1000000));
	return t;
}

struct ctl_text ctl_user(uid_t uid)
{
	/* Asking for a name reads files, or a network: each is asked for once as long as it is not pushed out. */
	static struct {
		bool used;
		uid_t uid;
		struct ctl_text name;
	} cache[256], *c;
	struct passwd *pw;

	c = &cache[uid % (sizeof(cache) / sizeof(cache[0]))];
	if (c->used && c->uid == uid)
		return c->name;
	c->used = true;
	c->uid = uid;
	/* cppcheck-suppress getpwuidCalled ; there is one thread */
	pw = getpwuid(uid);
	if (pw)
		ctl_clean(c->name.s, sizeof(c->name.s), pw->pw_name);
	else
		snprintf(c->name.s, sizeof(c->name.s), "%u", uid);
	return c->name;
}

struct ctl_text ctl_share(uint64_t n, uint64_t limit)
{
	struct ctl_text t;

	if (limit)
		snprintf(t.s, sizeof(t.s), "%" PRIu64 " of %" PRIu64 " (%.1f %%)", n, limit,
			 100 * (double)n / (double)limit);
	else
		snprintf(t.s, sizeof(t.s), "%" PRIu64, n);
	return t;
}

enum ctl_paint ctl_share_paint(uint64_t n, uint64_t limit)
{
	if (!limit || (double)n <= 0.8 * (double)limit)
		return CTL_PLAIN;
	return n < limit ? CTL_POOR : CTL_WRONG;
}

struct ctl_text ctl_bar(uint64_t n, uint64_t max, size_t width)
{
	struct ctl_text t = { "" };
	size_t len;

	if (width > sizeof(t.s) - 8)
		width = sizeof(t.s) - 8;
	if (!n || !max)
		return t;
	if (n > max)
		n = max;
	len = (size_t)((double)n * (double)width / (double)max);
	memset(t.s, '#', len ? len : 1);
	return t;
}
