/* SPDX-License-Identifier: MIT */
/*
 * gntdevctl/policy.c - gntdevctl policy show, check, test, explain
 *
 * A file is checked here, by the code that the daemon reads it with; a decision is the daemon's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/out.h"
#include "gntdevctl/client.h"
#include "gntdevctl/commands.h"
#include "gntdevctl/policy_test.h"
#include "gntdevctl/terminal.h"
#include "gntdevctl/text.h"
#include "base/option.h"
#include "policy/policy.h"

enum {
	OPT_PID = 'p',
	OPT_DOMID = 'd',
};

static const struct argp_option options[] = {
	{ "pid", OPT_PID, "PID", 0, "explain: the process", 1 },
	{ "domid", OPT_DOMID, "DOMID", 0, "explain: the domain whose pages it would map", 1 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

/**
 * struct policy_args - the command line
 * @action: "show", "check", "explain" or "test"
 * @table:  of "test"
 * @file:   a policy, of "check" and "test"; NULL: the daemon's
 * @pid, @domid: -1: not given
 */
struct policy_args {
	struct ctl *ctl;
	const char *action;
	const char *table;
	const char *file;
	long pid;
	long domid;
};

static bool is(const struct policy_args *a, const char *action)
{
	return a->action && !strcmp(a->action, action);
}

static void check_arguments(const struct policy_args *a, const struct argp_state *state)
{
	if (!is(a, "show") && !is(a, "check") && !is(a, "explain") && !is(a, "test"))
		argp_error(state, "%s%s%s\"show\", \"check\", \"explain\" or \"test\" is wanted",
			   a->action ? "\"" : "", a->action ? a->action : "",
			   a->action ? "\": " : "");
	if (!is(a, "explain") && (a->pid >= 0 || a->domid >= 0))
		argp_error(state, "%s: --pid and --domid are explain's", a->action);
	if (!is(a, "check") && !is(a, "test") && a->file)
		argp_error(state, "%s: \"%s\": it asks the daemon, and takes no file", a->action,
			   a->file);
	if (is(a, "explain") && (a->pid < 0 || a->domid < 0))
		argp_error(state, "explain: --pid and --domid are wanted");
	if (is(a, "test") && !a->table)
		argp_error(state, "test: a file of questions is wanted, see man gntdevctl");
}

/* ACTION [FILE]; test TABLE [FILE] */
static void take_argument(struct policy_args *a, const struct argp_state *state, const char *arg)
{
	if (!a->action)
		a->action = arg;
	else if (is(a, "test") && !a->table)
		a->table = arg;
	else if (!a->file)
		a->file = arg;
	else
		argp_error(state, "\"%s\": one argument too many", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct policy_args *a = state->input;

	switch (key) {
	case OPT_PID:
		a->pid = (long)option_number(state, "pid", arg, 1, INT32_MAX);
		return 0;
	case OPT_DOMID:
		a->domid = (long)option_number(state, "domid", arg, 0, UINT16_MAX);
		return 0;
	case ARGP_KEY_ARG:
		take_argument(a, state, arg);
		return 0;
	case ARGP_KEY_END:
		check_arguments(a, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --- check ------------------------------------------------------------------------------------ */

/* Those that its files say: the others have their defaults. */
static unsigned int n_limits(const struct policy *p)
{
	unsigned int n = 0;

	for (int i = 0; i < POLICY_N_LIMITS; i++)
		n += !(policy_limits(p)->by_default >> i & 1);
	return n;
}

static void add_string(const char *text, void *arg)
{
	json_array_append_new(arg, control_text(text));
}

static unsigned int n_told(const struct policy_why *why)
{
	return why->n < POLICY_MISTAKES_MAX ? why->n : POLICY_MISTAKES_MAX;
}

static json_t *errors_json(const struct policy_why *why)
{
	json_t *errors = json_array();

	for (unsigned int i = 0; i < n_told(why); i++)
		add_string(why->text[i], errors);
	return errors;
}

/* @p: what was read, or NULL: @why not. */
static void print_json(const char *file, const struct policy *p, const struct policy_why *why)
{
	json_t *o = json_pack("{s:o, s:b}", "file", control_text(file), "good", p != NULL);
	json_t *files = json_array(), *warnings = json_array();

	if (p) {
		policy_for_each_file(p, add_string, files);
		policy_for_each_warning(p, add_string, warnings);
		json_object_set_new(o, "rules", json_integer(policy_n_rules(p)));
		json_object_set_new(o, "limits", json_integer(n_limits(p)));
	} else {
		json_object_set_new(o, "errors", errors_json(why));
		json_object_set_new(o, "more_errors", json_integer(why->n - n_told(why)));
	}
	json_object_set_new(o, "files", files);
	json_object_set_new(o, "warnings", warnings);
	ctl_print_object(o);
	json_decref(o);
}

static void print_line(const char *text, void *arg)
{
	fputs(arg, stdout);
	ctl_print_clean(stdout, text);
	putchar('\n');
}

static void print_policy(const char *file, const struct policy *p)
{
	char warning[] = "warning: ", read[] = "  read ";

	policy_for_each_warning(p, print_line, warning);
	ctl_print_clean(stdout, file);
	printf(": good, rules: %u, limits: %u", policy_n_rules(p), n_limits(p));
	/* The service reads no other. */
	puts(strcmp(file, CTL_POLICY) ? ""
				      : "; systemctl reload " CTL_UNIT " makes the daemon read it");
	policy_for_each_file(p, print_line, read);
}

static void print_mistakes(const struct policy_why *why)
{
	for (unsigned int i = 0; i < n_told(why); i++)
		ctl_error(CTL_BAD, "%s", why->text[i]);
	if (why->n > n_told(why))
		ctl_error(CTL_BAD, "and %u more", why->n - n_told(why));
}

static int check(const struct policy_args *a)
{
	const char *file = a->file ? a->file : CTL_POLICY;
	struct policy *p = NULL;
	struct policy_why why;
	/* A file that somebody names has to be there. */
	int err = policy_load(file, a->file, &p, &why);

	if (a->ctl->json)
		print_json(file, err ? NULL : p, &why);
	else if (err)
		print_mistakes(&why);
	else
		print_policy(file, p);
	if (!err)
		policy_free(p);
	return err ? CTL_BAD : CTL_DONE;
}

/* --- show ------------------------------------------------------------------------------------- */

static void print_member(const char *key, const json_t *member)
{
	if (!strcmp(key, "user") && json_is_integer(member)) {
		fputs(ctl_user((uid_t)json_integer_value(member)).s, stdout);
	} else if (json_is_integer(member)) {
		printf("%lld", (long long)json_integer_value(member));
	} else {
		putchar('\'');
		ctl_print_clean(stdout, json_is_string(member) ? json_string_value(member) : "?");
		putchar('\'');
	}
}

/* As it stands in a file: key = value, or key = {one, another}. */
static void print_condition(const json_t *rule, const char *key)
{
	const json_t *list = json_object_get(rule, key);
	json_t *member;
	size_t i;

	if (!json_array_size(list))
		return;
	printf(json_array_size(list) > 1 ? " %s = {" : " %s = ", key);
	json_array_foreach((json_t *)list, i, member) {
		fputs(i ? ", " : "", stdout);
		print_member(key, member);
	}
	fputs(json_array_size(list) > 1 ? "} " : " ", stdout);
}

static void print_rule(const json_t *rule)
{
	static const char *const keys[] = { "user", "group", "unit", "cgroup", "domid" };
	const json_t *pv = json_object_get(rule, "pv_descriptor");

	fputs("# ", stdout);
	ctl_print_clean(stdout, ctl_string(rule, "file"));
	printf(":%lld\nrule \"", ctl_integer(rule, "line", 0));
	ctl_print_clean(stdout, ctl_string(rule, "name"));
	fputs("\" {", stdout);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		print_condition(rule, keys[i]);
	fputs(" action = ", stdout);
	ctl_print_clean(stdout, ctl_string(rule, "action"));
	if (pv)
		printf("  pv_descriptor = %s", json_is_true(pv) ? "yes" : "no");
	puts(json_is_true(json_object_get(rule, "left_out")) ? " } # and more in its lists" : " }");
}

static bool take_rule(const struct ctl_record *r, void *arg)
{
	if (*(const bool *)arg)
		return ctl_print_record(r);
	if (!strcmp(r->name, "rule"))
		print_rule(r->value);
	return true;
}

/* Behind the rules: their order is what counts. */
static void print_rest(const json_t *end)
{
	const char *name, *error = ctl_string(end, "error");
	json_t *value;

	puts("limit {");
	json_object_foreach(json_object_get(end, "limits"), name, value)
		if (json_is_integer(value) && json_integer_value(value) > 0)
			printf("\t%s = %lld\n", name, (long long)json_integer_value(value));
	puts("}");
	fputs("pv_descriptor = ", stdout);
	ctl_print_clean(stdout, ctl_string(end, "pv_descriptor"));
	printf("\n# in force since %s\n", ctl_time((uint64_t)ctl_integer(end, "loaded", 0), 1).s);
	if (!*error)
		return;
	fputs("# a later one was refused: ", stdout);
	ctl_print_clean(stdout, error);
	putchar('\n');
}

static int show(const struct policy_args *a)
{
	bool json = a->ctl->json;
	json_t *end;
	int status = ctl_query(a->ctl, ctl_request("policy"), take_rule, &json, &end);

	if (end && json) {
		json_dumpf(end, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
		putchar('\n');
	} else if (end) {
		print_rest(end);
	}
	json_decref(end);
	return status;
}

/* --- explain ---------------------------------------------------------------------------------- */

static const char *action_words(const char *action)
{
	if (!strcmp(action, "allow"))
		return "may map, also to write";
	if (!strcmp(action, "read-only"))
		return "may map to read only";
	return "may not map";
}

static void print_why(const json_t *e)
{
	if (json_is_true(json_object_get(e, "default"))) {
		puts("  why      no rule matches: whoever may open the device may map");
		return;
	}
	fputs("  why      rule \"", stdout);
	ctl_print_clean(stdout, ctl_string(e, "rule"));
	fputs("\", ", stdout);
	ctl_print_clean(stdout, ctl_string(e, "file"));
	printf(":%lld, is the first that matches\n", ctl_integer(e, "line", 0));
}

static void print_who(const json_t *who)
{
	const char *unit = ctl_string(who, "unit");
	const json_t *owner = json_object_get(who, "owner");

	printf("  process  user %s", ctl_user((uid_t)ctl_integer(who, "uid", -1)).s);
	if (json_is_integer(owner))
		printf(" in a user namespace of %s",
		       ctl_user((uid_t)ctl_integer(who, "owner", -1)).s);
	else if (owner)
		fputs(" in a user namespace of nobody knows whom", stdout);
	printf(", group %lld, command ", ctl_integer(who, "gid", -1));
	ctl_print_clean(stdout, ctl_string(who, "command"));
	fputs(*unit ? ", unit " : ", control group ", stdout);
	ctl_print_clean(stdout, *unit ? unit : ctl_string(who, "cgroup"));
	putchar('\n');
}

static void print_verdict(const struct policy_args *a, const json_t *e)
{
	printf("process %ld %s pages of domain %ld\n", a->pid,
	       action_words(ctl_string(e, "action")), a->domid);
	print_why(e);
	print_who(json_object_get(e, "who"));
	printf("  PV dom0  %s hold a window's descriptor, which reaches all of a domain's memory\n",
	       json_is_true(json_object_get(e, "pv")) ? "may" : "may not");
}

static int explain(const struct policy_args *a)
{
	json_t *request = ctl_request("explain"), *end;
	int status;

	if (json_object_set_new(request, "pid", json_integer(a->pid)) ||
	    json_object_set_new(request, "domid", json_integer(a->domid)))
		return ctl_error(CTL_FAILED, "no memory");
	status = ctl_query(a->ctl, request, NULL, NULL, &end);
	if (end && a->ctl->json)
		ctl_print_object(end);
	else if (end)
		print_verdict(a, end);
	if (end && strcmp(ctl_string(end, "action"), "allow") != 0 &&
	    strcmp(ctl_string(end, "action"), "read-only") != 0)
		status = CTL_BAD;
	json_decref(end);
	return status;
}

int ctl_policy(struct ctl *ctl, int argc, char **argv)
{
	static const struct ctl_command command = {
		.args = "show\ncheck [FILE]\ntest TABLE [FILE]\nexplain --pid=PID --domid=DOMID",
		.doc = "show: the policy that the daemon has in force. check: read a policy "
		       "(default " CTL_POLICY ") and FILE.d/*.conf, and say what is wrong with it. "
		       "test: whether it says what a table "
		       "expects. explain: what the "
		       "daemon's policy says of a process that would open the device, and which "
		       "rule says so.",
		.examples = "  gntdevctl policy check && systemctl reload " CTL_UNIT "\n"
			    "  gntdevctl policy test /etc/cuse-gntdev.test\n"
			    "  gntdevctl policy explain --pid 1538 --domid 7\n",
		.options = options,
		.parse = parse,
	};
	struct policy_args a = { .ctl = ctl, .pid = -1, .domid = -1 };

	ctl_parse(ctl, &command, argc, argv, &a);
	ctl_page(ctl);
	if (is(&a, "show"))
		return show(&a);
	if (is(&a, "test"))
		return ctl_policy_test(ctl, a.table, a.file ? a.file : CTL_POLICY, a.file);
	return is(&a, "check") ? check(&a) : explain(&a);
}
