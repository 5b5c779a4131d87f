# SPDX-License-Identifier: Apache-2.0
"""Output filters that compute or block (mod_deflate, mod_substitute, mod_include, mod_ext_filter) on connections that
live on a loop: right answers, whatever runs before and after; and a request that waits for its response's head holds no
thread for a filter that has nothing to do yet. Subrequests, which wait in their thread."""
import gzip
import time

import pytest

from udr_client import chunk, fetch
from udr_loops import (
    Gate,
    Pair,
    adopted,
    busy_threads,
    comparable,
    connect,
    fetch_short,
    loop_httpd,
    route,
    wait_until_threads_are_free,
)
from udr_processes import wait_until

TLS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
MODULES = ("deflate", "filter", "substitute", "include", "ext_filter", "cgid", "alias", "dir", "headers")

CONFIG = """
AddOutputFilterByType DEFLATE text/plain
<Location /app/deflated>
    SetOutputFilter DEFLATE
</Location>
<Location /app/substituted>
    AddOutputFilterByType SUBSTITUTE text/html
    Substitute "s/member/MEMBER/n"
</Location>
<Location /app/included>
    SetOutputFilter INCLUDES
    Options +Includes
</Location>
ExtFilterDefine upper mode=output cmd="/usr/bin/tr a-z A-Z"
<Location /app/external>
    SetOutputFilter upper
</Location>
<Location /app/both>
    SetOutputFilter SUBSTITUTE;DEFLATE
    Substitute "s/member/MEMBER/n"
</Location>
<Directory "@ROOT@/../*">
    Options +Includes
    AddOutputFilter INCLUDES .shtml
</Directory>
AddType text/html .shtml
"""

LARGE = "".join(f"member line {number}\n" for number in range(30_000))


def said(target):
    """Long enough for mod_deflate to be interested."""
    return f"member says {target}\n" * 20


def respond(exchange, body, content_type):
    exchange.respond(body=body, fields=[("Content-Type", content_type)])


def behave(exchange):
    target = exchange.request.target
    content_type = "text/html" if "html" in target or "included" in target else "text/plain"
    if "failing" in target:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhello")
        exchange.close()
    elif "large" in target:
        respond(exchange, LARGE, content_type)
    elif "pieces" in target:
        exchange.send(f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for number in range(5):
            exchange.send(chunk(f"member piece {number}\n".encode() * 100))
            time.sleep(0.01)
        exchange.send(b"0\r\n\r\n")
    elif target.startswith("/app/included"):
        respond(exchange, f'{target} <!--#include virtual="/app/part" --> end', content_type)
    elif "nothing" in target:
        exchange.respond(204)
    else:
        respond(exchange, said(target), content_type)


@pytest.fixture(name="pair", scope="module")
def _pair(module_sandbox):
    backend = module_sandbox.scripted("app", behave)
    pair = Pair(module_sandbox, CONFIG + route(backend), modules=MODULES, tls=True)
    (pair.site / "page.shtml").write_text('before <!--#include virtual="/app/x.html" --> after\n')
    (pair.site / "two.shtml").write_text(
        '<!--#include virtual="/app/large.html" --><!--#include virtual="/app/pieces.html" -->\n'
    )
    (pair.site / "plain.txt").write_text("a file to be compressed\n" * 100)
    for httpd in pair.httpds:
        httpd.log.allow("cgid")
    return pair


ZIP = [("Accept-Encoding", "gzip")]

# What is asked, with which fields, and what comes, once it is unpacked.
REQUESTS = {
    "compressed": ("/app/deflated", ZIP, said("/app/deflated")),
    "compressed by type": ("/app/x", ZIP, said("/app/x")),
    "not compressed": ("/app/x", (), said("/app/x")),
    "another type": ("/app/x.html", ZIP, said("/app/x.html")),
    "large, compressed": ("/app/deflated/large", ZIP, LARGE),
    "large, compressed by type": ("/app/large", ZIP, LARGE),
    "large, not compressed": ("/app/large", (), LARGE),
    "pieces, compressed": ("/app/pieces", ZIP, "".join(f"member piece {number}\n" * 100 for number in range(5))),
    "substituted": ("/app/substituted/x.html", (), said("/app/substituted/x.html").replace("member", "MEMBER")),
    "large, substituted": ("/app/substituted/large.html", (), LARGE.replace("member", "MEMBER")),
    "compressed and substituted": ("/app/both", ZIP, said("/app/both").replace("member", "MEMBER")),
    "large, compressed and substituted": ("/app/both/large", ZIP, LARGE.replace("member", "MEMBER")),
    "with a part of another's": ("/app/included", (), f"/app/included {said('/app/part')} end"),
    "by a program": ("/app/external", (), said("/app/external").upper()),
    "large, by a program": ("/app/external/large", (), LARGE.upper()),
    "nothing, compressed": ("/app/deflated/nothing", ZIP, ""),
    "a page with a part": ("/page.shtml", (), f"before {said('/app/x.html')} after\n"),
    "a page with two parts": (
        "/two.shtml",
        (),
        LARGE + "".join(f"member piece {number}\n" * 100 for number in range(5)) + "\n",
    ),
    "a file, compressed": ("/plain.txt", ZIP, "a file to be compressed\n" * 100),
}


def ask(client, name):
    target, fields, text = REQUESTS[name]
    response = client.fetch(target, fields=fields)
    packed = response.get("Content-Encoding") == "gzip"
    assert (gzip.decompress(response.body) if packed else response.body).decode() == text
    assert response.complete and (packed or not fields or "html" in target or not text)
    return comparable(response)[0], packed


@TLS
@pytest.mark.parametrize("name", REQUESTS)
def test_answer(pair, tls, name):
    """As without loops, with short requests between them."""

    def run(client):
        outcome = []
        for _ in range(3):
            outcome += [ask(client, name), client.fetch("/short").text]
        return outcome

    looped, threaded = pair.outcomes(run, tls)
    assert looped == threaded


@TLS
def test_all_on_one_connection(pair, tls):
    def run(client):
        return [ask(client, name) for name in [*REQUESTS, *reversed(REQUESTS)]]

    looped, threaded = pair.outcomes(run, tls)
    assert looped == threaded


def test_pipelined(pair):
    names = ["compressed", "substituted", "large, compressed", "by a program", "compressed by type"] * 4

    def run(client):
        for name in names:
            client.send_request("GET", REQUESTS[name][0], REQUESTS[name][1])
        outcome = []
        for name in names:
            response = client.read_response()
            packed = response.get("Content-Encoding") == "gzip"
            assert (gzip.decompress(response.body) if packed else response.body).decode() == REQUESTS[name][2]
            outcome.append(packed)
        return outcome

    looped, threaded = pair.outcomes(run)
    assert looped == threaded


def test_response_that_is_cut_off_within_a_filter(pair):
    """It does not look complete."""
    for httpd in pair.httpds:
        with adopted(httpd) as client:
            response = client.fetch("/app/deflated/failing", fields=ZIP)
            assert not response.complete or response.status == 502
        httpd.log.expect(r"UDR\d{4}.*closed")
        assert fetch_short(httpd)


def test_client_that_leaves_within_a_filter(sandbox):
    left = Gate()

    def held(exchange):
        exchange.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000
        )
        assert exchange.peer_closed(20)
        left.open()
        exchange.close()

    backend = sandbox.scripted("app", held)
    httpd = loop_httpd(sandbox, "SetOutputFilter DEFLATE\n" + route(backend), modules=["deflate", "filter"])
    httpd.log.allow(r"UDR\d{4}")
    with adopted(httpd) as client:
        client.send_request("GET", "/app/x", ZIP)
        backend.wait_for_requests(1)
    left.wait()
    wait_until_threads_are_free(httpd)


# --- threads ----------------------------------------------------------------------------------------------------------


@TLS
@pytest.mark.parametrize("come", [connect, adopted], ids=["first", "adopted"])
@pytest.mark.parametrize(
    "filters",
    ["SetOutputFilter DEFLATE", "AddOutputFilterByType DEFLATE text/plain text/html", "SetOutputFilter SUBSTITUTE"],
)
def test_waiting_for_the_head_holds_no_thread(sandbox, tls, come, filters):
    """With a filter in the way that has nothing to do before there is a response."""
    gate = Gate()

    def held(exchange):
        gate.wait()
        respond(exchange, said(exchange.request.target), "text/plain")

    backend = sandbox.scripted("app", held)
    config = f"<Location /app/>\n{filters}\n</Location>\n"
    httpd = loop_httpd(sandbox, config + route(backend), tls=tls, modules=["deflate", "filter", "substitute"])
    clients = []
    for number in range(12):
        clients.append(come(httpd, tls))
        clients[-1].send_request("GET", f"/app/{number}", ZIP)
    backend.wait_for_requests(12)
    wait_until_threads_are_free(httpd)
    assert fetch_short(httpd, tls)
    gate.open()
    for number, client in enumerate(clients):
        response = client.read_response()
        packed = response.get("Content-Encoding") == "gzip"
        assert packed == ("DEFLATE" in filters)
        text = (gzip.decompress(response.body) if packed else response.body).decode()
        assert text == said(f"/app/{number}")
        client.close()


def test_type_that_is_not_filtered_parks_in_its_body(sandbox):
    """AddOutputFilterByType has chosen no filter for it."""
    gate = Gate()

    def held(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 10\r\n\r\nhello")
        gate.wait()
        exchange.send(b"again")

    backend = sandbox.scripted("app", held)
    config = "AddOutputFilterByType DEFLATE text/plain text/html\n"
    httpd = loop_httpd(sandbox, config + route(backend), modules=["deflate", "filter"])
    clients = [adopted(httpd) for _ in range(8)]
    for client in clients:
        client.send_request("GET", "/app/x", ZIP)
    for client in clients:
        while b"hello" not in client.stream.buffer:
            assert client.stream.fill()
    wait_until_threads_are_free(httpd)
    gate.open()
    for client in clients:
        assert client.read_response().text == "helloagain"
        client.close()


@pytest.mark.parametrize("come", [connect, adopted])
@pytest.mark.parametrize("name", ["content_length", "reqtimeout", "core"])
def test_declared_filter_with_the_name_of_a_transparent_one(sandbox, name, come):
    """It sees all of a large body, of which nothing goes past it."""
    backend = sandbox.scripted("app", behave)
    config = (
        f"FilterDeclare {name}\nFilterProvider {name} SUBSTITUTE true\nSubstitute s/member/MEMBER/n\n"
        f"<Location /app/>\nFilterChain {name}\n</Location>\n"
    )
    httpd = loop_httpd(sandbox, config + route(backend), modules=["substitute", "filter"])
    with come(httpd) as client:
        client.send(b"GET /app/large HTTP/1.0\r\nHost: localhost\r\n\r\n")  # else its body would come in chunks
        text = client.read_response().text
        assert (text.count("member"), text.count("MEMBER")) == (0, LARGE.count("member"))


# mod_sed's and mod_deflate's filters compute, and do not block; these two are programs, one beside the module that has
# the name, one instead of it.
@pytest.mark.parametrize("name", ["sed", "deflate"])
def test_program_with_the_name_of_a_cheap_filter(sandbox, name):
    """It takes its time: a worker waits for it, and the others on the loop are served meanwhile."""
    backend = sandbox.scripted("app", lambda exchange: respond(exchange, "hello", "text/plain"))
    directory = sandbox.root / "program"
    directory.mkdir()
    directory.chmod(0o777)
    program = directory / "wait"
    program.write_text(
        f"#!/bin/sh\ncd {directory}; : >begun\n"
        "for turn in $(seq 1500); do [ -e open ] && break; sleep 0.02; done\ntr a-z A-Z\n"
    )
    program.chmod(0o755)
    config = f'ExtFilterDefine {name} cmd="{program}"\n<Location /app/>\nSetOutputFilter {name}\n</Location>\n'
    httpd = loop_httpd(sandbox, config + route(backend), modules=["ext_filter", "deflate", "filter"])
    with adopted(httpd) as client, adopted(httpd) as neighbour:
        client.send_request("GET", "/app/x")
        wait_until((directory / "begun").exists, "the program to begin")
        assert neighbour.fetch("/short").text == "/short"
        (directory / "open").touch()
        assert client.read_response().text == "HELLO"


def test_subrequests_wait_in_their_thread(sandbox):
    """A page that includes a part of a member's: the thread is mod_include's. The part is right, the others are served
    by the threads that are left, and the thread is free again afterwards."""
    gate = Gate()

    def held(exchange):
        gate.wait()
        respond(exchange, "the part", "text/html")

    backend = sandbox.scripted("app", held)
    config = "<Files page.shtml>\nSetOutputFilter INCLUDES\nOptions +Includes\n</Files>\n"
    httpd = loop_httpd(sandbox, config + route(backend), modules=["include", "filter"])
    (httpd.root / "htdocs/page.shtml").write_text('a <!--#include virtual="/app/part" --> b')
    with adopted(httpd) as client, connect(httpd) as first:
        client.send_request("GET", "/page.shtml")
        first.send_request("GET", "/page.shtml")
        backend.wait_for_requests(2)
        wait_until(lambda: busy_threads(httpd) <= 2, "nobody else to be busy")
        assert fetch(httpd.port, "/short").text == "/short"
        gate.open()
        assert client.read_response().text == first.read_response().text == "a the part b"
        assert client.fetch("/page.shtml").text == "a the part b"
        assert client.fetch("/short").text == "/short"
    wait_until_threads_are_free(httpd)
