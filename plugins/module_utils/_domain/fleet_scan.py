# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A look at a whole fleet by all processors together, to see whether there is anything to do at all.

Nothing is, most of the time. A container that exists and has nothing to be done to it depends on no other container, so
each process can judge its part alone. Whatever is not plainly in order is left to the one who plans the whole.
"""

from __future__ import annotations

import os
import pickle
from typing import Callable, List, Optional, Sequence, Tuple

from .._model.fleet import FleetSpec, Member
from .._plan.fleet import Key, key_of

#: The part of a fleet that one of several processes looks at, as (k, n).
Part = Tuple[int, int]
#: Containers below which one process is as quick.
WORTHWHILE = 300


def find_nothing_to_do(fleet: FleetSpec, members: Callable[[Part], Sequence[Member]]) -> Optional[List[Key]]:
    """The containers, if nothing is to be done to, said of or awaited for any of them, else None.

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
            part = pickle.loads(data) if data else None
            found = found + part if found is not None and part is not None else None
    return found


def _fork(fleet: FleetSpec, members: Callable[[Part], Sequence[Member]], part: Part) -> Tuple[int, int]:
    """A process that looks at a part, and where its answer can be read."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as stream:
                # What goes wrong here goes wrong again, and is told, when the whole is planned.
                stream.write(pickle.dumps(_look(fleet, members(part))))
        finally:
            os._exit(0)
    os.close(writing)
    return pid, reading


def _look(fleet: FleetSpec, members: Sequence[Member]) -> Optional[List[Key]]:
    from .fleet_view import FleetView

    view = FleetView(fleet, members)
    for entry in view.entries:
        member = entry.member
        if entry.plan.changed or entry.plan.warnings or entry.error or entry.restart_keys or member.wait_for:
            return None
    return [key_of(member.spec) for member in members]
