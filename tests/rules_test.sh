#!/bin/bash
# SPDX-License-Identifier: MIT
#
# rules_test.sh  - rooms.sh and cited.sh on made-up trees: each rule fails where it is broken, and only there;
# prints what does not work
set -u
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT

# file NAME LINE...: one of the made-up tree
file()
{
	mkdir -p "$tree/$(dirname "$1")"
	printf '%s\n' "${@:2}" >"$tree/$1"
}

# What keeps all rules.
fresh()
{
	rm -rf "${tree:?}"/*
	file base/low.h
	file base/low.c '#include "base/low.h"' '#include <stdio.h>'
	file device/gntdev.h '#include "base/low.h"'
	file device/gntdev.c '#include "device/gntdev.h"' '/* docs/facts.md, section 2; base/low.c and' ' * docs/facts.md, sections 1' ' * and 2 */'
	file device/session.c '#include <cuse_lowlevel.h>'
	file docs/facts.md '# Facts' '## 1. One' 'See [two](#2-two), [here](../README.md) and gntdevctl(1).' '## 2. Two' '```' 'none.c [no](no.md)' '```'
	file man/gntdevctl.1.scd 'As base/low.h has it.'
	file README.md '[facts](docs/facts.md#1-one), [all](docs)'
}

# broken RULE SCRIPT TEXT: the tree as it is now is told of by SCRIPT, in one line with TEXT
broken()
{
	local out

	out=$("$here/$2" "$tree")
	[ "$(wc -l <<<"$out")" -eq 1 ] && grep -qF -- "$3" <<<"$out" || printf '%s: "%s" is wanted, and there is: %s\n' "$1" "$3" "$out"
	fresh
}

fresh
for script in rooms.sh cited.sh; do
	out=$("$here/$script" "$tree")
	[ -z "$out" ] || echo "$script has something to say of a good tree: $out"
done

file base/high.c '#include "device/gntdev.h"'
broken "an include that points up" rooms.sh "base/high.c includes device/gntdev.h: base may not include device, but nothing"
file xen/xen.c '  #  include "device/gntdev.h"'
broken "an include from the side" rooms.sh "xen/xen.c includes device/gntdev.h: xen may not include device, but abi, base, state, hypercall"
file base/a.h '#include "base/b.h"'
file base/b.c '#include "base/a.h"'
file base/b.h
broken "two that include each other" rooms.sh "a circle: base/a.h includes base/b.h, base/b.c includes base/a.h"
file base/a.h '#include "base/b.h"'
file base/b.h '#include "base/c.h"'
file base/c.h
file base/c.c '#include "base/a.h"'
broken "a circle by way of headers" rooms.sh "a circle: base/a.h includes base/b.h, base/b.h includes base/c.h, base/c.c includes base/a.h"
file sim/sim.h
file sim/sim.c '#include "sim/part.h"'
file sim/part.c '#include "sim/sim.h"'
file sim/part.h
[ -z "$("$here/rooms.sh" "$tree")" ] || echo "a face is taken for a circle"
file sim/sim.h '#include "sim/part.h"'
broken "a face that includes a part of its own" rooms.sh "a circle: "
file cellar/a.c
broken "a directory that is no room" rooms.sh "cellar/a.c is in no room"
file spare.c
broken "a file in the root that is of no room" rooms.sh "spare.c is in no room"
file base/low.c '#include "base/gone.h"'
broken "an include of what is not there" rooms.sh 'base/low.c includes "base/gone.h": there is no such file'
file device/gntdev.c '#include <fuse_lowlevel.h>'
broken "a library that others include" rooms.sh "device/gntdev.c includes <fuse_lowlevel.h>: that is for others"

file README.md '[facts](docs/fact.md)'
"$here/cited.sh" "$tree" | grep -qF "link to docs/fact.md: there is no such file" || echo "a link to nothing is not told of"
fresh
file README.md '[facts](docs/facts.md#3-three)'
broken "a link to a heading that is not there" cited.sh "link to docs/facts.md#3-three: there is no such heading in docs/facts.md"
file device/gntdev.c '/*' ' * As docs/facts.md,' ' * section 3 has it.' ' */'
broken "a section that is not there" cited.sh "device/gntdev.c:3: cites section 3 of docs/facts.md: there is none"
file device/gntdev.c '/* After docs/facts.md. */' 'int x; /* Section 4, row 1. */'
broken "a section that is not there, of the document named before" cited.sh "device/gntdev.c:2: cites section 4 of docs/facts.md: there is none"
file device/gntdev.c '/* As in section 2. */'
broken "a section of no document" cited.sh "device/gntdev.c:1: cites a section of no document"
file device/gntdev.c '/* See docs/fiction.md. */'
broken "a document that is not there" cited.sh "names docs/fiction.md: there is no such file"
file tests/some.sh '# as base/high.c does' 'cat base/higher.c'
broken "a file that is not there" cited.sh "tests/some.sh:1: names base/high.c: there is no such file"
file man/gntdevctl.1.scd 'As base/high.h has it.'
broken "a header of a room that is not there" cited.sh "names base/high.h: there is no such file"
file README.md 'See gntdevctl(8).'
broken "a man page that is not there" cited.sh "names gntdevctl(8): there is no man/gntdevctl.8.scd"
