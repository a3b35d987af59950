/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/doctor_keeper.c - gntdevctl doctor: a keeper without a daemon
 */
#include "gntdevctl/doctor_keeper.h"

#include <errno.h>
#include <sys/un.h>

#include "gntdevctl/keeper.h"

static void tell_answer(const struct doctor *d, const struct keep_msg *m)
{
	if (m->value)
		doctor_tell(d, FINDING_WARNING, "keeper/daemon-silent",
			    "systemctl restart " CTL_UNIT,
			    "it may hang, or be just starting; another one takes over all that "
			    "clients have",
			    "the keeper serves a daemon, process %llu, that does not answer here",
			    (unsigned long long)m->value);
	else
		doctor_tell(d, FINDING_FAULT, "keeper/waits", "systemctl start " CTL_UNIT,
			    "clients wait for another daemon, which takes over all that they have; "
			    "after that time it is "
			    "ended",
			    "the keeper holds what a daemon has left, for %u s more", m->left);
}

void doctor_keeper(const struct doctor *d)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct keep_msg m;
	int err = ctl_keeper_path(d->ctl, d->root, path, sizeof(path));

	if (!err)
		err = ctl_keeper_look(path, &m);
	if (err == -ENOENT || err == -ENAMETOOLONG)
		return;
	if (!err)
		tell_answer(d, &m);
	else if (err == -EACCES)
		doctor_tell(d, FINDING_INFO, "keeper/not-asked", "sudo gntdevctl doctor",
			    "only root may ask it whether clients wait for another daemon",
			    "there is a keeper's socket, %s", path);
	else
		doctor_tell(d, FINDING_FAULT, "keeper/silent", "",
			    "it holds what clients have; it may be undoing that. Do not kill it",
			    "the keeper of a daemon is there, and does not answer");
}
