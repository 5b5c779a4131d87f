# SPDX-License-Identifier: Apache-2.0
"""WebSockets (RFC 6455) through httpd, with a real client and a real server."""
import asyncio
import os
import pathlib

import pytest
import websockets

import udr_peers
from udr_loops import busy_threads, fetch_short, loop_httpd
from udr_processes import wait_until
from udr_tunnel import PATIENCE, trusting, tunnel_httpd, websocket_url
from udr_client import fetch

WAYS = pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
TARGETS = pytest.mark.parametrize("target", ["/ws", "/ws-target"], ids=["http-target", "ws-target"])

CONFIG = """
UDSRoute /ws-target unix:{socket}|ws://localhost/ws
UDSRoute / unix:{socket}|http://localhost/
"""


@pytest.fixture(name="socket", scope="module")
def _socket(module_sandbox):
    data = pathlib.Path(module_sandbox.root / "data.bin")
    data.write_bytes(b"data")
    return udr_peers.start_udsbackend(module_sandbox, data)


@pytest.fixture(name="httpd", scope="module")
def _httpd(module_sandbox, socket):
    return tunnel_httpd(module_sandbox, CONFIG.format(socket=socket), tls=True)


def client(httpd, tls=False, target="/ws", **options):
    """A connection of the websockets library."""
    options.setdefault("ping_interval", None)
    options.setdefault("max_size", None)
    return websockets.connect(
        websocket_url(httpd, tls, target),
        ssl=trusting() if tls else None,
        open_timeout=PATIENCE,
        close_timeout=PATIENCE,
        **options,
    )


def run(talk, timeout=PATIENCE):
    return asyncio.run(asyncio.wait_for(talk, timeout))


async def says_back(websocket, message):
    await websocket.send(message)
    return await websocket.recv() == message


@WAYS
@TARGETS
def test_messages(httpd, tls, target):
    async def talk():
        async with client(httpd, tls, target) as websocket:
            for message in ("hello", "", "ü€😀", b"", b"\0\xff", "x" * 125, "x" * 126, b"y" * 65535, b"y" * 65536):
                assert await says_back(websocket, message)

    run(talk())


@WAYS
def test_fragmented_message(httpd, tls):
    async def talk():
        async with client(httpd, tls) as websocket:
            await websocket.send(["one ", "two ", "three"])
            assert await websocket.recv() == "one two three"
            await websocket.send([b"\0" * 70000, b"\1" * 70000])
            assert await websocket.recv() == b"\0" * 70000 + b"\1" * 70000

    run(talk())


@WAYS
def test_ping_and_pong(httpd, tls):
    async def talk():
        async with client(httpd, tls) as websocket:
            await (await websocket.ping(b"payload"))
            await websocket.pong(b"unasked")
            assert await says_back(websocket, "still there")

    run(talk())


@WAYS
def test_large_message(httpd, tls):
    message = os.urandom(16 * 1024 * 1024)

    async def talk():
        async with client(httpd, tls) as websocket:
            assert await says_back(websocket, message)

    run(talk(), 60)


@WAYS
def test_compressed_messages(httpd, tls):
    """What the ends agree on for themselves (an extension) is offered; udsbackend has none."""

    async def talk():
        async with client(httpd, tls, compression="deflate") as websocket:
            assert not websocket.extensions
            assert await says_back(websocket, "x" * 10000)

    run(talk())


@WAYS
def test_close_by_the_client(httpd, tls):
    """Its code and reason get to the server, and the server's answer back."""

    async def talk():
        async with client(httpd, tls) as websocket:
            await websocket.close(4321, "bye")
            return websocket.close_code

    assert run(talk()) == 4321


@WAYS
def test_close_by_the_member(httpd, tls):
    """udsbackend closes with 1002 after a frame that has a reserved bit set."""

    async def talk():
        async with client(httpd, tls) as websocket:
            websocket.transport.write(b"\xc1\x81\0\0\0\0x")
            await asyncio.wait_for(websocket.wait_closed(), PATIENCE)
            return websocket.close_code

    assert run(talk()) == 1002


@WAYS
def test_close_by_a_member_that_stops(sandbox, tls):
    """It says 1001 to each client, and that arrives."""
    data = pathlib.Path(sandbox.root / "data.bin")
    data.write_bytes(b"data")
    socket = udr_peers.start_udsbackend(sandbox, data)
    httpd = tunnel_httpd(sandbox, CONFIG.format(socket=socket), tls=True)
    backend = next(owned for owned in sandbox._owned if getattr(owned, "name", "") == "udsbackend")

    async def talk():
        async with client(httpd, tls) as one, client(httpd, tls) as other:
            assert await says_back(one, "x") and await says_back(other, "y")
            backend.send(15)
            for websocket in (one, other):
                await asyncio.wait_for(websocket.wait_closed(), PATIENCE)
            return one.close_code, other.close_code

    assert run(talk()) == (1001, 1001)


@WAYS
def test_subprotocol_and_fields_of_the_handshake(httpd, tls):
    """The handshake is the ends' own: nothing in it is httpd's but Connection and Upgrade."""

    async def talk():
        async with client(httpd, tls, extra_headers={"X-Mine": "1"}) as websocket:
            return websocket.response_headers

    headers = run(talk())
    assert headers["Upgrade"].lower() == "websocket"
    assert headers["Connection"].lower() == "upgrade"
    assert "Content-Length" not in headers and "Transfer-Encoding" not in headers


def test_others_are_served_beside_it(httpd):
    async def talk():
        async with client(httpd) as websocket:
            for number in range(20):
                assert await says_back(websocket, str(number))
                page = await asyncio.to_thread(fetch, httpd.port, "/ux")
                assert page.status == 200

    run(talk())


# --- many -------------------------------------------------------------------------------------------------------------

CROWD = 200  # on four threads


@WAYS
def test_many_at_once(sandbox, socket, tls):
    """A tunnel holds no thread."""
    config = CONFIG.replace("UDSRoute / ", "UDSRoute /ws ").replace("localhost/\n", "localhost/ws\n")
    httpd = loop_httpd(sandbox, config.format(socket=socket), tls=tls)

    async def talk():
        crowd = []
        for _ in range(CROWD):
            crowd.append(await client(httpd, tls))
        busy = await asyncio.to_thread(busy_threads, httpd)
        assert busy <= 2
        assert await asyncio.to_thread(fetch_short, httpd, tls)
        for turn in range(3):
            messages = [f"{turn}/{number}" for number in range(CROWD)]
            await asyncio.gather(*[websocket.send(text) for websocket, text in zip(crowd, messages)])
            assert [await websocket.recv() for websocket in crowd] == messages
        await asyncio.to_thread(wait_until, lambda: busy_threads(httpd) <= 2, "the threads to be free")
        await asyncio.gather(*[websocket.close(4000 + number) for number, websocket in enumerate(crowd)])
        assert [websocket.close_code for websocket in crowd] == [4000 + number for number in range(CROWD)]

    run(talk(), 60)
