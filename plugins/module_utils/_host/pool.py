# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bounded pool of forked workers, which know all that this process knew when they were forked."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import selectors
import socket
import struct
from typing import Any, Callable, Dict, Iterator, List, Tuple

_LENGTH = struct.Struct("=I")
#: Jobs that a worker is given before it has answered, so that it need not wait for the next one.
_AHEAD = 2


class WorkerLost(Exception):
    """The process that did a job ended without an answer."""


def run_jobs(work: Callable[[int], Any], jobs: Iterator[int], workers: int) -> Iterator[Tuple[int, Any]]:
    """Do `work` with each number of `jobs` in forked processes; yields number and answer in the order of their ends.

    `jobs` is asked for the next number only when a worker is free, so that it can end whenever it wants. An answer is
    what `work` returned, or WorkerLost. `work` must not raise. Workers end after their job when this process is killed.
    """
    first = []
    for number in jobs:
        first.append(number)
        if len(first) >= workers:
            break
    if not first:
        return
    gc.freeze()
    pool = _Pool(work, len(first))
    try:
        for channel, number in zip(pool.channels, first):
            pool.give(channel, number)
        for channel in pool.channels:
            _feed(pool, channel, jobs)
        while pool.busy:
            for channel in pool.ready():
                yield pool.take(channel)
                # Not before: what the answer says may be the reason to end.
                _feed(pool, channel, jobs)
    finally:
        pool.close()
        gc.unfreeze()


def _feed(pool: _Pool, channel: socket.socket, jobs: Iterator[int]) -> None:
    while channel in pool.given and len(pool.given[channel]) < _AHEAD:
        number = next(jobs, None)
        if number is None:
            return
        pool.give(channel, number)


class _Pool:
    """The workers, each behind a socket, and which jobs they have."""

    def __init__(self, work: Callable[[int], Any], workers: int) -> None:
        self.given: Dict[socket.socket, List[int]] = {}
        self._pids: List[int] = []
        self._lost: List[Tuple[socket.socket, int]] = []
        self._selector = selectors.DefaultSelector()
        for _number in range(workers):
            ours, theirs = socket.socketpair()
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    # While a copy of the other end is open here, no worker would see that the starter is gone.
                    ours.close()
                    for channel in self.given:
                        channel.close()
                    _serve(work, theirs)
                    status = 0
                finally:
                    os._exit(status)
            theirs.close()
            self._pids.append(pid)
            self.given[ours] = []
            self._selector.register(ours, selectors.EVENT_READ)
        self.channels = list(self.given)

    @property
    def busy(self) -> bool:
        return bool(self._lost) or any(self.given.values())

    def give(self, channel: socket.socket, number: int) -> None:
        self.given[channel].append(number)
        with contextlib.suppress(OSError):
            channel.sendall(_LENGTH.pack(number))

    def ready(self) -> List[socket.socket]:
        if self._lost:
            return [self._lost[0][0]]
        return [key.fileobj for key, _events in self._selector.select()]  # type: ignore[misc]

    def take(self, channel: socket.socket) -> Tuple[int, Any]:
        """The next answer of a worker."""
        if self._lost:
            return self._lost.pop(0)[1], WorkerLost()
        try:
            answer = pickle.loads(_receive(channel, _LENGTH.unpack(_receive(channel, _LENGTH.size))[0]))
        except (OSError, EOFError):
            self._selector.unregister(channel)
            self._lost += [(channel, number) for number in self.given.pop(channel)]
            channel.close()
            return self._lost.pop(0)[1], WorkerLost()
        return self.given[channel].pop(0), answer

    def close(self) -> None:
        """Let the workers end, and wait for them."""
        for channel in self.given:
            channel.close()
        self._selector.close()
        for pid in self._pids:
            os.waitpid(pid, 0)


def _serve(work: Callable[[int], Any], channel: socket.socket) -> None:
    while True:
        try:
            number = _LENGTH.unpack(_receive(channel, _LENGTH.size))[0]
        except (OSError, EOFError):
            return
        data = pickle.dumps(work(number))
        channel.sendall(_LENGTH.pack(len(data)) + data)


def _receive(channel: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = channel.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
