/* SPDX-License-Identifier: MIT */
/*
 * device/test_session.c - who answers a request, and who may still have it then
 *
 * The kernel is ours (fake_cuse.h): it counts answers. The device does what the ioctl's number says.
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/session.h"
#include "tests/unit/device/fake_cuse.h"

#define PATIENCE_MS 30000

enum command {
	AT_ONCE, /* answer */
	HANG,	 /* until the open is let go */
	PUT_OFF, /* go on later, and come to an end after that has answered */
	BYTES,	 /* answer as many as there is room for, if all that was sent has come */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct session *session;
	unsigned int hanging;
	unsigned int let_go[3]; /* of each open, as the device knows it */
	unsigned int opens;
} f;

/* --- the device --------------------------------------------------------------------------------- */

static const struct fake_answer *wait_for(uint64_t unique)
{
	const struct fake_answer *a = fake_answer(unique, PATIENCE_MS);

	ck_assert_ptr_nonnull(a);
	ck_assert_uint_eq(a->times, 1);
	return a;
}

static int device_open(struct device *dev, const struct opener *by, int flags, uint64_t *fh)
{
	(void)dev;
	(void)by;
	(void)flags;
	*fh = ++f.opens;
	return 0;
}

static void device_release(struct device *dev, uint64_t fh)
{
	(void)dev;
	(void)fh;
}

static void hang(uint64_t fh)
{
	pthread_mutex_lock(&f.lock);
	f.hanging++;
	pthread_cond_broadcast(&f.changed);
	while (!f.let_go[fh])
		pthread_cond_wait(&f.changed, &f.lock);
	f.let_go[fh]--;
	f.hanging--;
	pthread_mutex_unlock(&f.lock);
}

static void go_on(void *arg, bool stopping)
{
	request_done(arg, stopping ? -EIO : 7, NULL, 0);
}

static void answer_bytes(struct request *rq)
{
	static char bytes[131072];
	bool good = rq->in_len > 0;

	for (size_t i = 0; i < rq->in_len; i++)
		good &= ((const unsigned char *)rq->in)[i] == 0x5a;
	memset(bytes, 0x33, rq->out_len);
	request_done(rq, good ? 0 : -EBADMSG, bytes, rq->out_len);
}

static void device_ioctl(struct device *dev, struct request *rq)
{
	uint64_t unique = rq->unique;

	(void)dev;
	if (rq->cmd == BYTES) {
		answer_bytes(rq);
		return;
	}
	if (rq->cmd == PUT_OFF) {
		rq = rq->ops->keep(rq);
		ck_assert(request_again(rq, go_on, rq));
		wait_for(unique);
		/* And whoever has answered is through with it. */
		usleep(100000);
		return;
	}
	if (rq->cmd == HANG)
		hang(rq->fh);
	request_done(rq, 0, NULL, 0);
}

static struct device device = {
	.name = "made/up",
	.open = device_open,
	.ioctl = device_ioctl,
	.release = device_release,
};

/* --- tests -------------------------------------------------------------------------------------- */

static void start(unsigned int workers)
{
	const struct session_config c = { .dev = &device, .workers = workers };
	char why[200];

	pthread_mutex_init(&f.lock, NULL);
	pthread_cond_init(&f.changed, NULL);
	fake_cuse_begin();
	ck_assert_int_eq(session_new(&c, &f.session, why, sizeof(why)), 0);
	ck_assert_int_eq(session_start(f.session), 0);
}

static uint64_t open_device(void)
{
	return wait_for(fake_open())->fh;
}

static void stop(void)
{
	ck_assert_int_eq(session_stop(f.session, 10000), SESSION_ENDED);
	fake_cuse_end();
	session_destroy(f.session);
}

static void hanging(unsigned int n)
{
	for (unsigned int ms = 0; ms < 30000 && __atomic_load_n(&f.hanging, __ATOMIC_RELAXED) != n;
	     ms++)
		usleep(1000);
	ck_assert_uint_eq(__atomic_load_n(&f.hanging, __ATOMIC_RELAXED), n);
}

static void let_go_of(uint64_t open, unsigned int n)
{
	pthread_mutex_lock(&f.lock);
	f.let_go[open] += n;
	pthread_cond_broadcast(&f.changed);
	pthread_mutex_unlock(&f.lock);
}

START_TEST(it_outlives_the_run_that_was_put_off)
{
	uint64_t fh, unique;

	start(2);
	fh = open_device();
	unique = fake_ioctl(fh, PUT_OFF, 0, 0);
	ck_assert_int_eq(wait_for(unique)->result, 7);
	wait_for(fake_ioctl(fh, AT_ONCE, 0, 0));
	wait_for(fake_release(fh));
	stop();
}
END_TEST

/* What is too long for a slot, and for a page. */
START_TEST(long_ones)
{
	static const size_t lengths[] = { 1, 1944, 1945, 2000, 4064, 4065, 65536, 131072 };
	uint64_t fh;

	start(2);
	fh = open_device();
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		const struct fake_answer *a =
			wait_for(fake_ioctl(fh, BYTES, lengths[i], lengths[i]));

		ck_assert_int_eq(a->result, 0);
		ck_assert_uint_eq(a->bytes, 32 + lengths[i]);
	}
	stop();
}
END_TEST

/*
 * One open has 6 threads, the other 4 of what is left, and of each one more waits. When the first one has given
 * back 3 both may have one. By then nobody has looked for a second.
 */
START_TEST(two_get_what_one_gives_back)
{
	uint64_t a, b;

	start(16);
	a = open_device();
	b = open_device();
	for (unsigned int i = 0; i < 10; i++) {
		fake_ioctl(i < 6 ? a : b, HANG, 0, 0);
		hanging(i + 1);
	}
	/* Nobody looks any more. */
	usleep(1500000);
	fake_ioctl(b, HANG, 0, 0);
	usleep(100000);
	fake_ioctl(a, HANG, 0, 0);
	usleep(100000);
	let_go_of(1, 1);
	hanging(9);
	let_go_of(1, 1);
	hanging(8);
	let_go_of(1, 1);
	hanging(9);
	let_go_of(1, 4);
	let_go_of(2, 5);
	stop();
}
END_TEST

Suite *session_suite(void);

Suite *session_suite(void)
{
	Suite *s = suite_create("session");
	TCase *tc = tcase_create("session");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, it_outlives_the_run_that_was_put_off);
	tcase_add_test(tc, long_ones);
	tcase_add_test(tc, two_get_what_one_gives_back);
	suite_add_tcase(s, tc);
	return s;
}
