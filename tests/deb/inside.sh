#!/bin/bash
# SPDX-License-Identifier: MIT
#
# inside.sh - what run.sh's guest runs once it is up: the life of the package, and of the service under
# systemd
#
# Lines of TAP go to the console; dmesg, the journal and the exit status to /test.
exec >/dev/console 2>&1
node=/dev/xen/gntdev
service=cuse-gntdev.service
options=/etc/default/cuse-gntdev
# Stands for the driver's module, see run.sh.
driver=nls_utf8
pace=$(cat /test/pace)
status=0

check()
{
	if "${@:2}" >/test/check.out 2>&1; then
		echo "ok $1"
	else
		sed 's/^/#   /' /test/check.out
		echo "not ok $1"
		status=1
		return 1
	fi
}

# need: the same, and nothing further makes sense without it
need()
{
	check "$@" || end
}

# As in tests/uml/lib.sh.
wait_for()
{
	local end=$((SECONDS + 3 * pace * $1))

	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

# Somebody with no other right than the group's, and somebody without even that.
nobody=(setpriv --reuid=nobody --regid=nogroup)
member=("${nobody[@]}" --groups=xen-gnt)
stranger=("${nobody[@]}" --clear-groups)

has_mode()
{
	[ "$(stat -c '%U:%G %a' "$1")" = "$2" ] || { stat "$1"; return 1; }
}

refused() { ! "$@"; }

# Those of its threads that give way to the others: the nineteenth word of stat.
has_thread_of_nice()
{
	sed 's/.*) //' /proc/"$(main_pid)"/task/*/stat | cut -d ' ' -f 17 | grep -qx "$1"
}

starts()
{
	systemctl start $service || { journalctl -u $service; return 1; }
}

end()
{
	echo @@end
	journalctl > /test/journal
	dmesg > /test/dmesg
	echo $status > /test/status
	systemctl poweroff -ff
	sleep infinity
}

# --- a client that has something mapped meanwhile -------------------------------------------------

# hold [MODE]: start it. release: let it look at what it has mapped once more, and end. Return: as it ended.
hold()
{
	rm -f /test/held /test/client.out
	mkfifo /test/held
	"${member[@]}" gntdev-run /test/client "${1-hold}" </test/held >/test/client.out 2>&1 &
	client=$!
	exec 7>/test/held
	wait_for 20 grep -q mapped /test/client.out || { cat /test/client.out; return 1; }
}

release()
{
	exec 7>&-
	wait "$client" || { cat /test/client.out; return 1; }
}

# --- the service ----------------------------------------------------------------------------------

# answers STATUS COMMAND...: it ends so
answers()
{
	"${@:2}"
	[ $? -eq "$1" ]
}

shows_a_client()
{
	hold && gntdevctl list && gntdevctl --json list | grep "\"pid\":$(pgrep -f '^/test/client hold')\b" && release
}

stops_under_a_client()
{
	hold || return 1
	systemctl stop $service
	kill "$client"
	exec 7>&-
	wait "$client" 2>/dev/null
	systemctl show -p Result $service | grep -qx Result=success
}

leaves_nothing()
{
	local left

	left=$(ls -d $node /dev/xen/gntalloc /run/cuse-gntdev/* 2>/dev/null; pidof cuse_gntdev cuse_gntdev-keeper)
	[ -z "$left" ] || { echo "left: $left"; return 1; }
}

main_pid() { systemctl show -P MainPID $service; }

has_successor_of() { [ "$(main_pid)" != 0 ] && [ "$(main_pid)" != "$1" ]; }

restarts_after()
{
	local old

	old=$(main_pid)
	kill "-$1" "$old"
	wait_for 40 has_successor_of "$old" && wait_for 20 systemctl is-active $service
}

# under_load COMMAND...: no call of a busy client fails meanwhile, nor later
under_load()
{
	hold busy && sleep 1 && "$@" && sleep 1 && release
}

is_restarted()
{
	local old

	old=$(main_pid)
	systemctl restart $service && has_successor_of "$old"
}

# --- what a successor was started with is not right: nothing is lost as long as it can be mended -----

is_active() { [ "$(systemctl is-active $service)" = active ]; }

waits()
{
	[ "$(systemctl is-active $service)" = activating ] &&
		systemctl show -P StatusText $service | grep "Not started, and clients .* Wrong: .*$1" &&
		gntdevctl doctor | grep 'does not start, and waits'
}

begins_to_wait()
{
	systemctl --no-block restart $service
	wait_for 20 waits "$1"
}

# No one but who mends the file does anything. The one that waits goes on.
goes_on_with_a_mended_policy()
{
	mkdir -p /etc/cuse-gntdev.conf.d
	echo 'rule "test" { action = }' >/etc/cuse-gntdev.conf.d/50-test.conf
	begins_to_wait '50-test.conf:1' && rm -r /etc/cuse-gntdev.conf.d && wait_for 20 is_active
}

# As what systemctl status shows says: mend that, then systemctl restart.
goes_on_with_mended_options()
{
	local wrong good

	good=$(cat $options)
	for wrong in '--sim --granter=2' --xen '--sim --no-such-option' '--sim --name=xen/other'; do
		echo "OPTIONS=\"$wrong\"" >$options
		begins_to_wait "then: systemctl restart $service" || break
		echo "$good" >$options
		systemctl restart $service || break
	done
	echo "$good" >$options
	is_active
}

# Until the keeper's time is up.
waits_no_longer_than_the_keeper()
{
	local good

	good=$(cat $options)
	echo "OPTIONS=\"--sim --successor=$((4 * pace))\"" >$options
	systemctl restart $service && hold || return 1
	echo 'OPTIONS="--sim --granter=2"' >$options
	begins_to_wait granter
	kill -0 "$client" && wait_for 40 has_failed && wait_for 20 leaves_nothing
	local ended=$?
	kill "$client"
	exec 7>&-
	wait "$client" 2>/dev/null
	echo "$good" >$options
	[ $ended = 0 ] && [ "$(systemctl show -P ExecMainStatus $service)" = 78 ] && journal_has 'keeper: no successor has come'
}

# A unit of one's own without FileDescriptorStoreMax=: what was sent to systemd is closed there at once. What the doctor says
# mends it.
restarts_without_a_lease()
{
	local mend

	printf '[Service]\nFileDescriptorStoreMax=0\n' >/run/systemd/system/$service.d/store.conf
	systemctl daemon-reload && systemctl stop $service && systemctl start $service || return 1
	under_load is_restarted && wait_for 10 journal_has 'has no FileDescriptorStoreMax='
	local survives=$?
	mend=$(gntdevctl doctor | sed -n '/keeps no descriptor/,/mend:/s/.*mend: //p')
	echo "$mend"
	[ $survives = 0 ] && under_load eval "$mend" && gntdevctl doctor | grep 'ok *lease '
	survives=$?
	rm -r "/run/systemd/system/$service.d/store.conf" "/etc/systemd/system/$service.d"
	systemctl daemon-reload
	return $survives
}

# --- who is woken -----------------------------------------------------------------------------------

requests() { gntdevctl --json stats | grep -o '"events": *[0-9]*' | awk -F: '{ n += $2 } END { print n }'; }

switches() { sed -n 's/^voluntary_ctxt_switches:\t//p' "/proc/$1/status"; }

# Neither the keeper nor systemd is woken for requests. Of the watchdog systemd hears twice a second, and of the clock.
sleep_under_load()
{
	local keeper begin end n

	keeper=$(pidof cuse_gntdev-keeper)
	hold busy || return 1
	sleep 1
	begin=("$(requests)" "$(switches "$keeper")" "$(switches 1)" $SECONDS)
	sleep 5
	end=("$(requests)" "$(switches "$keeper")" "$(switches 1)" $SECONDS)
	release || return 1
	n=$((end[0] - begin[0]))
	echo "# $n events of clients in $((end[3] - begin[3])) s: the keeper was woken $((end[1] - begin[1])) times, systemd $((end[2] - begin[2]))" >/dev/console
	[ $n -gt 500 ] && [ $((end[1] - begin[1])) -le 2 ] &&
		[ $((end[2] - begin[2])) -le $((20 * (end[3] - begin[3] + 1))) ]
}

survived() { gntdevctl --json stats | grep "\"survived\": *$1\b"; }

# It dies as often as it is started: the unit fails, and the keeper ends all that there is.
is_given_up()
{
	local old

	mkdir -p /run/systemd/system/$service.d
	printf '[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=600\n' > /run/systemd/system/$service.d/limit.conf
	systemctl daemon-reload
	for _ in 1 2 3; do
		old=$(main_pid)
		[ "$old" = 0 ] || kill -KILL "$old"
		wait_for 20 eval "has_successor_of $old || has_failed"
	done
	wait_for 20 has_failed && wait_for 20 leaves_nothing && journal_has 'keeper: the service is over' || return 1
	rm /run/systemd/system/$service.d/limit.conf
	systemctl daemon-reload
	systemctl reset-failed $service
}

stays_up()
{
	sleep "$1"
	systemctl is-active $service && [ "$(systemctl show -P NRestarts $service)" = 0 ]
}

result_was() { journalctl -u $service | grep -q "Failed with result '$1'"; }

# --- the policy -----------------------------------------------------------------------------------

# reload FILE-CONTENT: as an operator changes a rule
reload()
{
	mkdir -p /etc/cuse-gntdev.conf.d
	echo "$1" >/etc/cuse-gntdev.conf.d/50-test.conf
	systemctl reload $service
}

reload_denies()
{
	reload 'rule "test" { unit = "*"  action = deny }' && wait_for 10 refused gntdev-run /test/client
}

reload_is_refused()
{
	! reload 'rule "test" { action = }' &&
		wait_for 10 journal_has 'policy: .*50-test.conf:1: ' &&
		systemctl is-active $service && refused gntdev-run /test/client
}

# What is not mended by starting again, and nobody waits. The unit is as it was, afterwards.
gives_up_on_a_broken_policy()
{
	systemctl stop $service && ! systemctl start $service || return 1
	wait_for 10 has_failed && [ "$(systemctl show -P NRestarts $service)" = 0 ] &&
		[ "$(systemctl show -P ExecMainStatus $service)" = 78 ] &&
		echo 'rule "test" { unit = "*"  action = deny }' >/etc/cuse-gntdev.conf.d/50-test.conf &&
		systemctl start $service
}

has_failed() { [ "$(systemctl is-failed $service)" = failed ]; }

reload_allows()
{
	reload '' && wait_for 10 gntdev-run /test/client && rm -r /etc/cuse-gntdev.conf.d
}

journal_has() { journalctl -u $service | grep -Eq "$1"; }

# The kernel tells udev about the node; its rule runs a moment after the service is ready.
settled() { udevadm settle && has_mode "$1" "root:xen-gnt 660"; }

restart_quickly()
{
	mkdir -p /run/systemd/system/$service.d
	printf '[Service]\nWatchdogSec=%ds\nTimeoutStopSec=%ds\n' $((2 * pace)) $((5 * pace)) > /run/systemd/system/$service.d/test.conf
	systemctl daemon-reload
}

# entries FIELD=VALUE...: the service's entries of the journal that have all of these
entries() { journalctl -q -o json --output-fields=MESSAGE,GNTDEV_COMMAND "_SYSTEMD_UNIT=$service" "$@"; }

has_entry() { [ -n "$(entries "$@")" ]; }

# What a client was refused is found by what it was about.
tells_a_grant()
{
	"${member[@]}" gntdev-run /test/client ungranted || return 1
	wait_for 10 has_entry MESSAGE_ID=e56279b65a95480382e1a31786283e63 GNTDEV_DOMID=1 GNTDEV_REF=4000 \
		GNTDEV_GNTST=bad_gntref GNTDEV_OPERATION=mmap "GNTDEV_UID=$(id -u nobody)" ERRNO=22 PRIORITY=4 &&
		entries GNTDEV_REF=4000 | grep '"GNTDEV_COMMAND":"client"'
}

tells_a_rule() { wait_for 10 has_entry MESSAGE_ID=85442b012a954492aa4ec57beda160a2 GNTDEV_RULE=test ERRNO=1; }

plain_has_the_device() { gntdevctl list --opens --no-legend --unit plain | grep ' plain.service$'; }

# A service that was started without the object: doctor names it, what doctor says is run, and it has the object.
doctor_mends_a_client()
{
	local mend

	printf '[Service]\nExecStart=/bin/sh -c "exec 3<>%s; exec sleep 1000"\n' $node >/run/systemd/system/plain.service
	systemctl daemon-reload && systemctl start plain.service && wait_for 10 plain_has_the_device || return 1
	gntdevctl doctor --json >/test/doctor.out
	cat /test/doctor.out
	mend=$(sed -n 's/.*"id":"objects\/missing".*"mend":"\([^"]*\)".*/\1/p' /test/doctor.out)
	[ "$mend" = "gntdevctl wrap plain.service; systemctl restart plain.service" ] && eval "$mend" &&
		wait_for 10 plain_has_the_device && gntdevctl doctor | grep 'ok *objects ' || return 1
	gntdevctl wrap --remove plain && [ ! -e /etc/systemd/system/plain.service.d ] && systemctl stop plain.service &&
		rm /run/systemd/system/plain.service && systemctl daemon-reload
}

service_tests()
{
	check "the units are valid" systemd-analyze verify --man=no $service
	restart_quickly
	need "the service starts" systemctl enable --now $service
	check "the node belongs to the group" settled $node
	check "the granter's node too" settled /dev/xen/gntalloc
	check "the socket is for everybody" has_mode /run/cuse-gntdev/xen-gntdev.sock "root:root 666"
	check "a client of root's works" gntdev-run /test/client
	check "a client of the group works" "${member[@]}" gntdev-run /test/client
	check "a stranger is refused" refused "${stranger[@]}" gntdev-run /test/client
	check "root can ask what it holds" gntdevctl stats
	check "the group can ask" "${member[@]}" gntdevctl stats
	check "a stranger cannot" answers 4 "${stranger[@]}" gntdevctl stats
	check "what a client has mapped is shown" shows_a_client
	check "the journal tells a grant that is none, by its fields" tells_a_grant
	check "the doctor finds no fault" gntdevctl doctor
	check "a service without the object is named, and given it" doctor_mends_a_client
	check "systemctl reload reads a policy that denies" reload_denies
	check "the journal tells the rule" tells_a_rule
	check "a broken one is refused: reload fails, and the journal says why" reload_is_refused
	check "with a policy that stays broken it is not started again and again" gives_up_on_a_broken_policy
	check "another one allows again" reload_allows
	check "the control thread comes after the workers" has_thread_of_nice 5
	check "the watchdog is content for three of its times" stays_up $((6 * pace))
	check "a restart is nothing to a client" under_load is_restarted
	check "the daemon knows that it goes on" survived '[0-9]'
	check "a policy that is broken at a restart is nothing to a client, once it is mended" under_load goes_on_with_a_mended_policy
	check "nor are wrong options" under_load goes_on_with_mended_options
	check "neither the keeper nor systemd is woken by requests" sleep_under_load
	check "its death is nothing to a client" under_load restarts_after KILL
	check "a client works after that" gntdev-run /test/client
	check "that it hangs is nothing to a client either" under_load restarts_after STOP
	check "the watchdog did that" result_was watchdog
	check "a client works after that too" gntdev-run /test/client
	check "it stops while a client holds a mapping" stops_under_a_client
	check "it leaves nothing behind" leaves_nothing
	check "it starts to be refused" starts
	check "a successor that cannot start waits no longer than the keeper" waits_no_longer_than_the_keeper
	check "without a lease a restart is nothing to a client either" restarts_without_a_lease
	check "it is restarted to be given up" is_restarted
	check "if it dies again and again all ends" is_given_up
	check "it starts again" starts
	check "a client works again" gntdev-run /test/client
	check "it stops" systemctl stop $service
	check "it leaves nothing behind again" leaves_nothing
	check "the kernel's driver is kept away" refused driver_loads
	check "its rating for exposure is good" \
		systemd-analyze security --threshold=25 --no-pager $service
}

# --- the package ----------------------------------------------------------------------------------

# All files there are, and what is in those of /etc; but what dpkg and its like write down, and what
# runs anyway.
list_files()
{
	find / -xdev \( -path /test -o -path /var/log -o -path /var/lib/dpkg -o -path /var/lib/systemd -o -path /tmp \
		-o -path /var/tmp -o -path '/etc/group-' -o -path '/etc/gshadow-' \) -prune -o -printf '%y %m %U:%G %p %l\n'
	find /var/lib/dpkg/info /var/lib/systemd /run /dev -name '*gnt*'
	find /etc -type f ! -name '*-' -exec sha256sum {} +
}

snapshot() { list_files | sort > "$1"; }

as_before()
{
	snapshot /test/after
	diff /test/before /test/after
}

version() { dpkg-query -W -f '${Version}' cuse-gntdev; }

# installs FILE...: and says nothing that sounds like a complaint
installs()
{
	dpkg -i "$@" >/test/dpkg.out 2>&1 || { cat /test/dpkg.out; return 1; }
	! grep -v 'dpkg: warning: downgrading' /test/dpkg.out | grep -iE 'warning|error|fail'
}

is_disabled_and_still()
{
	[ "$(systemctl is-enabled $service)" = disabled ] && ! systemctl is-active $service && leaves_nothing
}

driver_loads()
{
	modprobe xen-gntdev && grep "^$driver " /proc/modules && rmmod $driver
}

does_not_simulate_by_itself()
{
	! systemctl start $service || return 1
	systemctl stop $service
	journalctl -u $service | tee /dev/stderr | grep "does not run under Xen"
}

# replaces FILE: the package's daemon takes the place of the one that runs
replaces()
{
	local old

	old=$(main_pid)
	installs "$1" && has_successor_of "$old" && runs_what_is_installed
}

leaves_alone()
{
	local old

	old=$(main_pid)
	echo RESTART_ON_UPGRADE=no >> $options
	installs "$1" || return 1
	[ "$(main_pid)" = "$old" ] && readlink "/proc/$old/exe" | grep ' (deleted)$'
}

# The policy has become wrong: a new daemon would not start, and clients would lose all.
leaves_alone_what_would_not_start()
{
	local old policy=/etc/cuse-gntdev.conf

	old=$(main_pid)
	cp $policy /test/policy && echo 'no such word' >> $policy
	dpkg -i "$1" >/test/dpkg.out 2>&1 || { cat /test/dpkg.out; return 1; }
	cp /test/policy $policy
	[ "$(main_pid)" = "$old" ] && systemctl is-active $service && was_told 'would not start'
}

# A package that would adopt another version of what the daemon keeps, and no other.
refuses_what_cannot_take_over()
{
	local before

	before=$(main_pid)
	rm -rf /test/other && dpkg-deb -R /test/new.deb /test/other &&
		sed -i 's/^adopts=.*/adopts="7"/' /test/other/DEBIAN/preinst &&
		dpkg-deb -b /test/other /test/other.deb >/dev/null || return 1
	refused dpkg -i /test/other.deb >/test/dpkg.out 2>&1 || { cat /test/dpkg.out; return 1; }
	was_told 'adopts only: 7' && [ "$(main_pid)" = "$before" ] && systemctl is-active $service
}

# No daemon answers, as the one that is started waits for other options: its keeper is asked.
refuses_while_no_daemon_answers()
{
	local good

	good=$(cat $options)
	echo 'OPTIONS="--sim --granter=2"' >$options
	begins_to_wait granter && refused dpkg -i /test/other.deb >/test/dpkg.out 2>&1 && was_told 'adopts only: 7' &&
		waits granter
	local kept=$?
	# Another package comes, with which it goes on.
	echo "$good" >$options
	[ $kept = 0 ] && installs "$1" && wait_for 20 is_active && runs_what_is_installed
}

runs_what_is_installed() { [ "$(readlink "/proc/$(main_pid)/exe")" = /usr/sbin/cuse_gntdev ]; }

restarts_as_new()
{
	is_restarted && runs_what_is_installed && [ "$(cuse_gntdev --version)" = "cuse_gntdev $(version)" ]
}

was_told() { grep "$1" /test/dpkg.out; }

removes_it() { dpkg "$1" cuse-gntdev && systemctl daemon-reload; }

is_gone()
{
	leaves_nothing && ! systemctl is-active $service && ! [ -e /run/cuse-gntdev ] &&
		! [ -e /usr/sbin/cuse_gntdev ]
}

package_installs()
{
	snapshot /test/before
	need "the package installs" installs /test/previous.deb
	check "that enables nothing and starts nothing" is_disabled_and_still
	check "what a user does first, of debian/tests" env AUTOPKGTEST_TMP=/test sh /test/command-line
	check "that leaves the kernel's driver alone" driver_loads
	check "the service does not simulate unless it is told to" does_not_simulate_by_itself
	# As systemd reads it. A shell would look for a command "--limit=65536".
	echo 'OPTIONS=--sim --limit=65536' > $options
}

package_upgrades()
{
	check "it starts to be upgraded" starts
	check "an upgrade replaces the daemon under a client" under_load replaces /test/new.deb
	check "a changed configuration stays" grep -e --sim $options
	check "it stays enabled" systemctl is-enabled $service
	check "what could not take over is refused, and nothing is touched" under_load refuses_what_cannot_take_over
	check "nor where no daemon answers; and what can take over does" under_load refuses_while_no_daemon_answers /test/new.deb
	check "nor is it replaced by what would not start" under_load leaves_alone_what_would_not_start /test/new.deb
	check "a downgrade replaces it, too" under_load replaces /test/previous.deb
	check "a setting leaves the daemon alone" under_load leaves_alone /test/new.deb
	check "it tells so" was_told 'RESTART_ON_UPGRADE=no'
	check "a new client works with the daemon that is old" "${member[@]}" gntdev-run /test/client
	check "after a restart all is new, under a client" under_load restarts_as_new
	check "a client works with that" "${member[@]}" gntdev-run /test/client
}

package_goes()
{
	check "the package is removed" removes_it --remove
	check "the service went with it" is_gone
	check "its configuration is still there" grep -e --sim $options
	check "the kernel's driver can be loaded again" driver_loads
	check "the package is purged" removes_it --purge
	rm -rf /run/systemd/system/$service.d
	check "nothing is left of it" as_before
}

# A line of its own: the console's control sequences may be in front of the first.
printf '\n@@begin\n'
package_installs
service_tests
package_upgrades
package_goes
end
