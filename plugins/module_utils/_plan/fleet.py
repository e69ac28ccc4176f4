# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Planning many containers: which before which, and what one finds when its turn comes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

from .._errors import InputError
from .._model.config import ConfigDocument
from .._model.container import ContainerSpec
from .._model.fleet import Member
from .._model.observed import OK, Observed, Reference, Rootfs
from .container_config import Flatten
from .container_context import MAKING
from .container_new import clone_store
from .core import Plan

Key = Tuple[str, str]


@dataclass(frozen=True)
class Turn:
    """A container's turn: `index` into the fleet; `waits`: it is not started yet, because others are cloned from it."""

    index: int
    waits: bool = False


def key_of(spec: ContainerSpec) -> Key:
    """What tells a container from all others."""
    return spec.lxcpath, spec.name


def origin_key(spec: ContainerSpec) -> Key:
    """The container that this one is to be cloned from, ("", "") for none."""
    return (spec.clone.lxcpath, spec.clone.source) if spec.clone else ("", "")


def clone_levels(members: Sequence[Member]) -> List[List[int]]:
    """The members in levels, each after the one that its origin is in. Raises InputError for a circle of clones."""
    index_of = {key_of(member.spec): index for index, member in enumerate(members)}
    level: Dict[int, int] = {}
    for start in range(len(members)):
        path: List[int] = []
        here = start
        while here not in level:
            if here in path:
                names = " -> ".join(members[one].spec.name for one in [*path[path.index(here) :], here])
                raise InputError(f"{members[here].path}.clone.from", f"each is to be a clone of the next: {names}")
            path.append(here)
            below = index_of.get(origin_key(members[here].spec))
            if below is None:
                level[path.pop()] = 0
                break
            here = below
        for one in reversed(path):
            level[one] = level[index_of[origin_key(members[one].spec)]] + 1
    levels: List[List[int]] = [[] for _level in range(max(level.values(), default=-1) + 1)]
    for index in range(len(members)):
        levels[level[index]].append(index)
    return levels


def removal_levels(members: Sequence[Member], observed: Mapping[Key, Observed]) -> List[List[int]]:
    """The members that shall be absent in levels, each after those of them that depend on it."""
    absent = {key_of(member.spec): index for index, member in enumerate(members) if member.spec.state == "absent"}
    level: Dict[Key, int] = {}
    waiting = set(absent)
    while waiting:
        dependants = {key: _dependants(observed.get(key)) & waiting - {key} for key in waiting}
        free = {key for key in waiting if not dependants[key]} or waiting
        depth = max(level.values(), default=-1) + 1
        level.update((key, depth) for key in free)
        waiting = waiting - free
    levels: List[List[int]] = [[] for _level in range(max(level.values(), default=-1) + 1)]
    for key, index in absent.items():
        levels[level[key]].append(index)
    return levels


def _dependants(observed: Any) -> Set[Key]:
    return {(one.lxcpath, one.name) for one in observed.dependants} if observed else set()


def without_dependants(observed: Observed, gone: Set[Key]) -> Observed:
    """The container once those dependants are removed that go before it."""
    stay: Tuple[Reference, ...] = tuple(one for one in observed.dependants if (one.lxcpath, one.name) not in gone)
    return replace(observed, dependants=stay) if len(stay) != len(observed.dependants) else observed


def predict(spec: ContainerSpec, current: Observed, plan: Plan, flatten: Flatten, origin: Any = None) -> Observed:
    """The container as those find it that are cloned from it, after its own plan and before its start."""
    if not plan.changed:
        return current
    if spec.state == "absent":
        return Observed(spec.name, spec.lxcpath)
    documents: List[ConfigDocument] = [one.detail["document"] for one in plan.actions if "document" in one.detail]
    document = documents[-1] if documents else current.document
    rootfs = current.rootfs
    if makes(plan):
        store = spec.backingstore.type if spec.backingstore else "dir"
        if spec.clone and origin:
            store = clone_store(spec, origin)
        without = spec.template is not None and spec.template.short_name == "none"
        path = "" if without else f"{spec.lxcpath}/{spec.name}/rootfs"
        rootfs = Rootfs("dir" if store == "best" else store, path, (), True)
    running = current.running and "stop" not in plan.verbs() or ("stop" in plan.verbs() and "start" in plan.verbs())
    return replace(
        current,
        health=OK,
        problem="",
        state=str(plan.after.get("state", current.state)) if running else "stopped",
        document=document,
        effective=flatten(document),
        complete=True,
        rootfs=rootfs,
        journal={},
    )


def makes(plan: Plan) -> bool:
    """Whether the plan makes the container."""
    return any(verb in MAKING for verb in plan.verbs())


def schedule(
    members: Sequence[Member], plans: Mapping[int, Plan], observed: Mapping[Key, Observed]
) -> List[List[Turn]]:
    """Who has a turn when. Those of one list do not depend on each other; plans without actions have no turn."""
    busy = {index for index, plan in plans.items() if plan.changed}
    origins = {origin_key(members[index].spec) for index in busy if makes(plans[index])}
    phases = [[Turn(index) for index in level if index in busy] for level in removal_levels(members, observed)]
    late: List[Turn] = []
    for level in clone_levels(members):
        phase = []
        for index in level:
            if index not in busy or members[index].spec.state == "absent":
                continue
            verbs = plans[index].verbs()
            waits = key_of(members[index].spec) in origins and "start" in verbs and "stop" not in verbs
            if waits:
                late.append(Turn(index))
                if verbs[0] == "start":
                    continue
            phase.append(Turn(index, waits))
        phases.append(phase)
    return [phase for phase in (*phases, late) if phase]
