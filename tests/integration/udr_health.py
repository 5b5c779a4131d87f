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
# Said of a member that is well where the machine has kept it, or the server, waiting. `hctimeout` is no longer than
# `hcinterval`, which the tests want short: a test that checks each 200 ms lets this pass, asks for the words of the
# illness that it is about (fall_ill()), and looks who gets requests in a quiet moment (undisturbed()).
LATE = r"UDR0040: .*(no answer to a check within hctimeout|its listen backlog was full)"
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


def undisturbed(httpd, do, ill=()):
    """What do() returns, in a time in which none of the members was down or failed a check but those that are meant to
    be ill; after twenty tries in any."""

    def fails():
        """None while one is down."""
        others = {name: member for name, member in members(httpd).items() if name not in ill}
        is_quiet = all(member["state"] != "down" for member in others.values())
        return {name: member["health"]["fails"] for name, member in others.items()} if is_quiet else None

    for _ in range(20):
        wait_until(lambda: fails() is not None, f"the others to be well\n{httpd.log.text()}")
        before = fails()
        result = do()
        if before is not None and fails() == before:
            break
    return result


def fall_ill(httpd, patient, behaviour, words=""):
    """Has a member that is well fall ill, and waits until that is told in these words; returns the line. Anew where a
    check came too late just then."""
    told = DOWN.format(patient.name)
    healthy = patient.behaviour
    for _ in range(5):
        wait_for_state(httpd, patient.name, "up")
        before = len(httpd.log.find(told))
        patient.behaviour = behaviour
        wait_until(lambda: len(httpd.log.find(told)) > before, f"{patient.name} to be down\n{httpd.log.text()}")
        line = httpd.log.find(told)[before]
        if re.search(words, line.raw):
            line.accounted = True
            return line
        patient.behaviour = healthy
    raise AssertionError(f"{patient.name} is not told to be down for {words}\n{httpd.log.text()}")


def get_well(httpd, patient, behaviour=None):
    """The other way round; that it is told, too."""
    told = UP.format(patient.name)
    before = len(httpd.log.find(told))
    patient.behaviour = behaviour or well
    wait_until(lambda: len(httpd.log.find(told)) > before, f"{patient.name} to be up\n{httpd.log.text()}")


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
