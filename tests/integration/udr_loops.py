# SPDX-License-Identifier: Apache-2.0
"""For the tests of the loops: an httpd whose child has a loop and few worker threads, connections that live on the
loop, and what mod_status says of the threads."""
import itertools
import re
import socket
import struct
import threading
import time

import udr_processes
import udr_wire
from udr_client import Client, fetch
from udr_processes import wait_until

TLS = """
<VirtualHost *:@TLSPORT@>
    SSLEngine On
    SSLCertificateFile @ROOT@/cert.pem
    SSLCertificateKeyFile @ROOT@/key.pem
</VirtualHost>
"""

# What stands before the configuration of a test. Without the factor a child with four threads takes a dozen connections.
_FRAME = """
UDSLoops {loops}
UDSPark 0
AsyncRequestWorkerFactor 64
UDSRoute /short unix:{nimble}|http://localhost/short
UDSRoute /adopt unix:{nimble}|http://localhost/adopt
<Location /server-status>
    SetHandler server-status
</Location>
"""

# What else answers beside routes: scripts in cgi/, an error page that is a file, and what is refused.
OTHERS = """
ScriptSock cgisock
ScriptAlias /cgi/ "@ROOT@/cgi/"
<Directory "@ROOT@/cgi">
    Require all granted
</Directory>
ErrorDocument 404 /errors.txt
<Location /forbidden>
    Require all denied
</Location>
"""

_numbers = itertools.count(1)


def loop_httpd(sandbox, config, loops="1", modules=(), **settings):
    """An httpd under the event MPM with a loop (loops="Off": without), one child of four threads unless told otherwise.

    UDSPark is 0: what has to wait leaves its thread at once, so that no test depends on how long things take. Beside
    what the test configures, /short is answered at once by a backend, and /adopt after a moment."""
    settings.setdefault("threads", 4)
    nimble = sandbox.scripted(f"nimble{next(_numbers)}", _answer_nimbly)
    frame = _FRAME.format(loops=loops, nimble=nimble.address)
    config = frame + config + (TLS if settings.get("tls") else "")
    return sandbox.httpd(config, mpm="event", modules=["status", *modules], **settings)


def let_park(exchange):
    """To be called by a backend before it answers: waits until httpd's thread has come to where it waits for the
    answer, and has left the connection to a loop."""
    credentials = exchange.connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    child, _, _ = struct.unpack("3i", credentials)
    deadline = time.monotonic() + 5
    quiet = 0
    while quiet < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
        quiet = 0 if udr_processes.threads_that_run(child) else quiet + 1


def _answer_nimbly(exchange):
    if exchange.request.target == "/adopt":
        let_park(exchange)
    exchange.respond(body=exchange.request.target, fields=[("Content-Type", "text/plain")])


def route(backend, path="/app/", parameters=""):
    """A route that keeps the path."""
    return f"UDSRoute {path} unix:{backend.address}|http://localhost{path} {parameters}\n"


# --- connections ------------------------------------------------------------------------------------------------------


def connect(httpd, tls=False, **options):
    """A client's connection of its own."""
    return Client(httpd.tls_port if tls else httpd.port, tls=tls, **options)


def adopted(httpd, tls=False, **options):
    """A client's connection that lives on a loop: its first request had to wait, and its thread has left it there."""
    client = connect(httpd, tls, **options)
    response = client.fetch("/adopt")
    assert (response.status, response.text) == (200, "/adopt")
    return client


class Gate:
    """Holds requests at the backend until it is opened."""

    def __init__(self):
        self._opened = threading.Event()

    def open(self):
        self._opened.set()

    def wait(self):
        assert self._opened.wait(60), "a test has left its requests waiting"


# --- mod_status -------------------------------------------------------------------------------------------------------


def status(httpd):
    """mod_status's figures by name, and the scoreboard's letters; asked for on a connection of its own."""
    page = fetch(httpd.port, "/server-status?auto", fields=[("Connection", "close")]).text
    return dict(re.findall(r"^([^:\n]+): (.*)$", page, re.M))


def busy_threads(httpd):
    """How many threads do something beside the one that answers this question."""
    return int(status(httpd)["BusyWorkers"]) - 1


def wait_until_threads_are_free(httpd, timeout=10.0):
    """Waits until no thread is busy: those that are held stay so for as long as what they wait for does not come."""
    wait_until(lambda: busy_threads(httpd) == 0, f"the threads to be free: {status(httpd)}", timeout, 0.02)


def fetch_short(httpd, tls=False):
    """A short request on a connection of its own: is the server still there for others?"""
    return fetch(httpd.tls_port if tls else httpd.port, "/short", tls=tls).text == "/short"


# --- the same with and without loops ----------------------------------------------------------------------------------

# What differs from one httpd or one moment to the next.
_VOLATILE = ("date", "keep-alive")
_FRAMING = ("content-length", "transfer-encoding")


class Pair:
    """Two httpds of the same configuration, one with a loop and one without: they must give the same answers. Both
    serve files from `site`."""

    def __init__(self, sandbox, config, **settings):
        self.site = sandbox.root / f"site{next(_numbers)}"
        self.site.mkdir(mode=0o755)
        config = f'DocumentRoot "{self.site}"\n{config}'
        self.httpds = [loop_httpd(sandbox, config, loops=loops, **settings) for loops in ("1", "Off")]

    @property
    def looped(self):
        return self.httpds[0]

    def outcomes(self, converse, tls=False):
        """What converse(client) returns for a connection on a loop, and for one that is not; each has had a request."""
        answers = []
        for httpd in self.httpds:
            with adopted(httpd, tls) as client:
                answers.append(converse(client))
        return answers


def comparable(response):
    """What of a response must not depend on who ran the request."""
    # How a body that was chunked reaches the client depends on how it came to httpd; that it is complete does not.
    framing = _FRAMING if response.framing in ("length", "chunked") else ()
    fields = [(name, value) for name, value in response.fields if name.lower() not in (*_VOLATILE, *framing)]
    fields = [(name, ",".join(sorted(value.split(","))) if name == "Allow" else value) for name, value in fields]
    body = response.body
    boundary = re.search("boundary=(.*)", response.get("Content-Type", ""))
    if boundary:
        body = body.replace(boundary.group(1).encode(), b"boundary")
        fields = [(name, value.replace(boundary.group(1), "boundary")) for name, value in fields]
    interim = [one.status for one in response.interim]
    return response.status, response.reason, sorted(fields), body, response.complete, interim, response.trailers


def converse(client, pieces, methods=("GET",), pause=0.01):
    """Sends bytes, in pieces where that is a list, reads an answer for each of the methods, and sees how the connection
    goes on. Returns all that can be compared."""
    pieces = [pieces] if isinstance(pieces, bytes) else pieces
    outcome = []
    try:
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(pause)
            client.send(piece)
    except OSError:
        pass  # the server has closed before the end: what it said first is there to be read
    for method in methods:
        try:
            outcome.append(comparable(client.read_response(method)))
        except udr_wire.Closed:
            return outcome + ["closed"]
        if not client.reusable:
            return outcome + ["closed" if client.closed_by_server() else "left open"]
    try:
        return outcome + [client.fetch("/short").text]
    except udr_wire.Closed:
        return outcome + ["closed unannounced"]
