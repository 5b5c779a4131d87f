# SPDX-License-Identifier: Apache-2.0
"""Requests that are sent before the last one is answered, on connections that live on a loop: each is answered, in the
order of asking, whoever serves it. And Expect: 100-continue, where a client does wait."""
import os
import time

import pytest

from udr_client import chunk
from udr_loops import OTHERS, Pair, adopted, comparable, connect, loop_httpd, route, wait_until_threads_are_free

TLS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])

CGI = """#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\nscript %s' "$QUERY_STRING"
"""

CONFIG = OTHERS + """
ErrorDocument 403 "not for you
"""


@pytest.fixture(name="backend", scope="module")
def _backend(module_sandbox):
    def behave(exchange):
        target = exchange.request.target
        if "slow" in target:
            time.sleep(0.02)
        if "chunked" in target:
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in (target.encode(), b"x" * 3000):
                exchange.send(chunk(piece))
            exchange.send(b"0\r\n\r\n")
        else:
            exchange.respond(404 if "missing" in target else 200, body=exchange.request.body or target)

    return module_sandbox.scripted("app", behave)


@pytest.fixture(name="pair", scope="module")
def _pair(module_sandbox, backend):
    pair = Pair(module_sandbox, CONFIG + route(backend), modules=["cgid", "alias"], tls=True)
    (pair.site / "file.txt").write_text("a file\n")
    (pair.site / "errors.txt").write_text("nothing there\n")
    for name in ("file.txt", "errors.txt"):
        os.utime(pair.site / name, (0, 1_600_000_000))  # what is new has a weak ETag, for a second
    for httpd in pair.httpds:
        scripts = httpd.root / "cgi"
        scripts.mkdir(mode=0o755)
        (scripts / "echo").write_text(CGI)
        (scripts / "echo").chmod(0o755)
    return pair


ROUTED = ("GET", "/app/{}", b"")
SLOW = ("GET", "/app/slow/{}", b"")
CHUNKED = ("GET", "/app/chunked/{}", b"")
POSTED = ("POST", "/app/posted", b"number {}")
MISSING = ("GET", "/app/missing/{}", b"")
FILE = ("GET", "/file.txt?{}", b"")
SCRIPT = ("GET", "/cgi/echo?{}", b"")
ABSENT = ("GET", "/absent/{}", b"")
FORBIDDEN = ("GET", "/forbidden/{}", b"")
HEAD = ("HEAD", "/app/{}", b"")

MIXES = {
    "routed": [ROUTED],
    "routed and slow": [ROUTED, SLOW],
    "slow": [SLOW],
    "bodies": [POSTED, ROUTED],
    "heads": [HEAD, ROUTED, HEAD],
    "chunked": [CHUNKED, ROUTED],
    "files": [FILE],
    "routed and files": [ROUTED, FILE],
    "scripts": [SCRIPT, ROUTED],
    "error pages": [ABSENT, ROUTED, FORBIDDEN],
    "all": [ROUTED, SLOW, FILE, POSTED, SCRIPT, ABSENT, CHUNKED, FORBIDDEN, MISSING, HEAD],
}


def requests(mix, count):
    """The bytes of so many requests, and the method of each."""
    data, methods = b"", []
    for number in range(count):
        method, path, body = mix[number % len(mix)]
        body = body.decode().format(number).encode()
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        data += f"{method} {path.format(number)} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n".encode() + body
        methods.append(method)
    return data, methods


def read_all(client, methods):
    return [comparable(client.read_response(method)) for method in methods]


def allow_what_is_refused(pair):
    for httpd in pair.httpds:
        httpd.log.allow(r"AH01630")


@TLS
@pytest.mark.parametrize("count", [2, 17, 40])
@pytest.mark.parametrize("name", MIXES)
def test_all_are_answered_in_order(pair, tls, count, name):
    """Sent at once, in one piece; the connection goes on behind them."""
    allow_what_is_refused(pair)
    data, methods = requests(MIXES[name], count)

    def run(client):
        client.send(data)
        answers = read_all(client, methods)
        return answers, client.fetch("/short").text

    looped, threaded = pair.outcomes(run, tls)
    assert looped == threaded
    assert looped[1] == "/short"
    kind, number = MIXES[name][(count - 1) % len(MIXES[name])], str(count - 1).encode()
    if kind in (ROUTED, SLOW, POSTED, SCRIPT):
        assert looped[0][-1][3].endswith(number)


@pytest.mark.parametrize("size", [1, 7, 100, 8191, 8192, 8193])
def test_pieces_that_do_not_end_where_requests_do(pair, size):
    allow_what_is_refused(pair)
    data, methods = requests(MIXES["all"], 40 if size > 1 else 10)

    def run(client):
        for start in range(0, len(data), size):
            client.send(data[start : start + size])
        return read_all(client, methods)

    looped, threaded = pair.outcomes(run)
    assert looped == threaded


def test_requests_in_the_first_bytes_of_a_connection(pair):
    """Before it is adopted; what has been read of the others goes along."""
    data, methods = requests(MIXES["slow"], 20)
    answers = []
    for httpd in pair.httpds:
        with connect(httpd) as client:
            client.send(data)
            answers.append(read_all(client, methods))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("count", [15, 16, 17, 200])
def test_requests_that_wait_for_nothing(pair, count):
    """Answered where they are read (RFC 9110, 7.6.2: the last hop), so that one follows the other without a pause."""
    data = b"OPTIONS /app/x HTTP/1.1\r\nHost: localhost\r\nMax-Forwards: 0\r\n\r\n" * count

    def run(client):
        client.send(data)
        answers = read_all(client, ["OPTIONS"] * count)
        return answers, client.fetch("/short").text

    looped, threaded = pair.outcomes(run)
    assert looped == threaded
    assert {answer[0] for answer in looped[0]} == {200} and looped[1] == "/short"


def test_client_that_pipelines_without_end_does_not_keep_others_waiting(sandbox, backend):
    """They have their turn between its requests."""
    httpd = loop_httpd(sandbox, route(backend))
    with adopted(httpd) as busy, adopted(httpd) as other:
        data, methods = requests([ROUTED], 2000)
        busy.send(data)
        assert other.fetch("/short").text == "/short"
        assert [len(answer) for answer in read_all(busy, methods)] == [7] * 2000


def test_client_that_pipelines_and_reads_nothing(sandbox):
    """It is not read from while it does not read: no more is asked of the member than the buffers take."""
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=b"x" * 50_000))
    httpd = loop_httpd(sandbox, "SendBufferSize 16384\n" + route(backend))
    with adopted(httpd, receive_buffer=16384) as client:
        data, methods = requests([ROUTED], 60)
        client.send(data)
        backend.wait_for_requests(1)
        wait_until_threads_are_free(httpd)
        backend.settle()
        assert len(backend.requests) < 30
        assert [len(answer[3]) for answer in read_all(client, methods)] == [50_000] * 60


@pytest.mark.parametrize("fields", ["", "Host: localhost\r\nTransfer-Encoding: x\r\n"], ids=["no host", "odd coding"])
def test_refused_request_behind_answers_that_are_not_read(sandbox, fields):
    """With some number of them the client's socket has no room left for the refusal: that holds up nobody else."""
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=b"y" * 700))
    config = "SendBufferSize 4096\nTimeout 90\nMaxKeepAliveRequests 0\n" + route(backend)
    httpd = loop_httpd(sandbox, config)
    refused = f"GET /app/x HTTP/1.1\r\n{fields}\r\n".encode()
    clients = []
    with adopted(httpd) as other:
        for count in range(1, 40):
            clients.append(adopted(httpd, receive_buffer=4096))
            clients[-1].send(b"GET /app/x HTTP/1.1\r\nHost: localhost\r\n\r\n" * count + refused)
            assert other.fetch("/short").text == "/short"
    for count, client in enumerate(clients, 1):
        assert [client.read_response().body for _ in range(count)] == [b"y" * 700] * count
        assert client.read_response().status in (400, 501)
        assert client.closed_by_server()
        client.close()


@pytest.mark.parametrize("setting, count", [("FlushMaxPipelined 0", 0), ("FlushMaxThreshold 4096", 20)])
def test_core_that_waits_for_clients_does_so_on_no_loop(sandbox, setting, count):
    """What httpd waits for at the end of each answer, or within a long head, holds up nobody else."""
    fields = [(f"X-Field-{number}", "v" * 700) for number in range(count)]
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=b"y" * 16_000, fields=fields))
    config = f"SendBufferSize 4096\nTimeout 90\n{setting}\n" + route(backend)
    httpd = loop_httpd(sandbox, config)
    with adopted(httpd, receive_buffer=4096) as client, adopted(httpd) as other:
        client.send_request("GET", "/app/x")
        backend.wait_for_requests(1)
        for _ in range(20):
            assert other.fetch("/short").text == "/short"
        assert client.read_response().body == b"y" * 16_000


# --- Expect: 100-continue ---------------------------------------------------------------------------------------------


@TLS
def test_expectations_on_one_connection(pair, tls):
    """Each is answered before the body is sent; each body arrives."""

    def run(client):
        outcome = []
        for number in range(2):
            body = f"body {number}".encode() * 1000
            client.send_request("POST", "/app/x", [("Expect", "100-continue"), ("Content-Length", str(len(body)))])
            interim = client.read_interim()
            client.send(body)
            response = client.read_response()
            outcome.append((interim.status, response.status, response.body == body))
        return outcome, client.fetch("/short").text

    looped, threaded = pair.outcomes(run, tls)
    assert looped == threaded == ([(100, 200, True)] * 2, "/short")


def test_refused_expectation(sandbox):
    """A final response comes instead, and the connection ends: the body might come or not."""

    def behave(exchange):
        if exchange.request.method == "POST":
            exchange.respond(403, body="no")
            exchange.close()
        else:
            exchange.respond(body="yes")

    backend = sandbox.scripted("app", behave, read_bodies=False)
    httpd = loop_httpd(sandbox, route(backend))
    with adopted(httpd) as client:
        assert client.fetch("/app/x").text == "yes"
        client.send_request("POST", "/app/x", [("Expect", "100-continue"), ("Content-Length", "1000")])
        response = client.read_response()
        assert (response.status, response.text, response.interim) == (403, "no", [])
        assert response.get("Connection") == "close" and client.closed_by_server()


def test_expectation_of_a_file(pair):
    """One that takes no body, served by httpd itself."""

    def run(client):
        client.send_request("POST", "/file.txt", [("Expect", "100-continue"), ("Content-Length", "3")])
        interim = client.read_interim()
        client.send(b"abc")
        return interim.status, comparable(client.read_response()), client.fetch("/short").text

    looped, threaded = pair.outcomes(run)
    assert looped == threaded


def test_waiting_for_an_expected_body_holds_no_thread(sandbox, backend):
    httpd = loop_httpd(sandbox, route(backend))
    clients = [adopted(httpd) for _ in range(12)]
    for client in clients:
        client.send_request("POST", "/app/x", [("Expect", "100-continue"), ("Content-Length", "5")])
    assert [client.read_interim().status for client in clients] == [100] * 12
    wait_until_threads_are_free(httpd)
    for client in clients:
        client.send(b"hello")
        assert client.read_response().text == "hello"
        client.close()


def test_early_hints_in_a_pipeline(sandbox):
    """Interim responses stand before the final one they belong to."""

    def behave(exchange):
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: <" + exchange.request.target.encode() + b">\r\n\r\n")
        exchange.respond(body=exchange.request.target)

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, route(backend))
    with adopted(httpd) as client:
        data, methods = requests([ROUTED], 10)
        client.send(data)
        for number, method in enumerate(methods):
            response = client.read_response(method)
            assert response.text == f"/app/{number}"
            assert [(one.status, one.get("Link")) for one in response.interim] == [(103, f"</app/{number}>")]
