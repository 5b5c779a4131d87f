# SPDX-License-Identifier: Apache-2.0
"""Single requests of the soak test, to be mixed on one connection, and how their answers are judged: byte by byte."""
import gzip
import json

from soak_backend import content
from soak_client import Wrong
from soak_site import FILES

# --- judging ----------------------------------------------------------------------------------------------------------


def expect(condition, what, response=None):
    if not condition:
        shown = f": {response.start_line} {response.fields} {response.body[:120]!r}" if response else ""
        raise Wrong(what + shown)


def expect_whole(response, body, status=200, head_only=False):
    """The status, and all of the body and nothing else."""
    expect(response.status == status, f"not {status}", response)
    expect(response.complete, f"cut after {len(response.body)} bytes", response)
    expect(response.body == (b"" if head_only else body), f"another body than {body[:70]!r} ({len(response.body)} for "
           f"{len(body)} bytes)", response)


# --- single requests, to be mixed on one connection -------------------------------------------------------------------
# Each returns (method, target, fields, body, judge), with judge(response) to be called for the answer.


def routed_echo(world, dice):
    """udsbackend says what it got: this request's own token."""
    token = world.token("echo")
    target = f"/app/echo?{token}"
    body = dice.choice([None, token.encode() * dice.randint(1, 50)])

    def judge(response):
        expect(response.status == 200, f"not 200 for {token}", response)
        said = json.loads(response.body)
        expect(said["target"] == f"/echo?{token}", f"another request's answer, not {token}'s", response)
        expect(["X-Token", token] in said["headers"], f"{token} lost its field", response)
        expect(said["body"].encode() == (body or b""), f"{token}'s body changed on its way", response)
    return "POST" if body else "GET", target, [("X-Token", token)], body, judge


def routed_body(world, dice, action="whole", prefix="/hostile", sizes=(0, 1, 100, 5000)):
    token = world.token(action)
    size = dice.choice(sizes)
    method = "HEAD" if action == "whole" and dice.random() < 0.1 else "GET"

    def judge(response):
        expect_whole(response, content(token, size), head_only=method == "HEAD")
        if action == "chunked":
            expect(response.trailer("X-Token") == token or not response.trailers, "another's trailer", response)
    return method, f"{prefix}/{action}/{token}/{size}", [], None, judge


def routed_text(world, dice):  # pylint: disable=unused-argument
    return "GET", "/app/ux", [], None, lambda response: expect_whole(response, b"Hello via unix socket")


def routed_error(world, dice):  # pylint: disable=unused-argument
    """What the member does is no answer: the client gets httpd's 502, in whole."""
    token = world.token("garbage")

    def judge(response):
        is_clean = response.complete and b"POISON" not in response.body
        expect(response.status == 502 and is_clean, "no clean 502", response)
    return "GET", f"/hostile/{dice.choice(['garbage', 'close'])}/{token}/1", [], None, judge


def routed_timeout(world, dice):  # pylint: disable=unused-argument
    """The member is silent: 504 after a second; or no turn comes before: 503."""
    def judge(response):
        expect(response.status in (503, 504) and response.complete, "neither 503 nor 504", response)
    return "GET", f"/hasty/silence/{world.token('silence')}/1", [], None, judge


def routed_missing(world, dice):  # pylint: disable=unused-argument
    return "GET", f"/app/nothing?{world.token('missing')}", [], None, lambda response: expect(
        response.status == 404 and response.complete, "not the member's 404", response)


def deflated(world, dice):
    """A filter that may burn: a worker's."""
    token = world.token("deflated")
    size = dice.choice((100, 5000, 300_000))

    def judge(response):
        expect(response.get("Content-Encoding") == "gzip", "not compressed", response)
        response.body = gzip.decompress(response.body) if response.complete else response.body
        expect_whole(response, content(token, size))
    return "GET", f"/hostile/deflated/whole/{token}/{size}", [("Accept-Encoding", "gzip")], None, judge


def overridden(world, dice):  # pylint: disable=unused-argument
    """The member's error is replaced by httpd's page: an internal redirect."""
    target = f"/hostile/overridden/reject/{world.token('reject')}/3000"
    return "GET", target, [], None, lambda response: expect_whole(response, content("error-413", 222), 413)


def static(world, dice, names=("small", "middle")):  # pylint: disable=unused-argument
    name = dice.choice(names)
    method = dice.choice(("GET", "GET", "HEAD"))
    return method, f"/{name}.bin", [], None, lambda response: expect_whole(
        response, content(name, FILES[name]), head_only=method == "HEAD")


def static_range(world, dice):  # pylint: disable=unused-argument
    begin = dice.randrange(FILES["middle"])
    whole = content("middle", FILES["middle"])
    return "GET", "/middle.bin", [("Range", f"bytes={begin}-")], None, lambda response: expect_whole(
        response, whole[begin:], 206)


def missing(world, dice):  # pylint: disable=unused-argument
    """httpd's own 404, with a static page."""
    return "GET", f"/nothing/{world.token('404')}", [], None, lambda response: expect_whole(
        response, content("error-404", 111), 404)


def missing_with_routed_page(world, dice):  # pylint: disable=unused-argument
    """httpd's own 404, whose page comes from a member."""
    return "GET", f"/routed-errors/{world.token('404')}", [], None, lambda response: expect_whole(
        response, content("error-document", 333), 404)


def fallback(world, dice):  # pylint: disable=unused-argument
    """mod_dir finds nothing and has a member answer."""
    return "GET", f"/fallback/{world.token('nothing')}", [], None, lambda response: expect_whole(
        response, content("fallback", 77))


def cgi(world, dice):
    token = world.token("cgi")
    body = dice.choice([None, content(token, 3000)])

    def judge(response):
        # A graceful restart takes mod_cgid's daemon away from those that are talking to it.
        if response.status in (500, 503, 504) and world.restarted_within(10):
            world.count("CGI lost by a restart")
            return
        expect(response.get("X-Token") == token, f"another script's answer, not {token}'s", response)
        expect_whole(response, f"cgi {token}\n".encode() + (body or b""))
    return "POST" if body else "GET", f"/cgi/token?{token}", [], body, judge


def sleeping_handler(world, dice):
    token = world.token("lua")
    return "GET", f"/handler.lua?{token}&{dice.randint(0, 200)}", [], None, lambda response: expect_whole(
        response, f"lua {token}\n".encode())


def options(world, dice):  # pylint: disable=unused-argument
    """Answered by our handler itself, without a member."""
    return "OPTIONS", "/app/ux", [("Max-Forwards", "0")], None, lambda response: expect(
        response.status == 200 and response.complete, "no answer to OPTIONS", response)


QUICK = (routed_echo, routed_echo, routed_body, routed_text, static, static_range, missing, missing_with_routed_page,
         routed_missing, options)
ANY = QUICK + (routed_error, fallback, deflated, overridden, cgi, sleeping_handler)


async def ask_one(conversation, world, dice, make):
    method, target, fields, body, judge = make(world, dice)
    judge(await conversation.ask(method, target, fields, body))
