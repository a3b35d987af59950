#!/bin/bash
# SPDX-License-Identifier: MIT
#
# inside.sh - what run.sh's guest runs once it is up: the service's life under systemd
#
# Lines of TAP go to the console; dmesg, the journal and the exit status to /test.
exec >/dev/console 2>&1
node=/dev/xen/gntdev
service=cuse-gntdev.service
status=0

check()
{
	if "${@:2}" >/test/check.out 2>&1; then
		echo "ok systemd: $1"
	else
		sed 's/^/#   /' /test/check.out
		echo "not ok systemd: $1"
		status=1
	fi
}

wait_for()
{
	local end=$((SECONDS + $1))

	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

# Somebody with no other right than the group's, and somebody without even that.
nobody=(setpriv --reuid=nobody --regid=nogroup)
member=("${nobody[@]}" --groups=xen-gnt gntdev-run)
stranger=("${nobody[@]}" --clear-groups gntdev-run)

has_mode()
{
	[ "$(stat -c '%U:%G %a' "$1")" = "$2" ] || { stat "$1"; return 1; }
}

refused() { ! "$@"; }

starts()
{
	systemctl start $service || { journalctl -u $service; return 1; }
}

# A client that has something mapped is there when the service is stopped.
stops_under_a_client()
{
	"${member[@]}" /test/client 1000 >/test/client.out &
	client=$!
	wait_for 20 grep -q mapped /test/client.out || return 1
	systemctl stop $service
	kill $client
	wait $client 2>/dev/null
	systemctl show -p Result $service | grep -qx Result=success
}

leaves_nothing()
{
	local left

	left=$(ls -d $node /dev/xen/gntalloc /run/cuse-gntdev/*.windows 2>/dev/null; pidof cuse_gntdev)
	[ -z "$left" ] || { echo "left: $left"; return 1; }
}

main_pid() { systemctl show -P MainPID $service; }

has_successor_of() { [ "$(main_pid)" != 0 ] && [ "$(main_pid)" != "$1" ]; }

restarts_after()
{
	local old

	old=$(main_pid)
	kill "-$1" "$old"
	wait_for 40 has_successor_of "$old" && wait_for 20 systemctl is-active $service
}

stays_up()
{
	sleep "$1"
	systemctl is-active $service && [ "$(systemctl show -P NRestarts $service)" = 0 ]
}

result_was() { journalctl -u $service | grep -q "Failed with result '$1'"; }

drivers_module_is_barred() { modprobe --showconfig | grep '^install xen_gntdev ! systemctl'; }

# The kernel tells udev about the node; its rule runs a moment after the service is ready.
settled() { udevadm settle && has_mode "$1" "root:xen-gnt 660"; }

restart_quickly()
{
	mkdir -p /run/systemd/system/$service.d
	printf '[Service]\nWatchdogSec=2s\nTimeoutStopSec=5s\n' > /run/systemd/system/$service.d/test.conf
	systemctl daemon-reload
}

tests()
{
	check "the units are valid" systemd-analyze verify $service cuse-gntdev.socket
	restart_quickly
	check "the service starts" starts
	check "the node belongs to the group" settled $node
	check "the granter's node too" settled /dev/xen/gntalloc
	check "the socket is for everybody" has_mode /run/cuse-gntdev/xen-gntdev.sock "root:root 666"
	check "a client of root's works" gntdev-run /test/client
	check "a client of the group works" "${member[@]}" /test/client
	check "a stranger is refused" refused "${stranger[@]}" /test/client
	check "the watchdog is content for three of its times" stays_up 6
	check "it survives being killed" restarts_after KILL
	check "a client works after that" gntdev-run /test/client
	check "it is restarted when it hangs" restarts_after STOP
	check "the watchdog did that" result_was watchdog
	check "a client works after that too" gntdev-run /test/client
	check "it stops while a client holds a mapping" stops_under_a_client
	check "it leaves nothing behind" leaves_nothing
	check "it starts again" starts
	check "a client works again" gntdev-run /test/client
	check "it stops" systemctl stop $service
	check "it leaves nothing behind again" leaves_nothing
	check "the kernel's driver is kept away" drivers_module_is_barred
	check "its rating for exposure is good" \
		systemd-analyze security --threshold=25 --no-pager $service
}

# A line of its own: the console's control sequences may be in front of the first.
printf '\n@@begin\n'
tests
echo @@end
journalctl > /test/journal
dmesg > /test/dmesg
echo $status > /test/status
systemctl poweroff -ff
