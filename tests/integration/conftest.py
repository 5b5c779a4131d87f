# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests. README.md says how they are meant to be used."""
import pytest

import udr_environment
import udr_unsteady
from udr_loops import Gate
from udr_sandbox import Sandbox

# The sandboxes that are open: their httpds' error logs are examined around every test.
_open_sandboxes = []


def pytest_report_header(config):  # pylint: disable=unused-argument
    sanitizer = "with sanitizers" if udr_environment.sanitized() else "without sanitizers"
    length = ", campaign" if udr_environment.is_campaign() else ""
    return (
        f"httpd: {udr_environment.httpd_program()}, {udr_environment.mpm()}, {sanitizer}{length}; "
        f"build: {udr_environment.build_directory()}"
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "campaign: has a full length, too (make campaign)")
    if udr_environment.is_campaign():
        config.option.markexpr = config.option.markexpr or "campaign"
        config.option.reportchars += "P"  # what those that have passed have printed, too


def pytest_collection_modifyitems(config, items):
    udr_unsteady.choose(config, items)


def pytest_runtest_logreport(report):
    udr_unsteady.take(report)


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):  # pytest-xdist's workers report to one that runs no test
        udr_unsteady.write()


def _sandbox():
    sandbox = Sandbox()
    _open_sandboxes.append(sandbox)
    yield sandbox
    _open_sandboxes.remove(sandbox)
    sandbox.close()


@pytest.fixture(scope="module")
def module_sandbox():
    """A sandbox for all tests of a file: for servers that are started once."""
    yield from _sandbox()


@pytest.fixture
def sandbox():
    """A sandbox for one test."""
    yield from _sandbox()


@pytest.fixture(params=udr_environment.RUNNERS.values(), ids=udr_environment.RUNNERS.keys())
def runner(request):
    """The MPM, and what goes in front of the configuration."""
    return request.param


@pytest.fixture
def gate():
    """Where a member's answers wait until the test lets them go, at its end at the latest."""
    gate_ = Gate()
    yield gate_
    gate_.open()


@pytest.fixture(autouse=True)
def _error_logs():
    """Every test answers for what httpd wrote into its error log meanwhile."""
    for sandbox in _open_sandboxes:
        for httpd in sandbox.httpds:
            httpd.log.begin()
    yield
    problems = []
    for sandbox in _open_sandboxes:
        for httpd in sandbox.httpds:
            try:
                httpd.log.verify()
            except AssertionError as problem:
                problems.append(str(problem))
    assert not problems, "\n".join(problems)
