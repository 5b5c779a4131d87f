# SPDX-License-Identifier: Apache-2.0
"""What has failed in a run of many tests side by side, so that its caller can run that once more, alone.

scripts/test.sh does so with one or two failures in thousands; how, see README.md. Two environment variables:

UDR_FAILED    a file that is written at the end of a run: the tests that failed, an id a line; empty when none may be
              run again because one of them saw a crash
UDR_ONLY      such a file: only these tests run
"""
import os
import pathlib
import re

# Narrower than what the error log is searched for: any failed test speaks of an AssertionError.
CRASH = re.compile(r"exit signal (?!Killed)|Sanitizer: |runtime error:|core dump")

_failed = {}  # id -> whether nothing crashed in it


def take(report):
    """Notes a part of a test (its making, the test itself, its end) that has failed."""
    if report.failed:
        _failed[report.nodeid] = _failed.get(report.nodeid, True) and not CRASH.search(report.longreprtext)


def write():
    """The list, where one is wanted."""
    path = os.environ.get("UDR_FAILED")
    if path:
        pathlib.Path(path).write_text("".join(f"{name}\n" for name in _failed) if all(_failed.values()) else "")


def choose(config, items):
    """Leaves only what UDR_ONLY names, and fails the run where one of those is no longer there."""
    path = os.environ.get("UDR_ONLY")
    if not path:
        return
    wanted = set(pathlib.Path(path).read_text().splitlines())
    chosen = [item for item in items if item.nodeid in wanted]
    assert {item.nodeid for item in chosen} == wanted
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in wanted])
    items[:] = chosen
