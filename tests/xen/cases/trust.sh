# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Who may map: in a PV dom0 root, or whom pv_descriptor of the policy lets, with a descriptor for one domain.
. "$TOP/tests/xen/held.sh"

as_nobody() { client "$CLIENTS/trust" "$1" || fail "trust $1" "ended with status $?"; }

start_daemon
chmod 666 /dev/xen/gntdev
if [ "$GUEST_TYPE" = PV ]; then
	as_nobody refused
	check "the log says why" grep '"pv_descriptor" of the policy lets this user have no descriptor' "$CASE_DIR/daemon.log"
	as_nobody mixed
	check "the log says why not two domains" grep 'grants of several domains' "$CASE_DIR/daemon.log"
	check "the daemon ends well" stop_daemon
	echo 'pv_descriptor = any' >"$CASE_DIR/conf"
	start_daemon --config="$CASE_DIR/conf"
	chmod 666 /dev/xen/gntdev
	check "\"any\" is warned of" grep 'warning: pv_descriptor = any' "$CASE_DIR/daemon.log"
	as_nobody served
	as_nobody restricted
	check "the daemon ends well, again" stop_daemon
	echo 'rule "nobody" { user = 65534 action = allow pv_descriptor = yes }' >"$CASE_DIR/conf"
	start_daemon --config="$CASE_DIR/conf"
	chmod 666 /dev/xen/gntdev
	as_nobody served
	echo 'rule "nobody" { user = 65534 action = allow pv_descriptor = no }' >"$CASE_DIR/conf"
	kill -HUP "$DAEMON"
	check "SIGHUP reads another policy" wait_for 5 grep 'policy: 1 rules are in force' "$CASE_DIR/daemon.log"
	as_nobody refused
else
	as_nobody served
	as_nobody file
	as_nobody mixed
fi
check "the daemon holds nothing" wait_for 5 holds_nothing
check "the daemon ends well" stop_daemon
