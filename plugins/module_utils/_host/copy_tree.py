# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copying a directory tree as `rsync -aHXS` does, which liblxc runs for the upper layer of an overlay."""

from __future__ import annotations

import errno
import os
import stat
from typing import Dict, List, Tuple, Union

from .trees import Place

#: (device, inode) of a file with several names -> where its copy is.
_Links = Dict[Tuple[int, int], str]
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def copy_tree(source: str, target: str) -> None:
    """Copy what is in `source` into the empty directory `target`, which becomes like it too.

    Owners, modes, times of modification, extended attributes, holes and hard links are kept; no symbolic link is
    followed. Access control lists are not copied: rsync does so with -A only. Raises OSError.
    """
    origin = Place(source)
    try:
        copy = Place(target)
    except BaseException:
        origin.close()
        raise
    links: _Links = {}
    try:
        left = [_copy_files(origin.fd, copy.fd, links)]
        while True:
            if left[-1]:
                name = left[-1].pop()
                os.mkdir(name, 0o700, dir_fd=copy.fd)
                origin.enter(name)
                copy.enter(name)
                left.append(_copy_files(origin.fd, copy.fd, links))
                continue
            _finish(origin.fd, copy.fd, os.fstat(origin.fd))
            left.pop()
            if not left:
                return
            origin.leave()
            copy.leave()
    finally:
        origin.close()
        copy.close()


def copy_xattrs(source: Union[int, str], target: Union[int, str], without: Tuple[str, ...]) -> None:
    """Give the target the attributes of the source whose names do not begin with one of `without`. Follows no link."""
    follow = {} if isinstance(source, int) else {"follow_symlinks": False}
    try:
        names = os.listxattr(source, **follow)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EOPNOTSUPP):
            return
        raise
    for name in names:
        if not name.startswith(without):
            os.setxattr(target, name, os.getxattr(source, name, **follow), **follow)


def _copy_files(from_fd: int, to_fd: int, links: _Links) -> List[str]:
    """Copy what is no directory, and say what is one."""
    folders = []
    for name in os.listdir(from_fd):
        found = os.stat(name, dir_fd=from_fd, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            folders.append(name)
        else:
            _copy_other(from_fd, to_fd, name, found, links)
    return folders


def _copy_other(from_fd: int, to_fd: int, name: str, found: os.stat_result, links: _Links) -> None:
    identity = (found.st_dev, found.st_ino)
    if identity in links:
        os.link(links[identity], name, dst_dir_fd=to_fd, follow_symlinks=False)
        return
    if stat.S_ISREG(found.st_mode):
        _copy_file(from_fd, to_fd, name, found)
    else:
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=from_fd), name, dir_fd=to_fd)
        else:
            os.mknod(name, stat.S_IFMT(found.st_mode) | 0o600, found.st_rdev, dir_fd=to_fd)
        os.chown(name, found.st_uid, found.st_gid, dir_fd=to_fd, follow_symlinks=False)
        copy_xattrs(f"/proc/self/fd/{from_fd}/{name}", f"/proc/self/fd/{to_fd}/{name}", ("system.",))
        if not stat.S_ISLNK(found.st_mode):
            os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=to_fd)
        os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=to_fd, follow_symlinks=False)
    if found.st_nlink > 1:
        links[identity] = os.path.join(os.readlink(f"/proc/self/fd/{to_fd}"), name)


def _copy_file(from_fd: int, to_fd: int, name: str, found: os.stat_result) -> None:
    inner_from = os.open(name, os.O_RDONLY | _FILE, dir_fd=from_fd)
    try:
        inner_to = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=to_fd)
        try:
            _copy_content(inner_from, inner_to, found.st_size)
            _finish(inner_from, inner_to, found)
        finally:
            os.close(inner_to)
    finally:
        os.close(inner_from)


def _copy_content(from_fd: int, to_fd: int, size: int) -> None:
    offset = 0
    while offset < size:
        try:
            offset = os.lseek(from_fd, offset, os.SEEK_DATA)
            end = os.lseek(from_fd, offset, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break  # a hole up to the end
            raise
        os.lseek(to_fd, offset, os.SEEK_SET)
        while offset < end:
            sent = os.sendfile(to_fd, from_fd, offset, min(end - offset, 1 << 30))
            if not sent:
                break
            offset += sent
        else:
            continue
        break
    os.ftruncate(to_fd, size)


def _finish(from_fd: int, to_fd: int, found: os.stat_result) -> None:
    os.fchown(to_fd, found.st_uid, found.st_gid)
    copy_xattrs(from_fd, to_fd, ("system.",))
    os.fchmod(to_fd, stat.S_IMODE(found.st_mode))
    os.utime(to_fd, ns=(found.st_atime_ns, found.st_mtime_ns))
