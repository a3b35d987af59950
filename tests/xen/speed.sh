#!/bin/bash
# SPDX-License-Identifier: MIT
#
# speed.sh [-w] [-b BASE] COMBO...   the figures of bench.sh on each of these combinations
# speed.sh -s COMBO...               some of them, and whether they are as they were: lines of TAP
#
# Instructions are counted (run.sh -i), and so figures are the same within 2 % (bulk in PVH: 5 %) whatever else this machine does. They tell
# nothing of what processors do to each other's caches and translations. With -w it is the time that passes.
#
# With -b figures that differ by 2 % and more from those of BASE are shown once more: BASE is a file, which is an earlier output of this,
# or a commit, whose daemon is built and measured first.
#
# With -s a ratio to the kernel's driver may be at most 10 % more than recorded/COMBO says. To record what is so now, copy
# build/xen/COMBO-speed/ratios there.
set -u
usage() { sed -n '4,5s/^# //p' "$0" >&2; exit 2; }
cd "$(dirname "$0")/../.." || exit 1

counted=-i base='' short=''
while getopts wb:s option; do
	case $option in
	w) counted='' ;;
	b) base=$OPTARG ;;
	s) short=yes ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || usage

[ -n "$counted" ] || export XEN_TEST_ROUNDS=${XEN_TEST_ROUNDS:-3}
# Of which there are ratios in recorded/.
SHORT='few cycle user bulk scattered copy'

# measure NAME COMBO [OPTION...]: by the program in build/, or as run.sh's OPTIONs say
measure()
{
	# shellcheck disable=SC2086 # an option or nothing
	tests/xen/run.sh -t 600 -n "$1" $counted "${@:3}" "$2" tests/xen/bench.sh
}

# build_commit COMMIT DIRECTORY
build_commit()
{
	[ -x "$2/build/gntdev-run" ] && return
	rm -rf "$2"
	mkdir -p "$2"
	git archive "$1" | tar -x -C "$2" &&
		make -C "$2" -j"$(nproc)" build/cuse_gntdev build/gntdevctl build/libgntdev-mmap.so build/gntdev-run >&2
}

# figures_of_base COMBO...: into $then
figures_of_base()
{
	local combo commit tree

	if [ -f "$base" ]; then
		cat "$base" >"$then"
		return
	fi
	commit=$(git rev-parse --verify -q "$base^{commit}") || { echo "speed.sh: $base is neither a file nor a commit" >&2; return 1; }
	tree=build/base/$commit
	build_commit "$commit" "$tree" || return
	for combo in "$@"; do
		measure base "$combo" -p "$PWD/$tree/build" >>"$then" || return
	done
}

show_changes()
{
	echo "# since $base, 2 % and more:"
	awk '
		/^#/ || NF != 3 { next }
		NR == FNR { then[$1] = $2; next }
		then[$1] > 0 {
			change = 100 * ($2 / then[$1] - 1)
			if (change >= 2 || change <= -2)
				printf "# %s was %s, is %s %s: %+.1f %%\n", $1, then[$1], $2, $3, change
		}' "$then" "$now"
}

full()
{
	local combo

	[ -z "$base" ] || figures_of_base "$@" || return
	[ -z "$counted" ] || echo "# instructions are counted, 500 in a us"
	for combo in "$@"; do
		measure bench "$combo" >"$dir/out"
		status=$?
		tee -a "$now" <"$dir/out"
		[ $status -eq 0 ] || return
	done
	[ -z "$base" ] || show_changes
}

# judge COMBO: ratios against those that are recorded; not those that are parts of others
judge()
{
	local recorded=tests/xen/recorded/$1 ratios=build/xen/$1-speed/ratios

	sed -n "s/^xen_\(.*\)_ratio\(.*\)_${1/-/_} \([0-9.e+-]*\) ratio$/\1\2 \3/p" "$dir/out" |
		grep -Ev '_cpu |map_per_page |copy_(in|out) ' >"$ratios"
	awk -v combo="$1" '
		/^#/ { next }
		NR == FNR { is[$1] = $2; next }
		{
			good = is[$1] > 0 && is[$1] <= 1.1 * $2
			printf "%s %s speed: %s is %s of what the driver takes; %s is recorded\n", good ? "ok" : "not ok", combo, $1,
				is[$1] "" ? is[$1] : "unknown", $2
		}' "$ratios" "$recorded"
}

short()
{
	local combo

	export XEN_TEST_BENCH=$SHORT
	for combo in "$@"; do
		measure speed "$combo" >"$dir/out" || { cat "$dir/out"; status=1; }
		judge "$combo" | tee "$dir/judged"
		! grep -q '^not ok' "$dir/judged" || status=1
	done
	return "${status:-0}"
}

dir=$(mktemp -d) status=0
then=$dir/then now=$dir/now
trap 'rm -rf "$dir"' EXIT
if [ -n "$short" ]; then
	short "$@"
else
	full "$@"
fi
