# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's end of a file transfer."""

from __future__ import annotations

import os
import secrets
import stat
from types import TracebackType
from typing import BinaryIO, Callable, Optional, Type

#: A size that a guest announces has no more digits than this, and a line end.
_SIZE_MAX = 24


class Bad(Exception):
    """A transfer that can't be right; the text says why."""


def chunks(data: bytes) -> Callable[[int], bytes]:
    """A reader of `data`: each call gives at most so many bytes, none at the end."""
    rest = memoryview(data)

    def read(size: int) -> bytes:
        nonlocal rest
        chunk, rest = rest[:size], rest[size:]
        return bytes(chunk)

    return read


class Complete(Exception):
    """More was sent than announced; what was announced is in place."""


class Counter:
    """Reads from a file and counts the bytes."""

    def __init__(self, source: BinaryIO) -> None:
        self.count = 0
        self._source = source

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        chunk = self._source.read(size)
        self.count += len(chunk)
        return chunk


class Receiver:
    """Takes what `fetch_command` prints: a size on a line of its own, then as many bytes.

    They are written beside `path` and take its place when all is there; else nothing is left. A file that grows
    meanwhile is cut
    at the announced size, so whoever sends can neither go on for ever nor fill more of the disk than was free at
    the start.
    """

    def __init__(self, path: bytes) -> None:
        self._path = os.path.realpath(path)
        self._partial = self._path + b".part-" + secrets.token_hex(4).encode()
        self._file: Optional[BinaryIO] = None
        self._head = b""
        self._left: Optional[int] = None
        self._mode: Optional[int] = None

    def __enter__(self) -> Receiver:
        """Raises OSError, or Bad when there is something at `path` that is no file."""
        try:
            old = os.stat(self._path)
        except FileNotFoundError:
            pass
        else:
            if not stat.S_ISREG(old.st_mode):
                raise Bad(f"{os.fsdecode(self._path)} is not an ordinary file")
            self._mode = stat.S_IMODE(old.st_mode)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._partial, flags, 0o666), "wb", buffering=0)
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._file is not None:
            self._file.close()
            os.unlink(self._partial)

    def take(self, chunk: bytes) -> None:
        """The next bytes from the guest. Raises Bad, OSError, and Complete when there are more than announced."""
        if self._left is None:
            self._head += chunk
            if b"\n" not in self._head:
                if len(self._head) > _SIZE_MAX:
                    raise Bad("the guest did not say how long the file is")
                return
            size, _newline, chunk = self._head.partition(b"\n")
            self._begin(size.strip())
        if self._left is None or self._file is None:
            raise Bad("it was ended before")
        part = memoryview(chunk)[: self._left]
        self._left -= len(part)
        surplus = len(part) < len(chunk)
        while part:
            part = part[self._file.write(part) :]
        if surplus:
            self.finish()
            raise Complete()

    def finish(self) -> None:
        """Put the file in place. Raises OSError, or Bad when less came than was announced."""
        if self._left is None:
            raise Bad("the guest did not say how long the file is")
        if self._left:
            raise Bad(f"it ended {self._left} bytes early")
        if self._file is None:
            raise Bad("it was ended before")
        if self._mode is not None:
            os.fchmod(self._file.fileno(), self._mode)
        self._file.close()
        self._file = None
        os.replace(self._partial, self._path)

    def _begin(self, size: bytes) -> None:
        if not size.isdigit() or len(size) > _SIZE_MAX:
            raise Bad("the guest did not say how long the file is")
        self._left = int(size)
        if self._file is None:
            raise Bad("it was ended before")
        space = os.fstatvfs(self._file.fileno())
        if self._left > space.f_bavail * space.f_frsize:
            raise Bad(f"it has {self._left} bytes, more than are free on the controller")
