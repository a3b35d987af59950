/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/text.h - how gntdevctl writes things for people
 *
 * Names of commands and units are any bytes that a client liked. Nothing of them reaches a terminal but
 * characters that take a place there; anything else becomes "?". One thread, after setlocale().
 */
#ifndef GNTDEVCTL_TEXT_H
#define GNTDEVCTL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/**
 * enum ctl_paint - what a text on a terminal is shown as
 */
enum ctl_paint {
	CTL_PLAIN,
	CTL_STRONG, /* a heading */
	CTL_GOOD,
	CTL_POOR, /* look at it */
	CTL_WRONG,
};

/* Short texts are given back by value, for use within one expression. */
struct ctl_text {
	char s[48];
};

/**
 * ctl_color() - before the first output: whether ctl_paint() says anything; before this it does not
 * @when: "auto" or NULL: on a terminal, heeding NO_COLOR and TERM; "always"; "never"
 */
void ctl_color(const char *when);

/** ctl_paint() - what a terminal is to be sent before a text; CTL_PLAIN behind it. "" if there is no colour */
const char *ctl_paint(enum ctl_paint paint);

/**
 * ctl_clean() - make a text harmless
 * @out: @size bytes, 1 or more; what does not fit is left out
 *
 * Return: how many columns it takes.
 */
size_t ctl_clean(char *out, size_t size, const char *in);

/** ctl_print_clean() - print a text of any length, cleaned */
void ctl_print_clean(FILE *f, const char *in);

/**
 * ctl_column() - print a text, cleaned, and blanks up to @width columns and one more
 *
 * A longer text is printed as it is: the table is then out of line in that row, and nothing is lost.
 */
void ctl_column(FILE *f, const char *in, size_t width);

/** ctl_print_word() - print a text that was cleaned so that a shell takes it for one word, whatever it is: quoted if need be */
void ctl_print_word(FILE *f, const char *in);

/** ctl_print_cut() - print a text, cleaned, of at most @width columns: a longer one ends in "+" */
void ctl_print_cut(FILE *f, const char *in, size_t width);

/** ctl_shorten() - a text, cleaned, of at most @width columns: of a longer one the middle becomes "..". @out: @size bytes */
void ctl_shorten(char *out, size_t size, const char *in, size_t width);

/** ctl_age() - "250ms", "12s", "3m 2s", "5h 1m", "12d 3h" */
struct ctl_text ctl_age(uint64_t ms);

/** ctl_us() - a duration: "0.4 us", "12 us", "1.2 ms", "3.4 s" */
struct ctl_text ctl_us(double us);

/** ctl_time() - local time of day with microseconds, with the date if @date. @ns: since 1970 */
struct ctl_text ctl_time(uint64_t ns, int date);

/** ctl_user() - a user's name, cleaned, or its number */
struct ctl_text ctl_user(uid_t uid);

/** ctl_share() - "12 of 100 (12.0 %)", or "12" where @limit is 0 */
struct ctl_text ctl_share(uint64_t n, uint64_t limit);

/** ctl_share_paint() - CTL_POOR above 80 % of @limit, CTL_WRONG if nothing is left, else CTL_PLAIN */
enum ctl_paint ctl_share_paint(uint64_t n, uint64_t limit);

/** ctl_bar() - a bar of "#" of at most @width columns (up to 40) for @n out of @max; one for any @n above 0 */
struct ctl_text ctl_bar(uint64_t n, uint64_t max, size_t width);

#endif /* GNTDEVCTL_TEXT_H */
