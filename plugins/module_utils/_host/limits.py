# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's shared limits on this host, held against what containers about to start need."""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Sequence, Tuple

from .._errors import OperationError
from .._model.config import ConfigDocument
from .._model.limits import ROLE, Demand, Present, demand_of, shortages

_SYSCTLS = ("kernel.pty.max", "kernel.pty.reserve", "kernel.pid_max", "kernel.threads-max", "fs.nr_open")
#: PROC_PID_INIT_INO (include/linux/proc_ns.h): the pid namespace that all others are below.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"


def check_limits(documents: Sequence[ConfigDocument], kind: str = "fleet", name: str = "") -> None:
    """Raises OperationError when not all containers with these effective configs can start beside what runs now.

    The error names every limit that is too small and the value needed. What may be enough is not refused: the use is
    what is seen now, the demand the least that liblxc itself takes. A container that runs and is to be restarted gives
    back what it takes: leave it out.
    """
    if not documents:
        return
    demand = demand_of(documents)
    found = shortages(demand, read_present(demand))
    if not found:
        return
    advice = "; ".join(one.advice for one in found)
    if any(not one.name.startswith("bridge ") for one in found):
        advice += f"; {ROLE} sets the sysctls, in /etc/sysctl.d"
    raise OperationError(
        "start",
        kind,
        name or f"{demand.containers} container{'s' if demand.containers > 1 else ''}",
        "; ".join(one.text for one in found),
        f"{advice}. See docs/limits.md.",
    )


def read_present(demand: Demand) -> Present:
    """The limits that matter to the demand, and their use. Costs one small read each, and one directory per bridge."""
    values: Dict[str, int] = {}
    for name in (*_SYSCTLS, *(f"user.max_{kind}_namespaces" for kind, _number in demand.namespaces)):
        value = read_sysctl(name)
        if value is not None:
            values[name] = value
    ports: List[Tuple[str, int]] = []
    for bridge, _number in demand.ports:
        try:
            ports.append((bridge, len(os.listdir(f"/sys/class/net/{bridge}/brif"))))
        except OSError:
            # It is missing, or no Linux bridge: not for this check to say.
            continue
    return Present(values, read_sysctl("kernel.pty.nr") or 0, _tasks(), tuple(ports))


def read_sysctl(name: str) -> Optional[int]:
    """The number that the sysctl holds, None where there is none."""
    try:
        with open("/proc/sys/" + name.replace(".", "/"), "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _tasks() -> int:
    """All tasks of the machine (loadavg in proc(5)); 0 inside a pid namespace, whose share of the limit is not told."""
    try:
        if os.readlink("/proc/self/ns/pid") != _FIRST_PID_NAMESPACE:
            return 0
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[3].split(b"/")[1])
    except (OSError, ValueError, IndexError):
        return 0
