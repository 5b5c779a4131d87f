# SPDX-License-Identifier: Apache-2.0
"""PHP-FPM is checked by its own ping page; a member that speaks another protocol than its target says is named."""
import json
import signal

from udr_client import fetch
from udr_health import DOWN, INTERVAL, STATUS, UP, health, state, wait_for_checks, wait_for_state
from udr_peers import start_node
from udr_php import make_site, start_fpm, variables

PONG = "UDSHealthExpr pong {hc('body') =~ /^pong$/}\n"
CHECKED = f"hcmethod=GET hcuri=/ping hcexpr=pong hcinterval={INTERVAL} timeout=2"


def checked_site(sandbox, parameters=CHECKED, target="fcgi://localhost@SITE@"):
    """Two pools with names of their own behind a balancer."""
    pools = {name: start_fpm(sandbox, name, children=4) for name in ("a", "b")}
    root = make_site(sandbox)
    target = target.replace("@SITE@", str(root))
    members = [f'UDSMember "unix:{pool.socket}|{target}" {parameters}' for pool in pools.values()]
    httpd = sandbox.httpd(
        STATUS + PONG + "<UDSBalancer php>\n" + "\n".join(members) + "\n</UDSBalancer>\nUDSRoute /app balancer://php\n"
    )
    return httpd, pools


def test_ping_page(sandbox):
    httpd, _ = checked_site(sandbox)
    for name in ("a", "b"):
        wait_for_checks(httpd, name, 2)
        assert health(httpd, name)["fails"] == 0 and state(httpd, name) == "up", health(httpd, name)
    assert variables(fetch(httpd.port, "/app/vars.php"))["SCRIPT_NAME"] == "/app/vars.php"


def test_pages_of_php_fpm(sandbox):
    """Where a handler stands in a <Location>, nobody looks for a file."""
    fpm = start_fpm(sandbox)
    handler = f'SetHandler "udsroute:unix:{fpm.socket}|fcgi://localhost"'
    httpd = sandbox.httpd("".join(f"<Location {page}>\n{handler}\n</Location>\n" for page in ("/ping", "/fpm-status")))
    assert fetch(httpd.port, "/ping").text == "pong"
    assert json.loads(fetch(httpd.port, "/fpm-status?json").body)["process manager"] == "static"


def test_body_that_is_asked_for(sandbox):
    """Another page than ping answers 200 as well, and is not what the expression asks for."""
    httpd, _ = checked_site(sandbox, CHECKED.replace("/ping", "/answer.php?how=text"))
    for name in ("a", "b"):
        httpd.log.expect(DOWN.format(name) + r".*not what hcexpr asks for \(200\)")
        wait_for_state(httpd, name, "down")


def test_stopped_pool_is_found_and_comes_back(sandbox):
    """SIGSTOP: it takes connections and says nothing."""
    httpd, pools = checked_site(sandbox)
    for name in pools:
        wait_for_checks(httpd, name, 1)
    pools["a"].signal_all(signal.SIGSTOP)
    httpd.log.expect(DOWN.format("a"), timeout=20)
    # The other one has all of it.
    assert all(fetch(httpd.port, "/app/vars.php").status == 200 for _ in range(6))
    pools["a"].signal_all(signal.SIGCONT)
    httpd.log.expect(UP.format("a"), timeout=20)
    wait_for_state(httpd, "a", "up")


def test_fcgi_to_a_server_that_speaks_http(sandbox):
    socket = start_node(sandbox, make_site(sandbox) / "vars.php")
    httpd = sandbox.httpd(f'UDSRoute /x "unix:{socket}|fcgi://localhost/srv"')
    assert fetch(httpd.port, "/x/a.php").status == 502
    httpd.log.expect(r"UDR0008: member unix:\S+node\.sock\|fcgi://\S+: .*answers in HTTP, the target says fcgi://")


def test_http_to_php(sandbox):
    fpm = start_fpm(sandbox)
    httpd = sandbox.httpd(f'UDSRoute / "unix:{fpm.socket}|http://localhost/"')
    assert fetch(httpd.port, "/vars.php").status == 502
    httpd.log.expect(r"UDR00\d\d: member unix:\S+php\.sock\|http://localhost/.*fcgi://")


def test_check_of_a_server_that_speaks_http(sandbox):
    socket = start_node(sandbox, make_site(sandbox) / "vars.php")
    httpd = sandbox.httpd(
        f'{STATUS}UDSRoute /x "unix:{socket}|fcgi://localhost/srv" hcmethod=GET hcuri=/ping hcinterval={INTERVAL}'
    )
    httpd.log.expect(DOWN.format("node") + ".*another protocol than its scheme says")
