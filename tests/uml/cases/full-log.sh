# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A log that nobody takes: standard error is a full pipe. Nobody waits for it.
mkfifo daemon.log
exec 8<>daemon.log
start_daemon --verbose
mkfifo go
"$BUILD/gntdev-run" "$BUILD/examples/granter" 0 <go >granter.out 2>&1 &
granter=$!
exec 7>go
wait_for 5 grep -q refs granter.out
ref=$(sed -n 's/refs: //p' granter.out)

# Each open and each close is a line: more than the pipe takes, and the queue behind it.
fill()
{
	local i

	for ((i = 0; i < 1500; i++)); do
		: <>/dev/xen/gntdev
	done
}
check "opens go on when the log is full" fill
check "so do mmaps" timeout 20 "$BUILD/gntdev-run" "$BUILD/examples/mapper" 1 "$ref"
check_output "and what fails is told" 'bad_gntref' bash -c \
	"timeout 20 '$BUILD/gntdev-run' '$BUILD/examples/mapper' 1 4000; '$BUILD/gntdevctl' errors"
kill -KILL $granter
wait $granter 2>/dev/null
check "the daemon ends well, though nobody reads why" stop_daemon
timeout 2 cat <&8 >log.out
check_output "the lines that were taken are there" 'opened' cat log.out
