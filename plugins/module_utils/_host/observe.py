# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads a host's containers: their files, /proc/net/unix and their monitors. No binding, no process for each."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Container, Iterable, List, Sequence, Set, Union

from .._errors import OperationError
from .._model.observed import ABSENT, UNREADABLE, Observed
from .command_socket import STATES, active_sockets, listening, read_states, socket_name
from .container_dir import list_folders
from .container_files import ContainerReader, load_include
from .liblxc import COMPILED_LXCPATH, default_config_file, default_lxcpath, installed_version

__all__ = [
    "COMPILED_LXCPATH",
    "default_config_file",
    "default_lxcpath",
    "installed_version",
    "load_include",
    "observe",
    "observe_host",
]

Names = Union[Callable[[str], bool], Container[str], None]


def observe(name: str, lxcpath: str, *, addresses: bool = False) -> Observed:
    """One container as it is now; its health is "absent" if there is none."""
    path = _trimmed(lxcpath)
    if not name or "/" in name or "\0" in name or name.startswith("."):
        return Observed(name, path)
    found = _complete([ContainerReader().read(name, path)], [path], {name}, states=True, addresses=addresses)
    return found[0] if found else Observed(name, path)


def observe_host(
    lxcpaths: Sequence[str], *, names: Names = None, states: bool = True, addresses: bool = False
) -> List[Observed]:
    """Every container below the lxcpaths, in the order of these and then by name.

    `names` picks some: a set of names, or a function of the name. Without `states` all count as stopped, which saves
    asking the monitors. A directory with neither a config nor a `partial` file is no container, but one that runs
    without a config is, and a directory that has a journal is given with the health "absent".
    An lxcpath that does not exist has none; OperationError if it cannot be read.
    """
    reader = ContainerReader()
    found: List[Observed] = []
    paths = list(dict.fromkeys(_trimmed(path) for path in lxcpaths))
    for path in paths:
        try:
            folders = sorted(list_folders(path))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OperationError("read", "lxcpath", path, error.strerror or str(error)) from error
        found += [reader.read(name, path) for name in folders if _wanted(name, names)]
    return _complete(found, paths, names, states=states, addresses=addresses)


def _wanted(name: str, names: Names) -> bool:
    if names is None:
        return True
    return names(name) if callable(names) else name in names


def _trimmed(path: str) -> str:
    return path.rstrip("/") or "/"


def _complete(
    found: Iterable[Observed], paths: Sequence[str], names: Names, *, states: bool, addresses: bool
) -> List[Observed]:
    """The containers that are there, with their states and addresses, and those that run without a config."""
    known = {(one.lxcpath, one.name): one for one in found if one.health != ABSENT or one.journal}
    if states:
        sockets = listening()
        expected = {socket_name(*key): key for key, one in known.items() if one.health != ABSENT}
        undefined = set()
        for key in active_sockets(_others(sockets - set(expected), paths)):
            if key[0] in paths and _wanted(key[1], names):
                problem = f"It runs, but its config file {key[0]}/{key[1]}/config is gone."
                known[key] = Observed(key[1], key[0], health=UNREADABLE, problem=problem, complete=False)
                expected[socket_name(*key)] = key
                undefined.add(key)
        running = [key for name, key in expected.items() if name in sockets]
        for key, (state, pid) in read_states(running).items():
            if key in undefined and state == STATES[0]:
                del known[key]
            else:
                known[key] = replace(known[key], state=state, pid=pid)
    if addresses:
        from .netns import addresses_of

        interfaces = addresses_of({key: one.pid for key, one in known.items() if one.pid is not None})
        known = {key: replace(one, interfaces=interfaces.get(key, ())) for key, one in known.items()}
    order = {path: index for index, path in enumerate(paths)}
    return sorted(known.values(), key=lambda one: (order.get(one.lxcpath, 0), one.name))


def _others(sockets: Set[str], paths: Sequence[str]) -> Set[str]:
    """Sockets that may belong to these lxcpaths: those below them, and those whose name tells nothing."""
    return {name for name in sockets if name.startswith("lxc/") or name.rsplit("/", 2)[0] in paths}
