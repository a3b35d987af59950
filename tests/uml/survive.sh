# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# survive.sh - the daemon is killed again and again under load.c's clients; read in by a case, after lib.sh
#
# daemon_node and daemon_run_dir are that one's, by process.
# shellcheck disable=SC2004,SC2034

threads=0

# report WHAT: a figure of the daemon's report
report()
{
	local lines

	lines=$(grep -c 'held:' "$CASE_DIR/daemon.log")
	kill -USR1 "$DAEMON"
	wait_for 5 eval "[ \$(grep -c 'held:' '$CASE_DIR/daemon.log') -gt $lines ]" || return
	grep 'held:' "$CASE_DIR/daemon.log" | tail -n 1 | sed "s/.* $1=\([0-9]*\).*/\1/"
}

# figure WHAT: of the clients' file (load.h)
figure()
{
	local -A at=([stop]=0 [started]=1 [done]=2 [errors]=3 [wrong]=4 [opens]=5 [maps]=6 [windows]=7)

	od -An -t u4 -j $((4 * ${at[$1]})) -N 4 "$CASE_DIR/load" | tr -d ' '
}

tell_to_stop() { printf '%b' "\\x$1" | dd of="$CASE_DIR/load" conv=notrunc bs=1 count=1 2>/dev/null; }
have_started() { [ "$(figure started)" -eq "$threads" ]; }
are_done() { [ "$(figure "done")" -eq "$threads" ]; }
holds_the_same()
{
	[ "$(report opens)" -eq "$(figure opens)" ] && [ "$(report maps)" -eq "$(figure maps)" ] &&
		[ "$(report windows)" -eq $(($(figure windows) + $1)) ]
}
lets_go() { [ "$(report opens)" -eq 0 ] && [ "$(report maps)" -eq 0 ]; }

# start_load DOMID REF THREADS [GNTALLOC]
start_load()
{
	threads=$3
	client "$BUILD/tests/uml/load" "$CASE_DIR/load" "$1" "$2" "$threads" "${@:4}" 2>load.err &
	load=$!
	check "all clients are at work" wait_for 20 have_started
}

# kill_daemons KILLS SEED: $DAEMON is the last one then
kill_daemons()
{
	"$BUILD/tests/uml/kills" "$CASE_DIR/load" "$GNTDEV_STEPS" "$DAEMON" "$1" "$2" "$BUILD/steps/cuse_gntdev" \
		"$HYPERVISOR" >kills.out 2>>"$CASE_DIR/daemon.log"
	check "a successor serves after each of $1 kills" grep -q '^daemon [1-9]' kills.out ||
		comment "$(grep '^kill' kills.out)"
	unset "daemon_node[$DAEMON]"
	DAEMON=$(sed -n 's/^daemon //p' kills.out)
	daemon_node[$DAEMON]=xen/gntdev daemon_run_dir[$DAEMON]=/run/cuse-gntdev
	sed -n "s/^outage.* us\$/# ${HYPERVISOR#--}_&/p" kills.out
	awk '/^step/ && $2 == 0 { printf "%s ", $1 }' kills.out | sed 's/^/#   not reached: /; s/$/\n/'
}

# end_load WINDOWS: others hold so many more
end_load()
{
	tell_to_stop 1
	check "no client hangs" wait_for 30 are_done
	check "what the daemon holds is what clients hold" wait_for 5 holds_the_same "$1"
	tell_to_stop 2
	wait "$load"
	check "no client has seen an error" test "$(figure errors)" -eq 0
	check "nor an answer or memory that is wrong" test "$(figure wrong)" -eq 0
	comment "$(head -n 20 load.err)"
	check "nothing is held in the end" wait_for 5 lets_go
}

# end_daemon: it is nobody's child
end_daemon()
{
	kill -TERM "$DAEMON"
	check "the daemon ends" wait_for 20 daemon_has_ended "$DAEMON"
	unset "daemon_node[$DAEMON]"
	check "and leaves nothing" test -z "$(ls -A /run/cuse-gntdev 2>/dev/null)"
}
