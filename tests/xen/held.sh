# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# held.sh - for cases that look at what the daemon, Xen and dom0 hold: to be read in by them

# more_than NUMBER COMMAND...: COMMAND prints a larger one
more_than() { [ "$("${@:2}")" -gt "$1" ]; }

# held: the daemon's own report
held()
{
	local before log=$CASE_DIR/daemon.log

	before=$(grep -c 'held:' "$log")
	kill -USR1 "$DAEMON"
	wait_for 5 more_than "$before" grep -c 'held:' "$log"
	grep 'held:' "$log" | tail -n 1
}

# holds PATTERN...: the report has all of these
holds()
{
	local line word

	line=$(held)
	echo "$line"
	for word in "$@"; do
		[[ "$line " == *" $word "* ]] || return
	done
}

holds_nothing() { holds opens=0 maps=0 windows=0 handles=0 ports=0 away=0 quarantined=0; }

# grants_in_use: how many grants dom0 has mapped of other domains, as Xen has it: its report of
# active entries, which names for each the domain that has mapped it
grants_in_use()
{
	toolstack xl dmesg -c >/dev/null
	toolstack xl debug-keys g
	toolstack xl dmesg -c | tee "$CASE_DIR/grants" | grep -Ec '\[0x[0-9a-f]+\] +0 0x[0-9a-f]+ 0x0*[1-9a-f]'
}

frames() { "$CLIENTS/windows" frames; }

# less_memory: leave dom0 100 MiB to work with, so that it does not take long to fill its memory. The
# rest waits as huge pages, which are taken and given back at once. Not in a PV dom0, which has none.
less_memory()
{
	local free

	[ "$GUEST_TYPE" = PVH ] || return 0
	free=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
	[ "$free" -lt 120 ] || echo $(((free - 100) / 2)) >/proc/sys/vm/nr_hugepages
	awk '$1 ~ "HugePages_Total|MemAvailable" { print "# " $0 }' /proc/meminfo
}
