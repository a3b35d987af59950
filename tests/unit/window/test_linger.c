/* SPDX-License-Identifier: MIT */
/*
 * window/test_linger.c - clients of the window socket that send what takes long to close
 *
 * As they can where the kernel does not refuse descriptors at the sender. winsock_relieve() is not called here.
 */
#include "tests/unit/lingering.h"
#include "tests/unit/window/socket_rig.h"

#define SOME 4

/* Send a request, and such a socket with it. */
static void ask_with_socket(int sock)
{
	struct window_request rq = good_request();

	send_lingering(sock, &rq, sizeof(rq));
}

START_TEST(with_the_request)
{
	int silent[CROWD], sock[SOME], honest;

	/* In front, so that nobody reads the others before we have closed ours. */
	for (int i = 0; i < CROWD; i++)
		silent[i] = client();
	for (int i = 0; i < SOME; i++) {
		sock[i] = client();
		ask_with_socket(sock[i]);
	}
	for (int i = 0; i < SOME; i++)
		expect_refusal(sock[i], EINVAL);
	honest = client();
	ask(honest);
	expect_window(honest);
	for (int i = 0; i < CROWD; i++)
		close(silent[i]);
	for (int i = 0; i < SOME; i++)
		close(sock[i]);
	close(honest);
}
END_TEST

/* It is in the queue when the device refuses, and so closes the connection. */
START_TEST(behind_the_request)
{
	int sock[SOME];

	device.what = REFUSE;
	device.held = 1;
	for (int i = 0; i < SOME; i++) {
		sock[i] = client();
		ask(sock[i]);
		wait_for(&device.begun, i + 1);
		ask_with_socket(sock[i]);
	}
	__atomic_store_n(&device.held, 0, __ATOMIC_SEQ_CST);
	wait_for(&device.calls, SOME);
	for (int i = 0; i < SOME; i++)
		close(sock[i]);
}
END_TEST

Suite *linger_suite(void);

Suite *linger_suite(void)
{
	Suite *s = suite_create("winlinger");
	TCase *tc = tcase_create("winlinger");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, with_the_request);
	tcase_add_test(tc, behind_the_request);
	suite_add_tcase(s, tc);
	return s;
}
