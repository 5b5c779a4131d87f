#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Mixed load for minutes on end: every kind of client at once, with graceful restarts in between.

    soak.py [--seconds 120] [--seed N] [--only KIND,…] [--loops N|Off] [--mpm event] [--keep] [--trace]

UDR_BUILD, HTTPD and UDR_SANITIZE (asan or tsan) say what is tested, as with the integration tests. README.md says what
is done."""
import argparse
import asyncio
import logging
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"
sys.path.insert(0, str(INTEGRATION))

import udr_environment  # noqa: E402  (found by the path above)
from udr_errorlog import CRASH  # noqa: E402
from udr_sandbox import Sandbox  # noqa: E402
import soak_resources  # noqa: E402
import soak_tsan  # noqa: E402
from soak_client import Closed, Wrong  # noqa: E402
from soak_kinds import KINDS  # noqa: E402
from soak_site import THREADS, Site  # noqa: E402
from soak_world import World  # noqa: E402

RESTART_INTERVAL = 20.0
FAILURES_MAX = 200     # there is nothing to learn from more
FAILURES_SHOWN = 40
CONVERSATION_MAX = 150.0
QUIET_AFTER = 60.0     # Timeout, keep-alive and lingering close are over by then

# So many of the requests on kept connections may meet a close: restarts, and httpd out of workers.
CLOSED_SHARE_MAX = 0.02

# What the error log may say: the failures that the clients and members provoke, that all workers are busy, and what
# mod_cgid says when a restart takes its daemon away (whether one did is judged by the answer).
ALLOWED = (r"UDR00(02|07|08|09|10|11|12): ", r"AH00(161|286|484): server reached MaxRequestWorkers",
           r"AH(10246|02833): stderr from", r"\[cgid:error\].*End of script output before headers")


# What it says at a level that asks nobody to do anything, and must not say here: no tunnel has nothing to carry for as
# long as Timeout. One that does has lost a side without a word.
UNEXPECTED = r"UDR0020: .*tunnel closed"


async def work(world, name, number, seed):
    """One client: conversations of its kind, one after the other."""
    kind = KINDS[name]
    dice = random.Random(f"{seed} {name} {number}")
    while not world.is_over and len(world.failures) < FAILURES_MAX:
        try:
            await asyncio.wait_for(kind.run(world, dice), CONVERSATION_MAX)
            world.count(f"conversations: {name}")
        except Wrong as problem:
            world.fail(name, problem)
        except Closed as problem:
            world.fail(name, f"closed without an answer ({problem})")
        except asyncio.TimeoutError:
            world.fail(name, f"still at it after {CONVERSATION_MAX:.0f} s")
        except Exception as problem:  # pylint: disable=broad-except  (shown, and the run fails)
            world.fail(name, f"{type(problem).__name__}: {problem}")
        await world.pause(kind.rest * dice.random() * 2)


async def load(world, names, seed, seconds, restart_every):
    """All clients for so long; restart_every: seconds between graceful restarts, 0: none."""
    world.is_over = False
    clients = [asyncio.create_task(work(world, name, number, seed))
               for name in names for number in range(KINDS[name].clients)]
    end = time.monotonic() + seconds
    next_restart = time.monotonic() + restart_every if restart_every else end + 1
    while time.monotonic() < end and len(world.failures) < FAILURES_MAX:
        await asyncio.sleep(0.2)
        if not world.site.httpd.running:
            world.fail("httpd", "has ended")
            break
        if time.monotonic() >= next_restart:
            begun = time.monotonic()
            world.restarts.append((begun, begun))
            await asyncio.to_thread(world.site.httpd.graceful)
            world.restarts[-1] = (begun, time.monotonic())
            next_restart = time.monotonic() + restart_every
    world.is_over = True
    _, late = await asyncio.wait(clients, timeout=CONVERSATION_MAX)
    for client in late:
        client.cancel()
        world.fail("client", "never came back")
    await world.hang_up()


def has_threads(world):
    return world.site.mpm != "prefork"


def settle(world):
    """Waits until nothing is under way and looks at what httpd holds then."""
    httpd = world.site.httpd
    if not soak_resources.wait_until_quiet(httpd, THREADS if has_threads(world) else 0, QUIET_AFTER):
        counts = soak_resources.status(httpd.port)
        shown = {name: value for name, value in counts.items() if re.match("Busy|Idle|Conns|Scoreboard|Stopping", name)}
        held = soak_resources.look(httpd)
        world.fail("mod_status", f"not back: {shown}; {held.children}, {held.threads}, {held.descriptors}")
    time.sleep(4)  # the members' ttl, and the loop's look at it
    return soak_resources.look(httpd)


def run(world, names, options):
    """The whole run: restarts, warm-up, measured load."""
    restart_every = min(RESTART_INTERVAL, options.seconds / 3)
    asyncio.run(load(world, names, options.seed, options.seconds * 2 / 3, restart_every))
    asyncio.run(load(world, names, options.seed + 1, options.seconds / 6, 0))
    if not world.site.httpd.running:
        return
    before = settle(world)
    if not has_threads(world):
        return  # prefork's children come and go
    asyncio.run(load(world, names, options.seed + 2, options.seconds / 6, 0))
    if not world.site.httpd.running:
        return
    after = settle(world)
    if before.children != after.children:
        world.fail("children", f"{before.children} before, {after.children} after: not the same")
    slack = (before.private // 4) + ((64 if world.site.sanitized else 4) << 20)
    for difference in soak_resources.lasting_differences(world.site.httpd, before, after, slack):
        world.fail("resources", difference)
    world.counts["memory before, KiB"] = before.private >> 10
    world.counts["memory after, KiB"] = after.private >> 10


def judge_counts(world):
    """What may happen now and then, but not as a rule; where each wait holds a thread, httpd closes many to get one."""
    if not world.site.has_loops:
        return
    closed, answers = world.counts["kept connection closed"], world.counts["answers"]
    if closed > 50 + answers * CLOSED_SHARE_MAX:
        world.fail("kept connections", f"{closed} were closed under a request, of {answers}")


def judge_races(world):
    """What the thread sanitizer has seen, until httpd's end."""
    for text, times in world.site.tsan.reports().items():
        if soak_tsan.is_own(text):
            world.fail("thread sanitizer", f"{times} times: {text}")
        else:
            world.count("races between others", times)
    world.site.tsan.remove()


def report(world, options):
    for name, count in sorted(world.counts.items()):
        print(f"{count:9}  {name}")
    print(f"{len(world.restarts):9}  graceful restarts")
    for failure in world.failures[:FAILURES_SHOWN]:
        print(f"FAILED {failure}")
    sanitized = ", thread sanitizer" if world.site.tsan else ", sanitized" if world.site.sanitized else ""
    print(f"{len(world.failures)} failures; seed {options.seed}, {options.seconds:.0f} s, UDSLoops {options.loops}, "
          f"{options.mpm}{sanitized}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="", help=f"some of: {','.join(KINDS)}")
    parser.add_argument("--loops", default="1", help="UDSLoops: a number or Off")
    parser.add_argument("--mpm", default=udr_environment.mpm(), choices=udr_environment.MPMS)
    parser.add_argument("--keep", action="store_true", help="leave the logs in place")
    parser.add_argument("--trace", action="store_true", help="print each close of a kept connection")
    options = parser.parse_args()
    options.only = [name for name in options.only.split(",") if name]
    unknown = set(options.only) - set(KINDS)
    if unknown:
        parser.error(f"unknown kinds: {', '.join(sorted(unknown))}")
    return options


def main():
    options = arguments()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it remarks on every send to a connection that was closed
    names = options.only or [name for name, kind in KINDS.items() if options.mpm in kind.mpms]
    sandbox = Sandbox()
    world = None
    try:
        world = World(Site(sandbox, options.loops, options.mpm, soak_tsan.is_wanted()), options.trace)
        for pattern in ALLOWED:
            world.site.httpd.log.allow(pattern)
        run(world, names, options)
        exit_code, said = world.site.stop_backend()
        if exit_code != 0:
            world.fail("member", f"was sent what is no request: {said[:1000]}")
        for log in sandbox.root.glob("udsbackend-*.log"):
            if CRASH.search(log.read_text(errors="replace")):
                world.fail("udsbackend", log.read_text(errors="replace")[:3000])
        judge_counts(world)
        for line in [*world.site.httpd.log.problems(), *world.site.httpd.log.find(UNEXPECTED)]:
            world.fail("error log", line.raw)
    finally:
        try:
            close(sandbox, world, options)
        finally:
            if world:
                report(world, options)
    sys.exit(1 if world.failures else 0)


def close(sandbox, world, options):
    """Ends the servers; a failure leaves the logs behind."""
    kept = None
    if options.keep or (world and world.failures):
        kept = tempfile.mkdtemp(prefix="udr-soak-", dir="/tmp")
        shutil.copytree(world.site.httpd.root if world else sandbox.root, kept, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns("run"))
        print(f"logs: {kept}")
    try:
        sandbox.close()
    except AssertionError as problem:
        if not world:
            raise
        world.fail("end", problem)
    if world and world.site.tsan:
        judge_races(world)


if __name__ == "__main__":
    main()
