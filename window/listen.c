/* SPDX-License-Identifier: MIT */
/*
 * window/listen.c - listening sockets: that of the window server, made or a predecessor's, those of users' own, and private ones
 */
#include "window/listen.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BACKLOG 1024

/* Linux 6.16: newer than the headers this has to build with. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* Who may connect, and how. */
struct kind {
	int type;
	mode_t mode;
	gid_t group; /* (gid_t)-1: as it is */
	uid_t user;  /* he, too; (uid_t)-1: nobody */
};

/* <linux/posix_acl_xattr.h>, which libacl's header and the kernel's do not agree on: little endian, as all of x86-64. */
struct acl {
	uint32_t version;
	struct acl_entry {
		uint16_t tag;
		uint16_t perm;
		uint32_t id;
	} entry[5];
};
static_assert(sizeof(struct acl) == 44, "posix_acl_xattr_header and entries");
#define ACL_NAME    "system.posix_acl_access"
#define ACL_VERSION 2
#define ACL_RW	    6
#define ACL_NO_ID   ((uint32_t)-1)
enum { ACL_OWNER = 1, ACL_USER = 2, ACL_GROUP = 4, ACL_MASK = 16, ACL_OTHER = 32 };

static int new_socket(int type)
{
	return socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/*
 * Clients have no descriptors to send. Where the kernel can refuse them at the sender, have it do
 * so: to close what came in can take as long as the sender likes (SO_LINGER).
 */
static void refuse_descriptors(int fd)
{
	int no = 0;

	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
}

/* Return: 0 if there is a socket that nobody listens on, -errno. */
static int check_stale(const struct sockaddr_un *addr, int type, const char **why)
{
	struct stat st;
	int fd, err;

	*why = "its path is taken by something that is no socket";
	if (lstat(addr->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = new_socket(type);
	if (fd < 0)
		return -errno;
	err = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? errno : 0;
	close(fd);
	*why = "another daemon listens on it";
	return err == ECONNREFUSED || err == ENOENT ? 0 : -EADDRINUSE;
}

static int bind_path(int fd, const struct sockaddr_un *addr, int type, const char **why)
{
	const struct sockaddr *sa = (const struct sockaddr *)addr;
	int err;

	if (!bind(fd, sa, sizeof(*addr)))
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	err = check_stale(addr, type, why);
	if (err)
		return err;
	*why = "cannot replace the old socket";
	if (unlink(addr->sun_path) && errno != ENOENT)
		return -errno;
	return bind(fd, sa, sizeof(*addr)) ? -errno : 0;
}

/* The file is to go with the socket, if it is still the same by then. */
static void note_file(struct winlisten *l)
{
	struct stat st;

	l->made = !lstat(l->path, &st) && S_ISSOCK(st.st_mode);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
}

/* A user who is not the owner. It takes no capability, as to give him the file would. Return: as setxattr(2) */
static int admit(const struct winlisten *l, uid_t user)
{
	const struct acl acl = { .version = ACL_VERSION,
				 .entry = { { ACL_OWNER, ACL_RW, ACL_NO_ID },
					    { ACL_USER, ACL_RW, user },
					    { ACL_GROUP, 0, ACL_NO_ID },
					    { ACL_MASK, ACL_RW, ACL_NO_ID },
					    { ACL_OTHER, 0, ACL_NO_ID } } };

	return setxattr(l->path, ACL_NAME, &acl, sizeof(acl), 0);
}

/* Nobody can connect before it listens, so there is no moment at which it is open to others. */
static int open_to(struct winlisten *l, const struct kind *kind)
{
	if (kind->group != (gid_t)-1 &&
	    fchownat(AT_FDCWD, l->path, (uid_t)-1, kind->group, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (chmod(l->path, kind->mode) || (kind->user != (uid_t)-1 && admit(l, kind->user)) ||
	    listen(l->fd, BACKLOG))
		return -errno;
	note_file(l);
	return 0;
}

static int listen_on(struct winlisten *l, const char *path, const struct kind *kind,
		     const char **why)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int err;

	*why = "its path is too long";
	if (!*path || strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memset(l, 0, sizeof(*l));
	memcpy(l->path, path, strlen(path));
	memcpy(addr.sun_path, path, strlen(path));
	*why = "cannot make the socket";
	l->fd = new_socket(kind->type);
	if (l->fd < 0)
		return -errno;
	refuse_descriptors(l->fd);
	err = bind_path(l->fd, &addr, kind->type, why);
	if (!err) {
		err = open_to(l, kind);
		if (err)
			unlink(path);
	}
	if (err)
		close(l->fd);
	return err;
}

static int socket_option(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) ? -1 : value;
}

static int adopt(struct winlisten *l, int fd, const char **why)
{
	struct sockaddr_un addr = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof(addr);

	*why = "what a predecessor has left is not a listening SOCK_SEQPACKET socket with a path";
	memset(l, 0, sizeof(*l));
	if (socket_option(fd, SO_TYPE) == -1)
		return -ENOTSOCK;
	if (socket_option(fd, SO_TYPE) != SOCK_SEQPACKET ||
	    socket_option(fd, SO_DOMAIN) != AF_UNIX || socket_option(fd, SO_ACCEPTCONN) != 1 ||
	    getsockname(fd, (struct sockaddr *)&addr, &len) || addr.sun_path[0] != '/')
		return -EPROTOTYPE;
	len -= (socklen_t)offsetof(struct sockaddr_un, sun_path);
	if (strnlen(addr.sun_path, len) >= sizeof(l->path))
		return -EPROTOTYPE;
	memcpy(l->path, addr.sun_path, strnlen(addr.sun_path, len));
	if (fcntl(fd, F_SETFL, O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	refuse_descriptors(fd);
	l->fd = fd;
	note_file(l);
	return 0;
}

int winlisten_start(struct winlisten *l, const char *path, int fd, const char **why)
{
	/* Who may connect is not the question: the token is the authority. */
	static const struct kind open_to_all = { SOCK_SEQPACKET, 0666, (gid_t)-1, (uid_t)-1 };

	return fd >= 0 ? adopt(l, fd, why) : listen_on(l, path, &open_to_all, why);
}

int winlisten_start_private(struct winlisten *l, const char *path, gid_t group, const char **why)
{
	const struct kind private = { SOCK_STREAM, 0660, group, (uid_t)-1 };

	return listen_on(l, path, &private, why);
}

int winlisten_start_user(struct winlisten *l, const char *path, uid_t uid, const char **why)
{
	const struct kind own = { SOCK_SEQPACKET, 0600, (gid_t)-1, uid };

	return listen_on(l, path, &own, why);
}

/* Whether it is @base, a dot and a number. */
static bool is_users(const char *name, const char *base)
{
	const size_t len = strlen(base);

	return !strncmp(name, base, len) && name[len] == '.' && name[len + 1] &&
	       strspn(name + len + 1, "0123456789") == strlen(name + len + 1);
}

void winlisten_clean(const char *path)
{
	const char *base = strrchr(path, '/');
	char dir[sizeof(((struct winlisten *)0)->path)];
	const struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "%.*s", base ? (int)(base - path) : 0, path);
	d = base ? opendir(*dir ? dir : "/") : NULL;
	if (!d)
		return;
	while ((e = readdir(d)))
		if (e->d_type == DT_SOCK && is_users(e->d_name, base + 1))
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
}

int winlisten_accept(struct winlisten *l)
{
	int fd;

	do
		fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd;
}

void winlisten_close(struct winlisten *l)
{
	struct stat st;

	if (l->made && !lstat(l->path, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	close(l->fd);
}
