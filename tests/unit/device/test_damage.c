/* SPDX-License-Identifier: MIT */
/*
 * device/test_damage.c - one word of what a daemon has left is another: its successor refuses it, or adopts something, and
 * neither crashes nor takes memory for what cannot be
 *
 * The words are those of the records, of all that are in use, and of the store's own head. Each life is a process (lives.h).
 */
#include <check.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/device/lives.h"
#include "window/window.h"

#define CELLS	  64
#define WORDS	  (sizeof(struct record_cell) / sizeof(uint32_t))
#define MEMORY_KB (96UL << 10)

/* How a life ends. */
enum { ADOPTED = 0, STORE_REFUSED = 2, REFUSED = 3, UNTOLD = 4 };

/* --- what was left, as it was -------------------------------------------------------------------- */

#define KEPT_MAX (4UL << 20)

struct kept {
	int fd;
	size_t len;
	unsigned char *bytes;
};

static struct kept kept[2];
static struct world world;
static uint32_t *words;

/* The pages that are there stand at the beginning. */
static void keep(struct kept *k, int fd)
{
	k->fd = fd;
	k->len = (size_t)lseek(fd, 0, SEEK_HOLE);
	ck_assert_uint_le(k->len, KEPT_MAX);
	k->bytes = malloc(k->len);
	ck_assert_int_eq(pread(fd, k->bytes, k->len, 0), (ssize_t)k->len);
}

static void put_back(void)
{
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pwrite(kept[i].fd, kept[i].bytes, kept[i].len, 0),
				 (ssize_t)kept[i].len);
	*w = world;
}

/* --- lives --------------------------------------------------------------------------------------- */

static bool no_request(void *arg, uint64_t unique)
{
	(void)arg;
	(void)unique;
	return false;
}

static bool none_given_up(void *arg, uint64_t unique, uint64_t fh)
{
	(void)arg;
	(void)unique;
	(void)fh;
	return false;
}

static int opened(void *arg, uid_t user, uint64_t fh)
{
	(void)arg;
	(void)user;
	return fh ? 0 : -EINVAL;
}

static void adopt(void)
{
	struct gntdev_adoption a = { .in_hand = no_request,
				     .given_up = none_given_up,
				     .opened = opened };

	begin_life();
	if (gntdev_adopt(&gd, &a))
		_exit(a.why && a.why[0] ? REFUSED : UNTOLD);
}

/* A map with a window and one without, both with notifications, and one whose open is closed. */
static void first_life(void)
{
	adopt();
	w->unique = 2;
	do_open(0);
	do_map(0, 0, 0, 2);
	do_mmap(0, 0, 2, false);
	do_notify(0, 0, BOTH, PORT);
	do_map(0, 1, 2, 1);
	do_notify(0, 1, UNMAP_NOTIFY_SEND_EVENT, OTHER_PORT);
	do_open(1);
	do_map(1, 2, 3, 1);
	do_mmap(1, 2, 1, false);
	do_close(1);
	_exit(0);
}

/* Adopted, all comes to its end. */
static void next_life(void)
{
	adopt();
	report_ends();
	gntdev_close_all(&gd);
	for (uint64_t id = 1; id <= w->windows; id++)
		w->win[id].held = false;
	report_ends();
	rcu_wait_for_calls();
	_exit(ADOPTED);
}

/* Return: how it ended, -SIGNAL if by that; *@kb: the most memory that it had. */
static int live(void (*life)(void), long *kb)
{
	struct rusage usage;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		life();
	ck_assert_int_eq(wait4(pid, &status, 0, &usage), pid);
	*kb = usage.ru_maxrss;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void setup(void)
{
	struct stat st;
	long kb;

	w = shared(sizeof(*w));
	begin_world();
	ck_assert_int_eq(live(first_life, &kb), 0);
	ck_assert_int_eq(fstat(records_kept, &st), 0);
	words = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, records_kept, 0);
	ck_assert_ptr_ne(words, MAP_FAILED);
	keep(&kept[0], records_kept);
	keep(&kept[1], sim_left.state);
	world = *w;
}

static void teardown(void)
{
	end_world();
}

/* --- tests --------------------------------------------------------------------------------------- */

static const uint32_t others[] = { 0, 1, 0xffffffff, 0x80000000, 0x03ffffff, 0x00100000 };

static bool is_used(uint32_t cell)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < WORDS; i++)
		sum |= words[cell * WORDS + i];
	return sum;
}

/* Return: how the life ended. */
static int with(size_t at, uint32_t value, long most)
{
	int end;
	long kb;

	words[at] = value;
	end = live(next_life, &kb);
	ck_assert_msg(end == ADOPTED || end == STORE_REFUSED || end == REFUSED,
		      "cell %d, word %d is 0x%x: ended with %d", (int)(at / WORDS),
		      (int)(at % WORDS), value, end);
	ck_assert_msg(kb <= most, "cell %d, word %d is 0x%x: %ld kB", (int)(at / WORDS),
		      (int)(at % WORDS), value, kb);
	put_back();
	return end;
}

START_TEST(one_word_is_another)
{
	unsigned int ends[4] = { 0 };
	long kb;

	ck_assert_int_eq(live(next_life, &kb), ADOPTED);
	put_back();
	for (size_t at = 0; at < CELLS * WORDS; at++)
		if (is_used((uint32_t)(at / WORDS)) && words[at] != others[_i])
			ends[with(at, others[_i], kb + (long)MEMORY_KB)]++;
	/* It says something. */
	ck_assert_uint_gt(ends[ADOPTED], 10);
	ck_assert_uint_gt(ends[REFUSED] + ends[STORE_REFUSED], 3);
}
END_TEST

Suite *damage_suite(void);

Suite *damage_suite(void)
{
	Suite *s = suite_create("damage");
	TCase *tc = tcase_create("damage");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, one_word_is_another, 0, sizeof(others) / sizeof(others[0]));
	suite_add_tcase(s, tc);
	return s;
}
