# SPDX-License-Identifier: Apache-2.0
"""A connection on its way from a worker to the loop, with delays on the worker's side, on the loop's, on both."""
import random
import socket

import pytest

from udr_client import Client
from udr_schedule import ROUNDS, Stage, answer, assert_answered, in_rounds, leave, pause, target

WORKER = "parked=random:600us,leaving>coming=random:600us,suspend-posted=random:2ms"
LOOP = "posted=random:300us,take-posted=random:600us,coming>loop=random:600us,round=random:300us"

sides = pytest.mark.parametrize("schedule", [WORKER, LOOP, f"{WORKER},{LOOP}"], ids=["worker", "loop", "both"])

HAND_OVER = ("worker>leaving", "leaving>coming", "coming>loop", "loop>gone")


def in_time(most_us=1500):
    """A target whose answer comes while the connection is on its way, or a little later."""
    return target(after_us=random.choice((0, 0, random.randrange(most_us))), size=random.choice((0, 100, 9000)))


@sides
def test_the_backend_answers_while_the_handler_returns(sandbox, schedule):
    stage = Stage(sandbox, schedule)

    def act(_):
        with Client(stage.port) as client:
            for path in (in_time(), in_time()):
                assert_answered(client.fetch(path), path)
                pause(500)

    in_rounds(act)
    stage.finish(*HAND_OVER)


@sides
def test_the_client_closes_while_its_connection_is_queued(sandbox, schedule):
    stage = Stage(sandbox, schedule)

    def act(number):
        client = Client(stage.port)
        if number % 3:
            client.send_request("GET", in_time())
        else:
            client.send_request("POST", in_time(), [("Content-Length", "10")])
            client.send(b"half!")
        pause(2000)
        leave(client)

    def stay(_):
        """Others are served meanwhile, and right."""
        path = in_time()
        with Client(stage.port) as client:
            assert_answered(client.fetch(path), path)

    # An upload that has broken off already when it is looked at does not park.
    in_rounds(act, stay, rounds=3 * ROUNDS // 2)
    stage.finish(*HAND_OVER)


@sides
def test_it_is_closed_while_the_worker_still_writes_to_it(sandbox, schedule):
    """The MPM's own code behind our hook is slow: longer than the rest of the connection's life."""
    stage = Stage(sandbox, f"{schedule},through=0us", witness_us=4000)

    def act(number):
        path = in_time(300)
        client = Client(stage.port)
        client.send_request("GET", path, [("Connection", "close")])
        if number % 3:
            assert_answered(client.read_response(), path)
            assert client.closed_by_server()
        else:
            pause(1000)
        leave(client)

    in_rounds(act)
    counts = stage.finish(*HAND_OVER)
    assert counts["through"] > 0, "no connection was to be closed before its worker was through"


@sides
def test_a_worker_has_served_the_first_request(sandbox, schedule):
    """What it hands over waits for the next one. Some clients ask again at once, others leave; and the MPM's own code
    behind our hook is slow."""
    stage = Stage(sandbox, f"{schedule},through=0us", config="UDSPark 10s\n", threads=64, witness_us=4000)

    def act(number):
        client = Client(stage.port)
        for _ in range(1 + number % 3):
            path = in_time(300)
            assert_answered(client.fetch(path), path)
        leave(client)

    in_rounds(act)
    # Those that did not ask again the MPM has kept for a part.
    counts = stage.finish(*HAND_OVER, least=ROUNDS // 2)
    assert counts["through"] > 0, "no connection was to be closed before its worker was through"


@sides
def test_a_tunnel_is_on_its_way(sandbox, schedule):
    """Both sides send, or close, from the first moment on: what one has sent the other gets, whole and in order."""

    def echo(exchange):
        if not exchange.request.has("Upgrade"):
            answer(exchange)
            return
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        for piece in exchange.connection.stream.rest():
            exchange.send(piece)
        exchange.close()

    stage = Stage(sandbox, schedule, "upgrade=echo", behaviour=echo)

    def act(number):
        with Client(stage.port) as client:
            path = target()
            if number % 2:
                assert_answered(client.fetch(path), path)  # adopted, perhaps
            client.send_request("GET", path, [("Connection", "Upgrade"), ("Upgrade", "echo")])
            assert client.read_response().status == 101
            sent = [f"{path} {part};".encode() * random.choice((1, 1, 500)) for part in range(4)]
            for piece in sent:
                client.send(piece)
                pause(700)
            if number % 5 == 0:
                leave(client)
                return
            client.sock.shutdown(socket.SHUT_WR)
            assert client.everything() == b"".join(sent)

    in_rounds(act)
    stage.finish(*HAND_OVER)
