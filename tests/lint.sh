#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lint.sh quick   style, rooms, warnings of gcc and clang, scripts, lengths (half a minute)
# lint.sh all     clang-tidy and cppcheck as well
# lint.sh format  formats all sources in place
#
# The first two print one line of TAP for each rule, with what broke it as comments above.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0
# Formatting differs between releases of clang-format: this one's is the standard.
format_version=14
# Analyzers find other things in each release, right or wrong. These have to find nothing.
tidy_version=14 cppcheck_version=2.10
max_file=700
# Lines of functions: the longest, nine of ten, half of them.
max_function=60 p90_function=40 median_function=15

if git rev-parse --git-dir >/dev/null 2>&1; then
	mapfile -t files < <(git ls-files -co --exclude-standard)
else
	# No git here, or it does not trust whom the clone belongs to.
	mapfile -t files < <(find . \( -path ./build -o -path ./.cache -o -path ./.git \) -prune -o -type f -printf '%P\n')
fi
sources=() headers=() scripts=()
for file in "${files[@]}"; do
	[ -f "$file" ] || continue
	case $file in
	*.c) sources+=("$file") ;;
	*.h) headers+=("$file") ;;
	*) head -n 1 "$file" | grep -Eq '^#!.*sh$|shellcheck shell' && scripts+=("$file") ;;
	esac
done
mapfile -t flags < <(printf '%s\n' -std=gnu11 -D_GNU_SOURCE -DKILL_STEPS -iquote . -DSUITE=any_suite '-DSUITE_NAME="any"'
	pkg-config --cflags fuse3 liburcu-memb xengnttab liburing libsystemd | tr ' ' '\n' | sed '/^$/d; s/^-I\(\/usr\)/-isystem\1/')
warnings=(-Wall -Wextra -Wshadow -Werror)

# rule NAME COMMAND...: COMMAND prints what breaks the rule, or ends with an error
rule()
{
	local out

	if out=$("${@:2}" 2>&1) && [ -z "$out" ]; then
		echo "ok lint: $1"
		return
	fi
	head -n 60 <<<"$out" | sed 's/^/#   /'
	echo "not ok lint: $1"
	status=1
}

# A mutant whose line has gone would judge nothing.
named_mutants()
{
	local file expression what

	while IFS=$'\t' read -r file expression what; do
		case $file in '' | '#'*) continue ;; esac
		[ -f "$file" ] && ! sed "$expression" "$file" | cmp -s - "$file" || echo "no such place in $file: $what"
	done <tests/mutants/named
}

# The clang-format of the standard's version, else whichever there is.
formatter=clang-format
! command -v "clang-format-$format_version" >/dev/null || formatter=clang-format-$format_version
formatter_version=$("$formatter" --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\..*/\1/p')

format()
{
	"$formatter" --dry-run -Werror "${sources[@]}" "${headers[@]}"
}

# Another version has another idea of the same style, so its differences are told, and no fault. That it
# can read the style and each source is one.
format_otherwise()
{
	local file lines=0 of=0 out=build/lint-format

	mkdir -p build
	for file in "${sources[@]}" "${headers[@]}"; do
		"$formatter" "$file" >"$out" || return 1
		lines=$((lines + $(diff "$file" "$out" | grep -c '^>')))
		of=$((of + $(wc -l <"$file")))
	done
	rm -f "$out"
	printf '# the style is that of clang-format %s, here is %s: it would change %d of %d lines\n' \
		"$format_version" "$formatter_version" "$lines" "$of" >&3
}

format_in_place()
{
	if [ "$formatter_version" != "$format_version" ]; then
		echo "format: the style is that of clang-format $format_version, here is ${formatter_version:-none}:" \
			"it would change lines that are not yours"
		return 1
	fi
	"$formatter" -i "${sources[@]}" "${headers[@]}"
}

# parallel COMMAND... -- FILE...: one process for each file, one for each processor at a time
parallel()
{
	local command=()

	while [ "$1" != -- ]; do
		command+=("$1")
		shift
	done
	shift
	printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" "${command[@]}"
}

# With -O2 for the warnings that need the optimizer's view.
compile()
{
	parallel "$1" "${flags[@]}" "${warnings[@]}" -O2 -c -o /dev/null -- "${sources[@]}"
}

headers_alone()
{
	parallel gcc "${flags[@]}" "${warnings[@]}" -x c -fsyntax-only \
		-- "${headers[@]}"
}

lengths()
{
	wc -l "${sources[@]}" "${headers[@]}" | awk -v max="$max_file" \
		'$2 != "total" && $1 > max { print $2 ": " $1 " lines, at most " max }'
}

spdx()
{
	grep -L 'SPDX-License-Identifier: MIT' "${sources[@]}" "${headers[@]}" "${scripts[@]}"
	return 0
}

# Paths of somebody's machine have no place in the project.
local_paths()
{
	grep -nE '(^|[^A-Za-z0-9_.$}@])/(work|home|root|mnt)/[A-Za-z0-9]' -- "${files[@]}" | grep -v '^tests/lint.sh:'
	return 0
}

# scdoc ends a list by an empty paragraph and begins a section with one: nothing to be seen.
man_pages()
{
	local page out=build/lint-man

	mkdir -p "$out"
	for page in man/*.scd; do
		page=${page##*/}
		page=${page%.scd}
		scdoc <"man/$page.scd" >"$out/$page" || { echo "man/$page.scd: see above" && continue; }
		mandoc -T lint -W warning "$out/$page"
	done 2>&1 | grep -Ev 'WARNING: skipping paragraph macro: PP (empty|after S[HS])$'
	rm -rf "$out"
	return 0
}

# same WHAT THIS THAT: two lists that have to be the same, one item a line
same()
{
	diff <(sort -u <<<"$2") <(sort -u <<<"$3") | sed -n "s|^<|$1: only the former:|p; s|^>|$1: only the latter:|p"
}

# A compiler, make and the C library are what any build has; debhelper is of purpose "deb".
build_dependencies()
{
	same "packages.list and debian/control" \
		"$(grep -E '^(build|man)'$'\t' packages.list | cut -f 2 | grep -vxE 'gcc|libc6-dev|make')" \
		"$(sed -n '/^Build-Depends:/,/^[^ ]*:/p' debian/control | sed -n 's/^\(Build-Depends:\)\? \+//p' |
			sed 's/[ ,].*//' | grep -vE '^(debhelper-compat$|dh-sequence-|Standards)')"
}

versions()
{
	same "abi/version.h and debian/changelog" "$(sed -n 's/^#define VERSION "\(.*\)"$/\1/p' abi/version.h)" \
		"$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)"
}

options()
{
	same "options of cuse_gntdev.c and man/cuse_gntdev.8.scd" \
		"$(sed -n 's/^\t{ "\([a-z-]*\)", OPT_.*/\1/p' cuse_gntdev.c)" \
		"$(sed -n '/^# OPTIONS/,/^# FAULTS/s/^\*--\([a-z-]*\)\*\(=.*\)\?$/\1/p' man/cuse_gntdev.8.scd)"
	same "options of gntdevctl and man/gntdevctl.1.scd" \
		"$(sed -n 's/^\t*\({ \)\?"\([a-z-]*\)", \(CTL_\)\?OPT_.*/\2/p' gntdevctl/*.[ch] | sort -u)" \
		"$(grep '^\*-.*\*' man/gntdevctl.1.scd | grep -o '\*--[a-z-]*' | cut -c4- |
			grep -vx 'help\|usage\|version\|uid' | sort -u)"
}

# named FILE FORMAT NAME...: the file has each name, as it is written there
named()
{
	local name file=$1 format=$2

	for name in "${@:3}"; do
		# shellcheck disable=SC2059 # the format is ours
		grep -qF -- "$(printf -- "$format" "$name")" "$file" || echo "$file: \"$name\" is not in it"
	done
}

# rows FILE TABLE: the names in a table of X(name, ...)
rows()
{
	sed -n "/^#define $2(X)/,/[^\\\\]\$/s/^\tX(\([a-z_]*\)[,)].*/\1/p" "$1"
}

limits()
{
	local names

	mapfile -t names < <(rows policy/limit.h POLICY_LIMITS)
	[ ${#names[@]} -gt 0 ] || echo "policy/limit.h: no limits are found in it"
	named man/cuse-gntdev.conf.5.scd '*%s*' "${names[@]}"
	named systemd/cuse-gntdev.conf '	%s ' "${names[@]}"
}

faults()
{
	local keys ops

	mapfile -t keys < <(rows sim/fault.h FAULT_KEYS)
	mapfile -t ops < <(rows sim/fault.h FAULT_OPS)
	[ ${#keys[@]} -gt 0 ] && [ ${#ops[@]} -gt 0 ] || echo "sim/fault.h: no faults are found in it"
	named man/cuse_gntdev.8.scd '*%s*' "${keys[@]}" "${ops[@]}"
	named docs/developer.md '`%s' "${keys[@]}" "${ops[@]}"
}

# "FILE FUNCTION LINES" of each function, between its braces
functions()
{
	awk '
		FNR == 1 { start = 0 }
		/^[A-Za-z].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
		/^{/ { start = FNR }
		/^}/ && start { print FILENAME, name "()", FNR - start - 1; start = 0 }
	' "${sources[@]}" "${headers[@]}"
}

function_lengths()
{
	functions | sort -n -k3 | awk -v max="$max_function" -v p90="$p90_function" -v median="$median_function" '
		{ n[NR] = $3 }
		$3 > max { print $1 ": " $2 " has " $3 " lines, at most " max }
		END {
			half = n[int((NR + 1) / 2)]; most = n[int((NR * 9 + 9) / 10)]
			printf "# functions: %d, median %d, p90 %d, max %d\n", NR, half, most, n[NR] | "cat >&3"
			if (half > median) print "half of the functions have more than " half - 1 " lines: " median " is the limit"
			if (most > p90) print "a tenth of the functions have more than " most - 1 " lines: " p90 " is the limit"
		}'
}

# One line for each finding, without the path that leads to it.
tidy()
{
	printf '%s\0' "${sources[@]}" |
		xargs -0 -I{} -P "$(nproc)" clang-tidy --quiet {} -- "${flags[@]}" 2>/dev/null |
		grep -E ': (warning|error):' | sort -u
	return 0
}

# Not the tests, which do wrong things on purpose. readdir_r is deprecated; cppcheck's idea of mmap
# knows no descriptor of -1, and it has not seen liburcu's list macros.
check_source()
{
	# The loops over lists of liburcu and <sys/queue.h> are unknown to it.
	local lists=(--suppress={unknownMacro:{xen/event.c,evtchn/adopt.c,machine/adopt.c},uninitvar:{xen/pvh.c,evtchn/evtchn.c,evtchn/ring.c}}
		--suppress={uninitvar,nullPointerRedundantCheck}:device/turns.c --suppress=uninitvar:window/socket.c)

	printf '%s\n' "${sources[@]}" | grep -v '^tests/' |
		cppcheck --file-list=- --quiet --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--std=c11 --platform=unix64 --library=posix -D_GNU_SOURCE -D__x86_64__=1 \
		-D__LP64__=1 -DSUITE=any_suite -I. --include=/usr/include/jansson.h --suppress=missingInclude \
		"${lists[@]}" --suppress=resourceLeak:xen/pvh.c --suppress=memleak:xen/journal.c \
		--suppress=readdirCalled --suppress=invalidFunctionArg --suppress=normalCheckLevelMaxBranches \
		--template='{file}:{line}: {severity}: {message} [{id}]' -j "$(nproc)"
}

# What another version than the standard's finds is told, and no fault. That it cannot read a source is one.
analyze_otherwise()
{
	local name=$1 version=$2 here=$3 out

	[ -n "$here" ] || { echo "there is no $name here" && return 1; }
	out=$("${@:4}" 2>&1)
	[ -z "$out" ] || head -n 1000 <<<"$out" | sed 's/^/#   /' >&3
	printf '# the standard is %s %s, here is %s; findings: %d\n' \
		"$name" "$version" "$here" "$(grep -c . <<<"$out")" >&3
	! grep -E 'clang-diagnostic-error|\[(syntaxError|preprocessorErrorDirective)\]' <<<"$out"
}

# analysis NAME VERSION COMMAND...: a rule for the standard's version
analysis()
{
	local here

	here=$("$1" --version 2>/dev/null | sed -n 's/.*\(version\|Cppcheck\) \([0-9.]*\).*/\2/p' | head -n 1)
	case $here in
	"$2" | "$2".*) rule "$1" "${@:3}" ;;
	*) rule "$1 ${here:-(none)} reads each source" analyze_otherwise "$1" "$2" "$here" "${@:3}" ;;
	esac
}

if [ "${1-}" = format ]; then
	format_in_place
	exit
fi
# For what rules tell besides, good or bad.
exec 3>&1
if [ "$formatter_version" = "$format_version" ]; then
	rule clang-format format
else
	rule "clang-format ${formatter_version:-(none)} can read the style" format_otherwise
fi
rule "rooms: includes point down, no circles" tests/rooms.sh
rule "what is cited is there" tests/cited.sh
rule "the rules about rooms and citations can fail" tests/rules_test.sh
rule "gcc warnings" compile gcc
rule "clang warnings" compile clang
rule "each header compiles alone" headers_alone
rule shellcheck shellcheck -x -e SC2317 "${scripts[@]}"
rule "no file over $max_file lines" lengths
rule "functions: none over $max_function lines, p90 $p90_function, median $median_function" function_lengths
rule "named mutants are where they were" named_mutants
rule "licence in each source" spdx
rule "no local paths" local_paths
rule "man pages" man_pages
rule "packages to build with are named alike" build_dependencies
rule "one version" versions
rule "each option has its place in the man page" options
rule "each limit of the policy has its place in man page and example" limits
rule "each fault has its place in man page and docs" faults
if [ "${1-}" = all ]; then
	analysis clang-tidy "$tidy_version" tidy
	analysis cppcheck "$cppcheck_version" check_source
fi
exit $status
