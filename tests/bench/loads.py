# SPDX-License-Identifier: Apache-2.0
"""What is done to a proxy in one turn, and what is measured meanwhile."""

import dataclasses
import json
import pathlib
import resource
import subprocess
from typing import Protocol

from crowd import Crowd, settled
from processes import cpu_seconds, family, private_bytes
from servers import Failure
from stands import Target

WRK_REPORT = pathlib.Path(__file__).resolve().with_name("wrk.lua")
# mod_proxy lets some of 2,000 clients wait for half a minute; that is slow, and no error.
ANSWER_SECONDS = 60
RESERVED_DESCRIPTORS = 1000


@dataclasses.dataclass(frozen=True)
class Turn:
    """What one turn of one proxy gave: values by the name of the measure."""

    values: dict[str, float]
    closed: int = 0  # connections that ended before the whole answer was there
    failed: int = 0  # other errors


class Load(Protocol):
    measures: tuple[str, ...]
    path: str  # all proxies must give the same answer to it before their speed means anything
    leaves_traces: bool  # that would be in the next turn, which therefore finds the proxy just started

    def warm_up(self, target: Target) -> None: ...

    def turn(self, target: Target, seconds: int) -> Turn: ...


@dataclasses.dataclass(frozen=True)
class Hurry:
    """wrk, with one thread: each client asks again as soon as it has its answer."""

    path: str
    clients: int
    close: bool = False  # a connection for each request
    seconds: int | None = None  # of a turn, where it must be longer than the others'
    leaves_traces: bool = False

    measures = ("rate", "cpu", "p50", "p99")

    def run(self, target: Target, seconds: int) -> dict:
        command = ["wrk", "-t1", f"-c{self.clients}", f"-d{seconds}s", "--timeout", f"{ANSWER_SECONDS}s",
                   "-s", str(WRK_REPORT), *(["-H", "Connection: close"] if self.close else []), target.url(self.path)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 30,
                              check=False)
        for line in done.stdout.splitlines():
            if line.startswith("RESULT "):
                return json.loads(line.removeprefix("RESULT "))
        raise Failure(f"{' '.join(command)} gave no result:\n{done.stdout}{done.stderr}")

    def warm_up(self, target: Target) -> None:
        (SHORT if self.leaves_traces else self).run(target, 1)

    def turn(self, target: Target, seconds: int) -> Turn:
        before = cpu_seconds(target.process.pid)
        result = self.run(target, self.seconds or seconds)
        used = cpu_seconds(target.process.pid) - before
        requests = result["requests"]
        if requests == 0:
            raise Failure(f"not one answer from {target.name}")
        return Turn({"rate": requests / (result["microseconds"] / 1e6), "cpu": used * 1e6 / requests,
                     "p50": result["p50"] / 1e3, "p99": result["p99"] / 1e3}, result["closed"], result["failed"])


SHORT = Hurry("/ux", 32)


@dataclasses.dataclass(frozen=True)
class Waiting:
    """Many connections that wait: the worker threads they hold, the memory each costs. At the end each must get its
    answer."""

    kind: str
    clients: int
    waits_at: str = "/"

    measures = ("busy", "memory")
    path = SHORT.path
    leaves_traces = True  # memory once used is kept: the next turn would seem to need none

    def warm_up(self, target: Target) -> None:
        SHORT.warm_up(target)

    def turn(self, target: Target, seconds: int) -> Turn:
        check_descriptors(self.clients)
        processes = family(target.process.pid)
        before = private_bytes(processes)
        with Crowd(target, self.kind, self.clients, self.waits_at) as crowd:
            crowd.wait_until_in_flight()
            busy = settled("busy threads", target.busy_workers)
            grown = private_bytes(processes) - before
            crowd.finish()
        if family(target.process.pid) != processes:
            raise Failure(f"{target.name} has other processes than before: what they used is not known")
        return Turn({"busy": busy, "memory": grown / self.clients / 1024})


@dataclasses.dataclass(frozen=True)
class Beside:
    """How long a short request takes while nothing else is done, and while others wait or occupy worker threads."""

    kind: str
    clients: int
    waits_at: str
    finishes: bool  # the others are waited for; else they leave

    measures = ("p99_alone", "p99_beside", "p99_ratio")
    path = SHORT.path
    leaves_traces = False

    def warm_up(self, target: Target) -> None:
        SHORT.warm_up(target)

    def turn(self, target: Target, seconds: int) -> Turn:
        check_descriptors(self.clients)
        alone = SHORT.turn(target, seconds)
        with Crowd(target, self.kind, self.clients, self.waits_at) as crowd:
            if self.finishes:
                beside = SHORT.turn(target, seconds)
                crowd.finish()
            else:
                crowd.wait_until_in_flight()
                beside = SHORT.turn(target, seconds)
        crowd.wait_until_gone()
        p99_alone, p99_beside = alone.values["p99"], beside.values["p99"]
        return Turn({"p99_alone": p99_alone, "p99_beside": p99_beside, "p99_ratio": p99_beside / p99_alone},
                    alone.closed + beside.closed, alone.failed + beside.failed)


def check_descriptors(clients: int) -> None:
    """The clients and the backend have one for each; an httpd child two, but for its share of them."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < clients + RESERVED_DESCRIPTORS:
        needed = clients + RESERVED_DESCRIPTORS
        raise Failure(f"{clients} connections need a limit of open files (ulimit -Hn) of {needed}; it is {limit}")
