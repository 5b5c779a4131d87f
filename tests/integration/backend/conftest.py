# SPDX-License-Identifier: Apache-2.0
"""Fixtures for the tests of udsbackend alone, without httpd."""
import pathlib
import resource
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import udsb_program  # pylint: disable=wrong-import-position

# Thousands of connections at once have two ends, and one is here.
_, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))


@pytest.fixture
def directory():
    """A directory with a short path that everybody may enter. At the end no socket may be left in it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="udsb-"))
    path.chmod(0o755)
    yield path
    left = udsb_program.sockets_in(path)
    shutil.rmtree(path)
    assert not left, f"left in the directory of the sockets: {left}"


@pytest.fixture
def start(directory):  # pylint: disable=redefined-outer-name
    """start("--option", …) starts udsbackend; at the end it is stopped, and what it leaves is an error."""
    backends = []

    def start_backend(*arguments, **options):
        backend = udsb_program.Backend(directory, *arguments, **options)
        backends.append(backend)
        return backend

    yield start_backend
    problems = []
    for backend in backends:
        try:
            backend.close()
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, "\n".join(problems)


@pytest.fixture
def backend(start):  # pylint: disable=redefined-outer-name
    """A udsbackend without any options."""
    return start()
