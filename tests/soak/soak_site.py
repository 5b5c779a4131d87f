# SPDX-License-Identifier: Apache-2.0
"""What the soak test runs against: an httpd with routed, static, CGI and Lua locations side by side; its members."""
import os
import pathlib
import sys

import udr_environment
import udr_peers
from soak_backend import SERVERS, content
from soak_tsan import Tsan

MODULES = ("alias", "dir", "status", "cgid", "lua", "deflate", "filter", "reqtimeout", "http2")

# The static files: large enough for sendfile(2), mmap(2) and a full socket. Each has the content of its name.
FILES = {"small": 57, "middle": 20_000, "large": 2_500_000}

THREADS = 25
CHILDREN = 2

CGI = """#!/bin/sh
# The query is the token; the body comes back behind it.
printf 'Content-Type: text/plain\\r\\nX-Token: %s\\r\\n\\r\\n' "$QUERY_STRING"
printf 'cgi %s\\n' "$QUERY_STRING"
cat 2>/dev/null
"""

# A handler that holds its thread for as many milliseconds as the query says.
LUA = """
function handle(r)
    local token, milliseconds = r.args:match("^(.-)&(%d+)$")
    r.usleep(tonumber(milliseconds) * 1000)
    r.content_type = "text/plain"
    r:puts("lua " .. token .. "\\n")
    return apache2.OK
end
"""

CONFIG = """
UDSLoops {loops}
<IfModule mpm_event_module>
    # Adopted connections count against ThreadsPerChild + idle workers x this factor.
    AsyncRequestWorkerFactor 100
</IfModule>
<IfModule !mpm_prefork_module>
    # Tunnels that outlive several graceful restarts keep their children.
    ServerLimit 16
</IfModule>
ListenBacklog 4096
KeepAliveTimeout 5
Timeout 20
ExtendedStatus On
LogFormat "%t %P %{{tid}}P \\"%r\\" %>s %b %D %X %k" soak
CustomLog logs/access.log soak
RequestReadTimeout header=20 body=20
LuaScope thread
CGIDScriptTimeout 20

<Location /server-status>
    SetHandler server-status
</Location>
ScriptAlias /cgi/ {root}/cgi/
<Files *.lua>
    SetHandler lua-script
</Files>
Redirect 302 /moved http://localhost/there
Alias /errors/ {root}/errors/
ErrorDocument 404 /errors/404.txt
<Location /routed-errors/>
    ErrorDocument 404 /hostile/whole/error-document/333
</Location>

# A fast internal redirect from a handler of httpd's to a route.
<Location /fallback/>
    FallbackResource /hostile/whole/fallback/77
</Location>

UDSRoute /app/     "unix:{sockets}/udsbackend.sock|http://localhost/" ttl=2
UDSRoute /hostile/ "unix:{sockets}/hostile.sock|http://localhost/" ttl=2 timeout=20 upgrade=echo
UDSRoute /unsteady/ "unix:{sockets}/unsteady.sock|http://localhost/" ttl=2 timeout=20
UDSRoute /limited/ "unix:{sockets}/turns.sock|http://localhost/" ttl=2 max=3 smax=0 acquire=30000 timeout=20
UDSRoute /hasty/   "unix:{sockets}/busy.sock|http://localhost/" ttl=2 max=2 smax=0 acquire=150 timeout=1
UDSRoute /crowded/ "unix:{sockets}/crowded.sock|http://localhost/" ttl=2 connectiontimeout=30 disablereuse=on

<Location /hostile/deflated/>
    UDSRoute "unix:{sockets}/hostile.sock|http://localhost/" ttl=2 timeout=20
    SetOutputFilter DEFLATE
</Location>
<Location /hostile/overridden/>
    UDSRoute "unix:{sockets}/hostile.sock|http://localhost/" ttl=2 timeout=20
    UDSErrorOverride On
    ErrorDocument 413 /errors/413.txt
</Location>

"""

HOSTS = """
<VirtualHost 127.0.0.1:@PORT@>
    ServerName localhost
</VirtualHost>
<VirtualHost 127.0.0.1:@PORT@>
    ServerName few.test
    MaxKeepAliveRequests 5
</VirtualHost>
"""

TLS_HOST = """
<VirtualHost 127.0.0.1:@TLSPORT@>
    ServerName localhost
    SSLEngine On
    SSLCertificateFile @ROOT@/cert.pem
    SSLCertificateKeyFile @ROOT@/key.pem
    {protocols}
</VirtualHost>
"""


class Site:
    """The servers, started in a sandbox."""

    def __init__(self, sandbox, loops, mpm, tsan=False):
        self.sandbox = sandbox
        self.mpm = mpm
        self.has_loops = mpm == "event" and loops != "Off"
        self.tsan = None
        if tsan:
            self.tsan = Tsan(udr_environment.httpd_program())
            os.environ["HTTPD"] = str(self.tsan.program)
            udr_environment.httpd_program.cache_clear()
        data = sandbox.root / "data"
        data.mkdir(mode=0o755)
        (data / "data.bin").write_bytes(b"data")
        udr_peers.start_udsbackend(sandbox, data / "data.bin")
        script = pathlib.Path(__file__).with_name("soak_backend.py")
        self.backend = sandbox.server("soak-backend", [sys.executable, "-B", script, sandbox.sockets])
        for name in SERVERS:
            self.backend.wait_for_socket(sandbox.socket(name))
        self._lay_out(sandbox.root)
        text = CONFIG.format(loops=loops, sockets=sandbox.sockets, root=sandbox.root) + HOSTS
        text += TLS_HOST.format(protocols="" if mpm == "prefork" else "Protocols h2 http/1.1")
        modules = [name for name in MODULES if not (mpm == "prefork" and name == "http2")]
        self.httpd = sandbox.httpd(text, modules=modules, mpm=mpm, children=CHILDREN, threads=THREADS, tls=True,
                                   udsroute_log_level="info", quarantine_mb=8)
        htdocs = self.httpd.root / "htdocs"
        for name, size in FILES.items():
            self._write(htdocs / f"{name}.bin", content(name, size))
        self._write(htdocs / "handler.lua", LUA.encode())

    def _lay_out(self, root):
        for name in ("cgi", "errors"):
            (root / name).mkdir(mode=0o755)
        self._write(root / "cgi/token", CGI.encode(), 0o755)
        self._write(root / "errors/404.txt", content("error-404", 111))
        self._write(root / "errors/413.txt", content("error-413", 222))

    @staticmethod
    def _write(path, data, mode=0o644):
        path.write_bytes(data)
        path.chmod(mode)

    @property
    def sanitized(self):
        return bool(self.tsan) or udr_environment.sanitized()

    def stop_backend(self):
        """Its verdict on the requests it got is its exit status."""
        self.sandbox.stop(self.backend)
        return self.backend.process.returncode, self.backend.output()
