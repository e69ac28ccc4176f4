# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet as it stands on the host: its containers read in bulk, and a plan for each."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Sequence, Set, Tuple

from .._errors import InputError, OperationError
from .._host.journal import list_unfinished
from .._host.observe import observe, observe_host
from .._host.processes import start_time
from .._model.fleet import FleetSpec, Member
from .._model.observed import CREATING, Observed
from .._plan.container import plan_container, restart_required
from .._plan.container_context import Context
from .._plan.core import Plan
from .._plan.fleet import (
    Key,
    clone_levels,
    key_of,
    makes,
    origin_key,
    predict,
    removal_levels,
    without_dependants,
)
from .container_context import read_context, refuse_symlinked
from .fleet_prune import pruned
from .surroundings import Surroundings


@dataclass
class Entry:
    """One container of the fleet, and what is to become of it."""

    member: Member
    observed: Observed
    context: Optional[Context] = None
    #: What it was planned as a clone of.
    origin: Optional[Observed] = None
    plan: Plan = Plan()
    restart_keys: Tuple[str, ...] = ()
    #: Why it could not be planned or brought about, "" if nothing went wrong.
    error: str = ""
    log: Tuple[str, ...] = ()
    done: bool = False
    #: Made, but not started yet.
    begun: bool = False


class FleetView:
    """The members of a fleet, those that it prunes last, each with its plan."""

    def __init__(self, fleet: FleetSpec, part: Optional[Sequence[Member]] = None) -> None:
        """`part`: only these members, and nothing is pruned."""
        self.fleet = fleet
        members = [_settled(member, fleet) for member in (fleet.members if part is None else part)]
        if part is None:
            members += pruned(fleet, {key_of(member.spec) for member in members})
        _refuse_twins(members)
        specs = [member.spec for member in members]
        self.observed = _observe(members)
        self.around = Surroundings(specs)
        self.members = members
        self.entries = [
            Entry(member, self.observed.get(key_of(member.spec)) or Observed(member.spec.name, member.spec.lxcpath))
            for member in members
        ]
        self._origins: Dict[Key, Observed] = {}
        self._expected: Dict[Key, Observed] = {}
        self._failed: Set[Key] = set()
        self._plan()

    @property
    def changed(self) -> bool:
        """Whether anything is to be done."""
        return any(entry.plan.changed for entry in self.entries)

    def expected(self, key: Key) -> Observed:
        """A container as its plan will leave it."""
        return self._expected[key]

    def _plan(self) -> None:
        gone: Set[Key] = set()
        for level in removal_levels(self.members, self.observed):
            for index in level:
                entry = self.entries[index]
                entry.observed = without_dependants(entry.observed, gone)
                self._plan_one(entry)
                if not entry.error:
                    gone.add(key_of(entry.member.spec))
                    if entry.observed.defined:
                        self.around.rootfs_users(entry.member.spec.lxcpath).forget(entry.member.spec.name)
        for level in clone_levels(self.members):
            for index in level:
                if self.members[index].spec.state != "absent":
                    self._plan_one(self.entries[index])

    def _plan_one(self, entry: Entry) -> None:
        spec, observed = entry.member.spec, entry.observed
        key = key_of(spec)
        try:
            refuse_symlinked(spec.lxcpath, spec.name)
            if observed.health == CREATING:
                observed = entry.observed = wait_for_maker(spec.lxcpath, spec.name)
            origin = self._origin(origin_key(spec)) if spec.clone else None
            if origin_key(spec) in self._failed and not observed.defined:
                cause = f"its origin '{origin_key(spec)[1]}' can't be brought about"
                raise OperationError("clone", "container", spec.name, cause)
            entry.context = context = read_context(spec, observed, self.around, origin)
            entry.plan = plan = plan_container(spec, observed, context)
            self._expected[key] = predict(spec, observed, plan, self.around.flatten, origin)
            if plan.changed:
                self.around.note(spec, self._expected[key].document)
            if observed.running:
                entry.restart_keys = restart_required(spec, plan, observed, context)
            if makes(plan) and spec.clone and origin is not None:
                # The origin may not be there yet.
                entry.origin = origin
                entry.context = replace(context, origin=None)
        except InputError as error:
            raise error.under(entry.member.path) from None
        except OperationError as error:
            entry.error, entry.log = str(error), error.log
            self._expected[key] = observed
            self._failed.add(key)

    def _origin(self, key: Key) -> Observed:
        expected = self._expected.get(key)
        if expected is not None:
            return expected
        if key not in self._origins:
            self._origins[key] = observe(key[1], key[0])
        return self._origins[key]


def wait_for_maker(lxcpath: str, name: str) -> Observed:
    """The container once nobody's lxc-create works on it any more."""
    from .._host.wait import wait_until
    from .container import LOCK_S

    wait_until(lambda: observe(name, lxcpath).health != CREATING, LOCK_S)
    return observe(name, lxcpath)


def _settled(member: Member, fleet: FleetSpec) -> Member:
    """A container that an earlier call for the same task has restarted need only be started."""
    if not fleet.since or member.spec.state != "restarted":
        return member
    pid = observe(member.spec.name, member.spec.lxcpath).pid
    began = start_time(pid) if pid else None
    if began is None or began < fleet.since:
        return member
    return replace(member, spec=replace(member.spec, state="started"))


def _refuse_twins(members: Sequence[Member]) -> None:
    """Raises InputError when one container is declared in two spellings of its lxcpath."""
    places = {member.spec.lxcpath: "" for member in members}
    if len(places) < 2:
        return
    places = {lxcpath: os.path.realpath(lxcpath) for lxcpath in places}
    seen: Dict[Key, Member] = {}
    for member in members:
        other = seen.setdefault((places[member.spec.lxcpath], member.spec.name), member)
        if other is not member:
            what = f"container '{member.spec.name}' in {member.spec.lxcpath} is {other.path} already"
            raise InputError(f"{member.path}.lxcpath", f"{what}: {other.spec.lxcpath} is the same directory")


def _observe(members: List[Member]) -> Dict[Key, Observed]:
    names: Dict[str, Set[str]] = {}
    for member in members:
        names.setdefault(member.spec.lxcpath, set()).add(member.spec.name)
    found: Dict[Key, Observed] = {}
    for lxcpath, wanted in names.items():
        # One lxcpath after the other, because a name picks containers in all that are asked for together.
        for one in observe_host([lxcpath], names=wanted):
            found[one.lxcpath, one.name] = one
        for name in list_unfinished(lxcpath):
            if name in wanted and (lxcpath, name) not in found:
                found[lxcpath, name] = observe(name, lxcpath)
    return found
