# SPDX-License-Identifier: Apache-2.0
"""The soak test's HTTP/1.x client: asyncio, and the integration tests' merciless parser for what comes back."""
import asyncio
import socket
import ssl
import time

import udr_wire

# The longest that anything is waited for. What takes longer hangs.
PATIENCE = 60.0


class Wrong(Exception):
    """An answer that is not what it has to be."""


class Closed(Exception):
    """The server closed before it sent a byte of the answer."""


def tls_context():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


TLS = tls_context()


def request_bytes(method, target, fields=(), body=None, version="1.1", host="localhost"):
    """A request as it is sent. bytes for a body go with Content-Length, a list of bytes goes in chunks."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}", *[f"{name}: {value}" for name, value in fields]]
    payload = b""
    if isinstance(body, bytes):
        lines.append(f"Content-Length: {len(body)}")
        payload = body
    elif body is not None:
        lines.append("Transfer-Encoding: chunked")
        payload = b"".join(chunk(piece) for piece in body if piece) + b"0\r\n\r\n"
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + payload


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


class Connection:
    """One connection to httpd."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.answers = 0
        self.last_answer = 0.0
        self.name = writer.get_extra_info("sockname")
        self.is_reusable = True

    @classmethod
    async def open(cls, port, tls=False, receive_buffer=None):
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            reader, writer = await asyncio.open_connection(
                sock=sock, limit=receive_buffer or 1 << 18, ssl=TLS if tls else None,
                server_hostname="localhost" if tls else None)
        except BaseException:
            sock.close()
            raise
        return cls(reader, writer)

    def close(self):
        self.writer.close()

    def abort(self):
        """Closes with a reset, or at least without a word."""
        try:
            self.writer.transport.abort()
        except AttributeError:
            pass  # what asyncio makes of a TLS connection that has ended already

    async def send(self, data):
        try:
            self.writer.write(data)
            await self.writer.drain()
        except (ConnectionError, ssl.SSLError):
            pass  # the answer, or its absence, says what that was

    async def read_head(self):
        """The head of one response, interim ones included. Closed: there is none."""
        try:
            head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        except asyncio.IncompleteReadError as problem:
            if problem.partial:
                raise Wrong(f"closed within a head: {problem.partial[:200]!r}") from None
            raise Closed("end") from None
        except (ConnectionError, ssl.SSLError) as problem:
            raise Closed(repr(problem)) from None
        except asyncio.TimeoutError:
            raise Wrong(f"no answer within {PATIENCE} s") from None
        stream = udr_wire.Stream(None)
        stream.buffer += head
        stream.ended = True
        try:
            return udr_wire.read_response_head(stream)
        except (udr_wire.Malformed, udr_wire.Closed) as problem:
            raise Wrong(f"malformed head: {problem}: {head[:300]!r}") from None

    async def read_response(self, method="GET", pause=None):
        """One response with its body. pause: awaited between two reads of a body; a slow reader."""
        interim = []
        while True:
            response = await self.read_head()
            if response.status >= 200:
                break
            interim.append(response)
        response.interim = interim
        try:
            await asyncio.wait_for(self._read_body(response, method, pause), PATIENCE)
        except asyncio.TimeoutError:
            raise Wrong(f"{response.start_line}: the body stops after {len(response.body)} bytes") from None
        except udr_wire.Malformed as problem:
            raise Wrong(f"malformed body: {problem}") from None
        self.answers += 1
        self.last_answer = time.monotonic()
        self.is_reusable = udr_wire.persistent(response)
        return response

    async def _read_body(self, response, method, pause):
        bodiless = method == "HEAD" or response.status in (204, 304)
        framing, length = udr_wire._framing(response, "close")  # pylint: disable=protected-access
        response.framing = "none" if bodiless else framing
        body = bytearray()
        try:
            if response.framing == "none":
                response.complete = True
            elif framing == "length":
                response.complete = await self._take(body, length, pause)
            elif framing == "chunked":
                response.complete = await self._take_chunks(response, body, pause)
            else:
                response.complete = await self._take(body, None, pause)
        except asyncio.IncompleteReadError:
            response.complete = False
        except (ConnectionError, ssl.SSLError):
            response.complete = False
        response.body = bytes(body)

    async def _take(self, body, length, pause):
        """Appends `length` bytes, or all there are; returns whether they came."""
        left = length
        while left is None or left > 0:
            piece = await self.reader.read(65536 if left is None else min(left, 65536))
            if not piece:
                return left is None
            body += piece
            if left is not None:
                left -= len(piece)
            if pause:
                await pause()
        return True

    async def _take_chunks(self, response, body, pause):
        while True:
            line = await self.reader.readuntil(b"\r\n")
            match = udr_wire.CHUNK_SIZE.fullmatch(line[:-2])
            if not match:
                raise udr_wire.Malformed(f"no chunk size: {line[:100]!r}")
            size = int(match.group(1), 16)
            if size == 0:
                break
            if not await self._take(body, size, pause):
                return False
            if await self.reader.readexactly(2) != b"\r\n":
                raise udr_wire.Malformed("chunk data is longer than the chunk's size")
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            response.trailers.append(udr_wire.parse_field(line[:-2]))
        return True

    def judge_close(self, when, problem, world):
        """The server has closed. Before any answer that is wrong; a kept connection it may close at any time, and httpd
        does so when its workers are all busy: that is counted, and may not happen often."""
        if self.answers == 0:
            raise Wrong(f"closed {when}, on a new connection ({problem})") from None
        world.count("kept connection closed")
        if world.trace:
            print(f"{time.strftime('%H:%M:%S')} closed {when} after {self.answers} answers, "
                  f"{time.monotonic() - self.last_answer:.3f} s since the last, {self.name} ({problem})")

    async def ends_quietly(self, patience):
        """Waits for the server's close; bytes that come instead are wrong."""
        try:
            data = await asyncio.wait_for(self.reader.read(1000), patience)
        except asyncio.TimeoutError:
            raise Wrong(f"still open after {patience} s") from None
        except (ConnectionError, ssl.SSLError):
            return
        if data:
            raise Wrong(f"bytes instead of a close: {data[:200]!r}")


class Conversation:
    """Requests one after the other, on one connection as long as the server keeps it.

    A kept connection may be closed just when the next request is on its way: that is told from a failure by there being
    no byte of an answer, and the request is sent once more on a new connection, as browsers do."""

    def __init__(self, world, tls=False, host="localhost"):
        self.world = world
        self.tls = tls
        self.host = host
        self.connection = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.hang_up()

    def hang_up(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    async def connect(self):
        """The connection to use: the one at hand, or a new one."""
        if self.connection and not self.connection.is_reusable:
            self.hang_up()
        if not self.connection:
            self.connection = await self.world.open(self.tls)
        return self.connection

    async def ask(self, method, target, fields=(), body=None, version="1.1", pause=None):
        """One request and its response."""
        data = request_bytes(method, target, fields, body, version, self.host)
        while True:
            connection = await self.connect()
            begun = time.monotonic()
            await connection.send(data)
            try:
                response = await connection.read_response(method, pause)
            except Closed as problem:
                connection.judge_close(f"instead of an answer to {method} {target}", problem, self.world)
                self.hang_up()
                continue
            self.world.answered(time.monotonic() - begun)
            return response
