# SPDX-License-Identifier: Apache-2.0
"""What `httpd -t` says of health checks."""
import re

import pytest

SECTION = "<UDSBalancer app>\nUDSMember unix:/run/a.sock|http://localhost/ {}\n{}\n</UDSBalancer>\n"
EXPRESSIONS = "UDSHealthExpr body {hc('body') =~ /ok/}\nUDSHealthExpr status {%{REQUEST_STATUS} == 200}\n"


def refused(sandbox, config, line, *words):
    sandbox.configtest(config).assert_refused_at(line, *words)


def accepted(sandbox, config, *warnings):
    test = sandbox.configtest(config)
    assert test.exit_code == 0 and "Syntax OK" in test.output, test.output
    said = [line for line in test.output.splitlines() if re.search(r"\[udsroute:(warn|error|crit)\]", line)]
    assert len(said) == len(warnings), test.output
    for words, line in zip(warnings, said):
        assert re.search(words, line), test.output


RIGHT = {
    "all keys": SECTION.format(
        "hcmethod=GET hcuri=/h hcinterval=5 hctimeout=2 hcpasses=2 hcfails=3 hcexpr=body hcagent=On", ""
    ),
    "for all": SECTION.format("", 'UDSSet hcmethod=GET11 hcexpr=body\nUDSSet hcuri="/h?a b"'.replace(" b", "%20b")),
    "plain": "UDSRoute / unix:/run/a.sock|http://localhost/ hcmethod=CONNECT hcinterval=100ms\n",
    "template": "UDSHealthTemplate web hcmethod=HEAD hcexpr=status\n" + SECTION.format("hctemplate=web", ""),
    "template below": SECTION.format("hctemplate=web", "") + "UDSHealthTemplate web hcmethod=OPTIONS\n",
    "location": "UDSHealthTemplate web hcmethod=GET\n<Location /a>\nUDSRoute unix:/run/a.sock|http://localhost/\n"
    "UDSSet hctemplate=web hcuri=/h\n</Location>\n",
    "virtual host": "UDSHealthTemplate web hcmethod=GET hcexpr=body\n<VirtualHost *:1>\n"
    + SECTION.format("hctemplate=web", "")
    + "</VirtualHost>\n",
    "braces in quotes": 'UDSHealthExpr open "%{REQUEST_STATUS} == 200 && hc(\'body\') =~ /^{/"\n',
    "one of many": SECTION.format(
        "hcmethod=NONE", "UDSMember unix:/run/b.sock|http://localhost/\nUDSSet hcmethod=GET hcexpr=status"
    ),
}


@pytest.mark.parametrize("config", RIGHT.values(), ids=RIGHT.keys())
def test_right(sandbox, config):
    accepted(sandbox, EXPRESSIONS + config)


def test_forgotten_method(sandbox):
    accepted(sandbox, EXPRESSIONS + SECTION.format("hcuri=/h", ""), "UDR0043: UDSMember on line .*write hcmethod=GET")


WRONG = {
    "method": (SECTION.format("hcmethod=POST", ""), "UDSMember", ["hcmethod: 'POST' is none of NONE, CONNECT"]),
    "interval": (SECTION.format("hcinterval=50ms", ""), "UDSMember", ["hcinterval: '50ms' is out of range: 100ms"]),
    "passes": (SECTION.format("", "UDSSet hcpasses=0"), "UDSSet", ["hcpasses: '0' is out of range: 1 to 1000"]),
    "uri": (SECTION.format('"hcuri=/a b"', ""), "UDSMember", ["hcuri: '/a b' is nothing to ask for: write a path"]),
    "overlap": (
        SECTION.format("hcinterval=2 hctimeout=3", ""),
        "UDSMember",
        ["hctimeout=3000ms is more than hcinterval=2000ms.*lower the one or raise the other"],
    ),
    "overlap with UDSSet": (
        SECTION.format("hcinterval=2", "UDSSet hctimeout=3"),
        "UDSMember",
        ["UDR0026.*hctimeout=3000ms is more than hcinterval=2000ms"],
    ),
    "connect and expression": (
        SECTION.format("hcmethod=CONNECT hcexpr=status", ""),
        "UDSMember",
        ["hcexpr looks at an answer.*write hcmethod=GET"],
    ),
    "connect and agent": (SECTION.format("hcmethod=TCP hcagent=On", ""), "UDSMember", ["hcagent looks at an answer"]),
    "body of HEAD": (
        SECTION.format("hcmethod=HEAD hcexpr=body", ""),
        "UDSMember",
        ["UDR0042.*'body' looks at hc\\('body'\\).*hcmethod=HEAD has none: write hcmethod=GET"],
    ),
    "unknown expression": (
        SECTION.format("hcmethod=GET hcexpr=none", ""),
        "UDSMember",
        ["UDR0042.*there is no expression 'none': write UDSHealthExpr none"],
    ),
    "unknown template": (
        SECTION.format("hctemplate=none", ""),
        "UDSMember",
        ["UDR0042.*there is no template 'none': write UDSHealthTemplate none"],
    ),
    "unknown template for all": (SECTION.format("", "UDSSet hctemplate=none"), "<UDSBalancer", ["there is no template"]),
    "template of another host": (
        "<VirtualHost *:1>\nUDSHealthTemplate web hcmethod=GET\n</VirtualHost>\n" + SECTION.format("hctemplate=web", ""),
        "UDSMember",
        ["there is no template 'web'"],
    ),
    "key in template": ("UDSHealthTemplate web max=1\n", "UDSHealthTemplate", ["'max' does not belong here"]),
    "template in template": ("UDSHealthTemplate web hctemplate=x\n", "UDSHealthTemplate", ["does not belong here"]),
    "value in template": ("UDSHealthTemplate web hcfails=x\n", "UDSHealthTemplate", ["hcfails: 'x' is not a number"]),
    "template without name": ("UDSHealthTemplate hcfails=1 hcpasses=1\n", "UDSHealthTemplate", ["needs a name"]),
    "empty template": ("UDSHealthTemplate web\n", "UDSHealthTemplate", ["needs a name and key=value"]),
    "template twice": (
        "UDSHealthTemplate web hcfails=1\nUDSHealthTemplate web hcfails=2\n",
        "hcfails=2",
        ["'web' is defined already, on line"],
    ),
    "expression": ("UDSHealthExpr x {%{REQUEST_STATUS} ==}\n", "UDSHealthExpr x", ["is no expression of httpd's"]),
    "expression without name": ("UDSHealthExpr x\n", "UDSHealthExpr x", ["needs a name and an expression"]),
    "expression without braces": ("UDSHealthExpr x %{A} == 1\n", "UDSHealthExpr x", ["one expression.*braces"]),
    "expression left open": (
        "UDSHealthExpr x {%{REQUEST_STATUS} =~ /^2/\n",
        "UDSHealthExpr x",
        ["a closing brace is missing"],
    ),
    "variable left open": (
        "UDSHealthExpr x {%{REQUEST_STATUS =~ /^2/}\n",
        "UDSHealthExpr x",
        ["a closing brace is missing"],
    ),
    "expression twice": ("UDSHealthExpr status {true}\n", "{true}", ["'status' is defined already"]),
    "in a location": ("<Location /x>\nUDSHealthExpr x {true}\n</Location>\n", "UDSHealthExpr x", ["not allowed in <Location> context"]),
    "balancer route": (
        SECTION.format("", "") + "UDSRoute / balancer://app/ hcmethod=GET\n",
        "UDSRoute /",
        ["hcmethod is a member's"],
    ),
}


@pytest.mark.parametrize("config,line,words", WRONG.values(), ids=WRONG.keys())
def test_wrong(sandbox, config, line, words):
    refused(sandbox, EXPRESSIONS + config, line, *words)
