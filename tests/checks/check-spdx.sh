#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each source file says its licence in its first two lines.
set -eu
cd "${srcdir:-.}"
bare=$(find mod_udsroute backend conf scripts tests configure.ac Makefile.am \
  \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name '*.js' -o -name '*.inc' -o -name '*.am' -o -name '*.ac' \
  -o -name '*.conf' -o -name '*.in' \) -type f -exec awk '
    FNR == 1 { if (file != "" && !said) print file; file = FILENAME; said = 0 }
    FNR <= 2 && /SPDX-License-Identifier: Apache-2\.0/ { said = 1 }
    END { if (file != "" && !said) print file }' {} +)
if [ -n "$bare" ]; then
  echo "without an SPDX line:" >&2
  echo "$bare" >&2
  exit 1
fi
