# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fixtures themselves: what they make works, and what they take away is gone."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.lightervisor.lxc.tests.support import leftovers


def state(lxcpath: Path, name: str) -> str:
    done = subprocess.run(
        ["lxc-info", "-P", str(lxcpath), "-n", name, "-sH"], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


def start(lxcpath: Path, name: str) -> None:
    subprocess.run(["lxc-start", "-P", str(lxcpath), "-n", name], check=True, capture_output=True, timeout=60)
    subprocess.run(["lxc-wait", "-P", str(lxcpath), "-n", name, "-s", "RUNNING", "-t", "20"], check=True, timeout=60)


def processes_of(path: Path) -> list[int]:
    return leftovers._processes_naming(path)


def test_running_frozen_and_unreadable_containers_are_all_taken_away(lxcpaths, busybox):
    lxcpath = lxcpaths()
    for name in ("running", "frozen", "broken", "stopped"):
        busybox(name, where=lxcpath)
    for name in ("running", "frozen", "broken"):
        start(lxcpath, name)
        assert state(lxcpath, name) == "RUNNING"
    subprocess.run(["lxc-freeze", "-P", str(lxcpath), "-n", "frozen"], check=True, timeout=60)
    with (lxcpath / "broken" / "config").open("a") as config:
        config.write("lxc.no.such.key = 1\n")
    assert processes_of(lxcpath)
    leftovers.clear_lxcpath(lxcpath)
    assert not lxcpath.exists()
    assert not processes_of(lxcpath)


def test_unprivileged_container_runs_with_the_ids_it_was_given(lxcpath, busybox, subids):
    first, count = subids
    assert count >= 65536
    busybox("guest", idmap=(first, 65536))
    assert (lxcpath / "guest" / "rootfs").stat().st_uid == first
    start(lxcpath, "guest")
    pid = subprocess.run(
        ["lxc-info", "-P", str(lxcpath), "-n", "guest", "-pH"], capture_output=True, text=True, timeout=30, check=True
    )
    assert Path("/proc", pid.stdout.strip()).stat().st_uid == first


def test_btrfs_path_holds_subvolumes(btrfs_path):
    subprocess.run(["btrfs", "subvolume", "create", str(btrfs_path / "one")], check=True, capture_output=True)
    subprocess.run(
        ["btrfs", "subvolume", "snapshot", "-r", str(btrfs_path / "one"), str(btrfs_path / "two")],
        check=True,
        capture_output=True,
    )
    assert os.statvfs(btrfs_path).f_blocks * os.statvfs(btrfs_path).f_frsize >= 500 * 1024 * 1024


def test_clear_run_finds_what_a_killed_run_left(lxcpath):
    """A process of its own uses the fixtures' names and is gone; its run is removed, this one's is not."""
    run = "fade"
    folder = Path(f"/var/tmp/{leftovers.folder_prefix(run)}lxc-x")
    link = leftovers.bridge_prefix(run) + "0"
    user = f"{leftovers.folder_prefix(run)}root"
    folder.mkdir()
    subprocess.run(["ip", "link", "add", link, "type", "bridge"], check=True)
    subprocess.run(["useradd", "-o", "-u", "0", "-g", "0", "-N", "-M", "-d", "/nonexistent", user], check=True)
    script = Path(leftovers.__file__)
    done = subprocess.run([sys.executable, str(script), run], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == [f"removed {user}", f"removed {folder}", f"removed {link}"]
    assert user not in [entry.pw_name for entry in pwd.getpwall()]
    assert pwd.getpwuid(0).pw_name == "root"
    assert not folder.exists()
    assert not Path("/sys/class/net", link).exists()
    assert lxcpath.exists()


def test_ids_that_containers_were_given_are_taken_back_with_their_folder(lxcpaths, run_module, subids):
    gone, other = lxcpaths(), lxcpaths()
    for path in (gone, other):
        params = {"name": "c", "lxcpath": str(path), "template": {"name": "busybox"}, "state": "stopped"}
        run_module("lxc_container", params, fails=False)
    assert {json.dumps(str(path)) in leftovers.GRANTS.read_text() for path in (gone, other)} == {True}
    leftovers.clear_lxcpath(gone)
    text = leftovers.GRANTS.read_text()
    assert str(gone) not in text
    assert str(other) in text
    assert oct(leftovers.GRANTS.stat().st_mode)[-3:] == "644"


def test_tree_hash_sees_a_rewrite_with_the_same_content(tmp_path, tree_hash):
    file = tmp_path / "file"
    file.write_text("same")
    before = tree_hash(tmp_path)
    assert tree_hash(tmp_path) == before
    status = file.stat()
    file.write_text("same")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert tree_hash(tmp_path) != before


@pytest.mark.parametrize("check", [False, True])
def test_module_runner_hands_over_arguments_and_check_mode(tmp_path, checkout, collections_path, check):
    mark = tmp_path / "mark"
    arguments = {"_raw_params": f"touch {mark}", "creates": str(mark), "_ansible_check_mode": check}
    runner = checkout / "tests" / "support" / "module_runner.py"
    done = subprocess.run(
        [sys.executable, str(runner), "ansible.modules.command", str(collections_path)],
        check=False,
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    result = json.loads(done.stdout)
    assert (done.returncode, result["changed"]) == (0, True)
    assert mark.exists() != check


def test_playbook_results_are_those_of_its_tasks(run_playbook):
    result = run_playbook(
        """
        - hosts: localhost
          gather_facts: false
          tasks:
            - name: Say
              ansible.builtin.debug: {msg: "{{ 6 * 7 }}"}
            - name: Change
              ansible.builtin.command: echo hello
            - name: Never
              ansible.builtin.debug:
              when: false
        """,
        fails=False,
    )
    assert result.result("Say")["msg"] == 42
    assert result.result("Change")["stdout"] == "hello"
    assert [event["status"] for event in result.events] == ["ok", "ok", "skipped"]
    assert result.changed == 1
