# SPDX-License-Identifier: Apache-2.0
"""Bytes through a tunnel: all of them, in order, both ways, and no more of them in the child than it can hold."""
import threading

import pytest

from udr_tunnel import PATIENCE, SWITCH, Switchboard, ask, carry, chat_route, connect, noise, open_tunnel, switched
from udr_tunnel import tunnel_httpd, used

MIB = 1024 * 1024
EARLY = noise(100_000)

WAYS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
COMING = pytest.mark.parametrize("come", [connect, used], ids=["first", "used"])


@pytest.fixture(name="switchboard", scope="module")
def _switchboard(module_sandbox):
    """Its 101 has as many bytes of the tunnel behind it as the request's X-Early says."""
    return Switchboard(module_sandbox, answer=lambda request: SWITCH + EARLY[: int(request.get("X-Early", "0"))])


@pytest.fixture(name="httpd", scope="module")
def _httpd(module_sandbox, switchboard):
    return tunnel_httpd(module_sandbox, chat_route(switchboard), tls=True)


@WAYS
@COMING
def test_a_conversation(httpd, switchboard, tls, come):
    near, far = open_tunnel(httpd, switchboard, tls, come)
    with near, far:
        for number in range(50):
            near.send(b"question %d" % number)
            assert far.read(len(b"question %d" % number)) == b"question %d" % number
            far.send(b"answer %d" % number)
            assert near.read(len(b"answer %d" % number)) == b"answer %d" % number


@WAYS
@COMING
def test_every_byte_is_passed_on(httpd, switchboard, tls, come):
    """Nothing in it is taken for HTTP."""
    data = bytes(range(256)) + b"\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1\r\n\r\n" + b"\0" * 10000
    near, far = open_tunnel(httpd, switchboard, tls, come)
    with near, far:
        near.send(data)
        assert far.read(len(data)) == data
        far.send(data)
        assert near.read(len(data)) == data


@WAYS
@COMING
@pytest.mark.parametrize("count", [1, 5000, 100_000], ids=str)
def test_bytes_right_behind_the_head_of_the_101(httpd, switchboard, tls, come, count):
    """In the same write; they are as much part of the tunnel as what follows."""
    with come(httpd, tls) as client:
        ask(client, fields=[("X-Early", count)])
        near, far = switched(client), switchboard.next_end()
        with far:
            assert near.read(count) == EARLY[:count]
            far.send(b"later")
            assert near.read(5) == b"later"
            near.send(b"answer")
            assert far.read(6) == b"answer"


def test_a_head_that_comes_in_pieces(sandbox):
    """And the last piece with the first bytes of the tunnel."""
    step = threading.Event()
    ends = []

    def behave(exchange):
        whole = SWITCH + b"first bytes"
        for number in range(len(SWITCH) + 1):
            exchange.send(whole[number : number + 1] if number < len(SWITCH) else whole[number:])
        exchange.leave()
        ends.append(exchange.connection.sock)
        step.set()

    backend = sandbox.scripted("pieces", behave)
    httpd = tunnel_httpd(sandbox, f"UDSRoute /chat/ unix:{backend.address}|http://localhost/chat/ upgrade=chat\n")
    with connect(httpd) as client:
        ask(client)
        with switched(client) as near:
            assert near.read(11) == b"first bytes"
            assert step.wait(PATIENCE)
            near.send(b"x")
            assert ends[0].recv(10) == b"x"
            ends[0].close()


@WAYS
@COMING
@pytest.mark.parametrize("count", [1, 5000, 100_000], ids=str)
def test_bytes_that_the_client_sends_together_with_its_request(httpd, switchboard, tls, come, count):
    """It has no way of knowing that there will be a tunnel, but may hope so."""
    early = noise(count)
    with come(httpd, tls) as client:
        ask(client, along=early)
        near, far = switched(client), switchboard.next_end()
        with far:
            assert far.read(count) == early
            near.send(b"later")
            assert far.read(5) == b"later"
            far.send(b"answer")
            assert near.read(6) == b"answer"


@WAYS
@COMING
def test_a_request_with_a_body_and_bytes_behind_it(httpd, switchboard, tls, come):
    """Each gets where it belongs: the body into the request, the rest into the tunnel."""
    with come(httpd, tls) as client:
        ask(client, body=b"b" * 70_000, along=b"tunnel", method="POST")
        near, far = switched(client), switchboard.next_end()
        with far:
            assert far.request.body == b"b" * 70_000
            assert far.read(6) == b"tunnel"
            far.send(b"answer")
            assert near.read(6) == b"answer"


@WAYS
@COMING
def test_large_amounts_both_ways_at_once(httpd, switchboard, tls, come):
    near, far = open_tunnel(httpd, switchboard, tls, come)
    with near, far:
        carry(near, far, noise(50 * MIB), noise(50 * MIB))
        near.send(b"still there")
        assert far.read(11) == b"still there"


# --- back-pressure ----------------------------------------------------------------------------------------------------


@pytest.fixture(name="narrow", scope="module")
def _narrow(module_sandbox, switchboard):
    """An httpd whose sockets take little: what does not go on stays with who sent it."""
    frame = "SendBufferSize 16384\nReceiveBufferSize 16384\nFlushMaxThreshold 65535\n"
    return tunnel_httpd(module_sandbox, frame + chat_route(switchboard), tls=True)


def settled_memory(httpd, switchboard, tls, come):
    """The child's memory after one tunnel's traffic: what threads and pools take once is there then."""
    near, far = open_tunnel(httpd, switchboard, tls, come)
    with near, far:
        carry(near, far, noise(MIB), noise(MIB))
    return httpd.private_bytes()


@WAYS
@COMING
def test_client_that_does_not_read(narrow, switchboard, tls, come):
    """The member can't get rid of its bytes; the other way is free; then all arrives."""
    before = settled_memory(narrow, switchboard, tls, come)
    near, far = open_tunnel(narrow, switchboard, tls, come, receive_buffer=16384)
    data = noise(16 * MIB)
    with near, far:
        sent = far.send_until_stuck(data)
        assert sent < 2 * MIB
        assert narrow.private_bytes() - before < MIB
        near.send(b"the other way")
        assert far.read(13) == b"the other way"
        _rest(near, far, data, sent)


@WAYS
@COMING
def test_member_that_does_not_read(narrow, switchboard, tls, come):
    before = settled_memory(narrow, switchboard, tls, come)
    near, far = open_tunnel(narrow, switchboard, tls, come)
    data = noise(16 * MIB)
    with near, far:
        sent = near.send_until_stuck(data)
        assert sent < 8 * MIB  # most of it in the kernel, on the client's side
        assert narrow.private_bytes() - before < MIB
        far.send(b"the other way")
        assert near.read(13) == b"the other way"
        _rest(far, near, data, sent)


def _rest(reader, sender, data, sent):
    """The reader reads at last, the sender goes on where it was stuck."""
    thread = threading.Thread(target=sender.send, args=(data[sent:],))
    thread.start()
    received = reader.read(len(data))
    thread.join(PATIENCE)
    assert received == data
