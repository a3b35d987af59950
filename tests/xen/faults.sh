#!/bin/bash
# SPDX-License-Identifier: MIT
#
# faults.sh DIR - what went wrong in the run that left DIR, beside what the tests say themselves
#
# Faults that Xen and the kernel report on the serial line, in what case, but for those that the
# case has announced (see "complain" in lib.sh), and reports of the sanitizers.
dir=$1
kernel='Oops|BUG:|WARNING: CPU|kernel BUG|Kernel panic|Call Trace|blocked for more than|general protection|Bad page|rcu.*stall'
xen='domain_crash|Xen BUG|Xen call trace|Assertion|FATAL|Panic on CPU|grant_table\.c|mm\.c:|p2m.*\.c:|d[0-9v]+ (Attempt|Bad|Error)|[Oo]ut of maptrack'
{
	tr -d '\r' <"$dir/log" | awk -v kernel="$kernel" -v xen="$xen" '
		/@@case / { sub(/.*@@case /, ""); name = $0; count = 0; next }
		/@@complain / { sub(/.*@@complain /, ""); allowed[count++] = $0; next }
		$0 ~ kernel || (/\(XEN\)/ && $0 ~ xen) {
			for (i = 0; i < count; i++)
				if ($0 ~ allowed[i])
					next
			print name (name ? ": " : "") $0
		}'
	grep -aHE "$kernel" "$dir"/results/*/guest-*.log | sed "s|^$dir/results/||"
	grep -ahrE '(Address|Leak|Thread)Sanitizer:|runtime error:' "$dir/tap" "$dir/results"
} 2>/dev/null | awk '!seen[$0]++' | head -n 40
