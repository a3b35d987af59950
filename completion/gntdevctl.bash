# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Completion of the command lines of gntdevctl, cuse_gntdev and gntdev-run for bash. Commands and options are
# what --help says; the daemon is asked for ids and processes, at most for a second.

# _gntdevctl_opens MEMBER: that member of all opens
_gntdevctl_opens()
{
	timeout 1 gntdevctl list --opens --json 2>/dev/null |
		sed -n "s/.*[{,] *\"$1\": *\"\{0,1\}\([0-9a-f]*\).*/\1/p" | sort -u
}

# _gntdevctl_maps: the ids of all maps
_gntdevctl_maps()
{
	timeout 1 gntdevctl list --json 2>/dev/null |
		sed -n 's/^{"map":.*[{,] *"id": *"\([0-9a-f]*:[0-9a-f]*\)".*/\1/p'
}

# _gntdevctl_help [COMMAND]
_gntdevctl_help()
{
	gntdevctl ${1:+"$1"} --help 2>/dev/null
}

# The command on the line, if it is there already: the first word that is neither an option nor an
# option's argument.
_gntdevctl_command()
{
	local i word

	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--socket | --run-dir | --name | --output | --color | -o)
			((i++))
			[ "${COMP_WORDS[i]-}" = = ] && ((i++))
			;;
		-*) ;;
		*) echo "$word"; return ;;
		esac
	done
}

# Standard input: what --help says.
_gntdevctl_options()
{
	sed -n 's/^ *\(-., \)\{0,1\}\(--[a-z][a-z-]*\).*/\2/p'
}

_gntdevctl_words()
{
	case $1 in
	'' | help) _gntdevctl_help | sed -n 's/^  \([a-z][a-z]*\)   *.*/\1/p' ;;
	show) _gntdevctl_opens id; _gntdevctl_maps ;;
	*) _gntdevctl_help "$1" | sed -n 's/^.*:  *gntdevctl [a-z]* \[OPTION...\] \[\{0,1\}\([a-z][a-z]*\).*/\1/p' ;;
	esac
}

# _gntdevctl_take CURRENT WORDS
_gntdevctl_take()
{
	mapfile -t COMPREPLY < <(compgen -W "$2" -- "$1")
}

# _gntdevctl_argument OPTION CURRENT: what can stand behind an option; false if it takes nothing
_gntdevctl_argument()
{
	case $1 in
	--pid | -p) _gntdevctl_take "$2" "$(_gntdevctl_opens pid)" ;;
	--user | -u) mapfile -t COMPREPLY < <(compgen -u -- "$2") ;;
	--sort | -s) _gntdevctl_take "$2" 'pages maps age' ;;
	--output | -o) _gntdevctl_take "$2" 'json text' ;;
	--color) _gntdevctl_take "$2" 'auto always never' ;;
	--socket | --svg | --html | --since | --check | --config) mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
	--run-dir | --root) mapfile -t COMPREPLY < <(compgen -d -- "$2") ;;
	--name | --unit | -U | --domid | -d | --delay | -i | --count | -n | --seconds | -t | --watch) ;;
	*) return 1 ;;
	esac
}

# Of OPEN:INDEX only what is behind the colon is put in.
_gntdevctl_after_colon()
{
	local i=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} open id

	[ "$cur" = : ] && cur='' && ((i++))
	open=${COMP_WORDS[i - 2]}
	while read -r id; do
		[ "${id%%:*}" = "$open" ] && [[ ${id#*:} == "$cur"* ]] && COMPREPLY+=("${id#*:}")
	done < <(_gntdevctl_maps)
}

_gntdevctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command
	local IFS=$' \t\n'

	COMPREPLY=()
	# bash cuts --option=value and OPEN:INDEX in pieces.
	if [ "$cur" = = ]; then
		cur=
	elif [ "$previous" = = ]; then
		previous=${COMP_WORDS[COMP_CWORD - 2]}
	elif [ "$previous" = : ] || [ "$cur" = : ]; then
		_gntdevctl_after_colon
		return
	fi
	command=$(_gntdevctl_command)
	_gntdevctl_argument "$previous" "$cur" && return
	case $previous:$cur in
	*:-*) _gntdevctl_take "$cur" "$(_gntdevctl_help "$command" | _gntdevctl_options)" ;;
	check:* | test:*) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	*) _gntdevctl_take "$cur" "$(_gntdevctl_words "$command")" ;;
	esac
}

_cuse_gntdev()
{
	local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}

	COMPREPLY=()
	[ "$cur" = = ] && cur=''
	[ "$previous" = = ] && previous=${COMP_WORDS[COMP_CWORD - 2]}
	# There it is no argument's option.
	[ "$previous" != --check ] && _gntdevctl_argument "$previous" "$cur" && return
	_gntdevctl_take "$cur" "$(cuse_gntdev --help 2>/dev/null | _gntdevctl_options)"
}

# A program, then what that program takes.
_gntdev_run()
{
	if [ "$COMP_CWORD" -eq 1 ] && [[ ${COMP_WORDS[1]} == -* ]]; then
		_gntdevctl_take "${COMP_WORDS[1]}" '--help'
	elif [ "$COMP_CWORD" -eq 1 ] || ! declare -F _command_offset >/dev/null; then
		mapfile -t COMPREPLY < <(compgen -A command -A file -- "${COMP_WORDS[COMP_CWORD]}")
	else
		_command_offset 1
	fi
}

complete -F _gntdevctl gntdevctl
complete -F _cuse_gntdev cuse_gntdev
complete -F _gntdev_run gntdev-run
