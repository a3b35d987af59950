/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/service.c - gntdevctl doctor: what systemd knows of the daemon's service
 */
#include "gntdevctl/service.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gntdevctl/ctl.h"

#define OPTIONS "OPTIONS="

/* @text: what is behind "OPTIONS="; @end: what ends it, besides the line's end. */
static void take_options(struct service *s, const char *text, char end)
{
	const char stop[] = { '\n', end, '\0' };

	snprintf(s->options, sizeof(s->options), "%.*s", (int)strcspn(text, stop), text);
}

/* VALUE, "VALUE" or 'VALUE'; the last one counts, as for systemd. */
static void read_defaults(struct service *s, const char *root)
{
	char path[PATH_MAX], line[1024], *value;
	FILE *f;

	snprintf(path, sizeof(path), "%s" SERVICE_DEFAULTS, root);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, OPTIONS, sizeof(OPTIONS) - 1) != 0)
			continue;
		value = line + sizeof(OPTIONS) - 1;
		if (*value == '"' || *value == '\'')
			take_options(s, value + 1, *value);
		else
			take_options(s, value, '\n');
	}
	if (f)
		fclose(f);
}

/* systemctl's list of variables: those whose value has blanks stand in quotes, with their names. */
static void read_environment(struct service *s, const char *environment)
{
	const char *options = strstr(environment, OPTIONS);
	bool quoted = options && options > environment && options[-1] == '"';

	if (options)
		take_options(s, options + sizeof(OPTIONS) - 1, quoted ? '"' : ' ');
}

/* Return: whether a line is of this property; then its value is taken. */
static bool take(const char *line, const char *property, char *value, size_t size)
{
	size_t n = strlen(property);

	if (strncmp(line, property, n) != 0 || line[n] != '=')
		return false;
	snprintf(value, size, "%.*s", (int)strcspn(line + n + 1, "\n"), line + n + 1);
	return true;
}

void service_read(struct service *s, const char *shown, const char *root)
{
	char environment[1024] = "";

	memset(s, 0, sizeof(*s));
	for (const char *line = shown; line && *line;
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (!take(line, "LoadState", s->load, sizeof(s->load)) &&
		    !take(line, "ActiveState", s->state, sizeof(s->state)) &&
		    !take(line, "Result", s->result, sizeof(s->result)) &&
		    !take(line, "StatusText", s->status, sizeof(s->status)))
			take(line, "Environment", environment, sizeof(environment));
	read_environment(s, environment);
	read_defaults(s, root);
}

void service_ask(struct service *s, const char *root)
{
	static const char *const command[] = {
		"systemctl",  "show",
		"--property", "LoadState,ActiveState,Result,StatusText,Environment",
		CTL_UNIT,     NULL
	};
	int out = memfd_create("systemctl", MFD_CLOEXEC);
	char shown[4096];
	ssize_t n = 0;

	memset(s, 0, sizeof(*s));
	if (out < 0 || *root || access("/run/systemd/system", F_OK)) {
		if (out >= 0)
			close(out);
		return;
	}
	if (!ctl_spawn(command, STDIN_FILENO, out))
		n = pread(out, shown, sizeof(shown) - 1, 0);
	close(out);
	shown[n > 0 ? n : 0] = '\0';
	service_read(s, shown, root);
}

bool service_has_option(const struct service *s, const char *option)
{
	size_t n = strlen(option);

	for (const char *at = s->options; (at = strstr(at, option)); at += n)
		if ((at == s->options || at[-1] == ' ') && (!at[n] || at[n] == ' '))
			return true;
	return false;
}
