# SPDX-License-Identifier: Apache-2.0
"""Clients that go away while they are served on a loop: whatever the request waits for, the member is free at once, the
connection is gone, and nobody else notices."""
import socket
import struct
import time

import pytest

import udr_processes
from udr_client import chunk
from udr_loops import Gate, adopted, connect, fetch_short, loop_httpd, route, wait_until_threads_are_free
from udr_processes import wait_until
from udr_wire import Closed

TLS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
COME = pytest.mark.parametrize("come", [connect, adopted], ids=["first", "adopted"])


def close(client):
    """In order: what was received is left unread, where there is any, the kernel makes a reset of it."""
    client.close()


def reset(client):
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


GO = pytest.mark.parametrize("go", [close, reset], ids=["close", "reset"])


def assert_nothing_is_left(httpd):
    """No connection, no busy thread, the same child as before; others are served."""
    ports = (httpd.port, httpd.tls_port)
    wait_until(lambda: udr_processes.tcp_connections(ports) == 0, "the clients' connections to be gone", 8, 0.02)
    wait_until_threads_are_free(httpd)
    assert fetch_short(httpd)


def assert_member_is_free(backend):
    backend.wait_for(lambda: not any(one.busy for one in backend.open_connections), "the member to be free", 5)


class Held:
    """A backend that keeps each request until its client has gone."""

    def __init__(self, sandbox, first=b"", **options):
        """first: what it says before it waits."""
        self.first = first
        self.seen = []
        self.backend = sandbox.scripted("app", self.behave, **options)

    def behave(self, exchange):
        exchange.send(self.first)
        self.seen.append(exchange.peer_closed(20))
        exchange.close()

    def assert_freed(self, count):
        """Each was told by the close of its connection, long before anything timed out."""
        self.backend.wait_for(lambda: len(self.seen) == count, f"{count} requests to be given up", 5)
        assert all(self.seen)


@GO
@TLS
@COME
def test_while_the_member_thinks(sandbox, go, tls, come):
    held = Held(sandbox)
    httpd = loop_httpd(sandbox, route(held.backend), tls=tls)
    clients = [come(httpd, tls) for _ in range(3)]
    for client in clients:
        client.send_request("GET", "/app/x")
    held.backend.wait_for_requests(3)
    for client in clients:
        go(client)
    held.assert_freed(3)
    assert_nothing_is_left(httpd)


@GO
@TLS
@COME
@pytest.mark.parametrize(
    "head", [b"Content-Length: 1000\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
)
def test_in_a_pause_of_the_response_body(sandbox, go, tls, come, head):
    held = Held(sandbox, b"HTTP/1.1 200 OK\r\n" + head)
    httpd = loop_httpd(sandbox, route(held.backend), tls=tls)
    with come(httpd, tls) as client:
        client.send_request("GET", "/app/x")
        while b"hello" not in client.stream.buffer:
            assert client.stream.fill()
        go(client)
    held.assert_freed(1)
    assert_nothing_is_left(httpd)


@GO
@TLS
@COME
def test_in_the_request_body(sandbox, go, tls, come):
    """The member hears of it as of any body that is cut."""
    backend = sandbox.scripted("app", lambda exchange: exchange.read_body(), read_bodies=False, tolerant=True)
    httpd = loop_httpd(sandbox, route(backend), tls=tls)
    httpd.log.allow(r"UDR\d{4}.*(body|client)")
    with come(httpd, tls) as client:
        client.send_request("POST", "/app/x", [("Content-Length", "1000")])
        client.send(b"some of it")
        backend.wait_for_requests(1)
        go(client)
    backend.wait_for(lambda: not backend.open_connections, "the member to be free", 5)
    assert_nothing_is_left(httpd)


@GO
@TLS
def test_with_a_large_response_unread(sandbox, go, tls):
    """The member is in the midst of sending; it fails to, as the connection to it is closed."""
    failed = Gate()

    def behave(exchange):
        if not exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 50_000_000):
            failed.open()
        exchange.close()

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, route(backend), tls=tls)
    with adopted(httpd, tls, receive_buffer=16384) as client:
        client.send_request("GET", "/app/x")
        assert client.stream.fill(1)
        wait_until_threads_are_free(httpd)
        go(client)
    failed.wait()
    assert_nothing_is_left(httpd)


@GO
@COME
def test_while_waiting_for_a_turn(sandbox, go, come):
    """The next in the queue gets it."""
    gate = Gate()

    def behave(exchange):
        gate.wait()
        exchange.respond(body=exchange.request.target)

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, route(backend, "/app/", "max=1"), udsroute_log_level="trace5")
    waiting = lambda: len(httpd.log.find("waiting for a turn"))
    with come(httpd) as first, come(httpd) as last:
        first.send_request("GET", "/app/first")
        backend.wait_for_requests(1)
        leavers = [come(httpd) for _ in range(5)]
        for number, leaver in enumerate(leavers, 1):
            leaver.send_request("GET", "/app/leaver")
            wait_until(lambda number=number: waiting() == number, "them to wait")
        last.send_request("GET", "/app/last")
        wait_until(lambda: waiting() == 6, "all to wait")
        for leaver in leavers:
            go(leaver)
        httpd.log.expect("client gone", times=5)
        gate.open()
        assert (first.read_response().text, last.read_response().text) == ("/app/first", "/app/last")
    assert [request.target for request in backend.requests] == ["/app/first", "/app/last"]
    assert_nothing_is_left(httpd)


@GO
@COME
def test_while_waiting_for_a_place_in_the_backlog(sandbox, go, come):
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body="x"), accepting=False, backlog=0)
    httpd = loop_httpd(sandbox, route(backend, "/app/", "connectiontimeout=60"), udsroute_log_level="trace5")
    clients = [come(httpd) for _ in range(6)]
    for client in clients:
        client.send_request("GET", "/app/x")
    wait_until(lambda: len(httpd.log.find("listen backlog is full")) >= 4, "the backlog to be full")
    wait_until_threads_are_free(httpd)
    for client in clients:
        go(client)
    assert_nothing_is_left(httpd)
    backend.start_accepting()


@GO
@TLS
def test_between_requests(sandbox, go, tls):
    httpd = loop_httpd(sandbox, "", tls=tls)
    clients = [adopted(httpd, tls) for _ in range(10)]
    for number, client in enumerate(clients):
        if number % 2:
            assert client.fetch("/short").text == "/short"
        go(client)
    assert_nothing_is_left(httpd)


@GO
@TLS
@pytest.mark.parametrize("part", [b"G", b"GET /app/x HTTP/1.1\r\n", b"GET /app/x HTTP/1.1\r\nHost: localhost\r\n"])
def test_in_the_midst_of_a_head(sandbox, go, tls, part):
    """Nothing of it reaches the member."""
    backend = sandbox.scripted("app")
    httpd = loop_httpd(sandbox, route(backend), tls=tls)
    httpd.log.allow(r"AH0\d{4}")
    clients = [adopted(httpd, tls) for _ in range(5)]
    for client in clients:
        client.send(part)
        time.sleep(0.02)
        go(client)
    assert_nothing_is_left(httpd)
    assert not backend.requests


@GO
def test_with_requests_sent_ahead(sandbox, go):
    """Those behind the one that is served are not begun once the client is known to have gone."""
    held = Held(sandbox)
    httpd = loop_httpd(sandbox, route(held.backend))
    with adopted(httpd) as client:
        client.send(b"GET /app/x HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
        held.backend.wait_for_requests(1)
        go(client)
    held.assert_freed(1)
    assert_nothing_is_left(httpd)
    assert len(held.backend.requests) == 1


@GO
def test_while_a_handler_of_httpds_works(sandbox, go):
    """A script's client: the worker finds out when it writes."""
    script = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nsleep 0.5\necho done\n"
    config = 'ScriptSock cgisock\nScriptAlias /cgi/ "@ROOT@/cgi/"\n<Directory "@ROOT@/cgi">\nRequire all granted\n</Directory>'
    httpd = loop_httpd(sandbox, config, modules=["cgid", "alias"])
    httpd.log.allow("cgid:")
    (httpd.root / "cgi").mkdir(mode=0o755)
    (httpd.root / "cgi/sleep").write_text(script)
    (httpd.root / "cgi/sleep").chmod(0o755)
    clients = [adopted(httpd) for _ in range(3)]
    for client in clients:
        client.send_request("GET", "/cgi/sleep")
    time.sleep(0.1)
    for client in clients:
        go(client)
    assert_nothing_is_left(httpd)


@COME
@pytest.mark.parametrize("pause", [0, 0.05])
def test_client_that_shuts_down_its_sending_side_gets_what_comes_soon(sandbox, come, pause):
    def behave(exchange):
        time.sleep(pause)
        exchange.respond(body=b"x" * 200_000)

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, route(backend))

    def is_answered():
        with come(httpd) as client:
            client.send_request("GET", "/app/x")
            client.sock.shutdown(socket.SHUT_WR)
            try:
                response = client.read_response()
            except Closed:
                return False
            return client.closed_by_server() and len(response.body) == 200_000

    # It is waited for for a tenth of a second, in which a busy machine may not come to answer.
    assert any(is_answered() for _ in range(10))
    assert_nothing_is_left(httpd)


@COME
def test_client_that_shuts_down_its_sending_side_has_gone_after_a_while(sandbox, come):
    held = Held(sandbox)
    httpd = loop_httpd(sandbox, route(held.backend))
    with come(httpd) as client:
        client.send_request("GET", "/app/x")
        held.backend.wait_for_requests(1)
        client.sock.shutdown(socket.SHUT_WR)
        held.assert_freed(1)
    assert_nothing_is_left(httpd)


def test_many_that_come_and_go(sandbox):
    """Half of them leave, at all kinds of moments; the other half are served to the end, each with its own."""

    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            time.sleep(0.005)
            exchange.send(chunk(f"{exchange.request.target} {number} ".encode() * 500))
        exchange.send(b"0\r\n\r\n")

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, route(backend))
    for turn in range(10):
        clients = [adopted(httpd) for _ in range(10)]
        for number, client in enumerate(clients):
            client.send_request("GET", f"/app/{turn}/{number}")
        time.sleep(turn * 0.004)
        for number, client in enumerate(clients):
            if number % 2:
                (close, reset)[number // 2 % 2](client)
            else:
                text = client.read_response().text
                assert text == "".join(f"/app/{turn}/{number} {piece} " * 500 for piece in range(5))
                client.close()
    assert_member_is_free(backend)
    assert_nothing_is_left(httpd)
