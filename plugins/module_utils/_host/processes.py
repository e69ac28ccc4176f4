# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose a process is, and whether it is one of this machine or one of a guest. Sources: proc(5), ioctl_ns(2)."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time
from functools import lru_cache
from typing import NamedTuple, Optional

#: `_IO(0xb7, 4)` of linux/nsfs.h: the uid that a user namespace belongs to.
_NS_GET_OWNER_UID = 0xB704


class Status(NamedTuple):
    """`uids` are the real, the effective, the saved one. `nested`: it is in a pid namespace below this one."""

    parent: int
    uids: tuple[int, ...]
    nested: bool
    #: Its number in its own pid namespace, 0 where the kernel does not tell.
    inside: int
    #: The signals that it blocks, bit 0 for signal 1.
    blocked: int


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
    numbers = _field(text, b"NSpid")
    inside = int(numbers[-1]) if numbers else 0
    # Whoever is in thousands of groups has the rest of the text cut off.
    blocked = int((_field(text, b"SigBlk") or [b"0"])[0], 16)
    return Status(int(_field(text, b"PPid")[0]), uids, len(numbers) > 1, inside, blocked)


def _field(text: bytes, key: bytes) -> list[bytes]:
    _before, _found, rest = text.partition(b"\n" + key + b":")
    return rest.partition(b"\n")[0].split()


def is_started_by(pid: int, uid: int) -> bool:
    """Whether the parent of `pid` runs as `uid` in this pid namespace, as the monitor of a container's init does.

    True, too, where that can't be seen: for a process that has gone, or that is hidden from this user.
    """
    if uid == 0 and _is_child_of_root(pid):
        return True
    process = read_status(pid)
    if process is None:
        return True
    parent = read_status(process.parent) if process.parent else None
    if parent is None:
        return process.parent != 0
    return parent.uids[1] == uid and not parent.nested


def _is_child_of_root(pid: int) -> bool:
    """Whether the parent is root's and in this pid namespace, in half the time that reading two texts takes."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, 4096)
        finally:
            os.close(fd)
        # The name, in brackets, may have any characters.
        parent = int(text[text.rindex(b")") :].split(None, 3)[2])
        return os.stat(f"/proc/{parent}").st_uid == 0 and os.readlink(f"/proc/{parent}/ns/pid") == _own_pid_namespace()
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=1)
def _own_pid_namespace() -> str:
    return os.readlink("/proc/self/ns/pid")


def start_time(pid: int) -> Optional[float]:
    """When the process started, in seconds since 1970 (field 22 of /proc/<pid>/stat counts ticks since boot)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def open_process(pid: int) -> int:
    """A pidfd of the process, -1 when there is none."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def has_exited(pidfd: int) -> bool:
    """Whether the process has ended, be it reaped or not."""
    # Not select(2), for which descriptors end at 1023.
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def open_parent(pid: int) -> int:
    """A pidfd of the process's parent, -1 when that can't be had for sure."""
    before = read_status(pid)
    if before is None or not before.parent:
        return -1
    parent = open_process(before.parent)
    after = read_status(pid)
    if parent >= 0 and (after is None or after.parent != before.parent):
        os.close(parent)
        return -1
    return parent


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
