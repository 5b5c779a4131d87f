# SPDX-License-Identifier: Apache-2.0
"""For the tests of tunnels: a member that accepts an Upgrade and hands its end of the tunnel to the test, and both ends
as things that can send, read, half-close, close and die."""
import hashlib
import os
import queue
import select
import socket
import ssl
import struct
import time

import udr_environment
from udr_client import Client
from udr_loops import TLS

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\nX-Member: scripted\r\n\r\n"
PATIENCE = 30.0


class End:
    """One end of a tunnel: the client's or the member's socket, and what was read from it together with the head."""

    def __init__(self, sock, stream):
        self.sock = sock
        self.stream = stream

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def read(self, count):
        """Exactly so many bytes."""
        data = b"".join(self.stream.pieces(count))
        assert len(data) == count, f"the tunnel ended after {len(data)} of {count} bytes"
        return data

    def read_to_end(self):
        """All that comes until the other side sends no more; `was_cut` says how that was."""
        return b"".join(self.stream.rest())

    @property
    def was_cut(self):
        """The end came as a reset."""
        return self.stream.reset

    def ends(self, timeout=10.0):
        """Waits for the end; bytes that come instead are an error. False: it has not come."""
        if not self.stream.ended and not self.stream.buffer:
            readable, _, _ = select.select([self.sock], [], [], timeout)
            if not readable:
                return False
            self.stream.fill()
        assert not self.stream.buffer, f"bytes instead of the end: {bytes(self.stream.buffer[:100])!r}"
        return self.stream.ended

    def quiet(self, seconds):
        """Whether nothing comes for that long, not even the end."""
        return not self.stream.buffer and not select.select([self.sock], [], [], seconds)[0]

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """As a program that is killed with bytes unread: by TCP the other side gets an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send_until_stuck(self, data, quiet=0.5):
        """Sends as much as the other side takes: until it has taken nothing for that long. Returns the count."""
        sent = 0
        self.sock.setblocking(False)
        while sent < len(data) and select.select([], [self.sock], [], quiet)[1]:
            try:
                sent += self.sock.send(data[sent : sent + 65536])
            except BlockingIOError:
                pass
        self.sock.settimeout(PATIENCE)
        return sent


class Switchboard:
    """A scripted member that accepts each Upgrade with `answer` (bytes, or a function of the request), and hands its end
    of the tunnel to the test. A request without one it answers with its target."""

    def __init__(self, sandbox, name="chat", answer=SWITCH, **options):
        self.answer = answer
        self._ends = queue.SimpleQueue()
        self.backend = sandbox.scripted(name, self._behave, **options)

    @property
    def address(self):
        return self.backend.address

    def _behave(self, exchange):
        if not exchange.request.has("Upgrade"):
            exchange.respond(body=exchange.request.target)
            return
        exchange.send(self.answer(exchange.request) if callable(self.answer) else self.answer)
        exchange.leave()
        end = End(exchange.connection.sock, exchange.connection.stream)
        end.request = exchange.request
        end.sock.settimeout(PATIENCE)
        self._ends.put(end)

    def next_end(self, timeout=10.0):
        """The member's end of the next tunnel."""
        return self._ends.get(timeout=timeout)


def has_loops():
    """Whether tunnels live on a loop in what is tested."""
    return udr_environment.mpm() == "event" and udr_environment.loops() != "Off"


def tunnel_httpd(sandbox, config, **settings):
    """An httpd where what waits leaves its thread at once, so that no test depends on how long things take."""
    settings.setdefault("threads", 8)
    frame = "UDSPark 0\n<IfModule mpm_event_module>\nAsyncRequestWorkerFactor 64\n</IfModule>\n"
    return sandbox.httpd(frame + config + (TLS if settings.get("tls") else ""), **settings)


def chat_route(member, parameters="upgrade=chat", path="/chat/"):
    """A route over which the protocol `chat` may be spoken."""
    return f"UDSRoute {path} unix:{member.address}|http://localhost{path} {parameters}\n"


def ask(client, target="/chat/x", protocol="chat", fields=(), body=None, along=b"", method="GET"):
    """Sends a request with an Upgrade, and bytes of the tunnel in the same write."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Upgrade: {protocol}", "Connection: Upgrade"]
    lines += [f"{name}: {value}" for name, value in fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    client.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"") + along)


def switched(client):
    """Reads the 101; the client's end of the tunnel."""
    response = client.read_response()
    assert response.status == 101, (response.status, response.text)
    return End(client.sock, client.stream)


def connect(httpd, tls=False, **options):
    """A client's connection, on which nothing was asked yet."""
    return Client(httpd.tls_port if tls else httpd.port, tls=tls, **options)


def used(httpd, tls=False, **options):
    """A client's connection that has had two requests: where there are loops it lives on one."""
    client = connect(httpd, tls, **options)
    for _ in range(2):
        assert client.fetch("/chat/used").text == "/chat/used"
    return client


def open_tunnel(httpd, switchboard, tls=False, come=connect, **options):
    """Both ends of a new tunnel: the client's, the member's."""
    client = come(httpd, tls, **options)
    ask(client)
    near = switched(client)
    return near, switchboard.next_end()


def turn_is_free(httpd, target="/chat/free"):
    """With max=1: whether the member's only connection is there for others, or will be at once."""
    with connect(httpd, timeout=10.0) as client:
        return client.fetch(target).text == target


# --- both ways at once ------------------------------------------------------------------------------------------------


class Flow:
    """What one end sends, and what it has received."""

    def __init__(self, end, data):
        self.sock = end.sock
        self.left = memoryview(data)
        self.hash = hashlib.sha256(bytes(end.stream.buffer))
        self.received = len(end.stream.buffer)
        end.stream.buffer.clear()

    def send(self):
        try:
            self.left = self.left[self.sock.send(self.left[:262144]) :]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass

    def receive(self):
        """Reads what is there; through TLS, also what is there already decoded."""
        while True:
            try:
                data = self.sock.recv(262144)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            assert data, f"the tunnel ended after {self.received} bytes"
            self.hash.update(data)
            self.received += len(data)


def carry(near, far, up, down, timeout=120.0):
    """Sends `up` from the near end and `down` from the far one, both at once, until both have arrived; by their
    checksums."""
    flows = {near.sock: Flow(near, up), far.sock: Flow(far, down)}
    deadline = time.monotonic() + timeout
    for sock in flows:
        sock.setblocking(False)
    while flows[far.sock].received < len(up) or flows[near.sock].received < len(down):
        assert time.monotonic() < deadline, [(flow.received, len(flow.left)) for flow in flows.values()]
        senders = [sock for sock, flow in flows.items() if flow.left]
        readable, writable, _ = select.select(list(flows), senders, [], 5)
        for sock in readable:
            flows[sock].receive()
        for sock in writable:
            flows[sock].send()
    for sock in flows:
        sock.settimeout(PATIENCE)
    assert flows[far.sock].hash.digest() == hashlib.sha256(up).digest()
    assert flows[near.sock].hash.digest() == hashlib.sha256(down).digest()


def noise(count):
    return os.urandom(count)
