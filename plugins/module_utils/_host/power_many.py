# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stopping many containers together: all are told first, and awaited in one poll(2), with no process for each.

What `lxc-stop` does for one (do_lxcapi_shutdown and do_lxcapi_stop in liblxc's lxccontainer.c) is done for many: a
socket on which the monitor tells the end, the guest's halt signal through a pidfd, the monitor's STOP command for
those whose time is over. Whatever is unusual is left to `power.stop`.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import Callable, Deque, Dict, Iterable, List, Optional, Sequence, Tuple

from .._errors import OperationError
from .._model.config_keys import normalise
from .._model.container import ContainerSpec
from .._model.observed import UNREADABLE, Observed
from . import power
from .command_socket import STATES, STOP, UNKNOWN, Key, follow, read_states, send
from .open_files import free_files
from .processes import has_exited, open_parent, open_process, read_status

#: Seconds that a killed guest's processes, and the hooks that run at the end, have.
_END_S = 30.0
#: So many guests are told to halt at a time, and so many seconds later the next ones. Each init calls sync(2), which
#: looks at what all of them have mounted, and to tear one down takes the kernel 4 ms whatever the pace: 300 busybox
#: guests take 3.6 s so and 3.9 s when all are told at once, 700 take 8.2 s either way.
_TOGETHER, _PAUSE_S = 16, 0.055
#: Containers that are killed at the same time.
_KILLS = 64
#: File descriptors that one container needs, the rest of the work, and a program that is being started.
FDS_EACH, FDS_BESIDES, _FDS_PROGRAM = 4, 24, 12
#: Containers that are left to `power.stop` at the same time.
_SINGLY = 8


def stop_many(
    targets: Sequence[Tuple[ContainerSpec, Observed]],
    ended: Callable[[Key], None] = lambda key: None,
) -> Dict[Key, str]:
    """Stop the containers, and return why by (lxcpath, name) for those that still run.

    Each guest has its spec's `shutdown_timeout` seconds from when it is told, and is killed after them; with 0 it is
    killed at once. What was observed must be up to date: its effective config says by which signal to halt, as the file
    does for lxc-stop, and whether the container is an ephemeral one.

    `ended` is called for each that has stopped, mostly while others still go down: what it does must be short.
    """
    run = _Run(targets, ended)
    try:
        run.until_done()
    finally:
        run.close()
    for spec, reason in zip(run.unusual, _stop_all_singly(run.unusual)):
        if reason:
            run.failed[spec.lxcpath, spec.name] = reason
        else:
            ended(_key(spec))
    return run.failed


def _key(spec: ContainerSpec) -> Key:
    return spec.lxcpath.rstrip("/") or "/", spec.name


def _stop_all_singly(specs: Sequence[ContainerSpec]) -> Iterable[str]:
    workers = min(_SINGLY, len(specs), free_files() // _FDS_PROGRAM)
    if workers < 2:
        return map(_stop_singly, specs)
    # Takes 10 ms to load.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        return pool.map(_stop_singly, specs)


def _stop_singly(spec: ContainerSpec) -> str:
    try:
        power.stop(spec)
    except OperationError as error:
        return error.cause
    except OSError as error:
        # Such as that too many files are open.
        return error.strerror or str(error)
    return ""


def halt_signal(observed: Observed, blocked: int) -> int:
    """The signal by which lxc-stop halts this guest, whose init blocks the signals of this mask.

    That of the config; else SIGRTMIN+3 for an init that blocks it to receive it otherwise, as systemd does; else
    SIGPWR. Raises ValueError for one that liblxc does not know.
    """
    value = observed.effective.get("lxc.signal.halt")
    number = int(normalise("lxc.signal.halt", value)) if value else 0
    to_systemd = signal.SIGRTMIN + 3
    return number or (to_systemd if blocked >> (to_systemd - 1) & 1 else signal.SIGPWR)


@dataclass
class _Guest:
    """A container on its way to a stop."""

    spec: ContainerSpec
    observed: Observed
    key: Key
    pid: int = 0
    #: Its init, until that has ended; and its monitor, which removes an ephemeral container at last.
    pidfd: int = -1
    monitor: int = -1
    #: The signals that its init blocks.
    blocked: int = 0
    #: What the monitor closes at the end, and where it was told to kill: it forgets what somebody asked who has gone.
    end: Optional[socket.socket] = None
    stop: Optional[socket.socket] = None
    #: When the patience with what it does now ends.
    deadline: float = 0.0
    killed: bool = False

    @property
    def gentle(self) -> bool:
        return self.spec.shutdown_timeout > 0


class _Run:
    def __init__(self, targets: Sequence[Tuple[ContainerSpec, Observed]], ended: Callable[[Key], None]) -> None:
        keys = {_key(spec): (spec, observed) for spec, observed in targets}
        guests = [_Guest(*both, key) for key, both in keys.items()]
        self.gentle: Deque[_Guest] = deque(guest for guest in guests if guest.gentle)
        self.others: Deque[_Guest] = deque(guest for guest in guests if not guest.gentle)
        #: When the next ones are told.
        self.next = 0.0
        self.ended = ended
        self.unusual: List[ContainerSpec] = []
        self.failed: Dict[Key, str] = {}
        self.active: Dict[Key, _Guest] = {}
        self.by_fd: Dict[int, _Guest] = {}
        self.poll = select.poll()
        #: How many can be on their way at a time; the others wait.
        self.room = max((free_files() - FDS_BESIDES) // FDS_EACH, 1)

    def close(self) -> None:
        for guest in list(self.active.values()):
            self.drop(guest)

    def until_done(self) -> None:
        while self.gentle or self.others or self.active:
            if self.gentle or self.others:
                self.take_up()
            if not self.active:
                continue
            now = time.monotonic()
            due = min(guest.deadline for guest in self.active.values())
            if self.gentle:
                due = min(due, self.next)
            # Rounded up: the time shall be over then.
            for fd, _event in self.poll.poll(max(int((due - now) * 1000) + 1, 0)):
                if fd in self.by_fd:
                    self.happened(self.by_fd[fd], fd)
            now = time.monotonic()
            for guest in [guest for guest in self.active.values() if guest.deadline <= now]:
                self.time_is_over(guest)

    # -------------------------------------------------------------- telling them

    def take_up(self) -> None:
        now = time.monotonic()
        killing = sum(guest.killed for guest in self.active.values())
        telling = 0
        if now >= self.next or not self.active:
            telling, self.next = _TOGETHER, now + _PAUSE_S
        batch: List[_Guest] = []
        for queue, free in ((self.others, _KILLS - killing), (self.gentle, telling)):
            free = min(free, self.room - len(self.active) - len(batch), len(queue))
            batch += [queue.popleft() for _unused in range(free)]
        if batch:
            self.begin(batch)

    def begin(self, batch: Sequence[_Guest]) -> None:
        for guest in batch:
            self.active[guest.key] = guest
            if guest.gentle and guest.observed.pid:
                self.open_init(guest, guest.observed.pid)
        answers = read_states([guest.key for guest in batch])
        going = [guest for guest in batch if self.is_usual(guest, *answers[guest.key])]
        ends = follow([guest.key for guest in going])
        for guest in going:
            guest.end = ends.get(guest.key)
            if guest.end is None:
                # It has just stopped, or does not answer.
                self.leave(guest)
                continue
            self.watch(guest, guest.end.fileno())
            if guest.gentle:
                self.halt(guest)
            else:
                self.kill(guest)

    def is_usual(self, guest: _Guest, state: str, pid: Optional[int]) -> bool:
        """Whether to go on with it here: it runs, and what is to be told is its init for sure."""
        if state == STATES[0]:
            self.has_stopped(guest)
            return False
        usual = self.is_ready(guest, state, pid) if guest.gentle else state != UNKNOWN
        if not usual:
            self.leave(guest)
        elif pid is not None and guest.observed.effective.get("lxc.ephemeral") == "1":
            guest.monitor = open_parent(pid)
        return usual

    def is_ready(self, guest: _Guest, state: str, pid: Optional[int]) -> bool:
        """Whether the guest can be told to halt: it is thawed, and `pidfd` is its init."""
        if state == "frozen":
            try:
                power.unfreeze(guest.spec)
            except (OperationError, OSError):
                return False
        elif state != "running":
            return False
        if pid is None or guest.observed.health == UNREADABLE:
            return False
        if guest.pid != pid:
            # Not the init that was observed. A monitor that answers has not reaped its init yet: if it gives the same
            # number after the descriptor was opened, then that is its init's.
            self.open_init(guest, pid)
            if read_states([guest.key])[guest.key][1] != pid:
                return False
        status = read_status(pid)
        guest.blocked = status.blocked if status else 0
        # No user can make somebody else's process the first one of a pid namespace.
        return guest.pidfd >= 0 and status is not None and status.nested and status.inside == 1

    def open_init(self, guest: _Guest, pid: int) -> None:
        if guest.pidfd >= 0:
            os.close(guest.pidfd)
        guest.pid, guest.pidfd = pid, open_process(pid)

    def halt(self, guest: _Guest) -> None:
        try:
            signal.pidfd_send_signal(guest.pidfd, halt_signal(guest.observed, guest.blocked))
        except ProcessLookupError:
            # It has just ended.
            pass
        except (OSError, ValueError):
            self.leave(guest)
            return
        guest.deadline = time.monotonic() + guest.spec.shutdown_timeout

    def kill(self, guest: _Guest) -> None:
        guest.killed = True
        guest.deadline = time.monotonic() + _END_S
        guest.stop = send(*guest.key, STOP)

    # -------------------------------------------------------------- awaiting them

    def watch(self, guest: _Guest, fd: int) -> None:
        self.by_fd[fd] = guest
        self.poll.register(fd, select.POLLIN)

    def ignore(self, fd: int) -> None:
        if self.by_fd.pop(fd, None) is not None:
            self.poll.unregister(fd)

    def happened(self, guest: _Guest, fd: int) -> None:
        if fd == guest.monitor:
            self.has_stopped(guest)
        elif guest.end is not None and not _has_message(guest.end):
            self.has_ended(guest, guest.end)

    def has_ended(self, guest: _Guest, end: socket.socket) -> None:
        self.ignore(end.fileno())
        end.close()
        guest.end = None
        self.forget_init(guest)
        if read_states([guest.key])[guest.key][0] == STATES[0]:
            if guest.monitor < 0:
                self.has_stopped(guest)
            else:
                self.watch(guest, guest.monitor)
                guest.deadline = time.monotonic() + _END_S
            return
        # It has rebooted itself: it would do so again.
        guest.end = follow([guest.key]).get(guest.key)
        if guest.end is None or guest.stop is not None:
            self.leave(guest)
        else:
            self.watch(guest, guest.end.fileno())
            self.kill(guest)

    def time_is_over(self, guest: _Guest) -> None:
        if guest.pidfd >= 0 and not guest.killed:
            if not has_exited(guest.pidfd):
                self.kill(guest)
                return
            # Its monitor has work left, such as hooks.
            self.forget_init(guest)
            guest.deadline = time.monotonic() + _END_S
            return
        if read_states([guest.key])[guest.key][0] == STATES[0]:
            self.has_stopped(guest)
            return
        what = "it was killed" if guest.killed else "its init ended"
        self.failed[guest.spec.lxcpath, guest.spec.name] = f"it still runs {_END_S:g} s after {what}"
        self.drop(guest)

    def has_stopped(self, guest: _Guest) -> None:
        self.drop(guest)
        self.ended(guest.key)

    def forget_init(self, guest: _Guest) -> None:
        if guest.pidfd >= 0:
            os.close(guest.pidfd)
            guest.pidfd = -1

    def drop(self, guest: _Guest) -> None:
        """There is nothing more to do for it here."""
        self.active.pop(guest.key, None)
        self.forget_init(guest)
        if guest.monitor >= 0:
            self.ignore(guest.monitor)
            os.close(guest.monitor)
            guest.monitor = -1
        if guest.end is not None:
            self.ignore(guest.end.fileno())
        for sock in (guest.end, guest.stop):
            if sock is not None:
                sock.close()
        guest.end = guest.stop = None

    def leave(self, guest: _Guest) -> None:
        """It is one for power.stop."""
        self.drop(guest)
        self.unusual.append(guest.spec)


def _has_message(end: socket.socket) -> bool:
    """Whether the monitor tells something, such as a state, and has not closed the socket."""
    try:
        return bool(end.recv(4096))
    except OSError:
        return False
