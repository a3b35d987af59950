# SPDX-License-Identifier: MIT
#
# Completion of cuse_gntdev's command line for fish: what --help says.

function __cuse_gntdev_options
    cuse_gntdev --help 2>/dev/null | string match -r '^ +(?:-., )?--[a-z].*' |
        string replace -r '^ +(?:-., )?(--[a-z][a-z-]*)[^ ]*(?:,? [^ ]+)?(?:  +(.*))?$' '$1\t$2'
end

complete -c cuse_gntdev -f -a '(__cuse_gntdev_options)'
complete -c cuse_gntdev -l config -r -F
complete -c cuse_gntdev -l run-dir -x -a '(__fish_complete_directories)'
