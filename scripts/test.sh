#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds and runs every test, in at most 30 minutes; the last line is the sum of it all.
#   test.sh                    every stage
#   test.sh [-v] STAGE …       only these; -v shows their output as it comes
# A stage that fails does not keep the later ones from running. Their output is in build-test/STAGE.log.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

logs=build-test
sanitized_build=build-asan
total_seconds=1800
make_jobs=(make --silent "-j$(nproc 2>/dev/null || echo 1)")

# In the order they run. Each is a function stage_NAME; its limit in seconds.
stages=(install build format check integration soak distcheck asan asan-integration schedule fuzz demo bench)
declare -A limit=(
  [install]=600 [build]=300 [format]=60 [check]=300 [integration]=600 [soak]=300 [distcheck]=420
  [asan]=420 [asan-integration]=780 [schedule]=300 [fuzz]=180 [demo]=60 [bench]=120
)
# Stages that count tests of their own; any other counts as one test.
declare -A counted_by=([check]=automake [asan]=automake [integration]=pytest [asan-integration]=pytest [schedule]=pytest)

stage_install() {
  scripts/install-deps.sh build test bench
}

stage_build() {
  scripts/build.sh --enable-werror
}

stage_format() {
  tests/checks/check-format.sh
}

stage_check() {
  "${make_jobs[@]}" check VERBOSE=1
}

# Most tests wait for something: four processes of them keep two processors busy. One file's tests stay together.
parallel="--quiet --durations=10 -n 4 --dist loadfile"

# run_pytest STAGE COMMAND …: the tests that make runs by this command, side by side. One or two that fail are run once
# more, alone, unless something crashed: a test that a busy machine breaks says nothing about the change at hand. It is
# named as unsteady beside the sums and wants mending all the same.
run_pytest() {
  local failed=$PWD/$logs/$1.failed status
  shift
  UDR_FAILED=$failed "$@" PYTESTFLAGS="$parallel"
  status=$?
  if [ $status = 0 ] || [ ! -s "$failed" ] || [ "$(wc -l <"$failed")" -gt 2 ]; then return $status; fi
  echo "Once more, alone:"
  UDR_ONLY=$failed "$@" PYTESTFLAGS=--quiet || return
  sed 's/^/UNSTEADY /' "$failed"
}

stage_integration() {
  run_pytest integration make integration
}

# The short form: ten minutes under the sanitizers are for `make soak` (tests/soak).
stage_soak() {
  make soak SOAKFLAGS="--seconds 120"
}

stage_distcheck() {
  "${make_jobs[@]}" distcheck VERBOSE=1
}

# The tree may be configured in one place only, so the sanitized build is made from what would be in the tarball. It is a
# debug build, too: what it asserts is tried by all integration tests.
stage_asan() {
  "${make_jobs[@]}" distdir distdir="$sanitized_build" || return 1
  cd "$sanitized_build" || return 1
  ./configure --quiet --enable-werror --enable-asan --enable-debug && "${make_jobs[@]}" && "${make_jobs[@]}" check VERBOSE=1
}

stage_asan-integration() {
  run_pytest asan-integration env UDR_SANITIZE=asan make -C "$sanitized_build" integration
}

# The short form; ROUNDS=10000 is for hand-overs that have been touched.
stage_schedule() {
  run_pytest schedule env UDR_SANITIZE=asan make -C "$sanitized_build" schedule ROUNDS=200
}

# Long enough to see that the targets build, run and find nothing near the corpus.
stage_fuzz() {
  "${make_jobs[@]}" fuzz FUZZTIME=20
}

stage_demo() {
  scripts/demo.sh --once
}

# That it works; two busy processors say nothing about speed.
stage_bench() {
  make bench BENCHFLAGS=--quick
}

usage() {
  echo "usage: ${0##*/} [-v] [STAGE …]; the stages are: ${stages[*]}"
}

# Prints "passed failed" for a log of automake's test driver. What was skipped was not tested: it counts as failed.
count_automake() {
  # The totals stand twice where a failure made it print the log: the last ones count.
  awk '/^# TOTAL: / { passed = failed = 0 }
    /^# (PASS|XFAIL): / { passed += $3 }
    /^# (FAIL|XPASS|ERROR|SKIP): / { failed += $3 }
    END { print passed + 0, failed + 0 }' "$1"
}

# The same for pytest, from its closing line ("3 failed, 40 passed, 1 skipped in 12.3s"); what has failed was run again
# where there is a second one.
count_pytest() {
  grep -E '^(=+ )?[0-9]+ [a-z]+.* in [0-9.]+s' "$1" | tail -n 2 | awk '{
    failed = 0
    for (i = 2; i <= NF; i++) {
      if ($i ~ /^passed/) passed += $(i - 1)
      if ($i ~ /^(failed|errors?|skipped|xfailed|xpassed)/) failed += $(i - 1)
    } } END { print passed + 0, failed + 0 }'
}

# Of a long log: where it first speaks of a failure, and its end.
show_failure() {
  local log=$1 lines first
  lines=$(wc -l <"$log")
  first=$(grep -n -m 1 -E '^=+ (ERRORS|FAILURES) =|^FAIL|[Ee]rror:' "$log" | cut -d : -f 1)
  echo "--- $log"
  if [ "${first:-$lines}" -lt $((lines - 120)) ]; then
    tail -n "+$first" "$log" | head -n 60
    echo "[…]"
    tail -n 60 "$log"
  else
    tail -n 120 "$log"
  fi
  echo "---"
}

# What a stage's log calls a failure, in so few lines that they can stand beside the sums.
show_digest() {
  grep -E '^(FAIL|FAILED|ERROR|XPASS|UNSTEADY)[: ]|^make.*\*\*\*' "$1" | cut -c 1-300 | head -n 12 | sed 's/^/  /'
}

current=
follower=
interrupted() {
  trap - INT TERM
  # timeout hands the signal on to all that the stage started.
  if [ -n "$current" ]; then kill "$current" 2>/dev/null; wait "$current"; fi
  if [ -n "$follower" ]; then kill "$follower" 2>/dev/null; fi
  exit 130
}

# Runs one stage in a process group of its own; its log is $2. Returns its status, 124 when it took too long.
run_stage() {
  local name=$1 log=$2 seconds=$3 status
  : >"$log"
  if [ $verbose = yes ]; then
    tail -n +1 -f "$log" &
    follower=$!
  fi
  timeout --kill-after=15 "$seconds" "$0" --inside "$name" >"$log" 2>&1 </dev/null &
  current=$!
  wait "$current"
  status=$?
  current=
  if [ -n "$follower" ]; then
    kill "$follower" 2>/dev/null
    follower=
  fi
  return $status
}

verbose=no
case ${1-} in
  --inside) "stage_$2"; exit ;;
  --help) usage; exit 0 ;;
  -v) verbose=yes; shift ;;
esac
chosen=("$@")
if [ $# = 0 ]; then chosen=("${stages[@]}"); fi
for name in "${chosen[@]}"; do
  [ -n "${limit[$name]-}" ] || { usage >&2; exit 2; }
done
trap interrupted INT TERM
mkdir -p "$logs"

passed=0
failed=0
summary=()
is_smooth=yes

# Runs a stage and adds what came of it to the sums.
take_stage() {
  local name=$1 log=$logs/$1.log begun=$SECONDS seconds=${limit[$1]} status=124 good=0 bad=0 verdict=ok line
  local left=$((total_seconds - SECONDS))
  if [ "$seconds" -gt $left ]; then seconds=$left; fi
  printf '%-18s' "$name"
  echo "no time left" >"$log"
  if [ "$seconds" -gt 0 ]; then
    run_stage "$name" "$log" "$seconds"
    status=$?
  fi
  if [ -n "${counted_by[$name]-}" ]; then
    read -r good bad < <("count_${counted_by[$name]}" "$log")
  elif [ $status = 0 ]; then
    good=1
  fi
  # A build that broke before the first test, a killed stage, a run that found no test: something failed all the same.
  if [ "$bad" = 0 ] && { [ $status != 0 ] || [ "$good" = 0 ]; }; then bad=1; fi
  passed=$((passed + good))
  failed=$((failed + bad))
  if grep -q '^UNSTEADY ' "$log"; then verdict="ok, unsteady"; fi
  if [ "$bad" != 0 ]; then verdict=FAILED; fi
  if [ $status = 124 ] || [ $status = 137 ]; then verdict="FAILED, stopped after $seconds s"; fi
  line=$(printf '%5d s  %4d passed %4d failed  %s' $((SECONDS - begun)) "$good" "$bad" "$verdict")
  summary+=("$(printf '%-18s%s' "$name" "$line")")
  echo "$line"
  if [ "$verdict" = ok ]; then return; fi
  summary+=("$(show_digest "$log")")
  is_smooth=no
  show_failure "$log"
}

for name in "${chosen[@]}"; do
  take_stage "$name"
done
if [ $is_smooth = no ]; then
  printf '\n'
  printf '%s\n' "${summary[@]}"
fi
echo "$SECONDS s in all"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
