# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Which map is at an address: libxengnttab asks before each munmap, and the preload object knows, for any user.
bin=/tmp/offset-case
# A copy: the checkout may lie where nobody else may go (/root).
mkdir -p $bin && cp "$BUILD"/{gntdev-run,libgntdev-mmap.so,tests/uml/cycles} $bin
chmod -R a+rX $bin
start_daemon --sim-port=5:1
chmod 666 /dev/xen/gntdev /dev/xen/gntalloc

# traced FILE COMMAND...: what the daemon is asked meanwhile
traced()
{
	local file=$1 tracer status

	"$BUILD/gntdevctl" trace --json >"$file" &
	tracer=$!
	wait_for 5 sh -c "'$BUILD/gntdevctl' stats --json | grep -q '\"tracers\": 1'"
	"${@:2}"
	status=$?
	kill -INT $tracer && wait $tracer
	return $status
}

as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

check "root's client" traced root.json $bin/gntdev-run $bin/cycles 20
check_output "it was seen" '"op":"UNMAP_GRANT_REF"' cat root.json
check "and did not have to ask" sh -c "! grep GET_OFFSET root.json"
check "nobody's client" traced nobody.json as_nobody $bin/gntdev-run $bin/cycles 20
check_output "it was seen, too" '"op":"UNMAP_GRANT_REF"' cat nobody.json
check "nor had to ask" sh -c "! grep GET_OFFSET nobody.json"
check "nor tried the way that is root's" sh -c "! grep '\"op\":\"preload\".*\"result\":-' nobody.json"
check "the daemon ends well" stop_daemon
