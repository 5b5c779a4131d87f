# SPDX-License-Identifier: Apache-2.0
"""Clients that go in the middle of a script: it learns of it, and nothing of its answer reaches anybody else."""
import random
import threading

import pytest

import udr_environment
from udr_client import Client, fetch
from udr_environment import campaign
from udr_php import start_site
from udr_processes import wait_until

ABORTS = campaign(1000, 10000)
CLIENTS = 4
LINES = 4000  # of an answer: more than 30,000 bytes


@pytest.fixture(scope="module", params=udr_environment.RUNNERS)
def httpd(module_sandbox, request):
    return start_site(module_sandbox, request.param, children=24, threads=16, udsroute_log_level="info")


def whole(name, lines):
    return "".join(f"{name}:{n}\n" for n in range(lines))


def go_within(port, name, random_bytes):
    """Asks, takes some bytes, and goes; what was taken must be of this answer's."""
    with Client(port) as client:
        client.send_request("GET", f"/numbered.php?name={name}&lines={LINES}")
        while len(client.stream.buffer) < random_bytes and client.stream.fill(4096):
            pass
        text = bytes(client.stream.buffer)
    head, _, _ = text.partition(b"\r\n\r\n")
    if b"X-Name" in head:
        assert f"X-Name: {name}".encode() in head


def abort_and_look(port, first, count, problems):
    """In turn somebody who goes, and somebody who stays and looks at each byte."""
    dice = random.Random(first)
    for number in range(first, first + count):
        try:
            go_within(port, f"gone{number}", dice.choice([0, 1, 200, dice.randrange(5000), dice.randrange(30000)]))
            lines = dice.choice([1, 30, 800])
            response = fetch(port, f"/numbered.php?name=stays{number}&lines={lines}")
            assert (response.status, response.get("X-Name")) == (200, f"stays{number}")
            assert response.complete and response.text == whole(f"stays{number}", lines)
        except Exception as problem:  # pylint: disable=broad-except
            problems.append((number, repr(problem)))
            return


@pytest.mark.campaign
def test_aborts_at_random(httpd):
    problems = []
    share = ABORTS // CLIENTS
    threads = [
        threading.Thread(target=abort_and_look, args=(httpd.port, number * share, share, problems))
        for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    print(f"{ABORTS} clients have gone in the middle, as many have stayed")
    assert not problems
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("taken", [0, 1, 10000], ids=["before the answer", "at its begin", "within it"])
def test_script_notices(httpd, taken):
    """With the next that it says, some 10 ms later; it would speak for half a minute."""
    mark = httpd.fpm.root / "tmp" / f"abort-{taken}"
    with Client(httpd.port) as client:
        client.send_request("GET", f"/abort.php?mark={mark}")
        while len(client.stream.buffer) < taken:
            assert client.stream.fill(4096)
    wait_until(lambda: mark.exists() and mark.read_text(), "the script to notice", 15)
    assert mark.read_text() == "noticed"


def test_script_that_waits_is_left(httpd):
    """It says nothing and can't notice; the client's place is free at once."""
    mark, go_on = (httpd.fpm.root / "tmp" / name for name in ("waits", "go-on"))
    with Client(httpd.port) as client:
        client.send_request("GET", f"/answer.php?how=wait&mark={mark}&for={go_on}")
        wait_until(lambda: mark.exists() and mark.read_text(), "the script to begin")
    assert fetch(httpd.port, "/answer.php?how=text").text == "hello"
    go_on.write_text("")
    assert fetch(httpd.port, "/answer.php?how=text").text == "hello"
