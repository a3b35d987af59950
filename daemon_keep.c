/* SPDX-License-Identifier: MIT */
/*
 * daemon_keep.c - what outlives the daemon: its keeper
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/oom.h"
#include "base/why.h"
#include "daemon_impl.h"
#include "state/lent.h"

/* Below the lowest, which is the keeper's: of the two that is the one that has to stay. */
#define OOM_SCORE (-900)

bool daemon_keep_begin(struct daemon *d, const struct why *why)
{
	struct lent_config lc = { .path = d->keeper_path, .verbose = d->config->verbose };

	if (!daemon_path(d, d->config->name, ".keeper", d->keeper_path, why) ||
	    lent_open(&lc, &d->lent, why))
		return false;
	oom_score_set(OOM_SCORE);
	return true;
}

bool daemon_keep_served(struct daemon *d, const struct why *why)
{
	int err = lent_serve(d->lent, d->config->command, d->config->successor);

	return !err || because(why, "keeper: %s", strerror(-err));
}

void daemon_keep_end(struct daemon *d)
{
	if (d->lent && lent_end(d->lent) == -EBUSY)
		log_err("the keeper has not ended yet: it is undoing what is left. Do not kill it");
	lent_close(d->lent);
	d->lent = NULL;
}
