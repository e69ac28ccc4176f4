# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is found on the host about one container: plain data, no access to the host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from .config import ConfigDocument

#: `Observed.health` of a container that can be used.
OK = "ok"
#: No directory, or one with neither a config nor a `partial` file.
ABSENT = "absent"
#: liblxc's `partial` file is there and nobody holds its lock: lxc-create was killed.
PARTIAL = "partial"
#: liblxc's `partial` file is there and locked: lxc-create is at work.
CREATING = "creating"
#: The config is what lxc-copy writes before it copies, and nothing was copied that could be of use: it was killed.
HALF_CLONED = "half_cloned"
#: The config is fine, the rootfs that it names does not exist.
NO_ROOTFS = "no_rootfs"
#: liblxc would refuse to load the config.
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Interface:
    """A network interface as seen from inside a running container. Addresses are "address/prefix"."""

    name: str
    hwaddr: str = ""
    ipv4: Tuple[str, ...] = ()
    ipv6: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """A snapshot under `<lxcpath>/<name>/snaps`; `created` is the text of liblxc's ts file, "" without one."""

    name: str
    created: str = ""
    comment: str = ""


@dataclass(frozen=True)
class Rootfs:
    """`lxc.rootfs.path`, taken apart; for `overlay:/lower:/upper` the layers, topmost first, and the upper."""

    backingstore: str = ""
    path: str = ""
    lower: Tuple[str, ...] = ()
    exists: bool = False


@dataclass(frozen=True)
class Reference:
    """Another container: the origin of a snapshot clone, or a clone that depends on this one."""

    lxcpath: str
    name: str


@dataclass(frozen=True)
class Observed:
    """One container as it is now."""

    name: str
    lxcpath: str
    health: str = ABSENT
    #: A sentence that says what is wrong, "" when `health` is "ok" or "absent".
    problem: str = ""
    #: lxc-info's state in lower case: stopped, starting, running, stopping, aborting, freezing, frozen, thawed;
    #: "unknown" when its monitor gives no answer.
    state: str = "stopped"
    #: The guest's init, seen from the host; None when it does not run.
    pid: Optional[int] = None
    #: The container's own config file.
    document: ConfigDocument = field(default_factory=lambda: ConfigDocument(()))
    #: The same with every lxc.include replaced by what it includes.
    effective: ConfigDocument = field(default_factory=lambda: ConfigDocument(()))
    #: Whether the config and all that it includes could be read; if not, `effective` holds what could.
    complete: bool = True
    rootfs: Rootfs = Rootfs()
    origin: Optional[Reference] = None
    dependants: Tuple[Reference, ...] = ()
    snapshots: Tuple[Snapshot, ...] = ()
    #: None when nobody asked for addresses.
    interfaces: Optional[Tuple[Interface, ...]] = None
    #: The state in which it ran when a run of ours that was interrupted stopped it for a moment, "" if none did.
    again: str = ""
    #: What an interrupted run of ours was doing to this container ("create", "clone", "destroy"), with details.
    journal: Mapping[str, str] = field(default_factory=dict)

    @property
    def defined(self) -> bool:
        """Whether there is anything on disk by this name."""
        return self.health != ABSENT

    @property
    def running(self) -> bool:
        """Whether the guest's init exists, frozen or not."""
        return self.state != "stopped"
