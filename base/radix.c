/* SPDX-License-Identifier: MIT */
/*
 * base/radix.c - growing, freeing, and stacks
 *
 * The tree grows at the top: a new root gets the old one as its first child and takes its place by
 * one swap of the root word, which also holds the height. A thread that still walks the old root
 * is not wrong: that is a part of the tree as before. So no word ever moves, and a loser
 * of a swap only has to free a node that nobody has seen.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/radix.h"

static_assert((RADIX_KEY_BITS + RADIX_BITS - 1) / RADIX_BITS <= RADIX_HEIGHT_MASK,
	      "the height fits beside the root's address");
static_assert(RADIX_KEY_BITS % RADIX_BITS == 0 && RADIX_KEY_BITS < 64 - RADIX_BITS,
	      "no shift by a whole word");
static_assert(_Alignof(max_align_t) > RADIX_HEIGHT_MASK, "malloc leaves room for the height");

static struct radix_node *node_new(void)
{
	return calloc(1, sizeof(struct radix_node));
}

static uint64_t node_word(struct radix_node *node)
{
	return (uint64_t)(uintptr_t)node;
}

static struct radix_node *word_node(uint64_t w)
{
	return (struct radix_node *)(uintptr_t)w;
}

/* The first node of an empty tree is made as high as its key needs. */
static unsigned int key_height(uint64_t key)
{
	unsigned int height = 1;

	while (key >> (RADIX_BITS * height))
		height++;
	return height;
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): the tree holds the node, as a number. */
/* Return: a root that covers @key; 0: no memory. */
static uint64_t root_make(struct radix *r, uint64_t key)
{
	uint64_t root = word_load(&r->root);

	while (!root || key >> (RADIX_BITS * radix_root_height(root))) {
		unsigned int height = root ? radix_root_height(root) + 1 : key_height(key);
		struct radix_node *node = node_new();
		uint64_t grown = node_word(node) | height;

		if (!node)
			return 0;
		node->word[0] = node_word(radix_root_node(root));
		if (word_cas(&r->root, &root, grown))
			root = grown;
		else
			free(node);
	}
	return root;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

static struct radix_node *child_make(uint64_t *place)
{
	uint64_t old = word_load(place);
	struct radix_node *node;

	if (old)
		return word_node(old);
	node = node_new();
	if (!node)
		return NULL;
	if (word_cas(place, &old, node_word(node)))
		return node;
	free(node);
	return word_node(old);
}

uint64_t *radix_make(struct radix *r, uint64_t key)
{
	struct radix_node *node;
	uint64_t root;
	unsigned int shift;

	if (key < RADIX_SMALL)
		return &r->small[key];
	if (key >= RADIX_KEYS)
		return NULL;
	root = root_make(r, key);
	if (!root)
		return NULL;
	node = radix_root_node(root);
	for (shift = RADIX_BITS * (radix_root_height(root) - 1); shift; shift -= RADIX_BITS) {
		node = child_make(&node->word[(key >> shift) % RADIX_FAN]);
		if (!node)
			return NULL;
	}
	return &node->word[key % RADIX_FAN];
}

unsigned int radix_height(struct radix *r)
{
	return radix_root_height(word_load(&r->root));
}

/* Recursion is as deep as the tree is high: at most RADIX_KEY_BITS / RADIX_BITS. */
static void node_free(struct radix_node *node, unsigned int height)
{
	if (height > 1) {
		for (unsigned int i = 0; i < RADIX_FAN; i++) {
			if (node->word[i])
				node_free(word_node(node->word[i]), height - 1);
		}
	}
	free(node);
}

void radix_destroy(struct radix *r)
{
	uint64_t root = word_load(&r->root);

	if (root)
		node_free(radix_root_node(root), radix_root_height(root));
	*r = (struct radix){ 0 };
}

/* --- stacks --------------------------------------------------------------------------------- */

/* In heads and links a key is counted from 1; 0 is the end of the stack. */
static uint64_t head_key1(uint64_t head)
{
	return head & RADIX_STACK_KEYS;
}

static uint64_t head_next(uint64_t head, uint64_t key1)
{
	return (((head >> RADIX_STACK_BITS) + 1) << RADIX_STACK_BITS) | key1;
}

void radix_push(struct radix *r, uint64_t *head, uint64_t key)
{
	uint64_t *word = radix_find(r, key);
	uint64_t old = word_load(head);

	assert(word && key < RADIX_STACK_KEYS);
	do {
		word_store(word, head_key1(old) << 1 | 1);
	} while (!word_cas(head, &old, head_next(old, key + 1)));
}

uint64_t radix_pop(struct radix *r, uint64_t *head)
{
	uint64_t old = word_load(head);
	uint64_t link;

	/*
	 * The link may be anything by the time it is read, if somebody else has popped the key. Then
	 * the head has another tag, and the swap fails.
	 */
	do {
		if (!head_key1(old))
			return RADIX_STACK_NONE;
		link = word_load(radix_find(r, head_key1(old) - 1));
	} while (!word_cas(head, &old, head_next(old, (link >> 1) & RADIX_STACK_KEYS)));
	return head_key1(old) - 1;
}
