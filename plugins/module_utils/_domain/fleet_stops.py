# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stops containers of a fleet together, under the locks of all of them."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Dict, List, Sequence, Tuple

from .._errors import OperationError
from .._host.locks import named_lock
from .._host.open_files import free_files
from .._host.power_many import FDS_BESIDES, FDS_EACH, stop_many
from .._model.container import ContainerSpec
from .._model.observed import Observed
from .._plan.fleet import Key, key_of
from .container import LOCK_S
from .fleet_member import FleetMember, Run
from .fleet_view import Entry

#: Containers that are stopped together at most. A time limit is heeded between them and the next ones, busybox guests
#: need 6 s; but one that takes its whole time to go down keeps the next ones waiting.
_STOPS = 500


def most_together() -> int:
    """How many containers can be stopped together with the files that may be open: each has a lock besides."""
    return min(max((free_files() - FDS_BESIDES) // (FDS_EACH + 1), 1), _STOPS)


def stop_together(entries: Sequence[Entry], run: Run) -> Dict[Key, str]:
    """Stop these containers, and return the error of each that still runs.

    Those that had only to be stopped are done afterwards; the others, and those for which something is left, are not.
    """
    errors: Dict[Key, str] = {}
    targets: List[Tuple[ContainerSpec, Observed]] = []
    by_key = {key_of(entry.member.spec): entry for entry in entries}
    with ExitStack() as locks:
        deadline = time.monotonic() + LOCK_S
        for key, entry in sorted(by_key.items(), key=lambda item: item[0]):
            spec = entry.member.spec
            try:
                place, left = run.place(spec.lxcpath), max(deadline - time.monotonic(), 0)
                locks.enter_context(named_lock("container", place, spec.name, timeout=left))
            except OperationError as error:
                errors[key] = str(error)
            else:
                targets.append((spec, entry.observed))
        still = stop_many(targets, ended=lambda key: has_stopped(by_key[key], run))
    for key, cause in still.items():
        errors[key] = str(OperationError("stop", "container", key[1], cause))
    return errors


def has_stopped(entry: Entry, run: Run) -> None:
    """Look once more at one that had only to be stopped, under its lock. Whatever is left is for its turn."""
    if entry.plan.verbs() != ("stop",) or entry.context is None:
        return
    member = FleetMember(entry.member.spec, run, entry, entry.context, None)
    try:
        entry.begun = entry.done = not member.plan(member.read()).changed
    except Exception:  # whatever it is, its turn will tell
        return
