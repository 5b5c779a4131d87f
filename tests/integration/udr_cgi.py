# SPDX-License-Identifier: Apache-2.0
"""FastCGI, uwsgi and SCGI from the application's side: requests read without any mercy, responses put together.

A request is a udr_wire.Request whose fields are the variables. What could be read two ways (a variable twice, a length
that is not that of the body, records out of order) is malformed."""
import re

from udr_wire import Closed, Malformed, Request

PROTOCOLS = ("fcgi", "uwsgi", "scgi")

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 9, 10, 11
OF_WEB_SERVERS = (BEGIN_REQUEST, ABORT_REQUEST, PARAMS, STDIN)
RESPONDER, KEEP_CONN = 1, 1
REQUEST_COMPLETE, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE = range(4)
CONTENT_MAX = 65535
NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_.:()-]*")


# --- responses --------------------------------------------------------------------------------------------------------


def record(kind, content=b"", padding=0, version=1, request=1):
    """A record of FastCGI."""
    lengths = len(content).to_bytes(2, "big") + bytes([padding, 0])
    return bytes([version, kind]) + request.to_bytes(2, "big") + lengths + content + b"\xaa" * padding


def end_request(protocol_status=REQUEST_COMPLETE, application_status=0):
    return record(END_REQUEST, application_status.to_bytes(4, "big") + bytes([protocol_status, 0, 0, 0]))


def stdout(data, size=CONTENT_MAX, padding=0):
    """The data in records of at most `size` bytes, without the end of the stream."""
    return b"".join(record(STDOUT, data[at : at + size], padding) for at in range(0, len(data), size))


def wrap(protocol, response):
    """What a CGI program has answered, as the protocol has it; complete."""
    return stdout(response) + record(STDOUT) + end_request() if protocol == "fcgi" else response


def response_bytes(status=200, body=b"", fields=()):
    """A CGI response with Content-Length."""
    lines = [f"Status: {status}", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


# --- requests ---------------------------------------------------------------------------------------------------------


def _take(stream, count):
    data = b"".join(stream.pieces(count))
    if len(data) < count:
        raise Closed(f"closed within a request: {data[:200]!r}")
    return data


def _request(pairs):
    """From the variables, as pairs of bytes."""
    for name, value in pairs:
        if not NAME.fullmatch(name) or b"\0" in value:
            raise Malformed(f"no variable: {name!r} = {value[:200]!r}")
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]
    names = [name for name, _ in fields]
    if len(set(names)) != len(names):
        raise Malformed(f"a variable twice: {sorted(names)}")
    request = Request("", "1.1", fields, method=dict(fields)["REQUEST_METHOD"], target=dict(fields)["REQUEST_URI"])
    length = dict(fields).get("CONTENT_LENGTH")
    if length is not None and not re.fullmatch("0|[1-9][0-9]*", length):
        raise Malformed(f"CONTENT_LENGTH {length!r}")
    request.framing = "none" if length is None else "length"
    return request


def _take_record(stream):
    header = _take(stream, 8)
    if header[0] != 1 or header[1] not in OF_WEB_SERVERS or header[2:4] != b"\0\1" or header[7]:
        raise Malformed(f"no record of a request: {header!r}")
    content = _take(stream, int.from_bytes(header[4:6], "big"))
    _take(stream, header[6])
    return header[1], content


def _take_length(data, at):
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    return int.from_bytes(data[at : at + 4], "big") & 0x7FFFFFFF, at + 4


def _parse_params(data):
    pairs, at = [], 0
    while at < len(data):
        name_len, at = _take_length(data, at)
        value_len, at = _take_length(data, at)
        end = at + name_len + value_len
        if end > len(data):
            raise Malformed("a variable that is longer than all of them")
        pairs.append((data[at : at + name_len], data[at + name_len : end]))
        at = end
    return pairs


def _read_fcgi_head(stream):
    kind, content = _take_record(stream)
    if kind == ABORT_REQUEST and not stream.buffer and not stream.fill():
        return None
    if kind != BEGIN_REQUEST or content[:2] != bytes([0, RESPONDER]) or content[2] > KEEP_CONN or any(content[3:]):
        raise Malformed(f"no BEGIN_REQUEST: {kind} {content!r}")
    keeps = content[2] == KEEP_CONN
    params = b""
    while True:
        kind, content = _take_record(stream)
        if kind != PARAMS:
            raise Malformed(f"a record of type {kind} within PARAMS")
        if not content:
            break
        params += content
    request = _request(_parse_params(params))
    request.keeps = keeps
    return request


def _read_fcgi_body(stream):
    body = b""
    while True:
        kind, content = _take_record(stream)
        if kind == ABORT_REQUEST:
            raise Closed("aborted")
        if kind != STDIN:
            raise Malformed(f"a record of type {kind} within STDIN")
        if not content:
            return body
        body += content


def _read_uwsgi_head(stream):
    header = _take(stream, 4)
    if header[0] or header[3]:
        raise Malformed(f"modifiers {header[0]} and {header[3]}")
    data = _take(stream, int.from_bytes(header[1:3], "little"))
    texts, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "little")
        if end > len(data):
            raise Malformed("a variable that is longer than all of them")
        texts.append(data[at + 2 : end])
        at = end
    if len(texts) % 2:
        raise Malformed("a variable without a value")
    return _request(list(zip(texts[::2], texts[1::2])))


def _read_scgi_head(stream):
    digits = b""
    while not digits.endswith(b":"):
        digits += _take(stream, 1)
    if not re.fullmatch(rb"[1-9][0-9]{0,8}:", digits):
        raise Malformed(f"no netstring: {digits!r}")
    data = _take(stream, int(digits[:-1]))
    if _take(stream, 1) != b"," or not data.endswith(b"\0"):
        raise Malformed("a netstring that does not end where it should")
    texts = data[:-1].split(b"\0")
    if len(texts) % 2 or texts[0] != b"CONTENT_LENGTH" or (b"SCGI", b"1") not in list(zip(texts[::2], texts[1::2])):
        raise Malformed(f"no variables of SCGI: {texts}")
    return _request(list(zip(texts[::2], texts[1::2])))


_HEADS = {"fcgi": _read_fcgi_head, "uwsgi": _read_uwsgi_head, "scgi": _read_scgi_head}


def read_head(protocol, stream):
    """A request without its body; None when the connection ended between two."""
    return _HEADS[protocol](stream) if stream.buffer or stream.fill() else None


def read_body(protocol, stream, request):
    """Reads it into the request; CONTENT_LENGTH, which has to be its length, has been looked at before."""
    length = int(request.get("CONTENT_LENGTH", "0"))
    request.body = _read_fcgi_body(stream) if protocol == "fcgi" else _take(stream, length)
    if len(request.body) != length:
        raise Malformed(f"a body of {len(request.body)} bytes and CONTENT_LENGTH {length}")
    request.complete = True
