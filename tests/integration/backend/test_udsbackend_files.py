# SPDX-License-Identifier: Apache-2.0
"""--root: files, ranges, validators, and nothing outside."""
import email.utils
import os
import pathlib
import shutil
import subprocess

import pytest

import udsb_program
from udsb_program import connect, read_all

CONTENT = b"0123456789abcdef" * 1000


@pytest.fixture
def root(directory):
    """directory/root with files, and directory/secret beside it."""
    path = directory / "root"
    (path / "sub" / "deep").mkdir(parents=True)
    (path / "a b").mkdir()
    (path / "file.txt").write_bytes(CONTENT)
    (path / "index.html").write_text("top")
    (path / "sub" / "index.html").write_text("index of sub")
    (path / "sub" / "deep" / "x.json").write_text("{}")
    (path / "a b" / "ü.css").write_text("css")
    (path / "empty").write_bytes(b"")
    (path / "ux").write_text("not this one")
    (path / "upload").write_text("nor this one")
    (directory / "secret").write_text("secret")
    os.mkfifo(path / "fifo")
    os.utime(path / "file.txt", (1_000_000_000, 1_000_000_000))
    return path


@pytest.fixture
def backend(start, root):
    return start("--root", str(root))


def test_whole_file(backend):
    answer = backend.get("/file.txt")
    assert answer.status == 200
    assert answer.body == CONTENT
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Last-Modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"].startswith('"') and answer.headers["ETag"].endswith('"')


def test_head(backend):
    answer = backend.request("HEAD", "/file.txt", headers={"Range": "bytes=0-0"})
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(CONTENT))


@pytest.mark.parametrize("target, text, content_type", [
    ("/", "top", "text/html; charset=utf-8"),
    ("/index.html", "top", "text/html; charset=utf-8"),
    ("/sub/", "index of sub", "text/html; charset=utf-8"),
    ("//sub//", "index of sub", "text/html; charset=utf-8"),
    ("/sub/deep/x.json", "{}", "application/json"),
    ("/sub/./deep/x.json", "{}", "application/json"),
    ("/a%20b/%C3%BC.css", "css", "text/css; charset=utf-8"),
    ("/empty", "", "application/octet-stream"),
    ("/file.txt?query", CONTENT.decode(), "text/plain; charset=utf-8"),
])
def test_paths(backend, target, text, content_type):
    answer = backend.get(target)
    assert (answer.status, answer.text, answer.headers["Content-Type"]) == (200, text, content_type)


@pytest.mark.parametrize("target, location", [
    ("/sub", "/sub/"), ("/sub?a=b", "/sub/?a=b"), ("/a%20b", "/a%20b/"), ("//sub", "/sub/"),
    ("/sub/deep", "/sub/deep/"),
])
def test_a_directory_without_its_slash(backend, target, location):
    answer = backend.get(target)
    assert (answer.status, answer.headers["Location"]) == (301, location)


@pytest.mark.parametrize("target", [
    "/nothing", "/file.txt/", "/file.txt/x", "/sub/deep/", "/fifo", "/../secret", "/sub/../../secret", "/%2e%2e/secret",
    "/..%2fsecret", "/%2e%2e%2fsecret", "/sub/..%2f..%2fsecret", "/./../secret", "/sub/../file.txt", "/" + "a" * 300,
    "/" + "a/" * 5000])
def test_not_there(backend, target):
    answer = backend.get(target)
    assert answer.status == 404
    assert b"secret" not in answer.body


@pytest.mark.parametrize("link, target, status", [
    ("in", "file.txt", 200),
    ("sub/up", "../file.txt", 200),
    ("out", "../secret", 404),
    ("sub/out", "../../secret", 404),
    ("absolute", "{directory}/secret", 404),
    ("absolute-inside", "{directory}/root/file.txt", 404),
    ("loop", "loop", 404),
    ("proc", "/proc/self/root/etc/passwd", 404),
])
def test_symbolic_links(backend, root, link, target, status):
    os.symlink(target.format(directory=root.parent), root / link)
    answer = backend.get("/" + link)
    assert answer.status == status
    assert answer.body == CONTENT or b"secret" not in answer.body and b"root:" not in answer.body


def test_a_directory_that_becomes_a_link(backend, root):
    """However fast the path changes, what is read is inside or nothing."""
    (root / "flip").mkdir()
    (root / "flip" / "secret").write_text("inside")
    (root / "real").symlink_to("..")
    connection = udsb_program.UnixConnection(backend.socket)
    script = ("i=0; while [ $i -lt 300 ]; do mv -T flip x; mv -T real flip; mv -T flip real; mv -T x flip; "
              "i=$((i+1)); done")
    with subprocess.Popen(["sh", "-c", script], cwd=root, stderr=subprocess.DEVNULL) as flipper:
        seen = set()
        while flipper.poll() is None:
            connection.request("GET", "/flip/secret")
            response = connection.getresponse()
            seen.add((response.status, response.read()))
    connection.close()
    assert seen <= {(200, b"inside"), (404, b"no such file\n")}
    assert (200, b"inside") in seen


def test_own_routes_go_first(backend):
    assert backend.get("/ux").text == "Hello via unix socket"
    answer = backend.get("/upload")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST, PUT, OPTIONS")
    answer = backend.request("POST", "/file.txt", body="x")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("value, first, last", [
    ("bytes=0-0", 0, 0), ("bytes=0-99", 0, 99), ("bytes=15990-", 15990, 15999), ("bytes=-5", 15995, 15999),
    ("bytes=100-999999", 100, 15999), ("bytes=-999999", 0, 15999),
])
def test_ranges(backend, value, first, last):
    answer = backend.get("/file.txt", Range=value)
    assert answer.status == 206
    assert answer.body == CONTENT[first:last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert "ETag" in answer.headers


@pytest.mark.parametrize("value", ["bytes=16000-", "bytes=99999-100000", "bytes=-0"])
def test_ranges_that_cannot_be(backend, value):
    answer = backend.get("/file.txt", Range=value)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(CONTENT)}"
    assert backend.get("/empty", Range="bytes=0-").status == 416


@pytest.mark.parametrize("value", ["bytes=5-2", "bytes=x", "lines=0-1", "bytes=0-1,5-6", "bytes"])
def test_ranges_that_are_ignored(backend, value):
    answer = backend.get("/file.txt", Range=value)
    assert (answer.status, answer.body) == (200, CONTENT)


def test_if_range(backend):
    tag = backend.get("/file.txt").headers["ETag"]
    for value, status in ((tag, 206), ('"other"', 200), ("W/" + tag, 200), ("Sun, 09 Sep 2001 01:46:40 GMT", 206),
                          ("Sun, 09 Sep 2001 01:46:41 GMT", 200)):
        assert backend.get("/file.txt", Range="bytes=0-9", If_Range=value).status == status


def test_resumed_download_with_curl(backend, directory):
    part = directory / "part"
    part.write_bytes(CONTENT[:5000])
    backend.curl("--continue-at", "-", "--output", str(part), "http://h/file.txt")
    assert part.read_bytes() == CONTENT


def test_conditions(backend):
    tag = backend.get("/file.txt").headers["ETag"]
    date = "Sun, 09 Sep 2001 01:46:40 GMT"
    earlier = "Sun, 09 Sep 2001 01:46:39 GMT"
    cases = [
        ({"If-None-Match": tag}, 304), ({"If-None-Match": "W/" + tag}, 304), ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x", ' + tag}, 304), ({"If-None-Match": '"x"'}, 200),
        ({"If-Modified-Since": date}, 304), ({"If-Modified-Since": earlier}, 200), ({"If-Modified-Since": "x"}, 200),
        ({"If-None-Match": '"x"', "If-Modified-Since": date}, 200),
        ({"If-Match": tag}, 200), ({"If-Match": '"x"'}, 412), ({"If-Match": "W/" + tag}, 412),
        ({"If-Unmodified-Since": date}, 200), ({"If-Unmodified-Since": earlier}, 412),
    ]
    for headers, status in cases:
        answer = backend.request("GET", "/file.txt", headers=headers)
        assert (headers, answer.status) == (headers, status)
        if status == 304:
            assert answer.body == b""
            assert answer.headers["ETag"] == tag
            assert answer.headers["Last-Modified"] == date


def test_the_tag_changes_with_the_file(backend, root):
    tags = {backend.get("/file.txt").headers["ETag"]}
    (root / "file.txt").write_bytes(CONTENT[::-1])
    tags.add(backend.get("/file.txt").headers["ETag"])
    (root / "new").write_bytes(CONTENT + b"x")
    (root / "new").rename(root / "file.txt")
    tags.add(backend.get("/file.txt").headers["ETag"])
    assert len(tags) == 3
    assert email.utils.parsedate_to_datetime(backend.get("/file.txt").headers["Last-Modified"])


def test_unreadable(start, root):
    (root / "file.txt").chmod(0o600)
    backend = start("--root", str(root), "--mode", "0666", wrapper=as_nobody(root.parent))
    assert backend.get("/file.txt").status == 403
    assert backend.get("/index.html").status == 200


def as_nobody(directory):
    """Lets a command run as a user to whom file modes apply. Where we are such a one already, nothing is needed."""
    if os.geteuid() != 0:
        pytest.fail("this test runs as root, and lets udsbackend run as another user")
    for path in (directory, directory / "log"):
        path.touch()
        shutil.chown(path, 65534, 65534)
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def test_sendfile_is_used(start, root):
    tracer = shutil.which("strace")
    assert tracer, "strace is not installed"
    if "asan" in os.environ.get("UDR_SANITIZE", ""):
        return  # the leak checker does not run under a tracer
    backend = start("--root", str(root), "--threads", "1",
                    wrapper=[tracer, "-f", "-e", "trace=sendfile", "-o", str(root.parent / "trace")])
    assert backend.get("/file.txt").body == CONTENT
    os.kill(child_of(backend.process.pid), 15)
    assert backend.wait() == 0
    assert f"= {len(CONTENT)}" in (root.parent / "trace").read_text()


def child_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_a_large_file_with_many_clients(backend, root):
    size = 64 << 20
    with open(root / "large", "wb") as file:
        file.truncate(size)
    clients = [connect(backend.socket) for _ in range(4)]
    for client in clients:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    for client in clients:
        assert len(read_all(client).partition(b"\r\n\r\n")[2]) == size
