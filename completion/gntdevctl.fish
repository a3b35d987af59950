# SPDX-License-Identifier: MIT
#
# Completion of gntdevctl's command line for fish. Commands and options are what --help says; the daemon is
# asked for ids and processes, at most for a second.

# __gntdevctl_options PROGRAM [COMMAND]: "--option<TAB>what it does" of each, as its --help says
function __gntdevctl_options
    $argv --help 2>/dev/null | string match -r '^ +(?:-., )?--[a-z].*' |
        string replace -r '^ +(?:-., )?(--[a-z][a-z-]*)[^ ]*(?:,? [^ ]+)?(?:  +(.*))?$' '$1\t$2'
end

# The first word that is neither an option nor an option's argument.
function __gntdevctl_command
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case --socket --run-dir --name --output --color -o
                set skip 1
            case '-*'
            case '*'
                echo $word
                return
        end
    end
end

# __gntdevctl_opens MEMBER: that member of all opens
function __gntdevctl_opens
    timeout 1 gntdevctl list --opens --json 2>/dev/null |
        string replace -rf '.*[{,] *"'$argv[1]'": *"?([0-9a-f]*).*' '$1' | sort -u
end

function __gntdevctl_maps
    timeout 1 gntdevctl list --json 2>/dev/null |
        string replace -rf '^\{"map":.*[{,] *"id": *"([0-9a-f]*:[0-9a-f]*)".*' '$1'
end

function __gntdevctl_words
    set -l command (__gntdevctl_command)
    switch "$command"
        case '' help
            gntdevctl --help 2>/dev/null | string replace -rf '^  ([a-z]+) {2,}(.*)' '$1\t$2'
        case show
            __gntdevctl_opens id
            __gntdevctl_maps
        case '*'
            gntdevctl $command --help 2>/dev/null |
                string replace -rf '^.*: +gntdevctl [a-z]+ \[OPTION...\] \[?([a-z]+).*' '$1'
    end
end

function __gntdevctl_is_option
    string match -q -- '-*' (commandline -ct)
end

# Whether the command has an option, for those below.
function __gntdevctl_has
    gntdevctl (__gntdevctl_command) --help 2>/dev/null | string match -qr -- "^ +(-., )?$argv[1]\b"
end

complete -c gntdevctl -f
complete -c gntdevctl -n __gntdevctl_is_option -a '(__gntdevctl_options gntdevctl (__gntdevctl_command))'
complete -c gntdevctl -n 'not __gntdevctl_is_option' -a '(__gntdevctl_words)'
complete -c gntdevctl -n 'contains -- (commandline -opc)[-1] check test' -F
complete -c gntdevctl -n '__gntdevctl_has --pid' -l pid -s p -x -a '(__gntdevctl_opens pid)'
complete -c gntdevctl -n '__gntdevctl_has --user' -l user -s u -x -a '(__fish_complete_users)'
complete -c gntdevctl -n '__gntdevctl_has --sort' -l sort -s s -x -a 'pages maps age'
complete -c gntdevctl -n '__gntdevctl_has --root' -l root -x -a '(__fish_complete_directories)'
complete -c gntdevctl -n '__gntdevctl_has --svg' -l svg -r -F
complete -c gntdevctl -n '__gntdevctl_has --html' -l html -r -F
complete -c gntdevctl -n '__gntdevctl_has --since' -l since -r -F
complete -c gntdevctl -l output -s o -x -a 'json text'
complete -c gntdevctl -l color -x -a 'auto always never'
complete -c gntdevctl -l socket -r -F
complete -c gntdevctl -l run-dir -x -a '(__fish_complete_directories)'
