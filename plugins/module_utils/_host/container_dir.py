# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies in a container's directory besides its config: signs of work in progress, snapshots, relations."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat
import struct
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from .._model.observed import CREATING, PARTIAL, Reference, Rootfs, Snapshot
from .._model.rootfs import parse_rootfs
from .files import read_regular, read_text
from .processes import is_of_host

#: `struct flock` of 64 bit file offsets: type, whence, start, length, pid.
_FLOCK = struct.Struct("@hhqqi4x")
#: F_OFD_GETLK of fcntl.h; Python names it from 3.9 on.
_F_OFD_GETLK = getattr(fcntl, "F_OFD_GETLK", 36)
#: Seconds after which an unlocked `partial` file is looked for again: liblxc unlocks it before it unlinks it.
_UNLINK_DELAY = 0.005


def read_small(path: str) -> Optional[str]:
    """The text of a file of liblxc's own, None when there is none or it cannot be read."""
    try:
        return read_regular(path)[0].decode("utf-8", "surrogateescape")
    except OSError:
        return None


def read_partial(folder: str) -> str:
    """PARTIAL, CREATING, or "" when there is no `partial` file in the container's directory.

    lxc-create holds a write lock of its open file description on `<folder>/partial` while it works (create_partial
    in lxccontainer.c). The lock is only asked about, never taken. A killed lxc-create can leave its template
    running: that counts as creating, too.
    """
    path = os.path.join(folder, "partial")
    locked = _is_locked(path)
    if locked is False:
        select.select([], [], [], _UNLINK_DELAY)
        locked = _is_locked(path)
    if locked is None:
        return ""
    return CREATING if locked or find_worker(folder) else PARTIAL


def _is_locked(path: str) -> Optional[bool]:
    """Whether somebody holds a lock on the file; None without the file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError:
        return _listed_as_locked(path)
    try:
        answer = fcntl.fcntl(fd, _F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
    except OSError:
        return _listed_as_locked(path)
    finally:
        os.close(fd)


def _listed_as_locked(path: str) -> Optional[bool]:
    """The same from /proc/locks: lxc-create makes the file with mode 000, which only root can open."""
    try:
        inode = str(os.lstat(path).st_ino)
    except FileNotFoundError:
        return None
    except OSError:
        return False
    # The device is not compared: btrfs and overlayfs report another one here than stat does.
    lines = (read_text("/proc/locks") or "").splitlines()
    return any(word.rpartition(":")[2] == inode for line in lines for word in line.split() if word.count(":") == 2)


def find_worker(folder: str) -> Optional[int]:
    """The pid of a process that is making this container, by its command line: a template, rsync or lxc-copy.

    lxc-copy locks nothing, and what lxc-create and lxc-copy started outlives them when they are killed. A clone
    made through the API by another program is not recognised until it has started rsync. Any user, and any guest, can
    give a process any arguments: only root's and the caller's own processes count, and none of a guest.
    """
    lxcpath, name = (os.fsencode(part) for part in os.path.split(folder))
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as stream:
                arguments = stream.read().split(b"\0")[:-1]
        except OSError:
            continue
        if _works_on(arguments, lxcpath, name) and is_of_host(int(entry)):
            return int(entry)
    return None


def _works_on(arguments: Sequence[bytes], lxcpath: bytes, name: bytes) -> bool:
    folder = lxcpath + b"/" + name
    options = (b"--path=" + folder, b"--rootfs=" + folder)
    if any(_inside(argument, option) for argument in arguments for option in options):
        return True
    programs = {os.path.basename(argument) for argument in arguments[:2]}
    if programs & {b"rsync", b"tar"}:
        return any(_inside(argument, folder) for argument in arguments[1:])
    if not programs & {b"lxc-copy", b"lxc-create"}:
        return False
    # Options are written as `-n name`, `-nname`, `--name name` or `--name=name`.
    values = {part.rstrip(b"/") for item in arguments[1:] for part in (item, item[2:], item.partition(b"=")[2])}
    elsewhere = any(item[:2] in (b"-P", b"-p") or item.startswith((b"--lxcpath", b"--newpath")) for item in arguments)
    return name in values and (lxcpath in values or not elsewhere)


def _inside(text: bytes, folder: bytes) -> bool:
    return text.startswith(folder) and text[len(folder) : len(folder) + 1] in (b"", b"/")


def parse_references(text: str) -> Tuple[Reference, ...]:
    """The containers of `lxc_rdepends` or `lxc_snapshots`: lines of lxcpath and name in turns, each container once.

    The number that liblxc before 1.1 kept in `lxc_snapshots` gives no container.
    """
    lines = text.splitlines()
    found: Dict[Reference, None] = {}
    for lxcpath, name in zip(lines[::2], lines[1::2]):
        if lxcpath and name:
            found[Reference(lxcpath, name)] = None
    return tuple(found)


def read_origin(folder: str) -> Optional[Reference]:
    """The container that this one is a snapshot clone of: the last one in `lxc_rdepends`, its origins come before."""
    references = parse_references(read_small(os.path.join(folder, "lxc_rdepends")) or "")
    return references[-1] if references else None


def read_dependants(lxcpath: str, name: str) -> Tuple[Reference, ...]:
    """The snapshot clones that liblxc has noted in `lxc_snapshots`; while there are any it refuses to destroy.

    One that was removed by hand, so that it does not name this container any more, is none.
    """
    text = read_small(os.path.join(lxcpath, name, "lxc_snapshots")) or ""
    if text.strip().isdigit():
        listed = tuple(Reference(lxcpath, other) for other in sorted(os.listdir(lxcpath)))
    else:
        listed = parse_references(text)
    if not listed:
        return ()
    place = os.path.realpath(lxcpath)
    return tuple([other for other in listed if _depends(other, lxcpath, place, name)])


def _depends(clone: Reference, lxcpath: str, place: str, name: str) -> bool:
    """Whether `lxc_rdepends` of the clone names this container. One that can't be read counts as if it did.

    `place` is what the lxcpath really is.
    """
    try:
        content = read_regular(os.path.join(clone.lxcpath, clone.name, "lxc_rdepends"))[0]
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    references = parse_references(content.decode("utf-8", "surrogateescape"))
    named = [other.lxcpath for other in references if other.name == name]
    return lxcpath in named or any(os.path.realpath(other) == place for other in named)


def snapshots_folder(lxcpath: str, name: str) -> str:
    """Where this container's snapshots are: `<lxcpath>snaps/<name>` of old, if that exists, else `<name>/snaps`."""
    old = f"{lxcpath}snaps"
    return os.path.join(old, name) if os.path.isdir(old) else os.path.join(lxcpath, name, "snaps")


def read_snapshots(lxcpath: str, name: str) -> Tuple[Snapshot, ...]:
    """What `lxc-snapshot -L -C` lists, oldest first; without a ts file `created` is ""."""
    folder = snapshots_folder(lxcpath, name)
    found: List[Snapshot] = []
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            place = os.path.join(folder, entry)
            if os.path.exists(os.path.join(place, "config")):
                created = (read_small(os.path.join(place, "ts")) or "").strip()
                comment = (read_small(os.path.join(place, "comment")) or "").rstrip("\n")
                found.append(Snapshot(entry, created, comment))
    return tuple(sorted(found, key=lambda snapshot: (snapshot.created, len(snapshot.name), snapshot.name)))


def read_rootfs(value: str) -> Rootfs:
    """An `lxc.rootfs.path` and whether it is there. What cannot be looked at without a tool counts as being there."""
    store, path, lower = parse_rootfs(value)
    if not store:
        store = "dir" if os.path.isdir(path) else "lvm" if path.startswith("/dev/") else "loop"
        if not os.path.exists(path):
            store = ""
    return Rootfs(store, path, lower, all(_exists(store, layer) for layer in (lower or (path,))))


def _exists(store: str, path: str) -> bool:
    if store == "rbd" or not path.startswith("/"):
        return True
    if store == "nbd":
        path = path.partition(":")[0]
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        return True
    except OSError:
        return False
    return stat.S_ISDIR(mode) if store in ("dir", "btrfs", "overlay") else True


def is_empty(folder: str) -> bool:
    """Whether there is nothing in the directory, or no directory."""
    try:
        return not os.listdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def list_folders(lxcpath: str) -> Iterator[str]:
    """The names of the directories in an lxcpath that can be containers: liblxc ignores hidden ones."""
    with os.scandir(lxcpath) as entries:
        for entry in entries:
            try:
                if not entry.name.startswith(".") and entry.is_dir():
                    yield entry.name
            except OSError:
                continue
