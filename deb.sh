#!/bin/bash
# SPDX-License-Identifier: MIT
#
# deb.sh DIR - build the Debian package for the release that this runs on, and have lintian look at it
#
# In a copy of the sources, so that nothing is left here. The package and what belongs to it are in DIR
# afterwards; its path is the last line. What lintian says, pedantic or not, is an error.
set -eu
cd "$(dirname "$0")"
[ $# -eq 1 ] || { sed -n '4s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
tree=$dir/cuse-gntdev

# What the copy does not need, and a directory inside of it must not have.
rm -rf "$tree" "$dir"/cuse-gntdev[-_]*
mkdir "$tree"
tar -c --exclude=./build --exclude=./.cache --exclude=./.git . | tar -x -C "$tree"

cd "$tree"
DEB_BUILD_OPTIONS="parallel=$(nproc) ${DEB_BUILD_OPTIONS-}" dpkg-buildpackage -us -uc -b >"$dir/log" 2>&1 || {
	tail -n 40 "$dir/log" >&2
	echo "deb.sh: no package: see $dir/log" >&2
	exit 1
}
cd "$dir"
rm -rf "$tree"
lintian --pedantic --fail-on=error,warning,pedantic --allow-root cuse-gntdev_*.changes
ls "$dir"/cuse-gntdev_*.deb
