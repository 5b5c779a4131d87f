# SPDX-License-Identifier: Apache-2.0
"""The proxies that are measured: how each is configured, with one serving thread or child, kept-alive connections to
the backend and no logging. All get room for as many connections as any case makes."""

import dataclasses
import pathlib
from collections.abc import Callable

OURS = "mod_udsroute"
BALANCER = "balancer"
THREADS = 64  # of each httpd child
BACKLOG = 4096


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a case needs of its proxies beyond the route; the last three are understood by httpd only."""

    tls: bool = False  # the proxy's port speaks TLS
    children: int = 1
    status: bool = False  # mod_status at /server-status
    handler: bool = False  # a CGI program at /cgi/sleep


@dataclasses.dataclass(frozen=True)
class Site:
    """Where one proxy lives: its own directory and port, and the backend's socket."""

    directory: pathlib.Path
    port: int
    shape: Shape
    backend_socket: pathlib.Path
    build: pathlib.Path
    httpd: str
    httpd_modules: str
    user: str  # empty unless we are root: then the servers drop to this user
    group: str
    certificate: pathlib.Path | None  # and its key, in one file; where the shape says TLS


@dataclasses.dataclass(frozen=True)
class Proxy:
    name: str
    configure: Callable[[Site], list[str]]  # writes the configuration, returns the command that stays in the foreground
    version: Callable[[str], list[str]]  # given the httpd program
    is_rival: bool = True  # of every case that names no proxies


SLEEPING_HANDLER = """\
#!/bin/sh
sleep 2
printf 'Content-Type: text/plain\\r\\nContent-Length: 6\\r\\n\\r\\nslept\\n'
"""


def httpd_shape(site: Site, exclude: str) -> tuple[list[str], list[str]]:
    """Modules and lines for what the shape adds; exclude: the directive that keeps a path away from the route."""
    modules, lines = [], []
    if site.shape.tls:
        modules.append("ssl")
        lines += ["SSLEngine On", f'SSLCertificateFile "{site.certificate}"']
    if site.shape.status:
        modules.append("status")
        lines += ["<Location /server-status>", "  SetHandler server-status", "</Location>"]
        lines += [f'{exclude} "/server-status" !']
    if site.shape.handler:
        modules += ["alias", "cgid"]
        programs = site.directory / "cgi"
        programs.mkdir(exist_ok=True)
        (programs / "sleep").write_text(SLEEPING_HANDLER)
        (programs / "sleep").chmod(0o755)
        lines += [f'ScriptAlias "/cgi/" "{programs}/"', f'{exclude} "/cgi/" !']
    return modules, lines


def httpd_command(site: Site, loads: dict[str, pathlib.Path | str], exclude: str, route: str) -> list[str]:
    """An httpd with the event MPM and nothing loaded that is not needed."""
    names, shape_lines = httpd_shape(site, exclude)
    loads = loads | {name: f"{site.httpd_modules}/mod_{name}.so" for name in names}
    load_lines = "\n".join(f'LoadModule {name}_module "{path}"' for name, path in loads.items())
    account = f"User {site.user}\nGroup {site.group}" if site.user else ""
    lines = "\n".join([*shape_lines, route])
    children = site.shape.children
    configuration = site.directory / "httpd.conf"
    configuration.write_text(f"""\
ServerRoot "{site.directory}"
ServerName localhost
Listen 127.0.0.1:{site.port}
ListenBacklog {BACKLOG}
PidFile httpd.pid
DefaultRuntimeDir "{site.directory}"
ErrorLog error.log
LogLevel warn
{account}
LoadModule mpm_event_module "{site.httpd_modules}/mod_mpm_event.so"
LoadModule authz_core_module "{site.httpd_modules}/mod_authz_core.so"
{load_lines}
StartServers {children}
ServerLimit {children}
ThreadLimit {THREADS}
ThreadsPerChild {THREADS}
MaxRequestWorkers {children * THREADS}
MinSpareThreads 1
MaxSpareThreads {children * THREADS}
# A child takes ThreadsPerChild + idle threads x this many connections.
AsyncRequestWorkerFactor 400
Timeout 300
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
{lines}
""")
    return [site.httpd, "-f", str(configuration), "-DFOREGROUND"]


def httpd_version(httpd: str) -> list[str]:
    return [httpd, "-v"]


def configure_mod_udsroute(site: Site) -> list[str]:
    module = site.build / "mod_udsroute/.libs/mod_udsroute.so"
    route = f'UDSRoute "/" "unix:{site.backend_socket}|http://localhost/"'
    return httpd_command(site, {"udsroute": module}, "UDSRoute", route)


def configure_balancer(site: Site) -> list[str]:
    """Ours again: the same member, in a balancer."""
    module = site.build / "mod_udsroute/.libs/mod_udsroute.so"
    lines = ["<UDSBalancer app>", f'UDSMember "unix:{site.backend_socket}|http://localhost/"', "</UDSBalancer>",
             'UDSRoute "/" "balancer://app/"']
    return httpd_command(site, {"udsroute": module}, "UDSRoute", "\n".join(lines))


def configure_mod_proxy(site: Site) -> list[str]:
    modules = {name: f"{site.httpd_modules}/mod_{name}.so" for name in ("proxy", "proxy_http")}
    route = f'ProxyPass "/" "unix:{site.backend_socket}|http://localhost/" enablereuse=on upgrade=websocket'
    return httpd_command(site, modules, "ProxyPass", route)


def configure_nginx(site: Site) -> list[str]:
    account = f"user {site.user} {site.group};" if site.user else ""
    spool = "\n".join(f"  {kind}_temp_path {site.directory}/{kind};"
                      for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    tls, certificate = "", ""
    if site.shape.tls:
        tls, certificate = " ssl", f"ssl_certificate {site.certificate}; ssl_certificate_key {site.certificate};"
    configuration = site.directory / "nginx.conf"
    configuration.write_text(f"""\
daemon off;
worker_processes 1;
pid {site.directory}/nginx.pid;
error_log {site.directory}/error.log;
{account}
events {{ worker_connections 8192; }}
http {{
  access_log off;
{spool}
  keepalive_requests 1000000000;
  upstream backend {{
    server unix:{site.backend_socket};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{site.port} backlog={BACKLOG}{tls};
    {certificate}
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_max_temp_file_size 0;
    }}
  }}
}}
""")
    return ["nginx", "-p", str(site.directory), "-c", str(configuration), "-e", str(site.directory / "error.log")]


def configure_haproxy(site: Site) -> list[str]:
    account = f"  user {site.user}\n  group {site.group}" if site.user else ""
    tls = f" ssl crt {site.certificate}" if site.shape.tls else ""
    configuration = site.directory / "haproxy.cfg"
    # splice-response is of use to large bodies, and makes no difference to small ones.
    configuration.write_text(f"""\
global
  nbthread 1
  maxconn {BACKLOG}
{account}
defaults
  mode http
  option splice-response
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend clients
  bind 127.0.0.1:{site.port}{tls}
  default_backend application
backend application
  server application unix@{site.backend_socket}
""")
    return ["haproxy", "-db", "-q", "-f", str(configuration)]


PROXIES = [
    Proxy(OURS, configure_mod_udsroute, httpd_version),
    Proxy("mod_proxy", configure_mod_proxy, httpd_version),
    Proxy("nginx", configure_nginx, lambda httpd: ["nginx", "-v"]),
    Proxy("haproxy", configure_haproxy, lambda httpd: ["haproxy", "-v"]),
    Proxy(BALANCER, configure_balancer, httpd_version, is_rival=False),
]
