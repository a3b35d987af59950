# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# attacks.sh - an honest client beside others that mean no good; read in by a case, after lib.sh
#
# Another attack is a line in the table: its name, and the command that makes it, which says "ready" when it is
# at it and goes on until it is killed.
declare -A attack=()
attack_names=()
while read -r name command; do
	[ -n "$name" ] || continue
	attack_names+=("$name")
	attack[$name]=$command
done <<END
uffd          $BUILD/tests/uml/attacks uffd
uffd_opens    $BUILD/tests/uml/attacks uffd_opens
uffd_users    $BUILD/tests/uml/attacks uffd_users
signals       $BUILD/tests/uml/attacks signals
killed        $BUILD/tests/uml/attacks killed
stopped       $BUILD/tests/uml/attacks stopped
fuse_pages    $BUILD/tests/uml/attacks fuse_pages
fuse_lock     $BUILD/tests/uml/attacks fuse_lock
populate_lock $BUILD/tests/uml/attacks populate_lock
vmas          $BUILD/tests/uml/attacks vmas
copies        $BUILD/tests/uml/attacks copies
large         $BUILD/tests/uml/attacks large
closes        $BUILD/tests/uml/attacks closes
silent        $BUILD/tests/uml/attacks silent
unread        $BUILD/tests/uml/attacks unread
END

# For hangs, of which the least was half a second; on one processor that all share.
attack_bound_us=${ATTACK_BOUND_US:-1000000}

# honest SECONDS: prints what its calls take
honest()
{
	"$BUILD/gntdev-run" "$BUILD/tests/uml/honest" "$1" 1 "$honest_ref"
}

# start_honest: a page for the honest client, which is root, and seven for others, who may open the device, too
start_honest()
{
	mkfifo granter.in
	"$BUILD/gntdev-run" "$BUILD/examples/granter" -n 8 0 <granter.in >granter.out 2>&1 &
	# Held open: the granter ends with its input.
	# shellcheck disable=SC2034
	exec {granter_in}>granter.in
	wait_for 5 grep -q refs granter.out
	honest_ref=$(sed -n 's/refs: \([0-9]*\) .*/\1/p' granter.out)
	export ATTACK_REF=$((honest_ref + 1)) # and the six behind it
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

# run_attack NAME SECONDS
run_attack()
{
	local pid

	# A process group of its own. With a server of files by FUSE its clients end, which User-Mode Linux needs.
	# shellcheck disable=SC2086
	setsid ${attack[$1]} >"$1.attack" 2>&1 &
	pid=$!
	if ! wait_for 20 grep -q ready "$1.attack"; then
		comment "$(cat "$1.attack")"
		fail "$1" "it does not work here"
		kill -KILL -- -$pid
		return 1
	fi
	check "$1: an honest client's calls succeed" timeout $(($2 + 60)) bash -c "$(declare -f honest)
		BUILD=$BUILD honest_ref=$honest_ref
		honest $2 >$1.times || { cat $1.times; exit 1; }"
	check "$1: and take no longer than they may" is_bounded "$1.times"
	print_times "$1" "$1.times"
	kill -KILL -- -$pid
	check "$1: who attacks can be killed" wait_for 10 daemon_has_ended $pid && wait $pid 2>/dev/null
}
