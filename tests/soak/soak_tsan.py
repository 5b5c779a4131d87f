# SPDX-License-Identifier: Apache-2.0
"""The thread sanitizer under the soak test: httpd is not instrumented, the module is.

The sanitizer's library is preloaded, so that locks, threads and memory are seen in all of httpd, and APR's atomic
operations by soak_tsan_atomics.c; reads and writes in the module alone. A report counts when the access itself, on one
side at least, is in the module's own code, and tsan.supp does not give a reason why that is none."""
import collections
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

SUPPRESSIONS = pathlib.Path(__file__).with_name("tsan.supp")
# httpd has handlers of its own for these signals, which would keep the sanitizer from telling of a crash.
OPTIONS = ("exitcode=0", "history_size=4", "second_deadlock_stack=1", "handle_segv=2", "handle_sigbus=2",
           "handle_abort=2", "allow_user_segv_handler=0")

REPORT = re.compile(r"^(?:WARNING: |==\d+==ERROR: )ThreadSanitizer: .*?(?=^={18}$|\Z)", re.M | re.S)
# What follows the accesses themselves: where threads were made, and memory came from.
BACKGROUND = re.compile(r"^  (?:Thread T|Location is|Mutex M)", re.M)
FRAME = re.compile(r"^ +#\d+ (.*?) \((.*?)(?:\+0x[0-9a-f]+)?\)$", re.M)


def is_wanted():
    """Whether the module was built with --enable-tsan. The integration tests' modules know nothing of it and must not
    see the word."""
    if os.environ.get("UDR_SANITIZE") != "tsan":
        return False
    del os.environ["UDR_SANITIZE"]
    return True


def runtime():
    answer = subprocess.run(["gcc", "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True)
    return os.path.realpath(answer.stdout.strip())


def make_atomics(directory):
    """Compiles APR's atomic operations for the sanitizer to see."""
    library = directory / "atomics.so"
    source = pathlib.Path(__file__).with_name("soak_tsan_atomics.c")
    subprocess.run(["gcc", "-fsanitize=thread", "-g", "-O1", "-fPIC", "-shared", "-o", library, source], check=True)
    return library


def places(report):
    """Of each of the report's stacks the innermost frame that is not the sanitizer's, as (place, program)."""
    stacks = re.split(r"\n\n", BACKGROUND.split(report, maxsplit=1)[0])
    frames = [[found for found in FRAME.findall(stack) if "libtsan" not in found[1]] for stack in stacks]
    return tuple(stack[0] for stack in frames if stack)


def is_own(report):
    if "ThreadSanitizer: data race" in report or "ThreadSanitizer: heap-use-after-free" in report:
        return any("mod_udsroute" in program for _, program in places(report))
    return "mod_udsroute" in report or "ERROR: " in report


class Tsan:
    """Starts httpd under the sanitizer and reads what it reports."""

    def __init__(self, program):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="udr-tsan-", dir="/tmp"))
        self.directory.chmod(0o755)
        self.logs = self.directory / "logs"
        self.logs.mkdir()
        self.logs.chmod(0o777)  # the children are another user's
        self.program = self.directory / "httpd"
        options = ":".join((*OPTIONS, f"suppressions={SUPPRESSIONS}", f"log_path={self.logs}/report"))
        libraries = f"{runtime()} {make_atomics(self.directory)}"
        script = f"#!/bin/sh\nLD_PRELOAD='{libraries}' TSAN_OPTIONS='{options}' exec '{program}' \"$@\"\n"
        self.program.write_text(script)
        self.program.chmod(0o755)

    def reports(self):
        """All that was reported, at most one for each set of places: report -> how often."""
        counts = collections.Counter()
        kept = {}
        for path in sorted(self.logs.iterdir()):
            for match in REPORT.finditer(path.read_text(errors="replace")):
                report = match.group(0)
                kept.setdefault(places(report), report)
                counts[kept[places(report)]] += 1
        return counts

    def remove(self):
        shutil.rmtree(self.directory)
