# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One container of a fleet, as the engine sees it in a worker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, AbstractSet, Optional, Protocol

from .._errors import OperationError
from .._host.command_socket import read_states
from .._model.container import ContainerSpec
from .._model.fleet import FleetSpec
from .._model.observed import Observed
from .._plan.container import is_half_made
from .._plan.container_context import Context
from .._plan.container_met import is_simple
from .._plan.core import Plan
from .._plan.fleet import Key, key_of, makes, origin_key
from .container import ContainerDomain, Current
from .fleet_view import Entry
from .quick_look import QuickLook

if TYPE_CHECKING:
    from .._host.dependants import Lists


class Run(Protocol):
    """What a member asks of the run that it is part of."""

    fleet: FleetSpec
    accepted: AbstractSet[str]

    def origin(self, key: Key) -> Observed:
        """The container that others are cloned from."""

    def place(self, lxcpath: str) -> str:
        """The lxcpath without symbolic links."""


class FleetMember(ContainerDomain):
    """A container whose surroundings were read together with the others'. See `_engine.Domain`."""

    def __init__(
        self, spec: ContainerSpec, run: Run, entry: Entry, context: Context, registered: Optional[Lists]
    ) -> None:
        super().__init__(spec)
        self.mark = run.fleet.name
        self.registered = registered
        self._run = run
        self._entry = entry
        self._known = context
        self._was_there = entry.observed.defined and not makes(entry.plan) and spec.state != "absent"

    def plan(self, current: Current) -> Plan:
        """As in `ContainerDomain`. Where all is still as it was when the whole was planned, that plan holds."""
        entry, (observed, context) = self._entry, current
        if (
            self.spec is entry.member.spec
            and observed == entry.observed
            and context.origin == (None if context is self._known else entry.origin)
        ):
            return entry.plan
        return super().plan(current)

    def is_plainly_met(self) -> bool:
        """See `_engine.Domain`."""
        spec = replace(self.spec, state="started") if self.spec.state == "restarted" else self.spec
        key = key_of(spec)
        return is_simple(spec) and QuickLook().is_met(spec, self._left or read_states([key])[key])

    def check(self, plan: Plan) -> None:
        """As in `ContainerDomain`, but for the configs that were judged together."""
        if plan is self._entry.plan:
            return
        unknown = [one for one in plan.actions if "document" in one.detail]
        if not all(one.detail["document"].render() in self._run.accepted for one in unknown):
            super().check(plan)

    def _place(self) -> str:
        return self._run.place(self.spec.lxcpath)

    def _takes_ids(self, observed: Observed) -> bool:
        return False

    def _context(self, observed: Observed) -> Context:
        # What the config and the running guest differ in is known from before, and counts for the first plan only.
        if observed.defined and not is_half_made(observed):
            return self._known
        if self._was_there:
            cause = "it was there when this run began, and is not any more"
            raise OperationError("manage", "container", self.spec.name, cause, "Run it again")
        if self.spec.clone:
            return replace(self._known, origin=self._run.origin(origin_key(self.spec)))
        return self._known
