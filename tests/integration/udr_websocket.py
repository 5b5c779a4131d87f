# SPDX-License-Identifier: Apache-2.0
"""For the tests of WebSockets: a real client (the websockets library of Python), and the real backends."""
import asyncio

import pytest
import websockets

import udr_peers
from udr_balancers import Member
from udr_client import trusting
from udr_tunnel import PATIENCE

WAYS = pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
PEERS = pytest.mark.parametrize("peer", udr_peers.WEBSOCKET_NAMES)
# What they do when they are told to, udsbackend doesn't: it is told nothing, it sends back.
OBEDIENT = pytest.mark.parametrize("peer", ["websockets", "ws"])


def start(sandbox, peer, name=None):
    """A backend of that kind, on the socket of that name; it can be ended, and started again."""
    return Member(sandbox, name or peer, udr_peers.websocket_command(peer)).start()


def client(httpd, tls=False, target="/ws", **options):
    """A connection of the websockets library."""
    options.setdefault("ping_interval", None)
    options.setdefault("max_size", None)
    options.setdefault("compression", None)
    return websockets.connect(
        f"wss://localhost:{httpd.tls_port}{target}" if tls else f"ws://127.0.0.1:{httpd.port}{target}",
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


async def ended(websocket):
    """Waits for the end of it: the code of the Close that came, 1006 where none did, and the reason."""
    await asyncio.wait_for(websocket.wait_closed(), PATIENCE)
    return websocket.close_code, websocket.close_reason
