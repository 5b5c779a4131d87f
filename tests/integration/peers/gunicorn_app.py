# SPDX-License-Identifier: Apache-2.0
"""A WSGI application with the routes that udsbackend has, for Gunicorn.

DATA names a file that is served at /data.bin, with ranges."""
import hashlib
import json
import os
import re
import time

BLOCK = bytes(range(256)) * 4096  # 1 MiB


def application(environ, start_response):
    path = environ["PATH_INFO"]
    for pattern, handler in ROUTES:
        match = re.fullmatch(pattern, path)
        if match:
            return handler(environ, start_response, *match.groups())
    return answer(start_response, "404 Not Found", b"no such route\n")


def answer(start_response, status, body, content_type="text/plain", headers=()):
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body))), *headers])
    return [body]


def text(environ, start_response):
    return answer(start_response, "200 OK", b"Hello via unix socket")


def echo(environ, start_response):
    """What arrived, as JSON."""
    body = environ["wsgi.input"].read()
    headers = [
        [name[5:].replace("_", "-").title(), value] for name, value in environ.items() if name.startswith("HTTP_")
    ]
    headers += [
        [name.replace("_", "-").title(), environ[name]]
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        if environ.get(name)
    ]
    seen = {
        "method": environ["REQUEST_METHOD"],
        "target": environ["RAW_URI"],
        "headers": headers,
        "trailers": [],
        "body_length": len(body),
        "body": body.decode("utf-8", "replace"),
    }
    return answer(start_response, "200 OK", json.dumps(seen).encode(), "application/json")


def blocks(size):
    while size > 0:
        yield BLOCK[: min(size, len(BLOCK))]
        size -= len(BLOCK)


def many_bytes(environ, start_response, size):
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", size)])
    return blocks(int(size))


def chunked(environ, start_response, count):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (f"chunk {number}\n".encode() for number in range(1, int(count) + 1))


def status(environ, start_response, code):
    headers = [] if code in ("204", "304") else [("Content-Length", "0")]
    start_response(f"{code} Status", headers)
    return []


def delay(environ, start_response, milliseconds):
    time.sleep(int(milliseconds) / 1000)
    return answer(start_response, "200 OK", f"waited {milliseconds} ms".encode())


def events(environ, start_response):
    """Server-sent events, each with the time at which it was sent."""
    query = dict(pair.split("=") for pair in environ.get("QUERY_STRING", "").split("&") if pair)
    start_response("200 OK", [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")])
    for number in range(1, int(query.get("count", 10)) + 1):
        if number > 1:
            time.sleep(int(query.get("interval", 1000)) / 1000)
        yield f'id: {number}\ndata: {json.dumps({"number": number, "time_ms": time.time() * 1000})}\n\n'.encode()


def upload(environ, start_response):
    """Length and SHA-256 of the body."""
    digest, length = hashlib.sha256(), 0
    while True:
        piece = environ["wsgi.input"].read(1 << 20)
        if not piece:
            break
        digest.update(piece)
        length += len(piece)
    seen = {"length": length, "sha256": digest.hexdigest()}
    return answer(start_response, "200 OK", json.dumps(seen).encode(), "application/json")


def data(environ, start_response):
    """The file, or one range of it."""
    with open(os.environ["DATA"], "rb") as file:
        content = file.read()
    match = re.fullmatch(r"bytes=(\d+)-(\d+)", environ.get("HTTP_RANGE", ""))
    if not match:
        return answer(start_response, "200 OK", content, "application/octet-stream", [("Accept-Ranges", "bytes")])
    first, last = int(match.group(1)), int(match.group(2))
    if first >= len(content):
        return answer(
            start_response, "416 Range Not Satisfiable", b"", headers=[("Content-Range", f"bytes */{len(content)}")]
        )
    return answer(
        start_response,
        "206 Partial Content",
        content[first : last + 1],
        "application/octet-stream",
        [("Content-Range", f"bytes {first}-{last}/{len(content)}")],
    )


ROUTES = [
    (r"/ux", text),
    (r"/echo", echo),
    (r"/bytes/(\d+)", many_bytes),
    (r"/chunked/(\d+)", chunked),
    (r"/status/(\d+)", status),
    (r"/delay/(\d+)", delay),
    (r"/sse", events),
    (r"/upload", upload),
    (r"/data\.bin", data),
]
