#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The command table is the one truth: each of its directives has a section in docs/directives.md and a line in
# conf/udsroute-reference.conf, and these two name no other.
set -eu
srcdir=${srcdir:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# The name may stand on the line after the macro.
cat "$srcdir"/mod_udsroute/mod_udsroute*.c | tr '\n' ' ' | grep -oE 'AP_INIT_[A-Z0-9_]+\( *"<?UDS[A-Za-z]*' |
  sed 's/.*"<\{0,1\}//' | sort -u >"$work/table"
sed -n 's/^### `\{0,1\}<\{0,1\}\(UDS[A-Za-z]*\).*/\1/p' "$srcdir/docs/directives.md" | sort >"$work/manual"
sed -n 's/^#<\{0,1\}\(UDS[A-Za-z]*\).*/\1/p' "$srcdir/conf/udsroute-reference.conf" | sort -u >"$work/reference"

# $1, $2: lists; $3: what it means to be in the first only.
only_in_first() {
  names=$(comm -23 "$1" "$2")
  [ -n "$names" ] || return 0
  echo "$3: $(echo "$names" | tr '\n' ' ')" >&2
  failed=1
}

[ -s "$work/table" ] || { echo "no command table found" >&2; exit 1; }
only_in_first "$work/table" "$work/manual" "no section in docs/directives.md"
only_in_first "$work/manual" "$work/table" "a section in docs/directives.md, but no such directive"
only_in_first "$work/table" "$work/reference" "not in conf/udsroute-reference.conf"
only_in_first "$work/reference" "$work/table" "in conf/udsroute-reference.conf, but no such directive"
[ $failed = 0 ]
