# SPDX-License-Identifier: Apache-2.0
"""PHP-FPM as Debian has it, with a configuration of its own, and sites that it serves."""
import base64
import json
import os
import pathlib
import re
import shutil
import signal

import udr_environment
import udr_httpd
from udr_processes import Server, children_of, wait_until

SCRIPTS = udr_environment.PEERS / "php"
# What FPM writes at its start, reloads and end, and that it has taken the line of a script for the log.
_USUAL = re.compile(r"\] NOTICE: |\] DEBUG: |^$")


def fpm_program():
    """Debian names it by its version."""
    found = sorted(pathlib.Path("/usr/sbin").glob("php-fpm*"))
    if not found:
        raise FileNotFoundError("the tests need PHP-FPM (/usr/sbin/php-fpm8.2 or another), which is not installed")
    return found[-1]


class Fpm:
    """A master of PHP-FPM with one pool, on a socket of its own.

    pool: further lines of the pool's section; php: values for php.ini."""

    def __init__(self, sandbox, name="php", children=4, pool=(), php=None):
        self.socket = sandbox.socket(name)
        self.root = sandbox.root / f"fpm-{name}"
        self.root.mkdir(mode=0o755)
        (self.root / "tmp").mkdir(mode=0o777)
        (self.root / "tmp").chmod(0o1777)
        self.log_path = self.root / "fpm.log"
        self._name = name
        self._allowed = []
        self.configuration = self.root / "fpm.conf"
        self.configuration.write_text(self._text(children, pool, php or {}))
        self._server = None

    def _text(self, children, pool, php):
        lines = [
            "[global]",
            f"pid = {self.root}/fpm.pid",
            f"error_log = {self.log_path}",
            "log_limit = 8192",
            "log_buffering = no",
            "process_control_timeout = 10s",
            f"[{self._name}]",
            f"listen = {self.socket}",
            "listen.mode = 0666",
            "listen.backlog = 511",
            "pm = static",
            f"pm.max_children = {children}",
            "ping.path = /ping",
            "pm.status_path = /fpm-status",
            "clear_env = yes",
            *pool,
        ]
        if udr_environment.is_root():
            lines += [f"user = {udr_httpd.RUN_USER}", f"group = {udr_httpd.RUN_USER}"]
        values = {
            "sys_temp_dir": self.root / "tmp",
            "upload_tmp_dir": self.root / "tmp",
            "upload_max_filesize": "256M",
            "post_max_size": "256M",
            "memory_limit": "64M",
            "display_errors": "0",
            "log_errors": "1",
            "html_errors": "0",
            "expose_php": "0",
            "date.timezone": "UTC",
            **php,
        }
        lines += [f"php_admin_value[{name}] = {value}" for name, value in values.items()]
        return "\n".join(lines) + "\n"

    # --- start and stop -----------------------------------------------------------------------------------------------

    def start(self):
        before = self.starts()
        # No php.ini of the machine's, no extension but opcache, which nobody runs without.
        command = [fpm_program(), "-F", "-n", "-d", "zend_extension=opcache.so", "-d", "opcache.revalidate_freq=0"]
        self._server = Server(
            "php-fpm",
            [*command, "-y", self.configuration],
            self.root / "output.log",
            environment=udr_environment.clean_environment(),
        )
        self._server.wait_for_socket(self.socket)
        self.wait_until_ready(before)
        return self

    def wait_until_ready(self, before):
        wait_until(lambda: self.starts() > before, f"php-fpm to be ready\n{self.log_text()}", 20)

    def starts(self):
        """How often it has started, reloads included."""
        return self.log_text().count("ready to handle connections")

    def stop(self):
        """Ends it at once; nothing of it may be left, and nothing unexpected in its log."""
        self._server.send(signal.SIGCONT)
        self._server.stop()
        self.verify_log()

    def end(self):
        """As `systemctl stop` does; it may be started again."""
        self._server.stop()

    def restart(self):
        """As `systemctl restart` does."""
        self.end()
        self.start()

    def reload(self):
        """Another master takes over the socket; the children end when their requests have."""
        before = self.starts()
        self._server.send(signal.SIGUSR2)
        self.wait_until_ready(before)

    def send(self, number):
        """Sends the master a signal, and waits for nothing."""
        self._server.send(number)

    # --- processes ----------------------------------------------------------------------------------------------------

    @property
    def pid(self):
        return self._server.pid

    def children(self):
        return children_of(self.pid)

    def signal_all(self, number):
        """Master and children: SIGSTOP, say."""
        for pid in (self.pid, *self.children()):
            os.kill(pid, number)

    # --- the log ------------------------------------------------------------------------------------------------------

    def log_text(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def allow(self, pattern):
        """Lets lines of its log pass from now on."""
        self._allowed.append(re.compile(pattern))

    def verify_log(self):
        lines = self.log_text().splitlines() + (self.root / "output.log").read_text(errors="replace").splitlines()
        bad = [
            line
            for line in lines
            if not _USUAL.search(line) and not any(pattern.search(line) for pattern in self._allowed)
        ]
        assert not bad, "unexpected in php-fpm's log:\n" + "\n".join(bad[:20])


def start_fpm(sandbox, name="php", **options):
    """Starts one that ends with the sandbox."""
    fpm = Fpm(sandbox, name, **options)
    sandbox._owned.append(fpm)  # pylint: disable=protected-access
    return fpm.start()


def make_site(sandbox, name="site"):
    """A document root with the scripts of peers/php."""
    root = sandbox.root / name
    shutil.copytree(SCRIPTS, root)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return root


def variables(response):
    """$_SERVER, as peers/php/vars.php gives it; strings of Latin-1, one character a byte."""
    return {name: base64.b64decode(value).decode("latin-1") for name, value in json.loads(response.body).items()}


def files_config(fpm, root, scheme="udsroute"):
    """The configuration that serves the scripts of a site, in the form of a SetHandler."""
    return f"""
DocumentRoot "{root}"
<Directory "{root}">
  Require all granted
</Directory>
<FilesMatch "\\.php$">
  SetHandler "{scheme}:unix:{fpm.socket}|fcgi://localhost"
</FilesMatch>
"""


def start_site(sandbox, runner, children=8, config="", php=None, pool=(), **settings):
    """One FPM with a site, and an httpd that serves it; @SITE@ and @SOCKET@ in its configuration are theirs."""
    mpm, head = udr_environment.RUNNERS[runner]
    name = runner.replace(" ", "-")
    fpm = start_fpm(sandbox, name, children=children, php=php, pool=pool)
    root = make_site(sandbox, f"site-{name}")
    settings.setdefault("threads", 16)
    text = head + files_config(fpm, root) + config.replace("@SITE@", str(root)).replace("@SOCKET@", fpm.socket)
    httpd = sandbox.httpd(text, mpm=mpm, **settings)
    httpd.fpm, httpd.site = fpm, root
    return httpd
