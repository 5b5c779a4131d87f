#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each header compiles alone, twice over, with the include paths of its own layer and no more.
# From make check: CC, WARNINGS and the layers' flags. By hand they are taken from the Makefile.
set -eu
srcdir=${srcdir:-.}

# The value of a variable of the Makefile in the build folder.
configured() {
  sed -n "s/^$1 = //p" Makefile
}

CC=${CC:-$(configured CC)}
WARNINGS=${WARNINGS:-$(configured WARNINGS)}
APR_CPPFLAGS=${APR_CPPFLAGS:-$(configured APR_CPPFLAGS)}
HTTPD_CPPFLAGS=${HTTPD_CPPFLAGS:-$(configured HTTPD_CPPFLAGS)}
BACKEND_CPPFLAGS=${BACKEND_CPPFLAGS:-$(configured MICROHTTPD_CFLAGS)}
failures=0
seen=0

# $1: the header; then the flags.
compile() {
  header=$1
  shift
  seen=$((seen + 1))
  # The second #include finds a missing guard.
  # shellcheck disable=SC2086  # WARNINGS and CC are lists
  if ! printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
    $CC $WARNINGS -Werror -fsyntax-only -I"$srcdir" "$@" -x c -; then
    echo "$header does not compile alone" >&2
    failures=$((failures + 1))
  fi
}

for path in "$srcdir"/mod_udsroute/*.h "$srcdir"/backend/*.h; do
  [ -e "$path" ] || continue
  header=${path#"$srcdir"/}
  # shellcheck disable=SC2086  # flags are lists
  case $header in
    mod_udsroute/udr_*) compile "$header" $APR_CPPFLAGS ;;
    mod_udsroute/*) compile "$header" $HTTPD_CPPFLAGS $APR_CPPFLAGS ;;
    backend/*) compile "$header" $BACKEND_CPPFLAGS ;;
  esac
done
[ $failures = 0 ] && [ $seen -gt 0 ]
