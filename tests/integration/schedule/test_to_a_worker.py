# SPDX-License-Identifier: Apache-2.0
"""A connection on its way from the loop to a worker and back, with delays on the loop's side, on the worker's, on
both."""
import gzip
import random

import pytest

from udr_client import Client
from udr_schedule import (
    LONG_HEAD,
    ROUNDS,
    STATIC,
    Stage,
    answer,
    assert_answered,
    assert_right,
    body_for,
    in_rounds,
    leave,
    pause,
    target,
)

LOOP = "callback-registered=random:600us,coming>loop=random:600us,take-posted=random:300us,round=random:300us"
WORKER = "loop>going=random:300us,going>guest=random:1ms,guest>coming=random:600us,guest-posted=random:1ms"

sides = pytest.mark.parametrize("schedule", [LOOP, WORKER, f"{LOOP},{WORKER}"], ids=["loop", "worker", "both"])

THERE_AND_BACK = ("loop>going", "going>guest", "guest>coming", "coming>loop")

# In place of a size: the backend's answer is no HTTP.
FAULTY = "faulty"

def adopted(stage):
    """A connection that lives on the loop: UDSPark is 0, and the backend takes a moment."""
    client = Client(stage.port)
    path = target("/well", after_us=3000)
    assert_answered(client.fetch(path), path)
    return client


@sides
def test_the_next_request_comes_while_the_connection_goes_to_a_worker(sandbox, schedule):
    """Pipelined, in one piece with the one before or a moment later."""
    stage = Stage(sandbox, schedule)

    def act(_):
        paths = [STATIC, target(after_us=random.choice((0, 500)), size=20), STATIC, STATIC, target(size=5000)]
        with adopted(stage) as client:
            for path in paths:
                client.send_request("GET", path)
                pause(1000)
            for path in paths:
                assert_right(client.read_response(), path)

    in_rounds(act)
    stage.finish(*THERE_AND_BACK)


@sides
def test_the_client_closes_while_a_step_is_queued_to_a_worker(sandbox, schedule):
    stage = Stage(sandbox, schedule)

    def act(_):
        client = adopted(stage)
        client.send_request("GET", STATIC)
        pause(2500)
        leave(client)

    def stay(_):
        with adopted(stage) as client:
            for path in (STATIC, target(), STATIC):
                assert_right(client.fetch(path), path)

    in_rounds(act, stay)
    stage.finish(*THERE_AND_BACK, "loop>gone")


@sides
def test_a_worker_that_was_called_parks_the_request_it_has_read(sandbox, schedule):
    """The backend answers, or the client goes, while the handler is still returning, within the callback."""
    stage = Stage(sandbox, f"{schedule},parked=random:600us,guest>leaving=random:300us,leaving>coming=random:600us")

    def act(number):
        with adopted(stage) as client:
            for _ in range(2):
                path = target(after_us=random.choice((0, 300, random.randrange(2000))), size=random.choice((0, 9000)))
                client.send_request("GET", path, LONG_HEAD)
                if number % 4 == 0:
                    pause(2000)
                    leave(client)
                    break
                assert_right(client.read_response(), path)

    in_rounds(act)
    stage.finish("loop>going", "going>guest", "guest>leaving", "leaving>coming", "coming>loop")


@sides
def test_an_exchange_ends_in_a_worker(sandbox, schedule):
    """The backend's answer is no HTTP: the error page is a worker's work, and the connection goes on."""

    def behave(exchange):
        if exchange.request.target.split("/")[3] == FAULTY:
            exchange.send(b"no answer at all\r\n\r\n")
            exchange.close()
        else:
            answer(exchange)

    stage = Stage(sandbox, schedule, behaviour=behave)
    stage.httpd.log.allow("UDR0008")

    def act(_):
        with adopted(stage) as client:
            for _ in range(4):
                path = target(after_us=random.choice((0, 500)), size=random.choice((0, 10, FAULTY)))
                response = client.fetch(path)
                if path.split("/")[3] == FAULTY:
                    assert response.status == 502
                else:
                    assert_answered(response, path)

    in_rounds(act, rounds=2 * ROUNDS)
    stage.finish("loop>going", "going>guest", "guest>coming", "coming>loop", least=ROUNDS // 2)


@sides
def test_an_exchange_goes_on_in_a_worker(sandbox, schedule):
    """Its answer passes a filter that may burn: between loop and worker the exchange and its connection to the member
    change hands. Members close theirs at any time, too."""

    def behave(exchange):
        path = exchange.request.target
        body = body_for(path)
        middle = len(body) // 2
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body))
        exchange.send(body[:middle])
        pause(2000)
        exchange.send(body[middle:])
        if random.random() < 0.3:
            exchange.close()

    stage = Stage(
        sandbox,
        schedule,
        behaviour=behave,
        modules=["deflate"],
        config="<Location /app/>\nSetOutputFilter DEFLATE\n</Location>\n",
    )

    def act(number):
        with Client(stage.port) as client:
            for _ in range(3):
                path = target(size=random.choice((100, 20_000, 200_000)))
                client.send_request("GET", path, [("Accept-Encoding", "gzip")])
                if number % 5 == 0:
                    pause(3000)
                    leave(client)
                    return
                response = client.read_response()
                assert (response.status, response.complete) == (200, True), path
                body = gzip.decompress(response.body) if response.get("Content-Encoding") else response.body
                assert body == body_for(path)

    in_rounds(act)
    stage.finish("loop>going", "going>guest", "guest>coming", "coming>loop", least=ROUNDS // 2)
