# SPDX-License-Identifier: Apache-2.0
"""Who gets how many of the requests, by method; over two children, or four."""
import collections
import time

import pytest

from udr_balancers import MEMBER, Load, Member, balancer, elections, processes_for, start_members, udsbackend
from udr_client import Client, fetch, h2load
from udr_environment import campaign
from udr_loops import Gate
from udr_processes import wait_until

WEIGHTS = {"a": 1, "b": 2, "c": 5}
CHILDREN = campaign(2, 4)


@pytest.mark.campaign
@pytest.mark.parametrize("clients", [1, 32])
def test_byrequests(sandbox, clients):
    for name in WEIGHTS:
        Member(sandbox, name, udsbackend("--threads", "1")).start()
    config = balancer(sandbox, {name: f"loadfactor={weight}" for name, weight in WEIGHTS.items()})
    httpd = sandbox.httpd(config, children=CHILDREN, udsroute_log_level="notice", access_log=MEMBER)
    load = h2load(httpd.url("/ux"), 10000, clients)
    assert load.flawless, load.output
    counts = elections(httpd, 10000)
    print(counts)
    for name, weight in WEIGHTS.items():
        share = 10000 * weight / sum(WEIGHTS.values())
        assert abs(counts[name] - share) <= share / 100, counts


def test_byrequests_takes_turns(sandbox):
    """The heavy one doesn't get its share in a row."""
    start_members(sandbox, WEIGHTS)
    config = balancer(sandbox, {name: f"loadfactor={weight}" for name, weight in WEIGHTS.items()})
    httpd = sandbox.httpd(config, children=1)
    with Client(httpd.port) as client:
        order = "".join(client.fetch("/x").text for _ in range(16))
    assert collections.Counter(order) == {"a": 2, "b": 4, "c": 10}
    assert "cccc" not in order


# --- hash -------------------------------------------------------------------------------------------------------------

TEN = [f"m{number}" for number in range(10)]


def places(httpd, keys):
    """Which member answers each of the keys."""
    with Client(httpd.port) as client:
        return {key: client.fetch("/x", fields=[("X-Key", key)]).text for key in keys}


@pytest.mark.campaign
def test_hash(sandbox):
    """The same key gets the same member, in each child; only the keys of a member that goes move."""
    servers = start_members(sandbox, TEN)
    config = balancer(sandbox, {name: "retry=60 hold=0" for name in TEN}, "lbmethod=hash:header:X-Key")
    httpd = sandbox.httpd(config, children=CHILDREN, udsroute_log_level="notice")
    keys = [f"key{number}" for number in range(campaign(600, 10000))]
    before = places(httpd, keys)
    assert [places(httpd, keys) for _ in range(2)] == [before] * 2
    shares = collections.Counter(before.values())
    assert set(shares) == set(TEN)
    sandbox.stop(servers["m3"])
    after = places(httpd, keys)
    httpd.log.expect("UDR0034: member .*m3")
    moved = [key for key in keys if after[key] != before[key]]
    assert {before[key] for key in moved} == {"m3"}
    print(f"{len(moved)} of {len(keys)} keys have moved; before: {dict(shares)}")
    # Few keys show more of chance than of the method.
    assert 0 < len(moved) <= campaign(0.2, 0.12) * len(keys)
    assert max(shares.values()) <= campaign(2, 1.25) * len(keys) / len(TEN)


@pytest.mark.parametrize("key,requests", [
    ("hash:uri", [("/one", ""), ("/two", ""), ("/three", "")]),
    ("hash:cookie:C", [("/x", "C=one"), ("/x", "B=2; C=two"), ("/x", "C=three; D=1")]),
    ("hash:ip", [("/x", ""), ("/y", "C=1")]),
    ("hash:env:KEY", [("/x", ""), ("/y", "C=1")]),
])  # fmt: skip
def test_what_is_hashed(sandbox, key, requests):
    start_members(sandbox, TEN)
    config = "SetEnvIf Request_URI ^(.*)$ KEY=same\n" + balancer(sandbox, {name: "" for name in TEN}, f"lbmethod={key}")
    httpd = sandbox.httpd(config)
    ask = lambda path, cookie: fetch(httpd.port, path, fields=[("Cookie", cookie)] if cookie else []).text
    chosen = [[ask(*request) for request in requests] for _ in range(4)]
    assert chosen == [chosen[0]] * 4
    if key in ("hash:ip", "hash:env:KEY"):
        assert len(set(chosen[0])) == 1


# --- by what the members are doing ------------------------------------------------------------------------------------


@pytest.mark.campaign
def test_leasttime(sandbox):
    """A member that is ten times slower gets less than a fifth of its share."""

    def answer_after(seconds):
        def behave(exchange):
            time.sleep(seconds)
            exchange.respond(body="x")

        return behave

    # Beside these times what a busy machine adds has to be little.
    requests, fast = campaign((800, 0.02), (10000, 0.003))
    for name in "abcd":
        sandbox.scripted(name, answer_after(10 * fast if name == "a" else fast))
    config = balancer(sandbox, {name: "" for name in "abcd"}, "lbmethod=leasttime")
    httpd = sandbox.httpd(config, children=CHILDREN, udsroute_log_level="notice", access_log=MEMBER)
    with Load(httpd, clients=8, requests=requests):
        pass
    counts = elections(httpd, requests)
    print(counts)
    assert counts["a"] < requests / 4 / 5


def test_bybusyness(sandbox):
    """Those that hold requests get no more; by weight."""
    gate = Gate()
    servers = {name: sandbox.scripted(name, lambda exchange: (gate.wait(), exchange.respond())) for name in "ab"}
    config = processes_for(16) + balancer(sandbox, {"a": "loadfactor=1", "b": "loadfactor=3"}, "lbmethod=bybusyness")
    httpd = sandbox.httpd(config, children=2)
    clients = [Client(httpd.port) for _ in range(12)]
    for number, client in enumerate(clients, 1):
        client.send_request("GET", "/x")
        wait_until(lambda: sum(len(server.requests) for server in servers.values()) == number, "the request to arrive")
    counts = {name: len(server.requests) for name, server in servers.items()}
    gate.open()
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    assert counts == {"a": 3, "b": 9}


def test_bytraffic(sandbox):
    """Where the answers are large, few go."""
    sizes = {"a": 90_000, "b": 10_000}
    for name, size in sizes.items():
        sandbox.scripted(name, lambda exchange, size=size: exchange.respond(body=b"x" * size))
    config = balancer(sandbox, {"a": "", "b": ""}, "lbmethod=bytraffic")
    httpd = sandbox.httpd(config, children=2, access_log=MEMBER)
    with Client(httpd.port) as client:
        for _ in range(300):
            assert client.fetch("/x").complete
    counts = elections(httpd, 300)
    assert counts["b"] / counts["a"] == pytest.approx(9, rel=0.15)
