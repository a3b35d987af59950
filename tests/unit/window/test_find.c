/* SPDX-License-Identifier: MIT */
/*
 * window/test_find.c - names of windows, finding them in processes, and their directory
 */
#include "base/rcu.h"
#include "tests/unit/window/rig.h"

/* --- names ----------------------------------------------------------------------------------- */

START_TEST(names_round_trip)
{
	static const struct window_name names[] = {
		{ 0, 0, 0, 0 },
		{ 1, 4096, 1, 42 },
		{ UINT64_MAX, UINT64_MAX, UINT32_MAX, UINT64_MAX },
		{ 0x123456789abcdef0, 0x7000, 65536, 0xfedcba9876543210 },
	};
	struct window_name out;
	char s[WINDOW_NAME_SIZE];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		window_name_format(&names[i], s);
		ck_assert(window_name_parse(s, &out));
		ck_assert_mem_eq(&out.id, &names[i].id, sizeof(out.id));
		ck_assert_uint_eq(out.index, names[i].index);
		ck_assert_uint_eq(out.count, names[i].count);
		ck_assert_uint_eq(out.life, names[i].life);
	}
	window_name_format(&names[2], s);
	ck_assert_uint_eq(strlen(s) + 1, WINDOW_NAME_SIZE);
}
END_TEST

START_TEST(names_hostile)
{
	static const char *const bad[] = {
		"",
		".",
		"...",
		"machine",
		"0000000000000001.0.1",
		"0000000000000001.0.1.",
		"0000000000000001.0.1.0",
		"000000000000001.0.1.0000000000000001",
		"00000000000000001.0.1.0000000000000001",
		"0000000000000001.00.1.0000000000000001",
		"0000000000000001.0.01.0000000000000001",
		"0000000000000001.0.100000000.0000000000000001",
		"0000000000000001.0.1.0000000000000001 ",
		"0000000000000001.0.1.0000000000000001 (deleted)",
		" 000000000000001.0.1.0000000000000001",
		"0000000000000001.-1.1.0000000000000001",
		"0000000000000001.+1.1.0000000000000001",
		"0x00000000000001.0.1.0000000000000001",
		"0000000000000001.0x0.1.0000000000000001",
		"000000000000000A.0.1.0000000000000001",
		"0000000000000001..1.0000000000000001",
		"0000000000000001.10000000000000000.1.0000000000000001",
		"0000000000000001.0.1.0000000000000001.0",
		"0000000000000001,0,1,0000000000000001",
	};
	struct window_name out;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!window_name_parse(bad[i], &out), "%s", bad[i]);
}
END_TEST

/* --- finding a window by address ------------------------------------------------------------- */

#define find(tid, p, name) window_find(windows, tid, (uintptr_t)(p), WINDOW_OF_GNTDEV, name)

/* Both ways of asking the kernel say the same. */
static void assert_same(pid_t tid, const void *p)
{
	struct procmaps_file a = { .dev = 1 }, b = { .dev = 2 };

	int err = procmaps_at(tid, (uintptr_t)p, &a);

	ck_assert_int_eq(procmaps_at_text(tid, (uintptr_t)p, &b), err);
	if (err)
		return;
	ck_assert_uint_eq(a.dev, b.dev);
	ck_assert_uint_eq(a.ino, b.ino);
	ck_assert_str_eq(a.name, b.name);
}

/* An address where nothing is for 512 MiB up and down: what the C library maps meanwhile is elsewhere. */
static char *hole(void)
{
	const size_t len = 1UL << 30;
	char *p = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t at;

	ck_assert_ptr_ne(p, MAP_FAILED);
	at = (uintptr_t)p;
	munmap(p, len);
	return (char *)at + len / 2;
}

START_TEST(find_in_a_gap)
{
	struct window_name name;
	static struct user u;
	int fd = make_at(&u, 7, false, WINDOW_OF_GNTDEV);
	char *p = hole();

	ck_assert_ptr_eq(mmap(p + 8 * PAGE, PAGES * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0),
			 p + 8 * PAGE);
	close(fd);
	/* From the hole before it to its last byte. */
	for (size_t off = 0; off < (8 + PAGES) * PAGE; off += PAGE / 2) {
		ck_assert_int_eq(find(getpid(), p + off, &name), 0);
		ck_assert_uint_eq(name.id, u.id);
		ck_assert_uint_eq(name.index, 7 * PAGE);
		ck_assert_uint_eq(name.count, PAGES);
		assert_same(getpid(), p + off);
	}
	ck_assert_int_eq(find(getpid(), p + (8 + PAGES) * PAGE, &name), -EINVAL);
	/* Only the second page is left. */
	munmap(p + 8 * PAGE, PAGE);
	munmap(p + 10 * PAGE, 2 * PAGE);
	ck_assert_int_eq(find(getpid(), p + 8 * PAGE, &name), 0);
	ck_assert_int_eq(find(getpid(), p + 10 * PAGE - 1, &name), 0);
	ck_assert_int_eq(find(getpid(), p + 10 * PAGE, &name), -EINVAL);
	munmap(p + 9 * PAGE, PAGE);
	ck_assert_int_eq(find(getpid(), p, &name), -EINVAL);
}
END_TEST

/* _i: the mapping as a whole, or any byte of it. */
static int find_kind(int i, pid_t tid, const void *p, enum window_kind kind,
		     struct window_name *name)
{
	if (i)
		return window_find_exact(windows, tid, (uintptr_t)p, PAGES, kind, name);
	return window_find(windows, tid, (uintptr_t)p, kind, name);
}

START_TEST(find_is_of_a_kind)
{
	struct window_name name;
	static struct user u;
	int fd = make_at(&u, 0, false, WINDOW_OF_GNTALLOC);
	char *p = map_window(fd, PROT_READ);

	ck_assert_int_eq(find_kind(_i, getpid(), p, WINDOW_OF_GNTDEV, &name), -EINVAL);
	ck_assert_int_eq(find_kind(_i, getpid(), p, WINDOW_OF_GNTALLOC, &name), 0);
	close(fd);
	munmap(p, PAGES * PAGE);
}
END_TEST

START_TEST(find_nobody)
{
	struct window_name name;
	pid_t dead = fork();

	if (!dead)
		_exit(0);
	ck_assert_int_eq(find(0, 0x1000, &name), -EPERM);
	ck_assert_int_eq(find(-1, 0x1000, &name), -EPERM);
	ck_assert_int_eq(find(0x7fffffff, 0x1000, &name), -EPERM);
	waitpid(dead, NULL, 0);
	ck_assert_int_eq(find(dead, 0x1000, &name), -EPERM);
	ck_assert_int_eq(find(getpid(), 0, &name), -EINVAL);
	ck_assert_int_eq(find(getpid(), UINT64_MAX, &name), -EINVAL);
	assert_same(getpid(), NULL);
	assert_same(getpid(), (void *)UINTPTR_MAX);
}
END_TEST

struct finder {
	const void *p;
	int i;
};

static void *find_from_thread(void *arg)
{
	const struct finder *f = arg;
	struct window_name name;

	rcu_thread_enter();
	ck_assert_int_eq(find_kind(f->i, gettid(), f->p, WINDOW_OF_GNTDEV, &name), 0);
	rcu_thread_leave();
	return NULL;
}

START_TEST(find_from_threads_and_children)
{
	const int nobody = _i ? -EINVAL : -EPERM;
	struct window_name name;
	static struct user u;
	int fd = make(&u);
	char *p = map_window(fd, PROT_READ);
	struct client c = client_new(fd);
	struct finder f = { p, _i };
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, find_from_thread, &f), 0);
	pthread_join(t, NULL);
	munmap(p, PAGES * PAGE);
	ck_assert_int_eq(find_kind(_i, getpid(), p, WINDOW_OF_GNTDEV, &name), -EINVAL);
	/* The child was forked with the mapping, and keeps it. */
	ck_assert_int_eq(find_kind(_i, c.pid, p, WINDOW_OF_GNTDEV, &name), 0);
	ck_assert_uint_eq(name.id, u.id);
	assert_same(c.pid, p);
	end_client(&c, 'k');
	ck_assert_int_eq(find_kind(_i, c.pid, p, WINDOW_OF_GNTDEV, &name), nobody);
	ck_assert_int_eq(find_kind(_i, 0, p, WINDOW_OF_GNTDEV, &name), nobody);
	ck_assert_int_eq(find_kind(_i, -1, p, WINDOW_OF_GNTDEV, &name), nobody);
	assert_gone_promptly(&u);
}
END_TEST

#define find_exact(tid, p, count, name) \
	window_find_exact(windows, tid, (uintptr_t)(p), count, WINDOW_OF_GNTDEV, name)

START_TEST(find_exact_mapping)
{
	struct window_name name;
	static struct user u;
	int fd = make_at(&u, 7, false, WINDOW_OF_GNTDEV);
	char *p = hole(), *q = p + 64 * PAGE;

	ck_assert_ptr_eq(mmap(p, PAGES * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0), p);
	close(fd);
	ck_assert_int_eq(find_exact(getpid(), p, PAGES, &name), 0);
	ck_assert_uint_eq(name.id, u.id);
	ck_assert_uint_eq(name.index, 7 * PAGE);
	ck_assert_uint_eq(name.count, PAGES);
	/* Not a byte more or less. */
	for (uint32_t count = 0; count < 2 * PAGES; count++)
		for (long at = -2; at <= (long)PAGES; at++)
			if (at || count != PAGES)
				ck_assert_int_eq(
					find_exact(getpid(), p + at * (long)PAGE, count, &name),
					-EINVAL);
	ck_assert_int_eq(find_exact(getpid(), p + 1, PAGES, &name), -EINVAL);
	ck_assert_int_eq(find_exact(getpid(), p, UINT32_MAX, &name), -EINVAL);
	ck_assert_int_eq(find_exact(getpid(), -PAGE, PAGES, &name), -EINVAL);
	ck_assert_int_eq(find_exact(getpid(), 0, PAGES, &name), -EINVAL);
	/* It moves: it is where it is. */
	ck_assert_ptr_eq(mremap(p, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q),
			 q);
	ck_assert_int_eq(find_exact(getpid(), p, PAGES, &name), -EINVAL);
	ck_assert_int_eq(find_exact(getpid(), q, PAGES, &name), 0);
	/* What is left of it is not all of it. */
	munmap(q + PAGE, (PAGES - 1) * PAGE);
	for (uint32_t count = 1; count <= PAGES; count++)
		ck_assert_int_eq(find_exact(getpid(), q, count, &name), -EINVAL);
	ck_assert_int_eq(find(getpid(), q, &name), 0);
	munmap(q, PAGE);
}
END_TEST

/* Map a file of this name; the path is relative to the working directory. */
static char *map_named(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	char *p;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, PAGE), 0);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	close(fd);
	return p;
}

/* Enter directories of a long name until the path is longer than any buffer. */
static void go_deep(char fill)
{
	char name[256];

	memset(name, fill, 255);
	name[255] = '\0';
	for (int i = 0; i < 40; i++) {
		ck_assert_int_eq(mkdir(name, 0700), 0);
		ck_assert_int_eq(chdir(name), 0);
	}
}

START_TEST(find_hostile_names)
{
	char aside[80], s[WINDOW_NAME_SIZE], deleted[WINDOW_NAME_SIZE + 16], rm[96];
	struct window_name name = { .index = 0, .count = PAGES };
	struct window_name found;
	static struct user u;
	int fd = make(&u);
	char *ours = map_window(fd, PROT_READ), *p[6];
	struct procmaps_file file;

	ck_assert_int_eq(procmaps_at(getpid(), (uintptr_t)ours, &file), 0);
	ck_assert(window_name_parse(file.name, &name));
	window_name_format(&name, s);
	snprintf(deleted, sizeof(deleted), "%s (deleted)", s);
	snprintf(aside, sizeof(aside), "%s.aside", dir);
	ck_assert_int_eq(mkdir(aside, 0700), 0);
	ck_assert_int_eq(chdir(aside), 0);
	p[0] = map_named(s);
	p[1] = map_named(deleted);
	p[2] = map_named("a\nb c\\012\t\xff");
	p[3] = map_named("\n\n\n\n7f0000000000-7fffffffffff rw-s 00000000 00:00 1");
	go_deep(_i ? '\n' : 'd');
	p[4] = map_named(s);
	p[5] = map_named("f");
	for (size_t i = 0; i < sizeof(p) / sizeof(p[0]); i++) {
		ck_assert_int_eq(find(getpid(), p[i], &found), -EINVAL);
		ck_assert_int_eq(find_exact(getpid(), p[i], 1, &found), -EINVAL);
	}
	/* Their lines are in the way of what is behind them. */
	ck_assert_int_eq(find(getpid(), ours, &found), 0);
	ck_assert_uint_eq(found.id, u.id);
	assert_same(getpid(), ours);
	assert_same(getpid(), p[0]);
	assert_same(getpid(), p[1]);
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(rm, sizeof(rm), "rm -rf %s", aside);
	ck_assert_int_eq(system(rm), 0);
	close(fd);
}
END_TEST

/* --- the directory --------------------------------------------------------------------------- */

static int try_dir(const char *path)
{
	struct windows *w;
	const char *why = NULL;
	int err = windows_new(path, NULL, &w, &why);

	if (err)
		ck_assert_ptr_nonnull(why);
	else
		windows_destroy(w);
	return err;
}

START_TEST(directory_refused)
{
	char path[96];

	ck_assert_int_eq(try_dir(dir), -EBUSY);
	ck_assert_int_eq(try_dir("/no/such/parent"), -ENOENT);
	snprintf(path, sizeof(path), "%s.other", dir);
	close(open(path, O_CREAT | O_RDWR, 0600));
	ck_assert_int_eq(try_dir(path), -ENOTDIR);
	unlink(path);
	ck_assert_int_eq(symlink(test_place(), path), 0);
	ck_assert_int_eq(try_dir(path), -ENOTDIR);
	unlink(path);
	if (geteuid() == 0) {
		ck_assert_int_eq(mkdir(path, 0777), 0);
		ck_assert_int_eq(chown(path, 1, 1), 0);
		ck_assert_int_eq(try_dir(path), -EPERM);
		rmdir(path);
	}
}
END_TEST

START_TEST(directory_cleaned)
{
	char path[96], sub[128], target[128], link[128];
	struct windows *w;
	const char *why;
	struct stat st;

	snprintf(path, sizeof(path), "%s.other", dir);
	snprintf(target, sizeof(target), "%s.target", dir);
	close(open(target, O_CREAT | O_RDWR, 0600));
	ck_assert_int_eq(mkdir(path, 0755), 0);
	snprintf(sub, sizeof(sub), "%s/file", path);
	close(open(sub, O_CREAT | O_RDWR, 0600));
	snprintf(link, sizeof(link), "%s/link", path);
	ck_assert_int_eq(symlink(target, link), 0);
	if (geteuid() == 0) {
		snprintf(sub, sizeof(sub), "%s/node", path);
		ck_assert_int_eq(mknod(sub, S_IFCHR | 0600, makedev(1, 5)), 0);
	}
	snprintf(sub, sizeof(sub), "%s/file", path);
	ck_assert_int_eq(windows_new(path, NULL, &w, &why), 0);
	ck_assert_int_eq(access(sub, F_OK), -1);
	snprintf(sub, sizeof(sub), "%s/node", path);
	ck_assert_int_eq(access(sub, F_OK), -1);
	ck_assert_int_eq(lstat(link, &st), 0);
	ck_assert_int_eq(access(target, F_OK), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	windows_destroy(w);
	/* Somebody's link is still there: so is the directory. */
	ck_assert_int_eq(unlink(link), 0);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(unlink(target), 0);
}
END_TEST

/* The directory that we have open goes on telling of its windows. */
START_TEST(directory_removed)
{
	static struct user u;
	struct client c = mapped_client(&u);
	char path[96];

	snprintf(path, sizeof(path), "%s/" MACHINE, dir);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rmdir(dir), 0);
	assert_held(&u);
	end_client(&c, 'k');
	wait_gone(&u);
}
END_TEST

/* --- suite ----------------------------------------------------------------------------------- */

Suite *find_suite(void);
Suite *find_suite(void)
{
	Suite *s = suite_create("window_find");
	TCase *tc = add_case(s, "names", setup);

	tcase_add_test(tc, names_round_trip);
	tcase_add_test(tc, names_hostile);

	tc = add_case(s, "find", setup);
	tcase_add_test(tc, find_in_a_gap);
	tcase_add_loop_test(tc, find_is_of_a_kind, 0, 2);
	tcase_add_test(tc, find_nobody);
	tcase_add_loop_test(tc, find_from_threads_and_children, 0, 2);
	tcase_add_test(tc, find_exact_mapping);
	tcase_add_loop_test(tc, find_hostile_names, 0, 2);

	tc = add_case(s, "directory", setup);
	tcase_add_test(tc, directory_refused);
	tcase_add_test(tc, directory_cleaned);
	tcase_add_test(tc, directory_removed);
	return s;
}
