# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The daemon is killed, at random and at each step, while clients have a domain's grants mapped: none of them
# notices, and no grant and no frame is lost.
. "$TOP/tests/xen/held.sh"
. "$TOP/tests/uml/survive.sh"
threads=8
export GNTDEV_STEPS=$CASE_DIR/steps
truncate -s 4096 steps

before=$(frames)
BUILD=$BUILD/steps start_daemon
chmod 666 /dev/xen/gntdev
mkfifo granter.in
"$CLIENTS/granted" "$threads" <granter.in >granter.out 2>&1 &
granter=$!
exec {granter_in}>granter.in
wait_for 5 grep -q refs granter.out
read -r _ domid ref _ <granter.out
start_load "$domid" "$ref" "$threads"
kill_daemons "${XEN_TEST_KILLS:-20}" "${XEN_TEST_SEED:-1}"
end_load 0
check "the daemon holds nothing" wait_for 5 holds_nothing
check "Xen knows of no mapped grant" test "$(grants_in_use)" = 0
end_daemon
exec {granter_in}>&-
check "the granter has all its pages" wait $granter
check "dom0 has all its frames" test "$(frames)" = "$before"
