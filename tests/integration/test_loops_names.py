# SPDX-License-Identifier: Apache-2.0
"""HostnameLookups: clients' names are asked for by worker threads. While nobody answers, the loop goes on."""
import subprocess

import pytest

import udr_environment
from udr_loops import adopted, connect, loop_httpd, route, status, wait_until_threads_are_free
from udr_processes import wait_until

# Of a busy machine; the resolver would block for ever.
SOON = 15

LINE = "%h %U %>s"


class Resolver:
    """What tests/integration/peers/slow_resolver.c does for one httpd."""

    def __init__(self, directory):
        directory.mkdir(mode=0o755)
        self.library = directory / "slow_resolver.so"
        self._gate = directory / "gate"
        self._asked = directory / "asked"
        self._asked.touch()
        self._asked.chmod(0o666)
        source = udr_environment.PEERS / "slow_resolver.c"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(self.library), str(source)], check=True)

    def httpd(self, sandbox, config, lookups="On", **settings):
        environment = {"SLOW_RESOLVER_GATE": str(self._gate), "SLOW_RESOLVER_ASKED": str(self._asked)}
        return loop_httpd(sandbox, f"HostnameLookups {lookups}\n{config}", preload=self.library,
                          environment=environment, access_log=LINE, **settings)

    def hang(self):
        """Until answer(), nobody gets one."""
        self._gate.touch()

    def answer(self):
        self._gate.unlink(missing_ok=True)

    def wait_for_questions(self, count):
        """Waits until somebody has asked so often, and no more often."""
        asked = lambda: self._asked.stat().st_size
        wait_until(lambda: asked() >= count, f"the question {count}, after {asked()}")
        assert asked() == count


@pytest.fixture(name="resolver")
def _resolver(sandbox):
    resolver = Resolver(sandbox.root / "resolver")
    yield resolver
    resolver.answer()


@pytest.fixture(name="backend")
def _backend(sandbox):
    return sandbox.scripted("app", lambda exchange: exchange.respond(body=exchange.request.target))


def assert_served(neighbour):
    neighbour.sock.settimeout(SOON)
    for _ in range(3):
        assert neighbour.fetch("/short").text == "/short"


def assert_logged(httpd, *lines):
    wait_until(lambda: set(lines) <= set(httpd.access_lines(1)), f"{lines} in the access log: {httpd.access_lines(1)}")


def test_first_request_of_a_connection(sandbox, resolver, backend):
    """It is answered at once, its line waits for the name; so does the connection's next request, as without loops."""
    httpd = resolver.httpd(sandbox, route(backend))
    with adopted(httpd) as neighbour, connect(httpd) as client:
        assert_served(neighbour)
        resolver.wait_for_questions(1)
        resolver.hang()
        client.sock.settimeout(SOON)
        assert client.fetch("/app/x").text == "/app/x"
        resolver.wait_for_questions(2)
        assert_served(neighbour)
        assert not any("/app/x" in line for line in httpd.access_lines(1))
        resolver.answer()
        assert client.fetch("/app/y").text == "/app/y"
        assert_logged(httpd, "host-1.example /app/x 200", "host-1.example /app/y 200")
        resolver.wait_for_questions(2)


def test_names_that_lead_to_nobody(sandbox, resolver, backend):
    """HostnameLookups Double: the line has the address, and nobody asks again."""
    httpd = resolver.httpd(sandbox, route(backend), lookups="Double")
    with adopted(httpd) as neighbour, connect(httpd) as client:
        assert_served(neighbour)
        resolver.hang()
        client.sock.settimeout(SOON)
        assert client.fetch("/app/x").text == "/app/x"
        assert_served(neighbour)
        resolver.answer()
        assert client.fetch("/app/y").text == "/app/y"
        assert_logged(httpd, "127.0.0.1 /app/x 200", "127.0.0.1 /app/y 200")
        resolver.wait_for_questions(2)


def test_without_lookups(sandbox, resolver, backend):
    httpd = resolver.httpd(sandbox, route(backend), lookups="Off")
    with adopted(httpd) as client:
        assert client.fetch("/app/x").text == "/app/x"
        assert_logged(httpd, "127.0.0.1 /app/x 200")
    resolver.wait_for_questions(0)


# Whoever connects is a proxy, and each request another client's.
REMOTE = "RemoteIPHeader X-Client\nRemoteIPInternalProxy 127.0.0.1\n"


@pytest.mark.parametrize("path,status", [("/app/x", 200), ("/index.html", 200), ("/app/refused", 403), ("/nothing", 404)])
def test_a_client_for_each_request(sandbox, resolver, backend, path, status):
    """mod_remoteip: each has a name of its own, whether the loop serves it, a guest, or nobody."""
    config = REMOTE + route(backend) + "<Location /app/refused>\nRequire all denied\n</Location>\n"
    httpd = resolver.httpd(sandbox, config, modules=["remoteip"])
    with adopted(httpd) as neighbour, adopted(httpd) as client:
        for number in (7, 8):
            assert client.fetch(path, fields=[("X-Client", f"127.0.0.{number}")]).status == status
        resolver.wait_for_questions(4)
        resolver.hang()
        client.sock.settimeout(SOON)
        client.send_request("GET", path, [("X-Client", "127.0.0.9")])
        client.send_request("GET", path, [("X-Client", "127.0.0.10")])
        resolver.wait_for_questions(5)
        assert_served(neighbour)
        resolver.answer()
        for _ in range(2):
            assert client.read_response().status == status
        assert_logged(httpd, *(f"host-{number}.example {path} {status}" for number in (7, 8, 9, 10)))
        resolver.wait_for_questions(6)
    httpd.log.allow("AH01630")


def test_a_request_that_can_not_be_read(sandbox, resolver):
    """httpd logs it at once, by the name of whoever has connected, for which nobody has asked yet."""
    httpd = resolver.httpd(sandbox, REMOTE, modules=["remoteip"])
    with adopted(httpd) as neighbour, connect(httpd) as client:
        assert client.fetch("/adopt", fields=[("X-Client", "127.0.0.7")]).status == 200
        resolver.wait_for_questions(2)
        resolver.hang()
        client.sock.settimeout(SOON)
        client.send(b"GET /what HTTP/1.1\r\nno field\r\n\r\n")
        resolver.wait_for_questions(3)
        assert_served(neighbour)
        resolver.answer()
        assert client.read_response().status == 400
        assert_logged(httpd, "host-1.example /what 400")


def test_lookups_of_a_location(sandbox, resolver, backend):
    config = route(backend) + "<Location /app/named>\nHostnameLookups On\n</Location>\n"
    httpd = resolver.httpd(sandbox, config, lookups="Off")
    with adopted(httpd) as neighbour, adopted(httpd) as client:
        assert_served(neighbour)
        resolver.wait_for_questions(0)
        resolver.hang()
        client.sock.settimeout(SOON)
        assert client.fetch("/app/named").text == "/app/named"
        assert_served(neighbour)
        resolver.answer()
        assert client.fetch("/app/other").text == "/app/other"
        # The name is known now, and mod_log_config uses what is known.
        assert_logged(httpd, "host-1.example /app/named 200", "host-1.example /app/other 200")
        resolver.wait_for_questions(1)


# A head that the loop does not look for in one piece: a worker reads the request.
LONG_HEAD = [("X-Long", "x" * 8000), ("X-Longer", "x" * 8000)]

# More than the two sockets take, less than core's output filter holds.
SIZE = 50_000


@pytest.fixture(name="start_slow")
def _start_slow(sandbox, resolver):
    """Starts an httpd whose responses do not find room at once, at a client that does not read."""
    backend = sandbox.scripted("large", lambda exchange: exchange.respond(body=b"x" * SIZE))

    def start(config, lookups="On"):
        config = "SendBufferSize 4096\n" + REMOTE + route(backend) + config
        httpd = resolver.httpd(sandbox, config, lookups, modules=["remoteip"])
        (httpd.root / "htdocs/large.txt").write_bytes(b"x" * SIZE)
        return httpd

    return start


@pytest.mark.parametrize("fields", [[], LONG_HEAD], ids=["loop", "worker"])
@pytest.mark.parametrize("path", ["/app/x", "/large.txt"])
def test_a_client_that_takes_its_time(resolver, start_slow, path, fields):
    """Its line is the loop's to write, when it has taken all; with the name for which a worker has asked before."""
    httpd = start_slow("")
    with adopted(httpd) as neighbour, adopted(httpd, receive_buffer=2048) as client:
        resolver.wait_for_questions(2)
        client.send_request("GET", path, [("X-Client", "127.0.0.9"), *fields])
        if fields or path == "/large.txt":  # else the exchange has not ended yet
            resolver.wait_for_questions(3)
        wait_until_threads_are_free(httpd)
        assert_served(neighbour)
        assert not any(path in line for line in httpd.access_lines(1))
        assert len(client.read_response().body) == SIZE
        assert_logged(httpd, f"host-9.example {path} 200")


def test_a_client_that_takes_its_time_where_nobody_could_know(resolver, start_slow):
    """The one line that the loop writes with nobody having asked: it has the address."""
    httpd = start_slow("<Location /large.txt>\nHostnameLookups On\n</Location>\n", "Off")
    with adopted(httpd) as neighbour, adopted(httpd, receive_buffer=2048) as client:
        resolver.hang()
        client.send_request("GET", "/large.txt", [("X-Client", "127.0.0.9"), *LONG_HEAD])
        wait_until_threads_are_free(httpd)
        assert len(client.read_response().body) == SIZE
        assert_logged(httpd, "127.0.0.9 /large.txt 200")
        assert_served(neighbour)
        resolver.wait_for_questions(0)


@pytest.mark.parametrize("lookups", ["On", "Off"])
def test_a_client_that_takes_its_time_with_its_first_answer(sandbox, resolver, lookups):
    """A worker has served it, and asks when it logs: the connection is the MPM's until then. Where nobody is to be
    asked it waits on the loop."""
    # Passed on in one piece.
    backend = sandbox.scripted("large", lambda exchange: exchange.respond(body=b"x" * 20_000))
    config = "SendBufferSize 4096\nUDSPark 30s\n" + REMOTE + route(backend)
    httpd = resolver.httpd(sandbox, config, lookups, modules=["remoteip"], threads=8)
    with connect(httpd, receive_buffer=2048) as client:
        client.send_request("GET", "/app/x", [("X-Client", "127.0.0.9")])
        backend.wait_for_requests(1)
        wait_until_threads_are_free(httpd)
        assert not any("/app/x" in line for line in httpd.access_lines(1))
        if lookups != "On":
            wait_until(lambda: status(httpd)["UDSRouteServed"] == "1", "the loop to have it")
        assert status(httpd)["UDSRouteServed"] == ("0" if lookups == "On" else "1")
        assert len(client.read_response().body) == 20_000
        assert_logged(httpd, f"{'host-9.example' if lookups == 'On' else '127.0.0.9'} /app/x 200")
        assert_served(client)


def test_a_cgi_program_is_told_the_name(sandbox, resolver):
    """Before it is asked."""
    backend = sandbox.scripted("fcgi", lambda exchange: exchange.respond(body=exchange.request.get("REMOTE_HOST")),
                               protocol="fcgi")
    config = REMOTE + f"UDSRoute /php/ unix:{backend.address}|fcgi://localhost/srv/\n"
    httpd = resolver.httpd(sandbox, config, modules=["remoteip"])
    with adopted(httpd) as neighbour, adopted(httpd) as client:
        resolver.wait_for_questions(2)
        resolver.hang()
        client.sock.settimeout(SOON)
        client.send_request("GET", "/php/x.php", [("X-Client", "127.0.0.9")])
        resolver.wait_for_questions(3)
        assert_served(neighbour)
        resolver.answer()
        assert client.read_response().text == "host-9.example"
        assert_logged(httpd, "host-9.example /php/x.php 200")
        resolver.wait_for_questions(3)
