# SPDX-License-Identifier: Apache-2.0
"""Large bodies that go from the member's socket to the client's by splice(2): that they arrive whole, that the log counts
them right, that every way in which they can end early leaves nothing behind, and when the module leaves them to httpd's
filters.

A socket that paces itself (BBR) is not spliced into; the tests see to it that httpd's do not, whatever the system's
default is. There, and where no pipe is to be had, bytes are read and written past the filters: the tests of the second
kind have a child that gets no pipes."""
import collections
import ctypes
import hashlib
import os
import pathlib
import random
import re
import socket
import time

import pytest

import udr_environment
from udr_client import chunk, fetch
from udr_loops import adopted, connect, loop_httpd, route
from udr_processes import open_descriptors, wait_until
from udr_tunnel import SWITCH
from udr_wire import CountingStream

FORMAT = "status=%>s body=%B out=%O connection=%X path=%U"
MIB = 1 << 20

# Of a prime length: bytes that get lost or change places are found, wherever that happens.
PATTERN = random.Random(1).randbytes(1048573)

PIDFD_GETFD = 438  # pidfd_getfd(2); Python has no name for it


def pieces(size, largest=1 << 18):
    """The body of that size, piece by piece."""
    at = 0
    while at < size:
        begin = at % len(PATTERN)
        piece = PATTERN[begin : begin + min(largest, size - at)]
        at += len(piece)
        yield piece


def digest_of(size):
    digest = hashlib.sha256()
    for piece in pieces(size):
        digest.update(piece)
    return digest.hexdigest()


def head(size, fields=""):
    return f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nContent-Type: text/plain\r\n{fields}\r\n".encode()


def send_body(exchange, size):
    return all(exchange.send(piece) for piece in pieces(size))


def behave(exchange):
    """/app/WAY/SIZE"""
    _, _, way, size = exchange.request.target.split("/")
    size = int(size)
    if way == "chunked":
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces(size):
            exchange.send(chunk(piece))
        exchange.send(b"0\r\n\r\n")
    elif way == "to-close":
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        send_body(exchange, size)
        exchange.close()
    elif way == "more":
        # In one piece with the body's end: what comes later still may be taken for the next request's answer.
        *most, last = pieces(size)
        for piece in (head(size), *most, last[:-1000]):
            exchange.send(piece)
        exchange.send(last[-1000:] + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    elif way == "cut":
        exchange.send(head(size))
        send_body(exchange, size // 2)
        exchange.close()
    elif way == "late":
        exchange.send(head(size) + PATTERN[:1000])
        time.sleep(0.05)
        exchange.send(PATTERN[1000:size])
    elif way == "pauses":
        exchange.send(head(size))
        for piece in pieces(size, 150_001):
            exchange.send(piece)
            time.sleep(0.002)
    else:
        exchange.send(head(size))
        if exchange.request.method != "HEAD":
            send_body(exchange, size)


@pytest.fixture(name="backend")
def _backend(sandbox):
    return sandbox.scripted("app", behave)


def listener_of(httpd):
    """httpd's listening socket, as a second descriptor of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    inodes = set()
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if int(columns[1].rpartition(":")[2], 16) == httpd.port and columns[3] == "0A":
            inodes.add(f"socket:[{columns[9]}]")
    for name in os.listdir(f"/proc/{httpd.pid}/fd"):
        try:
            is_listening = os.readlink(f"/proc/{httpd.pid}/fd/{name}") in inodes
        except FileNotFoundError:
            continue  # closed meanwhile
        if is_listening:
            process = os.pidfd_open(httpd.pid)
            descriptor = libc.syscall(PIDFD_GETFD, process, int(name), 0)
            os.close(process)
            assert descriptor >= 0, os.strerror(ctypes.get_errno())
            return socket.socket(fileno=descriptor)
    raise AssertionError("httpd listens on no socket")


def unpaced(httpd):
    """From now on, httpd's connections use a congestion control that every kernel has and that does not pace."""
    with listener_of(httpd) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    return httpd


@pytest.fixture(name="httpd", params=["1", "Off", "1 without pipes"])
def _httpd(request, sandbox, backend):
    """With a loop, and with worker threads only."""
    timeout = 3 if request.function is test_client_that_stops_reading else 60
    config = f"Timeout {timeout}\n" + route(backend)
    loops, _, without_pipes = request.param.partition(" ")
    httpd = unpaced(loop_httpd(sandbox, config, loops=loops, modules=["logio"], access_log=FORMAT))
    if without_pipes:
        refuse_pipes(sandbox, httpd)
    return httpd


def attach(sandbox, name, httpd, *options):
    """strace, on the child."""
    (pid,) = httpd.children()
    server = sandbox.server(name, [udr_environment.program("strace"), "-f", *options, "-p", str(pid)])
    wait_until(lambda: "attached" in server.output(), f"strace to attach: {server.output()}", 20)
    return server


def refuse_pipes(sandbox, httpd):
    """From now on the child gets none, as if it had reached its limit."""
    attach(sandbox, "no pipes", httpd, "-e", "trace=pipe2", "-e", "inject=pipe2:error=EMFILE", "-o", "/dev/null")


class Splices:
    """What a child moves by splice(2) while the test does something."""

    CALL = re.compile(r"splice(?:\(| resumed).*\) += (\d+)")

    def __init__(self, sandbox, httpd):
        self.sandbox = sandbox
        self.file = sandbox.root / "splices.out"
        self.server = attach(sandbox, "strace", httpd, "-e", "trace=splice", "-o", self.file)

    def end(self):
        """How many bytes were moved, into pipes and out of them together."""
        self.sandbox.stop(self.server)
        return sum(int(number) for number in self.CALL.findall(self.file.read_text(errors="replace")))


def get(client, target, pause=0.0, **options):
    """A response and the SHA-256 of its body. pause: between two reads of at most 64 KiB."""
    digest = hashlib.sha256()

    def sink(piece):
        digest.update(piece)
        if pause:
            time.sleep(pause)

    return client.fetch(target, sink=sink, **options), digest.hexdigest()


def entry(httpd, path):
    """The log's line about that path, once it is there."""

    def find():
        entries = [dict(pair.split("=", 1) for pair in line.split(" ")) for line in httpd.logged_lines()]
        return [one for one in entries if one["path"] == path]

    wait_until(find, f"a line about {path} in the access log")
    (found,) = find()
    return found


def descriptors(httpd):
    (pid,) = httpd.children()
    return open_descriptors(pid)


# --- that it is used --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loops", ["1", "Off"])
def test_most_of_a_large_body_is_spliced(sandbox, backend, loops):
    httpd = unpaced(loop_httpd(sandbox, route(backend), loops=loops))
    with connect(httpd) as client:
        splices = Splices(sandbox, httpd)
        response, digest = get(client, f"/app/plain/{4 * MIB}")
        assert (response.status, digest) == (200, digest_of(4 * MIB))
    # Into the pipe and out of it; the first read goes through httpd's filters.
    assert 2 * (4 * MIB - 65536) <= splices.end() <= 2 * 4 * MIB


def test_close_delimited_body_for_an_old_client(sandbox, backend):
    """HTTP/1.0 knows no chunks: the body ends with the connection on both sides."""
    httpd = unpaced(loop_httpd(sandbox, route(backend)))
    splices = Splices(sandbox, httpd)
    with connect(httpd) as client:
        response, digest = get(client, f"/app/to-close/{4 * MIB}", version="1.0")
    assert (response.status, response.complete, digest) == (200, True, digest_of(4 * MIB))
    assert splices.end() >= 2 * (4 * MIB - 65536)


@pytest.mark.parametrize("case", ["tls", "deflate", "chunked", "small", "head", "include"])
def test_what_is_left_to_the_filters(sandbox, backend, case):
    """Where a filter has to see the bytes, where they are framed anew, and where there are few."""
    config = "" if case != "deflate" else "SetOutputFilter DEFLATE\n"
    if case == "include":
        config = "<Location /app/>\nOptions +Includes\nSetOutputFilter INCLUDES\n</Location>\n"
    modules = {"deflate": ["filter", "deflate"], "include": ["include"]}.get(case, [])
    httpd = unpaced(loop_httpd(sandbox, config + route(backend), modules=modules, tls=case == "tls"))
    splices = Splices(sandbox, httpd)
    size = 100_000 if case == "small" else 2 * MIB
    with connect(httpd, tls=case == "tls") as client:
        fields = [("Accept-Encoding", "gzip")] if case == "deflate" else []
        method = "HEAD" if case == "head" else "GET"
        way = "chunked" if case == "chunked" else "plain"
        response, digest = get(client, f"/app/{way}/{size}", fields=fields, method=method)
    assert response.complete and response.status == 200
    if case == "deflate":
        assert response.get("Content-Encoding") == "gzip"
    else:
        assert digest == (digest_of(0) if case == "head" else digest_of(size))
    assert splices.end() == 0


@pytest.mark.parametrize("loops", ["1", "Off"])
def test_where_there_is_no_pipe_it_is_written(sandbox, backend, loops):
    """Past the filters all the same: they would make writev(2) of it."""
    httpd = unpaced(loop_httpd(sandbox, route(backend), loops=loops))
    calls = sandbox.root / "sends.out"
    options = ("-e", "trace=pipe2,splice,sendto", "-e", "inject=pipe2:error=EMFILE", "-o", calls)
    server = attach(sandbox, "strace", httpd, *options)
    with connect(httpd) as client:
        response, digest = get(client, f"/app/plain/{4 * MIB}")
        assert (response.status, digest) == (200, digest_of(4 * MIB))
    sandbox.stop(server)
    text = calls.read_text(errors="replace")
    assert "splice(" not in text
    # What the client does not take at once goes through the filters.
    assert sum(int(number) for number in re.findall(r"sendto\(.*\) += (\d+)", text)) >= MIB


# --- that it arrives --------------------------------------------------------------------------------------------------


def test_odd_sizes_one_after_the_other(httpd):
    """On one connection each, past every threshold there is; the next response begins where the last one ended."""
    near = (65536, 131072, 131072 + 63487, 196608, 262144, 262144 + 131072, 524288, MIB)
    sizes = sorted({0, 1, *(size + odd for size in near for odd in (-1, 0, 1, 37))})
    with connect(httpd) as client:
        client.stream = stream = CountingStream(client.sock)
        for size in sizes:
            before = stream.total
            response, digest = get(client, f"/app/plain/{size}")
            assert (response.status, response.complete, digest) == (200, True, digest_of(size)), size
            line = entry(httpd, f"/app/plain/{size}")
            assert (line["body"], line["connection"]) == (str(size), "+"), line
            assert line["out"] == str(stream.total - before), line


def test_a_gibibyte(httpd):
    with connect(httpd) as client:
        response, digest = get(client, f"/app/plain/{1 << 30}")
        assert (response.status, digest) == (200, digest_of(1 << 30))
        assert get(client, "/app/plain/5")[1] == digest_of(5)
    assert entry(httpd, f"/app/plain/{1 << 30}")["body"] == str(1 << 30)


def test_member_that_pauses(httpd):
    with connect(httpd) as client:
        assert get(client, f"/app/pauses/{8 * MIB + 11}")[1] == digest_of(8 * MIB + 11)


@pytest.mark.parametrize("loops", ["1", "Off"])
def test_what_httpd_keeps_back_goes_first(sandbox, backend, loops):
    """A little that came with the head waits in core's output filter for a fuller packet: here for as long as it takes."""
    httpd = unpaced(loop_httpd(sandbox, route(backend, parameters="flushpackets=off"), loops=loops))
    splices = Splices(sandbox, httpd)
    with connect(httpd) as client:
        response, digest = get(client, "/app/late/1000000")
        assert (response.complete, digest) == (True, digest_of(1_000_000))
    assert splices.end() > 1_500_000


def test_pipelined_large_responses(httpd):
    sizes = [3 * MIB, 10, 2 * MIB + 1, 300_000]
    with connect(httpd) as client:
        for size in sizes:
            client.send_request("GET", f"/app/plain/{size}")
        for size in sizes:
            digest = hashlib.sha256()
            assert client.read_response(sink=digest.update).complete
            assert digest.hexdigest() == digest_of(size)


def test_many_at_once(httpd):
    clients = [connect(httpd, receive_buffer=65536) for _ in range(12)]
    for number, client in enumerate(clients):
        client.send_request("GET", f"/app/plain/{2 * MIB + number}")
    for number, client in reversed(list(enumerate(clients))):
        digest = hashlib.sha256()
        client.read_response(sink=digest.update)
        assert digest.hexdigest() == digest_of(2 * MIB + number)
        client.close()


def test_slow_reader(httpd, backend):
    """One that takes little at a time. Its member is free as soon as the rest is on its way, and counts are exact."""
    size = 3 * MIB + 5
    with connect(httpd, receive_buffer=4096) as client:
        client.stream = stream = CountingStream(client.sock)
        response, digest = get(client, f"/app/plain/{size}", pause=0.001)
        assert (response.complete, digest) == (True, digest_of(size))
        line = entry(httpd, f"/app/plain/{size}")
        assert (line["body"], line["out"]) == (str(size), str(stream.total))
        assert get(client, "/app/plain/7")[1] == digest_of(7)
    assert backend.accepted == 1


# --- that it ends -----------------------------------------------------------------------------------------------------


def wait_until_forgotten(httpd, backend, before):
    """The member has been let go, and the child has the descriptors that it had."""
    wait_until(lambda: not any(connection.busy for connection in backend.open_connections), "the member to be free", 20)
    wait_until(lambda: descriptors(httpd) <= before, f"{descriptors(httpd)} descriptors to be {before} again", 20)


def warmed_up(httpd, backend):
    """Descriptors that the child has once it has made what it keeps: pipes, too. In each thread that may serve: none is
    done before all are at it."""
    clients = [connect(httpd, receive_buffer=16384) for _ in range(4)]
    for client in clients:
        client.send_request("GET", f"/app/plain/{4 * MIB}")
    at_it = lambda: sum(one.busy and bool(one.requests) for one in backend.connections)
    backend.wait_for(lambda: at_it() == 4, "all to be at it")
    for client in clients:
        assert client.read_response().complete
    for client in clients:
        client.close()
    backend.settle()
    counts = collections.deque([descriptors(httpd)], maxlen=20)
    # Closed connections go one by one; when the number has not changed for a while, it stays.
    wait_until(lambda: counts.append(descriptors(httpd)) or (len(counts) == 20 and len(set(counts)) == 1), "rest", 10, 0.02)
    return counts[-1]


def test_client_that_goes_away(request, httpd, backend):
    before = warmed_up(httpd, backend)
    with connect(httpd, receive_buffer=4096) as client:
        client.send_request("GET", f"/app/plain/{64 * MIB}")
        assert len(b"".join(client.stream.pieces(500_000))) == 500_000
    line = entry(httpd, f"/app/plain/{64 * MIB}")
    assert (line["status"], line["connection"]) == ("200", "X")
    assert 500_000 < int(line["body"]) < 32 * MIB
    # Filters count what they are given, of which core may not have written the last piece.
    kept = 65536 if "without pipes" in request.node.name else 0
    assert int(line["body"]) <= int(line["out"]) + kept
    wait_until_forgotten(httpd, backend, before + 1)


def test_client_that_stops_reading(httpd, backend):
    """After Timeout it has lost its connection, wherever its last bytes are, and the member is free."""
    httpd.log.allow(r"UDR\d{4}.*client")
    before = warmed_up(httpd, backend)
    with connect(httpd, receive_buffer=4096) as client:
        client.send_request("GET", f"/app/plain/{64 * MIB}")
        assert len(b"".join(client.stream.pieces(200_000))) == 200_000
        assert entry(httpd, f"/app/plain/{64 * MIB}")["connection"] == "X"
        wait_until_forgotten(httpd, backend, before + 1)
        assert len(client.everything()) < 64 * MIB


def test_member_that_closes_in_the_middle(httpd, backend):
    """The client sees that the body is cut; it is logged, and nothing is left."""
    before = warmed_up(httpd, backend)
    size = 8 * MIB
    with connect(httpd) as client:
        response, digest = get(client, f"/app/cut/{size}")
        assert not response.complete
        assert digest == digest_of(size // 2)  # all of what there was
        assert client.closed_by_server()
    httpd.log.expect(r"UDR\d{4}.*fewer bytes than Content-Length said")
    line = entry(httpd, f"/app/cut/{size}")
    assert (line["body"], line["connection"]) == (str(size // 2), "-")
    wait_until_forgotten(httpd, backend, before)


def test_bytes_behind_the_response(httpd, backend):
    """They are nobody's: the member's connection does not serve another request."""
    with connect(httpd) as client:
        for _ in range(3):
            response, digest = get(client, f"/app/more/{2 * MIB}")
            assert (response.complete, digest) == (True, digest_of(2 * MIB))
    assert backend.accepted == 3


def test_graceful_stop_while_the_pipe_is_full(sandbox, backend):
    """The response is finished; then the child ends."""
    httpd = unpaced(loop_httpd(sandbox, route(backend)))
    with adopted(httpd, receive_buffer=4096) as client:
        client.send_request("GET", f"/app/plain/{4 * MIB}")
        assert len(b"".join(client.stream.pieces(1000))) == 1000
        httpd.graceful()
        digest = hashlib.sha256()
        for piece in client.stream.rest():
            digest.update(piece)
    assert fetch(httpd.port, "/app/plain/3").status == 200


# --- tunnels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loops", ["1", "Off"])
def test_much_through_a_tunnel(sandbox, loops):
    """What the member sends in large pieces is spliced; small messages before, between and behind arrive in order."""
    size = 8 * MIB + 3

    def converse(exchange):
        exchange.send(SWITCH)
        for _ in range(3):
            assert exchange.connection.stream.take(0) == b""
            exchange.send(b"begin")
            send_body(exchange, size)
            exchange.send(b"end..")
            assert exchange.connection.sock.recv(3) == b"ok\n"
        exchange.close()

    backend = sandbox.scripted("chat", converse)
    httpd = loop_httpd(
        sandbox, route(backend, parameters="upgrade=ANY"), loops=loops, modules=["logio"], access_log=FORMAT
    )
    unpaced(httpd)
    splices = Splices(sandbox, httpd)
    with connect(httpd) as client:
        client.stream = stream = CountingStream(client.sock)
        client.send_request("GET", "/app/chat", [("Upgrade", "chat"), ("Connection", "Upgrade")])
        assert client.read_interim().status == 101
        for _ in range(3):
            assert b"".join(stream.pieces(5)) == b"begin"
            digest = hashlib.sha256()
            for piece in stream.pieces(size):
                digest.update(piece)
            assert digest.hexdigest() == digest_of(size)
            assert b"".join(stream.pieces(5)) == b"end.."
            client.send(b"ok\n")
        assert client.everything() == b""
        total = stream.total
    line = entry(httpd, "/app/chat")
    assert (line["status"], line["body"], line["out"]) == ("101", str(3 * (size + 10)), str(total))
    assert splices.end() >= 2 * 3 * size // 2
