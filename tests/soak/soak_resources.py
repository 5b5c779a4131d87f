# SPDX-License-Identifier: Apache-2.0
"""What httpd's children hold, as the kernel and mod_status show it: the same before the load and after it."""
import collections
import contextlib
import dataclasses
import os
import socket
import time
import urllib.request

import udr_processes

PIPES_KEPT = 4
AT_ONCE = 16  # clients that come together


def status(port):
    """mod_status's counts, by their names."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/server-status?auto", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def server_children(httpd):
    """The children that serve. mod_cgid's daemon is none of them: it has one thread, or two with a sanitizer's."""
    return [pid for pid in httpd.children() if threads(pid) > 2] or httpd.children()


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors(pid):
    """How many there are of each kind."""
    kinds = collections.Counter()
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{entry}")
        except FileNotFoundError:
            continue
        kinds[target.split(":")[0] if target.startswith(("socket", "pipe")) else target.replace("anon_inode:", "")] += 1
    return kinds


@dataclasses.dataclass
class Holdings:
    """What one look at all children found."""

    children: list
    threads: list
    descriptors: list
    private: int  # bytes of memory
    status: dict

    @property
    def sockets(self):
        return [kinds["socket"] for kinds in self.descriptors]


def look(httpd):
    children = server_children(httpd)
    return Holdings(children, [threads(pid) for pid in children], [descriptors(pid) for pid in children],
                    udr_processes.private_bytes(children), status(httpd.port))


def is_quiet(httpd, threads_per_child):
    """Whether nothing is left under way; this question itself keeps one worker busy and one connection open (or
    closing: let_them_count()'s).

    threads_per_child: 0 under prefork, where idle children come and go."""
    counts = status(httpd.port)
    names = ("ConnsAsyncWriting", "ConnsAsyncKeepAlive")
    workers = len(server_children(httpd)) * threads_per_child
    return (int(counts["BusyWorkers"]) == 1 and (not threads_per_child or int(counts["IdleWorkers"]) == workers - 1)
            and all(int(counts.get(name, 0)) == 0 for name in names) and int(counts.get("ConnsTotal", 1)) <= 1)


def let_them_count(httpd, patience=60):
    """The event MPM writes down how many connections a child has only when something in its queues was to be due: here,
    a kept connection at the end of KeepAliveTimeout, also if it has gone before. Each child has to get one. Of idle
    children each takes a connection in turn, or one takes all; many at once keep that one so busy that the others come
    in. The access log says who has."""
    log = httpd.root / "logs/access.log"
    begin = log.stat().st_size
    deadline = time.monotonic() + patience
    last = None
    while not set(server_children(httpd)) <= asked_for_status(log, begin) and time.monotonic() < deadline:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.create_connection(("127.0.0.1", httpd.port), timeout=60))
                       for _ in range(AT_ONCE)]
            for client in clients:
                client.sendall(b"GET /server-status?auto HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for client in clients:
                client.recv(65536)
            last = clients[-1].dup()
    # Kept for as long as any, and nobody else is there by then.
    while last and last.recv(65536):
        pass
    if last:
        last.close()


def asked_for_status(log, begin):
    """The children that have answered such a request since the log had that size."""
    with open(log, "rb") as lines:
        lines.seek(begin)
        return {int(line.split()[2]) for line in lines if b"GET /server-status" in line and line.endswith(b"\n")}


def wait_until_quiet(httpd, threads_per_child, timeout):
    """Returns whether it came about."""
    deadline = time.monotonic() + timeout
    while not is_quiet(httpd, threads_per_child):
        if time.monotonic() > deadline:
            return False
        if "ConnsTotal" in status(httpd.port):
            let_them_count(httpd)
        else:
            time.sleep(0.2)
    return True


def differences(before, after, slack_bytes):
    """What is not back where it was, in words. Sockets and memory of one and the same children may be compared only."""
    found = []
    if sorted(before.threads) != sorted(after.threads):
        found.append(f"threads: {before.threads} before, {after.threads} after")
    if max(after.sockets) > max(before.sockets):
        found.append(f"sockets: {before.sockets} before, {after.sockets} after")
    for one, other, number in zip(before.descriptors, after.descriptors, after.threads):
        # Each worker thread makes itself an event descriptor when it first waits for a member, and a pipe when it first
        # has much to pass on; a loop keeps some (KEPT_MAX in udr_pipe.c).
        most = {**one, "pipe": max(one["pipe"], 2 * (number + PIPES_KEPT))}
        grown = {kind: (one[kind], count) for kind, count in other.items()
                 if count > most.get(kind, 0) and kind not in ("socket", "[eventfd]")}
        if grown:
            found.append(f"descriptors (before, after): {grown}")
    if before.children == after.children and after.private > before.private + slack_bytes:
        found.append(f"memory: {before.private >> 10} KiB before, {after.private >> 10} KiB after")
    return found


def lasting_differences(httpd, before, after, slack_bytes, patience=20):
    """The same, of what is still so after a while: on a busy machine what is due goes late."""
    deadline = time.monotonic() + patience
    found = differences(before, after, slack_bytes)
    while found and time.monotonic() < deadline:
        time.sleep(1)
        found = differences(before, look(httpd), slack_bytes)
    return found
