# SPDX-License-Identifier: Apache-2.0
"""The scripted server for FastCGI, uwsgi and SCGI: answers exactly what a test tells it to, however wrong that is."""
import udr_cgi
from scripted_server import Exchange, ScriptedServer


class CgiExchange(Exchange):
    """One request and the means to answer it."""

    @property
    def protocol(self):
        return self.connection.server.protocol

    def respond(self, status=200, body=b"", fields=()):
        """A well-formed response; the connection stays open only if FastCGI's request has asked for that."""
        body = body.encode() if isinstance(body, str) else body
        response = udr_cgi.response_bytes(status, b"" if self.request.method == "HEAD" else body, fields)
        sent = self.send(udr_cgi.wrap(self.protocol, response))
        if not getattr(self.request, "keeps", False):
            self.close()
        return sent

    def read_body(self):
        udr_cgi.read_body(self.protocol, self.connection.stream, self.request)
        return self.request.body


class CgiServer(ScriptedServer):
    """protocol: one of udr_cgi.PROTOCOLS. The other options: ScriptedServer."""

    exchange_class = CgiExchange

    def __init__(self, address, behaviour, protocol, **options):
        self.protocol = protocol
        super().__init__(address, behaviour, **options)

    def read_head(self, stream):
        return udr_cgi.read_head(self.protocol, stream)
