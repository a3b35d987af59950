# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Who may map: in a PV dom0 root, or whoever --pv-trust=any lets, with a descriptor for one domain.
. "$TOP/tests/xen/held.sh"

as_nobody() { client "$CLIENTS/trust" "$1" || fail "trust $1" "ended with status $?"; }

start_daemon
chmod 666 /dev/xen/gntdev
if [ "$GUEST_TYPE" = PV ]; then
	as_nobody refused
	check "the log says why" grep 'only root may map in a PV dom0' "$CASE_DIR/daemon.log"
	as_nobody mixed
	check "the log says why not two domains" grep 'grants of several domains' "$CASE_DIR/daemon.log"
	check "the daemon ends well" stop_daemon
	start_daemon --pv-trust=any
	chmod 666 /dev/xen/gntdev
	check "--pv-trust=any is warned of" grep 'warning: --pv-trust=any' "$CASE_DIR/daemon.log"
	as_nobody served
	as_nobody restricted
else
	as_nobody served
	as_nobody file
	as_nobody mixed
fi
check "the daemon holds nothing" wait_for 5 holds_nothing
check "the daemon ends well" stop_daemon
