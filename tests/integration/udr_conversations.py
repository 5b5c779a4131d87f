# SPDX-License-Identifier: Apache-2.0
"""Random conversations of a client with httpd: what it sends and when, and what a member is to answer to each request.
A seed gives the same conversation each time."""
import dataclasses
import random
import re

from udr_client import chunk

SITE = ("/file.txt", "/large.txt", "/", "/index.html", "/none", "/forbidden/x", "/cgi/echo", "/server-status?auto",
        "/app", "/file.txt/more")  # fmt: skip
HOSTS = ("localhost",) * 7 + ("second.example",) * 3 + (
    "a.second.example", "LOCALHOST", "localhost:80", "localhost.", "[::1]", "unknown",
)  # fmt: skip
ODD_HOSTS = ("a b", "", "a/b", "localhost:x", ":80", "x" * 300, "a..b", "\xe4")
METHODS = ("GET",) * 10 + ("POST",) * 5 + ("HEAD", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH")
ODD_METHODS = ("PROPFIND", "TRACE", "BREW", "get", "M-SEARCH", "FOO!", "CONNECT", "G,T", "X" * 60)
PATHS = ("", "", "x", "a/b", "a.html", "x%20y", "x;v=1", "x,y", "~x", "a_b-c", "x@y:z", "$1+2")
ODD_PATHS = ("a%2fb", "%zz", "%00", "%", "..", "../x", "./x", "a//b", "%2e%2e/x", "x#y", "x y", '"x"', "<x>",
             "{x}", "[x]", "\xe4", "%e4", "x\\y", "x^y", "x|y", "x\x01", "p" * 800)  # fmt: skip
QUERIES = ("",) * 6 + ("&a=b", "&", "&x=%20", "&a?b", "&a=/b/../c")
ODD_QUERIES = ("&x=%zz", "&a#b", "&<>", "&\xe4", "&[]", "&|")
FIELDS = (
    "X-A: b", "X-A:b", "X-A:  b \t", "X-A:", "X-A: \xe4", "X-A: a\tb", "!#$%&'*+-.^_`|~09: b", "Accept: */*",
    "Cookie: a=b", "Accept-Encoding: gzip", "User-Agent: a (b)", "Connection: keep-alive", "Connection: X-A",
    "TE: trailers",
    "Range: bytes=0-9", "Range: bytes=5-", "If-None-Match: *", "If-Modified-Since: Mon, 30 Nov 2026 00:00:00 GMT",
    "Upgrade: h2c", "Connection: Upgrade\r\nUpgrade: websocket", "Connection: Upgrade, TE\r\nUpgrade: x\r\nTE: gzip",
    "Proxy: x", "Authorization: Basic YTpi", "X-Forwarded-For: 1.2.3.4", "Max-Forwards: 3", "Max-Forwards: 0",
    "Content-Length: 0", "Keep-Alive: timeout=5", "Proxy-Connection: close", "Trailer: X-T", "Pragma: no-cache",
    "Expect:", "Via: 1.1 x", "Date: x",
)  # fmt: skip
ODD_FIELDS = (
    "X-A: a\r\nX-A: b", "Cookie: a\r\nX-A: b\r\nCookie: c", "X-A: a\r\n b", "X-A: a\r\n\tb\r\n c", " X-A: b", "X-A : b",
    "X-A", ": b", "X A: b", "X-\xe4: b", "X-A: \x01", "X-A: a\rb", "X-A: a\x00b", "Expect: miracles",
    "Content-Length: -1",
    "Content-Length: 0\r\nContent-Length: 0", "Content-Length: 1, 1", "Content-Length: 99999999999999999999",
    "Content-Length: +3", "Transfer-Encoding: x", "Transfer-Encoding: identity", "Transfer-Encoding: chunked, chunked",
    "Host: second.example", "X-L: " + "y" * 1500, "X-L: " + "y" * 9000,
    "\r\n".join(f"X-{number}: {number}" for number in range(70)),
    "\r\n".join(f"X-{number}: {number}" for number in range(110)),
)  # fmt: skip
PROTOCOLS = ("HTTP/1.1",) * 14 + ("HTTP/1.0",) * 2
ODD_PROTOCOLS = ("HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.", "HTTP/1.1 x", "")
ENDS = ("", "", "", "half", "abort", "close")

STATUSES = (200,) * 12 + (201, 204, 206, 301, 304, 404, 418, 500, 503)
ANSWER_FIELDS = (
    "Content-Type: text/plain", "Content-Type: text/html", "Set-Cookie: a=b\r\nSet-Cookie: c=d", "Vary: X-A",
    "Vary: X-A, X-B", "Vary: X-A\r\nVary: X-A", "Connection: close", "Connection: X-M", "Keep-Alive: timeout=1",
    "Date: Mon, 30 Nov 2026 00:00:00 GMT", "Server: s", 'ETag: "e"', "Last-Modified: Mon, 30 Nov 2026 00:00:00 GMT",
    "X-E:", "X-S:  a b \t", "X-M: \xe4", "Location: /app/else", "Content-Language: de", "Content-Encoding: x",
    "Accept-Ranges: bytes", "Cache-Control: no-cache", "Expires: 0", "WWW-Authenticate: Basic realm=x", "Trailer: X-T",
    "Upgrade: h2c", "Warning: 199 - x", "Content-Location: /x", "Refresh: 3", "X-L: " + "z" * 3000,
    "\r\n".join(f"X-{number}: {number}" for number in range(62)),
)  # fmt: skip
ODD_ANSWER_FIELDS = (
    "X-M: a\r\n b", "X-M : b", "X-M", ": b", "X M: b", "X-M: a\x00b", "X-M: a\rb", "X-M: \x01", "Content-Length: x",
    "Content-Length: 3\r\nContent-Length: 4", "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked\r\nContent-Length: 3",
)  # fmt: skip
REASONS = ("OK", "OK", "Scripted", "", "a b c", "\xe4")
SIZES = (0, 1, 10, 10, 100, 100, 1000, 4095, 4096, 4097, 8000, 16384, 40_000, 150_000)


@dataclasses.dataclass
class Answer:
    """What a member does with a request: it sends pieces, with a pause behind each, and perhaps closes."""

    pieces: list  # (bytes, seconds)
    closes: bool


@dataclasses.dataclass
class Asked:
    """A request: its bytes, and where a client that is patient waits."""

    number: int
    method: str
    head: bytes
    body: bytes
    expects: bool  # 100-continue, and waits for it
    answer: Answer


def _cut(rng, data, most):
    """The data in pieces, no more than so many."""
    cuts = sorted({rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 2, most)))} - {0, len(data)})
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)])]


def _chunked(rng, data, odd=False):
    pieces = [piece for piece in _cut(rng, data, 8) if piece]
    text = b""
    for piece in pieces:
        extension = rng.choice((b"", b"", b"", b";a=b", b';a="b"', b"; a"))
        text += b"%x%b\r\n%b\r\n" % (len(piece), extension, piece)
    text += rng.choice((b"0", b"0", b"000")) + b"\r\n" + rng.choice((b"", b"", b"X-T: t\r\n", b"X-T: t\r\nX-U:\r\n"))
    return (rng.choice((b"z", b"-1\r\n", b"\r\n", b"5\r\nabc\r\n")) if odd else b"") + text + b"\r\n"


def short(value, most=160):
    """For the eye: long texts without their middle."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most // 2]} […{len(text)}…] {text[-most // 2 :]}"


class Conversation:
    """One connection's worth of it.

    steps: what the client does: ("send", bytes), ("pause", seconds), ("read", number of the request), ("100", number),
           and at the end ("half",), ("abort",) or ("close",), where it does not read what comes until httpd closes."""

    def __init__(self, seed):
        self.seed = seed
        self.rng = random.Random(seed)
        self.first = seed * 100
        self.oddness = self.rng.choice((0, 0, 0.02, 0.06))  # what httpd refuses mostly ends it
        self.begins_adopted = self.rng.random() < 0.7
        count = self.rng.choice((1, 2, 3, 4, 6, 9, 14))
        self.asked = [self._request(self.first + index, index == count - 1) for index in range(count)]
        self.end = self.rng.choice(ENDS)
        self.steps = self._steps()

    def _is_odd(self):
        return self.rng.random() < self.oddness

    def _pick(self, plain, odd):
        return self.rng.choice(odd if self._is_odd() else plain)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _target(self, method, number):
        rng = self.rng
        if method == "OPTIONS" and rng.random() < 0.2:
            return "*"
        if rng.random() < 0.2:
            return rng.choice(SITE)
        path = f"/app/{self._pick(PATHS, ODD_PATHS)}?n={number}{self._pick(QUERIES, ODD_QUERIES)}"
        if self._is_odd():
            path = rng.choice(("http://localhost", "http://second.example", "http://", "x:", "/", "")) + path
        return path

    def _fields(self):
        rng = self.rng
        fields = {}
        for _ in range(rng.choice((0, 0, 1, 2, 4))):
            field = self._pick(FIELDS, ODD_FIELDS)
            fields.setdefault(field.split(":")[0].lower(), field)
        return list(fields.values())

    def _request(self, number, is_last):
        rng = self.rng
        method = self._pick(METHODS, ODD_METHODS)
        protocol = self._pick(PROTOCOLS, ODD_PROTOCOLS)
        fields = self._fields()
        if not (self._is_odd() and rng.random() < 0.3):
            fields.insert(rng.randrange(len(fields) + 1), f"Host: {self._pick(HOSTS, ODD_HOSTS)}")
        if protocol == "HTTP/1.0" and rng.random() < 0.7:
            fields.append("Connection: keep-alive")
        if is_last and rng.random() < 0.7:
            fields.append("Connection: close")
        body, expects = b"", False
        if method in ("POST", "PUT", "PATCH") or rng.random() < 0.05:
            body, expects = self._body(fields)
        end = b"\n" if self._is_odd() and self._is_odd() else b"\r\n"
        target = self._target(method, number)
        if "n=" in target or "/cgi/" in target or "/server-status" in target:
            # Whether httpd picks a part depends on how much of the answer has come when it looks.
            fields = [field for field in fields if not field.startswith("Range")]
        if re.search("/cgi/|/server-status", target) and (method == "HEAD" or protocol == "HTTP/1.0"):
            target = "/file.txt"  # of the others the length, or whether it is known, differs each time
        lines = [" ".join(filter(None, (method, target, protocol)))]
        lines += "\r\n".join(fields).split("\r\n") if fields else []
        head = b"".join(line.encode("latin-1") + end for line in [*lines, ""])
        head = rng.choice((b"",) * 20 + (b"\r\n", b"\r\n\r\n")) + head
        return Asked(number, method, head, body, expects, self._answer(method, protocol))

    def _body(self, fields):
        rng = self.rng
        size = rng.choice((0, 1, 5, 60, 60, 700, 4000, 9000, 30_000))
        data = bytes(rng.choices(b"GET /\r\n0abc", k=size))
        if rng.random() < 0.5:
            fields.append(f"Content-Length: {size}")
        else:
            fields.append(rng.choice(("Transfer-Encoding: chunked", "Transfer-Encoding: Chunked")))
            # What follows a refused expectation is not read on a loop: what is wrong with it is not noticed.
            data = _chunked(rng, data, not any(field.startswith("Expect") for field in fields) and self._is_odd())
        expects = rng.random() < 0.15
        if expects:
            fields.append("Expect: 100-continue")
        return data, expects and rng.random() < 0.7

    # --- answers ------------------------------------------------------------------------------------------------------

    def _answer(self, method, protocol):
        rng = self.rng
        status = rng.choice(STATUSES)
        framing = rng.choice(("length",) * 6 + ("chunked",) * 3 + ("close",))
        body = bytes(rng.choices(b"abcdefgh", k=rng.choice(SIZES)))
        lines = [f"HTTP/1.{rng.choice('1111110')} {status} {rng.choice(REASONS)}"]
        lines += rng.sample(ANSWER_FIELDS, rng.choice((0, 1, 2, 4)))
        if self._is_odd():
            lines.append(rng.choice(ODD_ANSWER_FIELDS))
        if lines[0].startswith("HTTP/1.0") and framing == "chunked":
            framing = "close"
        has_body = method != "HEAD" and status not in (204, 304)
        if protocol == "HTTP/1.0":
            framing = "length"  # without it, whether the connection goes on depends on whether the end is there in time
        if status == 204:
            framing = "close"
        if framing == "length":
            lines.insert(rng.randrange(1, len(lines) + 1), f"Content-Length: {len(body)}")
        elif framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
            body = _chunked(rng, body)
        closes = framing == "close" or rng.random() < 0.1
        if closes and not (framing == "close" and has_body):
            lines.append("Connection: close")  # if it did not say so, the next request might be on its way
        data = "".join(line + "\r\n" for line in [*lines, ""]).encode("latin-1") + (body if has_body else b"")
        for _ in range(rng.choice((0,) * 9 + (1, 2))):
            data = rng.choice((b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", b"HTTP/1.1 102 P\r\n\r\n",
                               b"HTTP/1.1 100 Continue\r\n\r\n")) + data  # fmt: skip
        is_whole = not self._is_odd()
        if not is_whole:
            data = data[: rng.randrange(len(data))]
        pieces = [(piece, rng.choice((0, 0, 0.002, 0.015))) for piece in _cut(rng, data, 6)]
        return Answer(pieces, closes or not is_whole)

    # --- what the client does -----------------------------------------------------------------------------------------

    def _steps(self):
        rng = self.rng
        steps, waiting, unsent = [], [], b""
        pipelines = rng.random() < 0.6

        def flush():
            nonlocal unsent
            for piece in _cut(rng, unsent, 12) if unsent else []:
                steps.append(("send", piece))
                if rng.random() < 0.4:
                    steps.append(("pause", rng.choice((0.001, 0.004, 0.02))))
            unsent = b""

        for asked in self.asked:
            unsent += asked.head
            waiting.append(asked.number)
            if asked.expects:
                flush()
                steps += [("read", number) for number in waiting[:-1]] + [("100", asked.number)]
                waiting = waiting[-1:]
            unsent += asked.body
            if not pipelines or rng.random() < 0.2:
                flush()
                steps += [("read", number) for number in waiting]
                waiting = []
        if self.end == "abort" and rng.random() < 0.7:
            unsent = unsent[: rng.randrange(len(unsent) + 1)]
        flush()
        if self.end == "close":
            steps += [("read", number) for number in waiting]
        return [*steps, (self.end,)] if self.end else steps

    # --- for those who have to look into one --------------------------------------------------------------------------

    def __str__(self):
        text = [f"seed {self.seed}, " + ("adopted" if self.begins_adopted else "a new connection")]
        text += [f"  {step} {' '.join(short(part) for part in rest)}" for step, *rest in self.steps]
        for asked in self.asked:
            pieces = ", ".join(f"{short(piece)} {pause or ''}" for piece, pause in asked.answer.pieces)
            text.append(f"  answer to {asked.number}: {pieces}{'; closes' if asked.answer.closes else ''}")
        return "\n".join(text)


def number_of(target):
    """Which request that is; None: one without a number."""
    match = re.search(r"[?&]n=(\d+)", target)
    return int(match.group(1)) if match else None


class Script:
    """A behaviour of a member: it answers as the conversations say."""

    def __init__(self, answers):
        self.answers = answers

    def __call__(self, exchange):
        answer = self.answers.get(number_of(exchange.request.target))
        if answer is None:
            exchange.respond(body="no number")
            return
        for piece, pause in answer.pieces:
            if not exchange.send(piece):
                break
            if pause:
                exchange.connection.closed.wait(pause)
        if answer.closes:
            exchange.close()
