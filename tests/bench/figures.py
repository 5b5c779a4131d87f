# SPDX-License-Identifier: Apache-2.0
"""What is made of the turns: medians, and ratios of ours to theirs."""

import dataclasses
import statistics

from loads import Turn
from proxies import OURS

Turns = dict[str, dict[str, list[Turn]]]  # by case and proxy
Figures = dict[str, dict[str, dict[str, float]]]  # by case, proxy and measure
Comparison = dict[str, dict[str, dict[str, float]]]  # by case, measure and proxy


@dataclasses.dataclass(frozen=True)
class Measure:
    says: str
    digits: int
    compared: bool


MEASURES = {
    "rate": Measure("requests/s", 0, compared=True),
    "cpu": Measure("CPU µs/request", 1, compared=True),
    "p50": Measure("p50 ms", 2, compared=False),
    "p99": Measure("p99 ms", 2, compared=True),
    "busy": Measure("busy threads", 0, compared=True),
    "memory": Measure("KiB each", 1, compared=True),
    "p99_alone": Measure("p99 ms alone", 2, compared=False),
    "p99_beside": Measure("p99 ms beside", 2, compared=False),
    "p99_ratio": Measure("beside/alone", 2, compared=True),
}


def medians_of(turns: Turns) -> Figures:
    return {
        case: {name: {measure: statistics.median(turn.values[measure] for turn in of_proxy)
                      for measure in of_proxy[0].values} for name, of_proxy in by_proxy.items()}
        for case, by_proxy in turns.items()
    }


def ratios_of(turns: Turns) -> Comparison:
    """Ours divided by theirs: the median over the rounds of the ratio within each round.

    Turns of one round are seconds apart, so whatever slows the machine for longer than that cancels out; a ratio of
    the medians would keep it. Without ours in the run there is nothing to compare."""
    return {
        case: {
            measure: {name: statistics.median(ratio(ours.values[measure], theirs.values[measure])
                                              for ours, theirs in zip(by_proxy[OURS], of_proxy))
                      for name, of_proxy in by_proxy.items() if name != OURS}
            for measure in by_proxy[OURS][0].values if MEASURES[measure].compared
        }
        for case, by_proxy in turns.items() if OURS in by_proxy
    }


def ratio(ours: float, theirs: float) -> float:
    # A short turn may use less processor time than the kernel's clock resolves.
    return ours / theirs if theirs else float("inf")
