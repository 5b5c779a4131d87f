# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.x as RFC 9110 and RFC 9112 define it, read without any mercy.

The tests judge with this parser what httpd sends to a client and what the module sends to a backend. So it accepts only
what can be read one way: lines end in CR LF, no control characters, one framing, well-formed chunks."""
import dataclasses
import re
import socket

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.([01])")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?")
LINE_LIMIT = 1 << 20


class Malformed(Exception):
    """The bytes are no HTTP message, or one that could be read two ways."""


class Closed(Exception):
    """The other end closed before a message began or before its head was complete."""


@dataclasses.dataclass
class Message:
    """A request or a response."""

    start_line: str
    version: str
    fields: list
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    framing: str = "none"  # none, length, chunked, close
    complete: bool = False  # the body came to the end that its framing promised
    chunks: list = dataclasses.field(default_factory=list)  # the sizes of the chunks, in order
    raw_head: bytes = b""

    def get(self, name, default=None):
        """The value of the field, which must not be there twice."""
        values = self.all(name)
        if len(values) > 1:
            raise AssertionError(f"{name} is there {len(values)} times: {values}")
        return values[0] if values else default

    def all(self, name):
        """Every value of the field, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def has(self, name):
        return bool(self.all(name))

    def trailer(self, name):
        values = [value for key, value in self.trailers if key.lower() == name.lower()]
        return values[0] if values else None

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")


@dataclasses.dataclass
class Request(Message):
    method: str = ""
    target: str = ""


@dataclasses.dataclass
class Response(Message):
    status: int = 0
    reason: str = ""
    interim: list = dataclasses.field(default_factory=list)  # the 1xx responses that came before


class Stream:
    """Buffered reading from a socket."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()
        self.ended = False
        self.reset = False  # it ended, but not in order

    def fill(self, size=65536):
        """Reads more; False at the end of the stream. A reset is an end too."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(size)
        except (ConnectionResetError, BrokenPipeError):
            self.reset = True
            data = b""
        if not data:
            self.ended = True
            return False
        self.buffer += data
        return True

    def take(self, count):
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def line(self):
        """One line without its CR LF."""
        start = 0
        while True:
            end = self.buffer.find(b"\n", start)
            if end >= 0:
                break
            start = len(self.buffer)
            if start > LINE_LIMIT:
                raise Malformed(f"a line of more than {LINE_LIMIT} bytes")
            if not self.fill():
                raise Closed(f"closed within a line: {bytes(self.buffer)[:200]!r}")
        line = self.take(end + 1)
        if not line.endswith(b"\r\n"):
            raise Malformed(f"a line that ends in a bare LF: {line[:200]!r}")
        line = line[:-2]
        if b"\r" in line or b"\0" in line:
            raise Malformed(f"a bare CR or a NUL in a line: {line[:200]!r}")
        return line

    def pieces(self, count):
        """Yields exactly `count` bytes in pieces as they come, fewer if the stream ends before."""
        while count > 0:
            if not self.buffer and not self.fill(min(max(count, 1), 1 << 20)):
                return
            piece = self.take(min(count, len(self.buffer)))
            count -= len(piece)
            yield piece

    def rest(self):
        """Yields everything until the end of the stream."""
        while self.buffer or self.fill(1 << 20):
            yield self.take(len(self.buffer))


class CountingStream(Stream):
    """Counts what has come from the socket."""

    total = 0

    def fill(self, size=65536):
        before = len(self.buffer)
        filled = super().fill(size)
        self.total += len(self.buffer) - before
        return filled


def parse_field(line):
    """One field line as (name, value)."""
    if line[:1] in (b" ", b"\t"):
        raise Malformed(f"obs-fold: {line[:200]!r}")
    name, colon, value = line.partition(b":")
    if not colon or not TOKEN.fullmatch(name):
        raise Malformed(f"no field line: {line[:200]!r}")
    value = value.strip(b" \t")
    if not FIELD_VALUE.fullmatch(value):
        raise Malformed(f"control characters in a field value: {line[:200]!r}")
    return name.decode("latin-1"), value.decode("latin-1")


def _read_section(stream):
    """Field lines up to the empty line."""
    fields = []
    while True:
        line = stream.line()
        if not line:
            return fields
        fields.append(parse_field(line))


def _framing(message, default):
    """Which framing the fields announce: (framing, length)."""
    codings = message.all("Transfer-Encoding")
    lengths = message.all("Content-Length")
    if codings and lengths:
        raise Malformed("both Transfer-Encoding and Content-Length")
    if codings:
        if len(codings) != 1 or codings[0].lower() != "chunked":
            raise Malformed(f"Transfer-Encoding is not chunked alone: {codings}")
        if message.version == "1.0":
            raise Malformed("Transfer-Encoding in HTTP/1.0")
        return "chunked", None
    if lengths:
        if len(lengths) != 1 or not re.fullmatch(r"[0-9]{1,19}", lengths[0]):
            raise Malformed(f"Content-Length is not one number: {lengths}")
        return "length", int(lengths[0])
    return default, None


def _read_chunks(stream, message, sink):
    while True:
        line = stream.line()
        match = CHUNK_SIZE.fullmatch(line)
        if not match:
            raise Malformed(f"no chunk size: {line[:200]!r}")
        size = int(match.group(1), 16)
        if size == 0:
            message.trailers = _read_section(stream)
            return True
        message.chunks.append(size)
        got = 0
        for piece in stream.pieces(size):
            got += len(piece)
            sink(piece)
        if got < size:
            return False
        if stream.line():
            raise Malformed("chunk data is longer than the chunk's size")


def _read_body(stream, message, length, sink):
    """Reads the body into `sink`; says whether it was complete."""
    if message.framing == "none":
        return True
    if message.framing == "close":
        for piece in stream.rest():
            sink(piece)
        return not stream.reset  # the only sign such a body has of being cut
    if message.framing == "length":
        got = 0
        for piece in stream.pieces(length):
            got += len(piece)
            sink(piece)
        return got == length
    try:
        return _read_chunks(stream, message, sink)
    except Closed:
        return False


def read_body(stream, message, sink=None):
    """Reads the body of a message whose head was read. sink: called with each piece instead of keeping the body."""
    collected = bytearray()
    _, length = _framing(message, message.framing)
    message.complete = _read_body(stream, message, length, sink or collected.extend)
    message.body = bytes(collected)
    return message


def read_request_head(stream):
    """Reads the head of a request; None when the connection ended between two requests."""
    if not stream.buffer and not stream.fill():
        return None
    line = stream.line()
    match = REQUEST_LINE.fullmatch(line)
    if not match:
        raise Malformed(f"no request line: {line[:300]!r}")
    request = Request(line.decode("latin-1"), f"1.{match.group(3).decode()}", [])
    request.method, request.target = match.group(1).decode(), match.group(2).decode()
    request.fields = _read_section(stream)
    request.raw_head = line
    request.framing, _ = _framing(request, "none")
    return request


def read_response_head(stream):
    line = stream.line()
    match = STATUS_LINE.fullmatch(line)
    if not match:
        raise Malformed(f"no status line: {line[:300]!r}")
    response = Response(line.decode("latin-1"), f"1.{match.group(1).decode()}", [])
    response.status = int(match.group(2))
    response.reason = (match.group(3) or b"").decode("latin-1")
    response.fields = _read_section(stream)
    return response


def read_response(stream, method="GET", sink=None):
    """Reads one response to a request of that method, the interim ones before it included."""
    interim = []
    while True:
        response = read_response_head(stream)
        if response.status >= 200 or response.status == 101:
            break
        if response.has("Content-Length") or response.has("Transfer-Encoding"):
            raise Malformed("an interim response with a framing field")
        interim.append(response)
    response.interim = interim
    if method == "HEAD" or response.status in (101, 204, 304):
        # Whatever the fields say, no body follows (RFC 9112, 6.3); they must not contradict each other all the same.
        _framing(response, "none")
        response.framing, response.complete = "none", True
        return response
    response.framing, _ = _framing(response, "close")
    return read_body(stream, response, sink)


def persistent(message):
    """Whether the connection may carry another message after this one (RFC 9112, 9.3)."""
    options = {option.strip().lower() for value in message.all("Connection") for option in value.split(",")}
    if "close" in options or message.framing == "close" or not message.complete:
        return False
    return message.version == "1.1" or "keep-alive" in options


def shut(sock):
    """Closes a socket, whatever state it is in."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()
