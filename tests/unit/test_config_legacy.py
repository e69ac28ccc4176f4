# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configs for LXC 1.0, 2.0 and cgroup v1 in today's keys. That liblxc takes them is tested against liblxc."""

from __future__ import annotations

from typing import Dict, Tuple

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_keys import Key, all_keys, check_key
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_legacy import (
    translate_items,
    translate_text,
)
from ansible_collections.lightervisor.lxc.tests.unit.config_examples import (
    CURRENT_EXAMPLES,
    LEGACY_EXAMPLES,
    VALUE_EXAMPLES,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("text", LEGACY_EXAMPLES.values(), ids=LEGACY_EXAMPLES.keys())
def test_old_introductions_work_with_every_liblxc(text: str) -> None:
    translated, warnings = translate_text(text, 2)
    entries = list(ConfigDocument.parse(translated).entries())
    assert entries and warnings
    for version in ((5, 0), (6, 0), (7, 0)):
        for key, _value in entries:
            check_key(key, version, "config")
    assert translate_text(translated, 2) == (translated, ())
    for key, _value in ConfigDocument.parse(text).entries():
        assert (key, _value) in entries or any(warning.startswith(key) for warning in warnings), key


def test_the_android_example() -> None:
    translated, warnings = translate_text(LEGACY_EXAMPLES["Android"], 2)
    assert translated == """\
lxc.rootfs.path = /var/lib/lxc/android/rootfs
lxc.uts.name = armhf

lxc.net.0.type = none

lxc.tty.dir = lxc
lxc.tty.max = 4
lxc.pty.max = 1024
lxc.arch = armhf
lxc.cap.drop = mac_admin mac_override

lxc.hook.pre-start = /var/lib/lxc/android/pre-start.sh

lxc.apparmor.profile = unconfined
"""
    assert "lxc.utsname is the LXC 1.0 and 2.0 spelling of lxc.uts.name" in warnings
    assert any(warning.startswith("lxc.pivotdir is left out") for warning in warnings)


@pytest.mark.parametrize("text", CURRENT_EXAMPLES)
def test_what_is_up_to_date_stays(text: str) -> None:
    assert translate_text(text, 2) == (text, ())


@given(st.text(alphabet=st.sampled_from("lxc.nethok=01 \t\r\n#'\"\0é"), max_size=60))
def test_foreign_text_stays(text: str) -> None:
    assert translate_text(text, 2) == (text, ())


@pytest.mark.parametrize("key", [key for key in all_keys() if key.old], ids=lambda key: str(key.old))
def test_every_old_spelling(key: Key) -> None:
    name, old = key.name, key.old
    rest, _bar, value = VALUE_EXAMPLES[name].rpartition("|")
    new = name.replace(".N", ".0").replace(".*", rest)
    if old.endswith((".cpu.shares", ".cfs_quota_us", ".blkio.weight", ".memsw.limit_in_bytes")):
        value = ""  # Its numbers change and have a test of their own.
    in_network = name.startswith("lxc.net.N.") and name != "lxc.net.N.type"
    before, first = ("lxc.network.type = veth\n", "lxc.net.0.type = veth\n") if in_network else ("", "")
    text = f"{before}  {old.replace('.*', rest)}\t=  {value} \n"
    translated, warnings = translate_text(text, 2)
    assert translated == f"{first}  {new}\t=  {value} \n"
    assert warnings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "lxc.network.type=veth\nlxc.network.link=a\n#\nlxc.network.type = vlan\nlxc.network.ipv4 = 10.0.0.2/24\n",
            "lxc.net.0.type=veth\nlxc.net.0.link=a\n#\nlxc.net.1.type = vlan\nlxc.net.1.ipv4.address = 10.0.0.2/24\n",
        ),
        ("lxc.net.0.type = veth\nlxc.network.type = veth\n", "lxc.net.0.type = veth\nlxc.net.1.type = veth\n"),
        ("lxc.network.2.ipv6 = fd00::2\n", "lxc.net.2.ipv6.address = fd00::2\n"),
        (
            "lxc.network.type = veth\nlxc.network =\nlxc.network.type = phys\n",
            "lxc.net.0.type = veth\nlxc.net =\nlxc.net.0.type = phys\n",
        ),
        ("lxc.rootfs.backend = btrfs\nlxc.rootfs = /a\n", "lxc.rootfs.path = btrfs:/a\n"),
        ("lxc.rootfs = overlayfs:/a:/b\r\n", "lxc.rootfs.path = overlay:/a:/b\r\n"),
        ("lxc.utsname = lxc.utsname\n", "lxc.uts.name = lxc.utsname\n"),
        ("lxc.seccomp = '/a b'\n", "lxc.seccomp.profile = '/a b'\n"),
        ("lxc.kmsg = 0\nlxc.pivotdir = x\n", ""),
        ("lxc.limit.nofile = 1024\n", "lxc.prlimit.nofile = 1024\n"),
        ("lxc.id_map =\n", "lxc.idmap =\n"),
        ("lxc.nonsense = 1\n", "lxc.nonsense = 1\n"),
        ("lxc.network.type = veth\nlxc.network.nonsense = 1\n", "lxc.net.0.type = veth\nlxc.network.nonsense = 1\n"),
    ],
)
def test_texts(text: str, expected: str) -> None:
    assert translate_text(text, 2)[0] == expected
    assert translate_text(text, 1)[0] == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("memory.limit_in_bytes = 128M", "memory.max = 128M"),
        ("memory.limit_in_bytes = -1", "memory.max = max"),
        ("memory.limit_in_bytes =", "memory.max ="),
        ("memory.soft_limit_in_bytes = 64M", "memory.low = 64M"),
        ("memory.soft_limit_in_bytes = -1", ""),
        (
            "memory.limit_in_bytes = 1G;memory.memsw.limit_in_bytes = 1536M",
            "memory.max = 1G;memory.swap.max = 536870912",
        ),
        ("memory.memsw.limit_in_bytes = 1G;memory.limit_in_bytes = 1G", "memory.swap.max = 0;memory.max = 1G"),
        ("memory.memsw.limit_in_bytes = -1", "memory.swap.max = max"),
        ("memory.use_hierarchy = 1", ""),
        ("cpu.shares = 1024", "cpu.weight = 100"),
        ("cpu.shares = 512", "cpu.weight = 50"),
        ("cpu.shares = 2", "cpu.weight = 1"),
        ("cpu.shares = 262144", "cpu.weight = 10000"),
        ("cpu.cfs_quota_us = 50000", "cpu.max = 50000 100000"),
        ("cpu.cfs_period_us = 20000;cpu.cfs_quota_us = 10000", "cpu.max = 10000 20000"),
        ("cpu.cfs_quota_us = -1;cpu.cfs_period_us = 20000", "cpu.max = max 20000"),
        ("cpu.cfs_period_us = 20000", "cpu.max = max 20000"),
        ("cpuset.cpus = 0-1;cpuset.mems = 0", "cpuset.cpus = 0-1;cpuset.mems = 0"),
        ("pids.max = 100", "pids.max = 100"),
        ("blkio.weight = 500", "io.weight = 100"),
        ("blkio.weight_device = 8:0 1000", "io.weight = 8:0 200"),
        (
            "blkio.throttle.read_bps_device = 8:0 1048576;blkio.throttle.write_iops_device = 8:0 0",
            "io.max = 8:0 rbps=1048576;io.max = 8:0 wiops=max",
        ),
        ("hugetlb.2MB.limit_in_bytes = 4M", "hugetlb.2MB.max = 4M"),
        ("devices.deny = a;devices.allow = c 1:3 rwm", "devices.deny = a;devices.allow = c 1:3 rwm"),
    ],
)
def test_limits_of_cgroup_v1(limits: str, expected: str) -> None:
    text = "".join(f"lxc.cgroup.{limit}\n" for limit in limits.split(";"))
    translated, warnings = translate_text(text, 2)
    assert translated == "".join(f"lxc.cgroup2.{limit}\n" for limit in expected.split(";") if limit)
    assert warnings
    assert translate_text(text, 1) == (text, ())


def test_limits_that_both_versions_have_are_those_of_v2() -> None:
    text = "lxc.cgroup2.memory.max = 1G\nlxc.cgroup.memory.limit_in_bytes = 2G\n"
    assert translate_text(text, 2)[0] == "lxc.cgroup2.memory.max = 1G\n"
    text = "lxc.cgroup.devices.deny = a\nlxc.cgroup2.devices.allow = a\n"
    translated, warnings = translate_text(text, 2)
    assert translated == "lxc.cgroup2.devices.allow = a\n"
    assert len(warnings) == 1 and "left out" in warnings[0]


def test_keys_that_only_look_like_limits_stay() -> None:
    text = "lxc.cgroup.dir = a\nlxc.cgroup.relative = 1\nlxc.cgroup.dir.container = b\n"
    assert translate_text(text, 2) == (text, ())


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("lxc.cgroup.freezer.state = FROZEN", "lxc.cgroup.freezer.state", "no counterpart"),
        ("lxc.cgroup.net_cls.classid = 1", "lxc.cgroup.net_cls.classid", "class ids"),
        ("lxc.cgroup.memory.swappiness = 1", "lxc.cgroup.memory.swappiness", "swap.max"),
        ("lxc.cgroup.cpuset.cpu_exclusive = 1", "lxc.cgroup.cpuset.cpu_exclusive", "cpus.partition"),
        ("lxc.cgroup.perf_event.x = 1", "lxc.cgroup.perf_event.x", "no counterpart"),
        ("lxc.cgroup.memory.memsw.limit_in_bytes = 1G", "lxc.cgroup.memory.memsw.limit_in_bytes", "beside it"),
        (
            "lxc.cgroup.memory.limit_in_bytes = 2G\nlxc.cgroup.memory.memsw.limit_in_bytes = 1G",
            "lxc.cgroup.memory.memsw.limit_in_bytes",
            "lower than",
        ),
        ("lxc.cgroup.cpu.shares = many", "lxc.cgroup.cpu.shares", "'many' is not a number"),
        ("lxc.network.link = a", "lxc.network.link", "stands before"),
        ("lxc.network.type =", "lxc.network.type", "empty type"),
        ("lxc.rootfs = aufs:/a:/b", "lxc.rootfs", "aufs"),
    ],
)
def test_what_cannot_be_said_any_more_is_refused(text: str, path: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        translate_text(text, 2)
    assert caught.value.path == path
    assert words in caught.value.problem


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ({"lxc.utsname": "a", "lxc.start.auto": True}, {"lxc.uts.name": "a", "lxc.start.auto": True}),
        ({"lxc.id_map": ["u 0 1 2", "g 0 1 2"]}, {"lxc.idmap": ["u 0 1 2", "g 0 1 2"]}),
        ({"lxc.tty": 4, "lxc.pts": None}, {"lxc.tty.max": "4", "lxc.pty.max": None}),
        ({"lxc.id_map": []}, {"lxc.idmap": []}),
        ({"lxc.network.link": "a", "lxc.network.type": "veth"}, {"lxc.net.0.link": "a", "lxc.net.0.type": "veth"}),
        ({"lxc.network.1.ipv4": "10.0.0.2/24"}, {"lxc.net.1.ipv4.address": ["10.0.0.2/24"]}),
        ({"lxc.pivotdir": "x"}, {}),
        ({"lxc.cgroup.cpu.shares": 512}, {"lxc.cgroup2.cpu.weight": "50"}),
        (
            {
                "lxc.cgroup.blkio.throttle.read_bps_device": "8:0 1",
                "lxc.cgroup.blkio.throttle.write_bps_device": ["8:0 2"],
            },
            {"lxc.cgroup2.io.max": ["8:0 rbps=1", "8:0 wbps=2"]},
        ),
        ({"lxc.rootfs": "/a", "lxc.rootfs.backend": "dir"}, {"lxc.rootfs.path": "dir:/a"}),
        ({"lxc.cgroup.memory.limit_in_bytes": "1G", "lxc.cgroup2.memory.max": "2G"}, {"lxc.cgroup2.memory.max": "2G"}),
        ({"lxc.uts.name": 1.5, "lxc.foo": "x"}, {"lxc.uts.name": 1.5, "lxc.foo": "x"}),
    ],
)
def test_items(items: Dict[str, object], expected: Dict[str, object]) -> None:
    result, warnings = translate_items(items)
    assert result == expected
    assert bool(warnings) == (list(items) != list(expected))


def test_items_for_a_host_with_cgroup_v1_keep_its_limits() -> None:
    items = {"lxc.cgroup.cpu.shares": 512}
    assert translate_items(items, cgroup=1) == (items, ())


@pytest.mark.parametrize(
    ("items", "path"),
    [
        ({"lxc.utsname": "a", "lxc.uts.name": "b"}, "lxc.utsname"),
        ({"lxc.network.type": ["veth", "veth"]}, "lxc.network.type"),
        ({"lxc.utsname": "a\nb"}, "lxc.utsname"),
        ({"lxc.cgroup.freezer.state": "x"}, "lxc.cgroup.freezer.state"),
    ],
)
def test_items_that_contradict_themselves_are_refused(items: Dict[str, object], path: str) -> None:
    with pytest.raises(InputError) as caught:
        translate_items(items)
    assert caught.value.path == path


def test_a_warning_is_given_once() -> None:
    warnings: Tuple[str, ...] = translate_text(LEGACY_EXAMPLES["devices"], 2)[1]
    assert len(warnings) == 2
