# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The command lines that README, docs, man pages and --help show are run, as they stand there; what is pasted has the form
# of what they print. See tests/commands.sh for which.
ctl=$BUILD/gntdevctl

# Programs of a machine that this is not; of systemctl, what MainPID a unit has.
mkdir -p bin etc/cuse-gntdev.conf.d root/etc/systemd/system
# Of process substitution.
[ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
for stub in apt systemd-run journalctl true; do
	ln -s /bin/true "bin/$stub"
done
printf '#!/bin/sh\nexec cat\n' >bin/dot
# shellcheck disable=SC2016 # of that shell
printf '#!/bin/sh\n[ "$1" != show ] || cat "%s/pid"\n' "$CASE_DIR" >bin/systemctl
printf '#!/bin/sh\nexec busybox sleep 1\n' >bin/sleep
# What runs without end, and what wants a terminal, ends by itself here; wrap writes below a root of its own.
cat >bin/gntdevctl <<END
#!/bin/sh
case \$1 in
top) set -- "\$@" -b -n 1 ;;
wrap) shift; set -- wrap --root="$CASE_DIR/root" "\$@" ;;
esac
case " \$* " in
*" trace "* | *" errors -f "* | *" --watch "*) exec timeout --preserve-status -s INT 2 "$ctl" "\$@" ;;
esac
exec "$ctl" "\$@"
END
chmod +x bin/dot bin/systemctl bin/sleep bin/gntdevctl
export PATH=$CASE_DIR/bin:$BUILD:$BUILD/examples:$PATH

# The policy that they speak of, as docs/operator.md shows it; nobody stands for alice, who is not here.
shown() { sed -n "\|# cat /etc/$1\$|,/# gntdevctl/{/# cat\|# gntdevctl/d;s/^    //;s/alice/nobody/g;p}" "$TOP/docs/operator.md"; }
shown cuse-gntdev.conf.d/10-site.conf >etc/cuse-gntdev.conf.d/10-site.conf
shown cuse-gntdev.test >etc/cuse-gntdev.test
: >etc/cuse-gntdev.conf
check "the policy of the documents is right" "$ctl" policy check etc/cuse-gntdev.conf
mkdir -p root/usr/bin root/usr/lib/cuse-gntdev
sed "s|@LIBDIR@|/usr/lib/cuse-gntdev|" "$TOP/preload/gntdev-run" >root/usr/bin/gntdev-run
cp "$BUILD/libgntdev-mmap.so" root/usr/lib/cuse-gntdev

start_daemon --config="$CASE_DIR/etc/cuse-gntdev.conf"
mkfifo go
client "$BUILD/tests/uml/pending" hold <go >hold.out &
exec {go}>go
wait_for 5 grep -q holding hold.out
pid=$("$ctl" list --opens --no-legend | sed -n 's/^[0-9a-f]* *\([0-9]*\) .*/\1/p' | head -n 1)
echo "$pid" >pid
client "$BUILD/examples/mapper" 1 4000 >/dev/null 2>&1
"$BUILD/examples/mapper" 1 4000 >/dev/null 2>&1
# An outage, so that there is one to be told of.
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null
start_daemon --config="$CASE_DIR/etc/cuse-gntdev.conf"
"$ctl" wrap --root="$CASE_DIR/root" xenconsoled >/dev/null

# here COMMAND: with this machine's paths and processes; daemons are asked whether they would start so
here()
{
	sed -E -e "s|/etc/cuse-gntdev.test|$CASE_DIR/etc/cuse-gntdev.test $CASE_DIR/etc/cuse-gntdev.conf|" \
		-e "s|policy check|policy check $CASE_DIR/etc/cuse-gntdev.conf|" -e "s/\b(1534|1538)\b/$pid/" \
		-e "s|/var/lib/prometheus/node-exporter|$CASE_DIR|g" -e "s|build/cuse_gntdev|$BUILD/cuse_gntdev|" \
		-e 's/^(cuse_gntdev.*[^ &]) *&?$/\1 --check/; s/--check --check/--check/' <<<"$1"
}

# Of whom the documents speak, and what is not here to be run.
leave_out()
{
	case $1 in
	*'kill -9'*) echo "it kills the daemon: case survive" ;;
	*./frontend* | *./backend) echo "the reader's own programs" ;;
	*' wrap --remove') echo "of no unit" ;;
	*granter*' &') echo "it grants for as long as it runs: case survive" ;;
	*) return 1 ;;
	esac
}

# 0 and 1 are answers. Of mapper it is that no such grant is there; of a daemon that there is no Xen.
runs()
{
	local status

	timeout 20 bash -c "$(here "$1")" </dev/null >command.out 2>&1
	status=$?
	cat command.out
	case $status:$1 in
	0:* | 1:* | 78:*--xen*) ;;
	*) echo "status $status" && return 1 ;;
	esac
	! grep -q 'Usage:\|Try .*--help\|is no command\|unrecognized option' command.out
}

# What begins a line that is pasted, up to two blanks or a number, begins one that is printed.
has_form_of()
{
	local label

	while IFS= read -r label; do
		grep -Eq "^ *$label([ :0-9]|\$)" command.out || { echo "no line \"$label\""; return 1; }
	done < <(sed -nE 's/^ {0,6}([A-Za-z][A-Za-z_-]*( [A-Za-z_-]+)*).*/\1/p' "$1" | grep -vE '^(alice|user alice|unit|cgroup|read|gntdevctl|process$)' | sort -u)
}

# judge_last: the command before, and what was pasted behind it
judge_last()
{
	[ -n "$command" ] || return
	if leave_out "$command" >/dev/null; then
		comment "$where: $command: not run: $(leave_out "$command")"
		return
	fi
	check "$where: $command" runs "$command"
	case $command in
	gntdevctl\ list* | gntdevctl\ show* | gntdevctl\ stats | gntdevctl\ errors* | *policy\ explain*\ 7 | *policy\ test* | *wrap*)
		[ ! -s pasted ] || check "$where: what is pasted has its form" has_form_of pasted
		;;
	esac
}

"$TOP/tests/commands.sh" "$BUILD" >commands.list
check "there are such command lines" test "$(grep -c ^command commands.list)" -gt 60
command=
while IFS=$'\t' read -r kind first rest <&3; do
	if [ "$kind" = output ]; then
		printf '%s\n' "$first" >>pasted
		continue
	fi
	judge_last
	where=$first command=$rest
	: >pasted
done 3<commands.list
judge_last

# What xl starts in QEMU's place, as docs/operator.md has it: the process that xl has started, and with the object.
sed -n '/^       #!\/bin\/sh$/,/exec gntdev-run/s/^       //p' "$TOP/docs/operator.md" | sed 's|gntdev-run /usr[^ ]*|gntdev-run /bin/sh|' >qemu
chmod 755 qemu
# shellcheck disable=SC2016 # of that shell
sh -c 'echo "process $$"; exec ./qemu -c '\''echo "process $$ $LD_PRELOAD"'\' >qemu.out
started=$(sed -n 's/^process \([0-9]*\)$/\1/p' qemu.out)
check_output "QEMU's wrapper is QEMU, with the object" "^process $started .*libgntdev-mmap\.so$" cat qemu.out

exec {go}>&-
check "the daemon ends well" stop_daemon
