# SPDX-License-Identifier: Apache-2.0
"""PHP-FPM is checked by its own ping page; a member that speaks another protocol than its target says is named."""
import json
import signal

from udr_client import fetch
from udr_health import (
    DOWN,
    INTERVAL,
    LATE,
    STATUS,
    UP,
    health,
    state,
    undisturbed,
    wait_for_state,
    wait_until_checked,
)
from udr_peers import start_node
from udr_php import make_site, start_fpm, variables
from udr_processes import wait_until

PONG = "UDSHealthExpr pong {hc('body') =~ /^pong$/}\n"
CHECKED = "hcmethod=GET hcuri=/ping hcexpr=pong hcinterval={} timeout=2"
ONCE = "5s"  # at the start, and in time however busy the machine is


def checked_site(sandbox, parameters=CHECKED.format(ONCE), target="fcgi://localhost@SITE@"):
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
        wait_until_checked(httpd, name)
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
    httpd, _ = checked_site(sandbox, CHECKED.format(ONCE).replace("/ping", "/answer.php?how=text"))
    for name in ("a", "b"):
        httpd.log.expect(DOWN.format(name) + r".*not what hcexpr asks for \(200\)")
        wait_for_state(httpd, name, "down")


def test_stopped_pool_is_found_and_comes_back(sandbox):
    """SIGSTOP: it takes connections and says nothing."""
    httpd, pools = checked_site(sandbox, CHECKED.format(INTERVAL))
    httpd.log.allow(LATE)
    for name in pools:
        wait_for_state(httpd, name, "up")
    pools["a"].signal_all(signal.SIGSTOP)
    wait_for_state(httpd, "a", "down", 20)
    wait_until(lambda: httpd.log.find(DOWN.format("a")), "that to be told")
    # The other one has all of it.
    ask = lambda: [fetch(httpd.port, "/app/vars.php").status for _ in range(6)]
    assert undisturbed(httpd, ask, ill="a") == [200] * 6
    pools["a"].signal_all(signal.SIGCONT)
    wait_for_state(httpd, "a", "up", 20)
    wait_until(lambda: httpd.log.find(UP.format("a")), "that to be told")


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
        f'{STATUS}UDSRoute /x "unix:{socket}|fcgi://localhost/srv" hcmethod=GET hcuri=/ping hcinterval={ONCE}'
    )
    httpd.log.expect(DOWN.format("node") + ".*another protocol than its scheme says")
