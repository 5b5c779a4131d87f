# SPDX-License-Identifier: Apache-2.0
"""What `httpd -t` refuses, and how: with the file, the line, the value, and what to write instead."""
import re

import pytest

RANGE = r"\b{low}\b.*\b{high}\b"


def refused(sandbox, line, value, *remedies):
    """Asserts that the line stops httpd, and that the error names file, line and value and says the remedies."""
    test = sandbox.configtest(line)
    assert test.refused, test.output
    assert f"line {test.line_of(line)} of {test.file}" in test.output, test.output
    message = test.output.partition(f"{test.file}")[2]
    assert value in message, test.output
    for remedy in remedies:
        assert re.search(remedy, message, re.I | re.S), f"{remedy!r} is not in: {test.output}"
    return message


def accepted(sandbox, line):
    test = sandbox.configtest(line)
    assert test.exit_code == 0 and "Syntax OK" in test.output, test.output
    return test.output


# --- the address ------------------------------------------------------------------------------------------------------


def test_path_of_107_bytes(sandbox):
    accepted(sandbox, f"UDSRoute / unix:{'/run/'.ljust(107, 'x')}|http://localhost/")


def test_path_of_108_bytes(sandbox):
    path = "/run/".ljust(108, "x")
    refused(sandbox, f"UDSRoute / unix:{path}|http://localhost/", path, r"\b107\b", r"\b108\b")


def test_abstract_name_of_108_bytes(sandbox):
    name = "x" * 108
    refused(sandbox, f"UDSRoute / unix:@{name}|http://localhost/", name, r"\b107\b", r"\b108\b")


def test_relative_path_that_is_too_long_after_resolution(sandbox):
    """The ServerRoot counts: what is short in the configuration can be long for the kernel."""
    refused(sandbox, f"UDSRoute / unix:{'x' * 100}|http://localhost/", "x" * 100, r"\b107\b", "DefaultRuntimeDir|/run/")


def test_relative_path_that_just_fits(sandbox):
    probe = sandbox.configtest("")
    room = 107 - len(f"{probe.file.parent}/run/") - 1  # the next ServerRoot's name may be one digit longer
    accepted(sandbox, f"UDSRoute / unix:{'x' * room}|http://localhost/")


@pytest.mark.parametrize("path", ["/run/../etc/a.sock", "../a.sock", "/run/..", "a/../../b.sock", "/../a.sock"])
def test_parent_segments(sandbox, path):
    refused(sandbox, f"UDSRoute / unix:{path}|http://localhost/", path, r"\.\.")


@pytest.mark.parametrize("path", ["/run/..a.sock", "/run/a..b/c.sock", "/run/.../a.sock"])
def test_dots_that_are_no_parent_segment(sandbox, path):
    accepted(sandbox, f"UDSRoute / unix:{path}|http://localhost/")


@pytest.mark.parametrize("path", ["/run/a%2Fb.sock", "/run/%61.sock", "%2Frun%2Fa.sock", "/run/100%.sock"])
def test_percent_signs(sandbox, path):
    refused(sandbox, f"UDSRoute / unix:{path}|http://localhost/", path, "percent|%")


@pytest.mark.parametrize("target", ["unix:|http://localhost/", "unix:@|http://localhost/", "unix://|http://localhost/"])
def test_empty_path(sandbox, target):
    refused(sandbox, f"UDSRoute / {target}", target.partition("|")[0], "empty|name|path")


def test_root_directory(sandbox):
    """A directory can't be the socket."""
    refused(sandbox, "UDSRoute / unix:/|http://localhost/", "unix:/", "socket|file|empty|directory")


def test_control_character_in_the_path(sandbox):
    refused(sandbox, 'UDSRoute / "unix:/run/a\x01b.sock|http://localhost/"', "/run/a", "control|character")


@pytest.mark.parametrize(
    "target",
    [
        "unix://run/a.sock|http://localhost/",
        "unix://app.sock|http://localhost/",
        "unix://localhost/run/a.sock|http://localhost/",
    ],
)
def test_first_component_that_would_be_a_host(sandbox, target):
    address = target.partition("|")[0]
    refused(sandbox, f"UDSRoute / {target}", address, "unix:///?" + address[len("unix://") :])


# --- the target -------------------------------------------------------------------------------------------------------


def test_missing_bar(sandbox):
    refused(sandbox, "UDSRoute / unix:/run/a.sock", "unix:/run/a.sock", r"\|http://")


def test_nothing_after_the_bar(sandbox):
    refused(sandbox, "UDSRoute / unix:/run/a.sock|", "unix:/run/a.sock", r"\|?http://")


def test_url_without_bar(sandbox):
    refused(sandbox, "UDSRoute / http://localhost/", "http://localhost/", "unix:")


@pytest.mark.parametrize("scheme", ["https", "ftp", "balancer", "unix", "htp", "HTTPX"])
def test_unknown_scheme(sandbox, scheme):
    refused(sandbox, f"UDSRoute / unix:/run/a.sock|{scheme}://localhost/", scheme, r"\bhttp\b")


@pytest.mark.parametrize(
    "target",
    [
        "unix:/run/a.sock|http:localhost",
        "unix:/run/a.sock|localhost/",
        "unix:/run/a.sock|http:///x",
        "unix:/run/a.sock|http://",
        "unix:/run/a.sock|//localhost/",
    ],
)
def test_no_host(sandbox, target):
    refused(sandbox, f"UDSRoute / {target}", target, "http://")


@pytest.mark.parametrize(
    "authority",
    [
        "localhost:0",
        "localhost:65536",
        "localhost:x",
        "localhost:-1",
        "user@localhost",
        "user:secret@localhost",
        "[::1",
        "a_b c",
        "a$1",
    ],
)
def test_bad_host_or_port(sandbox, authority):
    refused(sandbox, f'UDSRoute / "unix:/run/a.sock|http://{authority}/"', authority)


@pytest.mark.parametrize(
    "authority", ["localhost:1", "localhost:65535", "[::1]", "[::1]:8080", "a-b.example", "10.0.0.1"]
)
def test_good_host_and_port(sandbox, authority):
    accepted(sandbox, f"UDSRoute / unix:/run/a.sock|http://{authority}/")


@pytest.mark.parametrize("path", ["/?a=b", "/#top"])
def test_query_or_fragment_in_the_target(sandbox, path):
    refused(sandbox, f'UDSRoute / "unix:/run/a.sock|http://localhost{path}"', path)


def test_scheme_in_capitals(sandbox):
    accepted(sandbox, "UDSRoute / unix:/run/a.sock|HTTP://localhost/")


def test_path_of_the_route_must_begin_with_a_slash(sandbox):
    refused(sandbox, "UDSRoute app unix:/run/a.sock|http://localhost/", "app", "/")


def test_route_without_a_target(sandbox):
    refused(sandbox, "UDSRoute /lonely", "UDSRoute", "target|unix:|path")


def test_path_inside_location(sandbox):
    test = sandbox.configtest("<Location /x>\nUDSRoute /y unix:/run/a.sock|http://localhost/\n</Location>")
    assert test.refused
    assert re.search(r"location", test.output, re.I)


def test_no_path_outside_location(sandbox):
    test = sandbox.configtest("UDSRoute unix:/run/a.sock|http://localhost/")
    assert test.refused
    assert re.search(r"path", test.output, re.I)


def test_regular_expression_that_is_none(sandbox):
    refused(sandbox, "UDSRouteMatch ^/(a unix:/run/a.sock|http://localhost/", "^/(a", "regular expression|regex")


def test_inside_htaccess_context(sandbox):
    """A route is the server's business: not in <Directory>."""
    test = sandbox.configtest("<Directory /x>\nUDSRoute /y unix:/run/a.sock|http://localhost/\n</Directory>")
    assert test.refused


# --- the parameters ---------------------------------------------------------------------------------------------------


def parameter(value):
    return f"UDSRoute / unix:/run/a.sock|http://localhost/ {value}"


@pytest.mark.parametrize(
    "setting,remedies",
    [
        ("min=-1", [RANGE.format(low=0, high=10000)]),
        ("min=x", ["number"]),
        ("min=", ["number|value|empty"]),
        ("min=1.5", ["number"]),
        ("min=10001", [RANGE.format(low=0, high=10000)]),
        ("min=99999999999999999999", []),
        ("max=-1", []),
        ("max=many", ["number"]),
        ("max=0x10", ["number"]),
        ("smax=-1", []),
        ("smax=x", ["number"]),
        ("ttl=-1", []),
        ("ttl=x", []),
        ("ttl=5parsecs", ["ms"]),
        ("ttl=5mi", ["ms"]),
        ("acquire=-1", []),
        ("acquire=soon", []),
        ("connectiontimeout=-1", []),
        ("connectiontimeout=x", []),
        ("connectiontimeout=5y", ["ms"]),
        ("timeout=-1", []),
        ("timeout=x", []),
        ("timeout=", []),
        ("timeout=99999999999999999999", []),
        ("iobuffersize=1", ["4096|4K"]),
        ("iobuffersize=4095", ["4096|4K"]),
        ("iobuffersize=17M", ["16M|16777216"]),
        ("iobuffersize=x", []),
        ("iobuffersize=64KB", []),
        ("iobuffersize=-64K", []),
        ("responsefieldsize=63", [r"\b64\b"]),
        ("responsefieldsize=2M", ["1M|1048576"]),
        ("responsefieldsize=x", []),
        ("flushpackets=maybe", ["auto", "on", "off"]),
        ("flushwait=-1", []),
        ("flushwait=x", []),
        ("enablereuse=perhaps", ["on", "off"]),
        ("disablereuse=2", ["on", "off"]),
        ("peer=no-such-user-here", ["user"]),
        ("peer=", []),
        ("peer=root:no-such-group-here", ["group"]),
        ("peer=:", []),
    ],
)
def test_value_out_of_range(sandbox, setting, remedies):
    key, _, value = setting.partition("=")
    message = refused(sandbox, parameter(setting), key, *remedies)
    assert value.rpartition(":")[2] in message  # of user:group the part that is wrong


@pytest.mark.parametrize(
    "setting",
    [
        "min=0",
        "min=10000 max=10000",
        "max=0",
        "max=5 smax=5 min=5",
        "ttl=0",
        "ttl=60",
        "ttl=500ms",
        "ttl=2min",
        "ttl=1h",
        "acquire=3000",
        "acquire=3s",
        "connectiontimeout=5",
        "connectiontimeout=200ms",
        "timeout=30s",
        "iobuffersize=4096",
        "iobuffersize=4K",
        "iobuffersize=16M",
        "responsefieldsize=64",
        "responsefieldsize=1M",
        "flushpackets=auto",
        "flushpackets=On",
        "flushpackets=off",
        "flushwait=10",
        "enablereuse=on",
        "enablereuse=Off",
        "disablereuse=on",
        "peer=root",
        "peer=0",
        "peer=root:root",
        "peer=0:0",
        "nocanon",
        "interpolate",
        "nocanon interpolate",
        "max=5 nocanon timeout=3",
    ],
)
def test_value_in_range(sandbox, setting):
    accepted(sandbox, parameter(setting))


@pytest.mark.parametrize("setting", ["addressttl=5", "keepalive=on", "ping=1", "secret=x", "mapping=servlet"])
def test_parameters_without_meaning_are_accepted(sandbox, setting):
    accepted(sandbox, parameter(setting))


@pytest.mark.parametrize("key", ["foo", "Max_", "timeouts", "minn"])
def test_unknown_key(sandbox, key):
    """The error lists the keys that are known."""
    refused(sandbox, parameter(f"{key}=1"), key, r"\bconnectiontimeout\b")


@pytest.mark.parametrize("setting", ["lbmethod=byrequests", "stickysession=ID", "failontimeout=On"])
def test_key_of_a_balancer(sandbox, setting):
    refused(sandbox, parameter(setting), setting.partition("=")[0], "write it in a UDSSet of <UDSBalancer name>")


@pytest.mark.parametrize("word", ["max", "foo", "nocannon"])
def test_word_that_is_no_setting(sandbox, word):
    refused(sandbox, parameter(word), word, "=|nocanon")


@pytest.mark.parametrize("line", ["UDSRoute /x ! # a remark", "UDSRoute /x unix:/run/a.sock|http://localhost/ timeout=5 #remark"])
def test_comment_behind_a_directive(sandbox, line):
    """httpd knows none."""
    refused(sandbox, line, "'#", "comment.*in a line of its own")


@pytest.mark.parametrize("settings", ["min=6 max=5", "smax=6 max=5"])
def test_values_that_contradict_each_other(sandbox, settings):
    refused(sandbox, parameter(settings), "max", r"\b6\b", r"\b5\b")


def test_same_route_in_the_second_of_two_lines(sandbox):
    """The line that is named is the one at fault, not the first of its kind."""
    good, bad = parameter("max=5"), parameter("max=bad")
    test = sandbox.configtest(f"{good}\n\n{bad}")
    assert test.refused
    assert f"line {test.line_of(bad)} of {test.file}" in test.output


def test_error_in_an_included_file_names_that_file(sandbox):
    (sandbox.root / "part.conf").write_text("\n\n" + parameter("max=bad") + "\n")
    test = sandbox.configtest(f"Include {sandbox.root}/part.conf")
    assert test.refused
    assert f"line 3 of {sandbox.root}/part.conf" in test.output


@pytest.mark.parametrize("section", ["Directory /srv", "Files x.php", r'FilesMatch "\.php$"'])
def test_route_in_a_section_of_files(sandbox, section):
    line = "UDSRoute unix:/run/a.sock|fcgi://localhost"
    test = sandbox.configtest(f"<{section}>\n{line}\n</{section.split()[0]}>")
    assert test.refused and f"line {test.line_of(line)} of {test.file}" in test.output, test.output
    assert 'write SetHandler "udsroute:unix:' in test.output and "fcgi://" in test.output, test.output


# --- SetHandler -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "handler,value,remedy",
    [
        ("udsroute:unix:/run/a.sock", "unix:/run/a.sock", r"\|http://"),
        ("udsroute:unix:/run/a.sock|", "unix:/run/a.sock", r"http://"),
        ("udsroute:unix:/run/a.sock|ftp://localhost", "ftp", "http"),
        ("udsroute:unix://run/a.sock|http://localhost", "unix://run/a.sock", "unix:/(//)?run/a.sock"),
        ("udsroute:unix:" + "/run/".ljust(108, "x") + "|http://localhost", "/run/x", r"\b107\b"),
        ("udsroute:/run/a.sock|http://localhost", "/run/a.sock", "unix:"),
        ("udsroute:unix:/run/../a.sock|http://localhost", "/run/../a.sock", r"\.\."),
        ("udsroute:fcgi://localhost:9000", "fcgi://localhost:9000", r"write 'unix:/run/app.sock\|fcgi://"),
        ("udsroute:balancer://php", "balancer://php", "write a UDSRoute"),
        ("udsroute:unix:/run/a.sock fcgi://localhost", "a.sock fcgi:", r"write 'unix:/run/a.sock\|fcgi://localhost'"),
        ("udsroute:unix:/run/a.sock|fcgi://localhost timeout=30", "timeout=30", "without parameters"),
        # Without the prefix httpd would send what lies there, scripts as they are.
        ("unix:/run/a.sock|fcgi://localhost", "unix:/run/a.sock", r"write 'udsroute:unix:/run/a.sock\|fcgi://localhost'"),
        ("udsrout:unix:/run/a.sock|fcgi://localhost", "udsrout:", r"write 'udsroute:unix:/run/a.sock\|fcgi://localhost'"),
        ("udsroute unix:/run/a.sock|fcgi://localhost", "udsroute unix", r"write 'udsroute:unix:/run/a.sock\|fcgi://"),
        ("udsroute", "'udsroute'", r"\|http://.*'udsroute-status'"),
    ],
)
@pytest.mark.parametrize("section", ["Location /x", "Directory /x", "FilesMatch \\.app$"])
def test_set_handler(sandbox, section, handler, value, remedy):
    directive = f'SetHandler "{handler}"'
    test = sandbox.configtest(f"<{section}>\n{directive}\n</{section.split()[0]}>")
    assert test.refused, test.output
    assert re.search(
        rf"line {test.line_of(directive)} of {re.escape(str(test.file))}|"
        rf"{re.escape(str(test.file))}:{test.line_of(directive)}\b",
        test.output,
    ), test.output
    assert value in test.output
    assert re.search(remedy, test.output)


def test_set_handler_in_a_virtual_host(sandbox):
    directive = 'SetHandler "udsroute:unix:/run/a.sock"'
    test = sandbox.configtest(f"<VirtualHost *:@PORT@>\n<Location /x>\n{directive}\n</Location>\n</VirtualHost>")
    assert test.refused
    assert str(test.line_of(directive)) in test.output


@pytest.mark.parametrize(
    "handler",
    [
        "udsroute:unix:/run/a.sock|http://localhost",
        "udsroute:unix:/run/an app.sock|http://localhost",
        "udsroute-status",
        "proxy:unix:/run/a.sock|fcgi://localhost",
        "server-status",
        "None",
    ],
)
def test_good_set_handler(sandbox, handler):
    accepted(sandbox, f'<Location /x>\nSetHandler "{handler}"\n</Location>')


# --- the other directives ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "directive,remedies",
    [
        ("UDSVia maybe", ["full", "block"]),
        ("UDSVia", []),
        ("UDSTimeout x", []),
        ("UDSTimeout -1", []),
        ("UDSTimeout 0", []),
        ("UDSPreserveHost maybe", ["on", "off"]),
        ("UDSAddHeaders 1", ["on", "off"]),
        ("UDSErrorOverride maybe", ["on", "off"]),
        ("UDSErrorOverride On 200", ["400|error"]),
        ("UDSErrorOverride On x", ["400|error|status"]),
        ("UDSErrorOverride On 600", ["599|error"]),
        ("UDSRouteReverse /x", []),
        ("UDSRouteReverseCookieDomain a", []),
        ("UDSRouteReverseCookiePath /a", []),
    ],
)
def test_bad_directive(sandbox, directive, remedies):
    refused(sandbox, directive, directive.split()[0], *remedies)


@pytest.mark.parametrize(
    "directive",
    [
        "UDSVia On",
        "UDSVia Off",
        "UDSVia Full",
        "UDSVia Block",
        "UDSTimeout 30",
        "UDSTimeout 500ms",
        "UDSPreserveHost On",
        "UDSAddHeaders Off",
        "UDSErrorOverride On",
        "UDSErrorOverride On 404 500",
        "UDSErrorOverride Off",
        "UDSRouteReverse /x http://localhost/",
        "UDSRouteReverseCookieDomain a.internal b.example",
        "UDSRouteReverseCookiePath /a /b",
        "<Location /x>\nUDSPreserveHost On\nUDSAddHeaders Off\nUDSErrorOverride On\n</Location>",
        "<Location /x>\nUDSRoute !\n</Location>",
        "UDSRoute /x !",
    ],
)
def test_good_directive(sandbox, directive):
    accepted(sandbox, directive)


@pytest.mark.parametrize("directive", ["UDSVia On", "UDSTimeout 5"])
def test_directive_of_the_server_in_a_location(sandbox, directive):
    test = sandbox.configtest(f"<Location /x>\n{directive}\n</Location>")
    assert test.refused
    assert "not allowed" in test.output
