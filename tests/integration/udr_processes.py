# SPDX-License-Identifier: Apache-2.0
"""Processes as the kernel shows them, waiting for something to become true, and free ports."""
import itertools
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

LISTENING, TIME_WAIT = "0A", "06"  # states in /proc/net/tcp
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def wait_until(condition, what, timeout=10.0, interval=0.005):
    """Waits until condition() is true and returns what it returned; fails with `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout} s in vain for: {what}")
        time.sleep(interval)


def _stat(pid):
    """The fields of /proc/PID/stat after the command name, state first, or None when the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _all_processes():
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(entry)
            if fields is not None:
                yield int(entry), fields


def children_of(pid):
    """The direct children of a process, those that have ended but were not waited for left out."""
    return [child for child, fields in _all_processes() if int(fields[1]) == pid and fields[0] != "Z"]


def threads_that_run(pid):
    """How many threads of a process are at work, or would be if they had a processor."""
    states = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            states.append(_stat(f"{pid}/task/{thread}")[0])
        except TypeError:
            pass  # it has ended meanwhile
    return sum(state != "S" for state in states)


def session_members(session):
    """Every process of a session. Each server is started in a session of its own, so this finds all it left behind."""
    return [pid for pid, fields in _all_processes() if int(fields[3]) == session and fields[0] != "Z"]


def cpu_seconds(pids):
    """User and system time that the processes have used so far."""
    total = 0
    for pid in pids:
        fields = _stat(pid)
        if fields is not None:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS_PER_SECOND


def private_bytes(pids):
    """The memory that belongs to these processes alone: the sum of the Private lines of smaps_rollup."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("Private_Clean", "Private_Dirty"):
                total += int(rest.split()[0]) * 1024
    return total


def anonymous_bytes(pid):
    """A process's own memory, whether or not its children still have the same pages."""
    (line,) = [line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if "RssAnon" in line]
    return int(line.split()[1]) * 1024


def open_descriptors(pid):
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def listening_ports(pid):
    """The TCP ports on which a process listens."""
    ports = {}
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[3] == LISTENING:
            ports[f"socket:[{columns[9]}]"] = int(columns[1].rpartition(":")[2], 16)
    found = set()
    for name in _names_in(f"/proc/{pid}/fd"):
        try:
            found.add(ports.get(os.readlink(f"/proc/{pid}/fd/{name}")))
        except FileNotFoundError:
            pass  # closed meanwhile
    return found - {None}


def _names_in(directory):
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def mappings(pid):
    """How many mappings a process has, and how many bytes in those that it shares with others."""
    lines = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    shared = [line.split()[0].split("-") for line in lines if line.split()[1][3] == "s"]
    return len(lines), sum(int(end, 16) - int(begin, 16) for begin, end in shared)


def unix_sockets_under(directory):
    """The names of bound Unix sockets below a directory, as the kernel lists them."""
    names = []
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        columns = line.split()
        if len(columns) >= 8 and columns[7].startswith(f"{directory}/"):
            names.append(columns[7])
    return names


def tcp_connections(ports):
    """How many connections servers have open on these local ports."""
    count = 0
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if int(columns[1].rpartition(":")[2], 16) in ports and columns[3] not in (LISTENING, TIME_WAIT):
            count += 1
    return count


# Below the range from which the kernel takes ports for clients; a part for each of the processes that run tests at a time.
FIRST_PORT, LAST_PORT, PORT_PARTS = 18000, 32000, 8


def ports_of_this_process():
    """Again and again, from anywhere: a port that was given out may not be bound yet, and comes last."""
    size = (LAST_PORT - FIRST_PORT) // PORT_PARTS
    part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PORT_PARTS
    ports = range(FIRST_PORT + part * size, FIRST_PORT + (part + 1) * size)
    start = random.randrange(size)
    return itertools.cycle([*ports[start:], *ports[:start]])


PORTS = ports_of_this_process()


def free_port():
    """A TCP port of 127.0.0.1 that nobody has."""
    for port in itertools.islice(PORTS, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free TCP port found")


class Server:
    """A program that runs beside the test, in a session of its own, its output in a file."""

    def __init__(self, name, command, log, environment=None, directory=None, user=None, group=None):
        self.name = name
        self.log = pathlib.Path(log)
        # If the test run itself is killed, the kernel ends the program.
        wrapped = ["setpriv", "--pdeathsig", "TERM", "--", *[str(part) for part in command]]
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                wrapped,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=directory,
                user=user,
                group=group,
                start_new_session=True,
            )

    @property
    def pid(self):
        return self.process.pid

    def output(self):
        return self.log.read_text(errors="replace")

    def wait_for_socket(self, path, timeout=20):
        """Waits until the program accepts connections on its Unix socket ("@name" is an abstract one)."""
        wait_until(lambda: self._accepts(path), f"{self.name} to listen on {path}\n{self.output()}", timeout, 0.02)

    def _accepts(self, path):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.output()}")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect("\0" + path[1:] if path.startswith("@") else str(path))
            except OSError:
                return False
            return True

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, timeout=15, number=signal.SIGTERM):
        """Ends the program with a signal and asserts that nothing of it is left."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.name} did not end within {timeout} s of {number!r}:\n{self.output()}"
            ) from None
        self._no_process_left()

    def _no_process_left(self):
        try:
            wait_until(lambda: not session_members(self.pid), f"the processes of {self.name} to end", 5)
        except AssertionError:
            self.kill()
            raise

    def kill(self):
        """Ends every process of the session, whatever state it is in."""
        for pid in session_members(self.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
