/* SPDX-License-Identifier: MIT */
/*
 * control/control.h - the control socket and the metrics socket
 *
 * One thread serves both; it shares nothing with those that serve the device but what it reads of
 * the table under RCU. docs/control.md tells what can be asked.
 *
 * The room control/ promises to the operator an answer at any time, and to clients that no question, however
 * large its answer, makes them wait. It may include device/ and all below, and sim/, whose faults can be set
 * from outside.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "control/conn.h"
#include "control/request.h"

/* Connections at a time: of those that ask, of those that take the metrics. */
#define CONTROL_CONNS	   16
#define CONTROL_HTTP_CONNS 4

#define CONTROL_GROUP "xen-gnt"

struct control;

/**
 * struct control_config - how to serve
 * @path, @metrics: of the sockets
 * @group:  who may ask besides root and this process's user; NULL, or a group that does not exist: nobody
 * @limits: of each connection
 * @view:   what is told of
 */
struct control_config {
	const char *path;
	const char *metrics;
	const char *group;
	struct control_limits limits;
	struct control_view view;
};

/** control_config_init() - the group and limits that docs/control.md tells of; the rest is 0 */
void control_config_init(struct control_config *cc);

/**
 * control_start() - listen, and serve on a thread of its own
 * @cc:   strings live as long as the server
 * @why:  a buffer of @size bytes for a message on failure
 *
 * Return: 0 and *@out; -errno as winlisten_start_private().
 */
int control_start(const struct control_config *cc, struct control **out, char *why, size_t size);

/** control_stop() - close all connections and sockets, free everything. @c: or NULL */
void control_stop(struct control *c);

#endif /* CONTROL_CONTROL_H */
