# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many files this process may have open, RLIMIT_NOFILE of getrlimit(2)."""

from __future__ import annotations

import contextlib
import os
import resource
from typing import Iterator

#: More than that is never needed here, and programs that go through all possible descriptors would take long.
_MOST = 65536


@contextlib.contextmanager
def many_files() -> Iterator[None]:
    """Let this process have as many files open as it may at all, while the block runs.

    Programs that are run meanwhile inherit that. Nothing that stays, such as a container's monitor, is to be started.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    raised = soft != resource.RLIM_INFINITY and soft < most
    if raised:
        # Refused where the hard limit is above a fs.nr_open that has been lowered since: it goes without, too.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        if raised:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def free_files() -> int:
    """How many files more this process may open."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    limit = _MOST if limit == resource.RLIM_INFINITY else min(limit, _MOST)
    try:
        # One of these is that of the directory itself.
        return max(limit - len(os.listdir("/proc/self/fd")) + 1, 0)
    except OSError:
        return 0
