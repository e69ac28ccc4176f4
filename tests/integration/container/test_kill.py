# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""kill -9 at random points: the next run converges, and nothing is lost, orphaned or left lying about."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

EMPTY = [{"type": "empty"}]
#: Which work is killed how often: 50 times in all. Every second time the whole process group goes.
ROUNDS = {"create": 14, "clone": 14, "snapshot": 12, "destroy": 10}
#: A fresh one for each run; LVT_SEED repeats a run's.
SEED = int(os.environ.get("LVT_SEED") or random.SystemRandom().randrange(10**6))


def source(work: str) -> dict:
    if work == "create":
        return {"template": {"name": "busybox"}, "networks": EMPTY}
    return {"clone": {"from": "base", "snapshot": work == "snapshot"}, "config": {"lxc.start.order": 7}}


def ranges(lab) -> dict[str, set[tuple[int, int]]]:
    """The host ids of each container's own map."""
    found = {}
    for name in lab.names():
        lines = [line.split() for line in lab.lines(name, "lxc.idmap")]
        found[name] = {(int(line[2]), int(line[2]) + int(line[3])) for line in lines}
    return found


def check_in_order(lab, base_files: dict[str, str], expected: set[str], snapshots: set[str], tmp: Path) -> None:
    """Everything that must be true once the run after the killed one has ended."""
    assert set(lab.names()) == expected | {"base"}
    now = {path: text for path, text in lab._hash(lab.path / "base").items() if path not in (".", "lxc_snapshots")}
    assert now == base_files, "the origin was touched"
    listed = lab.path / "base" / "lxc_snapshots"
    pairs = listed.read_text().splitlines() if listed.exists() else []
    assert sorted(zip(pairs[::2], pairs[1::2])) == sorted((str(lab.path), name) for name in snapshots)
    for name in expected:
        folder = lab.path / name
        left = [entry for entry in os.listdir(folder) if entry == "partial" or ".lightervisor" in entry]
        assert not left, f"{name} still has {left}"
        assert lab.state(name) == "STOPPED"
        first = min(start for start, _end in ranges(lab)[name])
        top = folder / ("overlay/delta" if name in snapshots else "rootfs")
        owner = (lab.path / "base" / "rootfs" if name in snapshots else top).stat().st_uid
        assert owner == first
        if name not in snapshots:
            assert (top / "bin" / "busybox").lstat().st_uid == first
    assert os.listdir(tmp) == [], "temporary files are left"
    seen: list[tuple[int, int]] = []
    for name, own in ranges(lab).items():
        if name not in snapshots:
            for start, end in own:
                assert all(end <= other or start >= other_end for other, other_end in seen), f"{name} shares ids"
            seen += own


def processes_of(path: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if re.search(re.escape(os.fsencode(path)) + rb"(?:[/\0]|$)", words):
            found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("work", list(ROUNDS))
def test_killed_at_any_point_the_next_run_converges(lab, start_module, tmp_path, work):
    dice = random.Random(f"{SEED}-{work}")
    print(f"LVT_SEED={SEED}")
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    env = {"TMPDIR": str(tmp)}
    lab.make("base")
    base_files = {path: text for path, text in lab._hash(lab.path / "base").items() if path != "."}
    options = source("snapshot" if work == "destroy" else work)
    shared = {"c"} if "clone" in options and options["clone"]["snapshot"] else set()
    # How long it takes here and now, undisturbed: the kills are spread over that time and a little more.
    took = lab.task("c", **options).seconds
    if work == "destroy":
        took = lab.task("c", state="absent").seconds
    else:
        lab.task("c", state="absent")
    hits = 0
    for attempt in range(ROUNDS[work]):
        state = "present"
        if work == "destroy":
            options = source(("create", "clone", "snapshot")[attempt % 3])
            shared = {"c"} if "clone" in options and options["clone"]["snapshot"] else set()
            lab.task("c", **options)
            state = "absent"
        params = {"name": "c", "lxcpath": str(lab.path), "state": state, **options}
        process = start_module("lxc_container", params, env=env)
        handle = os.pidfd_open(process.pid)
        # Nothing happens while Python starts: the first fifth is left out.
        select.select([handle], [], [], took * dice.uniform(0.2, 1))
        os.close(handle)
        kill = os.killpg if attempt % 2 else os.kill
        try:
            kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        hit = process.wait() == -signal.SIGKILL
        hits += hit
        if not hit:
            # It has become quicker than it was when it was timed: another load on the machine, or warm caches.
            took *= 0.8
        begin = time.monotonic()
        # What was wanted, or the contrary: both find their way from wherever the killed run stopped.
        contrary = attempt % 4 > 1
        after = {"present": "absent", "absent": "present"}[state] if contrary else state
        first = lab.task("c", state=after, fails=None if work == "destroy" else False, **options)
        if first.get("failed"):
            # Some of it may be gone, or nothing: only a human can tell.
            assert contrary and "it was being destroyed when a run was interrupted" in first["msg"], first["msg"]
            lab.task("c", state="absent")
            lab.task("c", state=after, **options)
        assert time.monotonic() - begin < 30
        there = {"c"} if after == "present" else set()
        check_in_order(lab, base_files, there, shared & there, tmp)
        assert not processes_of(lab.path)
        lab.unchanged("c", state=after, **options)
        if there:
            subprocess.run(["lxc-start", "-P", str(lab.path), "-n", "c"], check=True, timeout=60)
            lab.task("c", state="absent", shutdown_timeout=0)
            check_in_order(lab, base_files, set(), set(), tmp)
    # A snapshot takes a moment only, on a machine whose load comes and goes.
    assert hits >= ROUNDS[work] // 3, "most of the runs had ended before they were killed"
