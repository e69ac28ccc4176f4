# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ids: every container its own by default, and the files on disk theirs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

BUSYBOX = {"name": "busybox"}
EMPTY = [{"type": "empty"}]


def ids(lab, name: str) -> range:
    kind, inside, first, count = lab.lines(name, "lxc.idmap")[0].split()
    assert (kind, inside) == ("u", "0")
    assert lab.lines(name, "lxc.idmap")[1].split() == ["g", "0", first, count]
    return range(int(first), int(first) + int(count))


def overlap(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)


def test_unprivileged_without_saying_so(lab, subids):
    lab.cycle("c", template=BUSYBOX, networks=EMPTY, state="started")
    own = ids(lab, "c")
    assert len(own) == 65536
    assert subids[0] <= own.start and own.stop <= subids[0] + subids[1]
    assert Path(f"/proc/{lab.pid('c')}").stat().st_uid == own.start
    root = lab.path / "c" / "rootfs"
    for path in (root, root / "bin", root / "etc" / "passwd"):
        assert (path.stat().st_uid, path.stat().st_gid) == (own.start, own.start)
    assert lab.in_guest("c", "/bin/id", "-u") == "0"
    assert lab.in_guest("c", "/bin/stat", "-c", "%u:%g", "/etc/passwd") == "0:0"


def test_no_two_share_ids(lab, lab_at, lxcpaths):
    """Neither in one lxcpath, nor across lxcpaths, nor with a map that somebody wrote by hand."""
    lab.make("one")
    other = lab_at(lxcpaths())
    other.make("two")
    hand = ids(other, "two").stop
    lab.make("hand", idmap=[f"u 0 {hand} 65536", f"g 0 {hand} 65536"])
    other.make("three")
    lab.make("four", clone={"from": "one"})
    taken = [ids(lab, name) for name in ("one", "hand", "four")] + [ids(other, name) for name in ("two", "three")]
    for n, one in enumerate(taken):
        assert not any(overlap(one, another) for another in taken[n + 1 :])


def test_made_at_the_same_time(lab, start_module):
    """Four runs at once: none waits for another's template, and no two get the same ids."""
    params = {"lxcpath": str(lab.path), "template": BUSYBOX, "networks": EMPTY}
    runs = [start_module("lxc_container", {"name": f"c{n}", **params}) for n in range(4)]
    for run in runs:
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0, out.decode() + err.decode()
    assert lab.names() == ["c0", "c1", "c2", "c3"]
    taken = [ids(lab, name) for name in lab.names()]
    assert not any(overlap(one, other) for n, one in enumerate(taken) for other in taken[n + 1 :])


def test_the_same_container_twice_at_the_same_time(lab, start_module):
    params = {"name": "c", "lxcpath": str(lab.path), "template": BUSYBOX, "networks": EMPTY, "state": "started"}
    runs = [start_module("lxc_container", params) for _run in range(3)]
    outs = [run.communicate(timeout=120)[0].decode() for run in runs]
    assert all(run.returncode == 0 for run in runs), outs
    assert sorted('"changed": true' in out for out in outs) == [False, False, True]
    assert lab.state("c") == "RUNNING"


def test_ids_of_the_destroyed_are_free_again(lab):
    lab.make("one")
    first = ids(lab, "one")
    lab.task("one", state="absent")
    lab.make("two")
    assert ids(lab, "two").start <= first.start


def test_privileged_is_written_down(lab):
    lab.cycle("c", template=BUSYBOX, networks=EMPTY, privileged=True, state="started")
    assert not lab.lines("c", "lxc.idmap")
    assert (lab.path / "c" / "rootfs" / "etc" / "passwd").stat().st_uid == 0
    assert Path(f"/proc/{lab.pid('c')}").stat().st_uid == 0


def test_explicit_map(lab, subids):
    first = subids[0] + subids[1] - 65536
    idmap = [f"u 0 {first} 1000", f"u 1000 {first + 1000} 64536", f"g 0 {first} 65536"]
    lab.cycle("c", template=BUSYBOX, networks=EMPTY, idmap=idmap, state="started")
    assert lab.lines("c", "lxc.idmap") == idmap
    assert (lab.path / "c" / "rootfs" / "etc" / "passwd").stat().st_uid == first
    for bad, path in ((["u 0 1"], "idmap"), ([], "idmap"), (["u 0 1 0"], "idmap"), (["x 0 1 2"], "idmap")):
        assert lab.refused("d", template=BUSYBOX, idmap=bad)["path"].startswith(path)


def test_explicit_map_and_privileged_exclude_each_other(lab):
    idmap = ["u 0 100000 65536", "g 0 100000 65536"]
    done = lab.refused("c", template=BUSYBOX, idmap=idmap, privileged=True)
    assert "idmap" in done["msg"] and "privileged" in done["msg"]


def test_without_subordinate_ids_it_says_what_to_do(lab, tmp_path):
    """In a mount namespace of its own, where root has none."""
    nothing = tmp_path / "subid"
    nothing.write_text("somebody:1:1\n")
    hide = f'mount --bind {nothing} /etc/subuid && mount --bind {nothing} /etc/subgid && exec "$@"'
    prefix = ("unshare", "-m", "sh", "-c", hide, "sh")
    params = {"name": "c", "lxcpath": str(lab.path), "template": BUSYBOX, "networks": EMPTY}
    for check in (True, False):
        done = lab._run("lxc_container", params, check=check, prefix=prefix, fails=True)
        assert done["msg"].startswith("Cannot create container 'c': it needs an id range of its own")
        assert "usermod --add-subuids" in done["msg"]
    assert lab.names() == []
    assert not lab._run("lxc_container", {**params, "privileged": True}, prefix=prefix, fails=False).get("failed")


def test_files_made_in_the_guest_belong_to_it(lab):
    lab.make(state="started")
    lab.in_guest("c", "/bin/sh", "-c", "touch /etc/made && chown 1000:1000 /etc/made")
    status = os.lstat(lab.path / "c" / "rootfs" / "etc" / "made")
    assert status.st_uid == ids(lab, "c").start + 1000
    shown = subprocess.run(["stat", "-c", "%u", str(lab.path / "c")], check=True, capture_output=True, text=True)
    assert int(shown.stdout) == ids(lab, "c").start
