/* SPDX-License-Identifier: MIT */
/*
 * device/node.h - device nodes: their names, and what the kernel tells of them in sysfs
 */
#ifndef DEVICE_NODE_H
#define DEVICE_NODE_H

#include <stddef.h>

/* As long as the name of a device can be in sysfs. */
#define NODE_NAME_MAX 255

/**
 * node_check_name() - whether a device of this name can be made at all
 * @name: such as "xen/gntdev"
 * @why:  a buffer of @size bytes for a message that says what is in the way and what to do
 *
 * Return: 0; -EEXIST if somebody has the name; -EINVAL if it is none.
 */
int node_check_name(const char *name, char *why, size_t size);

/**
 * node_open_cuse() - open /dev/cuse
 * @why: as above
 *
 * Return: a descriptor or -errno.
 */
int node_open_cuse(char *why, size_t size);

/** node_waiting() - requests of a CUSE device that are not answered yet. Return: -1 if the kernel does not say */
long node_waiting(const char *name);

#endif /* DEVICE_NODE_H */
