# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans of containers, compared with files: container/<case>/{current,desired,plan}.yml.

`LVT_REGEN=1 pytest tests/golden` writes every plan.yml anew. Read what it wrote: the plan must be what is wanted.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError, OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config import ConfigDocument, flatten
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.container import ContainerSpec, parse_container
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.observed import (
    ABSENT,
    OK,
    Observed,
    Reference,
    Rootfs,
    Snapshot,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.rootfs import parse_rootfs
from ansible_collections.lightervisor.lxc.plugins.module_utils._options import CONTAINER_OPTIONS
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.container import plan_container, restart_required
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.container_context import Context
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.core import Plan, render_diff

LXCPATH = "/var/lib/lxc"
CASES = sorted(path.parent for path in (Path(__file__).parent / "container").glob("*/desired.yml"))
REGEN = bool(os.environ.get("LVT_REGEN"))
#: A container that is in order, for the matrix of states.
CONFIG = f"lxc.rootfs.path = dir:{LXCPATH}/c1/rootfs\nlxc.uts.name = c1\n"


def _load(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}


def observed(data: dict[str, Any], name: str, files: dict[str, str]) -> Observed:
    """A container out of its description in current.yml."""
    document = ConfigDocument.parse(data.get("config", ""))
    effective = _flatten(files, document)
    store, path, lower = parse_rootfs(effective.get("lxc.rootfs.path") or "")
    health = data.get("health", OK if data.get("config") else ABSENT)

    return Observed(
        name=data.get("name", name),
        lxcpath=data.get("lxcpath", LXCPATH),
        health=health,
        problem=data.get("problem", ""),
        state=data.get("state", "stopped"),
        pid=1234 if data.get("state", "stopped") != "stopped" else None,
        document=document,
        effective=effective,
        rootfs=Rootfs(store, path, lower, bool(path) and health != "no_rootfs"),
        origin=Reference(LXCPATH, data["origin"]) if data.get("origin") else None,
        dependants=tuple(Reference(LXCPATH, one) for one in data.get("dependants", ())),
        snapshots=tuple(Snapshot(one) for one in data.get("snapshots", ())),
        journal=data.get("journal", {}),
    )


def _flatten(files: dict[str, str], document: ConfigDocument) -> ConfigDocument:
    return flatten(document, lambda path: [ConfigDocument.parse(files[path])] if path in files else [])


def context_of(data: dict[str, Any], files: dict[str, str]) -> Context:
    """The context out of the same file; what it leaves out is an LXC 5.0 host with ids to give away."""
    major, _dot, minor = str(data.get("version", "5.0")).partition(".")
    return Context(
        version=(int(major), int(minor)),
        cgroup=data.get("cgroup", 2),
        flatten=lambda document: _flatten(files, document),
        default=ConfigDocument.parse(data.get("default", "")),
        origin=observed(data["origin"], "base", files) if "origin" in data else None,
        free_map=_free_map(data.get("free_map", ["u 0 165536 65536", "g 0 165536 65536"]), data.get("no_map", "")),
        occupied=tuple(data.get("occupied", ())),
        bad_rootfs=data.get("bad_rootfs", ""),
        mounted=tuple(data.get("mounted", ())),
        rootfs_stays=data.get("rootfs_stays", ""),
        taken_hwaddrs=frozenset(data.get("taken_hwaddrs", ())),
        host_id="host",
        pending=tuple(data.get("pending", ())),
    )


def _free_map(lines: list[str], problem: str) -> Callable[[], tuple[str, ...]]:
    def choose() -> tuple[str, ...]:
        if problem:
            raise ValueError(problem)
        return tuple(lines)

    return choose


def with_defaults(options: dict[str, Any]) -> dict[str, Any]:
    """The options as AnsibleModule hands them over: every name there, with its default or None."""
    for name in options:
        assert name in CONTAINER_OPTIONS, f"the module has no option {name}"
    return {name: options.get(name, spec.get("default")) for name, spec in CONTAINER_OPTIONS.items()}


def outcome(current: dict[str, Any], desired: dict[str, Any]) -> dict[str, Any]:
    """What plan.yml says: the plan, or the error."""
    files = current.get("files", {})
    try:
        spec = parse_container(with_defaults(desired), LXCPATH, current.get("cgroup", 2))
        found = observed(current.get("container", {}), spec.name, files)
        context = context_of(current, files)
        plan = plan_container(spec, found, context)
    except (InputError, OperationError) as error:
        return {"error": str(error)}
    return describe(spec, plan, found, context)


def describe(spec: ContainerSpec, plan: Plan, found: Observed, context: Context) -> dict[str, Any]:
    """A plan as data; what is empty is left out."""
    diff = render_diff(plan.before, plan.after, "c1")
    stale = restart_required(spec, plan, found, context)
    actions = [{action.verb: str(action)} for action in plan.actions]
    details = {
        action.verb: {key: action.detail[key] for key in ("idmap", "shift")}
        for action in plan.actions
        if "shift" in action.detail
    }
    data: dict[str, Any] = {"actions": actions}
    if details:
        data["details"] = {
            verb: {"idmap": list(detail["idmap"]) if detail["idmap"] is not None else None, "shift": detail["shift"]}
            for verb, detail in details.items()
        }
    if plan.warnings:
        data["warnings"] = list(plan.warnings)
    if stale:
        data["restart_required"] = list(stale)
    if plan.changed:
        data["before"], data["after"] = diff["before"], diff["after"]
    return data


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)

HEADER = """\
# Copyright (c) 2026, the lightervisor.lxc contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_plan(case: Path) -> None:
    found = outcome(_load(case / "current.yml"), _load(case / "desired.yml"))
    path = case / "plan.yml"
    if REGEN:
        text = yaml.dump(found, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
        path.write_text(f"{HEADER}---\n{text}", encoding="utf-8")
    assert found == _load(path)


def test_every_case_is_complete() -> None:
    assert len(CASES) >= 40
    for case in CASES:
        assert {path.name for path in case.iterdir()} == {"current.yml", "desired.yml", "plan.yml"}, case


#: Declared state, run state found: what is to be done.
MATRIX: dict[tuple[str, str], str] = {
    ("present", "stopped"): "",
    ("present", "starting"): "",
    ("present", "running"): "",
    ("present", "stopping"): "",
    ("present", "aborting"): "",
    ("present", "freezing"): "",
    ("present", "frozen"): "",
    ("present", "thawed"): "",
    ("started", "stopped"): "start",
    ("started", "starting"): "",
    ("started", "running"): "",
    ("started", "stopping"): "stop start",
    ("started", "aborting"): "stop start",
    ("started", "freezing"): "unfreeze",
    ("started", "frozen"): "unfreeze",
    ("started", "thawed"): "",
    ("stopped", "stopped"): "",
    ("stopped", "starting"): "stop",
    ("stopped", "running"): "stop",
    ("stopped", "stopping"): "stop",
    ("stopped", "aborting"): "stop",
    ("stopped", "freezing"): "stop",
    ("stopped", "frozen"): "stop",
    ("stopped", "thawed"): "stop",
    ("frozen", "stopped"): "start freeze",
    ("frozen", "starting"): "freeze",
    ("frozen", "running"): "freeze",
    ("frozen", "stopping"): "stop start freeze",
    ("frozen", "aborting"): "stop start freeze",
    ("frozen", "freezing"): "freeze",
    ("frozen", "frozen"): "",
    ("frozen", "thawed"): "freeze",
    ("restarted", "stopped"): "start",
    ("restarted", "starting"): "stop start",
    ("restarted", "running"): "stop start",
    ("restarted", "stopping"): "stop start",
    ("restarted", "aborting"): "stop start",
    ("restarted", "freezing"): "stop start",
    ("restarted", "frozen"): "stop start",
    ("restarted", "thawed"): "stop start",
    ("absent", "stopped"): "destroy",
    ("absent", "starting"): "stop destroy",
    ("absent", "running"): "stop destroy",
    ("absent", "stopping"): "stop destroy",
    ("absent", "aborting"): "stop destroy",
    ("absent", "freezing"): "stop destroy",
    ("absent", "frozen"): "stop destroy",
    ("absent", "thawed"): "stop destroy",
}
#: The same with a change of the config that needs a restart, and `restart: if_needed`.
WITH_CHANGE: dict[tuple[str, str], str] = {
    ("present", "stopped"): "configure",
    ("present", "running"): "stop configure start",
    ("present", "starting"): "stop configure start",
    ("present", "stopping"): "configure",
    ("present", "frozen"): "stop configure start freeze",
    ("present", "freezing"): "stop configure start freeze",
    ("started", "stopped"): "configure start",
    ("started", "running"): "stop configure start",
    ("started", "frozen"): "stop configure start",
    ("stopped", "stopped"): "configure",
    ("stopped", "running"): "stop configure",
    ("frozen", "stopped"): "configure start freeze",
    ("frozen", "running"): "stop configure start freeze",
    ("frozen", "frozen"): "stop configure start freeze",
    ("restarted", "stopped"): "configure start",
    ("restarted", "running"): "stop configure start",
}


def _verbs(desired: dict[str, Any], state: str) -> tuple[list[str], Plan]:
    spec = parse_container(with_defaults({"name": "c1", **desired}), LXCPATH)
    found = observed({"config": CONFIG, "state": state}, "c1", {})
    plan = plan_container(spec, found, context_of({}, {}))
    return list(plan.verbs()), plan


@pytest.mark.parametrize(("declared", "state"), MATRIX)
def test_state(declared: str, state: str) -> None:
    verbs, plan = _verbs({"state": declared}, state)
    assert verbs == MATRIX[declared, state].split()
    assert plan.before["state"] == state
    after = {"present": state, "started": "running", "restarted": "running"}.get(declared, declared)
    if plan.changed:
        assert plan.after["state"] == after
        assert render_diff(plan.before, plan.after, "")["before"] != render_diff(plan.before, plan.after, "")["after"]


@pytest.mark.parametrize(("declared", "state"), WITH_CHANGE)
def test_state_with_a_change_that_needs_a_restart(declared: str, state: str) -> None:
    desired = {"state": declared, "restart": "if_needed", "config": {"lxc.environment": ["A=1"]}}
    verbs, _plan = _verbs(desired, state)
    assert verbs == WITH_CHANGE[declared, state].split()


@pytest.mark.parametrize(("declared", "state"), WITH_CHANGE)
def test_nothing_is_interrupted_unless_the_task_says_so(declared: str, state: str) -> None:
    verbs, _plan = _verbs({"state": declared, "config": {"lxc.environment": ["A=1"]}}, state)
    assert "configure" in verbs
    if declared in ("present", "started") and state in ("running", "frozen", "starting", "freezing"):
        assert "stop" not in verbs
