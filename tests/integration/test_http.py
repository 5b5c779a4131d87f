# SPDX-License-Identifier: Apache-2.0
"""HTTP on both sides, to the byte: bodies, framing, interim responses, trailers, streaming."""
import os
import threading

import pytest

from udr_client import Client, chunk, fetch
from udr_processes import wait_until
from udr_wire import Closed


class Stage:
    """A backend that does, for each path, what the test put there."""

    def __init__(self, sandbox):
        self.acts = {}
        self.server = sandbox.scripted("stage", self._behave, read_bodies=False)

    def _behave(self, exchange):
        act = self.acts.get(exchange.request.target)
        if act:
            act(exchange)
        else:
            exchange.read_body()
            exchange.respond(body=exchange.request.body, fields=[("X-Framing", exchange.request.framing)])

    def play(self, path, act):
        self.acts[path] = act

    def last(self):
        return self.server.requests[-1]


@pytest.fixture(scope="module")
def stage(module_sandbox):
    return Stage(module_sandbox)


@pytest.fixture(scope="module")
def httpd(module_sandbox, stage):
    return module_sandbox.httpd(
        f"UDSRoute /rev/ !\nUDSRoute / unix:{stage.server.address}|http://localhost/ timeout=20"
    )


def sending(data, close=False):
    """An act: reads the request's body, then sends these bytes."""

    def act(exchange):
        exchange.read_body()
        exchange.send(data)
        if close:
            exchange.close()

    return act


# --- request bodies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 100, 8191, 8192, 8193, 65535, 65536, 65537, 3000000])
def test_body_of_known_length(httpd, stage, size):
    body = os.urandom(size)
    response = fetch(httpd.port, "/x", "POST", body=body)
    assert response.body == body
    assert stage.last().framing == "length" and stage.last().get("Content-Length") == str(size)


@pytest.mark.parametrize("sizes", [[1], [1, 1, 1], [8192], [100000], [1, 65536, 3, 70000]])
def test_chunked_body(httpd, stage, sizes):
    pieces = [os.urandom(size) for size in sizes]
    response = fetch(httpd.port, "/x", "POST", body=pieces)
    assert response.body == b"".join(pieces)
    assert stage.last().complete and stage.last().framing in ("chunked", "length")


def test_empty_chunked_body(httpd, stage):
    response = fetch(httpd.port, "/x", "POST", body=[])
    assert response.status == 200
    assert stage.last().complete and stage.last().body == b""


def test_empty_body_of_known_length(httpd, stage):
    assert fetch(httpd.port, "/x", "POST", body=b"").status == 200
    assert stage.last().get("Content-Length") == "0"


def test_request_without_body_has_no_framing(httpd, stage):
    assert fetch(httpd.port, "/x").status == 200
    assert stage.last().framing == "none"
    assert not stage.last().has("Content-Length") and not stage.last().has("Transfer-Encoding")


def test_get_with_a_body(httpd, stage):
    """Unusual, but it has one: it must arrive as a body."""
    assert fetch(httpd.port, "/x", "GET", body=b"hello").body == b"hello"
    assert stage.last().method == "GET"


def test_chunked_body_is_not_collected_first(httpd, stage):
    """The first chunk is at the backend before the last is sent: nothing waits for the end of the body."""
    first = threading.Event()

    def act(exchange):
        while len(exchange.connection.stream.buffer) < 5:
            exchange.connection.stream.fill()
        first.set()
        exchange.read_body()
        exchange.respond(body=exchange.request.body)

    stage.play("/streamed", act)
    with Client(httpd.port) as client:
        client.send(
            b"POST /streamed HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 1000)
        )
        assert first.wait(10), "the first chunk was kept back"
        client.send(chunk(b"y" * 1000) + b"0\r\n\r\n")
        assert client.read_response().body == b"x" * 1000 + b"y" * 1000


def test_body_over_limitrequestbody(sandbox):
    """413 before the backend gets the whole."""
    backend = sandbox.scripted("limit")
    httpd = sandbox.httpd(f"LimitRequestBody 1000\nUDSRoute / unix:{backend.address}|http://localhost/")
    httpd.log.allow(r"AH\d{5}|UDR\d{4}.*(body|limit|client)")
    assert fetch(httpd.port, "/x", "POST", body=b"x" * 1000).status == 200
    assert fetch(httpd.port, "/x", "POST", body=b"x" * 1001).status == 413
    assert fetch(httpd.port, "/x", "POST", body=[b"x" * 1001]).status == 413
    backend.settle()
    assert not [request for request in backend.requests if request.complete and len(request.body) > 1000]


# --- Expect: 100-continue ---------------------------------------------------------------------------------------------


EXPECTING = b"POST %s HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"


def test_continue_of_the_backend_reaches_the_client_once(httpd, stage):
    def act(exchange):
        assert exchange.request.get("Expect").lower() == "100-continue"
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.read_body()
        exchange.respond(body=exchange.request.body)

    stage.play("/continue", act)
    with Client(httpd.port) as client:
        client.send(EXPECTING % b"/continue")
        assert client.read_interim().status == 100
        client.send(b"hello")
        response = client.read_response()
        assert (response.body, response.interim) == (b"hello", [])
        assert client.fetch("/x").status == 200


def test_body_is_not_asked_for_before_the_backend_says_so(httpd, stage):
    go = threading.Event()

    def act(exchange):
        go.wait(10)
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        exchange.read_body()
        exchange.respond(body=exchange.request.body)

    stage.play("/later", act)
    with Client(httpd.port) as client:
        client.send(EXPECTING % b"/later")
        assert client.quiet(0.3), "100 Continue before the backend said so"
        go.set()
        assert client.read_interim().status == 100
        client.send(b"hello")
        assert client.read_response().body == b"hello"


def test_refusal_without_continue(httpd, stage):
    """The final status comes at once; the body is neither asked for nor sent on."""
    got = []

    def act(exchange):
        exchange.respond(403, b"no", fields=[("Connection", "close")])
        exchange.connection.sock.settimeout(5)
        got.append(bytes(exchange.connection.stream.buffer) + exchange.connection.sock.recv(100))
        exchange.close()

    stage.play("/refused", act)
    with Client(httpd.port) as client:
        client.send(EXPECTING % b"/refused")
        response = client.read_response()
        assert (response.status, response.body, response.interim) == (403, b"no", [])
        # The client may not send its body any more. Either it knows by the close, or the next bytes are a request.
        if client.reusable:
            assert client.fetch("/x").status == 200
    wait_until(lambda: got == [b""], f"the backend to get nothing: {got}")


def test_client_that_does_not_wait_for_continue(httpd, stage):
    with Client(httpd.port) as client:
        client.send(EXPECTING % b"/x" + b"hello")
        response = client.read_response()
        assert response.body == b"hello" and response.status == 200
        assert client.fetch("/x").status == 200


def test_backend_that_knows_no_continue(httpd, stage):
    """It waits for the body in silence; so does the client, for a second at most, as RFC 9110 (10.1.1) allows it."""

    def act(exchange):
        exchange.read_body()
        exchange.respond(body=exchange.request.body)

    stage.play("/silent", act)
    with Client(httpd.port) as client:
        client.send(EXPECTING % b"/silent")
        client.quiet(0.5)
        client.send(b"hello")
        assert client.read_response().body == b"hello"


# --- interim responses ------------------------------------------------------------------------------------------------


def test_interim_responses_in_order(httpd, stage):
    stage.play(
        "/interim",
        sending(
            b"HTTP/1.1 102 Processing\r\n\r\n"
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"
            b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        ),
    )
    response = fetch(httpd.port, "/interim")
    assert response.body == b"ok"
    assert [(interim.status, interim.get("Link")) for interim in response.interim] == [
        (102, None),
        (103, "</a>"),
        (103, "</b>"),
    ]
    assert not any(interim.has("X-Hop") or interim.has("Connection") for interim in response.interim)


def test_interim_response_arrives_before_the_final_one(httpd, stage):
    go = threading.Event()

    def act(exchange):
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        go.wait(10)
        exchange.respond(body="final")

    stage.play("/hints", act)
    with Client(httpd.port) as client:
        client.send_request("GET", "/hints")
        assert client.read_interim().get("Link") == "</a>"
        go.set()
        assert client.read_response().text == "final"


def test_http_1_0_client_gets_no_interim_response(httpd, stage):
    stage.play(
        "/old", sending(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    )
    response = fetch(httpd.port, "/old", version="1.0")
    assert response.body == b"ok" and response.interim == []


# --- response framing -------------------------------------------------------------------------------------------------


def test_unknown_length_becomes_chunks(httpd, stage):
    stage.play("/to-close", sending(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", close=True))
    with Client(httpd.port) as client:
        response = client.fetch("/to-close")
        assert (response.framing, response.body) == ("chunked", b"until the end")
        assert client.fetch("/x").status == 200


def test_response_of_an_http_1_0_backend(httpd, stage):
    stage.play("/old-backend", sending(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold", close=True))
    response = fetch(httpd.port, "/old-backend")
    assert (response.body, response.version) == (b"old", "1.1")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_head(httpd, stage, head):
    """No body follows whatever the fields say; the length is the one a GET would have."""
    stage.play("/head", sending(head))
    with Client(httpd.port) as client:
        response = client.fetch("/head", "HEAD")
        assert response.status == 200 and response.body == b""
        if b"1234" in head:
            assert response.get("Content-Length") == "1234"
        assert client.fetch("/x").status == 200


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
        b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
        b'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: "a"\r\n\r\n',
    ],
)
def test_status_without_body(httpd, stage, head):
    stage.play("/bare", sending(head))
    with Client(httpd.port) as client:
        response = client.fetch("/bare")
        assert response.status in (204, 304) and response.framing == "none"
        assert client.fetch("/x").status == 200


@pytest.mark.parametrize(
    "status,reason",
    [(200, "Fine"), (299, "Odd"), (404, "Gone Fishing"), (418, "I'm a teapot"), (499, ""), (599, "End")],
)
def test_status_and_reason_are_passed_on(httpd, stage, status, reason):
    stage.play("/status", sending(f"HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\n\r\n".encode()))
    response = fetch(httpd.port, "/status")
    assert response.status == status
    assert response.reason == reason


def test_connection_close_of_the_backend_is_not_the_clients(httpd, stage):
    stage.play("/closing", sending(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", close=True))
    with Client(httpd.port) as client:
        for _ in range(3):
            response = client.fetch("/closing")
            assert response.body == b"ok" and client.reusable
            assert "close" not in str(response.all("Connection")).lower()


def cut_chunks(exchange):
    """Sends a chunked response that breaks off."""
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello"))
    exchange.close()


def test_response_to_a_closing_client_cut_off(httpd, stage):
    """`Connection: close` must not turn chunks into a body that ends with the connection: its cut would not be seen."""
    stage.play("/cut", cut_chunks)
    response = fetch(httpd.port, "/cut", fields=[("Connection", "close")])
    assert response.status == 502 or not response.complete
    httpd.log.expect(r"UDR\d{4}.*closed")


def test_response_before_the_body_is_sent(httpd, stage):
    """The backend answers while the client still sends: the answer is passed on at once and whole."""

    def act(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"early "))
        exchange.read_body()
        exchange.send(chunk(exchange.request.body) + b"0\r\n\r\n")

    stage.play("/early", act)
    with Client(httpd.port) as client:
        client.send(b"POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello")
        read_until(client, b"early")
        client.send(b"world")
        response = client.read_response()
    assert response.body == b"early helloworld" and response.complete


def test_response_to_an_http_1_0_client_cut_off(httpd, stage):
    """It knows no chunks: a reset is the only sign there is. It may overtake all that was sent before."""
    stage.play("/cut", cut_chunks)
    with Client(httpd.port) as client:
        try:
            response = client.fetch("/cut", version="1.0")
            assert response.status == 502 or not response.complete
        except Closed:
            assert client.stream.reset
    httpd.log.expect(r"UDR\d{4}.*closed")


def test_response_before_the_body_is_sent_cut_off(httpd, stage):
    stage.play("/early-cut", cut_chunks)
    with Client(httpd.port) as client:
        client.send(b"POST /early-cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello")
        response = client.read_response()
    assert response.status == 502 or not response.complete
    httpd.log.expect(r"UDR\d{4}.*closed")


def test_response_to_an_expectation_cut_off(httpd, stage):
    """Refused without 100 Continue, and the refusal breaks off."""
    stage.play("/expect-cut", cut_chunks)
    with Client(httpd.port) as client:
        client.send(EXPECTING % b"/expect-cut")
        response = client.read_response()
    assert response.status == 502 or not response.complete
    httpd.log.expect(r"UDR\d{4}.*closed")


# --- trailers ---------------------------------------------------------------------------------------------------------


TRAILED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
    b"2\r\nok\r\n0\r\nX-T: 1\r\nX-T: 2\r\nX-U: \xc3\xa4\r\n\r\n"
)


def test_response_trailers(httpd, stage):
    stage.play("/trailed", sending(TRAILED))
    with Client(httpd.port) as client:
        response = client.fetch("/trailed", fields=[("TE", "trailers"), ("Connection", "TE")])
        assert response.body == b"ok"
        assert [value for name, value in response.trailers if name == "X-T"] == ["1", "2"]
        assert response.trailer("X-U").encode("latin-1") == b"\xc3\xa4"
        assert not response.has("X-T")
        assert client.fetch("/x").status == 200


def test_trailers_do_not_disturb_an_http_1_0_client(httpd, stage):
    stage.play("/trailed", sending(TRAILED))
    response = fetch(httpd.port, "/trailed", version="1.0")
    assert response.body == b"ok" and response.trailers == []


def test_request_trailers(httpd, stage):
    with Client(httpd.port) as client:
        client.send(
            b"POST /x HTTP/1.1\r\nHost: localhost\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
        )
        assert client.read_response().body == b"hello"
    assert stage.last().trailers == [("X-Sum", "1")]
    assert not stage.last().has("X-Sum")


def test_request_trailers_are_no_headers(httpd, stage):
    with Client(httpd.port) as client:
        client.send(
            b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\nHost: evil\r\nContent-Length: 3\r\nX-Forwarded-For: 1.2.3.4\r\nProxy: evil\r\n\r\n"
        )
        assert client.read_response().body == b"hello"
    request = stage.last()
    assert request.get("Host") == "localhost" and request.get("X-Forwarded-For") == "127.0.0.1"
    assert (
        request.trailer("Host") is None
        and request.trailer("Content-Length") is None
        and request.trailer("Proxy") is None
    )


# --- streaming --------------------------------------------------------------------------------------------------------


def read_until(client, text):
    wait_until(lambda: text in client.stream.buffer or not client.stream.fill(), f"{text} at the client")
    assert text in client.stream.buffer


def stepwise(steps):
    """An act: sends the next event of a stream for each step that the test allows."""

    def act(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number, step in enumerate(steps):
            assert step.wait(20)
            exchange.send(chunk(b"data: %d\n\n" % number))
        exchange.send(b"0\r\n\r\n")

    return act


def test_each_piece_is_passed_on_as_it_comes(httpd, stage):
    """Nothing is kept back for more to come: the next event is sent only when this one has arrived."""
    steps = [threading.Event() for _ in range(20)]
    stage.play("/events", stepwise(steps))
    with Client(httpd.port) as client:
        client.send_request("GET", "/events")
        for number, step in enumerate(steps):
            step.set()
            read_until(client, b"data: %d\n\n" % number)
        assert client.read_response().complete


def test_the_head_is_passed_on_without_a_body(httpd, stage):
    """A stream that has begun but has no event yet: EventSource waits for the head to say it is open."""
    step = threading.Event()
    stage.play("/opening", stepwise([step]))
    with Client(httpd.port) as client:
        client.send_request("GET", "/opening")
        read_until(client, b"\r\n\r\n")
        step.set()
        assert client.read_response().complete


def test_pieces_of_a_body_of_known_length_are_passed_on_as_they_come(httpd, stage):
    go = threading.Event()

    def act(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        assert go.wait(20)
        exchange.send(b"other")

    stage.play("/halves", act)
    with Client(httpd.port) as client:
        client.send_request("GET", "/halves")
        read_until(client, b"first")
        go.set()
        assert client.read_response().body == b"firstother"


@pytest.mark.parametrize(
    "parameter",
    ["flushpackets=on", "flushpackets=off", "flushpackets=auto flushwait=5", "iobuffersize=4K", "iobuffersize=1M"],
)
def test_flushing_parameters_change_no_byte(sandbox, parameter):
    body = os.urandom(500000)
    backend = sandbox.scripted("flush", lambda exchange: exchange.respond(body=body))
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/ {parameter}")
    for _ in range(3):
        assert fetch(httpd.port, "/x").body == body


def test_large_response_in_odd_pieces(httpd, stage):
    body = os.urandom(3000000)

    def act(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        position, size = 0, 1
        while position < len(body):
            exchange.send(chunk(body[position : position + size]))
            position, size = position + size, size * 3 % 100003
        exchange.send(b"0\r\n\r\n")

    stage.play("/pieces", act)
    assert fetch(httpd.port, "/pieces").body == body
