#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The numbers of log messages, UDRNO(nnnn): four digits, each used once, each in docs/messages.md with its level and
# nothing there that is not used; what the glue logs at warning or above always has one. A call may take number and
# level from a table, whose rows then say {UDRNO(0001), APLOG_ERR, …} and whose column is called `number`.
set -eu
srcdir=${srcdir:-.}
manual=$srcdir/docs/messages.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# $1: what is wrong; the lines on stdin say where. None: nothing is wrong.
violation() {
  lines=$(cat)
  [ -n "$lines" ] || return 0
  echo "$1:" >&2
  echo "$lines" | sed 's/^/  /' >&2
  touch "$work/violated" # no variable: the end of a pipeline is a process of its own
}

# Numbers as used, without the line that defines the macro.
grep -hoE 'UDRNO\([^)]*\)' "$srcdir"/mod_udsroute/*.[ch] | grep -v 'UDRNO(number)' | sort >"$work/uses" || true
grep -vE '^UDRNO\([0-9]{4}\)$' "$work/uses" | violation "not of the form UDRNO(0001)" || true
uniq -d "$work/uses" | violation "numbers used more than once"

sed -e 's/UDRNO(/UDR/' -e 's/)//' "$work/uses" | sort -u >"$work/used"
sed -n 's/^| *\(UDR[0-9]*\) *|.*/\1/p' "$manual" | sort >"$work/rows"
sort -u "$work/rows" >"$work/listed"
uniq -d "$work/rows" | violation "listed more than once in docs/messages.md"
comm -23 "$work/used" "$work/listed" | violation "used, but not listed in docs/messages.md"
comm -13 "$work/used" "$work/listed" | violation "listed in docs/messages.md, but not used"

# One line for each log call or row of a table: "file:line number level", with "-" for what it does not say literally.
for file in "$srcdir"/mod_udsroute/*.c; do
  [ -e "$file" ] || continue
  awk -v file="${file##*/}" '
    # Comments and definitions of macros are no calls.
    /^[ \t]*(\*|\/\*|\/\/|#)/ { next }
    function level_of(text,   levels, level) {
      while (match(text, /APLOG_(EMERG|ALERT|CRIT|ERR|WARNING|NOTICE|INFO|DEBUG|TRACE[1-8])/)) {
        level = tolower(substr(text, RSTART + 6, RLENGTH - 6))
        levels++
        text = substr(text, RSTART + RLENGTH)
      }
      if (levels != 1) return "-"
      return level == "err" ? "error" : level == "warning" ? "warn" : level
    }
    function number_of(text) {
      if (match(text, /UDRNO\([0-9]+\)/)) return "UDR" substr(text, RSTART + 6, RLENGTH - 7)
      return text ~ /[.>]number[ ,)]/ ? "table" : "-"
    }
    !call && /UDRNO\([0-9]+\), *APLOG_/ { print file ":" FNR, number_of($0), level_of($0) }
    !call && /(^|[^a-z_])ap_log_[a-z]*error *\(/ { call = 1; text = ""; line = FNR }
    call { text = text " " $0 }
    call && /; *(\/\*.*)?$/ {
      print file ":" line, number_of(text), level_of(text)
      call = 0
    }' "$file"
done >"$work/calls"

awk '$2 == "-" && $3 !~ /^(notice|info|debug|trace[1-8])$/ { print $1 }' "$work/calls" |
  violation "logs at warning or above, or at a level that is not literal, without UDRNO"

sed -n 's/^| *\(UDR[0-9]*\) *| *\([a-z]*\) *|.*/\1 \2/p' "$manual" | sort >"$work/levels"
awk '$2 != "-" && $3 != "-" { print $2, $3 }' "$work/calls" | sort | join - "$work/levels" | awk '$2 != $3' |
  violation "logged at one level, listed with another"

[ ! -e "$work/violated" ]
