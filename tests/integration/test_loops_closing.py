# SPDX-License-Identifier: Apache-2.0
"""Connections that end while there are loops, with a worker or on a loop: the client's socket waits on a loop for the
client to close, and the MPM has its memory back."""
import pathlib
import re
import signal
import socket
import time

import pytest

from udr_loops import adopted, connect, fetch_short, loop_httpd, route, status, wait_until_threads_are_free
from udr_processes import tcp_connections, wait_until

CLOSE = [("Connection", "close")]

MOST = 512  # lingering sockets of a loop


def closing_httpd(sandbox, config="", **settings):
    """Its workers wait for the member themselves, however long that takes, if the request is its connection's last."""
    return loop_httpd(sandbox, f"UDSPark 30s\n{config}", **settings)


def served(httpd, target="/short", come=connect, **options):
    """A client that has its answer, has seen the server close for writing, and has not closed."""
    client = come(httpd, **options)
    assert client.fetch(target, fields=CLOSE).status == 200
    assert client.closed_by_server() and not client.stream.reset
    return client


def sockets_of(pid, port):
    """A process's descriptors that are connected with that port of a client's."""
    rows = [line.split() for line in pathlib.Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if int(row[2].rpartition(":")[2], 16) == port}
    return {number for number, link in links_of(pid) if link in inodes}


def links_of(pid):
    """A process's descriptors, and what they are."""
    for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield int(descriptor.name), str(descriptor.readlink())
        except FileNotFoundError:
            pass  # closed meanwhile


def watched_with(pid, descriptors):
    """What is watched by the same epoll instance as one of these; empty: none is watched."""
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            watched = {int(number) for number in re.findall(r"^tfd: +(\d+)", info.read_text(), re.M)}
        except OSError:
            continue  # closed meanwhile
        if watched & descriptors:
            return watched
    return set()


def listening(pid):
    """The child's descriptors that listen for clients: the MPM's."""
    return sockets_of(pid, 0)


def who_watches(httpd, client):
    """Who has the socket of a client that has its answer."""
    (child,) = httpd.children()
    port = client.sock.getsockname()[1]
    watched = wait_until(lambda: watched_with(child, sockets_of(child, port)), "the socket to be watched")
    return "MPM" if watched & listening(child) else "loop"


def test_the_loop_waits_for_the_client(sandbox):
    httpd = closing_httpd(sandbox)
    with served(httpd) as client:
        assert who_watches(httpd, client) == "loop"
        wait_until_threads_are_free(httpd)


def test_others_connections_are_the_mpms(sandbox):
    """Files, and TLS, whose goodbye is mod_ssl's."""
    httpd = closing_httpd(sandbox, tls=True)
    (httpd.root / "htdocs/file").write_text("file")
    with served(httpd, "/file") as client:
        assert who_watches(httpd, client) == "MPM"
    with served(httpd, tls=True) as client:
        assert who_watches(httpd, client) == "MPM"


def test_a_client_that_still_sends_is_not_reset(sandbox):
    """For a while at first, and later: what it sends is thrown away."""
    httpd = closing_httpd(sandbox)
    with served(httpd) as client:
        for _ in range(20):
            client.send(b"x" * 100_000)
            time.sleep(0.005)
        assert client.closed_by_server() and not client.stream.reset
        assert client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def assert_may_send_on(client):
    """It gets its answer, though another request behind the last one is there already when that is written."""
    client.send(b"GET /short HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" + b"x" * 50_000)
    assert client.read_response().text == "/short"
    assert client.closed_by_server() and not client.stream.reset
    time.sleep(0.05)  # else a reset may still be on its way
    client.send(b"x" * 500_000)
    assert client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_a_client_that_sends_on_gets_its_answer(sandbox):
    httpd = closing_httpd(sandbox)
    with connect(httpd) as client:
        assert_may_send_on(client)


def test_nothing_is_left(sandbox):
    """Whether the client closes at once, later, or with a reset."""
    httpd = closing_httpd(sandbox, threads=8)
    clients = [served(httpd) for _ in range(60)]
    for client in clients[:30]:
        client.close()
    for client in clients[30:40]:
        client.send(b"x" * 1000)
    time.sleep(0.05)
    for client in clients[30:]:
        client.close()
    wait_until(lambda: not tcp_connections([httpd.port]), "the server to close", 20)
    assert fetch_short(httpd)


# --- connections of the loop ------------------------------------------------------------------------------------------


def closing(httpd):
    return int(status(httpd)["UDSRouteClosing"])


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
def test_those_of_the_loop_are_in_nobodys_way(sandbox, tls):
    """A child that takes eight connections at the most has twenty that it has closed, and their clients have not."""
    httpd = loop_httpd(sandbox, "AsyncRequestWorkerFactor 1", tls=tls)
    clients = [served(httpd, come=adopted, tls=tls) for _ in range(20)]
    wait_until(lambda: closing(httpd) == 20, "all of them to be closed")
    for client in clients[:10]:
        client.send(b"x" * 50_000)
    for client in clients[5:]:
        client.close()
    wait_until(lambda: closing(httpd) == 5, "the others to be gone")
    for client in clients[:5]:
        assert client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        client.close()
    wait_until(lambda: closing(httpd) == 0, "all to be gone")


def test_beyond_those_that_may_wait_a_connection_waits_whole(sandbox):
    """Its client may go on sending without losing its answer, and it is gone when the client is."""
    httpd = loop_httpd(sandbox, "")
    clients = [served(httpd, come=adopted if number < 10 else connect) for number in range(MOST)]
    wait_until(lambda: closing(httpd) == MOST, "as many as may to wait")
    with adopted(httpd) as beyond:
        assert_may_send_on(beyond)
    wait_until(lambda: closing(httpd) == MOST, "that one to be gone")
    for client in clients:
        client.close()
    wait_until(lambda: closing(httpd) == 0, "all to be gone")


# --- what is left -----------------------------------------------------------------------------------------------------


def test_the_rest_of_an_answer_is_written_first(sandbox):
    """A request that is none ends the connection while most of the answer before it is still httpd's. A client that takes
    its time gets all of it, and the refusal. (Otherwise the MPM has written everything before it closes.)"""
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=b"x" * 50_000))
    config = f"SendBufferSize 4096\n{route(backend)}"
    httpd = closing_httpd(sandbox, config, threads=8, access_log="%X %B")
    with connect(httpd, receive_buffer=4096) as client:
        client.send(b"GET /app/x HTTP/1.1\r\nHost: localhost\r\n\r\nNONSENSE\r\n\r\n")
        backend.wait_for_requests(1)
        time.sleep(0.1)
        assert len(client.read_response().body) == 50_000
        assert client.read_response().status == 400
        assert client.closed_by_server() and not client.stream.reset
    assert httpd.access_lines(2)[0] == "+ 50000"


def test_a_graceful_restart_waits_for_the_client_to_close(sandbox):
    """For two seconds, as the MPM does for its own; not longer than the client takes."""
    httpd = closing_httpd(sandbox)
    old = httpd.children()

    def have_gone():
        return not set(httpd.children()) & set(old)

    with served(httpd) as client:
        assert who_watches(httpd, client) == "loop"
        begun = time.monotonic()
        httpd.graceful()
        wait_until(have_gone, "the old child to end", 20)
        assert time.monotonic() - begun > 1.8
    assert fetch_short(httpd)


def test_a_child_of_many_loops_waits_for_two_seconds_altogether(sandbox):
    """Not for two of each."""
    httpd = closing_httpd(sandbox, loops="12")
    (old,) = httpd.children()
    clients = [served(httpd) for _ in range(24)]
    begun = time.monotonic()
    httpd.graceful()
    wait_until(lambda: old not in httpd.children(), "the old child to end", 60)
    assert time.monotonic() - begun < 12
    for client in clients:
        client.close()


def test_stop_at_once_waits_for_nobody(sandbox):
    """Not for the two seconds that a graceful end gives its last clients. A busy machine may take as long, but not each
    time."""

    def seconds_to_stop():
        httpd = closing_httpd(sandbox)
        clients = [served(httpd) for _ in range(10)] + [adopted(httpd)]
        begun = time.monotonic()
        httpd.signal(signal.SIGTERM)
        wait_until(lambda: not httpd.running, "the server to end", 10)
        took = time.monotonic() - begun
        for client in clients:
            client.close()
        return took

    assert any(seconds_to_stop() < 1.8 for _ in range(5))
