# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow or silent on connections that live on a loop: Timeout and mod_reqtimeout end them as they do
without loops, and a slow client holds no thread while it is waited for."""
import time

import pytest

import udr_wire
from udr_loops import Gate, Pair, adopted, comparable, connect, loop_httpd, route, wait_until_threads_are_free

TLS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])


def behave(exchange):
    try:
        exchange.read_body()
    except (udr_wire.Closed, OSError):
        exchange.close()
        return
    if exchange.request.complete:
        exchange.respond(body=exchange.request.body or exchange.request.target)
    else:
        exchange.close()


@pytest.fixture(name="backend")
def _backend(sandbox):
    return sandbox.scripted("app", behave, read_bodies=False, tolerant=True)


def allow_complaints(httpd):
    httpd.log.allow(r"UDR\d{4}.*(client|body|time)|AH0\d{4}")


def end_of(client, method="GET"):
    """How the server ends a request that the client does not: the response, if there is one, and the close."""
    try:
        answer = comparable(client.read_response(method))[0]
    except udr_wire.Closed:
        return "closed"
    return answer, client.closed_by_server(20)


def seconds(action, *arguments):
    started = time.monotonic()
    result = action(*arguments)
    return result, time.monotonic() - started


# --- Timeout ----------------------------------------------------------------------------------------------------------


@TLS
@pytest.mark.parametrize("come", [connect, adopted], ids=["first", "adopted"])
def test_silence_in_the_request_body(sandbox, backend, tls, come):
    """408, as soon as nothing has come for that long; the member is free then. Meanwhile it holds no thread."""
    httpd = loop_httpd(sandbox, "Timeout 1\n" + route(backend), tls=tls)
    allow_complaints(httpd)

    def is_silent():
        """Whether the threads were seen to be free before it could end."""
        with come(httpd, tls) as client:
            sent, begun = time.monotonic(), len(backend.requests)
            client.send_request("POST", "/app/x", [("Content-Length", "100")])
            client.send(b"some")
            backend.wait_for_requests(begun + 1)
            wait_until_threads_are_free(httpd)
            was_free = time.monotonic() - sent < 1
            assert end_of(client) == (408, True) and 0.9 < time.monotonic() - sent < 15
        return was_free

    assert any(is_silent() for _ in range(5)), "not once, on however busy a machine"
    backend.wait_for(lambda: not backend.open_connections, "the member to be free", 5)


def test_body_that_drips_within_the_timeout(sandbox, backend):
    """What moves is not ended by Timeout, however long it takes."""
    httpd = loop_httpd(sandbox, "Timeout 4\n" + route(backend))
    with adopted(httpd) as client:
        client.send_request("POST", "/app/x", [("Content-Length", "8")])
        for byte in b"dripping":
            assert client.quiet(0.6)
            client.send(bytes([byte]))
        assert client.read_response().text == "dripping"
        assert client.fetch("/short").text == "/short"


@TLS
def test_client_that_takes_nothing_of_the_response(sandbox, tls):
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=b"x" * 20_000_000))
    httpd = loop_httpd(sandbox, "Timeout 1\nSendBufferSize 16384\n" + route(backend), tls=tls)
    allow_complaints(httpd)
    with adopted(httpd, tls, receive_buffer=16384) as client:
        client.send_request("GET", "/app/x")
        backend.wait_for(lambda: backend.connections and backend.connections[-1].closed.is_set(), "the end", 15)
        response = client.read_response()
        assert not response.complete and len(response.body) < 20_000_000
    wait_until_threads_are_free(httpd)


def test_client_that_stops_sending_has_the_response_so_far(sandbox):
    """It has taken all that there was: the connection is closed in order."""

    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun")

    backend = sandbox.scripted("app", behave, read_bodies=False)
    httpd = loop_httpd(sandbox, "Timeout 1\n" + route(backend), access_log="%U %X")
    allow_complaints(httpd)
    with adopted(httpd) as client:
        client.send_request("POST", "/app/x", [("Content-Length", "100")])
        response = client.read_response()
        assert (response.complete, response.text) == (False, "begun")
        assert httpd.access_lines(2) == ["/adopt +", "/app/x -"]


def test_client_that_takes_nothing_of_a_response_that_is_complete(sandbox):
    """The member has long been free; the connection ends after Timeout."""
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=b"x" * 120_000))
    config = "Timeout 1\nSendBufferSize 4096\nKeepAliveTimeout 60\n"
    httpd = loop_httpd(sandbox, config + route(backend), access_log="%U %X")
    allow_complaints(httpd)
    with adopted(httpd, receive_buffer=4096) as client:
        client.send_request("GET", "/app/x")
        assert httpd.access_lines(2) == ["/adopt +", "/app/x X"]
        assert not client.read_response().complete


def test_client_that_reads_slowly_is_not_ended(sandbox):
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=b"x" * 600_000))
    httpd = loop_httpd(sandbox, "Timeout 4\nSendBufferSize 4096\n" + route(backend))
    with adopted(httpd, receive_buffer=4096) as client:
        client.send_request("GET", "/app/x")
        for _ in range(8):
            time.sleep(0.6)
            assert client.stream.fill(8192)
        assert client.read_response().complete
        assert client.fetch("/short").text == "/short"


@TLS
@pytest.mark.parametrize(
    "part", [b"GET /sh", b"GET /short HTTP/1.1\r\nHost: loc", b"GET /short HTTP/1.1\r\nHost: localhost\r\n"]
)
def test_head_that_is_never_finished(sandbox, tls, part):
    """A worker that waits for it in the end does so for Timeout."""
    pair = Pair(sandbox, "Timeout 1\n", tls=tls)
    for httpd in pair.httpds:
        allow_complaints(httpd)

    def run(client):
        client.send(part)
        return end_of(client)

    (looped, took), (threaded, _) = pair.outcomes(lambda client: seconds(run, client), tls)
    assert looped == threaded
    assert 0.9 < took < 15


@pytest.mark.parametrize("loops", ["1", "Off"])
def test_timeout_is_that_of_the_requests_host(sandbox, backend, loops):
    httpd = loop_httpd(
        sandbox,
        f"""
        <VirtualHost *:@PORT@>
            ServerName patient
            Timeout 30
            {route(backend)}
        </VirtualHost>
        <VirtualHost *:@PORT@>
            ServerName hasty
            Timeout 1
            {route(backend)}
        </VirtualHost>
        """,
        loops=loops,
    )
    allow_complaints(httpd)
    with connect(httpd) as client:
        assert client.fetch("/adopt", host="hasty").text == "/adopt"
        client.send_request("POST", "/app/x", [("Content-Length", "5")], host="patient")
        assert client.quiet(2.5)
        client.send(b"later")
        assert client.read_response().text == "later"
        sent = time.monotonic()
        client.send_request("POST", "/app/x", [("Content-Length", "5")], host="hasty")
        assert end_of(client) == (408, True) and 0.9 < time.monotonic() - sent < 15


# --- mod_reqtimeout ---------------------------------------------------------------------------------------------------


@TLS
@pytest.mark.parametrize("target", ["/app/x", "/index.html"])
def test_reqtimeout_of_heads(sandbox, backend, tls, target):
    """A head that drips: no single pause is long, all of them are."""
    pair = Pair(sandbox, "RequestReadTimeout header=2\n" + route(backend), modules=["reqtimeout"], tls=tls)
    for httpd in pair.httpds:
        allow_complaints(httpd)

    def run(client):
        client.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Dripping: ".encode())
        for _ in range(60):
            if not client.quiet(0.25):
                break
            client.send(b"d")
        return end_of(client)

    (looped, took), (threaded, _) = pair.outcomes(lambda client: seconds(run, client), tls)
    assert looped == threaded
    assert 1.9 < took < 12
    assert not backend.requests


@TLS
@pytest.mark.parametrize("how", ["silent", "dripping"])
def test_reqtimeout_of_bodies(sandbox, backend, tls, how):
    pair = Pair(sandbox, "RequestReadTimeout body=1\n" + route(backend), modules=["reqtimeout"], tls=tls)
    for httpd in pair.httpds:
        allow_complaints(httpd)

    def run(client):
        client.send_request("POST", "/app/x", [("Content-Length", "1000")])
        client.send(b"some")
        for _ in range(60):
            if not client.quiet(0.25):
                break
            if how == "dripping":
                client.send(b"d")
        return end_of(client)

    (looped, took), (threaded, _) = pair.outcomes(lambda client: seconds(run, client), tls)
    assert looped == threaded
    assert 0.9 < took < 12
    backend.wait_for(lambda: not backend.open_connections, "the member to be free", 5)


def test_reqtimeout_begins_with_each_request(sandbox, backend):
    """The pause between two requests is KeepAliveTimeout's; each body has its own time."""
    httpd = loop_httpd(
        sandbox, "RequestReadTimeout header=4 body=4\n" + route(backend), modules=["reqtimeout"], tls=False
    )
    with adopted(httpd) as client:
        for number in range(4):
            assert client.quiet(1.1)
            client.send_request("POST", "/app/x", [("Content-Length", "5")])
            client.send(b"numb")
            assert client.quiet(0.3)
            client.send(str(number).encode())
            assert client.read_response().text == f"numb{number}"
        assert client.quiet(4.5)
        assert client.fetch("/short").text == "/short"


def test_reqtimeout_with_a_minimal_rate(sandbox, backend):
    """Debian's own setting, faster: what comes quickly enough is not ended."""
    httpd = loop_httpd(
        sandbox,
        "RequestReadTimeout header=4-8,minrate=500 body=4,minrate=1000\n" + route(backend),
        modules=["reqtimeout"],
    )
    allow_complaints(httpd)
    with adopted(httpd) as client:
        client.send_request("POST", "/app/x", [("Content-Length", "20000")])
        for _ in range(20):
            assert client.quiet(0.1)
            client.send(b"q" * 1000)
        assert client.read_response().body == b"q" * 20_000
        client.send_request("POST", "/app/x", [("Content-Length", "20000")])
        for _ in range(80):
            if not client.quiet(0.2):
                break
            client.send(b"s" * 20)
        assert end_of(client) in [(408, True), (400, True), "closed"]


@TLS
def test_reqtimeout_is_not_that_of_the_request_before(sandbox, tls):
    """A client that has sent its next request, and takes its time with the answer to the one before."""
    gate = Gate()

    def wait_and_respond(exchange):
        gate.wait()
        exchange.respond(body=b"y" * 16_000)

    backend = sandbox.scripted("app", wait_and_respond)
    config = "SendBufferSize 4096\nTimeout 20\nRequestReadTimeout header=5 body=1\n" + route(backend)
    httpd = loop_httpd(sandbox, config, modules=["reqtimeout"], tls=tls)
    with adopted(httpd, tls, receive_buffer=4096) as client:
        client.send_request("GET", "/app/first")
        backend.wait_for(lambda: backend.requests, "the first request")
        client.send_request("POST", "/app/second", body=b"hello")
        assert client.quiet(0.2)
        gate.open()
        time.sleep(2)  # longer than a body may take
        for _ in range(2):
            assert client.read_response().body == b"y" * 16_000
