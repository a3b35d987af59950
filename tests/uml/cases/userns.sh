# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Rules and limits bind who goes into a user namespace of its own, whoever it is there.
bin=/tmp/userns-case conf=$CASE_DIR/conf
mkdir -p $bin && cp "$BUILD"/{gntdev-run,libgntdev-mmap.so,examples/mapper,tests/uml/pending} $bin
chmod -R a+rX $bin

# as OWNER USER DEPTH COMMAND...: as user USER (1 is 101000) of a namespace that OWNER has made
as()
{
	setpriv --groups=1500 --regid="$1" "$BUILD/tests/uml/userns" "$1" 101000 "$2" "$3" $bin/gntdev-run "${@:4}"
}

cat >"$conf" <<END
limit { pages_per_user = 3 }
rule "alice" { user = 1001  action = deny }
rule "carol" { user = 1003  action = allow }
END
start_daemon --config="$conf"
chgrp 1500 /dev/xen/gntdev /dev/xen/gntalloc
chmod 660 /dev/xen/gntdev /dev/xen/gntalloc
coproc GRANTER { client "$BUILD/examples/granter" -n 4 0; }
granter=${GRANTER[1]}
read -r _ a b c d <&"${GRANTER[0]}"

check_output "alice is denied" 'Operation not permitted' \
	setpriv --groups=1500 --regid=1001 --reuid=1001 $bin/gntdev-run $bin/mapper 1 "$a"
check_output "as herself in a user namespace, too" 'Operation not permitted' as 1001 0 0 $bin/mapper 1 "$a"
check_output "and as a subordinate user of hers" 'Operation not permitted' as 1001 1 0 $bin/mapper 1 "$a"
check_output "and in a namespace within it" 'Operation not permitted' as 1001 1 2 $bin/mapper 1 "$a"
check_output "bob's may map" 'mapped 1 pages' as 1002 1 0 $bin/mapper 1 "$a"
check_output "from within, too" 'mapped 1 pages' as 1002 2 3 $bin/mapper 1 "$a"

# Two users of bob's, three pages for them together.
mkfifo go
as 1002 1 0 $bin/pending hold <go >hold.out &
holder=$!
exec {go}>go
wait_for 5 grep -q holding hold.out
check_output "what one of his users holds counts for the next" 'No space left on device' as 1002 2 0 $bin/mapper 1 "$a" "$b" "$c"
check_output "but not for carol's of the same number" 'mapped 3 pages' as 1003 2 0 $bin/mapper 1 "$a" "$b" "$c"
check_output "stats tell whose they are" '^  101000 of 1002 ' "$BUILD/gntdevctl" stats
check_output "explain, too" 'user 101000 in a user namespace of 1002,' "$BUILD/gntdevctl" policy explain --domid=1 \
	--pid="$("$BUILD/gntdevctl" list --opens --json | sed -n 's/.*"pid": *\([0-9]*\).*"command": *"pending".*/\1/p')"
echo >&"$go"
wait $holder
check_output "then there is room" 'mapped 3 pages' as 1002 2 0 $bin/mapper 1 "$a" "$b" "$c"
check_output "and not more" 'No space left on device' as 1002 2 0 $bin/mapper 1 "$a" "$b" "$c" "$d"
exec {granter}>&-
check "the daemon ends well" stop_daemon
