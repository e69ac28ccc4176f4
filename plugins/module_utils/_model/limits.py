# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's limits that all containers of a host share: what starting some takes, and what a host of a size needs.

docs/limits.md says what each limit bounds and what is seen when it is met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from .._errors import InputError
from .config import ConfigDocument

#: Ports of one Linux bridge: BR_MAX_PORTS (net/bridge/br_private.h) less the number 0.
BRIDGE_PORTS = 1023
#: The most that kernel.pid_max takes on 64 bits: PID_MAX_LIMIT (include/linux/threads.h).
PID_LIMIT = 4194304
#: The host processes that any running container has: its monitor and its init.
PROCESSES = 2
#: What liblxc gives every container, by the name of the limit `user.max_<name>_namespaces` (namespaces(7)).
_NAMESPACES = ("mnt", "pid", "uts", "ipc")
_PREFIXES = ("lxc.net", "lxc.tty.max", "lxc.pty.max", "lxc.console.path", "lxc.prlimit", "lxc.idmap", "lxc.namespace.")
ROLE = "host_size of the role lightervisor.lxc.host"


@dataclass(frozen=True)
class Demand:
    """What starting some containers takes from the host at the least."""

    containers: int = 0
    #: Pseudo-terminals of the containers' own devpts instances, which kernel.pty.reserve is kept from.
    own_ptys: int = 0
    #: Those of the host's own devpts.
    host_ptys: int = 0
    #: (bridge, ports on it).
    ports: Tuple[Tuple[str, int], ...] = ()
    #: (kind as in user.max_<kind>_namespaces, how many).
    namespaces: Tuple[Tuple[str, int], ...] = ()
    #: The highest hard limit of open files that a config sets.
    nofile: int = 0


@dataclass(frozen=True)
class Present:
    """What a host has and uses now. A sysctl that it has not got is missing in `values`."""

    values: Mapping[str, int]
    ptys: int = 0
    tasks: int = 0
    #: Ports in use by bridge; a link that is no Linux bridge is missing.
    ports: Tuple[Tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Shortage:
    """A limit that is certainly too small: what it is and is needed for, and what helps."""

    name: str
    text: str
    advice: str


def demand_of(documents: Sequence[ConfigDocument]) -> Demand:
    """The demand of containers with these configs, includes read in. A value that liblxc refuses counts nothing."""
    own_ptys = host_ptys = nofile = 0
    ports: Dict[str, int] = {}
    namespaces: Dict[str, int] = {}
    for whole in documents:
        document = ConfigDocument(tuple([one for one in whole.lines if one.key and one.key.startswith(_PREFIXES)]))
        # liblxc: ttys are of a devpts instance made for the container, the console is too if that is to hold more than
        # one pty (lxc_terminal_parent in terminal.c, lxc_create_ttys in conf.c).
        own_ptys += _number(document.get("lxc.tty.max"))
        if document.get("lxc.console.path") != "none":
            if _number(document.get("lxc.pty.max")) > 1:
                own_ptys += 1
            else:
                host_ptys += 1
        indexes = _networks(document)
        for index in indexes:
            bridge = _bridge(document, index)
            if bridge:
                ports[bridge] = ports.get(bridge, 0) + 1
        for kind in _kinds(document, indexes):
            namespaces[kind] = namespaces.get(kind, 0) + 1
        hard = (document.get("lxc.prlimit.nofile") or "").rpartition(":")[2].strip()
        nofile = max(nofile, _number(hard))
    return Demand(
        len(documents), own_ptys, host_ptys, tuple(sorted(ports.items())), tuple(sorted(namespaces.items())), nofile
    )


def _number(value: Optional[str]) -> int:
    return int(value) if value and value.isascii() and value.isdigit() else 0


def _networks(document: ConfigDocument) -> List[str]:
    found: Set[str] = set()
    for line in document.lines:
        parts = (line.key or "").split(".")
        if len(parts) == 4 and parts[1] == "net" and parts[3] == "type":
            found.add(parts[2])
    return sorted(found)


def _bridge(document: ConfigDocument, index: str) -> str:
    """The bridge that the network's host side becomes a port of, "" for none."""
    prefix = f"lxc.net.{index}."
    if document.get(prefix + "type") != "veth" or document.get(prefix + "veth.mode") == "router":
        return ""
    return document.get(prefix + "link") or ""


def _kinds(document: ConfigDocument, indexes: Sequence[str]) -> List[str]:
    """The kinds of the namespaces that are made for it (resolve_clone_flags in start.c)."""
    if any((line.key or "").startswith("lxc.namespace.") for line in document.lines):
        return []
    kinds = list(_NAMESPACES)
    if not any(document.get(f"lxc.net.{index}.type") == "none" for index in indexes):
        kinds.append("net")
    if document.values("lxc.idmap"):
        kinds.append("user")
    return kinds


def pty_max(ptys: int, used: int, reserve: int) -> int:
    """The kernel.pty.max with which that many more fit: the last one is never given out (fs/devpts/inode.c)."""
    return ptys + used + reserve + 1


def pid_max(processes: int, used: int) -> int:
    """The kernel.pid_max with which that many more tasks fit: 0 is no task's number."""
    return processes + used + 1


def bridges_for(ports: int) -> int:
    """How many bridges that many ports need."""
    return -(-ports // BRIDGE_PORTS)


def shortages(demand: Demand, present: Present) -> Tuple[Shortage, ...]:
    """The limits because of which not all of the containers can start, whatever else happens; none if all may."""
    found: List[Shortage] = []
    values = present.values
    ptys, reserve = demand.own_ptys + demand.host_ptys, values.get("kernel.pty.reserve", 0)
    limit = values.get("kernel.pty.max")
    if limit is not None and ptys:
        kept = reserve if demand.own_ptys and pty_max(demand.own_ptys, present.ptys, reserve) > limit else 0
        if kept or pty_max(ptys, present.ptys, 0) > limit:
            why = f"{_count(ptys, 'console or tty', 'consoles and ttys')} beside {present.ptys} in use"
            why += f", and kernel.pty.reserve keeps {reserve} back" if kept else ""
            found.append(_sysctl("kernel.pty.max", limit, pty_max(ptys, present.ptys, kept), why))
    processes = PROCESSES * demand.containers
    why = f"{processes} processes beside {present.tasks} tasks that there are"
    for name, needed in (
        ("kernel.pid_max", pid_max(processes, present.tasks)),
        ("kernel.threads-max", processes + present.tasks),
    ):
        if name in values and needed > values[name]:
            found.append(_sysctl(name, values[name], needed, why))
    for kind, number in demand.namespaces:
        name = f"user.max_{kind}_namespaces"
        if name in values and number > values[name]:
            found.append(_sysctl(name, values[name], number, f"each container takes one, {number} in all"))
    if "fs.nr_open" in values and demand.nofile > values["fs.nr_open"]:
        why = f"lxc.prlimit.nofile is {demand.nofile}"
        found.append(_sysctl("fs.nr_open", values["fs.nr_open"], demand.nofile, why))
    used = dict(present.ports)
    for bridge, number in demand.ports:
        if bridge in used and used[bridge] + number > BRIDGE_PORTS:
            found.append(_full(bridge, number, used[bridge]))
    return tuple(found)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _sysctl(name: str, value: int, needed: int, why: str) -> Shortage:
    return Shortage(name, f"{name} is {value} and must be {needed} ({why})", f"Set {name} to at least {needed}")


def _full(bridge: str, number: int, used: int) -> Shortage:
    more = bridges_for(number - max(BRIDGE_PORTS - used, 0))
    return Shortage(
        f"bridge {bridge}",
        f"the bridge {bridge} takes {BRIDGE_PORTS} ports and must take {used + number} "
        f"({number} beside {used} that there are)",
        f"Give at least {used + number - BRIDGE_PORTS} networks another lxc.net.N.link than {bridge}: "
        + _count(more, "bridge more", "bridges more"),
    )


# ------------------------------------------------------------------ a host of a size


@dataclass(frozen=True)
class HostSize:
    """How many containers a host is to run, and what one of them uses; the role's option host_size."""

    containers: int
    bridges: int = 1
    nics: int = 1
    ptys: int = 8
    processes: int = 100
    #: Entries in all, 0: four for each NIC.
    neighbours: int = 0
    #: Routes of one network namespace, 0: the kernel's own limit.
    routes: int = 0
    connections: int = 512
    inotify_instances: int = 32
    inotify_watches: int = 2048
    files: int = 2048
    namespaces: int = 32
    keys: int = 2000
    aio: int = 64
    maps: int = 262144
    #: Open files of one process, 0: not managed.
    nofile: int = 0


@dataclass(frozen=True)
class Requirement:
    """The least value of a sysctl, and why."""

    name: str
    value: int
    why: str


_LEAST = {"containers": 1, "bridges": 0, "nics": 0}


def host_size(options: Mapping[str, Any], path: str = "host_size") -> HostSize:
    """The size that the mapping says; None is as good as missing. Raises InputError: `host_size.nics: …`."""
    known = tuple(HostSize.__dataclass_fields__)
    given: Dict[str, int] = {}
    for option, value in options.items():
        if option not in known:
            raise InputError(f"{path}.{option}", f"a host's size has no such part; it has {', '.join(known)}")
        if value is None:
            continue
        text = str(value).strip()
        if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or int(text) < _LEAST.get(option, 0):
            raise InputError(f"{path}.{option}", f"{value!r} is no whole number of {_LEAST.get(option, 0)} or more")
        given[option] = int(text)
    if "containers" not in given:
        raise InputError(f"{path}.containers", "it is missing; say how many containers are to run")
    size = HostSize(**given)
    ports = size.containers * size.nics
    if ports > size.bridges * BRIDGE_PORTS and size.bridges:
        raise InputError(
            f"{path}.bridges",
            f"{size.containers} containers with {size.nics} NICs are {ports} ports, and a bridge takes {BRIDGE_PORTS}; "
            f"at least {bridges_for(ports)} bridges are needed",
        )
    needed = _tasks(size)
    if needed > PID_LIMIT:
        raise InputError(
            f"{path}.processes", f"kernel.pid_max would have to be {needed}, and the kernel takes {PID_LIMIT} at most"
        )
    return size


#: What the host itself uses beside its containers.
_HOST = {"ptys": 256, "tasks": 4096, "neighbours": 512, "connections": 65536, "inotify": 128, "files": 65536}


def _tasks(size: HostSize) -> int:
    return pid_max(size.containers * (size.processes + PROCESSES), _HOST["tasks"])


def requirements(size: HostSize, reserve: int = 1024) -> Tuple[Requirement, ...]:
    """What the host needs, in a fixed order. `reserve` is its kernel.pty.reserve."""
    n = size.containers
    found: List[Requirement] = []

    def add(name: str, value: int, why: str) -> None:
        found.append(Requirement(name, value, why))

    why = f"{n} containers with {{}} {{}} each"
    add("kernel.pty.max", pty_max(n * size.ptys, _HOST["ptys"], reserve), why.format(size.ptys, "ptys"))
    for name in ("kernel.pid_max", "kernel.threads-max"):
        add(name, _tasks(size), why.format(size.processes, "processes"))
    for kind in (*_NAMESPACES, "net", "user", "cgroup"):
        add(f"user.max_{kind}_namespaces", n * size.namespaces, why.format(size.namespaces, "namespaces of a kind"))
    add(
        "fs.inotify.max_user_instances",
        n * size.inotify_instances + _HOST["inotify"],
        why.format(size.inotify_instances, "inotify instances"),
    )
    add(
        "fs.inotify.max_user_watches",
        n * size.inotify_watches + _HOST["inotify"] * 64,
        why.format(size.inotify_watches, "inotify watches"),
    )
    add("fs.file-max", n * size.files + _HOST["files"], why.format(size.files, "open files"))
    if size.nofile:
        add("fs.nr_open", size.nofile, f"{size.nofile} open files of one process")
    add("fs.aio-max-nr", n * size.aio + 65536, why.format(size.aio, "asynchronous requests"))
    # Quotas of one user: a container with id ranges of its own is a user of its own.
    add("kernel.keys.maxkeys", size.keys, f"{size.keys} keys of one container")
    add("kernel.keys.maxbytes", size.keys * 1000, f"{size.keys} keys of one container")
    add("vm.max_map_count", size.maps, f"{size.maps} mappings of one process")
    neighbours = (size.neighbours or 4 * n * size.nics) + _HOST["neighbours"]
    for family in ("ipv4", "ipv6"):
        # Above the second for five seconds, the kernel throws entries out; below the first, none.
        for threshold, part in ((1, 4), (2, 2), (3, 1)):
            name = f"net.{family}.neigh.default.gc_thresh{threshold}"
            add(name, neighbours // part, f"{neighbours} neighbours of all containers and the host")
    if size.routes:
        add("net.ipv6.route.max_size", size.routes, f"{size.routes} routes of one network namespace")
    connections = n * size.connections + _HOST["connections"]
    add("net.netfilter.nf_conntrack_max", connections, why.format(size.connections, "connections"))
    return tuple(found)


def settings(
    needed: Sequence[Requirement], present: Mapping[str, int], own: Mapping[str, int]
) -> Tuple[Requirement, ...]:
    """What the role's file has to say: no value below the present one, no sysctl that is high enough without the file.

    `own` is what the file says now. What it made high stays in it, or the next boot would take it back.
    """
    found = []
    for one in needed:
        now = present.get(one.name)
        if now is not None and (one.value > now or one.name in own):
            found.append(Requirement(one.name, max(one.value, now), one.why))
    return tuple(found)
