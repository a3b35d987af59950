/* SPDX-License-Identifier: MIT */
/*
 * device/marks.c - what requests that are executed again have done before: a sorted array
 */
#include "device/marks.h"

#include <errno.h>
#include <stdlib.h>

struct mark {
	uint64_t unique;
	uint32_t record;
};

struct marks {
	size_t n;
	size_t max;
	struct mark *mark;
};

struct marks *marks_new(void)
{
	return calloc(1, sizeof(struct marks));
}

void marks_free(struct marks *m)
{
	if (!m)
		return;
	free(m->mark);
	free(m);
}

int marks_add(struct marks *m, uint64_t unique, uint32_t record)
{
	if (m->n == m->max) {
		size_t max = m->max ? 2 * m->max : 64;
		struct mark *more = reallocarray(m->mark, max, sizeof(*more));

		if (!more)
			return -ENOMEM;
		m->mark = more;
		m->max = max;
	}
	m->mark[m->n++] = (struct mark){ unique, record };
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct mark *x = a, *y = b;

	return (x->unique > y->unique) - (x->unique < y->unique);
}

void marks_made(struct marks *m)
{
	if (m->n)
		qsort(m->mark, m->n, sizeof(m->mark[0]), compare);
}

uint32_t marks_find(const struct marks *m, uint64_t unique)
{
	const struct mark key = { .unique = unique };
	const struct mark *found =
		m && m->n ? bsearch(&key, m->mark, m->n, sizeof(key), compare) : NULL;

	return found ? found->record : 0;
}
