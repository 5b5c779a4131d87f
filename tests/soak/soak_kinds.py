# SPDX-License-Identifier: Apache-2.0
"""The table of the kinds of clients. Each is a bounded conversation with httpd that judges every answer byte by byte;
the supervisor has several of each at work, one conversation after the other, until the time is up.

A kind is `async def kind(world, dice)`: it raises Wrong when an answer is not what it has to be. dice is a
random.Random of its own."""
import dataclasses

import soak_misfits
import soak_steady
import soak_tunnels
import soak_uploads
import udr_environment


@dataclasses.dataclass(frozen=True)
class Kind:
    """How many of a kind are at work at the same time, and how long one rests between two conversations."""

    run: object
    clients: int
    rest: float = 0.0
    mpms: tuple = udr_environment.MPMS


KINDS = {kind.run.__name__: kind for kind in (
    Kind(soak_steady.short, 6), Kind(soak_steady.short_tls, 3), Kind(soak_steady.mixed, 8), Kind(soak_steady.slow, 8),
    Kind(soak_steady.parked, 1, 12.0, ("event",)), Kind(soak_steady.turns, 10), Kind(soak_steady.failures, 3, 0.2),
    Kind(soak_steady.unsteady_member, 4), Kind(soak_steady.crowd, 6, 0.1), Kind(soak_steady.large, 3),
    Kind(soak_steady.numbered_bytes, 1), Kind(soak_steady.events, 4), Kind(soak_steady.http10, 2, 0.05),
    Kind(soak_steady.few_requests, 2), Kind(soak_steady.pipelined, 4), Kind(soak_steady.idle, 8),
    Kind(soak_steady.http2, 2, 0.2, ("event", "worker")),
    Kind(soak_uploads.uploads, 2), Kind(soak_uploads.slow_uploads, 4), Kind(soak_uploads.refused_uploads, 2, 0.1),
    Kind(soak_uploads.slow_heads, 3),
    Kind(soak_tunnels.upgraded, 8), Kind(soak_tunnels.lasting_tunnel, 3),
    Kind(soak_misfits.aborter, 6, 0.02), Kind(soak_misfits.half_closer, 2, 0.05), Kind(soak_misfits.nonsense, 1, 0.1),
    Kind(soak_misfits.silent_caller, 3), Kind(soak_misfits.flooder, 1, 8.0, ("event",)))}
