#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh - the service under a systemd of its own, in User-Mode Linux
#
# A small Debian (this machine's release, from this machine's mirror, kept in .cache/) with systemd
# as process 1 gets `make install` and the libraries that it needs, boots, and runs inside.sh. Needs
# root, to make the file system.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD/build/uml/systemd.root
. /etc/os-release
packages=systemd-sysv,udev,kmod
tarball=.cache/root-$VERSION_CODENAME-${packages//,/-}.tar.zst

# The mirrors that this machine installs from itself, Debian's own only.
mirrors()
{
	# shellcheck disable=SC2016 # apt-get's own variables
	apt-get indextargets --format '$(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' | sed -n 's/^Debian deb/deb/p' | sort -u
}

make_tarball()
{
	local partial=.cache/partial.tar.zst

	mkdir -p .cache
	mirrors | mmdebstrap --quiet --variant=essential --include="$packages" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' "$VERSION_CODENAME" "$partial" -
	mv "$partial" "$tarball"
}

# Programs of this machine run there with this machine's libraries: it is the same release.
add_libraries()
{
	ldd "$@" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u | while read -r library; do
		[ -e "$root$library" ] || install -D "$library" "$root$library"
	done
}

add_modules()
{
	local modules

	for modules in /usr/lib/uml/modules/*; do
		mkdir -p "$root/usr/lib/modules/${modules##*/}/kernel/fs"
		cp -a "$modules"/modules.* "$root/usr/lib/modules/${modules##*/}"
		cp -a "$modules/kernel/fs/fuse" "$root/usr/lib/modules/${modules##*/}/kernel/fs"
	done
}

make_root()
{
	rm -rf "$root"
	mkdir -p "$root/test"
	tar -C "$root" -xf "$tarball"
	env -u MAKEFLAGS make --no-print-directory -s install DESTDIR="$root" PREFIX=/usr >/dev/null
	install -d "$root/etc/default"
	echo 'OPTIONS="--sim"' > "$root/etc/default/cuse-gntdev"
	cp -a build/tests/systemd/client tests/systemd/inside.sh "$root/test"
	cp tests/systemd/gntdev-test.service "$root/etc/systemd/system"
	add_libraries build/cuse_gntdev build/tests/systemd/client
	add_modules
}

if [ "$(id -u)" -ne 0 ]; then
	echo "ok systemd # SKIP needs root to make a root file system"
	exit 0
fi
[ -f "$tarball" ] || make_tarball
make_root
exec tests/uml/run.sh -t 240 -n systemd -r "$root"
