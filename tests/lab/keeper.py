# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process that keeps guests while the command that started them is gone."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path
from typing import Any, Callable


def keep(begin: Callable[[], Any]) -> None:
    """Call `begin` in a process of its own, which stays until a guest that it started ends, or until `end`.

    Returns when `begin` has. Raises RuntimeError with what it raised.
    """
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        os.setsid()
        _stay(begin, tell)
    os.close(tell)
    try:
        with open(told, encoding="utf-8") as stream:
            answer = stream.read()
    except BaseException:
        os.kill(child, signal.SIGTERM)
        raise
    if answer != "up":
        raise RuntimeError(answer or "the process that was to keep the guests has ended")


def _stay(begin: Callable[[], Any], tell: int) -> None:
    """The guests end with this process, because they asked the kernel for that."""
    try:
        kept = begin()
        os.write(tell, b"up")
        os.close(tell)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        del kept
    except BaseException as error:
        os.write(tell, str(error).encode() or repr(error).encode())
    finally:
        os._exit(0)


def end(folder: Path) -> None:
    """End the process that keeps the guests of this run folder, if it is there, and wait until it has."""
    with (folder / "lock").open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.kill(int(lock.read()), signal.SIGTERM)
            fcntl.flock(lock, fcntl.LOCK_EX)
