/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/fault.c - gntdevctl fault: the simulator's faults, while it runs
 */
#include <stdio.h>
#include <string.h>

#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "gntdevctl/text.h"

/**
 * struct fault_args - the command line
 * @action: "list", "add", "clear" or "release"
 * @spec:   of "add"
 */
struct fault_args {
	struct ctl *ctl;
	const char *action;
	const char *spec;
};

static bool is(const struct fault_args *a, const char *action)
{
	return !strcmp(a->action, action);
}

static void check_arguments(const struct fault_args *a, const struct argp_state *state)
{
	if (!is(a, "list") && !is(a, "add") && !is(a, "clear") && !is(a, "release"))
		argp_error(state, "\"%s\": \"list\", \"add\", \"clear\" or \"release\" is wanted",
			   a->action);
	if (is(a, "add") && !a->spec)
		argp_error(state, "add: which fault? Such as \"map:nth=3,status=eagain\"");
	if (!is(a, "add") && a->spec)
		argp_error(state, "%s: \"%s\": it takes no argument", a->action, a->spec);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct fault_args *a = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (state->arg_num > 1)
			argp_error(state, "\"%s\": one argument too many", arg);
		else if (state->arg_num)
			a->spec = arg;
		else
			a->action = arg;
		return 0;
	case ARGP_KEY_END:
		check_arguments(a, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static bool print_fault(const struct ctl_record *r, void *arg)
{
	const struct ctl *ctl = arg;

	if (ctl->json)
		return ctl_print_record(r);
	ctl_print_clean(stdout, ctl_string(r->value, "spec"));
	putchar('\n');
	return true;
}

static json_t *request_of(const struct fault_args *a)
{
	json_t *request = ctl_request("fault");

	if (a->spec)
		ctl_set(request, "add", json_string(a->spec));
	else if (!is(a, "list"))
		ctl_set(request, a->action, json_true());
	return request;
}

static void print_end(const struct fault_args *a, const json_t *end)
{
	if (a->ctl->json) {
		json_dumpf(end, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
		putchar('\n');
		return;
	}
	if (a->ctl->rows)
		return;
	if (is(a, "release"))
		printf("%lld operations that waited go on\n", ctl_integer(end, "released", 0));
	else
		printf("%lld operations wait\n", ctl_integer(end, "waiting", 0));
}

int ctl_fault(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.args = "[list]\nadd SPEC\nclear\nrelease",
		.doc = "The simulated hypervisor's faults, see cuse_gntdev(8): print those that "
		       "are "
		       "still to happen; add one; forget all; let operations go on that wait "
		       "because "
		       "of one.",
		.examples = "  gntdevctl fault add map:nth=3,status=eagain,for_ms=200\n"
			    "  gntdevctl fault release\n",
		.parse = parse,
	};
	struct fault_args a = { .ctl = ctl, .action = "list" };
	json_t *end;
	int status;

	ctl_parse(ctl, &command, argc, argv, &a);
	status = ctl_query(ctl, request_of(&a), print_fault, ctl, &end);
	if (end)
		print_end(&a, end);
	json_decref(end);
	return status;
}
