# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Rules and limits, for real users and through the real kernel; SIGHUP with a good file and with a broken one.
bin=/tmp/policy-case conf=$CASE_DIR/conf
# A copy: the checkout may lie where nobody else may go (/root).
mkdir -p $bin && cp "$BUILD"/{gntdev-run,libgntdev-mmap.so,examples/mapper} $bin
chmod -R a+rX $bin

# as UID[:GID] COMMAND...: with no other group
as()
{
	setpriv --reuid="${1%:*}" --regid="${1#*:}" --clear-groups $bin/gntdev-run "${@:2}"
}

# reload PATTERN: after SIGHUP the log has one more line like that
lines() { grep -Ec -- "$1" "$CASE_DIR/daemon.log"; }
said() { [ "$(lines "$1")" -gt "$2" ]; }
reload()
{
	local before

	before=$(lines "$1")
	kill -HUP "$DAEMON"
	wait_for 5 said "$1" "$before"
}

"$BUILD/cuse_gntdev" --sim --config="$conf" >broken.log 2>&1
check_output "a file that was named has to be there" "policy: $conf: No such file" cat broken.log
echo 'rule "x" { action = alow }' >"$conf"
chmod 666 "$conf"
check_output "a file that anybody may write" 'others than the owner can write' \
	timeout 10 "$BUILD/cuse_gntdev" --sim --config="$conf"
chmod 644 "$conf"
check_output "a broken file: it does not start" 'conf:1: action "alow": allow, deny or read-only is wanted' \
	timeout 10 "$BUILD/cuse_gntdev" --sim --config="$conf"
echo 'limit { pages = 0 }' >>"$conf"
timeout 10 "$BUILD/cuse_gntdev" --sim --config="$conf" >broken.log 2>&1
check_output "two mistakes: both are told" 'policy: .*conf:2: limit pages = "0": a number' cat broken.log
check_output "and how many there are" 'conf:1: action "alow": .* \(and 1 more\)$' cat broken.log

cat >"$conf" <<END
limit { pages_per_user = 4 }
rule "nobody" { user = nobody  action = deny }
rule "readers" { group = 1234  domid = 1-5  action = read-only }
END
mkdir "$conf.d"
echo 'rule "members" { group = 1235 action = allow } rule "others" { user = 1002 domid = 1 action = deny }' >"$conf.d/10.conf"
start_daemon --config="$conf"
chmod 666 /dev/xen/gntdev
coproc GRANTER { client "$BUILD/examples/granter" -n 5 0; }
granter=${GRANTER[1]}
read -r _ a b c d e <&"${GRANTER[0]}"

check_output "root is in no rule" 'mapped 2 pages' client "$BUILD/examples/mapper" 1 "$a" "$b"
check_output "a user is denied" 'mapper: cannot map.*: Operation not permitted' as 65534:65534 $bin/mapper 1 "$a"
check_output "another one is not" 'mapped 1 pages' as 1001:1001 $bin/mapper 1 "$a"
check_output "a reader may read" 'mapped 1 pages of domain 1, read-only' as 1001:1234 $bin/mapper -r 1 "$a"
check_output "but not write" 'Operation not permitted' as 1001:1234 $bin/mapper 1 "$a"
check_output "a rule of the directory" 'Operation not permitted' as 1002:1002 $bin/mapper 1 "$a"
check_output "the group before it" 'mapped 1 pages' as 1002:1235 $bin/mapper 1 "$a"
check_output "four pages are within the limit" 'mapped 4 pages' as 1001:1001 $bin/mapper 1 "$a" "$b" "$c" "$d"
check_output "five are not" 'No space left on device' as 1001:1001 $bin/mapper 1 "$a" "$b" "$c" "$d" "$e"
check_output "the log names rule, file and line" 'rule "nobody" \(.*/conf:2\) denies domain 1 \(EPERM\)' cat daemon.log
check_output "and the limit" 'limit "pages_per_user" is reached \(ENOSPC\)' cat daemon.log

mkfifo go
client "$BUILD/tests/uml/pending" hold <go >hold.out &
holder=$!
exec {go}>go
wait_for 5 grep -q holding hold.out

echo 'rule "broken" { action = }' >"$conf.d/20.conf"
check "a broken file is refused" reload 'conf.d/20.conf:1: .*: the old one stays in force'
check_output "the old rules stay: who was denied" 'Operation not permitted' as 65534:65534 $bin/mapper 1 "$a"
check_output "and who was not" 'mapped 1 pages' as 1001:1001 $bin/mapper 1 "$a"
echo 'rule "everybody" { action = deny }' >"$conf.d/20.conf"
check "a good one takes its place" reload 'policy: 5 rules are in force'
check_output "for root, too" 'Operation not permitted' client "$BUILD/examples/mapper" 1 "$a"
echo >&"$go"
wait "$holder"
check_output "what was mapped stays" '^hold: still there' cat hold.out
rm -r "$conf" "$conf.d"
: >"$conf"
check "an empty file allows everything" reload 'policy: 0 rules are in force'
check_output "to everybody, beyond the limits of before" 'mapped 5 pages' as 65534:65534 $bin/mapper 1 "$a" "$b" "$c" "$d" "$e"
exec {granter}>&-
check "the daemon ends well" stop_daemon
