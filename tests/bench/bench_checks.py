#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What health checks cost, and whether they are on time: many members, half of which hang.

    make bench-checks
    make bench-checks BENCHFLAGS='--members 1000 --seconds 30'

Exits with 1 when a requirement is missed: less than 2 % of a core for 256 members each second, and no check more than
a quarter of its interval late."""

import argparse
import asyncio
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

import udr_environment  # noqa: E402  (lies with the integration tests)
from udr_sandbox import Sandbox  # noqa: E402

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
CPU_LIMIT = 2.0  # % of a core
LATE_LIMIT = 0.25  # of the interval


class Members:
    """Sockets, every other one of which takes connections and says nothing."""

    def __init__(self, sandbox, count):
        self.paths = [sandbox.socket(str(number)) for number in range(count)]
        self.arrivals = [[] for _ in self.paths]
        self._held = set()

    async def start(self):
        for number, path in enumerate(self.paths):
            await asyncio.start_unix_server(self._serve(number), path)
            os.chmod(path, 0o666)

    def _serve(self, number):
        async def serve(reader, writer):
            self.arrivals[number].append(time.monotonic())
            self._held.add(writer)
            try:
                await reader.readuntil(b"\r\n\r\n")
                if number % 2 == 0:
                    writer.write(ANSWER)
                await reader.read()  # until it is closed
            except (OSError, asyncio.IncompleteReadError):
                pass
            self._held.discard(writer)
            writer.close()

        return serve

    def forget(self):
        for arrivals in self.arrivals:
            arrivals.clear()


async def measure(sandbox, options):
    members = Members(sandbox, options.members)
    await members.start()
    lines = ["<UDSBalancer app>"]
    lines += [f"UDSMember unix:{path}|http://localhost/" for path in members.paths]
    lines += [f"UDSSet hcmethod=GET hcuri=/healthz hcinterval={options.interval}s"]
    lines += ["</UDSBalancer>", "UDSRoute / balancer://app/"]
    httpd = await asyncio.to_thread(
        sandbox.httpd, "\n".join(lines), mpm=options.mpm, children=2, udsroute_log_level="crit"
    )
    await asyncio.sleep(2 * options.interval + 1)
    members.forget()
    before = httpd.cpu_seconds()
    begun = time.monotonic()
    await asyncio.sleep(options.seconds)
    took = time.monotonic() - begun
    cpu = 100 * (httpd.cpu_seconds() - before) / took
    gaps = [
        later - earlier
        for arrivals in members.arrivals
        for earlier, later in zip(arrivals, arrivals[1:])
    ]  # fmt: skip
    missing = [number for number, arrivals in enumerate(members.arrivals) if len(arrivals) < options.seconds // options.interval - 1]
    late = max(abs(gap - options.interval) for gap in gaps)
    print(
        f"{options.members} members each {options.interval} s, half of which hang: {len(gaps)} gaps between checks, "
        f"median {statistics.median(gaps) * 1000:.1f} ms, {late * 1000:.1f} ms off at worst; "
        f"{len(missing)} members too seldom; {cpu:.2f} % of a core"
    )
    await asyncio.to_thread(httpd.stop)
    sandbox.httpds.clear()
    sandbox._owned.clear()  # pylint: disable=protected-access
    return not missing and late < LATE_LIMIT * options.interval and cpu < CPU_LIMIT


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=256)
    parser.add_argument("--interval", type=int, default=1, help="seconds")
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--mpm", default=udr_environment.mpm())
    options = parser.parse_args()
    sandbox = Sandbox()
    try:
        is_good = asyncio.run(measure(sandbox, options))
    finally:
        sandbox.close()
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
