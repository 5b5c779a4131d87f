# SPDX-License-Identifier: Apache-2.0
"""How tunnels end: each direction by itself, by silence, by the death of a side, with the server."""
import pathlib
import select
import signal
import socket
import threading
import time

import pytest

import udr_peers
from udr_client import fetch
from udr_processes import cpu_seconds, wait_until
from udr_tunnel import PATIENCE, SWITCH, End, Switchboard, ask, chat_route, connect, has_loops, noise, open_tunnel
from udr_tunnel import switched, tunnel_httpd, turn_is_free, used
from udr_wire import Closed

WAYS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
COMING = pytest.mark.parametrize("come", [connect, used], ids=["first", "used"])
DEATHS = pytest.mark.parametrize("die", [End.close, End.reset], ids=["close", "reset"])

MIB = 1024 * 1024


@pytest.fixture(name="switchboard", scope="module")
def _switchboard(module_sandbox):
    return Switchboard(module_sandbox)


@pytest.fixture(name="httpd", scope="module")
def _httpd(module_sandbox, switchboard):
    """One connection to the member in all: who waits for it sees when a tunnel has let go of it."""
    frame = "SendBufferSize 16384\nReceiveBufferSize 16384\n"
    return tunnel_httpd(module_sandbox, frame + chat_route(switchboard, "upgrade=chat max=1"), tls=True)


# --- each direction by itself -----------------------------------------------------------------------------------------


@COMING
def test_half_close_by_the_client(httpd, switchboard, come):
    """The member sees the end of what the client sends, and can send on for as long as it likes."""
    near, far = open_tunnel(httpd, switchboard, come=come)
    with near, far:
        near.send(b"last words")
        near.half_close()
        assert far.read_to_end() == b"last words"
        for number in range(20):
            far.send(b"%05d" % number)
            assert near.read(5) == b"%05d" % number
        data = noise(5 * MIB)
        thread = threading.Thread(target=far.send, args=(data,))
        thread.start()
        assert near.read(len(data)) == data
        thread.join(PATIENCE)
        assert near.quiet(0.3)
        far.close()
        assert near.ends() and not near.was_cut
        assert turn_is_free(httpd)


@COMING
def test_half_close_by_the_member(httpd, switchboard, come):
    near, far = open_tunnel(httpd, switchboard, come=come)
    with near, far:
        far.send(b"last words")
        far.half_close()
        assert near.read_to_end() == b"last words" and not near.was_cut
        for number in range(20):
            near.send(b"%05d" % number)
            assert far.read(5) == b"%05d" % number
        data = noise(5 * MIB)
        thread = threading.Thread(target=near.send, args=(data,))
        thread.start()
        assert far.read(len(data)) == data
        thread.join(PATIENCE)
        assert far.quiet(0.3)
        near.close()
        assert far.ends()
        assert turn_is_free(httpd)


@COMING
def test_half_close_by_the_member_behind_bytes_that_the_client_takes_late(httpd, switchboard, come):
    """The end comes behind them."""
    data = noise(4 * MIB)
    near, far = open_tunnel(httpd, switchboard, come=come, receive_buffer=16384)
    with near, far:
        sent = far.send_until_stuck(data)
        thread = threading.Thread(target=lambda: (far.send(data[sent:]), far.half_close()))
        thread.start()
        assert near.read_to_end() == data and not near.was_cut
        thread.join(PATIENCE)
        near.send(b"and back")
        assert far.read(8) == b"and back"


@COMING
def test_half_close_by_the_client_behind_bytes_that_the_member_takes_late(httpd, switchboard, come):
    data = noise(4 * MIB)
    near, far = open_tunnel(httpd, switchboard, come=come)
    with near, far:
        sent = near.send_until_stuck(data)
        thread = threading.Thread(target=lambda: (near.send(data[sent:]), near.half_close()))
        thread.start()
        assert far.read_to_end() == data
        thread.join(PATIENCE)
        far.send(b"and back")
        assert near.read(8) == b"and back"


@COMING
def test_client_that_has_half_closed_before_the_101(sandbox, come):
    """It gets the tunnel and what the member sends in it."""
    gate = threading.Event()

    def answer(_):
        assert gate.wait(PATIENCE)
        return SWITCH + b"early"

    switchboard = Switchboard(sandbox, answer=answer)
    httpd = tunnel_httpd(sandbox, chat_route(switchboard))

    def is_switched():
        gate.clear()
        with come(httpd) as client:
            ask(client, along=b"all I have to say")
            client.sock.shutdown(1)
            gate.set()
            far = switchboard.next_end()
            with far:
                try:
                    near = switched(client)
                except Closed:
                    return False
                assert far.read_to_end() == b"all I have to say"
                far.send(b" late")
                assert near.read(10) == b"early late"
                far.close()
                return near.ends()

    # The answer is waited for for a tenth of a second, in which a busy machine may not come to send it.
    assert any(is_switched() for _ in range(10))


@COMING
def test_both_half_close(httpd, switchboard, come):
    near, far = open_tunnel(httpd, switchboard, come=come)
    with near, far:
        near.half_close()
        far.half_close()
        assert far.ends()
        assert near.ends() and not near.was_cut
        assert turn_is_free(httpd)


@WAYS
@COMING
def test_both_close_at_once(httpd, switchboard, tls, come):
    """Whoever is seen first: the member is free, nothing is left."""
    for _ in range(30):
        near, far = open_tunnel(httpd, switchboard, tls, come)
        near.close()
        far.close()
    assert turn_is_free(httpd)


# --- the death of a side ----------------------------------------------------------------------------------------------


@WAYS
@COMING
@DEATHS
def test_member_closes(httpd, switchboard, tls, come, die):
    near, far = open_tunnel(httpd, switchboard, tls, come)
    with near:
        far.send(b"x")
        assert near.read(1) == b"x"
        die(far)
        assert near.ends()
        near.close()
        assert turn_is_free(httpd)


@WAYS
@COMING
def test_member_that_has_closed_is_free_whatever_the_client_does(httpd, switchboard, tls, come):
    """A client that goes on for ever holds no connection to a member that is gone."""
    near, far = open_tunnel(httpd, switchboard, tls, come)
    with near:
        far.close()
        assert near.ends()
        assert turn_is_free(httpd)


@WAYS
@COMING
@DEATHS
def test_client_closes(httpd, switchboard, tls, come, die):
    near, far = open_tunnel(httpd, switchboard, tls, come)
    with far:
        near.send(b"x")
        assert far.read(1) == b"x"
        die(near)
        assert far.ends()
        far.close()
        assert turn_is_free(httpd)


@WAYS
@COMING
def test_last_words_of_a_member_that_closes_while_the_client_sends(httpd, switchboard, tls, come):
    """As with a WebSocket's Close frame: they arrive, although what the client sends meanwhile can't be delivered."""
    words = b"w" * 20_000
    for _ in range(10):
        near, far = open_tunnel(httpd, switchboard, tls, come)
        with near:
            far.send(words)
            far.close()
            near.sock.settimeout(PATIENCE)
            try:
                for _ in range(20):
                    near.send(b"y" * 1000)
            except OSError:
                pass  # it is closed already
            assert near.read(len(words)) == words


@WAYS
@COMING
def test_bytes_that_the_client_has_not_read_when_the_member_closes(httpd, switchboard, tls, come):
    """All of them arrive before the end."""
    data = noise(300_000)
    near, far = open_tunnel(httpd, switchboard, tls, come, receive_buffer=16384)
    with near:
        thread = threading.Thread(target=lambda: (far.send(data), far.close()))
        thread.start()
        assert near.read_to_end() == data
        thread.join(PATIENCE)


@WAYS
@COMING
def test_bytes_that_the_member_has_not_read_when_the_client_closes(httpd, switchboard, tls, come):
    data = noise(1000_000)
    near, far = open_tunnel(httpd, switchboard, tls, come)
    with far:
        thread = threading.Thread(target=lambda: (near.send(data), near.close()))
        thread.start()
        assert far.read_to_end() == data
        thread.join(PATIENCE)


@WAYS
@COMING
def test_client_dies_while_the_member_does_not_read(httpd, switchboard, tls, come):
    """The member is told, busy as it is, and its connection is free for others."""
    near, far = open_tunnel(httpd, switchboard, tls, come)
    with far:
        near.send_until_stuck(noise(16 * MIB))
        near.reset()
        assert turn_is_free(httpd)
        far.read_to_end()


@WAYS
@COMING
def test_client_dies_while_it_does_not_read(httpd, switchboard, tls, come):
    near, far = open_tunnel(httpd, switchboard, tls, come, receive_buffer=16384)
    with far:
        far.send_until_stuck(noise(16 * MIB))
        near.reset()
        assert turn_is_free(httpd)
        assert far.ends()


@WAYS
@COMING
def test_member_dies_while_the_client_does_not_read(httpd, switchboard, tls, come):
    """What the member has sent before arrives, and then the end."""
    near, far = open_tunnel(httpd, switchboard, tls, come, receive_buffer=16384)
    with near:
        data = noise(16 * MIB)
        sent = far.send_until_stuck(data)
        far.close()
        assert near.read_to_end() == data[:sent]
        near.close()
        assert turn_is_free(httpd)


@WAYS
@COMING
def test_member_dies_while_it_does_not_read(httpd, switchboard, tls, come):
    near, far = open_tunnel(httpd, switchboard, tls, come)
    with near:
        near.send_until_stuck(noise(16 * MIB))
        far.close()
        near.read_to_end()
        assert turn_is_free(httpd)
    httpd.log.allow("UDR0007.*in step tunnel")


@WAYS
@COMING
@DEATHS
def test_client_dies_before_the_101(sandbox, tls, come, die):
    """Nobody is left to switch for."""
    gate = threading.Event()

    def answer(_):
        assert gate.wait(PATIENCE)
        return SWITCH + b"early"

    switchboard = Switchboard(sandbox, answer=answer)
    httpd = tunnel_httpd(sandbox, chat_route(switchboard, "upgrade=chat max=1"), tls=tls)
    client = come(httpd, tls)
    ask(client)
    switchboard.backend.wait_for_requests(1 if come is connect else 3)
    die(End(client.sock, client.stream))
    assert turn_is_free(httpd)
    gate.set()
    far = switchboard.next_end()
    assert far.ends()
    far.close()


@WAYS
def test_member_is_killed(sandbox, tls):
    """udsbackend in the midst of a tunnel, by SIGKILL; its new process serves."""
    data = pathlib.Path(sandbox.root / "data.bin")
    data.write_bytes(b"data")
    socket = udr_peers.start_udsbackend(sandbox, data)
    httpd = tunnel_httpd(sandbox, f"UDSRoute / unix:{socket}|http://localhost/ max=2\n", tls=tls)
    handshake = [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    ends = []
    for _ in range(2):
        client = connect(httpd, tls)
        ask(client, "/ws", "websocket", handshake)
        ends.append(switched(client))
    backend = next(owned for owned in sandbox._owned if getattr(owned, "name", "") == "udsbackend")
    backend.kill()
    for near in ends:
        assert near.ends()
        near.close()
    udr_peers.start_udsbackend(sandbox, data)
    wait_until(lambda: fetch(httpd.port, "/ux").status == 200, "the member's new process to serve")
    httpd.log.allow("UDR000[47]")


def has_sent_its_end(near):
    """Whether httpd's kernel has all that this end had to send, the end included: both have been acknowledged, and so was
    httpd's own (TCP_CLOSE in netinet/tcp.h)."""
    return near.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 7


@COMING
def test_a_client_that_has_ended_costs_no_processor_time(sandbox, switchboard, come):
    """While the member is stuck the tunnel waits, it doesn't spin: poll(2) reports the end of both directions unasked."""
    httpd = tunnel_httpd(sandbox, "ReceiveBufferSize 212992\n" + chat_route(switchboard))
    near, far = open_tunnel(httpd, switchboard, come=come)
    with near, far:
        far.half_close()
        assert near.ends()
        data = noise(260_000)  # more than a Unix socket takes, less than it and a TCP socket take together
        near.send(data)
        near.half_close()
        wait_until(lambda: has_sent_its_end(near), "httpd's kernel to have all of it")
        before = cpu_seconds(httpd.children())
        select.select([], [], [], 1.5)
        assert cpu_seconds(httpd.children()) - before < 0.15
        assert far.read_to_end() == data


# --- silence ----------------------------------------------------------------------------------------------------------

IDLE = "UDR0020.*nothing went through it, either way, for 1 s"


@pytest.fixture(name="impatient", scope="module")
def _impatient(module_sandbox, switchboard):
    return tunnel_httpd(module_sandbox, chat_route(switchboard, "upgrade=chat timeout=1 max=1"), tls=True)


@WAYS
@COMING
def test_silence_ends_a_tunnel(impatient, switchboard, tls, come):
    """After `timeout`, in order on both sides, and the log says what to do."""
    near, far = open_tunnel(impatient, switchboard, tls, come)
    with near, far:
        assert far.ends(20) and near.ends(20)
        assert not near.was_cut
        line = impatient.log.expect(IDLE)
        assert line.level == "info"
        near.close()
        assert turn_is_free(impatient)


@WAYS
@COMING
@pytest.mark.parametrize("talker", ["client", "member"])
def test_whatever_moves_keeps_a_tunnel_open(impatient, switchboard, tls, come, talker):
    """One byte in one direction every half a second, for longer than `timeout`."""

    def is_kept_open():
        """False: the machine was so busy that a pause came to be longer than `timeout`."""
        near, far = open_tunnel(impatient, switchboard, tls, come)
        with near, far:
            speaker, listener = (near, far) if talker == "client" else (far, near)
            heard = time.monotonic()
            try:
                for _ in range(6):
                    speaker.send(b"x")
                    assert listener.read(1) == b"x"
                    heard = time.monotonic()
                    assert listener.quiet(0.4)
            except (AssertionError, OSError):
                assert time.monotonic() - heard > 0.9
                return False
            finally:
                assert far.ends(20) and near.ends(20)
                impatient.log.expect(IDLE)
        return True

    assert any(is_kept_open() for _ in range(5))


@WAYS
def test_a_tunnel_is_not_bound_to_the_times_of_http(sandbox, tls):
    """KeepAliveTimeout, Timeout and mod_reqtimeout are for requests."""
    switchboard = Switchboard(sandbox)
    times = "Timeout 1\nKeepAliveTimeout 1\nRequestReadTimeout header=1 body=1\n"
    config = times + chat_route(switchboard, "upgrade=chat timeout=60")
    httpd = tunnel_httpd(sandbox, config, modules=["reqtimeout"], tls=tls)
    ends = [open_tunnel(httpd, switchboard, tls, come) for come in (connect, used)]
    assert ends[0][0].quiet(2.5)
    for near, far in ends:
        near.send(b"still")
        assert far.read(5) == b"still"
        far.send(b"there")
        assert near.read(5) == b"there"
        near.close()
        far.close()


# --- with the server --------------------------------------------------------------------------------------------------


def converse(near, far):
    near.send(b"question")
    assert far.read(8) == b"question"
    far.send(b"answer")
    assert near.read(6) == b"answer"


@WAYS
def test_graceful_restart(sandbox, tls):
    """Tunnels go on; the new children serve; the old one ends with its last tunnel."""
    switchboard = Switchboard(sandbox)
    httpd = tunnel_httpd(sandbox, chat_route(switchboard), tls=tls, generations=2)
    ends = [open_tunnel(httpd, switchboard, tls, come) for come in (connect, used, connect)]
    old = set(httpd.children())
    httpd.graceful()
    wait_until(lambda: set(httpd.children()) - old, "a new child", 20)
    for near, far in ends:
        converse(near, far)
    fresh = open_tunnel(httpd, switchboard, tls)
    converse(*fresh)
    for near, far in ends[1:]:
        near.close()
        assert far.ends()
        far.close()
    converse(*ends[0])
    if has_loops():
        assert old <= set(httpd.children())
    ends[0][0].close()
    ends[0][1].close()
    wait_until(lambda: not old & set(httpd.children()), "the old child to end", 20, 0.02)
    converse(*fresh)
    for end in fresh:
        end.close()


def test_two_graceful_restarts(sandbox):
    switchboard = Switchboard(sandbox)
    httpd = tunnel_httpd(sandbox, chat_route(switchboard), generations=3)
    ends = []
    for _ in range(2):
        ends.append(open_tunnel(httpd, switchboard))
        old = set(httpd.children())
        httpd.graceful()
        wait_until(lambda before=old: set(httpd.children()) - before, "a new child", 20)
        for near, far in ends:
            converse(near, far)
    for near, far in ends:
        near.close()
        assert far.ends()
        far.close()


@WAYS
def test_graceful_stop(sandbox, tls):
    """Tunnels end at GracefulShutdownTimeout. (A child that has begun to go gracefully doesn't hear httpd's SIGTERM, with
    or without us: in the end it is SIGKILL that comes.)"""
    switchboard = Switchboard(sandbox)
    httpd = tunnel_httpd(sandbox, "GracefulShutdownTimeout 5\n" + chat_route(switchboard), tls=tls)
    ends = [open_tunnel(httpd, switchboard, tls, come) for come in (connect, used)]
    httpd.signal(signal.SIGWINCH)
    for near, far in ends:
        converse(near, far)
    for near, far in ends:
        assert far.ends(30) and near.ends(30)
        near.close()
        far.close()
    wait_until(lambda: not httpd.running, "the server to end", 30)
    httpd.log.allow("AH0004[56]")


@WAYS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["stop", "restart"])
def test_hard_stop(sandbox, tls, number):
    """Tunnels, busy and idle, end at once."""
    switchboard = Switchboard(sandbox)
    httpd = tunnel_httpd(sandbox, chat_route(switchboard), tls=tls)
    ends = [open_tunnel(httpd, switchboard, tls, come) for come in (connect, used, connect)]
    ends[0][1].send_until_stuck(noise(16 * MIB))
    old = set(httpd.children())
    httpd.signal(number)
    for near, far in ends:
        near.read_to_end()
        far.read_to_end()
        near.close()
        far.close()
    if not has_loops():
        httpd.log.allow("AH0004[56]")  # a thread that waits does not hear of it: so it is without us
    if number == signal.SIGTERM:
        wait_until(lambda: not httpd.running, "the server to end", 20)
    else:
        wait_until(lambda: httpd.children() and not old & set(httpd.children()), "a new child", 20)
        wait_until(lambda: answers(httpd), "the new child to serve")


def answers(httpd):
    try:
        return fetch(httpd.port, "/chat/new").text == "/chat/new"
    except (OSError, Closed):
        return False


@WAYS
def test_child_that_is_killed(sandbox, tls):
    """Its tunnels end on both sides."""
    switchboard = Switchboard(sandbox)
    httpd = tunnel_httpd(sandbox, chat_route(switchboard), tls=tls)
    ends = [open_tunnel(httpd, switchboard, tls, come) for come in (connect, used)]
    for child in httpd.children():
        httpd.kill_child(child)
    for near, far in ends:
        assert far.ends() and near.ends()
        near.close()
        far.close()
    wait_until(lambda: answers(httpd), "a new child to serve", 20)
    httpd.log.allow("AH00052")
