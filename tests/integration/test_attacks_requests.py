# SPDX-License-Identifier: Apache-2.0
"""Requests with which somebody got round the configuration, or could not get through: what is routed and what is not,
what fields and trailers reach the member, and bodies that come slowly, half-closed, or over HTTP/2."""
import pathlib
import socket
import threading
import time

import pytest

import udr_environment
from udr_client import Client, curl, fetch


@pytest.fixture
def backend(sandbox):
    """Answers with the target it was asked for."""
    return sandbox.scripted("app", lambda exchange: exchange.respond(body=exchange.request.target))


def route(backend, path="/", target="http://localhost/", parameters=""):
    return f"UDSRoute {path} unix:{backend.address}|{target} {parameters}\n"


def set_handler(backend):
    return f'SetHandler "udsroute:unix:{backend.address}|http://localhost/"\n'


# --- what is routed ---------------------------------------------------------------------------------------------------


def test_rewrite_rule_in_a_location_diverts(sandbox, backend):
    """Rules of a <Location> run after the route was found. What they divert must not reach the member all the same."""
    httpd = sandbox.httpd(
        route(backend, "/app/") + "<Location /app/>\nRewriteEngine On\nRewriteRule secret /denied.txt\n"
        "RewriteRule forbidden - [F]\n</Location>\n",
        modules=["rewrite"],
    )
    (httpd.root / "htdocs/denied.txt").write_text("diverted")
    assert fetch(httpd.port, "/app/secret").text == "diverted"
    assert fetch(httpd.port, "/app/forbidden").status == 403
    assert backend.requests == []
    assert fetch(httpd.port, "/app/open").text == "/open"


def test_htaccess_can_not_choose_a_socket(sandbox, backend):
    """Not even one that stands in the configuration: there another line, with other rules around it, has it."""
    httpd = sandbox.httpd(
        '<Directory "@ROOT@/htdocs">\nAllowOverride FileInfo\n</Directory>\n'
        f"<Location /app>\n{set_handler(backend)}</Location>\n"
    )
    (httpd.root / "htdocs/sub").mkdir()
    (httpd.root / "htdocs/sub/x.txt").write_text("a file")
    (httpd.root / "htdocs/sub/.htaccess").write_text(set_handler(backend))
    assert fetch(httpd.port, "/sub/x.txt").status == 500
    assert backend.accepted == 0
    httpd.log.expect(r"\.htaccess: SetHandler: .*not for \.htaccess")
    assert fetch(httpd.port, "/app/x").text == "/app/x"


def test_htaccess_can_take_a_handler_away(sandbox, backend):
    """Any other SetHandler is the file's to give, as always."""
    httpd = sandbox.httpd(f'<Directory "@ROOT@/htdocs">\nAllowOverride FileInfo\n{set_handler(backend)}</Directory>\n')
    (httpd.root / "htdocs/sub").mkdir()
    (httpd.root / "htdocs/sub/x.txt").write_text("a file")
    (httpd.root / "htdocs/sub/.htaccess").write_text("SetHandler None\n")
    assert fetch(httpd.port, "/sub/x.txt").text == "a file"
    assert fetch(httpd.port, "/index.html").text == "/index.html"


def test_set_handler_from_a_macro(sandbox):
    """Each virtual host has its own socket, whatever became of the memory in which the macro was expanded."""
    count = 12
    servers = [
        sandbox.scripted(f"s{n}", lambda exchange, n=n: exchange.respond(body=f"server {n}")) for n in range(count)
    ]
    macro = (
        "<Macro VirtualServer $name $socket>\n<VirtualHost *:@PORT@>\nServerName $name\n<Location /s>\n"
        'SetHandler "udsroute:unix:$socket|http://localhost/"\n</Location>\n'
        "UDSRoute /r unix:$socket|http://localhost/\n</VirtualHost>\n</Macro>\n"
    )
    uses = "".join(
        f"Use VirtualServer s{n}.test {server.address}\n<VirtualHost *:@PORT@>\nServerName other{n}.test\n"
        "RewriteEngine On\nRewriteRule ^/a/(.*)$ /b/$1 [R]\n</VirtualHost>\n"
        for n, server in enumerate(servers)
    )
    httpd = sandbox.httpd(macro + uses, modules=["macro", "rewrite"])
    for n in range(count):
        assert fetch(httpd.port, "/s/x", host=f"s{n}.test").text == f"server {n}"
        assert fetch(httpd.port, "/r/x", host=f"s{n}.test").text == f"server {n}"


@pytest.mark.parametrize("by", ["route", "handler"])
def test_connect_reaches_no_member(sandbox, backend, by):
    """A member that understands it would turn a pooled connection into a tunnel for whoever comes next."""
    httpd = sandbox.httpd(route(backend) if by == "route" else f"<Location />\n{set_handler(backend)}</Location>\n")
    with Client(httpd.port) as client:
        client.send(b"CONNECT inner.test:80 HTTP/1.1\r\nHost: inner.test:80\r\n\r\n")
        assert client.read_response().status == 405
    assert backend.accepted == 0
    httpd.log.allow(r"AH\d{5}")


def test_directory_index_finds_a_routed_file(sandbox, backend):
    config = "DirectoryIndex index.app\n" + route(backend, "/sub/index.app", "http://localhost/routed")
    httpd = sandbox.httpd(config, modules=["dir"])
    (httpd.root / "htdocs/sub").mkdir()
    assert fetch(httpd.port, "/sub/?a=b").text == "/routed?a=b"


@pytest.mark.parametrize("by", ["route", "handler"])
def test_forwarded_fields_of_a_directory_index(sandbox, backend, by):
    """mod_dir makes the request a routed one late: even so, what a client says must not pass for httpd's word."""
    found = (
        route(backend, "/sub/index.app", "http://localhost/routed")
        if by == "route"
        else f'<FilesMatch "\\.app$">\n{set_handler(backend)}</FilesMatch>\n'
    )
    httpd = sandbox.httpd("DirectoryIndex index.app\n" + found, modules=["dir"])
    (httpd.root / "htdocs/sub").mkdir()
    (httpd.root / "htdocs/sub/index.app").write_text("source code")
    assert fetch(httpd.port, "/sub/", fields=[("X-Forwarded-Proto", "https")]).status == 200
    request = backend.requests[0]
    assert (request.get("X-Forwarded-For"), request.get("X-Forwarded-Proto")) == ("127.0.0.1", "http")


# --- what path is asked for -------------------------------------------------------------------------------------------


def test_nocanon_sends_what_was_rewritten(sandbox, backend):
    """nocanon is about how a path is written, not about which path: [PT] has the last word there."""
    httpd = sandbox.httpd(
        "RewriteEngine On\nRewriteRule ^/raw/forbidden /raw/harmless [PT]\n"
        + route(backend, "/raw/", "http://localhost/base/", "nocanon"),
        modules=["rewrite"],
    )
    assert fetch(httpd.port, "/raw/forbidden").text == "/base/harmless"
    assert fetch(httpd.port, "/raw/a%20b:c?d=%zz").text == "/base/a%20b:c?d=%zz"


@pytest.mark.parametrize(
    "target,sent",
    [("/raw/../raw/x", "/base/x"), ("/raw/y/%2e%2e/x", "/base/x"), ("/raw/./x", "/base/x"), ("/y/../raw/x", "/base/x")],
)
def test_nocanon_sends_no_dot_segments(sandbox, backend, target, sent):
    """httpd resolved them before it looked for a route; the member would once more, and leave the target's path."""
    httpd = sandbox.httpd(route(backend, "/raw/", "http://localhost/base/", "nocanon"))
    text = fetch(httpd.port, target).text
    assert ".." not in text and "%2e%2e" not in text
    assert text == sent


@pytest.mark.parametrize("value", ["..", "../..", "x/../..", "../y?z=1"])
def test_interpolated_value_can_not_climb(sandbox, backend, value):
    """A value may come from the request; it must not lead out of the target's path."""
    httpd = sandbox.httpd(
        'SetEnvIf X-Tenant "(.*)" TENANT=$1\n' + route(backend, "/", "http://localhost/base/${TENANT}/", "interpolate")
    )
    assert fetch(httpd.port, "/x", fields=[("X-Tenant", value)]).status == 400
    assert backend.requests == []
    httpd.log.expect(r"UDR0017.*'\.\.'")
    assert fetch(httpd.port, "/x", fields=[("X-Tenant", "a..b")]).text == "/base/a..b/x"


@pytest.mark.parametrize("path,value", [("${TENANT}${TENANT}", "."), (".${TENANT}", "."), ("x/${TENANT}", "./..")])
def test_interpolated_values_can_not_climb_together(sandbox, backend, path, value):
    """Dots that are harmless each make a segment together."""
    target = f"http://localhost/base/{path}/"
    httpd = sandbox.httpd('SetEnvIf X-Tenant "(.*)" TENANT=$1\n' + route(backend, "/", target, "interpolate"))
    assert fetch(httpd.port, "/x", fields=[("X-Tenant", value)]).status == 400
    assert backend.requests == []
    httpd.log.expect(r"UDR0017.*'\.\.'")


def test_interpolated_dots_in_code_stay_code(sandbox, backend):
    """A value that is encoded is encoded once more: at the member it is a name, not a way."""
    target = "http://localhost/base/${TENANT}/"
    httpd = sandbox.httpd('SetEnvIf X-Tenant "(.*)" TENANT=$1\n' + route(backend, "/", target, "interpolate"))
    assert fetch(httpd.port, "/x", fields=[("X-Tenant", "%2e%2e")]).text == "/base/%252e%252e/x"


def test_matched_groups_can_not_climb(sandbox, backend):
    """Nor can the parts into which a regular expression takes a path."""
    httpd = sandbox.httpd(f"UDSRouteMatch ^/files/(.)-(.*)$ unix:{backend.address}|http://localhost/base/$1$2\n")
    assert fetch(httpd.port, "/files/a-b").text == "/base/ab"
    assert fetch(httpd.port, "/files/.-./x").status == 400
    assert len(backend.requests) == 1
    httpd.log.expect(r"UDR0017.*'\.\.'")


@pytest.mark.parametrize("line", ["UDSRoute /base/", "UDSRoute /base", "UDSRouteMatch ^/base/"])
def test_rewritten_paths_can_not_climb(sandbox, backend, line):
    """httpd resolves the dots of what was requested, not of what a rule makes of it."""
    httpd = sandbox.httpd(
        'RewriteEngine On\nRewriteRule "^/files(.*)$" "/base/$1" [PT]\n'
        f"{line} unix:{backend.address}|http://localhost/base/\n",
        modules=["rewrite"],
    )
    assert fetch(httpd.port, "/files/a/../b").text.endswith("/b")
    assert fetch(httpd.port, "/files%252e%252e/b").text.endswith("/%252e%252e/b")
    assert fetch(httpd.port, "/files../b").status == 400
    assert len(backend.requests) == 2
    httpd.log.expect(r"UDR0017.*'\.\.'")


# --- what fields reach the member -------------------------------------------------------------------------------------


def test_connection_can_not_name_away_what_the_configuration_sets(sandbox, backend):
    """Fields named in Connection are the client's own hop; those that httpd sets, however early, are not."""
    httpd = sandbox.httpd("RequestHeader set X-Early front early\nRequestHeader set X-Late front\n" + route(backend))
    names = "X-Early, X-Late, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Own, close"
    fetch(httpd.port, "/x", fields=[("Connection", names), ("X-Own", "1"), ("X-Early", "forged")])
    request = backend.requests[0]
    assert (request.get("X-Early"), request.get("X-Late")) == ("front", "front")
    assert (request.get("X-Forwarded-For"), request.get("X-Forwarded-Proto")) == ("127.0.0.1", "http")
    assert request.get("X-Forwarded-Host") == "localhost" and not request.has("X-Own")


def send_trailers(httpd, *trailers, fields=()):
    with Client(httpd.port) as client:
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        section = "".join(f"{name}: {value}\r\n" for name, value in trailers)
        client.send(
            f"POST /x HTTP/1.1\r\nHost: localhost\r\n{head}Transfer-Encoding: chunked\r\n\r\n"
            f"3\r\nabc\r\n0\r\n{section}\r\n".encode()
        )
        assert client.read_response().status == 200


def test_client_trailers_do_not_override_the_head(sandbox, backend):
    """A server that merges trailers into the head would take the client's word for where it comes from."""
    httpd = sandbox.httpd("RequestHeader set X-User alice\n" + route(backend))
    send_trailers(
        httpd, ("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-host", "evil"), ("X-User", "root"), ("X-Sum", "1")
    )
    request = backend.requests[0]
    assert request.trailers == [("X-Sum", "1")]
    assert (request.get("X-Forwarded-For"), request.get("X-User")) == ("127.0.0.1", "alice")


def test_trailer_named_by_connection_is_dropped(sandbox, backend):
    """RFC 9110, 7.6.1: header or trailer field."""
    httpd = sandbox.httpd(route(backend))
    send_trailers(httpd, ("X-Own", "1"), ("X-Sum", "1"), fields=[("Connection", "X-Own")])
    assert backend.requests[0].trailers == [("X-Sum", "1")]


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_half_closed_upload_to_a_slow_member(sandbox):
    """The client shuts down its side behind the body, as nc -N does: it has not gone while httpd still has some of it.

    The member pauses for longer than httpd waits for one who has gone, but only while not all can be in its socket."""
    socket_holds = int(pathlib.Path("/proc/sys/net/core/wmem_default").read_text())
    size = socket_holds + 400_000
    taken = threading.Event()

    def behave(exchange):
        stream = exchange.connection.stream
        while len(stream.buffer) < size - socket_holds - 50_000 and stream.fill(40_000):
            time.sleep(0.15)
        exchange.read_body()
        taken.set()
        exchange.respond()

    backend = sandbox.scripted("slow", behave, read_bodies=False)
    httpd = sandbox.httpd(f"ReceiveBufferSize {socket_holds}\n" + route(backend))
    with Client(httpd.port) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        client.sock.shutdown(socket.SHUT_WR)
        assert taken.wait(20)
    assert backend.requests[0].complete and len(backend.requests[0].body) == size


def test_streamed_response_to_an_unfinished_upload(sandbox):
    """The client sends nothing for longer than Timeout, but takes all that the member sends meanwhile."""
    ticks = 11
    finish = threading.Event()

    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(ticks):
            time.sleep(0.4)
            if not exchange.send(b"4\r\ntick\r\n"):
                return
        finish.set()
        exchange.read_body()
        exchange.send(b"4\r\ndone\r\n0\r\n\r\n")

    backend = sandbox.scripted("ticks", behave, read_bodies=False)
    httpd = sandbox.httpd("Timeout 4\n" + route(backend, parameters="timeout=20"))
    with Client(httpd.port) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        sender = threading.Thread(target=lambda: finish.wait(20) and client.send(b"3\r\ndef\r\n0\r\n\r\n"), daemon=True)
        sender.start()
        response = client.read_response()
        sender.join(5)
    assert response.complete and response.text == "tick" * ticks + "done"
    assert backend.requests[0].body == b"abcdef"


def test_http_2_upload_of_unknown_length_is_fast(sandbox):
    """20 MB over loopback: what is measured is whether each frame waits for a clock. (55 s when it did, 1 s else.)"""
    size = 20_000_000
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=f"{len(exchange.request.body)} bytes"))
    httpd = sandbox.httpd(
        "Protocols h2c http/1.1\n" + route(backend), modules=["http2"], mpm=udr_environment.threaded_mpm()
    )
    (sandbox.root / "body").write_bytes(b"x" * size)
    started = time.monotonic()
    answer = curl(
        "--http2-prior-knowledge",
        "--header",
        "Transfer-Encoding: chunked",
        "--upload-file",
        sandbox.root / "body",
        httpd.url("/x"),
    )
    assert answer.text == f"{size} bytes" and not backend.requests[0].has("Content-Length")
    assert time.monotonic() - started < 15
