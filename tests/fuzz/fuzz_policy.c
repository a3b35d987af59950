/* SPDX-License-Identifier: MIT */
/*
 * fuzz_policy.c - any bytes as the text of a policy
 *
 * No input is left out. What a fuzzer cannot do is to ask the machine for users and groups at that rate, so
 * these are three of its own. What is held against a policy that is taken: it decides for every kind of
 * process, in the same way each time; not knowing a process gives it nothing; and it
 * holds no limit that its file could not say. Of one that is refused: there are messages, each with a line.
 */
#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int number_of(const char *name)
{
	static const char *const names[] = { "root", "alice", "xen-gnt" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(name, names[i]))
			return 1000 * i;
	return -1;
}

int getpwnam_r(const char *name, struct passwd *pw, char *buf, size_t size, struct passwd **result)
{
	(void)buf;
	(void)size;
	pw->pw_uid = (uid_t)number_of(name);
	*result = number_of(name) < 0 ? NULL : pw;
	return 0;
}

int getgrnam_r(const char *name, struct group *gr, char *buf, size_t size, struct group **result)
{
	(void)buf;
	(void)size;
	gr->gr_gid = (gid_t)number_of(name);
	*result = number_of(name) < 0 ? NULL : gr;
	return 0;
}

static void demand(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "not so: %s\n", what);
	abort();
}

static void decide(const struct policy *p, const struct who *who, const struct who *hidden,
		   uint16_t domid)
{
	struct policy_verdict v, again, h;
	struct policy_view view;

	policy_decide(p, who, domid, &v);
	policy_view(p, who, &view);
	policy_view_decide(&view, domid, &again);
	demand(v.action == again.action && v.pv == again.pv && v.rule == again.rule,
	       "a view decides as the policy does");
	demand(v.action <= POLICY_DENY, "an action is one");
	demand(!v.rule[0] == !v.file && !v.file == !v.line, "a rule stands somewhere");
	policy_decide(p, hidden, domid, &h);
	demand(h.action >= v.action && h.pv <= v.pv, "not to be known is no advantage");
}

static void use(const struct policy *p)
{
	static const uint16_t domid[] = { 0, 1, 7, 100, 32751, 32752, 65535 };
	static const struct who known[] = {
		{ .pid = 1,
		  .visible = true,
		  .ns = OWNER_OURS,
		  .all_groups = true,
		  .cgroup = "/init.scope",
		  .unit = "init.scope" },
		{ .pid = 2,
		  .uid = 1000,
		  .gid = 2000,
		  .visible = true,
		  .ns = OWNER_OURS,
		  .all_groups = true,
		  .n_groups = 2,
		  .groups = { 5, 1000 },
		  .cgroup = "/system.slice/qemu-7.service",
		  .unit = "qemu-7.service" },
		{ .pid = 3,
		  .uid = 2000,
		  .visible = true,
		  .ns = OWNER_OURS,
		  .all_groups = true,
		  .cgroup = "/user.slice" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct who hidden = { .uid = known[i].uid, .gid = known[i].gid };

		for (size_t k = 0; k < sizeof(domid) / sizeof(domid[0]); k++)
			decide(p, &known[i], &hidden, domid[k]);
	}
	demand(policy_limits(p)->maps <= 1ULL << 40 && policy_limits(p)->pages <= 1ULL << 40,
	       "a limit is in its range");
	demand(policy_n_rules(p) <= POLICY_RULES_MAX, "no more rules than there may be");
}

static void told(const char *why)
{
	unsigned int line;
	char name[16];

	demand(sscanf(why, "%15[^:]:%u: ", name, &line) == 2 && !strcmp(name, "text") && line >= 1,
	       "a message has file and line");
	demand(strlen(why) > strlen("text:1: "), "a message says something");
	for (; *why; why++)
		demand((unsigned char)*why >= ' ', "a message is one line");
}

static void refused(const struct policy_why *why)
{
	demand(why->n > 0, "there is a mistake");
	for (unsigned int i = 0; i < why->n && i < POLICY_MISTAKES_MAX; i++)
		told(why->text[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_why why;
	struct policy *p = NULL;
	int err = policy_parse("text", (const char *)data, size, &p, &why);

	demand(!err == !!p, "a policy or an error");
	if (p) {
		use(p);
		policy_free(p);
	} else {
		demand(err == -EINVAL, "what is in a text is EINVAL");
		refused(&why);
	}
	return 0;
}
