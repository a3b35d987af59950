# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Clients that let the daemon wait for them, or have it work for long: an honest one beside them is served
# as if it were alone. ATTACK_SECONDS for each of them, ATTACKS to choose.
. "$TOP/tests/uml/attacks.sh"

echo 'limit { opens_per_user = 500 }' >conf
start_daemon --config="$CASE_DIR/conf"
start_honest
check "an honest client alone" run_honest quiet.times
print_times quiet quiet.times
for name in ${ATTACKS:-"${attack_names[@]}"}; do
	run_attack "$name"
done
check "an honest client afterwards" run_honest after.times
print_times after after.times
exec {granter_in}>&-
check "the daemon ends well" stop_daemon

# The journal has stopped: nobody takes what is sent to its socket, or written to the stream that is standard error.
"$BUILD/tests/uml/crowds" journal >journal.attack &
journal=$!
mv daemon.log daemon.first.log
mkfifo daemon.log
exec 8<>daemon.log
wait_for 5 grep -q ready journal.attack
JOURNAL_STREAM=$(stat -c %d:%i daemon.log) start_daemon --verbose --config="$CASE_DIR/conf"
start_honest
run_attack refused stopped_journal
exec {granter_in}>&-
check "the daemon ends well, though nobody takes its log" stop_daemon
kill -KILL $journal
wait $journal 2>/dev/null || :
