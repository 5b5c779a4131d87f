#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each source file, test and check is named in a Makefile.inc: what is not is neither built, run nor in the tarball.
set -eu
cd "${srcdir:-.}"
words=$(cat mod_udsroute/Makefile.inc backend/Makefile.inc tests/unit/Makefile.inc tests/fuzz/Makefile.inc \
  tests/Makefile.inc | tr '\n\t' '  ')
forgotten=no

for file in mod_udsroute/*.[ch] backend/*.[ch] tests/unit/*.[ch] tests/modules/*.[ch] tests/fuzz/*.[ch] tests/fuzz/*.sh \
  tests/checks/*.sh; do
  [ -e "$file" ] || continue
  # A program made of one source need not name it: automake adds the .c itself.
  case " $words " in
    *" $file "* | *" ${file%.c} "*) ;;
    *)
      echo "$file is in no Makefile.inc" >&2
      forgotten=yes
      ;;
  esac
done
[ $forgotten = no ]
