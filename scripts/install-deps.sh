#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing from Debian's packages, and nothing when nothing is. Groups: build, test, bench; by default
# build. For test, localhost is given its name where it has none. Elsewhere than on Debian, or without the right to
# install, it lists what is needed and stops with status 1.
set -euo pipefail

declare -A packages=(
  # curl: the demonstration shows its request with it.
  [build]="gcc make libc6-dev autoconf automake libtool pkg-config apache2-dev apache2-bin
           libmicrohttpd-dev libgnutls28-dev libwslay-dev libsystemd-dev curl"
  # openssl makes certificates for mod_ssl; nghttp2-client is h2load; clang and its run-time are for the fuzz targets;
  # prometheus brings promtool; chromium opens the status page, as selenium tells it by chromium-driver;
  # PHP-FPM and uWSGI are members of other protocols.
  [test]="libcmocka-dev python3 python3-pytest python3-pytest-xdist python3-websockets gunicorn nodejs node-ws
          nghttp2-client openssl clang libclang-rt-dev clang-format xz-utils procps iproute2 strace
          chromium chromium-driver python3-selenium fonts-dejavu-core prometheus
          php-fpm uwsgi-core uwsgi-plugin-python3"
  [bench]="python3 openssl wrk nginx haproxy php-fpm"
)
# What these packages bring as services. The project starts its own servers and needs none of Debian's running.
services="apache2 nginx haproxy prometheus php8.2-fpm"
policy=/usr/sbin/policy-rc.d

usage() {
  echo "usage: ${0##*/} [build] [test] [bench] | --list [group …]"
}

# Prints those of the given packages that are not installed.
missing_of() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || echo "$package"
  done
}

# Stops with the list of what is needed. $1: why it can't be installed from here.
refuse() {
  echo "${0##*/}: $1. What is needed, by its name in Debian 12:" >&2
  printf '  %s\n' "${wanted[@]}" >&2
  exit 1
}

# Services present before we install: those are the administrator's, and stay as they are.
services_present() {
  local service
  for service in $services; do
    if [ -e "/etc/init.d/$service" ]; then echo "$service"; fi
  done
}

# invoke-rc.d asks policy-rc.d before a package starts its service: 101 forbids it. One that is there is respected.
forbid_service_starts() {
  if [ -e "$policy" ]; then return 0; fi
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

# A service that came with our packages is neither to run now (the policy that was there may have let it) nor at the
# next boot.
stand_down_new_services() {
  local before=$1 service
  for service in $(services_present); do
    if grep -qx "$service" <<<"$before"; then continue; fi
    if [ -d /run/systemd/system ]; then
      systemctl disable --now "$service" >/dev/null 2>&1 || true
    else
      "/etc/init.d/$service" stop >/dev/null 2>&1 || true
      if command -v update-rc.d >/dev/null; then update-rc.d "$service" disable >/dev/null 2>&1 || true; fi
    fi
  done
}

# The lists are fetched when apt does not know a package, and again when what it knows is no longer on the mirror.
install_packages() {
  local apt=(apt-get -q -y -o DPkg::Lock::Timeout=120)
  local install=("${apt[@]}" install --no-install-recommends "$@")
  export DEBIAN_FRONTEND=noninteractive
  if ! "${install[@]}" --simulate >/dev/null 2>&1; then
    "${apt[@]}" update
  fi
  "${install[@]}" || { "${apt[@]}" update && "${install[@]}"; }
}

# Whether the tests find localhost by its name: a root made with debootstrap has no /etc/hosts.
is_localhost_known() {
  getent ahosts localhost >/dev/null
}

list_only=no
groups=()
for argument in "$@"; do
  case $argument in
    --list) list_only=yes ;;
    --help) usage; exit 0 ;;
    build | test | bench) groups+=("$argument") ;;
    *) usage >&2; exit 2 ;;
  esac
done
if [ ${#groups[@]} = 0 ]; then groups=(build); fi

wanted=()
for group in "${groups[@]}"; do
  read -r -d '' -a names <<<"${packages[$group]}" || true
  wanted+=("${names[@]}")
done
mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)

if [ $list_only = yes ]; then
  printf '%s\n' "${wanted[@]}"
  exit 0
fi
if [ ! -e /etc/debian_version ] || ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  refuse "this is not Debian"
fi
mapfile -t missing < <(missing_of "${wanted[@]}")
names_wanted=no
if [[ " ${groups[*]} " = *" test "* ]] && ! is_localhost_known; then names_wanted=yes; fi
if [ ${#missing[@]} = 0 ] && [ $names_wanted = no ]; then exit 0; fi

if [ "$(id -u)" != 0 ]; then
  wanted=("${missing[@]}")
  if [ $names_wanted = yes ]; then wanted+=("a line in /etc/hosts: 127.0.0.1 localhost"); fi
  command -v sudo >/dev/null || refuse "something is missing, and only root may install it"
  # Without a terminal nobody can be asked for a password.
  ask=()
  if [ ! -t 0 ]; then ask=(-n); fi
  sudo "${ask[@]}" true || refuse "something is missing, and sudo does not let you install it"
  exec sudo "${ask[@]}" -- "$0" "${groups[@]}"
fi

if [ $names_wanted = yes ]; then
  echo "adding localhost to /etc/hosts"
  printf '\n127.0.0.1 localhost\n' >>/etc/hosts
fi
if [ ${#missing[@]} = 0 ]; then exit 0; fi
echo "installing: ${missing[*]}"
before=$(services_present)
forbid_service_starts
install_packages "${missing[@]}"
stand_down_new_services "$before"
