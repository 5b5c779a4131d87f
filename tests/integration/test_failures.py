# SPDX-License-Identifier: Apache-2.0
"""What happens, and what the log says, when a backend can't be reached, is too slow, or goes away."""
import concurrent.futures
import os
import pathlib
import pwd
import socket
import threading
import time

import pytest

import udr_environment
from udr_client import Client, chunk, fetch, h2load
from udr_httpd import run_user_name
from udr_processes import open_descriptors, wait_until

SOON = 10  # seconds: long before a `timeout` of 60, and more than a machine stalls


def route(path, parameters=""):
    return f"UDSRoute / unix:{path}|http://localhost/ {parameters}"


def assert_unavailable(httpd, status=503):
    """A well-formed answer; a 503 says when to try again."""
    response = fetch(httpd.port, "/x")
    assert response.status == status and response.complete
    if status == 503:
        assert int(response.get("Retry-After")) >= 1
    return response


def expect_explanation(httpd, path, *words):
    """One line with a message number that names the member and says each of the words."""
    line = httpd.log.expect(rf"UDR\d{{4}}.*{path}")
    for word in words:
        assert any(
            alternative.lower() in line.text.lower() for alternative in word.split("|")
        ), f"{word!r}: {line.text}"
    return line


# --- reaching the socket ----------------------------------------------------------------------------------------------


def test_no_such_file(sandbox):
    path = sandbox.socket("absent")
    httpd = sandbox.httpd(route(path))
    assert_unavailable(httpd)
    expect_explanation(
        httpd, path, "(2)", "No such file", f"{path} does not exist", "started|running", "systemctl|unit"
    )


def test_no_such_directory(sandbox):
    path = str(sandbox.root / "nowhere/a.sock")
    httpd = sandbox.httpd(route(path))
    assert_unavailable(httpd)
    expect_explanation(httpd, path, "(2)", f"directory {sandbox.root}/nowhere does not exist", "create")


def test_component_that_is_a_file(sandbox):
    (sandbox.root / "file").write_text("")
    path = str(sandbox.root / "file/a.sock")
    httpd = sandbox.httpd(route(path))
    assert_unavailable(httpd)
    expect_explanation(httpd, path, "(20)", "Not a directory", f"{sandbox.root}/file is a regular file")


def test_stale_socket(sandbox):
    backend = sandbox.scripted("stale")
    httpd = sandbox.httpd(route(backend.address))
    backend.stop_listening()
    assert_unavailable(httpd)
    expect_explanation(httpd, backend.address, "(111)", "Connection refused", "nothing listens|nobody listens", "start")


def test_regular_file_instead_of_a_socket(sandbox):
    path = pathlib.Path(sandbox.socket("file"))
    path.write_text("")
    path.chmod(0o666)
    httpd = sandbox.httpd(route(path))
    assert_unavailable(httpd)
    expect_explanation(httpd, str(path), "regular file", "no socket|not a socket")


def test_datagram_socket(sandbox):
    path = sandbox.socket("datagram")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        os.chmod(path, 0o666)
        httpd = sandbox.httpd(route(path))
        assert_unavailable(httpd)
        expect_explanation(httpd, path, "stream")
        sandbox.stop(httpd)


def test_no_permission_on_the_directory(sandbox):
    directory = sandbox.root / "closed"
    directory.mkdir(mode=0o755)
    backend = sandbox.scripted(str(directory / "a.sock"))
    httpd = sandbox.httpd(route(backend.address))
    directory.chmod(0o700 if udr_environment.is_root() else 0)
    assert_unavailable(httpd)
    owner = pwd.getpwuid(directory.stat().st_uid).pw_name
    expect_explanation(
        httpd,
        backend.address,
        "(13)",
        "Permission denied",
        f"{directory} (owner {owner}",
        f"{directory.stat().st_mode & 0o7777:04o}",
        run_user_name(),
        "chmod|chgrp|usermod",
    )
    directory.chmod(0o755)
    assert wait_until(lambda: fetch(httpd.port, "/x").status == 200, "the route to work once the directory is open")
    httpd.log.allow(r"UDR\d{4}")


def test_no_permission_on_a_directory_further_up(sandbox):
    """The first component at fault is the one that is named."""
    upper = sandbox.root / "upper"
    (upper / "lower").mkdir(parents=True)
    backend = sandbox.scripted(str(upper / "lower/a.sock"))
    httpd = sandbox.httpd(route(backend.address))
    upper.chmod(0o700 if udr_environment.is_root() else 0)
    assert_unavailable(httpd)
    line = expect_explanation(httpd, backend.address, "(13)", f"{upper} (owner")
    assert f"{upper}/lower (owner" not in line.text
    upper.chmod(0o755)


def test_no_permission_on_the_socket(sandbox):
    """Connecting needs write permission; 0755 is the classic."""
    mode = 0o755 if udr_environment.is_root() else 0o555
    backend = sandbox.scripted("closed", mode=mode)
    httpd = sandbox.httpd(route(backend.address))
    assert_unavailable(httpd)
    expect_explanation(
        httpd,
        backend.address,
        "(13)",
        "Permission denied",
        f"{backend.address} (owner",
        f"{mode:04o}",
        run_user_name(),
        "write|chmod|chgrp",
        "umask|SocketMode|chmod",
    )


def test_abstract_name_without_listener(sandbox):
    name = f"@udr-nobody-{os.getpid()}"
    httpd = sandbox.httpd(route(name))
    assert_unavailable(httpd)
    expect_explanation(httpd, name, "(111)", "refused", "abstract", "listens|listening")


def test_backend_that_comes_back(sandbox):
    """After a failure the route works as soon as the backend does."""
    path = sandbox.socket("back")
    httpd = sandbox.httpd(route(path))
    assert_unavailable(httpd)
    httpd.log.allow(rf"UDR\d{{4}}.*{path}")
    sandbox.scripted("back")
    wait_until(lambda: fetch(httpd.port, "/x").status == 200, "the backend to be reached again", timeout=15)


def test_each_failure_is_logged_once(sandbox):
    path = sandbox.socket("absent")
    httpd = sandbox.httpd(route(path))
    for _ in range(3):
        assert_unavailable(httpd)
    lines = httpd.log.expect(rf"UDR\d{{4}}.*{path}", times=3)
    assert len({line.number for line in lines}) == 1


# --- who is at the other end ------------------------------------------------------------------------------------------


def test_peer_that_is_right(sandbox):
    backend = sandbox.scripted("peer")
    user = pwd.getpwuid(os.geteuid()).pw_name
    httpd = sandbox.httpd(route(backend.address, f"peer={user}"))
    assert fetch(httpd.port, "/x").status == 200


@pytest.mark.parametrize("peer", ["{uid}", "{user}:{gid}", "{uid}:{gid}"])
def test_peer_by_number_and_with_group(sandbox, peer):
    backend = sandbox.scripted("peer")
    values = {"uid": os.geteuid(), "gid": os.getegid(), "user": pwd.getpwuid(os.geteuid()).pw_name}
    httpd = sandbox.httpd(route(backend.address, "peer=" + peer.format(**values)))
    assert fetch(httpd.port, "/x").status == 200


@pytest.mark.parametrize("peer", ["nobody", "nobody:nogroup", "{user}:nogroup"])
def test_peer_that_is_wrong(sandbox, peer):
    """Refused before a byte of the request is written, and logged with both users."""
    backend = sandbox.scripted("peer")
    user = pwd.getpwuid(os.geteuid()).pw_name
    peer = peer.format(user=user)
    httpd = sandbox.httpd(route(backend.address, f"peer={peer}"))
    assert_unavailable(httpd)
    expect_explanation(httpd, backend.address, f"peer={peer}", f"{user}:|user {os.geteuid()}")
    assert not backend.requests


def test_peer_is_who_called_listen(sandbox):
    """Somebody else's server (where only root can start one: else the caller's own) and two routes to it."""
    user, group = ("nobody", "nogroup") if udr_environment.is_root() else (None, None)
    theirs = user or pwd.getpwuid(os.geteuid()).pw_name
    directory = sandbox.root / "theirs"
    directory.mkdir()
    directory.chmod(0o777)
    path = str(directory / "a.sock")
    sandbox.scripted_process(path, "served by another", user=user, group=group)
    right = sandbox.httpd(route(path, f"peer={theirs}"))
    wrong = sandbox.httpd(route(path, "peer=daemon"))
    assert fetch(right.port, "/x").text == "served by another"
    assert_unavailable(wrong)
    expect_explanation(wrong, path, "peer=daemon", f"{theirs}:|user {pwd.getpwnam(theirs).pw_uid}")


# --- a full backlog ---------------------------------------------------------------------------------------------------


class FullBacklog:
    """A socket that listens, accepts nothing, and has no room left."""

    def __init__(self, path):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(1)
        self.waiting = []
        while self._fill():
            pass

    def _fill(self):
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect(self.path)
        except BlockingIOError:
            client.close()
            return False
        self.waiting.append(client)
        return True

    def close(self):
        for client in self.waiting:
            client.close()
        self.listener.close()
        os.unlink(self.path)


@pytest.fixture
def full_backlog(sandbox):
    backlog = FullBacklog(sandbox.socket("full"))
    yield backlog
    backlog.close()


def test_full_backlog_is_waited_out_for_connectiontimeout(sandbox, full_backlog):
    httpd = sandbox.httpd(route(full_backlog.path, "connectiontimeout=1 timeout=30"))
    started = time.monotonic()
    response = fetch(httpd.port, "/x")
    elapsed = time.monotonic() - started
    assert response.status in (503, 504)
    assert 0.9 <= elapsed < 10
    if response.status == 503:
        assert response.has("Retry-After")
    expect_explanation(httpd, full_backlog.path, "backlog", "full")
    sandbox.stop(httpd)


def test_log_tells_how_full_the_backlog_is(sandbox, full_backlog):
    """Current and maximum, where the kernel tells."""
    httpd = sandbox.httpd(route(full_backlog.path, "connectiontimeout=200ms"))
    assert fetch(httpd.port, "/x").status in (503, 504)
    line = expect_explanation(httpd, full_backlog.path, "backlog")
    assert str(len(full_backlog.waiting)) in line.text and "maximum 1" in line.text
    sandbox.stop(httpd)


def test_waiting_for_a_full_backlog_uses_no_cpu(sandbox, full_backlog):
    """Eight requests wait two seconds: a busy loop would use seconds of CPU time."""
    httpd = sandbox.httpd(route(full_backlog.path, "connectiontimeout=2"))
    before = httpd.cpu_seconds()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: fetch(httpd.port, "/x").status, range(8)))
    used = httpd.cpu_seconds() - before
    assert set(answers) <= {503, 504}
    assert used < 0.8, f"{used} s of CPU time"
    httpd.log.expect(rf"UDR\d{{4}}.*{full_backlog.path}", times=8)
    sandbox.stop(httpd)


def test_room_in_the_backlog_is_taken_at_once(sandbox, full_backlog):
    """A request that waits goes on when the backend accepts again, long before the timeout."""
    httpd = sandbox.httpd(route(full_backlog.path, "connectiontimeout=30"))
    with Client(httpd.port) as client:
        client.send_request("GET", "/x")
        assert client.quiet(0.3)
        for waiting in full_backlog.waiting:
            waiting.close()
        served = threading.Thread(target=serve_until_answered, args=(full_backlog.listener,), daemon=True)
        served.start()
        assert client.read_response().text == "at last"
        served.join(10)
    sandbox.stop(httpd)


def serve_until_answered(listener):
    """Accepts until one of the connections holds a request, and answers that."""
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            if connection.recv(65536):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nat last")
                return


@pytest.mark.parametrize("backlog", [1, 2, 3, 4])
def test_short_backlog_and_sixty_clients(sandbox, backlog):
    """Each request on a connection of its own, a backend that accepts slowly: all are served."""
    backend = sandbox.scripted("short", backlog=backlog, accept_pause=0.002)
    # More threads than clients: with fewer, event closes kept connections, which h2load counts as failures.
    httpd = sandbox.httpd(route(backend.address, "enablereuse=off connectiontimeout=60"), threads=80)
    load = h2load(httpd.url("/x"), 600, 60)
    assert load.flawless, load.output
    assert backend.accepted >= 600


# --- silence ----------------------------------------------------------------------------------------------------------


def hang(released):
    """A behaviour: never answers."""

    def behave(exchange):
        if exchange.peer_closed(30):
            released.set()
        exchange.close()

    return behave


def test_silence_is_a_504(sandbox):
    released = threading.Event()
    backend = sandbox.scripted("silent", hang(released))
    httpd = sandbox.httpd(route(backend.address, "timeout=1"))
    started = time.monotonic()
    assert_unavailable(httpd, 504)
    assert time.monotonic() - started >= 0.9
    assert released.wait(SOON), "the connection was kept"
    expect_explanation(httpd, backend.address, "timeout|timed out|silen")
    assert len(backend.requests) == 1, "a request that may be running must not be sent again"


def test_timeout_of_the_server(sandbox):
    """UDSTimeout is what `timeout` falls back to."""
    released = threading.Event()
    backend = sandbox.scripted("silent", hang(released))
    httpd = sandbox.httpd("UDSTimeout 1\n" + route(backend.address))
    assert_unavailable(httpd, 504)
    expect_explanation(httpd, backend.address, "timeout|timed out|silen")


def test_silence_within_the_body_aborts_it(sandbox):
    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        exchange.peer_closed(30)
        exchange.close()

    backend = sandbox.scripted("silent", behave)
    httpd = sandbox.httpd(route(backend.address, "timeout=1"))
    response = fetch(httpd.port, "/x")
    assert (response.status, response.body, response.complete) == (200, b"hello", False)
    expect_explanation(httpd, backend.address, "timeout|timed out|silen")


def test_slow_but_steady_response_is_no_timeout(sandbox):
    """The timeout is for silence, not for the whole."""

    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n")
        for _ in range(11):
            time.sleep(0.4)
            exchange.send(b"x")

    backend = sandbox.scripted("steady", behave)
    httpd = sandbox.httpd(route(backend.address, "timeout=4"))
    assert fetch(httpd.port, "/x").body == b"x" * 11


def test_backend_that_takes_no_body(sandbox):
    """It neither reads nor answers: its silence ends the exchange."""
    done = threading.Event()

    def behave(exchange):
        done.wait(20)
        exchange.close()

    backend = sandbox.scripted("deaf", behave, read_bodies=False)
    httpd = sandbox.httpd(route(backend.address, "timeout=1"))
    with Client(httpd.port) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n")
        sender = threading.Thread(target=send_quietly, args=(client, b"x" * 8000000), daemon=True)
        sender.start()
        response = client.read_response()
        assert response.status == 504
    done.set()
    sender.join(10)
    expect_explanation(httpd, backend.address, "timeout|timed out|silen")


def send_quietly(client, data):
    try:
        client.send(data)
    except OSError:
        pass


# --- a client that goes away ------------------------------------------------------------------------------------------


def test_client_that_goes_away_while_waiting(sandbox):
    """Its member is free at once, not after the timeout."""
    released = threading.Event()
    backend = sandbox.scripted("waiting", hang(released))
    httpd = sandbox.httpd(route(backend.address, "timeout=60"))
    with Client(httpd.port) as client:
        client.send_request("GET", "/x")
        backend.wait_for_requests(1)
    assert released.wait(SOON), "the backend's connection stayed open"


def test_client_that_resets_while_waiting(sandbox):
    released = threading.Event()
    backend = sandbox.scripted("waiting", hang(released))
    httpd = sandbox.httpd(route(backend.address, "timeout=60"))
    client = Client(httpd.port)
    client.send_request("GET", "/x")
    backend.wait_for_requests(1)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    assert released.wait(SOON), "the backend's connection stayed open"


def test_client_that_goes_away_within_the_response(sandbox):
    released = threading.Event()

    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while exchange.send(b"x" * 65536):
            pass
        released.set()
        exchange.close()

    backend = sandbox.scripted("streaming", behave)
    httpd = sandbox.httpd(route(backend.address, "timeout=60"))
    with Client(httpd.port) as client:
        client.send_request("GET", "/x")
        backend.wait_for_requests(1)
        client.stream.fill(1000)
    assert released.wait(SOON), "the backend could go on sending"


def test_client_that_goes_away_between_events(sandbox):
    """The response has begun and nothing is to be sent just now: the close is noticed all the same."""
    released = threading.Event()

    def behave(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"data: 1\n\n"))
        if exchange.peer_closed(30):
            released.set()
        exchange.close()

    backend = sandbox.scripted("events", behave)
    httpd = sandbox.httpd(route(backend.address, "timeout=60"))
    with Client(httpd.port) as client:
        client.send_request("GET", "/x")
        wait_until(lambda: b"data: 1" in client.stream.buffer or not client.stream.fill(), "the first event")
    assert released.wait(SOON), "the backend's connection stayed open"


@pytest.mark.parametrize(
    "framing,sent",
    [("Content-Length: 100000", b"x" * 50000), ("Transfer-Encoding: chunked", chunk(b"x" * 50000))],
    ids=["length", "chunked"],
)
def test_client_that_goes_away_within_its_body(sandbox, framing, sent):
    """The backend must see that the body is not complete: no terminating chunk may be made up for it."""
    ended = threading.Event()
    complete = []

    def behave(exchange):
        exchange.read_body()
        complete.append(exchange.request.complete)
        ended.set()
        exchange.close()

    backend = sandbox.scripted("upload", behave, read_bodies=False)
    httpd = sandbox.httpd(route(backend.address, "timeout=60"))
    with Client(httpd.port) as client:
        client.send(f"POST /x HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode() + sent)
        backend.wait_for_requests(1)
    assert ended.wait(SOON), "the backend's connection stayed open"
    assert complete == [False]
    httpd.log.allow(r"UDR\d{4}.*(client|body)")


def test_client_that_does_not_read(sandbox):
    """A client that takes nothing blocks nobody else, and memory does not grow by what it does not take."""
    stop = threading.Event()

    def behave(exchange):
        if exchange.request.target != "/large":
            exchange.respond(body="small")
            return
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        exchange.connection.sock.settimeout(0.2)
        while not stop.is_set():
            try:
                exchange.connection.sock.send(b"x" * 65536)
            except TimeoutError:
                continue
            except OSError:
                break
        exchange.close()

    backend = sandbox.scripted("large", behave)
    httpd = sandbox.httpd(route(backend.address), quarantine_mb=1)
    assert fetch(httpd.port, "/small").text == "small"
    before = httpd.private_bytes()
    with Client(httpd.port) as client:
        client.send_request("GET", "/large")
        backend.wait_for_requests(2)
        for _ in range(20):
            assert fetch(httpd.port, "/small").text == "small"
        assert httpd.private_bytes() - before < 8 << 20
    stop.set()
    httpd.log.allow(r"UDR\d{4}.*client")


# --- sending again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method,body,sent", [("POST", b"x", 1), ("PATCH", b"x", 1), ("POST", None, 1)])
def test_what_is_not_idempotent_is_not_sent_again(sandbox, method, body, sent):
    """The backend took the request and closed without a word: it may have been done."""
    backend = sandbox.scripted("closing", lambda exchange: exchange.close())
    httpd = sandbox.httpd(route(backend.address))
    assert fetch(httpd.port, "/x", method, body=body).status == 502
    assert len(backend.requests) == sent
    expect_explanation(httpd, backend.address, "closed")


def test_idempotent_request_is_sent_again_after_a_close(sandbox):
    """The pooled connection closes on its second request without a byte; a new one answers."""

    def behave(exchange):
        if exchange.connection.number == 1 and exchange.request.target == "/again":
            exchange.close()
        else:
            exchange.respond(body=f"connection {exchange.connection.number}")

    backend = sandbox.scripted("moody", behave)
    httpd = sandbox.httpd(route(backend.address))
    with Client(httpd.port) as client:
        assert client.fetch("/first").text == "connection 1"
        assert client.fetch("/again").text == "connection 2"
    assert [request.target for request in backend.requests] == ["/first", "/again", "/again"]


def test_post_on_a_pooled_connection_is_not_sent_again(sandbox):
    """It was written, and the connection closed: nobody knows whether it was done."""

    def behave(exchange):
        if exchange.request.method == "POST":
            exchange.close()
        else:
            exchange.respond()

    backend = sandbox.scripted("moody", behave)
    httpd = sandbox.httpd(route(backend.address))
    with Client(httpd.port) as client:
        assert client.fetch("/first").status == 200
        assert client.fetch("/again", "POST", body=b"x").status == 502
    assert [request.target for request in backend.requests] == ["/first", "/again"]
    expect_explanation(httpd, backend.address, "closed")


def test_request_is_not_sent_again_once_a_byte_has_come(sandbox):
    def behave(exchange):
        exchange.send(b"H")
        exchange.close()

    backend = sandbox.scripted("one-byte", behave)
    httpd = sandbox.httpd(route(backend.address))
    assert fetch(httpd.port, "/x").status == 502
    assert len(backend.requests) == 1
    expect_explanation(httpd, backend.address, "closed")


def test_close_without_end_is_not_tried_for_ever(sandbox):
    backend = sandbox.scripted("closing", lambda exchange: exchange.close())
    httpd = sandbox.httpd(route(backend.address))
    assert fetch(httpd.port, "/x").status == 502
    assert 1 <= len(backend.requests) <= 3
    expect_explanation(httpd, backend.address, "closed")


# --- nothing is left --------------------------------------------------------------------------------------------------


def test_failures_leak_no_descriptors(sandbox):
    """Refused, cut off, silent, gone: after all of them the children have no more descriptors than before."""
    absent = sandbox.socket("absent")
    closing = sandbox.scripted("closing", lambda exchange: exchange.close())
    silent = sandbox.scripted("silent", hang(threading.Event()))
    httpd = sandbox.httpd(
        f"UDSRoute /absent/ unix:{absent}|http://localhost/\n"
        f"UDSRoute /closing/ unix:{closing.address}|http://localhost/\n"
        f"UDSRoute /silent/ unix:{silent.address}|http://localhost/ timeout=100ms\n",
        threads=4,
    )
    httpd.log.allow(r"UDR\d{4}")

    def fail_all():
        for path, status in (("/absent/", 503), ("/closing/", 502), ("/silent/", 504)):
            assert fetch(httpd.port, path).status == status

    def descriptors():
        return sum(open_descriptors(pid) for pid in httpd.children())

    fail_all()
    before = descriptors()
    for _ in range(20):
        fail_all()
    # A connection that httpd is still closing may count for a moment. Prefork may have started processes meanwhile.
    per_child = before / len(httpd.children())
    wait_until(lambda: descriptors() <= per_child * len(httpd.children()) + 4, f"{before} descriptors again")
