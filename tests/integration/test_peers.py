# SPDX-License-Identifier: Apache-2.0
"""Real backends behind httpd, real clients before it."""
import hashlib
import json
import os
import socket
import statistics
import time

import pytest

import udr_peers
import udr_wire
from udr_client import Client, chunk, curl, fetch, h2load
from udr_processes import wait_until

GIB = 1 << 30
DATA = bytes(range(256)) * 40  # what /data.bin serves
ALL = udr_peers.NAMES
WITH_TRAILERS = ("node", "udsbackend")  # Gunicorn knows none


@pytest.fixture(scope="module")
def sockets(module_sandbox):
    """The three backends: name → path of the socket."""
    served = module_sandbox.root / "files"
    served.mkdir()
    (served / "data.bin").write_bytes(DATA)
    return {name: start(module_sandbox, served / "data.bin") for name, start in udr_peers.STARTERS.items()}


@pytest.fixture(scope="module")
def httpd(module_sandbox, sockets):
    routes = [f"UDSRoute /{name}/ unix:{path}|http://localhost/" for name, path in sockets.items()]
    return module_sandbox.httpd("\n".join(routes), threads=48, quarantine_mb=1)


@pytest.fixture(params=ALL)
def peer(request):
    return request.param


def seen_by(answer):
    """What /echo says of the request, its fields as a dictionary by small letters."""
    seen = json.loads(answer.body)
    seen["fields"] = {name.lower(): value for name, value in seen["headers"]}
    return seen


# --- methods and bodies, by curl --------------------------------------------------------------------------------------


def test_get(httpd, peer):
    answer = curl(httpd.url(f"/{peer}/ux"))
    assert (answer.status, answer.text) == (200, udr_peers.TEXT)


def test_get_with_query(httpd, peer):
    answer = curl(httpd.url(f"/{peer}/echo?a=1&b=%20x"))
    assert seen_by(answer)["target"] == "/echo?a=1&b=%20x"


def test_head(httpd, peer):
    answer = curl("--head", httpd.url(f"/{peer}/bytes/1000"))
    assert answer.status == 200
    assert answer.get("Content-Length") == "1000"


def test_head_leaves_the_connection_usable(httpd, peer):
    with Client(httpd.port) as client:
        for _ in range(3):
            assert client.fetch(f"/{peer}/bytes/1000", "HEAD").body == b""
            assert client.fetch(f"/{peer}/ux").text == udr_peers.TEXT


@pytest.mark.parametrize("size", [0, 1, 1000, 65536, 1000000])
def test_bytes(httpd, peer, size):
    answer = curl(httpd.url(f"/{peer}/bytes/{size}"))
    assert answer.status == 200 and len(answer.body) == size


def test_post_of_fixed_length(httpd, peer):
    answer = curl("--data-binary", "fixed body", httpd.url(f"/{peer}/echo"))
    seen = seen_by(answer)
    assert (seen["method"], seen["body"]) == ("POST", "fixed body")
    assert seen["fields"]["content-length"] == "10"


def test_post_without_body(httpd, peer):
    seen = seen_by(curl("--request", "POST", "--header", "Content-Length: 0", httpd.url(f"/{peer}/echo")))
    assert (seen["method"], seen["body_length"]) == ("POST", 0)


def test_post_in_chunks(httpd, peer):
    answer = curl("--header", "Transfer-Encoding: chunked", "--data-binary", "chunked body", httpd.url(f"/{peer}/echo"))
    seen = seen_by(answer)
    assert (seen["method"], seen["body"]) == ("POST", "chunked body")


def test_post_in_many_chunks(httpd, peer):
    pieces = [b"%d\n" % number for number in range(2000)]
    answer = fetch(httpd.port, f"/{peer}/upload", "POST", body=pieces)
    assert json.loads(answer.body) == {
        "length": len(b"".join(pieces)),
        "sha256": hashlib.sha256(b"".join(pieces)).hexdigest(),
    }


@pytest.mark.parametrize("size", [1, 8192, 1 << 20])
def test_put(httpd, peer, size, sandbox):
    file = sandbox.root / "upload"
    file.write_bytes(os.urandom(size))
    answer = curl("--upload-file", file, httpd.url(f"/{peer}/upload"))
    assert json.loads(answer.body) == {"length": size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def test_delete(httpd, peer):
    assert seen_by(curl("--request", "DELETE", httpd.url(f"/{peer}/echo")))["method"] == "DELETE"


# --- statuses, ranges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [204, 304])
def test_status_without_body(httpd, peer, code):
    with Client(httpd.port) as client:
        for _ in range(2):
            response = client.fetch(f"/{peer}/status/{code}")
            assert response.status == code and not response.has("Transfer-Encoding")
        assert client.fetch(f"/{peer}/ux").text == udr_peers.TEXT


@pytest.mark.parametrize("code", [201, 301, 404, 418, 500, 503])
def test_status(httpd, peer, code):
    assert curl(httpd.url(f"/{peer}/status/{code}")).status == code


def test_range(httpd, peer):
    answer = curl("--range", "100-299", httpd.url(f"/{peer}/data.bin"))
    assert answer.status == 206
    assert answer.get("Content-Range") == f"bytes 100-299/{len(DATA)}"
    assert answer.body == DATA[100:300]


def test_range_beyond_the_end(httpd, peer):
    answer = curl("--range", "1000000-1000001", httpd.url(f"/{peer}/data.bin"))
    assert answer.status == 416
    assert answer.get("Content-Range") == f"bytes */{len(DATA)}"


def test_whole_file(httpd, peer):
    assert curl(httpd.url(f"/{peer}/data.bin")).body == DATA


# --- chunks, trailers, HTTP/1.0 ---------------------------------------------------------------------------------------


def expected_chunks(count):
    return b"".join(b"chunk %d\n" % number for number in range(1, count + 1))


def test_chunked_response(httpd, peer):
    response = fetch(httpd.port, f"/{peer}/chunked/1000")
    assert response.framing == "chunked"
    assert response.body == expected_chunks(1000)


def test_chunked_both_ways(httpd):
    """Node sends the body back as it comes."""
    pieces = [b"piece %d " % number * 100 for number in range(200)]
    response = fetch(httpd.port, "/node/mirror", "POST", body=pieces)
    assert response.body == b"".join(pieces) and response.complete


@pytest.mark.parametrize("name", WITH_TRAILERS)
def test_response_trailers(httpd, name):
    response = fetch(httpd.port, f"/{name}/chunked/3", fields=[("TE", "trailers"), ("Connection", "TE")])
    assert response.body == expected_chunks(3)
    assert response.trailers == [("X-Chunks", "3")]
    assert not response.has("X-Chunks")


@pytest.mark.parametrize("name", WITH_TRAILERS)
def test_response_trailers_reach_curl(httpd, name):
    answer = curl("--header", "TE: trailers", "--header", "Connection: TE", httpd.url(f"/{name}/chunked/3"))
    assert ("X-Chunks", "3") in answer.trailers


@pytest.mark.parametrize("name", WITH_TRAILERS)
def test_request_trailers(httpd, name):
    with Client(httpd.port) as client:
        client.send(
            f"POST /{name}/echo HTTP/1.1\r\nHost: localhost\r\nTrailer: X-Sum\r\n"
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n".encode()
        )
        seen = seen_by(client.read_response())
    assert seen["body"] == "hello"
    assert ["X-Sum", "42"] in seen["trailers"]


def test_http_1_0_client_gets_no_chunks(httpd, peer):
    with Client(httpd.port) as client:
        response = client.fetch(f"/{peer}/chunked/1000", version="1.0")
        assert not response.has("Transfer-Encoding")
        assert response.body == expected_chunks(1000)
        assert client.closed_by_server()


def test_http_1_0_client_keeps_its_connection_where_the_length_is_known(httpd, peer):
    with Client(httpd.port) as client:
        for _ in range(3):
            response = client.fetch(f"/{peer}/ux", version="1.0", fields=[("Connection", "keep-alive")])
            assert response.text == udr_peers.TEXT and client.reusable


def test_curl_as_http_1_0_client(httpd, peer):
    answer = curl("--http1.0", "--data-binary", "x", httpd.url(f"/{peer}/echo"))
    assert seen_by(answer)["body"] == "x"


# --- interim responses ------------------------------------------------------------------------------------------------


def test_continue_comes_from_the_backend(httpd, peer):
    with Client(httpd.port) as client:
        client.send(
            f"POST /{peer}/echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            "Content-Length: 5\r\n\r\n".encode()
        )
        assert client.read_interim().status == 100
        client.send(b"hello")
        response = client.read_response()
        assert response.interim == []
        assert seen_by(response)["body"] == "hello"
        assert client.fetch(f"/{peer}/ux").text == udr_peers.TEXT


def test_expectation_is_sent_on(httpd):
    answer = curl("--header", "Expect: 100-continue", "--data-binary", "hello", httpd.url("/node/echo"))
    assert answer.get("X-Expectation") == "100-continue"
    assert [status for status, _ in answer.interim] == [100]


def test_final_status_without_continue(httpd):
    """Node refuses the expectation: the client hears so, and has sent nothing of its body."""
    with Client(httpd.port) as client:
        client.send(
            b"POST /node/refuse HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            b"Content-Length: 1000000000\r\n\r\n"
        )
        response = client.read_response()
    assert (response.status, response.text, response.interim) == (417, "refused", [])


def test_early_hints(httpd):
    response = fetch(httpd.port, "/node/hints")
    assert response.text == "hinted"
    assert [interim.status for interim in response.interim] == [103]
    links = ", ".join(response.interim[0].all("Link"))
    assert "</style.css>; rel=preload; as=style" in links and "</script.js>" in links
    assert not response.has("Link")


def test_early_hints_reach_curl(httpd):
    answer = curl(httpd.url("/node/hints"))
    assert answer.status == 200
    assert [status for status, _ in answer.interim] == [103]


# --- streams ----------------------------------------------------------------------------------------------------------


def first_event_delay(httpd, peer):
    """Milliseconds from the sending of the first event, as the server stamped it, to its arrival at the client."""
    with Client(httpd.port) as client:
        client.send_request("GET", f"/{peer}/sse?count=2&interval=5000")
        wait_until(lambda: b'"number"' in client.stream.buffer or not client.stream.fill(), "the first event")
        now = time.time() * 1000
        event = bytes(client.stream.buffer).partition(b"data: ")[2].partition(b"\n")[0]
    return now - json.loads(event)["time_ms"]


def test_first_event_arrives_at_once(httpd, peer):
    """Within 100 ms: long before the second event, which comes after 5 s. The median keeps a busy machine out."""
    assert statistics.median(first_event_delay(httpd, peer) for _ in range(5)) < 100


def test_all_events_arrive(httpd, peer):
    answer = curl(httpd.url(f"/{peer}/sse?count=5&interval=20"))
    assert answer.get("Content-Type").startswith("text/event-stream")
    assert [line for line in answer.text.splitlines() if line.startswith("id:")] == [f"id: {n}" for n in range(1, 6)]


# --- a gibibyte each way ----------------------------------------------------------------------------------------------


class Memory:
    """Watches the private memory of httpd's children while something large goes through."""

    def __init__(self, httpd):
        self.httpd = httpd
        self.before = httpd.private_bytes()
        self.most = self.before
        self._next = 0

    def look(self, position):
        """Called with the number of bytes so far: measures each 64 MiB."""
        if position >= self._next:
            self._next = position + (64 << 20)
            self.most = max(self.most, self.httpd.private_bytes())

    @property
    def growth(self):
        self.look(self._next)
        return self.most - self.before


def direct_hash(path, size):
    """SHA-256 of /bytes/SIZE as the backend itself sends it."""
    digest = hashlib.sha256()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(f"GET /bytes/{size} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        response = udr_wire.read_response(udr_wire.Stream(sock), sink=digest.update)
        assert response.complete
    return digest.hexdigest()


def test_download_of_a_gibibyte(httpd, peer, sockets):
    expected = direct_hash(sockets[peer], GIB)
    fetch(httpd.port, f"/{peer}/bytes/{64 << 20}")  # what is allocated once is allocated now
    memory = Memory(httpd)
    digest, length = hashlib.sha256(), 0

    def take(piece):
        nonlocal length
        digest.update(piece)
        length += len(piece)
        memory.look(length)

    with Client(httpd.port, timeout=120) as client:
        response = client.fetch(f"/{peer}/bytes/{GIB}", sink=take)
    assert response.complete and length == GIB
    assert digest.hexdigest() == expected
    assert memory.growth < 8 << 20


def upload(httpd, peer, size, chunked, memory=None):
    """Sends `size` bytes; returns what the backend saw and the SHA-256 of what was sent."""
    block = os.urandom(1 << 20)
    digest = hashlib.sha256()
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    with Client(httpd.port, timeout=120) as client:
        client.send(f"POST /{peer}/upload HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
        for position in range(0, size, len(block)):
            piece = position.to_bytes(8, "big") + block[8:]
            digest.update(piece)
            client.send(chunk(piece) if chunked else piece)
            if memory:
                memory.look(position)
        if chunked:
            client.send(b"0\r\n\r\n")
        return json.loads(client.read_response().body), digest.hexdigest()


@pytest.mark.parametrize("chunked", [False, True], ids=["fixed", "chunked"])
def test_upload_of_a_gibibyte(httpd, peer, chunked):
    upload(httpd, peer, 64 << 20, chunked)
    memory = Memory(httpd)
    seen, expected = upload(httpd, peer, GIB, chunked, memory)
    assert seen == {"length": GIB, "sha256": expected}
    assert memory.growth < 8 << 20


# --- many requests ----------------------------------------------------------------------------------------------------


def test_five_thousand_requests(httpd, peer):
    load = h2load(httpd.url(f"/{peer}/ux"), 5000, 32)
    assert load.flawless, load.output


def test_requests_of_all_kinds_at_once(httpd, peer):
    """Bodies of a few sizes interleaved over one pool: none gets another's answer."""
    with Client(httpd.port) as one, Client(httpd.port) as two:
        for number in range(100):
            one.send_request("POST", f"/{peer}/echo", body=b"one %d" % number)
            two.send_request("POST", f"/{peer}/echo", body=[b"two ", b"%d" % number])
            assert seen_by(two.read_response())["body"] == f"two {number}"
            assert seen_by(one.read_response())["body"] == f"one {number}"
