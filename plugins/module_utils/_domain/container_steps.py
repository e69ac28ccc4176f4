# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps of a plan for a container, each with what takes it back."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, AbstractSet, Callable, Dict, Optional, Tuple

from .._engine import Undo
from .._errors import OperationError
from .._host import journal, power
from .._host.config_check import check_config
from .._host.disklock import disk_lock
from .._host.files import read_text, write_atomic
from .._host.id_grants import grant_ids
from .._host.locks import Lock
from .._host.observe import observe
from .._model.container import ContainerSpec
from .._model.observed import OK, Observed, Reference
from .._plan.container_context import Context
from .._plan.core import Action

if TYPE_CHECKING:
    from .._host.dependants import Lists


class Steps:
    """Does the actions on one container, which the caller has read and locked.

    `ids_reserved` is called once a new container's id range stands where other runs look for it. `mark` is the fleet
    that makes it; `registered`: its origin knows already that it will be a clone of it, from which it can be made
    without lxc-copy, and how its list was left. `untouched`: nothing was done to the container since it was read.
    """

    def __init__(
        self,
        spec: ContainerSpec,
        current: Optional[Tuple[Observed, Context]],
        lock: Optional[Lock],
        ids_reserved: Callable[[], None],
        mark: str = "",
        registered: Optional[Lists] = None,
        untouched: bool = False,
    ) -> None:
        self.spec = spec
        self._current = current
        self._lock = lock
        self._ids_reserved = ids_reserved
        self._mark = mark
        self._registered = registered
        self._untouched = untouched
        #: State and init of the container that the action has started.
        self.left: Optional[power.State] = None
        self._verbs: Dict[str, Callable[[Action, Undo], None]] = {
            "create": self._create,
            "clone": self._create,
            "configure": self._configure,
            "start": self._start,
            "stop": self._stop,
            "limit": self._limit,
            "freeze": self._freeze,
            "unfreeze": self._unfreeze,
            "settle": self._settle,
            "destroy_snapshots": self._destroy,
            "destroy": self._destroy,
            "undefine": self._undefine,
            "discard": self._discard,
        }

    def apply(self, action: Action, undo: Undo) -> None:
        """Do one action. Raises OperationError."""
        self._verbs[action.verb](action, undo)

    @property
    def _directory(self) -> str:
        return os.path.join(self.spec.lxcpath, self.spec.name)

    def _observed(self) -> Observed:
        return observe(self.spec.name, self.spec.lxcpath)

    def _create(self, action: Action, undo: Undo) -> None:
        # Not at the top, because a mere start needs none of it, and every task compiles all that it imports.
        from .._host import lifecycle
        from .._host.fleet_marks import write_mark
        from .._plan.container_new import clone_store, finish_new

        spec, idmap = self.spec, action.detail["idmap"]
        if self._current is None or self._lock is None:
            raise OperationError(action.verb, "container", spec.name, "it was not read before")
        context = self._current[1]
        os.makedirs(spec.lxcpath, mode=0o711, exist_ok=True)
        if spec.clone and context.origin and not action.detail["shift"]:
            from .._host.direct_clone import can_clone_directly

            direct = self._registered is not None
            if direct or can_clone_directly(spec, context.origin, clone_store(spec, context.origin)):
                self._clone_directly(context, context.origin, idmap, undo)
                return
        journal.begin(self._directory, action.verb, **_noted(spec))
        # Not before: what somebody else has made there meanwhile is not this run's to remove.
        undo.push(f"what was made of '{spec.name}' is removed", lambda: lifecycle.discard(spec))
        if self._mark:
            # With the note, so that the fleet finds what a killed run of it leaves half made.
            write_mark(self._directory, self._mark)
        grant_ids(spec.lxcpath, spec.name, idmap or ())
        self._ids_reserved()
        document = action.detail["document"]
        if spec.clone and context.origin:
            lifecycle.clone(spec, clone_store(spec, context.origin), self._lock.fd)
            if action.detail["shift"]:
                before = context.origin.effective.values("lxc.idmap")
                lifecycle.own_rootfs(spec, self._observed(), idmap, before)
        else:
            lifecycle.create(spec, document, self._lock.fd)
            self._own_volume()
        secrets = spec.template.secrets if spec.template else ()
        made = lifecycle.without_secrets(self._observed().document, secrets)
        self._write(finish_new(made, spec, context, idmap).render())
        journal.end(self._directory)

    def _own_volume(self) -> None:
        """What liblxc forgets of an unprivileged container on a volume."""
        from .._host import lifecycle
        from .._host.volumes import VOLUMES, own_top

        made = self._observed()
        idmap = made.effective.values("lxc.idmap")
        if idmap and made.rootfs.backingstore in VOLUMES:
            own_top(made, lifecycle.mapped_root(idmap))

    def _clone_directly(self, context: Context, origin: Observed, idmap: Optional[Tuple[str, ...]], undo: Undo) -> None:
        """Clone without lxc-copy and, as the clone appears whole or not at all, without a journal."""
        from .._host import dependants, direct_clone, lifecycle
        from .._model.clone_document import copied_document
        from .._plan.container_new import clone_store, finish_new

        spec, itself = self.spec, Reference(self.spec.lxcpath, self.spec.name)
        store = clone_store(spec, origin)
        copied = copied_document(spec, origin, store, context.taken_hwaddrs, context.host_id)
        # liblxc has judged the planned config, and this one differs from it only in lines of its own making.
        text = finish_new(copied, spec, context, idmap).render()
        lists = dependants.register_clones(origin, [itself]) if self._registered is None else self._registered
        try:
            direct_clone.clone_directly(spec, origin, text, self._mark)
        except BaseException:
            dependants.forget_clones(origin, [itself])
            raise
        if not dependants.are_as_left(lists):
            # A run beside this one may have taken out what was not there yet.
            dependants.register_clones(origin, [itself])
        undo.push(f"what was made of '{spec.name}' is removed", lambda: lifecycle.discard(spec))
        grant_ids(spec.lxcpath, spec.name, idmap or ())
        self._ids_reserved()

    def _configure(self, action: Action, undo: Undo) -> None:
        before = read_text(self._config) or ""
        self._replace(action.detail["document"].render())
        undo.push(f"the config of '{self.spec.name}' is as before", lambda: write_atomic(self._config, before))

    @property
    def _config(self) -> str:
        return os.path.join(self._directory, "config")

    def _write(self, text: str) -> None:
        """Replace the config once liblxc has accepted the new text."""
        if text != read_text(self._config):
            check_config(text, self.spec.name, self.spec.lxcpath)
            self._replace(text)

    def _replace(self, text: str) -> None:
        with disk_lock(self.spec.lxcpath, self.spec.name):
            write_atomic(self._config, text)

    def _start(self, _action: Action, undo: Undo) -> None:
        made_here = self._current is not None and not self._current[0].defined
        found = self._current[0] if self._current and self._untouched else self._observed()
        self.left = power.start(self.spec, found.effective, log_stays=not made_here)
        journal.end(self._directory)
        undo.push(f"'{self.spec.name}' is stopped", lambda: power.stop(replace(self.spec, shutdown_timeout=0)))

    def _stop(self, action: Action, undo: Undo) -> None:
        before = self._observed()
        if action.detail.get("again"):
            # Whoever comes after a killed run does not know otherwise that it ran.
            journal.begin(self._directory, journal.RESTART, state=action.detail["again"])
        try:
            power.stop(self.spec)
        except OperationError:
            if action.detail.get("again"):
                journal.end(self._directory)
            raise

        def start_again() -> None:
            if journal.read_journal(self._directory).get("operation") == "destroy":
                raise OperationError("start", "container", self.spec.name, "its destruction has begun")
            power.start(self.spec, self._observed().effective)
            if before.state == "frozen":
                power.freeze(self.spec)
            if action.detail.get("again"):
                journal.end(self._directory)

        if before.health == OK:
            undo.push(f"'{self.spec.name}' runs again", start_again)

    def _limit(self, action: Action, undo: Undo) -> None:
        key, value = action.detail["key"], action.detail["value"]
        before = power.set_limit(self.spec, key, value)
        undo.push(f"{key} is {before} again", lambda: power.set_limit(self.spec, key, before))

    def _freeze(self, _action: Action, undo: Undo) -> None:
        power.freeze(self.spec)
        undo.push(f"'{self.spec.name}' is thawed", lambda: power.unfreeze(self.spec))

    def _unfreeze(self, _action: Action, undo: Undo) -> None:
        power.unfreeze(self.spec)
        undo.push(f"'{self.spec.name}' is frozen again", lambda: power.freeze(self.spec))

    def _settle(self, _action: Action, _undo: Undo) -> None:
        journal.end(self._directory)

    def _destroy(self, action: Action, _undo: Undo) -> None:
        from .._host import lifecycle

        if action.verb == "destroy" and not self._observed().defined:
            return  # gone together with its snapshots
        context = self._current[1] if self._current else None
        stays, leaving = (context.rootfs_stays, context.leaving) if context else (None, ())
        lifecycle.destroy(self.spec, action.verb == "destroy_snapshots", stays, leaving)

    def _undefine(self, _action: Action, _undo: Undo) -> None:
        from .._host import lifecycle

        lifecycle.undefine(self.spec, self._observed())

    def _discard(self, _action: Action, _undo: Undo) -> None:
        from .._host import lifecycle

        lifecycle.discard(self.spec)


def preload(verbs: AbstractSet[str]) -> None:
    """Import what actions of these verbs need, before workers are forked that would each do so."""
    if verbs & {"clone", "create"}:
        from .._host import fleet_marks, lifecycle  # noqa: F401
    if "clone" in verbs:
        from .._host import copy_tree, dependants, direct_clone  # noqa: F401


def _noted(spec: ContainerSpec) -> Dict[str, str]:
    """What the note says of files that are made outside the container's directory."""
    store = spec.backingstore
    if store is None or spec.clone:
        return {}
    place = dict(store.options).get("dir")
    return {"rootfs": place} if place else {"store": store.type}
