# SPDX-License-Identifier: Apache-2.0
"""What the logs say of a tunnel: one line in the access log, at its end, that counts what went through it; and its story
at trace5."""
import re
import time

import pytest

from udr_processes import wait_until
from udr_tunnel import SWITCH, Switchboard, ask, chat_route, connect, has_loops, noise, open_tunnel, switched
from udr_tunnel import tunnel_httpd, used

WAYS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
COMING = pytest.mark.parametrize("come", [connect, used], ids=["first", "used"])

FORMAT = (
    "status=%>s first=%s body=%B clf=%b out=%O in=%I connection=%X us=%D parked=%{UDSROUTE_PARKED}e "
    "member=%{UDSROUTE_MEMBER}e total=%{UDSROUTE_TOTAL_US}e ttfb=%{UDSROUTE_TTFB_US}e protocol=%{Upgrade}o path=%U"
)
PATH = "/chat/x"


@pytest.fixture(name="switchboard", scope="module")
def _switchboard(module_sandbox):
    return Switchboard(module_sandbox)


@pytest.fixture(name="httpd")
def _httpd(sandbox, switchboard):
    return tunnel_httpd(
        sandbox, chat_route(switchboard), tls=True, modules=["logio"], access_log=FORMAT, udsroute_log_level="trace5"
    )


def entries(httpd):
    """The access log's lines about the tunnels."""
    found = [dict(pair.split("=", 1) for pair in line.split(" ")) for line in httpd.logged_lines()]
    return [entry for entry in found if entry["path"] == PATH]


def only_entry(httpd):
    wait_until(lambda: entries(httpd), "the tunnel's line in the access log")
    (entry,) = entries(httpd)
    return entry


@COMING
def test_bytes(httpd, switchboard, come):
    """%B is what the member sent in the tunnel; %I and %O are all there was on the connection for it, to the byte."""
    up, down = noise(70_001), noise(130_003)
    with come(httpd) as client:
        request = b"GET /chat/x HTTP/1.1\r\nHost: localhost\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n"
        client.send(request)
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            head += client.sock.recv(1)
        far = switchboard.next_end()
        with far:
            client.send(up)
            assert far.read(len(up)) == up
            far.send(down)
            assert b"".join(client.stream.pieces(len(down))) == down
            assert not entries(httpd)
    entry = only_entry(httpd)
    assert (entry["status"], entry["first"]) == ("101", "101")
    assert (entry["body"], entry["clf"]) == (str(len(down)), str(len(down)))
    assert (entry["in"], entry["out"]) == (str(len(request) + len(up)), str(len(head) + len(down)))


@WAYS
@COMING
def test_other_figures(httpd, switchboard, tls, come):
    """Its time is that of the whole tunnel."""
    before = time.monotonic()
    near, far = open_tunnel(httpd, switchboard, tls, come)
    opened = time.monotonic()
    with near, far:
        assert near.quiet(0.5)
    closed = time.monotonic()
    entry = only_entry(httpd)
    assert int(entry["us"]) >= (closed - opened) * 1e6 * 0.9
    assert int(entry["us"]) <= (time.monotonic() - before) * 1e6
    assert int(entry["total"]) <= int(entry["us"])
    assert int(entry["ttfb"]) <= (opened - before) * 1e6
    assert entry["protocol"] == "chat"
    assert entry["connection"] in "-X"
    assert entry["member"].startswith(f"unix:{switchboard.address}|")
    assert entry["body"] == "0" and entry["clf"] == "-"
    assert entry["parked"] == ("1" if has_loops() else "0")


@COMING
def test_bytes_behind_the_101_count(httpd, switchboard, come):
    switchboard.answer = SWITCH + b"e" * 1000
    try:
        near, far = open_tunnel(httpd, switchboard, come=come)
        with near, far:
            assert near.read(1000) == b"e" * 1000
    finally:
        switchboard.answer = SWITCH
    assert only_entry(httpd)["body"] == "1000"


@pytest.mark.parametrize("die", ["client", "member", "client-reset", "both"])
@COMING
def test_one_line_whoever_ends_it(httpd, switchboard, come, die):
    near, far = open_tunnel(httpd, switchboard, come=come)
    near.send(b"x")
    assert far.read(1) == b"x"
    if die in ("client", "both"):
        near.close()
    if die == "client-reset":
        near.reset()
    if die in ("member", "both"):
        far.close()
    for end in (near, far):
        if end.sock.fileno() >= 0:
            assert end.ends()
            end.close()
    assert only_entry(httpd)["status"] == "101"
    with connect(httpd) as client:
        assert client.fetch("/chat/later").status == 200
    only_entry(httpd)


@COMING
def test_one_line_for_an_idle_one(sandbox, switchboard, come):
    httpd = tunnel_httpd(
        sandbox, chat_route(switchboard, "upgrade=chat timeout=1"), modules=["logio"], access_log=FORMAT
    )
    near, far = open_tunnel(httpd, switchboard, come=come)
    with near, far:
        assert near.ends(20)
    entry = only_entry(httpd)
    assert entry["status"] == "101" and int(entry["us"]) >= 900_000
    assert httpd.log.expect("UDR0020").level == "info"


@WAYS
@COMING
def test_the_story_at_trace5(httpd, switchboard, tls, come):
    near, far = open_tunnel(httpd, switchboard, tls, come)
    near.send(b"12345")
    assert far.read(5) == b"12345"
    far.send(b"123")
    assert near.read(3) == b"123"
    near.close()
    far.ends(0.1 if tls else 10)
    far.close()
    only_entry(httpd)
    story = [
        r"pick: member unix:\S+, attempt 1",
        r"send: head of \d+ bytes",
        r"head: status 101: a tunnel from here on",
        r"tunnel: the client sends no more, after 5 bytes",
        r"tunnel: the member sends no more, after 3 bytes",
        r"release: connection closed",
    ]
    if tls:
        story = [line for line in story if "the client sends" not in line]
    last = lambda: httpd.log.text().rpartition("pick: member")[2]
    wait_until(lambda: story[-1] in last(), "the story's end")
    text = httpd.log.text()
    at = text.rindex("pick: member")
    for line in story:
        match = re.compile(line).search(text, at)
        assert match, f"{line!r} is not in\n{text[at:]}"
        at = match.start()


def test_the_story_of_a_refusal(sandbox):
    backend = sandbox.scripted("refuses", lambda exchange: exchange.respond(400))
    httpd = tunnel_httpd(sandbox, chat_route(backend), udsroute_log_level="trace5")
    with connect(httpd) as client:
        ask(client)
        assert client.read_response().status == 400
    assert httpd.log.find("head: status 400") and not httpd.log.find("tunnel")


def test_nothing_is_said_of_tunnels_that_go_well(httpd, switchboard):
    """At debug and above."""
    quiet = lambda: [line for line in httpd.log.lines() if line.module == "udsroute" and "trace" not in line.level]
    with connect(httpd) as client:
        assert client.fetch("/chat/first").status == 200  # the child has said what it says when it begins
    before = len(quiet())
    for come in (connect, used):
        near, far = open_tunnel(httpd, switchboard, come=come)
        near.close()
        far.close()
    with connect(httpd) as client:
        ask(client)
        near, far = switched(client), switchboard.next_end()
        far.close()
        assert near.ends()
    wait_until(lambda: len(entries(httpd)) == 3, "three lines in the access log")
    assert len(quiet()) == before, httpd.log.text()
