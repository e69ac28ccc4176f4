# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A note in a container's own directory of what is being done to it, so that the run after a killed one knows.

It stands in the directory, not beside it: who removes the container by hand removes the note with it.
"""

from __future__ import annotations

import json
import os
from typing import Dict, List

from .._errors import OperationError
from .files import read_regular

#: Its name, in `<lxcpath>/<name>`.
FILE = ".lightervisor.json"
#: The name of the mark of the fleet that makes the container: see fleet_marks.
MARK = ".lightervisor-fleet"
_HIDDEN = ".lightervisor-"
#: The operation of a note about a container that was stopped and shall run again, in the state that the note gives.
RESTART = "restart"


def read_journal(directory: str) -> Dict[str, str]:
    """The note, {} if there is none. A note that can't be parsed says that something unknown was begun."""
    path = os.path.join(directory, FILE)
    try:
        content, status = read_regular(path)
    except FileNotFoundError:
        left = not os.path.lexists(directory) and os.path.isdir(unfinished(directory))
        return {"operation": "unknown"} if left else {}
    except OSError as error:
        raise OperationError("read", "file", path, error.strerror or str(error)) from error
    try:
        note = json.loads(content.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return {"operation": "unknown"}
    if not isinstance(note, dict):
        return {"operation": "unknown"}
    found = {str(key): str(value) for key, value in note.items()}
    if found.get("operation") == RESTART and status.st_uid != os.geteuid():
        return {}
    if "rootfs" in found and status.st_uid != os.geteuid():
        # The directory may belong to the guest's root, who shall not name what is to be removed elsewhere.
        del found["rootfs"]
    return found


def unfinished(directory: str) -> str:
    """The hidden directory beside the container's own in which that is prepared or taken apart.

    It becomes, or was, the container's own by a rename, so that a killed run never leaves one without its note.
    """
    lxcpath, name = os.path.split(directory)
    return os.path.join(lxcpath, f"{_HIDDEN}{name}")


def list_unfinished(lxcpath: str) -> List[str]:
    """The names of the containers that such a directory is there of."""
    try:
        return [entry[len(_HIDDEN) :] for entry in os.listdir(lxcpath) if entry.startswith(_HIDDEN)]
    except FileNotFoundError:
        return []


def begin(directory: str, operation: str, **details: str) -> None:
    """Write the note to disk, making the directory if need be. `operation`: create, clone, destroy, restart.

    Raises OperationError when something is to be made where files are already, which another program may have put there
    since this run looked.
    """
    text = json.dumps(dict(details, operation=operation)) + "\n"
    if os.path.lexists(directory):
        if operation not in ("destroy", RESTART) and os.listdir(directory):
            name = os.path.basename(directory)
            raise OperationError(operation, "container", name, f"{directory} holds files already", "Run it again")
        _write(directory, text)
        return
    prepared = unfinished(directory)
    if os.path.lexists(prepared):
        # Only a run that was killed while it held the lock leaves one, and nobody has ever used what is in it.
        from .trees import remove_tree

        remove_tree(prepared)
    os.mkdir(prepared, mode=0o770)
    _write(prepared, text)
    os.rename(prepared, directory)


def _write(directory: str, text: str) -> None:
    # Not by way of a temporary file, which a killed run would leave: half a note says enough.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(os.path.join(directory, FILE), flags, 0o600)
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def end(directory: str) -> None:
    """Take the note away: what was begun is complete, or undone."""
    try:
        os.unlink(os.path.join(directory, FILE))
    except FileNotFoundError:
        pass
