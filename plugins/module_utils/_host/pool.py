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
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

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
    gc.freeze()
    pool = _Pool(work, jobs)
    try:
        for _worker in range(workers):
            pool.add_worker()
        for channel in list(pool.given):
            pool.feed(channel)
        while pool.given:
            for channel in pool.ready():
                yield from pool.take(channel)
                # Not before: what an answer says may be the reason to end.
                pool.feed(channel)
    finally:
        pool.close()
        gc.unfreeze()


class _Pool:
    """The workers, each behind a socket, and which jobs they have."""

    def __init__(self, work: Callable[[int], Any], jobs: Iterator[int]) -> None:
        self.given: Dict[socket.socket, List[int]] = {}
        self._work = work
        self._jobs = jobs
        #: Jobs that a worker was given and did not begin.
        self._returned: List[int] = []
        self._pids: Dict[socket.socket, int] = {}
        self._selector = selectors.DefaultSelector()

    def _next(self) -> Optional[int]:
        return self._returned.pop(0) if self._returned else next(self._jobs, None)

    def add_worker(self) -> None:
        """One worker more, if there is a job for it."""
        number = self._next()
        if number is None:
            return
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                # While a copy of the other end is open here, no worker would see that the starter is gone.
                ours.close()
                for channel in self.given:
                    channel.close()
                _serve(self._work, theirs)
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        self._pids[ours] = pid
        self.given[ours] = []
        self._selector.register(ours, selectors.EVENT_READ)
        self._give(ours, number)

    def feed(self, channel: socket.socket) -> None:
        """Give the worker the next jobs; without any it ends."""
        while channel in self.given and len(self.given[channel]) < _AHEAD:
            number = self._next()
            if number is None:
                if not self.given[channel]:
                    self._drop(channel)
                return
            self._give(channel, number)

    def _give(self, channel: socket.socket, number: int) -> None:
        self.given[channel].append(number)
        with contextlib.suppress(OSError):
            channel.sendall(_LENGTH.pack(number))

    def ready(self) -> List[socket.socket]:
        """The workers that have something to say, or have ended."""
        return [key.fileobj for key, _events in self._selector.select()]  # type: ignore[misc]

    def take(self, channel: socket.socket) -> List[Tuple[int, Any]]:
        """The next answer of a worker. One that is lost is replaced by another."""
        try:
            answer = pickle.loads(_receive(channel, _LENGTH.unpack(_receive(channel, _LENGTH.size))[0]))
        except (OSError, EOFError):
            begun, *waiting = self.given[channel]
            self._returned += waiting
            self._drop(channel)
            self.add_worker()
            return [(begun, WorkerLost())]
        return [(self.given[channel].pop(0), answer)]

    def _drop(self, channel: socket.socket) -> None:
        self._selector.unregister(channel)
        del self.given[channel]
        channel.close()
        os.waitpid(self._pids.pop(channel), 0)

    def close(self) -> None:
        """Let the workers end, and wait for them."""
        for channel in list(self.given):
            channel.close()
        self._selector.close()
        for pid in self._pids.values():
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
