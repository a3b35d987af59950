#!/bin/bash
# SPDX-License-Identifier: MIT
#
# programs.sh - programs that gntdev-run starts and that have nothing to do with the device: they see no
# difference, whatever confines them, checks them or was preloaded before. Prints TAP.
set -u
cd "$(dirname "$0")/../../.." || exit 1
run=$PWD/build/gntdev-run object=$PWD/build/libgntdev-mmap.so
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
status=0
# What make's own environment says of sanitizers is not this test's.
unset LD_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS

cat >"$dir/program.c" <<'END'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Any of these kills. */
static const int deadly[] = { SYS_socketpair, SYS_socket,   SYS_ioctl,  SYS_readlink, SYS_readlinkat,
			      SYS_fcntl,      SYS_openat,   SYS_getpid, SYS_geteuid,  SYS_rt_sigprocmask,
			      SYS_connect,    SYS_recvmsg,  SYS_close };
#define DEADLY (sizeof(deadly) / sizeof(deadly[0]))

static void confine(void)
{
	struct sock_filter f[2 * DEADLY + 2] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
							  offsetof(struct seccomp_data, nr)) };
	struct sock_fprog p = { sizeof(f) / sizeof(f[0]), f };

	for (size_t i = 0; i < DEADLY; i++) {
		f[2 * i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, deadly[i], 0, 1);
		f[2 * i + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
	f[2 * DEADLY + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
		exit(3);
}

int main(int argc, char **argv)
{
	int fd = open("/dev/null", O_RDWR);
	char *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *freed = malloc(10);

	own[0] = 1;
	if (argc > 1 && !strcmp(argv[1], "confined"))
		confine();
	if (argc > 1 && !strcmp(argv[1], "full"))
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){ fd + 1, fd + 1 });
	if (mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED || errno != ENODEV)
		return 4;
	if (mprotect(own, 4096, PROT_READ) || mremap(own, 8192, 4096, 0) != own || munmap(own, 4096))
		return 5;
	if (argc > 1 && !strcmp(argv[1], "wrong")) {
		free(freed);
		return ((volatile char *)freed)[0];
	}
	free(freed);
	if (write(1, "fine\n", 5) != 5)
		return 6;
	_exit(0);
}
END
cat >"$dir/interposer.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	void *(*next)(void *, size_t, int, int, int, off_t) =
		(void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");

	if (write(1, "seen ", 5) != 5)
		return MAP_FAILED;
	return next(addr, length, prot, flags, fd, offset);
}
END

# expect NAME PATTERN COMMAND...: what it prints matches
expect()
{
	local out

	out=$("${@:3}" 2>&1)
	if grep -Eq -- "$2" <<<"$out"; then
		echo "ok gntdev-run: $1"
	else
		echo "#   ${out//$'\n'/$'\n'#   }"
		echo "not ok gntdev-run: $1 - nothing like '$2'"
		status=1
	fi
}

# build NAME COMPILER...: a sanitizer that is not there is no failure
build()
{
	"${@:2}" -g -o "$dir/$1" "$dir/program.c" 2>"$dir/log" && return
	echo "ok gntdev-run: $1 # SKIP this compiler has no such sanitizer"
	return 1
}

status_with()
{
	(export ASAN_OPTIONS=$1; "${@:2}" >/dev/null 2>&1; echo "status $?")
}

cc=${CC:-gcc}
$cc -o "$dir/plain" "$dir/program.c" && $cc -shared -fPIC -o "$dir/interposer.so" "$dir/interposer.c" || exit 1
expect "a program" '^fine$' "$run" "$dir/plain"
expect "under a filter that kills" '^fine$' "$run" "$dir/plain" confined
expect "without a free descriptor" '^fine$' "$run" "$dir/plain" full
expect "an interposer sees all calls, and the object too" '^(seen )+fine$' env LD_PRELOAD="$dir/interposer.so" "$run" "$dir/plain"
expect "an interposer behind it does no harm" '^(seen )*fine$' env LD_PRELOAD="$object:$dir/interposer.so" "$dir/plain"
expect "what was preloaded comes first" "^$dir/interposer.so:$object\$" \
	env LD_PRELOAD="$dir/interposer.so" "$run" sh -c 'env | sed -n s/LD_PRELOAD=//p'
expect "the object needs nothing that only glibc has" '^0$' "$BASH" -c "nm -D '$object' | grep -c 'U __mem.*_chk'"

jemalloc=$(ldconfig -p | sed -n 's/.*libjemalloc\.so.* => //p' | head -n 1)
if [ -n "$jemalloc" ]; then
	expect "behind jemalloc" '^fine$' env LD_PRELOAD="$jemalloc" "$run" "$dir/plain"
	expect "in front of jemalloc" '^fine$' env LD_PRELOAD="$object:$jemalloc" "$dir/plain"
else
	echo "ok gntdev-run: jemalloc # SKIP it is not there"
fi

# sanitized NAME REPORT COMPILER...: REPORT is what it says of a program that is wrong
sanitized()
{
	build "$1" "${@:3}" || return
	expect "$1" '^fine$' setarch -R "$run" "$dir/$1"
	expect "$1, from a script" '^fine$' setarch -R "$run" sh -c "$dir/$1"
	[ -z "$2" ] || expect "$1 still finds what is wrong" "$2" setarch -R "$run" "$dir/$1" wrong
}

sanitized gcc-address 'heap-use-after-free' gcc -fsanitize=address
sanitized gcc-thread 'heap-use-after-free' gcc -fsanitize=thread
sanitized gcc-undefined '' gcc -fsanitize=undefined
sanitized clang-address 'heap-use-after-free' clang -fsanitize=address
sanitized clang-thread 'heap-use-after-free' clang -fsanitize=thread
sanitized clang-memory 'use-of-uninitialized-value' clang -fsanitize=memory
shared=$(dirname "$(clang -print-file-name=libclang_rt.asan-x86_64.so 2>/dev/null)")
sanitized clang-address-shared 'heap-use-after-free' clang -fsanitize=address -shared-libasan "-Wl,-rpath,$shared"
if [ -x "$dir/gcc-address" ]; then
	asan=$(gcc -print-file-name=libasan.so)
	expect "with AddressSanitizer preloaded" 'heap-use-after-free' env LD_PRELOAD="$(readlink -f "$asan")" "$run" "$dir/gcc-address" wrong
	expect "AddressSanitizer's other options stay" '^status 9$' status_with exitcode=9 "$run" "$dir/gcc-address" wrong
	expect "whoever wants the order checked has it checked" 'does not come first' \
		env ASAN_OPTIONS=verify_asan_link_order=1 "$run" "$dir/gcc-address"
fi
exit $status
