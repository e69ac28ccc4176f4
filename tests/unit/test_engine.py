# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine on a small domain: a shelf that shall hold certain letters, in order."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._engine import Undo, converge
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.core import Action, Plan


class Shelf:
    """A domain whose actions put one letter each on the shelf; `events` tells what happened in which order."""

    def __init__(self, wanted: str, there: str = "") -> None:
        self.wanted = wanted
        self.there = there
        self.events: list[str] = []
        self.before_lock: Callable[[], None] = lambda: None
        self.trouble: dict[str, BaseException] = {}
        self.undo_trouble: dict[str, BaseException] = {}
        self.lost: set[str] = set()
        self.refused: set[str] = set()
        self.quick_look = False

    def read(self) -> str:
        self.events.append("read")
        return self.there

    def plan(self, current: str) -> Plan:
        missing = [letter for letter in self.wanted if letter not in current]
        actions = tuple(Action("put", "shelf", f"put {letter}", {"letter": letter}) for letter in missing)
        return Plan(actions, {"letters": current}, {"letters": self.wanted})

    def check(self, plan: Plan) -> None:
        for action in plan.actions:
            if action.detail["letter"] in self.refused:
                raise OperationError("put", "letter", action.detail["letter"], "the shelf would refuse it")

    def is_plainly_met(self) -> bool:
        return self.quick_look and self.there == self.wanted

    def residue(self, current: str) -> Plan:
        self.events.append("residue")
        return self.plan(current)

    @contextmanager
    def locked(self) -> Iterator[None]:
        self.before_lock()
        self.events.append("lock")
        try:
            yield
        finally:
            self.events.append("unlock")

    def apply(self, action: Action, undo: Undo) -> None:
        letter = action.detail["letter"]

        def take_back() -> None:
            if letter in self.undo_trouble:
                raise self.undo_trouble[letter]
            self.there = self.there.replace(letter, "")
            self.events.append(f"take {letter}")

        undo.push(f"{letter} is taken back", take_back)
        if letter in self.trouble:
            raise self.trouble[letter]
        if letter not in self.lost:
            self.there += letter
        self.events.append(f"put {letter}")


def _error(**more: Any) -> OperationError:
    return OperationError("put", "letter", "c", "the shelf is full", "Make room", log=["line"], **more)


def test_applies_the_plan_under_the_lock_and_reads_again() -> None:
    shelf = Shelf("abc", "b")
    outcome = converge(shelf, check_mode=False)
    assert shelf.there == "bac"
    assert (outcome.before, outcome.after) == ("b", "bac")
    assert [str(action) for action in outcome.plan.actions] == ["put a", "put c"]
    assert shelf.events == ["read", "lock", "read", "put a", "put c", "read", "residue", "unlock"]


def test_without_a_difference_it_neither_locks_nor_reads_twice() -> None:
    shelf = Shelf("a", "a")
    outcome = converge(shelf, check_mode=False)
    assert not outcome.plan.changed
    assert shelf.events == ["read"]


def test_check_mode_applies_nothing_and_predicts_the_same_plan() -> None:
    shelf = Shelf("abc", "b")
    predicted = converge(shelf, check_mode=True)
    assert shelf.there == "b"
    assert shelf.events == ["read"]
    assert predicted.after == predicted.before == "b"
    assert converge(shelf, check_mode=False).plan == predicted.plan


def test_plans_again_under_the_lock() -> None:
    shelf = Shelf("ab")

    def another_run() -> None:
        shelf.there = "a"

    shelf.before_lock = another_run
    outcome = converge(shelf, check_mode=False)
    assert [str(action) for action in outcome.plan.actions] == ["put b"]
    assert outcome.before == "a"


def test_another_run_may_have_done_it_all() -> None:
    shelf = Shelf("ab")

    def another_run() -> None:
        shelf.there = "ab"

    shelf.before_lock = another_run
    outcome = converge(shelf, check_mode=False)
    assert not outcome.plan.changed
    assert outcome.after == "ab"
    assert shelf.events == ["read", "lock", "read", "unlock"]


def test_a_quick_look_that_finds_all_done_is_enough() -> None:
    shelf = Shelf("a")
    shelf.quick_look = True
    assert converge(shelf, check_mode=False).after is None
    assert shelf.events == ["read", "lock", "read", "put a", "unlock"]


def test_what_a_quick_look_does_not_find_done_is_planned() -> None:
    shelf = Shelf("ab")
    shelf.quick_look = True
    shelf.lost = {"b"}
    with pytest.raises(OperationError, match="it would still be needed to put b"):
        converge(shelf, check_mode=False)


def test_undoes_everything_last_one_first() -> None:
    shelf = Shelf("abc")
    shelf.trouble["c"] = _error()
    with pytest.raises(OperationError) as caught:
        converge(shelf, check_mode=False)
    assert shelf.there == ""
    assert shelf.events == ["read", "lock", "read", "put a", "put b", "take c", "take b", "take a", "unlock"]
    assert str(caught.value) == (
        "Cannot put letter 'c': the shelf is full. Make room. Before it: put a; put b."
        " Undone: c is taken back; b is taken back; a is taken back."
    )
    assert caught.value.log == ("line",)


def test_what_could_not_be_undone_is_said_and_the_rest_is_undone() -> None:
    shelf = Shelf("abc")
    shelf.trouble["c"] = _error()
    shelf.undo_trouble["b"] = OSError("it is glued")
    with pytest.raises(OperationError) as caught:
        converge(shelf, check_mode=False)
    assert shelf.there == "b"
    assert str(caught.value).endswith(
        " Undone: c is taken back; a is taken back. Could not be undone: b is taken back (it is glued)."
    )


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), SystemExit(1), RuntimeError("defect")])
def test_whatever_interrupts_it_is_undone_and_passed_on(trouble: BaseException) -> None:
    shelf = Shelf("ab")
    shelf.trouble["b"] = trouble
    with pytest.raises(type(trouble)) as caught:
        converge(shelf, check_mode=False)
    assert caught.value is trouble
    assert shelf.there == ""
    assert shelf.events[-3:] == ["take b", "take a", "unlock"]


def test_a_residue_is_an_error_that_names_it() -> None:
    shelf = Shelf("abc")
    shelf.lost = {"b"}
    with pytest.raises(OperationError) as caught:
        converge(shelf, check_mode=False)
    assert "Cannot converge container 'shelf': after put, put, put it would still be needed to put b." in str(
        caught.value
    )
    assert shelf.events[-1] == "unlock"


def test_undo_runs_each_step_once() -> None:
    undo = Undo()
    count: list[int] = []
    undo.push("one", lambda: count.append(1))
    assert undo.run() == (["one"], [])
    assert undo.run() == ([], [])
    assert count == [1]


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_the_host_would_refuse_is_refused_before_anything_is_done(check_mode: bool) -> None:
    shelf = Shelf("ab")
    shelf.refused = {"b"}
    with pytest.raises(OperationError, match="would refuse it"):
        converge(shelf, check_mode)
    assert shelf.there == ""
    assert shelf.events == ["read"]


def test_a_residue_undoes_the_run() -> None:
    shelf = Shelf("abc")
    shelf.lost = {"b"}
    with pytest.raises(OperationError, match="Undone: c is taken back"):
        converge(shelf, check_mode=False)
    assert shelf.there == ""


def test_an_error_of_the_system_is_told_like_any_other() -> None:
    shelf = Shelf("ab")
    shelf.trouble["b"] = OSError(28, "No space left on device", "/shelf/b")
    with pytest.raises(OperationError, match="Cannot put container 'shelf': /shelf/b: No space left on device."):
        converge(shelf, check_mode=False)
    assert shelf.there == ""
