#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A private httpd with mod_udsroute on 127.0.0.1, before the project's own backend on a Unix socket: shows one request
# going through, and stays up until Ctrl-C. --once: ends after the request, with status 0 if the answer was right.
set -euo pipefail
cd "$(dirname "$0")/.."

first_port=8080
last_port=8179
expected="Hello via unix socket"
once=no
case ${1-} in
  "") ;;
  --once) once=yes ;;
  *) echo "usage: ${0##*/} [--once]" >&2; exit 2 ;;
esac

directory=
httpd_pid=
backend_pid=

stop() {
  local pid=$1
  if [ -n "$pid" ]; then
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
}

# shellcheck disable=SC2317  # called by the trap
clean_up() {
  trap - EXIT INT TERM
  stop "$httpd_pid"
  stop "$backend_pid"
  if [ -n "$directory" ]; then rm -rf "$directory"; fi
}

# $1: what went wrong. The logs say why.
fail() {
  echo "demo: $1" >&2
  if [ -n "$directory" ]; then
    tail -n 20 "$directory"/backend.log "$directory"/error.log >&2 2>/dev/null || true
  fi
  exit 1
}

# Waits, at most ten seconds, until a command succeeds; fails at once when the process $1 has ended.
wait_for() {
  local pid=$1 tries=100
  shift
  until "$@"; do
    kill -0 "$pid" 2>/dev/null || return 1
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    sleep 0.1
  done
}

port_answers() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The value that configure found, from the Makefile.
configured() {
  sed -n "s/^$1 = //p" Makefile
}

# In /tmp whatever TMPDIR says: a socket path has room for 107 bytes only, and httpd's user must reach it.
make_directory() {
  directory=$(mktemp -d /tmp/udsroute-demo.XXXXXX)
  mkdir "$directory/sockets"
  socket=$directory/sockets/app.sock
  route="UDSRoute \"/\" \"unix:$socket|http://localhost/\""
  account=()
  identity=
  if [ "$(id -u)" = 0 ]; then
    # httpd serves as an unprivileged user; its group may search the directory and write to the socket, nobody else.
    local user=www-data
    id "$user" >/dev/null 2>&1 || user=nobody
    local group
    group=$(id -gn "$user")
    identity="User $user
Group $group"
    account=(--group "$group")
    chmod 711 "$directory"
    chgrp "$group" "$directory/sockets"
    chmod 750 "$directory/sockets"
  fi
}

start_backend() {
  backend/udsbackend --socket "$socket" --mode 0660 "${account[@]}" >"$directory/backend.log" 2>&1 &
  backend_pid=$!
  wait_for "$backend_pid" test -S "$socket" || fail "the backend did not start"
}

write_configuration() {
  cat >"$directory/httpd.conf" <<CONFIGURATION
ServerRoot "$directory"
ServerName localhost
Listen 127.0.0.1:$1
PidFile httpd.pid
DefaultRuntimeDir "$directory"
ErrorLog error.log
LogLevel warn udsroute:info
$identity
LoadModule mpm_event_module "$modules/mod_mpm_event.so"
LoadModule authz_core_module "$modules/mod_authz_core.so"
LoadModule udsroute_module "$PWD/mod_udsroute/.libs/mod_udsroute.so"

$route
CONFIGURATION
}

# Tries one port. Fails without a word when it is taken, by whoever was faster.
start_httpd() {
  local port=$1
  if port_answers "$port"; then return 1; fi
  write_configuration "$port"
  : >"$directory/error.log"
  "$httpd" -f "$directory/httpd.conf" -DFOREGROUND >>"$directory/error.log" 2>&1 &
  httpd_pid=$!
  if wait_for "$httpd_pid" port_answers "$port" && kill -0 "$httpd_pid"; then return 0; fi
  stop "$httpd_pid"
  httpd_pid=
  grep -q "could not bind" "$directory/error.log" || fail "httpd did not start"
  return 1
}

show_request() {
  local url=$1 head=$directory/head body=$directory/body
  echo "the route    $route"
  echo "the request  GET $url"
  curl --silent --show-error --noproxy '*' --max-time 10 --dump-header "$head" --output "$body" "$url" ||
    fail "no answer"
  echo "the answer"
  tr -d '\r' <"$head" | sed -e '/^$/d' -e 's/^/    /'
  echo
  sed -e 's/^/    /' "$body"
  echo
  head -n 1 "$head" | grep -q '^HTTP/1\.1 200 ' || fail "the status is not 200"
  [ "$(cat "$body")" = "$expected" ] || fail "the body is not \"$expected\""
}

trap clean_up EXIT
trap 'exit 0' INT
trap 'exit 143' TERM

scripts/install-deps.sh build
echo "building"
scripts/build.sh
httpd=$(configured HTTPD_PROGRAM)
modules=$(configured HTTPD_MODULEDIR)

make_directory
start_backend
port=$first_port
until start_httpd "$port"; do
  port=$((port + 1))
  [ $port -le $last_port ] || fail "no free port between $first_port and $last_port"
done
show_request "http://127.0.0.1:$port/ux"
if [ $once = yes ]; then exit 0; fi

echo "Up until Ctrl-C. Configuration, socket and logs are in $directory"
wait -n "$httpd_pid" "$backend_pid" || true
fail "a server has ended on its own"
