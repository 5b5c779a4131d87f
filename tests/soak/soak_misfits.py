# SPDX-License-Identifier: Apache-2.0
"""Kinds of clients that misbehave: that go away, close half, talk nonsense, say nothing or never stop."""
import asyncio
import threading
import time

import udr_wire
from soak_backend import content
from soak_client import Closed, Conversation, request_bytes
from soak_requests import ask_one, expect, routed_body, routed_echo, routed_text, static
from udr_client import Client

async def aborter(world, dice):
    """Goes away at any moment: within the head, within the body, while it waits, while it reads."""
    for _ in range(6):
        connection = await world.open(dice.random() < 0.3)
        try:
            for _ in range(dice.choice((0, 1, 3))):
                method, target, fields, body, judge = routed_echo(world, dice)
                await connection.send(request_bytes(method, target, fields, body))
                judge(await connection.read_response(method))
        except Closed as problem:
            connection.judge_close("instead of an answer", problem, world)
            connection.abort()
            continue
        token = world.token("abort")
        request = dice.choice((
            request_bytes("GET", f"/hostile/late/{token}/{dice.randint(10, 600)}"),
            request_bytes("GET", f"/hostile/{dice.choice(('whole', 'chunked', 'until-close'))}/{token}/900000"),
            request_bytes("GET", f"/hostile/drops/{token}/900000"),
            request_bytes("POST", f"/hostile/mirror/{token}/0", [], content(token, 200_000)),
            request_bytes("GET", f"/hostile/deflated/whole/{token}/900000", [("Accept-Encoding", "gzip")]),
            request_bytes("GET", f"/limited/late/{token}/100"), request_bytes("GET", "/large.bin"),
            request_bytes("GET", f"/cgi/token?{token}"), request_bytes("GET", f"/handler.lua?{token}&100"),
            request_bytes("GET", f"/hasty/silence/{token}/1"), request_bytes("GET", f"/crowded/whole/{token}/10"),
            request_bytes("GET", "/app/sse?interval=50&count=20"), request_bytes("GET", "/app/delay/700") * 3))
        await connection.send(request[:dice.randrange(len(request))] if dice.random() < 0.4 else request)
        await asyncio.sleep(dice.choice((0, 0.001, 0.01, 0.1, 0.3)) * dice.random())
        if dice.random() < 0.4:
            try:
                await asyncio.wait_for(connection.reader.read(dice.randint(1, 200_000)), 0.2)
            except (asyncio.TimeoutError, OSError):
                pass
        if dice.random() < 0.7:
            connection.abort()
        else:
            connection.close()
        world.count("aborted")


async def half_closer(world, dice):
    """Shuts down its sending side and waits. What comes at once it gets whole; else it counts as gone."""
    connection = await world.open()
    try:
        for _ in range(dice.choice((0, 2))):
            method, target, fields, body, judge = routed_echo(world, dice)
            await connection.send(request_bytes(method, target, fields, body))
            judge(await connection.read_response(method))
        method, target, fields, body, judge = dice.choice((routed_echo, routed_body, static))(world, dice)
        await connection.send(request_bytes(method, target, fields, body))
        connection.writer.write_eof()
        judge(await connection.read_response(method))
        await connection.ends_quietly(30)
        world.count("half-closed and answered")
    except (Closed, OSError):
        world.count("half-closed and gone")
    finally:
        connection.close()


async def nonsense(world, dice):
    """What is no request gets a 400, on a new connection and on one that has served."""
    connection = await world.open()
    try:
        for _ in range(dice.choice((0, 3))):
            method, target, fields, body, judge = routed_echo(world, dice)
            await connection.send(request_bytes(method, target, fields, body))
            judge(await connection.read_response(method))
        await connection.send(dice.choice((
            b"NONSENSE\r\n\r\n", b"GET /app/ux HTTP/1.1\r\nHost: a\r\nHost: b\r\nX y: z\r\n\r\n",
            b"GET /app/ux HTTP/1.1\r\n\r\n", b"GET  HTTP/1.1 X\r\nHost: x\r\n\r\n", b"\0\0\0\0\r\n\r\n")))
        response = await connection.read_response()
        expect(response.status == 400, "not 400", response)
        await connection.ends_quietly(30)
    except Closed as problem:
        connection.judge_close("instead of a 400", problem, world)
    finally:
        connection.close()


async def silent_caller(world, dice):
    """Connects, by TLS too, says nothing or half a word, and stays or goes."""
    connection = await world.open(dice.random() < 0.5)
    try:
        if dice.random() < 0.5:
            await connection.send(b"GET /app/u")
        await asyncio.sleep(dice.random() * 2)
    finally:
        connection.close()


def drop_all(sock):
    """Reads until there is no more."""
    try:
        while sock.recv(1 << 20):
            pass
    except OSError:
        pass


def flood(port, until):
    """Pipelines requests that httpd's hooks answer, faster than it does; drops what comes. With threads of its own."""
    requests = request_bytes("GET", "/moved") * 2000
    with Client(port) as client:
        try:
            for _ in range(3):  # on a loop from here on
                client.fetch("/app/ux")
        except (udr_wire.Closed, OSError):
            return  # a graceful restart
        listener = threading.Thread(target=drop_all, args=(client.sock,), daemon=True)
        listener.start()
        try:
            while time.monotonic() < until:
                client.send(requests)
        except OSError:
            pass  # a graceful restart
        udr_wire.shut(client.sock)
        listener.join()


async def flooder(world, dice):
    """A client that never stops must not keep its neighbours waiting, one of which shares its loop. (Where each wait
    holds a thread, others may have taken them all.)"""
    async def ask(until):
        count = 0
        async with Conversation(world) as conversation:
            while time.monotonic() < until:
                await ask_one(conversation, world, dice, routed_text)
                count += 1
                await asyncio.sleep(0.05)
        return count
    until = time.monotonic() + 4
    _, *counts = await asyncio.gather(asyncio.to_thread(flood, world.port, until), *[ask(until) for _ in range(6)])
    # A busy machine is slow for all of them; a starved loop for its own.
    is_starved = min(counts) < 4 and min(counts) * 4 < max(counts)
    expect(not is_starved or not world.site.has_loops, f"neighbours of a flood got {counts} answers in 4 s")
