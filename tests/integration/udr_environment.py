# SPDX-License-Identifier: Apache-2.0
"""What the tests run against: programs, modules and how the module was built.

Everything comes from environment variables, each with a default:

UDR_BUILD     the build directory (holds mod_udsroute/.libs/ and backend/); default: the project's root
HTTPD         the httpd program; default: what apxs says
UDR_MPM       event, worker or prefork; default: event
UDR_LOOPS     a value for UDSLoops; default: the module's own
UDR_SANITIZE  asan when the module was built with --enable-asan; default: none
UDR_CAMPAIGN  1: only tests that are marked as campaigns, at full length; default: all, at one that suits each change
"""
import functools
import os
import pathlib
import shutil
import subprocess

SOURCE_ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = pathlib.Path(__file__).resolve().parent / "peers"
MPMS = ("event", "worker", "prefork")

# The runners of exchanges: the MPM, and what goes in front of the configuration.
RUNNERS = {
    "event": ("event", ""),
    "no loops": ("event", "UDSLoops Off\n"),
    "worker": ("worker", ""),
    "prefork": ("prefork", ""),
}


def build_directory():
    """Where the module and the backend were built."""
    return pathlib.Path(os.environ.get("UDR_BUILD") or SOURCE_ROOT).resolve()


def module_path():
    """The module under test. It must be there: a missing module is a failure, not a reason to skip."""
    return _built("mod_udsroute/.libs/mod_udsroute.so")


def backend_path():
    """The project's own backend program."""
    return _built("backend/udsbackend")


def _built(name):
    path = build_directory() / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: build the project first, or set UDR_BUILD to the build directory")
    return path


def program(name):
    """The path of a program that the tests need. A missing one fails the run."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise FileNotFoundError(f"the tests need the program {name}, which is not installed")
    return path


@functools.lru_cache(maxsize=None)
def apxs(variable):
    """One of httpd's build variables."""
    answer = subprocess.run([program("apxs"), "-q", variable], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


@functools.lru_cache(maxsize=None)
def httpd_program():
    """The httpd to start."""
    return os.environ.get("HTTPD") or f"{apxs('sbindir')}/{apxs('progname')}"


@functools.lru_cache(maxsize=None)
def static_modules():
    """The modules that are linked into httpd, as "mod_unixd.c": those must not be loaded."""
    listing = subprocess.run([httpd_program(), "-l"], capture_output=True, text=True, check=True)
    return frozenset(line.strip() for line in listing.stdout.splitlines())


def mpm():
    """The MPM under test."""
    name = os.environ.get("UDR_MPM") or "event"
    if name not in MPMS:
        raise ValueError(f"UDR_MPM={name}: it is one of {', '.join(MPMS)}")
    return name


def threaded_mpm():
    """The MPM under test, or event where that is prefork.

    For tests of what several requests share in one child, and of mod_http2, which refuses prefork."""
    return "event" if mpm() == "prefork" else mpm()


def sanitized():
    """Whether the module was built with the address and undefined-behaviour sanitizers."""
    name = os.environ.get("UDR_SANITIZE") or ""
    if name not in ("", "asan"):
        raise ValueError(f"UDR_SANITIZE={name}: it is asan or unset")
    return name == "asan"


def is_root():
    """Started by root, httpd's children run as www-data."""
    return os.geteuid() == 0


def loops():
    """The value for UDSLoops, or None for the module's own default."""
    return os.environ.get("UDR_LOOPS") or None


def is_campaign():
    """Whether the tests that are marked as campaigns run at full length."""
    return os.environ.get("UDR_CAMPAIGN") == "1"


def campaign(short, full):
    """What a test does with each change, or the whole of what is promised."""
    return full if is_campaign() else short


def clean_environment():
    """What a child process sees: nothing of the caller's environment but the way to programs."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", "LC_ALL": "C"}


def httpd_environment(quarantine_mb=None, preload=None):
    """The environment of httpd. Its own program is not instrumented, so the sanitizer's library has to come first.

    quarantine_mb: how much freed memory the sanitizer holds back (its default is 256 MiB); a test that measures memory
    wants little. preload: a library that is to stand in for others."""
    environment = clean_environment()
    libraries = [str(preload)] if preload else []
    if sanitized():
        library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
        # httpd has handlers of its own for these signals, which would keep the sanitizer from telling of a crash.
        signals = "handle_segv=2:handle_sigbus=2:handle_sigfpe=2:handle_abort=2:allow_user_segv_handler=0"
        options = f"detect_leaks=0:abort_on_error=0:exitcode=99:{signals}"
        if quarantine_mb is not None:
            options += f":quarantine_size_mb={quarantine_mb}:thread_local_quarantine_size_kb=64"
        libraries.insert(0, os.path.realpath(library.stdout.strip()))
        environment["ASAN_OPTIONS"] = options
        environment["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1"
    if libraries:
        environment["LD_PRELOAD"] = " ".join(libraries)
    return environment
