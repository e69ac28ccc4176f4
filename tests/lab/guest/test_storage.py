# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers on LVM's thin volumes and on ZFS: by LXC's own programs, then by the modules."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import run


@pytest.fixture
def lvm_settings(tmp_path, monkeypatch):
    """Settings of LVM's for what the test starts: liblxc does not activate a thin snapshot that says to be skipped."""
    text = Path("/etc/lvm/lvm.conf").read_text()
    (tmp_path / "lvm.conf").write_text(f"{text}\nactivation/auto_set_activation_skip=0\n")
    monkeypatch.setenv("LVM_SYSTEM_DIR", str(tmp_path))


def volume(field: str, name: str) -> str:
    return run("lvs", "--noheadings", "-o", field, name).stdout.strip()


def mounted_root(pid: int) -> str:
    """The device that a process has as its root file system."""
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        if line.split()[4] == "/":
            return line.partition(" - ")[2].split()[1]
    raise AssertionError("it has no root")


def test_lvm_thin_volume_and_its_snapshot(containers, template, volume_group, lvm_settings):
    store = ("-B", "lvm", "--vgname", volume_group, "--thinpool", "pool", "--fssize", "200M", "--fstype", "ext4")
    run("lxc-create", "-P", containers.path, "-n", "thin", "-f", "/dev/null", "-t", template, *store)
    assert volume("segtype,pool_lv", f"{volume_group}/thin").split() == ["thin", "pool"]
    run("lxc-copy", "-P", containers.path, "-n", "thin", "-N", "twin", "-s")
    assert volume("origin", f"{volume_group}/twin") == "thin"
    containers.lxc("start", "twin")
    assert mounted_root(containers.pid("twin")) == f"/dev/{volume_group}/twin"
    containers.inside("twin", "/bin/touch", "/written")
    containers.lxc("stop", "twin", "-k")
    containers.lxc("destroy", "twin")
    assert run("lvs", "--noheadings", "-o", "lv_name", volume_group).stdout.split() == ["pool", "thin"]
    containers.lxc("destroy", "thin")


def test_zfs_data_set_clone_snapshot_and_rollback(containers, template, pool):
    store = ("-B", "zfs", "--zfsroot", pool)
    run("lxc-create", "-P", containers.path, "-n", "set", "-f", "/dev/null", "-t", template, *store)
    run("lxc-copy", "-P", containers.path, "-n", "set", "-N", "clone", "-s")
    assert run("zfs", "get", "-Ho", "value", "origin", f"{pool}/clone").stdout.startswith(f"{pool}/set@")
    containers.lxc("start", "clone")
    assert mounted_root(containers.pid("clone")) == f"{pool}/clone"
    containers.lxc("stop", "clone", "-k")

    rootfs = containers.path / "set" / "rootfs"
    if not rootfs.is_mount():
        run("zfs", "mount", f"{pool}/set")
    run("zfs", "snapshot", f"{pool}/set@before")
    (rootfs / "written").touch()
    run("zfs", "rollback", f"{pool}/set@before")
    assert not (rootfs / "written").exists() and (rootfs / "bin/busybox").exists()
    run("zfs", "destroy", f"{pool}/set@before")
    containers.lxc("snapshot", "set")
    assert containers.lxc("snapshot", "set", "-L").startswith("snap0 ")
    containers.lxc("snapshot", "set", "-d", "snap0")
    containers.lxc("destroy", "clone")
    containers.lxc("destroy", "set")
    assert run("zfs", "list", "-Hr", "-o", "name", pool).stdout.split() == [pool]
