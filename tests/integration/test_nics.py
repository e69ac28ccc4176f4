# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What typed NICs become is what the installed liblxc reads, and starts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.wait import wait_for
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.nic import nics_from_options

#: Spellings in which liblxc reads a value back.
READ_BACK = {"veth.vlan.id": {"none": "-1"}}


def config_of(networks: list[dict[str, Any]]) -> list[str]:
    return [
        f"lxc.net.{nic.index}.{subkey} = {value}"
        for nic in nics_from_options(networks)
        for subkey, values in nic.items(new=True)
        for value in values
    ]


def lxc(tool: str, lxcpath: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [f"lxc-{tool}", "-P", str(lxcpath), "-n", "bb", *args], check=False, capture_output=True, text=True
    )


EVERYTHING: list[dict[str, Any]] = [
    {
        "type": "veth", "link": "nobr", "name": "eth0", "hwaddr": "00:16:3e:00:00:01", "mtu": 1400,
        "veth_mode": "bridge", "veth_pair": "lvt-pair", "veth_vlan_id": "7", "veth_vlan_tagged": [8, 9],
        "veth_rxqueues": 2, "veth_txqueues": 3, "l2proxy": True, "ipv4": ["192.0.2.5/24", "192.0.2.6/32"],
        "ipv4_gateway": "192.0.2.1", "ipv6": ["2001:db8::5/64"], "ipv6_gateway": "2001:db8::1",
        "veth_ipv4_routes": ["198.51.100.0/24"], "veth_ipv6_routes": ["2001:db8:1::/48"],
        "script_up": "/bin/true up", "script_down": "/bin/true down",
    },
    {"type": "macvlan", "link": "nolink", "macvlan_mode": "vepa", "ipv4_gateway": "auto"},
    {"type": "ipvlan", "link": "nolink", "ipvlan_mode": "l3s", "ipvlan_isolation": "private", "ipv4_gateway": "dev"},
    {"type": "vlan", "link": "nolink", "vlan_id": 4094},
    {"type": "phys", "link": "nolink", "name": "eth9"},
    {"type": "empty"},
    {"type": "none"},
]  # fmt: skip


def test_liblxc_reads_every_option(lxcpath: Path, busybox: Callable[..., str]) -> None:
    busybox(config=config_of(EVERYTHING))
    for nic in nics_from_options(EVERYTHING):
        for subkey, values in nic.items(new=True):
            done = lxc("info", lxcpath, "-H", "-c", f"lxc.net.{nic.index}.{subkey}")
            assert done.returncode == 0, (subkey, done.stderr)
            spelled = READ_BACK.get(subkey, {})
            assert done.stdout.split() == [spelled.get(v, v) for value in values for v in value.split()], subkey


def test_a_veth_and_what_it_is_given(lxcpath: Path, busybox: Callable[..., str], bridge: str) -> None:
    networks = [
        {
            "type": "veth", "link": bridge, "name": "lan0", "hwaddr": "00:16:3e:00:00:02", "mtu": 1400,
            "ipv4": ["192.0.2.5/24", "192.0.2.77/32"], "ipv4_gateway": "192.0.2.1", "ipv6": ["2001:db8::5/64"],
        },
        {"type": "veth", "veth_mode": "router", "name": "lan1", "veth_txqueues": 2, "ipv4": ["198.51.100.9/32"]},
    ]  # fmt: skip
    busybox(config=config_of(networks))
    started = lxc("start", lxcpath, "-l", "ERROR", "-o", str(lxcpath / "log"))
    assert started.returncode == 0, (lxcpath / "log").read_text()
    waited = wait_for(["ipv4", "ipv6"], "bb", str(lxcpath), 10, ["lan0"])
    found = {i.name: i for i in waited.interfaces}
    assert found["lan0"].hwaddr == "00:16:3e:00:00:02"
    assert {"192.0.2.5/24", "192.0.2.77/32"} <= set(found["lan0"].ipv4)
    assert "2001:db8::5/64" in found["lan0"].ipv6
    assert "198.51.100.9/32" in found["lan1"].ipv4
    inside = lxc("attach", lxcpath, "--", "ip", "route").stdout
    assert "default via 192.0.2.1 dev lan0" in inside
    assert "mtu 1400" in lxc("attach", lxcpath, "--", "ip", "link", "show", "lan0").stdout


@pytest.mark.parametrize("kind", ["macvlan", "vlan", "ipvlan"])
def test_nics_on_a_host_link(lxcpath: Path, busybox: Callable[..., str], bridge: str, kind: str) -> None:
    probe = f"{bridge[:12]}p"
    made = subprocess.run(
        ["ip", "link", "add", "link", bridge, "name", probe, "type", kind, *(["id", "5"] if kind == "vlan" else [])],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"this kernel has no {kind}: {made.stderr.strip()}")
    subprocess.run(["ip", "link", "del", probe], check=True)
    more = {"macvlan": {"macvlan_mode": "bridge"}, "vlan": {"vlan_id": 7}, "ipvlan": {"ipvlan_mode": "l2"}}[kind]
    busybox(config=config_of([{"type": kind, "link": bridge, "name": "up0", "ipv4": ["192.0.2.8/24"], **more}]))
    started = lxc("start", lxcpath, "-l", "ERROR", "-o", str(lxcpath / "log"))
    assert started.returncode == 0, (lxcpath / "log").read_text()
    waited = wait_for(["ipv4"], "bb", str(lxcpath), 10, ["up0"])
    assert "192.0.2.8/24" in next(i for i in waited.interfaces if i.name == "up0").ipv4
