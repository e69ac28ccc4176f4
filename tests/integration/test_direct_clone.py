# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clones made without lxc-copy beside those of lxc-copy: the same trees, and the same for LXC's other programs."""

from __future__ import annotations

import os
import re
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._domain.container import ContainerDomain
from ansible_collections.lightervisor.lxc.plugins.module_utils._engine import carry_out
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host import direct_clone, journal, lifecycle
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.copy_tree import copy_tree
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.dependants import (
    are_as_left,
    forget_clones,
    register_clones,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.direct_clone import (
    can_clone_directly,
    clone_directly,
)
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.observe import observe
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.trees import Place, remove_tree
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.clone_document import copied_document
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.container import ContainerSpec
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.observed import Reference
from ansible_collections.lightervisor.lxc.plugins.module_utils._model.source import Clone
from ansible_collections.lightervisor.lxc.plugins.module_utils._plan.container_new import clone_store

#: The same length, so that the sizes of files and directories are the same too.
THEIRS, OURS = "lvt-theirs", "lvt-direct"
MAC = re.compile(r"00:16:3e:[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}|10:66:6a:[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}")


def tool(name: str, *args: Any, rc: int = 0) -> str:
    done = subprocess.run(
        [name, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == rc, f"{name} {args}: {done.stdout}{done.stderr}"
    return done.stdout


def spec_of(lxcpath: Path, origin: str = "base", name: str = OURS, snapshot: bool = True, **how: Any) -> ContainerSpec:
    source = Clone(origin, str(how.pop("origin_path", lxcpath)), snapshot, **how)
    return ContainerSpec(name, str(lxcpath), clone=source)


def clone(spec: ContainerSpec) -> None:
    assert spec.clone
    origin = observe(spec.clone.source, spec.clone.lxcpath)
    store = clone_store(spec, origin)
    assert can_clone_directly(spec, origin, store)
    register_clones(origin, [Reference(spec.lxcpath, spec.name)])
    clone_directly(spec, origin, copied_document(spec, origin, store).render())


def refused(spec: ContainerSpec) -> bool:
    assert spec.clone
    origin = observe(spec.clone.source, spec.clone.lxcpath)
    return not can_clone_directly(spec, origin, clone_store(spec, origin))


def both(lxcpath: Path, origin: str = "base", **how: Any) -> None:
    """The same clone by lxc-copy and by us; what they made must be alike."""
    spec = spec_of(lxcpath, origin, **how)
    assert spec.clone
    options = ["-s"] if spec.clone.snapshot else []
    options += ["-K"] if spec.clone.keep_name else []
    options += ["-M"] if spec.clone.keep_mac else []
    store = clone_store(spec, observe(origin, spec.clone.lxcpath))
    tool("lxc-copy", "-P", spec.clone.lxcpath, "-n", origin, "-p", lxcpath, "-N", THEIRS, "-B", store, *options)
    clone(spec)
    assert tree(lxcpath / OURS) == tree(lxcpath / THEIRS)


def tree(top: Path, notes: bool = False) -> dict[str, tuple[Any, ...]]:
    """All that is in a container's directory; without `notes` not what the kernel writes at the first mount.

    That is: trusted.overlay.uuid, and the handles of the files that were copied up.
    """
    found = {}
    for path in [top, *sorted(top.rglob("*"))]:
        info = path.lstat()
        names = [name for name in os.listxattr(path, follow_symlinks=False) if notes or "trusted.overlay" not in name]
        attributes = sorted((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
        content: Any = None
        if stat.S_ISREG(info.st_mode):
            content = path.read_bytes()
            if path.parent == top or path.name == "hostname":
                # In what order its own lines stand is part of it, which MAC address is not.
                text = content.decode().replace(THEIRS, OURS)
                content = MAC.sub("MAC", text)
        elif stat.S_ISLNK(info.st_mode):
            content = os.readlink(path)
        links = info.st_nlink if not path.is_dir() or path.is_symlink() else 0
        key = str(path.relative_to(top))
        found[key] = (stat.filemode(info.st_mode), info.st_uid, info.st_gid, info.st_rdev, links, attributes, content)
    return found


def set_hostname(rootfs: Path) -> None:
    """A host name in the guest with everything that a copy of it must keep."""
    file = rootfs / "etc" / "hostname"
    file.write_text("base\n")
    os.chown(file, 3, 4)
    file.chmod(0o640)
    os.setxattr(file, "user.file", b"yes")
    os.setxattr(rootfs / "etc", "user.folder", b"yes")
    (rootfs / "etc").chmod(0o2751)
    tool("setfacl", "-m", "u:7:r", file)


def fill_delta(delta: Path) -> None:
    """One of each kind of file that an upper layer can hold."""
    (delta / "var/deep").mkdir(parents=True)
    os.setxattr(delta / "var", "trusted.overlay.opaque", b"y")
    os.setxattr(delta / "var/deep", "security.lvt", b"label")
    os.chown(delta / "var/deep", 12, 34)
    (delta / "var/deep").chmod(0o1777)
    file = delta / "var/file"
    file.write_bytes(b"text")
    os.chown(file, 1, 2)
    file.chmod(0o4755)
    os.link(file, delta / "var/deep/again")
    with (delta / "sparse").open("wb") as stream:
        stream.truncate(1 << 20)
        stream.seek(300_000)
        stream.write(b"middle")
    (delta / "empty").touch()
    (delta / "link").symlink_to("../../nowhere")
    os.chown(delta / "link", 5, 6, follow_symlinks=False)
    os.mknod(delta / "gone", stat.S_IFCHR, os.makedev(0, 0))
    os.link(delta / "gone", delta / "gone-too")
    os.mknod(delta / "device", stat.S_IFBLK | 0o620, os.makedev(7, 200))
    os.mkfifo(delta / "fifo", 0o604)
    os.mknod(delta / "socket", stat.S_IFSOCK | 0o755)
    os.utime(delta / "var", ns=(0, 1_000_000_000_123_456_789))
    os.utime(delta, ns=(0, 1_000_000_000_987_654_321))


CONFIGS = {
    "plain": ["lxc.net.0.type = empty"],
    "nics": [
        "lxc.net.0.type = veth",
        "lxc.net.0.hwaddr = 00:16:3e:aa:bb:cc",
        "lxc.net.1.type = veth",
        "  lxc.net.2.type = veth",
        "lxc.net.2.hwaddr=00:16:3e:xx:xx:XX",
        "lxc.net.3.type = macvlan",
        "lxc.net.3.hwaddr = 00:16:3e:01:02:03  ",
        "lxc.net.7.type = veth",
        "lxc.net.7.hwaddr =",
    ],
    "spelling": [
        "",
        "# a comment",
        "   ",
        "#lxc.rootfs.path = /nowhere",
        "lxc.net.0.type = empty",
        'lxc.uts.name="quoted"',
        "  lxc.uts.name = indented",
        "not for lxc",
        "lxc.environment = 'A=1'",
        "lxc.environment = B=ä",
        "\tlxc.start.auto = 1   ",
        "# the end",
    ],
    "include": ["lxc.include = /usr/share/lxc/config/nesting.conf", "lxc.net.0.type = empty", "lxc.start.order = 7"],
}


@pytest.mark.parametrize("how", [{}, {"keep_name": True}, {"keep_mac": True}], ids=["new", "keep_name", "keep_mac"])
@pytest.mark.parametrize("config", CONFIGS)
def test_clone_of_a_directory(busybox, lxcpath, config, how):
    busybox("base")
    with (lxcpath / "base/config").open("a") as file:
        file.write("\n".join(CONFIGS[config]))
    if config == "plain":
        set_hostname(lxcpath / "base/rootfs")
    both(lxcpath, **how)
    pairs = (lxcpath / "base/lxc_snapshots").read_text()
    assert pairs == f"{lxcpath}\n{THEIRS}\n{lxcpath}\n{OURS}\n"
    macs = [MAC.findall((lxcpath / name / "config").read_text()) for name in ("base", OURS, THEIRS)]
    if config == "nics" and not how.get("keep_mac"):
        assert len(macs[1]) == 3 and len(set(macs[1])) == 3
        assert not set(macs[1]) & {*macs[0], *macs[2]}


def test_chain_of_overlays(busybox, lxcpath):
    busybox("base")
    set_hostname(lxcpath / "base/rootfs")
    clone(spec_of(lxcpath, name="web"))
    fill_delta(lxcpath / "web/overlay/delta")
    both(lxcpath, "web")
    assert (lxcpath / OURS / "lxc_rdepends").read_text() == f"{lxcpath}\nbase\n{lxcpath}\nweb\n"
    base = f"{lxcpath}\nweb\n{lxcpath}\n{THEIRS}\n{lxcpath}\n{OURS}\n"
    assert (lxcpath / "base/lxc_snapshots").read_text() == base
    assert (lxcpath / "web/lxc_snapshots").read_text() == base.removeprefix(f"{lxcpath}\nweb\n")


def test_chain_whose_host_name_is_in_the_lower_layer_only(busybox, lxcpath):
    busybox("base")
    tool("lxc-copy", "-s", "-P", lxcpath, "-n", "base", "-N", "web")
    etc = lxcpath / "web/overlay/delta/etc"
    assert not etc.exists()
    set_hostname(lxcpath / "base/rootfs")
    etc.mkdir(mode=0o700)
    (etc / "other").touch()
    both(lxcpath, "web")


def test_copied_tree_is_what_rsync_makes(tmp_path):
    for name in ("from", "to", "rsync"):
        (tmp_path / name).mkdir()
    fill_delta(tmp_path / "from")
    os.setxattr(tmp_path / "from", "trusted.overlay.uuid", b"0123456789abcdef")
    copy_tree(str(tmp_path / "from"), str(tmp_path / "to"))
    tool("rsync", "-aHXS", "--delete", f"{tmp_path}/from/", f"{tmp_path}/rsync")
    assert tree(tmp_path / "to", notes=True) == tree(tmp_path / "rsync", notes=True)
    for path in ["", "var", "var/file", "sparse", "link", "gone", "fifo"]:
        times = [(tmp_path / name / path).lstat().st_mtime_ns for name in ("from", "to", "rsync")]
        # rsync does not set the times of links and special files everywhere.
        assert len(set(times[:2] if path in ("link", "gone", "fifo") else times)) == 1, path
    assert (tmp_path / "to/sparse").stat().st_blocks <= (tmp_path / "from/sparse").stat().st_blocks


def test_unprivileged_origin(busybox, lxcpath, subids):
    lxcpath.chmod(0o755)
    first = subids[0] + subids[1] - 65536
    busybox("base", idmap=(first, 65536))
    both(lxcpath)
    assert (lxcpath / OURS / "overlay/delta").stat().st_uid == first
    assert (lxcpath / OURS / "config").stat().st_uid == 0
    tool("lxc-start", "-P", lxcpath, "-n", OURS)
    tool("lxc-stop", "-k", "-P", lxcpath, "-n", OURS)


def test_into_another_lxcpath(busybox, lxcpath, lxcpaths):
    busybox("base")
    both(lxcpaths(), origin_path=lxcpath)


@pytest.mark.parametrize("snapshot", [True, False])
@pytest.mark.parametrize("unprivileged", [False, True])
def test_btrfs(btrfs_path, subids, snapshot, unprivileged):
    config = btrfs_path.parent / "config"
    first = subids[0] + subids[1] - 65536
    lines = ["lxc.net.0.type = empty"]
    lines += [f"lxc.idmap = {kind} 0 {first} 65536" for kind in "ug"] if unprivileged else []
    config.write_text("\n".join(lines) + "\n")
    tool("lxc-create", "-P", btrfs_path, "-n", "base", "-B", "btrfs", "-f", config, "-t", "busybox")
    set_hostname(btrfs_path / "base/rootfs")
    both(btrfs_path, snapshot=snapshot)
    assert (btrfs_path / OURS / "rootfs/etc/hostname").read_text() == OURS
    assert (btrfs_path / "base/rootfs/etc/hostname").read_text() == "base\n"
    tool("lxc-start", "-P", btrfs_path, "-n", OURS)
    tool("lxc-stop", "-k", "-P", btrfs_path, "-n", OURS)
    for name in (OURS, THEIRS, "base"):
        tool("lxc-destroy", "-P", btrfs_path, "-n", name)
    assert tool("btrfs", "subvolume", "list", btrfs_path) == ""


def test_lxc_programs_make_no_difference(busybox, lxcpath):
    busybox("base")
    both(lxcpath)
    names = ("base", OURS, THEIRS)

    def same(program: str, *options: str, rc: int = 0) -> None:
        said = [tool(program, "-P", lxcpath, "-n", name, *options, rc=rc) for name in (OURS, THEIRS)]
        assert said[0].replace(OURS, THEIRS) == said[1]

    listed = tool("lxc-ls", "-P", lxcpath, "-f")
    assert all(name in listed for name in names)
    rows = [" ".join(line.split()[1:]) for line in listed.splitlines() if line.startswith("lvt-")]
    assert len(rows) == 2 and rows[0] == rows[1]
    same("lxc-info")
    same("lxc-info", "-c", "lxc.rootfs.path")
    for name in (OURS, THEIRS):
        tool("lxc-copy", "-P", lxcpath, "-n", name, "-N", f"{name}-2", "-s")
    same("lxc-destroy", rc=1)  # the copy depends on it
    for name in (OURS, THEIRS):
        tool("lxc-destroy", "-P", lxcpath, "-n", f"{name}-2")
        tool("lxc-snapshot", "-P", lxcpath, "-n", name)
    snapshots = [re.sub(r"\(.*?\) ", "", tool("lxc-snapshot", "-P", lxcpath, "-n", n, "-L")) for n in (OURS, THEIRS)]
    assert "snap0" in snapshots[0]
    assert [one.split()[0] for one in snapshots] == ["snap0", "snap0"]
    same("lxc-destroy", rc=1)
    same("lxc-snapshot", "-d", "snap0")
    tool("lxc-destroy", "-P", lxcpath, "-n", "base", rc=1)
    for name in (OURS, THEIRS):
        tool("lxc-start", "-P", lxcpath, "-n", name)
        assert tool("lxc-attach", "-P", lxcpath, "-n", name, "--", "/bin/hostname").strip() == name
        tool("lxc-attach", "-P", lxcpath, "-n", name, "--", "/bin/touch", "/mine")
        assert (lxcpath / name / "overlay/delta/mine").exists()
    same("lxc-stop", "-k")
    same("lxc-destroy")
    tool("lxc-destroy", "-P", lxcpath, "-n", "base")
    assert os.listdir(lxcpath) == []


def test_names_are_noted_once_and_taken_back(busybox, lxcpath):
    busybox("base")
    tool("lxc-copy", "-s", "-P", lxcpath, "-n", "base", "-N", "web")
    web = observe("web", str(lxcpath))
    names = [Reference(str(lxcpath), f"lvt-{number}") for number in range(3)]
    register_clones(web, names)
    lists = register_clones(web, names[1:] + names[:1])
    assert are_as_left(lists)
    lines = "".join(f"{lxcpath}\n{one.name}\n" for one in names)
    assert (lxcpath / "web/lxc_snapshots").read_text() == lines
    assert (lxcpath / "base/lxc_snapshots").read_text() == f"{lxcpath}\nweb\n{lines}"
    assert observe("web", str(lxcpath)).dependants == ()
    (lxcpath / names[1].name).mkdir()
    forget_clones(web, names)
    assert not are_as_left(lists)
    assert (lxcpath / "web/lxc_snapshots").read_text() == f"{lxcpath}\n{names[1].name}\n", "that one is there"
    (lxcpath / names[1].name).rmdir()
    forget_clones(web, names)
    assert not (lxcpath / "web/lxc_snapshots").exists()
    assert (lxcpath / "base/lxc_snapshots").read_text() == f"{lxcpath}\nweb\n"


def test_a_name_that_was_taken_out_meanwhile_is_noted_again(busybox, lxcpath, monkeypatch):
    """A run beside this one may take out what it does not find yet."""
    busybox("base")
    spec = spec_of(lxcpath)
    itself = Reference(spec.lxcpath, spec.name)
    made = direct_clone.clone_directly

    def beside(*args: Any) -> None:
        forget_clones(observe("base", str(lxcpath)), [itself])
        made(*args)

    monkeypatch.setattr(direct_clone, "clone_directly", beside)
    carry_out(ContainerDomain(replace(spec, idmap=())))
    assert observe("base", str(lxcpath)).dependants == (itself,)


def test_a_name_that_is_being_taken_out_counts_as_taken_out(busybox, lxcpath, monkeypatch):
    """Who looked for the clone before it was there may write what came of it a moment later."""
    busybox("base")
    origin, itself = observe("base", str(lxcpath)), Reference(str(lxcpath), OURS)
    lists = register_clones(origin, [itself])
    looked, write = threading.Event(), os.unlink

    def late(path: str) -> None:
        looked.set()
        time.sleep(0.3)
        write(path)

    monkeypatch.setattr(os, "unlink", late)
    beside = threading.Thread(target=forget_clones, args=(origin, [itself]))
    beside.start()
    assert looked.wait(60)
    assert not are_as_left(lists)
    beside.join()


def test_nothing_is_written_where_the_clone_is_noted_already(busybox, lxcpath):
    busybox("base")
    clone(spec_of(lxcpath))
    before = (lxcpath / "base/lxc_snapshots").stat().st_ino
    register_clones(observe("base", str(lxcpath)), [Reference(str(lxcpath), OURS)])
    assert (lxcpath / "base/lxc_snapshots").stat().st_ino == before
    # The end of another's name is not its own.
    register_clones(observe("base", str(lxcpath)), [Reference(str(lxcpath), OURS[4:])])
    assert len((lxcpath / "base/lxc_snapshots").read_text().splitlines()) == 4


def test_only_directories_of_containers_are_believed_to_be_origins(busybox, lxcpath, tmp_path):
    """The file may be the guest's."""
    busybox("base")
    tool("lxc-copy", "-s", "-P", lxcpath, "-n", "base", "-N", "web")
    outside = tmp_path / "outside"
    outside.mkdir()
    (lxcpath / "link").symlink_to(outside)
    bad = f"{lxcpath}/base/..\n../{tmp_path.name}/outside\nrelative\nname\n{lxcpath}\n..\n"
    linked = f"{lxcpath}\nlink\n{lxcpath}\nnone\n"
    good = f"{lxcpath}\nbase\n"
    (lxcpath / "web/lxc_rdepends").write_text(f"{bad}{linked}{good}")
    before = sorted(tmp_path.rglob("*"))
    clone(spec_of(lxcpath, "web"))
    assert (lxcpath / OURS / "lxc_rdepends").read_text() == f"{linked}{good}{lxcpath}\nweb\n"
    assert (lxcpath / "web/lxc_snapshots").read_text() == f"{lxcpath}\n{OURS}\n"
    lifecycle.discard(spec_of(lxcpath))
    assert not (lxcpath / "web/lxc_snapshots").exists()
    assert not Path("/run/lxc/lock/relative").exists()
    assert [path for path in sorted(tmp_path.rglob("*")) if lxcpath not in path.parents] == [
        path for path in before if lxcpath not in path.parents
    ]


def test_files_in_a_guests_directory_are_not_waited_for(busybox, lxcpath):
    busybox("base")
    clone(spec_of(lxcpath))
    os.mkfifo(lxcpath / "base/lxc_rdepends")
    with pytest.raises(OperationError, match="it is not a regular file"):
        clone(spec_of(lxcpath, name="other"))
    (lxcpath / "base/lxc_rdepends").unlink()
    (lxcpath / "base/lxc_snapshots").unlink()
    os.mkfifo(lxcpath / "base/lxc_snapshots")
    assert observe("base", str(lxcpath)).dependants == ()
    assert refused(spec_of(lxcpath))
    (lxcpath / "base/lxc_snapshots").unlink()
    (lxcpath / "base/lxc_snapshots").symlink_to("/etc/passwd")
    assert refused(spec_of(lxcpath))
    (lxcpath / OURS / "lxc_rdepends").unlink()
    os.mkfifo(lxcpath / OURS / "lxc_rdepends")
    lifecycle.discard(spec_of(lxcpath))
    assert sorted(os.listdir(lxcpath)) == ["base"]


@pytest.mark.parametrize("change", ["start", "config", "rootfs", "note"])
def test_an_origin_that_has_changed_since_it_was_read(busybox, lxcpath, change):
    busybox("base")
    spec, origin = spec_of(lxcpath), observe("base", str(lxcpath))
    said = "it has changed since it was read. Run it again"
    if change == "start":
        tool("lxc-start", "-P", lxcpath, "-n", "base")
        said = "it is running, and only a stopped container's files hold still. Stop it for the time of the clone"
    elif change == "config":
        (lxcpath / "base/config").write_text((lxcpath / "base/config").read_text() + "lxc.start.auto = 1\n")
    elif change == "rootfs":
        (lxcpath / "base/rootfs").rename(lxcpath / "base/elsewhere")
    else:
        journal.begin(str(lxcpath / "base"), "destroy")
    with pytest.raises(OperationError, match=f"^Cannot clone container 'base': {said}"):
        clone_directly(spec, origin, copied_document(spec, origin, "overlay").render())
    assert os.listdir(lxcpath) == ["base"]


def test_depth_does_not_matter(tmp_path):
    """A guest can nest more directories than a process may have open, or a recursion has levels."""
    top, copy = tmp_path / "top", tmp_path / "copy"
    depth = 2500
    top.mkdir()
    copy.mkdir()
    deep = """
import os, sys
os.chdir(sys.argv[1])
for level in range(int(sys.argv[2])):
    os.mkdir("d", 0o750)
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, 0o640))
    os.chdir("d")
"""
    count = """
import os, sys
os.chdir(sys.argv[1])
level = 0
while os.path.isdir("d"):
    level += os.stat("f").st_mode == 0o100640 and os.stat("d").st_mode == 0o40750
    os.chdir("d")
print(level)
"""
    tool(sys.executable, "-c", deep, top, depth)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        copy_tree(str(top), str(copy))
        assert tool(sys.executable, "-c", count, copy).strip() == str(depth)
        for tree_of in (top, copy):
            remove_tree(str(tree_of))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        subprocess.run(["rm", "-rf", str(top), str(copy)], check=True)
    assert os.listdir(tmp_path) == []


def test_removal_follows_no_link_and_leaves_what_is_moved_away(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/link").symlink_to(outside)
    (top / "a/b/link").symlink_to(outside / "precious")
    os.mkfifo(top / "fifo")
    place = Place(str(top))
    place.enter("a")
    with pytest.raises(OSError):
        place.enter("link")
    place.enter("b")
    (top / "a/b").rename(outside / "b")
    with pytest.raises(OSError, match="moved"):
        place.leave()
    place.close()
    remove_tree(str(top))
    assert sorted(os.listdir(outside)) == ["b", "precious"]
    (tmp_path / "link").symlink_to(outside)
    with pytest.raises(OSError):
        remove_tree(str(tmp_path / "link"))
    assert sorted(os.listdir(outside)) == ["b", "precious"]


def test_origins_that_only_lxc_copy_can_clone(busybox, lxcpath, lxcpaths):
    busybox("base")
    spec, config = spec_of(lxcpath), lxcpath / "base/config"
    before = config.read_text()
    for line in (
        "lxc.hook.clone = /bin/true",
        f"lxc.hook.start-host = {lxcpath}/base/hook",
        f"lxc.mount.fstab = {lxcpath}/base/fstab",
        f"lxc.mount.entry = x y overlay upperdir={lxcpath}/base/up 0 0",
        "lxc.include = /nonexistent/lvt",
        "lxc.idmap = u 5 100000 10\nlxc.idmap = g 5 100000 10",
    ):
        config.write_text(f"{before}{line}\n")
        assert refused(spec), line
    config.write_text(before)
    assert not refused(spec)
    assert refused(spec_of(lxcpath, snapshot=False))
    etc = lxcpath / "base/rootfs/etc"
    (etc / "hostname").symlink_to("/etc/passwd")
    assert refused(spec)
    assert not refused(spec_of(lxcpath, keep_name=True))
    (etc / "hostname").unlink()
    (lxcpath / "base/lxc_snapshots").write_text("1\n")
    assert refused(spec)
    (lxcpath / "base/lxc_snapshots").unlink()
    (lxcpath / "base/partial").touch()
    assert refused(spec)


def test_what_is_there_already_stays(busybox, lxcpath):
    busybox("base")
    (lxcpath / OURS).mkdir()
    (lxcpath / OURS / "mine").write_text("mine")
    (lxcpath / f".lightervisor-{OURS}/leftover").mkdir(parents=True)
    with pytest.raises(OperationError, match="holds files already"):
        clone(spec_of(lxcpath))
    assert os.listdir(lxcpath / OURS) == ["mine"]
    assert sorted(os.listdir(lxcpath)) == ["base", OURS]
    (lxcpath / OURS / "mine").unlink()
    (lxcpath / f".lightervisor-{OURS}/leftover").mkdir(parents=True)
    clone(spec_of(lxcpath))
    assert "leftover" not in os.listdir(lxcpath / OURS)
    assert sorted(os.listdir(lxcpath)) == ["base", OURS]


def test_mark(busybox, lxcpath):
    busybox("base")
    spec = spec_of(lxcpath)
    origin = observe("base", str(lxcpath))
    clone_directly(spec, origin, copied_document(spec, origin, "overlay").render(), "contest")
    mark = lxcpath / OURS / ".lightervisor-fleet"
    assert mark.read_text() == "contest\n"
    assert stat.S_IMODE(mark.stat().st_mode) == 0o600
    assert mark.stat().st_uid == 0


KILLED = """
import os, signal, sys
from ansible_collections.lightervisor.lxc.tests.integration.test_direct_clone import clone, spec_of
from pathlib import Path
left = int(sys.argv[2])
def count(event, args):
    global left
    if event in ("open", "os.mkdir", "os.chmod", "os.rename", "os.chown") and ".lightervisor-" in str(args):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
clone(spec_of(Path(sys.argv[1])))
"""


def test_killed_anywhere_it_is_whole_or_not_there_and_the_next_run_makes_it(
    busybox, lxcpath, collections_path, run_module
):
    busybox("base")
    set_hostname(lxcpath / "base/rootfs")
    task = {"name": OURS, "lxcpath": str(lxcpath), "clone": {"from": "base", "snapshot": True}, "privileged": True}
    killed = 0
    while True:
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(lxcpath), str(killed)],
            env={**os.environ, "PYTHONPATH": str(collections_path)},
            check=False,
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        assert not (lxcpath / OURS).exists()
        if killed % 4 == 0:
            run_module("lxc_container", task, fails=False)
            assert (lxcpath / "base/lxc_snapshots").read_text() == f"{lxcpath}\n{OURS}\n"
            tool("lxc-destroy", "-P", lxcpath, "-n", OURS)
            assert os.listdir(lxcpath) == ["base"]
        killed += 1
    assert killed > 5
    assert sorted(os.listdir(lxcpath)) == ["base", OURS]


def test_module_clones_without_lxc_copy(busybox, lxcpath, run_module, tmp_path):
    busybox("base", config=["lxc.net.0.type = veth", "lxc.net.0.hwaddr = 00:16:3e:11:22:33"])
    broken = tmp_path / "lxc-copy"
    broken.write_text("#!/bin/sh\necho no lxc-copy here >&2\nexit 1\n")
    broken.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    task = {"name": OURS, "lxcpath": str(lxcpath), "clone": {"from": "base", "snapshot": True}, "privileged": True}
    done = run_module("lxc_container", {**task, "config": {"lxc.start.order": 5}}, fails=False, env=env)
    assert done["changed"]
    config = (lxcpath / OURS / "config").read_text()
    assert "lxc.start.order = 5" in config
    assert len(MAC.findall(config)) == 1 and "00:16:3e:11:22:33" not in config
    assert not run_module("lxc_container", task, fails=False, env=env)["changed"]
    # The tool is what makes a full clone, so the test would notice it.
    full = {**task, "name": "full", "clone": {"from": "base"}}
    assert "no lxc-copy here" in run_module("lxc_container", full, fails=True, env=env)["msg"]
