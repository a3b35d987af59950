# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Real clients, unchanged: Debian's xenstored and xenconsoled run on our device, and guests with them,
# whose pages are then mapped. $XEN_TEST_DEVICE=kernel: on the kernel's device, where all passes as well.
. "$TOP/tests/xen/held.sh"
. "$TOP/tests/xen/toolstack.sh"

DEVICE=${XEN_TEST_DEVICE:-ours}
PAGES=100
KILLS=${XEN_TEST_REPLACED:-3}
# Guests of both types in dom0s of both types with Debian 12. Debian 13's take twice as long to boot: the
# other type than dom0's.
case $COMBO in
debian13-pv) guests_of="pvh" ;;
debian13-pvh) guests_of="pv" ;;
*) guests_of="pv pvh" ;;
esac

# xl console, on a terminal: a command is typed, what the guest's shell makes of it comes out.
console_answers()
{
	local pid status out=$CASE_DIR/console.out

	rm -f /tmp/keys
	mkfifo /tmp/keys
	export -f toolstack
	SHELL=/bin/bash script -qfc "toolstack xl console $GUEST" /dev/null </tmp/keys >"$out" 2>&1 &
	pid=$!
	exec 5>/tmp/keys
	echo >&5
	# shellcheck disable=SC2016 # for the guest's shell
	wait_for 20 grep -q 'guest#' "$out" && echo 'echo sum $((40+2)) $(uname -s)' >&5 &&
		wait_for 20 grep -q 'sum 42 Linux' "$out"
	status=$?
	# Control-] ends xl console.
	printf '\035' >&5
	wait_for 10 daemon_has_ended $pid || { status=1; echo "xl console does not end"; kill -KILL $pid; }
	exec 5>&-
	wait $pid
	cat "$out"
	return $status
}

store_works_inside()
{
	ask "sh xenstore-write data/inside 'written inside' && xenstore-read domid && xenstore-ls data" &&
		[[ $ANSWER == "$GUEST"*inside*"written inside"* ]] && [ "$(store data/inside)" = "written inside" ]
}

xen_counts()
{
	local n

	n=$(grants_in_use)
	[ "$n" = "$1" ] || { echo "$n grants are mapped"; cat "$CASE_DIR/grants"; return 1; }
}

# held_are N: so many grants of guests are mapped, as the daemon has it and as Xen has it
held_are()
{
	[ "$DEVICE" != ours ] || holds "handles=$1" || return
	xen_counts "$1"
}

on_device()
{
	if [ "$DEVICE" = ours ]; then client "$@"; else "$@"; fi
}

hex() { printf %s "$1" | od -An -tx1 | tr -d ' \n'; }

is_answered() { ask peek "$1" 1024 "$((5 + ${#1}))" && [ "$ANSWER" = "$(hex "seen $1")" ]; }

# Pages that the guest's program shares, and an event channel of its: it has to see and hear it all.
visit()
{
	local port

	ask port && port=$ANSWER && ask share $PAGES || return
	# shellcheck disable=SC2086 # references
	on_device "$CLIENTS/visitor" "$GUEST" "$port" $ANSWER || return
	wait_for 5 eval "ask events $port && [ \$ANSWER = 1 ]" || { echo "events: $ANSWER"; return 1; }
	is_answered 0 && is_answered $((PAGES - 1)) && ask peek $((PAGES - 1)) 2048 1 && [ "$ANSWER" = 00 ]
}

ready_lines() { grep -c 'is ready' "$CASE_DIR/daemon.log"; }

# replace_daemon N: it is killed so many times, and another one takes over; each third time it is upgraded: that is another program
replaced=0
replace_daemon()
{
	local i ready

	for ((i = 0; i < $1; i++)); do
		ready=$(ready_lines)
		kill -KILL "$DAEMON"
		wait "$DAEMON"
		unset "daemon_node[$DAEMON]"
		if ((++replaced % 3)); then start_daemon; else BUILD=$BUILD/steps start_daemon; fi
		wait_for 20 more_than "$ready" ready_lines || return
	done
}

# Neither the toolstack nor the guest takes notice of it.
survive()
{
	[ "$DEVICE" = ours ] || return 0
	check "$1 guest: the daemon is killed $KILLS times, and replaced or upgraded" replace_daemon "$KILLS" || return
	check "$1 guest: its two rings are mapped still" held_are 2
	check "$1 guest: its console answers still" console_answers
	check "$1 guest: xenstore works from inside still" store_works_inside
}

with_guest()
{
	check "$1 guest: it boots up to its shell" guest_start "$1" || return
	check "$1 guest: its console answers" console_answers
	check "$1 guest: xenstore works from inside" store_works_inside
	check "$1 guest: its two rings are mapped" held_are 2
	survive "$1"
	check "$1 guest: sees what is written to $PAGES pages of its, and hears of their end" visit
	check "$1 guest: its two rings only are mapped" wait_for 5 held_are 2
	check "$1 guest: it is destroyed" guest_end
	check "$1 guest: no grant is mapped" wait_for 10 held_are 0
}

if [ "$DEVICE" = ours ]; then
	start_daemon
else
	kernel_driver_on
fi
check "xenstored and xenconsoled start" toolstack_start || bail "no toolstack"
for type in ${XEN_TEST_GUESTS:-$guests_of}; do
	with_guest "$type"
done
check "the toolstack ends" toolstack_stop
if [ "$DEVICE" = ours ]; then
	check "the daemon holds nothing" wait_for 5 holds_nothing
	check "the daemon ends well" stop_daemon
else
	kernel_driver_off
fi
