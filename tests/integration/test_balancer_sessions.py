# SPDX-License-Identifier: Apache-2.0
"""Sticky sessions: by cookie and by parameter, and where they go when their member can't serve them."""
import pytest

from udr_balancers import balancer, start_members
from udr_client import fetch

ROUTED = {"a": "route=ra", "b": "route=rb", "c": "route=rc"}
STICKY = "stickysession=SESSION|session"
# What each test asks, so that it can't be by chance.
TIMES = 6


def ask(httpd, path="/x", cookie=None):
    fields = [("Cookie", cookie)] if cookie else []
    return [fetch(httpd.port, path, fields=fields) for _ in range(TIMES)]


def who(httpd, path="/x", cookie=None):
    """Who answers."""
    return {response.text for response in ask(httpd, path, cookie)}


def start_httpd(sandbox, members, *settings, running=None, **more):
    """running: the members that are there, default: all."""
    start_members(sandbox, members if running is None else running)
    return sandbox.httpd(balancer(sandbox, members, STICKY, *settings), **more)


# --- where the route is found -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path,cookie",
    [
        ("/x", "SESSION=1234.rb"),
        ("/x", "OTHER=1.ra; SESSION=1234.rb; session=1.rc"),
        ("/x", 'SESSION="1234.rb"'),
        ("/x;session=1234.rb", None),
        ("/x;session=1234.rb/y", None),
        ("/x?session=1234.rb", None),
        ("/x?y=1&session=1234.rb&z=2", None),
        ("/x?session=1234.rb", "SESSION=1.rc"),
    ],
)
def test_session_keeps_its_member(sandbox, path, cookie):
    httpd = start_httpd(sandbox, ROUTED, children=2)
    assert who(httpd, path, cookie) == {"b"}


@pytest.mark.parametrize(
    "path,cookie",
    [
        ("/x", None),
        ("/x", "XSESSION=1234.rb"),
        ("/x", "session=1234.rb"),
        ("/x", "SESSION=1234"),
        ("/x", "SESSION=1234.nobody"),
        ("/x?SESSION=1234.rb", None),
    ],
)
def test_no_session(sandbox, path, cookie):
    httpd = start_httpd(sandbox, ROUTED)
    assert who(httpd, path, cookie) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "setting,cookie", [("stickysessionsep=-", "SESSION=12.34-rb"), ("stickysessionsep=Off", "SESSION=rb")]
)
def test_separator(sandbox, setting, cookie):
    httpd = start_httpd(sandbox, ROUTED, setting)
    assert who(httpd, cookie=cookie) == {"b"}


def test_scolonpathdelim(sandbox):
    path = "/x;session=1234.rb;v=1"
    assert who(start_httpd(sandbox, ROUTED, "scolonpathdelim=On"), path) == {"b"}


def test_cookie_of_mod_headers(sandbox):
    """As mod_proxy_balancer's manual has it: a client without a session gets the route of whoever served it."""
    members = {"a": "route=ra", "b": "route=rb"}
    start_members(sandbox, members)
    header = 'Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/" env=BALANCER_ROUTE_CHANGED\n'
    httpd = sandbox.httpd(header + balancer(sandbox, members, "stickysession=ROUTEID"))
    response = fetch(httpd.port, "/x")
    cookie = f"ROUTEID=.r{response.text}"
    assert response.get("Set-Cookie") == f"{cookie}; path=/"
    for response_2 in ask(httpd, cookie=cookie):
        assert (response_2.text, response_2.get("Set-Cookie")) == (response.text, None)


# --- where its member can't serve it ----------------------------------------------------------------------------------


def test_failover(sandbox):
    httpd = start_httpd(sandbox, ROUTED, running="ac")
    httpd.log.allow("UDR0034")
    assert who(httpd, cookie="SESSION=1.rb") == {"a", "c"}


def test_nofailover(sandbox):
    httpd = start_httpd(sandbox, ROUTED, "nofailover=On", running="ac")
    httpd.log.allow("UDR0034|UDR0004|UDR0035")
    assert {response.status for response in ask(httpd, cookie="SESSION=1.rb")} == {503}
    assert who(httpd) == {"a", "c"}
    assert who(httpd, cookie="SESSION=1.nobody") == {"a", "c"}


@pytest.mark.parametrize("status", ["+D", "+S"])
@pytest.mark.parametrize("is_bound", [False, True])
def test_session_of_a_disabled_member(sandbox, status, is_bound):
    members = {"a": "route=ra", "b": f"route=rb status={status}"}
    httpd = start_httpd(sandbox, members, f"nofailover={'On' if is_bound else 'Off'}")
    httpd.log.allow("UDR0035")
    if is_bound:
        assert {response.status for response in ask(httpd, cookie="SESSION=1.rb")} == {503}
    else:
        assert who(httpd, cookie="SESSION=1.rb") == {"a"}


def test_drained_member(sandbox):
    """Its own sessions, and nothing else."""
    httpd = start_httpd(sandbox, {"a": "route=ra", "b": "route=rb status=+N"})
    assert who(httpd) == {"a"}
    assert who(httpd, cookie="SESSION=1.rb") == {"b"}


def test_redirect(sandbox):
    httpd = start_httpd(sandbox, {**ROUTED, "b": "route=rb redirect=rc status=+D"})
    assert who(httpd, cookie="SESSION=1.rb") == {"c"}


def test_redirect_of_a_member_that_works(sandbox):
    httpd = start_httpd(sandbox, {**ROUTED, "b": "route=rb redirect=rc"})
    assert who(httpd, cookie="SESSION=1.rb") == {"b"}


def test_standby_serves_its_session(sandbox):
    """mod_proxy, too, looks for a route among all."""
    httpd = start_httpd(sandbox, {"a": "route=ra", "b": "route=rb status=+H", "c": "route=rc lbset=1"})
    assert who(httpd) == {"a"}
    assert who(httpd, cookie="SESSION=1.rb") == {"b"}
    assert who(httpd, cookie="SESSION=1.rc") == {"c"}
