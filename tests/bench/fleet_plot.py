# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draws how each operation grows with the number of containers. `python fleet_plot.py FIGURES.json TARGET.png`"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

TITLES = {
    "create": "create (overlay clone)",
    "noop": "nothing to change",
    "config": "change the config",
    "start": "start",
    "stop": "stop (kill)",
    "destroy": "destroy",
}
STYLES = {
    "play": ("tab:blue", "o-", 2.2),
    "bare": ("tab:green", "s-", 1.2),
    "loop": ("tab:orange", "^-", 1.2),
    "xargs": ("tab:brown", "v-", 1.2),
    "peer": ("tab:red", "D", 1.2),
}


def best_xargs(lines: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """The same with one line for all runs under xargs: the fastest at each size."""
    kept = {key: points for key, points in lines.items() if not key.startswith("xargs")}
    some = [points for key, points in lines.items() if key.startswith("xargs")]
    if some:
        kept["xargs"] = {size: min(points[size] for points in some) for size in some[0]}
    return kept


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    growth = json.loads(source.read_text())["Growth"]
    labels = {**growth["labels"], "xargs": "`lxc-*` under `xargs -P`, best of 2, 4, 8"}
    figure, axes = plt.subplots(2, 3, figsize=(12, 7.5), sharex=True, sharey=True)
    for axis, (operation, title) in zip(axes.flat, TITLES.items()):
        lines = best_xargs(growth["figures"][operation])
        for key, points in lines.items():
            if key not in STYLES:
                continue
            sizes = sorted(map(int, points))
            seconds = [points[str(size)] for size in sizes]
            colour, style, width = STYLES[key]
            label = labels[key].replace("`", "")
            axis.plot(sizes, seconds, style, color=colour, linewidth=width, markersize=4, label=label)
            if key == "peer":
                most = max(int(size) for other in lines.values() for size in other)
                line = [seconds[-1], seconds[-1] / sizes[-1] * most]
                axis.plot([sizes[-1], most], line, ":", color=colour, linewidth=1, label="… taken as linear")
        axis.set(title=title, xscale="log", yscale="log")
        sizes = sorted({int(size) for points in lines.values() for size in points})
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.minorticks_off()
        axis.grid(True, which="major", alpha=0.3)
    for axis in axes[1]:
        axis.set_xlabel("containers")
    for axis in axes[:, 0]:
        axis.set_ylabel("seconds")
    handles, texts = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="lower center", ncol=3, frameon=False)
    machine = growth["machine"]
    facts = ", ".join(f"{name} {machine[name]}" for name in ("cores", "Linux", "lxc", "ansible-core"))
    figure.suptitle(f"Seconds for so many containers ({facts})", fontsize=11)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=100, metadata={"Software": None})


main()
