# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The `lxc.*` keys of liblxc 5, 6 and 7: one row per key, read from liblxc's own tables (src/lxc/confile.c).

Columns of `_TABLE`, `-` for none:

* name. `lxc.net.N.x` stands for every network index, `lxc.cgroup2.memory.*` for everything below; the longest wins.
* how many: `one` value (the last line wins), `many` (every line adds), `clear` (takes no value, an empty one clears
  everything below it).
* compare: how two values are compared, see config_values.py.
* impact of a change on a running container: `live` (can be set in its cgroup), `restart`, `creation` (names what
  creation made), `none` (read from the file when it is needed, the container never notices).
* since, removed: the liblxc that first had the key or no longer has it; `-` for always and for still there. A key that
  came with a bug-fix release counts from the `x.0` of its branch.
* old: what LXC 1.0 and 2.0 called it, `lxc.network.x` for the keys of a network. Both spelled every key alike.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

from .._errors import InputError
from .config_values import boolean, canonical, same

Version = Tuple[int, int]

_TABLE = """
lxc.arch                         one   arch      restart  -    -    -
lxc.apparmor.profile             one   text      restart  2.1  -    lxc.aa_profile
lxc.apparmor.allow_incomplete    one   bool      restart  2.1  -    lxc.aa_allow_incomplete
lxc.apparmor.allow_nesting       one   bool      restart  3.1  -    -
lxc.apparmor.raw                 many  text      restart  3.1  -    -
lxc.autodev                      one   bool      restart  -    -    -
lxc.autodev.tmpfs.size           one   int       restart  4.0  -    -
lxc.cap.drop                     many  caps      restart  -    -    -
lxc.cap.keep                     many  caps      restart  -    -    -
lxc.cgroup                       clear text      live     -    7.0  -
lxc.cgroup.*                     many  words     live     -    7.0  -
lxc.cgroup.memory.*              one   kernsize  live     -    7.0  -
lxc.cgroup.cpu.*                 one   words     live     -    7.0  -
lxc.cgroup.cpuset.*              one   cpulist   live     -    7.0  -
lxc.cgroup.pids.*                one   words     live     -    7.0  -
lxc.cgroup.hugetlb.*             one   kernsize  live     -    7.0  -
lxc.cgroup.freezer.*             one   words     live     -    7.0  -
lxc.cgroup.net_cls.*             one   int       live     -    7.0  -
lxc.cgroup2                      clear text      live     3.0  -    -
lxc.cgroup2.*                    many  words     live     3.0  -    -
lxc.cgroup2.memory.*             one   kernsize  live     3.0  -    -
lxc.cgroup2.memory.max           one   kernsize  live     3.0  -    lxc.cgroup.memory.limit_in_bytes
lxc.cgroup2.memory.low           one   kernsize  live     3.0  -    lxc.cgroup.memory.soft_limit_in_bytes
lxc.cgroup2.memory.swap.max      one   kernsize  live     3.0  -    lxc.cgroup.memory.memsw.limit_in_bytes
lxc.cgroup2.cpu.*                one   words     live     3.0  -    -
lxc.cgroup2.cpu.weight           one   int       live     3.0  -    lxc.cgroup.cpu.shares
lxc.cgroup2.cpu.max              one   words     live     3.0  -    lxc.cgroup.cpu.cfs_quota_us
lxc.cgroup2.cpuset.*             one   cpulist   live     3.0  -    -
lxc.cgroup2.cpuset.cpus          one   cpulist   live     3.0  -    lxc.cgroup.cpuset.cpus
lxc.cgroup2.cpuset.mems          one   cpulist   live     3.0  -    lxc.cgroup.cpuset.mems
lxc.cgroup2.pids.*               one   words     live     3.0  -    -
lxc.cgroup2.pids.max             one   words     live     3.0  -    lxc.cgroup.pids.max
lxc.cgroup2.hugetlb.*            one   kernsize  live     3.0  -    -
lxc.cgroup2.cgroup.*             one   words     live     3.0  -    -
lxc.cgroup2.devices.allow        many  words     live     3.0  -    lxc.cgroup.devices.allow
lxc.cgroup2.devices.deny         many  words     live     3.0  -    lxc.cgroup.devices.deny
lxc.cgroup2.io.max               many  words     live     3.0  -    -
lxc.cgroup2.io.weight            many  words     live     3.0  -    lxc.cgroup.blkio.weight
lxc.cgroup2.rdma.max             many  words     live     3.0  -    lxc.cgroup.rdma.max
lxc.cgroup2.misc.max             many  words     live     3.0  -    lxc.cgroup.misc.max
lxc.cgroup.dir                   one   path      restart  2.1  -    -
lxc.cgroup.dir.container         one   path      restart  5.0  -    -
lxc.cgroup.dir.container.inner   one   text      restart  5.0  -    -
lxc.cgroup.dir.monitor           one   path      restart  5.0  -    -
lxc.cgroup.dir.monitor.pivot     one   path      restart  5.0  -    -
lxc.cgroup.relative              one   bool      restart  3.1  -    -
lxc.console.buffer.size          one   ring      restart  3.0  -    -
lxc.console.logfile              one   path      restart  -    -    -
lxc.console.path                 one   path      restart  2.1  -    lxc.console
lxc.console.rotate               one   bool      restart  3.0  -    -
lxc.console.size                 one   ring      restart  3.0  -    -
lxc.environment                  many  text      restart  -    -    -
lxc.environment.hooks            many  text      restart  7.0  -    -
lxc.environment.runtime          many  text      restart  7.0  -    -
lxc.ephemeral                    one   bool      restart  -    -    -
lxc.execute.cmd                  one   text      restart  3.0  -    -
lxc.group                        many  set       none     -    -    -
lxc.hook                         clear text      restart  -    -    -
lxc.hook.autodev                 many  text      restart  -    -    -
lxc.hook.clone                   many  text      none     -    -    -
lxc.hook.destroy                 many  text      none     -    -    -
lxc.hook.mount                   many  text      restart  -    -    -
lxc.hook.post-stop               many  text      restart  -    -    -
lxc.hook.pre-mount               many  text      restart  -    -    -
lxc.hook.pre-start               many  text      restart  -    -    -
lxc.hook.start                   many  text      restart  -    -    -
lxc.hook.start-host              many  text      restart  3.0  -    -
lxc.hook.stop                    many  text      restart  -    -    -
lxc.hook.version                 one   int       restart  3.0  -    -
lxc.idmap                        many  words     restart  2.1  -    lxc.id_map
lxc.include                      many  text      restart  -    -    -
lxc.init.cmd                     one   text      restart  2.1  -    lxc.init_cmd
lxc.init.cwd                     one   path      restart  3.0  -    -
lxc.init.gid                     one   int       restart  2.1  -    lxc.init_gid
lxc.init.groups                  many  gids      restart  4.0  -    -
lxc.init.uid                     one   int       restart  2.1  -    lxc.init_uid
lxc.keyring.session              one   bool      restart  4.0  -    -
lxc.log.file                     one   path      restart  2.1  -    lxc.logfile
lxc.log.level                    one   loglevel  restart  2.1  -    lxc.loglevel
lxc.log.syslog                   one   text      restart  2.1  -    lxc.syslog
lxc.monitor.signal.pdeath        one   signal    restart  3.1  -    -
lxc.monitor.unshare              one   bool      restart  -    -    -
lxc.mount.auto                   many  automount restart  -    -    -
lxc.mount.entry                  many  fstab     restart  -    -    -
lxc.mount.fstab                  one   path      restart  2.1  -    lxc.mount
lxc.namespace.clone              many  namespaces restart  3.0  -    -
lxc.namespace.keep               many  namespaces restart  3.0  -    -
lxc.namespace.share.*            one   text      restart  3.0  -    -
lxc.net                          clear text      restart  2.1  -    lxc.network
lxc.net.N                        clear text      restart  2.1  -    -
lxc.net.N.flags                  one   up        restart  2.1  -    lxc.network.flags
lxc.net.N.hwaddr                 one   mac       restart  2.1  -    lxc.network.hwaddr
lxc.net.N.ipv4.address           many  inet      restart  2.1  -    lxc.network.ipv4
lxc.net.N.ipv4.gateway           one   inet      restart  2.1  -    lxc.network.ipv4.gateway
lxc.net.N.ipv6.address           many  inet      restart  2.1  -    lxc.network.ipv6
lxc.net.N.ipv6.gateway           one   inet      restart  2.1  -    lxc.network.ipv6.gateway
lxc.net.N.ipvlan.isolation       one   text      restart  3.2  -    -
lxc.net.N.ipvlan.mode            one   text      restart  3.2  -    -
lxc.net.N.l2proxy                one   bool      restart  3.2  -    -
lxc.net.N.link                   one   text      restart  2.1  -    lxc.network.link
lxc.net.N.macvlan.mode           one   text      restart  2.1  -    lxc.network.macvlan.mode
lxc.net.N.mtu                    one   int       restart  2.1  -    lxc.network.mtu
lxc.net.N.name                   one   text      restart  2.1  -    lxc.network.name
lxc.net.N.script.down            one   text      restart  2.1  -    lxc.network.script.down
lxc.net.N.script.up              one   text      restart  2.1  -    lxc.network.script.up
lxc.net.N.type                   one   text      restart  2.1  -    lxc.network.type
lxc.net.N.veth.ipv4.route        many  inet      restart  3.2  -    -
lxc.net.N.veth.ipv6.route        many  inet      restart  3.2  -    -
lxc.net.N.veth.mode              one   text      restart  3.2  -    -
lxc.net.N.veth.n_rxqueues        one   int       restart  5.0  -    -
lxc.net.N.veth.n_txqueues        one   int       restart  5.0  -    -
lxc.net.N.veth.pair              one   text      restart  2.1  -    lxc.network.veth.pair
lxc.net.N.veth.vlan.id           one   int       restart  5.0  -    -
lxc.net.N.veth.vlan.tagged.id    many  int       restart  5.0  -    -
lxc.net.N.vlan.id                one   int       restart  2.1  -    lxc.network.vlan.id
lxc.no_new_privs                 one   bool      restart  2.1  -    -
lxc.prlimit                      clear text      restart  2.1  -    lxc.limit
lxc.prlimit.*                    one   rlimit    restart  2.1  -    lxc.limit.*
lxc.proc                         clear text      restart  3.0  -    -
lxc.proc.*                       one   words     restart  3.0  -    -
lxc.pty.max                      one   int       restart  2.1  -    lxc.pts
lxc.rootfs.managed               one   bool      none     3.1  -    -
lxc.rootfs.mount                 one   path      restart  -    -    -
lxc.rootfs.options               one   text      restart  -    -    -
lxc.rootfs.path                  one   rootfs    creation 2.1  -    lxc.rootfs
lxc.sched.core                   one   bool      restart  4.0  -    -
lxc.seccomp.allow_nesting        one   bool      restart  3.2  -    -
lxc.seccomp.notify.cookie        one   text      restart  3.2  -    -
lxc.seccomp.notify.proxy         one   text      restart  3.2  -    -
lxc.seccomp.profile              one   path      restart  2.1  -    lxc.seccomp
lxc.selinux.context              one   text      restart  2.1  -    lxc.se_context
lxc.selinux.context.keyring      one   text      restart  4.0  -    -
lxc.signal.halt                  one   signal    none     2.1  -    lxc.haltsignal
lxc.signal.reboot                one   signal    none     2.1  -    lxc.rebootsignal
lxc.signal.stop                  one   signal    restart  2.1  -    lxc.stopsignal
lxc.start.auto                   one   bool      none     -    -    -
lxc.start.delay                  one   int       none     -    -    -
lxc.start.order                  one   int       none     -    -    -
lxc.sysctl                       clear text      restart  3.0  -    -
lxc.sysctl.*                     one   words     restart  3.0  -    -
lxc.time.offset.boot             one   offset    restart  5.0  -    -
lxc.time.offset.monotonic        one   offset    restart  5.0  -    -
lxc.tty.dir                      one   text      restart  2.1  -    lxc.devttydir
lxc.tty.max                      one   int       restart  2.1  -    lxc.tty
lxc.uts.name                     one   text      restart  2.1  -    lxc.utsname
"""


class Key(NamedTuple):
    """One row of the table. `multi`: every line adds a value. `clears`: the key only exists to clear those below it."""

    name: str
    multi: bool
    clears: bool
    compare: str
    impact: str
    since: Optional[Version]
    removed: Optional[Version]
    old: str


def _version(text: str) -> Optional[Version]:
    if text == "-":
        return None
    major, _dot, minor = text.partition(".")
    return int(major), int(minor)


_ROWS: Dict[str, str] = {line.split(" ", 1)[0]: line for line in _TABLE.splitlines() if line}
_KNOWN: Dict[str, Key] = {}


def _row(name: str) -> Key:
    if name not in _KNOWN:
        arity, compare, impact, since, removed, old = _ROWS[name].split()[1:]
        _KNOWN[name] = Key(
            name,
            arity == "many",
            arity == "clear",
            compare,
            impact,
            _version(since),
            _version(removed),
            "" if old == "-" else old,
        )
    return _KNOWN[name]


def all_keys() -> Tuple[Key, ...]:
    """Every row, in the order of the table."""
    return tuple(_row(name) for name in _ROWS)


@lru_cache(maxsize=4096)
def lookup(key: str) -> Optional[Key]:
    """The row for a key as it is written in a config file, None when no supported liblxc has such a key."""
    if key in _ROWS:
        return None if "*" in key or ".N" in key else _row(key)
    if key.startswith("lxc.net."):
        index, dot, rest = key[8:].partition(".")
        if not (index.isascii() and index.isdigit()):
            return None
        name = "lxc.net.N" + dot + rest
        return _row(name) if name in _ROWS else None
    end = key.rfind(".")
    if end == len(key) - 1:
        return None
    while end > 3:
        name = key[:end] + ".*"
        if name in _ROWS:
            return _row(name)
        end = key.rfind(".", 0, end)
    return None


def replacement(key: str) -> str:
    """The present spelling of a key of LXC 1.0, 2.0 or of cgroup v1, "" when there is none that can be named.

    `lxc.network.x` becomes `lxc.net.0.x`; without the whole file nothing tells which network is meant.
    """
    if key.startswith("lxc.limit."):
        return "lxc.prlimit." + key[10:]
    if not key.startswith("lxc."):
        return ""
    index = "0"
    if key.startswith("lxc.network."):
        first, dot, rest = key[12:].partition(".")
        if first.isdigit():
            index, key = first, "lxc.network." + rest if dot else key
    for name, line in _ROWS.items():
        if line.endswith(" " + key):
            return name.replace(".N", "." + index)
    return ""


def _compare(key: str) -> str:
    row = lookup(key)
    return "text" if row is None else row.compare


def same_values(key: str, first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two lists of values of a key mean the same to liblxc, such as SIGPWR and 30, or "a b" and "a", "b"."""
    return same(_compare(key), first, second)


def normalise(key: str, value: str) -> str:
    """The canonical text of a value: equal for two values that mean the same."""
    return " ".join(canonical(_compare(key), [value]))


def render_value(key: str, value: object) -> str:
    """The text of a value from a task: 1 or 0 for a boolean, the digits of a number, a text as it is.

    Raises InputError for any other type and for a newline or a NUL, which would end the line.
    """
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise InputError(key, f"{value!r} is not a text, a number or a boolean")
    if "\n" in value or "\r" in value or "\0" in value:
        raise InputError(key, "a value may not contain a newline or a NUL character")
    if _compare(key) == "bool":
        return boolean(value) or value
    return value


def check_key(key: str, version: Version, path: str) -> None:
    """Raise InputError when liblxc `version` would refuse a config that has `key`, naming what to write instead."""
    row = lookup(key)
    if row is not None and not row.removed and not row.since:
        return
    here = _shown(version)
    if row is None:
        better = replacement(key)
        if better:
            raise InputError(path, f"{key} is the LXC 1.0 and 2.0 spelling, {here} does not know it. Write {better}")
        raise InputError(path, f"{key} is not a key of {here}. See lxc.container.conf(5) for those that are")
    if row.removed and version >= row.removed:
        better = replacement(key)
        hint = f"Write {better}" if better else "Write the lxc.cgroup2 key that limits the same"
        raise InputError(path, f"{key} was removed in {_shown(row.removed)} and this host has {here}. {hint}")
    if row.since and version < row.since:
        raise InputError(path, f"{key} needs {_shown(row.since)} and this host has {here}. Leave it out")


def _shown(version: Version) -> str:
    return f"liblxc {version[0]}.{version[1]}"
