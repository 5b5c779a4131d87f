#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The sources are formatted as .clang-format says. Not part of make check: versions of clang-format differ in what they
# make of the same style, and who builds from a tarball has another or none. scripts/test.sh runs it.
set -eu
cd "${srcdir:-.}"
formatter=${CLANG_FORMAT:-clang-format-14}
if ! "$formatter" --version | grep -q 'version 14\.'; then
  echo "clang-format 14 is needed (Debian 12: clang-format)" >&2
  exit 1
fi
# clang-format shows each place twice over; the names of the files are enough to mend it.
unformatted=$(find mod_udsroute backend tests -name '*.[ch]' -type f |
  while read -r file; do "$formatter" --dry-run --Werror "$file" 2>/dev/null || echo "$file"; done)
if [ -n "$unformatted" ]; then
  echo "not formatted; $formatter -i on:" >&2
  echo "$unformatted" >&2
  exit 1
fi
