#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Replays each codec's corpus through its fuzz target, built without libFuzzer. Run by make check in the build directory,
# with srcdir in the environment.
set -eu
for codec in fcgi http1; do
    tests/fuzz/replay_$codec "${srcdir:-.}/tests/fuzz/corpus/$codec"
done
