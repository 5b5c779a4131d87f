# SPDX-License-Identifier: Apache-2.0
"""Clients and members that mean harm with an Upgrade: nothing is smuggled, nobody else waits, nothing is left."""
import concurrent.futures
import random
import threading
import time

import pytest

from udr_loops import adopted, fetch_short, loop_httpd
from udr_loops import connect as connect_to
from udr_processes import open_descriptors, wait_until
from udr_tunnel import PATIENCE, SWITCH, Switchboard, ask, chat_route, connect, has_loops, noise, open_tunnel, switched
from udr_tunnel import tunnel_httpd, turn_is_free, used
from udr_wire import Closed

WAYS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
COMING = pytest.mark.parametrize("come", [connect, used], ids=["first", "used"])


@pytest.fixture(name="switchboard", scope="module")
def _switchboard(module_sandbox):
    return Switchboard(module_sandbox)


@pytest.fixture(name="httpd", scope="module")
def _httpd(module_sandbox, switchboard):
    return tunnel_httpd(module_sandbox, chat_route(switchboard, "upgrade=ANY max=8"), tls=True)


# --- what a client may say --------------------------------------------------------------------------------------------

REFUSED = {
    "line-feed": b"chat\nX-Injected: 1",
    "carriage-return": b"chat\rX-Injected: 1",
    "nul": b"chat\0X-Injected: 1",
    "control": b"chat\x01",
    "delete": b"chat\x7f",
}


@COMING
@pytest.mark.parametrize("value", REFUSED)
def test_no_field_is_injected_by_the_value_of_upgrade(httpd, switchboard, come, value):
    """upgrade=ANY takes the client's word, but not for more than a field's value."""
    switchboard.backend.forget()
    with come(httpd) as client:
        client.send(
            b"GET /chat/inject HTTP/1.1\r\nHost: localhost\r\nUpgrade: "
            + REFUSED[value]
            + b"\r\nConnection: Upgrade\r\n\r\n"
        )
        try:
            status = client.read_response().status
        except Closed:
            status = 400
    switchboard.backend.settle()
    requests = [request for request in switchboard.backend.requests if request.target == "/chat/inject"]
    assert not any(request.has("X-Injected") for request in requests)
    if value == "line-feed":
        # To httpd a bare LF ends a line: this is a field of the client's own, as it could have sent it anyway.
        assert status == 400 or requests
    else:
        assert status == 400 and not requests


@COMING
@pytest.mark.parametrize("version", ["chunked", "both"])
def test_framing_of_a_request_that_upgrades(httpd, switchboard, come, version):
    """However its body is framed, member and httpd see the same end of it: what follows is in the tunnel."""
    fields = [("Transfer-Encoding", "chunked")]
    if version == "both":
        fields.append(("Content-Length", "4"))
    smuggled = b"GET /chat/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    switchboard.backend.forget()
    with come(httpd) as client:
        ask(client, method="POST", fields=fields, along=b"1\r\na\r\n0\r\n\r\n" + smuggled)
        response = client.read_response()
        if response.status == 101:
            with switchboard.next_end() as far:
                assert far.request.body == b"a"
                assert far.read(len(smuggled)) == smuggled
        else:
            assert response.status == 400
    assert "/chat/smuggled" not in [request.target for request in switchboard.backend.requests]


@COMING
def test_a_pipeline_that_ends_in_a_tunnel(httpd, switchboard, come):
    """Requests, the Upgrade and the tunnel's first bytes, all in one write."""
    with come(httpd) as client:
        plain = b"GET /chat/%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
        upgrade = b"GET /chat/x HTTP/1.1\r\nHost: localhost\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n"
        client.send(b"".join(plain % number for number in range(5)) + upgrade + b"tunnel" + plain % 9)
        for number in range(5):
            assert client.read_response().text == f"/chat/{number}"
        near = switched(client)
        with switchboard.next_end() as far:
            assert far.read(len(b"tunnel" + plain % 9)) == b"tunnel" + plain % 9
            far.send(b"answer")
            assert near.read(6) == b"answer"


@COMING
def test_head_that_upgrades(httpd, switchboard, come):
    """An answer to HEAD has no body, but a 101 is none: what follows it is the tunnel."""
    with come(httpd) as client:
        ask(client, method="HEAD")
        near = switched(client)
        with switchboard.next_end() as far:
            far.send(b"body?")
            assert near.read(5) == b"body?"
            near.send(b"x")
            assert far.read(1) == b"x"


@COMING
def test_limits_of_requests_are_none_of_a_tunnel(sandbox, switchboard, come):
    """LimitRequestBody is for bodies; and filters of content see none of it."""
    limits = "LimitRequestBody 1000\nSetOutputFilter DEFLATE\nAddOutputFilterByType DEFLATE text/plain\n"
    httpd = tunnel_httpd(sandbox, limits + chat_route(switchboard), modules=["deflate", "filter"])
    with come(httpd) as client:
        ask(client, fields=[("Accept-Encoding", "gzip")])
        near = switched(client)
        with switchboard.next_end() as far:
            data = noise(50_000)
            near.send(data)
            assert far.read(len(data)) == data
            far.send(b"plain text " * 2000)
            assert near.read(22_000) == b"plain text " * 2000


@COMING
def test_a_body_with_a_filter_of_its_own(sandbox, switchboard, come):
    """Decompressed on its way; what follows it is not."""
    config = "SetInputFilter DEFLATE\n" + chat_route(switchboard)
    httpd = tunnel_httpd(sandbox, config, modules=["deflate"])
    with come(httpd) as client:
        ask(client, method="POST", body=b"plain body")
        near = switched(client)
        with switchboard.next_end() as far:
            assert far.request.body == b"plain body"
            near.send(b"\x1f\x8b in the tunnel")
            assert far.read(16) == b"\x1f\x8b in the tunnel"
            far.send(b"answer")
            assert near.read(6) == b"answer"


@WAYS
@COMING
def test_a_filter_that_nobody_knows(sandbox, switchboard, tls, come):
    """mod_dumpio's stays between, and may block: each message is passed on all the same, at once."""
    config = "DumpIOInput On\nDumpIOOutput On\nLogLevel dumpio:trace7\n" + chat_route(switchboard)
    httpd = tunnel_httpd(sandbox, config, modules=["dumpio"], tls=tls)
    near, far = open_tunnel(httpd, switchboard, tls, come)
    with near, far:
        for _ in range(5):
            near.send(b"question")
            assert far.read(8) == b"question"
            far.send(b"answer")
            assert near.read(6) == b"answer"
        far.send(b"x" * 200_000)
        assert near.read(200_000) == b"x" * 200_000
        far.close()
        assert near.ends()


# --- a client that takes nothing --------------------------------------------------------------------------------------

LINES = b"".join(b"X-Long-%d: " % number + b"x" * 15_000 + b"\r\n" for number in range(8))
HEADS = {
    "101": SWITCH[:-2] + LINES + b"\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\n" + LINES + b"\r\n" + SWITCH,
    "101-behind-bytes": SWITCH + b"x" * 120_000,
}


@pytest.mark.parametrize("come", [connect_to, adopted], ids=["first", "adopted"])
@pytest.mark.parametrize("head", HEADS)
def test_a_client_that_takes_nothing_keeps_nobody_waiting(sandbox, come, head):
    """Whatever the member says to it, the loop goes on: another of its connections is served."""
    switchboard = Switchboard(sandbox, answer=HEADS[head])
    httpd = loop_httpd(sandbox, "SendBufferSize 8192\n" + chat_route(switchboard))
    with adopted(httpd) as other, come(httpd, receive_buffer=2048) as client:
        assert other.fetch("/short").text == "/short"
        ask(client)
        far = switchboard.next_end()
        other.sock.settimeout(10)
        for _ in range(20):
            assert other.fetch("/short").text == "/short"
        assert fetch_short(httpd)
        # And it gets all, late as it is.
        response = client.read_response()
        assert response.status == 101
        with far:
            rest = 120_000 if head == "101-behind-bytes" else 0
            assert b"".join(client.stream.pieces(rest)) == b"x" * rest
            far.send(b"end")
            assert b"".join(client.stream.pieces(3)) == b"end"


def test_turns_are_not_to_be_hoarded(sandbox):
    """Clients that open tunnels and vanish, or never read, or never send: those that are gone cost the member nothing."""
    switchboard = Switchboard(sandbox)
    httpd = tunnel_httpd(sandbox, chat_route(switchboard, "upgrade=chat max=4 timeout=60"))
    kept = []
    for round_number in range(6):
        tunnels = [open_tunnel(httpd, switchboard) for _ in range(4)]
        for number, (near, far) in enumerate(tunnels):
            if (number + round_number) % 2:
                near.send(b"x" * 1000)
            if number % 4 == 1:
                far.send(b"x" * 1000)
            near.reset()
            kept.append(far)
        assert turn_is_free(httpd)
    for far in kept:
        far.close()


# --- at the same moment -----------------------------------------------------------------------------------------------


def _a_life(httpd, switchboard, seed):
    """One tunnel whose ends do things at random moments, around the one when it passes from thread to loop (UDSPark)."""
    chance = random.Random(seed)
    pause = lambda: time.sleep(chance.choice([0, 0, 0.001, 0.002, 0.003]))
    come = used if chance.random() < 0.3 else connect
    client = come(httpd)
    early = b"e" * chance.choice([0, 0, 1, 5000])
    ask(client, fields=[("X-Delay", chance.choice(["0", "1", "2", "3"]))], along=early)
    if chance.random() < 0.1:
        pause()
        client.close()
        return
    near = switched(client)
    if chance.random() < 0.6:
        pause()
        near.send(b"n" * chance.choice([1, 3000, 70_000]))
    if chance.random() < 0.3:
        near.half_close()
    pause()
    if chance.random() < 0.5:
        near.close()
    else:
        near.reset()


def _serve_lives(switchboard, stop, seed):
    chance = random.Random(seed)
    while not stop.is_set():
        try:
            far = switchboard.next_end(0.1)
        except Exception:  # pylint: disable=broad-except  (none yet)
            continue
        try:
            if chance.random() < 0.6:
                far.send(b"f" * chance.choice([1, 3000, 70_000]))
            time.sleep(chance.choice([0, 0, 0.001, 0.002]))
            if chance.random() < 0.3:
                far.half_close()
                far.read_to_end()
        except OSError:
            pass  # the other side was faster
        far.close()


@pytest.mark.parametrize("park", ["0", "2ms"])
def test_lives_at_random(sandbox, park):
    """Whatever happens when: at the end all turns are free, all descriptors closed, and there is a line for each."""

    def answer(request):
        time.sleep(int(request.get("X-Delay", "0")) / 1000)
        return SWITCH + b"early"

    switchboard = Switchboard(sandbox, answer=answer, tolerant=True)
    config = f"UDSPark {park}\n" + chat_route(switchboard, "upgrade=chat max=64")
    httpd = tunnel_httpd(sandbox, config, threads=16, access_log="%>s %U")
    assert turn_is_free(httpd)
    before = {child: open_descriptors(child) for child in httpd.children()}
    stop = threading.Event()
    members = [threading.Thread(target=_serve_lives, args=(switchboard, stop, seed)) for seed in range(8)]
    for thread in members:
        thread.start()
    count = 400
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        lives = [pool.submit(_a_life, httpd, switchboard, seed) for seed in range(count)]
        for life in lives:
            try:
                life.result(60)
            except (OSError, Closed):
                pass  # the other side was faster
    time_is_up = time.monotonic() + 20
    while any(not connection.closed.is_set() for connection in switchboard.backend.connections):
        for connection in switchboard.backend.open_connections:
            if connection.sock.fileno() < 0:
                connection.closed.set()
        if time.monotonic() > time_is_up:
            break
        time.sleep(0.02)
    stop.set()
    for thread in members:
        thread.join(PATIENCE)
    read = lambda: [line for line in httpd.logged_lines() if "/chat/x" in line]
    wait_until(lambda: len(read()) >= count, "a line for each tunnel", 20, 0.05)
    assert len(read()) == count
    if has_loops():
        for child, descriptors in before.items():
            wait_until(
                lambda child=child, most=descriptors + 32: open_descriptors(child) <= most,
                f"the descriptors to be closed: {open_descriptors(child)}, {descriptors} before",
                20,
                0.05,
            )
    assert turn_is_free(httpd)
    httpd.log.allow("UDR0007")
