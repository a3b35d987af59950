#!/bin/bash
# SPDX-License-Identifier: MIT
#
# stage.sh run STAGE COMMAND...  run one stage of the tests, count what it printed
# stage.sh sum STAGE...          add the counts up: "N passed, N failed, N skipped"
#
# A stage prints TAP lines: "ok ...", "not ok ...", "ok ... # SKIP why". Its counts go to
# build/results/STAGE. A stage that ends with an error and named no failure, or that ran nothing and
# does not say so ("1..0 # why"), or that left no counts, is one failure. So is one that has not ended at
# $CHECK_END, if that is not set after the time that pace.sh gives: all that it has started is ended then.
set -u
cd "$(dirname "$0")/.." || exit 1
results=build/results
export CHECK_END=${CHECK_END-$(tests/pace.sh end)}

# limited SECONDS FILE COMMAND...: what it prints goes to FILE, too. It is a group of processes, which ends with this
# shell: so it has to be told of signals, and to have back those that the shell takes from what is in the background.
limited()
{
	local job status tee pipe

	# A descriptor that is free: make's jobs are counted through some.
	exec {pipe}> >(exec tee "$2")
	tee=$!
	timeout -k 30 "$1" env --default-signal=INT,QUIT "${@:3}" </dev/null >&"$pipe" 2>&1 {pipe}>&- &
	job=$!
	exec {pipe}>&-
	trap 'kill $job; wait $job; exit 130' INT TERM HUP
	wait $job
	status=$?
	trap - INT TERM HUP
	# Something that was left running may still have its end of the pipe.
	timeout 10 tail -s 0.1 --pid=$tee -f /dev/null
	return $status
}

run()
{
	local stage=$1 log=$results/$1.log left status passed failed skipped

	shift
	mkdir -p $results
	rm -f "$results/$stage"
	echo "# $stage"
	left=$((CHECK_END - $(cut -d . -f 1 /proc/uptime)))
	if [ $left -gt 0 ]; then
		limited $left "$log" "$@"
		status=$?
	else
		: >"$log"
		status=124
	fi
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
		echo "not ok $stage - not at its end when the time for all was over" | tee -a "$log"
	fi
	skipped=$(grep -c '^ok .*# SKIP' "$log")
	passed=$(($(grep -c '^ok ' "$log") - skipped))
	failed=$(grep -c '^not ok ' "$log")
	if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
		echo "not ok $stage - ended with status $status" | tee -a "$log"
		failed=1
	elif [ $((passed + failed + skipped)) -eq 0 ] && ! grep -q '^1\.\.0 # ' "$log"; then
		echo "not ok $stage - ran nothing" | tee -a "$log"
		failed=1
	fi
	echo "$passed $failed $skipped" > "$results/$stage"
	[ "$failed" -eq 0 ]
}

sum()
{
	local stage counts passed=0 failed=0 skipped=0

	for stage in "$@"; do
		read -r -a counts 2>/dev/null < "$results/$stage" || counts=(0 1 0)
		passed=$((passed + counts[0]))
		failed=$((failed + counts[1]))
		skipped=$((skipped + counts[2]))
		grep -h '^not ok ' "$results/$stage.log" 2>/dev/null | sed "s/^/# $stage: /"
	done
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed -eq 0 ] && [ $passed -gt 0 ]
}

case ${1-} in
run | sum) "$@" ;;
*) sed -n '4,10s/^# //p' "$0" >&2; exit 2 ;;
esac
