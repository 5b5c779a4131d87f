# SPDX-License-Identifier: Apache-2.0
"""What every client of the soak test knows: where the servers are, how long to go on, where to say what went wrong."""
import asyncio
import collections
import itertools
import time
import weakref

from soak_client import Connection, Wrong


class World:
    """One run, shared by all clients."""

    def __init__(self, site, trace=False):
        self.site = site
        self.trace = trace  # print each close of a kept connection
        self.counts = collections.Counter()
        self.failures = []
        self.is_over = False
        self.restarts = []  # time.monotonic() of each graceful restart, begun and ended
        self._tokens = itertools.count(1)
        self._connections = weakref.WeakSet()

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
        return bool(self.restarts) and time.monotonic() - self.restarts[-1][1] < seconds

    def lost_by_a_restart(self, response):
        """Whether this is what prefork answers, with or without a module of ours, when a graceful restart's signal
        interrupts its reading of a request."""
        is_lost = self.site.mpm == "prefork" and response.status == 400 and self.restarted_within(10)
        if is_lost:
            self.count("request interrupted by a restart")
        return is_lost

    async def pause(self, seconds):
        """Sleeps for so long, or to the end of the load."""
        until = time.monotonic() + seconds
        while not self.is_over and time.monotonic() < until:
            await asyncio.sleep(min(0.2, max(0.0, until - time.monotonic())))

    async def hang_up(self):
        """Ends what is left of connections that were closed: asyncio leaves that half done when its loop ends, and
        waits half a minute for a TLS client's last word."""
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0.2)

    async def open(self, tls=False, **options):
        try:
            port = self.tls_port if tls else self.port
            connection = await asyncio.wait_for(Connection.open(port, tls, **options), 30)
            self._connections.add(connection)
            return connection
        except asyncio.TimeoutError:
            raise Wrong("no connection within 30 s") from None
        except OSError as problem:
            raise Wrong(f"no connection: {problem!r}") from None
