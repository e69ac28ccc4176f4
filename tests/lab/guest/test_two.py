# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two guests with two cables between them."""

from __future__ import annotations

import shlex
from typing import Iterator

import pytest

from .conftest import run, until
from .test_links import details, ip

pytestmark = pytest.mark.two
UP = """
ip link add lvtbond type bond mode 802.3ad miimon 100 lacp_rate fast
for link in eth1 eth2; do ip link set $link down; ip link set $link master lvtbond; done
ip addr add 10.79.0.{number}/24 dev lvtbond
ip link set lvtbond up
"""
DOWN = """
ip link delete lvtbond
ip link set eth1 up
ip link set eth2 up
"""


def on_two(*command: str, address: str = "two") -> str:
    """What a command prints in the other guest."""
    return run("ssh", address, shlex.join(command)).stdout


def later_on_two(script: str, address: str = "two") -> None:
    """Have the other guest do something that may cut this connection."""
    on_two("systemd-run", "--quiet", "--collect", "--on-active=2", "sh", "-c", script, address=address)


@pytest.fixture
def bond() -> Iterator[None]:
    """The two cables as one, at both ends."""
    addresses = run("ip", "-j", "addr", "show").stdout
    assert "10.79.0." not in addresses
    later_on_two(UP.format(number=2))
    run("sh", "-ec", UP.format(number=1))
    try:
        yield
    finally:
        try:
            later_on_two(DOWN, "10.79.0.2")
        finally:
            run("sh", "-c", DOWN)
        # Who asks while the link comes up waits long for TCP's next try. The limit holds for the key exchange too.
        knock = ("ssh", "-o", "ConnectTimeout=10", "two", "true")
        until(lambda: run(*knock, check=False).returncode == 0, "the other guest over a single cable", 120)


def test_ssh_to_the_other_guest():
    assert run("hostname").stdout == "one\n"
    assert on_two("hostname") == "two\n"


def test_bond_becomes_the_partner_of_the_other_guests(bond):
    until(lambda: details("lvtbond").get("ad_info", {}).get("num_ports") == 2, "two ports in the aggregator")
    run("ping", "-n", "-q", "-c", "1", "-W", "5", "10.79.0.2")
    other = on_two("cat", "/sys/class/net/lvtbond/address", address="10.79.0.2").strip()
    assert details("lvtbond")["ad_info"]["partner_mac"] == other
    ip("link set eth1 down")
    until(lambda: details("lvtbond")["ad_info"]["num_ports"] == 1, "one port in the aggregator")
    assert on_two("hostname", address="10.79.0.2") == "two\n"
