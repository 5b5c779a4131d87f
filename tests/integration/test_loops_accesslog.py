# SPDX-License-Identifier: Apache-2.0
"""What the access log says of requests that were parked or ran on a loop: bytes, times, status, and how the connection
went on."""
import time

import pytest

from udr_client import chunk
from udr_loops import Gate, adopted, connect, loop_httpd, route, wait_until_threads_are_free
from udr_processes import wait_until
from udr_wire import CountingStream

FORMAT = (
    "status=%>s body=%B clf=%b out=%O in=%I connection=%X kept=%k us=%D s=%T ms=%{ms}T parked=%{UDSROUTE_PARKED}e "
    "member=%{UDSROUTE_MEMBER}e attempts=%{UDSROUTE_ATTEMPTS}e connect=%{UDSROUTE_CONNECT_US}e "
    "ttfb=%{UDSROUTE_TTFB_US}e total=%{UDSROUTE_TOTAL_US}e path=%U"
)

BODY = b"0123456789" * 4000


@pytest.fixture(name="backend")
def _backend(sandbox):
    def behave(exchange):
        target = exchange.request.target
        if target == "/app/slow":
            time.sleep(0.3)
            exchange.respond(body=BODY)
        elif target == "/app/chunked":
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(BODY[:1000]))
            time.sleep(0.05)
            exchange.send(chunk(BODY[1000:]) + b"0\r\n\r\n")
        elif target == "/app/empty":
            exchange.respond(204)
        elif target == "/app/error":
            exchange.respond(418, body="teapot")
        elif target == "/app/gone":
            exchange.peer_closed(20)
            exchange.close()
        else:
            exchange.respond(body=exchange.request.body or target)

    return sandbox.scripted("app", behave)


@pytest.fixture(name="httpd")
def _httpd(sandbox, backend):
    return loop_httpd(sandbox, route(backend), modules=["logio"], access_log=FORMAT)


def entries(httpd, path, count=1):
    """The log's lines about that path, once there are so many."""

    def read():
        found = [dict(pair.split("=", 1) for pair in line.split(" ")) for line in httpd.logged_lines()]
        return [entry for entry in found if entry["path"] == path]

    wait_until(lambda: len(read()) >= count, f"{count} lines about {path} in the access log")
    assert len(read()) == count
    return read()


def raw(method, target, body=b"", fields=""):
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}"
    head += f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{head}\r\n".encode() + body


def test_bytes_of_each_request_of_a_connection(httpd):
    """What was received for it and sent for it, heads included, to the byte; a second request is no larger than the
    first."""
    requests = [
        ("GET", "/app/adopt", b""),
        ("GET", "/app/a", b""),
        ("GET", "/app/slow", b""),
        ("POST", "/app/b", b"x" * 3000),
        ("POST", "/app/c", b"x" * 300_000),
        ("GET", "/app/chunked", b""),
        ("HEAD", "/app/head", b""),
        ("GET", "/app/empty", b""),
        ("GET", "/app/error", b""),
    ]
    sizes = {}
    with adopted(httpd) as client:
        client.stream = stream = CountingStream(client.sock)
        for method, target, body in requests:
            before = stream.total
            client.send(raw(method, target, body))
            response = client.read_response(method)
            sizes[target] = (
                len(raw(method, target, body)),
                stream.total - before,
                len(response.body),
                response.status,
            )
    for target, (received, sent, body, status) in sizes.items():
        (entry,) = entries(httpd, target)
        logged = [entry[name] for name in ("in", "out", "body", "clf", "status")]
        assert logged == [str(received), str(sent), str(body), str(body or "-"), str(status)], target


def test_bytes_of_a_request_that_comes_in_pieces(httpd):
    request = raw("POST", "/app/pieces", b"x" * 2000, "X-Long: " + "y" * 500 + "\r\n")
    with adopted(httpd) as client:
        for start in range(0, len(request), 97):
            client.send(request[start : start + 97])
            time.sleep(0.002)
        assert client.read_response().status == 200
    (entry,) = entries(httpd, "/app/pieces")
    assert (entry["in"], entry["body"], entry["status"]) == (str(len(request)), "2000", "200")


def test_bytes_of_pipelined_requests(httpd):
    """Who sends them together pays for them together; none is counted twice. (httpd counts the byte by which it sees that
    another request is there once more, with loops and without.)"""
    count = 10
    with adopted(httpd) as client:
        client.stream = stream = CountingStream(client.sock)
        client.send(raw("GET", "/app/pipelined") * count)
        for _ in range(count):
            assert client.read_response().text == "/app/pipelined"
    found = entries(httpd, "/app/pipelined", count)
    received = count * len(raw("GET", "/app/pipelined"))
    assert received <= sum(int(entry["in"]) for entry in found) <= received + count
    assert sum(int(entry["out"]) for entry in found) == stream.total


def until_now(started):
    """In microseconds; of something that is in the log now it is the most that it can have taken."""
    return (time.monotonic() - started) * 1e6


@pytest.mark.parametrize("come", [connect, adopted], ids=["first", "adopted"])
def test_time_taken(httpd, come):
    """It goes from the request's first line to the last byte that the client got, and counts the waiting."""
    with come(httpd) as client:
        started = time.monotonic()
        client.fetch("/app/slow")
        (entry,) = entries(httpd, "/app/slow")
    assert 300_000 <= int(entry["us"]) <= until_now(started)
    assert int(entry["ms"]) == int(entry["us"]) // 1000
    assert int(entry["s"]) == int(entry["us"]) // 1_000_000
    assert 290_000 <= int(entry["ttfb"]) <= int(entry["total"]) <= int(entry["us"])


def test_time_taken_does_not_count_the_pause_before_the_request(httpd):
    with adopted(httpd) as client:
        client.fetch("/app/a")
        time.sleep(1.5)
        started = time.monotonic()
        client.fetch("/app/b")
        (entry,) = entries(httpd, "/app/b")
    assert int(entry["us"]) <= until_now(started)


def test_time_taken_counts_a_client_that_reads_late(sandbox, backend):
    """The line is written when the client has it all."""
    httpd = loop_httpd(sandbox, "SendBufferSize 4096\n" + route(backend), modules=["logio"], access_log=FORMAT)
    with adopted(httpd, receive_buffer=4096) as client:
        client.send_request("POST", "/app/late", body=b"x" * 1_000_000)
        time.sleep(0.5)
        assert "/app/late" not in (httpd.root / "logs/access.log").read_text()
        assert len(client.read_response().body) == 1_000_000
    (entry,) = entries(httpd, "/app/late")
    assert int(entry["us"]) >= 500_000 and entry["body"] == "1000000" and entry["connection"] == "+"


def test_who_was_parked(httpd, backend):
    """1: it waited on a loop, wherever it began. -: no member served it."""
    with connect(httpd) as client:
        for target in ("/app/slow", "/app/slow", "/app/a", "/index.html"):
            assert client.fetch(target).status == 200
    found = entries(httpd, "/app/slow", 2) + entries(httpd, "/app/a") + entries(httpd, "/index.html")
    assert [entry["parked"] for entry in found] == ["1", "1", "1", "-"]
    member = f"unix:{backend.address}|http://localhost/app/"
    assert [entry["member"] for entry in found] == [member] * 3 + ["-"]
    assert [entry["attempts"] for entry in found] == ["1"] * 3 + ["-"]
    assert [int(entry["ttfb"]) <= int(entry["total"]) for entry in found[:3]] == [True] * 3


def test_connection_to_the_member_that_was_there_takes_no_time(httpd):
    with adopted(httpd) as client:
        client.fetch("/app/a")
        client.fetch("/app/b")
    assert entries(httpd, "/app/b")[0]["connect"] == "0"


def test_number_of_the_request_on_its_connection(httpd):
    """%k counts from 0; %X says + where the connection goes on and - where it ends."""
    with connect(httpd) as client:
        client.fetch("/app/slow")
        for number in range(1, 6):
            client.fetch(f"/app/{number}")
        client.fetch("/index.html")
        client.fetch("/app/last", fields=[("Connection", "close")])
    (first,) = entries(httpd, "/app/slow")
    assert (first["kept"], first["connection"]) == ("0", "+")
    for number in range(1, 6):
        (entry,) = entries(httpd, f"/app/{number}")
        assert (entry["kept"], entry["connection"]) == (str(number), "+")
    (file,) = entries(httpd, "/index.html")
    assert (file["kept"], file["connection"]) == ("6", "+")
    (last,) = entries(httpd, "/app/last")
    assert (last["kept"], last["connection"]) == ("6", "-")  # httpd counts those after which the connection stays


@pytest.mark.parametrize("come", [connect, adopted], ids=["first", "adopted"])
def test_client_that_leaves_while_the_member_thinks(httpd, backend, come):
    with come(httpd) as client:
        client.send_request("GET", "/app/gone")
        backend.wait_for_requests(1)
    (entry,) = entries(httpd, "/app/gone")
    assert (entry["status"], entry["connection"], entry["body"]) == ("499", "X", "0")


def test_client_that_leaves_in_the_body(sandbox):
    """The status is what it was told; the bytes are what there was to tell."""
    gate = Gate()

    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 600)
        gate.wait()

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, route(backend), modules=["logio"], access_log=FORMAT)
    with adopted(httpd) as client:
        client.send_request("GET", "/app/cut")
        while client.stream.buffer.count(b"x") < 600:
            assert client.stream.fill()
    (entry,) = entries(httpd, "/app/cut")
    gate.open()
    assert (entry["status"], entry["connection"], entry["body"]) == ("200", "X", "600")


@pytest.mark.parametrize("target", ["/index.html", "/absent", "/server-status", "/app/a"])
def test_body_that_is_no_chunk(httpd, target):
    """Refused by httpd's own filter, whoever serves the request."""
    with adopted(httpd) as client:
        client.send(f"POST {target} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n".encode())
        response = client.read_response()
        assert response.status == 400 and client.closed_by_server()
    (entry,) = entries(httpd, target)
    assert (entry["status"], entry["connection"], entry["body"]) == ("400", "-", str(len(response.body)))


def test_every_request_has_one_line(httpd):
    """Whoever served it, in the order of the answers."""
    targets = ["/app/a", "/index.html", "/app/error", "/absent", "/app/b", "/short"] * 3
    with adopted(httpd) as client:
        statuses = [client.fetch(target).status for target in targets]
    lines = httpd.access_lines(len(targets) + 1)
    logged = [(line.split("path=")[1], line.split()[0]) for line in lines]
    assert logged == [("/adopt", "status=200")] + [
        (target, f"status={status}") for target, status in zip(targets, statuses)
    ]


# --- how long a thread waits ------------------------------------------------------------------------------------------


def parked_by_path(sandbox, fields, paths, wait):
    """UDSROUTE_PARKED of requests at once for these paths, with UDSPark 1s; they are answered when wait(httpd) has
    returned."""
    gate = Gate()

    def behave(exchange):
        gate.wait()
        exchange.respond(body=exchange.request.target)

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, "UDSPark 1s\n" + route(backend), access_log="%U %{UDSROUTE_PARKED}e")
    clients = [connect(httpd) for _ in paths]
    for client, path in zip(clients, paths):
        client.send_request("GET", path, fields)
    backend.wait_for_requests(len(paths))
    wait(httpd)
    gate.open()
    for client, path in zip(clients, paths):
        assert client.read_response().text == path
        client.close()
    found = lambda: {path: parked for path, parked in map(str.split, httpd.logged_lines()) if path in paths}
    wait_until(lambda: len(found()) == len(paths), "a line for each")
    return found()


def test_thread_waits_longer_with_the_last_request_of_a_connection(sandbox):
    """Ten times as long."""
    wait = lambda _: time.sleep(2)
    assert parked_by_path(sandbox, [("Connection", "close")], ["/app/last"], wait) == {"/app/last": "0"}


def test_thread_waits_no_longer_with_a_request_that_others_may_follow(sandbox):
    assert parked_by_path(sandbox, [], ["/app/kept"], wait_until_threads_are_free) == {"/app/kept": "1"}


def test_thread_waits_no_longer_when_most_of_them_wait(sandbox):
    """With four threads: the last one to come finds the other three waiting. (httpd takes no connections meanwhile, so
    that it can't be asked.)"""
    paths = [f"/app/{number}" for number in range(4)]
    wait = lambda _: time.sleep(4)
    assert "1" in parked_by_path(sandbox, [("Connection", "close")], paths, wait).values()
