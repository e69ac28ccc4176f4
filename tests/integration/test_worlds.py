# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/worlds.yml: isolated worlds of one description, brought up and taken down again; and the role fleet."""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
import yaml
from ansible_collections.lightervisor.lxc.tests.support import leftovers

from .conftest import RUN, PlaybookResult

PREFIX = leftovers.bridge_prefix(RUN) + "w"
RECORDS = Path("/var/lib/lightervisor/worlds", PREFIX)
CONTAINERS = "Make the containers"
NODES = ("desk", "east", "safe", "west")


def tool(*args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(arg) for arg in args], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 or not check, f"{args}: {done.stdout}{done.stderr}"
    return done


def until(true: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "it did not come about in time"
        select.select([], [], [], 0.1)
    return value


def bridges(prefix: str = PREFIX) -> list[str]:
    return sorted(path.name for path in Path("/sys/class/net").glob(f"{prefix}[0-9a-f]*") if (path / "bridge").exists())


def tables() -> list[str]:
    """The nftables tables that mention our bridges."""
    rules = json.loads(tool("nft", "-j", "list", "ruleset").stdout)["nftables"]
    return sorted({rule["rule"]["table"] for rule in rules if f'"{PREFIX}*"' in json.dumps(rule.get("rule"))})


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


class Worlds:
    """The playbook for this test's lxcpath, and ways into the guests."""

    def __init__(self, run: Callable[..., PlaybookResult], checkout: Path, lxcpath: Path, folder: Path) -> None:
        self.lxcpath = lxcpath
        self.folder = folder
        self.script = checkout / "playbooks" / "world" / "bridges"
        self._run = run
        self._playbook = checkout / "playbooks" / "worlds.yml"

    def play(
        self, *args: str, fails: bool | None = False, hosts: dict[str, Any] | None = None, **options: Any
    ) -> PlaybookResult:
        """Run it with these variables, without the part `worlds_` of their names."""
        everyone = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        inventory = self.folder / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"lxc_hosts": {"hosts": hosts or {"here": {}}, "vars": everyone}}))
        values = {"prefix": PREFIX, "lxcpath": str(self.lxcpath), **options}
        if hosts:
            del values["prefix"], values["lxcpath"]
        extra = json.dumps({f"worlds_{name}": value for name, value in values.items()})
        return self._run(self._playbook, "-i", inventory, "-e", extra, *args, fails=fails)

    def bridges(self, verb: str, last: int, *networks: int) -> subprocess.CompletedProcess[str]:
        return tool(self.script, verb, RECORDS, PREFIX, 1, last, *networks, check=False)

    def guest(self, team: int, node: str, *command: object) -> subprocess.CompletedProcess[str]:
        name = f"{PREFIX}t{team:03}-{node}"
        return tool("lxc-attach", "-P", self.lxcpath, "-n", name, "--clear-env", "--", *command, check=False)

    def reaches(self, team: int, node: str, address: str) -> bool:
        return self.guest(team, node, "ping", "-c", 1, "-W", 2, address).returncode == 0


@pytest.fixture
def worlds(
    run_playbook: Callable[..., PlaybookResult], checkout: Path, lxcpath: Path, tmp_path: Path
) -> Iterator[Worlds]:
    made = Worlds(run_playbook, checkout, lxcpath, tmp_path)
    try:
        yield made
    finally:
        leftovers.clear_lxcpath(lxcpath)
        made.bridges("remove", 0)
        shutil.rmtree(RECORDS, ignore_errors=True)


def address(team: int, network: int, host: str) -> str:
    return f"fd6c:7674:9e15:{team:02x}{network:02x}::{host}"


@pytest.mark.usefixtures("subids")
def test_two_worlds_come_up_apart_from_each_other_and_go_again(worlds: Worlds) -> None:
    foreseen = worlds.play("--check")
    assert names(worlds.lxcpath) == [] and bridges() == [] and tables() == [] and not RECORDS.exists()
    made = worlds.play()
    assert [event["result"]["changed"] for event in made.events if "changed" in event["result"]] == [
        event["result"]["changed"] for event in foreseen.events if "changed" in event["result"]
    ]
    assert made.changed == 3
    counts = made.result(CONTAINERS)["counts"]
    assert (counts["create"], counts["clone"], counts["start"]) == (1, 8, 8)
    assert names(worlds.lxcpath) == [f"{PREFIX}busybox"] + [f"{PREFIX}t00{t}-{node}" for t in (1, 2) for node in NODES]
    assert bridges() == [f"{PREFIX}{team:02x}{network:02x}" for team in (1, 2) for network in (1, 2, 3)]
    maps = {path.read_text().partition("lxc.idmap = ")[2].splitlines()[0] for path in worlds.lxcpath.glob("*/config")}
    assert len(maps) == 1, "the guests have the files of one base, and so its ids"

    # From end to end over both routers, there and back, in each of the worlds.
    for team in (1, 2):
        until(lambda team=team: worlds.reaches(team, "desk", address(team, 3, "10")))
        until(lambda team=team: worlds.reaches(team, "safe", address(team, 1, "10")))
    # Out of the world: no route, no neighbour on the same cable, and no host.
    assert not worlds.reaches(1, "desk", address(2, 1, "10"))
    foreign = address(2, 1, "99") + "/64"
    assert worlds.guest(1, "desk", "ip", "-6", "addr", "add", foreign, "dev", "eth0").returncode == 0
    assert not worlds.reaches(1, "desk", address(2, 1, "10"))

    again = worlds.play()
    assert again.changed == 0 and again.result(CONTAINERS)["counts"]["unchanged"] == 9
    assert worlds.play("--check").changed == 0

    foreseen = worlds.play("--check", state="absent")
    assert foreseen.result(CONTAINERS)["counts"]["destroy"] == 9
    assert len(names(worlds.lxcpath)) == 9 and len(bridges()) == 6
    gone = worlds.play(state="absent")
    assert gone.changed == foreseen.changed == 3
    assert names(worlds.lxcpath) == [] and bridges() == [] and tables() == [] and not RECORDS.exists()
    assert worlds.play(state="absent").changed == 0


def test_the_host_does_not_hear_its_guests(worlds: Worlds) -> None:
    """What a guest sends to all nodes on the cable reaches its router, and on the host a rule that drops it."""
    worlds.play(privileged=True, teams=1)
    bridge = f"{PREFIX}0101"
    assert json.loads(tool("ip", "-j", "addr", "show", "dev", bridge).stdout)[0]["addr_info"] == []

    def dropped() -> int:
        (table,) = tables()
        rules = json.loads(tool("nft", "-j", "list", "chain", "inet", table, "input").stdout)["nftables"]
        (rule,) = [rule["rule"] for rule in rules if "rule" in rule]
        return int(next(part["counter"]["packets"] for part in rule["expr"] if "counter" in part))

    before = dropped()
    until(lambda: worlds.reaches(1, "desk", "ff02::1%eth0"))
    assert dropped() > before


def test_worlds_that_shrink_lose_the_teams_and_bridges_that_are_no_more(worlds: Worlds) -> None:
    worlds.play(privileged=True, teams=3)
    tool("ip", "link", "set", f"{PREFIX}0102", "arp", "on")
    tool("ip", "link", "delete", f"{PREFIX}0103")
    stranger = worlds.lxcpath / f"{PREFIX}t003-own" / "config"
    stranger.parent.mkdir()
    stranger.write_text("lxc.uts.name = own\n")
    result = worlds.play(privileged=True, teams=2)
    assert bridges() == [f"{PREFIX}{team:02x}{network:02x}" for team in (1, 2) for network in (1, 2, 3)]
    assert "NOARP" in json.loads(tool("ip", "-j", "link", "show", f"{PREFIX}0102").stdout)[0]["flags"]
    assert result.result(CONTAINERS)["counts"]["destroy"] == 4
    assert f"{PREFIX}t002-safe" in names(worlds.lxcpath)
    assert [name for name in names(worlds.lxcpath) if "t003" in name] == [f"{PREFIX}t003-own"]


def test_a_bridge_of_somebody_else_is_left_alone(worlds: Worlds) -> None:
    taken, free = f"{PREFIX}0102", f"{PREFIX}0909"
    try:
        for name in (taken, free):
            tool("ip", "link", "add", name, "type", "bridge")
        refused = worlds.play(teams=1, privileged=True, fails=True)
        assert taken in refused.result("Make the bridges")["stderr"] and free not in refused.stdout
        assert bridges() == [taken, free] and names(worlds.lxcpath) == [] and tables() == []
        tool("ip", "link", "delete", taken)
        worlds.bridges("add", 1, 1, 2)
        worlds.bridges("remove", 0)
        assert bridges() == [free]
    finally:
        leftovers.remove_link(taken)
        leftovers.remove_link(free)


def test_bridges_that_were_being_removed_are_taken_up_again(worlds: Worlds) -> None:
    """A killed removal leaves bridges in the group of what is to go."""
    assert worlds.bridges("add", 1, 1, 2, 3).stdout.split()[:4] == ["add", "4", "remove", "0"]
    group = json.loads(tool("ip", "-j", "link", "show", f"{PREFIX}0101").stdout)[0]["group"]
    doomed = int(group) | 0x40000000
    for network in (1, 2):
        tool("ip", "link", "set", f"{PREFIX}010{network}", "group", doomed)
    assert worlds.bridges("plan", 1, 1, 3).stdout.split()[:4] == ["add", "1", "remove", "1"]
    worlds.bridges("add", 1, 1, 3)
    worlds.bridges("remove", 1, 1, 3)
    assert bridges() == [f"{PREFIX}0101", f"{PREFIX}0103"]
    assert worlds.bridges("plan", 1, 1, 3).stdout.split()[:4] == ["add", "0", "remove", "0"]


def test_every_host_of_the_group_takes_its_share_of_the_teams(worlds: Worlds) -> None:
    hosts = {}
    for letter in "abc":
        folder = worlds.lxcpath / letter
        folder.mkdir()
        hosts[letter] = {"worlds_prefix": f"{PREFIX}{letter}", "worlds_lxcpath": str(folder)}
    hosts["c"].update(worlds_first=200, worlds_last=201)

    def teams(result: PlaybookResult, host: str) -> set[str]:
        listed = result.result(CONTAINERS, host)["containers"]
        return {one["name"][len(PREFIX) + 1 :].split("-")[0] for one in listed} - {"busybox"}

    result = worlds.play("--check", hosts=hosts, teams=7, privileged=True)
    assert teams(result, "a") == {"t001", "t002"}
    assert teams(result, "b") == {"t003", "t004"}
    assert teams(result, "c") == {"t200", "t201"}
    alone = worlds.play("--check", "--limit", "b", hosts=hosts, teams=7, privileged=True)
    assert set(alone.stats) == {"b"} and teams(alone, "b") == {"t003", "t004"}


@pytest.mark.parametrize(
    "options", [{"site": "2001:db8::/48"}, {"prefix": "far-too-long"}, {"teams": 256}, {"state": "gone"}], ids=str
)
def test_what_cannot_be_is_refused_before_anything_is_made(worlds: Worlds, options: dict[str, Any]) -> None:
    refused = worlds.play(fails=True, **options)
    assert "Cannot make the worlds of host 'here'" in refused.result("Check what was asked for")["msg"]
    assert names(worlds.lxcpath) == [] and bridges() == [] and not RECORDS.exists()


def test_routers_with_bird_find_the_way_by_bgp(worlds: Worlds, checkout: Path) -> None:
    guest = tool_slow(checkout / "scripts" / "guest-root", "--include", "bird2,iputils-ping")
    options = {
        "description": "world/descriptions/bgp.yml",
        "bases": {"bird": f"{guest}/rootfs.tar.xz"},
        "privileged": True,
        "teams": 2,
    }
    worlds.play(**options)
    for team in (1, 2):
        banks = f"fd6c:7674:9e15:{team}02::/64"
        # Over both halves of the ring, with the AS at the end of the path.
        shown = until(lambda team=team, banks=banks: both_ways(worlds, team, banks))
        assert shown.count("[AS65003i]") == 2
        assert "proto bird" in worlds.guest(team, "west", "ip", "-6", "route", "show", banks).stdout
        until(lambda team=team: worlds.reaches(team, "shop", address(team, 2, "10")))
        until(lambda team=team: worlds.reaches(team, "bank", address(team, 1, "10")))
    # Nothing of the other team's has got about.
    table = worlds.guest(1, "west", "birdc", "show", "route").stdout
    assert "fd6c:7674:9e15:111::/64" in table and "fd6c:7674:9e15:2" not in table
    assert not worlds.reaches(1, "shop", address(2, 2, "10"))
    assert worlds.play(**options).changed == 0


def both_ways(worlds: Worlds, team: int, network: str) -> str:
    shown = worlds.guest(team, "west", "birdc", "show", "route", "for", network).stdout
    return shown if shown.count("[peer") == 2 else ""


def tool_slow(*args: object) -> str:
    """What a program prints that may take some minutes."""
    done = subprocess.run([str(arg) for arg in args], check=True, stdout=subprocess.PIPE, text=True, timeout=900)
    return done.stdout.strip()


def test_the_role_fleet_makes_one_call_with_its_list(
    run_playbook: Callable[..., PlaybookResult], lxcpath: Path
) -> None:
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "roles": [{"role": "lightervisor.lxc.fleet"}],
        "vars": {
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "fleet_lxcpath": str(lxcpath),
            "fleet_name": "lvt",
            "fleet_prune": True,
            "fleet_defaults": {"privileged": True},
            "fleet_containers": [
                {"name": "base", "template": {"name": "busybox"}, "networks": [{"type": "empty"}]},
                {"names": ["node[1:3]"], "clone": {"from": "base", "snapshot": True}},
            ],
        },
    }
    first = run_playbook(yaml.safe_dump([play]), fails=False)
    assert names(lxcpath) == ["base", "node1", "node2", "node3"] and first.changed == 1
    assert run_playbook(yaml.safe_dump([play]), fails=False).changed == 0
    less = run_playbook(yaml.safe_dump([play]), "-e", '{"fleet_containers": []}', fails=False)
    assert names(lxcpath) == [] and less.changed == 1
    wrong = run_playbook(yaml.safe_dump([play]), "-e", '{"fleet_on_error": "guess"}', fails=True)
    assert "fleet_on_error" in wrong.stdout + wrong.stderr
