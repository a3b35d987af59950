# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# 10,000 map cycles and 1,000 clients killed at random points: nothing is left, and the daemon does not grow.
start_daemon --sim-port=5:1

# report: what the daemon holds, as name=value pairs
report()
{
	local lines

	lines=$(grep -c 'held:' daemon.log)
	kill -USR1 "$DAEMON"
	wait_for 5 eval "[ \$(grep -c 'held:' daemon.log) -gt $lines ]" || bail "no report"
	grep 'held:' daemon.log | tail -n 1
}

resident() { awk '/^RssAnon/ { print $2 }' "/proc/$DAEMON/status"; }
# Workers, of which there are more where more was to be done at a time, have a pipe each.
descriptors() { find "/proc/$DAEMON/fd" -type l ! -lname 'pipe:*' | wc -l; }
pipes() { find "/proc/$DAEMON/fd" -lname 'pipe:*' | wc -l; }
threads() { find "/proc/$DAEMON/task" -mindepth 1 -maxdepth 1 | wc -l; }
nothing_held() { report | grep -q 'opens=0 maps=0 windows=0 handles=0 pins=0 grants=0 frames=0 ports=0'; }
only_our_files() { [ "$(ls /run/cuse-gntdev/xen-gntdev.windows)" = machine ]; }

# What is allocated or opened once, and the C library's arenas for threads, is there after the first thousand of each.
# (The node is there before the daemon's last threads and their descriptors are.)
client "$BUILD/tests/uml/cycles" 1000
client "$BUILD/tests/uml/killed" 1000
wait_for 2 nothing_held
before=$(resident)
fds=$(descriptors)
client "$BUILD/tests/uml/cycles" 10000
wait_for 2 nothing_held
check "nothing is held after 10,000 cycles" nothing_held
after=$(resident)
comment "resident: $before KiB before, $after KiB after"
check "the daemon has not grown by more than 5 %" test $((after * 100)) -le $((before * 105))
client "$BUILD/tests/uml/killed" 1000
wait_for 2 nothing_held
check "nothing is held after 1,000 killed clients" nothing_held
comment "$(report)"
check "no window file is left" only_our_files
check "no descriptor is left" test "$(descriptors)" -eq "$fds"
check "nor a pipe that is no thread's" test "$(pipes)" -le $((2 * $(threads)))
# Each client that was killed before its mmap leaves an entry: the list of failures fills up, and is full at 512.
killed=$(resident)
comment "resident: $after KiB before, $killed KiB after"
check "nor by more than the list of failures" test $((killed * 100)) -le $((after * 105 + 100 * 300))
check "the daemon ends well" stop_daemon
