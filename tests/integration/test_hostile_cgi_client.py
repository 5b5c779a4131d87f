# SPDX-License-Identifier: Apache-2.0
"""Clients that try to make variables of FastCGI, uwsgi and SCGI that httpd has not meant.

The member here reads with the strict parser of udr_cgi: no variable twice, none without a name, a body as long as
CONTENT_LENGTH says. What it refuses fails the test."""
import contextlib
import json
import pathlib
import re

import pytest

import udr_cgi
from udr_cgi import BEGIN_REQUEST, PROTOCOLS, STDIN, record
from udr_client import Client, chunk, fetch

CONFIG = """
LimitRequestLine 200000
LimitRequestFieldSize 200000
<VirtualHost *:@PORT@>
    ServerName localhost
    {routes}
</VirtualHost>
<VirtualHost *:@PORT@>
    ServerName decoding.test
    AllowEncodedSlashes On
    {routes}
</VirtualHost>
<VirtualHost *:@PORT@>
    ServerName keeping.test
    AllowEncodedSlashes NoDecode
    {routes}
</VirtualHost>
<VirtualHost *:@PORT@>
    ServerName env.test
    SetEnv CONTENT_LENGTH 99
    SetEnv content_length 98
    SetEnv SCGI 0
    SetEnv REQUEST_METHOD PUT
    SetEnv SCRIPT_FILENAME /etc/passwd
    SetEnv PATH_INFO /forged
    SetEnv HTTP_TRANSFER_ENCODING chunked
    SetEnv FROM_SETENV here
    {routes}
</VirtualHost>
"""


@pytest.fixture(scope="module")
def recorders(module_sandbox):
    """The variables and the body, as JSON."""

    def answer(exchange):
        seen = {"variables": exchange.request.fields, "body": exchange.request.body.decode("latin-1")}
        exchange.respond(body=json.dumps(seen), fields=[("Content-Type", "application/json")])

    return {name: module_sandbox.scripted(name, answer, protocol=name) for name in PROTOCOLS}


@pytest.fixture(scope="module")
def httpd(module_sandbox, recorders):
    routes = "\n    ".join(
        f"UDSRoute /{name}/ unix:{server.address}|{name}://localhost/srv/" for name, server in recorders.items()
    )
    return module_sandbox.httpd(CONFIG.format(routes=routes))


@pytest.fixture(params=PROTOCOLS)
def protocol(request):
    return request.param


def ask(httpd, target, method="GET", fields=(), body=None, host="localhost"):
    """The variables and the body that the member has got."""
    response = fetch(httpd.port, target, method, fields, body, host=host)
    assert response.status == 200, response
    seen = json.loads(response.body)
    return dict(seen["variables"]), seen["body"]


# --- fields -----------------------------------------------------------------------------------------------------------


def test_fields_become_variables_of_their_own_only(httpd, protocol):
    """No field's name makes a variable that is not HTTP_ and its name; those that could be taken for another's (X_A for
    X-A) make none."""
    fields = [
        *(("X-A", "1"), ("X-A", "2"), ("x-a", "3"), ("X_A", "forged"), ("X.A", "forged"), ("X~A", "forged")),
        *(("Proxy", "http://forged/"), ("Content_Length", "forged"), ("Content_Type", "forged")),
        *(("Script-Filename", "forged"), ("Request-Method", "forged"), ("Remote-User", "forged"), ("Https", "forged")),
        *(("HTTP-Host", "forged"), ("Path-Info", "forged"), ("SCGI", "forged"), ("Gateway-Interface", "forged")),
        *(("X-Empty", ""), ("X-Spaces", "   "), ("X-Long", "b" * 8000), ("X-Latin", "\xe4"), ("Content-Type", "a/b")),
    ]
    variables, _ = ask(httpd, f"/{protocol}/x", fields=fields)
    assert variables["HTTP_X_A"] == "1, 2, 3"
    assert variables["HTTP_X_EMPTY"] == variables["HTTP_X_SPACES"] == ""
    assert variables["HTTP_X_LONG"] == "b" * 8000 and variables["HTTP_X_LATIN"] == "\xe4"
    assert variables["CONTENT_TYPE"] == "a/b" and variables["HTTP_HOST"] == "localhost"
    assert "HTTP_PROXY" not in variables and "HTTPS" not in variables and "REMOTE_USER" not in variables
    forged = {name for name, value in variables.items() if "forged" in value}
    assert forged == {
        *("HTTP_SCRIPT_FILENAME", "HTTP_REQUEST_METHOD", "HTTP_REMOTE_USER", "HTTP_HTTPS", "HTTP_HTTP_HOST"),
        *("HTTP_PATH_INFO", "HTTP_SCGI", "HTTP_GATEWAY_INTERFACE"),
    }


def test_authorization(httpd, protocol):
    """Applications do their own; a script gets it by CGIPassAuth."""
    variables, _ = ask(httpd, f"/{protocol}/x", fields=[("Authorization", "Bearer abc")])
    assert variables.get("HTTP_AUTHORIZATION") == (None if protocol == "fcgi" else "Bearer abc")


def test_environment_of_the_configuration(httpd, protocol):
    """What an administrator sets is passed on, but not in place of what the request is."""
    variables, body = ask(httpd, f"/{protocol}/x", "POST", body=b"hello", host="env.test")
    assert body == "hello" and variables["CONTENT_LENGTH"] == "5" and variables["FROM_SETENV"] == "here"
    assert variables["REQUEST_METHOD"] == "POST" and "HTTP_TRANSFER_ENCODING" not in variables
    assert variables.get("SCGI") == {"scgi": "1"}.get(protocol, "0")
    assert variables.get("PATH_INFO") == (None if protocol == "fcgi" else "/srv/x")
    assert variables.get("SCRIPT_FILENAME") == ("/srv/x" if protocol == "fcgi" else None)


# --- bodies -----------------------------------------------------------------------------------------------------------

NEXT = {
    "fcgi": record(STDIN) + udr_cgi.end_request() + record(BEGIN_REQUEST, b"\0\1\1" + b"\0" * 5),
    "uwsgi": b"\0\x08\0\0\1\0A\1\0B",
    "scgi": b"24:CONTENT_LENGTH\0000\0SCGI\0001\0,",
}


def test_body_that_looks_like_the_protocol(httpd, protocol):
    """It is read as what it is, and the next request is the next one."""
    with Client(httpd.port) as client:
        for _ in range(2):
            client.send_request("POST", f"/{protocol}/x", body=NEXT[protocol] * 3)
            response = client.read_response()
            assert json.loads(response.body)["body"] == (NEXT[protocol] * 3).decode("latin-1")


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 131072, 300000])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_body_of_that_size(httpd, protocol, size, is_chunked):
    """One that came in chunks has a length, too."""
    data = bytes(range(256)) * (size // 256 + 1)
    body = [data[at : min(at + 7000, size)] for at in range(0, size, 7000)] if is_chunked else data[:size]
    variables, got = ask(httpd, f"/{protocol}/x", "POST", body=body)
    assert got.encode("latin-1") == data[:size]
    assert variables["CONTENT_LENGTH"] == str(size) and "HTTP_TRANSFER_ENCODING" not in variables


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length : 5\r\n",
        b"Content-Length: 5\r\n 6\r\n",
        b"Content-Length: 5 6\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: gzip\r\n",
    ],
)
def test_length_that_can_be_read_two_ways(httpd, recorders, protocol, framing):
    """The member sees nothing of it, or one length and a body that is so long."""
    recorders[protocol].forget()
    httpd.log.allow("AH|UDR")
    with Client(httpd.port) as client:
        head = f"POST /{protocol}/x HTTP/1.1\r\nHost: localhost\r\n".encode()
        client.send(head + framing + b"\r\nhelloGET /fcgi/smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        client.sock.shutdown(1)
        answer = client.everything()
    recorders[protocol].settle()
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert recorders[protocol].requests == []


def test_length_beside_chunks(httpd, protocol):
    """RFC 9112, 6.3: the chunks count; the length does not reach the member."""
    with Client(httpd.port) as client:
        head = f"POST /{protocol}/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
        client.send(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"0\r\n\r\n")
        seen = json.loads(client.read_response().body)
    assert seen["body"] == "hello" and dict(seen["variables"])["CONTENT_LENGTH"] == "5"


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
def test_client_that_leaves_within_its_body(httpd, recorders, protocol, framing):
    """A member never takes half a body for a whole one."""
    recorders[protocol].forget()
    httpd.log.allow("UDR")
    with Client(httpd.port) as client:
        head = f"POST /{protocol}/x HTTP/1.1\r\nHost: localhost\r\n".encode()
        client.send(head + framing + b"\r\n\r\n" + chunk(b"hello"))
    assert ask(httpd, f"/{protocol}/next")[0]["REQUEST_URI"] == f"/{protocol}/next"
    recorders[protocol].settle()
    assert [request.target for request in recorders[protocol].requests] == [f"/{protocol}/next"]


def test_memory_of_a_body_in_chunks(httpd, recorders, protocol):
    """It is kept before it is sent on: in a file, not in memory. Of one that does not end, nothing is sent."""
    recorders[protocol].forget()
    httpd.log.allow("UDR")
    ask(httpd, f"/{protocol}/x", "POST", body=[b"x" * 300000])
    before = httpd.private_bytes()
    with Client(httpd.port) as client:
        client.send(f"POST /{protocol}/y HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(48):
            client.send(chunk(b"y" * (1 << 20)))
        # All but what lies in the buffers of the two sockets has been read.
        assert httpd.private_bytes() - before < 16 << 20
    ask(httpd, f"/{protocol}/next")
    recorders[protocol].settle()
    assert [request.target[-2:] for request in recorders[protocol].requests] == ["/x", "xt"]


def peak(httpd, reset=False):
    """The most memory that httpd's children have had at once, in bytes, since it was reset."""
    kilobytes = 0
    for pid in httpd.children():
        if reset:
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5\n")
        kilobytes += int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
    return kilobytes * 1024


def test_memory_of_a_body_in_chunks_of_a_byte(sandbox, recorders, protocol):
    """What is kept in memory takes no more than it is, however it comes."""
    httpd = sandbox.httpd(f"UDSRoute / unix:{recorders[protocol].address}|{protocol}://localhost/", children=1, threads=8)
    ask(httpd, "/x", "POST", body=[b"x"] * 100)
    before = peak(httpd, reset=True)
    body = b"".join(chunk(b"y") for _ in range(65000)) + chunk(b"z") + b"0\r\n\r\n"
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(httpd.port)) for _ in range(4)]
        for client in clients:
            client.send(b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        for client in clients:
            assert json.loads(client.read_response("POST").body)["body"] == "y" * 65000 + "z"
    assert peak(httpd) - before < 8 << 20


# --- paths ------------------------------------------------------------------------------------------------------------

# What is behind /fcgi, /uwsgi or /scgi -> what is behind the member's path; None: httpd refuses it.
PATHS = {
    "/a%20b": "a b",
    "/%C3%A4": "\xc3\xa4",
    "/%FF": "\xff",
    "/a%3Fb%23c": "a?b#c",
    "/%2541": "%41",
    "/%252e%252e%252fx": "%2e%2e%2fx",
    "/a+b;c=d&e": "a+b;c=d&e",
    "/a%5C..%5Cb": "a\\..\\b",
    "//x": "x",
    "/a//b/./c": "a/b/c",
    "/a/../b": "b",
    "/a/%2e%2E/b": "b",
    "/a/.%2e/b": "b",
    "/...": "...",
    # Control characters are bytes of a path like others. Nothing of these protocols ends at one but SCGI's values, at
    # a NUL.
    "/a%0d%0aStatus:%20200%0d%0a%0d%0a": "a\r\nStatus: 200\r\n\r\n",
    "/a%01%7F%1b": "a\x01\x7f\x1b",
    "/a%00b": None,
    "/%00": None,
    "/a%": None,
    "/a%zz": None,
    "/a%2": None,
    "/a%2Fb": None,
    "/..%2f..%2fetc/passwd": None,
    "/../../etc/passwd": None,
    "/%2e%2e/%2e%2e/%2e%2e/etc/passwd": None,
}


def check_path(httpd, protocol, target, path, host):
    """In SCRIPT_FILENAME for FastCGI, in PATH_INFO for the others; in REQUEST_URI as it came."""
    response = fetch(httpd.port, target, host=host)
    if path is None:
        assert response.status in (400, 403, 404) and response.get("Content-Type") != "application/json", response
        return
    assert response.status == 200, response
    variables = dict(json.loads(response.body)["variables"])
    assert variables["REQUEST_URI"] == target
    if protocol == "fcgi":
        assert variables["SCRIPT_FILENAME"] == f"/srv/{path}" and "PATH_INFO" not in variables
        assert variables["SCRIPT_NAME"] == f"/fcgi/{path}"
    else:
        assert variables["PATH_INFO"] == f"/srv/{path}"
    assert variables["QUERY_STRING"] == target.partition("?")[2]


@pytest.mark.parametrize("path", PATHS)
def test_path(httpd, protocol, path):
    httpd.log.allow("AH")
    check_path(httpd, protocol, f"/{protocol}{path}", PATHS[path], "localhost")


KEPT = {
    "/a%2Fb": "a%2Fb",
    "/a%2fb%20c": "a%2fb c",
    "/..%2f..%2fetc/passwd": "..%2f..%2fetc/passwd",
    "/a%2f..%2f..%2fetc": "a%2f..%2f..%2fetc",
    "/%252f": "%2f",
    "/%00": None,
}
DECODED = {
    "/a%2Fb": "a/b",
    "/a%2f..%2fb": "b",
    "/a%2f%2e%2e%2fb": "b",
    "/%252f": "%2f",
    "/..%2f..%2fetc/passwd": None,
    "/..%2f..%2f..%2fetc/passwd": None,
    "/%00": None,
}


@pytest.mark.parametrize("path", KEPT)
def test_encoded_slash_that_is_kept(httpd, protocol, path):
    """It is no slash: it stays encoded."""
    httpd.log.allow("AH")
    check_path(httpd, protocol, f"/{protocol}{path}", KEPT[path], "keeping.test")


@pytest.mark.parametrize("path", DECODED)
def test_encoded_slash_that_is_decoded(httpd, protocol, path):
    """It never leads out of the member's path."""
    httpd.log.allow("AH")
    check_path(httpd, protocol, f"/{protocol}{path}", DECODED[path], "decoding.test")


@pytest.mark.parametrize("query", ["", "?", "?a=b&c=%00%0d%0a", "?" + "q" * 60000, "?a?b%23c", "?%2F../"])
def test_query(httpd, protocol, query):
    """As it came, however long; but see the limit of uwsgi."""
    target = f"/{protocol}/x{query}"
    if protocol == "uwsgi" and len(query) > 32000:
        query = query[:30000]
        target = f"/uwsgi/x{query}"
    variables, _ = ask(httpd, target)
    assert (variables["REQUEST_URI"], variables["QUERY_STRING"]) == (target, query[1:])


# --- too much ---------------------------------------------------------------------------------------------------------


def test_many_variables(httpd, protocol):
    """More than uwsgi has room for are refused there, with the reason in the log, and nothing is sent; FastCGI and SCGI
    take them."""
    fields = [(f"X-{number}", "b" * 2000) for number in range(40)]
    response = fetch(httpd.port, f"/{protocol}/x", fields=fields)
    if protocol == "uwsgi":
        assert response.status == 400 and response.complete
        httpd.log.expect(r"UDR\d{4}.*more than 64 KiB of variables")
    else:
        variables = dict(json.loads(response.body)["variables"])
        assert all(variables[f"HTTP_X_{number}"] == "b" * 2000 for number in range(40))


def test_as_many_variables_as_uwsgi_has_room_for(httpd, recorders):
    """65,535 bytes of them, and not one more."""

    def size(request):
        return sum(4 + len(name) + len(value) for name, value in request.fields)

    def send(count):
        # The length of the client's port in REMOTE_PORT must not differ: on one connection.
        return client.fetch("/uwsgi/x", fields=[("X-Filler", "b" * count)])

    with Client(httpd.port) as client:
        recorders["uwsgi"].forget()
        assert send(0).status == 200
        room = 65535 - size(recorders["uwsgi"].requests[-1])
        assert send(room).status == 200
        assert size(recorders["uwsgi"].requests[-1]) == 65535
        assert send(room + 1).status == 400
        assert len(recorders["uwsgi"].requests) == 2
    assert re.search("header fields", httpd.log.expect(r"UDR\d{4}.*more than 64 KiB of variables").text)
