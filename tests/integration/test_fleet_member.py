# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a fleet's worker takes over from the plan of the whole, and what it does not."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._domain import container as domain
from ansible_collections.lightervisor.lxc.plugins.module_utils._domain.fleet import FleetRun
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.observe import states_of
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.fleet import FleetSpec, parse_members

CLONE = {"clone": {"from": "base", "snapshot": True}, "privileged": True}


@pytest.fixture
def run(lxcpath: Path, busybox: Callable[..., str]) -> Callable[..., FleetRun]:
    """A run whose containers are read and planned, and nothing else."""
    busybox("base")

    def begin(*containers: dict[str, Any], **options: Any) -> FleetRun:
        members = parse_members([*containers], {}, dict, str(lxcpath), 2)
        return FleetRun(FleetSpec(tuple(members), **options))

    return begin


@pytest.fixture
def planned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The containers that workers have planned for themselves."""
    file = tmp_path / "planned"
    file.touch()
    original = domain.plan_container

    def plan_container(spec: Any, *rest: Any) -> Any:
        with file.open("a") as stream:
            stream.write(f"{spec.name}\n")
        return original(spec, *rest)

    monkeypatch.setattr(domain, "plan_container", plan_container)
    return lambda: sorted(set(file.read_text().split()))


def errors(begun: FleetRun) -> list[str]:
    begun.converge(False)
    return [entry.error for entry in begun.entries if entry.error]


def test_what_is_as_it_was_is_not_planned_twice(lxcpath, run, planned_again):
    begun = run({"name": "c1", "state": "started", **CLONE}, {"name": "c2", "state": "present", **CLONE})
    assert errors(begun) == []
    assert states_of([str(lxcpath)]) == {
        (str(lxcpath), "base"): "stopped",
        (str(lxcpath), "c1"): "running",
        (str(lxcpath), "c2"): "stopped",
    }
    assert "c2" not in planned_again()


def test_what_somebody_wrote_into_a_config_meanwhile_stays(lxcpath, run, planned_again):
    assert errors(run({"name": "c1", "state": "present", **CLONE})) == []
    begun = run({"name": "c1", "state": "present", "config": {"lxc.start.order": 7}})
    with (lxcpath / "c1/config").open("a") as file:
        file.write("lxc.environment = BY=hand\n")
    assert errors(begun) == []
    text = (lxcpath / "c1/config").read_text()
    assert "lxc.environment = BY=hand\n" in text and "lxc.start.order = 7\n" in text
    assert planned_again() == ["c1"]


def test_one_that_somebody_started_meanwhile_is_not_started_again(lxcpath, run, planned_again):
    assert errors(run({"name": "c1", "state": "present", **CLONE})) == []
    begun = run({"name": "c1", "state": "started"})
    subprocess.run(["lxc-start", "-P", str(lxcpath), "-n", "c1"], check=True)
    assert errors(begun) == []
    assert planned_again() == ["c1"]


def test_a_clone_is_of_its_origin_as_it_is_by_then(lxcpath, run, planned_again):
    begun = run({"name": "c1", "state": "present", **CLONE})
    with (lxcpath / "base/config").open("a") as file:
        file.write("lxc.environment = BY=hand\n")
    assert errors(begun) == []
    assert "lxc.environment = BY=hand\n" in (lxcpath / "c1/config").read_text()
    assert planned_again() == ["c1"]


def test_one_that_somebody_made_meanwhile_is_not_made_again(lxcpath, run, planned_again):
    begun = run({"name": "c1", "state": "present", **CLONE})
    copy = ["lxc-copy", "-P", str(lxcpath), "-n", "base", "-N", "c1", "-s"]
    subprocess.run(copy, check=True)
    before = (lxcpath / "c1/config").stat()
    assert errors(begun) == []
    assert (lxcpath / "c1/config").stat().st_ino == before.st_ino
    assert planned_again() == ["c1"]
