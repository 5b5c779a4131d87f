# SPDX-License-Identifier: Apache-2.0
"""What mod_udsroute is to reach."""

import dataclasses

from figures import Comparison, Figures
from proxies import BALANCER, OURS


@dataclasses.dataclass(frozen=True)
class Requirement:
    """A bound on ours divided by theirs; on ours itself where there is nobody to compare with."""

    case: str
    measure: str
    against: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def allows(self, value: float) -> bool:
        return ((self.at_least is None or value >= self.at_least)
                and (self.at_most is None or value <= self.at_most))


@dataclasses.dataclass(frozen=True)
class Verdict:
    requirement: Requirement
    value: float
    passed: bool


REQUIREMENTS = [
    Requirement("small-1", "rate", "mod_proxy", at_least=1.0),
    Requirement("small-1", "rate", "nginx", at_least=1.0),
    Requirement("small-32", "rate", "mod_proxy", at_least=2.2),
    Requirement("small-32", "cpu", "mod_proxy", at_most=0.4),
    Requirement("small-32", "rate", "nginx", at_least=1.0),
    Requirement("small-32", "rate", "haproxy", at_least=0.9),
    Requirement("small-256", "p99", "mod_proxy", at_most=0.1),
    Requirement("small-256", "p99", "nginx", at_most=1.0),
    Requirement("close-32", "rate", "mod_proxy", at_least=1.2),
    Requirement("tls-32", "rate", "mod_proxy", at_least=1.5),
    Requirement("tls-32", "cpu", "mod_proxy", at_most=0.5),
    # A balancer takes no more than 3 % longer.
    Requirement("balancer-32", "rate", BALANCER, at_most=1.03),
    Requirement("balancer-32", "cpu", BALANCER, at_least=0.97),
    Requirement("large-4", "rate", "mod_proxy", at_least=2.0),
    Requirement("large-4", "rate", "nginx", at_least=2.0),
    Requirement("large-4", "rate", "haproxy", at_least=1.0),
    Requirement("slow-2000", "rate", "mod_proxy", at_least=20.0),
    Requirement("slow-2000", "p99", at_most=1500.0),
    # PHP itself takes most of the time.
    Requirement("php-8", "rate", "mod_proxy", at_least=1.4),
    Requirement("php-8", "rate", "nginx", at_least=0.75),
    Requirement("tunnels", "busy", at_most=2),
    Requirement("tunnels", "memory", at_most=16.0),
    Requirement("parked", "memory", at_most=32.0),
    Requirement("beside-parked", "p99_ratio", at_most=1.5),
    Requirement("beside-handler", "p99_ratio", at_most=1.5),
]


def verdicts(medians: Figures, ratios: Comparison) -> list[Verdict]:
    """On the requirements that this run can judge."""
    found = []
    for requirement in REQUIREMENTS:
        if requirement.against is None:
            value = medians.get(requirement.case, {}).get(OURS, {}).get(requirement.measure)
        else:
            value = ratios.get(requirement.case, {}).get(requirement.measure, {}).get(requirement.against)
        if value is not None:
            found.append(Verdict(requirement, value, requirement.allows(value)))
    return found
