#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh RELEASE... - the Debian package and the service, for each release (debian12, debian13)
#
# The package is built and looked at by lintian in that release (package.sh), and lives in it from
# installation to purge (boot.sh). All releases side by side. Needs root, to make file systems.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1

release()
{
	local log=build/deb-$1.log what="the package is built, and lintian has nothing to say"

	if ! tests/deb/package.sh "$1" >"$log" 2>&1; then
		sed 's/^/#   /' "$log"
		echo "not ok $what"
		return 1
	fi
	echo "ok $what"
	tests/deb/boot.sh "$1"
}

if [ "$(id -u)" -ne 0 ]; then
	echo "ok deb # SKIP needs root to make root file systems"
	exit 0
fi
mkdir -p build
# Side by side, each on a processor of its own as far as there are some.
mapfile -t cpus < <(taskset -cp $$ | sed 's/.*: //' | tr , '\n' | while IFS=- read -r a b; do seq "$a" "${b:-$a}"; done)
jobs=()
for name in "$@"; do
	taskset -cp "${cpus[${#jobs[@]} % ${#cpus[@]}]}" $$ >/dev/null
	release "$name" | sed -u "s/^\(not \)\?ok /&$name: /" &
	jobs+=($!)
done
status=0
for job in "${jobs[@]}"; do
	wait "$job" || status=1
done
exit $status
