# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers on this host, as the engine sees them."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Iterator, Optional, Tuple

from .._engine import Undo
from .._host.locks import Lock, named_lock
from .._host.observe import observe
from .._model.container import ContainerSpec
from .._model.observed import CREATING, OK, Observed
from .._plan.container import plan_container
from .._plan.container_context import Context
from .._plan.core import Action, Plan
from .container_context import read_context, refuse_symlinked
from .surroundings import Surroundings

if TYPE_CHECKING:
    from .._host.dependants import Lists

#: Seconds to wait for others at work on the same container: as long as a slow template takes.
LOCK_S = 600.0

Current = Tuple[Observed, Context]


class ContainerDomain:
    """One declared container. See `_engine.Domain`."""

    def __init__(self, spec: ContainerSpec) -> None:
        self.spec = spec
        self._lock: Optional[Lock] = None
        self._ids = ExitStack()
        self._ids_held = False
        self._current: Optional[Current] = None
        #: State and init, as an action has left them this very moment.
        self._left: Optional[Tuple[str, Optional[int]]] = None
        #: Whether nothing was done to it since it was read.
        self._untouched = False
        #: The fleet that makes the container, "" for none.
        self.mark = ""
        #: What its origin's list of clones was left as if it knows of this one already, see `Steps`.
        self.registered: Optional[Lists] = None

    def read(self) -> Current:
        """The container and the context of its plan."""
        refuse_symlinked(self.spec.lxcpath, self.spec.name)
        observed = self._observed()
        if observed.health == CREATING:
            from .._host.wait import wait_until

            # Somebody's lxc-create, or one that outlived a killed run of ours: what it leaves is what counts.
            wait_until(lambda: self._observed().health != CREATING, LOCK_S)
            observed = self._observed()
        if self._lock and not self._ids_held and self._takes_ids(observed):
            self._ids.enter_context(named_lock("host", "ids", timeout=LOCK_S))
            self._ids_held = True
        self._current = (observed, self._context(observed))
        self._untouched = True
        return self._current

    def _context(self, observed: Observed) -> Context:
        return read_context(self.spec, observed, Surroundings([self.spec]))

    def _takes_ids(self, observed: Observed) -> bool:
        return self.spec.state != "absent" and (observed.health != OK or bool(observed.journal))

    def check(self, plan: Plan) -> None:
        """Have liblxc judge the configs of a plan before anything is done. Raises OperationError."""
        for action in plan.actions:
            if "document" in action.detail:
                from .._host.config_check import check_config

                check_config(action.detail["document"].render(), self.spec.name, self.spec.lxcpath)

    def plan(self, current: Current) -> Plan:
        """See `plan_container`."""
        return plan_container(self.spec, *current)

    def is_plainly_met(self) -> bool:
        """One container's task tells how it left it, so that it is read in any case."""
        return False

    def residue(self, current: Current) -> Plan:
        """The plan once more, for which a container that was restarted is a started one."""
        spec = replace(self.spec, state="started") if self.spec.state == "restarted" else self.spec
        observed, context = current
        return plan_container(spec, observed, replace(context, pending=()))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The container's lock; what `read` finds out then decides whether the host's lock on ids is needed too."""
        with self._ids, named_lock("container", self._place(), self.spec.name, timeout=LOCK_S) as lock:
            self._lock = lock
            try:
                yield
                lock.discard = not os.path.lexists(f"{self.spec.lxcpath}/{self.spec.name}")
            finally:
                self._lock = None

    def _place(self) -> str:
        """The lxcpath without symbolic links: two spellings of one directory are one container."""
        return os.path.realpath(self.spec.lxcpath)

    def apply(self, action: Action, undo: Undo) -> None:
        """Do one action. Raises OperationError."""
        # Imported here, so that a task with nothing to do does not pay for what it would have needed.
        from .container_steps import Steps

        steps = Steps(
            self.spec, self._current, self._lock, self._ids.close, self.mark, self.registered, self._untouched
        )
        steps.apply(action, undo)
        self._left, self._untouched = steps.left, False

    def _observed(self) -> Observed:
        return observe(self.spec.name, self.spec.lxcpath)
