# SPDX-License-Identifier: Apache-2.0
"""Many clients that wait, from the side of the benchmark; crowd_clients.py has them."""

import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

from servers import Failure
from stands import Target

PROGRAM = pathlib.Path(__file__).resolve().with_name("crowd_clients.py")
SETTLE_SECONDS = 20
IN_FLIGHT = "requests that the backend has"


def settled(what: str, look: Callable[[], int], expected: int | None = None) -> int:
    """What look() returns as soon as it is the same twice, half a second apart, and as expected."""
    deadline = time.monotonic() + SETTLE_SECONDS
    before = None
    while True:
        value = look()
        if value == before and expected in (None, value):
            return value
        if time.monotonic() > deadline:
            raise Failure(f"{what}: {before}, then {value} after {SETTLE_SECONDS} s; to be steady" +
                          (f" and {expected}" if expected is not None else ""))
        before = value
        time.sleep(0.5)


class Crowd:
    """Use it as a context: inside, all its clients have begun; at the end of the block they leave, finished or not."""

    def __init__(self, target: Target, kind: str, clients: int, path: str) -> None:
        self.target = target
        self.clients = clients
        self.command = [sys.executable, "-B", str(PROGRAM), str(target.site.port), kind, str(clients), path]
        self.process = None

    def __enter__(self) -> "Crowd":
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        try:
            self.expect_all("began")
        except BaseException:
            self.leave()
            raise
        return self

    def __exit__(self, *error) -> None:
        self.leave()

    def leave(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def expect_all(self, what: str) -> None:
        """Waits until all clients have done it; they set themselves a limit."""
        line = self.process.stdout.readline()
        result = json.loads(line) if line else {"good": 0, "why": "they have ended"}
        if result["good"] != self.clients:
            raise Failure(f"only {result['good']} of {self.clients} clients {what}: {result['why']}")

    def wait_until_in_flight(self) -> None:
        """Until the backend has the requests of all; the load beside them, if any, is not there yet."""
        settled(IN_FLIGHT, self.target.backend.in_flight, self.clients)

    def wait_until_gone(self) -> None:
        settled(IN_FLIGHT, self.target.backend.in_flight, 0)

    def finish(self) -> None:
        self.process.stdin.write("finish\n")
        self.process.stdin.flush()
        self.expect_all("finished well")
