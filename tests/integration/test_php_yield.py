# SPDX-License-Identifier: Apache-2.0
"""PHP-FPM has few processes, and each serves one connection, also while that is idle: no request waits for a process
that an idle connection keeps, whichever of httpd's children holds it; and where nobody waits, connections are reused."""
import concurrent.futures
import os
import random
import socket

import pytest

import udr_environment
from udr_client import Client
from udr_php import files_config, make_site, start_fpm
from udr_processes import unix_sockets_under, wait_until

PROCESSES = 4
# Of a request that takes no time: far less than ttl, and far more than a busy machine needs.
PROMPT = 15
HUNGRY = "idle ones are to be given up"
# How long it took to make a connection; 0: another request's was used again.
ACCESS_LOG = "%U %{UDSROUTE_CONNECT_US}e"

# More threads than there are clients: event closes those that are idle when all threads of a child are at work.
SERVERS = {"prefork": {"mpm": "prefork", "children": 1, "threads": 16}}
if udr_environment.threaded_mpm() == "event":
    SERVERS["event"] = {"mpm": "event", "children": 4, "threads": 16, "loops": "Off"}
    SERVERS["loops"] = {"mpm": "event", "children": 4, "threads": 16, "loops": "2"}


@pytest.fixture(params=SERVERS)
def server(request):
    return dict(SERVERS[request.param])


@pytest.fixture
def fpm(sandbox):
    return start_fpm(sandbox, children=PROCESSES)


def start_httpd(sandbox, fpm, server, parameters="", ttl="1h"):
    """One whose idle connections stay for an hour, if nobody wants them given up."""
    root = make_site(sandbox)
    loops = server.pop("loops", None)
    config = f"KeepAlive On\nKeepAliveTimeout 60\nMaxKeepAliveRequests 0\n{f'UDSLoops {loops}' if loops else ''}\n"
    config += f'UDSRoute "/" "unix:{fpm.socket}|fcgi://localhost{root}/" ttl={ttl} {parameters}\n'
    return sandbox.httpd(config, access_log=ACCESS_LOG, udsroute_log_level="trace5", **server)


class Crowd:
    """Clients that keep their connections: under prefork each has a process of httpd's."""

    def __init__(self, httpd, count, timeout=PROMPT):
        self.clients = [Client(httpd.port, timeout=timeout) for _ in range(count)]
        self._pool = concurrent.futures.ThreadPoolExecutor(count)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pool.shutdown()
        for client in self.clients:
            client.close()

    def occupy(self, indexes, path="/pid.php"):
        """Has them ask at once, for a while, until each of PHP's processes has served one of them; how often they had
        to. (A client that the machine keeps is served by a process that is through with another's.)"""
        for turn in range(1, 20):
            if len(set(self.ask(indexes, f"{path}?ms=300"))) >= PROCESSES:
                return turn
        raise AssertionError("not all of PHP's processes serve them")

    def ask(self, indexes, target="/pid.php"):
        """All of them at once; PHP's processes that have answered."""
        answers = list(self._pool.map(lambda index: self.clients[index].fetch(target), indexes))
        assert all(answer.status == 200 for answer in answers), answers
        return [answer.text for answer in answers]


def count_made(httpd, requests):
    """For how many of so many requests a connection was made."""
    return sum(not line.endswith(" 0") for line in httpd.access_lines(requests))


def count_served(fpm):
    """How many connections PHP's processes have."""
    return unix_sockets_under(os.path.dirname(fpm.socket)).count(fpm.socket) - 1  # the one that listens


def count_hungry(httpd):
    return httpd.log.path.read_text().count(HUNGRY)


# --- nobody waits for an idle connection ------------------------------------------------------------------------------


def test_request_gets_the_process_that_an_idle_connection_of_another_child_keeps(sandbox, fpm):
    """Under prefork: four clients, four processes of httpd's, and PHP's four; then others come, one by one."""
    httpd = start_httpd(sandbox, fpm, dict(SERVERS["prefork"]))
    with Crowd(httpd, 12) as crowd:
        crowd.occupy(range(4))
        before = count_hungry(httpd)  # PHP's processes may have been late, on a busy machine
        for index in (*range(4, 12), *range(12)):
            crowd.ask([index])
        assert count_hungry(httpd) > before


@pytest.mark.parametrize("parameters", ["", "min=4"])
def test_nobody_waits_whoever_holds_the_connections(sandbox, fpm, server, parameters):
    """Now these clients, then those, whichever child they are with; as many at once as PHP has processes, and more."""
    httpd = start_httpd(sandbox, fpm, server, parameters)
    chance = random.Random(1)
    with Crowd(httpd, 12) as crowd:
        for count in (4, 1, 4, 2, 4, 12, 4, 8, 1, 4, 3, 4) * 3:
            crowd.ask(chance.sample(range(12), count), "/pid.php?ms=20")
    assert count_hungry(httpd) > 0


@pytest.mark.parametrize("others", ["route", "handler", "balancer"])
def test_members_at_one_socket_share_its_processes(sandbox, fpm, server, others):
    """Whatever their paths: the connections of one are given up for the requests of another."""
    loops = server.pop("loops", None)
    root = make_site(sandbox)
    target = f"unix:{fpm.socket}|fcgi://localhost{root}"
    lines = {
        "route": f'UDSRoute "/other" "{target}/" ttl=1h',
        "handler": files_config(fpm, root),
        "balancer": f'<UDSBalancer b>\nUDSMember "{target}" ttl=1h\n</UDSBalancer>\nUDSRoute "/other" "balancer://b"',
    }
    config = f"{f'UDSLoops {loops}' if loops else ''}\nKeepAliveTimeout 60\nMaxKeepAliveRequests 0\n"
    config += f'UDSRoute "/one" "{target}" ttl=1h\n{lines[others]}\n'
    httpd = sandbox.httpd(config, udsroute_log_level="trace5", **server)
    other = "/pid.php" if others == "handler" else "/other/pid.php"
    with Crowd(httpd, 8) as crowd:
        for path in ("/one/pid.php", other, "/one/pid.php", other):
            crowd.occupy(range(4), path)
            crowd.ask(range(4, 8), f"{path}?ms=20")
    assert count_hungry(httpd) > 0


def test_old_children_give_up_their_connections(sandbox, fpm):
    """A graceful restart: a child that still serves somebody holds idle connections, too, and for an hour."""
    threaded = {"mpm": udr_environment.threaded_mpm(), "children": 1, "threads": 16}
    httpd = start_httpd(sandbox, fpm, threaded)
    old_child = httpd.children()
    with Crowd(httpd, PROCESSES) as old, Client(httpd.port) as slow:
        old.occupy(range(PROCESSES))
        slow.send_request("GET", "/stream.php?count=600")  # for longer than the rest takes
        assert slow.read_interim().status == 200
        httpd.graceful()
        assert len(set(httpd.children()) & set(old_child)) == 1
        with Crowd(httpd, 8) as new:
            assert any(len(set(new.ask(range(8), "/pid.php?ms=300"))) >= PROCESSES - 1 for _ in range(5))
        assert len(set(httpd.children()) & set(old_child)) == 1
    assert count_hungry(httpd) > 0


def test_mod_proxy_fcgi_has_requests_wait_for_idle_connections(sandbox, fpm):
    """The comparison: what happens where idle connections are kept and nobody gives them up."""
    root = make_site(sandbox)
    config = "KeepAlive On\nKeepAliveTimeout 60\n"
    config += f'ProxyPass "/" "unix:{fpm.socket}|fcgi://localhost{root}/" enablereuse=on\n'
    httpd = sandbox.httpd(config, modules=("proxy", "proxy_fcgi"), **SERVERS["prefork"])
    with Crowd(httpd, PROCESSES) as crowd, Client(httpd.port, timeout=2) as late:
        crowd.occupy(range(PROCESSES))
        with pytest.raises(socket.timeout):
            late.fetch("/pid.php")


def test_a_prefork_child_that_waits_for_clients_closes_idle_connections_after_ttl(sandbox, fpm):
    """PHP-FPM may have other clients than this httpd."""
    httpd = start_httpd(sandbox, fpm, dict(SERVERS["prefork"]), ttl="1s")
    with Crowd(httpd, PROCESSES) as crowd:
        turns = crowd.occupy(range(PROCESSES))
        assert httpd.log.path.read_text().count("connection kept") == turns * PROCESSES
        wait_until(lambda: count_served(fpm) == 0, "the idle connections to be closed")


# --- connections are reused -------------------------------------------------------------------------------------------


def test_connections_are_reused_on_a_busy_site(sandbox, fpm, server):
    """As many requests at once as PHP has processes."""
    httpd = start_httpd(sandbox, fpm, server)
    with Crowd(httpd, PROCESSES) as crowd:
        for _ in range(100):
            crowd.ask(range(PROCESSES))
    assert count_made(httpd, 100 * PROCESSES) < 20 * PROCESSES
