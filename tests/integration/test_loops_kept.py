# SPDX-License-Identifier: Apache-2.0
"""Connections whose first request a worker thread has served to its end wait for the next one on a loop: the event MPM
closes what it keeps itself whenever all its threads are busy."""
import contextlib
import time

import pytest

from udr_loops import connect, loop_httpd, route, status, wait_until_threads_are_free
from udr_processes import wait_until

TLS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])

THREADS = 8

# So long that a thread waits for its answer, and no test gets there by having to wait.
PATIENT = "UDSPark 30s\n"

# Less than core's output filter holds, more than the sockets of such a client take.
SIZE = 20_000


@pytest.fixture(name="backend")
def _backend(sandbox):
    def behave(exchange):
        target = exchange.request.target
        if target == "/app/absent":
            exchange.respond(status=404, body="nothing")
        elif target == "/app/large":
            exchange.respond(body=b"x" * SIZE)
        else:
            exchange.respond(body=exchange.request.body or target, fields=[("Content-Type", "text/plain")])

    return sandbox.scripted("app", behave)


def kept_httpd(sandbox, backend, config="", **settings):
    settings.setdefault("threads", THREADS)
    return loop_httpd(sandbox, PATIENT + route(backend) + config, **settings)


def idle_on_loops(httpd):
    return int(status(httpd)["UDSRouteIdle"])


def wait_until_idle(httpd, count):
    wait_until(lambda: idle_on_loops(httpd) == count, f"{count} to wait on a loop: {status(httpd)}", 10, 0.02)


@contextlib.contextmanager
def all_threads_busy(httpd):
    """They read heads that do not end; and another client has come, for whom there is no thread."""
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(connect(httpd)) for _ in range(httpd.settings.threads)]
        for holder in holders:
            holder.send(b"GET /index.html HTTP/1.1\r\n")
        newcomer = stack.enter_context(connect(httpd))
        newcomer.send_request("GET", "/index.html")
        assert newcomer.quiet(0.5)
        yield
        assert newcomer.quiet(0)
        for holder in holders:
            holder.send(b"Host: localhost\r\n\r\n")
        assert [one.read_response().status for one in (*holders, newcomer)] == [200] * (len(holders) + 1)


@TLS
def test_kept_clients_are_served_while_all_threads_are_busy(sandbox, backend, tls):
    """More of them than there are threads, each of whom a worker has served once."""
    httpd = kept_httpd(sandbox, backend, tls=tls)
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(3 * THREADS):
            clients.append(stack.enter_context(connect(httpd, tls, timeout=10)))
            assert clients[-1].fetch("/app/first").text == "/app/first"
        wait_until_idle(httpd, len(clients))
        with all_threads_busy(httpd):
            for client in clients:
                assert client.fetch("/app/second").text == "/app/second"
        for client in clients:
            assert client.fetch("/app/third").text == "/app/third"


# What a worker does to the end, in ways of its own.
FIRST = {
    "head": dict(method="HEAD", target="/app/x"),
    "post": dict(method="POST", target="/app/x", body=b"x" * 10_000),
    "chunked": dict(method="POST", target="/app/x", body=[b"x" * 1000, b"y"]),
    "absent": dict(target="/app/absent"),
    "page": dict(target="/page/absent"),
    "filter": dict(method="POST", target="/app/posted", body=b"x"),
    "filtered": dict(target="/app/x", fields=[("Accept-Encoding", "gzip")]),
    "1.0": dict(target="/app/x", fields=[("Connection", "keep-alive")], version="1.0"),
    "handler": dict(target="/handler"),
}

CONFIG = """
<Location /page/>
    UDSErrorOverride On
</Location>
ErrorDocument 404 /index.html
UDSRoute /page/ unix:{address}|http://localhost/app/
AddOutputFilterByType DEFLATE text/plain
<Location /app/posted>
    SetInputFilter DEFLATE
</Location>
<Location /handler>
    SetHandler "udsroute:unix:{address}|http://localhost/app/"
</Location>
"""


@pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
def test_whatever_the_first_answer(sandbox, backend, first):
    httpd = kept_httpd(sandbox, backend, CONFIG.format(address=backend.address), modules=["deflate", "filter"])
    with connect(httpd) as client:
        assert client.fetch(**first).complete and client.reusable
        wait_until_idle(httpd, 1)
        with all_threads_busy(httpd):
            assert client.fetch("/app/second").text == "/app/second"


def routed_lines(httpd):
    return [line for line in httpd.logged_lines() if "/app/" in line]


@TLS
def test_a_first_answer_that_the_client_does_not_read(sandbox, backend, tls):
    """The loop writes the rest of it, and waits for the next request."""
    httpd = kept_httpd(sandbox, backend, "SendBufferSize 4096\n", tls=tls, access_log="%U %>s %B %X")
    with connect(httpd, tls, receive_buffer=2048) as client:
        client.send_request("GET", "/app/large")
        wait_until(lambda: status(httpd).get("UDSRouteServed") == "1", f"the loop to have it: {status(httpd)}")
        wait_until_threads_are_free(httpd)
        assert len(client.read_response().body) == SIZE
        assert client.fetch("/app/second").text == "/app/second"
        wait_until(lambda: len(routed_lines(httpd)) == 2, "both to be logged")
        assert routed_lines(httpd) == [f"/app/large 200 {SIZE} +", "/app/second 200 11 +"]


def test_requests_that_come_together(sandbox, backend):
    httpd = kept_httpd(sandbox, backend)
    with connect(httpd) as client:
        client.send(b"".join(b"GET /app/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(5)))
        assert [client.read_response().text for _ in range(5)] == [f"/app/{number}" for number in range(5)]
        wait_until_idle(httpd, 1)
        assert client.fetch("/app/more").text == "/app/more"


def test_the_end_of_a_kept_connection(sandbox, backend):
    """By KeepAliveTimeout, of the virtual host; by the client; and by a graceful stop."""
    host = "<VirtualHost *:@PORT@>\nServerName hasty\nKeepAliveTimeout 1\n</VirtualHost>\n"
    httpd = kept_httpd(sandbox, backend, "KeepAliveTimeout 600\n<VirtualHost *:@PORT@>\n</VirtualHost>\n" + host)
    with connect(httpd) as hasty, connect(httpd) as other:
        started = time.monotonic()
        for client, host in ((hasty, "hasty"), (other, "localhost")):
            assert client.fetch("/app/x", host=host).status == 200
        assert hasty.closed_by_server() and time.monotonic() - started > 0.8
        wait_until_idle(httpd, 1)
        with connect(httpd) as gone:
            assert gone.fetch("/app/x").status == 200
            wait_until_idle(httpd, 2)
        wait_until_idle(httpd, 1)
        httpd.stop_gracefully()
        assert other.closed_by_server()


def test_maxkeepaliverequests_counts_the_first(sandbox, backend):
    httpd = kept_httpd(sandbox, backend, "MaxKeepAliveRequests 2\n")
    with connect(httpd) as client:
        assert [client.fetch("/app/x").get("Connection") for _ in range(3)] == [None, None, "close"]
        assert client.closed_by_server()


def test_logged_as_without_loops(sandbox, backend):
    """mod_logio's bytes, the number of requests, and what becomes of the connection."""
    lines = []
    for loops in ("1", "Off"):
        httpd = kept_httpd(sandbox, backend, loops=loops, modules=["logio"], access_log="%U %>s %k %X %I %O")
        with connect(httpd) as client:
            for path in ("/app/x", "/app/absent", "/app/x"):
                assert client.fetch(path).complete
            assert client.fetch("/app/x", fields=[("Connection", "close")]).complete
        wait_until(lambda: len(routed_lines(httpd)) == 4, "all to be logged")
        lines.append(routed_lines(httpd))
    assert lines[0] == lines[1]


def test_clients_that_come_again(sandbox, backend):
    """However many: all wait on a loop from their first request on."""
    httpd = kept_httpd(sandbox, backend, threads=64)
    for _ in range(600):
        with connect(httpd) as client:
            assert [client.fetch("/app/x").status for _ in range(2)] == [200] * 2
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            assert stack.enter_context(connect(httpd)).fetch("/app/x").status == 200
        wait_until_idle(httpd, 100)


def test_clients_that_come_again_for_files(sandbox, backend):
    """They are cheaper with the MPM: after many such requests it has the next clients, until those come again."""
    config = "<Location /app/posted>\nSetInputFilter DEFLATE\n</Location>\n"
    httpd = kept_httpd(sandbox, backend, config, threads=32, modules=["deflate"])
    with connect(httpd) as client:
        assert client.fetch("/app/x").status == 200
        wait_until_idle(httpd, 1)
        for _ in range(60):
            client.send(b"GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
            assert [client.read_response().status for _ in range(50)] == [200] * 50
        with connect(httpd) as other:
            assert other.fetch("/app/x").status == 200
            wait_until_threads_are_free(httpd)
            assert idle_on_loops(httpd) == 1
            # What a filter reads a worker serves to its end.
            assert other.fetch("/app/posted", "POST", body=b"x").text == "x"
            wait_until_idle(httpd, 2)
            # While threads are scarce it may cost more.
            with all_threads_busy(httpd):
                pass
            with connect(httpd) as third:
                assert third.fetch("/app/x").status == 200
                wait_until_idle(httpd, 3)
