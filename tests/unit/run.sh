#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh SECONDS PROGRAM...  run the suites (they print TAP themselves); for SECONDS each the torture tests
# (which tell by their exit status); and fuzzers' functions over what is kept of their inputs
set -u
seconds=$1
shift
status=0
export ASAN_OPTIONS=detect_leaks=1:${ASAN_OPTIONS-}
export UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS-}

# Set $pace, and with it check's time limits; asked again now and then.
look_at_pace()
{
	((SECONDS >= ${next_look:-0})) || return
	pace=$(tests/pace.sh)
	export CK_TIMEOUT_MULTIPLIER=$pace
	next_look=$((SECONDS + 10))
}

# What an ordinary user runs a suite in: a namespace where all processes are his, and may be looked into, as the daemon
# looks into those that hold windows. Those of base/ know no processes, but that directories are root's, who is
# nobody in there.
alone=()
if [ "$(id -u)" -ne 0 ]; then
	alone=(unshare --user --map-current-user --keep-caps --pid --fork --mount-proc --kill-child
		setpriv "--ambient-caps=-all,+sys_ptrace" "--inh-caps=-all,+sys_ptrace")
	if ! "${alone[@]}" true 2>/dev/null; then
		echo "# no user namespaces here: tests of windows fail, run them as root"
		alone=()
	fi
fi

# A suite that ends with an error but named no failed test has died outside its tests.
suite()
{
	local name=${1##*/tests/unit/} last out result in=("${alone[@]}")

	case $name in base/*) in=() ;; esac
	out=$("${in[@]}" "$1" 2>&1)
	result=$?
	printf '%s\n' "$out"
	[ "$result" -eq 0 ] && return 0
	if ! grep -q '^not ok' <<<"$out"; then
		last=$(grep '^ok' <<<"$out" | tail -n 1)
		echo "not ok $name - ended with status $result after ${last:-no test at all}"
	fi
	return 1
}

# setarch -R: older ThreadSanitizers refuse the address layouts of newer kernels.
torture()
{
	local result name=${1#build/} limit=$(((seconds * 3 + 60) * pace))

	setarch -R timeout "$limit" "$1" "$seconds" 2>&1 | sed 's/^/# /'
	result=${PIPESTATUS[0]}
	if [ "$result" -eq 0 ]; then
		echo "ok $name"
		return 0
	elif [ "$result" -eq 124 ]; then
		echo "not ok $name - no end after $limit s"
		return 1
	fi
	echo "not ok $name - ended with status $result"
	return 1
}

replay()
{
	local name=${1##*/replay_} out result

	out=$("$1" tests/fuzz/corpus/"$name"/* 2>&1)
	result=$?
	if [ "$result" -eq 0 ]; then
		echo "ok fuzz: $(wc -l <<<"$out") inputs of $name"
		return 0
	fi
	tail -n 60 <<<"$out" | sed 's/^/#   /'
	echo "not ok fuzz: inputs of $name - ended with status $result"
	return 1
}

program()
{
	case $1 in
	*/torture_*) torture "$1" ;;
	*/replay_*) replay "$1" ;;
	*) suite "$1" ;;
	esac
}

# As many side by side as there are processors; what one prints comes as a whole when it ends.
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
declare -A name=()
one_ends()
{
	local job

	wait -n -p job "${!name[@]}" || status=1
	cat "$out/${name[$job]}"
	rm "$out/${name[$job]}"
	unset "name[$job]"
}

for path in "$@"; do
	((${#name[@]} < $(nproc))) || one_ends
	look_at_pace
	program "$path" >"$out/${path//\//_}" &
	name[$!]=${path//\//_}
done
while ((${#name[@]})); do
	one_ends
done
exit $status
