# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers of one description: made from the first of them by what differs, instead of each from the whole."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from .._errors import InputError
from .config_keys import lookup
from .container import ContainerSpec, alter, parse_setting
from .fleet_names import Place, filler, has_places
from .nic import Nic, check_together, nic_values, refuse_doubles
from .nic_options import TABLE

Fill = Callable[[Place], Any]

#: Kinds of NIC options that nothing but their own check depends on, apart from what follows.
_KINDS = ("interface", "addresses", "gateway", "hwaddr", "routes", "script")
#: Options that have to fit to others.
_TOGETHER = {"ipv4_gateway", "ipv6_gateway", "veth_pair", "l2proxy"}
#: Options that no two NICs of a container may have alike.
_UNIQUE = {"name", "veth_pair", "hwaddr"}


class Series:
    """Containers whose names, values of `config` and NICs may differ, and nothing else."""

    def __init__(self, params: Mapping[str, Any], first: ContainerSpec) -> None:
        """`params`: the description, `first`: one of the containers. Raises ValueError if more differs."""
        differing = {option for option, value in params.items() if has_places(value)}
        if differing - {"name", "config", "networks"} or first.backingstore:
            raise ValueError("more differs")
        self._first = first
        self._settings: List[Tuple[int, str, Fill]] = []
        if "config" in differing:
            places = {setting.key: index for index, setting in enumerate(first.settings)}
            for key, value in params["config"].items():
                row = lookup(key)
                if row is None or row.removed is not None or has_places(key):
                    raise ValueError("the keys differ, or are to be translated")
                if has_places(value):
                    self._settings.append((places[key], key, filler(value)))
        options: Sequence[Mapping[str, Any]] = params["networks"] if "networks" in differing else ()
        varying = [(index, given) for index, given in enumerate(options) if has_places(given)]
        self._nics = [(index, _VaryingNic(first.nics[index], given)) for index, given in varying]
        self._compare = any(has_places(given.get(option)) for _index, given in varying for option in _UNIQUE)

    def make(self, place: Place) -> ContainerSpec:
        """One of the containers, but for the check of its name. Raises InputError, without a path that would help."""
        clone = self._first.clone
        if clone and (clone.source, clone.lxcpath) == (place.name, self._first.lxcpath):
            raise InputError("clone.from", "it can't be a clone of itself")
        settings, nics = list(self._first.settings), list(self._first.nics)
        for index, key, fill in self._settings:
            settings[index] = parse_setting(fill(place), key, key)
        for index, nic in self._nics:
            nics[index] = nic.make(place)
        if self._compare:
            refuse_doubles(nics, "networks")
        return alter(self._first, name=place.name, settings=tuple(settings), nics=tuple(nics))


class _VaryingNic:
    def __init__(self, first: Nic, given: Mapping[str, Any]) -> None:
        self._first, self._given = first, given
        places = {subkey: index for index, (subkey, _values) in enumerate(first.settings)}
        self._options: List[Tuple[int, str, str, str, Fill]] = []
        for option, value in given.items():
            if not has_places(value):
                continue
            subkey, kind, _types = TABLE.get(option, ("", "", ()))
            if kind not in _KINDS:
                raise ValueError("more differs")
            self._options.append((places[subkey], subkey, option, kind, filler(value)))
        self._together = bool(_TOGETHER & given.keys())

    def make(self, place: Place) -> Nic:
        settings = list(self._first.settings)
        given: Dict[str, Any] = dict(self._given) if self._together else {}
        for index, subkey, option, kind, fill in self._options:
            value = fill(place)
            settings[index] = (subkey, nic_values(option, kind, value, option))
            if self._together:
                given[option] = value
        nic = alter(self._first, settings=tuple(settings))
        if self._together:
            check_together(nic, given, "networks")
        return nic


def try_series(params: Mapping[str, Any], first: ContainerSpec) -> Optional[Series]:
    """The series of such containers, None where each has to be made from the whole."""
    try:
        return Series(params, first)
    except ValueError:
        return None
