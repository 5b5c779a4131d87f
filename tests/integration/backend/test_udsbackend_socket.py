# SPDX-License-Identifier: Apache-2.0
"""The life of the socket file."""
import ctypes
import os
import pwd
import socket
import stat
import struct
import subprocess
import threading

import pytest

import udsb_program
from udsb_program import connect, get, run, sockets_in, wait_for


def test_mode_owner_group(start, directory):
    start("--mode", "0622", "--owner", "nobody", "--group", "daemon")
    status = os.stat(directory / "a.sock")
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o622
    assert status.st_uid == pwd.getpwnam("nobody").pw_uid
    assert status.st_gid == pwd.getpwnam("daemon").pw_gid


def test_mode_does_not_depend_on_the_umask(start, directory):
    start("--mode", "0666", umask=0o777)
    assert stat.S_IMODE(os.stat(directory / "a.sock").st_mode) == 0o666


def test_default_mode(backend):
    assert stat.S_IMODE(os.stat(backend.socket).st_mode) == 0o660


class Inotify:
    """What happens in a directory, event by event."""
    CREATE, MOVED_TO, ATTRIB = 0x100, 0x80, 0x4

    def __init__(self, path):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self.libc.inotify_init1(os.O_CLOEXEC)
        events = self.CREATE | self.MOVED_TO | self.ATTRIB
        assert self.libc.inotify_add_watch(self.descriptor, os.fsencode(path), events) > 0

    def events(self):
        """(mask, name), for ever."""
        while True:
            data = os.read(self.descriptor, 65536)
            while data:
                _, mask, _, length = struct.unpack("iIII", data[:16])
                yield mask, data[16:16 + length].rstrip(b"\0").decode()
                data = data[16 + length:]


def test_the_file_appears_final_and_connectable(start, directory):
    """Whoever waits for the name can connect as soon as it is there, and never sees another mode or owner."""
    inotify = Inotify(directory)
    seen = []

    def look():
        for mask, name in inotify.events():
            if name == "a.sock":
                status = os.lstat(directory / name)
                seen.append((mask, stat.S_IMODE(status.st_mode), status.st_uid))
                connect(str(directory / name)).close()  # refused if it came too early
                return

    watcher = threading.Thread(target=look)
    watcher.start()
    start("--mode", "0622", "--owner", "nobody", umask=0)
    watcher.join(udsb_program.PATIENCE)
    assert seen == [(Inotify.MOVED_TO, 0o622, pwd.getpwnam("nobody").pw_uid)]
    os.close(inotify.descriptor)


def test_several_sockets(start):
    name = f"@udsb-{os.getpid()}"
    backend = start(sockets=["a.sock", "b.sock", name])
    for one in backend.sockets:
        assert get(one, "/ux").text == "Hello via unix socket"
    assert udsb_program.curl(name, "http://h/ux").stdout == b"Hello via unix socket"


def test_an_abstract_name_is_no_file(start, directory):
    start(sockets=["@udsb-no-file"])
    assert sockets_in(directory) == ["notify"]


def test_an_abstract_name_has_no_mode(start):
    backend = start("--mode", "0600", sockets=["@udsb-mode", "a.sock"])
    assert "warning: @udsb-mode is no file: mode, owner and group do not apply" in backend.log()
    assert backend.log().count("do not apply") == 1


def test_a_relative_path(start, directory):
    backend = start("--socket", "relative.sock", sockets=[], cwd=directory)
    assert get(str(directory / "relative.sock"), "/ux").status == 200
    assert backend.stop() == 0
    assert not (directory / "relative.sock").exists()


def test_a_path_of_107_bytes(start, directory):
    name = "x" * (107 - len(str(directory)) - 1)
    backend = start(sockets=[name])
    assert len(backend.socket) == 107
    assert backend.get("/ux").status == 200


def test_the_file_goes_with_the_server(start):
    backend = start()
    assert os.path.exists(backend.socket)
    assert backend.stop() == 0
    assert not os.path.exists(backend.socket)


def test_a_stale_file_is_replaced(start):
    first = start()
    first.kill()
    assert os.path.exists(first.socket)
    with pytest.raises(ConnectionRefusedError):
        connect(first.socket)
    second = start()
    assert second.get("/ux").status == 200


def test_a_live_server_is_left_alone(start):
    backend = start()
    inode = os.stat(backend.socket).st_ino
    result = run("--socket", backend.socket)
    assert result.returncode == 1
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert (f"a live server listens on {backend.socket}: process {backend.process.pid} (udsbackend) of user {user} "
            f"({os.geteuid()})") in result.stderr
    assert os.stat(backend.socket).st_ino == inode
    assert backend.get("/ux").status == 200


def test_a_live_abstract_name_is_left_alone(start):
    backend = start(sockets=["@udsb-live"])
    result = run("--socket", "@udsb-live")
    assert result.returncode == 1
    assert f"a live server listens on @udsb-live: process {backend.process.pid}" in result.stderr


def test_a_full_backlog_is_alive(directory):
    """Refused it must not be taken for, though nobody answers."""
    path = str(directory / "a.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(0)
        clients = []
        try:
            while True:
                client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                client.setblocking(False)
                clients.append(client)
                client.connect(path)
        except BlockingIOError:
            pass
        result = run("--socket", path)
        assert result.returncode == 1
        assert "a live server listens" in result.stderr
        assert "backlog is full" in result.stderr
        for client in clients:
            client.close()
    os.unlink(path)


@pytest.mark.parametrize("make, name", [
    (lambda path: path.write_text("precious"), "a regular file"),
    (lambda path: path.mkdir(), "a directory"),
    (lambda path: path.symlink_to("elsewhere"), "a symbolic link"),
    (os.mkfifo, "not a socket"),
])
def test_what_is_no_socket_is_left_alone(directory, make, name):
    path = directory / "thing"
    make(path)
    inode = os.lstat(path).st_ino
    result = run("--socket", str(path))
    assert result.returncode == 1
    assert f"{path} exists and is {name}; it is left alone" in result.stderr
    assert os.lstat(path).st_ino == inode


def test_two_at_once_on_a_stale_file(start, directory):
    """However they race, exactly one wins, the other says who did, and the winner keeps its file."""
    path = str(directory / "a.sock")
    for _ in range(10):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
            dead.bind(path)  # and closed: stale
        processes = [subprocess.Popen([udsb_program.program(), "--socket", path], stderr=subprocess.PIPE, text=True)
                     for _ in range(4)]
        wait_for(lambda: sum(process.poll() is not None for process in processes) == 3, "three to give up")
        winner = next(process for process in processes if process.poll() is None)
        for process in processes:
            if process is not winner:
                assert process.returncode == 1
                assert f"a live server listens on {path}: process {winner.pid}" in process.stderr.read()
        assert get(path, "/ux").text == "Hello via unix socket"
        assert sockets_in(directory) == ["a.sock"]
        winner.terminate()
        assert winner.wait(udsb_program.PATIENCE) == 0
        for process in processes:
            process.stderr.close()
        assert sockets_in(directory) == []


def test_only_its_own_file_is_unlinked(start):
    first = start()
    os.unlink(first.socket)
    second = start()
    assert first.stop() == 0
    assert second.get("/ux").status == 200


def test_a_restart_while_the_old_one_finishes(start):
    """The new server takes the path over as soon as the old one stops to accept; the old one's request ends well."""
    first = start()
    slow = connect(first.socket)
    slow.sendall(b"GET /delay/1500 HTTP/1.1\r\nHost: h\r\n\r\n")
    wait_for(lambda: first.metrics()["waiting"] == 1, "the request to wait")
    first.send_signal()
    wait_for(lambda: refused(first.socket), "the old server to refuse")
    second = start()
    assert second.get("/ux").status == 200
    assert b"waited 1500 ms" in udsb_program.read_all(slow)
    assert first.wait() == 0
    assert second.get("/ux").status == 200


def refused(path):
    try:
        connect(path).close()
        return False
    except ConnectionRefusedError:
        return True


def test_a_directory_that_is_not_there(directory):
    result = run("--socket", str(directory / "none" / "a.sock"))
    assert result.returncode == 1
    assert f"cannot open {directory}/none, the directory of the socket: No such file or directory" in result.stderr


def test_a_lock_that_is_held(start, directory):
    """A server that is held up in the middle of starting keeps others waiting; here it lets go in time."""
    import fcntl
    with open(directory / "a.sock.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        backend = start(wait=False)
        with pytest.raises(subprocess.TimeoutExpired):
            backend.process.wait(0.3)
        assert not os.path.exists(backend.socket)
    backend.wait_until_ready()
    assert backend.get("/ux").status == 200


def test_backlog(start, directory):
    backend = start("--backlog", "7")
    line = subprocess.run(["ss", "-xlH", "src", f"{directory}/a.sock*"], check=True, capture_output=True,
                          text=True).stdout
    assert line.split()[3] == "7"
    assert backend.get("/ux").status == 200
