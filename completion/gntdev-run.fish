# SPDX-License-Identifier: MIT
#
# Completion of gntdev-run's command line for fish: a program, then what that takes.

complete -c gntdev-run -x -a '(__fish_complete_subcommand)'
complete -c gntdev-run -n 'test (count (commandline -opc)) = 1' -l help
