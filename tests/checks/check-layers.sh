#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Dependencies point one way: the core (udr_*) knows neither httpd nor the glue and has no cycles, module and backend
# know nothing of each other.
set -eu
srcdir=${srcdir:-.}
violations=0

violation() {
  echo "$1" >&2
  violations=$((violations + 1))
}

# Prints "file included" for each #include, with the base name of what is included.
includes_of() {
  sed -n -e 's,^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]\([^>"]*\)[>"].*,\1,p' "$1"
}

for file in "$srcdir"/mod_udsroute/udr_*.[ch]; do
  [ -e "$file" ] || continue
  for included in $(includes_of "$file"); do
    case ${included##*/} in
      httpd.h | http_*.h | ap_*.h | util_*.h | mpm_*.h | scoreboard.h | unixd.h)
        violation "$file: the core includes httpd's $included" ;;
      mod_udsroute*.h)
        violation "$file: the core includes $included of the glue" ;;
      mod_*.h)
        violation "$file: the core includes another module's $included" ;;
    esac
  done
done

for file in "$srcdir"/mod_udsroute/*.[ch]; do
  [ -e "$file" ] || continue
  for included in $(includes_of "$file"); do
    case $included in
      backend/* | */backend/* | udsb_*.h | udsbackend*.h)
        violation "$file: the module includes $included of the backend" ;;
    esac
  done
done

for file in "$srcdir"/backend/*.[ch]; do
  [ -e "$file" ] || continue
  for included in $(includes_of "$file"); do
    case $included in
      *mod_udsroute/* | udr_*.h) violation "$file: the backend includes $included of the module" ;;
    esac
  done
done

# A noun is a .c/.h pair, and a noun_private.h belongs to its noun; tsort names the nouns that use each other.
nouns=$(for file in "$srcdir"/mod_udsroute/udr_*.[ch]; do
  [ -e "$file" ] || continue
  noun=${file##*/}
  noun=${noun%.?}
  noun=${noun%_private}
  for included in $(includes_of "$file"); do
    case ${included##*/} in
      udr_*.h) included=${included##*/}; included=${included%.h}; echo "$noun ${included%_private}" ;;
    esac
  done
done)
if [ -n "$nouns" ] && ! cycle=$(echo "$nouns" | tsort 2>&1 >/dev/null); then
  violation "the core has nouns that depend on each other:
$cycle"
fi

[ $violations = 0 ]
