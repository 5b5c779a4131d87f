# SPDX-License-Identifier: Apache-2.0
"""A site with a front controller, rules in .htaccess, logins and files; pools behind a balancer; what may choose no
socket."""
import contextlib
import os
import re
import signal

import pytest

import udr_environment
from udr_client import Client, fetch
from udr_php import SCRIPTS, files_config, make_site, start_fpm, start_site, variables
from udr_php_sites import PASSWORDS

MODULES = ("rewrite", "dir", "auth_basic", "authn_file", "authz_user", "negotiation", "alias")
LOGIN = [("Authorization", "Basic YWxpY2U6c2VjcmV0")]
CONFIG = """
DirectoryIndex index.php index.html
<Directory "@SITE@">
  AllowOverride All
  Options -MultiViews +FollowSymLinks
</Directory>
<Directory "@SITE@/members">
  AuthType Basic
  AuthName "members"
  AuthUserFile "@SITE@/.passwords"
  Require valid-user
</Directory>
<Directory "@SITE@/slashless">
  DirectorySlash Off
</Directory>
"""
# As WordPress writes it.
PRETTY = """
# BEGIN WordPress
<IfModule mod_rewrite.c>
RewriteEngine On
RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]
RewriteBase /blog/
RewriteRule ^index\\.php$ - [L]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteCond %{REQUEST_FILENAME} !-d
RewriteRule . /blog/index.php [L]
</IfModule>
# END WordPress
"""
# As other frameworks have it: the path behind the script.
BEHIND = """
RewriteEngine On
RewriteCond %{REQUEST_FILENAME} !-f
RewriteRule ^(.*)$ index.php/$1 [L]
"""


def furnish(root):
    script = (SCRIPTS / "vars.php").read_text()
    files = {
        ".passwords": PASSWORDS,
        "blog/.htaccess": PRETTY,
        "blog/index.php": script,
        "blog/style.css": "body {}\n",
        "blog/wp-admin/index.php": script,
        "app/.htaccess": BEHIND,
        "app/index.php": script,
        "app/robots.txt": "for robots\n",
        "members/index.php": script,
        "members/page.html": "for members\n",
        "closed/index.php": script,
        "closed/.htaccess": "Require all denied\n",
        "chosen/.htaccess": 'AuthType Basic\nAuthName x\nAuthUserFile "@SITE@/.passwords"\nRequire user alice\n',
        "chosen/index.php": script,
        "dir.php/readme.txt": "in a directory\n",
        "slashless/dir.php/readme.txt": "in a directory\n",
        "page.php": script,
        "page.html": "not this one\n",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(text.replace("@SITE@", str(root)))
        path.chmod(0o644)


@pytest.fixture(scope="module", params=udr_environment.RUNNERS)
def httpd(module_sandbox, request):
    httpd = start_site(module_sandbox, request.param, children=20, config=CONFIG, modules=MODULES)
    furnish(httpd.site)
    return httpd


@contextlib.contextmanager
def stopped(fpm):
    """Whoever asks PHP meanwhile waits."""
    fpm.signal_all(signal.SIGSTOP)
    yield
    fpm.signal_all(signal.SIGCONT)


# --- a front controller -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["/blog/2026/11/a-post/", "/blog/2026/11/a%20post?page=2", "/blog/caf%C3%A9", "/blog/"]
)
def test_pretty_url(httpd, target):
    response = fetch(httpd.port, target)
    seen = variables(response)
    assert (response.status, seen["SCRIPT_NAME"], seen["PHP_SELF"]) == (200, "/blog/index.php", "/blog/index.php")
    assert seen["SCRIPT_FILENAME"] == f"{httpd.site}/blog/index.php"
    assert seen["REQUEST_URI"] == target and "PATH_INFO" not in seen
    assert seen["QUERY_STRING"] == target.partition("?")[2]


@pytest.mark.parametrize(
    "target, path_info", [("/app/a/b", "/a/b"), ("/app/a%20b?c", "/a b"), ("/app/index.php/x", "/x")]
)
def test_path_behind_the_front_controller(httpd, target, path_info):
    seen = variables(fetch(httpd.port, target))
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/app/index.php", path_info)
    assert seen["REQUEST_URI"] == target


def test_what_is_a_file_is_served_by_httpd(httpd):
    for target, text in (("/blog/style.css", "body {}\n"), ("/app/robots.txt", "for robots\n")):
        response = fetch(httpd.port, target)
        assert response.text == text and response.has("ETag") and not response.has("X-Powered-By")
    assert fetch(httpd.port, "/dir.php/readme.txt").text == "in a directory\n"


def test_rules_may_name_variables(httpd):
    assert variables(fetch(httpd.port, "/blog/index.php", fields=LOGIN))["HTTP_AUTHORIZATION"] == LOGIN[0][1]


def test_directory_index(httpd):
    for target, script in (("/blog/wp-admin/", "/blog/wp-admin/index.php"), ("/", "/index.php")):
        seen = variables(fetch(httpd.port, target))
        assert (seen["SCRIPT_NAME"], seen["REQUEST_URI"]) == (script, target)
    assert fetch(httpd.port, "/blog/wp-admin").status == 301
    seen = variables(fetch(httpd.port, "/blog/wp-admin/index.php/more?q"))
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/blog/wp-admin/index.php", "/more")
    # Without MultiViews nothing is guessed.
    assert fetch(httpd.port, "/page").status == 404


def test_no_script(httpd):
    """httpd answers, without asking PHP: it can't be."""
    with stopped(httpd.fpm):
        for number in range(3):
            assert fetch(httpd.port, f"/none-{number}.php").status == 404
            assert fetch(httpd.port, f"/none/{number}.php/x").status == 404
        assert fetch(httpd.port, "/dir.php").status == 301
        assert fetch(httpd.port, "/slashless/dir.php").status == 403
    assert httpd.log.find("script not found: ") and httpd.log.find("a directory is no script: ")


# --- logins -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/members/", "/members/index.php", "/members/index.php/x", "/chosen/index.php"])
def test_login_comes_before_php(httpd, target):
    httpd.log.allow("AH01617|AH01618|AH01630|AH01631")
    with stopped(httpd.fpm):
        response = fetch(httpd.port, target)
        assert (response.status, response.has("WWW-Authenticate")) == (401, True)
        assert fetch(httpd.port, target, fields=[("Authorization", "Basic YWxpY2U6d3Jvbmc=")]).status == 401
    seen = variables(fetch(httpd.port, target, fields=LOGIN))
    assert (seen["REMOTE_USER"], seen["AUTH_TYPE"]) == ("alice", "Basic") and "PHP_AUTH_PW" not in seen


def test_closed(httpd):
    httpd.log.allow("AH01630")
    with stopped(httpd.fpm):
        assert fetch(httpd.port, "/closed/").status == 403
        assert fetch(httpd.port, "/closed/index.php/x").status == 403


# --- pools ------------------------------------------------------------------------------------------------------------


def test_pools_behind_a_balancer(sandbox):
    """Each has its own processes; a session stays where it is; PATH_INFO is there."""
    pools = {name: start_fpm(sandbox, name, children=6) for name in ("a", "b")}
    root = make_site(sandbox)
    members = [
        f'UDSMember "unix:{pool.socket}|fcgi://localhost{root}" route={name}' for name, pool in pools.items()
    ]
    httpd = sandbox.httpd(
        "<UDSBalancer php>\n" + "\n".join(members) + "\nUDSSet stickysession=POOL\n</UDSBalancer>\n"
        "UDSRoute /app balancer://php\n",
        access_log="%{UDSROUTE_MEMBER}e",
    )
    chosen = {"a": 0, "b": 0}
    for number in range(20):
        seen = variables(fetch(httpd.port, f"/app/vars.php/in%20fo/{number}?x"))
        assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/app/vars.php", f"/in fo/{number}")
        assert (seen["SCRIPT_FILENAME"], seen["QUERY_STRING"]) == (f"{root}/vars.php", "x")
    for count, name in ((20, "a"), (25, "b")):
        httpd.access_lines(count)  # a request that has its answer may not be logged yet
        for _ in range(5):
            assert fetch(httpd.port, "/app/answer.php?how=pid", fields=[("Cookie", f"POOL=x.{name}")]).status == 200
    lines = httpd.access_lines(30)
    assert len(lines) == 30
    for line in lines:
        chosen[re.search(r"/(\w)\.sock", line).group(1)] += 1
    assert chosen == {"a": 15, "b": 15}
    assert all("/a.sock" in line for line in lines[20:25]) and all("/b.sock" in line for line in lines[25:])


# --- what may choose no socket ----------------------------------------------------------------------------------------


def test_what_is_spoken_has_to_be_said(sandbox):
    """Forgotten often: mod_proxy then says 'No protocol handler was valid'."""
    for section in ('<FilesMatch "\\.php$">', "<Location /x>"):
        end = section.split()[0].replace("<", "</") + ">"
        test = sandbox.configtest(f'{section}\nSetHandler "udsroute:unix:/run/php.sock"\n{end}')
        assert test.refused
        assert "write 'udsroute:unix:/run/php.sock|fcgi://localhost' for PHP-FPM" in test.output


CHOOSERS = {
    "H": "RewriteRule ^/page\\.php$ - [H=udsroute:unix:@SOCKET@|fcgi://localhost]",
    "P, ours": "RewriteRule ^/page\\.php$ udsroute:unix:@SOCKET@|fcgi://localhost@SITE@/page.php [P]",
    "P": "RewriteRule ^/page\\.php$ unix:@SOCKET@|fcgi://localhost@SITE@/page.php [P]",
    "PT": "RewriteRule ^/page\\.php$ /unix:@SOCKET@|fcgi://localhost@SITE@/page.php [PT]",
    "AddHandler": 'AddHandler "udsroute:unix:@SOCKET@|fcgi://localhost" .php',
    "AddType": 'AddType "udsroute:unix:@SOCKET@|fcgi://localhost" .php',
}


@pytest.mark.parametrize("how", CHOOSERS)
def test_no_rule_chooses_a_socket(sandbox, how):
    fpm = start_fpm(sandbox, children=1)
    root = make_site(sandbox)
    furnish(root)
    rule = CHOOSERS[how].replace("@SOCKET@", fpm.socket).replace("@SITE@", str(root))
    httpd = sandbox.httpd(
        f'DocumentRoot "{root}"\n<Directory "{root}">\nRequire all granted\n</Directory>\nRewriteEngine On\n{rule}\n',
        modules=["rewrite"],
    )
    response = fetch(httpd.port, "/page.php")
    assert response.status in (403, 404, 500)
    assert b"SCRIPT_FILENAME" not in response.body and b"<?php" not in response.body
    if how in ("H", "AddHandler", "AddType"):
        httpd.log.expect(r"UDR0014: handler 'udsroute:.*is refused")
    httpd.log.allow(r"AH\d{5}")


def test_htaccess_chooses_no_socket(sandbox):
    httpd = start_site(sandbox, "event", config=CONFIG, modules=MODULES)
    furnish(httpd.site)
    line = f'SetHandler "udsroute:unix:{httpd.fpm.socket}|fcgi://localhost"\n'
    (httpd.site / "blog/.htaccess").write_text(line)
    assert fetch(httpd.port, "/blog/index.php").status == 500
    httpd.log.expect(r"\.htaccess: SetHandler: .*not for \.htaccess")
    # What the file may say: that scripts there are none.
    taken_away = '<FilesMatch "\\.php$">\nSetHandler None\nRequire all denied\n</FilesMatch>\n'
    (httpd.site / "blog/.htaccess").write_text(taken_away)
    assert fetch(httpd.port, "/blog/index.php").status == 403
    httpd.log.allow("AH01630")
    assert fetch(httpd.port, "/vars.php").status == 200


# --- names ------------------------------------------------------------------------------------------------------------


def test_symbolic_link_to_a_script(sandbox):
    """PHP is told the name that was asked for."""
    httpd = start_site(sandbox, "event", config=CONFIG, modules=MODULES)
    os.symlink(httpd.site / "vars.php", httpd.site / "linked.php")
    assert variables(fetch(httpd.port, "/linked.php"))["SCRIPT_FILENAME"] == f"{httpd.site}/linked.php"


def test_keepalive_of_the_client_goes_over_scripts_and_files(sandbox):
    httpd = start_site(sandbox, "event", config=CONFIG, modules=MODULES)
    furnish(httpd.site)
    with Client(httpd.port) as client:
        for _ in range(10):
            assert client.fetch("/vars.php/x").status == 200
            assert client.fetch("/blog/style.css").text == "body {}\n"
            assert client.fetch("/upload.php", "POST", body=[b"abc"]).status == 200


def test_two_forms_side_by_side(sandbox):
    """A route has precedence over the handler of a file."""
    fpm = start_fpm(sandbox)
    root, other = make_site(sandbox), make_site(sandbox, "other")
    route = f'UDSRoute "/vars.php" "unix:{fpm.socket}|fcgi://localhost{other}/vars.php"'
    httpd = sandbox.httpd(files_config(fpm, root) + route)
    assert variables(fetch(httpd.port, "/vars.php/x"))["SCRIPT_FILENAME"] == f"{other}/vars.php"
    assert variables(fetch(httpd.port, "/index.php/x"))["SCRIPT_FILENAME"] == f"{root}/index.php"
