# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests that run inside a lab guest."""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.lightervisor.lxc.tests.integration.conftest import (  # noqa: F401  # pylint: disable=unused-import
    hash_tree,
    lxcpath,
    lxcpaths,
    machine,
    new_folder,
    run_module,
    run_playbook,
    start_module,
    subids,
    tree_hash,
)
from ansible_collections.lightervisor.lxc.tests.integration.container.conftest import (  # noqa: F401  # pylint: disable=unused-import
    Lab,
    lab,
)
from ansible_collections.lightervisor.lxc.tests.support import leftovers

#: A template: busybox and its links, the guest asks for an address on eth0 if it has one. LXC's own takes longer.
TEMPLATE = """\
#!/bin/sh
set -e
for word; do
    case $word in
        --rootfs=*) rootfs=${word#*=} ;;
        --path=*) path=${word#*=} ;;
        --name=*) name=${word#*=} ;;
    esac
done
cd "$rootfs"
mkdir -p bin dev etc home mnt proc root run sbin sys tmp usr/bin usr/sbin etc/udhcpc var/log
cp /bin/busybox bin/busybox
chroot . /bin/busybox --install -s /bin
ln -s /bin/busybox sbin/init
echo root:x:0:0:root:/root:/bin/sh >etc/passwd
echo root:x:0: >etc/group
echo ::sysinit:/etc/rc >etc/inittab
printf '#!/bin/sh\\nip link set lo up\\n[ ! -e /sys/class/net/eth0 ] || exec udhcpc -b -S -i eth0\\n' >etc/rc
printf '#!/bin/sh\\n[ "$1" != bound ] || ip addr add "$ip/$mask" dev "$interface"\\n' >etc/udhcpc/default.script
chmod 755 etc/rc etc/udhcpc/default.script
cat >>"$path/config" <<END
lxc.uts.name = $name
lxc.signal.halt = SIGUSR1
lxc.mount.auto = cgroup:mixed proc:mixed sys:mixed
END
"""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab: runs in a guest of the lab")
    config.addinivalue_line("markers", "two: needs the lab's second guest")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session", autouse=True)
def release() -> str:
    """The release that this guest of the lab is. These tests take disks and links that only a guest has to give."""
    try:
        return Path("/etc/lightervisor-lab").read_text().strip()
    except FileNotFoundError:
        pytest.fail("This is no guest of the lab: run these tests with scripts/test lab")


def run(*argv: object, check: bool = True, timeout: float = 120, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run a program. Unless `check` is False it must succeed; what it printed stands in the failure."""
    if "input" not in how:
        how["stdin"] = subprocess.DEVNULL
    words = [str(word) for word in argv]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=timeout, **how)
    assert done.returncode == 0 or not check, f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done


def until(true: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """The first true value that the function returns."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        select.select([], [], [], 0.2)
    return value


class Containers:
    """Containers in one lxcpath, made and used with LXC's own programs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lxc(self, tool: str, name: str, *args: object, check: bool = True) -> str:
        """What a program says of a container."""
        return run(f"lxc-{tool}", "-P", self.path, "-n", name, *args, check=check).stdout.strip()

    def pid(self, name: str) -> int:
        """Its init."""
        return int(self.lxc("info", name, "-pH"))

    def profile(self, name: str) -> str:
        """The AppArmor profile of its init."""
        return profile_of(self.pid(name))

    def inside(self, name: str, *command: object, check: bool = True) -> str:
        """What a command in it prints."""
        return self.lxc("attach", name, "--clear-env", "--", *command, check=check)


def profile_of(pid: int) -> str:
    """What a process is confined by, as AppArmor says it."""
    return Path(f"/proc/{pid}/attr/current").read_text().rstrip("\0\n")


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A template of busybox guests that ask for an address on eth0, if they have one."""
    folder = new_folder("template")
    try:
        path = folder / "small"
        path.write_text(TEMPLATE)
        path.chmod(0o755)
        yield path
    finally:
        leftovers.clear_lxcpath(folder)


@pytest.fixture
def containers(lxcpath: Path) -> Containers:  # noqa: F811
    """Plain LXC in an lxcpath of the test's own."""
    return Containers(lxcpath)


@pytest.fixture(scope="session")
def volume_group() -> Iterator[str]:
    """A volume group with a thin pool `pool`."""
    name = "lvtvg"
    run("pvcreate", "-qy", "/dev/disk-lvm")
    try:
        run("vgcreate", "-q", name, "/dev/disk-lvm")
        run("lvcreate", "-q", "-L", "2G", "-T", f"{name}/pool")
        yield name
    finally:
        run("vgremove", "-qff", "-y", name, check=False)
        run("pvremove", "-qff", "-y", "/dev/disk-lvm")


@pytest.fixture(scope="session")
def pool(release: str) -> Iterator[str]:
    """A ZFS data set for containers."""
    if release != "bookworm":
        pytest.skip("the lab builds OpenZFS for bookworm's kernel only")
    name = "lvttank"
    run("zpool", "create", "-f", "-O", "mountpoint=none", name, "/dev/disk-zfs")
    try:
        run("zfs", "create", f"{name}/lxc")
        yield f"{name}/lxc"
    finally:
        run("zpool", "destroy", "-f", name)


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network namespace: the other end of this test's cables."""
    name = f"lvt-{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        run("ip", "netns", "delete", name)
