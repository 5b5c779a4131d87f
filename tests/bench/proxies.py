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
    """What a case needs of its proxies beyond the route; children, status and handler are httpd's only."""

    tls: bool = False  # the proxy's port speaks TLS
    children: int = 1
    status: bool = False  # mod_status at /server-status
    handler: bool = False  # a CGI program at /cgi/sleep
    php: int = 0  # so many processes of PHP-FPM for each proxy, instead of udsbackend


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
    documents: pathlib.Path | None  # where PHP's scripts are; where the shape says PHP


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


# Those of nginx's fastcgi.conf.
NGINX_PARAMS = {
    "SCRIPT_FILENAME": "$document_root$fastcgi_script_name",
    "QUERY_STRING": "$query_string",
    "REQUEST_METHOD": "$request_method",
    "CONTENT_TYPE": "$content_type",
    "CONTENT_LENGTH": "$content_length",
    "SCRIPT_NAME": "$fastcgi_script_name",
    "REQUEST_URI": "$request_uri",
    "DOCUMENT_URI": "$document_uri",
    "DOCUMENT_ROOT": "$document_root",
    "SERVER_PROTOCOL": "$server_protocol",
    "REQUEST_SCHEME": "$scheme",
    "GATEWAY_INTERFACE": "CGI/1.1",
    "SERVER_SOFTWARE": "nginx/$nginx_version",
    "REMOTE_ADDR": "$remote_addr",
    "REMOTE_PORT": "$remote_port",
    "REMOTE_USER": "$remote_user",
    "SERVER_ADDR": "$server_addr",
    "SERVER_PORT": "$server_port",
    "SERVER_NAME": "$server_name",
    "REDIRECT_STATUS": "200",
}


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


def php_by_handler(site: Site, prefix: str) -> str:
    """As the manuals of both modules have it. As usual, no .htaccess is looked for."""
    return f"""\
DocumentRoot "{site.documents}"
<Directory "/">
  AllowOverride None
</Directory>
<FilesMatch "\\.php$">
  SetHandler "{prefix}:unix:{site.backend_socket}|fcgi://localhost/"
</FilesMatch>"""


def configure_mod_udsroute(site: Site) -> list[str]:
    module = site.build / "mod_udsroute/.libs/mod_udsroute.so"
    if site.shape.php:
        return httpd_command(site, {"udsroute": module}, "UDSRoute", php_by_handler(site, "udsroute"))
    route = f'UDSRoute "/" "unix:{site.backend_socket}|http://localhost/"'
    return httpd_command(site, {"udsroute": module}, "UDSRoute", route)


def configure_balancer(site: Site) -> list[str]:
    """Ours again: the same member, in a balancer."""
    module = site.build / "mod_udsroute/.libs/mod_udsroute.so"
    lines = ["<UDSBalancer app>", f'UDSMember "unix:{site.backend_socket}|http://localhost/"', "</UDSBalancer>",
             'UDSRoute "/" "balancer://app/"']
    return httpd_command(site, {"udsroute": module}, "UDSRoute", "\n".join(lines))


def configure_mod_proxy(site: Site) -> list[str]:
    names = ("proxy", "proxy_fcgi" if site.shape.php else "proxy_http")
    modules = {name: f"{site.httpd_modules}/mod_{name}.so" for name in names}
    if site.shape.php:
        route = f'<Proxy "fcgi://localhost/" enablereuse=on max={site.shape.php}>\n</Proxy>'
        return httpd_command(site, modules, "ProxyPass", f"{php_by_handler(site, 'proxy')}\n{route}")
    route = f'ProxyPass "/" "unix:{site.backend_socket}|http://localhost/" enablereuse=on upgrade=websocket'
    return httpd_command(site, modules, "ProxyPass", route)


def nginx_location(site: Site) -> str:
    if not site.shape.php:
        return """\
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_max_temp_file_size 0;
"""
    params = "".join(f"      fastcgi_param {name} {value};\n" for name, value in NGINX_PARAMS.items())
    return f"""\
      root {site.documents};
{params}      fastcgi_pass backend;
      fastcgi_keep_conn on;
      fastcgi_max_temp_file_size 0;
"""


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
{nginx_location(site)}    }}
  }}
}}
""")
    return ["nginx", "-p", str(site.directory), "-c", str(configuration), "-e", str(site.directory / "error.log")]


def configure_haproxy(site: Site) -> list[str]:
    account = f"  user {site.user}\n  group {site.group}" if site.user else ""
    tls = f" ssl crt {site.certificate}" if site.shape.tls else ""
    configuration = site.directory / "haproxy.cfg"
    application, server = "", f"unix@{site.backend_socket}"
    if site.shape.php:
        application, server = f"fcgi-app php\n  docroot {site.documents}", f"{server} proto fcgi"
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
{application}
backend application
{"  use-fcgi-app php" if application else ""}
  server application {server}
""")
    return ["haproxy", "-db", "-q", "-f", str(configuration)]


PROXIES = [
    Proxy(OURS, configure_mod_udsroute, httpd_version),
    Proxy("mod_proxy", configure_mod_proxy, httpd_version),
    Proxy("nginx", configure_nginx, lambda httpd: ["nginx", "-v"]),
    Proxy("haproxy", configure_haproxy, lambda httpd: ["haproxy", "-v"]),
    Proxy(BALANCER, configure_balancer, httpd_version, is_rival=False),
]
