# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests, as PHP gets them: streamed, in chunks, as forms with files; limits and expectations."""
import hashlib
import json
import os
import pathlib

import pytest

import udr_environment
from test_peers import Memory
from udr_client import Client, chunk, curl, fetch
from udr_php import start_site
from udr_processes import wait_until

MIB = 1 << 20
LIMITED = """
<Location "/limited">
  LimitRequestBody 100000
</Location>
Alias "/limited" "@SITE@"
"""


@pytest.fixture(scope="module", params=udr_environment.RUNNERS)
def httpd(module_sandbox, request):
    """One for each kind of runner."""
    spool = module_sandbox.root / f"spool-{request.param}"
    spool.mkdir()
    spool.chmod(0o1777)
    options = {"modules": ("alias",), "quarantine_mb": 1, "children": 4, "threads": 8}
    httpd = start_site(module_sandbox, request.param, config=LIMITED, environment={"TMPDIR": str(spool)}, **options)
    httpd.spool = spool
    return httpd


def sent(httpd, pieces, length=None, target="/upload.php"):
    """Sends the pieces, with a length or as chunks; returns what PHP saw, and the SHA-256 of what was sent."""
    digest = hashlib.sha256()
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    with Client(httpd.port, timeout=60) as client:
        head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: x/y\r\n{framing}\r\n\r\n"
        client.send(head.encode())
        for piece in pieces:
            digest.update(piece)
            client.send(chunk(piece) if length is None else piece)
        if length is None:
            client.send(b"0\r\n\r\n")
        response = client.read_response()
        return json.loads(response.body), digest.hexdigest()


def blocks(count):
    """So many MiB, each another one."""
    block = os.urandom(MIB)
    for number in range(count):
        yield number.to_bytes(8, "big") + block[8:]


def spool_files(httpd):
    """Those that httpd's children have open; they have no name any more."""
    found = []
    for pid in httpd.children():
        for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                found += [link] * os.readlink(link).startswith(f"{httpd.spool}/udsroute-body")
            except FileNotFoundError:
                pass  # closed just now
    return found


def test_upload_of_a_hundred_mebibytes_is_streamed(httpd):
    sent(httpd, blocks(8), 8 * MIB)  # what is allocated once is allocated now
    memory = Memory(httpd)

    def watched():
        for number, piece in enumerate(blocks(100)):
            memory.look(number * MIB)
            yield piece
        assert not spool_files(httpd)

    seen, expected = sent(httpd, watched(), 100 * MIB)
    assert (seen["length"], seen["sha256"], seen["told"]) == (100 * MIB, expected, str(100 * MIB))
    assert memory.growth < 4 * MIB


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 200000])
def test_body_of_known_length(httpd, size):
    body = os.urandom(size)
    seen, expected = sent(httpd, [body], size)
    assert (seen["length"], seen["sha256"], seen["told"]) == (size, expected, str(size))


@pytest.mark.parametrize("sizes", [[], [5], [1, 1, 1], [65536], [65537], [100, 70000, 3]])
def test_chunked_body_gets_a_length(httpd, sizes):
    pieces = [os.urandom(size) for size in sizes]
    seen, expected = sent(httpd, pieces)
    assert (seen["length"], seen["sha256"]) == (sum(sizes), expected)
    assert (seen["told"], seen["coding"]) == (str(sum(sizes)), None)


def test_large_chunked_body_goes_by_a_file(httpd):
    """Neither kept in memory, nor left behind."""
    sent(httpd, blocks(2))
    memory = Memory(httpd)

    def watched():
        yield from blocks(20)
        wait_until(lambda: spool_files(httpd), "the file to be open")
        assert memory.growth < 4 * MIB

    seen, expected = sent(httpd, watched())
    assert (seen["length"], seen["sha256"], seen["told"]) == (20 * MIB, expected, str(20 * MIB))
    wait_until(lambda: not spool_files(httpd), "the file to be closed")
    assert not list(httpd.spool.iterdir())


def test_limitrequestbody(httpd):
    httpd.log.allow(r"AH\d{5}.*(larger than|LimitRequestBody|limit)")
    target = "/limited/upload.php"
    assert fetch(httpd.port, target, "POST", body=b"x" * 100000).status == 200
    assert fetch(httpd.port, target, "POST", body=b"x" * 100001).status == 413
    assert fetch(httpd.port, target, "POST", body=[b"x" * 100000]).status == 200
    assert fetch(httpd.port, target, "POST", body=[b"x" * 60000, b"x" * 60000]).status == 413


def test_connection_after_a_chunked_body_is_good(httpd):
    with Client(httpd.port) as client:
        for number in range(1, 5):
            body = [os.urandom(1000 * number), b"end"]
            seen = json.loads(client.fetch("/upload.php", "POST", body=body).body)
            assert seen["length"] == 1000 * number + 3
            assert json.loads(client.fetch("/upload.php").body)["length"] == 0


def test_form_with_files(httpd, tmp_path):
    (tmp_path / "a.bin").write_bytes(os.urandom(3 * MIB))
    (tmp_path / "b.txt").write_text("small")
    form = ["-F", f"one=@{tmp_path}/a.bin", "-F", f"two=@{tmp_path}/b.txt;filename=ä b.txt", "-F", "word=a b&c"]
    for more in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
        answer = curl(*form, *more, httpd.url("/upload.php"))
        seen = json.loads(answer.body)
        assert seen["post"] == {"word": "a b&c"}
        for name, file, called in (("one", "a.bin", "a.bin"), ("two", "b.txt", "ä b.txt")):
            data = (tmp_path / file).read_bytes()
            assert seen["files"][name] == [called, 0, len(data), hashlib.sha256(data).hexdigest()]


def test_form_fields(httpd):
    fields = [("Content-Type", "application/x-www-form-urlencoded")]
    body = b"a=1&b=%C3%A4&c=" + b"x" * 100000
    seen = json.loads(fetch(httpd.port, "/upload.php", "POST", fields=fields, body=body).body)
    assert (seen["post"]["a"], seen["post"]["b"], len(seen["post"]["c"])) == ("1", "ä", 100000)


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_expect_is_answered_once(httpd, framing):
    with Client(httpd.port) as client:
        head = f"POST /upload.php HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n{framing}\r\n\r\n"
        client.send(head.encode())
        assert client.read_interim().status == 100
        client.send(b"hello" if "Length" in framing else chunk(b"hello") + b"0\r\n\r\n")
        response = client.read_response("POST")
        assert not response.interim
        assert json.loads(response.body)["length"] == 5
        assert client.fetch("/vars.php").status == 200


def test_client_goes_within_its_body(httpd):
    """PHP is told, and the next request gets its own answer."""
    httpd.fpm.allow(r"WARNING|NOTICE")
    for framing in ("Content-Length: 1000000", "Transfer-Encoding: chunked"):
        with Client(httpd.port) as client:
            client.send(f"POST /upload.php HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
            client.send(chunk(b"x" * 5000))
        seen, expected = sent(httpd, [b"after"], 5)
        assert (seen["length"], seen["sha256"]) == (5, expected)
