# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The driver's behaviour, row by row, on a real device.
start_daemon --sim-port=5:1
client "$BUILD/tests/uml/abi"
check "the daemon ends well" stop_daemon
