# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`lxc.rootfs.path`, taken apart as liblxc does it (set_config_rootfs_path in confile.c, the drivers in storage/)."""

from __future__ import annotations

from typing import Iterable, Tuple

#: liblxc's storage drivers by the prefix that selects them (storage.c). `overlayfs` is an old spelling of `overlay`.
BACKINGSTORES = {
    "dir": "dir",
    "btrfs": "btrfs",
    "overlay": "overlay",
    "overlayfs": "overlay",
    "lvm": "lvm",
    "zfs": "zfs",
    "loop": "loop",
    "rbd": "rbd",
    "nbd": "nbd",
}


def parse_rootfs(value: str) -> Tuple[str, str, Tuple[str, ...]]:
    """(backingstore, path, lower layers) of an `lxc.rootfs.path`.

    The backingstore is "" when no prefix says it: liblxc then looks at what the path is. For an overlay the path is
    the upper directory, that is the writable one.
    """
    prefix, colon, rest = value.partition(":")
    if not colon or prefix not in BACKINGSTORES:
        return "", value, ()
    store = BACKINGSTORES[prefix]
    if store != "overlay":
        return store, rest, ()
    # ovl_mount: layers are separated by a colon that a slash follows, the last one is the upper directory.
    first, *more = rest.split(":/")
    layers = [first] + ["/" + layer for layer in more]
    return store, layers[-1], tuple(layers[:-1])


def is_managed(values: Iterable[str]) -> bool:
    """Whether liblxc removes the rootfs with its container, by the values of lxc.rootfs.managed (confile.c).

    It is so unless the last one says otherwise. liblxc takes 0 and 1, in any base of C, and nothing for 1. What it
    does not take says no, because a rootfs that is kept can still be removed.
    """
    managed = True
    for value in values:
        managed = not value or _number(value) == 1
    return managed


def _number(value: str) -> int:
    # strtoul(3): octal numbers have a mere 0 in front.
    base = 16 if value[:2] in ("0x", "0X") else 8 if value[:1] == "0" else 10
    try:
        return -1 if "_" in value else int(value, base)
    except ValueError:
        return -1
