#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the tree it stands in: bootstraps and configures where that is not done yet, then make.
#   build.sh             keeps the configuration at hand, unless it has a sanitizer (a plain httpd can't load that)
#   build.sh OPTION …    configures with exactly these options of ./configure; builds anew if they were others
set -euo pipefail
cd "$(dirname "$0")/.."

# More jobs than processors only swap them.
jobs=$(nproc 2>/dev/null || echo 1)

bootstrap() {
  if [ ! -e configure ]; then
    autoreconf -fi
  fi
}

# Whether the tree is configured as asked for.
is_configured() {
  local wanted options=()
  wanted=$(printf '%s\n' "$@")
  [ -x config.status ] && [ -e Makefile ] || return 1
  # config.status prints the options of the last ./configure quoted for a shell.
  eval "options=($(./config.status --config))"
  if [ $# = 0 ]; then
    case " ${options[*]-} " in
      *" --enable-asan "* | *" --enable-tsan "*) return 1 ;;
      *) return 0 ;;
    esac
  fi
  [ "$(printf '%s\n' "${options[@]}")" = "$wanted" ]
}

bootstrap
if ! is_configured "$@"; then
  ./configure --quiet "$@"
  # Objects of another configuration would be taken for up to date.
  make --silent clean
fi
make --silent -j"$jobs"
