# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Atomic replacement of files and named locks, on the real kernel."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host import files, locks

IS_ROOT = os.geteuid() == 0


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# files


def test_new_file(tmp_path: Path) -> None:
    target = tmp_path / "config"
    files.write_atomic(str(target), "lxc.uts.name = a\n")
    assert target.read_bytes() == b"lxc.uts.name = a\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert names(tmp_path) == ["config"]


def test_mode_of_a_new_file_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.write_atomic(str(tmp_path / "a"), "")
        files.write_atomic(str(tmp_path / "b"), "", mode=0o644)
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in "ab"] == [0o640, 0o644]


def test_relative_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.write_atomic("config", "x")
    assert files.read_text("config") == "x"


@pytest.mark.skipif(not IS_ROOT, reason="changing owners needs root")
def test_owner_mode_and_xattrs_stay(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    os.chown(target, 1234, 2345)
    os.chmod(target, 0o604)
    os.setxattr(target, "user.note", b"mine")
    files.write_atomic(str(target), "new")
    after = target.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (1234, 2345, 0o604)
    assert os.getxattr(target, "user.note") == b"mine"
    assert target.read_text() == "new"


@pytest.mark.skipif(not IS_ROOT or not shutil.which("setfacl"), reason="needs root and setfacl")
def test_acl_stays(tmp_path: Path) -> None:
    target = tmp_path / "config"
    target.write_text("old")
    subprocess.run(["setfacl", "-m", "u:1234:rw,m::rw", str(target)], check=True)

    def acl() -> str:
        return subprocess.run(["getfacl", "-cn", str(target)], check=True, capture_output=True, text=True).stdout

    before = acl()
    assert "user:1234:rw-" in before
    files.write_atomic(str(target), "new")
    assert acl() == before


@pytest.mark.parametrize("target", ["/etc/shadow", "elsewhere", "missing"])
def test_symbolic_link_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").write_text("kept")
    link = tmp_path / "config"
    link.symlink_to(target)
    with pytest.raises(OperationError, match=r"Cannot write file '.*/config': it is a symbolic link to .*") as caught:
        files.write_atomic(str(link), "new")
    assert target in str(caught.value)
    assert link.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "kept"
    assert names(tmp_path) == ["config", "elsewhere"]


def test_other_kinds_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "folder"):
        with pytest.raises(OperationError, match="not a regular file"):
            files.write_atomic(str(tmp_path / name), "new")
        with pytest.raises(OperationError, match="not a regular file"):
            files.read_text(str(tmp_path / name))
    assert names(tmp_path) == ["fifo", "folder"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="No such file or directory"):
        files.write_atomic(str(tmp_path / "no" / "config"), "")
    assert files.read_text(str(tmp_path / "no" / "config")) is None
    assert files.sweep_temporary(str(tmp_path / "no" / "config")) == 0


def test_bytes_survive(tmp_path: Path) -> None:
    target = tmp_path / "config"
    data = b"# \xff\xfe caf\xc3\xa9\r\nlxc.uts.name = a\n\x00no newline"
    target.write_bytes(data)
    text = files.read_text(str(target))
    assert text is not None
    files.write_atomic(str(target), text)
    assert target.read_bytes() == data


def test_nothing_left_when_the_file_system_is_full(tmp_path: Path) -> None:
    if not IS_ROOT:
        pytest.skip("mounting needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(mount)], check=True)
    try:
        (mount / "config").write_text("old")
        with pytest.raises(OperationError, match="No space left on device"):
            files.write_atomic(str(mount / "config"), "x" * 200_000)
        assert (mount / "config").read_text() == "old"
        assert names(mount) == ["config"]
    finally:
        subprocess.run(["umount", str(mount)], check=True)


WRITER = """
import os, sys
from ansible_collections.lightervisor.lxc.plugins.module_utils._host import files
n = 0
while True:
    n += 1
    files.write_atomic(sys.argv[1], (str(n % 10) * 5000) + "\\n")
    if n == 1:
        print("ready", flush=True)
"""


def test_killed_writers_leave_a_whole_file_and_the_next_run_sweeps(tmp_path: Path, collections_path: Path) -> None:
    target = tmp_path / "config"
    seen_leftover = 0
    for attempt in range(30):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(target)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(collections_path)},
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        select.select((), (), (), 0.0007 * attempt)
        child.kill()
        child.wait()
        child.stdout.close()
        text = target.read_text()
        assert len(text) == 5001 and len(set(text[:-1])) == 1
        left = len(names(tmp_path)) - 1
        seen_leftover += left
        assert files.sweep_temporary(str(target)) == left
        assert names(tmp_path) == ["config"]
    assert seen_leftover, "no kill hit a writer at work: the sweep was not tested"


def test_sweep_leaves_a_live_writer_and_other_files_alone(tmp_path: Path) -> None:
    target = tmp_path / "config"
    live = tmp_path / ".config.lightervisor-tmp-aaaaaaaaaaaa"
    dead = tmp_path / ".config.lightervisor-tmp-bbbbbbbbbbbb"
    other = tmp_path / ".config2.lightervisor-tmp-cccccccccccc"
    for path in (live, dead, other):
        path.write_text("")
    with live.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        files.write_atomic(str(target), "x")
        assert names(tmp_path) == sorted(["config", live.name, other.name])


def test_longest_name(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    files.write_atomic(str(target), "x")
    assert target.read_text() == "x"


# locks


HOLDER = """
import os, sys, subprocess, time
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.locks import named_lock
with named_lock("container", "/some/path", sys.argv[1]) as lock:
    if sys.argv[2] == "child":
        child = subprocess.Popen(["sleep", "60"], pass_fds=(lock.fd,), stdout=subprocess.DEVNULL)
        print(child.pid, flush=True)
    elif sys.argv[2] == "exec":
        os.set_inheritable(lock.fd, True)
        print(os.getpid(), flush=True)
        os.execvp("sleep", ["sleep", "60"])
    else:
        print(os.getpid(), flush=True)
    sys.stdin.read()
"""


class Holder:
    def __init__(self, collections_path: Path, name: str, how: str = "self") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, name, how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(collections_path)},
        )
        assert self.process.stdout is not None
        self.printed = int(self.process.stdout.readline())

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    unique = f"lvt-{os.getpid()}-{request.node.name[:40]}"
    yield unique
    folder, folder_fd = locks._lock_directory()
    for file in os.listdir(folder):
        if unique in file:
            os.unlink(file, dir_fd=folder_fd)
    os.close(folder_fd)


def test_exclusive_and_free_again(name: str, collections_path: Path) -> None:
    holder = Holder(collections_path, name)
    try:
        begin = time.monotonic()
        with pytest.raises(OperationError) as caught, locks.named_lock("container", "/some/path", name, timeout=0.3):
            pass
        assert 0.3 <= time.monotonic() - begin < 1.5
        assert str(caught.value).startswith(f"Cannot lock container '{name}': process {holder.printed} (python")
        with locks.named_lock("container", "/other/path", name, timeout=0):
            pass
    finally:
        holder.end()
    with locks.named_lock("container", "/some/path", name, timeout=0) as lock:
        assert lock.fd >= 0
        assert not os.get_inheritable(lock.fd)
        assert Path(lock.path).read_text().split() == [str(os.getpid())]
    assert lock.fd == -1
    with locks.named_lock("container", "/some/path", name, timeout=0):
        pass


def test_waits_until_it_is_free(name: str, collections_path: Path) -> None:
    holder = Holder(collections_path, name)
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.4; kill -9 {holder.process.pid}"])
    try:
        begin = time.monotonic()
        with locks.named_lock("container", "/some/path", name, timeout=10):
            assert 0.2 < time.monotonic() - begin < 3
    finally:
        killer.wait()
        holder.end()


@pytest.mark.parametrize("how", ["child", "exec"])
def test_a_child_keeps_the_lock_of_a_killed_process(name: str, collections_path: Path, how: str) -> None:
    holder = Holder(collections_path, name, how)
    sleeper = holder.printed
    if how == "child":
        holder.end()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{sleeper}/comm").read_text() != "sleep\n":
        assert time.monotonic() < deadline
    try:
        wanted = rf"process {sleeper} \(sleep\)"
        with (
            pytest.raises(OperationError, match=wanted) as caught,
            locks.named_lock("container", "/some/path", name, timeout=0.1),
        ):
            pass
        assert ("that has ended," in str(caught.value)) == (how == "child")
    finally:
        os.kill(sleeper, signal.SIGKILL)
        if how == "exec":
            holder.end()
    with locks.named_lock("container", "/some/path", name, timeout=5):
        pass


def test_leaving_frees_it_even_if_a_child_still_has_it(name: str) -> None:
    with locks.named_lock("container", name) as lock:
        child = subprocess.Popen(["sleep", "60"], pass_fds=(lock.fd,))
    try:
        with locks.named_lock("container", name, timeout=0):
            pass
    finally:
        child.kill()
        child.wait()


def test_free_after_an_exception(name: str) -> None:
    with pytest.raises(KeyError), locks.named_lock("container", name):
        raise KeyError(name)
    with locks.named_lock("container", name, timeout=0):
        pass


def test_not_fooled_by_a_lock_file_that_was_cleaned_up(name: str) -> None:
    with locks.named_lock("container", name) as first:
        os.unlink(first.path)
        with locks.named_lock("container", name, timeout=0) as second:
            assert os.fstat(first.fd).st_ino != os.fstat(second.fd).st_ino


def test_the_file_of_what_is_gone_goes_and_who_waited_for_it_is_alone(name: str, tmp_path: Path) -> None:
    waiting = 8
    log = tmp_path / "log"
    log.touch()
    children = []
    with locks.named_lock("container", name) as lock:
        for number in range(waiting):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    with locks.named_lock("container", name, timeout=30) as own, log.open("a") as file:
                        file.write(f"in {number}\n")
                        file.flush()
                        time.sleep(0.02)
                        file.write(f"out {number}\n")
                        own.discard = number % 2 == 0
                    status = 0
                finally:
                    os._exit(status)
            children.append(child)
        time.sleep(0.1)
        lock.discard = True
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * waiting
    lines = [line.split() for line in log.read_text().splitlines()]
    assert len(lines) == 2 * waiting
    assert [(begin[0], end) for begin, end in zip(lines[::2], lines[1::2])] == [
        ("in", ["out", begin[1]]) for begin in lines[::2]
    ]
    with locks.named_lock("container", name) as last:
        last.discard = True
    assert not os.path.exists(last.path)


def test_inheritable(name: str) -> None:
    with locks.named_lock("container", name, inheritable=True) as lock:
        assert os.get_inheritable(lock.fd)


def test_hostile_names_stay_in_the_directory() -> None:
    parts = ["..", "/etc/passwd", "a\nb", "\0", ".", "", "ü", "\udcff", "x" * 5000, "x" * 4999 + "y"]
    paths = set()
    for part in parts:
        with locks.named_lock("container", part, timeout=0) as lock:
            folder, base = os.path.split(lock.path)
            assert os.path.basename(folder).startswith("lightervisor")
            assert base not in (".", "..") and "\n" not in base
            paths.add(lock.path)
            os.unlink(lock.path)
    assert len(paths) == len(parts)
    with (
        locks.named_lock("a", "bc", timeout=0),
        locks.named_lock("ab", "c", timeout=0),
        locks.named_lock("abc", timeout=0),
    ):
        pass


AS_USER = """
import os, sys
os.setgid(65534)
os.setuid(65534)
from ansible_collections.lightervisor.lxc.plugins.module_utils._errors import OperationError
from ansible_collections.lightervisor.lxc.plugins.module_utils._host.locks import named_lock
try:
    with named_lock("container", "lvt", timeout=0) as lock:
        print(lock.path)
except OperationError as error:
    print(error)
"""


@pytest.mark.skipif(not IS_ROOT, reason="becoming another user needs root")
def test_other_users_have_their_own_and_trust_no_one(tmp_path: Path) -> None:
    # The checkout may be in a folder that only root can enter: give the other user a copy.
    source = Path(locks.__file__).parents[1]
    copy = tmp_path / "ansible_collections/lightervisor/lxc/plugins/module_utils"
    (copy / "_host").mkdir(parents=True)
    for file in ("_errors.py", "_host/locks.py"):
        shutil.copy(source / file, copy / file)
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    os.chown(runtime, 65534, 65534)
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o001:
            os.chmod(folder, folder.stat().st_mode | 0o055)

    def run(**env: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", **env}
        return subprocess.run(
            [sys.executable, "-c", AS_USER], env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    assert run(XDG_RUNTIME_DIR=str(runtime)) == f"{runtime}/lightervisor/container:lvt"
    assert stat.S_IMODE((runtime / "lightervisor").stat().st_mode) == 0o700
    # Not the user's own: root's directory must not be used, nor one that others can write.
    fallback = Path("/tmp/lightervisor-65534")
    assert not os.path.lexists(fallback), "left over from something else"
    try:
        fallback.mkdir(mode=0o700)
        assert "belongs to uid 0" in run(XDG_RUNTIME_DIR="/root")
        os.chown(fallback, 65534, 65534)
        fallback.chmod(0o770)
        assert "mode 0770" in run(XDG_RUNTIME_DIR="relative")
        fallback.chmod(0o700)
        assert run(XDG_RUNTIME_DIR="") == f"{fallback}/container:lvt"
        shutil.rmtree(fallback)
        fallback.symlink_to(runtime)
        assert run(XDG_RUNTIME_DIR="").startswith("Cannot use lock directory")
    finally:
        if fallback.is_symlink():
            fallback.unlink()
        else:
            shutil.rmtree(fallback, ignore_errors=True)
