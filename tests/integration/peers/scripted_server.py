# SPDX-License-Identifier: Apache-2.0
"""A server on a Unix socket that answers exactly what a test tells it to, however wrong that is.

Used in two ways. In a test, `ScriptedServer` runs in threads and calls the test's function for each request. As a
program (`scripted_server.py PATH [TEXT]`) it answers each request with a text; a test starts it so when the server has
to belong to another user."""
import os
import pathlib
import select
import signal
import socket
import stat
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import udr_wire  # noqa: E402  (found by the path above when this runs as a program)


LOOK_AGAIN = 1.0  # seconds


def response_bytes(status=200, body=b"", fields=(), reason="Scripted"):
    """A well-formed response with Content-Length."""
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def wait_until_readable(sock):
    """Takes nothing yet: whoever does says first that it does, and so nothing is ever in nobody's hands (settle()).

    Looks again each second: when poll(2) is woken it looks its descriptors up anew, and where another thread has closed
    the socket and opened one that has its number now, it goes on waiting, and keeps the closed one from going."""
    left = sock.gettimeout()
    while True:
        poll = select.poll()
        try:
            poll.register(sock, select.POLLIN)
        except ValueError as problem:
            raise OSError("closed meanwhile") from problem
        seconds = LOOK_AGAIN if left is None else min(left, LOOK_AGAIN)
        if poll.poll(seconds * 1000):
            return
        if left is not None:
            left -= seconds
            if left <= 0:
                raise TimeoutError


class Connection:
    """One accepted connection."""

    def __init__(self, server, sock, number):
        self.server = server
        self.sock = sock
        self.number = number  # counted from 1 in the order of accepting
        self.stream = udr_wire.Stream(sock)
        self.requests = []
        self.busy = False  # with a request
        self.closed = threading.Event()  # by either side
        self.closed_at = None  # time.monotonic()

    def close(self):
        if not self.closed.is_set():
            self.closed_at = time.monotonic()
            udr_wire.shut(self.sock)
            self.closed.set()


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, connection, request):
        self.connection = connection
        self.request = request
        self.ended = False  # no further request is read from this connection

    def send(self, data):
        """Sends bytes as they are. Returns False when the other end is gone."""
        try:
            self.connection.sock.sendall(data)
        except OSError:
            return False
        return True

    def respond(self, status=200, body=b"", fields=()):
        """Sends a well-formed response with Content-Length."""
        body = body.encode() if isinstance(body, str) else body
        return self.send(response_bytes(status, b"" if self.request.method == "HEAD" else body, fields))

    def read_body(self):
        """Reads the request's body, where the server was told to leave that to the test."""
        udr_wire.read_body(self.connection.stream, self.request)
        return self.request.body

    def close(self):
        """Closes in order: all that was sent arrives, then the end of the stream."""
        self.ended = True
        self.connection.close()

    def leave(self):
        """Keeps the connection open without reading from it again."""
        self.ended = True

    def peer_closed(self, timeout):
        """Waits until the other end closes; False if it does not within `timeout` seconds. What it sends is dropped."""
        deadline = time.monotonic() + timeout
        while True:
            readable, _, _ = select.select([self.connection.sock], [], [], max(0, deadline - time.monotonic()))
            if not readable:
                return False
            try:
                if not self.connection.sock.recv(65536):
                    return True
            except ConnectionResetError:
                return True


def answer_text(text):
    """A behaviour: every request gets this text."""
    return lambda exchange: exchange.respond(body=text)


class ScriptedServer:
    """Listens on a path or an abstract name ("@name") and calls `behaviour(exchange)` for each request.

    read_bodies   whether the whole body is read before the behaviour is called
    backlog       of listen(2)
    accept_pause  seconds to wait before each accept
    accepting     False: listens but never accepts
    tolerant      a request that the strict parser refuses is remembered in `violations` either way; it fails the test
                  at stop() unless the test said it looks after that itself

    It speaks HTTP; cgi_server.py has what speaks FastCGI, uwsgi and SCGI.
    """

    exchange_class = Exchange

    def __init__(
        self,
        address,
        behaviour=None,
        read_bodies=True,
        backlog=128,
        accept_pause=0.0,
        accepting=True,
        mode=0o666,
        tolerant=False,
    ):
        self.address = str(address)
        self.behaviour = behaviour or answer_text("scripted")
        self.read_bodies = read_bodies
        self.accept_pause = accept_pause
        self.tolerant = tolerant
        self.connections = []
        self.requests = []
        self.violations = []
        self.errors = []
        self._lock = threading.Lock()
        self._threads = []
        self._stopping = False
        self._takes_one = False  # a connection that is not in `connections` yet
        self._inode = None
        self._acceptor = None
        self._listen(backlog, mode)
        if accepting:
            self.start_accepting()

    # --- what tests look at -------------------------------------------------------------------------------------------

    @property
    def accepted(self):
        """How many connections were accepted so far."""
        return len(self.connections)

    @property
    def open_connections(self):
        return [connection for connection in self.connections if not connection.closed.is_set()]

    def wait_for(self, condition, what, timeout=10.0):
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.address}: waited {timeout} s in vain for {what}")
            time.sleep(0.002)

    def wait_for_requests(self, count, timeout=10.0):
        """Waits until that many requests came, and returns them."""
        self.wait_for(lambda: len(self.requests) >= count, f"{count} requests", timeout)
        return list(self.requests)

    def settle(self, timeout=10.0):
        """Waits until nothing is under way: every request that has arrived was read, recorded and answered."""
        self.wait_for(self._is_settled, "the end of what is under way", timeout)

    def _is_settled(self):
        accepted, open_now = self.accepted, self.open_connections
        try:
            pending, _, _ = select.select([self.sock, *[connection.sock for connection in open_now]], [], [], 0)
        except (OSError, ValueError):  # closed meanwhile: look again
            return False
        is_taking = self._takes_one or self.accepted > accepted
        return not pending and not is_taking and not any(connection.busy for connection in open_now)

    def forget(self):
        """Forgets the requests so far; open connections stay as they are."""
        with self._lock:
            self.requests = []
            self.violations = []

    def close_idle(self):
        """Closes every connection, as a server does with idle ones."""
        for connection in list(self.connections):
            connection.close()

    # --- listening and serving ----------------------------------------------------------------------------------------

    def _listen(self, backlog, mode):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if self.address.startswith("@"):
            self.sock.bind("\0" + self.address[1:])
        else:
            self.sock.bind(self.address)
            os.chmod(self.address, mode)
            self._inode = os.stat(self.address).st_ino
        self.sock.listen(backlog)

    def start_accepting(self):
        """For a server that was told not to at first."""
        self._acceptor = threading.Thread(target=self._accept_loop, daemon=True)
        self._acceptor.start()

    def _accept_loop(self):
        while not self._stopping:
            if self.accept_pause:
                time.sleep(self.accept_pause)
            try:
                wait_until_readable(self.sock)
                self._takes_one = True
                sock, _ = self.sock.accept()
            except OSError:
                self._takes_one = False
                return
            with self._lock:
                connection = Connection(self, sock, len(self.connections) + 1)
                self.connections.append(connection)
            self._takes_one = False
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        try:
            while self._serve_one(connection):
                pass
        except udr_wire.Malformed as problem:
            self.violations.append(str(problem))
            connection.close()
        except (udr_wire.Closed, OSError):
            connection.close()
        except Exception as problem:  # pylint: disable=broad-except  (a bug of the test: shown at stop())
            self.errors.append(problem)
            connection.close()

    def _serve_one(self, connection):
        """Serves one request; False when the connection has ended."""
        connection.busy = bool(connection.stream.buffer)
        if not connection.busy:
            wait_until_readable(connection.sock)
            connection.busy = True
            connection.stream.fill()
        request = self.read_head(connection.stream)
        if request is None:
            connection.close()
            return False
        exchange = self.exchange_class(connection, request)
        if self.read_bodies:
            exchange.read_body()
        with self._lock:
            connection.requests.append(request)
            self.requests.append(request)
        self.behaviour(exchange)
        connection.busy = False
        return not exchange.ended

    def read_head(self, stream):
        """A request without its body; None: the connection has ended between two."""
        return udr_wire.read_request_head(stream)

    # --- the end ------------------------------------------------------------------------------------------------------

    def stop_listening(self):
        """No new connections; the file stays, stale. Connections that are open are served on."""
        self._stopping = True
        udr_wire.shut(self.sock)
        if self._acceptor:
            self._acceptor.join(5)

    def stop(self):
        """Ends everything, unlinks the socket if it is still this server's, and fails on what went wrong unseen."""
        self.stop_listening()
        self.close_idle()
        for thread in self._threads:
            thread.join(5)
        if self._inode is not None:
            try:
                if os.stat(self.address).st_ino == self._inode and stat.S_ISSOCK(os.stat(self.address).st_mode):
                    os.unlink(self.address)
            except FileNotFoundError:
                pass
        assert not self.errors, f"{self.address}: {self.errors}"
        assert self.tolerant or not self.violations, f"{self.address} got malformed requests: {self.violations}"


def main():
    path, text = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "scripted"
    server = ScriptedServer(path, answer_text(text))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(server.stop()))
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
