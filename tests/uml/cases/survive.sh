# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The daemon is killed, at random and at each step, while clients do all that clients do: none of them notices.
# SURVIVE_KILLS, SURVIVE_SEED, SURVIVE_THREADS to choose.
. "$TOP/tests/uml/survive.sh"
threads=${SURVIVE_THREADS:-12}
export GNTDEV_STEPS=$CASE_DIR/steps
truncate -s 4096 steps

BUILD=$BUILD/steps start_daemon
chmod 666 /dev/xen/gntdev /dev/xen/gntalloc
mkfifo granter.in
client "$BUILD/examples/granter" -n "$threads" 0 <granter.in >granter.out 2>&1 &
exec {granter_in}>granter.in
wait_for 5 grep -q refs granter.out
start_load 1 "$(sed -n 's/refs: \([0-9]*\) .*/\1/p' granter.out)" "$threads" /dev/xen/gntalloc
kill_daemons "${SURVIVE_KILLS:-160}" "${SURVIVE_SEED:-1}"
# The granter's window is one of them.
end_load 1
exec {granter_in}>&-
end_daemon
