# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes away what a test run made on this machine: containers, mounts, bridges, users, folders.

The fixtures use it after each test, and `scripts/test` runs it as a program after an interrupted run:
`leftovers.py RUN` removes what carries that run's identifier and nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterable

WHERE = Path("/var/tmp")
#: Which ids containers were given (id_grants.py), and the lock for writing that.
GRANTS = Path("/var/lib/lightervisor/ids")
GRANTS_LOCK = Path("/run/lightervisor/host:grants")


def folder_prefix(run: str) -> str:
    """How the folders of a run begin, below /var/tmp, and its users."""
    return f"lvt-{run}-"


def bridge_prefix(run: str) -> str:
    """How the bridges of a run begin. A run's identifier has four characters, so that 15 are never passed."""
    return f"lvt-b{run}"


def remove_user(name: str) -> None:
    """Delete a user of this machine, if it is there, and what sudo lets it do. Its home directory stays."""
    Path("/etc/sudoers.d", name).unlink(missing_ok=True)
    # By force: another name of root's uid counts as being in use.
    subprocess.run(["userdel", "-f", name], check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)


def clear_lxcpath(path: Path) -> None:
    """Stop every container below `path`, unmount what is mounted there, and remove it all.

    Raises OSError or CalledProcessError when something stays: a leftover is a defect of what was tested.
    """
    for name in _active(path):
        subprocess.run(
            ["lxc-stop", "-k", "-P", str(path), "-n", name],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
    _kill(_processes_naming(path))
    for mountpoint in _mounts_under(path):
        subprocess.run(["umount", "-l", mountpoint], check=True, capture_output=True, timeout=60)
    if path.exists():
        subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True, capture_output=True, timeout=300)
    locks = Path("/run/lxc/lock") / str(path).lstrip("/")
    shutil.rmtree(locks, ignore_errors=True)
    # Nobody works on what is gone. Their names are those of named_lock in locks.py.
    for lock in GRANTS_LOCK.parent.glob(f"container:{str(path).replace('/', '%2F')}[:%]*"):
        lock.unlink(missing_ok=True)
    _forget_ids(path)


def _forget_ids(path: Path) -> None:
    """Take back which ids were given to containers below `path`: what can't be found any more may be out of sight."""
    if not GRANTS.exists() or f'"{path}' not in GRANTS.read_text():
        return
    GRANTS_LOCK.parent.mkdir(mode=0o700, exist_ok=True)
    with GRANTS_LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lines = GRANTS.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not f"{json.loads(line)[1]}/".startswith(f"{path}/")]
        fresh = GRANTS.with_name(".lvt-ids")
        fresh.write_text("".join(kept))
        fresh.chmod(0o644)
        fresh.replace(GRANTS)


def remove_link(name: str) -> None:
    """Delete a network link if it is there."""
    subprocess.run(
        ["ip", "link", "delete", name], check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )


def clear_run(run: str) -> list[str]:
    """Remove everything of a run; returns what was found, empty when the run had cleaned up after itself."""
    found = []
    for user in [entry.pw_name for entry in pwd.getpwall() if entry.pw_name.startswith(folder_prefix(run))]:
        found.append(user)
        remove_user(user)
    for path in sorted(WHERE.glob(folder_prefix(run) + "*")):
        found.append(str(path))
        clear_lxcpath(path)
    for link in sorted(Path("/sys/class/net").glob(bridge_prefix(run) + "*")):
        found.append(link.name)
        remove_link(link.name)
    return found


def _active(path: Path) -> Iterable[str]:
    """Names with a command socket, `@<lxcpath>/<name>/command` (liblxc, commands.c); deepest folders included."""
    pattern = re.compile(rf" @({re.escape(str(path))}(?:/.*)?)/([^/]+)/command$")
    for line in Path("/proc/net/unix").read_text(errors="surrogateescape").splitlines():
        match = pattern.search(line)
        if match and match.group(1) == str(path):
            yield match.group(2)


def _processes_naming(path: Path) -> list[int]:
    """Processes that have this folder in their arguments, each after its own children: monitors, unfinished tools.

    A container whose config cannot be read any more is found only like this.
    """
    needle = os.fsencode(path)
    pids = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) in (os.getpid(), os.getppid()):
            continue
        with contextlib.suppress(OSError):
            words = Path(entry.path, "cmdline").read_bytes().replace(b"\0", b" ")
            if re.search(re.escape(needle) + rb"(?:[/ ]|$)", words):
                pids.extend(_children(int(entry.name)))
                pids.append(int(entry.name))
    return pids


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _kill(pids: list[int]) -> None:
    """SIGKILL, one after the other, each waited for up to five seconds: a monitor tidies up when its guest has gone."""
    for pid in pids:
        with contextlib.suppress(OSError):
            handle = os.pidfd_open(pid)
            try:
                if not select.select([handle], [], [], 0)[0]:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    select.select([handle], [], [], 5)
            finally:
                os.close(handle)


def _mounts_under(path: Path) -> list[str]:
    """Mount points at or below `path`, innermost and latest first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal.group(1), 8)), line.split(" ")[4])
        if point == str(path) or point.startswith(f"{path}/"):
            points.append(point)
    return points[::-1]


if __name__ == "__main__":
    if len(sys.argv) != 2 or not re.fullmatch(r"[0-9a-f]{4}", sys.argv[1]):
        sys.exit("usage: leftovers.py RUN    (the run's four hexadecimal digits)")
    for leftover in clear_run(sys.argv[1]):
        print(f"removed {leftover}")
