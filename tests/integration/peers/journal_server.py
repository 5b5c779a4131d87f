# SPDX-License-Identifier: Apache-2.0
"""A server on a Unix socket that writes down what it processes, so that a test sees it after the server was killed.

    journal_server.py SOCKET JOURNAL MILLISECONDS

Each request's X-Number becomes a line of the journal when its body has come; the answer follows after a random time of
up to so many milliseconds."""
import os
import pathlib
import random
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import udr_wire  # noqa: E402  (found by the path above)


def serve(sock, journal, longest):
    stream = udr_wire.Stream(sock)
    try:
        while request := udr_wire.read_request_head(stream):
            udr_wire.read_body(stream, request)
            # One write(2) to a file opened for appending: whole or not at all, even when killed.
            os.write(journal, f"{request.get('X-Number')}\n".encode())
            time.sleep(random.uniform(0, longest))
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (udr_wire.Closed, OSError):
        pass
    sock.close()


def main():
    path, journal, longest = sys.argv[1], sys.argv[2], float(sys.argv[3]) / 1000
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{path}.new")
    os.chmod(f"{path}.new", 0o666)
    listener.listen(64)
    os.rename(f"{path}.new", path)  # in the place of the one that was killed
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock, descriptor, longest), daemon=True).start()


if __name__ == "__main__":
    main()
