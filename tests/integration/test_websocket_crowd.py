# SPDX-License-Identifier: Apache-2.0
"""A thousand WebSockets at once on four threads of one child: a tunnel holds no thread."""
import asyncio
import resource

import pytest

from udr_environment import sanitized
from udr_loops import busy_threads, fetch_short, loop_httpd
from udr_processes import wait_until
from udr_websocket import PEERS, WAYS, client, run, says_back, start

CROWD = 1000
# Each is a descriptor of the test's and of the server's, and two of httpd's child.
DESCRIPTORS = 2 * CROWD + 500
AT_A_TIME = 50  # who come, so that no listen backlog overflows
# And those who have come are silent until the last one has, who may take minutes.
ROOM = f"AsyncRequestWorkerFactor {CROWD // 3 + 32}\nUDSTimeout 600\n"


@pytest.fixture(name="descriptors", autouse=True)
def _descriptors():
    """What is started inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= DESCRIPTORS, f"ulimit -Hn is {hard}: {DESCRIPTORS} are needed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def come(httpd, tls):
    door = asyncio.Semaphore(AT_A_TIME)

    async def one():
        async with door:
            return await client(httpd, tls)

    return await asyncio.gather(*[one() for _ in range(CROWD)])


async def converse(websocket, number):
    """A message, and one that is longer than a read."""
    assert await says_back(websocket, f"{number} is here")
    assert await says_back(websocket, number.to_bytes(2, "big") * 2000)


@WAYS
@PEERS
def test_a_thousand_at_once(sandbox, tls, peer):
    member = start(sandbox, peer)
    httpd = loop_httpd(sandbox, ROOM + f"UDSRoute /ws unix:{member.socket}|http://localhost/ws\n", tls=tls)

    async def talk():
        crowd = await come(httpd, tls)
        await asyncio.to_thread(wait_until, lambda: busy_threads(httpd) == 0, "the threads to be free")
        assert await asyncio.to_thread(fetch_short, httpd, tls)
        for _ in range(2):
            await asyncio.gather(*[converse(websocket, number) for number, websocket in enumerate(crowd)])
        await asyncio.to_thread(wait_until, lambda: busy_threads(httpd) == 0, "the threads to be free")
        await asyncio.gather(*[websocket.close(4000 + number % 1000) for number, websocket in enumerate(crowd)])
        assert [websocket.close_code for websocket in crowd] == [4000 + number % 1000 for number in range(CROWD)]

    run(talk(), 240 if sanitized() else 120)
