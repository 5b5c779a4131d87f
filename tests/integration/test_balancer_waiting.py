# SPDX-License-Identifier: Apache-2.0
"""Waiting for a member: its listen backlog, `maxconn` over all children, and what becomes of the turns of a child that
is killed."""
import os
import signal
import socket
import struct
import tempfile
import threading
import time

import pytest

from udr_balancers import GOES_AND_COMES, Load, balancer, processes_for, start_members
from udr_client import Client, fetch, h2load
from udr_environment import campaign, is_campaign
from udr_loops import Gate
from udr_processes import wait_until


class Gauge:
    """A behaviour that takes `seconds` a request, and sees how many there are at once."""

    def __init__(self, seconds):
        self.most = 0
        self._seconds = seconds
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, exchange):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self._seconds)
        with self._lock:
            self._now -= 1
        exchange.respond(body="x")


# --- a socket that is being made --------------------------------------------------------------------------------------


class Keep(threading.Thread):
    """Makes a file as new as it was at first, however slow the machine, until the block ends; or of so many seconds
    ahead."""

    def __init__(self, path, ahead=0):
        super().__init__(daemon=True)
        self._path = path
        self._ahead = ahead
        self._end = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self.join()

    def run(self):
        while not self._end.wait(0.05):
            os.utime(self._path, ns=(0, time.time_ns() + self._ahead * 10**9))


def bind_closed(path):
    """What PHP-FPM does at a restart, with a longer look: a new socket in the old one's place, nobody's yet."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    former = os.umask(0o777)
    try:
        listener.bind(f"{path}.new")
    finally:
        os.umask(former)
    os.rename(f"{path}.new", path)
    listener.listen(16)
    listener.settimeout(20)
    return listener


def answer_one(listener):
    """The first request. That httpd connects, and no more, is a look at whether somebody is there."""
    while True:
        peer, _ = listener.accept()
        with peer:
            if peer.recv(65536):
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return


def test_socket_that_is_not_open_to_us_yet(sandbox):
    """Its server has called bind() and not yet chmod(): the request waits, as for one that is not there yet."""
    former = sandbox.scripted("app")
    path = former.address
    config = f"UDSRoute / unix:{path}|http://localhost/ hold=20 enablereuse=Off"
    httpd = sandbox.httpd(config, udsroute_log_level="trace5")
    assert fetch(httpd.port, "/").status == 200
    answers = []
    with bind_closed(path) as listener, Keep(path):
        asker = threading.Thread(target=lambda: answers.append(fetch(httpd.port, "/x").status))
        asker.start()
        httpd.log.expect("release: connection closed", times=2)
        assert answers == []
        os.chmod(path, 0o666)
        answer_one(listener)
        asker.join()
    assert answers == [200]


def test_old_socket_that_is_not_open_to_us(sandbox):
    """That is the operator's to mend, and nothing to wait for, though it has worked before."""
    path = sandbox.scripted("app").address
    config = f"UDSRoute / unix:{path}|http://localhost/ hold=1h enablereuse=Off"
    httpd = sandbox.httpd(config, udsroute_log_level="info")
    assert fetch(httpd.port, "/").status == 200
    with bind_closed(path):
        os.utime(path, (1, 1))
        assert fetch(httpd.port, "/x").status == 503
    httpd.log.expect("UDR0004.*may not be written by user")


def test_closed_socket_whose_time_is_none_in_microseconds(sandbox):
    """Its owner may set any. Multiplied without a look, this one comes round to now."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:  # most file systems on disks have no such times
        os.chmod(directory, 0o755)
        path = f"{directory}/app"
        config = f"UDSRoute / unix:{path}|http://localhost/ hold=1h enablereuse=Off"
        httpd = sandbox.httpd(config, udsroute_log_level="info")
        sandbox.scripted(path)
        assert fetch(httpd.port, "/").status == 200
        with bind_closed(path), Keep(path, ahead=2**58):
            assert fetch(httpd.port, "/x").status == 503
    httpd.log.expect("UDR0004.*may not be written by user")


# --- the listen backlog -----------------------------------------------------------------------------------------------


class OneByOne(threading.Thread):
    """A server with a backlog of 4 that takes 2 ms for each connection and its only request, one after the other."""

    def __init__(self, path, backlog=4):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(backlog)
        self.path = path
        self.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock:
                head = b""
                while b"\r\n\r\n" not in head:
                    more = sock.recv(65536)
                    if not more:
                        break  # somebody who only looks whether we listen
                    head += more
                else:
                    time.sleep(0.002)
                    sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.join(5)
        self.listener.close()
        os.unlink(self.path)


@pytest.fixture
def one_by_one(sandbox):
    server = OneByOne(sandbox.socket("a"))
    yield server
    server.stop()


@pytest.mark.campaign
@pytest.mark.parametrize("members", [{"a": ""}, {"a": "maxconn=4"}], ids=["backlog", "maxconn"])
def test_short_backlog(sandbox, one_by_one, members):
    """No failure, and the member is not out for it. (More than it asks for at once: how long each waits is the
    kernel's choice.)"""
    # At full length the five seconds that every member has. Whom the kernel leaves out may wait long on a busy machine.
    config = processes_for(60) + balancer(sandbox, members, *campaign(["connectiontimeout=60"], []))
    httpd = sandbox.httpd(config, children=2, threads=64, udsroute_log_level="info")
    load = h2load(httpd.url("/x"), 2000, 60)
    print(f"{load.succeeded} of {load.total} answered")
    assert load.flawless, load.output
    sandbox.stop(httpd)  # before the member goes, which would be told


@pytest.mark.campaign
def test_nobody_accepts(sandbox):
    """Answered in time, whatever the kernel's connect(2) would do."""
    server = sandbox.scripted("a", accepting=False, backlog=4)
    config = processes_for(60) + balancer(sandbox, {"a": "connectiontimeout=1 timeout=1"})
    httpd = sandbox.httpd(config, children=2, threads=64, udsroute_log_level="info")
    httpd.log.allow("UDR0005|UDR0009|UDR0034")
    with Load(httpd, clients=60, requests=60) as load:
        pass
    print(load)
    assert set(load.statuses) <= {503, 504} and len(load.answers) == 60, load.statuses
    assert load.longest < campaign(6, 1.5)  # on a machine that has nothing else to do
    assert not server.requests


def test_full_backlog_sends_requests_to_another_member(sandbox):
    sandbox.scripted("a", accepting=False, backlog=0)
    start_members(sandbox, ["b"])
    probe = socket.socket(socket.AF_UNIX)
    probe.connect(sandbox.socket("a"))
    config = balancer(sandbox, {"a": "connectiontimeout=300ms", "b": ""})
    httpd = sandbox.httpd(config)
    with Load(httpd, clients=4, requests=8) as load:
        pass
    probe.close()
    assert load.statuses == {200: 8}


# --- maxconn ----------------------------------------------------------------------------------------------------------


@pytest.mark.campaign
def test_maxconn_over_children(sandbox):
    requests, seconds = campaign((640, 0.01), (10240, 0.003))
    gauge = Gauge(seconds)
    server = sandbox.scripted("a", gauge)
    config = processes_for(64) + balancer(sandbox, {"a": "maxconn=3"})
    httpd = sandbox.httpd(
        config, children=4, threads=32, udsroute_log_level="info", access_log="%{UDSROUTE_QUEUE_US}e"
    )
    by_client = lambda client, number: client.fetch(f"/{client.sock.getsockname()[1]}")
    with Load(httpd, clients=64, requests=requests, request=by_client) as load:
        pass
    assert load.statuses == {200: requests}
    assert gauge.most == 3
    # Whoever waits for a turn sees each of the others have one or two, however long they take.
    overtaken = max(gaps([request.target for request in server.requests]))
    assert overtaken <= 2 * 64, overtaken
    # Without those at the beginning and the end, when fewer than all wait.
    waits = [int(line) for line in httpd.access_lines(requests)][128:-128]
    mean = sum(waits) / len(waits)
    print(f"at most {gauge.most} at once; waited {mean:.0f} us in the mean, {max(waits)} us at most; "
          f"overtaken by at most {overtaken}; {load}")  # fmt: skip
    assert mean > 5000
    assert max(waits) < 2 * mean or not is_campaign(), (max(waits), mean)


def gaps(names):
    """How many others come between two of the same name, and before the first."""
    last = {}
    for place, name in enumerate(names):
        yield place - last.get(name, -1) - 1
        last[name] = place


def test_order_of_arrival(sandbox):
    """Over children, too."""
    gate = Gate()
    server = sandbox.scripted("a", lambda exchange: (gate.wait(), exchange.respond(body=exchange.request.target)))
    config = processes_for(24) + balancer(sandbox, {"a": "maxconn=1"})
    httpd = sandbox.httpd(config, children=2, udsroute_log_level="trace5")
    clients = [Client(httpd.port) for _ in range(20)]
    for number, client in enumerate(clients):
        client.send_request("GET", f"/{number}")
        if number:
            wait_until(lambda: len(httpd.log.find("queue: ")) == number, "the request to wait")
        else:
            server.wait_for_requests(1)
    gate.open()
    for number, client in enumerate(clients):
        assert client.read_response().text == f"/{number}"
        client.close()
    assert [request.target for request in server.requests] == [f"/{number}" for number in range(20)]


def test_queue_timeout(sandbox):
    gate = Gate()
    server = sandbox.scripted("a", lambda exchange: (gate.wait(), exchange.respond()))
    httpd = sandbox.httpd(balancer(sandbox, {"a": "maxconn=1 queue=300ms"}), access_log="%D")
    with Client(httpd.port) as first:
        first.send_request("GET", "/x")
        server.wait_for_requests(1)
        response = fetch(httpd.port, "/x")
        assert (response.status, response.get("Retry-After")) == (503, "2")
        httpd.log.expect("UDR0036")
        assert 0.25 < int(httpd.access_lines(1)[0]) / 1e6 < 8
        gate.open()
        assert first.read_response().status == 200
    assert fetch(httpd.port, "/x").status == 200
    assert len(server.requests) == 2


@pytest.mark.parametrize("loops", ["1", "Off"])
@pytest.mark.parametrize("body", [None, b"x" * 1000, [b"x" * 1000]], ids=["none", "length", "chunked"])
def test_client_that_leaves_the_queue(sandbox, loops, body):
    """Its turn goes to the next, also when it has left a whole request behind."""
    gate = Gate()
    server = sandbox.scripted("a", lambda exchange: (gate.wait(), exchange.respond(body=exchange.request.target)))
    config = balancer(sandbox, {"a": "maxconn=1"}) + f"UDSLoops {loops}\n"
    httpd = sandbox.httpd(config, children=2, udsroute_log_level="trace5")
    with Client(httpd.port) as first, Client(httpd.port) as second, Client(httpd.port) as third:
        first.send_request("GET", "/1")
        server.wait_for_requests(1)
        for number, client in enumerate((second, third), 1):
            client.send_request("POST" if body else "GET", f"/{number + 1}", body=body)
            wait_until(lambda: len(httpd.log.find("queue: ")) == number, "the request to wait")
        second.close()
        httpd.log.expect("UDR0012")
        gate.open()
        assert first.read_response().text == "/1"
        assert third.read_response().text == "/3"
    assert [request.target for request in server.requests] == ["/1", "/3"]


def test_full_members_are_passed_over(sandbox):
    """As long as another has room."""
    gate = Gate()
    servers = {name: sandbox.scripted(name, lambda exchange: (gate.wait(), exchange.respond())) for name in "ab"}
    httpd = sandbox.httpd(balancer(sandbox, {"a": "maxconn=1", "b": "maxconn=5"}), children=2)
    clients = [Client(httpd.port) for _ in range(6)]
    for client in clients:
        client.send_request("GET", "/x")
    wait_until(lambda: len(servers["b"].requests) == 5, "the other one to get the rest")
    gate.open()
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    assert len(servers["a"].requests) == 1


# --- a child that is killed -------------------------------------------------------------------------------------------


def child_of(connection):
    """The process at the other end: who called connect(2)."""
    credentials = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[0]


def test_turns_of_a_killed_child(sandbox):
    """They are free again within a second: for requests that wait in another child."""
    gate = Gate()

    def behave(exchange):
        if exchange.request.target == "/held":
            gate.wait()
        exchange.respond(body=exchange.request.target)

    server = sandbox.scripted("a", behave)
    config = processes_for(24) + balancer(sandbox, {"a": "maxconn=3"})
    httpd = sandbox.httpd(config, children=2, udsroute_log_level="trace5")
    httpd.log.allow("AH00052")
    held = [Client(httpd.port) for _ in range(3)]
    for client in held:
        client.send_request("GET", "/held")
    server.wait_for_requests(3)
    waiting = [Client(httpd.port) for _ in range(16)]
    for client in waiting:
        client.send_request("GET", "/waits")
    wait_until(lambda: len(httpd.log.find("queue: ")) == 16, "all others to wait")
    killed = {child_of(connection) for connection in server.connections if connection.requests}
    begun = time.monotonic()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    if len(httpd.children()) == 0:  # new ones come within a second
        wait_until(httpd.children, "a new child")
    assert fetch(httpd.port, "/new").text == "/new"
    took = time.monotonic() - begun
    gate.open()
    answered = [client.sock.recv(65536)[-6:] for client in waiting if child_is_there(client)]
    assert set(answered) <= {b"/waits"}
    for client in (*held, *waiting):
        client.close()
    assert took < 6, "the parent's second for a new child, ours, and some for a busy machine"


def child_is_there(client):
    """Whether the client's connection has not been closed with the child that served it."""
    return client.sock.recv(1, socket.MSG_PEEK) != b""


def test_turn_of_a_killed_child_goes_to_who_waits(sandbox):
    """Also when no further request comes."""
    gate = Gate()

    def behave(exchange):
        if exchange.request.target.startswith("/held"):
            gate.wait()
        exchange.respond(body=exchange.request.target)

    server = sandbox.scripted("a", behave)
    config = processes_for(8) + balancer(sandbox, {"a": "maxconn=1"})
    httpd = sandbox.httpd(config, children=4, threads=2, udsroute_log_level="trace5")
    httpd.log.allow("AH00052")
    with Client(httpd.port) as held:
        held.send_request("GET", "/held")
        server.wait_for_requests(1)
        (pid,) = {child_of(connection) for connection in server.connections if connection.requests}
        waiting, elsewhere = [], set()
        while len(waiting) < 6 or not elsewhere:
            assert len(waiting) < 100, "they wait in the same child: the test can show nothing"
            waiting.append(Client(httpd.port))
            waiting[-1].send_request("GET", "/waits")
            wait_until(lambda: len(httpd.log.find("queue: ")) == len(waiting), "all others to wait")
            elsewhere = {line.raw for line in httpd.log.find("queue: ") if f"pid {pid}:" not in line.raw}
        begun = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(server.requests) == 1 + len(elsewhere), "those in other children to be served")
        took = time.monotonic() - begun
    gate.open()
    for client in waiting:
        client.close()
    assert took < 6, "one, and what a busy machine adds"


def test_maxconn_after_children_were_killed(sandbox):
    """Nothing is lost or gained: still three at once."""
    gauge = Gauge(0.005)
    sandbox.scripted("a", gauge)
    httpd = sandbox.httpd(balancer(sandbox, {"a": "maxconn=3"}), children=3, udsroute_log_level="info")
    httpd.log.allow("AH00052|UDR0007|" + GOES_AND_COMES)
    with Load(httpd, clients=24):
        for _ in range(2):
            time.sleep(0.4)
            httpd.kill_child(httpd.children()[0])
        time.sleep(1)
    gauge.most = 0
    with Load(httpd, clients=24, requests=480) as load:
        pass
    assert load.statuses == {200: 480}
    assert gauge.most == 3
