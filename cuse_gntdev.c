/* SPDX-License-Identifier: MIT */
/*
 * cuse_gntdev.c - /dev/xen/gntdev as a userspace service
 *
 * Puts the parts together, says when they work, takes them apart in an order in which nothing is
 * left behind. See daemon.c for the parts; here are the command line, the signals and systemd.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "abi/version.h"
#include "daemon.h"
#include "daemon_unit.h"
#include "device/gntdev.h"
#include "hypercall.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/option.h"
#include "base/stdfds.h"
#include "device/session.h"
#include "sim/sim.h"
#include "state/keep.h"
#include "state/state.h"

/* How often it is looked whether workers are stuck, ms. */
#define RELIEVE_MS 500

/* What is wrong stays so until somebody mends it: starting again would not help. sysexits.h's EX_CONFIG. */
#define EXIT_CONFIG 78

#define SIM_MEMORY_MIB_MAX (1U << 22)

const char *argp_program_version = "cuse_gntdev " VERSION;

static const char doc[] = "Serve Linux's /dev/xen/gntdev from userspace, through CUSE. "
			  "Where there is no Xen, a simulated hypervisor stands in for it, and "
			  "/dev/xen/gntalloc grants "
			  "pages as one of its domains.\v"
			  "Examples:\n\n"
			  "  cuse_gntdev --xen --check        are options and policy right?\n"
			  "  cuse_gntdev --sim --fault=map:nth=3,status=eagain,for_ms=200\n"
			  "\nThe manual: man cuse_gntdev";

enum {
	OPT_SIM = 's',
	OPT_NAME = 'n',
	OPT_WORKERS = 'w',
	OPT_RUN_DIR = 'r',
	OPT_GRANTER = 'g',
	OPT_EVTCHN = 'e',
	OPT_SIM_MEMORY = 'm',
	OPT_FAULT = 'f',
	OPT_LIMIT = 'l',
	OPT_GNTALLOC_LIMIT = 'a',
	OPT_VERBOSE = 'v',
	OPT_SIM_PORT = 'p',
	OPT_XEN = 'x',
	OPT_CONFIG = 'c',
	OPT_CHECK = 'k',
	OPT_SUCCESSOR = 'S',
	OPT_END = 'E',
	OPT_ADOPTS = 'A',
	OPT_HELP = 'h',
};

static const struct argp_option options[] = {
	{ NULL, OPT_HELP, NULL, 0, "Give this help list", -1 },
	{ "xen", OPT_XEN, NULL, 0, "Use the real Xen (the default in its dom0)", 0 },
	{ "config", OPT_CONFIG, "FILE", 0,
	  "Who may map what: the policy's main file (default /etc/cuse-gntdev.conf); FILE.d/*.conf "
	  "are read "
	  "after it",
	  0 },
	{ "check", OPT_CHECK, NULL, 0,
	  "Say what is wrong with options and policy, and end; the exit status is 0 if nothing is",
	  0 },
	{ "sim", OPT_SIM, NULL, 0,
	  "Use the simulated hypervisor (the default where there is no Xen)", 0 },
	{ "name", OPT_NAME, "NAME", 0, "Device to serve, below /dev (default xen/gntdev)", 0 },
	{ "workers", OPT_WORKERS, "N", 0, "Threads that serve ioctls (default 2)", 0 },
	{ "run-dir", OPT_RUN_DIR, "DIR", 0,
	  "Where the window socket and directory are (default /run/cuse-gntdev)", 0 },
	{ "successor", OPT_SUCCESSOR, "SECONDS", 0,
	  "When this daemon has been killed another one has so long to take its place, before all "
	  "that "
	  "clients have is undone (default 60)",
	  0 },
	{ "end", OPT_END, NULL, 0,
	  "End what a daemon that was killed has left to its successor, and serve nobody: for one "
	  "that was "
	  "started with the same options",
	  0 },
	{ "adopts", OPT_ADOPTS, NULL, 0,
	  "Say in which versions this program can take over what another daemon has left, and end",
	  0 },
	{ "limit", OPT_LIMIT, "PAGES", 0, "Pages in one MAP_GRANT_REF (default 65536)", 0 },
	{ "verbose", OPT_VERBOSE, NULL, 0, "Also log opens and closes", 0 },
	{ NULL, 0, NULL, 0, "Of the simulated hypervisor:", 1 },
	{ "granter", OPT_GRANTER, "DOMID[:NAME]", 0,
	  "Grant as simulated domain DOMID through device NAME (default 1:xen/gntalloc); may be "
	  "repeated with other names; \"none\" for no such device",
	  1 },
	{ "evtchn", OPT_EVTCHN, "DOMID[:NAME]", 0,
	  "Serve the event channels of simulated domain DOMID as device NAME (default "
	  "xen/evtchn for domain 0, xen/domDOMID/evtchn for others; without --name there is one "
	  "for "
	  "domain 0 and each that grants); may be repeated with other domains; \"none\" for no "
	  "such "
	  "device",
	  1 },
	{ "gntalloc-limit", OPT_GNTALLOC_LIMIT, "PAGES", 0,
	  "Pages that one granter's device can have granted (default 1024)", 1 },
	{ "sim-memory", OPT_SIM_MEMORY, "MIB", 0, "Memory of the machine (default 1024), sparse",
	  1 },
	{ "sim-port", OPT_SIM_PORT, "PORT:DOMID", 0,
	  "Bind event channel PORT of domain 0 to domain DOMID; may be repeated", 1 },
	{ "fault", OPT_FAULT, "SPEC", 0,
	  "Have operations fail, such as \"map:nth=3,status=eagain,count=5\"; may be repeated", 1 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

static void parse_granter(struct argp_state *state, struct daemon_config *c, char *arg)
{
	struct daemon_node *g;
	char *name = strchr(arg, ':');

	c->granters_given = true;
	if (!strcmp(arg, "none"))
		return;
	if (c->n_granters == DAEMON_GRANTERS_MAX)
		argp_error(state, "--granter: more than %d", DAEMON_GRANTERS_MAX);
	if (name)
		*name++ = '\0';
	g = &c->granter[c->n_granters++];
	g->name = name ? name : "xen/gntalloc";
	g->domid = (uint16_t)option_number(state, "granter", arg, 1, SIM_DOMID_MAX);
}

static void parse_evtchn(struct argp_state *state, struct daemon_config *c, char *arg)
{
	struct daemon_node *e;
	char *name = strchr(arg, ':');

	c->evtchns_given = true;
	if (!strcmp(arg, "none"))
		return;
	if (c->n_evtchns == DAEMON_EVTCHNS_MAX)
		argp_error(state, "--evtchn: more than %d", DAEMON_EVTCHNS_MAX);
	if (name)
		*name++ = '\0';
	e = &c->evtchn[c->n_evtchns];
	e->domid = (uint16_t)option_number(state, "evtchn", arg, 0, SIM_DOMID_MAX);
	e->name = name;
	for (unsigned int i = 0; i < c->n_evtchns; i++)
		if (c->evtchn[i].domid == e->domid)
			argp_error(state, "--evtchn: domain %u has two", e->domid);
	c->n_evtchns++;
}

static void parse_port(struct argp_state *state, struct daemon_config *c, char *arg)
{
	struct platform_port *p;
	char *domid = strchr(arg, ':');

	if (c->platform.n_ports == PLATFORM_PORTS_MAX)
		argp_error(state, "--sim-port: more than %d", PLATFORM_PORTS_MAX);
	if (!domid) {
		argp_error(state, "--sim-port=%s: PORT:DOMID is wanted, such as 5:1", arg);
		return;
	}
	*domid++ = '\0';
	p = &c->platform.port[c->platform.n_ports++];
	p->port = (uint32_t)option_number(state, "sim-port", arg, 1, SIM_PORT_MAX);
	p->remote = (uint16_t)option_number(state, "sim-port", domid, 0, SIM_DOMID_MAX);
}

static error_t parse_sim_option(int key, char *arg, struct argp_state *state)
{
	struct daemon_config *c = state->input;

	switch (key) {
	case OPT_GRANTER:
		parse_granter(state, c, arg);
		break;
	case OPT_EVTCHN:
		parse_evtchn(state, c, arg);
		break;
	case OPT_GNTALLOC_LIMIT:
		c->gntalloc_limit =
			(uint32_t)option_number(state, "gntalloc-limit", arg, 1, 1U << 24);
		break;
	case OPT_SIM_MEMORY:
		c->platform.sim_pages =
			256 * option_number(state, "sim-memory", arg, 1, SIM_MEMORY_MIB_MAX);
		break;
	case OPT_SIM_PORT:
		parse_port(state, c, arg);
		break;
	case OPT_FAULT:
		if (c->platform.n_faults == PLATFORM_FAULTS_MAX)
			argp_error(state, "--fault: more than %d", PLATFORM_FAULTS_MAX);
		c->platform.fault[c->platform.n_faults++] = arg;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* What else it is to do than to serve. */
static error_t parse_purpose(int key, char *arg, struct argp_state *state)
{
	struct daemon_config *c = state->input;

	switch (key) {
	case OPT_CHECK:
		c->check = true;
		break;
	case OPT_END:
		c->end = true;
		break;
	case OPT_ADOPTS:
		c->adopts = true;
		break;
	case OPT_HELP:
		argp_state_help(state, state->out_stream, ARGP_HELP_STD_HELP);
		break;
	default:
		return parse_sim_option(key, arg, state);
	}
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct daemon_config *c = state->input;

	switch (key) {
	case OPT_SIM:
		c->platform.sim = true;
		break;
	case OPT_XEN:
		c->platform.xen = true;
		break;
	case OPT_CONFIG:
		c->policy = arg;
		c->policy_given = true;
		break;
	case ARGP_KEY_END:
		if (c->platform.sim && c->platform.xen)
			argp_error(state, "--sim and --xen: one of them");
		break;
	case OPT_NAME:
		c->name = arg;
		break;
	case OPT_WORKERS:
		c->workers =
			(unsigned int)option_number(state, "workers", arg, 1, SESSION_WORKERS_MAX);
		break;
	case OPT_RUN_DIR:
		c->run_dir = arg;
		break;
	case OPT_LIMIT:
		c->limit = (uint32_t)option_number(state, "limit", arg, 1, GNTDEV_LIMIT_MAX);
		break;
	case OPT_SUCCESSOR:
		c->successor =
			(unsigned int)option_number(state, "successor", arg, 0, KEEP_SECONDS_MAX);
		break;
	case OPT_VERBOSE:
		c->verbose = true;
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "\"%s\": there are no arguments besides options", arg);
		break;
	default:
		return parse_purpose(key, arg, state);
	}
	return 0;
}

/* Signals arrive through a descriptor; no thread is to be interrupted by them. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/*
 * As systemd wants it told: a service of Type=notify is "reloading" between the two. systemctl reload waits for
 * the second only if it hears the first before ExecReload= has ended; with Type=notify-reload, of newer
 * versions, which also looks at the time, it always does.
 */
static void begin_reload(struct daemon *d)
{
	int err = daemon_reload(d);

	if (err)
		log_err("policy: not read again: %s", strerror(-err));
	else
		sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_us());
}

static void end_reload(struct daemon *d)
{
	switch (daemon_reload_end(d)) {
	case DAEMON_RELOADED:
		sd_notify(0, "READY=1\nSTATUS=");
		break;
	case DAEMON_REFUSED:
		sd_notify(0, "READY=1\nSTATUS=The new policy was refused, see the log; the old one "
			     "is in force");
		break;
	case DAEMON_READING:
		break;
	}
}

/* Does not return then. */
static void leave_if_another_comes(struct daemon *d)
{
	if (!unit_goes_on())
		return;
	log_info("leaving all to the next daemon");
	daemon_leave(d);
}

/* Return: whether it was one to end by. SIGUSR1 asks for a report of what is held, SIGHUP for a new policy. */
static bool take_signal(struct daemon *d, int signals)
{
	struct signalfd_siginfo si;

	if (read(signals, &si, sizeof(si)) != sizeof(si))
		return false;
	switch (si.ssi_signo) {
	case SIGUSR1:
		daemon_report(d);
		return false;
	case SIGHUP:
		begin_reload(d);
		return false;
	default:
		leave_if_another_comes(d);
		log_info("%s: ending", si.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
		return true;
	}
}

/* Whether we have to end, and the log says why. */
static bool must_end(struct daemon *d)
{
	struct pollfd p[DAEMON_SESSIONS_MAX];
	const char *why = daemon_tend(d);

	if (why) {
		log_err("%s: ending", why);
		return true;
	}
	/*
	 * Looked at now and then, not waited for: the kernel wakes whoever waits on a device's
	 * descriptor for each request, whatever it waits for.
	 */
	if (poll(p, daemon_pollfds(d, p), 0) > 0) {
		log_err("the kernel has aborted a device of ours (somebody wrote to its \"abort\" "
			"in /sys/class/cuse?): clients get ENOTCONN; ending");
		return true;
	}
	return false;
}

/* Every RELIEVE_MS, whatever else goes on. Return: milliseconds until it is due again; -1: to end. */
static int relieve(struct daemon *d, int64_t *due)
{
	int64_t now = (int64_t)clock_ms();

	if (now >= *due) {
		if (must_end(d))
			return -1;
		/* If nobody can be served any more let the watchdog, if there is one, see to it. */
		if (daemon_relieve(d))
			sd_notify(0, "WATCHDOG=1");
		*due = now + RELIEVE_MS;
	}
	return (int)(*due - now);
}

/*
 * serve() - until a signal, or until the kernel gives up on us
 *
 * Return: the exit status.
 */
static int serve(struct daemon *d, int signals)
{
	struct pollfd p[2] = { { .fd = signals, .events = POLLIN },
			       { .fd = daemon_reload_fd(d), .events = POLLIN } };
	int64_t due = (int64_t)clock_ms();
	int k, ms;

	for (;;) {
		ms = relieve(d, &due);
		if (ms < 0)
			return EXIT_FAILURE;
		k = poll(p, 2, ms);
		if (k < 0 && errno != EINTR)
			return EXIT_FAILURE;
		if (k > 0 && p[1].revents)
			end_reload(d);
		if (k > 0 && p[0].revents && take_signal(d, signals))
			return EXIT_SUCCESS;
	}
}

static void free_command(char **command)
{
	for (int i = 1; command && command[i]; i++)
		free(command[i]);
	free(command);
}

/*
 * Before argp, which sorts what it gets, and before arguments are taken apart where they lie: our path, and the
 * arguments. Return: to be freed; NULL if there is no memory.
 */
static char **own_command(int argc, char **argv)
{
	static char path[PATH_MAX];
	char **command = calloc((size_t)argc + 1, sizeof(*command));
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (!command || n < 0) {
		free(command);
		return NULL;
	}
	command[0] = path;
	for (int i = 1; i < argc; i++) {
		command[i] = strdup(argv[i]);
		if (!command[i]) {
			free_command(command);
			return NULL;
		}
	}
	return command;
}

static int tell_versions(void)
{
	for (unsigned int v = STATE_OLDEST; v <= STATE_VERSION; v++)
		printf("%u\n", v);
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int check(const struct daemon_config *c)
{
	char why[DAEMON_WHY_MAX];
	bool good = daemon_check(c, why, sizeof(why));

	if (!good)
		log_err("%s", why);
	log_stop();
	return good ? EXIT_SUCCESS : EXIT_CONFIG;
}

/*
 * What is wrong stays so until somebody mends it. Clients of a predecessor wait meanwhile. This process begins
 * anew then, as systemd knows it already.
 */
static int wait_for_mending(const struct daemon_config *c, enum daemon_failure failure, int signals,
			    const char *why)
{
	switch (unit_wait(signals, why, failure == DAEMON_WRONG_FILES ? daemon_mended : NULL, c)) {
	case UNIT_MENDED:
		execv(c->command[0], c->command);
		log_err("%s: %s", c->command[0], strerror(errno));
		return EXIT_FAILURE;
	case UNIT_STOPPED:
		return EXIT_SUCCESS;
	default:
		return EXIT_CONFIG;
	}
}

/* argp ends the process by itself where the command line is wrong. */
static void on_wrong_usage(int status, void *arg)
{
	(void)arg;
	if (status == argp_err_exit_status &&
	    unit_wait(open_signals(), "the command line, see the log", NULL, NULL) == UNIT_STOPPED)
		_exit(EXIT_SUCCESS);
}

static int run(const struct daemon_config *c)
{
	char why[DAEMON_WHY_MAX];
	int signals = open_signals(), status = EXIT_SUCCESS;
	enum daemon_failure failure;
	struct daemon *d;

	if (signals < 0) {
		log_err("signalfd: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	d = daemon_start(c, &failure, why, sizeof(why));
	if (!d) {
		log_stop();
		log_err("%s", why);
		sd_notifyf(0, "STATUS=%s", why);
		return failure == DAEMON_FAILED ? EXIT_FAILURE
						: wait_for_mending(c, failure, signals, why);
	}
	sd_notify(0, "READY=1");
	if (!c->end)
		status = serve(d, signals);
	sd_notify(0, "STOPPING=1");
	if (daemon_stop(d))
		status = EXIT_FAILURE;
	close(signals);
	log_stop();
	return status;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { .options = options, .parser = parse_option, .doc = doc };
	struct daemon_config config;
	char **command;
	int status;

	if (!stdfds_occupy())
		return EXIT_FAILURE;
	unit_begin();
	daemon_config_init(&config);
	command = own_command(argc, argv);
	if (!command)
		return EXIT_FAILURE;
	config.command = command;
	on_exit(on_wrong_usage, NULL);
	argp_parse(&argp, argc, argv, 0, NULL, &config);
	log_init(config.verbose);
	if (config.check)
		status = check(&config);
	else
		status = config.adopts ? tell_versions() : run(&config);
	free_command(command);
	return status;
}
