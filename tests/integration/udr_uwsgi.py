# SPDX-License-Identifier: Apache-2.0
"""uWSGI as Debian has it, with a WSGI application that it serves in each of its protocols."""
import udr_environment
from udr_processes import wait_until

# The scheme of a target -> uWSGI's option for such a socket.
SOCKETS = {"uwsgi": "--uwsgi-socket", "scgi": "--scgi-socket", "fcgi": "--fastcgi-socket", "http": "--http-socket"}

# The line that the master and each worker write when they have got so far.
AT_WORK = "at work"


def command(sockets, *options, processes=2, threads=4):
    """sockets: scheme -> path."""
    words = [udr_environment.program("uwsgi"), "--plugin", "python3", "--need-app", "--die-on-term", "--master"]
    for scheme, path in sockets.items():
        words += [SOCKETS[scheme], path]
    # A umask, as chmod-socket would come a moment after listen(2); and room for more variables than 4 KiB.
    words += ["--umask", "000", "--buffer-size", "65535", "--listen", "100"]
    words += ["--processes", str(processes), "--threads", str(threads)]
    words += ["--pythonpath", udr_environment.PEERS, "--module", "wsgi_app", "--disable-logging"]
    # For wait_until_stoppable(); and a worker that is told to end does so at once: uWSGI calls exit(3) in a signal's
    # handler, where tearing Python down may wait for a lock that the same thread holds.
    words += ["--hook-master-start", f"print:{AT_WORK}", "--hook-accepting", f"print:{AT_WORK}", "--skip-atexit"]
    return [*words, *options]


def environment(**more):
    return {**udr_environment.clean_environment(), "PYTHONDONTWRITEBYTECODE": "1", **more}


def start_uwsgi(sandbox, schemes=tuple(SOCKETS), *options, name="", processes=2, threads=4, health=""):
    """Starts one that listens in each of the schemes; returns (the server, scheme -> path). name: its answer to
    /who; health: the name of a file that says how it is."""
    sockets = {scheme: sandbox.socket(f"{name or 'uwsgi'}-{scheme}") for scheme in schemes}
    server = sandbox.server(
        f"uwsgi{name}",
        command(sockets, *options, processes=processes, threads=threads),
        environment=environment(NAME=name, HEALTH=str(health)),
    )
    for path in sockets.values():
        server.wait_for_socket(path)
    wait_until_stoppable(server, processes)
    return server, sockets


def wait_until_stoppable(server, processes=2):
    """Waits until master and workers have their handlers of signals. Before, requests are answered already; but a
    SIGTERM to the master may be lost, and a worker that gets the master's SIGINT goes on: it is Python's then, which
    makes an exception of it."""

    def are_at_work():
        return server.output().splitlines().count(AT_WORK) >= 1 + processes

    wait_until(are_at_work, f"{server.name} to be at work\n{server.output()}", 30)


def target(sockets, scheme, path="/"):
    return f"unix:{sockets[scheme]}|{scheme}://localhost{path}"
