# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Between Ansible's module and a fleet: what the task says, and what it is told."""

from __future__ import annotations

import gc
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ._domain.fleet_prune import pruned
from ._domain.fleet_scan import WORTHWHILE, find_nothing_to_do
from ._errors import InputError
from ._host.files import read_text
from ._host.liblxc import cgroup_version, default_lxcpath
from ._model.container import check_lxcpath, parse_container
from ._model.fleet import FleetSpec, Member, check_fleet_name, merge, parse_members, refuse_twins
from ._model.fleet_names import expand_names
from ._options import CONTAINER_OPTIONS
from ._plan.core import Action, render_diff

if TYPE_CHECKING:
    from ._domain.fleet_view import Entry


def converge_fleet(module: AnsibleModule) -> Dict[str, Any]:
    """Bring about the containers that the task declares. Returns the task's result, raises InputError."""
    # Thousands of small objects that all live to the end: looking for garbage among them doubles the time.
    gc.disable()
    declared = _Declaration(module)
    # Thousands of containers need not be told back to who has just sent them.
    brief: Dict[str, Any] = {} if module._verbosity > 2 else {"invocation": {}}
    count = declared.count
    quiet = declared.find_nothing_to_do(count) if count >= WORTHWHILE else None
    if quiet:
        return {**quiet, **brief}
    # Here, because a fleet mostly is as it shall be.
    from ._domain.fleet import run_fleet, wait_for_guests

    run = run_fleet(declared.fleet(), module.check_mode)
    if not module.check_mode and not run.remaining:
        for note in wait_for_guests(run.entries):
            module.warn(note)
    for entry in run.entries:
        for warning in entry.plan.warnings:
            module.warn(warning)
    # A real run that would begin nothing is predicted as one.
    predicts = module.check_mode and not run.must_end()
    result = {**_result(run.entries, predicts), **brief}
    result["counts"]["listed"] = len(run.fleet.members)
    result["remaining"] = 0 if predicts else run.remaining
    result["counts"]["remaining"] = result["remaining"]
    result["began"] = run.began
    failed = [entry for entry in run.entries if entry.error]
    if failed:
        result["failed"] = True
        result["msg"] = _failure(failed)
        result["log"] = [line for entry in failed[:5] for line in entry.log][-20:]
    return result


# ------------------------------------------------------------------ what the task says


class _Declaration:
    """The task's options, as far as they need no look at each container."""

    def __init__(self, module: AnsibleModule) -> None:
        params = module.params
        self._lists: List[Tuple[List[Any], Dict[str, Any], str]] = []
        defaults = dict(params["defaults"] or {})
        self._lists.append((params["containers"] or [], defaults, "containers"))
        if params["definitions"]:
            self._lists.append(_read(params["definitions"], defaults))
        for item in (*self._all(), *(shared for _items, shared, _where in self._lists)):
            template = item.get("template")
            if isinstance(template, dict) and template.get("password"):
                module.no_log_values.add(str(template["password"]))
        for _items, shared, where in self._lists:
            where = "defaults" if where == "containers" else f"{where}.defaults"
            for place in ("name", "names"):
                if place in shared:
                    raise InputError(f"{where}.{place}", "a name is one container's own")
            _refuse_unknown(shared, CONTAINER_OPTIONS, where)
        self._lxcpath = check_lxcpath(params["lxcpath"] or default_lxcpath())
        self._cgroup = cgroup_version()
        self._validate = _Validator()
        name = check_fleet_name(params["fleet"]) if params["fleet"] is not None else ""
        if params["prune"] and not name:
            raise InputError("prune", "'fleet' is needed with it, which says whose containers these are")
        if params["workers"] is not None and not 1 <= params["workers"] <= 256:
            raise InputError("workers", f"{params['workers']} is not between 1 and 256")
        batch = params["batch"] or {}
        # What a container that is no longer listed is declared as: the defaults say how it is stopped and destroyed.
        how = {key: defaults[key] for key in ("shutdown_timeout", "destroy_snapshots", "lxcpath") if key in defaults}
        away = self._validate(dict(how, name="pruned", state="absent"))
        self._options = FleetSpec(
            members=(),
            name=name,
            prune=params["prune"],
            on_error=params["on_error"],
            workers=params["workers"] or 0,
            seconds=batch.get("seconds") or 0,
            since=batch.get("since") or 0,
            failed=batch.get("failed") or {},
            pruned=parse_container(away, self._lxcpath, self._cgroup),
        )

    @property
    def count(self) -> int:
        """How many containers there are, at least. Raises InputError."""
        return sum(
            1 if item.get("names") is None else len(expand_names(item["names"], f"{where}[{index}].names"))
            for items, _defaults, where in self._lists
            for index, item in enumerate(items)
            if isinstance(item, dict)
        )

    def _all(self) -> Iterator[Dict[str, Any]]:
        return (item for items, _defaults, _where in self._lists for item in items if isinstance(item, dict))

    def members(self, part: Tuple[int, int] = (0, 1)) -> List[Member]:
        """The containers, or a part of them. Raises InputError."""
        found: List[Member] = []
        for items, defaults, where in self._lists:
            found += parse_members(items, defaults, self._validate, self._lxcpath, self._cgroup, where, part)
        return found

    def fleet(self) -> FleetSpec:
        """The whole. Raises InputError."""
        members = self.members()
        refuse_twins(members)
        return replace(self._options, members=tuple(members))

    def find_nothing_to_do(self, count: int) -> Optional[Dict[str, Any]]:
        """The task's result if nothing is to be done to any of `count` containers, else None."""
        began = time.time()
        keys = find_nothing_to_do(self._options, self.members, count)
        if keys is None or pruned(self._options, set(keys)):
            return None
        counts = {"listed": len(keys), "changed": 0, "unchanged": len(keys), "failed": 0, "remaining": 0}
        return {"changed": False, "containers": [], "counts": counts, "diff": [], "remaining": 0, "began": began}


def _read(path: str, defaults: Dict[str, Any]) -> Tuple[List[Any], Dict[str, Any], str]:
    """The list of containers in a file on the target, their defaults, and what the list is called."""
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
    return found, merge(defaults, own), f"definitions ({path})"


class _Validator:
    """Checks items against the options of lxc_container."""

    def __init__(self) -> None:
        self._validator = ArgumentSpecValidator(CONTAINER_OPTIONS, mutually_exclusive=[("template", "clone")])

    def __call__(self, item: Mapping[str, Any]) -> Dict[str, Any]:
        result = self._validator.validate(dict(item))
        if result.error_messages:
            _refuse_unknown(item, {**CONTAINER_OPTIONS, "names": {}})
            raise InputError("", "; ".join(result.error_messages))
        return dict(result.validated_parameters)


def _refuse_unknown(item: Mapping[str, Any], options: Mapping[str, Any], path: str = "") -> None:
    """Raises InputError with the path to an option that is none."""
    known = {*options, *(alias for one in options.values() for alias in one.get("aliases", ()))}
    for option, value in item.items():
        where = f"{path}.{option}" if path else str(option)
        if option not in known:
            from difflib import get_close_matches

            near = " or ".join(f"'{one}'" for one in get_close_matches(str(option), sorted(known), 2))
            raise InputError(where, f"lxc_container has no such option{f'. Is {near} meant?' if near else ''}")
        below = options.get(option, {}).get("options")
        listed = isinstance(value, (list, tuple))
        for index, part in enumerate(value if listed else [value]):
            if below and isinstance(part, Mapping):
                _refuse_unknown(part, below, f"{where}[{index}]" if listed else where)


# ------------------------------------------------------------------ what it is told


def _result(entries: List[Entry], check_mode: bool) -> Dict[str, Any]:
    shown, diffs = [], []
    counts: Dict[str, int] = {"listed": len(entries), "changed": 0, "unchanged": 0, "failed": 0}
    for entry in entries:
        whole = entry.plan.changed and (entry.done or (check_mode and not entry.error))
        changed = whole or entry.begun
        kind = "failed" if entry.error else "changed" if whole else "" if entry.plan.changed else "unchanged"
        if kind:
            counts[kind] += 1
        actions = entry.plan.actions if whole else _before_start(entry) if changed else ()
        if changed:
            spec = entry.member.spec
            after = entry.plan.after if whole else {**entry.plan.after, "state": "stopped"}
            diffs.append(render_diff(entry.plan.before, after, f"{spec.lxcpath}/{spec.name}"))
            for action in actions:
                counts[action.verb] = counts.get(action.verb, 0) + 1
        if changed or entry.error or entry.restart_keys:
            shown.append(_shown(entry, changed, actions))
            if changed and not kind:
                shown[-1]["remaining"] = True
    return {"changed": bool(diffs), "containers": shown, "counts": counts, "diff": diffs}


def _before_start(entry: Entry) -> Sequence[Action]:
    """What was done to a container that is not started yet."""
    return entry.plan.actions[: entry.plan.verbs().index("start")]


def _shown(entry: Entry, changed: bool, actions: Sequence[Action]) -> Dict[str, Any]:
    spec = entry.member.spec
    shown: Dict[str, Any] = {
        "name": spec.name,
        "lxcpath": spec.lxcpath,
        "changed": changed,
        "actions": [str(action) for action in actions],
    }
    if entry.restart_keys:
        shown["restart_keys"] = list(entry.restart_keys)
    if entry.error:
        shown["failed"] = True
        shown["msg"] = entry.error
    return shown


def _failure(failed: List[Entry]) -> str:
    if len(failed) == 1:
        return failed[0].error
    texts = list(dict.fromkeys(entry.error for entry in failed))
    # Each names its container. Some end with an advice that has no full stop.
    shown = " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in texts[:3])
    more = f" And {len(texts) - 3} more, see 'containers'." if len(texts) > 3 else ""
    return f"{len(failed)} containers failed. {shown}{more}"
