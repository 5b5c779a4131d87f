# SPDX-License-Identifier: Apache-2.0
"""The core of what the other files show, under each MPM; and what concerns processes: restarts and the end."""
import concurrent.futures
import threading
import time

import pytest

import udr_environment
from udr_client import Client, chunk, fetch, h2load
from udr_processes import wait_until

BROKEN = {
    "/te-and-cl": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
    "/nul": b"HTTP/1.1 200 OK\r\nX-A: \0\r\n\r\n",
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Le",
}


def behave(exchange):
    target = exchange.request.target
    if target in BROKEN:
        exchange.send(BROKEN[target])
        exchange.close()
    elif target == "/events":
        exchange.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunk(b"data: 1\n\n")
        )
        exchange.peer_closed(20)
        exchange.close()
    elif target == "/chunks":
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") * 1000 + b"0\r\n\r\n")
    elif target.startswith("/slow"):
        time.sleep(0.3)
        exchange.respond(body="slow")
    else:
        exchange.respond(body=exchange.request.body or str(exchange.connection.number))


@pytest.fixture(scope="module", params=udr_environment.MPMS)
def mpm(request):
    return request.param


@pytest.fixture(scope="module")
def backend(module_sandbox, mpm):
    return module_sandbox.scripted(f"app-{mpm}", behave)


@pytest.fixture(scope="module")
def httpd(module_sandbox, backend, mpm):
    return module_sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/ timeout=10", mpm=mpm, threads=16)


def test_runs_under_that_mpm(httpd, mpm):
    assert f"mpm_{mpm}_module" in httpd.configuration.read_text()
    assert httpd.log.path.read_text().count(f"[mpm_{mpm}:notice]") >= 1


def test_get(httpd):
    assert fetch(httpd.port, "/x").status == 200


def test_post(httpd):
    assert fetch(httpd.port, "/x", "POST", body=b"y" * 300000).body == b"y" * 300000


def test_chunked_request(httpd):
    assert fetch(httpd.port, "/x", "POST", body=[b"y" * 1000] * 100).body == b"y" * 100000


def test_chunked_response(httpd):
    response = fetch(httpd.port, "/chunks")
    assert response.body == b"hello" * 1000 and response.complete


def test_first_event_arrives_while_the_stream_is_open(httpd, backend):
    with Client(httpd.port) as client:
        client.send_request("GET", "/events")
        wait_until(lambda: b"data: 1" in client.stream.buffer or not client.stream.fill(), "the first event")
        assert b"data: 1" in client.stream.buffer
    backend.wait_for(
        lambda: not any(connection.busy for connection in backend.open_connections), "the member to be free"
    )


@pytest.mark.parametrize("path", BROKEN)
def test_broken_response(httpd, path):
    with Client(httpd.port) as client:
        assert client.fetch(path).status == 502
        if client.reusable:
            assert client.fetch("/x").status == 200
    assert fetch(httpd.port, "/x").status == 200
    httpd.log.expect(r"UDR000[78]")  # not what the client that has just gone leaves in the log


def test_connection_is_reused(httpd, backend):
    """One client connection stays with one child, so its requests share a connection to the backend."""
    with Client(httpd.port) as client:
        numbers = {client.fetch("/x").text for _ in range(20)}
    assert len(numbers) == 1


def test_many_clients(httpd):
    load = h2load(httpd.url("/x"), 2000, 12)
    assert load.flawless, load.output


# --- restarts and the end ---------------------------------------------------------------------------------------------


class Load:
    """Clients that send one request after the other until they are stopped, and remember what went wrong."""

    def __init__(self, httpd, clients=4):
        self.httpd = httpd
        self.stop = threading.Event()
        self.answered = 0
        self.failures = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def _run(self):
        while not self.stop.is_set():
            try:
                response = fetch(self.httpd.port, "/x", "POST", body=b"payload")
                failure = None if response.body == b"payload" and response.complete else response
            except Exception as problem:  # pylint: disable=broad-except
                failure = problem
            with self.lock:
                self.answered += 1
                if failure:
                    self.failures.append(failure)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)

    def go_on(self, requests):
        """Waits until that many further requests were answered."""
        goal = self.answered + requests
        wait_until(lambda: self.answered >= goal, f"{requests} further answers", 60)


def test_graceful_restarts_under_load(sandbox, mpm):
    backend = sandbox.scripted("app", behave)
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/", mpm=mpm, children=2, threads=8)
    with Load(httpd) as load:
        load.go_on(50)
        for _ in range(3):
            httpd.graceful()
            load.go_on(100)
    assert load.failures == []


def test_graceful_restart_lets_requests_finish(sandbox, mpm):
    backend = sandbox.scripted("app", behave)
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/", mpm=mpm, children=2, threads=8)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(fetch, httpd.port, f"/slow/{number}") for number in range(4)]
        backend.wait_for_requests(4)
        httpd.graceful()
        assert [answer.result().text for answer in answers] == ["slow"] * 4
    assert fetch(httpd.port, "/x").status == 200


def test_graceful_restart_closes_the_old_childrens_connections(sandbox, mpm):
    backend = sandbox.scripted("app", behave)
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/", mpm=mpm, threads=4)
    assert fetch(httpd.port, "/x").status == 200
    old = backend.connections[0]
    httpd.graceful()
    backend.wait_for(old.closed.is_set, "the old child's connection to be closed")
    assert fetch(httpd.port, "/x").status == 200


def test_graceful_restart_takes_a_new_configuration(sandbox, mpm):
    one = sandbox.scripted("one", lambda exchange: exchange.respond(body="one"))
    two = sandbox.scripted("two", lambda exchange: exchange.respond(body="two"))
    httpd = sandbox.httpd(f"UDSRoute / unix:{one.address}|http://localhost/", mpm=mpm, threads=4)
    assert fetch(httpd.port, "/x").text == "one"
    httpd.configuration.write_text(httpd.configuration.read_text().replace(one.address, two.address))
    httpd.graceful()
    wait_until(lambda: fetch(httpd.port, "/x").text == "two", "the new configuration to be used")


def test_child_that_is_killed(sandbox, mpm):
    """httpd starts another, which serves as the first did."""
    backend = sandbox.scripted("app", behave)
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/", mpm=mpm, threads=2)
    assert fetch(httpd.port, "/x").status == 200
    killed = httpd.children()
    for pid in killed:
        httpd.kill_child(pid)
    wait_until(lambda: set(httpd.children()) and not set(httpd.children()) & set(killed), "new children", 20)
    assert fetch(httpd.port, "/x").status == 200
    httpd.log.allow("MaxRequestWorkers")  # prefork counts the dead for a moment


def test_immediate_stop_while_idle(sandbox, mpm):
    backend = sandbox.scripted("app", behave)
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/", mpm=mpm, threads=4)
    for _ in range(4):
        assert fetch(httpd.port, "/x").status == 200
    sandbox.stop(httpd)
    backend.wait_for(lambda: not backend.open_connections, "the pooled connections to be closed")
