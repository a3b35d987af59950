#!/bin/bash
# SPDX-License-Identifier: MIT
#
# pace.sh               how many times as long as usual things take here at present, 1 to 10
# pace.sh wait SECONDS  return when the time of a run is over that may take SECONDS at the usual pace; print how long
#                       that was
# pace.sh end           when all that begins now has to have ended: see there
#
# Time limits are for what hangs. They are given for an ordinary machine with nothing else to do; on one that is slow or
# has other work they are as many times longer as a small piece of work takes longer, by the clock on the wall. It is
# done again every ten seconds, as others come and go. But nothing goes on longer than to $CHECK_END, where that is set.
set -u
# A loop of so many rounds, and how long it takes at the usual pace: hundredths of a second.
rounds=50000
usual=9
most=10
# So that make check has ended after an hour and a half, even where it hangs.
whole=$((85 * 60))

# Hundredths of a second since the machine was started: nobody sets that clock.
now()
{
	local s

	read -r s _ </proc/uptime
	echo "${s/./}"
}

# In hundredths of the usual.
pace()
{
	local i start took

	start=$(now)
	for ((i = 0; i < rounds; i++)); do
		:
	done
	took=$((($(now) - start) * 100 / usual))
	((took >= 100)) || took=100
	((took <= most * 100)) || took=$((most * 100))
	echo $took
}

wait_for()
{
	local left=$(($1 * 100)) start last now pause rate

	start=$(now)
	last=$start
	# A pipe into which nobody writes: to wait without a process that outlives this one.
	exec 8<> <(:)
	while ((left > 0)); do
		if [ -n "${CHECK_END-}" ] && ((last / 100 >= CHECK_END)); then
			echo "$(((last - start) / 100)) s, when the whole ran out of time"
			return
		fi
		pause=$((left < 1000 ? left / 100 + 1 : 10))
		read -rt "$pause" -u 8
		rate=$(pace)
		now=$(now)
		left=$((left - (now - last) * 100 / rate))
		last=$now
	done
	echo "$(((last - start) / 100)) s (for $1 s at the usual pace)"
}

case ${1-} in
'') echo $((($(pace) + 99) / 100)) ;;
wait) wait_for "$2" ;;
end) echo $(($(now) / 100 + whole)) ;;
*) sed -n '4,7s/^# //p' "$0" >&2; exit 2 ;;
esac
