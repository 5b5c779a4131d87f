# SPDX-License-Identifier: Apache-2.0
"""The real backends: a Gunicorn application, a Node.js http server, and the project's own udsbackend.

All three have the same routes: /ux /echo /bytes/N /chunked/N /status/CODE /delay/MS /sse /upload /data.bin.

And those that speak WebSocket, on /ws: udsbackend, the websockets library of Python, the ws module of Node.js."""
import sys

import udr_environment

NAMES = ("gunicorn", "node", "udsbackend")
TEXT = "Hello via unix socket"


def start_gunicorn(sandbox, data):
    socket = sandbox.socket("gunicorn")
    environment = {**udr_environment.clean_environment(), "DATA": str(data), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [
        udr_environment.program("gunicorn"),
        "--bind",
        f"unix:{socket}",
        "--umask",
        "0",
        "--workers",
        "2",
        "--worker-class",
        "gthread",
        "--threads",
        "16",
        "--keep-alive",
        "120",
        "--log-level",
        "warning",
        "--worker-tmp-dir",
        sandbox.root,
        "--chdir",
        udr_environment.PEERS,
        "gunicorn_app:application",
    ]
    sandbox.server("gunicorn", command, socket=socket, environment=environment)
    return socket


def start_node(sandbox, data):
    socket = sandbox.socket("node")
    command = [udr_environment.program("node"), udr_environment.PEERS / "node_server.js", socket, data]
    sandbox.server("node", command, socket=socket)
    return socket


def start_udsbackend(sandbox, data, *options):
    socket = sandbox.socket("udsbackend")
    command = [udr_environment.backend_path(), "--socket", socket, "--mode", "0666", "--root", data.parent, *options]
    environment = {**udr_environment.clean_environment(), "ASAN_OPTIONS": "detect_leaks=0"}
    sandbox.server("udsbackend", command, socket=socket, environment=environment)
    return socket


# --- WebSockets -------------------------------------------------------------------------------------------------------

WEBSOCKET_NAMES = ("udsbackend", "websockets", "ws")


def websocket_command(name):
    """Of the backend with that name: a function of the socket's path, as udr_balancers.Member takes it. Debian's modules
    for Node.js are where only its own Node.js looks for them."""
    return {
        "udsbackend": lambda socket: [udr_environment.backend_path(), "--socket", socket, "--mode", "0666"],
        "websockets": lambda socket: [sys.executable, "-B", udr_environment.PEERS / "websockets_server.py", socket],
        "ws": lambda socket: [
            udr_environment.program("env"),
            "NODE_PATH=/usr/share/nodejs",
            udr_environment.program("node"),
            udr_environment.PEERS / "ws_server.js",
            socket,
        ],
    }[name]


STARTERS = {"gunicorn": start_gunicorn, "node": start_node, "udsbackend": start_udsbackend}
