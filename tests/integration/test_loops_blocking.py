# SPDX-License-Identifier: Apache-2.0
"""What one client does on a loop, or has httpd do there, must not keep its neighbours waiting."""
import time

import pytest

from udr_client import curl
from udr_loops import adopted, connect, loop_httpd, route

# Of a busy machine; httpd would block for Timeout, which is 30 seconds here.
SOON = 15


def assert_served(neighbour):
    neighbour.sock.settimeout(SOON)
    assert neighbour.fetch("/short").text == "/short"


@pytest.mark.parametrize("lines, status", [(b"\r\n\r\n", 200), (b"\r\n" * 8, 200), (b"\n\n", 400)])
def test_empty_lines_and_no_request(sandbox, lines, status):
    """httpd skips them and then waits for a request line. (It is strict about bare line feeds.)"""
    httpd = loop_httpd(sandbox, "Timeout 30\nKeepAliveTimeout 30")
    with adopted(httpd) as client, adopted(httpd) as neighbour:
        client.send(lines)
        time.sleep(0.2)
        assert_served(neighbour)
        client.send(b"GET /short HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.read_response().status == status


def test_chunked_body_without_its_last_line(sandbox):
    """httpd's filter for chunked bodies waits for the end of the trailers."""
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=exchange.request.body))
    httpd = loop_httpd(sandbox, "Timeout 30\n" + route(backend))
    with adopted(httpd) as client, adopted(httpd) as neighbour:
        client.send(b"POST /app/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n")
        time.sleep(0.3)
        assert_served(neighbour)
        client.send(b"\r\n")
        assert client.read_response().text == "abc"


def assert_still_read_on_the_loop(httpd):
    """A loop that had to wait for a body before the handler has its child's workers read requests from then on."""
    assert not httpd.log.find("a module reads from clients before the handler runs")


# That wants a certificate: to others it is answered that they are wrong here, by mod_ssl, when the head has been read.
OTHER_HOST = """
<VirtualHost *:@TLSPORT@>
    ServerName second.example
    SSLEngine On
    SSLCertificateFile @ROOT@/cert.pem
    SSLCertificateKeyFile @ROOT@/key.pem
    SSLVerifyClient require
</VirtualHost>
"""


@pytest.mark.parametrize("page", ["", "ErrorDocument 417 /page.txt\nErrorDocument 421 /page.txt\n"], ids=["own", "file"])
@pytest.mark.parametrize("fields, status, tls", [
    ("Host: localhost\r\nExpect: miracles\r\nContent-Length: 5", 417, False),
    ("Host: localhost\r\nExpect: miracles\r\nTransfer-Encoding: chunked", 417, False),
    ("Host: localhost\r\nExpect: miracles\r\nContent-Length: 5", 417, True),
    ("Host: second.example\r\nContent-Length: 5", 421, True),
])  # fmt: skip
def test_body_of_a_refused_request_does_not_come(sandbox, page, fields, status, tls):
    """httpd reads on to its end, though it closes the connection then."""
    httpd = loop_httpd(sandbox, page + "Timeout 8\n" + (OTHER_HOST if tls else ""), tls=tls)
    httpd.log.allow("AH0(1897|1909|2032)")
    (httpd.root / "htdocs/page.txt").write_text("a page")
    with adopted(httpd, tls) as client, adopted(httpd, tls) as neighbour:
        client.send(f"POST /short HTTP/1.1\r\n{fields}\r\n\r\n".encode())
        assert_served(neighbour)
        response = client.read_response()
        assert response.status == status and (response.text == "a page") == bool(page)
        assert client.closed_by_server()
    assert_still_read_on_the_loop(httpd)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_body_for_the_last_hop_does_not_come(sandbox, method, tls):
    """httpd answers, and reads the body then, or before where it sends that back."""
    backend = sandbox.scripted("app")
    httpd = loop_httpd(sandbox, "Timeout 8\nTraceEnable extended\n" + route(backend), tls=tls)
    with adopted(httpd, tls) as client, adopted(httpd, tls) as neighbour:
        client.send(f"{method} /app/x HTTP/1.1\r\nHost: localhost\r\nMax-Forwards: 0\r\n"
                    "Content-Length: 5\r\n\r\n".encode())
        time.sleep(0.1)
        assert_served(neighbour)
        client.send(b"hello")
        response = client.read_response()
        assert response.status == 200 and response.text.endswith("hello") == (method == "TRACE")
        assert client.fetch("/short").text == "/short"
    assert_still_read_on_the_loop(httpd)


@pytest.mark.parametrize("line", ["GET /short", "GET /nothing", "OPTIONS *"])
def test_upgrade_to_http2(sandbox, line):
    """httpd's own: a whole session in the thread that reads the request. On a loop it is not taken."""
    httpd = loop_httpd(sandbox, "Protocols h2c http/1.1\nTimeout 30", modules=["http2"])
    with adopted(httpd) as client, adopted(httpd) as neighbour:
        client.send(line.encode() + b" HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        assert client.read_response().status in (200, 404)
        assert_served(neighbour)


@pytest.mark.parametrize("loops", ["1", "Off"])
def test_expect_of_an_http2_client(sandbox, loops):
    """A stream has no descriptor to be asked whether it is writable."""
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=str(len(exchange.request.body or b""))))
    httpd = loop_httpd(sandbox, "Protocols h2 http/1.1\n" + route(backend), loops=loops, modules=["http2"], tls=True)
    answer = curl("-k", "--http2", "-H", "Expect: 100-continue", "--data-binary", "x" * 100_000,
                  f"https://127.0.0.1:{httpd.tls_port}/app/x", timeout=10)
    assert (answer.status, answer.text) == (200, "100000")


@pytest.mark.parametrize("lines", [4, 28])
def test_long_head_and_body_for_a_client_that_reads_nothing(sandbox, lines):
    """Together they are more than core's output filter takes without waiting."""

    def behave(exchange):
        fields = "".join(f"X-Field-{number}: {'v' * 1500}\r\n" for number in range(lines))
        exchange.send(f"HTTP/1.1 200 OK\r\n{fields}Content-Length: 120000\r\n\r\n".encode())
        time.sleep(0.05)
        exchange.send(b"b" * 120_000)

    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(sandbox, "Timeout 30\nSendBufferSize 8192\n" + route(backend, parameters="flushwait=500"))
    with connect(httpd, receive_buffer=2048) as client, adopted(httpd) as neighbour:
        assert client.fetch("/adopt").status == 200
        client.send(b"GET /app/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.5)
        assert_served(neighbour)
        assert client.read_response().body == b"b" * 120_000


def test_head_in_two_tls_records(sandbox):
    """mod_ssl shows the first alone: the second must not be waited for that has come."""
    httpd = loop_httpd(sandbox, "", tls=True)
    with adopted(httpd, tls=True) as client:
        begun = time.monotonic()
        for _ in range(4):
            client.send(b"GET /short HTTP/1.1\r\n")
            client.send(b"Host: localhost\r\n\r\n")
            assert client.read_response().text == "/short"
        assert time.monotonic() - begun < SOON
