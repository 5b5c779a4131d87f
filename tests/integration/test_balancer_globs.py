# SPDX-License-Identifier: Apache-2.0
"""Members from a directory: `UDSMember "unix:/run/app/*.sock|…"`. They come and go without a reload."""
import collections
import os
import socket
import time

import pytest

import udr_environment
from udr_balancers import GOES_AND_COMES, MEMBER, STATUS, Load, balancer, figures, processes_for, status
from udr_client import Client, fetch
from udr_loops import Gate
from udr_processes import wait_until
from udr_status import Forms, read_members, status_section

CAME, GONE, FULL, UNUSABLE, UNREADABLE = "UDR0050", "UDR0051", "UDR0052", "UDR0053", "UDR0054"


def start_httpd(sandbox, parameters="", *settings, runner=None, pattern="*", more="", **options):
    """One line for all sockets that match."""
    mpm, head = runner or (udr_environment.mpm(), "")
    config = head + STATUS + more + balancer(sandbox, {pattern: parameters}, *settings)
    options = {"children": 2, "udsroute_log_level": "info", **options}
    return sandbox.httpd(config, mpm=mpm, **options)


class Crowd:
    """Scripted servers on sockets in one directory: name -> server. Each answers its name."""

    def __init__(self, sandbox, *names):
        self.sandbox = sandbox
        self.servers = {}
        for name in names:
            self.start(name)

    def start(self, name, behaviour=None):
        self.servers[name] = self.sandbox.scripted(name, behaviour or (lambda exchange: exchange.respond(body=name)))

    def stop(self, name):
        """As a server ends: no new connections, what is under way is answered, the file goes."""
        self.sandbox.stop(self.servers.pop(name))


def who(httpd, count=16):
    """Who answers, over that many requests."""
    return {fetch(httpd.port, "/x").text for _ in range(count)}


def await_members(httpd, *names):
    """Until just these take the requests."""
    wait_until(lambda: who(httpd) == set(names), f"requests to go to {names}\n{httpd.log.text()}")


def lines(httpd, number, name=""):
    return [line.raw for line in httpd.log.find(rf"{number}: .*{name}")]


# --- coming and going -------------------------------------------------------------------------------------------------


def test_come_and_go(sandbox, runner):
    """Each is told once, whatever the number of children."""
    crowd = Crowd(sandbox, "a", "b")
    httpd = start_httpd(sandbox, runner=runner, children=4, threads=8)
    await_members(httpd, "a", "b")
    crowd.start("c")
    await_members(httpd, "a", "b", "c")
    crowd.stop("a")
    await_members(httpd, "b", "c")
    crowd.start("a")
    await_members(httpd, "a", "b", "c")
    counts = lambda: {name: tuple(len(lines(httpd, told, f"/{name}.sock")) for told in (CAME, GONE)) for name in "abc"}
    # Who finds out tells behind it.
    wait_until(lambda: counts() == {"a": (2, 1), "b": (1, 0), "c": (1, 0)}, f"all to be told\n{httpd.log.text()}")


def test_first_request_finds_members(sandbox):
    Crowd(sandbox, "a", "b")
    httpd = start_httpd(sandbox)
    assert fetch(httpd.port, "/x").status == 200


def test_only_sockets_that_match(sandbox):
    """Not what is hidden, no other files, no other names."""
    (sandbox.sockets / "app-file.sock").write_text("no socket")
    (sandbox.sockets / "app-directory.sock").mkdir()
    Crowd(sandbox, "app-1", ".app-2", "other", "app-10")
    httpd = start_httpd(sandbox, pattern="app-?")
    await_members(httpd, "app-1")
    assert set(status(httpd)) == {"app-1"}


def test_link_to_a_socket(sandbox):
    elsewhere = sandbox.root / "elsewhere"
    elsewhere.mkdir()
    sandbox.scripted(str(elsewhere / "real.sock"), lambda exchange: exchange.respond(body="real"))
    httpd = start_httpd(sandbox)
    httpd.log.allow("UDR0035")
    (sandbox.sockets / "a.sock").symlink_to(elsewhere / "real.sock")
    await_members(httpd, "real")


def test_beside_single_members(sandbox):
    """A socket with a line of its own has that line's parameters, and is a member once."""
    crowd = Crowd(sandbox, "a", "b")
    config = STATUS + balancer(sandbox, {"*": "", "a": "loadfactor=7 route=alpha"})
    httpd = sandbox.httpd(config, children=2)
    await_members(httpd, "a", "b")
    assert {name: member["weight"] for name, member in status(httpd).items()} == {"a": 7, "b": 1}
    crowd.start("c")
    await_members(httpd, "a", "b", "c")


def test_two_patterns(sandbox):
    """What matches both belongs to the first line."""
    Crowd(sandbox, "a1", "b1")
    config = STATUS + balancer(sandbox, {"a*": "loadfactor=3", "*": ""})
    httpd = sandbox.httpd(config, children=2)
    await_members(httpd, "a1", "b1")
    assert {name: member["weight"] for name, member in status(httpd).items()} == {"a1": 3, "b1": 1}


def test_name_comes_back_to_its_counters(sandbox):
    crowd = Crowd(sandbox, "a", "b")
    httpd = start_httpd(sandbox)
    for _ in range(20):
        assert fetch(httpd.port, "/x").status == 200
    wait_until(lambda: sum(figures(httpd, "busy").values()) == 0, "all to be counted")
    before = figures(httpd, "elected")
    assert sum(before.values()) == 20 and before["a"] > 0
    crowd.stop("a")
    wait_until(lambda: set(status(httpd)) == {"b"}, "a to be forgotten")
    crowd.start("a")
    wait_until(lambda: set(status(httpd)) == {"a", "b"}, "a to be back")
    assert figures(httpd, "elected") == before


def test_graceful_restart_keeps_members_and_counters(sandbox):
    crowd = Crowd(sandbox, "b", "c")
    httpd = start_httpd(sandbox)
    crowd.start("a")  # they came in another order than that of their names
    await_members(httpd, "a", "b", "c")
    wait_until(lambda: sum(figures(httpd, "busy").values()) == 0, "all to be counted")
    before = figures(httpd, "elected")
    httpd.renew()
    assert figures(httpd, "elected") == before
    await_members(httpd, "a", "b", "c")
    assert len(lines(httpd, CAME)) == 3 and not lines(httpd, GONE)


def test_places_that_members_speak_of(sandbox):
    """UDSRouteReverse knows them by the line, whoever they are."""
    crowd = Crowd(sandbox)
    crowd.start("a", lambda exchange: exchange.respond(302, fields=[("Location", "http://localhost/there")]))
    httpd = start_httpd(sandbox, more="UDSRouteReverse / balancer://app/\n")
    public = f"localhost:{httpd.port}"
    assert fetch(httpd.port, "/x", host=public).get("Location") == f"http://{public}/there"


def test_running_requests_end(sandbox):
    """A member whose socket goes gets no more requests, and those under way are answered."""
    gate = Gate()
    crowd = Crowd(sandbox, "b")
    crowd.start("a", lambda exchange: (gate.wait(), exchange.respond(body="late")))
    httpd = start_httpd(sandbox)
    clients = [Client(httpd.port) for _ in range(4)]
    for client in clients:
        client.send_request("GET", "/x")
    wait_until(lambda: sum(len(one.requests) for one in crowd.servers.values()) == 4, "all to have arrived")
    assert crowd.servers["a"].requests
    os.unlink(sandbox.socket("a"))
    wait_until(lambda: status(httpd)["a"]["state"] == "draining", "a to drain")
    busy = figures(httpd, "busy")["a"]
    assert busy > 0 and who(httpd) == {"b"}
    gate.open()
    answers = [client.read_response().text for client in clients]
    assert answers.count("late") == busy and len(answers) == 4
    for client in clients:
        client.close()
    wait_until(lambda: set(status(httpd)) == {"b"}, "a to be forgotten")
    sandbox.stop(crowd.servers.pop("a"))


def test_replaced_file(sandbox):
    """Another server under the same name: nothing goes to the old one."""
    crowd = Crowd(sandbox, "a")
    httpd = start_httpd(sandbox)
    assert fetch(httpd.port, "/x").text == "a"
    old = crowd.servers["a"]
    os.rename(sandbox.socket("a"), sandbox.root / "old")
    sandbox.scripted("a", lambda exchange: exchange.respond(body="new"))
    await_members(httpd, "new")
    assert len(old.requests) >= 1


# --- the directory ----------------------------------------------------------------------------------------------------


def test_directory_removed_and_made_again(sandbox, runner):
    directory = sandbox.sockets / "run"
    directory.mkdir()
    crowd = Crowd(sandbox, "run/a")
    httpd = start_httpd(sandbox, "hold=0", pattern="run/*", runner=runner)
    await_members(httpd, "run/a")
    for name in ("b", "c"):
        for server in list(crowd.servers):
            crowd.stop(server)
        directory.rmdir()
        wait_until(lambda: fetch(httpd.port, "/x").status == 503, "nobody to be left")
        httpd.log.allow("UDR0035|UDR0004")  # that nobody is there, or a request has found that out by itself
        directory.mkdir()
        crowd.start(f"run/{name}")
        await_members(httpd, f"run/{name}")


def test_directory_that_comes_later(sandbox):
    httpd = start_httpd(sandbox, pattern="run/app/*")
    assert fetch(httpd.port, "/x").status == 503
    httpd.log.expect("UDR0035: .*no socket that matches unix:.*/run/app/\\*.sock .*UDSMember on line")
    httpd.log.allow("UDR0035")
    (sandbox.sockets / "run/app").mkdir(parents=True)
    Crowd(sandbox, "run/app/a")
    await_members(httpd, "run/app/a")


def test_directory_that_children_cannot_read(sandbox):
    """They can pass through it: what the parent has found serves; that they can't look is said once."""
    directory = sandbox.sockets / "run"
    directory.mkdir()
    crowd = Crowd(sandbox, "run/a")
    directory.chmod(0o711)
    httpd = start_httpd(sandbox, pattern="run/*", children=3)
    assert who(httpd) == {"run/a"}
    httpd.log.expect(f"{UNREADABLE}: the directory of unix:.*give the user")
    crowd.start("run/b")
    assert who(httpd) == {"run/a"}
    directory.chmod(0o755)
    await_members(httpd, "run/a", "run/b")
    crowd.start("run/c")
    await_members(httpd, "run/a", "run/b", "run/c")
    assert len(lines(httpd, UNREADABLE)) == 1


# --- limits -----------------------------------------------------------------------------------------------------------


def test_more_sockets_than_growth(sandbox):
    """Told once; whoever is left out comes in when a place is free."""
    crowd = Crowd(sandbox, *"abcde")
    httpd = start_httpd(sandbox, "", "growth=3")
    await_members(httpd, "a", "b", "c")
    httpd.log.expect(f"{FULL}: .*growth=3.*: d.sock ")
    crowd.stop("b")
    await_members(httpd, "a", "c", "d")
    crowd.stop("a")
    await_members(httpd, "c", "d", "e")
    assert len(lines(httpd, FULL)) == 1
    crowd.start("a")
    wait_until(lambda: who(httpd, 1) and len(lines(httpd, FULL)) == 2, "the next one to be left out")
    httpd.log.expect(f"{FULL}: .*: a.sock ")
    assert who(httpd) == {"c", "d", "e"}


def test_name_too_long(sandbox):
    """Left out, and told once."""
    long = f"{'x' * 95}.sock"
    crowd = Crowd(sandbox, "a")
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(sandbox.sockets)  # it can be made, by a relative path
        try:
            server.bind(long)
        finally:
            os.chdir(here)
        httpd = start_httpd(sandbox)
        await_members(httpd, "a")
        httpd.log.expect(f"{UNUSABLE}: {long} matches .*107 bytes")
        crowd.start("b")
        await_members(httpd, "a", "b")
        assert len(lines(httpd, UNUSABLE)) == 1


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_all_restart_under_other_names(sandbox, runner):
    """Requests wait `hold` for whoever comes."""
    crowd = Crowd(sandbox, "v1-a", "v1-b")
    httpd = start_httpd(sandbox, "hold=8", runner=runner, more=processes_for(8, runner[0]))
    httpd.log.allow(GOES_AND_COMES)
    await_members(httpd, "v1-a", "v1-b")
    with Load(httpd, clients=8, rate=200) as load:
        time.sleep(0.3)
        crowd.stop("v1-a")
        crowd.stop("v1-b")
        time.sleep(0.5)
        crowd.start("v2-a")
        time.sleep(0.7)
    assert set(load.statuses) == {200}, load.statuses
    assert load.longest > 0.25, "nobody had to wait: the test has shown nothing"


def test_hold_ends(sandbox):
    crowd = Crowd(sandbox, "a")
    httpd = start_httpd(sandbox, "hold=300ms")
    await_members(httpd, "a")
    crowd.stop("a")
    wait_until(lambda: status(httpd) == {} and lines(httpd, GONE), "that to be seen")
    begun = time.monotonic()
    answer = fetch(httpd.port, "/x")
    assert (answer.status, answer.get("Retry-After")) == (503, "2")
    assert time.monotonic() - begun < 5
    httpd.log.expect("UDR0035: .*no socket that matches")


def test_balancer_timeout_waits_for_the_first(sandbox):
    """Nobody has been there yet: it is the balancer's `timeout` that waits."""
    httpd = start_httpd(sandbox, "", "timeout=20")
    with Client(httpd.port) as client:
        client.send_request("GET", "/x")
        assert client.quiet(0.3)
        Crowd(sandbox, "a")
        assert client.read_response().text == "a"


# --- sessions and methods ---------------------------------------------------------------------------------------------


def session(route):
    return [("Cookie", f"S=1.{route}")]


def test_sessions_by_name(sandbox):
    """The route of a member is its file's name without the suffix."""
    crowd = Crowd(sandbox, "app-1", "app-2")
    httpd = start_httpd(sandbox, "", "stickysession=S", access_log="%{BALANCER_WORKER_ROUTE}e")
    await_members(httpd, "app-1", "app-2")
    assert {name: member["route"] for name, member in status(httpd).items()} == {"app-1": "app-1", "app-2": "app-2"}
    for name in ("app-1", "app-2"):
        assert {fetch(httpd.port, "/x", fields=session(name)).text for _ in range(8)} == {name}
    crowd.stop("app-2")
    await_members(httpd, "app-1")
    assert fetch(httpd.port, "/x", fields=session("app-2")).text == "app-1"
    crowd.start("app-2")
    await_members(httpd, "app-1", "app-2")
    assert {fetch(httpd.port, "/x", fields=session("app-2")).text for _ in range(8)} == {"app-2"}


def test_bound_sessions_wait_for_their_own(sandbox):
    crowd = Crowd(sandbox, "a", "b")
    httpd = start_httpd(sandbox, "hold=20", "stickysession=S", "nofailover=On")
    await_members(httpd, "a", "b")
    crowd.stop("a")
    await_members(httpd, "b")
    with Client(httpd.port) as client:
        client.send_request("GET", "/x", session("a"))
        assert client.quiet(0.3)
        crowd.start("a")
        assert client.read_response().text == "a"


METHODS = ["byrequests", "bytraffic", "bybusyness", "leasttime", "hash:uri"]


@pytest.mark.parametrize("method", METHODS)
def test_methods_while_members_come_and_go(sandbox, method):
    """No request fails, and who comes gets its share."""
    crowd = Crowd(sandbox, "a", "b", "c")
    httpd = start_httpd(sandbox, "", f"lbmethod={method}", access_log=f"%U {MEMBER}")
    httpd.log.allow(GOES_AND_COMES)
    with Load(httpd, clients=8, rate=400, request=lambda client, number: client.fetch(f"/{number}")) as load:
        for name in "cdedcb":
            time.sleep(0.15)
            if name in crowd.servers:
                crowd.stop(name)
            else:
                crowd.start(name)
    assert set(load.statuses) == {200}, load.statuses
    wait_until(lambda: set(status(httpd)) == set(crowd.servers), "what is there to be what is told")
    with Load(httpd, clients=8, requests=400, request=lambda client, number: client.fetch(f"/after/{number}")):
        pass
    after = lambda: [line for line in httpd.access_lines(1) if line.startswith("/after/")]
    wait_until(lambda: len(after()) == 400, "all to be logged")
    seen = collections.Counter(line.rpartition("/s/")[2].partition(".sock")[0] for line in after())
    assert set(seen) <= set(crowd.servers)
    # (The slowest of three, by however little, is no one's choice with leasttime.)
    assert method == "leasttime" or all(seen[name] >= 40 for name in crowd.servers), seen


def test_same_key_same_socket(sandbox):
    """Keys go by what a member is, not by its place: whoever is there at a time gets the same ones."""
    crowd = Crowd(sandbox, *"abcd")
    httpd = start_httpd(sandbox, "", "lbmethod=hash:uri", "growth=4")
    keys = [f"/{number}" for number in range(40)]
    answers = lambda: [fetch(httpd.port, key).text for key in keys]
    await_members_by_status(httpd, *"abcd")
    before = answers()
    for name in "dcba":
        crowd.stop(name)
    await_members_by_status(httpd)
    for name in "ebca":  # e has a place that was another's
        crowd.start(name)
    await_members_by_status(httpd, *"abce")
    crowd.stop("e")
    crowd.start("d")
    await_members_by_status(httpd, *"abcd")
    assert answers() == before


def await_members_by_status(httpd, *names):
    wait_until(lambda: set(status(httpd)) == set(names), f"{names} to be there\n{httpd.log.text()}")


def test_maxconn_holds_for_each(sandbox):
    """Its limit is the line's, for whoever is in a place."""
    gate = Gate()
    crowd = Crowd(sandbox)
    slow = lambda exchange: (gate.wait(), exchange.respond())
    for name in "ab":
        crowd.start(name, slow)
    httpd = start_httpd(sandbox, "maxconn=2", "growth=2")
    await_members_by_status(httpd, "a", "b")
    clients = [Client(httpd.port) for _ in range(6)]
    for client in clients:
        client.send_request("GET", "/x")
    wait_until(lambda: sum(figures(httpd, "queued").values()) == 2, "two to wait")
    assert figures(httpd, "busy") == {"a": 2, "b": 2}
    gate.open()
    assert {client.read_response().status for client in clients} == {200}
    for client in clients:
        client.close()


# --- the status page --------------------------------------------------------------------------------------------------


def test_operator_and_who_comes_after(sandbox):
    """What an operator says of a member holds while the name has its place, and for no one else there."""
    crowd = Crowd(sandbox, "a", "b")
    config = status_section(actions=True) + balancer(sandbox, {"*": ""}, "growth=2")
    httpd = sandbox.httpd(config, children=2)
    await_members(httpd, "a", "b")
    forms = Forms(httpd)
    assert forms.send("a", "disable").status == 303
    assert who(httpd) == {"b"} and read_members(httpd)["a"]["state"] == "disabled"
    crowd.stop("a")
    wait_until(lambda: set(read_members(httpd)) == {"b"}, "a to go")
    crowd.start("a")
    wait_until(lambda: set(read_members(httpd)) == {"a", "b"}, "a to be back")
    assert who(httpd) == {"b"} and read_members(httpd)["a"]["state"] == "disabled"
    crowd.stop("a")
    crowd.start("c")
    await_members(httpd, "b", "c")
    assert forms.send("a", "enable").status == 400  # the form of a page from before


# --- children that die ------------------------------------------------------------------------------------------------


def test_killed_child(sandbox):
    crowd = Crowd(sandbox, "a")
    httpd = start_httpd(sandbox, children=2)
    await_members(httpd, "a")
    for name in "bcd":
        killed = httpd.children()
        for pid in killed:
            httpd.kill_child(pid)
        wait_until(lambda: not set(killed) & set(httpd.children()), "them to be dead")
        httpd.log.allow("AH00052")
        crowd.start(name)
        await_members(httpd, *crowd.servers)
