# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A thousand containers through their whole life, with kill -9 in between."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.observe import observe_host

COUNT = int(os.environ.get("LVT_FLEET") or 1000)
#: How often each stage is killed before it may end. Every second time with all that it started.
KILLS = 3
#: A fresh one for each run; LVT_SEED repeats a run's.
SEED = int(os.environ.get("LVT_SEED") or random.SystemRandom().randrange(10**6))

BASE = {
    "name": "base",
    "state": "present",
    "template": {"name": "busybox"},
    "networks": [{"type": "empty"}],
    "config": {"lxc.console.path": "none", "lxc.tty.max": 0},
}
ALL = {"names": [f"k[0001:{COUNT:04d}]"], "clone": {"from": "base", "snapshot": True}}
LIMIT = {"config": {"lxc.prlimit.nofile": "2000"}, "restart": "if_needed"}
#: What is declared in turn, and the state in which the containers are then.
STAGES: list[tuple[str, dict[str, Any], str]] = [
    ("create", {"state": "present"}, "stopped"),
    ("start", {"state": "started"}, "running"),
    ("reconfigure", {"state": "started", **LIMIT}, "running"),
    ("stop", {"state": "stopped", **LIMIT}, "stopped"),
    ("destroy", {"state": "absent"}, ""),
]


def containers(options: dict[str, Any]) -> list[dict[str, Any]]:
    base = {**BASE, "state": "absent"} if options["state"] == "absent" else BASE
    return [{**ALL, **options}, base]


def kill(process: Any, whole: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        if whole:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def leftovers(lxcpath: Path) -> list[str]:
    """Notes and hidden folders that only an interrupted run leaves."""
    names = [entry.name for entry in os.scandir(lxcpath) if entry.name.startswith(".lightervisor")]
    return (
        names
        + [str(note) for note in lxcpath.glob("*/.lightervisor.json")]
        + [str(p) for p in lxcpath.glob("*/partial")]
    )


@pytest.mark.slow
def test_a_thousand_containers_killed_in_between(lxcpath, start_module, run_module):
    chance = random.Random(SEED)
    print(f"LVT_SEED={SEED}")
    common = {"lxcpath": str(lxcpath), "fleet": "k", "defaults": {"privileged": True, "shutdown_timeout": 0}}
    for stage, options, expected in STAGES:
        params = {**common, "containers": containers(options)}
        interrupted = 0
        for number in range(KILLS):
            process = start_module("lxc_fleet", params)
            time.sleep(chance.uniform(0.3, 4) * COUNT / 1000 + 0.3)
            interrupted += process.poll() is None
            kill(process, whole=number % 2 == 1)
        print(f"{stage}: interrupted {interrupted} times")
        done = run_module("lxc_fleet", params, fails=False, timeout=600)
        found = {one.name: one for one in observe_host([str(lxcpath)])}
        if expected:
            assert len(found) == COUNT + 1
            wrong = {name: one.state for name, one in found.items() if name != "base" and one.state != expected}
            assert not wrong, f"{stage}: {len(wrong)} are not {expected}"
            assert {one.health for one in found.values()} == {"ok"}, stage
            limits = {one.document.get("lxc.prlimit.nofile") for name, one in found.items() if name != "base"}
            assert limits == {LIMIT["config"]["lxc.prlimit.nofile"] if "config" in options else None}
            listed = (lxcpath / "base" / "lxc_snapshots").read_text().splitlines()
            assert sorted(listed[1::2]) == sorted(name for name in found if name != "base")
        else:
            assert not found
            assert list(lxcpath.iterdir()) == []
        assert leftovers(lxcpath) == [], stage
        again = run_module("lxc_fleet", params, fails=False)
        assert not again["changed"], f"{stage}: {again['containers'][:3]}"
        assert done["remaining"] == 0
    assert not re.search(f"@{lxcpath}/", Path("/proc/net/unix").read_text())
