# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# toolstack.sh - for cases that need Xen's own toolstack, or a booted guest: to be read in by them
#
# The device that the toolstack runs on is there first: the kernel's (kernel_driver_on) or ours
# (start_daemon). With ours, its daemons get the preload object as any client does.

guests=0

# toolstack_start: Debian's xenstored and xenconsoled, for the rest of the case
toolstack_start()
{
	local preload=

	grep -q '^xen_gntdev ' /proc/modules || preload=$BUILD/libgntdev-mmap.so
	# Unchanged programs, in the target's own root file system.
	ours=(env LD_PRELOAD="$preload")
	toolstack "${ours[@]}" xenstored --pid-file /run/xenstored.pid &&
		wait_for 20 toolstack xenstore-ls /tool &&
		toolstack xen-init-dom0 &&
		toolstack "${ours[@]}" xenconsoled --pid-file=/run/xenconsoled.pid --log=guest \
			--log-dir="${CASE_DIR}" &&
		wait_for 20 test -s /run/xenconsoled.pid
}

# toolstack_stop: the guests go first
toolstack_stop()
{
	local name

	for ((; guests > 0; guests--)); do
		toolstack xl destroy "guest$guests" 2>/dev/null
	done
	for name in xenconsoled xenstored; do
		[ -s /run/$name.pid ] && kill "$(cat /run/$name.pid)" &&
			wait_for 20 daemon_has_ended "$(cat /run/$name.pid)"
		rm -f /run/$name.pid
	done 2>/dev/null
}
trap 'toolstack_stop; end_case' EXIT

store() { toolstack xenstore-read "/local/domain/$GUEST/$1"; }

guest_is_ready() { [ "$(store data/answer)" = "0 ready" ]; }

# Xen's toolstack takes it out of xenstore when it dies.
guest_has_settled() { guest_is_ready || ! store domid; }

# guest_start pv|pvh: boots a guest, and returns when it answers; $GUEST is its number. Wanting more
# than one, a case keeps the numbers.
guest_start()
{
	local config=/tmp/guest$((++guests)).cfg

	cat >$config <<-END
		name = "guest$guests"
		type = "$1"
		kernel = "/guest/vmlinux"
		ramdisk = "/guest/initrd"
		cmdline = "console=hvc0 quiet mitigations=off panic=-1"
		memory = 160
		vcpus = 1
		on_reboot = "destroy"
		on_crash = "destroy"
	END
	toolstack xl create $config || return
	GUEST=$(toolstack xl domid "guest$guests")
	questions=0
	# Asking costs the guest time.
	wait_for 60 eval 'guest_has_settled || { usleep 700000; false; }'
	guest_is_ready || { toolstack xl list; tail -n 5 "$CASE_DIR/guest-guest$guests.log"; return 1; }
}

# guest_end [NUMBER]: destroyed, as a crash would end it
guest_end()
{
	toolstack xl destroy "${1:-$GUEST}"
}

guest_has_answered()
{
	answer=$(store data/answer)
	[ "${answer%% *}" = "$questions" ]
}

# ask COMMAND...: what guest $GUEST is to do (see guest/guest.c) and its answer, in $ANSWER
ask()
{
	questions=$((questions + 1))
	toolstack xenstore-write "/local/domain/$GUEST/data/ask" "$questions $*" || return
	wait_for 30 guest_has_answered || { echo "guest $GUEST does not answer: $*"; return 1; }
	ANSWER=${answer#* }
	echo "$ANSWER"
	[[ $ANSWER != error* ]]
}
