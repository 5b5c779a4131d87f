# SPDX-License-Identifier: Apache-2.0
"""What PHP answers reaches the client as it was meant, when it was meant; what it says to the error log is there."""
import gzip
import json
import os
import re
import signal
import time

import pytest

import udr_environment
from udr_client import Client, fetch
from udr_php import start_fpm, start_site
from udr_processes import wait_until

# Larger fields than httpd and the member's settings take by default; connections for one request each.
CONFIG = """
LimitRequestFieldSize 66000
<Files "finish.php">
  SetEnv proxy-nokeepalive 1
</Files>
UDSRoute "/set/" "unix:@SOCKET@|fcgi://localhost@SITE@/" responsefieldsize=70K disablereuse=On
"""
MESSAGE = re.compile(r"UDR0069: member unix:\S+ says: (.*)")


@pytest.fixture(scope="module", params=udr_environment.RUNNERS)
def httpd(module_sandbox, request):
    return start_site(module_sandbox, request.param, children=24, config=CONFIG, access_log="%X %>s %B")


def answer(httpd, how, method="GET"):
    return fetch(httpd.port, f"/answer.php?how={how}", method)


def marks(httpd, name):
    """A file by which a script and a test tell each other something; PHP may write it."""
    path = httpd.fpm.root / "tmp" / name
    path.unlink(missing_ok=True)
    return path


def content(path):
    wait_until(lambda: path.exists() and path.read_text(), f"{path} to be written")
    return path.read_text()


# --- heads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("code", [200, 204, 304, 404, 503])
def test_status(httpd, method, code):
    response = answer(httpd, f"status&code={code}", method)
    assert (response.status, response.body, response.complete) == (code, b"", True)
    assert not response.has("Status")
    if code in (204, 304):
        assert not response.has("Content-Length") and not response.has("Transfer-Encoding")


def test_status_with_a_reason_of_its_own(httpd):
    response = answer(httpd, "status-text")
    assert (response.status, response.reason, response.text) == (418, "I am a teapot", "tea")


@pytest.mark.parametrize(
    "how, status, location",
    [
        ("location", 302, "https://elsewhere.example/x"),
        ("location-301", 301, "https://elsewhere.example/x"),
        ("local", 302, "/vars.php/behind?redirected"),  # PHP says its status: the client is to follow
    ],
)
def test_location(httpd, how, status, location):
    response = answer(httpd, how)
    assert (response.status, response.get("Location")) == (status, location)


def test_all_cookies_arrive(httpd):
    assert answer(httpd, "cookies").all("Set-Cookie") == [f"c{n}={n}; path=/" for n in range(1, 61)]


def test_no_output(httpd):
    response = answer(httpd, "nothing")
    assert (response.status, response.body, response.complete) == (200, b"", True)


@pytest.mark.parametrize("how", ["gzip", "length&bytes=100000", "text", "large&mib=1"])
def test_head_is_as_get_without_body(httpd, how):
    with Client(httpd.port) as client:
        whole = client.fetch(f"/answer.php?how={how}")
        head = client.fetch(f"/answer.php?how={how}", "HEAD")
        assert head.body == b"" and head.status == whole.status == 200
        assert head.get("Content-Type") == whole.get("Content-Type")
        if how.startswith(("gzip", "length")):
            assert head.get("Content-Length") == whole.get("Content-Length") == str(len(whole.body))
        assert client.fetch("/answer.php?how=text").text == "hello"


def test_gzip(httpd):
    response = answer(httpd, "gzip")
    assert response.get("Content-Encoding") == "gzip" and response.framing == "length"
    assert gzip.decompress(response.body) == b"hello " * 1000


def test_large_request_head(httpd):
    """More than one of FastCGI's records takes: PHP-FPM wants each variable whole within one."""
    fields = [("X-Large", "h" * 65000), *((f"X-Other-{n}", "o" * 900) for n in range(70))]
    lengths = json.loads(fetch(httpd.port, "/answer.php?how=echo-fields", fields=fields).body)
    assert [lengths.get(name) for name, _ in fields] == [65000, *[900] * 70]


def test_response_head_of_many_fields(httpd):
    response = answer(httpd, "head&kib=64")
    assert (response.status, response.text) == (200, "large head")
    assert sum(name.startswith("X-Large-") and value == "h" * 1000 for name, value in response.fields) == 64


def test_response_head_with_a_large_field(httpd):
    response = fetch(httpd.port, "/set/answer.php?how=field&kib=64")
    assert (response.status, response.get("X-Large")) == (200, "h" * 65536)
    assert answer(httpd, "field&kib=64").status == 502
    httpd.log.expect(r"UDR\d{4}: member unix:\S+: .*responsefieldsize")


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_fifty_mebibytes(httpd):
    position = 0

    def take(piece):
        nonlocal position
        while piece:
            block = position // 1048576
            part = piece[: 1048576 - position % 1048576]
            assert part == bytes([64 + (50 - block) % 64]) * len(part), f"byte {position}"
            position += len(part)
            piece = piece[len(part) :]

    with Client(httpd.port) as client:
        assert client.fetch("/answer.php?how=large&mib=50", sink=take).complete
        assert position == 50 << 20
        assert client.fetch("/answer.php?how=text").text == "hello"


def test_each_flush_is_seen_as_it_happens(httpd):
    """PHP says something each 100 ms. A relay that collects would hand over all of it at once, at the end. (Where the
    machine stalls, several are there at once: once more.)"""

    def comes_in_time():
        pieces, times = [], []
        with Client(httpd.port) as client:
            sink = lambda piece: (pieces.append(piece), times.append(time.monotonic()))
            assert client.fetch("/stream.php?count=6", sink=sink).complete
        assert b"".join(pieces) == b"".join(b"data: %d\n\n" % number for number in range(1, 7))
        pauses = sum(later - earlier > 0.03 for earlier, later in zip(times, times[1:]))
        return len(times) == 6 and times[-1] - times[0] > 0.35 and pauses >= 4

    assert any(comes_in_time() for _ in range(5))


@pytest.mark.parametrize("base", ["/", "/set/"], ids=["proxy-nokeepalive", "disablereuse"])
def test_script_that_goes_on_after_its_answer(httpd, base):
    """Its process takes nothing else meanwhile, also not by the connection that it still has: it may not be kept."""
    mark, go_on = marks(httpd, "finished"), marks(httpd, "go-on")
    with Client(httpd.port) as client:
        response = client.fetch(f"{base}finish.php?mark={mark}&wait={go_on}")
        assert (response.text, response.complete) == ("done", True)
        assert not mark.exists(), "the answer came when the script had ended"
        for _ in range(3):
            assert client.fetch(f"{base}answer.php?how=text").text == "hello"
        assert not mark.exists()
        go_on.write_text("")
        assert content(mark) == "went on"


# --- the error log ----------------------------------------------------------------------------------------------------


def said(httpd):
    """What PHP has said, as it stands in the log, put together again where a long line was cut."""
    return "".join(match.group(1) for match in map(MESSAGE.search, httpd.log.text().splitlines()) if match)


@pytest.mark.parametrize("between", ["", "&between"], ids=["alone", "between output"])
def test_ten_thousand_messages(httpd, between):
    """PHP-FPM joins those of one record with '; ', into lines of any length."""
    httpd.log.allow("UDR0069")
    response = fetch(httpd.port, f"/log.php?lines=10000{between}")
    out = [f"out {n}" for n in range(1, 10001)] if between else []
    assert response.complete and response.text.splitlines() == [*out, "end"]
    wait_until(lambda: "line 10000 of many" in said(httpd), "the last message")
    assert re.findall(r"PHP message: line (\d+) of many", said(httpd)) == [str(n) for n in range(1, 10001)]
    longest = max(len(line.raw) for line in httpd.log.find("UDR0069"))
    assert longest < 8192, "httpd would have cut it"


def test_script_that_is_not_there(sandbox):
    """A directory in the target that is none of PHP's: PHP-FPM does not say which file it has looked for."""
    fpm = start_fpm(sandbox)
    httpd = sandbox.httpd(f'UDSRoute /shop "unix:{fpm.socket}|fcgi://localhost/srv/no-such"')
    assert fetch(httpd.port, "/shop/cart.php?a=1").status == 404
    httpd.log.expect(r"UDR0069: \S+ \S+ says: Primary script unknown \(/srv/no-such/cart\.php: is there such a file")


def test_fatal_error(httpd):
    response = answer(httpd, "fatal")
    assert response.status == 500
    httpd.log.expect(r"UDR0069: member unix:\S+\|fcgi://localhost says: PHP message: PHP Fatal error:  Uncaught Error")
    for line in (r"says: Stack trace:", r"says: #0 \{main\}", r"says:   thrown in \S+answer\.php on line \d+"):
        httpd.log.expect(line)


def test_fatal_error_after_output(httpd):
    """The status has been said: what there was arrives, and the log tells."""
    httpd.log.allow("UDR0069")
    with Client(httpd.port) as client:
        response = client.fetch("/answer.php?how=fatal-late")
        assert (response.status, response.body) == (200, b"." * 70000)
        assert client.fetch("/answer.php?how=text").text == "hello"
    assert "Uncaught Error" in said(httpd)


def test_time_limit(httpd):
    assert answer(httpd, "time").status == 500
    httpd.log.expect("UDR0069.*Maximum execution time of 1 second exceeded")


def test_exit(httpd):
    with Client(httpd.port) as client:
        assert client.fetch("/answer.php?how=exit&code=3").text == "before"
        assert client.fetch("/answer.php?how=exit-text").text == "the last words"


def test_worker_is_killed(httpd):
    """A script that has begun is not begun again where that could do harm; the client learns of it."""
    httpd.fpm.allow(r"WARNING: .*exited on signal 9")
    mark, never = marks(httpd, "begun"), marks(httpd, "never")
    with Client(httpd.port) as client:
        client.send_request("POST", f"/answer.php?how=wait&mark={mark}&for={never}", body=b"once")
        os.kill(int(content(mark)), signal.SIGKILL)
        assert client.read_response().status == 502
    httpd.log.expect(r"UDR0007: member unix:\S+: connection closed by the member")
    assert answer(httpd, "text").text == "hello"
