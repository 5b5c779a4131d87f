# SPDX-License-Identifier: Apache-2.0
"""A plain head is not read by httpd on a loop: what modules see of its request is nevertheless what httpd would have
made of it. A module of the tests writes all that a request record says into the access log; it is compared with what it
says on an httpd without loops. And heads that are not plain are httpd's to read."""
import dataclasses

import pytest

import udr_environment
import udr_wire
from udr_client import chunk
from udr_loops import adopted, loop_httpd, route

FORMAT = "%I %U %>s %{record}n"

RECORD = f"LoadModule udr_record_module {udr_environment.build_directory()}/tests/modules/.libs/mod_udr_record.so\n"

CONFIG = f"""{RECORD}
LimitRequestLine 500
LimitRequestFields 20
LimitRequestFieldSize 400
RequestReadTimeout header=10-20,MinRate=500 body=10,MinRate=500
<VirtualHost *:@PORT@>
    ServerName localhost
    Timeout 50
</VirtualHost>
<VirtualHost *:@PORT@>
    ServerName second.example
    ServerAlias *.second.example
    Timeout 40
</VirtualHost>
"""


def head(line="GET /app/x HTTP/1.1", *fields, host="Host: localhost", end="\r\n"):
    lines = [line, *([host] if host is not None else []), *fields, ""]
    return "".join(line + end for line in lines).encode("latin-1")


def of_length(length):
    """A request line of that length."""
    return f"GET /app/{'x' * (length - len('GET /app/ HTTP/1.1'))} HTTP/1.1"


# What is sent, and whether it is a plain head.
METHODS = [
    *[(head(f"{method} /app/x HTTP/1.1"), True) for method in ("GET", "HEAD", "OPTIONS", "DELETE", "PATCH", "POST",
        "PUT")],
    *[(head(f"{method} /app/x HTTP/1.1"), False) for method in ("PROPFIND", "TRACE", "MERGE", "get", "Get", "G",
        "BREW")],
]

LENIENT = [
    *[(head(f"GET {target} HTTP/1.1"), True) for target in ("/app/x", "/app/x?a", "/app//x/./../y")],
    *[(head("GET /app/x HTTP/1.1", *fields), True) for fields in (("X-A:  b ",), ("X-A:",), ("X-A: \xe4",))],
    (head("GET  /app/x  HTTP/1.1 "), False),
    (head("GET /app/x HTTP/1.1", "X-A : b"), False),
    (head(end="\n"), False),
    (head("GET /app/x HTTP/1.1", "X-A: b\x01c"), False),
]

LINES = [
    *METHODS,
    *[(head(f"GET {target} HTTP/1.{minor}"), True) for minor in (0, 1) for target in (
        "/app/", "/app/x?", "/app/x?a", "/app/x?a=b&c=d", "/app/x?a?b", "/app/x??", "/app/%20", "/app/%2e%2e/x",
        "/app/%41",
        "/app/a//b", "/app/a///b?//", "/app/./x", "/app/../app/x", "/app/x/..", "/app/x;v=1", "/app/x,y", "/app/(x)",
        "/app/'x'", "/app/x!y*z", "/app/x~y", "/app/x_y-z", "/app/x@y:z", "/app/$1+2", "/app/x?/../y", "/app/x?%3f%23",
        "/absent", "/", "/app", "/app/a.b.c", "/app/x?a=/b/c", "/app/%e4", "/app/%zz", "/app/%", "/app/%0", "/app/%00",
        "/app/a%2fb", "/app/x&y", "/app/x=y",
    )],
    *[(head(f"GET {target} HTTP/1.1"), False) for target in (
        "//app/x", "///app//x", "/app/x#y", "/app/x?a#b", "/app/x y", "app/x", "*", "http://localhost/app/x",
        "http://second.example/app/x?y", "http://localhost:80", "/app/x\\y", '/app/"x"', "/app/<x>", "/app/x^y",
        "/app/x`y",
        "/app/{x}", "/app/x|y", "/app/[x]", "/app/\xe4", "/app/x\x7f", "/app/\x01", "", "?a", "/app/x\ty",
    )],
    *[(head(f"GET /app/x {protocol}"), False) for protocol in (
        "HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/1.10", "HTTP/1.", "http/1.1", "HTTP/1.1 ", "HTTP/1.1 x",
        "HTTP/a.b", "",
    )],
    *[(head(line), False) for line in (
        "GET  /app/x HTTP/1.1", "GET /app/x  HTTP/1.1", " GET /app/x HTTP/1.1", "GET\t/app/x HTTP/1.1", "GET /app/x",
        "GET",
        "G,T /app/x HTTP/1.1", "GET/app/x HTTP/1.1",
    )],
    (head("OPTIONS * HTTP/1.1"), False),
    (head("CONNECT localhost:80 HTTP/1.1"), False),
    (head(end="\n"), False),
    (b"\r\n" + head(), False),
    (b"\r\n\r\n\n" + head(), False),
    (head().replace(b"1.1\r\n", b"1.1\n"), False),
    *[(head(of_length(length)), length <= 498) for length in (497, 498, 499, 500, 501, 502, 900)],
]

FIELDS = [
    *[(head("GET /app/x HTTP/1.1", *fields), True) for fields in (
        (), ("X-A: b",), ("X-A:b",), ("X-A:   b",), ("X-A:\tb\t ",), ("X-A:",), ("X-A: ",), ("X-A: b c\td",),
        ("X-A: \xe4\xff",),
        ("!#$%&'*+-.^_`|~09azAZ: b",), ("X-A: :b:",), ("Accept: */*", "Accept-Encoding: gzip", "User-Agent: a (b)"),
        ("Cookie: a=b; c=d",), ("connection: keep-alive",), ("Connection: close",), ("Connection: X-A", "X-A: b"),
        ("Range: bytes=0-1",), ("If-None-Match: *",), ("Upgrade: websocket",), ("Upgrade: h2c",), ("TE: trailers",),
        ("Proxy: x",), ("Authorization: Basic YTpi",), ("X-Forwarded-For: 1.2.3.4",), ("Max-Forwards: 3",),
        tuple(f"X-{number}: {number}" for number in range(19)), ("XA: a", "XB: b", "XC: c"), ("Content-Length: 0",),
        ("A: b",), ("hOsT2: b",), ("Expect2: b",), ("Accept: a", "Accept-A: b", "Accept-B: c", "Accepted: d"),
    )],
    *[(head("GET /app/x HTTP/1.1", *fields), False) for fields in (
        ("X-A: a", "X-A: b"), ("X-A: a", "x-a: b"), ("Cookie: a", "X-B: c", "Cookie: b"), ("X-A : b",), (" X-A: b",),
        ("X-A: a", " b"), ("X-A: a", "\tb", "X-B: c"), ("X-A",), (": b",), ("X A: b",), ("X-\xe4: b",), ("X-A: \x01",),
        ("X-A: a\x7f",), ("X-A: a\rb",), ("X-A: a\x00b",), ("Expect: 100-continue",), ("Expect: miracles",),
        ("expect:",),
        ("Content-Length: -1",), ("Content-Length: a",), ("Content-Length: 0x1",), ("Content-Length:",),
        ("Content-Length: 99999999999999999999",), ("Content-Length: 0", "Content-Length: 0"),
        ("Transfer-Encoding: x",),
        ("Content-Length: 0, 0",), ("X-A(): b",), ("Host: second.example",),
        tuple(f"X-{number}: {number}" for number in range(20)), tuple(f"X-{number}: {number}" for number in range(25)),
    )],
    *[(head("GET /app/x HTTP/1.1", "X-A: " + "y" * (length - 5)), length <= 398) for length in (397, 398, 399, 400,
        401, 402, 800)],
    (head().replace(b"localhost\r\n", b"localhost\n"), False),
]

# The first four are plain where nobody times how bodies come. One is answered without its body being read.
BODIES = [
    head("OPTIONS /app/x HTTP/1.1", "Max-Forwards: 0", "Content-Length: 5") + b"hello",
    head("POST /app/x HTTP/1.1", "Content-Length: 5") + b"hello",
    head("PUT /app/x HTTP/1.0", "Content-Length: 05") + b"hello",
    head("GET /absent HTTP/1.1", "Content-Length: 5") + b"hello",
    head("POST /app/x HTTP/1.1", "Transfer-Encoding: chunked") + chunk(b"hello") + b"0\r\n\r\n",
    head("POST /app/x HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 3") + chunk(b"hello") + b"0\r\n\r\n",
]
TIMED_BODIES = [(data, False) for data in BODIES] + [
    (head("POST /app/x HTTP/1.1", "Content-Length: 0"), True),
    (head("POST /app/x HTTP/1.1"), True),
]
UNTIMED_BODIES = [(data, index < 4) for index, data in enumerate(BODIES)]

HOSTS = [
    (head(host=f"Host: {host}"), True) for host in (
        "localhost", "second.example", "localhost", "LOCALHOST", "localhost:1", "localhost:80", "localhost.",
        "a.second.example",
        "second.example:443", "localhost:", "unknown", "127.0.0.1", "[::1]", "[::1]:80", "a b", "a/b", "a@b", "1234",
        "", "a..b", "-a",
        "a_b", "localhost:x", "localhost:99999", ":80", "x" * 300, "\xe4", "localhost",
    )
] + [
    (head("GET /app/x HTTP/1.0", host=None), True),
    (head("GET /app/x HTTP/1.1", host=None), True),
    (head("GET /app/x HTTP/1.0"), True),
]


@pytest.fixture(name="backend", scope="module")
def _backend(module_sandbox):
    return module_sandbox.scripted("app", lambda exchange: exchange.respond(body=exchange.request.body or "answer"))


@dataclasses.dataclass(frozen=True)
class Outcome:
    answer: object
    ends: bool  # the connection
    record: str


class Stand:
    """Two httpds, one with a loop and one without, and what they say of requests that follow an adoption."""

    def __init__(self, sandbox, backend, modules=("reqtimeout", "logio"), config=CONFIG):
        self.httpds = [
            loop_httpd(
                sandbox, config + route(backend), loops=loops, modules=modules, access_log=FORMAT,
                    udsroute_log_level="trace4"
            )
            for loops in ("1", "Off")
        ]
        # mod_reqtimeout looks at the first byte of a head, and mod_logio counts that as well.
        self.counted_twice = 1 if "reqtimeout" in modules else 0
        self.seen = {httpd: 0 for httpd in self.httpds}

    def allow_complaints(self):
        for httpd in self.httpds:
            httpd.log.allow(r"\[core:error\]|AH\d{5}:|UDR\d{4}.*(body|client|can.t be sent)")

    def plain_heads(self):
        return len(self.httpds[0].log.find(r"\ba plain head"))

    def logged(self, httpd, count):
        """The next lines of the access log."""
        lines = httpd.access_lines(self.seen[httpd] + count)[self.seen[httpd]:]
        self.seen[httpd] += count
        assert len(lines) == count, lines
        return lines

    def exchange(self, client, httpd, data):
        """What becomes of one request: the answer, how the connection goes on, and the record."""
        client.send(data)
        try:
            response = client.read_response(method="HEAD" if data.startswith(b"HEAD") else "GET")
            answer = response.status, response.body
            ends = not client.reusable and client.closed_by_server()
        except udr_wire.Closed:
            answer, ends = client.stream.buffer, True  # HTTP/0.9
        size, record = self.logged(httpd, 1)[0].split(" ", 1)
        ends |= record.endswith(" -")  # refused before the hooks: httpd closes behind it
        return Outcome(answer, ends, record), int(size)

    def adopted(self, httpd):
        client = adopted(httpd)
        self.logged(httpd, 1)
        return client

    def outcomes(self, httpd, heads):
        """Of heads that are sent one after the other, on a connection for as long as it lasts. And for each what %I
        says, and whether it was a plain one."""
        outcomes, sizes, plain = [], [], []
        client = self.adopted(httpd)
        for data in heads:
            before = self.plain_heads()
            outcome, size = self.exchange(client, httpd, data)
            outcomes.append(outcome)
            sizes.append(size)
            plain.append(self.plain_heads() > before)
            if outcome.ends:
                client.close()
                client = self.adopted(httpd)
        client.close()
        return outcomes, sizes, plain


@pytest.fixture(name="stand", scope="module")
def _stand(module_sandbox, backend):
    return Stand(module_sandbox, backend)


def assert_same(stand, heads):
    stand.allow_complaints()
    looped, looped_sizes, plain = stand.outcomes(stand.httpds[0], [data for data, _ in heads])
    threaded, threaded_sizes, _ = stand.outcomes(stand.httpds[1], [data for data, _ in heads])
    rows = zip(heads, looped, threaded, plain, looped_sizes, threaded_sizes, strict=True)
    for (data, expected), one, other, is_plain, looped_size, threaded_size in rows:
        assert one == other, data
        assert is_plain == expected, data
        assert not is_plain or looped_size == threaded_size - stand.counted_twice == len(data)


@pytest.mark.parametrize("heads", [LINES, FIELDS, TIMED_BODIES, HOSTS], ids=["lines", "fields", "bodies", "hosts"])
def test_record_is_the_same(stand, heads):
    assert_same(stand, heads)


@pytest.fixture(name="lenient", scope="module")
def _lenient(module_sandbox, backend):
    return Stand(module_sandbox, backend, modules=(), config=f"{RECORD}HttpProtocolOptions Unsafe LenientMethods\n")


@pytest.mark.parametrize("heads", [LENIENT, UNTIMED_BODIES], ids=["lines", "bodies"])
def test_record_is_the_same_where_httpd_is_lenient(lenient, heads):
    assert_same(lenient, heads)


@pytest.fixture(name="strict", scope="module")
def _strict(module_sandbox, backend):
    config = f"{RECORD}HttpProtocolOptions Strict RegisteredMethods\nStrictHostCheck ON\nServerName localhost\n"
    return Stand(module_sandbox, backend, modules=(), config=config)


@pytest.mark.parametrize("heads", [HOSTS, METHODS], ids=["hosts", "methods"])
def test_record_is_the_same_where_httpd_is_strict(strict, heads):
    assert_same(strict, heads)


def test_httpd_reads_heads_that_it_logs(module_sandbox, backend):
    """At trace5 it says what it has read. (Not from the start: it would say so on the terminal.)"""
    httpd = loop_httpd(module_sandbox, route(backend))
    httpd.reconfigure("LogLevel udsroute:debug", "LogLevel core:trace5 udsroute:debug")
    with adopted(httpd) as client:
        assert client.fetch("/app/x").text == "answer"
    httpd.log.expect(r"core:trace5.*Request received from client: GET /app/x HTTP/1.1")
