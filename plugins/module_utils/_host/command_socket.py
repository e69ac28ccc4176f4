# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of the command socket that liblxc's monitor of each running container listens on.

The protocol is that of liblxc's src/lxc/commands.c and commands_utils.c, which fix it for good: it is the same in
5.0, 6.0 and 7.0. One connection carries one request: `struct lxc_cmd_req` (command, length of the data, a pointer
that means nothing to the peer) with the caller's credentials, then the data. The answer is `struct lxc_cmd_rsp`
(0 or a negative errno, length of the data, a pointer that holds small answers), then the data.

Any user can listen on any name that is free. An answer therefore counts only from root, the caller, or whoever the
lxcpath or the container's config belongs to (they decide what the container is anyway), by SO_PEERCRED of unix(7).
The owner of the container's directory is not asked: that may be the root of the guest.

Every wait here is bounded: a monitor that is stopped, or still runs a pre-start hook, does not answer.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from .processes import is_started_by

#: Commands, `lxc_cmd_t` of liblxc's commands.h.
STOP = 2
GET_STATE = 3
GET_INIT_PID = 4
GET_CONFIG_ITEM = 7
GET_NAME = 8
GET_LXCPATH = 9
ADD_STATE_CLIENT = 10

#: `lxc_state_t` of liblxc's state.h, by number.
STATES = ("stopped", "starting", "running", "stopping", "aborting", "freezing", "frozen", "thawed")
#: The state of a container whose monitor is there but gives no answer, or none to this user.
UNKNOWN = "unknown"

#: Seconds to wait for the answers to one batch of requests.
TIMEOUT = 1.0
#: Requests that are sent before the first answer is read. Asking many at once takes a third of the time.
_BATCH = 256
#: The longest data that liblxc sends or takes, LXC_CMD_DATA_MAX.
_DATA_MAX = 8192
#: Characters of an abstract name besides the leading and the trailing NUL.
_NAME_MAX = 106
#: `__SO_ACCEPTCON` among the flags of /proc/net/unix: the socket listens.
_LISTENS = 0x10000
_MESSAGE = struct.Struct("@iiP")

Key = Tuple[str, str]


class Reply(NamedTuple):
    """An answer: `ret` is 0 or a negative errno, `number` what the pointer holds, `data` what came after."""

    ret: int
    number: int
    data: bytes


class Request(NamedTuple):
    """What to ask the monitor that listens on the abstract socket `address`."""

    address: bytes
    command: int
    data: bytes = b""


class Outcome(NamedTuple):
    """`reply` is None when there was none: `gone` when nobody listens any more, else no answer came in time.

    `uid` is that of whoever listens, None when it is not known.
    """

    reply: Optional[Reply]
    gone: bool = False
    uid: Optional[int] = None


def socket_name(lxcpath: str, name: str) -> str:
    """The abstract name, without its leading NUL, of a container's command socket.

    `<lxcpath>/<name>/command`, or where that is too long `lxc/<FNV-1a of lxcpath/name>/command`
    (lxc_make_abstract_socket_name in liblxc's commands_utils.c).
    """
    plain = f"{lxcpath}/{name}/command"
    if len(os.fsencode(plain)) < _NAME_MAX:
        return plain
    digest = 0xCBF29CE484222325
    for octet in os.fsencode(f"{lxcpath}/{name}"):
        digest = ((digest ^ octet) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"lxc/{digest:016x}/command"


def parse_listening(text: bytes) -> Set[str]:
    """The abstract names `…/command` that somebody listens on, from the text of /proc/net/unix (proc(5))."""
    found = set()
    for line in text.split(b"\n"):
        if not line.endswith(b"/command"):
            continue
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[7].startswith(b"@") and int(fields[3], 16) & _LISTENS:
            found.add(os.fsdecode(fields[7][1:]))
    return found


def listening() -> Set[str]:
    """The abstract names of all command sockets in this network namespace; one read of /proc/net/unix."""
    with open("/proc/net/unix", "rb") as stream:
        return parse_listening(stream.read())


def active_sockets(names: Optional[Set[str]] = None) -> Set[Key]:
    """Every running container as (lxcpath, name), by the sockets in `names` (default: `listening()`).

    Sockets of users whose word does not count are left out. Only for hashed names is the monitor itself asked what
    it is called. lxcpath is spelled as whoever started the container spelled it.
    """
    found: Set[Key] = set()
    hashed: List[str] = []
    deadline = time.monotonic() + TIMEOUT
    for name in listening() if names is None else names:
        lxcpath, _slash, container = name[: -len("/command")].rpartition("/")
        if lxcpath == "lxc":
            hashed.append(name)
        elif lxcpath and _counts(_listener(name, deadline), (lxcpath, container)):
            found.add((lxcpath, container))
    both = (GET_LXCPATH, GET_NAME)
    answers = ask([Request(b"\0" + os.fsencode(name), command) for name in hashed for command in both])
    for name, path, title in zip(hashed, answers[::2], answers[1::2]):
        if path.reply and title.reply and path.reply.ret == 0 and title.reply.ret == 0:
            lxcpath, container = _text(path.reply.data), _text(title.reply.data)
            key = (lxcpath.rstrip("/"), container)
            if socket_name(lxcpath, container) == name and _counts(path.uid, key) and _counts(title.uid, key):
                found.add(key)
    return found


def is_active(lxcpath: str, name: str) -> bool:
    """Whether somebody whose word counts listens for this container, be it to answer or not."""
    return _counts(_listener(socket_name(lxcpath, name), time.monotonic() + TIMEOUT), (lxcpath, name))


def query(lxcpath: str, name: str, command: int, data: bytes = b"", timeout: float = TIMEOUT) -> Optional[Reply]:
    """One question to one container's monitor. None when nobody listens or no answer came within `timeout` seconds."""
    outcome = ask([Request(_address(lxcpath, name), command, data)], timeout)[0]
    return outcome.reply if _counts(outcome.uid, (lxcpath, name)) else None


def read_states(containers: Iterable[Key], timeout: float = TIMEOUT) -> Dict[Key, Tuple[str, Optional[int]]]:
    """State and init pid of each (lxcpath, name), as `lxc-info -s -p` gives them, in lower case.

    The state is "unknown" where the monitor listens but does not answer, or refuses to answer this user, and where
    the answer can't be right: it comes from somebody else, or names an init that somebody else has started. The pid
    is that of the guest's init as this pid namespace sees it, None when there is none.
    """
    keys = list(containers)
    requests = [Request(_address(*key), command) for key in keys for command in (GET_STATE, GET_INIT_PID)]
    answers = ask(requests, timeout)
    found: Dict[Key, Tuple[str, Optional[int]]] = {}
    for key, state, pid in zip(keys, answers[::2], answers[1::2]):
        found[key] = _state(key, state, pid)
    return found


def read_config_item(lxcpath: str, name: str, key: str, timeout: float = TIMEOUT) -> Optional[str]:
    """The value of a config item that the running container has: several values are one a line.

    None when it does not run, does not answer, or has no such item. Only for keys that this liblxc knows.
    """
    reply = query(lxcpath, name, GET_CONFIG_ITEM, os.fsencode(key) + b"\0", timeout)
    return _text(reply.data) if reply is not None and reply.ret == 0 else None


def follow(containers: Iterable[Key], timeout: float = TIMEOUT) -> Dict[Key, socket.socket]:
    """For each (lxcpath, name) that runs, a socket that its monitor closes once it has stopped, hooks included.

    Where a guest reboots that is so, too, and a message comes before. Those that do not run, or do not answer in
    `timeout` seconds, are missing. (lxc_cmd_add_state_client in commands.c, lxc_end in start.c)
    """
    deadline = time.monotonic() + timeout
    states = struct.pack(f"@{len(STATES)}i", 1, *[0] * (len(STATES) - 1))
    asked = [(key, _send(Request(_address(*key), ADD_STATE_CLIENT, states), deadline)) for key in containers]
    found: Dict[Key, socket.socket] = {}
    for key, sock in asked:
        if isinstance(sock, Outcome):
            continue
        try:
            head = _read(sock, _MESSAGE.size, deadline) if _counts(_peer(sock), key) else None
        except OSError:
            head = None
        # Any other number is an error, or that of the state, if it has stopped already.
        if head is not None and _MESSAGE.unpack(head)[0] == len(STATES):
            found[key] = sock
        else:
            sock.close()
    return found


def send(lxcpath: str, name: str, command: int) -> Optional[socket.socket]:
    """Send a command and don't wait for its answer, which comes on the socket. None when nobody listens."""
    sent = _send(Request(_address(lxcpath, name), command), time.monotonic() + TIMEOUT)
    return None if isinstance(sent, Outcome) else sent


def ask(requests: Sequence[Request], timeout: float = TIMEOUT) -> List[Outcome]:
    """The outcome of each request, in order. Each batch of requests takes `timeout` seconds at most."""
    outcomes: List[Outcome] = []
    previous = b""
    for start in range(0, len(requests), _BATCH):
        deadline = time.monotonic() + timeout
        batch = requests[start : start + _BATCH]
        sockets: List[socket.socket | Outcome] = []
        for request in batch:
            # Where nobody listens there is nothing more to ask.
            silent = bool(sockets) and request.address == previous and _is_gone(sockets[-1])
            sockets.append(sockets[-1] if silent else _send(request, deadline))
            previous = request.address
        for request, sent in zip(batch, sockets):
            outcome = sent if isinstance(sent, Outcome) else _receive(sent, deadline)
            if outcome is None:
                # The monitor hung up: ask again, to tell one that has just ended from one that will not talk.
                again = _send(request, deadline)
                outcome = again if isinstance(again, Outcome) else _receive(again, deadline)
            outcomes.append(outcome or Outcome(None))
    return outcomes


def _is_gone(sent: socket.socket | Outcome) -> bool:
    return isinstance(sent, Outcome) and sent.gone


def _address(lxcpath: str, name: str) -> bytes:
    return b"\0" + os.fsencode(socket_name(lxcpath, name))


def _text(data: bytes) -> str:
    return os.fsdecode(data.rstrip(b"\0"))


def _state(key: Key, state: Outcome, pid: Outcome) -> Tuple[str, Optional[int]]:
    if state.reply is None or state.reply.ret < 0 or state.reply.number >= len(STATES):
        return ("stopped" if state.gone else UNKNOWN), None
    if state.uid is None or not _counts(state.uid, key):
        return UNKNOWN, None
    number = pid.reply.number if pid.reply is not None and pid.reply.ret == 0 and pid.uid == state.uid else 0
    if not 0 < number < 0x80000000:
        return STATES[state.reply.number], None
    # The monitor itself can't be compared: SO_PEERCRED names the lxc-start that began to listen and has ended since.
    return (STATES[state.reply.number], number) if is_started_by(number, state.uid) else (UNKNOWN, None)


def _counts(uid: Optional[int], key: Key) -> bool:
    """Whether this user may speak for the container."""
    if uid is None:
        return False
    return uid in (0, os.geteuid()) or uid in (_owner(key[0]), _owner(os.path.join(*key, "config")))


def _owner(path: str) -> Optional[int]:
    try:
        return os.stat(path).st_uid
    except (OSError, ValueError):
        return None


def _listener(name: str, deadline: float) -> Optional[int]:
    """The uid of whoever listens on this abstract name; None when nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.settimeout(_left(deadline))
            sock.connect(b"\0" + os.fsencode(name))
            return _peer(sock)
        except OSError:
            return None


def _peer(sock: socket.socket) -> int:
    """The uid under which the socket at the other end began to listen."""
    return int(struct.unpack("@iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.001)


def _send(request: Request, deadline: float) -> socket.socket | Outcome:
    """The socket on which the answer will come, or the outcome if it has already been decided."""
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    except OSError:
        # Too many files are open, which says nothing about who listens.
        return Outcome(None)
    try:
        sock.settimeout(_left(deadline))
        sock.connect(request.address)
        credentials = struct.pack("3i", os.getpid(), os.getuid(), os.getgid())
        sock.sendmsg(
            [_MESSAGE.pack(request.command, len(request.data), 0)],
            [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)],
            socket.MSG_NOSIGNAL,
        )
        if request.data:
            sock.sendall(request.data, socket.MSG_NOSIGNAL)
    except OSError as error:
        sock.close()
        return Outcome(None, gone=isinstance(error, (ConnectionRefusedError, FileNotFoundError)))
    return sock


def _receive(sock: socket.socket, deadline: float) -> Optional[Outcome]:
    """The answer; None when the peer hung up without one."""
    with sock:
        try:
            uid = _peer(sock)
            head = _read(sock, _MESSAGE.size, deadline)
            if head is None:
                return None
            ret, length, number = _MESSAGE.unpack(head)
            if not 0 < length <= _DATA_MAX:
                return Outcome(Reply(ret, number & 0xFFFFFFFF, b""), uid=uid)
            data = _read(sock, length, deadline)
            return None if data is None else Outcome(Reply(ret, number & 0xFFFFFFFF, data), uid=uid)
        except ConnectionError:
            return None
        except OSError:
            return Outcome(None)


def _read(sock: socket.socket, size: int, deadline: float) -> Optional[bytes]:
    data = b""
    while len(data) < size:
        sock.settimeout(_left(deadline))
        more = sock.recv(size - len(data))
        if not more:
            return None
        data += more
    return data
