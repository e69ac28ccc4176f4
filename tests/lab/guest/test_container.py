# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""lxc_container on a stock system: AppArmor's generated profile, cgroup v2, lxc-net."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import profile_of, run

EMPTY = [{"type": "empty"}]
VETH = [{"type": "veth", "link": "lxcbr0", "up": True}]
CONFINED = {"lxc.apparmor.profile": "generated"}


@pytest.fixture
def small(template):
    return {"name": str(template)}


def limit(pid: int, name: str) -> str:
    """A file of the cgroup that a process is in."""
    group = Path(f"/proc/{pid}/cgroup").read_text().strip().partition("::")[2]
    return Path(f"/sys/fs/cgroup{group}", name).read_text().strip()


def payload(name: str) -> list[str]:
    """The cgroups of containers of this name."""
    return [str(path) for path in Path("/sys/fs/cgroup").glob(f"lxc.*.{name}")]


def test_a_confined_container_with_limits_through_its_life(lab, small):
    first = {**CONFINED, "lxc.cgroup2.memory.max": "64M", "lxc.cgroup2.pids.max": 50}
    options = {"networks": VETH, "config": first, "state": "started", "wait_for": ["ipv4"]}
    made = lab.cycle("life", template=small, **options)
    init = lab.pid("life")
    assert profile_of(init).startswith("lxc-life_<")
    assert limit(init, "memory.max") == str(64 << 20)
    assert limit(init, "pids.max") == "50"
    assert made["container"]["ipv4"][0].startswith("10.0.3.")
    assert not made["container"]["privileged"]
    assert Path(f"/proc/{init}").stat().st_uid == int(lab.lines("life", "lxc.idmap")[0].split()[2])

    # A limit changes in the running guest.
    options["config"] = {**first, "lxc.cgroup2.memory.max": "96M"}
    changed = lab.cycle("life", template=small, repeat=False, **options)
    assert not changed["restart_required"]
    assert (lab.pid("life"), limit(init, "memory.max")) == (init, str(96 << 20))

    lab.task("life", state="frozen")
    assert limit(init, "cgroup.freeze") == "1"
    lab.task("life", state="started")
    assert limit(init, "cgroup.freeze") == "0"

    # The profile takes a restart.
    options["config"] = {"lxc.apparmor.profile": "unconfined"}
    assert lab.task("life", **options)["restart_keys"] == ["lxc.apparmor.profile"]
    lab.task("life", restart="if_needed", shutdown_timeout=20, **options)
    assert profile_of(lab.pid("life")) == "unconfined"

    lab.task("life", state="stopped", shutdown_timeout=20)
    assert payload("life") == []
    lab.cycle("life", state="absent", repeat=False)
    assert lab.names() == []


def test_on_a_thin_volume(lab, small, volume_group):
    store = {"type": "lvm", "vg": volume_group, "thinpool": "pool", "size": "200M", "fstype": "ext4"}
    lab.cycle("thin", template=small, backingstore=store, networks=EMPTY, state="started")
    assert os.path.exists(f"/dev/{volume_group}/thin")
    lab.in_guest("thin", "/bin/touch", "/written")
    lab.task("thin", state="absent", shutdown_timeout=0)
    assert run("lvs", "--noheadings", "-o", "lv_name", volume_group).stdout.split() == ["pool"]


def test_on_a_data_set_and_its_clone(lab, small, pool):
    store = {"type": "zfs", "zfs_root": pool}
    lab.task("set", template=small, backingstore=store, networks=EMPTY)
    lab.cycle("clone", clone={"from": "set", "snapshot": True}, state="started")
    lab.in_guest("clone", "/bin/touch", "/written")
    assert run("zfs", "get", "-Ho", "value", "origin", f"{pool}/clone").stdout.startswith(f"{pool}/set@")
    for name in ("clone", "set"):
        lab.task(name, state="absent", shutdown_timeout=0)
    assert run("zfs", "list", "-Hr", "-o", "name", pool).stdout.split() == [pool]
