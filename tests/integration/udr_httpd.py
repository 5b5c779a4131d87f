# SPDX-License-Identifier: Apache-2.0
"""A private httpd: its configuration, its start, its end, and what must be true then."""
import dataclasses
import os
import pathlib
import pwd
import re
import signal
import socket
import subprocess
import time

import udr_environment
import udr_processes
from udr_errorlog import CRASH, HARMLESS, ErrorLog
from udr_processes import wait_until

# Loaded for every test unless they are linked into httpd. What a test wants beside them it names.
BASE_MODULES = ("unixd", "log_config", "authn_core", "authz_core", "authz_host", "mime", "env", "setenvif", "headers")
RUN_USER = "www-data"


@dataclasses.dataclass
class ConfigTest:
    """What `httpd -t` said."""

    exit_code: int
    output: str
    file: pathlib.Path

    @property
    def refused(self):
        return self.exit_code != 0 and "Syntax OK" not in self.output

    def line_of(self, text):
        """The number of the first line of the configuration that contains the text."""
        for number, line in enumerate(self.file.read_text().splitlines(), 1):
            if text in line:
                return number
        raise AssertionError(f"{text!r} is not in {self.file}")

    def assert_refused_at(self, line, *words):
        """The configuration stops httpd, by an error that names file and line of `line` and has these words."""
        assert self.refused, self.output
        place = f"line {self.line_of(line)} of {self.file}"
        assert place in self.output, f"{place!r} is not in: {self.output}"
        message = self.output[self.output.rfind("\n", 0, self.output.index(place)) + 1 :]
        for word in words:
            assert re.search(word, message, re.I | re.S), f"{word!r} is not in: {self.output}"


class Settings:
    """How an httpd is to be configured. Everything but `config` has a default that suits most tests.

    config    directives of the main server, as text; @PORT@ and @TLSPORT@ stand for ports, @ROOT@ for the ServerRoot
    modules   modules to load beside BASE_MODULES and the module under test, such as "rewrite"
    mpm       default: the one under test
    children  how many child processes; threads: how many requests each serves at once (prefork: children * threads
              processes)
    generations  how many generations of children, the newest included, a test has at once that restarts gracefully
              while something lasts
    log_level of everything, notice or more (httpd says at notice that it has started); udsroute_log_level of the module
    tls       whether to listen on a second port with mod_ssl and a certificate made for this run
    module    whether to load the module under test
    environment  variables for httpd, beside those that a sanitizer needs; preload: a library that httpd is to load
              before all others
    """

    def __init__(
        self,
        config,
        modules=(),
        mpm=None,
        children=1,
        threads=32,
        generations=1,
        log_level="notice",
        udsroute_log_level="debug",
        tls=False,
        module=True,
        quarantine_mb=None,
        access_log=None,
        environment=None,
        preload=None,
    ):
        self.config = config
        self.modules = tuple(modules)
        self.mpm = mpm or udr_environment.mpm()
        self.children = children
        self.threads = threads
        self.generations = generations
        self.log_level = log_level
        self.udsroute_log_level = udsroute_log_level
        self.tls = tls
        self.module = module
        self.quarantine_mb = quarantine_mb
        self.access_log = access_log
        self.environment = dict(environment or {})
        self.preload = preload

    def _load_modules(self):
        directory = udr_environment.apxs("LIBEXECDIR")
        names = [f"mpm_{self.mpm}", *BASE_MODULES, *(("ssl", "socache_shmcb") if self.tls else ()), *self.modules]
        loaded = []
        for name in dict.fromkeys(names):
            static = "event.c worker.c prefork.c" if name.startswith("mpm_") else f"mod_{name}.c"
            if not udr_environment.static_modules().intersection(static.split()):
                loaded.append(f"LoadModule {name}_module {directory}/mod_{name}.so")
        if self.module:
            loaded.append(f"LoadModule udsroute_module {udr_environment.module_path()}")
        return loaded

    def _process_model(self):
        if self.mpm == "prefork":
            processes = self.children * self.threads
            return [
                f"ServerLimit {2 * processes}",
                f"MaxRequestWorkers {processes}",
                f"StartServers {min(processes, 4)}",
                "MinSpareServers 2",
                f"MaxSpareServers {processes + 1}",
            ]
        # Twice the children in ServerLimit: during a graceful restart the old ones are still there. The worker MPM has no
        # places but for as many as MaxRequestWorkers allows. A new child shares an old one's, but only if one of that
        # one's threads was still at its end when its listener was through: with few threads often none is, and no
        # child is made until it has gone (AH00288).
        workers = self.children * self.threads
        most = workers * (self.generations if self.mpm == "worker" else 1)
        return [
            f"ServerLimit {max(2, self.generations) * self.children + 1}",
            f"ThreadsPerChild {self.threads}",
            f"ThreadLimit {self.threads}",
            f"StartServers {self.children}",
            f"MaxRequestWorkers {most}",
            "MinSpareThreads 1",
            f"MaxSpareThreads {workers}",
        ]

    def text(self, root, port, tls_port):
        """The whole httpd.conf."""
        lines = [
            f'ServerRoot "{root}"',
            "ServerName localhost",
            "PidFile run/httpd.pid",
            "DefaultRuntimeDir run",
            *self._load_modules(),
            *self._process_model(),
            f"Listen 127.0.0.1:{port}",
        ]
        if udr_environment.is_root():
            lines += [f"User {RUN_USER}", f"Group {RUN_USER}"]
        lines += ["ErrorLog logs/error.log", f"LogLevel {self.log_level}"]
        if self.module:
            lines.append(f"LogLevel udsroute:{self.udsroute_log_level}")
            if udr_environment.loops():
                lines.append(f"UDSLoops {udr_environment.loops()}")
        lines += [
            f'DocumentRoot "{root}/htdocs"',
            "TypesConfig mime.types",
            "Timeout 60",
            "KeepAliveTimeout 60",
            "MaxKeepAliveRequests 0",
            "GracefulShutdownTimeout 10",
        ]
        if self.access_log:
            lines.append(f'CustomLog logs/access.log "{self.access_log}"')
        if self.tls:
            lines += [f"Listen 127.0.0.1:{tls_port}", "SSLSessionCache shmcb:run/ssl(65536)"]
        lines.append(self.config)
        text = "\n".join(lines) + "\n"
        return text.replace("@PORT@", str(port)).replace("@TLSPORT@", str(tls_port)).replace("@ROOT@", str(root))


def make_server_root(root):
    """Lays out a ServerRoot that httpd's children may read and traverse."""
    for name in ("logs", "run", "htdocs"):
        (root / name).mkdir(mode=0o755, parents=True, exist_ok=True)
        (root / name).chmod(0o755)
    root.chmod(0o755)
    (root / "mime.types").write_text("text/html html\ntext/plain txt\napplication/json json\n")
    (root / "htdocs/index.html").write_text("served by httpd itself\n")


def configtest(root, settings, name="configtest.conf"):
    """`httpd -t` over a configuration in that ServerRoot."""
    make_server_root(root)
    file = root / name
    file.write_text(settings.text(root, udr_processes.free_port(), udr_processes.free_port()))
    done = subprocess.run(
        [udr_environment.httpd_program(), "-t", "-f", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=udr_environment.httpd_environment(),
    )
    output = done.stdout + done.stderr
    # A configuration that is refused ends with httpd's own exit code. Anything else is a crash, no refusal.
    assert done.returncode in (0, 1), f"httpd -t ended with {done.returncode}:\n{output}"
    assert not CRASH.search(output), output
    return ConfigTest(done.returncode, output, file)


class Httpd:
    """One running httpd."""

    def __init__(self, root, settings):
        self.root = pathlib.Path(root)
        self.settings = settings
        self.port = None
        self.tls_port = None
        self.log = ErrorLog(self.root / "logs/error.log")
        self._server = None
        self._child_ids = set()

    # --- start and stop -----------------------------------------------------------------------------------------------

    def start(self):
        make_server_root(self.root)
        for attempt in range(8):
            self._write_configuration()
            if self._launch():
                return self
            if attempt == 0:
                self._assert_valid()
            for log in (self.root / "logs").iterdir():  # it tells of the port alone
                log.unlink()
        raise AssertionError(f"httpd does not start:\n{self._startup_output()}\n{self.log.text()}")

    def _write_configuration(self):
        self.port = udr_processes.free_port()
        self.tls_port = udr_processes.free_port()
        self.configuration.write_text(self.settings.text(self.root, self.port, self.tls_port))

    @property
    def configuration(self):
        return self.root / "httpd.conf"

    def _assert_valid(self):
        done = subprocess.run(
            [udr_environment.httpd_program(), "-t", "-f", str(self.configuration)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env=udr_environment.httpd_environment(),
        )
        assert done.returncode == 0, f"httpd refuses the configuration:\n{done.stdout}{done.stderr}"

    def _launch(self):
        """Starts httpd; False when another program was faster to take the port."""
        command = [udr_environment.httpd_program(), "-f", self.configuration, "-DFOREGROUND"]
        self._server = udr_processes.Server(
            "httpd",
            command,
            self.root / "logs/stderr.log",
            directory=self.root,
            environment={
                **udr_environment.httpd_environment(self.settings.quarantine_mb, self.settings.preload),
                **self.settings.environment,
            },
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self._server.process.poll() is not None:
                if "could not bind to address" in self._startup_output() + self.log.text():
                    return False
                self._assert_valid()
                raise AssertionError(f"httpd ended at once:\n{self._startup_output()}\n{self.log.text()}")
            if self._accepts():
                return True
            time.sleep(0.01)
        self._server.kill()
        raise AssertionError(f"httpd does not accept connections:\n{self._startup_output()}\n{self.log.text()}")

    def _accepts(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return self._starts() > 0 and bool(self.children())

    def _startup_output(self):
        return (self.root / "logs/stderr.log").read_text(errors="replace")

    def signal(self, number):
        """Sends the parent process a signal, and waits for nothing."""
        self._remember_children()
        self._server.send(number)

    def graceful(self):
        """A graceful restart, finished when httpd says so and no old child takes a connection any more."""
        before = self._starts()
        children = set(self.children())
        self._server.send(signal.SIGUSR1)
        wait_until(lambda: self._starts() > before, f"httpd to restart\n{self.log.text()}", 30, 0.02)
        if self.settings.mpm != "prefork":  # whose children listen on until they have served their only client
            old = lambda: [child for child in children.intersection(self.children()) if self._listens(child)]
            wait_until(lambda: not old(), "the old children to listen no more", 20, 0.005)

    def _listens(self, child):
        return bool(udr_processes.listening_ports(child) & {self.port, self.tls_port})

    def renew(self):
        """A graceful restart, after which no old child takes a connection any more."""
        children = set(self.children())
        self.graceful()
        wait_until(lambda: children.isdisjoint(self.children()), "the old children to end", 20, 0.02)

    def reconfigure(self, old, new):
        """The same with another text in its configuration."""
        text = self.configuration.read_text()
        assert old in text
        self.configuration.write_text(text.replace(old, new))
        self.renew()

    def stop_gracefully(self):
        """A graceful stop: httpd ends when the requests that are under way have ended."""
        self._remember_children()
        self._server.send(signal.SIGWINCH)
        wait_until(lambda: not self.running, "httpd to end", 60, 0.02)

    def _wait_until_idle(self):
        """Waits until httpd has closed its clients' connections.

        At SIGTERM the event MPM's children tear down what their threads still use: right behind a request, one time in
        fifty, that ends in an AH03093 or a crash, with no module of ours loaded."""
        deadline = time.monotonic() + 2
        quiet = 0
        while quiet < 2 and time.monotonic() < deadline:
            quiet = 0 if udr_processes.tcp_connections((self.port, self.tls_port)) else quiet + 1
            time.sleep(0.01)

    def _starts(self):
        """How often httpd has started, restarts included."""
        if not self.log.path.exists():
            return 0
        return self.log.path.read_text(errors="replace").count("resuming normal operations")

    def stop(self):
        """Ends httpd and asserts that it went in order: no crash, nothing left, nothing unannounced in the logs."""
        self._remember_children()
        self._wait_until_idle()
        try:
            self._server.stop(30)
        finally:
            self.log.verify()
        whole = self.log.path.read_text(errors="replace") + self._startup_output()
        crashes = [line for line in whole.splitlines() if CRASH.search(line)]
        assert not crashes, "httpd crashed:\n" + "\n".join(crashes)
        unexpected = [
            line
            for line in self._startup_output().splitlines()
            if line.strip() and not HARMLESS.search(line) and not re.search(r":(notice|info)\]", line)
        ]
        assert not unexpected, "httpd wrote to stderr:\n" + "\n".join(unexpected)
        assert not any(udr_processes.children_of(pid) for pid in self._child_ids)

    @property
    def running(self):
        return self._server is not None and self._server.process.poll() is None

    # --- processes ----------------------------------------------------------------------------------------------------

    @property
    def pid(self):
        return self._server.pid

    def children(self):
        """The process ids of the children."""
        return udr_processes.children_of(self.pid)

    def _remember_children(self):
        self._child_ids.update(self.children())

    def kill_child(self, pid):
        """Ends a child the hard way."""
        assert pid in self.children()
        os.kill(pid, signal.SIGKILL)

    def cpu_seconds(self):
        """What the children have used so far."""
        return udr_processes.cpu_seconds(self.children())

    def private_bytes(self):
        """The children's memory that is nobody else's."""
        return udr_processes.private_bytes(self.children())

    # --- requests -----------------------------------------------------------------------------------------------------

    def url(self, target, tls=False):
        return f"https://localhost:{self.tls_port}{target}" if tls else f"http://localhost:{self.port}{target}"

    def logged_lines(self):
        """The access log's lines so far. One that is being written just now is none yet."""
        path = self.root / "logs/access.log"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def access_lines(self, count, timeout=10):
        """The access log once it has that many lines."""
        wait_until(lambda: len(self.logged_lines()) >= count, f"{count} lines in the access log", timeout)
        return self.logged_lines()


def run_user_name():
    """The user whose permissions decide whether a socket can be reached."""
    return RUN_USER if udr_environment.is_root() else pwd.getpwuid(os.geteuid()).pw_name
