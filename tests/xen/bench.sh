#!/bin/bash
# SPDX-License-Identifier: MIT
#
# bench.sh - in dom0: the kernel's xen-gntdev and our daemon take turns at being measured
#
# Prints lines of name, value, unit:
#
#   xen_NAME_kernel_COMBO, xen_NAME_ours_COMBO   medians of the rounds
#   xen_NAME_ratio_COMBO                         ours / the kernel's, the median of each round's
#
#   map_ioctl, unmap_ioctl   one more at that many live maps of one descriptor, a number before COMBO
#   cycle                    libxengnttab: a page is mapped, touched and unmapped
#   cycle_user               the same by a process of uid 1000
#   step_*                   the same by its system calls
#   bulk_*_per_page          512 pages are mapped, each is touched, and they are unmapped
#   scattered_*_per_page     the same, by references that are far from each other in the granter's table
#   offset                   GET_OFFSET_FOR_VADDR among so many windows of one and two pages; the preload object may answer it
#   offset_asked             the same by a system call that the preload object does not see
#   copy                     GRANT_COPY of 64 pages; in, out, and both in one call (mixed)
#   data_copy                a speed: 64 MiB through mapped pages
#   *_cpu                    processor time of the client, or of the daemon, for one of these
#   base_*                   what the machine takes for a system call, for a switch between processes
#
# Where instructions are counted (speed.sh) a us is 500 of them, and one round tells all there is to know. Else the machine is slow,
# shares this one's processors, and its times are of use only in comparison with each other.
#
# All figures of each round are kept in figures.raw, with the daemon's log. XEN_TEST_BENCH says what is to be measured.
set -u
export CASE=bench CASE_DIR=/tmp/results/bench
mkdir -p "$CASE_DIR"
. "$TOP/tests/xen/lib.sh"

rounds=${XEN_TEST_ROUNDS:-1}
# Others take the kernel's driver half a minute, or the daemon: not in each round.
often='base few cycle user steps bulk scattered copy data'
once='base live cycle user steps bulk scattered offset copy data'
raw=$CASE_DIR/figures.raw
# Who is not root has to be let, for cycle_user.
echo 'pv_descriptor = any' >"$CASE_DIR/conf"

# figures ROUND WHO COMMAND...: what COMMAND prints, into $raw
figures()
{
	# What has just been started has things of its own to do at first.
	busybox sleep 2
	"${@:3}" >"$CASE_DIR/out" 2>"$CASE_DIR/err" || bail "$2: $(cat "$CASE_DIR/err")"
	sed "s/^/$1 $2 /" "$CASE_DIR/out" >>"$raw"
}

measure_kernel()
{
	kernel_driver_on
	chmod 666 /dev/xen/gntdev
	figures "$1" kernel "$CLIENTS/bench" "${@:2}"
	kernel_driver_off
}

measure_ours()
{
	start_daemon --config="$CASE_DIR/conf"
	chmod 666 /dev/xen/gntdev
	figures "$1" ours client "$CLIENTS/bench" -d "$DAEMON" "${@:2}"
	# shellcheck disable=SC2119
	stop_daemon || bail "the daemon has not ended well"
}

summary()
{
	awk -v combo="${COMBO/-/_}" '
		function median(list,   v, n, i, j, t) {
			n = split(list, v)
			for (i = 2; i <= n; i++)
				for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) {
					t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
				}
			return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
		}
		function show(name, who, list, unit) {
			if (list == "") return
			sub(/\*/, who, name)
			printf "xen_%s_%s %.5g %s\n", name, combo, median(list), unit
		}
		{
			if (!($3 in unit)) order[++names] = $3
			unit[$3] = $5
			if ($3 !~ /\*/) $2 = ""
			all[$2, $3] = all[$2, $3] " " $4
			if ($2 == "kernel") kernel[$1, $3] = $4
			else if (kernel[$1, $3] > 0) ratio[$3] = ratio[$3] " " $4 / kernel[$1, $3]
		}
		END {
			for (i = 1; i <= names; i++) {
				show(order[i], "", all["", order[i]], unit[order[i]])
				show(order[i], "kernel", all["kernel", order[i]], unit[order[i]])
				show(order[i], "ours", all["ours", order[i]], unit[order[i]])
				show(order[i], "ratio", ratio[order[i]], "ratio")
			}
		}' "$raw"
}

echo "# $(uname -r), $GUEST_TYPE dom0, rounds: $rounds: ratios are ours / kernel"
for ((i = 1; i <= rounds; i++)); do
	[ "$i" -eq 1 ] && works=$once || works=$often
	works=${XEN_TEST_BENCH:-$works}
	# shellcheck disable=SC2086 # words
	measure_kernel "$i" $works
	# shellcheck disable=SC2086
	measure_ours "$i" $works
done
summary
