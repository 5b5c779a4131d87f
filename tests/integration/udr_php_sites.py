# SPDX-License-Identifier: Apache-2.0
"""The same site twice in one httpd: by our module, and by mod_proxy_fcgi, at an address of its own."""
import shutil

from udr_php import make_site

OURS, THEIRS = "127.0.0.1", "127.0.0.2"
MODULES = (
    "proxy",
    "proxy_fcgi",
    "rewrite",
    "alias",
    "dir",
    "auth_basic",
    "authn_file",
    "authz_user",
    "negotiation",
)
# PHP's own password hash of "secret", for `alice`, in httpd's notation.
PASSWORDS = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"

_HOST = """
<VirtualHost {address}:{port}>
  ServerName {name}:{public}
  UseCanonicalName On
  DocumentRoot "{root}"
  AllowEncodedSlashes {slashes}
  {tls}
  DirectoryIndex index.php
  ErrorDocument 404 /error.php?document
  ErrorDocument 403 /error.php/behind
  SetEnv FROM_SETENV "set here"
  PassEnv FROM_OUTSIDE
  SetEnvIf Request_URI "vars" FROM_SETENVIF=seen FROM_PATTERN=$0
  Alias "/alias" "{other}"
  Alias "/alias d" "{other}/with space"
  RewriteEngine On
  RewriteRule "^/pretty/(.*)$" "/vars.php?page=$1" [QSA,PT]
  RewriteRule "^/info/(.*)$" "/vars.php/$1" [PT]
  RewriteRule "^/env/(.*)$" "/vars.php" [PT,E=FROM_REWRITE:$1]
  RewriteRule "^/file/(.*)$" "{root}/vars.php"
  <Directory "{root}">
    Require all granted
    AllowOverride All
    Options -MultiViews
  </Directory>
  <Directory "{other}">
    Require all granted
  </Directory>
  <Directory "{root}/closed">
    Require all denied
  </Directory>
  <Directory "{root}/fallback">
    FallbackResource /fallback/index.php
  </Directory>
  <Directory "{root}/rewritten">
    RewriteEngine On
    RewriteBase "/rewritten/"
    RewriteRule "^item/([0-9]+)$" "vars.php?item=$1" [QSA]
    RewriteRule "^path/(.*)$" "vars.php/$1"
  </Directory>
  <Directory "{root}/auth">
    AuthType Basic
    AuthName "test"
    AuthUserFile "{passwords}"
    Require valid-user
  </Directory>
  <Directory "{root}/pass">
    CGIPassAuth On
  </Directory>
  <FilesMatch "\\.php$">
    SetHandler "{handler}:unix:{socket}|fcgi://localhost"
  </FilesMatch>
  {routes}
</VirtualHost>
"""

_OUR_ROUTES = """
  UDSRoute "/app" "unix:{socket}|fcgi://localhost{other}"
  UDSRoute "/one" "unix:{socket}|fcgi://localhost{other}/vars.php"
"""
_THEIR_ROUTES = """
  ProxyPass "/app" "unix:{socket}|fcgi://localhost{other}"
  ProxyPass "/one" "unix:{socket}|fcgi://localhost{other}/vars.php"
"""

_HTACCESS = """
RewriteEngine On
RewriteBase /front/
RewriteRule ^index\\.php$ - [L]
RewriteCond %{REQUEST_FILENAME} !-f
RewriteCond %{REQUEST_FILENAME} !-d
RewriteRule . /front/index.php [L]
"""

NAMES = ("a b.php", "ä.php", "100%.php", "a+b.php", "q?m.php", "semi;colon.php", "a&b=c.php", "%41.php", "ha#sh.php")


def lay_out(sandbox):
    """The files; returns their root and that of another directory, which an Alias leads to."""
    root = make_site(sandbox)
    other = make_site(sandbox, "other")
    script = root / "vars.php"
    for name in ("sub", "front", "fallback", "rewritten", "auth", "pass", "closed", "dir.php", "with space"):
        for base in (root, other):
            (base / name).mkdir(mode=0o755)
            shutil.copy(script, base / name / "index.php")
            shutil.copy(script, base / name / "vars.php")
    for name in NAMES:
        shutil.copy(script, root / name)
        shutil.copy(script, other / name)
    (root / "front/.htaccess").write_text(_HTACCESS)
    (root / "front/static.txt").write_text("from httpd\n")
    for path in (root, other):
        for file in path.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
    return root, other


def both_sites(sandbox, fpm):
    """Starts the httpd."""
    root, other = lay_out(sandbox)
    passwords = sandbox.root / "passwords"
    passwords.write_text(PASSWORDS)
    passwords.chmod(0o644)
    text = f"Listen {THEIRS}:@PORT@\nListen {THEIRS}:@TLSPORT@\n"
    for address, handler, routes in ((OURS, "udsroute", _OUR_ROUTES), (THEIRS, "proxy", _THEIR_ROUTES)):
        fixed = {
            "address": address,
            "root": root,
            "other": other,
            "passwords": passwords,
            "handler": handler,
            "socket": fpm.socket,
            "routes": routes.format(socket=fpm.socket, other=other),
        }
        for name, slashes in (("localhost", "Off"), ("decoding", "On"), ("keeping", "NoDecode")):
            text += _HOST.format(**fixed, port="@PORT@", name=name, slashes=slashes, tls="", public=80)
        tls = 'SSLEngine On\n SSLCertificateFile "cert.pem"\n SSLCertificateKeyFile "key.pem"\n SSLOptions +StdEnvVars'
        text += _HOST.format(**fixed, port="@TLSPORT@", name="localhost", slashes="Off", tls=tls, public=443)
    return sandbox.httpd(text, modules=MODULES, tls=True, environment={"FROM_OUTSIDE": "passed on"}, threads=8)
