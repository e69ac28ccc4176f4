# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Between Ansible's module and the engine: the interpreter, errors, and what a task returns."""

from __future__ import annotations

import importlib.util
from typing import Any, Callable, Dict, Sequence

from ansible.module_utils.basic import AnsibleModule

from ._domain.container import ContainerDomain
from ._engine import converge
from ._errors import InputError, OperationError
from ._host.liblxc import cgroup_version, default_lxcpath
from ._host.observe import observe
from ._model.container import ContainerSpec, check_wait, parse_container
from ._model.describe import describe
from ._plan.container import restart_required
from ._plan.core import render_diff


def need_binding(module: AnsibleModule) -> None:
    """Go on under an interpreter that has python3-lxc, if this one has not; fail when there is none."""
    if importlib.util.find_spec("lxc") is not None:
        return
    from ansible.module_utils.common.respawn import has_respawned, probe_interpreters_for_module, respawn_module

    from ._host.config_check import INTERPRETERS

    if not has_respawned():
        interpreter = probe_interpreters_for_module(list(INTERPRETERS), "lxc")
        if interpreter:
            respawn_module(interpreter)
    module.fail_json(
        msg=str(
            OperationError(
                "use",
                "Python module",
                "lxc",
                "no Python on this host has it",
                "Install the package python3-lxc, or use the role lightervisor.lxc.host",
            )
        )
    )


def guarded(module: AnsibleModule, work: Callable[[], Dict[str, Any]]) -> None:
    """Run `work` and exit with what it returns; its errors become the task's."""
    try:
        result = work()
    except InputError as error:
        module.fail_json(msg=str(error), path=error.path)
    except OperationError as error:
        module.fail_json(msg=str(error), log=list(error.log))
    except OSError as error:
        module.fail_json(msg=str(OperationError("use", "path", str(error.filename), error.strerror or str(error))))
    else:
        module.exit_json(**result)


def converge_container(module: AnsibleModule) -> Dict[str, Any]:
    """Bring about the container that the task declares. Returns the task's result, raises what the engine raises."""
    params = module.params
    spec = parse_container(params, default_lxcpath(), cgroup_version())
    check_wait(spec, params.get("wait_for") or (), params["wait_timeout"])
    outcome = converge(ContainerDomain(spec), module.check_mode)
    for warning in outcome.plan.warnings:
        module.warn(warning)
    stale = restart_required(spec, outcome.plan, *outcome.before)
    if not module.check_mode:
        for note in _wait(spec, params):
            module.warn(note)
    after = observe(spec.name, spec.lxcpath, addresses=True)
    return {
        "changed": outcome.plan.changed,
        "actions": [str(action) for action in outcome.plan.actions],
        "diff": render_diff(outcome.plan.before, outcome.plan.after, f"{spec.lxcpath}/{spec.name}"),
        "restart_required": bool(stale),
        "restart_keys": list(stale),
        "container": describe(after) if after.defined else _gone(spec),
    }


def _gone(spec: ContainerSpec) -> Dict[str, Any]:
    return {"name": spec.name, "lxcpath": spec.lxcpath, "state": "absent"}


def _wait(spec: ContainerSpec, params: Dict[str, Any]) -> Sequence[str]:
    kinds = params.get("wait_for") or []
    if not kinds or spec.state not in ("started", "restarted", "present"):
        return ()
    if spec.state == "present" and not observe(spec.name, spec.lxcpath).running:
        return ()
    from ._host.wait import wait_for

    waited = wait_for(kinds, spec.name, spec.lxcpath, params["wait_timeout"], params.get("wait_interfaces") or ())
    return waited.notes
