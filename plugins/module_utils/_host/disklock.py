# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""liblxc's own lock on a container's files, so that lxc-* programs and this collection never write at the same time."""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import contextmanager
from typing import Iterator


def _path(lxcpath: str, name: str) -> str:
    # lxclock_name() of liblxc: /run for root, XDG_RUNTIME_DIR (else ~/.cache/lxc/run) for others.
    if os.geteuid() == 0:
        base = "/run"
    else:
        base = os.environ.get("XDG_RUNTIME_DIR") or os.path.expanduser("~/.cache/lxc/run")
    return os.path.join(f"{base}/lxc/lock/{lxcpath}", f".{name}")


@contextmanager
def disk_lock(lxcpath: str, name: str) -> Iterator[None]:
    """Hold the lock that liblxc takes around reading and writing a container's config and lxc_snapshots (lxclock.c).

    It is held for moments only, by liblxc as well as here, so the wait for it has no bound of its own.
    """
    path = _path(lxcpath, name)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        yield
    finally:
        os.close(fd)
