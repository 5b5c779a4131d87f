# SPDX-License-Identifier: Apache-2.0
"""A WSGI application for uWSGI, which speaks four protocols to it. NAME, if set, is its answer to /who."""
import hashlib
import json
import os
import re
import time


def application(environ, start_response):
    path = environ.get("PATH_INFO") or environ["SCRIPT_NAME"]  # FastCGI's scripts have no PATH_INFO
    for pattern, handler in ROUTES:
        match = re.search(pattern, path)
        if match:
            return handler(environ, start_response, *match.groups())
    return environment(environ, start_response)


def answer(start_response, body, status="200 OK", headers=()):
    start_response(status, [("Content-Length", str(len(body))), *headers])
    return [body]


def environment(environ, start_response):
    """What has been said of the request, as JSON."""
    said = {name: value for name, value in environ.items() if isinstance(value, str)}
    said["wsgi.url_scheme"] = environ["wsgi.url_scheme"]
    body = json.dumps(said).encode()
    return answer(start_response, body, headers=[("Content-Type", "application/json")])


def read_body(environ):
    """Yields it. uWSGI does not end it at its length for those that ask for more."""
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left:
        data = environ["wsgi.input"].read(min(left, 1 << 20))
        if not data:
            raise EOFError(f"{left} bytes are missing")
        left -= len(data)
        yield data


def echo(environ, start_response):
    return answer(start_response, b"".join(read_body(environ)))


def digest(environ, start_response):
    summed, length = hashlib.sha256(), 0
    for data in read_body(environ):
        summed.update(data)
        length += len(data)
    return answer(start_response, f"{length} {summed.hexdigest()}".encode())


def stream(environ, start_response):
    """The first line at once; the second when the file has been made that the query names."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first\n"
    while not os.path.exists(environ["QUERY_STRING"]):
        time.sleep(0.01)
    yield b"second\n"


def many_bytes(environ, start_response, count):
    start_response("200 OK", [("Content-Length", count)])
    for _ in range(int(count) >> 16):
        yield bytes(65536)
    yield bytes(int(count) & 65535)


def status(environ, start_response, code):
    start_response(f"{code} As Told", [("X-Told", code)])
    return []


def headers(environ, start_response):
    fields = [("Set-Cookie", f"c{number}=v; Path=/") for number in range(50)]
    fields += [("X-A", "1"), ("X-A", "2"), ("X-Latin", "\xe4"), ("X-Long", "b" * 5000), ("Location", "/elsewhere")]
    return answer(start_response, b"", "302 Moved About", fields)


def fail(environ, start_response):
    raise RuntimeError("as the test wanted")


def fail_late(environ, start_response):
    start_response("200 OK", [("Content-Length", "1000")])
    yield b"begun"
    raise RuntimeError("as the test wanted")


def who(environ, start_response):
    return answer(start_response, os.environ.get("NAME", "").encode())


def healthz(environ, start_response):
    """As ill as the file HEALTH says, if there is one."""
    file = os.environ.get("HEALTH")
    if file and os.path.exists(file):
        with open(file, encoding="ascii") as told:
            return answer(start_response, b"ill", told.read())
    return answer(start_response, b"well")


ROUTES = (
    (r"/echo$", echo),
    (r"/digest$", digest),
    (r"/stream$", stream),
    (r"/bytes/(\d+)$", many_bytes),
    (r"/status/(\d+)$", status),
    (r"/headers$", headers),
    (r"/raise$", fail),
    (r"/raise-late$", fail_late),
    (r"/who$", who),
    (r"/healthz$", healthz),
)
