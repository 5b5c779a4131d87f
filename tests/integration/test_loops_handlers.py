# SPDX-License-Identifier: Apache-2.0
"""What is not ours on connections that live on a loop: files, scripts, directory pages, status pages, access control,
rewriting, error pages. Each answer is the one that an httpd without loops gives, and none keeps others waiting."""
import base64
import os
import re
import time

import pytest

from udr_client import fetch
from udr_loops import Pair, adopted, comparable, loop_httpd, route, wait_until_threads_are_free

SCRIPTS = {
    "echo": 'printf "Content-Type: text/plain\\r\\n\\r\\nscript $QUERY_STRING $REQUEST_METHOD "; cat',
    "status": 'printf "Status: 418 Teapot\\r\\nContent-Type: text/plain\\r\\n\\r\\nteapot"',
    "redirect": 'printf "Location: /app/redirected\\r\\n\\r\\n"',
    "large": 'printf "Content-Type: text/plain\\r\\n\\r\\n"; head -c 300000 /dev/zero | tr "\\\\0" "z"',
    "broken": 'echo "no header"',
    "slow": 'until [ -e go-on ]; do sleep 0.05; done; printf "Content-Type: text/plain\\r\\n\\r\\nslow"',
}

SCRIPTING = """
ScriptSock cgisock
ScriptAlias /cgi/ "@ROOT@/cgi/"
<Directory "@ROOT@/cgi">
    Require all granted
</Directory>
"""

CONFIG = (
    SCRIPTING
    + """
DirectoryIndex index.html
<Directory "@ROOT@/../*/listed">
    Options +Indexes
</Directory>
<Location /private>
    AuthType Basic
    AuthName "private"
    AuthBasicProvider file
    AuthUserFile "@ROOT@/passwords"
    Require valid-user
</Location>
<Location /app/private>
    AuthType Basic
    AuthName "private app"
    AuthBasicProvider file
    AuthUserFile "@ROOT@/passwords"
    Require user alice
</Location>
<Location /app/denied>
    Require all denied
</Location>
<Location /info>
    SetHandler server-info
</Location>
RewriteEngine On
RewriteRule ^/rewritten/(.*)$ /app/$1 [PT]
RewriteRule ^/to-file$ /data.txt
RewriteRule ^/moved/(.*)$ /app/$1 [R=302]
RewriteRule ^/gone$ - [G]
<Location /indexed>
    DirectoryIndex /app/index
</Location>
<Location /fallback>
    FallbackResource /app/fallback
</Location>
<Location /errors/text>
    ErrorDocument 404 "a text of its own"
</Location>
<Location /errors/file>
    ErrorDocument 404 /page.html
</Location>
<Location /errors/routed>
    ErrorDocument 404 /app/error-page
</Location>
<Location /errors/away>
    ErrorDocument 404 http://elsewhere.example/
</Location>
<Location /errors/absent>
    ErrorDocument 404 /also-absent
</Location>
<Location /app/status/overridden>
    UDSErrorOverride On
    ErrorDocument 404 /page.html
    ErrorDocument 500 /app/error-page
    ErrorDocument 503 "a text of its own"
</Location>
"""
)

# "secret", as SHA-1 and as bcrypt of cost 10, which takes tens of milliseconds.
QUICK_PASSWORD = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="
SLOW_PASSWORD = "$2y$10$r4IvklPaqE/mB0ke9WqEwOz55yKtsdY3jI88DTemJuVk2KSdUXSWi"
ALICE = [("Authorization", "Basic " + base64.b64encode(b"alice:secret").decode())]
BOB = [("Authorization", "Basic " + base64.b64encode(b"bob:secret").decode())]
WRONG = [("Authorization", "Basic " + base64.b64encode(b"alice:wrong").decode())]

# What is asked: method, path, fields, body; the status that must come, and a part of the body.
REQUESTS = {
    "file": ("GET", "/data.txt", (), None, 200, b"0123456789"),
    "head of a file": ("HEAD", "/data.txt", (), None, 200, b""),
    "large file": ("GET", "/large.txt", (), None, 200, b"large"),
    "empty file": ("GET", "/empty.txt", (), None, 200, b""),
    "absent file": ("GET", "/absent", (), None, 404, b"Not Found"),
    "directory without a slash": ("GET", "/listed", (), None, 301, b"Moved"),
    "directory listing": ("GET", "/listed/", (), None, 200, b"inside.txt"),
    "index": ("GET", "/", (), None, 200, b"the index"),
    "script": ("GET", "/cgi/echo?a=b", (), None, 200, b"script a=b GET"),
    "script with a body": ("POST", "/cgi/echo?c", (), b"body of the script", 200, b"POST body of the script"),
    "script with a chunked body": ("POST", "/cgi/echo?c", (), [b"body ", b"in chunks"], 200, b"POST body in chunks"),
    "script with a large body": ("POST", "/cgi/echo", (), b"b" * 300_000, 200, b"b" * 300_000),
    "script with a status": ("GET", "/cgi/status", (), None, 418, b"teapot"),
    "script that redirects to a route": ("GET", "/cgi/redirect", (), None, 200, b"GET /app/redirected"),
    "script with a large answer": ("GET", "/cgi/large", (), None, 200, b"z" * 300_000),
    "script that is broken": ("GET", "/cgi/broken", (), None, 500, b"Internal Server Error"),
    "absent script": ("GET", "/cgi/absent", (), None, 404, b"Not Found"),
    "info": ("GET", "/info?list", (), None, 200, b"mod_udsroute.c"),
    "no password": ("GET", "/private/x", (), None, 401, b"Unauthorized"),
    "password": ("GET", "/private/data.txt", ALICE, None, 200, b"private data"),
    "wrong password": ("GET", "/private/data.txt", WRONG, None, 401, b"Unauthorized"),
    "no password for a route": ("GET", "/app/private/x", (), None, 401, b"Unauthorized"),
    "password for a route": ("GET", "/app/private/x", ALICE, None, 200, b"GET /app/private/x"),
    "wrong user for a route": ("GET", "/app/private/x", BOB, None, 401, b"Unauthorized"),
    "refused body": ("POST", "/app/private/x", (), b"r" * 100_000, 401, b"Unauthorized"),
    "denied": ("GET", "/app/denied/x", (), None, 403, b"Forbidden"),
    "rewritten to a route": ("GET", "/rewritten/x?q=1", (), None, 200, b"GET /app/x?q=1"),
    "rewritten to a file": ("GET", "/to-file", (), None, 200, b"0123456789"),
    "redirected": ("GET", "/moved/x", (), None, 302, b"Found"),
    "gone": ("GET", "/gone", (), None, 410, b"Gone"),
    "directory index that is routed": ("GET", "/indexed/", (), None, 200, b"GET /app/index"),
    "fallback to a route": ("GET", "/fallback/nothing", (), None, 200, b"GET /app/fallback"),
    "error text": ("GET", "/errors/text", (), None, 404, b"a text of its own"),
    "error file": ("GET", "/errors/file", (), None, 404, b"an error page"),
    "routed error page": ("GET", "/errors/routed", (), None, 404, b"GET /app/error-page"),
    "routed error page for a post": ("POST", "/errors/routed", (), b"x" * 1000, 404, b"GET /app/error-page"),
    "error elsewhere": ("GET", "/errors/away", (), None, 302, b"elsewhere.example"),
    "error page that is absent": ("GET", "/errors/absent", (), None, 404, b"Additionally, a 404"),
    "route": ("GET", "/app/x", (), None, 200, b"GET /app/x"),
    "member's error": ("GET", "/app/status/404", (), None, 404, b"GET /app/status/404"),
    "overridden with a file": ("GET", "/app/status/overridden/404", (), None, 404, b"an error page"),
    "overridden with a route": ("GET", "/app/status/overridden/500", (), None, 500, b"GET /app/error-page"),
    "overridden with a text": ("GET", "/app/status/overridden/503", (), None, 503, b"a text of its own"),
    "overridden with httpd's own": ("GET", "/app/status/overridden/403", (), None, 403, b"Forbidden"),
    "overridden for a post": ("POST", "/app/status/overridden/404", (), b"x" * 1000, 404, b"an error page"),
    "head that is overridden": ("HEAD", "/app/status/overridden/404", (), None, 404, b""),
    "absent member": ("GET", "/absent-member/x", (), None, 503, b"Service Unavailable"),
    "broken member": ("GET", "/app/broken", (), None, 502, b"Bad Gateway"),
}


def behave(exchange):
    target, method = exchange.request.target, exchange.request.method
    if target == "/app/broken":
        exchange.send(b"no HTTP at all\r\n\r\n")
        exchange.close()
        return
    status = re.search(r"/status/(?:overridden/)?(\d+)", target)
    if method == "POST":
        time.sleep(0.005)
    exchange.respond(int(status.group(1)) if status else 200, body=f"{method} {target}")


@pytest.fixture(name="pair", scope="module")
def _pair(module_sandbox):
    backend = module_sandbox.scripted("app", behave)
    absent = f"UDSRoute /absent-member/ unix:{module_sandbox.socket('absent')}|http://localhost/\n"
    modules = ["cgid", "alias", "dir", "autoindex", "auth_basic", "authn_file", "authz_user", "rewrite", "info"]
    pair = Pair(module_sandbox, CONFIG + route(backend) + absent, modules=modules)
    files = {
        "index.html": "the index\n",
        "page.html": "an error page\n",
        "data.txt": "0123456789" * 100,
        "large.txt": "large" * 200_000,
        "empty.txt": "",
        "listed/inside.txt": "x",
        "private/data.txt": "private data",
        "indexed/x": "x",
    }
    for name, text in files.items():
        file = pair.site / name
        file.parent.mkdir(mode=0o755, exist_ok=True)
        file.write_text(text)
        os.utime(file, (0, 1_600_000_000))
    for httpd in pair.httpds:
        make_scripts(httpd)
        (httpd.root / "passwords").write_text("".join(f"{name}:{QUICK_PASSWORD}\n" for name in ("alice", "bob")))
    return pair


def make_scripts(httpd):
    (httpd.root / "cgi").mkdir(mode=0o755)
    for name, text in SCRIPTS.items():
        script = httpd.root / "cgi" / name
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)


def allow_complaints(pair):
    for httpd in pair.httpds:
        httpd.log.allow(r"AH0(1630|1631|1617|1618|1276|2811|1264|0128)|UDR\d{4}|End of script|cgid")


def ask(client, name):
    method, path, fields, body, status, part = REQUESTS[name]
    response = client.fetch(path, method, fields, body)
    assert (response.status, part in response.body) == (status, True), response
    return comparable(response), client.reusable


@pytest.mark.parametrize("name", REQUESTS)
def test_answer(pair, name):
    """As without loops, twice on one connection, and for a new one as well."""
    allow_complaints(pair)

    def run(client):
        outcome = []
        for _ in range(2):
            outcome.append(ask(client, name))
            if not client.reusable:
                return outcome + [client.closed_by_server()]
        return outcome + [client.fetch("/short").text]

    looped, threaded = pair.outcomes(run)
    assert looped == threaded
    method, path, fields, body, _, _ = REQUESTS[name]
    assert comparable(fetch(pair.looped.port, path, method, [*fields], body))[3] == looped[0][0][3]


def test_all_on_one_connection(pair):
    """One after the other; each is the one that was asked for, whatever came before. (After some errors httpd closes.)"""
    allow_complaints(pair)
    closing = {name for name, request in REQUESTS.items() if request[4] in (500, 503)}
    names = [name for name in REQUESTS if name not in closing] * 2

    def run(client):
        return [ask(client, name) for name in names]

    looped, threaded = pair.outcomes(run)
    assert looped == threaded
    assert all(is_reusable for _, is_reusable in looped)


def test_script_that_is_slow_keeps_nobody_waiting(sandbox):
    """It runs in a thread of httpd's; the loop goes on."""
    httpd = loop_httpd(sandbox, SCRIPTING, modules=["cgid", "alias"])
    make_scripts(httpd)
    with adopted(httpd) as slow, adopted(httpd) as other:
        slow.send_request("GET", "/cgi/slow")
        for _ in range(100):
            assert other.fetch("/short").text == "/short"
        assert slow.quiet(0)
        (httpd.root / "cgi/go-on").touch()
        assert slow.read_response().text == "slow"
    wait_until_threads_are_free(httpd)


def test_more_scripts_than_threads(sandbox):
    """They wait for a thread, in none of which a connection of ours sits."""
    httpd = loop_httpd(sandbox, SCRIPTING, modules=["cgid", "alias"])
    make_scripts(httpd)
    clients = [adopted(httpd) for _ in range(10)]
    for number, client in enumerate(clients):
        client.send_request("GET", f"/cgi/echo?{number}")
    assert [client.read_response().text for client in clients] == [f"script {number} GET " for number in range(10)]
    assert [client.fetch("/short").text for client in clients] == ["/short"] * 10
    for client in clients:
        client.close()


def test_slow_password_check_keeps_nobody_waiting(sandbox):
    """Hooks before the handler that take long run on workers after the first time: bcrypt at a high cost."""
    backend = sandbox.scripted("app", behave)
    httpd = loop_httpd(
        sandbox,
        """
        <Location /app/>
            AuthType Basic
            AuthName "slow"
            AuthBasicProvider file
            AuthUserFile "@ROOT@/passwords"
            Require valid-user
        </Location>
        """
        + route(backend),
        modules=["auth_basic", "authn_file", "authz_user"],
        udsroute_log_level="debug",
    )
    (httpd.root / "passwords").write_text(f"alice:{SLOW_PASSWORD}\n")
    begun = time.monotonic()
    with adopted(httpd) as client:
        for number in range(5):
            assert client.fetch(f"/app/{number}", fields=ALICE).text == f"GET /app/{number}"
        assert client.fetch("/app/x").status == 401
    # The loop tries again after five seconds, which a busy machine may need for this.
    assert 1 <= len(httpd.log.find("hooks before the handler took")) <= 1 + (time.monotonic() - begun) // 5
