# SPDX-License-Identifier: Apache-2.0
"""What every client of the soak test knows: where the servers are, how long to go on, where to say what went wrong."""
import asyncio
import collections
import itertools
import time

from soak_client import Connection, Wrong


class World:
    """One run, shared by all clients."""

    def __init__(self, site, trace=False):
        self.site = site
        self.trace = trace  # print each close of a kept connection
        self.counts = collections.Counter()
        self.failures = []
        self.is_over = False
        self.restarts = []  # time.monotonic() of each graceful restart
        self._tokens = itertools.count(1)

    @property
    def port(self):
        return self.site.httpd.port

    @property
    def tls_port(self):
        return self.site.httpd.tls_port

    def token(self, kind):
        """A word that no other request has."""
        return f"{kind}-{next(self._tokens)}"

    def count(self, what, number=1):
        self.counts[what] += number

    def answered(self, seconds):
        self.counts["answers"] += 1
        self.counts["slowest answer, ms"] = max(self.counts["slowest answer, ms"], int(seconds * 1000))

    def fail(self, kind, problem):
        self.failures.append(f"{time.strftime('%H:%M:%S')} {kind}: {problem}")

    def restarted_within(self, seconds):
        """Whether a graceful restart was asked for so recently."""
        return bool(self.restarts) and time.monotonic() - self.restarts[-1] < seconds

    async def open(self, tls=False, **options):
        try:
            return await asyncio.wait_for(Connection.open(self.tls_port if tls else self.port, tls, **options), 30)
        except asyncio.TimeoutError:
            raise Wrong("no connection within 30 s") from None
        except OSError as problem:
            raise Wrong(f"no connection: {problem!r}") from None
