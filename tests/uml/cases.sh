#!/bin/bash
# SPDX-License-Identifier: MIT
#
# cases.sh [NAME...] - run the cases in cases/, or those named, inside the guest that run.sh booted
#
# Directories and logs of the cases are left in $UML_DIR/NAME.
set -u
TOP=$(cd "$(dirname "$0")/../.." && pwd)
export TOP CASE CASE_DIR
. "$TOP/tests/judge.sh"
cases=$TOP/tests/uml/cases
# A case that hangs costs this much, not the whole run. (tests/pace.sh)
limit=$((${CASE_SECONDS:-240} * ${PACE:-1}))

run_case()
{
	local out pid status start=$SECONDS

	CASE=$1 CASE_DIR=$UML_DIR/$1 out=$UML_DIR/$1.out
	if [ ! -f "$cases/$CASE.sh" ]; then
		echo "not ok $CASE: no such case"
		return
	fi
	rm -rf "$CASE_DIR" && mkdir -p "$CASE_DIR" && cd "$CASE_DIR" || return
	echo "# case $CASE"
	# timeout makes a process group of it: what the case left running is ended by that.
	timeout -k 5 "$limit" env BASH_ENV="$TOP/tests/uml/lib.sh" bash "$cases/$CASE.sh" \
		>"$out" 2>&1 &
	pid=$!
	tail -n +1 -s 0.1 -F --pid=$pid "$out" 2>/dev/null
	wait $pid
	status=$?
	kill -KILL -- -$pid 2>/dev/null && echo "# case $CASE left processes behind"
	judge "$status" "$out" $((SECONDS - start)) "$limit"
}

[ $# -gt 0 ] || set -- "$cases"/*.sh
for name in "$@"; do
	run_case "$(basename "$name" .sh)"
done | tee "$UML_DIR/tap"
! grep -q '^not ok' "$UML_DIR/tap"
