# SPDX-License-Identifier: Apache-2.0
"""Header fields: which are passed on, added, rewritten, dropped; and what a request can log."""
import json
import os
import threading

import pytest

import udr_environment
from udr_client import Client, fetch

CONFIG = """
UDSRoute /app/ unix:{socket}|http://backend.internal/inner/
UDSRouteReverse /app/ http://backend.internal/inner/
UDSRouteReverseCookieDomain backend.internal www.example
UDSRouteReverseCookiePath /inner/ /app/
UDSRoute /port/ unix:{socket}|http://backend.internal:8080/
UDSRoute /eighty/ unix:{socket}|http://backend.internal:80/
UDSRoute /six/ unix:{socket}|http://[::1]:81/
UDSRoute /keep/ unix:{socket}|http://backend.internal/
UDSRoute /bare/ unix:{socket}|http://backend.internal/
<Location /keep/>
    UDSPreserveHost On
</Location>
<Location /bare/>
    UDSAddHeaders Off
</Location>
UDSRoute /by-path/ unix:{socket}|http://backend.internal/inner/
<Location /by-path/>
    UDSRouteReverse /inner/
</Location>
<Location /located>
    UDSRoute unix:{socket}|http://backend.internal/deep
    UDSRouteReverse http://backend.internal/deep
</Location>
UDSRoute / unix:{socket}|http://localhost/
"""

BALANCER_CONFIG = """
<UDSBalancer app>
    UDSMember unix:{socket}|http://localhost/
    UDSMember unix:{socket}|ws://localhost:8080/base/
</UDSBalancer>
UDSRoute /app/ balancer://app/
UDSRoute /in/ balancer://app/inner/
UDSRouteReverse /in/ balancer://App/inner/
UDSRouteReverse /app/ balancer://app/
<Location /located>
    UDSRoute balancer://app/located
    UDSRouteReverse balancer://app/located
</Location>
"""


@pytest.fixture(scope="module")
def backend(module_sandbox):
    """Answers with the field lines that the request asks for in X-Answer, a JSON list."""

    def behave(exchange):
        lines = json.loads(exchange.request.get("X-Answer", "[]"))
        exchange.respond(body="ok", fields=[tuple(line) for line in lines])

    return module_sandbox.scripted("headers", behave)


@pytest.fixture(scope="module")
def httpd(module_sandbox, backend):
    return module_sandbox.httpd(CONFIG.format(socket=backend.address))


@pytest.fixture(scope="module")
def balancer_httpd(module_sandbox, backend):
    return module_sandbox.httpd(BALANCER_CONFIG.format(socket=backend.address))


def received(httpd, backend, target="/x", fields=(), **options):
    """What the backend gets of a request."""
    fetch(httpd.port, target, fields=fields, **options)
    return backend.requests[-1]


def answered(httpd, lines, target="/x", **options):
    """What the client gets when the backend answers with these field lines."""
    return fetch(httpd.port, target, fields=[("X-Answer", json.dumps(lines))], **options)


# --- Host and X-Forwarded ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target,host",
    [
        ("/app/x", "backend.internal"),
        ("/port/x", "backend.internal:8080"),
        ("/eighty/x", "backend.internal"),
        ("/six/x", "[::1]:81"),
        ("/x", "localhost"),
        ("/keep/x", "www.example:1234"),
    ],
)
def test_host(httpd, backend, target, host):
    """The target's, unless the client's is to be preserved."""
    assert received(httpd, backend, target, host="www.example:1234").get("Host") == host


def test_host_of_a_client_without_one(httpd, backend):
    """HTTP/1.0 knows requests without Host: there is one for the backend all the same."""
    assert received(httpd, backend, "/keep/x", host=None, version="1.0").get("Host")


def test_forwarded_fields(httpd, backend):
    request = received(httpd, backend, host="www.example:1234")
    assert request.get("X-Forwarded-For") == "127.0.0.1"
    assert request.get("X-Forwarded-Host") == "www.example:1234"
    assert request.get("X-Forwarded-Server") == "localhost"
    assert request.get("X-Forwarded-Proto") == "http"


def test_forwarded_fields_continue_those_of_a_proxy_before(httpd, backend):
    request = received(
        httpd, backend, fields=[("X-Forwarded-For", "192.0.2.1, 192.0.2.2"), ("X-Forwarded-Host", "first.example")]
    )
    assert request.get("X-Forwarded-For") == "192.0.2.1, 192.0.2.2, 127.0.0.1"
    assert request.get("X-Forwarded-Host") == "first.example, localhost"


def test_forwarded_fields_can_be_switched_off(httpd, backend):
    request = received(httpd, backend, "/bare/x")
    assert not [name for name, _ in request.fields if name.lower().startswith("x-forwarded")]


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name,value",
    [
        ("Cookie", "a=b; c=d"),
        ("Authorization", "Basic eDp5"),
        ("Accept-Encoding", "gzip, br"),
        ("User-Agent", "test/1"),
        ("Referer", "http://a/"),
        ("X-Odd", "spaces  inside\tand tab"),
        ("X-Latin", "\xe4\xf6\xfc"),
        ("X-Empty", ""),
        ("Range", "bytes=0-1"),
        ("If-None-Match", '"a"'),
        ("Content-Type", "text/x-odd; a=b"),
        ("Cache-Control", "no-cache"),
        ("X-Long", "v" * 8000),
    ],
)
def test_end_to_end_request_field(httpd, backend, name, value):
    assert received(httpd, backend, fields=[(name, value)]).get(name) == value


def test_repeated_request_field(httpd, backend):
    request = received(httpd, backend, fields=[("X-Multi", "1"), ("X-Multi", "2")])
    assert [value.strip() for field in request.all("X-Multi") for value in field.split(",")] == ["1", "2"]


@pytest.mark.parametrize(
    "fields,dropped",
    [
        ([("Keep-Alive", "timeout=5")], ["Keep-Alive"]),
        ([("Proxy-Connection", "keep-alive")], ["Proxy-Connection"]),
        ([("Connection", "X-Mine, x-other"), ("X-Mine", "1"), ("X-Other", "2")], ["X-Mine", "X-Other"]),
        ([("Connection", "X-One"), ("Connection", "X-Two"), ("X-One", "1"), ("X-Two", "2")], ["X-One", "X-Two"]),
        ([("Connection", "keep-alive, ,X-Mine ,"), ("X-Mine", "1")], ["X-Mine"]),
        ([("Upgrade", "other/1"), ("Connection", "Upgrade")], ["Upgrade"]),
        ([("Upgrade", "h2c")], ["Upgrade"]),
        ([("TE", "gzip;q=0.5")], ["TE"]),
        ([("Proxy", "http://evil:8080")], ["Proxy"]),
        ([("pRoXy", "http://evil:8080")], ["Proxy"]),
    ],
)
def test_hop_by_hop_request_field(httpd, backend, fields, dropped):
    request = received(httpd, backend, fields=fields)
    assert not [name for name in dropped if request.has(name)]
    assert all(value.lower() in ("close", "keep-alive", "te") for value in request.all("Connection"))


def test_connection_field_can_not_remove_what_must_be_there(httpd, backend):
    request = received(
        httpd,
        backend,
        method="POST",
        body=b"hello",
        fields=[("Connection", "Host, Content-Length, Transfer-Encoding, X-Forwarded-For")],
    )
    assert (
        request.get("Host") == "localhost"
        and request.body == b"hello"
        and request.get("X-Forwarded-For") == "127.0.0.1"
    )


# --- responses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name,value",
    [
        ("ETag", '"a"'),
        ("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("Cache-Control", "max-age=1"),
        ("Vary", "Accept"),
        ("X-Latin", "\xe4"),
        ("Content-Language", "de"),
        ("Content-Encoding", "x-mine"),
        ("Allow", "GET"),
        ("WWW-Authenticate", 'Basic realm="a, b"'),
        ("X-Long", "v" * 7000),
        ("Content-Type", "text/x-odd; a=b"),
        ("Content-Disposition", 'attachment; filename="a"'),
        ("Access-Control-Allow-Origin", "*"),
    ],
)
def test_end_to_end_response_field(httpd, name, value):
    assert answered(httpd, [[name, value]]).get(name) == value


def test_date_of_the_backend_is_kept(httpd):
    response = answered(httpd, [["Date", "Thu, 01 Jan 1970 00:00:00 GMT"]])
    assert response.get("Date") == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_response_without_content_type_stays_without(httpd):
    """httpd must not invent one: browsers would believe it."""
    assert not answered(httpd, []).has("Content-Type")


def test_repeated_set_cookie(httpd):
    cookies = ["a=1; Path=/", "b=2; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=3"]
    assert answered(httpd, [["Set-Cookie", cookie] for cookie in cookies]).all("Set-Cookie") == cookies


def test_repeated_www_authenticate(httpd):
    values = ["Negotiate", 'Basic realm="x"']
    assert answered(httpd, [["WWW-Authenticate", value] for value in values]).all("WWW-Authenticate") == values


@pytest.mark.parametrize(
    "lines,dropped",
    [
        ([["Keep-Alive", "timeout=99"]], "timeout=99"),
        ([["Connection", "X-Mine"], ["X-Mine", "secret"]], "secret"),
        ([["Connection", "keep-alive, X-Mine"], ["x-mine", "secret"]], "secret"),
        ([["Proxy-Connection", "secret"]], "secret"),
        ([["Upgrade", "secret/1"]], "secret"),
        ([["Connection", "Set-Cookie"], ["Set-Cookie", "secret=1"]], "secret"),
    ],
)
def test_hop_by_hop_response_field(httpd, lines, dropped):
    response = answered(httpd, lines)
    assert response.status == 200
    assert dropped not in str(response.fields)


def test_connection_of_the_backend_can_not_remove_the_framing(httpd):
    with Client(httpd.port) as client:
        lines = [["Connection", "Content-Length"]]
        response = client.fetch("/x", fields=[("X-Answer", json.dumps(lines))])
        assert response.body == b"ok"
        assert client.fetch("/x").body == b"ok"


# --- reverse ----------------------------------------------------------------------------------------------------------


def public(httpd, path):
    return f"http://localhost:{httpd.port}{path}"


@pytest.mark.parametrize("name", ["Location", "Content-Location", "URI"])
@pytest.mark.parametrize(
    "value,path",
    [
        ("http://backend.internal/inner/next", "/app/next"),
        ("http://backend.internal/inner/", "/app/"),
        ("http://backend.internal/inner/a?b=http://backend.internal/inner/", "/app/a?b=http://backend.internal/inner/"),
    ],
)
def test_reverse(httpd, name, value, path):
    response = answered(httpd, [[name, value]], "/app/x", host=f"localhost:{httpd.port}")
    assert response.get(name) == public(httpd, path)


def test_reverse_refresh(httpd):
    response = answered(
        httpd, [["Refresh", "5; url=http://backend.internal/inner/next"]], "/app/x", host=f"localhost:{httpd.port}"
    )
    assert response.get("Refresh") == "5; url=" + public(httpd, "/app/next")


@pytest.mark.parametrize(
    "value",
    [
        "http://elsewhere.example/inner/next",
        "/inner",
        "http://backend.internal/other",
        "https://backend.internal/inner/",
        "mailto:a@b",
        "http://backend.internal.evil.example/inner/",
    ],
)
def test_reverse_leaves_other_places_alone(httpd, value):
    assert answered(httpd, [["Location", value]], "/app/x").get("Location") == value


def test_reverse_of_a_path(httpd):
    """UDSRouteReverse with a path in place of a URL: whatever the host, and for places without one."""
    for value in ("/inner/next", "http://backend.internal/inner/next"):
        location = answered(httpd, [["Location", value]], "/by-path/x", host=f"localhost:{httpd.port}").get("Location")
        assert location == public(httpd, "/by-path/next")


def test_reverse_in_a_location(httpd):
    response = answered(
        httpd, [["Location", "http://backend.internal/deep/next"]], "/located/x", host=f"localhost:{httpd.port}"
    )
    assert response.get("Location") == public(httpd, "/located/next")


@pytest.mark.parametrize(
    "value,path",
    [
        ("http://localhost/next", "/app/next"),
        ("http://localhost:8080/base/next", "/app/next"),
        ("http://localhost:8080/other", None),
        ("http://localhost/inner/next", "/in/next"),
        ("http://localhost:8080/base/inner/next", "/in/next"),
        ("http://elsewhere.example/next", None),
        ("balancer://app/next", None),
    ],
)
def test_reverse_of_a_balancer(balancer_httpd, value, path):
    """Whatever any of its members says, not only the one that was asked."""
    for target in ("/app/x", "/in/x"):
        location = answered(balancer_httpd, [["Location", value]], target, host=f"localhost:{balancer_httpd.port}")
        assert location.get("Location") == (public(balancer_httpd, path) if path else value)


def test_reverse_of_a_balancer_in_a_location(balancer_httpd):
    response = answered(balancer_httpd, [["Location", "http://localhost:8080/base/located/next"]], "/located/x",
                        host=f"localhost:{balancer_httpd.port}")
    assert response.get("Location") == public(balancer_httpd, "/located/next")


def test_fields_that_are_no_places_are_not_reversed(httpd):
    value = "http://backend.internal/inner/next"
    response = answered(httpd, [["X-Location", value], ["Link", f"<{value}>"]], "/app/x")
    assert response.get("X-Location") == value and response.get("Link") == f"<{value}>"


@pytest.mark.parametrize(
    "before,after",
    [
        ("a=b; Domain=backend.internal; Path=/inner/", "a=b; Domain=www.example; Path=/app/"),
        (
            "a=b; path=/inner/x; domain=backend.internal; Secure; HttpOnly; SameSite=Lax",
            "a=b; path=/app/x; domain=www.example; Secure; HttpOnly; SameSite=Lax",
        ),
        ("a=b; Path=/other", "a=b; Path=/other"),
        ("a=b; Domain=elsewhere.example", "a=b; Domain=elsewhere.example"),
        ("a=b", "a=b"),
        ("path=/inner/; Path=/inner/", "path=/inner/; Path=/app/"),
    ],
)
def test_reverse_cookie(httpd, before, after):
    assert answered(httpd, [["Set-Cookie", before]], "/app/x").all("Set-Cookie") == [after]


def test_reverse_of_every_cookie(httpd):
    lines = [["Set-Cookie", f"c{number}=1; Path=/inner/"] for number in range(3)]
    assert answered(httpd, lines, "/app/x").all("Set-Cookie") == [f"c{number}=1; Path=/app/" for number in range(3)]


# --- Via --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode,request_via,response_via",
    [
        ("Off", ["1.0 before"], ["1.1 behind"]),
        ("Block", [], []),
        ("On", ["1.0 before, 1.1 localhost"], ["1.1 behind, 1.1 localhost"]),
    ],
)
def test_via(sandbox, mode, request_via, response_via):
    backend = sandbox.scripted("via", lambda exchange: exchange.respond(fields=[("Via", "1.1 behind")]))
    httpd = sandbox.httpd(f"UDSVia {mode}\nUDSRoute / unix:{backend.address}|http://localhost/")
    response = fetch(httpd.port, "/x", fields=[("Via", "1.0 before")])
    assert backend.requests[0].all("Via") == request_via
    assert response.all("Via") == response_via


def test_via_full_tells_the_version(sandbox):
    backend = sandbox.scripted("via")
    httpd = sandbox.httpd(f"ServerTokens Prod\nUDSVia Full\nUDSRoute / unix:{backend.address}|http://localhost/")
    response = fetch(httpd.port, "/x", version="1.0")
    assert backend.requests[0].get("Via") == "1.0 localhost (Apache)"
    assert response.get("Via") == "1.1 localhost (Apache)"


def test_via_is_off_by_default(httpd, backend):
    request = received(httpd, backend)
    assert not request.has("Via") and not answered(httpd, []).has("Via")


# --- what a request can log -------------------------------------------------------------------------------------------


VARIABLES = ["MEMBER", "ATTEMPTS", "QUEUE_US", "CONNECT_US", "TTFB_US", "TOTAL_US", "PARKED"]


def logged(httpd, count):
    """The access log as dictionaries of the variables."""
    return [dict(zip(VARIABLES, line.split())) for line in httpd.access_lines(count)]


def log_httpd(sandbox, backend, parameters=""):
    form = " ".join(f"%{{UDSROUTE_{name}}}e" for name in VARIABLES)
    return sandbox.httpd(f"UDSRoute / unix:{backend}|http://localhost/ {parameters}", access_log=form)


def test_log_environment(sandbox):
    released = threading.Event()

    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")
        released.wait(0.05)
        exchange.send(b"ok")

    backend = sandbox.scripted("log", behave)
    httpd = log_httpd(sandbox, backend.address)
    with Client(httpd.port) as client:
        for _ in range(2):
            assert client.fetch("/x").body == b"okok"
    first, second = logged(httpd, 2)
    for entry in (first, second):
        assert f"unix:{backend.address}" in entry["MEMBER"]
        assert entry["ATTEMPTS"] == "1" and entry["PARKED"] in ("0", "1")
        numbers = {name: int(entry[name]) for name in VARIABLES if name.endswith("_US")}
        assert all(0 <= number < 20_000_000 for number in numbers.values())
        assert numbers["QUEUE_US"] + numbers["CONNECT_US"] <= numbers["TTFB_US"] < numbers["TOTAL_US"]
        assert numbers["TOTAL_US"] >= 40_000
    assert int(first["CONNECT_US"]) > 0
    assert second["CONNECT_US"] == "0", "reused"


def test_log_environment_of_a_failure(sandbox):
    path = sandbox.socket("absent")
    httpd = log_httpd(sandbox, path)
    assert fetch(httpd.port, "/x").status == 503
    entry = logged(httpd, 1)[0]
    assert f"unix:{path}" in entry["MEMBER"] and entry["ATTEMPTS"] == "1"
    assert 0 <= int(entry["TOTAL_US"]) < 20_000_000
    httpd.log.expect(rf"UDR\d{{4}}.*{path}")


def test_log_environment_of_a_second_attempt(sandbox):
    def behave(exchange):
        if exchange.connection.number == 1 and exchange.request.target == "/again":
            exchange.close()
        else:
            exchange.respond()

    backend = sandbox.scripted("log", behave)
    httpd = log_httpd(sandbox, backend.address)
    with Client(httpd.port) as client:
        assert client.fetch("/x").status == 200
        assert client.fetch("/again").status == 200
    assert [entry["ATTEMPTS"] for entry in logged(httpd, 2)] == ["1", "2"]


def test_log_environment_of_a_wait_for_a_turn(sandbox):
    go = threading.Event()

    def behave(exchange):
        go.wait(20)
        exchange.respond()

    backend = sandbox.scripted("log", behave)
    form = " ".join(f"%{{UDSROUTE_{name}}}e" for name in VARIABLES)
    httpd = sandbox.httpd(
        f"UDSRoute / unix:{backend.address}|http://localhost/ max=1 acquire=20s",
        access_log=form,
        mpm=udr_environment.threaded_mpm(),
        udsroute_log_level="trace5",
    )
    with Client(httpd.port) as first, Client(httpd.port) as second:
        first.send_request("GET", "/x")
        backend.wait_for_requests(1)
        second.send_request("GET", "/y")
        httpd.log.expect("waiting for a turn")
        assert second.quiet(0.3)
        go.set()
        assert first.read_response().status == second.read_response().status == 200
    waits = sorted(int(entry["QUEUE_US"]) for entry in logged(httpd, 2))
    assert waits[0] < 100_000 <= waits[1]


def test_trace_tells_the_story_of_a_request(sandbox):
    """LogLevel udsroute:trace5: route, pick, pool, connect, head, relay, release."""
    backend = sandbox.scripted("trace")
    httpd = sandbox.httpd(f"UDSRoute / unix:{backend.address}|http://localhost/", udsroute_log_level="trace5")
    with Client(httpd.port) as client:
        assert (
            client.fetch("/x").status == client.fetch("/x").status == 200
        )  # on a new connection, and on one of the pool
    httpd.log.expect(r"\[udsroute:trace\d\].*release", times=2)
    story = "\n".join(line.raw for line in httpd.log.lines() if line.level.startswith("trace"))
    for step in ("route", "pick", "pool", "connect", "head", "relay", "release"):
        assert step in story, f"{step} is not told:\n{story}"
    assert os.path.basename(backend.address) in story
