# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 beside loops: a stream waits in a thread of mod_http2's, and is right; HTTP/1.1 clients of the same server are
adopted all the same."""
import hashlib
import select
import subprocess
import time

import pytest

import udr_environment
from udr_client import curl, h2load
from udr_loops import adopted, loop_httpd, route, wait_until_threads_are_free
from udr_processes import wait_until

LARGE = bytes(range(256)) * 8000


@pytest.fixture(name="backend")
def _backend(sandbox, gate):
    def behave(exchange):
        target = exchange.request.target
        if target == "/app/large":
            exchange.respond(body=LARGE)
        elif target == "/app/digest":
            exchange.respond(body=hashlib.sha256(exchange.request.body).hexdigest())
        elif target == "/app/held":
            gate.wait()
            exchange.respond(body="held")
        else:
            if "slow" in target:
                time.sleep(0.05)
            exchange.respond(body=target)

    return sandbox.scripted("app", behave)


@pytest.fixture(name="httpd")
def _httpd(sandbox, backend):
    config = "Protocols h2 h2c http/1.1\n" + route(backend)
    return loop_httpd(sandbox, config, modules=["http2"], tls=True, threads=32)


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_curl(httpd, tls):
    """Several requests on one connection, each of which has to wait. (In clear text curl asks for an upgrade; its
    connections of prior knowledge end after one request, whoever serves it.)"""
    options = ["--http2", "--insecure"]
    urls = [httpd.url(f"/app/slow/{number}", tls) for number in range(5)]
    answer = curl(*options, *urls)
    assert (answer.exit_code, answer.http_version) == (0, "HTTP/2" if tls else "HTTP/1.1")
    assert answer.text == "".join(f"/app/slow/{number}" for number in range(5))


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_bodies(httpd, tls):
    options = ["--http2", "--insecure"] if tls else ["--http2-prior-knowledge"]
    assert curl(*options, httpd.url("/app/large", tls)).body == LARGE
    upload = httpd.root / "upload"
    upload.write_bytes(LARGE)
    answer = curl(*options, "--data-binary", f"@{upload}", httpd.url("/app/digest", tls))
    assert answer.text == hashlib.sha256(LARGE).hexdigest()


@pytest.mark.parametrize("target", ["/short", "/app/slow/x", "/index.html"])
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_load(httpd, tls, target):
    """Many streams at once on a few connections: all are answered."""
    options = ["-m", "10"] if tls else ["-m", "10", "--no-tls-proto=h2c"]
    load = h2load(httpd.url(target, tls), 300, 4, *options)
    assert load.flawless, load.output


def test_beside_clients_of_http_1_1(httpd, backend, gate):
    """Their connections live on the loop, with as many waiting as there are threads; streams are served meanwhile."""
    clients = [adopted(httpd, tls=bool(number % 2)) for number in range(40)]
    for client in clients:
        client.send_request("GET", "/app/held")
    backend.wait_for_requests(40)
    wait_until_threads_are_free(httpd)
    load = h2load(httpd.url("/app/slow/x", tls=True), 100, 2, "-m", "5")
    assert load.flawless, load.output
    gate.open()
    assert [client.read_response().text for client in clients] == ["held"] * 40
    assert [client.fetch("/short").text for client in clients] == ["/short"] * 40
    for client in clients:
        client.close()


def test_stream_that_is_given_up(httpd, backend):
    """The member is free as soon as curl has gone."""
    command = [udr_environment.program("curl"), "--http2", "--insecure", "--silent", "--noproxy", "*"]
    with subprocess.Popen([*command, httpd.url("/app/held", tls=True)], stdout=subprocess.DEVNULL) as given_up:
        backend.wait_for_requests(1)
        given_up.terminate()
    assert [request.target for request in backend.requests] == ["/app/held"]
    held = backend.connections[-1].sock
    wait_until(lambda: is_closed_by_peer(held), "the connection to the member to be closed", 5)


def is_closed_by_peer(sock):
    readable, _, _ = select.select([sock], [], [], 0)
    return bool(readable)


def test_http_1_1_over_tls_where_http_2_is_offered(httpd):
    """A client that asks for nothing else is adopted."""
    with adopted(httpd, tls=True) as client:
        assert client.fetch("/app/x").text == "/app/x"
        assert client.fetch("/index.html").status == 200
        assert client.fetch("/app/slow/y").text == "/app/slow/y"
    answer = curl("--http1.1", "--insecure", httpd.url("/app/slow/1", tls=True), httpd.url("/app/slow/2", tls=True))
    assert (answer.text, answer.http_version) == ("/app/slow/1/app/slow/2", "HTTP/1.1")
