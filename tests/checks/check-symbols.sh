#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The built module exports its module record and nothing else: whatever httpd or another module calls its own functions.
set -eu
module=mod_udsroute/.libs/mod_udsroute.so
symbols=$(nm -D --defined-only "$module" | awk '{ print $NF }')
if [ "$symbols" != udsroute_module ]; then
  echo "$module exports, instead of udsroute_module alone:" >&2
  echo "$symbols" >&2
  exit 1
fi
