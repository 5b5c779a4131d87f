# SPDX-License-Identifier: Apache-2.0
"""How a socket is named: absolute, with an empty host part, relative, abstract."""
import os

from udr_client import fetch
from udr_processes import wait_until


def serve(sandbox, target, **settings):
    """An httpd whose only route leads to the target."""
    return sandbox.httpd(f"UDSRoute / {target}|http://localhost/", **settings)


def test_absolute_path(sandbox):
    backend = sandbox.scripted("a")
    httpd = serve(sandbox, f"unix:{backend.address}")
    assert fetch(httpd.port, "/x").text == "scripted"


def test_empty_host_part_is_an_absolute_path(sandbox):
    """unix:///run/a.sock is /run/a.sock."""
    backend = sandbox.scripted("a")
    httpd = serve(sandbox, f"unix://{backend.address}")
    assert fetch(httpd.port, "/x").text == "scripted"


def test_first_component_that_would_be_a_host_is_refused(sandbox):
    """unix://run/a.sock: did they mean /run/a.sock, or run/a.sock below DefaultRuntimeDir? The error names both."""
    test = sandbox.configtest("UDSRoute / unix://run/a.sock|http://localhost/")
    assert test.refused
    assert "unix://run/a.sock" in test.output
    remainder = test.output.replace("unix://run/a.sock", "")
    assert "unix:/run/a.sock" in remainder or "unix:///run/a.sock" in remainder
    assert "unix:run/a.sock" in remainder


def test_relative_path_is_below_default_runtime_dir(sandbox):
    httpd = serve(sandbox, "unix:below/a.sock")
    (httpd.root / "run/below").mkdir(mode=0o755)
    sandbox.scripted(str(httpd.root / "run/below/a.sock"))
    assert fetch(httpd.port, "/x").text == "scripted"


def test_abstract_name(sandbox):
    backend = sandbox.scripted(f"@udr-test-{os.getpid()}")
    httpd = serve(sandbox, f"unix:{backend.address}")
    assert fetch(httpd.port, "/x").text == "scripted"


def test_abstract_name_is_never_a_file(sandbox):
    """Files called @name lie wherever a wrong reading could look; only the abstract socket may answer."""
    name = f"@udr-test-file-{os.getpid()}"
    httpd = serve(sandbox, f"unix:{name}")
    for directory in (httpd.root, httpd.root / "run"):
        sandbox.scripted(str(directory / name))
    assert fetch(httpd.port, "/x").status == 503
    httpd.log.expect(rf"UDR\d{{4}}.*{name}")
    sandbox.scripted(name, lambda exchange: exchange.respond(body="abstract"))
    wait_until(lambda: fetch(httpd.port, "/x").text == "abstract", "the abstract socket to answer")
    httpd.log.allow(rf"UDR\d{{4}}.*{name}")  # a pause after the failure may answer some more requests so
    assert not [path for path in httpd.root.rglob("@*") if path.name != name]


def test_abstract_name_makes_no_file(sandbox):
    name = f"@udr-test-none-{os.getpid()}"
    backend = sandbox.scripted(name)
    httpd = serve(sandbox, f"unix:{backend.address}")
    assert fetch(httpd.port, "/x").text == "scripted"
    assert not list(sandbox.root.rglob("@*"))


def test_abstract_name_may_hold_slashes_and_dots(sandbox):
    backend = sandbox.scripted(f"@udr/test.{os.getpid()}/a.sock")
    httpd = serve(sandbox, f"unix:{backend.address}")
    assert fetch(httpd.port, "/x").text == "scripted"


def test_abstract_name_of_full_length(sandbox):
    """107 bytes after the @; one more does not fit the kernel's sun_path."""
    name = "@" + f"udr-{os.getpid()}-".ljust(107, "x")
    backend = sandbox.scripted(name)
    httpd = serve(sandbox, f"unix:{name}")
    assert fetch(httpd.port, "/x").text == "scripted"
    assert backend.accepted == 1
    assert sandbox.configtest(f"UDSRoute / unix:{name}x|http://localhost/").refused


def test_abstract_names_are_compared_to_their_last_byte(sandbox):
    """An abstract name is not terminated by NUL: its length counts (unix(7))."""
    short, longer = f"@udr-{os.getpid()}-n", f"@udr-{os.getpid()}-nn"
    for name in (short, longer):
        sandbox.scripted(name, lambda exchange, name=name: exchange.respond(body=name))
    httpd = sandbox.httpd(
        f"UDSRoute /short/ unix:{short}|http://localhost/\n" f"UDSRoute /longer/ unix:{longer}|http://localhost/"
    )
    assert fetch(httpd.port, "/short/").text == short
    assert fetch(httpd.port, "/longer/").text == longer


def test_path_of_full_length(sandbox):
    """107 bytes and the terminating NUL fill sun_path."""
    directory = sandbox.sockets
    path = f"{directory}/".ljust(107, "x")
    backend = sandbox.scripted(path)
    httpd = serve(sandbox, f"unix:{path}")
    assert fetch(httpd.port, "/x").text == "scripted"
    assert len(backend.address.encode()) == 107


def test_path_with_odd_characters(sandbox):
    """What is legal in a file name and in httpd's configuration is legal here."""
    backend = sandbox.scripted("odd-ä+@=,;name")
    httpd = sandbox.httpd(f'UDSRoute / "unix:{backend.address}|http://localhost/"')
    assert fetch(httpd.port, "/x").text == "scripted"


def test_path_through_a_symbolic_link(sandbox):
    backend = sandbox.scripted("a")
    link = sandbox.sockets / "link"
    link.symlink_to(backend.address)
    httpd = serve(sandbox, f"unix:{link}")
    assert fetch(httpd.port, "/x").text == "scripted"


def test_socket_that_appears_later(sandbox):
    """The socket need not be there when httpd starts."""
    path = sandbox.socket("late")
    httpd = serve(sandbox, f"unix:{path}")
    backend = sandbox.scripted("late")
    assert fetch(httpd.port, "/x").text == "scripted"
    assert backend.accepted == 1
