# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""liblxc's own judgement of a config, before it stands where a container would be started from it."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from typing import Dict, List, Sequence, Tuple

from .._errors import OperationError

#: Interpreters that Debian's, Fedora's and Ubuntu's packages of the binding are for.
INTERPRETERS = ("/usr/bin/python3", "/usr/libexec/platform-python", "/usr/bin/python3.13", "/usr/bin/python3.11")
#: No container: liblxc makes the folder of its locks for the lxcpath that it is told, so that is the real one.
_NAME = ".lightervisor"
#: Values without any meaning to it: set_config_uts_name and set_config_net_hwaddr in confile.c keep what fits.
_TAKEN = re.compile(
    r"(?<=^lxc\.uts\.name = )[A-Za-z0-9.-]{1,64}$|(?<=\.hwaddr = )[0-9a-f]{2}(?::[0-9a-f]{2}){5}$", re.M
)
#: Processes that judge many texts: so many at most, each with as many texts as are worth one.
_PROCESSES, _TEXTS_EACH = 8, 20


def check_config(text: str, name: str, lxcpath: str) -> None:
    """Have liblxc load the text. Raises OperationError with what liblxc wrote when it refuses.

    It happens in a process of its own: the binding writes to stderr, and has been known to crash its caller.
    The text goes through memory, so that nothing stays when this process is killed.
    """
    said = as_file("")
    try:
        child = os.fork()
        if child == 0:
            _load_and_exit(lxcpath, text, said)
        if os.waitpid(child, 0)[1]:
            written = os.pread(said, 1 << 16, 0).decode("utf-8", "replace")
            cause = "; ".join(line.strip() for line in written.splitlines()[-3:] if line.strip())
            raise OperationError(
                "configure", "container", name, f"liblxc does not load the new config: {cause or 'it gives no reason'}"
            )
    finally:
        os.close(said)


def refused_configs(texts: Sequence[str]) -> Dict[str, str]:
    """The texts that liblxc would not load, with the reason. Several processes judge them where they are many.

    Of those that differ only in values that it takes in any case it judges one.
    """
    alike: Dict[str, List[str]] = {}
    for text in texts:
        alike.setdefault(_TAKEN.sub("", text), []).append(text)
    refused: Dict[str, str] = {}
    for text in _doubtful([group[0] for group in alike.values()]):
        try:
            check_config(text, _NAME, "/")
        except OperationError as error:
            refused.update(dict.fromkeys(alike[_TAKEN.sub("", text)], error.cause))
    return refused


def _doubtful(texts: Sequence[str]) -> Sequence[str]:
    """Those of the texts that were not loaded: refused ones, and all when the process that tried did not end well."""
    if len(texts) < 2:
        return texts
    shares = min(os.cpu_count() or 1, _PROCESSES, max(len(texts) // _TEXTS_EACH, 1))
    doubtful: List[str] = []
    with ExitStack() as afterwards:
        said = _closed_by(afterwards, as_file(""))
        children: List[Tuple[int, int, Sequence[str]]] = []
        # Those that are left when something fails here are waited for.
        afterwards.callback(lambda: [os.waitpid(child, 0) for child, _found, _part in children])
        for first in range(shares):
            part = texts[first::shares]
            found = _closed_by(afterwards, as_file(""))
            child = os.fork()
            if child == 0:
                _load_all_and_exit(part, found, said)
            children.append((child, found, part))
        while children:
            child, found, part = children.pop()
            failed = os.waitpid(child, 0)[1]
            doubtful += part if failed else [part[int(index)] for index in os.pread(found, 1 << 24, 0).split()]
    return doubtful


def _closed_by(afterwards: ExitStack, fd: int) -> int:
    afterwards.callback(os.close, fd)
    return fd


def _load_all_and_exit(texts: Sequence[str], found: int, said: int) -> None:
    status = 1
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        import lxc

        refused = []
        for index, text in enumerate(texts):
            fd = as_file(text)
            if not lxc.Container(_NAME, "/").load_config(f"/proc/self/fd/{fd}"):
                refused.append(index)
            os.close(fd)
        os.write(found, b" ".join(b"%d" % index for index in refused))
        status = 0
    finally:
        os._exit(status)


def as_file(text: str) -> int:
    """A file descriptor of a file in memory that holds the text; /proc/self/fd names it for liblxc."""
    fd = os.memfd_create("lightervisor", os.MFD_CLOEXEC)
    rest = memoryview(text.encode("utf-8", "surrogateescape"))
    while rest:
        rest = rest[os.write(fd, rest) :]
    return fd


def _load_and_exit(lxcpath: str, text: str, said: int) -> None:
    status = 1
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        import lxc

        def loads(lines: Sequence[str]) -> bool:
            fd = as_file("".join(lines))
            try:
                return bool(lxc.Container(_NAME, lxcpath).load_config(f"/proc/self/fd/{fd}"))
            finally:
                os.close(fd)

        lines = text.splitlines(keepends=True)
        status = 0 if loads(lines) else 1
        if status:
            # liblxc stops at the first line that it does not take, and says which to its log only.
            good, bad = 0, len(lines)
            while bad - good > 1:
                middle = (good + bad) // 2
                good, bad = (middle, bad) if loads(lines[:middle]) else (good, middle)
            os.write(2, f"it refuses the line '{lines[bad - 1].strip()}'\n".encode("utf-8", "replace"))
    except BaseException as error:
        os.write(2, f"{error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(status)
