#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh [-n N] [-s SEED] [FILE...]  N mutants, chosen by SEED among all of FILEs (the files that guard safety)
# run.sh -l [LIST]                   those of a list; without a name, of tests/mutants/named: each must be killed
#
# A mutant is a copy of the sources with one line changed. It is killed if a unit suite fails, crashes or hangs;
# one that lives is a line that no test asks for, or that makes no difference. What is printed is TAP, a line for each
# mutant; which line was changed stands behind those that live. Those in tests/mutants/equivalent (with the reason why they
# make no difference) pass.
#
# A list has lines of FILE, SED EXPRESSION, WHAT, separated by tabs. Everything happens in build/mutants.
set -u
usage() { sed -n '4,5s/^# //p' "$0" >&2; exit 2; }

n=60 seed=1 list=
while getopts n:s:l option; do
	case $option in
	n) n=$OPTARG ;;
	s) seed=$OPTARG ;;
	l) list=tests/mutants/named ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ -z "$list" ] || list=${1-$list}

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
cd "$top" || exit 1
[ -z "$list" ] || list=$(realpath "$list") || exit 1
tree=$top/build/mutants
guards=(table.c base/arena.c device/caller.c device/copy.c device/grant.c device/enforce.c device/winioctl.c device/token.c
	device/adopt.c device/channel.c device/left.c device/mapping.c device/receiver.c state/record.c state/slot.c keeper/keeper.c
	client/procmaps.c client/procwalk.c policy/text.c policy/parse.c policy/policy.c policy/quota.c
	window/window.c window/socket.c window/conn.c window/scan.c window/dir.c window/durable.c
	xen/xen.c xen/pvh.c xen/pv.c xen/event.c xen/copy.c xen/undo.c xen/journal.c xen/adopt.c keeper/raw.c)
killed=0 alive=0 equivalent=0 broken=0

# What a room is tested by, the nearest first.
rooms_of()
{
	case $1 in
	table.c) echo . device ;;
	base/*) echo base . device window report ;;
	client/*) echo client window device policy ;;
	policy/*) echo policy device control ;;
	report/*) echo report device control ;;
	window/*) echo window device ;;
	device/*) echo device machine window ;;
	sim/*) echo sim device machine ;;
	state/*) echo state device keeper ;;
	*) echo "${1%%/*}" ;;
	esac
}

# The file's own first, those that take long last.
suites_of()
{
	local room name

	name=$(basename "$1")
	for room in $(rooms_of "$1"); do
		ls "tests/unit/$room/test_$name" 2>/dev/null
		printf '%s\n' "tests/unit/$room"/test_*.c
	done | sed 's|/\./|/|; s|\.c$||' | awk 'seen[$0]++ { next }
		/\/test_(lives|survive|culprit|crowd|killed|random)/ { late = late $0 "\n"; next }
		{ print } END { printf "%s", late }'
}

build()
{
	sed 's|^|build/asan/|' | xargs make -s -j"$(nproc)" >"$top/build/mutants.log" 2>&1
}

fails()
{
	local pace

	pace=$("$top/tests/pace.sh")
	! ASAN_OPTIONS=detect_leaks=1 CK_DEFAULT_TIMEOUT=30 CK_TIMEOUT_MULTIPLIER=$pace timeout -k 1 $((150 * pace)) "build/asan/$1" \
		>"$top/build/mutants.log" 2>&1 </dev/null
}

# Return: 0 and the suite that fails; 1 if none does; 2 if it does not build. Twice: else it was not the mutant's doing.
judge()
{
	local suite

	for suite in $(suites_of "$1"); do
		build <<<"$suite" || return 2
		if fails "$suite" && fails "$suite"; then
			echo "${suite#tests/unit/}"
			return 0
		fi
	done
	return 1
}

is_equivalent()
{
	grep -qxF -- "$(diff "$top/$1" "$1" | sed -n 's/^> [[:space:]]*//p')" <(cut -f2 "$here/equivalent")
}

# mutant FILE NAME: what is in $tree/FILE is one
mutant()
{
	local by verdict=3

	cmp -s "$1" "$top/$1" || { by=$(judge "$1"); verdict=$?; }
	[ $verdict -ne 1 ] || ! is_equivalent "$1" || verdict=4
	case $verdict in
	0)
		killed=$((killed + 1))
		echo "ok mutants: $2: killed by $by"
		;;
	1)
		alive=$((alive + 1))
		diff "$top/$1" "$1" | sed -n 's/^\([<>]\)[[:space:]]*/#   \1 /p'
		echo "not ok mutants: $2: lives"
		;;
	2)
		broken=$((broken + 1))
		echo "# does not build: $2"
		;;
	3)
		broken=$((broken + 1))
		echo "# no such place: $2"
		;;
	4)
		equivalent=$((equivalent + 1))
		echo "ok mutants: $2: makes no difference"
		;;
	esac
	cp "$top/$1" "$1"
}

places()
{
	local file

	for file in "$@"; do
		awk -f "$here/sites.awk" "$file" | sed "s|^|$file\t|"
	done
}

chosen()
{
	local file line operator text

	while IFS=$'\t' read -r file line operator text; do
		[ $((killed + alive + equivalent)) -lt "$n" ] || break
		TEXT=$text awk -v line="$line" 'FNR == line { $0 = ENVIRON["TEXT"] } { print }' "$top/$file" >"$file"
		mutant "$file" "$file:$line $operator"
	done < <(places "${guards[@]}" | shuf --random-source=<(yes "$seed"))
}

named()
{
	local file expression what

	while IFS=$'\t' read -r file expression what; do
		case $file in '' | '#'*) continue ;; esac
		sed -i "$expression" "$file"
		mutant "$file" "$file: $what"
	done <"$list"
}

[ $# -eq 0 ] || [ -n "$list" ] || guards=("$@")
mkdir -p "$tree"
# What it has built stays, sources that are no more go.
find "$tree" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
tar -c --exclude=./build --exclude=./.cache --exclude=./.git . | tar -x -C "$tree"
cd "$tree" || exit 1
for file in "${guards[@]}"; do
	[ -f "$file" ] || { echo "mutants: no such file: $file" >&2; exit 2; }
	suites_of "$file" | build || { tail "$top/build/mutants.log" >&2; exit 1; }
done
if [ -n "$list" ]; then named; else chosen; fi
# Of a list each is to be there, and to build.
[ -z "$list" ] || [ "$broken" -eq 0 ] || echo "not ok mutants: $broken of $list are no mutants"
echo "# mutants: $killed killed, $equivalent make no difference, $alive live"
[ "$alive" -eq 0 ] && { [ -z "$list" ] || [ "$broken" -eq 0 ]; }
