/* SPDX-License-Identifier: MIT */
/*
 * evtchn/test_evtchn.c - the driver's behaviour: order of checks, ring, mask, sleep, poll
 */

#include "tests/unit/evtchn/rig.h"
#include "tests/unit/suite.h"

#define THEM 9

static struct side them = { .domid = THEM };
static uint64_t fh, theirs;

static void setup(void)
{
	make_dir();
	start_machine(NULL);
	start_side(&us, NULL, 0);
	start_side(&them, NULL, 1);
	us.wakes = them.wakes = 0;
	fh = open_of(&us);
	theirs = open_of(&them);
}

static void teardown(void)
{
	struct sim_counts n;

	end_side(&us);
	end_side(&them);
	sim_counts(sim, &n);
	ck_assert_uint_eq(n.port_refs, 0);
	sim_hypervisor(sim)->ops->destroy(sim_hypervisor(sim));
	remove_dir();
}

/* A channel between both: the ports. What was there at once has been read, and all is unmasked. */
static int port, their_port;

static void connect_both(void)
{
	their_port = bind_unbound(&them, theirs, US);
	ck_assert_int_gt(their_port, 0);
	port = bind_to(&us, fh, THEM, (uint32_t)their_port);
	ck_assert_int_gt(port, 0);
	ck_assert(reads(&us, fh, port));
	ck_assert_int_eq(unmask(&us, fh, port), 4);
}

/* --- ioctls ----------------------------------------------------------------------------------------- */

START_TEST(bad_arguments)
{
	static const uint32_t cmd[] = { IOCTL_EVTCHN_BIND_VIRQ,
					IOCTL_EVTCHN_BIND_INTERDOMAIN,
					IOCTL_EVTCHN_BIND_UNBOUND_PORT,
					IOCTL_EVTCHN_UNBIND,
					IOCTL_EVTCHN_NOTIFY,
					IOCTL_EVTCHN_RESTRICT_DOMID };

	for (size_t i = 0; i < sizeof(cmd) / sizeof(cmd[0]); i++)
		ck_assert_int_eq(ioctl_of(&us, fh, cmd[i], NULL), -EFAULT);
	ck_assert_int_eq(reset(&us, fh), 0);
	ck_assert_int_eq(ioctl_of(&us, fh, _IO('E', 99), NULL), -ENOTTY);
	ck_assert_int_eq(ioctl_of(&us, fh, _IOC(_IOC_NONE, 'E', 7, 4), NULL), -ENOTTY);
	ck_assert_int_eq(bind_virq(&us, fh, 24), -EINVAL);
	ck_assert_int_eq(unbind(&us, fh, 4096), -EINVAL);
	ck_assert_int_eq(unbind(&us, fh, 77), -ENOTCONN);
	ck_assert_int_eq(notify(&us, fh, 77), -ENOTCONN);
	ck_assert_int_eq(notify(&us, fh, 1U << 31), -ENOTCONN);
	ck_assert_int_eq(restrict_to(&us, fh, 0), -EINVAL);
	ck_assert_int_eq(restrict_to(&us, fh, DOMID_FIRST_RESERVED), -EINVAL);
}
END_TEST

START_TEST(binding)
{
	ck_assert_int_eq(bind_to(&us, fh, 5, 1), -ESRCH);
	ck_assert_int_eq(bind_to(&us, fh, THEM, 1), -EINVAL);
	ck_assert_int_eq(bind_to(&us, fh, THEM, 1U << 31), -EINVAL);
	/* Not for us. */
	their_port = bind_unbound(&them, theirs, 5);
	ck_assert_int_eq(their_port, 1);
	ck_assert_int_eq(bind_to(&us, fh, THEM, 1), -EINVAL);
	connect_both();
	ck_assert_int_eq(their_port, 2);
	ck_assert_int_eq(bind_to(&us, fh, THEM, 2), -EINVAL);
	/* To oneself. */
	ck_assert_int_eq(bind_unbound(&us, fh, DOMID_SELF), 2);
	ck_assert_int_eq(bind_to(&us, fh, DOMID_SELF, 2), 3);
	ck_assert(reads(&us, fh, 3));
	ck_assert_int_eq(notify(&us, fh, 3), 0);
	ck_assert(reads(&us, fh, 2));
}
END_TEST

START_TEST(no_port_is_free)
{
	for (uint32_t i = 1; i <= SIM_PORT_MAX; i++)
		ck_assert_int_eq(bind_unbound(&us, fh, THEM), (int)i);
	their_port = bind_unbound(&them, theirs, US);
	ck_assert_int_eq(bind_unbound(&us, fh, THEM), -ENOSPC);
	/* Before it is seen that there is no such port. */
	ck_assert_int_eq(bind_to(&us, fh, THEM, 99), -ENOSPC);
	ck_assert_int_eq(bind_to(&us, fh, 5, 99), -ESRCH);
	ck_assert_int_eq(bind_virq(&us, fh, 3), -ENOSPC);
	ck_assert_int_eq(unbind(&us, fh, 100), 0);
	ck_assert_int_eq(bind_to(&us, fh, THEM, (uint32_t)their_port), 100);
}
END_TEST

START_TEST(unbinding)
{
	uint64_t other = open_of(&us);

	connect_both();
	ck_assert_int_eq(unbind(&us, other, (uint32_t)port), -ENOTCONN);
	ck_assert_int_eq(notify(&us, other, (uint32_t)port), -ENOTCONN);
	ck_assert_int_eq(unbind(&us, fh, (uint32_t)port), 0);
	ck_assert_int_eq(unbind(&us, fh, (uint32_t)port), -ENOTCONN);
	/* The other end gets no event, may send to nobody, and can be bound to again. */
	ck_assert(reads_nothing(&them, theirs));
	ck_assert_int_eq(notify(&them, theirs, (uint32_t)their_port), 0);
	ck_assert_int_eq(bind_to(&us, other, THEM, (uint32_t)their_port), port);
	us.dev->release(us.dev, other);
	ck_assert_int_eq(bind_to(&us, fh, THEM, (uint32_t)their_port), port);
}
END_TEST

START_TEST(restricted)
{
	connect_both();
	ck_assert_int_eq(restrict_to(&us, fh, THEM), 0);
	/* Whatever the argument is. */
	ck_assert_int_eq(ioctl_of(&us, fh, IOCTL_EVTCHN_RESTRICT_DOMID, NULL), -EACCES);
	ck_assert_int_eq(ioctl_of(&us, fh, IOCTL_EVTCHN_BIND_VIRQ, NULL), -EACCES);
	ck_assert_int_eq(ioctl_of(&us, fh, IOCTL_EVTCHN_BIND_UNBOUND_PORT, NULL), -EACCES);
	ck_assert_int_eq(ioctl_of(&us, fh, IOCTL_EVTCHN_BIND_INTERDOMAIN, NULL), -EFAULT);
	ck_assert_int_eq(bind_to(&us, fh, 5, 1), -EACCES);
	ck_assert_int_eq(bind_to(&us, fh, THEM, 99), -EINVAL);
	ck_assert_int_eq(notify(&us, fh, (uint32_t)port), 0);
	ck_assert(reads(&them, theirs, their_port));
	ck_assert_int_eq(unbind(&us, fh, (uint32_t)port), 0);
}
END_TEST

START_TEST(virqs)
{
	uint64_t other = open_of(&us);
	uint32_t frame, ref;

	port = bind_virq(&us, fh, VIRQ_DOM_EXC);
	ck_assert_int_gt(port, 0);
	ck_assert_int_eq(bind_virq(&us, other, VIRQ_DOM_EXC), -EEXIST);
	ck_assert_int_gt(bind_virq(&us, other, 23), 0);
	ck_assert_int_eq(notify(&us, fh, (uint32_t)port), 0);
	ck_assert(reads_nothing(&us, fh));
	/* A domain dies, and is gone when its page is unmapped. */
	ck_assert_int_eq(sim_domain_add(sim, 5), 0);
	ck_assert_int_eq(sim_frames_alloc(sim, 5, 1, &frame), 0);
	ck_assert_int_eq(sim_grant(sim, 5, US, frame, false, &ref), 0);
	struct hv_grant g = { .domid = 5, .ref = ref, .status = HV_PENDING };
	struct hypervisor *hv = sim_hypervisor(sim);

	ck_assert_int_eq(hv->ops->map(hv, &g, 1, &(struct hv_place){ 0 }), 0);
	ck_assert_int_eq(sim_domain_remove(sim, 5), 0);
	ck_assert(reads(&us, fh, port));
	unmask(&us, fh, port);
	ck_assert(reads_nothing(&us, fh));
	ck_assert_int_eq(hv->ops->unmap(hv, &g, 1), 0);
	ck_assert(reads(&us, fh, port));
	ck_assert_int_eq(sim_domain_state(sim, 5), SIM_DOMAIN_ABSENT);
}
END_TEST

/* What is at the other end of a dead domain's ports can be bound to by the next one of that number. */
START_TEST(the_other_domain_dies)
{
	connect_both();
	ck_assert_int_eq(sim_domain_remove(sim, THEM), 0);
	ck_assert_int_eq(sim_domain_state(sim, THEM), SIM_DOMAIN_ABSENT);
	ck_assert_int_eq(notify(&us, fh, (uint32_t)port), 0);
	ck_assert_int_eq(bind_to(&us, fh, THEM, (uint32_t)their_port), -ESRCH);
	ck_assert_int_eq(bind_unbound(&them, theirs, US), -ESRCH);
	ck_assert_int_eq(sim_domain_add(sim, THEM), 0);
	ck_assert_int_eq(bind_to(&them, theirs, US, (uint32_t)port), their_port);
	ck_assert(reads(&them, theirs, their_port));
}
END_TEST

/* An unmap notification has a reference: the port sends when its open has let go of it. */
START_TEST(references)
{
	connect_both();
	ck_assert_int_eq(sim_port_get(sim, US, (uint32_t)port), 0);
	ck_assert_int_eq(unbind(&us, fh, (uint32_t)port), 0);
	ck_assert_int_eq(bind_to(&us, fh, THEM, (uint32_t)their_port), -EINVAL);
	ck_assert_int_eq(sim_port_send(sim, US, (uint32_t)port), 0);
	ck_assert(reads(&them, theirs, their_port));
	/* What is sent there is nobody's. */
	ck_assert_int_eq(notify(&them, theirs, (uint32_t)their_port), 0);
	ck_assert(reads_nothing(&us, fh));
	sim_port_put(sim, US, (uint32_t)port);
	ck_assert_int_eq(bind_to(&us, fh, THEM, (uint32_t)their_port), port);
}
END_TEST

/* --- events ----------------------------------------------------------------------------------------- */

START_TEST(masks)
{
	connect_both();
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(notify(&them, theirs, (uint32_t)their_port), 0);
	ck_assert(reads(&us, fh, port));
	ck_assert(reads_nothing(&us, fh));
	/* One that came while it was masked, however often. */
	ck_assert_int_eq(notify(&them, theirs, (uint32_t)their_port), 0);
	ck_assert(reads_nothing(&us, fh));
	unmask(&us, fh, port);
	ck_assert(reads(&us, fh, port));
	unmask(&us, fh, port);
	ck_assert(reads_nothing(&us, fh));
	unmask(&us, fh, port);
	ck_assert(reads_nothing(&us, fh));
}
END_TEST

START_TEST(writes)
{
	static uint32_t many[2048];
	uint64_t other = open_of(&us);

	connect_both();
	ck_assert_int_eq(notify(&them, theirs, (uint32_t)their_port), 0);
	ck_assert_int_eq(notify(&them, theirs, (uint32_t)their_port), 0);
	ck_assert(reads(&us, fh, port));
	/* Not ours, or none at all. */
	ck_assert_int_eq(unmask(&us, other, port), 4);
	ck_assert_int_eq(write_bytes(&us, fh, (uint32_t[]){ 0, 4095, 4096, UINT32_MAX }, 16), 16);
	ck_assert(reads_nothing(&us, fh));
	ck_assert_int_eq(write_bytes(&us, fh, &port, 3), 0);
	/* A page is taken, and no more. */
	many[1024] = (uint32_t)port;
	ck_assert_int_eq(write_bytes(&us, fh, many, sizeof(many)), 4096);
	ck_assert(reads_nothing(&us, fh));
	many[1023] = (uint32_t)port;
	ck_assert_int_eq(write_bytes(&us, fh, many, 4096 + 3), 4096);
	ck_assert(reads(&us, fh, port));
}
END_TEST

/* @n channels of @fh to itself, each with an event. */
static void channels(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int p = bind_unbound(&them, theirs, US);

		ck_assert_int_gt(p, 0);
		ck_assert_int_gt(bind_to(&us, fh, THEM, (uint32_t)p), 0);
	}
}

START_TEST(reads_in_parts)
{
	uint32_t got[1200];

	ck_assert_int_eq(read_ports(&us, fh, 3, got), 0);
	ck_assert_int_eq(read_ports(&us, fh, 0, got), 0);
	channels(1100);
	ck_assert_int_eq(read_ports(&us, fh, 4 * 10 + 3, got), 10);
	ck_assert_uint_eq(got[9], 10);
	ck_assert_int_eq(read_ports(&us, fh, 8192, got), 1024);
	ck_assert_uint_eq(got[1023], 1034);
	ck_assert_int_eq(read_ports(&us, fh, 4096, got), 66);
	ck_assert_uint_eq(got[65], 1100);
}
END_TEST

/* Unmasked before it is read a port can be in the ring twice: a ring of 64 has no more than that. */
START_TEST(overflow)
{
	uint32_t got[256];

	connect_both();
	for (unsigned int i = 0; i < 64; i++) {
		notify(&them, theirs, (uint32_t)their_port);
		unmask(&us, fh, port);
	}
	ck_assert_int_eq(poll_of(&us, fh, 0), POLLOUT | POLLWRNORM | POLLIN | POLLRDNORM);
	notify(&them, theirs, (uint32_t)their_port);
	ck_assert_int_eq(poll_of(&us, fh, 0), POLLERR);
	ck_assert_int_eq(read_ports(&us, fh, sizeof(got), got), -EFBIG);
	ck_assert_int_eq(read_ports(&us, fh, 3, got), 0);
	ck_assert_int_eq(reset(&us, fh), 0);
	ck_assert_int_eq(poll_of(&us, fh, 0), POLLOUT | POLLWRNORM);
	/* It stays masked. */
	notify(&them, theirs, (uint32_t)their_port);
	ck_assert(reads_nothing(&us, fh));
	unmask(&us, fh, port);
	ck_assert(reads(&us, fh, port));
}
END_TEST

/* With the 65th port there is room for 128, and what was in it is in the same order. */
START_TEST(the_ring_grows)
{
	uint32_t got[256] = { 0 };

	channels(40);
	ck_assert_int_eq(read_ports(&us, fh, sizeof(got), got), 40);
	channels(60);
	ck_assert_int_eq(read_ports(&us, fh, sizeof(got), got), 60);
	for (uint32_t i = 0; i < 60; i++)
		ck_assert_uint_eq(got[i], 41 + i);
	for (uint32_t i = 0; i < 128; i++) {
		unmask(&us, fh, 1);
		notify(&them, theirs, 1);
	}
	ck_assert_int_eq(read_ports(&us, fh, sizeof(got) * 2, got), 128);
}
END_TEST

/* --- sleeping --------------------------------------------------------------------------------------- */

static void sleep_in_read(struct asked *a, size_t size)
{
	*a = (struct asked){ .rq = { .kind = REQUEST_READ, .fh = fh, .out_len = size } };
	ask(&us, a);
	ck_assert_uint_eq(a->answers, 0);
	ck_assert(a->sleeps);
}

START_TEST(sleepers)
{
	static struct asked a, b, c;

	connect_both();
	sleep_in_read(&a, 64);
	sleep_in_read(&b, 64);
	sleep_in_read(&c, 64);
	notify(&them, theirs, (uint32_t)their_port);
	ck_assert_int_eq(answer_of(&a), 0);
	ck_assert_uint_eq(a.len, 4);
	ck_assert_uint_eq(a.out[0], (uint32_t)port);
	ck_assert_uint_eq(b.answers, 0);
	/* Whose number it is, and no other. */
	us.dev->interrupted(us.dev, fh, a.rq.unique);
	us.dev->interrupted(us.dev, fh + 1, c.rq.unique);
	us.dev->interrupted(us.dev, fh, c.rq.unique);
	ck_assert_int_eq(answer_of(&c), -EINTR);
	ck_assert_uint_eq(b.answers, 0);
	ck_assert_uint_eq(a.answers, 1);
	unmask(&us, fh, port);
	notify(&them, theirs, (uint32_t)their_port);
	ck_assert_int_eq(answer_of(&b), 0);
	sleep_in_read(&a, 4);
	us.dev->release(us.dev, fh);
	ck_assert_int_eq(answer_of(&a), -ECONNABORTED);
}
END_TEST

START_TEST(polls)
{
	connect_both();
	ck_assert_int_eq(poll_of(&us, fh, 0), POLLOUT | POLLWRNORM);
	notify(&them, theirs, (uint32_t)their_port);
	ck_assert_uint_eq(us.wakes, 0);
	ck_assert(reads(&us, fh, port));
	unmask(&us, fh, port);
	ck_assert_int_eq(poll_of(&us, fh, 71), POLLOUT | POLLWRNORM);
	notify(&them, theirs, (uint32_t)their_port);
	ck_assert_uint_eq(us.wakes, 1);
	ck_assert_uint_eq(us.woken, 71);
	ck_assert_int_eq(poll_of(&us, fh, 71), POLLOUT | POLLWRNORM | POLLIN | POLLRDNORM);
	/* Not when there is one more. */
	unmask(&us, fh, port);
	notify(&them, theirs, (uint32_t)their_port);
	ck_assert_uint_eq(us.wakes, 1);
	ck_assert_int_eq(read_ports(&us, fh, 64, NULL), 2);
	unmask(&us, fh, port);
	notify(&them, theirs, (uint32_t)their_port);
	ck_assert_uint_eq(us.wakes, 2);
	/* Once for each time it has asked. */
	ck_assert(reads(&us, fh, port));
	unmask(&us, fh, port);
	notify(&them, theirs, (uint32_t)their_port);
	ck_assert_uint_eq(us.wakes, 2);
	ck_assert_uint_eq(them.wakes, 0);
}
END_TEST

START_TEST(closed)
{
	us.dev->release(us.dev, fh);
	ck_assert_int_eq(bind_unbound(&us, fh, US), -EBADF);
	ck_assert_int_eq(read_ports(&us, fh, 4, NULL), -EBADF);
	ck_assert_int_eq(unmask(&us, fh, 1), -EBADF);
	ck_assert_int_eq(reset(&us, fh), -EBADF);
	ck_assert_int_eq(restrict_to(&us, fh, 5), -EBADF);
	ck_assert_int_eq(poll_of(&us, fh, 5), POLLERR);
	us.dev->release(us.dev, fh);
}
END_TEST

Suite *evtchn_suite(void);
Suite *evtchn_suite(void)
{
	Suite *s = suite_create("evtchn");
	TCase *tc = tcase_create("evtchn");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, bad_arguments);
	tcase_add_test(tc, binding);
	tcase_add_test(tc, no_port_is_free);
	tcase_add_test(tc, unbinding);
	tcase_add_test(tc, restricted);
	tcase_add_test(tc, virqs);
	tcase_add_test(tc, the_other_domain_dies);
	tcase_add_test(tc, references);
	tcase_add_test(tc, masks);
	tcase_add_test(tc, writes);
	tcase_add_test(tc, reads_in_parts);
	tcase_add_test(tc, overflow);
	tcase_add_test(tc, the_ring_grows);
	tcase_add_test(tc, sleepers);
	tcase_add_test(tc, polls);
	tcase_add_test(tc, closed);
	suite_add_tcase(s, tc);
	return s;
}
