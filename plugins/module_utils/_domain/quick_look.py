# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges containers without planning them: what is plainly as declared, and whatever else is left to the planner."""

from __future__ import annotations

import os
from typing import Dict, Optional, Tuple

from .._host.container_dir import read_origin, read_rootfs
from .._host.files import read_regular
from .._host.journal import FILE as JOURNAL
from .._host.liblxc import installed_version
from .._host.processes import start_time
from .._model.container import ContainerSpec
from .._plan.container_met import MEETS, met_rootfs

#: A run state, and the pid of the guest's init.
State = Tuple[str, Optional[int]]
STOPPED: State = ("stopped", None)


class QuickLook:
    """Looks at containers whose state is known."""

    def __init__(self) -> None:
        """Raises OperationError without liblxc."""
        self._version = installed_version()
        self._rootfs: Dict[str, bool] = {"": False}

    def is_met(self, spec: ContainerSpec, state: State) -> bool:
        """Whether the container, whose declaration is simple, is plainly like that and runs with the config it has."""
        folder = f"{spec.lxcpath}/{spec.name}"
        if state[0] not in MEETS[spec.state]:
            return False
        # Not to find a file takes four times as long as to ask whether there is one.
        told = bool(spec.clone or spec.template) and os.access(f"{folder}/lxc_rdepends", os.F_OK)
        text, written = _plain_config(folder)
        if state[0] != STOPPED[0]:
            began = start_time(state[1]) if state[1] else None
            if began is None or written >= began:
                return False
        path = met_rootfs(spec, text, read_origin(folder) if told else None, self._version)
        if path not in self._rootfs:
            self._rootfs[path] = read_rootfs(path).exists
        return self._rootfs[path]


def _plain_config(folder: str) -> Tuple[str, float]:
    """The text of the container's config and when it was written; "" if it has none, or if something was begun with it.

    The time is in seconds since 1970.
    """
    # Asking for two files takes a third of the time of listing the directory.
    for unusual in ("partial", JOURNAL):
        if os.access(f"{folder}/{unusual}", os.F_OK):
            return "", 0
    try:
        content, status = read_regular(f"{folder}/config")
    except OSError:
        return "", 0
    return content.decode("utf-8", "surrogateescape"), status.st_mtime
