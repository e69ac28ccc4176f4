# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Between Ansible's module and a fleet: what the task says, and what it is told."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Tuple

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ._domain.fleet import run_fleet, wait_for_guests
from ._domain.fleet_view import Entry
from ._errors import InputError
from ._host.files import read_text
from ._host.liblxc import cgroup_version, default_lxcpath
from ._model.container import check_lxcpath, parse_container
from ._model.fleet import FleetSpec, Member, check_fleet_name, parse_members, refuse_twins
from ._options import CONTAINER_OPTIONS
from ._plan.core import render_diff


def converge_fleet(module: AnsibleModule) -> Dict[str, Any]:
    """Bring about the containers that the task declares. Returns the task's result, raises InputError."""
    run = run_fleet(_parse(module), module.check_mode)
    if not module.check_mode:
        for note in wait_for_guests(run.entries):
            module.warn(note)
    for entry in run.entries:
        for warning in entry.plan.warnings:
            module.warn(warning)
    result = _result(run.entries, module.check_mode)
    result["remaining"] = 0 if module.check_mode else run.remaining
    result["counts"]["remaining"] = result["remaining"]
    result["began"] = run.began
    failed = [entry for entry in run.entries if entry.error]
    if failed:
        result["failed"] = True
        result["msg"] = _failure(failed)
        result["log"] = [line for entry in failed[:5] for line in entry.log][-20:]
    return result


# ------------------------------------------------------------------ what the task says


def _parse(module: AnsibleModule) -> FleetSpec:
    params = module.params
    defaults = dict(params["defaults"] or {})
    name = check_fleet_name(params["fleet"]) if params["fleet"] is not None else ""
    if params["prune"] and not name:
        raise InputError("prune", "'fleet' is needed with it, which says whose containers these are")
    lxcpath = check_lxcpath(params["lxcpath"] or default_lxcpath())
    if params["workers"] is not None and not 1 <= params["workers"] <= 256:
        raise InputError("workers", f"{params['workers']} is not between 1 and 256")
    batch = params["batch"] or {}
    validate = _Validator(module)
    for place in ("name", "names"):
        if place in defaults:
            raise InputError(f"defaults.{place}", "a name is one container's own")
    cgroup = cgroup_version()
    members = parse_members(params["containers"] or [], defaults, validate, lxcpath, cgroup)
    if params["definitions"]:
        members += _read(params["definitions"], defaults, validate, lxcpath, cgroup)
    refuse_twins(members)
    return FleetSpec(
        members=tuple(members),
        name=name,
        prune=params["prune"],
        on_error=params["on_error"],
        workers=params["workers"] or 0,
        seconds=batch.get("seconds") or 0,
        since=batch.get("since") or 0,
        pruned=_pruned(defaults, validate, lxcpath, cgroup),
    )


def _pruned(defaults: Mapping[str, Any], validate: _Validator, lxcpath: str, cgroup: int) -> Any:
    """What a container that is no longer listed is declared as: the defaults say how it is stopped and destroyed."""
    how = {key: defaults[key] for key in ("shutdown_timeout", "destroy_snapshots", "lxcpath") if key in defaults}
    return parse_container(validate(dict(how, name="pruned", state="absent")), lxcpath, cgroup)


def _read(path: str, defaults: Mapping[str, Any], validate: _Validator, lxcpath: str, cgroup: int) -> List[Member]:
    """The containers that a file on the target declares."""
    text = read_text(path)
    if text is None:
        raise InputError("definitions", f"there is no file {path} on the target")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError("definitions", f"{path} is no JSON: {error}") from None
    own: Any = {}
    if isinstance(found, dict):
        unknown = sorted(set(found) - {"defaults", "containers"})
        if unknown:
            raise InputError("definitions", f"{path} has '{unknown[0]}'. It may have 'defaults' and 'containers'")
        own, found = found.get("defaults") or {}, found.get("containers")
    if not isinstance(found, list) or not isinstance(own, dict):
        raise InputError("definitions", f"{path} holds no list of containers")
    return parse_members(found, {**defaults, **own}, validate, lxcpath, cgroup, f"definitions ({path})")


class _Validator:
    """Checks items against the options of lxc_container."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._validator = ArgumentSpecValidator(CONTAINER_OPTIONS, mutually_exclusive=[("template", "clone")])

    def __call__(self, item: Mapping[str, Any]) -> Dict[str, Any]:
        template = item.get("template")
        if isinstance(template, dict) and template.get("password"):
            self._module.no_log_values.add(str(template["password"]))
        result = self._validator.validate(dict(item))
        if result.error_messages:
            raise InputError("", "; ".join(result.error_messages))
        return dict(result.validated_parameters)


# ------------------------------------------------------------------ what it is told


def _result(entries: List[Entry], check_mode: bool) -> Dict[str, Any]:
    shown, diffs = [], []
    counts: Dict[str, int] = {"listed": len(entries), "changed": 0, "unchanged": 0, "failed": 0}
    for entry in entries:
        changed = entry.plan.changed and (entry.done or (check_mode and not entry.error))
        kind = "failed" if entry.error else "changed" if changed else "" if entry.plan.changed else "unchanged"
        if kind:
            counts[kind] += 1
        if changed:
            spec = entry.member.spec
            diffs.append(render_diff(entry.plan.before, entry.plan.after, f"{spec.lxcpath}/{spec.name}"))
            for verb in entry.plan.verbs():
                counts[verb] = counts.get(verb, 0) + 1
        if changed or entry.error or entry.restart_keys:
            shown.append(_shown(entry, changed))
    return {"changed": bool(diffs), "containers": shown, "counts": counts, "diff": diffs}


def _shown(entry: Entry, changed: bool) -> Dict[str, Any]:
    spec = entry.member.spec
    shown: Dict[str, Any] = {
        "name": spec.name,
        "lxcpath": spec.lxcpath,
        "changed": changed,
        "actions": [str(action) for action in entry.plan.actions] if changed else [],
    }
    if entry.restart_keys:
        shown["restart_keys"] = list(entry.restart_keys)
    if entry.error:
        shown["failed"] = True
        shown["msg"] = entry.error
    return shown


def _failure(failed: List[Entry]) -> str:
    texts: Dict[str, None] = dict.fromkeys(entry.error for entry in failed)
    first = "; ".join(list(texts)[:3])
    more = f" And {len(failed) - 3} more, see 'containers'." if len(failed) > 3 else ""
    names: Tuple[str, ...] = tuple(entry.member.spec.name for entry in failed)
    return f"{first}{more}" if len(names) == 1 else f"{len(names)} containers failed. {first}{more}"
