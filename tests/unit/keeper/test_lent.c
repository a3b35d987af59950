/* SPDX-License-Identifier: MIT */
/*
 * keeper/test_lent.c - the daemon's side of the keeper: state/lent.h
 */
#include "tests/unit/keeper/rig.h"
#include "tests/unit/suite.h"

START_TEST(lent)
{
	static char *const command[] = { (char *)"/bin/false", NULL };
	int held = leave_state(3600, "/bin/false", sizeof("/bin/false")), pipes[2], fd;
	struct lent_config c = { .path = path };
	char text[256] = "", name[KEEP_NAME] = "";
	const struct why why = { text, sizeof(text) };
	struct lent *l, *other;
	bool left;

	ck_assert_int_eq(lent_open(&c, &l, &why), -EBUSY);
	ck_assert_ptr_nonnull(strstr(text, "another CUSE daemon"));
	close(daemon_sock);
	ck_assert_int_eq(lent_open(&c, &l, &why), 0);
	ck_assert(lent_adopting(l) && lent_alive(l) && lent_ended_ns(l, &left) && !left);
	ck_assert_int_eq(lent_next(l, name), 0);
	ck_assert_str_eq(name, KEEP_STATE);
	ck_assert_int_eq(lent_next(l, name), -ENOENT);
	fd = lent_take(l, KEEP_STATE);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
	ck_assert_int_eq(lent_give(l, "more", pipes[1]), 0);
	close(pipes[1]);
	ck_assert_int_eq(lent_give(l, "a name that is longer than it may be", pipes[0]), -EINVAL);
	ck_assert_int_eq(lent_serve(l, command, 3600, "1"), 0);
	lent_leave(l);
	lent_close(l);
	ck_assert_int_eq(lent_open(&c, &other, &why), 0);
	ck_assert(lent_ended_ns(other, &left) && left);
	ck_assert_int_eq(lent_drop(other, "more"), 0);
	ck_assert(has_ended(pipes[0]));
	ck_assert_int_eq(lent_end(other), 0);
	lent_close(other);
	keeper_ends();
	ck_assert(has_ended(held));
	/* Now there is none: neither to end something, nor its program. */
	c.end = true;
	ck_assert_int_eq(lent_open(&c, &l, &why), -ENOENT);
	c.end = false;
	ck_assert_int_eq(lent_open(&c, &l, &why), -ENOEXEC);
	ck_assert_ptr_nonnull(strstr(text, LENT_PROGRAM));
	close(pipes[0]);
	close(held);
}
END_TEST

START_TEST(keeper_is_killed)
{
	int held = leave_state(3600, "/bin/false", sizeof("/bin/false"));
	struct lent_config c = { .path = path };
	char text[256];
	const struct why why = { text, sizeof(text) };
	struct lent *l;

	close(daemon_sock);
	ck_assert_int_eq(lent_open(&c, &l, &why), 0);
	kill(keeper, SIGKILL);
	while (lent_alive(l))
		poll(NULL, 0, 5);
	ck_assert_int_lt(lent_give(l, "x", held), 0);
	ck_assert_int_eq(lent_end(l), 0);
	lent_close(l);
	close(held);
}
END_TEST

/* Nobody removes the socket of one that is only slow, even if it accepts nobody. */
START_TEST(keeper_is_slow)
{
	int sock[20], dir_fd;

	first_hello();
	for (int i = 0; i < 3; i++) {
		kill(keeper, i == 1 ? SIGSTOP : SIGCONT);
		ck_assert_int_eq(keep_clear_place(path), -EADDRINUSE);
		ck_assert_int_eq(access(path, F_OK), 0);
	}
	/* Stopped, with as many before us as the socket takes. */
	kill(keeper, SIGSTOP);
	for (int i = 0; i < 20; i++)
		sock[i] = keep_clear_place(path);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(sock[i], -EADDRINUSE);
	ck_assert_int_eq(access(path, F_OK), 0);
	kill(keeper, SIGKILL);
	ck_assert_int_eq(waitpid(keeper, NULL, 0), keeper);
	dir_fd = keep_clear_place(path);
	ck_assert_int_ge(dir_fd, 0);
	ck_assert_int_ne(access(path, F_OK), 0);
	close(dir_fd);
	dir_fd = keep_clear_place(path);
	ck_assert_int_ge(dir_fd, 0);
	close(dir_fd);
}
END_TEST

Suite *lent_suite(void);

Suite *lent_suite(void)
{
	const TTest *const tests[] = { lent, keeper_is_killed, keeper_is_slow };

	return suite_of("lent", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
