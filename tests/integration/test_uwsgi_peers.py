# SPDX-License-Identifier: Apache-2.0
"""uWSGI, which speaks its own protocol, SCGI, FastCGI and HTTP; and what mod_proxy_uwsgi and mod_proxy_scgi make of the
same requests."""
import hashlib
import json
import os

import pytest

from udr_balancers import Load
from udr_client import Client, curl, fetch
from udr_health import INTERVAL, LATE, STATUS, fall_ill, undisturbed, wait_for_state
from udr_uwsgi import command, environment, start_uwsgi, target, wait_until_stoppable

SCHEMES = ("uwsgi", "scgi", "fcgi", "http")
CGI = SCHEMES[:3]
OURS, THEIRS = "127.0.0.1", "127.0.0.2"
APPLICATION = "SetEnv proxy-fcgi-pathinfo 1\n"  # FastCGI's: no script, but one program


@pytest.fixture(scope="module")
def sockets(module_sandbox):
    return start_uwsgi(module_sandbox)[1]


@pytest.fixture(scope="module")
def httpd(module_sandbox, sockets):
    routes = "".join(f"UDSRoute /{scheme}/ {target(sockets, scheme)}\n" for scheme in SCHEMES)
    return module_sandbox.httpd(APPLICATION + routes)


@pytest.fixture(params=SCHEMES)
def scheme(request):
    return request.param


# --- responses --------------------------------------------------------------------------------------------------------


def test_many_fields(httpd, scheme):
    response = fetch(httpd.port, f"/{scheme}/headers")
    assert (response.status, response.reason) == (302, "Moved About")
    assert response.all("Set-Cookie") == [f"c{number}=v; Path=/" for number in range(50)]
    assert response.all("X-A") == ["1", "2"] and response.get("X-Latin") == "\xe4"
    assert response.get("X-Long") == "b" * 5000 and not response.has("Status")


@pytest.mark.parametrize("code", [200, 204, 304, 404, 500, 503, 599])
def test_status(httpd, scheme, code):
    for _ in range(2):
        response = fetch(httpd.port, f"/{scheme}/status/{code}")
        assert (response.status, response.reason, response.body) == (code, "As Told", b"")
        assert response.get("X-Told") == str(code)


def test_head(httpd, scheme):
    with Client(httpd.port) as client:
        for _ in range(2):
            response = client.fetch(f"/{scheme}/bytes/100000", "HEAD")
            assert (response.status, response.get("Content-Length"), response.body) == (200, "100000", b"")
        assert client.fetch(f"/{scheme}/bytes/3").body == bytes(3)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 5_000_000])
def test_bytes(httpd, scheme, size):
    response = fetch(httpd.port, f"/{scheme}/bytes/{size}")
    assert response.complete and response.body == bytes(size)


def test_stream(httpd, scheme, sandbox):
    """What has been sent reaches the client before there is more."""
    signal = sandbox.root / "go"
    with Client(httpd.port) as client:
        client.send_request("GET", f"/{scheme}/stream?{signal}")
        while b"first\n" not in client.stream.buffer:
            assert client.stream.fill(), "nothing came"
        assert b"second" not in client.stream.buffer
        signal.write_text("")
        response = client.read_response()
    assert response.body == b"first\nsecond\n" and response.complete


def test_exception(httpd, scheme):
    """uWSGI closes without an answer. It is not said to speak another protocol for that; but it could."""
    response = fetch(httpd.port, f"/{scheme}/raise")
    assert response.status == 502 and response.complete
    line = httpd.log.expect(r"UDR000[78]: member .*(closed before any byte|ended without an answer)")
    assert "which speaks" not in line.text
    if scheme in ("scgi", "http"):
        assert "see the log of uWSGI" in line.text


def test_exception_within_the_body(httpd, scheme):
    response = fetch(httpd.port, f"/{scheme}/raise-late")
    assert response.status == 502 or not response.complete and b"begun".startswith(response.body)
    httpd.log.expect(r"UDR000[78].*within the body")


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_echo(httpd, scheme, method):
    assert fetch(httpd.port, f"/{scheme}/echo", method, body=b"hello").body == b"hello"
    assert fetch(httpd.port, f"/{scheme}/echo", method, body=b"").body == b""


# uWSGI's http-socket hands chunks only to applications that ask for them.
@pytest.mark.parametrize("scheme,is_chunked", [*((scheme, False) for scheme in SCHEMES), *((s, True) for s in CGI)])
def test_upload(httpd, scheme, is_chunked):
    """Of 20 MiB, with a length and in chunks."""
    block = os.urandom(1 << 20)
    pieces = [block] * 20
    response = fetch(httpd.port, f"/{scheme}/digest", "POST", body=pieces if is_chunked else b"".join(pieces))
    assert response.text == f"{20 << 20} {hashlib.sha256(b''.join(pieces)).hexdigest()}"


@pytest.mark.parametrize("scheme", CGI)
def test_expectation(httpd, scheme):
    """The client hears 100 Continue: from httpd, as the protocol knows none."""
    with Client(httpd.port) as client:
        head = f"POST /{scheme}/echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        client.send(head.encode())
        assert client.read_interim().status == 100
        client.send(b"hello")
        response = client.read_response()
        assert (response.body, response.interim) == (b"hello", [])


def test_curl(httpd, scheme):
    answer = curl("--data-binary", "x" * 5000, httpd.url(f"/{scheme}/echo"))
    assert answer.body == b"x" * 5000


# --- variables --------------------------------------------------------------------------------------------------------

_HOST = """
<VirtualHost {address}:{port}>
  ServerName {name}:{public}
  UseCanonicalName On
  AllowEncodedSlashes {slashes}
  {tls}
  <Location /user/>
    AuthType Basic
    AuthName test
    AuthUserFile {passwords}
    Require valid-user
  </Location>
  {routes}
</VirtualHost>
"""
MODULES = ("proxy", "proxy_uwsgi", "proxy_scgi", "auth_basic", "authn_file", "authz_user")
PASSWORDS = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"  # "secret"
# The route's path -> the target's.
MOUNTS = {"/app/": "/", "/bare": "", "/deep/er/": "/", "/to/": "/inner/", "/user/": "/", "/same/": "/same/"}
ROOT = "/"  # last: with mod_proxy the first that fits counts


def _routes(sockets, scheme, is_ours):
    word = "UDSRoute" if is_ours else "ProxyPass"
    pairs = [*MOUNTS.items(), (ROOT, "/")]
    return "\n  ".join(f"{word} {path} {target(sockets, scheme, inner)}" for path, inner in pairs)


@pytest.fixture(scope="module", params=["uwsgi", "scgi"])
def sites(request, module_sandbox, sockets):
    """Ours and theirs, each at an address of its own."""
    passwords = module_sandbox.root / "passwords"
    passwords.write_text(PASSWORDS)
    passwords.chmod(0o644)
    text = f"Listen {THEIRS}:@PORT@\nListen {THEIRS}:@TLSPORT@\n"
    for address in (OURS, THEIRS):
        routes = _routes(sockets, request.param, address == OURS)
        fixed = {"address": address, "passwords": passwords, "routes": routes}
        for name, slashes in (("localhost", "Off"), ("decoding", "On"), ("keeping", "NoDecode")):
            text += _HOST.format(**fixed, port="@PORT@", name=name, slashes=slashes, tls="", public=80)
        tls = 'SSLEngine On\n  SSLCertificateFile "cert.pem"\n  SSLCertificateKeyFile "key.pem"'
        text += _HOST.format(**fixed, port="@TLSPORT@", name="localhost", slashes="Off", tls=tls, public=443)
    httpd = module_sandbox.httpd(text, modules=MODULES, tls=True, threads=8)
    return httpd, request.param


def ask(httpd, address, path, host="localhost", fields=(), tls=False):
    with Client(httpd.tls_port if tls else httpd.port, tls, host=address) as client:
        response = client.fetch(path, fields=fields, host=host)
    is_answer = response.get("Content-Type") == "application/json"
    return response.status, json.loads(response.body) if is_answer else None


# A path -> SCRIPT_NAME and PATH_INFO. As PEP 3333 has them: together they are the path that the client has asked for,
# but where the target has a path of its own. PATH_INFO's characters are bytes.
VARIABLES = {
    "/": ("", "/"),
    "/x": ("", "/x"),
    "/x/y?z=1": ("", "/x/y"),
    "/a%20b/%C3%A4": ("", "/a b/\xc3\xa4"),
    "/a%3Fb?c": ("", "/a?b"),
    "/%2541": ("", "/%41"),
    "/a;b=c/d+e": ("", "/a;b=c/d+e"),
    "/app/": ("/app", "/"),
    "/app/x/y?z": ("/app", "/x/y"),
    "/app/app/x": ("/app", "/app/x"),
    "/app/a%20b": ("/app", "/a b"),
    "/app/x/": ("/app", "/x/"),
    "/app//x///y": ("/app", "/x/y"),
    "/application": ("", "/application"),
    "/bare/x": ("/bare", "/x"),
    "/bare": ("/bare", "/"),
    "/deep/er/x": ("/deep/er", "/x"),
    "/to/x": ("/to", "/inner/x"),
    "/to/": ("/to", "/inner/"),
    "/same/x": ("", "/same/x"),
}


@pytest.mark.parametrize("path", VARIABLES)
def test_script_name_and_path_info(sites, path):
    httpd, _ = sites
    status, said = ask(httpd, OURS, path)
    assert status == 200
    assert (said["SCRIPT_NAME"], said["PATH_INFO"]) == VARIABLES[path]
    assert said["REQUEST_URI"] == path and said["QUERY_STRING"] == path.partition("?")[2]
    assert "SCRIPT_FILENAME" not in said


ALICE = [("Authorization", "Basic YWxpY2U6c2VjcmV0")]


def test_https_and_user(sites):
    httpd, _ = sites
    _, said = ask(httpd, OURS, "/app/x", tls=True)
    assert (said["HTTPS"], said["REQUEST_SCHEME"], said["wsgi.url_scheme"]) == ("on", "https", "https")
    _, said = ask(httpd, OURS, "/user/x", fields=ALICE)
    assert (said["REMOTE_USER"], said["AUTH_TYPE"], said["SCRIPT_NAME"]) == ("alice", "Basic", "/user")
    assert "HTTP_AUTHORIZATION" not in said and "HTTPS" not in said
    assert said["wsgi.url_scheme"] == "http"


# They change with the connection, or say which of the two it was.
VOLATILE = {"SERVER_ADDR", "REMOTE_PORT"}

# What differs always, and why.
TRANSLATED = "RFC 3875, 4.1.6: what PATH_INFO would be as a file; theirs do not say it"
THE_URL = "theirs is 'proxy:uwsgi://localhost/x': no file's name, and no script is run"
ENTIRE = "theirs is the whole path, and PATH_INFO not there: no mount can be told from it"
MISSING = "RFC 3875, 4.1.4: it must be there"
WITHHELD = "applications do their own authentication; mod_proxy_scgi wants CGIPassAuth for it"
ALWAYS = {
    "uwsgi": {"PATH_TRANSLATED": TRANSLATED, "SCRIPT_FILENAME": THE_URL},
    "scgi": {
        "PATH_TRANSLATED": TRANSLATED,
        "SCRIPT_FILENAME": THE_URL,
        "SCRIPT_NAME": ENTIRE,
        "PATH_INFO": ENTIRE,
        "GATEWAY_INTERFACE": MISSING,
        "HTTP_AUTHORIZATION": WITHHELD,
    },
}

# (scheme, path, host) -> what differs there besides, and why; and what does not, as it does elsewhere.
CUT = "theirs is the whole path when PATH_INFO is '/', or the target has a path: the application would see that twice"
PASSWORD = "httpd has looked at it; RFC 3875, 4.1.18: the application does not get it"
ESCAPED = "theirs answers 500"
BEYOND = {
    ("uwsgi", "/app/", "localhost"): {"SCRIPT_NAME": CUT},
    ("uwsgi", "/to/x", "localhost"): {"SCRIPT_NAME": CUT},
    ("uwsgi", "/to/", "localhost"): {"SCRIPT_NAME": CUT},
    ("uwsgi", "/user/x", "localhost"): {"HTTP_AUTHORIZATION": PASSWORD},
    ("uwsgi", "/app/a%2Fb", "keeping"): {"status": ESCAPED},
}
EXCEPT = {
    ("scgi", "/bare", "localhost"): {"SCRIPT_NAME"},  # is the whole path
    ("scgi", "/user/x", "localhost"): {"HTTP_AUTHORIZATION"},  # httpd has looked at it
}
REQUESTS = [
    *((path, "localhost") for path in [*VARIABLES, "/user/x", "/app/a%2Fb", "/x?" + "q" * 5000]),
    *(("/app/a%2Fb", host) for host in ("keeping", "decoding")),
]


@pytest.mark.parametrize("path,host", REQUESTS, ids=lambda word: word[:40])
def test_as_mod_proxy(sites, path, host):
    """All variables."""
    httpd, scheme = sites
    httpd.log.allow("AH")
    fields = ALICE if "user" in path else [("Authorization", "Bearer x"), ("X-A", "1"), ("X-A", "2"), ("Proxy", "x")]
    (our_status, ours), (their_status, theirs) = (ask(httpd, address, path, host, fields) for address in (OURS, THEIRS))
    expected = dict(BEYOND.get((scheme, path, host), {}))
    if our_status != their_status or ours is None:
        assert expected.keys() == ({"status"} if our_status != their_status else set()), (our_status, their_status)
        return
    names = ours.keys() | theirs.keys()
    found = {name for name in names if ours.get(name) != theirs.get(name)} - VOLATILE
    expected = (ALWAYS[scheme].keys() | expected.keys()) - EXCEPT.get((scheme, path, host), set())
    assert found == expected, {name: (ours.get(name), theirs.get(name)) for name in found ^ expected}


def test_fastcgi_application(httpd):
    """With proxy-fcgi-pathinfo=1 it is told as the others are; otherwise all of it is a script."""
    said = json.loads(fetch(httpd.port, "/fcgi/x%20y/z?q").body)
    assert (said["SCRIPT_NAME"], said["PATH_INFO"], said["QUERY_STRING"]) == ("/fcgi", "/x y/z", "q")
    assert "SCRIPT_FILENAME" not in said


def test_fastcgi_script(sandbox, sockets):
    httpd = sandbox.httpd(f"UDSRoute /fcgi/ {target(sockets, 'fcgi', '/srv/')}")
    said = json.loads(fetch(httpd.port, "/fcgi/x%20y/z?q").body)
    assert (said["SCRIPT_NAME"], said["SCRIPT_FILENAME"]) == ("/fcgi/x y/z", "/srv/x y/z")
    assert not said.get("PATH_INFO")


# --- balancers, health ------------------------------------------------------------------------------------------------


def balancer(sockets_of, scheme, parameters, *settings):
    """sockets_of: name -> scheme -> path."""
    lines = ["<UDSBalancer app>"]
    lines += [f"UDSMember {target(sockets, scheme)} route={name} {parameters}" for name, sockets in sockets_of.items()]
    lines += [f'UDSSet "{setting}"' for setting in settings]
    return APPLICATION + "\n".join([*lines, "</UDSBalancer>", "UDSRoute /app/ balancer://app/"]) + "\n"


@pytest.fixture(scope="module")
def pair(module_sandbox):
    """Two uWSGIs, and the files that make them ill."""
    files = {name: module_sandbox.root / f"ill-{name}" for name in "ab"}
    started = {
        name: start_uwsgi(module_sandbox, CGI, name=name, processes=1, health=file)[1] for name, file in files.items()
    }
    return started, files


@pytest.mark.parametrize("scheme", CGI)
def test_sticky_sessions(sandbox, pair, scheme):
    """By a cookie that ends with the member's route; without one, both get requests."""
    httpd = sandbox.httpd(balancer(pair[0], scheme, "", "stickysession=SESSION"))
    assert {fetch(httpd.port, "/app/who").text for _ in range(8)} == {"a", "b"}
    for name in "ab":
        cookie = [("Cookie", f"SESSION=123.{name}")]
        assert {fetch(httpd.port, "/app/who", fields=cookie).text for _ in range(8)} == {name}


HEALTH = f"hcmethod=GET hcuri=/healthz hcinterval={INTERVAL}"


class Uwsgi:
    """One of the pair, as fall_ill() knows members: how it behaves is in its file."""

    def __init__(self, name, file):
        self.name = name
        self._file = file

    @property
    def behaviour(self):
        return self._file.read_text() if self._file.exists() else None

    @behaviour.setter
    def behaviour(self, illness):
        if illness:
            self._file.write_text(illness)
        else:
            self._file.unlink(missing_ok=True)


@pytest.mark.parametrize("parameters,illness", [("", "503 Ill"), ("hcexpr=well", "200 Ill")], ids=["status", "hcexpr"])
@pytest.mark.parametrize("scheme", CGI)
def test_health_checks(sandbox, pair, scheme, parameters, illness):
    """One that says it is ill gets nothing until it is well."""
    sockets_of, files = pair
    expression = "UDSHealthExpr well {hc('body') =~ /well/}\n"
    config = STATUS + expression + balancer(sockets_of, scheme, f"{HEALTH} {parameters}")
    httpd = sandbox.httpd(config, udsroute_log_level="info")
    httpd.log.allow(LATE)
    first = Uwsgi(f"a-{scheme}", files["a"])
    wait_for_state(httpd, f"b-{scheme}", "up")
    who = lambda: {fetch(httpd.port, "/app/who").text for _ in range(6)}
    try:
        fall_ill(httpd, first, illness, rf"\({illness.split()[0]}\)")
        assert undisturbed(httpd, who, ill=first.name) == {"b"}
    finally:
        first.behaviour = None
    wait_for_state(httpd, first.name, "up")
    assert undisturbed(httpd, who) == {"a", "b"}


@pytest.mark.parametrize("scheme", CGI)
def test_restart_under_load(sandbox, scheme):
    """Of the only one, in order: requests wait for it, and none fails."""
    path = sandbox.socket("one")

    def start(wait):
        return sandbox.server(
            "uwsgi", command({scheme: path}), environment=environment(NAME="one"), socket=path if wait else None
        )

    server = start(True)
    # `hold` for a machine on which it takes its time to start.
    httpd = sandbox.httpd(f"{APPLICATION}UDSRoute /app/ {target({scheme: path}, scheme)} hold=10")
    httpd.log.allow("UDR0034")
    with Load(httpd, 6, rate=150, request=lambda client, number: client.fetch("/app/who")) as load:
        for _ in range(2):
            load.wait_for_more(30)
            wait_until_stoppable(server)
            sandbox.stop(server)
            server = start(False)
            server.wait_for_socket(path)
        load.wait_for_more(60)
    wait_until_stoppable(server)
    assert set(load.statuses) == {200}, str(load)


# --- another protocol -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def impatient(module_sandbox):
    """One that does not wait long for what it takes for the rest of a request."""
    schemes = ("uwsgi", "scgi")
    return start_uwsgi(module_sandbox, schemes, "--socket-timeout", "1", name="impatient", processes=1)[1]


HINT = "closed before any byte.* see the log of uWSGI.* write uwsgi://, or give it {option} = for {said}://"


@pytest.mark.parametrize(
    "said,spoken,words",
    [
        ("http", "uwsgi", HINT.format(option="http-socket", said="http")),
        ("http", "scgi", HINT.format(option="http-socket", said="http")),
        ("fcgi", "uwsgi", HINT.format(option="fastcgi-socket", said="fcgi")),
        ("fcgi", "scgi", HINT.format(option="fastcgi-socket", said="fcgi")),
        ("uwsgi", "scgi", "closed before any byte.*see the backend's own log"),
    ],
    ids=lambda word: word if len(word) < 6 else "",
)
def test_another_protocol_than_the_target_says(sandbox, impatient, said, spoken, words):
    """uWSGI closes without a word: the log says what it may be."""
    httpd = sandbox.httpd(f"UDSRoute / unix:{impatient[spoken]}|{said}://localhost/")
    assert fetch(httpd.port, "/x").status == 502
    httpd.log.expect(f"UDR0007.*{words}")


def test_another_protocol_that_is_waited_for(sandbox):
    """uWSGI waits for more of what it takes for a request: silence, for requests and checks."""
    socket = start_uwsgi(sandbox, ("uwsgi",), "--socket-timeout", "60", name="patient", processes=2)[1]["uwsgi"]
    httpd = sandbox.httpd(
        f"UDSRoute / unix:{socket}|scgi://localhost/ timeout=300ms hcmethod=GET hcinterval=1h hctimeout=300ms"
    )
    hint = ".*write uwsgi://, or give it scgi-socket = for scgi://"
    httpd.log.expect("UDR0040.*no answer to a check within hctimeout" + hint)
    assert fetch(httpd.port, "/x").status == 504
    httpd.log.expect("UDR0009: .*silent for 300 ms" + hint)


@pytest.mark.parametrize("scheme", ["uwsgi", "scgi"])
def test_server_of_http(sandbox, scheme):
    """It answers 400 to what it does not understand, in a head as uWSGI's own: that is all that can be seen of it."""
    answer = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad"

    def behave(exchange):
        exchange.send(answer)
        exchange.close()

    server = sandbox.scripted("http", behave, protocol=scheme)
    httpd = sandbox.httpd(f"UDSRoute / unix:{server.address}|{scheme}://localhost/")
    with Client(httpd.port) as client:
        for _ in range(2):
            response = client.fetch("/x")
            assert (response.status, response.reason, response.body) == (400, "Bad Request", b"bad")
            if not client.reusable:
                break
