# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""MAC addresses that stay: derived from what a NIC belongs to, so that planning twice gives the same address."""

from __future__ import annotations

import hashlib
from typing import Container, Set

#: The address block that LXC's own default configs use (Xensource's OUI).
PATTERN = "00:16:3e:xx:xx:xx"


def derive_hwaddr(seed: str, taken: Container[str], pattern: str = "") -> str:
    """An address for the NIC that `seed` names: always the same one, but not one that is taken.

    Every x of the pattern is replaced, as liblxc does with lxc.net.N.hwaddr (man lxc.container.conf).
    """
    for attempt in range(10_000):
        digits = iter(hashlib.sha256(f"{seed}#{attempt}".encode()).hexdigest())
        hwaddr = "".join(next(digits) if char in "xX" else char for char in (pattern or PATTERN)).lower()
        if hwaddr not in taken:
            return hwaddr
    return hwaddr


class Reserved:
    """MAC addresses that are in use elsewhere, and those that were given out here."""

    def __init__(self, taken: Container[str]) -> None:
        self._taken = taken
        self._own: Set[str] = set()

    def __contains__(self, hwaddr: object) -> bool:
        return hwaddr in self._own or hwaddr in self._taken

    def add(self, hwaddr: str) -> None:
        """Give the address out."""
        self._own.add(hwaddr)
