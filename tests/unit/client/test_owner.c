/* SPDX-License-Identifier: MIT */
/*
 * client/test_owner.c - whose user namespace a process is in: a tree of made-up namespaces, and our own
 *
 * client/owner.c is compiled in here with system calls that know the namespaces below, by number; a descriptor
 * of one is its number and 1000.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/suite.h"

#define OURS   1
#define ALICE  1001
#define FIRST  1000
#define NOBODY 9

/* Each namespace's parent, 0: not below ours; and who has made it. */
static const struct {
	int parent;
	uid_t owner;
} tree[] = {
	[OURS] = { 0, 0 },	[2] = { OURS, ALICE }, /* alice's */
	[3] = { 2, 101000 },			       /* made by her root in it */
	[4] = { 3, 101001 },	[5] = { OURS, 0 },     /* a container of root's */
	[6] = { 5, 100000 },	[7] = { 0, 0 },	       /* not below ours */
	[8] = { 8, 12 },			       /* nonsense: a circle */
	[NOBODY] = { OURS, 0 },			       /* its owner is not told */
};

static int opened;     /* descriptors */
static int of_process; /* the namespace that /proc/4711/ns/user leads to; 0: nowhere */
static int no_kernel;  /* errno of /proc/self/ns/user */

static int fake_open(const char *path, int flags)
{
	ck_assert_str_eq(path, "/proc/4711/ns/user");
	ck_assert_int_eq(flags, O_RDONLY | O_CLOEXEC);
	if (!of_process) {
		errno = EACCES;
		return -1;
	}
	opened++;
	return FIRST + of_process;
}

static int fake_close(int fd)
{
	ck_assert_int_gt(fd, FIRST);
	opened--;
	return 0;
}

static int fake_stat(const char *path, struct stat *st)
{
	ck_assert_str_eq(path, "/proc/self/ns/user");
	*st = (struct stat){ .st_dev = 4, .st_ino = OURS };
	errno = no_kernel;
	return no_kernel ? -1 : 0;
}

static int fake_fstat(int fd, struct stat *st)
{
	*st = (struct stat){ .st_dev = 4, .st_ino = (ino_t)(fd - FIRST) };
	return 0;
}

static int fake_ioctl(int fd, unsigned long cmd, ...)
{
	int ns = fd - FIRST;
	va_list ap;

	if (cmd == NS_GET_PARENT && tree[ns].parent) {
		opened++;
		return FIRST + tree[ns].parent;
	}
	if (cmd == NS_GET_OWNER_UID && ns != NOBODY) {
		va_start(ap, cmd);
		*va_arg(ap, uid_t *) = tree[ns].owner;
		va_end(ap);
		return 0;
	}
	errno = EPERM;
	return -1;
}

#define open	       fake_open
#define close	       fake_close
#define stat(path, st) fake_stat(path, st)
#define fstat	       fake_fstat
#define ioctl	       fake_ioctl
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "client/owner.c"
#undef open
#undef close
#undef stat
#undef fstat
#undef ioctl

static void expect(int ns, enum owner_ns is, uid_t owner)
{
	uid_t uid = 77;

	of_process = ns;
	ck_assert_int_eq(owner_read(4711, &uid), is);
	if (is == OWNER_OTHER)
		ck_assert_uint_eq(uid, owner);
	ck_assert_int_eq(opened, 0);
}

START_TEST(our_own)
{
	expect(OURS, OWNER_OURS, 0);
}
END_TEST

START_TEST(one_below)
{
	expect(2, OWNER_OTHER, ALICE);
	expect(5, OWNER_OTHER, 0);
}
END_TEST

/* The outermost counts, however deep. */
START_TEST(nested)
{
	expect(3, OWNER_OTHER, ALICE);
	expect(4, OWNER_OTHER, ALICE);
	expect(6, OWNER_OTHER, 0);
}
END_TEST

START_TEST(what_cannot_be_found_out)
{
	expect(0, OWNER_UNKNOWN, 0);
	expect(7, OWNER_UNKNOWN, 0);
	expect(8, OWNER_UNKNOWN, 0);
	expect(NOBODY, OWNER_UNKNOWN, 0);
	no_kernel = EACCES;
	expect(2, OWNER_UNKNOWN, 0);
}
END_TEST

START_TEST(a_kernel_without_user_namespaces)
{
	no_kernel = ENOENT;
	expect(0, OWNER_OURS, 0);
}
END_TEST

Suite *owner_suite(void);

Suite *owner_suite(void)
{
	const TTest *const tests[] = { our_own, one_below, nested, what_cannot_be_found_out,
				       a_kernel_without_user_namespaces };

	return suite_of("owner", tests, sizeof(tests) / sizeof(tests[0]), NULL, NULL);
}
