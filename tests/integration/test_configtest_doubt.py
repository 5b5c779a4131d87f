# SPDX-License-Identifier: Apache-2.0
"""What `httpd -t` warns of: routes that no request comes to, and lines of mod_proxy's that do nothing for routes."""
import re

import pytest

import udr_environment
from udr_client import fetch

TARGET = "unix:/run/a.sock|http://localhost/"
PROXY = ("proxy", "proxy_http", "rewrite", "headers")


def doubts(sandbox, config, modules=()):
    """The warnings about a configuration that is right, each with its number."""
    test = sandbox.configtest(config, modules=modules, udsroute_log_level="warn")
    assert test.exit_code == 0 and "Syntax OK" in test.output, test.output
    test.said = [line for line in test.output.splitlines() if re.search(r"UDR00\d\d", line)]
    return test


def assert_doubt(test, number, line, *words):
    """Exactly this one: it names the line with the text `line` in it, and has these words."""
    (said,) = test.said
    assert f"{number}: " in said and f"on line {test.line_of(line)} of {test.file}: " in said, said
    for word in words:
        assert word in said, f"{word!r} is not in: {said}"


# --- the order of routes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "earlier, later",
    [
        (f"UDSRoute / {TARGET}", "UDSRoute /static/ !"),
        (f"UDSRoute / {TARGET}", f"UDSRoute /api/ {TARGET}v2/"),
        (f"UDSRoute / {TARGET}", f"UDSRouteMatch ^/user/([a-z]+)$ {TARGET}u/$1"),
        (f"UDSRoute /a {TARGET}", f"UDSRoute /a/b {TARGET}b"),
        (f"UDSRoute /a {TARGET}", f"UDSRoute /a {TARGET}b"),
        (f"UDSRoute /a/ {TARGET}", f"UDSRoute /a/b/ {TARGET}b/"),
        ("UDSRoute /a !", f"UDSRoute /a/ {TARGET}"),
    ],
)
def test_route_that_no_request_comes_to(sandbox, earlier, later):
    path = later.split()[1]
    test = doubts(sandbox, f"{earlier}\nKeepAlive On\n{later}\n")
    place = f"'{earlier.split()[1]}' on line {test.line_of(earlier)} of {test.file}"
    assert_doubt(test, "UDR0076", later, "UDSRoute", f"no request comes to '{path}'", place, "write this one above")


@pytest.mark.parametrize(
    "lines",
    [
        ("UDSRoute /static/ !", f"UDSRoute / {TARGET}"),
        (f"UDSRoute /a/ {TARGET}", f"UDSRoute /a {TARGET}"),
        (f"UDSRoute /a {TARGET}", f"UDSRoute /ab {TARGET}"),
        (f"UDSRoute /a/b {TARGET}", f"UDSRoute /a {TARGET}"),
        (f"UDSRouteMatch ^/ {TARGET}", f"UDSRoute /a {TARGET}"),
        (f"UDSRoute /a {TARGET}", f"UDSRouteMatch ^/a {TARGET}"),
        ("UDSRoute /a/ !", "UDSRoute /a/b/ !"),
        (f"UDSRoute / {TARGET}", f"<Location /a/>\nUDSRoute {TARGET}\n</Location>"),
        (f"<Location />\nUDSRoute {TARGET}\n</Location>", f"UDSRoute /a/ {TARGET}"),
    ],
)
def test_order_that_leaves_something_to_each(sandbox, lines):
    assert doubts(sandbox, "\n".join(lines)).said == []


def test_route_of_a_virtual_host_behind_the_main_servers(sandbox):
    hosts = [
        f"<VirtualHost *:80>\nServerName {name}\nUDSRoute {path} {TARGET}\n</VirtualHost>"
        for name, path in (("a.test", "/a/"), ("b.test", "/b/"))
    ]
    test = doubts(sandbox, "\n".join([f"UDSRoute /a/ {TARGET}", *hosts]))
    (said,) = test.said
    assert "UDR0076" in said and f"line {test.line_of('ServerName a.test') + 1} of" in said, said
    assert f"'/a/' on line {test.line_of('UDSRoute /a/')} of" in said, said


def test_main_servers_routes_are_doubted_once(sandbox):
    main = f"UDSRoute /a {TARGET}\nUDSRoute /a/b {TARGET}b\n"
    test = doubts(sandbox, main + f"<VirtualHost *:80>\nUDSRoute /c {TARGET}\n</VirtualHost>")
    assert_doubt(test, "UDR0076", "UDSRoute /a/b", "'/a' on line")


# --- mod_proxy's lines ------------------------------------------------------------------------------------------------


def host(*lines):
    return "\n".join(["<VirtualHost *:80>", "ServerName own.test", *lines, "</VirtualHost>"])


@pytest.mark.parametrize(
    "line, remedy",
    [
        ('ProxyPassReverse "/app/" "http://localhost/"', 'UDSRouteReverse "/app/" "http://localhost/"'),
        ("ProxyPassReverseCookieDomain localhost www.test", "UDSRouteReverseCookieDomain localhost www.test"),
        ("ProxyPassReverseCookiePath / /app/", "UDSRouteReverseCookiePath / /app/"),
        ("ProxyPreserveHost On", "UDSPreserveHost On"),
        ("ProxyAddHeaders Off", "UDSAddHeaders Off"),
        ("ProxyErrorOverride On 500", "UDSErrorOverride On 500"),
        ("ProxyVia Full", "UDSVia Full"),
        ("ProxyTimeout 30", "UDSTimeout 30"),
    ],
)
def test_lines_that_were_left_behind(sandbox, line, remedy):
    """Each is accepted by mod_proxy, and the remedy by us."""
    for config in (host(line, f"UDSRoute /app/ {TARGET}"), f"{line}\nUDSRoute /app/ {TARGET}"):
        assert_doubt(doubts(sandbox, config, PROXY), "UDR0077", line, f"write {remedy}")
    assert doubts(sandbox, host(remedy, f"UDSRoute /app/ {TARGET}")).said == []


def test_line_that_was_left_behind_in_a_section(sandbox):
    lines = ("<Location /app/>", f"UDSRoute {TARGET}", "ProxyPassReverse http://localhost/", "</Location>")
    test = doubts(sandbox, host(*lines), PROXY)
    assert_doubt(test, "UDR0077", "ProxyPassReverse", "write UDSRouteReverse http://localhost/")


@pytest.mark.parametrize(
    "line",
    [
        "ProxyPass /tcp/ http://127.0.0.1:9/",
        "ProxyPassMatch ^/tcp/ http://127.0.0.1:9",
        "RewriteRule ^/tcp/(.*) http://127.0.0.1:9/$1 [L,P]",
        "RewriteRule ^/tcp/(.*) http://127.0.0.1:9/$1 [proxy]",
        '<FilesMatch "x$">\nSetHandler "proxy:unix:/run/b.sock|fcgi://localhost"\n</FilesMatch>',
        "<Location /tcp/>\nProxyPass http://127.0.0.1:9/\n</Location>",
        "ProxyRequests On",
        'AddHandler "proxy:unix:/run/b.sock|fcgi://localhost" .php',
        f"<UDSBalancer b>\nUDSMember {TARGET}\n</UDSBalancer>\nUDSRoute /b balancer://b/ spill=http://127.0.0.1:9/",
    ],
)
def test_mod_proxy_has_work_of_its_own(sandbox, line):
    """Then its directives may be for that."""
    assert doubts(sandbox, host("ProxyPreserveHost On", line, f"UDSRoute /app/ {TARGET}"), PROXY).said == []


@pytest.mark.parametrize(
    "config",
    [
        host(f"UDSRoute /app/ {TARGET}", "ProxyPreserveHost Off", "ProxyVia Off", "ProxyErrorOverride Off"),
        host("ProxyPreserveHost On") + f"\nUDSRoute / {TARGET}",  # another's route
        host("ProxyPreserveHost On") + "\n" + host(f"UDSRoute / {TARGET}"),  # likewise
        host(f"UDSRoute /app/ {TARGET}") + "\nProxyTimeout 5",  # for other hosts, maybe
        host("ProxyPreserveHost On", "RewriteRule ^/x /y [PT]"),  # no route
    ],
)
def test_lines_that_harm_nobody(sandbox, config):
    assert doubts(sandbox, config, PROXY).said == []


def test_virtual_hosts_have_what_the_main_server_says_of_mod_proxy(sandbox):
    main = f"ProxyPreserveHost On\nUDSRoute /app/ {TARGET}\n"
    assert doubts(sandbox, main + host("ProxyPass /tcp/ http://127.0.0.1:9/"), PROXY).said == []
    assert_doubt(doubts(sandbox, main + host("KeepAlive On"), PROXY), "UDR0077", "ProxyPreserveHost", "UDSPreserveHost")


@pytest.mark.parametrize("place", ["before", "behind", "main"])
def test_proxy_pass_goes_before_a_route(sandbox, place):
    line = "ProxyPass / http://127.0.0.1:9/"
    route = f"UDSRoute /app/ {TARGET}"
    config = {"before": host(line, route), "behind": host(route, line), "main": f"{line}\n{host(route)}"}[place]
    test = doubts(sandbox, config, PROXY)
    culprit = f"ProxyPass on line {test.line_of(line)} of {test.file} goes before"
    assert_doubt(test, "UDR0078", route, "no request comes to '/app/'", culprit, 'above it: ProxyPass "/app/" !')


@pytest.mark.parametrize(
    "lines",
    [
        ("ProxyPass /app/ !", "ProxyPass / http://127.0.0.1:9/", f"UDSRoute /app/ {TARGET}"),
        ("ProxyPass /api/ http://127.0.0.1:9/", f"UDSRoute / {TARGET}"),
        ("ProxyPass / http://127.0.0.1:9/", "UDSRoute /app/ !"),
    ],
)
def test_proxy_pass_that_leaves_routes_alone(sandbox, lines):
    assert doubts(sandbox, host(*lines), PROXY).said == []
    assert doubts(sandbox, lines[0] + "\n" + host(*lines[1:]), PROXY).said == []


def test_proxy_pass_goes_before_a_route_with_an_expression(sandbox):
    """The line that is named leaves to mod_proxy what the route does not want."""
    lines = ("ProxyPass / http://127.0.0.1:9/", f"UDSRouteMatch ^/user/([a-z]+)$ {TARGET}u/$1")
    remedy = 'ProxyPassMatch "^/user/([a-z]+)$" !'
    assert_doubt(doubts(sandbox, host(*lines), PROXY), "UDR0078", lines[1], f"above it: {remedy}")
    assert doubts(sandbox, host(remedy, *lines), PROXY).said == []


@pytest.mark.parametrize(
    "exclusion",
    [
        "ProxyPassMatch ^/app/ !",
        "<Location /app/>\nProxyPass !\n</Location>",
        "SetEnvIf Request_URI ^/app/ no-proxy",
    ],
)
def test_requests_are_kept_from_proxy_pass_in_other_ways(sandbox, exclusion):
    ours = sandbox.scripted(behaviour=lambda exchange: exchange.respond(body="ours"))
    lines = (exclusion, "ProxyPass / http://127.0.0.1:9/", f"UDSRoute /app/ unix:{ours.address}|http://localhost/")
    modules = (*PROXY, "setenvif")
    assert doubts(sandbox, host(*lines), modules).said == []
    assert fetch(sandbox.httpd("\n".join(lines), modules=modules).port, "/app/x").text == "ours"


@pytest.mark.parametrize("ours_is", ["first", "last"])
def test_proxy_pass_goes_before_a_route_whatever_was_loaded_first(sandbox, ours_is):
    backends = [
        sandbox.scripted(name, lambda exchange, name=name: exchange.respond(body=f"{name} {exchange.request.target}"))
        for name in ("theirs", "ours")
    ]
    theirs, ours = (f"unix:{backend.address}|http://localhost/" for backend in backends)
    directory = udr_environment.apxs("LIBEXECDIR")
    loads = [f"LoadModule {name}_module {directory}/mod_{name}.so" for name in ("proxy", "proxy_http")]
    loads.insert(0 if ours_is == "first" else 2, f"LoadModule udsroute_module {udr_environment.module_path()}")
    lines = [*loads, f"ProxyPass /app/tcp/ {theirs}", f"UDSRoute / {ours}"]
    httpd = sandbox.httpd("\n".join(lines), module=False)
    assert fetch(httpd.port, "/app/tcp/x").text == "theirs /x"
    assert fetch(httpd.port, "/app/x").text == "ours /app/x"
