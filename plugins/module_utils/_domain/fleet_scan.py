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
from .._host.command_socket import listening, read_states, socket_name
from .._model.container import ContainerSpec
from .._model.fleet import FleetSpec, Member
from .._plan.container_met import is_simple
from .quick_look import STOPPED, QuickLook, State

Key = Tuple[str, str]
#: A container, and what it is to be cloned from.
Row = Tuple[str, str, Optional[Key]]
#: The part of a fleet that one of several processes looks at, as (k, n).
Part = Tuple[int, int]
#: Containers below which one process is as quick.
WORTHWHILE = 300


def find_nothing_to_do(
    fleet: FleetSpec, members: Callable[[Part], Sequence[Member]], count: int
) -> Optional[List[Key]]:
    """The containers, if nothing is to be done to, said of or awaited for any of them and none is twice, else None.

    `members` gives a part of the fleet, which has `count` containers; `fleet` says the rest. None where anything goes
    wrong, too: what it is will be found, and told, when the whole is planned.
    """
    processes = max(1, min(len(os.sched_getaffinity(0)), count // (WORTHWHILE // 2)))
    readers: List[Tuple[int, int]] = []
    parts: List[Optional[List[Row]]] = []
    try:
        for number in range(1, processes):
            readers.append(_fork(fleet, members, (number, processes)))
        parts.append(_look(fleet, members((0, processes))))
    except (OSError, ValueError, OperationError):
        parts.append(None)
    finally:
        parts += [_answer(pid, reading) for pid, reading in readers]
    rows: List[Row] = []
    for part in parts:
        if part is None:
            return None
        rows += part
    keys = [(lxcpath, name) for lxcpath, name, _origin in rows]
    origins = {(lxcpath, name): (origin[0], origin[1]) for lxcpath, name, origin in rows if origin}
    return keys if _differ(keys) and not _has_circle(origins) else None


def _differ(keys: Sequence[Key]) -> bool:
    """Whether no two of them are one container, in whatever spelling of its lxcpath."""
    places = {lxcpath: os.path.realpath(lxcpath) for lxcpath in {key[0] for key in keys}}
    return len({(places[lxcpath], name) for lxcpath, name in keys}) == len(keys)


def _has_circle(origins: Dict[Key, Key]) -> bool:
    """Whether a container is to be a clone of itself, by way of others."""
    settled: Set[Key] = set()
    for key in origins:
        path: Set[Key] = set()
        here: Optional[Key] = key
        while here is not None and here not in settled:
            if here in path:
                return True
            path.add(here)
            here = origins.get(here)
        settled |= path
    return False


def _fork(fleet: FleetSpec, members: Callable[[Part], Sequence[Member]], part: Part) -> Tuple[int, int]:
    """A process that looks at a part, and where its answer can be read. Raises OSError."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        raise
    if pid == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as stream:
                stream.write(json.dumps(_look(fleet, members(part))).encode("ascii"))
        finally:
            os._exit(0)
    os.close(writing)
    return pid, reading


def _answer(pid: int, reading: int) -> Optional[List[Row]]:
    """What a process has found, once it has ended; None if it has not told."""
    try:
        with os.fdopen(reading, "rb") as stream:
            data = stream.read()
    except OSError:
        data = b""
    try:
        # There is nobody to wait for where SIGCHLD is ignored.
        os.waitpid(pid, 0)
        found: Optional[List[Row]] = json.loads(data)
    except (OSError, ValueError):
        return None
    return found


def _look(fleet: FleetSpec, members: Sequence[Member]) -> Optional[List[Row]]:
    closer = _not_plainly_met(members)
    if closer:
        from .fleet_view import FleetView

        for entry in FleetView(fleet, closer).entries:
            if entry.plan.changed or entry.plan.warnings or entry.error or entry.restart_keys or entry.member.wait_for:
                return None
    return [(spec.lxcpath, spec.name, _origin(spec)) for spec in [member.spec for member in members]]


def _origin(spec: ContainerSpec) -> Optional[Key]:
    return (spec.clone.lxcpath, spec.clone.source) if spec.clone else None


def _not_plainly_met(members: Sequence[Member]) -> List[Member]:
    """The members that a quick look does not find in order."""
    try:
        look = _FleetLook({member.spec.lxcpath for member in members})
    except OperationError:
        return list(members)
    simple = [is_simple(member.spec) and not member.wait_for for member in members]
    states = look.running([member.spec for member, is_so in zip(members, simple) if is_so])
    return [
        member
        for member, is_so in zip(members, simple)
        if not is_so or not look.is_met(member.spec, states.get((member.spec.lxcpath, member.spec.name), STOPPED))
    ]


class _FleetLook(QuickLook):
    """A quick look at all of some lxcpaths."""

    def __init__(self, lxcpaths: Set[str]) -> None:
        """Raises OperationError without liblxc."""
        super().__init__()
        # Those that may be of these lxcpaths: the name of one with a long path tells nothing.
        self._sockets = {name for name in listening() if name.startswith("lxc/") or name.rsplit("/", 2)[0] in lxcpaths}
        self._folders = {lxcpath: _folders(lxcpath) for lxcpath in lxcpaths}

    def running(self, specs: Sequence[ContainerSpec]) -> Dict[Key, State]:
        """State and init of those that somebody listens for."""
        if not self._sockets:
            return {}
        keys = [(spec.lxcpath, spec.name) for spec in specs]
        return read_states([key for key in keys if socket_name(*key) in self._sockets])

    def is_met(self, spec: ContainerSpec, state: State) -> bool:
        """As in `QuickLook`, for what is a directory."""
        return spec.name in self._folders[spec.lxcpath] and super().is_met(spec, state)


def _folders(lxcpath: str) -> Set[str]:
    """The names of the directories in it, without symbolic links."""
    try:
        with os.scandir(lxcpath) as entries:
            return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
    except OSError:
        return set()
