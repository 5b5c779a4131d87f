# SPDX-License-Identifier: Apache-2.0
"""Together with httpd's own modules: TLS, HTTP/2, compression, rewriting, access control, error pages, mod_proxy."""
import base64
import gzip
import hashlib
import re
import threading
import zlib

import pytest

import udr_environment
from udr_client import Client, curl, fetch, h2load
from udr_loops import TLS
from udr_processes import wait_until


@pytest.fixture
def backend(sandbox):
    return sandbox.scripted(
        "app", lambda exchange: exchange.respond(body=exchange.request.target, fields=[("Content-Type", "text/plain")])
    )


def route(backend, path="/", target="http://localhost/"):
    return f"UDSRoute {path} unix:{backend.address}|{target}\n"


def section(name, *lines):
    """A section such as "Location /x" with these lines in it."""
    return "\n".join([f"<{name}>", *lines, f"</{name.split()[0]}>"]) + "\n"


def handler(backend):
    return f'SetHandler "udsroute:unix:{backend.address}|http://localhost"'


# --- mod_ssl ----------------------------------------------------------------------------------------------------------


def test_tls(sandbox, backend):
    httpd = sandbox.httpd(route(backend) + TLS, tls=True)
    with Client(httpd.tls_port, tls=True) as client:
        for _ in range(3):
            assert client.fetch("/x").text == "/x"
        assert client.fetch("/y", "POST", body=b"z" * 200000).text == "/y"
        assert client.fetch("/z", "POST", body=[b"z" * 1000] * 10).text == "/z"
    assert {request.get("X-Forwarded-Proto") for request in backend.requests} == {"https"}
    assert len(backend.requests[3].body) == 200000


def test_tls_by_curl_with_the_certificate_checked(sandbox, backend):
    httpd = sandbox.httpd(route(backend) + TLS, tls=True)
    answer = curl("--cacert", httpd.root / "cert.pem", httpd.url("/x", tls=True))
    assert (answer.status, answer.text) == (200, "/x")


def test_tls_large_response(sandbox):
    body = bytes(range(256)) * 20000
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=body))
    httpd = sandbox.httpd(route(backend) + TLS, tls=True)
    with Client(httpd.tls_port, tls=True) as client:
        assert client.fetch("/x").body == body


def test_tls_response_cut_off(sandbox):
    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
        exchange.close()

    backend = sandbox.scripted("app", behave)
    httpd = sandbox.httpd(route(backend) + TLS, tls=True)
    answer = curl("--insecure", httpd.url("/x", tls=True))
    assert answer.status == 502 or answer.exit_code != 0
    httpd.log.expect(r"UDR\d{4}.*closed")


def test_tls_client_that_goes_away(sandbox):
    def behave(exchange):
        exchange.peer_closed(20)
        exchange.close()

    backend = sandbox.scripted("app", behave)
    httpd = sandbox.httpd(route(backend) + TLS, tls=True)
    with Client(httpd.tls_port, tls=True) as client:
        client.send_request("GET", "/x")
        backend.wait_for_requests(1)
    backend.wait_for(lambda: not backend.open_connections, "the member to be free")


# --- mod_http2 --------------------------------------------------------------------------------------------------------


def http2(sandbox, config):
    """HTTP/2 over TLS and in clear text. mod_http2 refuses prefork."""
    return sandbox.httpd(
        "Protocols h2 h2c http/1.1\n" + config + TLS,
        tls=True,
        modules=["http2"],
        mpm=udr_environment.threaded_mpm(),
        threads=64,
    )


def test_http_2_over_tls(sandbox, backend):
    httpd = http2(sandbox, route(backend))
    answer = curl("--http2", "--insecure", httpd.url("/x", tls=True))
    assert (answer.http_version, answer.status, answer.text) == ("HTTP/2", 200, "/x")
    request = backend.requests[0]
    assert (request.version, request.get("Host"), request.get("X-Forwarded-Proto")) == ("1.1", "localhost", "https")


def test_http_2_in_clear_text(sandbox, backend):
    httpd = http2(sandbox, route(backend))
    answer = curl("--http2-prior-knowledge", httpd.url("/x"))
    assert (answer.http_version, answer.status, answer.text) == ("HTTP/2", 200, "/x")


def test_http_2_bodies(sandbox):
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=exchange.request.body))
    httpd = http2(sandbox, route(backend))
    (sandbox.root / "body").write_bytes(bytes(range(256)) * 4000)
    answer = curl("--http2", "--insecure", "--data-binary", f"@{sandbox.root}/body", httpd.url("/x", tls=True))
    assert answer.body == (sandbox.root / "body").read_bytes()


def test_http_2_body_of_unknown_length(sandbox):
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=exchange.request.body))
    httpd = http2(sandbox, route(backend))
    (sandbox.root / "body").write_bytes(b"x" * 50000)
    answer = curl(
        "--http2-prior-knowledge",
        "--header",
        "Content-Length:",
        "--header",
        "Transfer-Encoding: chunked",
        "--data-binary",
        f"@{sandbox.root}/body",
        httpd.url("/x"),
    )
    assert answer.body == b"x" * 50000


def test_http_2_chunked_response(sandbox):
    def behave(exchange):
        exchange.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 1000 + b"0\r\n\r\n"
        )

    backend = sandbox.scripted("app", behave)
    httpd = http2(sandbox, route(backend))
    answer = curl("--http2", "--insecure", httpd.url("/x", tls=True))
    assert answer.body == b"hello" * 1000 and answer.get("Transfer-Encoding") is None


def test_http_2_early_hints(sandbox):
    def behave(exchange):
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        exchange.respond(body="hinted")

    backend = sandbox.scripted("app", behave)
    httpd = http2(sandbox, "H2EarlyHints On\n" + route(backend))
    answer = curl("--http2", "--insecure", httpd.url("/x", tls=True))
    assert answer.text == "hinted" and answer.status == 200


@pytest.mark.parametrize(
    "response,words",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", "closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n", "chunk"),
    ],
)
def test_http_2_response_cut_off(sandbox, response, words):
    """A 502, or a stream that is reset: never a whole response."""

    def behave(exchange):
        exchange.send(response)
        exchange.close()

    backend = sandbox.scripted("app", behave)
    httpd = http2(sandbox, route(backend))
    answer = curl("--http2", "--insecure", httpd.url("/x", tls=True))
    assert answer.status == 502 or answer.exit_code != 0, answer
    httpd.log.expect(rf"UDR\d{{4}}.*{words}")


def test_http_2_malformed_head_is_a_502(sandbox):
    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n")
        exchange.close()

    backend = sandbox.scripted("app", behave)
    httpd = http2(sandbox, route(backend))
    assert curl("--http2", "--insecure", httpd.url("/x", tls=True)).status == 502
    httpd.log.expect(r"UDR\d{4}.*white space")


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_http_2_many_streams(sandbox, tls):
    backend = sandbox.scripted("app")
    httpd = http2(sandbox, route(backend))
    load = h2load(httpd.url("/x", tls=tls), 3000, 4, "-m", "32")
    assert load.flawless, load.output


def test_http_2_stream_that_is_given_up(sandbox):
    """curl gives up after a second: the member is free."""

    def behave(exchange):
        exchange.peer_closed(20)
        exchange.close()

    backend = sandbox.scripted("app", behave)
    httpd = http2(sandbox, route(backend))
    assert curl("--http2", "--insecure", httpd.url("/x", tls=True), timeout=1).exit_code == 28
    backend.wait_for(lambda: not backend.open_connections, "the member to be free")
    httpd.log.allow(r"AH\d{5}|UDR\d{4}.*client")


# --- mod_deflate, mod_headers -----------------------------------------------------------------------------------------


def test_compression(sandbox):
    text = b"compress me well " * 5000
    backend = sandbox.scripted(
        "app", lambda exchange: exchange.respond(body=text, fields=[("Content-Type", "text/plain")])
    )
    httpd = sandbox.httpd("AddOutputFilterByType DEFLATE text/plain\n" + route(backend), modules=["filter", "deflate"])
    with Client(httpd.port) as client:
        for _ in range(3):
            response = client.fetch("/x", fields=[("Accept-Encoding", "gzip")])
            assert response.get("Content-Encoding") == "gzip" and "Accept-Encoding" in response.get("Vary")
            assert gzip.decompress(response.body) == text and len(response.body) < len(text)
        plain = client.fetch("/x")
        assert plain.body == text and not plain.has("Content-Encoding")
        assert client.fetch("/x", "HEAD", fields=[("Accept-Encoding", "gzip")]).body == b""


def test_compressed_stream_is_flushed(sandbox):
    """What the backend has sent is at the client before more comes, compressed or not."""
    go = threading.Event()

    def behave(exchange):
        exchange.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst \r\n"
        )
        go.wait(20)
        exchange.send(b"6\r\nsecond\r\n0\r\n\r\n")

    backend = sandbox.scripted("app", behave)
    httpd = sandbox.httpd("AddOutputFilterByType DEFLATE text/plain\n" + route(backend), modules=["filter", "deflate"])
    with Client(httpd.port) as client:
        client.send_request("GET", "/x", [("Accept-Encoding", "gzip")])
        got = bytearray()
        inflater = zlib.decompressobj(31)
        response = {}

        def sink(piece):
            got.extend(inflater.decompress(piece))
            if got == b"first ":
                go.set()

        response = client.read_response(sink=sink)
    assert bytes(got) == b"first second" and response.complete


def test_request_body_that_a_filter_inflates(sandbox):
    """The length the client announced is not that of what is sent on."""
    text = b"inflate me " * 1000
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=exchange.request.body))
    httpd = sandbox.httpd("SetInputFilter DEFLATE\n" + route(backend), modules=["filter", "deflate"])
    response = fetch(httpd.port, "/x", "POST", fields=[("Content-Encoding", "gzip")], body=gzip.compress(text))
    assert response.body == text


def test_header_directives(sandbox, backend):
    httpd = sandbox.httpd(
        "Header set X-Front front\nHeader always set X-Always always\nHeader unset Content-Type\n"
        "RequestHeader set X-Request request\nRequestHeader unset X-Secret\n" + route(backend)
    )
    response = fetch(httpd.port, "/x", fields=[("X-Secret", "1"), ("X-Request", "forged")])
    assert (response.get("X-Front"), response.get("X-Always")) == ("front", "always")
    assert backend.requests[0].get("X-Request") == "request" and not backend.requests[0].has("X-Secret")


def test_request_header_has_the_last_word_about_forwarding(sandbox, backend):
    httpd = sandbox.httpd("RequestHeader set X-Forwarded-Proto https\n" + route(backend))
    fetch(httpd.port, "/x")
    assert backend.requests[0].get("X-Forwarded-Proto") == "https"


def test_header_always_on_our_own_errors(sandbox):
    path = sandbox.socket("absent")
    httpd = sandbox.httpd(f"Header always set X-Always always\nUDSRoute / unix:{path}|http://localhost/")
    response = fetch(httpd.port, "/x")
    assert response.status == 503 and response.get("X-Always") == "always"
    httpd.log.expect(rf"UDR\d{{4}}.*{path}")


# --- mod_rewrite ------------------------------------------------------------------------------------------------------


def test_rewritten_and_passed_through(sandbox, backend):
    httpd = sandbox.httpd(
        "RewriteEngine On\nRewriteRule ^/old/(.*)$ /app/$1 [PT]\n" + route(backend, "/app/", "http://localhost/"),
        modules=["rewrite"],
    )
    assert fetch(httpd.port, "/old/x?y=z").text == "/x?y=z"
    assert fetch(httpd.port, "/app/x").text == "/x"


def test_rewritten_query(sandbox, backend):
    httpd = sandbox.httpd(
        "RewriteEngine On\nRewriteRule ^/item/(\\d+)$ /app/item?id=$1 [PT,QSA]\n" + route(backend, "/app/"),
        modules=["rewrite"],
    )
    assert fetch(httpd.port, "/item/7?a=b").text == "/item?id=7&a=b"


def test_rewriting_away_from_the_route(sandbox, backend):
    """Redirected and forbidden requests never reach the backend."""
    httpd = sandbox.httpd(
        "RewriteEngine On\nRewriteRule ^/gone$ - [G]\nRewriteRule ^/no$ - [F]\nRewriteRule ^/there$ /here [R=302]\n"
        + route(backend),
        modules=["rewrite"],
    )
    assert [fetch(httpd.port, target).status for target in ("/gone", "/no", "/there")] == [410, 403, 302]
    assert backend.requests == []
    assert fetch(httpd.port, "/else").text == "/else"


def test_rewriting_per_server(sandbox, backend):
    """Each virtual host with rules of its own before its route."""
    config = "".join(
        section(
            "VirtualHost *:@PORT@",
            f"ServerName {name}.test",
            "RewriteEngine On",
            f"RewriteRule ^/(.*)$ /{name}/$1 [PT]",
            route(backend),
        )
        for name in ("a", "b")
    )
    httpd = sandbox.httpd(config, modules=["rewrite"])
    assert fetch(httpd.port, "/x", host="a.test").text == "/a/x"
    assert fetch(httpd.port, "/x", host="b.test").text == "/b/x"


def test_rewrite_variable_in_an_interpolated_path(sandbox, backend):
    httpd = sandbox.httpd(
        "RewriteEngine On\nRewriteCond %{HTTP_HOST} ^([a-z]+)\\.test$\nRewriteRule ^ - [E=TENANT:%1]\n"
        f"UDSRoute / unix:{backend.address}|http://localhost/${{TENANT}}/ interpolate\n",
        modules=["rewrite"],
    )
    assert fetch(httpd.port, "/x", host="acme.test").text == "/acme/x"


def refused(httpd, backend, target, fields=()):
    """The socket that the request names is not touched."""
    response = fetch(httpd.port, target, fields=fields)
    assert response.status >= 400, response
    assert backend.accepted == 0 and backend.requests == []
    return response


@pytest.mark.parametrize(
    "rule",
    [
        "RewriteRule ^/x$ - [H=udsroute:unix:{socket}|http://localhost/]",
        "RewriteRule ^/x$ - [H=udsroute:unix:%{{HTTP:X-Socket}}|http://localhost/]",
        "RewriteCond %{{HTTP:X-Socket}} (.*)\nRewriteRule ^/x$ - [H=udsroute:unix:%1|http://localhost/]",
        "RewriteCond %{{HTTP:X-Socket}} (.*)\nRewriteRule ^/x$ - [E=S:%1,H=udsroute:unix:%{{ENV:S}}|http://localhost/]",
    ],
)
def test_handler_from_a_rewrite_rule_is_refused(sandbox, backend, rule):
    """A socket comes from routes and SetHandler lines, never from what a rule makes of a request."""
    httpd = sandbox.httpd("RewriteEngine On\n" + rule.format(socket=backend.address), modules=["rewrite"])
    refused(httpd, backend, "/x", [("X-Socket", backend.address)])
    httpd.log.expect(r"UDR\d{4}.*handler.*refused.*configuration")


@pytest.mark.parametrize(
    "target",
    [
        "udsroute:unix:{socket}|http://localhost/x",
        "/udsroute:unix:{socket}|http://localhost/",
        "/unix:{socket}|http://localhost/",
    ],
)
def test_rewriting_to_a_target_is_refused(sandbox, backend, target):
    httpd = sandbox.httpd(
        f"RewriteEngine On\nRewriteRule ^/x$ {target.format(socket=backend.address)} [PT]\n", modules=["rewrite"]
    )
    httpd.log.allow(r"UDR\d{4}|AH\d{5}")
    refused(httpd, backend, "/x")


def test_handler_from_an_expression_is_refused(sandbox, backend):
    """SetHandler takes expressions; one that reads the request can name no socket."""
    config = section("Location /x", 'SetHandler "expr=udsroute:unix:%{req:X-Socket}|http://localhost/"')
    test = sandbox.configtest(config)
    if test.refused:
        assert "udsroute" in test.output
        return
    httpd = sandbox.httpd(config)
    httpd.log.allow(r"UDR\d{4}|AH\d{5}")
    refused(httpd, backend, "/x", [("X-Socket", backend.address)])


@pytest.mark.parametrize("directive", ["AddHandler", "AddType"])
def test_handler_from_a_files_name_is_refused(sandbox, backend, directive):
    """AddHandler and AddType make handlers of file names: those are no SetHandler lines either."""
    httpd = sandbox.httpd(f'{directive} "udsroute:unix:{backend.address}|http://localhost/" .app')
    (httpd.root / "htdocs/x.app").write_text("a file")
    refused(httpd, backend, "/x.app")
    httpd.log.expect(r"UDR\d{4}.*handler.*refused.*configuration")


# --- SetHandler -------------------------------------------------------------------------------------------------------


def test_set_handler_in_a_location(sandbox, backend):
    httpd = sandbox.httpd(section("Location /app", handler(backend)))
    assert fetch(httpd.port, "/app/x?y=z").text == "/app/x?y=z"
    assert fetch(httpd.port, "/index.html").text == "served by httpd itself\n"


def test_set_handler_for_files(sandbox, backend):
    """The file is there and is not what is served: its handler is the backend."""
    httpd = sandbox.httpd(section('FilesMatch "\\.app$"', handler(backend)))
    (httpd.root / "htdocs/page.app").write_text("source code")
    assert fetch(httpd.port, "/page.app").text == "/page.app"
    assert fetch(httpd.port, "/index.html").text == "served by httpd itself\n"


def test_set_handler_in_a_directory(sandbox, backend):
    httpd = sandbox.httpd(section('Directory "@ROOT@/htdocs/sub"', handler(backend)))
    (httpd.root / "htdocs/sub").mkdir()
    (httpd.root / "htdocs/sub/x.txt").write_text("a file")
    assert fetch(httpd.port, "/sub/x.txt").text == "/sub/x.txt"


def test_set_handler_reuses_connections(sandbox, backend):
    httpd = sandbox.httpd(section("Location /app", handler(backend)))
    with Client(httpd.port) as client:
        for method in ["GET", "GET", "POST", "POST"]:
            assert client.fetch("/app/x", method, body=b"y" if method == "POST" else None).status == 200
    assert backend.accepted == 1


def test_set_handler_with_a_socket_in_capitals(sandbox):
    """httpd turns the handler's name into small letters; a path is not small letters."""
    backend = sandbox.scripted("MyApp")
    httpd = sandbox.httpd(section("Location /app", handler(backend)))
    assert fetch(httpd.port, "/app/x").text == "scripted"


def test_set_handler_per_virtual_host(sandbox):
    servers = {
        name: sandbox.scripted(name, lambda exchange, name=name: exchange.respond(body=name)) for name in ("a", "b")
    }
    config = "".join(
        section("VirtualHost *:@PORT@", f"ServerName {name}.test", section("Location /", handler(server)))
        for name, server in servers.items()
    )
    httpd = sandbox.httpd(config)
    assert [fetch(httpd.port, "/x", host=f"{name}.test").text for name in "ab"] == ["a", "b"]


# --- access control ---------------------------------------------------------------------------------------------------


def test_require(sandbox, backend):
    """Who is not let in is turned away before the backend hears of it."""
    login = ["AuthType Basic", "AuthName private", "AuthUserFile @ROOT@/users", "Require valid-user"]
    config = route(backend) + section("Location /private", *login) + section("Location /closed", "Require all denied")
    httpd = sandbox.httpd(config, modules=["auth_basic", "authn_file", "authz_user"])
    digest = base64.b64encode(hashlib.sha1(b"secret").digest()).decode()
    (httpd.root / "users").write_text(f"alice:{{SHA}}{digest}\n")
    (httpd.root / "users").chmod(0o644)
    response = fetch(httpd.port, "/private/x", "POST", body=b"y" * 1000)
    assert response.status == 401 and "Basic" in response.get("WWW-Authenticate")
    assert fetch(httpd.port, "/closed/x").status == 403
    assert backend.requests == []
    credentials = base64.b64encode(b"alice:secret").decode()
    assert fetch(httpd.port, "/private/x", fields=[("Authorization", f"Basic {credentials}")]).text == "/private/x"
    assert backend.requests[0].get("Authorization") == f"Basic {credentials}"
    httpd.log.expect("AH01630|client denied by server configuration")


def test_require_with_set_handler(sandbox, backend):
    httpd = sandbox.httpd(section("Location /app", handler(backend), "Require all denied"))
    assert fetch(httpd.port, "/app/x").status == 403
    assert backend.requests == []
    httpd.log.expect("AH01630|client denied by server configuration")


def test_require_in_the_document_root_does_not_concern_a_route(sandbox, backend):
    """A routed request has no file: <Directory> has no say, <Location> has. So it is with ProxyPass."""
    httpd = sandbox.httpd(route(backend) + section('Directory "@ROOT@/htdocs"', "Require all denied"))
    assert fetch(httpd.port, "/x").text == "/x"


# --- error pages ------------------------------------------------------------------------------------------------------


@pytest.fixture
def failing(sandbox):
    """Answers /status/CODE with that status and a body of its own."""

    def behave(exchange):
        code = int(exchange.request.target.rpartition("/")[2])
        exchange.respond(code, "the backend's own page", fields=[("X-Backend", "1"), ("Set-Cookie", "a=b")])

    return sandbox.scripted("failing", behave)


ERROR_DOCUMENTS = 'ErrorDocument 404 "httpd\'s page"\nErrorDocument 500 /sorry.html\nErrorDocument 503 "httpd\'s 503"\n'


def test_error_pages_of_the_backend_are_its_own(sandbox, failing):
    httpd = sandbox.httpd(ERROR_DOCUMENTS + route(failing, "/app/"))
    for code in (404, 500, 503):
        response = fetch(httpd.port, f"/app/{code}")
        assert (response.status, response.text) == (code, "the backend's own page")


def test_error_override(sandbox, failing):
    httpd = sandbox.httpd(ERROR_DOCUMENTS + "UDSErrorOverride On\n" + route(failing, "/app/"))
    (httpd.root / "htdocs/sorry.html").write_text("sorry")
    for code, page in (
        (404, "httpd's page"),
        (500, "sorry"),
        (503, "httpd's 503"),
        (200, "the backend's own page"),
        (302, "the backend's own page"),
    ):
        response = fetch(httpd.port, f"/app/{code}")
        assert (response.status, response.text) == (code, page)


def test_error_override_of_some_codes(sandbox, failing):
    httpd = sandbox.httpd(ERROR_DOCUMENTS + "UDSErrorOverride On 503\n" + route(failing, "/app/"))
    assert fetch(httpd.port, "/app/404").text == "the backend's own page"
    assert fetch(httpd.port, "/app/503").text == "httpd's 503"


def test_error_override_per_directory(sandbox, failing):
    httpd = sandbox.httpd(
        ERROR_DOCUMENTS
        + route(failing, "/app/")
        + route(failing, "/other/")
        + section("Location /app/", "UDSErrorOverride On")
    )
    assert fetch(httpd.port, "/app/404").text == "httpd's page"
    assert fetch(httpd.port, "/other/404").text == "the backend's own page"


def test_error_override_keeps_the_connection_in_step(sandbox, failing):
    """The backend's page is read and dropped, not left lying for the next request."""
    httpd = sandbox.httpd("UDSErrorOverride On\n" + route(failing, "/app/"))
    with Client(httpd.port) as client:
        for _ in range(5):
            assert "backend's own" not in client.fetch("/app/404").text
            assert client.fetch("/app/200").text == "the backend's own page"
    assert failing.accepted == 1


def test_error_document_for_our_own_failures(sandbox):
    path = sandbox.socket("absent")
    httpd = sandbox.httpd(
        f"ErrorDocument 503 /sorry.html\nUDSRoute /sorry.html !\nUDSRoute / unix:{path}|http://localhost/"
    )
    (httpd.root / "htdocs/sorry.html").write_text("sorry")
    response = fetch(httpd.port, "/x")
    assert (response.status, response.text) == (503, "sorry")
    httpd.log.expect(rf"UDR\d{{4}}.*{path}")


def test_error_document_from_a_backend(sandbox, backend):
    path = sandbox.socket("absent")
    httpd = sandbox.httpd(
        f"ErrorDocument 503 /pages/sorry\n{route(backend, '/pages/')}UDSRoute / unix:{path}|http://localhost/"
    )
    assert fetch(httpd.port, "/x", "POST", body=b"y" * 100000).text == "/sorry"
    assert backend.requests[0].method == "GET" and backend.requests[0].body == b""
    httpd.log.expect(rf"UDR\d{{4}}.*{path}")


def test_error_document_that_fails_itself(sandbox):
    path = sandbox.socket("absent")
    httpd = sandbox.httpd(f"ErrorDocument 503 /sorry\nUDSRoute / unix:{path}|http://localhost/")
    assert fetch(httpd.port, "/x").status == 503
    httpd.log.expect(rf"UDR\d{{4}}.*{path}", times=2)


# --- beside other handlers --------------------------------------------------------------------------------------------


def test_mod_proxy_beside(sandbox, backend):
    """Each takes its own lines: mod_proxy over TCP and over a Unix socket."""
    other = sandbox.scripted("other", lambda exchange: exchange.respond(body=f"mod_proxy {exchange.request.target}"))
    tcp = sandbox.httpd("Alias /file @ROOT@/htdocs/index.html", modules=["alias"])
    proxied = [
        f"ProxyPass /tcp/ http://127.0.0.1:{tcp.port}/",
        f"ProxyPass /unix/ unix:{other.address}|http://localhost/",
        "ProxyPass /app/static !",
    ]
    config = "\n".join([*proxied, route(backend, "/app/")])
    httpd = sandbox.httpd(config, modules=["proxy", "proxy_http"])
    assert fetch(httpd.port, "/tcp/file").text == "served by httpd itself\n"
    assert fetch(httpd.port, "/unix/x").text == "mod_proxy /x"
    assert fetch(httpd.port, "/app/x").text == "/x"


def test_mod_proxy_does_not_open_ours(sandbox, backend):
    """As with mod_proxy alone: a request can't use httpd as a forward proxy to a socket."""
    httpd = sandbox.httpd(route(backend, "/app/"), modules=["proxy", "proxy_http"])
    httpd.log.allow(r"AH\d{5}")
    with Client(httpd.port) as client:
        response = client.fetch(f"http://unix:{backend.address}|http://localhost/x")
    assert response.status >= 400
    assert backend.accepted == 0


def test_files_beside(sandbox, backend):
    httpd = sandbox.httpd(
        "DirectoryIndex index.html\nAlias /alias/ @ROOT@/htdocs/\nUDSRoute /alias/ !\nUDSRoute /index.html !\n"
        + route(backend),
        modules=["alias", "dir"],
    )
    assert fetch(httpd.port, "/alias/").text == "served by httpd itself\n"
    assert fetch(httpd.port, "/index.html").text == "served by httpd itself\n"
    assert fetch(httpd.port, "/x/").text == "/x/"


def test_directory_index_does_not_touch_a_route(sandbox, backend):
    httpd = sandbox.httpd("DirectoryIndex index.html\n" + route(backend), modules=["dir"])
    assert fetch(httpd.port, "/").text == "/"
    assert fetch(httpd.port, "/index.html/").text == "/index.html/"


def test_mod_status(sandbox, backend):
    """The status page is httpd's, and shows what the workers do with routed requests."""
    go = threading.Event()
    slow = sandbox.scripted("slow", lambda exchange: go.wait(20) and exchange.respond())
    httpd = sandbox.httpd(
        "UDSLoops Off\nExtendedStatus On\nUDSRoute /server-status !\n"
        + section("Location /server-status", "SetHandler server-status")
        + route(slow, "/slow/")
        + route(backend),
        modules=["status"],
    )
    assert fetch(httpd.port, "/x").status == 200
    with Client(httpd.port) as client:
        client.send_request("GET", "/slow/request")
        slow.wait_for_requests(1)
        page = fetch(httpd.port, "/server-status").text
        assert "GET /slow/request HTTP/1.1" in page
        go.set()
        assert client.read_response().status == 200
    wait_until(lambda: status_number(httpd, "BusyWorkers") == 1, "only the worker that serves the status to be busy")
    assert status_number(httpd, "Total Accesses") >= 3


def status_number(httpd, name):
    page = fetch(httpd.port, "/server-status?auto").text
    return int(re.search(rf"^{name}: (\d+)", page, re.M).group(1))


def test_mod_reqtimeout(sandbox):
    """A body that drips is ended by httpd's own limit, and the member is free then."""
    backend = sandbox.scripted("app", lambda exchange: exchange.read_body() and exchange.respond(), read_bodies=False)
    httpd = sandbox.httpd("RequestReadTimeout header=5 body=1\n" + route(backend), modules=["reqtimeout"])
    httpd.log.allow(r"UDR\d{4}.*(client|body|time)")
    with Client(httpd.port) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhello")
        assert client.read_response().status in (408, 400)
    backend.wait_for(lambda: not backend.open_connections, "the member to be free")
    assert not backend.requests[0].complete


def test_log_formats(sandbox, backend):
    """mod_log_config sees bytes, status and time of a routed request as of any other."""
    httpd = sandbox.httpd(route(backend), access_log="%>s %B %m %U %D")
    assert fetch(httpd.port, "/some/path").status == 200
    status, size, method, path, duration = httpd.access_lines(1)[0].split()
    assert (status, size, method, path) == ("200", str(len("/some/path")), "GET", "/some/path") and int(duration) > 0


def test_subrequest(sandbox, backend):
    """mod_include takes a part of a page from the backend: no body of the main request goes there."""
    httpd = sandbox.httpd(
        "<Files page.shtml>\nSetOutputFilter INCLUDES\nOptions +Includes\n</Files>\n" + route(backend, "/app/"),
        modules=["include", "filter"],
    )
    (httpd.root / "htdocs/page.shtml").write_text('before <!--#include virtual="/app/part?a=b" --> after')
    response = fetch(httpd.port, "/page.shtml", "GET")
    assert response.text == "before /part?a=b after"
    assert backend.requests[0].method == "GET"


def test_module_without_routes(sandbox):
    httpd = sandbox.httpd("")
    assert fetch(httpd.port, "/index.html").text == "served by httpd itself\n"
