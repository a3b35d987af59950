#!/bin/bash
# SPDX-License-Identifier: MIT
#
# survive.sh - how long clients wait when the daemon is killed, here and under User-Mode Linux, and what surviving costs here
#
# There need be no CUSE here: daemons serve on /dev/fuse, as bench/on_fuse.c tells, with keepers of their own. Mounts are made in a mount
# namespace that ends with this script. Daemons that are compared have one processor, together with the client. What
# surviving costs by instructions is bench/qemu.sh's.
set -u
cd "$(dirname "$0")/.." || exit 1
bench=$PWD/build/bench kills=${BENCH_KILLS:-50}
daemons=()

end()
{
	[ ${#daemons[@]} -eq 0 ] || kill "${daemons[@]}"
	wait
	umount -q -l "$dir"/*
	rm -rf "$dir"
}

# serve NAME PROGRAM: as the file $dir/NAME; its process is $!
serve()
{
	: >"$dir/$1"
	GNTDEV_FILE=$dir/$1 "$bench/$2" --sim --granter=none --evtchn=none --run-dir="$dir/$1.run" 2>>"$dir/log" &
	daemons+=($!)
	until [ -S "$dir/$1.run/xen-gntdev.ctl" ]; do
		kill -0 $! || return
		sleep 0.1
	done
}

outage()
{
	: >"$dir/outage"
	GNTDEV_FILE=$dir/outage "$bench/outage" outage_native "$kills" "$dir/outage" \
		"$bench/fuse_gntdev" --sim --granter=none --evtchn=none --run-dir="$dir/outage.run" 2>>"$dir/log"
}

cost()
{
	taskset -p -c 0 $BASHPID >/dev/null
	serve ours fuse_gntdev && serve plain fuse_plain_gntdev && serve control fuse_plain_gntdev &&
		"$bench/cost" survive cpu "$dir/ours" "${daemons[0]}" "$dir/plain" "${daemons[1]}" "$dir/control" "${daemons[2]}"
}

native()
{
	dir=$(mktemp -d)
	trap end EXIT
	trap 'exit 130' INT TERM
	outage && cost && return
	cat "$dir/log" >&2
	return 1
}

uml()
{
	echo "# User-Mode Linux"
	# shellcheck disable=SC2016 # the shell's there
	tests/uml/run.sh -t 120 -n outage sh -c '"$@" 2>"$UML_DIR/daemon.log"' sh \
		"$bench/outage" outage_uml "$kills" /dev/xen/gntdev "$PWD/build/cuse_gntdev" --sim
}

case ${1-} in
native) native ;;
'')
	if [ "$(id -u)" -eq 0 ] && [ -c /dev/fuse ]; then
		unshare -m --propagation private "$0" native || exit 1
	else
		echo "# not measured natively, which needs root and /dev/fuse: outage_native, survive"
	fi
	uml
	;;
*) sed -n '4s/^# //p' "$0" >&2; exit 2 ;;
esac
