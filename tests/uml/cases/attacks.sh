# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Clients that let the daemon wait for them, or have it work for long: an honest one beside them is served
# as if it were alone. ATTACK_SECONDS for each of them, ATTACKS to choose.
. "$TOP/tests/uml/attacks.sh"
seconds=${ATTACK_SECONDS:-1}

start_daemon
start_honest
check "an honest client alone" timeout $((seconds + 60)) bash -c "$(declare -f honest)
	BUILD=$BUILD honest_ref=$honest_ref
	honest $seconds >quiet.times"
print_times quiet quiet.times
for name in ${ATTACKS:-"${attack_names[@]}"}; do
	run_attack "$name" "$seconds"
done
check "an honest client afterwards" timeout $((seconds + 60)) bash -c "$(declare -f honest)
	BUILD=$BUILD honest_ref=$honest_ref
	honest $seconds >after.times"
print_times after after.times
exec {granter_in}>&-
check "the daemon ends well" stop_daemon
