# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""/etc/hostname of a clone, written as lxc-copy writes it (clone_update_rootfs in lxccontainer.c)."""

from __future__ import annotations

import os
import stat

from .._model.observed import Observed
from .copy_tree import copy_xattrs

#: What an overlay keeps of its own in a layer (fs/overlayfs/overlayfs.h).
_OVERLAY = ("trusted.overlay.", "user.overlay.")
#: Of these, what makes a directory or a file mean something else than it says.
_TWISTED = tuple(f"{prefix}{name}" for prefix in _OVERLAY for name in ("opaque", "redirect", "metacopy"))


def hostname_fits(origin: Observed) -> bool:
    """Whether /etc/hostname of the origin is a plain file or not there at all, and nothing leads away from it.

    Else only a mount of the overlay tells what there is, and a link could lead to a file of the host.
    """
    for layer in (origin.rootfs.path, *origin.rootfs.lower):
        for path, right in ((f"{layer}/etc", stat.S_ISDIR), (f"{layer}/etc/hostname", stat.S_ISREG)):
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                break
            if not right(found.st_mode):
                return False
            if any(name in _TWISTED for name in os.listxattr(path, follow_symlinks=False)):
                return False
        else:
            return True
    return True


def rewrite_hostname(top: str, name: str) -> bool:
    """Write the name into etc/hostname below `top`. False if there is no such file."""
    try:
        etc = os.open(f"{top}/etc", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fd = os.open("hostname", os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=etc)
    except FileNotFoundError:
        return False
    finally:
        os.close(etc)
    try:
        os.write(fd, name.encode())
    finally:
        os.close(fd)
    return True


def cover_hostname(lower: str, upper: str, name: str) -> None:
    """Make what the kernel makes in the upper layer when etc/hostname of the lower one is written."""
    try:
        file = os.lstat(f"{lower}/etc/hostname")
    except FileNotFoundError:
        return
    top, etc = os.lstat(upper), f"{upper}/etc"
    if not os.path.lexists(etc):
        os.mkdir(etc, 0o700)
        folder = os.lstat(f"{lower}/etc")
        _make_alike(f"{lower}/etc", etc, folder)
    else:
        folder = os.lstat(etc)
    write_new(f"{etc}/hostname", name.encode(), 0o600)
    _make_alike(f"{lower}/etc/hostname", f"{etc}/hostname", file)
    for path, found in ((etc, folder), (upper, top)):
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def _make_alike(lower: str, upper: str, found: os.stat_result) -> None:
    os.chown(upper, found.st_uid, found.st_gid)
    copy_xattrs(lower, upper, _OVERLAY)
    os.chmod(upper, stat.S_IMODE(found.st_mode))


def write_new(path: str, content: bytes, mode: int) -> None:
    """Write a file that is not there yet; the caller's umask applies to the mode. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
    finally:
        os.close(fd)
