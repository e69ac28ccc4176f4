# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One process and its three pipes: passwords are given when asked for, then data flows both ways until it ends."""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import subprocess
import time
from typing import Callable, Dict, List, Optional, Sequence

_CHUNK = 1 << 20
#: Seconds that a process has to end by itself once it was told to.
_PATIENCE = 2.0


class TimedOut(Exception):
    """A gate was not passed in time."""


class TooMuch(Exception):
    """There was more output than the caller wants."""


class Gate:
    """Something that must be seen in the output before the next step. `seconds` is how long that may take."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def passed(self, out: bytearray, err: bytearray) -> bool:
        """Look at what has come since the gate was reached. May take away from it, and raise to give up."""
        raise NotImplementedError

    def answer(self, out: bytes, err: bytes) -> Optional[bytes]:
        """What to write to the process now, or None. May raise to give up."""
        return None

    def give_up(self, rc: int, out: bytes, err: bytes) -> None:
        """The process ended before this gate was passed: raise what is to be told about that."""
        raise NotImplementedError


class Conversation:
    """Run `argv`, pass the gates in order, then write `feed` and collect stdout and stderr until the process ends.

    `feed` reads at most so many bytes; without it, stdin ends once the gates are passed. Output after the gates
    goes to
    `sink` where one is given, else to `out`, of which at most `limit` bytes are accepted (0: any number).

    The process leads a session of its own: the guest gets no controlling terminal through which it could type on the
    host, and all of it can be ended together. It is over when the process ends, even if a daemon that it has left
    behind still holds its pipes.
    """

    def __init__(
        self,
        argv: Sequence[str],
        gates: Sequence[Gate],
        feed: Optional[Callable[[int], bytes]] = None,
        sink: Optional[Callable[[bytes], None]] = None,
        limit: int = 0,
    ) -> None:
        self.out = bytearray()
        self.err = bytearray()
        self.gates = list(gates)
        self._feed = feed
        self._sink = sink
        self._limit = limit
        self._pending = memoryview(b"")
        self._argv = list(argv)
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._pidfd = -1
        self._readers: Dict[int, bytearray] = {}
        self._feeding = False

    def run(self) -> int:
        """The exit code as a shell gives it. Raises OSError, TimedOut, TooMuch, and what gates and sink raise.

        When fewer than all gates are passed at the end, they are left in `gates`.
        """
        process = self._process = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            umask=0o022,
            start_new_session=True,
        )
        try:
            with selectors.DefaultSelector() as selector:
                self._converse(process, selector)
            status = process.wait()
            return status if status >= 0 else 128 - status
        finally:
            if process.poll() is None:
                self._end(process)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
            if self._pidfd >= 0:
                os.close(self._pidfd)

    def _converse(self, process: subprocess.Popen[bytes], selector: selectors.BaseSelector) -> None:
        if not (process.stdin and process.stdout and process.stderr):
            raise ValueError("the process has no pipes")
        self._readers = {process.stdout.fileno(): self.out, process.stderr.fileno(): self.err}
        for fd in (process.stdin.fileno(), *self._readers):
            # So that `> /dev/stderr` works: the pipe belongs to a user that the guest, or the guest's user, is not.
            os.fchmod(fd, 0o666)
            os.set_blocking(fd, False)
        for fd in self._readers:
            selector.register(fd, selectors.EVENT_READ)
        try:
            self._pidfd = os.pidfd_open(process.pid)
            selector.register(self._pidfd, selectors.EVENT_READ)
        except (AttributeError, OSError):
            self._pidfd = -1  # an old kernel: the end of the output is the end
        ended = False
        deadline = time.monotonic() + self.gates[0].seconds if self.gates else 0.0
        self._open_feed(process, selector)
        while True:
            wait = 0.0 if ended else max(deadline - time.monotonic(), 0.0) if self.gates else None
            events = selector.select(wait)
            if ended and not events:
                return
            if self.gates and not events:
                raise TimedOut()
            for key, _mask in events:
                if key.fd == self._pidfd:
                    selector.unregister(self._pidfd)
                    process.wait()
                    ended = True
                elif key.fd in self._readers:
                    self._read(key.fd, selector)
                else:
                    self._write(process, selector)
            if ended and self._feeding:
                self._close_feed(process, selector)
            if self.gates:
                count = len(self.gates)
                self._pass_gates(process)
                if self.gates and len(self.gates) < count:
                    deadline = time.monotonic() + self.gates[0].seconds
                self._open_feed(process, selector)
            if not self._readers and (ended or self._pidfd < 0):
                return

    def _pass_gates(self, process: subprocess.Popen[bytes]) -> None:
        while self.gates:
            gate = self.gates[0]
            if not gate.passed(self.out, self.err):
                words = gate.answer(bytes(self.out), bytes(self.err))
                if words is not None and process.stdin:
                    try:
                        os.write(process.stdin.fileno(), words)
                    except BrokenPipeError:
                        pass  # it has ended already, and its output says why
                return
            self.gates.pop(0)
        if self._sink and self.out:
            self._sink(bytes(self.out))
            self.out.clear()

    def _open_feed(self, process: subprocess.Popen[bytes], selector: selectors.BaseSelector) -> None:
        """Once nobody asks for passwords any more: start to write, or end stdin."""
        if self.gates or process.stdin is None or process.stdin.closed or self._feeding:
            return
        if self._feed is None:
            process.stdin.close()
            return
        try:
            fcntl.fcntl(process.stdin.fileno(), getattr(fcntl, "F_SETPIPE_SZ", 1031), _CHUNK)
        except OSError:
            pass  # only slower
        selector.register(process.stdin.fileno(), selectors.EVENT_WRITE)
        self._feeding = True

    def _close_feed(self, process: subprocess.Popen[bytes], selector: selectors.BaseSelector) -> None:
        if process.stdin and not process.stdin.closed:
            selector.unregister(process.stdin.fileno())
            process.stdin.close()
        self._feeding = False
        self._feed = None

    def _write(self, process: subprocess.Popen[bytes], selector: selectors.BaseSelector) -> None:
        if not self._feeding or self._feed is None or process.stdin is None:
            return
        if not self._pending:
            self._pending = memoryview(self._feed(_CHUNK))
            if not self._pending:
                self._close_feed(process, selector)
                return
        try:
            self._pending = self._pending[os.write(process.stdin.fileno(), self._pending) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._close_feed(process, selector)

    def _read(self, fd: int, selector: selectors.BaseSelector) -> None:
        try:
            chunk = os.read(fd, _CHUNK)
        except BlockingIOError:
            return
        store = self._readers[fd]
        if not chunk:
            selector.unregister(fd)
            del self._readers[fd]
        elif self._sink and store is self.out and not self.gates:
            self._sink(chunk)
        else:
            store += chunk
            if self._limit and len(self.out) + len(self.err) > self._limit:
                raise TooMuch()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End the process and what it started on this host or in the guest, politely first."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except (PermissionError, ProcessLookupError):
                pass  # all that is left belongs to root, and sudo is not ours to end
            try:
                process.wait(_PATIENCE)
                return
            except subprocess.TimeoutExpired:
                continue


def joined(argv: List[str]) -> str:
    """An argument vector for the log: long scripts shortened, on one line."""
    return " ".join(repr(word) if any(c in word for c in " \n'\"") else word for word in argv)
