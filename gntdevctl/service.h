/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/service.h - gntdevctl doctor: what systemd knows of the daemon's service
 */
#ifndef GNTDEVCTL_SERVICE_H
#define GNTDEVCTL_SERVICE_H

#include <stdbool.h>

/* Options of the service, below the root of a system; systemd reads them after those in the unit. */
#define SERVICE_DEFAULTS "/etc/default/cuse-gntdev"

/**
 * struct service - what "systemctl show" says, as far as it is known: else ""
 * @load:    such as "loaded", "not-found", "masked"
 * @state:   such as "active", "failed"; "" if there is no systemd here
 * @result:  how it ended, such as "exit-code"
 * @status:  what the daemon last said of itself
 * @options: what it is started with
 */
struct service {
	char load[32];
	char state[32];
	char result[32];
	char status[512];
	char options[512];
};

/**
 * service_read() - make sense of what systemctl has printed, and of the file of options
 * @shown: lines "Property=VALUE"
 * @root:  the system's
 */
void service_read(struct service *s, const char *shown, const char *root);

/** service_ask() - ask systemd; all is "" if there is none */
void service_ask(struct service *s, const char *root);

/** service_has_option() - whether it is started with this one. @option: a whole word, such as "--xen" */
bool service_has_option(const struct service *s, const char *option);

#endif /* GNTDEVCTL_SERVICE_H */
