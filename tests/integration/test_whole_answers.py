# SPDX-License-Identifier: Apache-2.0
"""Answers that are there as a whole are written past httpd's own output filters. Two virtual hosts of one httpd, one of
which has those filters say what they do to its error log and so is served by them: each answer must be the same from
both, byte by byte, and so must what the access log says of it. The module's own trace tells which way an answer took."""
import re

import pytest

from udr_client import Client, chunk
from udr_loops import loop_httpd, route
from udr_processes import wait_until
from udr_wire import Stream

WHOLE = "answer: written as a whole"

FORMAT = (
    "%m %>s %b %B %I %O %X %k type=%{Content-Type}o length=%{Content-Length}o date=%{Date}o server=%{Server}o "
    "connection=%{Connection}o alive=%{Keep-Alive}o vary=%{Vary}o coding=%{Transfer-Encoding}o cookie=%{Set-Cookie}o "
    "one=%{X-One}o env=%{UDSROUTE_ATTEMPTS}e %U"
)

CONFIG = """
Listen 127.0.0.1:@TLSPORT@
MaxKeepAliveRequests 1000
SetEnvIf X-Env "^force-no-vary$" force-no-vary
SetEnvIf X-Env "^downgrade-1.0$" downgrade-1.0
SetEnvIf X-Env "^force-response-1.0$" force-response-1.0
SetEnvIf X-Env "^nokeepalive$" nokeepalive
<Location /app/charset>
    AddDefaultCharset utf-8
</Location>
<Location /app/set>
    Header set X-One two
</Location>
<Location /app/always>
    Header always set X-One two
</Location>
<Location /app/edited>
    Header edit X-One o O
    Header unset Server
</Location>
<VirtualHost *:@PORT@>
    CustomLog logs/short.log "{format}"
</VirtualHost>
<VirtualHost *:@TLSPORT@>
    LogLevel http:trace3
    CustomLog logs/long.log "{format}"
</VirtualHost>
"""


def answer(*fields, body=b"hello", status="200 OK", length=True):
    lines = [f"HTTP/1.1 {status}", *fields, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


TEXT = "Content-Type: text/plain"
DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT"
SERVER = "Server: app/1.0 (ours)"

# What the member says, all of it at once; and whether httpd's filters have nothing to do but to write it.
ANSWERS = {
    "nothing": (answer(body=b""), True),
    "a body": (answer(), True),
    "usual": (answer(DATE, SERVER, TEXT), True),
    "a date": (answer(TEXT, DATE), True),
    "a server": (answer(SERVER, TEXT, "ETag: \"x\""), True),
    "an empty server": (answer("Server:", TEXT), True),
    "two dates": (answer(DATE, "X-One: 1", "Date: Mon, 07 Nov 1994 08:49:37 GMT"), False),
    "two servers": (answer(SERVER, "server: another"), False),
    "in capitals": (answer("DATE: x", "SERVER: y", "CONTENT-TYPE: text/plain"), True),
    "a charset": (answer("Content-Type: text/html; charset=ISO-8859-1"), True),
    "an odd type": (answer("Content-Type: TEXT/Plain ;x=\"a b\""), True),
    "cookies": (answer("Set-Cookie: a=b; Path=/", TEXT, "Set-Cookie: c=d", "X-One: 1", "X-One: 2"), True),
    "a location": (answer("Location: http://localhost/app/there", status="302 Found"), True),
    "caching": (answer("Cache-Control: no-store", "Expires: 0", "Last-Modified: x", "Age: 3", "ETag: W/\"1\""), True),
    "one name in Vary": (answer("Vary: Accept-Encoding"), True),
    "two names in Vary": (answer("Vary: Cookie, Accept-Encoding , cookie"), False),
    "Vary twice": (answer("Vary: Cookie", "X-One: 1", "vary: cookie"), False),
    "an empty Vary": (answer("Vary:"), False),
    "a coding": (answer("Content-Encoding: x-odd", "Content-Language: de, en"), True),
    "ranges": (answer("Accept-Ranges: bytes"), True),
    "a range": (answer("Content-Range: bytes 0-4/9", status="206 Partial Content"), True),
    "odd values": (answer("X-One: \xe4\t \"\x80\xff", "X-Two:", "X-Three:   spaces   "), True),
    "odd names": (answer("!#$%&'*+-.^_`|~: 1", "x_one: 2"), True),
    "closing": (answer("Connection: close, X-Two", "X-Two: 2", TEXT), True),
    "hop by hop": (answer("Keep-Alive: timeout=3", "Upgrade: x", "Proxy-Connection: x", "X-One: 1"), True),
    **{f"{count} fields": (answer(*(f"X-Field-{number}: {number}" for number in range(count)), TEXT), count < 64)
       for count in (50, 59, 60, 61, 62, 63, 64, 65, 70, 200)},
    **{f"{count} fields and chunks": (answer(*(f"X-Field-{number}: {number}" for number in range(count)),
                                             "Transfer-Encoding: chunked", length=False, body=b"0\r\n\r\n"), count < 65)
       for count in (62, 63, 64, 65)},
    "long fields": (answer(*(f"X-Field-{number}: {'v' * 700}" for number in range(10)), TEXT), True),
    "created": (answer("Location: /app/there", status="201 Created"), True),
    "accepted without a reason": (answer(status="202 "), True),
    "without a space either": (answer(status="202"), True),
    "a reason of its own": (answer(TEXT, status="200 All is well"), True),
    "an unknown code": (answer(status="299 Odd"), True),
    "no content": (answer(body=b"", status="204 No Content", length=False), False),
    "reset content": (answer(body=b"", status="205 Reset Content"), True),
    "not modified": (answer("ETag: \"x\"", body=b"", status="304 Not Modified", length=False), False),
    "bad request": (answer(TEXT, status="400 Bad Request"), True),
    "a login": (answer("WWW-Authenticate: Basic realm=\"x\"", status="401 Unauthorized"), True),
    "not found": (answer(TEXT, status="404 Not Found"), True),
    "to be upgraded": (answer("Upgrade: x, websocket", status="426 Upgrade Required"), True),
    "an error": (answer(TEXT, status="500 Internal Server Error"), True),
    "an unknown error": (answer(TEXT, status="599 Odd"), True),
    "a kilobyte": (answer(TEXT, body=b"k" * 1000), True),
    "as much as is copied": (answer(TEXT, body=b"c" * 4096), True),
    "more than is copied": (answer(TEXT, body=b"m" * 4097), True),
    "a good deal": (answer(TEXT, body=b"g" * 20_000), True),
    "chunks": (answer("Transfer-Encoding: chunked", TEXT, length=False,
                      body=chunk(b"one") + chunk(b"two") + b"0\r\n\r\n"), True),
    "empty chunks": (answer("Transfer-Encoding: chunked", length=False, body=b"0\r\n\r\n"), True),
    "trailers": (answer("Transfer-Encoding: chunked", "Trailer: X-One", length=False,
                        body=chunk(b"one") + b"0\r\nX-One: 1\r\n\r\n"), False),
    "charset": (answer(TEXT), True),
    "set": (answer(TEXT), False),
    "always": (answer(TEXT), False),
    "edited": (answer(TEXT, SERVER, "X-One: one"), False),
}  # fmt: skip

# How it is asked for; and whether that gives the filters something to do.
REQUESTS = {
    "GET": ("GET", "1.1", (), None, True),
    "POST": ("POST", "1.1", (), b"form=1", True),
    "HEAD": ("HEAD", "1.1", (), None, False),
    "1.0": ("GET", "1.0", (), None, True),
    "1.0, kept": ("GET", "1.0", [("Connection", "Keep-Alive")], None, True),
    "kept": ("GET", "1.1", [("Connection", "keep-alive")], None, True),
    "closed": ("GET", "1.1", [("Connection", "close")], None, True),
    "a range": ("GET", "1.1", [("Range", "bytes=1-2")], None, False),
    "without Vary": ("GET", "1.1", [("X-Env", "force-no-vary")], None, False),
    "downgraded": ("GET", "1.1", [("X-Env", "downgrade-1.0")], None, False),
    "forced": ("GET", "1.0", [("X-Env", "force-response-1.0")], None, False),
    "not kept": ("GET", "1.1", [("X-Env", "nokeepalive")], None, True),
}


def path_of(name):
    return "/app/" + name.replace(" ", "-")


PATHS = {path_of(name): raw for name, (raw, _) in ANSWERS.items()}


def behave(exchange):
    raw = PATHS[exchange.request.target]
    exchange.send(raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if exchange.request.method == "HEAD" else raw)
    if b"\r\nConnection: close" in raw:
        exchange.close()


class RecordingStream(Stream):
    """Keeps all that has come."""

    def __init__(self, sock):
        super().__init__(sock)
        self.record = bytearray()

    def fill(self, size=65536):
        before = len(self.buffer)
        filled = super().fill(size)
        self.record += self.buffer[before:]
        return filled


class Host:
    """One of the virtual hosts, and a client of it whose connection lives on a loop."""

    def __init__(self, httpd, port, log):
        self.httpd = httpd
        self.port = port
        self.log = httpd.root / "logs" / log
        self.client = None

    def connect(self):
        self.close()
        self.client = Client(self.port)
        assert self.client.fetch("/adopt").text == "/adopt"
        self.client.stream = RecordingStream(self.client.sock)

    def close(self):
        if self.client:
            self.client.close()

    def ask(self, path, method, version, fields, body):
        """All bytes of the answer, with httpd's own date left out; and whether the connection stays."""
        if not self.client or not self.client.reusable:
            self.connect()
        self.client.stream.record.clear()
        self.client.fetch(path, method, fields, body, version)
        if not self.client.reusable:
            assert self.client.closed_by_server()
        raw = re.sub(rb"\r\nDate: \w+, \d+ \w+ 20\d\d [\d:]+ GMT\r\n", b"\r\nDate: now\r\n", bytes(self.client.stream.record))
        return raw, self.client.reusable

    def logged(self, path, count):
        """What the access log says of the requests for that path."""

        def read():
            lines = self.log.read_text().split("\n")[:-1] if self.log.exists() else []
            return [line for line in lines if line.endswith(f" {path}")]

        wait_until(lambda: len(read()) >= count, f"{count} lines about {path} in the access log")
        return read()


def count_whole(httpd):
    return httpd.log.path.read_text(errors="replace").count(WHOLE)


@pytest.fixture(name="hosts", scope="module")
def _hosts(module_sandbox):
    backend = module_sandbox.scripted("app", behave)
    config = CONFIG.replace("{format}", FORMAT.replace('"', '\\"'))
    httpd = loop_httpd(module_sandbox, config + route(backend), modules=["logio"], udsroute_log_level="trace5")
    short, long = Host(httpd, httpd.port, "short.log"), Host(httpd, httpd.tls_port, "long.log")
    yield short, long
    short.close()
    long.close()


@pytest.mark.parametrize("name", ANSWERS)
def test_same_from_both(hosts, name):
    short, long = hosts
    path, is_plain = path_of(name), ANSWERS[name][1]
    for host in hosts:
        host.connect()
    for request, (method, version, fields, body, leaves_plain) in REQUESTS.items():
        expected = long.ask(path, method, version, fields, body)
        if not short.client.reusable:
            short.connect()
        before = count_whole(short.httpd)
        assert short.ask(path, method, version, fields, body) == expected, request
        assert count_whole(short.httpd) - before == (is_plain and leaves_plain), request
    assert short.logged(path, len(REQUESTS)) == long.logged(path, len(REQUESTS))


FIRST_OF_TWO = {
    "two dates": (b"\r\nDate: Sun, 06 Nov 1994 ", b"Mon, 07 Nov 1994"),
    "two servers": (b"\r\nServer: app/1.0 (ours)\r\n", b"another"),
}


@pytest.mark.parametrize("name", FIRST_OF_TWO)
def test_first_of_two_counts(hosts, name):
    first, second = FIRST_OF_TWO[name]
    for host in hosts:
        host.connect()
        raw, _ = host.ask(path_of(name), "GET", "1.1", (), None)
        assert first in raw and second not in raw
