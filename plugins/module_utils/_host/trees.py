# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Walking and removing directory trees of any depth: a guest decides how deep its own are.

Neither takes a level of recursion or a descriptor for each level: the way back up is "..", which must lead to the
directory that the way down came from.
"""

from __future__ import annotations

import errno
import os
from typing import List, Sequence, Tuple

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Place:
    """A directory in a tree, by its descriptor, with the way back to the top."""

    def __init__(self, top: str) -> None:
        self.fd = os.open(top, FOLDER)
        self._above: List[Tuple[int, int]] = []

    def enter(self, name: str) -> None:
        """Go down. Raises OSError where there is no directory of this name."""
        inner = os.open(name, FOLDER, dir_fd=self.fd)
        self._above.append(_identity(self.fd))
        self._move(inner)

    def leave(self) -> None:
        """Go up again. Raises OSError when somebody has moved the directory meanwhile."""
        self._move(os.open("..", FOLDER, dir_fd=self.fd))
        if _identity(self.fd) != self._above.pop():
            raise OSError(errno.ESTALE, "somebody has moved directories in it meanwhile")

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self.fd)

    def _move(self, fd: int) -> None:
        os.close(self.fd)
        self.fd = fd


def _identity(fd: int) -> Tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def remove_tree(top: str, last: Sequence[str] = ()) -> None:
    """Remove a directory with all that is in it; files in it that are called as `last` go last, in this order.

    No symbolic link is followed. Raises OSError, also when there is no such directory.
    """
    place = Place(top)
    try:
        names: List[str] = []
        left = [_remove_files(place.fd, last)]
        while True:
            if left[-1]:
                names.append(left[-1].pop())
                place.enter(names[-1])
                left.append(_remove_files(place.fd, ()))
            elif names:
                left.pop()
                place.leave()
                os.rmdir(names.pop(), dir_fd=place.fd)
            else:
                break
        for name in last:
            try:
                os.unlink(name, dir_fd=place.fd)
            except FileNotFoundError:
                pass
    finally:
        place.close()
    os.rmdir(top)


def _remove_files(fd: int, but: Sequence[str]) -> List[str]:
    """Remove what is no directory, and say what is one."""
    with os.scandir(fd) as entries:
        found = list(entries)
    folders = []
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        elif entry.name not in but:
            os.unlink(entry.name, dir_fd=fd)
    return folders
