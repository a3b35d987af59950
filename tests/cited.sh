#!/bin/bash
# SPDX-License-Identifier: MIT
#
# cited.sh [DIRECTORY]  - what comments and documents cite has to be there; prints what is not
#
#   [text](PAGE#heading)        in a document: the page, seen from there, and a heading of it
#   docs/NAME.md                a document
#   docs/NAME.md, section N     one with a heading "## N. ..."; "section N" alone: of the document that the file has
#                               named last
#   ROOM/NAME.c, test_NAME.c    a file: by its path, by the end of it, or as a neighbour
#   gntdevctl(1)                a man page of ours
#
# Comments of C, of scripts and of makefiles are looked at; in documents all but examples.
set -u
cd "${1-$(dirname "$0")/..}" || exit 1

# What others have, or is only an example. Names in docs/gntdev-abi.md are of other people's sources.
foreign='fs/fuse/dev.c fs/fuse/ioctl.c fs/char_dev.c upper.c a.b.c'

{
	if git rev-parse --git-dir >/dev/null 2>&1 && [ -z "${1-}" ]; then
		git ls-files -co --exclude-standard
	else
		find . \( -path ./build -o -path ./.cache -o -path ./.git \) -prune -o -type f -printf '%P\n'
	fi | while read -r file; do [ -f "$file" ] && echo "$file"; done
} | foreign=$foreign awk '
function slug(heading,   s) {
	s = tolower(heading)
	gsub(/[^a-z0-9 _-]/, "", s); gsub(/ /, "-", s)
	return s
}
function dirname(file) { return file ~ /\// ? substr(file, 1, match(file, /\/[^\/]*$/)) : "" }
function normal(path) {
	while (match(path, /[^\/]+\/\.\.\//)) path = substr(path, 1, RSTART - 1) substr(path, RSTART + RLENGTH)
	gsub(/\/\.\//, "/", path); sub(/^\.\//, "", path); sub(/\/$/, "", path)
	return path
}
function complain(what) { print file ":" line ": " what }
# The file that a name stands for, "" if there is none.
function found(name,   path) {
	sub(/^(\.\.?\/)+/, "", name)
	path = normal(dirname(file) name)
	if (path in there) return path
	if (name in there) return name
	return name in tail ? tail[name] : ""
}
function read_headings(page,   text, fence) {
	while ((getline text < page) > 0) {
		if (text ~ /^```/) fence = !fence
		if (fence || text !~ /^#+ /) continue
		sub(/^#+ /, "", text)
		anchor[page, slug(text)] = 1
		if (match(text, /^[0-9]+\./)) section[page, substr(text, 1, RLENGTH - 1)] = 1
	}
	close(page)
}
function check_link(target,   page, at) {
	if (target ~ /^[a-z]+:/) return
	at = index(target, "#")
	page = at ? substr(target, 1, at - 1) : target
	page = page == "" ? file : normal(dirname(file) page)
	if (!(page in there) && !(page in directory)) { complain("link to " page ": there is no such file"); return }
	if (at && !((page, substr(target, at + 1)) in anchor))
		complain("link to " target ": there is no such heading in " page)
}
function check_links(text,   target) {
	while (match(text, /\]\([^) ]+\)/)) {
		target = substr(text, RSTART + 2, RLENGTH - 3)
		text = substr(text, RSTART + RLENGTH)
		check_link(target)
	}
}
# What @before ends with is the document whose sections follow in @text.
function check_sections(before, text,   page, numbers, number) {
	if (before ~ /NAME[.]md, $/) return
	if (match(before, /[A-Za-z0-9_.\/-]+\.md,? $/)) {
		page = substr(before, RSTART, RLENGTH)
		sub(/,? $/, "", page)
		page = found(page)
	}
	if (page == "") page = last_page
	if (page == "") { complain("cites a section of no document: write docs/NAME.md, section N"); return }
	match(text, /^[Ss]ections? [0-9]+((, | and )[0-9]+)*/)
	numbers = substr(text, 1, RLENGTH)
	while (match(numbers, /[0-9]+/)) {
		number = substr(numbers, RSTART, RLENGTH)
		numbers = substr(numbers, RSTART + RLENGTH)
		if (!((page, number) in section)) complain("cites section " number " of " page ": there is none")
	}
}
function check_name(name, before) {
	if (before ~ /[$*{}<@~%]$/ || name in theirs || name ~ /NAME|ROOM|CASE/ || name ~ /^\//) return
	# Headers may be the system\x27s, unless they are of a room.
	if (name ~ /\.h$/ && !(substr(name, 1, index(name, "/") - 1) in directory)) return
	if (found(name) == "") complain("names " name ": there is no such file")
	else if (name ~ /\.md$/) last_page = found(name)
}
function check_page(name,   source) {
	source = name
	sub(/\(/, ".", source); sub(/\)/, ".scd", source)
	if (!(("man/" source) in there)) complain("names " name ": there is no man/" source)
}
# Cuts the next match of @pattern out of what is left of @text. Return: whether there is one.
function next_match(text, pattern) {
	if (!match(substr(text, from), pattern)) return 0
	hit = substr(text, from + RSTART - 1, RLENGTH)
	before = substr(text, 1, from + RSTART - 2)
	from += RSTART + RLENGTH - 1
	after = substr(text, from, 1)
	return 1
}
function check_text(text) {
	for (from = 1; next_match(text, "[A-Za-z0-9_./-]+[.](c|h|md|scd|sh|awk|bt)"); )
		if (after !~ /[A-Za-z0-9_(]/) check_name(hit, before)
	for (from = 1; next_match(text, "(cuse[-_]gntdev|gntdev)[a-z.-]*[(][1-8][)]"); )
		check_page(hit)
	for (from = 1; next_match(text, "[Ss]ections? [0-9]+"); )
		if (before !~ /[A-Za-z0-9]$/) check_sections(last " " before, hit substr(text, from))
	last = text
}
# The comment that a line of C holds, if any; in_comment says whether it goes on.
function comment_of(text,   s, at) {
	s = ""
	if (!in_comment) {
		if (!(at = index(text, "/*"))) return ""
		text = substr(text, at + 2); in_comment = 1
	}
	if ((at = index(text, "*/"))) { text = substr(text, 1, at - 1); in_comment = 0 }
	sub(/^[ \t]*\**[ \t]?/, "", text); sub(/[ \t]+$/, "", text)
	return text
}
function check_file(   text, fence, kind) {
	kind = file ~ /\.[ch]$/ ? "c" : file ~ /\.md$/ ? "md" : file ~ /\.scd$/ ? "scd" : "sh"
	in_comment = 0; last = ""; last_page = ""; line = 0
	while ((getline text < file) > 0) {
		line++
		if (kind == "c") { check_text(comment_of(text)); continue }
		if (kind == "sh") { check_text(text ~ /^[ \t]*#/ ? text : ""); continue }
		if (text ~ /^```/) fence = !fence
		if (fence || text ~ /^(\t|    )/) continue
		if (kind == "md") check_links(text)
		if (file != "docs/gntdev-abi.md") check_text(text)
	}
	close(file)
}
BEGIN { n = split(ENVIRON["foreign"], list, " "); for (i = 1; i <= n; i++) theirs[list[i]] = 1 }
{
	files[++n_files] = $0; there[$0] = 1; rest = $0
	while ((at = index(rest, "/"))) {
		directory[substr($0, 1, length($0) - length(rest) + at - 1)] = 1
		rest = substr(rest, at + 1); tail[rest] = $0
	}
	tail[rest] = $0
}
END {
	for (i = 1; i <= n_files; i++) if (files[i] ~ /\.md$/) read_headings(files[i])
	for (i = 1; i <= n_files; i++) {
		file = files[i]
		if (file ~ /\.([ch]|md|scd|sh)$/ || file ~ /(^|\/)(Makefile|gntdev-run|differences)$/) check_file()
	}
}'
