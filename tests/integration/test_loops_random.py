# SPDX-License-Identifier: Apache-2.0
"""Random conversations, pipelined and broken off anywhere, with two httpds that differ in UDSLoops alone: the client
gets the same from both, the member gets the same, and both logs say the same.

A conversation that comes out differently is printed with its seed: with UDR_SEED=that the next run begins with it."""
import itertools
import os
import random
import re
import socket
import struct
import threading
import time

import pytest

import udr_wire
from udr_client import Client
from udr_conversations import Conversation, Script, number_of, short
from udr_environment import campaign, is_campaign
from udr_loops import OTHERS, loop_httpd, route

COUNT = campaign(20, 300)

SILENCE = 3.0  # seconds
FRAMING = ("Content-Length", "Transfer-Encoding")
STATUS = b"\nServerUptimeSeconds:"  # mod_status's page

FORMAT = (
    "%{remote}p|%>s|%s|%B|%I|%O|%X|%k|%r|%U|%q|%m|%H|%v|"
    "%{Host}i|%{X-A}i|%{Connection}i|%{Content-Type}o|%{X-M}o|%{Vary}o"
)
FIELDS = FORMAT.split("|")
BYTES, IN, OUT, HOW, LINE = (FIELDS.index(name) for name in ("%B", "%I", "%O", "%X", "%r"))

HOSTS = """
<VirtualHost *:@PORT@>
    ServerName localhost
</VirtualHost>
<VirtualHost *:@PORT@>
    ServerName second.example
    ServerAlias *.second.example
    Header set X-Second yes
    DocumentRoot "@ROOT@/htdocs"
    AllowEncodedSlashes On
</VirtualHost>
"""

CGI = """#!/bin/sh
cat >/dev/null
printf 'Content-Type: text/plain\\r\\n\\r\\nscript %s' "$QUERY_STRING"
"""

LENIENT = """
HttpProtocolOptions Unsafe LenientMethods
MergeSlashes Off
AllowEncodedSlashes NoDecode
TraceEnable Off
"""
STRICT = """
HttpProtocolOptions Strict RegisteredMethods Require1.0
StrictHostCheck ON
LimitRequestLine 600
LimitRequestFieldSize 1000
LimitRequestFields 20
<Location /app>
    <Limit DELETE PATCH>
        Require all denied
    </Limit>
</Location>
"""
TIMED = """
RequestReadTimeout header=10-20,MinRate=500 body=10,MinRate=500
MaxKeepAliveRequests 6
"""
FILTERED = """
AddOutputFilterByType DEFLATE text/plain
SetEnvIf Request_Protocol 1.0 no-gzip
SetEnvIf Request_URI /server-status no-gzip
SetEnvIf User-Agent a nokeepalive
SetEnvIf Cookie a force-response-1.0
"""

# What is configured beside that, modules, and whether clients come over TLS.
VARIANTS = {
    "plain": (HOSTS, (), False),
    "tls": ("", (), True),
    "timed": (HOSTS + TIMED, ("reqtimeout",), False),
    "lenient": (HOSTS + LENIENT, ("remoteip",), False),
    "strict": (HOSTS + STRICT, ("unique_id",), False),
    "filtered": (FILTERED, ("filter", "deflate"), True),
}

VOLATILE = re.compile(r"(?im)^(Date: (?!Mon, 30 Nov 2026 00:00:00)|X-Unique).*$")


class Stand:
    """One of the two httpds, with its member."""

    def __init__(self, sandbox, name, loops, answers):
        config, modules, tls = VARIANTS[name]
        self.tls = tls
        self.backend = sandbox.scripted(f"app{loops}", Script(answers), tolerant=False)
        self.httpd = loop_httpd(
            sandbox, OTHERS + config + route(self.backend, parameters="hold=0 retry=0"), loops=loops, tls=tls,
            modules=("cgid", "alias", "logio", *modules), access_log=FORMAT, udsroute_log_level="info",
        )  # fmt: skip
        self.httpd.log.allow(r":(error|warn|info)\]")
        self._lay_out()
        self.lines = 0
        self.logged = 0

    def _lay_out(self):
        root = self.httpd.root
        files = {"file.txt": "a file\n", "errors.txt": "nothing there\n", "large.txt": "large\n" * 9000}
        for name, text in files.items():
            (root / "htdocs" / name).write_text(text)
        for file in (root / "htdocs").iterdir():
            os.utime(file, (1_790_000_000,) * 2)  # what ETag and Last-Modified go by
        (root / "cgi").mkdir(mode=0o755)
        (root / "cgi/echo").write_text(CGI)
        (root / "cgi/echo").chmod(0o755)

    def begin(self):
        self.lines = len(self.httpd.logged_lines())
        self.logged = len(self.httpd.log.lines())
        self.backend.forget()

    def access_lines(self, port):
        """Those of that client."""
        found = [line.split("|") for line in self.httpd.logged_lines()[self.lines :]]
        return [["", *line[1:]] for line in found if line[0] == str(port)]

    def complaints(self):
        """The kinds of lines in the error log."""
        kinds = set()
        for line in self.httpd.log.lines()[self.logged :]:
            kinds.update(re.findall(r"\b(?:AH|UDR)\d{4,5}\b", line.text)[:1])
        # Of a client that has gone: before its body or its answer was through, or right behind it.
        return kinds - {"UDR0010", "UDR0012"}

    def taken(self):
        """What the member got; whatever is sent again after a connection broke, once."""
        got = {}
        for request in (one for one in self.backend.requests if one.complete):
            fields = [(name, VOLATILE.sub("", value)) for name, value in request.fields]
            fields = [(name, value) for name, value in fields if name not in FRAMING]
            key = request.start_line, tuple(fields), request.body, tuple(request.trailers)
            got[key] = True
        return list(got)


class Talk(threading.Thread):
    """A conversation with one httpd, and what came of it."""

    def __init__(self, stand, conversation):
        super().__init__()
        self.stand = stand
        self.conversation = conversation
        self.asked = {asked.number: asked for asked in conversation.asked}
        self.answers = []
        self.ending = ""
        self.port = None
        self.problem = None

    def run(self):
        try:
            self._run()
        except Exception as problem:  # pylint: disable=broad-except  (told by who waits for this thread)
            self.problem = problem

    def _run(self):
        httpd = self.stand.httpd
        with Client(httpd.tls_port if self.stand.tls else httpd.port, self.stand.tls) as client:
            self.port = client.sock.getsockname()[1]
            if self.conversation.begins_adopted:
                assert client.fetch("/adopt").text == "/adopt"
            for step, *rest in self.conversation.steps:
                if not self.ending:
                    getattr(self, f"_{step}")(client, *rest)
            while not self.ending or self.ending == "silent":
                if len(self.answers) >= len(self.asked) or self.ending:
                    self._half(client)
                self._read(client, None)

    def _send(self, client, data):
        try:
            client.send(data)
        except OSError:
            pass  # httpd has closed: what it said before is there to be read

    def _pause(self, _, seconds):
        time.sleep(seconds)

    def _read(self, client, number):  # pylint: disable=too-many-return-statements
        """Answers up to the one with that number, or just the next one. Where none comes any more, that is the end."""
        here = self.conversation.first + len(self.answers)
        if number is not None and number < here:
            return
        if not client.stream.buffer and self.ending != "silent" and client.quiet(SILENCE):
            self.ending = "silent"  # it waits for more, as for the rest of a body that is none
            return
        method = self.asked[here].method if here in self.asked else "GET"
        try:
            response = client.read_response(method)
        except udr_wire.Closed:
            self.ending = "reset" if client.stream.reset else "closed"
            return
        except udr_wire.Malformed:
            if not self.conversation.oddness:
                raise
            self.answers.append(client.everything())  # of HTTP/0.9, or to another request than the one in turn
            self.ending = "closed"
            return
        self.answers.append(response)
        if response.status == 101 or response.framing == "close":
            self.ending = "closed"

    def _100(self, client, number):
        """Waits for that, or for the final answer."""
        if self.conversation.first + len(self.answers) == number and not client.stream.buffer:
            if client.quiet(SILENCE):
                self.ending = "silent"

    def _half(self, client):
        try:
            socket.socket.shutdown(client.sock, socket.SHUT_WR)  # TLS has not ended
        except OSError:
            pass

    def _abort(self, client):
        try:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.ending = "aborted"

    def _close(self, _):
        self.ending = "left"

    # --- what can be compared -----------------------------------------------------------------------------------------

    def told(self):
        """What the client got."""
        return [comparable(answer) for answer in self.answers]


def comparable(response):
    """What of a response must be the same, its framing last."""
    if isinstance(response, bytes):
        return (b"the status" if STATUS in response else response,)
    fields = [(name, "" if VOLATILE.match(f"{name}: {value}") else value) for name, value in response.fields]
    fields = [(name, ",".join(sorted(value.split(","))) if name == "Allow" else value) for name, value in fields]
    # Whether httpd says 100 to a client that waits for none depends on the clock.
    interim = [one.start_line for one in response.interim if one.status != 100]
    body = response.body
    if STATUS in body:
        body, fields = b"the status", [field for field in fields if field[0] != "Content-Length"]
    return response.start_line, fields, body, response.complete, interim, response.trailers, response.framing


def alike_answers(one, other):
    """Two answers, without what differs from one time to the next: what came in pieces is passed on with its length if
    its end is there in time, and then without trailers. What follows a refused expectation is not read on a loop, which
    does not notice what is wrong with it."""
    if len(one) == len(other) == 7 and {one[0].split()[1], other[0].split()[1]} == {"417", "400"}:
        return ("refused",), ("refused",)
    if len(one) == len(other) == 7 and one[-1] != other[-1]:
        return [
            (line, [field for field in fields if field[0] not in FRAMING], *rest[:-2])
            for line, fields, *rest in (one, other)
        ]
    return one, other


def alike_logs(logs, conversation, tls):
    """Two access logs, without what differs from one time to the next. httpd counts twice what it looks at before it
    reads it, a byte of a request or the empty lines before it; chunks are as they come; the status is news. That a
    connection ends is known to a loop sooner, where httpd closes it unannounced behind what it refuses, or where the
    client has closed its side."""
    for one, other in zip(*logs):
        is_refused = "417" in (one[1], other[1])
        if {one[1], other[1]} == {"417", "400"}:
            one[:LINE] = other[:LINE] = [""] * LINE
            continue
        if tls or is_refused or abs(int(one[IN]) - int(other[IN])) <= 12:
            one[IN] = other[IN] = ""
        if (tls or re.search(r"[?&]n=|/cgi/", one[LINE])) and abs(int(one[OUT]) - int(other[OUT])) <= 200:
            one[OUT] = other[OUT] = ""
        if is_refused or conversation.end == "half":
            one[HOW] = other[HOW] = ""
        if "/server-status" in one[LINE]:
            one[BYTES] = one[OUT] = other[BYTES] = other[OUT] = ""
    return logs


def mismatch(talks):
    """In what the two differ: a text, or None. What a client has left behind unanswered may have come to anything."""
    seen = [talk.told() for talk in talks]
    endings = [talk.ending for talk in talks]
    taken = [talk.stand.taken() for talk in talks]
    lines = [talk.stand.access_lines(talk.port) for talk in talks]
    complaints = [talk.stand.complaints() for talk in talks]
    most = len(talks[0].asked)
    if talks[0].conversation.end in ("half", "abort", "close"):
        most = min(len(answers) for answers in seen)
        seen = [answers[:most] for answers in seen]
        lines = [log[: most + talks[0].conversation.begins_adopted] for log in lines]
        endings = complaints = ["", ""]
    numbers = {talks[0].conversation.first + index for index in range(most)}
    taken = [[one for one in requests if number_of(one[0]) in numbers] for requests in taken]
    if len(seen[0]) == len(seen[1]):
        seen = list(zip(*map(alike_answers, *seen))) or [(), ()]
    pairs = {
        "what the client got": seen,
        "how it ended": endings,
        "what the member got": taken,
        "the access log": alike_logs(lines, talks[0].conversation, talks[0].stand.tls),
        "the error log": complaints,
    }
    for name, (one, other) in pairs.items():
        if one != other:
            return f"{name}, with a loop and without:\n{unlike(one, other)}"
    return None


def unlike(one, other, where=""):
    """The first place in which two lists or tuples differ."""
    if isinstance(one, (list, tuple)) and type(one) is type(other):
        for index, (first, second) in enumerate(itertools.zip_longest(one, other, fillvalue="nothing")):
            if first != second:
                return unlike(first, second, f"{where}[{index}]")
    if isinstance(one, bytes) and isinstance(other, bytes):
        at = len(os.path.commonprefix([one, other]))
        where += f" from byte {at}: {len(one)} and {len(other)} bytes, "
        one, other = one[max(0, at - 20):], other[max(0, at - 20):]
    return f"  {where} {short(one, 2500)}\n  {where} {short(other, 2500)}"


def settle(talks, timeout=5.0):
    """The mismatch that is left when both logs have been written."""
    deadline = time.monotonic() + timeout
    while True:
        difference = mismatch(talks)
        if not difference or time.monotonic() > deadline:
            return difference
        time.sleep(0.01)


def compare(stands, answers, conversation):
    """Holds the conversation with both. Returns in what they differ, or None."""
    answers.clear()
    answers.update({asked.number: asked.answer for asked in conversation.asked})
    talks = [Talk(stand, conversation) for stand in stands]
    for talk in talks:
        talk.stand.begin()
        talk.start()
    for talk in talks:
        talk.join()
    return "\n".join(repr(talk.problem) for talk in talks if talk.problem) or settle(talks)


@pytest.mark.campaign
@pytest.mark.parametrize("name", VARIANTS)
def test_conversations(sandbox, name):
    answers = {}
    stands = [Stand(sandbox, name, loops, answers) for loops in ("1", "Off")]
    first = int(os.environ.get("UDR_SEED") or campaign(1, random.randrange(1, 1 << 30)))
    different = []
    for seed in range(first, first + COUNT):
        conversation = Conversation(seed)
        difference = compare(stands, answers, conversation)
        if difference and not is_campaign():
            # With each change, a busy machine may have made a silence of httpd's: what differs does so again.
            difference = compare(stands, answers, conversation)
        if difference:
            different.append(seed)
            print(f"{conversation}\nUDR_SEED={seed}, {name}: {difference}\n")
    print(f"{name}: {COUNT} conversations from UDR_SEED={first}, {len(different)} came out differently")
    assert not different
