/* SPDX-License-Identifier: MIT */
/*
 * window/doors.h - where clients of a window server connect: window/socket.c's own
 *
 * The queue of a listening socket is one for all, and its places go to who is quickest: a user who connects again and again, by
 * as many processes as he likes, keeps others out of it, and nothing that a server does with what it accepts can change that. So each user has a
 * socket of his own, which nobody else can connect to. It is made when he first asks where to connect (WINDOW_TOKEN), and
 * its path is what he is told. What he fills up is his own queue; the server's places are shared out as
 * device/turns.h does it with threads: one user gets the more of them the more are left, and never all.
 *
 * Behind it all there is the socket that everybody can connect to, with places of its own: for who cannot have another, as
 * when there are too many or it is not known who he is, and for clients that were told of it before.
 *
 * Sockets of users' own do not outlive the daemon. Who finds that the one he was told of is gone asks again (abi/winproto.h).
 */
#ifndef WINDOW_DOORS_H
#define WINDOW_DOORS_H

#include "window/places.h"

/* Of users' own those of one who has made user namespaces, in which he has thousands of user ids. */
#define DOORS_OF_USER 8
/* One that nobody has asked for so long gives way to another's. */
#define DOOR_IDLE_MS 60000

/** windoor_close_all() - listen no more. With the server's lock, or when nobody else has the server */
void windoor_close_all(struct winsock *ws);

#endif /* WINDOW_DOORS_H */
