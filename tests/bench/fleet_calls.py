# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times single calls into the collection, in a process of their own.

`python fleet_calls.py FOLDER-with-ansible_collections observe|plan|addresses LXCPATH [FILE]`: one JSON object with
`seconds` and what else there is to check.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import Any

sys.path.insert(0, sys.argv[1])

from ansible_collections.lightervisor.lxc.plugins.module_utils._host.observe import observe_host, states_of  # noqa: E402


def observe(path: str) -> dict[str, Any]:
    begin = time.perf_counter()
    found = states_of([path])
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "count": len(found), "running": list(found.values()).count("running")}


def plan(path: str, file: str) -> dict[str, Any]:
    from ansible_collections.lightervisor.lxc.plugins.module_utils._domain.container_context import read_context
    from ansible_collections.lightervisor.lxc.plugins.module_utils._domain.surroundings import Surroundings
    from ansible_collections.lightervisor.lxc.plugins.module_utils._model.container import parse_container
    from ansible_collections.lightervisor.lxc.plugins.module_utils._model.fleet import Member
    from ansible_collections.lightervisor.lxc.plugins.module_utils._model.observed import Observed
    from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.container import plan_container
    from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.fleet import origin_key, schedule

    with open(file, encoding="utf-8") as text:
        items = json.load(text)
    specs = [parse_container(item, path) for item in items]
    members = [Member(spec, f"containers[{index}]") for index, spec in enumerate(specs)]
    around = Surroundings(specs)
    known = {(one.lxcpath, one.name): one for one in observe_host([path])}
    current = [known.get((path, spec.name), Observed(spec.name, path)) for spec in specs]
    contexts = [read_context(spec, one, around, known.get(origin_key(spec))) for spec, one in zip(specs, current)]
    begin = time.perf_counter()
    plans = {
        index: plan_container(spec, one, context)
        for index, (spec, one, context) in enumerate(zip(specs, current, contexts))
    }
    schedule(members, plans, known)
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "changed": sum(one.changed for one in plans.values())}


def addresses(path: str) -> dict[str, Any]:
    """`seconds`: the addresses alone, the inits being known; `all`: with configs and states, as lxc_info has it."""
    from ansible_collections.lightervisor.lxc.plugins.module_utils._host.netns import addresses_of
    from ansible_collections.lightervisor.lxc.plugins.module_utils._host.observe import read_host_states

    begin = time.perf_counter()
    states = read_host_states([path])
    stated = time.perf_counter() - begin
    pids = {key: pid for key, (_state, pid) in states.items() if pid}
    begin = time.perf_counter()
    found = addresses_of(pids)
    seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    observe_host([path], addresses=True)
    whole = time.perf_counter() - begin
    count = sum(1 for one in found.values() if any(nic.ipv4 or nic.ipv6 for nic in one))
    return {"states": stated, "seconds": seconds, "all": whole, "count": count}


def main() -> None:
    # As the module has it.
    gc.disable()
    work = {function.__name__: function for function in (observe, plan, addresses)}
    print(json.dumps(work[sys.argv[2]](*sys.argv[3:])))


main()
