# SPDX-License-Identifier: Apache-2.0
"""The short path's system calls: one client, one connection that lives on a loop, a thousand small requests. Counted by
strace(1), which must be installed and may trace the processes that the test starts."""
import collections
import re
import time

import pytest

import udr_environment
from udr_loops import adopted, loop_httpd
from udr_processes import wait_until

REQUESTS = 1000

# "12345 recvfrom(7, ..." in strace's output with -f; resumed lines are no further calls.
CALL = re.compile(r"^(?P<thread>\d+) +(?P<name>\w+)\((?P<arguments>.*)")


class Trace:
    """What a process's threads call while the test does something."""

    def __init__(self, sandbox, pid):
        self.sandbox = sandbox
        self.file = sandbox.root / "strace.out"
        command = [udr_environment.program("strace"), "-f", "-y", "-s", "32", "-o", self.file, "-p", str(pid)]
        self.server = sandbox.server("strace", command)
        wait_until(lambda: "attached" in self.server.output(), f"strace to attach: {self.server.output()}", 20)
        self.calls = collections.Counter()
        self.by_thread = collections.defaultdict(collections.Counter)
        self.failed = collections.Counter()  # with EAGAIN, by name
        self.in_vain = 0  # how often a loop that waits awake has found nothing
        self.begun = time.monotonic()
        self.seconds = None

    def end(self):
        self.seconds = time.monotonic() - self.begun
        self.sandbox.stop(self.server)
        for line in self.file.read_text(errors="replace").splitlines():
            # One client alone: the loop may wait awake for what comes next, and asks in vain until it is there.
            if re.search(r"epoll_wait.*, 0\) += 0$", line):
                self.calls["epoll_wait"] -= "resumed" in line
                self.in_vain += 1
                continue
            if "<anon_inode:inotify>" in line:
                self._leave_out(line)
                continue
            # A debug build tells of each step that has taken long: on a busy machine, many.
            if udr_environment.sanitized() and "/error.log>" in line:
                continue
            match = CALL.match(line)
            if match:
                self.calls[match["name"]] += 1
                self.by_thread[match["thread"]][match["name"]] += 1
            if "EAGAIN" in line:
                self.failed[re.sub(r"^\d+ +(<\.\.\. )?(\w+).*", r"\2", line)] += 1
        return self

    def _leave_out(self, line):
        """Whatever anybody does in the directories above the socket's wakes the loop: not counted are the reads of it,
        the ioctl(2) that says how much there is to read, and the wait that has ended with it."""
        if "FIONREAD" in line:
            self.calls["epoll_wait"] -= 1


def count(trace, *names):
    """How many calls of these names there were for each request."""
    return sum(trace.calls[name] for name in names) / REQUESTS


def show(trace):
    """For whoever looks at what a failed test has printed."""
    print(f"{trace.seconds:.1f} s")
    for name, number in trace.calls.most_common():
        print(f"{name}: {number / REQUESTS:.3f} a request, of which EAGAIN {trace.failed[name] / REQUESTS:.3f}")
    print(f"epoll_wait, awake and in vain: {trace.in_vain / REQUESTS:.3f} a request")
    for thread, calls in trace.by_thread.items():
        print(thread, dict(calls))


@pytest.fixture(name="single")
def _single(sandbox):
    """A thousand requests on one adopted connection."""
    httpd = loop_httpd(sandbox, "")
    (child,) = httpd.children()
    with adopted(httpd) as client:
        for _ in range(20):  # what is done once is done
            assert client.fetch("/short").text == "/short"
        trace = Trace(sandbox, child)
        for _ in range(REQUESTS):
            assert client.fetch("/short").text == "/short"
        trace.end()
    show(trace)
    return trace


@pytest.fixture(name="crowd")
def _crowd(sandbox):
    """As many on twenty connections, on each of which one is under way at any time."""
    httpd = loop_httpd(sandbox, "")
    (child,) = httpd.children()
    clients = [adopted(httpd) for _ in range(20)]

    def turn():
        for client in clients:
            client.send_request("GET", "/short")
        assert [client.read_response().text for client in clients] == ["/short"] * len(clients)

    turn()
    trace = Trace(sandbox, child)
    for _ in range(REQUESTS // len(clients)):
        turn()
    trace.end()
    for client in clients:
        client.close()
    show(trace)
    return trace


# More than none: timers of the loop and of the MPM go on meanwhile, and a connection to the member may be replaced.
FEW = 0.05

# What the loop's timers cost at most, in reads and in waits: on a busy machine a thousand requests take half a minute.
A_SECOND = 5

CONNECTING = ("socket", "connect", "close", "fcntl", "getsockopt", "epoll_ctl")


def assert_economical(trace, reads, waits, total):
    assert 1 <= count(trace, "sendmsg", "sendto") <= 1 + FEW  # the request to the member, in one piece
    assert 1 <= count(trace, "write", "writev") <= 1 + FEW  # the response to the client, in one piece
    some = FEW + A_SECOND * trace.seconds / REQUESTS
    assert count(trace, "read", "readv", "recvfrom", "recvmsg") <= reads + some
    assert count(trace, "epoll_wait", "epoll_pwait", "poll", "ppoll") <= waits + some
    assert count(trace, "futex") <= FEW  # no other thread has to do with it
    if not udr_environment.sanitized():  # which asks for memory and gives it back as it likes
        assert count(trace, "mmap", "munmap", "brk", "madvise") <= FEW
        assert sum(trace.calls.values()) / REQUESTS <= total + FEW


def test_one_client(single):
    """Two events a request. Three reads: of the client, whether the member has closed, of the member."""
    assert_economical(single, reads=3, waits=2, total=9)
    assert count(single, *CONNECTING) <= FEW


def test_many_clients(crowd):
    """What comes together is taken together: fewer waits for each."""
    assert_economical(crowd, reads=3, waits=1.5, total=9)


def test_one_thread_does_it_all(single):
    """The loop's: no request wakes another."""
    busiest = max(single.by_thread.values(), key=lambda calls: sum(calls.values()))
    assert sum(busiest.values()) >= 0.95 * sum(single.calls.values())
