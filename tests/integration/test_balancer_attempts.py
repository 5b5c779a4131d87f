# SPDX-License-Identifier: Apache-2.0
"""What goes to another member after a failure, and what must not; and that no turn is lost on the way."""
import signal
import time

import pytest

from udr_balancers import GOES_AND_COMES, Load, Member, balancer, processes_for, start_members, udsbackend
from udr_client import Client, fetch
from udr_processes import wait_until


def hang_up(exchange):
    exchange.close()


@pytest.mark.parametrize("method,body", [("GET", None), ("PUT", b""), ("DELETE", None), ("OPTIONS", None)])
def test_idempotent_request_that_got_no_answer(sandbox, method, body):
    """Once more, at the other member."""
    bad = sandbox.scripted("a", hang_up)
    start_members(sandbox, "b")
    httpd = sandbox.httpd(balancer(sandbox, {"a": "hold=0", "b": "lbset=1"}), access_log="%{UDSROUTE_ATTEMPTS}e")
    httpd.log.allow("UDR0034")
    assert fetch(httpd.port, "/x", method, body=body).text == "b"
    assert len(bad.requests) == 1
    assert httpd.access_lines(1) == ["2"]


@pytest.mark.parametrize("method,body", [("POST", b"x"), ("PATCH", b"x"), ("POST", [b"x"])])
def test_other_request_that_got_no_answer(sandbox, method, body):
    """It may have been processed: never again."""
    bad = sandbox.scripted("a", hang_up)
    servers = start_members(sandbox, "b")
    httpd = sandbox.httpd(balancer(sandbox, {"a": "hold=0", "b": "lbset=1"}))
    httpd.log.allow("UDR0034")
    assert fetch(httpd.port, "/x", method, body=body).status == 502
    httpd.log.expect("UDR0007")
    assert len(bad.requests) == 1 and not servers["b"].requests


def test_response_that_breaks_off(sandbox):
    bad = sandbox.scripted("a", lambda exchange: (exchange.send(b"HTTP/1.1 200 OK\r\nContent-Le"), exchange.close()))
    servers = start_members(sandbox, "b")
    httpd = sandbox.httpd(balancer(sandbox, {"a": "hold=0", "b": "lbset=1"}))
    httpd.log.allow("UDR0034")
    assert fetch(httpd.port, "/x").status == 502
    httpd.log.expect("UDR0007|UDR0008")
    assert len(bad.requests) == 1 and not servers["b"].requests
    assert fetch(httpd.port, "/x").text == "b"


@pytest.mark.parametrize(
    "method,body",
    [("POST", b"x" * 200_000), ("POST", [b"x"] * 9), ("GET", None)],
    ids=["length", "chunked", "none"],
)
def test_request_that_could_not_connect(sandbox, method, body):
    """Nothing was sent: whatever it is, it goes to the other one, whole."""
    servers = start_members(sandbox, "b")
    httpd = sandbox.httpd(balancer(sandbox, {"a": "", "b": "lbset=1"}))
    httpd.log.allow("UDR0034")
    assert fetch(httpd.port, "/x", method, body=body).text == "b"
    (request,) = servers["b"].requests
    assert request.body == (body if isinstance(body, bytes) else b"".join(body or []))


@pytest.mark.parametrize("is_failure", [False, True])
def test_failontimeout(sandbox, is_failure):
    """Silence is no failure of the member's unless it is said so; the request itself is not sent again."""
    slow = sandbox.scripted("a", lambda exchange: exchange.leave())
    start_members(sandbox, "b")
    members = {"a": "timeout=300ms retry=60", "b": "lbset=1"}
    httpd = sandbox.httpd(balancer(sandbox, members, f"failontimeout={'On' if is_failure else 'Off'}"))
    assert fetch(httpd.port, "/x").status == 504
    httpd.log.expect("UDR0009")
    if is_failure:
        httpd.log.expect("UDR0034")
        assert fetch(httpd.port, "/x").text == "b"
    else:
        assert fetch(httpd.port, "/x").status == 504
        httpd.log.expect("UDR0009")
    slow.wait_for_requests(2 - is_failure)  # it may have been slower than its timeout to take them
    assert len(slow.requests) == 2 - is_failure


# --- turns ------------------------------------------------------------------------------------------------------------


def test_turns_when_members_are_killed(sandbox):
    """All of them come back: as many requests are served at once afterwards as before."""
    member = Member(sandbox, "a", udsbackend()).start()
    # `hold` for a machine on which it takes its time to start.
    config = processes_for(32) + balancer(sandbox, {"a": "maxconn=2 hold=7"})
    httpd = sandbox.httpd(config, children=2, udsroute_log_level="info")
    httpd.log.allow(GOES_AND_COMES)
    with Load(httpd, clients=24, request=lambda client, number: client.fetch("/delay/2")) as load:
        for number in (signal.SIGKILL, signal.SIGTERM) * 2:
            time.sleep(0.15)
            member.restart(number, 0.1)
        time.sleep(0.3)
    assert set(load.statuses) == {200}, load.statuses
    took = [seconds_for_two(httpd, 700) for _ in range(3)]
    assert min(took) < 1.3, f"one after the other: {took}"


def seconds_for_two(httpd, delay):
    """Of requests at once that take as many milliseconds each."""
    begun = time.monotonic()
    with Client(httpd.port) as first, Client(httpd.port) as second:
        for client in (first, second):
            client.send_request("GET", f"/delay/{delay}")
        for client in (first, second):
            assert client.read_response().status == 200
    return time.monotonic() - begun


def test_turns_of_clients_that_leave(sandbox):
    """In the queue and at the member."""
    Member(sandbox, "a", udsbackend()).start()
    httpd = sandbox.httpd(processes_for(32) + balancer(sandbox, {"a": "maxconn=2"}), children=2)
    for _ in range(3):
        clients = [Client(httpd.port) for _ in range(12)]
        for client in clients:
            client.send_request("GET", "/delay/10000")
        assert clients[0].quiet(0.05)
        for client in clients:
            client.close()
    begun = time.monotonic()
    assert fetch(httpd.port, "/ux").status == 200
    assert time.monotonic() - begun < 5
    wait_until(lambda: len(httpd.log.find("UDR0012")) == 36, "all to be noticed")


def test_turn_of_a_tunnel(sandbox):
    """A WebSocket is in flight for as long as it is open."""
    Member(sandbox, "a", udsbackend()).start()
    httpd = sandbox.httpd(balancer(sandbox, {"a": "maxconn=1 queue=200ms"}))
    fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    with Client(httpd.port) as tunnel:
        tunnel.send_request("GET", "/ws", fields)
        assert tunnel.read_interim().status == 101
        assert fetch(httpd.port, "/ux").status == 503
        httpd.log.expect("UDR0036")
    wait_until(lambda: fetch(httpd.port, "/ux").status == 200, "the turn to be free")
    httpd.log.allow("UDR0036")


def test_a_request_that_a_member_falls_over_keeps_nobody_waiting(sandbox):
    """It is out then, as far as balancers with others are concerned; but it takes connections."""

    def behave(exchange):
        if exchange.request.target == "/die":
            exchange.close()
        else:
            exchange.respond(body=b"fine")

    backend = sandbox.scripted("frail", behave)
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/", access_log="%U %{UDSROUTE_QUEUE_US}e")
    httpd.log.allow("UDR0007")
    for _ in range(4):
        assert fetch(httpd.port, "/die").status == 502
        assert fetch(httpd.port, "/fine").status == 200
    waits = [int(line.split()[1]) for line in httpd.access_lines(8) if line.startswith("/fine")]
    assert len(waits) == 4 and max(waits) < 5000  # microseconds: nobody looks only each 10 ms
