# SPDX-License-Identifier: Apache-2.0
"""How long a connection that lives on a loop is kept: KeepAlive, KeepAliveTimeout, MaxKeepAliveRequests, HTTP/1.0; and
that all of it goes by the virtual host of the last request."""
import time

import pytest

from udr_client import Client, fetch
from udr_loops import adopted, connect, let_park, loop_httpd, route, wait_until_threads_are_free

TLS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])


@pytest.fixture(name="backend")
def _backend(sandbox):
    def behave(exchange):
        if exchange.request.target == "/app/slow":
            time.sleep(1.5)
        elif exchange.request.target == "/app/adopt":
            let_park(exchange)
        exchange.respond(body=exchange.request.target)

    return sandbox.scripted("app", behave)


def seconds_until_close(client, since=None, timeout=20.0):
    """since: when the last request was sent, if a close that comes too early is to be told; after its answer, some time
    may have gone by that nobody has measured."""
    started = since or time.monotonic()
    assert client.closed_by_server(timeout), "the server does not close"
    return time.monotonic() - started


def ask_at_once(client, *requests):
    """Sends requests for these (path, host), all in one piece, so that no pause between two of them counts, and reads
    the answers. Returns when it has sent them."""
    sent = time.monotonic()
    client.send("".join(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n" for path, host in requests).encode())
    for _ in requests:
        assert client.read_response().status == 200
    return sent


# --- KeepAliveTimeout -------------------------------------------------------------------------------------------------


@TLS
@pytest.mark.parametrize("last", ["/adopt", "/short", "/index.html"])
def test_idle_connection_is_closed_after_keepalivetimeout(sandbox, tls, last):
    """Not before, whoever served the last request; and the close is one in order."""
    httpd = loop_httpd(sandbox, "KeepAliveTimeout 1\n", tls=tls)
    with connect(httpd, tls) as client:
        sent = ask_at_once(client, ("/adopt", "localhost"), (last, "localhost"))
        assert 0.9 < seconds_until_close(client, sent) < 10
        assert not client.stream.reset


def test_keepalivetimeout_begins_anew_with_each_request(sandbox):
    httpd = loop_httpd(sandbox, "KeepAliveTimeout 5\n")
    with adopted(httpd) as client:
        for _ in range(3):
            assert client.quiet(1.8)
            sent = time.monotonic()
            assert client.fetch("/short").text == "/short"
        assert 4.9 < seconds_until_close(client, sent) < 15


def test_keepalivetimeout_does_not_count_while_a_request_is_served(sandbox, backend):
    httpd = loop_httpd(sandbox, "KeepAliveTimeout 1\n" + route(backend))
    with connect(httpd) as client:
        sent = ask_at_once(client, ("/adopt", "localhost"), ("/app/slow", "localhost"))
        assert 2.4 < seconds_until_close(client, sent) < 12


def test_keepalivetimeout_in_milliseconds(sandbox):
    httpd = loop_httpd(sandbox, "KeepAliveTimeout 300ms\n")
    sent = time.monotonic()
    with adopted(httpd) as client:
        assert 0.29 < seconds_until_close(client, sent) < 10


def test_idle_connection_holds_no_thread(sandbox):
    httpd = loop_httpd(sandbox, "")
    clients = [adopted(httpd) for _ in range(20)]
    wait_until_threads_are_free(httpd)
    assert [client.fetch("/short").text for client in clients] == ["/short"] * 20
    for client in clients:
        client.close()


# --- MaxKeepAliveRequests, KeepAlive Off ------------------------------------------------------------------------------


@TLS
@pytest.mark.parametrize("paths", [["/short"], ["/short", "/index.html"], ["/index.html"]], ids="+".join)
@pytest.mark.parametrize("loops", ["1", "Off"])
def test_maxkeepaliverequests(sandbox, tls, paths, loops):
    """After so many another one is answered, as by httpd itself: that one says that it is the last."""
    httpd = loop_httpd(sandbox, "MaxKeepAliveRequests 5\n", tls=tls, loops=loops)
    with adopted(httpd, tls) as client:
        answers = [client.fetch(paths[number % len(paths)]) for number in range(5)]
        assert [answer.get("Connection") for answer in answers] == [None] * 4 + ["close"]
        assert seconds_until_close(client) < 10


def test_maxkeepaliverequests_with_pipelined_requests(sandbox):
    """What came behind the last one is not answered."""
    httpd = loop_httpd(sandbox, "MaxKeepAliveRequests 4\n")
    with adopted(httpd) as client:
        client.send(b"GET /short HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8)
        assert [client.read_response().get("Connection") for _ in range(4)] == [None] * 3 + ["close"]
        assert client.everything() == b""


def test_keepalive_off(sandbox, backend):
    """Such a connection may be parked, it is not kept."""
    httpd = loop_httpd(sandbox, "KeepAlive Off\n" + route(backend))
    with connect(httpd) as client:
        response = client.fetch("/app/adopt")
        assert (response.text, response.get("Connection")) == ("/app/adopt", "close")
        assert seconds_until_close(client) < 10


@pytest.mark.parametrize("path", ["/short", "/index.html", "/absent"])
def test_client_that_wants_no_more(sandbox, path):
    httpd = loop_httpd(sandbox, "")
    with adopted(httpd) as client:
        response = client.fetch(path, fields=[("Connection", "close")])
        assert response.get("Connection") == "close" and response.complete
        assert seconds_until_close(client) < 10


# --- HTTP/1.0 ---------------------------------------------------------------------------------------------------------


def test_http_1_0_client_that_keeps_its_connection(sandbox):
    """It is told how long and how often."""
    httpd = loop_httpd(sandbox, "KeepAliveTimeout 7\nMaxKeepAliveRequests 100\n")
    keep = [("Connection", "Keep-Alive")]
    with connect(httpd) as client:
        for number, path in enumerate(["/adopt", "/short", "/index.html", "/short"]):
            response = client.fetch(path, fields=keep, version="1.0")
            assert response.complete and response.framing == "length"
            assert response.get("Connection").lower() == "keep-alive"
            assert response.get("Keep-Alive") == f"timeout=7, max={100 - number}"
        response = client.fetch("/short", version="1.0")
        assert response.text == "/short" and seconds_until_close(client) < 10


def test_http_1_0_response_without_length_ends_with_the_connection(sandbox):
    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        time.sleep(0.05)
        exchange.send(b"5\r\nagain\r\n0\r\n\r\n")

    httpd = loop_httpd(sandbox, route(sandbox.scripted("app", behave)))
    with adopted(httpd) as client:
        response = client.fetch("/app/x", fields=[("Connection", "keep-alive")], version="1.0")
        assert (response.text, response.framing, response.complete) == ("helloagain", "close", True)


# --- virtual hosts ----------------------------------------------------------------------------------------------------


def test_keepalivetimeout_is_that_of_the_last_requests_host(sandbox):
    httpd = loop_httpd(
        sandbox,
        """
        <VirtualHost *:@PORT@>
            ServerName patient
            KeepAliveTimeout 30
        </VirtualHost>
        <VirtualHost *:@PORT@>
            ServerName hasty
            KeepAliveTimeout 1
        </VirtualHost>
        """,
    )
    with connect(httpd) as first, connect(httpd) as second:
        ask_at_once(first, ("/adopt", "hasty"), ("/short", "patient"))
        sent = ask_at_once(second, ("/adopt", "hasty"), ("/short", "patient"), ("/short", "hasty"))
        assert 0.9 < seconds_until_close(second, sent) < 10
        assert first.quiet(1.2)
        assert first.fetch("/short", host="patient").text == "/short"


@pytest.mark.parametrize("loops", ["1", "Off"])
def test_keepalivetimeout_of_the_first_host_where_the_named_one_has_none(sandbox, loops):
    """As httpd's own: not the main server's."""
    httpd = loop_httpd(
        sandbox,
        """
        KeepAliveTimeout 30
        <VirtualHost *:@PORT@>
            ServerName first
            KeepAliveTimeout 1
        </VirtualHost>
        <VirtualHost *:@PORT@>
            ServerName second
        </VirtualHost>
        """,
        loops=loops,
    )
    with connect(httpd) as client:
        sent = ask_at_once(client, ("/adopt", "second"), ("/short", "second"))
        assert 0.9 < seconds_until_close(client, sent) < 10


def test_maxkeepaliverequests_is_that_of_the_requests_host(sandbox):
    httpd = loop_httpd(
        sandbox,
        """
        <VirtualHost *:@PORT@>
            ServerName many
        </VirtualHost>
        <VirtualHost *:@PORT@>
            ServerName few
            MaxKeepAliveRequests 3
        </VirtualHost>
        """,
    )
    with connect(httpd) as client:
        hosts = ["many", "many", "many", "many", "few"]
        answers = [client.fetch("/adopt" if number == 0 else "/short", host=host) for number, host in enumerate(hosts)]
        assert [answer.get("Connection") for answer in answers] == [None] * 4 + ["close"]
        assert seconds_until_close(client) < 10


def test_routes_are_those_of_the_requests_host(sandbox):
    one = sandbox.scripted("one", lambda exchange: exchange.respond(body="one"))
    two = sandbox.scripted("two", lambda exchange: exchange.respond(body="two"))
    httpd = loop_httpd(
        sandbox,
        f"""
        <VirtualHost *:@PORT@>
            ServerName one
            {route(one)}
        </VirtualHost>
        <VirtualHost *:@PORT@>
            ServerName two
            {route(two)}
        </VirtualHost>
        """,
    )
    with adopted(httpd) as client:
        hosts = ["one", "two", "two", "one", "one", "two"]
        assert [client.fetch("/app/x", host=host).text for host in hosts] == hosts
    assert fetch(httpd.port, "/app/x", host="two").text == "two"


def test_connections_do_not_pile_up(sandbox):
    """Closed by either side, each is gone from httpd when it is gone for the client."""
    httpd = loop_httpd(sandbox, "KeepAliveTimeout 1\n")
    for _ in range(30):
        with connect(httpd) as client:
            ask_at_once(client, ("/adopt", "localhost"), ("/short", "localhost"))
    last = adopted(httpd)
    assert seconds_until_close(last) < 10
    last.close()
    with Client(httpd.port) as client:
        assert client.fetch("/short").text == "/short"
    wait_until_threads_are_free(httpd)
