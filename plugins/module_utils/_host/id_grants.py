# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which ids were given to which container: remembered, because a container can be out of sight.

An lxcpath whose file system is not mounted shows no containers, and their ids are not free for that.
"""

from __future__ import annotations

import json
import os
from typing import AbstractSet, List, Mapping, NamedTuple, Sequence, Tuple

from .files import read_text, write_atomic
from .locks import named_lock


class Grant(NamedTuple):
    """The id map of one container; `inode` is the lxcpath's, which is another one while nothing is mounted there."""

    inode: int
    lxcpath: str
    name: str
    idmap: Tuple[str, ...]
    #: The process that is going to make the container, as "pid start"; "" once its directory exists.
    maker: str = ""


def read_grants() -> List[Grant]:
    """The grants to containers that are there or may be out of sight."""
    grants = []
    for line in (read_text(_path()) or "").splitlines():
        try:
            inode, lxcpath, name, idmap, *maker = json.loads(line)
            grant = Grant(int(inode), str(lxcpath), str(name), tuple(str(item) for item in idmap), "".join(maker))
        except (ValueError, TypeError):
            continue
        if _counts(grant):
            grants.append(grant)
    return grants


def reserve_ids(idmaps: Mapping[Tuple[str, str], Sequence[str]]) -> None:
    """Note the id maps of containers, by lxcpath and name, that this process and its children are about to make.

    They count until it ends, and longer for those that are made. The lxcpaths exist.
    """
    maker = _started(os.getpid())
    new = [
        Grant(os.stat(lxcpath).st_ino, lxcpath, name, tuple(idmap), maker)
        for (lxcpath, name), idmap in idmaps.items()
    ]
    _replace(set(idmaps), new)


def grant_ids(lxcpath: str, name: str, idmap: Sequence[str]) -> None:
    """Note that the container, whose directory exists, has this id map. Those that are gone are forgotten."""
    new = [Grant(os.stat(lxcpath).st_ino, lxcpath, name, tuple(idmap))] if idmap else []
    path = _path()
    if not new and f", {json.dumps(lxcpath)}, {json.dumps(name)}, [" not in (read_text(path) or ""):
        return
    _replace({(lxcpath, name)}, new)


def _replace(keys: AbstractSet[Tuple[str, str]], new: Sequence[Grant]) -> None:
    path = _path()
    with named_lock("host", "grants"):
        known = [grant for grant in read_grants() if (grant.lxcpath, grant.name) not in keys]
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        text = "".join(json.dumps(grant) + "\n" for grant in [*known, *new])
        if text != read_text(path):
            write_atomic(path, text, mode=0o644)


def _started(pid: int) -> str:
    """The process and when it started (field 22 of proc_pid_stat(5)), since numbers are used again."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return f"{pid} {file.read().rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return ""


def _counts(grant: Grant) -> bool:
    pid = grant.maker.partition(" ")[0]
    if pid.isdigit() and grant.maker == _started(int(pid)):
        return True
    if os.path.lexists(os.path.join(grant.lxcpath, grant.name)):
        return True
    try:
        return os.stat(grant.lxcpath).st_ino != grant.inode
    except FileNotFoundError:
        # A mount point exists whether something is mounted there or not.
        return not os.path.isdir(os.path.dirname(grant.lxcpath))
    except OSError:
        return True


def _path() -> str:
    if os.geteuid() == 0:
        return "/var/lib/lightervisor/ids"
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "lightervisor", "ids")
