# SPDX-License-Identifier: Apache-2.0
"""Which file is run, where a route leads to scripts whose files httpd can see: clients choose the path, and files may be
what other clients have uploaded."""
import json
import re

import pytest

import udr_environment
from udr_client import fetch
from udr_environment import threaded_mpm
from udr_processes import wait_until

FILES = ("index.php", "shop.php", "uploads/evil.jpg", "cgi/tool.cgi", "dir.php/page.php", "deep/er/x.php")
MODULES = ("alias", "auth_basic", "authn_file", "authz_user")
CONFIG = """
LimitRequestLine 20000
UDSRouteMatch "^/plain/.+\\.php$" "@TARGET@"
UDSRouteMatch "^/both/(.+\\.php(/.*)?)$" "@TARGET@/$1"
UDSRouteMatch "^/only/(.+\\.php/.*)$" "@TARGET@/$1"
UDSRouteMatch "^/html/(.*)\\.html$" "@TARGET@/$1.php"
UDSRouteMatch "^/below/(.*)$" "@TARGET@/$1/index.php"
UDSRouteMatch "^/front(/.*)?$" "@TARGET@/uploads/evil.jpg$1"
UDSRouteMatch "^/cgi-bin/(.+\\.cgi(/.*)?)$" "@TARGET@/cgi/$1"
UDSRoute "/all" "@TARGET@"
<Location "/private">
  AuthType Basic
  AuthName "private"
  AuthUserFile "@ROOT@/passwords"
  Require valid-user
</Location>
<UDSBalancer scripts>
  UDSMember "@TARGET@"
</UDSBalancer>
Alias "/handled" "@SITE@"
AliasMatch "^/aliased(/.*)?$" "@SITE@/cgi/tool.cgi$1"
<Location "/handled/deep">
  SetEnv PATH_INFO /forged
  SetEnv PATH_TRANSLATED /forged
  SetEnv SCRIPT_FILENAME /forged
  SetEnv SCRIPT_NAME /forged
</Location>
<LocationMatch "^/aliased/.+|^/handled/shop.php/only">
  SetHandler "udsroute:unix:@SOCKET@|fcgi://localhost"
</LocationMatch>
<Directory "@SITE@">
  Require all granted
</Directory>
<LocationMatch "^/handled/.+\\.(php|cgi)(/|$)">
  SetHandler "udsroute:unix:@SOCKET@|fcgi://localhost"
</LocationMatch>
<Location ~ "^/handled/.+\\.pl$">
  SetHandler "udsroute:unix:@SOCKET@|fcgi://localhost"
</Location>
UDSRouteMatch "^/balanced/(.+\\.php(/.*)?)$" "balancer://scripts/$1"
"""


@pytest.fixture(scope="module")
def site(module_sandbox):
    root = module_sandbox.root / "files"
    for name in FILES:
        path = root / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text("?\n")
        path.chmod(0o644)
    for path in (root, *(path for path in root.rglob("*") if path.is_dir())):
        path.chmod(0o755)
    (root / "plain").symlink_to(root)
    return root


@pytest.fixture(scope="module")
def httpd(module_sandbox, site):
    member = module_sandbox.scripted(
        "scripts", lambda exchange: exchange.respond(body=json.dumps(exchange.request.fields)), protocol="fcgi"
    )
    text = CONFIG.replace("@TARGET@", "unix:@SOCKET@|fcgi://localhost@SITE@")
    text = text.replace("@SOCKET@", member.address).replace("@SITE@", str(site))
    return module_sandbox.httpd(text, modules=MODULES, mpm=threaded_mpm(), children=1)


def ask(httpd, path, fields=()):
    """What the member is told."""
    response = fetch(httpd.port, path, fields=fields)
    assert response.status == 200, response
    return dict(json.loads(response.body))


def script(httpd, site, path):
    """What is to be run, below the site, and what stands behind it."""
    variables = ask(httpd, path)
    return variables["SCRIPT_FILENAME"].removeprefix(f"{site}/"), variables.get("PATH_INFO", "")


@pytest.mark.parametrize(
    "path, expected",
    {
        "/plain/uploads/evil.jpg/x.php": ("plain/uploads/evil.jpg/x.php", ""),
        "/plain/shop.php/x.php": ("plain/shop.php", "/x.php"),
        "/both/uploads/evil.jpg/x.php": ("uploads/evil.jpg/x.php", ""),
        "/both/uploads/evil.jpg/x.php/y": ("uploads/evil.jpg/x.php", "/y"),
        "/both/uploads/evil.jpg//x.php": ("uploads/evil.jpg/x.php", ""),
        "/both/shop.php/uploads/evil.jpg": ("shop.php", "/uploads/evil.jpg"),
        "/both/dir.php/page.php/a": ("dir.php/page.php", "/a"),
        "/both/deep/er/x.php/": ("deep/er/x.php", "/"),
        "/only/shop.php/a": ("shop.php", "/a"),
        "/only/uploads/evil.jpg/x.php/a": ("uploads/evil.jpg/x.php", "/a"),
        "/html/shop.html": ("shop.php", ""),
        "/html/uploads/evil.jpg/x.html": ("uploads/evil.jpg/x.php", ""),
        "/below/uploads/evil.jpg": ("uploads/evil.jpg/index.php", ""),
        "/below/uploads/evil.jpg/index.php": ("uploads/evil.jpg/index.php", "/index.php"),
        "/balanced/uploads/evil.jpg/x.php": ("uploads/evil.jpg/x.php", ""),
        "/balanced/shop.php/x": ("shop.php", "/x"),
    }.items(),
)
def test_expression_takes_no_file_for_what_comes_behind_it(httpd, site, path, expected):
    """With cgi.fix_pathinfo=0 PHP then finds no script; it must not get an uploaded picture for one."""
    assert script(httpd, site, path) == expected


@pytest.mark.parametrize(
    "path, expected",
    {
        "/front": ("uploads/evil.jpg", ""),
        "/front/a/b.php": ("uploads/evil.jpg", "/a/b.php"),
        "/cgi-bin/tool.cgi": ("cgi/tool.cgi", ""),
        "/cgi-bin/tool.cgi/a/b.jpg": ("cgi/tool.cgi", "/a/b.jpg"),
        "/handled/shop.php": ("shop.php", ""),
        "/handled/shop.php/a/b.jpg": ("shop.php", "/a/b.jpg"),
        "/handled/cgi/tool.cgi/x.php": ("cgi/tool.cgi", "/x.php"),
        "/handled/shop.php/only/x": ("shop.php", "/only/x"),
        "/aliased/x": ("cgi/tool.cgi", "/x"),
        "/handled/none.php": ("none.php", ""),
        "/all/uploads/evil.jpg/x.php": ("uploads/evil.jpg", "/x.php"),
        "/all/cgi/tool.cgi/x": ("cgi/tool.cgi", "/x"),
        "/all/deep/er": ("deep/er", ""),
        "/all/none/er/x": ("none/er/x", ""),
    }.items(),
)
def test_file_that_is_meant(httpd, site, path, expected):
    """By the configuration, or by a route that takes the file's own name as well."""
    assert script(httpd, site, path) == expected


@pytest.mark.parametrize("path", ["/uploads/evil.jpg/x.php", "/uploads/evil.jpg/x.php/y", "/cgi/tool.cgi/x.pl"])
def test_handler_by_expression(httpd, path):
    """Not for a file that the expression of its section does not match: httpd knows that there is no other."""
    assert fetch(httpd.port, f"/handled{path}").status == 404


@pytest.mark.parametrize("begin", ["/handled/shop.php", "/all/shop.php"])
@pytest.mark.parametrize("behind", ["/private/x", "/all/x", "/handled/x"])
def test_path_behind_a_script_is_no_request(httpd, begin, behind):
    """It is asked of nobody but the script: no route says where it leads, no password is looked at."""
    variables = ask(httpd, begin + behind, [("Authorization", "Basic YWxpY2U6d3Jvbmc=")])
    assert variables["PATH_INFO"] == behind and "REMOTE_USER" not in variables
    assert variables["PATH_TRANSLATED"] == variables["DOCUMENT_ROOT"] + behind
    assert not httpd.log.find("auth_basic:|authn|authz")


def test_environment_names_no_script(httpd, site):
    """What an .htaccess file may set: PHP takes PATH_TRANSLATED for the script where it finds REDIRECT_URL."""
    variables = ask(httpd, "/handled/deep/er/x.php")
    assert variables["SCRIPT_FILENAME"] == f"{site}/deep/er/x.php" and variables["SCRIPT_NAME"] == "/handled/deep/er/x.php"
    assert "PATH_INFO" not in variables and "PATH_TRANSLATED" not in variables


@pytest.mark.parametrize("begin", ["/all", "/all/deep", "/all/index.php"])
def test_long_paths_cost_few_looks(sandbox, httpd, site, begin):
    """One for each directory that is there, not one for each segment of the request's path."""
    trace = sandbox.root / "trace"
    command = [udr_environment.program("strace"), "-f", "-s", "200", "-o", trace, "-p", str(httpd.children()[0])]
    strace = sandbox.server("strace", command)
    wait_until(lambda: "attached" in strace.output(), f"strace to attach: {strace.output()}", 20)
    path = begin + "/a" * 2000
    found, behind = script(httpd, site, path)
    assert found + behind == path.removeprefix("/all/")
    sandbox.stop(strace)
    looks = re.findall(rf'stat.*"{re.escape(str(site))}[/"]', trace.read_text())
    assert 0 < len(looks) < 10
