# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was measured, as tables in Markdown and as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Callable, Mapping, Sequence


@dataclass(frozen=True)
class Row:
    what: str
    containers: int
    times: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.times)


@dataclass(frozen=True)
class Bar:
    what: str
    value: float
    limit: float
    unit: str = "×"
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass
class Section:
    title: str
    remarks: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    #: A table of another shape, its heading first.
    table: list[list[str]] = field(default_factory=list)
    #: Medians by operation, contender and number of containers, and the contenders' names: what a plot needs.
    figures: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, containers: int, times: Sequence[float], note: str = "") -> float:
        """Append a row; returns its median."""
        row = Row(what, containers, tuple(times), note)
        self.rows.append(row)
        return row.median

    def expect(self, what: str, value: float, limit: float, unit: str = "×", at_least: bool = False) -> None:
        self.bars.append(Bar(what, value, limit, unit, at_least))

    def markdown(self) -> str:
        lines = [f"### {self.title}", ""]
        if self.remarks:
            lines += [*self.remarks, ""]
        if self.rows:
            lines += ["| what | containers | median | lowest - highest | each | |", "|---|---|---|---|---|---|"]
            for row in self.rows:
                spread = f"{seconds(min(row.times))} - {seconds(max(row.times))}"
                each = seconds(row.median / row.containers) if row.containers > 1 else ""
                lines.append(
                    f"| {row.what} | {row.containers or ''} | {seconds(row.median)} | {spread} | {each} | {row.note} |"
                )
            lines.append("")
        if self.table:
            lines += [f"| {' | '.join(row)} |" for row in self.table]
            lines.insert(len(lines) - len(self.table) + 1, "|---" * len(self.table[0]) + "|")
            lines.append("")
        return "\n".join(lines)


def bars_markdown(sections: Sequence[Section]) -> str:
    lines = ["| bar | measured | asked | |", "|---|---|---|---|"]
    for section in sections:
        for one in section.bars:
            verdict = "met" if one.met else "**MISSED**"
            asked = f"{'≥' if one.at_least else '≤'} {one.limit:g} {one.unit}"
            lines.append(f"| {one.what} | {figure(one.value)} {one.unit} | {asked} | {verdict} |")
    return "\n".join(lines) + "\n"


def seconds(value: float) -> str:
    if value < 0.0995:
        return f"{figure(value * 1000)} ms"
    return f"{figure(value)} s"


def figure(value: float) -> str:
    """Three digits that count, no more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def rounds(runs: int, work: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Do each so many times, taking turns, so that load from elsewhere meets all of them alike."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for number in range(runs):
        for name, function in work.items():
            taken = function()
            found[name].append(taken)
            progress(f"{name}, {number + 1} of {runs}: {seconds(taken)}")
    return found


def progress(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def machine() -> dict[str, str]:
    """What the figures depend on."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    lxc = subprocess.run(["lxc-start", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    from ansible.release import __version__ as ansible

    return {
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory.split()[1]) / 2**20:.0f} GB",
        "Linux": platform.release(),
        "cgroup": "2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "1",
        "lxc": lxc,
        "ansible-core": ansible,
        "Python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def save(path: Path, facts: Mapping[str, str], sections: Sequence[Section]) -> None:
    """Keep the figures themselves: a later run replaces the sections that it measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(path.read_text()) if path.exists() else {}
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    kept.update((one.title, {"machine": dict(facts), "when": when, **asdict(one)}) for one in sections)
    path.write_text(json.dumps(kept, indent=1) + "\n")
