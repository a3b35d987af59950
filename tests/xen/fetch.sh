#!/bin/bash
# SPDX-License-Identifier: MIT
#
# fetch.sh debian12|debian13 - what a dom0 of that release is made of, into .cache/xen/TARGET, once
# fetch.sh qemu              - an emulator that is known to work (see run.sh), into .cache/xen/qemu/root
#
#   xen.elf, vmlinux   the hypervisor and the kernel, unpacked: an emulator is slow at unpacking
#   modules/           the kernel's modules that any test may want, and their order in "order"
#   root/              Xen's tools and headers of that release, with every library that they need
#
# Packages come from the mirrors that this machine installs from. They are unpacked, not installed,
# by an apt with folders of its own: neither root nor this machine's own release is needed.
set -eu
cd "$(dirname "$0")/../.."

target=${1-}
case $target in
debian12) release=bookworm xen=4.17 ;;
debian13) release=trixie xen=4.20 ;;
qemu) release=bookworm xen= ;;
*) echo "usage: fetch.sh debian12|debian13|qemu" >&2; exit 2 ;;
esac
dir=$PWD/.cache/xen/$target
apt=$dir/apt
seeds=(linux-image-amd64 "xen-hypervisor-$xen-amd64" "xen-utils-$xen" xen-utils-common xenstore-utils
	libxen-dev)
modules=(fuse cuse xen-privcmd xen-evtchn xen-gntalloc xen-gntdev xenfs zram lzo-rle overlay)
[ -n "$xen" ] || seeds=(qemu-system-x86 qemu-system-common qemu-system-data seabios)
# Directories of the tools themselves: everything there that is a program has to find its libraries.
tools=("usr/lib/xen-$xen/bin" usr/sbin usr/bin)

fail()
{
	echo "fetch.sh: $*" >&2
	exit 1
}

# An apt that knows nothing of what this machine has installed.
own_apt()
{
	"$@" -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::State::Lists="$apt/lists" \
		-o Dir::Cache="$apt/cache" -o Dir::Etc::SourceList="$apt/sources.list" \
		-o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::PreferencesParts=/dev/null -o APT::Sandbox::User=root
}
get() { own_apt apt-get -qq -o Acquire::Retries=3 "$@"; }
know() { own_apt apt-cache -qq "$@"; }

update()
{
	mkdir -p "$apt"/{lists/partial,cache/archives/partial}
	: >"$apt/status"
	tests/mirrors.sh "$release" >"$apt/sources.list"
	# A source that is not Debian's own may fail here: what counts is whether the packages are known.
	get update || true
	[ -n "$(know show "${seeds[1]}" 2>/dev/null)" ] ||
		fail "no ${seeds[1]} in $release: see above. \"NO_PUBKEY\": debian-archive-keyring is too old for it"
}

# What the packages depend on, as far as it is a kernel, Xen's or a library.
closure()
{
	local -A seen
	local package queue=("$@")

	while [ ${#queue[@]} -gt 0 ]; do
		package=${queue[0]}
		queue=("${queue[@]:1}")
		[ -z "${seen[$package]-}" ] || continue
		seen[$package]=1
		mapfile -t -O ${#queue[@]} queue < <(know depends --important "$package" |
			sed -nE 's/^ *(Pre)?Depends: ((lib|zlib1g)[^ :]*|xen[^ :]*|linux-image-[^ :]*)$/\2/p')
	done
	printf '%s\n' "${!seen[@]}" | grep -Ev '^(linux-image-amd64|libpython|libc-dev)'
}

unpack()
{
	local package

	rm -rf "$apt/debs" "$dir/root" && mkdir -p "$apt/debs" "$dir/root"
	mapfile -t packages < <(closure "${seeds[@]}")
	(cd "$apt/debs" && get download "${packages[@]}")
	# With a merged /usr, as an installed system has it: an older package still says /lib.
	mkdir -p "$dir/root"/usr/{bin,sbin,lib,lib64}
	for package in bin sbin lib lib64; do
		ln -s "usr/$package" "$dir/root/$package"
	done
	for package in "$apt"/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$dir/root"
	done
}

# Bytes $2 to $2+$3 of file $1
part() { tail -c +"$(($2 + 1))" "$1" | head -c "$3"; }

number() { od -An -tu4 -j "$2" -N 4 "$1" | tr -d ' '; }

# A bzImage says where its compressed payload is: Documentation/arch/x86/boot.rst
unpack_kernel()
{
	local image=$1 start size

	start=$(((($(od -An -tu1 -j 497 -N 1 "$image") + 1) * 512) + $(number "$image" 584)))
	size=$(number "$image" 588)
	case $(od -An -tx1 -j $start -N 4 "$image" | tr -d ' ') in
	fd377a58) part "$image" $start $((size - 4)) | xz -dc ;;
	28b52ffd) part "$image" $start $((size - 4)) | zstd -dcq ;;
	1f8b*) part "$image" $start $((size - 4)) | gzip -dc ;;
	*) fail "unknown compression of $image" ;;
	esac
}

# module NAME...: to modules/, those they need first
module()
{
	local name file

	for name in "$@"; do
		grep -qx "$name" "$dir/order" && continue
		file=$(find "$dir/root/usr/lib/modules" \( -name "$name.ko*" -o -name "${name//_/-}.ko*" \) -print -quit)
		# Not there: it is part of the kernel.
		[ -n "$file" ] || continue
		case $file in
		*.xz) xz -dc "$file" ;;
		*) cat "$file" ;;
		esac >"$dir/modules/$name.ko"
		# shellcheck disable=SC2046 # a list of names
		module $(tr '\0' '\n' <"$dir/modules/$name.ko" | sed -n 's/^depends=//p' | tr , ' ')
		echo "$name" >>"$dir/order"
	done
}

take_kernel()
{
	rm -rf "$dir/modules" && mkdir -p "$dir/modules"
	gzip -dc "$dir/root/boot/xen-$xen-amd64.gz" >"$dir/xen.elf"
	unpack_kernel "$(ls "$dir/root"/boot/vmlinuz-*)" >"$dir/vmlinux"
	: >"$dir/order"
	module "${modules[@]}"
	[ -s "$dir/modules/xen-gntdev.ko" ] || fail "no module xen-gntdev in this kernel"
	# Most of the 500 MB are drivers.
	rm -rf "$dir/root"/{boot,usr/lib/modules,usr/share,usr/lib/x86_64-linux-gnu/*.a,usr/lib/debug}
}

# Every library that a program of Xen's names is there.
check_libraries()
{
	local file library programs=() missing=

	for file in "${tools[@]/#/$dir/root/}"; do
		mapfile -t -O ${#programs[@]} programs < <(grep -rl $'^\x7fELF' "$file" 2>/dev/null)
	done
	for library in $(readelf -d "${programs[@]}" "$dir/root"/usr/lib/x86_64-linux-gnu/lib{xen,xlu}*.so.* |
		sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u); do
		[ -e "$dir/root/usr/lib/x86_64-linux-gnu/$library" ] || missing+=" $library"
	done
	[ -z "$missing" ] || fail "$target lacks$missing"
}

# One at a time. What was fetched by another list than this one is fetched again.
mkdir -p "$apt"
exec 9>"$dir/lock"
flock 9
stamp="layout 2: ${seeds[*]} ${modules[*]}"
if [ "$(cat "$dir/stamp" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi
rm -f "$dir/stamp"
update
unpack
if [ -n "$xen" ]; then
	take_kernel
	check_libraries
fi
rm -rf "$apt"
echo "$stamp" >"$dir/stamp"
