# SPDX-License-Identifier: Apache-2.0
"""The status page in a real browser: it loads without a complaint or a foreign request, keeps itself up to date, and its
buttons work. Screenshots stay below the build directory, in build-test/screenshots."""
import time

import pytest

import udr_environment
from udr_balancers import balancer, start_members, target
from udr_browser import Browser
from udr_client import fetch
from udr_status import PAGE, read_members, status_section

SCREENSHOTS = udr_environment.build_directory() / "build-test/screenshots"


@pytest.fixture(name="browser", scope="module")
def _browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(name="page")
def _page(sandbox, browser):
    """The page of a server with a balancer of three and a plain route, opened."""
    page = Page(sandbox, browser)
    browser.forget()
    browser.open(page.url)
    return page


class Page:
    def __init__(self, sandbox, browser):
        self.sandbox = sandbox
        self.browser = browser
        self.servers = start_members(sandbox, "abc")
        config = status_section(actions=True)
        config += f'UDSRoute "/k\u00f6ln <b>&amp;" "{target(sandbox, "x<i>y")}"\n'
        members = {"a": "route=1 retry=1h hold=0", "b": "loadfactor=2 maxconn=20 retry=1h hold=0", "c": "status=+R"}
        self.httpd = sandbox.httpd(config + balancer(sandbox, members), children=2)
        self.url = f"http://127.0.0.1:{self.httpd.port}{PAGE}"

    def row(self, name):
        """The row of a member, as text; "" while there is none."""
        script = "for (const row of document.querySelectorAll('.members tbody tr'))"
        script += " if (row.querySelector('.name').textContent === arguments[0]) return row.innerText; return '';"
        return self.browser.run(script, f"{name}.sock")

    def state(self, name):
        return self.row(name).replace("\t", "\n").split("State\n")[-1]

    def button(self, label, name):
        return self.browser.find(f'button[aria-label="{label} {name}.sock"]')

    def click(self, label, name):
        """A click that a user could do: what is clicked is in sight."""
        self.button(label, name).click()

    def shows(self, name, word):
        script = "return [...document.querySelectorAll('.members tbody tr')].some(row =>"
        script += " row.querySelector('.name').textContent === arguments[0] &&"
        script += " row.querySelector('.state').textContent === arguments[1]);"
        return self.browser.run(script, f"{name}.sock", word)


def test_loads_cleanly(page):
    """Nothing in the console and nothing from elsewhere, over some refreshes, too."""
    page.browser.wait(lambda: page.browser.find("#live").text == "Live", "the script to run")
    requested = []
    page.browser.wait(lambda: requested.extend(page.browser.requested()) or requested.count(page.url) > 3, "refreshes")
    assert {url for url in requested if not url.startswith("data:")} == {page.url}
    assert page.browser.complaints() == []
    assert page.browser.driver.title == "No member is down \u2013 mod_udsroute"


def test_shows_members_going_down(page):
    """Within two seconds of the server's knowing, if the machine lets the browser run."""
    page.httpd.log.allow("UDR0034")
    for _ in range(4):
        fetch(page.httpd.port, "/x")
    page.browser.wait(lambda: page.shows("a", "up") and page.shows("b", "up"), "the members to be up")
    page.browser.run("window.isTheSame = true")
    took = []
    for name in "ab":
        page.sandbox.stop(page.servers[name])
        for _ in range(4):
            assert fetch(page.httpd.port, "/x").status == 200
        begun = time.monotonic()
        page.browser.wait(lambda name=name: page.shows(name, "down"), "the page to show it")
        took.append(time.monotonic() - begun)
        assert read_members(page.httpd)[name]["state"] == "down"
    assert "no socket file (No such file or directory)" in page.row("a")
    assert page.browser.driver.title == "2 of 4 down \u2013 mod_udsroute"
    assert page.browser.run("return window.isTheSame")  # and not by loading it anew
    assert min(took) < 2, took


def test_buttons(page):
    page.click("Drain", "b")
    page.browser.wait(lambda: page.shows("b", "draining"), "the member to be drained")
    assert read_members(page.httpd)["b"]["state"] == "draining"
    page.httpd.log.expect("drain member .*/b.sock")
    page.click("Enable", "b")
    page.browser.wait(lambda: not page.shows("b", "draining"), "the member to be enabled")
    assert read_members(page.httpd)["b"]["state"] == "unknown"
    assert page.browser.complaints() == []


def test_weight_field(page):
    field = page.browser.find('input[aria-label="Weight of b.sock"]')
    assert field.get_attribute("value") == "2"
    field.clear()
    field.send_keys("7.5\n")
    page.browser.wait(lambda: read_members(page.httpd)["b"]["weight"] == 7.5, "the weight to be set")
    page.browser.wait(lambda: "configured: 2" in page.row("b"), "the page to show it")


def test_wrong_nonce(page):
    """A page of an earlier start of the server, say: nothing happens, and the page says what to do."""
    page.browser.find("#pause").click()
    page.browser.run("for (const one of document.querySelectorAll('[name=nonce]')) one.value = '0'.repeat(32)")
    page.click("Drain", "b")
    page.browser.wait(lambda: "load the page again" in page.browser.find("#live").text, "the page to say so")
    assert read_members(page.httpd)["b"]["state"] == "unknown"
    page.httpd.log.expect("UDR0048")


def test_without_script(page):
    """The forms are forms: what a browser sends without our script leads back to the page."""
    page.browser.run("HTMLFormElement.prototype.submit.call((button => { const form = button.form;"
                     " const field = document.createElement('input'); field.name = 'action'; field.value = 'drain';"
                     " form.append(field); return form; })(arguments[0]))", page.button("Drain", "b"))  # fmt: skip
    page.browser.wait(lambda: page.shows("b", "draining"), "the member to be drained")
    assert page.browser.driver.current_url == page.url + "?"
    assert page.browser.complaints() == []


def test_what_is_typed_stays(page):
    """Refreshes take neither the focus nor what somebody is writing."""
    field = page.browser.find('input[aria-label="Weight of a.sock"]')
    field.clear()
    field.send_keys("42")
    for _ in range(3):  # of three one goes there
        fetch(page.httpd.port, "/x")
    page.browser.wait(lambda: "1 in all" in page.row("a"), "a refresh")
    assert page.browser.run("return document.activeElement.getAttribute('aria-label')") == "Weight of a.sock"
    assert field.get_attribute("value") == "42"
    assert read_members(page.httpd)["a"]["weight"] == 1


def test_pause(page):
    page.browser.find("#pause").click()
    assert (page.browser.find("#live").text, page.browser.find("#pause").text) == ("Paused", "Go on")
    before = page.row("a")
    for _ in range(3):
        fetch(page.httpd.port, "/x")
    page.browser.requested()
    page.click("Drain", "b")  # what changes something still does, and shows what is
    page.browser.wait(lambda: page.shows("b", "draining"), "the answer")
    before = page.row("a")
    fetch(page.httpd.port, "/x")
    page.browser.find("#pause").click()
    page.browser.wait(lambda: page.row("a") != before, "the page to go on")
    assert page.browser.find("#live").text == "Live"


def test_says_that_the_server_is_gone(page):
    page.browser.wait(lambda: page.browser.find("#live").text == "Live", "the script to run")
    page.sandbox.stop(page.httpd)
    page.browser.wait(lambda: page.browser.find("#live").text.startswith("No news: "), "the page to say so")


def test_names_are_text(page):
    """Whatever a configuration calls its sockets and paths."""
    assert page.row("x<i>y") and not page.browser.find_all("main i, main b")
    paths = [one.text for one in page.browser.find_all(".routes tbody th")]
    assert paths == [PAGE, "/k\u00f6ln <b>&amp;", "/"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 800, 1280])
def test_fits(page, width, scheme):
    """Nothing is wider than the screen, and what is to be read stands out from what is behind it."""
    page.httpd.log.allow("UDR0034")
    page.sandbox.stop(page.servers["a"])
    for _ in range(20):
        fetch(page.httpd.port, "/x")
    page.browser.open(page.url, width, 844 if width < 600 else 900, scheme)
    page.browser.wait(lambda: page.shows("a", "down"), "the page to be complete")
    page.browser.screenshot(SCREENSHOTS / f"status-{width}-{scheme}.png")
    inner, scrolls = page.browser.run("return [innerWidth, document.documentElement.scrollWidth]")
    assert inner == width and scrolls <= width
    luminance = page.browser.run(
        "const parts = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);"
        "return (parts[0] + parts[1] + parts[2]) / 3;"
    )
    assert luminance > 200 if scheme == "light" else luminance < 60
