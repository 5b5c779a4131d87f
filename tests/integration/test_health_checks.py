# SPDX-License-Identifier: Apache-2.0
"""Active health checks: what a member has to be down for, how it comes back, what is asked of it, and where."""
import collections
import os
import re
import signal
import threading

import pytest

import udr_environment
from udr_balancers import Load, Member, balancer, udsbackend
from udr_client import fetch
from udr_health import (
    DOWN,
    INTERVAL,
    LATE,
    STATUS,
    UP,
    Patient,
    answers,
    closes,
    fall_ill,
    get_well,
    hangs,
    health,
    members,
    sends,
    state,
    undisturbed,
    wait_for_checks,
    wait_for_state,
    wait_until_checked,
    well,
)
from udr_processes import wait_until

GET = f"hcmethod=GET hcuri=/healthz hcinterval={INTERVAL}"
ONCE = "hcinterval=5s"  # at the start, and in time however busy the machine is
EXPRESSION = "UDSHealthExpr fine {hc('body') =~ /fine/ && %{REQUEST_STATUS} == 200}\n"
# FCGI_END_REQUEST, as an application that was spoken to in HTTP might say.
FASTCGI = bytes([1, 3, 0, 0, 0, 8, 0, 0]) + bytes(8)


def start(sandbox, parameters, *settings, names=("a", "b"), head="", **more):
    patients = {name: Patient(sandbox, name) for name in names}
    config = STATUS + head + balancer(sandbox, {name: parameters for name in names}, *settings)
    httpd = sandbox.httpd(config, udsroute_log_level="info", **more)
    httpd.log.allow(LATE)
    return httpd, patients


def count_served(httpd, patients, count, ill=()):
    """How many of so many requests reach whom, by what the members themselves have seen. ill: who is meant to be."""

    def ask():
        for patient in patients.values():
            patient.server.forget()
        statuses = [fetch(httpd.port, "/x").status for _ in range(count)]
        asked = [name for name, one in patients.items() for request in one.server.requests if request.target == "/x"]
        return statuses, collections.Counter(asked)

    statuses, counts = undisturbed(httpd, ask, ill)
    assert statuses == [200] * count
    return counts


def served_by(httpd, patients, ill=()):
    return set(count_served(httpd, patients, 8, ill))


ILLNESSES = {
    "hangs": (hangs, "", "no answer to a check within hctimeout"),
    "500": (answers(500), "", r"another status than 2xx and 3xx \(500\)"),
    "wrong body": (answers(200, "ill"), "hcexpr=fine", r"not what hcexpr asks for \(200\)"),
    "closes": (closes, "", "closed the connection without an answer"),
    "breaks off": (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno"), "", "within a response"),
    "nonsense": (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n"), "", "may not be passed on: .*Length"),
    "FastCGI": (sends(FASTCGI), "", r"in another protocol than its scheme says \(FastCGI\)"),
}


@pytest.mark.parametrize("behaviour,parameters,words", ILLNESSES.values(), ids=ILLNESSES.keys())
def test_illness(sandbox, behaviour, parameters, words):
    """Each is found, told once, keeps requests away, and is over when checks pass again."""
    httpd, patients = start(sandbox, f"{GET} {parameters}", head=EXPRESSION)
    healthy = answers(body="fine")
    patients["a"].behaviour = patients["b"].behaviour = healthy
    for name in patients:
        wait_for_state(httpd, name, "up")
    httpd.log.allow("UDR004[01].*/[ab].sock")  # "fine" was not said at first
    for name in patients:
        wait_for_checks(httpd, name, 2)
    ill = lambda exchange: (behaviour if exchange.request.target == "/healthz" else healthy)(exchange)
    line = fall_ill(httpd, patients["a"], ill, words)
    wait_for_checks(httpd, "a", 3)
    assert httpd.log.find(DOWN.format("a"))[-1] is line, httpd.log.text()
    assert state(httpd, "a") == "down" and health(httpd, "a")["fails"] >= 3
    wait_until(lambda: re.search(words.split(": ")[0], health(httpd, "a")["last_error"]), "the illness to be told")
    assert served_by(httpd, patients, ill="a") == {"b"}
    downs, ups = (len(httpd.log.find(line.format("a"))) for line in (DOWN, UP))
    get_well(httpd, patients["a"], healthy)
    assert served_by(httpd, patients) == {"a", "b"}
    # (Each further time is one that a check came too late.)
    assert ups + 1 <= len(httpd.log.find(UP.format("a"))) <= ups + 1 + len(httpd.log.find(DOWN.format("a"))) - downs


def test_nobody_listens(sandbox):
    """The file stays behind. Nobody asks it anything but checks."""
    httpd, patients = start(sandbox, GET)
    wait_for_state(httpd, "a", "up")
    patients["a"].server.stop_listening()
    httpd.log.expect(DOWN.format("a") + r".*: nobody listens on its socket .*: /\S*a.sock is there, but nothing listens")
    wait_for_state(httpd, "a", "down")


def test_no_permission(sandbox):
    httpd, patients = start(sandbox, GET)
    wait_for_state(httpd, "a", "up")
    os.chmod(patients["a"].server.address, 0o600 if udr_environment.is_root() else 0)
    httpd.log.expect(DOWN.format("a") + r".*: its socket may not be used .*a\.sock .*may not be written by user")
    os.chmod(patients["a"].server.address, 0o666)
    httpd.log.expect(UP.format("a"))


def test_fails_and_passes(sandbox):
    """hcfails bad ones in a row, hcpasses good ones: not one less, and not one more."""
    httpd, patients = start(sandbox, "hcmethod=GET hcuri=/healthz hcinterval=100ms hcfails=3 hcpasses=4", names=("a",))
    for statuses, times in (
        ([500, 500, 200] * 3, 0),
        ([500] * 3 + [200] * 4 + [500] * 3 + [200] * 4, 2),
        ([500] * 3 + [200] * 3 + [500] * 3 + [200] * 3 + [500] * 3, 1),
    ):
        for _ in range(10):
            wait_for_state(httpd, "a", "up")
            told, passed, failed = tell(httpd, patients["a"], statuses)
            # Else some came too late.
            if failed == statuses.count(500) and passed >= statuses.count(200):
                break
        assert told == (times, times), (statuses, httpd.log.text())
    httpd.log.allow(DOWN.format("a"))


def tell(httpd, patient, statuses):
    """Answers checks with these statuses in turn, and is well then. Returns how often it was told to be down and up,
    and how many checks have passed and failed."""
    before = health(httpd, patient.name)
    lines = [len(httpd.log.find(told.format(patient.name))) for told in (DOWN, UP)]
    left = list(statuses)
    patient.behaviour = lambda exchange: exchange.respond(left.pop(0) if left else 200)
    wait_until(lambda: not left, "all to be asked for", 20)
    wait_for_checks(httpd, patient.name, 1)
    wait_for_state(httpd, patient.name, "up")
    after = health(httpd, patient.name)
    wait_until(lambda: len(httpd.log.find(UP.format(patient.name))) - lines[1] ==
               len(httpd.log.find(DOWN.format(patient.name))) - lines[0], "that it is up to be told")  # fmt: skip
    told = tuple(len(httpd.log.find(told.format(patient.name))) - count for told, count in zip((DOWN, UP), lines))
    return told, after["passes"] - before["passes"], after["fails"] - before["fails"]


def test_ignored_errors(sandbox):
    """+I: checked, told of, and used nevertheless."""
    httpd, patients = start(sandbox, f"{GET} status=+I")
    ill = lambda exchange: exchange.respond(500 if exchange.request.target == "/healthz" else 200)
    fall_ill(httpd, patients["a"], ill, r"\(500\)")
    assert served_by(httpd, patients, ill="a") == {"a", "b"}


@pytest.mark.parametrize("status", ["+D", "+S"])
def test_a_member_that_is_not_used_is_not_checked(sandbox, status):
    patients = {name: Patient(sandbox, name) for name in "ab"}
    httpd = sandbox.httpd(STATUS + balancer(sandbox, {"a": f"{GET} status={status}", "b": GET}))
    httpd.log.allow(LATE)
    wait_for_checks(httpd, "b", 5)
    assert not patients["a"].server.requests
    assert health(httpd, "a")["last_check"] is None


def test_requests_and_checks(sandbox):
    """A member that requests have put out for a long pause comes back by checks."""
    httpd, patients = start(sandbox, f"{GET} retry=1h hcpasses=2", "failonstatus=503")
    wait_for_state(httpd, "a", "up")
    patients["a"].behaviour = patients["b"].behaviour = (
        lambda exchange: exchange.respond(503 if exchange.request.target == "/ill" else 200)
    )
    assert fetch(httpd.port, "/ill").status == 503
    httpd.log.expect("UDR0034: member")
    httpd.log.expect("UDR0041: member .* is up")
    assert served_by(httpd, patients) == {"a", "b"}


# --- what is asked ----------------------------------------------------------------------------------------------------

QUESTIONS = {
    "CONNECT": ("hcmethod=CONNECT", None),
    "TCP": ("hcmethod=TCP hcuri=/x", None),
    "OPTIONS": ("hcmethod=OPTIONS", ("OPTIONS", "*", "1.0")),
    "HEAD": ("hcmethod=HEAD", ("HEAD", "/", "1.0")),
    "GET": ("hcmethod=GET hcuri=/healthz?a=b", ("GET", "/healthz?a=b", "1.0")),
    "OPTIONS11": ("hcmethod=options11 hcuri=/o", ("OPTIONS", "/o", "1.1")),
    "HEAD11": ("hcmethod=head11 hcuri=h", ("HEAD", "/h", "1.1")),
    "GET11": ("hcmethod=get11", ("GET", "/", "1.1")),
}


@pytest.mark.parametrize("parameters,asked", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_question(sandbox, parameters, asked):
    patient = Patient(sandbox, "a")
    httpd = sandbox.httpd(STATUS + balancer(sandbox, {"a": f"{parameters} {ONCE}"}))
    wait_until_checked(httpd, "a")
    assert health(httpd, "a")["fails"] == 0
    requests = patient.server.requests
    if not asked:
        wait_until(lambda: patient.server.accepted > 0, "it to be connected to")
        assert not requests
        return
    method, path, version = asked
    request = requests[0]
    assert (request.method, request.target, request.version) == (method, path, version)
    assert request.get("Host") == "localhost"
    assert request.get("Connection") == "close"


def test_question_of_a_member_with_a_path(sandbox):
    patient = Patient(sandbox, "a")
    route = f"UDSRoute /app/ unix:{patient.server.address}|http://example.org:81/base/ hcmethod=GET hcuri=/healthz"
    httpd = sandbox.httpd(STATUS + route)
    wait_until_checked(httpd, "a")
    request = patient.server.requests[0]
    assert (request.target, request.get("Host")) == ("/base/healthz", "example.org:81")


def test_expressions(sandbox):
    """They see the answer as if it were httpd's own."""
    head = """
    UDSHealthExpr header {%{resp:X-State} == 'open'}
    UDSHealthExpr status {%{REQUEST_STATUS} =~ /^[45]/}
    UDSHealthExpr other {%{REQUEST_METHOD} == 'GET' && %{REMOTE_ADDR} != '' && %{REQUEST_URI} == '/h' && %{SERVER_NAME} != 'x' && %{HTTPS} != 'on' && %{CONTEXT_PREFIX} == '' && %{SERVER_PORT} != 'x'}
    """
    conditions = {"a": "header", "b": "status", "c": "other", "d": "header", "e": "status"}
    for name, reply in {
        "a": answers(fields=[("X-State", "open")]),
        "b": answers(404),
        "c": answers(500),
        "d": answers(fields=[("X-State", "closed")]),
        "e": answers(200),
    }.items():
        Patient(sandbox, name, reply)
    config = {name: f"hcmethod=GET hcuri=/h {ONCE} hcexpr={one}" for name, one in conditions.items()}
    httpd = sandbox.httpd(STATUS + head + balancer(sandbox, config))
    for name in "de":
        httpd.log.expect(DOWN.format(name))
    for name in conditions:
        wait_until_checked(httpd, name)
    assert {name: member["state"] for name, member in members(httpd).items()} == {
        "a": "up", "b": "up", "c": "up", "d": "down", "e": "down"
    }  # fmt: skip


def test_large_answers(sandbox):
    """So much of a body is read and no more."""
    Patient(sandbox, "a", answers(body="x" * 60000 + "fine"))
    Patient(sandbox, "b", answers(body="x" * 1000000 + "fine"))
    head = "UDSHealthExpr end {hc('body') =~ /fine$/}\n"
    httpd = sandbox.httpd(STATUS + head + balancer(sandbox, dict.fromkeys("ab", f"hcmethod=GET {ONCE} hcexpr=end")))
    httpd.log.expect(DOWN.format("b"))
    wait_until_checked(httpd, "a")
    assert health(httpd, "a")["fails"] == 0


def test_templates(sandbox):
    """A line's own word goes before its template's, that before UDSSet's and that before the template of UDSSet."""
    patient = Patient(sandbox, "a")
    head = f"""
    UDSHealthTemplate mine hcmethod=HEAD hcuri=/mine {ONCE}
    UDSHealthTemplate all hcuri=/all hcmethod=GET hcpasses=3
    """
    httpd = sandbox.httpd(
        STATUS + head + balancer(sandbox, {"a": "hctemplate=mine hcuri=/own"}, "hctemplate=all", "hcmethod=OPTIONS")
    )
    wait_until_checked(httpd, "a")
    request = patient.server.requests[0]
    assert (request.method, request.target) == ("HEAD", "/own")


# --- what it says of itself -------------------------------------------------------------------------------------------


def test_agent(sandbox):
    parameters = f"{GET} hcagent=On"
    httpd, patients = start(sandbox, parameters)
    wait_for_state(httpd, "a", "up")
    says = lambda *fields, status=200: lambda exchange: exchange.respond(
        status if exchange.request.target == "/healthz" else 200, "ok", fields
    )
    assert served_by(httpd, patients) == {"a", "b"}

    patients["a"].behaviour = says(("X-UDSRoute-State", "drain"), status=503)
    wait_for_state(httpd, "a", "draining")
    assert served_by(httpd, patients) == {"b"}
    wait_until(lambda: health(httpd, "a")["verdict"] == "up", "it to be well all the same")

    patients["a"].behaviour = well
    fall_ill(httpd, patients["a"], says(("X-UDSRoute-State", "down")), "it says that it is down")
    assert served_by(httpd, patients, ill="a") == {"b"}

    get_well(httpd, patients["a"], says(("X-UDSRoute-Weight", "0")))
    assert served_by(httpd, patients) == {"b"}

    patients["a"].behaviour = well
    wait_for_checks(httpd, "a", 2)
    assert served_by(httpd, patients) == {"a", "b"}


def test_udsbackend_drains(sandbox):
    """It says so from the moment that it is told to stop; no request meets its end."""
    member = Member(sandbox, "a", udsbackend("--drain", "3s")).start()
    Member(sandbox, "b", udsbackend()).start()
    httpd = sandbox.httpd(STATUS + balancer(sandbox, dict.fromkeys("ab", f"{GET} hcagent=On")))
    httpd.log.allow(r"UDR0034: member .*/a\.sock|UDR0040: member .*/a\.sock|" + LATE)
    wait_until_checked(httpd, "a")
    with Load(httpd, clients=4, rate=200) as load:
        ending = threading.Thread(target=member.end, args=(signal.SIGTERM,))
        ending.start()
        wait_for_state(httpd, "a", "draining")
        elected = members(httpd)["a"]["elected"]
        wait_until(lambda: sum(load.statuses.values()) > 300, "load")
        assert members(httpd)["a"]["elected"] <= elected + 8  # those who were on their way
        ending.join()
    assert set(load.statuses) == {200}, load.statuses


def test_agent_weight(sandbox):
    """A quarter of its weight: one request to four."""
    httpd, patients = start(sandbox, f"{GET} hcagent=On loadfactor=8")
    patients["a"].behaviour = answers(fields=[("X-UDSRoute-Weight", "25")])
    wait_for_checks(httpd, "a", 2)
    assert count_served(httpd, patients, 50) == {"a": 10, "b": 40}


def test_agent_is_not_asked(sandbox):
    httpd, patients = start(sandbox, GET)
    patients["a"].behaviour = answers(fields=[("X-UDSRoute-State", "down")])
    wait_for_checks(httpd, "a", 3)
    wait_until(lambda: health(httpd, "a")["verdict"] == "up", "it to be well")
