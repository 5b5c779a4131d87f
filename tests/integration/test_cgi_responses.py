# SPDX-License-Identifier: Apache-2.0
"""Status and fields of what CGI programs answer, as a client sees them."""
import pytest
import udr_cgi
from udr_client import fetch


class Program:
    """Answers every request with what the test says, and closes."""

    def __init__(self, sandbox, protocol):
        self.protocol = protocol
        self.response = b""
        self.server = sandbox.scripted(protocol, self._behave, protocol=protocol)

    def _behave(self, exchange):
        exchange.send(udr_cgi.wrap(self.protocol, self.response))
        exchange.close()


@pytest.fixture(name="program", params=udr_cgi.PROTOCOLS, scope="module")
def _program(request, module_sandbox):
    return Program(module_sandbox, request.param)


@pytest.fixture(name="httpd", scope="module")
def _httpd(module_sandbox, program):
    return module_sandbox.httpd(f"UDSRoute / unix:{program.server.address}|{program.protocol}://localhost/")


@pytest.mark.parametrize(
    "head,status,reason",
    [
        (b"A: b\r\n", 200, "OK"),
        (b"Location: http://elsewhere/\r\n", 302, "Found"),
        (b"Status: 404\r\n", 404, "Not Found"),
        (b"Status: 404 Gone Fishing\r\n", 404, "Gone Fishing"),
        (b"Status: 299\r\n", 299, ""),
        (b"HTTP/1.1 404 Gone Fishing\r\nStatus: 200 OK\r\n", 404, "Gone Fishing"),
        (b"HTTP/2.0 503\r\n", 503, "Service Unavailable"),
    ],
    ids=["none", "location", "code", "reason", "unknown-code", "line", "line-without-reason"],
)
def test_status(httpd, program, head, status, reason):
    """The field Status ends here, and httpd says what the program leaves out. Transfer-Encoding counts for nothing."""
    program.response = head + b"Content-Type: text/x-odd\r\nTransfer-Encoding: chunked\r\n\r\nbody"
    response = fetch(httpd.port, "/x")
    assert (response.status, response.reason) == (status, reason)
    assert response.body == b"body"
    assert response.get("Content-Type") == "text/x-odd"
    assert response.get("Status") is None
