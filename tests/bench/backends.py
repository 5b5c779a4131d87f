# SPDX-License-Identifier: Apache-2.0
"""What answers behind the proxies of a stand: udsbackend, or PHP-FPM."""

import os
import pathlib
import re
import socket
from typing import Protocol

from proxies import Shape
from servers import Failure, Kit, UnixConnection, answers, fetch, start

HELLO = "/hello.php"
PAGE = "/page.php"
CACHED = "/cached.php"
SCRIPTS = {
    HELLO: '<?php echo "hello";\n',
    PAGE: '<?php echo str_repeat("<p>Sixty-four KiB, as a page may have: sixty-four bytes a line.\\n", 1024);\n',
    # Whether the others come from memory.
    CACHED: '<?php foreach (["hello", "page"] as $name) var_dump(opcache_is_script_cached(__DIR__ . "/$name.php"));\n',
}


class Backend(Protocol):
    probe: str  # a path that is answered with 200
    documents: pathlib.Path | None  # where its scripts are

    def socket_for(self, proxy: str) -> pathlib.Path: ...


class UdsBackend:
    """udsbackend on a Unix socket."""

    probe = "/ux"
    documents = None

    def __init__(self, kit: Kit, directory: pathlib.Path) -> None:
        self.socket = directory / "app.sock"
        command = [str(kit.build / "backend/udsbackend"), "--socket", str(self.socket), "--mode", "0666",
                   "--threads", str(kit.backend_threads)]
        self.process = start("udsbackend", command, directory, lambda: answers(self.fetch, self.probe))

    def socket_for(self, proxy: str) -> pathlib.Path:
        del proxy
        return self.socket

    def fetch(self, path: str) -> tuple[int, bytes]:
        return fetch(UnixConnection(self.socket), path)

    def in_flight(self) -> int:
        """Requests that have begun and not ended, WebSockets included; without the one that asks."""
        text = self.fetch("/metrics")[1].decode()
        return int(re.search(r"^udsbackend_in_flight (\d+)$", text, re.MULTILINE)[1]) - 1


def fpm_program() -> str:
    """Debian names it by its version."""
    for directory in os.environ["PATH"].split(":"):
        found = sorted(pathlib.Path(directory).glob("php-fpm*"))
        if found:
            return str(found[-1])
    raise Failure("not found: php-fpm (on Debian: scripts/install-deps.sh bench)")


class Php:
    """PHP-FPM. Each of its processes has one connection and keeps it, so those that one proxy leaves idle would be
    missing in the next one's turn: each proxy has a pool of them, on a socket of its own."""

    probe = HELLO

    def __init__(self, kit: Kit, directory: pathlib.Path, children: int, proxies: list[str]) -> None:
        self.directory = directory
        self.documents = directory / "documents"
        self.documents.mkdir()
        for name, text in SCRIPTS.items():
            (self.documents / name.removeprefix("/")).write_text(text)
        account = f"user = {kit.user}\ngroup = {kit.group}\n" if kit.user else ""
        pools = "".join(f"""\
[{name}]
{account}listen = {self.socket_for(name)}
listen.mode = 0666
pm = static
pm.max_children = {children}
""" for name in proxies)
        configuration = directory / "php-fpm.conf"
        configuration.write_text(f"[global]\nerror_log = {directory}/php-fpm.log\n{pools}")
        # Nothing of the machine's own configuration. A file of the last two seconds would not be cached.
        command = [fpm_program(), "-F", "-n", "-y", str(configuration), "-d", "zend_extension=opcache",
                   "-d", "opcache.file_update_protection=0"]
        self.process = start("php-fpm", command, directory, lambda: all(map(self.listens, proxies)))

    def socket_for(self, proxy: str) -> pathlib.Path:
        return self.directory / f"{proxy}.sock"

    def listens(self, proxy: str) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket_for(proxy))) == 0


def start_backend(kit: Kit, directory: pathlib.Path, shape: Shape, proxies: list[str]) -> Backend:
    return Php(kit, directory, shape.php, proxies) if shape.php else UdsBackend(kit, directory)
