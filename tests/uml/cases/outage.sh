# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# While no daemon lives: what ends a client then, and what does not (docs/differences.md). And the keeper, which is woken by no
# request.
voluntary() { sed -n 's/^voluntary_ctxt_switches:\t//p' "/proc/$1/status"; }
has_ended() { ! kill -0 "$1"; }
# In the kernel, where no signal reaches it; nobody has waited for it yet, so that it could be a zombie.
sleeps_for_good() { grep -qE '^State:.*(D \(disk|disk sleep)' "/proc/$1/status"; }
has_open() { [ "$(readlink "/proc/$1/fd/9")" = /dev/xen/gntdev ] && [ "$(cat "/proc/$1/comm")" = sleep ]; }
waits() { "$BUILD/gntdevctl" fault | grep -q '^1 operations wait$'; }

# Three clients: one in a call that a daemon has received, one that has the device open and makes none, one about to open it; then
# the daemon is killed, and they are. $received, $holds, $opens
kill_all()
{
	local killed=$DAEMON

	"$BUILD/gntdev-run" "$BUILD/tests/uml/pending" copy >copy.out 2>&1 &
	received=$!
	check "a call is in hand" wait_for 5 waits
	sleep 1000 9<>/dev/xen/gntdev &
	holds=$!
	check "and the device open" wait_for 5 has_open "$holds"
	kill -KILL "$killed"
	wait "$killed" 2>/dev/null
	unset "daemon_node[$killed]"
	sleep 1000 9<>/dev/xen/gntdev &
	opens=$!
	busybox usleep 300000
	kill -KILL "$received" "$holds" "$opens"
	check "SIGKILL ends one whose call nobody has received" wait_for 5 has_ended "$opens"
	busybox usleep 300000
	check "not one whose call was received" sleeps_for_good "$received"
	check "nor one that has the device open: its end is a call" sleeps_for_good "$holds"
}

have_ended() { has_ended "$received" && has_ended "$holds"; }

start_daemon --fault=copy:hold
kill_all
start_daemon
"$BUILD/gntdevctl" fault release >/dev/null
check "both end when another daemon serves" wait_for 10 have_ended
check "the daemon ends well" stop_daemon

start_daemon --fault=copy:hold --successor=3
kill_all
check "or when none has come in time" wait_for 20 have_ended
check "and all has ended" wait_for 10 test ! -e /dev/xen/gntdev -a ! -e /run/cuse-gntdev

start_daemon --sim-port=5:1
keeper=$(pidof cuse_gntdev-keeper)
client "$BUILD/tests/uml/cycles" 10 >/dev/null
before=$(voluntary "$keeper") thread=$(voluntary "$DAEMON")
check "the device is busy" client "$BUILD/tests/uml/cycles" 3000
after=$(voluntary "$keeper")
comment "3000 pages mapped and unmapped, $("$BUILD/gntdevctl" --json stats | grep -o '"events": *[0-9]*' | awk -F: '{ n += $2 } END { print n }') \
events: the keeper was woken $((after - before)) times, the daemon's first thread $(($(voluntary "$DAEMON") - thread))"
# Each further thread of the daemon's gives it a pipe.
check "the keeper is woken by no request" test $((after - before)) -le 40
check "the daemon ends well" stop_daemon
