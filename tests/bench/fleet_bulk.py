# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fleets with everything to do: clones, starts, stops, shutdowns, and the addresses of what runs."""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path
from typing import Callable, Sequence

from fleet_contenders import Bare, Contender, Loop, Play, Process, Xargs, names
from fleet_lab import HERE, Lab, run, stop_all
from fleet_noop import call
from fleet_report import Section, figure, progress, rounds, seconds

PARALLEL = (2, 4, 8)
WORK = "lxc_fleet, the module's own work"
LEGEND = (
    "Three figures for lxc_fleet: the whole `ansible-playbook` process; the module as a process without Ansible; and "
    "its own work, from the check of its arguments to the result, without Python's start and the imports at the top."
)


def contenders(lab: Lab, path: Path) -> list[Contender]:
    return [Play(lab, path), Process(lab, path), Loop(path), *(Xargs(path, some) for some in PARALLEL), Bare(path)]


def best_xargs(found: dict[str, list[float]]) -> str:
    return min((f"xargs{some}" for some in PARALLEL), key=lambda key: statistics.median(found[key]))


def create(lab: Lab, runs: int, _peer: bool) -> list[Section]:
    sections = []
    for kind, path, least in (("overlay", lab.lxcpath("create"), 10), ("btrfs", lab.btrfs(), 2)):
        who = names(lab.size(500))
        section = Section(f"Clones of one base, {kind}", [LEGEND])
        all_of_them = contenders(lab, path)

        def once(one: Contender, path: Path = path, who: Sequence[str] = who) -> float:
            lab.wipe(path)
            return one.checked("create", who)

        found = rounds(runs, {one.key: (lambda one=one: once(one)) for one in all_of_them})
        lab.wipe(path)
        loop = statistics.median(found["loop"])

        def faster(times: Sequence[float], loop: float = loop) -> str:
            return f"{figure(loop / statistics.median(times))} × as fast as `lxc-copy -s` in a loop"

        best = best_xargs(found)
        for one in all_of_them:
            if not isinstance(one, Xargs) or one.key == best:
                section.add(one.label, len(who), found[one.key], "" if one.key == "loop" else faster(found[one.key]))
            if isinstance(one, Process):
                work = section.add(WORK, len(who), one.work["create"], faster(one.work["create"]))
        what = f"{len(who)} {kind} clones, own work, faster than `lxc-copy -s` in a loop"
        section.expect(what, loop / work, least, "×", True)
        sections.append(section)
    return sections


def power(lab: Lab, runs: int, _peer: bool) -> list[Section]:
    count = lab.size(300)
    who = names(count)
    path = lab.lxcpath("power")
    Bare(path).checked("create", who)
    quick = Xargs(path, 4)
    all_of_them = contenders(lab, path)
    up = Section("Start", [LEGEND])
    down = Section("Stop by killing", [])

    def start(one: Contender) -> float:
        stop_all(path)
        return one.checked("start", who)

    def stop(one: Contender) -> float:
        return one.checked("stop", who)

    work: dict[str, Callable[[], float]] = {}
    for one in all_of_them:
        work[f"start {one.key}"] = lambda one=one: start(one)
        work[f"stop {one.key}"] = lambda one=one: stop(one)
    found = rounds(runs, work)
    for operation, section in (("start", up), ("stop", down)):
        these = {one.key: found[f"{operation} {one.key}"] for one in all_of_them}
        best = best_xargs(these)
        floor = statistics.median(these[best])
        for one in all_of_them:
            note = f"{statistics.median(these[one.key]) / floor:.2f} × the best of `xargs`"
            if one.key == best:
                note = f"the best of {', '.join(map(str, PARALLEL))}"
            if not isinstance(one, Xargs) or one.key == best:
                section.add(one.label, count, these[one.key], note)
            if isinstance(one, Process):
                mine = statistics.median(one.work[operation])
                section.add(WORK, count, one.work[operation], f"{mine / floor:.2f} × the best of `xargs`")
                ratio = statistics.median(these[one.key]) / floor
        what = f"{operation} {count}, the module's process, beside `xargs -P {best[5:]} lxc-{operation}`"
        section.expect(what, ratio, 1.2)
    graceful = _graceful(lab, path, runs, who, quick)
    lab.wipe(path)
    return [up, down, graceful]


def _graceful(lab: Lab, path: Path, runs: int, who: Sequence[str], quick: Contender) -> Section:
    """Guests of busybox need a second or two, most of which is their init's own waiting."""
    section = Section(
        "Shut down",
        [
            "The slowest: all guests are told from one process on bare liblxc, then all are awaited.",
        ],
    )
    play, process, loop, bare = Play(lab, path), Process(lab, path), Loop(path), Bare(path)

    def after_start(one: Contender, some: Sequence[str]) -> float:
        stop_all(path)
        quick.checked("start", some)
        # Busybox' init must have set its signal handlers.
        time.sleep(2)
        return one.checked("shutdown", some)

    found = rounds(
        runs,
        {
            "shutdown one": lambda: after_start(loop, who[:1]),
            "shutdown bare": lambda: after_start(bare, who),
            "shutdown process": lambda: after_start(process, who),
            "shutdown play": lambda: after_start(play, who),
        },
    )
    single = section.add("`lxc-stop`, one guest", 1, found["shutdown one"])
    floor = section.add("the slowest: bare liblxc, all told first", len(who), found["shutdown bare"])
    section.add(play.label, len(who), found["shutdown play"])
    ratio = statistics.median(found["shutdown process"]) / floor
    section.add(process.label, len(who), found["shutdown process"], f"{ratio:.2f} × the slowest")
    section.add(WORK, len(who), process.work["shutdown"])
    section.remarks.append(f"One after the other they would need {seconds(single * len(who))}.")
    section.expect(f"shut down {len(who)}, the module's process, beside the slowest of them", ratio, 1.2)
    return section


def facts(lab: Lab, runs: int, _peer: bool) -> list[Section]:
    count = lab.size(1000)
    who = names(count)
    section = Section("Addresses of running containers", ["Each has one interface with one IPv6 address."])
    path = lab.lxcpath("facts")
    bare = Bare(path)
    bare.checked("create", who)
    for number, name in enumerate(who, 1):
        config = path / name / "config"
        kept = [line for line in config.read_text().splitlines() if not line.startswith("lxc.net.")]
        nic = {"type": "veth", "flags": "up", "name": "net0", "ipv6.address": f"fd00:1e:2::{number:x}/64"}
        config.write_text("\n".join([*kept, *(f"lxc.net.0.{key} = {value}" for key, value in nic.items()), ""]))
    progress(f"starting {count} containers with an interface each")
    bare.checked("start", who)
    whole: list[float] = []

    def ours() -> float:
        found = call(lab, "addresses", path)
        if found["count"] != count:
            raise SystemExit(f"{found['count']} of {count} containers have an address")
        whole.append(found["all"])
        return float(found["seconds"])

    def get_ips() -> float:
        return float(run(["/usr/bin/python3", HERE / "fleet_bare.py", "addresses", path, "1"], "\n".join(who)))

    def lxc_ls() -> float:
        begin = time.monotonic()
        subprocess.run(["lxc-ls", "-P", path, "-f", "-F", "NAME,STATE,IPV6"], check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - begin

    info = lab.play("info", [{"lightervisor.lxc.lxc_info": {"lxcpath": [str(path)]}}])
    found = rounds(
        runs,
        {
            "addresses": ours,
            "get_ips": get_ips,
            "lxc-ls": lxc_ls,
            "lxc_info": lambda: lab.playbook(info, False),
        },
    )
    mine = section.add("addresses, the call", count, found["addresses"])
    section.add("configs, states and addresses, the call", count, whole)
    section.add("lxc_info, whole ansible-playbook", count, found["lxc_info"])
    section.add("`get_ips()` of the binding", count, found["get_ips"], "a fork for each")
    section.add("`lxc-ls -f`", count, found["lxc-ls"])
    section.expect(f"addresses of {count} running containers, the call", mine * 1000, 100, "ms")
    lab.wipe(path)
    return [section]
