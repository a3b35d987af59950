/* SPDX-License-Identifier: MIT */
/*
 * window/conn.h - one connection of a window server: window/socket.c's own
 *
 * All are called with the connection's lock.
 */
#ifndef WINDOW_CONN_H
#define WINDOW_CONN_H

#include "window/places.h"

/** winconn_init() - begin. @fd: taken over; @adopted: it came with its request (winsock_adopt()) */
void winconn_init(struct conn *c, int fd, bool adopted);

/** winconn_arm() - have epoll report one event of it. Return: 0 or -errno */
int winconn_arm(struct conn *c, uint32_t events);

/**
 * winconn_ask() - ASKING: take the request
 *
 * Return: whether the device is to be called; winplace_end_call() is due then.
 */
bool winconn_ask(struct conn *c);

/** winconn_answer() - ANSWERING: send what the client's queue takes */
void winconn_answer(struct conn *c);

/** winconn_leave() - LEAVING: end the connection if all has arrived, or if @evict */
void winconn_leave(struct conn *c, bool evict);

/** winconn_refuse() - answer with a positive errno, and end it */
void winconn_refuse(struct conn *c, int error);

/** winconn_free() - end it, whatever its state */
void winconn_free(struct conn *c);

/** winconn_drop_window() - no message of the answer has been sent: the window ends here */
void winconn_drop_window(struct conn *c);

/**
 * winconn_sweep() - look at its time limit
 * @paused: places are wanted
 *
 * Return: whether it has one.
 */
bool winconn_sweep(struct conn *c, uint64_t now, bool paused);

/**
 * winconn_evict() - its user has more places than others, and they are wanted
 * @waiting: refuse it, if its turn has not come
 *
 * Return: whether its place is free.
 */
bool winconn_evict(struct conn *c, uint64_t now, bool waiting);

#endif /* WINDOW_CONN_H */
