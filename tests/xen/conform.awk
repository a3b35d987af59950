# SPDX-License-Identifier: MIT
#
# awk -v where=debian12-pv -v table=FILE -f conform.awk differences KERNEL OURS
#
# Lays two walks side by side: "row | kernel | ours" to FILE, and one line of TAP for each row; where
# they differ, what both show stands above it.

BEGIN {
	FS = "\t"
	mode = where
	sub(/.*-/, "", mode)
}

function fail(row, why)
{
	print "not ok conform: " row " - " why
	failed++
}

# List of where a difference is, separated by commas.
function here(list,    part, n, i)
{
	n = split(list, part, ",")
	for (i = 1; i <= n; i++)
		if (part[i] == "both" || part[i] == mode || part[i] == where)
			return 1
	return 0
}

function show(row)
{
	print "#   kernel: " kernel[row]
	print "#   ours:   " ours[row]
}

FILENAME ~ /differences$/ {
	if ($0 !~ /^#/ && NF && here($2)) {
		accepted[$1] = $3
		reason[$1] = $4
		if (NF != 4 || $4 == "")
			fail($1, "differences: not four fields")
	}
	next
}

FILENAME == ARGV[2] { kernel[$1] = $2; order[++rows] = $1; next }

{ ours[$1] = $2 }

END {
	for (i = 1; i <= rows; i++) {
		row = order[i]
		print row " | " kernel[row] " | " (ours[row] == kernel[row] ? "the same" : ours[row]) >table
		if (!(row in ours)) {
			fail(row, "the walk on ours ended before it")
		} else if (ours[row] == kernel[row]) {
			if (row in accepted)
				fail(row, "listed as a difference, but there is none")
			else
				print "ok conform: " row
		} else {
			show(row)
			if (!(row in accepted))
				fail(row, "differs")
			else if (accepted[row] != ours[row])
				fail(row, "differs, but not as listed: " accepted[row])
			else
				print "ok conform: " row " (differs: " reason[row] ")"
		}
	}
	for (row in ours)
		if (!(row in kernel))
			fail(row, "not walked on the kernel's")
	for (row in accepted)
		if (!(row in kernel))
			fail(row, "listed as a difference, but there is no such row")
	if (!rows)
		fail("rows", "none")
	exit failed != 0
}
