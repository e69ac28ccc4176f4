# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Network interfaces as the guest sees them, and addresses that stay."""

from __future__ import annotations

import subprocess

import pytest


def test_addresses_mtu_and_names_in_the_guest(lab, bridge):
    nics = [
        {
            "type": "veth",
            "link": bridge,
            "name": "lan",
            "mtu": 1400,
            "hwaddr": "00:16:3e:aa:bb:cc",
            "ipv4": ["198.18.1.2/24", "198.18.2.2/24"],
            "ipv4_gateway": "198.18.1.1",
            "ipv6": ["2001:db8:1::2/64"],
            "ipv6_gateway": "2001:db8:1::1",
        },
        {"type": "veth", "link": bridge, "name": "dmz", "up": False},
        {"type": "empty"},
    ]
    done = lab.cycle("c", template={"name": "busybox"}, networks=nics, state="started")
    shown = lab.in_guest("c", "/bin/ip", "addr", "show", "lan")
    for text in ("mtu 1400", "00:16:3e:aa:bb:cc", "198.18.1.2/24", "198.18.2.2/24", "2001:db8:1::2/64", "UP"):
        assert text in shown
    assert "default via 198.18.1.1 dev lan" in lab.in_guest("c", "/bin/ip", "route")
    assert "default via 2001:db8:1::1 dev lan" in lab.in_guest("c", "/bin/ip", "-6", "route")
    assert ",UP" not in lab.in_guest("c", "/bin/ip", "link", "show", "dmz")
    lan = next(one for one in done["container"]["interfaces"] if one["name"] == "lan")
    assert lan["hwaddr"] == "00:16:3e:aa:bb:cc"
    assert lan["ipv4"] == ["198.18.1.2/24", "198.18.2.2/24"]
    ports = subprocess.run(["ip", "-o", "link", "show", "master", bridge], check=True, capture_output=True, text=True)
    assert len(ports.stdout.splitlines()) == 2


def test_a_mac_once_chosen_stays(lab, bridge):
    nics = [{"type": "veth", "link": bridge}, {"type": "veth", "link": bridge, "hwaddr": "02:xx:xx:00:00:xx"}]
    lab.make(networks=nics, state="started")
    macs = [lab.lines("c", f"lxc.net.{n}.hwaddr")[0] for n in (0, 1)]
    assert macs[1].startswith("02:") and macs[1][8:14] == ":00:00"
    assert "x" not in "".join(macs)
    lab.cycle("c", networks=nics, state="restarted", repeat=False, shutdown_timeout=0)
    lab.cycle("c", networks=[{**nics[0], "mtu": 1300}, nics[1]], restart="if_needed", shutdown_timeout=0)
    assert [lab.lines("c", f"lxc.net.{n}.hwaddr")[0] for n in (0, 1)] == macs
    for n in (0, 1):
        assert lab.in_guest("c", "/bin/cat", f"/sys/class/net/eth{n}/address") == macs[n]
    # Made anew, it is the same again; in another lxcpath or by another name it is another one.
    lab.task("c", state="absent", shutdown_timeout=0)
    lab.make(networks=nics)
    assert lab.lines("c", "lxc.net.0.hwaddr") == macs[:1]
    lab.make("d", networks=nics)
    assert lab.lines("d", "lxc.net.0.hwaddr") != macs[:1]


def test_change_add_remove_purge(lab, bridge):
    lab.make(networks=[{"type": "veth", "link": bridge}])
    lab.cycle(
        "c", networks=[{"type": "veth", "link": bridge}, {"type": "veth", "link": bridge, "ipv4": ["198.18.1.2/24"]}]
    )
    lab.cycle("c", networks=[{"index": 1, "type": "veth", "ipv4": []}])
    assert not lab.lines("c", "lxc.net.1.ipv4.address")
    assert lab.lines("c", "lxc.net.1.link") == [bridge]
    lab.cycle("c", networks=[{"index": 1, "type": "veth"}], purge_networks=True)
    assert "lxc.net.0." not in lab.config("c")
    lab.cycle("c", networks=[{"index": 1, "type": "empty"}])
    assert not lab.lines("c", "lxc.net.1.link") and not lab.lines("c", "lxc.net.1.hwaddr")
    lab.cycle("c", networks=[], purge_networks=True)
    assert "lxc.net." not in lab.config("c")
    lab.cycle("c", networks=[{"type": "veth", "link": bridge}], state="started")
    assert "eth0" in lab.in_guest("c", "/bin/ls", "/sys/class/net")


@pytest.mark.parametrize("kind", ["macvlan", "vlan", "ipvlan"])
def test_other_types_run(lab, bridge, kind):
    more = {"macvlan": {"macvlan_mode": "bridge"}, "vlan": {"vlan_id": 7}, "ipvlan": {"ipvlan_mode": "l2"}}[kind]
    nic = {"type": kind, "link": bridge, "name": "net0", "ipv4": ["198.18.3.2/24"], **more}
    done = lab.task("c", template={"name": "busybox"}, networks=[nic], state="started", fails=None)
    if done.get("failed") and "not supported" in done["msg"].lower():
        pytest.skip(f"this kernel has no {kind}")
    assert not done.get("failed"), done.get("msg")
    assert "198.18.3.2/24" in lab.in_guest("c", "/bin/ip", "addr", "show", "net0")
    lab.unchanged("c", networks=[nic], state="started")


@pytest.mark.parametrize(
    ("nic", "path"),
    [
        ({"type": "veth", "hwaddr": "zz"}, "networks[0].hwaddr"),
        ({"type": "veth", "link": "much-too-long-a-name"}, "networks[0].link"),
        ({"type": "veth", "link": "a/b"}, "networks[0].link"),
        ({"type": "veth", "link": "br0\nlxc.idmap ="}, "networks[0].link"),
        ({"type": "veth", "ipv4": ["198.18.0.1"]}, "networks[0].ipv4[0]"),
        ({"type": "veth", "ipv4": ["198.18.0.1/24\nlxc.hook.start = /x"]}, "networks[0].ipv4[0]"),
        ({"type": "veth", "vlan_id": 3}, "networks[0].vlan_id"),
        ({"type": "vlan", "link": "br0"}, "networks[0].vlan_id"),
        ({"type": "veth", "mtu": 3}, "networks[0].mtu"),
        ({"type": "veth", "script_up": "x"}, "networks[0].script_up"),
    ],
)
def test_what_is_no_interface_is_refused_with_its_path(lab, nic, path):
    lab.make()
    assert lab.refused("c", networks=[nic])["path"] == path
    assert lab.refused("d", template={"name": "busybox"}, networks=[nic])["path"] == path


def test_missing_bridge_fails_fast_with_the_reason_and_nothing_changes(lab):
    """The peer: 66 s and no reason."""
    lab.make("old", state="stopped", networks=[{"type": "empty"}])
    nic = [{"type": "veth", "link": "lvt-nobridge"}]
    begin = lab.config("old")
    done = lab.task("old", state="started", networks=nic, fails=True)
    assert done.seconds < 3
    assert "lvt-nobridge" in done["msg"]
    assert done["msg"].startswith("Cannot start container 'old': ")
    assert "Undone: the config of 'old' is as before" in done["msg"]
    assert (lab.config("old"), lab.state("old")) == (begin, "STOPPED")
    done = lab.task("new", state="started", template={"name": "busybox"}, networks=nic, fails=True)
    assert done.seconds < 5
    assert "lvt-nobridge" in done["msg"]
    assert lab.names() == ["old"]


def test_running_container_runs_again_after_a_failed_restart(lab, bridge):
    lab.make(state="started", networks=[{"type": "veth", "link": bridge}])
    begin = lab.config("c")
    options = {"networks": [{"type": "veth", "link": "lvt-nobridge"}], "restart": "if_needed", "shutdown_timeout": 0}
    done = lab.task("c", fails=True, **options)
    assert "'c' runs again" in done["msg"]
    assert (lab.config("c"), lab.state("c")) == (begin, "RUNNING")
    lab.task("c", state="frozen")
    done = lab.task("c", fails=True, **options)
    assert (lab.config("c"), lab.state("c")) == (begin, "FROZEN")
