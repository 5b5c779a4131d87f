# SPDX-License-Identifier: Apache-2.0
"""For the tests of health checks: members that are ill in one way or another, and what the server knows of them."""
import json
import re

from udr_client import fetch
from udr_processes import wait_until

STATUS = """
UDSRoute /udsroute-status !
<Location /udsroute-status>
    SetHandler udsroute-status
</Location>
"""
INTERVAL = "200ms"  # of most tests
DOWN = r"UDR0040: member \S*/{}\.sock\S* .*is down"
UP = r"UDR0041: member \S*/{}\.sock\S* .*is up"
LEADER = re.compile(r"\[pid (\d+).*this process makes the health checks from now on")


def members(httpd):
    """What the status tells of each, by the name of its socket."""
    answer = fetch(httpd.port, "/udsroute-status?format=json", fields=[("Connection", "close")])
    found = {}
    for one in json.loads(answer.body)["balancers"]:
        for member in one["members"]:
            found[member["socket"].rpartition("/")[2].removesuffix(".sock")] = member
    return found


def health(httpd, name):
    return members(httpd)[name]["health"]


def state(httpd, name):
    return members(httpd)[name]["state"]


def wait_for_state(httpd, name, expected, timeout=10):
    wait_until(lambda: state(httpd, name) == expected, f"{name} to be {expected}\n{httpd.log.text()}", timeout)


def wait_for_checks(httpd, name, count, timeout=10):
    """So many more have ended."""
    total = lambda: sum(health(httpd, name)[key] for key in ("passes", "fails"))
    target = total() + count
    wait_until(lambda: total() >= target, f"{count} checks of {name}\n{httpd.log.text()}", timeout)


def wait_until_checked(httpd, name):
    """At least once."""
    wait_until(lambda: health(httpd, name)["last_check"], f"a check of {name}\n{httpd.log.text()}")


def leader(httpd):
    """The process id of the child that makes the checks, as the log has it last."""
    found = []
    wait_until(lambda: found.extend(LEADER.findall(httpd.log.path.read_text())) or found, "a child to make the checks")
    return int(found[-1])


class Patient:
    """A scripted member whose health the test changes; what it does is a function of the exchange."""

    def __init__(self, sandbox, name, behaviour=None):
        self.sandbox = sandbox
        self.name = name
        self.behaviour = behaviour or well
        self.server = None
        self.start()

    def start(self):
        self.server = self.sandbox.scripted(self.name, lambda exchange: self.behaviour(exchange))
        return self

    def stop(self):
        self.sandbox.stop(self.server)


def well(exchange):
    exchange.respond(body="ok")


def answers(status=200, body="ok", fields=()):
    return lambda exchange: exchange.respond(status, body, fields)


def sends(data):
    """These bytes, and the end."""

    def behaviour(exchange):
        exchange.send(data)
        exchange.close()

    return behaviour


def hangs(exchange):
    exchange.leave()


def closes(exchange):
    exchange.close()
