# SPDX-License-Identifier: Apache-2.0
"""A backend that sends what it should not.

Whatever it sends, the client gets a well-formed 502, or, where the head had been passed on already, a body that is
visibly cut short; the next request gets its own answer; and the log says once what was wrong."""
import dataclasses
import itertools
import re
import select
import threading
import time

import pytest

from udr_client import Client, fetch

# The token that a hostile response carries wherever it can; it must not turn up in another request's answer.
POISON = b"POISON"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"
LIMIT = 16384  # the default of responsefieldsize


@dataclasses.dataclass
class Case:
    """One hostile response. words: what the log must say. head_passed: the body is at fault, the head is good."""

    name: str
    data: bytes
    words: str
    head_passed: bool = False


def head(*lines, body=POISON, status=b"HTTP/1.1 200 OK"):
    """A response of these field lines; each ends in CR LF here."""
    return status + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def chunked(body):
    """A response with a good head and this chunked body."""
    return head(b"Transfer-Encoding: chunked", body=body)


STATUS_LINE = r"status line"
LENGTH = r"Content-Length"
CODING = r"transfer.(coding|encoding)"
CHUNK = r"chunk"

STATUS_LINES = [
    Case("empty-line-first", b"\r\n" + GOOD, STATUS_LINE),
    Case("garbage", b"GARBAGE\r\n\r\n", STATUS_LINE),
    Case("html-without-head", b"<html>POISON</html>\r\n\r\n", STATUS_LINE),
    Case("version-alone", head(status=b"HTTP/1.1"), STATUS_LINE),
    Case("version-and-space", head(status=b"HTTP/1.1 "), STATUS_LINE),
    Case("no-space-before-status", head(status=b"HTTP/1.1200 OK"), STATUS_LINE),
    Case("two-digit-status", head(status=b"HTTP/1.1 20 OK"), STATUS_LINE),
    Case("four-digit-status", head(status=b"HTTP/1.1 2000 OK"), STATUS_LINE),
    Case("letters-in-status", head(status=b"HTTP/1.1 20x OK"), STATUS_LINE),
    Case("negative-status", head(status=b"HTTP/1.1 -20 OK"), STATUS_LINE),
    Case("status-000", head(status=b"HTTP/1.1 000 OK"), STATUS_LINE),
    Case("status-099", head(status=b"HTTP/1.1 099 OK"), STATUS_LINE),
    Case("status-600", head(status=b"HTTP/1.1 600 OK"), STATUS_LINE),
    Case("status-999", head(status=b"HTTP/1.1 999 OK"), STATUS_LINE),
    Case("http-2", head(status=b"HTTP/2.0 200 OK"), STATUS_LINE),
    Case("http-0.9", head(status=b"HTTP/0.9 200 OK"), STATUS_LINE),
    Case("two-digit-minor-version", head(status=b"HTTP/1.10 200 OK"), STATUS_LINE),
    Case("version-without-minor", head(status=b"HTTP/1 200 OK"), STATUS_LINE),
    Case("lower-case-protocol", head(status=b"http/1.1 200 OK"), STATUS_LINE),
    Case("two-spaces", head(status=b"HTTP/1.1  200 OK"), STATUS_LINE),
    Case("tab-for-space", head(status=b"HTTP/1.1\t200 OK"), STATUS_LINE),
    Case("leading-space", head(status=b" HTTP/1.1 200 OK"), STATUS_LINE),
    Case("icy", head(status=b"ICY 200 OK"), STATUS_LINE),
    Case("nul-in-reason", head(status=b"HTTP/1.1 200 O\0K"), "NUL"),
    Case("bare-cr-in-reason", head(status=b"HTTP/1.1 200 O\rK"), "bare CR"),
    Case("cr-cr-lf", head(status=b"HTTP/1.1 200 OK\r"), "bare CR"),
    Case("request-instead", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", STATUS_LINE),
    Case("status-line-too-long", head(status=b"HTTP/1.1 200 " + b"O" * (LIMIT + 1)), "long"),
]

FRAMING = [
    Case(
        "te-and-cl",
        head(b"Transfer-Encoding: chunked", b"Content-Length: 6"),
        "both Transfer-Encoding and Content-Length",
    ),
    Case(
        "cl-and-te",
        head(b"Content-Length: 6", b"Transfer-Encoding: chunked"),
        "both Transfer-Encoding and Content-Length",
    ),
    Case(
        "cl-and-te-apart",
        head(b"Content-Length: 6", b"X-A: b", b"transfer-encoding:chunked"),
        "both Transfer-Encoding and Content-Length",
    ),
    Case("two-lengths", head(b"Content-Length: 6", b"Content-Length: 5"), "differing Content-Lengths"),
    Case("two-lengths-in-a-list", head(b"Content-Length: 6, 5"), "differing Content-Lengths"),
    Case(
        "three-lengths",
        head(b"Content-Length: 6", b"Content-Length: 6", b"Content-Length: 7"),
        "differing Content-Lengths",
    ),
    Case("length-with-space", head(b"Content-Length: 6 6"), LENGTH),
    Case("length-negative", head(b"Content-Length: -6"), LENGTH),
    Case("length-with-plus", head(b"Content-Length: +6"), LENGTH),
    Case("length-hexadecimal", head(b"Content-Length: 0x6"), LENGTH),
    Case("length-fraction", head(b"Content-Length: 6.0"), LENGTH),
    Case("length-exponent", head(b"Content-Length: 6e0"), LENGTH),
    Case("length-empty", head(b"Content-Length:"), LENGTH),
    Case("length-empty-in-a-list", head(b"Content-Length: 6,"), LENGTH),
    Case("length-with-letters", head(b"Content-Length: 6a"), LENGTH),
    Case("length-quoted", head(b'Content-Length: "6"'), LENGTH),
    Case("length-overflows-64-bits", head(b"Content-Length: 18446744073709551622"), LENGTH),
    Case("length-overflows-63-bits", head(b"Content-Length: 9223372036854775808"), LENGTH),
    Case("length-of-many-digits", head(b"Content-Length: " + b"9" * 300), LENGTH),
    Case("length-in-204", head(b"Content-Length: 6", status=b"HTTP/1.1 204 No Content"), LENGTH),
    Case("te-unknown", head(b"Transfer-Encoding: xchunked"), CODING),
    Case("te-gzip-chunked", head(b"Transfer-Encoding: gzip, chunked"), CODING),
    Case("te-chunked-gzip", head(b"Transfer-Encoding: chunked, gzip"), CODING),
    Case("te-chunked-twice-in-a-list", head(b"Transfer-Encoding: chunked, chunked"), CODING),
    Case("te-chunked-twice", head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), CODING),
    Case("te-chunked-and-identity", head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), CODING),
    Case("te-identity", head(b"Transfer-Encoding: identity"), CODING),
    Case("te-empty", head(b"Transfer-Encoding:"), CODING),
    Case("te-parameter", head(b"Transfer-Encoding: chunked;q=1"), CODING),
    Case("te-quoted", head(b'Transfer-Encoding: "chunked"'), CODING),
    Case("te-in-http-1.0", head(b"Transfer-Encoding: chunked", status=b"HTTP/1.0 200 OK", body=b"0\r\n\r\n"), CODING),
    Case("te-in-204", head(b"Transfer-Encoding: chunked", status=b"HTTP/1.1 204 No Content"), CODING),
]

FIELDS = [
    Case("space-before-colon", head(b"Content-Length : 6"), "white space"),
    Case("tab-before-colon", head(b"Transfer-Encoding\t: chunked"), "white space"),
    Case("space-in-name", head(b"X A: b"), "white space"),
    Case("obs-fold", head(b"X-A: b", b" c"), "fold"),
    Case("obs-fold-tab", head(b"X-A: b", b"\tc"), "fold"),
    Case("obs-fold-of-a-length", head(b"Content-Length:", b" 6"), "fold|Content-Length"),
    Case("first-field-folded", head(b" X-A: b"), "fold"),
    Case("line-of-spaces", head(b"X-A: b", b"   "), "fold"),
    Case("no-colon", head(b"X-A b"), "colon|white space"),
    Case("no-colon-at-all", head(b"Nonsense"), "colon"),
    Case("empty-name", head(b": b"), "name"),
    Case("at-in-name", head(b"X@A: b"), "field name"),
    Case("parenthesis-in-name", head(b"X(A): b"), "field name"),
    Case("quoted-name", head(b'"X-A": b'), "field name"),
    Case("slash-in-name", head(b"X/A: b"), "field name"),
    Case("eight-bit-name", head(b"X-\xc3\xa4: b"), "field name"),
    Case("nul-in-name", head(b"X\0A: b"), "NUL"),
    Case("control-character-in-name", head(b"X\x01A: b"), "control character"),
    Case("nul-in-value", head(b"X-A: b\0c"), "NUL"),
    Case("nul-in-length", head(b"Content-Length: 6\0"), "NUL"),
    Case("bare-cr-in-value", head(b"X-A: b\rX-B: c"), "bare CR"),
    Case("bare-cr-before-crlf", head(b"X-A: b\r"), "bare CR"),
    Case("bare-cr-in-name", head(b"X\rA: b"), "bare CR"),
    Case("bare-cr-as-line-end", b"HTTP/1.1 200 OK\rContent-Length: 6\r\rPOISON\r\n\r\n", "bare CR"),
    Case("control-character-in-value", head(b"X-A: b\x01c"), "control character"),
    Case("delete-in-value", head(b"X-A: b\x7fc"), "control character"),
    Case("line-too-long", head(b"X-A: " + b"b" * LIMIT), "long"),
    Case("name-too-long", head(b"X" * (LIMIT + 1) + b": b"), "long"),
    Case("line-without-end", b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * (4 * LIMIT), "long"),
    Case("head-too-long", head(*[b"X-%d: " % number + b"b" * 1000 for number in range(140)]), "long"),
]

INTERIM = [
    Case("interim-with-bare-cr", head(b"X: a\rb", status=b"HTTP/1.1 103 Early Hints", body=GOOD), "bare CR"),
    Case("interim-with-nul", head(b"Link: \0", status=b"HTTP/1.1 103 Early Hints", body=GOOD), "NUL"),
    Case("interim-with-length", head(b"Content-Length: 6", status=b"HTTP/1.1 100 Continue", body=GOOD), LENGTH),
    Case(
        "interim-with-coding", head(b"Transfer-Encoding: chunked", status=b"HTTP/1.1 102 Processing", body=GOOD), CODING
    ),
    Case("interim-then-garbage", b"HTTP/1.1 100 Continue\r\n\r\nGARBAGE\r\n\r\n", STATUS_LINE),
    Case(
        "switch-nobody-asked-for",
        head(b"Upgrade: websocket", b"Connection: Upgrade", status=b"HTTP/1.1 101 Switching Protocols"),
        "101|upgrade|switch",
    ),
]

OTHER_PROTOCOLS = [
    Case("fastcgi-stdout", b"\x01\x06\0\x01\0\x10\0\0Status: 200 OK\r\n\r\n", "FastCGI"),
    Case("fastcgi-unknown-type", b"\x01\x0b\0\0\0\x08\0\0\x47\0\0\0\0\0\0\0", "FastCGI"),
    Case("fastcgi-end-request", b"\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0", "FastCGI"),
    Case("tls-alert", b"\x15\x03\x01\0\x02\x02\x46", "TLS"),
    Case("http-2-settings", b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64", "HTTP/2"),
    Case("ssh", b"SSH-2.0-OpenSSH_9.2\r\n", STATUS_LINE),
    Case("redis", b"-ERR unknown command 'GET'\r\n", STATUS_LINE),
    Case("smtp", b"220 mail ESMTP\r\n", STATUS_LINE),
]

CHUNKS = [
    Case(name, chunked(body), words, True)
    for name, body, words in (
        ("chunk-size-letters", b"xyz\r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-negative", b"-5\r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-plus", b"+5\r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-0x", b"0x5\r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-leading-space", b" 5\r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-trailing-space", b"5 \r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-quoted", b'"5"\r\nhello\r\n0\r\n\r\n', CHUNK),
        ("chunk-size-missing", b"\r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-only-extension", b";a=b\r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-16-f", b"FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-17-digits", b"10000000000000005\r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-many-zeros", b"0" * 60 + b"5\r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-2-to-63", b"8000000000000000\r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-nul", b"5\0\r\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-bare-lf", b"5\nhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-size-bare-cr", b"5\rhello\r\n0\r\n\r\n", CHUNK),
        ("chunk-extension-nul", b"5;a=\0\r\nhello\r\n0\r\n\r\n", "chunk|NUL"),
        ("chunk-extension-bare-lf", b"5;a=b\nhello\r\n0\r\n\r\n", "chunk|LF"),
        ("chunk-extension-bare-cr", b"5;a=b\rhello\r\n0\r\n\r\n", "chunk|CR"),
        ("chunk-extension-huge", b"5;a=" + b"b" * 20000 + b"\r\nhello\r\n0\r\n\r\n", "chunk|long"),
        ("chunk-longer-than-size", b"5\r\nhelloPOISON\r\n0\r\n\r\n", CHUNK),
        ("chunk-shorter-than-size", b"5\r\nhel\r\n0\r\n\r\n", CHUNK),
        ("chunk-without-crlf", b"5\r\nhello0\r\n\r\n", CHUNK),
        ("chunk-then-bare-lf", b"5\r\nhello\n0\r\n\r\n", CHUNK),
        ("chunk-then-bare-cr", b"5\r\nhello\r0\r\n\r\n", CHUNK),
        ("good-chunk-then-bad-size", b"5\r\nhello\r\nx\r\nPOISON\r\n0\r\n\r\n", CHUNK),
        ("body-not-chunked", b"POISON POISON POISON", CHUNK),
        ("trailer-without-colon", b"5\r\nhello\r\n0\r\nNonsense\r\n\r\n", "colon"),
        ("trailer-folded", b"5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n", "fold"),
        ("trailer-nul", b"5\r\nhello\r\n0\r\nX-A: b\0c\r\n\r\n", "NUL"),
        ("trailer-bare-cr", b"5\r\nhello\r\n0\r\nX-A: b\rc\r\n\r\n", "bare CR"),
        ("trailer-bare-lf", b"5\r\nhello\r\n0\r\nX-A: b\n\r\n", "bare LF"),
        ("trailer-space-before-colon", b"5\r\nhello\r\n0\r\nX-A : b\r\n\r\n", "white space"),
        ("trailer-too-long", b"5\r\nhello\r\n0\r\nX-A: " + b"b" * (LIMIT + 1) + b"\r\n\r\n", "long"),
        ("trailers-without-end", b"5\r\nhello\r\n0\r\n" + b"X-A: b\r\n" * 20000, "long"),
    )
]

CASES = STATUS_LINES + FRAMING + FIELDS + INTERIM + OTHER_PROTOCOLS + CHUNKS

CUT_CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n"
    b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-T: 1\r\n\r\n"
)
CUT_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-A: b\r\n\r\nhello world"
CUT_AFTER_INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class HostileBackend:
    """Answers /good/TOKEN with the token and everything else with what was planted for that path."""

    def __init__(self, sandbox):
        self.planted = {}
        self.let_go = {}  # path → set when the module has closed the connection of that response
        self.seen = []
        self.server = sandbox.scripted("hostile", self._behave)

    def plant(self, path, data, bytewise=False, close=False):
        """What to send for the path. close: close behind it; otherwise wait for the module to do so."""
        self.planted[path] = (data, bytewise, close)
        self.let_go[path] = threading.Event()

    def _behave(self, exchange):
        path = exchange.request.target
        self.seen.append(path)
        if path.startswith("/good/"):
            exchange.respond(body=path)
            return
        data, bytewise, close = self.planted[path]
        for piece in [data[at : at + 1] for at in range(len(data))] if bytewise else [data]:
            exchange.send(piece)
        if close:
            exchange.close()
            return
        if exchange.peer_closed(10):
            self.let_go[path].set()
        exchange.close()


@pytest.fixture(scope="module")
def backend(module_sandbox):
    return HostileBackend(module_sandbox)


@pytest.fixture(scope="module")
def httpd(module_sandbox, backend):
    return module_sandbox.httpd(f"UDSRoute / unix:{backend.server.address}|http://localhost/ timeout=15")


_tokens = itertools.count(1)


def new_path(kind):
    return f"/{kind}/{next(_tokens)}"


def assert_unharmed(httpd, client):
    """The next request, on the same connection where that is still open and on a new one, gets its own answer."""
    if client.reusable:
        path = new_path("good")
        assert client.fetch(path).text == path
    else:
        assert client.closed_by_server()
    path = new_path("good")
    assert fetch(httpd.port, path).text == path


def assert_refused(response, head_passed):
    """A well-formed 502; or, where the head was good, the beginning of a body that does not look complete."""
    if response.status == 502:
        assert response.complete and response.has("Content-Type")
    else:
        assert head_passed, f"passed on: {response}"
        assert response.status == 200
        assert response.framing in ("length", "chunked")
        assert not response.complete, f"looks complete: {response}"
    assert response.interim == [] or all(interim.status < 200 for interim in response.interim)


# Byte by byte, nobody can know another protocol before HTTP's first byte is missing; the long ones would take long.
BYTEWISE = [case for case in CASES if case not in OTHER_PROTOCOLS and len(case.data) < 4096]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_malformed_response(httpd, backend, case):
    check_malformed(httpd, backend, case)


@pytest.mark.parametrize("case", BYTEWISE, ids=lambda case: case.name)
def test_malformed_response_byte_by_byte(httpd, backend, case):
    check_malformed(httpd, backend, case, bytewise=True)


def check_malformed(httpd, backend, case, bytewise=False):
    path = new_path("bad")
    backend.plant(path, case.data, bytewise)
    with Client(httpd.port) as client:
        assert_refused(client.fetch(path), case.head_passed)
        assert backend.let_go[path].wait(10), "the connection was not closed"
        assert_unharmed(httpd, client)
    line = httpd.log.expect(rf"UDR\d{{4}}.*({case.words})")
    assert str(backend.server.address) in line.text
    assert backend.seen.count(path) == 1, "the request was sent again"


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.name in ("te-and-cl", "nul-in-value", "obs-fold")],
    ids=lambda case: case.name,
)
def test_malformed_response_to_head(httpd, backend, case):
    path = new_path("bad")
    backend.plant(path, case.data)
    with Client(httpd.port) as client:
        response = client.fetch(path, "HEAD")
        assert response.status == 502
        assert_unharmed(httpd, client)
    httpd.log.expect(rf"UDR\d{{4}}.*({case.words})")


def cut(good):
    """The response cut off before each of its bytes."""
    return [
        pytest.param(good[:offset], good.index(b"\r\n\r\n") + 4 <= offset, id=str(offset))
        for offset in range(len(good))
    ]


def check_cut(httpd, backend, data, head_passed):
    path = new_path("cut")
    backend.plant(path, data, close=True)
    with Client(httpd.port) as client:
        response = client.fetch(path)
        assert_refused(response, head_passed)
        assert b"hello world".startswith(response.body) or response.status == 502
        assert_unharmed(httpd, client)
    httpd.log.expect(r"UDR\d{4}.*(closed|reset)")


@pytest.mark.parametrize("data,head_passed", cut(CUT_LENGTH))
def test_response_with_length_cut_off(httpd, backend, data, head_passed):
    check_cut(httpd, backend, data, head_passed)


@pytest.mark.parametrize("data,head_passed", cut(CUT_CHUNKED))
def test_chunked_response_cut_off(httpd, backend, data, head_passed):
    check_cut(httpd, backend, data, head_passed)


@pytest.mark.parametrize("data,_", cut(CUT_AFTER_INTERIM))
def test_response_behind_an_interim_one_cut_off(httpd, backend, data, _):
    check_cut(httpd, backend, data, head_passed=False)


def test_uncut_responses_pass(httpd, backend):
    """The counter-check: what was cut above is good as a whole."""
    for good in (CUT_LENGTH, CUT_CHUNKED):
        path = new_path("cut")
        backend.plant(path, good, close=True)
        response = fetch(httpd.port, path)
        assert (response.status, response.body, response.complete) == (200, b"hello world", True)


@pytest.mark.parametrize("good", [CUT_LENGTH, CUT_CHUNKED, CUT_AFTER_INTERIM], ids=["length", "chunked", "interim"])
def test_good_response_byte_by_byte(httpd, backend, good):
    path = new_path("cut")
    backend.plant(path, good, bytewise=True, close=True)
    response = fetch(httpd.port, path)
    assert response.status == 200 and response.complete
    assert response.body in (b"hello world", b"")


def test_reset_within_a_body_that_ends_with_the_connection(sandbox):
    """Only an orderly close ends such a body. A reset must not look like its end."""

    def behave(exchange):
        exchange.send(b"HTTP/1.0 200 OK\r\n\r\nhello")
        # Closing while some of the request's body is here unread is a reset to the other end (unix(7): ECONNRESET).
        assert select.select([exchange.connection.sock], [], [], 10)[0]
        exchange.ended = True
        exchange.connection.sock.close()
        exchange.connection.closed.set()

    backend = sandbox.scripted("reset", behave, read_bodies=False)
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/")
    response = fetch(httpd.port, "/x", "POST", body=b"x" * 100000)
    assert response.status in (200, 502)
    assert not response.complete or response.status == 502
    httpd.log.expect(r"UDR\d{4}.*(reset|closed|broken pipe)")


# --- bytes after a complete response ----------------------------------------------------------------------------------

COMPLETE = [
    pytest.param("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", id="length"),
    pytest.param(
        "GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok", id="chunked"
    ),
    pytest.param("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", id="empty"),
    pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", id="204"),
    pytest.param("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", id="304"),
    pytest.param("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b"", id="head"),
]
EXTRA = [
    pytest.param(b"POISON", id="garbage"),
    pytest.param(b"\r\n", id="crlf"),
    pytest.param(b"P", id="one-byte"),
    pytest.param(GOOD, id="response"),
    pytest.param(GOOD * 3, id="responses"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="interim"),
]


@pytest.mark.parametrize("extra", EXTRA)
@pytest.mark.parametrize("method,good,body", COMPLETE)
def test_bytes_behind_a_complete_response(httpd, backend, method, good, body, extra):
    """The response passes; the connection is not used again; the next answer is the next request's."""
    path = new_path("extra")
    backend.plant(path, good + extra)
    with Client(httpd.port) as client:
        response = client.fetch(path, method)
        assert response.body == body and response.complete
        assert_unharmed(httpd, client)
    assert backend.let_go[path].wait(10), "the connection was kept"
    httpd.log.allow(r"UDR\d{4}.*(after|behind|beyond|extra|more).*response")


@pytest.mark.parametrize("extra", EXTRA)
def test_bytes_behind_a_response_that_fills_a_read(sandbox, extra):
    """On a loop, whose only event of them came with the response."""
    first_read = (65536 - 6144) // 2  # half of what a client is given at once; FlushMaxThreshold is the default
    head_of_it = b"HTTP/1.1 200 OK\r\nContent-Length: %5d\r\n\r\n"
    body = b"b" * (first_read - len(head_of_it % 0))

    def behave(exchange):
        if exchange.request.target == "/filled":
            time.sleep(0.02)  # until the loop waits for it
            exchange.connection.sock.sendall(head_of_it % len(body) + body + extra)
        else:
            exchange.respond(body=exchange.request.target)

    backend = sandbox.scripted("filled", behave)
    httpd = sandbox.httpd(f"UDSPark 0\nUDSRoute / unix:{backend.address}|http://localhost/")
    with Client(httpd.port) as client:
        assert client.fetch("/first").text == "/first"
        for _ in range(3):
            response = client.fetch("/filled")
            assert response.body == body and response.complete
            assert client.fetch("/next").text == "/next"


@pytest.mark.parametrize("extra", EXTRA)
def test_bytes_that_come_while_the_connection_is_idle(sandbox, extra):
    """The poison comes only when the connection lies in the pool already."""
    poisoned = threading.Event()

    def behave(exchange):
        exchange.respond(body=f"{exchange.connection.number} {exchange.request.target}")

    backend = sandbox.scripted("late", behave)
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/")
    with Client(httpd.port) as client:
        assert client.fetch("/first").text == "1 /first"
        backend.connections[0].sock.sendall(extra)
        poisoned.set()
        assert client.fetch("/second").text == "2 /second"
        assert client.fetch("/third").text == "2 /third"
    assert poisoned.is_set()
    backend.wait_for(backend.connections[0].closed.is_set, "the poisoned connection to be closed")
    httpd.log.allow(r"UDR\d{4}.*idle")


# --- what is odd but can be read one way only -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data,body",
    [
        pytest.param(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", b"ok", id="empty-reason"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", b"ok", id="same-length-twice"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH:2\r\n\r\nok", b"ok", id="capitals-no-space"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length:\t 2 \t\r\n\r\nok", b"ok", id="spaces-around-value"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok", id="chunked-capitals"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0002\r\nok\r\n000\r\n\r\n", b"ok", id="leading-zeros"
        ),
        pytest.param(
            b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a;b="c"\r\nok\r\n0;x\r\n\r\n',
            b"ok",
            id="extension",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Empty:\r\nContent-Length: 2\r\n\r\nok", b"ok", id="empty-value"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Latin: \xe4\xf6\r\nContent-Length: 2\r\n\r\nok", b"ok", id="obs-text"),
        pytest.param(b"HTTP/1.1 200 \xe4\r\nContent-Length: 2\r\n\r\nok", b"ok", id="obs-text-reason"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nok", b"ok", id="http-1.0-until-close"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nok", b"ok", id="http-1.1-until-close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", id="http-1.0-with-length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * (LIMIT - 5) + b"\r\nContent-Length: 2\r\n\r\nok",
            b"ok",
            id="longest-line",
        ),
        pytest.param(
            head(*[b"X-%d: " % n + b"b" * 1000 for n in range(120)], b"Content-Length: 2", body=b"ok"),
            b"ok",
            id="large-head",
        ),
    ],
)
def test_odd_but_clear_response_passes(httpd, backend, data, body):
    path = new_path("odd")
    backend.plant(path, data, close=True)
    with Client(httpd.port) as client:
        response = client.fetch(path)
        assert (response.status, response.body, response.complete) == (200, body, True)
        assert len(response.all("Content-Length")) <= 1
        assert_unharmed(httpd, client)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", id="bare-lf"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok", id="one-bare-lf"),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", id="no-space-behind-status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", id="same-length-in-a-list"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 02\r\n\r\nok", id="length-leading-zero"),
        pytest.param(b"HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\nok", id="later-minor-version"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 ;a=b\r\nok\r\n0\r\n\r\n",
            id="space-before-extension",
        ),
    ],
)
def test_response_that_may_be_taken_or_left(httpd, backend, data):
    """The RFC leaves it to the recipient. Taken, it comes out clean: the test's client is strict."""
    path = new_path("odd")
    backend.plant(path, data, close=True)
    httpd.log.allow(r"UDR\d{4}")
    with Client(httpd.port) as client:
        response = client.fetch(path)
        assert (response.status, response.body) == (200, b"ok") or response.status == 502 or not response.complete
        assert_unharmed(httpd, client)


@pytest.mark.parametrize(
    "field", ["Content-Length: 99", "Transfer-Encoding: chunked", "Host: evil", "Connection: close"]
)
def test_trailer_that_must_not_be_one(httpd, backend, field):
    """Framing, routing and the connection don't belong into trailers (RFC 9110, 6.5.1) and are not passed on there."""
    name = field.partition(":")[0]
    path = new_path("odd")
    backend.plant(path, chunked(b"2\r\nok\r\n0\r\n" + field.encode() + b"\r\nX-Good: yes\r\n\r\n"), close=True)
    with Client(httpd.port) as client:
        response = client.fetch(path, fields=[("TE", "trailers"), ("Connection", "TE")])
        assert response.body == b"ok" and response.complete
        assert response.trailer(name) is None
        assert_unharmed(httpd, client)
    httpd.log.allow(r"UDR\d{4}.*trailer")


@pytest.mark.parametrize(
    "field", ["Set-Cookie: a=b", "Content-Type: text/evil", "Location: /evil", "Content-Encoding: gzip"]
)
def test_trailer_does_not_become_a_header(httpd, backend, field):
    """RFC 9110, 6.5.1: a recipient must not merge trailers into the header section."""
    name = field.partition(":")[0]
    path = new_path("odd")
    backend.plant(path, chunked(b"2\r\nok\r\n0\r\n" + field.encode() + b"\r\n\r\n"), close=True)
    response = fetch(httpd.port, path)
    assert response.body == b"ok" and response.complete
    assert field.partition(": ")[2] not in response.all(name)


def test_field_limit_is_the_parameter(sandbox):
    """responsefieldsize is the length of the longest line that passes."""
    line = {"length": 0}

    def behave(exchange):
        exchange.send(head(b"X-A: " + b"b" * (line["length"] - 5), b"Content-Length: 0", body=b""))

    backend = sandbox.scripted("limit", behave)
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/ responsefieldsize=1K")
    line["length"] = 1024
    assert fetch(httpd.port, "/x").status == 200
    line["length"] = 1025
    assert fetch(httpd.port, "/x").status == 502
    httpd.log.expect(r"UDR\d{4}.*long")


def test_head_that_drips_is_ended_by_the_timeout(sandbox):
    """A byte now and then is no silence, but an endless head is ended by its limit, and silence by the timeout."""

    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nX-A: ")
        exchange.peer_closed(20)
        exchange.close()

    backend = sandbox.scripted("drip", behave)
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/ timeout=1")
    assert fetch(httpd.port, "/x").status == 504
    httpd.log.expect(r"UDR\d{4}.*(time|silen)")


def test_the_table_is_long_enough():
    """Sixty malformed heads and bodies are promised."""
    assert len({case.name for case in CASES}) == len(CASES) >= 60
    assert all(re.compile(case.words) for case in CASES)
