# SPDX-License-Identifier: Apache-2.0
"""How many connections a child can hold: what `httpd -t`, the error log at the start and the status page say of it."""
import contextlib
import re
import resource
import select

import pytest

import udr_environment
from udr_client import Client, fetch
from udr_loops import adopted, loop_httpd, status
from udr_processes import wait_until

ROUTE = "UDSRoute /app unix:/run/app.sock|http://localhost/\n"
QUIET = {"log_level": "warn", "udsroute_log_level": "warn"}
FACTOR = "AsyncRequestWorkerFactor {}\n"

pytestmark = pytest.mark.usefixtures("loops_are_on")


@pytest.fixture(name="loops_are_on")
def _loops_are_on(monkeypatch):
    """Whatever the whole suite runs under: these tests say themselves what they are about."""
    monkeypatch.setattr(udr_environment, "loops", lambda: None)


@contextlib.contextmanager
def descriptors(count):
    """What is started within has so many."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def said(sandbox, config, limit=2048, **settings):
    """What the module says in configtest."""
    settings.setdefault("mpm", "event")
    with descriptors(limit):
        test = sandbox.configtest(config, **settings)
    assert test.exit_code == 0 and "Syntax OK" in test.output, test.output
    return [line for line in test.output.splitlines() if "[udsroute:" in line]


# --- configtest -------------------------------------------------------------------------------------------------------


def test_good_configuration_at_the_usual_level(sandbox):
    assert said(sandbox, ROUTE + FACTOR.format(16), **QUIET) == []


def test_figures_at_info(sandbox):
    (line,) = said(sandbox, ROUTE + FACTOR.format(16), udsroute_log_level="info")
    assert "up to 544 connections (ThreadsPerChild 32 + idle threads x AsyncRequestWorkerFactor 16), 528 when" in line
    assert ":info]" in line


@pytest.mark.parametrize(
    "config,factor",
    [
        (FACTOR.format(8), 8),
        (FACTOR.format("8.9"), 8),
        (FACTOR.format("0.5"), 1),
        (FACTOR.format('"8"'), 8),
        (FACTOR.format(8) + FACTOR.format(9), 9),
        ("<IfModule mpm_event_module>\n" + FACTOR.format(8) + "</IfModule>\n", 8),
        ("<IfDefine !NEVER>\n<IfModule udsroute_module>\n" + FACTOR.format(8) + "</IfModule>\n</IfDefine>\n", 8),
        (FACTOR.format(8) + "<IfModule never_module>\n" + FACTOR.format(9) + "</IfModule>\n", 8),
        ("asyncrequestworkerfactor 8\n", 8),
    ],
)
def test_factor_as_the_mpm_reads_it(sandbox, config, factor):
    (line,) = said(sandbox, ROUTE + config, udsroute_log_level="info")
    assert f"AsyncRequestWorkerFactor {factor})" in line
    assert f"up to {32 + 32 * factor} connections" in line


def test_factor_of_an_included_file(sandbox):
    (sandbox.root / "part.conf").write_text(FACTOR.format(8))
    (line,) = said(sandbox, ROUTE + f"Include {sandbox.root}/part.conf\n", udsroute_log_level="info")
    assert "AsyncRequestWorkerFactor 8)" in line


def test_factor_of_httpd(sandbox):
    """Said at notice, with the remedy; not to whoever has chosen one."""
    figures, note = said(sandbox, ROUTE, udsroute_log_level="info")
    assert "up to 96 connections" in figures
    assert re.search(r":notice\].*AsyncRequestWorkerFactor is httpd's default.*AsyncRequestWorkerFactor 64", note)
    assert said(sandbox, ROUTE + FACTOR.format(2), **QUIET) == []
    assert len(said(sandbox, ROUTE + FACTOR.format(2), udsroute_log_level="info")) == 1


def test_too_few_descriptors(sandbox):
    """At the usual level: what is missing, and how to mend it."""
    (line,) = said(sandbox, ROUTE + FACTOR.format(64), limit=1024, **QUIET)
    assert re.search(r":warn\].*UDR0021: a child takes up to 2080 connections", line)
    assert "1024 descriptors allow 480 parked requests" in line
    assert "to 4224" in line and "LimitNOFILE=" in line


@pytest.mark.parametrize("limit,count", [(1152, 0), (1151, 1)])
def test_as_many_descriptors_as_it_says(sandbox, limit, count):
    assert len(said(sandbox, ROUTE + FACTOR.format(16), limit=limit, **QUIET)) == count


@pytest.mark.parametrize(
    "config,mpm",
    [
        (ROUTE + "UDSLoops Off\n", "event"),
        ("UDSLoops 2\nUDSRoute /static !\n", "event"),
        ("", "event"),
        (ROUTE, "worker"),
        (ROUTE, "prefork"),
    ],
    ids=["off", "no member", "not used", "worker", "prefork"],
)
def test_where_nothing_waits_on_a_loop(sandbox, config, mpm):
    assert said(sandbox, config, limit=256, mpm=mpm, udsroute_log_level="debug") == []


@pytest.mark.parametrize(
    "config",
    [
        "<VirtualHost *:@PORT@>\n" + ROUTE + "</VirtualHost>\n",
        '<Location /x>\nUDSRoute "unix:/run/app.sock|http://localhost/"\n</Location>\n',
        '<Location /x>\nSetHandler "udsroute:unix:/run/app.sock|http://localhost"\n</Location>\n',
    ],
    ids=["virtual host", "location", "handler"],
)
def test_wherever_the_route_stands(sandbox, config):
    assert len(said(sandbox, config + FACTOR.format(64), limit=1024, **QUIET)) == 1


# --- the start, and the status page -----------------------------------------------------------------------------------


STATUS = "<Location /server-status>\nSetHandler server-status\n</Location>\n"


def test_start_with_too_few_descriptors(sandbox):
    """Once, though httpd reads its configuration twice; and again at a restart."""
    with descriptors(512):
        httpd = sandbox.httpd(ROUTE + STATUS + FACTOR.format(64), mpm="event", threads=8, modules=["status"])
    httpd.log.expect(r":warn\].*UDR0021.*520 connections.*512 descriptors allow 224 parked")
    page = fetch(httpd.port, "/server-status?auto").text
    assert "UDSRouteMaxConnections: 520\n" in page and "UDSRouteMaxParked: 224\n" in page
    assert "UDSRouteMaxClosing: 8\n" in page
    httpd.graceful()
    httpd.log.expect("UDR0021")


def test_start_of_a_good_configuration(sandbox):
    with descriptors(2048):
        httpd = sandbox.httpd(ROUTE + STATUS + FACTOR.format(64), mpm="event", threads=8, modules=["status"])
    assert len(httpd.log.find("a child takes up to 520 connections")) == 1
    page = fetch(httpd.port, "/server-status").text
    assert "up to 520 connections; its 2048 descriptors allow 992 parked requests" in page


def test_the_figures_are_true(sandbox, gate):
    """Of connections that come all at once a child takes as many as it says, at the least, and never more than it says
    at the most; the others wait for those."""

    def behave(exchange):
        gate.wait()
        exchange.respond(body="app", fields=[("Connection", "close")])

    backend = sandbox.scripted("app", behave)
    config = f"UDSPark 0\nUDSRoute /app unix:{backend.address}|http://localhost/\n" + FACTOR.format(8)
    httpd = sandbox.httpd(config, mpm="event", threads=4)
    assert httpd.log.find(r"up to 36 connections .* 28 when they come all at once")
    clients = [Client(httpd.port) for _ in range(60)]
    for client in clients:
        client.send_request("GET", "/app", [("Connection", "close")])
    backend.wait_for_requests(28)
    select.select([], [], [], 0.5)
    assert 28 <= len(backend.requests) <= 36
    gate.open()
    for client in clients:
        assert client.read_response().text == "app"
        client.close()


def test_clients_that_do_not_close_take_no_descriptors_from_those_that_wait(sandbox):
    """A child of 260 connections has 16 left. Beyond that they are waited for as long as httpd has two seconds."""
    with descriptors(2 * 260 + 64 + 16):
        httpd = loop_httpd(sandbox, "")
    assert status(httpd)["UDSRouteMaxClosing"] == "16"
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(adopted(httpd))
            assert client.fetch("/short", fields=[("Connection", "close")]).text == "/short"
            assert client.closed_by_server() and not client.stream.reset
        wait_until(lambda: status(httpd)["UDSRouteClosing"] == "16", "those beyond to be closed", 25)


def test_many_children_and_few_descriptors(sandbox):
    """The parent needs none for each child that ServerLimit allows; maxconn works all the same."""
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body="app"))
    route = f"UDSRoute /app unix:{backend.address}|http://localhost/ maxconn=1\n"
    with descriptors(1024):
        httpd = sandbox.httpd("ServerLimit 20000\n" + route, mpm="prefork")
    assert [fetch(httpd.port, "/app").text for _ in range(20)] == ["app"] * 20
