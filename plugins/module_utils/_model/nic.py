# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container's network interfaces: typed options to `lxc.net.N.*` keys.

Which keys, values and types go together is what liblxc 5.0 to 7.0 accept (config_jump_table_net and set_config_net_* in
src/lxc/confile.c) and can start (src/lxc/network.c); man lxc.container.conf describes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .._errors import InputError
from .nic_options import CHOICES, LISTS, NIC_OPTIONS, TABLE, TYPES

_VLAN_IDS = (1, 4094)
# The kernel: IFNAMSIZ (net/if.h) with its final NUL.
_NAME_BYTES = 15
# mtu: the least that IPv4 allows (RFC 791) to the most that veth takes. Queues: the kernel's limit (rtnetlink.c).
_BOUNDS = {"mtu": (68, 65535), "vlan_id": _VLAN_IDS, "veth_rxqueues": (1, 4096), "veth_txqueues": (1, 4096)}
#: What liblxc cannot start a NIC of the type without.
_NEEDED = {"macvlan": ("link",), "ipvlan": ("link",), "vlan": ("link", "vlan_id"), "phys": ("link",)}
_ORDER = {option: position for position, option in enumerate(TABLE)}
_HEX = "[1-9a-f][0-9a-f]{0,3}"
#: An IPv6 address with `::` in it and no zeros in front of or beside anything that could be shorter.
_SHORT_IPV6 = re.compile(
    rf"(?:(?:0|{_HEX}):)*{_HEX}::(?:{_HEX}(?::(?:0|{_HEX}))*)?(/(?:[1-9]?[0-9]|1[01][0-9]|12[0-8]))?"
)
#: Names of interfaces that need no closer look.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")


@dataclass(frozen=True)
class Nic:
    """One network interface as declared. What is not declared is not managed."""

    #: The N of its `lxc.net.N` keys.
    index: int
    type: str
    settings: Tuple[Tuple[str, Tuple[str, ...]], ...]

    def items(self, new: bool = False) -> List[Tuple[str, Tuple[str, ...]]]:
        """(subkey, values) as ("link", ("lxcbr0",)) in the order of the file, `type` first; no values: remove the key.

        With `new`, for a NIC that the config has not got yet, it is brought up unless it is declared otherwise.
        """
        found = list(self.settings)
        if new and self.type in TABLE["up"][2] and not any(subkey == "flags" for subkey, _values in found):
            found.append(("flags", ("up",)))
        return found


def nics_from_options(options: Sequence[Mapping[str, Any]], path: str = "networks") -> Tuple[Nic, ...]:
    """The NICs that a list of option mappings (NIC_OPTIONS) describes, in the order given.

    `index` defaults to the position in the list. An option that is missing or None is unmanaged; an empty list or an
    empty text means that the key shall not be there. Raises InputError: `networks[2].ipv4[0]: …`.
    """
    nics: List[Nic] = []
    for position, item in enumerate(options):
        here = f"{path}[{position}]"
        given = {option: value for option, value in item.items() if value is not None}
        for option in given:
            if option not in NIC_OPTIONS:
                raise InputError(f"{here}.{option}", "a network has no such option")
        index = _bounded(given.get("index", position), f"{here}.index", (0, 2**31 - 2))
        nics.append(_nic(index, given, here))
    refuse_doubles(nics, path)
    return tuple(nics)


def refuse_doubles(nics: Sequence[Nic], path: str) -> None:
    """Raises InputError when the NICs share what only one can have."""
    seen: Dict[Tuple[str, str], int] = {}
    for position, nic in enumerate(nics):
        unique = [(s, v[0]) for s, v in nic.settings if v and s in ("name", "veth.pair", "hwaddr")]
        for subkey, value in [("index", str(nic.index)), *unique]:
            if "x" in value and subkey == "hwaddr":
                continue
            earlier = seen.setdefault((subkey, value), position)
            if earlier != position:
                option = "veth_pair" if subkey == "veth.pair" else subkey
                raise InputError(f"{path}[{position}].{option}", f"'{value}' is that of {path}[{earlier}] too")


def _nic(index: int, given: Mapping[str, Any], path: str) -> Nic:
    if "type" not in given:
        raise InputError(f"{path}.type", f"it is missing; one of {', '.join(TYPES)}")
    kind = _choice("type", given["type"], f"{path}.type")
    for option in _NEEDED.get(kind, ()):
        if given.get(option, "") == "":
            raise InputError(f"{path}.{option}", f"a NIC of type {kind} needs it")
    settings = []
    for option in sorted([option for option in given if option != "index"], key=_ORDER.__getitem__):
        subkey, value_kind, types = TABLE[option]
        here = f"{path}.{option}"
        if kind not in types:
            raise InputError(here, f"a NIC of type {kind} has no such option; it is for {', '.join(types)}")
        settings.append((subkey, nic_values(option, value_kind, given[option], here)))
    nic = Nic(index, kind, tuple(settings))
    check_together(nic, given, path)
    return nic


def nic_values(option: str, kind: str, value: Any, path: str) -> Tuple[str, ...]:
    """The values of the key, none to remove it."""
    if kind in LISTS:
        items = [value] if isinstance(value, (str, int)) else list(value)
        if len(items) == 1:
            return (_item(option, kind, items[0], f"{path}[0]"),)
        found = tuple(_item(option, kind, item, f"{path}[{n}]") for n, item in enumerate(items))
        for n, text in enumerate(found):
            if text in found[:n]:
                raise InputError(f"{path}[{n}]", f"'{text}' stands there twice")
        return found
    if kind in ("bool", "up"):
        if not isinstance(value, bool):
            raise InputError(path, f"{value!r} is neither true nor false")
        if kind == "up":
            return ("up",) if value else ()
        return ("1" if value else "0",)
    if kind == "int":
        return (str(_bounded(value, path, _BOUNDS[option])),)
    if kind == "choice":
        return (_choice(option, value, path),)
    text = _one_line(value, path)
    if kind == "hwaddr":
        return (_hwaddr(text, path),)
    if not text:
        return ()
    if kind == "interface":
        return (_interface(text, path),)
    if kind == "vlan":
        return (text if text == "none" else str(_bounded(text, path, _VLAN_IDS, " or 'none'")),)
    if kind == "gateway":
        return (text if text in ("auto", "dev") else _address(text, _family(option), path, ", 'auto' or 'dev'"),)
    if not text.startswith("/"):
        raise InputError(path, f"'{text}' does not begin with '/'; liblxc runs it from any directory")
    return (text,)


def _item(option: str, kind: str, value: Any, path: str) -> str:
    if kind == "vlans":
        return str(_bounded(value, path, _VLAN_IDS))
    family = _family(option)
    if kind == "addresses" and family == 6 and isinstance(value, str) and _is_canonical(value, network=True):
        return str(value)
    text = _one_line(value, path)
    if kind == "routes":
        return _route(text, family, path)
    address, space, broadcast = text.partition(" ")
    if space and family == 6:
        raise InputError(path, f"'{text}' is not one IPv6 address")
    result = _with_prefix(address, family, path)
    if space:
        result += " " + _address(broadcast.strip(), family, path)
    return result


def check_together(nic: Nic, given: Mapping[str, Any], path: str) -> None:
    """What each option allows but liblxc refuses at the start of the container."""
    for family in ("ipv4", "ipv6"):
        gateway = given.get(f"{family}_gateway")
        if not gateway:
            continue
        here = f"{path}.{family}_gateway"
        if gateway == "auto" and nic.type not in ("veth", "macvlan"):
            raise InputError(here, "'auto' is for veth and macvlan")
        if gateway == "auto" and given.get("link") == "":
            raise InputError(here, "'auto' takes the address of the link, and there is none")
        if given.get("up") is False:
            raise InputError(here, "a NIC that is not brought up cannot have a gateway")
        link_local = family == "ipv6" and str(gateway).lower().startswith("fe80:")
        if given.get(family) == [] and not link_local:
            raise InputError(here, f"a NIC without an {family} address cannot have a gateway")
    if given.get("veth_mode") == "router":
        for option in ("veth_vlan_id", "veth_vlan_tagged"):
            if given.get(option):
                raise InputError(f"{path}.{option}", "VLANs are for the ports of a bridge, not for veth_mode 'router'")
    if given.get("l2proxy"):
        if nic.type == "ipvlan" and given.get("ipvlan_mode", "l3s") != "l3s":
            raise InputError(f"{path}.l2proxy", "an ipvlan NIC needs ipvlan_mode 'l3s' for it")
        if given.get("link") == "":
            raise InputError(f"{path}.l2proxy", "it is set on the link, and there is none")
    if given.get("veth_pair") and given.get("veth_pair") == given.get("link"):
        raise InputError(f"{path}.veth_pair", "it is the name of the link")


def _family(option: str) -> int:
    return 6 if "ipv6" in option else 4


def _one_line(value: Any, path: str) -> str:
    text = str(value)
    if "\n" in text or "\r" in text or "\0" in text:
        raise InputError(path, "a value has one line")
    return text.strip()


def _choice(option: str, value: Any, path: str) -> str:
    if value not in CHOICES[option]:
        raise InputError(path, f"{value!r} is not one of {', '.join(CHOICES[option])}")
    return str(value)


def _bounded(value: Any, path: str, bounds: Tuple[int, int], more: str = "") -> int:
    text = str(value)
    number: Optional[int] = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None
    if number is None or isinstance(value, bool) or not bounds[0] <= number <= bounds[1]:
        raise InputError(path, f"'{value}' is not a number from {bounds[0]} to {bounds[1]}{more}")
    return number


def _interface(text: str, path: str) -> str:
    """A name that the kernel takes (dev_valid_name in net/core/dev.c) and does not complete itself (%d)."""
    if _PLAIN_NAME.fullmatch(text):
        return text
    if len(text.encode("utf-8", "surrogatepass")) > _NAME_BYTES:
        raise InputError(path, f"'{text}' is longer than the {_NAME_BYTES} bytes that a network interface's name has")
    if text in (".", "..") or any(char in "/:%" or char.isspace() for char in text):
        raise InputError(path, f"'{text}' is not an interface's name: it has no '/', ':', '%' or blanks")
    return text


def _hwaddr(text: str, path: str) -> str:
    found = text.lower()
    groups = found.split(":")
    if len(groups) != 6 or any(len(group) != 2 or group.strip("0123456789abcdefx") for group in groups):
        raise InputError(path, f"'{text}' is not six pairs of hexadecimal digits, where x stands for any digit")
    if found[1] not in "02468ace" or found == "00:00:00:00:00:00":
        raise InputError(
            path, f"'{text}' is not the address of one machine: its second digit is 0, 2, 4, 6, 8, a, c or e"
        )
    return found


def _address(text: str, family: int, path: str, more: str = "") -> str:
    if family == 6 and _is_canonical(text, network=False):
        return text
    # Here, so that only tasks with other addresses pay for it.
    import ipaddress

    try:
        # A zone ("%eth0") is nothing to inet_pton(3), which liblxc uses.
        found = None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        found = None
    if found is None or found.version != family:
        raise InputError(path, f"'{text}' is not an IPv{family} address{more}")
    return str(found)


def _is_canonical(text: str, network: bool) -> bool:
    """Whether the text is plainly an IPv6 address as RFC 5952 writes it, where the `::` is the longest run of zeros.

    With `network`, one with the length of its prefix.

    Thousands of addresses take a tenth of the time so.
    """
    # At most as many groups as there are colons.
    if text.count(":0") + 1 >= 8 - text.count(":"):
        return False
    found = _SHORT_IPV6.fullmatch(text)
    return found is not None and (found[1] is not None) == network


def _with_prefix(text: str, family: int, path: str) -> str:
    address, slash, prefix = text.partition("/")
    found = _address(address, family, path)
    if not slash:
        raise InputError(path, f"'{text}' has no prefix length, as in {found}/{24 if family == 4 else 64}")
    return f"{found}/{_bounded(prefix, path, (0, 32 if family == 4 else 128))}"


def _route(text: str, family: int, path: str) -> str:
    import ipaddress

    found = _with_prefix(text, family, path)
    network = str(ipaddress.ip_network(found, strict=False))
    if network != found:
        raise InputError(path, f"'{text}' has bits after the prefix; the network is {network}")
    return found
