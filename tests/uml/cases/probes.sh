# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# The USDT probes of docs/trace.bt are in the daemon, with the arguments that it relies on.

# has_probe NAME: as often as it is compiled in, with six arguments
has_probe()
{
	readelf -n "$BUILD/cuse_gntdev" | awk -v name="$1" '
		$1 == "Provider:" { ours = $2 == "cuse_gntdev" }
		$1 == "Name:" { this = $2 }
		$1 == "Arguments:" && ours && this == name { n++; if (NF != 7) exit 1 }
		END { exit n == 0 }'
}

for probe in open release ioctl mmap munmap hypercall; do
	check "probe $probe" has_probe $probe
	check "trace.bt uses $probe" grep -q "^usdt:.*:cuse_gntdev:$probe\b" "$TOP/docs/trace.bt"
done
