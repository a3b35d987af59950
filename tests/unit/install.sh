#!/bin/bash
# SPDX-License-Identifier: MIT
#
# install.sh - make install into a prefix of one's own, make uninstall, make dist. Prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
status=0

# check WHAT COMMAND...
check()
{
	local out

	if out=$("${@:2}" 2>&1); then
		echo "ok install: $1"
		return
	fi
	printf '#   %s\n' "$out"
	echo "not ok install: $1"
	status=1
}

# What make has of the make that runs this is not for these.
own_make()
{
	env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make --no-print-directory "$@"
}

# is_there FILE...: below the prefix
is_there()
{
	local file

	for file; do
		[ -e "$dir/own/$file" ] || { echo "no $file"; return 1; }
	done
}

nothing_but()
{
	diff <(find "$dir/own" ! -type d -printf '%P\n') <(printf '%s\n' "$@")
}

check "into a prefix of one's own" own_make install PREFIX="$dir/own"
check "all that is used is there" is_there sbin/cuse_gntdev sbin/cuse_gntdev-keeper bin/gntdevctl bin/gntdev-run \
	lib/cuse-gntdev/libgntdev-mmap.so etc/cuse-gntdev.conf share/man/man1/gntdevctl.1 \
	share/bash-completion/completions/cuse_gntdev share/zsh/site-functions/_gntdevctl \
	share/fish/vendor_completions.d/gntdevctl.fish share/doc/cuse-gntdev/contrib/prometheus/alerts.yml
check "gntdev-run finds its object there" env -C / "$dir/own/bin/gntdev-run" sh -c \
	"case \$LD_PRELOAD in $dir/own/lib/cuse-gntdev/libgntdev-mmap.so) ;; *) echo \"\$LD_PRELOAD\"; exit 1 ;; esac"
check "the policy that came with it is right" "$dir/own/bin/gntdevctl" policy check "$dir/own/etc/cuse-gntdev.conf"
check "and taken away again" own_make uninstall PREFIX="$dir/own"
check "but for the policy" nothing_but etc/cuse-gntdev.conf
check "a tarball" own_make dist
tarball=$(echo build/cuse-gntdev-*.tar.xz)
mv "$tarball" "$dir/first"
check "again" own_make dist
check "it is the same" cmp "$dir/first" "$tarball"
check "it has what it takes to build" tar -C "$dir" -xf "$tarball" --wildcards '*/Makefile' '*/packages.sh' '*/debian/rules' '*/gntdevctl/page.html'
exit $status
