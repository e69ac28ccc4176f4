# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole life of more and more containers, by lxc_fleet and by all others, and the picture of it."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from fleet_contenders import LABELS, OPERATIONS, Bare, Contender, Loop, Peer, Play, Process, Xargs, names
from fleet_lab import CACHE, HERE, Lab, clear_peers, run
from fleet_report import Section, figure, progress, seconds

SIZES = (10, 100, 300, 1000, 3000)
#: The others are linear: beyond these sizes nothing is learnt.
UP_TO = {"play": 3000, "process": 300, "bare": 1000, "xargs": 300, "loop": 300, "peer": 10}
COMPARED = 300

Times = dict[str, dict[str, dict[int, list[float]]]]


def grow(lab: Lab, runs: int, peer: bool) -> list[Section]:
    path = lab.lxcpath("grow")
    xargs = [Xargs(path, some) for some in (2, 4, 8)]
    everybody: list[Contender] = [Play(lab, path), Process(lab, path), Bare(path), Loop(path), *xargs]
    if peer:
        everybody.append(Peer(lab))
    sizes = sorted({lab.size(size) for size in SIZES})
    empty_play = lab.play("empty", [])
    empty = []
    times: Times = {operation: {} for operation in OPERATIONS}
    value = 10
    for turn in range(runs):
        empty.append(lab.playbook(empty_play))
        for one in everybody:
            for size in sizes:
                if size > lab.size(UP_TO[one.key.rstrip("248")]):
                    continue
                value += 1
                progress(f"{one.label}: a life of {size}, {turn + 1} of {runs}")
                for operation, taken in _life(lab, one, size, value).items():
                    times[operation].setdefault(one.key, {}).setdefault(size, []).append(taken)
    clear_peers()
    labels = {one.key: one.label for one in everybody}
    return [_compared(times, labels, lab.size(COMPARED), statistics.median(empty)), _growth(times, labels, sizes)]


def _life(lab: Lab, one: Contender, size: int, value: int) -> dict[str, float]:
    who = names(size, "peer-" if isinstance(one, Peer) else "")
    found = {}
    for operation in OPERATIONS:
        if isinstance(one, Peer) and operation == "noop":
            one.prepare(who)
        found[operation] = one.checked(operation, who, value)
    if not isinstance(one, Peer):
        lab.wipe(one.path)
    return found


def _compared(times: Times, labels: dict[str, str], size: int, empty: float) -> Section:
    section = Section(
        f"All of them beside each other, {size} containers",
        [
            "lxc_fleet: the whole `ansible-playbook`. In brackets: how many times that long. `xargs -P`: the best "
            "of 2, 4 and 8. The shell changes the config by `sed`.",
        ],
    )
    if "peer" in labels:
        section.remarks.append(
            f"The peer was measured in a loop of {UP_TO['peer']}; less an empty play ({seconds(empty)}), its time is "
            "taken as linear. It waits a second after each start and each destruction."
        )
    columns = {"play": "lxc_fleet", "process": "its module alone", "peer": "the peer, looped"}
    columns.update(loop="`lxc-*` in a loop", xargs="`xargs -P`", bare="bare liblxc")
    shown = [key for key in columns if key in {name.rstrip("248") for name in labels}]
    section.table.append(["", *(columns[key] for key in shown)])
    for operation in OPERATIONS:
        medians: dict[str, float] = {}
        for key, by_size in times[operation].items():
            taken = by_size.get(size)
            if taken is None:
                least, some = next(iter(by_size.items()))
                taken = [(one - empty) / least * size + empty for one in some]
            column, median = key.rstrip("248"), statistics.median(taken)
            medians[column] = min(median, medians.get(column, median))
        cells = [f"{seconds(medians[key])} ({figure(medians[key] / medians['play'])})" for key in shown[1:]]
        section.table.append([LABELS[operation], seconds(medians["play"]), *cells])
    return section


def _growth(times: Times, labels: dict[str, str], sizes: list[int]) -> Section:
    section = Section(
        "Growth",
        ["The whole `ansible-playbook` of lxc_fleet, for so many containers described once by a range of names."],
    )
    section.table.append(["", *map(str, sizes), f"each, {sizes[-2]} to {sizes[-1]}" if len(sizes) > 1 else ""])
    for operation, found in times.items():
        medians = {
            key: {size: statistics.median(some) for size, some in by_size.items()} for key, by_size in found.items()
        }
        mine = medians["play"]
        more = (mine[sizes[-1]] - mine[sizes[-2]]) / (sizes[-1] - sizes[-2]) if len(sizes) > 1 else 0
        section.table.append([LABELS[operation], *(seconds(mine[size]) for size in sizes), seconds(more)])
        section.figures[operation] = {
            key: {str(size): median for size, median in by_size.items()} for key, by_size in medians.items()
        }
    section.labels = labels
    return section


def draw(figures: Path, target: Path) -> None:
    """The picture, by the interpreter that has matplotlib: scripts/bench makes it."""
    python = os.environ.get("LVT_BENCH_PYTHON") or str(CACHE / "bench-venv" / "bin" / "python")
    run([python, HERE / "fleet_plot.py", figures, target])
    progress(f"wrote {target}")
