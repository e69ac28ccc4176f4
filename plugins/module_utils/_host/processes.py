# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose a process is, and whether it is one of this machine or one of a guest. Sources: proc(5), ioctl_ns(2)."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import NamedTuple, Optional

#: `_IO(0xb7, 4)` of linux/nsfs.h: the uid that a user namespace belongs to.
_NS_GET_OWNER_UID = 0xB704


class Status(NamedTuple):
    """`uids` are the real, the effective, the saved one. `nested`: it is in a pid namespace below this one."""

    parent: int
    uids: tuple[int, ...]
    nested: bool


def read_status(pid: int) -> Optional[Status]:
    """What /proc/PID/status says; None when the process has gone or is hidden from this user."""
    # Twice for each running container: five times as quick as a file object and a dictionary.
    try:
        fd = os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, 8192)
        finally:
            os.close(fd)
    except OSError:
        return None
    uids = tuple(int(word) for word in _field(text, b"Uid")[:3])
    # Kernels before 4.1 have no NSpid.
    return Status(int(_field(text, b"PPid")[0]), uids, len(_field(text, b"NSpid")) > 1)


def _field(text: bytes, key: bytes) -> list[bytes]:
    _before, _found, rest = text.partition(b"\n" + key + b":")
    return rest.partition(b"\n")[0].split()


def is_started_by(pid: int, uid: int) -> bool:
    """Whether the parent of `pid` runs as `uid` in this pid namespace, as the monitor of a container's init does.

    True, too, where that can't be seen: for a process that has gone, or that is hidden from this user.
    """
    process = read_status(pid)
    if process is None:
        return True
    parent = read_status(process.parent) if process.parent else None
    if parent is None:
        return process.parent != 0
    return parent.uids[1] == uid and not parent.nested


def is_of_host(pid: int) -> bool:
    """Whether root or the caller runs this process, and not in a guest.

    What liblxc does in the id map of an unprivileged container has another uid and a user namespace of its own, but
    one that belongs to root or the caller; guests have pid namespaces of their own besides.
    """
    process = read_status(pid)
    trusted = (0, os.geteuid())
    if process is None or process.nested:
        return False
    own = process.uids[0] in trusted and process.uids[1] in trusted
    try:
        if os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid"):
            return False
        if os.readlink(f"/proc/{pid}/ns/user") == os.readlink("/proc/self/ns/user"):
            return own
        fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            owner = struct.unpack("@I", fcntl.ioctl(fd, _NS_GET_OWNER_UID, bytes(4)))[0]
        finally:
            os.close(fd)
        return owner in trusted
    except PermissionError:
        # An ordinary user can't look at the namespaces of root's processes.
        return own
    except OSError:
        return False
