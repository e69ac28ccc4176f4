# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fleets with nothing to change: the whole task, the look at a host, the plan."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

from fleet_contenders import Bare, Loop, Peer, Xargs, compact_item, definitions, full_item, names
from fleet_lab import BASE, CACHE, HERE, PREFIX, Lab, clear_peers, run
from fleet_report import Section, rounds, seconds

FLEET = "lightervisor.lxc.lxc_fleet"
RECEIVE = "lvtbench.bench.receive"
PEER_ITEMS = 20
SHELL_ITEMS = 300

RECEIVER = """
from ansible.module_utils.basic import AnsibleModule

AnsibleModule(
    argument_spec={
        "containers": {"type": "list", "elements": "dict"},
        "definitions": {"type": "path"},
        "lxcpath": {"type": "path"},
    }
).exit_json(changed=False)
"""


def noop(lab: Lab, runs: int, peer: bool) -> list[Section]:
    count, more, whole = lab.size(1000), lab.size(3000), lab.size(3700)
    section = Section(
        "Nothing to change",
        [
            "Stopped overlay clones, each with an interface, a gateway, keys and autostart declared. `full`: an item "
            "for each container, from a JSON file of variables. `names`: one item with a range of names. "
            "`definitions`: all items written out in a file that the module reads. `receive` is a module that receives "
            "the same options and returns; its result carries them back, as any module's, which lxc_fleet's does not.",
        ],
    )
    path = lab.lxcpath("noop")
    _receiver(lab)

    def playbook(label: str, module: str, options: dict[str, Any], variable: bool = False) -> Callable[[], float]:
        if variable:
            task = {module: {"containers": "{{ fleet }}"}}
            book = lab.play(label, [task], {"fleet": options["containers"]})
        else:
            book = lab.play(label, [{module: options}])
        return lambda: lab.playbook(book, False)

    def full(size: int) -> dict[str, Any]:
        return {"containers": [full_item(path, number) for number in range(1, size + 1)]}

    lab.playbook(lab.play("prepare", [{FLEET: {"containers": [compact_item(path, whole)]}}]), True)
    empty_play = lab.play("empty", [])
    work: dict[str, Callable[[], float]] = {
        "empty": lambda: lab.playbook(empty_play),
        "receive": playbook("receive", RECEIVE, full(count), True),
        "full": playbook("full", FLEET, full(count), True),
        "full-more": playbook("full-more", FLEET, full(more), True),
        "names": playbook("names", FLEET, {"containers": [compact_item(path, count)]}),
        "definitions": playbook("definitions", FLEET, {"definitions": str(definitions(lab, path, count))}),
        "names-whole": playbook("names-whole", FLEET, {"containers": [compact_item(path, whole)]}),
        "definitions-whole": playbook("definitions-whole", FLEET, {"definitions": str(definitions(lab, path, whole))}),
    }
    some = names(lab.size(SHELL_ITEMS))
    loop, bare = Loop(path), Bare(path)
    work["loop"] = lambda: loop.checked("noop", some)
    for parallel in (2, 4, 8):
        work[f"xargs{parallel}"] = lambda at=Xargs(path, parallel): at.checked("noop", some)
    work["bare"] = lambda: bare.checked("noop", names(count))
    few = names(lab.size(PEER_ITEMS), "peer-")
    if peer:
        them = Peer(lab)
        them.checked("create", few)
        them.prepare(few)
        them.surround(few, names(count, "peer-")[len(few) :])
        work["peer"] = lambda: them.checked("noop", few)
    found = rounds(runs, work)

    empty = section.add("an empty play", 0, found["empty"])
    receive = section.add("`receive`, full", count, found["receive"])
    medians = {}
    for name, label, size in (
        ("full", "lxc_fleet, full", count),
        ("full-more", "lxc_fleet, full", more),
        ("names", "lxc_fleet, names", count),
        ("definitions", "lxc_fleet, definitions", count),
        ("names-whole", "lxc_fleet, names", whole),
        ("definitions-whole", "lxc_fleet, definitions", whole),
    ):
        medians[name] = section.add(label, size, found[name])
    section.add("`lxc-info` in a shell loop", len(some), found["loop"])
    best = min((2, 4, 8), key=lambda parallel: statistics.median(found[f"xargs{parallel}"]))
    section.add(f"`lxc-info` under `xargs -P {best}`, the best of 2, 4, 8", len(some), found[f"xargs{best}"])
    section.add("bare liblxc, state and five keys", count, found["bare"])
    section.expect(f"no change, {count} full, beside a module that only receives them", medians["full"] / receive, 1.3)
    if peer:
        each = (section.add("community.general.lxc_container, looped", len(few), found["peer"]) - empty) / len(few)
        total = empty + each * count
        section.remarks.append(
            f"The peer was measured with {len(few)} items of five lines of config on a host that has {count}, all of "
            f"which it lists for each item. One took {seconds(each)}; for all {count} that is taken as linear."
        )
        section.expect(f"no change, {count} full, faster than the looped peer", total / medians["full"], 80, "×", True)
        for name in ("names", "definitions"):
            ratio = total / medians[name]
            section.expect(f"no change, {count} by {name}, faster than the looped peer", ratio, 150, "×", True)
    section.expect(f"no change, growth from {count} to {more}", medians["full-more"] / medians["full"], more / count)
    for name in ("names", "definitions"):
        section.expect(f"no change, {whole} by {name}, beside an empty play", medians[f"{name}-whole"] / empty, 2.5)
    lab.wipe(path)
    clear_peers()
    return [section]


def _receiver(lab: Lab) -> None:
    folder = lab.folder / "collections" / "ansible_collections" / "lvtbench" / "bench"
    (folder / "plugins" / "modules").mkdir(parents=True)
    (folder / "galaxy.yml").write_text("namespace: lvtbench\nname: bench\nversion: 1.0.0\nreadme: r\nauthors: [a]\n")
    (folder / "plugins" / "modules" / "receive.py").write_text(RECEIVER)


def call(lab: Lab, *words: object) -> dict[str, Any]:
    """What fleet_calls.py says of one call into the collection, in a process of its own."""
    argv = [sys.executable, str(HERE / "fleet_calls.py"), str(CACHE / "collections"), *map(str, words)]
    begin = time.monotonic()
    found: dict[str, Any] = json.loads(run(argv, env=lab.env))
    return {**found, "process": time.monotonic() - begin}


def fill(path: Path, count: int) -> None:
    """Configs of so many containers as `lxc-copy -s` leaves them, all on the base's root file system."""
    run(["lxc-copy", "-P", path, "-n", BASE, "-N", f"{PREFIX}model", "-s"])
    text = (path / f"{PREFIX}model" / "config").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("lxc.rootfs.path")]
    shared = "\n".join([*lines, f"lxc.rootfs.path = dir:{path}/{BASE}/rootfs", ""])
    for name in names(count):
        folder = path / name
        folder.mkdir()
        (folder / "config").write_text(shared.replace(f"{PREFIX}model", name))


def observe(lab: Lab, runs: int, _peer: bool) -> list[Section]:
    count, running = lab.size(17000), min(lab.size(17000), 100)
    section = Section(
        "The states of all containers",
        [
            f"{running} of them run. The call: in a Python process that has imported what it needs. The process: with "
            "Python's start and the imports.",
        ],
    )
    path = lab.lxcpath("observe")
    fill(path, count)
    Bare(path).checked("start", names(running))
    processes: list[float] = []

    def ours() -> float:
        found = call(lab, "observe", path)
        if found["count"] < count or found["running"] != running:
            raise SystemExit(f"observing found {found['count']} containers, {found['running']} running")
        processes.append(found["process"])
        return float(found["seconds"])

    def lxc_ls() -> float:
        begin = time.monotonic()
        subprocess.run(["lxc-ls", "-P", path, "-f", "-F", "NAME,STATE"], check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - begin

    found = rounds(runs, {"states_of": ours, "lxc-ls": lxc_ls})
    mine = section.add("states of all, the call", count, found["states_of"])
    section.add("states of all, the process", count, processes)
    theirs = statistics.median(found["lxc-ls"])
    section.add("`lxc-ls -f -F NAME,STATE`", count, found["lxc-ls"], f"{theirs / mine:.0f} × the call")
    section.expect(f"states of {count} defined containers, the call", mine, 0.5, "s")
    lab.wipe(path)
    return [section]


def plan(lab: Lab, runs: int, _peer: bool) -> list[Section]:
    count = lab.size(1000)
    section = Section(
        "Plans",
        [
            "The pure part: from declarations and what was read of the host to the actions and who waits for whom.",
        ],
    )
    path = lab.lxcpath("plan")
    lab.playbook(lab.play("prepare", [{FLEET: {"containers": [compact_item(path, count)]}}]), True)
    kinds = (("noop", "nothing to change"), ("config", "a change of each"), ("create", "a new clone of each"))
    for kind, label in kinds:
        items = [full_item(path, number) for number in range(1, count + 1)]
        for number, item in enumerate(items):
            if kind == "config":
                item["autostart"]["order"] = 8
            if kind == "create":
                item["name"] = f"{PREFIX}new-{number}"
        file = lab.folder / f"plan-{kind}.json"
        file.write_text(json.dumps(items))

        def once(kind: str = kind, file: Path = file) -> float:
            found = call(lab, "plan", path, file)
            if found["changed"] != (0 if kind == "noop" else count):
                raise SystemExit(f"{found['changed']} of {count} plans change something: {kind}")
            return float(found["seconds"])

        median = section.add(f"plans, {label}", count, rounds(runs, {f"plan {kind}": once})[f"plan {kind}"])
        section.expect(f"plans for {count} containers, {label}", median * 1000, 100, "ms")
    lab.wipe(path)
    return [section]
