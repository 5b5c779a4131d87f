# SPDX-License-Identifier: Apache-2.0
"""SetHandler udsroute-status in three formats: which is sent, that each is well-formed, and that names which a
configuration may hold break none of them."""
import json
import re
import subprocess

import pytest

import udr_environment
from udr_balancers import balancer, target
from udr_client import Client, fetch
from udr_loops import Gate
from udr_processes import wait_until
from udr_status import PAGE, Document, read, status_section

TYPES = {"html": "text/html; charset=utf-8", "json": "application/json"}
TYPES["prometheus"] = "text/plain; version=0.0.4; charset=utf-8"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
PROMETHEUS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
PROMETHEUS += "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
FAMILIES = {
    "udsroute_up": "gauge",
    "udsroute_requests_total": "counter",
    "udsroute_in_flight": "gauge",
    "udsroute_queued": "gauge",
    "udsroute_request_duration_seconds": "histogram",
    "udsroute_bytes_total": "counter",
    "udsroute_retries_total": "counter",
    "udsroute_held_total": "counter",
    "udsroute_parked": "gauge",
    "udsroute_tunnels": "gauge",
    "udsroute_health_checks_total": "counter",
    "udsroute_connections": "gauge",
}
ODD = ['q"uote', "back\\slash", "K\u00f6ln-\u20ac-\U0001f418", "<b>&amp;<script>alert(1)</script>", "it's"]


def promtool(text):
    """promtool has nothing to say of it."""
    command = [udr_environment.program("promtool"), "check", "metrics"]
    environment = udr_environment.clean_environment()
    done = subprocess.run(command, input=text, capture_output=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def samples(text):
    """(name, labels) -> value; labels as a frozen set of pairs."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
            pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")
            assert ",".join(f'{key}="{text}"' for key, text in pairs) == (labels or "")
            key = (name, frozenset((key, re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), text)) for key, text in pairs))
            assert key not in found, f"twice: {line}"
            found[key] = float(value)
    return found


@pytest.fixture(name="httpd", scope="module")
def _httpd(module_sandbox):
    module_sandbox.scripted("a", lambda exchange: exchange.respond(body=b"x" * 100))
    config = status_section() + balancer(module_sandbox, {"a": "route=r1", "b": "status=+D"})
    return module_sandbox.httpd(config)


# --- which one --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accept,name",
    [(None, "html"), (BROWSER, "html"), ("*/*", "html"), ("application/json", "json"), ("image/png", "html"),
     (PROMETHEUS, "prometheus"), ("text/plain;version=0.0.4", "prometheus"), ("application/openmetrics-text", "prometheus"),
     ("application/json;q=0.5, text/html;q=0.4", "json")],
)  # fmt: skip
def test_format_by_accept(httpd, accept, name):
    response = read(httpd, fields=[("Accept", accept)] if accept else [])
    assert (response.status, response.get("Content-Type")) == (200, TYPES[name])
    assert response.get("Vary") == "Accept"


@pytest.mark.parametrize("name", TYPES)
def test_format_by_query(httpd, name):
    """It goes before what is accepted, wherever it stands in the query."""
    for query in (f"format={name}", f"x=1&format={name}&y=2"):
        response = fetch(httpd.port, f"{PAGE}?{query}", fields=[("Accept", BROWSER)])
        assert (response.status, response.get("Content-Type")) == (200, TYPES[name])


@pytest.mark.parametrize("query", ["format=xml", "format=JSON", "format=jsonx"])
def test_unknown_format(httpd, query):
    response = fetch(httpd.port, f"{PAGE}?{query}")
    assert (response.status, response.get("Content-Type")) == (400, "text/plain; charset=utf-8")
    assert response.text == "format: html, json or prometheus\n"


@pytest.mark.parametrize("name", TYPES)
def test_nobody_keeps_it(httpd, name):
    """What HEAD says is what GET says."""
    for method in ("GET", "HEAD"):
        response = fetch(httpd.port, f"{PAGE}?format={name}", method)
        assert (response.status, bool(response.body)) == (200, method == "GET")
        assert response.get("Content-Type") == TYPES[name]
        assert response.get("Cache-Control") == "no-store"
        assert response.get("X-Content-Type-Options") == "nosniff"
        assert response.get("Referrer-Policy") == "no-referrer"


# --- the page ---------------------------------------------------------------------------------------------------------


def test_policy(httpd):
    """Nothing inline runs but what bears this response's number; each has another."""
    nonces = set()
    for _ in range(2):
        response = read(httpd, "html")
        policy = dict(one.strip().split(" ", 1) for one in response.get("Content-Security-Policy").split(";"))
        nonce = re.fullmatch(r"'nonce-([0-9a-f]{32})'", policy["script-src"])[1]
        nonces.add(nonce)
        assert policy == {
            "default-src": "'none'", "style-src": f"'nonce-{nonce}'", "script-src": f"'nonce-{nonce}'",
            "img-src": "data:", "connect-src": "'self'", "form-action": "'none'", "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }  # fmt: skip
        document = Document(response.text)
        assert [one["nonce"] for one in document.all("style") + document.all("script")] == [nonce, nonce]
    assert len(nonces) == 2


def test_well_formed(httpd):
    response = read(httpd, "html")
    text = response.body.decode("utf-8")
    document = Document(text)
    assert text.startswith("<!DOCTYPE html>\n") and document.all("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in document.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attribute in ("style", "src", "onclick", "onload"):
        assert not [name for name, attributes in document.elements if attribute in attributes]
    assert [one["href"] for one in document.all("a")] == ["?format=json", "?format=prometheus"]
    assert document.all("caption") and all("scope" in one for one in document.all("th"))
    # Without a script it loads itself anew.
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in text


def test_no_forms_without_actions(httpd):
    document = Document(read(httpd, "html").text)
    assert not document.all("form") and not document.all("input")
    assert [one["id"] for one in document.all("button")] == ["pause"]


def test_plots(sandbox):
    """What members did in the last minutes; a graceful restart does not interrupt it."""
    sandbox.scripted("a", lambda exchange: exchange.respond(body=b"x"))
    httpd = sandbox.httpd(status_section() + balancer(sandbox, {"a": "", "b": "status=+D"}), children=2)

    def highest():
        """Requests per second, of each member."""
        text = read(httpd, "html").text
        return [float(one) for one in re.findall(r"<title>Requests per second[^<]* at most ([\d.]+)<", text)]

    def after_another_request():
        assert fetch(httpd.port, "/x", fields=[("Connection", "close")]).text == "x"
        return highest()

    assert highest() == [0, 0]  # before anything: a sample may be taken at any moment
    wait_until(lambda: after_another_request()[0] > 0, "the first sample", 60)
    httpd.renew()
    rates = highest()
    assert rates[0] > 0 and rates[1] == 0
    paths = re.findall(r'<path class="line" d="M\d+ [\d.]+h', read(httpd, "html").text)
    assert len(paths) == 3  # rate and latency of the one, the other has no latency


def test_without_any_route(sandbox):
    httpd = sandbox.httpd(status_section().replace(f"UDSRoute {PAGE} !\n", ""))
    text = read(httpd, "html").text
    Document(text)
    assert "No members" in text
    promtool(read(httpd, "prometheus").body)


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_are_what_was_promised(httpd):
    text = read(httpd, "prometheus").text
    promtool(text.encode())
    assert dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)) == FAMILIES
    assert set(re.findall(r"^# HELP (\S+) \S", text, re.M)) == set(FAMILIES)
    found = samples(text)
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in found} == set(FAMILIES)
    labels = lambda family: {frozenset(key for key, _ in pairs) for name, pairs in found if name == family}
    values = lambda family, label: {value for name, pairs in found for key, value in pairs if (name, key) == (family, label)}
    assert labels("udsroute_requests_total") == {frozenset(("balancer", "member", "class"))}
    assert values("udsroute_requests_total", "class") == {"none", "1xx", "2xx", "3xx", "4xx", "5xx"}
    assert values("udsroute_bytes_total", "direction") == {"in", "out"}
    assert values("udsroute_connections", "state") == {"busy", "idle"}
    assert values("udsroute_health_checks_total", "verdict") == {"pass", "fail"}


def test_metrics_count(sandbox):
    """Each family tells what has happened."""
    statuses = {"/ok": 200, "/moved": 301, "/missing": 404, "/broken": 500}
    behave = lambda exchange: exchange.respond(statuses[exchange.request.target], body=b"x" * 100)
    sandbox.scripted("a", behave)
    httpd = sandbox.httpd(status_section() + balancer(sandbox, {"gone": "retry=1h", "a": ""}))
    httpd.log.allow("UDR0034")
    for path, count in (("/ok", 4), ("/moved", 1), ("/missing", 2), ("/broken", 3)):
        for _ in range(count):
            assert fetch(httpd.port, path, "POST", body=b"12345").status == statuses[path]
    found = samples(read(httpd, "prometheus").text)
    get = lambda name, member, **labels: found[
        name, frozenset({"balancer": "app", "member": target(sandbox, member), **labels}.items())
    ]
    assert (get("udsroute_up", "a"), get("udsroute_up", "gone")) == (1, 0)
    classes = [get("udsroute_requests_total", "a", **{"class": one}) for one in ("none", "2xx", "3xx", "4xx", "5xx")]
    assert classes == [0, 4, 1, 2, 3]
    assert get("udsroute_retries_total", "gone") == 1
    assert get("udsroute_bytes_total", "a", direction="in") == 1000
    assert get("udsroute_bytes_total", "a", direction="out") == 50
    assert get("udsroute_connections", "a", state="busy") == 0
    assert get("udsroute_in_flight", "a") == get("udsroute_queued", "a") == get("udsroute_held_total", "a") == 0
    assert get("udsroute_request_duration_seconds_count", "a") == 10
    assert 0 < get("udsroute_request_duration_seconds_sum", "a") < 100
    buckets = sorted(
        (float(dict(pairs)["le"]), value)
        for (name, pairs), value in found.items()
        if name.endswith("_bucket") and dict(pairs)["member"] == target(sandbox, "a")
    )
    assert buckets[0][0] == 0.000128 and buckets[-1] == (float("inf"), 10)
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)


def test_balancers_of_the_same_name(sandbox):
    """Those of virtual hosts have a label of their own; in JSON and on the page the name is the name."""
    section = lambda path: balancer(sandbox, {"a": ""}, path=path)
    config = status_section() + section("/main/")
    for host in ("one", "two"):
        config += f"<VirtualHost *:@PORT@>\nServerName {host}.example\n{section('/')}</VirtualHost>\n"
    config += f"<VirtualHost *:@PORT@>\nServerName three.example\n{section('/').replace('app', 'other')}</VirtualHost>\n"
    httpd = sandbox.httpd(config)
    response = read(httpd, "prometheus")
    promtool(response.body)
    ups = [dict(pairs) for name, pairs in samples(response.text) if name == "udsroute_up"]
    hosts = [f"app@{host}.example:{httpd.port}" for host in ("one", "two")]
    assert sorted(one["balancer"] for one in ups) == sorted(["app", "other", *hosts])
    told = json.loads(read(httpd, "json").body)["balancers"]
    assert sorted(one["name"] for one in told) == ["app", "app", "app", "other"]
    text = read(httpd, "html").text
    Document(text)
    assert text.count("<h2>app</h2>") == 3 and f"one.example:{httpd.port}" in text


def test_virtual_hosts_that_differ_in_addresses(sandbox):
    """No two have the same labels."""
    section = lambda path: balancer(sandbox, {"a": ""}, path=path)
    config = status_section() + section("/main/")
    for address in ("127.0.0.2", "127.0.0.3"):
        config += f"<VirtualHost {address}:@PORT@>\nServerName one.example\n{section('/')}</VirtualHost>\n"
    httpd = sandbox.httpd(config)
    response = read(httpd, "prometheus")
    promtool(response.body)
    ups = [dict(pairs) for name, pairs in samples(response.text) if name == "udsroute_up"]
    hosts = [f"app@one.example:{httpd.port}@127.0.0.{end}:{httpd.port}" for end in (2, 3)]
    assert sorted(one["balancer"] for one in ups) == sorted(["app", *hosts])
    Document(read(httpd, "html").text)


def test_socket_that_gets_a_line_of_its_own(sandbox):
    """While requests are under way that its pattern gave it, it is there twice, and none of the two is another one."""
    gate = Gate()
    server = sandbox.scripted("a", lambda exchange: (gate.wait(), exchange.respond()))
    httpd = sandbox.httpd(status_section() + balancer(sandbox, {"*": ""}), children=2)
    httpd.log.allow("UDR005[01]")
    up = ("udsroute_up", frozenset({"balancer": "app", "member": target(sandbox, "a")}.items()))
    flights = lambda: {
        dict(pairs)["member"]: value
        for (name, pairs), value in samples(read(httpd, "prometheus").text).items()
        if name == "udsroute_in_flight"
    }
    with Client(httpd.port) as client:
        client.send_request("GET", "/x")
        server.wait_for_requests(1)
        text = httpd.configuration.read_text()
        own = f"UDSMember {target(sandbox, 'a')}\n</UDSBalancer>"
        httpd.configuration.write_text(text.replace("</UDSBalancer>", own))
        httpd.graceful()
        assert samples(read(httpd, "prometheus").text)[up] == 1
        # (For a moment an old child may take a connection yet: all is told by one answer.)
        told = wait_until(lambda: (now := flights()) and len(now) == 2 and now, "the pattern's to be seen beside it")
        (other,) = told.keys() - {target(sandbox, "a")}
        assert told == {target(sandbox, "a"): 0, other: 1}
        assert re.fullmatch(re.escape(target(sandbox, "a")) + r"#[0-9a-f]{32}-\d+", other)
        gate.open()
        assert client.read_response().status == 200


# --- names ------------------------------------------------------------------------------------------------------------


def test_odd_names(sandbox):
    """As they are written, in all three formats; none of them becomes markup."""
    lines = ""
    for number, name in enumerate(ODD):
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        lines += f'UDSRoute "/{number}-{quoted}" "{target(sandbox, quoted.replace("/", "_"))}"\n'
    httpd = sandbox.httpd(status_section() + lines)
    paths = [f"/{number}-{name}" for number, name in enumerate(ODD)]
    targets = [target(sandbox, name.replace("/", "_")) for name in ODD]
    told = json.loads(read(httpd, "json").body)
    assert [(one["path"], one["target"]) for one in told["routes"][1:]] == list(zip(paths, targets))
    metrics = read(httpd, "prometheus").body
    promtool(metrics)
    assert {dict(pairs)["member"] for name, pairs in samples(metrics.decode()) if name == "udsroute_up"} == set(targets)
    document = Document(read(httpd, "html").body.decode())
    assert not document.all("b") and len(document.all("script")) == 1
    texts = [text for _, text in document.texts]
    assert set(paths) < set(texts) and set(targets) < set(texts)


def test_bytes_that_are_no_utf8(sandbox):
    """Neither JSON nor the metrics may hold them; there names that differ in them alone are told apart all the same."""
    config = status_section() + f"UDSRoute /x {target(sandbox, 'A')}\nUDSRoute /y {target(sandbox, 'B')}\n"
    config += balancer(sandbox, {"A": "", "B": ""})
    httpd = sandbox.httpd(config)
    raw = httpd.configuration.read_bytes()
    httpd.configuration.write_bytes(raw.replace(b"/A.sock", b"/\xff\xc3.sock").replace(b"/B.sock", b"/\xc3\xff.sock"))
    httpd.renew()
    for name in TYPES:
        body = read(httpd, name).body
        assert b"\xff" not in body or name == "html"
        assert "\ufffd\ufffd.sock" in body.decode("utf-8", "replace")
    metrics = read(httpd, "prometheus")
    promtool(metrics.body)
    assert sum(name == "udsroute_up" for name, _ in samples(metrics.text)) == 4
