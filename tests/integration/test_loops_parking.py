# SPDX-License-Identifier: Apache-2.0
"""Waiting holds no thread: at each point where a request may have to wait, ten times as many wait as there are threads,
and others are served meanwhile. By TCP and TLS, with a connection's first request and on adopted connections."""
import contextlib

import pytest

from udr_client import chunk
from udr_loops import Gate, adopted, connect, fetch_short, loop_httpd, route, wait_until_threads_are_free
from udr_processes import wait_until

CROWD = 40  # on four threads

pytestmark = [
    pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"]),
    pytest.mark.parametrize("come", [connect, adopted], ids=["first", "adopted"]),
]


def send_get(client, number, fields=()):
    client.send_request("GET", f"/app/{number}", fields)


@contextlib.contextmanager
def crowd(come, httpd, tls, send=send_get, count=CROWD, **options):
    """That many clients, each of whom has sent a request: httpd's own threads wait for a connection's first one."""
    with contextlib.ExitStack() as stack:
        clients = []
        for number in range(count):
            clients.append(stack.enter_context(come(httpd, tls, **options)))
            send(clients[-1], number)
        yield clients


def assert_others_are_served(httpd, tls):
    """While all of them wait. (The thread that has answered the others is free a moment after its answer.)"""
    wait_until_threads_are_free(httpd)
    assert fetch_short(httpd, tls)
    wait_until_threads_are_free(httpd)


def assert_all_are_answered(clients):
    """Each with what was meant for it."""
    texts = [client.read_response().text for client in clients]
    assert texts == [f"/app/{number}" for number in range(len(clients))]


def answer(exchange):
    exchange.respond(body=exchange.request.target)


def test_for_a_pooled_connection(sandbox, tls, come):
    gate = Gate()

    def behave(exchange):
        gate.wait()
        answer(exchange)

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, route(backend, "/app/", "max=1"), tls=tls, udsroute_log_level="trace5")
    with crowd(come, httpd, tls) as clients:
        backend.wait_for_requests(1)
        wait_until(
            lambda: len(httpd.log.find("waiting for a turn")) == CROWD - 1, "all others to wait for their turn", 20
        )
        assert_others_are_served(httpd, tls)
        assert len(backend.requests) == 1
        gate.open()
        assert_all_are_answered(clients)
    assert backend.accepted == 1


def test_for_a_place_in_the_backlog(sandbox, tls, come):
    backend = sandbox.scripted("app", answer, accepting=False, backlog=1)
    config = route(backend, "/app/", "connectiontimeout=60 timeout=60")
    httpd = loop_httpd(sandbox, config, tls=tls, udsroute_log_level="trace5")
    with crowd(come, httpd, tls) as clients:
        waiting = lambda: {line.text.split("]")[0] for line in httpd.log.find("listen backlog is full")}
        wait_until(lambda: len(waiting()) >= CROWD - 2, "all but two to find the backlog full", 20)
        assert_others_are_served(httpd, tls)
        backend.start_accepting()
        assert_all_are_answered(clients)


def test_for_the_request_body(sandbox, tls, come):
    def behave(exchange):
        exchange.respond(body=exchange.read_body())

    bodies = [f"/app/{number}".encode() for number in range(CROWD)]

    def send_in_part(client, number):
        client.send_request("POST", "/app/x", [("Content-Length", str(len(bodies[number])))])
        client.send(bodies[number][:3])

    backend = sandbox.scripted("app", behave, read_bodies=False)
    httpd = loop_httpd(sandbox, route(backend), tls=tls)
    with crowd(come, httpd, tls, send_in_part) as clients:
        backend.wait_for_requests(CROWD)
        assert_others_are_served(httpd, tls)
        for client, body in zip(clients, bodies):
            client.send(body[3:])
        assert_all_are_answered(clients)


@pytest.mark.parametrize("fields", [(), [("Connection", "close")]], ids=["keep-alive", "close"])
def test_for_the_response_head(sandbox, tls, come, fields):
    gate = Gate()

    def behave(exchange):
        gate.wait()
        answer(exchange)

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, route(backend), tls=tls)
    with crowd(come, httpd, tls, lambda client, number: send_get(client, number, fields)) as clients:
        backend.wait_for_requests(CROWD)
        assert_others_are_served(httpd, tls)
        gate.open()
        assert_all_are_answered(clients)


def test_for_the_response_head_with_the_usual_patience(sandbox, tls, come):
    """UDSPark's default: after two milliseconds."""
    gate = Gate()

    def behave(exchange):
        gate.wait()
        answer(exchange)

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, "UDSPark 2ms\n" + route(backend), tls=tls)
    with crowd(come, httpd, tls, count=8) as clients:
        backend.wait_for_requests(8)
        assert_others_are_served(httpd, tls)
        gate.open()
        assert_all_are_answered(clients)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_in_a_pause_of_the_response_body(sandbox, tls, come, framing):
    """What came before the pause has been passed on."""
    gate = Gate()
    heads = {"length": "Content-Length: {}", "chunked": "Transfer-Encoding: chunked", "close": "X-Until: the end"}

    def behave(exchange):
        pieces = [b"before", exchange.request.target.encode()]
        head = heads[framing].format(sum(map(len, pieces)))
        exchange.send(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        if framing == "chunked":
            pieces = [chunk(pieces[0]), chunk(pieces[1]) + b"0\r\n\r\n"]
        exchange.send(pieces[0])
        gate.wait()
        exchange.send(pieces[1])
        if framing == "close":
            exchange.close()

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, route(backend), tls=tls)
    with crowd(come, httpd, tls) as clients:
        for client in clients:
            while b"before" not in client.stream.buffer:
                assert client.stream.fill()
        assert_others_are_served(httpd, tls)
        gate.open()
        texts = [client.read_response().text for client in clients]
    assert texts == [f"before/app/{number}" for number in range(CROWD)]


def large_body(target, size):
    """A body that is no other request's."""
    return (target.encode() + b" ") * (size // (len(target) + 1) + 1)


# Around what the buffers take, of the kernel, of core's output filter, of the relay; and far over it.
@pytest.mark.parametrize("size", [60_000, 100_000, 140_000, 1_000_000])
def test_for_a_client_that_reads_nothing(sandbox, tls, come, size):
    def behave(exchange):
        exchange.respond(body=large_body(exchange.request.target, size))

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, "SendBufferSize 16384\n" + route(backend), tls=tls)
    count = CROWD if size >= 1_000_000 else 10
    with crowd(come, httpd, tls, count=count, receive_buffer=16384) as clients:
        backend.wait_for_requests(count)
        assert_others_are_served(httpd, tls)
        if size >= 1_000_000:
            assert sum(connection.busy for connection in backend.connections) == count
        for number, client in enumerate(clients):
            assert client.read_response().body == large_body(f"/app/{number}", size)
            assert client.fetch("/short").text == "/short"
