# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one way from a declaration to the host: read, plan, apply, then read and plan again: nothing may be left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, ContextManager, List, Protocol, Tuple

from ._errors import OperationError
from ._plan.core import Plan


class Undo:
    """What takes back the actions applied so far, last one first."""

    def __init__(self) -> None:
        self._steps: List[Tuple[str, Callable[[], None]]] = []

    def push(self, summary: str, step: Callable[[], None]) -> None:
        """Remember `step`, which takes back what was just done; `summary` says what it does, for the error message."""
        self._steps.append((summary, step))

    def run(self) -> Tuple[List[str], List[str]]:
        """Take everything back. Returns what could be undone, and what could not with the reason."""
        undone: List[str] = []
        left: List[str] = []
        while self._steps:
            summary, step = self._steps.pop()
            try:
                step()
            except Exception as error:  # the first error is the one to report, and the other steps still run
                left.append(f"{summary} ({error})")
            else:
                undone.append(summary)
        return undone, left


class Domain(Protocol):
    """What the engine needs to know of a kind of object."""

    def read(self) -> Any:
        """The object as it is on the host now."""

    def plan(self, current: Any) -> Plan:
        """What is to be done about it. Pure."""

    def check(self, plan: Plan) -> None:
        """Refuse what the host would refuse of the plan, as far as that can be known without doing it."""

    def is_plainly_met(self) -> bool:
        """Whether a quick look finds that nothing is left to do. If it can't tell, the object is read and planned."""

    def residue(self, current: Any) -> Plan:
        """What would still be to do after a plan was applied. Pure."""

    def locked(self) -> ContextManager[Any]:
        """Keeps other runs of ours away from the object."""

    def apply(self, action: Any, undo: Undo) -> None:
        """Do one action and check that it is done; raises OperationError."""


@dataclass(frozen=True)
class Outcome:
    """What a run did, or in check mode would have done."""

    plan: Plan
    before: Any
    #: None where a quick look was enough.
    after: Any


def converge(domain: Domain, check_mode: bool) -> Outcome:
    """Bring the object into the declared state; in check mode, only say how.

    Raises what the domain's `plan` and `apply` raise. When an action fails, everything done before it is undone;
    the error says what was, and what could not be.
    """
    current = domain.read()
    plan = domain.plan(current)
    if plan.changed:
        domain.check(plan)
    if check_mode or not plan.changed:
        return Outcome(plan, current, current)
    return carry_out(domain)


def carry_out(domain: Domain) -> Outcome:
    """Read the object under its lock, plan again, and apply the plan. Raises what `converge` raises."""
    with domain.locked():
        current = domain.read()
        plan = domain.plan(current)
        if plan.changed:
            domain.check(plan)
            return Outcome(plan, current, _apply(domain, plan))
    return Outcome(plan, current, current)


def _apply(domain: Domain, plan: Plan) -> Any:
    """Do every action, and see that nothing is left to do. Returns the object as it then is, if it was read."""
    undo = Undo()
    done: List[str] = []
    try:
        for action in plan.actions:
            try:
                domain.apply(action, undo)
            except OSError as error:
                cause = f"{error.filename}: {error.strerror}" if error.filename else str(error)
                raise OperationError(action.verb, "container", action.name, cause) from error
            done.append(str(action))
        after = None
        if not domain.is_plainly_met():
            after = domain.read()
            _expect_nothing_left(domain.residue(after), plan)
    except BaseException as error:
        undone, left = undo.run()
        if isinstance(error, OperationError):
            error.args = (_with_history(str(error), done, undone, left),)
        raise
    return after


def _expect_nothing_left(left: Plan, plan: Plan) -> None:
    if left.changed:
        names = "; ".join(str(action) for action in left.actions)
        raise OperationError(
            "converge",
            "container",
            plan.actions[0].name,
            f"after {_list(plan)} it would still be needed to {names}",
            "This is a defect or another program's doing: run again with --check --diff",
        )


def _with_history(message: str, done: List[str], undone: List[str], left: List[str]) -> str:
    if (done or undone or left) and not message.endswith((".", "!", "?")):
        message += "."
    if done:
        message += f" Before it: {'; '.join(done)}."
    if undone:
        message += f" Undone: {'; '.join(undone)}."
    if left:
        message += f" Could not be undone: {'; '.join(left)}."
    return message


def _list(plan: Plan) -> str:
    return ", ".join(action.verb for action in plan.actions)
