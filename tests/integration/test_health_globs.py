# SPDX-License-Identifier: Apache-2.0
"""Members from a directory are checked as any others; one that appears gets requests after its first good check."""
from udr_balancers import balancer
from udr_client import fetch
from udr_health import STATUS, Patient, answers, fall_ill, get_well, leader, members, undisturbed, well
from udr_processes import wait_until

GET = "hcmethod=GET hcuri=/healthz hcinterval=200ms"


def ill(exchange):
    """Its health page says so; every other page is fine."""
    exchange.respond(500 if exchange.request.target == "/healthz" else 200)


def start(sandbox, runner, parameters=GET):
    mpm, head = runner
    config = head + STATUS + balancer(sandbox, {"*": parameters}, "growth=4")
    httpd = sandbox.httpd(config, mpm=mpm, children=2, threads=8, udsroute_log_level="info")
    httpd.log.allow("UDR0040|UDR005[01]|UDR0034")
    return httpd


def asked(patient):
    return [request.target for request in patient.server.requests]


def wait_until_checked(httpd, patient, count):
    """That often. (Under prefork it is requests that have the directory read.)"""
    wait_until(
        lambda: fetch(httpd.port, "/x") and asked(patient).count("/healthz") >= count,
        f"checks of {patient.name}\n{httpd.log.text()}",
    )


def requests_reach(httpd, patient, ill=(), count=8):
    """ill: the names of those that are meant to be."""

    def ask():
        patient.server.forget()
        return [fetch(httpd.port, "/x").status for _ in range(count)], "/x" in asked(patient)

    statuses, reached = undisturbed(httpd, ask, ill)
    assert statuses == [200] * count
    return reached


def test_a_socket_that_appears_is_checked_first(sandbox, runner):
    first = Patient(sandbox, "a")
    httpd = start(sandbox, runner)
    assert requests_reach(httpd, first)
    second = Patient(sandbox, "b", ill)
    wait_until_checked(httpd, second, 3)
    assert not requests_reach(httpd, second, ill="b")
    second.behaviour = well
    wait_until(lambda: requests_reach(httpd, second, ill="b"), "requests for it")
    # One that goes is not asked any more, and its name comes back as another.
    second.stop()
    wait_until(lambda: members(httpd).get("b", {"state": "down"})["state"] != "up", "it to be gone")
    third = Patient(sandbox, "b", ill)
    wait_until_checked(httpd, third, 3)
    assert not requests_reach(httpd, third, ill="b")
    third.behaviour = well
    wait_until(lambda: requests_reach(httpd, third, ill="b"), "requests for it")


def test_a_member_of_a_directory_that_falls_ill(sandbox, runner):
    patients = [Patient(sandbox, name) for name in "ab"]
    httpd = start(sandbox, runner)
    line = fall_ill(httpd, patients[0], ill, r"\(500\)")
    assert "a.sock|http://localhost/ of balancer app is down" in line.raw
    assert not requests_reach(httpd, patients[0], ill="a")
    former = leader(httpd)
    httpd.graceful()
    wait_until(lambda: leader(httpd) != former, "a new child to check")
    assert not requests_reach(httpd, patients[0], ill="a")
    get_well(httpd, patients[0])
    assert requests_reach(httpd, patients[0])


def test_expressions_of_a_directory(sandbox):
    head = "UDSHealthExpr fine {hc('body') =~ /fine/}\nUDSHealthTemplate web hcmethod=GET hcexpr=fine hcinterval=5s\n"
    good, bad = Patient(sandbox, "a", answers(body="fine")), Patient(sandbox, "b", answers(body="ill"))
    httpd = start(sandbox, ("event", head), "hctemplate=web")
    httpd.log.expect(r"UDR0040: member \S*/b\.sock.*not what hcexpr asks for")
    assert requests_reach(httpd, good, ill="b") and not requests_reach(httpd, bad, ill="b")


def test_many_that_come_and_go(sandbox, runner):
    """Nobody is asked after it has gone, and nothing is left of it."""
    keeper = Patient(sandbox, "a")
    httpd = start(sandbox, runner, "hcmethod=CONNECT hcinterval=100ms")
    for number in range(12):
        guest = Patient(sandbox, f"g{number}")
        wait_until(lambda one=guest: fetch(httpd.port, "/x") and one.server.accepted > 0, "it to be looked at")
        guest.stop()
    assert requests_reach(httpd, keeper)
