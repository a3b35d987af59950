#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh SECONDS FUZZER... - look for input that breaks what FUZZER calls, for SECONDS each; a line of TAP for each
#
# What one finds on the way stays in .cache/fuzz/NAME, what breaks something is .cache/fuzz/NAME-*. To keep of that what
# reaches something new, run the fuzzer with -merge=1, tests/fuzz/corpus/NAME and .cache/fuzz/NAME.
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=$1
shift
status=0
for fuzzer in "$@"; do
	name=${fuzzer##*/fuzz_}
	kept=.cache/fuzz/$name
	options=()
	echo "# $name"
	mkdir -p "$kept"
	if [ -f "tests/fuzz/$name.dict" ]; then
		tests/fuzz/dict.sh "$name" >"build/fuzz/$name.dict" && options+=("-dict=build/fuzz/$name.dict")
	fi
	# An input that takes a second is one that hangs: it is given five, and more where all takes longer.
	if "$fuzzer" -max_total_time="$seconds" -timeout=$((5 * $(tests/pace.sh))) -rss_limit_mb=1024 \
		-print_final_stats=1 -artifact_prefix="$kept-" "${options[@]}" "$kept" "tests/fuzz/corpus/$name"; then
		echo "ok fuzz: $name for $seconds s"
	else
		echo "not ok fuzz: $name - see above for what broke, and in which file of .cache/fuzz the input is"
		status=1
	fi
done
exit $status
