# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plans for a container share: what they depend on besides it, and how they are put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Callable, Container, Dict, Mapping, Optional, Tuple

from .._errors import InputError, OperationError
from .._model.config import ConfigDocument
from .._model.config_keys import check_key, lookup
from .._model.container import ContainerSpec
from .._model.observed import Observed
from .container_config import Flatten
from .core import Action

#: The run state that each `state` asks for; the others ask for none.
TARGET = {"started": "running", "restarted": "running", "stopped": "stopped", "frozen": "frozen"}
#: The operations in a journal that make a container: what they have left was never in use.
MAKING = ("create", "clone")


FreeMap = Callable[[], Tuple[str, ...]]


def no_map() -> Tuple[str, ...]:
    """For plans that give no ids away."""
    raise ValueError("there are no ids to give away")


@dataclass(frozen=True)
class Context:
    """What the plan for a container depends on besides the container itself."""

    #: (major, minor) of the installed liblxc.
    version: Tuple[int, int]
    #: 2 on a host with cgroup v2 alone, else 1.
    cgroup: int = 2
    flatten: Flatten = lambda document: document
    #: The config that a new container starts from: lxc.default_config of lxc.conf.
    default: ConfigDocument = field(default_factory=lambda: ConfigDocument(()))
    origin: Optional[Observed] = None
    #: Chooses the id map that a new container gets when nothing else is said; raises ValueError saying why there is
    #: none. Asked again it gives the same one.
    free_map: FreeMap = no_map
    #: Whether root plans, who alone can change the owners of files.
    root: bool = True
    #: What lies in the directory of a container that does not exist: somebody's files.
    occupied: Tuple[str, ...] = ()
    #: What is wrong with the directory that the rootfs shall be made in, "" if nothing.
    bad_rootfs: str = ""
    #: What is mounted where removing the container would delete.
    mounted: Tuple[str, ...] = ()
    #: The other spelling of its lxcpath under which it runs, "" if it does not.
    started_as: str = ""
    #: Why the rootfs must outlive the container, "" if it need not.
    rootfs_stays: str = ""
    #: Containers that have the rootfs too, which are to be removed before this one.
    leaving: Tuple[str, ...] = ()
    #: MAC addresses of other containers.
    taken_hwaddrs: Container[str] = frozenset()
    host_id: str = ""
    #: The running container's config differs from its file, in these keys.
    pending: Tuple[str, ...] = ()


def applies_live(key: str, cgroup: int) -> bool:
    """Whether a new value of the key can be set in the running container's cgroup instead of by a restart."""
    row = lookup(key)
    own = key.startswith("lxc.cgroup2." if cgroup == 2 else "lxc.cgroup.")
    return row is not None and row.impact == "live" and not row.multi and own


def check_document(document: ConfigDocument, before: ConfigDocument, context: Context, name: str) -> None:
    """Raises OperationError when liblxc would refuse to load the document because of a line in it."""
    for line in document.malformed():
        what = f"the line '{line[:200]}' has no '='" if line.startswith("lxc.") else "it contains a NUL"
        raise OperationError(
            "configure", "container", name, f"liblxc would reject its config: {what}", "Correct the file"
        )
    key, problem = _refused(document.layout, context.version)
    if key:
        cause = f"liblxc would reject its config: {problem}"
        advice = f"Remove the line with 'config: {{{key}: null}}' or correct the file"
        raise OperationError("configure", "container", name, cause, advice)


@lru_cache(maxsize=256)
def _refused(keys: Tuple[Optional[str], ...], version: Tuple[int, int]) -> Tuple[str, str]:
    """The first key that liblxc rejects, also where a later line clears it, and why; "" for none."""
    for key in dict.fromkeys(keys):
        try:
            if key:
                check_key(key, version, key)
        except InputError as error:
            return str(key), error.problem
    return "", ""


def refuse_started_elsewhere(spec: ContainerSpec, context: Context, verb: str) -> None:
    """Raises OperationError when the container runs under another spelling of its lxcpath, and so seems stopped."""
    if context.started_as:
        raise OperationError(
            verb,
            "container",
            spec.name,
            f"it runs: it was started with the lxcpath {context.started_as}, which is the same directory",
            f"Write 'lxcpath: {context.started_as}'",
        )


def what_is_wrong(current: Observed) -> str:
    """What is wrong with a container that is broken or was not finished, as part of a sentence."""
    if current.problem:
        problem = current.problem.rstrip(".")
        return "i" + problem[1:] if problem.startswith("It") else problem
    return f"the operation '{current.journal.get('operation', 'unknown')}' on it was interrupted"


def what_is_left(current: Observed) -> Tuple[str, ...]:
    """Warnings about what stays when a half-made container is removed with nothing but its directory."""
    store = current.journal.get("store", "")
    if store not in ("lvm", "zfs", "rbd", "best"):
        return ()
    return (f"A volume that was made for '{current.name}' (backingstore {store}) may stay: look for it",)


def state_of(current: Observed) -> Dict[str, Any]:
    """What a diff shows of the container."""
    state: Dict[str, Any] = {"state": current.state}
    if current.problem:
        state["problem"] = current.problem
    state["config"] = current.document.render()
    return state


def make_action(spec: ContainerSpec, verb: str, summary: str = "", **detail: Any) -> Action:
    """An action on the container; without a summary its verb says it all."""
    values: Mapping[str, Any] = detail
    return Action(verb, spec.name, summary or f"{verb.replace('_', ' ')} '{spec.name}'", values)
