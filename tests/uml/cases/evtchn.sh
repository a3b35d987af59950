# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Event channels between domains 0 and 1 by stock libxenevtchn; the daemon is killed under their clients.
start_daemon
check "each domain has its node" test -c /dev/xen/evtchn -a -c /dev/xen/dom1/evtchn
client "$BUILD/tests/uml/evtchn"

mkfifo go
exec {go}<>go
client "$BUILD/tests/uml/evtchn" survive <go >survive.out &
pid=$!
wait_for 10 grep -q ready survive.out
kill -KILL "$DAEMON"
start_daemon
echo go >&"$go"
wait "$pid"
check "it goes on" test $? = 0
grep -v ready survive.out
check "the daemon ends well" stop_daemon
check "nodes that are not wanted are not made" start_daemon --evtchn=none
check "neither" test ! -e /dev/xen/evtchn
check "it ends well" stop_daemon
start_daemon --evtchn=7:xen/e7 --granter=none
check "a node of another name" test -c /dev/xen/e7 -a ! -e /dev/xen/evtchn
check "the last one ends well" stop_daemon
