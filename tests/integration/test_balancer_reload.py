# SPDX-License-Identifier: Apache-2.0
"""What a graceful restart leaves as it was: turns that requests hold in old children, who is out, weights; also when
the configuration has changed."""
from udr_balancers import MEMBER, balancer, elections, start_members, target
from udr_client import Client, fetch
from udr_loops import Gate
from udr_processes import wait_until


def who(httpd, count=12):
    return {fetch(httpd.port, "/x").text for _ in range(count)}


def test_requests_in_old_children_count(sandbox):
    """maxconn holds over both generations."""
    gate = Gate()
    server = sandbox.scripted("a", lambda exchange: (gate.wait(), exchange.respond(body=exchange.request.target)))
    httpd = sandbox.httpd(balancer(sandbox, {"a": "maxconn=1"}), udsroute_log_level="trace5")
    with Client(httpd.port) as before, Client(httpd.port) as after:
        before.send_request("GET", "/before")
        server.wait_for_requests(1)
        httpd.graceful()
        after.send_request("GET", "/after")
        httpd.log.expect("queue: ")
        assert len(server.requests) == 1
        gate.open()
        assert before.read_response().text == "/before"
        assert after.read_response().text == "/after"


def test_requests_that_wait_in_old_children(sandbox):
    """They come before those of the new ones."""
    gate = Gate()
    server = sandbox.scripted("a", lambda exchange: (gate.wait(), exchange.respond(body=exchange.request.target)))
    httpd = sandbox.httpd(balancer(sandbox, {"a": "maxconn=1"}), udsroute_log_level="trace5")
    with Client(httpd.port) as first, Client(httpd.port) as waits, Client(httpd.port) as new:
        first.send_request("GET", "/first")
        server.wait_for_requests(1)
        waits.send_request("GET", "/waits")
        httpd.log.expect("queue: ")
        httpd.graceful()
        new.send_request("GET", "/new")
        wait_until(lambda: len(httpd.log.find("queue: ")) == 2, "the new one to wait")
        gate.open()
        assert [client.read_response().text for client in (first, waits, new)] == ["/first", "/waits", "/new"]
    assert [request.target for request in server.requests] == ["/first", "/waits", "/new"]


def test_who_is_out_when_members_have_changed(sandbox):
    """Members are known by their sockets, wherever they stand."""
    out, others = "retry=60 hold=0", "retry=60"
    servers = start_members(sandbox, "abc")
    httpd = sandbox.httpd(balancer(sandbox, {"a": out, "b": others}))
    assert who(httpd) == {"a", "b"}
    sandbox.stop(servers["a"])
    assert who(httpd) == {"b"}
    httpd.log.expect("UDR0034: member .*a.sock")  # and not again
    old = f"UDSMember {target(sandbox, 'a')} {out}\n"
    new = f"UDSMember {target(sandbox, 'c')} {others}\n"
    httpd.reconfigure(old, new + old)
    assert who(httpd) == {"b", "c"}


def test_another_weight(sandbox):
    start_members(sandbox, "ab")
    httpd = sandbox.httpd(balancer(sandbox, {"a": "loadfactor=1", "b": ""}), access_log=MEMBER)
    assert who(httpd) == {"a", "b"}
    httpd.reconfigure("loadfactor=1", "loadfactor=3")
    with Client(httpd.port) as client:
        order = "".join(client.fetch("/x").text for _ in range(40))
    assert (order.count("a"), order.count("b")) == (30, 10)
    assert sum(elections(httpd, 52).values()) == 52


def test_another_maxconn(sandbox):
    gate = Gate()
    server = sandbox.scripted("a", lambda exchange: (gate.wait(), exchange.respond()))
    httpd = sandbox.httpd(balancer(sandbox, {"a": "maxconn=1"}))
    httpd.reconfigure("maxconn=1", "maxconn=3")
    clients = [Client(httpd.port) for _ in range(5)]
    for client in clients:
        client.send_request("GET", "/x")
    server.wait_for_requests(3)
    assert clients[0].quiet(0.3) and len(server.requests) == 3
    gate.open()
    for client in clients:
        assert client.read_response().status == 200
        client.close()


def test_drained_by_configuration(sandbox):
    """Sessions go on, others no longer come."""
    start_members(sandbox, "ab")
    members = {"a": "route=ra status=-N", "b": "route=rb"}
    httpd = sandbox.httpd(balancer(sandbox, members, "stickysession=S"))
    assert who(httpd) == {"a", "b"}
    httpd.reconfigure("status=-N", "status=+N")
    assert who(httpd) == {"b"}
    assert fetch(httpd.port, "/x", fields=[("Cookie", "S=1.ra")]).text == "a"
    httpd.reconfigure("status=+N", "status=-N")
    assert who(httpd) == {"a", "b"}


def test_more_members_than_there_is_room_for(sandbox):
    """They are answered 503, the others as ever; with fewer all is well again."""
    start_members(sandbox, "ab")
    httpd = sandbox.httpd(balancer(sandbox, {"a": ""}))
    many = "".join(f"UDSMember {target(sandbox, f'none{i}')}\n" for i in range(1200))
    few = f"UDSMember {target(sandbox, 'b')}\n"
    crowd = f"<UDSBalancer crowd>\n{many}</UDSBalancer>\nUDSRoute /crowd balancer://crowd/\n"
    text = httpd.configuration.read_text()
    httpd.configuration.write_text(crowd + text)
    httpd.renew()
    httpd.log.expect("UDR0032: no room for crowd")
    answer = fetch(httpd.port, "/crowd/x")
    assert answer.status == 503
    httpd.log.expect("UDR0037: .* crowd among them")
    assert who(httpd) == {"a"}
    httpd.configuration.write_text(crowd.replace(many, few) + text)
    httpd.renew()
    assert fetch(httpd.port, "/crowd/x").text == "b"
    assert who(httpd) == {"a"}
