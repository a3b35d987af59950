/* SPDX-License-Identifier: MIT */
/*
 * control/list.h - opens and maps as they are told: what list and show share
 */
#ifndef CONTROL_LIST_H
#define CONTROL_LIST_H

#include "control/request.h"
#include "table.h"
#include "client/who.h"

struct window_info;

/* Domains of a map that are told. */
#define CONTROL_DOMIDS 16

/** struct control_open - an open as it was at one moment */
struct control_open {
	uint64_t id;
	uint64_t opened;
	uint64_t maps;
	uint64_t pages;
	bool windows;
	struct who who;
};

/**
 * struct control_map - a map as it was at one moment
 * @index:    bytes
 * @born:     trace_now()
 * @domid:    of its grants, each once, the first @n_domids
 * @holder:   if @mapped
 * @detached: mapped, and not in the table any more
 */
struct control_map {
	uint64_t open_id;
	uint64_t index;
	uint64_t window;
	uint64_t born;
	uint32_t pages;
	enum map_phase phase;
	pid_t holder;
	uint16_t domid[CONTROL_DOMIDS];
	uint16_t n_domids;
	bool readonly;
	bool detached;
	bool mapped;
};

/** control_map_look() - under RCU. Return: whether it was listed */
bool control_map_look(const struct map *m, struct control_map *cm);

/** control_detached() - whether a window's map is detached; under RCU. Return: if so, true and *@cm */
bool control_detached(struct gntdev *gd, const struct window_info *info, struct control_map *cm);

/** control_open_look() - under RCU */
void control_open_look(struct gnt_open *o, struct control_open *co);

/** control_open_line() - the record of an open. Not under RCU */
void control_open_line(struct control_out *out, const struct control_open *co);

/** control_map_json() - the record of a map. Not under RCU. Return: NULL if there is no memory */
json_t *control_map_json(const struct control_map *cm);

#endif /* CONTROL_LIST_H */
