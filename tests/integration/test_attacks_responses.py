# SPDX-License-Identifier: Apache-2.0
"""Responses with which somebody broke something: filters that make requests or fail, error pages, clients that take
their time, answers in another protocol."""
import threading
import time

import pytest

import udr_environment
from udr_client import Client, fetch
from udr_http2 import Http2Client

HTML = ("Content-Type", "text/html")


def route(backend, path="/", parameters=""):
    return f"UDSRoute {path} unix:{backend.address}|http://localhost{path} {parameters}\n"


# --- filters that make requests of their own --------------------------------------------------------------------------


def include(target):
    return f'<!--#include virtual="{target}" -->'


@pytest.mark.parametrize("parameters", ["", "iobuffersize=1M"], ids=["same-size", "larger"])
@pytest.mark.parametrize("inner_size", [3000, 300_000])
def test_include_within_a_routed_response(sandbox, inner_size, parameters):
    """The filter's subrequest is served by the same thread while the outer response's bytes still lie in its buffer."""
    inner_body = b"I" * inner_size
    before, after = b"before ", b"O" * 6000
    inner = sandbox.scripted("inner", lambda exchange: exchange.respond(body=inner_body, fields=[HTML]))
    outer = sandbox.scripted(
        "outer", lambda exchange: exchange.respond(body=before + include("/inner/x").encode() + after, fields=[HTML])
    )
    httpd = sandbox.httpd(
        route(outer, "/outer")
        + route(inner, "/inner", parameters)
        + "<Location /outer>\nOptions +Includes\nSetOutputFilter INCLUDES\n</Location>\n",
        modules=["include", "filter"],
    )
    with Client(httpd.port) as client:
        for _ in range(3):
            response = client.fetch("/outer/x")
            assert response.complete and response.body == before + inner_body + after


def page_with_include(sandbox, backend, text):
    """An httpd that has a page of its own, page.shtml, into which mod_include puts what the backend says."""
    httpd = sandbox.httpd(
        "<Files page.shtml>\nSetOutputFilter INCLUDES\nOptions +Includes\n</Files>\n" + route(backend, "/part"),
        modules=["include", "filter"],
    )
    (httpd.root / "htdocs/page.shtml").write_text(text)
    return httpd


def test_broken_include_does_not_reset_the_client(sandbox):
    """The page says by its own framing that it is cut; a reset might take away what was written already."""

    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        time.sleep(0.1)
        exchange.close()

    backend = sandbox.scripted("cut", behave)
    httpd = page_with_include(sandbox, backend, "before " + include("/part") + "after")
    with Client(httpd.port) as client:
        response = client.fetch("/page.shtml")
        assert response.text.startswith("before hello")
        assert client.closed_by_server() and not client.stream.reset
    httpd.log.expect(r"UDR0007.*closed")


def test_range_is_not_for_an_include(sandbox):
    """The client's range is one of the page, not of its parts."""

    def behave(exchange):
        if exchange.request.has("Range"):
            exchange.respond(206, "PA", fields=[("Content-Range", "bytes 0-1/7")])
        else:
            exchange.respond(200, "PARTIAL")

    backend = sandbox.scripted("part", behave)
    httpd = page_with_include(sandbox, backend, "before " + include("/part") + " after")
    whole = "before PARTIAL after"
    response = fetch(httpd.port, "/page.shtml", fields=[("Range", f"bytes=0-{len(whole) - 1}"), ("If-Range", '"x"')])
    assert response.text == whole
    assert not backend.requests[0].has("Range") and not backend.requests[0].has("If-Range")


@pytest.mark.parametrize("size", [10, 500_000])
def test_filter_that_fails_answers_for_itself(sandbox, size):
    """A field that httpd refuses to send is no sign of a client that has gone: the client gets httpd's error page."""
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(body=b"x" * size))
    httpd = sandbox.httpd('Header set X-Bad "expr=%{unescape:a%01b}"\n' + route(backend))
    response = fetch(httpd.port, "/x")
    assert response.status == 500 and response.complete and "Internal Server Error" in response.text
    assert httpd.log.expect(r"UDR0018.*filter").level == "error"
    httpd.log.allow(r"AH\d{5}.*X-Bad")


# --- error pages ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pages(sandbox):
    """Serves error pages."""
    return sandbox.scripted("pages", lambda exchange: exchange.respond(body="the page " + exchange.request.target))


def error_documents(pages):
    return route(pages, "/pages/") + "".join(f"ErrorDocument {status} /pages/{status}\n" for status in (404, 502, 503))


def test_routed_error_page_keeps_the_status(sandbox, pages):
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(404, "not here"))
    httpd = sandbox.httpd("UDSErrorOverride On\n" + error_documents(pages) + route(backend))
    response = fetch(httpd.port, "/x")
    assert (response.status, response.reason, response.text) == (404, "Not Found", "the page /pages/404")


def assert_asked_without_body(pages):
    request = pages.requests[0]
    assert (request.method, request.body, request.framing) == ("GET", b"", "none")


def test_error_page_for_a_post_that_was_refused(sandbox, pages):
    """The body went to the member; the error page's request has that request's fields, but no body."""
    backend = sandbox.scripted("app", lambda exchange: exchange.respond(404, "not here"))
    httpd = sandbox.httpd("UDSErrorOverride On\n" + error_documents(pages) + route(backend))
    response = fetch(httpd.port, "/x", "POST", body=b"hello")
    assert (response.status, response.text) == (404, "the page /pages/404")
    assert_asked_without_body(pages)


def test_error_page_for_a_post_with_a_malformed_answer(sandbox, pages):
    def behave(exchange):
        exchange.send(b"garbage\r\n\r\n")
        exchange.close()

    backend = sandbox.scripted("app", behave)
    httpd = sandbox.httpd(error_documents(pages) + route(backend))
    response = fetch(httpd.port, "/x", "POST", body=b"hello")
    assert (response.status, response.text) == (502, "the page /pages/502")
    assert_asked_without_body(pages)
    httpd.log.expect(r"UDR0008.*status line")


@pytest.mark.parametrize("body", [b"hello", [b"hello"]], ids=["length", "chunked"])
def test_error_page_for_a_post_to_a_member_that_is_down(sandbox, pages, body):
    """Its body, unread, is for nobody else."""
    path = sandbox.socket("absent")
    httpd = sandbox.httpd(error_documents(pages) + f"UDSRoute / unix:{path}|http://localhost/\n")
    response = fetch(httpd.port, "/x", "POST", body=body)
    assert (response.status, response.text) == (503, "the page /pages/503")
    assert_asked_without_body(pages)
    httpd.log.expect(rf"UDR0004.*{path}")


def test_error_override_keeps_every_challenge(sandbox):
    """A client that can't do the first one must hear of the second."""
    challenges = ["Negotiate", 'Basic realm="x"', 'Digest realm="x", nonce="y"']
    backend = sandbox.scripted(
        "app",
        lambda exchange: exchange.respond(
            401, "log in", fields=[("WWW-Authenticate", challenge) for challenge in challenges]
        ),
    )
    httpd = sandbox.httpd("UDSErrorOverride On\n" + route(backend))
    response = fetch(httpd.port, "/x")
    assert response.status == 401 and "log in" not in response.text
    assert response.all("WWW-Authenticate") == challenges


# --- time -------------------------------------------------------------------------------------------------------------


def test_http_2_client_that_stalls_is_not_the_members_silence(sandbox):
    """The client takes nothing for longer than `timeout`, then goes on; only then is the member silent, for a moment.

    Such a client blocks httpd's filters: no time may be counted from before that. The body is more than mod_http2 keeps
    for a client and less than the member's socket takes at once, to be read in many small pieces after the stall."""
    size, last = 180_000, 1000
    go_on = threading.Event()

    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * (size - last))
        if go_on.wait(20):
            time.sleep(0.3)
            exchange.send(b"y" * last)

    backend = sandbox.scripted("app", behave)
    config = "Protocols h2c http/1.1\nH2StreamMaxMemSize 16384\n" + route(
        backend, parameters="timeout=4 iobuffersize=4K"
    )
    httpd = sandbox.httpd(config, modules=["http2"], mpm=udr_environment.threaded_mpm())
    with Http2Client(httpd.port) as client:
        client.request("GET", "/x")
        backend.wait_for_requests(1)
        time.sleep(4.4)
        client.open_window(size)
        assert client.read_body(lambda total: go_on.set() if total == size - last else None) == size


def test_first_byte_is_timed_when_it_comes_with_an_interim_response(sandbox):
    """103 and the final head in one read: what is logged is when they came, not 0."""

    def behave(exchange):
        time.sleep(0.05)
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    backend = sandbox.scripted("app", behave)
    httpd = sandbox.httpd(route(backend), access_log="%{UDSROUTE_TTFB_US}e %{UDSROUTE_TOTAL_US}e")
    assert fetch(httpd.port, "/x").text == "ok"
    first_byte, total = (int(number) for number in httpd.access_lines(1)[0].split())
    assert 50_000 <= first_byte <= total
