# SPDX-License-Identifier: Apache-2.0
"""PHP-FPM reloads and restarts under load, its processes end, it is gone: who notices, and what the log says."""
import json
import signal

import pytest

import udr_environment
from udr_balancers import Load
from udr_client import Client, fetch
from udr_environment import campaign
from udr_php import start_site
from udr_processes import wait_until

CLIENTS = 4
RELOADS = campaign(4, 100)
BODY = b"once and not twice" * 200


@pytest.fixture(params=udr_environment.RUNNERS)
def httpd(sandbox, request):
    # Each client's process of httpd may hold a connection, and each has a process of PHP-FPM.
    route = 'UDSRoute "/patient" "unix:@SOCKET@|fcgi://localhost@SITE@" hold=10\n'
    return start_site(sandbox, request.param, children=24, threads=8, config=route, udsroute_log_level="info")


def get(client, number, begin=""):
    response = client.fetch(f"{begin}/numbered.php?name=n{number}&lines=20")
    if response.status == 200:
        assert response.get("X-Name") == f"n{number}" and response.text.count(f"n{number}:") == 20
    return response


def get_and_post(client, number):
    if number % 2:
        return get(client, number)
    response = client.fetch("/upload.php", "POST", body=BODY)
    if response.status == 200:
        assert json.loads(response.body)["length"] == len(BODY)
    return response


@pytest.mark.campaign
def test_reloads(httpd):
    """SIGUSR2: the socket stays, its processes end when they have answered. Nobody notices."""
    with Load(httpd, CLIENTS, rate=400, request=get_and_post) as load:
        for _ in range(RELOADS):
            load.wait_for_more(40)
            httpd.fpm.reload()
        load.wait_for_more(40)
    print(load)
    assert set(load.statuses) == {200}, load.statuses
    assert httpd.fpm.starts() == RELOADS + 1


@pytest.mark.campaign
def test_restarts(httpd):
    """The socket is gone for a while: requests that may be sent again wait for it."""
    httpd.log.allow(r"UDR0034|UDR0007.*POST")
    httpd.fpm.allow(r"NOTICE|WARNING: .*exited")
    # At full length with the `hold` of every member. A busy machine may take longer to start PHP-FPM.
    begin = campaign("/patient", "")
    with Load(httpd, CLIENTS, rate=400, request=lambda client, number: get(client, number, begin)) as load:
        for _ in range(campaign(2, 30)):
            load.wait_for_more(60)
            httpd.fpm.restart()
        load.wait_for_more(60)
    print(load)
    assert set(load.statuses) == {200}, load.statuses


@pytest.mark.campaign
def test_processes_end_after_some_requests(sandbox):
    """pm.max_requests: each process closes its connection right behind an answer."""
    httpd = start_site(sandbox, "event", children=8, threads=16, pool=["pm.max_requests = 5"])
    with Load(httpd, CLIENTS, requests=campaign(800, 10000), request=get_and_post) as load:
        pass
    print(load)
    assert set(load.statuses) == {200}, load.statuses


def test_process_that_dies_takes_nobody_with_it(sandbox):
    """A script that kills its process: who asks for it gets 502, all others their answers."""
    httpd = start_site(sandbox, "event", children=12, udsroute_log_level="info")
    (httpd.site / "crash.php").write_text("<?php exec('kill -9 ' . getmypid()); sleep(5);")
    (httpd.site / "crash.php").chmod(0o644)
    httpd.fpm.allow("WARNING: .*exited on signal 9")
    with Load(httpd, CLIENTS, rate=400, request=get_and_post) as load:
        for method in ("POST", "GET") * 4:
            assert fetch(httpd.port, "/crash.php", method).status == 502
            httpd.log.expect("UDR0007: member .*connection closed by the member")
        load.wait_for_more(20)
    assert set(load.statuses) == {200}, load.statuses


def test_gone(sandbox):
    httpd = start_site(sandbox, "event")
    assert fetch(httpd.port, "/vars.php").status == 200
    httpd.fpm.end()
    assert fetch(httpd.port, "/vars.php").status == 503
    httpd.log.expect(r"UDR0004: member unix:\S+\|fcgi://localhost: can't connect: \S+event\.sock does not exist")
    # What httpd does by itself goes on.
    assert fetch(httpd.port, "/missing.php").status == 404
    httpd.fpm.start()
    assert fetch(httpd.port, "/vars.php").status == 200


def test_reload_waits_for_a_script(sandbox):
    """What is under way when PHP-FPM reloads gets its answer."""
    httpd = start_site(sandbox, "event")
    mark, go_on = (httpd.fpm.root / "tmp" / name for name in ("begun", "go-on"))
    with Client(httpd.port) as client:
        client.send_request("POST", f"/answer.php?how=wait&mark={mark}&for={go_on}", body=b"x")
        wait_until(lambda: mark.exists() and mark.read_text(), "the script to begin")
        before = httpd.fpm.starts()
        httpd.fpm.send(signal.SIGUSR2)
        go_on.write_text("")
        assert client.read_response().text == "waited"
        httpd.fpm.wait_until_ready(before)
    assert fetch(httpd.port, "/vars.php").status == 200
