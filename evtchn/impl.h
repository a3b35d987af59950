/* SPDX-License-Identifier: MIT */
/*
 * evtchn/impl.h - the device xen/evtchn, for the files that it is made of
 */
#ifndef EVTCHN_IMPL_H
#define EVTCHN_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#include "base/ids.h"
#include "client/request.h"
#include "evtchn/lasting.h"
#include "policy/quota.h"
#include "sim/sim.h"

/**
 * struct evtchn - the device
 * @dev:   first, so that a struct device leads back here
 * @opens: struct evtchn_open by fh; looked up and changed under @lock
 * @port:  of the domain, those that some open has bound, under @lock
 * @quota: who has how many opens; @limits: how many one may: the defaults
 * @own_records: @records, if they last no longer than we
 * @last:  what lasts of the device itself
 */
struct evtchn {
	struct device dev;
	struct sim *sim;
	uint16_t domid;
	uint16_t number;
	pthread_mutex_t lock;
	struct ids *opens;
	struct records *records;
	struct records *own_records;
	struct evtchn_lasting *last;
	struct evtchn_port *port[SIM_PORT_MAX + 1];
	struct quota *quota;
	struct policy_limits limits;
};

/**
 * struct evtchn_open - an open
 * @record: its record, and what is in it
 * @ports:  struct evtchn_port, @n_ports of them
 * @size:   of the ring
 * @user:   whom it counts against
 * @sleepers: reads that wait for an event
 */
struct evtchn_open {
	struct evtchn_open_lasting *last;
	uint32_t record;
	uint32_t n_ports;
	uint32_t size;
	struct quota_user *user;
	struct cds_list_head ports;
	struct cds_list_head sleepers;
};

/** struct evtchn_port - a port of an open; @record: its record, and what is in it */
struct evtchn_port {
	struct evtchn_port_lasting *last;
	uint32_t record;
	struct evtchn_open *open;
	struct cds_list_head node;
};

/* What lasts is stored in the order of the source. */
#define LAST(lvalue, value) __atomic_store_n(&(lvalue), (value), __ATOMIC_RELEASE)

/* --- evtchn/evtchn.c --- */

/** evtchn_get() - find an open. Under the lock, as long as the pointer is used. Return: NULL: closed */
struct evtchn_open *evtchn_get(struct evtchn *ev, uint64_t fh);

/** evtchn_unlist() - under the lock: a port is its open's no more, and its record has ended */
void evtchn_unlist(struct evtchn *ev, struct evtchn_port *p);

/* --- evtchn/ring.c --- */

/** ring_fit() - under the lock: have the ring be as large as the driver's for @ports ports. Return: 0 or -ENOMEM */
int ring_fit(struct evtchn *ev, struct evtchn_open *o, uint32_t ports);

/** ring_reset() - under the lock: it is empty, and has not overflowed */
void ring_reset(struct evtchn_open *o);

/** ring_adopt() - find the ring of an open that was left. Return: 0; -EINVAL: it cannot be */
int ring_adopt(struct evtchn *ev, struct evtchn_open *o);

/**
 * ring_deliver() - under the lock: if an event waits at a port that is enabled, it is put into the ring
 * @again: a predecessor may have put it there already, as the last one
 */
void ring_deliver(struct evtchn *ev, struct evtchn_port *p, bool again);

/** ring_wake() - under the lock: answer reads that sleep, have who polls ask again, if there is something to read */
void ring_wake(struct evtchn *ev, struct evtchn_open *o);

/** ring_end_sleepers() - under the lock: answer them with @err */
void ring_end_sleepers(struct evtchn_open *o, int err);

/* As struct device has them. */
void evtchn_read(struct device *dev, struct request *rq);
void evtchn_write(struct device *dev, struct request *rq);
void evtchn_poll(struct device *dev, struct request *rq);
void evtchn_interrupted(struct device *dev, uint64_t fh, uint64_t unique);

#endif /* EVTCHN_IMPL_H */
