# SPDX-License-Identifier: Apache-2.0
"""The routes of udsbackend's own."""
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import time

import pytest

import udsb_program
from udsb_program import connect, memory_allowance_kib, memory_kib, read_all, wait_for


def test_ux_with_curl(backend):
    answer = backend.curl("--include", "http://localhost/ux").stdout.decode()
    assert answer.startswith("HTTP/1.1 200 OK\r\n")
    assert "Content-Type: text/plain\r\n" in answer
    assert "Content-Length: 21\r\n" in answer
    assert answer.endswith("\r\n\r\nHello via unix socket")


def test_health(backend):
    answer = backend.get("/healthz")
    assert (answer.status, answer.text) == (200, "ok\n")
    assert answer.headers["X-UDSRoute-State"] == "up"


def test_echo_has_everything_of_the_request(backend):
    body = 'text "ü"\n'
    answer = backend.curl("--request", "PATCH", "--header", "X-Twice: 1", "--header", "x-twice: 2", "--header",
                          "X-Quote: a\"b\\c", "--data-binary", body, "http://some.host/echo/a%20b?x=%31&y=").stdout
    echo = json.loads(answer)
    assert echo["method"] == "PATCH"
    assert echo["target"] == "/echo/a%20b?x=%31&y="
    assert echo["path"] == "/echo/a b"
    assert echo["query"] == "x=%31&y="
    assert echo["version"] == "HTTP/1.1"
    assert ["Host", "some.host"] in echo["headers"]
    assert [field for field in echo["headers"] if field[0].lower() == "x-twice"] == [["X-Twice", "1"], ["x-twice", "2"]]
    assert ["X-Quote", 'a"b\\c'] in echo["headers"]
    assert echo["body"] == body
    assert echo["body_encoding"] == "text"
    assert echo["body_length"] == len(body.encode())
    assert echo["trailers"] == []


def test_echo_of_bytes_that_are_no_text(backend):
    body = bytes(range(256)) * 10
    echo = backend.request("POST", "/echo", body=body).json()
    assert echo["body_encoding"] == "base64"
    assert base64.b64decode(echo["body"]) == body


def test_echo_of_a_chunked_body_with_trailers(backend):
    connection = connect(backend.socket)
    connection.sendall(b"POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
                       b"Trailer: X-Sum\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n")
    echo = json.loads(read_all(connection).partition(b"\r\n\r\n")[2])
    assert echo["body"] == "abcde"
    assert echo["trailers"] == [["X-Sum", "5"]]


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 65536, 4 << 20, (4 << 20) + 1, 20_000_003])
def test_bytes(backend, length):
    answer = backend.get(f"/bytes/{length}")
    lines = b"".join(b"%015x\n" % offset for offset in range(0, length, 16))
    assert answer.headers["Content-Length"] == str(length)
    assert answer.body == lines[:length]


def test_bytes_of_16_gib_are_announced_and_begun(backend):
    length = 16 << 30
    assert f"Content-Length: {length}" in backend.curl("--head", f"http://h/bytes/{length}").stdout.decode()
    connection = connect(backend.socket)
    connection.sendall(b"GET /bytes/%d HTTP/1.1\r\nHost: h\r\n\r\n" % length)
    data = b""
    while len(data) < 1 << 20:
        data += connection.recv(1 << 20)
    connection.close()
    assert b"%015x\n" % 0x80000 in data
    wait_for(lambda: backend.metrics()["in_flight"] == 1, "the aborted request to end")
    wait_for(lambda: backend.metrics()['requests_total{class="aborted"}'] == 1, "it to be counted")


def test_bytes_do_not_pile_up_in_memory(backend):
    before = memory_kib(backend.process.pid)
    hash_program = subprocess.run(
        f"curl -sS --unix-socket {backend.socket} http://h/bytes/{1 << 30} | sha256sum", shell=True, check=True,
        capture_output=True)
    assert len(hash_program.stdout.split()[0]) == 64
    assert memory_kib(backend.process.pid, "VmHWM") - before < memory_allowance_kib(8192)


def test_delay(backend):
    begin = time.monotonic()
    assert backend.get("/delay/150").text == "waited 150 ms\n"
    assert time.monotonic() - begin >= 0.15
    assert backend.get("/delay/0").status == 200
    assert backend.request("POST", "/delay/1", body="x").status == 200


def test_a_client_that_leaves_does_not_wait_on(backend):
    connection = connect(backend.socket)
    connection.sendall(b"GET /delay/3600000 HTTP/1.1\r\nHost: h\r\n\r\n")
    wait_for(lambda: backend.metrics()["waiting"] == 1, "the request to wait")
    connection.close()
    wait_for(lambda: backend.metrics()["waiting"] == 0, "the wait to end")
    wait_for(lambda: backend.metrics()["in_flight"] == 1, "the request to end")
    wait_for(lambda: backend.metrics()["connections"] == 1, "its connection to be closed")


def test_a_client_that_has_nothing_more_to_say_gets_its_answer(backend):
    connection = connect(backend.socket)
    connection.sendall(b"GET /delay/50 HTTP/1.1\r\nHost: h\r\n\r\n")
    connection.shutdown(1)
    assert b"waited 50 ms" in read_all(connection)


@pytest.mark.parametrize("code", [200, 201, 204, 301, 304, 400, 401, 404, 418, 500, 503, 599])
def test_status(backend, code):
    answer = backend.get(f"/status/{code}")
    assert answer.status == code
    assert answer.body == b""
    if code in (204, 304):
        assert "Content-Length" not in answer.headers or code == 304
    for status, name in ((201, "Location"), (301, "Location"), (401, "WWW-Authenticate"), (503, "Retry-After")):
        assert (name in answer.headers) == (status == code or name == "Location" and code in (201, 301))


def test_status_keeps_the_connection(backend):
    connection = udsb_program.UnixConnection(backend.socket)
    for code in (204, 304, 404, 200, 500):
        connection.request("DELETE", f"/status/{code}")
        response = connection.getresponse()
        response.read()
        assert response.status == code
    connection.close()
    assert backend.metrics()["connections_total"] == 2


def test_events(backend):
    connection = connect(backend.socket)
    connection.sendall(b"GET /sse?interval=100&count=3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    first = connection.recv(65536)
    while b"\n\n" not in first:
        first += connection.recv(65536)
    assert b"Content-Type: text/event-stream\r\n" in first
    assert b"Cache-Control: no-cache\r\n" in first
    assert b"id: 1\ndata: {" in first
    assert b"id: 2\n" not in first  # it did not wait for the second
    rest = read_all(connection)
    assert re.findall(rb"id: (\d)\n", first + rest) == [b"1", b"2", b"3"]
    times = [json.loads(data)["time_ms"] for data in re.findall(rb"data: (.*)\n", first + rest)]
    assert times[1] - times[0] >= 99 and times[2] - times[1] >= 99
    assert rest.endswith(b"0\r\n\r\n")


def test_events_end_with_the_client(backend):
    connection = connect(backend.socket)
    connection.sendall(b"GET /sse?interval=3600000 HTTP/1.1\r\nHost: h\r\n\r\n")
    connection.recv(1)
    connection.close()
    wait_for(lambda: backend.metrics()["in_flight"] == 1, "the stream to end")
    wait_for(lambda: backend.metrics()["connections"] == 1, "its connection to be closed")


def test_chunked(backend):
    raw = backend.curl("--raw", "http://h/chunked/3").stdout
    assert raw == b"8\r\nchunk 1\n\r\n8\r\nchunk 2\n\r\n8\r\nchunk 3\n\r\n0\r\nX-Chunks: 3\r\n\r\n"
    assert backend.get("/chunked/0").body == b""
    assert backend.get("/chunked/50000").body.count(b"\n") == 50000


def test_chunked_for_an_old_client_ends_with_the_connection(backend):
    answer = backend.curl("--http1.0", "--include", "http://h/chunked/2").stdout
    assert b"Transfer-Encoding" not in answer
    assert answer.endswith(b"\r\n\r\nchunk 1\nchunk 2\n")


@pytest.mark.parametrize("chunked", [False, True])
def test_upload(backend, directory, chunked):
    data = os.urandom(1 << 20) * 33
    (directory / "file").write_bytes(data)
    options = ["--header", "Transfer-Encoding: chunked"] if chunked else []
    answer = json.loads(backend.curl("--upload-file", str(directory / "file"), *options, "http://h/upload").stdout)
    assert answer == {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert backend.metrics()["request_body_bytes_total"] == len(data)


def test_upload_of_nothing(backend):
    answer = backend.request("POST", "/upload", body=b"").json()
    assert answer == {"length": 0, "sha256": hashlib.sha256(b"").hexdigest()}


def test_upload_expects_100_continue(backend):
    connection = connect(backend.socket)
    connection.sendall(b"PUT /upload HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\n"
                       b"Content-Length: 3\r\n\r\n")
    assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(b"abc")
    assert b'"length":3' in read_all(connection)


def test_metrics(backend):
    if not shutil.which("promtool"):  # what it would look at, in short
        text = backend.get("/metrics").text
        names = re.findall(r"^# TYPE (\S+) (?:counter|gauge)$", text, re.M)
        assert names and names == re.findall(r"^# HELP (\S+) \S", text, re.M)
        samples = {re.match(r"\w+", line)[0] for line in text.splitlines() if not line.startswith("#")}
        assert samples == set(names)
        assert all(name.endswith("_total") for name in re.findall(r"^# TYPE (\S+) counter$", text, re.M))
    else:
        subprocess.run(["promtool", "check", "metrics"], input=backend.get("/metrics").body, check=True)
    before = backend.metrics()
    backend.get("/ux")
    backend.get("/nothing")
    backend.request("POST", "/echo", body="12345")

    def grown(name, by):  # what is counted at the end of a request may come a moment after its answer
        wait_for(lambda: backend.metrics()[name] - before[name] >= by, f"{name} to grow by {by}")
    grown('requests_total{class="2xx"}', 3)  # with the first /metrics itself
    grown('requests_total{class="4xx"}', 1)
    grown("request_body_bytes_total", 5)
    grown("response_body_bytes_total", 21)
    grown("connections_total", 4)
    wait_for(lambda: backend.metrics()["in_flight"] == 1, "nothing but /metrics to be in flight")
    after = backend.metrics()
    assert after['requests_total{class="4xx"}'] - before['requests_total{class="4xx"}'] == 1
    assert after["request_body_bytes_total"] - before["request_body_bytes_total"] == 5
    assert after["uptime_seconds"] >= before["uptime_seconds"]


@pytest.mark.parametrize("target", ["/ux", "/healthz", "/bytes/100", "/delay/1", "/sse?count=1", "/chunked/2",
                                    "/metrics", "/status/200", "/echo"])
def test_head(backend, target):
    connection = udsb_program.UnixConnection(backend.socket)
    connection.request("HEAD", target)
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    connection.request("GET", "/ux")  # the connection is still in step
    assert connection.getresponse().read() == b"Hello via unix socket"
    connection.close()


@pytest.mark.parametrize("method, target, allow", [
    ("POST", "/ux", "GET, HEAD, OPTIONS"),
    ("DELETE", "/healthz", "GET, HEAD, OPTIONS"),
    ("PUT", "/bytes/1", "GET, HEAD, OPTIONS"),
    ("DELETE", "/delay/1", "GET, HEAD, POST, OPTIONS"),
    ("POST", "/sse", "GET, HEAD, OPTIONS"),
    ("POST", "/chunked/1", "GET, HEAD, OPTIONS"),
    ("GET", "/upload", "POST, PUT, OPTIONS"),
    ("POST", "/ws", "GET, HEAD, OPTIONS"),
    ("POST", "/metrics", "GET, HEAD, OPTIONS"),
])
def test_wrong_method(backend, method, target, allow):
    answer = backend.request(method, target)
    assert (answer.status, answer.headers["Allow"]) == (405, allow)
    answer = backend.request("OPTIONS", target)
    assert (answer.status, answer.headers["Allow"], answer.body) == (204, allow, b"")


@pytest.mark.parametrize("target", ["/", "/ux/", "/uxx", "/u", "/UX", "/bytes", "/favicon.ico"])
def test_not_found(backend, target):
    assert backend.get(target).status == 404


@pytest.mark.parametrize("target", [
    "/bytes/", "/bytes/x", "/bytes/-1", "/bytes/99999999999999999999", "/bytes/1/2", "/delay/", "/delay/1s",
    "/delay/86400001", "/status/199", "/status/600", "/status/abc", "/chunked/x", "/sse?interval=x", "/sse?count=0",
    "/sse?interval=3600001", "/u%00x", "/%zz", "/%4"])
def test_bad_values(backend, target):
    answer = backend.get(target)
    assert answer.status == 400
    assert answer.body


def test_percent_encoding_does_not_hide_a_route(backend):
    assert backend.get("/%75%78").text == "Hello via unix socket"
    assert backend.get("/ux?a=b").text == "Hello via unix socket"


def test_absolute_target(backend):
    assert b"Hello via" in exchange(backend, b"GET http://any.host/ux HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")


def exchange(backend, data):
    connection = connect(backend.socket)
    connection.sendall(data)
    connection.shutdown(1)
    return read_all(connection)


@pytest.mark.parametrize("head, status", [
    (b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
    (b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", b"400"),
    (b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"501"),
    (b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", b"400"),
    (b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", b"413"),
    (b"GET /echo HTTP/1.1\r\n\r\n", b"400"),
    (b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", b"400"),
    (b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length : 3\r\n\r\nabc", b"400"),
    (b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", b"400"),
    (b"GET /echo a HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
    (b"GET /echo HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", b"400"),
])
def test_requests_that_can_be_read_two_ways(backend, head, status):
    answer = exchange(backend, head + b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status + b" ")
    assert b"HTTP/1.1 404 " not in answer  # nothing after it is taken for a request
    assert b"\r\nConnection: close\r\n" in answer


def test_a_refused_body_is_read_all_the_same(backend):
    """A client that looks for the answer only after its body gets it, and keeps its connection."""
    connection = udsb_program.UnixConnection(backend.socket)
    for target, status in (("/ux", 405), ("/nothing", 404), ("/echo", 200)):
        connection.request("POST", target, body=bytes(1 << 20))
        response = connection.getresponse()
        response.read()
        assert response.status == status
    connection.close()
    assert backend.metrics()["connections_total"] == 2


def test_a_refused_body_is_not_sent_when_the_client_asks_before(backend):
    connection = connect(backend.socket)
    connection.sendall(b"POST /ux HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert read_all(connection).startswith(b"HTTP/1.1 405 ")


def test_pipelined_requests(backend):
    answer = exchange(backend, b"GET /ux HTTP/1.1\r\nHost: h\r\n\r\n" * 20)
    assert answer.count(b"Hello via unix socket") == 20


def test_a_body_that_is_too_long_for_echo(backend):
    connection = connect(backend.socket)
    connection.sendall(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % ((64 << 20) + 1))
    assert b" 413 " in connection.recv(1000)
    connection.close()


def test_mapped_texts(start):
    backend = start("--map", "GET /hello=text:Grüezi = 100 %", "--map", "* /any=text:", "--map", "GET /ux=text:mine")
    answer = backend.get("/hello")
    assert (answer.text, answer.headers["Content-Type"]) == ("Grüezi = 100 %", "text/plain")
    assert backend.request("BREW", "/any").body == b""
    assert backend.get("/ux").text == "mine"
    assert backend.request("POST", "/hello").headers["Allow"] == "GET, HEAD, OPTIONS"
