# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers of a fleet that are stopped together: which are done then, and which have a turn of their own."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._domain import fleet_stops
from ansible_collections.lightervisor.lxc.plugins.module_utils._domain.fleet import FleetRun
from ansible_collections.lightervisor.lxc.plugins.module_utils._domain.fleet_member import FleetMember
from ansible_collections.lightervisor.lxc.plugins.module_utils._domain.fleet_stops import most_together
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.locks import named_lock
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.observe import states_of
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.open_files import free_files, many_files
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.fleet import FleetSpec, parse_members


@pytest.fixture
def run(lxcpath: Path, busybox: Callable[..., str]) -> Callable[..., FleetRun]:
    """Starts the containers that are declared, and makes a run for them."""

    def begin(*containers: dict[str, Any], **options: Any) -> FleetRun:
        for item in containers:
            busybox(item["name"])
            subprocess.run(["lxc-start", "-P", str(lxcpath), "-n", item["name"]], check=True)
        members = parse_members([*containers], {}, dict, str(lxcpath), 2)
        return FleetRun(FleetSpec(tuple(members), **options))

    return begin


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The containers that were left to the workers."""
    names: list[str] = []
    original = FleetRun._pool

    def pool(run: FleetRun, left: Any) -> None:
        names.extend(run.entries[turn.index].member.spec.name for turn in left)
        original(run, left)

    monkeypatch.setattr(FleetRun, "_pool", pool)
    return names


def stopped(lxcpath: Path) -> set[str]:
    return {name for (_path, name), state in states_of([str(lxcpath)]).items() if state == "stopped"}


def test_those_that_had_only_to_be_stopped_have_no_turn(lxcpath, run, turns):
    begun = run(
        {"name": "only", "state": "stopped"},
        {"name": "gone", "state": "absent"},
        {"name": "other", "state": "stopped", "config": {"lxc.start.order": 7}},
    )
    begun.converge(False)
    assert [entry.error for entry in begun.entries] == ["", "", ""]
    assert sorted(turns) == ["gone", "other"]
    assert all(entry.begun and entry.done for entry in begun.entries) and begun.remaining == 0
    assert stopped(lxcpath) == {"only", "other"} and not (lxcpath / "gone").exists()
    assert "lxc.start.order = 7" in (lxcpath / "other" / "config").read_text()


@pytest.mark.parametrize("kind", ["changed", "unreadable"])
def test_one_for_which_something_is_left_has_a_turn(lxcpath, run, turns, monkeypatch, kind):
    """Between the look at all and its stop somebody has changed its config, or it can't be looked at."""
    begun = run(
        {"name": "web", "state": "stopped", "config": {"lxc.start.order": 7}}, {"name": "fine", "state": "stopped"}
    )
    for name in ("web", "fine"):
        config = lxcpath / name / "config"
        config.write_text(config.read_text() + "lxc.start.order = 7\n")
    begun = FleetRun(begun.fleet)
    assert {entry.plan.verbs() for entry in begun.entries} == {("stop",)}
    original = FleetMember.read

    def read(member: FleetMember) -> Any:
        if member.spec.name == "web" and not turns:
            if kind == "unreadable":
                raise OSError("no such luck")
            config = lxcpath / "web" / "config"
            config.write_text(config.read_text().replace("lxc.start.order = 7", "lxc.start.order = 8"))
        return original(member)

    monkeypatch.setattr(FleetMember, "read", read)
    begun.converge(False)
    assert turns == ["web"]
    assert [(entry.error, entry.begun, entry.done) for entry in begun.entries] == [("", True, True)] * 2
    assert stopped(lxcpath) == {"web", "fine"}
    assert "lxc.start.order = 7" in (lxcpath / "web" / "config").read_text()


def test_one_that_somebody_else_works_on_keeps_nobody_from_being_stopped(lxcpath, run, turns, monkeypatch):
    monkeypatch.setattr(fleet_stops, "LOCK_S", 0.1)
    begun = run({"name": "held", "state": "stopped"}, {"name": "fine", "state": "stopped"}, on_error="continue")
    with named_lock("container", str(lxcpath), "held"):
        begun.converge(False)
    assert ["has held it" in entry.error for entry in begun.entries] == [True, False]
    assert stopped(lxcpath) == {"fine"} and turns == []


def test_as_many_files_may_be_open_as_are_allowed_at_all():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        few, free = most_together(), free_files()
        with many_files():
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == before[1]
            assert free_files() > free and most_together() > few
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (256, before[1])
        with pytest.raises(ZeroDivisionError), many_files():
            1 / 0  # noqa: B018
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (256, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
