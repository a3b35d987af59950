# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A daemon in a pid namespace of its own cannot see its clients: the kernel copies for it (retry).
unshare --pid --fork --mount-proc --kill-child "$BUILD/cuse_gntdev" --sim --sim-port=5:1 >>daemon.log 2>&1 &
wait_for 20 test -S /run/cuse-gntdev/xen-gntdev.sock || bail "the daemon is not ready"
client "$BUILD/tests/uml/abi" retry
client "$BUILD/tests/uml/evtchn" hidden
check_output "clients are not visible to it" 'client 0: MAP_GRANT_REF' cat daemon.log
# The signal is for the daemon, not for unshare.
kill -TERM "$(busybox pidof cuse_gntdev)"
check "the daemon ends" wait_for 10 test ! -e /dev/xen/gntdev
