#!/bin/bash
# SPDX-License-Identifier: MIT
#
# demo.sh - unchanged clients of /dev/xen/gntdev at work, on the simulated hypervisor
#
# As root, where there is a /dev/cuse. `make demo` sees to that. The programs are ordinary ones on
# libxengnttab; domain 0 maps, domain 1 grants (that is what /dev/xen/gntalloc does here).
set -u
build=$(cd "$(dirname "$0")/../build" && pwd)
examples=$build/examples
log=$(mktemp)
status=0

say() { printf '\n--- %s\n' "$*"; }

# Show a command as a user would type it, run it.
run()
{
	echo "\$ gntdev-run ${*/#"$examples/"/}"
	"$build/gntdev-run" "$@" || { echo "!!! status $?"; status=1; }
}

start()
{
	echo "\$ cuse_gntdev --sim &"
	"$build/cuse_gntdev" --sim 2>"$log" &
	daemon=$!
	until [ -c /dev/xen/gntdev ] && [ -c /dev/xen/gntalloc ]; do
		kill -0 $daemon 2>/dev/null || { cat "$log"; exit 1; }
		sleep 0.05
	done
	cat "$log"
	ls -l /dev/xen
}

stop()
{
	kill -TERM $daemon
	wait $daemon || { echo "!!! the daemon ended with status $?"; status=1; }
	[ ! -e /dev/xen/gntdev ] || { echo "!!! /dev/xen/gntdev is still there"; status=1; }
}

# One program in the background, its first line in $answer. It goes on at the end of its input. (bash
# closes its own descriptors of a coprocess that has ended; a copy keeps what there is to read.)
background()
{
	echo "\$ gntdev-run ${*/#"$examples/"/} &"
	coproc BACKGROUND { exec "$build/gntdev-run" "$@"; }
	exec {from}<&"${BACKGROUND[0]}"
	to=${BACKGROUND[1]} background=$BACKGROUND_PID
	read -r answer <&"$from"
	echo "$answer"
}

background_ends()
{
	exec {to}>&-
	cat <&"$from"
	exec {from}<&-
	wait "$background" || { echo "!!! status $?"; status=1; }
}

say "The daemon makes /dev/xen/gntdev by CUSE: a real device node, and no kernel driver behind it."
start

say "Domain 1 grants three pages to domain 0, and says how they are called."
background "$examples/granter" -n 3 0
say "A program in domain 0 maps them, reads them and writes an answer. It is the same memory:"
# shellcheck disable=SC2086 # a list of references
run "$examples/mapper" 1 ${answer#refs:}
say "The granter, told to end, sees the answers."
background_ends

say "Two processes, a ring buffer in granted pages: once mapped, nobody is in the way."
background "$examples/ring" produce 0 64
run "$examples/ring" consume 1 "${answer#ref: }"
background_ends

say "A mapper is killed; the device tells its granter."
run "$examples/notify"

say "GRANT_COPY: copying to and from grants without mapping them."
run "$examples/copy"

say "Without gntdev-run the kernel says that CUSE devices have no mmap, and the log says what to do."
background "$examples/granter" 0
echo "\$ mapper 1 ${answer#refs: }"
"$examples/mapper" 1 "${answer#refs: }"
background_ends >/dev/null

say "The daemon ends. Nothing is left."
stop
tail -n +3 "$log"
rm -f "$log"
exit $status
