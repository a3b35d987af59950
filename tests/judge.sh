# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# judge.sh - what cases.sh, that of tests/uml and that of tests/xen, say of a case that has ended

# judge STATUS OUT SECONDS LIMIT: $CASE ended with STATUS (timeout's) after SECONDS of LIMIT, and printed what is in
# the file OUT. The working directory is its.
judge()
{
	if [ "$3" -ge "$4" ] && { [ "$1" -eq 124 ] || [ "$1" -eq 137 ]; }; then
		echo "not ok $CASE: no end after $4 s"
	elif [ "$1" -ne 0 ] && ! grep -q '^not ok' "$2"; then
		echo "not ok $CASE: ended with status $1"
	elif ! grep -Eq '^(not )?ok ' "$2"; then
		echo "not ok $CASE: checked nothing"
	fi
	{ [ "$1" -ne 0 ] || grep -q '^not ok' "$2"; } && [ -f daemon.log ] && tail -n 30 daemon.log | sed 's/^/#   daemon: /'
	echo "# case $CASE: $3 s"
}
