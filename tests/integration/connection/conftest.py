# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests for the tests of the connection plugin, made once for all of them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import pytest
from ansible_collections.lightervisor.lxc.tests.integration.conftest import new_folder
from ansible_collections.lightervisor.lxc.tests.support import leftovers

HERE = Path(__file__).resolve().parent
#: The password of `alice` and of root in the Debian guest, and its crypt(3) form.
PASSWORD = "se cret'"
DEBIAN_CONFIG = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.rootfs.path = dir:{path}/debian/rootfs
lxc.uts.name = debian
lxc.net.0.type = empty
lxc.apparmor.profile = unconfined
lxc.init.cmd = /usr/bin/sleep infinity
"""


def run(*argv: str | Path, check: bool = True, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run a command of the host. Its output stands in the failure."""
    how.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=300, check=False, **how)
    assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done


class Answer:
    """What one step gave: `rc`, `out`, `err` of a command, or `error` and `msg` of an exception."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.rc: int | None = raw.get("rc")
        self.out = base64.b64decode(raw.get("out", ""))
        self.err = base64.b64decode(raw.get("err", ""))
        self.error: str | None = raw.get("error")
        self.msg: str = raw.get("msg", "")
        self.seconds: float = raw["seconds"]

    def __repr__(self) -> str:
        return f"{self.error} {self.msg}" if self.error else f"rc={self.rc} out={self.out!r} err={self.err!r}"


def execute(command: str, data: bytes | None = None) -> list[Any]:
    """A step that runs a command in the guest."""
    return ["exec", command, None if data is None else base64.b64encode(data).decode()]


@pytest.fixture(scope="session")
def guests() -> Iterator[Path]:
    """The lxcpath of the guests here."""
    path = new_folder("conn")
    try:
        yield path
    finally:
        leftovers.clear_lxcpath(path)


@pytest.fixture(scope="session")
def make(guests: Path) -> Callable[..., str]:
    """`make(name, *config, start=True)`: a busybox guest in `guests`, with a user `walter` who can't log in."""

    def new(name: str, *config: str, start: bool = True) -> str:
        lines = "".join(f"{line}\n" for line in ("lxc.net.0.type = empty", *config))
        with tempfile.NamedTemporaryFile("w", prefix="lvt-", suffix=".conf") as file:
            file.write(lines)
            file.flush()
            run("lxc-create", "-P", guests, "-n", name, "-f", file.name, "-t", "busybox")
        rootfs = guests / name / "rootfs"
        with (rootfs / "etc/passwd").open("a") as passwd, (rootfs / "etc/group").open("a") as group:
            passwd.write("walter:x:1000:1000::/home/walter:/bin/false\n")
            group.write("walter:x:1000:\nletters:x:1001:walter\n")
        if start:
            run("lxc-start", "-P", guests, "-n", name)
            enter = ("lxc-attach", "-P", guests, "-n", name, "--clear-env", "--", "/bin/sh", "-c")
            run(*enter, "mkdir -p /home/walter && chown 1000:1000 /home/walter")
        return name

    return new


@pytest.fixture(scope="session")
def guest(make: Callable[..., str]) -> str:
    """A running, privileged busybox guest."""
    return make("bb")


@pytest.fixture(scope="session")
def mapped(make: Callable[..., str], subids: tuple[int, int]) -> str:
    """A running busybox guest with an id map."""
    return make("mapped", *(f"lxc.idmap = {kind} 0 {subids[0]} 65536" for kind in "ug"))


@pytest.fixture(scope="session")
def debian(guests: Path, checkout: Path) -> str:
    """A running Debian guest with Python and sudo; its init only sleeps. `alice` may use sudo with a password."""
    made = run(checkout / "scripts" / "guest-root").stdout.strip()
    rootfs = guests / "debian" / "rootfs"
    rootfs.mkdir(parents=True)
    run("tar", "-C", rootfs, "--numeric-owner", "-xJf", Path(made) / "rootfs.tar.xz")
    (guests / "debian" / "config").write_text(DEBIAN_CONFIG.format(path=guests))
    run("lxc-start", "-P", guests, "-n", "debian")
    enter = ("lxc-attach", "-P", guests, "-n", "debian", "--clear-env", "--")
    run(*enter, "useradd", "-m", "-s", "/bin/sh", "-G", "sudo", "alice")
    run(*enter, "useradd", "-m", "-s", "/usr/sbin/nologin", "bob")
    run(*enter, "chpasswd", stdin=None, input=f"alice:{PASSWORD}\nroot:{PASSWORD}\n")
    return "debian"


@pytest.fixture(scope="session")
def talk(guests: Path) -> Callable[..., list[Answer]]:
    """`talk(name, step, …, option=value, prefix=())`: what a connection to that guest makes of each step."""

    def drive(name: str, *steps: Sequence[Any], prefix: Sequence[str] = (), **options: Any) -> list[Answer]:
        order = {"options": {"remote_addr": name, "lxcpath": str(guests), **options}, "steps": steps}
        done = subprocess.run(
            [*prefix, sys.executable, str(HERE / "driver.py")],
            check=False,
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=120,
            start_new_session=True,
        )
        assert done.returncode == 0, done.stderr
        return [Answer(raw) for raw in json.loads(done.stdout)]

    return drive


@pytest.fixture
def inventory(guests: Path, tmp_path: Path) -> Callable[..., Path]:
    """`inventory(name, …, variable=value)`: an inventory file with these guests."""

    def write(*names: str, **variables: Any) -> Path:
        common = {
            "ansible_connection": "lightervisor.lxc.lxc",
            "ansible_lxc_lxcpath": str(guests),
            "ansible_python_interpreter": "/usr/bin/python3",
            **variables,
        }
        path = tmp_path / "inventory.json"
        path.write_text(json.dumps({"all": {"hosts": dict.fromkeys(names, common)}}))
        return path.rename(path.with_suffix(".yml"))

    return write
