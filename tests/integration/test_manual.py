# SPDX-License-Identifier: Apache-2.0
"""What the manual has to copy into httpd's configuration is taken as it stands there, without a warning."""
import pathlib
import re

import pytest

SOURCES = pathlib.Path(__file__).resolve().parents[2]
MODULES = (
    *("alias", "auth_basic", "authn_core", "authn_file", "authz_host", "authz_user"),
    *("dir", "env", "headers", "rewrite"),
    *("proxy", "proxy_http", "proxy_fcgi", "proxy_balancer", "lbmethod_byrequests", "slotmem_shm"),
)
# What Debian's configuration, or udsroute.conf, has said by then.
DEBIAN = """Define APACHE_LOG_DIR logs
<IfModule mpm_event_module>
AsyncRequestWorkerFactor 64
</IfModule>
"""
DIRECTIVE = re.compile(
    r"^\s*<?(UDS|SetHandler|Header|Location|FilesMatch|LogFormat|VirtualHost|Proxy|Files|Directory)", re.M
)


def blocks(path):
    """(line, text) of each indented block; what is indented within a list or behind another block counts, too."""
    found = []
    begin, lines = 0, []
    before = ""
    for number, line in enumerate(path.read_text().split("\n") + ["the end"], 1):
        if line.startswith("    ") and (lines or not before):
            begin = begin if lines else number
            lines.append(line)
        elif lines and not line:
            lines.append(line)
        elif lines:
            found.append((begin, "\n".join(lines)))
            lines = []
        before = line
    return found


def examples():
    for path in (SOURCES / "README.md", *sorted((SOURCES / "docs").glob("*.md"))):
        for line, text in blocks(path):
            if DIRECTIVE.search(text) and "ExecStart" not in text:
                yield pytest.param(text, id=f"{path.name}:{line}")


def whole(text):
    """The example with what the prose around it takes for granted."""
    if "UDSMember" in text and "<UDSBalancer" not in text:
        text = re.sub(r"^\s*UDSMember", r"<UDSBalancer example>\n\g<0>", text, count=1, flags=re.M) + "\n</UDSBalancer>"
    for name in set(re.findall(r"UDSRoute.*balancer://(\w+)", text)):
        if not re.search(rf'<UDSBalancer "?{name}', text):
            text += f'\n<UDSBalancer {name}>\nUDSMember "unix:/run/{name}.sock|http://localhost/"\n</UDSBalancer>'
    if "<VirtualHost" not in text:
        text = f"<VirtualHost *:80>\nServerName www.example.org\n{text}\n</VirtualHost>"
    return DEBIAN + text.replace("peer=app", "peer=root")  # a user that there is


def assert_is_taken(sandbox, text):
    test = sandbox.configtest(text, modules=MODULES, udsroute_log_level="warn")
    said = [line for line in test.output.splitlines() if "AH00112" not in line]  # there is no such DocumentRoot
    assert (test.exit_code, said) == (0, ["Syntax OK"]), test.output


@pytest.mark.parametrize("text", examples())
def test_examples(sandbox, text):
    assert_is_taken(sandbox, whole(text))


def test_reference(sandbox):
    """Its lines all at once, and the examples between them."""
    lines = (SOURCES / "conf" / "udsroute-reference.conf").read_text().splitlines()
    taken = [line[1:] for line in lines if re.match(r"#(<|[A-Z]|   (<|SetHandler))", line)]
    assert len(taken) > 30
    assert_is_taken(sandbox, DEBIAN + "\n".join(taken))
