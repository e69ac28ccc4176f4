# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting, for a bounded time, until a container runs, has addresses or has booted. A guest's death ends the wait."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from .._errors import OperationError
from .._model.observed import Interface
from .command_socket import read_states
from .commands import find

#: What can be waited for.
KINDS = ("running", "ipv4", "ipv6", "systemd")

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.25
# Seconds after which an init that is not systemd is taken to stay what it is.
_BECOME_SYSTEMD_S = 2.0
_UP = ("running", "degraded")
_LOOPBACK = ("127.", "::1/")
# Of what a guest writes: bytes of each stream that are read, characters and items of a list that are shown.
_OUTPUT_MAX = 65536
_SHOWN_LENGTH = 80
_SHOWN_COUNT = 20


@dataclass(frozen=True)
class Waited:
    """What was there at the end of a wait."""

    #: The guest's init, seen from the host.
    pid: int
    #: Its interfaces, when addresses were waited for, else ().
    interfaces: Tuple[Interface, ...] = ()
    #: Sentences for the user, such as which units of the guest failed.
    notes: Tuple[str, ...] = ()


def wait_for(kinds: Sequence[str], name: str, lxcpath: str, timeout: float, interfaces: Sequence[str] = ()) -> Waited:
    """Wait until everything in `kinds` (KINDS) is true of the container, at most `timeout` seconds in all.

    ipv4, ipv6: an address of that family on each of `interfaces`, or without those on any but lo; loopback and
    link-local addresses never count. systemd: `systemctl is-system-running` says running or degraded in the guest,
    the latter is noted. A guest that reboots meanwhile is waited for.
    Raises OperationError when the time is over, the guest ends, or what is waited for cannot come.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is not one of {KINDS}")
    wait = _Wait(name, lxcpath, timeout, tuple(interfaces))
    try:
        return wait.run(kinds)
    finally:
        wait.close()


def wait_until(predicate: Callable[[], bool], timeout: float, pidfd: int = -1) -> bool:
    """Ask `predicate` again and again until it is true or `timeout` seconds are over; what it said last.

    A `pidfd` (pidfd_open(2)) ends the wait when that process has ended, after one more question.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE_S
    while not predicate():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        if _sleep(min(pause, left), pidfd):
            return predicate()
        pause = min(pause * 1.5, _LONGEST_PAUSE_S)
    return True


def _sleep(seconds: float, pidfd: int = -1) -> bool:
    """Whether the process of `pidfd` has ended, at once or within that time."""
    return bool(select.select([pidfd] if pidfd >= 0 else [], [], [], max(seconds, 0))[0])


class _Ended(Exception):
    """The guest's init has ended."""


class _Wait:
    def __init__(self, name: str, lxcpath: str, timeout: float, interfaces: Tuple[str, ...]) -> None:
        self.name = name
        self.lxcpath = lxcpath
        self.timeout = timeout
        self.wanted = interfaces
        self.deadline = time.monotonic() + timeout
        self.pid = 0
        self.pidfd = -1
        self.seen: Tuple[Interface, ...] = ()
        self.notes: List[str] = []

    def run(self, kinds: Sequence[str]) -> Waited:
        families = [kind for kind in ("ipv4", "ipv6") if kind in kinds]
        ended = False
        while True:
            self.find_init(ended)
            try:
                if families:
                    self.addresses(families)
                if "systemd" in kinds:
                    self.systemd()
                return Waited(self.pid, self.seen, tuple(self.notes))
            except _Ended:
                # A guest that rebooted is started again by its monitor; then there is another init.
                ended = True

    def close(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def left(self) -> float:
        return self.deadline - time.monotonic()

    def pause(self, seconds: float) -> bool:
        """Sleep, and say whether there is time left. Raises _Ended."""
        left = self.left()
        if left <= 0:
            return False
        if _sleep(min(seconds, left), self.pidfd):
            raise _Ended
        return True

    def error(self, cause: str, advice: str = "") -> OperationError:
        return OperationError("wait for", "container", self.name, cause, advice)

    def find_init(self, ended: bool) -> None:
        """Wait for an init and open its pidfd."""
        gone = self.pid
        self.close()
        key = (self.lxcpath, self.name)
        pause = _FIRST_PAUSE_S
        while True:
            state, pid = read_states([key])[key]
            if state in ("running", "frozen") and pid and pid != gone:
                try:
                    self.pidfd = os.pidfd_open(pid)
                except ProcessLookupError:
                    ended = True
                else:
                    if read_states([key])[key][1] == pid:
                        self.pid = pid
                        return
                    self.close()
            if state == "stopped" and ended:
                raise self.error("its init has ended", "See the container's log and console log.")
            ended = ended or state in ("stopping", "aborting")
            if not self.pause(pause):
                raise self.error(f"it is {state} and does not run after {self.timeout:g} s")
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)

    def addresses(self, families: Sequence[str]) -> None:
        # Here: a task that waits for no addresses need not load it.
        from .netns import addresses_of

        pause = _FIRST_PAUSE_S
        while True:
            self.seen = tuple(addresses_of({0: self.pid}).get(0, ()))
            if not any(self.lacking(family) for family in families):
                return
            if not self.pause(pause):
                raise self.no_address(families)
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)

    def lacking(self, family: str) -> List[str]:
        """The interfaces without an address of the family; [""] when it may be any and none has one."""
        # Here, like addresses_of above.
        from .._model.describe import is_link_local

        having = [
            interface.name
            for interface in self.seen
            if interface.name != "lo"
            and any(not (is_link_local(one) or one.startswith(_LOOPBACK)) for one in getattr(interface, family))
        ]
        if self.wanted:
            return [name for name in self.wanted if name not in having]
        return [] if having else [""]

    def no_address(self, families: Sequence[str]) -> OperationError:
        causes = []
        for family in families:
            lacking = self.lacking(family)
            if lacking:
                where = f" on {', '.join(lacking)}" if lacking != [""] else ""
                causes.append(f"no {'IPv4' if family == 'ipv4' else 'IPv6'} address after {self.timeout:g} s{where}")
        found = [f"{_plain(i.name)} ({_listed(i.ipv4 + i.ipv6) or 'no address'})" for i in self.seen if i.name != "lo"]
        return self.error("; ".join(causes), f"Its interfaces: {_listed(found, 4096) or 'only lo'}.")

    def systemd(self) -> None:
        begin = time.monotonic()
        pause = _FIRST_PAUSE_S
        said = ""
        while True:
            if read_states([(self.lxcpath, self.name)])[(self.lxcpath, self.name)][0] == "frozen":
                raise self.error("it is frozen, so systemd cannot go on", "Unfreeze it first.")
            done = self.in_guest(["systemctl", "is-system-running", "--wait"])
            if done is not None:
                code, out, err = done
                said = _plain(out.strip() or err.strip().rpartition("\n")[2])
                if out.strip() in _UP:
                    break
                if out.strip() in ("maintenance", "stopping"):
                    raise self.error(f"its systemd is in the state '{out.strip()}'", "See journalctl in the guest.")
                if code == 127 or (time.monotonic() - begin > _BECOME_SYSTEMD_S and not self.is_systemd()):
                    raise self.error("its init is not systemd", "Wait for 'running' or for addresses instead.")
            if not self.pause(pause):
                raise self.error(f"its systemd has not booted after {self.timeout:g} s: {said or 'it does not answer'}")
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)
        if said == "degraded":
            failed = self.in_guest(["systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager"])
            units = [line.split()[0] for line in (failed[1] if failed else "").splitlines() if line.split()]
            self.notes.append(f"systemd in container '{self.name}' is degraded; failed: {_listed(units) or 'unknown'}")

    def is_systemd(self) -> bool:
        try:
            return os.path.basename(os.readlink(f"/proc/{self.pid}/exe")) == "systemd"
        except OSError:
            return False

    def in_guest(self, argv: Sequence[str]) -> Optional[Tuple[int, str, str]]:
        """Return code, stdout and stderr of a command in the guest; None when the time is over. Raises _Ended.

        A command that writes more than _OUTPUT_MAX bytes to either is ended there, with the return code of SIGKILL.
        """
        process = subprocess.Popen(
            [find("lxc-attach"), "-P", self.lxcpath, "-n", self.name, "--clear-env", "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if process.stdout is None or process.stderr is None:
            raise ValueError("the program has no pipes")
        text: Dict[int, bytes] = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
        is_open = list(text)
        over = os.pidfd_open(process.pid)
        watched = [over, self.pidfd]
        try:
            # It is over when it ends, even if something that it left behind keeps its output open.
            while (is_open or over in watched) and max(map(len, text.values())) <= _OUTPUT_MAX:
                ready = select.select([*is_open, *watched], [], [], max(self.left(), 0) if over in watched else 0)[0]
                if not ready and over in watched:
                    return None
                if self.pidfd in ready:
                    raise _Ended
                if not ready:
                    break
                if over in ready:
                    watched.remove(over)
                    ready.remove(over)
                for fd in ready:
                    part = os.read(fd, _OUTPUT_MAX + 1 - len(text[fd]))
                    text[fd] += part
                    if not part:
                        is_open.remove(fd)
            if over in watched:
                _kill_with_children(process)
            code = process.wait()
        finally:
            os.close(over)
            if process.returncode is None:
                _kill_with_children(process)
            process.stdout.close()
            process.stderr.close()
        out, err = (part[:_OUTPUT_MAX].decode("utf-8", "replace") for part in text.values())
        return code, out, err


def _kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """End lxc-attach and what it runs in the guest, which would go on without it."""
    # Neither has been reaped, so the numbers are still theirs.
    try:
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            for child in file.read().split():
                os.kill(int(child), signal.SIGKILL)
    except (OSError, ValueError):
        pass
    process.kill()
    process.wait()


def _plain(text: str, length: int = _SHOWN_LENGTH) -> str:
    """A guest's text for the user: printable ASCII, anything else as a question mark, cut where it gets too long."""
    clean = "".join(char if " " <= char <= "~" else "?" for char in text[: length + 1])
    return clean if len(clean) <= length else f"{clean[: length - 3]}..."


def _listed(items: Sequence[str], length: int = _SHOWN_LENGTH) -> str:
    more = f" and {len(items) - _SHOWN_COUNT} more" if len(items) > _SHOWN_COUNT else ""
    return ", ".join(_plain(item, length) for item in items[:_SHOWN_COUNT]) + more
