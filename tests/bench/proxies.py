# SPDX-License-Identifier: Apache-2.0
"""The proxies that are measured: how each is configured, with one process, kept-alive connections and no logging."""

import dataclasses
import pathlib
from collections.abc import Callable

OURS = "mod_udsroute"


@dataclasses.dataclass(frozen=True)
class Site:
    """Where one proxy lives: its own directory and port, and the backend's socket."""

    directory: pathlib.Path
    port: int
    backend_socket: pathlib.Path
    build: pathlib.Path
    httpd: str
    httpd_modules: str
    user: str  # empty unless we are root: then the servers drop to this user
    group: str


@dataclasses.dataclass(frozen=True)
class Proxy:
    name: str
    configure: Callable[[Site], list[str]]  # writes the configuration, returns the command that stays in the foreground
    version: Callable[[Site], list[str]]


def httpd_command(site: Site, modules: dict[str, str], lines: str) -> list[str]:
    """An httpd with one child of 64 threads, the event MPM and nothing loaded that is not needed."""
    loads = "\n".join(f'LoadModule {name}_module "{path}"' for name, path in modules.items())
    account = f"User {site.user}\nGroup {site.group}" if site.user else ""
    configuration = site.directory / "httpd.conf"
    configuration.write_text(f"""\
ServerRoot "{site.directory}"
ServerName localhost
Listen 127.0.0.1:{site.port}
PidFile httpd.pid
DefaultRuntimeDir "{site.directory}"
ErrorLog error.log
LogLevel warn
{account}
LoadModule mpm_event_module "{site.httpd_modules}/mod_mpm_event.so"
LoadModule authz_core_module "{site.httpd_modules}/mod_authz_core.so"
{loads}
StartServers 1
ServerLimit 1
ThreadLimit 64
ThreadsPerChild 64
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
{lines}
""")
    return [site.httpd, "-f", str(configuration), "-DFOREGROUND"]


def httpd_version(site: Site) -> list[str]:
    return [site.httpd, "-v"]


def configure_mod_udsroute(site: Site) -> list[str]:
    module = site.build / "mod_udsroute/.libs/mod_udsroute.so"
    route = f'UDSRoute "/" "unix:{site.backend_socket}|http://localhost/"'
    return httpd_command(site, {"udsroute": str(module)}, route)


def configure_mod_proxy(site: Site) -> list[str]:
    modules = {name: f"{site.httpd_modules}/mod_{name}.so" for name in ("proxy", "proxy_http")}
    route = f'ProxyPass "/" "unix:{site.backend_socket}|http://localhost/" enablereuse=on'
    return httpd_command(site, modules, route)


def configure_nginx(site: Site) -> list[str]:
    account = f"user {site.user} {site.group};" if site.user else ""
    spool = "\n".join(f"  {kind}_temp_path {site.directory}/{kind};"
                      for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration = site.directory / "nginx.conf"
    configuration.write_text(f"""\
daemon off;
worker_processes 1;
pid {site.directory}/nginx.pid;
error_log {site.directory}/error.log;
{account}
events {{ worker_connections 1024; }}
http {{
  access_log off;
{spool}
  keepalive_requests 1000000000;
  upstream backend {{
    server unix:{site.backend_socket};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{site.port};
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
    configuration = site.directory / "haproxy.cfg"
    configuration.write_text(f"""\
global
  nbthread 1
  maxconn 4000
{account}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend clients
  bind 127.0.0.1:{site.port}
  default_backend application
backend application
  server application unix@{site.backend_socket}
""")
    return ["haproxy", "-db", "-q", "-f", str(configuration)]


PROXIES = [
    Proxy(OURS, configure_mod_udsroute, httpd_version),
    Proxy("mod_proxy", configure_mod_proxy, httpd_version),
    Proxy("nginx", configure_nginx, lambda site: ["nginx", "-v"]),
    Proxy("haproxy", configure_haproxy, lambda site: ["haproxy", "-v"]),
]
