# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that the lab starts: none of them outlives it, however it ends."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
from pathlib import Path
from typing import Any, Callable, Sequence

_PR_SET_PDEATHSIG = 1


def run(argv: Sequence[str | Path], stdin: bytes = b"", **options: Any) -> bytes:
    """Run a program and return its standard output. Raises RuntimeError with the end of what it printed."""
    words = list(map(str, argv))
    done = subprocess.run(
        words, input=stdin, capture_output=True, check=False, preexec_fn=end_with(os.getpid()), **options
    )
    if done.returncode:
        tail = (done.stdout + done.stderr).decode(errors="replace")[-3000:]
        raise RuntimeError(f"{shlex.join(words[:8])} … ended with {done.returncode}:\n{tail}")
    return done.stdout


def end_with(parent: int) -> Callable[[], None]:
    """What a child calls before it becomes another program, so that the kernel kills it when its parent ends."""
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before
            os._exit(1)

    return ask
