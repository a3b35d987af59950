# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# More windows end at once than the kernel's queue of events holds: none is forgotten, none that is
# still held is given up.
usual=$(cat /proc/sys/fs/inotify/max_queued_events)
echo 50 >/proc/sys/fs/inotify/max_queued_events
start_daemon --verbose
held() { kill -USR1 "$DAEMON"; busybox usleep 20000; grep 'held:' daemon.log | tail -n 1 | grep -q "$1"; }

"$BUILD/gntdev-run" "$BUILD/tests/uml/burst" 20 >kept.out &
kept=$!
"$BUILD/gntdev-run" "$BUILD/tests/uml/burst" 2000 >burst.out &
burst=$!
check "two clients hold 2,020 windows" wait_for 60 grep -q mapped burst.out
wait_for 10 grep -q mapped kept.out
check "all are counted" held 'windows=2022 handles=2020'
kill -KILL $burst
wait $burst 2>/dev/null
start=${EPOCHREALTIME/./}
check "2,000 are gone, 20 are not" wait_for 5 held 'windows=21 handles=20 pins=20'
comment "after $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
busybox usleep 300000
check "and stay" held 'windows=21 handles=20 pins=20'
kill -KILL $kept
wait $kept 2>/dev/null
check "the rest goes too" wait_for 2 held 'windows=0 handles=0 pins=0'
check_output "the queue did overflow" 'dropped events of windows' cat daemon.log
check "the daemon ends well" stop_daemon
echo "$usual" >/proc/sys/fs/inotify/max_queued_events
