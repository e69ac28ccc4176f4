# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What takes long to make is kept under a name that says what it was made from, and made again when that changes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, Sequence

from process import run

#: Seconds after which what nobody has asked for is removed.
UNUSED_S = 14 * 24 * 3600


class Store:
    """A directory of results. Several programs may use it at a time."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self._say = say
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)

    def get(self, name: str, inputs: Sequence[str], make: Callable[[Path], None]) -> Path:
        """The directory that `make` has filled from these inputs, now or earlier.

        It fills one that takes its final name when it is done, so that what was interrupted is made again.
        """
        key = hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:16]
        final = self.folder / f"{name}-{key}"
        if final.is_dir():
            self._say(f"{name}: cached")
        else:
            with self._locked(name):
                if not final.is_dir():
                    self._make(name, final, make)
        os.utime(final)
        self._remove_unused()
        return final

    def _make(self, name: str, final: Path, make: Callable[[Path], None]) -> None:
        self._say(f"{name}: making it")
        begin = time.monotonic()
        for left in self.folder.glob(f"{name}-*.part"):
            remove(left)
        part = self.folder / f"{final.name}.part"
        part.mkdir()
        before = os.environ.get("TMPDIR", "/tmp")
        os.environ["TMPDIR"] = str(part)  # so that what killed programs leave there goes with the rest
        try:
            make(part)
            run(["sync", "-f", part])
        except BaseException:
            remove(part)
            raise
        finally:
            os.environ["TMPDIR"] = before
        part.rename(final)
        self._say(f"{name}: made in {time.monotonic() - begin:.0f} s")

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Keeps others from making one of this name meanwhile."""
        with (self.folder / f".{name}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say(f"{name}: waiting for another run that makes it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _remove_unused(self) -> None:
        for result in self.folder.glob("*-" + "[0-9a-f]" * 16):
            if time.time() - result.stat().st_mtime > UNUSED_S:
                remove(result)


def remove(folder: Path) -> None:
    """Remove a directory, and nothing that is mounted below it."""
    run(["rm", "-rf", "--one-file-system", folder])
