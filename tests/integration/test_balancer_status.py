# SPDX-License-Identifier: Apache-2.0
"""What the status tells of members: exact over all children, after restarts, when a child was killed. And `spill`."""
import os
import signal
import time

import pytest

import udr_wire
from udr_balancers import STATUS, Member, balancer, figures, processes_for, start_members, udsbackend
from udr_client import Client, fetch, h2load
from udr_loops import Gate
from udr_processes import wait_until

def test_counters_are_exact(sandbox):
    """Over children, and restarts."""
    names = "abc"
    for name in names:
        Member(sandbox, name, udsbackend("--threads", "1")).start()
    config = STATUS + balancer(sandbox, {name: "" for name in names})
    httpd = sandbox.httpd(config, children=3, udsroute_log_level="info")
    for rounds in (1, 2):
        assert h2load(httpd.url("/bytes/1000"), 3000, 16).flawless
        wait_until(lambda: figures(httpd, "busy") == {name: 0 for name in names}, "the last ones to be counted")
        assert figures(httpd, "elected") == {name: 1000 * rounds for name in names}
        assert figures(httpd, "failed") == figures(httpd, "queued") == {name: 0 for name in names}
        assert all(value >= 1_000_000 * rounds for value in figures(httpd, "bytes_in").values())
        assert set(figures(httpd, "state").values()) == {"up"}
        httpd.renew()  # an old child closes the connections that it keeps, which h2load would count
    assert figures(httpd, "elected") == {name: 2000 for name in names}


@pytest.mark.parametrize(
    "parameters,state",
    [("", "unknown"), ("status=+D", "disabled"), ("status=+S", "stopped"), ("status=+N", "draining"),
     ("status=+R", "spare"), ("status=+H", "standby")],
)  # fmt: skip
def test_states(sandbox, parameters, state):
    httpd = sandbox.httpd(STATUS + balancer(sandbox, {"a": parameters, "b": ""}))
    assert figures(httpd, "state")["a"] == state


def test_member_that_is_out(sandbox):
    servers = start_members(sandbox, "ab")
    httpd = sandbox.httpd(STATUS + balancer(sandbox, {"a": "retry=60 hold=0", "b": ""}), children=2)
    httpd.log.allow("UDR0034")
    for _ in range(4):
        fetch(httpd.port, "/x")
    servers["a"].stop_listening()  # the file stays: that nobody listens a request has to find out
    servers["a"].close_idle()
    for _ in range(4):
        assert fetch(httpd.port, "/x").text == "b"
    assert figures(httpd, "state") == {"a": "down", "b": "up"}
    assert figures(httpd, "failed") == {"a": 1, "b": 0}


def test_in_flight_and_waiting(sandbox):
    gate = Gate()
    server = sandbox.scripted("a", lambda exchange: (gate.wait(), exchange.respond()))
    config = processes_for(16) + STATUS + balancer(sandbox, {"a": "maxconn=3"})
    httpd = sandbox.httpd(config, children=2)
    clients = [Client(httpd.port) for _ in range(8)]
    for client in clients:
        client.send_request("GET", "/x")
    server.wait_for_requests(3)
    wait_until(lambda: figures(httpd, "queued") == {"a": 5}, "the others to wait")
    assert figures(httpd, "busy") == {"a": 3}
    gate.open()
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    assert (figures(httpd, "busy"), figures(httpd, "queued")) == ({"a": 0}, {"a": 0})


def in_flight_and_waiting(httpd):
    """None where one of the dead has taken the connection."""
    try:
        return figures(httpd, "busy")["a"], figures(httpd, "queued")["a"]
    except (udr_wire.Closed, OSError):
        return None


@pytest.mark.parametrize("maxconn", [0, 3])
def test_in_flight_when_children_are_killed(sandbox, maxconn):
    """The truth within a second, without any request."""
    gate = Gate()
    server = sandbox.scripted("a", lambda exchange: (gate.wait(), exchange.respond()))
    config = processes_for(16) + STATUS + balancer(sandbox, {"a": f"maxconn={maxconn}"})
    httpd = sandbox.httpd(config, children=2)
    httpd.log.allow("AH00052")
    clients = [Client(httpd.port) for _ in range(12)]
    for client in clients:
        client.send_request("GET", "/x")
    server.wait_for_requests(maxconn or 12)
    if maxconn:
        wait_until(lambda: figures(httpd, "queued") == {"a": 12 - maxconn}, "the others to wait")
    for pid in httpd.children():
        os.kill(pid, signal.SIGKILL)
    begun = time.monotonic()
    wait_until(lambda: in_flight_and_waiting(httpd) == (0, 0), "the dead ones' share to be gone")
    took = time.monotonic() - begun
    gate.open()
    for client in clients:
        client.close()
    assert took < 6  # one of them is for new children to come, some for a busy machine


# --- spill ------------------------------------------------------------------------------------------------------------

PROXY = ("proxy", "proxy_http")


@pytest.mark.parametrize("parameters", ["status=+D", "hold=0", "maxconn=1 queue=100ms"], ids=["off", "gone", "full"])
@pytest.mark.parametrize(
    "method,body",
    [("GET", None), ("POST", b"a body" * 5000), ("POST", [b"a", b"body"])],
    ids=["none", "length", "chunked"],
)
def test_spill(sandbox, parameters, method, body):
    """What no member can take goes to mod_proxy, whole."""
    gate = Gate()
    if "maxconn" in parameters:
        server = sandbox.scripted("a", lambda exchange: (gate.wait(), exchange.respond(body="a")))
    elsewhere = sandbox.scripted("elsewhere", lambda exchange: exchange.respond(body="elsewhere"))
    other = sandbox.httpd(f"UDSRoute / unix:{elsewhere.address}|http://localhost/", mpm="event")
    config = balancer(sandbox, {"a": parameters}, f"spill=http://127.0.0.1:{other.port}")
    httpd = sandbox.httpd(config, modules=PROXY)
    httpd.log.allow("UDR0034")
    with Client(httpd.port) as held, Client(httpd.port) as client:
        if "maxconn" in parameters:
            held.send_request("GET", "/x")
            server.wait_for_requests(1)
        for _ in range(2):
            response = client.fetch("/some/path?q=1", method, body=body)
            assert (response.status, response.text) == (200, "elsewhere")
        gate.open()
    for request in elsewhere.requests:
        assert (request.method, request.target) == (method, "/some/path?q=1")
        assert request.body == (body if isinstance(body, bytes) else b"".join(body or []))


def test_spilled_request_counts_its_hop_once(sandbox):
    """By mod_proxy; the one that it goes to, which has a plain route, counts once more."""
    elsewhere = sandbox.scripted("elsewhere", lambda exchange: exchange.respond(body="elsewhere"))
    other = sandbox.httpd(f"UDSRoute / unix:{elsewhere.address}|http://localhost/", mpm="event")
    config = balancer(sandbox, {"a": "status=+D"}, f"spill=http://127.0.0.1:{other.port}")
    httpd = sandbox.httpd(config, modules=PROXY)
    assert fetch(httpd.port, "/x", "OPTIONS", fields=[("Max-Forwards", "5")]).text == "elsewhere"
    (request,) = elsewhere.requests
    assert request.get("Max-Forwards") == "3"


def test_spill_to_a_balancer_of_mod_proxy(sandbox):
    """Of the same name, even: each is looked for where it belongs. mod_proxy says what becomes of its members' places,
    we of ours."""

    def behave(exchange):
        exchange.respond(302, body="elsewhere", fields=[("Location", "http://other.example/next")])

    server = sandbox.scripted("a", lambda exchange: exchange.respond(302, fields=[("Location", "http://localhost/next")]))
    elsewhere = sandbox.scripted("elsewhere", behave)
    config = f"""
<Proxy balancer://app>
    BalancerMember unix:{elsewhere.address}|http://other.example
</Proxy>
UDSRouteReverse /ours/ balancer://app/
ProxyPassReverse /ours balancer://app
"""
    config += balancer(sandbox, {"a": "hold=0 retry=60"}, "spill=balancer://app", path="/ours/")
    httpd = sandbox.httpd(config, modules=(*PROXY, "proxy_balancer", "lbmethod_byrequests", "slotmem_shm"))
    httpd.log.allow("UDR0034")
    location = f"http://localhost:{httpd.port}/ours/next"
    answer = fetch(httpd.port, "/ours/x", host=f"localhost:{httpd.port}")
    assert (answer.status, answer.get("Location"), len(server.requests)) == (302, location, 1)
    sandbox.stop(server)
    answer = fetch(httpd.port, "/ours/x", host=f"localhost:{httpd.port}")
    assert (answer.text, answer.get("Location")) == ("elsewhere", location)
    assert [request.target for request in (*server.requests, *elsewhere.requests)] == ["/ours/x"] * 2
