# SPDX-License-Identifier: Apache-2.0
"""httpd's error log, each line of which a test must have announced.

A line at warn or above, a sign of a crash, or a line that is none of httpd's (a sanitizer's report) fails the test in
whose time it was written, unless the test accounted for it with expect() or allow()."""
import dataclasses
import pathlib
import re
import time

LINE = re.compile(r"\[[^\]]*\] \[(?P<module>[\w-]*):(?P<level>\w+)\] \[pid (?P<pid>\d+)[^\]]*\] (?P<text>.*)")
NUMBER = re.compile(r"\bUDR\d{4}\b")
PROBLEM_LEVELS = frozenset(("emerg", "alert", "crit", "error", "warn"))
# What httpd itself says at every start. AH00111: a ${NAME} in a route is to be filled in by requests (`interpolate`).
# AH01882: Debian's mod_ssl was built with another OpenSSL than the one installed. AH00484: so far none of a child's
# threads was up when the parent looked (a busy machine).
HARMLESS = re.compile(
    r"AH00111: Config variable|AH01882: Init: this version of mod_ssl|AH00484: server reached MaxRequestWorkers"
)
# "Killed" is no crash: only a test does that. (httpd announces its own SIGKILL with an error line, AH00046.)
CRASH = re.compile(
    r"exit signal (?!Killed)|AddressSanitizer|runtime error:|LeakSanitizer|ThreadSanitizer|assertion|core dump", re.I
)


@dataclasses.dataclass
class Line:
    """One line of the log."""

    module: str
    level: str
    text: str
    raw: str
    accounted: bool = False

    @property
    def number(self):
        """The module's message number, such as UDR0012, or None."""
        match = NUMBER.search(self.text)
        return match.group(0) if match else None

    @property
    def is_problem(self):
        if HARMLESS.search(self.raw):
            return False
        return self.level in PROBLEM_LEVELS or not self.level or bool(CRASH.search(self.raw))


def parse_line(raw):
    match = LINE.match(raw)
    if not match:
        return Line("", "", raw, raw)
    return Line(match["module"], match["level"], match["text"], raw)


class ErrorLog:
    """The log of one httpd, seen through the window of one test."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self._offset = 0
        self._lines = []
        self._allowed = []

    def _read(self):
        """Takes in what was written since the last time."""
        if not self.path.exists():
            return
        with open(self.path, "rb") as log:
            log.seek(self._offset)
            data = log.read()
        end = data.rfind(b"\n") + 1
        self._offset += end
        self._lines += [parse_line(raw) for raw in data[:end].decode("utf-8", "replace").splitlines() if raw.strip()]

    def begin(self):
        """Opens the window of a test. Lines that nobody has seen yet belong to it, so none is ever lost."""
        self._lines = []
        self._allowed = []

    def lines(self):
        """Every line of the window so far."""
        self._read()
        return list(self._lines)

    def text(self):
        return "\n".join(line.raw for line in self.lines())

    def find(self, pattern):
        """The lines of the window that match, accounted for or not."""
        return [line for line in self.lines() if re.search(pattern, line.raw, re.I)]

    def expect(self, pattern, times=1, timeout=10.0):
        """Waits for `times` further lines that match (any case) and accounts for them, and for no others.

        Returns the line, or the list of lines where several were asked for. That there is not one more shows at the
        end of the test, where an unaccounted line is a failure."""
        deadline = time.monotonic() + timeout
        while True:
            found = [line for line in self.find(pattern) if not line.accounted][:times]
            if len(found) == times:
                break
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {times} lines like {pattern!r} in the error log:\n{self.text()}")
            time.sleep(0.01)
        for line in found:
            line.accounted = True
        return found[0] if times == 1 else found

    def allow(self, pattern):
        """Lets lines that match pass, however many, for the rest of the test."""
        self._allowed.append(re.compile(pattern, re.I))

    def problems(self):
        """The lines that nobody announced."""
        return [
            line
            for line in self.lines()
            if line.is_problem and not line.accounted and not any(pattern.search(line.raw) for pattern in self._allowed)
        ]

    def verify(self):
        """Asserts that the window holds nothing unannounced."""
        problems = self.problems()
        self._lines = []
        assert not problems, "unexpected in the error log:\n" + "\n".join(line.raw for line in problems)
