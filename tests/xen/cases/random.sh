# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Random sequences of operations by several processes: clients observe the same on both devices.
steps=5000
read -r -a seeds <<<"${XEN_TEST_SEEDS:-1 2 3 4}"
complain '\(XEN\).*(d[0-9v]+ Error mfn|grant_table\.c|gnttab)'

# sequences NAME PROGRAM...: a trace for each seed, NAME.SEED
sequences()
{
	local seed start=$SECONDS

	for seed in "${seeds[@]}"; do
		"${@:2}" /dev/xen/gntdev "$seed" $steps >"$1.$seed" || return
	done
	echo "$((${#seeds[@]} * steps)) operations, $1: $((SECONDS - start)) s" >>seconds
}

# same SEED: the first lines that differ, if any
same()
{
	cmp -s "kernel.$1" "ours.$1" && return
	diff "kernel.$1" "ours.$1" | head -n 10
	return 1
}

# settled FILE: at every look all was as it had to be
settled()
{
	! grep -v '^settled: ok$' "$1" | grep '^settled' && grep -q '^settled: ok$' "$1"
}

kernel_driver_on
check "sequences on the kernel's device" sequences kernel "$CLIENTS/random"
kernel_driver_off
start_daemon
check "sequences on ours" sequences ours client "$CLIENTS/random"
check "the daemon ends well" stop_daemon
for seed in "${seeds[@]}"; do
	check "seed $seed: the kernel's device is as the model expects" settled "kernel.$seed"
	check "seed $seed: $steps operations, the same observed" same "$seed"
done
sed 's/^/# random: /' seconds
rm -f kernel.* ours.*
