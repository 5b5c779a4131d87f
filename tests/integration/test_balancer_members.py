# SPDX-License-Identifier: Apache-2.0
"""Who is a member, what is told of it, and who gets requests: the operator's status, sets, failures."""
import signal
import threading

import pytest

from udr_balancers import GOES_AND_COMES, MEMBER, Member, balancer, start_members, target, udsbackend
from udr_client import Client, fetch
from udr_processes import wait_until


def answers(httpd, count=12):
    """Who answers a number of requests, on one connection."""
    with Client(httpd.port) as client:
        responses = [client.fetch("/x") for _ in range(count)]
    assert {response.status for response in responses} == {200}
    return [response.text for response in responses]


def start_httpd(sandbox, members, *settings, **more):
    """With a scripted server for each of the members: an httpd, and the servers by name."""
    servers = start_members(sandbox, members)
    return sandbox.httpd(balancer(sandbox, members, *settings), **more), servers


# --- identity ---------------------------------------------------------------------------------------------------------


def test_a_member_is_its_socket(sandbox):
    """The host is the same in both."""
    httpd, servers = start_httpd(sandbox, {"a": "", "b": ""}, access_log=MEMBER)
    assert sorted(answers(httpd)) == ["a"] * 6 + ["b"] * 6
    assert {request.get("Host") for server in servers.values() for request in server.requests} == {"localhost"}
    assert set(httpd.access_lines(12)) == {target(sandbox, "a"), target(sandbox, "b")}


def test_environment(sandbox):
    names = ["NAME", "WORKER_NAME", "WORKER_ROUTE", "SESSION_STICKY", "SESSION_ROUTE", "ROUTE_CHANGED"]
    log = " ".join(f"%{{BALANCER_{name}}}e" for name in names) + " %{UDSROUTE_ATTEMPTS}e"
    httpd, _ = start_httpd(sandbox, {"a": "route=r1"}, "stickysession=S", access_log=log)
    with Client(httpd.port) as client:  # of connections of their own, either might be logged first
        for cookie in ("S=x.r1", "S=x.gone", "T=x.r1"):
            assert client.fetch("/x", fields=[("Cookie", cookie)]).text == "a"
    member = target(sandbox, "a")
    assert httpd.access_lines(3) == [
        f"balancer://app {member} r1 S r1 - 1",
        f"balancer://app {member} r1 S gone 1 1",
        f"balancer://app {member} r1 - - 1 1",
    ]


# --- what the operator says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["+D", "+S", "+N", "+H", "+R"])
def test_a_member_that_gets_nothing(sandbox, status):
    """While another one works."""
    httpd, _ = start_httpd(sandbox, {"a": "", "b": f"status={status}"})
    assert set(answers(httpd)) == {"a"}


@pytest.mark.parametrize("status,does_stand_in", [("+R", True), ("+H", True), ("+D", False), ("+S", False)])
def test_who_stands_in_for_a_member_that_is_out(sandbox, status, does_stand_in):
    servers = start_members(sandbox, ["b"])
    httpd = sandbox.httpd(balancer(sandbox, {"a": "", "b": f"status={status}"}))
    httpd.log.allow("UDR0034|UDR0004")
    if does_stand_in:
        assert set(answers(httpd)) == {"b"}
    else:
        response = fetch(httpd.port, "/x")
        assert (response.status, response.get("Retry-After")) == (503, "2")
        assert not servers["b"].requests


def test_a_spare_stands_in_beside_those_that_work(sandbox):
    """One for one; the hot standby only where nobody else is left."""
    members = {"a": "", "b": "status=+D", "c": "status=+R", "d": "status=+R", "e": "status=+H"}
    httpd, _ = start_httpd(sandbox, members)
    assert set(answers(httpd)) == {"a", "c"}


def test_sets(sandbox):
    """The lowest that has anybody."""
    httpd, servers = start_httpd(sandbox, {"a": "lbset=0", "b": "lbset=1", "c": "lbset=1", "d": "lbset=2"})
    assert set(answers(httpd)) == {"a"}
    httpd.log.allow(GOES_AND_COMES)
    sandbox.stop(servers["a"])
    assert set(answers(httpd)) == {"b", "c"}


def test_nobody_left(sandbox):
    httpd, _ = start_httpd(sandbox, {"a": "status=+D", "b": "status=+S"})
    response = fetch(httpd.port, "/x")
    assert (response.status, response.get("Retry-After")) == (503, "2")
    httpd.log.expect("UDR0035: balancer app: none of its members")


# --- failures ---------------------------------------------------------------------------------------------------------


def failing(exchange):
    exchange.respond(500, "no")


def test_failonstatus(sandbox):
    """The member is out; the response that said so is passed on, and not asked for again."""
    failing_one = sandbox.scripted("a", failing)
    start_members(sandbox, ["b"])
    httpd = sandbox.httpd(balancer(sandbox, {"a": "retry=60", "b": ""}, "failonstatus=500,503"))
    statuses = [fetch(httpd.port, "/x").status for _ in range(12)]  # httpd closes connections after a 500
    assert sorted(statuses) == [200] * 11 + [500]
    assert len(failing_one.requests) == 1
    httpd.log.expect("UDR0034: member .*a.sock.* is out: .*500")


def test_failonstatus_of_a_member_that_ignores_errors(sandbox):
    sandbox.scripted("a", failing)
    start_members(sandbox, ["b"])
    httpd = sandbox.httpd(balancer(sandbox, {"a": "status=+I retry=60", "b": ""}, "failonstatus=500"))
    httpd.log.allow(GOES_AND_COMES)
    statuses = [fetch(httpd.port, "/x").status for _ in range(12)]  # httpd closes connections after a 500
    assert sorted(statuses) == [200] * 6 + [500] * 6


@pytest.mark.parametrize("attempts,status", [(0, 503), (1, 503), (2, 200)])
def test_maxattempts(sandbox, attempts, status):
    """How many others are tried. Two of three are gone, and were never there."""
    start_members(sandbox, ["c"])
    members = {"a": "lbset=0", "b": "lbset=1", "c": "lbset=2"}
    httpd = sandbox.httpd(balancer(sandbox, members, f"maxattempts={attempts}"), access_log="%{UDSROUTE_ATTEMPTS}e")
    httpd.log.allow("UDR0034|UDR0004")
    assert fetch(httpd.port, "/x").status == status
    assert httpd.access_lines(1) == [str(attempts + 1)]


def test_failure_is_retried_after_its_pause(sandbox):
    httpd, servers = start_httpd(sandbox, {"a": "retry=200ms hold=0", "b": ""})
    httpd.log.allow(GOES_AND_COMES)
    sandbox.stop(servers["a"])
    assert set(answers(httpd)) == {"b"}
    start_members(sandbox, ["a"])
    wait_until(lambda: "a" in answers(httpd, 4), "the member to be asked again", 5, 0.05)
    httpd.log.expect("UDR0033: member .*a.sock.* is back")


def test_an_answer_without_end_brings_a_member_back(sandbox):
    """Server-sent events: its answer is proof when it begins. It ends when the test does."""
    is_heard = threading.Event()

    def serve(exchange):
        if exchange.connection.number == 1:
            exchange.close()
            return
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        exchange.send(b"9\r\ndata: 1\n\n\r\n")
        is_heard.wait(20)
        exchange.send(b"0\r\n\r\n")
        exchange.close()

    sandbox.scripted("a", serve)
    httpd = sandbox.httpd(balancer(sandbox, {"a": "retry=0 hold=0"}))
    httpd.log.allow("UDR0034|UDR0007")
    assert fetch(httpd.port, "/x", "POST", body=b"x").status == 502
    with Client(httpd.port) as client:
        client.send_request("GET", "/events")
        assert client.read_interim().status == 200
        try:
            httpd.log.expect("UDR0033: member .*a.sock.* is back")
        finally:
            is_heard.set()


def test_a_member_gone_for_longer_fails_at_once(sandbox):
    """`hold` counts from when it went, not from when a request comes."""
    member = Member(sandbox, "a", udsbackend()).start()
    httpd = sandbox.httpd(balancer(sandbox, {"a": "hold=300ms"}), access_log="%D")
    httpd.log.allow("UDR0034|UDR0004|UDR0007|UDR0035")
    assert fetch(httpd.port, "/ux").status == 200
    member.end(signal.SIGKILL)
    assert [fetch(httpd.port, "/ux").status for _ in range(5)] == [503] * 5
    # (Two that end at about the same time may be logged in either order, and a busy machine may keep any of them.)
    seconds = sorted(int(line) / 1e6 for line in httpd.access_lines(6))
    assert 0.2 < seconds[-1] < 8 and seconds[3] < 0.2, seconds


# --- over children and restarts ---------------------------------------------------------------------------------------


def test_state_is_the_servers_not_a_childs(sandbox):
    """One child finds out; the others don't try."""
    httpd, servers = start_httpd(sandbox, {"a": "retry=60 hold=0", "b": ""}, children=3, access_log=MEMBER)
    assert set(answers(httpd)) == {"a", "b"}
    sandbox.stop(servers["a"])
    for _ in range(20):
        assert fetch(httpd.port, "/x").text == "b"
    httpd.log.expect("UDR0034")  # once


def test_state_survives_a_graceful_restart(sandbox):
    httpd, servers = start_httpd(sandbox, {"a": "retry=60 hold=0", "b": ""}, access_log=MEMBER)
    assert set(answers(httpd)) == {"a", "b"}
    sandbox.stop(servers["a"])
    assert set(answers(httpd)) == {"b"}
    httpd.log.expect("UDR0034")
    httpd.graceful()
    assert set(answers(httpd)) == {"b"}
