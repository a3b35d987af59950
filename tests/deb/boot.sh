#!/bin/bash
# SPDX-License-Identifier: MIT
#
# boot.sh RELEASE - the life of the package that package.sh has built
#
# A small Debian of that release with systemd as process 1, and with nothing of ours but what the package
# depends on, boots in User-Mode Linux and runs inside.sh.
set -eu -o pipefail
cd "$(dirname "$0")/../.."
release=$1 root=$PWD/build/uml/deb-$1.root out=build/deb-$1
# What a Debian has anyway, and what makes it boot.
packages=(systemd-sysv udev kmod passwd)

# The names of what the package depends on; of alternatives the first.
dependencies()
{
	dpkg-deb -f "$out"/new/cuse-gntdev_*.deb Depends | tr , '\n' | sed 's/^ *//; s/[ (|].*//'
}

# The kernel's own, and one that stands for the driver: there is none for User-Mode Linux.
add_modules()
{
	local modules to

	for modules in /usr/lib/uml/modules/*; do
		to=$root/usr/lib/modules/${modules##*/}
		mkdir -p "$to/kernel/fs" "$to/kernel/drivers/xen"
		cp -a "$modules"/modules.* "$to"
		cp -a "$modules/kernel/fs/fuse" "$to/kernel/fs"
		cp "$modules/kernel/fs/nls/nls_utf8.ko" "$to/kernel/drivers/xen/xen-gntdev.ko"
		depmod -b "$root" "${modules##*/}"
	done
}

mapfile -t -O ${#packages[@]} packages < <(dependencies)
tests/deb/root.sh boot "$release" "$root" "${packages[@]}"
mkdir "$root/test"
cp "$out"/new/cuse-gntdev_*.deb "$root/test/new.deb"
cp "$out"/previous/cuse-gntdev_*.deb "$root/test/previous.deb"
cp "$out/client" tests/deb/inside.sh debian/tests/command-line "$root/test"
cp tests/deb/gntdev-test.service "$root/etc/systemd/system"
add_modules
exec tests/uml/run.sh -t 300 -n "deb-$release" -r "$root"
