# SPDX-License-Identifier: Apache-2.0
"""The results, for people and as JSON."""

import argparse
import dataclasses
import json
import os
import pathlib
import platform

from cases import CASES, Case
from figures import MEASURES, Comparison, Figures, Turns
from proxies import OURS, PROXIES
from requirements import Verdict

# What says most about how steady the turns of a case were.
SPREAD_OF = ("rate", "memory", "p99_ratio")


def print_medians(cases: list[Case], medians: Figures, turns: Turns) -> None:
    width = max(len(case.says) for case in cases) + 2
    for case in cases:
        measures = case.load.measures
        header = "".join(f"{MEASURES[name].says:>16}" for name in measures)
        print(f"\n{case.says:<{width}}{header}{'spread':>10}{'closed':>9}{'failed':>9}")
        for proxy, values in medians[case.name].items():
            of_proxy = turns[case.name][proxy]
            cells = "".join(f"{values[name]:>16,.{MEASURES[name].digits}f}" for name in measures)
            closed, failed = (sum(getattr(turn, kind) for turn in of_proxy) for kind in ("closed", "failed"))
            print(f"  {proxy:<{width - 2}}{cells}{spread(case, values, of_proxy):>10.0%}{closed:>9}{failed:>9}")


def spread(case: Case, values: dict[str, float], of_proxy: list) -> float:
    """How far the turns lie apart, of what the case is about."""
    name = next(name for name in case.load.measures if name in SPREAD_OF)
    several = [turn.values[name] for turn in of_proxy]
    return (max(several) - min(several)) / values[name] if values[name] else 0.0


def print_ratios(cases: list[Case], ratios: Comparison) -> None:
    others = [proxy.name for proxy in PROXIES if proxy.name != OURS]
    rows = [(f"{case.says}, {MEASURES[name].says}", by_proxy) for case in cases
            for name, by_proxy in ratios.get(case.name, {}).items() if by_proxy]
    if not rows:
        return
    width = max(len(says) for says, _ in rows) + 2
    print(f"\n{OURS + ' against':<{width}}" + "".join(f"{name:>12}" for name in others))
    for says, by_proxy in rows:
        cells = "".join(f"{by_proxy[name]:>11.2f}×" if name in by_proxy else f"{'–':>12}" for name in others)
        print(f"  {says:<{width - 2}}{cells}")


def print_verdicts(verdicts: list[Verdict]) -> None:
    says = {case.name: case.says for case in CASES}
    print()
    for verdict in verdicts:
        requirement = verdict.requirement
        measure = MEASURES[requirement.measure]
        bound = f"≥ {requirement.at_least:g}" if requirement.at_least is not None else f"≤ {requirement.at_most:g}"
        value = f"{verdict.value:.3g} × {requirement.against}" if requirement.against else \
            f"{verdict.value:,.{measure.digits}f}"
        word = "PASS" if verdict.passed else "FAIL"
        print(f"  {word}  {says[requirement.case]}: {measure.says} {value}, to be {bound}")


def write_json(path: str, options: argparse.Namespace, versions: dict[str, str], turns: Turns, medians: Figures,
               ratios: Comparison, verdicts: list[Verdict], failures: dict[str, str]) -> None:
    report = {
        "machine": {"processors": os.cpu_count(), "kernel": platform.release(), "architecture": platform.machine()},
        "versions": versions,
        "settings": {"quick": options.quick, "rounds": options.rounds, "seconds": options.seconds,
                     "backend_threads": options.backend_threads},
        "units": {name: measure.says for name, measure in MEASURES.items()},
        "cases": {case.name: dataclasses.asdict(case) for case in CASES if case.name in turns},
        "results": medians,
        "runs": {case: {proxy: [dataclasses.asdict(turn) for turn in of_proxy] for proxy, of_proxy in by_proxy.items()}
                 for case, by_proxy in turns.items()},
        "ratios": ratios,
        "requirements": [dataclasses.asdict(verdict.requirement) | {"value": verdict.value, "passed": verdict.passed}
                         for verdict in verdicts],
        "failures": failures,
    }
    pathlib.Path(path).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
