/* SPDX-License-Identifier: MIT */
/*
 * userns.c - userns OWNER FIRST USER DEPTH COMMAND...: run a command in a user namespace
 *
 * OWNER makes it, and keeps its groups. In it 0 is OWNER, and 1, 2, ... are FIRST and those after it, as newuidmap(1)
 * does it by /etc/subuid; the group is ours. COMMAND runs as USER of these numbers. DEPTH is how many more namespaces there
 * are within that one, each made by whom COMMAND will be. To be run as root.
 */
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "%s", path);
	close(fd);
}

/* One within the one that we are in, in which we have the numbers that we have. */
static void go_deeper(void)
{
	unsigned int uid = geteuid(), gid = getegid();
	char map[64];

	if (prctl(PR_SET_DUMPABLE, 1) || unshare(CLONE_NEWUSER))
		err(1, "unshare, within");
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	write_file("/proc/self/uid_map", map);
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	write_file("/proc/self/gid_map", map);
}

/* In the child: @made is told when there is a namespace, @mapped when its users are. */
static void run(char **argv, int made, int mapped)
{
	uid_t owner = (uid_t)atoi(argv[1]), user = (uid_t)atoi(argv[3]);
	char c = 0;

	if (setresuid(owner, owner, owner) || prctl(PR_SET_DUMPABLE, 1) || unshare(CLONE_NEWUSER))
		err(1, "unshare");
	if (write(made, &c, 1) != 1 || read(mapped, &c, 1) != 1)
		err(1, "pipe");
	if (setresuid(user, user, user))
		err(1, "setresuid");
	for (int depth = atoi(argv[4]); depth > 0; depth--)
		go_deeper();
	execvp(argv[5], argv + 5);
	err(1, "%s", argv[5]);
}

int main(int argc, char **argv)
{
	char path[64], map[128], c = 0;
	int made[2], mapped[2], status;
	pid_t pid;

	if (argc < 6)
		errx(1, "usage: userns OWNER FIRST USER DEPTH COMMAND...");
	if (pipe2(made, O_CLOEXEC) || pipe2(mapped, O_CLOEXEC))
		err(1, "pipe");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid)
		run(argv, made[1], mapped[0]);
	close(made[1]);
	if (read(made[0], &c, 1) == 1) {
		snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
		snprintf(map, sizeof(map), "0 %s 1\n1 %s 65535", argv[1], argv[2]);
		write_file(path, map);
		snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)pid);
		snprintf(map, sizeof(map), "0 %u 1", getegid());
		write_file(path, map);
		if (write(mapped[1], &c, 1) != 1)
			err(1, "pipe");
	}
	if (waitpid(pid, &status, 0) != pid)
		err(1, "wait");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
