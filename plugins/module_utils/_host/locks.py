# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks by name between processes of one user on this host, as flock(2) on files that only that user can open.

A lock file stays, because another process may have opened it and wait, unless what it is for is gone: who then gets
the lock of a file that nobody finds any more begins anew. They hold a process id, in a directory that a reboot clears.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import select
import stat
import time

from .._errors import OperationError

_UNSAFE = re.compile("[^A-Za-z0-9_-]")
_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.1


class Lock:
    """A lock to be used in a `with` statement, which waits for it at most `timeout` seconds.

    A child process that inherits `fd` (`subprocess` with `pass_fds=(lock.fd,)`) holds the lock together with this
    process: when this one is killed, the lock stays taken until that child has ended too. When the `with` block is
    left the lock is free even if such a child still runs.
    """

    def __init__(self, parts: tuple[str, ...], timeout: float, inheritable: bool) -> None:
        self._parts = parts
        self._timeout = timeout
        self._inheritable = inheritable
        #: The open lock file; -1 while the lock is not held.
        self.fd = -1
        self.path = ""
        #: Set while it is held: its file is not needed any more when it is left.
        self.discard = False

    def __enter__(self) -> Lock:
        folder, folder_fd = _lock_directory()
        try:
            name = _file_name(self._parts)
            self.path = os.path.join(folder, name)
            self.fd = self._acquire(folder_fd, name)
        except OSError as error:
            raise self._error(f"{self.path}: {error.strerror}") from error
        finally:
            os.close(folder_fd)
        if self._inheritable:
            os.set_inheritable(self.fd, True)
        return self

    def __exit__(self, *unused: object) -> None:
        fd, self.fd = self.fd, -1
        try:
            if self.discard:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path)
            fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)

    def _acquire(self, folder_fd: int, name: str) -> int:
        deadline = time.monotonic() + self._timeout
        pause = _FIRST_PAUSE_S
        while True:
            fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=folder_fd)
            try:
                while True:
                    try:
                        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        break
                    except OSError as error:
                        if error.errno not in (errno.EAGAIN, errno.EACCES):
                            raise
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise self._error(
                            f"{_holder(fd, self.path)} has held it for the {self._timeout:g} s that this run waited",
                            "Run it again when that has ended.",
                        )
                    # The kernel has no event for "free again" that a deadline could be put on.
                    select.select((), (), (), min(pause, left))
                    pause = min(pause * 2, _LONGEST_PAUSE_S)
                if _is_still(fd, folder_fd, name):
                    # Always as long: a truncation would wait for the disk.
                    os.pwrite(fd, b"%-11d\n" % os.getpid(), 0)
                    held, fd = fd, -1
                    return held
                # Something that cleans up old files took it away meanwhile: it is nobody's lock any more.
            finally:
                if fd >= 0:
                    os.close(fd)

    def _error(self, cause: str, advice: str = "") -> OperationError:
        kind = self._parts[0] if len(self._parts) > 1 else "lock"
        return OperationError("lock", kind, self._parts[-1], cause, advice)


def named_lock(*parts: str, timeout: float = 60.0, inheritable: bool = False) -> Lock:
    """The lock of this name, to be used in a `with` statement: `with named_lock("container", lxcpath, name) as lock:`.

    Different parts are different locks, also `("a", "bc")` and `("ab", "c")`. `timeout` is in seconds, 0 tries once.
    `inheritable` lets every child process hold it too. Not recursive. Entering raises OperationError that names the
    process which holds the lock, or says what is wrong with the directory of the locks.
    """
    if not parts:
        raise ValueError("a lock needs a name")
    return Lock(parts, timeout, inheritable)


def _file_name(parts: tuple[str, ...]) -> str:
    words = [part.encode("utf-8", "surrogateescape").decode("latin-1") for part in parts]
    name = ":".join([_UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", word) for word in words])
    if len(name) > 200:
        # "~" is never in an unabridged name, so the two kinds cannot meet.
        name = f"{name[:120]}~{hashlib.sha256(name.encode()).hexdigest()}"
    return name


def _lock_directory() -> tuple[str, int]:
    uid = os.geteuid()
    if uid == 0:
        path = "/run/lightervisor"
    else:
        # By the user's number first: with and without XDG_RUNTIME_DIR (become, cron) must be the same locks.
        path = f"/tmp/lightervisor-{uid}"
        for runtime in (f"/run/user/{uid}", os.environ.get("XDG_RUNTIME_DIR", "")):
            if runtime.startswith("/") and _owned_directory(runtime, uid):
                path = os.path.join(runtime, "lightervisor")
                break
    try:
        if uid == 0:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        # O_PATH: somebody else's directory is to be described, not to fail with "Permission denied".
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise OperationError("use", "lock directory", path, error.strerror or str(error)) from error
    found = os.fstat(fd)
    if found.st_uid != uid or found.st_mode & 0o077:
        os.close(fd)
        raise OperationError(
            "use",
            "lock directory",
            path,
            f"it belongs to uid {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}, not to uid {uid} with 0700",
            "Remove it if nothing of yours is in it.",
        )
    return path, fd


def _owned_directory(path: str, uid: int) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and os.access(path, os.W_OK | os.X_OK)


def _is_still(fd: int, folder_fd: int, name: str) -> bool:
    try:
        there = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _holder(fd: int, path: str) -> str:
    """Who holds the lock, in words: the process that took it, or those that inherited it from one that has ended."""
    path = os.path.realpath(path)
    taker = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
    if taker.isdigit() and _holds(taker, path):
        return f"process {taker} ({_command(taker)})"
    heirs = [f"process {pid} ({_command(pid)})" for pid in os.listdir("/proc") if pid.isdigit() and _holds(pid, path)]
    if not heirs:
        return "another process"
    return f"{', '.join(heirs)}, started by process {taker or '?'} that has ended,"


def _holds(pid: str, path: str) -> bool:
    """Whether a file descriptor of that process has the lock (proc_pid_fdinfo(5)), not only the file open."""
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{fd}") == path:
                with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as file:
                    if any(line.startswith("lock:") for line in file):
                        return True
    except OSError:
        pass
    return False


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "ended"
