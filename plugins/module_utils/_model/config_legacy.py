# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Configs written for LXC 1.0 and 2.0, or for cgroup v1, in today's keys; every change comes with a warning.

Renamed keys stand in the last column of config_keys.py; their values kept their syntax. What is here is the rest:
networks without an index, keys that are gone, and cgroup v1 limits, which need other numbers on cgroup v2
(Documentation/admin-guide/cgroup-v2.rst of the kernel; weights are converted as systemd converts them).
Limits are translated only for a host with cgroup v2, where liblxc accepts the old ones and does nothing with them.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from .._errors import InputError
from .config import ConfigDocument
from .config_keys import lookup, render_value, replacement
from .config_line import render_line
from .config_values import canonical

#: Keys with nothing left to say.
_GONE = {
    "lxc.pivotdir": "LXC needs no directory for the old root any more",
    "lxc.kmsg": "LXC no longer links /dev/kmsg to the console",
    "lxc.rootfs.backend": "the backing store stands before the path in lxc.rootfs.path",
    "lxc.cgroup.memory.use_hierarchy": "cgroup v2 is always hierarchical",
}
_V1 = "lxc.cgroup."
_V2 = "lxc.cgroup2."
_THROTTLE = {"read_bps": "rbps", "write_bps": "wbps", "read_iops": "riops", "write_iops": "wiops"}
#: Why a cgroup v1 file has no counterpart, by the beginning of its name.
_NO_V2 = {
    "freezer.": "a container is frozen by its state",
    "net_cls.": "cgroup v2 has no class ids; match the cgroup's path in nftables or tc",
    "net_prio.": "cgroup v2 has no network priorities; set them in nftables or tc",
    "memory.swappiness": "cgroup v2 has no swappiness of a group; limit lxc.cgroup2.memory.swap.max",
    "memory.kmem.": "cgroup v2 counts kernel memory in lxc.cgroup2.memory.max",
    "memory.oom_control": "cgroup v2 can't switch the OOM killer off",
    "cpu.rt_": "cgroup v2 has no limits for real-time tasks",
    "cpuset.": "of cpuset, cgroup v2 has cpus, cpus.partition and mems",
}

Pair = Tuple[str, str]


class _Translation:
    """One config on its way; `old` holds the last value of every key as it was written."""

    def __init__(self, entries: Sequence[Pair], cgroup: int, single_network: bool) -> None:
        self.old = dict(entries)
        self.cgroup = cgroup
        self.single_network = single_network
        self.warnings: List[str] = []
        used = [int(key.split(".")[2]) for key in self.old if key.startswith("lxc.net.") and lookup(key)]
        self.next_network = max(used) + 1 if used and not single_network else 0
        self.network = -1

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def entry(self, key: str, value: str) -> Optional[Pair]:
        """What to write for what was read, None for nothing. Raises InputError for what can't be said any more."""
        row = lookup(key)
        limits_v1 = row is not None and row.removed is not None
        if key in _GONE and (not limits_v1 or self.cgroup == 2):
            self.warn(f"{key} is left out: {_GONE[key]}")
            return None
        if limits_v1 and self.cgroup == 2:
            return self._limit(key, value)
        if row is not None:
            return key, value
        new = self._network(key, value) if key.startswith("lxc.network") else replacement(key)
        if not new:
            return key, value
        self.warn(f"{key} is the LXC 1.0 and 2.0 spelling of {new}")
        return new, self._rootfs(value) if new == "lxc.rootfs.path" else value

    def _rootfs(self, value: str) -> str:
        backend = self.old.get("lxc.rootfs.backend", "")
        if backend and ":" not in value:
            value = f"{backend}:{value}"
        kind, colon, path = value.partition(":")
        if kind == "aufs":
            raise InputError("lxc.rootfs", "the backing store aufs was removed in LXC 3.0. Use overlay")
        return f"overlay:{path}" if colon and kind == "overlayfs" else value

    def _network(self, key: str, value: str) -> str:
        """The indexed key. In LXC 1.0 every lxc.network.type starts a network, the lines after it belong to it."""
        new = replacement(key)
        if key == "lxc.network":
            self.next_network, self.network = 0, -1
            return new
        if not new or key[12:13].isdigit():
            return new
        if self.single_network:
            self.network = 0
        elif key == "lxc.network.type":
            if not value:
                raise InputError(key, "an empty type has no counterpart. Write lxc.net.0.type and so on")
            self.network = self.next_network
            self.next_network += 1
        elif self.network < 0:
            raise InputError(key, "stands before the lxc.network.type that starts its network")
        return new.replace("lxc.net.0", f"lxc.net.{self.network}", 1)

    def _limit(self, key: str, value: str) -> Optional[Pair]:
        if key == "lxc.cgroup":
            self.warn("lxc.cgroup clears cgroup v1 limits; on this host lxc.cgroup2 is cleared")
            return "lxc.cgroup2", value
        name = key[len(_V1) :]
        new = _limit_key(name)
        if not new:
            reasons = [text for start, text in _NO_V2.items() if name.startswith(start)]
            because = f": {reasons[0]}" if reasons else ""
            raise InputError(key, f"this host has cgroup v2, which has no counterpart of it{because}. Leave it out")
        family = _V2 + "devices." if name.startswith("devices.") else new
        if any(other.startswith(family) and text for other, text in self.old.items()):
            self.warn(f"{key} is left out: {family.rstrip('.')} is given too, and that is what counts on cgroup v2")
            return None
        result = _limit_value(name, value, self.old) if value else ""
        if result is None:
            self.warn(f"{key} = {value} is left out: it limits nothing, or is part of another line's limit")
            return None
        if result == value:
            self.warn(f"{key} is a limit of cgroup v1; for this host it became {new}")
        else:
            self.warn(f"{key} = {value} is a limit of cgroup v1; for this host it became {new} = {result}")
        return new, result


def _limit_key(name: str) -> str:
    """The cgroup v2 key for the name of a cgroup v1 file, "" when there is none."""
    new = replacement(_V1 + name)
    if new:
        return new
    if name == "cpu.cfs_period_us":
        return _V2 + "cpu.max"
    if name == "blkio.weight_device":
        return _V2 + "io.weight"
    if name.startswith("blkio.throttle.") and name[15:].replace("_device", "") in _THROTTLE:
        return _V2 + "io.max"
    if name.startswith("hugetlb.") and name.endswith(".limit_in_bytes"):
        return _V2 + name[: -len("limit_in_bytes")] + "max"
    return ""


def _whole(name: str, text: str) -> int:
    try:
        return int(canonical("int", [text])[0])
    except ValueError:
        raise InputError(_V1 + name, f"{text!r} is not a number") from None


def _limit_value(name: str, value: str, old: Mapping[str, str]) -> Optional[str]:
    """The value for cgroup v2; None when the line has nothing to say of its own there."""
    if name == "memory.memsw.limit_in_bytes":
        return _swap(name, value, old)
    if name == "memory.soft_limit_in_bytes" and value == "-1":
        return None
    if name.startswith(("memory.", "hugetlb.")):
        return "max" if value == "-1" else value
    if name == "cpu.shares":
        return str(min(max(_whole(name, value) * 100 // 1024, 1), 10000))
    if name == "cpu.cfs_quota_us":
        quota = _whole(name, value)
        period = old.get(_V1 + "cpu.cfs_period_us") or "100000"
        return f"{'max' if quota < 0 else quota} {period}"
    if name == "cpu.cfs_period_us":
        return None if old.get(_V1 + "cpu.cfs_quota_us") else f"max {_whole(name, value)}"
    if name == "blkio.weight":
        return str(min(max(_whole(name, value) * 100 // 500, 1), 10000))
    if name.startswith("blkio."):
        device, _space, number = value.partition(" ")
        if name == "blkio.weight_device":
            return f"{device} {min(max(_whole(name, number.strip()) * 100 // 500, 1), 10000)}"
        limit = _whole(name, number.strip())
        return f"{device} {_THROTTLE[name[15:].replace('_device', '')]}={limit or 'max'}"
    return value


def _swap(name: str, value: str, old: Mapping[str, str]) -> str:
    """cgroup v1 limits memory and swap together, cgroup v2 swap alone."""
    if value == "-1":
        return "max"
    both = canonical("kernsize", [value])[0]
    memory = canonical("kernsize", [old.get(_V1 + "memory.limit_in_bytes") or "-1"])[0]
    if not both.isdigit() or not memory.isdigit():
        raise InputError(_V1 + name, "needs memory.limit_in_bytes beside it. Write lxc.cgroup2.memory.swap.max")
    if int(both) < int(memory):
        raise InputError(_V1 + name, "is lower than lxc.cgroup.memory.limit_in_bytes, which it includes")
    return str(int(both) - int(memory))


def translate_text(text: str, cgroup: int) -> Tuple[str, Tuple[str, ...]]:
    """A whole config in today's keys, for a host with cgroup version `cgroup` (1 or 2), and the warnings about it.

    Comments, order, foreign lines and lines that are up to date stay byte for byte. A cgroup v1 limit goes when the
    config has its cgroup v2 counterpart too. Raises InputError, with the key as its path, for what has no counterpart.
    """
    document = ConfigDocument.parse(text)
    translation = _Translation(list(document.entries()), cgroup, single_network=False)
    result: List[str] = []
    for line in document.lines:
        if line.key is None:
            result.append(line.text)
            continue
        pair = translation.entry(line.key, line.value)
        if pair == (line.key, line.value):
            result.append(line.text)
        elif pair is not None and pair[1] == line.value:
            result.append(line.text.replace(line.key, pair[0], 1))
        elif pair is not None:
            result.append(render_line(pair[0], pair[1], line.text[len(line.text.rstrip("\r\n")) :]))
    return "".join(result), tuple(translation.warnings)


def translate_items(items: Mapping[str, object], cgroup: int = 2) -> Tuple[Dict[str, object], Tuple[str, ...]]:
    """A mapping of keys to values, lists or None (removal) in today's keys, order kept, and the warnings about it.

    `lxc.network.x` without an index is the first network. Raises InputError, with the key as its path, when a key is
    given in both spellings, means several networks, or has no counterpart.
    """
    flat = [(key, str(value)) for key, given in items.items() for value in _listed(given)]
    translation = _Translation(flat, cgroup, single_network=True)
    result: Dict[str, object] = {}
    for key, given in items.items():
        row = lookup(key)
        if row is not None and row.removed is None:
            result[key] = given
            continue
        pairs = [translation.entry(key, render_value(key, value)) for value in _listed(given)]
        if given is None or not pairs:
            pairs = [translation.entry(key, "")]
        said = [pair for pair in pairs if pair is not None]
        if not said:
            continue
        new = said[0][0]
        if new == key:
            result[key] = given
            continue
        row = lookup(new)
        multi = row is not None and row.multi
        if new in items or (new in result and not multi):
            raise InputError(key, f"{new} is given as well, and is the same key. Keep one of them")
        if given is None:
            result[new] = None
        elif multi:
            before = result.get(new)
            result[new] = (list(before) if isinstance(before, list) else []) + [value for _key, value in said if value]
        elif len(said) > 1:
            raise InputError(key, f"takes one value. For several networks write lxc.net.0, lxc.net.1 and so on: {new}")
        else:
            result[new] = said[0][1]
    return result, tuple(translation.warnings)


def _listed(given: object) -> Sequence[object]:
    if given is None:
        return ()
    return given if isinstance(given, (list, tuple)) else (given,)
