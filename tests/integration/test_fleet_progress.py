# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The progress of lxc_fleet: its action plugin with a module that returns what a test says, and with the real one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Sequence

import pytest

PLUGIN = "plugins/action/lxc_fleet.py"
#: Returns what the file `script` says for its first call, its second, and so on; writes down what it was called with.
STAND_IN = """\
import json, os, time
from ansible.module_utils.basic import AnsibleModule

def main():
    module = AnsibleModule(
        {
            "script": {"type": "path", "required": True},
            "batch": {"type": "dict"},
            "on_error": {},
            "containers": {"type": "list", "elements": "dict"},
        },
        supports_check_mode=True,
    )
    script = module.params["script"]
    with open(script + ".calls", "a+") as calls:
        calls.seek(0)
        number = len(calls.readlines())
        calls.write(json.dumps({"batch": module.params["batch"], "told": os.environ.get("LVT_TOLD")}) + "\\n")
    with open(script) as file:
        result = json.load(file)[number]
    if "crash" in result:
        raise RuntimeError(result["crash"])
    for text in result.pop("warn", []):
        module.warn(text)
    awaited = result.pop("await", None)
    until = time.monotonic() + 60
    while awaited and not os.path.exists(awaited):
        if time.monotonic() > until:
            module.fail_json(msg="nobody saw the first batch's line while the second ran")
        time.sleep(0.02)
    (module.fail_json if result.get("failed") else module.exit_json)(**result)

main()
"""
PLAY = """\
- hosts: all
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
"""
INVENTORY = ("-i", "host1,", "-c", "local")


def batch(changed: Sequence[str], remaining: int, began: float = 1.5, total: int = 6, **more: Any) -> dict[str, Any]:
    return {
        "changed": bool(changed),
        "began": began,
        "remaining": remaining,
        "counts": {
            "listed": total,
            "changed": len(changed),
            "unchanged": total - len(changed) - remaining,
            "failed": 0,
            "remaining": remaining,
            "start": len(changed),
        },
        "containers": [
            {"name": name, "lxcpath": "/l", "changed": True, "actions": [f"start '{name}'"]} for name in changed
        ],
        **more,
    }


def failure(name: str, remaining: int) -> dict[str, Any]:
    entry = {"name": name, "lxcpath": "/l", "changed": False, "actions": [], "failed": True, "msg": f"{name} broke"}
    result = batch([], remaining, failed=True, msg=f"{name} broke", containers=[entry])
    result["counts"].update(failed=1, unchanged=result["counts"]["unchanged"] - 1)
    return result


def lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("lxc_fleet [")]


class StandIn:
    """Tasks of a play that call the module of a test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.play = PLAY

    def task(self, name: str, calls: Sequence[dict[str, Any]], more: str = "", **options: Any) -> None:
        """Add a task whose module returns `calls`; `more` are keywords of the task, one on each line."""
        (self.folder / f"{name}.json").write_text(json.dumps(calls))
        options["script"] = str(self.folder / f"{name}.json")
        keywords = "".join(f"      {line}\n" for line in more.splitlines())
        self.play += f"    - name: {name}\n      lxc_fleet: {json.dumps(options)}\n      register: seen\n{keywords}"

    def calls(self, name: str) -> list[dict[str, Any]]:
        """What the module was called with."""
        return [json.loads(line) for line in (self.folder / f"{name}.json.calls").read_text().splitlines()]

    def batches(self, name: str) -> list[Any]:
        return [call["batch"] for call in self.calls(name)]


@pytest.fixture
def stand_in(tmp_path: Path, checkout: Path) -> StandIn:
    """The action plugin beside a stand-in for its module, where the playbooks of this test look for both."""
    for folder in ("action_plugins", "library"):
        (tmp_path / folder).mkdir()
    (tmp_path / "action_plugins" / "lxc_fleet.py").symlink_to(checkout / PLUGIN)
    (tmp_path / "library" / "lxc_fleet.py").write_text(STAND_IN)
    return StandIn(tmp_path)


@pytest.mark.parametrize("pipelining", ["0", "1"])
def test_batches_become_one_result(stand_in: StandIn, run_playbook: Callable[..., Any], pipelining: str) -> None:
    three = [batch("ab", 3, warn=["w"]), batch("c", 2, 8.0, warn=["w"]), batch("de", 0, 9.0, warn=["v"])]
    stand_in.task("grows", three, "environment: {LVT_TOLD: yes it was}")
    stand_in.play += "    - name: look\n      debug: {msg: '{{ seen.warnings }}'}\n"
    stand_in.task("fixed", three, batch={"seconds": 0.25})
    ran = run_playbook(stand_in.play, *INVENTORY, env={"ANSIBLE_PIPELINING": pipelining}, fails=False)
    result = ran.result("grows")
    expected = batch("abcde", 0)
    assert {key: result[key] for key in expected} == expected
    assert ran.result("look")["msg"] == ["w", "v"]
    assert ran.result("fixed")["counts"] == expected["counts"]
    first, *others = stand_in.batches("grows")
    assert first == {"seconds": 5.0}
    assert all(other["since"] == 1.5 and other["seconds"] >= 10 for other in others)
    assert len(others) == 2
    assert {call["told"] for call in stand_in.calls("grows")} == {"yes it was"}
    assert stand_in.batches("fixed") == [{"seconds": 0.25}, *[{"seconds": 0.25, "since": 1.5}] * 2]
    shown = lines(ran.stderr)
    assert [line.partition(" containers")[0] for line in shown] == [
        "lxc_fleet [host1]: 3 of 6",
        "lxc_fleet [host1]: 4 of 6",
    ] * 2
    assert [line.partition(" left")[2] for line in shown] == [" (start 2)", " (start 3)"] * 2


def test_what_one_call_does_is_quiet(stand_in: StandIn, run_playbook: Callable[..., Any]) -> None:
    stand_in.task("all at once", [batch("abcdef", 0)])
    stand_in.task("nothing to do", [batch([], 0)])
    ran = run_playbook(stand_in.play, *INVENTORY, fails=False)
    assert lines(ran.stdout + ran.stderr) == []
    assert ran.changed == 1


def test_one_call_in_check_mode_and_for_async(stand_in: StandIn, run_playbook: Callable[..., Any]) -> None:
    stand_in.task("check", [batch("ab", 0)], "check_mode: true", batch={"seconds": 1})
    stand_in.task("async", [batch("ab", 0)], "async: 60\npoll: 1", batch={"seconds": 1})
    ran = run_playbook(stand_in.play, *INVENTORY, fails=False)
    assert stand_in.batches("check") == stand_in.batches("async") == [None]
    assert ran.result("check")["changed"] is ran.result("async")["changed"] is True
    assert len(ran.result("async")["containers"]) == 2


def test_several_hosts_loops_and_delegation_are_told_apart(stand_in: StandIn, run_playbook: Callable[..., Any]) -> None:
    for name in ("host1", "host2", "item1", "item2"):
        stand_in.task(name, [batch("ab", 4), batch("cdef", 0)])
    # One task, and each host or item has calls of its own.
    stand_in.play = PLAY
    stand_in.play += (
        f"    - name: hosts\n      lxc_fleet: {{script: '{stand_in.folder}/{{{{ inventory_hostname }}}}.json'}}\n"
    )
    stand_in.play += (
        f"    - name: items\n      lxc_fleet: {{script: '{stand_in.folder}/{{{{ item }}}}.json'}}\n"
        "      loop: [item1, item2]\n      delegate_to: other\n      run_once: true\n"
    )
    ran = run_playbook(stand_in.play, "-i", "host1,host2,other,", "-c", "local", "-l", "host1,host2", fails=False)
    shown = [line.partition(",")[0] for line in lines(ran.stderr)]
    whole = "2 of 6 containers"
    assert sorted(shown[:2]) == [f"lxc_fleet [host1]: {whole}", f"lxc_fleet [host2]: {whole}"]
    assert shown[2:] == [f"lxc_fleet [host1 -> other]: {whole}"] * 2
    assert [len(item["containers"]) for item in ran.result("items")["results"]] == [6, 6]


def test_failures(stand_in: StandIn, run_playbook: Callable[..., Any]) -> None:
    ignored = "ignore_errors: true"
    stand_in.task("ends it", [batch("a", 5), failure("b", 4), batch("cdef", 0)], ignored)
    stand_in.task("goes on", [failure("b", 5), batch("acdef", 0)], ignored, on_error="continue")
    stand_in.task("no progress", [batch("a", 5), batch([], 5), batch("bcdef", 0)], ignored)
    stand_in.task("only failures", [failure("b", 5), failure("b", 5)], ignored, on_error="continue")
    stand_in.task("crash", [batch("a", 5), {"crash": "of the module"}, {}], ignored, on_error="continue")
    stand_in.task("no mapping", [], ignored, batch="5 seconds")
    ran = run_playbook(stand_in.play, *INVENTORY, fails=False)
    assert {event["status"] for event in ran.events} == {"ignored"}
    result = ran.result("ends it")
    assert (result["msg"], result["remaining"], result["changed"]) == ("b broke", 4, True)
    assert [one["name"] for one in result["containers"]] == ["a", "b"]
    assert len(stand_in.batches("ends it")) == 2
    result = ran.result("goes on")
    assert (result["msg"], result["remaining"]) == ("b broke", 0)
    assert (result["counts"]["failed"], result["counts"]["changed"]) == (1, 5)
    assert stand_in.batches("goes on")[1]["failed"] == {"/l/b": "b broke"}
    result = ran.result("no progress")
    assert "and 5 containers remain" in result["msg"] and result["changed"]
    assert len(stand_in.batches("no progress")) == 2
    result = ran.result("only failures")
    assert result["msg"].startswith("b broke Cannot converge fleet 'host1': nothing was done")
    result = ran.result("crash")
    assert result["changed"] and result["remaining"] == 5
    assert [one["name"] for one in result["containers"]] == ["a"]
    assert len(stand_in.batches("crash")) == 2
    assert "batch: '5 seconds' is not a mapping" in ran.result("no mapping")["msg"]


@pytest.mark.parametrize("verbose, kept", [("-v", False), ("-vvv", True)])
def test_the_options_are_not_echoed(
    stand_in: StandIn, run_playbook: Callable[..., Any], verbose: str, kept: bool
) -> None:
    """With a loop, because Ansible itself takes them out of the other registered results."""
    stand_in.task("fleet", [batch("ab", 4), batch("cdef", 0)], "loop: [1]", containers=[{"name": "a"}])
    stand_in.play += "    - name: look\n      debug: {msg: \"{{ 'invocation' in seen.results[0] }}\"}\n"
    assert run_playbook(stand_in.play, *INVENTORY, verbose, fails=False).result("look")["msg"] is kept


def test_a_line_is_seen_while_the_next_batch_runs(stand_in: StandIn) -> None:
    """Through pipes, where Python keeps what goes to standard output until there is enough of it."""
    seen = stand_in.folder / "seen"
    stand_in.task("waits", [batch("ab", 4), batch("cdef", 0, **{"await": str(seen)})])
    (stand_in.folder / "play.yml").write_text(stand_in.play)
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "play.yml", *INVENTORY]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with (stand_in.folder / "out").open("w+") as out:
        process = subprocess.Popen(
            command,
            cwd=stand_in.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("lxc_fleet [host1]: 2 of 6"):
                seen.touch()
        assert process.wait() == 0, (stand_in.folder / "out").read_text()
    assert seen.exists()


# ------------------------------------------------------------------ with the module itself


class Starts:
    """A hook that makes each start take its time, and writes down whose it was."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "starts"
        self.hook = folder / "slow-start"
        self.hook.write_text(f'#!/bin/sh\necho "$LXC_NAME" >>{self.log}\nsleep 0.4\n')
        self.hook.chmod(0o755)

    def take(self) -> dict[str, int]:
        """How often each container was started since the last look."""
        names = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return {name: names.count(name) for name in sorted(set(names))}


@pytest.fixture
def starts(tmp_path: Path) -> Starts:
    return Starts(tmp_path)


def init_pids(lxcpath: Path, names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        command = ["lxc-info", "-P", str(lxcpath), "-n", name, "-p", "-H"]
        found[name] = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        ).stdout.strip()
    return found


def fleet_play(fleet: dict[str, Any]) -> str:
    play = PLAY + f"    - name: fleet\n      lightervisor.lxc.lxc_fleet: {json.dumps(fleet)}\n      register: seen\n"
    return play + "    - name: all of it\n      debug: {msg: '{{ seen }}'}\n"


def without_path(result: dict[str, Any], lxcpath: Path) -> dict[str, Any]:
    """What two runs for different lxcpaths have in common."""
    plain = json.loads(json.dumps(result).replace(str(lxcpath), "LXCPATH"))
    plain["containers"].sort(key=lambda one: one["name"])
    # What a clone becomes is known better when its origin was there already, which the first batch made.
    plain["diff"] = sorted((one["before"], one["before_header"], one["after_header"]) for one in plain["diff"])
    return {key: plain[key] for key in ("changed", "containers", "counts", "diff", "remaining")}


@pytest.mark.slow
def test_a_real_fleet_in_batches(
    starts: Starts, run_playbook: Callable[..., Any], run_module: Callable[..., Any], lxcpaths: Callable[[], Path]
) -> None:
    slow = {"lxc.hook.pre-start": str(starts.hook), "lxc.net.0.type": "empty"}
    fleet: dict[str, Any] = {
        "workers": 1,
        "defaults": {"privileged": True, "state": "started", "shutdown_timeout": 0, "config": slow},
        "containers": [
            {"names": ["web[1:6]"], "clone": {"from": "middle"}},
            {"name": "last", "clone": {"from": "middle"}},
            {"name": "middle", "clone": {"from": "base"}, "state": "stopped"},
            {"name": "base", "template": {"name": "busybox"}, "state": "stopped"},
        ],
    }
    path, other = lxcpaths(), lxcpaths()
    running = ["last"] + [f"web{number}" for number in range(1, 7)]
    play = fleet_play({**fleet, "lxcpath": str(path), "batch": {"seconds": 1}})
    ran = run_playbook(play, *INVENTORY, fails=False)
    result = ran.result("all of it")["msg"]
    # Seven starts of 0.4 s, one after the other, do not fit into one batch.
    shown = lines(ran.stderr)
    done = [int(line.split()[2]) for line in shown]
    assert shown and done == sorted(done) and done[-1] < 9
    assert all(re.match(r"lxc_fleet \[host1\]: \d+ of 9 containers", line) for line in shown)
    assert starts.take() == dict.fromkeys(running, 1)
    once = run_module("lxc_fleet", {**fleet, "lxcpath": str(other)}, fails=False)
    assert without_path(result, path) == without_path(once, other)
    assert result["counts"] == {**result["counts"], "listed": 9, "changed": 9, "create": 1, "clone": 8, "start": 7}

    starts.take()
    before = init_pids(path, running)
    ran = run_playbook(play, *INVENTORY, fails=False)
    assert (ran.changed, lines(ran.stdout + ran.stderr)) == (0, [])
    assert init_pids(path, running) == before

    # The later batches, which make the new clones, find the others restarted.
    fleet["containers"][0] = {"names": ["web[1:6]"], "state": "restarted"}
    fleet["containers"].append({"names": ["new[1:4]"], "clone": {"from": "middle"}})
    ran = run_playbook(fleet_play({**fleet, "lxcpath": str(path), "batch": {"seconds": 1}}), *INVENTORY, fails=False)
    result = ran.result("all of it")["msg"]
    assert lines(ran.stderr)
    webs = [name for name in running if name != "last"]
    assert starts.take() == dict.fromkeys([f"new{number}" for number in range(1, 5)] + webs, 1)
    assert result["counts"] == {**result["counts"], "listed": 13, "changed": 10, "unchanged": 3, "start": 10}
    after = init_pids(path, running)
    assert [name for name in running if after[name] == before[name]] == ["last"]
    assert all(after.values())


@pytest.mark.slow
def test_whatever_a_batch_begins_it_brings_to_an_end(
    run_module: Callable[..., Any], run_playbook: Callable[..., Any], lxcpath: Path
) -> None:
    """The shortest batches there are: each does one or two things."""
    chain = [{"name": f"c{number}", "clone": {"from": f"c{number - 1}"}} for number in range(1, 4)]
    fleet: dict[str, Any] = {
        "lxcpath": str(lxcpath),
        "workers": 1,
        "batch": {"seconds": 0.001},
        "defaults": {"privileged": True, "state": "started", "shutdown_timeout": 0},
        "containers": [*chain, {"name": "c0", "template": {"name": "busybox"}}],
    }
    fleet["defaults"]["config"] = {"lxc.net.0.type": "empty", "lxc.tty.max": 0, "lxc.console.path": "none"}
    result = run_playbook(fleet_play(fleet), *INVENTORY, fails=False).result("all of it")["msg"]
    assert result["counts"] == {**result["counts"], "changed": 4, "create": 1, "clone": 3, "start": 4, "remaining": 0}
    assert {one["name"]: len(one["actions"]) for one in result["containers"]} == dict.fromkeys(
        ["c0", "c1", "c2", "c3"], 2
    )
    assert all(one["before"] == "state: absent\n" and "state: running" in one["after"] for one in result["diff"])
    # One that was stopped for a change runs again, though only its own batch knows that it ran.
    fleet["defaults"] = {"privileged": True, "restart": "if_needed", "shutdown_timeout": 0}
    fleet["defaults"]["config"] = {"lxc.prlimit.nofile": 4096}
    fleet["containers"] = [{"names": ["c[0:3]"]}]
    before = init_pids(lxcpath, ["c0", "c1", "c2", "c3"])
    run_module("lxc_fleet", fleet, fails=False)
    run_playbook(fleet_play(fleet), *INVENTORY, fails=False)
    after = init_pids(lxcpath, list(before))
    assert all(after.values())
    assert all(after[name] != before[name] for name in before)
