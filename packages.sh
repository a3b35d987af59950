#!/bin/bash
# SPDX-License-Identifier: MIT
#
# packages.sh PURPOSE... - see that the packages of packages.list for these purposes are there
#
# As root installs what is missing, else prints the command that does and fails. Downloads are kept
# in .cache/apt.
set -eu
cd "$(dirname "$0")"

missing()
{
	local purpose package

	while read -r purpose package; do
		[[ " $wanted " == *" $purpose "* ]] || continue
		# shellcheck disable=SC2016 # dpkg-query's own variable
		[[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *' installed' ]] ||
			echo "$package"
	done < packages.list
}

# A package list older than a day may name versions that the mirror has dropped.
lists_are_fresh()
{
	[ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 -print -quit)" ]
}

apt()
{
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o APT::Sandbox::User=root \
		-o Dir::Cache::archives="$PWD/.cache/apt" -o Dpkg::Use-Pty=0 "$@" </dev/null 9>&-
}

install()
{
	mkdir -p .cache/apt/partial
	lists_are_fresh || apt update
	apt install -y --no-install-recommends "$@" >/dev/null
}

# One at a time: make runs several at once.
mkdir -p .cache
exec 9>.cache/packages.lock
flock 9

wanted="$*"
if ! command -v dpkg-query >/dev/null; then
	echo "packages: not a Debian system: see packages.list for what is needed" >&2
	exit 0
fi
mapfile -t packages < <(missing)
if [ ${#packages[@]} -eq 0 ]; then
	exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "packages: missing here; as root run:" >&2
	lists_are_fresh || echo "    apt-get update" >&2
	echo "    apt-get install --no-install-recommends ${packages[*]}" >&2
	exit 1
fi
echo "packages: installing ${packages[*]}"
install "${packages[@]}" || { apt update && install "${packages[@]}"; }
