/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/page.c - gntdevctl graph --html: all that is known, as a page for a browser
 *
 * The page is gntdevctl/page.html, part of this program; the data takes the place of a mark in it.
 */
#include "gntdevctl/page.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gntdevctl/client.h"
#include "gntdevctl/text.h"
#include "policy/limit.h"

/* Found from the directory that make runs in. */
asm(".section .rodata\n"
    "page_html:\n"
    ".incbin \"gntdevctl/page.html\"\n"
    ".byte 0\n"
    ".previous\n");
extern const char page_html[];

#define MARK "@DATA@"

static bool take_failure(const struct ctl_record *r, void *arg)
{
	if (!strcmp(r->name, "failure"))
		json_array_append(arg, r->value);
	return true;
}

/* Names of users are this machine's: looked up here. */
static json_t *user_names(const json_t *stats, const json_t *list)
{
	json_t *names = json_object(), *o;
	char uid[24];
	size_t i;

	json_array_foreach(json_object_get(stats, "users"), i, o) {
		snprintf(uid, sizeof(uid), "%lld", ctl_integer(o, "uid", -1));
		json_object_set_new(names, uid,
				    json_string(ctl_user((uid_t)ctl_integer(o, "uid", -1)).s));
	}
	json_array_foreach((json_t *)list, i, o) {
		const json_t *open = json_object_get(o, "open");

		if (!json_is_object(open))
			continue;
		snprintf(uid, sizeof(uid), "%lld", ctl_integer(open, "uid", -1));
		json_object_set_new(names, uid,
				    json_string(ctl_user((uid_t)ctl_integer(open, "uid", -1)).s));
	}
	return names;
}

static json_t *limit_names(void)
{
	json_t *names = json_array(), *row;

	for (int i = 0; i < POLICY_N_THINGS; i++) {
		enum policy_limit all = policy_limit_of(POLICY_SCOPE_ALL, (enum policy_thing)i);
		enum policy_limit user = policy_limit_of(POLICY_SCOPE_USER, (enum policy_thing)i);

		row = json_array();
		json_array_append_new(row, json_string(policy_thing_name((enum policy_thing)i)));
		json_array_append_new(
			row, json_string(all < POLICY_N_LIMITS ? policy_limit_name(all) : ""));
		json_array_append_new(
			row, json_string(user < POLICY_N_LIMITS ? policy_limit_name(user) : ""));
		json_array_append_new(names, row);
	}
	return names;
}

/* In a script element nothing may look like its end. */
static int write_data(const json_t *data, FILE *out)
{
	char *text = json_dumps(data, JSON_COMPACT | JSON_ENSURE_ASCII);

	if (!text)
		return ctl_error(CTL_FAILED, "no memory");
	for (const char *p = text; *p; p++)
		if (*p == '<' || *p == '>' || *p == '&')
			fprintf(out, "\\u%04x", (unsigned int)*p);
		else
			fputc(*p, out);
	free(text);
	return 0;
}

int ctl_page_write(const struct ctl *ctl, const json_t *stats, const json_t *list, FILE *out)
{
	const char *mark = strstr(page_html, MARK);
	json_t *failures = json_array(), *data, *end;
	char host[256] = "";
	int status;

	status = ctl_query(ctl, ctl_request("errors"), take_failure, failures, &end);
	json_decref(end);
	if (status) {
		json_decref(failures);
		return status;
	}
	gethostname(host, sizeof(host) - 1);
	data = json_pack("{s:s, s:I, s:O, s:O, s:o, s:o, s:o, s:b}", "host", host, "time",
			 (json_int_t)time(NULL), "stats", stats, "list", list, "failures", failures,
			 "users", user_names(stats, list), "things", limit_names(), "left_out",
			 json_array_size(list) == CTL_PAGE_ROWS);
	if (!data)
		return ctl_error(CTL_FAILED, "no memory");
	fwrite(page_html, 1, (size_t)(mark - page_html), out);
	status = write_data(data, out);
	fputs(mark + sizeof(MARK) - 1, out);
	json_decref(data);
	return status;
}
