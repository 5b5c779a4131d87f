#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures mod_udsroute beside mod_proxy_http, nginx and HAProxy on this machine.

All four stand, one process each, before the same udsbackend on the same Unix socket, all over loopback. They take turns
in each round, so that whatever else the machine does hits all alike; figures and ratios are medians over the rounds.
wrk, with one thread, makes the load: it takes the least of the processors that proxy and backend need. Ratios are
worth more than the figures themselves.

A new proxy is a row in PROXIES (proxies.py), a new load a row in CASES, a new promise a row in REQUIREMENTS.
"""

import argparse
import contextlib
import dataclasses
import grp
import http.client
import json
import os
import pathlib
import platform
import pwd
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from proxies import OURS, PROXIES, Site

HERE = pathlib.Path(__file__).resolve().parent
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS = 15
WARM_UP_SECONDS = 1


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    path: str
    clients: int
    says: str


@dataclasses.dataclass(frozen=True)
class Requirement:
    """A bound on a ratio: ours divided by theirs."""

    measure: str
    case: str
    against: str
    at_least: float | None = None
    at_most: float | None = None


@dataclasses.dataclass(frozen=True)
class Measure:
    name: str
    says: str
    digits: int
    compared: bool


@dataclasses.dataclass(frozen=True)
class Run:
    """One turn of one proxy in one case."""

    rate: float  # requests/s
    cpu: float  # microseconds of the proxy's processes per request
    p50: float  # milliseconds
    p99: float
    errors: int


MEASURES = [
    Measure("rate", "requests/s", 0, compared=True),
    Measure("cpu", "CPU µs/request", 1, compared=True),
    Measure("p50", "p50 ms", 2, compared=False),
    Measure("p99", "p99 ms", 2, compared=True),
]


CASES = [
    Case("small-1", "/ux", 1, "1 client, 21 bytes"),
    Case("small-32", "/ux", 32, "32 clients, 21 bytes"),
    Case("large-4", "/bytes/1048576", 4, "4 clients, 1 MiB"),
]

REQUIREMENTS = [
    Requirement("rate", "small-32", "mod_proxy", at_least=1.2),
    Requirement("cpu", "small-32", "mod_proxy", at_most=0.85),
    Requirement("rate", "large-4", "mod_proxy", at_least=1.8),
]


def fail(why: str) -> None:
    raise SystemExit(f"bench: {why}")


def configured(build: pathlib.Path, variable: str) -> str:
    """A value that configure found, from the build's Makefile."""
    try:
        lines = (build / "Makefile").read_text().splitlines()
    except OSError as error:
        fail(f"{build} is not configured: {error}")
    for line in lines:
        name, separator, value = line.partition(" = ")
        if separator and name == variable:
            return value
    fail(f"{build}/Makefile has no {variable}")


def servers_account() -> tuple[str, str]:
    """Started by root, the servers all serve as the same unprivileged user; else as whoever starts them."""
    if os.geteuid() != 0:
        return "", ""
    for name in ("www-data", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return user.pw_name, grp.getgrgid(user.pw_gid).gr_name
    fail("neither www-data nor nobody is a user here")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def stop(process: subprocess.Popen) -> None:
    """Ends a server and all that it started: each was given a process group of its own."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def start(stack: contextlib.ExitStack, name: str, command: list[str], directory: pathlib.Path,
          ready: Callable[[], bool]) -> subprocess.Popen:
    """Starts a server that ends with the stack, and waits until it is ready."""
    log = directory / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    stack.callback(stop, process)
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            logs = "".join(path.read_text(errors="replace") for path in sorted(directory.glob("*.log")))
            fail(f"{name} did not start: {' '.join(command)}\n{logs}")
        time.sleep(0.05)
    return process


def socket_answers(path: pathlib.Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def fetch(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def answers(port: int) -> bool:
    try:
        return fetch(port, "/ux")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def start_backend(stack: contextlib.ExitStack, directory: pathlib.Path, build: pathlib.Path,
                  threads: int) -> pathlib.Path:
    path = directory / "app.sock"
    command = [str(build / "backend/udsbackend"), "--socket", str(path), "--mode", "0666", "--threads", str(threads)]
    start(stack, "udsbackend", command, directory, lambda: socket_answers(path))
    return path


def process_stats() -> Iterator[tuple[int, int, int]]:
    """(process, its parent, ticks of processor time: its own and those of its children that have ended); proc(5)."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = pathlib.Path(entry.path, "stat").read_text()
                # The name in parentheses may hold anything; the third field, the state, follows the last one.
                fields = stat.rpartition(")")[2].split()
                yield int(entry.name), int(fields[1]), sum(int(ticks) for ticks in fields[11:15])


def cpu_seconds(root: int) -> float:
    """Processor time of a process and all its descendants."""
    children: dict[int, list[int]] = {}
    ticks_of = {}
    for process, parent, ticks in process_stats():
        children.setdefault(parent, []).append(process)
        ticks_of[process] = ticks
    total, family = 0, [root]
    while family:
        process = family.pop()
        total += ticks_of.get(process, 0)
        family += children.get(process, [])
    return total / TICKS_PER_SECOND


def load(port: int, case: Case, seconds: int) -> dict:
    """Runs wrk once; what report.lua says."""
    command = ["wrk", "-t1", f"-c{case.clients}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "report.lua"),
               f"http://127.0.0.1:{port}{case.path}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 30,
                          check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    fail(f"{' '.join(command)} gave no result:\n{done.stdout}{done.stderr}")


def measure(site: Site, process: subprocess.Popen, case: Case, seconds: int) -> Run:
    before = cpu_seconds(process.pid)
    result = load(site.port, case, seconds)
    used = cpu_seconds(process.pid) - before
    requests = result["requests"]
    if requests == 0:
        fail(f"not one answer through port {site.port} in {seconds} s, case {case.name}")
    return Run(rate=requests / (result["microseconds"] / 1e6), cpu=used * 1e6 / requests, p50=result["p50"] / 1e3,
               p99=result["p99"] / 1e3, errors=result["errors"])


def check_answers(sites: dict[str, Site], cases: list[Case]) -> None:
    """All proxies must give the same good answer before their speed means anything."""
    for case in cases:
        expected = None
        for name, site in sites.items():
            status, body = fetch(site.port, case.path)
            if status != 200 or not body:
                fail(f"{name} answers {case.path} with {status} and {len(body)} bytes")
            if expected is not None and body != expected:
                fail(f"{name} answers {case.path} with another body than the others")
            expected = body


def run_all(sites: dict[str, Site], processes: dict[str, subprocess.Popen], cases: list[Case], rounds: int,
            seconds: int) -> dict[str, dict[str, list[Run]]]:
    """The runs by case and proxy."""
    runs = {case.name: {name: [] for name in sites} for case in cases}
    for case in cases:
        print(f"  {case.says}: ", end="", flush=True)
        for site in sites.values():
            load(site.port, case, WARM_UP_SECONDS)
        for _ in range(rounds):
            for name, site in sites.items():
                runs[case.name][name].append(measure(site, processes[name], case, seconds))
            print(".", end="", flush=True)
        print()
    return runs


def medians(runs: dict[str, dict[str, list[Run]]]) -> dict[str, dict[str, dict[str, float]]]:
    return {
        case: {
            name: {field.name: statistics.median(getattr(run, field.name) for run in turns)
                   for field in dataclasses.fields(Run) if field.name != "errors"}
            | {"errors": sum(run.errors for run in turns)}
            for name, turns in by_proxy.items()
        }
        for case, by_proxy in runs.items()
    }


def ratios(runs: dict[str, dict[str, list[Run]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Ours divided by theirs, by case, measure and proxy: the median over the rounds of the ratio within each round.

    Turns of one round are seconds apart, so whatever slows the machine for longer than that cancels out; a ratio of
    the medians would keep it. Without ours in the run there is nothing to compare."""
    return {
        case: {
            measure.name: {name: statistics.median(ratio_of(measure, ours, theirs)
                                                   for ours, theirs in zip(by_proxy[OURS], turns))
                           for name, turns in by_proxy.items() if name != OURS}
            for measure in MEASURES if measure.compared
        }
        for case, by_proxy in runs.items() if OURS in by_proxy
    }


def ratio_of(measure: Measure, ours: Run, theirs: Run) -> float:
    # A short turn may use less processor time than the kernel's clock resolves.
    divisor = getattr(theirs, measure.name)
    return getattr(ours, measure.name) / divisor if divisor else float("inf")


def verdicts(compared: dict[str, dict[str, dict[str, float]]]) -> list[dict]:
    """The requirements that this run can judge."""
    judged = []
    for requirement in REQUIREMENTS:
        ratio = compared.get(requirement.case, {}).get(requirement.measure, {}).get(requirement.against)
        if ratio is not None:
            passed = ((requirement.at_least is None or ratio >= requirement.at_least)
                      and (requirement.at_most is None or ratio <= requirement.at_most))
            judged.append(dataclasses.asdict(requirement) | {"ratio": ratio, "passed": passed})
    return judged


def says(measure_name: str) -> str:
    return next(measure.says for measure in MEASURES if measure.name == measure_name)


def print_results(cases: list[Case], results: dict, runs: dict) -> None:
    header = "".join(f"{measure.says:>17}" for measure in MEASURES)
    for case in cases:
        print(f"\n{case.says:<22}{header}{'spread':>10}{'errors':>9}")
        for name, values in results[case.name].items():
            rates = [run.rate for run in runs[case.name][name]]
            spread = (max(rates) - min(rates)) / values["rate"]
            cells = "".join(f"{values[measure.name]:>17,.{measure.digits}f}" for measure in MEASURES)
            print(f"  {name:<20}{cells}{spread:>10.0%}{values['errors']:>9}")


def print_ratios(cases: list[Case], compared: dict, judged: list[dict]) -> None:
    if not compared:
        return
    others = [proxy.name for proxy in PROXIES if proxy.name != OURS]
    print(f"\n{OURS + ' against':<40}" + "".join(f"{name:>12}" for name in others))
    for case in cases:
        for measure_name, by_proxy in compared.get(case.name, {}).items():
            cells = "".join(f"{by_proxy[name]:>11.2f}×" if name in by_proxy else f"{'–':>12}" for name in others)
            print(f"  {case.says + ', ' + says(measure_name):<38}{cells}")
    print()
    for verdict in judged:
        case = next(case for case in CASES if case.name == verdict["case"])
        bound = f"≥ {verdict['at_least']}" if verdict["at_least"] is not None else f"≤ {verdict['at_most']}"
        word = "PASS" if verdict["passed"] else "FAIL"
        ratio = f"{verdict['ratio']:.2f} × {verdict['against']}"
        print(f"  {word}  {case.says}: {says(verdict['measure'])} {ratio}, to be {bound}")


def versions(sites: dict[str, Site]) -> dict[str, str]:
    found = {}
    for proxy in PROXIES:
        if proxy.name in sites:
            done = subprocess.run(proxy.version(sites[proxy.name]), capture_output=True, text=True, check=False)
            found[proxy.name] = (done.stdout + done.stderr).strip().splitlines()[0]
    return found


def write_json(path: str, options: argparse.Namespace, found_versions: dict, runs: dict, results: dict, compared: dict,
               judged: list[dict]) -> None:
    report = {
        "machine": {"processors": os.cpu_count(), "kernel": platform.release(), "architecture": platform.machine()},
        "versions": found_versions,
        "settings": {"rounds": options.rounds, "seconds": options.seconds, "backend_threads": options.backend_threads},
        "units": {measure.name: measure.says for measure in MEASURES},
        "cases": {case.name: dataclasses.asdict(case) for case in CASES if case.name in results},
        "results": results,
        "runs": {case: {name: [dataclasses.asdict(run) for run in turns] for name, turns in by_proxy.items()}
                 for case, by_proxy in runs.items()},
        "ratios": compared,
        "requirements": judged,
    }
    pathlib.Path(path).write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def selection(kind: str, known: list, names: str | None) -> list:
    """The rows of a table that were asked for, in the table's order."""
    if names is None:
        return known
    asked = names.split(",")
    unknown = set(asked) - {row.name for row in known}
    if unknown:
        fail(f"no such {kind}: {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in known)}")
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
    parser.add_argument("--quick", action="store_true", help="one round of one second: shows that it works, no figures")
    parser.add_argument("--assert", dest="asserting", action="store_true", help="status 1 when a requirement is missed")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured there")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 3)
    return options


def main() -> int:
    options = arguments()
    os.environ["PATH"] += ":/usr/sbin"  # where Debian has nginx and haproxy, and other users than root don't look
    cases = selection("case", CASES, options.cases)
    proxies = selection("proxy", PROXIES, options.only)
    missing = [program for program in ("wrk", "nginx", "haproxy") if shutil.which(program) is None]
    if missing:
        fail(f"not found: {', '.join(missing)} (on Debian: scripts/install-deps.sh bench)")
    build = pathlib.Path(options.build).resolve()
    httpd, httpd_modules = configured(build, "HTTPD_PROGRAM"), configured(build, "HTTPD_MODULEDIR")
    user, group = servers_account()
    # So that the servers and the directory are gone after a SIGTERM as well.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))

    with contextlib.ExitStack() as stack:
        # In /tmp: a socket path has room for 107 bytes, and the servers' user must reach it.
        top = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="udsroute-bench.", dir="/tmp")))
        top.chmod(0o755)
        backend_socket = start_backend(stack, top, build, options.backend_threads)
        sites, processes = {}, {}
        for proxy in proxies:
            directory = top / proxy.name
            directory.mkdir()
            site = Site(directory, free_port(), backend_socket, build, httpd, httpd_modules, user, group)
            command = proxy.configure(site)
            sites[proxy.name] = site
            processes[proxy.name] = start(stack, proxy.name, command, directory, lambda port=site.port: answers(port))
        found_versions = versions(sites)
        check_answers(sites, cases)
        print(f"{os.cpu_count()} processors, Linux {platform.release()}")
        print(f"{options.rounds} rounds of {options.seconds} s")
        for name, version in found_versions.items():
            print(f"  {name:<14}{version}")
        runs = run_all(sites, processes, cases, options.rounds, options.seconds)

    results = medians(runs)
    compared = ratios(runs)
    judged = verdicts(compared)
    print_results(cases, results, runs)
    print_ratios(cases, compared, judged)
    if options.json:
        write_json(options.json, options, found_versions, runs, results, compared, judged)
    errors = sum(values["errors"] for by_proxy in results.values() for values in by_proxy.values())
    if errors:
        print(f"bench: {errors} requests failed: the figures mean nothing", file=sys.stderr)
        return 1
    if options.asserting and not all(verdict["passed"] for verdict in judged):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
