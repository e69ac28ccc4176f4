# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A whole contest host: playbooks/worlds.yml beside bare liblxc that brings up the very same containers and NICs."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from fleet_lab import HERE, PREFIX, TOP, Lab, active, add_bridges, clear_bridges, end_programs, run, stop_all
from fleet_noop import call
from fleet_report import Section, progress, rounds

WORLDS = TOP / "playbooks" / "world"
#: Containers of one world of descriptions/contest.yml.
PER_TEAM = 43
TEAMS = 87
WORKERS = 2 * (os.cpu_count() or 1)
BASE = f"{PREFIX}busybox"


class Memory:
    """The most memory (Pss, MB) that a process and its descendants used, those apart that belong to containers."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._end = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        self._end.clear()
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.5):
            self.peak = max(self.peak, sum(map(_pss, _own_processes())) / 1024)


def _own_processes() -> list[int]:
    """What this process started and what that started; not the bench itself, monitors and guests."""
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        pid = todo.pop()
        try:
            children = [
                int(word)
                for task in os.listdir(f"/proc/{pid}/task")
                for word in Path(f"/proc/{pid}/task/{task}/children").read_text().split()
            ]
        except OSError:
            continue
        own = [child for child in children if not _is_guest(child)]
        found += own
        todo += own
    return found


def _is_guest(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith((b"[lxc monitor]", b"/sbin/init", b"init"))
    except OSError:
        return True


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def host(lab: Lab, runs: int, _peer: bool) -> list[Section]:
    teams = max(1, lab.limit // PER_TEAM) if lab.limit else TEAMS
    path = lab.folder / "host"
    path.mkdir(mode=0o755)
    saved = lab.folder / "host-configs"
    saved.mkdir()
    inventory = lab.folder / "hosts.yml"
    inventory.write_text("lxc_hosts: {hosts: {lvt-bench: {ansible_connection: local, ansible_become: false}}}\n")
    memory = Memory()

    def worlds(state: str, changed: bool) -> float:
        values = {
            "worlds_state": state,
            "worlds_teams": teams,
            "worlds_description": "world/descriptions/contest.yml",
            "worlds_lxcpath": path,
            "worlds_prefix": PREFIX,
            "worlds_privileged": "true",
            "worlds_workers": WORKERS,
        }
        words = [word for name, value in values.items() for word in ("-e", f"{name}={value}")]
        python = ("-e", f"ansible_python_interpreter={lab.python}")
        return lab.playbook(TOP / "playbooks" / "worlds.yml", changed, ["-i", str(inventory), *words, *python])

    def expect(number: int) -> None:
        if len(active(path)) != number:
            raise SystemExit(f"{len(active(path))} containers run, not {number}")

    def up() -> float:
        with memory.watched():
            taken = worlds("present", True)
        expect(PER_TEAM * teams)
        for folder in path.iterdir():
            if folder.name != BASE and (folder / "config").exists():
                (saved / folder.name).write_text((folder / "config").read_text())
        return taken

    states: list[float] = []
    everything: list[float] = []

    def facts() -> float:
        found = call(lab, "addresses", path)
        if found["count"] != PER_TEAM * teams:
            raise SystemExit(f"{found['count']} of {PER_TEAM * teams} containers have an address")
        states.append(found["states"])
        everything.append(found["all"])
        return float(found["states"] + found["seconds"])

    def lxc_ls() -> float:
        begin = time.monotonic()
        subprocess.run(["lxc-ls", "-P", path, "-f", "-F", "NAME,STATE,IPV6"], check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - begin

    def down() -> float:
        taken = worlds("absent", True)
        if any(path.glob("*/config")):
            raise SystemExit(f"{len(list(path.glob('*/config')))} containers were left")
        return taken

    def bare() -> float:
        lab.wipe(path, "")
        texts = "\n".join(file.read_text() for file in saved.iterdir())
        links = sorted(set(re.findall(r"^lxc\.net\.\d+\.link = (.*)$", texts, re.MULTILINE)))
        begin = time.monotonic()
        add_bridges(links)
        run(["lxc-create", "-P", path, "-n", BASE, "-f", "/dev/null", "-t", WORLDS / "guest" / "lxc-world"])
        names = "\n".join(sorted(file.name for file in saved.iterdir()))
        run(["/usr/bin/python3", HERE / "fleet_bare.py", "world", path, str(WORKERS), BASE, saved], names)
        taken = time.monotonic() - begin
        expect(PER_TEAM * teams)
        return taken

    def bare_down() -> float:
        begin = time.monotonic()
        names = "\n".join(sorted(file.name for file in saved.iterdir()))
        run(["/usr/bin/python3", HERE / "fleet_bare.py", "stop", path, "16"], names)
        run(["/usr/bin/python3", HERE / "fleet_bare.py", "destroy", path, str(WORKERS)], names)
        run(["/usr/bin/python3", HERE / "fleet_bare.py", "destroy", path, "1"], BASE)
        clear_bridges()
        return time.monotonic() - begin

    try:
        found = rounds(
            runs,
            {
                "host up": up,
                "host again": lambda: worlds("present", False),
                "host facts": facts,
                "host lxc-ls": lxc_ls,
                "host info": lambda: float(lab.inside("lxc_info", {"lxcpath": [str(path)]}, False)["process"]),
                "host down": down,
                "bare up": bare,
                "bare down": bare_down,
            },
        )
        configs = [file.read_text() for file in saved.iterdir()]
    finally:
        progress("taking the host down")
        end_programs(lab.folder)
        stop_all(path)
        clear_bridges()
        lab.wipe(path, "")
    count = len(configs)
    nics = sum(text.count(".type = veth") for text in configs)
    lines = [line for text in configs for line in text.splitlines()]
    routes = sum(line.count("=") - 2 for line in lines if "WORLD_ROUTES=" in line)
    routes += sum(".ipv6.gateway" in line for line in lines)
    section = Section(
        "A whole contest host",
        [
            f"`playbooks/worlds.yml` with {teams} worlds of `descriptions/contest.yml`: {count} overlay clones of one "
            f"busybox, privileged, {nics} NICs, {5 * teams} bridges, {routes} static routes, {WORKERS} workers.",
            "Bare liblxc: the same bridges by one `ip -batch`, then in as many processes for each container `clone()`, "
            "its config written as one file, `start()`.",
            "Memory: the highest sum of Pss of `ansible-playbook`, module and workers, looked at twice a second.",
        ],
    )
    mine = section.add("from nothing to running, whole ansible-playbook", count, found["host up"])
    theirs = section.add("the same by bare liblxc", count, found["bare up"])
    again = section.add("nothing to change, whole ansible-playbook", count, found["host again"])
    known = section.add("states and addresses, the calls", count, found["host facts"])
    section.add("states alone, the call", count, states)
    section.add("configs, states and addresses, the call", count, everything)
    section.add("lxc_info, the module's process", count, found["host info"])
    section.add("`lxc-ls -f -F NAME,STATE,IPV6`", count, found["host lxc-ls"])
    section.add("from running to nothing, whole ansible-playbook", count, found["host down"])
    section.add("the same by bare liblxc, 16 processes for the stops", count, found["bare down"])
    section.expect(
        f"{count} containers and {nics} NICs from nothing to running, beside bare liblxc", mine / theirs, 1.3
    )
    section.expect(f"{count} containers again, nothing to change, whole ansible-playbook", again, 5, "s")
    section.expect(f"states and addresses of {count} running containers", known, 1.5, "s")
    section.expect("peak memory of our own processes", memory.peak, 400, "MB")
    return [section]
