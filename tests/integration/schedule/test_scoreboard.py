# SPDX-License-Identifier: Apache-2.0
"""A worker that is a guest shows itself on the scoreboard, where also stands whether a worker is through with what it has
handed over: neither may be taken for the other."""
from udr_client import Client
from udr_schedule import ROUNDS, STATIC, Stage, assert_answered, assert_right, in_rounds, leave, pause, target

WORKER = "leaving>coming=random:600us,suspend-posted=random:2ms,guest-posted=random:600us,callback-registered=random:300us"


def test_guests_at_work_while_connections_are_closed_whose_worker_still_writes(sandbox):
    """All workers hand over and are guests in turn. What httpd has still to write to is not freed (the witness would
    tell), and in the end no worker is left shown as busy."""
    stage = Stage(sandbox, f"{WORKER},through=0us", witness_us=4000, threads=6)

    def hand_over_and_close(number):
        path = target(after_us=200)
        client = Client(stage.port)
        client.send_request("GET", path, [("Connection", "close")])
        if number % 3:
            assert_answered(client.read_response(), path)
            assert client.closed_by_server()
        else:
            pause(1000)
        leave(client)

    def have_guests(_):
        with Client(stage.port) as client:
            path = target(after_us=200)
            assert_answered(client.fetch(path), path)
            for _ in range(5):
                assert_right(client.fetch(STATIC), STATIC)

    in_rounds(hand_over_and_close, have_guests, have_guests, have_guests)
    counts = stage.finish("leaving>coming", "coming>loop", "loop>gone")
    assert counts["guest>coming"] >= ROUNDS // 5, f"not enough guests: {counts}"
    assert counts["through"] > 0, "no connection was to be closed before its worker was through"
