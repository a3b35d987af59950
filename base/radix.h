/* SPDX-License-Identifier: MIT */
/*
 * base/radix.h - a lock-free radix tree of 64-bit words, and a lock-free stack that lives in one
 *
 * Keys are small numbers handed out from 0 up (page indexes, sizes, slots), values are words that
 * the tree's user changes as they like: the tree only finds the place of a word, and that place
 * never moves. Nodes are added by compare-and-swap and stay until the tree is destroyed, so
 * finding needs no lock, no retry and no RCU of its own; whoever frees the tree as a whole sees to
 * it that nobody is looking.
 *
 * The first RADIX_SMALL words lie in the tree itself: most opens have a handful of maps, and then
 * no node is ever allocated.
 */
#ifndef BASE_RADIX_H
#define BASE_RADIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Words that threads share. Loads and compare-and-swap are sequentially consistent, which costs a
 * load nothing on x86 (and a cas is a barrier there anyway), so that only stores make a choice:
 * word_store() publishes what was written before it, word_store_sc() also orders itself
 * before the thread's later loads.
 *
 * A torture test may define WORD_YIELD() to something that now and then lets other threads run:
 * what a thread decides to swap is at its most stale just then.
 */
#ifndef WORD_YIELD
#define WORD_YIELD() ((void)0)
#endif

static inline uint64_t word_load(const uint64_t *w)
{
	return __atomic_load_n(w, __ATOMIC_SEQ_CST);
}

static inline void word_store(uint64_t *w, uint64_t v)
{
	__atomic_store_n(w, v, __ATOMIC_RELEASE);
}

static inline void word_store_sc(uint64_t *w, uint64_t v)
{
	WORD_YIELD();
	__atomic_store_n(w, v, __ATOMIC_SEQ_CST);
}

/* Return: true if *@w was *@old and is @v now; false, with *@old what *@w is. */
static inline bool word_cas(uint64_t *w, uint64_t *old, uint64_t v)
{
	WORD_YIELD();
	return __atomic_compare_exchange_n(w, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

#define RADIX_BITS  6
#define RADIX_FAN   (1U << RADIX_BITS)
#define RADIX_SMALL 8U

/* Keys lie below this. */
#define RADIX_KEY_BITS 54
#define RADIX_KEYS     (1ULL << RADIX_KEY_BITS)

struct radix_node {
	uint64_t word[RADIX_FAN];
};

/**
 * struct radix - a tree; all zero is an empty one
 * @root:  address of the root node, and in its low bits the height of the tree (1: the root holds
 *         the words); 0: no node yet
 * @small: the words of the first keys
 */
struct radix {
	uint64_t root;
	uint64_t small[RADIX_SMALL];
};

#define RADIX_HEIGHT_MASK 15ULL

static inline unsigned int radix_root_height(uint64_t root)
{
	return root & RADIX_HEIGHT_MASK;
}

static inline struct radix_node *radix_root_node(uint64_t root)
{
	return (struct radix_node *)(uintptr_t)(root & ~RADIX_HEIGHT_MASK);
}

/**
 * radix_find() - find the word of a key
 * @r:   the tree
 * @key: below RADIX_KEYS
 *
 * Wait-free; any thread, as long as the tree is not destroyed meanwhile. Inline because it is
 * what each ioctl does.
 *
 * Return: the word's place, valid as long as the tree, or NULL if radix_make() has never made it
 * (a word that nobody asked for may exist, too: it is 0).
 */
static inline uint64_t *radix_find(struct radix *r, uint64_t key)
{
	uint64_t root;
	unsigned int shift;
	struct radix_node *node;

	if (key < RADIX_SMALL)
		return &r->small[key];
	root = word_load(&r->root);
	shift = RADIX_BITS * radix_root_height(root);
	if (key >> shift)
		return NULL;
	node = radix_root_node(root);
	for (shift -= RADIX_BITS; shift; shift -= RADIX_BITS) {
		node = (struct radix_node *)(uintptr_t)word_load(
			&node->word[(key >> shift) % RADIX_FAN]);
		if (!node)
			return NULL;
	}
	return &node->word[key % RADIX_FAN];
}

/**
 * radix_run() - how many words lie in a row from a key's on
 *
 * Return: such that radix_find(key)[0 .. n - 1] are the words of key .. key + n - 1.
 */
static inline uint64_t radix_run(uint64_t key)
{
	return (key < RADIX_SMALL ? RADIX_SMALL : RADIX_FAN) - key % RADIX_FAN;
}

/**
 * radix_make() - make sure that the word of a key exists
 *
 * Lock-free; any thread, as radix_find(). Return: its place; NULL if there is no memory or the key
 * is RADIX_KEYS or more.
 */
uint64_t *radix_make(struct radix *r, uint64_t key);

/**
 * radix_height() - levels of nodes in the tree: memory, roughly, is 8 bytes * 64^levels at most
 */
unsigned int radix_height(struct radix *r);

/**
 * radix_destroy() - free all nodes
 *
 * Nobody may be using the tree. The words are the user's: nothing is done about them.
 */
void radix_destroy(struct radix *r);

/*
 * A stack of keys of a tree. The links are kept in the words of the keys on it, as odd numbers
 * (so a word that holds a pointer, which is even, is never taken for a link): pushing allocates
 * nothing. Keys on a stack are below RADIX_STACK_KEYS; a key is on one stack at most.
 *
 * The head is one word: the key on top, and a tag that every change counts up. A thread that
 * stalls between reading the head and swapping it finds the same key there again (ABA) with
 * another link behind it, but not with the same tag: 36 bits take more than ten minutes to come
 * round at one change every 10 ns.
 */
#define RADIX_STACK_BITS 28
#define RADIX_STACK_KEYS ((1ULL << RADIX_STACK_BITS) - 1)
#define RADIX_STACK_NONE UINT64_MAX

/**
 * radix_push() - put a key on a stack
 * @r:    the tree that holds the links
 * @head: the stack; 0 is an empty one
 * @key:  its word exists, and is the caller's alone
 *
 * Lock-free.
 */
void radix_push(struct radix *r, uint64_t *head, uint64_t key);

/**
 * radix_pop() - take the key on top of a stack
 *
 * Lock-free. Return: the key, whose word is the caller's now; RADIX_STACK_NONE if there is none.
 */
uint64_t radix_pop(struct radix *r, uint64_t *head);

/* A word that is a link of a stack: not an object, whatever else the user keeps in words. */
static inline bool radix_is_link(uint64_t word)
{
	return word & 1;
}

#endif /* BASE_RADIX_H */
