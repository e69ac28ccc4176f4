# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers of an ordinary user who has a systemd of its own: by LXC's own programs, then through the connection."""

from __future__ import annotations

import json
import os
import pwd
import sys
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.lightervisor.lxc.tests.integration.connection import conftest as connection
from ansible_collections.lightervisor.lxc.tests.integration.connection.conftest import Answer, execute

from .conftest import Containers, run, until

NAME = "alice"
#: Makes a connection as Ansible does, without a playbook around it.
DRIVER = connection.HERE / "driver.py"


class Alice(Containers):
    """What alice does, in her own session."""

    def __init__(self) -> None:
        entry = pwd.getpwnam(NAME)
        self.uid, self.home = entry.pw_uid, Path(entry.pw_dir)
        super().__init__(self.home / ".local" / "share" / "lxc")
        runtime = f"/run/user/{self.uid}"
        self._prefix = [
            *("runuser", "-u", NAME, "--", "env", "-i", "-C", self.home, "PATH=/usr/bin:/bin:/usr/sbin:/sbin"),
            *(f"HOME={self.home}", f"USER={NAME}", "LC_ALL=C.UTF-8", f"XDG_RUNTIME_DIR={runtime}"),
            f"DBUS_SESSION_BUS_ADDRESS=unix:path={runtime}/bus",
        ]

    def does(self, *argv: object, check: bool = True, **how: str) -> str:
        """What a program of hers prints."""
        return run(*self._prefix, *argv, check=check, **how).stdout.strip()

    def connected(self, name: str, command: str) -> Answer:
        """What the connection plugin, run by her, makes of a command in one of her containers."""
        order = {"options": {"remote_addr": name}, "steps": [execute(command)]}
        collections = f"ANSIBLE_COLLECTIONS_PATH={os.environ['ANSIBLE_COLLECTIONS_PATH']}"
        (answer,) = json.loads(self.does("env", collections, sys.executable, DRIVER, input=json.dumps(order)))
        return Answer(answer)

    def lxc(self, tool: str, name: str, *args: object, check: bool = True) -> str:
        return self.does(f"lxc-{tool}", "-n", name, *args, check=check)


@pytest.fixture(scope="module")
def alice() -> Iterator[Alice]:
    """She may have ten cables on lxcbr0, and the guests' root may pass through her home directory."""
    usernet = Path("/etc/lxc/lxc-usernet")
    before = usernet.read_text() if usernet.exists() else None
    someone = Alice()
    until(lambda: Path(f"/run/user/{someone.uid}/bus").is_socket(), "the user's own bus")
    usernet.write_text(f"{before or ''}{NAME} veth lxcbr0 10\n")
    first = subordinate(NAME)
    try:
        run("setfacl", "-m", f"u:{first}:x", someone.home)
        settings = [
            "lxc.include = /etc/lxc/default.conf",
            f"lxc.idmap = u 0 {first} 65536",
            f"lxc.idmap = g 0 {first} 65536",
            "lxc.apparmor.profile = unconfined",
        ]
        someone.does("mkdir", "-p", ".config/lxc", ".local/share/lxc")
        someone.does("chmod", "a+x", ".local", ".local/share", ".local/share/lxc")
        someone.does("tee", ".config/lxc/default.conf", input="\n".join(settings) + "\n")
        yield someone
    finally:
        someone.does("rm", "-rf", ".config/lxc", ".local/share/lxc", check=False)
        if before is None:
            usernet.unlink()
        else:
            usernet.write_text(before)


def subordinate(user: str) -> int:
    """The first of the user's subordinate ids."""
    for line in Path("/etc/subuid").read_text().splitlines():
        name, first, _count = line.split(":")
        if name == user:
            return int(first)
    raise AssertionError(f"{user} has no subordinate ids")


@pytest.fixture(scope="module")
def guest(alice: Alice, template: Path) -> Iterator[str]:
    """A stopped container of hers."""
    alice.does("lxc-create", "-n", "hers", "-t", template)
    try:
        yield "hers"
    finally:
        alice.lxc("stop", "hers", "-k", check=False)
        alice.lxc("destroy", "hers")


def running(alice: Alice, name: str) -> int:
    """The init of a container that has just been started, by its id on the host."""
    alice.lxc("wait", name, "-s", "RUNNING", "-t", 60)
    return alice.pid(name)


def stop(alice: Alice, name: str) -> None:
    alice.lxc("stop", name, "-k")
    assert alice.lxc("info", name, "-sH") == "STOPPED"


def test_started_with_lxc_unpriv_start(alice, guest):
    alice.does("lxc-unpriv-start", "-n", guest)
    init = running(alice, guest)
    assert Path(f"/proc/{init}").stat().st_uid == subordinate(NAME)
    assert f"user-{alice.uid}.slice" in Path(f"/proc/{init}/cgroup").read_text()
    assert alice.does("lxc-unpriv-attach", "-n", guest, "--", "/bin/id", "-u") == "0"
    links = json.loads(alice.does("lxc-unpriv-attach", "-n", guest, "--", "/bin/cat", "/sys/class/net/eth0/type"))
    assert links == 1
    stop(alice, guest)


def test_started_in_a_delegated_scope_and_reached_through_the_connection(alice, guest):
    scope = ("systemd-run", "--user", "--scope", "--quiet", "-p", "Delegate=yes", "--")
    alice.does(*scope, "lxc-start", "-n", guest)
    init = running(alice, guest)
    cgroup = Path(f"/proc/{init}/cgroup").read_text().strip()
    assert ".scope/lxc.payload.hers" in cgroup
    # What she has been delegated she may limit.
    limits = Path(f"/sys/fs/cgroup{cgroup.partition('::')[2]}")
    assert limits.stat().st_uid in (alice.uid, subordinate(NAME))
    assert {"memory", "pids"} <= set((limits / "cgroup.controllers").read_text().split())
    assert alice.does(*scope, "lxc-attach", "-n", guest, "--", "/bin/id", "-u") == "0"

    done = alice.connected(guest, "id -u; exit 7")
    assert (done.rc, done.out) == (7, b"0\n"), done
    stop(alice, guest)
