# SPDX-License-Identifier: Apache-2.0
"""Clients: one that sends exactly the bytes it is told to, curl, and h2load."""
import dataclasses
import functools
import re
import select
import socket
import ssl
import subprocess
import tempfile

import udr_environment
import udr_wire


@functools.lru_cache(maxsize=None)
def trusting():
    """A TLS context for the certificate of a test. One for all, and not the default one: making that reads every
    certificate of the system, a tenth of a second on a busy machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    """One connection to httpd, by TCP or TLS."""

    def __init__(self, port, tls=False, timeout=30.0, host="127.0.0.1", receive_buffer=None):
        """receive_buffer: bytes; of a client that takes little before it reads."""
        self.sock = socket.socket()
        self.sock.settimeout(timeout)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = trusting().wrap_socket(self.sock, server_hostname="localhost")
        self.stream = udr_wire.Stream(self.sock)
        self.last = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def send_request(self, method, target, fields=(), body=None, version="1.1", host="localhost"):
        """Sends a request. A body that is bytes goes with Content-Length, a list of bytes goes in chunks."""
        lines = [f"{method} {target} HTTP/{version}"]
        if host is not None:
            lines.append(f"Host: {host}")
        lines += [f"{name}: {value}" for name, value in fields]
        if isinstance(body, (bytes, bytearray)):
            lines.append(f"Content-Length: {len(body)}")
            payload = bytes(body)
        elif body is not None:
            lines.append("Transfer-Encoding: chunked")
            payload = b"".join(chunk(piece) for piece in body) + b"0\r\n\r\n"
        else:
            payload = b""
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + payload)

    def read_response(self, method="GET", sink=None):
        self.last = udr_wire.read_response(self.stream, method, sink)
        return self.last

    def fetch(self, target, method="GET", fields=(), body=None, version="1.1", host="localhost", sink=None):
        """One request and its response."""
        self.send_request(method, target, fields, body, version, host)
        return self.read_response(method, sink)

    def read_interim(self):
        """The head of one interim response, without waiting for the final one."""
        return udr_wire.read_response_head(self.stream)

    @property
    def reusable(self):
        """Whether another request may be sent after the last response."""
        return self.last is None or udr_wire.persistent(self.last)

    def closed_by_server(self, timeout=10.0):
        """Waits for the server's close. Bytes that come instead are an error."""
        if not self.stream.ended:
            readable, _, _ = select.select([self.sock], [], [], timeout)
            if not readable:
                return False
            if self.stream.fill():
                raise AssertionError(f"bytes instead of a close: {bytes(self.stream.buffer)[:200]!r}")
        return True

    def quiet(self, seconds):
        """Whether nothing at all comes for that long."""
        readable, _, _ = select.select([self.sock], [], [], seconds)
        return not readable

    def everything(self):
        """All bytes until the server closes."""
        return b"".join(self.stream.rest())


def chunk(data):
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def fetch(port, target, method="GET", fields=(), body=None, version="1.1", host="localhost", tls=False, timeout=30.0):
    """One request on a connection of its own."""
    with Client(port, tls, timeout) as client:
        return client.fetch(target, method, fields, body, version, host)


@dataclasses.dataclass
class CurlAnswer:
    """What curl got."""

    exit_code: int
    status: int
    fields: list
    body: bytes
    trailers: list
    interim: list
    http_version: str
    errors: str

    def get(self, name):
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        return values[0] if values else None

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")


def curl(*arguments, timeout=60):
    """Runs curl and takes its answer apart. The arguments are curl's own, the URL among them."""
    with tempfile.NamedTemporaryFile() as heads:
        command = [
            udr_environment.program("curl"),
            "--silent",
            "--show-error",
            "--max-time",
            str(timeout),
            "--dump-header",
            heads.name,
            "--noproxy",
            "*",
            *[str(argument) for argument in arguments],
        ]
        done = subprocess.run(command, capture_output=True, check=False, env=udr_environment.clean_environment())
        text = heads.read().decode("latin-1")
    blocks = [block.split("\r\n") for block in text.split("\r\n\r\n") if block.strip()]
    heads = [block for block in blocks if block[0].startswith("HTTP/")]
    tails = [block for block in blocks if not block[0].startswith("HTTP/")]
    codes = [int(block[0].split()[1]) for block in heads]
    return CurlAnswer(
        exit_code=done.returncode,
        status=codes[-1] if codes else 0,
        fields=_fields(heads[-1][1:]) if heads else [],
        body=done.stdout,
        trailers=[field for block in tails for field in _fields(block)],
        interim=[(code, _fields(block[1:])) for code, block in zip(codes[:-1], heads[:-1])],
        http_version=heads[-1][0].split()[0] if heads else "",
        errors=done.stderr.decode(),
    )


def _fields(lines):
    split = [line.partition(":") for line in lines if ":" in line]
    return [(name, value.strip()) for name, _, value in split]


@dataclasses.dataclass
class Load:
    """What h2load counted."""

    total: int
    succeeded: int
    failed: int
    errored: int
    timed_out: int
    ok: int  # responses with a 2xx status
    output: str

    @property
    def flawless(self):
        return self.total == self.succeeded == self.ok and not (self.failed or self.errored or self.timed_out)


def h2load(url, requests, clients, *options, timeout=120):
    """Runs h2load over HTTP/1.1, or HTTP/2 when an option says so (-m, --npn-list …)."""
    options = options or ("--h1",)
    command = [udr_environment.program("h2load"), "-n", str(requests), "-c", str(clients), *options, url]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, env=udr_environment.clean_environment()
    )
    counts = re.search(
        r"requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored, "
        r"(\d+) timeout",
        done.stdout,
    )
    codes = re.search(r"status codes: (\d+) 2xx", done.stdout)
    if not counts or not codes:
        raise AssertionError(f"h2load said nothing that can be read:\n{done.stdout}\n{done.stderr}")
    return Load(*(int(number) for number in counts.groups()), ok=int(codes.group(1)), output=done.stdout)
