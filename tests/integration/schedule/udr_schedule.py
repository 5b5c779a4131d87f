# SPDX-License-Identifier: Apache-2.0
"""Forced schedules: an httpd whose module sleeps at named points, clients who go through them thousands of times, and
what must be true afterwards."""
import itertools
import os
import pathlib
import random
import re
import socket
import struct
import threading
import time

import udr_environment
from udr_client import Client, fetch
from udr_processes import tcp_connections, wait_until
from udr_wire import Closed

# How often a test goes through what it is about.
ROUNDS = int(os.environ.get("UDR_ROUNDS") or 300)

# How many clients do so at the same time.
CLIENTS = 8

OWNERS = udr_environment.SOURCE_ROOT / "mod_udsroute/mod_udsroute_owner.c"

# Without the factor a child with so few threads takes a dozen connections.
FRAME = """
LoadModule udr_witness_module {build}/tests/modules/.libs/mod_udr_witness.so
UDSLoops {loops}
UDSPark 0
AsyncRequestWorkerFactor 64
ExtendedStatus On
UDSRoute /app/ unix:{backend}|http://localhost/app/ {parameters}
UDSRoute /well/ unix:{well}|http://localhost/app/
Listen 127.0.0.1:@TLSPORT@
<VirtualHost *:@TLSPORT@>
    # For questions: see Stage._figures().
    KeepAliveTimeout 100ms
    <Location /server-status>
        SetHandler server-status
    </Location>
</VirtualHost>
"""


# Of mod_status: what must be back where it was.
FIGURES = ("BusyWorkers", "ConnsTotal", "ConnsAsyncWriting", "ConnsAsyncKeepAlive", "ConnsAsyncClosing")


# What httpd serves itself: not on a loop.
STATIC = "/index.html"

# What the loop does not look for in one piece, a worker reads.
LONG_HEAD = [(f"X-Long-{number}", "x" * 4000) for number in range(3)]


def transfers():
    """All edges of the table of owners, as the source has it: "worker>leaving" and so on."""
    rows = re.findall(r"\[UDR_OWNER_(\w+)\] = \{\"(\w+)\", (.*)\}", OWNERS.read_text())
    names = {constant: name for constant, name, _ in rows}
    return [f"{name}>{names[to]}" for _, name, next_ones in rows for to in re.findall(r"TO\((\w+)\)", next_ones)]


# --- the backend ------------------------------------------------------------------------------------------------------


def target(prefix="/app", after_us=0, size=0, token=itertools.count(1)):
    """A target whose answer comes after so long and has so many bytes, unlike those of any other."""
    return f"{prefix}/{after_us}/{size}/{next(token)}"


def body_for(path):
    """What the backend answers to it."""
    _, _, _, size, token = path.split("/")
    return (f"{token} " * (int(size) // (len(token) + 1) + 1)).encode()


def answer(exchange):
    """The backend's behaviour: as the target says."""
    path = exchange.request.target
    after_us = int(path.split("/")[2])
    if after_us:
        time.sleep(after_us / 1e6)
    exchange.respond(body=body_for(path))


def assert_right(response, path):
    """The same, of a path that may be httpd's own."""
    if path == STATIC:
        assert (response.status, response.text) == (200, "served by httpd itself\n"), f"{response.status}"
    else:
        assert_answered(response, path)


def assert_answered(response, path):
    """Right and whole."""
    path = path.replace("/well/", "/app/")
    assert response.status == 200, f"{path}: {response.status} {response.text[:200]}"
    assert response.complete, f"{path}: cut after {len(response.body)} bytes"
    assert response.body == body_for(path), f"{path}: {response.body[:80]!r}"


def descriptors(pid):
    """What a process has open: Unix sockets, and how many others; without the eventfd(2) that each worker thread makes
    when it first waits."""
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            pass
    rows = pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]
    unix = {f"socket:[{row.split()[6]}]" for row in rows}
    links = [link for link in links if "eventfd" not in link]
    return sum(link in unix for link in links), sum(link not in unix for link in links)


# --- httpd ------------------------------------------------------------------------------------------------------------


class Stage:
    """An httpd with a schedule and a backend; what it holds is remembered when it is ready."""

    def __init__(
        self, sandbox, schedule="", parameters="", config="", loops=1, witness_us=0, behaviour=answer, **settings
    ):
        self.sandbox = sandbox
        self.backend = sandbox.scripted("app", behaviour)
        self.well = sandbox.scripted("well", answer)  # no test does it any harm
        points = {edge: "0us" for edge in transfers()}
        points.update(item.split("=") for item in schedule.split(",") if item)
        frame = FRAME.format(
            build=udr_environment.build_directory(),
            loops=loops,
            backend=self.backend.address,
            well=self.well.address,
            parameters=parameters,
        )
        self.httpd = sandbox.httpd(
            frame + config,
            mpm="event",
            modules=["status", *settings.pop("modules", ())],
            threads=settings.pop("threads", 4),
            udsroute_log_level="info",
            environment={
                "UDSROUTE_SCHEDULE": ",".join(f"{point}={delay}" for point, delay in points.items()),
                "UDR_WITNESS_PAUSE_US": str(witness_us),
            },
            **settings,
        )
        self.httpd.log.allow("AH00484")  # all threads are busy: that is what delays are for
        self.port = self.httpd.port
        self._warm_up()
        (self.child,) = self.httpd.children()
        self._before = self._wait_for_calm()

    def _warm_up(self):
        """What is opened once and kept is open from now on."""
        for _ in range(2):
            with Client(self.port) as client:
                for path in (target(), target("/well"), STATIC):
                    status = client.fetch(path).status
                    assert status == 200, f"{path}: {status}"

    def _figures(self):
        """mod_status's. The MPM counts its connections anew only when one of them has waited for too long."""
        port = self.httpd.tls_port
        with Client(port) as client:
            assert_right(client.fetch(STATIC), STATIC)
            assert client.closed_by_server()
        page = fetch(port, "/server-status?auto", fields=[("Connection", "close")]).text
        return {name: int(value) for name, value in re.findall(r"^(\w+): (\d+)$", page, re.M) if name in FIGURES}

    def _holdings(self):
        """What the child holds when nobody wants anything of it; of connections to members as many as these know of."""
        figures = self._figures()
        ports = (self.httpd.port, self.httpd.tls_port)
        wait_until(lambda: tcp_connections(ports) == 0, "the child to close what its clients have closed")
        members, others = descriptors(self.child)
        return {
            "threads": len(os.listdir(f"/proc/{self.child}/task")),
            "members": members - len(self.backend.open_connections) - len(self.well.open_connections),
            "descriptors": others,
            **figures,
        }

    def _wait_for_calm(self):
        """What it holds, once nothing is under way any more."""
        return wait_until(self._calm_holdings, "the threads to be idle", 10, 0.02)

    def _calm_holdings(self):
        holdings = self._holdings()
        return holdings if holdings["BusyWorkers"] == 1 and holdings["members"] == 0 else None

    def assert_as_before(self):
        """The same child holds no more than at the beginning."""
        assert self.httpd.children() == [self.child]

        def holds_no_more():
            # (A socket of the beginning may have been about to be closed.)
            return all(value <= self._before[name] for name, value in self._holdings().items())
        try:
            wait_until(holds_no_more, "the child to hold no more than before", 15, 0.05)
        except AssertionError as problem:
            raise AssertionError(f"{problem}: {self._holdings()} instead of {self._before}") from None

    def has_come(self, path):
        """Whether the backend has got a request for it."""
        return any(request.target == path for request in self.backend.requests)

    def counts(self):
        """How often the children that have ended have passed each point of the schedule."""
        counts = {}
        for point, count in re.findall(r"schedule: (\S+) passed (\d+) times\n", self._log_text()):
            counts[point] = counts.get(point, 0) + int(count)
        return counts

    def _log_text(self):
        return self.httpd.log.path.read_text(errors="replace")

    def end(self):
        """Ends httpd; how often its children have passed each point of the schedule, and how often a loop was held."""
        self.sandbox.stop(self.httpd)
        return self.counts(), re.findall(r"a loop was held for .*", self._log_text())

    def finish(self, *edges, least=None):
        """The end of a test: nothing has been lost, each of the transfers was taken often enough, no step of the loop
        has blocked. Returns how often each point was passed."""
        self.assert_as_before()
        counts, holds = self.end()
        rare = {edge: counts.get(edge) for edge in edges if counts.get(edge, 0) < (ROUNDS if least is None else least)}
        assert not rare, f"not forced often enough: {rare} of {counts}"
        assert_not_held(holds)
        return counts


def assert_not_held(holds):
    """On a busy machine a lock's owner is off the processor now and then; what blocks does so each time."""
    assert len(holds) <= 3 + ROUNDS // 50, "\n".join(holds)


# --- clients ----------------------------------------------------------------------------------------------------------


def pause(most_us):
    """Up to so long; often not at all, as what comes at once meets other things than what comes soon."""
    if random.random() < 0.7:
        time.sleep(random.uniform(0, most_us) / 1e6)


def leave(client):
    """Closes in one of the ways there are: in order, by a reset, by half and then in order."""
    way = random.randrange(3)
    if way == 0:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif way == 1:
        try:
            client.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        pause(2000)
    client.close()


def closed_without_answer(client, path, fields=()):
    """Sends a request where httpd may just be closing. Its answer; None when it was closed without a byte of one."""
    try:
        client.send_request("GET", path, fields)
        return client.read_response()
    except (Closed, ConnectionError) as problem:
        assert not client.stream.buffer, f"{problem}: {bytes(client.stream.buffer)[:200]!r}"
        return None


def in_rounds(act, *more, rounds=None, clients=CLIENTS):
    """Calls act(number) so many times, by several clients at once, and each of `more` all the while; the first failure
    ends it all."""
    numbers = itertools.count()
    failures = []
    is_over = threading.Event()

    def work(own):
        try:
            while not failures and not is_over.is_set():
                number = next(numbers) if own is act else None
                if own is act and number >= (rounds or ROUNDS):
                    return
                own(number)
        except BaseException as failure:  # pylint: disable=broad-except  (raised again below)
            failures.append(failure)

    actors = [threading.Thread(target=work, args=(act,)) for _ in range(clients)]
    others = [threading.Thread(target=work, args=(other,)) for other in more]
    for thread in actors + others:
        thread.start()
    for thread in actors:
        thread.join()
    is_over.set()
    for thread in others:
        thread.join()
    if failures:
        raise failures[0]
