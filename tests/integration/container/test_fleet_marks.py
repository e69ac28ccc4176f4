# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a fleet finds of its own: also what killed runs have left of it, and nothing that is somebody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._host import journal
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.fleet_marks import marked, write_mark
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.observe import observe
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.observed import HALF_CLONED, OK

BASE = {"name": "base", "template": {"name": "busybox"}, "networks": [{"type": "empty"}], "privileged": True}
SNAPSHOT = {"clone": {"from": "base", "snapshot": True}, "privileged": True}
MINE = {"fleet": "mine", "prune": True}


def make_marked(folder: Path, fleet: str = "mine") -> Path:
    folder.mkdir()
    write_mark(str(folder), fleet)
    return folder


@pytest.fixture
def fleet(lab: Any, run_module: Any) -> Any:
    """A task of lxc_fleet on the lab's lxcpath."""

    def run(*containers: Any, **options: Any) -> Any:
        params = {"containers": list(containers), "lxcpath": str(lab.path), **MINE, **options}
        return run_module("lxc_fleet", params, fails=False)

    return run


def test_hidden_directories_count_by_their_containers_names(tmp_path: Path) -> None:
    make_marked(tmp_path / "seen")
    make_marked(tmp_path / ".lightervisor-going")
    make_marked(tmp_path / ".lightervisor-theirs", "other")
    make_marked(tmp_path / ".hidden")
    (tmp_path / "unmarked").mkdir()
    # Somebody has made a new one of that name since.
    make_marked(tmp_path / ".lightervisor-again")
    (tmp_path / "again").mkdir()
    assert marked(str(tmp_path), "mine") == ["going", "seen"]
    assert marked(str(tmp_path / "none"), "mine") == []


def test_what_is_no_directory_or_no_file_is_no_mark(tmp_path: Path) -> None:
    outside = make_marked(tmp_path / "outside")
    lxcpath = tmp_path / "lxcpath"
    lxcpath.mkdir()
    (lxcpath / "link").symlink_to(outside)
    (lxcpath / ".lightervisor-link").symlink_to(outside)
    for name in ("linked", "fifo", "foreign", "long"):
        (lxcpath / name).mkdir()
    (lxcpath / "linked" / journal.MARK).symlink_to(outside / journal.MARK)
    os.mkfifo(lxcpath / "fifo" / journal.MARK)
    write_mark(str(lxcpath / "foreign"), "mine")
    os.chown(lxcpath / "foreign" / journal.MARK, 100000, 100000)
    (lxcpath / "long" / journal.MARK).write_text("mine\n" * 2)
    assert marked(str(lxcpath), "mine") == []
    with pytest.raises(OSError):
        write_mark(str(lxcpath / "fifo"), "mine")
    with pytest.raises(OSError):
        write_mark(str(lxcpath / "linked"), "mine")


def test_a_link_in_the_lxcpath_does_not_stop_the_others(lab, fleet, tmp_path):
    fleet(BASE)
    (lab.path / "link").symlink_to(make_marked(tmp_path / "outside"))
    fleet()
    assert lab.names() == ["link"]


KILLED = """
import os, signal, sys
from ansible_collections.lightervisor.lxc.plugins.module_utils._host import lifecycle
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.container import ContainerSpec
left = int(sys.argv[2])
def count(event, args):
    global left
    if event in ("os.remove", "os.rmdir", "os.rename"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
lifecycle.destroy(ContainerSpec("c", sys.argv[1]))
"""


def test_a_prune_that_was_killed_anywhere_is_finished_by_the_next(lab, fleet, collections_path):
    fleet(BASE)
    step, killed = 0, 0
    while True:
        fleet(BASE, {"name": "c", **SNAPSHOT})
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(lab.path), str(step)],
            env={**os.environ, "PYTHONPATH": str(collections_path)},
            check=False,
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        if (lab.path / ".lightervisor-c").exists() and not os.listdir(lab.path / ".lightervisor-c"):
            # Nothing but the empty directory is left, which the next container of that name takes away.
            os.rmdir(lab.path / ".lightervisor-c")
        else:
            killed += 1
            assert fleet(BASE)["changed"]
        assert lab.names() == ["base"]
        assert not (lab.path / "base" / "lxc_snapshots").exists()
        assert not fleet(BASE)["changed"]
        step += 1
    assert killed >= 5
    assert lab.names() == ["base"]


def test_a_creation_that_was_killed_is_pruned(lab, fleet):
    """Also when the template had not begun, or lxc-copy has only written its origin's config."""
    fleet(BASE)
    folder = lab.path / "c"
    journal.begin(str(folder), "create")
    write_mark(str(folder), "mine")
    assert fleet(BASE)["changed"]
    assert lab.names() == ["base"]
    journal.begin(str(folder), "clone")
    write_mark(str(folder), "mine")
    text = "".join(line for line in lab.config("base").splitlines(True) if "lxc.rootfs.path" not in line)
    (folder / "config").write_text(text)
    assert observe("c", str(lab.path)).health == HALF_CLONED
    assert fleet(BASE)["changed"]
    assert lab.names() == ["base"]


@pytest.mark.parametrize("left", ["the origin's config", "all but the end of the note"])
def test_a_full_clone_that_was_killed_is_made_by_the_next_run(lab, fleet, tmp_path, left):
    fleet(BASE)
    whole = {"name": "c", "privileged": True, "clone": {"from": "base"}}
    folder = lab.path / "c"
    if left == "the origin's config":
        journal.begin(str(folder), "clone")
        text = "".join(line for line in lab.config("base").splitlines(True) if "lxc.rootfs.path" not in line)
        (folder / "config").write_text(text)
        assert observe("c", str(lab.path)).health == HALF_CLONED
    else:
        fleet(BASE, whole)
        journal.begin(str(tmp_path / "c"), "clone")
        (tmp_path / "c" / journal.FILE).rename(folder / journal.FILE)
    result = fleet(BASE, whole)
    assert [one["actions"][-1] for one in result["containers"]] == ["clone 'base' to 'c'"]
    assert observe("c", str(lab.path)).health == OK
    assert (folder / "rootfs/bin/busybox").exists()
    assert not fleet(BASE, whole)["changed"]


@pytest.mark.parametrize("how", ["create", "clone"])
def test_the_mark_is_there_as_soon_as_the_note_is(lab, fleet, tmp_path, how):
    fleet(BASE)
    folder, seen = lab.path / "c", tmp_path / "seen"
    tool = tmp_path / f"lxc-{'copy' if how == 'clone' else how}"
    tool.write_text(f"#!/bin/sh\nls -A {folder} >{seen}\nexit 1\n")
    tool.chmod(0o755)
    how_made = {"clone": {"from": "base"}} if how == "clone" else {"template": BASE["template"]}
    params = {"containers": [BASE, {"name": "c", "privileged": True, **how_made}], "lxcpath": str(lab.path), **MINE}
    lab._run("lxc_fleet", params, fails=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert seen.read_text().split() == [journal.MARK, journal.FILE]
    assert lab.names() == ["base"]
