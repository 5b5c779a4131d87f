# SPDX-License-Identifier: Apache-2.0
"""$_SERVER of PHP, field by field as mod_proxy_fcgi has it for the same request, but for what is listed here."""
import dataclasses

import pytest

from udr_client import Client
from udr_php import start_fpm, variables
from udr_php_sites import OURS, THEIRS, both_sites

# These change with the connection or the clock, or tell the two sites apart.
VOLATILE = {"SERVER_ADDR", "REMOTE_PORT", "REQUEST_TIME", "REQUEST_TIME_FLOAT", "SSL_SESSION_ID"}
# What mod_proxy says to itself, in the request's environment.
ALWAYS = {"proxy-nokeepalive"}

ALICE = [("Authorization", "Basic YWxpY2U6c2VjcmV0")]
MANY_FIELDS = [
    *(("Proxy", "http://evil/"), ("X-A", "1"), ("X-A", "2"), ("X_A", "3"), ("Cookie", "a=b; c=d"), ("X-B", "1")),
    *(("Connection", "close, X-B"), ("TE", "trailers"), ("Upgrade", "h2c"), ("Accept-Encoding", "gzip")),
    *(("If-None-Match", '"x"'), ("X-Forwarded-For", "192.0.2.1"), ("Forwarded", "for=192.0.2.1"), ("X-Empty", "")),
]
FORM = [("Content-Type", "application/x-www-form-urlencoded")]

# Why there are differences.
PATH_ENCODED = "mod_proxy_fcgi sends what follows the script still encoded, as SCRIPT_FILENAME; PATH_INFO is decoded"
NAME_ENCODED = "mod_proxy_fcgi sends the name of the file encoded: PHP finds none"
QUESTION_MARK = "mod_proxy_fcgi refuses a '?' in a file's name"
WHOLE_PATH = "mod_proxy_fcgi sends the whole path as SCRIPT_FILENAME; PHP takes it apart and keeps it as ORIG_"
REDIRECTED = "with REDIRECT_URL PHP forgets PATH_INFO, unless SCRIPT_FILENAME begins with proxy:fcgi://"
NOT_ASKED = "httpd knows that there is no such script, and answers with its own ErrorDocument"
TRANSLATED = "mod_proxy_fcgi has httpd look what a request for the path behind the script would lead to"

SPLIT = {"ORIG_SCRIPT_FILENAME": WHOLE_PATH, "ORIG_SCRIPT_NAME": WHOLE_PATH}
SPLIT_ENCODED = {**SPLIT, **dict.fromkeys(("PATH_INFO", "PATH_TRANSLATED", "PHP_SELF"), PATH_ENCODED)}
BEHIND_REDIRECT = {"REDIRECT_URL": REDIRECTED}


@dataclasses.dataclass
class Case:
    """A request, and what it is allowed to differ in. The pseudo-fields `status` and `answer` stand for all of it."""

    target: str
    differs: dict = dataclasses.field(default_factory=dict)
    method: str = "GET"
    host: str = "localhost"
    fields: list = ()
    body: bytes = None
    tls: bool = False

    @property
    def name(self):
        parts = [self.method, self.target[:40], "" if self.host == "localhost" else self.host, "tls" * self.tls]
        return " ".join(part for part in parts if part)


CASES = [
    *map(
        Case,
        """/vars.php /vars.php? /vars.php?a=1&b=%20+%2B&c[]=%3F /vars.php/info
        /vars.php/in%20fo /vars.php/in%3Ffo /vars.php/in%3Ffo?q=%3F /vars.php/in%25fo /vars.php/in%252Ffo /vars.php/a+b
        /vars.php/a;b /vars.php//double//slash /vars.php/%C3%A4 /vars.php/%FF /vars.php/a/../b /vars.php/a/%2e%2e/b
        /vars.php/.%2E /sub/../vars.php/x //vars.php/x /sub//vars.php /sub/ /sub / /?q /sub/index.php/x/y
        /vars.php/one.php/two /vars.php/dir.php/x /a%20b.php /a%20b.php/x%20y?z=%20 /%C3%A4.php/%C3%A4 /100%25.php/x
        /a+b.php /semi;colon.php/x /a&b=c.php?d /%2541.php /ha%23sh.php/x%23y /alias%20d/vars.php/x
        /vars.php/'"<>|\\^`{} /vars.php/x%5Cy /alias/vars.php/x /alias/a%20b.php /alias/ /pretty/x/y?z=1
        /info/a%20b/c?d /env/abc /file/x /rewritten/item/42?more /front/ /front/some/page/?q=1 /front/caf%C3%A9
        /front/what%3F /front/static.txt /fallback/x/y?z /fallback/ /nothing/here?q /dir.php/ /dir.php/x /dir.php
        /auth/vars.php /app/vars.php /app/vars.php?x /app/missing.php /app/sub/ /app/ /app /one /one?x""".split(),
    ),
    Case("/vars.php?" + "long" * 1500),
    Case("/vars.php/" + "long/" * 500),
    Case("/vars.php/too" + "long/" * 1000, BEHIND_REDIRECT),
    # Documents for errors, rewritten paths: internal redirects with something behind the script.
    *(Case(target, BEHIND_REDIRECT) for target in ("/closed/vars.php", "/pretty/a%20b", "/info/x%3Fy")),
    *(Case(target, BEHIND_REDIRECT) for target in ("/rewritten/path/a%20b/c", "/rewritten/path/x%3Fy")),
    *(Case(target, {"PATH_TRANSLATED": TRANSLATED}) for target in ("/vars.php/", "/vars.php/info/")),
    Case("/missing.php/x", {"answer": NOT_ASKED}),
    *(Case(target, {"status": QUESTION_MARK}) for target in ("/q%3Fm.php", "/q%3Fm.php/x%3Fy?z")),
    # Routes.
    *(Case(target, SPLIT) for target in ("/app/vars.php/x?y", "/one/x/y", "/one/x.php/y")),
    *(Case(target, SPLIT_ENCODED) for target in ("/app/vars.php/a%20b", "/app/vars.php/x%3Fy", "/one/a%20b?c")),
    *(
        Case(f"/app/{name}", {"status": NAME_ENCODED})
        for name in ("a%20b.php/x", "%C3%A4.php", "q%3Fm.php/z", "100%25.php/z", "with%20space/vars.php/z")
    ),
    # Encoded slashes.
    Case("/vars.php/a%2Fb"),
    *(Case(target, host="decoding") for target in ("/vars.php/a%2Fb", "/sub%2Fvars.php/x", "/alias/sub%2fvars.php")),
    *(Case(target, host="keeping") for target in ("/vars.php/a%2Fb", "/vars.php/a%252Fb", "/front/a%2Fb")),
    Case("/sub%2Fvars.php/x", {"answer": NOT_ASKED}, host="keeping"),
    Case("/app/vars.php/a%2Fb", SPLIT, host="decoding"),
    *(Case(target, SPLIT, host="keeping") for target in ("/app/vars.php/a%2Fb", "/one/a%2Fb", "/app/vars.php/a%252Fb")),
    # Methods, fields, users, TLS.
    *(Case("/vars.php/x?y", method=method) for method in ("HEAD", "DELETE", "OPTIONS", "PROPFIND", "FOO")),
    Case("/vars.php/x?y", method="POST", fields=FORM, body=b"a=1&b=%20"),
    Case("/vars.php", method="POST", fields=FORM, body=b""),
    Case("/vars.php", method="PUT", body=b"abc"),
    Case("/app/vars.php", method="POST", fields=FORM, body=b"a=1"),
    Case("/vars.php?fields", fields=MANY_FIELDS),
    *(Case(f"/{name}", fields=ALICE) for name in ("vars.php?user", "auth/vars.php/x", "pass/vars.php", "app/vars.php")),
    Case("/vars.php/x", tls=True),
    Case("/app/vars.php", tls=True),
]


@pytest.fixture(scope="module")
def httpd(module_sandbox):
    # None of them waits for one that an idle connection of another member's has.
    fpm = start_fpm(module_sandbox, children=24)
    return both_sites(module_sandbox, fpm)


def ask(httpd, address, case):
    with Client(httpd.tls_port if case.tls else httpd.port, case.tls, host=address) as client:
        response = client.fetch(case.target, case.method, case.fields, case.body, host=case.host)
    is_php = case.method != "HEAD" and response.get("Content-Type") == "application/json"
    return response, variables(response) if is_php else None


def differences(ours, theirs):
    """The names of the fields that one of them has not, or another value of."""
    (our_response, our_fields), (their_response, their_fields) = ours, theirs
    if our_response.status != their_response.status:
        return {"status"}
    if our_fields is None or their_fields is None:
        is_same = our_fields is their_fields and our_response.body == their_response.body
        return set() if is_same else {"answer"}
    names = our_fields.keys() | their_fields.keys()
    return {name for name in names if our_fields.get(name) != their_fields.get(name)} - VOLATILE


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_as_mod_proxy_fcgi(httpd, case):
    # Names that mod_rewrite refuses, and what PHP says of scripts that are not there.
    httpd.log.allow(r"AH10410|AH10508|AH10414|AH01630|AH00036|AH10244|AH01617|AH01618|AH00127|AH00026")
    httpd.log.allow(r"says: (Primary script unknown|Access to the script)|AH01071: Got error")
    ours, theirs = ask(httpd, OURS, case), ask(httpd, THEIRS, case)
    found = differences(ours, theirs)
    expected = set(case.differs)
    if not expected & {"status", "answer"} and ours[1] is not None:
        expected |= ALWAYS & theirs[1].keys()
    assert found == expected, {name: (ours[1].get(name), theirs[1].get(name)) for name in found ^ expected if ours[1]}


# What is right in any case, whoever else says so.
PLAIN = {
    "/a%20b.php/x%20y?z=%20": ("/site/a b.php", "/a b.php", "/x y", "z=%20"),
    "/q%3Fm.php/x%3Fy?z": ("/site/q?m.php", "/q?m.php", "/x?y", "z"),
    "/%2541.php/%2541": ("/site/%41.php", "/%41.php", "/%41", ""),
    "/ha%23sh.php/x": ("/site/ha#sh.php", "/ha#sh.php", "/x", ""),
    "/front/some/page/?q": ("/site/front/index.php", "/front/index.php", None, "q"),
    "/rewritten/path/a/b?c": ("/site/rewritten/vars.php", "/rewritten/vars.php", "/a/b", "c"),
    "/app/q%3Fm.php/z": ("/other/q?m.php", "/app/q?m.php", "/z", ""),
    "/app/with%20space/vars.php/a%20b": ("/other/with space/vars.php", "/app/with space/vars.php", "/a b", ""),
    "/app/100%25.php": ("/other/100%.php", "/app/100%.php", None, ""),
    "/one/two/three": ("/other/vars.php", "/one", "/two/three", ""),
}


@pytest.mark.parametrize("target", PLAIN)
def test_script_and_path(httpd, target):
    file, name, path_info, query = PLAIN[target]
    response, fields = ask(httpd, OURS, Case(target))
    assert response.status == 200
    assert fields["SCRIPT_FILENAME"].endswith(file) and "proxy" not in fields["SCRIPT_FILENAME"]
    assert (fields["SCRIPT_NAME"], fields.get("PATH_INFO"), fields["QUERY_STRING"]) == (name, path_info, query)
    assert fields["REQUEST_URI"] == target and fields["GATEWAY_INTERFACE"] == "CGI/1.1"


def test_users_and_environment(httpd):
    _, fields = ask(httpd, OURS, Case("/auth/vars.php", fields=ALICE))
    assert (fields["REMOTE_USER"], fields["AUTH_TYPE"]) == ("alice", "Basic")
    assert "HTTP_AUTHORIZATION" not in fields
    assert (fields["FROM_SETENV"], fields["FROM_OUTSIDE"], fields["FROM_SETENVIF"]) == ("set here", "passed on", "seen")
    _, fields = ask(httpd, OURS, Case("/pass/vars.php", fields=ALICE))
    assert fields["HTTP_AUTHORIZATION"] == ALICE[0][1] and fields["PHP_AUTH_USER"] == "alice"
    _, fields = ask(httpd, OURS, Case("/vars.php", fields=[*ALICE, ("Proxy", "http://evil/")]))
    assert "HTTP_AUTHORIZATION" not in fields and "HTTP_PROXY" not in fields


def test_https(httpd):
    _, fields = ask(httpd, OURS, Case("/vars.php", tls=True))
    assert (fields["HTTPS"], fields["REQUEST_SCHEME"]) == ("on", "https") and fields["SSL_PROTOCOL"].startswith("TLS")
    _, fields = ask(httpd, OURS, Case("/vars.php"))
    assert "HTTPS" not in fields and "X_FORWARDED" not in " ".join(fields)


def test_document_of_an_error(httpd):
    httpd.log.allow("AH01630")
    response, fields = ask(httpd, OURS, Case("/nothing/here?q"))
    assert (response.status, fields["REDIRECT_STATUS"], fields["REDIRECT_URL"]) == (404, "404", "/nothing/here")
    assert (fields["QUERY_STRING"], fields["REDIRECT_QUERY_STRING"]) == ("document", "q")
    response, fields = ask(httpd, OURS, Case("/closed/vars.php"))
    assert (response.status, fields["REDIRECT_STATUS"], fields["PATH_INFO"]) == (403, "403", "/behind")
