# SPDX-License-Identifier: Apache-2.0
"""With UDR_SANITIZE=tsan (a build with --enable-debug --enable-tsan) httpd runs under the thread sanitizer, as in the
soak test."""
import os
import sys

import pytest

import udr_environment

sys.path.insert(0, str(udr_environment.SOURCE_ROOT / "tests/soak"))

import soak_tsan  # noqa: E402  (found by the path above)

# Before anything asks for the program to start.
_sanitizer = soak_tsan.Tsan(udr_environment.httpd_program()) if soak_tsan.is_wanted() else None
if _sanitizer:
    os.environ["HTTPD"] = str(_sanitizer.program)
    udr_environment.httpd_program.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def _no_data_races():
    """What the sanitizer has reported of the module's own code fails the last test."""
    yield
    if _sanitizer:
        reports = [report for report in _sanitizer.reports() if soak_tsan.is_own(report)]
        _sanitizer.remove()
        assert not reports, "\n\n".join(reports)
