# SPDX-License-Identifier: Apache-2.0
"""PHP beside the modules that servers have: TLS, HTTP/2, mod_deflate, mod_reqtimeout, mod_proxy and its kin."""
import gzip
import hashlib
import json
import os
import time

import pytest

from udr_client import Client, curl, fetch, h2load
from udr_environment import threaded_mpm
from udr_php import files_config, make_site, start_fpm, variables

MODULES = ["http2", "proxy", "proxy_fcgi", "proxy_http", "filter", "deflate", "reqtimeout", "rewrite", "dir"]
CONFIG = """
Protocols h2 http/1.1
DirectoryIndex index.php
AddOutputFilterByType DEFLATE text/plain text/html
RequestReadTimeout header=20-40,MinRate=500 body=20,MinRate=500
ProxyPass "/elsewhere" "http://127.0.0.1:1/"
SSLOptions +StdEnvVars
<VirtualHost *:@TLSPORT@>
  SSLEngine On
  SSLCertificateFile "cert.pem"
  SSLCertificateKeyFile "key.pem"
{files}
</VirtualHost>
{files}
"""


@pytest.fixture(scope="module")
def httpd(module_sandbox):
    fpm = start_fpm(module_sandbox, children=48)
    root = make_site(module_sandbox)
    config = CONFIG.replace("{files}", files_config(fpm, root))
    httpd = module_sandbox.httpd(config, mpm=threaded_mpm(), modules=MODULES, tls=True, threads=16)
    httpd.log.allow("AH01909|AH01906")
    httpd.fpm = fpm
    return httpd


def over_http2(httpd, target, *options):
    answer = curl("--http2", "--insecure", *options, httpd.url(target, tls=True))
    assert (answer.exit_code, answer.http_version) == (0, "HTTP/2"), answer.errors
    return answer


def test_variables_over_http2(httpd):
    answer = over_http2(httpd, "/vars.php/a%20b?c=d")
    seen = variables(answer)
    assert (seen["HTTPS"], seen["SERVER_PROTOCOL"], seen["HTTP2"]) == ("on", "HTTP/2.0", "on")
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/vars.php", "/a b", "c=d")
    assert seen["HTTP_HOST"] == f"localhost:{httpd.tls_port}" and seen["SSL_PROTOCOL"].startswith("TLS")


def test_many_streams(httpd):
    assert h2load(httpd.url("/numbered.php?name=x&lines=200", tls=True), 600, 4, "-m", "8").flawless


@pytest.mark.parametrize("more", [[], ["-H", "Content-Length:"]], ids=["length", "no length"])
def test_upload_over_http2(httpd, more, tmp_path):
    """Without a length it is one that PHP has to be told all the same."""
    data = os.urandom(3 << 20)
    (tmp_path / "data").write_bytes(data)
    answer = over_http2(httpd, "/upload.php", "-X", "POST", *more, "-T", str(tmp_path / "data"))
    seen = json.loads(answer.body)
    assert (seen["length"], seen["told"]) == (len(data), str(len(data)))
    assert seen["sha256"] == hashlib.sha256(data).hexdigest()


def test_large_answer_over_http2(httpd):
    answer = over_http2(httpd, "/answer.php?how=large&mib=20")
    assert len(answer.body) == 20 << 20 and answer.body[-1:] == b"A"


def test_flush_over_http2(httpd, tmp_path):
    """Each is there before the next is said. (Where the machine stalls, several are said meanwhile: once more.)"""

    def lasts():
        answer = over_http2(httpd, "/stream.php?count=5", "--no-buffer", "-w", "%{time_starttransfer} %{time_total}")
        first, total = (float(word) for word in answer.text.splitlines()[-1].split())
        assert answer.text.count("data: ") == 5
        return total - first

    assert any(lasts() > 0.25 for _ in range(5))


def test_compressed(httpd):
    fields = [("Accept-Encoding", "gzip")]
    for tls in (False, True):
        with Client(httpd.tls_port if tls else httpd.port, tls) as client:
            response = client.fetch("/numbered.php?name=z&lines=3000", fields=fields)
            assert response.get("Content-Encoding") == "gzip"
            assert gzip.decompress(response.body).count(b"z:") == 3000
            # What PHP has compressed itself stays as it is.
            response = client.fetch("/answer.php?how=gzip", fields=fields)
            assert gzip.decompress(response.body) == b"hello " * 1000


def test_proxy_beside_it(httpd):
    """mod_proxy has its own paths, and none of ours."""
    assert fetch(httpd.port, "/vars.php").status == 200
    assert fetch(httpd.port, "/elsewhere/vars.php").status == 503
    httpd.log.allow("AH00957|AH01114")
    assert "proxy-nokeepalive" not in variables(fetch(httpd.port, "/vars.php"))


def test_slow_body_is_allowed_its_rate(httpd):
    """mod_reqtimeout looks at it, and lets it be."""
    with Client(httpd.port) as client:
        client.send(b"POST /upload.php HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30\r\n\r\n")
        for _ in range(3):
            client.send(b"0123456789")
            time.sleep(0.05)
        assert json.loads(client.read_response().body)["length"] == 30
