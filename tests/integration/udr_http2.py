# SPDX-License-Identifier: Apache-2.0
"""An HTTP/2 client (RFC 9113) that takes nothing before the test says so. curl and nghttp2 open their windows by
themselves."""
import socket
import struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW_SIZE = 4
STREAM = 1


class Http2Client:
    """A connection in clear text, without an upgrade, for one request without a body. Its stream's window is closed."""

    def __init__(self, port, timeout=30.0):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.buffer = b""
        self.sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self._send(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _send(self, kind, flags, stream, payload=b""):
        head = struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream)
        self.sock.sendall(head + payload)

    def request(self, method, path):
        fields = ((":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost"))
        # RFC 7541, 6.2.2: literal fields, neither indexed nor compressed; here shorter than 127 bytes each.
        block = b"".join(
            b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
            for name, value in fields
        )
        self._send(HEADERS, END_HEADERS | END_STREAM, STREAM, block)

    def open_window(self, count):
        """Lets the server send that many bytes more; the connection's own window is 65,535 bytes to begin with."""
        for stream in (0, STREAM):
            self._send(WINDOW_UPDATE, 0, stream, struct.pack(">I", count))

    def _take(self, count):
        while len(self.buffer) < count:
            data = self.sock.recv(65536)
            if not data:
                raise AssertionError("the server closed the connection")
            self.buffer += data
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def read_body(self, arrived=lambda total: None):
        """Reads the response up to its end and returns how many bytes its body had. arrived: called after each piece
        with the number of bytes so far."""
        total = 0
        while True:
            head = self._take(9)
            kind, flags = head[3], head[4]
            payload = self._take(int.from_bytes(head[:3], "big"))
            if kind in (RST_STREAM, GOAWAY):
                raise AssertionError(f"the server broke off after {total} bytes: frame type {kind}, {payload!r}")
            if kind in (SETTINGS, PING) and not flags & ACK:
                self._send(kind, ACK, 0, payload if kind == PING else b"")
            if kind == DATA:
                total += len(payload)
                arrived(total)
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                return total
