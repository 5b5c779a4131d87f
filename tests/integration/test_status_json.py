# SPDX-License-Identifier: Apache-2.0
"""SetHandler udsroute-status with ?format=json: what it tells, that it is true, and who may read it."""
import concurrent.futures
import json
import re
import socket

import pytest

from udr_client import fetch
from udr_environment import threaded_mpm
from udr_loops import adopted, connect, loop_httpd
from udr_processes import wait_until
from udr_tunnel import Switchboard, chat_route, open_tunnel, tunnel_httpd

PAGE = "/udsroute-status"
STATUS = f"<Location {PAGE}>\nSetHandler udsroute-status\n</Location>\n"

SERVER = {"version", "mpm", "generation", "uptime_s", "parked", "tunnels"}
MEMBER = set(
    "name socket scheme state weight lbset route health backlog busy queued elected failed retried held"
    " bytes_in bytes_out latency_us open idle".split()
)
HEALTH = {"method", "verdict", "last_check", "last_error", "passes", "fails"}


def read(httpd, client=None):
    """The whole object; as seen by whichever child answers."""
    target = f"{PAGE}?format=json"
    response = client.fetch(target) if client else fetch(httpd.port, target, fields=[("Connection", "close")])
    assert (response.status, response.get("Content-Type")) == (200, "application/json"), response.text
    return json.loads(response.body.decode("utf-8"))


def members(state, balancer):
    """The members of the balancer of that name, by the ends of their sockets' names."""
    (found,) = [one for one in state["balancers"] if one["name"] == balancer]
    return {re.sub(r".*/|\.sock$", "", one["socket"]): one for one in found["members"]}


def only_member(state):
    (balancer,) = state["balancers"]
    (member,) = balancer["members"]
    return member


def target(sandbox, name):
    return f"unix:{sandbox.socket(name)}|http://localhost/"


def balancer_of(sandbox, lines, settings=""):
    """A balancer `app` on /app/; lines: (socket's name, parameters)."""
    text = "".join(f'UDSMember "{target(sandbox, name)}" {parameters}\n' for name, parameters in lines)
    text += f"UDSSet {settings}\n" if settings else ""
    return f"<UDSBalancer app>\n{text}</UDSBalancer>\nUDSRoute /app/ balancer://app/\n"


def test_hosts_that_differ_in_their_addresses_alone(sandbox):
    """Their balancers of one name are two, each with counters and limits of its own."""
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body="here"))
    hosts = "".join(
        f"<VirtualHost {address}:@PORT@>\nServerName same.example\n<UDSBalancer app>\n"
        f'UDSMember "unix:{backend.address}|http://localhost/" {limit}\n</UDSBalancer>\nUDSRoute /app/ balancer://app/\n'
        "</VirtualHost>\n"
        for address, limit in (("127.0.0.1", "maxconn=7"), ("127.0.0.9", ""))
    )
    httpd = sandbox.httpd(STATUS + hosts)
    for _ in range(3):
        assert fetch(httpd.port, "/app/").text == "here"
    elected = [balancer["members"][0]["elected"] for balancer in read(httpd)["balancers"]]
    assert sorted(elected) == [0, 3]


@pytest.mark.parametrize("name", ["ServerName same.example\n", ""], ids=["one name", "no name"])
def test_hosts_that_differ_in_their_aliases_alone(sandbox, name):
    """The same: httpd serves each of them by its alias. Over restarts, too."""
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body="here"))
    hosts = "".join(
        f"<VirtualHost *:@PORT@>\n{name}ServerAlias {alias}.example\n<UDSBalancer app>\n"
        f'UDSMember "unix:{backend.address}|http://localhost/" {word}\n</UDSBalancer>\nUDSRoute /app/ balancer://app/\n'
        "</VirtualHost>\n"
        for alias, word in (("one", ""), ("two", "status=+D"), ("three", ""))
    )
    httpd = sandbox.httpd(STATUS + hosts)
    httpd.log.allow("UDR0035")  # the second host has nobody
    for turn in (1, 2):
        for alias, count, status in (("one", 1, 200), ("two", 1, 503), ("three", 2, 200)):
            for _ in range(count):
                assert fetch(httpd.port, "/app/", host=f"{alias}.example").status == status
        told = [balancer["members"][0] for balancer in read(httpd)["balancers"]]
        assert sorted((member["elected"], member["state"]) for member in told) == [
            (0, "disabled"), (turn, "up"), (2 * turn, "up")
        ]  # fmt: skip
        httpd.renew()
    metrics = fetch(httpd.port, f"{PAGE}?format=prometheus").text
    labels = set(re.findall(r'^udsroute_up{balancer="([^"]*)"', metrics, re.MULTILINE))
    first = min(labels, key=len)
    assert first.startswith(f"app@{'same.example' if name else 'localhost'}:{httpd.port}@*:{httpd.port}")
    assert labels == {first, f"{first}#2", f"{first}#3"}


@pytest.fixture(name="backend")
def _backend(sandbox, gate):
    def behave(exchange):
        if exchange.request.target.startswith("/app/held"):
            gate.wait()
        exchange.respond(body=b"x" * 100)

    return sandbox.scripted("app", behave)


def plain(backend, parameters=""):
    return f"UDSRoute /app/ unix:{backend.address}|http://localhost/app/ {parameters}\n"


# --- what is told -----------------------------------------------------------------------------------------------------


def test_all_that_is_promised(sandbox, backend):
    config = f"<UDSBalancer Team>\nUDSMember unix:{backend.address}|http://localhost/ route=r1 loadfactor=2.5 lbset=0\n"
    config += f"UDSMember {target(sandbox, 'b')} lbset=3\nUDSSet lbmethod=hash:header:X-Tenant\n</UDSBalancer>\n"
    config += "UDSRoute /team balancer://team/base\nUDSRoute /no !\n"
    config += f'UDSRouteMatch "^/m/(.*)" {target(sandbox, "c")}$1\n'
    httpd = sandbox.httpd(config + STATUS)
    state = read(httpd)
    assert set(state) == {"server", "balancers", "routes"} and set(state["server"]) == SERVER
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", state["server"]["version"])
    assert state["server"]["mpm"] == httpd.settings.mpm and state["server"]["uptime_s"] < 60
    assert [(one["name"], one["lbmethod"]) for one in state["balancers"]] == [
        ("team", "hash:header:X-Tenant"),
        (target(sandbox, "c") + "$1", "byrequests"),
    ]
    for member in [member for balancer in state["balancers"] for member in balancer["members"]]:
        assert set(member) == MEMBER and set(member["health"]) == HEALTH
        assert set(member["latency_us"]) == {"p50", "p90", "p99", "max"}
    first, second = members(state, "team").values()
    assert (first["name"], first["scheme"]) == (f"unix:{backend.address}|http://localhost/", "http")
    assert (first["weight"], first["lbset"], first["route"]) == (2.5, 0, "r1")
    assert (second["weight"], second["lbset"], second["route"]) == (1, 3, None)
    assert state["routes"] == [
        {"path": "/team", "target": "balancer://team/base"},
        {"path": "/no", "target": "!"},
        {"path": "^/m/(.*)", "target": target(sandbox, "c") + "$1"},
    ]


def test_without_any_route(sandbox):
    state = read(sandbox.httpd(STATUS))
    assert set(state["server"]) == SERVER and state["balancers"] == state["routes"] == []


def test_each_thing_once(sandbox, backend):
    """Lines to one socket share all figures, whatever virtual host they are in; one host has no lines of its own."""
    one = f"UDSRoute {{}} unix:{backend.address}|http://localhost/ {{}}\n"
    config = STATUS + one.format("/a", "") + one.format("/b", "timeout=3")
    config += "<VirtualHost *:@PORT@>\nServerName none\n</VirtualHost>\n"
    config += "<VirtualHost *:@PORT@>\nServerName own\n" + one.format("/c", "") + "</VirtualHost>\n"
    config += "<Location /d>\n" + one.format("", "") + "</Location>\n"
    config += f'<Location /e>\nSetHandler "udsroute:unix:{backend.address}|http://localhost/"\n</Location>\n'
    state = read(sandbox.httpd(config, mpm=threaded_mpm()))
    assert len(state["balancers"]) == 1 and only_member(state)["elected"] == 0
    assert [route["path"] for route in state["routes"]] == ["/a", "/b", "/d", "/c"]


def test_odd_names(sandbox):
    """What a configuration may hold, JSON's own characters included."""
    names = ['q"uote', "back\\\\slash", "K\u00f6ln-\u20ac-\U0001f418", "<b>&amp;"]
    config = "".join(
        f'UDSRoute "/{number}-{name}" "{target(sandbox, name)}"\n'
        for number, name in enumerate(name.replace('"', '\\"') for name in names)
    )
    state = read(sandbox.httpd(STATUS + config))
    names = [name.replace("\\\\", "\\") for name in names]  # httpd has taken the quotes away
    assert [route["path"] for route in state["routes"]] == [f"/{number}-{name}" for number, name in enumerate(names)]
    assert [one["members"][0]["socket"] for one in state["balancers"]] == [f"unix:{sandbox.socket(n)}" for n in names]


def test_state_words(sandbox, backend):
    flags = {"stopped": "+S", "disabled": "+D", "draining": "+N", "spare": "+R", "standby": "+H", "down": "+E"}
    lines = [("app", ""), *((word, f"status={flag}") for word, flag in flags.items())]
    lines += [("never", "lbset=9"), ("worst", "status=+DSNRHE"), ("held", "status=+DNR"), ("gone", "status=+RE")]
    httpd = sandbox.httpd(balancer_of(sandbox, lines, "retry=1h") + STATUS)
    assert fetch(httpd.port, "/app/x").status == 200
    told = members(read(httpd), "app")
    words = {name: member["state"] for name, member in told.items()}
    assert words.pop("app") == "up" and words.pop("never") == "unknown"
    assert (words.pop("worst"), words.pop("held"), words.pop("gone")) == ("stopped", "disabled", "down")
    assert words == {word: word for word in flags}
    assert told["down"]["health"]["last_error"] == "marked as failed (status=+E)"
    verdicts = [told[name]["health"]["verdict"] for name in ("app", "never", "down", "spare")]
    assert verdicts == ["up", "unknown", "down", "unknown"]


def test_backlog(sandbox):
    """As the kernel tells it: connections that nobody has accepted yet."""
    full = sandbox.scripted("full", backlog=7, accepting=False)
    config = f"UDSRoute /a unix:{full.address}|http://localhost/\nUDSRoute /b {target(sandbox, 'absent')}\n"
    httpd = sandbox.httpd(STATUS + config)
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for one in waiting:
        one.connect(full.address)
    backlogs = [balancer["members"][0]["backlog"] for balancer in read(httpd)["balancers"]]
    for one in waiting:
        one.close()
    assert backlogs == [{"now": 3, "max": 7}, None]


# --- figures ----------------------------------------------------------------------------------------------------------


def use_both_children(httpd, path, served):
    """Requests until each of two children has served some; returns how many. served: lines of the access log so far."""
    for count in range(1, 501):
        assert fetch(httpd.port, path, fields=[("Connection", "close")]).status == 200
        lines = httpd.access_lines(served + count)[served:]
        if len(set(lines)) > 1:
            return count
    raise AssertionError("one child has served all of 500 requests")


def test_counts_of_two_children(sandbox, backend):
    """All requests are counted, and each child tells the same."""
    httpd = sandbox.httpd(plain(backend) + STATUS, children=2, threads=4, access_log="%P")
    count = use_both_children(httpd, "/app/x", 0)
    steady = []
    wait_until(lambda: only_member(read(httpd))["busy"] == 0, "nothing to be in flight")
    served = len(httpd.access_lines(count + 1))
    for _ in range(use_both_children(httpd, PAGE, served)):
        member = only_member(read(httpd))
        steady.append([member[key] for key in ("elected", "failed", "retried", "held", "bytes_in", "bytes_out")])
    assert all(one == [count, 0, 0, 0, 100 * count, 0] for one in steady), steady
    latency = only_member(read(httpd))["latency_us"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"] < 10_000_000


def test_failures(sandbox, backend):
    """A member that is not there fails one request, which another one serves."""
    lines = [("absent", "retry=1h"), ("app", "")]
    httpd = sandbox.httpd(balancer_of(sandbox, lines) + STATUS)
    httpd.log.allow(r"UDR\d{4}.*absent")
    assert [fetch(httpd.port, "/app/x", "POST", body=b"12345").status for _ in range(6)] == [200] * 6
    told = members(read(httpd), "app")
    figures = {name: [one[key] for key in ("elected", "failed", "retried", "state")] for name, one in told.items()}
    assert figures == {"absent": [1, 1, 1, "down"], "app": [6, 0, 0, "up"]}
    assert told["absent"]["health"]["last_error"] == "no socket file (No such file or directory)"
    assert told["app"]["health"]["last_error"] is None
    assert told["app"]["bytes_out"] == 30


def test_failure_of_the_only_member(sandbox):
    """Each request that finds nobody has failed; nothing was sent again."""
    httpd = sandbox.httpd(f"UDSRoute /app/ {target(sandbox, 'absent')} retry=0 hold=0\n" + STATUS)
    httpd.log.allow(r"UDR\d{4}.*absent")
    assert [fetch(httpd.port, "/app/x").status for _ in range(3)] == [503] * 3
    member = only_member(read(httpd))
    assert [member[key] for key in ("elected", "failed", "retried", "state")] == [3, 3, 0, "down"]


def test_busy_and_queued(sandbox, backend, gate):
    httpd = sandbox.httpd(plain(backend, "maxconn=2") + STATUS, mpm=threaded_mpm(), children=2, threads=8)
    clients = [connect(httpd) for _ in range(5)]
    for client in clients:
        client.send_request("GET", "/app/held")
    figures = lambda: [only_member(read(httpd))[key] for key in ("busy", "queued")]
    wait_until(lambda: figures() == [2, 3], "two requests to be in flight and three to wait")
    gate.open()
    assert [client.read_response().status for client in clients] == [200] * 5
    wait_until(lambda: figures() == [0, 0], "nothing to be in flight")
    for client in clients:
        client.close()


def test_connections_to_the_member(sandbox, backend, gate):
    httpd = sandbox.httpd(plain(backend) + STATUS, mpm=threaded_mpm(), children=2, threads=8)
    figures = lambda: [only_member(read(httpd))[key] for key in ("open", "idle")]
    assert figures() == [0, 0]
    clients = [connect(httpd) for _ in range(4)]
    for client in clients:
        client.send_request("GET", "/app/held")
    wait_until(lambda: figures() == [4, 0], "four connections in use")
    gate.open()
    assert [client.read_response().status for client in clients] == [200] * 4
    wait_until(lambda: figures() == [4, 4], "four idle connections")
    for client in clients:
        client.close()
    httpd.graceful()
    wait_until(lambda: figures() == [0, 0], "the old children and their connections to be gone", 20)


def test_many_who_ask_at_once(sandbox, backend):
    """Each adds up what its child holds; all are told the same. (Routes with settings of their own have each a pool.)"""
    config = "".join(f'UDSRoute /{number} "{target(sandbox, "app")}" ttl={100 + number}\n' for number in range(60))
    httpd = sandbox.httpd(config + STATUS, mpm=threaded_mpm(), children=1, threads=8)
    assert fetch(httpd.port, "/7/x").status == 200
    figures = lambda: tuple(only_member(read(httpd))[key] for key in ("open", "idle"))
    wait_until(lambda: figures() == (1, 1), "an idle connection")
    with concurrent.futures.ThreadPoolExecutor(6) as askers:
        told = list(askers.map(lambda _: figures(), range(900)))
    assert set(told) == {(1, 1)}
    assert len(backend.connections) == 1


def test_parked_requests(sandbox, backend, gate):
    """Of all children together; the page itself is served to a connection on a loop, too."""
    httpd = loop_httpd(sandbox, plain(backend) + STATUS, children=2)
    clients = [adopted(httpd) for _ in range(6)]
    for client in clients[1:]:
        client.send_request("GET", "/app/held")
    parked = lambda: read(httpd, clients[0])["server"]["parked"]
    wait_until(lambda: parked() == 5, "five requests to be parked")
    gate.open()
    assert [client.read_response().status for client in clients[1:]] == [200] * 5
    wait_until(lambda: parked() == 0, "no request to be parked")
    for client in clients:
        client.close()


@pytest.mark.parametrize("loops,mpm", [("1", "event"), ("Off", "event"), ("1", "worker")])
def test_tunnels(sandbox, loops, mpm):
    """On a loop or on threads of their own; also those of a child that dies are gone."""
    board = Switchboard(sandbox)
    httpd = tunnel_httpd(sandbox, f"UDSLoops {loops}\n" + chat_route(board) + STATUS, mpm=mpm)
    ends = [open_tunnel(httpd, board) for _ in range(3)]
    tunnels = lambda: read(httpd)["server"]["tunnels"]
    wait_until(lambda: tunnels() == 3, "three tunnels")
    ends[0][0].close()
    ends[0][1].close()
    wait_until(lambda: tunnels() == 2, "two tunnels")
    (child,) = httpd.children()
    httpd.kill_child(child)
    wait_until(lambda: httpd.children() not in ([], [child]), "a new child", 20)
    wait_until(lambda: (read(httpd)["server"]["tunnels"], only_member(read(httpd))["busy"]) == (0, 0), "no tunnel")
    for near, far in ends[1:]:
        near.close()
        far.close()


def test_graceful_restart(sandbox, backend):
    """Counters go on; httpd's generation tells that it was restarted."""
    httpd = sandbox.httpd(plain(backend) + STATUS)
    assert fetch(httpd.port, "/app/x").status == 200
    before = read(httpd)["server"]
    httpd.graceful()
    wait_until(lambda: read(httpd)["server"]["generation"] == before["generation"] + 1, "the next generation")
    assert fetch(httpd.port, "/app/x").status == 200
    state = read(httpd)
    assert only_member(state)["elected"] == 2 and state["server"]["uptime_s"] >= before["uptime_s"]


# --- as a resource ----------------------------------------------------------------------------------------------------


@pytest.fixture(name="guarded", scope="module")
def _guarded(module_sandbox):
    open_page = STATUS.replace("</Location>", "Require ip 127.0.0.1\n</Location>")
    shut_page = STATUS.replace(PAGE, "/shut").replace("</Location>", "Require ip 192.0.2.1\n</Location>")
    return module_sandbox.httpd(open_page + shut_page + f"UDSRoute /app {target(module_sandbox, 'app')}\n")


def test_head(guarded):
    """The same fields, and no body."""
    got, head = [fetch(guarded.port, f"{PAGE}?format=json", method) for method in ("GET", "HEAD")]
    assert (head.status, head.body) == (200, b"") and got.body.endswith(b"}\n")
    for field in ("Content-Type", "Cache-Control"):
        assert head.get(field) == got.get(field)
    assert got.get("Cache-Control") == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_methods_that_are_refused(guarded, method):
    response = fetch(guarded.port, PAGE, method, body=b"state=down" if method != "DELETE" else None)
    assert response.status == 405
    assert set(response.get("Allow").split(",")) - {"TRACE"} == {"GET", "HEAD", "OPTIONS"}
    assert "balancers" not in response.text


def test_require(guarded):
    """The directory's authorization decides, for each method."""
    guarded.log.allow("AH01630")
    assert [fetch(guarded.port, "/shut?format=json", method).status for method in ("GET", "HEAD", "POST")] == [403] * 3
    response = fetch(guarded.port, "/shut?format=json")
    assert b"balancers" not in response.body
    assert fetch(guarded.port, PAGE).status == 200
