# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# lib.sh - the verbs of the test cases that run inside User-Mode Linux
#
# A case is a file cases/NAME.sh: dropping it there registers it. It is run by bash as root, with
# this file read in, the working directory a fresh $CASE_DIR, and every daemon it has started
# ended when it ends. Each fact it checks is one line of TAP. Its name need only be unique in the
# case.

unset BASH_ENV # it is how this file came to be read
BUILD=${BUILD:-$TOP/build}
HYPERVISOR=${HYPERVISOR:---sim}
declare -A daemon_node daemon_run_dir

# ok NAME, fail NAME WHY: one result
ok()
{
	echo "ok $CASE: $1"
}

fail()
{
	echo "not ok $CASE: $1 - ${*:2}"
}

# bail WHY: nothing further of this case makes sense
bail()
{
	fail bail "$*"
	exit 1
}

comment()
{
	[ -z "$1" ] || echo "#   ${1//$'\n'/$'\n'#   }"
}

# check NAME COMMAND...: COMMAND succeeds; what it printed is shown if not. It runs in this shell.
check()
{
	local status

	"${@:2}" >"$CASE_DIR/check.out" 2>&1
	status=$?
	if [ $status -eq 0 ]; then
		ok "$1"
	else
		comment "$(cat "$CASE_DIR/check.out")"
		fail "$1" "status $status from: ${*:2}"
	fi
	return $status
}

# check_output NAME PATTERN COMMAND...: COMMAND, however it ends, prints a line that matches
# PATTERN (extended regular expression)
check_output()
{
	"${@:3}" >"$CASE_DIR/check.out" 2>&1
	if grep -Eq -- "$2" "$CASE_DIR/check.out"; then
		ok "$1"
	else
		comment "$(cat "$CASE_DIR/check.out")"
		fail "$1" "no line with '$2' from: ${*:3}"
		return 1
	fi
}

# wait_for SECONDS COMMAND...: until COMMAND succeeds, asked every 10 ms. SECONDS are what it may take where nothing else
# runs; it is given three times that, and as much more as the machine is slower ($PACE, see tests/pace.sh).
wait_for()
{
	local end=$((${EPOCHREALTIME/./} + $1 * 3000000 * ${PACE:-1}))

	shift
	until "$@" >/dev/null 2>&1; do
		[ "${EPOCHREALTIME/./}" -lt $end ] || return 1
		busybox usleep 10000
	done
}

daemon_is_ready()
{
	[ -c "/dev/${daemon_node[$1]}" ] && [ -S "${daemon_run_dir[$1]}/${daemon_node[$1]/\//-}.ctl" ]
}

daemon_has_ended()
{
	! kill -0 "$1"
}

daemon_has_settled()
{
	daemon_is_ready "$1" || daemon_has_ended "$1"
}

# start_daemon [OPTION...]: on $HYPERVISOR, the one with sanitizers if $ASAN is set (not in User-Mode
# Linux: its address space is too small for them); sets $DAEMON to its process id and returns when its
# device and its sockets are there, of which gntdevctl's is the last. Its log is $CASE_DIR/daemon.log.
start_daemon()
{
	local option node=xen/gntdev run_dir=/run/cuse-gntdev

	for option in "$@"; do
		case $option in
		--name=*) node=${option#*=} ;;
		--run-dir=*) run_dir=${option#*=} ;;
		esac
	done
	"$BUILD/${ASAN:+asan/}cuse_gntdev" "$HYPERVISOR" "$@" >>"$CASE_DIR/daemon.log" 2>&1 &
	DAEMON=$!
	daemon_node[$DAEMON]=$node
	daemon_run_dir[$DAEMON]=$run_dir
	wait_for 20 daemon_has_settled $DAEMON
	daemon_is_ready $DAEMON || bail "the daemon has ended, or is not ready after 20 s"
}

# stop_daemon [PID]: by SIGTERM; it must end well, and leave nothing behind. To be called by check.
stop_daemon()
{
	local pid=${1:-$DAEMON} status left

	kill -TERM "$pid" && wait_for 20 daemon_has_ended "$pid" || return
	wait "$pid"
	status=$?
	left=$(ls -d "/dev/${daemon_node[$pid]}" "${daemon_run_dir[$pid]}/${daemon_node[$pid]/\//-}".* 2>/dev/null)
	[ -z "$left" ] || echo "left behind:" "$left"
	unset "daemon_node[$pid]"
	[ $status -eq 0 ] && [ -z "$left" ]
}

# client PROGRAM...: with the preload object, as gntdev-run starts it
client()
{
	"$BUILD/gntdev-run" "$@"
}

end_case()
{
	local pid

	for pid in "${!daemon_node[@]}"; do
		kill -KILL "$pid" && wait "$pid"
	done 2>/dev/null
}
trap end_case EXIT
