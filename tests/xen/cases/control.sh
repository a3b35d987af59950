# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What gntdevctl shows of a daemon on a real Xen: its limit, its hypercalls, what it says of a grant.
. "$TOP/tests/xen/held.sh"

ctl=$BUILD/gntdevctl

start_daemon
check_output "the maptrack table's limit is known" 'grants +0 of [1-9][0-9]* ' "$ctl" stats
check "the doctor finds no fault" "$ctl" doctor
check_output "it sees that this is Xen" 'hypervisor +this is a Xen domain' "$ctl" doctor

"$ctl" trace >"$CASE_DIR/trace" &
tracer=$!
tracing() { "$ctl" stats --json | grep -Eq '"tracers": *1'; }
check "a tracer is seen" wait_for 5 tracing
check "a client maps and unmaps" client "$CLIENTS/cycles" run 10
check "the daemon holds nothing" wait_for 5 holds_nothing
for op in MAP_GRANT_REF mmap hypercall_map munmap hypercall_unmap; do
	check "$op is traced" wait_for 5 grep -q "$op" "$CASE_DIR/trace"
done
kill $tracer
check_output "and counted" '^ +hypercall_map +[1-9][0-9]*, 0 failed' "$ctl" stats

check_output "there is no domain 999" 'cannot map' client "$BUILD/examples/mapper" 999 8
check_output "the daemon says so" '^ +grant +8 of domain 999: bad_domain' "$ctl" errors
check_output "and what it means" '^ +remedy .*xl list' "$ctl" errors
check_output "such statuses are counted" 'bad_domain +1' "$ctl" stats
check "the daemon ends well" stop_daemon
