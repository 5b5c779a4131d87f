# SPDX-License-Identifier: Apache-2.0
"""WebSockets among several members: sessions, limits, members that restart, fail, are drained. A tunnel is a request in
flight for as long as it lasts; what ends it says nothing of its member."""
import asyncio
import contextlib
import os
import select
import signal
import threading

import pytest

from udr_balancers import STATUS, balancer, figures, status
from udr_health import DOWN, wait_for_state
from udr_processes import wait_until
from udr_status import Forms, status_section
from udr_tunnel import PATIENCE, SWITCH, Switchboard, ask, connect, switched, tunnel_httpd
from udr_websocket import client, run, says_back, start

WEBSOCKET = SWITCH.replace(b"chat", b"websocket")


@pytest.fixture(name="board")
def _board(sandbox):
    """Starts a member that accepts each WebSocket, by its name. At the end the members close theirs before httpd is
    stopped, whose threads may be in the tunnels."""
    boards = []

    def begin(name, answer=WEBSOCKET):
        boards.append(Switchboard(sandbox, name, answer))
        return boards[-1]

    yield begin
    for board in boards:
        board.backend.close_idle()


def among(sandbox, config):
    """An httpd with a thread for each tunnel of a test, where they hold one."""
    return tunnel_httpd(sandbox, config, threads=24)


def dies_once(board):
    """The member closes the connection of the first request, without an answer. The event says that it has."""
    died = threading.Event()
    answer = board.backend.behaviour

    def behave(exchange):
        if died.is_set():
            answer(exchange)
        else:
            died.set()
            exchange.close()

    board.backend.behaviour = behave
    return died


def opened(stack, httpd, fields=()):
    """The client's end of a new tunnel, as long as the stack lasts."""
    one = stack.enter_context(connect(httpd))
    ask(one, protocol="websocket", fields=fields)
    return switched(one)


def heard(nears, count):
    """What comes first, as so many bytes for each that gets some."""
    readable, _, _ = select.select([near.sock for near in nears], [], [], PATIENCE)
    return [near.read(count) for near in nears if near.sock in readable]


def in_flight(httpd):
    return figures(httpd, "busy")


async def come(httpd):
    return await client(httpd)


async def wait_for(condition, what):
    await asyncio.to_thread(wait_until, condition, what)


# --- who gets it ------------------------------------------------------------------------------------------------------


def test_sticky_session(sandbox):
    """By cookie and by parameter; one without a session goes to any."""
    members = {name: f"route={name}" for name in ("a", "b", "c")}
    for name in members:
        start(sandbox, "websockets", name)
    httpd = among(sandbox, STATUS + balancer(sandbox, members, "stickysession=SESSION|session"))

    async def talk():
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(3):
                cookie = {"Cookie": "SESSION=1234.b"}
                await stack.enter_async_context(client(httpd, extra_headers=cookie))
                await stack.enter_async_context(client(httpd, target="/ws?session=1234.c"))
            assert await asyncio.to_thread(in_flight, httpd) == {"a": 0, "b": 3, "c": 3}
            for _ in range(3):
                await stack.enter_async_context(client(httpd))
            assert (await asyncio.to_thread(in_flight, httpd))["a"] > 0

    run(talk())


def test_fewest_in_flight(sandbox, board):
    """bybusyness counts tunnels, as long as they last."""
    boards = {name: board(name) for name in ("a", "b")}
    config = STATUS + balancer(sandbox, dict.fromkeys(boards, ""), "lbmethod=bybusyness")
    httpd = among(sandbox, config)
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            opened(stack, httpd)
        assert in_flight(httpd) == {"a": 3, "b": 3}
        for _ in range(2):
            boards["a"].next_end().close()
        wait_until(lambda: in_flight(httpd)["a"] == 1, "two to have ended")
        for _ in range(2):
            opened(stack, httpd)
        assert in_flight(httpd) == {"a": 3, "b": 3}


# --- limits -----------------------------------------------------------------------------------------------------------


def test_maxconn(sandbox):
    """The second waits for the end of the first, and has its turn then."""
    start(sandbox, "ws", "a")
    httpd = among(sandbox, STATUS + balancer(sandbox, {"a": "maxconn=1 queue=60"}))

    async def talk():
        async with client(httpd) as first:
            assert await says_back(first, "x")
            second = asyncio.create_task(come(httpd))
            await wait_for(lambda: figures(httpd, "queued") == {"a": 1}, "the second to wait")
            assert in_flight(httpd) == {"a": 1} and await says_back(first, "still there")
        websocket = await asyncio.wait_for(second, PATIENCE)
        assert await says_back(websocket, "x")
        await websocket.close()

    run(talk(), 60)
    wait_until(lambda: in_flight(httpd) == {"a": 0}, "nothing to be in flight")


def test_queue_that_takes_too_long(sandbox, board):
    """503 with Retry-After, and no WebSocket."""
    member = board("a")
    httpd = among(sandbox, balancer(sandbox, {"a": "maxconn=1 queue=300ms"}))
    with contextlib.ExitStack() as stack, connect(httpd) as other:
        near = opened(stack, httpd)
        ask(other, protocol="websocket")
        response = other.read_response()
        assert response.status == 503 and response.has("Retry-After")
        httpd.log.allow("UDR00")
        with member.next_end() as far:
            near.send(b"x")
            assert far.read(1) == b"x"


# --- members that restart ---------------------------------------------------------------------------------------------


def test_restart_is_waited_for(sandbox):
    """The only member is gone when the handshake comes; it waits (`hold`) until it is back."""
    member = start(sandbox, "udsbackend", "a")
    httpd = among(sandbox, STATUS + balancer(sandbox, {"a": "hold=60"}))

    async def talk():
        async with client(httpd) as websocket:
            assert await says_back(websocket, "before")
            await asyncio.to_thread(member.end, signal.SIGKILL)
        opening = asyncio.create_task(come(httpd))
        await wait_for(lambda: status(httpd)["a"]["held"], "it to wait")
        assert not opening.done()
        await asyncio.to_thread(member.start)
        websocket = await asyncio.wait_for(opening, PATIENCE)
        assert await says_back(websocket, "after")
        await websocket.close()

    run(talk(), 90)
    httpd.log.allow("UDR0034")


@pytest.mark.parametrize("where", ["another", "the-same"])
def test_member_that_closes_while_it_has_the_handshake(sandbox, board, where):
    """It is sent again: to another member, or to the only one when that is back."""
    died = dies_once(board("a", WEBSOCKET + b"a"))
    members = {"a": "hold=10"}
    if where == "another":
        members["b"] = "status=+H"  # is asked when `a` can't be
        board("b", WEBSOCKET + b"b")
    httpd = among(sandbox, balancer(sandbox, members))
    with contextlib.ExitStack() as stack:
        assert opened(stack, httpd).read(1) == (b"b" if where == "another" else b"a")
    assert died.is_set()
    httpd.log.allow("UDR0034")


def test_handshake_with_a_method_that_is_not_to_be_repeated(sandbox, board):
    """An Upgrade makes no POST safe to be sent twice."""
    backend = sandbox.scripted("a", lambda exchange: exchange.close())
    board("b")
    httpd = among(sandbox, balancer(sandbox, {"a": "hold=10", "b": "status=+H"}))
    with connect(httpd) as one:
        ask(one, protocol="websocket", method="POST", body=b"x")
        assert one.read_response().status == 502
    assert len(backend.requests) == 1
    httpd.log.allow("UDR0034|UDR0007")


# --- what the end of a tunnel says of its member ----------------------------------------------------------------------


@pytest.mark.parametrize("end", ["close", "reset", "unread"])
def test_member_is_not_out_because_a_tunnel_was_cut(sandbox, board, end):
    """An application that closes a WebSocket in whatever way, with bytes of its client's unread for one (which the
    kernel tells as a reset), has nothing wrong with it. Its sessions stay."""
    member = board("a")
    board("b")
    members = {"a": "route=ra", "b": "route=rb"}
    httpd = among(sandbox, STATUS + balancer(sandbox, members, "stickysession=SESSION"))
    session = [("Cookie", "SESSION=1.ra")]
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            near, far = opened(stack, httpd, session), member.next_end()
            near.send(b"x" * 10)
            if end == "unread":
                assert far.read(1) == b"x"  # the others are in the socket
            else:
                assert far.read(10) == b"x" * 10
            (far.reset if end == "reset" else far.close)()
            near.read_to_end()
        wait_until(lambda: in_flight(httpd)["a"] == 0, "it to have ended")
        assert status(httpd)["a"]["state"] == "up" and status(httpd)["a"]["failed"] == 0


def test_member_is_back_with_the_tunnel_it_takes(sandbox, board):
    """Not when that ends."""
    dies_once(board("a"))
    httpd = among(sandbox, STATUS + balancer(sandbox, {"a": "hold=30 retry=30"}))
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            opened(stack, httpd)
            assert status(httpd)["a"]["state"] == "up"
    httpd.log.expect("UDR0034: member .*/a.sock.* closed the connection without an answer")


# --- members that are taken out ---------------------------------------------------------------------------------------


def test_drained_member(sandbox):
    """What is there goes on, whoever comes goes elsewhere; and comes back when it is enabled."""
    for name in ("a", "b"):
        start(sandbox, "websockets", name)
    httpd = among(sandbox, status_section(actions=True) + balancer(sandbox, {"a": "", "b": ""}))

    async def talk():
        async with client(httpd) as one, client(httpd) as two:
            assert in_flight(httpd) == {"a": 1, "b": 1}
            await asyncio.to_thread(lambda: Forms(httpd).send("a", "drain"))
            async with client(httpd) as three, client(httpd) as four:
                assert in_flight(httpd) == {"a": 1, "b": 3}
                for number, websocket in enumerate((one, two, three, four)):
                    assert await says_back(websocket, f"number {number}")
        await wait_for(lambda: in_flight(httpd) == {"a": 0, "b": 0}, "all to have ended")
        await asyncio.to_thread(lambda: Forms(httpd).send("a", "enable"))
        async with client(httpd), client(httpd):
            assert in_flight(httpd) == {"a": 1, "b": 1}

    run(talk())
    httpd.log.allow("of balancer app$")


def test_socket_of_a_pattern_that_is_removed(sandbox, board):
    """An instance that unlinks its socket keeps its WebSockets until it ends; new ones go to the others."""
    boards = {name: board(name) for name in ("app-1", "app-2")}
    pattern = f'UDSMember "unix:{sandbox.socket("app-*")}|http://localhost/"'
    config = f"<UDSBalancer app>\n{pattern}\n</UDSBalancer>\nUDSRoute / balancer://app/\n"
    httpd = among(sandbox, STATUS + config)
    with contextlib.ExitStack() as stack:
        nears = [opened(stack, httpd) for _ in range(2)]
        far = boards["app-1"].next_end()
        os.unlink(boards["app-1"].address)
        wait_for_state(httpd, "app-1", "draining")
        for _ in range(3):
            opened(stack, httpd)
        assert in_flight(httpd) == {"app-1": 1, "app-2": 4}
        far.send(b"on and on")
        assert heard(nears, 9) == [b"on and on"]
        far.close()
        wait_until(lambda: "app-1" not in status(httpd), "it to be forgotten")


def test_member_whose_checks_fail(sandbox, board):
    """Of a server that speaks nothing else than WebSocket 426 may be what is expected. Tunnels of one that is down go
    on; new ones go elsewhere."""
    boards = {name: board(name) for name in ("a", "b")}
    open_up = boards["a"].backend.behaviour
    verdict = [426]

    def behave(exchange):
        if exchange.request.has("Upgrade"):
            open_up(exchange)
        else:
            exchange.respond(verdict[0])

    boards["a"].backend.behaviour = behave
    # The first is made within a second. An answer has as long as the interval.
    check = "hcmethod=GET hcuri=/ws hcinterval=4 hcexpr=asks_for_websocket"
    config = "UDSHealthExpr asks_for_websocket {%{REQUEST_STATUS} == 426}\n"
    httpd = among(sandbox, STATUS + config + balancer(sandbox, {"a": check, "b": ""}))
    with contextlib.ExitStack() as stack:
        nears = [opened(stack, httpd) for _ in range(2)]
        far = boards["a"].next_end()
        assert in_flight(httpd) == {"a": 1, "b": 1}
        wait_until(lambda: status(httpd)["a"]["health"]["passes"] > 0, "a check that passes")
        verdict[0] = 500
        httpd.log.expect(DOWN.format("a"))
        opened(stack, httpd)
        assert in_flight(httpd) == {"a": 1, "b": 2}
        far.send(b"on and on")
        assert heard(nears, 9) == [b"on and on"]


def test_peer(sandbox, board):
    """Who listens is not who the route asks for: nothing is said to it."""
    member = board("a")
    httpd = among(sandbox, balancer(sandbox, {"a": "peer=4711"}))
    with connect(httpd) as one:
        ask(one, protocol="websocket")
        assert one.read_response().status == 503
    assert not member.backend.requests
    httpd.log.allow("UDR0034|UDR00")
