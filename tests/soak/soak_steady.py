# SPDX-License-Identifier: Apache-2.0
"""Kinds of clients that do what clients do: one request after the other, pipelined, slow, in crowds, over HTTP/2."""
import asyncio
import pathlib
import tempfile

import udr_environment
from soak_backend import content
from soak_client import Closed, Conversation, Wrong, request_bytes
from soak_requests import (ANY, QUICK, ask_one, expect, expect_whole, overridden, routed_body, routed_echo,
                           routed_error, routed_text, routed_timeout, static)
from soak_site import FILES

async def short(world, dice):
    """Short routed requests, one after the other on one connection: what a loop is made for."""
    async with Conversation(world) as conversation:
        for _ in range(dice.randint(20, 60)):
            await ask_one(conversation, world, dice, dice.choice((routed_echo, routed_body, routed_text)))


async def short_tls(world, dice):
    async with Conversation(world, tls=True) as conversation:
        for _ in range(dice.randint(10, 30)):
            await ask_one(conversation, world, dice, dice.choice((routed_echo, routed_body, routed_text)))


async def mixed(world, dice):
    """Routed requests and httpd's own handlers in turn on one connection, plain or TLS."""
    async with Conversation(world, tls=dice.random() < 0.3) as conversation:
        for _ in range(dice.randint(5, 30)):
            await ask_one(conversation, world, dice, dice.choice(ANY))
            if dice.random() < 0.1:
                await asyncio.sleep(dice.random() * 0.2)


async def slow(world, dice):
    """Requests that wait for their answer, on kept connections."""
    async with Conversation(world, tls=dice.random() < 0.3) as conversation:
        for _ in range(dice.randint(3, 10)):
            milliseconds = dice.randint(1, 400)
            if dice.random() < 0.5:
                expect_whole(await conversation.ask("GET", f"/app/delay/{milliseconds}"),
                             f"waited {milliseconds} ms\n".encode())
            else:
                token = world.token("late")
                response = await conversation.ask("GET", f"/hostile/late/{token}/{milliseconds}")
                expect_whole(response, content(token, 100))


async def parked(world, dice):
    """Hundreds of requests at once that wait longer than there are threads for."""
    async def wait(milliseconds):
        async with Conversation(world) as conversation:
            for _ in range(2):
                expect_whole(await conversation.ask("GET", f"/app/delay/{milliseconds}"),
                             f"waited {milliseconds} ms\n".encode())
    waits = [asyncio.ensure_future(wait(1500 + dice.randint(0, 99))) for _ in range(300)]
    try:
        await asyncio.gather(*waits)
    finally:
        for task in waits:
            task.cancel()


async def turns(world, dice):
    """More requests than the member may have at once (max=3): each has its turn."""
    async with Conversation(world) as conversation:
        for _ in range(10):
            token = world.token("turn")
            milliseconds = dice.randint(0, 30)
            expect_whole(await conversation.ask("GET", f"/limited/late/{token}/{milliseconds}"), content(token, 100))


async def failures(world, dice):
    """Members that fail, on connections that go on."""
    async with Conversation(world, tls=dice.random() < 0.3) as conversation:
        for _ in range(6):
            make = dice.choice((routed_error, routed_timeout, overridden, routed_echo))
            await ask_one(conversation, world, dice, make)
        token = world.token("cut")
        response = await conversation.ask("GET", f"/hostile/cut/{token}/{dice.choice((10, 50_000))}")
        # Where the head had not gone out, it may be a 502.
        expect(not response.complete or response.status == 502, "a cut body looks complete", response)


async def unsteady_member(world, dice):
    """The member closes its connections when it likes: what may be sent again is. (A body may not: so it is a member of
    its own.)"""
    async with Conversation(world) as conversation:
        for _ in range(20):
            action = dice.choice(("drop", "whole", "until-close", "interim", "drops", "chunked"))
            await ask_one(conversation, world, dice,
                          lambda *both, action=action: routed_body(*both, action, "/unsteady"))


async def crowd(world, dice):
    """A member whose listen backlog is full: connecting waits."""
    async with Conversation(world) as conversation:
        for _ in range(5):
            await ask_one(conversation, world, dice, lambda *both: routed_body(*both, prefix="/crowded"))


async def large(world, dice):
    """Large bodies, read as fast as they come, or with pauses and a small buffer."""
    is_slow = dice.random() < 0.6
    async with Conversation(world, tls=dice.random() < 0.4) as conversation:
        if is_slow:
            conversation.connection = await world.open(conversation.tls, receive_buffer=16384)

        async def pause():
            if dice.random() < 0.05:
                await asyncio.sleep(dice.random() * 0.05)
        for _ in range(dice.randint(1, 3)):
            if dice.random() < 0.3:
                expect_whole(await conversation.ask("GET", "/large.bin", pause=pause if is_slow else None),
                             content("large", FILES["large"]))
                continue
            token = world.token("large")
            size = dice.randint(100_000, 3_000_000)
            target = f"/hostile/{dice.choice(('whole', 'chunked', 'until-close'))}/{token}/{size}"
            expect_whole(await conversation.ask("GET", target, pause=pause if is_slow else None), content(token, size))


async def numbered_bytes(world, dice):
    """udsbackend's bytes, which say where they stand."""
    async with Conversation(world, tls=dice.random() < 0.3) as conversation:
        for _ in range(5):
            size = dice.randint(0, 400_000)
            lines = b"".join(b"%015x\n" % position for position in range(0, size, 16))
            expect_whole(await conversation.ask("GET", f"/app/bytes/{size}"), lines[:size])


async def events(world, dice):
    """Server-sent events: each arrives before the next is sent."""
    count, interval = dice.randint(3, 8), dice.randint(50, 500)
    async with Conversation(world, tls=dice.random() < 0.3) as conversation:
        if dice.random() < 0.5:
            await ask_one(conversation, world, dice, routed_echo)
        response = await conversation.ask("GET", f"/app/sse?count={count}&interval={interval}")
        numbers = [line for line in response.text.splitlines() if line.startswith("id: ")]
        expect(response.complete and numbers == [f"id: {number}" for number in range(1, count + 1)], "events", response)
        await ask_one(conversation, world, dice, routed_echo)


async def http10(world, dice):
    async with Conversation(world) as conversation:
        for _ in range(4):
            token = world.token("http10")
            fields = [("Connection", "keep-alive")] if dice.random() < 0.5 else []
            action = dice.choice(("whole", "chunked", "late"))
            size = dice.randint(0, 300)
            response = await conversation.ask("GET", f"/hostile/{action}/{token}/{size}", fields, version="1.0")
            expect(response.framing != "chunked", "chunked for HTTP/1.0", response)
            expect_whole(response, content(token, 100 if action == "late" else size))


async def few_requests(world, dice):
    """A virtual host with MaxKeepAliveRequests 5: the first request, and five more on the kept connection."""
    async with Conversation(world, host="few.test") as conversation:
        for number in range(1, 13):
            method, target, fields, body, judge = dice.choice((routed_echo, routed_body, static))(world, dice)
            before = conversation.connection
            response = await conversation.ask(method, target, fields, body)
            judge(response)
            if conversation.connection is before and before.answers > 6:
                raise Wrong(f"answer {before.answers} on a connection that ends after 6 (request {number})")


async def pipelined(world, dice):
    """Ten requests in one packet, routed ones and others mixed; the answers come in their order."""
    asked = [dice.choice(QUICK)(world, dice) for _ in range(10)]
    tls = dice.random() < 0.3
    while asked:
        connection = await world.open(tls)
        try:
            await connection.send(b"".join(request_bytes(*request[:4]) for request in asked))
            while asked and connection.is_reusable:
                try:
                    response = await connection.read_response(asked[0][0])
                except Closed as problem:
                    connection.judge_close("instead of a pipelined answer", problem, world)
                    break
                asked.pop(0)[4](response)
                world.count("answers")
        finally:
            connection.close()


async def idle(world, dice):
    """A connection that is kept until KeepAliveTimeout closes it."""
    async with Conversation(world, tls=dice.random() < 0.3) as conversation:
        for _ in range(dice.randint(1, 4)):
            await ask_one(conversation, world, dice, routed_echo)
        connection = await conversation.connect()
        if connection.answers:
            await connection.ends_quietly(30)
            world.count("closed when idle")


async def http2(world, dice):
    """curl: streams of one HTTP/2 connection side by side."""
    count = dice.randint(3, 12)
    tokens = [(world.token("h2"), dice.randint(0, 60_000)) for _ in range(count)]
    with tempfile.TemporaryDirectory(prefix="udr-h2-") as directory:
        command = [udr_environment.program("curl"), "--silent", "--show-error", "--insecure", "--http2",
                   "--noproxy", "*", "--parallel", "--parallel-max", str(count), "--max-time", "50", "--write-out",
                   "%{http_version} %{response_code} %{size_download}\\n"]
        for number, (token, size) in enumerate(tokens):
            action = dice.choice(("whole", "chunked", "late" if size < 500 else "drops"))
            command += ["--output", f"{directory}/{number}",
                        f"https://localhost:{world.tls_port}/hostile/{action}/{token}/{size}"]
            tokens[number] = (token, 100 if action == "late" else size)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE,
                                                       stderr=asyncio.subprocess.PIPE,
                                                       env=udr_environment.clean_environment())
        try:
            said, complaint = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
        if process.returncode != 0 and world.restarted_within(15):
            world.count("HTTP/2 lost by a restart")
            return
        expect(process.returncode == 0, f"curl ended with {process.returncode}: {complaint.decode()[:300]}")
        expect(said.decode().count("2 200 ") == count, f"not all 200 by HTTP/2: {said.decode()}")
        for number, (token, size) in enumerate(tokens):
            body = pathlib.Path(directory, str(number)).read_bytes()
            expect(body == content(token, size), f"stream of {token}: another body")
        world.count("answers", count)
