# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Comparison by meaning. What liblxc itself makes of the same pairs is tested against liblxc."""

from __future__ import annotations

from typing import List, Sequence

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_keys import normalise, same_values
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_values import KINDS, canonical, same
from hypothesis import given
from hypothesis import strategies as st

kinds = st.sampled_from(sorted(KINDS))
texts = (
    st.sampled_from(
        ["proc", "sys:ro cgroup2", "SIGPWR", "30", "0x1e", "amd64", "1G", "-1", "max", "0-3,5", "a b", "b  a", "none a"]
        + ["00:16:3e:xx:xx:xx", "00:16:3E:AB:cd:01", "10.0.0.1/24", "fd00::1", "1:unlimited", "auto", "8 h", "dir:/a//"]
        + ["", " ", ":", "/", "-", "0x", "09", "1,,2", "shmounts:", "::/", "SIGRTMIN+", "SIG_DFL", "²", "0-²", "²K"]
    )
    | st.text(max_size=8)
)
lists = st.lists(texts, max_size=3)


@given(kinds, lists)
def test_everything_is_the_same_as_itself(kind: str, one: List[str]) -> None:
    assert same(kind, one, list(one))


@given(kinds, lists, lists)
def test_being_the_same_goes_both_ways(kind: str, one: List[str], other: List[str]) -> None:
    assert same(kind, one, other) == same(kind, other, one)


@given(kinds, lists)
def test_canonical_is_canonical(kind: str, one: List[str]) -> None:
    assert canonical(kind, canonical(kind, one)) == canonical(kind, one)


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("lxc.signal.halt", ["SIGPWR"], ["30"]),
        ("lxc.signal.halt", ["SIGRTMIN+3"], ["37"]),
        ("lxc.signal.stop", ["sigkill"], ["9"]),
        ("lxc.arch", ["amd64"], ["x86_64"]),
        ("lxc.arch", ["i686"], ["armhf"]),
        ("lxc.mount.auto", ["proc"], ["proc:mixed"]),
        ("lxc.mount.auto", ["proc sys cgroup"], ["cgroup", "sys:mixed", "proc:mixed"]),
        ("lxc.mount.auto", ["proc:rw", "proc"], ["proc:mixed"]),
        ("lxc.mount.auto", ["cgroup cgroup2"], ["cgroup2:force"]),
        ("lxc.mount.auto", ["shmounts:/srv"], ["shmounts:/srv:/dev/.lxc-mounts"]),
        ("lxc.cap.drop", ["a b"], ["b", "a", "a"]),
        ("lxc.cap.keep", ["a none b"], ["none", "b"]),
        ("lxc.group", ["web", "onboot"], ["onboot web"]),
        ("lxc.init.groups", ["1,2"], ["2", "0x1"]),
        ("lxc.namespace.keep", ["net IPC"], ["ipc", "net"]),
        ("lxc.net.0.hwaddr", ["00:16:3E:AA:BB:CC"], ["00:16:3e:aa:bb:cc"]),
        ("lxc.net.0.hwaddr", ["00:16:3e:xx:xx:xx"], ["00:16:3e:12:34:56"]),
        ("lxc.net.0.flags", ["up"], ["1"]),
        ("lxc.net.0.ipv6.address", ["FD00::0:1"], ["fd00::1/64"]),
        ("lxc.net.0.ipv6.gateway", ["FE80::1"], ["fe80:0::1"]),
        ("lxc.start.auto", ["1"], ["0x1"]),
        ("lxc.start.order", ["010"], ["8"]),
        ("lxc.prlimit.nofile", ["1024"], ["1024:1024"]),
        ("lxc.prlimit.nofile", ["1024 : unlimited"], ["1024:unlimited"]),
        ("lxc.console.size", ["auto"], ["131072"]),
        ("lxc.console.size", ["100KB"], ["128 kb"]),
        ("lxc.log.level", ["DEBUG"], ["1"]),
        ("lxc.mount.entry", ["a\tb  none bind"], ["a b none bind 0 0"]),
        ("lxc.rootfs.path", ["overlayfs:/a:/b/"], ["overlay:/a:/b"]),
        ("lxc.rootfs.path", ["/a//b/."], ["/a/b"]),
        ("lxc.idmap", ["u 0  100000\t65536"], ["u 0 100000 65536"]),
        ("lxc.cgroup2.memory.max", ["1G"], ["1073741824"]),
        ("lxc.cgroup2.memory.high", ["512m"], ["0x20000000"]),
        ("lxc.cgroup.memory.limit_in_bytes", ["-1"], ["max"]),
        ("lxc.cgroup2.cpuset.cpus", ["0-3,5"], ["5,3,0-2"]),
        ("lxc.cgroup2.cpu.max", ["50000  100000"], ["50000 100000"]),
        ("lxc.time.offset.boot", ["2h"], ["7200 s"]),
        ("lxc.time.offset.boot", ["1ms"], ["1000000ns"]),
        ("lxc.hook.start", ["/a"], ["/a"]),
    ],
)
def test_same(key: str, one: Sequence[str], other: Sequence[str]) -> None:
    assert same_values(key, one, other)
    assert same_values(key, other, one)


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("lxc.signal.halt", ["SIGPWR"], ["SIGTERM"]),
        ("lxc.arch", ["amd64"], ["i686"]),
        ("lxc.mount.auto", ["proc"], ["proc:rw"]),
        ("lxc.mount.auto", ["cgroup"], ["cgroup:mixed"]),
        ("lxc.mount.auto", ["proc sys"], ["proc"]),
        ("lxc.cap.drop", ["a"], ["a b"]),
        ("lxc.cap.keep", ["none"], []),
        ("lxc.net.0.hwaddr", ["00:16:3e:xx:xx:xx"], ["00:16:3f:12:34:56"]),
        ("lxc.net.0.hwaddr", ["00:16:3e:xx:xx:xx"], ["00:16:3e:12:34"]),
        ("lxc.net.0.ipv4.address", ["10.0.0.1"], ["10.0.0.1/24"]),
        ("lxc.net.0.ipv4.address", ["10.0.0.1/24"], ["10.0.0.1/25"]),
        ("lxc.net.0.ipv4.address", ["10.0.0.1/24", "10.0.0.2/24"], ["10.0.0.2/24", "10.0.0.1/24"]),
        ("lxc.prlimit.nofile", ["1024"], ["1024:2048"]),
        ("lxc.mount.entry", ["a b none bind 0 0", "c d none bind 0 0"], ["c d none bind 0 0", "a b none bind 0 0"]),
        ("lxc.rootfs.path", ["dir:/a"], ["/a"]),
        ("lxc.rootfs.path", ["dir:/a"], ["btrfs:/a"]),
        ("lxc.idmap", ["u 0 100000 65536"], ["g 0 100000 65536"]),
        ("lxc.cgroup2.memory.max", ["1G"], ["1g1"]),
        ("lxc.cgroup2.cpuset.cpus", ["0-3"], ["0-2"]),
        ("lxc.hook.start", ["/a b"], ["/a  b"]),
        ("lxc.uts.name", ["a"], ["A"]),
        ("lxc.uts.name", ["a"], []),
        ("lxc.unknown.key", ["a"], ["a", "a"]),
    ],
)
def test_not_the_same(key: str, one: Sequence[str], other: Sequence[str]) -> None:
    assert not same_values(key, one, other)
    assert not same_values(key, other, one)


def test_normalise_gives_the_canonical_text() -> None:
    assert normalise("lxc.mount.auto", "sys proc") == "proc:mixed sys:mixed"
    assert normalise("lxc.cap.drop", "b a") == "a b"
    assert normalise("lxc.cgroup2.memory.max", "1K") == "1024"
    assert normalise("lxc.uts.name", "As it is") == "As it is"
