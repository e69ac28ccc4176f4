# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Destroying: what is refused, what is kept, what is broken."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

EMPTY = [{"type": "empty"}]


def snapshot(lab, name: str) -> None:
    subprocess.run(["lxc-snapshot", "-P", str(lab.path), "-n", name], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("state", ["stopped", "started", "frozen"])
def test_from_each_state(lab, state):
    lab.make(state=state)
    done = lab.cycle("c", state="absent", shutdown_timeout=0)
    assert done["container"] == {"name": "c", "lxcpath": str(lab.path), "state": "absent"}
    assert lab.names() == []
    assert not [file for file in os.listdir("/run/lightervisor") if f"{lab.path.name}:c" in file]


def test_snapshots_are_refused_within_a_second_and_gone_when_told(lab):
    """The peer tries sixty times first. A run of the module is mostly Python's start, so that is left out."""
    lab.make()
    snapshot(lab, "c")
    snapshot(lab, "c")
    floor = lab.task("nobody", state="absent").seconds
    done = lab.refused("c", state="absent")
    assert "snap0, snap1" in done["msg"] and "destroy_snapshots: true" in done["msg"]
    assert done.seconds < floor + 1
    done = lab.cycle("c", state="absent", destroy_snapshots=True)
    assert done["actions"][0] == "destroy the snapshots snap0, snap1"
    assert lab.names() == []


def test_running_with_snapshots_goes_on_when_refused(lab):
    lab.make()
    snapshot(lab, "c")
    lab.task("c", state="started")
    pid = lab.pid("c")
    lab.refused("c", state="absent")
    assert lab.pid("c") == pid
    lab.cycle("c", state="absent", destroy_snapshots=True, shutdown_timeout=0)


def test_dependants_are_named(lab):
    lab.make("base")
    for name in ("one", "two"):
        lab.make(name, clone={"from": "base", "snapshot": True})
    done = lab.refused("base", state="absent")
    assert "'one'" in done["msg"] and "'two'" in done["msg"]
    lab.task("one", state="absent")
    assert "'one'" not in lab.refused("base", state="absent", destroy_snapshots=True)["msg"]
    lab.task("two", state="absent")
    lab.cycle("base", state="absent")


def test_unreadable_config_is_seen_and_removable(lab):
    lab.make()
    lab.edit("c", "lxc.no.such = 1")
    done = lab.refused("c", state="started")
    assert "lxc.no.such" in done["msg"]
    info = lab._run("lxc_info", {"lxcpath": [str(lab.path)]}, fails=False)
    assert [(one["name"], one["broken"]) for one in info["containers"]] == [("c", True)]
    lab.cycle("c", state="absent")
    assert lab.names() == []


def test_unreadable_config_of_a_running_container(lab):
    lab.make(state="started")
    pid = lab.pid("c")
    lab.edit("c", "lxc.no.such = 1")
    lab.cycle("c", state="absent", shutdown_timeout=0)
    assert lab.names() == []
    assert not os.path.exists(f"/proc/{pid}")


def test_unreadable_config_can_be_corrected(lab):
    lab.make()
    lab.edit("c", "lxc.no.such = 1")
    lab.cycle("c", config={"lxc.no.such": None}, state="started")
    assert lab.state("c") == "RUNNING"


def test_unmanaged_rootfs_stays_and_that_is_said(lab, tmp_path):
    lab.make()
    top = tmp_path / "top"
    shutil.move(lab.path / "c" / "rootfs", top)
    lab.task("c", config={"lxc.rootfs.path": f"dir:{top}", "lxc.rootfs.managed": 0})
    done = lab.cycle("c", state="absent")
    assert any(f"the rootfs {top} of 'c' stays" in text for text in done["warnings"])
    assert (top / "bin" / "busybox").exists()
    assert lab.names() == []


def test_unmanaged_rootfs_inside_the_container(lab):
    lab.make(config={"lxc.rootfs.managed": 0})
    done = lab.task("c", state="absent")
    assert any("stays" in text for text in done["warnings"])
    assert (lab.path / "c" / "rootfs" / "bin" / "busybox").exists()
    assert os.listdir(lab.path / "c") == ["rootfs"]
    lab.unchanged("c", state="absent")


def test_missing_rootfs_is_said_at_once(lab):
    lab.make()
    shutil.rmtree(lab.path / "c" / "rootfs")
    done = lab.refused("c", state="started")
    assert done.seconds < 3
    assert str(lab.path / "c" / "rootfs") in done["msg"]
    lab.cycle("c", state="absent")
    assert lab.names() == []


def test_init_that_ends_at_once_or_is_missing(lab):
    lab.make(config={"lxc.init.cmd": "/no/such/init"})
    done = lab.task("c", state="started", fails=True)
    assert done.seconds < 3
    assert "/no/such/init" in done["msg"]
    assert "No such file" in done["msg"]
    assert lab.state("c") == "STOPPED"


def test_somebody_elses_directory_is_not_a_container(lab):
    folder = lab.path / "c"
    folder.mkdir()
    (folder / "data").write_text("precious")
    lab.cycle("c", state="absent", changed=False)
    lab.refused("c", template={"name": "busybox"}, networks=EMPTY)
    assert (folder / "data").read_text() == "precious"


def test_mount_inside_is_not_swept_away(lab, tmp_path):
    """Something mounted below a half-made container is neither removed nor unmounted."""
    lab.make()
    (tmp_path / "data").write_text("precious")
    target = lab.path / "c" / "rootfs" / "mnt"
    target.mkdir(exist_ok=True)
    (lab.path / "c" / "partial").touch()
    subprocess.run(["mount", "--bind", str(tmp_path), str(target)], check=True)
    try:
        done = lab.task("c", state="absent", fails=True)
        assert "is mounted in it" in done["msg"]
    finally:
        subprocess.run(["umount", str(target)], check=True)
    assert (tmp_path / "data").read_text() == "precious"
    lab.cycle("c", state="absent")


@pytest.mark.parametrize("state", ["absent", "present"])
@pytest.mark.parametrize("inside", [(), (".lightervisor.json",), ("config", "rootfs")])
def test_what_a_run_left_that_was_killed_before_or_after_its_renames(lab, state, inside):
    """A directory is prepared, and taken apart, under a hidden name."""
    hidden = lab.path / ".lightervisor-c"
    hidden.mkdir()
    for name in inside:
        (hidden / name).touch()
    options = {"template": {"name": "busybox"}, "networks": EMPTY}
    lab.cycle("c", state=state, **options)
    assert lab.names() == (["c"] if state == "present" else [])
