#!/bin/bash
# SPDX-License-Identifier: MIT
#
# packages.sh [-n] PURPOSE...  see that the packages of packages.list for these purposes are there
#
# As root installs what is missing. With -n, and as anybody else, prints one command that does, for all that make can do
# here, and fails. What apt does not know is named; the status is 3 if nothing else is wrong. Downloads are kept in
# .cache/apt.
set -eu
cd "$(dirname "$0")"
umask 022

say() { printf 'packages: %s\n' "$@" >&2; }

# Return: whether what stands for a package is there, however it came.
found()
{
	case $1 in
	'') false ;;
	/*) [ -e "$1" ] ;;
	*.pc) pkg-config --exists "${1%.pc}" 2>/dev/null ;;
	*.h) cc -E -include "$1" -x c /dev/null >/dev/null 2>&1 ;;
	*) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
	esac
}

# missing PURPOSE...: set packages, to those that are not there, and wanted[PACKAGE] to the purposes
missing()
{
	local purpose package sign installed

	# shellcheck disable=SC2016 # dpkg-query's own variables
	installed=$(dpkg-query -W -f '${Status} ${Package}\n' 2>/dev/null || true)
	packages=() wanted=()
	while read -r purpose package sign; do
		[[ " $* " == *" $purpose "* ]] || continue
		[[ $installed != *" installed $package"$'\n'* && $installed != *" installed $package" ]] || continue
		! found "$sign" || continue
		[ -n "${wanted[$package]-}" ] || packages+=("$package")
		wanted[$package]+="${wanted[$package]:+, }$purpose"
	done < <(grep -v '^#' packages.list)
}

# lists [TEST...]: whether there are package lists, or such as pass TEST of find's.
lists() { [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' "$@" -print -quit 2>/dev/null)" ]; }

# split PACKAGE...: those that apt does not know to unknown, the others to known. Who has no lists knows nothing yet.
split()
{
	local package have

	known=() unknown=()
	have=$(LC_ALL=C apt-cache policy "$@" | awk '/^[^ ]/ { name = $1 } /Candidate: [^(]/ { print name }')
	for package in "$@"; do
		if ! lists || grep -qxF "$package:" <<<"$have"; then
			known+=("$package")
		else
			unknown+=("$package")
		fi
	done
}

tell_unknown()
{
	local package

	for package in "${unknown[@]}"; do
		say "this machine's apt has no $package (wanted for: ${wanted[$package]})"
	done
	[ ${#unknown[@]} -eq 0 ] ||
		say "Debian 12 and 13 have it, in \"main\": see /etc/apt/sources.list and sources.list.d. The rest works without."
}

apt()
{
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o APT::Sandbox::User=root \
		-o Dir::Cache::archives="$PWD/.cache/apt" -o Dpkg::Use-Pty=0 "$@" </dev/null 9>&-
}

install()
{
	mkdir -p .cache/apt/partial
	# A list older than a day may name versions that the mirror has dropped.
	lists -ctime -1 || apt update || true
	split "${packages[@]}"
	[ ${#known[@]} -gt 0 ] || return 0
	say "installing ${known[*]}"
	apt install -y --no-install-recommends "${known[@]}" >/dev/null || {
		apt update || true
		apt install -y --no-install-recommends "${known[@]}" >/dev/null
	} || { say "apt-get could not install them, see above"; exit 1; }
}

# The command is for everything at once: nobody wants to come back for the next.
tell_command()
{
	local purposes

	say "something is missing here (for: $1). As root run this, once, for all that make can do:"
	echo >&2
	mapfile -t purposes < <(sed -n 's/^\([a-z]*\)\t.*/\1/p' packages.list | sort -u)
	missing "${purposes[@]}"
	split "${packages[@]}"
	printf '    %s\n\n' "apt-get update && apt-get install -y --no-install-recommends ${known[*]}" >&2
}

may_install=yes
if [ "${1-}" = -n ] || [ "$(id -u)" -ne 0 ]; then
	may_install=
fi
[ "${1-}" != -n ] || shift
declare -A wanted
# One at a time: make runs several at once.
exec 9<packages.list
flock 9
missing "$@"
[ ${#packages[@]} -gt 0 ] || exit 0
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	say "this is no Debian system. Install what it has in the place of these packages of Debian's:" "${packages[*]}"
	exit 1
fi
split "${packages[@]}"
status=3
if [ -n "$may_install" ]; then
	install
elif [ ${#known[@]} -gt 0 ]; then
	tell_command "$*"
	status=1
fi
tell_unknown
[ -n "$may_install" ] && [ ${#unknown[@]} -eq 0 ] || exit $status
