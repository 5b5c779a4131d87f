# SPDX-License-Identifier: Apache-2.0
"""UDSStatusActions: what an operator does to members by POST, how long that lasts, and who may not."""
import pytest

from udr_balancers import balancer, start_members, target
from udr_client import Client, fetch
from udr_loops import adopted, loop_httpd
from udr_processes import wait_until
from udr_status import PAGE, Forms, post, read_members, status_section

ACTIONS = {"drain": "draining", "disable": "disabled", "stop": "stopped"}


def who(httpd, count=8):
    return {fetch(httpd.port, "/x").text for _ in range(count)}


def state(httpd, name):
    return read_members(httpd)[name]["state"]


@pytest.fixture(name="httpd")
def _httpd(sandbox):
    start_members(sandbox, "ab")
    return sandbox.httpd(status_section(actions=True) + balancer(sandbox, {"a": "", "b": "loadfactor=2"}), children=2)


# --- what they do -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_takes_requests_away_and_gives_them_back(httpd, action):
    assert who(httpd) == {"a", "b"}
    forms = Forms(httpd)
    response = forms.send("a", action)
    assert (response.status, response.get("Location")) == (303, "?")
    assert state(httpd, "a") == ACTIONS[action]
    httpd.log.expect(f"127.0.0.1: {action} member .*/a.sock.* of balancer app$")
    assert who(httpd) == {"b"}
    assert forms.send("a", "enable").status == 303
    assert state(httpd, "a") == "up" and who(httpd) == {"a", "b"}


def test_one_word_replaces_the_other(httpd):
    forms = Forms(httpd)
    for action in ("drain", "stop", "disable", "drain"):
        forms.send("a", action)
        assert state(httpd, "a") == ACTIONS[action]


@pytest.mark.parametrize("weight,becomes", [("1", 1), ("100", 100), ("2.5", 2.5), ("33.33", 33.33)])
def test_weight(httpd, weight, becomes):
    forms = Forms(httpd)
    assert forms.send("b", "weight", weight=weight).status == 303
    httpd.log.expect(f"weight of member .*/b.sock.* of balancer app is {weight}$")
    assert read_members(httpd)["b"]["weight"] == becomes
    assert forms.send("b", "weight", weight="").status == 303
    assert read_members(httpd)["b"]["weight"] == 2


def test_weight_is_used(httpd):
    Forms(httpd).send("b", "weight", weight="1")
    assert sorted(fetch(httpd.port, "/x").text for _ in range(10)) == 5 * ["a"] + 5 * ["b"]


def test_members_of_virtual_hosts(sandbox):
    """The same socket in a balancer of the same name is another member there."""
    start_members(sandbox, "a")
    section = balancer(sandbox, {"a": ""})
    config = f"<VirtualHost *:@PORT@>\nServerName localhost\n{status_section(actions=True)}{section}</VirtualHost>\n"
    config += f"<VirtualHost *:@PORT@>\nServerName other\n{section}</VirtualHost>\n"
    httpd = sandbox.httpd(config)
    httpd.log.allow("UDR0035")
    forms = Forms(httpd)
    members = dict.fromkeys(one["value"] for one in forms.document.all("input") if one.get("name") == "member")
    served = []
    for member in members:
        assert forms.send(member, "disable").status == 303
        served.append([fetch(httpd.port, "/x", host=host).status for host in ("localhost", "other")])
        assert forms.send(member, "enable").status == 303
    assert sorted(served) == [[200, 503], [503, 200]]


# --- how long it lasts ------------------------------------------------------------------------------------------------


def test_lasts_over_a_graceful_restart(httpd):
    """With the same nonce: an open page goes on working."""
    forms = Forms(httpd)
    forms.send("a", "drain")
    forms.send("b", "weight", weight="7")
    httpd.renew()
    assert state(httpd, "a") == "draining" and read_members(httpd)["b"]["weight"] == 7
    assert who(httpd) == {"b"}
    assert forms.send("a", "enable").status == 303
    httpd.renew()
    assert state(httpd, "a") in ("up", "unknown") and who(httpd) == {"a", "b"}


def test_lasts_until_the_configuration_says_something_else(sandbox):
    start_members(sandbox, "ab")
    config = status_section(actions=True) + balancer(sandbox, {"a": "loadfactor=3 status=+D", "b": ""})
    httpd = sandbox.httpd(config)
    forms = Forms(httpd)
    forms.send("a", "enable")
    forms.send("a", "weight", weight="5")
    httpd.reconfigure("UDSRoute / ", "UDSRoute /y ")  # something else has changed
    assert state(httpd, "a") == "unknown" and read_members(httpd)["a"]["weight"] == 5
    httpd.reconfigure("status=+D", "status=+N")
    assert state(httpd, "a") == "draining" and read_members(httpd)["a"]["weight"] == 5
    httpd.reconfigure("loadfactor=3", "loadfactor=4")
    assert state(httpd, "a") == "draining" and read_members(httpd)["a"]["weight"] == 4


def test_lasts_where_routes_to_one_member_disagree(sandbox):
    """The first one has the word: no reload takes the others for news."""
    start_members(sandbox, "a")
    routes = "".join(
        f"UDSRoute /{path} {target(sandbox, 'a')} {parameters}\n"
        for path, parameters in (("x", "loadfactor=3 status=+I"), ("y", "loadfactor=5"), ("z", "status=+D"))
    )
    httpd = sandbox.httpd(status_section(actions=True) + routes)
    assert state(httpd, "a") == "unknown"
    forms = Forms(httpd)
    forms.send("a", "drain")
    forms.send("a", "weight", weight="7")
    for _ in range(2):
        httpd.renew()
        assert (state(httpd, "a"), read_members(httpd)["a"]["weight"]) == ("draining", 7)
    httpd.reconfigure("loadfactor=3 status=+I", "loadfactor=4 status=+S")
    assert (state(httpd, "a"), read_members(httpd)["a"]["weight"]) == ("stopped", 4)


def test_on_a_loop(sandbox):
    """From a connection that a loop has adopted: a worker reads the form, and the loop goes on."""
    start_members(sandbox, "ab")
    httpd = loop_httpd(sandbox, status_section(actions=True) + balancer(sandbox, {"a": "", "b": ""}))
    forms = Forms(httpd)
    with adopted(httpd) as client:
        for action in ("drain", "enable", "drain"):
            assert forms.send("a", action, client=client).status == 303
            assert client.fetch("/x").status == 200
    assert state(httpd, "a") == "draining"


def test_nonce_of_all_children(httpd):
    """Whichever answers; another start of the server has another."""
    nonces = {Forms(httpd).nonce for _ in range(6)}
    assert len(nonces) == 1 and len(nonces.pop()) == 32


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nonce", [None, "", "0" * 32, "short", "x" * 3000])
def test_wrong_nonce(httpd, nonce):
    response = Forms(httpd).send("a", "drain", nonce=nonce)
    assert response.status == 403 and "load the page again" in response.text
    assert state(httpd, "a") == "unknown"
    httpd.log.expect("UDR0048: 127.0.0.1: refused to change a member")


@pytest.mark.parametrize("site,status", [("same-origin", 303), ("none", 303), ("cross-site", 403), ("same-site", 403)])
def test_from_another_site(httpd, site, status):
    """Even with the right nonce."""
    assert Forms(httpd).send("a", "drain", [("Sec-Fetch-Site", site)]).status == status
    if status == 403:
        httpd.log.expect("UDR0048")
    assert state(httpd, "a") == ("draining" if status == 303 else "unknown")


@pytest.mark.parametrize(
    "member,action,values,says",
    [("0" * 32, "drain", {}, "no such member"), ("a", "explode", {}, "unknown action"), ("a", "", {}, "unknown action"),
     ("a", None, {}, "must be sent"), ("a", "drain", {"member": None}, "must be sent"),
     ("a", "weight", {}, "weight: not sent"), ("a", "weight", {"weight": "0"}, "'0' is out of range: 1 to 100"),
     ("a", "weight", {"weight": "0.99"}, "out of range"), ("a", "weight", {"weight": "100.01"}, "out of range"),
     ("a", "weight", {"weight": "-1"}, "is not a number"), ("a", "weight", {"weight": "1.234"}, "two decimals"),
     ("a", "weight", {"weight": "<b>"}, "'<b>' is not a number")],
)  # fmt: skip
def test_bad_forms(httpd, member, action, values, says):
    response = Forms(httpd).send(member, action, **values)
    assert (response.status, response.get("Content-Type")) == (400, "text/plain; charset=utf-8")
    assert says in response.text
    assert (state(httpd, "a"), read_members(httpd)["a"]["weight"]) == ("unknown", 1)


@pytest.mark.parametrize("content_type", [None, "text/plain", "multipart/form-data; boundary=x", "application/json"])
def test_other_bodies(httpd, content_type):
    forms = Forms(httpd)
    body = f"nonce={forms.nonce}&member={forms.identities['a']}&action=drain"
    assert post(httpd, body, content_type=content_type).status == 415
    assert state(httpd, "a") == "unknown"


def test_bodies_that_are_too_large(httpd):
    forms = Forms(httpd)
    body = f"nonce={forms.nonce}&member={forms.identities['a']}&action=drain&x="
    assert post(httpd, body + 100000 * "x").status == 413
    assert post(httpd, body + "&y=1" * 100).status == 413
    assert state(httpd, "a") == "unknown"


def test_get_changes_nothing(httpd):
    forms = Forms(httpd)
    query = f"nonce={forms.nonce}&member={forms.identities['a']}&action=drain"
    assert fetch(httpd.port, f"{PAGE}?{query}").status == 200
    assert state(httpd, "a") == "unknown"
    response = fetch(httpd.port, PAGE, "PUT", body=query.encode())
    assert response.status == 405
    assert set(response.get("Allow").split(",")) - {"TRACE"} == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize("actions,more", [(False, set()), (True, {"POST"})])
def test_options(sandbox, actions, more):
    """What it can be asked, with a body or without; no figures."""
    httpd = sandbox.httpd(status_section(actions=actions) + balancer(sandbox, {"a": ""}))
    with Client(httpd.port) as client:
        for body in (None, b"some body"):
            response = client.fetch(PAGE, "OPTIONS", body=body)
            assert (response.status, response.body) == (200, b"")
            assert set(response.get("Allow").split(",")) - {"TRACE"} == {"GET", "HEAD", "OPTIONS"} | more
        assert client.fetch(f"{PAGE}?format=json").status == 200


def test_off_by_default(sandbox):
    """And `Require` goes before all."""
    start_members(sandbox, "a")
    shut = status_section(actions=True, more="Require ip 192.0.2.1\n").replace(PAGE, "/shut")
    off = status_section(actions=True).replace(PAGE, "/off").replace("Actions On", "Actions Off")
    httpd = sandbox.httpd(status_section() + off + shut + balancer(sandbox, {"a": ""}))
    httpd.log.allow("AH01630")
    for path, status in ((PAGE, 405), ("/off", 405), ("/shut", 403)):
        assert fetch(httpd.port, path, "POST", [("Content-Type", "text/plain")], b"action=drain").status == status


def test_by_another_name(sandbox):
    """As the manual has it, against pages whose sites call this server theirs."""
    names = "%{HTTP_HOST} in { 'localhost', 'localhost:@PORT@' }"
    only = f'<RequireAll>\nRequire local\nRequire expr "{names}"\n</RequireAll>\n'
    httpd = sandbox.httpd(status_section(actions=True, more=only) + balancer(sandbox, {"a": ""}))
    httpd.log.allow("AH01630")
    for host, status in (("localhost", 200), (f"localhost:{httpd.port}", 200), (f"evil.example:{httpd.port}", 403)):
        assert fetch(httpd.port, PAGE, host=host).status == status


def test_user_in_the_log(sandbox):
    """Who has done it: the user, where one has logged in."""
    start_members(sandbox, "a")
    login = 'AuthType Basic\nAuthName x\nAuthBasicProvider file\nAuthUserFile "@ROOT@/users"\nRequire valid-user\n'
    config = status_section(actions=True) + status_section(actions=True, more=login).replace(PAGE, "/guarded")
    config += balancer(sandbox, {"a": ""})
    httpd = sandbox.httpd(config, modules=("auth_basic", "authn_file", "authz_user"))
    # The password is "secret" (SHA-1, as htpasswd -s writes it).
    (httpd.root / "users").write_text("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    (httpd.root / "users").chmod(0o644)
    forms = Forms(httpd)
    body = f"nonce={forms.nonce}&member={forms.identities['a']}&action=drain".encode()
    fields = [("Authorization", "Basic YW5uOnNlY3JldA=="), ("Content-Type", "application/x-www-form-urlencoded")]
    assert fetch(httpd.port, "/guarded", "POST", fields, body).status == 303
    httpd.log.expect("ann, from 127.0.0.1: drain member .*/a.sock")
    wait_until(lambda: state(httpd, "a") == "draining", "the member to be drained")
