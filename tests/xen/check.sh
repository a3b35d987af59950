#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check.sh "COMBO..." [CASE...] - the cases on each of these combinations, several at once where
# this machine has the processors and the memory (an emulated machine keeps one processor busy)
#
# One case is no file of cases/: "speed" is a boot of its own, with instructions counted, on combinations of which there are
# figures in recorded/ (speed.sh -s).
set -u
cd "$(dirname "$0")/../.." || exit 1
read -r -a combos <<<"$1"
shift
cases=() speed=''
for name in "$@"; do
	[ "$name" = speed ] && speed=yes || cases+=("$name")
done
[ $# -gt 0 ] || speed=yes
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

	"${@:2}" || echo "$combo" >>"$status"
	echo "# $combo: $((SECONDS - start)) s"
}

# begin COMBO COMMAND...: as soon as there is room for it
begin()
{
	while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do
		wait -n
	done
	run "$@" &
}

at_once=$(most)
for combo in "${combos[@]}"; do
	if [ $# -eq 0 ] || [ ${#cases[@]} -gt 0 ]; then
		begin "$combo" tests/xen/run.sh -t "${XEN_SECONDS:-600}" "$combo" tests/xen/cases.sh "${cases[@]}"
	fi
	if [ -n "$speed" ] && [ -f "tests/xen/recorded/$combo" ]; then
		begin "$combo speed" tests/xen/speed.sh -s "$combo"
	fi
done
wait
echo "# ${#combos[@]} combinations, $at_once at once: $SECONDS s"
[ ! -s "$status" ]
