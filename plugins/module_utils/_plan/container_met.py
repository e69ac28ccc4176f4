# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A quick look at a container that most of a fleet pass, most of the time: is it plainly as it is declared?

Only what `plan_container` would find nothing to do to, and nothing to say of, is. Anything out of the ordinary, such as
a quoted value, an include, or an empty line that clears a key, is left to that.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Dict, Optional, Tuple

from .._errors import InputError
from .._model.config_keys import check_key, lookup
from .._model.config_line import parse_line
from .._model.container import ContainerSpec
from .._model.nic_options import WITH_HWADDR
from .._model.observed import Reference
from .._model.source import COPIED_FROM, MADE_BY, Template

#: A value in quotes, of which templates of LXC write some.
_QUOTED = re.compile(r"^(lxc\.[^ \t\n=]+ = )\"([^\"'\n]+)\"$", re.MULTILINE)
#: Each line of a config is a setting as `render_line` writes it without quotes, a comment or empty.
_LINE = re.compile(r"^(?:(lxc\.[^ \t\n=]+) = (?![ \t\"'])(.+)(?<![ \t\"'])|#.*|)\n", re.MULTILINE)

#: The run states of a container that each `state` is content with.
MEETS = {"present": ("stopped", "running"), "started": ("running",), "stopped": ("stopped",)}

Values = Dict[str, Tuple[str, ...]]


def is_simple(spec: ContainerSpec) -> bool:
    """Whether the declaration asks for nothing that a quick look could not judge."""
    return (
        spec.backingstore is None
        and not spec.purge_config
        and not spec.purge_networks
        and not spec.warnings
        and spec.state in MEETS
    )


def met_rootfs(spec: ContainerSpec, text: str, origin: Optional[Reference], version: Tuple[int, int]) -> str:
    """The lxc.rootfs.path of a config that has all that a simple declaration says; "" where it may not have it.

    `origin`: what the container is a snapshot clone of, None for a declaration without a source. `version`: liblxc's.
    """
    found = _read(text, version)
    if found is None or not _is_made_so(spec, text, origin):
        return ""
    for nic in spec.nics:
        prefix = f"lxc.net.{nic.index}."
        for subkey, values in nic.settings:
            if found.get(prefix + subkey, ()) != values:
                return ""
        hwaddr = found.get(prefix + "hwaddr")
        # One with x is different at each start.
        if (nic.type in WITH_HWADDR) if hwaddr is None else ("x" in hwaddr[0].lower()):
            return ""
    for setting in spec.settings:
        if setting.partial or found.get(setting.key) != setting.values:
            return ""
    idmap = found.get("lxc.idmap")
    if spec.privileged is not None and spec.privileged != (idmap is None):
        return ""
    if spec.idmap is not None and spec.idmap != idmap:
        return ""
    return found["lxc.rootfs.path"][0]


def _is_made_so(spec: ContainerSpec, text: str, origin: Optional[Reference]) -> bool:
    """Whether the container plainly comes from where the declaration says."""
    if spec.template:
        head = "\n".join(text.split("\n", 6)[:6]) if MADE_BY in text else ""
        return origin is None and COPIED_FROM not in text and _fits(spec.template, head)
    if spec.clone:
        source = Reference(spec.clone.lxcpath, spec.clone.source)
        if spec.clone.snapshot:
            return origin == source
        return origin is None and text.startswith(f"{COPIED_FROM}{source.lxcpath}/{source.name}\n")
    return True


@lru_cache(maxsize=64)
def _fits(template: Template, head: str) -> bool:
    """Whether the comments at the top of a config, which most of a fleet share, tell of no other template."""
    if not head:
        return True
    # Here, because few configs have such comments.
    from .._model.config import ConfigDocument
    from .container_drift import other_template

    return not other_template(template, ConfigDocument.parse(head))


def _read(text: str, version: Tuple[int, int]) -> Optional[Values]:
    """What liblxc holds after reading the config, None where that takes a closer look."""
    if ' = "' in text:
        text = _QUOTED.sub(r"\1\2", text)
    entries = _LINE.findall(text)
    if len(entries) != text.count("\n") or text[-1:] != "\n" or "\r" in text or "\0" in text:
        return None
    repeated = _repeated(tuple([key for key, _value in entries]), version)
    if repeated is None:
        return None
    found: Values = {key: (value,) for key, value in entries}
    for several in repeated:
        found[several] = tuple([value for key, value in entries if key == several])
    return found


@lru_cache(maxsize=256)
def _repeated(keys: Tuple[str, ...], version: Tuple[int, int]) -> Optional[Tuple[str, ...]]:
    """The keys that stand there several times, each of which adds a value.

    None if liblxc refuses a key, or if one's values do not simply follow from its own lines. Hundreds of containers
    have the same keys in the same order.
    """
    seen: Dict[str, int] = {}
    for key in filter(None, keys):
        row = lookup(key)
        if row is None or row.clears or key == "lxc.include" or parse_line(f"{key} = 1\n").key != key:
            return None
        if key in seen and not row.multi:
            return None
        # The type of a NIC resets what was said of it before.
        if key.startswith("lxc.net.") and key.endswith(".type") and any(one.startswith(key[:-4]) for one in seen):
            return None
        try:
            check_key(key, version, key)
        except InputError:
            return None
        seen[key] = seen.get(key, 0) + 1
    return tuple(key for key, times in seen.items() if times > 1) if "lxc.rootfs.path" in seen else None
