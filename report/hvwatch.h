/* SPDX-License-Identifier: MIT */
/*
 * report/hvwatch.h - a hypervisor that tells what is asked of another one
 *
 * Stands before any implementation of hypercall.h: passes every call on, and tells the hypercalls
 * among them to report/trace.h, and what Xen says of grants to report/failure.h. So neither Xen's side nor the
 * simulator knows that anybody looks.
 */
#ifndef REPORT_HVWATCH_H
#define REPORT_HVWATCH_H

#include "hypercall.h"

/**
 * hvwatch_new() - watch a hypervisor
 * @below: whom calls are passed to; destroyed with the result
 *
 * Return: NULL if there is no memory.
 */
struct hypervisor *hvwatch_new(struct hypervisor *below);

#endif /* REPORT_HVWATCH_H */
