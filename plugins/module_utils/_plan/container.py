# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Planning one container: from what is there to what is declared."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Tuple

from .._errors import OperationError
from .._model.config import ConfigDocument
from .._model.config_keys import check_key, lookup
from .._model.container import ContainerSpec
from .._model.observed import ABSENT, CREATING, HALF_CLONED, NO_ROOTFS, PARTIAL, UNREADABLE, Observed
from .container_config import changed_keys, converge
from .container_context import (
    MAKING,
    TARGET,
    Context,
    applies_live,
    check_document,
    make_action,
    refuse_started_elsewhere,
    state_of,
    what_is_left,
    what_is_wrong,
)
from .container_drift import find_drift, moved_rootfs
from .core import Action, Plan

#: The run state that a passing one leads to; "running" for those that are not named.
_SETTLES = {
    "stopped": "stopped",
    "stopping": "stopped",
    "aborting": "stopped",
    "frozen": "frozen",
    "freezing": "frozen",
}

#: Half-made containers: nothing in them was ever in use, so making them again loses nothing.
UNFINISHED = (PARTIAL, HALF_CLONED)


def plan_container(spec: ContainerSpec, current: Observed, context: Context) -> Plan:
    """What to do so that the container is as declared.

    Raises OperationError for what can't or must not be done, InputError for a key that the installed liblxc rejects.
    """
    if current.health == CREATING:
        raise OperationError(
            "manage", "container", spec.name, "it is being created at this moment", "Wait until lxc-create is done"
        )
    if spec.state == "absent":
        return _plan_absent(spec, current, context)
    for setting in spec.settings:
        if setting.values is not None or setting.partial:
            check_key(setting.key, context.version, f"config[{setting.key}]")
    if current.health == ABSENT or is_half_made(current):
        from .container_new import plan_new

        return plan_new(spec, current, context)
    starts = spec.state not in ("present", "stopped") and not current.running
    if starts:
        refuse_started_elsewhere(spec, context, "start")
    if current.health == NO_ROOTFS and starts and not _builds_rootfs(current):
        raise OperationError("start", "container", spec.name, what_is_wrong(current), "Mount or restore it first")
    return _plan_existing(spec, current, context)


def is_half_made(current: Observed) -> bool:
    """Whether it is to be made again, or its destruction to be finished."""
    return current.health in UNFINISHED or bool(current.journal)


# ------------------------------------------------------------------ absent


def _plan_absent(spec: ContainerSpec, current: Observed, context: Context) -> Plan:
    if current.health == ABSENT and not current.journal:
        return Plan()
    # A destruction that was interrupted goes on by the way that it would take from the start.
    half = current.health in (*UNFINISHED, ABSENT) or current.journal.get("operation") in MAKING
    if current.dependants:
        names = ", ".join(f"'{other.name}'" for other in current.dependants)
        raise OperationError(
            "destroy", "container", spec.name, f"clones depend on its files: {names}", "Destroy them first"
        )
    actions: List[Action] = []
    refuse_started_elsewhere(spec, context, "destroy")
    if current.running:
        actions.append(make_action(spec, "stop"))
    names = ", ".join(snapshot.name for snapshot in current.snapshots)
    if names and not spec.destroy_snapshots:
        raise OperationError(
            "destroy",
            "container",
            spec.name,
            f"it has snapshots ({names})",
            "Remove them, or set destroy_snapshots: true to lose them with it",
        )
    if context.mounted:
        raise OperationError(
            "destroy", "container", spec.name, f"{context.mounted[0]} is mounted in it", "Unmount it first"
        )
    too = f", and its snapshots {names}" if names else ""
    warnings = spec.warnings
    if half:
        warnings += what_is_left(current)
        actions.append(
            make_action(spec, "discard", f"remove what is left of '{spec.name}': {what_is_wrong(current)}{too}")
        )
    elif current.health in (UNREADABLE, NO_ROOTFS) or context.rootfs_stays:
        warnings += (context.rootfs_stays,) if context.rootfs_stays else ()
        actions.append(make_action(spec, "undefine", f"remove the definition of '{spec.name}'{too}"))
    else:
        if names:
            actions.append(make_action(spec, "destroy_snapshots", f"destroy the snapshots {names}"))
        actions.append(make_action(spec, "destroy"))
    return Plan(tuple(actions), state_of(current), {"state": "absent"}, warnings)


# ------------------------------------------------------------------ an existing container


def _plan_existing(spec: ContainerSpec, current: Observed, context: Context) -> Plan:
    warnings = spec.warnings + find_drift(spec, current)
    if moved_rootfs(spec, current):
        spec = replace(spec, settings=tuple(one for one in spec.settings if one.key != "lxc.rootfs.path"))
    document = converge(current.document, spec, None, context.flatten, context.host_id, context.taken_hwaddrs)
    edited = document is not current.document and document.render() != current.document.render()
    if current.health == UNREADABLE and not edited and spec.state != "stopped":
        raise OperationError(
            "manage",
            "container",
            spec.name,
            what_is_wrong(current),
            "Correct the file, or remove the key with 'config'",
        )
    lost = current.health == NO_ROOTFS and not _builds_rootfs(current)
    if lost or (current.health == UNREADABLE and not edited):
        warnings += (f"Container '{spec.name}' is broken: {what_is_wrong(current)}",)
    # One that is as it was has been judged when it was read.
    if edited:
        check_document(document, current.document, context, spec.name)
    keys = _changed(current.document, document, context)
    if "lxc.idmap" in keys:
        warnings += (f"The id map of '{spec.name}' changes, the owners of its files do not",)
    live = [key for key in keys if applies_live(key, context.cgroup) and document.get(key)]
    disturbing = [key for key in keys if _needs_restart(key) and key not in live] + list(context.pending)
    # One that a killed run had stopped for a moment runs again.
    again = current.again if spec.state == "present" and not current.running else ""
    target = TARGET.get(spec.state) or again or _SETTLES.get(current.state, "running")
    restart = (
        current.running
        and target != "stopped"
        and (
            spec.state == "restarted"
            or (spec.restart == "if_needed" and bool(disturbing))
            or (spec.restart == "always" and (edited or bool(disturbing)))
        )
    )
    # A guest that is on its way down is waited for before it is started.
    falls = _SETTLES.get(current.state) == "stopped" and spec.state in TARGET
    stop = current.running and (restart or spec.state == "stopped" or falls)
    actions: List[Action] = []
    if stop:
        actions.append(make_action(spec, "stop", again="" if target == "stopped" else target))
    if edited:
        what = ", ".join(keys) or "the text"
        actions.append(make_action(spec, "configure", f"change {what} of '{spec.name}'", document=document))
    if current.running and not stop:
        actions += [_limit(spec, key, document.get(key) or "") for key in live]
    power = restart or spec.state in TARGET or bool(again)
    switches = _power(spec, "stopped" if stop else current.state, target) if power else []
    actions += switches
    if current.again and "start" not in [action.verb for action in actions]:
        actions.append(make_action(spec, "settle", f"remove the note of an interrupted restart of '{spec.name}'"))
    before = state_of(current)
    after = dict(before, config=document.render()) if edited else dict(before)
    after["state"] = target if stop or switches else current.state
    if edited and current.health == UNREADABLE:
        del after["problem"]
    if restart:
        before["init"], after["init"] = f"pid {current.pid}", "a new one"
    return Plan(tuple(actions), before, after, warnings)


def _power(spec: ContainerSpec, state: str, target: str) -> List[Action]:
    """What brings a container from a run state to `target`, "running" or "frozen"; nothing for "stopped"."""
    verbs: List[str] = []
    if target != "stopped" and state == "stopped":
        verbs.append("start")
        state = "running"
    if target == "running" and state in ("frozen", "freezing"):
        verbs.append("unfreeze")
    if target == "frozen" and state != "frozen":
        verbs.append("freeze")
    return [make_action(spec, verb) for verb in verbs]


def _builds_rootfs(current: Observed) -> bool:
    """Whether a rootfs that is missing may be made by a pre-start hook: liblxc looks for it after the hook."""
    return current.health == NO_ROOTFS and bool(current.effective.values("lxc.hook.pre-start"))


def _limit(spec: ContainerSpec, key: str, value: str) -> Action:
    return make_action(spec, "limit", f"set {key} of the running '{spec.name}' to {value}", key=key, value=value)


def restart_required(spec: ContainerSpec, plan: Plan, current: Observed, context: Context) -> Tuple[str, ...]:
    """The keys whose value in the file does not hold in the running container once `plan` is applied."""
    if "stop" in plan.verbs() or not current.running:
        return ()
    keys = list(context.pending)
    for action in plan.actions:
        if action.verb == "configure":
            keys += [key for key in _changed(current.document, action.detail["document"], context) if key not in keys]
    applied = [action.detail["key"] for action in plan.actions if action.verb == "limit"]
    return tuple(key for key in keys if _needs_restart(key) and key not in applied)


def _changed(before: ConfigDocument, after: ConfigDocument, context: Context) -> Tuple[str, ...]:
    """The keys that mean something else afterwards, what the documents include taken into account."""
    if before == after:
        return ()
    return changed_keys(context.flatten(before), context.flatten(after))


def _needs_restart(key: str) -> bool:
    row = lookup(key)
    return row is None or row.impact in ("restart", "live")
