# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clones: full and sharing, on directories, btrfs and overlays; the origin is never touched."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

EMPTY = [{"type": "empty"}]


@contextmanager
def untouched(lab, name: str = "base", shared: bool = False):
    """The origin's files and state are the same afterwards; only liblxc's list of its dependants may be new."""
    before, state = files(lab, name, shared), lab.state(name)
    yield
    assert files(lab, name, shared) == before
    assert lab.state(name) == state


def files(lab, name: str, shared: bool) -> dict[str, str]:
    own = (".", "lxc_snapshots") if shared else ()
    found = {path: text for path, text in lab._hash(lab.path / name).items() if path not in own}
    found = {path: text for path, text in found.items() if not path.startswith("overlay/work")}
    for path in found:
        if path.startswith("overlay/delta"):
            # The kernel notes in an overlay's upper directories, in attributes of its own, what it merged to read them.
            words = found[path].split(" ")
            found[path] = " ".join(words[:4] + words[5:])
    return found


def first_id(lab, name: str) -> int:
    return int(lab.lines(name, "lxc.idmap")[0].split()[2])


def test_full_clone_has_its_own_files_and_ids(lab):
    lab.make("base")
    with untouched(lab):
        done = lab.cycle("c", clone={"from": "base"}, state="started")
    assert done["container"]["rootfs"]["backingstore"] == "dir"
    assert done["container"]["origin"] is None
    assert abs(first_id(lab, "c") - first_id(lab, "base")) >= 65536
    for path in ("", "bin/busybox", "etc/passwd", "sbin/init"):
        assert os.lstat(lab.path / "c" / "rootfs" / path).st_uid == first_id(lab, "c")
    assert lab.in_guest("c", "/bin/stat", "-c", "%u", "/etc/passwd") == "0"
    lab.task("c", state="absent", shutdown_timeout=0)


def test_snapshot_of_a_directory_is_an_overlay(lab):
    lab.make("base")
    with untouched(lab, shared=True):
        done = lab.cycle("c", clone={"from": "base", "snapshot": True}, state="started")
    assert done["container"]["rootfs"]["backingstore"] == "overlay"
    assert done["container"]["origin"] == {"name": "base", "lxcpath": str(lab.path)}
    assert first_id(lab, "c") == first_id(lab, "base")
    lab.in_guest("c", "/bin/touch", "/etc/mine")
    assert not (lab.path / "base" / "rootfs" / "etc" / "mine").exists()
    assert "depend on its files: 'c'." in lab.refused("base", state="absent")["msg"]
    lab.cycle("c", state="absent", shutdown_timeout=0)
    assert not (lab.path / "base" / "lxc_snapshots").exists()
    lab.cycle("base", state="absent")


def test_directories_of_the_base_can_be_renamed_and_removed_in_an_unprivileged_overlay(lab):
    lab.make("base")
    lab.task("c", clone={"from": "base", "snapshot": True}, state="started")
    lab.in_guest("c", "/bin/sh", "-c", "mv /home /home2 && rm -rf /selinux && mkdir /etc/new && mv /etc/new /etc/old")
    listed = "ls -d /home2 /etc/old; ls -d /home /selinux 2>/dev/null; true"
    assert lab.in_guest("c", "/bin/sh", "-c", listed).split() == [
        "/etc/old",
        "/home2",
    ]


def test_chain_of_overlays(lab):
    """base -> web -> site: what is in the lower layers is seen, and each can be destroyed from the top only."""
    lab.make("base")
    lab.make("web", clone={"from": "base", "snapshot": True}, state="started")
    lab.in_guest("web", "/bin/touch", "/etc/web")
    lab.task("web", state="stopped", shutdown_timeout=0)
    with untouched(lab, "web", shared=True), untouched(lab, "base", shared=True):
        lab.cycle("site", clone={"from": "web", "snapshot": True}, state="started")
    assert lab.in_guest("site", "/bin/ls", "/etc/web") == "/etc/web"
    assert "depend on its files: 'site'." in lab.refused("web", state="absent")["msg"]
    for name in ("site", "web", "base"):
        lab.task(name, state="absent", shutdown_timeout=0)
    assert lab.names() == []


def test_full_clone_of_an_overlay_is_a_directory_of_its_own(lab):
    lab.make("base")
    lab.make("web", clone={"from": "base", "snapshot": True}, state="started")
    lab.in_guest("web", "/bin/touch", "/etc/web")
    lab.task("web", state="stopped", shutdown_timeout=0)
    with untouched(lab, "web"), untouched(lab, "base"):
        done = lab.cycle("site", clone={"from": "web"}, state="started")
    assert done["container"]["rootfs"]["backingstore"] == "dir"
    assert done["container"]["origin"] is None
    assert lab.in_guest("site", "/bin/ls", "/etc/web") == "/etc/web"
    assert lab.in_guest("site", "/bin/stat", "-c", "%u", "/etc/web", "/etc/passwd") == "0\n0"
    lab.task("web", state="absent")
    lab.task("base", state="absent")
    assert lab.state("site") == "RUNNING"


@pytest.mark.parametrize("snapshot", [False, True])
def test_btrfs_clones_are_subvolumes_with_their_own_ids(lab_at, btrfs_path, snapshot):
    lab = lab_at(btrfs_path)
    lab.make("base", backingstore={"type": "btrfs"})
    with untouched(lab, shared=True):
        done = lab.cycle("c", clone={"from": "base", "snapshot": snapshot}, state="started")
    assert done["container"]["rootfs"]["backingstore"] == "btrfs"
    assert first_id(lab, "c") != first_id(lab, "base")
    assert os.lstat(lab.path / "c" / "rootfs" / "bin" / "busybox").st_uid == first_id(lab, "c")
    assert lab.in_guest("c", "/bin/stat", "-c", "%u", "/etc/passwd") == "0"
    lab.cycle("c", state="absent", shutdown_timeout=0)
    lab.cycle("base", state="absent")
    shown = subprocess.run(["btrfs", "subvolume", "list", str(btrfs_path)], check=True, capture_output=True, text=True)
    assert shown.stdout == ""


def test_into_another_lxcpath_and_back(lab, lab_at, lxcpaths):
    other = lab_at(lxcpaths())
    lab.make("base")
    for snapshot, name in ((False, "full"), (True, "shared")):
        clone = {"from": "base", "lxcpath": str(lab.path), "snapshot": snapshot}
        with untouched(lab, shared=snapshot):
            done = other.cycle(name, clone=clone, state="started")
        assert done["container"]["lxcpath"] == str(other.path)
    assert lab.names() == ["base"]
    assert first_id(other, "full") != first_id(lab, "base") == first_id(other, "shared")
    assert "depend on its files: 'shared'." in lab.refused("base", state="absent")["msg"]
    # The same name in another lxcpath is another container.
    other.cycle("base", clone={"from": "base", "lxcpath": str(lab.path)})
    other.task("shared", state="absent", shutdown_timeout=0)
    lab.cycle("base", state="absent")
    assert other.names() == ["base", "full"]


def test_host_name_and_macs(lab, bridge):
    nics = [{"type": "veth", "link": bridge, "hwaddr": "00:16:3e:11:22:33"}, {"type": "veth", "link": bridge}]
    lab.make("base", networks=nics)
    base = [lab.lines("base", f"lxc.net.{n}.hwaddr")[0] for n in (0, 1)]
    with untouched(lab):
        lab.cycle("new", clone={"from": "base"})
        lab.cycle("kept", clone={"from": "base", "keep_name": True, "keep_mac": True})
        lab.cycle("named", clone={"from": "base"}, networks=[{"type": "veth", "link": bridge}])
    assert lab.item("new", "lxc.uts.name") == "new"
    assert lab.item("kept", "lxc.uts.name") == "base"
    assert [lab.lines("kept", f"lxc.net.{n}.hwaddr")[0] for n in (0, 1)] == base
    macs = base + [lab.lines(name, f"lxc.net.{n}.hwaddr")[0] for name in ("new", "named") for n in (0, 1)]
    assert len(set(macs)) == 6
    for name in ("new", "named"):
        first = lab.lines(name, "lxc.net.0.hwaddr")
        lab.task(name, state="started")
        assert lab.lines(name, "lxc.net.0.hwaddr") == first
        assert first[0] in lab.in_guest(name, "/bin/cat", "/sys/class/net/eth0/address")


def test_config_of_the_clone(lab):
    lab.make("base", config={"lxc.start.order": 5, "lxc.environment": ["A=1", "B=2"]})
    lab.cycle("c", clone={"from": "base"}, config={"lxc.start.order": 9, "lxc.environment": {"remove": ["A=1"]}})
    assert lab.lines("c", "lxc.start.order") == ["9"]
    assert lab.lines("c", "lxc.environment") == ["B=2"]


@pytest.mark.parametrize("state", ["started", "frozen"])
@pytest.mark.parametrize("snapshot", [False, True])
def test_origin_that_runs_is_left_alone(lab, state, snapshot):
    lab.make("base", state=state)
    pid = lab.pid("base")
    done = lab.refused("c", clone={"from": "base", "snapshot": snapshot})
    assert done["msg"].startswith(f"Cannot clone container 'base': it is {lab.state('base').lower()}")
    assert (lab.pid("base"), lab.names()) == (pid, ["base"])


def test_origin_that_is_none(lab):
    assert "there is none" in lab.refused("c", clone={"from": "nobody"})["msg"]
    assert lab.refused("c", clone={"from": "c"})["path"] == "clone.from"


def test_privileged_origin(lab):
    lab.make("base", privileged=True)
    assert "privileged" in lab.refused("c", clone={"from": "base", "snapshot": True})["msg"]
    with untouched(lab):
        lab.cycle("full", clone={"from": "base"}, state="started")
    assert os.lstat(lab.path / "full" / "rootfs" / "bin" / "busybox").st_uid == first_id(lab, "full")
    with untouched(lab, shared=True):
        lab.cycle("shared", clone={"from": "base", "snapshot": True}, privileged=True, state="started")
    assert not lab.lines("shared", "lxc.idmap")


def test_explicit_map_for_a_clone(lab, subids):
    lab.make("base")
    start = subids[0] + subids[1] - 65536
    idmap = [f"u 0 {start} 65536", f"g 0 {start} 65536"]
    assert "shares its files" in lab.refused("c", clone={"from": "base", "snapshot": True}, idmap=idmap)["msg"]
    lab.cycle("c", clone={"from": "base"}, idmap=idmap, state="started")
    assert os.lstat(lab.path / "c" / "rootfs" / "etc" / "passwd").st_uid == start
    lab.cycle("plain", clone={"from": "base"}, privileged=True, state="started")
    assert os.lstat(lab.path / "plain" / "rootfs" / "etc" / "passwd").st_uid == 0


def test_drift_of_the_origin(lab):
    for name in ("one", "two"):
        lab.make(name)
    lab.make("c", clone={"from": "one", "snapshot": True})
    assert "its origin is 'one', not 'two'" in lab.refused("c", clone={"from": "two", "snapshot": True})["msg"]
    assert lab.unchanged("c", clone={"from": "two", "snapshot": True}, drift="warn")["warnings"]


def test_half_made_by_a_killed_lxc_copy_is_repaired_or_removed(lab, kill_tool):
    lab.make("base")
    # Enough for rsync to be at it for a moment.
    big = lab.path / "base" / "rootfs" / "big"
    big.write_bytes(os.urandom(1 << 20) * 96)
    os.chown(big, first_id(lab, "base"), first_id(lab, "base"))
    seen = set()
    with untouched(lab):
        for attempt in range(10):
            kill_tool(["lxc-copy", "-P", str(lab.path), "-n", "base", "-N", "c"], 0.01 + 0.015 * attempt)
            folder = lab.path / "c"
            whole = folder.exists() and "lxc.rootfs.path" in lab.config("c") if (folder / "config").exists() else False
            seen.add("nothing" if not folder.exists() else "whole" if whole else "half")
            if attempt % 2:
                lab.task("c", state="absent")
                assert lab.names() == ["base"]
            else:
                lab.task("c", clone={"from": "base"}, drift="warn", state="started")
                assert lab.state("c") == "RUNNING"
                assert Path(lab.path / "c" / "rootfs" / "big").stat().st_size == 96 << 20
                lab.task("c", state="absent", shutdown_timeout=0)
    assert "half" in seen
