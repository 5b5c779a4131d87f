# SPDX-License-Identifier: Apache-2.0
"""A WebSocket server on a Unix socket, with the websockets library of Python: what ws_server.js is with Node's ws.

    websockets_server.py SOCKET

/ws sends messages back, speaks the subprotocols chat.v2 and chat.v1, and knows permessage-deflate; to `close CODE REASON`
it closes so, to `ping TEXT` it pings, and says `pong` when the answer has come. GET /closed tells how the last WebSocket
ended: code and reason as this side has seen them. /refused refuses upgrades with 403."""
import asyncio
import http
import os
import signal
import sys

import websockets

closed = []  # one text for each that has ended


async def talk(websocket, _path):
    try:
        async for message in websocket:
            word, _, rest = message.partition(" ") if isinstance(message, str) else ("", "", "")
            if word == "close":
                code, _, reason = rest.partition(" ")
                await websocket.close(int(code), reason)
            elif word == "ping":
                await (await websocket.ping(rest))
                await websocket.send("pong")
            else:
                await websocket.send(message)
    except websockets.ConnectionClosed:
        pass
    finally:
        closed.append(f"{websocket.close_code} {websocket.close_reason}".strip())


async def answer_plainly(path, _headers):
    """What is no WebSocket; None: it is one, or answered with 426 by the library."""
    path = path.partition("?")[0]
    plain = [("Content-Type", "text/plain; charset=utf-8")]
    if path == "/closed":
        return http.HTTPStatus.OK, plain, (closed[-1] if closed else "").encode()
    if path == "/refused":
        return http.HTTPStatus.FORBIDDEN, [*plain, ("X-Why", "so")], b"refused"
    return None if path == "/ws" else (http.HTTPStatus.NOT_FOUND, plain, b"no such route\n")


async def main():
    stopped = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set_result, None)
    os.umask(0)
    async with websockets.unix_serve(
        talk,
        sys.argv[1],
        subprotocols=["chat.v2", "chat.v1"],
        process_request=answer_plainly,
        max_size=None,
        ping_interval=None,
        close_timeout=5,
        backlog=1024,
    ):
        await stopped


asyncio.run(main())
