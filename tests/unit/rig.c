/* SPDX-License-Identifier: MIT */
/*
 * rig.c - a whole xen/gntdev on the simulator
 */
#include "tests/unit/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/defer.h"
#include "base/rcu.h"
#include "report/hvwatch.h"
#include "state/record.h"
#include "tests/unit/place.h"
#include "window/window.h"

struct rig rig;

static char dir[64];
static bool defer_stopped;
static uint64_t expected_left;

/* What mmap_call_grant() and mmap_call_refuse() said to the one call under way. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mmap_call call;
static int call_answers;
static int call_error;
static void *call_addr;

void mmap_call_refuse(struct mmap_call *mc, int error)
{
	pthread_mutex_lock(&lock);
	ck_assert_ptr_eq(mc, &call);
	ck_assert_int_gt(error, 0);
	ck_assert_int_eq(++call_answers, 1);
	call_error = error;
	call_addr = MAP_FAILED;
	pthread_mutex_unlock(&lock);
}

/*
 * The window socket, of which the rig has no more than its name. What comes by ioctl goes the way of
 * any other call; who waits at the other end of the client's socket is told that it came there.
 */
static struct winsock *const the_winsock = (struct winsock *)&rig;

const char *winsock_path(const struct winsock *ws)
{
	ck_assert_ptr_eq(ws, the_winsock);
	return RIG_SOCKET;
}

void winsock_path_for(struct winsock *ws, uid_t uid, pid_t tid, char path[WINSOCK_PATH])
{
	(void)uid;
	(void)tid;
	strncpy(path, winsock_path(ws), WINSOCK_PATH - 1);
}

void winsock_slots(struct winsock *ws, unsigned int *slots, unsigned int *used)
{
	ck_assert_ptr_eq(ws, the_winsock);
	*slots = RIG_SLOTS;
	*used = 1;
}

int winsock_adopt(struct winsock *ws, int fd, pid_t pid, uid_t uid, const struct window_request *rq,
		  uint64_t unique)
{
	ck_assert_ptr_eq(ws, the_winsock);
	ck_assert_int_eq(write(fd, "here", 4), 4);
	close(fd);
	call = (struct mmap_call){
		.rq = *rq, .pid = pid, .uid = uid, .unique = unique, .again = rq->again
	};
	call_answers = 0;
	gntdev_mmap(&call, &rig.gd);
	return 0;
}

/* The client's part: one mapping of as many pieces as there are runs of pages. */
void mmap_call_grant(struct mmap_call *mc, int fd, uint64_t window, const struct hv_grant *g,
		     size_t n, enum hv_pages kind)
{
	int prot = (int)mc->rq.prot;
	unsigned char *at;

	pthread_mutex_lock(&lock);
	ck_assert_ptr_eq(mc, &call);
	ck_assert_int_eq(kind, HV_PAGES_FILE);
	ck_assert_uint_eq(n << ABI_PAGE_SHIFT, mc->rq.length);
	ck_assert_int_eq(++call_answers, 1);
	at = mmap(NULL, mc->rq.length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		  0);
	ck_assert_ptr_ne(at, MAP_FAILED);
	for (size_t i = 0; i < n; i++)
		ck_assert_ptr_ne(mmap(at + (i << ABI_PAGE_SHIFT), ABI_PAGE_SIZE, prot,
				      MAP_SHARED | MAP_FIXED, fd,
				      (off_t)(g[i].page << ABI_PAGE_SHIFT)),
				 MAP_FAILED);
	close(fd);
	window_delivered(rig.gd.windows, window, getpid());
	call_error = 0;
	call_addr = at;
	pthread_mutex_unlock(&lock);
}

static void start_sim(void)
{
	struct sim_config sc = { .memory_pages = 4096 };
	const char *why;

	sc.dirfd = windows_dirfd(rig.gd.windows);
	ck_assert_int_eq(sim_new(&sc, &rig.sim, &why), 0);
	ck_assert_int_eq(sim_domain_add(rig.sim, RIG_GRANTER), 0);
	rig.gd.hv = hvwatch_new(sim_hypervisor(rig.sim));
	ck_assert_ptr_nonnull(rig.gd.hv);
}

void rig_setup(void)
{
	const char *why;

	memset(&rig, 0, sizeof(rig));
	rcu_thread_enter();
	snprintf(dir, sizeof(dir), "%s/gntdev-rig-%d-%x", test_place(), (int)getpid(),
		 test_moment());
	ck_assert_int_eq(windows_new(dir, NULL, &rig.gd.windows, &why), 0);
	start_sim();
	gntdev_init(&rig.gd);
	rig.gd.dev.name = "xen/gntdev";
	rig.gd.table = table_new();
	rig.gd.defer = defer_new();
	rig.gd.limit = GNTDEV_LIMIT_DEFAULT;
	rig.gd.policy = policy_default();
	rig.gd.quota = quota_new();
	ck_assert_int_eq(records_new(1 << 20, &rig.gd.records), 0);
	rig.gd.winsock = the_winsock;
	ck_assert_int_eq(windows_start(rig.gd.windows), 0);
	rig.fh = rig_open();
}

/* Whatever a test does to a map, what was counted for it is given back. */
static void check_quota(void)
{
	struct quota_held held;

	quota_totals(rig.gd.quota, &held);
	ck_assert_uint_eq(held.maps, 0);
	ck_assert_uint_eq(held.pages, 0);
}

/* Nor does anything of it last. */
static void check_records(void)
{
	uint64_t used, made;

	records_count(rig.gd.records, &used, &made);
	ck_assert_uint_eq(used, 0);
	records_close(rig.gd.records);
}

void rig_teardown(void)
{
	struct hv_counts n;

	rig_stop_defer();
	gntdev_close_all(&rig.gd);
	windows_destroy(rig.gd.windows);
	rig.gd.hv->ops->counts(rig.gd.hv, &n);
	ck_assert_uint_eq(n.handles, expected_left);
	ck_assert_uint_eq(n.ports, 0);
	ck_assert_uint_eq(double_requests, double_answers);
	rig.gd.hv->ops->destroy(rig.gd.hv);
	defer_destroy(rig.gd.defer);
	check_quota();
	policy_free(rig.gd.policy);
	quota_destroy(rig.gd.quota);
	table_destroy(rig.gd.table);
	check_records();
	rcu_thread_leave();
}

void rig_stop_defer(void)
{
	if (!defer_stopped)
		defer_stop(rig.gd.defer);
	defer_stopped = true;
}

void rig_expect_left(uint64_t n)
{
	expected_left = n;
}

uint64_t rig_open_as(int flags)
{
	const struct opener by = { .tid = gettid(), .uid = geteuid(), .gid = getegid() };
	uint64_t fh = 0;

	ck_assert_int_eq(rig.gd.dev.open(&rig.gd.dev, &by, flags, &fh), 0);
	ck_assert_uint_ne(fh, 0);
	return fh;
}

uint64_t rig_open(void)
{
	return rig_open_as(O_RDWR);
}

void rig_close(uint64_t fh)
{
	rig.gd.dev.release(&rig.gd.dev, fh);
}

uint32_t rig_grant(bool readonly)
{
	uint32_t frame, ref;

	ck_assert_int_eq(sim_frames_alloc(rig.sim, RIG_GRANTER, 1, &frame), 0);
	ck_assert_int_eq(sim_grant(rig.sim, RIG_GRANTER, 0, frame, readonly, &ref), 0);
	rig.frame[rig.n_frames++ % 64] = sim_frame_memory(rig.sim, frame);
	return ref;
}

int rig_map_refs(uint64_t fh, const uint32_t *refs, uint32_t n, uint64_t *index)
{
	struct ioctl_gntdev_map_grant_ref *op;
	int result;

	op = malloc(sizeof(*op) + n * sizeof(op->refs[0]));
	op->count = n;
	/* What libxengnttab leaves as it is. */
	op->pad = 0xdeadbeef;
	op->index = ~0ULL;
	for (uint32_t i = 0; i < n; i++)
		op->refs[i] = (struct ioctl_gntdev_grant_ref){ RIG_GRANTER, refs[i] };
	result = double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_MAP_GRANT_REF, op, DOUBLE_DIRECT);
	*index = op->index;
	free(op);
	return result;
}

uint64_t rig_map(uint64_t fh, uint32_t ref)
{
	uint64_t index;

	ck_assert_int_eq(rig_map_refs(fh, &ref, 1, &index), 0);
	return index;
}

int rig_unmap(uint64_t fh, uint64_t index, uint32_t count)
{
	struct ioctl_gntdev_unmap_grant_ref op = { .index = index, .count = count, .pad = 0xbad };

	return double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_UNMAP_GRANT_REF, &op, DOUBLE_DIRECT);
}

int rig_notify(uint64_t fh, uint64_t index, uint32_t action, uint32_t port)
{
	struct ioctl_gntdev_unmap_notify op = {
		.index = index,
		.action = action,
		.event_channel_port = port,
	};

	return double_ioctl(&rig.gd.dev, fh, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &op, DOUBLE_DIRECT);
}

static void begin(uint64_t open_id, const uint8_t *secret, uint64_t index, size_t length, int prot,
		  int flags)
{
	memset(&call, 0, sizeof(call));
	call.pid = getpid();
	call.rq = (struct window_request){
		.magic = WINDOW_MAGIC,
		.version = WINDOW_VERSION,
		.prot = (uint32_t)prot,
		.flags = (uint32_t)flags,
		.open_id = open_id,
		.offset = index,
		.length = length,
	};
	memcpy(call.rq.secret, secret, sizeof(call.rq.secret));
	call_answers = 0;
	gntdev_mmap(&call, &rig.gd);
}

void rig_mmap_begin(uint64_t fh, uint64_t index, size_t length, int prot, int flags)
{
	struct window_token token = { .magic = WINDOW_MAGIC, .version = WINDOW_VERSION };

	ck_assert_int_eq(double_ioctl(&rig.gd.dev, fh, WINDOW_TOKEN, &token, DOUBLE_DIRECT), 0);
	begin(token.open_id, token.secret, index, length, prot, flags);
}

static void *answer_of_mmap(void)
{
	void *addr;
	int error;

	while ((error = rig_mmap_answer(&addr)) < 0)
		usleep(1000);
	errno = error;
	return addr;
}

void *rig_mmap_by_ioctl(uint64_t fh, uint64_t index, size_t length, int prot, int flags)
{
	struct window_mmap wm = { .pid = (uint32_t)getpid() };
	char said[8] = "";
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	wm.sock = pair[1];
	wm.rq = (struct window_request){
		.magic = WINDOW_MAGIC,
		.version = WINDOW_VERSION,
		.prot = (uint32_t)prot,
		.flags = (uint32_t)flags,
		.offset = index,
		.length = length,
	};
	ck_assert_int_eq(double_ioctl(&rig.gd.dev, fh, WINDOW_MMAP, &wm, DOUBLE_DIRECT), 0);
	close(pair[1]);
	ck_assert_int_eq(read(pair[0], said, sizeof(said)), 4);
	ck_assert_str_eq(said, "here");
	ck_assert_int_eq(read(pair[0], said, sizeof(said)), 0);
	close(pair[0]);
	return answer_of_mmap();
}

int rig_mmap_answer(void **addr)
{
	int error;

	pthread_mutex_lock(&lock);
	error = call_answers ? call_error : -1;
	*addr = call_addr;
	pthread_mutex_unlock(&lock);
	return error;
}

void *rig_mmap(uint64_t fh, uint64_t index, size_t length, int prot, int flags)
{
	rig_mmap_begin(fh, index, length, prot, flags);
	return answer_of_mmap();
}

void *rig_mmap_with(uint64_t open_id, const uint8_t *secret, uint64_t index, size_t length,
		    int prot, int flags)
{
	begin(open_id, secret, index, length, prot, flags);
	return answer_of_mmap();
}

uint64_t rig_handles(void)
{
	struct hv_counts n;

	rig.gd.hv->ops->counts(rig.gd.hv, &n);
	return n.handles;
}

int rig_wait_handles(uint64_t n)
{
	struct timespec start, now;
	long ms;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		ms = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
		if (rig_handles() == n)
			return (int)ms;
		usleep(500);
	} while (ms < 20000);
	return -1;
}

void *rig_readonly_page(const void *content, size_t len)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	memcpy(p, content, len);
	ck_assert_int_eq(mprotect(p, 4096, PROT_READ), 0);
	return p;
}

void *rig_no_page(void)
{
	void *p = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}
