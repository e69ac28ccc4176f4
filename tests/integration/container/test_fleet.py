# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""lxc_fleet: many containers in one task, on real ones."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.locks import named_lock

BUSYBOX = {"name": "busybox"}
EMPTY = [{"type": "empty"}]
BASE = {"name": "base", "template": BUSYBOX, "networks": EMPTY, "privileged": True}
CLONE = {"clone": {"from": "base", "snapshot": True}, "privileged": True}


class Fleet:
    """Tasks of lxc_fleet on the lab's lxcpath."""

    def __init__(self, lab: Any, run_module: Any) -> None:
        self.lab = lab
        self._run = run_module

    def task(self, *containers: Any, fails: bool | None = False, check: bool = False, **options: Any) -> Any:
        params = {"containers": list(containers), "lxcpath": str(self.lab.path), **options}
        return self._run("lxc_fleet", params, check=check, fails=fails)

    def cycle(self, *containers: Any, **options: Any) -> Any:
        """A check run that writes nothing and predicts the real one, the real one, and one that finds nothing to do."""
        before = self.lab.hash()
        predicted = self.task(*containers, check=True, **options)
        assert self.lab.hash() == before, "a check run wrote something"
        done = self.task(*containers, **options)
        for key in ("changed", "containers", "counts", "diff"):
            assert predicted[key] == done[key], f"the check run predicted another {key}"
        assert done["changed"] and done["remaining"] == 0
        assert len(done["diff"]) == done["counts"]["changed"] == len(done["containers"])
        self.unchanged(*containers, **options)
        return done

    def unchanged(self, *containers: Any, **options: Any) -> Any:
        before = self.lab.hash()
        again = self.task(*containers, **options)
        assert (again["changed"], again["containers"], again["diff"]) == (False, [], [])
        assert again["counts"]["unchanged"] == again["counts"]["listed"]
        assert self.lab.hash() == before, "a run that changed nothing wrote something"
        return again


@pytest.fixture
def fleet(lab, run_module):
    return Fleet(lab, run_module)


def origins(lab: Any, name: str) -> list[str]:
    return (lab.path / name / "lxc_rdepends").read_text().splitlines()[1::2]


def test_a_chain_of_clones_in_any_order(fleet, lab):
    chain = [
        {"name": "mysite", "clone": {"from": "web", "snapshot": True}, "state": "started", "privileged": True},
        {"name": "web", **CLONE},
        BASE,
    ]
    done = fleet.cycle(*chain)
    assert done["counts"] == {
        "listed": 3, "changed": 3, "unchanged": 0, "failed": 0, "remaining": 0, "create": 1, "clone": 2, "start": 1,
    }  # fmt: skip
    assert [lab.state(name) for name in ("base", "web", "mysite")] == ["STOPPED", "STOPPED", "RUNNING"]
    assert "web" in origins(lab, "mysite")
    assert lab.in_guest("mysite", "hostname") == "mysite"
    gone = fleet.cycle(BASE | {"state": "absent"}, *({"name": name, "state": "absent"} for name in ("web", "mysite")))
    assert gone["counts"]["destroy"] == 3
    assert lab.names() == []


def test_an_origin_that_shall_run_starts_after_its_clones(fleet, lab):
    fleet.cycle({"names": ["c[1:3]"], **CLONE}, BASE | {"state": "started"})
    assert {name: lab.state(name) for name in lab.names()} == {
        "base": "RUNNING", "c1": "STOPPED", "c2": "STOPPED", "c3": "STOPPED",
    }  # fmt: skip
    # Now that it runs, its files do not hold still any more.
    failed = fleet.task({"names": ["c[1:4]"], **CLONE}, fails=True)
    assert "only a stopped container's files hold still" in failed["msg"]
    fleet.cycle({"names": ["c[1:4]"], **CLONE}, BASE | {"state": "stopped", "shutdown_timeout": 0})


def test_every_state_at_once_and_what_changes_is_told(fleet, lab):
    states = ["started", "stopped", "frozen", "present"]
    containers = [BASE, *({"name": state, "state": state, **CLONE} for state in states)]
    fleet.cycle(*containers)
    assert [lab.state(state) for state in states] == ["RUNNING", "STOPPED", "FROZEN", "STOPPED"]
    other = [BASE, *({"name": state, "state": turned, **CLONE} for state, turned in zip(states, reversed(states)))]
    done = fleet.cycle(*other, defaults={"shutdown_timeout": 0})
    assert [lab.state(state) for state in states] == ["RUNNING", "FROZEN", "STOPPED", "RUNNING"]
    assert {one["name"]: one["actions"] for one in done["containers"]} == {
        "stopped": ["start 'stopped'", "freeze 'stopped'"],
        "frozen": ["stop 'frozen'"],
        "present": ["start 'present'"],
    }


def test_a_fleet_makes_what_single_tasks_make(fleet, lab):
    options = {
        "config": {"lxc.start.order": 7, "lxc.environment": ["A=1"]},
        "networks": [{"type": "veth", "name": "n0", "link": "lvt-none", "hwaddr": "00:16:3e:01:02:03"}],
    }
    lab.task("single-base", template=BUSYBOX, networks=EMPTY, privileged=True)
    lab.task("single", clone={"from": "single-base", "snapshot": True}, privileged=True, **options)
    fleet.task(
        {"name": "fleet", "clone": {"from": "fleet-base", "snapshot": True}, "privileged": True, **options},
        {"name": "fleet-base", "template": BUSYBOX, "networks": EMPTY, "privileged": True},
    )
    trees = {kind: lab._hash(lab.path / kind) for kind in ("single", "fleet")}
    assert set(trees["single"]) == set(trees["fleet"])
    assert lab.config("fleet").replace("fleet", "single") == lab.config("single")
    for one in ("single", "fleet"):
        origin = {"from": f"{one}-base", "snapshot": True}
        fleet.unchanged({"name": one, "clone": origin, "privileged": True, **options})


def test_names_defaults_and_places(fleet, lab):
    fleet.cycle(
        BASE,
        {"names": ["n[08:10]"], "config": {"lxc.environment": ["N={number}", "NAME={name}"]}},
        defaults={"clone": {"from": "base", "snapshot": True}, "privileged": True, "config": {"lxc.start.order": 3}},
    )
    assert lab.names() == ["base", "n08", "n09", "n10"]
    assert lab.lines("n09", "lxc.environment") == ["N=9", "NAME=n09"]
    assert lab.item("n10", "lxc.start.order") == "3"


def test_definitions_in_a_file_on_the_host(fleet, lab, tmp_path):
    file = tmp_path / "fleet.json"
    file.write_text(json.dumps({"defaults": CLONE, "containers": [{"names": ["f[1:2]"]}]}))
    fleet.cycle(BASE, definitions=str(file))
    assert lab.names() == ["base", "f1", "f2"]
    bad = {"{": "is no JSON", '{"a": 1}': "has 'a'", "3": "no list", '[{"name": "a/b"}]': "[0].name"}
    for text, words in bad.items():
        file.write_text(text)
        assert words in fleet.task(definitions=str(file), fails=True)["msg"]
    assert "there is no file" in fleet.task(definitions=str(tmp_path / "none"), fails=True)["msg"]


NO_HWADDR = {"type": "veth", "hwaddr": "1"}


@pytest.mark.parametrize(
    "containers, path, words",
    [
        ([BASE, {"names": ["x", "base"]}], "containers[1].name", "is containers[0] already"),
        ([BASE, {"name": "x", "foo": 1}], "containers[1].foo", "no such option"),
        ([BASE, {"names": ["x[3:1]"]}], "containers[1].names[0]", "ends before"),
        ([BASE, {"name": "x", "state": "gone"}], "containers[1]", "state"),
        ([BASE, {"template": BUSYBOX}], "containers[1]", "name"),
        ([BASE, {"name": "x", "networks": [NO_HWADDR]}], "containers[1].networks[0].hwaddr", "pairs"),
        ([BASE, {"name": "x", "config": {"lxc.foo": 1}}], "containers[1].config[lxc.foo]", "no key"),
        ([{"name": one, "clone": {"from": other}} for one, other in ("xy", "yx")], "containers[0].clone.from", "x"),
    ],
)
def test_bad_input_is_refused_before_anything_is_done(fleet, lab, containers, path, words):
    for check in (True, False):
        failed = fleet.task(*containers, fails=True, check=check)
        assert failed["path"] == path
        assert words in failed["msg"]
    assert lab.names() == []


@pytest.mark.parametrize("options", [{"prune": True}, {"workers": 0}, {"fleet": "a\nb"}, {"defaults": {"name": "x"}}])
def test_bad_options_are_refused(fleet, options):
    assert fleet.task(fails=True, **options)["path"]


def test_only_what_the_fleet_made_is_pruned(fleet, lab):
    lab.make("foreign")
    lab.make("adopted", privileged=True)
    mine = {"fleet": "mine", "prune": True}
    fleet.cycle(BASE, {"names": ["a[1:3]"], **CLONE}, {"name": "adopted"}, **mine)
    fleet.cycle({"name": "theirs", "template": BUSYBOX, "networks": EMPTY, "privileged": True}, fleet="theirs")
    subprocess.run(["lxc-copy", "-P", str(lab.path), "-n", "a1", "-N", "copy", "-s"], check=True)
    lab.task("a2", state="started")
    done = fleet.cycle(BASE, {"name": "a1", **CLONE}, defaults={"shutdown_timeout": 0}, **mine)
    assert {one["name"]: one["actions"] for one in done["containers"]} == {
        "a2": ["stop 'a2'", "destroy 'a2'"],
        "a3": ["destroy 'a3'"],
    }
    assert lab.names() == ["a1", "adopted", "base", "copy", "foreign", "theirs"]
    # What others depend on stays, with the reason.
    failed = fleet.task(BASE, fails=True, **mine)
    assert "'copy'" in failed["msg"] and "a1" in lab.names()
    subprocess.run(["lxc-destroy", "-P", str(lab.path), "-n", "copy"], check=True)
    # Made again by hand under the same name, it is no longer the fleet's.
    subprocess.run(["lxc-destroy", "-P", str(lab.path), "-n", "a1"], check=True)
    lab.make("a1")
    fleet.unchanged(BASE, **mine)
    fleet.cycle(fleet="mine", prune=True)
    assert lab.names() == ["a1", "adopted", "foreign", "theirs"]


def test_prune_asks_before_snapshots_go(fleet, lab):
    one = {"fleet": "f", "prune": True}
    fleet.task(BASE, **one)
    subprocess.run(["lxc-snapshot", "-P", str(lab.path), "-n", "base"], check=True, capture_output=True)
    assert "it has snapshots" in fleet.task(fails=True, **one)["msg"]
    fleet.task(defaults={"destroy_snapshots": True}, **one)
    assert lab.names() == []


BROKEN = {"name": "broken", "template": {"name": "lvt-no-such-template"}, "networks": EMPTY, "privileged": True}
AFTER = {"name": "after", "clone": {"from": "broken", "snapshot": True}, "privileged": True}


def test_on_error_continue_does_all_that_does_not_depend_on_it(fleet, lab):
    done = fleet.task(BROKEN, AFTER, BASE, {"names": ["c[1:2]"], **CLONE}, fails=True, on_error="continue")
    assert lab.names() == ["base", "c1", "c2"]
    assert (done["changed"], done["counts"]["failed"], done["counts"]["changed"]) == (True, 2, 3)
    told = {one["name"]: one.get("msg", "") for one in done["containers"]}
    assert "lvt-no-such-template" in told["broken"]
    assert told["after"] == "Cannot clone container 'after': its origin 'broken' could not be brought about."
    assert told["broken"] in done["msg"] and told["base"] == ""


def test_on_error_fail_begins_nothing_more(fleet, lab):
    done = fleet.task(BROKEN, *({**BASE, "name": f"d{n}"} for n in range(4)), fails=True, workers=1)
    assert done["counts"]["failed"] == 1
    # The worker had one more in hand.
    assert len(lab.names()) <= 1 and done["remaining"] >= 3
    fleet.task(BASE, {"name": "x", "clone": {"from": "nobody"}}, fails=True)
    assert "base" not in lab.names(), "what is known before anything is done keeps anything from being done"


def test_a_change_restarts_what_runs_and_only_that(fleet, lab):
    containers = [BASE, {"names": ["r[1:3]"], "state": "started", **CLONE}, {"name": "idle", **CLONE}]
    fleet.task(*containers)
    pids = {name: lab.pid(name) for name in ("r1", "r2", "r3")}
    change = {"defaults": {"config": {"lxc.prlimit.nofile": "2000"}, "restart": "if_needed", "shutdown_timeout": 20}}
    containers[1] = {"names": ["r[1:3]"], **CLONE}
    done = fleet.cycle(*containers[1:], **change)
    assert done["counts"]["stop"] == done["counts"]["start"] == 3 and done["counts"]["configure"] == 4
    assert lab.state("idle") == "STOPPED"
    for name, pid in pids.items():
        assert lab.pid(name) != pid
        assert lab.in_guest(name, "sh", "-c", "ulimit -n") == "2000"


def test_what_waits_for_a_restart_is_told(fleet, lab):
    fleet.task(BASE, {"name": "r", "state": "started", **CLONE})
    done = fleet.task({"name": "r", "config": {"lxc.prlimit.nofile": "2000"}})
    assert done["containers"][0]["restart_keys"] == ["lxc.prlimit.nofile"]
    again = fleet.task({"name": "r", "config": {"lxc.prlimit.nofile": "2000"}})
    assert not again["changed"] and again["containers"][0]["restart_keys"] == ["lxc.prlimit.nofile"]


def test_restarted_restarts_each_time_but_not_twice_in_one_task(fleet, lab):
    containers = [BASE, {"name": "r", "state": "restarted", "shutdown_timeout": 0, **CLONE}]
    done = fleet.task(*containers)
    pid = lab.pid("r")
    assert not fleet.task(*containers, batch={"since": done["began"]})["changed"]
    assert lab.pid("r") == pid
    assert fleet.task(*containers)["changed"]
    assert lab.pid("r") != pid


def test_a_failed_change_leaves_the_container_running(fleet, lab):
    fleet.task(BASE, {"name": "r", "state": "started", **CLONE})
    config = {"lxc.net.0.type": "veth", "lxc.net.0.link": "lvt-none"}
    failed = fleet.task({"name": "r", "config": config, "restart": "if_needed", "shutdown_timeout": 0}, fails=True)
    assert "'r' runs again" in failed["msg"]
    assert lab.state("r") == "RUNNING"
    assert lab.lines("r", "lxc.net.0.link") == []


def test_unprivileged_ones_have_ranges_of_their_own(fleet, lab):
    names = ["u1", "u2", "u3"]
    fleet.task({"names": ["u[1:3]"], "template": BUSYBOX, "networks": EMPTY})
    firsts = {lab.lines(name, "lxc.idmap")[0].split()[2] for name in names}
    assert len(firsts) == 3
    fleet.unchanged({"names": ["u[1:3]"], "template": BUSYBOX, "networks": EMPTY})


def test_hardware_addresses_are_all_different(fleet, lab):
    nics = [{"type": "veth", "link": "lvt-none"}, {"type": "veth", "link": "lvt-none"}]
    fleet.cycle(BASE, {"names": ["h[1:20]"], "networks": nics, **CLONE})
    found = [lab.lines(f"h{n}", f"lxc.net.{i}.hwaddr")[0] for n in range(1, 21) for i in (0, 1)]
    assert len(set(found)) == 40


def test_many_containers_with_nothing_to_do(fleet, lab):
    """Enough of them for several processes to look at."""
    many = [BASE, {"names": ["m[001:330]"], "config": {"lxc.environment": ["N={number}"]}, **CLONE}]
    assert fleet.task(*many, fleet="many")["counts"]["clone"] == 330
    fleet.unchanged(*many, fleet="many", prune=True)
    lab.edit("m007", "lxc.environment = FOO=bar")
    done = fleet.task(*many, check=True)
    assert [one["name"] for one in done["containers"]] == ["m007"]
    (lab.path / "m008" / "config").unlink()
    failed = fleet.task(*many, fails=True, on_error="continue")
    assert [one["name"] for one in failed["containers"]] == ["m007", "m008"]
    assert "holds files already" in failed["msg"]
    twice = fleet.task(*many, {"name": "m009"}, fails=True)
    assert twice["path"] == "containers[2].name"


#: Seconds that are over when the first container has been taken up.
AT_ONCE = 1e-6


def test_a_time_limit_leaves_the_rest_for_the_next_call(fleet, lab):
    many = [BASE, {"names": ["t[1:4]"], **CLONE, "state": "started"}]
    done, left = fleet.task(*many, batch={"seconds": AT_ONCE}), [5]
    while done["remaining"]:
        left.append(done["remaining"])
        assert left[-1] < left[-2]
        done = fleet.task(*many, batch={"seconds": AT_ONCE, "since": done["began"]})
    assert left == [5, 4, 3, 2, 1]
    assert all(lab.state(f"t{n}") == "RUNNING" for n in range(1, 5))
    fleet.task({"names": ["t[1:4]"], "state": "absent", "shutdown_timeout": 0}, BASE | {"state": "absent"})
    assert lab.names() == []


def test_more_are_stopped_than_files_may_be_open(fleet, lab, run_module):
    """Those that can't be stopped together are stopped one lot after the other, and a time limit is heeded between."""
    names = [f"s{n:02}" for n in range(1, 31)]
    fleet.task(BASE, {"names": ["s[01:30]"], **CLONE, "state": "started"})
    params = {"containers": [{"names": ["s[01:30]"], "state": "stopped"}], "lxcpath": str(lab.path)}
    few = ("prlimit", "--nofile=64:64")
    first = run_module("lxc_fleet", {**params, "batch": {"seconds": AT_ONCE}}, prefix=few, fails=False)
    assert 0 < first["counts"]["changed"] < 30
    assert first["remaining"] == 30 - first["counts"]["changed"]
    assert sum(lab.state(name) == "STOPPED" for name in names) == first["counts"]["changed"]
    second = run_module("lxc_fleet", params, prefix=few, fails=False)
    assert (second["counts"]["changed"], second["remaining"]) == (first["remaining"], 0)
    assert {lab.state(name) for name in names} == {"STOPPED"}
    # Where more is allowed it is made use of, and the guests get what was set.
    fleet.task({"names": ["s[01:30]"], "state": "started"})
    params["containers"] += [{"name": "new", **CLONE, "state": "started"}]
    soft = ("prlimit", "--nofile=64:4096")
    third = run_module("lxc_fleet", {**params, "batch": {"seconds": AT_ONCE}}, prefix=soft, fails=False)
    assert (third["counts"]["changed"], third["remaining"]) == (30, 1)
    run_module("lxc_fleet", params, prefix=soft, fails=False)
    limits = Path(f"/proc/{lab.pid('new')}/limits").read_text()
    assert limits.partition("Max open files")[2].split()[:2] == ["64", "4096"]


def test_guests_are_waited_for_together(fleet, lab, bridge):
    nic = {"type": "veth", "link": bridge, "name": "n0", "ipv6": ["2001:db8:7::{number:x}/64"]}
    fleet.task(BASE, {"names": ["w[1:4]"], "networks": [nic], "state": "started", "wait_for": ["ipv6"], **CLONE})
    failed = fleet.task({"names": ["w[1:2]"], "state": "started", "wait_for": ["ipv4"], "wait_timeout": 2}, fails=True)
    assert failed["counts"]["failed"] == 2
    assert failed.seconds < 20


def test_a_directory_in_two_spellings_is_one(fleet, lab, lxcpaths):
    link = lxcpaths() / "link"
    link.symlink_to(lab.path)
    fleet.task(BASE | {"state": "started"}, fleet="f")
    other = {"lxcpath": str(link), "fleet": "f"}
    listed = BASE | {"lxcpath": str(lab.path), "state": "started"}
    assert not fleet.task(listed, **other, prune=True)["changed"]
    twins = fleet.task(listed, BASE, **other, fails=True)
    assert twins["path"] == "containers[1].lxcpath" and "is the same directory" in twins["msg"]
    # Under the other name it seems to be stopped, and is neither destroyed nor started a second time.
    for task in ({"state": "absent"}, {"state": "started"}):
        for check in (True, False):
            failed = fleet.task(BASE | task, **other, fails=True, check=check)
            assert f"it was started with the lxcpath {lab.path}" in failed["msg"]
    pruned = fleet.task(lxcpath=str(link), fleet="f", prune=True, fails=True)
    assert "which is the same directory" in pruned["msg"]
    assert lab.state("base") == "RUNNING"


def test_a_container_stopped_for_a_change_by_a_killed_run_runs_again(fleet, lab, start_module):
    fleet.task(BASE, {"names": ["k[1:3]"], "state": "started", **CLONE, "config": {"lxc.signal.halt": "SIGCONT"}})
    change = {"config": {"lxc.prlimit.nofile": "2000"}, "restart": "if_needed", "shutdown_timeout": 4}
    params = {"containers": [{"names": ["k[1:3]"], **change}], "lxcpath": str(lab.path), "workers": 3}
    process = start_module("lxc_fleet", params)
    deadline = time.monotonic() + 20
    while len(list(lab.path.glob("*/.lightervisor.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # What was asked of the guests is done without anybody waiting for it.
    for name in ("k1", "k2", "k3"):
        subprocess.run(["lxc-stop", "-k", "-P", str(lab.path), "-n", name], check=False, capture_output=True)
    done = fleet.task({"names": ["k[1:3]"]})
    assert [lab.state(name) for name in ("k1", "k2", "k3")] == ["RUNNING"] * 3
    assert done["counts"]["start"] == 3
    assert not list(lab.path.glob("*/.lightervisor.json"))
    fleet.unchanged({"names": ["k[1:3]"]})


def test_a_worker_that_is_killed_costs_one_container(fleet, lab, start_module):
    hook = lab.path / "slow"
    hook.write_text("#!/bin/sh\nsleep 0.5\n")
    hook.chmod(0o755)
    fleet.task(BASE, {"names": ["l[1:5]"], **CLONE, "config": {"lxc.hook.pre-start": str(hook)}})
    many = {"names": ["l[1:5]"], "state": "started"}
    params = {"containers": [many], "lxcpath": str(lab.path), "workers": 1, "on_error": "continue"}
    process = start_module("lxc_fleet", params)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 20
    while not (lab.state("l1") != "STOPPED" and children.read_text().split()) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    result = json.loads(out)
    assert result["failed"] and result["counts"]["failed"] == 1
    assert result["counts"]["changed"] == 4 and result["remaining"] == 0
    (lost,) = (one for one in result["containers"] if one.get("failed"))
    assert lost["msg"].startswith(
        f"Cannot manage container '{lost['name']}': the process that worked on it was killed."
    )
    fleet.task(many)
    fleet.unchanged(many)


def test_one_that_cannot_be_destroyed_runs_again(fleet, lab):
    fleet.task(BASE | {"state": "started"})
    subprocess.run(["chattr", "+i", str(lab.path / "base")], check=True)
    try:
        failed = fleet.task(BASE | {"state": "absent", "shutdown_timeout": 0}, fails=True)
    finally:
        subprocess.run(["chattr", "-i", str(lab.path / "base")], check=True)
    assert "'base' runs again" in failed["msg"]
    assert lab.state("base") == "RUNNING"


def test_a_check_run_predicts_that_nothing_is_begun(fleet, lab):
    bad = {"name": "x", "clone": {"from": "nobody"}}
    predicted, done = (fleet.task(BASE, bad, fails=True, check=check) for check in (True, False))
    for key in ("changed", "containers", "counts", "diff", "remaining", "msg"):
        assert predicted[key] == done[key], key
    assert lab.names() == []


def has_open(pid: int, path: str) -> bool:
    """Whether the process has the file open, as one does that waits for this lock."""
    folder = Path(f"/proc/{pid}/fd")
    found = set()
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(folder / name))
    return os.path.realpath(path) in found


def test_a_fleet_and_a_single_task_do_not_wait_for_each_other(fleet, lab, start_module):
    """Both give ids away and lock the same container."""
    new = {"name": "both", "template": BUSYBOX, "networks": EMPTY, "lxcpath": str(lab.path)}
    with named_lock("host", "ids") as lock:
        single = start_module("lxc_container", new)
        many = start_module("lxc_fleet", {"containers": [new, {**new, "name": "more"}]})
        deadline = time.monotonic() + 60
        while not (has_open(single.pid, lock.path) and has_open(many.pid, lock.path)):
            assert time.monotonic() < deadline, "they do not wait for the lock"
            time.sleep(0.02)
    results = [json.loads(process.communicate(timeout=60)[0]) for process in (single, many)]
    assert not any(result.get("failed") for result in results), results
    firsts = {lab.lines(name, "lxc.idmap")[0].split()[2] for name in ("both", "more")}
    assert len(firsts) == 2
