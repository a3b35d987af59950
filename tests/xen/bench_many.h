/* SPDX-License-Identifier: MIT */
/*
 * bench_many.h - the parts of bench.c in which there are many pages, in a call or mapped
 *
 * Each prints its figures; bench.sh says what they are.
 */
#ifndef TESTS_XEN_BENCH_MANY_H
#define TESTS_XEN_BENCH_MANY_H

/** bench_bulk() - pages whose references are in a row are mapped, touched and unmapped in one call */
void bench_bulk(void);

/** bench_scattered() - the same of references that are far from each other in the granter's table */
void bench_scattered(void);

/** bench_offset() - GET_OFFSET_FOR_VADDR among few and among many windows of two sizes */
void bench_offset(void);

/** bench_copy() - GRANT_COPY */
void bench_copy(void);

/** bench_data() - memory that is mapped is read and written */
void bench_data(void);

#endif
