# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# A daemon that sees its clients and may not touch them (no CAP_SYS_PTRACE): the kernel copies for it.
setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace \
	"$BUILD/cuse_gntdev" --sim --sim-port=5:1 >>daemon.log 2>&1 &
daemon=$!
wait_for 20 test -S /run/cuse-gntdev/xen-gntdev.sock || bail "the daemon is not ready"
client "$BUILD/tests/uml/abi" retry
kill -TERM $daemon
wait $daemon
check "the daemon ends well" test $? -eq 0
