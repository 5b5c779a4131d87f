# SPDX-License-Identifier: Apache-2.0
"""Thousands of clients that mostly wait, in a process of their own: a process may hold only so many descriptors.

    crowd_clients.py PORT KIND COUNT [PATH]

When all have begun, and again when all have finished, it prints a line of JSON: how many did well, how many not, and
why the first of those did not. Between the two it waits for the line "finish" on its standard input; when that ends
instead, it leaves at once."""

import asyncio
import json
import sys

OPENING_AT_ONCE = 256  # as many as that may wait in the listener's backlog, and far fewer than it has room for
BEGIN_SECONDS = 60
FINISH_SECONDS = 60

UPGRADE = b"""\
GET /ws HTTP/1.1\r
Host: localhost\r
Connection: Upgrade\r
Upgrade: websocket\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
\r
"""
# RFC 6455, 5.2: a text message of five bytes; a client's is masked, here with zeros.
MESSAGE = b"\x81\x85\x00\x00\x00\x00hello"
ECHO = b"\x81\x05hello"


class Wrong(Exception):
    pass


class Client:
    def __init__(self, port, path):
        self.port = port
        self.path = path
        self.reader = self.writer = None

    async def connect(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=8192)

    def ask(self, path):
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    async def head(self, status):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if not head.startswith(f"HTTP/1.1 {status} "):
            raise Wrong(head.splitlines()[0])
        return head

    async def answer(self):
        """Takes a whole answer."""
        head = await self.head(200)
        fields = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:-1])
        if "content-length" in fields:
            await self.reader.readexactly(int(fields["content-length"]))
            return
        size = None
        while size != 0:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            await self.reader.readexactly(size + 2)

    async def begin(self):
        raise NotImplementedError

    async def finish(self):
        raise NotImplementedError


class Tunnel(Client):
    """An upgraded connection that is idle, and echoes once at the end."""

    async def begin(self):
        await self.connect()
        self.writer.write(UPGRADE)
        await self.head(101)

    async def finish(self):
        self.writer.write(MESSAGE)
        if await self.reader.readexactly(len(ECHO)) != ECHO:
            raise Wrong("another echo")


class Parked(Client):
    """A request that the backend takes its time over."""

    async def begin(self):
        await self.connect()
        self.ask(self.path)

    async def finish(self):
        await self.answer()


class Occupant(Client):
    """Asks for what takes long again and again, on a connection that has had short answers before."""

    async def begin(self):
        await self.connect()
        for _ in range(3):
            self.ask("/ux")
            await self.answer()
        self.is_over = False
        self.task = asyncio.create_task(self.occupy())

    async def occupy(self):
        while not self.is_over:
            self.ask(self.path)
            await self.answer()

    async def finish(self):
        self.is_over = True
        await self.task


KINDS = {"tunnels": Tunnel, "parked": Parked, "occupants": Occupant}


async def all_of(steps, seconds):
    """Runs a step of each client and says what came of them."""
    opening = asyncio.Semaphore(OPENING_AT_ONCE)

    async def bounded(step):
        async with opening:
            await step

    gathering = asyncio.gather(*map(bounded, steps), return_exceptions=True)
    try:
        results = await asyncio.wait_for(gathering, seconds)
    except asyncio.TimeoutError:
        results = [Wrong(f"not all within {seconds} s")]
    wrong = [result for result in results if result is not None]
    why = f"{type(wrong[0]).__name__}: {wrong[0]}" if wrong else ""
    print(json.dumps({"good": len(results) - len(wrong), "wrong": len(wrong), "why": why}), flush=True)


async def main(port, kind, count, path):
    clients = [KINDS[kind](port, path) for _ in range(count)]
    await all_of([client.begin() for client in clients], BEGIN_SECONDS)
    command = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    if command == "finish\n":
        await all_of([client.finish() for client in clients], FINISH_SECONDS)
    for client in clients:
        if client.writer:
            client.writer.transport.abort()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else "/"))
