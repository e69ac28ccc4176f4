# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting, stopping and freezing a container through LXC's own programs."""

from __future__ import annotations

import os
from typing import Optional, Tuple

from .._errors import OperationError
from .._model.config import ConfigDocument
from .._model.container import ContainerSpec
from .command_socket import STOP, query, read_states
from .commands import TooSlow, run, why
from .liblxc import COMPILED_LXCPATH

#: A run state, and the pid of the guest's init.
State = Tuple[str, Optional[int]]
#: Seconds that a killed guest's processes have to disappear.
_KILL_S = 30.0
#: Seconds that freezing may take before it is tried again, and how often it is tried.
_FREEZE_S, _FREEZE_TRIES = 3.0, 10


def log_file(lxcpath: str, name: str, document: ConfigDocument) -> str:
    """Where a container's log goes: lxc.log.file of its config, else where lxc-start puts it (man lxc-start)."""
    configured = document.get("lxc.log.file")
    if configured:
        return configured
    if lxcpath == COMPILED_LXCPATH and os.geteuid() == 0:
        return f"/var/log/lxc/{name}.log"
    return os.path.join(lxcpath, name, f"{name}.log")


def start(spec: ContainerSpec, document: ConfigDocument, log_stays: bool = True) -> State:
    """Start the container in the background. Returns the state in which that has left it.

    Raises OperationError with liblxc's own reason. Its log is named there, unless `log_stays` says that it goes with
    the container when this fails.
    """
    log = log_file(spec.lxcpath, spec.name, document)
    end = _size(log)
    argv = ["lxc-start", "-P", spec.lxcpath, "-n", spec.name, "-d"]
    if not document.get("lxc.log.file"):
        argv += ["-o", log]
    if not document.get("lxc.log.level"):
        argv += ["-l", "ERROR"]
    finished = run(argv)
    state = _whole_state(spec)
    if finished.returncode == 0 and state[0] in ("running", "frozen"):
        return state
    written = _tail(log, end)
    advice = f"See {log}" if log_stays else ""
    if finished.returncode == 0:
        cause = f"its init ended at once{': ' + why(finished, written) if written else ''}"
        raise OperationError("start", "container", spec.name, cause, advice)
    raise OperationError("start", "container", spec.name, why(finished, written), advice, written.splitlines()[-20:])


def stop(spec: ContainerSpec) -> None:
    """Shut the guest down, and kill it when its time is over. A frozen one is thawed first: frozen, it could not obey.

    Raises OperationError when it still runs after that.
    """
    if _state(spec) == "frozen" and spec.shutdown_timeout:
        unfreeze(spec)
    how = ["-t", str(spec.shutdown_timeout)] if spec.shutdown_timeout else ["-k"]
    finished = run(["lxc-stop", "-P", spec.lxcpath, "-n", spec.name, *how], timeout=spec.shutdown_timeout + _KILL_S)
    if _state(spec) != "stopped":
        # A config that liblxc can't load keeps lxc-stop from working, but not the container's monitor.
        query(spec.lxcpath, spec.name, STOP)
        finished_again = run(
            ["lxc-wait", "-P", spec.lxcpath, "-n", spec.name, "-s", "STOPPED", "-t", str(int(_KILL_S))]
        )
        if _state(spec) != "stopped":
            raise OperationError(
                "stop", "container", spec.name, why(finished_again if finished_again.stderr else finished)
            )


def freeze(spec: ContainerSpec) -> None:
    """Freeze every process of the running container. Raises OperationError.

    The freezer of cgroup v1 may stay FREEZING for ever when processes were being made at that moment, and lxc-freeze
    waits for it without an end. Thawed in between, it succeeds at another moment.
    """
    cause = ""
    for _try in range(_FREEZE_TRIES):
        try:
            cause = why(run(["lxc-freeze", "-P", spec.lxcpath, "-n", spec.name], timeout=_FREEZE_S))
            break
        except TooSlow:
            cause = f"its processes were not frozen in {_FREEZE_TRIES} times {_FREEZE_S:g} s"
            run(["lxc-unfreeze", "-P", spec.lxcpath, "-n", spec.name], timeout=_KILL_S)
    if _state(spec) != "frozen":
        raise OperationError("freeze", "container", spec.name, cause)


def unfreeze(spec: ContainerSpec) -> None:
    """Thaw a frozen container. Raises OperationError."""
    finished = run(["lxc-unfreeze", "-P", spec.lxcpath, "-n", spec.name])
    if _state(spec) != "running":
        raise OperationError("unfreeze", "container", spec.name, why(finished))


def set_limit(spec: ContainerSpec, key: str, value: str) -> str:
    """Set a limit in the running container's cgroup and return the one before. Raises OperationError."""
    name = key.split(".", 2)[2]
    # A value may begin with a minus.
    argv = ["lxc-cgroup", "-P", spec.lxcpath, "-n", spec.name, "--", name]
    before = run(argv).stdout.strip()
    finished = run([*argv, value])
    if finished.returncode:
        raise OperationError("limit", "container", spec.name, f"{key} = {value}: {why(finished)}")
    return before


def _state(spec: ContainerSpec) -> str:
    return _whole_state(spec)[0]


def _whole_state(spec: ContainerSpec) -> State:
    """The state, asked of the container's monitor alone: neither its files nor those of others are read."""
    key = (spec.lxcpath.rstrip("/") or "/", spec.name)
    return read_states([key])[key]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _tail(path: str, start: int) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            file.seek(start)
            return file.read(1 << 16)
    except OSError:
        return ""
