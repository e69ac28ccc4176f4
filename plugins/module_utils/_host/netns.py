# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The network interfaces inside running containers, read from outside.

One forked child enters the network namespace of each container in turn and dumps its links and addresses over
rtnetlink (netlink(7), rtnetlink(7)): 50 us each. Entering needs CAP_SYS_ADMIN. Where that is missing the same is
read from /proc/<pid>/net, which every user may do; hardware addresses are not to be had there.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import time
from functools import lru_cache
from typing import Any, Dict, Hashable, Iterator, List, Mapping, Optional, Sequence, Tuple, TypeVar

from .._model.observed import Interface

#: Seconds after which the child is given up.
_PATIENCE = 30.0
_CLONE_NEWNET = 0x40000000
_RTM_NEWLINK, _RTM_GETLINK, _RTM_NEWADDR, _RTM_GETADDR = 16, 18, 20, 22
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST_DUMP = 0x301
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_EXT_MASK = 1, 3, 29
_RTEXT_FILTER_SKIP_STATS = 8
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFF_LOOPBACK = 0x8
_ROUTE_GATEWAY = 0x2
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")

Key = TypeVar("Key", bound=Hashable)
Interfaces = Tuple[Interface, ...]


def addresses_of(pids: Mapping[Key, int]) -> Dict[Key, Interfaces]:
    """The interfaces, loopback left out, in the network namespace of each process, by the mapping's keys.

    Addresses are all that the interface has, link-local ones too, as "address/prefix". A process that is gone has none.
    """
    if not pids:
        return {}
    found = _read_in_child(list(pids.values()))
    result: Dict[Key, Interfaces] = {}
    for key, pid in pids.items():
        inside = found.get(pid)
        result[key] = read_proc(pid) if inside is None else tuple(Interface(*_tuples(one)) for one in inside)
    return result


def _tuples(fields: Sequence[Any]) -> Iterator[Any]:
    return (tuple(field) if isinstance(field, list) else field for field in fields)


def _read_in_child(pids: Sequence[int]) -> Dict[int, List[List[Any]]]:
    """Interfaces by pid, without those whose namespace could not be entered."""
    if os.geteuid() != 0:
        return {}
    reading, writing = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            _write(writing, json.dumps(_enter_each(pids)).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    try:
        answer = _read_all(reading)
    finally:
        os.close(reading)
        # It has ended, or it hangs, or nobody wants its answer any more.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    try:
        return {int(pid): interfaces for pid, interfaces in json.loads(answer).items()}
    except ValueError:
        return {}


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _read_all(fd: int) -> bytes:
    deadline = time.monotonic() + _PATIENCE
    data = b""
    while select.select([fd], [], [], max(deadline - time.monotonic(), 0))[0]:
        more = os.read(fd, 1 << 16)
        if not more:
            break
        data += more
    return data


def _enter_each(pids: Sequence[int]) -> Dict[int, List[List[Any]]]:
    found: Dict[int, List[List[Any]]] = {}
    for pid in pids:
        try:
            fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            found[pid] = []
            continue
        except OSError:
            continue
        try:
            _setns(fd)
            found[pid] = dump_interfaces()
        except OSError:
            continue
        finally:
            os.close(fd)
    return found


def _setns(fd: int) -> None:
    """setns(2); Python has it from 3.12 on."""
    own = getattr(os, "setns", None)
    if own is not None:
        own(fd, _CLONE_NEWNET)
        return
    import ctypes

    if _libc().setns(fd, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@lru_cache(maxsize=1)
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


# ------------------------------------------------------------------ rtnetlink


def dump_interfaces() -> List[List[Any]]:
    """[name, hwaddr, ipv4, ipv6] of each interface of this process's network namespace but loopback, by index."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        mask = struct.pack("=HHI", 8, _IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
        links = parse_links(_dump(sock, _RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0) + mask))
        for index, address in parse_addresses(_dump(sock, _RTM_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0))):
            if index in links:
                links[index][3 if ":" in address else 2].append(address)
    return [links[index] for index in sorted(links)]


def parse_links(messages: Sequence[Tuple[int, bytes]]) -> Dict[int, List[Any]]:
    """Index -> [name, hwaddr, [], []] of RTM_NEWLINK messages, given as (type, payload); loopback is left out."""
    links: Dict[int, List[Any]] = {}
    for kind, payload in messages:
        if kind != _RTM_NEWLINK:
            continue
        _family, _type, index, flags, _change = _LINK.unpack_from(payload)
        if flags & _IFF_LOOPBACK:
            continue
        attributes = _attributes(payload, _LINK.size, (_IFLA_ADDRESS, _IFLA_IFNAME))
        name = attributes.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
        links[index] = [name, attributes.get(_IFLA_ADDRESS, b"").hex(":"), [], []]
    return links


def parse_addresses(messages: Sequence[Tuple[int, bytes]]) -> Iterator[Tuple[int, str]]:
    """(interface index, "address/prefix") of RTM_NEWADDR messages, given as (type, payload)."""
    for kind, payload in messages:
        if kind != _RTM_NEWADDR:
            continue
        family, prefix, _flags, _scope, index = _ADDRESS.unpack_from(payload)
        attributes = _attributes(payload, _ADDRESS.size, (_IFA_ADDRESS, _IFA_LOCAL))
        # With a peer, IFA_ADDRESS is the peer's and IFA_LOCAL one's own (rtnetlink(7)).
        packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
        if packed and family in (socket.AF_INET, socket.AF_INET6):
            yield index, f"{socket.inet_ntop(family, packed)}/{prefix}"


def _dump(sock: socket.socket, kind: int, payload: bytes) -> List[Tuple[int, bytes]]:
    sock.send(_HEADER.pack(_HEADER.size + len(payload), kind, _NLM_F_REQUEST_DUMP, kind, 0) + payload)
    messages: List[Tuple[int, bytes]] = []
    while True:
        # The kernel's parts of a dump are no longer, and a larger buffer is mapped and unmapped each time.
        data = sock.recv(1 << 16)
        while len(data) >= _HEADER.size:
            length, found, _flags, _sequence, _port = _HEADER.unpack_from(data)
            if found == _NLMSG_DONE:
                return messages
            if found == _NLMSG_ERROR:
                raise OSError(-struct.unpack_from("=i", data, _HEADER.size)[0], "rtnetlink")
            messages.append((found, data[_HEADER.size : length]))
            data = data[(length + 3) & ~3 :]


def _attributes(data: bytes, start: int, wanted: Sequence[int]) -> Dict[int, bytes]:
    """The attributes of these types. A link has thirty: the rest is not looked at once they are found."""
    found: Dict[int, bytes] = {}
    while len(found) < len(wanted) and start + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < 4:
            break
        if kind & 0x3FFF in wanted:
            found[kind & 0x3FFF] = data[start + 4 : start + length]
        start += (length + 3) & ~3
    return found


# ------------------------------------------------------------------ /proc/<pid>/net


def read_proc(pid: int) -> Interfaces:
    """The interfaces as /proc/<pid>/net tells them: without hardware addresses."""
    texts: List[str] = []
    for file in ("dev", "if_inet6", "route", "fib_trie"):
        try:
            with open(f"/proc/{pid}/net/{file}", encoding="utf-8", errors="replace") as stream:
                texts.append(stream.read())
        except OSError:
            texts.append("")
    return parse_proc(*texts)


def parse_proc(dev: str, if_inet6: str, route: str, fib_trie: str) -> Interfaces:
    """The interfaces from the texts of the four files (proc(5)).

    fib_trie names no interface: an IPv4 address is given to the interface whose connected network holds it, with
    that network's prefix. One without such a network, an address with a prefix of 32, is given to the first
    interface that has none.
    """
    names = [line.partition(":")[0].strip() for line in dev.splitlines()[2:]]
    ipv4: Dict[str, List[str]] = {name: [] for name in names if name != "lo"}
    ipv6: Dict[str, List[str]] = {name: [] for name in ipv4}
    for line in if_inet6.splitlines():
        packed, _index, prefix, _scope, _flags, name = line.split()
        if name in ipv6:
            ipv6[name].append(f"{socket.inet_ntop(socket.AF_INET6, bytes.fromhex(packed))}/{int(prefix, 16)}")
    networks = list(_connected(route))
    loose: List[str] = []
    for address in _local_addresses(fib_trie):
        number = struct.unpack("!I", socket.inet_aton(address))[0]
        holder = next((one for one in networks if number & one[1] == one[0]), None)
        if holder is not None and holder[2] in ipv4:
            ipv4[holder[2]].append(f"{address}/{bin(holder[1]).count('1')}")
        else:
            loose.append(f"{address}/32")
    if loose and ipv4:
        bare: Optional[str] = next((name for name in ipv4 if not ipv4[name]), None)
        ipv4[bare or next(iter(ipv4))] += loose
    return tuple(Interface(name, "", tuple(ipv4[name]), tuple(ipv6[name])) for name in ipv4)


def _connected(route: str) -> List[Tuple[int, int, str]]:
    """(network, mask, interface) of the routes without a gateway, most specific first."""
    found = []
    for line in route.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 8 and not int(fields[3], 16) & _ROUTE_GATEWAY and int(fields[7], 16):
            # The kernel prints both in its own byte order.
            network, mask = (socket.ntohl(int(fields[column], 16)) for column in (1, 7))
            found.append((network, mask, fields[0]))
    return sorted(found, key=lambda one: -one[1])


def _local_addresses(fib_trie: str) -> List[str]:
    """The host's own addresses but 127.0.0.0/8, each once."""
    found: Dict[str, None] = {}
    last = ""
    for line in fib_trie.splitlines():
        fields = line.split()
        if fields[:1] == ["|--"]:
            last = fields[1]
        elif fields[:3] == ["/32", "host", "LOCAL"] and not last.startswith("127."):
            found[last] = None
    return list(found)
