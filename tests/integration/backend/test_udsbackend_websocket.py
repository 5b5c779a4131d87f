# SPDX-License-Identifier: Apache-2.0
"""/ws: the WebSocket echo, with a real client and with bytes of our own making."""
import asyncio
import base64
import hashlib
import os
import random
import select
import struct
import threading

import pytest
import websockets

from udsb_program import PATIENCE, connect, get, memory_allowance_kib, memory_kib, read_all, wait_for

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def client(backend, **options):
    """A connection of the websockets library."""
    return websockets.unix_connect(backend.socket, "ws://localhost/ws", max_size=None, open_timeout=PATIENCE,
                                   close_timeout=PATIENCE, ping_interval=None, **options)


# --- a client that can do wrong ---------------------------------------------------------------------------------------

keys = random.Random(6455)  # of frames, some of which are parameters of tests: the same in each process


def frame(opcode, payload=b"", fin=True, rsv=0, mask=True, length=None):
    """The bytes of a frame; length: what it claims to have."""
    size = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    flag = mask << 7
    if size < 126:
        head += bytes([flag | size])
    elif size < 1 << 16:
        head += bytes([flag | 126]) + struct.pack(">H", size)
    else:
        head += bytes([flag | 127]) + struct.pack(">Q", size)
    if not mask:
        return head + payload
    key = keys.randbytes(4)
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def close_frame(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason)


HANDSHAKE = ("GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n")


class RawClient:
    """Speaks in bytes."""

    def __init__(self, backend, along=b""):
        """along: bytes sent together with the handshake."""
        self.connection = connect(backend.socket)
        key = base64.b64encode(os.urandom(16)).decode()
        self.connection.sendall(HANDSHAKE.format(key=key).encode() + along)
        self.data = bytearray()
        head = self.read_until(b"\r\n\r\n").decode()
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        assert head.startswith("HTTP/1.1 101 ")
        assert f"Sec-WebSocket-Accept: {accept}\r\n" in head
        assert "upgrade: websocket\r\n" in head.lower() and "connection: upgrade\r\n" in head.lower()
        assert "Sec-WebSocket-Extensions" not in head

    def read(self, size):
        while len(self.data) < size:
            piece = self.connection.recv(1 << 20)
            if not piece:
                raise EOFError
            self.data += piece
        result = bytes(self.data[:size])
        del self.data[:size]
        return result

    def read_until(self, end):
        while end not in self.data:
            self.data += self.connection.recv(65536)
        return self.read(self.data.index(end) + len(end))

    def send(self, data):
        self.connection.sendall(data)

    def read_frame(self):
        """(opcode, payload) of a frame, which a server never masks and we never get in fragments."""
        first, size = self.read(2)
        assert first & 0x70 == 0 and first & 0x80 and not size & 0x80
        if size == 126:
            size, = struct.unpack(">H", self.read(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.read(8))
        return first & 15, self.read(size)

    def assert_closes_with(self, code):
        """The next frame is a Close, then the connection ends."""
        opcode, payload = self.read_frame()
        assert opcode == CLOSE
        assert (struct.unpack(">H", payload[:2])[0] if payload else None) == code
        with pytest.raises((EOFError, ConnectionResetError)):
            self.read(1)
        self.connection.close()


# --- what is right ----------------------------------------------------------------------------------------------------

def test_echo(backend):
    async def talk():
        async with client(backend) as websocket:
            for message in ("hello", "", "ü€😀", b"", b"\0\xff", "x" * 125, "x" * 126, b"y" * 65535, b"y" * 65536):
                await websocket.send(message)
                assert await websocket.recv() == message
            await (await websocket.ping(b"payload"))
            await websocket.close(4321, "bye")
        assert (websocket.close_code, websocket.close_reason) == (4321, "")
    asyncio.run(asyncio.wait_for(talk(), PATIENCE))
    assert backend.metrics()["websocket_messages_total"] == 9


def test_a_message_of_48_mib(backend):
    message = random.Random(1).randbytes(48 << 20)

    async def talk():
        async with client(backend) as websocket:
            await websocket.send(message)
            assert await websocket.recv() == message
    asyncio.run(asyncio.wait_for(talk(), PATIENCE))


def test_fragments(backend):
    async def talk():
        async with client(backend) as websocket:
            await websocket.send(["a", "bc", "", "d"])
            assert await websocket.recv() == "abcd"
            await websocket.send([b"\xc3", b"\xa4"])
            assert await websocket.recv() == b"\xc3\xa4"
    asyncio.run(asyncio.wait_for(talk(), PATIENCE))


def test_a_ping_between_fragments_is_answered_first(backend):
    raw = RawClient(backend)
    raw.send(frame(TEXT, b"\xc3", fin=False) + frame(PING, b"now") + frame(0, b"", fin=False) + frame(0, b"\xa4"))
    assert raw.read_frame() == (PONG, b"now")
    assert raw.read_frame() == (TEXT, b"\xc3\xa4")
    raw.send(frame(PONG, b"unasked"))  # is not answered
    raw.send(close_frame(1000))
    raw.assert_closes_with(1000)


@pytest.mark.parametrize("code", [None, 1000, 1001, 1003, 1011, 1014, 3000, 4999])
def test_the_code_of_a_close_is_echoed(backend, code):
    raw = RawClient(backend)
    raw.send(close_frame(code))
    raw.assert_closes_with(code)


def test_answers_come_before_the_close(backend):
    """All of it in one piece: what was sent first is answered first."""
    raw = RawClient(backend)
    raw.send(b"".join(frame(TEXT, b"%d" % number) for number in range(500)) + close_frame(1000, b"done"))
    for number in range(500):
        assert raw.read_frame() == (TEXT, b"%d" % number)
    raw.assert_closes_with(1000)


def test_frames_that_come_with_the_handshake(backend):
    raw = RawClient(backend, along=frame(TEXT, b"early") + frame(BINARY, b"x" * 5000)[:3000])
    assert raw.read_frame() == (TEXT, b"early")
    raw.connection.close()
    complete = frame(BINARY, b"x" * 5000)
    raw = RawClient(backend, along=complete[:3000])
    raw.send(complete[3000:])
    assert raw.read_frame() == (BINARY, b"x" * 5000)
    raw.send(close_frame())
    raw.assert_closes_with(None)


def test_byte_by_byte(backend):
    raw = RawClient(backend)
    for byte in frame(TEXT, "ü".encode()) + frame(BINARY, b"z" * 200) + close_frame(3333, "ä".encode()):
        raw.send(bytes([byte]))
    assert raw.read_frame() == (TEXT, "ü".encode())
    assert raw.read_frame() == (BINARY, b"z" * 200)
    raw.assert_closes_with(3333)


def test_a_client_that_does_not_read_holds_no_memory(backend):
    """Reading stops when answers pile up; when the client reads at last, all of them are there."""
    raw = RawClient(backend)
    count, payload = 200, bytes(1 << 20)
    message = b"\x82\xff" + struct.pack(">Q", len(payload)) + bytes(4) + payload  # a mask of zeros
    raw.send(message)
    assert raw.read_frame() == (BINARY, payload)
    before = memory_kib(backend.process.pid, "VmRSS")
    stream = memoryview(message * count)
    sent = 0
    while select.select([], [raw.connection], [], 0.5)[1]:  # until both sides' buffers are full
        sent += raw.connection.send(stream[sent:sent + 65536])
    assert sent < len(stream) // 2
    assert memory_kib(backend.process.pid, "VmRSS") - before < memory_allowance_kib(16384)
    sender = threading.Thread(target=raw.send, args=(stream[sent:],))
    sender.start()
    for _ in range(count):
        assert raw.read_frame() == (BINARY, payload)
    sender.join()
    # The peak, with a client a little behind all the time.
    assert memory_kib(backend.process.pid, "VmHWM") - before < memory_allowance_kib(16384)
    raw.send(close_frame(1000))
    raw.assert_closes_with(1000)


def test_a_client_that_vanishes(backend):
    raw = RawClient(backend)
    wait_for(lambda: backend.metrics()["websockets"] == 1, "the WebSocket to be open")
    raw.connection.close()
    wait_for(lambda: backend.metrics()["websockets"] == 0, "the WebSocket to be gone")
    wait_for(lambda: backend.metrics()["connections"] == 1, "its connection to be gone")


# --- what is wrong ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("data, code", [
    (frame(TEXT, b"x", mask=False), 1002),
    (frame(TEXT, b"x", rsv=4), 1002),
    (frame(TEXT, b"x", rsv=1), 1002),
    (frame(3, b"x"), 1002),
    (frame(11, b"x"), 1002),
    (frame(0, b"x"), 1002),
    (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
    (frame(PING, b"x", fin=False), 1002),
    (frame(PING, b"x" * 126), 1002),
    (b"\x82\xfe\x00\x05" + b"\0" * 9, 1002),
    (b"\x82\xff" + struct.pack(">Q", 1 << 63) + b"\0" * 4, 1002),
    (frame(TEXT, b"\xff"), 1007),
    (frame(TEXT, b"\xed\xa0\x80"), 1007),
    (frame(TEXT, b"\xc3"), 1007),
    (frame(TEXT, b"\xff", fin=False), 1007),
    (frame(CLOSE, b"\x03"), 1002),
    (close_frame(999), 1002),
    (close_frame(1005), 1002),
    (close_frame(1006), 1002),
    (close_frame(1015), 1002),
    (close_frame(2999), 1002),
    (close_frame(5000), 1002),
    (close_frame(1000, b"\xff"), 1007),
    (frame(BINARY, b"x", length=(64 << 20) + 1), 1009),
    (frame(BINARY, b"x", length=1 << 40), 1009),
    (frame(BINARY, b"x", fin=False) + frame(0, b"x", length=64 << 20), 1009),
])
def test_invalid_frames(backend, data, code):
    raw = RawClient(backend)
    raw.send(frame(TEXT, b"fine"))
    assert raw.read_frame() == (TEXT, b"fine")
    raw.send(data)
    raw.assert_closes_with(code)
    wait_for(lambda: backend.metrics()["websockets"] == 0, "the connection to be gone")


@pytest.mark.parametrize("old, new, status", [
    ("Upgrade: websocket\r\n", "", 426),
    ("Upgrade: websocket\r\n", "Upgrade: h2c\r\n", 426),
    ("Connection: keep-alive, Upgrade\r\n", "Connection: keep-alive\r\n", 426),
    ("Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version: 8\r\n", 426),
    ("Sec-WebSocket-Version: 13\r\n", "", 426),
    ("Sec-WebSocket-Key: {key}\r\n", "", 400),
    ("{key}", "short", 400),
    ("{key}", "AAAAAAAAAAAAAAAAAAAAAAAA", 400),
    ("HTTP/1.1", "HTTP/1.0", 400),
    ("GET ", "POST ", 405),
    ("GET ", "HEAD ", 400),
    ("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\nx", 400),
])
def test_invalid_handshakes(backend, old, new, status):
    assert old in HANDSHAKE
    text = HANDSHAKE.replace(old, new, 1).replace("{key}", "dGhlIHNhbXBsZSBub25jZQ==")
    connection = connect(backend.socket)
    connection.sendall(text.encode())
    connection.shutdown(1)
    answer = read_all(connection).decode()
    assert answer.startswith(f"HTTP/1.1 {status} ")
    if status == 426:
        assert "Sec-WebSocket-Version: 13\r\n" in answer
        assert "Upgrade: websocket\r\n" in answer and "Connection: Upgrade" in answer


def test_a_plain_get(backend):
    assert get(backend.socket, "/ws").status == 426


# --- the end ----------------------------------------------------------------------------------------------------------

def test_the_server_says_goodbye(start):
    backend = start()

    async def talk():
        async with client(backend) as websocket:
            await websocket.send("x")
            await websocket.recv()
            backend.send_signal()
            with pytest.raises(websockets.ConnectionClosed):
                await websocket.recv()
            assert websocket.close_code == 1001
    asyncio.run(asyncio.wait_for(talk(), PATIENCE))
    assert backend.wait() == 0


def test_a_client_that_ignores_the_goodbye(start):
    backend = start()
    raw = RawClient(backend)
    wait_for(lambda: backend.metrics()["websockets"] == 1, "the WebSocket to be open")
    assert backend.stop() == 0  # it is not waited for without end
    raw.assert_closes_with(1001)
