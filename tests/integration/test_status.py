# SPDX-License-Identifier: Apache-2.0
"""What mod_udsroute adds to mod_status's page: what the loops of the child that answers hold, and what all children do."""
import contextlib
import socket
import time

import pytest

import udr_tunnel
from udr_client import fetch
from udr_loops import adopted, loop_httpd, route, status
from udr_processes import wait_until

KINDS = ("Idle", "Served", "Parked", "Tunnels", "Closing")


def held(httpd):
    """How many connections the loops hold, by what they are about; those of which there are any."""
    figures = status(httpd)
    counts = {kind: int(figures[f"UDSRoute{kind}"]) for kind in KINDS}
    assert int(figures["UDSRouteAdopted"]) == sum(counts.values())
    return {kind: count for kind, count in counts.items() if count}


def wait_until_held(httpd, **counts):
    wait_until(lambda: held(httpd) == counts, f"the loops to hold {counts}")


def held_backend(sandbox, gate):
    def behave(exchange):
        gate.wait()
        exchange.respond(body="at last")

    return sandbox.scripted("held", behave)


# --- the loops of this child ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loops", ["1", "2"])
def test_connections_by_what_they_are_about(sandbox, gate, loops):
    """Idle, parked, in a tunnel, being closed: each is counted once, and none is left when the clients have gone."""
    backend = held_backend(sandbox, gate)
    switchboard = udr_tunnel.Switchboard(sandbox)
    httpd = loop_httpd(sandbox, route(backend) + udr_tunnel.chat_route(switchboard), loops=loops)
    assert status(httpd)["UDSRouteLoops"] == loops
    assert held(httpd) == {}
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(adopted(httpd)) for _ in range(9)]
        wait_until_held(httpd, Idle=9)
        for client in clients[:4]:
            client.send_request("GET", "/app/held")
        wait_until_held(httpd, Idle=5, Parked=4)
        ends = [udr_tunnel.open_tunnel(httpd, switchboard, come=adopted) for _ in range(3)]
        wait_until_held(httpd, Idle=5, Parked=4, Tunnels=3)
        for client in clients[7:]:
            client.send_request("GET", "/short", [("Connection", "close")])
            assert client.read_response().text == "/short"
        wait_until_held(httpd, Idle=3, Parked=4, Tunnels=3, Closing=2)
        for near, far in ends:
            near.close()
            far.close()
        gate.open()
        assert [client.read_response().text for client in clients[:4]] == ["at last"] * 4
        wait_until(lambda: {**held(httpd), "Closing": 0} == {"Idle": 7, "Closing": 0}, "the tunnels to be gone")
    wait_until_held(httpd)


def test_first_requests_that_are_parked(sandbox, gate):
    """Connections that come to the loop because their request waits."""
    backend = held_backend(sandbox, gate)
    httpd = loop_httpd(sandbox, route(backend), tls=True)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(udr_tunnel.connect(httpd, tls)) for tls in (False, True, True)]
        for client in clients:
            client.send_request("GET", "/app/x")
        wait_until_held(httpd, Parked=3)
    wait_until_held(httpd)


def test_what_a_worker_does_is_served(sandbox):
    """A request of an adopted connection that a worker reads, head and body."""
    httpd = loop_httpd(sandbox, "")
    with adopted(httpd) as client:
        client.send(b"GET /short HTTP/1.1\r\nHost: local")
        wait_until_held(httpd, Served=1)
        client.send(b"host\r\n\r\n")
        assert client.read_response().text == "/short"
        wait_until_held(httpd, Idle=1)
    wait_until_held(httpd)


def test_a_client_that_takes_nothing(sandbox):
    """An exchange that waits for its client is parked, too."""
    backend = sandbox.scripted("large", lambda exchange: exchange.respond(body=b"x" * 3_000_000))
    httpd = loop_httpd(sandbox, "SendBufferSize 16384\n" + route(backend))
    with adopted(httpd, receive_buffer=16384) as client:
        client.send_request("GET", "/app/x")
        wait_until_held(httpd, Parked=1)
        assert len(client.read_response().body) == 3_000_000
        wait_until_held(httpd, Idle=1)
    wait_until_held(httpd)


def test_many_clients_come_and_go(sandbox):
    """Whatever way they go, no count is left over, and none goes below zero."""
    httpd = loop_httpd(sandbox, "", loops="2")
    for turn in range(20):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(adopted(httpd)) for _ in range(8)]
            for client in clients[::2]:
                assert client.fetch("/short").text == "/short"
            clients[1].send(b"GET / no request\r\n\r\n")
            clients[2].send_request("GET", "/adopt")
            if turn % 2:
                clients[3].sock.shutdown(socket.SHUT_WR)
    wait_until_held(httpd)


def test_without_loops(sandbox):
    httpd = loop_httpd(sandbox, "", loops="Off")
    assert fetch(httpd.port, "/short").text == "/short"
    figures = status(httpd)
    assert (figures["UDSRouteLoops"], figures["UDSRouteAdopted"]) == ("0", "0")
    assert "UDSRouteMaxConnections" not in figures


# --- all children -----------------------------------------------------------------------------------------------------


def test_suspended_connections_of_all_children(sandbox, gate):
    """Whichever child answers. The MPM writes its figure down once in a while: more requests make it look."""
    backend = held_backend(sandbox, gate)
    httpd = loop_httpd(sandbox, "KeepAliveTimeout 1\n" + route(backend), children=2)

    def suspended():
        assert fetch(httpd.port, "/index.html").status == 200  # the MPM looks when this would have been idle too long
        return int(status(httpd)["UDSRouteSuspendedAllChildren"])

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(udr_tunnel.connect(httpd)) for _ in range(12)]
        for client in clients:
            client.send_request("GET", "/app/x")
        wait_until(lambda: suspended() == 12, "twelve connections to be counted", 60, 0.1)
        gate.open()
        assert all(client.read_response().text == "at last" for client in clients)
    wait_until(lambda: suspended() == 0, "no connection to be counted", 60, 0.1)


# --- mod_status's own figures -----------------------------------------------------------------------------------------


def totals(httpd):
    """Requests, kilobytes and milliseconds so far, of all threads and children."""
    figures = status(httpd)
    return [int(figures[name]) for name in ("Total Accesses", "Total kBytes", "Total Duration")]


@pytest.mark.parametrize("modules", [(), ("logio",)], ids=["", "logio"])
@pytest.mark.parametrize("loops,limit", [("1", 4), ("1", 8), ("3", 4), ("3", 5)])
def test_requests_on_loops_are_counted(sandbox, loops, limit, modules):
    """Each once, whoever serves it: a loop, a worker for it, a worker as ever. Its bytes and its time, too."""
    size, seconds = 100_000, 0.02

    def behave(exchange):
        if exchange.request.target == "/app/slow":
            time.sleep(seconds)
            exchange.respond()
        else:
            exchange.respond(body=b"x" * size)

    backend = sandbox.scripted("large", behave)
    config = f"ThreadLimit {limit}\nExtendedStatus On\n" + route(backend)
    httpd = loop_httpd(sandbox, config, loops=loops, modules=modules)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(adopted(httpd)) for _ in range(4)]
        wait_until_held(httpd, Idle=4)
        before = totals(httpd)
        for client in clients:
            for _ in range(5):
                assert len(client.fetch("/app/x").body) == size
                assert client.fetch("/index.html").status == 200
                assert client.fetch("/app/slow").status == 200
                assert client.fetch("/app/x", method="HEAD").status == 200
            client.send(b"GET / no request\r\n\r\n")
            assert client.read_response().status == 400
        after = totals(httpd)
    requests, kilobytes, milliseconds = (now - then for now, then in zip(after, before))
    # And the one that asked for the figures before. httpd counts a request when its client may have the answer already.
    assert abs(requests - (4 * (5 * 4 + 1) + 1)) <= 4
    assert 4 * 5 * size / 1024 - 1 <= kilobytes < 4 * 5 * size / 1024 + 50
    assert milliseconds >= 4 * 5 * 1000 * seconds


# --- the forms of the page --------------------------------------------------------------------------------------------


def test_page_for_people(sandbox):
    httpd = loop_httpd(sandbox, "ExtendedStatus On\n")
    with adopted(httpd), adopted(httpd):
        wait_until_held(httpd, Idle=2)
        page = fetch(httpd.port, "/server-status").text
        assert "<h2>mod_udsroute</h2>" in page and "2 connections on 1 loop." in page
        assert "<tr><td>waiting for a request</td><td>2</td></tr>" in page
        assert "up to 260 connections" in page
        plain = fetch(httpd.port, "/server-status?notable").text
        assert "2 waiting for a request, 0 being served" in plain


def test_not_used(sandbox):
    """Where nothing is routed, nothing is said."""
    config = "<Location /server-status>\nSetHandler server-status\n</Location>"
    httpd = sandbox.httpd(config, modules=["status"])
    assert "UDSRoute" not in fetch(httpd.port, "/server-status?auto").text
    assert "udsroute" not in fetch(httpd.port, "/server-status").text.partition("<hr />")[2]


def test_without_mod_status(sandbox):
    """The hook is mod_status's: without it the module works as well."""
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body="here"))
    httpd = sandbox.httpd(route(backend, "/"))
    assert fetch(httpd.port, "/x").text == "here"
