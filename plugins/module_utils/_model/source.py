# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a container's rootfs comes from: a template, or a clone; and the backingstore that it lies on."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .._errors import InputError
from .size import parse_size

#: Options of the templates that LXC ships (usage texts of lxc-download, lxc-local and lxc-oci of LXC 5 to 7).
TEMPLATE_OPTIONS: Dict[str, Tuple[str, ...]] = {
    "download": ("dist", "release", "arch", "variant", "server", "flush_cache", "force_cache"),
    "local": ("metadata", "fstree"),
    "oci": ("url", "username", "password"),
}
_NEEDED = {"download": ("dist", "release", "arch"), "local": ("metadata", "fstree"), "oci": ("url",)}

#: Options of lxc-create for each backingstore (man lxc-create); `size` is --fssize.
STORE_OPTIONS: Dict[str, Tuple[str, ...]] = {
    "dir": ("dir",),
    "btrfs": (),
    "overlay": (),
    "lvm": ("vg", "lv", "thinpool", "fstype", "size"),
    "loop": ("fstype", "size"),
    "zfs": ("zfs_root",),
    "rbd": ("rbd_name", "rbd_pool"),
    "best": (),
}
_STORE_FLAGS = {
    "dir": "--dir",
    "vg": "--vgname",
    "lv": "--lvname",
    "thinpool": "--thinpool",
    "fstype": "--fstype",
    "zfs_root": "--zfsroot",
    "rbd_name": "--rbdname",
    "rbd_pool": "--rbdpool",
}
_MIB = 1 << 20
#: Comments in a container's config: what lxc-create has made it with, and what this collection has copied it from.
MADE_BY = "# Template used to create this container: "
COPIED_FROM = "# Cloned by lightervisor.lxc from: "
#: Arguments of templates that a secret follows.
_SECRET_FLAGS = ("password", "passwd", "pass", "secret", "token", "api-key", "creds")


@dataclass(frozen=True)
class Template:
    """`name` is what follows `lxc-create -t`, `arguments` what follows `--`."""

    name: str
    arguments: Tuple[str, ...] = ()
    #: Values that must not be shown, such as a registry's password.
    secrets: Tuple[str, ...] = ()

    @property
    def short_name(self) -> str:
        """The name as in `lxc-create -t`: `busybox` for /usr/share/lxc/templates/lxc-busybox."""
        base = posixpath.basename(self.name)
        return base[4:] if base.startswith("lxc-") else base


@dataclass(frozen=True)
class Clone:
    """A copy of the container `source`; `snapshot` shares the origin's files where the backingstore can."""

    source: str
    lxcpath: str
    snapshot: bool = False
    keep_name: bool = False
    keep_mac: bool = False


@dataclass(frozen=True)
class Backingstore:
    """A backingstore as lxc-create and lxc-copy name it; `size` in bytes."""

    type: str
    options: Tuple[Tuple[str, str], ...] = ()
    size: Optional[int] = None

    def create_arguments(self) -> List[str]:
        """The options of lxc-create that ask for this store; sizes go as MiB, which lxc-create reads without a unit."""
        arguments = ["--bdev", self.type]
        for option, value in self.options:
            arguments += [_STORE_FLAGS[option], value]
        if self.size is not None:
            arguments += ["--fssize", f"{-(-self.size // _MIB)}M"]
        return arguments


def check_text(value: str, path: str) -> str:
    """The value; an InputError if it has a line break or a NUL, which would inject config lines or end an argument."""
    for bad in ("\n", "\r", "\0"):
        if bad in value:
            raise InputError(path, f"{value!r} contains a line break or NUL")
    return value


def parse_template(options: Mapping[str, Any], path: str = "template") -> Template:
    """The template that the options describe; `none` makes a container without a rootfs of its own.

    Raises InputError for an option that the template has not, or a missing one that it needs.
    """
    name = check_text(str(options.get("name") or ""), f"{path}.name")
    if not name or name.startswith("-"):
        raise InputError(f"{path}.name", f"{name!r} is not a template. Write a name such as 'download', or a path")
    template = Template(name)
    known = TEMPLATE_OPTIONS.get(template.short_name, ())
    given = {key: value for key, value in options.items() if value is not None and key not in ("name", "arguments")}
    arguments: List[str] = []
    secrets: List[str] = []
    for key, value in given.items():
        if key not in known:
            if value is False:
                continue
            raise InputError(f"{path}.{key}", f"the template '{name}' has no such option. Its own go under 'arguments'")
        flag = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            arguments += [flag] if value else []
            continue
        arguments += [flag, check_text(str(value), f"{path}.{key}")]
        if key == "password":
            secrets.append(str(value))
    raw = [check_text(str(item), f"{path}.arguments[{i}]") for i, item in enumerate(options.get("arguments") or [])]
    secrets += _raw_secrets(raw)
    missing = [key for key in _NEEDED.get(template.short_name, ()) if key not in given]
    if missing and not raw:
        raise InputError(f"{path}.{missing[0]}", f"the template '{name}' needs it")
    if template.short_name == "none" and (arguments or raw):
        raise InputError(path, "the template 'none' takes no options")
    return Template(name, tuple(arguments + raw), tuple(secrets))


def _raw_secrets(arguments: Sequence[str]) -> List[str]:
    """The values of raw arguments such as `--password x` or `--token=x`."""
    found = []
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        flag, equals, value = argument.partition("=")
        if argument.startswith("-") and flag.lstrip("-").lower() in _SECRET_FLAGS:
            found.append(value if equals else following)
    return [secret for secret in found if secret]


def mask(text: str, secrets: Sequence[str]) -> str:
    """The text with asterisks in the place of each secret."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "********")
    return text


def parse_backingstore(options: Mapping[str, Any], path: str = "backingstore") -> Backingstore:
    """The backingstore that the options describe. Raises InputError for an option that the store has not."""
    kind = "overlay" if options.get("type") == "overlayfs" else str(options.get("type"))
    if kind not in STORE_OPTIONS:
        raise InputError(f"{path}.type", f"{kind!r} is not one of {', '.join(sorted(STORE_OPTIONS))}")
    chosen: List[Tuple[str, str]] = []
    size: Optional[int] = None
    for key, value in options.items():
        if key == "type" or value is None:
            continue
        if key not in STORE_OPTIONS[kind]:
            raise InputError(f"{path}.{key}", f"the backingstore '{kind}' has no such option")
        text = check_text(str(value), f"{path}.{key}")
        if key == "size":
            try:
                size = parse_size(text)
            except InputError as error:
                raise InputError(f"{path}.size", error.problem) from None
            continue
        if key == "dir":
            text = _check_dir(text, f"{path}.dir")
        if text.startswith("-") or not text:
            raise InputError(f"{path}.{key}", f"{text!r} is not a name")
        chosen.append((key, text))
    return Backingstore(kind, tuple(chosen), size)


def _check_dir(text: str, path: str) -> str:
    if not text.startswith("/") or ".." in text.split("/"):
        raise InputError(path, f"{text!r} is not an absolute path without '..'")
    clean = "/" + posixpath.normpath(text).lstrip("/")
    if clean == "/":
        raise InputError(path, "it is the host's own root")
    return clean
