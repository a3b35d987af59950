/* SPDX-License-Identifier: MIT */
/*
 * preload/daemon.h - a device, a daemon and a privcmd for the tests of the preload object
 *
 * Brings the object's sources themselves, with their system calls going through here. Tells also what the process
 * holds: descriptors, windows, memory, signal mask. Each program of its tests has it once.
 */
#ifndef TEST_PRELOAD_DAEMON_H
#define TEST_PRELOAD_DAEMON_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/unit/descriptors.h"

static long faked_syscall(long nr, ...);

/* Six arguments at least, whatever the call has: faked_syscall() cannot tell. */
#define PRELOAD_SYSCALL(...) faked_syscall(__VA_ARGS__, 0L, 0L, 0L, 0L, 0L, 0L)
#define mmap		     preload_mmap
#define mmap64		     preload_mmap64
#define mprotect	     preload_mprotect
#define pkey_mprotect	     preload_pkey_mprotect
#define mremap		     preload_mremap
#define ioctl		     preload_ioctl
#include "preload/preload.c" /* NOLINT(bugprone-suspicious-include) */
#include "preload/window.c"  /* NOLINT(bugprone-suspicious-include) */
#include "preload/device.c"  /* NOLINT(bugprone-suspicious-include) */
#include "preload/mapped.c"  /* NOLINT(bugprone-suspicious-include) */
#include "preload/offset.c"  /* NOLINT(bugprone-suspicious-include) */
#undef mmap
#undef mmap64
#undef mprotect
#undef pkey_mprotect
#undef mremap
#undef ioctl

#define PAGE	   4096L
#define FILE_PAGES 1024L
#define MAX_SAID   3
#define OPEN_ID	   0x1122334455667788ULL
#define RW	   (PROT_READ | PROT_WRITE)

/* --- the device --------------------------------------------------------------------------- */

static int device = -1;
static unsigned int device_major = 240; /* of those that CUSE devices get */
static const char *device_link;		/* in sysfs; NULL: there is none */
static uid_t user;
static struct window_token token;
static int token_error;
static bool token_silent; /* a driver that answers 0 to everything */
static int mmap_error;	  /* of WINDOW_MMAP */

/* Connections to the daemon that came about, of all threads, and those it has done with. */
static atomic_int connections, served;
static void (*at_pause)(void); /* called when the object waits */
static bool daemon_hangs_up;   /* without a word, before it is spoken to */

static inline void daemon_is_idle(void)
{
	while (served != connections)
		usleep(100);
}

/* System calls of the object, by this thread. */
static __thread struct {
	int n;
	long nr[1200];
	bool of_window[1200]; /* an mmap of the window */
	int fail_at;	      /* count from 1; 0: none fails */
	int error;
	bool no_addresses; /* no address range is to be had (RLIMIT_AS, but for this thread alone) */
	char *reserved;	   /* last address range that it took by PROT_NONE */
	size_t held;	   /* its length, until it is given back */
	char *memory;	   /* that it took for itself, and has not given back */
} calls;

static inline long answer_token(struct window_token *asked)
{
	if (token_error) {
		errno = token_error;
		return -1;
	}
	if (token_silent)
		return 0;
	ck_assert_uint_eq(asked->magic, WINDOW_MAGIC);
	ck_assert_uint_eq(asked->version, WINDOW_VERSION);
	ck_assert_uint_eq(asked->flags, 0);
	*asked = token;
	return 0;
}

/* What calls.nr[] says of WINDOW_MMAP. */
#define ASK_BY_IOCTL 1000001L

/* A client's end that was taken over for the daemon, and what is asked there. */
struct taken {
	int conn;
	struct window_request rq;
};
static int handover[2]; /* a pipe of them */

/* Nothing here may be a cancellation point. */
static inline long answer_mmap(const struct window_mmap *asked)
{
	struct taken t = { .rq = asked->rq };

	errno = asked->pid == (uint32_t)getpid() ? mmap_error : EOPNOTSUPP;
	if (token_silent)
		return 0;
	if (errno)
		return -1;
	if (!(fcntl(asked->sock, F_GETFD) & FD_CLOEXEC))
		ck_abort_msg("the daemon's end survives execve");
	t.conn = fcntl(asked->sock, F_DUPFD_CLOEXEC, 0);
	connections++;
	if (t.conn < 0 || syscall(SYS_write, handover[1], &t, sizeof(t)) != sizeof(t))
		ck_abort_msg("the daemon cannot take it: %s", strerror(errno));
	return 0;
}

/* --- privcmd ------------------------------------------------------------------------------ */

/* Whose frames the window's file stands for: page 0 of it is the first one. Too large for an int. */
#define GRANTER	    0x1234
#define FIRST_FRAME 0x9876543210UL
#define FRAME(page) ((FIRST_FRAME + (page)) * PAGE)

/* What calls.nr[] says of the ioctl. */
#define PRIVCMD_FILL 1000000L

static __thread struct {
	/* The last mapping made of a window. */
	char *at;
	size_t length;
	int prot, flags, fd;
	off_t offset;
	unsigned int filled; /* pages, if it is one of frames that have been mapped */

	int error;     /* the ioctl fails */
	long bad_page; /* is refused, if bad_error is not 0 */
	int bad_error;
} privcmd;

/*
 * As the kernel does it: all of a mapping at once, or EINVAL; all frames are tried, and what became
 * of each is told; ENOENT if that is the word for one of them, else success.
 */
static inline long privcmd_fill(int fd, const privcmd_mmapbatch_v2_t *b)
{
	bool paged_out = false;

	errno = privcmd.error;
	if (!errno && b->dom != GRANTER)
		errno = EPERM;
	if (!errno && (fd != privcmd.fd || b->addr != (uintptr_t)privcmd.at ||
		       b->num * PAGE != privcmd.length || privcmd.filled))
		errno = EINVAL;
	if (errno)
		return -1;
	for (unsigned int i = 0; i < b->num; i++) {
		const uint64_t page = b->arr[i] - FIRST_FRAME;

		b->err[i] = page < FILE_PAGES ? 0 : -EINVAL;
		if (privcmd.bad_error && i == privcmd.bad_page)
			b->err[i] = privcmd.bad_error;
		paged_out |= b->err[i] == -ENOENT;
		if (!b->err[i])
			ck_assert_ptr_ne(mmap(privcmd.at + i * PAGE, PAGE, privcmd.prot,
					      MAP_SHARED | MAP_FIXED, fd, (off_t)(page * PAGE)),
					 MAP_FAILED);
	}
	privcmd.filled = b->num;
	errno = ENOENT;
	return paged_out ? -1 : 0;
}

/* Not in parts: that is EINVAL for the one who tries. */
static inline void privcmd_munmap(const char *at, size_t length)
{
	if (!privcmd.filled || at + length <= privcmd.at || at >= privcmd.at + privcmd.length)
		return;
	if (at != privcmd.at || length != privcmd.length)
		ck_abort_msg("a mapping of privcmd is split");
	privcmd.filled = 0;
}

/* --- system calls ------------------------------------------------------------------------- */

/* What sysfs has for the device. */
static inline long answer_link(const char *path, char *link, size_t size)
{
	char expected[40];

	snprintf(expected, sizeof(expected), "/sys/dev/char/%u:7", device_major);
	errno = ENOENT;
	if (!device_link || strcmp(path, expected) != 0)
		return -1;
	ck_assert_uint_lt(strlen(device_link), size);
	return (long)(stpcpy(link, device_link) - link);
}

static inline void mapped(const long a[6], char *at)
{
	if (a[4] >= 0 && a[4] != device) {
		privcmd.at = at;
		privcmd.length = (size_t)a[1];
		privcmd.prot = (int)a[2];
		privcmd.flags = (int)a[3];
		privcmd.fd = (int)a[4];
		privcmd.offset = a[5];
		privcmd.filled = 0;
	} else if (a[4] == -1 && a[2] == PROT_NONE) {
		calls.reserved = at;
		calls.held = (size_t)a[1];
	} else if (a[4] == -1) {
		calls.memory = at;
	}
}

static inline void unmapped(const long a[6])
{
	privcmd_munmap((char *)a[0], (size_t)a[1]);
	if ((char *)a[0] == calls.memory)
		calls.memory = NULL;
	if ((char *)a[0] == calls.reserved && (size_t)a[1] >= calls.held)
		calls.held = 0;
}

static long faked_syscall(long nr, ...)
{
	long a[6], ret;
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);

	if (nr == SYS_ioctl && a[1] == (long)IOCTL_PRIVCMD_MMAPBATCH_V2)
		nr = PRIVCMD_FILL;
	if (nr == SYS_ioctl && a[0] == device && a[1] == (long)WINDOW_MMAP)
		nr = ASK_BY_IOCTL;
	calls.nr[calls.n++ % 1200] = nr;
	calls.of_window[(calls.n - 1) % 1200] = nr == SYS_mmap && a[4] >= 0 && a[4] != device;
	if (nr == SYS_munmap)
		unmapped(a);
	if (calls.n == calls.fail_at) {
		/* Linux closes also when it reports an error; nor could anybody do without munmap. */
		if (nr == SYS_close || nr == SYS_munmap)
			syscall(nr, a[0], a[1]);
		errno = calls.error;
		return -1;
	}
	if (calls.no_addresses && nr == SYS_mmap && a[4] == -1) {
		errno = ENOMEM;
		return -1;
	}
	if (nr == SYS_ioctl && a[0] == device && a[1] == (long)WINDOW_TOKEN)
		return answer_token((struct window_token *)a[2]);
	if (nr == ASK_BY_IOCTL)
		return answer_mmap((const struct window_mmap *)a[2]);
	if (nr == PRIVCMD_FILL)
		return privcmd_fill((int)a[0], (const privcmd_mmapbatch_v2_t *)a[2]);
	if (nr == SYS_readlinkat && !strncmp((const char *)a[1], "/sys/", 5))
		return answer_link((const char *)a[1], (char *)a[2], (size_t)a[3]);
	if (nr == SYS_geteuid)
		return user;
	if (nr == SYS_clock_nanosleep && at_pause)
		at_pause();
	if (nr == SYS_sendto && daemon_hangs_up)
		daemon_is_idle();
	/* Not by ck_assert(): that is a cancellation point also when all is well. */
	if (nr == SYS_mmap && a[4] >= 0 && a[4] != device &&
	    !(fcntl((int)a[4], F_GETFD) & FD_CLOEXEC))
		ck_abort_msg("the window's descriptor survives execve");
	ret = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (nr == SYS_fstat && ret == 0 && a[0] == device)
		((struct stat *)a[1])->st_rdev = makedev(device_major, 7);
	if (nr == SYS_socket && ret >= 0 && !(fcntl((int)ret, F_GETFD) & FD_CLOEXEC))
		ck_abort_msg("the connection survives execve");
	if (nr == SYS_connect && ret == 0)
		connections++;
	if (nr == SYS_mmap && ret != -1)
		mapped(a, (char *)ret);
	return ret;
}

/* --- the daemon --------------------------------------------------------------------------- */

/* One message: the fields as they go out, whatever they are. */
struct said {
	uint64_t magic;
	int32_t error;
	uint32_t pieces;
	uint32_t here;
	uint16_t kind;
	uint16_t domid;
	int fds;  /* descriptors sent along */
	int more; /* bytes more (or less) than `here` announces */
	struct window_piece piece[4];
};

static struct {
	pthread_t thread;
	int listener;
	char dir[32];
	int file;		    /* the window file: each page begins with its number */
	int window;		    /* what is sent: the file, or a read-only opening of it */
	struct said said[MAX_SAID]; /* until one with magic 0 */
	void (*talk)(int conn);	    /* instead of said[] */
	void (*before)(void);	    /* before the answer */
	struct window_request rq;
	atomic_int asked;
} daemon_;

static inline void send_message(int conn, const void *msg, size_t len, int fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)msg, .iov_len = len };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };

	memset(&control, 0, sizeof(control));
	if (fds) {
		hdr.msg_control = control.bytes;
		hdr.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(fds * sizeof(int));
		for (int i = 0; i < fds; i++)
			memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &daemon_.window,
			       sizeof(int));
	}
	sendmsg(conn, &hdr, MSG_NOSIGNAL);
}

static inline void say(int conn, const struct said *s)
{
	union {
		struct window_reply reply;
		unsigned char bytes[2 * WINDOW_REPLY_MAX];
	} msg;
	size_t n = s->here < 4 ? s->here : 4;

	memset(&msg, 0, sizeof(msg));
	msg.reply.magic = s->magic;
	msg.reply.error = s->error;
	msg.reply.pieces = s->pieces;
	msg.reply.here = s->here;
	msg.reply.kind = s->kind;
	msg.reply.domid = s->domid;
	memcpy(msg.bytes + sizeof(msg.reply), s->piece, n * sizeof(s->piece[0]));
	send_message(conn, msg.bytes, sizeof(msg.reply) + s->here * sizeof(s->piece[0]) + s->more,
		     s->fds);
}

/* @rq: NULL if it is still to come. */
static inline void serve(int conn, const struct window_request *rq)
{
	char end;

	if (daemon_hangs_up)
		return;
	if (rq)
		daemon_.rq = *rq;
	else if (recv(conn, &daemon_.rq, sizeof(daemon_.rq), 0) != sizeof(daemon_.rq))
		return;
	daemon_.asked++;
	if (daemon_.before)
		daemon_.before();
	if (daemon_.talk)
		daemon_.talk(conn);
	for (int i = 0; i < MAX_SAID && daemon_.said[i].magic && !daemon_.talk; i++)
		say(conn, &daemon_.said[i]);
	shutdown(conn, SHUT_WR);
	recv(conn, &end, 1, 0);
}

/* Return: the connection, when it has been answered; -1 if no more can come. */
static inline int serve_next(void)
{
	struct pollfd from[] = { { .fd = handover[0], .events = POLLIN },
				 { .fd = daemon_.listener, .events = POLLIN } };
	struct taken t;

	poll(from, 2, -1);
	if (from[0].revents) {
		if (read(handover[0], &t, sizeof(t)) != sizeof(t))
			return -1;
		serve(t.conn, &t.rq);
		return t.conn;
	}
	t.conn = accept4(daemon_.listener, NULL, NULL, SOCK_CLOEXEC);
	if (t.conn >= 0)
		serve(t.conn, NULL);
	return t.conn;
}

static inline void *daemon_main(void *arg)
{
	sigset_t all;
	int conn;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	while ((conn = serve_next()) >= 0) {
		close(conn);
		served++;
	}
	return arg;
}

#define SAYS(n, n_here, n_fds, ...)                                                     \
	{                                                                               \
		.magic = WINDOW_MAGIC, .pieces = (n), .here = (n_here), .fds = (n_fds), \
		__VA_ARGS__                                                             \
	}
#define REFUSES(e) ((struct said){ .magic = WINDOW_MAGIC, .error = (e) })

/* What most tests want to hear: three pages, in one piece or in three, out of order. */
static const struct said one_piece = SAYS(1, 1, 1, .piece = { { 5 * PAGE, 3 * PAGE } });
static const struct said three_pieces =
	SAYS(3, 3, 1, .piece = { { 9 * PAGE, PAGE }, { 2 * PAGE, PAGE }, { 7 * PAGE, PAGE } });
static const uint32_t one_piece_pages[] = { 5, 6, 7 };
static const uint32_t three_pieces_pages[] = { 9, 2, 7 };

/* A device that has tokens only. */
static inline void set_up(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	device = open("/dev/null", O_RDWR | O_CLOEXEC);
	device_link = "../../devices/virtual/cuse/xen!gntdev";
	strcpy(daemon_.dir, "/tmp/preload-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(daemon_.dir));
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/socket", daemon_.dir);
	token = (struct window_token){ .magic = WINDOW_MAGIC,
				       .version = WINDOW_VERSION,
				       .open_id = OPEN_ID,
				       .secret = "fifteen letters" };
	memcpy(token.socket, sun.sun_path, sizeof(token.socket));
	daemon_.file = memfd_create("window", MFD_CLOEXEC);
	daemon_.window = daemon_.file;
	ck_assert_int_eq(ftruncate(daemon_.file, FILE_PAGES * PAGE), 0);
	for (uint32_t i = 0; i < FILE_PAGES; i++)
		ck_assert_int_eq(pwrite(daemon_.file, &i, sizeof(i), i * PAGE), sizeof(i));
	daemon_.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(daemon_.listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
	ck_assert_int_eq(listen(daemon_.listener, 64), 0);
	daemon_.said[0] = one_piece;
	mmap_error = ENOTTY;
	ck_assert_int_eq(pipe2(handover, O_CLOEXEC), 0);
	ck_assert_int_eq(pthread_create(&daemon_.thread, NULL, daemon_main, NULL), 0);
}

/* One that can be asked for windows. */
static inline void set_up_by_ioctl(void)
{
	set_up();
	mmap_error = 0;
}

static inline void tear_down(void)
{
	shutdown(daemon_.listener, SHUT_RDWR);
	pthread_join(daemon_.thread, NULL);
	close(daemon_.listener);
	close(handover[0]);
	close(handover[1]);
	if (daemon_.window != daemon_.file)
		close(daemon_.window);
	close(daemon_.file);
	close(device);
	unlink(token.socket);
	rmdir(daemon_.dir);
}

/* From now on the window that is sent cannot be written. */
static inline void send_read_only(void)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", daemon_.file);
	daemon_.window = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(daemon_.window, 0);
}

/* --- what is held ------------------------------------------------------------------------- */

/* Ours and the daemon's, after it has done with every connection. */
static inline int descriptors(void)
{
	daemon_is_idle();
	return open_descriptors();
}

/* Mappings of the window file. */
static inline int windows(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "/memfd:window") != NULL;
	fclose(f);
	return n;
}

/* A line of what smaps tells of the mapping at an address, without its name. */
static inline void smaps_line(const void *at, const char *name, char value[256])
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end;
	bool here = false;
	char line[512];

	ck_assert_ptr_nonnull(f);
	value[0] = '\0';
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (unsigned long)at && (unsigned long)at < end;
		if (here && !strncmp(line, name, strlen(name)))
			snprintf(value, 256, "%.200s", line + strlen(name));
	}
	fclose(f);
}

static inline uint64_t signal_mask(void)
{
	uint64_t mask = 0;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, sizeof(mask));
	return mask;
}

/* Of try_map(), from the first one on. */
static inline int count_calls(long nr)
{
	int n = 0;

	for (int i = 0; i < calls.n; i++)
		n += calls.nr[i] == nr;
	return n;
}

static inline char *try_map(void *addr, size_t length, int prot, int flags)
{
	char *p;

	calls.n = 0;
	calls.reserved = NULL;
	calls.held = 0;
	calls.memory = NULL;
	privcmd.filled = 0;
	errno = 0;
	p = preload_mmap(addr, length, prot, flags, device, 0);
	/* What it returns is the caller's. */
	if (p == calls.reserved)
		calls.held = 0;
	return p;
}

/* What a call took for itself, it has given back. Where a range was, the sanitizer may have something by now. */
static inline void assert_none_held(int flags)
{
	ck_assert_ptr_null(calls.memory);
	if (!(flags & MAP_FIXED))
		ck_assert_uint_eq(calls.held, 0);
}

static inline char *map(size_t length, int prot, int flags)
{
	char *p = try_map(NULL, length, prot, flags);

	ck_assert_msg(p != MAP_FAILED, "mmap: %s", strerror(errno));
	ck_assert_ptr_null(calls.memory);
	return p;
}

static inline void assert_refused(int error, void *addr, size_t length, int prot, int flags)
{
	const int fds = descriptors(), before = windows();
	const uint64_t mask = signal_mask();
	char *p = try_map(addr, length, prot, flags);
	const int got = errno;

	ck_assert_msg(p == MAP_FAILED, "mapped");
	ck_assert_msg(got == error, "%s, not %s", strerror(got), strerror(error));
	ck_assert_int_eq(descriptors(), fds);
	ck_assert_int_eq(windows(), before);
	ck_assert(signal_mask() == mask);
	assert_none_held(flags);
}

static inline void assert_pages(const char *p, const uint32_t *page, int n)
{
	uint32_t number;

	for (int i = 0; i < n; i++) {
		memcpy(&number, p + i * PAGE, sizeof(number));
		ck_assert_uint_eq(number, page[i]);
	}
}

/* Windows of three pages go where the caller would like them to be. */
static inline void assert_wishes_count(void)
{
	void *hint = (void *)0x123456789000;
	char *p = try_map(hint, 3 * PAGE, RW, MAP_SHARED);

	ck_assert_ptr_eq(p, hint);
	munmap(p, 3 * PAGE);
	p = map(3 * PAGE, RW, MAP_SHARED | MAP_32BIT);
	ck_assert_uint_lt((uintptr_t)p, 1UL << 32);
	munmap(p, 3 * PAGE);
}

/* @at is page @page of the file. */
static inline void assert_written_through(char *at, uint32_t page)
{
	uint32_t number = 77;

	memcpy(at, &number, sizeof(number));
	number = 0;
	ck_assert_int_eq(pread(daemon_.file, &number, sizeof(number), page * PAGE), sizeof(number));
	ck_assert_uint_eq(number, 77);
}

/* The same, but it is only read: it shows what others write. */
static inline void assert_live(char *at, uint32_t page)
{
	uint32_t number = 42;

	ck_assert_int_eq(pwrite(daemon_.file, &number, sizeof(number), page * PAGE),
			 sizeof(number));
	assert_pages(at, &number, 1);
	ck_assert_int_eq(mprotect(at, PAGE, RW), -1);
	ck_assert_int_eq(errno, EACCES);
}

/* From now on none is opened whose number is @n or more. */
static inline void limit_descriptors(int n)
{
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ .rlim_cur = n, .rlim_max = 1024 });
}

/* There is none to be had. */
static inline void assert_no_descriptor(void)
{
	ck_assert_ptr_eq(try_map(NULL, 3 * PAGE, RW, MAP_SHARED), MAP_FAILED);
	ck_assert_int_eq(errno, EMFILE);
}

#endif /* TEST_PRELOAD_DAEMON_H */
