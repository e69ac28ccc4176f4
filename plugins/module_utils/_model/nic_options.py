# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that describe a container's network interfaces: a row for each, and Ansible's argument spec of them."""

from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple

TYPES = ("veth", "macvlan", "ipvlan", "vlan", "phys", "empty", "none")

_LINKED = ("veth", "macvlan", "ipvlan", "vlan", "phys")
_ALL_BUT_NONE = (*_LINKED, "empty")
_VETH = ("veth",)

#: Types that have a MAC address of their own, whether one is declared or not.
WITH_HWADDR = ("veth", "macvlan")

#: option: (subkey, kind of value, types it applies to). The order is the order in the file: `type` has to come first.
TABLE: Dict[str, Tuple[str, str, Sequence[str]]] = {
    "type": ("type", "choice", TYPES),
    "link": ("link", "interface", _LINKED),
    "up": ("flags", "up", _ALL_BUT_NONE),
    "name": ("name", "interface", _LINKED),
    "hwaddr": ("hwaddr", "hwaddr", ("veth", "macvlan", "vlan", "phys")),
    "mtu": ("mtu", "int", _LINKED),
    "veth_mode": ("veth.mode", "choice", _VETH),
    "veth_pair": ("veth.pair", "interface", _VETH),
    "veth_vlan_id": ("veth.vlan.id", "vlan", _VETH),
    "veth_vlan_tagged": ("veth.vlan.tagged.id", "vlans", _VETH),
    "veth_rxqueues": ("veth.n_rxqueues", "int", _VETH),
    "veth_txqueues": ("veth.n_txqueues", "int", _VETH),
    "macvlan_mode": ("macvlan.mode", "choice", ("macvlan",)),
    "ipvlan_mode": ("ipvlan.mode", "choice", ("ipvlan",)),
    "ipvlan_isolation": ("ipvlan.isolation", "choice", ("ipvlan",)),
    "vlan_id": ("vlan.id", "int", ("vlan",)),
    "l2proxy": ("l2proxy", "bool", ("veth", "macvlan", "ipvlan", "vlan")),
    "ipv4": ("ipv4.address", "addresses", _ALL_BUT_NONE),
    "ipv4_gateway": ("ipv4.gateway", "gateway", _LINKED),
    "ipv6": ("ipv6.address", "addresses", _ALL_BUT_NONE),
    "ipv6_gateway": ("ipv6.gateway", "gateway", _LINKED),
    "veth_ipv4_routes": ("veth.ipv4.route", "routes", _VETH),
    "veth_ipv6_routes": ("veth.ipv6.route", "routes", _VETH),
    "script_up": ("script.up", "script", _ALL_BUT_NONE),
    "script_down": ("script.down", "script", _ALL_BUT_NONE),
}
CHOICES = {
    "type": TYPES,
    "veth_mode": ("bridge", "router"),
    "macvlan_mode": ("private", "vepa", "bridge", "passthru"),
    "ipvlan_mode": ("l3", "l3s", "l2"),
    "ipvlan_isolation": ("bridge", "private", "vepa"),
}
_SPEC_TYPES = {"int": "int", "bool": "bool", "up": "bool"}
LISTS = {"addresses": "str", "routes": "str", "vlans": "int"}


def _spec(option: str, kind: str) -> Dict[str, Any]:
    if kind in LISTS:
        return {"type": "list", "elements": LISTS[kind]}
    spec: Dict[str, Any] = {"type": _SPEC_TYPES.get(kind, "str")}
    if kind == "choice":
        spec["choices"] = list(CHOICES[option])
    if option == "type":
        spec["required"] = True
    return spec


#: The suboptions of `networks` for an Ansible argument spec.
NIC_OPTIONS: Dict[str, Dict[str, Any]] = {"index": {"type": "int"}}
NIC_OPTIONS.update((option, _spec(option, row[1])) for option, row in TABLE.items())
