# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshot clones made by a few system calls each: on disk they are what lxc-copy makes, at a tenth of its cost.

What is where, and whose it is: do_lxcapi_clone in lxccontainer.c, ovl_clonepaths in storage/overlay.c and
btrfs_snapshot in storage/btrfs.c, which are alike in liblxc 5 to 7. The kernel's own notes of a first mount, in
trusted.overlay attributes, are made at the first start instead.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct

from .._errors import InputError, OperationError
from .._model.clone_document import is_reproducible
from .._model.container import ContainerSpec
from .._model.idmap import parse_idmap
from .._model.observed import Observed
from .clone_hostname import cover_hostname, hostname_fits, rewrite_hostname, write_new
from .command_socket import is_active
from .dependants import rdepends_of_clone
from .files import read_regular, read_text
from .journal import RESTART, read_journal, unfinished
from .mounts import filesystem_of
from .trees import remove_tree

#: File systems that can hold the upper layer of an overlay on every kernel in use.
_UPPER = ("ext4", "xfs", "btrfs", "tmpfs", "ext3", "ext2", "f2fs")
#: linux/btrfs.h: struct btrfs_ioctl_vol_args_v2 is fd, transid, flags, 4 unused words, name.
_SNAP_CREATE_V2 = 0x50009417
_VOLUME = struct.Struct("=qQQ32x4040s")
#: struct btrfs_ioctl_fs_info_args: 1 KiB, in which max_id and num_devices come before the fsid.
_FS_INFO = 0x8400941F
#: The inode number of a subvolume's top directory (BTRFS_FIRST_FREE_OBJECTID).
_SUBVOLUME = 256


def can_clone_directly(spec: ContainerSpec, origin: Observed, store: str) -> bool:
    """Whether `clone_directly` makes of this origin just what lxc-copy would; else the caller runs lxc-copy."""
    if os.geteuid() != 0 or not is_reproducible(spec, origin, store):
        return False
    try:
        idmap = parse_idmap(origin.effective.values("lxc.idmap"))
    except InputError:
        return False
    if idmap.entries and not all(any(e.kind == kind and e.inside == 0 for e in idmap.entries) for kind in "ug"):
        return False
    folder = os.path.join(origin.lxcpath, origin.name)
    try:
        if _counts_only(os.path.join(folder, "lxc_snapshots")):
            return False
        if store == "btrfs":
            fits = _same_btrfs(origin.rootfs.path, folder, spec.lxcpath)
        else:
            fits = filesystem_of(spec.lxcpath, os.stat(spec.lxcpath).st_dev) in _UPPER
        return fits and (bool(spec.clone and spec.clone.keep_name) or hostname_fits(origin))
    except OSError:
        return False


def _counts_only(path: str) -> bool:
    """Whether it is the file of liblxc before 1.1, which held the number of the clones."""
    try:
        return read_regular(path)[0].lstrip()[:1].isdigit()
    except FileNotFoundError:
        return False


def clone_directly(spec: ContainerSpec, origin: Observed, text: str, mark: str = "") -> None:
    """Make the container, whose config is `text`, where `can_clone_directly` holds. Raises OperationError.

    It is prepared under a hidden name and appears by a rename, so that nobody ever sees a half of it. `register_clones`
    has been told of it. `mark` is the fleet that makes it.
    """
    _refuse_changed(origin)
    folder = os.path.join(spec.lxcpath, spec.name)
    prepared = unfinished(folder)
    try:
        _make_folder(prepared)
        try:
            if mark:
                from .fleet_marks import write_mark

                # First, so that what a killed run leaves can be told as the fleet's.
                write_mark(prepared, mark)
            _fill(spec, origin, prepared, text)
            os.rename(prepared, folder)
        except BaseException:
            remove_tree(prepared)
            raise
    except OSError as error:
        cause = f"{folder} holds files already" if os.path.lexists(folder) else error.strerror or str(error)
        where = f": {error.filename}" if error.filename and not os.path.lexists(folder) else ""
        raise OperationError("clone", "container", spec.name, cause + where, "Run it again") from error


def _refuse_changed(origin: Observed) -> None:
    """Raises OperationError when the origin is not as it was read, which may have been long ago."""
    folder, name = f"{origin.lxcpath}/{origin.name}", origin.name
    if is_active(origin.lxcpath, name):
        cause = "it is running, and only a stopped container's files hold still"
        raise OperationError("clone", "container", name, cause, "Stop it for the time of the clone")
    layers = origin.rootfs.lower or (origin.rootfs.path,)
    as_read = (
        read_text(f"{folder}/config") == origin.document.render()
        and read_journal(folder).get("operation") in (None, RESTART)
        and all(os.path.isdir(layer) for layer in layers)
    )
    if not as_read:
        raise OperationError("clone", "container", name, "it has changed since it was read", "Run it again")


def _make_folder(path: str) -> None:
    # As do_create_container_dir makes it, whatever the caller's umask is.
    mask = os.umask(0o002)
    try:
        try:
            os.mkdir(path, 0o770)
        except FileExistsError:
            # Only a run that was killed while it held the lock leaves one, and nobody has ever used what is in it.
            remove_tree(path)
            os.mkdir(path, 0o770)
    finally:
        os.umask(mask)


def _fill(spec: ContainerSpec, origin: Observed, folder: str, text: str) -> None:
    write_new(f"{folder}/config", text.encode("utf-8", "surrogateescape"), 0o660)
    rdepends, mode = rdepends_of_clone(origin)
    if rdepends:
        write_new(f"{folder}/lxc_rdepends", rdepends.encode("utf-8", "surrogateescape"), 0o666)
        if mode:
            os.chmod(f"{folder}/lxc_rdepends", mode)
    owned = [folder]
    rootfs = f"{folder}/rootfs"
    keeps_name = bool(spec.clone and spec.clone.keep_name)
    if origin.rootfs.backingstore == "btrfs":
        _snapshot(origin.rootfs.path, folder)
        if not keeps_name:
            rewrite_hostname(rootfs, spec.name)
    else:
        delta, work = f"{folder}/overlay/delta", f"{folder}/overlay/work"
        for path in (rootfs, f"{folder}/overlay", delta, work):
            os.mkdir(path, 0o755)
            owned.append(path)
        # What the kernel makes when lxc-copy mounts the overlay to write the new host name.
        os.mkdir(f"{work}/work", 0)
    values = origin.effective.values("lxc.idmap")
    if values:
        idmap = parse_idmap(values)
        uid, gid = idmap.to_host("u", 0) or 0, idmap.to_host("g", 0) or 0
        for path in owned:
            os.chown(path, uid, gid)
    if origin.rootfs.backingstore != "btrfs":
        if origin.rootfs.lower:
            from .copy_tree import copy_tree

            copy_tree(origin.rootfs.path, delta)
        if not keeps_name and not rewrite_hostname(delta, spec.name):
            cover_hostname((origin.rootfs.lower or (origin.rootfs.path,))[0], delta, spec.name)


def _snapshot(source: str, folder: str) -> None:
    source_fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(folder_fd, _SNAP_CREATE_V2, bytearray(_VOLUME.pack(source_fd, 0, 0, b"rootfs")))
        finally:
            os.close(folder_fd)
    finally:
        os.close(source_fd)


def _same_btrfs(rootfs: str, folder: str, lxcpath: str) -> bool:
    found = os.lstat(rootfs)
    if found.st_ino != _SUBVOLUME or not stat.S_ISDIR(found.st_mode):
        return False
    return _fsid(rootfs) == _fsid(folder) == _fsid(lxcpath)


def _fsid(path: str) -> bytes:
    """Which btrfs the path is on. Raises OSError if it is none."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(fd, _FS_INFO, bytes(1024))[16:32]
    finally:
        os.close(fd)
