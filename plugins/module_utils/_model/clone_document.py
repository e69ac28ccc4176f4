# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The config that lxc-copy writes for a snapshot clone, and the origins of which it can be told beforehand.

From do_lxcapi_clone in lxccontainer.c and what it calls of confile.c and storage/, which are alike in liblxc 5 to 7.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import Container, Tuple

from .config import ConfigDocument
from .config_line import Line, parse_line, render_line
from .container import ContainerSpec
from .hwaddr import Reserved, derive_hwaddr
from .observed import OK, Observed

#: A line of the file itself that network_new_hwaddrs changes; blanks before the key hide it.
_HWADDR = re.compile(r"(lxc\.net(?:work)?\.(?:(\d+)\.)?hwaddr[^=]*=[ \t]*)(.*)", re.DOTALL)
#: What separates an overlay's directories and options.
_SEPARATORS = re.compile(r"[:,\\]")


def is_reproducible(spec: ContainerSpec, origin: Observed, store: str) -> bool:
    """Whether a clone of the origin, as far as its config tells, is what `copied_document` and a new tree make."""
    clone = spec.clone
    if clone is None or origin.health != OK or origin.running or origin.journal or not origin.complete:
        return False
    if (spec.backingstore and spec.backingstore.size) or origin.document.malformed():
        return False
    return _store_fits(clone.snapshot, spec, origin, store) and _settings_fit(origin)


def _store_fits(snapshot: bool, spec: ContainerSpec, origin: Observed, store: str) -> bool:
    rootfs = origin.rootfs
    paths = (rootfs.path, *rootfs.lower)
    if any(not path.startswith("/") or posixpath.normpath(path) != path or _SEPARATORS.search(path) for path in paths):
        return False
    # storage_copy refuses a rootfs whose path does not have the container's name in it.
    if not rootfs.exists or not any(origin.name in path for path in paths):
        return False
    if store == "btrfs":
        # On one file system it takes a snapshot for a full clone too (should_default_to_snapshot).
        return rootfs.backingstore == "btrfs"
    if store != "overlay" or not snapshot:
        return False
    # ovl_clonepaths notes no dependency where it takes the lxcpath for a container's snapshots.
    if any(posixpath.basename(path).startswith("snaps") for path in (spec.lxcpath, origin.lxcpath)):
        return False
    return rootfs.backingstore == "dir" or (rootfs.backingstore == "overlay" and len(rootfs.lower) == 1)


def _settings_fit(origin: Observed) -> bool:
    """Whether nothing in the config makes lxc-copy run a hook, copy files, or rewrite more than it always does."""
    own = f"{origin.lxcpath}/{origin.name}"
    for key, value in origin.effective.entries():
        if not value:
            continue
        if key.startswith("lxc.hook.") and (key == "lxc.hook.clone" or value.startswith(own)):
            return False
        if key == "lxc.mount.fstab" or (key == "lxc.mount.entry" and " overlay" in value):
            return False
    return True


def rootfs_line(spec: ContainerSpec, origin: Observed, store: str) -> str:
    """The clone's `lxc.rootfs.path`."""
    folder = f"{spec.lxcpath}/{spec.name}"
    if store == "btrfs":
        return f"btrfs:{folder}/rootfs"
    lower = origin.rootfs.lower[0] if origin.rootfs.lower else origin.rootfs.path
    return f"overlay:{lower}:{folder}/overlay/delta"


def copied_document(
    spec: ContainerSpec, origin: Observed, store: str, taken: Container[str] = frozenset(), host_id: str = ""
) -> ConfigDocument:
    """The config as lxc-copy writes it, but for the MAC addresses, which it makes at random and which are derived here.

    `taken` are addresses that others have, `host_id` makes those of two hosts differ.
    """
    clone = spec.clone
    keep_name, keep_mac = (clone.keep_name, clone.keep_mac) if clone else (False, False)
    dropped = ("lxc.rootfs.path",) if keep_name else ("lxc.rootfs.path", "lxc.utsname", "lxc.uts.name")
    used = Reserved(taken)
    lines = list(_kept(origin.document.render(), dropped))
    for index, line in enumerate(lines):
        if "hwaddr" in line.text:
            text = _with_hwaddr(line.text[:-1], keep_mac, used, f"{host_id}{spec.lxcpath}/{spec.name}")
            lines[index] = parse_line(text + "\n")
    lines.append(parse_line(render_line("lxc.rootfs.path", rootfs_line(spec, origin, store))))
    if not keep_name:
        lines.append(parse_line(render_line("lxc.uts.name", spec.name)))
    return ConfigDocument(tuple(lines))


@lru_cache(maxsize=8)
def _kept(text: str, dropped: Tuple[str, ...]) -> Tuple[Line, ...]:
    """The lines of an origin that its clones get, which is alike for all of them."""
    # Loading and writing it twice drops what holds nothing but blanks.
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip(" \t\f") and not _is_of(line, dropped)]
    return ConfigDocument.parse("".join([f"{line}\n" for line in lines])).lines


def _is_of(line: str, keys: Tuple[str, ...]) -> bool:
    """Whether clear_unexp_config_line removes the line: the key must stand at its very beginning."""
    return line.startswith(keys) and any(line.startswith(key) and line[len(key)] in " \t\v\f=" for key in keys)


def _with_hwaddr(line: str, keep: bool, used: Reserved, seed: str) -> str:
    """The line with a new address. Digits that are an x get a value in every case, as whenever liblxc reads them."""
    found = _HWADDR.match(line.lstrip(" \t"))
    if found is None:
        return line
    key, index, value = found.groups()
    words = value.split(None, 1)
    new = "" if keep or line[:1] in " \t" or not words or len(words[0]) != 17 else words[0]
    pattern = "" if new else value
    if not new and ("x" not in value.lower() or len(value) > 32):
        return line
    address = derive_hwaddr(f"{seed}/{index or 0}", used, pattern)
    used.add(address)
    if new:
        return key + address + value[17:]
    filled = "".join(one if old in "xX" else old for old, one in zip(value, address))
    return line[: len(line) - len(value)] + filled
