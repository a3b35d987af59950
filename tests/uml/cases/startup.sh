# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What stands in the daemon's way is said, with what to do about it; names are kept apart.
daemon() { timeout 10 "$BUILD/cuse_gntdev" --sim "$@"; }

check_output "an option that is none" 'workers=0: not a number from 1 to' daemon --workers=0
check_output "a fault that is none" 'error: --fault=map:statsu=eagain: .*statsu' daemon --fault=map:statsu=eagain
check_output "an argument" 'no arguments besides options' daemon here
check_output "two devices for the event channels of one domain" 'evtchn: domain 3 has two' daemon --evtchn=3 --evtchn=3:xen/other
check_output "a device for them of a name that is taken" 'evtchn: the names xen/gntdev and xen/gntdev are too much alike' daemon --evtchn=3:xen/gntdev
check_output "a name that is none" 'is no device name' daemon --name=../sda
check_output "the name of a kernel driver's device" 'belongs to a kernel driver: unload it' daemon --name=fuse
check_output "a run directory that cannot be" 'cannot make the run directory /nowhere/at/all' daemon --run-dir=/nowhere/at/all

check_output "a run directory that is relative" 'run-dir=here: an absolute path is wanted' daemon --run-dir=here
mkdir -m 777 /tmp/open
check_output "a run directory that anybody can write to" 'others can write to the directory \(mode 0777\).*chmod go-w' daemon --run-dir=/tmp/open
check_output "or one above it" '/tmp/open: others can write' daemon --run-dir=/tmp/open/run
check "nothing is left in it" test ! -e /tmp/open/run

echo 'rule "x" { action = alow }' >policy.conf
status_of() { daemon "$@" >/dev/null 2>&1; echo $?; }
check "a policy that is not right: a status by which systemd knows that it stays so" test "$(status_of --config=policy.conf)" = 78
check "--check says the same" test "$(status_of --check --config=policy.conf)" = 78
check_output "and why" 'policy.conf:1: action "alow"' daemon --check --config=policy.conf
check "Xen where there is none: the same" test "$(timeout 10 "$BUILD/cuse_gntdev" --check --xen >/dev/null 2>&1; echo $?)" = 78
echo 'limit { pages = 5 }' >policy.conf
check "--check of what is right starts nothing" daemon --check --config=policy.conf
check "no device, that is" test ! -e /run/cuse-gntdev

mkdir -p /dev/xen && touch /dev/xen/gntdev
check_output "a left-over file" '/dev/xen/gntdev exists and no driver is known to own it' daemon
rm /dev/xen/gntdev

# A copy: the checkout may lie where nobody else may go (/root), made under a umask that leaves others nothing.
install -m 755 "$BUILD/cuse_gntdev" "$BUILD/cuse_gntdev-keeper" /tmp
check_output "no permission" 'no permission to open /dev/cuse' \
	setpriv --reuid=65534 --clear-groups timeout 10 /tmp/cuse_gntdev --sim --run-dir=/tmp/nobody

umask 077
mkdir /run/empty
start_daemon --run-dir=/run/empty
check_output "a run directory of an operator's that is closed" 'users other than its owner cannot enter /run/empty' cat daemon.log
check "its daemon ends well" stop_daemon
check "and leaves what is not its own" test -d /run/empty
start_daemon
check "one that the daemon makes is open, whatever the umask" test "$(stat -c %a /run/cuse-gntdev)" = 755
check "the daemon ends well" stop_daemon
check "and takes it away" test ! -e /run/cuse-gntdev
umask 022
chmod 600 /dev/cuse
mv /dev/cuse /dev/cuse.away
check_output "no /dev/cuse" 'modprobe cuse' daemon
mv /dev/cuse.away /dev/cuse

start_daemon --sim-port=5:1
first=$DAEMON
check_output "a second instance" 'already served by another CUSE daemon' daemon
check "--check of what runs already finds nothing wrong" daemon --check --sim-port=5:1
check_output "a second instance in the same run directory" 'already served by another CUSE daemon|in use' \
	daemon --name=xen/other --granter=none --run-dir=/run/cuse-gntdev --granter=1:xen/gntalloc
start_daemon --name=xen/second --granter=2:xen/second-alloc
check "two daemons side by side" test -c /dev/xen/gntdev -a -c /dev/xen/second
check "the second ends well" stop_daemon
check "the first has not noticed" client "$BUILD/tests/uml/cycles" 1
DAEMON=$first
check "the first ends well" stop_daemon
"$BUILD/cuse_gntdev" --sim --sim-port=5:1 2>>daemon.log &
killed=$!
wait_for 10 test -S /run/cuse-gntdev/xen-gntdev.ctl
kill -KILL "$killed"
wait "$killed" 2>/dev/null
check "a killed daemon leaves its node and its socket" test -c /dev/xen/gntdev -a -S /run/cuse-gntdev/xen-gntdev.sock
check_output "a daemon with other options does not take over" 'other options: --sim-port=5:1, and this one with nothing' daemon
check_output "the doctor sees the keeper" 'the keeper holds what a daemon has left, for [1-9]' \
	"$BUILD/gntdevctl" doctor
start_daemon --sim-port=5:1
check "one with the same takes over" wait_for 5 grep -q 'clients of the last daemon, which died, go on' daemon.log
check "and works" client "$BUILD/tests/uml/cycles" 1
check "and ends well" stop_daemon
check "and leaves nothing" test ! -e /run/cuse-gntdev
start_daemon
keeper=$(pidof cuse_gntdev-keeper)
for signal in TERM INT HUP QUIT USR1 PIPE; do kill -$signal "$keeper"; done
check "the keeper is not ended by what ends daemons" kill -0 "$keeper"
check "nor when memory is short" grep -qx -- -1000 "/proc/$keeper/oom_score_adj"
check "nor with the daemon's session" test "$(ps -o sid= -p "$keeper" | tr -d ' ')" = "$keeper"
kill -KILL "$keeper"
check "without it the daemon ends" wait_for 5 daemon_has_ended "$DAEMON"
check "and says why" wait_for 5 grep -q 'keeper process has gone' daemon.log
check "and leaves nothing" test ! -e /run/cuse-gntdev
unset "daemon_node[$DAEMON]"
start_daemon --successor=0 --sim-port=5:1 --granter=3:xen/gntalloc
killed=$DAEMON
kill -KILL "$killed"
wait "$killed" 2>/dev/null
check "without a successor all ends" wait_for 20 test ! -e /dev/xen/gntdev -a ! -e /run/cuse-gntdev
echo '# nothing' >ender.conf
start_daemon --successor=0 --config=ender.conf
killed=$DAEMON
echo 'no such word' >ender.conf
kill -KILL "$killed"
wait "$killed" 2>/dev/null
check "also where the policy is broken, and somewhere else" wait_for 20 test ! -e /dev/xen/gntdev -a ! -e /run/cuse-gntdev
check "in order" test "$(grep -c 'ending for good' daemon.log) $(grep -c 'could not end it' daemon.log)" = "2 0"
check_output "there is nothing to be ended then" 'no daemon has left anything here' \
	"$BUILD/cuse_gntdev" --sim --end
check "what can be adopted is told" test "$("$BUILD/cuse_gntdev" --adopts | xargs)" = "1 2"
