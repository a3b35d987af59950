/* SPDX-License-Identifier: MIT */
/*
 * sim/test_machine.c - the simulated machine: domains, memory, windows, events
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/sim/rig.h"
#include "tests/unit/suite.h"

/* --- domains and memory ------------------------------------------------------------------------ */

START_TEST(domains)
{
	uint32_t ref = grant(frame[0], false);

	ck_assert_int_eq(sim_domain_add(sim, GRANTER), -EEXIST);
	ck_assert_int_eq(sim_domain_add(sim, 0), -EEXIST);
	ck_assert_int_eq(sim_domain_add(sim, SIM_DOMID_MAX), 0);
	ck_assert_int_eq(sim_domain_add(sim, SIM_DOMID_MAX + 1), -EINVAL);
	ck_assert_int_eq(sim_domain_remove(sim, NOBODY), -ENOENT);
	ck_assert_int_eq(sim_domain_remove(sim, 0), -EBUSY);
	ck_assert_uint_eq(counts().domains, 3);
	ck_assert_int_eq(sim_domain_remove(sim, GRANTER), 0);
	ck_assert_int_eq(sim_domain_state(sim, GRANTER), SIM_DOMAIN_ABSENT);
	ck_assert_int_eq(sim_domain_state(sim, 0xffff), SIM_DOMAIN_ABSENT);
	ck_assert_uint_eq(counts().frames, 0);
	ck_assert_uint_eq(counts().grants, 0);
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_bad_domain);
	/* A new one of that number has nothing of the old. */
	ck_assert_int_eq(sim_domain_add(sim, GRANTER), 0);
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_general_error);
}
END_TEST

START_TEST(dying_domain)
{
	uint32_t ref = grant(frame[0], false), f;
	struct hv_grant g = op(GRANTER, ref), copy_of = g;
	struct hv_copy c = { .src = { .domid = GRANTER, .ref = ref },
			     .len = 1,
			     .status = HV_PENDING };
	char byte = 1;

	grant(frame[1], false);
	ck_assert_int_eq(map1(&g, &writable), GNTST_okay);
	*(char *)sim_frame_memory(sim, frame[0]) = 'x';
	ck_assert_int_eq(sim_domain_remove(sim, GRANTER), 0);
	ck_assert_int_eq(sim_domain_state(sim, GRANTER), SIM_DOMAIN_DYING);
	ck_assert_uint_eq(counts().dying, 1);
	ck_assert_uint_eq(counts().frames, 1);
	ck_assert_uint_eq(counts().grants, 1);
	/* The mapping works on; everything new is refused. */
	ck_assert_int_eq(*(char *)sim_frame_memory(sim, frame[0]), 'x');
	ck_assert_int_eq(map1(&copy_of, &writable), GNTST_bad_domain);
	c.dst_local = &byte;
	ck_assert_int_eq(hv->ops->copy(hv, &c, 1), 0);
	ck_assert_int_eq(c.status, GNTST_bad_domain);
	ck_assert_int_eq(byte, 1);
	ck_assert_int_eq(sim_domain_add(sim, GRANTER), -EBUSY);
	ck_assert_int_eq(sim_domain_remove(sim, GRANTER), -ENOENT);
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, 1, &f), -ENOENT);
	ck_assert_int_eq(sim_revoke(sim, GRANTER, ref), -ENOENT);
	ck_assert_ptr_null(sim_grant_entry(sim, GRANTER, ref));
	unmap1(&g);
	ck_assert_int_eq(sim_domain_state(sim, GRANTER), SIM_DOMAIN_ABSENT);
	ck_assert_uint_eq(counts().frames, 0);
	ck_assert_int_eq(sim_domain_add(sim, GRANTER), 0);
}
END_TEST

START_TEST(frames)
{
	static uint32_t all[PAGES];
	uint32_t one, used = N_FRAMES + 1;

	for (int i = 1; i < N_FRAMES; i++)
		ck_assert_uint_eq(frame[i], frame[0] + (uint32_t)i);
	ck_assert_ptr_null(sim_frame_memory(sim, PAGES));
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, 0, all), -EINVAL);
	ck_assert_int_eq(sim_frames_alloc(sim, NOBODY, 1, all), -ENOENT);
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, PAGES - used + 1, all), -ENOMEM);
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, PAGES - used, all), 0);
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, 1, &one), -ENOMEM);
	ck_assert_uint_eq(counts().frames, PAGES - 1);

	/* Scattered if there is no run; a run where there is one, although it is not the lowest. */
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, &all[10], 1), 0);
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, &all[20], 2), 0);
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, &all[30], 1), 0);
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, &all[30], 1), -EINVAL);
	ck_assert_int_eq(sim_frames_free(sim, OTHER, &all[31], 1), -EINVAL);
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, &(uint32_t){ PAGES }, 1), -EINVAL);
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, 2, frame), 0);
	ck_assert_uint_eq(frame[0], all[20]);
	ck_assert_uint_eq(frame[1], all[21]);
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, 2, frame), 0);
	ck_assert_uint_eq(frame[0], all[10]);
	ck_assert_uint_eq(frame[1], all[30]);
}
END_TEST

static blkcnt_t file_blocks(void)
{
	struct stat st;

	ck_assert_int_eq(fstatat(dirfd_, "machine", &st, 0), 0);
	ck_assert_int_eq(st.st_size, PAGES * 4096L);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	return st.st_blocks;
}

START_TEST(frames_take_space_while_owned)
{
	blkcnt_t before = file_blocks();
	uint32_t f[16];

	ck_assert_int_eq(before, N_FRAMES * 8L);
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, 16, f), 0);
	ck_assert_int_eq(file_blocks(), before + 16 * 8L);
	memset(sim_frame_memory(sim, f[0]), 0xff, 4096);
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, f, 16), 0);
	ck_assert_int_eq(file_blocks(), before);
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, 1, f), 0);
	for (int i = 0; i < 4096; i++)
		ck_assert_int_eq(((char *)sim_frame_memory(sim, f[0]))[i], 0);
}
END_TEST

/* A mapped frame that its owner frees is nobody else's until it is unmapped. */
START_TEST(frame_freed_while_mapped)
{
	uint32_t ref = grant(frame[0], false), f;
	struct hv_grant g = op(GRANTER, ref), again = g;

	ck_assert_int_eq(map1(&g, &writable), GNTST_okay);
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, frame, 1), 0);
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, frame, 1), -EINVAL);
	ck_assert_uint_eq(counts().frames, N_FRAMES);
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, 1, &f), 0);
	ck_assert_uint_ne(f, frame[0]);
	unmap1(&g);
	ck_assert_uint_eq(counts().frames, N_FRAMES);
	ck_assert_int_eq(map1(&again, &writable), GNTST_bad_page);
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, 1, &f), 0);
	ck_assert_uint_eq(f, frame[0]);
}
END_TEST

static void expect_refusal(struct sim_config c, int err)
{
	const char *why = NULL;
	struct sim *s;

	ck_assert_int_eq(sim_new(&c, &s, &why), err);
	ck_assert_ptr_nonnull(why);
}

/* Whoever outlives the machine still sees what was there. */
START_TEST(memory_after_power_off)
{
	uint32_t f;

	strcpy(sim_frame_memory(sim, frame[0]), "still there");
	sim_power_off(sim);
	ck_assert_int_eq(sim_domain_remove(sim, GRANTER), 0);
	ck_assert_str_eq(sim_frame_memory(sim, frame[0]), "still there");
	ck_assert_int_eq(sim_frames_alloc(sim, 0, 1, &f), -ENOMEM);
	ck_assert_uint_eq(counts().frames, 0);
}
END_TEST

START_TEST(configuration)
{
	struct sim_config good = { .dirfd = dirfd_, .memory_pages = PAGES }, c = good;

	c.memory_pages = 1;
	expect_refusal(c, -EINVAL);
	c.memory_pages = 1ULL << 32;
	expect_refusal(c, -EINVAL);
	c = good;
	c.maptrack_max = SIM_MAPTRACK_MAX + 1;
	expect_refusal(c, -EINVAL);
	c = good;
	c.grant_frames_max = SIM_GRANT_FRAMES_MAX + 1;
	expect_refusal(c, -EINVAL);
	c = good;
	c.self = DOMID_SELF;
	expect_refusal(c, -EINVAL);
	c = good;
	c.dirfd = -1;
	expect_refusal(c, -EBADF);
	ck_assert_str_eq(hv->name, "sim");
	ck_assert_int_eq(hv->pages, HV_PAGES_FILE);
}
END_TEST

START_TEST(daemon_in_another_domain)
{
	struct sim_config c = { .memory_pages = PAGES, .self = 3 };
	uint32_t ref;

	teardown();
	make_sim(&c);
	ck_assert_int_eq(sim_domain_add(sim, 0), 0);
	ck_assert_int_eq(sim_domain_remove(sim, 3), -EBUSY);
	ck_assert_int_eq(map_ref(GRANTER, grant(frame[0], false), &writable), GNTST_general_error);
	ck_assert_int_eq(sim_grant(sim, GRANTER, 3, frame[0], false, &ref), 0);
	ck_assert_int_eq(map_ref(GRANTER, ref, &writable), GNTST_okay);
}
END_TEST

/* Stands for fallocate(2) of a file system that is full after so many more allocations. */
static int allocations_left = -1;

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (!mode && allocations_left >= 0 && !allocations_left--) {
		/* Some do a part of it first. */
		syscall(SYS_fallocate, fd, mode, offset, (off_t)4096);
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

START_TEST(file_system_full)
{
	uint32_t a[PAGES], b[4];
	blkcnt_t before;

	/* Leave three holes, so that four frames come in several runs, and the last one fails. */
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, PAGES - 1 - N_FRAMES, a), 0);
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, &a[10], 1), 0);
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, &a[20], 1), 0);
	ck_assert_int_eq(sim_frames_free(sim, GRANTER, &a[30], 2), 0);
	before = file_blocks();
	allocations_left = 2;
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, 4, b), -ENOMEM);
	ck_assert_int_eq(file_blocks(), before);
	ck_assert_uint_eq(counts().frames, PAGES - 1 - 4);
	allocations_left = -1;
	ck_assert_int_eq(sim_frames_alloc(sim, GRANTER, 4, b), 0);
}
END_TEST

START_TEST(file_system_unfit)
{
	struct sim_config c = { .dirfd = dirfd_, .memory_pages = PAGES };

	allocations_left = 0;
	expect_refusal(c, -ENOSPC);
}
END_TEST

/* --- windows ----------------------------------------------------------------------------------- */

static int window(const struct hv_grant *g, const struct hv_place *at)
{
	int fd = hv->ops->window_open(hv, dirfd_, "1.2", g, 1, at);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(faccessat(dirfd_, "1.2", F_OK, 0), -1);
	return fd;
}

START_TEST(window_is_the_granters_page)
{
	struct hv_grant g = op(GRANTER, grant(frame[2], false));
	char *mem = sim_frame_memory(sim, frame[2]), *p;
	int fd;

	ck_assert_int_eq(map1(&g, &writable), GNTST_okay);
	fd = window(&g, &writable);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)g.page << 12);
	ck_assert_ptr_ne(p, MAP_FAILED);
	close(fd);
	put(mem, "granter");
	ck_assert_str_eq(p, "granter");
	put(p, "mapper");
	ck_assert_str_eq(mem, "mapper");
	munmap(p, 4096);
	unmap1(&g);
}
END_TEST

START_TEST(window_readonly)
{
	struct hv_grant g = op(GRANTER, grant(frame[2], false));
	void *p;
	int fd;

	ck_assert_int_eq(map1(&g, &readonly), GNTST_okay);
	fd = window(&g, &readonly);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)g.page << 12);
	ck_assert_ptr_eq(p, MAP_FAILED);
	ck_assert_int_eq(errno, EACCES);
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)g.page << 12);
	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_int_eq(mprotect(p, 4096, PROT_READ | PROT_WRITE), -1);
	ck_assert_int_eq(errno, EACCES);
	ck_assert_int_eq((int)pwrite(fd, "x", 1, (off_t)g.page << 12), -1);
	munmap(p, 4096);
	close(fd);
	unmap1(&g);
}
END_TEST

START_TEST(window_errors)
{
	struct hv_grant g = op(GRANTER, grant(frame[2], false));

	ck_assert_int_eq(hv->ops->window_open(hv, dirfd_, "machine", &g, 1, &writable), -EEXIST);
	ck_assert_int_eq(faccessat(dirfd_, "machine", F_OK, 0), 0);
	ck_assert_int_eq(hv->ops->window_open(hv, dirfd_, "no/dir", &g, 1, &writable), -ENOENT);
}
END_TEST

/* --- events ------------------------------------------------------------------------------------ */

static struct sim_event last;
static int events;

static void on_event(const struct sim_event *ev, void *arg)
{
	ck_assert_ptr_eq(arg, &events);
	last = *ev;
	events++;
}

START_TEST(ports)
{
	uint64_t sent = 99;
	struct hv_counts c;

	ck_assert_int_eq(hv->ops->port_get(hv, 4, 0), -EINVAL);
	ck_assert_int_eq(sim_port_bind(sim, 0, 0, OTHER, NULL, NULL), -EINVAL);
	ck_assert_int_eq(sim_port_bind(sim, 0, 4096, OTHER, NULL, NULL), -EINVAL);
	ck_assert_int_eq(sim_port_bind(sim, NOBODY, 1, OTHER, NULL, NULL), -ENOENT);
	ck_assert_int_eq(sim_port_bind(sim, 0, 4095, OTHER, on_event, &events), 0);
	ck_assert_int_eq(sim_port_bind(sim, 0, 4095, OTHER, NULL, NULL), -EBUSY);
	ck_assert_int_eq(hv->ops->port_get(hv, 0, 0), -EINVAL);
	ck_assert_int_eq(hv->ops->port_get(hv, 4096, 0), -EINVAL);
	ck_assert_int_eq(hv->ops->port_get(hv, UINT32_MAX, 0), -EINVAL);
	ck_assert_int_eq(hv->ops->port_get(hv, 4094, 0), -EINVAL);
	ck_assert_int_eq(hv->ops->port_get(hv, 4095, 0), 0);
	hv->ops->counts(hv, &c);
	ck_assert_uint_eq(c.ports, 1);

	ck_assert_int_eq(hv->ops->port_send(hv, 4094), -EINVAL);
	ck_assert_int_eq(hv->ops->port_send(hv, 4095), 0);
	ck_assert_int_eq(hv->ops->port_send(hv, 4095), 0);
	ck_assert_int_eq(events, 2);
	ck_assert_uint_eq(last.sent, 2);
	ck_assert_uint_eq(last.port, 4095);
	ck_assert_uint_eq(last.domid, 0);
	ck_assert_uint_eq(last.remote, OTHER);
	ck_assert_int_eq(sim_port_sent(sim, 0, 4095, &sent), 0);
	ck_assert_uint_eq(sent, 2);
	ck_assert_int_eq(sim_port_sent(sim, 0, 1, &sent), -EINVAL);
	ck_assert_int_eq(sim_port_sent(sim, NOBODY, 1, &sent), -ENOENT);
	hv->ops->port_put(hv, 4095);
	hv->ops->counts(hv, &c);
	ck_assert_uint_eq(c.ports, 0);
}
END_TEST

START_TEST(port_references)
{
	ck_assert_int_eq(sim_port_bind(sim, 0, 7, OTHER, NULL, NULL), 0);
	/* Puts without a get do not take the owner's. */
	hv->ops->port_put(hv, 7);
	hv->ops->port_put(hv, 8);
	ck_assert_int_eq(hv->ops->port_get(hv, 7, 0), 0);
	ck_assert_int_eq(sim_port_unbind(sim, 0, 7), 0);
	ck_assert_int_eq(sim_port_unbind(sim, 0, 7), -EINVAL);
	ck_assert_int_eq(hv->ops->port_send(hv, 7), 0);
	ck_assert_int_eq(sim_port_bind(sim, 0, 7, OTHER, NULL, NULL), -EBUSY);
	ck_assert_int_eq(hv->ops->port_get(hv, 7, 0), 0);
	hv->ops->port_put(hv, 7);
	hv->ops->port_put(hv, 7);
	ck_assert_int_eq(hv->ops->port_send(hv, 7), -EINVAL);
	ck_assert_int_eq(sim_port_bind(sim, 0, 7, OTHER, NULL, NULL), 0);
	ck_assert_uint_eq(counts().port_refs, 0);
}
END_TEST

START_TEST(port_keeps_dying_domain)
{
	ck_assert_int_eq(sim_port_bind(sim, GRANTER, 7, 0, NULL, NULL), 0);
	ck_assert_int_eq(sim_port_get(sim, GRANTER, 7), 0);
	ck_assert_int_eq(sim_domain_remove(sim, GRANTER), 0);
	ck_assert_int_eq(sim_domain_state(sim, GRANTER), SIM_DOMAIN_DYING);
	ck_assert_int_eq(sim_port_send(sim, GRANTER, 7), -EINVAL);
	sim_port_put(sim, GRANTER, 7);
	ck_assert_int_eq(sim_domain_state(sim, GRANTER), SIM_DOMAIN_ABSENT);
	ck_assert_int_eq(sim_domain_add(sim, GRANTER), 0);
	ck_assert_int_eq(sim_port_get(sim, GRANTER, 7), -EINVAL);
}
END_TEST

START_TEST(events_are_logged)
{
	teardown();
	make_sim(&(struct sim_config){
		.memory_pages = PAGES, .event = on_event, .event_arg = &events });
	ck_assert_int_eq(sim_port_bind(sim, GRANTER, 7, 0, NULL, NULL), 0);
	ck_assert_int_eq(sim_port_send(sim, GRANTER, 7), 0);
	ck_assert_int_eq(sim_port_send(sim, GRANTER, 8), -EINVAL);
	ck_assert_int_eq(events, 1);
	ck_assert_uint_eq(last.domid, GRANTER);
}
END_TEST

Suite *machine_suite(void);

Suite *machine_suite(void)
{
	const TTest *const tests[] = {
		domains,
		dying_domain,
		frames,
		frames_take_space_while_owned,
		frame_freed_while_mapped,
		memory_after_power_off,
		configuration,
		daemon_in_another_domain,
		file_system_full,
		file_system_unfit,
		window_is_the_granters_page,
		window_readonly,
		window_errors,
		ports,
		port_references,
		port_keeps_dying_domain,
		events_are_logged,
	};

	return suite_of("sim_machine", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
