#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check.sh "COMBO..." [CASE...] - the cases on each of these combinations, several at once where
# this machine has the processors and the memory (an emulated machine keeps one processor busy)
set -u
cd "$(dirname "$0")/../.." || exit 1
read -r -a combos <<<"$1"
shift
status=$(mktemp)
trap 'rm -f "$status"' EXIT

most()
{
	local memory processors

	memory=$(awk '$1 == "MemAvailable:" { print int($2 / 1024 / 2600) }' /proc/meminfo)
	processors=$(nproc)
	[ "$memory" -lt "$processors" ] && processors=$memory
	[ "$processors" -ge 1 ] && echo "$processors" || echo 1
}

run()
{
	local combo=$1 start=$SECONDS

	shift
	tests/xen/run.sh -t "${XEN_SECONDS:-600}" "$combo" tests/xen/cases.sh "$@" || echo "$combo" >>"$status"
	echo "# $combo: $((SECONDS - start)) s"
}

at_once=$(most)
for combo in "${combos[@]}"; do
	while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do
		wait -n
	done
	run "$combo" "$@" &
done
wait
echo "# ${#combos[@]} combinations, $at_once at once: $SECONDS s"
[ ! -s "$status" ]
