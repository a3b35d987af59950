#!/bin/bash
# SPDX-License-Identifier: MIT
#
# rooms.sh [DIRECTORY]  - which source may include which; prints what breaks the rules
#
# A room is a directory of sources, or some files of the root, with one subject. The table says what
# each may include: rooms above it alone, so that no two of them depend on each other. Each room's main header
# says what it promises, docs/developer.md has the table for readers.
#
# The rules: an include is of a file that is there, and of a room that the includer may know. No two files
# include each other, also by way of others. Libraries that only some may know are included by those.
set -u
cd "${1-$(dirname "$0")/..}" || exit 1

# Room, its files, what it may include besides itself: rooms, or single files of a room. Separated by blanks.
rooms='
abi        abi/
base       base/
state      state/                           abi base
client     client/                          abi base
hypercall  hypercall.*                      abi
table      table.*                          base
policy     policy/                          abi base client
report     report/                          abi base client hypercall
window     window/                          abi base state client hypercall table report
device     device/                          abi base state client hypercall table policy report window
xen        xen/                             abi base state hypercall
keeper     keeper/                          abi base state xen/undo.h xen/journal.h
sim        sim/                             abi base state hypercall
machine    machine/                         abi base state client hypercall table policy report window device sim
evtchn     evtchn/                          abi base state client policy report device sim
control    control/                         abi base state client hypercall table policy report window device sim
daemon     daemon*.*,platform.*,cuse_gntdev.* abi base state client hypercall table policy report window device xen sim machine evtchn control
preload    preload/                         abi
gntdevctl  gntdevctl/                       abi base policy control/out.h state/keep.h
examples   examples/
bench      bench/                           *
tests      tests/                           *
'

# Headers that are the face of a room or of a part of it: the files behind it include it for its types, and its
# functions are made of theirs. To include it is not to call the source of its name. Each says so itself.
faces='
daemon.h
sim/sim.h
policy/policy.h
window/window.h
window/socket.h
base/log.h
client/procmaps.h
client/procwalk.h
tests/xen/random.h
'

# Library headers, and who may include them.
libraries='
cuse_lowlevel.h,fuse*      device/session.c bench/cuse_ioctl.c
urcu.h,urcu/urcu*          base/rcu.h base/rcu.c policy/quota.c
confuse.h                  policy/parse.c
ncurses*,curses.h          gntdevctl/top.c
'

# said TEXT FILE...: one of the files has it, at its head
said()
{
	grep -qF -- "$1" "${@:2}" || echo "${*:2}: \"$1\" is not said there"
}

if [ -z "${1-}" ]; then
	while read -r _ dir _; do
		case $dir in
		tests/ | bench/ | examples/) ;;
		*/) said " * The room $dir " "$dir"*.h ;;
		esac
	done <<<"$rooms"
	for face in $faces; do said "This header is the" "$face"; done
fi

if git rev-parse --git-dir >/dev/null 2>&1 && [ -z "${1-}" ]; then
	git ls-files -co --exclude-standard -- '*.c' '*.h'
else
	find . -path ./build -prune -o -path ./.cache -prune -o -name '*.[ch]' -printf '%P\n' | sort
fi | while read -r file; do
	[ -f "$file" ] || continue
	echo "$file"
	sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*\([<"][^>"]*\)[>"].*/\1/p' "$file" | sed "s|^|$file |"
done | rooms=$rooms faces=$faces libraries=$libraries awk -v whole="$([ -n "${1-}" ] || echo 1)" '
function matches(name, patterns,   list, n, i) {
	n = split(patterns, list, ",")
	for (i = 1; i <= n; i++) {
		gsub(/\./, "[.]", list[i]); gsub(/\*/, ".*", list[i])
		if (name ~ "^" list[i] (list[i] ~ /\/$/ ? "" : "$")) return 1
	}
	return 0
}
function room_of(file,   i) {
	for (i = 1; i <= n_rooms; i++)
		if (matches(file, patterns[i])) return i
	return 0
}
function dirname(file) { return file ~ /\// ? substr(file, 1, match(file, /\/[^\/]*$/)) : "" }
function may_name(i,   s) {
	s = i in may ? may[i] : ""
	return s == "" ? "nothing" : s
}
function read_tables(   lines, f, n, i, k) {
	n = split(ENVIRON["rooms"], lines, "\n")
	for (i = 1; i <= n; i++) {
		if (split(lines[i], f, " ") < 2) continue
		name[++n_rooms] = f[1]; number[f[1]] = n_rooms; patterns[n_rooms] = f[2]
		for (k = 3; k in f; k++) {
			if (f[k] != "*" && f[k] !~ /\// && !(f[k] in number))
				print "the table: " f[1] " may include " f[k] ", which is not above it"
			allowed[n_rooms, f[k]] = 1
			may[n_rooms] = may[n_rooms] (k > 3 ? ", " : "") f[k]
		}
		split("", f)
	}
	n = split(ENVIRON["faces"], lines, "\n")
	for (i = 1; i <= n; i++) if (lines[i] != "") face[lines[i]] = 1
	n = split(ENVIRON["libraries"], lines, "\n")
	for (i = 1; i <= n; i++) {
		if (split(lines[i], f, " ") < 2) continue
		library[++n_libraries] = f[1]
		for (k = 2; k in f; k++) user[n_libraries, f[k]] = 1
		split("", f)
	}
}
function check_library(file, header,   i) {
	for (i = 1; i <= n_libraries; i++)
		if (matches(header, library[i]) && !((i, file) in user) && file !~ /^tests\//)
			print file " includes <" header ">: that is for others"
}
# NAME.c and NAME.h are one node: who includes the one depends on what the other includes. A face is a node of its own.
function node(file) { if (file in face) return file; sub(/\.[ch]$/, "", file); return file }
function add_edge(from, to, said) {
	if (from == to || (from, to) in edge) return
	edge[from, to] = said
	out[from] = out[from] SUBSEP to
}
function check_include(i,   file, to, a, b) {
	file = by[i]; to = included[i]
	if (!(to in there)) to = dirname(file) included[i]
	if (!(to in there)) { print file " includes \"" included[i] "\": there is no such file"; return }
	a = room_of(file); b = room_of(to)
	if (a && b && a != b && !((a, name[b]) in allowed) && !((a, to) in allowed) && !((a, "*") in allowed))
		print file " includes " to ": " name[a] " may not include " name[b] ", but " may_name(a)
	add_edge(node(file), node(to), file " includes " to)
}
# Depth first. What is on the way from the start to here is a circle if it is met again.
function visit(v,   to, n, i, k, s) {
	state[v] = 1; path[++depth] = v
	n = split(out[v], to, SUBSEP)
	for (i = 2; i <= n; i++) {
		if (state[to[i]] == 1) {
			s = edge[v, to[i]]
			for (k = depth; path[k] != to[i]; k--) s = edge[path[k - 1], path[k]] ", " s
			print "a circle: " s
		} else if (!state[to[i]]) {
			visit(to[i])
		}
	}
	state[v] = 2; depth--
}
BEGIN { read_tables() }
NF == 1 { there[$1] = 1; if (!room_of($1)) print $1 " is in no room" ; next }
substr($2, 1, 1) == "<" { check_library($1, substr($2, 2)); next }
{ by[++n_includes] = $1; included[n_includes] = substr($2, 2) }
END {
	for (i = 1; i <= n_includes; i++) check_include(i)
	for (i = 1; i <= n_includes; i++) if (!state[node(by[i])]) visit(node(by[i]))
	if (whole) for (f in face) if (!(f in there)) print "the list of faces: there is no " f
}'
