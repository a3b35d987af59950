/* SPDX-License-Identifier: MIT */
/*
 * state/lent.c - the daemon's side of the keeper
 *
 * One connection, one question at a time. It is close-on-exec and nobody else has it: its end, which the keeper sees, means
 * that no thread of this process will do anything more with what was lent.
 */
#include "state/lent.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/why.h"

/* A predecessor that was just killed may not be gone yet; one that is ended takes longer. */
#define BUSY_MS	 1000
#define END_MS	 20000
#define AGAIN_MS 20

/* How long an answer may take, and how long the keeper may take for its end. */
#define ANSWER_MS     10000
#define KEEPER_END_MS 2000

/**
 * struct lent - the connection
 * @sock:  of it
 * @pid:   the keeper
 * @held:  how much it held when we came
 * @ended: see lent_ended_ns()
 */
struct lent {
	pthread_mutex_t lock;
	int sock;
	pid_t pid;
	uint32_t held;
	uint64_t ended;
	bool left;
};

static void wait_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* Return: of the answer, 0 or -errno; -errno. */
static int answer(struct lent *l, struct keep_msg *m, uint32_t op, int *fd)
{
	struct pollfd p = { .fd = l->sock, .events = POLLIN };
	int err = poll(&p, 1, ANSWER_MS) == 1 ? keep_recv(l->sock, l->pid, m, NULL, NULL, fd)
					      : -ETIMEDOUT;

	if (!err && m->op == op)
		return m->error;
	/* It would be taken for that to the next question. */
	shutdown(l->sock, SHUT_RDWR);
	return err ? err : -EPROTO;
}

/* @fd: in: to go along, or -1; out: what came along, or -1 */
static int ask(struct lent *l, struct keep_msg *m, const char *text, size_t len, int *fd)
{
	uint32_t op = m->op;
	int err;

	pthread_mutex_lock(&l->lock);
	err = keep_send(l->sock, m, text, len, *fd);
	*fd = -1;
	if (!err)
		err = answer(l, m, op, fd);
	pthread_mutex_unlock(&l->lock);
	return err;
}

/* A question with a name and no more. */
static int ask_name(struct lent *l, enum keep_op op, const char *name, int *fd)
{
	struct keep_msg m = { .op = op };

	if (strlen(name) >= sizeof(m.name))
		return -EINVAL;
	snprintf(m.name, sizeof(m.name), "%s", name);
	return ask(l, &m, NULL, 0, fd);
}

static int hello(struct lent *l)
{
	struct keep_msg m = { .op = KEEP_HELLO };
	int fd = -1, err = ask(l, &m, NULL, 0, &fd);

	if (fd >= 0)
		close(fd);
	l->held = m.count;
	l->ended = m.value;
	l->left = m.left;
	return err;
}

/* --- finding one -------------------------------------------------------------------------------- */

/* Return: 0; -ENOENT: nobody is there; -errno. */
static int connect_to(struct lent *l, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	l->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (l->sock < 0)
		return -errno;
	if (connect(l->sock, (struct sockaddr *)&addr, sizeof(addr)))
		return errno == ECONNREFUSED ? -ENOENT : -errno;
	l->pid = keep_peer(l->sock);
	return l->pid < 0 ? l->pid : 0;
}

static int meet(struct lent *l, const char *path)
{
	int err = connect_to(l, path);

	if (!err)
		err = hello(l);
	if (err && l->sock >= 0) {
		close(l->sock);
		l->sock = -1;
	}
	return err;
}

/* Again, for a while, as long as somebody is in the way who may be about to go. */
static int find(struct lent *l, const char *path)
{
	uint64_t begin = clock_ms(), most = 0;
	int err;

	do {
		if (most)
			wait_ms(AGAIN_MS);
		err = meet(l, path);
		/* It is on its way out if it does not answer. */
		if (err == -ENOTCONN || err == -EPIPE || err == -ECONNRESET)
			err = -ESHUTDOWN;
		most = err == -EBUSY ? BUSY_MS : END_MS;
	} while ((err == -EBUSY || err == -ESHUTDOWN) && clock_ms() - begin < most);
	return err;
}

static int not_found(int err, const char *path, const struct why *why)
{
	if (err == -EBUSY)
		because(why,
			"already served by another CUSE daemon, whose keeper is at %s: stop that "
			"one, or give "
			"this one another name (--name) or place (--run-dir)",
			path);
	else if (err == -ESHUTDOWN)
		because(why,
			"what the last daemon has left is just being ended, by the keeper at %s: "
			"try again later",
			path);
	else if (err == -ENOENT)
		because(why, "no daemon has left anything here (%s)", path);
	else if (err == -EPERM)
		because(why, "the keeper at %s is of another user", path);
	else if (err == -EPROTONOSUPPORT)
		because(why, "the keeper at %s speaks another version of its protocol", path);
	else
		because(why, "keeper: %s: %s", path, strerror(-err));
	return err == -ESHUTDOWN ? -EBUSY : err;
}

/* --- starting one ------------------------------------------------------------------------------- */

/* Beside our own program. */
static bool program_path(char *path, const struct why *why)
{
	char own[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

	if (n < 0)
		return because(why, "/proc/self/exe: %s", strerror(errno));
	own[n] = '\0';
	if (snprintf(path, PATH_MAX, "%s/" LENT_PROGRAM, dirname(own)) >= PATH_MAX)
		return because(why, "the daemon's program has too long a path");
	if (access(path, X_OK))
		return because(why,
			       "%s: %s: the keeper's program is part of the installation, and lies "
			       "beside the "
			       "daemon's",
			       path, strerror(errno));
	return true;
}

/* The child. Signals that end daemons are ignored there anyway. */
static _Noreturn void run_keeper(const char *program, const struct lent_config *c, int sock)
{
	char *argv[] = { (char *)LENT_PROGRAM, (char *)c->path,
			 c->verbose ? (char *)"--verbose" : NULL, NULL };

	if (dup2(sock, KEEP_FD) == KEEP_FD && (sock != KEEP_FD || !fcntl(sock, F_SETFD, 0)) &&
	    !close_range(KEEP_FD + 1, ~0U, 0)) {
		close(STDIN_FILENO);
		close(STDOUT_FILENO);
		execv(program, argv);
	}
	_exit(127);
}

static int start(struct lent *l, const struct lent_config *c, const struct why *why)
{
	char program[PATH_MAX];
	int pair[2], err;

	if (!program_path(program, why))
		return -ENOEXEC;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		err = -errno;
		because(why, "keeper: %s", strerror(-err));
		return err;
	}
	l->pid = fork();
	if (!l->pid)
		run_keeper(program, c, pair[1]);
	err = l->pid < 0 ? -errno : 0;
	close(pair[1]);
	l->sock = pair[0];
	if (!err)
		err = hello(l);
	if (err)
		because(why, "%s: the keeper does not start%s", program,
			err == -ENOTCONN ? ": it says why" : strerror(-err));
	return err;
}

int lent_open(const struct lent_config *c, struct lent **out, const struct why *why)
{
	struct lent *l = calloc(1, sizeof(*l));
	int err;

	*out = NULL;
	if (!l) {
		because(why, "out of memory");
		return -ENOMEM;
	}
	pthread_mutex_init(&l->lock, NULL);
	l->sock = -1;
	err = find(l, c->path);
	if (err == -ENOENT && !c->end)
		err = start(l, c, why);
	else if (err)
		err = not_found(err, c->path, why);
	if (err)
		lent_close(l);
	else
		*out = l;
	return err;
}

/* --- what it is asked --------------------------------------------------------------------------- */

bool lent_adopting(const struct lent *l)
{
	return l->held != 0;
}

uint64_t lent_ended_ns(const struct lent *l, bool *left)
{
	*left = l->left;
	return l->ended;
}

int lent_take(struct lent *l, const char *name)
{
	int fd = -1, err = ask_name(l, KEEP_TAKE, name, &fd);

	if (!err && fd < 0)
		err = -EPROTO;
	return err ? err : fd;
}

int lent_next(struct lent *l, char name[KEEP_NAME])
{
	struct keep_msg m = { .op = KEEP_NEXT };
	int fd = -1, err;

	memcpy(m.name, name, sizeof(m.name));
	err = ask(l, &m, NULL, 0, &fd);
	if (!err)
		memcpy(name, m.name, sizeof(m.name));
	return err;
}

int lent_give(struct lent *l, const char *name, int fd)
{
	return l ? ask_name(l, KEEP_PUT, name, &fd) : 0;
}

int lent_drop(struct lent *l, const char *name)
{
	int fd = -1;

	return l ? ask_name(l, KEEP_DROP, name, &fd) : 0;
}

bool lent_alive(const struct lent *l)
{
	struct pollfd p = { .fd = l->sock, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 0;
}

int lent_serve(struct lent *l, char *const *command, unsigned int seconds, const char *version)
{
	struct keep_msg m = { .op = KEEP_SERVE, .value = seconds };
	char text[KEEP_TEXT_MAX];
	size_t len = 0, n;
	int fd = -1;

	for (; *command; command++, len += n) {
		n = strlen(*command) + 1;
		if (len + n > sizeof(text))
			return -E2BIG;
		memcpy(text + len, *command, n);
	}
	snprintf(m.name, sizeof(m.name), "%s", version);
	return ask(l, &m, text, len, &fd);
}

void lent_leave(struct lent *l)
{
	struct keep_msg m = { .op = KEEP_LEAVE };
	int fd = -1;

	ask(l, &m, NULL, 0, &fd);
}

int lent_end(struct lent *l)
{
	struct pollfd p = { .fd = l->sock, .events = POLLRDHUP };
	struct keep_msg m = { .op = KEEP_END };
	int fd = -1, err = ask(l, &m, NULL, 0, &fd);

	if (err)
		return err == -ENOTCONN || err == -EPIPE ? 0 : err;
	return poll(&p, 1, KEEPER_END_MS) == 1 ? 0 : -EBUSY;
}

void lent_close(struct lent *l)
{
	if (!l)
		return;
	if (l->sock >= 0)
		close(l->sock);
	pthread_mutex_destroy(&l->lock);
	free(l);
}
