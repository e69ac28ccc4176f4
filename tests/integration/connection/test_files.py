# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files in and out of a guest."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.lightervisor.lxc.tests.integration.connection.conftest import execute, run

Talk = Callable[..., list[Any]]
NAMES = ("plain", "two words", 'it\'s "quoted" $HOME `id` \\', "-n", "line\nbreak", "ümläut", "*", "~", "%s")


@pytest.mark.parametrize("size", [0, 1, 65536, 100 * 1024 * 1024])
def test_all_bytes_arrive_both_ways(guest: str, talk: Talk, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "there").write_bytes(data)
    put, digest, fetch, gone = talk(
        guest,
        ["put", str(tmp_path / "there"), "/root/file"],
        execute("sha256sum < /root/file"),
        ["fetch", "/root/file", str(tmp_path / "back")],
        execute("rm /root/file"),
    )
    assert put.error is None, put
    assert digest.out.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert fetch.error is None, fetch
    assert (tmp_path / "back").read_bytes() == data
    assert gone.rc == 0


def test_any_name_is_only_a_name(guest: str, talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("x")
    steps: list[list[Any]] = [execute("rm -rf /root/n && mkdir /root/n")]
    for number, name in enumerate(NAMES):
        steps += [["put", str(tmp_path / "source"), f"/root/n/{name}"]]
        steps += [["fetch", f"/root/n/{name}", str(tmp_path / f"{number}")]]
    answers = talk(guest, *steps, ["put", str(tmp_path / "source"), "-relative"], execute("ls -1 /root/-relative"))
    assert [a.error for a in answers] == [None] * len(answers), answers
    assert answers[-1].rc == 0
    assert all((tmp_path / f"{number}").read_text() == "x" for number in range(len(NAMES)))


def test_what_cannot_be_written_is_an_error_with_the_guests_reason(guest: str, talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 3_000_000)
    source = str(tmp_path / "source")
    steps = [
        execute("mkdir -p /root/dir /root/small; mount -t tmpfs -o size=1m none /root/small"),
        ["put", source, "/no/such/directory/file"],
        ["put", source, "/root/dir"],
        ["put", source, "/root/small/file"],
        ["put", str(tmp_path / "missing"), "/root/file"],
        ["put", str(tmp_path), "/root/file"],
        execute("umount /root/small"),
    ]
    mount, directory, onto, full, missing, folder, unmount = talk(guest, *steps)
    assert (mount.rc, unmount.rc) == (0, 0)
    assert directory.error == "AnsibleError"
    assert "Cannot write file '/no/such/directory/file' in container 'bb': " in directory.msg
    assert "no" in directory.msg.lower().split(": ")[-1]
    assert (onto.error, "irectory" in onto.msg) == ("AnsibleError", True)
    assert (full.error, "No space left on device" in full.msg) == ("AnsibleError", True)
    assert (missing.error, "does not exist" in missing.msg) == ("AnsibleFileNotFound", True)
    assert (folder.error, "Is a directory" in folder.msg) == ("AnsibleError", True)


def test_what_cannot_be_read_is_an_error_and_leaves_nothing_behind(guest: str, talk: Talk, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("as before")
    steps = [
        execute("mkdir -p /root/dir; mkfifo /root/fifo; echo secret > /etc/secret; chmod 600 /etc/secret"),
        ["fetch", "/no/such/file", str(tmp_path / "new")],
        ["fetch", "/no/such/file", str(kept)],
        ["fetch", "/root/dir", str(tmp_path / "new")],
        ["fetch", "/root/fifo", str(tmp_path / "new")],
        ["fetch", "/dev/zero", str(tmp_path / "new")],
        ["fetch", "/etc/passwd", str(tmp_path / "no" / "folder")],
        ["fetch", "/etc/passwd", str(tmp_path)],
    ]
    _made, new, old, directory, fifo, device, nowhere, onto = talk(guest, *steps)
    for answer in (new, old):
        assert answer.error == "AnsibleFileNotFound"
        assert "Cannot fetch file '/no/such/file' from container 'bb': " in answer.msg
    assert (directory.error, "Is a directory" in directory.msg) == ("AnsibleError", True)
    for answer in (fifo, device):
        assert (answer.error, "Not an ordinary file" in answer.msg) == ("AnsibleError", True)
    assert (nowhere.error, "No such file" in nowhere.msg) == ("AnsibleError", True)
    assert (onto.error, "not an ordinary file" in onto.msg) == ("AnsibleError", True)
    (unreadable,) = talk(guest, ["fetch", "/etc/secret", str(tmp_path / "new")], remote_user="walter")
    assert (unreadable.error, "ermission denied" in unreadable.msg) == ("AnsibleError", True)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert kept.read_text() == "as before"


def test_files_in_a_guest_with_an_id_map_belong_to_its_root(
    mapped: str, talk: Talk, guests: Path, tmp_path: Path, subids: tuple[int, int]
) -> None:
    (tmp_path / "source").write_text("x")
    source = str(tmp_path / "source")
    put, theirs = talk(mapped, ["put", source, "/root/file"], execute("stat -c '%u %g %a' /root/file"))
    assert put.error is None, put
    assert theirs.out == b"0 0 644\n"
    status = (guests / mapped / "rootfs/root/file").stat()
    assert (status.st_uid, status.st_gid) == (subids[0], subids[0])
    put, theirs = talk(mapped, ["put", source, "file"], execute("stat -c '%u %g' file"), remote_user="walter")
    assert put.error is None, put
    assert theirs.out == b"1000 1000\n"
    assert (guests / mapped / "rootfs/home/walter/file").stat().st_uid == subids[0] + 1000


def test_links_of_a_hostile_guest_stay_inside_it(
    make: Callable[..., str], guests: Path, talk: Talk, tmp_path: Path
) -> None:
    name = make("hostile")
    outside = guests / "outside"
    outside.mkdir()
    (outside / "file").write_text("the host's")
    (tmp_path / "source").write_text("pushed")
    _made, put, fetch, _gone, again, inside = talk(
        name,
        execute(f"rm -rf /tmp && ln -s '{outside}' /tmp"),
        ["put", str(tmp_path / "source"), "/tmp/file"],
        ["fetch", "/tmp/file", str(tmp_path / "fetched")],
        execute(f"mkdir -p '{outside}'"),
        ["put", str(tmp_path / "source"), "/tmp/file"],
        execute(f"cat '{outside}/file'"),
    )
    assert put.error == "AnsibleError"
    assert fetch.error == "AnsibleFileNotFound"
    assert again.error is None
    assert inside.out == b"pushed"
    assert (outside / "file").read_text() == "the host's"
    assert sorted(p.name for p in outside.iterdir()) == ["file"]


@pytest.fixture
def liar(make: Callable[..., str], guests: Path) -> Iterator[Callable[[str, str], str]]:
    """`liar(tool, script)`: a guest with dash, one of whose tools is this shell script."""

    def new(tool: str, script: str) -> str:
        binaries = guests / make("liar", start=False) / "rootfs/bin"
        (binaries / "sh").unlink()
        shutil.copy2("/bin/dash", binaries / "sh")
        (binaries / tool).unlink()
        (binaries / tool).write_text(f"#!/bin/sh\n{script}\n")
        (binaries / tool).chmod(0o755)
        (binaries.parent / "file").write_text("12345\n")
        run("lxc-start", "-P", guests, "-n", "liar")
        return "liar"

    yield new
    run("lxc-destroy", "-f", "-P", guests, "-n", "liar")


@pytest.mark.parametrize(
    ("script", "complaint"),
    [("exit 0", "it ended 6 bytes early"), ("echo 'cat: rude' >&2; exit 1", "rude"), ("kill -9 $$", "137")],
)
def test_a_guest_that_does_not_send_what_it_promised(
    liar: Callable[[str, str], str], talk: Talk, tmp_path: Path, script: str, complaint: str
) -> None:
    (fetch,) = talk(liar("cat", script), ["fetch", "/file", str(tmp_path / "file")])
    assert fetch.error == "AnsibleError", fetch
    assert complaint in fetch.msg
    assert list(tmp_path.iterdir()) == []


def test_a_guest_that_never_stops_sending(liar: Callable[[str, str], str], talk: Talk, tmp_path: Path) -> None:
    name = liar("cat", "exec yes")
    fetch, running = talk(name, ["fetch", "/file", str(tmp_path / "file")], execute("ps | grep -c '[y]es$'"))
    assert fetch.error is None
    assert (tmp_path / "file").read_bytes() == b"y\ny\ny\n"
    assert running.out == b"0\n"


def test_sizes_that_can_not_be_true_are_refused(liar: Callable[[str, str], str], talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("x")
    steps = (["fetch", "/file", str(tmp_path / "file")], ["put", str(tmp_path / "source"), "/root/file"])
    fetch, put = talk(liar("wc", "echo 99999999999999999"), *steps)
    assert (fetch.error, "more than are free" in fetch.msg) == ("AnsibleError", True)
    assert (put.error, "1 bytes were sent and 99999999999999999 are there" in put.msg) == ("AnsibleError", True)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_growing_file_is_fetched_as_it_was(guest: str, talk: Talk, tmp_path: Path) -> None:
    start, fetch, _end = talk(
        guest,
        execute("(while :; do echo line; done >> /root/log) > /dev/null 2>&1 & echo $! > /root/pid; sleep 1"),
        ["fetch", "/root/log", str(tmp_path / "log")],
        execute("kill $(cat /root/pid); rm /root/log"),
    )
    assert start.rc == 0
    assert fetch.error is None, fetch
    assert set((tmp_path / "log").read_bytes()) == set(b"line\n")


def test_a_fetched_file_keeps_the_mode_of_what_it_replaces(guest: str, talk: Talk, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    target.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(target)
    (answer,) = talk(guest, ["fetch", "/etc/passwd", str(link)])
    assert answer.error is None
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert target.read_text().startswith("root:")


def test_no_process_is_left_on_the_host(guest: str, talk: Talk, guests: Path) -> None:
    talk(guest, execute("yes"), ["fetch", "/dev/zero", "/dev/null"], max_output=100_000)
    left = subprocess.run(["pgrep", "-fa", f"lxc-attach.*{guests}"], capture_output=True, text=True, check=False)
    assert left.stdout == ""
