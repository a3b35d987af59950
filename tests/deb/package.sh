#!/bin/bash
# SPDX-License-Identifier: MIT
#
# package.sh RELEASE - build the package for a release of Debian, in a Debian of that release
#
# Without network. What build.sh makes there is left in build/deb-RELEASE.
set -eu -o pipefail
cd "$(dirname "$0")/../.."
release=$1 root=$PWD/build/deb-$1.root out=build/deb-$1
mapfile -t packages < <(grep -E '^(build|man|deb)'$'\t' packages.list | cut -f 2)

rm -rf "$out"
tests/deb/root.sh build "$release" "$root" build-essential "${packages[@]}"
mkdir "$root/src"
tar -c --exclude=./build --exclude=./.cache --exclude=./.git . | tar -x -C "$root/src"
env -u MAKEFLAGS unshare --mount --net --pid --fork --mount-proc="$root/proc" \
	chroot "$root" /bin/bash -c 'cd /src && exec tests/deb/build.sh /out'
mv "$root/out" "$out"
rm -rf "$root"
