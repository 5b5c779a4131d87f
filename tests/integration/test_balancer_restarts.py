# SPDX-License-Identifier: Apache-2.0
"""Backends and httpd itself restart under load and no request fails; what can't be sent again is lost once only."""
import collections
import random
import signal
import sys
import time

import pytest

import udr_environment
from udr_balancers import GOES_AND_COMES, PATIENCE, STATUS, Load, Member, balancer, figures, processes_for, udsbackend
from udr_environment import campaign
from udr_processes import anonymous_bytes, mappings, open_descriptors, wait_until

RATE = 800  # requests per second
DOWN = 0.5  # seconds
# At full length the two seconds that every member has. A busy machine may take longer to start one.
HOLD = campaign("hold=7", "")
ENOUGH = campaign(800, 5000)  # requests

RUNNERS = {**udr_environment.RUNNERS}
if udr_environment.is_campaign():
    RUNNERS["two loops"] = ("event", "UDSLoops 2\n")


@pytest.fixture(params=RUNNERS.values(), ids=RUNNERS.keys())
def runner(request):
    """The MPM, and what goes in front of the configuration."""
    return request.param


@pytest.fixture(params=RUNNERS if udr_environment.is_campaign() else [udr_environment.mpm()])
def campaign_runner(request):
    """The same, in campaigns. Else: the MPM under test."""
    return RUNNERS[request.param]


def start_httpd(sandbox, runner, members, *settings, head="", **more):
    """With two children or, in prefork, more."""
    mpm, loops = runner
    config = loops + head + processes_for(32, mpm) + balancer(sandbox, members, *settings)
    return sandbox.httpd(config, mpm=mpm, children=2, udsroute_log_level="info", **more)


def start_members(sandbox, names):
    return [Member(sandbox, name, udsbackend()).start() for name in names]


@pytest.mark.campaign
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_only_backend_restarts(sandbox, runner, number):
    (member,) = start_members(sandbox, ["a"])
    httpd = start_httpd(sandbox, runner, {"a": HOLD})
    httpd.log.allow(GOES_AND_COMES)
    with Load(httpd, clients=24, rate=RATE) as load:
        time.sleep(0.7)
        member.restart(number, DOWN)
        load.wait_for_more(ENOUGH)
    print(load)
    assert set(load.statuses) == {200}, load.statuses
    assert load.longest > DOWN / 2, "nobody noticed: the test has shown nothing"


@pytest.mark.campaign
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_two_backends_restart_in_turn(sandbox, campaign_runner, number):
    members = start_members(sandbox, ["a", "b"])
    # A request that waited for a member, and not for the other one, would wait for longer than its client.
    httpd = start_httpd(sandbox, campaign_runner, {"a": "hold=20", "b": "hold=20"})
    httpd.log.allow(GOES_AND_COMES)
    with Load(httpd, clients=24, rate=RATE) as load:
        for member in members:
            load.wait_for_more(ENOUGH // 3)
            member.end(number)
            load.wait_for_more(max(ENOUGH // 10, int(RATE * DOWN)))
            member.start(wait=False)
        load.wait_for_more(ENOUGH // 3)
    print(load)
    assert set(load.statuses) == {200}, load.statuses
    # The other one was there all the time.
    assert load.longest < campaign(PATIENCE, DOWN)


def test_both_backends_are_gone_at_once(sandbox):
    members = start_members(sandbox, ["a", "b"])
    httpd = start_httpd(sandbox, (udr_environment.mpm(), ""), {"a": HOLD, "b": HOLD})
    httpd.log.allow(GOES_AND_COMES)
    with Load(httpd, clients=24, rate=RATE) as load:
        time.sleep(0.4)
        members[0].end(signal.SIGKILL)
        members[1].end(signal.SIGTERM)
        time.sleep(DOWN)
        members[0].start()
        members[1].start()
        time.sleep(0.6)
    assert set(load.statuses) == {200}, load.statuses


RESTARTS = campaign(2, 200)


def restart_under_load(httpd, count):
    """Graceful restarts; how many requests were answered."""
    with Load(httpd, clients=16, rate=RATE / 2) as load:
        for _ in range(count):
            load.wait_for_more(100)
            httpd.graceful()
        load.wait_for_more(100)
    print(load)
    assert set(load.statuses) == {200}, load.statuses
    return len(load.answers)


def holdings(httpd):
    """What the parent holds: name -> number or bytes. Once no child of before the last restart is left."""
    newest = set(httpd.children())
    httpd.graceful()
    wait_until(lambda: newest.isdisjoint(httpd.children()), "the old children to end", 30)
    count, shared = mappings(httpd.pid)
    return {"descriptors": open_descriptors(httpd.pid), "mappings": count, "shared memory": shared,
            "memory": anonymous_bytes(httpd.pid)}


@pytest.mark.campaign
def test_graceful_restarts(sandbox, runner):
    """No request fails, what was counted and who is drained carries over, and the server does not grow."""
    start_members(sandbox, ["a", "b", "c"])
    httpd = start_httpd(sandbox, runner, {"a": "", "b": "", "c": "status=+N"}, head=STATUS)
    answered = restart_under_load(httpd, 1)
    before = holdings(httpd)
    answered += restart_under_load(httpd, RESTARTS)
    after = holdings(httpd)
    print(before, after)
    assert sum(figures(httpd, "elected").values()) == answered
    assert figures(httpd, "state") == {"a": "up", "b": "up", "c": "draining"}
    assert figures(httpd, "elected")["c"] == 0
    slack = 1 << 20
    if udr_environment.sanitized():  # which maps memory as it likes, and keeps account of it
        slack = 1 << 22
        after.pop("mappings")
        before.pop("mappings")
    assert after.pop("memory") <= before.pop("memory") + slack
    assert after == before
    # Two, or as many as MaxSpareServers lets be.
    most = 65 if runner[0] == "prefork" else 2
    wait_until(lambda: len(httpd.children()) <= most, "the last old child to end")


# --- what can't be sent again -----------------------------------------------------------------------------------------

KILLS = campaign(30, 300)


def journal_server(journal):
    script = udr_environment.PEERS / "journal_server.py"
    return lambda socket: [sys.executable, "-B", script, socket, journal, "8"]


def post(client, number):
    return client.fetch("/x", "POST", [("X-Number", str(number))], b"x" * 100)


@pytest.mark.campaign
def test_posts_to_members_that_are_killed(sandbox):
    """None is processed twice; each that is lost is answered 502 or 504."""
    journals = [sandbox.root / "journal-a", sandbox.root / "journal-b"]
    names = ["a", "b"]
    members = [Member(sandbox, name, journal_server(path)).start() for name, path in zip(names, journals)]
    # Python takes its time to start on a busy machine: requests wait for it.
    httpd = start_httpd(sandbox, (udr_environment.mpm(), ""), {name: "hold=10" for name in names})
    httpd.log.allow(GOES_AND_COMES)
    httpd.log.allow("UDR0007")  # who was lost
    with Load(httpd, clients=12, request=post) as load:
        for kill in range(KILLS):
            members[kill % 2].wait()
            time.sleep(random.uniform(0.01, 0.1))
            members[kill % 2].restart(signal.SIGKILL, 0)
        time.sleep(0.3)
    print(load)
    processed = collections.Counter(int(line) for path in journals for line in path.read_text().split())
    twice = [number for number, count in processed.items() if count > 1]
    assert not twice
    assert set(load.statuses) <= {200, 502, 504}, load.statuses
    assert load.statuses[200] > 100 and load.statuses[502] > 0, "the test has shown nothing"
    answered = {number for number, status, _ in load.answers if status == 200}
    assert answered <= set(processed)
