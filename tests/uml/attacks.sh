# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# attacks.sh - an honest client beside others that mean no good; read in by a case, after lib.sh
#
# Another attack is a line in the table: its name, the user that the honest client is (root's mmaps come by ioctl,
# others' by the window socket), and the command that makes it, which says "ready" when it is at it and goes on
# until it is killed.
declare -A attack=() attack_beside=()
attack_names=()
while read -r name beside command; do
	[ -n "$name" ] || continue
	attack_names+=("$name")
	attack_beside[$name]=$beside
	attack[$name]=$command
done <<END
uffd          0    $BUILD/tests/uml/attacks uffd
uffd_opens    0    $BUILD/tests/uml/attacks uffd_opens
uffd_users    0    $BUILD/tests/uml/attacks uffd_users
signals       0    $BUILD/tests/uml/attacks signals
killed        0    $BUILD/tests/uml/attacks killed
stopped       0    $BUILD/tests/uml/attacks stopped
fuse_pages    0    $BUILD/tests/uml/attacks fuse_pages
fuse_lock     0    $BUILD/tests/uml/attacks fuse_lock
populate_lock 0    $BUILD/tests/uml/attacks populate_lock
vmas          0    $BUILD/tests/uml/attacks vmas
copies        0    $BUILD/tests/uml/attacks copies
large         0    $BUILD/tests/uml/attacks large
closes        0    $BUILD/tests/uml/attacks closes
refused       1000 $BUILD/tests/uml/crowds refused
ends          1000 $BUILD/gntdev-run $BUILD/tests/uml/crowds ends ${ATTACK_ENDS:-1000}
silent        1000 $BUILD/tests/uml/crowds silent
unread        1000 $BUILD/tests/uml/crowds unread
flood         1000 $BUILD/tests/uml/crowds flood
flood_all     1000 $BUILD/tests/uml/crowds flood_all
END
# References for attacks: 199 times 128 windows, as one can be mapped to read.
export ATTACK_REFS=199

# For hangs, of which the least was half a second; on one processor that all share, and that has less to give where the
# machine has other work.
attack_bound_us=${ATTACK_BOUND_US:-$((${PACE:-1} * 1000000))}
# An honest client beside each.
attack_seconds=${ATTACK_SECONDS:-1}

# run_honest FILE [USER]: what the calls of an honest client take, to FILE
run_honest()
{
	timeout $((attack_seconds + 60)) "$BUILD/gntdev-run" "$BUILD/tests/uml/honest" "$attack_seconds" 1 "$honest_ref" "${2:-0}" \
		>"$1" || {
		cat "$1"
		return 1
	}
}

# start_honest: a page for the honest client, and others for attacks; whoever wants may open the device
start_honest()
{
	rm -f granter.in
	mkfifo granter.in
	"$BUILD/gntdev-run" "$BUILD/examples/granter" -n $((1 + ATTACK_REFS)) 0 <granter.in >granter.out 2>&1 &
	# Held open: the granter ends with its input.
	# shellcheck disable=SC2034
	exec {granter_in}>granter.in
	wait_for 5 grep -q refs granter.out
	honest_ref=$(sed -n 's/refs: \([0-9]*\) .*/\1/p' granter.out)
	export ATTACK_REF=$((honest_ref + 1))
	chmod 666 /dev/xen/gntdev
	echo 1 >/proc/sys/vm/unprivileged_userfaultfd
}

# print_times NAME FILE: as "NAME_CALL_WHAT VALUE us"
print_times()
{
	awk -v name="$1" 'NF == 4 { print "# " name "_" $1 "_" $2, $3, $4 }' "$2"
}

# is_bounded FILE: no call took longer than it may
is_bounded()
{
	awk -v bound="$attack_bound_us" '$2 == "worst" && $3 > bound { print $1, $3, $4; bad = 1 } END { exit bad }' "$1"
}

# run_attack NAME [AS]: its results are called AS
run_attack()
{
	local pid name=${2:-$1}

	# A process group of its own. With a server of files by FUSE its clients end, which User-Mode Linux needs.
	# shellcheck disable=SC2086
	setsid ${attack[$1]} >"$name.attack" 2>&1 &
	pid=$!
	if ! wait_for 120 grep -q ready "$name.attack"; then
		comment "$(cat "$name.attack")"
		fail "$name" "it does not work here"
		kill -KILL -- -$pid
		return 1
	fi
	check "$name: an honest client's calls succeed" run_honest "$name.times" "${attack_beside[$1]}"
	check "$name: and take no longer than they may" is_bounded "$name.times"
	print_times "$name" "$name.times"
	kill -KILL -- -$pid
	check "$name: who attacks can be killed" wait_for 10 daemon_has_ended $pid && wait $pid 2>/dev/null
}
