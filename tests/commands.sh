#!/bin/bash
# SPDX-License-Identifier: MIT
#
# commands.sh BUILD - the command lines that README, docs, man pages and --help show, as far as they call a program of
# ours, and what is pasted behind them. Lines, separated by tabs:
#
#   command WHERE COMMAND
#   output  TEXT            of the command before
set -u
build=$1
cd "$(dirname "$0")/.." || exit 1
ours='(^|[ ;|&(])(gntdevctl|cuse_gntdev|gntdev-run)( |$)'

# Behind a prompt in an indented block (or, of man pages, between ```); what follows is its output, up to the next one.
prompts()
{
	awk -v ours="$ours" -v fenced="$1" '
		function emit(command) {
			sub(/  +#.*/, "", command)
			open = command ~ ours
			if (open)
				printf "command\t%s:%d\t%s\n", FILENAME, FNR, command
		}
		FNR == 1 { open = block = 0 }
		fenced && /^```/ { block = !block; open = 0; next }
		fenced && !block { next }
		fenced && /^[#$] / { emit(substr($0, 3)); next }
		!fenced && /^ *[#$] (gntdevctl|cuse_gntdev|gntdev-run|kill|make|apt|echo|cat|ls|sleep|systemctl|systemd-run|journalctl|curl|time|unshare)/ {
			text = $0
			sub(/^ *[#$] /, "", text)
			if (match($0, /^ +/) && RLENGTH >= 4) { emit(text); next }
		}
		!fenced && !/^    / { open = 0; next }
		open { text = $0; sub(/^    /, "", text); printf "output\t%s\n", text }
	' "${@:2}"
}

# `...` in text. What has a word in capitals, as PROGRAM, is no command line.
# shellcheck disable=SC2016 # those of Markdown
inline()
{
	grep -onE '`(gntdevctl|cuse_gntdev|gntdev-run) [^`]*`' "$@" | grep -vE '[^A-Za-z_=.][A-Z][A-Z]+( |`|$)' |
		sed -E 's/^([^:]*:[0-9]*):`(.*)`$/command\t\1\t\2/'
}

# Examples of --help; what they do stands behind blanks.
helps()
{
	local command

	for command in '' list show stats top trace errors graph metrics policy fault upgrade wrap doctor; do
		# shellcheck disable=SC2086 # none, or one
		"$build/gntdevctl" $command --help | sed -n "/^Examples:/,/^The manual/s/^  \(gntdevctl\)/command\tgntdevctl $command --help\t\1/p"
	done
	"$build/cuse_gntdev" --help | sed -n "/^Examples:/,/^The manual/s/^  \(cuse_gntdev\)/command\tcuse_gntdev --help\t\1/p"
}

prompts 0 README.md docs/*.md
prompts 1 man/*.scd
inline README.md docs/*.md
helps | sed 's/   .*//'
