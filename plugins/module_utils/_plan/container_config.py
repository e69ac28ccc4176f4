# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Converging a container's config: from the document that is there to the one that is declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Container, Dict, List, Optional, Sequence, Set, Tuple

from .._model.config import ConfigDocument
from .._model.config_keys import lookup, same_values
from .._model.config_line import render_line
from .._model.container import ContainerSpec, Setting
from .._model.hwaddr import Reserved, derive_hwaddr
from .._model.nic_options import WITH_HWADDR

if TYPE_CHECKING:
    from .._model.nic import Nic

#: Keys that `purge_config` leaves alone: without them the container would be another, or a more dangerous one.
KEPT = (
    "lxc.rootfs.",
    "lxc.uts.name",
    "lxc.idmap",
    "lxc.include",
    "lxc.arch",
    "lxc.net.",
    "lxc.mount.auto",
    # What confines the guest goes only by name.
    "lxc.apparmor.",
    "lxc.cap.",
    "lxc.seccomp.",
    "lxc.selinux.",
)

Flatten = Callable[[ConfigDocument], ConfigDocument]


def converge(
    document: ConfigDocument,
    spec: ContainerSpec,
    idmap: Optional[Tuple[str, ...]],
    flatten: Flatten,
    host_id: str = "",
    taken: Container[str] = frozenset(),
) -> ConfigDocument:
    """The document with everything that `spec` declares, by the smallest edit.

    `idmap`: the id map to have, () for none, None to leave it alone. `host_id` and `taken` (MAC addresses in use)
    are for NICs that get an address here. A second call with the result changes nothing.
    """
    settings = settings_of(spec, document, idmap, host_id, taken)
    result = _purge_nics(document, spec)
    result = _change_types(result, spec)
    result = _apply_all(result, settings)
    if spec.purge_config:
        result = _purge(result, {setting.key for setting in settings})
    return _outrank_includes(result, settings, flatten)


def settings_of(
    spec: ContainerSpec,
    document: ConfigDocument,
    idmap: Optional[Tuple[str, ...]],
    host_id: str = "",
    taken: Container[str] = frozenset(),
) -> List[Setting]:
    """Everything declared, as settings of keys: NICs first, then the id map, then `config` in its order."""
    settings: List[Setting] = []
    used = Reserved(taken)
    for nic in spec.nics:
        settings.extend(_nic_settings(nic, spec, document, host_id, used))
    if idmap is not None:
        settings.append(Setting("lxc.idmap", idmap or None))
    settings.extend(spec.settings)
    return settings


def _nic_settings(
    nic: Nic, spec: ContainerSpec, document: ConfigDocument, host_id: str, used: Reserved
) -> List[Setting]:
    prefix = f"lxc.net.{nic.index}."
    items: Dict[str, Tuple[str, ...]] = dict(nic.items(new=document.get(f"{prefix}type") != nic.type))
    present = document.get(f"{prefix}hwaddr")
    wanted = items.get("hwaddr", ("",))[0]
    if wanted and "x" in wanted.lower():
        # A pattern is met by any address that fits it, and is made concrete once.
        items["hwaddr"] = (
            present if present and _fits(present, wanted) else _derive(wanted, spec, nic, host_id, used),
        )
    elif not wanted and nic.type in WITH_HWADDR:
        concrete = present and "x" not in present.lower()
        items["hwaddr"] = (present if present and concrete else _derive("", spec, nic, host_id, used),)
    return [Setting(prefix + subkey, values or None) for subkey, values in items.items()]


def _derive(pattern: str, spec: ContainerSpec, nic: Nic, host_id: str, used: Reserved) -> str:
    hwaddr = derive_hwaddr(f"{host_id}{spec.lxcpath}/{spec.name}/{nic.index}", used, pattern)
    used.add(hwaddr)
    return hwaddr


def _fits(hwaddr: str, pattern: str) -> bool:
    pairs = zip(hwaddr.lower(), pattern.lower())
    return len(hwaddr) == len(pattern) and all(want in ("x", have) and have != "x" for have, want in pairs)


def _apply_all(document: ConfigDocument, settings: Sequence[Setting]) -> ConfigDocument:
    # What holds already still holds after all others: an edit changes no other key's values.
    left = [one for one in settings if not _holds(document, one)]
    if len(left) > 1 and all(one.values for one in left):
        from .._model.config_bulk import with_all

        result = with_all(document, [(one.key, one.values or ()) for one in left])
        if result is not None:
            return result
    for setting in left:
        document = _apply(document, setting)
    return document


def _holds(document: ConfigDocument, setting: Setting) -> bool:
    if not setting.values or setting.partial:
        return False
    present = document.values(setting.key)
    return bool(present) and _fulfils(setting.key, present, setting.values)


def _apply(document: ConfigDocument, setting: Setting) -> ConfigDocument:
    key, present = setting.key, document.values(setting.key)
    if setting.partial:
        values = [value for value in present if not any(same_values(key, [value], [gone]) for gone in setting.remove)]
        for value in setting.add:
            if not any(same_values(key, [value], [there]) for there in values):
                values.append(value)
        wanted: Sequence[str] = values
    else:
        wanted = setting.values or ()
    if not wanted:
        return _removed(document, key)
    if _fulfils(key, present, wanted):
        return document
    return document.with_values(key, _spelled_as_before(key, present, wanted))


def _removed(document: ConfigDocument, key: str) -> ConfigDocument:
    """The document without the key's values. Lines that liblxc may reject go even if another one clears them."""
    row = lookup(key)
    if row is None or row.removed is not None:
        return document.without(key)
    return document.with_values(key, [])


def _fulfils(key: str, present: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether nothing is to be written. An address with x digits, which liblxc fills in on each load, is none."""
    if tuple(present) == tuple(wanted):
        return True
    if key.endswith(".hwaddr") and any("x" in one.lower() for one in present):
        return False
    return same_values(key, present, wanted)


def _spelled_as_before(key: str, present: Sequence[str], wanted: Sequence[str]) -> List[str]:
    """The wanted values, each in the spelling that the file has for it, so that unchanged lines stay as they are."""
    row = lookup(key)
    if row is None or not row.multi:
        return list(wanted)
    left = list(present)
    result = []
    for value in wanted:
        match = next((there for there in left if same_values(key, [there], [value])), None)
        if match is not None:
            left.remove(match)
        result.append(value if match is None else match)
    return result


def _change_types(document: ConfigDocument, spec: ContainerSpec) -> ConfigDocument:
    """A NIC that becomes one of another type keeps nothing of the old one but its MAC address."""
    for nic in spec.nics:
        prefix = f"lxc.net.{nic.index}."
        present = document.get(f"{prefix}type")
        if present and nic.type and present != nic.type:
            hwaddr = document.get(f"{prefix}hwaddr")
            document = document.without_prefix(prefix)
            if hwaddr and nic.type in WITH_HWADDR:
                document = document.with_values(f"{prefix}hwaddr", [hwaddr])
    return document


def _purge_nics(document: ConfigDocument, spec: ContainerSpec) -> ConfigDocument:
    if not spec.purge_networks:
        return document
    declared = {str(nic.index) for nic in spec.nics}
    for setting in spec.settings:
        if setting.key.startswith("lxc.net.") and (setting.values or setting.add):
            declared.add(setting.key.split(".")[2])
    found = {key.split(".")[2] for key in document.keys() if key.startswith("lxc.net.")}
    for index in sorted(found - declared):
        document = document.without_prefix(f"lxc.net.{index}.")
    return document


def _purge(document: ConfigDocument, declared: Set[str]) -> ConfigDocument:
    for key in document.keys():
        if key not in declared and not key.startswith(KEPT):
            document = _removed(document, key)
    return document


def _outrank_includes(document: ConfigDocument, settings: Sequence[Setting], flatten: Flatten) -> ConfigDocument:
    """A single value that a later lxc.include would override moves behind it; so does a line that clears a key."""
    if not settings or not document.includes():
        return document
    effective = flatten(document)
    for setting in settings:
        row = lookup(setting.key)
        if row is None or setting.partial or (setting.values and row.multi):
            continue
        if same_values(setting.key, effective.values(setting.key), setting.values or ()):
            continue
        text = document.without(setting.key).render()
        end = "" if text.endswith("\n") or not text else "\n"
        line = render_line(setting.key, setting.values[0] if setting.values else "")
        document = ConfigDocument.parse(text + end + line)
        effective = flatten(document)
    return document


def changed_keys(before: ConfigDocument, after: ConfigDocument) -> Tuple[str, ...]:
    """The keys whose values differ in meaning, in the order of `after`, removed ones last."""
    there = after.keys()
    if before.layout == after.layout and "" not in before.layout:
        # What is heard is in the same places, so that only the values of these lines can make a difference.
        pairs = zip(before.lines, after.lines)
        differ = {new.key for old, new in pairs if new is not old and new.value != old.value}
        keys = [key for key in there if key in differ]
    else:
        keys = [*there, *(key for key in before.keys() if key not in there)]
    return tuple([key for key in keys if not _fulfils(key, before.values(key), after.values(key))])
