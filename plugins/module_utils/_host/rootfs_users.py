# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which containers use which directories, whatever links or bind mounts they are named through."""

from __future__ import annotations

import os
from typing import Dict, Iterable, Iterator, Optional, Set, Tuple

from .._model.observed import ABSENT, Observed

Inode = Tuple[int, int]


class RootfsUsers:
    """The directories of containers and of their rootfs layers, by inode."""

    def __init__(self, containers: Iterable[Observed]) -> None:
        self._chains: Dict[str, Tuple[Inode, ...]] = {}
        self._gone: Set[str] = set()
        #: Who has the directory or layer that is this inode.
        self._holders: Dict[Inode, Set[str]] = {}
        #: Who has a layer that lies in the directory of this inode.
        self._within: Dict[Inode, Set[str]] = {}
        #: Who names this rootfs, which is no path.
        self._named: Dict[str, Set[str]] = {}
        for one in containers:
            if one.health != ABSENT:
                self._add(one)

    def _add(self, one: Observed) -> None:
        folder = self._chain(os.path.realpath(os.path.join(one.lxcpath, one.name)))
        if folder:
            self._holders.setdefault(folder[0], set()).add(one.name)
        for layer in (one.rootfs.path, *one.rootfs.lower):
            if layer.startswith("/"):
                chain = self._chain(os.path.realpath(layer))
                if chain:
                    self._holders.setdefault(chain[0], set()).add(one.name)
                for inode in chain:
                    self._within.setdefault(inode, set()).add(one.name)
            elif layer:
                self._named.setdefault(layer, set()).add(one.name)

    def forget(self, name: str) -> None:
        """Leave out a container that is going to be removed."""
        self._gone.add(name)

    def other_user(self, observed: Observed) -> str:
        """The name of another container whose files include this one's rootfs or lie in it, "" if there is none."""
        for names in self._sharing(observed):
            found = min((name for name in names if name != observed.name and name not in self._gone), default="")
            if found:
                return found
        return ""

    def leaving(self, observed: Observed) -> Tuple[str, ...]:
        """The names of those of them that were left out with `forget`."""
        names = {name for names in self._sharing(observed) for name in names if name in self._gone}
        return tuple(sorted(names - {observed.name}))

    def _sharing(self, observed: Observed) -> Iterator[Iterable[str]]:
        path = observed.rootfs.path
        if not path.startswith("/"):
            yield self._named.get(path, ())
            return
        chain = self._chain(os.path.realpath(path))
        for inode in chain:
            yield self._holders.get(inode, ())
        if chain:
            yield self._within.get(chain[0], ())

    def _chain(self, path: str) -> Tuple[Inode, ...]:
        """The inodes of a path without links and of all directories above it, itself first; () if it does not exist."""
        known: Optional[Tuple[Inode, ...]] = self._chains.get(path)
        if known is not None:
            return known
        try:
            found = os.stat(path)
        except OSError:
            self._chains[path] = ()
            return ()
        above: Tuple[Inode, ...] = () if path == "/" else self._chain(os.path.dirname(path))
        chain = ((found.st_dev, found.st_ino), *above)
        self._chains[path] = chain
        return chain
