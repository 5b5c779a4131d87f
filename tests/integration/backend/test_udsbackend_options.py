# SPDX-License-Identifier: Apache-2.0
"""The command line, --config, --check."""
import os
import re

import pytest

import udsb_program
from udsb_program import run


def test_version():
    result = run("--version")
    assert result.returncode == 0
    assert re.fullmatch(r"udsbackend \d+\.\d+\.\d+\n", result.stdout)
    assert result.stderr == ""


def test_help_names_every_option():
    result = run("--help")
    assert result.returncode == 0
    for option in ("socket", "mode", "owner", "group", "backlog", "threads", "instances", "map", "root", "config",
                   "allow-peer", "drain", "check", "version", "help"):
        assert f"--{option}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 110


@pytest.mark.parametrize("arguments, sentence", [
    ([], "there is no --socket to listen on"),
    (["--mode", "0660"], "there is no --socket to listen on"),
    (["--socket", "/a", "--mode", "0999"], '--mode "0999" is not an octal mode from 1 to 0777'),
    (["--socket", "/a", "--backlog", "0"], '--backlog "0" is not a number from 1 to 65535'),
    (["--socket", "/a", "--threads", "1000"], '--threads "1000" is not a number from 1 to 256'),
    (["--socket", "/a", "--drain", "1d"], '--drain "1d" is not a time from 0 to 24h'),
    (["--socket", "/a", "--owner", "no-such-user"], '--owner "no-such-user" is not a user'),
    (["--socket", "/" + "a" * 107], "is longer than the 107 bytes the kernel allows"),
    (["--socket", "/" + "a" * 105, "--instances", "2"], 'has no room for "-2"'),
    (["--socket", "/a", "--frobnicate"], "there is no option --frobnicate"),
    (["--socket"], "--socket needs a value"),
    (["/a"], '"/a" is not an option'),
])
def test_wrong_usage(arguments, sentence):
    result = run(*arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert result.stdout == ""


def test_config(start, directory):
    config = directory / "config"
    config.write_text(f"# all of it\nsocket {directory}/b.sock\nmode = 0600\n\nmap GET /a=text:from the file\n"
                      "threads 1\n")
    backend = start("--config", str(config), "--mode", "0640", sockets=[])
    name = str(directory / "b.sock")
    assert udsb_program.get(name, "/a").text == "from the file"
    assert os.stat(name).st_mode & 0o7777 == 0o640  # the command line has the last word
    assert backend.stop() == 0


@pytest.mark.parametrize("text, sentence", [
    ("socket /a\nmode 0999\n", ':2: mode "0999" is not an octal mode from 1 to 0777'),
    ("nonsense\n", ':1: there is no option "nonsense"'),
    ("config x\n", ":1: config belongs on the command line"),
])
def test_errors_in_config(directory, text, sentence):
    config = directory / "config"
    config.write_text(text)
    result = run("--config", str(config))
    assert result.returncode == 2
    assert f"{config}{sentence}" in result.stderr


def test_config_that_is_not_there(directory):
    result = run("--config", str(directory / "none"))
    assert result.returncode == 2
    assert f"cannot read the configuration file {directory / 'none'}: No such file or directory" in result.stderr


# --- --check ----------------------------------------------------------------------------------------------------------

def test_check_of_what_is_right(directory):
    result = run("--check", "--socket", str(directory / "a.sock"), "--socket", "@udsb-check", "--root", str(directory))
    assert result.returncode == 0
    assert result.stdout.splitlines() == [f"ok: {directory}/a.sock: free", "ok: @udsb-check: free",
                                          f"ok: --root {directory}"]
    assert list(directory.iterdir()) == []  # it changes nothing


def test_check_of_a_live_server(backend):
    result = run("--check", "--socket", backend.socket)
    assert result.returncode == 1
    assert f"error: {backend.socket}: a live server listens: process {backend.process.pid} (udsbackend) of user" \
        in result.stdout


def test_check_of_a_stale_socket(start):
    backend = start()
    backend.kill()
    result = run("--check", "--socket", backend.socket)
    assert result.returncode == 0
    assert result.stdout == f"ok: {backend.socket}: a stale socket, which will be replaced\n"
    assert os.path.exists(backend.socket)
    os.unlink(backend.socket)


def test_check_of_what_is_wrong(directory):
    (directory / "file").write_text("")
    result = run("--check", "--socket", str(directory / "file"), "--socket", str(directory / "none" / "a.sock"),
                 "--root", str(directory / "file"), "--backlog", "65535")
    assert result.returncode == 1
    assert f"error: {directory}/file: exists and is a regular file" in result.stdout
    assert f"error: {directory}/none/a.sock: its directory {directory}/none: No such file or directory" in result.stdout
    assert f"error: --root {directory}/file: is not a directory" in result.stdout
    assert "--backlog 65535: the kernel cuts it to" in result.stdout


def test_check_of_instances(start, directory):
    start("--instances", "2")
    result = run("--check", "--socket", str(directory / "a.sock"), "--instances", "3")
    assert result.returncode == 1
    assert f"error: {directory}/a-1.sock: a live server listens" in result.stdout
    assert f"ok: {directory}/a-3.sock: free" in result.stdout
