/* SPDX-License-Identifier: MIT */
/*
 * keeper/raw.c - undo what Xen has mapped, knowing nothing but the journal
 */
#include "keeper/raw.h"

#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "xen/journal.h"
#include "xen/undo.h"

/* Between attempts. */
#define AGAIN_S 1

bool raw_needs(const char *name)
{
	return !strcmp(name, "journal") || !strcmp(name, "privcmd") || !strncmp(name, "ring.", 5);
}

void raw_undo(const struct hold *h)
{
	int fd = hold_get(h, "journal"), privcmd = hold_get(h, "privcmd"), err;
	struct journal *j = fd >= 0 && privcmd >= 0 ? journal_adopt(fd) : NULL;
	size_t held = j ? journal_held(j) : 0, left;

	if (fd >= 0 && !j)
		log_err("keeper: the journal of what is mapped is damaged, or privcmd is missing: "
			"nothing is undone");
	if (!held)
		return;
	log_warn("keeper: undoing what the daemon had mapped (%zu pages)", held);
	err = journal_lock(j);
	if (err)
		log_warn("keeper: cannot lock memory: %s", strerror(-err));
	left = undo_journal(privcmd, j);
	if (left)
		log_err("keeper: %zu pages cannot be undone yet: keeping them until they can",
			left);
	while (left) {
		sleep(AGAIN_S);
		left = undo_journal(privcmd, j);
	}
	log_info("keeper: all undone");
}
