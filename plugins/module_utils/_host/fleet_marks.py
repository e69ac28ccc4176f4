# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mark in a container's directory that says which fleet made it: only what a fleet has made may it prune.

A file of its own, because lxc-copy takes over the config and the rootfs, and nothing else: a copy has no mark. Nor has
a new container of the same name, after lxc-destroy.
"""

from __future__ import annotations

import os
import stat
from typing import List

from .container_dir import list_folders, read_small

FILE = ".lightervisor-fleet"


def write_mark(folder: str, fleet: str) -> None:
    """Mark the container in this directory as made by the fleet."""
    fd = os.open(os.path.join(folder, FILE), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, f"{fleet}\n".encode())
    finally:
        os.close(fd)


def marked(lxcpath: str, fleet: str) -> List[str]:
    """The names of the containers in this lxcpath that the fleet has made, sorted."""
    try:
        return sorted(name for name in list_folders(lxcpath) if _is_marked(os.path.join(lxcpath, name), fleet))
    except FileNotFoundError:
        return []


def _is_marked(folder: str, fleet: str) -> bool:
    path = os.path.join(folder, FILE)
    try:
        found = os.lstat(path)
    except OSError:
        return False
    # The directory may belong to the guest's root, who shall not have containers pruned.
    own = found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode)
    return own and read_small(path) == f"{fleet}\n"
