# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Typed NICs to lxc.net.N.* keys, and what is refused on the way."""

from __future__ import annotations

import ipaddress
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import InputError
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.config_keys import check_key, lookup
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.nic import Nic, nics_from_options
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.nic_options import NIC_OPTIONS, TYPES
from hypothesis import example, given
from hypothesis import strategies as st


def nic(**options: Any) -> Nic:
    return nics_from_options([options])[0]


FULL = {
    "type": "veth",
    "link": "lxcbr0",
    "up": True,
    "name": "eth0",
    "hwaddr": "00:16:3E:xX:xx:01",
    "mtu": 1500,
    "veth_mode": "bridge",
    "veth_pair": "vethweb1-abcdef",
    "veth_vlan_id": "none",
    "veth_vlan_tagged": [10, 20],
    "veth_rxqueues": 2,
    "veth_txqueues": 4,
    "l2proxy": False,
    "ipv4": ["10.0.3.5/24", "10.0.4.5/24 10.0.4.255"],
    "ipv4_gateway": "10.0.3.1",
    "ipv6": ["2001:DB8:0::5/64"],
    "ipv6_gateway": "fe80::1",
    "veth_ipv4_routes": ["192.0.2.0/24"],
    "veth_ipv6_routes": ["2001:db8:1::/48", "::/0"],
    "script_up": "/etc/lxc/up",
    "script_down": "/etc/lxc/down --quiet",
}


def test_everything_of_a_veth() -> None:
    assert nic(**FULL).items() == [
        ("type", ("veth",)),
        ("link", ("lxcbr0",)),
        ("flags", ("up",)),
        ("name", ("eth0",)),
        ("hwaddr", ("00:16:3e:xx:xx:01",)),
        ("mtu", ("1500",)),
        ("veth.mode", ("bridge",)),
        ("veth.pair", ("vethweb1-abcdef",)),
        ("veth.vlan.id", ("none",)),
        ("veth.vlan.tagged.id", ("10", "20")),
        ("veth.n_rxqueues", ("2",)),
        ("veth.n_txqueues", ("4",)),
        ("l2proxy", ("0",)),
        ("ipv4.address", ("10.0.3.5/24", "10.0.4.5/24 10.0.4.255")),
        ("ipv4.gateway", ("10.0.3.1",)),
        ("ipv6.address", ("2001:db8::5/64",)),
        ("ipv6.gateway", ("fe80::1",)),
        ("veth.ipv4.route", ("192.0.2.0/24",)),
        ("veth.ipv6.route", ("2001:db8:1::/48", "::/0")),
        ("script.up", ("/etc/lxc/up",)),
        ("script.down", ("/etc/lxc/down --quiet",)),
    ]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"type": "none"}, []),
        ({"type": "empty", "up": True}, [("flags", ("up",))]),
        (
            {"type": "macvlan", "link": "eth0", "macvlan_mode": "passthru"},
            [("link", ("eth0",)), ("macvlan.mode", ("passthru",))],
        ),
        (
            {"type": "ipvlan", "link": "eth0", "ipvlan_mode": "l3s", "ipvlan_isolation": "vepa", "l2proxy": True},
            [("link", ("eth0",)), ("ipvlan.mode", ("l3s",)), ("ipvlan.isolation", ("vepa",)), ("l2proxy", ("1",))],
        ),
        ({"type": "vlan", "link": "eth0", "vlan_id": 4094}, [("link", ("eth0",)), ("vlan.id", ("4094",))]),
        ({"type": "phys", "link": "eth+"}, [("link", ("eth+",))]),
    ],
)
def test_other_types(options: dict[str, Any], wanted: list[Any]) -> None:
    assert nic(**options).items() == [("type", (options["type"],)), *wanted]


def test_unspecified_is_unmanaged_and_empty_removes() -> None:
    every = dict.fromkeys(NIC_OPTIONS)
    assert nic(**{**every, "type": "veth"}).items() == [("type", ("veth",))]
    removed = nic(type="veth", link="", up=False, name="", ipv4=[], ipv4_gateway="", veth_vlan_tagged=[], script_up="")
    assert removed.items() == [
        ("type", ("veth",)),
        ("link", ()),
        ("flags", ()),
        ("name", ()),
        ("veth.vlan.tagged.id", ()),
        ("ipv4.address", ()),
        ("ipv4.gateway", ()),
        ("script.up", ()),
    ]


def test_a_new_nic_is_brought_up_unless_declared() -> None:
    assert ("flags", ("up",)) in nic(type="veth").items(new=True)
    assert ("flags", ()) in nic(type="veth", up=False).items(new=True)
    assert nic(type="none").items(new=True) == [("type", ("none",))]
    assert nic(type="veth", up=True).items(new=True).count(("flags", ("up",))) == 1


def test_index_defaults_to_the_position() -> None:
    found = nics_from_options([{"type": "veth"}, {"type": "veth", "index": 7}, {"type": "empty"}])
    assert [n.index for n in found] == [0, 7, 2]


@pytest.mark.parametrize(
    ("options", "path", "problem"),
    [
        ({}, "type", "it is missing; one of veth"),
        ({"type": "bridge"}, "type", "'bridge' is not one of"),
        ({"type": "veth", "colour": 1}, "colour", "no such option"),
        ({"type": "veth", "index": -1}, "index", "from 0"),
        ({"type": "veth", "index": True}, "index", "from 0"),
        ({"type": "none", "up": True}, "up", "a NIC of type none has no such option; it is for veth, macvlan"),
        ({"type": "empty", "name": "lo0"}, "name", "type empty has no such option"),
        ({"type": "macvlan", "link": "e", "veth_pair": "x"}, "veth_pair", "it is for veth"),
        ({"type": "ipvlan", "link": "e", "hwaddr": "00:16:3e:00:00:01"}, "hwaddr", "has no such option"),
        ({"type": "macvlan"}, "link", "a NIC of type macvlan needs it"),
        ({"type": "phys", "link": ""}, "link", "a NIC of type phys needs it"),
        ({"type": "vlan", "link": "eth0"}, "vlan_id", "needs it"),
        ({"type": "vlan", "link": "eth0", "vlan_id": 0}, "vlan_id", "from 1 to 4094"),
        ({"type": "vlan", "link": "eth0", "vlan_id": 4095}, "vlan_id", "from 1 to 4094"),
        ({"type": "veth", "veth_vlan_id": "some"}, "veth_vlan_id", "from 1 to 4094 or 'none'"),
        ({"type": "veth", "veth_vlan_tagged": [1, 4095]}, "veth_vlan_tagged[1]", "from 1 to 4094"),
        ({"type": "veth", "veth_vlan_tagged": [1, 1]}, "veth_vlan_tagged[1]", "twice"),
        ({"type": "veth", "veth_mode": "router", "veth_vlan_id": "5"}, "veth_vlan_id", "router"),
        ({"type": "macvlan", "link": "e", "macvlan_mode": "source"}, "macvlan_mode", "private, vepa, bridge, passthru"),
        ({"type": "veth", "mtu": 60}, "mtu", "from 68 to 65535"),
        ({"type": "veth", "mtu": "٣٠٠"}, "mtu", "from 68"),
        ({"type": "veth", "veth_rxqueues": 0}, "veth_rxqueues", "from 1 to 4096"),
        ({"type": "veth", "up": "maybe"}, "up", "neither true nor false"),
        ({"type": "veth", "link": "sixteen-letters0"}, "link", "longer than the 15 bytes"),
        ({"type": "veth", "link": "über-brücke-xyz"}, "link", "longer than the 15 bytes"),
        ({"type": "veth", "link": "a/b"}, "link", "not an interface's name"),
        ({"type": "veth", "link": "a b"}, "link", "not an interface's name"),
        ({"type": "veth", "link": ".."}, "link", "not an interface's name"),
        ({"type": "veth", "name": "eth%d"}, "name", "not an interface's name"),
        ({"type": "veth", "link": "br0\nlxc.hook.start = /x"}, "link", "one line"),
        ({"type": "veth", "script_up": "/x\0"}, "script_up", "one line"),
        ({"type": "veth", "script_up": "up.sh"}, "script_up", "begin with '/'"),
        ({"type": "veth", "veth_pair": "br0", "link": "br0"}, "veth_pair", "name of the link"),
        ({"type": "veth", "hwaddr": "00:16:3e:00:00"}, "hwaddr", "six pairs"),
        ({"type": "veth", "hwaddr": "0:16:3e:0:0:1"}, "hwaddr", "six pairs"),
        ({"type": "veth", "hwaddr": "00:16:3e:00:00:0g"}, "hwaddr", "six pairs"),
        ({"type": "veth", "hwaddr": ""}, "hwaddr", "six pairs"),
        ({"type": "veth", "hwaddr": "01:16:3e:00:00:01"}, "hwaddr", "second digit"),
        ({"type": "veth", "hwaddr": "xx:xx:xx:xx:xx:xx"}, "hwaddr", "second digit"),
        ({"type": "veth", "hwaddr": "00:00:00:00:00:00"}, "hwaddr", "not the address of one machine"),
        ({"type": "veth", "ipv4": ["10.0.0.1"]}, "ipv4[0]", "no prefix length, as in 10.0.0.1/24"),
        ({"type": "veth", "ipv4": ["10.0.0.1/24", "10.0.0.256/24"]}, "ipv4[1]", "'10.0.0.256' is not an IPv4 address"),
        ({"type": "veth", "ipv4": ["10.0.0.1/255.255.255.0"]}, "ipv4[0]", "from 0 to 32"),
        ({"type": "veth", "ipv4": ["10.0.0.1/33"]}, "ipv4[0]", "from 0 to 32"),
        ({"type": "veth", "ipv4": ["10.0.0.1/24 x"]}, "ipv4[0]", "'x' is not an IPv4 address"),
        ({"type": "veth", "ipv4": ["::1/64"]}, "ipv4[0]", "not an IPv4 address"),
        ({"type": "veth", "ipv4": ["10.0.0.1/24", "10.0.0.1/24"]}, "ipv4[1]", "twice"),
        ({"type": "veth", "ipv6": ["fe80::1%eth0/64"]}, "ipv6[0]", "not an IPv6 address"),
        ({"type": "veth", "ipv6": ["2001:db8::1/129"]}, "ipv6[0]", "from 0 to 128"),
        ({"type": "veth", "ipv6": ["2001:db8::1/64 ::2"]}, "ipv6[0]", "not one IPv6 address"),
        ({"type": "veth", "ipv4_gateway": "10.0.0.1/24"}, "ipv4_gateway", "not an IPv4 address, 'auto' or 'dev'"),
        ({"type": "ipvlan", "link": "e", "ipv4_gateway": "auto"}, "ipv4_gateway", "'auto' is for veth and macvlan"),
        ({"type": "veth", "ipv6_gateway": "::1", "up": False}, "ipv6_gateway", "not brought up"),
        ({"type": "veth", "ipv4_gateway": "dev", "ipv4": []}, "ipv4_gateway", "without an ipv4 address"),
        ({"type": "veth", "ipv4_gateway": "auto", "link": ""}, "ipv4_gateway", "there is none"),
        ({"type": "ipvlan", "link": "e", "l2proxy": True, "ipvlan_mode": "l2"}, "l2proxy", "l3s"),
        ({"type": "veth", "veth_ipv4_routes": ["10.0.0.1/24"]}, "veth_ipv4_routes[0]", "the network is 10.0.0.0/24"),
    ],
)
def test_refused_with_the_path(options: dict[str, Any], path: str, problem: str) -> None:
    with pytest.raises(InputError, match=re.escape(problem)) as caught:
        nics_from_options([{"type": "empty"}, {"index": 9, **options}])
    assert caught.value.path == f"networks[1].{path}"


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        ({"index": 1}, {}, "index"),
        ({"name": "eth0"}, {"name": "eth0"}, "name"),
        ({"veth_pair": "a"}, {"veth_pair": "a"}, "veth_pair"),
        ({"hwaddr": "00:16:3e:00:00:0A"}, {"hwaddr": "00:16:3e:00:00:0a"}, "hwaddr"),
    ],
)
def test_two_nics_share_nothing(first: dict[str, Any], second: dict[str, Any], path: str) -> None:
    with pytest.raises(InputError, match=r"is that of networks\[0\] too") as caught:
        nics_from_options([{"type": "veth", **first}, {"type": "veth", **second}])
    assert caught.value.path == f"networks[1].{path}"


def test_two_nics_may_have_one_pattern() -> None:
    nics_from_options([{"type": "veth", "hwaddr": "00:16:3e:xx:xx:xx"}] * 2)


def test_ansible_takes_the_spec() -> None:
    validator = ArgumentSpecValidator({"networks": {"type": "list", "elements": "dict", "options": NIC_OPTIONS}})
    result = validator.validate({"networks": [{**FULL, "mtu": "1500", "up": "yes"}, {"type": "none"}]})
    assert not result.error_messages
    found = nics_from_options(result.validated_parameters["networks"])
    assert found[0] == nic(**FULL)
    assert found[1].items() == [("type", ("none",))]
    assert validator.validate({"networks": [{}]}).error_messages
    assert validator.validate({"networks": [{"type": "bridge"}]}).error_messages


def test_every_subkey_is_one_of_liblxc() -> None:
    options: list[dict[str, Any]] = [
        FULL,
        {"type": "macvlan", "link": "e", "macvlan_mode": "bridge"},
        {"type": "ipvlan", "link": "e", "ipvlan_mode": "l2", "ipvlan_isolation": "bridge"},
        {"type": "vlan", "link": "e", "vlan_id": 1},
    ]
    used = set()
    for item in options:
        for subkey, values in nic(**item).items():
            row = lookup(f"lxc.net.0.{subkey}")
            assert row is not None, subkey
            assert row.multi or len(values) == 1, subkey
            check_key(f"lxc.net.0.{subkey}", (5, 0), "")
            used.update(item)
    assert used | {"index"} == set(NIC_OPTIONS)
    assert set(TYPES) == set(NIC_OPTIONS["type"]["choices"])


GROUPS = st.sampled_from(["", "0", "00", "1", "a", "0a", "fd00", "FFFF", "12345", "g"])


@example(["fd00", "0", "1", "", "1"])
@example(["1", "0", "", "1"])
@example(["1", "0", "0", "0", "1", "", "1"])
@example(["1", "2", "3", "4", "5", "6", "7", "", ""])
@given(st.lists(GROUPS, max_size=9))
def test_addresses_are_written_as_the_standard_library_does(groups: list[str]) -> None:
    text = ":".join(groups)
    try:
        expected = str(ipaddress.IPv6Address(text))
    except ValueError:
        with pytest.raises(InputError):
            nic(type="veth", ipv6=[f"{text}/64"])
    else:
        assert dict(nic(type="veth", ipv6=[f"{text}/64"]).settings)["ipv6.address"] == (f"{expected}/64",)


def test_addresses_cost_nothing_where_there_are_none(collections_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(collections_path)!r})\n"
        "from ansible_collections.lightervisor.lxc.plugins.module_utils._model.nic import nics_from_options\n"
        "nics_from_options([{'type': 'veth', 'link': 'lxcbr0', 'up': True, 'hwaddr': '00:16:3e:00:00:01'}])\n"
        "assert 'ipaddress' not in sys.modules and 'socket' not in sys.modules\n"
    )
    # Without site: a virtual environment's .pth files import what they like.
    subprocess.run([sys.executable, "-ISc", code], check=True)
