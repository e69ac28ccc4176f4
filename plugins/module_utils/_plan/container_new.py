# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Planning a container that is not there yet, or only half."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from .._errors import OperationError
from .._model.config import ConfigDocument
from .._model.config_keys import same_values
from .._model.container import ContainerSpec
from .._model.observed import OK, Observed
from .._model.source import mask
from .container_config import converge
from .container_context import (
    MAKING,
    TARGET,
    Context,
    check_document,
    make_action,
    refuse_started_elsewhere,
    what_is_left,
    what_is_wrong,
)
from .container_drift import with_origin
from .core import Action, Plan


def plan_new(spec: ContainerSpec, current: Observed, context: Context) -> Plan:
    """Remove what is left of an earlier attempt, make the container, and start it if that is declared."""
    actions: List[Action] = []
    before: Dict[str, Any] = {"state": "absent"}
    warnings = spec.warnings
    if current.defined or current.journal:
        _refuse_what_was_whole(spec, current)
        if current.running:
            raise OperationError(
                "repair",
                "container",
                spec.name,
                f"{what_is_wrong(current)}, and it runs",
                "Stop it with lxc-stop first",
            )
        refuse_started_elsewhere(spec, context, "repair")
        if current.dependants:
            names = ", ".join(f"'{other.name}'" for other in current.dependants)
            raise OperationError(
                "repair",
                "container",
                spec.name,
                f"{what_is_wrong(current)}, and clones depend on its files: {names}",
                "Destroy them first",
            )
        if context.mounted:
            raise OperationError(
                "repair", "container", spec.name, f"{context.mounted[0]} is mounted in it", "Unmount it first"
            )
        warnings += what_is_left(current)
        actions.append(make_action(spec, "discard", f"remove what is left of '{spec.name}': {what_is_wrong(current)}"))
        before = {"state": "half made"}
    if context.occupied:
        raise OperationError(
            "create",
            "container",
            spec.name,
            f"its directory {spec.lxcpath}/{spec.name} holds files already: {', '.join(context.occupied[:5])}",
            "Move them away, or choose another name",
        )
    if not spec.has_source:
        raise OperationError(
            "create",
            "container",
            spec.name,
            f"{what_is_wrong(current) if actions else 'it does not exist'}, and no source is given",
            "Say 'template' or 'clone', or write its name as it is on the host",
        )
    if context.bad_rootfs and spec.backingstore:
        place = dict(spec.backingstore.options).get("dir", "")
        raise OperationError(
            "create",
            "container",
            spec.name,
            f"its rootfs directory {place} {context.bad_rootfs}",
            "Choose a directory that is empty or does not exist",
        )
    fresh = _initial_document(spec, context)
    idmap, shift = _map_for_new(spec, context)
    # A new container's NICs take nothing over from the default config but what they do not say.
    document = finish_new(fresh, spec, context, idmap)
    check_document(document, fresh, context, spec.name)
    detail = {"idmap": idmap, "document": document, "shift": shift}
    if spec.clone:
        actions.append(make_action(spec, "clone", f"clone '{spec.clone.source}' to '{spec.name}'", **detail))
    else:
        template = spec.template.name if spec.template else ""
        actions.append(make_action(spec, "create", f"create '{spec.name}' from the template '{template}'", **detail))
    target = TARGET.get(spec.state, "stopped")
    if target != "stopped":
        actions.append(make_action(spec, "start"))
    if target == "frozen":
        actions.append(make_action(spec, "freeze"))
    after: Dict[str, Any] = {"state": target}
    after.update(_source_text(spec))
    after["config"] = document.render()
    return Plan(tuple(actions), before, after, warnings)


def finish_new(
    document: ConfigDocument, spec: ContainerSpec, context: Context, idmap: Optional[Tuple[str, ...]]
) -> ConfigDocument:
    """The config that a new container has before its first start, from what lxc-create or lxc-copy has written."""
    if spec.clone and not spec.clone.keep_mac:
        for nic in spec.nics:
            document = document.without(f"lxc.net.{nic.index}.hwaddr")
    if spec.clone and not spec.clone.snapshot:
        document = with_origin(document, f"{spec.clone.lxcpath}/{spec.clone.source}")
    document = converge(document, spec, idmap, context.flatten, context.host_id, context.taken_hwaddrs)
    return _with_userxattr(document, spec, context)


def _with_userxattr(document: ConfigDocument, spec: ContainerSpec, context: Context) -> ConfigDocument:
    """An overlay that is mounted in a user namespace can keep its marks only in user.* attributes.

    Without the option, which came with Linux 5.11 (Documentation/filesystems/overlayfs.rst), directories of the lower
    layer can be neither renamed nor removed in the guest.
    """
    if spec.clone and context.origin:
        store = clone_store(spec, context.origin)
    else:
        store = spec.backingstore.type if spec.backingstore else ""
    key = "lxc.rootfs.options"
    said = any(setting.key == key for setting in spec.settings)
    options = document.get(key) or ""
    if store != "overlay" or said or not document.values("lxc.idmap") or "userxattr" in options.split(","):
        return document
    return document.with_values(key, [f"{options},userxattr" if options else "userxattr"])


def _refuse_what_was_whole(spec: ContainerSpec, current: Observed) -> None:
    """A note of anything but its making stands in a container that was in use, and may have lost nothing yet."""
    operation = current.journal.get("operation", "create")
    if operation in MAKING or not current.defined:
        return
    what = "it was being destroyed" if operation == "destroy" else "something unknown was being done to it"
    note = f"{spec.lxcpath}/{spec.name}/.lightervisor.json"
    raise OperationError(
        "repair",
        "container",
        spec.name,
        f"{what} when a run was interrupted",
        f"Finish that with state: absent, or remove the note {note} if the container is whole",
    )


def _initial_document(spec: ContainerSpec, context: Context) -> ConfigDocument:
    if spec.clone:
        if context.origin is None or not context.origin.defined:
            where = f"{spec.clone.lxcpath}/{spec.clone.source}"
            raise OperationError(
                "clone",
                "container",
                spec.clone.source,
                f"there is none at {where}",
                "Create it first, or correct 'clone'",
            )
        _check_origin(spec, context.origin)
        document = context.origin.document.without("lxc.rootfs.path")
        if not spec.clone.keep_mac:
            for key in document.keys():
                if key.startswith("lxc.net.") and key.endswith(".hwaddr"):
                    document = document.without(key)
        return document if spec.clone.keep_name else document.with_values("lxc.uts.name", [spec.name])
    return context.default


def _check_origin(spec: ContainerSpec, origin: Observed) -> None:
    if origin.health != OK or origin.journal:
        raise OperationError("clone", "container", origin.name, what_is_wrong(origin), "Repair it first")
    if origin.running:
        raise OperationError(
            "clone",
            "container",
            origin.name,
            f"it is {origin.state}, and only a stopped container's files hold still",
            "Stop it for the time of the clone",
        )


def _map_for_new(spec: ContainerSpec, context: Context) -> Tuple[Optional[Tuple[str, ...]], bool]:
    """The id map that a new container gets, and whether its rootfs must be shifted to it.

    () is no map, None the one that its settings or its origin have.
    """
    explicit = next((s.values for s in spec.settings if s.key == "lxc.idmap" and s.values), None)
    if spec.clone and context.origin is not None:
        return _map_for_clone(spec, context, context.origin, explicit)
    if explicit is not None:
        return None, False
    if spec.idmap is not None:
        return spec.idmap, False
    if spec.privileged:
        return (), False
    return _free_map(spec, context), False


def _free_map(spec: ContainerSpec, context: Context) -> Tuple[str, ...]:
    try:
        return context.free_map()
    except ValueError as error:
        raise OperationError(
            "create",
            "container",
            spec.name,
            f"it needs an id range of its own, and {error}",
            "Give the user subordinate ids (usermod --add-subuids, --add-subgids), or write 'idmap' or 'privileged'",
        ) from None


def _map_for_clone(
    spec: ContainerSpec, context: Context, origin: Observed, explicit: Optional[Tuple[str, ...]]
) -> Tuple[Optional[Tuple[str, ...]], bool]:
    has = origin.effective.values("lxc.idmap")
    wanted = spec.idmap if spec.idmap is not None else () if spec.privileged else explicit
    shares = shares_files(spec, origin)
    if wanted is None:
        if not shares:
            _expect_root(spec, context)
            return _free_map(spec, context), True
        if has:
            return None, False
        raise OperationError(
            "clone",
            "container",
            origin.name,
            "it is privileged, and a snapshot shares its files, whose owners an unprivileged clone could not use",
            "Write 'privileged: true', or make a full clone (snapshot: false)",
        )
    if same_values("lxc.idmap", has, wanted):
        return None, False
    if shares:
        raise OperationError(
            "clone",
            "container",
            origin.name,
            "a snapshot shares its files and so needs its id map",
            "Leave the id map out, or make a full clone (snapshot: false)",
        )
    _expect_root(spec, context)
    return wanted, True


def _expect_root(spec: ContainerSpec, context: Context) -> None:
    if not context.root:
        raise OperationError(
            "clone",
            "container",
            spec.clone.source if spec.clone else spec.name,
            "its files would need other owners, which only root can give them",
            "Write the origin's id map as 'idmap', make a snapshot (snapshot: true), or become root",
        )


def shares_files(spec: ContainerSpec, origin: Observed) -> bool:
    """Whether the clone's files can't get owners of their own: overlays, and block devices that are not mounted."""
    store = clone_store(spec, origin)
    return store not in ("dir", "btrfs")


def clone_store(spec: ContainerSpec, origin: Observed) -> str:
    """The backingstore of a clone as lxc-copy chooses it: a directory's snapshot is an overlay (storage_copy)."""
    if spec.backingstore:
        return spec.backingstore.type
    kind = origin.rootfs.backingstore or "dir"
    snapshot = bool(spec.clone and spec.clone.snapshot)
    if kind == "dir" and snapshot:
        return "overlay"
    if kind == "overlay" and not snapshot:
        return "dir"
    return kind


def _source_text(spec: ContainerSpec) -> Dict[str, Any]:
    text: Dict[str, Any] = {}
    if spec.clone:
        text["clone"] = f"{spec.clone.lxcpath}/{spec.clone.source}" + (" (snapshot)" if spec.clone.snapshot else "")
    elif spec.template:
        shown = mask(" ".join(spec.template.arguments), spec.template.secrets)
        text["template"] = f"{spec.template.name} {shown}".strip()
    if spec.backingstore:
        text["backingstore"] = spec.backingstore.type
    return text
