/* SPDX-License-Identifier: MIT */
/*
 * control_list.h - opens and maps as they are told: what list and show share
 */
#ifndef CONTROL_LIST_H
#define CONTROL_LIST_H

#include "control_request.h"
#include "table.h"

struct window_info;

/**
 * struct control_map - a map as it was at one moment
 * @index:    bytes
 * @born:     trace_now()
 * @refs:     its references, under RCU; NULL: they are not known any more
 * @holder:   if @mapped
 * @detached: mapped, and not in the table any more
 */
struct control_map {
	uint64_t open_id;
	uint64_t index;
	uint64_t window;
	uint64_t born;
	const struct table_ref *refs;
	uint32_t pages;
	enum map_phase phase;
	pid_t holder;
	uint16_t domid;
	bool readonly;
	bool detached;
	bool mapped;
};

/** control_map_look() - under RCU. Return: whether it was listed */
bool control_map_look(const struct map *m, struct control_map *cm);

/** control_detached() - whether a window's map is detached; under RCU. Return: if so, true and *@cm */
bool control_detached(struct gntdev *gd, const struct window_info *info, struct control_map *cm);

/** control_open_line() - the record of an open; under RCU */
void control_open_line(struct control_out *out, struct gnt_open *o);

/** control_map_begin() - the record of a map; the caller adds to it, and ends it by "}}\n" */
void control_map_begin(struct control_out *out, const struct control_map *cm);

#endif /* CONTROL_LIST_H */
