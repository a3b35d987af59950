#!/bin/bash
# SPDX-License-Identifier: MIT
#
# build.sh DIR - what run.sh's root for building runs, in the sources: the packages, and a client
#
# To DIR/new and DIR/previous: the package, and one of the version before, from the same sources. To
# DIR: the client.
set -eu
dir=$1

previous_version()
{
	local version

	sed -i '1,/^ -- /d' debian/changelog
	sed -i '1{/^$/d}' debian/changelog
	version=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
	sed -i "s/^#define VERSION .*/#define VERSION \"$version\"/" abi/version.h
}

mkdir -p "$dir"
./deb.sh "$dir/new"
make -s build/tests/deb/client
cp build/tests/deb/client "$dir"
previous_version
./deb.sh "$dir/previous"
