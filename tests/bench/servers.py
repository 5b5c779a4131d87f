# SPDX-License-Identifier: Apache-2.0
"""Starts and stops servers, whichever they are."""

import contextlib
import dataclasses
import grp
import http.client
import os
import pathlib
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable

START_SECONDS = 15
STOP_SECONDS = 10
FETCH_SECONDS = 30


class Failure(Exception):
    """What was to be measured does not work."""


@dataclasses.dataclass(frozen=True)
class Kit:
    """What every stand is made of."""

    build: pathlib.Path
    httpd: str
    httpd_modules: str
    backend_threads: int
    user: str
    group: str
    certificate: pathlib.Path


def servers_account() -> tuple[str, str]:
    """Started by root, the servers all serve as the same unprivileged user; else as whoever starts them."""
    if os.geteuid() != 0:
        return "", ""
    for name in ("www-data", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return user.pw_name, grp.getgrgid(user.pw_gid).gr_name
    raise Failure("neither www-data nor nobody is a user here")


def make_certificate(directory: pathlib.Path) -> pathlib.Path:
    """A certificate and its key in one file, for the time of a run."""
    key, certificate, both = (directory / name for name in ("key.pem", "certificate.pem", "both.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
               "-days", "1", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"no certificate: {done.stderr}")
    both.touch(mode=0o600)
    both.write_text(certificate.read_text() + key.read_text())
    return both


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def stop(process: subprocess.Popen) -> None:
    """Ends a server and all that it started: each was given a process group of its own."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def start(name: str, command: list[str], directory: pathlib.Path, ready: Callable[[], bool]) -> subprocess.Popen:
    """Starts a server and waits until it is ready."""
    with (directory / "output.log").open("wb") as output:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    try:
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                logs = "".join(path.read_text(errors="replace") for path in sorted(directory.glob("*.log")))
                raise Failure(f"{name} did not start: {' '.join(command)}\n{logs}")
            time.sleep(0.05)
    except BaseException:
        stop(process)
        raise
    return process


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: pathlib.Path) -> None:
        super().__init__("localhost", timeout=FETCH_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def fetch(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def answers(get: Callable[[str], tuple[int, bytes]], path: str) -> bool:
    try:
        return get(path)[0] == 200
    except (OSError, http.client.HTTPException):
        return False
