# SPDX-License-Identifier: Apache-2.0
"""Sockets' files that go and appear are acted on at once, long before the next check is due."""
import contextlib
import os
import socket
import threading
import time

import pytest

import udr_environment
from udr_balancers import balancer
from udr_client import fetch
from udr_health import STATUS, Patient, answers, health, members, wait_for_state, wait_until_checked
from udr_processes import wait_until

TRIALS = 20
# What a user of an idle machine sees is 50 ms (docs/health.md); these bounds are for one that runs other tests besides,
# and still far from the 30 s of hcinterval. All trials but two are held to the first: a machine may stall.
AT_ONCE = 0.5  # seconds
SOON = 6.0
CHECKED = "hcmethod=GET hcuri=/healthz hcinterval=30"


class Comer:
    """A member that counts its requests, and comes and goes as fast as it can."""

    def __init__(self, path):
        self.path = path
        self.served = []  # when
        self.listener = None
        self.bind()
        self.listen()

    def bind(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)

    def listen(self):
        """Returns when."""
        self.listener.listen(64)
        threading.Thread(target=self._serve, args=(self.listener,), daemon=True).start()
        return time.monotonic()

    def go(self):
        """As one that is killed, and whose file is unlinked."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)
        return time.monotonic()

    def stop(self):
        if os.path.exists(self.path):
            self.go()

    def _serve(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            if not head.startswith(b"GET /healthz "):
                self.served.append(time.monotonic())
            with contextlib.suppress(BrokenPipeError):  # a check that is asked anew, since the file has changed
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")


@pytest.fixture
def comer(sandbox):
    one = Comer(sandbox.socket("a"))
    yield one
    one.stop()


def start(sandbox, parameters, **more):
    Patient(sandbox, "b")
    httpd = sandbox.httpd(
        STATUS + balancer(sandbox, {"a": parameters, "b": parameters}), udsroute_log_level="info", **more
    )
    httpd.log.allow(r"UDR0034: member .*/a\.sock|UDR004[01]: member .*/a\.sock")
    return httpd


def time_until(httpd, name, expected, since):
    while members(httpd)[name]["state"] not in expected:
        assert time.monotonic() < since + 25, f"{name} does not become {expected}\n{httpd.log.text()}"
        time.sleep(0.001)
    return time.monotonic() - since


@pytest.mark.parametrize("parameters", [CHECKED, ""], ids=["checked", "unchecked"])
def test_gone_and_back(sandbox, comer, parameters, capsys):
    """Twenty times; nobody is kept waiting, and no request fails. (Prefork watches where there are checks.)"""
    httpd = start(sandbox, parameters, mpm=None if parameters else udr_environment.threaded_mpm())
    if parameters:
        wait_until_checked(httpd, "a")
    fetch(httpd.port, "/x"), fetch(httpd.port, "/x")
    wait_for_state(httpd, "a", "up")
    away, back = [], []
    for _ in range(TRIALS):
        away.append(time_until(httpd, "a", {"down"}, comer.go()))
        for _ in range(4):
            assert fetch(httpd.port, "/x").status == 200
        comer.bind()
        time.sleep(0.005)  # an application that has something to do between bind(2) and listen(2)
        since = comer.listen()
        back.append(time_until(httpd, "a", {"up"}, since))
        served = len(comer.served)
        for _ in range(4):
            assert fetch(httpd.port, "/x").status == 200
        assert len(comer.served) == served + 2, "every other request is its"
    with capsys.disabled():
        print(f" [out after {max(away) * 1000:.0f} ms, back after {max(back) * 1000:.0f} ms at worst]", end="")
    for took in (sorted(away), sorted(back)):
        assert took[-3] < AT_ONCE and took[-1] < SOON, took


def test_nobody_listens_for_a_while(sandbox, comer):
    """A socket is there long before anybody listens: it is looked at again and again, and nothing of that counts."""
    httpd = start(sandbox, f"{CHECKED} hcfails=1")
    wait_for_state(httpd, "a", "up")
    wait_until_checked(httpd, "a")
    failed = health(httpd, "a")["fails"]
    comer.go()
    wait_for_state(httpd, "a", "down")
    comer.bind()
    time.sleep(0.5)
    assert members(httpd)["a"]["state"] == "down"
    since = comer.listen()
    assert time_until(httpd, "a", {"up"}, since) < SOON
    assert health(httpd, "a")["fails"] == failed


def test_a_directory_that_can_not_be_watched(sandbox, comer):
    """Nobody but its owner may list it: its sockets are looked at each second."""
    os.chmod(sandbox.sockets, 0o711)
    if not udr_environment.is_root():
        os.chmod(sandbox.sockets, 0o311)
    httpd = start(sandbox, CHECKED)
    wait_until_checked(httpd, "a")
    since = comer.go()
    assert time_until(httpd, "a", {"down"}, since) < 10
    comer.bind()
    since = comer.listen()
    assert time_until(httpd, "a", {"up"}, since) < 10


def test_ill_from_the_start(sandbox, comer):
    """A socket that appears is no proof: who is checked has to pass before it is back."""
    httpd = start(sandbox, CHECKED)
    wait_until_checked(httpd, "a")
    comer.go()
    wait_for_state(httpd, "a", "down")
    ill = Patient(sandbox, "a", answers(500))
    wait_until(lambda: health(httpd, "a")["fails"] == 1, "the check of the new one")
    assert members(httpd)["a"]["state"] == "down"
    ill.stop()
