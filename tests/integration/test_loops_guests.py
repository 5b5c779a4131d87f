# SPDX-License-Identifier: Apache-2.0
"""Workers as guests: what may block they do for adopted connections in callbacks of the MPM. The scoreboard shows them
as busy, and no stop has to wait for them."""
import contextlib
import re
import signal

import pytest

from udr_client import fetch
from udr_loops import adopted, busy_threads, connect, loop_httpd, status, wait_until_threads_are_free
from udr_processes import wait_until
from udr_wire import Closed

SCRIPTS = """
ScriptSock cgisock
ScriptAlias /cgi/ "@ROOT@/cgi/"
<Directory "@ROOT@/cgi">
    Require all granted
</Directory>
"""


def add_script(httpd, name="held"):
    """A script that makes a file called `begun.PID` and goes on when there is one called `open`; and the latter."""
    directory = httpd.root / "cgi"
    directory.mkdir()
    directory.chmod(0o777)
    script = directory / name
    script.write_text(
        "#!/bin/sh\n: >begun.$$\nfor turn in $(seq 1500); do [ -e open ] && break; sleep 0.02; done\n"
        "printf 'Content-Type: text/plain\\r\\n\\r\\ndone'\n"
    )
    script.chmod(0o755)
    return directory / "open"


def scripted_httpd(sandbox, **settings):
    httpd = loop_httpd(sandbox, "ExtendedStatus On\n" + SCRIPTS, modules=["cgid", "alias"], **settings)
    return httpd, add_script(httpd)


# --- the scoreboard ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extended", ["On", "Off"])
def test_workers_at_a_handler_are_busy(sandbox, extended):
    httpd = loop_httpd(sandbox, f"ExtendedStatus {extended}\n" + SCRIPTS, modules=["cgid", "alias"], threads=6)
    gate = add_script(httpd)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(adopted(httpd)) for _ in range(4)]
        for client in clients:
            client.send_request("GET", "/cgi/held")
        # And the one that tells; who told before may be busy for a moment longer, and be one of the five.
        wait_until(lambda: status(httpd)["Scoreboard"].count("W") == 5, "four busy threads")
        if extended == "On":
            shown = lambda: fetch(httpd.port, "/server-status").text.count("GET /cgi/held HTTP/1.1")
            wait_until(lambda: shown() == 4, "four requests to be shown")
        gate.touch()
        assert [client.read_response().text for client in clients] == ["done"] * 4
        wait_until_threads_are_free(httpd)


def test_worker_that_reads_a_slow_head(sandbox):
    """Reading at first, then busy with the request."""
    httpd, gate = scripted_httpd(sandbox)
    with adopted(httpd) as client:
        client.send(b"GET /cgi/held HTTP/1.1\r\nHost: local")
        wait_until(lambda: letters(httpd) == "RW", "a worker to read", 10)
        client.send(b"host\r\n\r\n")
        wait_until(lambda: letters(httpd) == "WW", "a worker to serve", 10)
        gate.touch()
        assert client.read_response().text == "done"
        wait_until_threads_are_free(httpd)


def test_workers_of_two_children_each_have_their_place(sandbox):
    httpd, gate = scripted_httpd(sandbox, children=2)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(adopted(httpd)) for _ in range(3)]
        for client in clients:
            client.send_request("GET", "/cgi/held")
        wait_until(lambda: busy_threads(httpd) == 3, f"three busy threads, not {status(httpd)['Scoreboard']}", 20)
        gate.touch()
        assert [client.read_response().text for client in clients] == ["done"] * 3
    wait_until_threads_are_free(httpd)


def test_connections_end_whatever_their_worker_does_next(sandbox):
    """A connection is not freed before the worker that handed it over is through with it, which its place on the
    scoreboard says. All workers go on at once to be guests of other connections: none of those that end meanwhile may
    wait for them."""
    httpd, gate = scripted_httpd(sandbox, threads=4)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(adopted(httpd)) for _ in range(3)]
        for client in held:
            client.send_request("GET", "/cgi/held")
        wait_until(lambda: busy_threads(httpd) == 3, "three busy threads")
        # The one that is left hands over; the others are what they are.
        others = [adopted(httpd) for _ in range(8)]
        for client in others[:4]:
            client.send_request("GET", "/short", [("Connection", "close")])
            assert client.read_response().text == "/short"
            assert client.closed_by_server()
        for client in others:
            client.close()
        wait_until(lambda: status(httpd)["UDSRouteAdopted"] == "3", f"three to be left: {status(httpd)}")
        gate.touch()
        assert [client.read_response().text for client in held] == ["done"] * 3
    wait_until(lambda: status(httpd)["UDSRouteAdopted"] == "0", "none to be left")


def test_guests_while_an_old_child_ends(sandbox):
    """A worker of a child that ends gracefully is shown as such, and as gone when its work as a guest is done; the new
    child's workers have places of their own."""
    httpd = loop_httpd(sandbox, "")
    with adopted(httpd) as client:
        read_half(client, "head")
        wait_until(lambda: letters(httpd) == "RW", "a thread to read")
        old = httpd.children()
        httpd.graceful()
        wait_until(lambda: set(httpd.children()) - set(old), "a new child", 20)
        with adopted(httpd) as another:
            read_half(another, "head")
            wait_until(lambda: letters(httpd) == "GRW", f"both to be at work: {status(httpd)['Scoreboard']}", 20)
            for one in (another, client):
                one.send(b"host\r\n\r\n")
                assert one.read_response().status == 404
    wait_until(lambda: not set(old) & set(httpd.children()), "the old child to end", 20)
    wait_until_threads_are_free(httpd)
    assert letters(httpd) == "W"


def letters(httpd):
    """Of the scoreboard: what the workers do that do something."""
    return "".join(sorted(re.sub(r"[_.]", "", status(httpd)["Scoreboard"])))


# --- the end of the child ---------------------------------------------------------------------------------------------


def assert_ends_by_itself(httpd):
    """The parent process asks again after three seconds (a busy machine may take that long), and kills after nine: what
    waited for a client would get that far."""
    wait_until(lambda: not httpd.running, "the server to end", 20, 0.02)
    assert not httpd.log.find("AH00046"), httpd.log.text()
    httpd.log.allow("AH00045")


def read_half(client, what):
    if what == "head":
        client.send(b"GET /cgi/held HTTP/1.1\r\nHost: local")
    else:
        client.send_request("POST", "/cgi/held", [("Content-Length", "100000")])
        client.send(b"half")


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("what", ["head", "body"])
def test_hard_stop_while_workers_wait_for_clients(sandbox, what, tls):
    """All of them in a callback, where httpd's own way to free a worker does not reach."""
    httpd, gate = scripted_httpd(sandbox, tls=tls)
    gate.touch()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(adopted(httpd, tls)) for _ in range(3)]
        for client in clients:
            read_half(client, what)
        expected = "RRRW" if what == "head" else "WWWW"
        wait_until(lambda: letters(httpd) == expected, f"three busy threads, not {status(httpd)['Scoreboard']}")
        if what == "body":
            # A worker that finds mod_cgid's daemon ended by the stop looks for it for longer than httpd waits.
            wait_until(lambda: len(list(gate.parent.glob("begun.*"))) == 3, "three scripts to run", 20)
        httpd.signal(signal.SIGTERM)
        assert_ends_by_itself(httpd)
        for client in clients:
            client.everything()  # until the end: of a script that has gone, too, it may have got a 503
    httpd.log.allow(r"\[cgid:error\]")


def test_hard_restart_while_a_worker_waits_for_its_client(sandbox):
    httpd, _ = scripted_httpd(sandbox)
    old = httpd.children()
    with adopted(httpd) as client:
        read_half(client, "head")
        wait_until(lambda: letters(httpd) == "RW", "a thread to read")
        httpd.signal(signal.SIGHUP)
        wait_until(lambda: not set(httpd.children()) & set(old), "the old child to end", 20, 0.02)
        assert not httpd.log.find("AH00046"), httpd.log.text()
        httpd.log.allow("AH00045")
        assert client.closed_by_server()
    wait_until(httpd.children, "a new child")
    wait_until(lambda: short_or_nothing(httpd) == "/short", "the new child to serve")


def short_or_nothing(httpd):
    try:
        with connect(httpd) as client:
            return client.fetch("/short").text
    except (OSError, Closed):
        return None


def test_graceful_stop_closes_idle_connections_at_once(sandbox):
    """The server need not wait for a look at the state of things: it is told."""
    httpd = loop_httpd(sandbox, "KeepAliveTimeout 60\n")
    clients = [adopted(httpd) for _ in range(5)]
    httpd.signal(signal.SIGWINCH)
    assert all(client.closed_by_server(5) and not client.stream.reset for client in clients)
    for client in clients:
        client.close()
    wait_until(lambda: not httpd.running, "the server to end", 10, 0.02)
