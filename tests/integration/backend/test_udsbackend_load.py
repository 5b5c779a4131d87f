# SPDX-License-Identifier: Apache-2.0
"""Many at once."""
import asyncio
import re
import subprocess

import pytest
import websockets

from udsb_program import PATIENCE, wait_for


def threads(backend):
    with open(f"/proc/{backend.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("Threads"))


async def exchange(name, head):
    reader, writer = await asyncio.open_unix_connection(name)
    writer.write(head)
    data = await reader.read()
    writer.close()
    return data


def test_2000_waiting_requests_hold_no_threads(start):
    backend = start("--threads", "2")
    count = 2000

    async def talk():
        head = b"GET /delay/%d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        return await asyncio.gather(*[exchange(backend.socket, head % (2000 if number % 2 else 500))
                                      for number in range(count)])
    before = threads(backend)
    answers = asyncio.run(asyncio.wait_for(talk(), PATIENCE))
    assert sum(b"waited 500 ms" in answer for answer in answers) == count / 2
    assert sum(b"waited 2000 ms" in answer for answer in answers) == count / 2
    assert threads(backend) == before
    wait_for(lambda: backend.metrics()["connections"] == 1, "all connections to be closed")
    assert backend.metrics()["waiting"] == 0


def test_1000_websockets_at_once(start):
    backend = start("--threads", "2")
    count = 1000

    async def talk():
        connections = []
        for _ in range(0, count, 100):  # not more handshakes at a time than the backlog and this loop like
            connections += await asyncio.gather(*[
                websockets.unix_connect(backend.socket, "ws://localhost/ws", open_timeout=PATIENCE, ping_interval=None,
                                        close_timeout=PATIENCE) for _ in range(100)])
        await asyncio.gather(*[connection.send(f"message {number}") for number, connection in enumerate(connections)])
        answers = await asyncio.gather(*[connection.recv() for connection in connections])
        assert answers == [f"message {number}" for number in range(count)]
        metrics = await asyncio.get_running_loop().run_in_executor(None, backend.metrics)
        assert metrics["websockets"] == count
        await asyncio.gather(*[connection.close() for connection in connections])
    before = threads(backend)
    asyncio.run(asyncio.wait_for(talk(), PATIENCE))
    assert threads(backend) == before
    wait_for(lambda: backend.metrics()["connections"] == 1, "all connections to be closed")


@pytest.mark.parametrize("clients, target, count", [(1, "/ux", 5000), (256, "/ux", 20000), (600, "/ux", 20000),
                                                    (16, "/bytes/1048576", 500)])
def test_h2load(start, clients, target, count):
    """No request fails, none is forgotten; 256 clients of 2 threads are what libmicrohttpd's own loop stumbles over."""
    backend = start("--threads", "2")
    output = subprocess.run(["h2load", "--h1", f"--clients={clients}", f"--requests={count}",
                             f"--base-uri=unix:{backend.socket}", f"http://localhost{target}"], check=True,
                            capture_output=True, text=True, timeout=120).stdout
    assert f"{count} succeeded, 0 failed, 0 errored" in output, output
    assert re.search(rf"status codes: {count} 2xx", output)


def test_more_clients_than_descriptors(start):
    """Whoever finds no place waits for one; nobody is turned away."""
    backend = start("--threads", "2", wrapper=["prlimit", "--nofile=128:128"])
    count = 400

    async def talk():
        heads = [b"GET /delay/20 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"] * count
        return await asyncio.gather(*[exchange(backend.socket, head) for head in heads])
    answers = asyncio.run(asyncio.wait_for(talk(), PATIENCE))
    assert all(b"waited 20 ms" in answer for answer in answers)
    assert "have to wait: the limit of open connections is reached" in backend.log()
