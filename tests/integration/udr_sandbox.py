# SPDX-License-Identifier: Apache-2.0
"""A private directory in which a test starts what it needs, and which must be clean when it ends."""
import itertools
import pathlib
import shutil
import sys
import tempfile

import udr_environment
import udr_httpd
import udr_processes
from udr_processes import Server, wait_until

sys.path.insert(0, str(udr_environment.PEERS))

from cgi_server import CgiServer  # noqa: E402  (lies in peers/)
from scripted_server import ScriptedServer  # noqa: E402  (likewise)


class Sandbox:
    """Owns a directory, and everything that was started in it.

    The directory's name is short: a Unix socket's path has at most 107 bytes."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="udr-", dir="/tmp"))
        self.root.chmod(0o755)
        self.sockets = self.root / "s"
        self.sockets.mkdir(mode=0o755)
        self.httpds = []
        self._owned = []  # everything with a stop(), in the order of starting
        self._numbers = itertools.count(1)

    # --- starting things ----------------------------------------------------------------------------------------------

    def socket(self, name="app"):
        """A path for a socket; nothing is made there."""
        return str(self.sockets / f"{name}.sock")

    def httpd(self, config, **settings):
        """Starts an httpd in a ServerRoot of its own. What may be set: udr_httpd.Settings."""
        root = self.root / f"h{next(self._numbers)}"
        root.mkdir(mode=0o755)
        if settings.get("tls"):
            self._make_certificate(root)
        httpd = udr_httpd.Httpd(root, udr_httpd.Settings(config, **settings))
        self._owned.append(httpd)
        self.httpds.append(httpd)
        try:
            return httpd.start()
        except BaseException:
            self._owned.remove(httpd)
            self.httpds.remove(httpd)
            raise

    def _make_certificate(self, root):
        """A self-signed certificate for localhost."""
        command = [
            udr_environment.program("openssl"),
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            root / "key.pem",
            "-out",
            root / "cert.pem",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]
        server = Server("openssl", command, root / "openssl.log", environment=udr_environment.clean_environment())
        assert server.process.wait(60) == 0, server.output()

    def configtest(self, config, **settings):
        """`httpd -t` over the configuration; the answer is a udr_httpd.ConfigTest."""
        root = self.root / f"t{next(self._numbers)}"
        root.mkdir(mode=0o755)
        return udr_httpd.configtest(root, udr_httpd.Settings(config, **settings))

    def scripted(self, name="app", behaviour=None, **options):
        """Starts a scripted server in this process, on the socket of that name, or on an abstract one ("@name").
        With `protocol` among the options ("fcgi", "uwsgi", "scgi") it speaks that instead of HTTP."""
        address = name if name.startswith(("@", "/")) else self.socket(name)
        server = (CgiServer if "protocol" in options else ScriptedServer)(address, behaviour, **options)
        self._owned.append(server)
        return server

    def server(self, name, command, socket=None, environment=None, **options):
        """Starts a program and, when `socket` is given, waits until it accepts there."""
        server = Server(
            name,
            command,
            self.root / f"{name}-{next(self._numbers)}.log",
            environment=environment or udr_environment.clean_environment(),
            **options,
        )
        self._owned.append(server)
        if socket:
            server.wait_for_socket(socket)
        return server

    def scripted_process(self, path, text, user=None, group=None):
        """Starts the scripted server as a program, for instance as another user."""
        script = udr_environment.PEERS / "scripted_server.py"
        return self.server("scripted", [sys.executable, "-B", script, path, text], socket=path, user=user, group=group)

    def stop(self, owned):
        """Ends one of the things before the sandbox does."""
        self._owned.remove(owned)
        if owned in self.httpds:
            self.httpds.remove(owned)
        owned.stop()

    # --- the end ------------------------------------------------------------------------------------------------------

    def close(self):
        """Ends everything, the last started first, and asserts that no process and no socket is left."""
        problems = []
        for owned in reversed(self._owned):
            try:
                owned.stop()
            except AssertionError as problem:
                problems.append(str(problem))
        self._owned, self.httpds = [], []
        try:
            wait_until(lambda: not udr_processes.unix_sockets_under(self.root), "all sockets to be gone", 5)
        except AssertionError as problem:
            problems.append(f"{problem}: {udr_processes.unix_sockets_under(self.root)}")
        if not problems:
            shutil.rmtree(self.root)
        assert not problems, f"the sandbox {self.root} (kept) was not clean:\n" + "\n".join(problems)
