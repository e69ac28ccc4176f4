# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which ids were given to which container: remembered, because a container can be out of sight.

An lxcpath whose file system is not mounted shows no containers, and their ids are not free for that.
"""

from __future__ import annotations

import json
import os
from typing import Dict, List, NamedTuple, Sequence, Tuple

from .files import read_text, write_atomic
from .locks import named_lock


class Grant(NamedTuple):
    """The id map of one container; `inode` is the lxcpath's, which is another one while nothing is mounted there."""

    inode: int
    lxcpath: str
    name: str
    idmap: Tuple[str, ...]


def read_grants() -> List[Grant]:
    """The grants to containers that are there or may be out of sight."""
    grants = []
    for line in (read_text(_path()) or "").splitlines():
        try:
            inode, lxcpath, name, idmap = json.loads(line)
            grant = Grant(int(inode), str(lxcpath), str(name), tuple(str(item) for item in idmap))
        except (ValueError, TypeError):
            continue
        if _counts(grant):
            grants.append(grant)
    return grants


def grant_ids(lxcpath: str, name: str, idmap: Sequence[str]) -> None:
    """Note that the container, whose directory exists, has this id map. Those that are gone are forgotten."""
    new = [Grant(os.stat(lxcpath).st_ino, lxcpath, name, tuple(idmap))] if idmap else []
    path = _path()
    if not new and f", {json.dumps(lxcpath)}, {json.dumps(name)}, [" not in (read_text(path) or ""):
        return
    with named_lock("host", "grants"):
        known: Dict[Tuple[str, str], Grant] = {(grant.lxcpath, grant.name): grant for grant in read_grants()}
        known.pop((lxcpath, name), None)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        text = "".join(json.dumps(grant) + "\n" for grant in [*known.values(), *new])
        if text != read_text(path):
            write_atomic(path, text, mode=0o644)


def _counts(grant: Grant) -> bool:
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
