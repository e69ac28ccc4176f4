# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads one container's files and judges whether it is in order.

How a container that is not in order is told from one that is:

- `partial` exists: lxc-create works on it (locked, or its template runs) or was killed.
- lxc-copy, in every liblxc from 1.0 to 7.0, first writes the origin's config without lxc.rootfs.path, makes the
  directory `rootfs`, copies, and writes the final config last (do_lxcapi_clone in lxccontainer.c). Killed before that,
  it leaves a config without a rootfs beside a directory `rootfs`, which lxc-create never does (for `-t none` it makes
  no such directory). It is a half-made clone when the config is, line for line, the one of a container beside it, whose
  host name it has, or the config and the directory are empty, or our own journal says so. Otherwise somebody's data may
  be in there (an interrupted restore of a snapshot, a line lost by hand): that is reported as unreadable.
- Killed before it made the directory, lxc-copy leaves just the config. That is a half-made clone by the same
  comparison. Anything else is a container without a rootfs, an empty config too: that is what `-t none` makes of an
  empty default.conf.
- Where a config does name a rootfs nothing of the kind is concluded, whoever's directory that lies in: overlays,
  lxc.rootfs.managed = 0 and shared roots are legitimate.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Dict, List, Optional, Sequence, Set, Tuple, Union

from .._errors import InputError, OperationError
from .._model.config import ConfigDocument, flatten
from .._model.config_keys import check_key, lookup
from .._model.observed import CREATING, HALF_CLONED, NO_ROOTFS, OK, PARTIAL, UNREADABLE, Observed, Rootfs
from .container_dir import (
    find_worker,
    is_empty,
    list_folders,
    read_dependants,
    read_origin,
    read_partial,
    read_rootfs,
    read_snapshots,
)
from .files import read_text
from .journal import FILE as JOURNAL
from .journal import MARK, RESTART, read_journal
from .liblxc import installed_version


class _Refused(Exception):
    """Why liblxc would not load a config."""


def load_include(path: str) -> Sequence[ConfigDocument]:
    """The files of an lxc.include: one, or each *.conf of a directory (set_config_includefiles of confile.c).

    Raises OperationError where liblxc would refuse the config that includes it.
    """
    files = [path]
    if path.endswith("/") or os.path.isdir(path):
        try:
            # In the directory's own order, as liblxc reads them.
            files = [os.path.join(path, name) for name in os.listdir(path) if name.endswith(".conf") and len(name) > 5]
        except FileNotFoundError:
            files = []
        except OSError as error:
            raise OperationError("read", "included directory", path, error.strerror or str(error)) from error
    documents = []
    for file in files:
        text = read_text(file)
        if text is None:
            raise OperationError("read", "included file", file, "there is no such file")
        documents.append(ConfigDocument.parse(text))
    return documents


class ContainerReader:
    """Reads containers' files; remembers included files and what liblxc says to a key."""

    def __init__(self) -> None:
        self._included: Dict[str, Union[Tuple[ConfigDocument, ...], _Refused]] = {}
        self._accepted: Set[Optional[str]] = {None}
        self._old_snapshots: Dict[str, bool] = {}

    def read(self, name: str, lxcpath: str) -> Observed:
        """One container's files; ABSENT when it has neither config nor `partial`, also when it vanishes meanwhile."""
        folder = f"{lxcpath.rstrip('/')}/{name}"
        journal: Dict[str, str] = {}
        again = ""
        try:
            present = set(os.listdir(folder))
            journal = read_journal(folder) if JOURNAL in present else journal
            if journal.get("operation") == RESTART:
                journal, again = {}, "frozen" if journal.get("state") == "frozen" else "running"
            text = read_text(f"{folder}/config") if "config" in present else None
            unreadable = ""
        except (FileNotFoundError, NotADirectoryError):
            return Observed(name, lxcpath, journal=journal or read_journal(folder))
        except OSError as error:
            present, text, unreadable = set(), "", f"{folder}: {error.strerror}"
        except OperationError as error:
            text, unreadable = "", str(error)
        partial = read_partial(folder) if "partial" in present else ""
        if text is None and not partial:
            return Observed(name, lxcpath, journal=journal)
        document = effective = _parsed(text or "")
        complete = not unreadable
        try:
            effective = flatten(document, self._load)
            self._check(document, effective)
        except _Refused as refused:
            unreadable = str(refused)
            effective, complete = _as_far_as_readable(document)
        path = effective.get("lxc.rootfs.path")
        rootfs = read_rootfs(path) if path else Rootfs()
        snapshots = read_snapshots(lxcpath, name) if "snaps" in present or self._has_old_snapshots(lxcpath) else ()
        if partial:
            health, problem = partial, _PROBLEMS[partial].format(folder)
        elif unreadable:
            health, problem = UNREADABLE, f"liblxc does not load its config: {unreadable}"
        elif path:
            health, problem = (OK, "") if rootfs.exists else (NO_ROOTFS, f"Its rootfs {path} does not exist.")
        elif "rootfs" in present:
            health, problem = _without_path(folder, document, effective, bool(journal), bool(snapshots))
        elif present <= {"config", JOURNAL, MARK} and _is_copy(document, name, lxcpath):
            health, problem = HALF_CLONED, "It is an incomplete clone: it has its origin's config, and no rootfs."
        else:
            health, problem = OK, ""
        return Observed(
            name=name,
            lxcpath=lxcpath,
            health=health,
            problem=problem,
            document=document,
            effective=effective,
            complete=complete,
            rootfs=rootfs,
            origin=read_origin(folder) if "lxc_rdepends" in present else None,
            dependants=read_dependants(lxcpath, name) if "lxc_snapshots" in present else (),
            snapshots=snapshots,
            again=again,
            journal=journal,
        )

    def _load(self, path: str) -> Sequence[ConfigDocument]:
        if path not in self._included:
            try:
                self._included[path] = documents = tuple(load_include(path))
                for document in documents:
                    self._check(document, document)
            except _Refused as refused:
                self._included[path] = refused
            except OperationError as error:
                self._included[path] = _Refused(str(error))
        found = self._included[path]
        if isinstance(found, _Refused):
            raise found
        return found

    def _check(self, document: ConfigDocument, effective: ConfigDocument) -> None:
        for line in document.malformed():
            raise _Refused(f"the line '{line[:200]}' has no '='" if line.startswith("lxc.") else "it contains a NUL")
        keys = [line.key for line in effective.lines]
        if self._accepted.issuperset(keys):
            return
        for key in keys:
            if key is not None and key not in self._accepted:
                refusal = _verdict(key)
                if refusal:
                    raise _Refused(refusal)
                self._accepted.add(key)

    def _has_old_snapshots(self, lxcpath: str) -> bool:
        if lxcpath not in self._old_snapshots:
            self._old_snapshots[lxcpath] = os.path.isdir(f"{lxcpath}snaps")
        return self._old_snapshots[lxcpath]


def _as_far_as_readable(document: ConfigDocument) -> Tuple[ConfigDocument, bool]:
    """What can be read of a config with what it includes, and whether that is all."""
    missing = []

    def load(path: str) -> Sequence[ConfigDocument]:
        try:
            return load_include(path)
        except OperationError:
            missing.append(path)
            return ()

    return flatten(document, load), not missing


#: Where a clone's own files are: a full copy's, and an overlay's.
_LAYERS = ("rootfs", "overlay/delta", "delta0")
_PROBLEMS = {
    CREATING: "It is being created: {0}/partial is locked, or its template still runs.",
    PARTIAL: "Its creation was interrupted: {0}/partial is left over.",
}


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ConfigDocument:
    """The document of a config; while a fleet is worked on each is read several times, and seldom differs."""
    return ConfigDocument.parse(text)


@lru_cache(maxsize=4096)
def _verdict(key: str) -> str:
    """Why the installed liblxc refuses the key, "" if it does not."""
    try:
        check_key(key, installed_version(), "")
    except InputError as error:
        return error.problem
    except OperationError:
        return "" if lookup(key) is not None else f"liblxc has no key '{key}'"
    return ""


def _without_path(
    folder: str, document: ConfigDocument, effective: ConfigDocument, noted: bool, snapshots: bool
) -> Tuple[str, str]:
    """Health and problem of a container that has a directory `rootfs` while its config names none."""
    worker = find_worker(folder)
    if worker is not None:
        return CREATING, f"It is being cloned: process {worker} is at work."
    lxcpath, name = os.path.split(folder)
    blank = not effective.lines and all(is_empty(os.path.join(folder, part)) for part in _LAYERS)
    if not snapshots and (noted or blank or _is_copy(document, name, lxcpath)):
        return HALF_CLONED, f"It is an incomplete clone: it has {folder}/rootfs, but its config no lxc.rootfs.path."
    return UNREADABLE, (
        f"It has {folder}/rootfs, but its config no lxc.rootfs.path. If that is a whole rootfs, write the line "
        f"'lxc.rootfs.path = dir:{folder}/rootfs' into {folder}/config; if a clone or restore was interrupted, "
        "remove the container with state: absent."
    )


def _is_copy(document: ConfigDocument, name: str, lxcpath: str) -> bool:
    """Whether the config is line for line that of a container beside it, host name too, less the rootfs.

    lxc-copy writes its origin's host name at first. The origin is mostly called like that, but need not be.
    """
    called = document.get("lxc.uts.name")
    if not called or called == name:
        return False
    wanted = _copied(document)
    for other in (called, *list_folders(lxcpath)):
        if other == name or "/" in other:
            continue
        try:
            text = read_text(os.path.join(lxcpath, other, "config"))
        except OperationError:
            continue
        origin = ConfigDocument.parse(text or "")
        if origin.get("lxc.rootfs.path") and _copied(origin) == wanted:
            return True
    return False


def _copied(document: ConfigDocument) -> List[Tuple[str, str]]:
    """What lxc-copy's first config takes over: not the rootfs, and hardware addresses without their x."""
    return [entry for entry in document.entries() if entry[0] != "lxc.rootfs.path" and not entry[0].endswith(".hwaddr")]
