# SPDX-License-Identifier: Apache-2.0
"""What a server's processes use, as proc(5) shows it. A family is a process and all its descendants."""

import contextlib
import dataclasses
import os
import pathlib

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Stat:
    parent: int
    ticks: int  # of processor time: its own and that of its children that have ended


def all_stats() -> dict[int, Stat]:
    """By process; those that end while we look are left out."""
    stats = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                text = pathlib.Path(entry.path, "stat").read_text()
                # The name in parentheses may hold anything; the third field, the state, follows the last one.
                fields = text.rpartition(")")[2].split()
                stats[int(entry.name)] = Stat(int(fields[1]), sum(int(ticks) for ticks in fields[11:15]))
    return stats


def family_of(root: int, stats: dict[int, Stat]) -> list[int]:
    children: dict[int, list[int]] = {}
    for process, stat in stats.items():
        children.setdefault(stat.parent, []).append(process)
    found, unseen = [], [root]
    while unseen:
        process = unseen.pop()
        found.append(process)
        unseen += children.get(process, [])
    return sorted(found)


def family(root: int) -> list[int]:
    return family_of(root, all_stats())


def cpu_seconds(root: int) -> float:
    """Processor time of a family."""
    stats = all_stats()
    return sum(stats[process].ticks for process in family_of(root, stats) if process in stats) / TICKS_PER_SECOND


def private_bytes(processes: list[int]) -> int:
    """Memory that is in use by these alone, each page counted once."""
    total = 0
    for process in processes:
        for line in pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("Private_Clean", "Private_Dirty"):
                total += int(rest.split()[0]) * 1024
    return total
