#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh SECONDS PROGRAM...  run the suites (they print TAP themselves); for SECONDS each the torture tests
# (which tell by their exit status); and fuzzers' functions over what is kept of their inputs
set -u
seconds=$1
shift
status=0
export CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT-60}
export ASAN_OPTIONS=detect_leaks=1:${ASAN_OPTIONS-}
export UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS-}

# A suite that ends with an error but named no failed test has died outside its tests.
suite()
{
	local out result

	out=$("$1" 2>&1)
	result=$?
	printf '%s\n' "$out"
	[ $result -eq 0 ] && return 0
	grep -q '^not ok' <<<"$out" || echo "not ok $(basename "$1") - ended with status $result"
	return 1
}

# setarch -R: older ThreadSanitizers refuse the address layouts of newer kernels.
torture()
{
	local result name=${1#build/}

	setarch -R timeout $((seconds * 3 + 60)) "$1" "$seconds"
	result=$?
	if [ $result -eq 0 ]; then
		echo "ok $name"
		return 0
	fi
	echo "not ok $name - ended with status $result"
	return 1
}

replay()
{
	local name=${1##*/replay_} out result

	out=$("$1" tests/fuzz/corpus/"$name"/* 2>&1)
	result=$?
	if [ $result -eq 0 ]; then
		echo "ok fuzz: $(wc -l <<<"$out") inputs of $name"
		return 0
	fi
	tail -n 60 <<<"$out" | sed 's/^/#   /'
	echo "not ok fuzz: inputs of $name - ended with status $result"
	return 1
}

for program in "$@"; do
	case $program in
	*/torture_*) torture "$program" ;;
	*/replay_*) replay "$program" ;;
	*) suite "$program" ;;
	esac || status=1
done
exit $status
