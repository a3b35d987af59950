#!/bin/bash
# SPDX-License-Identifier: MIT
#
# mirrors.sh RELEASE - lines for a sources.list: Debian's RELEASE, from the mirrors of this machine
#
# Whatever release this machine has: another one is on the same mirrors, signed by keys of the same
# package. Any architecture's packages but amd64's are left out.
set -eu

fail()
{
	echo "mirrors.sh: $*" >&2
	exit 1
}

[ $# -eq 1 ] || fail "usage: mirrors.sh RELEASE"
here=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
for keyring in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
	[ ! -r "$keyring" ] || break
done
[ -r "$keyring" ] || fail "no keyring: install debian-archive-keyring"
apt-get --print-uris update |
	sed -nE "s|^'([^']*)/dists/$here(-updates\|-security)?/InRelease'.*|deb [arch=amd64 signed-by=$keyring] \1 $1\2 main|p" |
	grep . || fail "this machine's apt has no source for Debian's \"$here\""
