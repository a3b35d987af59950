/* SPDX-License-Identifier: MIT */
/*
 * keeper/main.c - the keeper's program: started by the daemon, and by nobody else
 *
 *   cuse_gntdev-keeper SOCKET [--verbose]       with a connection of the daemon's as descriptor KEEP_FD
 *
 * It must not be killed together with the daemon (systemd: KillMode=process). It ignores the signals that end daemons, and
 * asks the kernel not to choose it when memory is short.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/oom.h"
#include "base/stdfds.h"
#include "keeper/keeper.h"
#include "state/keep.h"

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Whoever ends the daemon, or its terminal or session, does not mean this one. */
static void go_aside(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	if (chdir("/"))
		log_warn("keeper: cannot leave the working directory");
	prctl(PR_SET_NAME, "gntdev-keeper");
	oom_score_set(-1000);
	raise_descriptor_limit();
}

int main(int argc, char **argv)
{
	int err;

	if (!stdfds_occupy())
		return EXIT_FAILURE;
	log_init(argc == 3 && !strcmp(argv[2], "--verbose"));
	if (argc < 2 || argc > 3 || keep_peer(KEEP_FD) < 0 || fcntl(KEEP_FD, F_SETFD, FD_CLOEXEC)) {
		log_err("keeper: this is started by cuse_gntdev, see cuse_gntdev(8)");
		return EXIT_FAILURE;
	}
	go_aside();
	/* What is to be done does not wait for whoever reads the log. If there is no thread it does. */
	log_start();
	err = keeper_run(argv[1], KEEP_FD);
	log_stop();
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
