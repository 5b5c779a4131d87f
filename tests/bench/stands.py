# SPDX-License-Identifier: Apache-2.0
"""A stand is one backend and the proxies before it, made anew for each case."""

import contextlib
import http.client
import pathlib
import re
import ssl
import subprocess

from backends import CACHED, HELLO, PAGE, Backend, start_backend
from proxies import Proxy, Shape, Site
from servers import FETCH_SECONDS, Failure, Kit, answers, fetch, free_port, start, stop


class Target:
    """One proxy of a stand."""

    def __init__(self, proxy: Proxy, site: Site, backend: Backend) -> None:
        self.name = proxy.name
        self.site = site
        self.backend = backend
        self.command = proxy.configure(site)
        self.process = self.start()

    def start(self) -> subprocess.Popen:
        return start(self.name, self.command, self.site.directory, lambda: answers(self.fetch, self.backend.probe))

    def stop(self) -> None:
        stop(self.process)

    def restart(self) -> None:
        """Another process with the same configuration, that has nothing behind it."""
        self.stop()
        self.process = self.start()

    def url(self, path: str) -> str:
        return f"{'https' if self.site.shape.tls else 'http'}://127.0.0.1:{self.site.port}{path}"

    def fetch(self, path: str) -> tuple[int, bytes]:
        if self.site.shape.tls:
            trusting = ssl._create_unverified_context()  # pylint: disable=protected-access  (our own certificate)
            return fetch(http.client.HTTPSConnection("127.0.0.1", self.site.port, timeout=FETCH_SECONDS,
                                                     context=trusting), path)
        return fetch(http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=FETCH_SECONDS), path)

    def busy_workers(self) -> int:
        """mod_status's count of worker threads that are not idle, without the one that answers this."""
        text = self.fetch("/server-status?auto")[1].decode()
        return int(re.search(r"^BusyWorkers: (\d+)$", text, re.MULTILINE)[1]) - 1


def check_php(target: Target) -> None:
    """What PHP compiles anew for each request is not what is to be measured."""
    for path in (HELLO, PAGE):
        target.fetch(path)
    status, body = target.fetch(CACHED)
    if (status, body) != (200, b"bool(true)\n" * 2):
        raise Failure(f"PHP's opcache has not the scripts: {target.name} answers {CACHED} with {status}, {body}")


@contextlib.contextmanager
def stand(kit: Kit, directory: pathlib.Path, shape: Shape, proxies: list[Proxy]):
    """The proxies, running, by name; all ends with the block."""
    directory.mkdir()
    directory.chmod(0o755)
    with contextlib.ExitStack() as stack:
        backend = start_backend(kit, directory, shape, [proxy.name for proxy in proxies])
        stack.callback(stop, backend.process)
        targets = {}
        for proxy in proxies:
            site = Site(directory / proxy.name, free_port(), shape, backend.socket_for(proxy.name), kit.build,
                        kit.httpd, kit.httpd_modules, kit.user, kit.group, kit.certificate if shape.tls else None,
                        backend.documents)
            site.directory.mkdir()
            targets[proxy.name] = Target(proxy, site, backend)
            stack.callback(targets[proxy.name].stop)
        if shape.php:
            for target in targets.values():
                check_php(target)
        yield targets
