#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh [-t SECONDS] [-n NAME] [-i] [-p DIRECTORY] COMBO SCRIPT [ARGUMENT...]
#
# Boots Xen with a dom0 in an emulated machine, runs SCRIPT in dom0 as root by bash, and ends as
# SCRIPT ended. COMBO is debian12-pv, debian12-pvh, debian13-pv or debian13-pvh: the release that
# Xen, kernel and Xen's tools come from, and dom0's type. Needs neither root nor virtualisation.
#
# dom0 has all of tests/ and what is built in build/, below /project. SCRIPT's output is streamed, in
# its lines of TAP and comments the name of COMBO is put in. In build/xen/COMBO (or COMBO-NAME) are left: log, the
# serial line (Xen and dom0's console), tap, results/ (what SCRIPT left in /tmp/results, and dmesg).
# Variables of the environment whose name starts with XEN_TEST_ are SCRIPT's too.
#
# The run fails too when the time is over (-t, 300 s; more on a slow or busy machine, see tests/pace.sh), when the
# kernel or Xen reports a fault of its own, or when a sanitizer does. See "complain" in lib.sh for faults that are
# provoked.
#
# With -i the emulator counts instructions: each takes 2 ns of the machine's time, and nothing else takes any (but for
# waits), whatever this machine has to do meanwhile. With -p the daemon and what is installed with it come from DIRECTORY, the build/ of
# another version.
set -u
usage() { sed -n '4s/^# \{0,1\}//p' "$0" >&2; exit 2; }

seconds=300 name='' counted=() programs_of=''
while getopts t:n:ip: option; do
	case $option in
	t) seconds=$OPTARG ;;
	n) name=$OPTARG ;;
	i) counted=(-icount "shift=1,sleep=off") ;;
	p) programs_of=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -ge 2 ] || usage
combo=$1
shift

# With ACPI a PVH dom0 hangs at boot. Without an invariant TSC (which QEMU says it has not, but has) Xen
# emulates each reading of it for a PVH dom0, and with it every clock and every system call.
cpu=+invtsc,x-force-features=on
case $combo in
*-pv) xen_args='' linux_args='' ;;
*-pvh) xen_args='dom0=pvh' linux_args='acpi=off' ;;
*) usage ;;
esac
target=${combo%-*}
case $target in
debian12) memory=700M ;;
debian13) memory=900M ;;
*) usage ;;
esac

top=$(cd "$(dirname "$0")/../.." && pwd)
cache=$top/.cache/xen/$target
dir=$top/build/xen/$combo${name:+-$name}
mkdir -p "$dir"
exec 9>"$dir/lock"
flock -n 9 || { echo "run.sh: $dir is in use by another run" >&2; exit 2; }
"$top/tests/xen/fetch.sh" "$target" || exit 1
rm -rf "$dir"/{log,tap,faults,results,results.tar,alarm}
mkdir -p "$dir/results"
touch "$dir/tap"

# libraries_of PROGRAM...: those of this machine that they need, and the loader
libraries_of()
{
	# shellcheck disable=SC2016 # awk's own variables
	ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ "/" { print $3 } $1 ~ "^/" && !/:$/ { print $1 }' | sort -u
}

# copy_files ROOT: those named by its input, to the same place
copy_files()
{
	local file

	while read -r file; do
		mkdir -p "$1${file%/*}"
		cp -L "$file" "$1$file"
	done
}

# The tree that the job runs in: this machine's bash and libraries, and the project.
make_host()
{
	local host=$1 file

	mkdir -p "$host"/{bin,dev,proc,sys,run,tmp,etc,dom0,project/build/asan} "$host/usr/bin"
	echo 'root:x:0:0:root:/:/bin/bash' >"$host/etc/passwd"
	echo 'nobody:x:65534:65534:nobody:/:/bin/sh' >>"$host/etc/passwd"
	echo 'root:x:0:' >"$host/etc/group"
	"$busybox" --list | sed "s|^|$host/bin/|" | xargs -n 1 ln -sf busybox
	cp --remove-destination "$busybox" "$host/bin/busybox"
	for file in bash setpriv script; do
		cp --remove-destination -L "$(command -v $file)" "$host/bin"
	done
	ln -s ../../bin/env "$host/usr/bin/env"
	cp -r "$top/tests" "$host/project"
	for file in {,asan/,steps/}cuse_gntdev{,-keeper} gntdevctl libgntdev-mmap.so gntdev-run examples asan/tests/uml \
		tests bench "xen/$target"; do
		[ -e "$top/build/$file" ] || continue
		mkdir -p "$(dirname "$host/project/build/$file")"
		cp -r "$top/build/$file" "$host/project/build/$file"
	done
	[ -z "$programs_of" ] || cp "$programs_of"/{cuse_gntdev*,gntdevctl,libgntdev-mmap.so,gntdev-run} "$host/project/build" || return
	find "$host/project/build" \( -name '*.[oda]' -o -name support \) -delete
	mapfile -t programs < <(find "$host/project/build" "$host"/bin/{bash,setpriv,script} -type f)
	libraries_of "${programs[@]}" | copy_files "$host"
	# pthread_cancel(), which libfuse's own threads need, loads it by name.
	ldconfig -p | sed -n 's/.*libgcc_s.so.1 (libc6,x86-64) => //p' | head -n 1 | copy_files "$host"
}

# The guest's own root file system; it has the same kernel. The program that answers dom0 has this
# machine's libraries, in /host.
make_guest()
{
	local guest=$dir/guest libraries=usr/lib/x86_64-linux-gnu

	rm -rf "$guest"
	mkdir -p "$guest"/{bin,dev,proc,sys,run,tmp,modules,lib64,host,$libraries}
	ln -s usr/lib "$guest/lib"
	cp "$busybox" "$top/build/xen/tools/guest" "$guest/bin"
	install -m 755 "$top/tests/xen/guest/init.sh" "$guest/init"
	cp "$cache"/modules/xen-{evtchn,gntalloc}.ko "$guest/modules"
	cp -a "$cache/root"/usr/bin/xenstore* "$guest/bin"
	cp -L "$cache/root/$libraries"/{libxenstore.so.[0-9],libxentoolcore.so.[0-9],libc.so.6} "$guest/$libraries"
	cp -L "$cache/root/$libraries/ld-linux-x86-64.so.2" "$guest/lib64"
	libraries_of "$guest/bin/guest" | xargs cp -Lt "$guest/host"
	mkdir -p "$1"
	pack "$guest" >"$1/initrd"
	cp "$cache/vmlinux" "$1"
}

pack() { (cd "$1" && find . | cpio --quiet -o -H newc -R 0:0) && rm -rf "$1"; }

make_job()
{
	local name script

	script=$(realpath "$1")
	case $script in
	"$top"/tests/*) name=/project/${script#"$top/"} ;;
	*) cp "$script" "$root/host/project/script" && name=/project/script ;;
	esac
	shift
	{
		printf 'export %s=%q\n' TOP /project PACE "$("$top/tests/pace.sh")" COMBO "$combo" TARGET "$target" HOME / \
			PATH /bin:/usr/bin LC_ALL C TERM dumb
		export -p | grep -E '^declare -x XEN_TEST_'
		printf 'mkdir -p /tmp/work && cd /tmp/work\nexec bash '
		printf '%q ' "$name" "$@"
	} >"$root/host/project/job"
}

make_root()
{
	rm -rf "$root"
	mkdir -p "$root"/{proc,sys,dev,run,tmp,host,modules,var/{lib/xen,log/xen}}
	cp -r "$cache/root/." "$root"
	rm -rf "$root"/{usr/include,var/run,var/lock}
	ln -s ../run "$root/var/run"
	ln -s ../run/lock "$root/var/lock"
	cp "$busybox" "$top/build/xen/tools/port" "$root/bin"
	cp "$cache"/modules/*.ko "$cache/order" "$root/modules"
	install -m 755 "$top/tests/xen/init.sh" "$root/init"
	make_host "$root/host" || return
	mkdir -p "$root/project/build"
	cp "$top/build/libgntdev-mmap.so" "$root/project/build"
	make_job "$@"
	make_guest "$root/guest"
	pack "$root" >"$dir/initrd"
}

# QEMU 10 takes a read of CR2 in a PVH domain for one of CR0, at which Xen intercepts it and gives a
# stale value: such domains die at their first page fault. QEMU 7.2, Debian 12's, does not.
choose_qemu()
{
	local root=$top/.cache/xen/qemu/root libraries=usr/lib/x86_64-linux-gnu major

	qemu=(qemu-system-x86_64)
	major=$(qemu-system-x86_64 --version | sed -n '1s/.*version \([0-9]*\)\..*/\1/p')
	[ "${major:-0}" -gt 8 ] || return 0
	"$top/tests/xen/fetch.sh" qemu || return
	qemu=(env QEMU_MODULE_DIR="$root/$libraries/qemu"
		"$root/$libraries/ld-linux-x86-64.so.2" --library-path "$root/$libraries:$root/$libraries/pulseaudio"
		"$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios")
}

busybox=$(command -v busybox)
root=$dir/root
choose_qemu || exit 1
make_root "$@" || exit 1

# A session of its own, so that all its processes can be ended by the number of their group. Xen
# would scrub all memory at first, and both would guard against other machines' processors.
setsid "${qemu[@]}" -M q35 -cpu "qemu64,+svm,+npt,$cpu" -m 2048 -smp 1 "${counted[@]}" -display none -monitor none -nic none -no-reboot \
	-serial "file:$dir/log" \
	-chardev "file,id=tap,path=$dir/tap" -device isa-debugcon,iobase=0x5e1,chardev=tap \
	-chardev "file,id=results,path=$dir/results.tar" -device isa-debugcon,iobase=0x5e2,chardev=results \
	-kernel "$cache/xen.elf" \
	-initrd "$cache/vmlinux console=hvc0 quiet loglevel=5 panic=-1 mitigations=off $linux_args,$dir/initrd" \
	-append "com1=115200 console=com1 dom0_mem=$memory dom0-iommu=none bootscrub=0 spec-ctrl=no $xen_args" \
	</dev/null >"$dir/qemu" 2>&1 9>&- &
machine=$!
"$top/tests/pace.sh" wait "$seconds" >"$dir/alarm" 9>&- &
alarm=$!

end()
{
	kill "$alarm" 2>/dev/null
	kill -KILL -- "-$machine" 2>/dev/null
	rm -f "$dir/initrd"
}
trap end EXIT
trap 'exit 130' INT TERM

# As it comes; ends by itself at the end marker.
tail -n +1 -s 0.1 -F --pid="$machine" "$dir/tap" 2>/dev/null 9>&- |
	sed -un "s/^\(not ok\|ok\|#\) /&$combo /; /@@end /{s/@@end .*//; /./p; q}; p" &
stream=$!

wait -n "$machine" "$alarm" "$stream"
kill "$alarm" 2>/dev/null
kill -KILL -- "-$machine" 2>/dev/null
wait "$machine" "$stream" 2>/dev/null
tar -C "$dir/results" -xf "$dir/results.tar" 2>/dev/null && rm -f "$dir/results.tar"

status=$(sed -n 's/.*@@end //p' "$dir/tap" | tail -n 1)
late=$(cat "$dir/alarm")
# The case that has begun and not ended, if it is cases that run.
during=$(tr -d '\r' <"$dir/log" | sed -n 's/.*@@case/, in case/p' | tail -n 1 | grep 'case .')
"$top/tests/xen/faults.sh" "$dir" >"$dir/faults"
if [ -s "$dir/faults" ]; then
	sed 's/^/# /' "$dir/faults"
	echo "not ok $combo fault reported, see $dir/log"
	status=1
fi
if [ -n "$late" ]; then
	echo "not ok $combo no end after $late$during, see $dir/log"
	status=1
elif [ -z "$status" ]; then
	tail -n 20 "$dir/log" | tr -d '\r' | sed 's/^/# /'
	echo "not ok $combo ended before its script did, see $dir/log"
	status=1
fi
exit "$status"
