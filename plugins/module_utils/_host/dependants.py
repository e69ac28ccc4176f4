# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""liblxc's notes of whose files a snapshot clone shares: `lxc_rdepends` of the clone, `lxc_snapshots` of the others.

See mod_all_rdeps in lxccontainer.c. The clone's own directory may belong to its guest's root, who shall not lead
anybody elsewhere: of what `lxc_rdepends` names, only directories of containers are believed.
"""

from __future__ import annotations

import os
import stat
from typing import Callable, Iterator, List, Sequence, Tuple

from .._errors import OperationError
from .._model.observed import Observed, Reference
from .container_dir import parse_references
from .disklock import disk_lock
from .files import read_regular, write_atomic

#: So many clones are looked for one by one before the list is taken apart.
_FEW = 8

Change = Callable[[List[Reference]], List[Reference]]
#: What tells of the lists, as they were left, that nobody has written them since: path, inode, time, size of each.
Lists = Tuple[Tuple[str, int, int, int], ...]


def read_rdepends(folder: str) -> Tuple[str, int]:
    """The text of `lxc_rdepends` less what can't be a container, and the file's mode; "" and 0 if there is none.

    Raises OperationError when it can't be read.
    """
    path = os.path.join(folder, "lxc_rdepends")
    try:
        content, found = read_regular(path)
    except FileNotFoundError:
        return "", 0
    except OSError as error:
        raise OperationError("read", "file", path, error.strerror or str(error)) from error
    text = content.decode("utf-8", "surrogateescape")
    listed = parse_references(text)
    if not all(_believable(one) for one in listed):
        text = "".join(f"{one.lxcpath}\n{one.name}\n" for one in listed if _believable(one))
    return text, stat.S_IMODE(found.st_mode)


def _believable(one: Reference) -> bool:
    parts = one.lxcpath.split("/")
    return not parts[0] and ".." not in parts and "/" not in one.name and one.name not in (".", "..")


def rdepends_of_clone(origin: Observed) -> Tuple[str, int]:
    """What lxc_rdepends of a clone says: what its origin's says, and the origin if its files are shared.

    And the mode of the origin's file, which is its copy's too; 0 if it has none.
    """
    text, mode = read_rdepends(os.path.join(origin.lxcpath, origin.name))
    shares = "" if origin.rootfs.backingstore == "btrfs" else f"{origin.lxcpath}\n{origin.name}\n"
    return text + shares, mode


def register_clones(origin: Observed, clones: Sequence[Reference]) -> Lists:
    """Note containers with the origin, and with those whose files it shares itself, where they are not noted yet.

    As long as they are not there, liblxc's lists name them for nothing, which `read_dependants` does not believe.
    Returns what `are_as_left` asks for.
    """

    def with_clones(pairs: List[Reference]) -> List[Reference]:
        known = set(pairs)
        return pairs + [clone for clone in dict.fromkeys(clones) if clone not in known]

    entries = [f"\n{clone.lxcpath}\n{clone.name}\n" for clone in clones] if len(clones) <= _FEW else []

    def has_clones(text: str) -> bool:
        return bool(entries) and all(entry in f"\n{text}" for entry in entries)

    named = _named_in(rdepends_of_clone(origin)[0])
    return tuple([_change(lxcpath, name, with_clones, has_clones) for lxcpath, name in named])


def are_as_left(lists: Lists) -> bool:
    """Whether nobody has written the lists since they were left so, or is about to."""
    for path, *state in lists:
        folder = os.path.dirname(path)
        # Who looked for the clones before they were there may not have written yet what came of it.
        with disk_lock(os.path.dirname(folder), os.path.basename(folder)):
            if _state_of(path) != (path, *state):
                return False
    return True


def _state_of(path: str) -> Tuple[str, int, int, int]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return path, 0, 0, 0
    return path, found.st_ino, found.st_mtime_ns, found.st_size


def forget_clones(origin: Observed, clones: Sequence[Reference]) -> None:
    """Take back what `register_clones` has noted of containers that were not made: those without a directory."""

    def without(pairs: List[Reference]) -> List[Reference]:
        # Asked under the lock: who makes one beside this run notes it once more when it is there.
        gone = {one for one in clones if not os.path.lexists(os.path.join(one.lxcpath, one.name))}
        return [pair for pair in pairs if pair not in gone]

    for lxcpath, name in _named_in(rdepends_of_clone(origin)[0]):
        _change(lxcpath, name, without, lambda text: False)


def forget_dependency(clone: Reference, folder: str) -> None:
    """Take a container, whose files are in `folder`, out of `lxc_snapshots` of those it depends on."""
    entry = f"\n{clone.lxcpath}\n{clone.name}\n"
    try:
        text = read_rdepends(folder)[0]
    except OperationError:
        # What a guest has put in the file's place does not keep its container from being removed.
        return
    for lxcpath, name in _named_in(text):
        _change(
            lxcpath,
            name,
            lambda pairs: [pair for pair in pairs if pair != clone],
            lambda text: entry not in f"\n{text}",
            durable=False,
        )


def _named_in(text: str) -> Iterator[Tuple[str, str]]:
    """The containers that are there, by their directories."""
    for one in parse_references(text):
        try:
            if stat.S_ISDIR(os.lstat(os.path.join(one.lxcpath, one.name)).st_mode):
                yield one.lxcpath, one.name
        except OSError:
            continue


def _change(
    lxcpath: str, name: str, change: Change, settled: Callable[[str], bool], durable: bool = True
) -> Tuple[str, int, int, int]:
    """Change the list of one container; `settled` tells cheaply that there is nothing to change in this text."""
    path = os.path.join(lxcpath, name, "lxc_snapshots")
    with disk_lock(lxcpath, name):
        text = _listed(path)
        if settled(text):
            return _state_of(path)
        rows = text.splitlines()
        before = [Reference(one, two) for one, two in zip(rows[::2], rows[1::2])]
        after = change(before)
        if after == before:
            return _state_of(path)
        if after:
            text = "".join(f"{one.lxcpath}\n{one.name}\n" for one in after)
            write_atomic(path, text, mode=None if rows else 0o644, durable=durable)
        else:
            os.unlink(path)
        return _state_of(path)


def _listed(path: str) -> str:
    try:
        return read_regular(path)[0].decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise OperationError("read", "file", path, error.strerror or str(error)) from error
