# SPDX-License-Identifier: Apache-2.0
"""Active health checks: what a member has to be down for, how it comes back, what is asked of it, and where."""
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
    STATUS,
    UP,
    Patient,
    answers,
    closes,
    hangs,
    health,
    members,
    sends,
    wait_for_checks,
    wait_for_state,
    wait_until_checked,
    well,
)
from udr_processes import wait_until

GET = f"hcmethod=GET hcuri=/healthz hcinterval={INTERVAL}"
EXPRESSION = "UDSHealthExpr fine {hc('body') =~ /fine/ && %{REQUEST_STATUS} == 200}\n"
# FCGI_END_REQUEST, as an application that was spoken to in HTTP might say.
FASTCGI = bytes([1, 3, 0, 0, 0, 8, 0, 0]) + bytes(8)


def start(sandbox, parameters, *settings, names=("a", "b"), head="", **more):
    patients = {name: Patient(sandbox, name) for name in names}
    config = STATUS + head + balancer(sandbox, {name: parameters for name in names}, *settings)
    return sandbox.httpd(config, udsroute_log_level="info", **more), patients


def served_by(httpd, patients, count=8):
    """Whom requests reach, by what the members themselves have seen."""
    for patient in patients.values():
        patient.server.forget()
    for _ in range(count):
        assert fetch(httpd.port, "/x").status == 200
    asked = lambda server: [request for request in server.requests if request.target == "/x"]
    return {name for name, patient in patients.items() if asked(patient.server)}


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
        wait_for_state(httpd, name, "up")
    before = len(httpd.log.find(DOWN.format("a")))
    patients["a"].behaviour = lambda exchange: (behaviour if exchange.request.target == "/healthz" else healthy)(exchange)
    wait_for_state(httpd, "a", "down")
    wait_for_checks(httpd, "a", 3)
    lines = httpd.log.find(DOWN.format("a"))[before:]
    assert len(lines) == 1 and re.search(words, lines[0].raw), httpd.log.text()
    assert re.search(words.split(": ")[0], health(httpd, "a")["last_error"])
    assert health(httpd, "a")["fails"] >= 3
    assert served_by(httpd, patients) == {"b"}
    ups = len(httpd.log.find(UP.format("a")))
    patients["a"].behaviour = healthy
    wait_for_state(httpd, "a", "up")
    assert served_by(httpd, patients) == {"a", "b"}
    assert len(httpd.log.find(UP.format("a"))) == ups + 1


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
    """hcfails bad ones in a row, hcpasses good ones: not one less."""
    httpd, patients = start(sandbox, f"{GET} hcfails=3 hcpasses=4", names=("a",))
    wait_until_checked(httpd, "a")
    patients["a"].behaviour = answers(500)
    httpd.log.expect(DOWN.format("a"))
    failed = health(httpd, "a")["fails"]
    assert failed == 3
    patients["a"].behaviour = well
    passed = health(httpd, "a")["passes"]
    httpd.log.expect(UP.format("a"))
    assert health(httpd, "a")["passes"] >= passed + 4 - 1  # one may have passed before the last two lines


def test_ignored_errors(sandbox):
    """+I: checked, told of, and used nevertheless."""
    httpd, patients = start(sandbox, f"{GET} status=+I")
    patients["a"].behaviour = lambda exchange: exchange.respond(500 if exchange.request.target == "/healthz" else 200)
    httpd.log.expect(DOWN.format("a"))
    assert served_by(httpd, patients) == {"a", "b"}


@pytest.mark.parametrize("status", ["+D", "+S"])
def test_a_member_that_is_not_used_is_not_checked(sandbox, status):
    patients = {name: Patient(sandbox, name) for name in "ab"}
    httpd = sandbox.httpd(STATUS + balancer(sandbox, {"a": f"{GET} status={status}", "b": GET}))
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
    httpd = sandbox.httpd(STATUS + balancer(sandbox, {"a": f"{parameters} hcinterval=200ms"}))
    wait_for_checks(httpd, "a", 2)
    assert health(httpd, "a")["fails"] == 0
    requests = patient.server.requests
    if not asked:
        wait_until(lambda: patient.server.accepted > 1, "it to be connected to")
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
    config = {name: f"hcmethod=GET hcuri=/h hcinterval=200ms hcexpr={one}" for name, one in conditions.items()}
    httpd = sandbox.httpd(STATUS + head + balancer(sandbox, config))
    for name in "de":
        httpd.log.expect(DOWN.format(name))
    for name in conditions:
        wait_for_checks(httpd, name, 2)
    assert {name: member["state"] for name, member in members(httpd).items()} == {
        "a": "up", "b": "up", "c": "up", "d": "down", "e": "down"
    }  # fmt: skip


def test_large_answers(sandbox):
    """So much of a body is read and no more."""
    Patient(sandbox, "a", answers(body="x" * 60000 + "fine"))
    Patient(sandbox, "b", answers(body="x" * 1000000 + "fine"))
    head = "UDSHealthExpr end {hc('body') =~ /fine$/}\n"
    httpd = sandbox.httpd(STATUS + head + balancer(sandbox, dict.fromkeys("ab", f"{GET} hcexpr=end")))
    httpd.log.expect(DOWN.format("b"))
    wait_for_checks(httpd, "a", 2)
    assert health(httpd, "a")["fails"] == 0


def test_templates(sandbox):
    """A line's own word goes before its template's, that before UDSSet's and that before the template of UDSSet."""
    patient = Patient(sandbox, "a")
    head = """
    UDSHealthTemplate mine hcmethod=HEAD hcuri=/mine hcinterval=200ms
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
    assert health(httpd, "a")["verdict"] == "up"

    patients["a"].behaviour = says(("X-UDSRoute-State", "down"))
    httpd.log.expect(DOWN.format("a") + ".*it says that it is down")
    assert served_by(httpd, patients) == {"b"}

    patients["a"].behaviour = says(("X-UDSRoute-Weight", "0"))
    httpd.log.expect(UP.format("a"))
    assert served_by(httpd, patients) == {"b"}

    patients["a"].behaviour = well
    wait_for_checks(httpd, "a", 2)
    assert served_by(httpd, patients) == {"a", "b"}


def test_udsbackend_drains(sandbox):
    """It says so from the moment that it is told to stop; no request meets its end."""
    member = Member(sandbox, "a", udsbackend("--drain", "3s")).start()
    Member(sandbox, "b", udsbackend()).start()
    httpd = sandbox.httpd(STATUS + balancer(sandbox, dict.fromkeys("ab", f"{GET} hcagent=On")))
    httpd.log.allow(r"UDR0034: member .*/a\.sock|UDR0040: member .*/a\.sock")
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
    for patient in patients.values():
        patient.server.forget()
    for _ in range(50):
        fetch(httpd.port, "/x")
    counts = {
        name: sum(request.target == "/x" for request in patient.server.requests) for name, patient in patients.items()
    }
    assert counts == {"a": 10, "b": 40}


def test_agent_is_not_asked(sandbox):
    httpd, patients = start(sandbox, GET)
    patients["a"].behaviour = answers(fields=[("X-UDSRoute-State", "down")])
    wait_for_checks(httpd, "a", 3)
    assert health(httpd, "a")["verdict"] == "up"
