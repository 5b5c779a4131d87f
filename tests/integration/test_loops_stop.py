# SPDX-License-Identifier: Apache-2.0
"""Stop and restart, graceful and at once, while requests are parked, exchanges run and connections idle on a loop. And
the end of a child that has served its share."""
import concurrent.futures
import contextlib
import signal
import threading
import time

import pytest

from udr_client import chunk, fetch
from udr_loops import Gate, adopted, connect, loop_httpd, route, wait_until_threads_are_free
from udr_processes import open_descriptors, wait_until
from udr_wire import Closed

TLS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])


class Stage:
    """A backend whose requests below /app/held wait in the midst of their response until the gate is open."""

    def __init__(self, sandbox):
        self.gate = Gate()
        self.backend = sandbox.scripted("app", self.behave)

    def behave(self, exchange):
        target = exchange.request.target
        if target.startswith("/app/held/body"):
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"begun "))
            self.gate.wait()
            exchange.send(chunk(target.encode()) + b"0\r\n\r\n")
        else:
            if target.startswith("/app/held"):
                self.gate.wait()
            exchange.respond(body=exchange.request.body or target)


@pytest.fixture(name="stage")
def _stage(sandbox):
    stage = Stage(sandbox)
    yield stage
    stage.gate.open()


def old_children_are_gone(httpd, old):
    wait_until(lambda: not set(httpd.children()) & set(old), "the old children to end", 20, 0.02)


@contextlib.contextmanager
def parked_requests(httpd, stage, tls=False):
    """Requests at every kind of wait: (client, the text that must come) for each."""
    plans = [("/app/held/head", None), ("/app/held/body", None), ("/app/held/posted", b"x" * 10_000)]
    waiting = []
    for come in (connect, adopted):
        for target, body in plans:
            client = come(httpd, tls)
            client.send_request("POST" if body else "GET", target, body=body)
            begun = "begun " if "body" in target else ""
            waiting.append((client, body.decode() if body else begun + target))
    stage.backend.wait_for_requests(len(waiting))
    wait_until_threads_are_free(httpd)
    yield waiting
    for client, _ in waiting:
        client.close()


# --- graceful restart -------------------------------------------------------------------------------------------------


@TLS
def test_graceful_restart_lets_parked_requests_finish(sandbox, stage, tls):
    """They are answered in full by the old child, which then goes; the new one serves at once."""
    httpd = loop_httpd(sandbox, route(stage.backend), tls=tls)
    old = httpd.children()
    with parked_requests(httpd, stage, tls) as waiting:
        httpd.graceful()
        wait_until(lambda: set(httpd.children()) - set(old), "a new child", 20)
        assert fetch(httpd.tls_port if tls else httpd.port, "/short", tls=tls).text == "/short"
        assert set(old) <= set(httpd.children()), "the old child must wait for its requests"
        stage.gate.open()
        for client, text in waiting:
            response = client.read_response()
            assert (response.text, response.complete) == (text, True)
            assert client.closed_by_server()
    old_children_are_gone(httpd, old)
    assert len(httpd.children()) == len(old)


def test_graceful_restart_lets_a_request_body_finish(sandbox, stage):
    httpd = loop_httpd(sandbox, route(stage.backend))
    old = httpd.children()
    with adopted(httpd) as client:
        client.send_request("POST", "/app/x", [("Content-Length", "10")])
        client.send(b"01234")
        stage.backend.wait_for(lambda: stage.backend.accepted, "the request to have begun")
        wait_until_threads_are_free(httpd)
        httpd.graceful()
        client.send(b"56789")
        assert client.read_response().text == "0123456789"
    old_children_are_gone(httpd, old)


def test_graceful_restart_lets_a_slow_client_finish(sandbox):
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=b"x" * 3_000_000))
    httpd = loop_httpd(sandbox, "SendBufferSize 16384\n" + route(backend))
    old = httpd.children()
    with adopted(httpd, receive_buffer=16384) as client:
        client.send_request("GET", "/app/x")
        backend.wait_for_requests(1)
        wait_until_threads_are_free(httpd)
        httpd.graceful()
        assert len(client.read_response().body) == 3_000_000
    old_children_are_gone(httpd, old)


@TLS
def test_graceful_restart_closes_idle_connections(sandbox, tls):
    """Long before their KeepAliveTimeout, and in order."""
    httpd = loop_httpd(sandbox, "KeepAliveTimeout 60\n", tls=tls)
    old = httpd.children()
    clients = [adopted(httpd, tls) for _ in range(20)]
    httpd.graceful()
    for client in clients:
        assert client.closed_by_server(8) and not client.stream.reset
        client.close()
    old_children_are_gone(httpd, old)
    assert fetch(httpd.port, "/short").text == "/short"


def test_graceful_restart_answers_what_was_sent_ahead(sandbox, stage):
    """A request that is there already when the child learns of its end is answered; `Connection: close` comes with one
    of the answers, and none is lost before it."""
    httpd = loop_httpd(sandbox, route(stage.backend))
    with adopted(httpd) as client:
        client.send(
            b"".join(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in (b"/app/held/x", b"/app/y"))
        )
        stage.backend.wait_for_requests(1)
        httpd.graceful()
        stage.gate.open()
        assert client.read_response().text == "/app/held/x"
        if client.reusable:
            assert client.read_response().text == "/app/y"
        assert client.closed_by_server()


def test_graceful_restart_with_scripts_at_work(sandbox, stage):
    """What a worker does for an adopted connection is finished, too."""
    config = 'ScriptSock cgisock\nScriptAlias /cgi/ "@ROOT@/cgi/"\n<Directory "@ROOT@/cgi">\nRequire all granted\n</Directory>\n'
    httpd = loop_httpd(sandbox, config + route(stage.backend), modules=["cgid", "alias"])
    (httpd.root / "cgi").mkdir()
    (httpd.root / "cgi").chmod(0o777)
    script = httpd.root / "cgi/slow"
    script.write_text("#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nbegun '\nsleep 1\nprintf done\n")
    script.chmod(0o755)
    with adopted(httpd) as client:
        client.send_request("GET", "/cgi/slow")
        # Not earlier: a restart ends the daemon of mod_cgid, and with it requests that it has not handed to a script.
        while b"begun" not in client.stream.buffer:
            assert client.stream.fill()
        httpd.graceful()
        assert client.read_response().text == "begun done"


def test_many_graceful_restarts_under_load(sandbox, stage):
    """Clients that keep their connections lose none of their requests: a connection ends between two of them only."""
    httpd = loop_httpd(sandbox, route(stage.backend), threads=8, generations=4)
    ended, failures, answered = threading.Event(), [], [0] * 6

    def run(number):
        while not ended.is_set():
            client = connect(httpd)
            try:
                for turn in range(1000):
                    if ended.is_set() or not client.reusable:
                        break
                    client.send_request("POST", "/app/x", body=f"{number} {turn}".encode())
                    if turn > 0 and not client.stream.fill():
                        break  # the server may close between two requests, when this one is under way
                    if client.read_response().text != f"{number} {turn}":
                        failures.append(client.last)
                    answered[number] += 1
            except BrokenPipeError:
                pass  # the same, seen when sending
            except Exception as problem:  # pylint: disable=broad-except
                failures.append(problem)
            finally:
                client.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        goal = sum(answered) + 200
        wait_until(lambda goal=goal: sum(answered) >= goal or failures, "further answers", 30)
        httpd.graceful()
    ended.set()
    for thread in threads:
        thread.join(30)
    assert not failures
    wait_until(lambda: len(httpd.children()) == 1, "one child to be left", 20)
    stage.backend.settle()


# --- graceful stop ----------------------------------------------------------------------------------------------------


def test_graceful_stop_lets_parked_requests_finish(sandbox, stage):
    """The server ends with the last of them."""
    httpd = loop_httpd(sandbox, route(stage.backend))
    idle = adopted(httpd)
    with parked_requests(httpd, stage) as waiting:
        httpd.signal(signal.SIGWINCH)
        assert idle.closed_by_server(8)
        assert httpd.running
        stage.gate.open()
        assert [client.read_response().text for client, _ in waiting] == [text for _, text in waiting]
    wait_until(lambda: not httpd.running, "the server to end", 20)
    idle.close()


# --- stop and restart at once -----------------------------------------------------------------------------------------


@TLS
def test_stop_at_once(sandbox, stage, tls):
    """With everything in flight: the server ends, none of its processes crashes (the sandbox looks), the member is
    free."""
    httpd = loop_httpd(sandbox, route(stage.backend), tls=tls)
    idle = [adopted(httpd, tls) for _ in range(5)]
    with parked_requests(httpd, stage, tls):
        httpd.signal(signal.SIGTERM)
        wait_until(lambda: not httpd.running, "the server to end", 10)
        assert all(client.closed_by_server(5) for client in idle)
    stage.gate.open()
    stage.backend.wait_for(lambda: not stage.backend.open_connections, "the member to be free")
    for client in idle:
        client.close()


def test_restart_at_once(sandbox, stage):
    """The same for SIGHUP; the new child serves."""
    httpd = loop_httpd(sandbox, route(stage.backend))
    old = httpd.children()
    idle = adopted(httpd)
    with parked_requests(httpd, stage):
        httpd.signal(signal.SIGHUP)
        old_children_are_gone(httpd, old)
        assert idle.closed_by_server(5)
    idle.close()
    wait_until(lambda: httpd.children(), "a new child")
    stage.gate.open()
    wait_until(lambda: fetch_or_nothing(httpd) == "/short", "the new child to serve")


def fetch_or_nothing(httpd):
    try:
        return fetch(httpd.port, "/short").text
    except (OSError, Closed):
        return None


def test_child_that_is_killed(sandbox, stage):
    """Its clients lose their requests, the others none."""
    httpd = loop_httpd(sandbox, route(stage.backend))
    old = httpd.children()
    with parked_requests(httpd, stage) as waiting:
        httpd.kill_child(old[0])
        for client, _ in waiting:
            assert not client.stream.fill() or b"begun" in client.stream.buffer
        wait_until(lambda: httpd.children() and not set(old) & set(httpd.children()), "a new child", 20)
        stage.gate.open()
        wait_until(lambda: fetch_or_nothing(httpd) == "/short", "the new child to serve")
    httpd.log.allow("AH00052")


# --- MaxConnectionsPerChild -------------------------------------------------------------------------------------------


def test_child_that_has_served_its_share(sandbox, stage):
    """It goes when its connections have ended; what is parked in it is answered first."""
    httpd = loop_httpd(sandbox, "MaxConnectionsPerChild 12\n" + route(stage.backend))
    old = httpd.children()
    with parked_requests(httpd, stage) as waiting:
        count = 0
        while set(httpd.children()) == set(old) and count < 200:
            assert fetch(httpd.port, "/short").text == "/short"
            count += 1
        assert count < 200
        stage.gate.open()
        for client, text in waiting:
            assert client.read_response().text == text
    old_children_are_gone(httpd, old)
    wait_until(lambda: len(httpd.children()) == 1, "one child to be left", 20)


def test_children_that_go_one_after_the_other_lose_no_request(sandbox):
    """The last connection that a child takes is parked as any other, and waited for.

    A child of httpd's that ends before its main thread waits misses the signal to go and stays (kill(2) in the event
    MPM's listener): each has enough to do that this can't be."""

    def behave(exchange):
        time.sleep(0.1)
        exchange.respond(body=exchange.request.target)

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, "MaxConnectionsPerChild 10\n" + route(backend), children=4)
    first = httpd.children()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        targets = [f"/app/{number}" for number in range(120)]
        answers = pool.map(lambda target: fetch(httpd.port, target, fields=[("Connection", "close")]).text, targets)
        assert list(answers) == targets
    for _ in range(1000):  # chance may have given one of them little
        if not set(first) & set(httpd.children()):
            break
        assert fetch(httpd.port, "/short").text == "/short"
    assert not set(first) & set(httpd.children())
    wait_until(lambda: 1 <= len(httpd.children()) <= 4, "as many children as there were", 20)


def test_connection_of_a_child_that_ends_is_closed_between_two_requests(sandbox, stage):
    """Never within one: what the member has begun is answered."""
    httpd = loop_httpd(sandbox, "MaxConnectionsPerChild 10\n" + route(stage.backend))
    for number in range(25):
        with connect(httpd) as client:
            for turn in range(3):
                target = f"/app/{number}/{turn}"
                client.send_request("GET", target)
                if turn > 0 and not client.stream.fill():
                    assert target not in [request.target for request in stage.backend.requests]
                    break
                assert client.read_response().text == target
                if not client.reusable:
                    break
    wait_until(lambda: len(httpd.children()) == 1, "one child to be left", 20)


# --- nothing is left --------------------------------------------------------------------------------------------------


def test_descriptors_are_back_where_they_were(sandbox, stage):
    """After many connections that were parked, adopted, aborted: none of either side is left open."""
    stage.gate.open()
    httpd = loop_httpd(sandbox, route(stage.backend))
    (child,) = httpd.children()

    def round_of_clients():
        clients = [adopted(httpd) for _ in range(10)]
        for number, client in enumerate(clients):
            client.send_request("GET", f"/app/held/{number}")
        for client in clients[::2]:
            assert client.read_response().status == 200
        for client in clients:
            client.close()
        stage.backend.settle()
        wait_until_threads_are_free(httpd)

    round_of_clients()
    before = open_descriptors(child)
    for _ in range(10):
        round_of_clients()
    wait_until(lambda: open_descriptors(child) <= before + 10, f"{before} descriptors or so, not more", 10)
