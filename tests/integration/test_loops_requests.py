# SPDX-License-Identifier: Apache-2.0
"""Requests of all kinds on connections that live on a loop, the malformed and the excessive among them: httpd's limits
hold, and every answer is the one that an httpd without loops gives."""
import os
import time

import pytest

from udr_loops import Pair, adopted, converse, route

LIMITS = """
LimitRequestLine 400
LimitRequestFieldSize 300
LimitRequestFields 20
<Location /app/small>
    LimitRequestBody 1000
</Location>
"""


@pytest.fixture(name="backend", scope="module")
def _backend(module_sandbox):
    def behave(exchange):
        echo = [("X-Method", exchange.request.method), ("X-Length", str(len(exchange.request.body)))]
        exchange.respond(body=exchange.request.target, fields=echo)

    return module_sandbox.scripted("app", behave, tolerant=False)


def make_pair(sandbox, config):
    pair = Pair(sandbox, config, modules=["dir", "alias"])
    (pair.site / "index.html").write_text("the index\n")
    (pair.site / "data.txt").write_text("0123456789" * 500)
    for name in ("index.html", "data.txt"):
        os.utime(pair.site / name, (0, 1_600_000_000))  # what is new has a weak ETag, for a second
    return pair


@pytest.fixture(name="limited", scope="module")
def _limited(module_sandbox, backend):
    return make_pair(module_sandbox, LIMITS + route(backend))


@pytest.fixture(name="usual", scope="module")
def _usual(module_sandbox, backend):
    return make_pair(module_sandbox, route(backend))


def allow_httpds_own_complaints(pair):
    for httpd in pair.httpds:
        httpd.log.allow(r"\[core:error\]|AH0\d{4}:|UDR\d{4}.*(body|client)")


def request(line="GET /app/x HTTP/1.1", *fields, body=b"", host="Host: localhost"):
    head = [line, *([host] if host else []), *fields]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def of_length(length, path="/app/"):
    """A request line of that length."""
    return f"GET {path}{'x' * (length - len(f'GET {path} HTTP/1.1'))} HTTP/1.1"


LIMITED = {
    "line at the limit": (request(of_length(398)), 200),
    "line one over": (request(of_length(402)), 414),
    "line far over": (request(of_length(5000)), 414),
    "line of a file over": (request(of_length(402, "/")), 414),
    "line over, without an end": (b"GET /app/" + b"x" * 9000, 414),
    "field at the limit": (request("GET /app/x HTTP/1.1", "X-A: " + "y" * 290), 200),
    "field over": (request("GET /app/x HTTP/1.1", "X-A: " + "y" * 300), 400),
    "field far over": (request("GET /app/x HTTP/1.1", "X-A: " + "y" * 9000), 400),
    "field over, of a file": (request("GET /data.txt HTTP/1.1", "X-A: " + "y" * 300), 400),
    "as many fields as allowed": (request("GET /app/x HTTP/1.1", *[f"X-{n}: y" for n in range(19)]), 200),
    "one field more": (request("GET /app/x HTTP/1.1", *[f"X-{n}: y" for n in range(20)]), 400),
    "body at the limit": (request("POST /app/small HTTP/1.1", "Content-Length: 1000", body=b"z" * 1000), 200),
    "body over": (request("POST /app/small HTTP/1.1", "Content-Length: 1001", body=b"z" * 1001), 413),
    "chunked body over": (
        request(
            "POST /app/small HTTP/1.1", "Transfer-Encoding: chunked", body=b"5dc\r\n" + b"z" * 1500 + b"\r\n0\r\n\r\n"
        ),
        413,
    ),
}

USUAL = {
    "get": (request(), 200),
    "head": (request("HEAD /app/x HTTP/1.1"), 200),
    "options": (request("OPTIONS /app/x HTTP/1.1"), 200),
    "options of the server": (request("OPTIONS * HTTP/1.1"), 200),
    "trace": (request("TRACE /app/x HTTP/1.1"), 200),
    "unknown method": (request("BREW /app/x HTTP/1.1"), 200),
    "unknown method, file": (request("BREW /data.txt HTTP/1.1"), 501),
    "put to a file": (request("PUT /data.txt HTTP/1.1", "Content-Length: 3", body=b"abc"), 405),
    "post with length": (request("POST /app/x HTTP/1.1", "Content-Length: 3", body=b"abc"), 200),
    "post in chunks": (
        request("POST /app/x HTTP/1.1", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
        200,
    ),
    "post with an empty body": (request("POST /app/x HTTP/1.1", "Content-Length: 0"), 200),
    "large head": (request("GET /app/x HTTP/1.1", *[f"X-{n}: {'y' * 1000}" for n in range(30)]), 200),
    "head of 8192 bytes": (request("GET /app/x HTTP/1.1", "X-A: " + "y" * 4000, "X-B: " + "z" * 4139), 200),
    "file": (request("GET /data.txt HTTP/1.1"), 200),
    "range of a file": (request("GET /data.txt HTTP/1.1", "Range: bytes=10-19,30-39"), 206),
    "range that is none": (request("GET /data.txt HTTP/1.1", "Range: bytes=99999-"), 416),
    "not modified": (request("GET /data.txt HTTP/1.1", "If-None-Match: *"), 304),
    "precondition failed": (request("GET /data.txt HTTP/1.1", 'If-Match: "other"'), 412),
    "index": (request("GET / HTTP/1.1"), 200),
    "absent file": (request("GET /absent HTTP/1.1"), 404),
    "absolute form": (request("GET http://localhost/app/x HTTP/1.1"), 200),
    "query": (request("GET /app/x?a=b&c=%20 HTTP/1.1"), 200),
    "blank lines before": (b"\r\n\r\n\r\n" + request(), 200),
    "many blank lines before": (b"\r\n" * 50 + request(), None),
    "bare line feeds": (b"GET /app/x HTTP/1.1\nHost: localhost\n\n", 400),
    "HTTP/0.9": (b"GET /app/x\r\n", None),
    "HTTP/2.0": (request("GET /app/x HTTP/2.0"), None),
    "HTTP/1.2": (request("GET /app/x HTTP/1.2"), None),
    "no Host": (request(host=None), 400),
    "two Hosts": (request("GET /app/x HTTP/1.1", "Host: other"), 400),
    "bad Host": (request(host="Host: a b"), 400),
    "space before the colon": (request("GET /app/x HTTP/1.1", "X-A : b"), 400),
    "folded field": (request("GET /app/x HTTP/1.1", "X-A: b\r\n c"), None),
    "two lengths": (request("POST /app/x HTTP/1.1", "Content-Length: 1", "Content-Length: 2", body=b"ab"), 400),
    "length and chunks": (
        request("POST /app/x HTTP/1.1", "Content-Length: 3", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        None,
    ),
    "bad length": (request("POST /app/x HTTP/1.1", "Content-Length: -1", body=b"ab"), 400),
    "bad chunk": (request("POST /app/x HTTP/1.1", "Transfer-Encoding: chunked", body=b"xyz\r\nab\r\n0\r\n\r\n"), 400),
    "unknown coding": (request("POST /app/x HTTP/1.1", "Transfer-Encoding: rot13", body=b"ab"), None),
    "encoded NUL": (request("GET /app/%00 HTTP/1.1"), None),
    "encoded slash": (request("GET /app/a%2fb HTTP/1.1"), None),
    "dots": (request("GET /app/../data.txt HTTP/1.1"), 200),
    "too many dots": (request("GET /../../x HTTP/1.1"), 400),
    "unknown expectation": (request("GET /app/x HTTP/1.1", "Expect: miracles"), 417),
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "no version that is one": (request("GET /app/x HTTP/x"), None),
    "control character in a field": (request("GET /app/x HTTP/1.1", "X-A: b\x01c"), 400),
    "name that is too long for a file": (request(f"GET /{'x' * 300} HTTP/1.1"), 403),
}


def assert_same(pair, data, status):
    allow_httpds_own_complaints(pair)
    method = "HEAD" if data.startswith(b"HEAD") else "GET"
    looped, threaded = pair.outcomes(lambda client: converse(client, data, [method]))
    assert looped == threaded
    if status is not None:
        assert looped[0][0] == status, looped


def assert_same_in_pieces(pair, data, status):
    """The head comes bit by bit, so that a look at it finds a part; the last byte of the head comes last."""
    allow_httpds_own_complaints(pair)
    method = "HEAD" if data.startswith(b"HEAD") else "GET"
    cuts = sorted({1, len(data) // 3, max(data.find(b"\r\n\r\n") + 3, 2), len(data) - 1} - {0})
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)]) if start < end]
    looped, threaded = pair.outcomes(lambda client: converse(client, pieces, [method]))
    assert looped == threaded
    if status is not None:
        assert looped[0][0] == status, looped


@pytest.mark.parametrize("name", LIMITED)
def test_limits(limited, name):
    assert_same(limited, *LIMITED[name])


@pytest.mark.parametrize("name", LIMITED)
def test_limits_of_heads_in_pieces(limited, name):
    assert_same_in_pieces(limited, *LIMITED[name])


@pytest.mark.parametrize("name", USUAL)
def test_requests(usual, name):
    assert_same(usual, *USUAL[name])


@pytest.mark.parametrize("name", USUAL)
def test_requests_in_pieces(usual, name):
    assert_same_in_pieces(usual, *USUAL[name])


def test_large_heads_are_not_waited_for_twice(usual):
    """That there is more than a loop looks at is known at once; a worker reads it without a pause."""
    data = request("GET /app/large HTTP/1.1", *[f"X-{n}: {'y' * 1000}" for n in range(30)])
    with adopted(usual.looped) as client:
        started = time.monotonic()
        for _ in range(20):
            client.send(data)
            assert client.read_response().text == "/app/large"
        assert time.monotonic() - started < 15  # not a second for each


def test_head_that_comes_byte_by_byte(usual):
    data = request("GET /app/slowly HTTP/1.1", "X-A: b", "X-C: d")
    looped, threaded = usual.outcomes(
        lambda client: converse(client, [data[n : n + 1] for n in range(len(data))], pause=0.002)
    )
    assert looped == threaded and looped[0][3] == b"/app/slowly"


def test_head_that_takes_longer_than_a_loop_has_patience(usual):
    """A worker reads it in the end; the connection comes back."""
    data = [b"GET /app/late HTTP/1.1\r\nHo", b"st: localhost\r\n", b"\r\n"]
    looped, threaded = usual.outcomes(lambda client: converse(client, data, pause=1.3))
    assert looped == threaded and looped[0][3] == b"/app/late"
