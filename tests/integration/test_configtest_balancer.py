# SPDX-License-Identifier: Apache-2.0
"""What `httpd -t` says of balancers: the parameters, what is wrong in a line, and what shows only in the whole."""
import re

import pytest

from udr_client import fetch

A = "unix:/run/a.sock|http://localhost/"
B = "unix:/run/b.sock|http://localhost/"


def section(*lines, name="app"):
    """A <UDSBalancer> of these lines."""
    return "\n".join([f"<UDSBalancer {name}>", *(f"    {line}" for line in lines), "</UDSBalancer>", ""])


def members(*settings):
    """A line for each of these settings, each with a socket of its own."""
    return [f"UDSMember unix:/run/{number}.sock|http://localhost/ {one}" for number, one in enumerate(settings)]


def refused(sandbox, config, line, *words, **settings):
    test = sandbox.configtest(config, **settings)
    test.assert_refused_at(line, *words)
    return test


def accepted(sandbox, config, **settings):
    test = sandbox.configtest(config, **settings)
    assert test.exit_code == 0 and "Syntax OK" in test.output, test.output
    return test


def warnings(test):
    """The lines of the module at warn or above."""
    return [line for line in test.output.splitlines() if re.search(r"\[udsroute:(warn|error|crit)\]|^UDR\d", line)]


# --- what is right ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        section(*members("", "")) + "UDSRoute / balancer://app/",
        section(*members("")) + "UDSRoute / balancer://APP",
        section(*members(""), name="App") + "UDSRoute / balancer://app/base/",
        section(*members(""), name="balancer://app") + "UDSRoute / balancer://app/",
        section(*members(""), name="balancer://app/") + "UDSRoute / balancer://app/",
        "UDSRoute / balancer://app/\n" + section(*members("")),  # defined behind
        "UDSRouteMatch ^/u/(.*)$ balancer://app/user/$1 nocanon\n" + section(*members("")),
        "<Location /x>\nUDSRoute balancer://app/\n</Location>\n" + section(*members("")),
        section(),  # nobody routes to it
        section("UDSMember unix:/run/a.sock|http://localhost/v1", "UDSMember unix:/run/a.sock|http://localhost/v2"),
        section("UDSMember unix:@a|http://localhost/", "UDSMember unix:/a|ws://localhost/"),
        section(f"UDSMember {A}") + section(f"UDSMember {A}", name="other") + f"UDSRoute / {A}",
        "UDSRoute / balancer://app/ lbmethod=bybusyness stickysession=ID|id nofailover=On timeout=2\n"
        + section(*members("route=a")),
        f"<Location /x>\nUDSSet timeout=3 max=5\nUDSRoute {A}\nUDSSet hold=0\n</Location>",
        f"<Location /x>\nUDSRoute {A} route=a status=+I\nUDSSet route=b\n</Location>",
    ],
)
def test_good_configuration(sandbox, config):
    assert warnings(accepted(sandbox, config)) == []


@pytest.mark.parametrize(
    "setting",
    [
        "maxconn=0",
        "maxconn=1000000",
        "queue=0",
        "queue=5s",
        "hold=0",
        "hold=2500ms",
        "retry=0",
        "retry=90",
        "loadfactor=1",
        "loadfactor=1.25",
        "loadfactor=100",
        "lbset=0",
        "lbset=99",
        "slowstart=30",
    ],
)
def test_parameter_of_a_member_for_one_for_all_and_for_a_route(sandbox, setting):
    config = section(*members(setting)) + section(f"UDSSet {setting}", *members(""), name="all") + f"UDSRoute / {A} "
    assert warnings(accepted(sandbox, config + setting)) == []


@pytest.mark.parametrize("setting", ["route=node-1", "redirect=b", "status=+D", "status=-S+I", "status=H"])
def test_parameter_of_a_single_member(sandbox, setting):
    accepted(sandbox, section(*members("route=b", setting)) + f"UDSRoute / {A} {setting}")
    line = f"UDSSet {setting}"
    refused(sandbox, section(line, *members("")), line, setting.partition("=")[0], "UDSMember")


@pytest.mark.parametrize(
    "setting",
    [
        *("lbmethod=" + method for method in ("byrequests", "bytraffic", "bybusyness", "leasttime")),
        *("lbmethod=hash:" + key for key in ("ip", "uri", "header:X-Key", "cookie:ID", "env:TENANT")),
        "maxattempts=0",
        "maxattempts=5",
        "nofailover=On",
        "stickysession=JSESSIONID",
        "stickysession=JSESSIONID|jsessionid",
        "stickysessionsep=Off",
        "stickysessionsep=-",
        "scolonpathdelim=On",
        "failonstatus=500",
        "failonstatus=500,503",
        '"failonstatus=500, 503"',
        "failontimeout=On",
        "forcerecovery=Off",
        "timeout=0",
        "timeout=500ms",
    ],
)
def test_parameter_of_a_balancer_in_the_section_and_on_a_route(sandbox, setting):
    accepted(sandbox, section(f"UDSSet {setting}", *members("route=a")))
    accepted(sandbox, f"UDSRoute / balancer://app/ {setting}\n" + section(*members("route=a")))


@pytest.mark.parametrize("url", ["http://other.example:8080", "balancer://others", "ajp://[::1]:8009/x"])
def test_spill_with_mod_proxy(sandbox, url):
    accepted(sandbox, section(f"UDSSet spill={url}", *members("")), modules=("proxy",))
    accepted(sandbox, f"UDSRoute / balancer://app/ spill={url}\n" + section(*members("")), modules=("proxy",))


# --- what is wrong in a line ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting,words",
    [
        ("maxconn=-1", ["0 to 1000000"]),
        ("maxconn=x", ["number"]),
        ("queue=x", ["ms, s, min or h"]),
        ("hold=2h", ["0 to 1h"]),
        ("hold=-1", ["time|range"]),
        ("retry=x", ["time"]),
        ("loadfactor=0", ["1 to 100"]),
        ("loadfactor=101", ["1 to 100"]),
        ("loadfactor=1.234", ["two decimals"]),
        ("lbset=100", ["0 to 99"]),
        ("slowstart=x", ["time"]),
        ("route=", ["letters"]),
        ('"route=a b"', ["letters"]),
        ("route=a;b", ["letters"]),
        ("redirect=a,b", ["letters"]),
        ("status=+X", [r"\+D"]),
        ("status=", [r"\+D"]),
        ("min=6 max=5", ["lower|raise"]),
        ("hcurl=/x", ["there are: .*maxconn"]),
        ("growth=5", ["balancer's: write it in a UDSSet"]),
        ("maxcon=5", ["probably meant: maxconn"]),
        ("max", ["key=value"]),
        ("nocanon", ["key=value"]),
    ],
)
def test_bad_parameter_of_a_member(sandbox, setting, words):
    line = f"UDSMember {A} {setting}"
    refused(sandbox, section(line), line, re.escape(setting.strip('"').partition("=")[0].split()[0]), *words)


@pytest.mark.parametrize(
    "setting,words",
    [
        ("lbmethod=hash:", ["hash:ip", "hash:header:NAME"]),
        ("lbmethod=hash", ["hash:ip", "hash:header:NAME"]),
        ("lbmethod=hash:header:", ["hash:header"]),
        ("lbmethod=random", ["byrequests", "leasttime"]),
        ("maxattempts=-1", ["0 to 1000"]),
        ("nofailover=maybe", ["on", "off"]),
        ("stickysession=", ["cookie"]),
        ("stickysession=a|", ["cookie"]),
        ("stickysessionsep=..", ["single character"]),
        ("failonstatus=200", ["400 to 599"]),
        ("failonstatus=x", ["number"]),
        ("failonstatus=", ["400 to 599"]),
        ("failontimeout=5", ["on", "off"]),
        ("forcerecovery=", ["on", "off"]),
        ("timeout=25h", ["0 to 24h"]),
        ("spill=other", ["http://"]),
        ("spill=unix:/run/x.sock|http://localhost/", ["UDSMember"]),
        ("lbmetod=byrequests", ["probably meant: lbmethod"]),
        ("lbmethod", ["key=value"]),
    ],
)
def test_bad_parameter_of_a_balancer(sandbox, setting, words):
    key = setting.partition("=")[0]
    line = f"UDSSet {setting}"
    refused(sandbox, section(line, *members("")), line, key, *words, modules=("proxy",))
    line = f"UDSRoute / balancer://app/ {setting}"
    refused(sandbox, f"{line}\n" + section(*members("")), line, key, *words, modules=("proxy",))


@pytest.mark.parametrize("key", ["max", "hold", "route", "keepalive"])
def test_parameter_of_a_member_on_a_route_to_a_balancer(sandbox, key):
    line = f"UDSRoute / balancer://app/ {key}=1"
    refused(sandbox, f"{line}\n" + section(*members("")), line, key, "UDSMember", "UDSSet", "<UDSBalancer app>")


def test_defaults_that_contradict_each_other(sandbox):
    line = "UDSSet min=6"
    refused(sandbox, section("UDSSet max=5", line, *members("")), line, "min=6", "max=5")


@pytest.mark.parametrize("setting", ["spill=http://other.example", "spill=balancer://others"])
def test_spill_without_mod_proxy(sandbox, setting):
    line = f"UDSSet {setting}"
    refused(sandbox, section(line, *members("")), line, "spill", "mod_proxy", "load")
    line = f"UDSRoute / balancer://app/ {setting}"
    refused(sandbox, f"{line}\n" + section(*members("")), line, "spill", "mod_proxy", "load")


@pytest.mark.parametrize(
    "second",
    [
        A,
        "unix:/run/a.sock|http://localhost",
        "unix:/run/a.sock|http://other.example:8080/",
        "unix:/run/a.sock|ws://localhost/",
        "unix:///run/./a.sock|http://localhost/",
    ],
)
def test_same_socket_twice(sandbox, second):
    """The error is at the second line and names the first."""
    line = f"UDSMember {second} loadfactor=3"
    test = refused(sandbox, section(f"UDSMember {A}", f"UDSMember {B}", line), line, "loadfactor")
    assert f"line {test.line_of('UDSMember')} of {test.file}" in test.output


@pytest.mark.parametrize("first,second", [("http", "fcgi"), ("uwsgi", "scgi"), ("fcgi", "ws")])
def test_members_of_two_protocols(sandbox, first, second):
    """The error is at the second line and names the first."""
    line = f"UDSMember unix:/run/b.sock|{second}://localhost/"
    config = section(f"UDSMember unix:/run/a.sock|{first}://localhost/", line)
    test = refused(sandbox, config, line, "speak the same protocol", "make it two balancers")
    assert f"line {test.line_of('UDSMember')} of {test.file}, speaks" in test.output


def test_members_with_http_and_ws(sandbox):
    accepted(sandbox, section(f"UDSMember {A}", "UDSMember unix:/run/b.sock|ws://localhost/"))


PATTERN = "unix:/run/app/*.sock|http://localhost/"


@pytest.mark.parametrize(
    "line,words",
    [
        ("UDSMember unix:/run/*/app.sock|http://localhost/", ["name of a directory", "only the last part"]),
        ("UDSMember unix:/run/a?/*.sock|http://localhost/", ["name of a directory"]),
        ("UDSMember unix:@app-*|http://localhost/", ["abstract name", "write each name"]),
        ("UDSMember unix:/run/app-[0-9.sock|http://localhost/", [r"'\[' without its '\]'"]),
        (f"UDSMember unix:/{'d' * 107}/*|http://localhost/", ["109 bytes", "at most 107"]),
        (f"UDSMember {PATTERN} route=a", ["route=a would be that of every socket", "file's name"]),
        ("UDSSet growth=0", ["1 to 1024"]),
        ("UDSSet growth=1025", ["1 to 1024"]),
    ],
)
def test_bad_pattern(sandbox, line, words):
    refused(sandbox, section(line), line, *words)


def test_pattern_twice(sandbox):
    line = "UDSMember unix:/run/app//*.sock|http://other.example/ loadfactor=2"
    test = refused(sandbox, section(f"UDSMember {PATTERN}", line), line, "loadfactor|pattern of", "leave one out")
    assert f"line {test.line_of('UDSMember')} of {test.file}" in test.output


@pytest.mark.parametrize(
    "line",
    [f"UDSRoute / {PATTERN}", f"<Location /x>\nUDSRoute {PATTERN}\n</Location>", f'SetHandler "udsroute:{PATTERN}"'],
)
def test_pattern_where_one_socket_is_due(sandbox, line):
    refused(sandbox, line, PATTERN, "a pattern is no address", "UDSMember in a <UDSBalancer> may be")


def test_pattern_is_member_enough(sandbox):
    """No socket has to be there; sessions need no route."""
    config = section(f"UDSMember {PATTERN}", "UDSSet stickysession=S growth=1024") + "UDSRoute / balancer://app/"
    assert not warnings(accepted(sandbox, config))


@pytest.mark.parametrize(
    "target,words",
    [
        ("", ["unix:"]),
        ("http://localhost:8080/", ["unix:"]),
        ("balancer://other/", ["socket", "unix:"]),
        ("unix:/run/a.sock", [r"\|http://"]),
        ("unix:/run/a.sock|http://localhost/$1", [r"\$"]),
        ("!", ["unix:"]),
    ],
)
def test_bad_target_of_a_member(sandbox, target, words):
    line = f"UDSMember {target}"
    refused(sandbox, section(line), line, *words)


@pytest.mark.parametrize(
    "target,words",
    [
        ("balancer://", ["<UDSBalancer"]),
        ("balancer:///x", ["<UDSBalancer"]),
        ("balancer://a:80/", ["letters"]),
        ("balancer://app/?a=b", ["query"]),
        ("balancer://app/$1", ["UDSRouteMatch"]),
        ("balancer://app/${X}", ["interpolate"]),
    ],
)
def test_bad_target_of_a_route_to_a_balancer(sandbox, target, words):
    line = f"UDSRoute / {target}"
    refused(sandbox, f"{line}\n" + section(*members("")), line, *words)


def test_same_name_twice(sandbox):
    line = "<UDSBalancer balancer://App>"
    config = section(*members("")) + f"{line}\n</UDSBalancer>"
    test = refused(sandbox, config, line, "'app'", "defined already", "name")
    assert f"line {test.line_of('<UDSBalancer app>')} of {test.file}" in test.output


def test_same_name_in_two_servers(sandbox):
    own = section(*members("")) + "UDSRoute / balancer://app/\n"
    accepted(sandbox, own + f"<VirtualHost *:@PORT@>\n{own}</VirtualHost>")


@pytest.mark.parametrize(
    "line,words",
    [
        ("<UDSBalancer>", ["name"]),
        ("<UDSBalancer a b>", ["UDSSet"]),
        ("<UDSBalancer app lbmethod=byrequests>", ["UDSSet"]),
        ("<UDSBalancer a/b>", ["letters"]),
        ('<UDSBalancer "a b">', ["letters"]),
    ],
)
def test_bad_name(sandbox, line, words):
    refused(sandbox, f"{line}\n</UDSBalancer>", line, *words)


@pytest.mark.parametrize(
    "line", ["UDSRoute / !", "ServerAlias x", "Require all granted", f"BalancerMember {A}", "<UDSBalancer b>"]
)
def test_what_else_is_in_the_section(sandbox, line):
    """It would act on the server, not on the balancer."""
    end = "</UDSBalancer>" if line[0] == "<" else ""
    refused(
        sandbox,
        section("UDSSet timeout=1", line, end),
        line,
        "not allowed in <UDSBalancer>",
        "UDSMember",
        modules=("proxy",),
    )


def test_conditions_in_the_section(sandbox):
    lines = ["<IfModule udsroute_module>", *members(""), "</IfModule>", "<IfDefine NOT_SO>", "nonsense", "</IfDefine>"]
    accepted(sandbox, section(*lines) + "UDSRoute / balancer://app/")


@pytest.mark.parametrize("line", [f"UDSMember {A}", "UDSSet max=5"])
def test_directives_of_the_section_outside_of_it(sandbox, line):
    refused(sandbox, line, line, "<UDSBalancer")
    refused(sandbox, section() + line, line, "<UDSBalancer")


def test_section_in_a_location(sandbox):
    line = "<UDSBalancer app>"
    refused(sandbox, f"<Location /x>\n{line}\n</UDSBalancer>\n</Location>", line, "not allowed")


@pytest.mark.parametrize("around", ["<Location /x>", "<Directory /x>", "<Proxy balancer://app>"])
def test_member_in_another_section(sandbox, around):
    line = f"UDSMember {A}"
    end = f"</{around.split()[0][1:]}>"
    words = ("stands in <UDSBalancer name>, and nowhere else", "for <Proxy balancer://name>")
    refused(sandbox, f"{around}\n{line}\n{end}", line, *words, modules=("proxy",))


def test_set_without_words(sandbox):
    refused(sandbox, section("UDSSet"), "UDSSet", "key=value")


@pytest.mark.parametrize("line", ["UDSSet max=x", "UDSSet lbmethod=byrequests", "UDSSet min=6 max=5", "UDSSet max"])
def test_bad_parameter_in_a_location(sandbox, line):
    refused(sandbox, f"<Location /x>\nUDSRoute {A}\n{line}\n</Location>", line)


# --- what shows only in the whole -------------------------------------------------------------------------------------


def test_unknown_balancer(sandbox):
    line = "UDSRoute /x balancer://ap/"
    config = section(*members("")) + section(name="other") + line
    refused(sandbox, config, line, "UDR0023", "no balancer 'ap'", "<UDSBalancer ap>", "there are: app, other")


def test_unknown_balancer_where_there_is_none(sandbox):
    line = "UDSRoute /x balancer://app/"
    refused(sandbox, line, line, "no balancer 'app'", "write a <UDSBalancer app> with its members\n")


def test_unknown_balancer_of_a_location(sandbox):
    line = "UDSRoute balancer://app/"
    refused(sandbox, f"<Location /x>\n{line}\n</Location>", line, "no balancer 'app'")


@pytest.mark.parametrize("frame", ["", "<Location /x>", "<VirtualHost *:@PORT@>"])
def test_unknown_balancer_of_a_reverse(sandbox, frame):
    path = "" if "Location" in frame else "/x "
    end = f"</{frame[1:].split()[0]}>" if frame else ""
    line = f"UDSRouteReverse {path}balancer://ap/"
    config = section(*members("")) + f"{frame}\n{line}\n{end}\n"
    refused(sandbox, config, line, "UDR0023", "no balancer 'ap'", "<UDSBalancer ap>", "there are: app")
    accepted(sandbox, config.replace("ap/", "app/"))


@pytest.mark.parametrize("url", ["balancer://", "balancer:///x", "balancer://app/?x", "balancer://a b/"])
def test_bad_balancer_of_a_reverse(sandbox, url):
    line = f'UDSRouteReverse /x "{url}"'
    refused(sandbox, section(*members("")) + line, line, "UDSRouteReverse: ")


def test_empty_balancer(sandbox):
    line = "UDSRoute /x balancer://app/"
    test = refused(sandbox, section("UDSSet timeout=1") + line, line, "UDR0024", "'app'", "no member", "UDSMember")
    assert f"line {test.line_of('<UDSBalancer app>')} of {test.file}" in test.output


def test_every_error_of_the_whole_is_said(sandbox):
    lines = ["UDSRoute /1 balancer://one/", "UDSRoute /2 balancer://two/", "UDSRoute /3 balancer://app/"]
    for line in lines:
        refused(sandbox, section() + "\n".join(lines), line)


def test_error_in_an_included_file_names_that_file(sandbox):
    part = sandbox.root / "part.conf"
    part.write_text("\n\nUDSRoute /x balancer://app/\n")
    test = sandbox.configtest(f"Include {part}")
    assert test.refused
    assert f"UDSRoute on line 3 of {part}: there is no balancer" in test.output


def host(*lines):
    return "\n".join(["<VirtualHost *:@PORT@>", *lines, "</VirtualHost>", ""])


def test_balancer_of_the_main_server_in_a_virtual_host(sandbox):
    accepted(sandbox, section(*members("")) + host("UDSRoute / balancer://app/"))
    accepted(sandbox, section(*members("")) + host("<Location /x>", "UDSRoute balancer://app/", "</Location>"))


def test_balancer_of_a_virtual_host_elsewhere(sandbox):
    own = host(section(*members(""), name="app"))
    line = "UDSRoute / balancer://app/"
    refused(sandbox, own + line, line, "no balancer 'app' in this server")
    refused(sandbox, own + host(line), line, "no balancer 'app' in this server")


def test_own_balancer_of_a_virtual_host_comes_first(sandbox):
    """Seen by its being empty."""
    line = "UDSRoute / balancer://app/"
    refused(sandbox, section(*members("")) + host(section(), line), line, "UDR0024", "no member")
    accepted(sandbox, section() + host(section(*members("")), line))


def test_route_of_the_main_server_stays_the_main_servers(sandbox):
    """Virtual hosts have it, too; the balancer is that of the server where the line stands."""
    accepted(sandbox, section(*members("")) + "UDSRoute / balancer://app/\n" + host(section(), "UDSRoute /x !"))


@pytest.mark.parametrize("order", [1, -1])
def test_member_and_default_that_contradict_each_other(sandbox, order):
    line = f"UDSMember {A} max=5"
    lines = [line, "UDSSet min=6"][::order]
    refused(sandbox, section(*lines, f"UDSMember {B} max=6"), line, "UDR0026", "min=6", "max=5")


def test_route_and_set_that_contradict_each_other(sandbox):
    line = f"UDSRoute {A} max=5"
    refused(sandbox, f"<Location /x>\nUDSSet min=6\n{line}\n</Location>", line, "UDR0026", "min=6", "max=5")


@pytest.mark.parametrize(
    "routes,words",
    [
        ([], ["no UDSRoute", "one section"]),
        (["UDSRoute !"], ["!"]),
        (["UDSRoute balancer://app/"], ["balancer://app/", "<UDSBalancer app>"]),
    ],
)
def test_set_in_a_location_without_a_route_to_a_socket(sandbox, routes, words):
    line = "UDSSet timeout=3"
    location = "\n".join(["<Location /x>", line, *routes, "</Location>", ""])
    refused(sandbox, location + section(*members("")), line, "UDR0025", *words)
    refused(sandbox, section(*members("")) + host(location), line, "UDR0025", *words)


# --- what is hardly meant ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines,line,words",
    [
        (members("route=a", "route=b", "route=a"), "/run/2.sock", ["UDR0027", "route=a", "of its own"]),
        (["UDSSet stickysession=ID", *members("", "")], "<UDSBalancer", ["UDR0028", "ID", "write route="]),
        (members("route=a redirect=c", "route=b"), "/run/0.sock", ["UDR0029", "redirect=c"]),
        (members("status=+H", "status=+R"), "<UDSBalancer", ["UDR0030", r"\+R", r"\+H"]),
    ],
)
def test_warning(sandbox, lines, line, words):
    """Said once, with file and line; httpd starts all the same."""
    config = section(*lines) + "UDSRoute / balancer://app/"
    test = accepted(sandbox, config, udsroute_log_level="warn")
    (said,) = warnings(test)
    assert "[udsroute:warn]" in said
    assert f"on line {test.line_of(line)} of {test.file}" in said
    for word in words:
        assert re.search(word, said), said


def test_warning_of_sessions_that_a_route_makes_sticky(sandbox):
    config = section(*members("", "")) + "UDSRoute / balancer://app/ stickysession=ID"
    (said,) = warnings(accepted(sandbox, config, udsroute_log_level="warn"))
    assert "UDR0028" in said


@pytest.mark.parametrize(
    "config,line",
    [
        ("UDSRoute / unix:/run/a.sock|{}://localhost/ upgrade=websocket", "UDSRoute"),
        ("<Location /x>\nUDSRoute unix:/run/a.sock|{}://localhost/\nUDSSet upgrade=ANY\n</Location>", "UDSRoute"),
        (section("UDSMember unix:/run/a.sock|{0}://x/", "UDSMember unix:/run/b.sock|{0}://x/ upgrade=x"), "b.sock"),
        (section("UDSSet upgrade=x", "UDSMember unix:/run/a*.sock|{}://x/", "UDSMember unix:/run/b.sock|{}://x/"), "b.sock"),
        (section("UDSSet upgrade=x", "UDSMember unix:/run/a*.sock|{}://x/"), "UDSMember"),
    ],
)
@pytest.mark.parametrize("scheme", ["fcgi", "uwsgi", "scgi"])
def test_warning_of_an_upgrade_that_there_is_not(sandbox, config, line, scheme):
    """Said once for all members of a balancer, and not to those who don't want any or speak HTTP."""
    test = accepted(sandbox, config.replace("{}", scheme).replace("{0}", scheme), udsroute_log_level="warn")
    (said,) = warnings(test)
    assert f"on line {test.line_of(line)} of {test.file}" in said
    assert re.search(rf"UDR0072.*upgrade=.*{scheme}://", said)


@pytest.mark.parametrize("scheme,upgrade", [("fcgi", "upgrade=NONE"), ("fcgi", ""), ("http", "upgrade=websocket"), ("ws", "upgrade=ANY")])
def test_no_warning_of_an_upgrade(sandbox, scheme, upgrade):
    config = f"UDSRoute / unix:/run/a.sock|{scheme}://localhost/ {upgrade}"
    assert warnings(accepted(sandbox, config, udsroute_log_level="warn")) == []


def test_note_at_info(sandbox):
    line = "UDSSet keepalive=on"
    test = accepted(sandbox, section(line, *members("")), udsroute_log_level="info")
    assert f"UDSSet on line {test.line_of(line)} of {test.file}: keepalive has no meaning" in test.output
    assert "keepalive" not in accepted(sandbox, section(line, *members("")), udsroute_log_level="notice").output


# --- the start --------------------------------------------------------------------------------------------------------


def test_httpd_does_not_start_with_an_error_of_the_whole(sandbox):
    with pytest.raises(AssertionError, match="(?s)httpd refuses the configuration.*UDR0023"):
        sandbox.httpd("UDSRoute / balancer://app/")


def test_warnings_are_said_once_at_each_start(sandbox):
    """A virtual host without lines of its own shares the main server's configuration."""
    httpd = sandbox.httpd(section(*members("status=+H")) + host("ServerAlias other.example"))
    httpd.log.expect("UDR0030.*<UDSBalancer> on line")
    httpd.graceful()
    httpd.log.expect("UDR0030.*<UDSBalancer> on line")


def test_set_in_a_location_is_in_effect(sandbox):
    """For the route of its section, before or behind it, where the route's line does not say it itself."""
    backend = sandbox.scripted("silent", lambda exchange: exchange.leave())
    target = f"unix:{backend.address}|http://localhost/"
    httpd = sandbox.httpd(
        f"<Location /before>\nUDSSet timeout=200ms\nUDSRoute {target}\n</Location>\n"
        f"<Location /behind>\nUDSRoute {target}\nUDSSet timeout=200ms\n</Location>\n"
        f"<Location /twice>\nUDSSet timeout=200ms\nUDSSet max=5\nUDSRoute {target}\n</Location>\n"
        f"<Location /own>\nUDSRoute {target} timeout=200ms\nUDSSet timeout=1h\n</Location>\n"
    )
    for path in ("/before", "/behind", "/twice", "/own"):
        assert fetch(httpd.port, path).status == 504
        httpd.log.expect("UDR0009")


@pytest.mark.parametrize("second", ["UDSRoute /b {} maxconn=5", "<VirtualHost *:80>\nUDSRoute / {} maxconn=5\n</VirtualHost>"])
def test_routes_that_differ_in_maxconn(sandbox, second):
    """They have the member's count in common."""
    target = "unix:/run/a.sock|http://localhost/"
    other = "unix:/run/b.sock|http://localhost/"
    config = f"UDSRoute /a {target} maxconn=3\nUDSRoute /c {other} maxconn=9\n"
    test = accepted(sandbox, config + second.format(target), udsroute_log_level="warn")
    (said,) = warnings(test)
    assert "UDR0038" in said and "maxconn=3 of" in said and "says 5" in said
    assert f"on line {test.line_of('maxconn=5')} of {test.file}" in said
    test = accepted(sandbox, config + second.replace("=5", "=3 timeout=7").format(target), udsroute_log_level="warn")
    assert warnings(test) == []
