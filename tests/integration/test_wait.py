# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bounded waits for real containers."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.wait import wait_for, wait_until

VETH = ("lxc.net.0.type = veth", "lxc.net.0.flags = up", "lxc.net.0.name = eth0")


def lxc(tool: str, lxcpath: Path, name: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [f"lxc-{tool}", "-P", str(lxcpath), "-n", name, *args], check=True, capture_output=True, text=True, timeout=60
    )


def later(seconds: float, *argv: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sh", "-c", 'sleep "$0"; exec "$@"', str(seconds), *argv])


def init_pid(lxcpath: Path, name: str) -> int:
    return int(lxc("info", lxcpath, name, "-p", "-H").stdout)


def test_running(lxcpath: Path, busybox: Callable[..., str]) -> None:
    name = busybox()
    starter = later(0.3, "lxc-start", "-P", str(lxcpath), "-n", name)
    waited = wait_for(["running"], name, str(lxcpath), 10)
    starter.wait()
    assert waited.pid == init_pid(lxcpath, name)
    assert (waited.interfaces, waited.notes) == ((), ())
    lxc("freeze", lxcpath, name)
    assert wait_for(["running"], name, str(lxcpath), 0).pid == waited.pid


def test_not_started_is_an_error_after_the_time(lxcpath: Path, busybox: Callable[..., str]) -> None:
    name = busybox()
    begin = time.monotonic()
    with pytest.raises(
        OperationError, match="Cannot wait for container 'bb': it is stopped and does not run after 0.4 s"
    ):
        wait_for(["running"], name, str(lxcpath), 0.4)
    assert 0.4 <= time.monotonic() - begin < 1


def test_no_such_kind(lxcpath: Path) -> None:
    with pytest.raises(ValueError, match="'ipv5'"):
        wait_for(["ipv5"], "bb", str(lxcpath), 0)


def test_addresses_that_come_later(lxcpath: Path, busybox: Callable[..., str], subids: tuple[int, int]) -> None:
    name = busybox(config=VETH, idmap=(subids[0] + 65536 * 41, 65536))
    lxc("start", lxcpath, name)
    attach = ("lxc-attach", "-P", str(lxcpath), "-n", name, "--")
    begin = time.monotonic()
    with pytest.raises(OperationError, match=r"no IPv4 address after 0.3 s. Its interfaces: eth0 \("):
        wait_for(["ipv4"], name, str(lxcpath), 0.3)
    # Link-local and loopback ones do not count, whatever family is asked for.
    for address in ("169.254.7.7/16", "fe80::7/64"):
        subprocess.run([*attach, "ip", "addr", "add", address, "dev", "eth0"], check=True)
    with pytest.raises(OperationError) as caught:
        wait_for(["ipv4", "ipv6"], name, str(lxcpath), 0.3, ["eth0"])
    assert "no IPv4 address after 0.3 s on eth0; no IPv6 address after 0.3 s on eth0" in str(caught.value)
    assert "169.254.7.7/16" in str(caught.value)
    four = later(0.3, *attach, "ip", "addr", "add", "192.0.2.7/24", "dev", "eth0")
    six = later(0.6, *attach, "ip", "addr", "add", "2001:db8::7/64", "dev", "eth0")
    begin = time.monotonic()
    waited = wait_for(["ipv6", "ipv4", "running"], name, str(lxcpath), 20, ["eth0"])
    took = time.monotonic() - begin
    four.wait()
    six.wait()
    assert 0.5 < took < 3
    eth0 = next(i for i in waited.interfaces if i.name == "eth0")
    assert "192.0.2.7/24" in eth0.ipv4
    assert "2001:db8::7/64" in eth0.ipv6
    # Every interface that was chosen has to have one.
    with pytest.raises(OperationError, match="no IPv4 address after 0.1 s on eth1"):
        wait_for(["ipv4"], name, str(lxcpath), 0.1, ["eth0", "eth1"])
    with pytest.raises(OperationError, match="no IPv4 address after 0.1 s on lo"):
        wait_for(["ipv4"], name, str(lxcpath), 0.1, ["lo"])


def test_a_guest_that_dies_ends_the_wait(lxcpath: Path, busybox: Callable[..., str]) -> None:
    name = busybox()
    lxc("start", lxcpath, name)
    killer = later(0.3, "lxc-stop", "-P", str(lxcpath), "-n", name, "-k")
    begin = time.monotonic()
    with pytest.raises(OperationError, match="its init has ended"):
        wait_for(["ipv4"], name, str(lxcpath), 60)
    assert time.monotonic() - begin < 3
    killer.wait()


def test_a_guest_that_reboots_is_waited_for(lxcpath: Path, busybox: Callable[..., str]) -> None:
    name = busybox(config=VETH)
    lxc("start", lxcpath, name)
    before = init_pid(lxcpath, name)
    attach = f"lxc-attach -P {lxcpath} -n {name} --"
    script = f"""
        sleep 0.3; {attach} reboot -f
        while pid=$(lxc-info -P {lxcpath} -n {name} -p -H) && [ "$pid" = {before} ] || [ -z "$pid" ]; do :; done
        sleep 0.2; {attach} ip addr add 192.0.2.9/24 dev eth0
    """
    rebooter = subprocess.Popen(["sh", "-c", script])
    try:
        waited = wait_for(["ipv4"], name, str(lxcpath), 30)
    finally:
        rebooter.terminate()
        rebooter.wait()
    assert waited.pid == init_pid(lxcpath, name) != before


def test_systemd_is_not_there(lxcpath: Path, busybox: Callable[..., str]) -> None:
    name = busybox()
    lxc("start", lxcpath, name)
    begin = time.monotonic()
    with pytest.raises(OperationError, match="its init is not systemd"):
        wait_for(["systemd"], name, str(lxcpath), 30)
    assert time.monotonic() - begin < 2
    lxc("freeze", lxcpath, name)
    with pytest.raises(OperationError, match="it is frozen"):
        wait_for(["systemd"], name, str(lxcpath), 30)


def test_what_hangs_in_the_guest_is_ended_with_the_wait(lxcpath: Path, busybox: Callable[..., str]) -> None:
    name = busybox()
    tool = lxcpath / name / "rootfs/usr/bin/systemctl"
    tool.parent.mkdir(parents=True, exist_ok=True)
    tool.write_text("#!/bin/sh\nexec sleep 7777\n")
    tool.chmod(0o755)
    lxc("start", lxcpath, name)
    begin = time.monotonic()
    with pytest.raises(OperationError, match="its systemd has not booted after 1 s: it does not answer"):
        wait_for(["systemd"], name, str(lxcpath), 1)
    assert time.monotonic() - begin < 2
    listed = lxc("attach", lxcpath, name, "--", "ps").stdout
    assert "sleep 7777" not in listed
    killer = later(0.5, "lxc-stop", "-P", str(lxcpath), "-n", name, "-k")
    with pytest.raises(OperationError, match="its init has ended"):
        wait_for(["systemd"], name, str(lxcpath), 60)
    killer.wait()


def guest_with(lxcpath: Path, name: str, systemctl: str) -> None:
    """Starts a guest with that shell script as its systemctl."""
    tool = lxcpath / name / "rootfs/usr/bin/systemctl"
    tool.parent.mkdir(parents=True, exist_ok=True)
    tool.write_text(f"#!/bin/sh\n{systemctl}\n")
    tool.chmod(0o755)
    lxc("start", lxcpath, name)


def test_a_guest_that_writes_without_end(lxcpath: Path, busybox: Callable[..., str]) -> None:
    name = busybox()
    guest_with(
        lxcpath, name, '[ "$1" = list-units ] || exec echo degraded\nexec yes "$(printf \'\\033[2J%0200d x\' 7)"'
    )
    begin = time.monotonic()
    (note,) = wait_for(["systemd"], name, str(lxcpath), 30).notes
    assert time.monotonic() - begin < 5
    assert note.startswith(f"systemd in container '{name}' is degraded; failed: ?[2J0000")
    assert len(note) < 2000
    assert note.isprintable()
    assert re.search(r"\.\.\. and \d+ more$", note)
    assert " yes " not in lxc("attach", lxcpath, name, "--", "ps").stdout


def test_a_guest_that_writes_an_error_without_end(lxcpath: Path, busybox: Callable[..., str]) -> None:
    name = busybox()
    guest_with(lxcpath, name, "exec yes abc >&2")
    begin = time.monotonic()
    # It was ended and asked again.
    with pytest.raises(OperationError, match="its init is not systemd"):
        wait_for(["systemd"], name, str(lxcpath), 20)
    assert time.monotonic() - begin < 5


def test_a_guest_that_leaves_something_behind(lxcpath: Path, busybox: Callable[..., str]) -> None:
    name = busybox()
    guest_with(lxcpath, name, "sleep 7777 & echo running")
    begin = time.monotonic()
    assert wait_for(["systemd"], name, str(lxcpath), 20).notes == ()
    assert time.monotonic() - begin < 3


def test_names_of_interfaces_are_a_guests_text(lxcpath: Path, busybox: Callable[..., str]) -> None:
    name = busybox(config=VETH)
    lxc("start", lxcpath, name)
    lxc("attach", lxcpath, name, "--", "ip", "link", "set", "eth0", "name", "\033[2Jx")
    with pytest.raises(OperationError) as caught:
        wait_for(["ipv4"], name, str(lxcpath), 0.1)
    assert "?[2Jx (" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.fixture(scope="session")
def guest_root(checkout: Path) -> Path:
    """The folder of the cached Debian guest; built here if it is not there yet."""
    done = subprocess.run([str(checkout / "scripts/guest-root")], check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


@pytest.fixture
def debian(lxcpath: Path, guest_root: Path, subids: tuple[int, int]) -> Iterator[str]:
    """A stopped unprivileged Debian container with systemd and without a network."""
    name, first = "deb", subids[0] + 65536 * 43
    config = lxcpath / "deb.conf"
    lines = ["lxc.net.0.type = empty", f"lxc.idmap = u 0 {first} 65536", f"lxc.idmap = g 0 {first} 65536"]
    lines += ["lxc.include = /usr/share/lxc/config/common.conf", "lxc.include = /usr/share/lxc/config/userns.conf"]
    config.write_text("\n".join(lines) + "\n")
    lxc(
        "create", lxcpath, name, "-f", str(config), "-t", "local", "--",
        "--metadata", str(guest_root / "meta.tar.xz"), "--fstree", str(guest_root / "rootfs.tar.xz"),
    )  # fmt: skip
    yield name


@pytest.mark.slow
def test_systemd(lxcpath: Path, debian: str) -> None:
    lxc("start", lxcpath, debian)
    begin = time.monotonic()
    waited = wait_for(["systemd"], debian, str(lxcpath), 60)
    took = time.monotonic() - begin
    state = subprocess.run(
        ["lxc-attach", "-P", str(lxcpath), "-n", debian, "--", "systemctl", "is-system-running"],
        check=False, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    assert state in ("running", "degraded")
    assert bool(waited.notes) == (state == "degraded")
    # Now one unit of it has certainly failed, and it is said which.
    attach = ["lxc-attach", "-P", str(lxcpath), "-n", debian, "--"]
    subprocess.run([*attach, "systemd-run", "--unit", "lvt-fails", "false"], check=False, capture_output=True)
    note = wait_until(lambda: "lvt-fails.service" in str(wait_for(["systemd"], debian, str(lxcpath), 20).notes), 10)
    assert note
    assert re.search(
        r"is degraded; failed: .*lvt-fails.service", wait_for(["systemd"], debian, str(lxcpath), 5).notes[0]
    )
    begin = time.monotonic()
    wait_for(["systemd"], debian, str(lxcpath), 5)
    assert time.monotonic() - begin < 1.5
    assert took < 60


def test_wait_until() -> None:
    begin = time.monotonic()
    assert not wait_until(lambda: False, 0.2)
    assert 0.2 <= time.monotonic() - begin < 0.5
    answers = iter([False, False, True])
    assert wait_until(lambda: next(answers), 5)
    child = subprocess.Popen(["sleep", "0.2"])
    pidfd = os.pidfd_open(child.pid)
    begin = time.monotonic()
    assert not wait_until(lambda: False, 30, pidfd)
    assert 0.1 < time.monotonic() - begin < 2
    assert child.wait() == 0
    os.close(pidfd)
