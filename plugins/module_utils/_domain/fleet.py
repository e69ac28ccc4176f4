# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings a whole fleet about: stops together, everything else in a bounded pool of processes."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from .._engine import carry_out
from .._errors import OperationError
from .._host.locks import named_lock
from .._host.observe import observe
from .._model.container import ContainerSpec
from .._model.fleet import FleetSpec
from .._model.observed import OK, Observed, Reference
from .._plan.container_new import clone_store
from .._plan.fleet import Key, Turn, key_of, makes, origin_key, schedule
from .container import LOCK_S
from .fleet_member import FleetMember
from .fleet_view import Entry, FleetView

if TYPE_CHECKING:
    from .._host.dependants import Lists


@dataclass
class _Answer:
    """What a worker says of a container."""

    error: str = ""
    log: Tuple[str, ...] = ()


class FleetRun:
    """One run for a fleet."""

    def __init__(self, fleet: FleetSpec) -> None:
        self.fleet = fleet
        self.began = time.time()
        #: Set when the first ones are stopped or given out, so that each call does some however long the reading took.
        self._deadline: Optional[float] = None
        self.view = FleetView(fleet)
        #: The texts of configs that liblxc has accepted.
        self.accepted: Set[str] = set()
        self._origins: Dict[Key, Observed] = {}
        self._places: Dict[str, str] = {}
        #: Those that something went wrong with.
        self._failed: Set[Key] = set()
        self._stopped: Set[int] = set()
        self._registered: Dict[int, Lists] = {}

    @property
    def entries(self) -> List[Entry]:
        """The containers, those that are pruned last."""
        return self.view.entries

    def origin(self, key: Key) -> Observed:
        """The container that others are cloned from, as it is now; read once by each worker."""
        if key not in self._origins:
            self._origins[key] = observe(key[1], key[0])
        return self._origins[key]

    def place(self, lxcpath: str) -> str:
        """The lxcpath without symbolic links, looked up once by each worker."""
        if lxcpath not in self._places:
            self._places[lxcpath] = os.path.realpath(lxcpath)
        return self._places[lxcpath]

    def converge(self, check_mode: bool) -> None:
        """Bring the fleet about, or in check mode only plan it. What went wrong is noted in the entries."""
        self._check()
        if check_mode or not self.view.changed or self.must_end():
            return
        if self.view.around.gave_ids:
            # Who else gives ids away has to wait, and what was chosen before the lock does not count.
            with named_lock("host", "ids", timeout=LOCK_S):
                self.view = FleetView(self.fleet)
                self._check()
                self._reserve_ids()
            if self.must_end():
                return
        plans = {index: entry.plan for index, entry in enumerate(self.entries)}
        for phase in schedule(self.view.members, plans, self.view.observed):
            self._origins.clear()
            self._do(phase)

    @property
    def remaining(self) -> int:
        """How many are still to be done."""
        return sum(1 for entry in self.entries if entry.plan.changed and not entry.done and not entry.error)

    # -------------------------------------------------------------- before anything is done

    def _reserve_ids(self) -> None:
        """Note the id maps of the containers to be made, before others may give ids away again."""
        from .._host.id_grants import reserve_ids

        chosen = {}
        for entry in self.entries:
            for action in entry.plan.actions:
                if action.detail.get("idmap") and not entry.error:
                    os.makedirs(entry.member.spec.lxcpath, mode=0o711, exist_ok=True)
                    chosen[key_of(entry.member.spec)] = action.detail["idmap"]
        reserve_ids(chosen)

    def _check(self) -> None:
        """Have liblxc judge all new configs, and see whether the kernel can carry what is to be started."""
        from .._host.config_check import refused_configs

        self._failed.clear()
        texts: Dict[str, List[Entry]] = {}
        for entry in self.entries:
            if entry.error:
                self._failed.add(key_of(entry.member.spec))
            for action in entry.plan.actions:
                if "document" in action.detail:
                    texts.setdefault(action.detail["document"].render(), []).append(entry)
        for text, cause in refused_configs(list(texts)).items():
            for entry in texts.pop(text):
                spec = entry.member.spec
                self._fail(entry, str(OperationError("configure", "container", spec.name, cause)))
        self.accepted.update(texts)
        for entry in self.entries:
            spec = entry.member.spec
            error = self.fleet.failed.get(f"{spec.lxcpath}/{spec.name}")
            if error and entry.plan.changed and not entry.error:
                self._fail(entry, error)
        starting = [
            self.view.around.flatten(self.view.expected(key_of(entry.member.spec)).document)
            for entry in self.entries
            if "start" in entry.plan.verbs() and not entry.observed.running and not entry.error
        ]
        if starting:
            from .._host.limits import check_limits

            check_limits(starting, "fleet", self.fleet.name)

    def must_end(self) -> bool:
        """Whether nothing more is to be begun."""
        if self.fleet.on_error == "fail" and self._failed:
            return True
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _begin(self) -> None:
        """From when the first work is begun the time runs that there is for it."""
        if self._deadline is None and self.fleet.seconds:
            self._deadline = time.monotonic() + self.fleet.seconds

    def _fail(self, entry: Entry, error: str, log: Sequence[str] = ()) -> None:
        entry.error, entry.log = error, tuple(log)
        self._failed.add(key_of(entry.member.spec))

    # -------------------------------------------------------------- doing it

    def _do(self, turns: Sequence[Turn]) -> None:
        """Let containers that do not depend on each other have their turns."""
        turns = [turn for turn in turns if self._may(turn)]
        self._register(turns)
        try:
            self._stop([turn.index for turn in turns if self._only_stops(turn)])
            entries = self.entries
            self._pool([turn for turn in turns if not entries[turn.index].error and not entries[turn.index].done])
        finally:
            self._unregister(turns)

    def _may(self, turn: Turn) -> bool:
        entry = self.entries[turn.index]
        origin = origin_key(entry.member.spec)
        if not entry.error and origin in self._failed and makes(entry.plan):
            cause = f"its origin '{origin[1]}' could not be brought about"
            self._fail(entry, str(OperationError("clone", "container", entry.member.spec.name, cause)))
        return not entry.error

    def _only_stops(self, turn: Turn) -> bool:
        """Whether the container is stopped, and not for a moment only: restarts are the workers', a few at a time."""
        verbs = self.entries[turn.index].plan.verbs()
        return "stop" in verbs and "start" not in verbs

    def _stop(self, indexes: Sequence[int]) -> None:
        if not indexes:
            return
        from .._host.open_files import many_files
        from .fleet_stops import most_together, stop_together

        rest = list(indexes)
        with many_files():
            while rest and not self.must_end():
                self._begin()
                most = most_together()
                together, rest = rest[:most], rest[most:]
                errors = stop_together([self.entries[index] for index in together], self)
                for index in together:
                    error = errors.get(key_of(self.entries[index].member.spec))
                    if error:
                        self._fail(self.entries[index], error)
                    else:
                        self._stopped.add(index)

    def _register(self, turns: Sequence[Turn]) -> None:
        """Note all clones of an origin with it at once, where they are made without lxc-copy."""
        turns = [turn for turn in turns if makes(self.entries[turn.index].plan)]
        if not turns:
            return
        from .._host.dependants import register_clones
        from .._host.direct_clone import can_clone_directly

        clones: Dict[Key, List[int]] = {}
        direct: Dict[Any, bool] = {}
        for index in (turn.index for turn in turns):
            spec, plan = self.entries[index].member.spec, self.entries[index].plan
            # What is left of one that was interrupted takes its name out of the list when it goes.
            if not spec.clone or "discard" in plan.verbs():
                continue
            origin = self.origin(origin_key(spec))
            # Siblings have all in common that is asked for.
            kind = (spec.clone, spec.backingstore, spec.lxcpath)
            if kind not in direct:
                direct[kind] = origin.defined and can_clone_directly(spec, origin, clone_store(spec, origin))
            if direct[kind]:
                clones.setdefault(origin_key(spec), []).append(index)
        for key, indexes in clones.items():
            specs = [self.entries[index].member.spec for index in indexes]
            lists = register_clones(self.origin(key), [Reference(spec.lxcpath, spec.name) for spec in specs])
            self._registered.update(dict.fromkeys(indexes, lists))

    def _unregister(self, turns: Sequence[Turn]) -> None:
        """Take those out again that were not made after all."""
        from .._host.dependants import forget_clones

        missing: Dict[Key, List[Reference]] = {}
        for index in (turn.index for turn in turns):
            spec = self.entries[index].member.spec
            if index in self._registered and not self.entries[index].begun:
                missing.setdefault(origin_key(spec), []).append(Reference(spec.lxcpath, spec.name))
        for key, clones in missing.items():
            forget_clones(self.origin(key), clones)

    def _pool(self, turns: Sequence[Turn]) -> None:
        from .._host.commands import settle_environment
        from .._host.pool import run_jobs
        from .container_steps import preload

        by_index = {turn.index: turn for turn in turns}
        # Once, and not by each worker.
        settle_environment()
        preload({verb for turn in turns for verb in self.entries[turn.index].plan.verbs()})

        def jobs() -> Iterator[int]:
            for index in by_index:
                # What was stopped has its turn in any case, or its end would be told by nobody.
                if self.must_end() and index not in self._stopped:
                    continue
                self._begin()
                yield index

        workers = min(self.fleet.workers or self._most_useful(turns), max(len(turns), 1))
        answers = run_jobs(lambda index: self._turn(by_index[index]), jobs(), workers)
        # Whatever happens here, no worker is left when this is left.
        with closing(answers):
            for index, answer in answers:
                self._note(by_index[index], answer)

    def _most_useful(self, turns: Sequence[Turn]) -> int:
        """How many workers keep the processors busy: two for each where they wait for programs or for the disk."""
        busy = all(turn.index in self._registered and self._only_overlaid(turn) for turn in turns)
        return len(os.sched_getaffinity(0)) * (1 if busy else 2)

    def _only_overlaid(self, turn: Turn) -> bool:
        spec, verbs = self.entries[turn.index].member.spec, self.entries[turn.index].plan.verbs()
        return (turn.waits or verbs == ("clone",)) and self.origin(origin_key(spec)).rootfs.backingstore != "btrfs"

    def _note(self, turn: Turn, answer: Any) -> None:
        """Remember how a container's turn ended."""
        from .._host.pool import WorkerLost

        entry = self.entries[turn.index]
        name = entry.member.spec.name
        if isinstance(answer, WorkerLost):
            cause = "the process that worked on it was killed"
            self._fail(entry, str(OperationError("manage", "container", name, cause, "Run it again")))
        elif answer.error:
            self._fail(entry, answer.error, answer.log)
        else:
            entry.begun = True
            entry.done = not turn.waits

    def _turn(self, turn: Turn) -> _Answer:
        """One container's turn, in a worker."""
        entry = self.entries[turn.index]
        spec = entry.member.spec
        if turn.waits:
            spec = replace(spec, state="stopped")
        try:
            if entry.context is None:
                raise OperationError("manage", "container", spec.name, "it was not read before")
            carry_out(FleetMember(spec, self, entry, entry.context, self._registered.get(turn.index)))
        except Exception as error:  # whatever it is, it is this container's, and the others go on
            if not isinstance(error, OperationError):
                error = OperationError("manage", "container", spec.name, f"{type(error).__name__}: {error}")
            note = _start_again(entry, spec) if turn.index in self._stopped else ""
            return _Answer(f"{error}{note}", error.log)
        return _Answer()


def _start_again(entry: Entry, spec: ContainerSpec) -> str:
    """A container that was stopped to be destroyed, and could not be, runs again afterwards. Says how that went."""
    from .._host import power

    current = observe(spec.name, spec.lxcpath)
    if spec.state != "absent" or current.health != OK or current.journal or current.running:
        return ""
    try:
        power.start(spec, current.effective)
        if entry.observed.state == "frozen":
            power.freeze(spec)
    except (OperationError, OSError) as error:
        return f" It was stopped for this and could not be started again: {error}"
    return f" Undone: '{spec.name}' runs again."


def wait_for_guests(entries: Sequence[Entry]) -> Tuple[str, ...]:
    """Wait for what the containers that run are waited for, all at the same time. Returns notes; errors are noted."""
    from .._host.wait import wait_for

    begin, notes = time.monotonic(), []
    for entry in entries:
        member, spec = entry.member, entry.member.spec
        if not member.wait_for or entry.error or spec.state not in ("started", "restarted", "present"):
            continue
        if spec.state == "present" and not observe(spec.name, spec.lxcpath).running:
            continue
        left = max(member.wait_timeout - (time.monotonic() - begin), 0)
        try:
            notes += wait_for(member.wait_for, spec.name, spec.lxcpath, left, member.wait_interfaces).notes
        except OperationError as error:
            entry.error, entry.log = str(error), error.log
    return tuple(notes)


def run_fleet(fleet: FleetSpec, check_mode: bool) -> FleetRun:
    """Bring the fleet about; in check mode only say how. Raises InputError for what the host's liblxc would refuse."""
    run = FleetRun(fleet)
    run.converge(check_mode)
    return run
