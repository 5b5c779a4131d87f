# SPDX-License-Identifier: Apache-2.0
"""When there is a tunnel and when there is none: what of a client's Upgrade is offered to the member (RFC 9110, 7.8), what
the member may answer, and what becomes of the connection when it refuses."""
import pytest

from udr_client import curl, fetch
from udr_environment import threaded_mpm
from udr_tunnel import PATIENCE, SWITCH, Switchboard, ask, chat_route, connect, switched, tunnel_httpd, used

WAYS = pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
COMING = pytest.mark.parametrize("come", [connect, used], ids=["first", "used"])


# --- what is offered --------------------------------------------------------------------------------------------------

# Paths and the values of `upgrade` there.
VALUES = {
    "default": "",
    "chat": "upgrade=chat",
    "list": "upgrade=chat,Voice/2,websocket",
    "any": "upgrade=ANY",
    "any-small": "upgrade=any",
    "none": "upgrade=NONE",
    "none-small": "upgrade=none",
}


@pytest.fixture(name="mirror", scope="module")
def _mirror(module_sandbox):
    """Refuses every upgrade, and remembers what it was offered."""
    return module_sandbox.scripted("mirror", lambda exchange: exchange.respond(body=exchange.request.target))


@pytest.fixture(name="site", scope="module")
def _site(module_sandbox, mirror):
    config = "".join(
        f"UDSRoute /{name}/ unix:{mirror.address}|http://localhost/ {value}\n" for name, value in VALUES.items()
    )
    return tunnel_httpd(module_sandbox, config, tls=True)


def offered(site, mirror, path, upgrade, connection="Upgrade", version="1.1", method="GET"):
    """What the member sees of it: the values of Upgrade and Connection."""
    mirror.forget()
    fields = [("Upgrade", value) for value in ([upgrade] if isinstance(upgrade, str) else upgrade)]
    fields += [("Connection", connection)] if connection else []
    with connect(site) as client:
        assert client.fetch(path, method, fields, version=version).status == 200
    (request,) = mirror.requests
    return request.all("Upgrade"), request.all("Connection")


@pytest.mark.parametrize(
    "path, upgrade, passed",
    [
        ("/default/", "websocket", "websocket"),
        ("/default/", "WebSocket", "WebSocket"),
        ("/default/", "chat", None),
        ("/default/", "websocket/13", None),
        ("/default/", "chat, websocket", "websocket"),
        ("/default/", "h2c", None),
        ("/chat/", "chat", "chat"),
        ("/chat/", "CHAT", "CHAT"),
        ("/chat/", "websocket", None),
        ("/chat/", "chatter, chat/1, cha", None),
        ("/list/", "voice/2", "voice/2"),
        ("/list/", "voice/1", None),
        ("/list/", "a, chat , b,websocket,voice/2,c", "chat, websocket, voice/2"),
        ("/list/", ["a", "chat", "websocket, b"], "chat, websocket"),
        ("/list/", ",, ,chat,", "chat"),
        ("/any/", "whatever/1.0", "whatever/1.0"),
        ("/any-small/", "whatever/1.0, x", "whatever/1.0, x"),
        ("/none/", "websocket", None),
        ("/none-small/", "websocket", None),
    ],
)
def test_protocols_that_are_offered(site, mirror, path, upgrade, passed):
    upgrades, connections = offered(site, mirror, path, upgrade)
    assert upgrades == ([passed] if passed else [])
    assert connections == (["Upgrade"] if passed else [])


@pytest.mark.parametrize(
    "connection, version",
    [
        (None, "1.1"),
        ("keep-alive", "1.1"),
        ("close", "1.1"),
        ("upgrades, x-upgrade", "1.1"),
        ("Upgrade", "1.0"),
        ("keep-alive, Upgrade", "1.0"),
    ],
)
def test_upgrade_that_is_none(site, mirror, connection, version):
    """Not named in Connection, or in HTTP/1.0: it is dropped, and the request is a plain one."""
    assert offered(site, mirror, "/default/", "websocket", connection, version)[0] == []


@pytest.mark.parametrize("connection", ["keep-alive, Upgrade", "upgrade", "x,UPGRADE ,y", "close, Upgrade"])
def test_upgrade_that_is_one(site, mirror, connection):
    assert offered(site, mirror, "/default/", "websocket", connection) == (["websocket"], ["Upgrade"])


def test_nothing_is_offered_within_an_error_page(sandbox):
    """The request for the page goes on with the fields of the one that has failed."""

    def behave(exchange):
        exchange.respond(404 if exchange.request.target == "/app/x" else 200, body=exchange.request.target)

    backend = sandbox.scripted("pages", behave)
    config = f"""
        UDSErrorOverride On
        ErrorDocument 404 /page/404
        UDSRoute /app/ unix:{backend.address}|http://localhost/app/ upgrade=chat
        UDSRoute /page/ unix:{backend.address}|http://localhost/page/ upgrade=chat
    """
    httpd = tunnel_httpd(sandbox, config)
    for come in (connect, lambda server: _after(connect(server))):
        backend.forget()
        with come(httpd) as client:
            ask(client, "/app/x")
            response = client.read_response()
            assert (response.status, response.text) == (404, "/page/404")
        assert [request.has("Upgrade") for request in backend.requests[-2:]] == [True, False]


def _after(client):
    for _ in range(2):
        assert client.fetch("/page/x").status == 200
    return client


def test_nothing_is_offered_within_a_page(sandbox):
    """A page that includes another one (mod_include): the inner request can't become a tunnel, whatever its member
    says."""
    inner = sandbox.scripted("inner", lambda exchange: exchange.send(SWITCH) and exchange.close())

    def behave(exchange):
        exchange.respond(body='[<!--#include virtual="/inner/x" -->]', fields=[("Content-Type", "text/html")])

    outer = sandbox.scripted("outer", behave)
    config = f"""
        SetOutputFilter INCLUDES
        <Location />
            Options +Includes
        </Location>
        UDSRoute /inner/ unix:{inner.address}|http://localhost/ upgrade=ANY
        UDSRoute /outer/ unix:{outer.address}|http://localhost/ upgrade=ANY
    """
    httpd = tunnel_httpd(sandbox, config, modules=["include"])
    with connect(httpd) as client:
        ask(client, "/outer/x")
        response = client.read_response()
        assert response.status == 200
        assert response.text.startswith("[") and "101" not in response.text
    assert not inner.requests[0].has("Upgrade")
    httpd.log.expect("UDR0008.*101 Switching Protocols, which was not asked for")
    httpd.log.allow("unable to include|mod_include")


def test_http2(sandbox, mirror):
    """There Upgrade means nothing; requests are served as ever."""
    config = f"Protocols h2 h2c http/1.1\nUDSRoute / unix:{mirror.address}|http://localhost/ upgrade=ANY\n"
    httpd = tunnel_httpd(sandbox, config, modules=["http2"], mpm=threaded_mpm())
    mirror.forget()
    answer = curl("--http2-prior-knowledge", "-H", "Upgrade: websocket", httpd.url("/x"))
    assert (answer.status, answer.text, answer.http_version) == (200, "/x", "HTTP/2")
    assert [request.all("Upgrade") for request in mirror.requests] == [[]]


# --- the parameter ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["", ",", "web socket", "chat;x", "chat,(x)", "chat/1/2", "/1", "chat/", '"chat"x', "websocket,NONE", "any,x"],
)
def test_value_that_is_refused(sandbox, value):
    result = sandbox.configtest(f'UDSRoute / unix:/run/x.sock|http://localhost/ "upgrade={value}"\n')
    assert result.refused
    assert "upgrade" in result.output and "UDSRoute" in result.output


@pytest.mark.parametrize("value", ["websocket", "WebSocket", "ANY", "any", "NONE", "none", "chat/1.0,websocket"])
def test_value_that_is_taken(sandbox, value):
    result = sandbox.configtest(f"UDSRoute / unix:/run/x.sock|http://localhost/ upgrade={value}\n")
    assert result.exit_code == 0, result.output


# --- when and where ---------------------------------------------------------------------------------------------------


@pytest.fixture(name="switchboard", scope="module")
def _switchboard(module_sandbox):
    return Switchboard(module_sandbox)


@pytest.fixture(name="httpd", scope="module")
def _httpd(module_sandbox, switchboard):
    return tunnel_httpd(module_sandbox, chat_route(switchboard), tls=True)


def assert_conversation(near, far):
    near.send(b"question")
    assert far.read(8) == b"question"
    far.send(b"answer")
    assert near.read(6) == b"answer"


@WAYS
@pytest.mark.parametrize("before", [0, 1, 2, 3, 20])
def test_on_any_request_of_a_connection(httpd, switchboard, tls, before):
    with connect(httpd, tls) as client:
        for number in range(before):
            assert client.fetch(f"/chat/{number}").text == f"/chat/{number}"
        ask(client)
        near, far = switched(client), switchboard.next_end()
        with far:
            assert_conversation(near, far)


@WAYS
@COMING
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PURGE"])
def test_with_any_method(httpd, switchboard, tls, come, method):
    with come(httpd, tls) as client:
        ask(client, method=method)
        near, far = switched(client), switchboard.next_end()
        with far:
            assert far.request.method == method
            assert_conversation(near, far)


@WAYS
@COMING
def test_the_head_of_the_101(httpd, switchboard, tls, come):
    """What it says is the member's, but for the connection's own fields."""
    switchboard.answer = (
        b"HTTP/1.1 101 Let us chat\r\nUPGRADE: Chat\r\nconnection: X-Hop\r\nConnection: keep-alive, upgrade\r\nX-Hop: 1\r\n"
        b"X-End: 2\r\nContent-Length: 0\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n"
    )
    try:
        with come(httpd, tls) as client:
            ask(client)
            response = client.read_response()
            far = switchboard.next_end()
            far.close()
    finally:
        switchboard.answer = SWITCH
    assert (response.status, response.reason) == (101, "Let us chat")
    assert (response.all("Upgrade"), response.all("Connection")) == (["Chat"], ["Upgrade"])
    assert (response.all("X-End"), response.all("Set-Cookie")) == (["2"], ["a=b", "c=d"])
    assert not any(response.has(name) for name in ("X-Hop", "Keep-Alive", "Content-Length", "Transfer-Encoding"))


@WAYS
@COMING
def test_after_interim_responses(httpd, switchboard, tls, come):
    switchboard.answer = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + SWITCH
    try:
        with come(httpd, tls) as client:
            ask(client)
            response = client.read_response()
            assert [interim.status for interim in response.interim] == [103, 102]
            far = switchboard.next_end()
            with far:
                client.send(b"x")
                assert far.read(1) == b"x"
    finally:
        switchboard.answer = SWITCH


@WAYS
@COMING
def test_after_expect(sandbox, tls, come):
    """100 Continue, the body, and then 101."""

    def behave(exchange):
        if not exchange.request.has("Expect"):
            exchange.respond(body=exchange.request.target)
            return
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert exchange.read_body() == b"the body"
        exchange.send(SWITCH)
        exchange.leave()
        exchange.connection.sock.sendall(exchange.connection.sock.recv(100))
        exchange.close()

    backend = sandbox.scripted("expect", behave, read_bodies=False)
    httpd = tunnel_httpd(sandbox, chat_route(backend), tls=tls)
    with come(httpd, tls) as client:
        ask(client, method="POST", fields=[("Content-Length", "8"), ("Expect", "100-continue")])
        assert client.read_interim().status == 100
        client.send(b"the body")
        near = switched(client)
        near.send(b"echo")
        assert near.read(4) == b"echo"


@WAYS
@COMING
def test_with_a_chunked_body(httpd, switchboard, tls, come):
    with come(httpd, tls) as client:
        ask(
            client,
            method="POST",
            fields=[("Transfer-Encoding", "chunked")],
            along=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nfirst",
        )
        near, far = switched(client), switchboard.next_end()
        with far:
            assert far.request.body == b"abcde"
            assert far.read(5) == b"first"
            assert_conversation(near, far)


@WAYS
def test_by_sethandler(sandbox, tls):
    """There `upgrade` has its default."""
    switchboard = Switchboard(sandbox, answer=SWITCH.replace(b"chat", b"websocket"))
    config = f'<Location /chat>\nSetHandler "udsroute:unix:{switchboard.address}|http://localhost"\n</Location>\n'
    httpd = tunnel_httpd(sandbox, config, tls=tls)
    for come in (connect, used):
        with come(httpd, tls) as client:
            ask(client, protocol="websocket")
            near, far = switched(client), switchboard.next_end()
            with far:
                assert_conversation(near, far)


def test_a_pooled_connection_of_the_member_becomes_a_tunnel(sandbox):
    """And is none of the pool's afterwards."""
    switchboard = Switchboard(sandbox)
    httpd = tunnel_httpd(sandbox, chat_route(switchboard), threads=2, mpm=threaded_mpm())
    assert fetch(httpd.port, "/chat/one").text == "/chat/one"
    with connect(httpd) as client:
        ask(client)
        near, far = switched(client), switchboard.next_end()
        assert_conversation(near, far)
        far.close()
        assert near.ends()
    assert fetch(httpd.port, "/chat/two").text == "/chat/two"
    assert [len(connection.requests) for connection in switchboard.backend.connections][-1] == 1


# --- the member refuses -----------------------------------------------------------------------------------------------


@WAYS
@COMING
@pytest.mark.parametrize("status", [200, 204, 304, 401, 403, 404, 426])
def test_refusal(sandbox, tls, come, status):
    """It is an answer like any other; both connections are used on."""
    backend = sandbox.scripted("refuses", lambda exchange: refuse(exchange, status))
    httpd = tunnel_httpd(sandbox, chat_route(backend), tls=tls)
    with come(httpd, tls) as client:
        for _ in range(3):
            ask(client)
            assert_refusal(client.read_response(), status)
        assert client.fetch("/chat/next").text == "/chat/next"
    assert all(request.get("Upgrade") == "chat" for request in backend.requests[-4:-1])
    assert backend.accepted == 1


@COMING
@pytest.mark.parametrize("status", [400, 500, 503])
def test_refusal_after_which_httpd_closes(sandbox, come, status):
    """After these it does so whoever has answered; the member's connection is kept."""
    backend = sandbox.scripted("refuses", lambda exchange: refuse(exchange, status))
    httpd = tunnel_httpd(sandbox, chat_route(backend), mpm=threaded_mpm())
    for _ in range(3):
        with come(httpd) as client:
            ask(client)
            assert_refusal(client.read_response(), status)
            assert client.closed_by_server()
    assert backend.accepted == 1


def refuse(exchange, status):
    if exchange.request.has("Upgrade"):
        exchange.respond(status, b"" if status in (204, 304) else b"no", [("X-Why", "so")])
    else:
        exchange.respond(body=exchange.request.target)


def assert_refusal(response, status):
    assert (response.status, response.get("X-Why"), response.complete) == (status, "so", True)
    assert not response.has("Upgrade")


@COMING
def test_a_426_says_what_it_wants(sandbox, come):
    """RFC 9110, 15.5.22: it must name the protocols, or the client can't know."""

    def behave(exchange):
        exchange.send(
            b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: chat\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"
            if exchange.request.target == "/chat/x"
            else b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n/chat/used"
        )

    backend = sandbox.scripted("requires", behave)
    httpd = tunnel_httpd(sandbox, chat_route(backend))
    with come(httpd) as client:
        response = client.fetch("/chat/x")
        assert response.status == 426
        assert response.get("Upgrade") == "chat"
        assert "upgrade" in response.get("Connection").lower()


@WAYS
@COMING
def test_a_request_behind_an_upgrade_that_is_refused(sandbox, tls, come):
    """It was sent together with it, and is a request of its own: read by httpd, with its routes and rules."""
    backend = sandbox.scripted("refuses", lambda exchange: exchange.respond(body=exchange.request.target))
    config = "<Location /chat/secret>\nRequire all denied\n</Location>\n" + chat_route(backend)
    httpd = tunnel_httpd(sandbox, config, tls=tls)
    with come(httpd, tls) as client:
        behind = (
            b"GET /chat/secret HTTP/1.1\r\nHost: localhost\r\n\r\nGET /chat/open HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        ask(client, along=behind)
        assert client.read_response().text == "/chat/x"
        assert client.read_response().status == 403
        assert client.read_response().text == "/chat/open"
    backend.settle()
    assert "/chat/secret" not in [request.target for request in backend.requests]
    httpd.log.allow("AH01630")


# --- a member that lies -----------------------------------------------------------------------------------------------

LIES = {
    "no-protocol": (b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n\r\n", "without an Upgrade field"),
    "no-connection": (SWITCH.replace(b"Connection: Upgrade\r\n", b""), "without Connection: Upgrade"),
    "connection-of-another": (SWITCH.replace(b": Upgrade\r", b": keep-alive, Upgraded\r"), "without Connection: Upgrade"),
    "another-protocol": (SWITCH.replace(b"chat", b"h2c"), "that was not offered"),
    "more-than-was-offered": (SWITCH.replace(b"chat", b"chat, h2c"), "that was not offered"),
    "more-in-a-second-field": (SWITCH.replace(b"Upgrade: chat", b"Upgrade: chat\r\nUpgrade: h2c"), "not offered"),
    "a-part-of-it": (SWITCH.replace(b"chat", b"cha"), "that was not offered"),
    "an-empty-protocol": (SWITCH.replace(b"chat", b""), "101 Switching Protocols"),
    "content-length": (SWITCH[:-2] + b"Content-Length: 5\r\n\r\n", "Content-Length in a 1xx"),
    "chunked": (SWITCH[:-2] + b"Transfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in a 1xx"),
    "bad-field": (SWITCH[:-2] + b"X Y: 1\r\n\r\n", "field"),
    "obs-fold": (SWITCH[:-2] + b" folded\r\n\r\n", "fold|field|line"),
    "bare-cr": (SWITCH[:-2] + b"X: a\rb\r\n\r\n", "CR|character"),
    "nul": (SWITCH[:-2] + b"X: a\0b\r\n\r\n", "NUL|character"),
}


@pytest.fixture(name="liar", scope="module")
def _liar(module_sandbox):
    """Lies as the request's X-Lie says."""
    return Switchboard(module_sandbox, "liar", lambda request: LIES[request.get("X-Lie")][0] + b"bytes of the tunnel")


@pytest.fixture(name="betrayed", scope="module")
def _betrayed(module_sandbox, liar):
    return tunnel_httpd(module_sandbox, chat_route(liar, "upgrade=chat max=1"), tls=True)


@WAYS
@COMING
@pytest.mark.parametrize("lie", LIES)
def test_switch_that_is_refused(betrayed, liar, tls, come, lie):
    """502, nothing of it is passed on, the member's connection is closed, the client's goes on."""
    with come(betrayed, tls) as client:
        ask(client, fields=[("X-Lie", lie)], along=b"GET /chat/next HTTP/1.1\r\nHost: localhost\r\n\r\n")
        response = client.read_response()
        assert response.status == 502
        assert "bytes of the tunnel" not in response.text and not response.has("X-Member")
        betrayed.log.expect(f"UDR0008.*({LIES[lie][1]})")
        far = liar.next_end()
        assert far.ends()
        far.close()
        if client.reusable:
            assert client.read_response().text == "/chat/next"


@WAYS
@COMING
@pytest.mark.parametrize(
    "fields",
    [[], [("Upgrade", "chat")], [("Upgrade", "other"), ("Connection", "Upgrade")]],
    ids=["no-upgrade", "not-in-connection", "not-allowed"],
)
def test_switch_that_was_not_asked_for(sandbox, tls, come, fields):
    gate = []

    def behave(exchange):
        if not gate:
            exchange.respond(body=exchange.request.target)
        else:
            exchange.send(SWITCH + b"bytes of the tunnel")
            assert exchange.peer_closed(PATIENCE)
            exchange.close()

    backend = sandbox.scripted("unasked", behave)
    httpd = tunnel_httpd(sandbox, chat_route(backend), tls=tls)
    with come(httpd, tls) as client:
        gate.append(True)
        response = client.fetch("/chat/x", fields=fields)
        assert response.status == 502 and "bytes of the tunnel" not in response.text
    httpd.log.expect("UDR0008.*101 Switching Protocols, which was not asked for")


def hasty(sandbox):
    """A member that switches before it has read a body."""

    def behave(exchange):
        if exchange.request.method == "GET":
            exchange.respond(body=exchange.request.target)
        else:
            exchange.send(SWITCH)
            assert exchange.peer_closed(PATIENCE)
            exchange.close()

    return sandbox.scripted("hasty", behave, read_bodies=False)


@WAYS
@COMING
@pytest.mark.parametrize(
    "framing", [("Content-Length", "100"), ("Transfer-Encoding", "chunked")], ids=["length", "chunked"]
)
def test_switch_before_the_body_was_sent(sandbox, tls, come, framing):
    """The rest of it would become part of the tunnel."""
    httpd = tunnel_httpd(sandbox, chat_route(hasty(sandbox)), tls=tls)
    with come(httpd, tls) as client:
        ask(client, method="POST", fields=[framing], along=b"5\r\nbegun" if "chunked" in framing else b"begun")
        assert client.read_response().status == 502
        assert client.closed_by_server()
    httpd.log.expect("UDR0008.*before the request was complete")


@COMING
def test_switch_instead_of_100_continue(sandbox, come):
    httpd = tunnel_httpd(sandbox, chat_route(hasty(sandbox)))
    with come(httpd) as client:
        ask(client, method="POST", fields=[("Content-Length", "8"), ("Expect", "100-continue")])
        assert client.read_response().status == 502
    httpd.log.expect("UDR0008.*before the request was complete")


@COMING
def test_switch_behind_the_head_of_another_response(sandbox, come):
    """Bytes behind a complete response are nobody's, even if they look like a 101."""
    hidden = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + SWITCH + b"bytes of the tunnel"
    switchboard = Switchboard(sandbox, answer=hidden)
    httpd = tunnel_httpd(sandbox, chat_route(switchboard))
    with come(httpd) as client:
        ask(client)
        assert client.read_response().text == "ok"
        far = switchboard.next_end()
        assert far.ends()
        far.close()
        assert client.fetch("/chat/next").text == "/chat/next"
