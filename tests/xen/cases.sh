#!/bin/bash
# SPDX-License-Identifier: MIT
#
# cases.sh [NAME...] - run the cases in cases/, or those named, inside the dom0 that run.sh booted
#
# Directories of the cases, with their logs, come back as $CASE in run.sh's results.
set -u
export CASE CASE_DIR
. "$TOP/tests/judge.sh"
cases=$TOP/tests/xen/cases
# A case that hangs costs this much, not the whole run. (tests/pace.sh)
limit=$((${XEN_TEST_SECONDS:-300} * ${PACE:-1}))

run_case()
{
	local out pid tee status start=$SECONDS

	CASE=$1 CASE_DIR=/tmp/results/$1 out=/tmp/results/$1.out
	if [ ! -f "$cases/$CASE.sh" ]; then
		echo "not ok $CASE: no such case"
		return
	fi
	mkdir -p "$CASE_DIR" && cd "$CASE_DIR" || return
	echo "# case $CASE"
	echo "@@case $CASE" >/dev/console
	exec 4> >(exec tee "$out")
	tee=$!
	# A session of its own: what the case left running is ended by that.
	setsid timeout -k 5 "$limit" env BASH_ENV="$TOP/tests/xen/lib.sh" bash "$cases/$CASE.sh" >&4 2>&1 4>&- &
	pid=$!
	wait $pid
	status=$?
	kill -KILL -- -$pid 2>/dev/null && echo "# case $CASE left processes behind"
	exec 4>&-
	# What has left the session may keep it from ending.
	(usleep 500000 && kill $tee) 2>/dev/null
	wait $tee
	judge "$status" "$out" $((SECONDS - start)) "$limit"
}

[ $# -gt 0 ] || set -- "$cases"/*.sh
for name in "$@"; do
	run_case "$(basename "$name" .sh)"
done | tee /tmp/tap
echo "@@case" >/dev/console
# What goes back goes byte by byte.
find /tmp/results -type f -size +1024 | while read -r file; do
	echo "# not kept, too large: ${file#/tmp/results/}"
	rm "$file"
done
! grep -q '^not ok' /tmp/tap
