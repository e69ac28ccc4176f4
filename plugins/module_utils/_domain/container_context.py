# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plan for a container depends on besides it: the host's free ids, its other containers, its liblxc."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional, Tuple

from .._errors import OperationError
from .._host.command_socket import read_config_item
from .._host.observe import observe
from .._host.processes import start_time
from .._model.config_keys import all_keys, lookup, same_values
from .._model.container import ContainerSpec
from .._model.nic_options import WITH_HWADDR
from .._model.observed import ABSENT, Observed
from .._plan.container_context import Context, applies_live
from .surroundings import Surroundings

#: What would start a container that does not run.
STARTING = ("started", "restarted", "frozen")
#: Keys that liblxc reads but has no value of to give.
_UNREADABLE = ("lxc.include",)
#: Lists that are empty in a running container unless its file had them: no defaults, nothing derived from other keys.
_LISTS = ("lxc.environment", "lxc.mount.entry", "lxc.hook.")


def read_context(
    spec: ContainerSpec, current: Observed, around: Surroundings, origin: Optional[Observed] = None
) -> Context:
    """The context of a plan for `current`. A container that exists costs no look at the others.

    `origin`: what the container is to be cloned from, if that is known already.
    """
    if spec.state == "absent":
        return Context(
            version=around.version, cgroup=around.cgroup, flatten=around.flatten, **_removal(current, around)
        )
    if current.defined and not current.problem and not current.journal:
        lacks_hwaddr = any(
            nic.type in WITH_HWADDR and not current.document.get(f"lxc.net.{nic.index}.hwaddr") for nic in spec.nics
        )
        return Context(
            version=around.version,
            cgroup=around.cgroup,
            flatten=around.flatten,
            taken_hwaddrs=around.taken_hwaddrs(spec) if lacks_hwaddr else frozenset(),
            host_id=around.host_id,
            pending=_pending(current, around.cgroup, around.version),
            started_as=around.started_as(current) if spec.state in STARTING and not current.running else "",
        )
    if spec.clone and origin is None:
        origin = observe(spec.clone.source, spec.clone.lxcpath)
    return Context(
        version=around.version,
        cgroup=around.cgroup,
        flatten=around.flatten,
        default=around.default_document(spec),
        origin=origin,
        free_map=around.free_map(spec),
        occupied=_occupied(spec) if current.health == ABSENT and not current.journal else (),
        taken_hwaddrs=around.taken_hwaddrs(spec),
        host_id=around.host_id,
        root=os.geteuid() == 0,
        bad_rootfs=_bad_rootfs(spec, current),
        mounted=_removal(current, around)["mounted"],
        started_as=around.started_as(current) if current.defined and not current.running else "",
    )


def _removal(current: Observed, around: Surroundings) -> Dict[str, Any]:
    """What the plan must know of a container that it may remove."""
    if not current.defined and not current.journal:
        return {"mounted": ()}
    from .._host.removal import in_the_way, reason_to_keep

    users = around.rootfs_users(current.lxcpath)
    stays = reason_to_keep(current, users)
    elsewhere = "" if current.running else around.started_as(current)
    return {
        "mounted": in_the_way(current, stays),
        "rootfs_stays": stays,
        "leaving": users.leaving(current),
        "started_as": elsewhere,
    }


def _bad_rootfs(spec: ContainerSpec, current: Observed) -> str:
    """What is wrong with the directory that `backingstore.dir` names, "" if a rootfs can be made there."""
    from .._host.mounts import mounted_in

    place = dict(spec.backingstore.options).get("dir", "") if spec.backingstore else ""
    within = f"{spec.lxcpath}/{spec.name}/"
    if not place or current.journal.get("rootfs") == place or (current.defined and place.startswith(within)):
        return ""
    if os.path.islink(place):
        return "is a symbolic link"
    if not os.path.exists(place):
        return ""
    if not os.path.isdir(place):
        return "is no directory"
    if os.path.realpath(place) in mounted_in(place):
        return "is a mount point"
    return "holds files already" if os.listdir(place) else ""


def _occupied(spec: ContainerSpec) -> Tuple[str, ...]:
    try:
        return tuple(sorted(os.listdir(os.path.join(spec.lxcpath, spec.name))))
    except FileNotFoundError:
        return ()


# ------------------------------------------------------------------ running and file


def _pending(current: Observed, cgroup: int, version: Tuple[int, int]) -> Tuple[str, ...]:
    """The keys whose value in the file is another one than the running container's.

    Asked for only when the file is younger than the guest's init.
    """
    if not current.running or current.pid is None:
        return ()
    started = start_time(current.pid)
    path = os.path.join(current.lxcpath, current.name, "config")
    if started is None or os.stat(path).st_mtime < started:
        return ()
    found = []
    gone = [row.name for row in all_keys() if row.multi and row.name.startswith(_LISTS)]
    for key in dict.fromkeys((*current.effective.keys(), *gone)):
        row = lookup(key)
        if row is None or row.impact not in ("restart", "live") or key in _UNREADABLE or applies_live(key, cgroup):
            continue
        if row.since and row.since > version or row.removed and row.removed <= version:
            continue  # the monitor would complain about the question in the container's log
        # Nothing is the answer for a key without a value, too (lxc_cmd_get_config_item_callback in commands.c).
        running = read_config_item(current.lxcpath, current.name, key) or ""
        if key == "lxc.arch" and not running:
            continue  # liblxc 6 does not tell
        if not same_values(key, [line for line in running.splitlines() if line], current.effective.values(key)):
            found.append(key)
    return tuple(found)


def refuse_symlinked(lxcpath: str, name: str) -> None:
    """Raises OperationError when the container's directory is a symbolic link: its target may be anywhere."""
    path = os.path.join(lxcpath, name)
    if os.path.islink(path):
        raise OperationError("manage", "container", name, f"{path} is a symbolic link", "Put a directory in its place")
