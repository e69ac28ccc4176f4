# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one gate for running other programs, and what is to be learned from LXC's about their failures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import lru_cache
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._errors import OperationError

_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: The Debian package that has a tool which is missing.
_PACKAGES = {"rsync": "rsync", "newuidmap": "uidmap"}
# "lxc-start: c1: ../src/lxc/start.c: lxc_spawn: 1788 Failed …" on stderr, and the same as a line of a log file:
# "lxc-start c1 20260101120000.000 ERROR    start - ../src/lxc/start.c:lxc_spawn:1788 - Failed …"
_ON_STDERR = re.compile(r"^lxc-[a-z]+: .*?: \S+\.c: \w+: \d+ (?P<text>.*)")
_IN_LOG = re.compile(r"^\S+ .*? \d{14}\.\d+ (?P<level>ERROR|FATAL|CRIT|ALERT)\s+\w+ - \S+?:\w+:\d+ - (?P<text>.*)")
_NOISE = (
    "To get more details",
    "Additional information can be obtained",
    "The container failed to start",
    "Received container state",
    "Failed to spawn container",
    "Failed to send SIGKILL",
    "Error creating container",
)


class TooSlow(OperationError):
    """A program did not end in its time and was killed."""


class Finished(NamedTuple):
    """A program that has ended."""

    returncode: int
    stdout: str
    stderr: str


def find(tool: str) -> str:
    """The tool's path. Raises OperationError naming the package to install."""
    return _find(tool, os.environ.get("PATH", "") + ":" + _SEARCH)


@lru_cache(maxsize=256)
def _find(tool: str, search: str) -> str:
    path = shutil.which(tool, path=search)
    if path is None:
        package = _PACKAGES.get(tool, "lxc")
        raise OperationError("run", "program", tool, "it is not installed", f"Install the package '{package}'")
    return path


def run(
    argv: Sequence[str],
    *,
    timeout: Optional[float] = None,
    keep_fds: Sequence[int] = (),
    stdin: str = "",
    environment: Optional[Mapping[str, str]] = None,
) -> Finished:
    """Run a program, never through a shell, and return what it printed.

    `timeout` in seconds; `keep_fds` are inherited by the program and its children, which keeps a lock held for as
    long as any of them lives. Raises OperationError when there is no such program, TooSlow when the time is over.
    """
    env = None if _is_settled() and not environment else {**os.environ, **_needed(), **(environment or {})}
    program = [find(argv[0]), *argv[1:]]
    if timeout is None and not stdin:
        return _run_unbounded(program, tuple(keep_fds), env)
    try:
        done = subprocess.run(
            program,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            pass_fds=tuple(keep_fds),
            env=env,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TooSlow("run", "program", argv[0], f"it did not end within {timeout:g} s") from None
    return Finished(done.returncode, done.stdout, done.stderr)


def _run_unbounded(program: Sequence[str], keep_fds: Tuple[int, ...], env: Optional[Mapping[str, str]]) -> Finished:
    """Run it to its end. What it prints goes to memory: pipes would take turns of waiting, and a daemon's for ever."""
    printed = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdout", "stderr")]
    try:
        with subprocess.Popen(
            program, stdin=subprocess.DEVNULL, stdout=printed[0], stderr=printed[1], pass_fds=keep_fds, env=env
        ) as process:
            process.wait()
        texts = [os.pread(fd, os.fstat(fd).st_size, 0).decode("utf-8", "replace") for fd in printed]
    finally:
        for fd in printed:
            os.close(fd)
    return Finished(process.returncode, *texts)


def settle_environment() -> None:
    """Make the environment that programs are run with this process's own, which saves making it for each of them."""
    if not _is_settled():
        os.environ.update(_needed())


def _needed() -> Dict[str, str]:
    return {"LC_ALL": "C.UTF-8", "PATH": f"{os.environ.get('PATH', '')}:{_SEARCH}"}


def _is_settled() -> bool:
    return os.environ.get("LC_ALL") == "C.UTF-8" and os.environ.get("PATH", "").endswith(_SEARCH)


def reasons(text: str) -> List[str]:
    """liblxc's error messages in a log or on stderr, oldest first, less prefixes and those that say nothing."""
    found: List[str] = []
    for line in text.splitlines():
        match = _IN_LOG.match(line) or _ON_STDERR.match(line)
        message = match.group("text").strip() if match else ""
        if message and not message.startswith(_NOISE) and message not in found:
            found.append(message)
    return found


def why(finished: Finished, log: str = "") -> str:
    """Why an lxc-* program failed, in its own words: the first reasons it logged, else the end of what it printed."""
    found = reasons(log) or reasons(finished.stderr)
    if found:
        return "; ".join(found[:4])
    lines = [line.strip() for line in (finished.stderr + "\n" + finished.stdout).splitlines() if line.strip()]
    return "; ".join(lines[-4:]) or f"it ended with status {finished.returncode} and without a message"
