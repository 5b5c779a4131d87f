# SPDX-License-Identifier: Apache-2.0
"""WebSockets (RFC 6455) through httpd, with a real client and three real servers: what the two ends say to each other
is theirs alone."""
import asyncio
import os
import signal

import pytest

import udr_peers
from udr_client import fetch
from udr_processes import wait_until
from udr_tunnel import connect, tunnel_httpd
from udr_websocket import OBEDIENT, PEERS, WAYS, client, ended, run, says_back, start


@pytest.fixture(name="httpd", scope="module")
def _httpd(module_sandbox):
    """/NAME/ leads to the backend of that name, and /ws-NAME/ to the same as ws://."""
    routes = ""
    for name in udr_peers.WEBSOCKET_NAMES:
        socket = start(module_sandbox, name).socket
        routes += f"UDSRoute /{name}/ unix:{socket}|http://localhost/\n"
        routes += f"UDSRoute /ws-{name}/ unix:{socket}|ws://localhost/\n"
    return tunnel_httpd(module_sandbox, routes, tls=True)


def closed(httpd, peer):
    """How the backend has seen the last WebSocket end."""
    return fetch(httpd.port, f"/{peer}/closed").body.decode()


# --- messages ---------------------------------------------------------------------------------------------------------


@WAYS
@PEERS
@pytest.mark.parametrize("scheme", ["", "ws-"], ids=["http-target", "ws-target"])
def test_messages(httpd, tls, peer, scheme):
    """Text and binary, in each form of a frame's length."""

    async def talk():
        async with client(httpd, tls, f"/{scheme}{peer}/ws") as websocket:
            for message in ("hello", "", "ü€😀", b"", b"\0\xff", "x" * 125, "x" * 126, b"y" * 65535, b"y" * 65536):
                assert await says_back(websocket, message)

    run(talk())


@WAYS
@PEERS
def test_fragmented_message(httpd, tls, peer):
    async def with_a_ping_between():
        yield "one "
        await (await websocket.ping())
        yield "two "
        yield "three"

    async def talk():
        nonlocal websocket
        async with client(httpd, tls, f"/{peer}/ws") as websocket:
            await websocket.send(with_a_ping_between())
            assert await websocket.recv() == "one two three"
            await websocket.send([b"\0" * 70000, b"\1" * 70000])
            assert await websocket.recv() == b"\0" * 70000 + b"\1" * 70000

    websocket = None
    run(talk())


@WAYS
@PEERS
def test_ping_and_pong(httpd, tls, peer):
    async def talk():
        async with client(httpd, tls, f"/{peer}/ws") as websocket:
            await (await websocket.ping(b"payload"))
            await websocket.pong(b"unasked")
            assert await says_back(websocket, "still there")

    run(talk())


@WAYS
@OBEDIENT
def test_ping_by_the_member(httpd, tls, peer):
    async def talk():
        async with client(httpd, tls, f"/{peer}/ws") as websocket:
            await websocket.send("ping payload")
            return await websocket.recv()

    assert run(talk()) == "pong"


@WAYS
@PEERS
def test_large_message(httpd, tls, peer):
    message = os.urandom(16 * 1024 * 1024)

    async def talk():
        async with client(httpd, tls, f"/{peer}/ws") as websocket:
            assert await says_back(websocket, message)

    run(talk(), 60)


# --- what the ends agree on -------------------------------------------------------------------------------------------


@WAYS
@OBEDIENT
def test_subprotocol(httpd, tls, peer):
    """The client offers some, the server takes one it knows."""

    async def talk():
        for offered, taken in ((["other", "chat.v1"], "chat.v1"), (["chat.v2"], "chat.v2"), (["other"], None)):
            async with client(httpd, tls, f"/{peer}/ws", subprotocols=offered) as websocket:
                assert websocket.subprotocol == taken
                assert await says_back(websocket, "x")

    run(talk())


@WAYS
@OBEDIENT
def test_compressed_messages(httpd, tls, peer):
    """permessage-deflate, with the window that goes on from one message to the next; and fewer bytes for it."""

    async def talk():
        async with client(httpd, tls, f"/{peer}/ws", compression="deflate") as websocket:
            (extension,) = websocket.extensions
            assert extension.name == "permessage-deflate"
            for message in ("x" * 100_000, b"y" * 100_000, os.urandom(50_000), "x" * 100_000):
                assert await says_back(websocket, message)

    run(talk())


@WAYS
def test_what_the_server_does_not_know(httpd, tls):
    """udsbackend has neither extensions nor subprotocols; nobody has them in its place."""

    async def talk():
        async with client(httpd, tls, "/udsbackend/ws", compression="deflate", subprotocols=["chat.v1"]) as websocket:
            assert not websocket.extensions and websocket.subprotocol is None
            assert await says_back(websocket, "x" * 10000)
            return websocket.response_headers

    headers = run(talk())
    assert headers["Upgrade"].lower() == "websocket" and headers["Connection"].lower() == "upgrade"
    assert "Content-Length" not in headers and "Transfer-Encoding" not in headers


# --- the end ----------------------------------------------------------------------------------------------------------


@WAYS
@PEERS
@pytest.mark.parametrize("code, reason", [(1000, ""), (1001, "going"), (4321, "bye, ü€😀"), (3000, "x" * 123)])
def test_close_by_the_client(httpd, tls, peer, code, reason):
    """Code and reason get to the server, and its answer back."""

    async def talk():
        async with client(httpd, tls, f"/{peer}/ws") as websocket:
            await websocket.close(code, reason)
            assert websocket.close_rcvd.code == code

    run(talk())
    if peer != "udsbackend":  # which doesn't tell
        wait_until(lambda: closed(httpd, peer) == f"{code} {reason}".strip(), "the server to have seen it")


@WAYS
@OBEDIENT
@pytest.mark.parametrize("code, reason", [(1000, ""), (1011, "an error"), (4999, "bye, ü€😀")])
def test_close_by_the_member(httpd, tls, peer, code, reason):
    async def talk():
        async with client(httpd, tls, f"/{peer}/ws") as websocket:
            await websocket.send(f"close {code} {reason}")
            return await ended(websocket)

    assert run(talk()) == (code, reason)


@WAYS
@PEERS
def test_close_because_of_a_frame_that_is_none(httpd, tls, peer):
    """It has a reserved bit set: 1002, Protocol error."""

    async def talk():
        async with client(httpd, tls, f"/{peer}/ws") as websocket:
            websocket.transport.write(b"\xc1\x81\0\0\0\0x")
            return (await ended(websocket))[0]

    assert run(talk()) == 1002


@WAYS
@OBEDIENT
def test_client_that_dies(httpd, tls, peer):
    """1006, Abnormal closure, is never sent: it is what the server makes of an end without a Close."""

    async def talk():
        websocket = await client(httpd, tls, f"/{peer}/ws")
        assert await says_back(websocket, "x")
        websocket.transport.abort()
        await ended(websocket)

    run(talk())
    wait_until(lambda: closed(httpd, peer) == "1006", "the server to have seen it")


@WAYS
@PEERS
def test_member_that_dies(sandbox, tls, peer):
    """1006 for its clients. Started again it has new ones at once."""
    member = start(sandbox, peer)
    httpd = tunnel_httpd(sandbox, f"UDSRoute / unix:{member.socket}|http://localhost/\n", tls=tls)

    async def talk():
        async with client(httpd, tls) as one, client(httpd, tls) as other:
            assert await says_back(one, "x") and await says_back(other, "y")
            await asyncio.to_thread(member.end, signal.SIGKILL)
            assert [await ended(one), await ended(other)] == [(1006, ""), (1006, "")]
        await asyncio.to_thread(member.start)
        async with client(httpd, tls) as again:
            assert await says_back(again, "x")

    run(talk(), 60)
    httpd.log.allow("UDR0034")


@WAYS
def test_member_that_stops(sandbox, tls):
    """udsbackend says 1001, Going away, to each client."""
    member = start(sandbox, "udsbackend")
    httpd = tunnel_httpd(sandbox, f"UDSRoute / unix:{member.socket}|http://localhost/\n", tls=tls)

    async def talk():
        async with client(httpd, tls) as one, client(httpd, tls) as other:
            assert await says_back(one, "x") and await says_back(other, "y")
            await asyncio.to_thread(member.end, signal.SIGTERM)
            return [(await ended(websocket))[0] for websocket in (one, other)]

    assert run(talk()) == [1001, 1001]


# --- when there is none -----------------------------------------------------------------------------------------------


REFUSALS = {
    "udsbackend": ("/ws", [("Sec-WebSocket-Version", "99")], 426, ("Sec-WebSocket-Version", "13")),
    "websockets": ("/refused", [("Sec-WebSocket-Version", "13")], 403, ("X-Why", "so")),
    "ws": ("/refused", [("Sec-WebSocket-Version", "13")], 403, ("X-Why", "so")),
}


@WAYS
@PEERS
def test_refusal(httpd, tls, peer):
    """A WebSocket that the server doesn't want is answered as it says, and the connection is used on."""
    target, version, status, (name, value) = REFUSALS[peer]
    fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    with connect(httpd, tls) as one:
        for _ in range(3):
            response = one.fetch(f"/{peer}{target}", fields=[*fields, *version])
            assert (response.status, response.get(name), response.complete) == (status, value, True)
        response = one.fetch(f"/{peer}/ws")  # nobody has asked for one: it says what to ask for (RFC 9110, 15.5.22)
        assert (response.status, response.get("Upgrade"), response.get("Connection")) == (426, "websocket", "Upgrade")


def test_others_are_served_beside_it(httpd):
    async def talk():
        async with client(httpd, target="/ws/ws") as websocket:
            for number in range(20):
                assert await says_back(websocket, str(number))
                page = await asyncio.to_thread(fetch, httpd.port, "/ws/closed")
                assert page.status == 200

    run(talk())
