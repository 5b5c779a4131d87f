# SPDX-License-Identifier: Apache-2.0
"""For the tests of the status: its pages, read and written."""
import html.parser
import json
import re
import urllib.parse

from udr_client import fetch

PAGE = "/udsroute-status"
FORM = "application/x-www-form-urlencoded"

# Elements that have no end tag (HTML, 13.1.2).
VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())


def status_section(actions=False, more=""):
    switch = "UDSStatusActions On\n" if actions else ""
    return f"<Location {PAGE}>\nSetHandler udsroute-status\n{switch}{more}</Location>\nUDSRoute {PAGE} !\n"


def read(httpd, format_name=None, fields=()):
    """The response, on a connection of its own."""
    target = f"{PAGE}?format={format_name}" if format_name else PAGE
    return fetch(httpd.port, target, fields=[*fields, ("Connection", "close")])


def read_members(httpd):
    """All members, by the ends of their sockets' names."""
    balancers = json.loads(read(httpd, "json").body)["balancers"]
    told = [member for balancer in balancers for member in balancer["members"]]
    return {re.sub(r".*/|\.sock$", "", member["socket"]): member for member in told}


class Document(html.parser.HTMLParser):
    """A page: that it is well-formed, and what is in it."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open = []
        self.elements = []  # (name, attributes)
        self.texts = []  # (of which element, text)
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> within {self.open}"
        self.open.pop()

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] == "wbr":  # a text may be broken there, but it is one
            self.elements.pop()
            data = self.texts.pop()[1] + data
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


class Forms:
    """The forms of the page, as of now."""

    def __init__(self, httpd):
        self.httpd = httpd
        self.document = Document(read(httpd).text)
        self.nonces = {one["value"] for one in self.document.all("input") if one.get("name") == "nonce"}
        self.identities = self._identities()

    def _identities(self):
        """Of the members, by the ends of their sockets' names."""
        found = {}
        identity = None
        for tag, attributes in self.document.elements:
            if attributes.get("name") == "member":
                identity = attributes["value"]
            elif tag == "button" and identity and "aria-label" in attributes:
                found[attributes["aria-label"].split(" ", 1)[1].removesuffix(".sock")] = identity
        return found

    @property
    def nonce(self):
        (nonce,) = self.nonces
        return nonce

    def send(self, name, action, fields=(), client=None, **values):
        """Sends a form as a browser would, on a connection of its own or the client's. name: of the member, or its
        identity; values: replaces fields, None: leaves them out."""
        form = {"nonce": self.nonce, "member": self.identities.get(name, name), "action": action, **values}
        body = urllib.parse.urlencode({name: value for name, value in form.items() if value is not None})
        if client:
            return client.fetch(PAGE, "POST", [("Content-Type", FORM), *fields], body.encode())
        return post(self.httpd, body, fields)


def post(httpd, body, fields=(), content_type=FORM):
    headers = [("Connection", "close"), *fields]
    if content_type:
        headers.append(("Content-Type", content_type))
    return fetch(httpd.port, PAGE, "POST", headers, body.encode())
