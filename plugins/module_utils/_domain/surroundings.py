# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plans for containers depend on besides them, read once for all of them and only when a plan asks for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from .._host.command_socket import active_sockets, listening, socket_name
from .._host.container_files import load_include
from .._host.files import read_text
from .._host.id_grants import Grant, read_grants
from .._host.liblxc import cgroup_version, default_config_file, default_lxcpath, installed_version
from .._host.observe import observe_host
from .._model.config import ConfigDocument, flatten
from .._model.container import ContainerSpec
from .._model.observed import Observed

if TYPE_CHECKING:
    from .._host.rootfs_users import RootfsUsers

#: Ids in the range of a container that is made without saying otherwise: as many as 16 bits can name.
RANGE = 65536

Key = Tuple[str, str]


class Surroundings:
    """The host around the containers that one task is about."""

    def __init__(self, specs: Iterable[ContainerSpec]) -> None:
        self.version, self.cgroup = installed_version(), cgroup_version()
        self.host_id = (read_text("/etc/machine-id") or "").strip()
        self._specs = tuple(specs)
        self._includes: Dict[str, Sequence[ConfigDocument]] = {}
        self._default: Optional[ConfigDocument] = None
        self._others: Optional[List[Observed]] = None
        self._grants: Optional[List[Grant]] = None
        self._hwaddrs: Optional[Dict[str, Key]] = None
        self._ids: Optional[_Ids] = None
        self._users: Dict[str, RootfsUsers] = {}
        self._listening: Optional[Dict[str, Set[str]]] = None
        self._pid = os.getpid()

    def flatten(self, document: ConfigDocument) -> ConfigDocument:
        """The document with what it includes in the includes' places."""
        return flatten(document, self._load) if document.includes() else document

    def _load(self, path: str) -> Sequence[ConfigDocument]:
        if path not in self._includes:
            self._includes[path] = load_include(path)
        return self._includes[path]

    def default_document(self, spec: ContainerSpec) -> ConfigDocument:
        """What lxc-create would start from, less the id map, which is this collection's to choose."""
        if self._default is None:
            self._default = ConfigDocument.parse(read_text(default_config_file()) or "")
        document = self._default
        decided = spec.idmap is not None or spec.privileged is not None or not document.values("lxc.idmap")
        return document.without("lxc.idmap") if decided or os.geteuid() == 0 else document

    def taken_hwaddrs(self, spec: ContainerSpec) -> TakenHwaddrs:
        """The MAC addresses of all containers but this one."""
        if self._hwaddrs is None:
            self._hwaddrs = {}
            for other in self._containers():
                self._note_hwaddrs((other.lxcpath, other.name), other.document)
        return TakenHwaddrs(self._hwaddrs, (spec.lxcpath, spec.name))

    def note(self, spec: ContainerSpec, document: ConfigDocument) -> None:
        """Remember the MAC addresses that the container is going to have, for the plans that follow."""
        if self._hwaddrs is not None:
            self._note_hwaddrs((spec.lxcpath, spec.name), document)

    def _note_hwaddrs(self, key: Key, document: ConfigDocument) -> None:
        for name, value in document.entries():
            if self._hwaddrs is not None and name.startswith("lxc.net.") and name.endswith(".hwaddr"):
                self._hwaddrs.setdefault(value.lower(), key)

    def free_map(self, spec: ContainerSpec) -> Callable[[], Tuple[str, ...]]:
        """What chooses a free id map for the container, and then gives the same one each time.

        It raises ValueError with the reason why there is none.
        """
        chosen: List[Tuple[str, ...]] = []

        def choose() -> Tuple[str, ...]:
            if not chosen:
                if os.getpid() != self._pid:
                    # Each of several forked processes would choose the same.
                    raise ValueError("none was set aside for it, as its origin is another one than it was")
                if self._ids is None:
                    own = {(one.lxcpath, one.name) for one in self._specs} if len(self._specs) == 1 else set()
                    others = [one for one in self._containers() if (one.lxcpath, one.name) not in own]
                    grants = [one for one in self.grants() if (one.lxcpath, one.name) not in own]
                    self._ids = _Ids(others, grants)
                chosen.append(self._ids.take())
            return chosen[0]

        return choose

    @property
    def gave_ids(self) -> bool:
        """Whether a plan asked for an id map."""
        return self._ids is not None

    def started_as(self, current: Observed) -> str:
        """The lxcpath, spelled otherwise, under which the container's directory runs; "" if it does not."""
        if self._listening is None:
            self._listening = {}
            for socket in listening():
                self._listening.setdefault(socket.rsplit("/", 2)[-2], set()).add(socket)
        own = socket_name(current.lxcpath, current.name)
        place = os.path.join(current.lxcpath, current.name)
        for lxcpath, name in active_sockets(self._listening.get(current.name, set()) - {own}):
            if name == current.name and _is_same(os.path.join(lxcpath, name), place):
                return lxcpath
        return ""

    def grants(self) -> List[Grant]:
        """The id maps that were given away."""
        if self._grants is None:
            self._grants = read_grants()
        return self._grants

    def rootfs_users(self, lxcpath: str) -> RootfsUsers:
        """Which containers of the lxcpath use which files."""
        if lxcpath not in self._users:
            from .._host.rootfs_users import RootfsUsers

            self._users[lxcpath] = RootfsUsers(observe_host([lxcpath], states=False))
        return self._users[lxcpath]

    def _containers(self) -> List[Observed]:
        """Every container of this user that can be known.

        In the default lxcpath, in those of the task, wherever one runs, and where ids were given out before.
        """
        if self._others is None:
            paths: Dict[str, None] = {default_lxcpath(): None}
            for spec in self._specs:
                paths[spec.lxcpath] = None
                if spec.clone:
                    paths[spec.clone.lxcpath] = None
            paths.update((lxcpath, None) for lxcpath, _name in active_sockets())
            paths.update((grant.lxcpath, None) for grant in self.grants())
            self._others = observe_host([path for path in paths if os.path.isdir(path)], states=False)
        return self._others


def _is_same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


class TakenHwaddrs:
    """The MAC addresses that belong to other containers than `key`'s."""

    def __init__(self, owners: Mapping[str, Key], key: Key) -> None:
        self._owners = owners
        self._key = key

    def __contains__(self, hwaddr: object) -> bool:
        owner = self._owners.get(str(hwaddr))
        return owner is not None and owner != self._key


class _Ids:
    """Id maps of 65536 ids for this user that no container has, one after the other."""

    def __init__(self, others: Iterable[Observed], grants: Iterable[Grant]) -> None:
        import pwd

        from .._host.accounts import subordinate_ranges
        from .._model.idmap import IdMap, IdRange, parse_idmap

        self._user = pwd.getpwuid(os.geteuid()).pw_name
        self._own = subordinate_ranges(self._user)
        self._used: List[IdRange] = [*self._own.foreign_uids, *self._own.foreign_gids]
        maps = [other.effective.values("lxc.idmap") for other in others] + [grant.idmap for grant in grants]
        for lines in dict.fromkeys(tuple(lines) for lines in maps):
            try:
                taken: IdMap = parse_idmap(lines)
            except ValueError:
                continue
            self._used += [*taken.host_ranges("u"), *taken.host_ranges("g")]

    def take(self) -> Tuple[str, ...]:
        """The first map that is free. Raises ValueError when there is none."""
        from .._model.idmap import NoRange, choose_map

        own = self._own
        if not own.uids or not own.gids:
            kind = "uid" if not own.uids else "gid"
            raise ValueError(f"'{self._user}' has no subordinate {kind}s in /etc/sub{kind}")
        try:
            chosen = choose_map(RANGE, own.uids, own.gids, self._used, self._used)
        except NoRange as error:
            raise ValueError(f"{error}, of '{self._user}'") from None
        self._used += [*chosen.host_ranges("u"), *chosen.host_ranges("g")]
        return chosen.render()
