# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile input is refused with the path to it; a hostile rootfs reaches nothing outside itself."""

from __future__ import annotations

import os

import pytest

BUSYBOX = {"name": "busybox"}
EMPTY = [{"type": "empty"}]
NAMES = [
    "a/b",
    "/etc",
    "..",
    ".",
    ".hidden",
    "-n",
    "",
    "a b",
    "a\nb",
    "a\n",
    "a\tb",
    "x" * 300,
    "ünïcode",
    "a\u202eb",
    "$(id)",
    "`id`",
    "a;b",
    "a'b",
    'a"b',
    "a*",
    "a\\b",
    "../../etc/passwd",
]


@pytest.mark.parametrize("name", NAMES)
def test_names(lab, name):
    done = lab.refused(name, template=BUSYBOX)
    assert done["path"] == "name"
    assert done["msg"].startswith("name: ")
    assert lab.refused("c", clone={"from": name})["path"] == "clone.from"
    assert lab.names() == []


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a\nb", "/a:b", "/a,b", "/a/.."])
def test_lxcpaths(lab, path):
    for options, where in (
        ({"lxcpath": path}, "lxcpath"),
        ({"clone": {"from": "x", "lxcpath": path}}, "clone.lxcpath"),
    ):
        params = {"name": "c", "lxcpath": str(lab.path), "template": BUSYBOX, **options}
        if "clone" in options:
            del params["template"]
        done = lab._run("lxc_container", params)
        assert done["path"] == where, done["msg"]


INJECTED = "x\nlxc.hook.pre-start = /bin/false"


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"config": {"lxc.uts.name": INJECTED}}, "config[lxc.uts.name]"),
        ({"config": {"lxc.environment": ["A=1", INJECTED]}}, "config[lxc.environment][1]"),
        ({"config": {"lxc.environment": {"add": [INJECTED]}}}, "config[lxc.environment].add[0]"),
        ({"config": {"lxc.utsname": INJECTED}}, "config[lxc.utsname]"),
        ({"networks": [{"type": "veth", "name": INJECTED}]}, "networks[0].name"),
        ({"networks": [{"type": "veth", "script_up": "/" + INJECTED}]}, "networks[0].script_up"),
        ({"autostart": {"groups": [INJECTED]}}, "autostart.groups[0]"),
        ({"idmap": [INJECTED]}, "idmap[0]"),
        ({"template": {"name": "busybox", "arguments": [INJECTED]}}, "template.arguments[0]"),
        ({"template": {"name": INJECTED}}, "template.name"),
        ({"backingstore": {"type": "dir", "dir": "/" + INJECTED}}, "backingstore.dir"),
        ({"backingstore": {"type": "lvm", "vg": INJECTED}}, "backingstore.vg"),
    ],
)
def test_line_breaks_in_values(lab, options, path):
    done = lab.refused("c", **{"template": BUSYBOX, **options})
    assert done["path"] == path
    assert "\n" not in done["msg"].replace("\\n", "")


def test_symlink_as_container_is_refused(lab, lxcpaths, lab_at):
    other = lab_at(lxcpaths())
    other.make("real")
    before = other.hash()
    (lab.path / "c").symlink_to(other.path / "real")
    for options in (
        {"state": "absent"},
        {"template": BUSYBOX},
        {"config": {"lxc.start.order": 1}},
        {"state": "started"},
    ):
        assert "symbolic link" in lab.refused("c", **options)["msg"]
    assert other.hash() == before


@pytest.mark.parametrize("file", ["config", "lxc_snapshots", "lxc_rdepends", ".lightervisor.json"])
def test_symlink_in_the_place_of_a_file(lab, tmp_path, file):
    victim = tmp_path / "victim"
    victim.write_text("lxc.start.order = 1\n")
    lab.make()
    path = lab.path / "c" / file
    if path.exists():
        path.unlink()
    path.symlink_to(victim)
    for options in ({"config": {"lxc.start.order": 9}}, {"state": "absent"}):
        lab.task("c", fails=None, **options)
        assert victim.read_text() == "lxc.start.order = 1\n"
        assert victim.stat().st_uid == 0


def outside(folder):
    """A tree that a hostile rootfs points at, and what it is like."""
    (folder / "dir").mkdir(parents=True)
    for name in ("file", "dir/inner"):
        (folder / name).write_text("precious")
        os.chown(folder / name, 1234, 1234)
    return folder


def plant(rootfs, target) -> None:
    """Links out of a rootfs wherever something might be written, chowned or removed."""
    links = {
        "etc/evil": target / "file",
        "etc/evildir": target / "dir",
        "evil": target,
        "var/evil": "/",
        "up": "../../../../../../../../../../" + str(target),
    }
    for name, to in links.items():
        (rootfs / name).parent.mkdir(exist_ok=True)
        (rootfs / name).symlink_to(to)
        os.lchown(rootfs / name, rootfs.stat().st_uid, rootfs.stat().st_gid)
    fifo = rootfs / "evil.fifo"
    os.mkfifo(fifo)
    os.chown(fifo, rootfs.stat().st_uid, rootfs.stat().st_gid)


@pytest.mark.parametrize("work", ["destroy", "clone", "snapshot", "discard", "undefine"])
def test_rootfs_full_of_links(lab, tmp_path, tree_hash, work):
    victim = outside(tmp_path / "outside")
    before = tree_hash(victim)
    lab.make("c")
    plant(lab.path / "c" / "rootfs", victim)
    if work in ("clone", "snapshot"):
        lab.task("d", clone={"from": "c", "snapshot": work == "snapshot"}, state="started")
        assert os.readlink(lab.path / "c" / "rootfs" / "evil") == str(victim)
        lab.task("d", state="absent", shutdown_timeout=0)
    elif work == "discard":
        (lab.path / "c" / "partial").touch()
    elif work == "undefine":
        lab.edit("c", "lxc.no.such = 1")
    lab.task("c", state="absent")
    assert lab.names() == []
    assert tree_hash(victim) == before
    assert os.path.exists("/etc/passwd")


def test_links_in_the_place_of_directories_that_liblxc_uses(lab, tmp_path, tree_hash):
    victim = outside(tmp_path / "outside")
    before = tree_hash(victim)
    lab.make("c")
    rootfs = lab.path / "c" / "rootfs"
    for name in ("dev", "etc"):
        os.rename(rootfs / name, rootfs / f"{name}.old")
        (rootfs / name).symlink_to(victim / "dir")
    lab.task("c", state="started", fails=None)
    lab.task("c", state="absent", shutdown_timeout=0)
    assert tree_hash(victim) == before


def test_config_values_do_not_reach_a_shell(lab, tmp_path):
    mark = tmp_path / "mark"
    for text in (f"$(touch {mark})", f"; touch {mark}", f"`touch {mark}`", f"' || touch {mark} '"):
        lab.task("c", template={"name": "none"}, privileged=True, config={"lxc.environment": [f"A={text}"]})
        lab.unchanged("c", config={"lxc.environment": [f"A={text}"]})
        lab.task("c", state="absent")
    assert not mark.exists()
