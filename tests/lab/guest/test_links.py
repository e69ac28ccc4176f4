# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bonds, VLANs and bridges of the guest's kernel, by plain `ip` and `bridge`, with traffic through them."""

from __future__ import annotations

import json
import os

from .conftest import run, until


def details(link: str, *where: str) -> dict:
    (found,) = json.loads(run("ip", *where, "-j", "-d", "link", "show", "dev", link).stdout)
    return found["linkinfo"]["info_data"]


def ip(batch: str, *where: str) -> None:
    """Carry out lines of `ip`'s, all by one process."""
    run("ip", *where, "-batch", "-", input="\n".join(line.strip() for line in batch.splitlines() if line.strip()))


def answers(namespace: str, address: str, seconds: int = 5) -> bool:
    """Whether the address answers who asks from that namespace."""
    ping = ("ping", "-n", "-q", "-c", "1", "-W", seconds, address)
    return run("ip", "netns", "exec", namespace, *ping, check=False).returncode == 0


def remove(*links: str) -> None:
    for link in links:
        run("ip", "link", "delete", link, check=False)


def test_lacp_bond_with_vlans_and_bridges_on_it(namespace, containers, template):
    """Two cables to a partner that bonds its ends as well; two VLANs through them, each a bridge here."""
    try:
        for number in (0, 1):
            ip(f"link add lvta{number} type veth peer name lvtb{number} netns {namespace}")
        for side, where in (("a", ()), ("b", ("-n", namespace))):
            ip(
                f"""link add lvtbond{side} type bond mode 802.3ad miimon 100 lacp_rate fast
                link set lvt{side}0 master lvtbond{side}
                link set lvt{side}1 master lvtbond{side}
                link set lvtbond{side} up""",
                *where,
            )
        until(lambda: details("lvtbonda").get("ad_info", {}).get("num_ports") == 2, "two ports in the aggregator")
        info = details("lvtbonda")
        assert info["mode"] == "802.3ad"
        assert info["ad_info"]["partner_mac"] not in ("00:00:00:00:00:00", "")
        for vlan in (10, 20):
            ip(
                f"""link add link lvtbonda name lvta.{vlan} type vlan id {vlan}
                link add lvtbr{vlan} type bridge forward_delay 0
                link set lvta.{vlan} master lvtbr{vlan}
                link set lvta.{vlan} up
                addr add 10.77.{vlan}.1/24 dev lvtbr{vlan}
                link set lvtbr{vlan} up"""
            )
            ip(
                f"""link add link lvtbondb name lvtb.{vlan} type vlan id {vlan}
                addr add 10.77.{vlan}.2/24 dev lvtb.{vlan}
                link set lvtb.{vlan} up""",
                "-n",
                namespace,
            )
        assert details("lvta.20")["id"] == 20
        for vlan in (10, 20):
            until(lambda vlan=vlan: answers(namespace, f"10.77.{vlan}.1"), f"an answer through VLAN {vlan}")

        lines = ["lxc.net.0.type = veth", "lxc.net.0.link = lvtbr10", "lxc.net.0.flags = up"]
        (containers.path / "net.conf").write_text("\n".join([*lines, "lxc.net.0.ipv4.address = 10.77.10.3/24", ""]))
        run("lxc-create", "-P", containers.path, "-n", "c", "-f", containers.path / "net.conf", "-t", template)
        containers.lxc("start", "c")
        until(lambda: answers(namespace, "10.77.10.3"), "an answer of the container on the VLAN's bridge")

        # It goes on over the other cable when one is cut.
        run("ip", "link", "set", "lvta0", "down")
        until(lambda: details("lvtbonda")["ad_info"]["num_ports"] == 1, "one port in the aggregator")
        until(lambda: answers(namespace, "10.77.10.3"), "an answer over the cable that is left")
    finally:
        remove("lvtbr10", "lvtbr20", "lvta.10", "lvta.20", "lvtbonda", "lvta0", "lvta1")


def test_bond_of_dummies_fails_over():
    try:
        ip(
            """link add lvtd0 type dummy
            link add lvtd1 type dummy
            link add lvtbond type bond mode active-backup miimon 100
            link set lvtd0 master lvtbond
            link set lvtd1 master lvtbond
            link set lvtbond up"""
        )
        first = until(lambda: details("lvtbond").get("active_slave"), "an active port")
        run("ip", "link", "set", first, "down")
        until(lambda: details("lvtbond").get("active_slave") not in (first, None), "another active port")
        run("ip", "link", "set", "lvtbond", "down")
        with open("/sys/class/net/lvtbond/bonding/slaves") as ports:
            assert sorted(ports.read().split()) == ["lvtd0", "lvtd1"]
    finally:
        remove("lvtbond", "lvtd0", "lvtd1")


def test_bridge_that_filters_vlans(namespace):
    """Three ports, two of them in VLAN 30 and one in 40, all with addresses of one network."""
    others = [f"{namespace}-{number}" for number in (1, 2)]
    vlans = {namespace: 30, others[0]: 30, others[1]: 40}
    try:
        for other in others:
            run("ip", "netns", "add", other)
        ip("link add lvtbrv type bridge vlan_filtering 1 vlan_default_pvid 0 forward_delay 0")
        for number, (where, vlan) in enumerate(vlans.items()):
            ip(
                f"""link add lvtv{number} type veth peer name eth0 netns {where}
                link set lvtv{number} master lvtbrv
                link set lvtv{number} up"""
            )
            ip(f"addr add 10.78.0.{number + 1}/24 dev eth0\nlink set eth0 up", "-n", where)
            run("bridge", "vlan", "add", "dev", f"lvtv{number}", "vid", vlan, "pvid", "untagged")
        run("ip", "link", "set", "lvtbrv", "up")
        assert details("lvtbrv")["vlan_filtering"] == 1
        (port,) = json.loads(run("bridge", "-j", "vlan", "show", "dev", "lvtv2").stdout)
        assert [vlan["vlan"] for vlan in port["vlans"]] == [40]
        until(lambda: answers(namespace, "10.78.0.2"), "an answer within the VLAN")
        assert not answers(namespace, "10.78.0.3", 1)
        run("bridge", "vlan", "add", "dev", "lvtv2", "vid", 30, "pvid", "untagged")
        until(lambda: answers(namespace, "10.78.0.3"), "an answer of who has joined the VLAN")
    finally:
        remove("lvtbrv", *(f"lvtv{number}" for number in range(3)))
        for other in others:
            if os.path.exists(f"/run/netns/{other}"):
                run("ip", "netns", "delete", other)
