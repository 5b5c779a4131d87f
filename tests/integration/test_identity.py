# SPDX-License-Identifier: Apache-2.0
"""Which backend a request reaches: by socket, by path, by configuration order, by virtual host."""
import pytest

from udr_client import Client, fetch

NAMES = ("one", "two", "three")
CONFIG = """
# The order matters: the first match wins.
UDSRoute /one/secret !
UDSRoute /one unix:{one}|http://localhost
UDSRoute /two unix:{two}|http://localhost
UDSRoute /same/a unix:{one}|http://localhost
UDSRoute /same/b unix:{two}|http://localhost
UDSRoute /order/first unix:{one}|http://localhost
UDSRoute /order unix:{two}|http://localhost
UDSRoute /order/late unix:{three}|http://localhost
UDSRoute /late-exclusion unix:{one}|http://localhost
UDSRoute /late-exclusion/x !
UDSRoute /base unix:{one}|http://localhost/deep/base
UDSRoute /slash/ unix:{one}|http://localhost/
UDSRoute /raw unix:{one}|http://localhost/raw nocanon
UDSRoute /cooked unix:{one}|http://localhost/cooked
UDSRouteMatch ^/m/([a-z]+)/(.*)\\.x$ unix:{two}|http://localhost/q/$2/$1
UDSRouteMatch ^/whole/.*$ unix:{two}|http://localhost
SetEnvIf X-Tenant ^([a-z]+)$ TENANT=$1
UDSRoute /tenant unix:{three}|http://localhost/t/${{TENANT}} interpolate
<Location /loc>
    UDSRoute unix:{three}|http://localhost/inside
</Location>
<VirtualHost *:@PORT@>
    ServerName localhost
</VirtualHost>
<VirtualHost *:@PORT@>
    ServerName b.test
    UDSRoute /one unix:{three}|http://localhost
    UDSRoute /only-b unix:{two}|http://localhost
</VirtualHost>
"""


@pytest.fixture(scope="module")
def backends(module_sandbox):
    """Three servers, each of which says its name and what it was asked for."""

    def naming(name):
        return lambda exchange: exchange.respond(body=f"{name} {exchange.request.target}")

    return {name: module_sandbox.scripted(name, naming(name)) for name in NAMES}


@pytest.fixture(scope="module")
def httpd(module_sandbox, backends):
    sockets = {name: backend.address for name, backend in backends.items()}
    httpd = module_sandbox.httpd(CONFIG.format(**sockets))
    # The lines that come too late, on purpose.
    httpd.log.expect("UDR0076: .*no request comes to '/order/late'")
    httpd.log.expect("UDR0076: .*no request comes to '/late-exclusion/x'")
    httpd.log.expect("UDR0076: .*no request comes to '/one'")
    return httpd


def answer(httpd, target, host="localhost", fields=()):
    """Which backend answered, and for which target: "name /target"."""
    response = fetch(httpd.port, target, fields=fields, host=host)
    assert response.status == 200, response
    return response.text


def test_two_sockets_with_the_same_host_are_two_backends(httpd):
    assert answer(httpd, "/one/x") == "one /x"
    assert answer(httpd, "/two/x") == "two /x"


def test_two_sockets_with_the_same_url_stay_apart_on_one_connection(httpd):
    with Client(httpd.port) as client:
        seen = [client.fetch(f"/same/{letter}/{number}").text for number in range(5) for letter in "ab"]
    assert seen == [f"{name} /{number}" for number in range(5) for name in ("one", "two")]


@pytest.mark.parametrize(
    "target,expected",
    [
        ("/order/first/x", "one /x"),
        ("/order/late/x", "two /late/x"),
        ("/order/x", "two /x"),
    ],
)
def test_first_match_in_configuration_order_wins(httpd, target, expected):
    assert answer(httpd, target) == expected


def test_exclusion_before_the_route(httpd, backends):
    before = len(backends["one"].requests)
    assert fetch(httpd.port, "/one/secret/x").status == 404
    assert len(backends["one"].requests) == before


def test_exclusion_after_the_route_comes_too_late(httpd):
    assert answer(httpd, "/late-exclusion/x/y") == "one /x/y"


def test_a_path_ends_at_a_segment(httpd):
    assert fetch(httpd.port, "/oneness").status == 404


def test_path_without_trailing_slash(httpd):
    assert answer(httpd, "/one") == "one /"


def test_route_that_ends_in_a_slash_does_not_take_the_bare_path(httpd):
    assert answer(httpd, "/slash/x") == "one /x"
    assert fetch(httpd.port, "/slash").status == 404


@pytest.mark.parametrize(
    "target,expected",
    [
        ("/base", "one /deep/base"),
        ("/base/", "one /deep/base/"),
        ("/base/x?y=1&z=%20", "one /deep/base/x?y=1&z=%20"),
    ],
)
def test_path_of_the_target_replaces_path_of_the_route(httpd, target, expected):
    assert answer(httpd, target) == expected


def test_query_is_passed_on_untouched(httpd):
    assert answer(httpd, "/one/x?a=b%2Fc&d=%zz+e?f") == "one /x?a=b%2Fc&d=%zz+e?f"


def test_path_is_decoded_and_encoded_again(httpd):
    assert answer(httpd, "/cooked/%61b/./c/../d%20e") == "one /cooked/ab/d%20e"


def test_nocanon_passes_the_path_as_the_client_wrote_it(httpd):
    assert answer(httpd, "/raw/%61b/d%20e%3B;f") == "one /raw/%61b/d%20e%3B;f"


def test_match_with_groups(httpd):
    assert answer(httpd, "/m/abc/d/e.x") == "two /q/d/e/abc"


def test_match_keeps_the_query(httpd):
    assert answer(httpd, "/m/abc/d.x?k=v") == "two /q/d/abc?k=v"


def test_match_without_groups_appends_the_whole_path(httpd):
    assert answer(httpd, "/whole/x/y") == "two /whole/x/y"


def test_match_that_does_not_match(httpd):
    assert fetch(httpd.port, "/m/abc/d.y").status == 404


def test_location(httpd):
    assert answer(httpd, "/loc/x") == "three /inside/x"


def test_interpolation_of_the_path(httpd):
    assert answer(httpd, "/tenant/x", fields=[("X-Tenant", "acme")]) == "three /t/acme/x"


def test_interpolation_of_an_unset_variable_is_empty(httpd):
    assert answer(httpd, "/tenant/x") in ("three /t/x", "three /t//x")


def test_variable_without_interpolate_is_refused(sandbox):
    """It would reach the backend as it stands, which nobody wants."""
    test = sandbox.configtest("UDSRoute /x unix:/run/a.sock|http://localhost/t/${TENANT}")
    assert test.refused
    assert "interpolate" in test.output


@pytest.mark.parametrize(
    "target",
    [
        "unix:@ROOT@/${{TENANT}}.sock|http://localhost/",
        "unix:@${{TENANT}}|http://localhost/",
        "unix:${{TENANT}}|http://localhost/",
    ],
)
def test_interpolation_of_the_socket_is_refused(sandbox, target):
    test = sandbox.configtest(f"UDSRoute /x {target.format()} interpolate")
    assert test.refused
    assert "${TENANT}" in test.output
    assert f"line {test.line_of('UDSRoute /x')} of {test.file}" in test.output


def test_groups_in_the_socket_are_refused(sandbox):
    test = sandbox.configtest("UDSRouteMatch ^/x/(.*)$ unix:@ROOT@/$1.sock|http://localhost/")
    assert test.refused
    assert "$1" in test.output


def test_main_servers_routes_come_before_the_virtual_hosts(httpd):
    """They stand before them in the configuration; so it is with ProxyPass."""
    assert answer(httpd, "/one/x", host="b.test") == "one /x"


def test_virtual_host_inherits_the_main_servers_routes(httpd):
    assert answer(httpd, "/two/x", host="b.test") == "two /x"


def test_route_of_one_virtual_host_is_not_anothers(httpd):
    assert answer(httpd, "/only-b/x", host="b.test") == "two /x"
    assert fetch(httpd.port, "/only-b/x").status == 404


def test_many_sockets_at_once(sandbox):
    """Fifty members that differ in nothing but the socket."""
    servers = [
        sandbox.scripted(f"n{number}", lambda exchange, number=number: exchange.respond(body=str(number)))
        for number in range(50)
    ]
    routes = [f"UDSRoute /n{number}/ unix:{server.address}|http://localhost/" for number, server in enumerate(servers)]
    httpd = sandbox.httpd("\n".join(routes))
    with Client(httpd.port) as client:
        assert [client.fetch(f"/n{number}/x").text for number in range(50)] == [str(number) for number in range(50)]
