/* SPDX-License-Identifier: MIT */
/*
 * control/rig.h - a control server on the rig's device, and clients of its sockets
 */
#ifndef TEST_CONTROL_RIG_H
#define TEST_CONTROL_RIG_H

#include <jansson.h>

#include "control/control.h"
#include "tests/unit/rig.h"

/* What control_up() starts with; a test may change it before. */
extern struct control_config control_cfg;
extern struct control *control;

/* Checked fixture: rig_setup(), a server with the real limits and no group. */
void control_setup(void);
void control_teardown(void);

/* The same in two steps, with time for changes of control_cfg. */
void control_prepare(void);
void control_up(void);

/* Another one in its place: all connections end. */
void control_restart(void);

/* A server that must not come up. Return: what control_start() does. */
int control_try(char *why, size_t size);

/* A client's connection. */
int control_connect(void);
int control_connect_metrics(void);

void control_say(int fd, const char *text);
void control_say_bytes(int fd, const void *bytes, size_t len);

/* The next line, without its newline, whenever it comes. NULL: the connection was closed. */
const char *control_line(int fd);

/* The next line as JSON, which it must be. NULL: the connection was closed. */
json_t *control_json(int fd);

/* Until the server closes the connection, whatever it says before. */
void control_wait_closed(int fd);

/*
 * Ask, and collect all of the answer. Return: {"records": [...], "end": ...} or with "error"; to be
 * freed by json_decref().
 */
json_t *control_ask_all(int fd, const char *request);

/* The same on a connection of its own. */
json_t *control_once(const char *request);

/* Ask without a server. Return: how many turns the answer takes in which it has something to do, and nothing to tell yet. */
unsigned int control_silent_turns(const char *line);

/* Checks of such an answer. */
json_t *control_end_of(json_t *all);
const char *control_error(json_t *all, const char *code);
json_t *control_record(json_t *all, const char *name, size_t i);
size_t control_count(json_t *all, const char *name);

/* A number somewhere in an object, "a.b.c". */
json_int_t control_number_at(json_t *o, const char *path);

#endif /* TEST_CONTROL_RIG_H */
