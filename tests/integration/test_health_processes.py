# SPDX-License-Identifier: Apache-2.0
"""Who makes the checks: one child for all, whatever happens to it. And where they go: to the members' sockets alone."""
import os
import re
import signal
import time

import pytest

import udr_environment
from udr_balancers import balancer
from udr_client import Client, fetch
from udr_health import (
    DOWN,
    LATE,
    STATUS,
    Patient,
    answers,
    fall_ill,
    get_well,
    hangs,
    health,
    leader,
    undisturbed,
    wait_for_checks,
    wait_for_state,
    wait_until_checked,
    well,
)
from udr_loops import Gate
from udr_processes import Server, wait_until

GET = "hcmethod=GET hcuri=/healthz hcinterval=200ms"
TAKES_OVER = 3.0  # seconds
ILL = r"\(500\)"


def start(sandbox, runner, parameters=GET, names="ab", behaviour=well, **more):
    patients = {name: Patient(sandbox, name, behaviour) for name in names}
    mpm, head = runner
    config = head + STATUS + balancer(sandbox, {name: parameters for name in names})
    more = {"children": 2 if mpm == "prefork" else 3, "threads": 8, **more}
    httpd = sandbox.httpd(config, mpm=mpm, udsroute_log_level="info", **more)
    httpd.log.allow(LATE)
    return httpd, patients


def checks_of(patient):
    return sum(request.target == "/healthz" for request in patient.server.requests)


def test_one_child_checks_for_all(sandbox, runner):
    """All children know, and each member is asked once in an interval."""
    httpd, patients = start(sandbox, runner)
    wait_for_checks(httpd, "a", 3)
    patients["a"].server.forget()
    begun = time.monotonic()
    wait_for_checks(httpd, "a", 5)
    assert checks_of(patients["a"]) <= (time.monotonic() - begun) / 0.2 + 2
    fall_ill(httpd, patients["a"], answers(500), ILL)

    def ask():
        patients["b"].server.forget()
        statuses = [fetch(httpd.port, "/x").status for _ in range(12)]
        return statuses, sum(request.target == "/x" for request in patients["b"].server.requests)

    assert undisturbed(httpd, ask, ill="a") == ([200] * 12, 12)
    get_well(httpd, patients["a"])


def test_the_child_that_checks_is_killed(sandbox, runner):
    httpd, patients = start(sandbox, runner)
    took = []
    for _ in range(3):
        wait_for_checks(httpd, "a", 2)
        former = leader(httpd)
        assert former in httpd.children()
        httpd.kill_child(former)
        killed = time.monotonic()
        wait_until(lambda: former not in httpd.children(), "it to be gone")
        seen = checks_of(patients["a"])
        wait_until(lambda: checks_of(patients["a"]) > seen, "checks to go on", 20)
        took.append(time.monotonic() - killed)
        wait_until(lambda: leader(httpd) != former, "another child to say so")
    assert min(took) < TAKES_OVER, took  # of three, for a machine that stalls
    httpd.log.allow("AH0005[12]: child pid .* exit signal Killed")
    fall_ill(httpd, patients["b"], answers(500), ILL)


def test_the_child_that_checks_is_stopped(sandbox, runner):
    """Another one takes its place. It finds out before it says anything, and does not come back to it."""
    httpd, patients = start(sandbox, runner)
    wait_for_checks(httpd, "a", 2)
    former = leader(httpd)
    os.kill(former, signal.SIGSTOP)
    try:
        httpd.log.expect("UDR0073: the child that makes the health checks has not been heard of", timeout=20)
        assert leader(httpd) != former
        wait_for_checks(httpd, "a", 3)
        fall_ill(httpd, patients["a"], answers(500), ILL)
    finally:
        os.kill(former, signal.SIGCONT)
    present = leader(httpd)
    patients["b"].server.forget()
    begun = time.monotonic()
    wait_for_checks(httpd, "b", 10)
    assert checks_of(patients["b"]) <= (time.monotonic() - begun) / 0.2 + 2
    assert leader(httpd) == present
    get_well(httpd, patients["a"])


def test_graceful_restart(sandbox, runner):
    """What is known stays known, nothing is told a second time."""
    httpd, patients = start(sandbox, runner)
    fall_ill(httpd, patients["a"], answers(500), ILL)
    wait_for_checks(httpd, "a", 2)
    before = health(httpd, "a")
    former = leader(httpd)
    httpd.graceful()
    after = health(httpd, "a")
    assert after["verdict"] == "down" and after["fails"] >= before["fails"]
    wait_until(lambda: leader(httpd) != former, "a new child to check")
    wait_for_checks(httpd, "a", 2)
    get_well(httpd, patients["a"])


@pytest.mark.parametrize("runner", [udr_environment.RUNNERS["event"], udr_environment.RUNNERS["no loops"], udr_environment.RUNNERS["worker"]])
def test_an_old_child_leaves_the_checks_to_a_new_one(sandbox, runner):
    """Though it has a request for some time yet: what it knows is the old configuration."""
    # Room for a second child: under worker a new one has no place beside the old one otherwise.
    mpm, head = runner
    httpd, patients = start(sandbox, (mpm, head + "MaxRequestWorkers 16\n"), children=1)
    gate = Gate()
    patients["b"].behaviour = patients["a"].behaviour = lambda exchange: (
        exchange.request.target == "/slow" and gate.wait(),
        exchange.respond(),
    )
    wait_until_checked(httpd, "a")
    former = leader(httpd)
    with Client(httpd.port) as client:
        client.send_request("GET", "/slow")
        wait_until(
            lambda: any(r.target == "/slow" for one in patients.values() for r in one.server.requests), "the request"
        )
        text = httpd.configuration.read_text()
        httpd.configuration.write_text(text.replace("hcuri=/healthz", "hcuri=/new"))
        httpd.graceful()
        wait_until(lambda: leader(httpd) != former, "a new child to check")
        assert former in httpd.children(), "the old one has ended: the test has shown nothing"
        # What the old one has begun before may be on its way yet.
        for patient in patients.values():
            targets = lambda one=patient: [request.target for request in one.server.requests]
            wait_until(lambda: "/new" in targets(), "a check by the new child")
            patient.server.forget()
        wait_for_checks(httpd, "a", 4)
        asked = {request.target for patient in patients.values() for request in patient.server.requests}
        assert "/healthz" not in asked and "/new" in asked
        gate.open()
        assert client.read_response().status == 200


def test_checks_that_are_no_longer_asked_for(sandbox, runner):
    """The member is not down for ever, even if no request comes."""
    httpd, patients = start(sandbox, runner)
    fall_ill(httpd, patients["a"], answers(500), ILL)
    httpd.reconfigure("hcmethod=GET", "hcmethod=NONE")
    wait_for_state(httpd, "a", "up")
    assert health(httpd, "a")["method"] == "NONE"


def test_checks_that_are_no_longer_asked_for_of_a_member_that_never_passed_one(sandbox, runner):
    """Nobody knows how it is, and it takes requests."""
    httpd, patients = start(sandbox, runner, names="a", behaviour=answers(500))
    httpd.log.expect(DOWN.format("a"))
    httpd.reconfigure("hcmethod=GET", "hcmethod=NONE")
    wait_for_state(httpd, "a", "unknown")
    patients["a"].behaviour = well
    assert fetch(httpd.port, "/x").status == 200
    wait_for_state(httpd, "a", "up")


def test_an_end_in_the_middle_of_checks(sandbox, runner):
    """Members hang, and httpd is stopped: nothing keeps it. (The sandbox looks for what is left.)"""
    httpd, patients = start(sandbox, runner, "hcmethod=GET hcinterval=2 hctimeout=2")
    for patient in patients.values():
        patient.behaviour = hangs
        patient.server.forget()
    for patient in patients.values():
        wait_until(lambda: patient.server.requests, "a check to hang", 10)
    begun = time.monotonic()
    httpd.log.allow("UDR0040: member")
    sandbox.stop(httpd)
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("signal_number", [signal.SIGUSR1, signal.SIGHUP], ids=["graceful", "hangup"])
def test_many_restarts(sandbox, runner, signal_number):
    """Children end while they check, at any moment: none crashes."""
    httpd, patients = start(sandbox, runner, "hcmethod=GET hcuri=/healthz hcinterval=100ms")
    # A busy machine does not always answer a check within a tenth of a second.
    httpd.log.allow(r"AH0|UDR0034|UDR0040: .*no answer to a check")
    for _ in range(8):
        before = httpd.log.path.read_text().count("resuming normal operations")
        httpd.signal(signal_number)
        wait_until(lambda: httpd.log.path.read_text().count("resuming normal operations") > before, "a restart", 30)
        wait_for_checks(httpd, "a", 1)
    wait_for_state(httpd, "a", "up")


def test_no_connection_but_to_members_sockets(sandbox):
    """mod_proxy_hcheck connects to TCP localhost. Every connect(2) of every child, while members are well, ill and
    gone."""
    httpd, patients = start(sandbox, ("event", ""), "hcmethod=GET11 hcuri=/healthz hcinterval=100ms")
    trace = sandbox.root / "trace"
    pids = [option for pid in httpd.children() for option in ("-p", str(pid))]
    tracer = Server(
        "strace",
        [udr_environment.program("strace"), "-f", "-e", "trace=connect,sendto", "-o", str(trace), *pids],
        sandbox.root / "strace.log",
        environment=udr_environment.clean_environment(),
    )
    try:
        wait_until(lambda: trace.exists() and trace.read_text().count("a.sock") > 3, "checks in the trace")
        fall_ill(httpd, patients["a"], answers(500), ILL)
        patients["b"].stop()
        httpd.log.expect(r"UDR00(34|40): member \S*/b\.sock")
        httpd.log.allow(r"UDR00(34|40): member \S*/b\.sock")
        wait_until(lambda: health(httpd, "b")["fails"] > 3, "checks of what is gone")
    finally:
        tracer.stop()
    text = trace.read_text()
    families = set(re.findall(r"connect\(\d+, \{sa_family=(\w+)", text))
    assert families == {"AF_UNIX"}, families
    paths = set(re.findall(r'connect\(\d+, \{sa_family=AF_UNIX, sun_path="([^"]*)"', text))
    assert paths == {patients["a"].server.address, sandbox.socket("b")}
