# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one description of a container that lxc_container, lxc_info and the inventory give: data that JSON can hold."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

from .config import ConfigDocument
from .config_keys import lookup
from .observed import ABSENT, CREATING, OK, Interface, Observed, Reference, Snapshot
from .rootfs import is_managed


def describe(observed: Observed) -> Dict[str, Any]:
    """The container as data.

    `config` is its own file; `idmap`, `privileged` and `autostart` regard included files, too. `interfaces`, `ipv4` and
    `ipv6` are None when nobody asked for addresses; the last two hold neither prefixes nor link-local addresses.
    Bytes that are not UTF-8 become U+FFFD.
    """
    effective = observed.effective
    idmap = [_clean(value) for value in effective.values("lxc.idmap")]
    interfaces = observed.interfaces
    return {
        "name": _clean(observed.name),
        "lxcpath": _clean(observed.lxcpath),
        "state": observed.state if observed.defined else "absent",
        "pid": observed.pid,
        "health": observed.health,
        "broken": observed.health not in (OK, ABSENT, CREATING),
        "problem": _clean(observed.problem),
        "privileged": not idmap,
        "idmap": idmap,
        "rootfs": _rootfs(observed),
        "origin": _reference(observed.origin) if observed.origin else None,
        "dependants": [_reference(other) for other in observed.dependants],
        "interfaces": None if interfaces is None else [_interface(interface) for interface in interfaces],
        "ipv4": _flat(interfaces, "ipv4"),
        "ipv6": _flat(interfaces, "ipv6"),
        "autostart": _autostart(effective),
        "snapshots": [_snapshot(snapshot) for snapshot in observed.snapshots],
        "config": describe_config(observed.document),
    }


def describe_state(
    name: str, lxcpath: str, state: str, interfaces: Optional[Sequence[Interface]] = None
) -> Dict[str, Any]:
    """What `describe` says of name, lxcpath and state, and unless `interfaces` is None, of these and the addresses."""
    found: Dict[str, Any] = {"name": _clean(name), "lxcpath": _clean(lxcpath), "state": state}
    if interfaces is not None:
        found["interfaces"] = [_interface(interface) for interface in interfaces]
        found.update({family: _flat(interfaces, family) for family in ("ipv4", "ipv6")})
    return found


def describe_config(document: ConfigDocument) -> Dict[str, Union[str, List[str]]]:
    """Key -> value, or list of values for a key that can have several; in the order of the file."""
    found: Dict[str, Union[str, List[str]]] = {}
    for key, values in _values(document).items():
        row = lookup(key)
        if row.multi if row is not None else len(values) > 1:
            found[_clean(key)] = [_clean(value) for value in values]
        else:
            found[_clean(key)] = _clean(values[-1])
    return found


def _values(document: ConfigDocument) -> Dict[str, Sequence[str]]:
    """The values of each key. One pass does, unless a line takes back what another one said."""
    grouped: Dict[str, List[str]] = {}
    for key, value in document.entries():
        network = key[: -len("type")] if key.startswith("lxc.net.") and key.endswith(".type") else ""
        if not value or (network and any(other.startswith(network) for other in grouped)):
            keys = document.keys()
            return {key: document.values(key) for key in keys}
        grouped.setdefault(key, []).append(value)
    return dict(grouped)


def render_timestamp(created: str) -> str:
    """liblxc's "2026:11:22 22:30:11" (local time, do_lxcapi_snapshot in lxccontainer.c) as "2026-11-22 22:30:11"."""
    date, blank, time = created.partition(" ")
    parts = date.split(":")
    if not blank or len(parts) != 3 or not all(part.isdigit() for part in parts):
        return _clean(created)
    return f"{'-'.join(parts)} {_clean(time)}"


def _clean(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _rootfs(observed: Observed) -> Optional[Dict[str, Any]]:
    rootfs = observed.rootfs
    if not rootfs.path:
        return None
    return {
        "backingstore": rootfs.backingstore,
        "path": _clean(rootfs.path),
        "lower": [_clean(layer) for layer in rootfs.lower],
        "exists": rootfs.exists,
        "managed": is_managed(observed.effective.values("lxc.rootfs.managed")),
    }


def _reference(other: Reference) -> Dict[str, str]:
    return {"name": _clean(other.name), "lxcpath": _clean(other.lxcpath)}


def _interface(interface: Interface) -> Dict[str, Any]:
    return {
        "name": _clean(interface.name),
        "hwaddr": interface.hwaddr,
        "ipv4": list(interface.ipv4),
        "ipv6": list(interface.ipv6),
    }


def _flat(interfaces: Optional[Sequence[Interface]], family: str) -> Optional[List[str]]:
    if interfaces is None:
        return None
    return [address.partition("/")[0] for address in _addresses(interfaces, family) if not is_link_local(address)]


def _addresses(interfaces: Sequence[Interface], family: str) -> Iterator[str]:
    for interface in interfaces:
        yield from interface.ipv4 if family == "ipv4" else interface.ipv6


def is_link_local(address: str) -> bool:
    """Whether an address, with or without a prefix, is of fe80::/10 or 169.254.0.0/16."""
    return address.lower().startswith(("fe8", "fe9", "fea", "feb", "169.254."))


def _autostart(effective: ConfigDocument) -> Dict[str, Any]:
    return {
        "auto": effective.get("lxc.start.auto") == "1",
        "delay": _number(effective.get("lxc.start.delay")),
        "order": _number(effective.get("lxc.start.order")),
        "groups": [_clean(group) for group in effective.values("lxc.group")],
    }


def _number(value: Optional[str]) -> int:
    try:
        return int(value or 0)
    except ValueError:
        return 0


def _snapshot(snapshot: Snapshot) -> Dict[str, str]:
    return {
        "name": _clean(snapshot.name),
        "created": render_timestamp(snapshot.created),
        "comment": _clean(snapshot.comment),
    }
