# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is mounted where, as this process sees it (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os
from typing import List, Tuple


def mount_points() -> List[str]:
    """Every mount point, in the order of /proc/self/mountinfo, its octal escapes decoded."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            point = line.split(" ", 5)[4]
            for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
                point = point.replace(code, char)
            found.append(point)
    return found


def mounted_in(path: str) -> Tuple[str, ...]:
    """The mount points at and below the path, wherever symbolic links in it lead."""
    top = os.path.realpath(path).rstrip("/")
    return tuple(point for point in mount_points() if point == top or point.startswith(f"{top}/"))
