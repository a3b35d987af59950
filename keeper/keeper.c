/* SPDX-License-Identifier: MIT */
/*
 * keeper/keeper.c - the process that holds everything that must outlast the daemon
 *
 * It serves one daemon at a time, over a connection (state/keep.h), and does nothing on its own as long as
 * one is there. When the connection of one that served ends without END, the daemon has died or left, with all its
 * threads. Its other descriptors may last a moment longer, so nobody else gets anything, nor is anything ended, before the
 * process is gone. (One that was lent nothing but the header is in nobody's way: a successor that refuses to start may wait until
 * its command line is mended.) Then:
 *
 *  1. a successor is waited for, as long as the last daemon said; one that has come has the same time once more until it serves,
 *     and is killed if it does not;
 *  2. if none serves by then, or systemd lets go of the lease (the service is over: it will not be started again), the
 *     daemon's program is run with --end: it adopts what is here, ends it in order, and says END;
 *  3. if that fails, or there is nothing that can be adopted, what Xen has mapped is undone by the journal (keeper/raw.c).
 *
 * After END and after 3. everything held is let go: the devices go, and the keeper ends.
 *
 * What it waits for are the listener, its connections, the lease and the program it runs; never anything else that it
 * holds: the kernel wakes whoever polls a CUSE channel for each request. Only processes of our own user are
 * listened to; they are not trusted to be quick, sane or alone.
 */
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "keeper/hold.h"
#include "keeper/raw.h"

/* Connections at once, most of which are somebody's who just looks; and arguments of a command. */
#define CONNS 8
#define ARGS  256
/* How long the daemon's program may take to end everything, and how long a daemon that has left us may live on, ms. */
#define END_MS 60000

#define NS_PER_S 1000000000ULL

/* One connection: the daemon's, or one that has said nothing yet. */
struct conn {
	int sock; /* -1: none */
	pid_t pid;
};

/**
 * struct keeper - all there is
 * @daemon:  the connection that has said HELLO; NULL: none
 * @process: a pidfd of the last that has said HELLO, -1: none, or it is gone; @process_pid
 * @lent:    it was lent something, or has given something
 * @linger_until: when it is killed if it is still there without its connection, clock_ms(); 0: it may stay
 * @serve_until:  when it is killed if it has not said SERVE, clock_ms(); 0: it need not
 * @serves:  it has said SERVE
 * @left:    the last that served has said LEAVE
 * @ended:   when that one ended, CLOCK_BOOTTIME in ns; 0: none has
 * @seconds: how long its successor is waited for
 * @version: what it has said of what it leaves
 * @command: @len bytes: the program that ends all
 * @ender:   its process, a pidfd, -1: it does not run; @ender_pid; until when it may take, clock_ms()
 * @let_go:  the lease has ended
 * @full:    it was told that nothing more is held
 * @over:    END was said, or nothing is left to be tried
 */
struct keeper {
	const char *path;
	int listener;
	struct conn conn[CONNS];
	struct conn *daemon;
	int process;
	pid_t process_pid;
	bool lent;
	bool serves;
	bool left;
	bool let_go;
	bool full;
	bool over;
	uint64_t linger_until;
	uint64_t serve_until;
	uint64_t ended;
	uint64_t seconds;
	char version[KEEP_NAME];
	size_t len;
	char command[KEEP_TEXT_MAX];
	int ender;
	pid_t ender_pid;
	uint64_t ender_until;
	struct hold hold;
};

static uint64_t now_ns(void)
{
	return clock_read_ns(CLOCK_BOOTTIME);
}

/* --- the end ------------------------------------------------------------------------------------ */

/* Seconds for which a successor is still waited for; 0: no longer. */
static uint64_t time_left(const struct keeper *k)
{
	uint64_t waited = (now_ns() - k->ended) / NS_PER_S;

	return k->ended && waited < k->seconds ? k->seconds - waited : 0;
}

/* The child: as the daemon was started. Nobody waits for what it would tell systemd. */
static _Noreturn void run_command(struct keeper *k)
{
	char *argv[ARGS + 2];
	sigset_t none;
	int n = 0;

	for (size_t at = 0; at < k->len && n < ARGS; at += strlen(k->command + at) + 1)
		argv[n++] = k->command + at;
	argv[n++] = (char *)"--end";
	argv[n] = NULL;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("LISTEN_PID");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(argv[0], argv);
	_exit(127);
}

static void start_ender(struct keeper *k)
{
	k->ender_pid = fork();
	if (!k->ender_pid)
		run_command(k);
	k->ender = k->ender_pid > 0 ? pidfd_open(k->ender_pid, 0) : -1;
	k->ender_until = clock_ms() + END_MS;
	if (k->ender < 0) {
		log_err("keeper: cannot start %s: %s", k->command, strerror(errno));
		k->over = true;
	}
}

/* Nobody will come: have all ended. */
static void end_all(struct keeper *k, const char *why)
{
	if (k->hold.n)
		log_warn("keeper: %s: ending all that the last daemon has left", why);
	if (hold_get(&k->hold, KEEP_STATE) >= 0 && k->len)
		start_ender(k);
	else
		k->over = true;
}

static void reap_ender(struct keeper *k)
{
	int status = 0;

	if (clock_ms() >= k->ender_until)
		kill(k->ender_pid, SIGKILL);
	if (waitpid(k->ender_pid, &status, WNOHANG) != k->ender_pid)
		return;
	close(k->ender);
	k->ender = -1;
	if (!k->over)
		log_err("keeper: %s could not end it (status %#x): undoing what is mapped",
			k->command, (unsigned int)status);
	k->over = true;
}

/* --- the daemon's process ------------------------------------------------------------------------ */

static void forget_process(struct keeper *k)
{
	if (k->process >= 0)
		close(k->process);
	k->process = -1;
	k->linger_until = 0;
}

/* One that is gone already is none. */
static void note_process(struct keeper *k, pid_t pid)
{
	forget_process(k);
	k->process = pidfd_open(pid, 0);
	k->process_pid = pid;
	k->lent = false;
}

/* Whether it may still have open what it was lent, or connections of clients. */
static bool lives(const struct keeper *k)
{
	return k->process >= 0 &&
	       poll(&(struct pollfd){ .fd = k->process, .events = POLLIN }, 1, 0) == 0;
}

static void kill_process(struct keeper *k, const char *why)
{
	log_err("keeper: process %d %s: killing it", (int)k->process_pid, why);
	pidfd_send_signal(k->process, SIGKILL, NULL, 0);
}

/* Without its connection it does nothing of use: as a rule it is just being taken apart by the kernel. */
static void wait_for_process(struct keeper *k)
{
	if (!k->linger_until) {
		k->linger_until = clock_ms() + END_MS;
	} else if (clock_ms() >= k->linger_until) {
		kill_process(k, "has left the keeper and does not end");
		k->linger_until = UINT64_MAX;
	}
}

/* Others wait for their turn, and clients for any daemon. */
static void see_that_it_serves(struct keeper *k)
{
	if (!k->daemon || !k->serve_until || clock_ms() < k->serve_until)
		return;
	kill_process(k, "has taken over and serves nobody");
	k->serve_until = 0;
}

/* --- connections -------------------------------------------------------------------------------- */

static void close_conn(struct keeper *k, struct conn *c)
{
	bool was_daemon = c == k->daemon;

	close(c->sock);
	c->sock = -1;
	if (!was_daemon)
		return;
	k->daemon = NULL;
	k->serve_until = 0;
	if (!k->lent)
		forget_process(k);
	if (!k->serves || k->over) {
		/* A first one that never served has left nothing. */
		k->over |= !k->ended;
		return;
	}
	k->serves = false;
	k->ended = now_ns();
	if (hold_get(&k->hold, KEEP_STATE) >= 0 && k->seconds)
		log_info("keeper: the daemon has %s: waiting for its successor, %u s at most",
			 k->left ? "left" : "died", (unsigned int)k->seconds);
}

static bool peer_ok(pid_t pid)
{
	if (pid == -EPERM)
		log_warn("keeper: refused a connection of another user");
	return pid > 0;
}

/* One place is the daemon's; of the others the first that is free, or else the first, as whoever says nothing has to go. */
static struct conn *place(struct keeper *k)
{
	/* There are more than one. */
	struct conn *oldest = k->daemon == k->conn ? k->conn + 1 : k->conn;

	for (struct conn *c = k->conn; c < k->conn + CONNS; c++)
		if (c->sock < 0)
			return c;
	close_conn(k, oldest);
	return oldest;
}

static void accept_one(struct keeper *k)
{
	int sock = accept4(k->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct conn *c;
	pid_t pid;

	if (sock < 0)
		return;
	pid = keep_peer(sock);
	if (!peer_ok(pid)) {
		close(sock);
		return;
	}
	c = place(k);
	*c = (struct conn){ sock, pid };
}

/* --- what is said ------------------------------------------------------------------------------- */

static void take_over(struct keeper *k, struct conn *c)
{
	/* What ends all is bound by another time, and of the first one nobody waits for anything. */
	if (k->ended && k->ender < 0)
		k->serve_until = clock_ms() + (k->seconds ? k->seconds : 1) * 1000;
	k->daemon = c;
	k->let_go = false;
	note_process(k, c->pid);
}

static int hello(struct keeper *k, struct conn *c, struct keep_msg *m)
{
	if ((k->daemon && k->daemon != c) || (k->process_pid != c->pid && lives(k)))
		return -EBUSY;
	if (k->ender >= 0 && c->pid != k->ender_pid)
		return -ESHUTDOWN;
	if (k->daemon != c)
		take_over(k, c);
	m->value = k->ended;
	m->left = k->left;
	m->count = k->hold.n;
	return 0;
}

static void look(const struct keeper *k, struct keep_msg *m)
{
	m->value = k->daemon ? (uint64_t)k->daemon->pid : 0;
	m->count = k->hold.n;
	m->left = k->daemon ? 0 : (uint32_t)time_left(k);
	memcpy(m->name, k->version, sizeof(m->name));
}

static int serve(struct keeper *k, const struct keep_msg *m, const char *text, size_t len)
{
	if (m->value > KEEP_SECONDS_MAX || (len && text[len - 1]))
		return -EINVAL;
	memcpy(k->command, text, len);
	k->len = len;
	memcpy(k->version, m->name, sizeof(k->version));
	k->seconds = m->value;
	k->serve_until = 0;
	k->serves = true;
	k->left = false;
	return 0;
}

static int next(const struct keeper *k, struct keep_msg *m)
{
	const char *name = hold_next(&k->hold, m->name);

	if (!name)
		return -ENOENT;
	memcpy(m->name, name, sizeof(m->name));
	return 0;
}

static int put(struct keeper *k, const struct keep_msg *m, int fd)
{
	int err = hold_put(&k->hold, m->name, fd);

	if (err == -ENFILE && !k->full) {
		log_err("keeper: it holds %d descriptors and takes no more: %s is refused",
			KEEP_THINGS, m->name);
		k->full = true;
	}
	return err;
}

/* Of the daemon. @fd: in: what came along, or -1; out: what is to go along, or -1 */
static int obey(struct keeper *k, struct keep_msg *m, const char *text, size_t len, int *fd)
{
	int came = *fd;

	*fd = -1;
	k->lent |= m->op != KEEP_NEXT && (m->op != KEEP_TAKE || strcmp(m->name, KEEP_STATE) != 0);
	if (m->op == KEEP_PUT)
		return put(k, m, came);
	if (came >= 0)
		close(came);
	switch (m->op) {
	case KEEP_NEXT:
		return next(k, m);
	case KEEP_TAKE:
		*fd = hold_get(&k->hold, m->name);
		return *fd < 0 ? *fd : 0;
	case KEEP_DROP:
		return hold_drop(&k->hold, m->name);
	case KEEP_SERVE:
		return serve(k, m, text, len);
	case KEEP_LEAVE:
		k->left = true;
		return 0;
	case KEEP_END:
		k->over = true;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int answer(struct keeper *k, struct conn *c, struct keep_msg *m, const char *text,
		  size_t len, int *fd)
{
	if (c == k->daemon && m->op != KEEP_HELLO)
		return obey(k, m, text, len, fd);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	if (m->op == KEEP_HELLO)
		return hello(k, c, m);
	if (m->op != KEEP_LOOK)
		return -EPERM;
	look(k, m);
	return 0;
}

/* What the daemon says wrong is told to it; that it is wrong does not mean that it is gone. */
static void hear(struct keeper *k, struct conn *c)
{
	char text[KEEP_TEXT_MAX];
	struct keep_msg m = { 0 };
	size_t len;
	int fd, err = keep_recv(c->sock, c->pid, &m, text, &len, &fd);

	if (err == -EAGAIN)
		return;
	if (err && err != -ENOTCONN)
		log_warn("keeper: process %d says what is not understood: %s", (int)c->pid,
			 strerror(-err));
	if (!err) {
		m.error = answer(k, c, &m, text, len, &fd);
		err = keep_send(c->sock, &m, NULL, 0, fd);
	} else if (err != -ENOTCONN && c == k->daemon) {
		m = (struct keep_msg){ .op = m.op, .error = err };
		err = keep_send(c->sock, &m, NULL, 0, -1);
	}
	if (err)
		close_conn(k, c);
}

/* --- waiting ------------------------------------------------------------------------------------ */

/* What is polled: the listener, each connection, the lease, the last daemon's process, the program that ends all. */
enum { P_LISTENER, P_CONN, P_LEASE = P_CONN + CONNS, P_PROCESS, P_ENDER, P_N };

static void fill(const struct keeper *k, struct pollfd *p)
{
	bool alone = !k->daemon && k->ender < 0;
	int lease = hold_get(&k->hold, KEEP_LEASE);

	p[P_LISTENER] = (struct pollfd){ k->listener, POLLIN, 0 };
	for (int i = 0; i < CONNS; i++)
		p[P_CONN + i] = (struct pollfd){ k->conn[i].sock, POLLIN, 0 };
	/* Nothing is waited for but its end. */
	p[P_LEASE] = (struct pollfd){ alone && !k->let_go ? lease : -1, POLLRDHUP, 0 };
	p[P_PROCESS] = (struct pollfd){ alone ? k->process : -1, POLLIN, 0 };
	p[P_ENDER] = (struct pollfd){ k->ender, POLLIN, 0 };
}

static int timeout_ms(const struct keeper *k)
{
	uint64_t now = clock_ms();

	if (k->ender >= 0)
		return 1000;
	if (k->daemon && !k->serve_until)
		return -1;
	if (k->daemon)
		return k->serve_until > now ? (int)(k->serve_until - now) : 0;
	if (k->linger_until)
		return 1000;
	return (int)time_left(k) * 1000 + 1;
}

/* Return: NULL: a successor may still come. */
static const char *why_end(const struct keeper *k)
{
	if (hold_get(&k->hold, KEEP_STATE) < 0)
		return "the daemon has died, and nothing that it has left can be adopted";
	if (k->let_go)
		return "the service is over";
	return time_left(k) ? NULL : "no successor has come";
}

/* Nobody is connected, and nobody has been asked to end all: is it time? */
static void look_after(struct keeper *k)
{
	const char *why;

	if (k->daemon || k->ender >= 0 || k->over)
		return;
	why = why_end(k);
	if (why && k->process >= 0)
		wait_for_process(k);
	else if (why)
		end_all(k, why);
}

static void turn(struct keeper *k)
{
	struct pollfd p[P_N];

	fill(k, p);
	if (poll(p, P_N, timeout_ms(k)) < 0)
		return;
	/* Before there may be another one. */
	if (p[P_PROCESS].revents)
		forget_process(k);
	for (int i = 0; i < CONNS; i++)
		if (p[P_CONN + i].revents && k->conn[i].sock == p[P_CONN + i].fd)
			hear(k, &k->conn[i]);
	if (p[P_LISTENER].revents)
		accept_one(k);
	if (k->ender >= 0)
		reap_ender(k);
	see_that_it_serves(k);
	k->let_go |= p[P_LEASE].revents && !k->daemon;
	look_after(k);
}

/* With the directory locked, and no socket there. Nobody else may ever connect. */
static int bind_at(int sock, const struct sockaddr_un *addr)
{
	mode_t mask = umask(0177);
	int err = bind(sock, (const struct sockaddr *)addr, sizeof(*addr)) || listen(sock, CONNS)
			  ? -errno
			  : 0;

	umask(mask);
	return err;
}

static int listen_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int dir = keep_clear_place(path), sock, err;

	if (dir < 0)
		return dir;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	err = sock < 0 ? -errno : bind_at(sock, &addr);
	close(dir);
	if (err && sock >= 0)
		close(sock);
	return err ? err : sock;
}

/* The device is free for another daemon from here on; what Xen may still have of it stays until it is undone. */
static void finish(struct keeper *k)
{
	unlink(k->path);
	close(k->listener);
	hold_keep_only(&k->hold, raw_needs);
	for (struct conn *c = k->conn; c < k->conn + CONNS; c++)
		if (c != k->daemon && c->sock >= 0)
			close(c->sock);
	raw_undo(&k->hold);
}

int keeper_run(const char *path, int sock)
{
	static struct keeper k;

	k = (struct keeper){ .path = path, .process = -1, .ender = -1 };
	for (int i = 0; i < CONNS; i++)
		k.conn[i].sock = -1;
	k.conn[0] = (struct conn){ sock, keep_peer(sock) };
	if (k.conn[0].pid < 0 || fcntl(sock, F_SETFL, O_NONBLOCK))
		return -ENOTCONN;
	take_over(&k, &k.conn[0]);
	k.listener = listen_at(path);
	if (k.listener < 0) {
		log_err("keeper: cannot listen at %s: %s", path, strerror(-k.listener));
		return k.listener;
	}
	while (!k.over)
		turn(&k);
	finish(&k);
	return 0;
}
