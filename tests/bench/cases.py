# SPDX-License-Identifier: Apache-2.0
"""What is measured."""

import dataclasses

from backends import HELLO, PAGE
from loads import Beside, Hurry, Load, Waiting
from proxies import BALANCER, OURS, Shape


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    says: str
    load: Load
    brief: Load | None = None  # for a quick run; None: the same
    shape: Shape = Shape()
    proxies: tuple[str, ...] | None = None  # None: all rivals
    rounds: int | None = None  # at most so many


TWO_CHILDREN = Shape(children=2, status=True)
# More processes than clients: a connection that waits for a process waits as long as another is kept.
PHP = Shape(php=16)

CASES = [
    Case("small-1", "1 client, 21 bytes", Hurry("/ux", 1)),
    Case("small-32", "32 clients, 21 bytes", Hurry("/ux", 32)),
    # Of more clients than threads httpd closes some on a busy machine, which says nothing about whether it works.
    Case("small-256", "256 clients, 21 bytes", Hurry("/ux", 256), brief=Hurry("/ux", 48)),
    Case("close-32", "32 clients, Connection: close", Hurry("/ux", 32, close=True)),
    Case("tls-32", "32 clients, TLS", Hurry("/ux", 32), shape=Shape(tls=True)),
    Case("balancer-32", "32 clients, and the same with a balancer", Hurry("/ux", 32), proxies=(OURS, BALANCER)),
    Case("large-4", "4 clients, 1 MiB", Hurry("/bytes/1048576", 4)),
    # The traces: requests that mod_proxy still has in hand when the clients are gone.
    Case("slow-2000", "2,000 clients, answers after 1 s", Hurry("/delay/1000", 2000, seconds=6, leaves_traces=True),
         brief=Hurry("/delay/100", 200, leaves_traces=True), proxies=(OURS, "mod_proxy"), rounds=3),
    Case("php-1", "PHP: 1 client, \"hello\"", Hurry(HELLO, 1), shape=PHP),
    Case("php-8", "PHP: 8 clients, \"hello\"", Hurry(HELLO, 8), shape=PHP),
    Case("php-32", "PHP: 32 clients, \"hello\"", Hurry(HELLO, 32), shape=Shape(php=40)),
    Case("php-page-8", "PHP: 8 clients, 64 KiB", Hurry(PAGE, 8), shape=PHP),
    Case("tunnels", "10,000 idle WebSockets, two children", Waiting("tunnels", 10_000),
         brief=Waiting("tunnels", 500), shape=TWO_CHILDREN, proxies=(OURS,), rounds=3),
    Case("parked", "10,000 waiting requests, two children", Waiting("parked", 10_000, "/delay/25000"),
         brief=Waiting("parked", 500, "/delay/4000"), shape=TWO_CHILDREN, proxies=(OURS,), rounds=1),
    Case("beside-parked", "32 clients beside 5,000 waiting requests",
         Beside("parked", 5000, "/delay/600000", finishes=False),
         brief=Beside("parked", 500, "/delay/600000", finishes=False), proxies=(OURS,)),
    Case("beside-handler", "32 clients beside 8 in a sleeping handler",
         Beside("occupants", 8, "/cgi/sleep", finishes=True), shape=Shape(handler=True), proxies=(OURS,)),
]
