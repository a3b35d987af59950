# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The daemon is killed, the keeper is killed: what is mapped is undone in any case.
. "$TOP/tests/xen/held.sh"

STORMS=${XEN_TEST_STORMS:-8}

keepers() { busybox pidof gntdev-keeper; }

no_keeper() { [ -z "$(keepers)" ]; }

all_back()
{
	local now

	now=$(frames)
	echo "dom0 had $before frames, and has $now"
	[ "$now" = "$before" ]
}

no_node() { [ ! -e /dev/xen/gntdev ]; }

# Nobody waits for a successor: the keeper ends all, and with it the node, before there is another one.
start_next()
{
	wait_for 20 no_node || bail "a daemon does not die"
	start_daemon --successor=0
}

# A daemon that will be killed: nobody waits for it, nor says that it was.
start_doomed()
{
	start_next
	disown "$DAEMON"
	unset "daemon_node[$DAEMON]"
}

storm()
{
	local i

	for ((i = 0; i < STORMS; i++)); do
		start_doomed
		client "$CLIENTS/cycles" storm $((RANDOM % 120 + 5)) "$DAEMON" || return
	done
}

# With each hypercall of a client's life, the daemon is killed once before it and once after it.
# The number at which the client gets through is how many there are.
kill_at_each()
{
	local point=0 status

	for ((;; point++)); do
		start_doomed
		"$CLIENTS/killpoint" "$DAEMON" $point >"$CASE_DIR/killpoint" 2>&1 &
		wait_for 5 grep -q ready "$CASE_DIR/killpoint" || { cat "$CASE_DIR/killpoint"; return 1; }
		client "$CLIENTS/cycles" once 2>/dev/null
		status=$?
		echo "$point: $(grep killed "$CASE_DIR/killpoint")"
		grep -q killed "$CASE_DIR/killpoint" || break
		wait_for 20 no_keeper || { echo "the keeper does not end"; return 1; }
		[ $status -lt 2 ] && all_back || return
	done
	echo "client: $status, $point points"
	kill -TERM "$DAEMON" && wait_for 5 daemon_has_ended "$DAEMON" && [ $status -eq 0 ] && [ $point -ge "$1" ]
}

before=$(frames)
for n in 3 2000; do
	start_doomed
	client "$CLIENTS/cycles" hold $n "$DAEMON"
	# At once, whatever the keeper still does.
	start_next
	check "another daemon works" client "$CLIENTS/cycles" run 10
	check "and holds nothing" wait_for 5 holds_nothing
	check "it ends well" stop_daemon
	check "the keeper of the killed one has ended" wait_for 5 no_keeper
	check "Xen knows of no mapped grant" test "$(grants_in_use)" = 0
	check "dom0 has all its frames" all_back
done

check "nothing stays when the daemon is killed at random, $STORMS times" storm
check "the keepers have ended" wait_for 20 no_keeper
check "Xen knows of no mapped grant" test "$(grants_in_use)" = 0
check "dom0 has all its frames" all_back

# Of each kind one: map, copy, unmap and one more, in a PVH dom0 two.
least=8
[ "$GUEST_TYPE" = PVH ] && least=10
check "nothing stays when the daemon is killed before and after each hypercall" kill_at_each $least
sed 's/^/# /' "$CASE_DIR/check.out"

start_doomed
kill -KILL "$(keepers)"
check "the daemon ends without its keeper" wait_for 5 daemon_has_ended "$DAEMON"
check "and says why" grep 'keeper process has gone' "$CASE_DIR/daemon.log"
check "Xen knows of no mapped grant" test "$(grants_in_use)" = 0
check "dom0 has all its frames" all_back
