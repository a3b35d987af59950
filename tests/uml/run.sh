#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh [-t SECONDS] [-m MIB] [-n NAME] SCRIPT [ARGUMENT...]
# run.sh [-t SECONDS] [-m MIB] -n NAME -r ROOT
#
# Boots User-Mode Linux, a real kernel with CUSE that needs neither root nor virtualisation, runs
# SCRIPT in it as root, and ends as SCRIPT ended. Takes about 3 s beyond SCRIPT's own time.
#
# The guest sees this machine's file system read-only through hostfs, at the same paths; /tmp, /run
# and /dev are its own. $UML_DIR (build/uml/NAME) is the one place it can write to that lasts: log
# (the whole console) and dmesg (the kernel's messages) are left there. SCRIPT's output is streamed.
#
# With -r the guest has the directory ROOT as its root file system and boots gntdev-test.service by
# the systemd it finds there. That prints what is to be streamed between lines "@@begin" and "@@end"
# on the console, and leaves status and dmesg in /test.
#
# The run fails too when the time is over (-t, 120 s; more on a slow or busy machine, see tests/pace.sh), when the
# kernel reports a fault of its own (Oops, BUG, WARNING, a stuck task) or when a sanitizer reports one. How many
# times as long things take here is $PACE in the guest, in /test/pace with -r.
set -u
usage() { sed -n '4,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }

seconds=120 mib=1024 name=run root=
while getopts t:m:n:r: option; do
	case $option in
	t) seconds=$OPTARG ;;
	m) mib=$OPTARG ;;
	n) name=$OPTARG ;;
	r) root=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || [ -n "$root" ] || usage

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
dir=$top/build/uml/$name
mkdir -p "$dir"
# Two boots with one directory would spoil each other's results.
exec 9>"$dir/lock"
flock -n 9 || { echo "run.sh: $dir is in use by another run" >&2; exit 2; }
rm -f "$dir"/{log,dmesg,status,job,alarm}
pace=$("$top/tests/pace.sh")

if [ -n "$root" ]; then
	results=$root/test
	echo "$pace" >"$results/pace"
	boot=(rootflags="$root" rw init=/sbin/init systemd.unit=gntdev-test.service
		systemd.show_status=0 systemd.mask=getty.target)
else
	results=$dir
	boot=(rootflags=/ ro init="$here/init.sh" UML_DIR="$dir" UML_TOP="$top")
	{
		printf 'export UML_DIR=%q PACE=%q PATH=%q\ncd %q\n' "$dir" "$pace" "$PATH" "$PWD"
		printf '%q ' "$@"
	} > "$dir/job"
fi

# UML's memory is a file that programs are run from: set $uml_dir to a directory where that can be, or $why to what is
# wrong with each. /dev/shm is the best, but in containers it is often small, and often cannot have programs.
find_place()
{
	local place free

	why=
	for place in /dev/shm ${TMPDIR:+"$TMPDIR"} /tmp /var/tmp "$top/build/uml"; do
		free=$(df --output=avail -m "$place" 2>/dev/null | tail -n 1 | tr -d ' ')
		if ! uml_dir=$(mktemp -d "$place/uml-XXXXXX" 2>/dev/null); then
			why+=", $place cannot be written to"
			continue
		elif [ "$free" -le "$mib" ]; then
			why+=", $place has $free MiB free"
		elif ! cp "$(type -P true)" "$uml_dir/true" || ! "$uml_dir/true"; then
			why+=", $place cannot have programs"
		else
			return 0
		fi 2>/dev/null
		rm -rf "$uml_dir"
	done
	return 1
}

if ! find_place; then
	echo "not ok uml-$name - no place for $mib MiB of memory: ${why#, }; set TMPDIR to one"
	exit 1
fi
export TMPDIR=$uml_dir

# On one processor: the host would otherwise move the guest's process between processors at each of
# its system calls, which makes a CUSE round trip 2 to 4 times slower.
processor=$(taskset -cp $$ | sed 's/.*[-, ]//')

# A session of its own, so that all its processes can be ended by the number of their group.
setsid taskset -c "$processor" env LD_PRELOAD="$top/build/uml-xstate.so" linux.uml mem="${mib}M" uml_dir="$uml_dir" \
	root=/dev/root rootfstype=hostfs "${boot[@]}" con=null con0=fd:0,fd:1 loglevel=4 \
	</dev/null >"$dir/log" 2>&1 9>&- &
uml=$!
"$top/tests/pace.sh" wait "$seconds" >"$dir/alarm" 9>&- &
alarm=$!

end()
{
	kill "$alarm" 2>/dev/null
	kill -KILL -- "-$uml" 2>/dev/null
	rm -rf "$uml_dir"
}
trap end EXIT
trap 'exit 130' INT TERM

# Only what SCRIPT prints, as it comes.
tail -n +1 -s 0.1 -F --pid="$uml" "$dir/log" 2>/dev/null 9>&- |
	sed -un 's/\r$//; /^@@begin$/,/@@end$/{/^@@/d; s/@@end$//; p}' &
stream=$!

wait -n "$uml" "$alarm"
kill "$alarm" 2>/dev/null
kill -KILL -- "-$uml" 2>/dev/null
wait "$uml" "$stream" 2>/dev/null

status=$(cat "$results/status" 2>/dev/null)
late=$(cat "$dir/alarm")
# The case that has begun and not ended, if it is cases that run.
during=$(tr -d '\r' <"$dir/log" | sed -n 's/^# case /, in case /p' | tail -n 1 | grep -v :)
kernel='Oops|BUG:|WARNING:|Kernel panic|blocked for more than'
{
	grep -aE "$kernel" "$results/dmesg"
	grep -a 'Kernel panic' "$dir/log"
	grep -ahrE '(Address|Leak|Thread)Sanitizer:|runtime error:' "$dir" "$results"
} 2>/dev/null | sort -u >"$dir.faults"
if [ -s "$dir.faults" ]; then
	sed 's/^/# /' "$dir.faults"
	echo "not ok uml-$name - fault reported, see $dir/log and dmesg"
	status=1
fi
if [ -n "$late" ]; then
	echo "not ok uml-$name - no end after $late$during, see $dir/log"
	status=1
elif [ -z "$status" ]; then
	tail -n 20 "$dir/log" | sed 's/^/# /'
	echo "not ok uml-$name - ended before its script did, see $dir/log"
	status=1
fi
exit "$status"
