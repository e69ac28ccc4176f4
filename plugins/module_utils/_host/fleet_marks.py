# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mark in a container's directory that says which fleet made it: only what a fleet has made may it prune.

A file of its own, because lxc-copy takes over the config and the rootfs, and nothing else: a copy has no mark. Nor has
a new container of the same name, after lxc-destroy.
"""

from __future__ import annotations

import os
from typing import List

from .files import read_regular
from .journal import MARK, unfinished


def write_mark(folder: str, fleet: str) -> None:
    """Mark the container in this directory as made by the fleet."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(os.path.join(folder, MARK), flags, 0o600)
    try:
        os.write(fd, f"{fleet}\n".encode())
    finally:
        os.close(fd)


def marked(lxcpath: str, fleet: str) -> List[str]:
    """The names of the containers in this lxcpath that the fleet has made, sorted.

    With those that a killed run has left in a hidden directory, half made or half removed.
    """
    hidden = os.path.basename(unfinished(""))
    found = []
    try:
        with os.scandir(lxcpath) as entries:
            folders = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    except FileNotFoundError:
        return []
    for folder in folders:
        name = folder
        if folder.startswith("."):
            name = folder[len(hidden) :]
            # A container of that name, made by whomever, is none of what is hidden.
            if not folder.startswith(hidden) or os.path.lexists(os.path.join(lxcpath, name)):
                continue
        if _is_marked(os.path.join(lxcpath, folder), fleet):
            found.append(name)
    return sorted(found)


def _is_marked(folder: str, fleet: str) -> bool:
    try:
        content, status = read_regular(os.path.join(folder, MARK))
    except OSError:
        return False
    # The directory may belong to the guest's root, who shall not have containers pruned.
    return status.st_uid == os.geteuid() and content == f"{fleet}\n".encode()
