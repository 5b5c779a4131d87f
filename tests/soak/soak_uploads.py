# SPDX-License-Identifier: Apache-2.0
"""Kinds of clients whose requests are the difficult part: bodies in every form, heads in pieces."""
import asyncio
import hashlib
import json

from soak_backend import content
from soak_client import Closed, Conversation, chunk, request_bytes
from soak_requests import ask_one, expect, expect_whole, routed_echo

def expect_upload(response, data):
    expect(response.status == 200, "upload", response)
    said = json.loads(response.body)
    expect(said == {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}, "another body arrived", response)


async def uploads(world, dice):
    """Bodies with a length and in chunks, to a member that counts them and to one that sends them back."""
    async with Conversation(world, tls=dice.random() < 0.3) as conversation:
        for _ in range(dice.randint(2, 6)):
            data = content(world.token("upload"), dice.choice((1, 1000, 70_000, 600_000)))
            body = data if dice.random() < 0.5 else [data[i:i + 9999] for i in range(0, len(data), 9999)]
            expect_upload(await conversation.ask("POST", "/app/upload", [], body), data)
            if len(data) <= 70_000:
                expect_whole(await conversation.ask("PUT", "/hostile/mirror/x/0", [], body), data)


async def slow_uploads(world, dice):
    """A body that comes in pieces, with pauses, after Expect: 100-continue or without."""
    async with Conversation(world, tls=dice.random() < 0.3) as conversation:
        if dice.random() < 0.7:
            await ask_one(conversation, world, dice, routed_echo)
        connection = await conversation.connect()
        token = world.token("slow-upload")
        data = content(token, dice.randint(1, 40_000))
        parts = [data[i:i + 4000] for i in range(0, len(data), 4000)]
        is_chunked = dice.random() < 0.5
        fields = [("Transfer-Encoding", "chunked")] if is_chunked else [("Content-Length", str(len(data)))]
        expects = dice.random() < 0.5
        if expects:
            fields.append(("Expect", "100-continue"))
        await connection.send(request_bytes("POST", "/app/upload", fields))
        if expects:
            try:
                invitation = await connection.read_head()
            except Closed as problem:
                connection.judge_close("instead of 100 Continue", problem, world)
                return
            expect(invitation.status == 100, "not 100 Continue", invitation)
        for part in parts:
            await asyncio.sleep(dice.random() * 0.1)
            await connection.send(chunk(part) if is_chunked else part)
        if is_chunked:
            await connection.send(b"0\r\n\r\n")
        try:
            response = await connection.read_response("POST")
        except Closed as problem:
            connection.judge_close("instead of an answer to an upload", problem, world)
            return
        if world.lost_by_a_restart(response):
            return
        expect_upload(response, data)
        world.count("answers")
        if connection.is_reusable:
            await ask_one(conversation, world, dice, routed_echo)


async def refused_uploads(world, dice):
    """A member that answers before it has read the body, or that does not want it at all."""
    async with Conversation(world) as conversation:
        await ask_one(conversation, world, dice, routed_echo)
        token = world.token("early")
        data = content(token, dice.choice((10, 300_000)))
        response = await conversation.ask("POST", f"/hostile/before-body/{token}/200", [], data)
        expect_whole(response, content(token, 200))
        response = await conversation.ask("POST", f"/hostile/reject/{token}/200", [], data)
        if response.status != 502:  # the member's close may overtake its answer
            expect_whole(response, content(token, 200), 413)
        await ask_one(conversation, world, dice, routed_echo)


async def slow_heads(world, dice):
    """A head that comes in pieces, or that is larger than a loop looks at."""
    async with Conversation(world) as conversation:
        for _ in range(dice.randint(1, 3)):
            await ask_one(conversation, world, dice, routed_echo)
        connection = await conversation.connect()
        token = world.token("slow-head")
        fields = [("X-Token", token)]
        if dice.random() < 0.5:
            fields += [(f"X-Long-{number}", "y" * 7000) for number in range(2)]
        data = request_bytes("GET", f"/hostile/whole/{token}/99", fields)
        pauses = dice.choice((0, 0.05, 0.7))
        for position in range(0, len(data), len(data) // 4):
            await connection.send(data[position:position + len(data) // 4])
            await asyncio.sleep(pauses)
        try:
            response = await connection.read_response()
        except Closed as problem:
            connection.judge_close("instead of an answer to a slow head", problem, world)
            return
        if world.lost_by_a_restart(response):
            return
        expect_whole(response, content(token, 99))
        world.count("answers")
