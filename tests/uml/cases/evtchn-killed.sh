# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The daemon is killed at each step of event channels, while clients use them: no event is lost, and nothing fails.
export GNTDEV_STEPS=$CASE_DIR/steps
truncate -s 4096 steps
BUILD=$BUILD/steps start_daemon
mkfifo go
exec {go}<>go
client "$BUILD/tests/uml/evtchn" busy <go >busy.out 2>&1 &
pid=$!
wait_for 10 grep -q ready busy.out

# word OFFSET NUMBER: of struct step_orders, base/step.h
word()
{
	printf '%b' "\\x$(printf %02x "$2")\\x00\\x00\\x00" | busybox dd of=steps bs=1 seek="$1" conv=notrunc 2>/dev/null
}

# die_at NUMBER: the daemon is to die when it is there for the third time
die_at()
{
	word 4 3
	word 0 "$1"
}

# Requests that were received: step 2 is reached once for each.
received() { od -An -t u8 -j 16 -N 8 steps | tr -d ' '; }
have_come() { [ "$(received)" -gt $((before + 30)) ]; }

sed -n 's/^\tX(\([a-z_]*\),.*/\1/p' "$TOP/base/step.h" >names
number=0 killed=0 missed=
while read -r name; do
	number=$((number + 1))
	case $name in
	evtchn_* | sim_event_* | sim_channel_* | recv_* | answer_*) ;;
	*) continue ;;
	esac
	die_at $number
	wait_for 2 daemon_has_ended "$DAEMON" || missed+=" $name"
	kill -KILL "$DAEMON"
	wait "$DAEMON"
	unset "daemon_node[$DAEMON]"
	BUILD=$BUILD/steps start_daemon
	killed=$((killed + 1))
	# A request that three daemons in a row have died with is given up: each gets on in between.
	before=$(received)
	wait_for 10 have_come
done <names 2>/dev/null
check "it was killed at each of $killed steps" test $killed -gt 15 -a -z "$missed" || comment "not reached:$missed"
echo go >&"$go"
wait_for 20 grep -q lost busy.out
grep -v ready busy.out
wait $pid
check "clients end" test $? = 0
check "the daemon ends well" stop_daemon
