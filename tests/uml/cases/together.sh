# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The preload object with others of its kind, before and behind it: all of them work.
object=$BUILD/libgntdev-mmap.so
cycles=$BUILD/tests/uml/cycles
start_daemon --sim-port=5:1

cat >interposer.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	void *(*next)(void *, size_t, int, int, int, off_t) =
		(void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");

	if (write(2, "seen\n", 5) != 5)
		abort();
	return next(addr, length, prot, flags, fd, offset);
}
END
check "an interposer" gcc -shared -fPIC -o interposer.so interposer.c
interposer=$CASE_DIR/interposer.so
check_output "it is asked, and the object too" '^seen$' env LD_PRELOAD="$interposer" "$BUILD/gntdev-run" "$cycles" 3
check "and the client works" env LD_PRELOAD="$interposer" "$BUILD/gntdev-run" "$cycles" 3
check "behind the object it does no harm" env LD_PRELOAD="$object:$interposer" "$cycles" 3

jemalloc=$(ldconfig -p | sed -n 's/.*libjemalloc\.so.* => //p' | head -n 1)
check "jemalloc is there" test -n "$jemalloc"
check "behind jemalloc" env LD_PRELOAD="$jemalloc" "$BUILD/gntdev-run" "$cycles" 100
check "in front of jemalloc" env LD_PRELOAD="$object:$jemalloc" "$cycles" 100
check "behind both" env LD_PRELOAD="$jemalloc $interposer" "$BUILD/gntdev-run" "$cycles" 3
check "the daemon ends well" stop_daemon
