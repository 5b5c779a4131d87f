# SPDX-License-Identifier: Apache-2.0
"""Sockets come and go in a directory at random, under load: no request fails, and nothing is left of those that went."""
import os
import pathlib
import random
import re
import time

import pytest

import udr_environment
from test_balancer_globs import CAME, FULL, GONE, lines
from udr_balancers import GOES_AND_COMES, STATUS, Load, balancer, figures, processes_for, status
from udr_environment import campaign
from udr_processes import open_descriptors, wait_until

SOCKETS = campaign(60, 1000)
PER_SECOND = 8.4
NAMES = [f"app-{number}" for number in range(100)]  # some come back
GROWTH = 20
FASTER = re.compile(r"UDR0056: .* (\d+) more have come, (\d+) more have gone")
CLIENTS = 6
CROWD = 12  # at once, at most: there is a place for each, and for one that drains for each client

CHILDREN = {"event": 4, "no loops": 2, "worker": 2, "prefork": 1}


class Storm:
    """Scripted servers that start and end at random, and never are none."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.random = random.Random()
        self.servers = {}
        self.begun = 0

    def begin(self):
        name = self.random.choice([name for name in NAMES if name not in self.servers])
        self.servers[name] = self.sandbox.scripted(name, lambda exchange: exchange.respond(body=name))
        self.begun += 1

    def end(self):
        """In order, the file first; or as one that is killed: connections break, its file goes later."""
        server = self.servers.pop(self.random.choice(list(self.servers)))
        if self.random.random() < 0.5:
            os.unlink(server.address)
            time.sleep(0.02)
            server.settle()
        self.sandbox.stop(server)

    def blow(self):
        """Until SOCKETS have come."""
        while self.begun < SOCKETS:
            if len(self.servers) < 2 or (len(self.servers) < CROWD and self.random.random() < 0.5):
                self.begin()
                time.sleep(self.random.uniform(0, 2 / PER_SECOND))
            else:
                self.end()
        while len(self.servers) > 2:
            self.end()


def told(httpd):
    """How many have come and gone, as the log has it: one by one, or counted when a minute is over."""
    counted = FASTER.findall(httpd.log.path.read_text())
    came = len(lines(httpd, CAME)) + sum(int(more) for more, _ in counted)
    return came, len(lines(httpd, GONE)) + sum(int(more) for _, more in counted)


def watches(pid):
    """proc(5): a line of fdinfo for each."""
    count = 0
    for file in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            count += file.read_text().count("inotify wd:")
        except OSError:
            pass  # closed meanwhile
    return count


def holdings(httpd):
    """Of each child: descriptors, watches."""
    return {pid: (open_descriptors(pid), watches(pid)) for pid in httpd.children()}


@pytest.mark.campaign
@pytest.mark.parametrize("name", udr_environment.RUNNERS)
def test_storm(sandbox, name):
    mpm, head = udr_environment.RUNNERS[name]
    children = CHILDREN[name]
    storm = Storm(sandbox)
    storm.begin()
    storm.begin()
    config = head + STATUS + processes_for(CLIENTS, mpm)
    config += balancer(sandbox, {"app-*": "ttl=1 retry=1"}, f"growth={GROWTH}")
    httpd = sandbox.httpd(config, mpm=mpm, children=children, threads=16, udsroute_log_level="info")
    httpd.log.allow(GOES_AND_COMES)
    with Load(httpd, clients=CLIENTS, rate=300) as load:
        load.wait_for_more(200)
        memory = httpd.private_bytes()
        before = holdings(httpd)
        storm.blow()
    print(storm.begun, "sockets;", load)
    assert set(load.statuses) == {200}, load.statuses
    assert not lines(httpd, FULL)
    wait_until(lambda: set(status(httpd)) == set(storm.servers), "the others to be forgotten")
    wait_until(lambda: set(figures(httpd, "busy").values()) == {0}, "all to be counted")
    wait_until(lambda: told(httpd)[0] - told(httpd)[1] == len(storm.servers), f"all to be told: {told(httpd)}", 90)
    assert told(httpd)[0] <= storm.begun
    if mpm == "prefork":
        return  # its children come and go as well
    # Two sockets, each child has a connection for each client at most, and what a server has anyway.
    most = {pid: (files + 2 * CLIENTS, count) for pid, (files, count) in before.items()}
    wait_until(
        lambda: all(now <= most[pid] and now[1] == most[pid][1] for pid, now in holdings(httpd).items()),
        f"descriptors and watches to be as before: {before}, {holdings(httpd)}",
    )
    assert httpd.private_bytes() < memory + (4 << 20) * children, f"{memory} -> {httpd.private_bytes()}"
