# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The daemon ends, or its device is aborted, while clients are in the middle of things.
start_daemon --fault=copy:nth=1,delay_ms=600 --fault=map:nth=1,status=eagain,count=100000
coproc WAITER { client "$BUILD/tests/uml/pending" mmap; }
waiter=$WAITER_PID
read -r line <&"${WAITER[0]}"
busybox usleep 300000
kill -TERM "$DAEMON"
read -r line <&"${WAITER[0]}"
check_output "an mmap that waits for a page is answered at the end" '^mmap: errno 22$' echo "$line"
wait "$waiter"
check "the daemon ends well" wait "$DAEMON"
check "and promptly" wait_for 2 test ! -e /dev/xen/gntdev
unset "daemon_node[$DAEMON]"

start_daemon --fault=copy:nth=1,delay_ms=600
client "$BUILD/tests/uml/pending" copy >copy.out &
copier=$!
wait_for 5 grep -q pending copy.out
busybox usleep 200000
kill -TERM "$DAEMON"
wait "$copier"
check_output "a copy that is under way is answered" '^copy: errno 0, the buffer is changed$' cat copy.out
check "the daemon ends well then" wait "$DAEMON"
unset "daemon_node[$DAEMON]"

# Of faults that would wait for ever or for a day: the end, and release.
start_daemon --fault=copy:nth=1,hold --fault=copy:nth=1,delay_ms=86400000
client "$BUILD/tests/uml/pending" copy >copy.out &
copier=$!
waits() { "$BUILD/gntdevctl" fault | grep -q '^1 operations wait$'; }
check "a copy is held" wait_for 5 waits
check_output "fault release lets it go on" '^1 operations that waited go on$' "$BUILD/gntdevctl" fault release
wait "$copier"
check_output "and it is done then" '^copy: errno 0, the buffer is changed$' cat copy.out
check "another fault while it runs" "$BUILD/gntdevctl" fault add copy:hold
client "$BUILD/tests/uml/pending" copy >copy.out &
copier=$!
check "a second copy is held" wait_for 5 waits
kill -TERM "$DAEMON"
wait "$copier"
check_output "the end of the daemon lets it go on" '^copy: errno 0, the buffer is changed$' cat copy.out
check "the daemon ends well with an operation held" wait "$DAEMON"
unset "daemon_node[$DAEMON]"

start_daemon
mkfifo go
client "$BUILD/tests/uml/pending" hold <go >hold.out &
holder=$!
exec {go}>go
wait_for 5 grep -q holding hold.out
check "the daemon ends well with mappings alive" stop_daemon
echo >&"$go"
wait "$holder"
check_output "the mapping is readable afterwards" '^hold: still there, ioctl errno (107|103)$' cat hold.out

start_daemon --fault=copy:nth=1,delay_ms=600
client "$BUILD/tests/uml/pending" copy >copy.out &
copier=$!
wait_for 5 grep -q pending copy.out
busybox usleep 200000
echo 1 >'/sys/class/cuse/xen!gntdev/abort'
wait "$copier"
# The connection was dead when the copy came to write: nothing is written into anybody.
check_output "an aborted caller's memory is left alone" '^copy: errno 103, the buffer is as it was$' cat copy.out
wait "$DAEMON"
check "the daemon ends with an error" test $? -eq 1
check_output "and says why" 'has aborted a device of ours' cat daemon.log
unset "daemon_node[$DAEMON]"
