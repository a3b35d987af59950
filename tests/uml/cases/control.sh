# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# gntdevctl asks a daemon that serves clients on a real device.
ctl=$BUILD/gntdevctl
mapper=$BUILD/examples/mapper

# status_is N COMMAND...: how it ends
status_is()
{
	local status

	"${@:2}"
	status=$?
	[ $status -eq "$1" ] || { echo "status $status"; return 1; }
}

# --- nobody there
check "without a daemon: status 3" status_is 3 "$ctl" list
check_output "and what to look at" 'no daemon listens on /run/cuse-gntdev/xen-gntdev.ctl: is it running\? See: systemctl status' \
	"$ctl" stats
check "doctor finds that: status 1" status_is 1 "$ctl" doctor
check_output "doctor names the command" 'mend: cuse_gntdev &' "$ctl" doctor
check "a wrong command: status 2" status_is 2 "$ctl" lisst
check_output "and the one that may be meant" '"lisst" is no command; is "list" meant\?' "$ctl" lisst
check_output "and none if none is near" '"xyzzy" is no command; see gntdevctl --help$' "$ctl" xyzzy
check_output "help: all commands" '^  doctor +look for what is wrong' "$ctl" help
check_output "help: one" '^Usage: gntdevctl trace ' "$ctl" help trace
check "help: no such command: status 2" status_is 2 "$ctl" help xyzzy
check_output "-h" '^  list +opens and their maps' "$ctl" -h

# --- one client that holds a page
start_daemon --sim-port=5:1
"$ctl" trace --json >trace.json &
tracer=$!
wait_for 5 sh -c "'$ctl' stats --json | grep -q '\"tracers\": 1'"
mkfifo go
client "$BUILD/tests/uml/pending" hold <go >hold.out &
exec {go}>go
wait_for 5 grep -q holding hold.out
"$ctl" list >list.out
id=$(sed -n 's/^  \([0-9a-f]*:[0-9a-f]*\) .*/\1/p' list.out)
pid=$(sed -n "s/^${id%:*} *\([0-9]*\) .*/\1/p" list.out)
check_output "list: the client's open" "^${id%:*} +$pid root +pending +1 +1 +[0-9]+(ms|s)" cat list.out
check_output "list: its map" "^  $id +1 +1  rw   mapped +[0-9]+(ms|s)  $pid$" cat list.out
check_output "list: the sums" '^1 opens, 1 maps, 1 pages$' cat list.out
check "the client's process is that" test "$(cat "/proc/$pid/comm")" = pending
check_output "list by another domain: nothing" '^0 opens, 0 maps, 0 pages$' "$ctl" list --domid 9
check_output "list by domain" "^  $id " "$ctl" list --domid 1
check_output "list by another process: nothing" '^0 opens, 0 maps, 0 pages$' "$ctl" list --pid 1
check_output "list by user" "^  $id " "$ctl" list --user root
check_output "list in JSON" "^\{\"map\":\{.*\"id\":\"$id\".*\"state\":\"mapped\"" "$ctl" list --json
"$ctl" show "$id" >show.out
check_output "show: the grant" '^  refs       [0-9]+$' cat show.out
check_output "show: who holds it" "^  held by    $pid pending$" cat show.out
check "show: what is not there: status 1" status_is 1 "$ctl" show ffff00000001
check_output "and which" 'there is no open ffff00000001$' "$ctl" show ffff00000001
check_output "and which map" "there is no map ${id%:*}:7000$" "$ctl" show "${id%:*}:7000"
check_output "list --opens: the sums" '^1 opens, 1 maps, 1 pages$' "$ctl" list --opens
check_output "list by another domain: told" '^no open and no map is as asked for$' "$ctl" list --domid 9
check_output "stats" '^  grants +1 ' "$ctl" stats
check_output "stats: a histogram" '^    < +[0-9.]+ us +[0-9]+ #' "$ctl" stats
check_output "stats: workers" '^  workers busy +[0-9]+ of [0-9]+ ' "$ctl" stats
check_output "top" "^ +$pid root +1 +1 +[0-9]+(ms|s)  pending" "$ctl" top --batch --count=2
check_output "top needs a terminal" 'top --batch' "$ctl" top
check "output that nobody takes is not sent to the daemon" status_is 5 sh -c "'$ctl' top --batch --count=2 >&-"
check_output "metrics" '^# TYPE cuse_gntdev_' "$ctl" metrics
# serves_what_is_named FILE...: whether the metrics have each name that a file of contrib/ has
serves_what_is_named()
{
	local name

	"$ctl" metrics >metrics.out
	while read -r name; do
		grep -Eq "^(# TYPE )?${name}[ {]" metrics.out || { echo "no $name"; return 1; }
	done < <(grep -oh 'cuse_gntdev_[a-z_]*' "$@" | sort -u)
}
# Of process substitution.
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
check "metrics: those of the alerts" serves_what_is_named "$TOP"/contrib/prometheus/alerts.yml
check "metrics: those of the dashboard" serves_what_is_named "$TOP"/contrib/grafana/cuse-gntdev.json
check_output "graph" "p$pid -> d1 \[label=\"  1 page rw, 1 map  \", penwidth=1\];" "$ctl" graph
if command -v dot >/dev/null; then
	check "graph, drawn" "$ctl" graph --svg=graph.svg
	check_output "is an image" '<text .*domain 1</text>' cat graph.svg
fi
check_output "doctor: a daemon answers" '^ok +daemon .*process '"$DAEMON" "$ctl" doctor
check "doctor finds no fault" "$ctl" doctor
nobody=(setpriv --reuid=65534 --clear-groups)
check "another user: status 4" status_is 4 "${nobody[@]}" "$ctl" list
check_output "and which group may" 'members of group xen-gnt may ask' "${nobody[@]}" "$ctl" list
client "$mapper" 1 "$(sed -n 's/^  refs  *//p' show.out)" >/dev/null
# completes WORD... : what the last one can become, on one line
completes()
{
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
	_gntdevctl
	printf '%s ' "${COMPREPLY[@]-}"
}

gntdevctl()
{
	"$ctl" "$@"
}

# timeout starts programs only.
timeout()
{
	"${@:2}"
}

check "completion is read in" . "$TOP/completion/gntdevctl.bash"
check_output "completion: commands" '^show stats $' completes gntdevctl s
check_output "completion: options" '^--failed $' completes gntdevctl --json trace --f
check_output "completion: behind a global option's argument" '^--batch $' completes gntdevctl --name = x top --b
check_output "completion: ids" "^${id%:*} $id $" completes gntdevctl show ''
check_output "completion: an index" "^${id#*:} $" completes gntdevctl show "${id%:*}" :
check_output "completion: processes" "^$pid $" completes gntdevctl list --pid = ''
check "completion: nothing that is not there" test "$(completes gntdevctl show zzz)" = ' '
check_output "completion: what policy takes" '^show check test explain $' completes gntdevctl policy ''
check_output "completion: not an option of another command" '^--opens --output $' completes gntdevctl list --o
check_output "completion: files" "^$TOP/README.md $" completes gntdevctl graph --html = "$TOP/READ"
check_output "completion: formats" '^json text $' completes gntdevctl -o ''
unset -f gntdevctl timeout

echo >&"$go"
exec {go}>&-
wait_for 5 sh -c "'$ctl' list | grep -q '^0 opens'"
check_output "the list is empty afterwards" '^0 opens, 0 maps, 0 pages$' "$ctl" list

# --- what was traced
kill -INT $tracer
check "trace ends well by SIGINT" wait $tracer
for op in open MAP_GRANT_REF mmap hypercall_map UNMAP_GRANT_REF munmap hypercall_unmap release; do
	check_output "traced: $op" "^\{\"event\":\{.*\"op\":\"$op\"" cat trace.json
done
check_output "traced: whose it was" "\"op\":\"MAP_GRANT_REF\",.*\"pid\":$pid" cat trace.json
"$ctl" trace --failed --seconds=3 >failed.out &
tracer=$!
wait_for 5 sh -c "'$ctl' stats --json | grep -q '\"tracers\": 1'"
client "$mapper" 1 40000 >/dev/null 2>&1
wait $tracer
check_output "traced in words" '^[0-9:.]+ +[0-9]+ hypercall_map\(.*domid 1, ref 40000\) = 1 failed \(bad_gntref\) <' cat failed.out
check_output "and what the client got" 'mmap\(.*domid 1, ref 40000\) = -1 EINVAL' cat failed.out
check "only what failed" sh -c "! grep -v -- '-1 E\| failed' failed.out"
"$ctl" trace --count=1 | head -c 1 >/dev/null &
tracer=$!
wait_for 5 sh -c "'$ctl' stats --json | grep -q '\"tracers\": 1'"
client "$mapper" 1 40000 >/dev/null 2>&1
check "trace ends after its count" wait_for 5 sh -c "! kill -0 $tracer"

# --- failures of clients
client "$BUILD/tests/uml/abi" >/dev/null 2>&1
check "each failure of the walk has a reason" sh -c "'$ctl' errors --json | grep -q '\"reason\":' &&
	! '$ctl' errors --json | grep '\"reason\":\"unnamed\"'"
check_output "a request that is refused: what" '^    what    MAP_GRANT_REF\(.*: count 65537 is not 1 to 65536' "$ctl" errors
check_output "a request that is refused: cause" '^    cause   the client asks for no page, or for more than' "$ctl" errors
"$mapper" 1 40000 >/dev/null 2>&1
wait_for 5 sh -c "'$ctl' errors --json | grep -q '\"kind\":\"preload\"'"
check_output "a client without the object: remedy" '^    remedy  .*start it as "gntdev-run PROGRAM ARGS"' \
	"$ctl" errors -n 5
check_output "doctor tells it" '^warning +clients ' "$ctl" doctor
# An object that cannot act is not one that is missing. A limit of descriptors that leaves none beside the device's:
client sh -c "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; ulimit -n 5; exec '$mapper' 1 40000" >/dev/null 2>&1
check_output "a client without a free descriptor: reason" '"reason":"preload_failed"' "$ctl" errors --json -n 1
check_output "a client without a free descriptor: remedy" '^    remedy  raise the client.s LimitNOFILE= ' "$ctl" errors -n 1
client sh -c "ulimit -n 64; exec '$mapper' 1 40000" >/dev/null 2>&1
check_output "with more of them it maps, as far as Xen lets it" '"reason":"grant"' "$ctl" errors --json -n 1
# A run directory that the client does not see, as with TemporaryFileSystem=/run; and the remedy's, BindReadOnlyPaths=.
# Copies: the checkout may lie where nobody else may go, made under a umask that leaves others nothing.
mkdir -p /tmp/kept
chmod 666 /dev/xen/gntdev
install -m 755 "$mapper" "$BUILD/libgntdev-mmap.so" /tmp
own_run="mount --bind /run/cuse-gntdev /tmp/kept && mount -t tmpfs none /run"
bound="mkdir /run/cuse-gntdev && mount --bind /tmp/kept /run/cuse-gntdev"
as_nobody="exec setpriv --reuid=65534 --clear-groups env LD_PRELOAD=/tmp/libgntdev-mmap.so /tmp/${mapper##*/} 1 40000"
unshare -m sh -c "$own_run && $as_nobody" >/dev/null 2>&1
check_output "a client with a /run of its own: reason" '"reason":"preload_failed".*"uid":65534' "$ctl" errors --json -n 1
unshare -m sh -c "$own_run && $bound && $as_nobody" >/dev/null 2>&1
check_output "and with the remedy" '"reason":"grant".*"uid":65534' "$ctl" errors --json -n 1
chmod 660 /dev/xen/gntdev
rm /dev/xen/gntdev
eval "$("$ctl" doctor | sed -n 's/.* \(mknod [^,]*\), and rm it .*/\1/p')"
check_output "doctor's command makes a node that was removed" '^ok +node ' "$ctl" doctor
check_output "it is the device" 'no such grant' client "$mapper" 1 40000
rm /dev/xen/gntdev
check "the daemon ends well" stop_daemon

# --- each of Xen's statuses, and a hypercall that fails
statuses=(general_error bad_domain bad_gntref bad_handle bad_virt_addr bad_dev_addr no_device_space
	permission_denied bad_page bad_copy_arg address_too_big no_space)
n=0 faults=()
for status in "${statuses[@]}"; do
	faults+=("--fault=map:nth=$((++n)),ref=8,status=$status")
done

# told STATUS REF: what the last failure is told as
told()
{
	"$ctl" errors -n 1 >error.out
	check_output "$1: the grant and the status in words" "^    grant   $2 of domain 1: $1, [A-Za-z].{8}" cat error.out
	check_output "$1: the client" '^\[[0-9]+\] .* mmap: E[A-Z]+, client [0-9]+ mapper of user root$' cat error.out
	check_output "$1: the likely cause" '^    cause   .{20}' cat error.out
	check_output "$1: the remedy" '^    remedy  .{20}' cat error.out
	check_output "$1: in the log" "grant $2 of domain 1 .*$1" cat daemon.log
}

start_daemon "${faults[@]}" --fault=map:nth=1,ref=9,status=eagain,count=100000
mkfifo refs go2
client "$BUILD/examples/granter" -n 2 0 <go2 >refs &
exec {go2}>go2
read -r _ granted <refs
check "the granter's references are those of the faults" test "$granted" = "8 9"
for status in "${statuses[@]}"; do
	client "$mapper" 1 8 >/dev/null 2>&1
	told "$status" 8
done
# It is tried for half a minute.
client "$mapper" 1 9 >/dev/null 2>&1 &
waiter=$!
check "list: the one that waits" wait_for 6 sh -c "'$ctl' list | grep -q ' 1  *1  -    mapping '"
wait_for 6 sh -c "'$ctl' list | grep -Eq ' mapping +([5-9]|[12][0-9])s '"
check_output "doctor tells of the mmap that goes on" '^warning +waiting +the mmap of .*, pages of domain 1,' "$ctl" doctor
wait $waiter
told eagain 9
check_output "as many as there were" '^  bad_page +1$' "$ctl" stats
exec {go2}>&-
check "the daemon ends well after that" stop_daemon
start_daemon --fault=map:nth=1,errno=ENOMEM
client "$mapper" 1 8 >/dev/null 2>&1
check_output "a hypercall that fails" '^    cause   the hypercall itself failed' "$ctl" errors
check "and the daemon ends well" stop_daemon

# --- rules and limits
cat >policy.conf <<'END'
rule "not this one" { domid = 7 action = deny }
limit { maps_per_open = 2 }
END
check "policy check: a good file" "$ctl" policy check policy.conf
{
	cat policy.conf
	echo 'rule "first" { action = deny }'
	echo 'rule "never" { domid = 3 action = allow }'
} >order.conf
check_output "policy check: a rule that decides nothing" '^warning: order.conf:.*"never" decides nothing' "$ctl" policy check order.conf
check_output "policy check: what was read, as JSON" '"rules": ?[0-9]+' "$ctl" policy check --json order.conf
start_daemon --config="$CASE_DIR/policy.conf"
client "$mapper" 7 8 >/dev/null 2>&1
"$ctl" errors -n 1 >error.out
check_output "a rule that denies is named" '^    rule    not this one$' cat error.out
check_output "a rule that denies: remedy" '^    remedy  .*policy explain --pid [0-9]+ --domid 7;' cat error.out
# The process has gone by now: explain can only say so.
check "a rule that denies: the remedy's command is one" status_is 1 \
	sh -c "$(sed -n "s|^    remedy .*: gntdevctl \(policy[^;]*\);.*|'$ctl' \1|p" error.out)"
check_output "explain: what it says of a process" '^process 1 may not map pages of domain 7$' "$ctl" policy explain --pid 1 --domid 7
check_output "explain: which rule, where" 'why +rule "not this one", .*/policy.conf:1,' "$ctl" policy explain --pid 1 --domid 7
check "explain: denied: status 1" status_is 1 "$ctl" policy explain --pid 1 --domid 7
check_output "explain: no rule" 'why +no rule matches' "$ctl" policy explain --pid 1 --domid 6
check "explain: allowed" "$ctl" policy explain --pid 1 --domid 6
check "explain: no such process: status 1" status_is 1 "$ctl" policy explain --pid 4000000 --domid 6
client "$BUILD/tests/uml/burst" 3 >/dev/null 2>&1
check_output "a limit is named" '^    rule    maps_per_open$' "$ctl" errors
check_output "a limit: remedy" '^    remedy  .*raise the limit' "$ctl" errors
check_output "stats: the limit" '^  maps_per_open +2 +at most$' "$ctl" stats
echo 'rule { ' >>policy.conf
check "policy check: a bad file: status 1" status_is 1 "$ctl" policy check policy.conf
check_output "policy check: where" 'policy.conf:3: ' "$ctl" policy check policy.conf
kill -HUP "$DAEMON"
wait_for 5 sh -c "'$ctl' stats | grep -q 'not reloaded'"
check_output "doctor: a policy that was not taken" '^fault +reload +the policy was not taken: .*policy.conf:3' "$ctl" doctor
check "and the daemon ends well" stop_daemon
