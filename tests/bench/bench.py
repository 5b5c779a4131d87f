#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures mod_udsroute beside mod_proxy, nginx and HAProxy on this machine.

All four stand, one process each, before the same udsbackend (or PHP-FPM) on Unix sockets, all over loopback. They take turns
in each round, so that whatever else the machine does hits all alike; figures and ratios are medians over the rounds.
Ratios are worth more than the figures themselves. README.md says what is where."""

import argparse
import os
import pathlib
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

import report
from cases import CASES, Case
from figures import Turns, medians_of, ratios_of
from loads import Load, Turn
from proxies import OURS, PROXIES, Proxy
from requirements import verdicts
from servers import Failure, Kit, make_certificate, servers_account
from stands import Target, stand

PROGRAMS = ("wrk", "nginx", "haproxy", "openssl")
COMPLAINTS = 3  # lines shown of each error log


def configured(build: pathlib.Path, variable: str) -> str:
    """A value that configure found, from the build's Makefile."""
    try:
        lines = (build / "Makefile").read_text().splitlines()
    except OSError as error:
        raise Failure(f"{build} is not configured: {error}") from error
    for line in lines:
        name, separator, value = line.partition(" = ")
        if separator and name == variable:
            return value
    raise Failure(f"{build}/Makefile has no {variable}")


def check_answers(load: Load, targets: dict[str, Target]) -> None:
    """All proxies must give the same good answer before their speed means anything."""
    expected = None
    for name, target in targets.items():
        status, body = target.fetch(load.path)
        if status != 200 or not body:
            raise Failure(f"{name} answers {load.path} with {status} and {len(body)} bytes")
        if expected is not None and body != expected:
            raise Failure(f"{name} answers {load.path} with another body than the others")
        expected = body


def run_case(case: Case, proxies: list[Proxy], kit: Kit, directory: pathlib.Path,
             options: argparse.Namespace) -> dict[str, list[Turn]]:
    """The turns by proxy."""
    load = case.brief if options.quick and case.brief else case.load
    turns = {proxy.name: [] for proxy in proxies}
    with stand(kit, directory, case.shape, proxies) as targets:
        check_answers(load, targets)
        for number in range(min(options.rounds, case.rounds or options.rounds)):
            # Each is the first in its turn: what a load leaves behind (memory, a warm processor) hits all alike.
            first = number % len(targets)
            for name, target in [*targets.items()][first:] + [*targets.items()][:first]:
                if load.leaves_traces and number > 0:
                    target.restart()
                if not options.quick and (load.leaves_traces or number == 0):
                    load.warm_up(target)
                turns[name].append(load.turn(target, options.seconds))
            print(".", end="", flush=True)
    return turns


def check_errors(turns: dict[str, list[Turn]]) -> None:
    """Whether they spoil the figures. When all its workers are busy, httpd closes kept-alive connections on which a
    request may be under way: that is part of how mod_proxy does with many clients, and must not happen to ours."""
    spoiled = []
    for proxy, of_proxy in turns.items():
        errors = sum(turn.failed + (turn.closed if proxy == OURS else 0) for turn in of_proxy)
        if errors:
            spoiled.append(f"{errors} errors of {proxy}")
    if spoiled:
        raise Failure(f"the figures mean nothing: {', '.join(spoiled)}")


def last_complaints(directory: pathlib.Path) -> str:
    """Of the servers' error logs, what may say why."""
    text = ""
    for log in sorted(directory.glob("*/error.log")):
        lines = [line for line in log.read_text(errors="replace").splitlines() if ":notice]" not in line]
        text += "".join(f"\n    {log.parent.name}: {line}" for line in lines[-COMPLAINTS:])
    return text


def run_all(cases: list[Case], asked: list[Proxy], kit: Kit, top: pathlib.Path,
            options: argparse.Namespace) -> tuple[Turns, dict[str, str]]:
    """The turns of the cases that work, and why the others don't."""
    turns, failures = {}, {}
    for case in cases:
        proxies = [proxy for proxy in asked if (proxy.name in case.proxies if case.proxies else proxy.is_rival)]
        if not proxies:
            continue
        # A quick run has not as many clients as the words say.
        print(f"  {case.name if options.quick else case.says}: ", end="", flush=True)
        try:
            turns[case.name] = run_case(case, proxies, kit, top / case.name, options)
            check_errors(turns[case.name])
            print(" works" if options.quick else "")
        except (Failure, OSError, subprocess.SubprocessError) as problem:
            failures[case.name] = f"{problem}{last_complaints(top / case.name)}"
            print(" FAILED")
    return turns, failures


def versions_of(proxies: list[Proxy], httpd: str) -> dict[str, str]:
    found = {}
    for proxy in proxies:
        done = subprocess.run(proxy.version(httpd), capture_output=True, text=True, check=False)
        found[proxy.name] = (done.stdout + done.stderr).strip().splitlines()[0]
    return found


def selection(kind: str, known: list, names: str | None) -> list:
    """The rows of a table that were asked for, in the table's order."""
    if names is None:
        return known
    asked = names.split(",")
    unknown = set(asked) - {row.name for row in known}
    if unknown:
        raise Failure(f"no such {kind}: {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in known)}")
    return [row for row in known if row.name in asked]


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=".", help="the folder with the built tree [.]")
    parser.add_argument("--rounds", type=positive, help="turns of each proxy in each case [5]")
    parser.add_argument("--seconds", type=positive, help="length of a turn [3]")
    parser.add_argument("--cases", help=f"of {','.join(case.name for case in CASES)} [all]")
    parser.add_argument("--only", help=f"of {','.join(proxy.name for proxy in PROXIES)} [all]")
    parser.add_argument("--backend-threads", type=positive, default=2, help="of udsbackend [2]")
    parser.add_argument("--quick", action="store_true",
                        help="one short round with fewer clients: says whether it works, gives no figures")
    parser.add_argument("--assert", dest="asserting", action="store_true", help="status 1 when a requirement is missed")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured there")
    options = parser.parse_args()
    if options.quick and (options.asserting or options.json):
        parser.error("--quick gives no figures to assert or to write")
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 3)
    return options


def prepare_process() -> None:
    os.environ["PATH"] += ":/usr/sbin"  # where Debian has nginx and haproxy, and other users than root don't look
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise Failure(f"not found: {', '.join(missing)} (on Debian: scripts/install-deps.sh bench)")
    # The servers and clients inherit it.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # So that the servers and the directory are gone after a SIGTERM as well.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def show(cases: list[Case], turns: Turns, options: argparse.Namespace, versions: dict[str, str],
         failures: dict[str, str]) -> bool:
    """Prints and writes what was found; whether all requirements are met."""
    cases = [case for case in cases if case.name in turns]
    medians, ratios = medians_of(turns), ratios_of(turns)
    judged = verdicts(medians, ratios)
    if cases:
        report.print_medians(cases, medians, turns)
        report.print_ratios(cases, ratios)
        report.print_verdicts(judged)
    if options.json:
        report.write_json(options.json, options, versions, turns, medians, ratios, judged, failures)
    return all(verdict.passed for verdict in judged)


def bench(options: argparse.Namespace) -> int:
    prepare_process()
    cases = selection("case", CASES, options.cases)
    proxies = selection("proxy", PROXIES, options.only)
    # In /tmp: a socket path has room for 107 bytes, and the servers' user must reach it.
    with tempfile.TemporaryDirectory(prefix="udsroute-bench.", dir="/tmp") as directory:
        top = pathlib.Path(directory)
        top.chmod(0o755)
        build = pathlib.Path(options.build).resolve()
        kit = Kit(build, configured(build, "HTTPD_PROGRAM"), configured(build, "HTTPD_MODULEDIR"),
                  options.backend_threads, *servers_account(), make_certificate(top))
        versions = versions_of(proxies, kit.httpd)
        print(f"{os.cpu_count()} processors, Linux {platform.release()}")
        for name, version in versions.items():
            print(f"  {name:<14}{version}")
        print(f"rounds: {options.rounds}, seconds of a turn: {options.seconds}")
        turns, failures = run_all(cases, proxies, kit, top, options)
    met = options.quick or show(cases, turns, options, versions, failures)
    for name, why in failures.items():
        print(f"bench: {name}: {why}", file=sys.stderr)
    return 1 if failures or (options.asserting and not met) else 0


if __name__ == "__main__":
    try:
        sys.exit(bench(arguments()))
    except Failure as failure:
        sys.exit(f"bench: {failure}")
