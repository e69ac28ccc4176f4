# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lxc_fleet costs beside a looped module, LXC's commands and bare liblxc. See scripts/bench."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Callable

import fleet_bulk
import fleet_grow
import fleet_host
import fleet_noop
from fleet_lab import CACHE, Lab, lab, sysctl
from fleet_report import Section, bars_markdown, machine, progress, save

JOBS: dict[str, Callable[[Lab, int, bool], list[Section]]] = {
    "noop": fleet_noop.noop,
    "observe": fleet_noop.observe,
    "plan": fleet_noop.plan,
    "create": fleet_bulk.create,
    "start": fleet_bulk.power,
    "stop": fleet_bulk.power,
    "facts": fleet_bulk.facts,
    "grow": fleet_grow.grow,
    "host": fleet_host.host,
}


def figures(limit: int) -> Path:
    """Where the figures themselves are kept."""
    return CACHE / "bench" / ("fleet-tried.json" if limit else "fleet.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench fleet", description=__doc__)
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"{', '.join(JOBS)}; all of them by default")
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--peer", action="store_true", help="community.general.lxc_container as well")
    parser.add_argument("--limit", type=int, default=0, help="no more containers than that: to try the bench")
    parser.add_argument("--plot", type=Path, help="draw the growth into this PNG file")
    options = parser.parse_args()
    for job in options.jobs:
        if job not in JOBS:
            parser.error(f"there is no job '{job}', only {', '.join(JOBS)}")
    chosen = list(dict.fromkeys(JOBS[job] for job in options.jobs or JOBS))
    facts = machine()
    sections: list[Section] = []
    try:
        # Six for each of 3,000 guests or more do not fit into the usual 4,096 terminals.
        with lab(options.limit) as where, sysctl("kernel.pty.max", 20480):
            for job in chosen:
                progress(f"-- {job.__name__}")
                sections += job(where, max(options.runs, 1), options.peer)
    except KeyboardInterrupt:
        sys.exit("interrupted")
    finally:
        report(facts, sections, options)
    if options.plot:
        fleet_grow.draw(figures(options.limit), options.plot)
    sys.exit(any(not one.met for section in sections for one in section.bars))


def report(facts: dict[str, str], sections: list[Section], options: argparse.Namespace) -> None:
    """Print what there is so far: of an interrupted run the sections that were complete."""
    if not sections:
        return
    facts["load after"] = f"{os.getloadavg()[0]:.1f}"
    line = ", ".join(f"{name} {value}" for name, value in facts.items())
    print(f"{line}; busybox guests; medians of {options.runs} (`{' '.join(['scripts/bench fleet', *sys.argv[1:]])}`)")
    if options.limit:
        print(f"\n**Fleets of {options.limit} containers at most: the bars are for larger ones.**")
    print()
    for section in sections:
        print(section.markdown())
    if any(section.bars for section in sections):
        print("### Bars\n")
        print(bars_markdown(sections))
    save(figures(options.limit), facts, sections)


if __name__ == "__main__":
    main()
