/* SPDX-License-Identifier: MIT */
/*
 * policy/test_file.c - what a policy may say, and the message for each thing it may not
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/rule.h"

static struct policy_why why;

static struct policy *parse(const char *text)
{
	struct policy *p = NULL;
	int err = policy_parse("f", text, strlen(text), &p, &why);

	ck_assert_msg(!err, "%s", why.text[0]);
	return p;
}

static void refuse(const char *text, size_t len, const char *message)
{
	struct policy *p = NULL;

	ck_assert_int_eq(policy_parse("f", text, len, &p, &why), -EINVAL);
	ck_assert_ptr_null(p);
	ck_assert_str_eq(why.text[0], message);
}

/* What is refused, and in which words. */
static const struct {
	const char *text;
	const char *message;
} wrong[] = {
	/* Form. */
	{ "\n\ncolour = red\n", "f:3: no such option 'colour'" },
	{ "rule \"a\" {\n\n colour = red }", "f:3: no such option 'colour'" },
	{ "limit { pages = 5\n bytes = 6 }", "f:2: no such option 'bytes'" },
	{ "pv_descriptor root", "f:1: missing equal sign after option 'pv_descriptor'" },
	{ "rule { action = allow }", "f:1: missing title for section 'rule'" },
	{ "rule \"a\" action = allow", "f:1: missing opening brace for section 'rule'" },
	{ "rule \"a\" {\naction = allow\n", "f:1: the brace that is opened here is not closed" },
	{ "# two {\n# lines\nlimit {\n", "f:3: the brace that is opened here is not closed" },
	{ "# one\n\n# more\nrule \"a\" {\n# here\n colour = red }",
	  "f:6: no such option 'colour'" },
	{ "pv_descriptor =", "f:1: something is missing behind this" },
	{ "\npv_descriptor\n\nrule a { action = deny }\n",
	  "f:2: something is missing behind this" },
	{ "rule a { action = allow user = {{} }", "f:1: unexpected token '{'" },
	{ "rule a { rule b { rule c {", "f:1: the brace that is opened here is not closed" },
	{ "action = deny", "f:1: no such option 'action'" },
	{ "pv_descriptor =\n{}", "f:2: unexpected token '{'" },
	{ "}", "f:1: unexpected closing brace" },
	{ "rule a {\n '' = 5 }", "f:1: this cannot be understood" },
	{ "rule \"a\" { action = allow }\n\nrule \"a\" { action = deny }",
	  "f:3: rule \"a\": there is one of that name in f:1" },
	{ "rule \"a\" { action += allow }", "f:1: attempt to append to non-list option 'action'" },
	/* What is left out or said twice. */
	{ "rule \"a\" {\n}", "f:1: rule \"a\" has no action: allow, deny or read-only" },
	{ "\nrule \"a\" {\n\nuser = root\n\n}",
	  "f:2: rule \"a\" has no action: allow, deny or read-only" },
	{ "rule \"a\" {\naction = allow\naction = deny }",
	  "f:3: \"action\" for the second time in this rule" },
	{ "rule \"a\" { user = root\nuser = root action = allow }",
	  "f:2: \"user\" for the second time in this rule: write a list, {\"a\", \"b\"}" },
	{ "rule \"a\" { user = {}\naction = allow }",
	  "f:1: rule \"a\": the list of \"user\" is empty: leave it out, or name one" },
	{ "rule \"a\" { user = root user = {}\naction = allow }",
	  "f:1: rule \"a\": the list of \"user\" is empty: leave it out, or name one" },
	{ "limit { pages = 1 }\nlimit { maps = 1 }",
	  "f:2: a second \"limit\" in this file: write one" },
	{ "limit { pages = 1\npages = 2 }", "f:2: limit \"pages\" for the second time" },
	{ "pv_descriptor = any\npv_descriptor = any",
	  "f:2: \"pv_descriptor\" for the second time" },
	/* Values. */
	{ "rule \"a\" { action = alow }",
	  "f:1: action \"alow\": allow, deny or read-only is wanted" },
	{ "rule \"a\" { pv_descriptor = root }",
	  "f:1: pv_descriptor \"root\": in a rule yes or no is wanted" },
	{ "pv_descriptor = yes",
	  "f:1: pv_descriptor \"yes\": outside of rules root, any or none is wanted" },
	{ "limit { pages = 0 }", "f:1: limit pages = \"0\": a number from 1 to 1099511627776 is "
				 "wanted, or none" },
	{ "limit {\n maps_per_user = 1099511627777 }",
	  "f:2: limit maps_per_user = \"1099511627777\": a number from 1 to 1099511627776 is "
	  "wanted, or none" },
	{ "limit { maps = -1 }", "f:1: limit maps = \"-1\": a number from 1 to 1099511627776 is "
				 "wanted, or none" },
	{ "limit { maps = 99999999999999999999999 }",
	  "f:1: limit maps = \"99999999999999999999999\": a number from 1 to 1099511627776 is "
	  "wanted, or none" },
	{ "rule \"a\" { domid = 9-3 }", "f:1: domid \"9-3\": the range is the wrong way round" },
	{ "rule \"a\" { domid = 1-\n}",
	  "f:1: domid \"1-\": a domain's number, a range like \"1-100\", or \"any\" is wanted" },
	{ "rule \"a\" { domid = \"\" }",
	  "f:1: domid \"\": a domain's number, a range like \"1-100\", or \"any\" is wanted" },
	{ "rule \"a\" { domid = 0x7 }",
	  "f:1: domid \"0x7\": a domain's number, a range like \"1-100\", or \"any\" is wanted" },
	{ "rule \"a\" { domid = 1-2-3 }",
	  "f:1: domid \"1-2-3\": a domain's number, a range like \"1-100\", or \"any\" is wanted" },
	{ "rule \"a\" { domid = {1,\n 32752} }",
	  "f:2: domid \"32752\": domains have numbers from 0 to 32751" },
	{ "rule \"a\" { domid = 0-65535 }",
	  "f:1: domid \"0-65535\": domains have numbers from 0 to 32751" },
	{ "rule \"a\" {\n user = no-such-user-here }",
	  "f:2: there is no user \"no-such-user-here\": getent passwd lists them" },
	{ "rule \"a\" {\n group = {root, no-such-group} }",
	  "f:2: there is no group \"no-such-group\": getent group lists them" },
	{ "rule \"a\" { user = 4294967295 }",
	  "f:1: there is no user \"4294967295\": getent passwd lists them" },
	{ "rule \"a\" { unit = xenstored }",
	  "f:1: unit \"xenstored\": the name of a service or scope is wanted, such as "
	  "\"xenstored.service\" or \"qemu-*.service\"" },
	{ "rule \"a\" { unit = \"/x.service\" }",
	  "f:1: unit \"/x.service\": the name of a service or scope is wanted, such as "
	  "\"xenstored.service\" or \"qemu-*.service\"" },
	{ "rule \"a\" { cgroup = \"system.slice/*\" }",
	  "f:1: cgroup \"system.slice/*\": a path below the root of control groups is wanted, such "
	  "as "
	  "\"/system.slice/*\"" },
	{ "rule \"\" { action = allow }",
	  "f:1: rule \"\": a name has 1 to 63 letters, digits, spaces and -_.:@" },
	{ "rule '\"' { action = allow }",
	  "f:1: rule \"\"\": a name has 1 to 63 letters, digits, spaces and -_.:@" },
	{ "rule a234567890123456789012345678901234567890123456789012345678901234 { action = allow "
	  "}",
	  "f:1: rule \"a234567890123456789012345678901234567890123456789012345678901234\": a name "
	  "has 1 "
	  "to 63 letters, digits, spaces and -_.:@" },
	/* What would be taken for something else. */
	{ "rule \"a\" {\nunit = qemu-* }",
	  "f:2: quote what has other characters than letters, digits and -_./:@%" },
	{ "rule \"a\" {\ncgroup = /system.slice/* }",
	  "f:2: \"//\" and \"/*\" begin no comment here: comments begin with \"#\", and patterns "
	  "are quoted" },
	{ "// here",
	  "f:1: \"//\" and \"/*\" begin no comment here: comments begin with \"#\", and patterns "
	  "are quoted" },
	{ "limit { pages = ${HOME} }",
	  "f:1: quote what has other characters than letters, digits and -_./:@%" },
	{ "rule \"a\" {\nuser = \"${USER}\" }",
	  "f:2: \"${\" would be replaced by the environment: use single quotes" },
	{ "rule \"a\" { user = \"\\x41\" }",
	  "f:1: a backslash in double quotes stands before \" or \\ only: use single quotes" },
	{ "rule \"a\" { user = \"\\777\" }",
	  "f:1: a backslash in double quotes stands before \" or \\ only: use single quotes" },
	{ "\nrule \"a", "f:2: the string does not end on its line" },
	{ "rule 'a\n' { }", "f:1: the string does not end on its line" },
	{ "rule 'a\\' { }", "f:1: the string does not end on its line" },
	{ "limit (", "f:1: missing opening brace for section 'limit'" },
	{ "include(\"/etc/passwd\")", "f:1: no such option 'include'" },
	{ "rule a + b", "f:1: quote what has other characters than letters, digits and -_./:@%" },
	{ "limit { pages = 1 }\r\n", "f:1: a carriage return: lines end with a newline alone" },
	{ "# \033[31m\n", "f:1: a control character" },
};

START_TEST(each_message)
{
	refuse(wrong[_i].text, strlen(wrong[_i].text), wrong[_i].message);
}
END_TEST

/* All that is wrong in a text, and nothing that is only wrong because of something else. */
static const struct {
	const char *text;
	const char *messages;
} several[] = {
	/* Values, several in one rule. */
	{ "limit { pages = x }\nrule \"a\" {\n unit = b\n domid = {1, y, 2-1}\n action = alow }\n"
	  "rule \"b\" { }",
	  "f:1: limit pages = \"x\": a number from 1 to 1099511627776 is wanted, or none\n"
	  "f:3: unit \"b\": the name of a service or scope is wanted, such as "
	  "\"xenstored.service\" or \"qemu-*.service\"\n"
	  "f:4: domid \"y\": a domain's number, a range like \"1-100\", or \"any\" is wanted\n"
	  "f:4: domid \"2-1\": the range is the wrong way round\n"
	  "f:5: action \"alow\": allow, deny or read-only is wanted\n"
	  "f:6: rule \"b\" has no action: allow, deny or read-only\n" },
	/* Form: the rest of a statement is not read, whether libconfuse finds the mistake or it is not asked. */
	{ "rule a {\n domid = x\n acton = allow domid = y }\nrule b {\n unit = qemu-*\n domid = z "
	  "}\n"
	  "rule c { domid = 2-1 user {root} }",
	  "f:2: domid \"x\": a domain's number, a range like \"1-100\", or \"any\" is wanted\n"
	  "f:3: no such option 'acton'\n"
	  "f:5: quote what has other characters than letters, digits and -_./:@%\n"
	  "f:7: domid \"2-1\": the range is the wrong way round\n"
	  "f:7: missing equal sign after option 'user'\n" },
	/* Braces and quotes that are not closed, where people write one rule after the other. */
	{ "rule a {\n action = allow\n\nrule b {\n action = deny }\n}\nlimit { pages = 0 }",
	  "f:1: the brace that is opened here is not closed\n"
	  "f:6: unexpected closing brace\n"
	  "f:7: limit pages = \"0\": a number from 1 to 1099511627776 is wanted, or none\n" },
	{ "rule \"a { action = allow }\nrule b { user = 'root action = deny }\n"
	  "rule c { action = alow }",
	  "f:1: the string does not end on its line\n"
	  "f:2: the string does not end on its line\n"
	  "f:3: action \"alow\": allow, deny or read-only is wanted\n" },
	{ "rule a { user = {root', 5 }\n action = allow }",
	  "f:1: the string does not end on its line\n" },
	{ "rule b* { domid = {9-3, $, 8-3} }\npv_descriptor = 5",
	  "f:1: quote what has other characters than letters, digits and -_./:@%\n"
	  "f:1: quote what has other characters than letters, digits and -_./:@%\n"
	  "f:2: pv_descriptor \"5\": outside of rules root, any or none is wanted\n" },
	{ "rule a {\n user = {root, 5\n action = allow\n domid = z }\nrule b { action = alow }\n"
	  "rule c {\n user = {root, 5\n\nlimit { maps = 0 }",
	  "f:3: unexpected token 'action'\n"
	  "f:5: action \"alow\": allow, deny or read-only is wanted\n"
	  "f:7: something is missing behind this\n"
	  "f:9: limit maps = \"0\": a number from 1 to 1099511627776 is wanted, or none\n" },
	/* A statement that is cut off is not completed by the next one. */
	{ "pv_descriptor any\npv_descriptor =\nrule a { action = alow }\npv_descriptor = \"rule\"",
	  "f:1: missing equal sign after option 'pv_descriptor'\n"
	  "f:2: something is missing behind this\n"
	  "f:3: action \"alow\": allow, deny or read-only is wanted\n"
	  "f:4: pv_descriptor \"rule\": outside of rules root, any or none is wanted\n" },
	/* Something else altogether. */
	{ "colour = {red}\npv_descriptor = 5\n// no\nlimits { pages = 1 }\nrule { action = x }\n"
	  "rule \"a\" = { }\nlimit\nrule c { action = y, user = }",
	  "f:1: no such option 'colour'\n"
	  "f:2: pv_descriptor \"5\": outside of rules root, any or none is wanted\n"
	  "f:3: \"//\" and \"/*\" begin no comment here: comments begin with \"#\", and patterns "
	  "are quoted\n"
	  "f:5: missing title for section 'rule'\n"
	  "f:6: missing opening brace for section 'rule'\n"
	  "f:7: something is missing behind this\n"
	  "f:8: action \"y\": allow, deny or read-only is wanted\n"
	  "f:8: unexpected token ','\n" },
	/* Where rules and keys have quotes, and names are those of keys. */
	{ "'pv_descriptor' = any \"rule\" \"limit\" { 'action' = deny }\n\"rule\" rule { user = {\n"
	  "root }\n} \"limit\" { maps = none } pv_descriptor = root",
	  "f:2: rule \"rule\" has no action: allow, deny or read-only\n"
	  "f:4: \"pv_descriptor\" for the second time\n" },
};

static char *all_messages(void)
{
	char *all = NULL;
	size_t size;
	FILE *f = open_memstream(&all, &size);

	for (unsigned int i = 0; i < why.n && i < POLICY_MISTAKES_MAX; i++)
		fprintf(f, "%s\n", why.text[i]);
	fclose(f);
	return all;
}

START_TEST(all_mistakes)
{
	struct policy *p = NULL;
	char *all;

	ck_assert_int_eq(policy_parse("f", several[_i].text, strlen(several[_i].text), &p, &why),
			 -EINVAL);
	ck_assert_ptr_null(p);
	all = all_messages();
	ck_assert_str_eq(all, several[_i].messages);
	free(all);
}
END_TEST

START_TEST(more_than_anybody_reads)
{
	char text[40 * 6 + 1] = "", line[POLICY_WHY_ALL_SIZE];
	struct policy *p = NULL;

	for (int i = 0; i < 40; i++)
		strcat(text, "}\n");
	ck_assert_int_eq(policy_parse("f", text, strlen(text), &p, &why), -EINVAL);
	ck_assert_uint_eq(why.n, 40);
	ck_assert_str_eq(why.text[POLICY_MISTAKES_MAX - 1], "f:20: unexpected closing brace");
	policy_why_all(&why, line, sizeof(line));
	ck_assert_str_eq(line, "f:1: unexpected closing brace (and 39 more)");
}
END_TEST

START_TEST(a_nul_byte)
{
	static const char text[] = "limit { pages = 1 }\n\0rule \"a\" { action = deny }";

	refuse(text, sizeof(text) - 1, "f:2: a control character");
}
END_TEST

START_TEST(too_many_rules)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int i = 0; i <= POLICY_RULES_MAX; i++)
		fprintf(f, "rule \"r%d\" { user = %d action = allow }\n", i, i);
	fclose(f);
	refuse(text, size, "f:257: more than 256 rules");
	free(text);
}
END_TEST

START_TEST(all_there_is)
{
	struct policy *p = parse("# first\n"
				 "pv_descriptor = any\n"
				 "limit { pages_per_open = 1 maps_per_open = 2 pages_per_user = 3\n"
				 "	maps_per_user = 4 pages = 5 maps = 1099511627776 }\n"
				 "rule \"all kinds\" {\n"
				 "	user = { root, '77' }\n"
				 "	group = root\n"
				 "	group += 5\n"
				 "	unit = 'a\\x2d*.service'\n"
				 "	cgroup = { \"/a\", '*b' }\n"
				 "	domid = { 1-3, \"7\", any }\n"
				 "	action = read-only\n"
				 "	pv_descriptor = no\n"
				 "}\n"
				 "rule b { action = deny }");
	const struct policy_rule *r = &p->rule[0];

	ck_assert_int_eq(p->pv, POLICY_PV_ANY);
	ck_assert_uint_eq(p->limits.pages_per_open, 1);
	ck_assert_uint_eq(p->limits.maps_per_open, 2);
	ck_assert_uint_eq(p->limits.pages_per_user, 3);
	ck_assert_uint_eq(p->limits.maps_per_user, 4);
	ck_assert_uint_eq(p->limits.pages, 5);
	ck_assert_uint_eq(p->limits.maps, 1ULL << 40);
	ck_assert_uint_eq(policy_n_rules(p), 2);
	ck_assert_str_eq(r->name, "all kinds");
	ck_assert_str_eq(r->file, "f");
	ck_assert_uint_eq(r->line, 5);
	ck_assert_uint_eq(r->users.n, 2);
	ck_assert_uint_eq(r->users.id[0], 0);
	ck_assert_uint_eq(r->users.id[1], 77);
	ck_assert_uint_eq(r->groups.n, 2);
	ck_assert_uint_eq(r->groups.id[1], 5);
	ck_assert_uint_eq(r->units.n, 1);
	ck_assert_str_eq(r->units.pattern[0], "a\\x2d*.service");
	ck_assert_uint_eq(r->cgroups.n, 2);
	ck_assert_str_eq(r->cgroups.pattern[1], "*b");
	ck_assert_uint_eq(r->domids.n, 3);
	ck_assert_uint_eq(r->domids.range[0].last, 3);
	ck_assert_uint_eq(r->domids.range[2].last, UINT16_MAX);
	ck_assert_int_eq(r->action, POLICY_READ_ONLY);
	ck_assert_int_eq(r->pv, POLICY_RULE_PV_NO);
	ck_assert_uint_eq(p->rule[1].line, 15);
	ck_assert_int_eq(p->rule[1].pv, POLICY_RULE_PV_UNSAID);
	policy_free(p);
}
END_TEST

/* What is said holds for root as well; "none" is none; the rest is as it is by default, where root's are wider. */
START_TEST(limits_by_default)
{
	struct policy *p = parse("limit { maps_per_user = 7 pages_per_user = none }");
	struct policy_limits l = *policy_limits(p);

	ck_assert_uint_eq(policy_limit_get(&l, POLICY_LIMIT_maps_per_user, false), 7);
	ck_assert_uint_eq(policy_limit_get(&l, POLICY_LIMIT_maps_per_user, true), 7);
	ck_assert_uint_eq(policy_limit_get(&l, POLICY_LIMIT_pages_per_user, false), 0);
	ck_assert_uint_eq(policy_limit_get(&l, POLICY_LIMIT_pages_per_user, true), 0);
	ck_assert_uint_eq(policy_limit_get(&l, POLICY_LIMIT_opens_per_user, false), 16384);
	ck_assert_uint_eq(policy_limit_get(&l, POLICY_LIMIT_opens_per_user, true), 8 * 16384);
	ck_assert_uint_eq(policy_limit_get(&l, POLICY_LIMIT_pages, true),
			  policy_limit_get(&l, POLICY_LIMIT_pages, false));
	policy_free(p);
	/* All together may hold what root and one other user may. */
	policy_limits_default(&l);
	ck_assert_uint_eq(policy_limit_get(&l, POLICY_LIMIT_pages, false),
			  policy_limit_get(&l, POLICY_LIMIT_pages_per_user, true) +
				  policy_limit_get(&l, POLICY_LIMIT_pages_per_user, false));
	ck_assert_uint_eq(policy_limit_get(&l, POLICY_LIMIT_maps, false),
			  policy_limit_get(&l, POLICY_LIMIT_maps_per_user, true) +
				  policy_limit_get(&l, POLICY_LIMIT_maps_per_user, false));
}
END_TEST

START_TEST(nothing_at_all)
{
	static const char *const text[] = { "", "\n", "# only this", "limit { }" };
	struct policy *p = parse(text[_i]);

	ck_assert_uint_eq(policy_n_rules(p), 0);
	ck_assert(!policy_has_rules(p));
	ck_assert_uint_eq(policy_limits(p)->pages, 1179648);
	ck_assert_uint_eq(policy_limits(p)->pages_per_open, 0);
	policy_free(p);
}
END_TEST

/* --- files -------------------------------------------------------------------------------------- */

static char dir[64], main_file[96];

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/gntdev-policy-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(main_file, sizeof(main_file), "%s/conf", dir);
}

static void remove_dir(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void put(const char *name, const char *text)
{
	char path[160];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(chmod(path, 0644), 0);
}

static void make_conf_d(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/conf.d", dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
}

static struct policy *load(void)
{
	struct policy *p = NULL;
	int err = policy_load(main_file, false, &p, &why);

	ck_assert_msg(!err, "%s", why.text[0]);
	return p;
}

/* @message: behind the directory's name. */
static void load_refused(int err, const char *message)
{
	struct policy *p = NULL;

	ck_assert_int_eq(policy_load(main_file, false, &p, &why), err);
	ck_assert_ptr_null(p);
	ck_assert_msg(!strncmp(why.text[0], dir, strlen(dir)), "%s", why.text[0]);
	ck_assert_str_eq(why.text[0] + strlen(dir), message);
}

static void collect(const char *text, void *arg)
{
	char *all = arg;

	strcat(all, strrchr(text, '/'));
}

START_TEST(no_file_at_all)
{
	struct policy *p = load();
	char files[256] = "";

	policy_for_each_file(p, collect, files);
	ck_assert_str_eq(files, "");
	ck_assert_uint_eq(policy_n_rules(p), 0);
	policy_free(p);
}
END_TEST

/* The main file first, the others in byte order; what is no .conf is not looked at. */
START_TEST(order_of_files)
{
	struct policy *p;
	char files[256] = "";

	make_conf_d();
	put("conf", "rule main { user = 0 action = allow } limit { maps = 1 pages = 1 }");
	put("conf.d/b.conf", "rule b { user = 1 action = allow } limit { maps = 3 }");
	put("conf.d/B.conf", "rule B { user = 2 action = allow } limit { maps = 2 }");
	put("conf.d/10.conf", "rule ten { user = 3 action = allow }");
	put("conf.d/.hidden.conf", "nonsense");
	put("conf.d/b.conf~", "nonsense");
	put("conf.d/.conf", "nonsense");
	p = load();
	policy_for_each_file(p, collect, files);
	ck_assert_str_eq(files, "/conf/10.conf/B.conf/b.conf");
	ck_assert_uint_eq(policy_n_rules(p), 4);
	ck_assert_str_eq(p->rule[0].name, "main");
	ck_assert_str_eq(p->rule[1].name, "ten");
	ck_assert_str_eq(p->rule[2].name, "B");
	ck_assert_str_eq(p->rule[3].name, "b");
	/* A later file's limit holds. */
	ck_assert_uint_eq(policy_limits(p)->maps, 3);
	ck_assert_uint_eq(policy_limits(p)->pages, 1);
	policy_free(p);
}
END_TEST

START_TEST(same_name_in_two_files)
{
	char message[256];

	make_conf_d();
	put("conf", "\n\nrule a { action = allow }");
	put("conf.d/x.conf", "\nrule a { action = deny }");
	snprintf(message, sizeof(message),
		 "/conf.d/x.conf:2: rule \"a\": there is one of that name in %s:3", main_file);
	load_refused(-EINVAL, message);
}
END_TEST

START_TEST(one_bad_file_of_several)
{
	make_conf_d();
	put("conf", "rule a { action = allow }");
	put("conf.d/x.conf", "\n\nrule b { }");
	load_refused(-EINVAL,
		     "/conf.d/x.conf:3: rule \"b\" has no action: allow, deny or read-only");
}
END_TEST

/* What is wrong with one file says nothing of the others. */
START_TEST(several_bad_files)
{
	char path[160];
	size_t len = strlen(dir);

	make_conf_d();
	put("conf", "colour");
	put("conf.d/a.conf", "rule a { action = allow }");
	put("conf.d/b.conf", "rule a { action = alow }");
	put("conf.d/c.conf", "rule c { action = deny }");
	snprintf(path, sizeof(path), "%s/conf.d/c.conf", dir);
	ck_assert_int_eq(chmod(path, 0666), 0);
	load_refused(-EINVAL, "/conf:1: no such option 'colour'");
	ck_assert_uint_eq(why.n, 4);
	ck_assert_str_eq(why.text[1] + len, "/conf.d/b.conf:1: action \"alow\": allow, deny or "
					    "read-only is wanted");
	ck_assert_ptr_nonnull(strstr(why.text[2], "/conf.d/b.conf:1: rule \"a\": there is one"));
	ck_assert_str_eq(why.text[3] + len,
			 "/conf.d/c.conf: others than the owner can write to the "
			 "file (mode 0666): chmod go-w");
}
END_TEST

START_TEST(whose_files)
{
	char path[160];

	put("conf", "");
	ck_assert_int_eq(chmod(main_file, 0664), 0);
	load_refused(-EPERM,
		     "/conf: others than the owner can write to the file (mode 0664): chmod go-w");
	ck_assert_int_eq(chmod(main_file, 0646), 0);
	load_refused(-EPERM,
		     "/conf: others than the owner can write to the file (mode 0646): chmod go-w");
	ck_assert_int_eq(chmod(main_file, 0600), 0);
	policy_free(load());
	make_conf_d();
	snprintf(path, sizeof(path), "%s/conf.d", dir);
	ck_assert_int_eq(chmod(path, 0777), 0);
	load_refused(-EPERM, "/conf.d: others than the owner can write to the directory (mode "
			     "0777): chmod go-w");
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(chmod(path, 0755), 0);
	ck_assert_int_eq(chown(main_file, 4711, 0), 0);
	load_refused(-EPERM,
		     "/conf: the file belongs to user 4711: it has to be root's (chown root)");
}
END_TEST

START_TEST(what_is_no_file)
{
	ck_assert_int_eq(mkdir(main_file, 0755), 0);
	load_refused(-EINVAL, "/conf: not a regular file");
	ck_assert_int_eq(rmdir(main_file), 0);
	/* Nobody writes to it: it must not be waited for. */
	ck_assert_int_eq(mkfifo(main_file, 0600), 0);
	load_refused(-EINVAL, "/conf: not a regular file");
	ck_assert_int_eq(unlink(main_file), 0);
	put("conf.d", "");
	load_refused(-ENOTDIR, "/conf.d: Not a directory");
	ck_assert_int_eq(symlink("conf", main_file), 0);
	load_refused(-ELOOP, "/conf: Too many levels of symbolic links");
}
END_TEST

/* Main file, directory, a file in it: who has put a link there means something by it. */
START_TEST(links_that_lead_nowhere)
{
	char path[160];

	ck_assert_int_eq(symlink("nowhere", main_file), 0);
	load_refused(-ENOENT, "/conf: a symbolic link to \"nowhere\", which is not there: mend or "
			      "remove the link");
	ck_assert_int_eq(unlink(main_file), 0);
	snprintf(path, sizeof(path), "%s/conf.d", dir);
	ck_assert_int_eq(symlink("/no/where", path), 0);
	load_refused(-ENOENT, "/conf.d: a symbolic link to \"/no/where\", which is not there: mend "
			      "or remove the link");
	ck_assert_int_eq(unlink(path), 0);
	make_conf_d();
	snprintf(path, sizeof(path), "%s/conf.d/a.conf", dir);
	ck_assert_int_eq(symlink("nowhere", path), 0);
	load_refused(-ENOENT, "/conf.d/a.conf: a symbolic link to \"nowhere\", which is not there: "
			      "mend or remove the link");
	/* One that leads somewhere is as good as a file. */
	put("nowhere", "");
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("../nowhere", path), 0);
	policy_free(load());
}
END_TEST

START_TEST(a_file_that_has_to_be_there)
{
	struct policy *p = NULL;

	ck_assert_int_eq(policy_load(main_file, true, &p, &why), -ENOENT);
	ck_assert_str_eq(why.text[0] + strlen(dir), "/conf: No such file or directory");
	ck_assert_int_eq(mkdir(main_file, 0755), 0);
	ck_assert_int_eq(policy_load(main_file, true, &p, &why), -EINVAL);
	ck_assert_str_eq(why.text[0] + strlen(dir), "/conf: not a regular file");
}
END_TEST

START_TEST(too_long)
{
	char *text = malloc((1 << 20) + 2);

	memset(text, '\n', (1 << 20) + 1);
	text[(1 << 20) + 1] = '\0';
	put("conf", text + 1);
	policy_free(load());
	put("conf", text);
	load_refused(-EINVAL, "/conf: longer than 1048576 bytes");
	free(text);
}
END_TEST

Suite *file_suite(void);

Suite *file_suite(void)
{
	Suite *s = suite_create("policy_file");
	TCase *t = tcase_create("text"), *f = tcase_create("files");

	tcase_add_loop_test(t, each_message, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_loop_test(t, all_mistakes, 0, (int)(sizeof(several) / sizeof(several[0])));
	tcase_add_test(t, more_than_anybody_reads);
	tcase_add_test(t, a_nul_byte);
	tcase_add_test(t, too_many_rules);
	tcase_add_test(t, all_there_is);
	tcase_add_test(t, limits_by_default);
	tcase_add_loop_test(t, nothing_at_all, 0, 4);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(f, make_dir, remove_dir);
	tcase_add_test(f, no_file_at_all);
	tcase_add_test(f, order_of_files);
	tcase_add_test(f, same_name_in_two_files);
	tcase_add_test(f, one_bad_file_of_several);
	tcase_add_test(f, several_bad_files);
	tcase_add_test(f, whose_files);
	tcase_add_test(f, what_is_no_file);
	tcase_add_test(f, links_that_lead_nowhere);
	tcase_add_test(f, a_file_that_has_to_be_there);
	tcase_add_test(f, too_long);
	suite_add_tcase(s, f);
	return s;
}
