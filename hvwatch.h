/* SPDX-License-Identifier: MIT */
/*
 * hvwatch.h - a hypervisor that tells what is asked of another one
 *
 * Stands before any implementation of hypercall.h: passes every call on, and tells the hypercalls
 * among them to trace.h, and what Xen says of grants to failure.h. So neither Xen's side nor the
 * simulator knows that anybody looks.
 */
#ifndef HVWATCH_H
#define HVWATCH_H

#include "hypercall.h"

/**
 * hvwatch_new() - watch a hypervisor
 * @below: whom calls are passed to; destroyed with the result
 *
 * Return: NULL if there is no memory.
 */
struct hypervisor *hvwatch_new(struct hypervisor *below);

#endif /* HVWATCH_H */
