# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The test bed itself: what the other cases rely on.
is_the_type_asked_for() { [ "${COMBO##*-}" = "${GUEST_TYPE,,}" ]; }

check "dom0 is what was asked for" is_the_type_asked_for
check_output "Xen's tools work" "^virt_caps .*gnttab" toolstack xl info
check "the kernel's driver is not there" test ! -e /dev/xen/gntdev
kernel_driver_on
check "the kernel's driver can be loaded" test -c /dev/xen/gntdev
kernel_driver_off
check "and unloaded" test ! -e /dev/xen/gntdev
