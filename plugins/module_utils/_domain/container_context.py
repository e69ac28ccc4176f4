# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plan for a container depends on besides it: the host's free ids, its other containers, its liblxc."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Set, Tuple

from .._errors import OperationError
from .._host.command_socket import active_sockets, read_config_item
from .._host.container_files import load_include
from .._host.files import read_text
from .._host.id_grants import Grant, read_grants
from .._host.liblxc import cgroup_version, default_config_file, default_lxcpath, installed_version
from .._host.observe import observe, observe_host
from .._model.config import ConfigDocument, flatten
from .._model.config_keys import all_keys, lookup, same_values
from .._model.container import ContainerSpec
from .._model.observed import ABSENT, Observed
from .._plan.container_config import WITH_HWADDR
from .._plan.container_context import Context, applies_live

#: Ids in the range of a container that is made without saying otherwise: as many as 16 bits can name.
RANGE = 65536
#: Keys that liblxc reads but has no value of to give.
_UNREADABLE = ("lxc.include",)
#: Lists that are empty in a running container unless its file had them: no defaults, nothing derived from other keys.
_LISTS = ("lxc.environment", "lxc.mount.entry", "lxc.hook.")


def read_context(spec: ContainerSpec, current: Observed) -> Context:
    """The context of a plan for `current`. A container that exists costs no look at the others."""
    new = not current.defined or bool(current.problem) or bool(current.journal)
    version, cgroup = installed_version(), cgroup_version()
    if spec.state == "absent":
        return Context(version=version, cgroup=cgroup, flatten=_flatten, **_removal(current))
    lacks_hwaddr = any(
        nic.type in WITH_HWADDR and not current.document.get(f"lxc.net.{nic.index}.hwaddr") for nic in spec.nics
    )
    if not new:
        taken = _hwaddrs(_others(spec)) if lacks_hwaddr else frozenset()
        return Context(
            version=version,
            cgroup=cgroup,
            flatten=_flatten,
            taken_hwaddrs=taken,
            host_id=_host_id(),
            pending=_pending(current, cgroup, version),
        )
    grants = [grant for grant in read_grants() if (grant.lxcpath, grant.name) != (spec.lxcpath, spec.name)]
    others = _others(spec, grants)
    origin = observe(spec.clone.source, spec.clone.lxcpath) if spec.clone else None
    free, problem = _free_map(others, grants)
    return Context(
        version=version,
        cgroup=cgroup,
        flatten=_flatten,
        default=_default_document(spec),
        origin=origin,
        free_map=free,
        occupied=_occupied(spec) if current.health == ABSENT and not current.journal else (),
        no_map=problem,
        taken_hwaddrs=_hwaddrs(others),
        host_id=_host_id(),
        root=os.geteuid() == 0,
        bad_rootfs=_bad_rootfs(spec, current),
        mounted=_removal(current)["mounted"],
    )


def _removal(current: Observed) -> Dict[str, Any]:
    """What the plan must know of a container that it may remove."""
    if not current.defined and not current.journal:
        return {"mounted": ()}
    from .._host.removal import in_the_way, reason_to_keep

    return {"mounted": in_the_way(current), "rootfs_stays": reason_to_keep(current)}


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


def _flatten(document: ConfigDocument) -> ConfigDocument:
    return flatten(document, load_include) if document.includes() else document


def _default_document(spec: ContainerSpec) -> ConfigDocument:
    """What lxc-create would start from, less the id map, which is this collection's to choose."""
    document = ConfigDocument.parse(read_text(default_config_file()) or "")
    decided = spec.idmap is not None or spec.privileged is not None or not document.values("lxc.idmap")
    return document.without("lxc.idmap") if decided or os.geteuid() == 0 else document


# ------------------------------------------------------------------ the other containers


def _others(spec: ContainerSpec, grants: Iterable[Grant] = ()) -> List[Observed]:
    """Every other container of this user that can be known.

    In the default lxcpath, in this one, wherever one runs, and where ids were given out before.
    """
    paths: Dict[str, None] = {default_lxcpath(): None, spec.lxcpath: None}
    if spec.clone:
        paths[spec.clone.lxcpath] = None
    paths.update((lxcpath, None) for lxcpath, _name in active_sockets())
    paths.update((grant.lxcpath, None) for grant in grants)
    found = observe_host([path for path in paths if os.path.isdir(path)], states=False)
    return [other for other in found if (other.lxcpath, other.name) != (spec.lxcpath, spec.name)]


def _hwaddrs(others: Iterable[Observed]) -> FrozenSet[str]:
    found: Set[str] = set()
    for other in others:
        for key, value in other.document.entries():
            if key.startswith("lxc.net.") and key.endswith(".hwaddr"):
                found.add(value.lower())
    return frozenset(found)


def _host_id() -> str:
    return (read_text("/etc/machine-id") or "").strip()


# ------------------------------------------------------------------ ids


def _free_map(others: Iterable[Observed], grants: Iterable[Grant]) -> Tuple[Tuple[str, ...], str]:
    """The first free id map of 65536 ids for this user, or () and the reason why there is none."""
    import pwd

    from .._host.accounts import subordinate_ranges
    from .._model.idmap import IdMap, IdRange, NoRange, choose_map, parse_idmap

    user = pwd.getpwuid(os.geteuid()).pw_name
    own = subordinate_ranges(user)
    if not own.uids or not own.gids:
        kind = "uid" if not own.uids else "gid"
        return (), f"'{user}' has no subordinate {kind}s in /etc/sub{kind}"
    used: List[IdRange] = [*own.foreign_uids, *own.foreign_gids]
    maps = [other.effective.values("lxc.idmap") for other in others] + [grant.idmap for grant in grants]
    for lines in maps:
        try:
            taken: IdMap = parse_idmap(lines)
        except ValueError:
            continue
        used += [*taken.host_ranges("u"), *taken.host_ranges("g")]
    try:
        return choose_map(RANGE, own.uids, own.gids, used, used).render(), ""
    except NoRange as error:
        return (), f"{error}, of '{user}'"


# ------------------------------------------------------------------ running and file


def _pending(current: Observed, cgroup: int, version: Tuple[int, int]) -> Tuple[str, ...]:
    """The keys whose value in the file is another one than the running container's.

    Asked for only when the file is younger than the guest's init.
    """
    if not current.running or current.pid is None:
        return ()
    started = _start_time(current.pid)
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
        if not same_values(key, [line for line in running.splitlines() if line], current.effective.values(key)):
            found.append(key)
    return tuple(found)


def _start_time(pid: int) -> Optional[float]:
    """When the process started, in seconds since 1970 (field 22 of /proc/<pid>/stat counts ticks since boot)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def refuse_symlinked(lxcpath: str, name: str) -> None:
    """Raises OperationError when the container's directory is a symbolic link: its target may be anywhere."""
    path = os.path.join(lxcpath, name)
    if os.path.islink(path):
        raise OperationError("manage", "container", name, f"{path} is a symbolic link", "Put a directory in its place")
