#!/bin/bash
# SPDX-License-Identifier: MIT
#
# qemu.sh - the figures that need a CUSE device, on Debian's own kernel in an emulated machine
#
# User-Mode Linux, where the tests run, is no place to measure: one system call costs a quarter of a
# CUSE round trip there. Under QEMU it costs next to nothing, as on real hardware; only everything is
# slow. So times are of use in comparison with each other, and ratios are what to look at.
set -u
cd "$(dirname "$0")/.." || exit 1
cache=.cache/kernel
dir=build/bench/qemu

# Only downloaded and unpacked: nothing of it is installed here.
get_kernel()
{
	local package tmp

	[ -f $cache/vmlinuz ] && return
	package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	[ -n "$package" ] || { echo "qemu.sh: apt knows no linux-image-amd64: apt-get update" >&2; return 1; }
	tmp=$(mktemp -d)
	mkdir -p $cache
	(cd "$tmp" && apt-get download -qq -o APT::Sandbox::User=root "$package" && dpkg-deb -x ./*.deb unpacked) >&2 || return
	# Below lib or, from Debian 13 on, usr/lib, where fuse is part of the kernel and modules are compressed.
	cp "$tmp"/unpacked/{,usr/}lib/modules/*/kernel/fs/fuse/{fuse,cuse}.ko* $cache 2>/dev/null
	[ ! -f $cache/cuse.ko.xz ] || xz -d $cache/*.ko.xz
	[ -f $cache/cuse.ko ] || { echo "qemu.sh: no cuse module in $package" >&2; return 1; }
	echo "$package" >$cache/name
	cp "$tmp"/unpacked/boot/vmlinuz-* $cache/vmlinuz
	rm -rf "$tmp"
}

# add_file FILE...: to the same place in the guest
add_file()
{
	local file

	for file in "$@"; do
		mkdir -p "$dir/guest/$(dirname "$file")"
		cp -Lu "$file" "$dir/guest/$file"
	done
}

make_root()
{
	rm -rf "$dir/guest"
	mkdir -p "$dir"/guest/{bin,dev,proc,sys,run,mod,tmp}
	cp build/cuse_gntdev build/cuse_gntdev-keeper build/gntdevctl build/libgntdev-mmap.so build/bench/{cuse_ioctl,cuse_evtchn,cuse_trace,cost,{untraced,plain}_gntdev} "$dir/guest/bin"
	cp "$(command -v busybox)" "$dir/guest/bin/busybox"
	cp $cache/*.ko "$dir/guest/mod"
	# shellcheck disable=SC2046 # paths of libraries have no spaces
	add_file $(ldd "$dir"/guest/bin/{cuse_gntdev,gntdevctl,cuse_ioctl,cuse_trace,cost} | grep -o '/[^ ]*\.so[^ ]*' | sort -u)
	# pthread_cancel(), which libfuse's own threads need, loads it by name.
	add_file "$(ldconfig -p | sed -n 's/.*libgcc_s.so.1 (libc6,x86-64) => //p' | head -n 1)"
	cat >"$dir/guest/init" <<-'EOF'
		#!/bin/busybox sh
		b=/bin/busybox
		for a in sh cat pidof; do $b ln -s /bin/busybox /bin/$a; done
		$b mount -t proc proc /proc; $b mount -t sysfs sys /sys
		$b mount -t devtmpfs dev /dev; $b mount -t tmpfs run /run
		[ ! -f /mod/fuse.ko ] || $b insmod /mod/fuse.ko
		$b insmod /mod/cuse.ko
		serve() {
			name=$1; shift
			"$@" --sim --evtchn=none --name=xen/$name --run-dir=/run/$name 2>>/run/log &
			until [ -S /run/$name/xen-$name.sock ]; do $b usleep 100000; done
		}
		if $b grep -q cuse_trace /proc/cmdline; then
			serve untraced /bin/untraced_gntdev --granter=none
			serve gntdev /bin/cuse_gntdev --granter=none
			serve control /bin/untraced_gntdev --granter=none
			$b mkdir -p /run/cuse-gntdev; $b ln -s /run/gntdev/xen-gntdev.ctl /run/cuse-gntdev
			$b sleep 1; /bin/cuse_trace || $b cat /run/log
		elif $b grep -q 'cost=' /proc/cmdline; then
			serve gntdev /bin/cuse_gntdev --granter=none; ours=$!
			serve plain /bin/plain_gntdev --granter=none; plain=$!
			serve control /bin/plain_gntdev --granter=none; control=$!
			$b sleep 1
			/bin/cost $($b sed 's/.*cost=\([a-z_]*\).*/\1/' /proc/cmdline) all /dev/xen/gntdev $ours \
				/dev/xen/plain $plain /dev/xen/control $control || $b cat /run/log
		else
			serve gntdev /bin/cuse_gntdev --evtchn=0 --evtchn=1
			$b sleep 1
			LD_PRELOAD=/bin/libgntdev-mmap.so /bin/cuse_ioctl && /bin/cuse_evtchn || $b cat /run/log
		fi
		$b poweroff -f
	EOF
	chmod 755 "$dir/guest/init"
	(cd "$dir/guest" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$dir/initrd"
}

get_kernel && make_root || exit 1

# measure CPUS FIGURES PROGRAM [OPTION...]: boot with so many processors, and QEMU's options, run PROGRAM, which prints so
# many figures
measure()
{
	echo "# QEMU without hardware virtualisation, $1 virtual CPU(s), $(cat $cache/name): compare, look at ratios"
	timeout 400 qemu-system-x86_64 -M q35 -cpu max -m 512 -smp "$1" -nographic -no-reboot -kernel $cache/vmlinuz "${@:4}" \
		-initrd "$dir/initrd" -append "console=ttyS0 quiet panic=-1 $3" </dev/null >"$dir/log" 2>&1
	# The first line has the firmware's control sequences in front.
	grep -aoE '[a-z0-9_]+ -?[0-9.]+ (us|ratio|bytes)' "$dir/log" | tee "$dir/figures"
	[ "$(wc -l <"$dir/figures")" -ge "$2" ] || { tail -n 20 "$dir/log" >&2; return 1; }
}

# What surviving costs, by instructions: each takes 2 ns. Debian's kernels zero each page that is allocated: as many
# instructions as a page has bytes, where processors have one. So once with that and once without.
counted()
{
	echo "# instructions are counted, 500 in a us"
	measure 1 12 "$1" -icount shift=1,sleep=off
}

counted "cost=survive_counted init_on_alloc=0" || exit 1
counted "cost=survive_counted_zeroed" || exit 1
measure 1 19 cuse_ioctl || exit 1
# Who reads the trace is another process, that has a processor of its own.
measure 2 7 cuse_trace || exit 1
