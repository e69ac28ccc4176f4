# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the installed liblxc is and where it keeps containers."""

from __future__ import annotations

import os
from typing import List, Optional, Tuple

from .._errors import OperationError
from .files import read_text

#: Root's lxcpath where lxc.conf names none. lxc-start logs elsewhere for containers in it.
COMPILED_LXCPATH = "/var/lib/lxc"

_version: List[Tuple[int, int]] = []


def default_lxcpath(root: Optional[bool] = None) -> str:
    """The directory of this user's containers: `lxc.lxcpath` of lxc.conf, else liblxc's default (lxc.system.conf(5)).

    Root has /etc/lxc/lxc.conf and /var/lib/lxc, another user ~/.config/lxc/lxc.conf and ~/.local/share/lxc. `root`
    True or False asks for the one or the other, whoever this user is.
    """
    root = os.geteuid() == 0 if root is None else root
    path = global_config("lxc.lxcpath", root)
    if path is None:
        path = COMPILED_LXCPATH if root else os.path.join(_home(), ".local/share/lxc")
    return path.rstrip("/") or "/"


def default_config_file() -> str:
    """The config that new containers start from: `lxc.default_config` of lxc.conf, else default.conf beside it."""
    root = os.geteuid() == 0
    return global_config("lxc.default_config", root) or os.path.join(_config_dir(root), "default.conf")


def global_config(key: str, root: bool) -> Optional[str]:
    """The value that lxc.conf, root's or this user's, gives to the key, the first one counts; None without one."""
    for line in (read_text(os.path.join(_config_dir(root), "lxc.conf")) or "").splitlines():
        name, equals, value = line.partition("=")
        if name.strip(" \t") == key and equals and value.strip():
            return value.strip()
    return None


def _config_dir(root: bool) -> str:
    return "/etc/lxc" if root else os.path.join(_home(), ".config/lxc")


def _home() -> str:
    return os.environ.get("HOME") or "/"


def cgroup_version() -> int:
    """2 where /sys/fs/cgroup is a cgroup v2 file system, 1 where it holds cgroup v1 hierarchies (cgroups(7))."""
    return 2 if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else 1


def installed_version() -> Tuple[int, int]:
    """Major and minor version of the liblxc that is installed, asked of the library itself.

    Raises OperationError when there is none.
    """
    if not _version:
        # Takes 3 ms, which only those who ask pay.
        import ctypes

        try:
            ask = ctypes.CDLL("liblxc.so.1").lxc_get_version
            ask.restype = ctypes.c_char_p
            major, minor = ask().decode().split(".")[:2]
            _version.append((int(major), int("".join(c for c in minor if c.isdigit()) or 0)))
        except (OSError, AttributeError, ValueError) as error:
            cause = "the library cannot be loaded"
            raise OperationError("use", "library", "liblxc.so.1", cause, "Install the package lxc.") from error
    return _version[0]
