# SPDX-License-Identifier: Apache-2.0
"""Directories that are large, or change all the time, or can't be read for a while: what that costs, and what is told."""
import contextlib
import os
import re
import socket
import threading
import time

import udr_environment
from test_balancer_globs import CAME, GONE, UNREADABLE, Crowd, await_members, lines, start_httpd
from test_capacity import descriptors
from udr_balancers import status
from udr_client import Client
from udr_processes import cpu_seconds, open_descriptors, wait_until

FILES = 20_000
DESCRIPTORS = 96  # more than the child has without a client, once each of its 32 threads has served one
SHORT_OF, FASTER = "UDR0055", "UDR0056"
QUOTA = 100  # lines of a kind in a minute
EVENT = udr_environment.RUNNERS["event"]  # whose children watch, and keep many connections


class Unrest:
    """A file in the sockets' directory that changes its name all the time, while `with` lasts."""

    def __init__(self, directory):
        self._names = [directory / "restless-1.sock", directory / "restless-2.sock"]
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        self._names[0].touch()
        while not self._ends.wait(0.002):
            os.rename(*self._names)
            self._names.reverse()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ends.set()
        self._thread.join()


def test_large_directory_that_changes_all_the_time(sandbox):
    """It takes a small share of a core (a twentieth, and what else the child does), and who comes is found."""
    directory = sandbox.sockets / "run"
    directory.mkdir()
    for number in range(FILES):
        (directory / f"{number}.sock").touch()
    crowd = Crowd(sandbox, "run/a")
    httpd = start_httpd(sandbox, runner=EVENT, pattern="run/*", children=1)
    await_members(httpd, "run/a")
    with Unrest(directory):
        begun, used = time.monotonic(), cpu_seconds(httpd.children())
        time.sleep(4)
        share = (cpu_seconds(httpd.children()) - used) / (time.monotonic() - begun)
        assert share < 0.25, f"{share:.2f} of a core"
        crowd.start("run/b")
        wait_until(lambda: lines(httpd, CAME, "run/b.sock"), "it to be found", 30)
    await_members(httpd, "run/a", "run/b")


def test_directory_that_cannot_be_read_for_want_of_descriptors(sandbox):
    """The log says what is wanting; when there are some again, who has come meanwhile is found without another event."""
    crowd = Crowd(sandbox, "a")
    with descriptors(DESCRIPTORS):
        httpd = start_httpd(sandbox, runner=EVENT, children=1)
    # That they are few; that .htaccess can't be read; a connection too many for a moment.
    httpd.log.allow("UDR0021|AH00529|AH02179")
    await_members(httpd, "a")
    (child,) = httpd.children()
    with contextlib.ExitStack() as clients:
        while open_descriptors(child) < DESCRIPTORS:
            client = clients.enter_context(Client(httpd.port))
            client.send_request("GET", "/udsroute-status")
            assert client.read_response().status in (200, 403)
        crowd.start("b")
        httpd.log.expect(f"{SHORT_OF}: the directory of unix:.*descriptors")
        assert not lines(httpd, CAME, "b.sock")
    wait_until(lambda: lines(httpd, CAME, "b.sock"), "the directory to be read again")
    wait_until(lambda: open_descriptors(child) < DESCRIPTORS - 8, "the clients' descriptors to be closed")
    await_members(httpd, "a", "b")
    assert not lines(httpd, UNREADABLE)


def test_more_lines_than_anybody_reads(sandbox):
    """So many a minute; then how many were left out."""
    more = 7
    httpd = start_httpd(sandbox, "", f"growth={QUOTA + more}", runner=EVENT)
    held = []
    paths = [sandbox.sockets / f"{number}.sock" for number in range(QUOTA + more)]
    for path in paths:
        held.append(socket.socket(socket.AF_UNIX))
        held[-1].bind(str(path))
        held[-1].listen()
    wait_until(lambda: len(status(httpd)) == QUOTA + more, "all of them")
    for path, listener in zip(paths, held):
        path.unlink()
        listener.close()
    wait_until(lambda: not status(httpd), "all of them to be gone")
    # Who finds out tells behind it.
    wait_until(lambda: len(lines(httpd, CAME)) == len(lines(httpd, GONE)) == QUOTA, "a hundred lines of each kind")
    wait_until(lambda: lines(httpd, FASTER), "what was left out to be told", 90)
    (line,) = lines(httpd, FASTER)
    found = re.search(r"a minute (\d+) more have come, (\d+) more have gone, and 0 warnings", line)
    # A child that is slow to read the directory may find somebody once more whom another has just seen go.
    assert found and found[1] == found[2] and more <= int(found[1]) <= 2 * more
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(paths[0]))
        wait_until(lambda: len(lines(httpd, CAME)) == QUOTA + 1, "the next one to be told")
        paths[0].unlink()
