# SPDX-License-Identifier: Apache-2.0
"""The connections that a child keeps: reuse, limits, age, and what happens when the socket is replaced."""
import concurrent.futures
import os
import threading
import time

import pytest

import udr_environment
from udr_client import Client, fetch
from udr_processes import wait_until


def route(backend, parameters=""):
    return f"UDSRoute / unix:{backend.address}|http://localhost/ {parameters}"


def numbered(exchange):
    """Says on which connection the request came."""
    exchange.respond(body=str(exchange.connection.number))


@pytest.fixture
def backend(sandbox):
    return sandbox.scripted("pool", numbered)


# --- reuse ------------------------------------------------------------------------------------------------------------


def test_connection_is_reused(sandbox, backend):
    httpd = sandbox.httpd(route(backend))
    with Client(httpd.port) as client:
        assert [client.fetch("/x").text for _ in range(10)] == ["1"] * 10
    assert backend.accepted == 1


@pytest.mark.parametrize(
    "method,body",
    [
        ("POST", b"x" * 1000),
        ("POST", [b"x" * 1000, b"y"]),
        ("PUT", b"x"),
        ("HEAD", None),
        ("DELETE", None),
        ("OPTIONS", None),
    ],
)
def test_connection_is_reused_after_every_kind_of_request(sandbox, backend, method, body):
    httpd = sandbox.httpd(route(backend))
    with Client(httpd.port) as client:
        for _ in range(2):
            client.fetch("/x")  # the backend is seen to keep its connections
        for _ in range(3):
            assert client.fetch("/x", method, body=body).status == 200
        assert client.fetch("/x").text == "1"


class Closer:
    """Closes behind its answers, a moment later and without having said so, as uWSGI's http-socket."""

    SOON = 0.005  # seconds; half of what the module takes for a sign that a connection is kept

    def __init__(self, sandbox):
        self.was_late = False  # the machine has kept it from closing soon
        self.address = sandbox.scripted(f"closer{len(sandbox.httpds)}", self._behave).address

    def _behave(self, exchange):
        begun = time.monotonic()
        exchange.respond(body="answered")
        time.sleep(0.001)  # the client's next request is on its way
        exchange.close()
        self.was_late |= time.monotonic() - begun > self.SOON


def test_what_can_not_be_sent_again_goes_to_nobody_who_may_close(sandbox):
    """It would be lost: the backend closes just when it comes."""
    for _ in range(20):
        closer = Closer(sandbox)
        httpd = sandbox.httpd(route(closer))
        with Client(httpd.port) as client:
            statuses = {client.fetch("/x", "POST", body=b"once").status for _ in range(50)}
        if statuses == {200} or not closer.was_late:
            break
        httpd.log.allow("UDR0007.*closer")
    assert statuses == {200}


def test_posts_alone_show_that_connections_are_kept(sandbox, backend):
    httpd = sandbox.httpd(route(backend))
    with Client(httpd.port) as client:
        deadline = time.monotonic() + 10
        numbers = [client.fetch("/x", "POST", body=b"x").text for _ in range(2)]
        while numbers[-1] not in numbers[:-1]:
            assert time.monotonic() < deadline, "each has its own connection still"
            numbers.append(client.fetch("/x", "POST", body=b"x").text)
        assert len({client.fetch("/x", "POST", body=b"x").text for _ in range(20)}) < 20


def test_connection_is_reused_across_clients(sandbox, backend):
    """One child, and one thread after the other: the pool is the child's."""
    httpd = sandbox.httpd(route(backend), mpm=udr_environment.threaded_mpm())
    assert [fetch(httpd.port, "/x").text for _ in range(10)] == ["1"] * 10


def test_connection_is_shared_by_routes_to_the_same_member(sandbox, backend):
    httpd = sandbox.httpd(
        f"UDSRoute /a/ unix:{backend.address}|http://localhost/\n"
        f"UDSRoute /b/ unix:{backend.address}|http://other/\n"
    )
    with Client(httpd.port) as client:
        assert [client.fetch(path).text for path in ("/a/x", "/b/x", "/a/x")] == ["1", "1", "1"]
    assert [request.get("Host") for request in backend.requests] == ["localhost", "other", "localhost"]


@pytest.mark.parametrize("parameter", ["enablereuse=off", "disablereuse=on"])
def test_reuse_can_be_switched_off(sandbox, backend, parameter):
    httpd = sandbox.httpd(route(backend, parameter))
    with Client(httpd.port) as client:
        assert [client.fetch("/x").text for _ in range(4)] == ["1", "2", "3", "4"]
    backend.wait_for(lambda: not backend.open_connections, "every connection to be closed")
    assert all(request.get("Connection") == "close" for request in backend.requests)


def test_connection_that_the_response_closes_is_not_reused(sandbox):
    backend = sandbox.scripted(
        "pool",
        lambda exchange: exchange.respond(body=str(exchange.connection.number), fields=[("Connection", "close")]),
    )
    httpd = sandbox.httpd(route(backend))
    with Client(httpd.port) as client:
        assert [client.fetch("/x").text for _ in range(3)] == ["1", "2", "3"]
    backend.wait_for(lambda: not backend.open_connections, "every connection to be closed")


def test_http_1_0_backend(sandbox):
    """Its connection stays only where it says so."""

    def behave(exchange):
        keep = b"Connection: keep-alive\r\n" if exchange.request.target == "/keep" else b""
        exchange.send(b"HTTP/1.0 200 OK\r\n" + keep + b"Content-Length: 1\r\n\r\n%d" % exchange.connection.number)

    backend = sandbox.scripted("pool", behave)
    httpd = sandbox.httpd(route(backend))
    with Client(httpd.port) as client:
        assert [client.fetch(path).text for path in ("/keep", "/keep", "/x", "/x")] == ["1", "1", "1", "2"]


def test_newest_connection_first(sandbox):
    """Last in, first out: what is needed stays warm, what is not grows old."""
    gate = threading.Barrier(3)

    def behave(exchange):
        if exchange.request.target == "/together":
            gate.wait(20)
        numbered(exchange)

    backend = sandbox.scripted("pool", behave)
    # Without loops: each has its own newest one.
    httpd = sandbox.httpd("UDSLoops Off\n" + route(backend), mpm=udr_environment.threaded_mpm())
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: fetch(httpd.port, "/together"), range(3)))
    with Client(httpd.port) as client:
        assert len({client.fetch("/x").text for _ in range(10)}) == 1
    assert backend.accepted == 3


# --- stale connections ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method,body", [("GET", None), ("POST", b"once"), ("POST", [b"once"])])
def test_connection_closed_by_the_backend_is_noticed_before_use(sandbox, backend, method, body):
    """The next request is sent on a new connection, a POST too, and once."""
    httpd = sandbox.httpd(route(backend))
    with Client(httpd.port) as client:
        for round_number in range(1, 6):
            assert client.fetch("/x", method, body=body).text == str(round_number)
            backend.close_idle()
    assert len(backend.requests) == 5


def test_several_stale_connections(sandbox):
    gate = threading.Barrier(4)

    def behave(exchange):
        if exchange.request.target == "/together":
            gate.wait(20)
        numbered(exchange)

    backend = sandbox.scripted("pool", behave)
    httpd = sandbox.httpd(route(backend))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: fetch(httpd.port, "/together"), range(4)))
    backend.close_idle()
    assert fetch(httpd.port, "/x", "POST", body=b"once").text == "5"
    assert len(backend.requests) == 5


def test_backend_that_restarts(sandbox, backend):
    """The old process is gone with its connections, the new one listens at the same path."""
    httpd = sandbox.httpd(route(backend))
    with Client(httpd.port) as client:
        assert client.fetch("/x").text == "1"
        sandbox.stop(backend)
        sandbox.scripted("pool", lambda exchange: exchange.respond(body="new"))
        assert client.fetch("/x", "POST", body=b"once").text == "new"


def test_socket_that_is_replaced_while_the_old_one_lives(sandbox, backend):
    """A connection belongs to the socket file it was made to: the idle one leads to yesterday's release."""
    httpd = sandbox.httpd(route(backend))
    with Client(httpd.port) as client:
        assert client.fetch("/x").text == "1"
        assert backend.open_connections
        replacement = sandbox.scripted("new", lambda exchange: exchange.respond(body="new"))
        os.rename(replacement.address, backend.address)
        assert client.fetch("/x").text == "new"
        assert client.fetch("/x").text == "new"
    backend.wait_for(lambda: not backend.open_connections, "the idle connection to the old socket to be closed")
    os.unlink(backend.address)


def test_socket_that_is_unlinked_while_its_server_lives(sandbox, backend):
    """The idle connection goes to a file that is no longer there: it is not used."""
    httpd = sandbox.httpd(route(backend))
    with Client(httpd.port) as client:
        assert client.fetch("/x").text == "1"
        os.unlink(backend.address)
        assert client.fetch("/x").status == 503
    httpd.log.expect(rf"UDR\d{{4}}.*{backend.address}")


# --- limits -----------------------------------------------------------------------------------------------------------


class Busy:
    """Counts the requests that are at the backend at once, and holds each until it is let go."""

    def __init__(self):
        self.now = 0
        self.most = 0
        self.lock = threading.Lock()
        self.go = threading.Event()

    def behave(self, exchange):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.go.wait(30)
        with self.lock:
            self.now -= 1
        numbered(exchange)


@pytest.fixture
def busy(sandbox):
    state = Busy()
    state.backend = sandbox.scripted("busy", state.behave)
    yield state
    state.go.set()


def test_max_limits_the_connections_of_a_child(sandbox, busy):
    """The others wait for their turn and are served."""
    httpd = sandbox.httpd(route(busy.backend, "max=2 acquire=30s"), mpm=udr_environment.threaded_mpm())
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(fetch, httpd.port, "/x") for _ in range(8)]
        wait_until(lambda: busy.now == 2, "two requests at the backend")
        assert not [answer for answer in answers if answer.done()]
        busy.go.set()
        assert [answer.result().status for answer in answers] == [200] * 8
    assert busy.most <= 2
    assert busy.backend.accepted <= 2


def test_acquire_limits_the_wait_for_a_turn(sandbox, busy):
    httpd = sandbox.httpd(route(busy.backend, "max=1 acquire=300"), mpm=udr_environment.threaded_mpm())
    with Client(httpd.port) as first:
        first.send_request("GET", "/x")
        busy.backend.wait_for_requests(1)
        started = time.monotonic()
        response = fetch(httpd.port, "/y")
        assert 0.25 <= time.monotonic() - started < 10
        assert response.status == 503 and response.has("Retry-After")
        busy.go.set()
        assert first.read_response().status == 200
    httpd.log.expect(r"UDR\d{4}.*(max|acquire)")
    assert len(busy.backend.requests) == 1
    assert fetch(httpd.port, "/x").status == 200


def test_waiting_for_a_turn_uses_no_cpu(sandbox, busy):
    httpd = sandbox.httpd(route(busy.backend, "max=1 acquire=2s"), mpm=udr_environment.threaded_mpm())
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        first = pool.submit(fetch, httpd.port, "/x")
        busy.backend.wait_for_requests(1)
        before = httpd.cpu_seconds()
        waiting = [pool.submit(fetch, httpd.port, "/y") for _ in range(8)]
        assert [answer.result().status for answer in waiting] == [503] * 8
        assert httpd.cpu_seconds() - before < 0.8
        busy.go.set()
        assert first.result().status == 200
    httpd.log.expect(r"UDR\d{4}", times=8)


def waiting_httpd(sandbox, backend):
    """One connection for all; its log tells, by the module's trace, who waits for it."""
    return sandbox.httpd(
        route(backend, "max=1 acquire=30s"), mpm=udr_environment.threaded_mpm(), udsroute_log_level="trace5"
    )


def wait_for_waiting(httpd, count):
    """Waits until that many requests have begun to wait for a turn."""
    wait_until(lambda: len(httpd.log.find("waiting for a turn")) >= count, f"{count} requests to wait for a turn")


def test_turns_are_given_in_the_order_of_asking(sandbox, busy):
    httpd = waiting_httpd(sandbox, busy.backend)
    clients = [Client(httpd.port) for _ in range(5)]
    for number, client in enumerate(clients):
        client.send_request("GET", f"/{number}")
        if number == 0:
            busy.backend.wait_for_requests(1)
        else:
            wait_for_waiting(httpd, number)
    busy.go.set()
    assert [client.read_response().status for client in clients] == [200] * 5
    assert [request.target for request in busy.backend.requests] == ["/0", "/1", "/2", "/3", "/4"]
    for client in clients:
        client.close()


def test_client_that_leaves_the_queue(sandbox, busy):
    """Its turn goes to the next; the backend never hears of it."""
    httpd = waiting_httpd(sandbox, busy.backend)
    with Client(httpd.port) as first, Client(httpd.port) as third:
        first.send_request("GET", "/first")
        busy.backend.wait_for_requests(1)
        with Client(httpd.port) as second:
            second.send_request("GET", "/second")
            wait_for_waiting(httpd, 1)
        third.send_request("GET", "/third")
        wait_for_waiting(httpd, 2)
        httpd.log.expect("client gone")
        busy.go.set()
        assert first.read_response().status == 200
        assert third.read_response().status == 200
    assert [request.target for request in busy.backend.requests] == ["/first", "/third"]


def test_failed_connects_give_their_turn_back(sandbox):
    path = sandbox.socket("absent")
    httpd = sandbox.httpd(
        f"UDSRoute / unix:{path}|http://localhost/ max=1 acquire=5s", mpm=udr_environment.threaded_mpm()
    )
    for _ in range(5):
        assert fetch(httpd.port, "/x").status == 503
    httpd.log.expect(rf"UDR\d{{4}}.*{path} does not exist", times=5)


# --- age --------------------------------------------------------------------------------------------------------------


def test_idle_connections_over_smax_are_closed_after_ttl(sandbox, backend):
    httpd = sandbox.httpd(route(backend, "smax=0 ttl=1"), mpm=udr_environment.threaded_mpm())
    assert fetch(httpd.port, "/x").text == "1"
    backend.wait_for(lambda: not backend.open_connections, "the idle connection to be closed", timeout=15)
    assert fetch(httpd.port, "/x").text == "2"


def test_connection_is_not_used_for_ever_under_prefork(sandbox, backend):
    """A prefork child does nothing between requests: there the connection is closed at its next one."""
    httpd = sandbox.httpd(route(backend, "smax=0 ttl=200ms"), mpm="prefork")
    with Client(httpd.port) as client:
        assert client.fetch("/x").text == "1"
        time.sleep(1)
        assert client.fetch("/x").status == 200
        backend.wait_for(backend.connections[0].closed.is_set, "the old connection to be closed")


def test_idle_connections_up_to_smax_stay(sandbox, backend):
    httpd = sandbox.httpd(route(backend, "smax=5 ttl=200ms"))
    with Client(httpd.port) as client:
        assert client.fetch("/x").text == "1"
        time.sleep(1.5)
        assert client.fetch("/x").text == "1"


def test_min_stays_whatever_ttl_says(sandbox, backend):
    httpd = sandbox.httpd(route(backend, "min=1 smax=0 max=5 ttl=200ms"))
    with Client(httpd.port) as client:
        number = client.fetch("/x").text
        time.sleep(1.5)
        assert client.fetch("/x").text == number


def test_pool_is_closed_with_its_child(sandbox, backend):
    httpd = sandbox.httpd(route(backend))
    assert fetch(httpd.port, "/x").status == 200
    assert backend.open_connections
    sandbox.stop(httpd)
    backend.wait_for(lambda: not backend.open_connections, "the connections of the children to be closed")
