# SPDX-License-Identifier: Apache-2.0
"""Starts udsbackend, talks to it, and makes sure that nothing of it is left."""
import http.client
import json
import os
import pathlib
import select
import signal
import socket
import stat
import subprocess
import time

# The slowest a busy machine with sanitizers may be; nothing waits this long unless it has failed.
PATIENCE = 30


def program():
    """The udsbackend to test: $UDSBACKEND, or the one in the build folder $UDR_BUILD, or in the source tree."""
    root = pathlib.Path(__file__).resolve().parents[3]
    path = os.environ.get("UDSBACKEND") or pathlib.Path(os.environ.get("UDR_BUILD") or root) / "backend" / "udsbackend"
    path = pathlib.Path(path).resolve()
    assert os.access(path, os.X_OK), f"{path} is not there: build it first (make)"
    return str(path)


def memory_allowance_kib(kib):
    """How much more memory a process may hold; the address sanitizer keeps up to 256 MiB of what was freed."""
    return kib + (300 * 1024 if "asan" in os.environ.get("UDR_SANITIZE", "") else 0)


def memory_kib(pid, name="VmRSS"):
    """A value of /proc/PID/status: VmRSS, or VmHWM for its peak."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))


def wait_for(condition, what):
    """Waits for something that sends no event of its own."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


def address_of(name):
    """What Python's socket takes for a path or an @name."""
    return "\0" + name[1:] if name.startswith("@") else name


class UnixConnection(http.client.HTTPConnection):
    """http.client over a Unix socket."""

    def __init__(self, name):
        super().__init__("localhost", timeout=PATIENCE)
        self.name = name

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(address_of(self.name))


class Answer:
    """A response that has been read."""

    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


def request(name, method, target, body=None, headers=None):
    """One request on a connection of its own."""
    connection = UnixConnection(name)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def get(name, target, **headers):
    return request(name, "GET", target, headers={key.replace("_", "-"): value for key, value in headers.items()})


def connect(name):
    """A raw connection."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(PATIENCE)
    connection.connect(address_of(name))
    return connection


def read_all(connection):
    """Reads to the end, which may be a reset."""
    data = bytearray()
    try:
        while piece := connection.recv(1 << 20):
            data += piece
    except ConnectionResetError:
        pass
    return bytes(data)


def curl(name, *arguments, **options):
    """curl over the socket; its CompletedProcess, which has succeeded."""
    how = ["--abstract-unix-socket", name[1:]] if name.startswith("@") else ["--unix-socket", name]
    return subprocess.run(["curl", "--silent", "--show-error", "--max-time", str(PATIENCE), *how, *arguments],
                          check=True, capture_output=True, **options)


def run(*arguments, **options):
    """Runs udsbackend to its end."""
    return subprocess.run([program(), *arguments], capture_output=True, text=True, timeout=PATIENCE, **options)


def group_members(group):
    """The processes of a process group, zombies included."""
    members = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if entry.name.isdigit() and int(fields[2]) == group:
            members.append(int(entry.name))
    return members


def sockets_in(directory):
    """All there is in a directory that has to do with sockets: the files themselves, locks, temporary names."""
    return sorted(entry.name for entry in pathlib.Path(directory).iterdir()
                  if stat.S_ISSOCK(entry.lstat().st_mode) or entry.suffix in (".lock", ".new"))


class Backend:
    """A running udsbackend, in a process group of its own."""

    def __init__(self, directory, *arguments, sockets=("a.sock",), wrapper=(), wait=True, environment=None, **options):
        self.directory = pathlib.Path(directory)
        self.sockets = [name if name.startswith("@") else str(self.directory / name) for name in sockets]
        self.log_path = self.directory / "log"
        self.notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notes.settimeout(PATIENCE)
        notify = self.directory / "notify"
        notify.unlink(missing_ok=True)
        self.notes.bind(str(notify))
        notify.chmod(0o777)
        command = [*wrapper, program()]
        for name in self.sockets:
            command += ["--socket", name]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **(environment or {}), "NOTIFY_SOCKET": str(notify)},
                                            start_new_session=True, **options)
        if wait:
            self.wait_until_ready()

    # --- its life

    def next_note(self):
        """The next message to the service manager; None when the process has ended without one."""
        descriptor = os.pidfd_open(self.process.pid)
        try:
            ready, _, _ = select.select([self.notes, descriptor], [], [], PATIENCE)
            assert ready, "neither a note nor an end"
            return self.notes.recv(4096).decode() if self.notes in ready else None
        finally:
            os.close(descriptor)

    def wait_until_ready(self):
        note = self.next_note()
        assert note == "READY=1", f"{note}: {self.log()}"

    def send_signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self):
        """The exit status."""
        return self.process.wait(PATIENCE)

    def stop(self, number=signal.SIGTERM):
        self.send_signal(number)
        return self.wait()

    def kill(self):
        """As a crash would: nothing is cleaned up."""
        self.process.kill()
        self.wait()

    def close(self):
        """The end of a test: it stops as it should, and nothing is left."""
        try:
            if self.process.poll() is None:
                assert self.stop() == 0, self.log()
            left = group_members(self.process.pid)
            assert not left, f"processes are left: {left}"
        finally:
            for member in group_members(self.process.pid):
                os.kill(member, signal.SIGKILL)
            self.process.poll()
            self.notes.close()
            (self.directory / "notify").unlink(missing_ok=True)
        assert "Sanitizer" not in self.log(), self.log()

    # --- what it says

    @property
    def socket(self):
        return self.sockets[0]

    def log(self):
        return self.log_path.read_text(errors="replace")

    def get(self, target, **headers):
        return get(self.socket, target, **headers)

    def request(self, method, target, **options):
        return request(self.socket, method, target, **options)

    def curl(self, *arguments, **options):
        return curl(self.socket, *arguments, **options)

    def metrics(self):
        """{"name": value}; labels are part of the name."""
        lines = [line for line in self.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {name.removeprefix("udsbackend_"): float(value) for name, _, value in
                (line.rpartition(" ") for line in lines)}
