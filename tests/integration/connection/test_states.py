# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that can't be attached to, and why, said at once."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable

from ansible_collections.lightervisor.lxc.tests.integration.connection.conftest import execute, run

Talk = Callable[..., list[Any]]


def test_there_is_none(guests: Path, talk: Talk) -> None:
    (answer,) = talk("nobody", execute("true"))
    assert answer.error == "AnsibleConnectionFailure"
    assert answer.msg == (
        f"Cannot attach to container 'nobody': it does not exist in {guests}."
        " Check ansible_host and ansible_lxc_lxcpath."
    )
    assert answer.seconds < 1


def test_it_does_not_run(make: Callable[..., str], guests: Path, talk: Talk, tmp_path: Path) -> None:
    make("idle", start=False)
    steps = (execute("true"), ["put", "/etc/hostname", "/root/x"], ["fetch", "/etc/passwd", str(tmp_path / "x")])
    for answer in talk("idle", *steps):
        assert answer.error == "AnsibleConnectionFailure"
        assert answer.msg == (
            "Cannot attach to container 'idle': it is not running. "
            f"Start it with lxc-start -P {guests} -n idle, or by lightervisor.lxc.lxc_container."
        )
        assert answer.seconds < 1
    assert list(tmp_path.iterdir()) == []


def test_it_is_frozen(make: Callable[..., str], guests: Path, talk: Talk) -> None:
    make("frozen")
    run("lxc-freeze", "-P", guests, "-n", "frozen")
    try:
        (answer,) = talk("frozen", execute("true"))
        assert answer.error == "AnsibleConnectionFailure"
        assert "it is frozen. Thaw it with lxc-unfreeze" in answer.msg
        assert answer.seconds < 1
        left = subprocess.run(["pgrep", "-fa", f"lxc-attach.*{guests}"], capture_output=True, text=True, check=False)
        assert left.stdout == "", "nothing hangs in the frozen container"
    finally:
        run("lxc-unfreeze", "-P", guests, "-n", "frozen")
    assert talk("frozen", execute("exit 7"))[0].rc == 7


def test_it_does_not_answer_in_time(make: Callable[..., str], guests: Path, talk: Talk) -> None:
    name = make("mute", start=False)
    shell = guests / name / "rootfs/bin/sh"
    shell.unlink()
    shell.write_text('#!/bin/busybox sh\n[ "$1" != -c ] || exec sleep 100\n')
    shell.chmod(0o755)
    run("lxc-start", "-P", guests, "-n", name)
    (answer,) = talk(name, execute("true"), timeout=2)
    assert answer.error == "AnsibleConnectionFailure"
    assert "it did not answer within 2 s" in answer.msg
    assert 2 <= answer.seconds < 5
    inside = run("lxc-attach", "-P", guests, "-n", name, "--", "ps").stdout
    assert "sleep 100" not in inside, "the guest's process has been ended too"


def test_it_has_no_shell(make: Callable[..., str], guests: Path, talk: Talk) -> None:
    name = make("bare", start=False)
    (guests / name / "rootfs/bin/sh").unlink()
    run("lxc-start", "-P", guests, "-n", name)
    (answer,) = talk(name, execute("true"))
    assert answer.error == "AnsibleConnectionFailure"
    assert answer.msg == ("Cannot attach to container 'bare': No such file or directory - Failed to exec \"/bin/sh\".")


def test_it_goes_down_while_a_command_runs(make: Callable[..., str], guests: Path, talk: Talk) -> None:
    name = make("falling")
    stop = threading.Timer(1.5, run, ("lxc-stop", "-k", "-P", guests, "-n", name))
    stop.start()
    (answer,) = talk(name, execute("sleep 60"))
    stop.join()
    assert answer.error == "AnsibleConnectionFailure"
    assert "went down while a command ran" in answer.msg


def test_it_reboots_while_a_command_runs(make: Callable[..., str], talk: Talk) -> None:
    name = make("turning")
    reboot, again = talk(name, execute("reboot -f; sleep 60"), execute("exit 7"))
    assert reboot.error == "AnsibleConnectionFailure"
    assert "went down while a command ran" in reboot.msg
    assert again.rc == 7 or again.error == "AnsibleConnectionFailure"


def moved(guests: Path, name: str, where: str) -> Path:
    """A copy of a container in an lxcpath of its own, with another host name, running."""
    other = guests / where
    other.mkdir()
    shutil.copytree(guests / name, other / name, symlinks=True)
    config = other / name / "config"
    config.write_text(config.read_text().replace(str(guests), str(other)).replace(f'"{name}"', '"other"'))
    run("lxc-start", "-P", other, "-n", name)
    return other


def test_it_is_in_another_lxcpath_of_the_same_name(make: Callable[..., str], guests: Path, talk: Talk) -> None:
    make("twin")
    other = moved(guests, "twin", "other path")
    try:
        assert talk("twin", execute("hostname"))[0].out == b"twin\n"
        assert talk("twin", execute("hostname"), lxcpath=str(other))[0].out == b"other\n"
        assert talk("twin", execute("hostname"), lxcpath=f"{other}//./")[0].out == b"other\n"
    finally:
        run("lxc-stop", "-k", "-P", other, "-n", "twin")


def test_an_lxcpath_too_long_for_a_plain_socket(make: Callable[..., str], guests: Path, talk: Talk) -> None:
    make("far", start=False)
    other = moved(guests, "far", "long" * 25)
    try:
        assert talk("far", execute("exit 7"), lxcpath=str(other))[0].rc == 7
        run("lxc-freeze", "-P", other, "-n", "far")
        assert "it is frozen" in talk("far", execute("true"), lxcpath=str(other))[0].msg
        run("lxc-unfreeze", "-P", other, "-n", "far")
    finally:
        run("lxc-stop", "-k", "-P", other, "-n", "far")


def test_reset_costs_nothing_and_works_after_a_restart(make: Callable[..., str], guests: Path, talk: Talk) -> None:
    name = make("reborn")
    before = time.monotonic()
    first, reset, second = talk(name, execute("true"), ["reset"], execute("exit 7"))
    assert (first.rc, reset.error, second.rc) == (0, None, 7)
    assert time.monotonic() - before < 10
    run("lxc-stop", "-k", "-P", guests, "-n", name)
    run("lxc-start", "-P", guests, "-n", name)
    assert talk(name, execute("exit 7"))[0].rc == 7
