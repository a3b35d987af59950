/* SPDX-License-Identifier: MIT */
/*
 * xen/test_event.c - event channel ports of notifications: which are taken, and what an event is sent by
 *
 * By hypercalls: there is no /dev/xen/evtchn here, so no file of a caller's has a port.
 */
#include "tests/unit/xen/rig.h"

static void setup_any(void)
{
	setup_pv(1);
}

/* Only those that another domain can be at the other end of, now or later. */
START_TEST(states_of_ports)
{
	static const struct {
		uint8_t state;
		int taken;
	} port[] = {
		{ EVTCHNSTAT_closed, -EINVAL }, { EVTCHNSTAT_unbound, 0 },
		{ EVTCHNSTAT_interdomain, 0 },	{ EVTCHNSTAT_pirq, -EINVAL },
		{ EVTCHNSTAT_virq, -EINVAL },	{ EVTCHNSTAT_ipi, -EINVAL },
	};
	const uint32_t n = sizeof(port) / sizeof(port[0]);

	for (uint32_t i = 0; i < n; i++)
		fake->port[i] = port[i].state;
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_int_eq(hv->ops->port_get(hv, i, getpid()), port[i].taken);
		ck_assert_uint_eq(counts().ports, !port[i].taken);
		if (!port[i].taken)
			hv->ops->port_put(hv, i);
		ck_assert_uint_eq(counts().ports, 0);
	}
}
END_TEST

START_TEST(no_such_port)
{
	const uint32_t port[] = { FAKE_PORTS, INT32_MAX, UINT32_MAX };

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(hv->ops->port_get(hv, port[i], 0), -EINVAL);
	fake->port[1] = EVTCHNSTAT_interdomain;
	fake_break(FAKE_EVENT, 0, -EPERM);
	ck_assert_int_eq(hv->ops->port_get(hv, 1, 0), -EINVAL);
	ck_assert_uint_eq(counts().ports, 0);
}
END_TEST

START_TEST(events_are_sent)
{
	fake->port[3] = EVTCHNSTAT_interdomain;
	ck_assert_int_eq(hv->ops->port_get(hv, 3, 0), 0);
	ck_assert_int_eq(hv->ops->port_get(hv, 3, 0), 0);
	ck_assert_uint_eq(counts().ports, 2);
	ck_assert_int_eq(hv->ops->port_send(hv, 3), 0);
	hv->ops->port_put(hv, 3);
	ck_assert_int_eq(hv->ops->port_send(hv, 3), 0);
	ck_assert_uint_eq(fake->sent[3], 2);
	/* Whoever had bound it has closed it, and the number is nobody's. */
	fake->port[3] = EVTCHNSTAT_closed;
	ck_assert_int_eq(hv->ops->port_send(hv, 3), -EINVAL);
	ck_assert_uint_eq(fake->sent[3], 2);
	hv->ops->port_put(hv, 3);
	ck_assert_uint_eq(counts().ports, 0);
}
END_TEST

Suite *event_suite(void)
{
	Suite *s = suite_create("xen_event");
	TCase *tc = tcase_create("ports");

	tcase_add_checked_fixture(tc, setup_any, teardown);
	tcase_add_test(tc, states_of_ports);
	tcase_add_test(tc, no_such_port);
	tcase_add_test(tc, events_are_sent);
	suite_add_tcase(s, tc);
	return s;
}
