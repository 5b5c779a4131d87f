# SPDX-License-Identifier: Apache-2.0
"""Upgraded connections: WebSockets to udsbackend, and tunnels of plain bytes to a member that says `Upgrade: echo`,
which either side ends by halves."""
import asyncio
import base64
import hashlib
import ssl
import struct
import time

from soak_backend import content
from soak_client import PATIENCE, Closed, Conversation, Wrong, request_bytes
from soak_requests import ask_one, expect, expect_whole, routed_echo, static

# A graceful restart leaves tunnels alone for GracefulShutdownTimeout; less some time for the machine's being slow.
GRACE = 8.0

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Tunnel:
    """What a connection has become with 101."""

    def __init__(self, world, connection):
        self.world = world
        self.reader = connection.reader
        self.connection = connection
        self.opened = time.monotonic()

    async def send(self, data):
        await asyncio.wait_for(self.connection.send(data), PATIENCE)

    async def take(self, size):
        """So many bytes. Closed: a graceful restart has ended the tunnel, as it may after a while."""
        try:
            return await asyncio.wait_for(self.reader.readexactly(size), PATIENCE)
        except asyncio.TimeoutError:
            raise Wrong(f"nothing comes through the tunnel within {PATIENCE} s") from None
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError) as problem:
            self.judge_end(problem)

    def judge_end(self, problem):
        """The tunnel has ended, and not by the client's doing."""
        now = time.monotonic()
        if any(self.opened - 1 < ended and begun < now - GRACE for begun, ended in self.world.restarts):
            self.world.count("tunnels ended by a restart")
            raise Closed(repr(problem)) from None
        raise Wrong(f"the tunnel ended after {now - self.opened:.3f} s ({problem!r})") from None

    async def ends(self):
        """Waits for the other side's end."""
        try:
            data = await asyncio.wait_for(self.reader.read(1000), PATIENCE)
        except asyncio.TimeoutError:
            raise Wrong(f"the tunnel is still open after {PATIENCE} s") from None
        except (ConnectionError, ssl.SSLError):
            return
        if data:
            raise Wrong(f"bytes instead of the tunnel's end: {data[:200]!r}")


async def open_tunnel(conversation, target, protocol, fields=(), early=b""):
    """Asks for another protocol, which is to be granted. early: sent along with the request."""
    data = request_bytes("GET", target, [("Connection", "Upgrade"), ("Upgrade", protocol), *fields]) + early
    while True:
        connection = await conversation.connect()
        await connection.send(data)
        try:
            response = await connection.read_head()
        except Closed as problem:
            connection.judge_close(f"instead of an answer to Upgrade: {protocol}", problem, conversation.world)
            conversation.hang_up()
            continue
        connection.answers += 1
        connection.is_reusable = False
        if response.status != 101:
            response.body = await asyncio.wait_for(connection.reader.read(300), PATIENCE)
        expect(response.status == 101 and response.get("Upgrade") == protocol, f"no upgrade to {protocol}", response)
        expect((response.get("Connection") or "").lower() == "upgrade", "101 without Connection: Upgrade", response)
        return Tunnel(conversation.world, connection), response


async def rest(world, dice):
    """Mostly for a moment; now and then for longer than a connection is kept alive."""
    await world.pause(dice.random() * 0.3 if dice.random() < 0.97 else dice.uniform(5.5, 12))


async def warm_up(conversation, world, dice):
    """What the connection was before it is upgraded: new, adopted, or with a worker."""
    for _ in range(dice.choice((0, 0, 1, 3))):
        await ask_one(conversation, world, dice, dice.choice((routed_echo, routed_echo, static)))


# --- WebSockets -------------------------------------------------------------------------------------------------------


def frame(dice, opcode, data):
    """A whole message of a client's: one frame, masked."""
    mask = dice.randbytes(4)
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    stream = (mask * (size // 4 + 1))[:size]
    masked = int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")
    return head + mask + masked.to_bytes(size, "big")


async def read_frame(tunnel):
    first, second = await tunnel.take(2)
    size = second & 0x7f
    expect(not second & 0x80, "a masked frame from a server")
    if size == 126:
        size, = struct.unpack("!H", await tunnel.take(2))
    elif size == 127:
        size, = struct.unpack("!Q", await tunnel.take(8))
    return first, await tunnel.take(size)


async def read_message(tunnel):
    """One message or control frame, as (opcode, data)."""
    first, data = await read_frame(tunnel)
    opcode = first & 0x0f
    while not first & 0x80:
        first, more = await read_frame(tunnel)
        data += more
    return opcode, data


async def talk(tunnel, world, dice):
    """Messages and their echoes."""
    for _ in range(dice.randint(1, 20)):
        token = world.token("message")
        data = content(token, dice.choice((0, 1, 125, 126, 5000, 70_000, 300_000)))
        opcode = dice.choice((TEXT, BINARY, PING))
        if opcode == PING:
            data = data[:125]
        await asyncio.gather(tunnel.send(frame(dice, opcode, data)), expect_echo(tunnel, opcode, data))
        world.count("messages")
        await rest(tunnel.world, dice)


async def expect_echo(tunnel, opcode, data):
    answer = await read_message(tunnel)
    wanted = (PONG if opcode == PING else opcode, data)
    expect(answer == wanted, f"another echo than {data[:70]!r}, {len(data)} bytes, opcode {wanted[0]}: "
           f"{answer[1][:70]!r}, {len(answer[1])} bytes, opcode {answer[0]}")


async def websocket(world, dice):
    """A WebSocket that echoes, and is closed as it should be, or not at all."""
    async with Conversation(world, tls=dice.random() < 0.3) as conversation:
        await warm_up(conversation, world, dice)
        key = base64.b64encode(dice.randbytes(16)).decode()
        fields = [("Sec-WebSocket-Key", key), ("Sec-WebSocket-Version", "13")]
        tunnel, response = await open_tunnel(conversation, "/app/ws", "websocket", fields)
        digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        expect(response.get("Sec-WebSocket-Accept") == base64.b64encode(digest).decode(), "wrong accept", response)
        try:
            await talk(tunnel, world, dice)
            end = dice.choice(("close", "close", "abort", "within a frame"))
            if end == "close":
                await tunnel.send(frame(dice, CLOSE, struct.pack("!H", 1000)))
                answer = await read_message(tunnel)
                expect(answer[0] == CLOSE, f"no Close in return, but {answer}")
                await tunnel.ends()
            elif end == "within a frame":
                await tunnel.send(frame(dice, TEXT, b"x" * 70_000)[:dice.randint(1, 70_000)])
                tunnel.connection.abort()
            else:
                tunnel.connection.abort()
        except Closed:
            return
        world.count(f"WebSocket ended: {end}")


# --- tunnels of bytes -------------------------------------------------------------------------------------------------


async def send_in_pieces(tunnel, dice, data):
    """With pauses, but not between all of them."""
    position = 0
    while position < len(data):
        size = dice.choice((1, 100, 5000, 100_000))
        await tunnel.send(data[position:position + size])
        position += size
        if dice.random() < 0.2:
            await rest(tunnel.world, dice)


async def expect_bytes(tunnel, data):
    received = await tunnel.take(len(data))
    expect(received == data, f"other bytes through the tunnel than {data[:70]!r}: {received[:70]!r} …")


async def echo_tunnel(world, dice):
    """Bytes come back; then the client ends its side (TLS can't) and gets a farewell and the end; or it goes away."""
    tls = dice.random() < 0.3
    async with Conversation(world, tls=tls) as conversation:
        await warm_up(conversation, world, dice)
        token = world.token("tunnel")
        size = dice.choice((0, 10, 300_000))
        data = content(token + "-data", dice.choice((1, 1000, 80_000, 1_000_000)))
        early = data[:dice.choice((0, 0, 1, 100))]
        tunnel, _ = await open_tunnel(conversation, f"/hostile/tunnel/{token}/{size}", "echo", [], early)
        try:
            await asyncio.gather(send_in_pieces(tunnel, dice, data[len(early):]), expect_bytes(tunnel, data))
            if tls or dice.random() < 0.3:
                await send_in_pieces(tunnel, dice, data[:dice.randint(0, 100_000)])
                tunnel.connection.abort()
                world.count("tunnels aborted")
                return
            tunnel.connection.writer.write_eof()
            await expect_bytes(tunnel, content(token, size))
            await tunnel.ends()
            world.count("tunnels half-closed by the client")
        except Closed:
            return


async def received_by_member(world, token, size):
    """What the member got of its client's bytes, once it has got them all."""
    async with Conversation(world) as conversation:
        response = await conversation.ask("GET", f"/hostile/received/{token}/{size}")
        expect_whole(response, b"all")


async def member_first_tunnel(world, dice):
    """The member says all it has to say and ends its side; the client reads slowly, and only then says something."""
    tls = dice.random() < 0.2
    async with Conversation(world, tls=tls) as conversation:
        await warm_up(conversation, world, dice)
        token = world.token("first")
        size = dice.choice((0, 100, 1_500_000))
        begun = time.monotonic()
        tunnel, _ = await open_tunnel(conversation, f"/hostile/member-first/{token}/{size}", "echo")
        try:
            await rest(tunnel.world, dice)
            await expect_bytes(tunnel, content(token, size))
            await tunnel.ends()
            if tls:
                return  # both directions end at once
            answer = content(token + "-answer", dice.choice((1, 200_000)))
            await send_in_pieces(tunnel, dice, answer)
            tunnel.connection.close()
            if time.monotonic() - begun > GRACE:
                return  # a restart may have cut it, which shows only at the member
            await received_by_member(world, token, len(answer))
            world.count("tunnels half-closed by the member")
        except Closed:
            return


async def lasting_tunnel(world, dice):
    """A tunnel with a word now and then, over graceful restarts, for as long as the old children may live."""
    async with Conversation(world, tls=dice.random() < 0.3) as conversation:
        await warm_up(conversation, world, dice)
        until = time.monotonic() + dice.uniform(15, 90)
        tunnel, _ = await open_tunnel(conversation, f"/hostile/tunnel/{world.token('lasting')}/0", "echo")
        try:
            while time.monotonic() < until and not world.is_over:
                data = content(world.token("word"), dice.choice((1, 5000)))
                await asyncio.gather(tunnel.send(data), expect_bytes(tunnel, data))
                await world.pause(dice.uniform(0.5, 4))
            world.count("lasting tunnels")
        except Closed:
            return


async def refused_tunnel(world, dice):
    """A member that does not care for the wish: an ordinary answer, on a connection that goes on."""
    async with Conversation(world, tls=dice.random() < 0.3) as conversation:
        for _ in range(3):
            token = world.token("whole")
            fields = [("Connection", "Upgrade"), ("Upgrade", "echo")]
            expect_whole(await conversation.ask("GET", f"/hostile/whole/{token}/500", fields), content(token, 500))
            await ask_one(conversation, world, dice, dice.choice((routed_echo, static)))


async def upgraded(world, dice):
    """All of these."""
    kinds = (websocket, websocket, echo_tunnel, echo_tunnel, member_first_tunnel, refused_tunnel)
    await dice.choice(kinds)(world, dice)
