#!/bin/bash
# SPDX-License-Identifier: MIT
#
# dict.sh NAME: the dictionary of fuzz_NAME: tests/fuzz/NAME.dict, and the words that tables in the sources have
set -eu
cd "$(dirname "$0")/../.."

cat "tests/fuzz/$1.dict"
case $1 in
policy) sed -n '/^#define POLICY_LIMITS(X)/,/[^\\]$/s/^\tX(\([a-z_]*\),.*/"\1"/p' policy/limit.h ;;
esac
