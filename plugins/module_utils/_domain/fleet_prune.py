# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which containers a fleet has made and lists no more."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import List, Set, Tuple

from .._model.fleet import FleetSpec, Member

Key = Tuple[str, str]


def pruned(fleet: FleetSpec, listed: Set[Key]) -> List[Member]:
    """What the fleet has made in its lxcpaths and lists no more, to be absent."""
    if not fleet.prune:
        return []
    # Here, because few fleets are pruned.
    from .._host.fleet_marks import marked

    # One directory may be spelled in several ways, and a container is listed in any of them.
    places = {lxcpath: os.path.realpath(lxcpath) for lxcpath in (*(key[0] for key in listed), fleet.pruned.lxcpath)}
    known = {(places[lxcpath], name) for lxcpath, name in listed}
    found = []
    for lxcpath, place in places.items():
        for name in marked(lxcpath, fleet.name):
            if (place, name) not in known:
                known.add((place, name))
                found.append(Member(replace(fleet.pruned, name=name, lxcpath=lxcpath), f"prune ({name})"))
    return found
