# SPDX-License-Identifier: Apache-2.0
"""Members that speak FastCGI, uwsgi or SCGI, and send what they should not: as test_hostile_backend.py has it for HTTP.

Whatever they send, the client gets a well-formed 502 (503 from one that says it is overloaded), or, where the head had
been passed on, a body that is visibly cut short; the next request, on the client's connection and on the pool's, gets
its own answer and nothing else; and the log says once what was wrong."""
import dataclasses
import itertools
import threading

import pytest

import udr_cgi
from udr_cgi import CONTENT_MAX, END_REQUEST, PROTOCOLS, STDERR, STDOUT, end_request, record, stdout
from udr_client import Client, fetch

LIMIT = 16384  # the default of responsefieldsize: the longest line of a head
POISON = b"POISON"
UNFRAMED = ("uwsgi", "scgi")
# What the peer does behind a response: waits for the module to close, closes, serves on.
WAIT, CLOSE, SERVE_ON = "wait", "close", "serve on"
RUNNERS = {"loop": "UDSPark 0", "worker": "UDSLoops Off"}


@dataclasses.dataclass
class Case:
    """One hostile response. words: what the log must say. head_passed: the body is at fault, the head is good.
    status: of a refusal."""

    name: str
    data: bytes
    words: str
    head_passed: bool = False
    status: int = 502


def head(*lines, status=b"Status: 200", body=POISON):
    """A CGI response of these field lines."""
    return b"".join(line + b"\r\n" for line in (status, *lines) if line is not None) + b"\r\n" + body


# --- what a CGI program may get wrong, whatever carries it ------------------------------------------------------------

STATUS = [
    *(
        Case(f"status-{name}", head(status=b"Status: " + value), "Status")
        for name, value in (
            *(("letters", b"abc"), ("two-digits", b"20"), ("four-digits", b"2000"), ("negative", b"-20")),
            *(("000", b"000"), ("099", b"099"), ("100", b"100 Continue"), ("103", b"103 Early Hints")),
            *(("101", b"101 Switching Protocols"), ("199", b"199"), ("600", b"600"), ("999", b"999"), ("empty", b"")),
            *(("hexadecimal", b"0x200"), ("letter-behind", b"20x OK"), ("no-space", b"200OK"), ("plus", b"+200")),
            *(("http", b"HTTP/1.1 200 OK"), ("quoted", b'"200"'), ("fraction", b"200.1")),
        )
    ),
    Case("status-twice", head(b"Status: 404"), "differing Status"),
    Case("status-twice-apart", head(b"X-A: b", b"sTATUS:500 Oh"), "differing Status"),
    Case("status-with-nul", head(status=b"Status: 200 O\0K"), "NUL"),
    Case("status-with-bare-cr", head(status=b"Status: 200 OK\rX-A: b"), "bare CR"),
    Case("status-folded", b"Status:\r\n 200\r\n\r\nPOISON", "fold|Status"),
    *(
        Case(f"line-{name}", head(status=line), "status line")
        for name, line in (
            *(("100", b"HTTP/1.1 100 Continue"), ("103", b"HTTP/1.1 103 Early Hints"), ("599+", b"HTTP/1.1 600 OK")),
            *(("101", b"HTTP/1.1 101 Switching Protocols"), ("000", b"HTTP/1.1 000 OK"), ("20", b"HTTP/1.1 20 OK")),
            *(("2000", b"HTTP/1.1 2000 OK"), ("letters", b"HTTP/1.1 20x OK"), ("alone", b"HTTP/1.1")),
            *(("no-version", b"HTTP/ 200 OK"), ("no-minor", b"HTTP/x 200 OK"), ("glued", b"HTTP/1.1200 OK")),
        )
    ),
    Case("line-with-nul", head(status=b"HTTP/1.1 200 O\0K"), "NUL"),
    Case("line-twice", head(b"HTTP/1.1 200 OK", status=b"HTTP/1.1 200 OK"), "colon"),
    Case("line-behind-fields", head(b"HTTP/1.1 200 OK"), "colon"),
    Case("line-of-another-protocol", head(status=b"ICY 200 OK"), "colon"),
    Case("interim-first", head(status=b"HTTP/1.1 100 Continue", body=head(status=b"HTTP/1.1 200 OK")), "below 200"),
]

LENGTHS = [
    *(
        Case(f"length-{name}", head(b"Content-Length: " + value), "Content-Length")
        for name, value in (
            *(("with-space", b"6 6"), ("negative", b"-6"), ("plus", b"+6"), ("hexadecimal", b"0x6"), ("empty", b"")),
            *(("fraction", b"6.0"), ("exponent", b"6e0"), ("letters", b"6a"), ("quoted", b'"6"'), ("comma", b"6,")),
            *(("64-bits", b"18446744073709551622"), ("63-bits", b"9223372036854775808"), ("digits", b"9" * 300)),
        )
    ),
    Case("length-twice", head(b"Content-Length: 6", b"Content-Length: 5"), "differing Content-Lengths"),
    Case("length-in-a-list", head(b"Content-Length: 6, 5"), "differing Content-Lengths"),
    Case("length-thrice", head(*[b"Content-Length: 6"] * 2, b"content-length: 7"), "differing Content-Lengths"),
    Case("length-before-status", head(b"Content-Length: x", b"Status: 200", status=None), "Content-Length"),
]

FIELDS = [
    Case("garbage", b"GARBAGE\r\n\r\n", "colon"),
    Case("html-without-head", b"<html>POISON</html>\r\n\r\n", "colon|field name"),
    Case("no-field", b"\r\nPOISON", "empty head"),
    Case("no-field-lf", b"\nPOISON", "empty head"),
    Case("empty-name", head(b": b"), "name"),
    Case("space-before-colon", head(b"Content-Length : 6"), "white space"),
    Case("tab-before-colon", head(b"X-A\t: b"), "white space"),
    Case("space-in-name", head(b"X A: b"), "white space"),
    Case("obs-fold", head(b"X-A: b", b" c"), "fold"),
    Case("first-field-folded", head(status=b" Status: 200"), "fold"),
    Case("line-of-spaces", head(b"X-A: b", b"   "), "fold"),
    Case("no-colon", head(b"Nonsense"), "colon"),
    Case("injected-by-cr", head(b"Location: /x\rSet-Cookie: POISON=1"), "bare CR"),
    Case("injected-by-cr-in-name", head(b"X\rSet-Cookie: POISON=1"), "bare CR"),
    Case("injected-by-nul", head(b"X-A: b\0Set-Cookie: POISON=1"), "NUL"),
    Case("nul-in-name", head(b"X\0A: b"), "NUL"),
    Case("nul-in-length", head(b"Content-Length: 6\0"), "NUL"),
    Case("cr-cr-lf", head(b"X-A: b\r"), "bare CR"),
    Case("cr-alone-ends-lines", b"Status: 200\rX-A: b\r\rPOISON\r\n\r\n", "bare CR"),
    Case("control-character", head(b"X-A: b\x01c"), "control character"),
    Case("delete", head(b"X-A: b\x7fc"), "control character"),
    Case("eight-bit-name", head(b"X-\xc3\xa4: b"), "field name"),
    Case("at-in-name", head(b"X@A: b"), "field name"),
    Case("quoted-name", head(b'"X-A": b'), "field name"),
    Case("line-too-long", head(b"X-A: " + b"b" * LIMIT), "long"),
    Case("name-too-long", head(b"X" * (LIMIT + 1) + b": b"), "long"),
    Case("line-without-end", b"Status: 200\r\nX-A: " + b"b" * (4 * LIMIT), "long"),
    Case("head-too-long", head(*[b"X-%d: " % number + b"b" * 1000 for number in range(140)]), "long"),
    Case("head-without-end", b"X-A: b\r\n" * 40000, "long"),
]

PROGRAMS = STATUS + LENGTHS + FIELDS

# --- records ----------------------------------------------------------------------------------------------------------

GOOD = head(b"Content-Length: 6")
FCGI_GOOD = udr_cgi.wrap("fcgi", GOOD)
BEGUN = stdout(head(b"Content-Length: 11", body=b"hello "))  # a good head, and half of the body
BEGUN_OPEN = stdout(head(body=b"hello "))  # that says of no length


def refused(name, data, words, **more):
    """The same before the head and within the body."""
    return [
        Case(name, data, words, **more),
        Case(f"{name}-in-body", BEGUN + data, words, head_passed=True),
        Case(f"{name}-in-open-body", BEGUN_OPEN + data, words, head_passed=True),
    ]


RECORDS = [
    *(
        case
        for version in (0, 2, 255)
        for case in refused(f"version-{version}", record(STDOUT, GOOD, version=version), "another version than 1")
    ),
    *(
        case
        for kind in (0, 1, 2, 4, 5, 8, 9, 10, 11, 12, 255)
        for case in refused(f"type-{kind}", record(kind, b"Status: 200\r\n\r\nPOISON"), "of a type")
    ),
    *(
        case
        for number in (0, 2, 256, 65535)
        for kind in (STDOUT, STDERR, END_REQUEST)
        for case in refused(f"id-{number}-{kind}", record(kind, b"POISON\n\n", request=number), "another request")
    ),
    *(
        case
        for length in (0, 1, 7, 9, 16, CONTENT_MAX)
        for case in refused(f"end-of-{length}-bytes", record(END_REQUEST, b"\0" * length), "another length than 8")
    ),
    *refused("end-with-unknown-status", end_request(4), "specification does not know"),
    *refused("end-with-status-255", end_request(255), "specification does not know"),
    *refused("end-with-unknown-role", end_request(udr_cgi.UNKNOWN_ROLE), "role"),
    *refused("end-overloaded", end_request(udr_cgi.OVERLOADED), "overloaded", status=503),
    *refused("end-no-multiplexing", end_request(udr_cgi.CANT_MPX_CONN), "no second request", status=503),
    Case("end-alone", end_request(), "without an answer"),
    Case("end-behind-end-of-stdout", record(STDOUT) + end_request(), "without an answer"),
    Case("end-within-head", stdout(b"Status: 200\r\nX-A: b\r\n") + end_request(), "before its head was complete"),
    Case("end-within-body", BEGUN + end_request(), "within the body", True),
    Case("end-within-body-in-order", BEGUN + record(STDOUT) + end_request(), "within the body", True),
    Case("end-of-a-failed-program", BEGUN + end_request(application_status=1), "within the body", True),
    Case("stdout-behind-its-end", record(STDOUT) + FCGI_GOOD, "behind its end"),
    Case("stdout-behind-its-end-in-head", stdout(b"Status: 200\r\n") + record(STDOUT) + FCGI_GOOD, "behind its end"),
    Case("stdout-behind-its-end-in-body", BEGUN + record(STDOUT) + stdout(POISON), "behind its end", True),
    Case("head-in-too-many-pieces", stdout(b"X-A: b\r\n" * 9000, 1), "too many pieces"),
    Case("line-too-long-in-pieces", stdout(b"X-A: " + b"b" * 20000, 20), "long"),
    Case("line-too-long-in-small-pieces", stdout(b"X-A: " + b"b" * 20000, 7), "too many pieces"),
    Case("line-too-long-around-padding", stdout(b"X-A: " + b"b" * 20000, 100, padding=255), "long"),
    Case("bare-cr-at-a-record's-end", stdout(b"X-A: b\r") + stdout(b"X-B: c\r\n\r\n"), "bare CR"),
    Case("http", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON", "HTTP"),
    Case("cgi-without-records", GOOD, "another version than 1"),
    Case("tls-alert", b"\x15\x03\x01\0\x02\x02\x46", "TLS"),
    Case("http-2-settings", b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64", "HTTP/2"),
]

OTHERS = [
    Case("fastcgi", FCGI_GOOD, "FastCGI"),
    Case("fastcgi-end-request", end_request(), "FastCGI"),
    Case("tls-alert", b"\x15\x03\x01\0\x02\x02\x46", "TLS"),
    Case("http-2-settings", b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64", "HTTP/2"),
    Case("redis", b"-ERR unknown command 'GET'\r\n\r\n", "colon"),
    Case("ssh", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "colon"),
]

CASES = {
    "fcgi": [dataclasses.replace(case, data=udr_cgi.wrap("fcgi", case.data)) for case in PROGRAMS] + RECORDS,
    **{protocol: PROGRAMS + OTHERS for protocol in UNFRAMED},
}


# --- the peer ---------------------------------------------------------------------------------------------------------


class HostileServer:
    """Answers /PROTOCOL/good/TOKEN with just that, and everything else with what was planted for it."""

    def __init__(self, sandbox, protocol):
        self.protocol = protocol
        self.planted = {}
        self.let_go = {}  # path -> set when the module has closed the connection of that response
        self.let_behave = None  # what a test wants to be done instead
        self.seen = []
        self.server = sandbox.scripted(protocol, self._behave, protocol=protocol)

    def plant(self, kind, data, then=WAIT, bytewise=False):
        """Returns the path that is answered with the data. then: what to do behind it."""
        path = f"/{self.protocol}/{kind}/{next(_tokens)}"
        self.planted[path] = (data, then, bytewise)
        self.let_go[path] = threading.Event()
        return path

    def good_path(self):
        return f"/{self.protocol}/good/{next(_tokens)}"

    def _behave(self, exchange):
        path = exchange.request.target
        self.seen.append(path)
        if self.let_behave:
            self.let_behave(exchange)
            return
        if "/good/" in path:
            exchange.respond(body=path)
            return
        data, then, bytewise = self.planted[path]
        for piece in [data[at : at + 1] for at in range(len(data))] if bytewise else [data]:
            exchange.send(piece)
        if then == WAIT and exchange.peer_closed(10):
            self.let_go[path].set()
        if then != SERVE_ON:
            exchange.close()


_tokens = itertools.count(1)


@pytest.fixture(scope="module")
def servers(module_sandbox):
    return {protocol: HostileServer(module_sandbox, protocol) for protocol in PROTOCOLS}


@pytest.fixture(scope="module", params=RUNNERS)
def httpd(request, module_sandbox, servers):
    lines = [RUNNERS[request.param]]
    for name, hostile in servers.items():
        lines.append(f"UDSRoute /{name}/ unix:{hostile.server.address}|{name}://localhost/srv/ timeout=15")
    return module_sandbox.httpd("\n".join(lines))


def each(cases=None):
    """Of each protocol each of its cases, or of all of them the same."""
    return pytest.mark.parametrize(
        "protocol,case",
        [pytest.param(p, case, id=f"{p}-{case.name}") for p in PROTOCOLS for case in (cases or CASES)[p]],
    )


def assert_unharmed(httpd, hostile, client):
    """The next requests, on the client's connection where that is still open and on a new one, get their own answers,
    the second of them on the connection of the first if that has been kept."""
    if client.reusable:
        path = hostile.good_path()
        assert client.fetch(path).text == path
    else:
        assert client.closed_by_server()
    for _ in range(2):
        path = hostile.good_path()
        assert fetch(httpd.port, path).text == path


def assert_refused(response, case):
    """A well-formed refusal; or, where the head was good, a body that does not look complete."""
    if response.status >= 500:
        assert response.status == case.status or case.head_passed, str(response)
        assert response.complete and response.has("Content-Type")
    else:
        assert case.head_passed, f"passed on: {response}"
        assert response.status == 200 and response.framing in ("length", "chunked")
        assert not response.complete, f"looks complete: {response}"
        assert b"hello ".startswith(response.body)
    assert not response.interim
    assert POISON not in response.body and not any("POISON" in value for _, value in response.fields)


@each()
def test_malformed_response(httpd, servers, protocol, case):
    hostile = servers[protocol]
    path = hostile.plant("bad", case.data)
    with Client(httpd.port) as client:
        assert_refused(client.fetch(path), case)
        assert hostile.let_go[path].wait(10), "the connection was not closed"
        assert_unharmed(httpd, hostile, client)
    line = httpd.log.expect(rf"UDR\d{{4}}.*({case.words})")
    assert hostile.server.address in line.text
    assert hostile.seen.count(path) == 1, "the request was sent again"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_malformed_response_byte_by_byte(httpd, servers, protocol):
    """Some of each kind; the readers' own tests have every split."""
    hostile = servers[protocol]
    names = ("status-999", "status-twice", "length-twice", "obs-fold", "injected-by-cr", "nul-in-name", "type-9")
    for case in CASES[protocol]:
        if case.name in names:
            path = hostile.plant("bad", case.data, bytewise=True)
            with Client(httpd.port) as client:
                assert_refused(client.fetch(path), case)
                assert hostile.let_go[path].wait(10), f"{case.name}: the connection was not closed"
                assert_unharmed(httpd, hostile, client)
            httpd.log.expect(rf"UDR\d{{4}}.*({case.words})")


# --- cut off ----------------------------------------------------------------------------------------------------------

BODY = b"hello world"
LENGTH_HEAD = head(b"Content-Length: 11", b"X-A: b", body=b"")
OPEN_HEAD = head(b"X-A: b", body=b"")
RESPONSES = {
    # name: (protocol, the parts: one that is complete when all but the last of them has come)
    "fcgi-length": ("fcgi", stdout(LENGTH_HEAD + BODY), record(STDOUT) + end_request()),
    "fcgi-length-padded": ("fcgi", stdout(LENGTH_HEAD + BODY, 5, padding=3)[:-3], b"\xaa" * 3 + end_request()),
    "fcgi-open": ("fcgi", stdout(OPEN_HEAD + BODY) + record(STDOUT), end_request()),
    "fcgi-open-without-end": ("fcgi", stdout(OPEN_HEAD + BODY, 7) + end_request(), b""),
    "fcgi-notes": (
        "fcgi",
        record(STDERR, b"n\n") + stdout(LENGTH_HEAD + BODY, 9),
        record(STDERR, b"n") + end_request(),
    ),
    "uwsgi": ("uwsgi", LENGTH_HEAD.replace(b"Status:", b"HTTP/1.1") + BODY, b""),
    "scgi": ("scgi", LENGTH_HEAD + BODY, b""),
}


@pytest.mark.parametrize("name", RESPONSES)
def test_response_cut_off(httpd, servers, name):
    """Before each of its bytes, at least as far as it is complete without the rest."""
    protocol, needed, rest = RESPONSES[name]
    hostile = servers[protocol]
    httpd.log.allow(r"UDR0007.*closed (before|within)")
    httpd.log.allow(r"UDR0069: .* says: n")
    for offset in range(len(needed + rest) + 1):
        path = hostile.plant("cut", (needed + rest)[:offset], then=CLOSE)
        with Client(httpd.port) as client:
            response = client.fetch(path)
            if offset >= len(needed):
                assert (response.status, response.body, response.complete) == (200, BODY, True), (offset, str(response))
            elif response.status == 502:
                assert response.complete and b"X-A" not in response.body, offset
            else:
                assert not response.complete and BODY.startswith(response.body), (offset, str(response))
            assert_unharmed(httpd, hostile, client)
    refusals = len(httpd.log.find(r"UDR0007.*closed (before|within)"))
    assert refusals == len(needed), "not each was told of"


def test_close_within_an_open_body(httpd, servers):
    """uwsgi and SCGI have nothing but the close to end it. FastCGI says where it ends."""
    hostile = servers["fcgi"]
    path = hostile.plant("cut", stdout(OPEN_HEAD + BODY), then=CLOSE)
    response = fetch(httpd.port, path)
    assert not response.complete or response.status == 502
    httpd.log.expect(r"UDR0007.*END_REQUEST has not come")


# --- bytes behind the end ---------------------------------------------------------------------------------------------

SECOND = head(b"Content-Length: 6")
EXTRA = {
    "garbage": POISON,
    "one-byte": b"P",
    "crlf": b"\r\n",
    "cgi": SECOND,
    "http": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON",
    "response": udr_cgi.wrap("fcgi", SECOND),
    "responses": udr_cgi.wrap("fcgi", SECOND) * 3,
    "end": end_request(),
    "stdout": stdout(POISON),
    "end-of-stdout": record(STDOUT),
    "stderr": record(STDERR, b"POISON\n"),
    "half-a-record": stdout(POISON)[:5],
    "zeros": b"\0" * 64,
}


@pytest.mark.parametrize("extra", EXTRA)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bytes_behind_a_complete_response(httpd, servers, protocol, extra):
    """The response passes, the connection is not used again."""
    hostile = servers[protocol]
    good = udr_cgi.wrap(protocol, head(b"Content-Length: 2", body=b"ok"))
    path = hostile.plant("extra", good + EXTRA[extra])
    with Client(httpd.port) as client:
        response = client.fetch(path)
        assert (response.status, response.body, response.complete) == (200, b"ok", True)
        assert_unharmed(httpd, hostile, client)
    assert hostile.let_go[path].wait(10), "the connection was kept"


@pytest.mark.parametrize("extra", EXTRA)
def test_bytes_that_come_while_the_connection_is_idle(httpd, servers, extra):
    """Of FastCGI's connections, which are kept: the poison comes when the answer has gone out."""
    hostile = servers["fcgi"]
    poisoned = []

    def behave(exchange):
        poisoned.append(exchange.connection)
        exchange.respond(body=str(exchange.connection.number))

    hostile.let_behave = behave
    try:
        with Client(httpd.port) as client:
            first = client.fetch("/fcgi/own")
            assert first.text == str(poisoned[-1].number)
            poisoned[-1].sock.sendall(EXTRA[extra])
            second = client.fetch("/fcgi/own")
            assert second.text == str(poisoned[-1].number) != first.text
        hostile.server.wait_for(poisoned[0].closed.is_set, "the poisoned connection to be closed")
    finally:
        hostile.let_behave = None
    httpd.log.allow(r"UDR\d{4}.*idle")


# --- what is odd but clear --------------------------------------------------------------------------------------------

ODD = {
    # name: (response, status, body)
    "lines-end-in-lf": (b"Status: 404\nX-A: b\n\nok", 404, b"ok"),
    "no-status": (head(status=b"X-A: b", body=b"ok"), 200, b"ok"),
    "location-alone": (head(status=b"Location: http://elsewhere.test/", body=b""), 302, b""),
    "status-line": (head(status=b"HTTP/1.1 404 Gone Astray", body=b"ok"), 404, b"ok"),
    "status-line-of-http-2": (head(status=b"HTTP/2.0 200 OK", body=b"ok"), 200, b"ok"),
    "status-line-and-field": (head(b"Status: 500", status=b"HTTP/1.0 200 OK", body=b"ok"), 200, b"ok"),
    "status-twice-the-same": (head(b"Status: 200 Fine", body=b"ok"), 200, b"ok"),
    "length-twice-the-same": (head(*[b"Content-Length: 2"] * 2, body=b"ok"), 200, b"ok"),
    "length-too-short": (head(b"Content-Length: 2", body=b"okPOISON"), 200, b"ok"),
    "length-0": (head(b"Content-Length: 0"), 200, b""),
    "204-with-body": (head(b"Content-Length: 6", status=b"Status: 204"), 204, b""),
    "304-with-body": (head(b"Content-Length: 6", status=b"Status: 304"), 304, b""),
    "coding": (head(b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n"), 200, b"2\r\nok\r\n0\r\n\r\n"),
    "coding-and-length": (head(b"Transfer-Encoding: chunked", b"Content-Length: 2", body=b"ok"), 200, b"ok"),
    "hop-by-hop": (
        head(b"Connection: close, X-A", b"X-A: POISON", b"Keep-Alive: POISON", b"Upgrade: POISON", body=b"ok"),
        200,
        b"ok",
    ),
    "trailer": (head(b"Trailer: POISON", b"TE: POISON", b"Proxy-Connection: POISON", body=b"ok"), 200, b"ok"),
    "latin-1": (head(b"X-A: \xe4", status=b"Status: 200 \xe4", body=b"ok"), 200, b"ok"),
    "longest-line": (head(b"X-B: " + b"b" * (LIMIT - 5), body=b"ok"), 200, b"ok"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_odd_but_clear_response(httpd, servers, protocol, name):
    """It passes, and comes out clean: the client here is strict."""
    hostile = servers[protocol]
    response, status, body = ODD[name]
    path = hostile.plant("odd", udr_cgi.wrap(protocol, response), then=CLOSE)
    with Client(httpd.port) as client:
        answer = client.fetch(path)
        assert (answer.status, answer.body, answer.complete) == (status, body, True)
        assert not answer.has("Status") and "POISON" not in str(answer.fields)
        assert_unharmed(httpd, hostile, client)


PIECES = {
    "one-byte-records": stdout(LENGTH_HEAD + BODY, 1),
    "one-byte-records-padded": stdout(LENGTH_HEAD + BODY, 1, padding=255),
    "notes-between-all-bytes": b"".join(
        stdout(bytes([byte])) + record(STDERR, b"n", padding=7) for byte in LENGTH_HEAD + BODY
    ),
    "empty-notes": record(STDERR) * 100 + stdout(LENGTH_HEAD + BODY) + record(STDERR) * 100,
    "head-and-body-apart": stdout(LENGTH_HEAD, 3) + stdout(BODY, 2),
}


@pytest.mark.parametrize("name", PIECES)
def test_response_in_pieces(httpd, servers, name):
    hostile = servers["fcgi"]
    path = hostile.plant("odd", PIECES[name] + record(STDOUT) + end_request(), SERVE_ON)
    response = fetch(httpd.port, path)
    assert (response.status, response.body, response.complete) == (200, BODY, True)
    httpd.log.allow(r"UDR0069: .* says: n+$")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_body_in_the_answer_to_head(httpd, servers, protocol):
    hostile = servers[protocol]
    for response in (SECOND, head(), head(b"Content-Length: 99")):
        path = hostile.plant("odd", udr_cgi.wrap(protocol, response), then=SERVE_ON if protocol == "fcgi" else CLOSE)
        with Client(httpd.port) as client:
            answer = client.fetch(path, "HEAD")
            assert (answer.status, answer.body) == (200, b"")
            assert_unharmed(httpd, hostile, client)


# --- floods -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000, CONTENT_MAX])
def test_flood_for_the_error_log(httpd, servers, size):
    """Of a line without end, before the head, within it and behind; each piece of it is a line, and none is kept."""
    hostile = servers["fcgi"]
    total = 200_000 if size == 1 else 8 << 20
    notes = record(STDERR, b"n" * size) * (total // 3 // size)
    fetch(httpd.port, hostile.plant("odd", stdout(LENGTH_HEAD + BODY) + end_request(), SERVE_ON))
    before = httpd.private_bytes()
    path = hostile.plant(
        "odd",
        notes + stdout(LENGTH_HEAD[:5]) + notes + stdout(LENGTH_HEAD[5:]) + notes + stdout(BODY) + end_request(),
        SERVE_ON,
    )
    httpd.log.allow(r"UDR0069: .* says: n+$")
    response = fetch(httpd.port, path)
    assert (response.status, response.body, response.complete) == (200, BODY, True)
    assert httpd.private_bytes() - before < 2 << 20
    assert max(len(line.raw) for line in httpd.log.find("UDR0069")) < 8192
    told = sum(line.raw.rpartition("says: ")[2].count("n") for line in httpd.log.find("UDR0069"))
    assert told == notes.count(b"n") * 3


def test_lines_for_the_error_log(httpd, servers):
    """None looks like another's, or hides what stands behind it."""
    hostile = servers["fcgi"]
    notes = b"one\r\n\n[Mon Jan 01] [core:emerg] forged\n\x1b[2Jred\x07\nbefore\0behind\nat the end"
    data = record(STDERR, notes[:20]) + record(STDERR, notes[20:]) + stdout(GOOD) + end_request()
    path = hostile.plant("odd", data, SERVE_ON)
    assert fetch(httpd.port, path).body == POISON
    lines = [line.raw for line in httpd.log.expect(r"UDR0069: .* says: ", times=5)]
    texts = [line.partition("says: ")[2] for line in lines]
    assert texts[0] == "one" and texts[1] == "[Mon Jan 01] [core:emerg] forged" and texts[4] == "at the end"
    assert "\x1b" not in texts[2] and "red" in texts[2] and "before" in texts[3] and "behind" in texts[3]


# --- nothing crosses to another request -------------------------------------------------------------------------------


def talk_nonsense(exchange):
    exchange.send(b"GARBAGE\r\n\r\n")
    exchange.peer_closed(10)
    exchange.close()


def test_refusal_while_the_body_is_sent(httpd, servers):
    """It answers nonsense, and reads no more of the request."""
    for protocol, hostile in servers.items():
        hostile.let_behave = talk_nonsense
        hostile.server.read_bodies = False
        try:
            response = fetch(httpd.port, f"/{protocol}/x", "POST", body=b"x" * 3_000_000)
        finally:
            hostile.let_behave = None
            hostile.server.read_bodies = True
        assert response.status == 502 and response.complete
        httpd.log.expect(r"UDR0008.*(colon|version)")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_good_requests_beside_bad_ones(httpd, servers, protocol):
    """All at once over one pool: each good one gets its own answer."""
    hostile = servers[protocol]
    httpd.log.allow(r"UDR\d{4}")
    problems = []

    def run(cases):
        for case in cases:
            with Client(httpd.port) as client:
                client.fetch(hostile.plant("bad", case.data))
                try:
                    assert_unharmed(httpd, hostile, client)
                except AssertionError as problem:
                    problems.append(problem)

    clients = 8
    threads = [threading.Thread(target=run, args=(CASES[protocol][n :: 2 * clients],)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems and not any(thread.is_alive() for thread in threads)


def test_the_tables_are_long_enough():
    for cases in CASES.values():
        assert len({case.name for case in cases}) == len(cases) >= 40
