# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Giving every file of a stopped container's rootfs the owners that another id map makes of them.

Formats: linux/posix_acl_xattr.h for ACLs, linux/capability.h (struct vfs_cap_data, vfs_ns_cap_data) for file
capabilities; what chown(2) takes away is put back.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from dataclasses import dataclass
from typing import Dict, List, Optional, Set, Tuple

from .._errors import OperationError
from .._model.idmap import ID_LIMIT, IdMap, IdMapEntry, IdRange
from .mounts import mounted_in

#: On a file between its chown and the restoration of what that took away: its mode (4 bytes) and its capabilities.
_MARK = "trusted.lightervisor.shift"
_CAPS = "security.capability"
_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_ACL_USER, _ACL_GROUP = 0x02, 0x08
_CAP_REVISION, _CAP_2, _CAP_3 = 0xFF000000, 0x02000000, 0x03000000
_IDENTITY = IdMap((IdMapEntry("u", 0, 0, ID_LIMIT), IdMapEntry("g", 0, 0, ID_LIMIT)))
# The inode number of a btrfs subvolume's top, which has a device number of its own (BTRFS_FIRST_FREE_OBJECTID).
_SUBVOLUME = 256
_OUTSIDE = -1
_SHOWN = 5
_LISTED = 200


@dataclass(frozen=True)
class Shifted:
    """What `shift_tree` did."""

    #: How many names were looked at, and of how many something was changed.
    seen: int
    changed: int
    #: Mount points below the tree, relative to it, that were left alone with everything in them.
    skipped: Tuple[str, ...] = ()


def shift_tree(path: str, before: IdMap, after: IdMap) -> Shifted:
    """Change the host ids of everything in the directory `path` from those of one id map to those of another.

    An empty map is that of a privileged container. Owners, groups, the ids in POSIX ACLs and the root id of file
    capabilities change; modes (set-user-id too), times of content, and everything else stay. Symbolic links are changed
    themselves and never followed; mount points are not entered, btrfs subvolumes are.
    Nobody may use the tree meanwhile. An id that is already one of the new map's is left alone, so a second call does
    nothing, and one after a kill does the rest. Raises OperationError that lists files whose owner is in neither map
    (the others are done then), and before anything is done if old and new ids overlap.
    """
    return _Shift(path, _Ids("u", before, after, path), _Ids("g", before, after, path)).run()


class _Ids(Dict[int, int]):
    """The new id of each old one; _OUTSIDE for those that are in neither map. Filled as they come."""

    def __init__(self, kind: str, before: IdMap, after: IdMap, path: str) -> None:
        super().__init__()
        self.pieces = [
            (
                IdRange(old.outside + first - old.inside, end - first),
                new.outside - new.inside - old.outside + old.inside,
            )
            for old in (before if before.entries else _IDENTITY).entries
            for new in (after if after.entries else _IDENTITY).entries
            if old.kind == new.kind == kind
            for first, end in [(max(old.inside, new.inside), min(old.inside + old.count, new.inside + new.count))]
            if first < end
        ]
        self.new = [IdRange(piece.start + delta, piece.count) for piece, delta in self.pieces]
        for n, (piece, delta) in enumerate(self.pieces):
            for m, target in enumerate(self.new):
                if piece.overlaps(target) and (n != m or delta):
                    raise OperationError(
                        "shift",
                        "rootfs",
                        path,
                        f"ids from {max(piece.start, target.start)} on are both old and new ones, "
                        "so nothing would tell a file that is done from one that is not",
                        "Choose a range that does not overlap the old one.",
                    )

    def __missing__(self, old: int) -> int:
        new = _OUTSIDE
        for piece, delta in self.pieces:
            if piece.start <= old < piece.end:
                new = old + delta
        if new == _OUTSIDE and any(target.start <= old < target.end for target in self.new):
            new = old
        self[old] = new
        return new


class _Shift:
    def __init__(self, path: str, uids: _Ids, gids: _Ids) -> None:
        self.path = path
        self.uids = uids
        self.gids = gids
        self.fd = -1
        self.device = 0
        self.seen = 0
        self.changed = 0
        self.problems: List[str] = []
        self.problem_count = 0
        self.skipped: List[str] = []
        self.mounts = _mount_points(path)
        self.without_xattrs: Set[int] = set()

    def run(self) -> Shifted:
        names: List[str] = []
        try:
            self.enter(self.path, None)
            top = os.fstat(self.fd)
            self.device = top.st_dev
            self.one(".", top, "")
            self.walk(names)
        except OSError as error:
            raise self.error(f"{os.path.join(self.path, *names)!r}: {error.strerror}") from error
        finally:
            if self.fd >= 0:
                os.close(self.fd)
        if self.problem_count:
            more = f" and {self.problem_count - _SHOWN} more" if self.problem_count > _SHOWN else ""
            raise self.error(
                f"{'; '.join(self.problems[:_SHOWN])}{more}",
                "The other files are done; put these right and run it again.",
            )
        return Shifted(self.seen, self.changed, tuple(self.skipped))

    def error(self, cause: str, advice: str = "") -> OperationError:
        return OperationError("shift", "rootfs", self.path, cause, advice, self.problems)

    def enter(self, name: str, above: Optional[int]) -> None:
        """Make `name` the directory at work. One descriptor is open, whatever the depth of the tree."""
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        if above is not None:
            os.close(above)
        self.fd = fd

    def walk(self, names: List[str]) -> None:
        """Everything below the top; `names` leads to where it is at work."""
        levels = [(os.fstat(self.fd), self.directory(""))]
        while True:
            left = levels[-1][1]
            if left:
                names.append(left.pop())
                self.enter(names[-1], self.fd)
                levels.append((os.fstat(self.fd), self.directory("/".join(names))))
                continue
            levels.pop()
            if not levels:
                return
            self.enter("..", self.fd)
            if not os.path.samestat(os.fstat(self.fd), levels[-1][0]):
                raise self.error(f"{'/'.join(names)!r} was moved while it was worked on")
            names.pop()

    def directory(self, path: str) -> List[str]:
        """Do everything in a directory, and return the names of the directories in it that are to be entered."""
        enter = []
        prefix = path + "/" if path else ""
        with os.scandir(self.fd) as entries:
            for entry in entries:
                name = entry.name
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    # overlayfs lists the whiteouts of a lone lower layer, but they are not there.
                    continue
                if stat.S_ISDIR(found.st_mode):
                    other = found.st_dev != self.device and found.st_ino != _SUBVOLUME
                    if other or (self.mounts and prefix + name in self.mounts):
                        self.skipped.append(prefix + name)
                        continue
                    enter.append(name)
                elif self.mounts and prefix + name in self.mounts:
                    self.skipped.append(prefix + name)
                    continue
                self.one(name, found, prefix + name)
        return enter

    def one(self, name: str, found: os.stat_result, path: str) -> None:
        self.seen += 1
        try:
            if self.own(name, found):
                self.changed += 1
        except OSError as error:
            self.problem(path, error.strerror or str(error))
        except _Refused as error:
            self.problem(path, str(error))

    def problem(self, path: str, text: str) -> None:
        self.problem_count += 1
        if len(self.problems) < _LISTED:
            # Its name is the guest's: it may hold anything.
            self.problems.append(f"{path or '.'!r}: {text}")

    def own(self, name: str, found: os.stat_result) -> bool:
        """Whether anything had to be changed of one file."""
        mode = found.st_mode
        if stat.S_ISCHR(mode) and found.st_rdev == 0:
            # A whiteout of overlayfs: it stands for a file that is not there, whoever owns it.
            return False
        uid, gid = self.uids[found.st_uid], self.gids[found.st_gid]
        if uid == _OUTSIDE or gid == _OUTSIDE:
            raise _Refused(f"owner {found.st_uid}:{found.st_gid} is in neither id map")
        attributes = () if stat.S_ISLNK(mode) else self.attributes(name, found.st_dev)
        moves = uid != found.st_uid or gid != found.st_gid
        if attributes or (moves and mode & 0o6000):
            return self.own_with_attributes(name, found, uid, gid, attributes)
        if moves:
            os.chown(name, uid, gid, dir_fd=self.fd, follow_symlinks=False)
        return moves

    def own_with_attributes(
        self, name: str, found: os.stat_result, uid: int, gid: int, attributes: Tuple[str, ...]
    ) -> bool:
        at = f"/proc/self/fd/{self.fd}/{name}"
        have = {attribute: os.getxattr(at, attribute, follow_symlinks=False) for attribute in attributes}
        acls = [(acl, self.acl(have[acl])) for acl in _ACLS if acl in have]
        mode, caps = stat.S_IMODE(found.st_mode), have.get(_CAPS, b"")
        marked = _MARK in have
        if marked:
            mode, caps = int.from_bytes(have[_MARK][:4], "little"), have[_MARK][4:]
        new_caps = self.caps(caps)
        moves = uid != found.st_uid or gid != found.st_gid
        # chown(2) takes these away, but not from directories.
        fragile = not stat.S_ISDIR(found.st_mode) and bool(caps or mode & 0o6000)
        changed = moves or marked
        for acl, new in acls:
            if new != have[acl]:
                os.setxattr(at, acl, new, follow_symlinks=False)
                changed = True
        if moves:
            if fragile and not marked and found.st_dev not in self.without_xattrs:
                os.setxattr(at, _MARK, mode.to_bytes(4, "little") + caps, follow_symlinks=False)
                marked = True
            os.chown(name, uid, gid, dir_fd=self.fd, follow_symlinks=False)
        if new_caps and (moves or marked or new_caps != caps):
            os.setxattr(at, _CAPS, new_caps, follow_symlinks=False)
            changed = True
        if fragile and (moves or marked):
            self.chmod(name, found, mode)
        if marked:
            os.removexattr(at, _MARK, follow_symlinks=False)
        return changed

    def chmod(self, name: str, found: os.stat_result, mode: int) -> None:
        # fchmodat(2) follows symbolic links, and opening a device has effects: through a descriptor that names it only.
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            # Not by its inode number: overlayfs gives another one to a file that was copied up just now.
            if stat.S_IFMT(os.fstat(fd).st_mode) != stat.S_IFMT(found.st_mode):
                raise _Refused("it was replaced while it was worked on")
            os.chmod(f"/proc/self/fd/{fd}", mode)
        finally:
            os.close(fd)

    def attributes(self, name: str, device: int) -> Tuple[str, ...]:
        if device in self.without_xattrs:
            return ()
        try:
            # Through the directory's descriptor: there is no llistxattrat, and opening a device or FIFO has effects.
            found = os.listxattr(f"/proc/self/fd/{self.fd}/{name}", follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EOPNOTSUPP):
                raise
            self.without_xattrs.add(device)
            return ()
        return tuple(n for n in found if n in _ACLS or n in (_CAPS, _MARK)) if found else ()

    def acl(self, value: bytes) -> bytes:
        """The ACL with new ids: a version (le32), then entries of tag and permissions (le16) and id (le32)."""
        if len(value) < 4 or (len(value) - 4) % 8 or struct.unpack_from("<I", value)[0] != 2:
            raise _Refused("its ACL is of an unknown version")
        result = bytearray(value)
        for at in range(4, len(value), 8):
            tag, _permissions, old = struct.unpack_from("<HHI", value, at)
            if tag in (_ACL_USER, _ACL_GROUP):
                new = (self.uids if tag == _ACL_USER else self.gids)[old]
                if new == _OUTSIDE:
                    raise _Refused(f"its ACL names {'user' if tag == _ACL_USER else 'group'} {old}, in neither id map")
                struct.pack_into("<I", result, at + 4, new)
        return bytes(result)

    def caps(self, value: bytes) -> bytes:
        """Capabilities for the guest's root in its new user namespace; b"" for b"".

        Revision 2 (20 bytes) is for the host's root; 3 has 4 more, the id that is root where they count.
        """
        if not value:
            return value
        magic: int = struct.unpack_from("<I", value)[0]
        revision = magic & _CAP_REVISION
        if (revision, len(value)) not in ((_CAP_2, 20), (_CAP_3, 24)):
            raise _Refused("its file capabilities are of an unknown revision")
        old: int = struct.unpack_from("<I", value, 20)[0] if revision == _CAP_3 else 0
        new = self.uids[old]
        if new == _OUTSIDE:
            if revision == _CAP_2:
                # They were without effect in the old container and are so in the new one.
                return value
            raise _Refused(f"its file capabilities are those of root id {old}, in neither id map")
        kept = magic & ~_CAP_REVISION
        if new == 0:
            return struct.pack("<I", kept | _CAP_2) + value[4:20]
        return struct.pack("<I", kept | _CAP_3) + value[4:20] + struct.pack("<I", new)


class _Refused(Exception):
    """A file that cannot be done: above all one with an id that has no place in the new map."""


def _mount_points(path: str) -> Optional[Set[str]]:
    """Mount points below `path`, relative to it: a bind mount may have the tree's device."""
    top = os.path.realpath(path).rstrip("/") + "/"
    return {point[len(top) :] for point in mounted_in(path) if point.startswith(top)} or None
