# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is mounted where, as this process sees it (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Iterator, List, Tuple


def _mounts() -> Iterator[Tuple[str, str]]:
    """(mount point, type of the file system), in the order of /proc/self/mountinfo, octal escapes decoded."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            point = line.split(" ", 5)[4]
            for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
                point = point.replace(code, char)
            yield point, line.partition(" - ")[2].partition(" ")[0]


def mount_points() -> List[str]:
    """Every mount point, in the order of /proc/self/mountinfo, its octal escapes decoded."""
    return [point for point, _kind in _mounts()]


@lru_cache(maxsize=64)
def filesystem_of(path: str, device: int) -> str:
    """The type of the file system that the path is on, "" if it is on none; `device` is its st_dev at this moment."""
    place = os.path.realpath(path)
    found = ("", "")
    for point, kind in _mounts():
        inside = place == point or place.startswith(f"{point.rstrip('/')}/")
        if inside and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def mounted_in(path: str) -> Tuple[str, ...]:
    """The mount points at and below the path, wherever symbolic links in it lead."""
    top = os.path.realpath(path).rstrip("/")
    return tuple(point for point in mount_points() if point == top or point.startswith(f"{top}/"))
