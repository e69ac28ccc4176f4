# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A look at a whole fleet by all processors together, to see whether there is anything to do at all.

Nothing is, most of the time. A container that exists and has nothing to be done to it depends on no other container, so
each process can judge its part alone. Whatever is not plainly in order is left to the one who plans the whole.
"""

from __future__ import annotations

import json
import os
from typing import Callable, Dict, List, Optional, Sequence, Set, Tuple

from .._errors import OperationError
from .._host.command_socket import listening, socket_name
from .._host.container_dir import read_origin, read_rootfs
from .._host.files import read_regular
from .._host.journal import FILE as JOURNAL
from .._host.liblxc import installed_version
from .._model.fleet import FleetSpec, Member
from .._plan.container_met import is_simple, met_rootfs

Key = Tuple[str, str]
#: The part of a fleet that one of several processes looks at, as (k, n).
Part = Tuple[int, int]
#: Containers below which one process is as quick.
WORTHWHILE = 300


def find_nothing_to_do(fleet: FleetSpec, members: Callable[[Part], Sequence[Member]]) -> Optional[List[Key]]:
    """The containers, if nothing is to be done to, said of or awaited for any of them and none is twice, else None.

    `members` gives a part of the fleet; `fleet` says the rest.
    """
    count = os.cpu_count() or 1
    readers = [(_fork(fleet, members, (number, count))) for number in range(1, count)]
    found: Optional[List[Key]] = []
    try:
        found = _look(fleet, members((0, count)))
    finally:
        for pid, reading in readers:
            with os.fdopen(reading, "rb") as stream:
                data = stream.read()
            os.waitpid(pid, 0)
            part = json.loads(data) if data else None
            found = None if found is None or part is None else found + [(lxcpath, name) for lxcpath, name in part]
    return found if found is not None and _differ(found) else None


def _differ(keys: Sequence[Key]) -> bool:
    """Whether no two of them are one container, in whatever spelling of its lxcpath."""
    places = {lxcpath: os.path.realpath(lxcpath) for lxcpath in {key[0] for key in keys}}
    return len({(places[lxcpath], name) for lxcpath, name in keys}) == len(keys)


def _fork(fleet: FleetSpec, members: Callable[[Part], Sequence[Member]], part: Part) -> Tuple[int, int]:
    """A process that looks at a part, and where its answer can be read."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as stream:
                # What goes wrong here goes wrong again, and is told, when the whole is planned.
                stream.write(json.dumps(_look(fleet, members(part))).encode("ascii"))
        finally:
            os._exit(0)
    os.close(writing)
    return pid, reading


def _look(fleet: FleetSpec, members: Sequence[Member]) -> Optional[List[Key]]:
    closer = _not_plainly_met(members)
    if closer:
        from .fleet_view import FleetView

        for entry in FleetView(fleet, closer).entries:
            if entry.plan.changed or entry.plan.warnings or entry.error or entry.restart_keys or entry.member.wait_for:
                return None
    return [(member.spec.lxcpath, member.spec.name) for member in members]


def _not_plainly_met(members: Sequence[Member]) -> List[Member]:
    """The members that a quick look does not find in order."""
    try:
        version = installed_version()
    except OperationError:
        return list(members)
    lxcpaths = {member.spec.lxcpath for member in members}
    # Those that may be of these lxcpaths: the name of one with a long path tells nothing.
    sockets = {name for name in listening() if name.startswith("lxc/") or name.rsplit("/", 2)[0] in lxcpaths}
    folders = {lxcpath: _folders(lxcpath) for lxcpath in lxcpaths}
    rootfs: Dict[str, bool] = {"": False}
    closer = []
    for member in members:
        spec = member.spec
        met = False
        # Who listens for it would have to be asked how it is.
        runs = bool(sockets) and socket_name(spec.lxcpath, spec.name) in sockets
        if is_simple(spec) and not member.wait_for and not runs and spec.name in folders[spec.lxcpath]:
            folder = f"{spec.lxcpath}/{spec.name}"
            # Not to find a file takes four times as long as to ask whether there is one.
            told = bool(spec.clone or spec.template) and os.access(f"{folder}/lxc_rdepends", os.F_OK)
            origin = read_origin(folder) if told else None
            path = met_rootfs(spec, _plain_config(folder), origin, version)
            if path not in rootfs:
                rootfs[path] = read_rootfs(path).exists
            met = rootfs[path]
        if not met:
            closer.append(member)
    return closer


def _folders(lxcpath: str) -> Set[str]:
    """The names of the directories in it, without symbolic links."""
    try:
        with os.scandir(lxcpath) as entries:
            return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    except OSError:
        return set()


def _plain_config(folder: str) -> str:
    """The text of the container's config; "" if it has none, or if something was begun with it."""
    # Asking for two files takes a third of the time of listing the directory.
    for unusual in ("partial", JOURNAL):
        if os.access(f"{folder}/{unusual}", os.F_OK):
            return ""
    try:
        return read_regular(f"{folder}/config")[0].decode("utf-8", "surrogateescape")
    except OSError:
        return ""
