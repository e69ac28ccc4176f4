# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What removing a container must never take with it: mounts, others' files, what nobody gave to it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.journal import read_journal

EMPTY = [{"type": "empty"}]
BUSYBOX = {"name": "busybox"}


@contextlib.contextmanager
def mounted(source: Path, target: Path) -> Iterator[Path]:
    """A bind mount of a directory that holds a file."""
    source.mkdir(exist_ok=True)
    (source / "data").write_text("precious")
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", str(source), str(target)], check=True)
    try:
        yield source / "data"
    finally:
        subprocess.run(["umount", str(target)], check=True)


@pytest.mark.parametrize("where", ["rootfs/mnt", "rootfs/with space", "snaps/x", "."])
def test_mounts_are_seen_before_anything_is_done(lab, tmp_path, where):
    """lxc-destroy deletes into bind mounts of the same file system."""
    lab.make(state="started" if where == "rootfs/mnt" else "present")
    state = lab.state("c")
    if where == ".":
        shutil.copytree(lab.path / "c", tmp_path / "outside", symlinks=True)
    # On the same file system, where a bind mount looks like a mere directory.
    outside = tmp_path / "outside" if where == "." else lab.path / "outside"
    with mounted(outside, lab.path / "c" / where) as data:
        target = os.path.normpath(lab.path / "c" / where)
        done = lab.task("c", state="absent", shutdown_timeout=0, fails=True)
        assert f"Cannot destroy container 'c': {target} is mounted in it. Unmount it first" in done["msg"]
        assert lab.task("c", state="absent", check=True, fails=True)["msg"] == done["msg"]
        assert data.read_text() == "precious"
        assert lab.state("c") == state
    assert (lab.path / "c" / "rootfs" / "bin" / "busybox").exists()
    shutil.rmtree(outside)
    shutil.rmtree(lab.path / "c" / "snaps", ignore_errors=True)
    lab.task("c", state="absent", shutdown_timeout=0)
    assert lab.names() == []


@pytest.mark.parametrize("tidies", [True, False])
def test_mount_of_a_running_guests_hook(lab, tmp_path, tidies):
    """It is no obstacle if it goes with the guest; if it stays, nothing is deleted and the guest runs again."""
    outside = lab.path / "outside"
    outside.mkdir()
    (outside / "data").write_text("precious")
    lab.make()
    target = lab.path / "c" / "rootfs" / "srv"
    target.mkdir(exist_ok=True)
    # A container's monitor may have a mount namespace of its own: what hooks do, they do here.
    enter = f"nsenter -t {os.getpid()} -m"
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_text(f"#!/bin/sh\n{enter} mountpoint -q {target} || {enter} mount --bind {outside} {target}\n")
    after.write_text(f"#!/bin/sh\n{enter if tidies else ': '} umount {target}\n")
    before.chmod(0o755)
    after.chmod(0o755)
    lab.edit("c", f"lxc.hook.pre-start = {before}", f"lxc.hook.post-stop = {after}")
    lab.task("c", state="started")
    try:
        done = lab.task("c", state="absent", shutdown_timeout=0, fails=not tidies)
        assert (outside / "data").read_text() == "precious"
        assert tidies or f"{target} is mounted in it" in done["msg"]
        assert lab.state("c") == ("STOPPED" if tidies else "RUNNING")
    finally:
        subprocess.run(["umount", str(target)], check=False, capture_output=True)
        shutil.rmtree(outside)


@pytest.mark.parametrize("half", [False, True])
def test_mounts_below_a_linked_lxcpath(lab, tmp_path, half):
    link = tmp_path / "link"
    link.symlink_to(lab.path)
    lab.make()
    if half:
        (lab.path / "c" / "partial").touch()
    with mounted(lab.path / "outside", lab.path / "c" / "rootfs" / "mnt") as data:
        done = lab._run("lxc_container", {"name": "c", "lxcpath": str(link), "state": "absent"}, fails=True)
        assert "is mounted in it" in done["msg"]
        assert data.read_text() == "precious"
    shutil.rmtree(lab.path / "outside")


def test_mount_in_a_rootfs_elsewhere(lab, tmp_path):
    top = tmp_path / "top"
    lab.make(backingstore={"type": "dir", "dir": str(top)})
    with mounted(tmp_path / "outside", top / "mnt") as data:
        assert "is mounted in it" in lab.refused("c", state="absent")["msg"]
        assert data.read_text() == "precious"
    lab.cycle("c", state="absent")
    assert not top.exists()


@pytest.mark.parametrize("how", ["link", "bind", "dots"])
def test_unmanaged_rootfs_by_another_name(lab, tmp_path, how):
    """It is kept whatever the path is that names it."""
    lab.make()
    own = lab.path / "c" / "rootfs"
    alias = tmp_path / "alias"
    with contextlib.ExitStack() as stack:
        if how == "link":
            alias.symlink_to(lab.path)
            path = alias / "c" / "rootfs"
        elif how == "bind":
            alias.mkdir()
            subprocess.run(["mount", "--bind", str(own), str(alias)], check=True)
            stack.callback(subprocess.run, ["umount", str(alias)], check=True)
            path = alias
        else:
            path = lab.path / "c" / ".." / "c" / "rootfs"
        text = lab.config("c").replace(f"dir:{own}", f"dir:{path}")
        (lab.path / "c" / "config").write_text(f"{text}lxc.rootfs.managed = 00\n")
        done = lab.task("c", state="absent")
        assert any("stays" in warning for warning in done["warnings"])
        assert (own / "bin" / "busybox").exists()
        assert os.listdir(lab.path / "c") == ["rootfs"]


@pytest.mark.parametrize("managed", ["0", "1"])
def test_rootfs_of_a_config_that_can_not_be_read_whole(lab, tmp_path, managed):
    """The include that is missing may say that the rootfs is not managed, or where it is."""
    lab.make()
    text = f"lxc.include = {tmp_path}/first\nlxc.include = {tmp_path}/missing\n" + lab.config("c")
    (tmp_path / "first").write_text(f"lxc.rootfs.managed = {managed}\n")
    (lab.path / "c" / "config").write_text(text)
    done = lab.task("c", state="absent")
    assert any("stays" in warning for warning in done["warnings"])
    assert (lab.path / "c" / "rootfs" / "bin" / "busybox").exists()
    assert os.listdir(lab.path / "c") == ["rootfs"]


def test_unmanaged_by_an_include_of_a_broken_config(lab, tmp_path):
    """The include can be read, and says so, though liblxc does not get that far."""
    lab.make()
    (tmp_path / "first").write_text("lxc.rootfs.managed = 0\n")
    lab.edit("c", "lxc.no.such = 1", f"lxc.include = {tmp_path}/first")
    done = lab.task("c", state="absent")
    assert any("lxc.rootfs.managed is 0" in warning for warning in done["warnings"])
    assert (lab.path / "c" / "rootfs" / "bin" / "busybox").exists()


def test_unmanaged_upper_layer_whose_lower_one_is_gone(lab):
    lab.make("base")
    lab.make("c", clone={"from": "base", "snapshot": True}, config={"lxc.rootfs.managed": 0})
    delta = lab.path / "c" / "overlay" / "delta"
    assert delta.is_dir()
    (delta / "data").write_text("precious")
    shutil.rmtree(lab.path / "base")
    done = lab.task("c", state="absent")
    assert any("stays" in warning for warning in done["warnings"])
    assert (delta / "data").read_text() == "precious"


@pytest.mark.parametrize("named", [False, True])
def test_rootfs_of_another_container(lab, named, tmp_path):
    lab.make("base")
    if named:
        top = tmp_path / "top"
        shutil.move(lab.path / "base" / "rootfs", top)
        (lab.path / "base" / "config").write_text(
            lab.config("base").replace(f"dir:{lab.path}/base/rootfs", f"dir:{top}")
        )
    else:
        top = lab.path / "base" / "rootfs"
    (lab.path / "c").mkdir()
    (lab.path / "c" / "config").write_text(f"lxc.uts.name = c\nlxc.rootfs.path = dir:{top}\n")
    done = lab.cycle("c", state="absent")
    assert any(f"The rootfs {top} of 'c' belongs to 'base' too and stays" in text for text in done["warnings"])
    assert (top / "bin" / "busybox").exists()
    assert lab.names() == ["base"]


@pytest.mark.parametrize("what", ["files", "link", "mount", "file"])
def test_rootfs_directory_that_is_somebodys(lab, tmp_path, what):
    top = tmp_path / "top"
    with contextlib.ExitStack() as stack:
        if what == "mount":
            stack.enter_context(mounted(tmp_path / "outside", top))
            (tmp_path / "outside" / "data").unlink()
        elif what == "link":
            (tmp_path / "outside").mkdir()
            top.symlink_to(tmp_path / "outside")
        elif what == "file":
            top.write_text("precious")
        else:
            top.mkdir()
            (top / "data").write_text("precious")
        done = lab.refused("c", template=BUSYBOX, networks=EMPTY, backingstore={"type": "dir", "dir": str(top)})
        assert done["msg"].startswith(f"Cannot create container 'c': its rootfs directory {top} ")
    if what == "files":
        assert (top / "data").read_text() == "precious"


def test_rootfs_elsewhere_goes_with_what_was_half_made(lab, tmp_path):
    """The template fails after it has written something there."""
    template = tmp_path / "lxc-half"
    template.write_text('#!/bin/sh\nfor a; do case $a in --rootfs=*) touch "${a#*=}/made";; esac; done\nexit 1\n')
    template.chmod(0o755)
    top = tmp_path / "top"
    options = {"networks": EMPTY, "privileged": True, "backingstore": {"type": "dir", "dir": str(top)}}
    lab.task("c", template={"name": str(template)}, fails=True, **options)
    assert lab.names() == [] and not top.exists()
    # The same after a kill: the note says whose the directory is.
    top.mkdir()
    (top / "made").touch()
    (lab.path / "c").mkdir()
    (lab.path / "c" / ".lightervisor.json").write_text(json.dumps({"operation": "create", "rootfs": str(top)}))
    lab.cycle("c", template=BUSYBOX, **options)
    assert not (top / "made").exists() and (top / "bin" / "busybox").exists()
    lab.task("c", state="absent")
    assert not top.exists()


def test_note_that_somebody_else_wrote(lab, tmp_path):
    """The container's directory can be the guest's root's: no word of his decides what is removed elsewhere."""
    (tmp_path / "data").write_text("precious")
    (lab.path / "c").mkdir()
    note = lab.path / "c" / ".lightervisor.json"
    note.write_text(json.dumps({"operation": "create", "rootfs": str(tmp_path)}))
    os.chown(note, 100000, 100000)
    lab.cycle("c", state="absent")
    assert (tmp_path / "data").read_text() == "precious"


def test_destruction_that_was_interrupted(lab):
    lab.make()
    note = lab.path / "c" / ".lightervisor.json"
    note.write_text('{"operation": "destroy"}')
    for state in ("present", "started", "stopped"):
        done = lab.refused("c", state=state, template=BUSYBOX, networks=EMPTY)
        assert "it was being destroyed when a run was interrupted" in done["msg"]
        assert str(note) in done["msg"]
    note.unlink()
    lab.unchanged("c", template=BUSYBOX, networks=EMPTY)
    note.write_text('{"operation": "destroy"}')
    lab.cycle("c", state="absent")
    assert lab.names() == []


@pytest.mark.parametrize("begun", [False, True])
def test_destruction_that_fails(lab, tmp_path, begun):
    """By a hook, which in one case has removed something deep in the rootfs before."""
    lab.make(state="started")
    rootfs = lab.path / "c" / "rootfs"
    (rootfs / "usr" / "deep" / "er").mkdir(parents=True)
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\n{f'rmdir {rootfs}/usr/deep/er' if begun else ''}\nexit 1\n")
    hook.chmod(0o755)
    lab.edit("c", f"lxc.hook.destroy = {hook}")
    done = lab.task("c", state="absent", shutdown_timeout=0, fails=True)
    note = lab.path / "c" / ".lightervisor.json"
    assert note.exists() == begun
    assert lab.state("c") == ("STOPPED" if begun else "RUNNING")
    assert ("its destruction has begun" in done["msg"]) == begun
    assert ("Undone: 'c' runs again" in done["msg"]) != begun
    if begun:
        assert "it was being destroyed" in lab.refused("c", state="started")["msg"]
        # Once more, with nothing done this time: what was removed stays removed.
        hook.write_text("#!/bin/sh\nexit 1\n")
        lab.task("c", state="absent", fails=True)
        assert note.exists()
    hook.write_text("#!/bin/sh\nexit 0\n")
    lab.task("c", state="absent", shutdown_timeout=0)
    assert lab.names() == []


def test_dependants_that_were_removed_by_hand(lab):
    lab.make("base")
    for name in ("one", "two"):
        lab.make(name, clone={"from": "base", "snapshot": True})
    shutil.rmtree(lab.path / "one")
    assert "'one'" not in lab.refused("base", state="absent")["msg"]
    shutil.rmtree(lab.path / "two")
    # A new container of that name is no dependant.
    lab.make("two")
    lab.cycle("base", state="absent")
    assert lab.names() == ["two"]


def test_rootfs_path_is_not_edited(lab, tmp_path):
    lab.make()
    options = {"config": {"lxc.rootfs.path": f"dir:{tmp_path}"}}
    assert "its rootfs is" in lab.refused("c", **options)["msg"]
    assert any("its rootfs is" in text for text in lab.unchanged("c", drift="warn", **options)["warnings"])
    assert lab.refused("d", template=BUSYBOX, **options)["path"] == "config[lxc.rootfs.path]"


def test_secrets_are_not_left_in_the_config(lab, tmp_path):
    template = tmp_path / "lxc-mine"
    template.write_text("#!/bin/sh\necho failed with hunter2 >&2\n[ ! -e " + str(tmp_path / "fail") + " ]\n")
    template.chmod(0o755)
    options = {"name": str(template), "arguments": ["--user", "u", "--password", "hunter2"]}
    done = lab.make(template=options, privileged=True)
    assert "hunter2" not in lab.config("c") and "--password ********" in lab.config("c")
    assert "hunter2" not in json.dumps(done["diff"])
    lab.unchanged("c", template=options, privileged=True, networks=EMPTY)
    (tmp_path / "fail").touch()
    done = lab.task("d", template=options, privileged=True, fails=True)
    assert "hunter2" not in json.dumps({key: value for key, value in done.items() if key != "invocation"})


def test_negative_limit(lab):
    if not Path("/sys/fs/cgroup/cpu").is_dir():
        pytest.skip("no cgroup v1 with cpu")
    key = "lxc.cgroup.cpu.cfs_quota_us"
    lab.make(state="started", config={key: "50000"})
    lab.cycle("c", config={key: "-1"})
    now = subprocess.run(
        ["lxc-cgroup", "-P", str(lab.path), "-n", "c", "cpu.cfs_quota_us"], check=True, capture_output=True, text=True
    )
    assert now.stdout.strip() == "-1"


@pytest.mark.parametrize("host_name", ["c.example.org", "base"])
def test_lost_rootfs_line_is_no_half_made_clone(lab, host_name):
    """An own host name proves nothing: a whole rootfs is not thrown away."""
    lab.make("base")
    lab.make(config={"lxc.uts.name": host_name, "lxc.start.order": 3})
    text = "".join(line for line in lab.config("c").splitlines(True) if not line.startswith("lxc.rootfs.path"))
    (lab.path / "c" / "config").write_text(text)
    (lab.path / "c" / "rootfs" / "data").write_text("precious")
    done = lab.refused("c", clone={"from": "base"})
    assert f"lxc.rootfs.path = dir:{lab.path}/c/rootfs" in done["msg"]
    lab.task("c", config={"lxc.rootfs.path": f"dir:{lab.path}/c/rootfs"}, state="started")
    assert (lab.path / "c" / "rootfs" / "data").read_text() == "precious"


def test_rootfs_of_one_that_was_to_go_first_and_did_not(lab, run_module):
    lab.make("owner")
    lab.make("user")
    text = lab.config("user").replace(f"{lab.path}/user/rootfs", f"{lab.path}/owner/rootfs")
    (lab.path / "user" / "config").write_text(text)
    names = [{"name": name, "state": "absent"} for name in ("user", "owner")]
    params = {"containers": names, "lxcpath": str(lab.path), "on_error": "continue"}
    subprocess.run(["chattr", "+i", str(lab.path / "user")], check=True)
    try:
        done = run_module("lxc_fleet", params, fails=True)
    finally:
        subprocess.run(["chattr", "-i", str(lab.path / "user")], check=True)
    said = {one["name"]: one["msg"] for one in done["containers"]}
    place = f"its rootfs {lab.path}/owner/rootfs belongs to 'user' too, which could not be removed before it"
    assert said["owner"] == f"Cannot destroy container 'owner': {place}. Remove that first"
    assert "user" in said
    assert (lab.path / "owner" / "rootfs" / "bin" / "busybox").exists()
    run_module("lxc_fleet", params, fails=False)
    assert lab.names() == []


def test_guests_that_nest_directories_deeply(lab):
    deep = "import os, sys\nos.chdir(sys.argv[1])\nfor level in range(1500):\n os.mkdir('d')\n os.chdir('d')"
    for name in ("c", "half"):
        lab.make(name)
        subprocess.run([sys.executable, "-c", deep, str(lab.path / name / "rootfs")], check=True)
    (lab.path / "half" / "partial").touch()
    try:
        for name in ("c", "half"):
            lab.task(name, state="absent")
        assert os.listdir(lab.path) == []
    finally:
        subprocess.run(["rm", "-rf", *map(str, lab.path.glob("*/rootfs/d"))], check=True)


def test_notes_of_a_guest_neither_hang_nor_lead_anywhere(lab, tmp_path):
    """The container's directory belongs to the guest's root."""
    lab.make()
    outside = tmp_path / "outside"
    outside.mkdir()
    note = lab.path / "c" / ".lightervisor.json"
    note.write_text(json.dumps({"operation": "create", "rootfs": str(outside)}))
    os.chown(note, 100000, 100000)
    assert read_journal(str(lab.path / "c")) == {"operation": "create"}
    note.unlink()
    (tmp_path / "mine").write_text(json.dumps({"operation": "create", "rootfs": str(outside)}))
    note.symlink_to(tmp_path / "mine")
    with pytest.raises(OperationError):
        read_journal(str(lab.path / "c"))
    note.unlink()
    os.mkfifo(note)
    assert "it is not a regular file" in lab.refused("c", state="started")["msg"]
    note.unlink()
    note.write_text("[" * 100000)
    assert read_journal(str(lab.path / "c")) == {"operation": "unknown"}
    lab.task("c", state="absent")
    assert outside.exists() and lab.names() == []
