# SPDX-License-Identifier: Apache-2.0
"""The members that the soak test's clients meet beside udsbackend: well-behaved, slow and hostile ones, as one program.

    soak_backend.py DIRECTORY

listens on DIRECTORY/NAME.sock for each NAME of SERVERS, until SIGTERM; ends with status 1 if a request was malformed.
What to do with a request its target says: /ACTION/TOKEN/SIZE. Bodies are made of the token, so that one answer taken
for another shows."""
import hashlib
import pathlib
import random
import signal
import socket
import sys
import threading
import time

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"
sys.path[:0] = [str(INTEGRATION), str(INTEGRATION / "peers")]

import udr_wire  # noqa: E402  (found by the path above)
from scripted_server import ScriptedServer, response_bytes  # noqa: E402

# How each of them listens.
SERVERS = {
    "hostile": {"backlog": 128},
    "unsteady": {"backlog": 128},
    "turns": {"backlog": 128},
    "busy": {"backlog": 128},
    "crowded": {"backlog": 1, "accept_pause": 0.005},
}

INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"


def content(token, size):
    """The body that belongs to a token: `size` bytes that no other token has."""
    line = hashlib.sha256(token.encode()).hexdigest().encode() + b"\n"
    return (line * (size // len(line) + 1))[:size]


def pieces(data, largest):
    """Cuts data at random places."""
    position = 0
    while position < len(data):
        size = random.randint(1, largest)
        yield data[position:position + size]
        position += size


def answer_whole(exchange, token, size):
    exchange.read_body()
    exchange.respond(body=content(token, size))


def answer_chunked(exchange, token, size):
    exchange.read_body()
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Token\r\n\r\n")
    for piece in pieces(content(token, size), 20000):
        if not exchange.send(b"%x\r\n%b\r\n" % (len(piece), piece)):
            break
    exchange.send(b"0\r\nX-Token: %b\r\n\r\n" % token.encode())


def answer_until_close(exchange, token, size):
    exchange.read_body()
    exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + content(token, size))
    exchange.close()


def answer_and_drop(exchange, token, size):
    """Says nothing of closing, and does."""
    answer_whole(exchange, token, size)
    exchange.close()


def answer_in_drops(exchange, token, size):
    """In pieces, with pauses within the head and within the body."""
    exchange.read_body()
    whole = response_bytes(body=content(token, size))
    for piece in pieces(whole, max(1, len(whole) // 5)):
        if not exchange.send(piece):
            return
        time.sleep(random.random() * 0.02)


def answer_late(exchange, token, size):
    """After so many milliseconds as the body would have bytes."""
    exchange.read_body()
    time.sleep(size / 1000)
    exchange.respond(body=content(token, 100))


def answer_before_body(exchange, token, size):
    """The response is complete before the request is."""
    exchange.respond(body=content(token, size))
    exchange.read_body()


def answer_interim(exchange, token, size):
    exchange.read_body()
    exchange.send(INTERIM + INTERIM + response_bytes(body=content(token, size)))


def mirror(exchange, token, size):  # pylint: disable=unused-argument
    exchange.respond(body=exchange.read_body())


def reject(exchange, token, size):
    """Does not want the body, and closes."""
    exchange.respond(413, content(token, size), [("Connection", "close")])
    exchange.close()


def close_unanswered(exchange, token, size):  # pylint: disable=unused-argument
    exchange.close()


def cut(exchange, token, size):
    """Closes within the body."""
    exchange.read_body()
    exchange.send(response_bytes(body=content(token, size))[:-max(1, size // 2)])
    exchange.close()


def garbage(exchange, token, size):  # pylint: disable=unused-argument
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nPOISON")
    exchange.close()


def silence(exchange, token, size):  # pylint: disable=unused-argument
    exchange.peer_closed(30)
    exchange.close()


# --- after 101 --------------------------------------------------------------------------------------------------------

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

# How much of its answer came through each tunnel that the member ended first.
received = {}
received_changed = threading.Condition()


def all_bytes(exchange):
    """What comes through a tunnel, until the client ends its side."""
    stream = exchange.connection.stream
    while stream.buffer or stream.fill():
        yield stream.take(len(stream.buffer))


def tunnel(exchange, token, size):
    """Sends back what comes; when the client has ended its side, a farewell of so many bytes."""
    exchange.send(SWITCHING)
    for data in all_bytes(exchange):
        if not exchange.send(data):
            break
    exchange.send(content(token, size))
    exchange.close()


def tunnel_member_first(exchange, token, size):
    """Says so many bytes, ends its side, and listens."""
    exchange.send(SWITCHING + content(token, size))
    exchange.connection.sock.shutdown(socket.SHUT_WR)
    data = b"".join(all_bytes(exchange))
    if data != content(token + "-answer", len(data)):
        exchange.connection.server.violations.append(f"{token}: other bytes through the tunnel: {data[:100]!r} …")
    with received_changed:
        received[token] = len(data)
        received_changed.notify_all()
    exchange.close()


def tell_received(exchange, token, size):
    """Whether so many bytes came through that tunnel, once it has ended."""
    with received_changed:
        received_changed.wait_for(lambda: token in received, 10)
        count = received.pop(token, "nothing")
    exchange.respond(body="all" if count == size else f"{count} of {size} bytes")


ACTIONS = {
    "whole": answer_whole, "chunked": answer_chunked, "until-close": answer_until_close, "drop": answer_and_drop,
    "drops": answer_in_drops, "late": answer_late, "before-body": answer_before_body, "interim": answer_interim,
    "mirror": mirror, "reject": reject, "close": close_unanswered, "cut": cut, "garbage": garbage, "silence": silence,
    "tunnel": tunnel, "member-first": tunnel_member_first, "received": tell_received,
}


def behave(exchange):
    _, action, token, size = exchange.request.target.split("?")[0].split("/")
    try:
        ACTIONS[action](exchange, token, int(size))
    except (udr_wire.Closed, OSError):
        exchange.close()
        return
    # What follows a body that did not come whole is no request.
    if exchange.request.framing != "none" and not exchange.request.complete:
        exchange.close()


def forget(server):
    """A server that remembers every request is good for a short test only."""
    server.forget()
    server.connections[:] = server.open_connections
    for connection in server.connections:
        connection.requests.clear()


def main():
    directory = pathlib.Path(sys.argv[1])
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    servers = [ScriptedServer(directory / f"{name}.sock", behave, read_bodies=False, tolerant=True, **options)
               for name, options in SERVERS.items()]
    violations = []
    while not stop:
        time.sleep(0.5)
        for server in servers:
            violations += server.violations
            forget(server)
    for server in servers:
        violations += server.violations
        server.stop()
    print("\n".join(violations))
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
