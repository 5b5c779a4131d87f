# SPDX-License-Identifier: Apache-2.0
"""What tunnels cost: no thread, little memory, and nothing any more when they have ended."""
import pathlib

import pytest

from udr_environment import sanitized, threaded_mpm
from udr_loops import adopted, busy_threads, fetch_short, loop_httpd
from udr_loops import connect as connect_to
from udr_processes import open_descriptors, wait_until
from udr_tunnel import Switchboard, ask, chat_route, noise, open_tunnel, switched, tunnel_httpd

WAYS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])

MIB = 1024 * 1024
COUNT = 300
# Four threads take as many connections; and what has been opened is silent until the last one is.
ROOM = "AsyncRequestWorkerFactor 256\nUDSTimeout 600\n"


def threads_of(pid):
    (line,) = [
        line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Threads:")
    ]
    return int(line.split()[1])


@WAYS
def test_a_tunnel_holds_no_thread(sandbox, tls):
    """Fifty on four threads, of which none is busy; requests are served beside them, and more tunnels opened."""
    switchboard = Switchboard(sandbox)
    httpd = loop_httpd(sandbox, ROOM + chat_route(switchboard), tls=tls)
    tunnels = [open_tunnel(httpd, switchboard, tls, come) for come in (connect_to, adopted) for _ in range(25)]
    wait_until(lambda: busy_threads(httpd) == 0, "the threads to be free", 10, 0.02)
    assert fetch_short(httpd, tls)
    for number, (near, far) in enumerate(tunnels):
        near.send(b"%05d" % number)
        assert far.read(5) == b"%05d" % number
    wait_until(lambda: busy_threads(httpd) == 0, "the threads to be free", 10, 0.02)
    for near, far in tunnels:
        near.close()
        far.close()


def test_many_threads_worth_of_work_in_tunnels_holds_none(sandbox):
    """Neither does one that carries much all the time: others are served meanwhile."""
    switchboard = Switchboard(sandbox)
    httpd = loop_httpd(sandbox, chat_route(switchboard))
    tunnels = [open_tunnel(httpd, switchboard) for _ in range(8)]
    for near, far in tunnels:
        far.send_until_stuck(noise(16 * MIB), 0.1)
        near.send_until_stuck(noise(16 * MIB), 0.1)
    wait_until(lambda: busy_threads(httpd) == 0, "the threads to be free", 10, 0.02)
    assert fetch_short(httpd)
    for near, far in tunnels:
        near.reset()
        far.close()
    httpd.log.allow("UDR0007.*in step tunnel")


def round_of_tunnels(httpd, switchboard, tls):
    """So many at once, each with a few words, ended from either side."""
    tunnels = []
    for _ in range(COUNT // 6 if tls else COUNT):  # a client's TLS takes its time here
        client = connect_to(httpd, tls)
        ask(client, along=b"hello")
        tunnels.append((switched(client), switchboard.next_end()))
    for near, far in tunnels:
        assert far.read(5) == b"hello"
        far.send(b"world")
        assert near.read(5) == b"world"
    for number, (near, far) in enumerate(tunnels):
        first, second = (near, far) if number % 2 else (far, near)
        first.close()
        assert second.ends()
        second.close()


@WAYS
def test_nothing_is_left(sandbox, tls):
    """Descriptors, threads and memory are back where they were, however often."""
    switchboard = Switchboard(sandbox)
    httpd = loop_httpd(sandbox, ROOM + chat_route(switchboard), tls=tls, quarantine_mb=1)
    (child,) = httpd.children()
    figures = []
    for _ in range(4):
        round_of_tunnels(httpd, switchboard, tls)
        wait_until(lambda: busy_threads(httpd) == 0, "the threads to be free", 10, 0.02)
        # One of those of the beginning may have been about to be closed, or not yet made.
        settled = figures[0][0] + 10 if figures else 100
        wait_until(lambda wanted=settled: open_descriptors(child) <= wanted, "the descriptors to be closed", 20, 0.02)
        figures.append((open_descriptors(child), threads_of(child), httpd.private_bytes()))
    descriptors, threads, memory = zip(*figures)
    assert max(descriptors) <= descriptors[0] + 10 < 110, figures
    assert len(set(threads)) == 1, figures
    # The first round makes what is kept for use again; what every tunnel left behind would show in the others.
    assert max(memory[2:]) - memory[1] < (8 if sanitized() else 1) * MIB, figures


def test_memory_of_an_idle_tunnel(sandbox):
    """No more than the pools that httpd itself has for a connection and a request; measured exactly elsewhere."""
    switchboard = Switchboard(sandbox)
    httpd = loop_httpd(sandbox, ROOM + chat_route(switchboard), quarantine_mb=1)
    round_of_tunnels(httpd, switchboard, False)
    before = httpd.private_bytes()
    tunnels = [open_tunnel(httpd, switchboard) for _ in range(COUNT)]
    after = httpd.private_bytes()
    for near, far in tunnels:
        near.close()
        far.close()
    assert (after - before) / COUNT < (256 if sanitized() else 64) * 1024


def test_tunnels_of_worker_and_prefork_end_with_their_threads_free(sandbox):
    """Where each holds one: it is there for others afterwards."""
    switchboard = Switchboard(sandbox)
    httpd = tunnel_httpd(sandbox, chat_route(switchboard), mpm=threaded_mpm(), threads=4)
    for _ in range(5):
        tunnels = [open_tunnel(httpd, switchboard) for _ in range(3)]
        for near, far in tunnels:
            near.close()
            assert far.ends()
            far.close()
