# SPDX-License-Identifier: Apache-2.0
"""A client that sends what it should not.

httpd itself refuses most of it. Whatever it lets through, in its strict mode or with `HttpProtocolOptions Unsafe`, has
to reach the backend so that it can be read in one way only. The backend here reads with the strict parser of udr_wire
and remembers what that refuses."""
import re

import pytest

from udr_client import Client, fetch

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"}

CONFIG = """
UDSRoute /raw/ unix:{socket}|http://localhost/raw/ nocanon
UDSRouteMatch ^/match/(.*)$ unix:{socket}|http://localhost/matched/$1
SetEnvIf X-Path (.*) PATH_FROM_REQUEST=$1
UDSRoute /interpolated/ unix:{socket}|http://localhost/${{PATH_FROM_REQUEST}}/ interpolate
UDSRoute / unix:{socket}|http://localhost/
LimitRequestFieldSize 8190
<VirtualHost *:@PORT@>
    ServerName localhost
</VirtualHost>
<VirtualHost *:@PORT@>
    ServerName keeps.test
    UDSPreserveHost On
</VirtualHost>
"""


@pytest.fixture(scope="module")
def backend(module_sandbox):
    def answer(exchange):
        exchange.respond(body=exchange.request.target, fields=[("X-From-Backend", "1")])

    return module_sandbox.scripted("recorder", answer, tolerant=True)


@pytest.fixture(scope="module", params=["Strict", "Unsafe"])
def httpd(request, module_sandbox, backend):
    """Two of them: what strict parsing lets through and what lenient parsing does."""
    lenient = " LenientMethods Allow0.9" if request.param == "Unsafe" else ""
    config = f"HttpProtocolOptions {request.param}{lenient}\n" + CONFIG.format(socket=backend.address)
    return module_sandbox.httpd(config)


def assert_unambiguous(request):
    """One framing, one Host, nothing that is for the connection only. The parser has seen to the syntax."""
    names = [name.lower() for name, _ in request.fields]
    assert names.count("host") == 1, request
    assert names.count("content-length") <= 1 and names.count("transfer-encoding") <= 1, request
    assert not ("content-length" in names and "transfer-encoding" in names), request
    assert "proxy" not in names, request
    for value in request.all("Connection"):
        assert value.lower() in ("close", "keep-alive"), request
    for value in request.all("TE"):
        assert value.lower() == "trailers", request
    assert not (HOP_BY_HOP - {"connection", "te", "trailer"}).intersection(names), request
    assert all(re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value) for _, value in request.fields), request
    assert request.target.startswith(("/", "*")), request


def converse(httpd, backend, data):
    """Sends the bytes and that there are no more; returns everything until httpd closes, when all is settled."""
    backend.settle()
    backend.forget()
    with Client(httpd.port) as client:
        client.send(data)
        client.sock.shutdown(1)  # SHUT_WR: no more requests; httpd answers what it has and closes
        answer = client.everything()
    backend.settle()
    return answer


def exchange_bytes(httpd, backend, data):
    """Sends the bytes and reads everything until httpd closes.

    Returns (what the backend got, what the client got). Asserts what must hold for every input."""
    httpd.log.allow(r"AH\d{5}")  # httpd may complain about what it refuses
    httpd.log.allow(r"UDR\d{4}.*(request|client|body)")
    # Who sends no more has gone, where there is no answer within 100 ms: once more, if a busy machine took longer.
    for _ in range(10):
        gone = len(httpd.log.find("UDR0012"))
        answer = converse(httpd, backend, data)
        if len(httpd.log.find("UDR0012")) == gone:
            break
    assert not backend.violations, backend.violations
    for request in backend.requests:
        assert_unambiguous(request)
    if answer.startswith(b"HTTP/1.1 "):
        # Each whole request that reached the backend was one that httpd answered: nothing was smuggled past it.
        whole = [request for request in backend.requests if request.complete]
        assert len(whole) == answer.count(b"X-From-Backend: 1"), (backend.requests, answer)
    return list(backend.requests), answer


def request_with(*lines, body=b"", line=b"POST /x HTTP/1.1", host=b"Host: localhost\r\n"):
    return line + b"\r\n" + host + b"".join(field + b"\r\n" for field in lines) + b"Connection: close\r\n\r\n" + body


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED_BODY = b"5\r\nhello\r\n0\r\n\r\n"

# Shapes in which two servers may see the end of the body in different places. Where httpd sees it decides; the backend
# must see it there too, so /smuggled never arrives as a request of its own.
SMUGGLING = [
    ("te-and-cl", request_with(b"Transfer-Encoding: chunked", b"Content-Length: 3", body=CHUNKED_BODY + SMUGGLED)),
    ("cl-and-te", request_with(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=CHUNKED_BODY + SMUGGLED)),
    ("cl-0-and-te", request_with(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED)),
    ("two-lengths", request_with(b"Content-Length: 5", b"Content-Length: 6", body=b"hello" + SMUGGLED)),
    ("length-list", request_with(b"Content-Length: 5, 6", body=b"hello" + SMUGGLED)),
    ("same-length-twice", request_with(b"Content-Length: 5", b"Content-Length: 5", body=b"hello")),
    ("length-plus", request_with(b"Content-Length: +5", body=b"hello" + SMUGGLED)),
    ("length-minus", request_with(b"Content-Length: -5", body=b"hello" + SMUGGLED)),
    ("length-hexadecimal", request_with(b"Content-Length: 0x5", body=b"hello" + SMUGGLED)),
    ("length-space", request_with(b"Content-Length: 5 0", body=b"hello" + SMUGGLED)),
    ("length-huge", request_with(b"Content-Length: 99999999999999999999999", body=b"hello" + SMUGGLED)),
    ("length-empty", request_with(b"Content-Length:", body=b"hello" + SMUGGLED)),
    ("te-xchunked", request_with(b"Transfer-Encoding: xchunked", body=CHUNKED_BODY + SMUGGLED)),
    ("te-chunked-x", request_with(b"Transfer-Encoding: chunked-x", body=CHUNKED_BODY + SMUGGLED)),
    ("te-gzip-chunked", request_with(b"Transfer-Encoding: gzip, chunked", body=CHUNKED_BODY + SMUGGLED)),
    ("te-chunked-gzip", request_with(b"Transfer-Encoding: chunked, gzip", body=CHUNKED_BODY + SMUGGLED)),
    (
        "te-twice",
        request_with(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKED_BODY + SMUGGLED),
    ),
    (
        "te-chunked-identity",
        request_with(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=CHUNKED_BODY + SMUGGLED),
    ),
    (
        "te-identity-chunked",
        request_with(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked", body=CHUNKED_BODY + SMUGGLED),
    ),
    (
        "te-identity-and-cl",
        request_with(b"Transfer-Encoding: identity", b"Content-Length: 5", body=b"hello" + SMUGGLED),
    ),
    (
        "te-space-before-colon",
        request_with(b"Transfer-Encoding : chunked", b"Content-Length: 5", body=b"hello" + SMUGGLED),
    ),
    ("cl-space-before-colon", request_with(b"Content-Length : 5", body=b"hello" + SMUGGLED)),
    ("te-tab-before-colon", request_with(b"Transfer-Encoding\t: chunked", body=CHUNKED_BODY + SMUGGLED)),
    ("te-vertical-tab", request_with(b"Transfer-Encoding: \x0bchunked", body=CHUNKED_BODY + SMUGGLED)),
    ("te-nul", request_with(b"Transfer-Encoding: chunked\0", body=CHUNKED_BODY + SMUGGLED)),
    ("te-quoted", request_with(b'Transfer-Encoding: "chunked"', body=CHUNKED_BODY + SMUGGLED)),
    ("te-capitals", request_with(b"TRANSFER-ENCODING: CHUNKED", body=CHUNKED_BODY + SMUGGLED)),
    ("te-folded", request_with(b"Transfer-Encoding:", b" chunked", body=CHUNKED_BODY + SMUGGLED)),
    (
        "te-folded-into-another",
        request_with(b"X-A: b", b" Transfer-Encoding: chunked", b"Content-Length: 5", body=b"hello" + SMUGGLED),
    ),
    ("cl-folded", request_with(b"Content-Length: 5", b" 0", body=b"hello" + SMUGGLED)),
    (
        "te-in-http-1.0",
        request_with(b"Transfer-Encoding: chunked", line=b"POST /x HTTP/1.0", body=CHUNKED_BODY + SMUGGLED),
    ),
    (
        "te-and-cl-in-http-1.0",
        request_with(
            b"Transfer-Encoding: chunked", b"Content-Length: 5", line=b"POST /x HTTP/1.0", body=b"hello" + SMUGGLED
        ),
    ),
    ("get-with-body", request_with(b"Content-Length: %d" % len(SMUGGLED), line=b"GET /x HTTP/1.1", body=SMUGGLED)),
    (
        "get-with-chunked-body",
        request_with(
            b"Transfer-Encoding: chunked",
            line=b"GET /x HTTP/1.1",
            body=b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n",
        ),
    ),
    ("head-with-body", request_with(b"Content-Length: %d" % len(SMUGGLED), line=b"HEAD /x HTTP/1.1", body=SMUGGLED)),
    (
        "connection-names-length",
        request_with(b"Content-Length: %d" % len(SMUGGLED), b"Connection: Content-Length", body=SMUGGLED),
    ),
    (
        "connection-names-coding",
        request_with(b"Transfer-Encoding: chunked", b"Connection: Transfer-Encoding", body=CHUNKED_BODY + SMUGGLED),
    ),
    ("connection-names-host", request_with(b"Connection: Host", body=b"")),
    (
        "connection-names-everything",
        request_with(
            b"Connection: host, content-length, x-forwarded-for, cookie, authorization",
            b"Content-Length: 5",
            body=b"hello",
        ),
    ),
    (
        "bare-lf-line-ends",
        b"POST /x HTTP/1.1\nHost: localhost\nContent-Length: 5\nConnection: close\n\nhello" + SMUGGLED,
    ),
    (
        "bare-lf-in-head",
        b"POST /x HTTP/1.1\r\nHost: localhost\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        + CHUNKED_BODY
        + SMUGGLED,
    ),
    (
        "bare-cr-in-value",
        request_with(b"X-A: b\rTransfer-Encoding: chunked", b"Content-Length: 5", body=b"hello" + SMUGGLED),
    ),
    ("bare-cr-line-ends", b"POST /x HTTP/1.1\rHost: localhost\rContent-Length: 5\r\rhello" + SMUGGLED),
]

CHUNK_SHAPES = [
    ("chunk-size-huge", b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-16-f", b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-2-to-63", b"8000000000000000\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-2-to-64", b"10000000000000000\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-negative", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-leading-space", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-trailing-space", b"5  \r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-empty", b"\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-letters", b"hello\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-leading-zeros", b"0" * 30 + b"5\r\nhello\r\n0\r\n\r\n"),
    ("chunk-size-bare-lf", b"5\nhello\r\n0\r\n\r\n"),
    ("chunk-extension", b"5;name=value\r\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-bare-lf", b"5;name\nvalue\r\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-bare-cr", b"5;name\rvalue\r\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-nul", b"5;na\0me\r\nhello\r\n0\r\n\r\n"),
    ("chunk-extension-huge", b"5;" + b"x" * 20000 + b"\r\nhello\r\n0\r\n\r\n"),
    ("chunk-data-longer", b"5\r\nhello!!\r\n0\r\n\r\n"),
    ("chunk-data-shorter", b"9\r\nhello\r\n0\r\n\r\n"),
    ("chunk-without-crlf", b"5\r\nhello0\r\n\r\n"),
    ("chunk-end-bare-lf", b"5\r\nhello\n0\n\n"),
    ("chunks-cut-off", b"5\r\nhel"),
    ("chunks-without-end", b"5\r\nhello\r\n"),
    ("last-chunk-cut-off", b"5\r\nhello\r\n0\r\n"),
    ("trailer-framing", b"5\r\nhello\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n\r\n"),
    ("trailer-folded", b"5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
    ("trailer-nul", b"5\r\nhello\r\n0\r\nX-A: b\0c\r\n\r\n"),
    ("trailer-bare-cr", b"5\r\nhello\r\n0\r\nX-A: b\rX-B: c\r\n\r\n"),
    ("trailer-without-colon", b"5\r\nhello\r\n0\r\nNonsense\r\n\r\n"),
    ("trailer-huge", b"5\r\nhello\r\n0\r\nX-A: " + b"b" * 100000 + b"\r\n\r\n"),
]

FIELD_SHAPES = [
    ("nul-in-value", b"X-A: b\0c"),
    ("nul-in-name", b"X\0A: b"),
    ("control-character", b"X-A: b\x01c\x7f"),
    ("vertical-tab", b"X-A: b\x0bc\x0cd"),
    ("eight-bit", b"X-A: \x80\xff"),
    ("empty-name", b": b"),
    ("no-colon", b"Nonsense"),
    ("space-before-colon", b"X-A : b"),
    ("folded", b"X-A: b\r\n c"),
    ("folded-tab", b"X-A: b\r\n\tHost: evil"),
    ("folded-crlf", b"X-A: b\r\n \r\n c"),
    ("bare-cr", b"X-A: b\rc"),
    ("bare-lf", b"X-A: b\nX-B: c"),
    ("illegal-name", b"X(A): b"),
    ("quoted-name", b'"X-A": b'),
    ("second-host", b"Host: evil.example"),
    ("proxy", b"Proxy: http://evil.example:8080"),
    ("proxy-capitals", b"PROXY: http://evil.example:8080"),
    ("te-gzip", b"TE: gzip, trailers;q=0.5"),
    ("upgrade", b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
    ("upgrade-unknown", b"Upgrade: evil/1.0"),
    ("keep-alive", b"Keep-Alive: timeout=5"),
    ("proxy-connection", b"Proxy-Connection: keep-alive"),
    ("proxy-authorization", b"Proxy-Authorization: Basic eDp5"),
    ("trailer", b"Trailer: Content-Length"),
    ("underscore", b"Content_Length: 5\r\nTransfer_Encoding: chunked"),
    ("long-value", b"X-A: " + b"b" * 8000),
    ("too-long-value", b"X-A: " + b"b" * 9000),
    ("many", b"\r\n".join(b"X-%d: y" % number for number in range(90))),
    ("too-many", b"\r\n".join(b"X-%d: y" % number for number in range(200))),
    ("expect-unknown", b"Expect: magic"),
    ("expect-twice", b"Expect: 100-continue\r\nExpect: 100-continue"),
    ("connection-odd", b'Connection: ,,, , close, "x", x-a;q=1\r\nX-A: b'),
]

REQUEST_LINES = [
    ("absolute-form", b"GET http://localhost/x HTTP/1.1"),
    ("absolute-form-other-host", b"GET http://evil.example/x HTTP/1.1"),
    ("absolute-form-user", b"GET http://user:pass@localhost/x HTTP/1.1"),
    ("absolute-form-https", b"GET https://localhost/x HTTP/1.1"),
    ("absolute-form-unix", b"GET unix:/run/evil.sock|http://localhost/x HTTP/1.1"),
    ("path-that-looks-like-a-target", b"GET /unix:/run/evil.sock|http://localhost/x HTTP/1.1"),
    ("authority-form", b"CONNECT localhost:80 HTTP/1.1"),
    ("asterisk-form", b"OPTIONS * HTTP/1.1"),
    ("trace", b"TRACE /x HTTP/1.1"),
    ("no-slash", b"GET x HTTP/1.1"),
    ("two-slashes", b"GET //evil.example/x HTTP/1.1"),
    ("fragment", b"GET /x#y HTTP/1.1"),
    ("two-spaces", b"GET  /x  HTTP/1.1"),
    ("tab", b"GET\t/x\tHTTP/1.1"),
    ("space-in-path", b"GET /x y HTTP/1.1"),
    ("space-and-version-in-path", b"GET /x HTTP/1.1 HTTP/1.1"),
    ("http-0.9", b"GET /x"),
    ("http-2", b"GET /x HTTP/2.0"),
    ("http-1.2", b"GET /x HTTP/1.2"),
    ("lower-case-version", b"GET /x http/1.1"),
    ("unknown-method", b"BREW /x HTTP/1.1"),
    ("odd-method", b"G@T /x HTTP/1.1"),
    ("lower-case-method", b"get /x HTTP/1.1"),
    ("long-method", b"X" * 200 + b" /x HTTP/1.1"),
    ("nul-in-path", b"GET /x\0y HTTP/1.1"),
    ("control-in-path", b"GET /x\x01y HTTP/1.1"),
    ("delete-in-path", b"GET /x\x7fy HTTP/1.1"),
    ("eight-bit-path", b"GET /x\xe4y HTTP/1.1"),
    ("bare-cr-in-path", b"GET /x\ry HTTP/1.1"),
    ("bare-lf-in-path", b"GET /x\nEvil: y HTTP/1.1"),
    ("nul-in-query", b"GET /x?a\0b HTTP/1.1"),
    ("control-in-query", b"GET /x?a\x01b HTTP/1.1"),
    ("eight-bit-query", b"GET /x?\xe4 HTTP/1.1"),
    ("space-in-query", b"GET /x?a b HTTP/1.1"),
    ("version-in-query", b"GET /x?a HTTP/1.1\\r\\nEvil: y HTTP/1.1"),
    ("crlf-encoded", b"GET /x%0d%0aEvil:%20yes HTTP/1.1"),
    ("crlf-encoded-twice", b"GET /x%250d%250aEvil: HTTP/1.1"),
    ("request-encoded", b"GET /x%20HTTP/1.1%0d%0aHost:%20evil%0d%0a%0d%0aGET%20/smuggled HTTP/1.1"),
    ("crlf-in-query", b"GET /x?a=%0d%0aEvil:%20yes HTTP/1.1"),
    ("nul-encoded", b"GET /x%00y HTTP/1.1"),
    ("crlf-nocanon", b"GET /raw/%0d%0aEvil:%20yes HTTP/1.1"),
    ("eight-bit-nocanon", b"GET /raw/\xe4 HTTP/1.1"),
    ("control-nocanon", b"GET /raw/\x01 HTTP/1.1"),
    ("space-nocanon", b"GET /raw/a b HTTP/1.1"),
    ("crlf-match", b"GET /match/%0d%0aEvil:%20yes HTTP/1.1"),
    ("space-match", b"GET /match/a%20HTTP/1.1 HTTP/1.1"),
    ("question-mark-match", b"GET /match/a%3fb%23c HTTP/1.1"),
    ("dollar-match", b"GET /match/$1${HOME} HTTP/1.1"),
    ("slash-encoded", b"GET /x%2fy HTTP/1.1"),
    ("dots-encoded", b"GET /x/%2e%2e/%2e%2e/etc HTTP/1.1"),
    ("dots", b"GET /../../etc HTTP/1.1"),
    ("percent-odd", b"GET /x%zz%u0041% HTTP/1.1"),
    ("long-path", b"GET /" + b"x" * 8000 + b" HTTP/1.1"),
    ("too-long-path", b"GET /" + b"x" * 9000 + b" HTTP/1.1"),
]


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in SMUGGLING])
def test_smuggling(httpd, backend, data):
    requests, _ = exchange_bytes(httpd, backend, data)
    assert not [request for request in requests if request.target == "/smuggled"]
    for request in requests:
        assert request.complete
        # The body that httpd saw, whole; it may be the would-be request where that is what the framing said.
        assert request.body in (b"", b"hello", SMUGGLED), request


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in SMUGGLING])
def test_smuggling_on_a_connection_that_stays(httpd, backend, data):
    """The same without `Connection: close`: the next request on the connection is one for httpd too, or none."""
    kept = data.replace(b"Connection: close\r\n", b"")
    exchange_bytes(httpd, backend, kept)


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in CHUNK_SHAPES])
def test_chunks(httpd, backend, body):
    requests, answer = exchange_bytes(httpd, backend, request_with(b"Transfer-Encoding: chunked", body=body))
    assert all(request.body == b"hello" for request in requests if request.complete)
    assert all(
        not request.trailer(name) for request in requests for name in ("Content-Length", "Transfer-Encoding", "Host")
    )
    assert answer


@pytest.mark.parametrize("lines", [pytest.param(lines, id=name) for name, lines in FIELD_SHAPES])
def test_fields(httpd, backend, lines):
    requests, answer = exchange_bytes(httpd, backend, request_with(lines, line=b"GET /x HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 ")
    for request in requests:
        assert request.get("Host") == "localhost"
        assert "evil" not in str(request.all("Host"))


@pytest.mark.parametrize("line", [pytest.param(line, id=name) for name, line in REQUEST_LINES])
def test_request_lines(httpd, backend, line):
    requests, _ = exchange_bytes(httpd, backend, request_with(line=line))
    for request in requests:
        assert not request.has("Evil")
        assert request.get("Host") == "localhost"
        assert request.target != "/smuggled"
        assert "unix:" not in request.get("Host")


@pytest.mark.parametrize("line", [pytest.param(line, id=name) for name, line in REQUEST_LINES])
def test_request_lines_with_the_clients_host(httpd, backend, line):
    """With UDSPreserveHost the client's Host is passed on: one, and without control characters."""
    data = request_with(line=line, host=b"Host: keeps.test\r\n")
    requests, _ = exchange_bytes(httpd, backend, data)
    for request in requests:
        assert re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", request.get("Host")), request


@pytest.mark.parametrize(
    "host",
    [
        b"Host: a b",
        b"Host: localhost\r\nHost: keeps.test",
        b"Host:",
        b"Host: keeps.test:80x",
        b"Host: keeps.test/evil",
        b"Host: user@keeps.test",
        b"Host: keeps.test\x01",
        b"Host: [::1",
        b"",
    ],
)
def test_odd_host(httpd, backend, host):
    data = b"GET /x HTTP/1.1\r\n" + host + (b"\r\n" if host else b"") + b"Connection: close\r\n\r\n"
    requests, _ = exchange_bytes(httpd, backend, data)
    for request in requests:
        assert re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", request.get("Host")), request


@pytest.mark.parametrize(
    "value",
    [
        "a b HTTP/1.1",
        "../../x",
        "a?b#c",
        "%0d%0aEvil: yes",
        "\xe4",
        "a%zz",
        "",
        "//evil.example",
        "http://evil/",
        "a\tb",
        "${HOME}",
        "$1",
        "unix:/run/evil.sock|http://x",
    ],
)
def test_interpolated_value(httpd, backend, value):
    """What a request puts into the path by way of a variable stays in the path."""
    data = request_with(b"X-Path: " + value.encode("latin-1"), line=b"GET /interpolated/end HTTP/1.1")
    requests, answer = exchange_bytes(httpd, backend, data)
    assert requests or not answer.startswith(b"HTTP/1.1 200")
    for request in requests:
        assert request.target.startswith("/") and " " not in request.target
        assert not request.has("Evil")


@pytest.mark.parametrize(
    "name,forged,real",
    [
        ("X-Forwarded-For", "203.0.113.9", "127.0.0.1"),
        ("X-Forwarded-Host", "evil.example", "localhost"),
        ("X-Forwarded-Server", "evil.example", "localhost"),
        ("X-Forwarded-Proto", "https", "http"),
    ],
)
def test_forged_forwarding_fields(httpd, backend, name, forged, real):
    """A client may send such a field; the last value is httpd's own all the same."""
    backend.forget()
    fetch(httpd.port, "/x", fields=[(name, forged)])
    fetch(httpd.port, "/x", fields=[(name.lower(), forged), (name.upper(), forged)])
    for request in backend.requests:
        values = [value.strip() for field in request.all(name) for value in field.split(",")]
        assert values[-1] == real, values


def test_connection_cannot_remove_forwarding_fields(httpd, backend):
    """`Connection: X-Forwarded-For` names the client's own field, not the one httpd adds."""
    backend.forget()
    fetch(httpd.port, "/x", fields=[("Connection", "X-Forwarded-For, X-Forwarded-Proto")])
    request = backend.requests[0]
    assert request.get("X-Forwarded-For").endswith("127.0.0.1")
    assert request.get("X-Forwarded-Proto") == "http"


def test_pipelined_requests_are_answered_in_order(httpd, backend):
    backend.forget()
    with Client(httpd.port) as client:
        client.send(b"".join(b"GET /p%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(20)))
        assert [client.read_response().text for _ in range(20)] == [f"/p{number}" for number in range(20)]
    assert [request.target for request in backend.requests] == [f"/p{number}" for number in range(20)]


def test_body_that_is_not_read_does_not_become_a_request(sandbox):
    """The backend answers before it has the body; the rest of the body is dropped, not read as the next request."""

    def behave(exchange):
        exchange.respond(413, b"no", fields=[("Connection", "close")])
        exchange.close()

    backend = sandbox.scripted("early", behave, read_bodies=False)
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/")
    httpd.log.allow(r"UDR\d{4}")
    with Client(httpd.port) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (2000 * len(SMUGGLED)))
        try:
            client.send(2000 * SMUGGLED)
        except OSError:
            pass  # httpd need not take it all
        try:
            assert client.read_response().status in (413, 502)
        except ConnectionError:
            pass
    assert {request.target for request in backend.requests} == {"/x"}
