# SPDX-License-Identifier: Apache-2.0
"""A debug build says which step has held a loop."""
import re

from udr_client import Client
from udr_schedule import Stage, assert_answered, target


def test_a_step_that_sleeps_is_named(sandbox):
    """What is not excused as part of a schedule: twenty milliseconds on the way to the loop."""
    stage = Stage(sandbox, "coming>loop=held:20ms")
    with Client(stage.port) as client:
        path = target(after_us=1000)
        assert_answered(client.fetch(path), path)
    counts, holds = stage.end()
    pattern = re.compile(r"a loop was held for (\d+) us by a task, \d+ us of it by a task;")
    held = [int(match[1]) for match in map(pattern.match, holds) if match]
    # (A busy machine may hold a loop, too.)
    assert sum(us >= 20_000 for us in held) >= counts["coming>loop"] > 0
