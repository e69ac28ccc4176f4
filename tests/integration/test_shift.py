# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shifting the owners of a tree from one id map to another, on ext4 or what /var/tmp is, tmpfs, overlay and btrfs."""

from __future__ import annotations

import os
import select
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.shift import shift_tree
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.idmap import IdMap, parse_idmap
from ansible_collections.lightervisor.lxc.tests.integration.conftest import hash_tree

PRIVILEGED = IdMap()
A = parse_idmap(["u 0 100000 65536", "g 0 200000 65536"])
B = parse_idmap(["u 0 300000 65536", "g 0 400000 65536"])
MARK = "trusted.lightervisor.shift"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("setfacl", "setcap"))), reason="needs setfacl (package acl) and setcap (libcap2-bin)"
)


def run(*argv: str | Path) -> str:
    return subprocess.run(list(map(str, argv)), check=True, capture_output=True, text=True).stdout


def owner(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


@pytest.fixture(params=["disk", "tmpfs", "overlay", "btrfs"])
def place(request: pytest.FixtureRequest, lxcpath: Path) -> Iterator[Path]:
    """An empty directory on a file system of that kind."""
    if request.param == "disk":
        yield lxcpath
    elif request.param == "btrfs":
        yield request.getfixturevalue("btrfs_path")
    else:
        mount = lxcpath / "mount"
        mount.mkdir()
        if request.param == "tmpfs":
            run("mount", "-t", "tmpfs", "none", mount)
        else:
            for name in ("lower", "upper", "work"):
                (lxcpath / name).mkdir()
            build(lxcpath / "lower" / "tree")
            layers = f"lowerdir={lxcpath}/lower,upperdir={lxcpath}/upper,workdir={lxcpath}/work"
            run("mount", "-t", "overlay", "-o", layers, "none", mount)
        try:
            yield mount
        finally:
            run("umount", mount)


def build(tree: Path) -> Path:
    """A tree with one of everything, as a privileged container has it."""
    tree.mkdir(parents=True, exist_ok=True)
    (tree / "etc").mkdir()
    (tree / "etc/shadow").write_text("secret")
    os.chown(tree / "etc/shadow", 0, 42)
    os.chmod(tree / "etc/shadow", 0o640)
    (tree / "home/user").mkdir(parents=True)
    os.chown(tree / "home/user", 1000, 1001)
    (tree / "absolute").symlink_to("/etc/shadow")
    (tree / "folder-link").symlink_to("/etc")
    os.lchown(tree / "absolute", 33, 33)
    os.mkfifo(tree / "fifo")
    os.mknod(tree / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(tree / "whiteout", 0o600 | stat.S_IFCHR, 0)
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(tree, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    for name, mode in (("su", 0o4755), ("wall", 0o2755), ("both", 0o6711), ("unreadable", 0o4000)):
        (tree / name).write_text(name)
        os.chown(tree / name, 0, 5)
        os.chmod(tree / name, mode)
    (tree / "mail").mkdir()
    os.chown(tree / "mail", 0, 8)
    os.chmod(tree / "mail", 0o3775)
    (tree / "ping").write_text("ping")
    run("setcap", "cap_net_raw=ep", tree / "ping")
    os.link(tree / "su", tree / "home/su-again")
    (tree / "acl").mkdir()
    run("setfacl", "-m", "u:1000:rwx,g:1001:rx,d:u:1000:rw,d:g:50:r", tree / "acl")
    (tree / "acl/file").write_text("x")
    (tree / "strange \n\udcff name").write_text("x")
    return tree


def facts(tree: Path) -> dict[str, object]:
    """Owner, mode and the attributes in question of everything in the tree."""
    found: dict[str, object] = {}
    for path in [tree, *tree.rglob("*")]:
        try:
            status = path.lstat()
        except FileNotFoundError:
            # A whiteout in the lower layer of an overlay: listed, but not there.
            continue
        attributes = {}
        if not path.is_symlink():
            for name in os.listxattr(path, follow_symlinks=False):
                if not name.startswith("trusted.overlay"):
                    attributes[name] = os.getxattr(path, name, follow_symlinks=False)
        found[str(path.relative_to(tree))] = (status.st_uid, status.st_gid, oct(status.st_mode), attributes)
    return found


def test_there_on_and_back_again(place: Path) -> None:
    tree = place / "tree"
    if not tree.exists():
        build(tree)
    secret = owner(Path("/etc/shadow")), Path("/etc/shadow").stat().st_ctime_ns
    original = facts(tree)
    done = shift_tree(str(tree), PRIVILEGED, A)
    assert done.seen == len(original)
    if "whiteout" in original:
        # All but the whiteout, and the second name of the file that has two.
        assert done.changed == done.seen - 2
        assert owner(tree / "whiteout") == (0, 0)
    else:
        # An overlay's upper layer has no hard links to the lower one.
        assert done.changed == done.seen
    assert done.skipped == ()

    assert owner(tree) == (100000, 200000)
    assert owner(tree / "etc/shadow") == (100000, 200042)
    assert owner(tree / "home/user") == (101000, 201001)
    assert owner(tree / "absolute") == (100033, 200033)
    assert owner(tree / "folder-link") == owner(tree / "fifo") == owner(tree / "socket") == (100000, 200000)
    assert owner(tree / "null") == (100000, 200000)
    for name, mode in (("su", 0o4755), ("wall", 0o2755), ("both", 0o6711), ("unreadable", 0o4000), ("mail", 0o3775)):
        assert stat.S_IMODE((tree / name).stat().st_mode) == mode, name
    assert owner(tree / "home/su-again") == (100000, 200005)
    assert run("getcap", "-n", tree / "ping").split(" ", 1)[1] == "cap_net_raw=ep [rootid=100000]\n"
    acl = run("getfacl", "-cnp", tree / "acl").split()
    for entry in ("user:101000:rwx", "group:201001:r-x", "default:user:101000:rw-", "default:group:200050:r--"):
        assert entry in acl
    assert (owner(Path("/etc/shadow")), Path("/etc/shadow").stat().st_ctime_ns) == secret
    assert not any(MARK in str(fact) for fact in facts(tree).values())

    before = hash_tree(tree)
    again = shift_tree(str(tree), PRIVILEGED, A)
    assert (again.seen, again.changed) == (done.seen, 0)
    assert hash_tree(tree) == before

    shift_tree(str(tree), A, B)
    assert owner(tree / "etc/shadow") == (300000, 400042)
    assert run("getcap", "-n", tree / "ping").split(" ", 1)[1] == "cap_net_raw=ep [rootid=300000]\n"
    assert shift_tree(str(tree), A, B).changed == 0

    shift_tree(str(tree), B, PRIVILEGED)
    assert facts(tree) == original
    assert shift_tree(str(tree), B, PRIVILEGED).changed == 0


def test_identity_to_identity_is_nothing(lxcpath: Path) -> None:
    tree = build(lxcpath / "tree")
    before = hash_tree(tree)
    assert shift_tree(str(tree), PRIVILEGED, PRIVILEGED).changed == 0
    assert shift_tree(str(tree), PRIVILEGED, parse_idmap(["u 0 0 65536", "g 0 0 65536"])).changed == 0
    assert hash_tree(tree) == before


def test_an_id_of_neither_map_is_listed_and_the_rest_done(lxcpath: Path) -> None:
    tree = build(lxcpath / "tree")
    os.chown(tree / "etc/shadow", 70000, 0)
    run("setfacl", "-m", "u:80000:r", tree / "acl/file")
    with pytest.raises(OperationError) as caught:
        shift_tree(str(tree), PRIVILEGED, A)
    text = str(caught.value)
    assert text.startswith(f"Cannot shift rootfs '{tree}': ")
    assert "'etc/shadow': owner 70000:0 is in neither id map" in text
    assert "'acl/file': its ACL names user 80000, in neither id map" in text
    assert len(caught.value.log) == 2
    assert owner(tree / "etc/shadow") == (70000, 0)
    assert owner(tree / "acl/file") == (0, 0)
    assert owner(tree / "home/user") == (101000, 201001)
    os.chown(tree / "etc/shadow", 0, 0)
    run("setfacl", "-b", tree / "acl/file")
    assert shift_tree(str(tree), PRIVILEGED, A).changed == 2


def test_many_problems_are_counted(lxcpath: Path) -> None:
    tree = lxcpath / "tree"
    tree.mkdir()
    for n in range(300):
        (tree / str(n)).touch()
        os.chown(tree / str(n), 70000, 0)
    with pytest.raises(OperationError, match="and 295 more") as caught:
        shift_tree(str(tree), PRIVILEGED, A)
    assert len(caught.value.log) == 200


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (A, parse_idmap(["u 0 110000 65536", "g 0 400000 65536"])),
        (PRIVILEGED, parse_idmap(["u 0 1000 65536", "g 0 400000 65536"])),
        (A, parse_idmap(["u 0 300000 65536", "g 0 265535 65536"])),
    ],
)
def test_overlapping_maps_are_refused_before_anything(lxcpath: Path, before: IdMap, after: IdMap) -> None:
    tree = build(lxcpath / "tree")
    hashed = hash_tree(tree)
    with pytest.raises(OperationError, match="are both old and new ones"):
        shift_tree(str(tree), before, after)
    assert hash_tree(tree) == hashed


def test_a_user_that_is_passed_through_stays(lxcpath: Path) -> None:
    through = ["u 0 {0} 1000", "u 1000 1000 1", "u 1001 {1} 64535", "g 0 {0} 65536"]
    old = parse_idmap([line.format(100000, 101001) for line in through])
    new = parse_idmap([line.format(300000, 301001) for line in through])
    tree = lxcpath / "tree"
    tree.mkdir()
    for n, uid in enumerate((100999, 1000, 101001)):
        (tree / str(n)).touch()
        os.chown(tree / str(n), uid, 100000)
    os.chown(tree, 100000, 100000)
    shift_tree(str(tree), old, new)
    assert [owner(tree / str(n))[0] for n in range(3)] == [300999, 1000, 301001]


def test_mounts_are_not_entered_and_links_not_followed(lxcpath: Path) -> None:
    tree, outside = lxcpath / "tree", lxcpath / "outside"
    (tree / "tmp").mkdir(parents=True)
    (tree / "a b").mkdir()
    (tree / "file").touch()
    (outside / "below").mkdir(parents=True)
    (tree / "link").symlink_to(outside)
    run("mount", "-t", "tmpfs", "none", tree / "tmp")
    try:
        # A bind mount has the same device number, and may be of a file.
        run("mount", "--bind", outside, tree / "a b")
        run("mount", "--bind", "/etc/hostname", tree / "file")
        (tree / "tmp/inside").touch()
        hostname = owner(Path("/etc/hostname"))
        done = shift_tree(str(tree), PRIVILEGED, A)
        assert sorted(done.skipped) == ["a b", "file", "tmp"]
        assert owner(tree / "tmp/inside") == owner(outside) == owner(outside / "below") == (0, 0)
        assert owner(Path("/etc/hostname")) == hostname
        assert owner(tree / "link") == (100000, 200000)
    finally:
        for name in ("file", "a b", "tmp"):
            run("umount", tree / name)
    top = lxcpath / "top-link"
    top.symlink_to(tree)
    with pytest.raises(OperationError, match="Cannot shift rootfs"):
        shift_tree(str(top), A, B)
    with pytest.raises(OperationError, match="No such file"):
        shift_tree(str(lxcpath / "missing"), A, B)


def test_btrfs_subvolumes_are_entered(btrfs_path: Path) -> None:
    run("btrfs", "subvolume", "create", btrfs_path / "tree")
    run("btrfs", "subvolume", "create", btrfs_path / "tree/var")
    (btrfs_path / "tree/var/file").touch()
    assert shift_tree(str(btrfs_path / "tree"), PRIVILEGED, A).changed == 3
    assert owner(btrfs_path / "tree/var/file") == (100000, 200000)


def test_deep_trees_do_not_exhaust_anything(lxcpath: Path) -> None:
    tree = lxcpath / "tree"
    tree.mkdir()
    here = os.open(tree, os.O_RDONLY)
    for _round in range(3000):
        os.mkdir("d" * 20, dir_fd=here)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        assert shift_tree(str(tree), PRIVILEGED, A).changed == 3001
    finally:
        run("rm", "-rf", tree)


SHIFTER = """
import sys
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.shift import shift_tree
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.idmap import IdMap, parse_idmap
print("ready", flush=True)
shift_tree(sys.argv[1], IdMap(), parse_idmap(["u 0 100000 65536", "g 0 200000 65536"]))
"""


def test_killed_and_run_again(lxcpath: Path, collections_path: Path) -> None:
    tree, reference = lxcpath / "tree", lxcpath / "reference"
    for folder in (tree, reference):
        build(folder)
        for n in range(400):
            file = folder / f"etc/{n}"
            file.write_text("")
            os.chown(file, n, n)
            os.chmod(file, 0o4755 if n % 2 else 0o644)
            os.setxattr(file, "security.capability", os.getxattr(folder / "ping", "security.capability"))
    shift_tree(str(reference), PRIVILEGED, A)
    wanted = facts(reference)
    marked = partial = 0
    environment = {**os.environ, "PYTHONPATH": str(collections_path)}
    for attempt in range(40):
        child = subprocess.Popen([sys.executable, "-c", SHIFTER, str(tree)], stdout=subprocess.PIPE, env=environment)
        assert child.stdout is not None
        child.stdout.readline()
        select.select([], [], [], 0.0004 * attempt)
        child.kill()
        child.communicate()
        found = facts(tree)
        marked += sum(MARK in str(fact) for fact in found.values())
        partial += found not in (wanted,) and owner(tree)[0] == 100000
        shift_tree(str(tree), PRIVILEGED, A)
        assert facts(tree) == wanted
        shift_tree(str(tree), A, PRIVILEGED)
    assert partial, "no kill hit the shift at work"
    assert marked, "no kill came between a chown and what restores the mode: that was not tested"


def test_speed_beside_chown(lxcpath: Path, record_property: Callable[[str, object], None]) -> None:
    tree = lxcpath / "tree"
    for folder in range(250):
        (tree / f"{folder}").mkdir(parents=True)
        for n in range(20):
            (tree / f"{folder}/{n}").touch()

    def timed(action: Callable[[], object]) -> float:
        begin = time.perf_counter()
        action()
        return time.perf_counter() - begin

    ours, theirs = [], []
    for _round in range(5):
        ours.append(timed(lambda: shift_tree(str(tree), PRIVILEGED, A)))
        theirs.append(timed(lambda: run("chown", "-Rh", "0:0", tree)))
    ratio = min(ours) / min(theirs)
    record_property("ratio", ratio)
    print(f"5,251 files: {min(ours) * 1000:.0f} ms, chown -R {min(theirs) * 1000:.0f} ms, ratio {ratio:.1f}")
    assert ratio < 10
