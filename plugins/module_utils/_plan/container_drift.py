# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drift: what a container is and its declaration is not, where no edit of its config could help."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from .._errors import OperationError
from .._model.config import ConfigDocument
from .._model.config_keys import same_values
from .._model.config_line import Line
from .._model.container import ContainerSpec
from .._model.observed import Observed
from .._model.rootfs import parse_rootfs
from .._model.source import COPIED_FROM, MADE_BY, Backingstore, Template, mask

_PARAMETERS = "# Parameters passed to the template:"
#: The options that say what a template makes, and their short forms; the others say how.
_WHAT = {
    "download": {"--dist": "-d", "--release": "-r", "--arch": "-a", "--variant": ""},
    "local": {"--metadata": "-m", "--fstree": "-f"},
    "oci": {"--url": "-u"},
}


def find_drift(spec: ContainerSpec, current: Observed) -> Tuple[str, ...]:
    """What differs and can't be converged, as warnings; OperationError when the task wants it to be an error."""
    found: List[str] = []
    store = spec.backingstore.type if spec.backingstore else ""
    if store not in ("", "best", current.rootfs.backingstore) and current.rootfs.path:
        found.append(f"its backingstore is {current.rootfs.backingstore}, not {store}")
    elif spec.backingstore and current.rootfs.path:
        place = _place(spec.backingstore)
        if place and place != current.rootfs.path:
            found.append(f"its rootfs is {current.rootfs.path}, not {place}")
    path = moved_rootfs(spec, current)
    if path:
        found.append(f"its rootfs is {current.effective.get('lxc.rootfs.path')}, not {path}")
    if spec.template:
        found += other_template(spec.template, current.document)
    origin, copied = current.origin, origin_of(current.document)
    if spec.template and copied and not origin:
        found.append(f"it was cloned from {copied}, not made from the template '{spec.template.short_name}'")
    if spec.template and origin:
        found.append(f"it is a clone of '{origin.name}', not made from the template '{spec.template.short_name}'")
    wanted = (spec.clone.source, spec.clone.lxcpath) if spec.clone and spec.clone.snapshot else None
    if wanted and origin and (origin.name, origin.lxcpath) != wanted:
        found.append(f"its origin is '{origin.name}', not '{wanted[0]}'")
    if wanted and not origin and current.rootfs.backingstore == "dir":
        found.append(f"it has files of its own, and is no snapshot of '{wanted[0]}'")
    untold: List[str] = []
    if spec.clone and not origin:
        if copied and copied != f"{spec.clone.lxcpath}/{spec.clone.source}":
            found.append(f"it was cloned from {copied}, not {spec.clone.lxcpath}/{spec.clone.source}")
        elif not copied and not wanted:
            untold.append(f"It can't be told whether container '{spec.name}' was cloned from '{spec.clone.source}'")
    has_map = bool(current.effective.values("lxc.idmap"))
    if spec.privileged is not None and spec.privileged == has_map:
        found.append("it is unprivileged" if has_map else "it is privileged")
    if spec.idmap is not None and not same_values("lxc.idmap", current.effective.values("lxc.idmap"), spec.idmap):
        found.append("its rootfs belongs to another id map")
    if not found:
        return tuple(untold)
    if spec.drift == "error":
        raise OperationError(
            "converge",
            "container",
            spec.name,
            "; ".join(found),
            "Correct the task, make the container anew, or set drift: warn",
        )
    return tuple(f"Container '{spec.name}' stays as it is: {text}" for text in found)


def moved_rootfs(spec: ContainerSpec, current: Observed) -> str:
    """The lxc.rootfs.path that `config` wants instead of the one that is there; "" if nothing would be left behind."""
    for setting in spec.settings:
        if setting.key == "lxc.rootfs.path" and current.rootfs.exists:
            wanted = setting.values[0] if setting.values else ""
            if not wanted:
                return "none"
            if parse_rootfs(wanted)[1:] != (current.rootfs.path, current.rootfs.lower):
                return wanted
    return ""


def _place(store: Backingstore) -> str:
    """Where a store's options say that the rootfs lies, "" if they do not."""
    options = dict(store.options)
    if store.type == "lvm" and "vg" in options and "lv" in options:
        return f"/dev/{options['vg']}/{options['lv']}"
    return options.get("dir", "").rstrip("/")


def other_template(template: Template, document: ConfigDocument) -> List[str]:
    """What tells, in words, that another template made the container, or made something else of it."""
    made_from = template_of(document)
    if made_from and made_from != template.short_name:
        return [f"it was made from the template '{made_from}', not '{template.short_name}'"]
    return _other_parameters(template, document) if made_from else []


def template_of(document: ConfigDocument) -> str:
    """The template's short name in the header that lxc-create writes, "" without one (prepend_lxc_header)."""
    base = _comment(document, MADE_BY).rsplit("/", 1)[-1]
    return base[4:] if base.startswith("lxc-") else base


def origin_of(document: ConfigDocument) -> str:
    """The path of the container that this one is a full copy of, "" when `with_origin` did not note it."""
    return _comment(document, COPIED_FROM)


def with_origin(document: ConfigDocument, path: str) -> ConfigDocument:
    """The document with a comment at its top that says what the container is a full copy of."""
    lines = [line for line in document.lines if not line.text.startswith(COPIED_FROM)]
    return ConfigDocument((Line(f"{COPIED_FROM}{path}\n", None, ""), *lines))


def _comment(document: ConfigDocument, marker: str) -> str:
    for line in document.lines[:6]:
        if line.text.startswith(marker):
            return line.text[len(marker) :].strip()
    return ""


def _other_parameters(template: Template, document: ConfigDocument) -> List[str]:
    """What the declared template makes otherwise than the one that made the container, in words."""
    noted = mask(_comment(document, _PARAMETERS), template.secrets)
    what = _WHAT.get(template.short_name)
    if what is None:
        declared = mask(" ".join(template.arguments), template.secrets)
        return [f"its template had the arguments '{noted}', not '{declared}'"] if noted != declared else []
    wanted, had = _options(template.arguments, what), _options(noted.split(), what)
    return [
        f"its template had {flag} {had.get(flag, 'left out')}, not {value}"
        for flag, value in wanted.items()
        if had.get(flag) != value
    ]


def _options(arguments: Sequence[str], what: Dict[str, str]) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for flag, value in zip(arguments, arguments[1:]):
        for long, short in what.items():
            if flag in (long, short) and flag:
                found[long] = value
    return found
