# SPDX-License-Identifier: Apache-2.0
"""Under a service manager and without one: activation, readiness, drain, instances, peers."""
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import time

import pytest

import udsb_program
from udsb_program import connect, get, group_members, read_all, run, sockets_in, wait_for

# Becomes the program with listeners as descriptors 3 and up, as systemd would.
LAUNCHER = """
import os, sys
count, program = int(sys.argv[1]), sys.argv[2:]
os.environ["LISTEN_FDS"] = str(count)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(program[0], program)
"""


def launcher(listeners):
    return ["/usr/bin/python3", "-c", LAUNCHER, str(len(listeners))]


def pass_listeners(listeners):
    """For preexec_fn: the listeners become 3, 4, …"""
    descriptors = [os.dup2(listener.fileno(), 100 + index) for index, listener in enumerate(listeners)]

    def move():
        for index, descriptor in enumerate(descriptors):
            os.dup2(descriptor, 3 + index)
    return {"preexec_fn": move, "pass_fds": tuple(range(3, 3 + len(listeners)))}


@pytest.fixture
def listener(directory):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.bind(str(directory / "passed.sock"))
        one.listen(16)
        yield one
    os.unlink(directory / "passed.sock")


# --- activation and notes ---------------------------------------------------------------------------------------------

def test_activation(start, directory, listener):
    early = connect(str(directory / "passed.sock"))
    early.sendall(b"GET /ux HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    backend = start(sockets=[], wrapper=launcher([listener]), **pass_listeners([listener]))
    assert b"Hello via unix socket" in read_all(early)  # it came before the server did
    assert get(str(directory / "passed.sock"), "/ux").status == 200
    assert backend.stop() == 0
    assert (directory / "passed.sock").exists()  # it is the service manager's
    late = connect(str(directory / "passed.sock"))  # and so is what comes now
    late.sendall(b"GET /ux HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    start(sockets=[], wrapper=launcher([listener]), **pass_listeners([listener]))
    assert b"Hello via unix socket" in read_all(late)


def test_activation_and_own_sockets(start, directory, listener):
    backend = start("--socket", str(directory / "passed.sock"), wrapper=launcher([listener]),
                    **pass_listeners([listener]))
    assert backend.get("/ux").status == 200
    assert get(str(directory / "passed.sock"), "/ux").status == 200


def test_activation_with_something_else(directory):
    for other, sentence in ((open(directory / "file", "w", encoding="ascii"), "descriptor 3 is not a socket"),
                            (socket.socket(socket.AF_INET), "descriptor 3 is not a listening Unix stream socket")):
        with other:
            result = subprocess.run([*launcher([other]), udsb_program.program()], capture_output=True, text=True,
                                    check=False, timeout=udsb_program.PATIENCE, **pass_listeners([other]))
        assert result.returncode == 1
        assert sentence in result.stderr


def test_activation_for_somebody_else(directory):
    """LISTEN_PID is another process: the variables were inherited, not meant."""
    result = run(env={**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": "1"})
    assert result.returncode == 2
    assert "there is no --socket" in result.stderr


def test_activation_and_instances(listener, directory):
    result = subprocess.run([*launcher([listener]), udsb_program.program(), "--socket", str(directory / "a.sock"),
                             "--instances", "2"], capture_output=True, text=True, check=False,
                            timeout=udsb_program.PATIENCE, **pass_listeners([listener]))
    assert result.returncode == 2
    assert "--instances makes its own sockets, but 1 were passed" in result.stderr


def test_notes(start):
    backend = start(wait=False)
    assert backend.next_note() == "READY=1"
    assert backend.get("/ux").status == 200
    backend.send_signal()
    assert backend.next_note() == "STOPPING=1"
    assert backend.wait() == 0


def test_log_is_one_line_an_event(start):
    backend = start()
    assert backend.stop() == 0
    for line in backend.log().splitlines():
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z udsbackend"
                            rf"\[{backend.process.pid}\] info: .+", line)
    assert f"listening on {backend.socket}" in backend.log()


# --- drain ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals(start, number):
    backend = start()
    assert backend.stop(number) == 0
    assert not os.path.exists(backend.socket)


def test_drain(start):
    backend = start("--drain", "700ms")
    keeping = udsb_program.UnixConnection(backend.socket)
    keeping.request("GET", "/ux")
    keeping.getresponse().read()
    begin = time.monotonic()
    backend.send_signal()
    wait_for(lambda: backend.get("/healthz").status == 503, "the drain to begin")
    answer = backend.get("/healthz")
    assert answer.headers["X-UDSRoute-State"] == "drain"
    assert backend.get("/ux").status == 200  # new connections are still taken
    keeping.request("GET", "/ux")
    assert keeping.getresponse().read() == b"Hello via unix socket"
    assert backend.metrics()["draining"] == 1
    assert os.path.exists(backend.socket)
    assert backend.wait() == 0
    assert time.monotonic() - begin >= 0.7
    assert not os.path.exists(backend.socket)
    keeping.close()


def test_a_second_signal_ends_the_drain(start):
    backend = start("--drain", "1h")
    backend.send_signal(signal.SIGINT)
    wait_for(lambda: backend.get("/healthz").status == 503, "the drain to begin")
    assert backend.stop(signal.SIGINT) == 0


def test_a_third_signal_ends_requests(start):
    backend = start("--drain", "1h")
    connection = connect(backend.socket)
    connection.sendall(b"GET /delay/3600000 HTTP/1.1\r\nHost: h\r\n\r\n")
    wait_for(lambda: backend.metrics()["waiting"] == 1, "the request to wait")
    backend.send_signal()
    wait_for(lambda: backend.get("/healthz").status == 503, "the drain to begin")
    backend.send_signal()
    wait_for(lambda: "finishing" in backend.log(), "the drain to end")
    assert backend.stop() == 0
    assert read_all(connection) == b""


def test_requests_finish(start, directory):
    """A request that runs, an upload in the middle, a download: all end well; nobody new gets in."""
    backend = start()
    delayed, upload, download, idle = (connect(backend.socket) for _ in range(4))
    delayed.sendall(b"GET /delay/400 HTTP/1.1\r\nHost: h\r\n\r\n")
    upload.sendall(b"PUT /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc")
    size = 50_000_000
    download.sendall(b"GET /bytes/%d HTTP/1.1\r\nHost: h\r\n\r\n" % size)
    wait_for(lambda: backend.metrics()["in_flight"] == 4, "the requests to run")
    backend.send_signal()
    assert idle.recv(1) == b""
    wait_for(lambda: cannot_connect(backend.socket), "the listener to refuse")
    upload.sendall(b"def")
    assert b'"length":6' in read_all(upload)
    assert len(read_all(download).partition(b"\r\n\r\n")[2]) == size
    answer = read_all(delayed)
    assert b"waited 400 ms" in answer and b"Connection: close" in answer
    assert backend.wait() == 0


def cannot_connect(path):
    try:
        connect(path).close()
        return False
    except OSError:
        return True


def test_streams_end_with_the_server(start):
    backend = start()
    events = connect(backend.socket)
    events.sendall(b"GET /sse?interval=3600000 HTTP/1.1\r\nHost: h\r\n\r\n")
    wait_for(lambda: backend.metrics()["waiting"] == 1, "the first event")
    assert backend.stop() == 0
    assert read_all(events).endswith(b"0\r\n\r\n")  # properly


# --- instances --------------------------------------------------------------------------------------------------------

def instance_pids(backend):
    return [pid for pid in group_members(backend.process.pid) if pid != backend.process.pid]


def pid_behind(path):
    """Who listens there."""
    with connect(path) as connection:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(credentials[:4], "little")


def test_instances(start, directory):
    backend = start("--instances", "3", sockets=["a.sock", "@udsb-instances"])
    assert sockets_in(directory) == ["a-1.sock", "a-2.sock", "a-3.sock", "notify"]
    pids = {pid_behind(str(directory / f"a-{number}.sock")) for number in (1, 2, 3)}
    assert pids == set(instance_pids(backend))
    for number in (1, 2, 3):
        assert get(f"@udsb-instances-{number}", "/ux").text == "Hello via unix socket"
    assert backend.stop() == 0
    assert sockets_in(directory) == ["notify"]


def test_an_instance_that_dies_is_started_again(start, directory):
    backend = start("--instances", "2")
    path = str(directory / "a-2.sock")
    first = pid_behind(path)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not cannot_connect(path) and pid_behind(path) != first, "the second instance to be back")
    assert get(path, "/ux").status == 200
    assert "instance 2 was killed by signal 9 (Killed); it is started again in 100 ms" in backend.log()
    second = pid_behind(path)
    os.kill(second, signal.SIGKILL)
    wait_for(lambda: "it is started again in 200 ms" in backend.log(), "a longer pause")
    wait_for(lambda: not cannot_connect(path) and pid_behind(path) not in (first, second), "it to be back again")
    assert pid_behind(str(directory / "a-1.sock")) in instance_pids(backend)


def test_instances_drain(start, directory):
    backend = start("--instances", "2", "--drain", "500ms")
    delayed = connect(str(directory / "a-1.sock"))
    delayed.sendall(b"GET /delay/800 HTTP/1.1\r\nHost: h\r\n\r\n")
    backend.send_signal()
    for number in (1, 2):
        path = str(directory / f"a-{number}.sock")
        wait_for(lambda path=path: get(path, "/healthz").status == 503, "the drain")
    assert b"waited 800 ms" in read_all(delayed)
    assert backend.wait() == 0


def test_a_terminal_sends_its_signal_to_all_processes(start, directory):
    """Ctrl-C reaches the instances twice, directly and through their parent; it must not cut the drain short."""
    backend = start("--instances", "2", "--drain", "700ms")
    begin = time.monotonic()
    os.killpg(backend.process.pid, signal.SIGINT)
    wait_for(lambda: get(str(directory / "a-1.sock"), "/healthz").status == 503, "the drain")
    assert backend.wait() == 0
    assert time.monotonic() - begin >= 0.7
    assert backend.log().count("the drain ends early") == 0


def test_an_instance_that_cannot_start_stops_all(directory, start):
    path = directory / "a-2.sock"
    path.write_text("in the way")
    backend = start("--instances", "3", wait=False)
    assert backend.next_note() is None
    assert backend.wait() == 1
    assert f"{path} exists and is a regular file" in backend.log()
    assert "instance 2 exited with status 1 before it was ready: stopping all" in backend.log()
    assert sockets_in(directory) == ["notify"]


def test_instances_end_with_a_parent_that_was_killed(start, directory):
    backend = start("--instances", "2")
    backend.kill()
    wait_for(lambda: not group_members(backend.process.pid), "the instances to end")
    assert sockets_in(directory) == ["notify"]


def test_instances_write_one_ready_note(start):
    backend = start("--instances", "3", wait=False)
    assert backend.next_note() == "READY=1"
    backend.send_signal()
    assert backend.next_note() == "STOPPING=1"
    assert backend.wait() == 0
    assert not select.select([backend.notes], [], [], 0)[0]


# --- peers ------------------------------------------------------------------------------------------------------------

def curl_as(user, name):
    """curl's exit status and output as another user."""
    result = subprocess.run(["setpriv", f"--reuid={user}", "--clear-groups", "curl", "--silent", "--max-time", "10",
                             "--unix-socket", name, "http://h/ux"], capture_output=True, text=True, check=False)
    return result.returncode, result.stdout


def test_allowed_peers(start):
    backend = start("--mode", "0666", "--allow-peer", "daemon", "--allow-peer", "65534")
    assert curl_as("daemon", backend.socket) == (0, "Hello via unix socket")
    assert curl_as("65534", backend.socket) == (0, "Hello via unix socket")
    status, output = curl_as("bin", backend.socket)
    assert status in (7, 52, 55, 56) and output == ""  # closed without a word
    assert re.search(r"warning: refused a connection on \S+: process \d+ \(curl\) of user bin \(2\) "
                     r"is not an allowed peer", backend.log())
    assert udsb_program.read_all(connect(backend.socket)) == b""  # root is not on the list either


def test_without_a_list_the_mode_decides(start):
    backend = start("--mode", "0600")
    assert curl_as("daemon", backend.socket)[0] == 7
    assert backend.get("/ux").status == 200


# --- units ------------------------------------------------------------------------------------------------------------

def test_unit_files_name_options_that_exist():
    folder = pathlib.Path(__file__).resolve().parents[3] / "conf" / "systemd"
    options = set(re.findall(r"--([a-z-]+)", run("--help").stdout))
    units = sorted(folder.glob("udsbackend*"))
    assert {unit.suffix for unit in units} == {".service", ".socket"}
    for unit in units:
        for line in unit.read_text().splitlines():
            if line.startswith("ExecStart"):
                assert set(re.findall(r"--([a-z-]+)", line)) <= options
