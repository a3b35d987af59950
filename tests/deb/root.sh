#!/bin/bash
# SPDX-License-Identifier: MIT
#
# root.sh KIND RELEASE DIRECTORY PACKAGE... - a small Debian with these packages, new in DIRECTORY
#
# RELEASE is debian12 or debian13, from this machine's mirrors. It is kept as a tarball in .cache/, one for
# each KIND and RELEASE. Needs root.
set -eu -o pipefail
cd "$(dirname "$0")/../.."
kind=$1 release=$2 root=$3
shift 3
case $release in
debian12) codename=bookworm ;;
debian13) codename=trixie ;;
*) echo "root.sh: no release \"$release\": debian12 or debian13" >&2; exit 2 ;;
esac
list=$(printf '%s\n' "$@" | sort -u | paste -sd,)
tarball=.cache/root-$release-$kind-$(md5sum <<<"$list" | cut -c 1-8).tar.zst

make_tarball()
{
	mkdir -p .cache
	rm -f ".cache/root-$release-$kind"-*
	# What mmdebstrap and apt say is of interest if they fail: why is not in the last line.
	tests/mirrors.sh $codename | mmdebstrap --variant=essential --include="$list" \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		$codename "$tarball.partial.tar.zst" - >"$tarball.log" 2>&1 || {
		tail -n 40 "$tarball.log" >&2
		exit 1
	}
	rm "$tarball.log"
	mv "$tarball.partial.tar.zst" "$tarball"
}

[ -f "$tarball" ] || make_tarball
rm -rf "$root"
mkdir -p "$root"
tar -C "$root" -xf "$tarball"
