# SPDX-License-Identifier: Apache-2.0
"""A child ends with everything in flight: connections parked, on their way to the loop and to a worker, with a worker,
idle and lingering; requests that wait for their turn."""
import contextlib
import random
import threading

import pytest

from udr_client import Client
from udr_processes import wait_until
from udr_schedule import (
    CLIENTS,
    LONG_HEAD,
    ROUNDS,
    STATIC,
    Stage,
    answer,
    assert_answered,
    assert_not_held,
    assert_right,
    closed_without_answer,
    in_rounds,
    leave,
    pause,
    target,
    transfers,
)
from udr_wire import persistent

POINTS = ("parked", "suspend-posted", "callback-registered", "guest-posted", "posted", "wake", "woken")
EVERYWHERE = ",".join(f"{point}=random:1ms" for point in (*transfers(), *POINTS))

# Each takes seconds. What chance leaves untaken costs some more, up to three times as many.
ENDS = max(5, ROUNDS // 100)


def some_path():
    if random.random() < 0.3:
        return STATIC
    return target(after_us=random.choice((0, 1000, 20_000, 60_000)), size=random.choice((0, 100, 200_000)))


def converse(stage):
    """A client's connection with some requests, until one side has enough of it."""
    with Client(stage.port) as client:
        for _ in range(random.randrange(1, 6)):
            path = some_path()
            if random.random() < 0.1:
                client.send_request("GET", path)
                pause(20_000)
                leave(client)
                return
            response = closed_without_answer(client, path, LONG_HEAD if random.random() < 0.2 else ())
            if response is None:
                # Whatever a member has got it has answered, and the client has a right to that.
                assert not stage.has_come(path), f"{path}: closed although a member has it"
                return
            assert_right(response, path)
            if not persistent(response):
                return
            pause(5000)


def never_taken(counts):
    """Which edges of the table."""
    return [edge for edge in transfers() if not counts.get(edge)]


@pytest.mark.parametrize("way", ["restart", "connections"])
def test_children_end_with_everything_in_flight(sandbox, way):
    """By graceful restarts, or because each serves so many connections only; and a graceful stop in the end. Nothing is
    lost, and every edge of the table of owners is taken."""
    limit = "MaxConnectionsPerChild 60\n" if way == "connections" else ""
    stage = Stage(sandbox, EVERYWHERE, "max=5", config=limit)
    stage.httpd.log.allow("AH00484")
    children = {stage.child}
    has_ended = threading.Event()

    def act(_):
        try:
            converse(stage)
        except ConnectionError:
            if not has_ended.is_set():
                raise

    def end(_):
        for turn in range(3 * ENDS):
            if turn >= ENDS and not never_taken(stage.counts()):
                break
            pause(300_000)
            before = stage.httpd.children()
            if way == "restart":
                stage.httpd.graceful()
            wait_until(lambda: not set(before) & set(stage.httpd.children()), "the children to end", 30, 0.02)
            children.update(wait_until(stage.httpd.children, "another child"))
        has_ended.set()
        stage.httpd.stop_gracefully()

    in_rounds(end, *[act] * CLIENTS, rounds=1, clients=1)
    assert len(children) > ENDS
    counts, holds = stage.end()
    assert not never_taken(counts), f"never taken: {never_taken(counts)}"
    assert_not_held(holds)


def test_a_child_that_ends_while_workers_hand_over(sandbox):
    """Its listener writes over what they have in the scoreboard: that none of them is through can't be told by that. (The
    witness would say.)"""
    stage = Stage(sandbox, "through=0us", witness_us=60_000, threads=8)

    def hand_over(_):
        path = target(after_us=1000)
        with Client(stage.port) as client:
            response = closed_without_answer(client, path, [("Connection", "close")])
            assert response is None or client.closed_by_server()

    def end(_):
        wait_until(lambda: stage.backend.requests, "requests to be under way")
        stage.httpd.graceful()
        stage.backend.forget()

    for _ in range(3 * ENDS):
        in_rounds(end, *[hand_over] * CLIENTS, rounds=1, clients=1)
    _, holds = stage.end()
    assert_not_held(holds)


def test_a_hard_stop_with_everything_on_the_loop(sandbox):
    """No worker is busy, and httpd ends at once: nothing of what waits on the loop is in the way, nothing crashes."""

    def behave(exchange):
        if exchange.request.target == "/app/never":
            assert exchange.peer_closed(60)
            exchange.close()
        else:
            answer(exchange)

    stage = Stage(sandbox, EVERYWHERE, "max=10", behaviour=behave)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(stage.port)) for _ in range(5 * CLIENTS)]
        for number, client in enumerate(clients):
            path = target("/well", after_us=1000)
            assert_answered(client.fetch(path), path)  # it lives on the loop from now on
            if number % 4 == 1:
                client.send_request("POST", "/app/never", [("Content-Length", "5")])
                client.send(b"half")
            elif number % 4 == 2:
                client.send_request("GET", "/app/never")
        busy = lambda: sum(connection.busy for connection in stage.backend.connections)
        wait_until(lambda: busy() == 10, "ten to have their turn, and the others to wait for theirs")
        stage.end()
        for client in clients:
            assert not client.everything()


def is_deaf(stage):
    """Whether no worker is left to serve a file."""
    with Client(stage.port, timeout=0.5) as client:
        try:
            client.fetch(STATIC)
        except TimeoutError:
            return True
    return False


def test_a_hard_stop_while_workers_read_slow_heads(sandbox):
    """They sit in callbacks, where httpd's own way to free a worker does not reach."""
    stage = Stage(sandbox, threads=4)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(stage.port)) for _ in range(4)]
        for client in clients:
            path = target(after_us=1000)
            assert_answered(client.fetch(path), path)
            client.send(b"GET /app/ HTTP/1.1\r\nHost: half a he")
        wait_until(lambda: is_deaf(stage), "workers to read the heads")
        stage.end()
        for client in clients:
            assert not client.everything()
