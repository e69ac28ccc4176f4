# Copyright (c) 2026, the lightervisor.lxc contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Debian releases that the lab boots, and what is installed in them."""

from __future__ import annotations

from dataclasses import dataclass

_SYSTEM = (
    "systemd-sysv dbus dbus-user-session libpam-systemd udev kmod procps openssh-server sudo ca-certificates "
    "python3 python3-venv python3-apt rsync acl attr libcap2-bin file git less xz-utils zstd"
)
_NETWORK = "iproute2 iputils-ping ethtool ifupdown bridge-utils vlan ifenslave nftables iptables dnsmasq-base"
_CONTAINERS = "lxc lxc-templates lxcfs python3-lxc uidmap busybox-static apparmor apparmor-utils"
_STORAGE = "lvm2 dmeventd thin-provisioning-tools btrfs-progs xfsprogs e2fsprogs"
_ALL = f"{_SYSTEM} {_NETWORK} {_CONTAINERS} {_STORAGE}"


@dataclass(frozen=True)
class Release:
    """A Debian release as a lab guest."""

    name: str
    packages: tuple[str, ...]
    #: The version of its Python.
    python: str
    #: Whether OpenZFS is built for its kernel.
    zfs: bool = False


RELEASES = {
    one.name: one
    for one in (
        Release("bookworm", (*_ALL.split(), "zfsutils-linux"), "3.11", zfs=True),
        Release("trixie", tuple(_ALL.split()), "3.13"),
    )
}

#: What /opt/lab holds in a guest, in the versions that requirements-dev.txt pins.
PYTHON = (
    *("ansible-core", "hypothesis", "jmespath", "pytest", "pytest-xdist"),
    *("Jinja2", "MarkupSafe", "PyYAML", "Pygments", "cffi", "cryptography", "execnet", "iniconfig", "packaging"),
    *("pluggy", "pycparser", "resolvelib", "sortedcontainers"),
)
