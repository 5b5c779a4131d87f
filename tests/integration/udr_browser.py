# SPDX-License-Identifier: Apache-2.0
"""Chromium without a window, told what to do by chromium-driver."""
import base64
import json
import shutil
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

import udr_environment

# It speaks to nobody but the server under test: nothing of its maker's is asked for, no proxy is used. Without its own
# sandbox root may start it; the pages are ours.
OPTIONS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --no-proxy-server --lang=en
""".split()
PATIENCE = 20.0  # seconds
POLL = 0.05


class Browser:
    """One browser with one window. A start takes seconds: one is enough for all tests of a file."""

    def __init__(self):
        self._profile = tempfile.mkdtemp(prefix="udr-browser-", dir="/tmp")
        options = Options()
        options.binary_location = udr_environment.program("chromium")
        for option in (*OPTIONS, f"--user-data-dir={self._profile}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        environment = {**udr_environment.clean_environment(), "HOME": self._profile}
        service = Service(udr_environment.program("chromedriver"), env=environment)
        self.driver = webdriver.Chrome(service=service, options=options)

    def close(self):
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url, width=1280, height=900, scheme="light"):
        """A page in a window of that size, for somebody who wants it light or dark."""
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get(url)

    def forget(self):
        """Leaves the page, and what it (or the browser's own first one) has said and asked for until then."""
        self.driver.get("about:blank")
        self.complaints()
        self.requested()

    def run(self, script, *arguments):
        """What the script returns, run in the page."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, condition, what, timeout=PATIENCE):
        """Until condition() is true in a page that may change meanwhile."""
        return WebDriverWait(self.driver, timeout, POLL).until(lambda _: condition(), what)

    def screenshot(self, path):
        """All of the page, also what is below the window's edge."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self):
        """What the console has said since this was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requested(self):
        """The URLs that were asked for since this was last asked."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
