# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""lxc_container on a stock system: AppArmor's generated profile, cgroup v2, lxc-net."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import profile_of, run

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
    changed = lab.cycle("life", template=small, **options)
    assert not changed["restart_required"]
    assert (lab.pid("life"), limit(init, "memory.max")) == (init, str(96 << 20))

    lab.cycle("life", state="frozen", repeat=False)
    assert limit(init, "cgroup.freeze") == "1"
    lab.cycle("life", state="started", repeat=False)
    assert limit(init, "cgroup.freeze") == "0"

    # The profile takes a restart.
    options["config"] = {"lxc.apparmor.profile": "unconfined"}
    waits = lab.cycle("life", repeat=False, **options)
    assert waits["restart_keys"] == ["lxc.apparmor.profile"]
    lab.cycle("life", restart="if_needed", shutdown_timeout=20, repeat=False, **options)
    assert profile_of(lab.pid("life")) == "unconfined"

    lab.cycle("life", state="stopped", shutdown_timeout=20, repeat=False)
    assert payload("life") == []
    lab.cycle("life", state="absent")
    assert lab.names() == []


def test_clones_start_under_profiles_of_their_own(lab, small):
    lab.make("base", template=small, networks=VETH, config=CONFINED)
    lab.cycle("full", clone={"from": "base"}, state="started", repeat=False)
    lab.cycle("over", clone={"from": "base", "snapshot": True}, state="started", repeat=False)
    for name in ("full", "over"):
        assert profile_of(lab.pid(name)).startswith(f"lxc-{name}_<")
        lab.in_guest(name, "/bin/touch", "/written")
    assert not (lab.path / "base" / "rootfs" / "written").exists()
    for name in ("over", "full", "base"):
        lab.task(name, state="absent", shutdown_timeout=0)
    assert lab.names() == []


def test_a_privileged_container_is_confined(lab, small):
    lab.task("root", template=small, privileged=True, networks=VETH, config=CONFINED, state="started")
    assert profile_of(lab.pid("root")).startswith("lxc-root_<")
    done = run("lxc-attach", "-P", lab.path, "-n", "root", "--", "mount", "-t", "debugfs", "none", "/mnt", check=False)
    assert done.returncode != 0
    lab.task("root", state="restarted", shutdown_timeout=20)
    assert profile_of(lab.pid("root")).startswith("lxc-root_<")
    lab.task("root", state="absent", shutdown_timeout=0)


def test_on_a_thin_volume(lab, small, volume_group):
    store = {"type": "lvm", "vg": volume_group, "thinpool": "pool", "size": "200M", "fstype": "ext4"}
    lab.cycle("thin", template=small, backingstore=store, config=CONFINED, state="started")
    assert os.path.exists(f"/dev/{volume_group}/thin")
    lab.in_guest("thin", "/bin/touch", "/written")
    lab.cycle("thin", state="absent", shutdown_timeout=0)
    assert run("lvs", "--noheadings", "-o", "lv_name", volume_group).stdout.split() == ["pool"]


def test_on_a_data_set_and_its_clone(lab, small, pool):
    store = {"type": "zfs", "zfs_root": pool}
    lab.cycle("set", template=small, backingstore=store, config=CONFINED)
    lab.cycle("clone", clone={"from": "set", "snapshot": True}, state="started")
    assert run("zfs", "get", "-Ho", "value", "origin", f"{pool}/clone").stdout.startswith(f"{pool}/set@")
    lab.cycle("clone", state="absent", shutdown_timeout=0, repeat=False)
    lab.cycle("set", state="absent", repeat=False)
    assert run("zfs", "list", "-Hr", "-o", "name", pool).stdout.split() == [pool]
