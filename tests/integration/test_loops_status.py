# SPDX-License-Identifier: Apache-2.0
"""mod_status, with its extended figures: what it counts is right when everything has ended, and whoever waits on a loop
is no busy thread meanwhile."""
import re

import pytest

import udr_processes
from udr_client import fetch
from udr_loops import adopted, busy_threads, connect, loop_httpd, route, status, wait_until_threads_are_free
from udr_processes import wait_until

TLS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])


@pytest.fixture(name="backend")
def _backend(sandbox, gate):
    def behave(exchange):
        if exchange.request.target.startswith("/app/held"):
            gate.wait()
        exchange.respond(body=b"x" * 1024)

    return sandbox.scripted("app", behave)


def wait_until_connections_are_gone(httpd):
    ports = (httpd.port, httpd.tls_port)
    wait_until(lambda: udr_processes.tcp_connections(ports) == 0, "all connections to be gone", 10, 0.02)


def is_at_rest(figures, threads):
    conns = [value for name, value in figures.items() if name.startswith("Conns")]
    return (
        (figures["BusyWorkers"], figures["IdleWorkers"]) == ("1", str(threads - 1))
        and conns == ["0"] * len(conns)
        and len(conns) >= 4
        and (figures["Processes"], figures["Stopping"]) == ("1", "0")
        and re.fullmatch(r"[_W.]*", figures["Scoreboard"])
        and figures["Scoreboard"].count("W") == 1
    )


def assert_at_rest(httpd):
    """Nobody is busy, no connection is counted that is not there, no slot shows a request. Asked again until it is so:
    the thread that has answered one question may not be through with it when the next one comes."""
    threads = httpd.settings.threads
    wait_until(lambda: is_at_rest(status(httpd), threads), f"mod_status to show nothing: {status(httpd)}", 10, 0.02)


@TLS
def test_parked_requests_are_no_busy_threads(sandbox, backend, gate, tls):
    httpd = loop_httpd(sandbox, "ExtendedStatus On\n" + route(backend), tls=tls)
    clients = [adopted(httpd, tls) for _ in range(6)] + [connect(httpd, tls) for _ in range(3)]
    for client in clients:
        client.send_request("GET", "/app/held")
    backend.wait_for_requests(9)
    wait_until_threads_are_free(httpd)
    gate.open()
    assert [client.read_response().status for client in clients] == [200] * 9
    for client in clients:
        client.close()
    wait_until_connections_are_gone(httpd)
    assert_at_rest(httpd)


def test_aborted_requests_leave_nothing(sandbox, backend, gate):
    httpd = loop_httpd(sandbox, "ExtendedStatus On\n" + route(backend, "/app/", "max=2"))
    for _ in range(5):
        clients = [adopted(httpd) for _ in range(6)]
        for client in clients:
            client.send_request("GET", "/app/held")
        backend.wait_for_requests(1)
        for client in clients:
            client.close()
    gate.open()
    wait_until_connections_are_gone(httpd)
    assert_at_rest(httpd)


def test_idle_connections_are_no_busy_threads(sandbox):
    httpd = loop_httpd(sandbox, "ExtendedStatus On\nKeepAliveTimeout 1\n")
    clients = [adopted(httpd) for _ in range(20)]
    wait_until(lambda: busy_threads(httpd) == 0, "no thread to be busy")
    assert all(client.closed_by_server() for client in clients)
    for client in clients:
        client.close()
    wait_until_connections_are_gone(httpd)
    assert_at_rest(httpd)


def test_after_errors_and_files(sandbox, backend):
    """What workers have done for adopted connections is not left on the board either."""
    absent = f"UDSRoute /absent/ unix:{sandbox.socket('absent')}|http://localhost/\n"
    httpd = loop_httpd(sandbox, "ExtendedStatus On\n" + route(backend) + absent)
    httpd.log.allow(r"UDR\d{4}.*absent")
    for _ in range(10):
        with adopted(httpd) as client:
            statuses = [client.fetch(target).status for target in ("/index.html", "/nothing", "/app/x", "/absent/x")]
            assert statuses == [200, 404, 200, 503]
    wait_until_connections_are_gone(httpd)
    assert_at_rest(httpd)


def test_after_a_graceful_restart(sandbox, backend, gate):
    """The old child's slots are free when it has gone."""
    httpd = loop_httpd(sandbox, "ExtendedStatus On\n" + route(backend))
    old = httpd.children()
    clients = [adopted(httpd) for _ in range(4)]
    for client in clients[:2]:
        client.send_request("GET", "/app/held")
    backend.wait_for_requests(2)
    httpd.graceful()
    gate.open()
    assert [client.read_response().status for client in clients[:2]] == [200] * 2
    assert all(client.closed_by_server() for client in clients)
    for client in clients:
        client.close()
    wait_until(lambda: httpd.children() and not set(old) & set(httpd.children()), "the old child to go", 20)
    wait_until(lambda: status(httpd)["Processes"] == "1", "its slots to be free")
    wait_until_connections_are_gone(httpd)
    assert_at_rest(httpd)


def test_status_page_for_people(sandbox, backend, gate):
    """It is shown while requests are parked, and does not show them as served by a thread that is not theirs."""
    httpd = loop_httpd(sandbox, "ExtendedStatus On\n" + route(backend))
    with adopted(httpd) as client:
        client.send_request("GET", "/app/held/one")
        backend.wait_for_requests(1)
        wait_until_threads_are_free(httpd)
        page = fetch(httpd.port, "/server-status")
        assert page.status == 200 and page.complete
        gate.open()
        assert client.read_response().status == 200
    wait_until_connections_are_gone(httpd)
    assert_at_rest(httpd)
