#!/bin/bash
# SPDX-License-Identifier: MIT
#
# contrib.sh - what contrib/ has for Prometheus and Grafana is what these read. Prints TAP.
#
# promtool comes of Debian's package prometheus, which is unpacked, not installed: it would start a service.
set -u
cd "$(dirname "$0")/../.." || exit 1
status=0

# check WHAT COMMAND...
check()
{
	local out

	if out=$("${@:2}" 2>&1); then
		echo "ok contrib: $1"
		return
	fi
	printf '#   %s\n' "$out"
	echo "not ok contrib: $1"
	status=1
}

# Set $promtool; false if there is none to be had.
have_promtool()
{
	promtool=$(command -v promtool) && return
	promtool=$PWD/.cache/prometheus/root/usr/bin/promtool
	[ -x "$promtool" ] && return
	mkdir -p .cache/prometheus/root &&
		(cd .cache/prometheus && apt-get -qq download prometheus && dpkg -x prometheus_*.deb root && rm prometheus_*.deb) >/dev/null 2>&1
	[ -x "$promtool" ]
}

alerts_fire()
{
	cd contrib/prometheus && "$promtool" test rules alerts-test.yml
}

# Each alert is one that the test expects to fire.
alerts_are_tested()
{
	diff <(sed -n 's/.*- alert: //p' contrib/prometheus/alerts.yml | sort) \
		<(sed -n 's/.*alertname="\([A-Za-z]*\)".*/\1/p' contrib/prometheus/alerts-test.yml | sort -u)
}

# shellcheck disable=SC2016 # Perl's
check "the dashboard is JSON" perl -MJSON::PP -0777 -ne 'decode_json($_)->{panels}[0]{targets} or exit 1' \
	contrib/grafana/cuse-gntdev.json
check "each alert is tested" alerts_are_tested
if have_promtool; then
	check "promtool takes the alerts" "$promtool" check rules contrib/prometheus/alerts.yml
	check "promtool takes the configuration" "$promtool" check config contrib/prometheus/scrape.yml
	check "the alerts fire when they should" alerts_fire
else
	echo "ok contrib: promtool # SKIP it is not to be had here"
fi
exit $status
