# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The config of a snapshot clone; tests/integration/test_direct_clone.py compares it with lxc-copy's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.clone_document import (
    copied_document,
    is_reproducible,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.container import ContainerSpec
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.observed import OK, Observed, Rootfs
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.source import Backingstore, Clone

BASE = """\
# kept

lxc.rootfs.path = dir:/l/base/rootfs
lxc.uts.name = base
lxc.net.0.type = veth
lxc.net.0.hwaddr = 00:16:3e:11:22:33
 lxc.uts.name = indented
lxc.net.1.hwaddr = 00:16:3e:xx:XX:00
"""


def origin(text: str = BASE, **how) -> Observed:
    document = ConfigDocument.parse(text)
    how.setdefault("rootfs", Rootfs("dir", "/l/base/rootfs", (), True))
    return replace(Observed("base", "/l", health=OK, document=document, effective=document), **how)


def spec(**how) -> ContainerSpec:
    return ContainerSpec("new", "/l", clone=Clone("base", "/l", how.pop("snapshot", True), **how))


def test_lines_go_and_come_as_with_lxc_copy():
    lines = copied_document(spec(), origin(), "overlay").render().splitlines()
    assert lines[:2] == ["# kept", "lxc.net.0.type = veth"]
    assert lines[3] == " lxc.uts.name = indented"
    assert lines[5:] == ["lxc.rootfs.path = overlay:/l/base/rootfs:/l/new/overlay/delta", "lxc.uts.name = new"]


def test_addresses_are_new_stay_the_same_and_are_nobody_elses():
    first = copied_document(spec(), origin(), "overlay")
    macs = [first.get(f"lxc.net.{index}.hwaddr") for index in (0, 1)]
    assert first == copied_document(spec(), origin(), "overlay")
    assert "00:16:3e:11:22:33" not in macs and len(set(macs)) == 2
    second = copied_document(spec(), origin(), "overlay", taken=macs)
    assert not {second.get(f"lxc.net.{index}.hwaddr") for index in (0, 1)} & set(macs)
    elsewhere = copied_document(spec(), origin(), "overlay", host_id="other")
    assert elsewhere.get("lxc.net.0.hwaddr") != macs[0]


def test_what_is_to_be_kept():
    kept = copied_document(spec(keep_name=True, keep_mac=True), origin(), "overlay")
    assert kept.get("lxc.net.0.hwaddr") == "00:16:3e:11:22:33"
    filled = kept.get("lxc.net.1.hwaddr")
    assert filled.startswith("00:16:3e:") and filled.endswith(":00") and "x" not in filled.lower()
    assert "lxc.uts.name = base\n" in kept.render()
    assert "lxc.uts.name = new" not in kept.render()


def test_clone_of_an_overlay_has_the_same_lower_layer():
    rootfs = Rootfs("overlay", "/l/base/overlay/delta", ("/l/first/rootfs",), True)
    made = copied_document(spec(), origin(rootfs=rootfs), "overlay")
    assert made.get("lxc.rootfs.path") == "overlay:/l/first/rootfs:/l/new/overlay/delta"


@pytest.mark.parametrize(
    ("store", "rootfs", "snapshot"),
    [
        ("overlay", Rootfs("dir", "/l/base/rootfs", (), True), True),
        ("overlay", Rootfs("overlay", "/l/base/overlay/delta", ("/l/first/rootfs",), True), True),
        ("btrfs", Rootfs("btrfs", "/l/base/rootfs", (), True), True),
        ("btrfs", Rootfs("btrfs", "/l/base/rootfs", (), True), False),
    ],
)
def test_reproducible(store, rootfs, snapshot):
    assert is_reproducible(spec(snapshot=snapshot), origin(rootfs=rootfs), store)


@pytest.mark.parametrize(
    ("store", "rootfs", "snapshot"),
    [
        ("dir", Rootfs("dir", "/l/base/rootfs", (), True), False),
        ("overlay", Rootfs("dir", "/l/base/rootfs", (), True), False),
        ("overlay", Rootfs("dir", "/l/base/rootfs", (), False), True),
        ("overlay", Rootfs("dir", "/l/other/rootfs", (), True), True),
        ("overlay", Rootfs("dir", "/l/base//rootfs", (), True), True),
        ("overlay", Rootfs("dir", "/l/base/a,b", (), True), True),
        ("overlay", Rootfs("overlay", "/l/base/overlay/delta", ("/l/a/rootfs", "/l/b"), True), True),
        ("overlay", Rootfs("btrfs", "/l/base/rootfs", (), True), True),
        ("btrfs", Rootfs("dir", "/l/base/rootfs", (), True), True),
        ("zfs", Rootfs("zfs", "pool/base", (), True), True),
        ("lvm", Rootfs("lvm", "/dev/vg/base", (), True), True),
    ],
)
def test_not_reproducible(store, rootfs, snapshot):
    assert not is_reproducible(spec(snapshot=snapshot), origin(rootfs=rootfs), store)


@pytest.mark.parametrize(
    "how", [{"health": "partial"}, {"state": "running"}, {"complete": False}, {"journal": {"operation": "clone"}}]
)
def test_origins_that_are_not_at_rest(how):
    assert not is_reproducible(spec(), origin(**how), "overlay")


def test_settings_that_need_lxc_copy():
    for line in ("lxc.hook.clone = /x", "lxc.hook.stop = /l/base/x", "lxc.mount.fstab = /x", "lxc.nothing"):
        assert not is_reproducible(spec(), origin(f"{BASE}{line}\n"), "overlay"), line
    assert is_reproducible(spec(), origin(f"{BASE}lxc.hook.stop = /x\nlxc.hook.clone =\n"), "overlay")
    sized = replace(spec(), backingstore=Backingstore("overlay", size=1 << 20))
    assert not is_reproducible(sized, origin(), "overlay")
    assert not is_reproducible(replace(spec(), lxcpath="/l/snaps"), origin(), "overlay")
