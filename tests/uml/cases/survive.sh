# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The daemon is killed, at random and at each step, while clients do all that clients do: none of them notices.
# SURVIVE_KILLS, SURVIVE_SEED, SURVIVE_THREADS to choose.
kills=${SURVIVE_KILLS:-60} threads=${SURVIVE_THREADS:-12}
export GNTDEV_STEPS=$CASE_DIR/steps
truncate -s 4096 steps

# held WHAT: a figure of the daemon's report
held()
{
	local lines

	lines=$(grep -c 'held:' daemon.log)
	kill -USR1 "$DAEMON"
	wait_for 5 eval "[ \$(grep -c 'held:' daemon.log) -gt $lines ]" || return
	grep 'held:' daemon.log | tail -n 1 | sed "s/.* $1=\([0-9]*\).*/\1/"
}

# figure WHAT: of the clients' file (load.h)
figure()
{
	local -A at=([stop]=0 [started]=1 [done]=2 [errors]=3 [wrong]=4 [opens]=5 [maps]=6 [windows]=7)

	od -An -t u4 -j $((4 * ${at[$1]})) -N 4 load | tr -d ' '
}

tell_to_stop() { printf "\\x$1" | dd of=load conv=notrunc bs=1 count=1 2>/dev/null; }
have_started() { [ "$(figure started)" -eq "$threads" ]; }
are_done() { [ "$(figure done)" -eq "$threads" ]; }
holds_the_same()
{
	[ "$(held opens)" -eq "$(figure opens)" ] && [ "$(held maps)" -eq "$(figure maps)" ] &&
		[ "$(held windows)" -eq $(($(figure windows) + 1)) ]
}
holds_nothing() { [ "$(held opens)" -eq 0 ] && [ "$(held maps)" -eq 0 ]; }

BUILD=$BUILD/steps start_daemon
chmod 666 /dev/xen/gntdev
mkfifo granter.in
client "$BUILD/examples/granter" -n "$threads" 0 <granter.in >granter.out 2>&1 &
exec {granter_in}>granter.in
wait_for 5 grep -q refs granter.out
ref=$(sed -n 's/refs: \([0-9]*\) .*/\1/p' granter.out)
client "$BUILD/tests/uml/load" load 1 "$ref" "$threads" 2>load.err &
load=$!
check "all clients are at work" wait_for 20 have_started

[ "$kills" -gt 0 ] || sleep 5
"$BUILD/tests/uml/kills" load steps "$DAEMON" "$kills" "${SURVIVE_SEED:-1}" "$BUILD/steps/cuse_gntdev" \
	"$HYPERVISOR" >kills.out 2>>daemon.log
check "a successor serves after each of $kills kills" grep -q '^daemon [1-9]' kills.out
sed -n 's/^[a-z].* \(us\|times\)$/# survive_&/p' kills.out
DAEMON=$(sed -n 's/^daemon //p' kills.out)
tell_to_stop 1
check "no client hangs" wait_for 30 are_done
check "what the daemon holds is what clients hold" wait_for 5 holds_the_same
tell_to_stop 2
wait $load
check "no client has seen an error" test "$(figure errors)" -eq 0
check "nor an answer or memory that is wrong" test "$(figure wrong)" -eq 0
comment "$(head -n 20 load.err)"
check "nothing is held in the end" wait_for 5 holds_nothing
exec {granter_in}>&-
daemon_node[$DAEMON]=xen/gntdev daemon_run_dir[$DAEMON]=/run/cuse-gntdev
kill -TERM "$DAEMON"
check "the daemon ends" wait_for 20 daemon_has_ended "$DAEMON"
check "and leaves nothing" test -z "$(ls -A /run/cuse-gntdev 2>/dev/null)"
