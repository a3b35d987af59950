/* SPDX-License-Identifier: MIT */
/*
 * keeper/raw.h - undo what Xen has mapped, knowing nothing but the journal: the last resort
 *
 * One thread.
 */
#ifndef KEEPER_RAW_H
#define KEEPER_RAW_H

#include <stdbool.h>

#include "keeper/hold.h"

/** raw_needs() - whether what has this name is needed for that */
bool raw_needs(const char *name);

/**
 * raw_undo() - unmap what is still mapped, get the frames back
 *
 * Returns when nothing is left, however long that takes: until then the pins stay, so that a page that shows a guest's
 * memory, or has no memory, never comes back to the kernel. At once where there is no journal.
 */
void raw_undo(const struct hold *h);

#endif /* KEEPER_RAW_H */
