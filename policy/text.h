/* SPDX-License-Identifier: MIT */
/*
 * policy/text.h - what a policy's text may look like, before a library parses it
 */
#ifndef POLICY_TEXT_H
#define POLICY_TEXT_H

#include <stddef.h>

/**
 * policy_text_prepare() - refuse what libconfuse would take in another way than it looks; blank out comments
 * @text: @len bytes, whatever they are
 * @line: out: the line of what is wrong
 *
 * Return: NULL if all is well, else what is wrong.
 */
const char *policy_text_prepare(char *text, size_t len, unsigned int *line);

#endif /* POLICY_TEXT_H */
