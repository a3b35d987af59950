/* SPDX-License-Identifier: MIT */
/*
 * client/mapstext.c - the text of /proc/PID/maps, line by line
 */
#include "client/mapstext.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const char deleted[] = " (deleted)";

void mapstext_name(struct procmaps_file *file, const char *path, size_t len)
{
	const size_t suffix = sizeof(deleted) - 1;
	const char *slash = memrchr(path, '/', len);

	file->name[0] = '\0';
	if (!slash)
		return;
	len -= (size_t)(slash + 1 - path);
	if (len > suffix && !memcmp(slash + 1 + len - suffix, deleted, suffix))
		len -= suffix;
	if (len > PROCMAPS_NAME_MAX)
		return;
	memcpy(file->name, slash + 1, len);
	file->name[len] = '\0';
}

/* Make room and read on. Return: bytes read, 0 at the end, or -errno. */
static ssize_t text_fill(struct mapstext *t)
{
	ssize_t n;

	memmove(t->buf, t->buf + t->pos, t->len - t->pos);
	t->len -= t->pos;
	t->pos = 0;
	do
		n = read(t->fd, t->buf + t->len, sizeof(t->buf) - t->len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	t->len += (size_t)n;
	return n;
}

/* Return: 1 and a line without its newline; 0 at the end; -errno. Of a line that does not fit the
 * buffer only the beginning is given. */
static int text_line(struct mapstext *t, const char **line, size_t *len)
{
	ssize_t n;

	for (;;) {
		char *from = t->buf + t->pos;
		char *end = memchr(from, '\n', t->len - t->pos);
		bool whole = end && !t->skip;

		if (end) {
			t->pos = (size_t)(end + 1 - t->buf);
			t->skip = false;
		} else if (t->len - t->pos == sizeof(t->buf)) {
			whole = !t->skip;
			end = from + sizeof(t->buf);
			t->pos = t->len;
			t->skip = true;
		} else {
			n = text_fill(t);
			if (n <= 0)
				return (int)n;
			continue;
		}
		if (!whole)
			continue;
		*line = from;
		*len = (size_t)(end - from);
		return 1;
	}
}

/* What a line says, but for the file's name. */
struct map_line {
	uint64_t end;
	dev_t dev;
	uint64_t ino;
	const char *path;
	size_t path_len;
};

/* A number in front of @stop. Return: what follows @stop, or NULL. */
static const char *number(const char *p, const char *end, unsigned int base, char stop,
			  uint64_t *out)
{
	uint64_t n = 0;

	for (; p && p < end && *p != stop; p++) {
		unsigned int digit = (unsigned int)(*p <= '9' ? *p - '0' : *p - 'a' + 10);

		if (digit >= base)
			return NULL;
		n = n * base + digit;
	}
	*out = n;
	return p && p < end ? p + 1 : NULL;
}

/* Leave out one word and the space behind it. */
static const char *word(const char *p, const char *end)
{
	p = p ? memchr(p, ' ', (size_t)(end - p)) : NULL;
	return p ? p + 1 : NULL;
}

static bool parse_line(const char *p, size_t len, struct map_line *m)
{
	const char *end = p + len;
	uint64_t start, major, minor;

	p = number(p, end, 16, '-', &start);
	p = number(p, end, 16, ' ', &m->end);
	p = word(word(p, end), end);
	p = number(p, end, 16, ':', &major);
	p = number(p, end, 16, ' ', &minor);
	p = number(p, end, 10, ' ', &m->ino);
	if (!p)
		return false;
	m->dev = makedev((unsigned int)major, (unsigned int)minor);
	while (p < end && *p == ' ')
		p++;
	m->path = p;
	m->path_len = (size_t)(end - p);
	return true;
}

static void line_file(const struct map_line *m, struct procmaps_file *file)
{
	file->dev = m->dev;
	file->ino = m->ino;
	mapstext_name(file, m->path, m->path_len);
}

int mapstext_next(struct mapstext *t, uint64_t *end, struct procmaps_file *file)
{
	struct map_line m;
	const char *line;
	size_t len;
	int ret = text_line(t, &line, &len);

	if (ret <= 0)
		return ret;
	if (!parse_line(line, len, &m))
		return -EPROTO;
	*end = m.end;
	line_file(&m, file);
	return 1;
}
