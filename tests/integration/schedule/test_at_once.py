# SPDX-License-Identifier: Apache-2.0
"""Things that come about at the same time: a timeout and what was waited for; a turn, and its waiter's leave."""
import random
import time

import pytest

from udr_client import Client
from udr_schedule import (
    ROUNDS,
    Stage,
    answer,
    assert_answered,
    closed_without_answer,
    in_rounds,
    leave,
    pause,
    target,
)

# What has come about is not looked at before timers are due, too.
LOOP = "round=random:4ms,take-posted=random:1ms"
WORKERS = "parked=random:1ms,leaving>coming=random:1ms,suspend-posted=random:1ms"
TURNS = "granted=random:300us,wake=random:1ms,woken=random:300us,pool-leave=random:1ms"

TIMEOUT_US = 20_000

HAND_OVER = ("worker>leaving", "leaving>coming", "coming>loop", "loop>gone")


def around_the_timeout():
    """Microseconds; half of them before it."""
    return random.randrange(TIMEOUT_US // 2, 3 * TIMEOUT_US // 2)


@pytest.mark.parametrize("schedule", [LOOP, f"{LOOP},{WORKERS}"], ids=["loop", "both"])
def test_the_answer_and_the_timeout(sandbox, schedule):
    """Either the whole answer or 504; on a connection's first request and on an adopted one."""
    stage = Stage(sandbox, schedule, f"timeout={TIMEOUT_US // 1000}ms")
    stage.httpd.log.allow("UDR0009")
    outcomes = []

    def act(_):
        with Client(stage.port) as client:
            for _ in range(2):
                path = target(after_us=around_the_timeout())
                response = client.fetch(path)
                outcomes.append(response.status)
                if response.status != 504:
                    assert_answered(response, path)
            path = target("/well")
            assert_answered(client.fetch(path), path)

    in_rounds(act)
    assert set(outcomes) == {200, 504}
    stage.finish(*HAND_OVER)


def test_the_next_request_and_the_end_of_keep_alive(sandbox):
    """Either an answer, or a close without a byte of one."""
    stage = Stage(sandbox, LOOP, config=f"KeepAliveTimeout {TIMEOUT_US // 1000}ms\n")
    outcomes = []

    def act(_):
        with Client(stage.port) as client:
            path = target(after_us=1000)
            assert_answered(client.fetch(path), path)
            time.sleep(around_the_timeout() / 1e6)
            path = target()
            response = closed_without_answer(client, path)
            outcomes.append(response is not None)
            if response:
                assert_answered(response, path)

    in_rounds(act)
    assert set(outcomes) == {True, False}
    stage.finish(*HAND_OVER)


@pytest.mark.parametrize("patience_ms", [TIMEOUT_US // 1000, 60_000], ids=["short", "long"])
@pytest.mark.parametrize("schedule", [TURNS, f"{TURNS},{LOOP},{WORKERS}"], ids=["turns", "all"])
def test_a_turn_is_granted_while_its_waiter_leaves(sandbox, schedule, patience_ms):
    """By the client's close, or because it has waited for long enough; no turn is lost, and nobody waits for one that
    is free: with a long patience, nobody is refused."""
    stage = Stage(sandbox, schedule, f"max=1 acquire={patience_ms}")
    stage.httpd.log.allow("UDR0002")
    outcomes = []

    def act(number):
        with Client(stage.port) as client:
            for _ in range(2):
                path = target(after_us=random.choice((0, 1000, 5000)))
                client.send_request("GET", path)
                if number % 3 == 0:
                    pause(20_000)
                    leave(client)
                    return
                response = client.read_response()
                outcomes.append(response.status)
                if response.status == 503:
                    return  # httpd closes behind it
                assert_answered(response, path)

    in_rounds(act)
    assert set(outcomes) == ({200, 503} if patience_ms < 1000 else {200})
    stage.finish(*HAND_OVER, least=ROUNDS // 2)


@pytest.mark.parametrize("loops", [1, 2])
def test_an_idle_connection_is_taken_from_another_loop_while_the_member_closes_it(sandbox, loops):
    """Idle connections are common to all threads: which of them takes one, and when its end is noticed, is chance."""

    def behave(exchange):
        answer(exchange)
        if random.random() < 0.4:
            pause(1500)
            exchange.close()

    stage = Stage(sandbox, f"abandon=random:1ms,{LOOP},{WORKERS}", loops=loops, behaviour=behave)

    def act(_):
        with Client(stage.port) as client:
            for _ in range(4):
                path = target(after_us=random.choice((0, 0, 1000)))
                assert_answered(client.fetch(path), path)
                pause(3000)

    in_rounds(act)
    counts = stage.finish(*HAND_OVER, least=ROUNDS // 2)
    assert counts["abandon"] > ROUNDS // 20
