# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The worlds of playbooks/world: what the template makes of a description, and that its routes lead everywhere."""

from __future__ import annotations

import ipaddress
import json
from collections import Counter
from pathlib import Path
from typing import Any, Iterable

import jinja2
import pytest
import yaml
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.fleet_names import Template, expand_names

WORLDS = Path(__file__).resolve().parents[2] / "playbooks" / "world"
SITE = ipaddress.IPv6Network("fd6c:7674:9e15::/48")
ROUTES = "WORLD_ROUTES="


def items(description: str, first: int = 1, last: int = 2) -> list[dict[str, Any]]:
    """What the playbook hands to lxc_fleet."""
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["to_json"] = json.dumps
    text = environment.from_string((WORLDS / "containers.yml.j2").read_text()).render(
        world=yaml.safe_load((WORLDS / "descriptions" / f"{description}.yml").read_text())["world"],
        worlds_bases={"bird": "/srv/bird.tar.xz"},
        __worlds_prefix="w-",
        __worlds_directory="/srv/worlds",
        __worlds_site="fd6c:7674:9e15:",
        __worlds_first=first,
        __worlds_last=last,
    )
    made = yaml.safe_load(text)
    assert isinstance(made, list)
    return made


def guests(description: str, last: int = 2) -> dict[str, dict[str, Any]]:
    """Every container by its name, the bases left out."""
    found = {}
    for item in items(description, last=last):
        for place in expand_names(item.get("names", [])):
            found[place.name] = Template(item).fill(place)
    return found


def network_of(address: str) -> ipaddress.IPv6Network:
    return ipaddress.IPv6Interface(address).network


def addresses(guest: dict[str, Any]) -> Iterable[str]:
    return (address for nic in guest["networks"] for address in nic["ipv6"])


def routes(guest: dict[str, Any]) -> dict[ipaddress.IPv6Network, ipaddress.IPv6Address]:
    """Its routes beside those to its own networks, the default route as ::/0."""
    found = {}
    for line in guest["config"]["lxc.environment"] or ():
        if line.startswith(ROUTES):
            for route in line[len(ROUTES) :].split():
                network, router = route.split("=")
                found[ipaddress.IPv6Network(network)] = ipaddress.IPv6Address(router)
    for nic in guest["networks"]:
        if "ipv6_gateway" in nic:
            default = ipaddress.IPv6Network("::/0")
            assert default not in found, "two default routes"
            found[default] = ipaddress.IPv6Address(nic["ipv6_gateway"])
    return found


@pytest.mark.parametrize("description", ["small", "contest", "bgp"])
def test_every_address_is_unique_and_belongs_to_its_team_and_bridge(description: str) -> None:
    worlds = guests(description)
    every = [address for guest in worlds.values() for address in addresses(guest)]
    assert len(every) == len(set(every))
    for name, guest in worlds.items():
        team = int(name[len("w-t") :][:3])
        for nic in guest["networks"]:
            (address,) = nic["ipv6"]
            network = network_of(address)
            assert network.subnet_of(SITE) and network.prefixlen == 64
            digits = nic["link"][len("w-") :]
            assert network.network_address.exploded.split(":")[3] == digits
            assert int(digits[:2], 16) == team
            assert len(nic["link"]) <= 15


@pytest.mark.parametrize("description", ["small", "contest"])
def test_static_routes_lead_from_every_guest_to_every_network_of_its_world(description: str) -> None:
    worlds = guests(description, last=1)
    owner = {str(ipaddress.IPv6Interface(a).ip): name for name, guest in worlds.items() for a in addresses(guest)}
    networks = {network_of(address) for guest in worlds.values() for address in addresses(guest)}
    for begin in worlds:
        for target in networks:
            here, hops = begin, 0
            while target not in {network_of(address) for address in addresses(worlds[here])}:
                assert here == begin or worlds[here]["config"]["lxc.sysctl.net.ipv6.conf.all.forwarding"] == 1, here
                ways = [way for way in routes(worlds[here]) if target.subnet_of(way)]
                assert ways, f"{here} has no route to {target}"
                router = routes(worlds[here])[max(ways, key=lambda way: way.prefixlen)]
                assert any(router in network_of(address) for address in addresses(worlds[here])), f"{here}: {router}"
                here, hops = owner[str(router)], hops + 1
                assert hops < 10, f"a loop on the way from {begin} to {target}"


def test_both_ends_of_a_bgp_session_name_each_other() -> None:
    worlds = guests("bgp", last=1)
    sessions, routers = Counter[frozenset[str]](), {}
    for name, guest in worlds.items():
        environment = dict(line.split("=", 1) for line in guest["config"]["lxc.environment"] or ())
        if "WORLD_ASN" in environment:
            routers[environment["WORLD_ASN"]] = guest
            for peer in environment["WORLD_PEERS"].split():
                sessions[frozenset((environment["WORLD_ASN"], peer.split("=")[1]))] += 1
                address = ipaddress.IPv6Address(peer.split("=")[0])
                assert any(address in network_of(one) for one in addresses(guest)), f"{name}: {peer} is not a neighbour"
    assert len(routers) == 4 and len(sessions) == 4
    assert set(sessions.values()) == {2}


def test_eighty_seven_contest_worlds_are_a_whole_contest_host_in_few_items() -> None:
    made = items("contest", last=87)
    worlds = guests("contest", last=87)
    nics = [nic for guest in worlds.values() for nic in guest["networks"]]
    assert len(worlds) == 3741 >= 3700
    assert len(nics) == 10527 >= 10500
    assert len({nic["link"] for nic in nics}) == 435
    assert sum(len(routes(guest)) for guest in worlds.values()) == 4437 >= 4375
    forwarding = [g for g in worlds.values() if g["config"]["lxc.sysctl.net.ipv6.conf.all.forwarding"] == 1]
    assert len(forwarding) == 3567 >= 3500
    assert max(Counter(nic["link"] for nic in nics).values()) <= 1023
    assert len(made) == 44
    assert len(json.dumps(made)) < 30_000


def test_a_base_with_a_file_system_is_made_from_its_tarball() -> None:
    bases = [item for item in items("bgp") if "name" in item]
    assert [base["name"] for base in bases] == ["w-bird", "w-busybox"]
    assert bases[0]["template"]["arguments"] == ["--fstree", "/srv/bird.tar.xz"]
    assert bases[1]["template"]["arguments"] == []
