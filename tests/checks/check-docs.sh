#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The manual hangs together: each of its pages is installed and in README's table, each link leads to a file and a
# heading that are there, README and docs/targets.md name every scheme that a target may have, its examples have no
# comments that httpd takes for words, and httpd can reach the sockets of the units that are there to copy.
set -eu
cd "${srcdir:-.}"
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

words=$(cat conf/Makefile.inc backend/Makefile.inc | tr '\n\t' '  ')
for page in docs/*.md; do
  case " $words " in
    *" $page "*) ;;
    *) echo "$page" ;;
  esac
done | violation "in no Makefile.inc, so not installed"
for page in docs/*.md; do
  grep -qF "| [$page]($page) |" README.md || echo "$page"
done | violation "not in README.md's table"

# The anchors of a page, as the forges make them of its headings.
anchors() {
  sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed -e 's/[^a-z0-9 _-]//g' -e 's/ /-/g'
}

# A link may go on in the next line.
for page in README.md CHANGELOG.md CONTRIBUTING.md docs/*.md; do
  tr '\n' ' ' <"$page" | grep -oE '\]\([^ )]+\)' | sed -e 's/^](//' -e 's/)$//' | grep -v '^https\{0,1\}:' |
    while read -r link; do
      path=${link%%#*}
      target=$page
      [ -z "$path" ] || target=$(dirname "$page")/$path
      if [ ! -e "$target" ]; then
        echo "$page: $link: no such file"
      elif [ "$link" != "$path" ] && ! anchors "$target" | grep -qxF -e "${link#*#}"; then
        echo "$page: $link: no such heading"
      fi
    done || true
done | violation "links that lead nowhere"

schemes=$(sed -n 's/^ *{\.name = "\([a-z]*\)", \.default_port.*/\1/p' mod_udsroute/udr_target.c)
[ -n "$schemes" ] || { echo "no table of schemes found" >&2; exit 1; }
for scheme in $schemes; do
  for page in README.md docs/targets.md; do
    grep -qF "$scheme://" "$page" || echo "$scheme://: $page"
  done
done | violation "schemes that are not named"

# httpd has no comments behind a directive.
grep -nE '^    +<?[A-Z][A-Za-z]+ .*[[:space:]]# ' README.md docs/*.md | violation "comments behind directives"

# Such a directory lies in /run/private, which is root's alone.
for unit in conf/systemd/*.service; do
  if grep -qx 'DynamicUser=yes' "$unit" && grep -q '^RuntimeDirectoryPreserve=' "$unit"; then echo "$unit"; fi
done | violation "units whose sockets httpd can't reach: RuntimeDirectoryPreserve= with DynamicUser="

[ ! -e "$work/violated" ]
