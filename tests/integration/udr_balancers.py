# SPDX-License-Identifier: Apache-2.0
"""For the tests of balancers: configuration, members that can be killed and started again, and load that counts what
fails."""
import collections
import itertools
import json
import re
import signal
import threading
import time

import udr_environment
import udr_wire
from udr_client import Client, fetch
from udr_processes import wait_until

# What a child says when members come and go under load: each test says whether that was to happen.
GOES_AND_COMES = r"UDR0034: member"
PATIENCE = 15.0  # seconds; of a client
MEMBER = "%{UDSROUTE_MEMBER}e"


def balancer(sandbox, members, *settings, path="/"):
    """A <UDSBalancer> and the route to it. members: name of the socket -> its parameters."""
    lines = ["<UDSBalancer app>"]
    lines += [f"UDSMember {target(sandbox, name)} {parameters}" for name, parameters in members.items()]
    lines += [f'UDSSet "{setting}"' for setting in settings]
    lines += ["</UDSBalancer>", f"UDSRoute {path} balancer://app{path}"]
    return "\n".join(lines) + "\n"


def target(sandbox, name):
    """All with the same host: only the socket tells them apart."""
    return f"unix:{sandbox.socket(name)}|http://localhost/"


def processes_for(clients, mpm=None):
    """Stands in front of a configuration: prefork, which makes further processes slowly, has one for each from the
    start. (children * threads of the settings are its limit.)"""
    is_prefork = (mpm or udr_environment.mpm()) == "prefork"
    return f"StartServers {clients}\nMaxSpareServers {2 * clients}\n" if is_prefork else ""


def start_members(sandbox, names):
    """Scripted servers that answer their own name: name -> server."""
    return {name: sandbox.scripted(name, _say(name)) for name in names}


def _say(name):
    return lambda exchange: exchange.respond(body=name)


def elections(httpd, count):
    """How often each member is in the access log (whose format is MEMBER) once that has `count` lines."""
    lines = httpd.access_lines(count, 20)
    assert len(lines) == count
    return collections.Counter(name for line in lines for name in re.findall(r"/(\w+)\.sock", line))


class Member:
    """A program on a socket that comes and goes. command: of the program, given the socket's path."""

    def __init__(self, sandbox, name, command):
        self.sandbox = sandbox
        self.name = name
        self.socket = sandbox.socket(name)
        self._command = command(self.socket)
        self._server = None

    def start(self, wait=True):
        environment = {**udr_environment.clean_environment(), "ASAN_OPTIONS": "detect_leaks=0"}
        socket = self.socket if wait else None
        self._server = self.sandbox.server(self.name, self._command, socket=socket, environment=environment)
        return self

    def wait(self):
        """Until it accepts connections."""
        self._server.wait_for_socket(self.socket)

    def end(self, number):
        """SIGKILL: what is under way is lost, and the file stays. SIGTERM: in order."""
        if number == signal.SIGKILL:
            self._server.kill()
        self.sandbox.stop(self._server)

    def restart(self, number, down):
        """Down for that many seconds at least."""
        self.end(number)
        time.sleep(down)
        self.start(wait=False)


def udsbackend(*options):
    """The project's own backend, for Member."""
    return lambda socket: [udr_environment.backend_path(), "--socket", socket, "--mode", "0666", *options]


# --- the status -------------------------------------------------------------------------------------------------------

STATUS = """
UDSRoute /udsroute-status !
<Location /udsroute-status>
    SetHandler udsroute-status
</Location>
"""


def status(httpd):
    """The members of the only balancer, by the name of their socket."""
    answer = fetch(httpd.port, "/udsroute-status?format=json", fields=[("Connection", "close")])
    assert answer.get("Content-Type") == "application/json"
    (app,) = [one for one in json.loads(answer.body)["balancers"] if one["name"] == "app"]
    return {member["socket"].rpartition("/")[2].removesuffix(".sock"): member for member in app["members"]}


def figures(httpd, name):
    """Of one figure, each member's."""
    return {member: values[name] for member, values in status(httpd).items()}


# --- load -------------------------------------------------------------------------------------------------------------


class Load:
    """Clients with a connection each that send requests, as many per second in all as they are told (None: as fast as
    they get answers), until `with` ends or each has sent its share of `requests`."""

    def __init__(self, httpd, clients, rate=None, requests=None, request=None):
        """request: called with (client, number), returns the response; default: GET /ux."""
        self.port = httpd.port
        self.answers = []  # (number, status, seconds); status 0: none came
        self._request = request or (lambda client, number: client.fetch("/ux"))
        self._pause = clients / rate if rate else 0
        self._share = requests // clients if requests else None
        self._numbers = itertools.count(1)
        self._ending = threading.Event()
        self._begun = self._ended = 0
        self._threads = [threading.Thread(target=self._run, args=(i * self._pause / clients,)) for i in range(clients)]

    def __enter__(self):
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        if kind or self._share is None:
            self._ending.set()
        self.join()

    def join(self):
        for thread in self._threads:
            thread.join(60)
        self._ended = time.monotonic()
        assert not any(thread.is_alive() for thread in self._threads), "a client got no answer"

    def wait_for_more(self, count):
        """Until there are that many more answers."""
        enough = len(self.answers) + count
        wait_until(lambda: len(self.answers) >= enough, f"{count} more answers", 60 + count / 50, 0.02)

    def __str__(self):
        seconds = self._ended - self._begun
        return (f"{len(self.answers)} requests in {seconds:.1f} s, {dict(self.statuses)}, "
                f"the longest {self.longest * 1000:.0f} ms")

    @property
    def statuses(self):
        return collections.Counter(status for _, status, _ in self.answers)

    @property
    def longest(self):
        return max(seconds for _, _, seconds in self.answers)

    def _run(self, delay):
        client = None
        due = time.monotonic() + delay
        sent = 0
        while not self._ending.wait(max(0, due - time.monotonic())) and sent != self._share:
            number = next(self._numbers)
            begun = time.monotonic()
            client, status = self._send(client, number)
            self.answers.append((number, status, time.monotonic() - begun))
            # A client that has waited goes on at its pace, and doesn't make up for it.
            due = max(due + self._pause, time.monotonic())
            sent += 1
        if client:
            client.close()

    def _send(self, client, number):
        """One request. A kept connection that httpd has closed meanwhile (it restarts) is no failure: as any client
        does, the request goes once more, on a new one."""
        for is_kept in (True, False):
            if is_kept and not client:
                continue
            if not is_kept:
                client = Client(self.port, timeout=PATIENCE)
            try:
                response = self._request(client, number)
                status = response.status if response.complete else 0
            except (udr_wire.Closed, OSError) as problem:
                untouched = is_kept and not client.stream.buffer and not isinstance(problem, TimeoutError)
                client.close()
                client = None
                if untouched:
                    continue
                return None, 0
            if not client.reusable:
                client.close()
                client = None
            return client, status
        raise AssertionError("unreachable")
